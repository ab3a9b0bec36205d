//! What belongs so far back that it may wait, and when it is merged.
//!
//! Each merge takes back and does again all behind its place, so what comes late is merged together.
//! Until then it lies apart, and costs nothing.

use alloc::vec::Vec;

use super::LogEntry;
use crate::market_terms::StagedTerms;

/// The slow lane merges at most once in this time, in milliseconds.
pub const SLOW_LANE_MS: u64 = 1_000;

/// In the long run it merges at most once in this time, in milliseconds, so that authors who keep
/// sending what belongs far back cost everyone a bounded share of time. A guess: little beside the
/// half minute that a refusal takes.
pub const SLOW_LANE_STEADY_MS: u64 = 3_000;

/// So many merges may come one [`SLOW_LANE_MS`] after the other, so that what a partition held back
/// is merged within seconds after it has healed.
pub const SLOW_LANE_BURST: u64 = 3;

/// A token bucket of merges with a least pause between two of them, and what waits for the next.
/// All times are monotonic, in milliseconds.
#[derive(Default)]
pub(super) struct SlowLane {
    pub(super) entries: Vec<LogEntry>,
    pub(super) terms: StagedTerms,
    /// The last time at which it was entered.
    entered_ms: Option<u64>,
    opens_ms: u64,
    /// When the bucket is full again.
    full_ms: u64,
}

impl SlowLane {
    /// Whether it is open at a time; always if none is given.
    pub(super) fn is_open(&self, now_ms: Option<u64>) -> bool {
        now_ms.is_none_or(|now_ms| now_ms >= self.opens_ms || self.entered_ms == Some(now_ms))
    }

    /// Whether what waits may be merged at a time.
    pub(super) fn has_due(&self, now_ms: Option<u64>) -> bool {
        !self.is_empty() && self.is_open(now_ms)
    }

    /// When what waits is due, if anything does.
    pub(super) fn next_merge_ms(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.opens_ms)
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.terms.is_empty()
    }

    /// Merges now, if it is open. All that enters at one time merges at once; a merge of everything,
    /// at no time, takes no token.
    pub(super) fn enter(&mut self, now_ms: Option<u64>) -> bool {
        let is_open = self.is_open(now_ms);
        if let Some(now_ms) = now_ms.filter(|_| is_open && self.entered_ms != now_ms) {
            let full_ms = self.full_ms.max(now_ms);
            self.full_ms = full_ms.saturating_add(SLOW_LANE_STEADY_MS);
            let all_but_one_ms = (SLOW_LANE_BURST - 1) * SLOW_LANE_STEADY_MS;
            let has_token_ms = self.full_ms.saturating_sub(all_but_one_ms);
            self.opens_ms = now_ms.saturating_add(SLOW_LANE_MS).max(has_token_ms);
            self.entered_ms = Some(now_ms);
        }
        is_open
    }
}
