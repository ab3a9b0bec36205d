//! New terms of pairs of orders: how far back they reach, and what is taken back for them.
//!
//! Mostly nothing is. A half is signed for a trade that its owner's replica shows, so nearly always
//! it names just that trade, with its quantity, and then matching with it and without it does the
//! same. So does a refusal of two orders that do not trade. Only then is nothing undone;
//! [`Revision::back_to`] decides. Still the engine was told of no promise when the maker came to
//! rest. That shows only if something is inserted between the two orders; then what lies behind is
//! undone anyway, and the promises of makers before that place are renewed before it is done again
//! ([`Replica::renew_promises`]).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Replica;
use super::tape::{FinalBefore, TapeEntry, tape_of};
use crate::confirmation::{OrderPair, PairTerms, Placement, Placements};
use crate::market_log::{Deed, LogEntry, Reach};
use crate::market_terms::{NewTerms, StagedTerms};
use crate::matching::{EndReason, Engine, Slot, TimeInForce};
use crate::order_log::{LogKey, Position};
use crate::order_table::Origin;
use crate::types::{Lots, MarketIndex, OpId, OrderId, Ticks};
use crate::view::{Change, TradeChange, TradeStatus};

/// New terms of two orders that are in the log, or come into it with the same merge.
pub(super) struct Revision {
    maker: Slot,
    taker: Slot,
    /// Where the taker stands in the log, unless it comes with this merge.
    taker_at: Option<usize>,
    terms: PairTerms,
    pub(super) cause: OpId,
    /// The action from which on matching may be another.
    pub(super) back_to: Option<LogEntry>,
}

/// A trade that can be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownTrade {
    /// The how-manieth piece of its pair.
    pub piece: u32,
    /// The maker's price.
    pub price: Ticks,
    /// How much changes hands.
    pub quantity: Lots,
    /// The order that stands later.
    pub taker: OrderId,
}

impl Revision {
    /// Where matching may be another from, and the operation by which it is.
    pub(super) fn back_to_with_cause(&self) -> Option<(LogEntry, OpId)> {
        self.back_to.map(|entry| (entry, self.cause))
    }
}

/// An order and where its action is.
type Placed = (Slot, Standing);

/// New terms of two orders that are both there, and which of them stands first.
struct Resolved {
    pair: OrderPair,
    maker: Placed,
    taker: Placed,
    new: NewTerms,
}

/// How what an order withholds for another changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Not, or so that the two trade as much as before.
    Same,
    /// To less than before.
    Less,
    /// To more than they traded.
    More,
}

impl Weight {
    /// Of what is withheld before and now, for an order with which so much was traded.
    fn of([before, now]: [u64; 2], traded: u64) -> Self {
        if now < before {
            Self::Less
        } else if now > before && now > traded {
            Self::More
        } else {
            Self::Same
        }
    }
}

/// The trades of two orders if matching under these terms does the same: the final ones, then what
/// remains of what they traded.
fn expected_pieces(terms: &PairTerms, traded: u64) -> Vec<(u32, u64)> {
    let complete = terms.complete.iter().map(|quantity| quantity.0);
    let rest = traded.saturating_sub(terms.completed());
    let rest = Some(rest).filter(|rest| *rest > 0);
    (0..).zip(complete.chain(rest)).collect()
}

/// Where an order's action is.
#[derive(Clone, Copy)]
enum Standing {
    /// In the log, at this position. Its place is looked for only if it matters.
    Log(Position),
    /// It comes with this merge.
    Coming(LogEntry),
}

impl Standing {
    fn position(&self) -> Position {
        match self {
            Self::Log(position) => *position,
            Self::Coming(entry) => entry.position(),
        }
    }
}

impl<E: Engine> Replica<E> {
    /// Takes out the new terms that can be respected now.
    pub(super) fn take_revisions(
        &mut self,
        index: usize,
        incoming: &[LogEntry],
        now_ms: Option<u64>,
    ) -> Vec<Revision> {
        let staged = self.markets[index].take_terms(now_ms);
        let (resolved, raised) = self.resolve(index, staged, incoming);
        let mut revisions = Vec::new();
        for Resolved {
            pair,
            maker,
            taker,
            new,
        } in resolved
        {
            let taker_at = self.place_in_log(index, taker);
            let raised = raised.get(&maker.0).copied().unwrap_or(0);
            let back_to = self.back_to(index, &new.terms, (maker, raised), taker);
            let market = &mut self.markets[index];
            let operations = &self.orders.operations;
            let reach = back_to.map_or(Reach::End, |back_to| market.reach(&back_to, operations));
            if !market.lanes.enter(reach, now_ms) {
                let waiting = market.lanes.terms_mut(reach);
                waiting.insert(pair, new);
                continue;
            }
            revisions.push(Revision {
                maker: maker.0,
                taker: taker.0,
                taker_at,
                terms: new.terms,
                cause: new.cause,
                back_to,
            });
        }
        revisions
    }

