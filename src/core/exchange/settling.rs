//! What the exchange writes by itself: confirmations, refusals and heartbeats, as the node's
//! settlement wants them.

use alloc::vec::Vec;

use super::Exchange;
use crate::matching::Engine;
use crate::op::Action;
use crate::settlement::{ACTIONS_OF_ONE, Scene, Wish};
use crate::types::Now;

impl<E: Engine> Exchange<E> {
    /// Writes nothing by itself before that time, in milliseconds of the monotonic clock, unless
    /// that fills an operation: so what is wanted in the meantime shares one.
    pub fn settle_not_before(&mut self, at_ms: u64) {
        self.settle_from_ms = at_ms;
    }

    /// How many pairs of orders the node has to settle now, counted up to `most`.
    pub fn settlement_backlog(&self, now: Now, most: usize) -> usize {
        let settlement = self.settlement.as_ref();
        settlement.map_or(0, |settlement| settlement.due_count(now, most))
    }

    /// From when on the node may settle.
    pub(super) fn settle_from_ms(&self, now: Now) -> u64 {
        let is_past = self.settle_from_ms <= now.monotonic_ms;
        if is_past || self.settlement_backlog(now, ACTIONS_OF_ONE) < ACTIONS_OF_ONE {
            self.settle_from_ms
        } else {
            0
        }
    }

    /// What settlement looks at.
    pub(super) fn scene(&self) -> Scene<'_, E> {
        Scene {
            dag: self.dag(),
            replica: &self.replica,
            confirmations: &self.confirmations,
            lease_ms: u64::from(self.genesis.lease_ms),
        }
    }

    /// Writes what the node's settlement wants, unless something own is on its way to the disk.
    pub(super) fn settle(&mut self, now: Now) {
        let is_early = now.monotonic_ms < self.settle_from_ms(now);
        if is_early || !self.unwritten.is_empty() || self.may_write(now).is_err() {
            return;
        }
        let Some(mut settlement) = self.settlement.take() else {
            return;
        };
        let body = self.next_body(now, Vec::new(), &[]);
        let wish = match &body {
            Ok(body) => settlement.poll_wish(now, &self.scene(), body),
            Err(_) => {
                settlement.postpone(now);
                None
            }
        };
        self.settlement = Some(settlement);
        let Some(wish) = wish else {
            return;
        };
        let actions = self.valid_only(now, &wish);
        // What is wanted and invalid must not make a stream of empty operations.
        let is_idle = actions.is_empty() && !wish.actions.is_empty() && wish.refs.is_empty();
        let is_written = !is_idle && self.write(now, actions, &wish.refs).is_ok();
        if let (false, Some(settlement)) = (is_written, &mut self.settlement) {
            settlement.postpone(now);
        }
    }

    /// The wanted actions without those that would make the operation invalid.
    fn valid_only(&self, now: Now, wish: &Wish) -> Vec<Action> {
        let Ok(mut body) = self.next_body(now, Vec::new(), &wish.refs) else {
            return Vec::new();
        };
        for action in &wish.actions {
            body.actions.push(action.clone());
            let confirmations = &self.confirmations;
            if confirmations
                .check(&body, self.dag(), &self.replica)
                .is_err()
            {
                body.actions.pop();
            }
        }
        body.actions
    }
}
