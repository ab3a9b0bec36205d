//! The board: what a node shows, folded from the changes that the replica reports.
//!
//! It holds no rules. It exists so that questions about books, orders and trades are answered
//! beside the matching, not in its way, and it is the proof that the reported changes are
//! complete: folding them gives the tape.
//!
//! A history grows for ever and a board does not. Of orders it keeps the own ones that are open, of
//! trades those that are tentative, and of both those of which there was news last. Of the others
//! it knows only that there are such, and says so when one of them may be part of an answer: then
//! the replica has to be asked, which keeps all.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::ops::Bound::{Excluded, Unbounded};

use crate::matching::Level;
use crate::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OrderId, Side, Ticks, TradeId,
};
use crate::view::{BookView, Change, OrderRow, TradeChange, TradePosition, TradeRow, TradeStatus};

/// Open quantity and number of orders at a price.
#[derive(Clone, Copy, Default)]
struct LevelSum {
    quantity: u128,
    orders: u32,
}

/// One market.
#[derive(Default)]
struct MarketBoard {
    bids: BTreeMap<Ticks, LevelSum>,
    asks: BTreeMap<Ticks, LevelSum>,
    trades: BTreeMap<TradePosition, TradeRow>,
    /// Final trades as they became final. One that changed its place since then is there twice.
    finals: VecDeque<TradeId>,
    /// The newest place from which a trade was forgotten: behind it all are known.
    forgotten: Option<TradePosition>,
    digest: Digest,
}

impl MarketBoard {
    fn side(&mut self, side: Side) -> &mut BTreeMap<Ticks, LevelSum> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// What a node shows.
pub struct Board {
    own: AuthorKey,
    markets: Vec<MarketBoard>,
    orders: BTreeMap<OrderId, KnownOrder>,
    /// Orders as there was news of them, with the number of that news.
    recent: VecDeque<(OrderId, u64)>,
    orders_told: u64,
    has_forgotten_orders: bool,
    /// Own orders by the time of their placing.
    own_orders: BTreeSet<(HybridTime, OrderId)>,
    /// The newest own order that was forgotten: behind it all are known.
    own_forgotten: Option<(HybridTime, OrderId)>,
    place_of: BTreeMap<TradeId, TradePlace>,
    trade_count: usize,
    final_count: usize,
    recent_max: usize,
}

/// An order that is not forgotten.
struct KnownOrder {
    row: OrderRow,
    /// The number of the last news of it.
    number: u64,
}

/// Where a trade is found.
#[derive(Clone, Copy)]
struct TradePlace {
    market: MarketIndex,
    position: TradePosition,
    status: TradeStatus,
}

/// Why a prefix names no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// No order's id begins with it.
    Unknown,
    /// Several do; these are the first two.
    Ambiguous(OrderId, OrderId),
}

impl Board {
    /// An empty board of a node with this key, which keeps so many orders that are not own open
    /// ones, and so many final trades of all markets together.
    pub fn new(own: AuthorKey, markets: usize, recent_max: usize) -> Self {
        Self {
            own,
            markets: (0..markets).map(|_| MarketBoard::default()).collect(),
            orders: BTreeMap::new(),
            recent: VecDeque::new(),
            orders_told: 0,
            has_forgotten_orders: false,
            own_orders: BTreeSet::new(),
            own_forgotten: None,
            place_of: BTreeMap::new(),
            trade_count: 0,
            final_count: 0,
            recent_max,
        }
    }

