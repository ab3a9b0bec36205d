//! The log of one market: its actions in total order, its engine, and what was executed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::matching::{self, Effect, EndReason, Mark, NewOrder, Owner, Pricing, Replacement, Slot};
use crate::op::Action;
use crate::order_log::LogKey;
use crate::types::{AuthorKey, HybridTime, Lots, OrderId};
use crate::view::OrderRow;

/// An insertion that goes back further than this goes through the slow lane.
pub const FAST_LANE_ACTIONS: usize = 50_000;

/// The slow lane merges at most once in this time, in milliseconds, so that an author who keeps
/// sending old operations costs everyone a bounded share of time.
pub const SLOW_LANE_MS: u64 = 1_000;

/// An action at its place in the log of a market.
pub(crate) struct LogEntry {
    pub(crate) key: LogKey,
    pub(crate) action: Action,
    pub(crate) owner: Owner,
    /// The place reserved for the order that this action makes, if it is one that may make one.
    pub(crate) own_place: Option<Slot>,
    pub(crate) time: HybridTime,
    pub(crate) late_ms: u64,
    /// The engine before this action.
    pub(crate) mark: Mark,
    /// Where this action's effects begin.
    pub(crate) effects_from: usize,
}

/// One market: its log and what follows from it.
pub(crate) struct MarketLog<E> {
    pub(crate) engine: E,
    /// Sorted by key, all executed.
    pub(crate) log: Vec<LogEntry>,
    /// The effects of the whole log, in order.
    pub(crate) effects: Vec<Effect>,
    /// Total quantities before each reduction in `effects`.
    pub(crate) reductions: Vec<Lots>,
    /// Not yet merged.
    pub(crate) incoming: Vec<LogEntry>,
    slow_lane_after_ms: u64,
}

impl LogEntry {
    /// The id of the order that this action places, if it places one.
    pub(crate) fn own_order(&self) -> OrderId {
        OrderId::new(&self.key.operation, self.key.index)
    }

    /// What the engine has to do.
    pub(crate) fn order(&self) -> matching::Action {
        match &self.action {
            Action::Place(place) => matching::Action::Place(NewOrder {
                id: self.own_order(),
                owner: self.owner,
                side: place.side,
                pricing: place.pricing,
                quantity: place.quantity,
                time_in_force: place.time_in_force,
                self_trade: place.self_trade,
            }),
            Action::Cancel { order, .. } => matching::Action::Cancel {
                order: *order,
                by: self.owner,
            },
            Action::Replace {
                order,
                price,
                quantity,
                ..
            } => matching::Action::Replace(Box::new(Replacement {
                order: *order,
                by: self.owner,
                new_id: self.own_order(),
                price: *price,
                quantity: Some(*quantity),
            })),
            Action::Confirm(_) | Action::Decline { .. } => {
                unreachable!("confirmations have no place in the order")
            }
        }
    }

    /// The row of the order that this action places, as it is before it enters the book.
    pub(crate) fn placed_row(&self, order: &NewOrder, author: AuthorKey) -> OrderRow {
        OrderRow {
            order: order.id,
            author,
            market: self.action.market(),
            side: order.side,
            price: match order.pricing {
                Pricing::Limit(price) => Some(price),
                Pricing::Market(protection) => protection,
            },
            quantity: order.quantity,
            filled: Lots(0),
            ended: None,
            time: self.time,
            late_ms: self.late_ms,
        }
    }
}

impl<E> MarketLog<E> {
    /// An empty log around an engine.
    pub(crate) fn new(engine: E) -> Self {
        Self {
            engine,
            log: Vec::new(),
            effects: Vec::new(),
            reductions: Vec::new(),
            incoming: Vec::new(),
            slow_lane_after_ms: 0,
        }
    }

    /// When what waits for the slow lane is due, if anything waits.
    pub(crate) fn next_merge_ms(&self) -> Option<u64> {
        (!self.incoming.is_empty()).then_some(self.slow_lane_after_ms)
    }

    /// The effects of the action at `at`.
    pub(crate) fn effects_of(&self, at: usize) -> &[Effect] {
        let next = self.log.get(at + 1);
        let end = next.map_or(self.effects.len(), |next| next.effects_from);
        &self.effects[self.log[at].effects_from..end]
    }

    /// A total reduced to just what is filled ends an order as filled. It is a reduction all the
    /// same, or an order of which nothing is left would seem to have something left.
    pub(crate) fn complete_reduction(
        &mut self,
        from: usize,
        order: OrderId,
        quantity: Option<Lots>,
    ) {
        let reason = EndReason::Filled;
        let Some(quantity) = quantity else {
            return;
        };
        if self.effects[from..] == [Effect::Ended { order, reason }] {
            self.effects
                .insert(from, Effect::Reduced { order, quantity });
        }
    }

    /// Takes out everything, sorted.
    pub(crate) fn take_all(&mut self) -> Vec<LogEntry> {
        let mut all = core::mem::take(&mut self.incoming);
        all.sort_unstable_by_key(|entry| entry.key);
        all
    }

    /// Takes out what may be merged now, sorted.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<LogEntry> {
        let mut due = self.take_all();
        let fast_from = self.log.len().checked_sub(FAST_LANE_ACTIONS);
        let Some(fast_from) = fast_from.map(|at| self.log[at.min(self.log.len() - 1)].key) else {
            return due;
        };
        let slow = due.partition_point(|entry| entry.key < fast_from);
        if slow == 0 {
            return due;
        }
        if now_ms < self.slow_lane_after_ms {
            let fast = due.split_off(slow);
            self.incoming = due;
            return fast;
        }
        self.slow_lane_after_ms = now_ms.saturating_add(SLOW_LANE_MS);
        due
    }
}

/// A list of at least this size in bytes is about to be long. A guess: an idle market stays far
/// below.
const LONG_LIST_BYTES: usize = 1 << 20;

/// What a long list asks for at once, in bytes. Common allocators give as much straight from the
/// system, which hands out memory as it is used, and enlarge it by moving pages, not bytes.
const LONG_LIST_ROOM_BYTES: usize = 1 << 26;

/// Makes room for `more` values in a list that only ever grows. Doubling it step by step would copy
/// it each time, and touching fresh memory costs more than anything else that a merge does.
pub(crate) fn make_room<T>(list: &mut Vec<T>, more: usize) {
    let is_full = list.capacity() - list.len() < more;
    if is_full && list.len() * size_of::<T>() >= LONG_LIST_BYTES {
        let room = LONG_LIST_ROOM_BYTES / size_of::<T>();
        list.reserve_exact(more.max(room).max(list.len()));
    }
}

/// Merges two sorted logs.
pub(crate) fn merge_sorted(
    first: Vec<LogEntry>,
    second: Vec<LogEntry>,
) -> impl Iterator<Item = LogEntry> {
    let mut first = first.into_iter().peekable();
    let mut second = second.into_iter().peekable();
    core::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(left), Some(right)) if left.key < right.key => first.next(),
        (_, Some(_)) => second.next(),
        (_, None) => first.next(),
    })
}
