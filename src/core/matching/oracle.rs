//! The naive engine: the rulebook as code.
//!
//! It keeps the resting orders of both sides in one list in the order of their priority in time,
//! looks for the best of them by reading the whole list, and undoes by taking back what it did to
//! that list, step by step. It is slow on purpose: it is there to be read, believed, and compared
//! with. The rules, all of them:
//!
//! - **Priority.** The best price first, at one price the order that came to rest first.
//! - **Price.** Every fill is at the price of the resting order (the maker).
//! - **Limit orders** take while the opposite side has an acceptable price. What is left rests
//!   (good till cancelled), ends `Unfilled` (immediate or cancel), or cannot be (fill or kill).
//! - **Market orders** take at any price up to their protection price and never rest: they are
//!   immediate-or-cancel unless they are fill-or-kill. A post-only market order ends `Unfilled`
//!   if it would take nothing.
//! - **Fill or kill** is a dry run of the same walk, self-trade prevention included. If that walk
//!   would not fill all of it, it ends `KilledUnfilled` and nothing else changes, not even orders
//!   that self-trade prevention would have cancelled.
//! - **Post-only** ends `WouldTake` if *any* opposite order has an acceptable price, an own one
//!   too.
//! - **Self-trade prevention** is that of the incoming order, and fires when it has quantity left
//!   and the next order in the walk is its owner's. Newest: the incoming order ends `SelfTrade`
//!   there and then. Oldest: the resting one does, and the walk goes on. Both: first the resting
//!   one ends, then the incoming one. Fills before stand.
//! - **Cancel** and **replace** are the owner's alone; **end** comes from the log and asks nobody.
//! - **Replace** to a total at or below what is filled ends the order where it is: `Filled` if
//!   equal, else `Cancelled`. A smaller total at the same price changes it in place. Anything else,
//!   also one that changes nothing, ends it as `Replaced` and places the unfilled rest of the new
//!   total under the new id, with the side, the self-trade prevention and the post-only term of
//!   the old. The new order counts its total and its fills from there. If the new id rests already
//!   the replace is ignored as a duplicate of *that* id.
//! - **Promised quantity** ([`Claims`]) is for the named partner only. It stays in its place in the
//!   queue: others pass it over, and it is no liquidity for their fill-or-kill, but post-only and
//!   self-trade prevention see it. The walk meets each order once, in book order. At a partner the
//!   order states the trades that are complete, then takes what is promised between the two and
//!   what both have free. At an order that it was declined it takes nothing more, and post-only
//!   and fill-or-kill do not see that one.
//! - **A complete trade is a fact.** Those that the walk did not come to are stated behind it,
//!   whatever became of either order.
//! - **A cut** (cancel, end, replace, self-trade prevention) takes what is free. What is promised
//!   stays in the queue, as a remnant of an order that is over: nobody can cut it further, and
//!   when it has traded it leaves without a word.
//! - **Effects** come as they happen: each fill, then the end of its maker if nothing is left of
//!   it; last what became of the incoming order.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::claims::{Claim, Claims, Meeting, Purse};
use super::digest::{self, LevelHasher};
use super::{
    Effect, EndReason, Engine, Handle, IgnoredReason, Level, Life, Mark, NewOrder, Owner, Pricing,
    Replacement, Resting, SelfTrade, TimeInForce,
};
use crate::types::{Digest, Lots, OrderId, Side, Ticks};

/// An order at rest, with everything that a replace needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    id: OrderId,
    handle: Handle,
    owner: Owner,
    side: Side,
    price: Ticks,
    total: u64,
    remaining: u64,
    promised: u64,
    life: Life,
    time_in_force: TimeInForce,
    self_trade: SelfTrade,
}

impl Order {
    fn filled(&self) -> u64 {
        self.total - self.remaining
    }

    fn purse(&self) -> Purse {
        Purse {
            open: self.remaining,
            promised: self.promised,
        }
    }

    /// What nobody can cut.
    fn kept(&self) -> u64 {
        self.remaining.min(self.promised)
    }
}

/// One change of the list, with what takes it back.
#[derive(Clone, Copy, Debug)]
enum Step {
    Appended,
    Removed { position: usize, order: Order },
    Changed { position: usize, before: Order },
}

/// What a walk left of an incoming order.
enum Outcome {
    /// It came to its end.
    Walked(Purse),
    /// Self-trade prevention ended it.
    Prevented,
}

