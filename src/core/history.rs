//! A list that grows for ever, whose past takes a fraction of the memory of its present.
//!
//! It is cut into chunks like [`Chunks`](crate::chunks). The newest chunks, and those that were
//! changed lately, are plain. The others are [packed](crate::packed): what is in them can be read
//! where it is, only slower, and to change it the chunk is unpacked again. Nothing else can be seen
//! of it: this is a list.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Deref, Range};

use crate::chunks::{chunk_bits, partition_point_from_end};
use crate::packed::{Packed, Row};
use crate::prefetch::prefetch;

/// How many full chunks stay plain in any case: a megabyte of what is often undone or looked for,
/// which are 16,384 entries of a log. With 32 chunks a simulation with a partition takes 2 % more
/// instructions. What is changed at random is unpacked and packed once in so many chunks that are
/// added, so it costs little beside what was added.
const PLAIN_MAX: usize = 128;

/// How many chunks are looked at for one that became plain: more than one, so that those that are
/// not yet settled cannot keep all others plain.
const LOOKED_AT: usize = 2;

/// A chunk is packed unless more than one in so many values are not settled.
const SETTLED_SHARE: usize = 32;

/// A value of a history.
pub(crate) trait Settling: Row {
    /// Whether it will hardly be changed any more. What never changes in place is.
    fn is_settled(&self) -> bool {
        true
    }
}

/// Whether a chunk that is packed has values that are not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsettled {
    None,
    Some,
}

#[derive(Clone, Debug)]
enum Chunk<T> {
    Plain(Vec<T>),
    Packed {
        /// Once more, for whoever looks for the chunk that has a value.
        first: T,
        values: Packed,
        unsettled: Unsettled,
    },
}

impl<T: Row> Chunk<T> {
    fn first(&self) -> &T {
        match self {
            Self::Plain(values) => &values[0],
            Self::Packed { first, .. } => first,
        }
    }
}

/// A value that is looked at: where it is, or unpacked.
pub(crate) enum Value<'a, T> {
    Plain(&'a T),
    Packed(T),
}

impl<T> Deref for Value<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Plain(value) => value,
            Self::Packed(value) => value,
        }
    }
}

/// Values by number.
#[derive(Clone, Debug)]
pub(crate) struct History<T> {
    /// The one that the next value goes to is plain.
    chunks: Vec<Chunk<T>>,
    len: usize,
    /// The plain ones that are followed by a value, each once: as they became so, or were changed.
    plain: VecDeque<u32>,
}

