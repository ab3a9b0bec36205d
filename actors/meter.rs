//! How long actors are busy: a histogram of their turns.
//!
//! A turn is one poll of an actor's future: the messages that it handles in a row before it waits
//! again. Two readings of the clock and three relaxed additions a turn are all it costs, however
//! many messages the turn has. Counters belong to the name, so they go on over restarts.

use std::time::Instant;

use crate::histogram::{Counted, Histogram};

/// Upper bounds of the buckets, in nanoseconds. A guess: from a message to a hanging actor.
const TURN_BOUNDS_NS: [u64; 6] = [
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// Counts the turns of one actor.
#[derive(Debug)]
pub struct Meter(Histogram<{ TURN_BOUNDS_NS.len() }>);

impl Default for Meter {
    fn default() -> Self {
        Self(Histogram::new(TURN_BOUNDS_NS))
    }
}

impl Meter {
    /// Counts a turn that began at that moment and ends now.
    pub(crate) fn count(&self, begun: Instant) {
        let busy_ns = begun.elapsed().as_nanos();
        self.0.note(u64::try_from(busy_ns).unwrap_or(u64::MAX));
    }

    /// The turns that were counted so far, in nanoseconds.
    pub fn read(&self) -> Counted {
        self.0.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_turn_is_in_the_bucket_of_its_length() {
        let meter = Meter::default();
        let begun = Instant::now().checked_sub(Duration::from_millis(50));
        meter.count(begun.expect("the machine is up for longer"));
        let turns = meter.read();
        assert_eq!(turns.count, 1);
        let buckets: Vec<u64> = turns.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(buckets, [0, 0, 0, 0, 1, 0]);
        assert!(Duration::from_nanos(turns.sum) >= Duration::from_millis(50));
    }
}
