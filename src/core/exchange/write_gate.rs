//! Whether a node may write that may lack some of its own chain.
//!
//! A node that was restored from an old copy, or whose store was lost, would sign places of its
//! chain anew. So after a start it asks: the gate opens when all heads of the own chain that peers
//! have shown are here, and no peer that still has something to say of it has been heard for a
//! while. Each peer is heard to the end once; where all write at all times, comparisons never end.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::dag::Dag;
use crate::types::{LinkId, Now, OpId};

/// How long a node whose key is not new waits for a peer that knows its chain before it writes:
/// since its start, and since a peer that has not told all yet last answered or served something.
pub const OWN_CHAIN_WAIT_MS: u64 = 2_000;

/// How long it waits in the same way although it has all that peers have shown of its chain: those
/// that answered may have been restored from a copy of the same day, and others may still be
/// dialled. A guess: a few round trips.
pub const OWN_CHAIN_LEAST_MS: u64 = 1_000;

/// How long it waits at the most, also for what a peer has shown of its chain and nobody serves. A
/// million operations are pulled in half of that; a liar who invents heads of its chain keeps it
/// from writing for so long.
pub const OWN_CHAIN_PULL_MS: u64 = 60_000;

/// Heads of the own chain that are waited for; an honest node has one. Lies cost the time limit.
const OWN_HEADS_MAX: usize = 16;

/// Links of which it is known that they have told all; what others say lets the node wait on, up to
/// the time limit.
const LINKS_MAX: usize = 1_024;

/// Whether a node may write.
#[derive(Clone, Debug)]
pub(super) enum WriteGate {
    Open,
    /// Peers may know own operations that the store lost.
    AskingPeers {
        since_ms: u64,
        /// When a peer last answered or served something, or the beginning.
        heard_ms: u64,
        /// Heads of the own chain that peers have shown, at most [`OWN_HEADS_MAX`].
        shown: Vec<OpId>,
        /// Links over which all was told that is known of the own chain, at most [`LINKS_MAX`].
        told: BTreeSet<LinkId>,
    },
}

impl WriteGate {
    /// The gate of a node that has to ask.
    pub(super) fn closed(now: Now) -> Self {
        Self::AskingPeers {
            since_ms: now.monotonic_ms,
            heard_ms: now.monotonic_ms,
            shown: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Until when it is closed if nothing more is heard.
    pub(super) fn closed_until_ms(&self, dag: &Dag) -> u64 {
        let Self::AskingPeers {
            since_ms,
            heard_ms,
            shown,
            ..
        } = self
        else {
            return 0;
        };
        let latest_ms = since_ms.saturating_add(OWN_CHAIN_PULL_MS);
        if !shown.iter().all(|id| dag.find(id).is_some()) {
            return latest_ms;
        }
        let wait_ms = if shown.is_empty() {
            OWN_CHAIN_WAIT_MS
        } else {
            OWN_CHAIN_LEAST_MS
        };
        heard_ms.saturating_add(wait_ms).min(latest_ms)
    }

    /// A peer answers, or serves what is missing here: own operations may be among what comes next.
    /// A gate that has opened closes again, unless something own was written. That a session began
    /// does not count: a peer that is silent or refuses the node would let it wait.
    pub(super) fn handle_answer(&mut self, now: Now, link: LinkId) {
        if let Self::AskingPeers { heard_ms, told, .. } = self
            && !told.contains(&link)
        {
            *heard_ms = now.monotonic_ms;
        }
    }

    /// All that this peer knows of the own chain was told.
    pub(super) fn handle_told(&mut self, link: LinkId) {
        if let Self::AskingPeers { told, .. } = self
            && told.len() < LINKS_MAX
        {
            told.insert(link);
        }
    }

    /// A peer has these heads of the own chain.
    pub(super) fn handle_own_heads(&mut self, heads: impl Iterator<Item = OpId>) {
        let Self::AskingPeers { shown, .. } = self else {
            return;
        };
        for head in heads {
            if shown.len() < OWN_HEADS_MAX && !shown.contains(&head) {
                shown.push(head);
            }
        }
    }
}
