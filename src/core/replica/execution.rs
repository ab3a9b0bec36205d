//! Doing the actions of a market's log, and keeping what they did.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Replica, market_index};
use crate::effect_log::{Trace, TraceKind};
use crate::market_log::{Addressed, Alteration, Deed, LogEntry, MarketLog};
use crate::matching::{
    self, BATCH_MAX, Claims, Effect, EndReason, Engine, IgnoredReason, Owner, Replacement, Slot,
};
use crate::order_table::OrderTable;
use crate::types::{Lots, OrderId};

impl<E: Engine> Replica<E> {
    /// Executes the log of a market from `first` on. What a batch of actions will need from memory
    /// is asked for before the first of them has to wait for it.
    pub(super) fn execute_from(&mut self, index: usize, first: usize) {
        let mut actions = Vec::with_capacity(BATCH_MAX);
        let mut ends = Vec::with_capacity(BATCH_MAX);
        let end = self.markets[index].log.len();
        for batch in (first..end).step_by(BATCH_MAX) {
            let market = &self.markets[index];
            actions.clear();
            let entries = (batch..end.min(batch + BATCH_MAX)).map(|at| market.log.at(at));
            actions.extend(entries.map(|entry| action(&self.orders, market, &entry)));
            market.engine.prepare(&actions);
            let mut folded = batch;
            for (at, action) in (batch..).zip(&actions) {
                let deed = self.markets[index].log.at(at).deed;
                if deed.depends_on_orders() {
                    // It depends on what the orders are by then.
                    self.fold(index, folded, &mut ends);
                    folded = at;
                }
                let rejection = self.rejection(index, at);
                let market = &mut self.markets[index];
                let mark = market.engine.mark();
                market.log.at_mut(at).set_mark(mark);
                match (deed, action) {
                    (_, matching::Action::Replace(replacement)) => {
                        self.execute_replace(index, at, replacement);
                    }
                    (Deed::Lapse(owner), _) => self.execute_lapse(index, at, owner),
                    (Deed::Expire(order), _) => self.execute_expiry(index, order),
                    (Deed::Expel(owner), _) => self.execute_expulsion(index, owner),
                    (Deed::Readmit, _) => {}
                    (Deed::Place, _) if let Some(reason) = rejection => {
                        self.execute_rejection(index, at, reason);
                    }
                    _ => {
                        let own = market.log.at(at).own;
                        let claims = market.terms.claims(own, &self.orders);
                        market
                            .engine
                            .execute_claimed(action, &claims, &mut market.effects);
                    }
                }
                ends.push(self.markets[index].effects.len());
            }
            self.fold(index, folded, &mut ends);
            self.markets[index].engine.bound_undo();
        }
    }

    /// Brings the effects of the actions from `first` on into the seats and the log of traces. The
    /// effects of each action stop where the next of `ends` says.
    fn fold(&mut self, index: usize, first: usize, ends: &mut Vec<usize>) {
        let market = &mut self.markets[index];
        let (mut from, mut prepared) = (0, 0);
        for (at, to) in (first..).zip(ends.drain(..)) {
            let traces_from = market.next_trace();
            let entry = market.log.at_mut(at);
            entry.traces_from = traces_from;
            let own = entry.own;
            if entry.deed == Deed::Place {
                self.orders.enter(own);
            }
            for number in from..to {
                if number >= prepared {
                    prepared = number + BATCH_MAX;
                    let coming = market.effects[number..].iter().take(BATCH_MAX);
                    let seats = coming.filter_map(seat_of);
                    seats.for_each(|seat| self.orders.prefetch(seat));
                }
                if let Some(trace) = trace(&self.orders, &market.effects[number]) {
                    self.orders.fold(&trace, own);
                    market.traces.push(trace);
                }
            }
            from = to;
        }
        market.effects.clear();
    }

