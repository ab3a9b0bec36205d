//! The levels of one side by price, and the best of them.
//!
//! Nearly all of a market happens near its best prices, so a *window* of consecutive prices has an
//! array of slots, found without searching, and a bitmap of three layers (one bit a price, one bit
//! a word of the layer below, and so on) that finds the next level in at most five looks. Levels
//! outside the window stand in a tree of [`pages`](super::pages).
//!
//! Both sides are kept as *keys* of which the least is the best: an ask's key is its price, a
//! bid's key is the price with all bits flipped. So nothing here asks which side it is.
//!
//! The first window is a small part of that: most markets are quiet. The window grows to its full
//! size and follows the market, but not at any price: a move costs as much as the levels that it
//! carries, so it waits until at least as many accesses went past the window. Then a hostile
//! pattern of prices costs what a tree costs, and moving adds at most a constant factor to it.

use alloc::vec;
use alloc::vec::Vec;
use core::hint::select_unpredictable;

use super::pages::{self, Entry, Pages};
use super::slab::Slot;
use crate::prefetch::prefetch;
use crate::types::{Side, Ticks};

/// Prices in the window: 64^3, what three layers of 64-bit words cover. At a tick of 0.01 that is
/// a range of 2621.44 around the best price.
const WINDOW_LEN: u64 = 64 * 64 * 64;

/// Prices in the first window, before anything went past it: 4 KiB for a market that is quiet. A
/// guess.
const FIRST_WINDOW_LEN: u64 = 1024;

/// At least this many accesses go past the window before it moves. A guess.
const STRAYS_MIN: usize = 1024;

/// Which prices of the window have a level.
#[derive(Clone, Debug)]
struct Bitmap {
    bits: Vec<u64>,
    /// One bit for each word of `bits` that is not zero.
    words: [u64; 64],
    /// One bit for each word of `words` that is not zero.
    groups: u64,
}

impl Bitmap {
    fn new() -> Self {
        Self {
            bits: Vec::new(),
            words: [0; 64],
            groups: 0,
        }
    }

    fn set(&mut self, position: usize) {
        self.bits[position >> 6] |= 1 << (position & 63);
        self.words[position >> 12] |= 1 << (position >> 6 & 63);
        self.groups |= 1 << (position >> 12);
    }

    fn clear(&mut self, position: usize) {
        let (word, group) = (position >> 6, position >> 12);
        self.bits[word] &= !(1 << (position & 63));
        if self.bits[word] == 0 {
            self.words[group] &= !(1 << (word & 63));
            if self.words[group] == 0 {
                self.groups &= !(1 << group);
            }
        }
    }

    /// The first position at or after `from` that is set.
    fn first_from(&self, from: usize) -> Option<usize> {
        let (word, group) = (from >> 6, from >> 12);
        if let Some(bit) = first_bit(self.bits[word] & (u64::MAX << (from & 63))) {
            return Some(word << 6 | bit);
        }
        if let Some(bit) = first_bit(self.words[group] & above(word & 63)) {
            return Some(self.first_of_word(group << 6 | bit));
        }
        let group = first_bit(self.groups & above(group))?;
        Some(self.first_of_word(group << 6 | self.words[group].trailing_zeros() as usize))
    }

    fn first_of_word(&self, word: usize) -> usize {
        word << 6 | self.bits[word].trailing_zeros() as usize
    }
}

fn first_bit(word: u64) -> Option<usize> {
    (word != 0).then(|| word.trailing_zeros() as usize)
}

/// A mask of all bits above `bit`.
fn above(bit: usize) -> u64 {
    (u64::MAX << bit) << 1
}

/// The last key that a taker accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach(u64);

/// The levels of one side.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    /// What turns prices into keys and back, by exclusive or.
    flip: u64,
    /// The key of the first price in the window.
    base: u64,
    /// Slots by distance from `base`, zero for none. Empty until the first level.
    window: Vec<u32>,
    bitmap: Bitmap,
    window_len: usize,
    outside: Pages,
    best: Option<(u64, Slot)>,
    /// Accesses outside the window since it last moved or decided not to.
    strays: usize,
}

impl Ladder {
    pub(super) fn new(side: Side) -> Self {
        let flip = match side {
            Side::Buy => u64::MAX,
            Side::Sell => 0,
        };
        Self {
            flip,
            base: 0,
            window: Vec::new(),
            bitmap: Bitmap::new(),
            window_len: 0,
            outside: Pages::default(),
            best: None,
            strays: 0,
        }
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let bits = self.bitmap.bits.capacity() * size_of::<u64>();
        self.window.capacity() * size_of::<u32>() + bits + self.outside.memory_bytes()
    }

    /// The best level.
    pub(super) fn best(&self) -> Option<(Ticks, Slot)> {
        self.best.map(|(key, slot)| (self.price(key), slot))
    }

