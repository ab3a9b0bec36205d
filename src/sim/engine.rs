//! The matching engine of simulated nodes: the real one, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitfitech_core::matching::{
    Action, Book, Effect, EndReason, Engine, Level, Mark, NewOrder, Owner, Replacement, Resting,
};
use bitfitech_core::types::{Digest, OrderId, Side};

/// How many actions engines have executed. Shared by the hosts of one thread.
#[derive(Clone, Debug, Default)]
pub struct Executions(Arc<AtomicU64>);

impl Executions {
    /// The count so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The book, counted.
pub struct CountedBook {
    book: Book,
    executions: Executions,
}

impl CountedBook {
    /// An empty book.
    pub fn new(secret: &[u8; 32], executions: Executions) -> Self {
        Self {
            book: Book::new(secret),
            executions,
        }
    }
}

impl Engine for CountedBook {
    fn place(&mut self, order: &NewOrder, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.place(order, effects);
    }

    fn cancel(&mut self, order: &OrderId, by: Owner, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.cancel(order, by, effects);
    }

    fn replace(&mut self, replacement: &Replacement, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.replace(replacement, effects);
    }

    fn end(&mut self, order: &OrderId, reason: EndReason, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.end(order, reason, effects);
    }

    fn prepare(&self, upcoming: &[Action]) {
        self.book.prepare(upcoming);
    }

    fn mark(&self) -> Mark {
        self.book.mark()
    }

    fn undo_to(&mut self, mark: Mark) {
        self.book.undo_to(mark);
    }

    fn forget_before(&mut self, mark: Mark) {
        self.book.forget_before(mark);
    }

    fn state_hash(&self) -> Digest {
        self.book.state_hash()
    }

    fn levels(&self, side: Side, depth: usize) -> Vec<Level> {
        self.book.levels(side, depth)
    }

    fn resting(&self, side: Side) -> Vec<Resting> {
        self.book.resting(side)
    }

    fn find(&self, order: &OrderId) -> Option<Resting> {
        self.book.find(order)
    }

    fn len(&self) -> usize {
        self.book.len()
    }
}
