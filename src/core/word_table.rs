//! A small table by ids or beginnings of ids: one look at eight bytes, then one at the entry.
//!
//! Entries stand in a list without gaps; a hash table of their places finds them. The hash
//! multiplies the first word of the key with a secret (Dietzfelbinger and others, "A reliable
//! randomized algorithm for the closest-pair problem", 1997): whoever does not know it cannot
//! choose keys that meet more often than by chance.

use alloc::vec;
use alloc::vec::Vec;

use crate::prefetch::prefetch;
use crate::types::OpId;
use crate::wire::Prefix;

/// The first number of places, as a power of two.
const FIRST_BITS: u32 = 4;

/// Where an entry is: the upper half of its hash, and one more than its place in the list.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u32,
    number: u32,
}

/// What values are found by.
pub(crate) trait Key: Copy + Eq {
    /// All that the hash looks at.
    fn first_word(&self) -> &[u8; 8];
}

impl Key for OpId {
    fn first_word(&self) -> &[u8; 8] {
        self.0.first_chunk().expect("an id has 32 bytes")
    }
}

impl Key for Prefix {
    fn first_word(&self) -> &[u8; 8] {
        &self.0
    }
}

/// Values by key.
#[derive(Clone, Debug)]
pub(crate) struct WordTable<K, V> {
    factor: u64,
    bits: u32,
    /// At most half of them are taken; a search ends at a free one.
    places: Vec<Place>,
    entries: Vec<(K, V)>,
}

impl<K: Key, V> WordTable<K, V> {
    pub(crate) fn new(secret: u64) -> Self {
        Self::with_room(secret, 0)
    }

    /// An empty table that does not grow before it has so many entries.
    fn with_room(secret: u64, entries: usize) -> Self {
        let places = (entries * 2).next_power_of_two().max(1 << FIRST_BITS);
        Self {
            factor: secret | 1,
            bits: places.ilog2(),
            places: vec![Place::default(); places],
            entries: Vec::with_capacity(entries),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key)?;
        Some(&self.entries[self.entry_at(at)].1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key)?;
        let entry = self.entry_at(at);
        Some(&mut self.entries[entry].1)
    }

    /// The value of some key that begins so: its first bytes are all that the hash looks at.
    pub(crate) fn get_prefix_mut(&mut self, prefix: &[u8; 8]) -> Option<&mut V> {
        let tag = self.tag(prefix);
        let at = self.find_where(tag, |key| key.first_word() == prefix)?;
        let entry = self.entry_at(at);
        Some(&mut self.entries[entry].1)
    }

    /// All keys and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// All keys and values, these to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// A hint that a key which begins so will be looked for.
    pub(crate) fn prefetch(&self, first_word: &[u8; 8]) {
        prefetch(&self.places[self.home(self.tag(first_word))]);
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            return;
        }
        if self.entries.len() * 2 >= self.places.len() {
            self.grow();
        }
        self.entries.push((key, value));
        let number = u32::try_from(self.entries.len()).expect("the memory is bounded");
        let tag = self.tag(key.first_word());
        self.put(Place { tag, number });
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key)?;
        let entry = self.entry_at(at);
        self.close_gap(at);
        let (_, value) = self.entries.swap_remove(entry);
        if let Some((moved, _)) = self.entries.get(entry) {
            let old_number = self.entries.len() as u32 + 1;
            let tag = self.tag(moved.first_word());
            let mut at = self.home(tag);
            while self.places[at].number != old_number {
                at = self.next(at);
            }
            self.places[at].number = entry as u32 + 1;
        }
        Some(value)
    }

    /// Forgets everything, and has room for so many entries from now on, whatever it had before.
    pub(crate) fn clear(&mut self, room: usize) {
        *self = Self::with_room(self.factor, room);
    }

    fn tag(&self, word: &[u8; 8]) -> u32 {
        (u64::from_le_bytes(*word).wrapping_mul(self.factor) >> 32) as u32
    }

    fn home(&self, tag: u32) -> usize {
        (tag >> (u32::BITS - self.bits)) as usize
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// The place of a key.
    fn find(&self, key: &K) -> Option<usize> {
        self.find_where(self.tag(key.first_word()), |other| other == key)
    }

    /// The place of a key with this tag that is the right one.
    fn find_where(&self, tag: u32, is_right: impl Fn(&K) -> bool) -> Option<usize> {
        let mut at = self.home(tag);
        loop {
            let place = self.places[at];
            if place.number == 0 {
                return None;
            }
            if place.tag == tag && is_right(&self.entries[self.entry_at(at)].0) {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    /// The entry that a taken place names.
    fn entry_at(&self, at: usize) -> usize {
        self.places[at].number as usize - 1
    }

    fn put(&mut self, place: Place) {
        let mut at = self.home(place.tag);
        while self.places[at].number != 0 {
            at = self.next(at);
        }
        self.places[at] = place;
    }

    /// Frees a place and moves up what was pushed on by it.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.places.len() - 1;
        let mut at = self.next(gap);
        while self.places[at].number != 0 {
            let home = self.home(self.places[at].tag);
            // Whether the gap lies on the way from its home to where it is.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.places[gap] = self.places[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.places[gap] = Place::default();
    }

    fn grow(&mut self) {
        self.bits += 1;
        let old = core::mem::take(&mut self.places);
        self.places = vec![Place::default(); old.len() * 2];
        for place in old.into_iter().filter(|place| place.number != 0) {
            self.put(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    fn id(number: u8) -> OpId {
        // Few different first words, so that entries meet.
        let mut bytes = [number; 32];
        bytes[..8].fill(number % 7);
        OpId(bytes)
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            secret in any::<u64>(),
            steps in vector((any::<bool>(), 0..60_u8), 0..300),
        ) {
            let mut table = WordTable::new(secret);
            let mut map = BTreeMap::new();
            for (step, (inserts, number)) in steps.into_iter().enumerate() {
                if inserts {
                    table.insert(id(number), step);
                    map.insert(id(number), step);
                } else {
                    prop_assert_eq!(table.remove(&id(number)), map.remove(&id(number)));
                }
                prop_assert_eq!(table.len(), map.len());
                for number in 0..60 {
                    prop_assert_eq!(table.get(&id(number)), map.get(&id(number)));
                }
                for first in 0..7 {
                    let known = map.keys().any(|id| id.0[0] == first);
                    let found = table.get_prefix_mut(&[first; 8]).copied();
                    let value_of = |id: &OpId| id.0[0] == first && map.get(id) == found.as_ref();
                    prop_assert_eq!(map.keys().any(value_of), known);
                    prop_assert_eq!(found.is_some(), known);
                }
            }
            table.clear(map.len());
            prop_assert_eq!(table.len(), 0);
            let places = table.places.len();
            for id in map.keys() {
                table.insert(*id, 0);
            }
            prop_assert_eq!((table.len(), table.places.len()), (map.len(), places));
        }
    }
}
