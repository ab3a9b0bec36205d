//! A list that grows without ever moving what is in it.
//!
//! A vector that is full moves to a place twice as large: for a moment it needs three times its
//! memory, and ever after up to half of it is idle. The lists of a history never end and there are
//! many of them, so they are made of chunks: at most one chunk is not full, and growing touches no
//! memory but that of the new value. The first chunk grows like a vector, so a short list is small.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// How large a chunk may be. A guess: so little that what is idle in the last chunk of each list
/// does not count even where a thousand nodes share a machine, and enough that the list of chunks
/// stays in the caches.
pub(crate) const CHUNK_BYTES: usize = 1 << 13;

/// How many bits of a number count within a chunk of such values.
pub(crate) const fn chunk_bits<T>() -> u32 {
    (CHUNK_BYTES / size_of::<T>()).ilog2()
}

/// Values by number.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunks<T> {
    /// How many bits of a number count within a chunk.
    const BITS: u32 = chunk_bits::<T>();
    const CHUNK_LEN: usize = 1 << Self::BITS;

    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value with this number, if there is one.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        (number < self.len).then(|| &self[number])
    }

    /// Adds a value at the end.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        if self.len >> Self::BITS == self.chunks.len() {
            self.add_chunk();
        }
        self.chunks[self.len >> Self::BITS].push(value);
        self.len += 1;
    }

    #[cold]
    fn add_chunk(&mut self) {
        let room = if self.chunks.is_empty() {
            0
        } else {
            Self::CHUNK_LEN
        };
        self.chunks.push(Vec::with_capacity(room));
    }

    /// How many bytes of memory it has asked for.
    pub(crate) fn memory_bytes(&self) -> usize {
        let values: usize = self.chunks.iter().map(Vec::capacity).sum();
        values * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

/// How many of so many numbers come before the first that does not hold, if none after it holds.
/// Searched from the end in growing steps: what is asked for is mostly near it, and so is what the
/// caches have.
pub(crate) fn partition_point_from_end(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    let mut step = 1;
    while let Some(at) = high.checked_sub(step) {
        if holds(at) {
            low = at + 1;
            break;
        }
        high = at;
        step *= 2;
    }
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: usize) -> &T {
        &self.chunks[number >> Self::BITS][number & (Self::CHUNK_LEN - 1)]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut T {
        &mut self.chunks[number >> Self::BITS][number & (Self::CHUNK_LEN - 1)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So large that four of them fill a chunk.
    type Large = [u64; CHUNK_BYTES / 32];

    proptest! {
        #[test]
        fn chunks_are_a_list(values in prop::collection::vec(any::<u64>(), 0..60)) {
            let mut chunks: Chunks<Large> = Chunks::new();
            for (at, value) in values.iter().enumerate() {
                prop_assert!(chunks.get(at).is_none());
                chunks.push([*value; CHUNK_BYTES / 32]);
                prop_assert_eq!(chunks.len(), at + 1);
                let same = values[..=at].iter().enumerate().all(|(at, it)| chunks[at][2] == *it);
                prop_assert!(same);
                prop_assert!(chunks.memory_bytes() <= (at + 13) * size_of::<Large>());
            }
        }
    }

    #[test]
    fn the_place_of_a_value_in_a_sorted_list_is_found() {
        for at in [0, 1, 8191, 8192, 19_999, 20_000] {
            assert_eq!(partition_point_from_end(20_000, |number| number < at), at);
        }
    }
}
