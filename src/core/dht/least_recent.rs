//! A map that forgets: bounded in number, ordered by when each entry was last used.

use alloc::collections::BTreeMap;
use core::ops::RangeBounds;

/// When an entry was last used: a time, and a counter that makes it unique.
type Stamp = (u64, u64);

/// A map with at most `capacity` entries. When one more comes, the least recently used goes.
#[derive(Clone, Debug)]
pub(crate) struct LeastRecent<K, V> {
    entries: BTreeMap<K, (Stamp, V)>,
    by_use: BTreeMap<Stamp, K>,
    uses: u64,
    capacity: usize,
}

impl<K: Ord + Clone, V> LeastRecent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            capacity: capacity.max(1),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts a value in, as used now; what had to go for it.
    pub(crate) fn insert(&mut self, now_ms: u64, key: K, value: V) -> Option<(K, V)> {
        self.remove(&key);
        let mut gone = None;
        if self.entries.len() >= self.capacity {
            gone = self.pop_oldest();
        }
        self.uses += 1;
        let stamp = (now_ms, self.uses);
        self.by_use.insert(stamp, key.clone());
        self.entries.insert(key, (stamp, value));
        gone
    }

    /// A value, without counting as a use.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// A value, used now.
    pub(crate) fn touch(&mut self, now_ms: u64, key: &K) -> Option<&mut V> {
        let (stamp, value) = self.entries.get_mut(key)?;
        let key = self.by_use.remove(stamp)?;
        self.uses += 1;
        *stamp = (now_ms, self.uses);
        self.by_use.insert(*stamp, key);
        Some(value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (stamp, value) = self.entries.remove(key)?;
        self.by_use.remove(&stamp);
        Some(value)
    }

    /// The keys within a range, and when each was last used, in milliseconds.
    pub(crate) fn range(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = (&K, u64)> {
        let entries = self.entries.range(keys);
        entries.map(|(key, ((used_ms, _), _))| (key, *used_ms))
    }

    /// Takes the least recently used entry out if that was at `until_ms` or before.
    pub(crate) fn pop_until(&mut self, until_ms: u64) -> Option<(K, V)> {
        let ((used_ms, _), _) = self.by_use.first_key_value()?;
        (*used_ms <= until_ms).then(|| self.pop_oldest()).flatten()
    }

    /// Takes the least recently used entry out.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.by_use.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut map = LeastRecent::new(2);
        assert_eq!(map.insert(1, "a", 1), None);
        assert_eq!(map.insert(1, "b", 2), None);
        map.touch(2, &"a");
        assert_eq!(map.insert(3, "c", 3), Some(("b", 2)));
        assert_eq!(map.pop_until(1), None);
        assert_eq!(map.pop_until(2), Some(("a", 1)));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_its_two_orders_agree(
            steps in prop::collection::vec((0_u8..4, 0_u8..8), 0..60),
        ) {
            let mut map = LeastRecent::new(4);
            for (now, (step, key)) in steps.into_iter().enumerate() {
                let now_ms = now as u64;
                match step {
                    0 => drop(map.insert(now_ms, key, now)),
                    1 => drop(map.touch(now_ms, &key)),
                    2 => drop(map.remove(&key)),
                    _ => drop(map.pop_until(now_ms.saturating_sub(9))),
                }
                prop_assert!(map.len() <= 4);
                let mut by_use: Vec<u8> = map.by_use.values().copied().collect();
                by_use.sort_unstable();
                let keys: Vec<u8> = map.entries.keys().copied().collect();
                prop_assert_eq!(by_use, keys);
            }
        }
    }
}
