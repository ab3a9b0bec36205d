//! The way of applied operations to the disk.
//!
//! Everything goes there in the order in which it was applied, one batch at a time. Own operations
//! go at once, for nothing own is acknowledged or sent before it is durable; halves about own
//! orders, for a user is told of the final trade, when the next own operation may be written
//! ([`crate::matcher_pace`]). All the rest was written by others, who have it on *their* disks, and
//! a crash costs no more than asking them again. So it waits for [`WRITE_LATER_MS`], or for the
//! next batch that has to go: a commit costs as much as checking several signatures, however
//! little is in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{ActorContext, AsyncContext, Context};
use bitfitech_core::op::{Action, Operation};

use crate::matcher::{MatcherActor, STORE_MS, STORE_RETRY};
use crate::store::Append;

/// How long operations wait that nobody waits for, in milliseconds. A guess: a crash costs a moment
/// of what others know, and a busy node commits ten times a second for them.
const WRITE_LATER_MS: u64 = 100;

/// Most operations that wait for the disk; beyond that nothing is taken in. A guess: some 20 MB.
const WAITING_MAX: usize = 65_536;

/// Whether a batch is on its way to the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Idle,
    UnderWay,
}

/// Whether more will come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// The actor stops when everything is written.
    Stopping,
}

/// What is applied and not on disk.
pub(crate) struct Journal {
    /// In order.
    waiting: VecDeque<Arc<[u8]>>,
    /// Place of the first of them.
    from: u64,
    writing: Writing,
    /// When what waits has to go, on the monotonic clock. It may be long past.
    due_ms: Option<u64>,
    /// When the next timer wakes the actor for it.
    timer_ms: Option<u64>,
    life: Life,
}

impl Journal {
    /// A journal whose first `written` operations are on disk.
    pub(crate) fn new(written: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            from: written,
            writing: Writing::Idle,
            due_ms: None,
            timer_ms: None,
            life: Life::Running,
        }
    }

    /// Adds the operation with that place.
    pub(crate) fn add(&mut self, place: u64, wire: Arc<[u8]>) {
        let next = self.from + self.waiting.len() as u64;
        assert_eq!(place, next, "operations are stored without gaps");
        self.waiting.push_back(wire);
    }

    /// Whether no more may be taken in.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Whether a batch is on its way.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing == Writing::UnderWay
    }

    /// The operation with that place, if it is not on disk yet.
    pub(crate) fn wire(&self, place: u64) -> Option<&Arc<[u8]>> {
        let at = usize::try_from(place.checked_sub(self.from)?).ok()?;
        self.waiting.get(at)
    }

    /// What is in it has to go at that time at the latest.
    pub(crate) fn hurry_by(&mut self, due_ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(due_ms, |known| known.min(due_ms)));
    }

    /// So many operations are on disk; how many of these it knew.
    fn forget(&mut self, count: u64) -> u64 {
        let known = self.from + self.waiting.len() as u64;
        let count = count.min(known);
        while self.from < count {
            self.waiting.pop_front();
            self.from += 1;
        }
        count
    }
}

impl MatcherActor {
    /// Adds an operation to what is to be written. `place` is its place in the set.
    pub(crate) fn record(&mut self, place: u64, operation: &Operation) {
        let now = self.now();
        let body = operation.body();
        let own = self.exchange.author();
        self.journal.add(place, Arc::clone(operation.wire()));
        if body.author == own {
            self.pace.note_written(now);
            self.journal.hurry_by(now.monotonic_ms);
            return;
        }
        self.pace.note_foreign(now, 1);
        let mut pairs = body.actions.iter().filter_map(Action::pair);
        let dag = self.exchange.dag();
        let is_about_own = pairs.any(|(_, other)| dag.author_of_order(&other) == Some(own));
        self.journal.hurry_by(if is_about_own {
            self.pace.settle_from_ms(now)
        } else {
            now.monotonic_ms.saturating_add(WRITE_LATER_MS)
        });
    }

    /// Gives the store the next batch if it has to go, unless one is on its way.
    pub(crate) fn write(&mut self, context: &mut Context<Self>) {
        if self.journal.is_writing() || self.journal.waiting.is_empty() {
            return;
        }
        let batch_max = self.node.settings.store.batch_max;
        let now_ms = self.now().monotonic_ms;
        let due_ms = self.journal.due_ms.unwrap_or(now_ms);
        if due_ms <= now_ms || self.journal.waiting.len() >= batch_max {
            self.write_batch(batch_max, context);
        } else if self
            .journal
            .timer_ms
            .is_none_or(|timer_ms| due_ms < timer_ms)
        {
            self.journal.timer_ms = Some(due_ms);
            let wait = Duration::from_millis(due_ms - now_ms);
            context.run_later(wait, move |actor, context| {
                if actor.journal.timer_ms == Some(due_ms) {
                    actor.journal.timer_ms = None;
                }
                actor.write(context);
            });
        }
    }

    fn write_batch(&mut self, batch_max: usize, context: &mut Context<Self>) {
        self.journal.writing = Writing::UnderWay;
        let first_index = self.journal.from;
        let waiting = &self.journal.waiting;
        let operations: Vec<_> = waiting.iter().take(batch_max).cloned().collect();
        if operations.len() == waiting.len() {
            self.journal.due_ms = None;
        }
        let node = Arc::clone(&self.node);
        let writing = async move {
            let append = Append {
                first_index,
                operations,
            };
            let written = node.refs.store.query(append, STORE_MS).await;
            match written {
                Ok(Ok(count)) => Some(count),
                Ok(Err(reason)) => failed_write(&reason),
                Err(error) => failed_write(&error.to_string()),
            }
        };
        let done = writing.into_actor(self).map(|count, actor, context| {
            actor.journal.writing = Writing::Idle;
            match count {
                Some(count) => actor.on_stored(count, context),
                None => {
                    actor.journal.hurry_by(0);
                    context.run_later(STORE_RETRY, |actor, context| actor.write(context));
                }
            }
        });
        context.spawn(done);
    }

    /// So many operations are on disk.
    fn on_stored(&mut self, count: u64, context: &mut Context<Self>) {
        let count = self.journal.forget(count);
        let count = usize::try_from(count).expect("an index of an operation fits");
        self.exchange.handle_persisted(count);
        self.handle_outputs(context);
        if self.journal.life == Life::Stopping {
            self.stop_when_written(context);
        } else {
            self.settle_soon(context);
        }
    }

    /// Writes what is left, and then stops.
    pub(crate) fn stop_when_written(&mut self, context: &mut Context<Self>) {
        self.journal.life = Life::Stopping;
        if self.journal.waiting.is_empty() {
            context.stop();
        } else {
            self.journal.hurry_by(0);
            self.write(context);
        }
    }
}

/// Logs that a batch was not written.
fn failed_write(reason: &str) -> Option<u64> {
    tracing::warn!(target: "matcher", "operations are not on disk yet: {reason}");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_disk_is_forgotten_and_what_was_never_given_is_not_counted() {
        let mut journal = Journal::new(7);
        for place in 7..10 {
            journal.add(place, Arc::from([0_u8]));
        }
        assert_eq!(journal.forget(9), 9);
        assert!(journal.wire(8).is_none() && journal.wire(9).is_some());
        assert_eq!(journal.forget(20), 10);
        assert!(journal.waiting.is_empty());
    }
}