    /// Takes in all that there is, newest first: what would be forgotten again is only counted.
    pub fn load(&mut self, newest_first: impl Iterator<Item = Change>) {
        let (mut trades, mut orders) = (Vec::new(), Vec::new());
        let mut finals = alloc::vec![0; self.markets.len()];
        let finals_max = self.finals_max();
        for change in newest_first {
            match &change {
                Change::Trade {
                    position, trade, ..
                } => {
                    let market = usize::from(trade.market.0);
                    finals[market] += usize::from(trade.status == TradeStatus::Final);
                    if trade.status == TradeStatus::Final && finals[market] > finals_max {
                        let market = &mut self.markets[market];
                        market.forgotten = market.forgotten.max(Some(*position));
                        self.trade_count += 1;
                        self.final_count += 1;
                    } else {
                        trades.push(change);
                    }
                }
                Change::Order { row, .. } => {
                    let is_own_open = row.author == self.own && row.ended.is_none();
                    if orders.len() < self.recent_max || is_own_open {
                        orders.push(change);
                    } else {
                        self.change_level(row, None, row.open_quantity());
                        self.forget(row);
                    }
                }
                Change::OrderGone(_) => {}
            }
        }
        let oldest_first = trades.iter().rev().chain(orders.iter().rev());
        oldest_first.for_each(|change| self.apply(change));
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Order { row, open_before } => {
                self.change_level(row, *open_before, row.open_quantity());
                self.insert_order(row.clone());
            }
            Change::OrderGone(row) => {
                self.change_level(row, row.open_quantity(), None);
                self.remove_order(&row.order);
            }
            Change::Trade {
                position,
                trade,
                change,
                ..
            } => {
                let row = trade.row();
                let old = match self.remove_trade(&row.trade) {
                    // Only what is final is forgotten.
                    None if *change != TradeChange::New => Some(TradeStatus::Final),
                    old => old,
                };
                self.trade_count -= usize::from(old.is_some());
                self.final_count -= usize::from(old == Some(TradeStatus::Final));
                if *change != TradeChange::Busted {
                    self.insert_trade(*position, row);
                }
            }
        }
    }

    /// Takes a trade out that is known, and tells how sure it was.
    fn remove_trade(&mut self, id: &TradeId) -> Option<TradeStatus> {
        let old = self.place_of.remove(id)?;
        let trades = &mut self.markets[usize::from(old.market.0)].trades;
        // Another trade may have moved to the old place already.
        let there = trades.get(&old.position);
        if there.is_some_and(|there| there.trade == *id) {
            trades.remove(&old.position);
        }
        Some(old.status)
    }

    /// How many final trades of a market are kept.
    fn finals_max(&self) -> usize {
        (self.recent_max / self.markets.len()).max(1)
    }

    /// Puts a trade in. If there are too many final ones, that which has been final for longest is
    /// forgotten.
    fn insert_trade(&mut self, position: TradePosition, row: TradeRow) {
        let finals_max = self.finals_max();
        let market = &mut self.markets[usize::from(row.market.0)];
        let status = match row.status {
            TradeStatus::Final => TradeStatus::Final,
            _ => TradeStatus::Tentative,
        };
        let place = TradePlace {
            market: row.market,
            position,
            status,
        };
        self.trade_count += 1;
        self.place_of.insert(row.trade, place);
        if status == TradeStatus::Final {
            self.final_count += 1;
            market.finals.push_back(row.trade);
        }
        market.trades.insert(position, TradeRow { status, ..row });
        if market.finals.len() <= finals_max {
            return;
        }
        let oldest = market.finals.pop_front();
        let oldest = oldest.and_then(|id| self.place_of.get(&id).map(|place| (id, *place)));
        if let Some((id, place)) = oldest
            && place.status == TradeStatus::Final
        {
            market.forgotten = market.forgotten.max(Some(place.position));
            self.remove_trade(&id);
        }
    }

    /// Notes the digest of a market's book.
    pub fn set_digest(&mut self, market: MarketIndex, digest: Digest) {
        self.markets[usize::from(market.0)].digest = digest;
    }

    /// The quantity in the book of an order with this row is another now. `None` stands for an
    /// order that is not in the book.
    fn change_level(&mut self, row: &OrderRow, before: Option<Lots>, now: Option<Lots>) {
        let (Some(price), true) = (row.price, before != now) else {
            return;
        };
        let levels = self.markets[usize::from(row.market.0)].side(row.side);
        let level = levels.entry(price).or_default();
        level.quantity += u128::from(now.unwrap_or_default().0);
        level.quantity -= u128::from(before.unwrap_or_default().0);
        level.orders += u32::from(now.is_some());
        level.orders -= u32::from(before.is_some());
        if level.orders == 0 {
            levels.remove(&price);
        }
    }

    /// Takes an order out, if it is known.
    fn remove_order(&mut self, order: &OrderId) -> Option<KnownOrder> {
        let known = self.orders.remove(order)?;
        self.own_orders.remove(&place(&known.row));
        Some(known)
    }

    /// Puts an order in. If there are too many, that of which there was no news for longest is
    /// forgotten; own ones that are open are not.
    fn insert_order(&mut self, row: OrderRow) {
        self.orders_told += 1;
        let number = self.orders_told;
        if row.author == self.own {
            self.own_orders.insert(place(&row));
        }
        self.recent.push_back((row.order, number));
        self.orders.insert(row.order, KnownOrder { row, number });
        if self.recent.len() <= self.recent_max {
            return;
        }
        let oldest = self.recent.pop_front();
        let Some((order, number)) = oldest else {
            return;
        };
        let is_kept = |known: &KnownOrder| {
            let is_own = known.row.author == self.own;
            known.number != number || (is_own && known.row.ended.is_none())
        };
        if self.orders.get(&order).is_none_or(is_kept) {
            return;
        }
        if let Some(known) = self.remove_order(&order) {
            self.forget(&known.row);
        }
    }

    /// Notes that an order is not known here.
    fn forget(&mut self, row: &OrderRow) {
        self.has_forgotten_orders = true;
        if row.author == self.own {
            self.own_forgotten = self.own_forgotten.max(Some(place(row)));
        }
    }

    /// The best `depth` levels of both sides of a market.
    pub fn book(&self, market: MarketIndex, depth: usize) -> BookView {
        let board = &self.markets[usize::from(market.0)];
        let level = |(price, sum): (&Ticks, &LevelSum)| Level {
            price: *price,
            quantity: sum.quantity,
            orders: sum.orders,
        };
        BookView {
            market,
            bids: board.bids.iter().rev().take(depth).map(level).collect(),
            asks: board.asks.iter().take(depth).map(level).collect(),
            digest: board.digest,
        }
    }

    /// The newest `limit` trades of a market in log order, newest last; `None` if some of them were
    /// forgotten.
    pub fn trades(&self, market: MarketIndex, limit: usize) -> Option<Vec<TradeRow>> {
        let market = &self.markets[usize::from(market.0)];
        let known = market.forgotten.map_or(Unbounded, Excluded);
        let newest = market.trades.range((known, Unbounded)).rev();
        let mut trades: Vec<TradeRow> = newest.take(limit).map(|(_, row)| row.clone()).collect();
        trades.reverse();
        (trades.len() == limit || market.forgotten.is_none()).then_some(trades)
    }

    /// How many trades there are, over all markets.
    pub fn trade_count(&self) -> usize {
        self.trade_count
    }

    /// How many of them are final.
    pub fn final_count(&self) -> usize {
        self.final_count
    }

    /// The trades whose ids lie between these, both included: all that are tentative, and what was
    /// not forgotten of the final ones.
    pub fn trades_between(&self, low: TradeId, high: TradeId) -> impl Iterator<Item = &TradeRow> {
        let places = self.place_of.range(low..=high);
        places.filter_map(|(_, place)| {
            let market = &self.markets[usize::from(place.market.0)];
            market.trades.get(&place.position)
        })
    }

    /// How many orders are known.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// An order by its id, unless it was forgotten.
    pub fn order(&self, id: &OrderId) -> Option<&OrderRow> {
        self.orders.get(id).map(|known| &known.row)
    }

    /// The one order whose id lies between these, both included, and that is meant; `None` if that
    /// cannot be told, for orders were forgotten.
    pub fn find_order(
        &self,
        (low, high): (OrderId, OrderId),
        is_meant: impl Fn(&OrderId) -> bool,
    ) -> Option<Result<&OrderRow, FindError>> {
        let named = self.orders.get(&low).filter(|_| low == high);
        if named.is_none() && self.has_forgotten_orders {
            return None;
        }
        let found = self.orders.range(low..=high);
        let found = found.filter(|(order, _)| is_meant(order));
        Some(only_one(found.map(|(_, known)| &known.row)))
    }

    /// The newest `limit` own orders that are open, oldest first.
    pub fn own_open_orders(&self, limit: usize) -> Vec<OrderRow> {
        let newest = self
            .own_orders
            .iter()
            .rev()
            .map(|(_, id)| &self.orders[id].row);
        let open = newest.filter(|row| row.ended.is_none());
        let mut orders: Vec<OrderRow> = open.take(limit).cloned().collect();
        orders.reverse();
        orders
    }

    /// The newest `limit` own orders, oldest first; `None` if some of them were forgotten.
    pub fn own_orders(&self, limit: usize) -> Option<Vec<OrderRow>> {
        let known = self.own_forgotten.map_or(Unbounded, Excluded);
        let newest = self.own_orders.range((known, Unbounded)).rev().take(limit);
        let mut orders: Vec<OrderRow> = newest.map(|(_, id)| self.orders[id].row.clone()).collect();
        orders.reverse();
        (orders.len() == limit || self.own_forgotten.is_none()).then_some(orders)
    }
}

/// Where an order stands among those of its author.
fn place(row: &OrderRow) -> (HybridTime, OrderId) {
    (row.time, row.order)
}

/// The one order of several that were looked for.
///
/// # Errors
/// When there is none, or more than one.
pub fn only_one<Row: Borrow<OrderRow>>(
    mut found: impl Iterator<Item = Row>,
) -> Result<Row, FindError> {
    let first = found.next().ok_or(FindError::Unknown)?;
    match found.next() {
        None => Ok(first),
        Some(second) => {
            let (first, second) = (first.borrow().order, second.borrow().order);
            Err(FindError::Ambiguous(first, second))
        }
    }
}
