//! A map that grows for ever, whose past takes a fraction of the memory of its present.
//!
//! What came or was changed lately is in a hash table. Of the rest, rows whose keys follow each
//! other are [packed](crate::packed) together: they can be read where they are, and to change one
//! of them all of its block come back into the table. Numbers that only grow are part of all keys,
//! so what is looked for is mostly in the table. Nothing else can be seen of it: this is a map.

mod recent;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use self::recent::Recent;
use crate::chunks::partition_point_from_end;
use crate::packed::{Packed, Row};

/// How many rows may be in the table; then the half with the lower keys is packed. What is changed
/// once more is mostly changed soon. With four times as many a simulation takes 4 % more memory and
/// no less time, with half as many it took longer (300 nodes, one run of each).
const RECENT_MAX: usize = 2_048;

/// Most values of a block. A guess, like the chunks of a history.
const BLOCK_MAX: usize = 128;

/// With so many it is made: what comes between them later has room. A block that is full of what
/// came in order would leave a block of one value behind it each time.
const BLOCK_FILL: usize = BLOCK_MAX * 3 / 4;

/// Values whose keys follow each other.
#[derive(Clone, Debug)]
struct Block<K> {
    last: K,
    len: usize,
    keys: Packed,
    values: Packed,
}

impl<K: Row + Ord> Block<K> {
    fn new<V: Row>(keys: &[K], values: &[V]) -> Self {
        Self {
            last: *keys.last().expect("a block is not empty"),
            len: keys.len(),
            keys: Packed::new(keys),
            values: Packed::new(values),
        }
    }

    /// How many keys come before this one.
    fn place_of(&self, key: &K) -> usize {
        partition_point_from_end(self.len, |place| self.keys.get::<K>(place) < *key)
    }

    /// The keys and values from this place on.
    fn rows_from<V: Row>(&self, place: usize) -> impl Iterator<Item = (K, V)> + '_ {
        (place..self.len).map(|number| (self.keys.get(number), self.values.get(number)))
    }
}

/// Values by their keys.
#[derive(Clone, Debug)]
pub(crate) struct PackedMap<K, V> {
    recent: Recent<K, V>,
    /// By their first keys. No key lies between the first and the last of a block that is not its
    /// own, so a value is either here or there.
    blocks: BTreeMap<K, Block<K>>,
    /// No block has a greater key: of what is new nobody has to look for one.
    highest: Option<K>,
}

