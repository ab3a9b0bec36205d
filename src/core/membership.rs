//! Membership: who may write in a closed network, and how that changes while it runs.
//!
//! A network with an allow-list, or with administrators, is *closed*: only members write. Those
//! whom the genesis names are members from the beginning; administrators admit others, and expel
//! them, by signed operations. So members change and the history stays.
//!
//! *Admission* is a matter of validity, which may look at ancestors only. The first operation of an
//! author whom the genesis does not name is valid if one of its refs is an operation by which an
//! administrator admits him. All later ones follow by their chain.
//!
//! *Expulsion* cannot be one: whoever leaves the operation that expels him out of his ancestors
//! could write on for ever. It is a matter of the total order instead, like the end of a lease. At
//! the end of the bucket in which an author is expelled, his resting orders end, and whatever he
//! places in later buckets is rejected, until the end of a bucket in which he is admitted again. Of
//! several changes the latest counts, by time, then by id. What he signs about trades stays valid:
//! a trade that is final must never be taken back, so he loses the right to place, not to settle.
//! He gets no session from nodes that know of it and of nothing later. Known limit: by dating
//! operations back, up to his expulsion, he can still place orders that count; they show as late.
//!
//! *Sessions.* A node that was just set up has no history, so it knows only those members that the
//! genesis names. Therefore a Hello carries the operation that admitted its sender last: with the
//! key of an administrator from the genesis, anybody can check it. It counts, too, against an
//! expulsion that is earlier: or else a node that was away while all its peers were expelled and
//! admitted again would refuse them for ever, and never hear of it.
//!
//! Nothing here is bounded but by what administrators sign; they are trusted with that.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::dag::{Dag, OpIndex};
use crate::genesis::Genesis;
use crate::op::{Action, Body, MemberChange, Operation};
use crate::signature;
use crate::types::{AuthorKey, Digest, HybridTime, OpId};
use crate::wire::{Goodbye, GoodbyeCode};

/// What an author is to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// He may write.
    Member,
    /// He was never admitted.
    Stranger,
    /// An administrator has expelled him.
    Expelled,
}

impl Standing {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Stranger => "stranger",
            Self::Expelled => "expelled",
        }
    }
}

/// The place of a change among all those of an author's standing: the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeKey {
    /// When, as the administrator claims.
    pub time: HybridTime,
    /// The operation.
    pub id: OpId,
}

/// One change of an author's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEvent {
    /// Its place among the others.
    pub key: ChangeKey,
    /// Where it is.
    pub index: OpIndex,
    /// Who has signed it.
    pub administrator: AuthorKey,
    /// What it does.
    pub change: MemberChange,
    /// Its bytes, which prove it to others.
    pub wire: Arc<[u8]>,
}

/// The first operation of an author names nothing that admits him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted;

impl fmt::Display for NotAdmitted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("author is no member, or does not refer to what admits him")
    }
}

impl core::error::Error for NotAdmitted {}

/// What administrators have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Every change of an author's standing, by time, then by id.
    histories: BTreeMap<AuthorKey, Vec<MemberEvent>>,
}

impl Membership {
    /// Takes an applied operation in; whether it changes anything.
    pub fn insert(&mut self, operation: &Operation, index: OpIndex) -> bool {
        let body = operation.body();
        let changes = body.actions.iter().filter_map(Action::member);
        let mut is_changed = false;
        for (author, change) in changes {
            is_changed = true;
            let history = self.histories.entry(*author).or_default();
            let key = change_key(operation);
            let at = history.partition_point(|event| event.key < key);
            let event = MemberEvent {
                key,
                index,
                administrator: body.author,
                change,
                wire: operation.wire().clone(),
            };
            history.insert(at, event);
        }
        is_changed
    }

    /// Whether an operation whose ancestors have all been applied is a member's.
    ///
    /// # Errors
    /// It is not, and never will be.
    pub fn check(&self, body: &Body, genesis: &Genesis, dag: &Dag) -> Result<(), NotAdmitted> {
        if body.seq > 0 || genesis.is_founder(&body.author) {
            return Ok(());
        }
        let admissions = self.admissions(&body.author);
        let refs: Vec<OpIndex> = body.refs.iter().filter_map(|id| dag.find(id)).collect();
        if { admissions }.any(|event| refs.contains(&event.index)) {
            Ok(())
        } else {
            Err(NotAdmitted)
        }
    }

    fn admissions(&self, author: &AuthorKey) -> impl Iterator<Item = &MemberEvent> {
        let history = self.histories.get(author).into_iter().flatten();
        history.filter(|event| event.change == MemberChange::Admit)
    }

    /// The latest operation that admits an author.
    pub fn admission(&self, author: &AuthorKey) -> Option<&MemberEvent> {
        self.admissions(author).last()
    }

    /// What an author is now.
    pub fn standing(&self, genesis: &Genesis, author: &AuthorKey) -> Standing {
        match self.latest(author).map(|event| event.change) {
            Some(MemberChange::Admit) => Standing::Member,
            Some(MemberChange::Expel) => Standing::Expelled,
            None if genesis.is_founder(author) => Standing::Member,
            None => Standing::Stranger,
        }
    }

    /// Whether an author may have a session: as a member, or because he has shown an admission of
    /// which nothing is known here yet.
    pub fn may_connect(
        &self,
        genesis: &Genesis,
        author: &AuthorKey,
        shown: Option<ChangeKey>,
    ) -> bool {
        match self.latest(author) {
            Some(event) if event.change == MemberChange::Expel => shown > Some(event.key),
            Some(_) => true,
            None => genesis.is_founder(author) || shown.is_some(),
        }
    }

    /// Everyone whom administrators have admitted or expelled.
    pub fn changed(&self) -> impl Iterator<Item = &AuthorKey> {
        self.histories.keys()
    }

    /// The last change of an author's standing.
    pub fn latest(&self, author: &AuthorKey) -> Option<&MemberEvent> {
        self.histories.get(author)?.last()
    }
}

/// What a node that was expelled is told when its sessions end.
pub fn expelled() -> Goodbye {
    Goodbye {
        code: GoodbyeCode::Banned,
        reason: "expelled from the network by an administrator".to_string(),
    }
}

fn change_key(operation: &Operation) -> ChangeKey {
    ChangeKey {
        time: operation.body().time,
        id: operation.id(),
    }
}

/// The place of this change, if these bytes are an operation by which an administrator admits this
/// author.
pub fn shown_admission(
    wire: &[u8],
    author: &AuthorKey,
    genesis: &Genesis,
    digest: &Digest,
) -> Option<ChangeKey> {
    let operation = Operation::decode(wire, genesis, digest).ok()?;
    let key = change_key(&operation);
    let admission = Action::Member {
        author: *author,
        change: MemberChange::Admit,
    };
    if !operation.body().actions.contains(&admission) {
        return None;
    }
    let verdicts = signature::verify(alloc::vec![operation]);
    verdicts.iter().all(Result::is_ok).then_some(key)
}

#[cfg(test)]
mod tests;
