//! The fast engine.
//!
//! Its rules are the oracle's ([`oracle`](super::oracle)); here is how it keeps out of its own way.
//! What an operation costs is how many cache lines it has to fetch, so everything is laid out by
//! who needs it together:
//!
//! - an order is one line of 64 bytes in a `slab`: id, quantities, owner, and its
//!   neighbours in the queue of its level; its handle, which would make it two, stands apart;
//! - a level is half a line: both ends of its queue, its sums, its price;
//! - the `ladder` of a side finds levels by price, and the best one;
//! - the `id_table` finds orders by id with eight bytes an entry;
//! - the `undo` log is written and forgotten in sequence.
//!
//! Links are true only where they are needed: the order at the front of a queue has no valid link
//! to the front, the one at the back none to the back. So an order leaves either end without a
//! visit to its neighbour.
//!
//! An order that ends leaves everything at once: its queue, the id table, its slot. The undo log
//! keeps it as it was. Free slots, of orders and of levels, form stacks, and as undo runs exactly
//! backwards the same slot comes back each time, which assertions watch over; so the links of an
//! order that comes back are still true.

mod promises;
mod walk;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

use self::promises::Promise;
use self::walk::Walk;
use super::claims::{Claims, Purse};
use super::digest::LevelHasher;
use super::digest_cache::{DigestCache, Levels};
use super::id_table::{IdTable, Tag, TagKey};
use super::ladder::Ladder;
use super::layout::{Order, PriceLevel};
use super::prepare;
use super::slab::{Slab, Slot};
use super::undo::{Deed, Record, UndoLog};
use super::{
    Action, Effect, EndReason, Engine, Handle, IgnoredReason, Level, Life, Mark, NewOrder, Owner,
    Pricing, Replacement, Resting, TimeInForce,
};
use crate::prefetch::prefetch;
use crate::types::{Digest, Lots, OrderId, Side, Ticks};

/// Undo records that are kept, about: some 40 MiB, and what a market with a thousand actions a
/// second does in five minutes. What comes later than that is rare, and then it does not matter
/// that the whole log is done again. A guess.
pub const UNDO_RECORDS_MAX: u64 = 1 << 19;

/// The fast engine. See the [module](self) for how it is built.
#[derive(Clone)]
pub struct Book {
    /// The orders, and how the caller knows the order of each slot.
    pub(super) orders: Slab<Order, Handle>,
    pub(super) levels: Slab<PriceLevel>,
    /// Bids, then asks: indexed, not chosen by a branch, for no processor can guess the side.
    ladders: [Ladder; 2],
    pub(super) ids: IdTable,
    pub(super) key: TagKey,
    undo: UndoLog<Order>,
    undo_records_max: u64,
    digests: RefCell<DigestCache>,
    /// What is promised of resting orders: those of which anything is are marked.
    promises: BTreeMap<Slot, Promise>,
}

