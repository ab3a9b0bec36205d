//! What a host believes about the time of day.

use crate::event::{MS, Micros};

/// The time of day when a simulation begins: the first second of 2026.
pub const EPOCH_UNIX_MS: u64 = 1_767_225_600_000;

/// A clock that may be wrong.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// How far it is ahead at first, in milliseconds.
    pub skew_ms: i64,
    /// How much faster than time it runs, in millionths.
    pub drift_ppm: i64,
    /// When it jumps, and how far, in milliseconds.
    pub jumps: Vec<(Micros, i64)>,
}

impl Clock {
    /// The time of day by this clock, in milliseconds since the Unix epoch.
    pub fn unix_ms(&self, now_us: Micros) -> u64 {
        let true_ms = now_us / MS;
        let drift_ms = true_ms as i64 * self.drift_ppm / 1_000_000;
        let jumps = self.jumps.iter().filter(|(at_us, _)| *at_us <= now_us);
        let jumps_ms: i64 = jumps.map(|(_, by_ms)| by_ms).sum();
        let error_ms = self.skew_ms + drift_ms + jumps_ms;
        (EPOCH_UNIX_MS + true_ms).saturating_add_signed(error_ms)
    }

    /// Whether it begins less than a minute off.
    pub fn is_about_right(&self) -> bool {
        self.skew_ms.abs() < 60_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_skew_and_drift_and_jumps() {
        let clock = Clock {
            skew_ms: -100,
            drift_ppm: 1_000,
            jumps: vec![(5_000 * MS, 40)],
        };
        let off = |at_ms: u64| clock.unix_ms(at_ms * MS) as i64 - (EPOCH_UNIX_MS + at_ms) as i64;
        assert_eq!((off(0), off(4_000), off(10_000)), (-100, -96, -50));
    }
}
