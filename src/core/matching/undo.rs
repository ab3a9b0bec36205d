//! What the book did, as a stack that can lose its oldest part.
//!
//! A step is a record of 16 bytes, and for an order that left the book also the order as it was,
//! kept in a second stack. Both are written, taken back and forgotten in sequence, which memory is
//! good at. Steps are taken back in reverse order alone. So an order that comes back finds its
//! neighbours as it left them, its own links are still true, and the slot that it had is the last
//! that was freed (Knuth's "dancing links").

use alloc::collections::VecDeque;

use super::Mark;
use super::id_table::Tag;
use super::slab::{SLOT_BITS, Slot};

/// What was done to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Deed {
    /// It came to rest at the end of its level.
    Rested,
    /// It was filled in part, by the value of the record.
    Filled,
    /// Its total went down by the value of the record.
    Reduced,
    /// What is promised of it was the value of the record, and the tag says what that meant.
    Promised,
    /// It left its level, at the price that is the value of the record, empty.
    LeftAlone,
    /// It left the front of its level.
    LeftFront,
    /// It left the back of its level.
    LeftBack,
    /// It left its level from between two others.
    LeftMiddle,
}

const DEEDS: [Deed; 8] = [
    Deed::Rested,
    Deed::Filled,
    Deed::Reduced,
    Deed::Promised,
    Deed::LeftAlone,
    Deed::LeftFront,
    Deed::LeftBack,
    Deed::LeftMiddle,
];

/// One step that can be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    slot_and_deed: u32,
    pub(super) tag: Tag,
    pub(super) value: u64,
}

impl Record {
    pub(super) fn new(deed: Deed, slot: Slot, tag: Tag, value: u64) -> Self {
        Self {
            slot_and_deed: (deed as u32) << SLOT_BITS | slot.0,
            tag,
            value,
        }
    }

    pub(super) fn deed(&self) -> Deed {
        DEEDS[(self.slot_and_deed >> SLOT_BITS) as usize]
    }

    pub(super) fn slot(&self) -> Slot {
        Slot(self.slot_and_deed & ((1 << SLOT_BITS) - 1))
    }

    /// Whether the order left the book.
    fn is_departure(&self) -> bool {
        self.slot_and_deed >> SLOT_BITS >= Deed::LeftAlone as u32
    }
}

/// The steps since the last forgotten one. As long as nobody forgets, it grows.
#[derive(Clone, Debug)]
pub(super) struct UndoLog<Order> {
    records: VecDeque<Record>,
    departed: VecDeque<Order>,
    forgotten: u64,
}

impl<Order> UndoLog<Order> {
    pub(super) fn new() -> Self {
        Self {
            records: VecDeque::new(),
            departed: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Notes something other than a departure.
    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }

    /// Notes that an order left, with the order as it was.
    pub(super) fn push_departure(&mut self, record: Record, order: Order) {
        self.records.push_back(record);
        self.departed.push_back(order);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.forgotten + self.records.len() as u64)
    }

    /// The newest record with the order that left by it, unless it stands before `mark`.
    ///
    /// # Panics
    /// When `mark` lies in the future or has been forgotten.
    pub(super) fn pop_after(&mut self, mark: Mark) -> Option<(Record, Option<Order>)> {
        assert!(mark <= self.mark(), "cannot undo to a mark of the future");
        assert!(mark.0 >= self.forgotten, "cannot undo what was forgotten");
        if mark == self.mark() {
            return None;
        }
        let record = self.records.pop_back()?;
        let order = if record.is_departure() {
            self.departed.pop_back()
        } else {
            None
        };
        Some((record, order))
    }

    /// Forgets all records before `mark`.
    ///
    /// # Panics
    /// When `mark` lies in the future.
    pub(super) fn forget_before(&mut self, mark: Mark) {
        assert!(mark <= self.mark(), "cannot forget the future");
        let count = mark.0.saturating_sub(self.forgotten) as usize;
        let departures = self
            .records
            .drain(..count)
            .filter(Record::is_departure)
            .count();
        self.departed.drain(..departures);
        self.forgotten += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small_and_keeps_what_it_was_told() {
        assert_eq!(size_of::<Record>(), 16);
        for (number, deed) in DEEDS.into_iter().enumerate() {
            assert_eq!(deed as usize, number);
            let slot = Slot((1 << SLOT_BITS) - 1);
            let record = Record::new(deed, slot, Tag(5), u64::MAX);
            assert_eq!((record.deed(), record.slot()), (deed, slot));
        }
    }
}
