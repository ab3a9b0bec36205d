//! How often this node writes operations of its own.
//!
//! An operation costs every node of the network a signature to check, a place in its history and a
//! part of a frame, and its author a commit, however much is in it. So in a busy network what one
//! node writes waits a moment and shares an operation: the more others write, the longer, up to
//! [`PAUSE_MAX_MS`]. Where nobody else writes, after a pause, or when it fills an operation, it
//! goes at once. Users wait for their orders, so these are held up only from [`ORDERS_FREE_RATE`]
//! on.

use bitfitech_core::types::Now;

/// Longest time between two own operations that is waited for, in milliseconds. A guess: little
/// against the hold-down before a confirmation and against what a large network takes to carry an
/// order, and with it ten nodes that trade without end write five hundred of them a second, not
/// thousands.
const PAUSE_MAX_MS: u64 = 20;

/// So many operations of others a second make the pause a millisecond longer: the longest one is
/// reached at 500 a second, which cost a node some 5 % of a processor.
const RATE_PER_PAUSE_MS: u64 = 25;

/// So many operations of others a second hold up no order. A guess: they cost a node some 2 % of a
/// processor, and a few nodes with quick users do not reach it.
const ORDERS_FREE_RATE: u64 = 200;

/// For how long operations of others are counted before the rate is taken anew, in milliseconds.
const WINDOW_MS: u64 = 250;

/// When the next such operation may be written.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    window_from_ms: u64,
    /// Operations of others in this window.
    count: u64,
    /// The same of the last whole window, in a second.
    rate: u64,
    /// When the last one was written.
    written_ms: Option<u64>,
}

impl Pace {
    /// So many operations of others were applied.
    pub(crate) fn note_foreign(&mut self, now: Now, count: u64) {
        self.turn(now);
        self.count += count;
    }

    /// An own operation was written.
    pub(crate) fn note_written(&mut self, now: Now) {
        self.written_ms = Some(now.monotonic_ms);
    }

    /// From when on the next confirmations and refusals may be written, on the monotonic clock.
    pub(crate) fn settle_from_ms(&mut self, now: Now) -> u64 {
        self.turn(now);
        self.after_pause(self.rate)
    }

    /// From when on the next orders may be written.
    pub(crate) fn orders_from_ms(&mut self, now: Now) -> u64 {
        self.turn(now);
        self.after_pause(self.rate.saturating_sub(ORDERS_FREE_RATE))
    }

    fn after_pause(&self, rate: u64) -> u64 {
        let pause_ms = (rate / RATE_PER_PAUSE_MS).min(PAUSE_MAX_MS);
        self.written_ms.map_or(0, |at_ms| at_ms + pause_ms)
    }

    /// Begins a new window if the present one is over.
    fn turn(&mut self, now: Now) {
        let passed_ms = now.monotonic_ms.saturating_sub(self.window_from_ms);
        if passed_ms >= WINDOW_MS {
            self.rate = self.count * 1_000 / passed_ms;
            self.count = 0;
            self.window_from_ms = now.monotonic_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ms: u64) -> Now {
        Now {
            monotonic_ms,
            unix_ms: 0,
        }
    }

    /// How long confirmations and orders wait after an own operation, others having written so
    /// many a second.
    fn pauses_ms(rate: u64) -> (u64, u64) {
        let mut pace = Pace::default();
        for step in 0..10 {
            pace.note_foreign(at(1_000 + step * WINDOW_MS), rate * WINDOW_MS / 1_000);
        }
        let now = at(1_000 + 10 * WINDOW_MS);
        pace.note_written(now);
        let settle_ms = pace.settle_from_ms(now) - now.monotonic_ms;
        (settle_ms, pace.orders_from_ms(now) - now.monotonic_ms)
    }

    #[test]
    fn what_is_written_waits_the_longer_the_more_others_write() {
        assert_eq!(pauses_ms(0), (0, 0));
        assert_eq!(pauses_ms(100), (4, 0));
        assert_eq!(pauses_ms(300), (12, 4));
        assert_eq!(pauses_ms(10_000), (PAUSE_MAX_MS, PAUSE_MAX_MS));
    }

    #[test]
    fn a_network_that_has_become_quiet_slows_nobody_down() {
        let mut pace = Pace::default();
        pace.note_foreign(at(1_000), 1_000);
        pace.note_written(at(1_001));
        assert_eq!(pace.settle_from_ms(at(1_002)), 1_001);
        assert!(pace.settle_from_ms(at(1_300)) > 1_001);
        pace.note_written(at(5_000));
        assert_eq!(pace.settle_from_ms(at(5_000)), 5_000);
    }
}