impl<K: Row + Ord, V: Row> PackedMap<K, V> {
    /// An empty map.
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent::new(),
            blocks: BTreeMap::new(),
            highest: None,
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.recent.len() == 0 && self.blocks.is_empty()
    }

    /// The value of this key.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        if let Some(value) = self.recent.get(key) {
            return Some(*value);
        }
        let (_, block) = self.block_around(key)?;
        let mut there = block.rows_from(block.place_of(key));
        there
            .next()
            .filter(|(found, _)| found == key)
            .map(|(_, value)| value)
    }

    /// The rows between these keys, which have the same first part, both included; in no order.
    pub(crate) fn between(&self, low: K, high: K) -> Vec<(K, V)> {
        let recent = self.recent.beside(&low);
        let mut rows: Vec<(K, V)> = recent
            .filter(|(key, _)| (low..=high).contains(key))
            .collect();
        if self.highest.is_none_or(|highest| highest < low) {
            return rows;
        }
        let around = self.block_around(&low).map(|(first, _)| first);
        for (_, block) in self.blocks.range(around.unwrap_or(low)..=high) {
            let from = block.rows_from(block.place_of(&low));
            rows.extend(from.take_while(|(key, _)| *key <= high));
        }
        rows
    }

    /// All keys; in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        let blocks = self.blocks.values();
        let packed = blocks.flat_map(|block| (0..block.len).map(|number| block.keys.get(number)));
        self.recent.iter().map(|(key, _)| key).chain(packed)
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some((first, _)) = self.block_around(&key) {
            self.unpack(&first);
        }
        self.recent.insert(key, value);
        if self.recent.len() > RECENT_MAX {
            self.pack_lower_half();
        }
    }

    /// The block with keys on both sides of this one, or with the key itself.
    fn block_around(&self, key: &K) -> Option<(K, &Block<K>)> {
        self.highest.filter(|highest| key <= highest)?;
        let (first, block) = self.blocks.range(..=*key).next_back()?;
        (*key <= block.last).then_some((*first, block))
    }

    /// Brings the values of a block back into the table.
    fn unpack(&mut self, first: &K) {
        if let Some(block) = self.blocks.remove(first) {
            let rows = block.rows_from(0);
            rows.for_each(|(key, value)| self.recent.insert(key, value));
        }
    }

    /// Packs the half of the table that has the lower keys.
    fn pack_lower_half(&mut self) {
        let rows = self.recent.take_sorted();
        let mut rest = &*rows;
        while rest.len() > RECENT_MAX / 2 {
            rest = self.pack_lowest(rest);
        }
        let rest = rest.iter().copied();
        rest.for_each(|(key, value)| self.recent.insert(key, value));
    }

    /// Packs the first of these rows, which are sorted: as many as make a block and lie between two
    /// others. If the block before has room for all of them, that is packed again with them.
    /// Returns the other rows.
    fn pack_lowest<'a>(&mut self, rows: &'a [(K, V)]) -> &'a [(K, V)] {
        let (first, _) = rows[0];
        let next_block = self.blocks.range(first..).next().map(|(first, _)| *first);
        let is_before = |key: &K| next_block.is_none_or(|block| *key < block);
        let candidates = rows[..rows.len().min(BLOCK_FILL)].iter();
        let count = candidates.take_while(|(key, _)| is_before(key)).count();
        let (packed, rest) = rows.split_at(count);
        let (mut keys, mut values): (Vec<K>, Vec<V>) = packed.iter().copied().unzip();
        let before = self.blocks.range(..first).next_back();
        let before = before.filter(|(_, block)| block.len + keys.len() <= BLOCK_MAX);
        if let Some(before) = before.map(|(first, _)| *first)
            && let Some(block) = self.blocks.remove(&before)
        {
            let rows = block.rows_from::<V>(0);
            let (keys_before, values_before): (Vec<K>, Vec<V>) = rows.unzip();
            keys.splice(..0, keys_before);
            values.splice(..0, values_before);
        }
        self.highest = self.highest.max(keys.last().copied());
        self.blocks.insert(keys[0], Block::new(&keys, &values));
        rest
    }

    /// How many bytes of memory it takes, about; nodes of the trees are two thirds full.
    pub(crate) fn memory_bytes(&self) -> usize {
        let packed = |block: &Block<K>| block.keys.memory_bytes() + block.values.memory_bytes();
        let packed: usize = self.blocks.values().map(packed).sum();
        let blocks = self.blocks.len() * size_of::<(K, Block<K>)>();
        packed + self.recent.memory_bytes() + blocks * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Row for (u64, u64) {
        type Columns = [u64; 2];

        fn columns(&self) -> Self::Columns {
            [self.0, self.1]
        }

        fn of([first, second]: &Self::Columns) -> Self {
            (*first, *second)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Keys from this one on, so far apart.
        Ascending { from: u64, count: u64, apart: u64 },
        /// One key, wherever it is.
        Single((u64, u64), u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..9_000_u64, 0..6_000_u64, 1..5_u64)
                .prop_map(|(from, count, apart)| Step::Ascending { from, count, apart }),
            4 => (0..20_000_u64, 0..4_u64, any::<u64>())
                .prop_map(|(first, second, value)| Step::Single((first, second), value)),
        ]
    }

    /// No value is in two places, and what is in a block is in order.
    fn check_places(map: &PackedMap<(u64, u64), u64>) {
        let mut end = None;
        for (first, block) in &map.blocks {
            assert!(end < Some(*first), "blocks overlap");
            let ends = [0, block.len - 1].map(|place| block.keys.get::<(u64, u64)>(place));
            assert_eq!(ends, [*first, block.last]);
            assert!((1..=BLOCK_MAX).contains(&block.len));
            let is_within = |key: (u64, u64)| (*first..=block.last).contains(&key);
            assert!(!map.recent.iter().any(|(key, _)| is_within(key)));
            assert!(map.highest >= Some(block.last));
            end = Some(block.last);
        }
        assert!(map.recent.len() <= RECENT_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_packed_map_is_a_map(steps in prop::collection::vec(step(), 0..40)) {
            let (mut map, mut model) = (PackedMap::new(), BTreeMap::new());
            for step in steps {
                let rows = match step {
                    Step::Ascending { from, count, apart } => {
                        (0..count).map(|at| ((from + at * apart, at % 4), at)).collect()
                    }
                    Step::Single(key, value) => alloc::vec![(key, value)],
                };
                for (key, value) in rows {
                    map.insert(key, value);
                    model.insert(key, value);
                }
                check_places(&map);
            }
            for first in (0..33_000).step_by(19) {
                for (low, high) in [(1, 2), (0, 3)].map(|it| ((first, it.0), (first, it.1))) {
                    let mut between = map.between(low, high);
                    between.sort_unstable();
                    let expected = model.range(low..=high).map(|(key, value)| (*key, *value));
                    prop_assert!(expected.eq(between));
                }
                for second in 0..4 {
                    let expected = model.get(&(first, second)).copied();
                    prop_assert_eq!(map.get(&(first, second)), expected);
                }
            }
            let mut keys: Vec<(u64, u64)> = map.keys().collect();
            keys.sort_unstable();
            prop_assert!(keys.iter().eq(model.keys()));
        }
    }

    #[test]
    fn what_came_in_order_takes_few_bytes() {
        let mut map = PackedMap::new();
        let rows = 300_000;
        (0..rows).for_each(|at| map.insert((at * 3, at * 3 + 1_000 + at % 50), at % 9));
        let each = map.memory_bytes() / rows as usize;
        assert!(each < 10, "{each} bytes");
    }

    #[test]
    fn what_comes_in_between_leaves_no_small_blocks() {
        let mut map = PackedMap::new();
        let rows = 20_000;
        (0..rows).for_each(|at| map.insert((at * 100, 0), at));
        for at in 0..rows / 4 {
            // Somewhere in the past, over and over, and then more of the present.
            map.insert((at * 7919 % rows * 100 + 1 + at % 90, 0), at);
            map.insert(((rows + at) * 100, 0), at);
        }
        let packed: usize = map.blocks.values().map(|block| block.len).sum();
        let each = packed / map.blocks.len();
        assert!(each > BLOCK_FILL / 2, "{each} values a block");
    }
}
