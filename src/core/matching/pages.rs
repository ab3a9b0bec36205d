//! A sorted map from keys to slots, for keys that may lie anywhere.
//!
//! The tree holds pages of 2048 consecutive keys, and a page is a sorted list with eight bytes an
//! entry. So the tree stays small enough to remain in the cache even if an adversary spreads
//! levels over the whole range of a market, and what is left to fetch is a line or two of one page.
//! In the worst case for time a page is full, and an insertion moves half of its 16 KiB; in the
//! worst case for memory each level has a page of its own, about 100 bytes, which takes a market
//! with a range of prices 2048 times as long as the list of its levels.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::slab::Slot;

/// How many bits of a key count within a page.
const PAGE_BITS: u32 = 11;

/// The key within its page above, the slot below: sorting entries sorts keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    fn new(key: u64, slot: Slot) -> Self {
        Self((key & ((1 << PAGE_BITS) - 1)) << 32 | u64::from(slot.0))
    }

    fn offset(self) -> u64 {
        self.0 >> 32
    }

    fn slot(self) -> Slot {
        Slot(self.0 as u32)
    }
}

/// Slots by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    /// By the upper bits of the keys; no page is empty.
    pages: BTreeMap<u64, Vec<Entry>>,
    len: usize,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes of memory it takes, about: nodes of the tree are two thirds full.
    pub(super) fn memory_bytes(&self) -> usize {
        let entries: usize = self.pages.values().map(Vec::capacity).sum();
        let nodes = self.pages.len() * size_of::<(u64, Vec<Entry>)>() * 3 / 2;
        entries * size_of::<Entry>() + nodes
    }

    pub(super) fn get(&self, key: u64) -> Option<Slot> {
        find(self.page(key), key)
    }

    /// The page where a key stands or would stand.
    pub(super) fn page(&self, key: u64) -> &[Entry] {
        self.pages
            .get(&(key >> PAGE_BITS))
            .map_or(&[], Vec::as_slice)
    }

    /// The first entry at or after a key.
    pub(super) fn first_from(&self, key: u64) -> Option<(u64, Slot)> {
        let number = key >> PAGE_BITS;
        let mut pages = self.pages.range(number..);
        let (first, page) = pages.next()?;
        let start = if *first == number {
            place(page, key)
        } else {
            0
        };
        let (number, entry) = match page.get(start) {
            Some(entry) => (first, entry),
            None => pages.next().map(|(next, page)| (next, &page[0]))?,
        };
        Some((number << PAGE_BITS | entry.offset(), entry.slot()))
    }

    /// The slot of a key, which is added with a new slot if it is not there; and whether it was
    /// added.
    pub(super) fn find_or_insert(
        &mut self,
        key: u64,
        create: impl FnOnce() -> Slot,
    ) -> (Slot, bool) {
        let page = self.pages.entry(key >> PAGE_BITS).or_default();
        if let Some(present) = find(page, key) {
            return (present, false);
        }
        let slot = create();
        page.insert(place(page, key), Entry::new(key, slot));
        self.len += 1;
        (slot, true)
    }

    /// Removes a key that is there.
    pub(super) fn remove(&mut self, key: u64) -> Slot {
        let number = key >> PAGE_BITS;
        let page = self.pages.get_mut(&number).expect("the key is there");
        let removed = page.remove(place(page, key));
        if page.is_empty() {
            self.pages.remove(&number);
        } else if page.len() * 4 <= page.capacity() {
            page.shrink_to(page.len() * 2);
        }
        self.len -= 1;
        removed.slot()
    }
}

/// The slot of a key in the page where it would stand.
pub(super) fn find(page: &[Entry], key: u64) -> Option<Slot> {
    let entry = page.get(place(page, key))?;
    (entry.offset() == Entry::new(key, Slot::NONE).offset()).then(|| entry.slot())
}

/// Where a key stands in its page, or would stand.
fn place(page: &[Entry], key: u64) -> usize {
    let offset = Entry::new(key, Slot::NONE).offset();
    page.partition_point(|entry| entry.offset() < offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_a_sorted_map(
            steps in prop::collection::vec((prop_oneof![0_u64..5000, any::<u64>()], 0..3), 0..300),
        ) {
            let mut pages = Pages::default();
            let mut model = BTreeMap::new();
            for (number, (key, kind)) in (1..).zip(steps) {
                let present = model.range(key..).next().map(|(key, _)| *key);
                match (kind, present) {
                    (0, Some(present)) => {
                        prop_assert_eq!(Some(pages.remove(present)), model.remove(&present));
                    }
                    _ if model.contains_key(&key) => {}
                    _ => {
                        let added = pages.find_or_insert(key, || Slot(number));
                        prop_assert_eq!(added, (Slot(number), true));
                        prop_assert_eq!(pages.find_or_insert(key, || Slot(0)).0, Slot(number));
                        model.insert(key, Slot(number));
                    }
                }
                prop_assert_eq!(pages.get(key), model.get(&key).copied());
                let expected = model.range(key..).next().map(|(key, slot)| (*key, *slot));
                prop_assert_eq!(pages.first_from(key), expected);
                prop_assert_eq!(pages.len(), model.len());
            }
        }
    }
}
