//! The replica: all markets, as they follow from the set of applied operations.
//!
//! The state is a pure function of a set, but operations arrive in any order. So the replica does
//! what Bayou and Time Warp did: it keeps the actions of each market sorted by their
//! [`LogKey`](crate::order_log::LogKey), and when one arrives that belongs further back it takes
//! back everything behind that place, puts the new one in, and does the rest again. What has
//! changed for users is the *difference* between before and after, and only that is reported.
//!
//! Many operations that arrive together are merged together: one undo, one redo.
//!
//! Sources: Terry et al., "Managing update conflicts in Bayou" (1995); Jefferson, "Virtual time"
//! (1985).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::confirmation::{OrderPair, PairTerms};
use crate::effect_log::{Trace, TraceKind};
use crate::genesis::Genesis;
use crate::lifetimes::{Lifetimes, Mortal, Sign, Turn};
use crate::market_log::{Alteration, Deed, LogEntry, MarketLog, merge_sorted};
use crate::matching::{
    self, BATCH_MAX, Claims, Effect, EndReason, Engine, IgnoredReason, Level, Owner, Replacement,
    Slot,
};
use crate::op::{Action, Operation};
use crate::operation_table::OperationPlace;
use crate::order_log::{self, Position};
use crate::order_table::OrderTable;
use crate::types::{Digest, Lots, MarketIndex, OpId, OrderId, Side, Ticks, TradeId};
use crate::view::{Change, OrderRow, TradeChange, TradePosition, TradeRow, TradeStatus};

mod revision;

use self::revision::Revision;
pub use self::revision::ShownTrade;

/// A trade as it stands in the tape.
#[derive(Clone, Copy)]
struct TapeEntry {
    /// The action of the incoming order.
    action: LogEntry,
    /// Its how-manieth fill, from 0.
    number: u32,
    meeting: Encounter,
    price: Ticks,
    quantity: Lots,
    status: TradeStatus,
}

/// Maker, taker, and how often they met before.
type Encounter = (Slot, Slot, u32);

/// What was taken back, to be compared with what comes in its place.
#[derive(Default)]
struct Undone {
    /// The actions, in order.
    entries: Vec<LogEntry>,
    trades: BTreeMap<Encounter, TapeEntry>,
}

/// All markets of a network.
pub struct Replica<E> {
    genesis: Digest,
    bucket_ms: u32,
    lifetimes: Lifetimes,
    markets: Vec<MarketLog<E>>,
    orders: OrderTable,
    /// Orders that expire, and those that replaced them.
    mortal: BTreeSet<Slot>,
    /// How often a trade was reported, where more than once.
    revisions: BTreeMap<TradeId, u32>,
}

/// The id of the piece number `piece` that two orders trade with each other.
pub fn trade_id(first: &OrderId, second: &OrderId, piece: u32) -> TradeId {
    let (smaller, larger) = if first < second {
        (first, second)
    } else {
        (second, first)
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"tr");
    hasher.update(&smaller.0);
    hasher.update(&larger.0);
    hasher.update(&piece.to_be_bytes());
    TradeId(*hasher.finalize().as_bytes())
}

impl<E: Engine> Replica<E> {
    /// An empty replica with one engine per market. The secret keeps peers from choosing ids that
    /// are slow to find; it changes nothing that can be seen.
    pub fn new(genesis: &Genesis, secret: &[u8; 32], engines: impl IntoIterator<Item = E>) -> Self {
        Self {
            genesis: genesis.digest(),
            bucket_ms: genesis.bucket_ms,
            lifetimes: Lifetimes::new(genesis.bucket_ms, genesis.lease_ms),
            markets: engines.into_iter().map(MarketLog::new).collect(),
            orders: OrderTable::new(secret),
            mortal: BTreeSet::new(),
            revisions: BTreeMap::new(),
        }
    }

