//! A sorted map that grows for ever, whose past takes a fraction of the memory of its present.
//!
//! What came or was changed lately is in a tree. Of the rest, rows whose keys follow each other are
//! [packed](crate::packed) together: they can be read where they are, and to change one of them all
//! of its block come back into the tree. Numbers that only grow are part of all keys, so what is
//! looked for is mostly in the tree. Nothing else can be seen of it: this is a map.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::packed::{Packed, Row};

/// How many rows may be in the tree; then the half with the lower keys is packed. A guess: what is
/// changed once more is changed soon.
const RECENT_MAX: usize = 2_048;

/// Most rows of a block. A guess, like the chunks of a history.
const BLOCK_ROWS: usize = 128;

/// What a row is found by.
pub(crate) type Key = [u64; 2];

/// A row with a key: its first two numbers.
pub(crate) trait Keyed: Row {
    /// The first two columns.
    fn key(&self) -> Key;
}

/// Rows whose keys follow each other.
#[derive(Clone, Debug)]
struct Block {
    last: Key,
    len: usize,
    packed: Packed,
}

impl Block {
    fn key(&self, number: usize) -> Key {
        [0, 1].map(|column| self.packed.number(column, number))
    }

    /// How many rows come before this key.
    fn place_of(&self, key: Key) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The rows from this key on.
    fn rows_from<R: Row>(&self, key: Key) -> impl Iterator<Item = R> + '_ {
        (self.place_of(key)..self.len).map(|number| self.packed.get(number))
    }
}

/// Rows by their keys.
#[derive(Clone, Debug)]
pub(crate) struct PackedMap<R> {
    recent: BTreeMap<Key, R>,
    /// By their first keys. No key lies between the first and the last of a block that is not its
    /// own, so a row is either here or there.
    blocks: BTreeMap<Key, Block>,
}

impl<R: Keyed> PackedMap<R> {
    /// An empty map.
    pub(crate) fn new() -> Self {
        Self {
            recent: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }

    /// The row with this key.
    pub(crate) fn get(&self, key: &Key) -> Option<R> {
        if let Some(row) = self.recent.get(key) {
            return Some(*row);
        }
        let (_, block) = self.block_around(key)?;
        let row = block.rows_from(*key).next();
        row.filter(|row: &R| row.key() == *key)
    }

    /// The rows whose keys begin with this number; in no order.
    pub(crate) fn of(&self, first: u64) -> Vec<R> {
        let (low, high) = ([first, 0], [first, u64::MAX]);
        let mut rows: Vec<R> = self.recent.range(low..=high).map(|(_, row)| *row).collect();
        let around = self.block_around(&low).map(|(first, _)| first);
        for (_, block) in self.blocks.range(around.unwrap_or(low)..=high) {
            let from = block.rows_from(low);
            rows.extend(from.take_while(|row: &R| row.key()[0] == first));
        }
        rows
    }

    /// All rows; in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = R> + '_ {
        let blocks = self.blocks.values();
        let packed = blocks.flat_map(|block| block.rows_from([0, 0]));
        self.recent.values().copied().chain(packed)
    }

    /// Puts a row in, in place of one with its key.
    pub(crate) fn insert(&mut self, row: R) {
        let key = row.key();
        if let Some((first, _)) = self.block_around(&key) {
            self.unpack(&first);
        }
        self.recent.insert(key, row);
        if self.recent.len() > RECENT_MAX {
            while self.recent.len() > RECENT_MAX / 2 {
                self.pack_lowest();
            }
        }
    }

    /// The block with keys on both sides of this one, or with the key itself.
    fn block_around(&self, key: &Key) -> Option<(Key, &Block)> {
        let (first, block) = self.blocks.range(..=*key).next_back()?;
        (*key <= block.last).then_some((*first, block))
    }

    /// Brings the rows of a block back into the tree.
    fn unpack(&mut self, first: &Key) {
        let block = self.blocks.remove(first);
        let rows = block.iter().flat_map(|block| block.rows_from([0, 0]));
        self.recent.extend(rows.map(|row: R| (row.key(), row)));
    }

