//! The replica: all markets, as they follow from the set of applied operations.
//!
//! The state is a pure function of a set, but operations arrive in any order. So the replica does
//! what Bayou and Time Warp did: it keeps the actions of each market sorted by their
//! [`LogKey`], and when one arrives that belongs further back it takes back everything behind that
//! place, puts the new one in, and does the rest again. What has changed for users is the
//! *difference* between before and after, and only that is reported.
//!
//! Many operations that arrive together are merged together: one undo, one redo.
//!
//! Sources: Terry et al., "Managing update conflicts in Bayou" (1995); Jefferson, "Virtual time"
//! (1985).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::market_log::{LogEntry, MarketLog, merge_sorted};
use crate::matching::{
    Effect, EndReason, Engine, IgnoredReason, Level, Mark, NewOrder, Owner, Pricing, Replacement,
};
use crate::op::{Action, Operation};
use crate::order_log::{self, LogKey, Position};
use crate::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OpId, OrderId, Side, Ticks, TradeId,
};
use crate::view::{Change, OrderRow, TradeChange, TradePosition, TradeRow, TradeStatus};

/// A trade as it stands in the tape.
#[derive(Clone, PartialEq, Eq)]
struct TapeEntry {
    position: TradePosition,
    price: Ticks,
    quantity: Lots,
    time: HybridTime,
    taker: Side,
}

/// What a merge has touched, as it was before.
#[derive(Default)]
struct Difference {
    orders: BTreeMap<OrderId, Option<OrderRow>>,
    trades_before: BTreeMap<Pair, TapeEntry>,
    trades_after: BTreeMap<Pair, TapeEntry>,
}

/// Maker and taker of a trade.
type Pair = (OrderId, OrderId);

/// All markets of a network.
pub struct Replica<E> {
    genesis: Digest,
    markets: Vec<MarketLog<E>>,
    orders: BTreeMap<OrderId, OrderRow>,
    /// Keys of the authors by their local number.
    authors: Vec<AuthorKey>,
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
    /// An empty replica with one engine per market.
    pub fn new(genesis: Digest, engines: impl IntoIterator<Item = E>) -> Self {
        let markets = engines.into_iter().map(MarketLog::new).collect();
        let (orders, authors, revisions) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self {
            genesis,
            markets,
            orders,
            authors,
            revisions,
        }
    }