impl<T: Settling> History<T> {
    /// How many bits of a number count within a chunk.
    const BITS: u32 = chunk_bits::<T>();
    const CHUNK_LEN: usize = 1 << Self::BITS;
    /// So many values of a chunk that is packed may not be settled.
    const UNSETTLED_MAX: usize = Self::CHUNK_LEN / SETTLED_SHARE;

    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
            plain: VecDeque::new(),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value with this number.
    #[inline]
    pub(crate) fn at(&self, number: usize) -> Value<'_, T> {
        match &self.chunks[number >> Self::BITS] {
            Chunk::Plain(values) => Value::Plain(&values[number & (Self::CHUNK_LEN - 1)]),
            Chunk::Packed { values, .. } => read(values, number & (Self::CHUNK_LEN - 1)),
        }
    }

    /// The value with this number, if there is one.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<Value<'_, T>> {
        (number < self.len).then(|| self.at(number))
    }

    /// The last value.
    pub(crate) fn last(&self) -> Option<Value<'_, T>> {
        self.get(self.len.checked_sub(1)?)
    }

    /// A hint that a value will be needed.
    #[inline]
    pub(crate) fn prefetch(&self, number: usize) {
        if let Some(Chunk::Plain(values)) = self.chunks.get(number >> Self::BITS)
            && let Some(value) = values.get(number & (Self::CHUNK_LEN - 1))
        {
            prefetch(value);
        }
    }

    /// The value with this number, to be changed.
    #[inline]
    pub(crate) fn at_mut(&mut self, number: usize) -> &mut T {
        let chunk = number >> Self::BITS;
        if matches!(self.chunks[chunk], Chunk::Packed { .. }) {
            self.reopen(chunk);
        }
        &mut self.unpack(chunk)[number & (Self::CHUNK_LEN - 1)]
    }

    /// A packed chunk is going to be changed.
    #[cold]
    fn reopen(&mut self, chunk: usize) {
        // First the others: nothing may pack this one before it is changed.
        self.pack_settled();
        if (chunk + 1) << Self::BITS < self.len {
            self.plain.push_back(chunk_number(chunk));
        }
    }

    /// Adds a value at the end.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        let chunk = self.len >> Self::BITS;
        if self.len.is_multiple_of(Self::CHUNK_LEN) {
            self.begin_chunk(chunk);
        }
        let Chunk::Plain(values) = &mut self.chunks[chunk] else {
            unreachable!("the chunk at the end is plain");
        };
        values.push(value);
        self.len += 1;
    }

    /// The next value is the first of a chunk.
    #[cold]
    fn begin_chunk(&mut self, chunk: usize) {
        let full = chunk.checked_sub(1);
        if let Some(full) = full
            && let Chunk::Plain(_) = self.chunks[full]
        {
            self.plain.push_back(chunk_number(full));
            self.pack_settled();
        }
        if chunk == self.chunks.len() {
            let room = full.map_or(0, |_| Self::CHUNK_LEN);
            self.chunks.push(Chunk::Plain(Vec::with_capacity(room)));
        }
    }

    /// Takes the last value out. The memory of one empty chunk is kept for what comes next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let chunk = last >> Self::BITS;
        self.len = last;
        if last.is_multiple_of(Self::CHUNK_LEN) {
            self.end_chunk(chunk);
        }
        self.unpack(chunk).pop()
    }

    /// The first value of a chunk is going to be taken out.
    #[cold]
    fn end_chunk(&mut self, chunk: usize) {
        self.chunks.truncate(chunk + 1);
        if let Some(full) = chunk.checked_sub(1)
            && let Chunk::Plain(_) = self.chunks[full]
        {
            let full = chunk_number(full);
            // What was filled last is mostly at the end.
            let at = self.plain.iter().rposition(|queued| *queued == full);
            let at = at.expect("a plain chunk that is followed is queued");
            self.plain.remove(at);
        }
    }

    /// The values of a chunk, which is plain from now on.
    #[inline]
    fn unpack(&mut self, chunk: usize) -> &mut Vec<T> {
        let chunk = &mut self.chunks[chunk];
        if let Chunk::Packed { values, .. } = chunk {
            *chunk = Chunk::Plain(read_all(values, Self::CHUNK_LEN));
        }
        match chunk {
            Chunk::Plain(values) => values,
            Chunk::Packed { .. } => unreachable!("it was unpacked"),
        }
    }

    /// Packs those chunks that have been plain for longest and are settled.
    fn pack_settled(&mut self) {
        let spare = self.plain.len().saturating_sub(PLAIN_MAX);
        for _ in 0..spare.min(LOOKED_AT) {
            let Some(number) = self.plain.pop_front() else {
                return;
            };
            let Chunk::Plain(values) = &self.chunks[number as usize] else {
                unreachable!("a chunk that is queued is plain");
            };
            let unsettled = values.iter().filter(|value| !value.is_settled());
            // Counted no further than is needed.
            let count = unsettled.take(Self::UNSETTLED_MAX + 1).count();
            if count > Self::UNSETTLED_MAX {
                self.plain.push_back(number);
                continue;
            }
            self.chunks[number as usize] = Chunk::Packed {
                first: values[0],
                values: Packed::new(values),
                unsettled: match count {
                    0 => Unsettled::None,
                    _ => Unsettled::Some,
                },
            };
        }
    }

    /// The numbers in a range whose values are not settled, in order. Whole chunks of the past are
    /// passed over.
    pub(crate) fn unsettled(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let end = range.end.min(self.len);
        let chunks = range.start >> Self::BITS..end.div_ceil(Self::CHUNK_LEN);
        let has_some = |chunk: &usize| {
            let unsettled = match &self.chunks[*chunk] {
                Chunk::Plain(_) => Unsettled::Some,
                Chunk::Packed { unsettled, .. } => *unsettled,
            };
            unsettled == Unsettled::Some
        };
        let numbers = chunks.filter(has_some).flat_map(move |chunk| {
            let of_chunk = chunk << Self::BITS..(chunk + 1) << Self::BITS;
            range.start.max(of_chunk.start)..end.min(of_chunk.end)
        });
        numbers.filter(|number| !self.at(*number).is_settled())
    }

    /// How many values come before the first that does not hold, in a list where none after it
    /// holds.
    pub(crate) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> usize {
        let chunks = self.len.div_ceil(Self::CHUNK_LEN);
        let chunks = partition_point_from_end(chunks, |chunk| holds(self.chunks[chunk].first()));
        let Some(chunk) = chunks.checked_sub(1) else {
            return 0;
        };
        let from = chunk << Self::BITS;
        let len = Self::CHUNK_LEN.min(self.len - from);
        from + partition_point_from_end(len, |number| holds(&self.at(from + number)))
    }

    /// How many bytes of memory it has asked for.
    pub(crate) fn memory_bytes(&self) -> usize {
        let values = self.chunks.iter().map(|chunk| match chunk {
            Chunk::Plain(values) => values.capacity() * size_of::<T>(),
            Chunk::Packed { values, .. } => values.memory_bytes(),
        });
        values.sum::<usize>()
            + self.chunks.capacity() * size_of::<Chunk<T>>()
            + self.plain.capacity() * size_of::<u32>()
    }
}

