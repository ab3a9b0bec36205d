//! What an order that enters takes: a fast way where nothing is promised, and the whole walk.

use alloc::vec::Vec;

use super::Book;
use super::promises::Promise;
use crate::matching::claims::{Claim, Claims, Meeting, Purse};
use crate::matching::slab::Slot;
use crate::matching::{Effect, EndReason, Engine, Life, NewOrder, Pricing, SelfTrade, TimeInForce};
use crate::prefetch::prefetch;
use crate::types::{Lots, OrderId, Ticks};

/// How a walk went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    Ended,
    /// Self-trade prevention stopped it.
    Prevented,
}

impl Book {
    /// Whether `taker` may not even enter, and why.
    #[inline(never)]
    pub(super) fn refusal(&mut self, taker: &NewOrder, claims: &Claims) -> Option<EndReason> {
        match taker.time_in_force {
            TimeInForce::FillOrKill if !self.would_fill(taker, claims) => {
                Some(EndReason::KilledUnfilled)
            }
            TimeInForce::PostOnly if self.would_meet(taker, claims) => Some(EndReason::WouldTake),
            _ => None,
        }
    }

    /// Whether the walk, and the complete trades behind it, would fill all of `taker`.
    fn would_fill(&mut self, taker: &NewOrder, claims: &Claims) -> bool {
        if claims.is_none() && self.promises.is_empty() {
            return self.would_fill_freely(taker);
        }
        let mark = self.undo.mark();
        let mut purse = Purse::of(taker, claims);
        let outcome = self.walk(taker, claims, &mut purse, &mut Vec::new());
        self.undo_to(mark);
        outcome == Walk::Ended && purse.open == 0
    }

    /// The same where nothing is promised of anything.
    fn would_fill_freely(&self, taker: &NewOrder) -> bool {
        let mut open = u128::from(taker.quantity.0);
        let levels = self.ladder(taker.side.opposite()).iter();
        for (_, level) in levels.take_while(|(price, _)| accepts(taker, *price)) {
            if taker.self_trade == SelfTrade::Allow {
                open = open.saturating_sub(self.levels[level].quantity());
            } else if !self.would_take(taker, level, &mut open) {
                return false;
            }
            if open == 0 {
                return true;
            }
        }
        false
    }

    /// Takes a level into account in a dry run; whether the walk goes on.
    fn would_take(&self, taker: &NewOrder, level: Slot, open: &mut u128) -> bool {
        for slot in self.queue(level) {
            let maker = &self.orders[slot];
            if maker.owner != taker.owner.0 {
                *open = open.saturating_sub(u128::from(maker.remaining));
            } else if taker.self_trade != SelfTrade::CancelOldest {
                return false;
            }
            if *open == 0 {
                break;
            }
        }
        true
    }

    /// Whether an order of an acceptable price stands opposite that `taker` was not declined.
    fn would_meet(&self, taker: &NewOrder, claims: &Claims) -> bool {
        let levels = self.ladder(taker.side.opposite()).iter();
        let levels = levels.take_while(|(price, _)| accepts(taker, *price));
        let mut orders = levels.flat_map(|(_, level)| self.queue(level));
        orders.any(|slot| {
            let claim = claims.on(&self.orders[slot].id);
            claim.is_none_or(|claim| claim.meeting == Meeting::Free)
        })
    }

    /// Takes what `taker` can get. As long as nothing is promised of anything that it meets, that
    /// is the order at the front, again and again.
    pub(super) fn take(
        &mut self,
        taker: &NewOrder,
        claims: &Claims,
        purse: &mut Purse,
        effects: &mut Vec<Effect>,
    ) -> Walk {
        if !claims.is_none() {
            return self.walk(taker, claims, purse, effects);
        }
        let side = taker.side.opposite();
        let reach = self.ladder(side).reach(limit(taker));
        while purse.open > 0 {
            let Some((price, level)) = self.ladder(side).best_within(reach) else {
                break;
            };
            let slot = self.levels[level].front;
            let maker = &self.orders[slot];
            if maker.is_marked() {
                return self.walk(taker, claims, purse, effects);
            }
            if maker.owner != taker.owner.0 || taker.self_trade == SelfTrade::Allow {
                let remaining = maker.remaining;
                let quantity = purse.open.min(remaining);
                purse.open -= quantity;
                effects.push(Effect::Fill {
                    maker: maker.id,
                    handle: self.handle(slot),
                    taker: taker.id,
                    price,
                    quantity: Lots(quantity),
                    piece: 0,
                });
                if quantity < remaining {
                    self.fill(slot, quantity);
                    break;
                }
                self.leave_and_end(slot, self.tag_of(slot), EndReason::Filled, effects);
                continue;
            }
            if self.prevent(taker, slot, effects) == Walk::Prevented {
                return Walk::Prevented;
            }
        }
        Walk::Ended
    }

    /// Self-trade prevention, at an own order.
    #[inline(never)]
    fn prevent(&mut self, taker: &NewOrder, slot: Slot, effects: &mut Vec<Effect>) -> Walk {
        let is_open = self.promise(slot).life == Life::Open;
        if is_open && taker.self_trade != SelfTrade::CancelNewest {
            self.cut(slot, self.tag_of(slot), EndReason::SelfTrade, effects);
        }
        if taker.self_trade == SelfTrade::CancelOldest {
            Walk::Ended
        } else {
            Walk::Prevented
        }
    }

