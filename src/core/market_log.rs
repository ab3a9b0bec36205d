//! The log of one market: its actions in total order, its engine, and what was executed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::chunks::Chunks;
use crate::confirmation::{OrderPair, PairTerms};
use crate::dag::{Dag, OpIndex};
use crate::effect_log::Trace;
use crate::market_terms::{MarketTerms, StagedTerms};
use crate::matching::{Effect, Engine, Mark, Owner, Slot};
use crate::order_log::{Class, LogKey, Position};
use crate::types::{Lots, OpId, OrderId, Side, Ticks};

mod lanes;

use self::lanes::Lanes;
pub(crate) use self::lanes::Reach;
pub use self::lanes::{SLOW_LANE_MS, UNDONE_PER_MS};

/// An insertion that goes back over more actions than this goes through the slow lane.
pub const FAST_LANE_ACTIONS: usize = 50_000;

/// So does one that goes back further than this before the end of the log, in milliseconds. A
/// guess: what is later than that did not come by the delays of a network alone, so it does not
/// matter if it waits, and mostly more of its kind is under way.
pub const FAST_LANE_MS: u64 = 2_000;

/// What goes back over no more actions than this never waits. A guess: fewer than a tick brings
/// under load.
pub const ALWAYS_FAST_ACTIONS: usize = 256;

/// What an entry of the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Places the entry's own order.
    Place,
    /// Cancels the order of this seat.
    Cancel(Slot),
    /// Cancels an order of an operation that was not known when this one came: its id has this
    /// number in [`MarketLog::strangers`].
    CancelStranger(u32),
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
    /// Whether what it does depends on what the orders are by then.
    pub(crate) fn depends_on_orders(self) -> bool {
        match self {
            Self::Replace(_) | Self::Expire(_) | Self::Lapse(_) | Self::Expel(_) => true,
            Self::Place | Self::Cancel(_) | Self::CancelStranger(_) => false,
            Self::Withdraw(_) | Self::Readmit => false,
        }
    }
}

/// How a replace changes an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alteration {
    pub(crate) order: OrderId,
    pub(crate) side: Side,
    pub(crate) price: Option<Ticks>,
    pub(crate) quantity: Lots,
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

/// One market: its log and what follows from it.
pub(crate) struct MarketLog<E> {
    pub(crate) engine: E,
    /// Sorted by key, all executed.
    pub(crate) log: Chunks<LogEntry>,
    /// The traces of the whole log, in order.
    pub(crate) traces: Chunks<Trace>,
    /// What the replaces of the log change; in no order.
    pub(crate) alterations: Chunks<Alteration>,
    /// Orders that were cancelled before they were known; in no order.
    pub(crate) strangers: Chunks<OrderId>,
    /// Staged, but for what waits in a lane.
    incoming: Vec<LogEntry>,
    /// Where in `incoming` actions have orders of their own: their seats only grow.
    incoming_orders: Vec<u32>,
    /// What was signed about its orders.
    pub(crate) terms: MarketTerms,
    /// The seats of each author's orders, in the order of arrival.
    pub(crate) seats_of: BTreeMap<Owner, Vec<Slot>>,
    /// What replaced an order that expires.
    pub(crate) successors: BTreeMap<Slot, Slot>,
    /// What the engine has done and the seats do not show yet.
    pub(crate) effects: Vec<Effect>,
    pub(crate) lanes: Lanes,
    bucket_ms: u32,
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

impl<E> MarketLog<E> {
    /// An empty log around an engine, in a network with buckets of this width.
    pub(crate) fn new(engine: E, bucket_ms: u32) -> Self {
        Self {
            bucket_ms,
            engine,
            log: Chunks::new(),
            traces: Chunks::new(),
            alterations: Chunks::new(),
            strangers: Chunks::new(),
            incoming: Vec::new(),
            incoming_orders: Vec::new(),
            terms: MarketTerms::new(),
            seats_of: BTreeMap::new(),
            successors: BTreeMap::new(),
            effects: Vec::new(),
            lanes: Lanes::default(),
        }
    }

    /// The number that the next trace will have.
    pub(crate) fn next_trace(&self) -> u32 {
        u32::try_from(self.traces.len()).expect("2^32 traces are 80 GiB")
    }

    /// The deed of cancelling an order of which nothing is known.
    pub(crate) fn cancel_stranger(&mut self, order: OrderId) -> Deed {
        let number = u32::try_from(self.strangers.len()).expect("2^32 ids are 128 GiB");
        self.strangers.push(order);
        Deed::CancelStranger(number)
    }

    /// The deed of changing an order.
    pub(crate) fn replace(&mut self, alteration: Alteration) -> Deed {
        let number = u32::try_from(self.alterations.len()).expect("2^32 of them are 256 GiB");
        self.alterations.push(alteration);
        Deed::Replace(number)
    }

    /// When what waits in a lane is due, if anything does.
    pub(crate) fn next_merge_ms(&self) -> Option<u64> {
        self.lanes.next_merge_ms()
    }

    /// Whether a merge has anything to do: at this time, or of all that was staged.
    pub(crate) fn has_due(&self, now_ms: Option<u64>) -> bool {
        let has_new = !self.incoming.is_empty() || !self.terms.incoming.is_empty();
        has_new || self.lanes.has_due(now_ms)
    }

