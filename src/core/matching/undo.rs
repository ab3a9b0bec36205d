//! What the book did, in records of 16 bytes, as a stack that can lose its oldest part.
//!
//! Records are few and small because orders that end stay where they are: an order that left the
//! book keeps its slot, its links and its quantities until its record is forgotten, so putting it
//! back is a matter of its neighbours (Knuth's "dancing links"). Only what no order remembers is
//! written down. Records are taken back in reverse order alone, which is what makes the links of an
//! absent order true again when its turn comes.

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
    /// It left its level, at the price that is the value of the record, empty.
    LeftAlone,
    /// It left the front of its level.
    LeftFront,
    /// It left the back of its level.
    LeftBack,
    /// It left its level from between two others.
    LeftMiddle,
}

const DEEDS: [Deed; 7] = [
    Deed::Rested,
    Deed::Filled,
    Deed::Reduced,
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

    /// Whether the order has left the book, and only this record keeps its slot.
    pub(super) fn holds_slot(&self) -> bool {
        self.slot_and_deed >> SLOT_BITS >= Deed::LeftAlone as u32
    }
}

/// The records since the last forgotten one. As long as nobody forgets, it grows.
#[derive(Clone, Debug, Default)]
pub(super) struct UndoLog {
    records: VecDeque<Record>,
    forgotten: u64,
}

impl UndoLog {
    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.forgotten + self.records.len() as u64)
    }

    /// The newest record, unless it stands before `mark`.
    ///
    /// # Panics
    /// When `mark` lies in the future or has been forgotten.
    pub(super) fn pop_after(&mut self, mark: Mark) -> Option<Record> {
        assert!(mark <= self.mark(), "cannot undo to a mark of the future");
        assert!(mark.0 >= self.forgotten, "cannot undo what was forgotten");
        if mark == self.mark() {
            None
        } else {
            self.records.pop_back()
        }
    }

    /// The oldest record, if it stands before `mark`.
    ///
    /// # Panics
    /// When `mark` lies in the future.
    pub(super) fn forget_one_before(&mut self, mark: Mark) -> Option<Record> {
        assert!(mark <= self.mark(), "cannot forget the future");
        if mark.0 <= self.forgotten {
            return None;
        }
        self.forgotten += 1;
        self.records.pop_front()
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
