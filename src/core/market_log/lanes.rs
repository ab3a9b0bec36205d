//! What waits for a later merge, and when that may be.
//!
//! What belongs at the end of the log is merged at once. Everything else takes back and does again
//! all behind its place, so it is merged together with others:
//!
//! - the *fast lane* is for what goes back a little. It is mostly open;
//! - the *slow lane* is for what goes back far. It is open now and then.
//!
//! After a merge that took much back both are closed in proportion, so that merging takes up a
//! bounded part of the time. Without that a node that falls behind would get its peers' operations
//! later, so go back further, and fall behind more.
//!
//! All times are monotonic, in milliseconds. A merge at no time merges everything, and no lane
//! counts it.

use alloc::vec::Vec;

use super::LogEntry;
use crate::confirmation::OrderPair;
use crate::market_terms::StagedTerms;
use crate::matching::Slot;

/// For so many actions that a merge took back the lanes are closed a millisecond. An action costs
/// some 3 microseconds, there and back, so merges take up at most about a quarter of the time
/// (measured).
pub const UNDONE_PER_MS: u64 = 100;

/// The slow lane merges at most once in this time, in milliseconds. So authors who keep sending
/// what belongs far back cost everyone a bounded share of the time, and a refusal, which mostly
/// reaches far back and may lead to the next, still shows soon.
pub const SLOW_LANE_MS: u64 = 1_000;

/// How far back something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing is taken back.
    End,
    /// It takes the fast lane.
    Near,
    /// It takes the slow lane.
    Far,
}

/// What waits in a lane.
#[derive(Default)]
struct Waiting {
    entries: Vec<LogEntry>,
    terms: StagedTerms,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.terms.is_empty()
    }
}

/// Both lanes.
#[derive(Default)]
pub(crate) struct Lanes {
    near: Waiting,
    far: Waiting,
    fast: FastLane,
    slow: SlowLane,
}

impl Lanes {
    /// Whether something waits that may be merged at a time.
    pub(super) fn has_due(&self, now_ms: Option<u64>) -> bool {
        (!self.near.is_empty() && self.fast.is_open(now_ms))
            || (!self.far.is_empty() && self.slow.is_open(now_ms))
    }

    /// When the next of what waits is due, if anything does.
    pub(super) fn next_merge_ms(&self) -> Option<u64> {
        let near_ms = (!self.near.is_empty()).then_some(self.fast.opens_ms);
        let far_ms = (!self.far.is_empty()).then_some(self.slow.opens_ms);
        near_ms.into_iter().chain(far_ms).min()
    }

    /// Whether what goes back so far may be merged at a time. If so, the lane counts it.
    pub(crate) fn enter(&mut self, reach: Reach, now_ms: Option<u64>) -> bool {
        match reach {
            Reach::End => true,
            Reach::Near => self.fast.is_open(now_ms),
            Reach::Far => self.slow.enter(now_ms),
        }
    }

    /// A merge has taken so many actions back.
    pub(crate) fn note_undone(&mut self, actions: usize, now_ms: Option<u64>) {
        if let Some(now_ms) = now_ms {
            let opens_ms = now_ms.saturating_add(actions as u64 / UNDONE_PER_MS);
            self.fast.opens_ms = self.fast.opens_ms.max(opens_ms);
            self.slow.opens_ms = self.slow.opens_ms.max(opens_ms);
        }
    }

    /// Takes out the actions whose lanes are open at a time.
    pub(super) fn take_entries(&mut self, now_ms: Option<u64>, due: &mut Vec<LogEntry>) {
        self.open(now_ms)
            .for_each(|waiting| due.append(&mut waiting.entries));
    }

    /// Takes out the terms whose lanes are open at a time.
    pub(super) fn take_terms(&mut self, now_ms: Option<u64>, due: &mut StagedTerms) {
        self.open(now_ms)
            .for_each(|waiting| due.append(&mut waiting.terms));
    }

    /// What waits in lanes that are open at a time.
    fn open(&mut self, now_ms: Option<u64>) -> impl Iterator<Item = &mut Waiting> {
        let near = self.fast.is_open(now_ms).then_some(&mut self.near);
        let far = self.slow.is_open(now_ms).then_some(&mut self.far);
        near.into_iter().chain(far)
    }

    /// The actions that wait in a lane.
    pub(super) fn entries_mut(&mut self, reach: Reach) -> &mut Vec<LogEntry> {
        &mut self.waiting_mut(reach).entries
    }

    /// The terms that wait in a lane.
    pub(crate) fn terms_mut(&mut self, reach: Reach) -> &mut StagedTerms {
        &mut self.waiting_mut(reach).terms
    }

    fn waiting_mut(&mut self, reach: Reach) -> &mut Waiting {
        match reach {
            Reach::End | Reach::Near => &mut self.near,
            Reach::Far => &mut self.far,
        }
    }

    /// The action that makes an order, if it waits, and in which lane.
    pub(crate) fn find(&self, own: Slot) -> Option<(&LogEntry, Reach)> {
        let lanes = [(&self.near, Reach::Near), (&self.far, Reach::Far)];
        lanes.into_iter().find_map(|(waiting, reach)| {
            let mut entries = waiting.entries.iter();
            let found = entries.find(|entry| entry.own == own);
            found.map(|entry| (entry, reach))
        })
    }

    /// Whether terms of a pair wait.
    pub(super) fn has_terms(&self, pair: &OrderPair) -> bool {
        let lanes = [&self.near, &self.far];
        lanes.iter().any(|waiting| waiting.terms.contains_key(pair))
    }

    /// How many actions there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.near.entries.capacity() + self.far.entries.capacity()
    }
}

/// See the [module](self).
#[derive(Default)]
struct FastLane {
    opens_ms: u64,
}

impl FastLane {
    fn is_open(&self, now_ms: Option<u64>) -> bool {
        now_ms.is_none_or(|now_ms| now_ms >= self.opens_ms)
    }
}

/// See the [module](self). All that enters at one time merges at once.
#[derive(Default)]
struct SlowLane {
    /// The last time at which it was entered.
    entered_ms: Option<u64>,
    opens_ms: u64,
}

impl SlowLane {
    fn is_open(&self, now_ms: Option<u64>) -> bool {
        now_ms.is_none_or(|now_ms| now_ms >= self.opens_ms || self.entered_ms == Some(now_ms))
    }

    /// Merges now, if it is open.
    fn enter(&mut self, now_ms: Option<u64>) -> bool {
        let is_open = self.is_open(now_ms);
        if let Some(now_ms) = now_ms.filter(|_| is_open && self.entered_ms != now_ms) {
            self.opens_ms = now_ms.saturating_add(SLOW_LANE_MS);
            self.entered_ms = Some(now_ms);
        }
        is_open
    }
}
