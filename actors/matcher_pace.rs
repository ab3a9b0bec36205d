//! How often this node writes confirmations and refusals.
//!
//! An operation costs every node of the network a signature to check, a place in its history and a
//! part of a frame, however much is in it. So in a busy network what one node signs about trades
//! waits a moment and shares an operation: the more others write, the longer, up to
//! [`PAUSE_MAX_MS`]. Where nobody else writes, or after a pause, it goes at once. Orders do not
//! wait: somebody waits for each.

use bitfitech_core::types::Now;

/// Longest time between two such operations that is waited for, in milliseconds. A guess: little
/// against the hold-down before a confirmation, and with it ten nodes that trade without end write
/// five hundred of them a second, not thousands.
const PAUSE_MAX_MS: u64 = 20;

/// So many operations of others a second make the pause a millisecond longer: the longest one is
/// reached at 500 a second, which cost a node some 5 % of a processor.
const RATE_PER_PAUSE_MS: u64 = 25;

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

    /// An own operation with a confirmation or a refusal was written.
    pub(crate) fn note_settled(&mut self, now: Now) {
        self.written_ms = Some(now.monotonic_ms);
    }

    /// From when on the next one may be written, on the monotonic clock.
    pub(crate) fn next_ms(&mut self, now: Now) -> u64 {
        self.turn(now);
        let pause_ms = (self.rate / RATE_PER_PAUSE_MS).min(PAUSE_MAX_MS);
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

    /// How long a second one waits, others having written so many a second.
    fn pause_ms(rate: u64) -> u64 {
        let mut pace = Pace::default();
        for step in 0..10 {
            pace.note_foreign(at(1_000 + step * WINDOW_MS), rate * WINDOW_MS / 1_000);
        }
        let now_ms = 1_000 + 10 * WINDOW_MS;
        pace.note_settled(at(now_ms));
        pace.next_ms(at(now_ms)) - now_ms
    }

    #[test]
    fn confirmations_wait_for_each_other_the_longer_the_more_others_write() {
        assert_eq!(pause_ms(0), 0);
        assert_eq!(pause_ms(100), 4);
        assert_eq!(pause_ms(10_000), PAUSE_MAX_MS);
    }

    #[test]
    fn a_network_that_has_become_quiet_slows_nobody_down() {
        let mut pace = Pace::default();
        pace.note_foreign(at(1_000), 1_000);
        pace.note_settled(at(1_001));
        assert_eq!(pace.next_ms(at(1_002)), 1_001);
        assert!(pace.next_ms(at(1_300)) > 1_001);
        pace.note_settled(at(5_000));
        assert_eq!(pace.next_ms(at(5_000)), 5_000);
    }
}
