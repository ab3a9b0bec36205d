//! The rows of a packed map that came or were changed lately, where they are quick to find.
//!
//! They stand in a list in the order in which they came. A hash table of places leads to them by
//! the first part of their keys, and rows with the same hash are chained. So a row is two or three
//! cache lines away, and so are all rows of one first part; in a tree it would be a dozen. Nothing
//! is ever taken out alone.

use alloc::vec::Vec;

use crate::packed::Row;
use crate::tight;

/// Most rows, for they are numbered in 16 bits.
const ROWS_MAX: usize = u16::MAX as usize - 1;

/// The first number of heads, as a power of two.
const FIRST_BITS: u32 = 4;

/// 2^64 divided by the golden ratio (Knuth, "The Art of Computer Programming", 6.4): numbers that
/// follow each other get hashes far apart. First parts are local numbers, which no peer can choose.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// That no more rows follow.
const END: u16 = u16::MAX;

/// A row, and the place of the next one with the same hash.
#[derive(Clone, Copy, Debug)]
struct Link<K, V> {
    key: K,
    value: V,
    next: u16,
}

/// Rows by the first part of their keys.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    links: Vec<Link<K, V>>,
    /// The places of the first rows by hash: at least as many as there are rows.
    heads: Vec<u16>,
    bits: u32,
}

impl<K: Row + Ord, V: Row> Recent<K, V> {
    /// No rows.
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            heads: Vec::new(),
            bits: FIRST_BITS - 1,
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let mut chain = self.chain(key);
        let found = chain.find(|link| link.key == *key);
        found.map(|link| &link.value)
    }

    /// The rows whose keys have the first part of this one.
    pub(super) fn beside(&self, key: &K) -> impl Iterator<Item = (K, V)> {
        let first = first_part(key);
        let beside = self
            .chain(key)
            .filter(move |link| first_part(&link.key) == first);
        beside.map(|link| (link.key, link.value))
    }

    /// All rows, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.links.iter().map(|link| (link.key, link.value))
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let mut place = self.head(&key);
        while let Some(link) = self.links.get_mut(place as usize) {
            if link.key == key {
                link.value = value;
                return;
            }
            place = link.next;
        }
        if self.links.len() >= self.heads.len() {
            self.grow();
        }
        let link = Link {
            key,
            value,
            next: END,
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
        self.heads.fill(END);
        rows
    }

    /// How many bytes of memory it has asked for.
    pub(super) fn memory_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link<K, V>>() + self.heads.capacity() * size_of::<u16>()
    }

    /// The rows with the hash of this key.
    fn chain(&self, key: &K) -> impl Iterator<Item = &Link<K, V>> {
        let link = |place: u16| self.links.get(usize::from(place));
        core::iter::successors(link(self.head(key)), move |before| link(before.next))
    }

    /// The place of the first row with the hash of this key.
    fn head(&self, key: &K) -> u16 {
        let head = self.heads.get(self.hash(key));
        head.copied().unwrap_or(END)
    }

    fn hash(&self, key: &K) -> usize {
        (first_part(key).wrapping_mul(FACTOR) >> (u64::BITS - self.bits)) as usize
    }

    /// Puts the row at a place before the others with its hash.
    fn chain_up(&mut self, place: usize) {
        let hash = self.hash(&self.links[place].key);
        let number = u16::try_from(place).expect("no more rows than have numbers");
        self.links[place].next = core::mem::replace(&mut self.heads[hash], number);
    }

    fn grow(&mut self) {
        assert!(self.links.len() < ROWS_MAX, "too many rows came lately");
        self.bits += 1;
        self.heads = alloc::vec![END; 1 << self.bits];
        (0..self.links.len()).for_each(|place| self.chain_up(place));
    }
}

fn first_part<K: Row>(key: &K) -> u64 {
    key.columns().as_ref()[0]
}