    /// Packs the lowest rows of the tree, as many as make a block and lie between two others. If
    /// the one before has room for them, that is packed again with them.
    fn pack_lowest(&mut self) {
        let Some((first, row)) = self.recent.pop_first() else {
            return;
        };
        let mut rows = Vec::with_capacity(BLOCK_ROWS);
        rows.push(row);
        let next_block = self.blocks.range(first..).next().map(|(first, _)| *first);
        while rows.len() < BLOCK_ROWS
            && let Some(next) = self.recent.first_entry()
            && next_block.is_none_or(|block| *next.key() < block)
        {
            rows.push(next.remove());
        }
        let before = self.blocks.range(..first).next_back();
        let before = before.filter(|(_, block)| block.len + rows.len() <= BLOCK_ROWS);
        if let Some((first, _)) = before.map(|(first, block)| (*first, block))
            && let Some(block) = self.blocks.remove(&first)
        {
            rows.splice(..0, block.rows_from([0, 0]));
        }
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            unreachable!("there is a row at least");
        };
        let block = Block {
            last: last.key(),
            len: rows.len(),
            packed: Packed::new(&rows),
        };
        self.blocks.insert(first.key(), block);
    }

    /// How many bytes of memory it takes, about; nodes of the trees are two thirds full.
    pub(crate) fn memory_bytes(&self) -> usize {
        let packed = self
            .blocks
            .values()
            .map(|block| block.packed.memory_bytes());
        let recent = self.recent.len() * size_of::<(Key, R)>();
        let blocks = self.blocks.len() * size_of::<(Key, Block)>();
        packed.sum::<usize>() + (recent + blocks) * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Keyed for [u64; 3] {
        fn key(&self) -> Key {
            [self[0], self[1]]
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Rows from this key on, so far apart.
        Ascending { from: u64, count: u64, apart: u64 },
        /// One row, wherever it is.
        Single([u64; 3]),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..3_000_u64, 0..1_500_u64, 1..5_u64)
                .prop_map(|(from, count, apart)| Step::Ascending { from, count, apart }),
            4 => (0..3_000_u64, 0..4_u64, any::<u64>())
                .prop_map(|(first, second, value)| Step::Single([first, second, value])),
        ]
    }

    /// No row is in two places, and what is in a block is in order.
    fn check_places(map: &PackedMap<[u64; 3]>) {
        let mut end = None;
        for (first, block) in &map.blocks {
            assert!(end < Some(*first), "blocks overlap");
            assert_eq!(
                (block.key(0), block.key(block.len - 1)),
                (*first, block.last)
            );
            assert!((1..=BLOCK_ROWS).contains(&block.len));
            assert!(map.recent.range(*first..=block.last).next().is_none());
            end = Some(block.last);
        }
        assert!(map.recent.len() <= RECENT_MAX);
    }

    proptest! {
        #[test]
        fn a_packed_map_is_a_map(steps in prop::collection::vec(step(), 0..40)) {
            let (mut map, mut model) = (PackedMap::new(), BTreeMap::new());
            for step in steps {
                let rows = match step {
                    Step::Ascending { from, count, apart } => {
                        (0..count).map(|at| [from + at * apart, at % 4, at]).collect()
                    }
                    Step::Single(row) => alloc::vec![row],
                };
                for row in rows {
                    map.insert(row);
                    model.insert(row.key(), row);
                }
                check_places(&map);
            }
            for first in (0..9_000).step_by(7) {
                let mut of = map.of(first);
                of.sort_unstable();
                let expected = model.range([first, 0]..=[first, u64::MAX]);
                let expected: Vec<[u64; 3]> = expected.map(|(_, row)| *row).collect();
                prop_assert_eq!(of, expected);
                for second in 0..4 {
                    let expected = model.get(&[first, second]).copied();
                    prop_assert_eq!(map.get(&[first, second]), expected);
                }
            }
            let mut all: Vec<[u64; 3]> = map.iter().collect();
            all.sort_unstable();
            prop_assert!(all.iter().eq(model.values()));
        }
    }

    #[test]
    fn what_came_in_order_takes_few_bytes() {
        let mut map = PackedMap::new();
        let rows = 100_000;
        (0..rows).for_each(|at| map.insert([at * 3, at * 3 + 1_000 + at % 50, at % 9]));
        let each = map.memory_bytes() / rows as usize;
        assert!(each < 10, "{each} bytes");
    }
}