    /// How far a taker goes, for [`Self::best_within`]: as far as it likes without a limit. No
    /// processor can guess whether it has one.
    #[inline]
    pub(super) fn reach(&self, limit: Option<Ticks>) -> Reach {
        let key = self.key(limit.unwrap_or_default());
        Reach(select_unpredictable(limit.is_none(), u64::MAX, key))
    }

    /// The best level, if it is within reach.
    #[inline]
    pub(super) fn best_within(&self, reach: Reach) -> Option<(Ticks, Slot)> {
        self.best
            .filter(|(key, _)| *key <= reach.0)
            .map(|(key, slot)| (self.price(key), slot))
    }

    /// The level at a price.
    pub(super) fn get(&self, price: Ticks) -> Option<Slot> {
        let key = self.key(price);
        match self.position(key) {
            Some(position) => Some(Slot(self.window[position])).filter(|slot| *slot != Slot::NONE),
            None => self.outside.get(key),
        }
    }

    /// The level at a price, nobody if there is none; or the page, asked of memory, where it has to
    /// be looked for, because the price lies outside the window.
    #[inline]
    pub(super) fn look_up(&self, price: Ticks) -> Result<Slot, &[Entry]> {
        let key = self.key(price);
        if let Some(position) = self.position(key) {
            return Ok(Slot(self.window[position]));
        }
        let page = self.outside.page(key);
        // A search in a page starts at its middle.
        page.get(page.len() / 2).inspect(|entry| prefetch(*entry));
        Err(page)
    }

    /// The level at a price in the page that [`Self::look_up`] told.
    pub(super) fn get_in(&self, page: &[Entry], price: Ticks) -> Option<Slot> {
        pages::find(page, self.key(price))
    }

    /// The best level with a price between both, the ends included.
    pub(super) fn best_between(&self, lowest: Ticks, highest: Ticks) -> Option<(Ticks, Slot)> {
        let ends = [self.key(lowest), self.key(highest)];
        let (from, to) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        let (key, slot) = self.first_from(from)?;
        (key <= to).then(|| (self.price(key), slot))
    }

    /// The best level that is worse than `price`.
    pub(super) fn next_after(&self, price: Ticks) -> Option<(Ticks, Slot)> {
        let from = self.key(price).checked_add(1)?;
        self.first_from(from)
            .map(|(key, slot)| (self.price(key), slot))
    }

    /// All levels, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticks, Slot)> {
        core::iter::successors(self.best(), |(price, _)| self.next_after(*price))
    }

    /// The level at a price, which is added if there is none; and whether it was added.
    pub(super) fn find_or_insert(
        &mut self,
        price: Ticks,
        create: impl FnOnce() -> Slot,
    ) -> (Slot, bool) {
        let key = self.key(price);
        self.open(key);
        let (slot, added) = match self.position(key) {
            Some(position) if self.window[position] != 0 => (Slot(self.window[position]), false),
            Some(position) => {
                let slot = create();
                self.put(position, slot);
                (slot, true)
            }
            None => {
                self.strays += 1;
                self.outside.find_or_insert(key, create)
            }
        };
        if added && self.best.is_none_or(|(best, _)| key < best) {
            self.best = Some((key, slot));
        }
        self.follow();
        (slot, added)
    }

    /// Adds a level at a price that has none.
    pub(super) fn insert(&mut self, price: Ticks, slot: Slot) {
        let (_, added) = self.find_or_insert(price, || slot);
        assert!(added, "there is no other level at this price");
    }

    /// Removes the level of a price that has one.
    pub(super) fn remove(&mut self, price: Ticks) {
        let key = self.key(price);
        match self.position(key) {
            Some(position) => {
                self.window[position] = 0;
                self.bitmap.clear(position);
                self.window_len -= 1;
            }
            None => {
                self.strays += 1;
                self.outside.remove(key);
            }
        }
        if self.best.is_some_and(|(best, _)| best == key) {
            self.best = self.first_from(key);
        }
    }

    fn key(&self, price: Ticks) -> u64 {
        price.0 ^ self.flip
    }

    fn price(&self, key: u64) -> Ticks {
        Ticks(key ^ self.flip)
    }

    /// Where a key stands in the window, if it does.
    fn position(&self, key: u64) -> Option<usize> {
        let position = key.wrapping_sub(self.base);
        (position < self.window.len() as u64).then_some(position as usize)
    }

    fn first_from(&self, key: u64) -> Option<(u64, Slot)> {
        if key < self.base
            && let Some(found) = self
                .outside
                .first_from(key)
                .filter(|(key, _)| *key < self.base)
        {
            return Some(found);
        }
        let within = self.position(key.max(self.base));
        if let Some(position) = within.and_then(|from| self.bitmap.first_from(from)) {
            return Some((self.base + position as u64, Slot(self.window[position])));
        }
        self.outside.first_from(key)
    }

    fn put(&mut self, position: usize, slot: Slot) {
        self.window[position] = slot.0;
        self.bitmap.set(position);
        self.window_len += 1;
    }

    /// Makes the window, around the first price.
    fn open(&mut self, key: u64) {
        if self.window.is_empty() {
            self.span(FIRST_WINDOW_LEN);
            self.base = base_around(key, FIRST_WINDOW_LEN);
        }
    }

    /// Makes a window of so many prices, all without a level.
    fn span(&mut self, len: u64) {
        self.window = vec![0; len as usize];
        self.bitmap.bits = vec![0; len as usize / 64];
    }

    /// Moves the window to where the market is, if that has been worth it.
    #[inline]
    fn follow(&mut self) {
        if self.strays >= STRAYS_MIN {
            self.follow_if_worth_it();
        }
    }

    fn follow_if_worth_it(&mut self) {
        let reach = self.outside.len().min(WINDOW_LEN as usize);
        if self.strays < STRAYS_MIN + self.window_len + reach {
            return;
        }
        self.strays = 0;
        // Within the middle half, a move would not help.
        let is_small = (self.window.len() as u64) < WINDOW_LEN;
        if let Some((best, _)) = self.best {
            let base = base_around(best, WINDOW_LEN);
            if is_small || base.abs_diff(self.base) > WINDOW_LEN / 4 {
                self.move_to(base);
            }
        }
    }

    /// Moves the window, which has its full size from then on.
    fn move_to(&mut self, base: u64) {
        let mut position = 0;
        while let Some(found) = self.bitmap.first_from(position) {
            self.bitmap.clear(found);
            let slot = core::mem::take(&mut self.window[found]);
            self.outside
                .find_or_insert(self.base + found as u64, || Slot(slot));
            position = found;
        }
        if (self.window.len() as u64) < WINDOW_LEN {
            self.span(WINDOW_LEN);
        }
        self.window_len = 0;
        self.base = base;
        let last = base + (WINDOW_LEN - 1);
        let next = |outside: &Pages| outside.first_from(base).filter(|(key, _)| *key <= last);
        while let Some((key, _)) = next(&self.outside) {
            let slot = self.outside.remove(key);
            self.put((key - base) as usize, slot);
        }
    }
}