    /// An order by its id.
    pub fn order(&self, id: &OrderId) -> Option<OrderRow> {
        self.orders.get(id)
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub fn orders_between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = OrderRow> {
        self.orders.between(low, high)
    }

    /// How many orders there have been.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// The best `depth` levels of a side of a market.
    pub fn levels(&self, market: MarketIndex, side: Side, depth: usize) -> Vec<Level> {
        self.markets[usize::from(market.0)]
            .engine
            .levels(side, depth)
    }

    /// Digest of the resting orders of one market.
    pub fn book_digest(&self, market: MarketIndex) -> Digest {
        self.markets[usize::from(market.0)].engine.state_hash()
    }

    /// How many bytes of memory the history takes, about: logs, orders, and what the engines need
    /// to undo. The books themselves are not counted.
    pub fn memory_bytes(&self) -> usize {
        let markets = self.markets.iter().map(MarketLog::memory_bytes);
        markets.sum::<usize>() + self.orders.memory_bytes()
    }

    /// Takes an applied operation in; it has no effect before [`Replica::merge`].
    pub fn stage(&mut self, operation: &Operation, owner: Owner, position: Position, late_ms: u64) {
        let body = operation.body();
        let keys = order_log::keys(&self.genesis, operation.id(), body, position);
        let (place, seats) = self.orders.add(operation, owner, late_ms);
        let cancelled = body.actions.iter().filter_map(|action| match action {
            Action::Cancel { order, .. } => Some(order),
            _ => None,
        });
        self.orders.prepare(cancelled);
        let mut seats = seats.map(Slot);
        let mut turns = Vec::new();
        self.live(operation, (owner, place), seats.clone(), &mut turns);
        for key in keys {
            let action = &body.actions[usize::from(key.index)];
            let market = &mut self.markets[usize::from(action.market().0)];
            let deed = match *action {
                Action::Place(_) => Deed::Place,
                Action::Cancel { order, .. } => match self.orders.find(&order) {
                    Some(seat) => Deed::Cancel(seat),
                    None => market.cancel_stranger(order),
                },
                Action::Replace {
                    order,
                    side,
                    price,
                    quantity,
                    ..
                } => market.replace(Alteration {
                    order,
                    side,
                    price,
                    quantity,
                }),
                Action::Confirm(_) | Action::Decline { .. } | Action::Release { .. } => {
                    unreachable!("confirmations have no place in the order")
                }
            };
            let own = match action {
                Action::Place(_) | Action::Replace { price: Some(_), .. } => {
                    seats.next().expect("a seat was reserved")
                }
                _ => Slot::NONE,
            };
            let entry = LogEntry::new(&key, place, own, deed);
            market.incoming.push(entry);
            if own != Slot::NONE {
                market.seats_of.entry(owner).or_default().push(own);
            }
        }
        for (market, entry) in turns {
            self.markets[usize::from(market.0)].incoming.push(entry);
        }
    }

    /// Notes what an operation means for the ends of orders: its author is alive, and some of its
    /// own may expire.
    fn live(
        &mut self,
        operation: &Operation,
        (owner, place): (Owner, OperationPlace),
        mut seats: impl Iterator<Item = Slot> + Clone,
        turns: &mut Vec<Turn>,
    ) {
        let body = operation.body();
        let made = seats.clone().map(|seat| self.orders.terms(seat).market);
        let sign = Sign {
            owner,
            operation: place,
            time_ms: body.time.unix_ms(),
        };
        self.lifetimes.insert(&sign, made, turns);
        for (index, action) in (0..).zip(&body.actions) {
            let seat = match action {
                Action::Place(_) | Action::Replace { price: Some(_), .. } => seats.next(),
                _ => None,
            };
            if let (Action::Place(terms), Some(seat)) = (action, seat)
                && let Some(expires_ms) = terms.expires_ms
            {
                let made_by = (place, index);
                let order = Mortal { seat, made_by };
                self.mortal.insert(seat);
                self.lifetimes
                    .expire(terms.market, order, expires_ms, turns);
            }
        }
    }

    /// Takes in what was signed about a pair of orders; it has no effect before
    /// [`Replica::merge`]. `cause` is the operation by which it is so.
    pub fn stage_terms(
        &mut self,
        market: MarketIndex,
        pair: OrderPair,
        terms: PairTerms,
        cause: OpId,
    ) {
        let market = &mut self.markets[usize::from(market.0)];
        market.terms.incoming.insert(pair, (terms, cause));
    }

    /// Merges what was staged into the logs and reports what is different now.
    ///
    /// What belongs further back than the fast lane goes may wait for the slow lane (see
    /// [`crate::market_log`] and [`Replica::next_merge_ms`]).
    pub fn merge(&mut self, now_ms: u64) -> Vec<Change> {
        self.merge_taken(Some(now_ms))
    }

    /// Merges all that was staged, however far back it belongs.
    pub fn merge_all(&mut self) -> Vec<Change> {
        self.merge_taken(None)
    }

    /// Merges what was staged in each market: all of it, or what is due at a time.
    fn merge_taken(&mut self, now_ms: Option<u64>) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.markets.len() {
            let market = &mut self.markets[index];
            if market.incoming.is_empty() && market.terms.incoming.is_empty() {
                continue;
            }
            let operations = &self.orders.operations;
            let incoming = match now_ms {
                Some(now_ms) => market.take_due(operations, now_ms),
                None => market.take_all(operations),
            };
            let revisions = self.take_revisions(index, &incoming, now_ms);
            self.merge_market(index, incoming, revisions, &mut changes);
        }
        changes
    }

