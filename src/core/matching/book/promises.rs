//! What is promised of resting orders, and what a cut leaves of them.

use alloc::vec::Vec;

use super::Book;
use crate::matching::id_table::Tag;
use crate::matching::slab::Slot;
use crate::matching::undo::{Deed, Record};
use crate::matching::{Effect, EndReason, Life};

/// What is promised of a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) promised: u64,
    pub(super) life: Life,
}

impl Promise {
    /// That of most orders.
    pub(super) const NONE: Self = Self {
        promised: 0,
        life: Life::Open,
    };
}

impl Book {
    /// What is promised of an order.
    #[inline]
    pub(super) fn promise(&self, slot: Slot) -> Promise {
        if self.orders[slot].is_marked() {
            self.promises[&slot]
        } else {
            Promise::NONE
        }
    }

    /// Notes what is promised of an order.
    pub(super) fn set_promise(&mut self, slot: Slot, promise: Promise) {
        let before = self.promise(slot);
        if before == promise {
            return;
        }
        let tag = Tag(u32::from(before.life == Life::Over));
        let record = Record::new(Deed::Promised, slot, tag, before.promised);
        self.undo.push(record);
        self.put_promise(slot, promise);
    }

    /// The same without a record of it.
    pub(super) fn put_promise(&mut self, slot: Slot, promise: Promise) {
        let order = &mut self.orders[slot];
        order.set_mark(promise != Promise::NONE);
        let (side, level) = (order.side(), order.level());
        if promise == Promise::NONE {
            self.promises.remove(&slot);
        } else {
            self.promises.insert(slot, promise);
        }
        let price = self.levels[level].price;
        self.digests.get_mut().note_change(side, price);
    }

    /// Ends an order, but for what is promised of it.
    pub(super) fn cut(
        &mut self,
        slot: Slot,
        tag: Tag,
        reason: EndReason,
        effects: &mut Vec<Effect>,
    ) {
        let kept = self.kept(slot);
        if kept == 0 {
            return self.leave_and_end(slot, tag, reason, effects);
        }
        let order = self.orders[slot];
        if order.remaining > kept {
            self.reduce(slot, order.remaining - kept);
        }
        let promised = self.promise(slot).promised;
        let life = Life::Over;
        self.set_promise(slot, Promise { promised, life });
        effects.push(self.ended(slot, reason));
    }

    /// How much of an order nobody can cut.
    pub(super) fn kept(&self, slot: Slot) -> u64 {
        self.orders[slot].remaining.min(self.promise(slot).promised)
    }
}
