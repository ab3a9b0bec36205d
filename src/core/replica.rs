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

use crate::market_log::{LogEntry, MarketLog, make_room, merge_sorted};
use crate::matching::{
    self, BATCH_MAX, Effect, EndReason, Engine, IgnoredReason, Level, Mark, Owner, Replacement,
    Slot,
};
use crate::op::{Action, Operation};
use crate::order_log::{self, LogKey, Position};
use crate::order_table::OrderTable;
use crate::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OrderId, Side, Ticks, TradeId,
};
use crate::view::{Change, OrderRow, TradeChange, TradePosition, TradeRow, TradeStatus};

/// A trade as it stands in the tape.
#[derive(Clone, PartialEq, Eq)]
struct TapeEntry {
    position: TradePosition,
    pair: Pair,
    price: Ticks,
    quantity: Lots,
    time: HybridTime,
    taker: Side,
}

/// Maker and taker of a trade.
type Pair = (OrderId, OrderId);

/// What was taken back, to be compared with what comes in its place.
#[derive(Default)]
struct Undone {
    /// The actions, in order.
    entries: Vec<LogEntry>,
    trades: BTreeMap<Pair, TapeEntry>,
}

/// All markets of a network.
pub struct Replica<E> {
    genesis: Digest,
    markets: Vec<MarketLog<E>>,
    orders: OrderTable,
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
    /// An empty replica with one engine per market. The secret keeps peers from choosing ids that
    /// are slow to find; it changes nothing that can be seen.
    pub fn new(genesis: Digest, secret: &[u8; 32], engines: impl IntoIterator<Item = E>) -> Self {
        Self {
            genesis,
            markets: engines.into_iter().map(MarketLog::new).collect(),
            orders: OrderTable::new(secret),
            authors: Vec::new(),
            revisions: BTreeMap::new(),
        }
    }

