//! One link: its slot, its standing as a source, and how much it can take.
//!
//! What was handed to a link's writer and is not yet written counts against `outbox_max_bytes`.
//! Where operations do not fit, the link is *full*: it gets nothing until half of its outbox is
//! written, and what it missed is counted. Then one [`Behind`](crate::wire::Behind) frame tells the
//! peer to synchronise, and pushing goes on. Pushing begins again *before* the peer synchronises,
//! so no operation falls between the two: what was applied earlier is in the summary that the peer
//! reads, what is applied later is pushed. A link that stays full for `full_max_ms` is given up. So
//! a slow peer costs one outbox and delays nobody.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::types::{AuthorKey, Now};
use crate::wire::{Goodbye, GoodbyeCode, NAMED_MAX, Ops, Payload, Prefix};

/// After so many faults in excess of what a link has delivered, its announcements count for
/// nothing. A guess: honest links that lose a frame now and then stay far below.
pub(super) const FAULTS_MAX: u8 = 8;

/// A link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub peer: AuthorKey,
    /// Its bit in a set of links.
    pub slot: Option<u32>,
    pub outbox_bytes: usize,
    pub full_since_ms: Option<u64>,
    /// What it was not sent and not yet told of.
    pub missed: u64,
    /// How often it was silent where it should have pushed, less what it has delivered.
    faults: u8,
    /// Authors whose operations it is to announce from now on, and was not told yet.
    prunes: BTreeSet<Prefix>,
}

impl Link {
    pub(super) fn new(peer: AuthorKey, slot: Option<u32>) -> Self {
        Self {
            peer,
            slot,
            outbox_bytes: 0,
            full_since_ms: None,
            missed: 0,
            faults: 0,
            prunes: BTreeSet::new(),
        }
    }

    /// Takes operations into the outbox as one frame, and says what it costs, or counts them as
    /// missed. They fit: a batch is flushed by the operation that fills it.
    pub(super) fn take_operations<'a, O: Payload + 'a>(
        &mut self,
        now: Now,
        outbox_max_bytes: usize,
        operations: impl Iterator<Item = (&'a O, u8)> + Clone,
    ) -> Option<(Ops<O>, usize)> {
        let sizes = operations.clone().map(|(it, _)| it.size_bytes());
        let cost_bytes = sizes.sum();
        if cost_bytes == 0 {
            return None;
        }
        // An empty outbox takes any frame, or a small limit would stop a link for ever.
        let room_bytes = outbox_max_bytes.saturating_sub(self.outbox_bytes);
        let fits = self.outbox_bytes == 0 || cost_bytes <= room_bytes;
        if self.full_since_ms.is_some() || !fits {
            self.full_since_ms.get_or_insert(now.monotonic_ms);
            self.missed = self.missed.saturating_add(operations.count() as u64);
            return None;
        }
        self.outbox_bytes += cost_bytes;
        let (operations, hops) = operations.map(|(it, hops)| (it.clone(), hops)).unzip();
        Some((Ops { operations, hops }, cost_bytes))
    }

    /// Something is written. Whether the link is full no more.
    pub(super) fn handle_written(&mut self, cost_bytes: usize, outbox_max_bytes: usize) -> bool {
        self.outbox_bytes = self.outbox_bytes.saturating_sub(cost_bytes);
        let has_room = self.outbox_bytes <= outbox_max_bytes / 2;
        has_room && self.full_since_ms.take().is_some()
    }

    /// Until when it may stay full, if it is.
    pub(super) fn full_until_ms(&self, full_max_ms: u64) -> Option<u64> {
        Some(self.full_since_ms?.saturating_add(full_max_ms))
    }

    /// What a link is told that stayed full for too long.
    pub(super) fn goodbye() -> Goodbye {
        Goodbye {
            code: GoodbyeCode::Slow,
            reason: "you take operations more slowly than they are made".to_string(),
        }
    }

    /// It did not push what it should have.
    pub(super) fn note_fault(&mut self) {
        self.faults = self.faults.saturating_add(1).min(FAULTS_MAX);
    }

    /// It brought something new.
    pub(super) fn note_delivery(&mut self) {
        self.faults = self.faults.saturating_sub(1);
    }

    pub(super) fn faults(&self) -> u8 {
        self.faults
    }

    /// It is to be told to announce what this author writes. Of too many the rest waits for its
    /// next copy.
    pub(super) fn prune(&mut self, author: Prefix) {
        if self.prunes.len() < NAMED_MAX {
            self.prunes.insert(author);
        }
    }

    /// It is to go on pushing, or to begin again.
    pub(super) fn spare(&mut self, author: &Prefix) {
        self.prunes.remove(author);
    }

    /// Whom it is to be told of now.
    pub(super) fn take_prunes(&mut self) -> Vec<Prefix> {
        core::mem::take(&mut self.prunes).into_iter().collect()
    }
}