    /// When something staged will be due that is not due now.
    pub fn next_merge_ms(&self) -> Option<u64> {
        self.markets
            .iter()
            .filter_map(MarketLog::next_merge_ms)
            .min()
    }

    /// Undo to the first place where something is new, merge, redo, and compare.
    fn merge_market(
        &mut self,
        index: usize,
        incoming: Vec<LogEntry>,
        revisions: Vec<Revision>,
        changes: &mut Vec<Change>,
    ) {
        changes.reserve(2 * incoming.len());
        let operations = &self.orders.operations;
        let with_cause = |entry: &LogEntry| (*entry, operations.row(entry.operation).id);
        let incoming_first = incoming.first().map(with_cause);
        let back_to = revisions.iter().filter_map(Revision::back_to_with_cause);
        let back_to = back_to.chain(incoming_first);
        let back_to = back_to.min_by(|(first, _), (second, _)| first.order(second, operations));
        let Some((back_to, cause)) = back_to else {
            return self.adopt(index, self.markets[index].log.len(), revisions, changes);
        };
        let undone = self.undo_behind(index, &back_to);
        let first = self.markets[index].log.len();
        self.adopt(index, first, revisions, changes);
        let withdrawn = |entry: &LogEntry| matches!(entry.deed, Deed::Withdraw(_));
        let withdrawn: Vec<LogEntry> = incoming.iter().copied().filter(withdrawn).collect();
        let operations = &self.orders.operations;
        let log = &mut self.markets[index].log;
        merge_sorted(undone.entries, incoming, operations)
            .filter(|entry| withdrawn.iter().all(|gone| !entry.is_withdrawn_by(gone)))
            .for_each(|entry| log.push(entry));
        self.renew_promises(index, first);
        self.execute_from(index, first);
        self.report_trades(index, (first, cause), undone.trades, changes);
        self.orders.report(changes);
    }

    /// Takes back every action behind an entry that is not in the log.
    fn undo_behind(&mut self, index: usize, entry: &LogEntry) -> Undone {
        let mut undone = Undone::default();
        let market = &mut self.markets[index];
        let operations = &self.orders.operations;
        let is_before = |other: &LogEntry| other.is_before(entry, operations);
        if market.log.last().is_none_or(is_before) {
            return undone;
        }
        let from = market.log.partition_point(is_before);
        market.engine.undo_to(market.log[from].mark);
        for at in (from..market.log.len()).rev() {
            let trades = tape_of(&self.orders, &self.markets[index], at);
            undone
                .trades
                .extend(trades.map(|trade| (trade.meeting, trade)));
            let market = &mut self.markets[index];
            let entry = market.log.pop().expect("it is in the log");
            while market.traces.len() > entry.traces_from as usize
                && let Some(trace) = market.traces.pop()
            {
                self.orders.unfold(&trace, entry.own);
            }
            if entry.own != Slot::NONE {
                self.orders.leave(entry.own);
            }
            undone.entries.push(entry);
        }
        undone.entries.reverse();
        undone
    }

