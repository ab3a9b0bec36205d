//! Gossip: every applied operation to every link that does not have it, once.
//!
//! A node passes on what it has just *applied*, so what is invalid travels one hop and no further.
//! To each link it either *pushes* the operation or *announces* that it has it. Which, is decided
//! for each author: his operations flow along a tree of links that pushes them to everyone once,
//! and the announcements on all other links find out where the tree is broken. This is Plumtree
//! (Leitão, Pereira, Rodrigues, "Epidemic broadcast trees", SRDS 2007) with a tree for each author.
//!
//! ```text
//!            push                 a copy comes:  Prune  -> announce from now on
//!   eager  ------->  lazy         announced, but does not come:  Graft  -> push again
//!   an author or a link of which nothing is known is eager: it is flooded
//! ```
//!
//! The parts, from the bottom up:
//!
//! - `passage`: which links have an operation, where it came from, over how many hops;
//! - `trees`: for each author, on which links his operations are not pushed;
//! - `lazy`: how copies prune and announcements graft;
//! - `missing`: what was announced and has not come; `recent`: what peers may ask for;
//! - `flow`: what a slow link can take.
//!
//! *Fewest hops.* A copy says over how many links it came. Of two links that bring an operation,
//! the one with fewer hops becomes the parent, if it was not much later than the first: where
//! latencies change from message to message, short trees are fast ones.
//!
//! *Batches.* The first operation after a pause goes out at once. Later ones wait until a pause
//! after the last flush is over, or until a frame is full: one message and one write for each
//! batch and link cost far less than one for each operation. The pause is `flush_ms` for each
//! frame of that flush, up to [`PAUSE_MAX_MS`]: so a node sends at most so many frames a second,
//! whether they go over two links or ten, and under load frames grow instead of multiplying.
//!
//! *Operations that came by synchronisation* are not pushed on: a node that catches up on a million
//! operations would send them all to peers who have had them for years. They count as missed on the
//! other links, and `announce_ms` later a [`Behind`] frame lets each peer compare heads and take
//! what it lacks. So a healed partition floods hop by hop through the same one path.
//!
//! *Forged copies.* The id of an operation covers its body, not its signature, so a liar can send a
//! known body with a wrong signature before the true one arrives, and the true one passes for a
//! copy. When such an operation is refused, [`Gossip::handle_not_applied`] forgets the id and asks
//! for synchronisation with every other link that brought a copy. Nothing is lost by racing, and no
//! link is pruned for what was not applied.
//!
//! Whatever a silent link, a full table or a lie keeps from a node comes by synchronisation.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use crate::outputs::Outputs;
use crate::seen::Seen;
use crate::types::{AuthorKey, LinkId, Now, OpId, Source, Via};
use crate::wire::{Behind, Frame, OPERATIONS_MAX, OPERATIONS_TARGET_BYTES, Payload, Prefix};

mod branches;
mod flow;
mod lazy;
mod missing;
mod passage;
mod recent;
mod trees;
mod vocabulary;

pub use branches::TreeView;
pub use missing::MISSING_MAX;
pub use vocabulary::{Arrival, Arriving, GossipConfig, GossipOutput, WireOperation};

use self::flow::Link;
use self::lazy::Announcement;
use self::missing::MissingTable;
use self::passage::{Origin, Passage, SLOTS_MAX, Slots, Stage};
use self::recent::{Kept, Recent};
use self::trees::Trees;

/// Longest pause between two flushes, in milliseconds, unless `flush_ms` alone is longer. A guess:
/// two hops of it are less than one of a slow link.
pub const PAUSE_MAX_MS: u64 = 20;

/// The gossip of one node.
#[derive(Clone, Debug)]
pub struct Gossip<O = Vec<u8>> {
    config: GossipConfig,
    links: BTreeMap<LinkId, Link>,
    seen: Seen<Passage>,
    trees: Trees,
    recent: Recent<O>,
    missing: MissingTable,
    batch: Vec<WireOperation<O>>,
    batch_bytes: usize,
    announcements: Vec<Announcement>,
    /// Until when operations wait for company.
    paused_until_ms: u64,
    flush_at_ms: Option<u64>,
    /// Until when announcements wait for company.
    lazy_from_ms: u64,
    lazy_at_ms: Option<u64>,
    announce_at_ms: Option<u64>,
    /// No link is given up for being full before.
    full_at_ms: Option<u64>,
    outputs: Outputs<GossipOutput<O>>,
}

/// Where an operation of the batch goes.
#[derive(Clone, Copy, Debug)]
struct Route {
    to: Slots,
    hops: u8,
}

