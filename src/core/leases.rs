//! Leases: for how long the orders of an author rest without a word from him.
//!
//! An author's resting orders lapse when no operation of his, of any branch, has a time in the
//! `lease_ms` behind one of his operations. That is a property of the set of his operations: each
//! *gap* between two of them in time that is longer than a lease, and the open one behind the
//! last, makes his orders lapse a lease after its beginning. Late operations close gaps again.
//!
//! The times of operations need not be kept for that, only the gaps.

use alloc::vec::Vec;

use crate::dag::OpIndex;

/// A stretch of time without operations of an author, longer than a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The time of the operation before it, in Unix milliseconds.
    from_ms: u64,
    /// That operation.
    pub(crate) after: OpIndex,
    /// The time of the operation behind it; none yet behind the last one.
    to_ms: Option<u64>,
}

/// The gaps of one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    lease_ms: u64,
    first_ms: u64,
    /// Sorted by time. The last one is open, however short it is so far.
    gaps: Vec<Gap>,
}

/// Whether an operation changed when an author's orders lapse, beside the open end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// All gaps are where they were, but the open one may begin later.
    Same,
    /// One was added, split or closed.
    Changed,
}

impl Lease {
    /// The lease of an author with one operation.
    pub(crate) fn new(lease_ms: u64, time_ms: u64, operation: OpIndex) -> Self {
        let open = Gap {
            from_ms: time_ms,
            after: operation,
            to_ms: None,
        };
        Self {
            lease_ms,
            first_ms: time_ms,
            gaps: alloc::vec![open],
        }
    }

    /// Takes an operation of the author in.
    pub(crate) fn insert(&mut self, time_ms: u64, operation: OpIndex) -> Gaps {
        if time_ms < self.first_ms {
            return self.insert_first(time_ms, operation);
        }
        let behind = self.gaps.partition_point(|gap| gap.from_ms < time_ms);
        let Some(at) = behind.checked_sub(1) else {
            return Gaps::Same;
        };
        let gap = self.gaps[at];
        if gap.to_ms.is_some_and(|to_ms| to_ms <= time_ms) {
            return Gaps::Same;
        }
        let left = Gap {
            to_ms: Some(time_ms),
            ..gap
        };
        let right = Gap {
            from_ms: time_ms,
            after: operation,
            ..gap
        };
        let parts = [left, right].into_iter().filter(|gap| self.is_long(gap));
        let parts: Vec<Gap> = parts.collect();
        let is_same = gap.to_ms.is_none() && parts.len() == 1;
        self.gaps.splice(at..=at, parts);
        if is_same { Gaps::Same } else { Gaps::Changed }
    }

    /// Takes an operation in that is earlier than all others.
    fn insert_first(&mut self, time_ms: u64, operation: OpIndex) -> Gaps {
        let gap = Gap {
            from_ms: time_ms,
            after: operation,
            to_ms: Some(self.first_ms),
        };
        self.first_ms = time_ms;
        if self.is_long(&gap) {
            self.gaps.insert(0, gap);
            Gaps::Changed
        } else {
            Gaps::Same
        }
    }

    /// Whether a gap is longer than a lease, or may become so.
    fn is_long(&self, gap: &Gap) -> bool {
        let to_ms = gap.to_ms;
        to_ms.is_none_or(|to_ms| to_ms > self.lapse_ms(gap))
    }

    fn lapse_ms(&self, gap: &Gap) -> u64 {
        gap.from_ms.saturating_add(self.lease_ms)
    }

    /// When the author's orders lapse, in Unix milliseconds, each time with the operation before.
    /// The last time has not come yet if the author writes before it.
    pub(crate) fn lapses(&self) -> impl Iterator<Item = (u64, OpIndex)> + '_ {
        self.gaps.iter().map(|gap| (self.lapse_ms(gap), gap.after))
    }

    /// When they lapse if the author writes nothing more.
    pub(crate) fn next_lapse_ms(&self) -> u64 {
        let open = self.gaps.last().expect("there is always an open gap");
        self.lapse_ms(open)
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
            let mut lease = Lease::new(10, times[0], place);
            for (count, time) in times.iter().enumerate().skip(1) {
                let before: Vec<u64> = lease.lapses().map(|(at, _)| at).collect();
                let gaps = lease.insert(*time, place);
                let lapses: Vec<u64> = lease.lapses().map(|(at, _)| at).collect();
                prop_assert_eq!(&lapses, &by_definition(&times[..=count], 10));
                if gaps == Gaps::Same {
                    let last = before.len() - 1;
                    prop_assert_eq!(&before[..last], &lapses[..lapses.len() - 1]);
                }
            }
        }
    }
}
