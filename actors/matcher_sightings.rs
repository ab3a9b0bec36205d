//! When and from whom this node first got an operation.
//!
//! Nobody needs that to trade. It is for people who want to see how an order travelled: each node
//! knows its own part of the way, and whoever asks several nodes can put the parts together.

use std::collections::VecDeque;

use actix::{Context, Handler, Message};
use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Engine;
use bitfitech_core::types::{AuthorKey, OpId, OrderId, Source, Via};

use crate::command_model::OrderName;
use crate::matcher::MatcherActor;
use crate::matcher_submission::any_order;
use crate::messages::ReplyError;

/// Operations that are remembered; the oldest are forgotten. A guess: more than people look back.
const SIGHTINGS_MAX: usize = 4_096;

/// A query: how an order came to this node.
#[derive(Message)]
#[rtype(result = "Result<OrderPath, ReplyError>")]
pub struct AskPath(pub OrderName);

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

/// What is remembered, by the operations' places in the order of application.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// The place of the first.
    from: usize,
    newest: VecDeque<Option<Sighting>>,
}

impl Sightings {
    /// Remembers how an operation came.
    pub(crate) fn note(&mut self, place: usize, sighting: Sighting) {
        let end = (place + 1).max(self.from + self.newest.len());
        let from = end.saturating_sub(SIGHTINGS_MAX).max(self.from);
        let forgotten = (from - self.from).min(self.newest.len());
        self.newest.drain(..forgotten);
        self.from = from;
        self.newest.resize(end - from, None);
        // Own operations come when they are on disk, after later ones of others.
        if let Some(known) = place.checked_sub(from) {
            self.newest[known] = Some(sighting);
        }
    }

    fn get(&self, place: usize) -> Option<Sighting> {
        let known = place.checked_sub(self.from)?;
        self.newest.get(known).copied().flatten()
    }

    /// The way of an order.
    pub(crate) fn path<E: Engine>(
        &self,
        exchange: &Exchange<E>,
        name: OrderName,
    ) -> Result<OrderPath, ReplyError> {
        let row = any_order(exchange, name)?;
        let dag = exchange.dag();
        let index = dag.find_order(&row.order);
        let index = index.expect("an order's operation is applied");
        let operation = dag.id(index);
        Ok(OrderPath {
            order: row.order,
            operation,
            author: row.author,
            time_unix_ms: dag.time(index).unix_ms(),
            sighting: self.get(index.0 as usize),
        })
    }
}

impl MatcherActor {
    /// Remembers how an operation came.
    pub(crate) fn note_sighting(&mut self, id: &OpId, source: Option<Source>) {
        let from = source.and_then(|source| {
            let session = self.node.directory.get(&source.link)?;
            Some((session.node, source.via))
        });
        // Of a session that has ended meanwhile nobody knows whose it was.
        if from.is_some() || source.is_none() {
            let at_unix_ms = self.node.clock.now().unix_ms;
            let index = self.exchange.dag().find(id);
            let index = index.expect("what is passed on is applied");
            let sighting = Sighting { from, at_unix_ms };
            self.sightings.note(index.0 as usize, sighting);
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
        let at = |at_unix_ms| Sighting {
            from: None,
            at_unix_ms,
        };
        let mut sightings = Sightings::default();
        sightings.note(7, at(70));
        sightings.note(5, at(50));
        assert_eq!(
            [5, 6, 7, 8].map(|place| sightings.get(place)),
            [Some(at(50)), None, Some(at(70)), None]
        );
        let last = 5 + SIGHTINGS_MAX;
        sightings.note(last, at(1));
        sightings.note(5, at(2));
        assert_eq!(
            [5, 7, last].map(|place| sightings.get(place)),
            [None, Some(at(70)), Some(at(1))]
        );
        sightings.note(10 * SIGHTINGS_MAX, at(3));
        assert_eq!(sightings.get(last), None);
        assert_eq!(sightings.get(10 * SIGHTINGS_MAX), Some(at(3)));
        assert_eq!(sightings.newest.len(), SIGHTINGS_MAX);
    }
}