    /// The walk where something is promised: it meets each order once, in book order, and states
    /// behind it what is complete with those that it did not meet.
    #[inline(never)]
    pub(super) fn walk(
        &mut self,
        taker: &NewOrder,
        claims: &Claims,
        purse: &mut Purse,
        effects: &mut Vec<Effect>,
    ) -> Walk {
        let mut stated = alloc::vec![false; claims.makers.len()];
        let facing_side = self.ladder(taker.side.opposite());
        let mut facing = facing_side.best_within(facing_side.reach(limit(taker)));
        let mut outcome = Walk::Ended;
        'levels: while let Some((price, level)) = facing {
            let mut next = Some(self.levels[level].front);
            while let Some(slot) = next {
                if purse.open == 0 {
                    break 'levels;
                }
                let order = &self.orders[slot];
                next = (slot != self.levels[level].back).then_some(order.next);
                // Most are passed over, faster than the next one comes from memory.
                next.inspect(|next| prefetch(&self.orders[*next]));
                if order.owner == taker.owner.0 && taker.self_trade != SelfTrade::Allow {
                    outcome = self.prevent(taker, slot, effects);
                    if outcome == Walk::Prevented {
                        break 'levels;
                    }
                    continue;
                }
                let claim = claims.place_of(&order.id);
                if let Some(claim) = claim {
                    stated[claim] = true;
                } else if purse.free() == 0 {
                    // It has nothing for whom it promised nothing.
                    continue;
                }
                let claim = claim.map(|claim| &claims.makers[claim]);
                self.meet(taker, slot, claim, (purse, effects));
            }
            let worse = self.ladder(taker.side.opposite()).next_after(price);
            facing = worse.filter(|(price, _)| accepts(taker, *price));
        }
        for (claim, is_stated) in claims.makers.iter().zip(stated) {
            if !is_stated {
                let quantity = self.state(&taker.id, claim, effects);
                purse.spend(quantity, quantity);
            }
        }
        outcome
    }

    /// What two orders trade: what is complete, then what is promised between them and what both
    /// have free.
    fn meet(
        &mut self,
        taker: &NewOrder,
        slot: Slot,
        claim: Option<&Claim>,
        (purse, effects): (&mut Purse, &mut Vec<Effect>),
    ) {
        let (maker, price) = (self.orders[slot].id, self.price_of(slot));
        if let Some(claim) = claim {
            let quantity = self.state(&taker.id, claim, effects);
            purse.spend(quantity, quantity);
            let is_left = self.slot_of(&maker, self.key.tag(&maker)).is_some();
            if claim.meeting == Meeting::Declined || !is_left {
                return;
            }
        }
        let (taker_half, maker_half, piece) = claim.map_or((0, 0, 0), |claim| {
            (claim.taker_half.0, claim.maker_half.0, claim.next_piece())
        });
        let resting = Purse {
            open: self.orders[slot].remaining,
            promised: self.promise(slot).promised,
        };
        let quantity = purse.meet(taker_half, &resting, maker_half);
        if quantity == 0 {
            return;
        }
        effects.push(Effect::Fill {
            maker,
            handle: self.handle(slot),
            taker: taker.id,
            price,
            quantity: Lots(quantity),
            piece,
        });
        purse.spend(quantity, quantity.min(taker_half));
        self.spend(slot, quantity, quantity.min(maker_half), effects);
    }

    /// States the complete trades with a maker, and takes them out of it; their quantity.
    pub(super) fn state(
        &mut self,
        taker: &OrderId,
        claim: &Claim,
        effects: &mut Vec<Effect>,
    ) -> u64 {
        for (piece, quantity) in claim.pieces() {
            effects.push(Effect::Fill {
                maker: claim.maker,
                handle: claim.handle,
                taker: *taker,
                price: claim.price,
                quantity: Lots(quantity),
                piece,
            });
            if let Some(slot) = self.slot_of(&claim.maker, self.key.tag(&claim.maker)) {
                self.spend(slot, quantity, quantity, effects);
            }
        }
        claim.completed()
    }

    /// Takes a quantity out of an order of which so much was promised.
    fn spend(&mut self, slot: Slot, quantity: u64, of_promised: u64, effects: &mut Vec<Effect>) {
        let promise = self.promise(slot);
        if self.orders[slot].remaining > quantity {
            self.fill(slot, quantity);
            let promised = promise.promised.saturating_sub(of_promised);
            self.set_promise(
                slot,
                Promise {
                    promised,
                    ..promise
                },
            );
        } else if promise.life == Life::Open {
            self.leave_and_end(slot, self.tag_of(slot), EndReason::Filled, effects);
        } else {
            self.leave_silently(slot, self.tag_of(slot));
        }
    }
}

/// The worst price at which `taker` trades; `None` if it trades at any.
fn limit(taker: &NewOrder) -> Option<Ticks> {
    match taker.pricing {
        Pricing::Limit(limit) | Pricing::Market(Some(limit)) => Some(limit),
        Pricing::Market(None) => None,
    }
}

/// Whether `taker` trades at this price.
fn accepts(taker: &NewOrder, price: Ticks) -> bool {
    limit(taker).is_none_or(|limit| taker.side.accepts(limit, price))
}
