//! What was heard of authors, and which answers are awaited of them.

use alloc::vec::Vec;

use super::ledger::PairNumber;
use crate::types::MarketIndex;

/// Until when a half can be answered, and the pair that it is of.
pub(super) type Awaited = (u64, MarketIndex, PairNumber);

/// What was heard of an author, and is awaited of him.
pub(super) struct Heard {
    /// The latest time of his operations, in Unix milliseconds.
    pub(super) latest_ms: u64,
    /// No half awaits his answer until an earlier time. Every operation asks, and what is awaited
    /// is seldom in the caches.
    pub(super) awaited_ms: u64,
    /// Halves that an operation of his dated later gives back; what is answered first comes first.
    pub(super) awaited: Vec<Awaited>,
}

impl Heard {
    /// Nothing yet.
    pub(super) fn nothing() -> Self {
        Self {
            latest_ms: 0,
            awaited_ms: u64::MAX,
            awaited: Vec::new(),
        }
    }

    /// A half awaits an answer. Mostly it is the newest.
    pub(super) fn wait(&mut self, half: Awaited) {
        let at = self
            .awaited
            .partition_point(|(until_ms, ..)| *until_ms <= half.0);
        self.awaited.insert(at, half);
        self.awaited_ms = self.awaited_ms.min(half.0);
    }

    /// The pairs of those that could be answered only before this time. What there is no half for
    /// takes no memory: most authors are awaited now and then.
    pub(super) fn give_back(
        &mut self,
        time_ms: u64,
    ) -> impl Iterator<Item = (MarketIndex, PairNumber)> {
        let over = self
            .awaited
            .partition_point(|(until_ms, ..)| *until_ms < time_ms);
        let rest = self.awaited.split_off(over);
        self.awaited_ms = rest.first().map_or(u64::MAX, |(until_ms, ..)| *until_ms);
        let over = core::mem::replace(&mut self.awaited, rest);
        over.into_iter().map(|(_, market, pair)| (market, pair))
    }
}