    /// The place in the log of the action that makes an order, at this position. Few others have
    /// the same.
    pub(crate) fn place_of(&self, own: Slot, position: Position) -> Option<usize> {
        let from = self
            .log
            .partition_point(|entry| entry.position() < position);
        let is_there = |at: &usize| self.log[*at].position() == position;
        let mut places = (from..self.log.len()).take_while(is_there);
        places.find(|at| self.log[*at].own == own)
    }

    /// Takes in an action that has no effect before the next merge.
    pub(crate) fn stage(&mut self, entry: LogEntry) {
        if entry.own != Slot::NONE {
            let at = u32::try_from(self.incoming.len()).expect("far fewer than 2^32 wait");
            self.incoming_orders.push(at);
        }
        self.incoming.push(entry);
    }

    /// How many actions and terms of pairs were staged and not yet looked at.
    pub(crate) fn staged_count(&self) -> usize {
        self.incoming.len() + self.terms.incoming.len()
    }

    /// The action that makes an order, if it waits to be merged.
    pub(crate) fn waiting(&self, own: Slot) -> Option<&LogEntry> {
        let entry = |at: &u32| &self.incoming[*at as usize];
        let orders = &self.incoming_orders;
        let at = orders.partition_point(|at| entry(at).own < own);
        let staged = orders.get(at).map(entry).filter(|entry| entry.own == own);
        staged.or_else(|| self.lanes.find(own).map(|(entry, _)| entry))
    }

    /// The traces of the action at `at`.
    pub(crate) fn traces_of(&self, at: usize) -> impl Iterator<Item = &Trace> {
        let next = self.log.get(at + 1);
        let end = next.map_or(self.traces.len(), |next| next.traces_from as usize);
        (self.log[at].traces_from as usize..end).map(|number| &self.traces[number])
    }

    /// Takes out what may be merged at a time, or everything; sorted.
    pub(crate) fn take_entries(&mut self, operations: &Dag, now_ms: Option<u64>) -> Vec<LogEntry> {
        let mut due = core::mem::take(&mut self.incoming);
        self.incoming_orders.clear();
        self.lanes.take_entries(now_ms, &mut due);
        due.sort_unstable_by(|first, second| first.order(second, operations));
        for lane in [Reach::Far, Reach::Near] {
            // Sorted, what goes back furthest comes first.
            let count = due.partition_point(|entry| self.reach(entry, operations) == lane);
            if count > 0 && self.lanes.enter(lane, now_ms) {
                return due;
            }
            let rest = due.split_off(count);
            self.lanes.entries_mut(lane).append(&mut due);
            due = rest;
        }
        due
    }

    /// Takes out the terms that may be respected at a time, or all of them.
    pub(crate) fn take_terms(&mut self, now_ms: Option<u64>) -> StagedTerms {
        let mut due = core::mem::take(&mut self.terms.incoming);
        self.lanes.take_terms(now_ms, &mut due);
        due
    }

    /// Notes new terms of a pair, which make those that it had before void.
    pub(crate) fn stage_terms(&mut self, pair: OrderPair, terms: PairTerms, cause: OpId) {
        for lane in [Reach::Near, Reach::Far] {
            self.lanes.terms_mut(lane).remove(&pair);
        }
        self.terms.incoming.insert(pair, (terms, cause));
    }

    /// How far back an action goes.
    pub(crate) fn reach(&self, entry: &LogEntry, operations: &Dag) -> Reach {
        match self.log.last() {
            Some(last) if !last.is_before(entry, operations) => {
                if self.is_deep(entry, operations) {
                    Reach::Far
                } else {
                    Reach::Near
                }
            }
            _ => Reach::End,
        }
    }

    /// Whether a place lies further back than the fast lane goes.
    fn is_deep(&self, entry: &LogEntry, operations: &Dag) -> bool {
        let lies_behind = |actions: usize| {
            let at = self.log.len().checked_sub(actions);
            let reached = at.and_then(|at| self.log.get(at.min(self.log.len() - 1)));
            reached.is_some_and(|reached| entry.is_before(reached, operations))
        };
        let buckets = FAST_LANE_MS / u64::from(self.bucket_ms);
        let last = self.log.last().map_or(0, |last| last.bucket);
        let is_old = entry.bucket + buckets < last;
        (is_old && lies_behind(ALWAYS_FAST_ACTIONS)) || lies_behind(FAST_LANE_ACTIONS)
    }

    /// How many bytes of memory it takes, about. Of the engine only what grows with the log counts.
    pub(crate) fn memory_bytes(&self) -> usize
    where
        E: Engine,
    {
        let entries = self.incoming.capacity() + self.lanes.capacity();
        let numbers = self.incoming_orders.capacity() * size_of::<u32>();
        let passing = entries * size_of::<LogEntry>()
            + numbers
            + self.effects.capacity() * size_of::<Effect>()
            + self.engine.undo_memory_bytes();
        let addressed = self.alterations.memory_bytes() + self.strangers.memory_bytes();
        self.log.memory_bytes() + self.traces.memory_bytes() + addressed + passing
    }
}

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
    use super::*;

    #[test]
    fn an_entry_is_less_than_a_cache_line() {
        assert_eq!(size_of::<LogEntry>(), 48);
    }
}
