//! The digest of a book: which bytes are hashed, in which order.
//!
//! The digest is a pure function of the resting orders in queue order, so that two nodes with the
//! same book have the same digest, whatever path led there. It is a tree, so that an engine may
//! keep the digests of the parts that did not change:
//!
//! - A *level* is `BLAKE3("L" ‖ side ‖ price ‖ order …)`, each order being its id, what remains
//!   of it, its total quantity, what of it is promised, and a byte that is 1 if it is over. The
//!   side is 0 for buy and 1 for sell; numbers are 64 bits, little endian.
//! - A *side* is a trie over its prices, read as 16 hexadecimal digits from the most significant.
//!   A subtree with one level has the digest of that level; any other splits at the first digit in
//!   which its prices differ and is `BLAKE3("B" ‖ child …)`, lowest digit first.
//! - A *book* is `BLAKE3("K" ‖ bids ‖ asks)`, with 32 zero bytes for an empty side.
//!
//! Levels name their price, so the shape of the trie needs no encoding of its own: equal digests
//! mean equal levels unless BLAKE3 collides. Owners are local numbers and enter no digest.

use super::{Life, Resting};
use crate::types::{Digest, Lots, Side, Ticks};

/// The digest of a side without orders.
pub(super) const EMPTY_SIDE: Digest = Digest([0; 32]);

/// Collects the orders of one level, front of the queue first.
pub(super) struct LevelHasher(blake3::Hasher);

impl LevelHasher {
    pub(super) fn new(side: Side, price: Ticks) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"L");
        hasher.update(&[match side {
            Side::Buy => 0,
            Side::Sell => 1,
        }]);
        hasher.update(&price.0.to_le_bytes());
        Self(hasher)
    }

    pub(super) fn add(&mut self, order: &Resting, total: Lots) {
        let mut bytes = [0; 57];
        bytes[..32].copy_from_slice(&order.id.0);
        bytes[32..40].copy_from_slice(&order.remaining.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&total.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&order.promised.0.to_le_bytes());
        bytes[56] = match order.life {
            Life::Open => 0,
            Life::Over => 1,
        };
        self.0.update(&bytes);
    }

    pub(super) fn finish(&self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// The digest of a subtree with these children, lowest prices first; `None` without any.
pub(super) fn branch(children: &[Digest]) -> Option<Digest> {
    match children {
        [] => None,
        [only] => Some(*only),
        _ => {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"B");
            for child in children {
                hasher.update(&child.0);
            }
            Some(Digest(hasher.finalize().into()))
        }
    }
}

/// The digest of a book with these sides.
pub(super) fn book(bids: &Digest, asks: &Digest) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"K");
    hasher.update(&bids.0);
    hasher.update(&asks.0);
    Digest(hasher.finalize().into())
}
