//! The rulebook once more, as naively as it can be said: sort all actions by a key that is
//! computed here, keep all orders in one list, and look through the whole list for every fill.
//!
//! It shares no code with the core but the vocabulary: neither its keys nor its books. What was
//! signed about trades it looks up in [`Promises`].

use std::collections::{BTreeMap, BTreeSet};

use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::{EndReason, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, MemberChange, Place, Verified};
use bitfitech_core::types::{AuthorKey, Digest, Lots, MarketIndex, OpId, OrderId, Side, Ticks};

use crate::promises::Promises;

/// An order and what has become of it.
#[derive(Clone, Debug)]
pub struct NaiveOrder {
    pub id: OrderId,
    pub author: AuthorKey,
    pub terms: Place,
    pub filled: u64,
    pub ended: Option<EndReason>,
    /// What is left of it in the book, or would be.
    open: u64,
    /// What of it only a named partner can have.
    withheld: BTreeMap<OrderId, u64>,
    /// When it came to rest, counted over all orders of all markets; none while it does not.
    rested: Option<u64>,
}

impl NaiveOrder {
    /// Whether it is in the book, if only as a remnant.
    fn rests(&self) -> bool {
        self.rested.is_some() && self.open > 0
    }

    /// Whether it is in the book and not over.
    fn lives(&self) -> bool {
        self.rests() && self.ended.is_none()
    }

    /// What is left for anyone.
    fn free(&self) -> u64 {
        self.open.saturating_sub(self.withheld.values().sum())
    }

    /// What nobody can cut.
    fn kept(&self) -> u64 {
        self.open.min(self.withheld.values().sum())
    }

    /// Takes a quantity out for a partner, who was promised so much of it.
    fn spend(&mut self, partner: &OrderId, quantity: u64, of_promised: u64) {
        self.open = self.open.saturating_sub(quantity);
        if let Some(withheld) = self.withheld.get_mut(partner) {
            *withheld = withheld.saturating_sub(of_promised);
        }
    }

    pub fn limit(&self) -> Option<Ticks> {
        match self.terms.pricing {
            Pricing::Limit(price) => Some(price),
            Pricing::Market(protection) => protection,
        }
    }
}

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaiveTrade {
    pub market: MarketIndex,
    pub maker: OrderId,
    pub taker: OrderId,
    pub piece: usize,
    pub price: Ticks,
    pub quantity: Lots,
    pub is_final: bool,
}

/// All markets.
#[derive(Clone, Debug, Default)]
pub struct NaiveMarkets {
    pub orders: Vec<NaiveOrder>,
    pub trades: Vec<NaiveTrade>,
    rested_count: u64,
    promises: Promises,
    /// Orders that count only as far as they are final.
    abandoned: BTreeSet<OrderId>,
    /// Where the action that makes an order stands.
    places: BTreeMap<OrderId, usize>,
    /// The limit of every order that an action may make.
    limits: BTreeMap<OrderId, Ticks>,
    /// What an order was replaced by.
    successors: BTreeMap<OrderId, OrderId>,
}

/// The place of an action in the total order.
type Key = (u64, u64, u8, u64, u64, usize, OpId);

/// What happens at a place.
enum Event<'a> {
    Act(&'a Verified, usize),
    Expire(OrderId),
    Lapse(Vec<OrderId>),
    Expel(AuthorKey),
}

