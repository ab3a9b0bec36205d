//! Storage for many small values of one type, addressed by number.
//!
//! A value keeps its number for its whole life, freed places are used again (the last freed first,
//! while it is still in the cache), and growing copies nothing. Chunks have a length that the
//! compiler knows, so a place is found with one look at the list of chunks; they start on the
//! alignment of the type, so a value of 64 bytes that asks for it is exactly one cache line.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use super::Handle;
use crate::prefetch::prefetch;

/// How many bits of a slot number count within a chunk. A guess: 16 KiB of orders for a market that
/// is quiet, and the list of chunks of a million orders still in the nearest cache.
const CHUNK_BITS: u32 = 8;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

/// How many bits a slot number has; what lies above is free for the flags of its holder.
pub(super) const SLOT_BITS: u32 = 27;

/// The number of a value's place. Zero stands for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const NONE: Self = Self(0);

    /// The place as a handle that an engine carries along.
    pub(crate) fn handle(self) -> Handle {
        Handle(self.0)
    }

    /// The place that a handle was made of.
    pub(crate) fn of_handle(handle: Handle) -> Self {
        Self(handle.0)
    }
}

/// The values of consecutive slots, and what is kept beside them.
type Chunk<T, Beside> = (Box<[T; CHUNK_LEN]>, Box<[Beside; CHUNK_LEN]>);

/// Values by slot. Beside each there may be another that would not fit into its cache line; it
/// stays when its place is given back.
#[derive(Clone, Debug)]
pub(super) struct Slab<T, Beside = ()> {
    chunks: Vec<Chunk<T, Beside>>,
    /// Slots that were given back, the last one on top. At the bottom, always, is the first that
    /// was never used: which of the two the next value gets is what no processor can guess, so it
    /// must not be a question.
    free: Vec<Slot>,
}

impl<T: Copy + Default, Beside: Copy + Default> Slab<T, Beside> {
    /// An empty slab. From the first insertion on the place of nobody is there too, so that it can
    /// be read without a question.
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: vec![Slot(1)],
        }
    }

    /// Stores a value.
    ///
    /// # Panics
    /// With 2^27 values in it, which for orders are 8 GiB.
    #[inline]
    pub(super) fn insert(&mut self, value: T) -> Slot {
        let slot = self.take_slot();
        // Inlined, so that the value is written here at once: copied from the stack in wide words
        // right after it was written there in narrow ones, it would stall the processor.
        self[slot] = value;
        slot
    }

    /// A hint that a value will be needed.
    #[inline]
    pub(super) fn prefetch(&self, slot: Slot) {
        prefetch(&self[slot]);
    }

    /// Gives a place back. Its value stays readable until the place is used again.
    pub(super) fn free(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// How many values are stored.
    pub(super) fn len(&self) -> usize {
        self.free[0].0 as usize - self.free.len()
    }

    /// How many bytes of memory it has asked for.
    pub(super) fn memory_bytes(&self) -> usize {
        let free = self.free.capacity() * size_of::<Slot>();
        let chunk = size_of::<[T; CHUNK_LEN]>() + size_of::<[Beside; CHUNK_LEN]>();
        self.chunks.len() * chunk + free
    }

    #[inline]
    fn take_slot(&mut self) -> Slot {
        let top = self.free.len() - 1;
        let slot = self.free[top];
        self.free[top].0 += u32::from(top == 0);
        self.free.truncate(top.max(1));
        if split(slot).0 >= self.chunks.len() {
            self.add_chunk();
        }
        slot
    }

    #[cold]
    fn add_chunk(&mut self) {
        assert!(
            self.chunks.len() < 1 << (SLOT_BITS - CHUNK_BITS),
            "a slab holds at most 2^{SLOT_BITS} values"
        );
        self.chunks.push((defaults(), defaults()));
    }
}

fn defaults<T: Copy + Default>() -> Box<[T; CHUNK_LEN]> {
    let values = vec![T::default(); CHUNK_LEN].into_boxed_slice();
    values.try_into().ok().expect("it is as long as a chunk")
}

fn split(slot: Slot) -> (usize, usize) {
    let number = slot.0 as usize;
    (number >> CHUNK_BITS, number & (CHUNK_LEN - 1))
}

impl<T, Beside> Slab<T, Beside> {
    /// What is kept beside a value.
    #[inline]
    pub(super) fn beside(&self, slot: Slot) -> &Beside {
        let (chunk, offset) = split(slot);
        &self.chunks[chunk].1[offset]
    }

    /// What is kept beside a value, to be changed.
    #[inline]
    pub(super) fn beside_mut(&mut self, slot: Slot) -> &mut Beside {
        let (chunk, offset) = split(slot);
        &mut self.chunks[chunk].1[offset]
    }
}

impl<T, Beside> Index<Slot> for Slab<T, Beside> {
    type Output = T;

    #[inline]
    fn index(&self, slot: Slot) -> &T {
        let (chunk, offset) = split(slot);
        &self.chunks[chunk].0[offset]
    }
}

impl<T, Beside> IndexMut<Slot> for Slab<T, Beside> {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        let (chunk, offset) = split(slot);
        &mut self.chunks[chunk].0[offset]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_slot_while_the_slab_grows() {
        let mut slab: Slab<usize> = Slab::new();
        let slots: Vec<Slot> = (0..3 * CHUNK_LEN).map(|value| slab.insert(value)).collect();
        assert!(slots.iter().all(|slot| *slot != Slot::NONE));
        assert!(
            slots
                .iter()
                .enumerate()
                .all(|(value, slot)| slab[*slot] == value)
        );
    }

    #[test]
    fn the_last_freed_slot_is_used_first() {
        let mut slab: Slab<usize> = Slab::new();
        let slots: Vec<Slot> = (0..3).map(|value| slab.insert(value)).collect();
        slab.free(slots[0]);
        slab.free(slots[2]);
        assert_eq!([slab.insert(7), slab.insert(8)], [slots[2], slots[0]]);
        assert!(!slots.contains(&slab.insert(9)), "no other is free");
    }
}
