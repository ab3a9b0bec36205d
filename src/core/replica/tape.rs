//! The tape: trades in log order, how they changed, and what users see of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Replica, market_index};
use crate::effect_log::{Trace, TraceKind};
use crate::market_log::{LogEntry, MarketLog};
use crate::matching::{Engine, Slot};
use crate::order_table::OrderTable;
use crate::packed::Row;
use crate::packed_map::PackedMap;
use crate::types::{Lots, MarketIndex, OpId, OrderId, Side, Ticks};
use crate::view::{
    Change, OrderRow, TradeChange, TradeFacts, TradePosition, TradeRow, TradeStatus,
};

/// A trade as it stands in the tape.
#[derive(Clone, Copy)]
pub(super) struct TapeEntry {
    /// The action of the incoming order.
    pub(super) action: LogEntry,
    /// Its how-manieth fill, from 0.
    pub(super) number: u32,
    pub(super) meeting: Encounter,
    pub(super) price: Ticks,
    pub(super) quantity: Lots,
    pub(super) status: TradeStatus,
}

/// A fill that a merge takes back, to be compared with what comes in its place.
#[derive(Clone, Copy)]
pub(super) struct UndoneFill {
    taker: Slot,
    fill: Trace,
}

impl UndoneFill {
    /// What an order took, if a trace of its action says so.
    pub(super) fn of(taker: Slot, trace: &Trace) -> Option<Self> {
        let fill = *trace;
        (fill.kind == TraceKind::Fill).then_some(Self { taker, fill })
    }
}

/// How many trades of a taker and a maker were final before a merge, if it changes that.
pub(super) type FinalBefore = BTreeMap<(Slot, Slot), usize>;

/// Maker, taker, and how often they met before.
pub(super) type Encounter = (Slot, Slot, u32);

/// Two orders, that of the lower seat first, and how often they met before: what a trade's id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meeting(Slot, Slot, u32);

impl Meeting {
    fn of((first, second, piece): Encounter) -> Self {
        Self(first.min(second), first.max(second), piece)
    }
}

impl Row for Meeting {
    type Columns = [u64; 3];

    fn columns(&self) -> Self::Columns {
        let Self(Slot(first), Slot(second), piece) = *self;
        [first, second, piece].map(u64::from)
    }

    fn of(columns: &Self::Columns) -> Self {
        // All were of this width.
        let [first, second, piece] = columns.map(|column| column as u32);
        Self(Slot(first), Slot(second), piece)
    }
}

/// How often a trade was reported as amended, busted, or new again, where it ever was.
pub(super) type Amendments = PackedMap<Meeting, u32>;

/// What is reported of the trades of one market, and where to.
pub(super) struct Reports<'a> {
    pub(super) orders: &'a OrderTable,
    pub(super) amendments: &'a mut Amendments,
    pub(super) changes: &'a mut Vec<Change>,
    pub(super) market: MarketIndex,
}

impl Reports<'_> {
    /// Reports a trade of an action that made none before.
    fn add_new(&mut self, trade: &TapeEntry, cause: OpId) {
        for change in changes_since(None, trade) {
            self.add(trade, change, cause);
        }
    }

    /// Reports what happened to a trade, and by which operation.
    pub(super) fn add(&mut self, trade: &TapeEntry, change: TradeChange, cause: OpId) {
        let meeting = Meeting::of(trade.meeting);
        let amendments = self.count(meeting, change);
        let status = match change {
            TradeChange::New => TradeStatus::Tentative,
            TradeChange::Moved | TradeChange::Confirmed => trade.status,
            TradeChange::Amended => TradeStatus::Amended,
            TradeChange::Busted => TradeStatus::Busted,
        };
        let revision = revision(status, amendments);
        self.changes.push(Change::Trade {
            position: position(self.orders, trade),
            trade: facts(self.orders, trade, self.market, (status, revision)),
            change,
            cause,
        });
    }

    /// Counts reports by which a trade is another than it was. Tells how many there were, if any.
    fn count(&mut self, trade: Meeting, change: TradeChange) -> Option<u32> {
        let before = self.amendments.get(&trade);
        let is_amended = match change {
            TradeChange::Amended | TradeChange::Busted => true,
            // Again, after it was busted.
            TradeChange::New => before.is_some(),
            TradeChange::Moved | TradeChange::Confirmed => false,
        };
        if !is_amended {
            return before;
        }
        let count = before.unwrap_or(0) + 1;
        self.amendments.insert(trade, count);
        Some(count)
    }
}

/// The how-manieth report of a trade shows it with this status: after the first come amendments,
/// and at last that it is final, of nearly all trades, so that need not be counted.
fn revision(status: TradeStatus, amendments: Option<u32>) -> u32 {
    1 + amendments.unwrap_or(0) + u32::from(status == TradeStatus::Final)
}

/// Where a trade stands in its market.
fn position(orders: &OrderTable, trade: &TapeEntry) -> TradePosition {
    TradePosition {
        key: trade.action.key(&orders.operations),
        number: trade.number,
    }
}