impl<O: Payload> Gossip<O> {
    /// A node without links.
    pub fn new(now: Now, config: GossipConfig) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            seen: Seen::new(now, config.seen, config.secret),
            trees: Trees::new(config.trees_max, config.secret),
            recent: Recent::new(),
            missing: MissingTable::new(config.secret),
            batch: Vec::new(),
            batch_bytes: 0,
            announcements: Vec::new(),
            paused_until_ms: 0,
            flush_at_ms: None,
            lazy_from_ms: 0,
            lazy_at_ms: None,
            announce_at_ms: None,
            full_at_ms: None,
            outputs: Outputs::default(),
        }
    }

    /// A session was established.
    pub fn handle_link_up(&mut self, link: LinkId, peer: AuthorKey) {
        let is_free = |slot: &u32| self.links.values().all(|it| it.slot != Some(*slot));
        let slot = (0..SLOTS_MAX).find(is_free);
        self.links.insert(link, Link::new(peer, slot));
    }

    /// A session ended. Other links take its place in the trees.
    pub fn handle_link_down(&mut self, link: LinkId) {
        let gone = self.links.remove(&link);
        self.missing.forget_link(link);
        let Some(slot) = gone.and_then(|state| state.slot) else {
            return;
        };
        // The next link with this slot has nothing yet.
        for passage in self.seen.values_mut() {
            passage.holders.remove(Some(slot));
            if passage.origin.slot() == Some(slot) {
                passage.origin = Origin::Unnamed;
            }
        }
        for announcement in &mut self.announcements {
            announcement.to.remove(Some(slot));
        }
        let mut grafts: BTreeMap<LinkId, Vec<Prefix>> = BTreeMap::new();
        for (author, stand_in) in self.trees.forget_slot(slot) {
            if let Some(link) = self.link_at(stand_in) {
                grafts.entry(link).or_default().push(author);
            }
        }
        for (link, authors) in grafts {
            self.graft(link, authors, Vec::new());
        }
    }

    /// Operations came over a link. Answers for each in turn.
    pub fn handle_operations(
        &mut self,
        now: Now,
        link: LinkId,
        arriving: &[Arriving],
    ) -> Vec<Arrival> {
        let arrive = |it: &Arriving| self.handle_operation(now, link, *it);
        arriving.iter().map(arrive).collect()
    }

    /// A hint that this operation is to be handled next.
    pub(crate) fn prefetch(&self, id: &OpId, author: &AuthorKey) {
        self.seen.prefetch(id);
        self.trees.prefetch(Prefix::of(&author.0));
    }

    /// As [`Gossip::handle_operations`], for one.
    pub fn handle_operation(&mut self, now: Now, link: LinkId, arriving: Arriving) -> Arrival {
        if self.seen.contains(&arriving.id) {
            self.on_copy(now, link, &arriving);
            return Arrival::Copy;
        }
        let slot = self.slot(link);
        let mut passage = Passage::new(now, Origin::of(slot), arriving.hops);
        passage.holders.add(slot);
        self.seen.insert(now, arriving.id, passage);
        self.on_arrival(link, &arriving);
        Arrival::New
    }

    /// Operations were pulled from a link. Copies may be delivered too: the set of applied
    /// operations knows them for sure.
    pub fn handle_pulled(&mut self, now: Now, link: LinkId, ids: &[OpId]) {
        let slot = self.slot(link);
        for id in ids {
            self.missing.remove(&Prefix::of(&id.0));
            if !self.seen.contains(id) {
                let passage = Passage::new(now, Origin::Unknown, 0);
                self.seen.insert(now, *id, passage);
            }
            if let Some(passage) = self.seen.get_mut(id) {
                passage.holders.add(slot);
            }
        }
    }

    /// Operations were applied, each after what it leans on; now they may travel. Leave out those
    /// of proven forkers: these are served by synchronisation only.
    pub fn handle_applied(
        &mut self,
        now: Now,
        operations: impl IntoIterator<Item = WireOperation<O>>,
        source: Option<Source>,
    ) {
        for operation in operations {
            match source {
                None => self.push(now, operation, None),
                Some(Source { link, via }) => match via {
                    Via::Push => self.push(now, operation, Some(link)),
                    Via::Sync => self.announce_later(now, &operation, link),
                },
            }
        }
    }

    fn push(&mut self, now: Now, operation: WireOperation<O>, source: Option<LinkId>) {
        let slot = source.and_then(|link| self.slot(link));
        let origin = source.map_or(Origin::Own, |_| Origin::of(slot));
        let passage = self.applied_passage(now, operation.id, origin);
        self.on_path(now, Prefix::of(&operation.author.0), passage);
        self.batch_bytes += operation.bytes.size_bytes();
        self.batch.push(operation);
        if self.batch_bytes >= OPERATIONS_TARGET_BYTES || self.batch.len() >= OPERATIONS_MAX {
            self.flush(now);
        } else if self.flush_at_ms.is_none() {
            self.flush_at_ms = Some(now.monotonic_ms.max(self.paused_until_ms));
        }
    }

    fn slot(&self, link: LinkId) -> Option<u32> {
        self.links.get(&link).and_then(|state| state.slot)
    }

    fn link_at(&self, slot: u32) -> Option<LinkId> {
        let mut links = self.links.iter();
        let found = links.find(|(_, state)| state.slot == Some(slot));
        found.map(|(link, _)| *link)
    }

    /// What is known of an operation that was just applied. If its arrival was forgotten, it is as
    /// if it came now from `origin`.
    fn applied_passage(&mut self, now: Now, id: OpId, origin: Origin) -> Passage {
        if !self.seen.contains(&id) {
            let mut passage = Passage::new(now, origin, 0);
            passage.holders.add(origin.slot());
            self.seen.insert(now, id, passage);
        }
        let Some(passage) = self.seen.get_mut(&id) else {
            return Passage::default();
        };
        passage.stage = Stage::Applied;
        *passage
    }

    fn announce_later(&mut self, now: Now, operation: &WireOperation<O>, source: LinkId) {
        let passage = self.applied_passage(now, operation.id, Origin::Unknown);
        for (id, link) in &mut self.links {
            let has_it = *id == source || passage.holders.has(link.slot);
            link.missed = link.missed.saturating_add(u64::from(!has_it));
        }
        if self.announce_at_ms.is_none() {
            self.announce_at_ms = Some(now.monotonic_ms.saturating_add(self.config.announce_ms));
        }
    }

    /// Operations that [`Gossip::handle_operations`] called new will not be applied: they are
    /// invalid, which is the fault of `culprit`, or there was no room for them. They may come
    /// again, and are asked of the links that had them.
    pub fn handle_not_applied(&mut self, ids: &[OpId], culprit: Option<LinkId>) {
        let mut holders = Slots::default();
        for passage in ids.iter().filter_map(|id| self.seen.remove(id)) {
            if passage.stage == Stage::Arrived {
                holders.0 |= passage.holders.0;
            }
        }
        let others = self
            .links
            .iter()
            .filter(|(link, state)| Some(**link) != culprit && holders.has(state.slot));
        let starts = others.map(|(link, _)| GossipOutput::StartSync { link: *link });
        self.outputs.extend(starts);
    }

    /// What was applied may not have reached this link, because a part of this node was restarted:
    /// the link is told to compare.
    pub fn handle_gap(&mut self, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.missed = state.missed.max(1);
            self.announce_gap(link);
        }
    }

    /// A link's writer has written a frame of this machine.
    pub fn handle_written(&mut self, link: LinkId, cost_bytes: usize) {
        let limit_bytes = self.config.outbox_max_bytes;
        let state = self.links.get_mut(&link);
        if state.is_some_and(|state| state.handle_written(cost_bytes, limit_bytes)) {
            self.announce_gap(link);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let is_due = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| at_ms <= now.monotonic_ms);
        if is_due(self.flush_at_ms) {
            self.flush(now);
        }
        if is_due(self.lazy_at_ms) {
            self.flush_lazy(now);
        }
        if is_due(self.missing.next_due_ms()) {
            self.ask_for_missing(now);
        }
        if is_due(self.announce_at_ms) {
            self.announce_at_ms = None;
            let links: Vec<LinkId> = self.links.keys().copied().collect();
            links.into_iter().for_each(|link| self.announce_gap(link));
        }
        if is_due(self.full_at_ms) {
            self.give_up_full_links(now);
        }
    }

    /// The monotonic time at which [`Gossip::handle_timeout`] has something to do, or a little
    /// earlier.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let timers = [
            self.flush_at_ms,
            self.lazy_at_ms,
            self.missing.next_due_ms(),
            self.announce_at_ms,
            self.full_at_ms,
        ];
        timers.into_iter().flatten().min()
    }

    /// The next thing to do; ask until there is none.
    pub fn poll_output(&mut self) -> Option<GossipOutput<O>> {
        self.outputs.pop_front()
    }

    /// How many operations a link missed and was not yet told of.
    pub fn behind(&self, link: LinkId) -> u64 {
        self.links.get(&link).map_or(0, |state| state.missed)
    }

    /// How many ids are remembered: at most two generations.
    pub fn seen_len(&self) -> usize {
        self.seen.len()
    }

    /// How many authors' trees are known: at most two generations.
    pub fn trees_len(&self) -> usize {
        self.trees.len()
    }

    /// How many operations are kept for peers, and how many were announced and have not come.
    pub fn recent_and_missing_len(&self) -> (usize, usize) {
        (self.recent.len(), self.missing.len())
    }

    /// The peer at the other end of a link.
    pub fn peer(&self, link: LinkId) -> Option<AuthorKey> {
        self.links.get(&link).map(|state| state.peer)
    }

    /// Sends the batch on its ways.
    fn flush(&mut self, now: Now) {
        self.flush_at_ms = None;
        self.batch_bytes = 0;
        let batch = mem::take(&mut self.batch);
        let up = self.links.values().filter_map(|state| state.slot);
        let up = Slots(up.fold(0, |all, slot| all | 1 << slot));
        let routes = batch.iter().map(|operation| self.route(now, operation, up));
        let routes: Vec<Route> = routes.collect();
        let mut frames = 0;
        for (link, state) in &mut self.links {
            let slot = state.slot;
            let chosen = batch
                .iter()
                .zip(&routes)
                .filter(|(_, route)| slot.is_none() || route.to.has(slot))
                .map(|(operation, route)| (&operation.bytes, route.hops));
            let limit_bytes = self.config.outbox_max_bytes;
            let sent = state.take_operations(now, limit_bytes, chosen);
            let send = sent.map(|(pushed, cost_bytes)| GossipOutput::Send {
                link: *link,
                frame: Frame::Ops(pushed),
                cost_bytes,
            });
            frames += u64::from(send.is_some());
            self.outputs.extend(send);
        }
        self.plan_full();
        self.pause(now, frames);
        // Its memory serves the next batch.
        self.batch = batch;
        self.batch.clear();
    }

    /// Lets operations wait for company after a flush of so many frames.
    fn pause(&mut self, now: Now, frames: u64) {
        let flush_ms = self.config.flush_ms;
        let pause_ms = flush_ms.saturating_mul(frames.max(1));
        let pause_ms = pause_ms.min(PAUSE_MAX_MS.max(flush_ms));
        self.paused_until_ms = now.monotonic_ms.saturating_add(pause_ms);
    }

    /// Decides where an operation goes, and announces it to all others that lack it.
    fn route(&mut self, now: Now, operation: &WireOperation<O>, up: Slots) -> Route {
        let author = Prefix::of(&operation.author.0);
        let tree = self.trees.of_writer(author);
        let mut unknown = Passage::default();
        let passage = self.seen.get_mut(&operation.id).unwrap_or(&mut unknown);
        let lacking = Slots(up.0 & !passage.holders.0);
        // Who had it before it was pushed there does not need to be pushed to.
        tree.lazy.0 |= up.0 & passage.holders.0;
        let to = tree.pushes_to(lacking, author);
        passage.holders.0 |= to.0;
        let hops = passage.next_hops();
        let kept = Kept {
            author,
            bytes: operation.bytes.clone(),
            hops,
        };
        passage.kept = Some(self.recent.insert(now, kept, &self.config));
        let announcement = Announcement {
            id: Prefix::of(&operation.id.0),
            hops,
            to: Slots(lacking.0 & tree.lazy.0),
        };
        self.announce_operation(now, announcement);
        Route { to, hops }
    }

    /// Tells a link that it missed something, unless it is full; then it is told later.
    fn announce_gap(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        if state.missed == 0 || state.full_since_ms.is_some() {
            return;
        }
        let missed = mem::take(&mut state.missed);
        self.outputs.push_back(GossipOutput::Send {
            link,
            frame: Frame::Behind(Behind { missed }),
            cost_bytes: 0,
        });
    }

    fn give_up_full_links(&mut self, now: Now) {
        let full_max_ms = self.config.full_max_ms;
        let is_late = |state: &Link| {
            let until_ms = state.full_until_ms(full_max_ms);
            until_ms.is_some_and(|until_ms| until_ms <= now.monotonic_ms)
        };
        let late = self.links.iter().filter(|(_, state)| is_late(state));
        let late: Vec<LinkId> = late.map(|(link, _)| *link).collect();
        for link in late {
            self.handle_link_down(link);
            self.outputs.push_back(GossipOutput::Disconnect {
                link,
                goodbye: Link::goodbye(),
            });
        }
        self.plan_full();
    }

    /// Finds out when the next full link is given up, after a change.
    fn plan_full(&mut self) {
        let full_max_ms = self.config.full_max_ms;
        let links = self.links.values();
        let full = links.filter_map(|state| state.full_until_ms(full_max_ms));
        self.full_at_ms = full.min();
    }
}

#[cfg(test)]
mod tests;