    /// Changes an order, if it is there and the change is one. What would be replaced by an
    /// abandoned order is only cancelled.
    fn execute_replace(&mut self, index: usize, at: usize, replacement: &Replacement) {
        let own = self.markets[index].log.at(at).own;
        let from = self.markets[index].effects.len();
        let old = self.replaceable(index, at, replacement);
        let market = &mut self.markets[index];
        let claims = market.terms.claims(own, &self.orders);
        let order = replacement.order;
        match old {
            Err(reason) => market.effects.push(Effect::Ignored { order, reason }),
            Ok(_) if market.terms.is_abandoned(own) => {
                let by = replacement.by;
                let cancel = matching::Action::Cancel { order, by };
                market
                    .engine
                    .execute_claimed(&cancel, &Claims::NONE, &mut market.effects);
            }
            Ok(old) => {
                let kept = market
                    .engine
                    .find(&order)
                    .map_or(0, |resting| resting.kept());
                let effects = &mut market.effects;
                market.engine.replace(replacement, &claims, effects);
                let was_retired = effects[from..].iter().any(|effect| {
                    matches!(effect, Effect::Ended { order: ended, reason: EndReason::Replaced, .. }
                        if *ended == order)
                });
                if let (true, Some(old)) = (was_retired, old) {
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
                    complete_reduction(effects, from, quantity);
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
        let Deed::Replace(number) = self.markets[index].log.at(at).deed else {
            unreachable!("only replaces replace");
        };
        let alteration = &self.markets[index].alterations[number as usize];
        let old = match alteration.order {
            Addressed::Known(seat) => Some(seat),
            Addressed::Stranger(_) => self.orders.find(&replacement.order),
        };
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
        market.effects.push(Effect::Ended {
            order,
            handle: own.handle(),
            reason: EndReason::NotPlaced,
        });
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
        self.end(index, last, EndReason::Expired);
    }

    /// Why the order that an entry makes enters no book, if there is a reason.
    fn rejection(&self, index: usize, at: usize) -> Option<EndReason> {
        let market = &self.markets[index];
        let entry = market.log.at(at);
        if !self.expulsions.is_empty() {
            let owner = self.orders.operations.author(entry.operation);
            if self.expulsions.is_expelled(owner, entry.bucket()) {
                return Some(EndReason::NoMember);
            }
        }
        let is_abandoned = market.terms.is_abandoned(entry.own);
        is_abandoned.then_some(EndReason::Abandoned)
    }

    /// An order that enters no book is shown as over, and its final trades stand.
    fn execute_rejection(&mut self, index: usize, at: usize, reason: EndReason) {
        let market = &mut self.markets[index];
        let own = market.log.at(at).own;
        let order = self.orders.id(own);
        if market.terms.completed(own) > 0 {
            let claims = market.terms.claims(own, &self.orders);
            market
                .engine
                .state_complete(&order, &claims, &mut market.effects);
        }
        market.effects.push(Effect::Ended {
            order,
            handle: own.handle(),
            reason,
        });
    }

    /// Ends all resting orders of an author.
    fn execute_expulsion(&mut self, index: usize, owner: Owner) {
        let resting = self.resting_of(index, owner);
        for seat in resting {
            self.end(index, seat, EndReason::Expelled);
        }
    }

    /// Ends all resting orders of an author that he placed before he fell silent.
    fn execute_lapse(&mut self, index: usize, at: usize, owner: Owner) {
        let operations = &self.orders.operations;
        let word = self.markets[index].log.at(at).operation;
        let last_word = operations.time(word).unix_ms();
        let mut lapsing = self.resting_of(index, owner);
        // What he placed after his silence may stand in the same bucket.
        lapsing.retain(|seat| {
            let operation = self.orders.terms(*seat).operation;
            operations.time(operation).unix_ms() <= last_word
        });
        for seat in lapsing {
            self.end(index, seat, EndReason::Lapsed);
        }
    }

    /// An author's orders that are not over, in the order of their ids: every node ends them in
    /// the same one.
    fn resting_of(&self, index: usize, owner: Owner) -> Vec<Slot> {
        let seats = self.orders.seats_of(owner, market_index(index));
        let resting = seats.flat_map(|seats| self.orders.open_among(seats));
        let mut resting: Vec<Slot> = resting.collect();
        resting.sort_unstable_by_key(|seat| self.orders.id(*seat));
        resting
    }

    /// Ends a resting order from outside.
    fn end(&mut self, index: usize, seat: Slot, reason: EndReason) {
        let id = self.orders.id(seat);
        let market = &mut self.markets[index];
        market.engine.end(&id, reason, &mut market.effects);
    }
}

/// What the engine has to do.
fn action<E>(orders: &OrderTable, market: &MarketLog<E>, entry: &LogEntry) -> matching::Action {
    let by = || orders.operations.author(entry.operation);
    let id_of = |order| match order {
        Addressed::Known(seat) => orders.id(seat),
        Addressed::Stranger(number) => market.strangers[number as usize],
    };
    match entry.deed {
        Deed::Place => matching::Action::Place(orders.new_order(entry.own)),
        Deed::Cancel(order) => matching::Action::Cancel {
            order: id_of(order),
            by: by(),
        },
        Deed::Replace(number) => {
            let Alteration {
                order,
                price,
                quantity,
                ..
            } = market.alterations[number as usize];
            matching::Action::Replace(Box::new(Replacement {
                order: id_of(order),
                by: by(),
                new_id: orders.id(entry.own),
                new_handle: entry.own.handle(),
                price,
                quantity: Some(quantity),
            }))
        }
        Deed::Expire(order) => matching::Action::End {
            order: orders.id(order),
            reason: EndReason::Expired,
        },
        Deed::Lapse(_) | Deed::Withdraw(_) | Deed::Expel(_) | Deed::Readmit => {
            matching::Action::End {
                order: OrderId::default(),
                reason: EndReason::Lapsed,
            }
        }
    }
}

/// The seat of the order that an effect is about: in a fill, that of the maker.
fn seat_of(effect: &Effect) -> Option<Slot> {
    match effect {
        Effect::Fill { handle, .. }
        | Effect::Reduced { handle, .. }
        | Effect::Ended { handle, .. } => Some(Slot::of_handle(*handle)),
        Effect::Rested { .. } | Effect::Ignored { .. } => None,
    }
}

/// What has to be kept of an effect.
fn trace(orders: &OrderTable, effect: &Effect) -> Option<Trace> {
    let seat = seat_of(effect)?;
    match effect {
        Effect::Fill {
            quantity, piece, ..
        } => Some(Trace::fill(seat, quantity.0, *piece)),
        Effect::Reduced { quantity, .. } => {
            let by = orders.terms(seat).quantity.0 - quantity.0;
            Some(Trace::new(TraceKind::Reduced, seat, by))
        }
        Effect::Ended { reason, .. } => Some(Trace::new(TraceKind::Ended(*reason), seat, 0)),
        Effect::Rested { .. } | Effect::Ignored { .. } => None,
    }
}

/// A total reduced to just what is filled ends an order as filled. It is a reduction all the same,
/// or an order of which nothing is left would seem to have something left.
fn complete_reduction(effects: &mut Vec<Effect>, from: usize, quantity: Lots) {
    if let [
        Effect::Ended {
            order,
            handle,
            reason: EndReason::Filled,
        },
    ] = effects[from..]
    {
        let reduced = Effect::Reduced {
            order,
            handle,
            quantity,
        };
        effects.insert(from, reduced);
    }
}