/// A trade for users.
fn facts(
    orders: &OrderTable,
    entry: &TapeEntry,
    market: MarketIndex,
    (status, revision): (TradeStatus, u32),
) -> TradeFacts {
    let (maker, taker, piece) = entry.meeting;
    let side = orders.terms(taker).side;
    let (buy, sell) = match side {
        Side::Buy => (taker, maker),
        Side::Sell => (maker, taker),
    };
    let (buy, buyer) = orders.id_and_author(buy);
    let (sell, seller) = orders.id_and_author(sell);
    TradeFacts {
        piece,
        market,
        price: entry.price,
        quantity: entry.quantity,
        buy,
        sell,
        buyer,
        seller,
        taker: side,
        status,
        time: orders.operations.time(entry.action.operation),
        revision,
    }
}

impl<E: Engine> Replica<E> {
    /// Where what happened to the trades of a market is reported.
    pub(super) fn reports<'a>(
        &'a mut self,
        index: usize,
        changes: &'a mut Vec<Change>,
    ) -> Reports<'a> {
        Reports {
            orders: &self.orders,
            amendments: &mut self.amendments,
            changes,
            market: market_index(index),
        }
    }

    /// Reports how the trades from `first` on differ from those that were undone, which are in log
    /// order too: every action that was undone was done again, in the same order.
    pub(super) fn report_trades(
        &mut self,
        index: usize,
        (first, cause): (usize, OpId),
        (mut undone, final_before): (&[UndoneFill], &FinalBefore),
        changes: &mut Vec<Change>,
    ) {
        let market = &self.markets[index];
        let mut reports = Reports {
            orders: &self.orders,
            amendments: &mut self.amendments,
            changes,
            market: market_index(index),
        };
        for at in first..market.log.len() {
            let own = market.log.at(at).own;
            let others = undone.iter().position(|old| old.taker != own);
            let (before, rest) = undone.split_at(others.unwrap_or(undone.len()));
            undone = rest;
            if before.is_empty() {
                // So it is of all that comes at the end of the log.
                let trades = tape_of(&self.orders, market, at);
                trades.for_each(|trade| reports.add_new(&trade, cause));
                continue;
            }
            let of_own = (own, Slot(0))..=(own, Slot(u32::MAX));
            let is_as_sure = final_before.range(of_own).next().is_none();
            if is_as_sure && before.iter().map(|old| old.fill).eq(market.fills_of(at)) {
                continue;
            }
            let before: Vec<TapeEntry> =
                tape_before(&self.orders, market, at, (before, final_before)).collect();
            let trades = tape_of(&self.orders, market, at);
            for (trade, change) in differences(trades, &before) {
                reports.add(&trade, change, cause);
            }
        }
        debug_assert!(undone.is_empty(), "an action was not done again");
    }

    /// A trade that stands in the tape, for users.
    fn standing_trade(&self, market: MarketIndex, entry: &TapeEntry) -> TradeFacts {
        let amendments = self.amendments.get(&Meeting::of(entry.meeting));
        let revision = revision(entry.status, amendments);
        facts(&self.orders, entry, market, (entry.status, revision))
    }

    /// How often the trade of this piece of two orders, which is not final, was reported; 1 also
    /// for one that never was.
    pub fn revision(&self, first: &OrderId, second: &OrderId, piece: u32) -> u32 {
        let seats = self.orders.find(first).zip(self.orders.find(second));
        let amendments = seats.and_then(|(first, second)| {
            let meeting = Meeting::of((first, second, piece));
            self.amendments.get(&meeting)
        });
        revision(TradeStatus::Tentative, amendments)
    }

    /// Everything that a view must know, as if all of it were new: trades in log order, and orders
    /// as they came.
    pub fn snapshot(&self) -> impl Iterator<Item = Change> {
        let markets = self.markets.iter().enumerate();
        let trades = markets.flat_map(move |(index, market)| {
            let trades = tape(&self.orders, market, 0);
            trades.map(move |trade| self.standing_change(market_index(index), &trade))
        });
        trades.chain(self.orders.as_they_came().map(new_order))
    }

    /// The same from its end, for whoever wants little of what is old.
    pub fn snapshot_newest_first(&self) -> impl Iterator<Item = Change> {
        let markets = self.markets.iter().enumerate();
        let trades = markets.flat_map(move |(index, market)| {
            let trades = newest_first(&self.orders, market);
            trades.map(move |trade| self.standing_change(market_index(index), &trade))
        });
        trades.chain(self.orders.as_they_came().rev().map(new_order))
    }

    /// A trade that stands in the tape, as if it were new.
    fn standing_change(&self, market: MarketIndex, trade: &TapeEntry) -> Change {
        Change::Trade {
            position: position(&self.orders, trade),
            trade: self.standing_trade(market, trade),
            change: TradeChange::New,
            cause: self.orders.operations.id(trade.action.operation),
        }
    }

    /// The newest `limit` trades of a market in log order, newest last.
    pub fn trades(&self, market: MarketIndex, limit: usize) -> Vec<TradeRow> {
        let newest = newest_first(&self.orders, &self.markets[usize::from(market.0)]);
        let mut trades: Vec<TradeRow> = newest
            .take(limit)
            .map(|trade| self.standing_trade(market, &trade).row())
            .collect();
        trades.reverse();
        trades
    }

    /// The trades that an order made as it entered the book, in order.
    pub fn trades_on_entry(&self, order: &OrderId) -> Vec<TradeRow> {
        let Some(slot) = self.orders.find(order) else {
            return Vec::new();
        };
        let market_index = self.orders.terms(slot).market;
        let market = &self.markets[usize::from(market_index.0)];
        let Some(at) = market.place_of(slot, self.position_of_order(slot)) else {
            return Vec::new();
        };
        tape_of(&self.orders, market, at)
            .map(|trade| self.standing_trade(market_index, &trade).row())
            .collect()
    }
}

