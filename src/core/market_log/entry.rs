//! The entries of a market's log: actions, and what happens at the end of a bucket.
//!
//! An entry knows its place in the total order and what it does. It stands in the log in 48 bytes,
//! and as a row of numbers once it is past.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Addressed;
use crate::dag::{Dag, OpIndex};
use crate::history::Settling;
use crate::matching::{Mark, Owner, Slot};
use crate::order_log::{Class, LogKey, Position};
use crate::packed::Row;

/// What an entry of the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Places the entry's own order.
    Place,
    /// Cancels this order.
    Cancel(Addressed),
    /// Changes an order: how has this number in [`MarketLog::alterations`].
    Replace(u32),
    /// The time of the order of this seat, or of what replaced it, is over.
    Expire(Slot),
    /// The orders of this author lapse.
    Lapse(Owner),
    /// The lapse of this author at this place is none after all. Never in the log.
    Withdraw(Owner),
    /// The orders of this author end, for he is expelled.
    Expel(Owner),
    /// Nothing by itself: from here on what an author places counts again.
    Readmit,
}

impl Deed {
    /// What it does and to what, in numbers; those that name nothing have none.
    fn numbers(self) -> (u64, Option<u32>) {
        match self {
            Self::Place => (0, None),
            Self::Cancel(Addressed::Known(Slot(order))) => (1, Some(order)),
            Self::Cancel(Addressed::Stranger(number)) => (2, Some(number)),
            Self::Replace(number) => (3, Some(number)),
            Self::Expire(Slot(order)) => (4, Some(order)),
            Self::Lapse(Owner(author)) => (5, Some(author)),
            Self::Withdraw(Owner(author)) => (6, Some(author)),
            Self::Expel(Owner(author)) => (7, Some(author)),
            Self::Readmit => (8, None),
        }
    }

    /// The deed of such numbers.
    fn of(kind: u64, number: u32) -> Self {
        match kind {
            0 => Self::Place,
            1 => Self::Cancel(Addressed::Known(Slot(number))),
            2 => Self::Cancel(Addressed::Stranger(number)),
            3 => Self::Replace(number),
            4 => Self::Expire(Slot(number)),
            5 => Self::Lapse(Owner(number)),
            6 => Self::Withdraw(Owner(number)),
            7 => Self::Expel(Owner(number)),
            8 => Self::Readmit,
            _ => unreachable!("there are no more deeds"),
        }
    }

    /// Whether what it does depends on what the orders are by then.
    pub(crate) fn depends_on_orders(self) -> bool {
        match self {
            Self::Replace(_) | Self::Expire(_) | Self::Lapse(_) | Self::Expel(_) => true,
            Self::Place | Self::Cancel(_) | Self::Withdraw(_) | Self::Readmit => false,
        }
    }
}

/// An action at its place in the log of a market.
///
/// Of its key it holds what is not known by its operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEntry {
    bucket: u64,
    draw: u64,
    depth: u32,
    pub(crate) operation: OpIndex,
    mark: u32,
    /// Where this action's traces begin.
    pub(crate) traces_from: u32,
    /// The seat reserved for the order that this action makes, or nobody's if it makes none.
    pub(crate) own: Slot,
    pub(crate) deed: Deed,
    class: Class,
    index: u8,
}

impl LogEntry {
    /// An entry that was not executed yet.
    pub(crate) fn new(key: &LogKey, operation: OpIndex, own: Slot, deed: Deed) -> Self {
        Self {
            bucket: key.position.bucket,
            draw: key.draw,
            depth: key.position.depth,
            operation,
            mark: 0,
            traces_from: 0,
            own,
            deed,
            class: key.class,
            index: key.index,
        }
    }

    /// What happens at the end of a bucket by an action of this operation or its absence. It
    /// stands behind all actions of the bucket, and a withdrawal just before what it withdraws.
    /// First orders expire, then authors are expelled, then leases end.
    pub(crate) fn end(bucket: u64, (operation, index): (OpIndex, u8), deed: Deed) -> Self {
        let (class, index) = match deed {
            Deed::Withdraw(_) => (Class::Other, 0),
            Deed::Lapse(_) => (Class::Other, 1),
            Deed::Expel(_) | Deed::Readmit => (Class::PostOnly, index),
            _ => (Class::Cancel, index),
        };
        Self {
            bucket,
            draw: 0,
            depth: u32::MAX,
            operation,
            mark: 0,
            traces_from: 0,
            own: Slot::NONE,
            deed,
            class,
            index,
        }
    }

    /// Whether it is a withdrawal, or what that withdraws.
    pub(crate) fn is_withdrawn_by(&self, withdrawal: &Self) -> bool {
        let same = (self.bucket, self.operation) == (withdrawal.bucket, withdrawal.operation);
        same && matches!(self.deed, Deed::Withdraw(_) | Deed::Lapse(_))
    }

    /// The engine before this action.
    pub(crate) fn mark(&self) -> Mark {
        Mark(u64::from(self.mark))
    }