    /// Executes the log of a market from `first` on. What a batch of actions will need from memory
    /// is asked for before the first of them has to wait for it.
    fn execute_from(&mut self, index: usize, first: usize) {
        let mut actions = Vec::with_capacity(BATCH_MAX);
        let mut ends = Vec::with_capacity(BATCH_MAX);
        let end = self.markets[index].log.len();
        for batch in (first..end).step_by(BATCH_MAX) {
            let market = &self.markets[index];
            actions.clear();
            let entries = (batch..end.min(batch + BATCH_MAX)).map(|at| &market.log[at]);
            actions.extend(entries.map(|entry| action(&self.orders, market, entry)));
            market.engine.prepare(&actions);
            let mut folded = batch;
            for (at, action) in (batch..).zip(&actions) {
                let deed = self.markets[index].log[at].deed;
                if matches!(deed, Deed::Replace(_) | Deed::Expire(_) | Deed::Lapse(_)) {
                    // It depends on what the orders are by then.
                    self.fold(index, folded, &mut ends);
                    folded = at;
                }
                let market = &mut self.markets[index];
                market.log[at].mark = market.engine.mark();
                match (deed, action) {
                    (_, matching::Action::Replace(replacement)) => {
                        self.execute_replace(index, at, replacement);
                    }
                    (Deed::Lapse(owner), _) => self.execute_lapse(index, owner),
                    (Deed::Expire(order), _) => self.execute_expiry(index, order),
                    _ => {
                        let own = market.log[at].own;
                        let claims = market.terms.claims(own, &self.orders);
                        market
                            .engine
                            .execute_claimed(action, &claims, &mut market.effects);
                    }
                }
                ends.push(self.markets[index].effects.len());
            }
            self.fold(index, folded, &mut ends);
        }
    }

    /// Brings the effects of the actions from `first` on into the seats and the log of traces. The
    /// effects of each action stop where the next of `ends` says.
    fn fold(&mut self, index: usize, first: usize, ends: &mut Vec<usize>) {
        let market = &mut self.markets[index];
        let (mut from, mut prepared) = (0, 0);
        let mut met = (OrderId::default(), Slot::NONE);
        for (at, to) in (first..).zip(ends.drain(..)) {
            let traces_from = market.next_trace();
            let entry = &mut market.log[at];
            entry.traces_from = traces_from;
            let own = entry.own;
            match entry.deed {
                Deed::Place => self.orders.enter(own),
                Deed::Cancel(order) => met = (self.orders.id(order), order),
                _ => {}
            }
            let known = (self.orders.id(own), own);
            for number in from..to {
                if number >= prepared {
                    prepared = number + BATCH_MAX;
                    let coming = market.effects[number..].iter().take(BATCH_MAX);
                    self.orders.prepare(coming.filter_map(maker));
                }
                let effect = &market.effects[number];
                if let Some(trace) = trace(&self.orders, effect, &known, &mut met) {
                    self.orders.fold(&trace, own);
                    market.traces.push(trace);
                }
            }
            from = to;
        }
        market.effects.clear();
    }

    /// Changes an order, if it is there and the change is one.
    fn execute_replace(&mut self, index: usize, at: usize, replacement: &Replacement) {
        let own = self.markets[index].log[at].own;
        let from = self.markets[index].effects.len();
        let old = self.replaceable(index, at, replacement);
        let market = &mut self.markets[index];
        let claims = market.terms.claims(own, &self.orders);
        let order = replacement.order;
        match old {
            Err(reason) => market.effects.push(Effect::Ignored { order, reason }),
            Ok(old) => {
                let kept = market
                    .engine
                    .find(&order)
                    .map_or(0, |resting| resting.kept());
                let effects = &mut market.effects;
                market.engine.replace(replacement, &claims, effects);
                let reason = EndReason::Replaced;
                let retired = Effect::Ended { order, reason };
                if let (true, Some(old)) = (effects[from..].contains(&retired), old) {
                    let total = replacement.quantity.expect("operations name it").0;
                    let filled = self.orders.terms(old).filled.0;
                    self.orders
                        .enter_replacing(own, old, Lots(total - filled - kept));
                    if self.mortal.contains(&old) {
                        market.successors.insert(old, own);
                        self.mortal.insert(own);
                    }
                    return;
                }
                if let Some(quantity) = replacement.quantity {
                    complete_reduction(effects, from, order, quantity);
                }
            }
        }
        self.show_complete(index, own, &claims);
    }

    /// The seat of the order that a replace addresses, if it has one, or why it has no effect.
    fn replaceable(
        &self,
        index: usize,
        at: usize,
        replacement: &Replacement,
    ) -> Result<Option<Slot>, IgnoredReason> {
        let Deed::Replace(number) = self.markets[index].log[at].deed else {
            unreachable!("only replaces replace");
        };
        let alteration = &self.markets[index].alterations[number as usize];
        let old = self.orders.find(&replacement.order);
        let old = old.filter(|old| self.orders.terms(*old).market == market_index(index));
        let Some(slot) = old.filter(|old| self.orders.order(*old).is_some()) else {
            return Ok(None);
        };
        let seat = self.orders.terms(slot);
        if seat.side != alteration.side {
            Err(IgnoredReason::OtherSide)
        } else if alteration.price.is_none() && alteration.quantity >= seat.quantity {
            Err(IgnoredReason::NotReduced)
        } else {
            Ok(Some(slot))
        }
    }