    /// An order by its id.
    pub fn order(&self, id: &OrderId) -> Option<&OrderRow> {
        self.orders.get(id)
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub fn orders_between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = &OrderRow> {
        self.orders.range(low..=high).map(|(_, row)| row)
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

    /// Takes an applied operation in; it has no effect before [`Replica::merge`].
    pub fn stage(&mut self, operation: &Operation, owner: Owner, position: Position, late_ms: u64) {
        let body = operation.body();
        if self.authors.len() == owner.0 as usize {
            self.authors.push(body.author);
        }
        debug_assert_eq!(self.authors.get(owner.0 as usize), Some(&body.author));
        let keys = order_log::keys(&self.genesis, operation.id(), body, position);
        for (action, key) in body.actions.iter().zip(keys) {
            self.markets[usize::from(action.market().0)]
                .incoming
                .push(LogEntry {
                    key,
                    action: action.clone(),
                    owner,
                    time: body.time,
                    late_ms,
                    mark: Mark(0),
                    effects_from: 0,
                });
        }
    }

    /// Merges what was staged into the logs and reports what is different now.
    ///
    /// What belongs further back than the fast lane goes may wait for the slow lane (see
    /// [`crate::market_log`] and [`Replica::next_merge_ms`]).
    pub fn merge(&mut self, now_ms: u64) -> Vec<Change> {
        self.merge_taken(|market| market.take_due(now_ms))
    }

    /// Merges all that was staged, however far back it belongs.
    pub fn merge_all(&mut self) -> Vec<Change> {
        self.merge_taken(MarketLog::take_all)
    }

    /// Merges what is taken out of each market's staged actions.
    fn merge_taken(&mut self, take: impl Fn(&mut MarketLog<E>) -> Vec<LogEntry>) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.markets.len() {
            let incoming = take(&mut self.markets[index]);
            if !incoming.is_empty() {
                self.merge_market(index, incoming, &mut changes);
            }
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

    /// Undo to the first new action, merge, redo, and compare.
    fn merge_market(&mut self, index: usize, incoming: Vec<LogEntry>, changes: &mut Vec<Change>) {
        let mut difference = Difference::default();
        let first = incoming[0].key;
        let tail = self.undo_behind(index, first, &mut difference);
        for entry in merge_sorted(tail, incoming) {
            self.execute(index, entry, &mut difference);
        }
        let market = MarketIndex(u16::try_from(index).expect("a genesis has at most 256 markets"));
        self.report(market, first, difference, changes);
    }

    /// Takes back every action behind `key` and returns them in order.
    fn undo_behind(
        &mut self,
        index: usize,
        key: LogKey,
        difference: &mut Difference,
    ) -> Vec<LogEntry> {
        let market = &mut self.markets[index];
        let at = market.log.partition_point(|entry| entry.key < key);
        let tail = market.log.split_off(at);
        let Some(mark) = tail.first().map(|entry| entry.mark) else {
            return tail;
        };
        market.engine.undo_to(mark);
        for entry in tail.iter().rev() {
            let effects = self.markets[index].effects.split_off(entry.effects_from);
            difference
                .trades_before
                .extend(self.trades_of(entry, &effects));
            for effect in effects.iter().rev() {
                self.unfold(index, effect, difference);
            }
            if self.orders.contains_key(&entry.own_order()) {
                self.touch(&entry.own_order(), difference);
                self.orders.remove(&entry.own_order());
            }
        }
        tail
    }

    /// Executes an action at the end of the log.
    fn execute(&mut self, index: usize, mut entry: LogEntry, difference: &mut Difference) {
        entry.mark = self.markets[index].engine.mark();
        entry.effects_from = self.markets[index].effects.len();
        match &entry.action {
            Action::Place(_) => self.execute_place(index, &entry, difference),
            Action::Cancel { order, .. } => {
                let market = &mut self.markets[index];
                market
                    .engine
                    .cancel(order, entry.owner, &mut market.effects);
            }
            Action::Replace {
                order,
                price,
                quantity,
                ..
            } => {
                self.execute_replace(index, &entry, (*order, *price, *quantity), difference);
            }
        }
        let effects = self.markets[index].effects[entry.effects_from..].to_vec();
        for effect in &effects {
            self.fold(index, effect, difference);
        }
        difference
            .trades_after
            .extend(self.trades_of(&entry, &effects));
        self.markets[index].log.push(entry);
    }

    /// Enters a new order.
    fn execute_place(&mut self, index: usize, entry: &LogEntry, difference: &mut Difference) {
        let Action::Place(place) = &entry.action else {
            return;
        };
        let id = entry.own_order();
        self.touch(&id, difference);
        let price = match place.pricing {
            Pricing::Limit(price) => Some(price),
            Pricing::Market(protection) => protection,
        };
        self.orders.insert(
            id,
            OrderRow {
                order: id,
                author: self.authors[entry.owner.0 as usize],
                market: place.market,
                side: place.side,
                price,
                quantity: place.quantity,
                filled: Lots(0),
                ended: None,
                time: entry.time,
                late_ms: entry.late_ms,
            },
        );
        let order = NewOrder {
            id,
            owner: entry.owner,
            side: place.side,
            pricing: place.pricing,
            quantity: place.quantity,
            time_in_force: place.time_in_force,
            self_trade: place.self_trade,
        };
        let market = &mut self.markets[index];
        market.engine.place(&order, &mut market.effects);
    }

    /// Changes an order, if it is there and the change is one.
    fn execute_replace(
        &mut self,
        index: usize,
        entry: &LogEntry,
        (order, price, quantity): (OrderId, Option<Ticks>, Option<Lots>),
        difference: &mut Difference,
    ) {
        let old = self
            .orders
            .get(&order)
            .filter(|row| row.market == entry.action.market())
            .cloned();
        let reduces = |row: &OrderRow| quantity.is_some_and(|quantity| quantity < row.quantity);
        let market = &mut self.markets[index];
        if price.is_none() && old.as_ref().is_some_and(|row| !reduces(row)) {
            let reason = IgnoredReason::NotReduced;
            market.effects.push(Effect::Ignored { order, reason });
            return;
        }
        let new_id = entry.own_order();
        let replacement = Replacement {
            order,
            by: entry.owner,
            new_id,
            price,
            quantity,
        };
        market.engine.replace(&replacement, &mut market.effects);
        market.complete_reduction(entry.effects_from, order, quantity);
        let retired = Effect::Ended {
            order,
            reason: EndReason::Replaced,
        };
        if market.effects[entry.effects_from..].contains(&retired) {
            let old = old.expect("only a known order can be retired");
            let total = quantity.unwrap_or(old.quantity);
            self.touch(&new_id, difference);
            self.orders.insert(
                new_id,
                OrderRow {
                    order: new_id,
                    price: price.or(old.price),
                    quantity: Lots(total.0 - old.filled.0),
                    filled: Lots(0),
                    ended: None,
                    time: entry.time,
                    late_ms: entry.late_ms,
                    ..old
                },
            );
        }
    }

    /// Remembers an order as it was before the merge.
    fn touch(&self, order: &OrderId, difference: &mut Difference) {
        let row = || self.orders.get(order).cloned();
        difference.orders.entry(*order).or_insert_with(row);
    }

    /// The row of an order that an effect names.
    fn row(&mut self, order: &OrderId, difference: &mut Difference) -> &mut OrderRow {
        self.touch(order, difference);
        self.orders
            .get_mut(order)
            .expect("effects name orders that were placed")
    }

    /// Brings an effect into the orders' rows.
    fn fold(&mut self, index: usize, effect: &Effect, difference: &mut Difference) {
        match effect {
            Effect::Fill {
                maker,
                taker,
                quantity,
                ..
            } => {
                self.row(maker, difference).filled.0 += quantity.0;
                self.row(taker, difference).filled.0 += quantity.0;
            }
            Effect::Reduced { order, quantity } => {
                let row = self.row(order, difference);
                let before = core::mem::replace(&mut row.quantity, *quantity);
                self.markets[index].reductions.push(before);
            }
            Effect::Ended { order, reason } => self.row(order, difference).ended = Some(*reason),
            Effect::Rested { .. } | Effect::Ignored { .. } => {}
        }
    }

    /// Takes an effect out of the orders' rows again.
    fn unfold(&mut self, index: usize, effect: &Effect, difference: &mut Difference) {
        match effect {
            Effect::Fill {
                maker,
                taker,
                quantity,
                ..
            } => {
                self.row(maker, difference).filled.0 -= quantity.0;
                self.row(taker, difference).filled.0 -= quantity.0;
            }
            Effect::Reduced { order, .. } => {
                let before = self.markets[index].reductions.pop();
                let before = before.expect("every reduction left its quantity before");
                self.row(order, difference).quantity = before;
            }
            Effect::Ended { order, .. } => self.row(order, difference).ended = None,
            Effect::Rested { .. } | Effect::Ignored { .. } => {}
        }
    }

    /// Turns a difference into changes: trades first, then the orders.
    fn report(
        &mut self,
        market: MarketIndex,
        cause: LogKey,
        mut difference: Difference,
        changes: &mut Vec<Change>,
    ) {
        let after = core::mem::take(&mut difference.trades_after);
        let mut before = core::mem::take(&mut difference.trades_before);
        let mut reports = Vec::new();
        for (pair, entry) in after {
            let change = match before.remove(&pair) {
                None => TradeChange::New,
                Some(old) if old == entry => continue,
                Some(old) if (old.price, old.quantity) == (entry.price, entry.quantity) => {
                    TradeChange::Moved
                }
                Some(_) => TradeChange::Amended,
            };
            reports.push((pair, entry, change));
        }
        reports.extend(
            before
                .into_iter()
                .map(|(pair, old)| (pair, old, TradeChange::Busted)),
        );
        reports.sort_by_key(|(_, entry, _)| entry.position);
        for (pair, entry, change) in reports {
            self.count_report(&trade_id(&pair.0, &pair.1, 0), change);
            let status = match change {
                TradeChange::New | TradeChange::Moved => TradeStatus::Tentative,
                TradeChange::Amended => TradeStatus::Amended,
                TradeChange::Busted => TradeStatus::Busted,
            };
            let row = self.trade_row(market, pair, &entry, status);
            let (position, cause) = (entry.position, cause.operation);
            changes.push(Change::Trade {
                position,
                row,
                change,
                cause,
            });
        }
        for (id, before) in difference.orders {
            match self.orders.get(&id) {
                Some(row) if before.as_ref() != Some(row) => {
                    changes.push(Change::Order(row.clone()));
                }
                None if before.is_some() => changes.push(Change::OrderGone(id)),
                Some(_) | None => {}
            }
        }
    }

    /// Counts reports of a trade, from the second on.
    fn count_report(&mut self, trade: &TradeId, change: TradeChange) {
        let known = self.revisions.contains_key(trade);
        if change == TradeChange::Moved || (change == TradeChange::New && !known) {
            return;
        }
        *self.revisions.entry(*trade).or_insert(1) += 1;
    }

    /// The trades among the effects of an action.
    fn trades_of(&self, entry: &LogEntry, effects: &[Effect]) -> Vec<(Pair, TapeEntry)> {
        let fills = effects.iter().filter_map(|effect| match effect {
            Effect::Fill {
                maker,
                taker,
                price,
                quantity,
            } => Some((*maker, *taker, *price, *quantity)),
            _ => None,
        });
        fills
            .zip(0..)
            .map(|((maker, taker, price, quantity), number)| {
                let position = TradePosition {
                    key: entry.key,
                    number,
                };
                let side = self.orders[&taker].side;
                let time = entry.time;
                (
                    (maker, taker),
                    TapeEntry {
                        position,
                        price,
                        quantity,
                        time,
                        taker: side,
                    },
                )
            })
            .collect()
    }

    /// A trade for users.
    fn trade_row(
        &self,
        market: MarketIndex,
        (maker, taker): Pair,
        entry: &TapeEntry,
        status: TradeStatus,
    ) -> TradeRow {
        let trade = trade_id(&maker, &taker, 0);
        let (buy, sell) = match entry.taker {
            Side::Buy => (taker, maker),
            Side::Sell => (maker, taker),
        };
        TradeRow {
            trade,
            market,
            price: entry.price,
            quantity: entry.quantity,
            buy,
            sell,
            taker: entry.taker,
            status,
            time: entry.time,
            revision: self.revisions.get(&trade).copied().unwrap_or(1),
        }
    }

    /// Digest of all trades in log order, market by market.
    pub fn trades_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech trades 1");
        for (index, market) in self.markets.iter().enumerate() {
            hasher.update(&(index as u64).to_be_bytes());
            for effect in &market.effects {
                if let Effect::Fill {
                    maker,
                    taker,
                    price,
                    quantity,
                } = effect
                {
                    hasher.update(&maker.0);
                    hasher.update(&taker.0);
                    hasher.update(&price.0.to_be_bytes());
                    hasher.update(&quantity.0.to_be_bytes());
                }
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Digest of the status of every order, by id.
    pub fn orders_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech orders 1");
        for (id, row) in &self.orders {
            hasher.update(&id.0);
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

    /// Digest of the final trades: there are none before trades can be confirmed.
    pub fn final_trades_digest(&self) -> Digest {
        let hasher = blake3::Hasher::new_derive_key("bitfitech final trades 1");
        Digest(*hasher.finalize().as_bytes())
    }

    /// All trades of a market in log order.
    fn tape(&self, market: &MarketLog<E>) -> Vec<(OpId, Pair, TapeEntry)> {
        let mut tape = Vec::new();
        for (at, entry) in market.log.iter().enumerate() {
            let effects = &market.effects[entry.effects_from..market.effects_end(at)];
            let trades = self.trades_of(entry, effects).into_iter();
            tape.extend(trades.map(|(pair, trade)| (entry.key.operation, pair, trade)));
        }
        tape
    }

    /// Everything that a view must know, as changes that are news to nobody.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, market) in self.markets.iter().enumerate() {
            let index = MarketIndex(u16::try_from(index).expect("at most 256 markets"));
            changes.extend(self.tape(market).into_iter().map(|(cause, pair, entry)| {
                let row = self.trade_row(index, pair, &entry, TradeStatus::Tentative);
                let (position, change) = (entry.position, TradeChange::Moved);
                Change::Trade {
                    position,
                    row,
                    change,
                    cause,
                }
            }));
        }
        changes.extend(self.orders.values().cloned().map(Change::Order));
        changes
    }

    /// The trades that an order made as it entered the book, in order.
    pub fn trades_on_entry(&self, order: &OrderId) -> Vec<TradeRow> {
        let Some(row) = self.orders.get(order) else {
            return Vec::new();
        };
        let market = &self.markets[usize::from(row.market.0)];
        let Some(at) = market
            .log
            .iter()
            .rposition(|entry| entry.own_order() == *order)
        else {
            return Vec::new();
        };
        let entry = &market.log[at];
        let effects = &market.effects[entry.effects_from..market.effects_end(at)];
        self.trades_of(entry, effects)
            .into_iter()
            .map(|(pair, trade)| self.trade_row(row.market, pair, &trade, TradeStatus::Tentative))
            .collect()
    }
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
    }
}