/// The base of a window of so many prices with `key` in its middle, as far as the range of keys
/// allows.
fn base_around(key: u64, len: u64) -> u64 {
    key.saturating_sub(len / 2).min(u64::MAX - (len - 1))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn price() -> impl Strategy<Value = u64> {
        prop_oneof![
            3_000_000_u64..3_000_200,
            3_000_000_u64..4_000_000,
            Just(0),
            Just(u64::MAX),
            any::<u64>(),
        ]
    }

    fn assert_same(ladder: &Ladder, model: &BTreeMap<u64, Slot>) {
        let mut expected: Vec<(Ticks, Slot)> = model
            .iter()
            .map(|(price, slot)| (Ticks(*price), *slot))
            .collect();
        if ladder.flip != 0 {
            expected.reverse();
        }
        assert_eq!(ladder.iter().collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn a_ladder_is_a_sorted_map(
            buy in any::<bool>(),
            steps in prop::collection::vec((price(), any::<bool>()), 1..200),
            move_every in 1_usize..20,
        ) {
            let mut ladder = Ladder::new(if buy { Side::Buy } else { Side::Sell });
            let mut model = BTreeMap::new();
            for (number, (price, insert)) in (1..).zip(steps) {
                let price = match (insert, model.range(price..).next()) {
                    (false, Some((present, _))) => *present,
                    _ => price,
                };
                if model.remove(&price).is_some() {
                    ladder.remove(Ticks(price));
                } else {
                    model.insert(price, Slot(number));
                    ladder.insert(Ticks(price), Slot(number));
                }
                if (number as usize).is_multiple_of(move_every) {
                    ladder.move_to(base_around(ladder.key(Ticks(price)), WINDOW_LEN));
                }
                prop_assert_eq!(ladder.get(Ticks(price)), model.get(&price).copied());
                assert_same(&ladder, &model);
            }
        }

        #[test]
        fn best_between_respects_both_ends(low in price(), high in price(), at in price()) {
            let (low, high) = (low.min(high), low.max(high));
            for side in [Side::Buy, Side::Sell] {
                let mut ladder = Ladder::new(side);
                ladder.insert(Ticks(at), Slot(1));
                let found = ladder.best_between(Ticks(low), Ticks(high)).is_some();
                prop_assert_eq!(found, low <= at && at <= high);
            }
        }
    }

    #[test]
    fn the_window_follows_a_market_that_went_away() {
        let mut ladder = Ladder::new(Side::Sell);
        ladder.insert(Ticks(1 << 40), Slot(1));
        ladder.remove(Ticks(1 << 40));
        for price in 0..2 * STRAYS_MIN as u64 {
            ladder.insert(Ticks(price), Slot(1));
            ladder.find_or_insert(Ticks(price), || Slot(2));
        }
        assert_eq!(
            ladder.outside.len(),
            0,
            "all levels are in the window again"
        );
    }
}
