//! From a 32-byte order id to the slot of its order.
//!
//! A hash table of buckets. A bucket is one cache line with seven entries, each a 32-bit tag of
//! the id and the slot: eight bytes in all. The id itself stands in the order, which has to be
//! read anyway, so the table only has to rule out the others. One byte of each tag is kept apart,
//! so that all entries of a bucket are compared in one word at once, without a branch that the
//! processor could guess wrong. What finds its bucket full goes on to the next one.
//!
//! Tags are *keyed*: ids come from peers, who can try ids until their unkeyed tags collide and
//! every search walks through all of them. The key is secret to the node, which is allowed because
//! nothing that others see depends on it. The hash is NH, whose 128 bits collide for two different
//! ids with probability 2^-64 over the keys (Black and others, "UMAC: fast and secure message
//! authentication", 1999), folded and multiplied down to the tag. The home of an entry is given by
//! the upper bits of its tag, so the table grows without reading a single order, in one pass over
//! memory.

use alloc::vec;
use alloc::vec::Vec;

use super::slab::Slot;
use crate::prefetch::prefetch;
use crate::types::OrderId;

/// Entries in a bucket: with their summary, one cache line of 64 bytes.
const BUCKET_LEN: usize = 7;

/// The table doubles when it has more entries than this for each two buckets. At 4.5 of 7, about
/// 9 % of the buckets would like to hold more than they can (Poisson). At 5.5 it was 19 %, and the
/// branches that nobody could guess cost more than the smaller table saved (measured).
const LOAD_MAX_HALVES: usize = 9;

/// The first number of buckets, as a power of two.
const FIRST_BITS: u32 = 3;

/// The secret that makes tags unpredictable.
#[derive(Clone)]
pub(crate) struct TagKey {
    offsets: [u64; 4],
    factor: u64,
}

impl TagKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut bytes = [0; 40];
        blake3::Hasher::new_keyed(secret)
            .finalize_xof()
            .fill(&mut bytes);
        let [a, b, c, d, factor] = words(&bytes);
        Self {
            offsets: [a, b, c, d],
            factor: factor | 1,
        }
    }

    #[inline]
    pub(crate) fn tag(&self, id: &OrderId) -> Tag {
        let words: [u64; 4] = words(&id.0);
        let sum = |word: usize| u128::from(words[word].wrapping_add(self.offsets[word]));
        let hash = (sum(0) * sum(1)).wrapping_add(sum(2) * sum(3));
        let folded = hash as u64 ^ (hash >> 64) as u64;
        Tag((folded.wrapping_mul(self.factor) >> 32) as u32)
    }
}

#[inline]
fn words<const COUNT: usize>(bytes: &[u8]) -> [u64; COUNT] {
    let mut words = [0; COUNT];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// What the table knows of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u32);

impl Tag {
    /// What stands of it in the summary of a bucket: its lowest byte, but never the zero of a place
    /// that is not in use.
    fn byte(self) -> u64 {
        u64::from(self.0 & 0xff).max(1)
    }
}

/// Entries whose homes are here, or before in full buckets. Those in use come first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// A byte of each tag, see [`Tag::byte`], first entry lowest, and zero where there is none; in
    /// the highest byte how many there are.
    summary: u64,
    entries: [(Tag, Slot); BUCKET_LEN],
}

impl Bucket {
    fn len(&self) -> usize {
        (self.summary >> 56) as usize
    }

    fn is_full(&self) -> bool {
        self.len() == BUCKET_LEN
    }

    /// The highest bit of each byte whose entry may have this tag, and surely of each that has it.
    #[inline]
    fn candidates(&self, tag: Tag) -> u64 {
        const LOWEST_BITS: u64 = u64::MAX / 0xff;
        let differences = self.summary ^ (tag.byte() * LOWEST_BITS);
        // Finds each zero byte, and at times a byte 1 above a zero byte (Warren, "Hacker's
        // Delight", 6-1), which may be that of a place that is not in use. The highest byte, which
        // is no entry's, is left out.
        differences.wrapping_sub(LOWEST_BITS) & !differences & (LOWEST_BITS << 7 >> 8)
    }

    fn put(&mut self, tag: Tag, slot: Slot) {
        let place = self.len();
        self.entries[place] = (tag, slot);
        // The summary has zeros in the bytes of places that are not in use.
        self.summary += tag.byte() << (8 * place) | 1 << 56;
    }

