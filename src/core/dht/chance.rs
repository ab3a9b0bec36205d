//! Numbers that others cannot foresee, made from a seed that the driver draws once.
//!
//! Ids of queries and secrets of tokens keep strangers from answering in another's name, so the
//! generator is a cryptographic one: the output stream of keyed BLAKE3.

use alloc::vec::Vec;

/// The stream of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(blake3::OutputReader);

impl Random {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(seed).finalize_xof())
    }

    /// Any bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A number below `bound`, which must not be 0. The bias of the remainder is below 2^-32 for
    /// the bounds used here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % bound
    }

    /// At most `count` of these, chosen and ordered at random.
    pub(crate) fn sample<T>(&mut self, mut items: Vec<T>, count: usize) -> Vec<T> {
        let chosen = count.min(items.len());
        for at in 0..chosen {
            let rest = (items.len() - at) as u64;
            let other = at + usize::try_from(self.below(rest)).unwrap_or(0);
            items.swap(at, other);
        }
        items.truncate(chosen);
        items
    }
}
