//! The pairs of orders that a node's settlement looks at, and when.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::types::{MarketIndex, Now, OrderId, Ticks};

/// Most pairs of an own order and another that are watched; further ones are left to the other
/// owner, whose node refuses them when no answer comes. A guess: some 20 MB.
const WATCHED_MAX: usize = 65_536;

/// An own order and another one that it meets, or that someone says it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) market: MarketIndex,
    /// Since when this node has known of the pair.
    pub(super) first_shown_ms: u64,
    /// The piece and price of the trade that is shown, if one is.
    pub(super) shown: Option<(u32, Ticks)>,
    /// Since when just that is shown, or nothing.
    pub(super) since_ms: u64,
    /// When to look at it again, on the monotonic clock; not without news if it is `None`.
    due_ms: Option<u64>,
}

/// An own order, then another one.
pub(super) type Pair = (OrderId, OrderId);

/// Pairs that are watched, and which of them are due.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) pairs: BTreeMap<Pair, Watch>,
    /// Those with a time, by it: what is due is found without a look at all others.
    due: BTreeSet<(u64, Pair)>,
}

impl Watched {
    /// There is news of a pair, which is watched from now on if there is room.
    pub(super) fn note(&mut self, now: Now, market: MarketIndex, pair: Pair) {
        if self.pairs.len() < WATCHED_MAX || self.pairs.contains_key(&pair) {
            self.pairs.entry(pair).or_insert(Watch {
                market,
                first_shown_ms: now.monotonic_ms,
                shown: None,
                since_ms: now.monotonic_ms,
                due_ms: None,
            });
            self.look_at(now, pair);
        }
    }

    /// A pair is to be looked at now, or stays due if it is.
    pub(super) fn look_at(&mut self, now: Now, pair: Pair) {
        let due_ms = self.pairs.get(&pair).and_then(|watch| watch.due_ms);
        let due_ms = due_ms.map_or(now.monotonic_ms, |at_ms| at_ms.min(now.monotonic_ms));
        self.set_due(pair, Some(due_ms));
    }

    /// Sets when to look at a pair again.
    pub(super) fn set_due(&mut self, pair: Pair, due_ms: Option<u64>) {
        if let Some(watch) = self.pairs.get_mut(&pair) {
            let before = core::mem::replace(&mut watch.due_ms, due_ms);
            if before != due_ms {
                before.map(|at_ms| self.due.remove(&(at_ms, pair)));
                self.due.extend(due_ms.map(|at_ms| (at_ms, pair)));
            }
        }
    }

    /// A pair needs no attention any more.
    pub(super) fn forget(&mut self, pair: &Pair) {
        self.set_due(*pair, None);
        self.pairs.remove(pair);
    }

    /// The pairs that are due, those that have waited longest first.
    pub(super) fn due(&self, now: Now) -> impl Iterator<Item = Pair> {
        let due = self.due.iter();
        let due = due.take_while(move |(at_ms, _)| *at_ms <= now.monotonic_ms);
        due.map(|(_, pair)| *pair)
    }

    /// How many pairs are due, counted up to `most`.
    pub(super) fn due_count(&self, now: Now, most: usize) -> usize {
        self.due(now).take(most).count()
    }

    /// When the next pair is due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(ms: u64) -> Now {
        Now {
            unix_ms: ms,
            monotonic_ms: ms,
        }
    }

    fn pair(number: u8) -> Pair {
        (OrderId([number; 32]), OrderId([0; 32]))
    }

    #[test]
    fn what_waits_longest_is_looked_at_first_and_news_does_not_put_it_off() {
        let mut watched = Watched::default();
        watched.note(at(2), MarketIndex(0), pair(1));
        watched.note(at(1), MarketIndex(0), pair(2));
        watched.note(at(3), MarketIndex(0), pair(2));
        let due = |watched: &Watched, ms| watched.due(at(ms)).collect::<Vec<_>>();
        assert_eq!(due(&watched, 3), [pair(2), pair(1)]);
        assert_eq!(
            [0, 1, 9].map(|most| watched.due_count(at(3), most)),
            [0, 1, 2]
        );
        assert_eq!(watched.due_count(at(1), 9), 1);
        assert_eq!(watched.next_due_ms(), Some(1));
        watched.set_due(pair(2), Some(9));
        assert_eq!(due(&watched, 3), [pair(1)]);
        watched.forget(&pair(1));
        assert_eq!(watched.next_due_ms(), Some(9));
        watched.set_due(pair(2), None);
        assert_eq!(watched.next_due_ms(), None);
        watched.look_at(at(5), pair(2));
        watched.look_at(at(5), pair(1));
        assert_eq!(due(&watched, 5), [pair(2)], "others are not watched");
    }
}