    /// Takes an entry out and fills its place with the last one.
    fn take(&mut self, place: usize) -> (Tag, Slot) {
        let last = self.len() - 1;
        let taken = self.entries[place];
        self.entries[place] = self.entries[last];
        // Right where the entry is the last one too, so that nobody has to guess whether it is.
        let moved = self.summary >> (8 * last) & 0xff;
        self.summary &= !(0xff << (8 * place));
        self.summary |= moved << (8 * place);
        self.summary &= !(0xff << (8 * last));
        self.summary -= 1 << 56;
        taken
    }
}

/// Slots by tag. Equal tags may stand in it several times.
#[derive(Clone, Debug)]
pub(crate) struct IdTable {
    buckets: Vec<Bucket>,
    /// What brings a tag down to the number of its home.
    shift: u32,
    len: usize,
    /// With how many entries the table is to double.
    len_max: usize,
}

impl IdTable {
    pub(crate) fn new() -> Self {
        let buckets = vec![Bucket::default(); 1 << FIRST_BITS];
        Self {
            buckets,
            shift: u32::BITS - FIRST_BITS,
            len: 0,
            len_max: len_max(1 << FIRST_BITS),
        }
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether a look at one line is enough to know that no entry has this tag: mostly so, if none
    /// has.
    #[inline]
    pub(crate) fn surely_lacks(&self, tag: Tag) -> bool {
        let bucket = &self.buckets[self.home(tag)];
        (bucket.candidates(tag) == 0) & !bucket.is_full()
    }

    /// The slot with this tag that is the wanted one.
    #[inline]
    pub(crate) fn find(&self, tag: Tag, wanted: impl Fn(Slot) -> bool) -> Option<Slot> {
        let found = self.find_entry(tag, wanted);
        found.map(|(number, place)| self.buckets[number].entries[place].1)
    }

    /// The bucket and the place of an entry.
    #[inline]
    fn find_entry(&self, tag: Tag, wanted: impl Fn(Slot) -> bool) -> Option<(usize, usize)> {
        let mut number = self.home(tag);
        loop {
            let bucket = &self.buckets[number];
            let mut candidates = bucket.candidates(tag);
            while candidates != 0 {
                let place = (candidates.trailing_zeros() / 8) as usize;
                let (other, slot) = bucket.entries[place];
                if other == tag && place < bucket.len() && wanted(slot) {
                    return Some((number, place));
                }
                candidates &= candidates - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            number = self.after(number);
        }
    }

    /// How many bytes of memory it has asked for.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// A hint that this tag will be searched for.
    #[inline]
    pub(crate) fn prefetch(&self, tag: Tag) {
        prefetch(&self.buckets[self.home(tag)].summary);
    }

    #[inline]
    pub(crate) fn insert(&mut self, tag: Tag, slot: Slot) {
        if self.len == self.len_max {
            self.grow();
        }
        self.len += 1;
        self.put(tag, slot);
    }

    /// Takes out an entry that is there.
    #[inline]
    pub(crate) fn remove(&mut self, tag: Tag, slot: Slot) {
        let found = self.find_entry(tag, |other| other == slot);
        let (number, place) = found.expect("only an entry of the table can be removed");
        let was_full = self.buckets[number].is_full();
        self.buckets[number].take(place);
        self.len -= 1;
        if was_full {
            self.refill(number);
        }
    }

    /// Moves entries up that could not get into a bucket that was full, so that a search that ends
    /// at a bucket with room has missed nothing.
    #[cold]
    fn refill(&mut self, mut gap: usize) {
        let mut number = gap;
        loop {
            number = self.after(number);
            let from_gap = self.distance(gap, number);
            let bucket = &self.buckets[number];
            let was_full = bucket.is_full();
            let misplaced = (0..bucket.len()).find(|&place| {
                self.distance(self.home(bucket.entries[place].0), number) >= from_gap
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
        (tag.0 >> self.shift) as usize
    }

    #[inline]
    fn put(&mut self, tag: Tag, slot: Slot) {
        let mut number = self.home(tag);
        while self.buckets[number].is_full() {
            number = self.after(number);
        }
        self.buckets[number].put(tag, slot);
    }

    #[cold]
    fn grow(&mut self) {
        assert!(self.shift > 0, "tags do not tell more orders apart");
        self.shift -= 1;
        let doubled = vec![Bucket::default(); 2 * self.buckets.len()];
        let before = core::mem::replace(&mut self.buckets, doubled);
        self.len_max = len_max(self.buckets.len());
        for bucket in before {
            for (tag, slot) in bucket.entries.into_iter().take(bucket.len()) {
                self.put(tag, slot);
            }
        }
    }
}

/// How many entries so many buckets are to hold at most.
fn len_max(buckets: usize) -> usize {
    buckets * LOAD_MAX_HALVES / 2
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
                let tag = (home << 30).wrapping_sub(1 << 26) | low << 7;
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
