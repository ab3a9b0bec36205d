//! When and from whom this node first got an operation.
//!
//! Nobody needs that to trade. It is for people who want to see how an order travelled: each node
//! knows its own part of the way, and whoever asks several nodes can put the parts together.

use std::collections::{BTreeMap, VecDeque};

use actix::{Context, Handler, Message};
use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Engine;
use bitfitech_core::types::{AuthorKey, OpId, OrderId, Source, Via};

use crate::command_model::IdPrefix;
use crate::matcher::MatcherActor;
use crate::matcher_submission::any_order;
use crate::messages::ReplyError;

/// Operations that are remembered; the oldest are forgotten. A guess: more than people look back.
const SIGHTINGS_MAX: usize = 4_096;

/// A query: how an order came to this node.
#[derive(Message)]
#[rtype(result = "Result<OrderPath, ReplyError>")]
pub struct AskPath(pub IdPrefix);

/// A query: whether the own chain has been asked for, so that orders can be written.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct AskMayWrite;

/// How an operation came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// From whom, and how; `None` if it was written here.
    pub from: Option<(AuthorKey, Via)>,
    /// When it was applied, by the clock of this machine.
    pub at_unix_ms: u64,
}

/// How an order came to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPath {
    /// The order.
    pub order: OrderId,
    /// The operation that placed it.
    pub operation: OpId,
    /// Who wrote that.
    pub author: AuthorKey,
    /// The time that he claims.
    pub time_unix_ms: u64,
    /// How it came here; `None` if that is too long ago, or was before the last start.
    pub sighting: Option<Sighting>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    by_operation: BTreeMap<OpId, Sighting>,
    oldest_first: VecDeque<OpId>,
}

impl Sightings {
    /// Remembers how an operation came.
    pub(crate) fn note(&mut self, operation: OpId, sighting: Sighting) {
        if self.oldest_first.len() >= SIGHTINGS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_operation.remove(&oldest);
        }
        if self.by_operation.insert(operation, sighting).is_none() {
            self.oldest_first.push_back(operation);
        }
    }

    /// The way of an order.
    pub(crate) fn path<E: Engine>(
        &self,
        exchange: &Exchange<E>,
        prefix: IdPrefix,
    ) -> Result<OrderPath, ReplyError> {
        let row = any_order(exchange, prefix)?;
        let dag = exchange.dag();
        let index = dag.find_order(&row.order);
        let index = index.expect("an order's operation is applied");
        let operation = dag.id(index);
        Ok(OrderPath {
            order: row.order,
            operation,
            author: row.author,
            time_unix_ms: dag.time(index).unix_ms(),
            sighting: self.by_operation.get(&operation).copied(),
        })
    }
}

impl MatcherActor {
    /// Remembers how an operation came.
    pub(crate) fn note_sighting(&mut self, id: OpId, source: Option<Source>) {
        let from = source.and_then(|source| {
            let session = self.node.directory.get(&source.link)?;
            Some((session.node, source.via))
        });
        // Of a session that has ended meanwhile nobody knows whose it was.
        if from.is_some() || source.is_none() {
            let at_unix_ms = self.node.clock.now().unix_ms;
            self.sightings.note(id, Sighting { from, at_unix_ms });
        }
    }
}

impl Handler<AskPath> for MatcherActor {
    type Result = Result<OrderPath, ReplyError>;

    fn handle(&mut self, ask: AskPath, _context: &mut Context<Self>) -> Self::Result {
        self.sightings.path(&self.exchange, ask.0)
    }
}

impl Handler<AskMayWrite> for MatcherActor {
    type Result = bool;

    fn handle(&mut self, _ask: AskMayWrite, _context: &mut Context<Self>) -> bool {
        self.exchange.may_write(self.now()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_the_rest_is_kept() {
        let mut sightings = Sightings::default();
        let operation = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            OpId(id)
        };
        for number in 0..=SIGHTINGS_MAX {
            let at_unix_ms = number as u64;
            let sighting = Sighting {
                from: None,
                at_unix_ms,
            };
            sightings.note(operation(number), sighting);
        }
        assert_eq!(sightings.by_operation.len(), SIGHTINGS_MAX);
        assert!(!sightings.by_operation.contains_key(&operation(0)));
        let last = sightings.by_operation[&operation(SIGHTINGS_MAX)];
        assert_eq!(last.at_unix_ms, SIGHTINGS_MAX as u64);
    }
}
