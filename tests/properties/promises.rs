//! What has been signed about trades, computed from the set of all operations as naively as it can
//! be said: every question is answered by looking at all operations again.
//!
//! It shares no code with the core but the vocabulary.

use std::collections::BTreeSet;

use bitfitech_core::op::{Action, Half, Verified};
use bitfitech_core::types::{AuthorKey, OrderId};

/// A set of operations, as far as confirmations are concerned.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    answer_ms: u64,
    /// Every half, with its author and the time of its operation.
    halves: Vec<(AuthorKey, u64, Half)>,
    /// Every refusal: own order, then the other.
    refusals: Vec<(OrderId, OrderId)>,
    /// The time of every operation, in Unix milliseconds, with its author.
    times: Vec<(AuthorKey, u64)>,
    /// Whose every order is.
    makers: Vec<(OrderId, AuthorKey)>,
    /// Refusals by which an owner took his open halves back at his own risk.
    releases: Vec<(OrderId, OrderId)>,
}

impl Promises {
    /// What these operations say.
    pub fn of(operations: &[Verified], answer_ms: u64) -> Self {
        let mut promises = Self {
            answer_ms,
            ..Self::default()
        };
        for operation in operations {
            let body = operation.body();
            let time_ms = body.time.unix_ms();
            promises.times.push((body.author, time_ms));
            for (index, action) in (0..).zip(&body.actions) {
                match action {
                    Action::Place(_) | Action::Replace { .. } => {
                        let id = OrderId::new(&operation.id(), index);
                        promises.makers.push((id, body.author));
                    }
                    Action::Confirm(half) => promises.halves.push((body.author, time_ms, *half)),
                    Action::Decline { own, other, .. } => promises.refusals.push((*own, *other)),
                    Action::Release { own, other, .. } => {
                        promises.refusals.push((*own, *other));
                        promises.releases.push((*own, *other));
                    }
                    Action::Cancel { .. } | Action::Member { .. } => {}
                }
            }
        }
        promises
    }

    /// Whether two orders no longer meet.
    pub fn are_declined(&self, first: &OrderId, second: &OrderId) -> bool {
        self.refused(first, second) || self.refused(second, first)
    }

    fn refused(&self, own: &OrderId, other: &OrderId) -> bool {
        self.refusals.contains(&(*own, *other))
    }

    fn halves_of(&self, own: &OrderId, other: &OrderId, piece: usize) -> Vec<(u64, Half)> {
        let halves = self.halves.iter().filter(|(_, _, half)| {
            (half.own, half.other) == (*own, *other) && half.piece as usize == piece
        });
        halves.map(|(_, time_ms, half)| (*time_ms, *half)).collect()
    }

    /// The quantities of the final trades of two orders, by piece.
    pub fn complete(&self, first: &OrderId, second: &OrderId) -> Vec<u64> {
        let mut complete = Vec::new();
        loop {
            let mut best = 0;
            for (mine_ms, mine) in self.halves_of(first, second, complete.len()) {
                for (theirs_ms, theirs) in self.halves_of(second, first, complete.len()) {
                    let in_time = mine_ms.max(theirs_ms) - mine_ms.min(theirs_ms) <= self.answer_ms;
                    if in_time && mine.price == theirs.price {
                        best = best.max(mine.quantity.0.min(theirs.quantity.0));
                    }
                }
            }
            if best == 0 {
                return complete;
            }
            complete.push(best);
        }
    }

    /// What the owner of `own` withholds for `other` beyond what is complete.
    pub fn half(&self, own: &OrderId, other: &OrderId) -> u64 {
        let piece = self.complete(own, other).len();
        let open = self.halves_of(own, other, piece).into_iter();
        let open = open.filter(|(time_ms, _)| !self.is_given_back(*time_ms, own, other));
        open.map(|(_, half)| half.quantity.0).max().unwrap_or(0)
    }

    /// Whether the owner of `other` can no longer answer a half of this time, or has refused to.
    fn is_given_back(&self, time_ms: u64, own: &OrderId, other: &OrderId) -> bool {
        let partner = self.makers.iter().find(|(order, _)| order == other);
        let (_, partner) = partner.expect("a confirmed order is an ancestor");
        let mut times = self.times.iter().filter(|(author, _)| author == partner);
        let is_over = times.any(|(_, other_ms)| *other_ms > time_ms + self.answer_ms);
        is_over || self.refused(other, own) || self.releases.contains(&(*own, *other))
    }

    /// All that the owner of `own` withholds for `other`.
    pub fn withheld(&self, own: &OrderId, other: &OrderId) -> u64 {
        self.complete(own, other).iter().sum::<u64>() + self.half(own, other)
    }

    /// The orders about which anything was signed together with this one, in the order of their
    /// ids.
    pub fn partners(&self, order: &OrderId) -> Vec<OrderId> {
        let halves = self
            .halves
            .iter()
            .map(|(_, _, half)| (half.own, half.other));
        let all = halves.chain(self.refusals.iter().copied());
        let partners = all.filter_map(|(own, other)| match (own == *order, other == *order) {
            (true, _) => Some(other),
            (_, true) => Some(own),
            _ => None,
        });
        let mut partners: Vec<OrderId> = partners.collect();
        partners.sort_unstable();
        partners.dedup();
        partners
    }

    /// When the orders of each author lapse: the ends of all stretches of time without a word from
    /// him that are as long as a lease.
    pub fn lapses(&self, lease_ms: u64) -> Vec<(AuthorKey, u64)> {
        let ends = self.times.iter().filter(|(author, time_ms)| {
            let mut others = self.times.iter();
            !others.any(|(other, other_ms)| {
                other == author && other_ms > time_ms && *other_ms <= time_ms + lease_ms
            })
        });
        ends.map(|(author, time_ms)| (*author, time_ms + lease_ms))
            .collect()
    }

    /// Orders that somebody refused when their owner had not been heard for a lease, or whose
    /// owner has two operations with one number.
    pub fn abandoned(&self, operations: &[Verified], lease_ms: u64) -> BTreeSet<OrderId> {
        let is_forker = |author: &AuthorKey| {
            let numbers = operations.iter().map(|operation| operation.body());
            let numbers = numbers.filter(|body| body.author == *author);
            let mut numbers: Vec<u64> = numbers.map(|body| body.seq).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.len() < count
        };
        let is_silent = |author: &AuthorKey, at_ms: u64| {
            let mut times = self.times.iter().filter(|(other, _)| other == author);
            !times.any(|(_, time_ms)| *time_ms <= at_ms && *time_ms + lease_ms >= at_ms)
        };
        let mut abandoned = BTreeSet::new();
        for operation in operations {
            let at_ms = operation.body().time.unix_ms();
            for action in &operation.body().actions {
                let (Action::Decline { other, .. } | Action::Release { other, .. }) = action else {
                    continue;
                };
                let owner = self.makers.iter().find(|(order, _)| order == other);
                let (_, owner) = owner.expect("a refused order is an ancestor");
                if is_forker(owner) || is_silent(owner, at_ms) {
                    abandoned.insert(*other);
                }
            }
        }
        abandoned
    }

    /// The latest time of any operation.
    pub fn latest_ms(&self) -> u64 {
        let times = self.times.iter().map(|(_, time_ms)| *time_ms);
        times.max().unwrap_or(0)
    }
}
