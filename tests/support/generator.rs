//! A seeded generator of choices, the same on every machine.

use std::env;

/// The seed of runs in which nobody asked for another.
const SEED_DEFAULT: u64 = 20_261_123;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014):
/// eight lines and good enough to choose test inputs.
pub struct Generator {
    state: u64,
}

impl Generator {
    /// Begins with this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
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
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
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
