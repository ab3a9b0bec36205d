//! A sorted map from keys to slots, for keys that may lie anywhere.
//!
//! A page has 2048 consecutive keys and is a sorted list with eight bytes an entry. A group has 64
//! consecutive pages: a bit for each that is not empty, and the list of those, so that a page is
//! found by counting bits. A tree holds the groups. So the tree stays small enough to remain in the
//! nearest caches even if an adversary spreads levels over the whole range of a market, no step in
//! a group has to be guessed by the processor, and what is left to fetch is the place of a page and
//! a line or two of the page itself.
//!
//! In the worst case for time a page is full, and an insertion moves half of its 16 KiB. In the
//! worst case for memory each level has a group of its own, about 170 bytes, which takes a market
//! with a range of prices 131,072 times as long as the list of its levels; where each has a page of
//! its own in a full group, it is about 60.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::slab::Slot;

/// How many bits of a key count within a page.
const PAGE_BITS: u32 = 11;

/// How many bits of a key count within a group of pages.
const GROUP_BITS: u32 = PAGE_BITS + PAGES_OF_GROUP.ilog2();

/// As many as a word has bits.
const PAGES_OF_GROUP: u64 = u64::BITS as u64;

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

/// Consecutive pages.
#[derive(Clone, Debug, Default)]
struct Group {
    /// Which pages are not empty.
    present: u64,
    /// Those pages, in order.
    pages: Vec<Vec<Entry>>,
}

impl Group {
    /// Where a page stands among those that are present, or would stand.
    fn rank(&self, page: u64) -> usize {
        (self.present & ((1 << page) - 1)).count_ones() as usize
    }

    fn has(&self, page: u64) -> bool {
        self.present >> page & 1 == 1
    }

    /// The page with this number in the group, which is added if it is not there.
    fn page_or_new(&mut self, page: u64) -> &mut Vec<Entry> {
        let rank = self.rank(page);
        if !self.has(page) {
            self.present |= 1 << page;
            if self.pages.is_empty() {
                // Mostly a lonely group stays one, and room for four pages would be idle.
                self.pages.reserve_exact(1);
            }
            self.pages.insert(rank, Vec::new());
        }
        &mut self.pages[rank]
    }

    /// The least key at or after `from`, which is a key of this group.
    fn first_from(&self, from: u64) -> Option<(u64, Slot)> {
        let page = page_of(from);
        let mut rank = self.rank(page);
        let mut start = 0;
        if self.has(page) {
            start = place(&self.pages[rank], from);
            if start == self.pages[rank].len() {
                (rank, start) = (rank + 1, 0);
            }
        }
        let entry = self.pages.get(rank)?[start];
        let page = nth_bit(self.present, rank);
        let base = group_of(from) << GROUP_BITS | page << PAGE_BITS;
        Some((base | entry.offset(), entry.slot()))
    }
}

/// The place of the set bit before which `rank` others are set.
fn nth_bit(mut bits: u64, rank: usize) -> u64 {
    (0..rank).for_each(|_| bits &= bits - 1);
    u64::from(bits.trailing_zeros())
}

/// The number of the group of a key.
fn group_of(key: u64) -> u64 {
    key >> GROUP_BITS
}

/// The number of the page of a key within its group.
fn page_of(key: u64) -> u64 {
    key >> PAGE_BITS & (PAGES_OF_GROUP - 1)
}

/// Slots by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    /// By the upper bits of the keys; no group and no page is empty.
    groups: BTreeMap<u64, Group>,
    len: usize,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes of memory it takes, about: nodes of the tree are two thirds full.
    pub(super) fn memory_bytes(&self) -> usize {
        let bytes_of = |group: &Group| {
            let entries: usize = group.pages.iter().map(Vec::capacity).sum();
            entries * size_of::<Entry>() + group.pages.capacity() * size_of::<Vec<Entry>>()
        };
        let nodes = self.groups.len() * size_of::<(u64, Group)>() * 3 / 2;
        self.groups.values().map(bytes_of).sum::<usize>() + nodes
    }

    pub(super) fn get(&self, key: u64) -> Option<Slot> {
        find(self.page(key), key)
    }

    /// The page where a key stands or would stand.
    #[inline]
    pub(super) fn page(&self, key: u64) -> &[Entry] {
        let page = page_of(key);
        match self.groups.get(&group_of(key)) {
            Some(group) if group.has(page) => &group.pages[group.rank(page)],
            _ => &[],
        }
    }

    /// The first entry at or after a key.
    pub(super) fn first_from(&self, key: u64) -> Option<(u64, Slot)> {
        let number = group_of(key);
        let mut groups = self.groups.range(number..);
        let (first, group) = groups.next()?;
        if *first > number {
            return group.first_from(first << GROUP_BITS);
        }
        group.first_from(key).or_else(|| {
            let (next, group) = groups.next()?;
            group.first_from(next << GROUP_BITS)
        })
    }

    /// The slot of a key, which is added with a new slot if it is not there; and whether it was
    /// added.
    pub(super) fn find_or_insert(
        &mut self,
        key: u64,
        create: impl FnOnce() -> Slot,
    ) -> (Slot, bool) {
        let group = self.groups.entry(group_of(key)).or_default();
        let page = group.page_or_new(page_of(key));
        let place = place(page, key);
        let offset = Entry::new(key, Slot::NONE).offset();
        if let Some(present) = page.get(place).filter(|entry| entry.offset() == offset) {
            return (present.slot(), false);
        }
        let slot = create();
        page.insert(place, Entry::new(key, slot));
        self.len += 1;
        (slot, true)
    }

    /// Removes a key that is there.
    pub(super) fn remove(&mut self, key: u64) -> Slot {
        let (number, page_number) = (group_of(key), page_of(key));
        let group = self.groups.get_mut(&number).expect("the key is there");
        let rank = group.rank(page_number);
        let page = &mut group.pages[rank];
        let removed = page.remove(place(page, key));
        if page.is_empty() {
            group.pages.remove(rank);
            group.present &= !(1 << page_number);
            if group.present == 0 {
                self.groups.remove(&number);
            } else {
                shrink(&mut group.pages);
            }
        } else {
            shrink(page);
        }
        self.len -= 1;
        removed.slot()
    }
}

/// Gives memory back where three quarters are idle.
fn shrink<T>(list: &mut Vec<T>) {
    if list.len() * 4 <= list.capacity() {
        list.shrink_to(list.len() * 2);
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

    /// Keys of one page, of pages of one group, of neighbouring groups, and at the far end.
    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![
            0_u64..5000,
            0_u64..3 << GROUP_BITS,
            u64::MAX - (1 << GROUP_BITS)..=u64::MAX,
            any::<u64>(),
        ]
    }

    proptest! {
        #[test]
        fn pages_are_a_sorted_map(
            steps in prop::collection::vec((key(), 0..3), 0..300),
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