/// The trades of the action at this place of the log.
pub(super) fn tape_of<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
    at: usize,
) -> impl Iterator<Item = TapeEntry> + 'a {
    let action = *market.log.at(at);
    let final_count = move |maker| market.terms.final_count(maker, action.own);
    trades_of(orders, action, market.fills_of(at), final_count)
}

/// What they were before a merge.
fn tape_before<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
    at: usize,
    (undone, final_before): (&'a [UndoneFill], &'a FinalBefore),
) -> impl Iterator<Item = TapeEntry> + 'a {
    let action = *market.log.at(at);
    let final_count = move |maker| {
        let before = final_before.get(&(action.own, maker)).copied();
        before.unwrap_or_else(|| market.terms.final_count(maker, action.own))
    };
    let fills = undone.iter().map(|old| old.fill);
    trades_of(orders, action, fills, final_count)
}

/// The trades that an action made by these fills, of which so many with each maker are final.
fn trades_of<'a>(
    orders: &'a OrderTable,
    action: LogEntry,
    fills: impl Iterator<Item = Trace> + 'a,
    final_count: impl Fn(Slot) -> usize + 'a,
) -> impl Iterator<Item = TapeEntry> + 'a {
    fills.zip(0..).map(move |(fill, number)| TapeEntry {
        action,
        number,
        meeting: (fill.order, action.own, fill.piece),
        price: orders.resting_price(fill.order),
        quantity: Lots(fill.value()),
        status: if (fill.piece as usize) < final_count(fill.order) {
            TradeStatus::Final
        } else {
            TradeStatus::Tentative
        },
    })
}

/// The trades of a market from the action at `first` on, in log order.
pub(super) fn tape<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
    first: usize,
) -> impl Iterator<Item = TapeEntry> + 'a {
    (first..market.log.len()).flat_map(move |at| tape_of(orders, market, at))
}

/// All trades of a market, the last in log order first.
fn newest_first<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
) -> impl Iterator<Item = TapeEntry> + 'a {
    (0..market.log.len()).rev().flat_map(move |at| {
        let mut of_one: Vec<TapeEntry> = tape_of(orders, market, at).collect();
        of_one.reverse();
        of_one
    })
}

/// An order as if it were new.
fn new_order(row: OrderRow) -> Change {
    Change::Order {
        row,
        open_before: None,
    }
}

/// What happened to a trade that was this one before, if it was there.
fn changes_since(
    old: Option<&TapeEntry>,
    trade: &TapeEntry,
) -> impl Iterator<Item = TradeChange> + use<> {
    let change = match old {
        None => Some(TradeChange::New),
        Some(old) if (old.price, old.quantity) != (trade.price, trade.quantity) => {
            Some(TradeChange::Amended)
        }
        Some(old) if old.number != trade.number => Some(TradeChange::Moved),
        Some(_) => None,
    };
    let was_final = old.is_some_and(|old| old.status == TradeStatus::Final);
    let is_confirmed =
        trade.status == TradeStatus::Final && (!was_final || change == Some(TradeChange::Amended));
    let confirmed = is_confirmed.then_some(TradeChange::Confirmed);
    change.into_iter().chain(confirmed)
}

/// How the trades of an action differ from those that it made before; by their numbers.
fn differences(
    trades: impl Iterator<Item = TapeEntry>,
    before: &[TapeEntry],
) -> Vec<(TapeEntry, TradeChange)> {
    let mut reports = Vec::new();
    // Mostly the same orders meet again, and in the same order.
    let mut before = before.iter().peekable();
    let mut others: BTreeMap<Encounter, &TapeEntry> = BTreeMap::new();
    for trade in trades {
        let old = before.next_if(|old| old.meeting == trade.meeting);
        let old = old.or_else(|| {
            others.extend(before.by_ref().map(|old| (old.meeting, old)));
            others.remove(&trade.meeting)
        });
        reports.extend(changes_since(old, &trade).map(|change| (trade, change)));
    }
    let kept = reports.len();
    let busted = before.chain(others.into_values());
    reports.extend(busted.map(|old| (*old, TradeChange::Busted)));
    if reports.len() > kept {
        reports.sort_by_key(|(trade, _)| trade.number);
    }
    reports
}