    /// Which of each pair of orders stands first, if both are there; else the terms wait. And how
    /// much more than before each maker promises by all of it.
    fn resolve(
        &mut self,
        index: usize,
        staged: StagedTerms,
        incoming: &[LogEntry],
    ) -> (Vec<Resolved>, BTreeMap<Slot, u64>) {
        let mut resolved = Vec::new();
        let mut raised: BTreeMap<Slot, u64> = BTreeMap::new();
        for (pair, new) in staged {
            let [low, high] = new.orders;
            let standing = |slot| self.standing(index, slot, incoming);
            let (Some(first), Some(second)) = (standing(low), standing(high)) else {
                // One of them waits in a lane.
                let market = &mut self.markets[index];
                let lane = |order| market.lanes.find(order).map(|(_, reach)| reach);
                let is_far = [low, high].map(lane).contains(&Some(Reach::Far));
                let lane = if is_far { Reach::Far } else { Reach::Near };
                let waiting = market.lanes.terms_mut(lane);
                waiting.insert(pair, new);
                continue;
            };
            let (low, high) = ((low, first), (high, second));
            let (maker, taker) = match self.compare(index, low, high) {
                Ordering::Less => (low, high),
                Ordering::Equal | Ordering::Greater => (high, low),
            };
            let withheld = |terms: &PairTerms| self.orders.withheld_of(terms, maker.0, taker.0);
            let old = self.markets[index].terms.get(maker.0, taker.0);
            let before = old.as_ref().map_or(0, withheld);
            let more = withheld(&new.terms).saturating_sub(before);
            if more > 0 {
                let of_maker = raised.entry(maker.0).or_default();
                *of_maker = of_maker.saturating_add(more);
            }
            resolved.push(Resolved {
                pair,
                maker,
                taker,
                new,
            });
        }
        (resolved, raised)
    }

    /// Where the action that makes an order is, in the log or in what comes.
    fn standing(&self, index: usize, order: Slot, incoming: &[LogEntry]) -> Option<Standing> {
        let position = self.position_of_order(order);
        let is_there = self.orders.order(order).is_some();
        if is_there || self.markets[index].place_of(order, position).is_some() {
            return Some(Standing::Log(position));
        }
        let from = incoming.partition_point(|entry| entry.position() < position);
        let there = incoming[from..].iter();
        let mut there = there.take_while(|entry| entry.position() == position);
        let entry = there.find(|entry| entry.own == order);
        entry.copied().map(Standing::Coming)
    }

    /// The place of an order's action, if it is in the log.
    fn place_in_log(&self, index: usize, (order, standing): Placed) -> Option<usize> {
        match standing {
            Standing::Log(position) => self.markets[index].place_of(order, position),
            Standing::Coming(_) => None,
        }
    }

    /// The place that an order's action has in the log, or will have if nothing else comes.
    fn place_to_be(&self, index: usize, (order, standing): Placed) -> usize {
        match standing {
            Standing::Log(_) => {
                let at = self.place_in_log(index, (order, standing));
                at.expect("it is in the log")
            }
            Standing::Coming(entry) => {
                let operations = &self.orders.operations;
                let log = &self.markets[index].log;
                log.partition_point(|other| other.is_before(&entry, operations))
            }
        }
    }

    /// The action that makes an order.
    fn action_of(&self, index: usize, (order, standing): Placed) -> LogEntry {
        match standing {
            Standing::Log(_) => {
                let at = self.place_to_be(index, (order, standing));
                *self.markets[index].log.at(at)
            }
            Standing::Coming(entry) => entry,
        }
    }