/// The naive engine. See the [module](self) for its rules.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Both sides, in the order in which they came to rest.
    orders: Vec<Order>,
    steps: Vec<Step>,
    /// How many steps before `steps[0]` there were.
    forgotten: u64,
}

impl Oracle {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    fn position(&self, id: &OrderId) -> Option<usize> {
        self.orders.iter().position(|order| order.id == *id)
    }

    /// The position of an order that is not over.
    fn position_of_living(&self, id: &OrderId) -> Option<usize> {
        let position = self.position(id);
        position.filter(|&position| self.orders[position].life == Life::Open)
    }

    /// The position of an order that `by` may change, or why there is none.
    fn position_of_own(&self, id: &OrderId, by: Owner) -> Result<usize, IgnoredReason> {
        let living = self.position_of_living(id);
        let position = living.ok_or(IgnoredReason::NotResting)?;
        if self.orders[position].owner == by {
            Ok(position)
        } else {
            Err(IgnoredReason::NotOwner)
        }
    }

    fn append(&mut self, order: Order) {
        self.orders.push(order);
        self.steps.push(Step::Appended);
    }

    fn remove(&mut self, position: usize) -> Order {
        let order = self.orders.remove(position);
        self.steps.push(Step::Removed { position, order });
        order
    }

    fn change(&mut self, position: usize, after: Order) {
        let before = self.orders[position];
        self.orders[position] = after;
        self.steps.push(Step::Changed { position, before });
    }

    /// Lets an order have less, as much as is not promised.
    fn reduce(&mut self, position: usize, total: u64, effects: &mut Vec<Effect>) {
        let before = self.orders[position];
        let order = before.id;
        if total == before.total {
            let reason = IgnoredReason::NotReduced;
            return effects.push(Effect::Ignored { order, reason });
        }
        let remaining = total - before.filled();
        let after = Order {
            total,
            remaining,
            ..before
        };
        self.change(position, after);
        effects.push(Effect::Reduced {
            order,
            handle: before.handle,
            quantity: Lots(total),
        });
    }

    /// Ends an order, but for what is promised of it.
    fn cut(&mut self, position: usize, reason: EndReason, effects: &mut Vec<Effect>) {
        let order = self.orders[position];
        let kept = order.kept();
        if kept == 0 {
            self.remove(position);
        } else {
            let remnant = Order {
                total: order.filled() + kept,
                remaining: kept,
                life: Life::Over,
                ..order
            };
            self.change(position, remnant);
        }
        effects.push(Effect::Ended {
            order: order.id,
            handle: order.handle,
            reason,
        });
    }

    /// The positions of the orders that `taker` accepts, in the order in which it meets them.
    fn walk(&self, taker: &NewOrder) -> Vec<usize> {
        let accepted = |maker: &Order| match taker.pricing {
            Pricing::Limit(limit) | Pricing::Market(Some(limit)) => {
                taker.side.accepts(limit, maker.price)
            }
            Pricing::Market(None) => true,
        };
        let mut walk: Vec<usize> = (0..self.orders.len())
            .filter(|&position| self.orders[position].side == taker.side.opposite())
            .filter(|&position| accepted(&self.orders[position]))
            .collect();
        // The sort is stable, so that at one price the list's order, which is time, stays.
        walk.sort_by(|&left, &right| {
            let (left, right) = (self.orders[left].price, self.orders[right].price);
            match taker.side {
                Side::Buy => left.cmp(&right),
                Side::Sell => right.cmp(&left),
            }
        });
        walk
    }

    /// Whether the walk, and the complete trades behind it, would fill all of `taker`.
    fn would_fill(&self, taker: &NewOrder, claims: &Claims) -> bool {
        let mut rehearsal = self.clone();
        match rehearsal.take(taker, claims, &mut Vec::new()) {
            Outcome::Walked(purse) => purse.open == 0,
            Outcome::Prevented => false,
        }
    }

    /// Whether `taker` may not even enter, and why.
    fn refusal(&self, taker: &NewOrder, claims: &Claims) -> Option<EndReason> {
        let is_met = |&position: &usize| {
            let claim = claims.on(&self.orders[position].id);
            claim.is_none_or(|claim| claim.meeting == Meeting::Free)
        };
        match taker.time_in_force {
            TimeInForce::FillOrKill if !self.would_fill(taker, claims) => {
                Some(EndReason::KilledUnfilled)
            }
            TimeInForce::PostOnly if self.walk(taker).iter().any(is_met) => {
                Some(EndReason::WouldTake)
            }
            _ => None,
        }
    }

