//! Who is expelled, bucket by bucket (see [`crate::membership`]).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::dag::OpIndex;
use crate::market_log::{Deed, LogEntry};
use crate::matching::Owner;
use crate::op::MemberChange;
use crate::types::{AuthorKey, HybridTime, OpId};

/// A change of an author's standing.
pub(super) struct Turn {
    pub(super) change: MemberChange,
    pub(super) time: HybridTime,
    pub(super) operation: OpId,
    pub(super) bucket: u64,
    /// Its place in the log: behind all actions of its bucket.
    pub(super) entry: (OpIndex, u8),
    /// Whether the logs have been told.
    pub(super) is_told: bool,
}

/// All changes of standing, of authors who have written something and of others.
#[derive(Default)]
pub(super) struct Expulsions {
    /// By time, then by id.
    turns: BTreeMap<AuthorKey, Vec<Turn>>,
    /// Those of them who have written something and were ever expelled.
    owners: BTreeMap<Owner, AuthorKey>,
}

impl Expulsions {
    /// Takes a change in. What the logs are to be told comes from [`Expulsions::tell`].
    pub(super) fn insert(&mut self, author: AuthorKey, turn: Turn) {
        let turns = self.turns.entry(author).or_default();
        let key = (turn.time, turn.operation);
        let at = turns.partition_point(|turn| (turn.time, turn.operation) < key);
        turns.insert(at, turn);
    }

    /// What the logs have not been told of an author: nothing while he was never expelled.
    pub(super) fn tell(&mut self, author: &AuthorKey, owner: Owner) -> Vec<LogEntry> {
        let Some(turns) = self.turns.get_mut(author) else {
            return Vec::new();
        };
        let is_expulsion = |turn: &Turn| turn.change == MemberChange::Expel;
        if !turns.iter().any(is_expulsion) {
            return Vec::new();
        }
        self.owners.insert(owner, *author);
        let untold = turns.iter_mut().filter(|turn| !turn.is_told);
        untold
            .map(|turn| {
                turn.is_told = true;
                let deed = match turn.change {
                    MemberChange::Admit => Deed::Readmit,
                    MemberChange::Expel => Deed::Expel(owner),
                };
                LogEntry::end(turn.bucket, turn.entry, deed)
            })
            .collect()
    }

    /// Whether nobody who has written anything was ever expelled.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether what an author places in a bucket is rejected.
    pub(super) fn is_expelled(&self, owner: Owner, bucket: u64) -> bool {
        let author = self.owners.get(&owner);
        let turns = author.and_then(|author| self.turns.get(author));
        let Some(turns) = turns else {
            return false;
        };
        let behind = turns.partition_point(|turn| turn.bucket < bucket);
        let latest = turns[..behind].last();
        latest.is_some_and(|turn| turn.change == MemberChange::Expel)
    }
}
