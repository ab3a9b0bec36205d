//! From a 32-byte order id to the slot of its order.
//!
//! A hash table of buckets. A bucket is one cache line with eight entries, each a 32-bit tag of the
//! id and the slot: eight bytes in all. The id itself stands in the order, which has to be read
//! anyway, so the table only has to rule out the others. Tags of a bucket are compared all at once,
//! without a branch that the processor could guess wrong. What finds its bucket full goes on to the
//! next one.
//!
//! Tags are *keyed*: ids come from peers, who can try ids until their unkeyed tags collide and every
//! search walks through all of them. The key is secret to the node, which is allowed because
//! nothing that others see depends on it. The tag is the upper half of a multilinear hash over the
//! eight 32-bit words of the id, which is strongly universal: two different ids collide with
//! probability 2^-32 over the keys (Lemire and Kaser, "Strongly universal string hashing is fast",
//! 2012). The home of an entry is given by the upper bits of its tag, so the table grows without
//! reading a single order, in one pass over memory.

use alloc::vec;
use alloc::vec::Vec;

use super::slab::Slot;
use crate::types::OrderId;

/// Entries in a bucket: one cache line of 64 bytes.
const BUCKET_LEN: usize = 8;

/// The table doubles when its buckets have more entries than this on average. At 5 of 8, about 7 %
/// of the buckets would like to hold more than they can (Poisson).
const LOAD_MAX: usize = 5;

/// The first number of buckets, as a power of two.
const FIRST_BITS: u32 = 3;

/// The secret that makes tags unpredictable.
#[derive(Clone)]
pub(super) struct TagKey {
    offset: u64,
    factors: [u64; 8],
}

impl TagKey {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let mut words = [0; 9];
        let mut bytes = [0; 72];
        blake3::Hasher::new_keyed(secret)
            .finalize_xof()
            .fill(&mut bytes);
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("a chunk has 8 bytes"));
        }
        let [offset, factors @ ..] = words;
        Self { offset, factors }
    }

    pub(super) fn tag(&self, id: &OrderId) -> Tag {
        let words =
            id.0.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| u32::from_le_bytes(*bytes));
        let hash = words
            .zip(self.factors)
            .fold(self.offset, |hash, (word, factor)| {
                hash.wrapping_add(factor.wrapping_mul(u64::from(word)))
            });
        Tag((hash >> 32) as u32)
    }
}

/// What the table knows of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u32);

/// Entries whose homes are here, or before in full buckets. Those in use come first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; BUCKET_LEN],
    /// Zero, which is nobody's slot, where there is no entry.
    slots: [u32; BUCKET_LEN],
}

impl Bucket {
    fn is_full(&self) -> bool {
        self.slots[BUCKET_LEN - 1] != 0
    }

    fn len(&self) -> usize {
        self.slots.iter().map(|slot| usize::from(*slot != 0)).sum()
    }

    /// One bit for each place that has this value.
    fn equal(values: &[u32; BUCKET_LEN], value: u32) -> u32 {
        let bits = values.iter().enumerate();
        bits.fold(0, |bits, (place, other)| {
            bits | u32::from(*other == value) << place
        })
    }

    fn put(&mut self, tag: Tag, slot: Slot) {
        let place = self.len();
        self.tags[place] = tag.0;
        self.slots[place] = slot.0;
    }

    /// Takes an entry out and fills its place with the last one.
    fn take(&mut self, place: usize) -> (Tag, Slot) {
        let last = self.len() - 1;
        let taken = (Tag(self.tags[place]), Slot(self.slots[place]));
        self.tags[place] = self.tags[last];
        self.slots[place] = self.slots[last];
        self.slots[last] = 0;
        taken
    }
}

/// Slots by tag. Equal tags may stand in it several times.
#[derive(Clone, Debug)]
pub(super) struct IdTable {
    buckets: Vec<Bucket>,
    bits: u32,
    len: usize,
}

impl IdTable {
    pub(super) fn new() -> Self {
        let buckets = vec![Bucket::default(); 1 << FIRST_BITS];
        Self {
            buckets,
            bits: FIRST_BITS,
            len: 0,
        }
    }