    /// Takes what `taker` can get, and states what is complete.
    fn take(&mut self, taker: &NewOrder, claims: &Claims, effects: &mut Vec<Effect>) -> Outcome {
        let mut purse = Purse::of(taker, claims);
        let mut stated = Vec::new();
        let ids = self.walk(taker);
        let ids: Vec<OrderId> = ids.iter().map(|&at| self.orders[at].id).collect();
        let mut prevented = false;
        for id in ids {
            if purse.open == 0 {
                break;
            }
            let position = self.position(&id).expect("each is met once");
            if self.is_own(taker, position) {
                let living = self.orders[position].life == Life::Open;
                if living && taker.self_trade != SelfTrade::CancelNewest {
                    self.cut(position, EndReason::SelfTrade, effects);
                }
                prevented = taker.self_trade != SelfTrade::CancelOldest;
                if prevented {
                    break;
                }
                continue;
            }
            if let Some(claim) = claims.on(&id) {
                stated.push(id);
                let quantity = self.state(&taker.id, claim, effects);
                purse.spend(quantity, quantity);
            }
            self.meet(taker, &id, claims.on(&id), (&mut purse, effects));
        }
        let is_left = |claim: &&Claim| !stated.contains(&claim.maker);
        for claim in claims.makers.iter().filter(is_left) {
            let quantity = self.state(&taker.id, claim, effects);
            purse.spend(quantity, quantity);
        }
        if prevented {
            Outcome::Prevented
        } else {
            Outcome::Walked(purse)
        }
    }

    /// Whether the walk may not pass this order.
    fn is_own(&self, taker: &NewOrder, position: usize) -> bool {
        taker.self_trade != SelfTrade::Allow && self.orders[position].owner == taker.owner
    }

    /// States the complete trades with a maker, and takes them out of it; their quantity.
    fn state(&mut self, taker: &OrderId, claim: &Claim, effects: &mut Vec<Effect>) -> u64 {
        for (piece, quantity) in claim.pieces() {
            effects.push(Effect::Fill {
                maker: claim.maker,
                handle: claim.handle,
                taker: *taker,
                price: claim.price,
                quantity: Lots(quantity),
                piece,
            });
            self.spend(&claim.maker, quantity, quantity, effects);
        }
        claim.completed()
    }

    /// Trades with a maker beyond what is complete.
    fn meet(
        &mut self,
        taker: &NewOrder,
        maker: &OrderId,
        claim: Option<&Claim>,
        (purse, effects): (&mut Purse, &mut Vec<Effect>),
    ) {
        let Some(position) = self.position(maker) else {
            return;
        };
        if claim.is_some_and(|claim| claim.meeting == Meeting::Declined) {
            return;
        }
        let (taker_half, maker_half, piece) = claim.map_or((0, 0, 0), |claim| {
            (claim.taker_half.0, claim.maker_half.0, claim.next_piece())
        });
        let order = self.orders[position];
        let quantity = purse.meet(taker_half, &order.purse(), maker_half);
        if quantity == 0 {
            return;
        }
        effects.push(Effect::Fill {
            maker: *maker,
            handle: order.handle,
            taker: taker.id,
            price: order.price,
            quantity: Lots(quantity),
            piece,
        });
        purse.spend(quantity, quantity.min(taker_half));
        self.spend(maker, quantity, quantity.min(maker_half), effects);
    }

    /// Takes a quantity out of an order, if it is in the book, of which so much was promised.
    fn spend(
        &mut self,
        maker: &OrderId,
        quantity: u64,
        of_promised: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(position) = self.position(maker) else {
            return;
        };
        let before = self.orders[position];
        let mut purse = before.purse();
        purse.spend(quantity, of_promised);
        if purse.open > 0 {
            let after = Order {
                remaining: purse.open,
                promised: purse.promised,
                ..before
            };
            self.change(position, after);
            return;
        }
        self.remove(position);
        if before.life == Life::Open {
            effects.push(Effect::Ended {
                order: *maker,
                handle: before.handle,
                reason: EndReason::Filled,
            });
        }
    }