    /// Which of two orders stands first. Mostly their positions tell.
    fn compare(&self, index: usize, first: Placed, second: Placed) -> Ordering {
        let positions = first.1.position().cmp(&second.1.position());
        positions.then_with(|| {
            let [first, second] = [first, second].map(|order| self.action_of(index, order));
            first.order(&second, &self.orders.operations)
        })
    }

    pub(super) fn position_of_order(&self, order: Slot) -> Position {
        let operation = self.orders.terms(order).operation;
        self.orders.operations.position(operation)
    }

    /// From where on matching under new terms may differ from what was done.
    ///
    /// What a maker promises binds it from its beginning, so a promise of more than it traded with
    /// that taker reaches back to where the maker had not so much free ([`Replica::short_from`]);
    /// `raised` is by how much all that it promises grows with this merge. A promise that became
    /// less reaches back to the maker: it may have kept others from it, or the maker in the book. A
    /// maker that never came to be is shown by its final trades, from its own action on. Everything
    /// else shows first when the taker comes.
    fn back_to(
        &self,
        index: usize,
        terms: &PairTerms,
        (maker, raised): (Placed, u64),
        taker: Placed,
    ) -> Option<LogEntry> {
        let (maker_placed, taker_placed) = (maker, taker);
        let ((maker, Standing::Log(_)), (taker, _)) = (maker, taker) else {
            return None;
        };
        let market = &self.markets[index];
        let action_of_maker = || self.action_of(index, maker_placed);
        if maker == taker {
            let is_new = market.terms.is_abandoned(maker) != terms.declined;
            return is_new.then(action_of_maker);
        }
        let taker_at = self.place_in_log(index, taker_placed);
        let old = market.terms.get(maker, taker).unwrap_or_default();
        let pieces: Vec<(u32, u64)> = taker_at.map_or_else(Vec::new, |at| {
            let fills = market.fills_of(at);
            let met = fills.filter(|fill| fill.order == maker);
            met.map(|fill| (fill.piece, fill.value())).collect()
        });
        let traded = pieces.iter().map(|(_, quantity)| *quantity);
        let traded = traded.fold(0, u64::saturating_add);
        let weight = |own: Slot, other: Slot| {
            let withheld = |terms| self.orders.withheld_of(terms, own, other);
            Weight::of([&old, terms].map(withheld), traded)
        };
        let of_maker = weight(maker, taker);
        let shows_maker = old.completed() != terms.completed() && self.is_unplaced(maker);
        if of_maker == Weight::Less || shows_maker {
            return Some(action_of_maker());
        }
        if of_maker == Weight::More {
            let taker_at = self.place_to_be(index, taker_placed);
            return match self.short_from(index, (maker, raised), taker_at) {
                Some(at) => market.log.get(at).as_deref().copied(),
                None => Some(action_of_maker()),
            };
        }
        let taker_at = taker_at?;
        let declines = old.declined != terms.declined;
        let declines = declines && (!pieces.is_empty() || self.stays_aside(taker));
        let differs = pieces != expected_pieces(terms, traded)
            || declines
            || weight(taker, maker) != Weight::Same;
        differs.then(|| *market.log.at(taker_at))
    }

    /// Whether an order may have stayed out of the book for another that it did not trade with.
    /// All other orders do the same whether they are declined what they did not get or not: they
    /// only take less of what is opposite, and who is killed for that there was too little is
    /// killed all the more.
    fn stays_aside(&self, taker: Slot) -> bool {
        self.orders.terms(taker).time_in_force == TimeInForce::PostOnly
    }

    /// Whether the action of an order did not place it.
    fn is_unplaced(&self, order: Slot) -> bool {
        let seat = self.orders.order(order);
        seat.is_none_or(|seat| seat.ended() == Some(EndReason::NotPlaced))
    }

    /// Makes new terms those of the market. Of trades before `first`, which are not done again,
    /// it is reported that they have become final. Tells how many trades were final before of the
    /// pairs that have more or less of them now.
    pub(super) fn adopt(
        &mut self,
        index: usize,
        first: usize,
        revisions: Vec<Revision>,
        changes: &mut Vec<Change>,
    ) -> FinalBefore {
        let mut before = FinalBefore::new();
        for revision in revisions {
            let Revision {
                maker,
                taker,
                taker_at,
                terms,
                cause,
                ..
            } = revision;
            let market = &mut self.markets[index];
            let old = market.terms.get(maker, taker).unwrap_or_default();
            let pieces = old.complete.len()..terms.complete.len();
            market.terms.set(maker, taker, terms);
            if pieces.start != pieces.end {
                before.insert((taker, maker), pieces.start);
            }
            let at = taker_at.filter(|at| *at < first && !pieces.is_empty());
            let trades = at.map_or_else(Vec::new, |at| self.trades_between(index, at, maker));
            let mut reports = self.reports(index, changes);
            for trade in trades {
                if pieces.contains(&(trade.meeting.2 as usize)) {
                    reports.add(&trade, TradeChange::Confirmed, cause);
                }
            }
        }
        before
    }

