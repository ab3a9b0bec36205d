//! The rulebook once more, as naively as it can be said: sort all actions by a key that is
//! computed here, keep all orders in one list, and look through the whole list for every fill.
//!
//! It shares no code with the core but the vocabulary: neither its keys nor its books.

use std::collections::BTreeMap;

use bitfitech_core::matching::{EndReason, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, Place, Verified};
use bitfitech_core::types::{AuthorKey, Digest, Lots, MarketIndex, OpId, OrderId, Side, Ticks};

/// An order and what has become of it.
#[derive(Clone, Debug)]
pub struct NaiveOrder {
    pub id: OrderId,
    pub author: AuthorKey,
    pub terms: Place,
    pub filled: u64,
    pub ended: Option<EndReason>,
    /// When it came to rest, counted over all orders of all markets.
    rested: Option<u64>,
}

impl NaiveOrder {
    fn left(&self) -> u64 {
        self.terms.quantity.0 - self.filled
    }

    fn rests(&self) -> bool {
        self.ended.is_none() && self.rested.is_some()
    }

    pub fn limit(&self) -> Option<Ticks> {
        match self.terms.pricing {
            Pricing::Limit(price) => Some(price),
            Pricing::Market(protection) => protection,
        }
    }
}

/// A trade: market, maker, taker, price, quantity.
pub type NaiveTrade = (MarketIndex, OrderId, OrderId, Ticks, Lots);

/// All markets.
#[derive(Clone, Debug, Default)]
pub struct NaiveMarkets {
    pub orders: Vec<NaiveOrder>,
    pub trades: Vec<NaiveTrade>,
    rested_count: u64,
}

/// The place of an action in the total order.
type Key = (u64, u64, u8, u64, u64, usize, OpId);

/// What follows from a set of operations.
pub fn replay(operations: &[Verified], genesis: &Digest, bucket_ms: u64) -> NaiveMarkets {
    let by_id: BTreeMap<OpId, &Verified> = operations
        .iter()
        .map(|operation| (operation.id(), operation))
        .collect();
    let mut depths = BTreeMap::new();
    let mut actions: Vec<(Key, &Verified)> = Vec::new();
    for operation in operations {
        let body = operation.body();
        let depth = depth_of(operation, &by_id, bucket_ms, &mut depths);
        for (index, action) in body.actions.iter().enumerate() {
            let same_market = body.actions[..=index]
                .iter()
                .filter(|earlier| earlier.market() == action.market());
            let class = same_market.map(class_of).max().expect("itself at least");
            let bucket = bucket_of(operation, bucket_ms);
            let draw = draw(genesis, bucket, action.market(), &body.author);
            let key = (bucket, depth, class, draw, body.seq, index, operation.id());
            actions.push((key, operation));
        }
    }
    actions.sort_by_key(|(key, _)| *key);
    let mut markets = NaiveMarkets::default();
    for (key, operation) in actions {
        let index = key.5;
        let id = OrderId::new(&operation.id(), u8::try_from(index).expect("at most 64"));
        markets.act(
            id,
            operation.body().author,
            &operation.body().actions[index],
        );
    }
    markets
}

fn bucket_of(operation: &Verified, bucket_ms: u64) -> u64 {
    (operation.body().time.0 >> 16) / bucket_ms
}

/// One more than the greatest depth among the ancestors in the same bucket.
fn depth_of(
    operation: &Verified,
    by_id: &BTreeMap<OpId, &Verified>,
    bucket_ms: u64,
    depths: &mut BTreeMap<OpId, u64>,
) -> u64 {
    if let Some(depth) = depths.get(&operation.id()) {
        return *depth;
    }
    let mut depth = 0;
    for ancestor in operation.body().prev.iter().chain(&operation.body().refs) {
        let ancestor = by_id[ancestor];
        if bucket_of(ancestor, bucket_ms) == bucket_of(operation, bucket_ms) {
            depth = depth.max(1 + depth_of(ancestor, by_id, bucket_ms, depths));
        }
    }
    depths.insert(operation.id(), depth);
    depth
}

/// Cancels and reductions, then post-only orders, then the rest.
fn class_of(action: &Action) -> u8 {
    match action {
        Action::Cancel { .. } => 0,
        Action::Replace { price, .. } => u8::from(price.is_some()) * 2,
        Action::Place(place) if place.time_in_force == TimeInForce::PostOnly => 1,
        Action::Place(_) => 2,
        Action::Confirm(_) | Action::Decline { .. } | Action::Release { .. } => {
            unreachable!("none is written here")
        }
    }
}

/// The first 8 bytes of keyed BLAKE3 over bucket, market and author.
fn draw(genesis: &Digest, bucket: u64, market: MarketIndex, author: &AuthorKey) -> u64 {
    let mut text = bucket.to_be_bytes().to_vec();
    text.extend(market.0.to_be_bytes());
    text.extend(author.0);
    let hash = blake3::keyed_hash(&genesis.0, &text);
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("8 of 32 bytes"))
}