    /// What becomes of an incoming order with so much left after its walk.
    fn settle(&mut self, taker: &NewOrder, purse: Purse, effects: &mut Vec<Effect>) {
        let (order, handle, open) = (taker.id, taker.handle, purse.open);
        let ended = |reason| Effect::Ended {
            order,
            handle,
            reason,
        };
        let rests = matches!(
            taker.time_in_force,
            TimeInForce::GoodTillCancel | TimeInForce::PostOnly
        );
        match taker.pricing {
            _ if open == 0 => effects.push(ended(EndReason::Filled)),
            Pricing::Limit(price) if rests => {
                self.append(Order {
                    id: taker.id,
                    handle,
                    owner: taker.owner,
                    side: taker.side,
                    price,
                    total: taker.quantity.0,
                    remaining: open,
                    promised: purse.promised,
                    life: Life::Open,
                    time_in_force: taker.time_in_force,
                    self_trade: taker.self_trade,
                });
                effects.push(Effect::Rested {
                    order,
                    quantity: Lots(open),
                });
            }
            _ => effects.push(ended(EndReason::Unfilled)),
        }
    }

    fn levels_of(&self, side: Side) -> Vec<(Ticks, Vec<Order>)> {
        let mut orders: Vec<Order> = self
            .orders
            .iter()
            .filter(|order| order.side == side)
            .copied()
            .collect();
        match side {
            Side::Buy => orders.sort_by_key(|order| Reverse(order.price)),
            Side::Sell => orders.sort_by_key(|order| order.price),
        }
        orders
            .chunk_by(|left, right| left.price == right.price)
            .map(|level| (level[0].price, level.to_vec()))
            .collect()
    }

    fn side_digest(&self, side: Side) -> Digest {
        let mut levels: Vec<(u64, Digest)> = Vec::new();
        for (price, orders) in self.levels_of(side) {
            let mut hasher = LevelHasher::new(side, price);
            for order in orders {
                hasher.add(&resting(order), Lots(order.total));
            }
            levels.push((price.0, hasher.finish()));
        }
        levels.sort_unstable();
        subtree_digest(&levels, 60).unwrap_or(digest::EMPTY_SIDE)
    }
}

/// The digest of levels whose prices agree in all bits above `shift + 4`.
fn subtree_digest(levels: &[(u64, Digest)], shift: u32) -> Option<Digest> {
    if let [(_, only)] = levels {
        return Some(*only);
    }
    let children: Vec<Digest> = levels
        .chunk_by(|left, right| left.0 >> shift == right.0 >> shift)
        .filter_map(|child| subtree_digest(child, shift.saturating_sub(4)))
        .collect();
    digest::branch(&children)
}

impl Engine for Oracle {
    fn place(&mut self, order: &NewOrder, claims: &Claims, effects: &mut Vec<Effect>) {
        assert!(order.quantity.0 > 0, "an order must have a quantity");
        let id = order.id;
        if self.position(&id).is_some() {
            let (order, reason) = (id, IgnoredReason::Duplicate);
            effects.push(Effect::Ignored { order, reason });
            return;
        }
        if let Some(reason) = self.refusal(order, claims) {
            self.state_complete(&id, claims, effects);
            effects.push(Effect::Ended {
                order: id,
                handle: order.handle,
                reason,
            });
            return;
        }
        match self.take(order, claims, effects) {
            Outcome::Walked(purse) => self.settle(order, purse, effects),
            Outcome::Prevented => {
                effects.push(Effect::Ended {
                    order: id,
                    handle: order.handle,
                    reason: EndReason::SelfTrade,
                });
            }
        }
    }

    fn set_promised(&mut self, order: &OrderId, promised: Lots) {
        let Some(position) = self.position(order) else {
            return;
        };
        let before = self.orders[position];
        let kept = before.remaining.min(promised.0);
        match before.life {
            Life::Over if kept == 0 => {
                self.remove(position);
            }
            Life::Over => {
                let after = Order {
                    total: before.filled() + kept,
                    remaining: kept,
                    promised: promised.0,
                    ..before
                };
                self.change(position, after);
            }
            Life::Open => {
                let promised = promised.0;
                self.change(position, Order { promised, ..before });
            }
        }
    }

    fn state_complete(&mut self, taker: &OrderId, claims: &Claims, effects: &mut Vec<Effect>) {
        for claim in &claims.makers {
            self.state(taker, claim, effects);
        }
    }

    fn cancel(&mut self, order: &OrderId, by: Owner, effects: &mut Vec<Effect>) {
        match self.position_of_own(order, by) {
            Ok(position) => self.cut(position, EndReason::Cancelled, effects),
            Err(reason) => effects.push(Effect::Ignored {
                order: *order,
                reason,
            }),
        }
    }

