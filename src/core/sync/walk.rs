//! The way through a peer's trie of heads: which branches are still to be looked at.
//!
//! A walk goes from the root down into branches that differ, and from left to right, so that it can
//! stop anywhere and another one goes on from there. What it has to remember is bounded: as there
//! is less room left it asks about fewer branches at a time, in the end about one, which adds at
//! most sixteen for each of 128 digits.

use alloc::vec::Vec;

use super::SyncViolation;
use crate::wire::{
    BRANCHES_MAX, Branch, BranchDigest, BranchPath, CHILDREN_MAX, Head, LEAF_HEADS_MAX, PATH_MAX,
    WANTS_MAX,
};

/// About how many branches wait; 2,048 more where a peer's paths are as long as can be.
pub(super) const BRANCHES_WAITING_MAX: usize = 4_096;

/// What two nodes have in a few branches, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Parts that differ, as they are here, ascending.
    pub branches: Vec<BranchDigest>,
    /// Heads of the peer that are unknown here, ascending.
    pub heads: Vec<Head>,
}

/// A walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    /// What is to the left of this was looked at in an earlier round.
    from: BranchPath,
    /// Branches to look at, the next one last.
    waiting: Vec<BranchDigest>,
    /// Unknown heads, found since [`Walk::take_found`].
    found: Vec<Head>,
    /// Where the branches begin that those are of.
    found_from: Option<BranchPath>,
}

impl Walk {
    /// A walk that begins here.
    pub(super) fn new(from: BranchPath) -> Self {
        Self {
            from,
            ..Self::default()
        }
    }

    /// Adds what was found to differ, ascending and before all that waits.
    pub(super) fn handle_comparison(&mut self, compared: Comparison) {
        let branches = compared.branches.into_iter().rev();
        let from = &self.from;
        let is_behind = |it: &BranchDigest| it.path >= *from || from.is_within(&it.path);
        self.waiting.extend(branches.filter(is_behind));
        self.found.extend(compared.heads);
    }

    /// The branches to ask about next; none if all were looked at, or if the heads that were found
    /// have to be fetched first.
    pub(super) fn next(&mut self) -> Vec<BranchDigest> {
        let waiting_room = BRANCHES_WAITING_MAX.saturating_sub(self.waiting.len()) / CHILDREN_MAX;
        let found_room = WANTS_MAX.saturating_sub(self.found.len()) / LEAF_HEADS_MAX;
        let count = BRANCHES_MAX.min(waiting_room.max(1)).min(found_room);
        let at = self.waiting.len().saturating_sub(count);
        let mut next = self.waiting.split_off(at);
        next.reverse();
        if let Some(first) = next.first() {
            self.found_from.get_or_insert_with(|| first.path.clone());
        }
        next
    }

    /// The branch that would be asked about next.
    pub(super) fn peek(&self) -> Option<&BranchPath> {
        self.waiting.last().map(|next| &next.path)
    }

    /// What was found.
    pub(super) fn take_found(&mut self) -> (BranchPath, Vec<Head>) {
        let from = self.found_from.take().unwrap_or_default();
        (from, core::mem::take(&mut self.found))
    }
}

/// Checks that an answer is about what was asked, and that what it says can be true.
pub(super) fn check_branches(
    asked: &[BranchDigest],
    shown: &[Branch],
) -> Result<(), SyncViolation> {
    let mut asked = asked.iter();
    for branch in shown {
        asked
            .find(|it| branch.path.is_within(&it.path))
            .ok_or(SyncViolation::NotAsked)
            .and_then(|it| check_branch(&it.path, branch))?;
    }
    Ok(())
}

fn check_branch(asked: &BranchPath, branch: &Branch) -> Result<(), SyncViolation> {
    let digits = branch.children.iter().map(|child| child.digit);
    let is_divided = match branch.children.len() {
        0 => branch.path == *asked,
        1 => false,
        _ => branch.heads.is_empty() && branch.path.digits().len() < PATH_MAX,
    };
    let children_ascend = digits.is_sorted_by(|left, right| left < right);
    let digits_exist = branch
        .children
        .iter()
        .all(|child| usize::from(child.digit) < CHILDREN_MAX);
    let keys = branch.heads.iter().map(Head::key);
    let heads_ascend = keys.is_sorted_by(|left, right| left < right);
    let heads_belong = branch.heads.iter().all(|head| branch.path.has(head));
    if is_divided && children_ascend && digits_exist && heads_ascend && heads_belong {
        return Ok(());
    }
    Err(SyncViolation::Branch)
}

#[cfg(test)]
mod tests;
