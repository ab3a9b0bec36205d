//! Leases: for how long the orders of an author rest without a word from him.
//!
//! An author's resting orders lapse when no operation of his, of any branch, has a time in the
//! `lease_ms` behind one of his operations. That is a property of the set of his operations: each
//! *gap* between two of them in time that is longer than a lease, and the open one behind the
//! last, makes his orders lapse a lease after its beginning. Late operations close gaps again.
//!
//! The times of operations need not be kept for that, only the gaps. With a gap goes the operation
//! before it. Of several with one time, which are of a chain that was forked or of one millisecond,
//! the first in the order of the log is meant, whichever came first.

use alloc::vec::Vec;
use core::ops::Range;

use crate::dag::OpIndex;

/// A stretch of time between two operations of an author, longer than a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    /// The time of the operation before it, in Unix milliseconds.
    from_ms: u64,
    /// The time of the operation behind it.
    to_ms: u64,
    /// The operation before it.
    after: OpIndex,
}

impl Gap {
    fn is_longer_than(&self, lease_ms: u64) -> bool {
        self.to_ms > self.from_ms.saturating_add(lease_ms)
    }
}

/// The gaps of one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    first_ms: u64,
    /// Between operations, sorted by time. Nearly nobody has any.
    gaps: Vec<Gap>,
    /// The time of the last operation, behind which the open gap begins.
    last_ms: u64,
    /// The operation with that time.
    last: OpIndex,
}

/// Whether an operation changed when an author's orders lapse, or by which, beside the open end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// All gaps are where they were, but the open one may begin later.
    Same,
    /// One was added, split or closed.
    Changed,
}

impl Lease {
    /// The lease of an author with one operation.
    pub(crate) fn new(time_ms: u64, operation: OpIndex) -> Self {
        Self {
            first_ms: time_ms,
            gaps: Vec::new(),
            last_ms: time_ms,
            last: operation,
        }
    }

    /// Takes an operation of the author in. `is_before` says which of two with one time is meant.
    pub(crate) fn insert(
        &mut self,
        (time_ms, operation): (u64, OpIndex),
        lease_ms: u64,
        is_before: impl Fn(OpIndex, OpIndex) -> bool,
    ) -> Gaps {
        let count = self.gaps.len();
        if time_ms < self.first_ms {
            let gap = Gap {
                from_ms: time_ms,
                to_ms: self.first_ms,
                after: operation,
            };
            self.first_ms = time_ms;
            self.replace(0..0, [gap], lease_ms);
        } else if time_ms > self.last_ms {
            let gap = Gap {
                from_ms: self.last_ms,
                to_ms: time_ms,
                after: self.last,
            };
            (self.last_ms, self.last) = (time_ms, operation);
            self.replace(count..count, [gap], lease_ms);
        } else if time_ms == self.last_ms {
            if is_before(operation, self.last) {
                self.last = operation;
            }
        } else {
            return self.split((time_ms, operation), lease_ms, is_before);
        }
        if self.gaps.len() == count {
            Gaps::Same
        } else {
            Gaps::Changed
        }
    }

    /// Splits the gap that an operation lies in, if there is one.
    fn split(
        &mut self,
        (time_ms, operation): (u64, OpIndex),
        lease_ms: u64,
        is_before: impl Fn(OpIndex, OpIndex) -> bool,
    ) -> Gaps {
        let behind = self.gaps.partition_point(|gap| gap.from_ms < time_ms);
        if let Some(gap) = self.gaps.get_mut(behind)
            && gap.from_ms == time_ms
        {
            if is_before(operation, gap.after) {
                gap.after = operation;
                return Gaps::Changed;
            }
            return Gaps::Same;
        }
        let Some(at) = behind.checked_sub(1) else {
            return Gaps::Same;
        };
        let gap = self.gaps[at];
        if gap.to_ms <= time_ms {
            return Gaps::Same;
        }
        let left = Gap {
            to_ms: time_ms,
            ..gap
        };
        let right = Gap {
            from_ms: time_ms,
            after: operation,
            ..gap
        };
        self.replace(at..at + 1, [left, right], lease_ms);
        Gaps::Changed
    }

    /// Puts these in the place of others, as far as they are longer than a lease.
    fn replace(&mut self, range: Range<usize>, gaps: impl IntoIterator<Item = Gap>, lease_ms: u64) {
        let gaps = gaps.into_iter();
        let long = gaps.filter(|gap| gap.is_longer_than(lease_ms));
        self.gaps.splice(range, long);
    }

    /// When the author's orders lapse, in Unix milliseconds, each time with the operation before.
    /// The last time has not come yet if the author writes before it.
    pub(crate) fn lapses(&self, lease_ms: u64) -> impl Iterator<Item = (u64, OpIndex)> + '_ {
        let closed = self.gaps.iter().map(|gap| (gap.from_ms, gap.after));
        let all = closed.chain([(self.last_ms, self.last)]);
        all.map(move |(from_ms, after)| (from_ms.saturating_add(lease_ms), after))
    }

    /// When they lapse if the author writes nothing more.
    pub(crate) fn next_lapse_ms(&self, lease_ms: u64) -> u64 {
        self.last_ms.saturating_add(lease_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When orders lapse, by the definition.
    fn by_definition(times: &[u64], lease_ms: u64) -> Vec<u64> {
        let ends = times.iter().filter(|&&time| {
            let renews = |other: &&u64| **other > time && **other <= time + lease_ms;
            !times.iter().any(|other| renews(&other))
        });
        let mut lapses: Vec<u64> = ends.map(|time| time + lease_ms).collect();
        lapses.sort_unstable();
        lapses.dedup();
        lapses
    }

    proptest! {
        #[test]
        fn gaps_say_what_all_times_would_say(times in prop::collection::vec(0_u64..200, 1..40)) {
            let place = OpIndex(0);
            let mut lease = Lease::new(times[0], place);
            for (count, time) in times.iter().enumerate().skip(1) {
                let before: Vec<u64> = lease.lapses(10).map(|(at, _)| at).collect();
                let gaps = lease.insert((*time, place), 10, |_, _| false);
                let lapses: Vec<u64> = lease.lapses(10).map(|(at, _)| at).collect();
                prop_assert_eq!(&lapses, &by_definition(&times[..=count], 10));
                if gaps == Gaps::Same {
                    let last = before.len() - 1;
                    prop_assert_eq!(&before[..last], &lapses[..lapses.len() - 1]);
                }
            }
        }

        #[test]
        fn lapses_are_the_same_in_whatever_order_operations_come(
            times in prop::collection::vec(0_u64..60, 1..20),
            seed in any::<u64>(),
        ) {
            let operations: Vec<(u64, OpIndex)> =
                times.iter().copied().zip((0..).map(OpIndex)).collect();
            let lapses = |operations: &[(u64, OpIndex)]| {
                let (time_ms, operation) = operations[0];
                let mut lease = Lease::new(time_ms, operation);
                for operation in &operations[1..] {
                    lease.insert(*operation, 10, |first, second| first < second);
                }
                lease.lapses(10).collect::<Vec<_>>()
            };
            let mut shuffled = operations.clone();
            shuffled.sort_by_key(|(_, OpIndex(number))| {
                (u64::from(*number) + 1).wrapping_mul(seed | 1).rotate_left(32)
            });
            prop_assert_eq!(lapses(&operations), lapses(&shuffled));
        }
    }
}
