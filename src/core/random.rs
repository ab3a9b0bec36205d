//! A small generator of numbers from a seed, where a choice must differ between nodes and not be
//! secret: waits that should not coincide, and which of many equals comes first.

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next number: any.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A wait of half to one and a half of this, so that nodes that began together do not go on
    /// together.
    pub fn around_ms(&mut self, wait_ms: u64) -> u64 {
        wait_ms / 2 + self.any() % wait_ms.max(1)
    }
}

/// A number that looks random but follows from another: the step that mixes in SplitMix64.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_paper() {
        let mut random = SplitMix64(1_234_567);
        let first = [(); 3].map(|()| random.any());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn waits_stay_around_their_middle() {
        let mut random = SplitMix64(1);
        let waits: [u64; 200] = core::array::from_fn(|_| random.around_ms(1_000));
        assert!(waits.iter().all(|wait| (500..1_500).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 700) && waits.iter().any(|wait| *wait > 1_300));
        assert_eq!(random.around_ms(0), 0);
    }
}
