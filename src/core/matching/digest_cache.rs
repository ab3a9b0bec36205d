//! The digest of a book, kept for the parts of it that did not change.
//!
//! [`digest`](super::digest) defines a trie over prices. This cache holds the digests of its
//! branches and forgets those above a level that changed, so a hash after few changes reads only
//! the orders at the changed prices and some siblings. Both what is cached and what is noted as
//! changed are bounded: a book with more branches than the cache holds is hashed in part again
//! each time, and after too many changes the whole cache is dropped, for most of it would be stale.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::digest;
use crate::types::{Digest, Side, Ticks};

/// At most this many digests are kept, about 5 MiB. A guess: the branches of 500,000 levels side by
/// side.
const DIGESTS_MAX: usize = 1 << 16;

/// At most this many changed blocks are noted, 64 KiB. A guess.
const CHANGES_MAX: usize = 1 << 13;

/// How many recently noted blocks are remembered, so as not to note them again. A power of two.
const RECENT_LEN: usize = 64;

/// What the cache has to know of a book.
pub(super) trait Levels {
    /// The price of the best level within these, the ends included.
    fn best_between(&self, side: Side, lowest: Ticks, highest: Ticks) -> Option<Ticks>;

    /// The digest of the level at this price.
    fn level_digest(&self, side: Side, price: Ticks) -> Digest;
}

/// A subtree of the trie: all prices that agree with `lowest` in all but the lowest `bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subtree {
    sells: bool,
    bits: u32,
    lowest: u64,
}

impl Subtree {
    fn around(side: Side, price: u64, bits: u32) -> Self {
        Self {
            sells: side == Side::Sell,
            bits,
            lowest: price & !low_bits(bits),
        }
    }

    fn highest(&self) -> u64 {
        self.lowest | low_bits(self.bits)
    }

    fn side(&self) -> Side {
        if self.sells { Side::Sell } else { Side::Buy }
    }
}

/// A number whose lowest `count` bits are set.
fn low_bits(count: u32) -> u64 {
    1_u64.checked_shl(count).map_or(u64::MAX, |next| next - 1)
}

/// Digests of branches, and which of them are stale.
#[derive(Clone, Debug)]
pub(super) struct DigestCache {
    digests: BTreeMap<Subtree, Digest>,
    /// The 16-price blocks that changed since the last hash, with the side in the lowest bit.
    changes: Vec<u64>,
    recent: [u64; RECENT_LEN],
    /// Whether more changed than `changes` could hold, or nothing was ever hashed.
    all_changed: bool,
}

impl DigestCache {
    pub(super) fn new() -> Self {
        Self {
            digests: BTreeMap::new(),
            changes: Vec::new(),
            recent: [u64::MAX; RECENT_LEN],
            all_changed: true,
        }
    }

    /// Notes that the level at this price is not what it was.
    #[inline]
    pub(super) fn note_change(&mut self, side: Side, price: Ticks) {
        if !self.all_changed {
            self.note_block(side, price);
        }
    }

    fn note_block(&mut self, side: Side, price: Ticks) {
        let block = price.0 >> 4 << 1 | u64::from(side == Side::Sell);
        let recent = &mut self.recent[block as usize % RECENT_LEN];
        if *recent == block {
            return;
        }
        *recent = block;
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(block);
        } else {
            self.all_changed = true;
        }
    }

    /// The digest of the whole book.
    pub(super) fn book(&mut self, levels: &impl Levels) -> Digest {
        self.drop_stale();
        let [bids, asks] = [Side::Buy, Side::Sell].map(|side| {
            let all = Subtree::around(side, 0, u64::BITS);
            self.subtree(levels, all).unwrap_or(digest::EMPTY_SIDE)
        });
        digest::book(&bids, &asks)
    }

    fn drop_stale(&mut self) {
        if self.all_changed {
            self.digests.clear();
        }
        for block in self.changes.drain(..) {
            let side = if block & 1 == 1 {
                Side::Sell
            } else {
                Side::Buy
            };
            for bits in (4..=u64::BITS).step_by(4) {
                self.digests
                    .remove(&Subtree::around(side, block >> 1 << 4, bits));
            }
        }
        self.recent = [u64::MAX; RECENT_LEN];
        self.all_changed = false;
    }

    fn subtree(&mut self, levels: &impl Levels, tree: Subtree) -> Option<Digest> {
        if let Some(digest) = self.digests.get(&tree) {
            return Some(*digest);
        }
        let mut children = Vec::new();
        let mut rest = Some((tree.lowest, tree.highest()));
        while let Some((lowest, highest)) = rest {
            let found = levels.best_between(tree.side(), Ticks(lowest), Ticks(highest));
            let Some(price) = found else { break };
            if tree.bits == 0 {
                return Some(levels.level_digest(tree.side(), price));
            }
            let child = Subtree::around(tree.side(), price.0, tree.bits - 4);
            children.extend(self.subtree(levels, child));
            rest = match tree.side() {
                Side::Buy => child.lowest.checked_sub(1).map(|highest| (lowest, highest)),
                Side::Sell => child
                    .highest()
                    .checked_add(1)
                    .map(|lowest| (lowest, highest)),
            };
            rest = rest.filter(|(lowest, highest)| lowest <= highest);
        }
        if tree.side() == Side::Buy {
            children.reverse();
        }
        let digest = digest::branch(&children)?;
        if children.len() > 1 && self.digests.len() < DIGESTS_MAX {
            self.digests.insert(tree, digest);
        }
        Some(digest)
    }
}
