//! The board: what a node shows, folded from the changes that the replica reports.
//!
//! It holds no rules. It exists so that questions about books, orders and trades are answered
//! beside the matching, not in its way, and it is the proof that the reported changes are
//! complete: folding them gives the tape.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::matching::Level;
use crate::types::{AuthorKey, Digest, HybridTime, MarketIndex, OrderId, Side, Ticks, TradeId};
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
    orders: BTreeMap<OrderId, OrderRow>,
    /// Own orders by the time of their placing.
    own_orders: BTreeSet<(HybridTime, OrderId)>,
    place_of: BTreeMap<TradeId, TradePlace>,
    final_count: usize,
}

/// Where a trade is found.
#[derive(Clone, Copy)]
struct TradePlace {
    market: MarketIndex,
    position: TradePosition,
    is_final: bool,
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
    /// An empty board of a node with this key.
    pub fn new(own: AuthorKey, markets: usize) -> Self {
        let markets = (0..markets).map(|_| MarketBoard::default()).collect();
        let (orders, own_orders) = (BTreeMap::new(), BTreeSet::new());
        Self {
            own,
            markets,
            orders,
            own_orders,
            place_of: BTreeMap::new(),
            final_count: 0,
        }
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Order(row) => {
                self.remove_order(&row.order);
                self.insert_order(row.clone());
            }
            Change::OrderGone(order) => self.remove_order(order),
            Change::Trade {
                position,
                trade,
                change,
                ..
            } => {
                let row = trade.row();
                let market = &mut self.markets[usize::from(row.market.0)];
                if let Some(old) = self.place_of.remove(&row.trade) {
                    self.final_count -= usize::from(old.is_final);
                    // Another trade may have moved to the old place already.
                    let there = market.trades.get(&old.position);
                    if there.is_some_and(|there| there.trade == row.trade) {
                        market.trades.remove(&old.position);
                    }
                }
                if *change != TradeChange::Busted {
                    let status = match row.status {
                        TradeStatus::Final => TradeStatus::Final,
                        _ => TradeStatus::Tentative,
                    };
                    let place = TradePlace {
                        market: row.market,
                        position: *position,
                        is_final: status == TradeStatus::Final,
                    };
                    self.final_count += usize::from(place.is_final);
                    self.place_of.insert(row.trade, place);
                    market.trades.insert(*position, TradeRow { status, ..row });
                }
            }
        }
    }

    /// Notes the digest of a market's book.
    pub fn set_digest(&mut self, market: MarketIndex, digest: Digest) {
        self.markets[usize::from(market.0)].digest = digest;
    }

    /// Takes an order out, with its part of its level.
    fn remove_order(&mut self, order: &OrderId) {
        let Some(row) = self.orders.remove(order) else {
            return;
        };
        self.own_orders.remove(&(row.time, row.order));
        let (Some(price), Some(_)) = (row.price, open_quantity(&row)) else {
            return;
        };
        let levels = self.markets[usize::from(row.market.0)].side(row.side);
        let level = levels
            .get_mut(&price)
            .expect("an open order is part of a level");
        level.quantity -= u128::from(row.remaining().0);
        level.orders -= 1;
        if level.orders == 0 {
            levels.remove(&price);
        }
    }

    /// Puts an order in, with its part of its level.
    fn insert_order(&mut self, row: OrderRow) {
        if let (Some(price), Some(quantity)) = (row.price, open_quantity(&row)) {
            let levels = self.markets[usize::from(row.market.0)].side(row.side);
            let level = levels.entry(price).or_default();
            level.quantity += quantity;
            level.orders += 1;
        }
        if row.author == self.own {
            self.own_orders.insert((row.time, row.order));
        }
        self.orders.insert(row.order, row);
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

    /// The newest `limit` trades of a market in log order, newest last.
    pub fn trades(&self, market: MarketIndex, limit: usize) -> Vec<TradeRow> {
        let trades = &self.markets[usize::from(market.0)].trades;
        let skipped = trades.len().saturating_sub(limit);
        trades.values().skip(skipped).cloned().collect()
    }

    /// How many trades there are, over all markets.
    pub fn trade_count(&self) -> usize {
        self.place_of.len()
    }

    /// How many of them are final.
    pub fn final_count(&self) -> usize {
        self.final_count
    }

    /// The trades whose ids lie between these, both included.
    pub fn trades_between(&self, low: TradeId, high: TradeId) -> impl Iterator<Item = &TradeRow> {
        let places = self.place_of.range(low..=high);
        places.filter_map(|(_, place)| {
            let market = &self.markets[usize::from(place.market.0)];
            market.trades.get(&place.position)
        })
    }

    /// How many orders there have been.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// An order by its id.
    pub fn order(&self, id: &OrderId) -> Option<&OrderRow> {
        self.orders.get(id)
    }

    /// The one order whose id lies between these, both included.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find_order(&self, low: OrderId, high: OrderId) -> Result<&OrderRow, FindError> {
        only_one(self.orders.range(low..=high).map(|(_, row)| row))
    }

    /// All own orders, oldest first.
    pub fn own_orders(&self) -> impl Iterator<Item = &OrderRow> {
        self.own_orders.iter().map(|(_, order)| &self.orders[order])
    }
}

/// What an order adds to its level, if it is open.
fn open_quantity(row: &OrderRow) -> Option<u128> {
    row.ended.is_none().then(|| u128::from(row.remaining().0))
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
