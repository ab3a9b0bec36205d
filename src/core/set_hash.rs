//! The digest of a set whose elements come and go in any order.
//!
//! Each element is hashed to 1,024 words of 16 bits; what the elements of a set have in common is
//! the sum of their words, each modulo 2¹⁶. An element is added or taken out at one price, however
//! many there are, and nothing has to be sorted. 2,048 bytes are what makes it hard to find two
//! sets with one sum, where a sum of hashes of ordinary length would be easy to hit.
//!
//! Sources: Bellare and Micciancio, "A new paradigm for collision-free hashing: incrementality at
//! reduced cost" (1997); Lewi et al., "Securing update propagation with homomorphic hashing"
//! (2019), whose LtHash16 this is, with BLAKE3 as the function that extends.

use alloc::boxed::Box;

use crate::types::Digest;

/// How many words of 16 bits an element is hashed to.
const WORDS: usize = 1_024;

/// The digest of a set, by contexts of BLAKE3 that are its own.
pub(crate) struct SetHash {
    sum: Box<[u16; WORDS]>,
    element_context: &'static str,
    set_context: &'static str,
}

impl SetHash {
    /// The empty set, in the contexts of its elements and its own.
    pub(crate) fn new(element_context: &'static str, set_context: &'static str) -> Self {
        Self {
            sum: Box::new([0; WORDS]),
            element_context,
            set_context,
        }
    }

    /// An element comes.
    pub(crate) fn add(&mut self, element: &[u8]) {
        self.combine(element, u16::wrapping_add);
    }

    /// An element that is there goes.
    pub(crate) fn remove(&mut self, element: &[u8]) {
        self.combine(element, u16::wrapping_sub);
    }

    fn combine(&mut self, element: &[u8], by: impl Fn(u16, u16) -> u16) {
        let mut bytes = [0; 2 * WORDS];
        let mut hasher = blake3::Hasher::new_derive_key(self.element_context);
        hasher.update(element).finalize_xof().fill(&mut bytes);
        for (word, bytes) in self.sum.iter_mut().zip(bytes.as_chunks().0) {
            *word = by(*word, u16::from_le_bytes(*bytes));
        }
    }

    /// The digest of what is there.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(self.set_context);
        for word in self.sum.iter() {
            hasher.update(&word.to_le_bytes());
        }
        Digest(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn empty() -> SetHash {
        SetHash::new("bitfitech test element", "bitfitech test set")
    }

    fn of(elements: &BTreeSet<u8>) -> Digest {
        let mut set = empty();
        elements.iter().for_each(|element| set.add(&[*element]));
        set.digest()
    }

    proptest! {
        #[test]
        fn only_what_is_there_counts(steps in prop::collection::vec(0..16_u8, 0..40)) {
            let (mut set, mut model) = (empty(), BTreeSet::new());
            let mut seen = BTreeSet::from([(of(&model).0, model.clone())]);
            for element in steps {
                if model.insert(element) {
                    set.add(&[element]);
                } else {
                    model.remove(&element);
                    set.remove(&[element]);
                }
                prop_assert_eq!(set.digest(), of(&model));
                seen.insert((set.digest().0, model.clone()));
            }
            let digests: BTreeSet<[u8; 32]> = seen.iter().map(|(digest, _)| *digest).collect();
            prop_assert_eq!(digests.len(), seen.len(), "other sets have other digests");
        }
    }
}
