//! The digest of all final trades. They come in any order and hardly one is ever changed, so it is
//! that of a [set](crate::set_hash).

use super::OrderPair;
use crate::set_hash::SetHash;
use crate::types::{Digest, Lots, Ticks};

/// The final trades of the set, as far as their digest needs them.
pub(super) struct FinalTrades(SetHash);

impl FinalTrades {
    /// There is none.
    pub(super) fn new() -> Self {
        let contexts = ("bitfitech final trade 2", "bitfitech final trades 2");
        Self(SetHash::new(contexts.0, contexts.1))
    }

    /// The pieces of a pair that are final have other quantities now than before, or more.
    pub(super) fn replace(
        &mut self,
        pair: &OrderPair,
        price: Ticks,
        (before, after): (&[Lots], &[Lots]),
    ) {
        for piece in 0..before.len().max(after.len()) {
            let (old, new) = (before.get(piece), after.get(piece));
            if old == new {
                continue;
            }
            let piece = u32::try_from(piece).expect("pieces have numbers of this width");
            let element = |quantity: &Lots| element(pair, piece, price, *quantity);
            if let Some(old) = old {
                self.0.remove(&element(old));
            }
            if let Some(new) = new {
                self.0.add(&element(new));
            }
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.0.digest()
    }
}

/// What a final trade is hashed as.
fn element(pair: &OrderPair, piece: u32, price: Ticks, quantity: Lots) -> [u8; 84] {
    let mut bytes = [0; 84];
    bytes[..32].copy_from_slice(&pair.low.0);
    bytes[32..64].copy_from_slice(&pair.high.0);
    bytes[64..68].copy_from_slice(&piece.to_be_bytes());
    bytes[68..76].copy_from_slice(&price.0.to_be_bytes());
    bytes[76..].copy_from_slice(&quantity.0.to_be_bytes());
    bytes
}