    /// An order that never came to be is shown all the same if it has final trades.
    fn show_complete(&mut self, index: usize, own: Slot, claims: &Claims) {
        let market = &mut self.markets[index];
        let completed = market.terms.completed(own);
        if own == Slot::NONE || completed == 0 {
            return;
        }
        self.orders.enter_for_trades(own, Lots(completed));
        let order = self.orders.id(own);
        market
            .engine
            .state_complete(&order, claims, &mut market.effects);
        let reason = EndReason::NotPlaced;
        market.effects.push(Effect::Ended { order, reason });
    }

    /// Ends the order that expires, or what replaced it.
    fn execute_expiry(&mut self, index: usize, order: Slot) {
        let market = &mut self.markets[index];
        let mut last = order;
        while self.orders.terms(last).ended() == Some(EndReason::Replaced)
            && let Some(next) = market.successors.get(&last)
        {
            last = *next;
        }
        let id = self.orders.id(last);
        market
            .engine
            .end(&id, EndReason::Expired, &mut market.effects);
    }

    /// Ends all resting orders of an author.
    fn execute_lapse(&mut self, index: usize, owner: Owner) {
        let market = &mut self.markets[index];
        for seat in market.seats_of.get(&owner).into_iter().flatten() {
            let is_open = self
                .orders
                .order(*seat)
                .is_some_and(|seat| seat.ended().is_none());
            if is_open {
                let id = self.orders.id(*seat);
                market
                    .engine
                    .end(&id, EndReason::Lapsed, &mut market.effects);
            }
        }
    }

    /// Reports how the trades from `first` on differ from those that were undone.
    fn report_trades(
        &mut self,
        index: usize,
        (first, cause): (usize, OpId),
        mut undone: BTreeMap<Encounter, TapeEntry>,
        changes: &mut Vec<Change>,
    ) {
        let market = &self.markets[index];
        let operations = &self.orders.operations;
        let mut reports = Vec::new();
        for trade in tape(&self.orders, market, first) {
            let old = undone.remove(&trade.meeting);
            let was_final = old.is_some_and(|old| old.status == TradeStatus::Final);
            let change = match old {
                None => Some(TradeChange::New),
                Some(old) if (old.price, old.quantity) != (trade.price, trade.quantity) => {
                    Some(TradeChange::Amended)
                }
                Some(old) if old.number != trade.number => Some(TradeChange::Moved),
                Some(_) => None,
            };
            reports.extend(change.map(|change| (trade, change)));
            let is_final = trade.status == TradeStatus::Final;
            if is_final && (!was_final || change == Some(TradeChange::Amended)) {
                reports.push((trade, TradeChange::Confirmed));
            }
        }
        if !undone.is_empty() {
            let busted = undone.into_values();
            reports.extend(busted.map(|old| (old, TradeChange::Busted)));
            reports.sort_by(|(first, _), (second, _)| {
                let actions = first.action.order(&second.action, operations);
                actions.then(first.number.cmp(&second.number))
            });
        }
        for (trade, change) in reports {
            self.report_trade(index, &trade, change, cause, changes);
        }
    }

    /// Reports what happened to a trade.
    fn report_trade(
        &mut self,
        index: usize,
        trade: &TapeEntry,
        change: TradeChange,
        cause: OpId,
        changes: &mut Vec<Change>,
    ) {
        let id = self.id_of(trade);
        self.count_report(&id, change);
        let status = match change {
            TradeChange::New => TradeStatus::Tentative,
            TradeChange::Moved | TradeChange::Confirmed => trade.status,
            TradeChange::Amended => TradeStatus::Amended,
            TradeChange::Busted => TradeStatus::Busted,
        };
        changes.push(Change::Trade {
            position: self.position(trade),
            row: self.trade_row(market_index(index), id, trade, status),
            change,
            cause,
        });
    }