/// What follows from a set of operations.
pub fn replay(operations: &[Verified], genesis: &Genesis) -> NaiveMarkets {
    let (digest, bucket_ms) = (genesis.digest(), u64::from(genesis.bucket_ms));
    let by_id: BTreeMap<OpId, &Verified> = operations
        .iter()
        .map(|operation| (operation.id(), operation))
        .collect();
    let mut depths = BTreeMap::new();
    let mut events: Vec<(Key, Event<'_>)> = Vec::new();
    for operation in operations {
        let body = operation.body();
        let depth = depth_of(operation, &by_id, bucket_ms, &mut depths);
        for (index, action) in body.actions.iter().enumerate() {
            let Some(class) = class_in(&body.actions[..=index]) else {
                continue;
            };
            let bucket = bucket_of(operation, bucket_ms);
            let market = action.market().expect("it has a place in the order");
            let draw = draw(&digest, bucket, market, &body.author);
            let key = (bucket, depth, class, draw, body.seq, index, operation.id());
            events.push((key, Event::Act(operation, index)));
        }
    }
    let promises = Promises::of(operations, u64::from(genesis.answer_ms));
    events.extend(ends(operations, &promises, genesis));
    events.extend(expulsions(operations, bucket_ms));
    events.sort_by_key(|(key, _)| *key);
    let mut markets = NaiveMarkets {
        abandoned: promises.abandoned(operations, u64::from(genesis.lease_ms)),
        promises,
        ..NaiveMarkets::default()
    };
    for (at, (_, event)) in events.iter().enumerate() {
        if let Event::Act(operation, index) = event {
            let id = order_of(operation, *index);
            let limit = limit_of(&operation.body().actions[*index]);
            markets.places.insert(id, at);
            markets.limits.extend(limit.map(|limit| (id, limit)));
        }
    }
    let before = |bucket| move |operation: &Verified| bucket_of(operation, bucket_ms) < bucket;
    for (_, event) in events {
        match event {
            Event::Act(operation, index) => {
                let body = operation.body();
                let (id, action) = (order_of(operation, index), &body.actions[index]);
                let bucket = bucket_of(operation, bucket_ms);
                match action {
                    Action::Place(terms)
                        if is_expelled(operations, &body.author, before(bucket)) =>
                    {
                        markets.reject(id, body.author, terms.clone(), EndReason::NoMember);
                    }
                    Action::Place(terms) if markets.abandoned.contains(&id) => {
                        markets.reject(id, body.author, terms.clone(), EndReason::Abandoned);
                    }
                    _ => markets.act(id, body.author, action),
                }
            }
            Event::Expel(author) => markets.expel(&author),
            Event::Expire(order) => markets.expire(order),
            Event::Lapse(orders) => markets.lapse(&orders),
        }
    }
    markets
}

/// The ends of orders by time: behind all actions of their bucket, once something later is known.
fn ends<'a>(
    operations: &[Verified],
    promises: &Promises,
    genesis: &Genesis,
) -> Vec<(Key, Event<'a>)> {
    let bucket_ms = u64::from(genesis.bucket_ms);
    let behind = |time_ms: u64, class| {
        let bucket = time_ms / bucket_ms;
        let key = (bucket, u64::MAX, class, 0, 0, 0, OpId([0; 32]));
        (bucket < promises.latest_ms() / bucket_ms).then_some(key)
    };
    let mut ends = Vec::new();
    for operation in operations {
        for (index, action) in operation.body().actions.iter().enumerate() {
            if let Action::Place(place) = action {
                let key = place.expires_ms.and_then(|at_ms| behind(at_ms, 0));
                let order = order_of(operation, index);
                ends.extend(key.map(|key| (key, Event::Expire(order))));
            }
        }
    }
    let lease_ms = u64::from(genesis.lease_ms);
    for (author, at_ms) in promises.lapses(lease_ms) {
        let before = operations.iter().filter(|operation| {
            let body = operation.body();
            body.author == author && body.time.unix_ms() + lease_ms <= at_ms
        });
        let orders = before.flat_map(|operation| {
            let actions = 0..operation.body().actions.len();
            actions.map(|index| order_of(operation, index))
        });
        let orders = orders.collect();
        ends.extend(behind(at_ms, 2).map(|key| (key, Event::Lapse(orders))));
    }
    ends
}

/// Expulsions: behind all actions of their bucket, between what expires and what lapses.
fn expulsions(operations: &[Verified], bucket_ms: u64) -> impl Iterator<Item = (Key, Event<'_>)> {
    let members = operations.iter().flat_map(|operation| {
        let members = operation.body().actions.iter().filter_map(Action::member);
        members.map(move |(author, change)| (operation, *author, change))
    });
    let expelled = members.filter(|(_, _, change)| *change == MemberChange::Expel);
    expelled.map(move |(operation, author, _)| {
        let bucket = bucket_of(operation, bucket_ms);
        let key = (bucket, u64::MAX, 1, 0, 0, 0, OpId([0; 32]));
        (key, Event::Expel(author))
    })
}

/// Whether the last of these operations that changes an author's standing expels him.
fn is_expelled(
    operations: &[Verified],
    author: &AuthorKey,
    counts: impl Fn(&Verified) -> bool,
) -> bool {
    let counting = operations.iter().filter(|operation| counts(operation));
    let changes = counting.flat_map(|operation| {
        let key = (operation.body().time, operation.id());
        let members = operation.body().actions.iter().filter_map(Action::member);
        members
            .filter(|(changed, _)| *changed == author)
            .map(move |(_, change)| (key, change))
    });
    let last = changes.max();
    last.is_some_and(|(_, change)| change == MemberChange::Expel)
}

