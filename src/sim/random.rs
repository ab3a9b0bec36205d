//! Random numbers that are the same on every machine for the same seed.

use bitfitech_core::random::SplitMix64;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    /// A stream for a part of what a seed decides, independent of the streams of other parts.
    pub fn derive(seed: u64, part: &str, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech simulation random 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        hasher.update(part.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self::new(u64::from_le_bytes(first))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.any()
    }

    /// A number below `bound`, which is not zero. Its bias is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// A place in a list of this length, which is not zero.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether an event of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what a double holds exactly.
        probability > 0.0 && ((self.any() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// Brings a list into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.index(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_by_part_and_number_and_repeat() {
        let first = |part, number| Random::derive(7, part, number).any();
        assert_eq!(first("links", 1), first("links", 1));
        assert_ne!(first("links", 1), first("links", 2));
        assert_ne!(first("links", 1), first("clocks", 1));
    }

    #[test]
    fn a_chance_comes_as_often_as_it_should() {
        let mut random = Random::new(1);
        let mut hits = |probability| (0..100_000).filter(|_| random.chance(probability)).count();
        assert_eq!(hits(0.0), 0);
        assert_eq!(hits(1.0), 100_000);
        assert!((900..1_100).contains(&hits(0.01)));
    }
}