    /// Counts reports of a trade, from the second on.
    fn count_report(&mut self, trade: &TradeId, change: TradeChange) {
        let known = self.revisions.contains_key(trade);
        if change == TradeChange::Moved || (change == TradeChange::New && !known) {
            return;
        }
        *self.revisions.entry(*trade).or_insert(1) += 1;
    }

    fn id_of(&self, trade: &TapeEntry) -> TradeId {
        let (maker, taker, piece) = trade.meeting;
        trade_id(&self.orders.id(maker), &self.orders.id(taker), piece)
    }

    fn position(&self, trade: &TapeEntry) -> TradePosition {
        TradePosition {
            key: trade.action.key(&self.orders.operations),
            number: trade.number,
        }
    }

    /// A trade for users.
    fn trade_row(
        &self,
        market: MarketIndex,
        trade: TradeId,
        entry: &TapeEntry,
        status: TradeStatus,
    ) -> TradeRow {
        let (maker, taker, _) = entry.meeting;
        let side = self.orders.terms(taker).side;
        let (buy, sell) = match side {
            Side::Buy => (taker, maker),
            Side::Sell => (maker, taker),
        };
        TradeRow {
            trade,
            market,
            price: entry.price,
            quantity: entry.quantity,
            buy: self.orders.id(buy),
            sell: self.orders.id(sell),
            taker: side,
            status,
            time: self.orders.operations.row(entry.action.operation).time,
            revision: self.revision(&trade),
        }
    }

    /// A trade that stands in the tape, for users.
    fn standing_trade_row(&self, market: MarketIndex, entry: &TapeEntry) -> TradeRow {
        self.trade_row(market, self.id_of(entry), entry, entry.status)
    }

    /// How often a trade was reported; 1 also for one that never was.
    pub fn revision(&self, trade: &TradeId) -> u32 {
        self.revisions.get(trade).copied().unwrap_or(1)
    }

