//! What an operation leans on: its author's chain before it, and what that names.
//!
//! All questions about one operation share what was found out once, so its cost is bounded by the
//! lengths of the chains that it names, however many halves of its author there are. And a chain is
//! walked back only as far as the answer needs: in a busy market that is a few operations.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};
use core::mem;

use super::{ConfirmationError, NAMED_BACK_MAX, NAMED_OF_ONE_MAX, Placement, Placements};
use crate::dag::{Dag, OpIndex};
use crate::matching::Owner;
use crate::op::Body;
use crate::types::{MarketIndex, OpId, OrderId};

/// The branch of a chain that an operation would continue.
pub(super) struct Branch<'a> {
    pub(super) dag: &'a Dag,
    body: &'a Body,
    prev: Option<OpIndex>,
    /// The operations of the branch; only needed if the author forked.
    own: OnceCell<BTreeSet<OpIndex>>,
    names: RefCell<Names<'a>>,
    known: RefCell<BTreeMap<Owner, Named>>,
}

/// What the refs of an operation and of at most [`NAMED_BACK_MAX`] before it name, and the orders
/// that these confirm or refuse, as far as it was asked for.
struct Names<'a> {
    dag: &'a Dag,
    refs: &'a [OpId],
    /// What was found, by author, the latest named first.
    found: BTreeMap<Owner, Vec<OpIndex>>,
    /// Where the walk back goes on.
    next: Option<OpIndex>,
    walked: usize,
}

impl Names<'_> {
    /// Those of an author: at most [`NAMED_OF_ONE_MAX`], the latest named.
    fn of(&mut self, author: Owner) -> &[OpIndex] {
        for id in mem::take(&mut self.refs) {
            self.dag.find(id).into_iter().for_each(|at| self.add(at));
        }
        let is_enough = |found: &Vec<OpIndex>| found.len() == NAMED_OF_ONE_MAX;
        while !self.found.get(&author).is_some_and(is_enough)
            && self.walked < NAMED_BACK_MAX
            && let Some(at) = self.next
        {
            let dag = self.dag;
            dag.ancestors(at).for_each(|named| self.add(named));
            self.next = dag.prev(at);
            self.walked += 1;
        }
        self.found.get(&author).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, at: OpIndex) {
        let of_one = self.found.entry(self.dag.author(at)).or_default();
        if of_one.len() < NAMED_OF_ONE_MAX {
            of_one.push(at);
        }
    }
}

/// What a chain knows of another author by naming some of his operations.
#[derive(Default)]
pub(super) struct Named {
    /// The latest time of those operations, in Unix milliseconds.
    pub(super) latest_ms: u64,
    known: Known,
}

/// Operations of one author.
#[derive(Default)]
enum Known {
    /// None.
    #[default]
    Nothing,
    /// All up to this place in the chain of an author who did not fork.
    UpTo(Owner, u64),
    /// These, of an author who did.
    These(BTreeSet<OpIndex>),
}

impl Named {
    /// Whether an operation is one of those that were named, or stands before one.
    pub(super) fn covers(&self, operation: OpIndex, dag: &Dag) -> bool {
        match &self.known {
            Known::Nothing => false,
            Known::UpTo(author, seq) => {
                dag.author(operation) == *author && dag.seq(operation) <= *seq
            }
            Known::These(these) => these.contains(&operation),
        }
    }

    fn of(named: &[OpIndex], dag: &Dag) -> Self {
        let Some(first) = named.first() else {
            return Self::default();
        };
        let author = dag.author(*first);
        let latest_ms = named.iter().map(|at| dag.time(*at).unix_ms()).max();
        let known = if dag.fork_of(&dag.key(author)).is_none() {
            let seq = named.iter().map(|at| dag.seq(*at)).max();
            Known::UpTo(author, seq.unwrap_or(0))
        } else {
            let mut these = BTreeSet::new();
            for at in named {
                // What is known already has all before it.
                these.extend(
                    dag.back_from(*at)
                        .take_while(|at| !these.contains(at))
                        .collect::<Vec<_>>(),
                );
            }
            Known::These(these)
        };
        Self {
            latest_ms: latest_ms.unwrap_or(0),
            known,
        }
    }
}

impl<'a> Branch<'a> {
    /// The branch that an operation with this body continues.
    pub(super) fn new(body: &'a Body, dag: &'a Dag) -> Self {
        let prev = body.prev.as_ref().and_then(|prev| dag.find(prev));
        let names = Names {
            dag,
            refs: &body.refs,
            found: BTreeMap::new(),
            next: prev,
            walked: 0,
        };
        Self {
            dag,
            body,
            prev,
            own: OnceCell::new(),
            names: RefCell::new(names),
            known: RefCell::new(BTreeMap::new()),
        }
    }

    /// Whether this operation is an earlier one of the branch.
    pub(super) fn holds(&self, at: OpIndex) -> bool {
        let Some(prev) = self.prev else {
            return false;
        };
        if self.dag.fork_of(&self.body.author).is_none() {
            return self.dag.is_on_branch(at, prev);
        }
        let own = || self.dag.back_from(prev).collect();
        self.own.get_or_init(own).contains(&at)
    }

    /// What the branch knows of the owner of an order.
    pub(super) fn with_named<T>(&self, order: &OrderId, look: impl FnOnce(&Named) -> T) -> T {
        let author = self.dag.owner_of_order(order);
        let Some(author) = author else {
            return look(&Named::default());
        };
        let mut known = self.known.borrow_mut();
        let named = known
            .entry(author)
            .or_insert_with(|| Named::of(self.names.borrow_mut().of(author), self.dag));
        look(named)
    }

    /// The placements of two orders, if an owner of the first may confirm or refuse the second.
    pub(super) fn placed_pair(
        &self,
        market: MarketIndex,
        own: &OrderId,
        other: &OrderId,
        placements: &impl Placements,
    ) -> Result<(Placement, Placement), ConfirmationError> {
        let own_operation = self.dag.find_order(own);
        let is_own = own_operation.is_some_and(|at| self.holds(at));
        let mine = placements.placement(market, own).filter(|_| is_own);
        let theirs = placements.placement(market, other);
        match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine.side != theirs.side => Ok((mine, theirs)),
            _ => Err(ConfirmationError::Pair),
        }
    }
}