    /// The trades that the action at this place made with a maker.
    pub(super) fn trades_between(&self, index: usize, at: usize, maker: Slot) -> Vec<TapeEntry> {
        let trades = tape_of(&self.orders, &self.markets[index], at);
        trades.filter(|trade| trade.meeting.0 == maker).collect()
    }

    /// The trade of two orders of a market that is shown and not final.
    pub fn shown_trade(
        &self,
        market: MarketIndex,
        first: &OrderId,
        second: &OrderId,
    ) -> Option<ShownTrade> {
        let index = usize::from(market.0);
        let place = |id: &OrderId| {
            let slot = self.orders.find(id)?;
            let at = self.markets[index].place_of(slot, self.position_of_order(slot))?;
            Some((at, slot, *id))
        };
        let (first, second) = (place(first)?, place(second)?);
        let (maker, taker) = (first.min(second), first.max(second));
        let trades = self.trades_between(index, taker.0, maker.1);
        let last = trades.last()?;
        (last.status != TradeStatus::Final).then_some(ShownTrade {
            piece: last.meeting.2,
            price: last.price,
            quantity: last.quantity,
            taker: taker.2,
        })
    }

    /// The end of the bucket of a time, in Unix milliseconds: the log clock passes the time when
    /// an operation is dated then or later.
    pub fn end_of_bucket_ms(&self, time_ms: u64) -> u64 {
        let bucket_ms = u64::from(self.bucket_ms);
        (time_ms / bucket_ms + 1) * bucket_ms
    }

    /// When the next resting order expires or lapses, in Unix milliseconds: from then on an
    /// operation has to be written for the log clock to pass that time. It may lie in the past.
    pub fn next_end_ms(&self) -> Option<u64> {
        if !self.orders.has_open() {
            return None;
        }
        let has_open = |owner| self.orders.open_of(owner) > 0;
        let is_open = |seat| {
            let order = self.orders.order(seat);
            order.is_some_and(|order| order.ended().is_none())
        };
        let bucket = self.lifetimes.next_end(has_open, is_open)?;
        Some((bucket + 1) * u64::from(self.bucket_ms))
    }
}

impl<E: Engine> Replica<E> {
    /// The action that makes an order, in the log of its market or on its way there.
    fn making(&self, order: Slot) -> LogEntry {
        let seat = self.orders.terms(order);
        let market = &self.markets[usize::from(seat.market.0)];
        let at = market.place_of(order, self.position_of_order(order));
        let entry = at.map(|at| *market.log.at(at));
        let entry = entry.or_else(|| market.waiting(order).copied());
        entry.expect("an action with a seat was staged")
    }

    /// The quantity with which the action of an order makes it.
    fn quantity_of(&self, order: Slot) -> Lots {
        let seat = self.orders.terms(order);
        if seat.origin == Origin::Place {
            return self.orders.original_quantity(order);
        }
        let Deed::Replace(number) = self.making(order).deed else {
            unreachable!("what replaces is made by a replace");
        };
        let market = &self.markets[usize::from(seat.market.0)];
        market.alterations[number as usize].quantity
    }
}

impl<E: Engine> Placements for Replica<E> {
    fn placement(&self, market: MarketIndex, order: &OrderId) -> Option<Placement> {
        let slot = self.orders.find(order)?;
        let seat = self.orders.terms(slot);
        (seat.market == market).then(|| Placement {
            position: self.orders.operations.position(seat.operation),
            side: seat.side,
            limit: seat.price(),
            quantity: self.quantity_of(slot),
        })
    }

    fn key(&self, order: &OrderId) -> Option<LogKey> {
        let slot = self.orders.find(order)?;
        Some(self.making(slot).key(&self.orders.operations))
    }
}
