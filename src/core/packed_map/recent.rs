//! The rows of a packed map that came or were changed lately, where they are quick to find.
//!
//! They stand in a list in the order in which they came. Two hash tables of places lead to them,
//! one by their keys and one by the first part of their keys, which is the first of its columns;
//! rows with the same hash are chained. So a row is two or three cache lines away, however many
//! others have the same first part, and so are all rows of one first part; in a tree it would be a
//! dozen. Nothing is ever taken out alone.

use alloc::vec::Vec;

use crate::packed::Row;
use crate::tight;

/// Most rows, for they are numbered in 16 bits. A map packs some long before.
const ROWS_MAX: usize = END as usize;

/// The first number of heads, as a power of two.
const FIRST_BITS: u32 = 4;

/// 2^64 divided by the golden ratio (Knuth, "The Art of Computer Programming", 6.4): numbers that
/// follow each other get hashes far apart. Columns of keys are local numbers, so what a peer can
/// choose of them is too little to make long chains out of so few rows.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// That no more rows follow.
const END: u16 = u16::MAX;

/// A row, and the places of the next ones with the same hashes.
#[derive(Clone, Copy, Debug)]
struct Link<K, V> {
    key: K,
    value: V,
    next_alike: u16,
    next_beside: u16,
}

/// Rows by their keys, and by the first part of these.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    links: Vec<Link<K, V>>,
    /// The places of the first rows by the hash of their keys: about as many as there are rows.
    by_key: Vec<u16>,
    /// The same by the hash of the first part.
    by_first: Vec<u16>,
    bits: u32,
}

impl<K: Row + Ord, V: Row> Recent<K, V> {
    /// No rows.
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            by_key: Vec::new(),
            by_first: Vec::new(),
            bits: FIRST_BITS - 1,
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let first = self.first_alike(key);
        let mut alike = self.chain(first, |link| link.next_alike);
        let found = alike.find(|link| link.key == *key);
        found.map(|link| &link.value)
    }

    /// The rows whose keys have the first part of this one.
    pub(super) fn beside(&self, key: &K) -> impl Iterator<Item = (K, V)> {
        let part = first_part(key);
        let first = self.by_first.get(self.hash(part)).copied();
        let chain = self.chain(first.unwrap_or(END), |link| link.next_beside);
        let beside = chain.filter(move |link| first_part(&link.key) == part);
        beside.map(|link| (link.key, link.value))
    }

    /// All rows, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.links.iter().map(|link| (link.key, link.value))
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let mut place = self.first_alike(&key);
        while let Some(link) = self.links.get_mut(place as usize) {
            if link.key == key {
                link.value = value;
                return;
            }
            place = link.next_alike;
        }
        assert!(self.links.len() < ROWS_MAX, "too many rows came lately");
        // So a full map does not grow once more for the block that it unpacks.
        let room = self.by_key.len() + self.by_key.len() / 8;
        if self.links.len() >= room {
            self.grow();
        }
        let link = Link {
            key,
            value,
            next_alike: END,
            next_beside: END,
        };
        tight::push(&mut self.links, link);
        self.chain_up(self.links.len() - 1);
    }

    /// Takes all rows out, sorted by key.
    pub(super) fn take_sorted(&mut self) -> Vec<(K, V)> {
        let mut rows: Vec<(K, V)> = self.iter().collect();
        // Mostly they came nearly in order, of which this makes use.
        rows.sort_by_key(|(key, _)| *key);
        self.links.clear();
        self.by_key.fill(END);
        self.by_first.fill(END);
        rows
    }

    /// How many bytes of memory it has asked for.
    pub(super) fn memory_bytes(&self) -> usize {
        let heads = self.by_key.capacity() + self.by_first.capacity();
        self.links.capacity() * size_of::<Link<K, V>>() + heads * size_of::<u16>()
    }

    /// The rows from a place on, each followed by the next.
    fn chain(
        &self,
        first: u16,
        next: impl Fn(&Link<K, V>) -> u16,
    ) -> impl Iterator<Item = &Link<K, V>> {
        let link = |place: u16| self.links.get(usize::from(place));
        core::iter::successors(link(first), move |before| link(next(before)))
    }

    /// The place of the first row with the hash of this key.
    fn first_alike(&self, key: &K) -> u16 {
        let first = self.by_key.get(self.hash(all_parts(key)));
        first.copied().unwrap_or(END)
    }

    fn hash(&self, number: u64) -> usize {
        (number.wrapping_mul(FACTOR) >> (u64::BITS - self.bits)) as usize
    }

    /// Puts the row at a place before the others with its hashes.
    fn chain_up(&mut self, place: usize) {
        let key = self.links[place].key;
        let (alike, beside) = (self.hash(all_parts(&key)), self.hash(first_part(&key)));
        let number = u16::try_from(place).expect("no more rows than have numbers");
        let link = &mut self.links[place];
        link.next_alike = core::mem::replace(&mut self.by_key[alike], number);
        link.next_beside = core::mem::replace(&mut self.by_first[beside], number);
    }

    fn grow(&mut self) {
        self.bits += 1;
        self.by_key = alloc::vec![END; 1 << self.bits];
        self.by_first = self.by_key.clone();
        (0..self.links.len()).for_each(|place| self.chain_up(place));
    }
}

fn first_part<K: Row>(key: &K) -> u64 {
    key.columns().as_ref()[0]
}

/// All columns of a key in one number.
fn all_parts<K: Row>(key: &K) -> u64 {
    let columns = key.columns();
    let parts = columns.as_ref().iter();
    parts.fold(0, |all: u64, part| {
        all.rotate_left(23).wrapping_mul(FACTOR) ^ part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_quick_to_find_among_many_with_its_first_part() {
        let mut recent = Recent::new();
        (0..2_048_u64).for_each(|at| recent.insert((7, at << 8), at));
        let longest = (0..2_048_u64).map(|at| {
            let first = recent.first_alike(&(7, at << 8));
            recent.chain(first, |link| link.next_alike).count()
        });
        assert!(longest.max() < Some(16));
        assert_eq!(recent.beside(&(7, 0)).count(), 2_048);
        assert_eq!(recent.get(&(7, 5 << 8)), Some(&5));
        assert_eq!(recent.get(&(7, 5)), None);
    }
}