impl Book {
    /// An empty book. The secret keeps peers from choosing ids that are slow to find; it changes
    /// nothing that can be seen, so it may differ from node to node, and should.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self::with_undo_records(secret, UNDO_RECORDS_MAX)
    }

    /// An empty book that keeps about so many undo records.
    pub fn with_undo_records(secret: &[u8; 32], undo_records_max: u64) -> Self {
        Self::empty(TagKey::new(secret), undo_records_max)
    }

    fn empty(key: TagKey, undo_records_max: u64) -> Self {
        Self {
            orders: Slab::new(),
            levels: Slab::new(),
            ladders: [Side::Buy, Side::Sell].map(Ladder::new),
            ids: IdTable::new(),
            key,
            undo: UndoLog::new(),
            undo_records_max,
            digests: RefCell::new(DigestCache::new()),
            promises: BTreeMap::new(),
        }
    }

    /// The resting orders of a side, best price first, then in queue order.
    pub fn front(&self, side: Side) -> impl Iterator<Item = Resting> {
        let queues = self
            .ladder(side)
            .iter()
            .flat_map(|(_, level)| self.queue(level));
        queues.map(|slot| self.describe(slot))
    }

    /// How many bytes of memory the resting orders take, about; what can be undone and the cached
    /// digests, which are bounded, are not counted.
    pub fn memory_bytes(&self) -> usize {
        let slabs = self.orders.memory_bytes() + self.levels.memory_bytes();
        let ladders = self.ladders.iter().map(Ladder::memory_bytes);
        slabs + self.ids.memory_bytes() + ladders.sum::<usize>()
    }

    pub(super) fn ladder(&self, side: Side) -> &Ladder {
        &self.ladders[side as usize]
    }

    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        &mut self.ladders[side as usize]
    }

    fn slot_of(&self, id: &OrderId, tag: Tag) -> Option<Slot> {
        self.ids.find(tag, |slot| self.orders[slot].id == *id)
    }

    /// The slot of an order that `by` may change, or why there is none.
    fn slot_of_own(&self, id: &OrderId, tag: Tag, by: Owner) -> Result<Slot, IgnoredReason> {
        let slot = self.slot_of(id, tag).ok_or(IgnoredReason::NotResting)?;
        if self.promise(slot).life == Life::Over {
            Err(IgnoredReason::NotResting)
        } else if self.orders[slot].owner == by.0 {
            Ok(slot)
        } else {
            Err(IgnoredReason::NotOwner)
        }
    }

    fn price_of(&self, slot: Slot) -> Ticks {
        self.levels[self.orders[slot].level()].price
    }

    /// The slots of a level's orders, front of the queue first.
    fn queue(&self, level: Slot) -> impl Iterator<Item = Slot> {
        let PriceLevel { front, back, .. } = self.levels[level];
        core::iter::successors(Some(front), move |&slot| {
            (slot != back).then(|| self.orders[slot].next)
        })
    }

    fn describe(&self, slot: Slot) -> Resting {
        let (order, promise) = (&self.orders[slot], self.promise(slot));
        Resting {
            id: order.id,
            owner: Owner(order.owner),
            price: self.price_of(slot),
            remaining: Lots(order.remaining),
            promised: Lots(promise.promised),
            life: promise.life,
        }
    }

    /// Fills an order in part.
    #[inline(always)]
    fn fill(&mut self, slot: Slot, quantity: u64) {
        let order = &mut self.orders[slot];
        order.remaining -= quantity;
        let side = order.side();
        let level = &mut self.levels[order.level()];
        level.subtract(quantity);
        self.digests.get_mut().note_change(side, level.price);
        self.undo
            .push(Record::new(Deed::Filled, slot, Tag(0), quantity));
    }

    /// What becomes of an incoming order with so much left after its walk.
    #[inline]
    fn settle(&mut self, taker: &NewOrder, tag: Tag, purse: Purse, effects: &mut Vec<Effect>) {
        let (order, open) = (taker.id, purse.open);
        // Most takers get all that they want: their terms, which nobody can guess, do not matter.
        if open > 0
            && let Some(price) = resting_price(taker)
        {
            let slot = self.rest(taker, tag, open, price);
            if purse.promised > 0 {
                let (promised, life) = (purse.promised, Life::Open);
                self.set_promise(slot, Promise { promised, life });
            }
            effects.push(Effect::Rested {
                order,
                quantity: Lots(open),
            });
            return;
        }
        effects.push(Effect::Ended {
            order,
            handle: taker.handle,
            reason: if open == 0 {
                EndReason::Filled
            } else {
                EndReason::Unfilled
            },
        });
    }

    fn rest(&mut self, order: &NewOrder, tag: Tag, remaining: u64, price: Ticks) -> Slot {
        self.digests.get_mut().note_change(order.side, price);
        let Self {
            ladders,
            levels,
            orders,
            ..
        } = self;
        let new_level = PriceLevel::new(price);
        let ladder = &mut ladders[order.side as usize];
        let (level_slot, added) = ladder.find_or_insert(price, || levels.insert(new_level));
        let level = &mut levels[level_slot];
        let slot = orders.insert(Order::new(order, remaining, level_slot, level.back));
        if added {
            level.front = slot;
        } else {
            orders[level.back].next = slot;
        }
        level.back = slot;
        level.orders += 1;
        level.add(remaining);
        self.ids.insert(tag, slot);
        let Handle(before) = core::mem::replace(self.orders.beside_mut(slot), order.handle);
        let record = Record::new(Deed::Rested, slot, tag, u64::from(before));
        self.undo.push(record);
        slot
    }

    /// How the caller knows the order of a slot.
    fn handle(&self, slot: Slot) -> Handle {
        *self.orders.beside(slot)
    }

    /// A hint that the handle of a slot will be needed.
    #[inline]
    pub(super) fn prefetch_handle(&self, slot: Slot) {
        prefetch(self.orders.beside(slot));
    }

    /// Takes an order out of the book.
    #[inline(always)]
    fn leave(&mut self, slot: Slot, tag: Tag) {
        let order = &self.orders[slot];
        self.undo.keep_departed(order);
        let (level_slot, side) = (order.level(), order.side());
        let (next, previous) = (order.next, order.previous);
        let level = &mut self.levels[level_slot];
        let price = level.price;
        level.orders -= 1;
        level.subtract(order.remaining);
        let deed = if level.orders == 0 {
            self.levels.free(level_slot);
            self.ladder_mut(side).remove(price);
            Deed::LeftAlone
        } else if level.front == slot {
            level.front = next;
            Deed::LeftFront
        } else if level.back == slot {
            level.back = previous;
            Deed::LeftBack
        } else {
            self.orders[previous].next = next;
            self.orders[next].previous = previous;
            Deed::LeftMiddle
        };
        self.orders.free(slot);
        self.ids.remove(tag, slot);
        self.digests.get_mut().note_change(side, price);
        self.undo.push(Record::new(deed, slot, tag, price.0));
    }

    fn leave_and_end(
        &mut self,
        slot: Slot,
        tag: Tag,
        reason: EndReason,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(self.ended(slot, reason));
        self.leave_silently(slot, tag);
    }

    #[inline]
    fn ended(&self, slot: Slot, reason: EndReason) -> Effect {
        Effect::Ended {
            order: self.orders[slot].id,
            handle: self.handle(slot),
            reason,
        }
    }

    #[inline(always)]
    fn leave_silently(&mut self, slot: Slot, tag: Tag) {
        if self.orders[slot].is_marked() {
            self.set_promise(slot, Promise::NONE);
        }
        self.leave(slot, tag);
    }

    /// The tag of the order of a slot.
    fn tag_of(&self, slot: Slot) -> Tag {
        self.key.tag(&self.orders[slot].id)
    }

    fn reduce(&mut self, slot: Slot, by: u64) {
        let order = &mut self.orders[slot];
        order.total -= by;
        order.remaining -= by;
        let (side, level) = (order.side(), order.level());
        self.levels[level].subtract(by);
        let price = self.levels[level].price;
        self.digests.get_mut().note_change(side, price);
        self.undo.push(Record::new(Deed::Reduced, slot, Tag(0), by));
    }

    fn take_back(&mut self, record: Record, departed: Option<Order>) {
        match departed {
            Some(order) => self.take_back_leave(record, order),
            None if record.deed() == Deed::Rested => {
                self.take_back_rest(record.slot(), record.tag);
                // The order that had the slot before may come back to it.
                let before = u32::try_from(record.value).expect("it was a handle");
                *self.orders.beside_mut(record.slot()) = Handle(before);
            }
            None if record.deed() == Deed::Promised => {
                let life = if record.tag == Tag(0) {
                    Life::Open
                } else {
                    Life::Over
                };
                let promised = record.value;
                self.put_promise(record.slot(), Promise { promised, life });
            }
            None => {
                let order = &mut self.orders[record.slot()];
                order.remaining += record.value;
                if record.deed() == Deed::Reduced {
                    order.total += record.value;
                }
                let (side, level) = (order.side(), order.level());
                let level = &mut self.levels[level];
                level.add(record.value);
                self.digests.get_mut().note_change(side, level.price);
            }
        }
    }

    fn take_back_leave(&mut self, record: Record, order: Order) {
        let price = Ticks(record.value);
        let slot = self.orders.insert(order);
        assert_eq!(slot, record.slot(), "undo runs exactly backwards");
        if record.deed() == Deed::LeftAlone {
            let level = self.levels.insert(PriceLevel::new(price));
            (self.levels[level].front, self.levels[level].back) = (slot, slot);
            assert_eq!(level, order.level(), "undo runs exactly backwards");
            self.ladder_mut(order.side()).insert(price, level);
        }
        match record.deed() {
            Deed::LeftFront => self.levels[order.level()].front = slot,
            Deed::LeftBack => {
                self.levels[order.level()].back = slot;
                self.orders[order.previous].next = slot;
            }
            Deed::LeftMiddle => {
                self.orders[order.previous].next = slot;
                self.orders[order.next].previous = slot;
            }
            Deed::LeftAlone | Deed::Rested | Deed::Filled | Deed::Reduced | Deed::Promised => {}
        }
        let level = &mut self.levels[order.level()];
        level.orders += 1;
        level.add(order.remaining);
        self.ids.insert(record.tag, slot);
        self.digests.get_mut().note_change(order.side(), price);
    }

    fn take_back_rest(&mut self, slot: Slot, tag: Tag) {
        let order = self.orders[slot];
        let level = &mut self.levels[order.level()];
        let price = level.price;
        level.orders -= 1;
        level.subtract(order.remaining);
        level.back = order.previous;
        if level.orders == 0 {
            self.levels.free(order.level());
            self.ladder_mut(order.side()).remove(price);
        }
        self.ids.remove(tag, slot);
        self.orders.free(slot);
        self.digests.get_mut().note_change(order.side(), price);
    }
}