    /// The slot with this tag that is the wanted one.
    pub(super) fn find(&self, tag: Tag, wanted: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mut number = self.home(tag);
        loop {
            let bucket = &self.buckets[number];
            let mut places = Bucket::equal(&bucket.tags, tag.0);
            while places != 0 {
                let slot = Slot(bucket.slots[places.trailing_zeros() as usize % BUCKET_LEN]);
                if slot != Slot::NONE && wanted(slot) {
                    return Some(slot);
                }
                places &= places - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            number = self.after(number);
        }
    }

    /// Reads where a search for this tag starts, without looking at it.
    pub(super) fn touch(&self, tag: Tag) -> u32 {
        self.buckets[self.home(tag)].tags[0]
    }

    pub(super) fn insert(&mut self, tag: Tag, slot: Slot) {
        if self.len >= self.buckets.len() * LOAD_MAX {
            self.grow();
        }
        self.len += 1;
        self.put(tag, slot);
    }

    /// Takes out an entry that is there.
    pub(super) fn remove(&mut self, tag: Tag, slot: Slot) {
        let mut number = self.home(tag);
        let place = loop {
            let bucket = &self.buckets[number];
            let places = Bucket::equal(&bucket.slots, slot.0);
            if places != 0 {
                break places.trailing_zeros() as usize;
            }
            assert!(
                bucket.is_full(),
                "only an entry of the table can be removed"
            );
            number = self.after(number);
        };
        let was_full = self.buckets[number].is_full();
        self.buckets[number].take(place);
        self.len -= 1;
        if was_full {
            self.refill(number);
        }
    }

    /// Moves entries up that could not get into a bucket that was full, so that a search that ends
    /// at a bucket with room has missed nothing.
    fn refill(&mut self, mut gap: usize) {
        let mut number = gap;
        loop {
            number = self.after(number);
            let from_gap = self.distance(gap, number);
            let bucket = &self.buckets[number];
            let was_full = bucket.is_full();
            let misplaced = (0..bucket.len()).find(|&place| {
                self.distance(self.home(Tag(bucket.tags[place])), number) >= from_gap
            });
            if let Some(place) = misplaced {
                let (tag, slot) = self.buckets[number].take(place);
                self.buckets[gap].put(tag, slot);
                gap = number;
            }
            if !was_full {
                return;
            }
        }
    }

    /// How many buckets after `from` comes `to`, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.buckets.len() - 1)
    }

    fn after(&self, number: usize) -> usize {
        (number + 1) & (self.buckets.len() - 1)
    }

    fn home(&self, tag: Tag) -> usize {
        (tag.0 >> (u32::BITS - self.bits)) as usize
    }

    fn put(&mut self, tag: Tag, slot: Slot) {
        let mut number = self.home(tag);
        while self.buckets[number].is_full() {
            number = self.after(number);
        }
        self.buckets[number].put(tag, slot);
    }

    fn grow(&mut self) {
        assert!(self.bits < u32::BITS, "tags do not tell more orders apart");
        self.bits += 1;
        let before = core::mem::replace(&mut self.buckets, vec![Bucket::default(); 1 << self.bits]);
        for bucket in before {
            for place in 0..bucket.len() {
                self.put(Tag(bucket.tags[place]), Slot(bucket.slots[place]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use core::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    fn slots(table: &IdTable, tag: u32) -> Vec<u32> {
        let found = RefCell::new(Vec::new());
        table.find(Tag(tag), |slot| {
            found.borrow_mut().push(slot.0);
            false
        });
        let mut slots = found.into_inner();
        slots.sort_unstable();
        slots
    }

    proptest! {
        #[test]
        fn a_table_is_a_multimap(
            // Few homes, at the end of the table too, so that runs collide and wrap around.
            steps in prop::collection::vec((0_u32..4, 0_u32..3, any::<bool>()), 0..300),
        ) {
            let mut table = IdTable::new();
            let mut model: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (number, (home, low, insert)) in (1..).zip(steps) {
                let tag = (home << 30).wrapping_sub(1 << 26) | low;
                let expected = model.entry(tag).or_default();
                if insert || expected.is_empty() {
                    table.insert(Tag(tag), Slot(number));
                    expected.push(number);
                } else {
                    table.remove(Tag(tag), Slot(expected.remove(0)));
                }
            }
            for (tag, expected) in &model {
                prop_assert_eq!(&slots(&table, *tag), expected);
            }
            prop_assert_eq!(table.len, model.values().map(Vec::len).sum::<usize>());
        }

        #[test]
        fn tags_depend_on_every_byte_and_on_the_key(byte in 0_usize..32, flip in 1_u8..) {
            let key = TagKey::new(&[7; 32]);
            let mut id = OrderId([0x5a; 32]);
            let tag = key.tag(&id);
            prop_assert_ne!(TagKey::new(&[8; 32]).tag(&id), tag);
            id.0[byte] ^= flip;
            prop_assert_ne!(key.tag(&id), tag);
        }
    }
}
