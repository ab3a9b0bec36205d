//! What a node has said about the ends of its own orders: which of them it has cancelled or
//! replaced, and when others expire.
//!
//! An operation may come however late, and then it must not be signed that an order which was over
//! trades with one that came after. So this is kept of all orders that ever were.

use crate::dag::{Dag, OpIndex};
use crate::op::{Action, Operation};
use crate::order_number::OrderNumber;
use crate::packed_map::PackedMap;
use crate::settlement::LATE_MS;
use crate::types::OrderId;
use crate::view::OrderRow;

/// The ends of own orders.
pub(super) struct Ends {
    /// When they expire, in Unix milliseconds.
    expiries: PackedMap<OrderNumber, u64>,
    /// The first own operation that cancels or replaces one.
    endings: PackedMap<OrderNumber, OpIndex>,
}

impl Ends {
    /// Of no orders.
    pub(super) fn new() -> Self {
        Self {
            expiries: PackedMap::new(),
            endings: PackedMap::new(),
        }
    }

    /// An own operation was applied.
    pub(super) fn handle_own(&mut self, operation: &Operation, index: OpIndex, dag: &Dag) {
        for (number, action) in (0..).zip(&operation.body().actions) {
            let new = OrderNumber::new(index, number);
            match action {
                Action::Place(place) => {
                    if let Some(at_ms) = place.expires_ms {
                        self.expiries.insert(new, at_ms);
                    }
                }
                Action::Cancel { order, .. } => self.end(OrderNumber::find(order, dag), index),
                Action::Replace { order, .. } => {
                    let old = OrderNumber::find(order, dag);
                    self.end(old, index);
                    if let Some(at_ms) = old.and_then(|old| self.expiries.get(&old)) {
                        self.expiries.insert(new, at_ms);
                    }
                }
                Action::Confirm(_)
                | Action::Decline { .. }
                | Action::Release { .. }
                | Action::Member { .. } => {}
            }
        }
    }

    /// An operation ends an order. One that is not there is none of the own chain.
    fn end(&mut self, order: Option<OrderNumber>, by: OpIndex) {
        if let Some(order) = order
            && self.endings.get(&order).is_none()
        {
            self.endings.insert(order, by);
        }
    }

    /// When an order expires, in Unix milliseconds, if it does.
    pub(super) fn expires_ms(&self, order: &OrderId, dag: &Dag) -> Option<u64> {
        if self.expiries.is_empty() {
            return None;
        }
        self.expiries.get(&OrderNumber::find(order, dag)?)
    }

    /// Whether an own order may still be spent on another: as long as it is not over, or if the
    /// other one was known before.
    pub(super) fn may_meet(&self, own: &OrderId, other: &OrderRow, dag: &Dag) -> bool {
        let known = dag.find_order(&other.order);
        let was_known = |ending: OpIndex| known.is_some_and(|known| known < ending);
        let in_time = |expires_ms: u64| {
            let came_ms = other.time.unix_ms().saturating_add(other.late_ms);
            came_ms <= expires_ms.saturating_add(LATE_MS)
        };
        let ending = OrderNumber::find(own, dag).and_then(|own| self.endings.get(&own));
        ending.is_none_or(was_known) && self.expires_ms(own, dag).is_none_or(in_time)
    }
}
