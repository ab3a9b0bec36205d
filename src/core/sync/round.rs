//! The state of a link and of the round that runs with it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::walk::Walk;
use crate::types::{AuthorKey, Now};
use crate::wire::{BranchDigest, BranchPath, Head};

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub due_ms: u64,
    pub started_ms: Option<u64>,
    /// Where the next round begins.
    pub resume: Place,
    /// Of the next round.
    pub patience: Patience,
    pub courtesy: Courtesy,
    pub round: Option<Box<Round>>,
    pub serving: Option<Serving>,
}

/// How far a round has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The branches of heads from this one on,
    pub branch: BranchPath,
    /// and of the operations of the first of them those from here in the peer's order.
    pub from: u64,
}

/// A pull that runs.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// The question that it waits for, to the peer or to the owner of the set.
    pub number: u64,
    pub began_ms: u64,
    pub deadline_ms: u64,
    pub step: Step,
    pub patience: Patience,
    pub walk: Walk,
    /// Where the next heads to be fetched go on in the peer's order.
    pub from: u64,
    /// Questions about branches.
    pub pages: u32,
    /// Pages of operations that gained nothing.
    pub idle_pages: u32,
    pub received: u64,
    pub gained: u64,
    pub is_complete: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Waits for the owner's digest of everything.
    Beginning,
    /// Waits for the peer's branches.
    Asking { asked: Vec<BranchDigest> },
    /// Waits for the owner's answer what is different in them.
    Comparing,
    /// Waits for gossip, which may be bringing them.
    Waiting { heads: Heads },
    /// Waits for the owner's answer which heads are unknown, and from where on.
    Finding { heads: Heads },
    /// Waits for the peer's operations.
    Pulling { heads: Heads },
    /// Waits for the owner to apply them.
    Delivering { heads: Heads, remaining: u64 },
}

/// Unknown heads of the peer, kept while their operations are pulled.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads {
    pub place: Place,
    pub heads: Vec<Head>,
}

/// Whether a round gives gossip time to bring what it finds unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// No, or no longer: it pulls at once.
    Spent,
    /// It looks again after a while, once, and pulls what is still unknown.
    LooksAgain,
}

/// Whether rounds of a link leave to others what these are fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Courtesy {
    /// They do.
    Leaves,
    /// The last one has; when a round of another link ends, the next one begins.
    HasLeft,
    /// The next one does not: many liars in turn cannot keep everything from an honest peer.
    Insists,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All heads in one digest.
    Everything,
    /// Something else.
    Part,
}

/// An answer that is being prepared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serving {
    pub number: u64,
    pub request: u64,
    pub asked: Asked,
    pub deadline_ms: u64,
}

/// How long a round has its authors for itself whatever comes, in milliseconds, and by how much
/// each operation that came prolongs that: who serves less than a thousand a second is joined by
/// others. Guesses; a node checks tens of thousands a second.
const ALONE_MS: u64 = 2_000;
const ALONE_PER_OPERATION_MS: u64 = 1;

impl Round {
    /// Whether its peer serves it fast enough for no other link to be asked for the same. Else a
    /// peer could keep all others away with an operation now and then.
    pub(super) fn is_well_served(&self, now: Now) -> bool {
        let earned_ms = self.received.saturating_mul(ALONE_PER_OPERATION_MS);
        let alone_ms = ALONE_MS.saturating_add(earned_ms);
        now.monotonic_ms < self.began_ms.saturating_add(alone_ms)
    }

    /// The authors whose operations it is fetching.
    pub(super) fn pulled_authors(&self) -> impl Iterator<Item = AuthorKey> {
        let heads = match &self.step {
            Step::Finding { heads } | Step::Pulling { heads } | Step::Delivering { heads, .. } => {
                &heads.heads[..]
            }
            Step::Beginning | Step::Asking { .. } | Step::Comparing | Step::Waiting { .. } => &[],
        };
        heads.iter().map(|head| head.author)
    }

    /// Whether it was after operations that the peer claimed to have.
    pub(super) fn knows_of_more(&self) -> bool {
        matches!(self.step, Step::Pulling { .. } | Step::Delivering { .. })
    }
}

impl Link {
    /// Brings the next round forward, but keeps the pause.
    pub(super) fn hasten(&mut self, now: Now, pause_ms: u64) {
        let earliest_ms = match self.started_ms {
            Some(started_ms) => started_ms.saturating_add(pause_ms),
            None => now.monotonic_ms,
        };
        self.due_ms = self.due_ms.min(earliest_ms.max(now.monotonic_ms));
    }
}
