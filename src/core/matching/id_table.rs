//! From a 32-byte order id to the slot of its order.
//!
//! An open-addressing table with linear probing, eight bytes an entry: a 32-bit tag of the id and
//! the slot. The id itself stands in the order, which has to be read anyway, so the table only has
//! to rule out the others. Tags are *keyed*: ids come from peers, who can try ids until their
//! unkeyed tags collide and every search walks through all of them. The key is secret to the
//! node, which is allowed because nothing that others see depends on it.
//!
//! The tag is the upper half of a multilinear hash over the eight 32-bit words of the id, which is
//! strongly universal: two different ids collide with probability 2^-32 over the keys (Lemire and
//! Kaser, "Strongly universal string hashing is fast", 2012). An entry's home is given by the upper
//! bits of its tag, so the table grows without reading a single order, in one pass over memory.

use alloc::vec;
use alloc::vec::Vec;

use super::slab::Slot;
use crate::types::OrderId;

/// The table doubles when more than this many eighths of it are in use. At 5/8 a search for an id
/// that is not there looks at 4 entries on average, half a cache line (Knuth, TAOCP 3, 6.4).
const LOAD_EIGHTHS_MAX: usize = 5;

/// The first size of a table, as a power of two.
const FIRST_BITS: u32 = 6;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u32);

/// Tag above, slot below; zero is an empty entry, for no slot is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    fn new(tag: Tag, slot: Slot) -> Self {
        Self(u64::from(tag.0) << 32 | u64::from(slot.0))
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn tag(self) -> Tag {
        Tag((self.0 >> 32) as u32)
    }

    fn slot(self) -> Slot {
        Slot(self.0 as u32)
    }
}

/// Slots by tag. Equal tags may stand in it several times.
#[derive(Clone, Debug)]
pub(super) struct IdTable {
    entries: Vec<u64>,
    bits: u32,
    len: usize,
}

impl IdTable {
    pub(super) fn new() -> Self {
        Self {
            entries: vec![0; 1 << FIRST_BITS],
            bits: FIRST_BITS,
            len: 0,
        }
    }

    /// The slots of all orders with this tag.
    pub(super) fn candidates(&self, tag: Tag) -> impl Iterator<Item = Slot> {
        let mask = self.mask();
        (0..self.entries.len())
            .map(move |step| Entry(self.entries[(self.home(tag) + step) & mask]))
            .take_while(|entry| !entry.is_empty())
            .filter(move |entry| entry.tag() == tag)
            .map(Entry::slot)
    }

    pub(super) fn insert(&mut self, tag: Tag, slot: Slot) {
        if (self.len + 1) * 8 > self.entries.len() * LOAD_EIGHTHS_MAX {
            self.grow();
        }
        self.len += 1;
        self.put(Entry::new(tag, slot));
    }

    /// Takes out an entry that is there, and closes the gap: each entry of the run behind it moves
    /// up unless that would put it before its home (Knuth, TAOCP 3, 6.4, algorithm R).
    pub(super) fn remove(&mut self, tag: Tag, slot: Slot) {
        let mask = self.mask();
        let wanted = Entry::new(tag, slot);
        let mut gap = self.home(tag);
        while self.entries[gap] != wanted.0 {
            assert!(
                self.entries[gap] != 0,
                "only an entry of the table can be removed"
            );
            gap = (gap + 1) & mask;
        }
        let mut position = gap;
        loop {
            position = (position + 1) & mask;
            let entry = Entry(self.entries[position]);
            if entry.is_empty() {
                break;
            }
            let from_home = position.wrapping_sub(self.home(entry.tag())) & mask;
            if from_home >= position.wrapping_sub(gap) & mask {
                self.entries[gap] = entry.0;
                gap = position;
            }
        }
        self.entries[gap] = 0;
        self.len -= 1;
    }

    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    fn home(&self, tag: Tag) -> usize {
        (tag.0 >> (u32::BITS - self.bits)) as usize
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.mask();
        let mut position = self.home(entry.tag());
        while self.entries[position] != 0 {
            position = (position + 1) & mask;
        }
        self.entries[position] = entry.0;
    }

    fn grow(&mut self) {
        assert!(self.bits < u32::BITS, "tags do not tell more orders apart");
        self.bits += 1;
        let before = core::mem::replace(&mut self.entries, vec![0; 1 << self.bits]);
        before
            .into_iter()
            .filter(|&entry| entry != 0)
            .for_each(|entry| self.put(Entry(entry)));
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn slots(table: &IdTable, tag: u32) -> Vec<u32> {
        let mut slots: Vec<u32> = table.candidates(Tag(tag)).map(|slot| slot.0).collect();
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
