//! Random numbers that are the same on every machine for the same seed.

use bitfitech_core::random::SplitMix64;

/// The stream of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.any()
    }

    /// A number below `bound`, which is not zero. Its bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// How many failures come before the first success if one in `mean + 1` tries succeeds.
    pub(crate) fn geometric(&mut self, mean: u64) -> u64 {
        // The middle of one of 2^53 equal parts of the interval from 0 to 1, never 0.
        let uniform = ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let failure = mean as f64 / (mean as f64 + 1.0);
        (uniform.ln() / failure.ln()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_a_seed_are_the_published_ones() {
        let mut random = Random::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        // As on rosettacode.org, "Pseudo-random numbers/Splitmix64".
        let known = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, known);
    }

    #[test]
    fn a_geometric_number_has_its_mean() {
        let mut random = Random::new(1);
        let sum: u64 = (0..100_000).map(|_| random.geometric(40)).sum();
        assert!(
            (39..=41).contains(&(sum / 100_000)),
            "the mean is {}",
            sum as f64 / 1e5
        );
    }
}