/// The order that an action makes, if it makes one.
fn order_of(operation: &Verified, index: usize) -> OrderId {
    OrderId::new(&operation.id(), u8::try_from(index).expect("at most 64"))
}

fn limit_of(action: &Action) -> Option<Ticks> {
    match action {
        Action::Place(place) => match place.pricing {
            Pricing::Limit(price) => Some(price),
            Pricing::Market(protection) => protection,
        },
        Action::Replace { price, .. } => *price,
        _ => None,
    }
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
fn class_of(action: &Action) -> Option<u8> {
    match action {
        Action::Cancel { .. } => Some(0),
        Action::Replace { price, .. } => Some(u8::from(price.is_some()) * 2),
        Action::Place(place) if place.time_in_force == TimeInForce::PostOnly => Some(1),
        Action::Place(_) => Some(2),
        Action::Confirm(_)
        | Action::Decline { .. }
        | Action::Release { .. }
        | Action::Member { .. } => None,
    }
}

/// The class of the last of these actions: no less than those before it in the same market.
fn class_in(actions: &[Action]) -> Option<u8> {
    let last = actions.last()?;
    class_of(last)?;
    let same_market = actions
        .iter()
        .filter(|action| action.market() == last.market());
    same_market.filter_map(class_of).max()
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
                if let Some(at) = self.own_living(*market, order, &author) {
                    self.cut(at, EndReason::Cancelled);
                }
            }
            Action::Replace {
                market,
                order,
                side,
                price,
                quantity,
            } => {
                let found = self.own_living(*market, order, &author);
                let found = found.filter(|at| self.orders[*at].terms.side == *side);
                let is_made = found.is_some_and(|at| self.replace(id, at, *price, *quantity));
                if let (false, Some(price)) = (is_made, price) {
                    let terms = (*market, *side, *price);
                    self.show_unplaced(id, author, terms);
                }
            }
            Action::Confirm(_)
            | Action::Decline { .. }
            | Action::Release { .. }
            | Action::Member { .. } => {}
        }
    }

    /// An order that enters no book is shown, with what is final of it.
    fn reject(&mut self, id: OrderId, author: AuthorKey, terms: Place, reason: EndReason) {
        let order = self.enter(id, author, terms);
        self.orders[order].ended = Some(reason);
        self.state_rest(order, &[]);
    }

    fn expel(&mut self, author: &AuthorKey) {
        for at in 0..self.orders.len() {
            if self.orders[at].author == *author && self.orders[at].lives() {
                self.cut(at, EndReason::Expelled);
            }
        }
    }

    fn own_living(&self, market: MarketIndex, id: &OrderId, author: &AuthorKey) -> Option<usize> {
        self.orders.iter().position(|order| {
            order.id == *id
                && order.lives()
                && order.author == *author
                && order.terms.market == market
        })
    }

    /// Ends an order in the book, but for what is promised of it.
    fn cut(&mut self, at: usize, reason: EndReason) {
        let order = &mut self.orders[at];
        order.open = order.kept();
        order.ended = Some(reason);
    }

    fn expire(&mut self, mut id: OrderId) {
        let end_of = |id: &OrderId| {
            let order = self.orders.iter().find(|order| order.id == *id);
            order.and_then(|order| order.ended)
        };
        while end_of(&id) == Some(EndReason::Replaced) {
            id = self.successors[&id];
        }
        let found = self.orders.iter().position(|order| order.id == id);
        if let Some(at) = found.filter(|at| self.orders[*at].lives()) {
            self.cut(at, EndReason::Expired);
        }
    }

    fn lapse(&mut self, orders: &[OrderId]) {
        for at in 0..self.orders.len() {
            if orders.contains(&self.orders[at].id) && self.orders[at].lives() {
                self.cut(at, EndReason::Lapsed);
            }
        }
    }

    /// Reduces in place, ends the order, or retires it and places a new one: whether that one is.
    fn replace(&mut self, id: OrderId, at: usize, price: Option<Ticks>, total: Lots) -> bool {
        let old = self.orders[at].clone();
        let reduces = total < old.terms.quantity;
        if price.is_none() && !reduces {
            return false;
        }
        if self.abandoned.contains(&id) {
            self.cut(at, EndReason::Cancelled);
            return false;
        }
        let same_price = price.is_none() || price == old.limit();
        let bound = old.filled + old.kept();
        if total.0 == old.filled && old.kept() == 0 {
            self.orders[at].terms.quantity = total;
            self.cut(at, EndReason::Filled);
        } else if total.0 <= old.filled {
            self.cut(at, EndReason::Cancelled);
        } else if same_price && reduces {
            let total = total.0.max(bound);
            self.orders[at].terms.quantity = Lots(total);
            self.orders[at].open = total - old.filled;
        } else if total.0 <= bound {
            self.cut(at, EndReason::Cancelled);
        } else {
            self.cut(at, EndReason::Replaced);
            self.successors.insert(old.id, id);
            let terms = Place {
                pricing: price.map_or(old.terms.pricing, Pricing::Limit),
                quantity: Lots(total.0 - bound),
                ..old.terms
            };
            self.place(id, old.author, terms);
            return true;
        }
        false
    }

    /// An order that never came to be is shown if it has final trades.
    fn show_unplaced(
        &mut self,
        id: OrderId,
        author: AuthorKey,
        (market, side, price): (MarketIndex, Side, Ticks),
    ) {
        let partners = self.promises.partners(&id);
        let complete = partners
            .iter()
            .flat_map(|other| self.promises.complete(&id, other));
        let quantity = complete.sum();
        if quantity == 0 {
            return;
        }
        let terms = Place {
            market,
            side,
            pricing: Pricing::Limit(price),
            quantity: Lots(quantity),
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::CancelNewest,
            expires_ms: None,
        };
        let order = self.enter(id, author, terms);
        self.orders[order].ended = Some(EndReason::NotPlaced);
        self.state_rest(order, &[]);
    }

    /// A new order, with all that is promised of it, which does not rest yet.
    fn enter(&mut self, id: OrderId, author: AuthorKey, terms: Place) -> usize {
        let partners = self.promises.partners(&id).into_iter();
        let withheld = partners.map(|other| (other, self.promises.withheld(&id, &other)));
        self.orders.push(NaiveOrder {
            id,
            author,
            filled: 0,
            ended: None,
            open: terms.quantity.0,
            withheld: withheld.collect(),
            rested: None,
            terms,
        });
        self.orders.len() - 1
    }

    fn place(&mut self, id: OrderId, author: AuthorKey, terms: Place) {
        let taker = self.enter(id, author, terms);
        let reason = match self.orders[taker].terms.time_in_force {
            TimeInForce::PostOnly if self.would_take(taker) => Some(EndReason::WouldTake),
            TimeInForce::FillOrKill => {
                let mut attempt = self.clone();
                attempt.take(taker);
                let is_filled = attempt.orders[taker].ended == Some(EndReason::Filled);
                (!is_filled).then_some(EndReason::KilledUnfilled)
            }
            _ => None,
        };
        if reason.is_none() {
            self.take(taker);
        } else {
            self.orders[taker].ended = reason;
            self.state_rest(taker, &[]);
        }
    }

    /// Whether an order that was not declined stands in the way of one that must not take.
    fn would_take(&self, taker: usize) -> bool {
        let id = &self.orders[taker].id;
        let walk = self.walk(taker);
        walk.iter()
            .any(|maker| !self.promises.are_declined(id, &self.orders[*maker].id))
    }

    /// All resting orders that this one accepts, by their priority.
    fn walk(&self, taker: usize) -> Vec<usize> {
        let order = &self.orders[taker];
        let mut walk: Vec<(u64, Option<u64>, usize)> = Vec::new();
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
            let worse = match maker.terms.side {
                Side::Sell => price.0,
                Side::Buy => u64::MAX - price.0,
            };
            if acceptable {
                walk.push((worse, maker.rested, at));
            }
        }
        walk.sort_unstable();
        walk.into_iter().map(|(_, _, at)| at).collect()
    }

    fn take(&mut self, taker: usize) {
        let mut met = Vec::new();
        let mut is_prevented = false;
        for maker in self.walk(taker) {
            if self.orders[taker].open == 0 || is_prevented {
                break;
            }
            if self.orders[maker].author == self.orders[taker].author {
                let rule = self.orders[taker].terms.self_trade;
                if rule != SelfTrade::CancelNewest && self.orders[maker].lives() {
                    self.cut(maker, EndReason::SelfTrade);
                }
                is_prevented = rule != SelfTrade::CancelOldest;
            } else {
                met.push(self.orders[maker].id);
                self.meet(maker, taker);
            }
        }
        self.state_rest(taker, &met);
        let order = &mut self.orders[taker];
        let may_rest = matches!(
            order.terms.time_in_force,
            TimeInForce::GoodTillCancel | TimeInForce::PostOnly
        );
        if is_prevented {
            order.ended = Some(EndReason::SelfTrade);
        } else if order.open == 0 {
            order.ended = Some(EndReason::Filled);
        } else if may_rest && matches!(order.terms.pricing, Pricing::Limit(_)) {
            order.rested = Some(self.rested_count);
            self.rested_count += 1;
        } else {
            order.ended = Some(EndReason::Unfilled);
        }
    }

    /// Two orders trade what is complete, then what is promised between them and free.
    fn meet(&mut self, maker: usize, taker: usize) {
        let ids = [maker, taker].map(|at| self.orders[at].id);
        let [maker_id, taker_id] = ids;
        self.state(maker_id, taker);
        if self.promises.are_declined(&maker_id, &taker_id) || self.orders[maker].open == 0 {
            return;
        }
        let halves = [(maker_id, taker_id), (taker_id, maker_id)]
            .map(|(own, other)| self.promises.half(&own, &other));
        let has = |at: usize, half: u64| {
            let order = &self.orders[at];
            order.open.min(order.free() + half)
        };
        let quantity = has(maker, halves[0]).min(has(taker, halves[1]));
        if quantity == 0 {
            return;
        }
        let piece = self.promises.complete(&maker_id, &taker_id).len();
        self.report(maker_id, taker, (piece, quantity, false));
        self.orders[taker].spend(&maker_id, quantity, quantity.min(halves[1]));
        self.orders[maker].spend(&taker_id, quantity, quantity.min(halves[0]));
        self.end_if_nothing_is_left(maker);
    }

    /// The complete trades of an order with those before it that it did not meet.
    fn state_rest(&mut self, taker: usize, met: &[OrderId]) {
        let id = self.orders[taker].id;
        for other in self.promises.partners(&id) {
            if self.places[&other] < self.places[&id] && !met.contains(&other) {
                self.state(other, taker);
            }
        }
    }

    /// The complete trades of an order with one before it.
    fn state(&mut self, maker: OrderId, taker: usize) {
        let taker_id = self.orders[taker].id;
        for (piece, quantity) in (0..).zip(self.promises.complete(&maker, &taker_id)) {
            self.report(maker, taker, (piece, quantity, true));
            self.orders[taker].spend(&maker, quantity, quantity);
            let found = self.orders.iter().position(|order| order.id == maker);
            if let Some(at) = found.filter(|at| self.orders[*at].rests()) {
                self.orders[at].spend(&taker_id, quantity, quantity);
                self.end_if_nothing_is_left(at);
            }
        }
    }

    fn report(
        &mut self,
        maker: OrderId,
        taker: usize,
        (piece, quantity, is_final): (usize, u64, bool),
    ) {
        self.trades.push(NaiveTrade {
            market: self.orders[taker].terms.market,
            maker,
            taker: self.orders[taker].id,
            piece,
            price: self.limits[&maker],
            quantity: Lots(quantity),
            is_final,
        });
        self.orders[taker].filled += quantity;
        let found = self.orders.iter_mut().find(|order| order.id == maker);
        if let Some(maker) = found {
            maker.filled += quantity;
        }
    }

    fn end_if_nothing_is_left(&mut self, maker: usize) {
        let order = &mut self.orders[maker];
        if order.open == 0 && order.ended.is_none() {
            order.ended = Some(EndReason::Filled);
        }
    }

    /// The best levels of a side: price, open quantity and number of orders.
    pub fn levels(&self, market: MarketIndex, side: Side) -> Vec<(Ticks, u128, u32)> {
        let mut levels: BTreeMap<Ticks, (u128, u32)> = BTreeMap::new();
        for order in self.orders.iter().filter(|order| order.lives()) {
            if (order.terms.market, order.terms.side) == (market, side) {
                let price = order.limit().expect("only limit orders rest");
                let level = levels.entry(price).or_default();
                level.0 += u128::from(order.open);
                level.1 += 1;
            }
        }
        let levels = levels.into_iter();
        let mut levels: Vec<_> = levels
            .map(|(price, (quantity, orders))| (price, quantity, orders))
            .collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels
    }
}
