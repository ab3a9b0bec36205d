//! The words of synchronisation: its bounds, its questions and how rounds end.

use alloc::vec::Vec;
use core::fmt;

use crate::types::LinkId;
use crate::wire::{Branch, BranchDigest, Frame, Head, OPERATIONS_TARGET_BYTES, WantEntry};

/// How synchronisation behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// Time between rounds with a link that has nothing new, in milliseconds.
    pub interval_ms: u64,
    /// Least time between the starts of two rounds with a link, in milliseconds.
    pub pause_ms: u64,
    /// How long gossip may take to bring what a round found unknown, in milliseconds.
    pub on_way_ms: u64,
    /// Longest time that one step of a round may take, in milliseconds.
    pub answer_timeout_ms: u64,
    /// Most questions about branches of heads of one round.
    pub branches_pages_max: u32,
    /// Most pages of operations of one round that gain nothing.
    pub idle_pages_max: u32,
    /// Bytes of operations in one answer.
    pub page_max_bytes: usize,
}

impl Default for SyncConfig {
    /// Guesses: a lost operation is found within half a minute, a peer's hint acted on within half
    /// a second, what gossip brings has come a second later, 4,096 branches with up to 65,536 heads are looked at in one round, and 4 MiB of
    /// copies are taken.
    fn default() -> Self {
        Self {
            interval_ms: 30_000,
            pause_ms: 500,
            on_way_ms: 1_000,
            answer_timeout_ms: 10_000,
            branches_pages_max: 64,
            idle_pages_max: 16,
            page_max_bytes: OPERATIONS_TARGET_BYTES,
        }
    }
}

/// Names a question to the owner of the set; goes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// On behalf of which link.
    pub link: LinkId,
    /// Which question.
    pub number: u64,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundEnd {
    /// Everything that the peer showed is here.
    Complete,
    /// The peer showed heads whose operations did not come or could not be applied yet. Peers that
    /// lie do this, but also honest ones while another link is faster.
    Incomplete,
    /// A step took too long.
    TimedOut,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncOutput<O = Vec<u8>> {
    /// Send a frame.
    Send {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: Frame<O>,
    },
    /// Read the digest of all heads, answer with [`super::Sync::handle_root_read`].
    ReadRoot {
        /// Goes back with the answer.
        ticket: Ticket,
    },
    /// Find out which of a peer's branches are different here, answer with
    /// [`super::Sync::handle_branches_read`].
    ReadBranches {
        /// Goes back with the answer.
        ticket: Ticket,
        /// What the peer has.
        asked: Vec<BranchDigest>,
    },
    /// Find out what is different in these branches, answer with
    /// [`super::Sync::handle_compared`].
    Compare {
        /// Goes back with the answer.
        ticket: Ticket,
        /// What the peer was asked about.
        asked: Vec<BranchDigest>,
        /// Those of them that are different there; the others are equal.
        shown: Vec<Branch>,
    },
    /// Read operations for a peer, answer with [`super::Sync::handle_missing_read`].
    ReadMissing {
        /// Goes back with the answer.
        ticket: Ticket,
        /// What the peer wants.
        wants: Vec<WantEntry>,
        /// Leave out what stands before this place in the owner's order of operations.
        from: u64,
        /// Most bytes of operations, but at least one operation.
        max_bytes: usize,
    },
    /// Find out which of these heads are unknown, answer with [`super::Sync::handle_wants_found`].
    FindWants {
        /// Goes back with the answer.
        ticket: Ticket,
        /// What a peer claims to have.
        heads: Vec<Head>,
    },
    /// Verify and apply these, answer with [`super::Sync::handle_delivered`].
    Deliver {
        /// Goes back with the answer.
        ticket: Ticket,
        /// Their wire bytes, each after what it leans on if the peer is honest.
        operations: Vec<O>,
    },
    /// A pull goes on.
    Progress {
        /// The link.
        link: LinkId,
        /// Operations that came in this round.
        received: u64,
        /// How many there will have been, as far as the peer knows.
        total: u64,
    },
    /// A round ended.
    Finished {
        /// The link.
        link: LinkId,
        /// How.
        end: RoundEnd,
        /// Operations that came.
        received: u64,
        /// Operations that the set gained.
        gained: u64,
    },
}

/// Operations for a peer: the first of those that it lacks, in an order in which each comes after
/// what it leans on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing<O = Vec<u8>> {
    /// Their wire bytes.
    pub operations: Vec<O>,
    /// How many remain; an estimate, but 0 only if none.
    pub remaining: u64,
    /// The place right after the last of these in the owner's order of operations.
    pub next: u64,
}

/// Why a peer's frame breaks the protocol; the session has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncViolation {
    /// A branch of heads was not asked for, or not at this place in the answer.
    NotAsked,
    /// A branch of heads is neither divided nor few heads, is not sorted, or has heads of another.
    Branch,
}

impl fmt::Display for SyncViolation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotAsked => "branches of heads must be those that were asked for, in that order",
            Self::Branch => {
                "a branch of heads must be divided in two or more or be few heads, in order"
            }
        })
    }
}

impl core::error::Error for SyncViolation {}
