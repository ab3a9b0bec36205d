//! How often values of which size came, counted without a lock.

use crate::traffic::Counter;

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram<const COUNT: usize> {
    /// Greatest values of the buckets; a value above the last is in none but counted.
    bounds: [u64; COUNT],
    /// How many were in each bucket, smaller ones not included.
    buckets: [Counter; COUNT],
    sum: Counter,
    count: Counter,
}

/// What a [`Histogram`] has counted; values under way at this moment may be counted in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Greatest values of the buckets, each with how many were in it, smaller ones not included.
    pub buckets: Vec<(u64, u64)>,
    /// All values together.
    pub sum: u64,
    /// How many values.
    pub count: u64,
}

impl<const COUNT: usize> Histogram<COUNT> {
    pub(crate) fn new(bounds: [u64; COUNT]) -> Self {
        Self {
            bounds,
            buckets: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
            count: Counter::default(),
        }
    }

    pub(crate) fn note(&self, value: u64) {
        let fits = self.bounds.iter().position(|bound| value <= *bound);
        if let Some(bucket) = fits {
            self.buckets[bucket].add(1);
        }
        self.sum.add(value);
        self.count.add(1);
    }

    /// What was counted so far.
    pub fn read(&self) -> Counted {
        let counts = self.buckets.iter().map(Counter::get);
        Counted {
            buckets: self.bounds.iter().copied().zip(counts).collect(),
            sum: self.sum.get(),
            count: self.count.get(),
        }
    }
}