fn chunk_number(chunk: usize) -> u32 {
    u32::try_from(chunk).expect("2^32 chunks are 32 TiB")
}

/// Apart, so that what is nearly always done instead is short.
#[inline(never)]
fn read<T: Row>(packed: &Packed, number: usize) -> Value<'_, T> {
    Value::Packed(packed.get(number))
}

#[cold]
fn read_all<T: Row>(packed: &Packed, len: usize) -> Vec<T> {
    // Collecting from a range asks for just so much memory.
    (0..len).map(|number| packed.get(number)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunks::CHUNK_BYTES;

    /// How many of the values fill a chunk.
    const LEN: usize = 64;

    /// A value that is settled if it is even.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Large([u64; CHUNK_BYTES / 8 / LEN]);

    impl Large {
        fn new(value: u64) -> Self {
            let mut large = [value; CHUNK_BYTES / 8 / LEN];
            large[1] = value / 3;
            Self(large)
        }
    }

    impl Row for Large {
        type Columns = [u64; CHUNK_BYTES / 8 / LEN];

        fn columns(&self) -> Self::Columns {
            self.0
        }

        fn of(columns: &Self::Columns) -> Self {
            Self(*columns)
        }
    }

    impl Settling for Large {
        fn is_settled(&self) -> bool {
            self.0[0].is_multiple_of(2)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Adds so many values from this one on, every second of which is not settled, or none.
        Push(u64, usize, u64),
        Pop(usize),
        /// Changes the value at this share of the list.
        Set(u16, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let below = 0..1_000_000_u64;
        let count = 0..6 * LEN;
        prop_oneof![
            4 => (below.clone(), count.clone(), 1..3_u64)
                .prop_map(|(from, count, step)| Step::Push(from, count, step)),
            2 => count.prop_map(Step::Pop),
            2 => (any::<u16>(), below).prop_map(|(share, value)| Step::Set(share, value)),
        ]
    }

    proptest! {
        #[test]
        fn a_history_is_a_list(steps in prop::collection::vec(step(), 0..60)) {
            let (mut history, mut model) = (History::new(), Vec::new());
            // More than may stay plain.
            for value in 0..(PLAIN_MAX + 8) * LEN {
                history.push(Large::new(value as u64 * 2));
                model.push(Large::new(value as u64 * 2));
            }
            for step in steps {
                match step {
                    Step::Push(from, count, step) => (0..count as u64).for_each(|number| {
                        history.push(Large::new(from + number * step));
                        model.push(Large::new(from + number * step));
                    }),
                    Step::Pop(count) => for _ in 0..count {
                        prop_assert_eq!(history.pop(), model.pop());
                    },
                    Step::Set(share, value) if !model.is_empty() => {
                        let at = (model.len() * usize::from(share)) >> 16;
                        *history.at_mut(at) = Large::new(value);
                        model[at] = Large::new(value);
                    }
                    Step::Set(..) => {}
                }
                prop_assert_eq!(history.len(), model.len());
                prop_assert_eq!(history.last().map(|it| *it), model.last().copied());
                prop_assert!(history.get(model.len()).is_none());
                let range = model.len() / 5..model.len() - model.len() / 7;
                let unsettled = range.clone().filter(|at| !model[*at].is_settled());
                prop_assert!(history.unsettled(range).eq(unsettled));
            }
            let same = model.iter().enumerate().all(|(at, value)| *history.at(at) == *value);
            prop_assert!(same);
        }
    }

    #[test]
    fn the_past_is_packed_but_where_it_is_not_settled() {
        let chunks = 10 * PLAIN_MAX;
        let memory = |step: u64| {
            let mut history = History::new();
            (0..chunks * LEN).for_each(|at| history.push(Large::new(at as u64 * step)));
            history.memory_bytes() / CHUNK_BYTES
        };
        assert!(memory(2) < 4 * PLAIN_MAX, "{}", memory(2));
        assert!(memory(1) >= chunks, "every second value is not settled");
    }

    #[test]
    fn what_is_changed_often_is_packed_again() {
        let mut history = History::new();
        let len = 10 * PLAIN_MAX * LEN;
        (0..len).for_each(|at| history.push(Large::new(at as u64 * 2)));
        let before = history.memory_bytes();
        for at in (0..len).step_by(7) {
            *history.at_mut(at) = Large::new(at as u64 * 2 + 2);
        }
        assert!(history.memory_bytes() < before + 2 * CHUNK_BYTES);
        let is_changed = |at| *history.at(at) == Large::new(at as u64 * 2 + 2);
        assert!((0..len).step_by(7).all(is_changed));
    }

    #[test]
    fn what_is_taken_out_and_added_again_stays_plain() {
        let mut history = History::new();
        let len = (PLAIN_MAX - 2) * LEN;
        (0..len).for_each(|at| history.push(Large::new(at as u64 * 2)));
        let before = history.memory_bytes();
        for back in 1..PLAIN_MAX - 2 {
            let from = len - back * LEN;
            while history.len() > from {
                history.pop();
            }
            (from..len).for_each(|at| history.push(Large::new(at as u64 * 2)));
        }
        assert_eq!(history.memory_bytes(), before);
    }

    #[test]
    fn a_place_in_a_sorted_history_is_found() {
        let mut history = History::new();
        let len = (PLAIN_MAX + 5) * LEN + 7;
        for at in 0..len {
            history.push(Large::new(at as u64 * 2));
            if at.is_multiple_of(61) || at + 1 == len {
                for place in [0, 1, LEN, at / 2, at.saturating_sub(1), at, at + 1] {
                    let place = place.min(at + 1);
                    let is_before = |value: &Large| value.0[0] < place as u64 * 2;
                    assert_eq!(history.partition_point(is_before), place);
                }
            }
        }
    }
}
