//! Latencies in 16 KiB: exact below 64 ns, within 1/64 above.

/// Parts of each power of two.
const PARTS: u64 = 64;

/// How often which latency was seen.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    pub(crate) fn add(&mut self, latency_ns: u64) {
        self.counts[bucket(latency_ns)] += 1;
        self.total += 1;
    }

    /// The latency that `per_mille` of all did not exceed, at the upper end of its part.
    pub(crate) fn quantile_ns(&self, per_mille: u64) -> u64 {
        let rank = (self.total * per_mille).div_ceil(1000);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank && below > 0 {
                return bucket_end(bucket);
            }
        }
        0
    }
}

/// The bucket of a value: the value itself below 64, then 64 for each power of two.
fn bucket(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - PARTS.ilog2();
    (u64::from(shift) * PARTS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let first = (PARTS + bucket % PARTS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_ends_at_most_one_part_above_its_values(value in any::<u64>(), bits in 0..64) {
            let value = value >> bits;
            let end = bucket_end(bucket(value));
            prop_assert!(end >= value && end - value <= value / PARTS);
            prop_assert_eq!(bucket(end), bucket(value));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_ns(500), 0);
        (1..=1000).for_each(|value| histogram.add(value % 50));
        assert_eq!(histogram.quantile_ns(500), 24);
        assert_eq!(histogram.quantile_ns(999), 49);
    }
}
