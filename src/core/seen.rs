//! A bounded memory of operations that passed by lately.
//!
//! In a mesh every operation comes once over each link. A node has to recognise the copies without
//! keeping every id for ever. This cache has two *generations*: ids enter the young one; when it is
//! full or has been in use long enough, it becomes the old one, and what the old one held is
//! forgotten at once. An id is so remembered for one to two generations. There is no bookkeeping
//! per lookup and nothing to tune but the two bounds.
//!
//! Forgetting is harmless: a copy that is not recognised is checked again and found in the set of
//! applied operations. So whoever floods a node with invented ids costs it work, never correctness.

use core::mem;

use crate::types::{Now, OpId};
use crate::word_table::{Key, WordTable};

/// Bounds of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenLimits {
    /// Most ids of one generation; there are two.
    pub generation_max: usize,
    /// After how long a generation becomes old, in milliseconds.
    pub generation_ms: u64,
}

impl Default for SeenLimits {
    /// Guesses: thirteen seconds at five thousand operations a second, about 60 bytes an id; and
    /// ten seconds, in which copies have long come over every link that lives.
    fn default() -> Self {
        Self {
            generation_max: 65_536,
            generation_ms: 10_000,
        }
    }
}

/// Ids seen lately, each with a value.
#[derive(Clone, Debug)]
pub struct Seen<V> {
    limits: SeenLimits,
    young: WordTable<OpId, V>,
    old: WordTable<OpId, V>,
    started_ms: u64,
}

impl<V> Seen<V> {
    /// An empty memory. A generation holds at least one id. The secret keeps peers from choosing
    /// ids that are slow to find.
    pub fn new(now: Now, limits: SeenLimits, secret: u64) -> Self {
        let generation_max = limits.generation_max.max(1);
        Self {
            limits: SeenLimits {
                generation_max,
                ..limits
            },
            young: WordTable::new(secret),
            old: WordTable::new(secret),
            started_ms: now.monotonic_ms,
        }
    }

    /// The value of an id, if it is remembered.
    pub fn get(&self, id: &OpId) -> Option<&V> {
        self.young.get(id).or_else(|| self.old.get(id))
    }

    /// The value of an id, to be changed.
    pub fn get_mut(&mut self, id: &OpId) -> Option<&mut V> {
        match self.young.get_mut(id) {
            Some(value) => Some(value),
            None => self.old.get_mut(id),
        }
    }

    /// The value of some id that begins so, to be changed.
    pub fn get_prefix_mut(&mut self, prefix: &[u8; 8]) -> Option<&mut V> {
        match self.young.get_prefix_mut(prefix) {
            Some(value) => Some(value),
            None => self.old.get_prefix_mut(prefix),
        }
    }

    /// A hint that an id will be looked for.
    pub fn prefetch(&self, id: &OpId) {
        self.young.prefetch(id.first_word());
        self.old.prefetch(id.first_word());
    }

    /// Whether an id is remembered.
    pub fn contains(&self, id: &OpId) -> bool {
        self.get(id).is_some()
    }

    /// Remembers an id from now on, in place of what was remembered of it.
    pub fn insert(&mut self, now: Now, id: OpId, value: V) {
        self.old.remove(&id);
        if self.is_young_over(now) && self.young.get(&id).is_none() {
            self.rotate(now);
        }
        self.young.insert(id, value);
    }

    /// Forgets an id.
    pub fn remove(&mut self, id: &OpId) -> Option<V> {
        self.young.remove(id).or_else(|| self.old.remove(id))
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let all = self.young.iter_mut().chain(self.old.iter_mut());
        all.map(|(_, value)| value)
    }

    /// How many ids are remembered: at most two generations.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long the young generation has been in use.
    fn age_ms(&self, now: Now) -> u64 {
        now.monotonic_ms.saturating_sub(self.started_ms)
    }

    fn is_young_over(&self, now: Now) -> bool {
        self.young.len() >= self.limits.generation_max
            || self.age_ms(now) >= self.limits.generation_ms
    }

    /// Makes the young generation the old one. After a long silence even that is too old to keep.
    /// The next one has room for half as many ids: mostly as many come, so that it grows once
    /// instead of step by step from nothing, and at first no more memory than that waits for them.
    fn rotate(&mut self, now: Now) {
        mem::swap(&mut self.old, &mut self.young);
        self.young.clear(self.old.len() / 2);
        if self.age_ms(now) >= self.limits.generation_ms.saturating_mul(2) {
            self.old.clear(0);
        }
        self.started_ms = now.monotonic_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::at;
    use alloc::collections::BTreeMap;
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    fn id(number: u8) -> OpId {
        OpId([number; 32])
    }

    const LIMITS: SeenLimits = SeenLimits {
        generation_max: 4,
        generation_ms: 100,
    };

    #[test]
    fn an_id_outlives_one_full_generation_and_not_two() {
        let mut seen = Seen::new(at(0), LIMITS, 9);
        seen.insert(at(0), id(0), ());
        for number in 1..=7 {
            seen.insert(at(0), id(number), ());
            assert!(seen.contains(&id(0)), "after {number} more");
        }
        seen.insert(at(0), id(8), ());
        assert!(!seen.contains(&id(0)));
    }

    #[test]
    fn time_ends_generations_too() {
        let mut seen = Seen::new(at(0), LIMITS, 9);
        seen.insert(at(0), id(0), ());
        seen.insert(at(100), id(1), ());
        assert!(seen.contains(&id(0)));
        seen.insert(at(200), id(2), ());
        assert!(!seen.contains(&id(0)) && seen.contains(&id(1)));
        seen.insert(at(1_000), id(3), ());
        assert_eq!(seen.len(), 1, "after a long silence nothing old is kept");
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_the_latest_generation_is_always_remembered(
            steps in vector((0..30_u8, 0..60_u64), 0..200),
        ) {
            let mut seen = Seen::new(at(0), LIMITS, 9);
            let mut latest: BTreeMap<OpId, usize> = BTreeMap::new();
            let mut now_ms = 0;
            for (step, (number, wait_ms)) in steps.into_iter().enumerate() {
                now_ms += wait_ms;
                seen.insert(at(now_ms), id(number), step);
                latest.insert(id(number), step);
                prop_assert!(seen.len() <= 2 * LIMITS.generation_max);
                prop_assert_eq!(seen.get(&id(number)), Some(&step));
                for (id, value) in &latest {
                    prop_assert!(seen.get(id).is_none_or(|found| found == value));
                }
            }
        }

        #[test]
        fn what_is_removed_is_gone(numbers in vector(0..6_u8, 1..40)) {
            let mut seen = Seen::new(at(0), LIMITS, 9);
            for number in &numbers {
                seen.insert(at(0), id(*number), *number);
            }
            let last = numbers[numbers.len() - 1];
            prop_assert_eq!(seen.remove(&id(last)), Some(last));
            prop_assert!(!seen.contains(&id(last)));
        }
    }
}
