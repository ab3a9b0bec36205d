//! The log of one market: its actions in total order, its engine, and what was executed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::chunks::Chunks;
use crate::confirmation::OrderPair;
use crate::dag::Dag;
use crate::effect_log::{Trace, TraceKind};
use crate::history::History;
use crate::market_terms::{MarketTerms, NewTerms, StagedTerms};
use crate::matching::{Effect, Engine, Slot};
use crate::order_log::Position;
use crate::types::{Lots, OrderId, Side, Ticks};

mod entry;
mod lanes;

pub(crate) use self::entry::{Deed, LogEntry, merge_sorted};
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

/// An order that a cancel or a replace addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressed {
    /// That of this seat.
    Known(Slot),
    /// One of which nothing was known then: its id has this number in [`MarketLog::strangers`].
    Stranger(u32),
}

/// How a replace changes an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alteration {
    pub(crate) order: Addressed,
    pub(crate) side: Side,
    pub(crate) price: Option<Ticks>,
    pub(crate) quantity: Lots,
}

/// One market: its log and what follows from it.
pub(crate) struct MarketLog<E> {
    pub(crate) engine: E,
    /// Sorted by key, all executed.
    pub(crate) log: History<LogEntry>,
    /// The traces of the whole log, in order.
    pub(crate) traces: History<Trace>,
    /// What the replaces of the log change; in no order.
    pub(crate) alterations: Chunks<Alteration>,
    /// Orders that were cancelled or replaced before they were known; in no order.
    pub(crate) strangers: Chunks<OrderId>,
    /// Staged, but for what waits in a lane.
    incoming: Vec<LogEntry>,
    /// Where in `incoming` actions have orders of their own: their seats only grow.
    incoming_orders: Vec<u32>,
    /// What was signed about its orders.
    pub(crate) terms: MarketTerms,
    /// What replaced an order that expires.
    pub(crate) successors: BTreeMap<Slot, Slot>,
    /// What the engine has done and the seats do not show yet.
    pub(crate) effects: Vec<Effect>,
    pub(crate) lanes: Lanes,
    bucket_ms: u32,
}

impl<E> MarketLog<E> {
    /// An empty log around an engine, in a network with buckets of this width.
    pub(crate) fn new(engine: E, bucket_ms: u32) -> Self {
        Self {
            bucket_ms,
            engine,
            log: History::new(),
            traces: History::new(),
            alterations: Chunks::new(),
            strangers: Chunks::new(),
            incoming: Vec::new(),
            incoming_orders: Vec::new(),
            terms: MarketTerms::new(),
            successors: BTreeMap::new(),
            effects: Vec::new(),
            lanes: Lanes::default(),
        }
    }

    /// The number that the next trace will have.
    pub(crate) fn next_trace(&self) -> u32 {
        u32::try_from(self.traces.len()).expect("2^32 traces are 80 GiB")
    }

    /// Addresses an order that has this seat, if anything is known of it.
    pub(crate) fn address(&mut self, order: OrderId, seat: Option<Slot>) -> Addressed {
        if let Some(seat) = seat {
            return Addressed::Known(seat);
        }
        let number = u32::try_from(self.strangers.len()).expect("2^32 ids are 128 GiB");
        self.strangers.push(order);
        Addressed::Stranger(number)
    }

    /// The deed of changing an order.
    pub(crate) fn replace(&mut self, alteration: Alteration) -> Deed {
        let number = u32::try_from(self.alterations.len()).expect("2^32 of them are 160 GiB");
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
        let entries = (from..self.log.len()).map(|at| (at, self.log.at(at)));
        let mut there = entries.take_while(|(_, entry)| entry.position() == position);
        there.find_map(|(at, entry)| (entry.own == own).then_some(at))
    }

    /// So many actions are going to be staged.
    pub(crate) fn reserve(&mut self, actions: usize) {
        self.incoming.reserve(actions);
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
    pub(crate) fn traces_of(&self, at: usize) -> impl Iterator<Item = Trace> {
        let next = self.log.get(at + 1);
        let end = next.map_or(self.traces.len(), |next| next.traces_from as usize);
        (self.log.at(at).traces_from as usize..end).map(|number| *self.traces.at(number))
    }

    /// The place of the action that did the thing with this number.
    pub(crate) fn action_of_trace(&self, number: usize) -> usize {
        let from = |entry: &LogEntry| entry.traces_from as usize;
        let behind = self.log.partition_point(|entry| from(entry) <= number);
        behind.checked_sub(1).expect("an action did it")
    }

    /// What the order of the action at `at` took, in order.
    pub(crate) fn fills_of(&self, at: usize) -> impl Iterator<Item = Trace> {
        let traces = self.traces_of(at);
        traces.filter(|trace| trace.kind == TraceKind::Fill)
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
    pub(crate) fn stage_terms(&mut self, pair: OrderPair, new: NewTerms) {
        for lane in [Reach::Near, Reach::Far] {
            self.lanes.terms_mut(lane).remove(&pair);
        }
        self.terms.incoming.insert(pair, new);
    }

    /// Whether terms of a pair wait to be respected.
    pub(crate) fn has_staged_terms(&self, pair: &OrderPair) -> bool {
        self.terms.incoming.contains_key(pair) || self.lanes.has_terms(pair)
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
            reached.is_some_and(|reached| entry.is_before(&reached, operations))
        };
        let buckets = FAST_LANE_MS / u64::from(self.bucket_ms);
        let last = self.log.last().map_or(0, |last| last.bucket());
        let is_old = entry.bucket() + buckets < last;
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
        let history = self.log.memory_bytes() + self.traces.memory_bytes();
        history + self.terms.memory_bytes() + addressed + passing
    }
}
