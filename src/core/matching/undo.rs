//! What the book did, as a stack that can lose its oldest part.
//!
//! A step is a record of 16 bytes, and for an order that left the book also the order as it was,
//! kept in a second stack. Both are written, taken back and forgotten in sequence, which memory is
//! good at. Steps are taken back in reverse order alone. So an order that comes back finds its
//! neighbours as it left them, its own links are still true, and the slot that it had is the last
//! that was freed (Knuth's "dancing links").

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Mark;
use super::id_table::Tag;
use super::slab::{SLOT_BITS, Slot};

/// What was done to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Deed {
    /// It came to rest at the end of its level, in a slot whose order before it had the handle that
    /// is the value of the record.
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

/// How many values a chunk of a stack holds. A guess: little enough for an idle market.
const CHUNK_LEN: usize = 512;

/// A stack that can lose its oldest part. It is made of chunks, so that growing moves nothing and
/// at most one chunk is not full, and one empty chunk is kept, so that a stack that loses as much
/// as it gains stays in the same memory.
#[derive(Clone, Debug)]
struct Stack<T> {
    /// Full chunks, oldest first.
    full: VecDeque<Vec<T>>,
    /// The newest values; it grows like a vector as long as it is the only chunk.
    top: Vec<T>,
    spare: Vec<T>,
    /// How many values of the oldest chunk are lost already.
    lost: usize,
}

impl<T> Stack<T> {
    fn new() -> Self {
        Self {
            full: VecDeque::new(),
            top: Vec::new(),
            spare: Vec::new(),
            lost: 0,
        }
    }

    #[inline]
    fn push(&mut self, value: T) {
        // What a vector asks before it grows: so it is asked once, and growing takes no registers.
        if self.top.len() == self.top.capacity() {
            self.make_room();
        }
        self.top.push(value);
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        let len = self.top.len();
        if len < CHUNK_LEN {
            let more = len.max(4).min(CHUNK_LEN - len);
            return self.top.reserve_exact(more);
        }
        let mut next = core::mem::take(&mut self.spare);
        next.reserve_exact(CHUNK_LEN);
        self.full.push_back(core::mem::replace(&mut self.top, next));
    }

    fn pop(&mut self) -> Option<T> {
        if self.top.is_empty()
            && let Some(before) = self.full.pop_back()
        {
            self.spare = core::mem::replace(&mut self.top, before);
        }
        if self.full.is_empty() && self.top.len() == self.lost {
            return None;
        }
        self.top.pop()
    }

    /// Loses the `count` oldest values, which are there, after a look at each.
    fn lose(&mut self, mut count: usize, mut look: impl FnMut(&T)) {
        while count > 0 {
            let oldest = self.full.front().unwrap_or(&self.top);
            let lost = count.min(oldest.len() - self.lost);
            oldest[self.lost..][..lost].iter().for_each(&mut look);
            count -= lost;
            self.lost += lost;
            // A vector may have more room than it was asked for.
            if self.lost < oldest.len().max(CHUNK_LEN) {
                continue;
            }
            self.lost = 0;
            let mut oldest = self.full.pop_front();
            let emptied = oldest.as_mut().unwrap_or(&mut self.top);
            emptied.clear();
            if let Some(emptied) = oldest {
                self.spare = emptied;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let chunks = self.full.iter().chain([&self.top, &self.spare]);
        chunks.map(Vec::capacity).sum::<usize>() * size_of::<T>()
    }
}

/// The steps since the last forgotten one. As long as nobody forgets, it grows.
#[derive(Clone, Debug)]
pub(super) struct UndoLog<Order> {
    records: Stack<Record>,
    departed: Stack<Order>,
    /// How many steps there have been, the forgotten ones included.
    len: u64,
    forgotten: u64,
}

impl<Order: Copy> UndoLog<Order> {
    pub(super) fn new() -> Self {
        Self {
            records: Stack::new(),
            departed: Stack::new(),
            len: 0,
            forgotten: 0,
        }
    }

    /// Notes a step.
    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        self.records.push(record);
        self.len += 1;
    }

    /// Keeps an order as it is before it leaves; the next step noted says how it left.
    #[inline]
    pub(super) fn keep_departed(&mut self, order: &Order) {
        self.departed.push(*order);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.len)
    }

    /// The newest record with the order that left by it, unless it stands before `mark`.
    ///
    /// # Panics
    /// When `mark` lies in the future or has been forgotten.
    pub(super) fn pop_after(&mut self, mark: Mark) -> Option<(Record, Option<Order>)> {
        assert!(mark <= self.mark(), "cannot undo to a mark of the future");
        assert!(self.reaches(mark), "cannot undo what was forgotten");
        if mark == self.mark() {
            return None;
        }
        let record = self.records.pop()?;
        self.len -= 1;
        let order = if record.is_departure() {
            self.departed.pop()
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
        let count = mark.0.saturating_sub(self.forgotten);
        let mut departures = 0;
        self.records.lose(count as usize, |record| {
            departures += usize::from(record.is_departure());
        });
        self.departed.lose(departures, |_| {});
        self.forgotten += count;
    }

    /// Whether nothing behind this mark was forgotten.
    pub(super) fn reaches(&self, mark: Mark) -> bool {
        mark.0 >= self.forgotten
    }

    /// Forgets the oldest records where there are a quarter more than this.
    pub(super) fn bound(&mut self, records_max: u64) {
        if self.len - self.forgotten > records_max + records_max / 4 {
            self.forget_before(Mark(self.len - records_max));
        }
    }

    /// How many bytes of memory it has asked for.
    pub(super) fn memory_bytes(&self) -> usize {
        self.records.memory_bytes() + self.departed.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stack_loses_its_oldest_values(
            steps in prop::collection::vec((0_usize..5, 1_usize..700), 0..60),
        ) {
            let (mut stack, mut model) = (Stack::new(), VecDeque::new());
            for (number, (kind, count)) in steps.into_iter().enumerate() {
                let present = count.min(model.len());
                match kind {
                    0 => for _ in 0..count {
                        prop_assert_eq!(stack.pop(), model.pop_back());
                        if model.is_empty() {
                            break;
                        }
                    },
                    1 => {
                        let mut lost = Vec::new();
                        stack.lose(present, |value| lost.push(*value));
                        prop_assert_eq!(lost, model.drain(..present).collect::<Vec<_>>());
                    }
                    // Which has room for what it holds and no more.
                    2 => stack = stack.clone(),
                    _ => (0..count).for_each(|_| {
                        stack.push(number);
                        model.push_back(number);
                    }),
                }
                let bound = (model.len() + 4 * CHUNK_LEN) * size_of::<usize>();
                prop_assert!(stack.memory_bytes() <= bound);
            }
        }
    }

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
