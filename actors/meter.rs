//! How long actors are busy: a histogram of their turns.
//!
//! A turn is one poll of an actor's future: the messages that it handles in a row before it waits
//! again. Two readings of the clock and three relaxed additions a turn are all it costs, however
//! many messages the turn has. Counters belong to the name, so they go on over restarts.

use std::time::{Duration, Instant};

use crate::traffic::Counter;

/// Upper bounds of the buckets, in seconds; a turn above the last is in none but counted. A guess:
/// from a message to a hanging actor.
pub const TURN_BOUNDS_S: [f64; 6] = [0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0];

/// Counts the turns of one actor.
#[derive(Debug, Default)]
pub struct Meter {
    turns: Counter,
    busy_ns: Counter,
    /// How many turns were in each bucket, shorter ones not included.
    buckets: [Counter; TURN_BOUNDS_S.len()],
}

/// What a [`Meter`] has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Turns {
    /// How many.
    pub count: u64,
    /// How long together.
    pub busy: Duration,
    /// How many were in each bucket of [`TURN_BOUNDS_S`], shorter ones not included.
    pub buckets: [u64; TURN_BOUNDS_S.len()],
}

impl Meter {
    /// Counts a turn that began at that moment and ends now.
    pub(crate) fn count(&self, begun: Instant) {
        let busy = begun.elapsed();
        let bucket = TURN_BOUNDS_S
            .iter()
            .position(|bound_s| busy.as_secs_f64() <= *bound_s);
        if let Some(bucket) = bucket {
            self.buckets[bucket].add(1);
        }
        let busy_ns = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.add(busy_ns);
        self.turns.add(1);
    }

    /// What was counted so far; turns under way at this moment may be counted in part.
    pub fn read(&self) -> Turns {
        Turns {
            count: self.turns.get(),
            busy: Duration::from_nanos(self.busy_ns.get()),
            buckets: std::array::from_fn(|at| self.buckets[at].get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_in_the_bucket_of_its_length() {
        let meter = Meter::default();
        let begun = Instant::now().checked_sub(Duration::from_millis(50));
        meter.count(begun.expect("the machine is up for longer"));
        let turns = meter.read();
        assert_eq!(turns.count, 1);
        assert_eq!(turns.buckets, [0, 0, 0, 0, 1, 0]);
        assert!(turns.busy >= Duration::from_millis(50));
    }
}
