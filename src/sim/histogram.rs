//! Many durations in little memory: exact below 128, within 1/128 above.

/// Parts of each power of two.
const PARTS: u64 = 128;

/// How often which value was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; part(u64::MAX) + 1],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.counts[part(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Counts everything that another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The greatest value, exactly; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that this share of all did not exceed, at the upper end of its part.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut below = 0;
        for (at, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return part_end(at).min(self.max);
            }
        }
        0
    }
}

/// The part of a value: the value itself below [`PARTS`], then that many for each power of two.
fn part(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - PARTS.ilog2();
    (u64::from(shift) * PARTS + (value >> shift)) as usize
}

/// The greatest value of a part.
fn part_end(at: usize) -> u64 {
    let at = at as u64;
    if at < 2 * PARTS {
        return at;
    }
    let shift = at / PARTS - 1;
    let first = (PARTS + at % PARTS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_list_within_a_part() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(500), histogram.max()), (0, 0));
        (1..=10_000).for_each(|value| histogram.add(value));
        let median = histogram.quantile(500);
        assert!((5_000..=5_040).contains(&median), "{median}");
        assert_eq!(
            (histogram.quantile(1_000), histogram.max()),
            (10_000, 10_000)
        );
    }

    #[test]
    fn merging_counts_both() {
        let (mut all, mut some) = (Histogram::default(), Histogram::default());
        all.add(5);
        some.add(1_000_000);
        all.merge(&some);
        assert_eq!((all.total(), all.max(), all.quantile(1)), (2, 1_000_000, 5));
    }

    #[test]
    fn every_part_ends_where_the_next_begins() {
        for value in (0..60)
            .map(|bits| 1_u64 << bits)
            .flat_map(|it| [it - 1, it, it + 1])
        {
            let end = part_end(part(value));
            assert!(end >= value && end - value <= value / PARTS, "{value}");
            assert_eq!(part(end) + 1, part(end + 1), "{value}");
        }
    }
}