impl NaiveMarkets {
    fn act(&mut self, id: OrderId, author: AuthorKey, action: &Action) {
        match action {
            Action::Place(terms) => self.place(id, author, terms.clone()),
            Action::Cancel { market, order } => {
                if let Some(at) = self.own_resting(*market, order, &author) {
                    self.orders[at].ended = Some(EndReason::Cancelled);
                }
            }
            Action::Replace {
                market,
                order,
                side,
                price,
                quantity,
            } => {
                let found = self.own_resting(*market, order, &author);
                if let Some(at) = found.filter(|at| self.orders[*at].terms.side == *side) {
                    self.replace(id, at, *price, *quantity);
                }
            }
            Action::Confirm(_) | Action::Decline { .. } | Action::Release { .. } => {}
        }
    }

    fn own_resting(&self, market: MarketIndex, id: &OrderId, author: &AuthorKey) -> Option<usize> {
        self.orders.iter().position(|order| {
            order.id == *id
                && order.rests()
                && order.author == *author
                && order.terms.market == market
        })
    }

    /// Reduces in place, or retires the order and places a new one.
    fn replace(&mut self, id: OrderId, at: usize, price: Option<Ticks>, total: Lots) {
        let old = self.orders[at].clone();
        let reduces = total < old.terms.quantity;
        if price.is_none() && !reduces {
            return;
        }
        let same_price = price.is_none() || price == old.limit();
        if total.0 < old.filled {
            self.orders[at].ended = Some(EndReason::Cancelled);
        } else if total.0 == old.filled {
            self.orders[at].terms.quantity = total;
            self.orders[at].ended = Some(EndReason::Filled);
        } else if same_price && reduces {
            self.orders[at].terms.quantity = total;
        } else {
            self.orders[at].ended = Some(EndReason::Replaced);
            let terms = Place {
                pricing: price.map_or(old.terms.pricing, Pricing::Limit),
                quantity: Lots(total.0 - old.filled),
                ..old.terms
            };
            self.place(id, old.author, terms);
        }
    }

    fn place(&mut self, id: OrderId, author: AuthorKey, terms: Place) {
        let order = NaiveOrder {
            id,
            author,
            terms,
            filled: 0,
            ended: None,
            rested: None,
        };
        let taker = self.orders.len();
        self.orders.push(order);
        match self.orders[taker].terms.time_in_force {
            TimeInForce::PostOnly if self.best_for(taker).is_some() => {
                self.orders[taker].ended = Some(EndReason::WouldTake);
            }
            TimeInForce::FillOrKill => {
                let mut attempt = self.clone();
                attempt.take(taker);
                if attempt.orders[taker].left() == 0 {
                    *self = attempt;
                } else {
                    self.orders[taker].ended = Some(EndReason::KilledUnfilled);
                }
            }
            _ => self.take(taker),
        }
    }

    /// The order that has priority over all others that this one accepts.
    fn best_for(&self, taker: usize) -> Option<usize> {
        let order = &self.orders[taker];
        let mut best: Option<usize> = None;
        for (at, maker) in self.orders.iter().enumerate() {
            let opposite = maker.terms.side != order.terms.side;
            if !maker.rests() || !opposite || maker.terms.market != order.terms.market {
                continue;
            }
            let price = maker.limit().expect("only limit orders rest");
            let acceptable = match (order.limit(), order.terms.side) {
                (None, _) => true,
                (Some(limit), Side::Buy) => price <= limit,
                (Some(limit), Side::Sell) => price >= limit,
            };
            let rank = |at: usize| {
                let maker = &self.orders[at];
                let price = maker.limit().expect("only limit orders rest").0;
                let worse = if maker.terms.side == Side::Sell {
                    price
                } else {
                    u64::MAX - price
                };
                (worse, maker.rested)
            };
            if acceptable && best.is_none_or(|best| rank(at) < rank(best)) {
                best = Some(at);
            }
        }
        best
    }

    fn take(&mut self, taker: usize) {
        while self.orders[taker].left() > 0 {
            let Some(maker) = self.best_for(taker) else {
                break;
            };
            if self.orders[maker].author == self.orders[taker].author {
                let rule = self.orders[taker].terms.self_trade;
                if rule != SelfTrade::CancelNewest {
                    self.orders[maker].ended = Some(EndReason::SelfTrade);
                }
                if rule != SelfTrade::CancelOldest {
                    self.orders[taker].ended = Some(EndReason::SelfTrade);
                    return;
                }
                continue;
            }
            self.trade(maker, taker);
        }
        let order = &mut self.orders[taker];
        let may_rest = matches!(
            order.terms.time_in_force,
            TimeInForce::GoodTillCancel | TimeInForce::PostOnly
        );
        if order.left() == 0 {
            order.ended = Some(EndReason::Filled);
        } else if may_rest && matches!(order.terms.pricing, Pricing::Limit(_)) {
            order.rested = Some(self.rested_count);
            self.rested_count += 1;
        } else {
            order.ended = Some(EndReason::Unfilled);
        }
    }

    fn trade(&mut self, maker: usize, taker: usize) {
        let quantity = self.orders[maker].left().min(self.orders[taker].left());
        let price = self.orders[maker].limit().expect("only limit orders rest");
        let (market, ids) = (
            self.orders[taker].terms.market,
            (self.orders[maker].id, self.orders[taker].id),
        );
        self.trades
            .push((market, ids.0, ids.1, price, Lots(quantity)));
        self.orders[maker].filled += quantity;
        self.orders[taker].filled += quantity;
        if self.orders[maker].left() == 0 {
            self.orders[maker].ended = Some(EndReason::Filled);
        }
    }
}