    /// Notes what the engine is like before this action.
    pub(crate) fn set_mark(&mut self, mark: Mark) {
        self.mark = u32::try_from(mark.0).expect("2^32 records of an undo log are 64 GiB");
    }

    /// The bucket of its time.
    pub(crate) fn bucket(&self) -> u64 {
        self.bucket
    }

    /// The position of its operation, or the end of a bucket.
    pub(crate) fn position(&self) -> Position {
        Position {
            bucket: self.bucket,
            depth: self.depth,
        }
    }

    /// Its key in the total order.
    pub(crate) fn key(&self, operations: &Dag) -> LogKey {
        let operation = operations.entry(self.operation);
        LogKey {
            position: self.position(),
            class: self.class,
            draw: self.draw,
            seq: u64::from(operation.seq),
            index: self.index,
            operation: operation.id,
        }
    }

    /// Compares the keys of two entries of a market.
    #[inline]
    pub(crate) fn order(&self, other: &Self, operations: &Dag) -> Ordering {
        let near = |entry: &Self| (entry.bucket, entry.depth, entry.class, entry.draw);
        near(self).cmp(&near(other)).then_with(|| {
            if self.operation == other.operation {
                self.index.cmp(&other.index)
            } else {
                self.key(operations).cmp(&other.key(operations))
            }
        })
    }

    /// Whether it comes before the other.
    pub(crate) fn is_before(&self, other: &Self, operations: &Dag) -> bool {
        self.order(other, operations) == Ordering::Less
    }
}

impl Row for LogEntry {
    type Columns = [u64; 9];

    #[inline]
    fn columns(&self) -> Self::Columns {
        let (kind, number) = self.deed.numbers();
        let Slot(own) = self.own;
        // Most entries name one order, be it their own or the one that they end.
        let named = if own == Slot::NONE.0 {
            number.unwrap_or(own)
        } else {
            own
        };
        let apart = number.unwrap_or(named).wrapping_sub(named);
        let is_own = u64::from(own != Slot::NONE.0);
        let kinds = kind << 3 | (self.class as u64) << 1 | is_own;
        [
            self.bucket,
            self.draw,
            u64::from(self.depth),
            u64::from(self.operation.0),
            u64::from(self.mark),
            u64::from(self.traces_from),
            u64::from(named),
            u64::from(apart),
            kinds << 8 | u64::from(self.index),
        ]
    }

    fn of(columns: &Self::Columns) -> Self {
        let [
            bucket,
            draw,
            depth,
            operation,
            mark,
            traces_from,
            named,
            apart,
            kinds,
        ] = *columns;
        // They were of these widths.
        let (named, apart) = (named as u32, apart as u32);
        let own = if kinds >> 8 & 1 == 1 {
            Slot(named)
        } else {
            Slot::NONE
        };
        Self {
            bucket,
            draw,
            depth: depth as u32,
            operation: OpIndex(operation as u32),
            mark: mark as u32,
            traces_from: traces_from as u32,
            own,
            deed: Deed::of(kinds >> 11, named.wrapping_add(apart)),
            class: Class::ALL[(kinds >> 9 & 3) as usize],
            index: kinds as u8,
        }
    }
}

impl Settling for LogEntry {}

/// Merges two sorted logs.
pub(crate) fn merge_sorted(
    first: Vec<LogEntry>,
    second: Vec<LogEntry>,
    operations: &Dag,
) -> impl Iterator<Item = LogEntry> {
    let mut first = first.into_iter().peekable();
    let mut second = second.into_iter().peekable();
    core::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(left), Some(right)) if left.is_before(right, operations) => first.next(),
        (_, Some(_)) => second.next(),
        (_, None) => first.next(),
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn an_entry_is_less_than_a_cache_line() {
        assert_eq!(size_of::<LogEntry>(), 48);
    }

    #[test]
    fn an_entry_is_the_same_after_it_was_columns() {
        let (order, author) = (Slot(7), Owner(u32::MAX));
        let deeds = [
            Deed::Place,
            Deed::Cancel(Addressed::Known(order)),
            Deed::Cancel(Addressed::Stranger(0)),
            Deed::Replace(u32::MAX),
            Deed::Expire(order),
            Deed::Lapse(author),
            Deed::Withdraw(author),
            Deed::Expel(author),
            Deed::Readmit,
        ];
        for deed in deeds {
            for own in [Slot::NONE, order, Slot(u32::MAX)] {
                for class in Class::ALL {
                    let entry = LogEntry {
                        bucket: 1 << 40,
                        draw: u64::MAX,
                        depth: u32::MAX,
                        operation: OpIndex(3),
                        mark: 4,
                        traces_from: u32::MAX,
                        own,
                        deed,
                        class,
                        index: u8::MAX,
                    };
                    let again = LogEntry::of(&entry.columns());
                    assert_eq!(format!("{again:?}"), format!("{entry:?}"));
                }
            }
        }
    }
}