/// The price at which an order rests if it is not filled; `None` if its terms do not let it rest.
fn resting_price(order: &NewOrder) -> Option<Ticks> {
    match (order.pricing, order.time_in_force) {
        (Pricing::Limit(price), TimeInForce::GoodTillCancel | TimeInForce::PostOnly) => Some(price),
        _ => None,
    }
}

impl Levels for Book {
    fn best_between(&self, side: Side, lowest: Ticks, highest: Ticks) -> Option<Ticks> {
        self.ladder(side)
            .best_between(lowest, highest)
            .map(|(price, _)| price)
    }

    fn level_digest(&self, side: Side, price: Ticks) -> Digest {
        let mut hasher = LevelHasher::new(side, price);
        for slot in self
            .ladder(side)
            .get(price)
            .into_iter()
            .flat_map(|level| self.queue(level))
        {
            let total = Lots(self.orders[slot].total);
            hasher.add(&self.describe(slot), total);
        }
        hasher.finish()
    }
}

impl Engine for Book {
    fn place(&mut self, order: &NewOrder, claims: &Claims, effects: &mut Vec<Effect>) {
        assert!(order.quantity.0 > 0, "an order must have a quantity");
        let (id, tag) = (order.id, self.key.tag(&order.id));
        if !self.ids.surely_lacks(tag) && self.slot_of(&id, tag).is_some() {
            let (order, reason) = (id, IgnoredReason::Duplicate);
            effects.push(Effect::Ignored { order, reason });
            return;
        }
        if matches!(
            order.time_in_force,
            TimeInForce::FillOrKill | TimeInForce::PostOnly
        ) && let Some(reason) = self.refusal(order, claims)
        {
            self.state_complete(&id, claims, effects);
            effects.push(Effect::Ended {
                order: id,
                handle: order.handle,
                reason,
            });
            return;
        }
        let mut purse = Purse::of(order, claims);
        match self.take(order, claims, &mut purse, effects) {
            Walk::Ended => self.settle(order, tag, purse, effects),
            Walk::Prevented => {
                effects.push(Effect::Ended {
                    order: id,
                    handle: order.handle,
                    reason: EndReason::SelfTrade,
                });
            }
        }
    }

