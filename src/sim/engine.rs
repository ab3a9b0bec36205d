//! The matching engine of simulated nodes: the real one, counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitfitech_core::matching::{
    Action, Book, Claims, Effect, EndReason, Engine, Level, Mark, NewOrder, Owner, Replacement,
    Resting,
};
use bitfitech_core::types::{Digest, Lots, OrderId, Side};

use crate::canaries::Canary;

/// How many actions engines have executed. Shared by the hosts of one shard.
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

/// The book, counted, and with a bug if one is planted.
pub struct CountedBook {
    book: Book,
    executions: Executions,
    bug: Option<Bug>,
}

/// A planted bug of an engine.
enum Bug {
    /// Counts the times that something was undone: some of them take an order too many.
    LostUndo(u64),
    ArrivalTie(Arrivals),
    /// What is promised of an order never becomes less.
    ForgottenReturn(BTreeMap<OrderId, Lots>),
    /// The final trades of some orders are not stated.
    LostFinal,
    /// All of an order is promised to somebody if a part of it is.
    GreedyPromise,
}

/// The final trades of one taker of so many are lost.
const LOST_FINAL_OF: u8 = 4;

/// One undo of so many loses an order.
const LOST_UNDO_OF: u64 = 7;

/// In which order orders came, and the last ones in the log.
#[derive(Default)]
struct Arrivals {
    numbers: BTreeMap<OrderId, usize>,
    before: VecDeque<NewOrder>,
}

/// Orders before an order that may be put behind it.
const BEFORE_MAX: usize = 16;

impl CountedBook {
    /// An empty book.
    pub fn new(secret: &[u8; 32], executions: Executions, canary: Option<Canary>) -> Self {
        let bug = match canary {
            Some(Canary::LostUndo) => Some(Bug::LostUndo(0)),
            Some(Canary::ArrivalTie) => Some(Bug::ArrivalTie(Arrivals::default())),
            Some(Canary::ForgottenReturn) => Some(Bug::ForgottenReturn(BTreeMap::new())),
            Some(Canary::LostFinal) => Some(Bug::LostFinal),
            Some(Canary::GreedyPromise) => Some(Bug::GreedyPromise),
            _ => None,
        };
        Self {
            book: Book::new(secret),
            executions,
            bug,
        }
    }

    /// Whether the final trades of an order are lost on its way into the book.
    fn loses_finals(&self, order: &NewOrder) -> bool {
        matches!(self.bug, Some(Bug::LostFinal)) && order.id.0[0].is_multiple_of(LOST_FINAL_OF)
    }

    /// Puts orders before this one behind it, if they came later and stand at the same price.
    fn break_ties(&mut self, order: &NewOrder) {
        let Some(Bug::ArrivalTie(arrivals)) = &mut self.bug else {
            return;
        };
        let next = arrivals.numbers.len();
        let number = *arrivals.numbers.entry(order.id).or_insert(next);
        if self.book.find(&order.id).is_some() {
            for before in &arrivals.before {
                let is_tie = before.side == order.side && before.pricing == order.pricing;
                let came_later = arrivals.numbers.get(&before.id) > Some(&number);
                if let (true, Some(resting)) = (is_tie && came_later, self.book.find(&before.id)) {
                    let mut unseen = Vec::new();
                    self.book.cancel(&before.id, before.owner, &mut unseen);
                    let quantity = resting.remaining;
                    let again = NewOrder {
                        quantity,
                        ..*before
                    };
                    self.book.place(&again, &Claims::NONE, &mut unseen);
                }
            }
        }
        if arrivals.before.len() == BEFORE_MAX {
            arrivals.before.pop_front();
        }
        arrivals.before.push_back(*order);
    }
}

impl Engine for CountedBook {
    fn place(&mut self, order: &NewOrder, claims: &Claims, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        if self.loses_finals(order) {
            self.book.place(order, &Claims::NONE, effects);
            return;
        }
        if matches!(self.bug, Some(Bug::GreedyPromise)) && !claims.is_none() {
            let greedy = Claims {
                to_later: order.quantity,
                ..claims.clone()
            };
            self.book.place(order, &greedy, effects);
            return;
        }
        self.book.place(order, claims, effects);
        self.break_ties(order);
    }

    fn cancel(&mut self, order: &OrderId, by: Owner, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.cancel(order, by, effects);
    }

    fn set_promised(&mut self, order: &OrderId, promised: Lots) {
        let mut promised = promised;
        if let Some(Bug::ForgottenReturn(most)) = &mut self.bug {
            let known = most.entry(*order).or_insert(promised);
            *known = promised.max(*known);
            promised = *known;
        }
        self.book.set_promised(order, promised);
    }

    fn state_complete(&mut self, taker: &OrderId, claims: &Claims, effects: &mut Vec<Effect>) {
        self.book.state_complete(taker, claims, effects);
    }

    fn replace(&mut self, replacement: &Replacement, claims: &Claims, effects: &mut Vec<Effect>) {
        self.executions.add_one();
        self.book.replace(replacement, claims, effects);
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
        match &mut self.bug {
            Some(Bug::LostUndo(undone)) => {
                *undone += 1;
                let first = self.book.front(Side::Buy).next();
                if let Some(lost) = first.filter(|_| *undone % LOST_UNDO_OF == 0) {
                    self.book.cancel(&lost.id, lost.owner, &mut Vec::new());
                }
            }
            Some(Bug::ArrivalTie(arrivals)) => arrivals.before.clear(),
            Some(Bug::ForgottenReturn(_) | Bug::LostFinal | Bug::GreedyPromise) | None => {}
        }
    }

    fn forget_before(&mut self, mark: Mark) {
        self.book.forget_before(mark);
    }

    fn bound_undo(&mut self) {
        self.book.bound_undo();
    }

    fn can_undo_to(&self, mark: Mark) -> bool {
        self.book.can_undo_to(mark)
    }

    fn reset(&mut self) {
        self.book.reset();
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