    /// Digest of all trades in log order, market by market.
    pub fn trades_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech trades 1");
        for (index, market) in self.markets.iter().enumerate() {
            hasher.update(&(index as u64).to_be_bytes());
            for trade in tape(&self.orders, market, 0) {
                let (maker, taker, piece) = trade.meeting;
                hasher.update(&self.orders.id(maker).0);
                hasher.update(&self.orders.id(taker).0);
                hasher.update(&piece.to_be_bytes());
                hasher.update(&trade.price.0.to_be_bytes());
                hasher.update(&trade.quantity.0.to_be_bytes());
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Digest of the status of every order, by id.
    pub fn orders_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech orders 1");
        for row in self.orders.iter() {
            hasher.update(&row.order.0);
            hasher.update(&row.quantity.0.to_be_bytes());
            hasher.update(&row.filled.0.to_be_bytes());
            hasher.update(&[row.ended.map_or(0, end_code)]);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Digest of all resting orders, market by market.
    pub fn books_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech books 1");
        for market in &self.markets {
            hasher.update(&market.engine.state_hash().0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Everything that a view must know, as changes that are news to nobody.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, market) in self.markets.iter().enumerate() {
            changes.extend(tape(&self.orders, market, 0).map(|trade| Change::Trade {
                position: self.position(&trade),
                row: self.standing_trade_row(market_index(index), &trade),
                change: TradeChange::Moved,
                cause: self.orders.operations.row(trade.action.operation).id,
            }));
        }
        changes.extend(self.orders.iter().map(Change::Order));
        changes
    }

    /// The trades that an order made as it entered the book, in order.
    pub fn trades_on_entry(&self, order: &OrderId) -> Vec<TradeRow> {
        let Some(slot) = self.orders.find(order) else {
            return Vec::new();
        };
        let market_index = self.orders.terms(slot).market;
        let market = &self.markets[usize::from(market_index.0)];
        let mut newest_first = (0..market.log.len()).rev();
        let Some(at) = newest_first.find(|at| market.log[*at].own == slot) else {
            return Vec::new();
        };
        tape_of(&self.orders, market, at)
            .map(|trade| self.standing_trade_row(market_index, &trade))
            .collect()
    }
}

/// What the engine has to do.
fn action<E>(orders: &OrderTable, market: &MarketLog<E>, entry: &LogEntry) -> matching::Action {
    let by = orders.operations.row(entry.operation).owner;
    match entry.deed {
        Deed::Place => matching::Action::Place(orders.new_order(entry.own)),
        Deed::Cancel(order) => matching::Action::Cancel {
            order: orders.id(order),
            by,
        },
        Deed::CancelStranger(number) => matching::Action::Cancel {
            order: market.strangers[number as usize],
            by,
        },
        Deed::Replace(number) => {
            let Alteration {
                order,
                price,
                quantity,
                ..
            } = market.alterations[number as usize];
            matching::Action::Replace(Box::new(Replacement {
                order,
                by,
                new_id: orders.id(entry.own),
                price,
                quantity: Some(quantity),
            }))
        }
        Deed::Expire(order) => matching::Action::End {
            order: orders.id(order),
            reason: EndReason::Expired,
        },
        Deed::Lapse(_) | Deed::Withdraw(_) => matching::Action::End {
            order: OrderId::default(),
            reason: EndReason::Lapsed,
        },
    }
}

/// The resting order that takes part in an effect.
fn maker(effect: &Effect) -> Option<&OrderId> {
    match effect {
        Effect::Fill { maker, .. } => Some(maker),
        _ => None,
    }
}

/// What has to be kept of an effect. `own` is the order of the action, `met` the last other one
/// that an effect named: most are named several times in a row.
fn trace(
    orders: &OrderTable,
    effect: &Effect,
    own: &(OrderId, Slot),
    met: &mut (OrderId, Slot),
) -> Option<Trace> {
    let mut seat_of = |id: &OrderId| {
        if own.0 == *id && own.1 != Slot::NONE {
            return own.1;
        }
        if met.0 != *id {
            let found = orders.find(id);
            *met = (*id, found.expect("effects name orders that were placed"));
        }
        met.1
    };
    match effect {
        Effect::Fill {
            maker,
            quantity,
            piece,
            ..
        } => Some(Trace::fill(seat_of(maker), quantity.0, *piece)),
        Effect::Reduced { order, quantity } => {
            let order = seat_of(order);
            let by = orders.terms(order).quantity.0 - quantity.0;
            Some(Trace::new(TraceKind::Reduced, order, by))
        }
        Effect::Ended { order, reason } => {
            Some(Trace::new(TraceKind::Ended(*reason), seat_of(order), 0))
        }
        Effect::Rested { .. } | Effect::Ignored { .. } => None,
    }
}

/// A total reduced to just what is filled ends an order as filled. It is a reduction all the same,
/// or an order of which nothing is left would seem to have something left.
fn complete_reduction(effects: &mut Vec<Effect>, from: usize, order: OrderId, quantity: Lots) {
    let reason = EndReason::Filled;
    if effects[from..] == [Effect::Ended { order, reason }] {
        effects.insert(from, Effect::Reduced { order, quantity });
    }
}

/// The trades of the action at this place of the log.
fn tape_of<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
    at: usize,
) -> impl Iterator<Item = TapeEntry> + 'a {
    let action = market.log[at];
    let fills = market.traces_of(at);
    let fills = fills.filter(|trace| trace.kind == TraceKind::Fill);
    fills.zip(0..).map(move |(fill, number)| TapeEntry {
        action,
        number,
        meeting: (fill.order, action.own, fill.piece),
        price: orders
            .terms(fill.order)
            .price()
            .expect("an order that rested has a price"),
        quantity: Lots(fill.value()),
        status: market.terms.status(fill.order, action.own, fill.piece),
    })
}

/// The trades of a market from the action at `first` on, in log order.
fn tape<'a, E>(
    orders: &'a OrderTable,
    market: &'a MarketLog<E>,
    first: usize,
) -> impl Iterator<Item = TapeEntry> + 'a {
    (first..market.log.len()).flat_map(move |at| tape_of(orders, market, at))
}

/// The market at this place in the genesis.
fn market_index(index: usize) -> MarketIndex {
    MarketIndex(u16::try_from(index).expect("a genesis has at most 256 markets"))
}

/// What an end reason counts as in a digest.
fn end_code(reason: EndReason) -> u8 {
    match reason {
        EndReason::Filled => 1,
        EndReason::Cancelled => 2,
        EndReason::Unfilled => 3,
        EndReason::SelfTrade => 4,
        EndReason::Replaced => 5,
        EndReason::KilledUnfilled => 6,
        EndReason::WouldTake => 7,
        EndReason::Expired => 8,
        EndReason::Lapsed => 9,
        EndReason::NotPlaced => 10,
    }
}