    fn set_promised(&mut self, order: &OrderId, promised: Lots) {
        let tag = self.key.tag(order);
        let Some(slot) = self.slot_of(order, tag) else {
            return;
        };
        let (before, promised) = (self.promise(slot), promised.0);
        let remaining = self.orders[slot].remaining;
        let kept = remaining.min(promised);
        if before.life == Life::Over && kept == 0 {
            return self.leave_silently(slot, tag);
        }
        if before.life == Life::Over && kept < remaining {
            self.reduce(slot, remaining - kept);
        }
        self.set_promise(slot, Promise { promised, ..before });
    }

    fn state_complete(&mut self, taker: &OrderId, claims: &Claims, effects: &mut Vec<Effect>) {
        for claim in &claims.makers {
            self.state(taker, claim, effects);
        }
    }

    fn cancel(&mut self, order: &OrderId, by: Owner, effects: &mut Vec<Effect>) {
        let tag = self.key.tag(order);
        match self.slot_of_own(order, tag, by) {
            Ok(slot) => self.cut(slot, tag, EndReason::Cancelled, effects),
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
        let tag = self.key.tag(&id);
        let slot = match self.slot_of_own(&id, tag, by) {
            Ok(slot) => slot,
            Err(reason) => return effects.push(Effect::Ignored { order: id, reason }),
        };
        let (old, old_price) = (self.orders[slot], self.price_of(slot));
        let price = price.unwrap_or(old_price);
        let total = quantity.map_or(old.total, |quantity| quantity.0);
        assert!(total > 0, "an order must have a quantity");
        let bound = old.filled() + self.kept(slot);
        let only_reduces = price == old_price && total < old.total;
        if total == old.filled() && self.kept(slot) == 0 {
            self.cut(slot, tag, EndReason::Filled, effects);
        } else if total <= old.filled() {
            self.cut(slot, tag, EndReason::Cancelled, effects);
        } else if only_reduces && bound == old.total {
            let (order, reason) = (id, IgnoredReason::NotReduced);
            effects.push(Effect::Ignored { order, reason });
        } else if only_reduces {
            let quantity = Lots(total.max(bound));
            self.reduce(slot, old.total - quantity.0);
            effects.push(Effect::Reduced {
                order: id,
                handle: self.handle(slot),
                quantity,
            });
        } else if total <= bound {
            self.cut(slot, tag, EndReason::Cancelled, effects);
        } else if self.slot_of(&new_id, self.key.tag(&new_id)).is_some() {
            let (order, reason) = (new_id, IgnoredReason::Duplicate);
            effects.push(Effect::Ignored { order, reason });
        } else {
            self.cut(slot, tag, EndReason::Replaced, effects);
            let new_order = NewOrder {
                id: new_id,
                handle: new_handle,
                owner: by,
                side: old.side(),
                pricing: Pricing::Limit(price),
                quantity: Lots(total - bound),
                time_in_force: old.time_in_force(),
                self_trade: old.self_trade(),
            };
            self.place(&new_order, claims, effects);
        }
    }

    fn end(&mut self, order: &OrderId, reason: EndReason, effects: &mut Vec<Effect>) {
        let tag = self.key.tag(order);
        let slot = self.slot_of(order, tag);
        match slot.filter(|slot| self.promise(*slot).life == Life::Open) {
            Some(slot) => self.cut(slot, tag, reason, effects),
            None => {
                let (order, reason) = (*order, IgnoredReason::NotResting);
                effects.push(Effect::Ignored { order, reason });
            }
        }
    }

    fn prepare(&self, upcoming: &[Action]) {
        prepare::prefetch(self, upcoming);
    }

    fn mark(&self) -> Mark {
        self.undo.mark()
    }

    fn undo_to(&mut self, mark: Mark) {
        while let Some((record, departed)) = self.undo.pop_after(mark) {
            self.take_back(record, departed);
        }
    }

    fn forget_before(&mut self, mark: Mark) {
        self.undo.forget_before(mark);
    }

    fn bound_undo(&mut self) {
        self.undo.bound(self.undo_records_max);
    }

    fn can_undo_to(&self, mark: Mark) -> bool {
        self.undo.reaches(mark)
    }

    fn reset(&mut self) {
        *self = Self::empty(self.key.clone(), self.undo_records_max);
    }

    fn undo_memory_bytes(&self) -> usize {
        self.undo.memory_bytes()
    }

    fn state_hash(&self) -> Digest {
        self.digests.borrow_mut().book(self)
    }

    fn levels(&self, side: Side, depth: usize) -> Vec<Level> {
        let over = |(slot, promise): &(&Slot, &Promise)| {
            promise.life == Life::Over && self.orders[**slot].side() == side
        };
        let mut remnants: BTreeMap<Ticks, (u128, u32)> = BTreeMap::new();
        for (slot, _) in self.promises.iter().filter(over) {
            let (quantity, orders) = remnants.entry(self.price_of(*slot)).or_default();
            *quantity += u128::from(self.orders[*slot].remaining);
            *orders += 1;
        }
        let levels = self.ladder(side).iter().map(|(price, level)| {
            let level = &self.levels[level];
            let (quantity, orders) = remnants.get(&price).copied().unwrap_or_default();
            Level {
                price,
                quantity: level.quantity() - quantity,
                orders: level.orders - orders,
            }
        });
        levels
            .filter(|level| level.orders > 0)
            .take(depth)
            .collect()
    }

    fn resting(&self, side: Side) -> Vec<Resting> {
        self.front(side).collect()
    }

    fn find(&self, order: &OrderId) -> Option<Resting> {
        self.slot_of(order, self.key.tag(order))
            .map(|slot| self.describe(slot))
    }

    fn len(&self) -> usize {
        self.ids.len()
    }
}
