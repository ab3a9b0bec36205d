//! A seeded generator of choices, the same on every machine.

use std::env;

use bitfitech_core::random::SplitMix64;

/// The seed of runs in which nobody asked for another.
const SEED_DEFAULT: u64 = 20_261_123;

/// Good enough to choose test inputs.
pub struct Generator(SplitMix64);

impl Generator {
    /// Begins with this seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    /// Begins with `SEED` of the environment, else with the default; the seed is returned so that
    /// the test can show it.
    ///
    /// # Panics
    /// When `SEED` is no number.
    pub fn from_environment() -> (Self, u64) {
        let seed = env::var("SEED").map_or(SEED_DEFAULT, |text| {
            text.parse().expect("SEED must be a whole number")
        });
        (Self::new(seed), seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0.any()
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a bound of 64 bits");
        usize::try_from(self.next() % bound).expect("less than the bound")
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }
}