    fn replace(&mut self, replacement: &Replacement, claims: &Claims, effects: &mut Vec<Effect>) {
        let Replacement {
            order: id,
            by,
            new_id,
            new_handle,
            price,
            quantity,
        } = *replacement;
        let position = match self.position_of_own(&id, by) {
            Ok(position) => position,
            Err(reason) => return effects.push(Effect::Ignored { order: id, reason }),
        };
        let old = self.orders[position];
        let price = price.unwrap_or(old.price);
        let total = quantity.map_or(old.total, |quantity| quantity.0);
        assert!(total > 0, "an order must have a quantity");
        let bound = old.filled() + old.kept();
        let only_reduces = price == old.price && total < old.total;
        if total == old.filled() && old.kept() == 0 {
            self.cut(position, EndReason::Filled, effects);
        } else if total <= old.filled() {
            self.cut(position, EndReason::Cancelled, effects);
        } else if only_reduces {
            self.reduce(position, total.max(bound), effects);
        } else if total <= bound {
            self.cut(position, EndReason::Cancelled, effects);
        } else if self.position(&new_id).is_some() {
            let (order, reason) = (new_id, IgnoredReason::Duplicate);
            effects.push(Effect::Ignored { order, reason });
        } else {
            self.cut(position, EndReason::Replaced, effects);
            let new_order = NewOrder {
                id: new_id,
                handle: new_handle,
                owner: old.owner,
                side: old.side,
                pricing: Pricing::Limit(price),
                quantity: Lots(total - bound),
                time_in_force: old.time_in_force,
                self_trade: old.self_trade,
            };
            self.place(&new_order, claims, effects);
        }
    }

    fn end(&mut self, order: &OrderId, reason: EndReason, effects: &mut Vec<Effect>) {
        match self.position_of_living(order) {
            Some(position) => self.cut(position, reason, effects),
            None => {
                let (order, reason) = (*order, IgnoredReason::NotResting);
                effects.push(Effect::Ignored { order, reason });
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark(self.forgotten + self.steps.len() as u64)
    }

    fn undo_to(&mut self, mark: Mark) {
        assert!(mark <= self.mark(), "cannot undo to a mark of the future");
        assert!(self.can_undo_to(mark), "cannot undo what was forgotten");
        while self.mark() > mark {
            match self.steps.pop().expect("there are steps after the mark") {
                Step::Appended => {
                    self.orders.pop();
                }
                Step::Removed { position, order } => self.orders.insert(position, order),
                Step::Changed { position, before } => self.orders[position] = before,
            }
        }
    }

    fn forget_before(&mut self, mark: Mark) {
        assert!(mark <= self.mark(), "cannot forget the future");
        let count = mark.0.saturating_sub(self.forgotten);
        self.steps.drain(..count as usize);
        self.forgotten += count;
    }

    fn can_undo_to(&self, mark: Mark) -> bool {
        mark.0 >= self.forgotten
    }

    fn reset(&mut self) {
        *self = Self::new();
    }

    fn state_hash(&self) -> Digest {
        digest::book(&self.side_digest(Side::Buy), &self.side_digest(Side::Sell))
    }

    fn levels(&self, side: Side, depth: usize) -> Vec<Level> {
        let living = |(price, mut orders): (Ticks, Vec<Order>)| {
            orders.retain(|order| order.life == Life::Open);
            (price, orders)
        };
        let levels = self.levels_of(side).into_iter().map(living);
        let levels = levels.filter(|(_, orders)| !orders.is_empty());
        let levels = levels.take(depth);
        levels
            .map(|(price, orders)| Level {
                price,
                quantity: orders.iter().map(|order| u128::from(order.remaining)).sum(),
                orders: orders.len() as u32,
            })
            .collect()
    }

    fn resting(&self, side: Side) -> Vec<Resting> {
        let levels = self.levels_of(side).into_iter();
        levels
            .flat_map(|(_, orders)| orders.into_iter().map(resting))
            .collect()
    }

    fn find(&self, order: &OrderId) -> Option<Resting> {
        self.position(order)
            .map(|position| resting(self.orders[position]))
    }

    fn len(&self) -> usize {
        self.orders.len()
    }
}

fn resting(order: Order) -> Resting {
    Resting {
        id: order.id,
        owner: order.owner,
        price: order.price,
        remaining: Lots(order.remaining),
        promised: Lots(order.promised),
        life: order.life,
    }
}

#[cfg(test)]
mod tests;