    /// An order by its id.
    pub fn order(&self, id: &OrderId) -> Option<&OrderRow> {
        self.orders.get(id)
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub fn orders_between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = &OrderRow> {
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

    /// Takes an applied operation in; it has no effect before [`Replica::merge`].
    pub fn stage(&mut self, operation: &Operation, owner: Owner, position: Position, late_ms: u64) {
        let body = operation.body();
        if self.authors.len() == owner.0 as usize {
            self.authors.push(body.author);
        }
        debug_assert_eq!(self.authors.get(owner.0 as usize), Some(&body.author));
        let keys = order_log::keys(&self.genesis, operation.id(), body, position);
        let makes_order =
            |action: &Action| matches!(action, Action::Place(_) | Action::Replace { .. });
        let indices = (0..).zip(&body.actions);
        let indices = indices.filter_map(|(index, action)| makes_order(action).then_some(index));
        let mut places = self.orders.reserve(&operation.id(), indices).map(Slot);
        for key in keys {
            let action = &body.actions[usize::from(key.index)];
            let own_place = makes_order(action).then(|| places.next()).flatten();
            self.markets[usize::from(action.market().0)]
                .incoming
                .push(LogEntry {
                    key,
                    action: action.clone(),
                    owner,
                    own_place,
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
        let cause = incoming[0].key;
        changes.reserve(2 * incoming.len());
        let undone = self.undo_behind(index, cause);
        let market = &mut self.markets[index];
        let log = &mut market.log;
        let first = log.len();
        make_room(log, undone.entries.len() + incoming.len());
        make_room(&mut market.effects, incoming.len());
        if undone.entries.is_empty() {
            log.extend(incoming);
        } else {
            log.extend(merge_sorted(undone.entries, incoming));
        }
        self.execute_from(index, first);
        self.report_trades(index, first, undone.trades, changes);
        self.orders.report(changes);
    }

    /// Takes back every action behind `key`.
    fn undo_behind(&mut self, index: usize, key: LogKey) -> Undone {
        let market = &mut self.markets[index];
        let mut undone = Undone::default();
        if market.log.last().is_none_or(|last| last.key < key) {
            return undone;
        }
        let at = market.log.partition_point(|entry| entry.key < key);
        undone.entries = market.log.split_off(at);
        market.engine.undo_to(undone.entries[0].mark);
        for entry in undone.entries.iter().rev() {
            let effects = self.markets[index].effects.split_off(entry.effects_from);
            let trades = self.trades_of(entry, &effects);
            undone
                .trades
                .extend(trades.map(|trade| (trade.pair, trade)));
            for effect in effects.iter().rev() {
                self.orders
                    .unfold(effect, &mut self.markets[index].reductions);
            }
            if let Some(place) = entry.own_place {
                self.orders.take(place);
            }
        }
        undone
    }

    /// Executes the log of a market from `first` on. What a batch of actions will need from memory
    /// is asked for before the first of them has to wait for it.
    fn execute_from(&mut self, index: usize, first: usize) {
        let mut orders = Vec::with_capacity(BATCH_MAX);
        let end = self.markets[index].log.len();
        for batch in (first..end).step_by(BATCH_MAX) {
            let market = &self.markets[index];
            let batch = batch..end.min(batch + BATCH_MAX);
            orders.clear();
            orders.extend(market.log[batch.clone()].iter().map(LogEntry::order));
            market.engine.prepare(&orders);
            let addressed = orders.iter().filter_map(|order| match order {
                matching::Action::Cancel { order, .. } => Some(order),
                _ => None,
            });
            self.orders.prepare(addressed);
            for (at, order) in batch.zip(&orders) {
                self.execute(index, at, order);
            }
        }
    }

    /// Executes the action at this place of the log, behind which nothing is executed.
    fn execute(&mut self, index: usize, at: usize, order: &matching::Action) {
        let market = &mut self.markets[index];
        let entry = &mut market.log[at];
        entry.mark = market.engine.mark();
        entry.effects_from = market.effects.len();
        match order {
            matching::Action::Place(order) => {
                let place = entry.own_place.expect("placing an order makes one");
                let author = self.authors[entry.owner.0 as usize];
                self.orders.put(place, entry.placed_row(order, author));
                market.engine.place(order, &mut market.effects);
            }
            matching::Action::Replace(replacement) => self.execute_replace(index, at, replacement),
            other => market.engine.execute(other, &mut market.effects),
        }
        let market = &mut self.markets[index];
        for effect in &market.effects[market.log[at].effects_from..] {
            self.orders.fold(effect, &mut market.reductions);
        }
    }

    /// Changes an order, if it is there and the change is one.
    fn execute_replace(&mut self, index: usize, at: usize, replacement: &Replacement) {
        let Replacement {
            order,
            new_id,
            price,
            quantity,
            ..
        } = *replacement;
        let market = &mut self.markets[index];
        let entry = &market.log[at];
        let old = self.orders.get(&order);
        let old = old.filter(|row| row.market == entry.action.market());
        if old.is_some_and(|row| !entry.action.is_of_side(row.side)) {
            let reason = IgnoredReason::OtherSide;
            market.effects.push(Effect::Ignored { order, reason });
            return;
        }
        let reduces = |row: &OrderRow| quantity.is_some_and(|quantity| quantity < row.quantity);
        if price.is_none() && old.is_some_and(|row| !reduces(row)) {
            let reason = IgnoredReason::NotReduced;
            market.effects.push(Effect::Ignored { order, reason });
            return;
        }
        market.engine.replace(replacement, &mut market.effects);
        let retired = Effect::Ended {
            order,
            reason: EndReason::Replaced,
        };
        if market.effects[entry.effects_from..].contains(&retired) {
            let old = old.expect("only a known order can be retired");
            let new = OrderRow {
                order: new_id,
                price: price.or(old.price),
                quantity: Lots(quantity.unwrap_or(old.quantity).0 - old.filled.0),
                filled: Lots(0),
                ended: None,
                time: entry.time,
                late_ms: entry.late_ms,
                ..old.clone()
            };
            let place = entry.own_place.expect("a replace may make an order");
            self.orders.put(place, new);
        }
        market.complete_reduction(market.log[at].effects_from, order, quantity);
    }

    /// Reports how the trades from `first` on differ from those that were undone.
    fn report_trades(
        &mut self,
        index: usize,
        first: usize,
        mut undone: BTreeMap<Pair, TapeEntry>,
        changes: &mut Vec<Change>,
    ) {
        let market = &self.markets[index];
        let cause = market.log[first].key.operation;
        let mut reports = Vec::new();
        for trade in self.tape(market, first) {
            let change = match undone.remove(&trade.pair) {
                None => TradeChange::New,
                Some(old) if old == trade => continue,
                Some(old) if (old.price, old.quantity) == (trade.price, trade.quantity) => {
                    TradeChange::Moved
                }
                Some(_) => TradeChange::Amended,
            };
            reports.push((trade, change));
        }
        if !undone.is_empty() {
            let busted = undone.into_values();
            reports.extend(busted.map(|old| (old, TradeChange::Busted)));
            reports.sort_by_key(|(trade, _)| trade.position);
        }
        for (trade, change) in reports {
            let id = trade_id(&trade.pair.0, &trade.pair.1, 0);
            self.count_report(&id, change);
            let status = match change {
                TradeChange::New | TradeChange::Moved => TradeStatus::Tentative,
                TradeChange::Amended => TradeStatus::Amended,
                TradeChange::Busted => TradeStatus::Busted,
            };
            changes.push(Change::Trade {
                position: trade.position,
                row: self.trade_row(market_index(index), id, &trade, status),
                change,
                cause,
            });
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
    fn trades_of<'a>(
        &'a self,
        entry: &'a LogEntry,
        effects: &'a [Effect],
    ) -> impl Iterator<Item = TapeEntry> + 'a {
        let fills = effects.iter().filter_map(|effect| match effect {
            Effect::Fill {
                maker,
                taker,
                price,
                quantity,
            } => Some(((*maker, *taker), *price, *quantity)),
            _ => None,
        });
        fills
            .zip(0..)
            .map(|((pair, price, quantity), number)| TapeEntry {
                position: TradePosition {
                    key: entry.key,
                    number,
                },
                pair,
                price,
                quantity,
                time: entry.time,
                taker: self.side_of_own_order(entry),
            })
    }

    /// The side of the order that an action has made.
    fn side_of_own_order(&self, entry: &LogEntry) -> Side {
        let own = entry.own_place.and_then(|place| self.orders.row(place));
        own.expect("whoever takes has entered the book").side
    }

    /// A trade for users.
    fn trade_row(
        &self,
        market: MarketIndex,
        trade: TradeId,
        entry: &TapeEntry,
        status: TradeStatus,
    ) -> TradeRow {
        let (maker, taker) = entry.pair;
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

    /// A trade that stands in the tape, for users.
    fn standing_trade_row(&self, market: MarketIndex, entry: &TapeEntry) -> TradeRow {
        let id = trade_id(&entry.pair.0, &entry.pair.1, 0);
        self.trade_row(market, id, entry, TradeStatus::Tentative)
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

    /// Digest of the final trades: there are none before trades can be confirmed.
    pub fn final_trades_digest(&self) -> Digest {
        let hasher = blake3::Hasher::new_derive_key("bitfitech final trades 1");
        Digest(*hasher.finalize().as_bytes())
    }

    /// The trades of a market from the action at `first` on, in log order.
    fn tape<'a>(
        &'a self,
        market: &'a MarketLog<E>,
        first: usize,
    ) -> impl Iterator<Item = TapeEntry> + 'a {
        (first..market.log.len())
            .flat_map(move |at| self.trades_of(&market.log[at], market.effects_of(at)))
    }

    /// Everything that a view must know, as changes that are news to nobody.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, market) in self.markets.iter().enumerate() {
            changes.extend(self.tape(market, 0).map(|trade| Change::Trade {
                position: trade.position,
                row: self.standing_trade_row(market_index(index), &trade),
                change: TradeChange::Moved,
                cause: trade.position.key.operation,
            }));
        }
        changes.extend(self.orders.iter().cloned().map(Change::Order));
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
        self.trades_of(&market.log[at], market.effects_of(at))
            .map(|trade| self.standing_trade_row(row.market, &trade))
            .collect()
    }
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
    }
}
