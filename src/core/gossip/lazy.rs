//! Lazy links: copies prune, announcements graft.
//!
//! *Prune.* Each operation should come to a node once. The link that brought it first, or with
//! fewer hops, is the parent in its author's tree; any other that brings a copy is told to announce
//! this author's operations from now on. Only an operation that was *applied* prunes, so a liar
//! cannot turn links away with invented or forged ones.
//!
//! *Announce.* Where a node does not push, it says what it has: eight bytes of the id and the
//! number of hops, all in one frame, and not to peers who have it by then.
//!
//! *Graft.* What was announced and does not come is asked for ([`super::missing`]), and sooner what
//! others lean on that have come, because it holds them up: a lost frame does not, in a network
//! where everything leans on what was just written, delay everything by a retransmission. It also
//! makes the link eager again. So a tree mends itself where a link is silent or went down: who does
//! not push loses his place to the first who announces. An announcement of an operation that is
//! here and that would have come with at least [`SHORTER_BY`] hops fewer is a graft too, without a
//! question: trees grow shorter while they are used.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use super::flow::FAULTS_MAX;
use super::missing::Due;
use super::passage::{Origin, Passage, Slots, Stage};
use super::{Arriving, Gossip, GossipOutput};
use crate::types::{LinkId, Now, OpStem};
use crate::wire::{
    Announce, Frame, Graft, NAMED_MAX, OPERATIONS_TARGET_BYTES, PageRoom, Payload, Prefix, Prune,
};

/// How many hops fewer an announcement must promise to change a tree that works.
const SHORTER_BY: u8 = 1;

/// How long announcements wait for each frame of them that was sent before, in milliseconds, and
/// how long at the most: where much is announced it comes in few frames, later. A guess: less than
/// `graft_ms`, which a lost operation waits for anyway.
const PAUSE_PER_FRAME_MS: u64 = 15;
const PAUSE_MAX_MS: u64 = 150;

/// Of who has an operation without having announced it: any announcer is nearer.
const HOPS_UNKNOWN: u8 = u8::MAX;

/// Bytes of one announcement.
const ANNOUNCEMENT_BYTES: usize = 9;

/// An operation to be announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    pub id: Prefix,
    pub hops: u8,
    /// To which links.
    pub to: Slots,
}

impl<O: Payload> Gossip<O> {
    /// A pushed operation came for the first time.
    pub(super) fn on_arrival(&mut self, link: LinkId, arriving: &Arriving) {
        if let Some(state) = self.links.get_mut(&link) {
            state.note_delivery();
        }
        let missing = self.missing.remove(&Prefix::of(&arriving.id.0));
        if missing.is_none_or(|it| it.asked.is_none()) {
            return;
        }
        // It had to be asked for, so somebody was silent, and loses his place.
        let author = Prefix::of(&arriving.author.0);
        let slot = self.slot(link);
        let Some(tree) = self.trees.get_mut(author) else {
            return;
        };
        let silent = tree.parent;
        tree.adopt(slot);
        let silent = silent.and_then(|slot| self.link_at(slot.into()));
        let silent = silent.filter(|silent| *silent != link);
        if let Some(state) = silent.and_then(|silent| self.links.get_mut(&silent)) {
            state.note_fault();
        }
    }

    /// A copy came: one of the two links is to announce from now on.
    pub(super) fn on_copy(&mut self, now: Now, link: LinkId, arriving: &Arriving) {
        let slot = self.slot(link);
        let Some(passage) = self.seen.get_mut(&arriving.id) else {
            return;
        };
        passage.holders.add(slot);
        let before = passage.origin;
        if before == Origin::of(slot) {
            return;
        }
        let author = Prefix::of(&arriving.author.0);
        let parent = self.trees.get_mut(author).and_then(|tree| tree.parent);
        // A tree that works is not changed by a race that its parent lost once.
        let is_parent = slot.is_some() && parent.map(u32::from) == slot;
        let is_better = passage.prefers(now, arriving.hops, &self.config)
            || is_parent && arriving.hops <= passage.hops;
        if is_better {
            passage.origin = Origin::of(slot);
            passage.hops = arriving.hops;
        }
        if passage.stage == Stage::Arrived {
            return;
        }
        let Some(tree) = self.trees.get_mut(author) else {
            return;
        };
        if is_better {
            tree.adopt(slot);
            self.spare(link, &author);
            self.prune(
                now,
                before.slot().and_then(|slot| self.link_at(slot)),
                author,
            );
        } else {
            if is_parent {
                tree.adopt(before.slot());
            }
            tree.note_other(slot);
            self.prune(now, Some(link), author);
        }
    }

    /// An operation was applied that was pushed or written here. If its author has no tree yet, the
    /// way that it took is the beginning of one.
    pub(super) fn on_path(&mut self, now: Now, author: Prefix, passage: Passage) {
        let tree = self.trees.of_writer(author);
        let slot = passage.origin.slot();
        let parent = tree.parent.map(u32::from);
        if parent.is_none_or(|parent| passage.holders.has(Some(parent))) {
            tree.adopt(slot);
        }
        let mut others = passage.holders;
        others.remove(slot);
        for slot in others.iter() {
            self.trees.of_writer(author).note_other(Some(slot));
            self.prune(now, self.link_at(slot), author);
        }
    }

    fn prune(&mut self, now: Now, link: Option<LinkId>, author: Prefix) {
        if let Some(state) = link.and_then(|link| self.links.get_mut(&link)) {
            state.prune(author);
            self.plan_lazy(now);
        }
    }

    /// Something lazy waits: unless it is planned, it goes out after a moment.
    fn plan_lazy(&mut self, now: Now) {
        let due_ms = now.monotonic_ms.saturating_add(self.config.lazy_ms);
        let due_ms = due_ms.max(self.lazy_from_ms);
        self.lazy_at_ms.get_or_insert(due_ms);
    }

    fn spare(&mut self, link: LinkId, author: &Prefix) {
        if let Some(state) = self.links.get_mut(&link) {
            state.spare(author);
        }
    }

    /// A peer wants these authors' operations announced, not pushed.
    pub fn handle_prune(&mut self, link: LinkId, prune: &Prune) {
        let slot = self.slot(link);
        for author in &prune.authors {
            if let Some(tree) = self.trees.get_mut(*author) {
                tree.lazy.add(slot);
            }
        }
    }

    /// A peer has operations that it does not push.
    pub fn handle_announce(&mut self, now: Now, link: LinkId, announce: &Announce) {
        let Some(faults) = self.links.get(&link).map(|state| state.faults()) else {
            return;
        };
        let slot = self.slot(link);
        let due_ms = now.monotonic_ms.saturating_add(self.config.graft_ms);
        let mut shorter = Vec::new();
        for (id, hops) in announce.ids.iter().zip(&announce.hops) {
            if let Some(passage) = self.seen.get_prefix_mut(&id.0) {
                passage.holders.add(slot);
                let is_shorter = passage.hops >= hops.saturating_add(SHORTER_BY);
                let is_pushed = matches!(passage.origin, Origin::Slot(_));
                if is_shorter && is_pushed && passage.stage == Stage::Applied && faults == 0 {
                    shorter.extend(self.shorten(now, *id, (slot, *hops)));
                }
            } else if faults < FAULTS_MAX {
                self.missing.note(*id, (link, *hops), due_ms);
            }
        }
        if !shorter.is_empty() {
            self.graft(link, shorter, Vec::new());
        }
    }

    /// A link pushed an operation that leans on others which are not here. It passes on only what
    /// it has applied, so it has them too: if they are not just on their way, they come from there.
    pub fn handle_lacking(&mut self, now: Now, link: LinkId, ancestors: &[OpStem]) {
        let faults = self.links.get(&link).map(|state| state.faults());
        if faults.is_none_or(|faults| faults >= FAULTS_MAX) {
            return;
        }
        let due_ms = now.monotonic_ms.saturating_add(self.config.lacking_ms);
        for ancestor in ancestors {
            let id = Prefix::of(&ancestor.padded().0);
            if self.seen.get_prefix_mut(&id.0).is_none() {
                self.missing.note(id, (link, HOPS_UNKNOWN), due_ms);
            }
        }
    }

    /// Makes a link the parent in the tree of this operation's author, whom this returns.
    fn shorten(&mut self, now: Now, id: Prefix, (slot, hops): (Option<u32>, u8)) -> Option<Prefix> {
        let passage = self.seen.get_prefix_mut(&id.0)?;
        let (_, kept) = self.recent.get(passage.kept?)?;
        let author = kept.author;
        let tree = self.trees.get_mut(author)?;
        let before = passage.origin.slot();
        if slot.is_none() || tree.parent.map(u32::from) != before {
            // Another operation has changed the tree already.
            return None;
        }
        passage.origin = Origin::of(slot);
        passage.hops = hops;
        tree.adopt(slot);
        self.prune(now, before.and_then(|slot| self.link_at(slot)), author);
        Some(author)
    }

    /// A peer wants to be pushed to again.
    pub fn handle_graft(&mut self, now: Now, link: LinkId, graft: &Graft) {
        let slot = self.slot(link);
        for author in &graft.authors {
            if let Some(tree) = self.trees.get_mut(*author) {
                tree.lazy.remove(slot);
            }
        }
        let found = graft.ids.iter().filter_map(|id| {
            let passage = self.seen.get_prefix_mut(&id.0)?;
            self.recent.get(passage.kept?)
        });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        let absent = (graft.ids.len() - found.len()) as u64;
        // Who names one twice gets it once.
        found.dedup_by_key(|(place, _)| *place);
        for (_, kept) in &found {
            if let Some(tree) = self.trees.get_mut(kept.author) {
                tree.lazy.remove(slot);
            }
        }
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let mut rest = &found[..];
        while !rest.is_empty() {
            let (now_sent, later) = rest.split_at(fitting(rest.iter().map(|(_, it)| &it.bytes)));
            rest = later;
            let operations = now_sent.iter().map(|(_, it)| (&it.bytes, it.hops));
            let limit_bytes = self.config.outbox_max_bytes;
            let sent = state.take_operations(now, limit_bytes, operations);
            let send = sent.map(|(pushed, cost_bytes)| GossipOutput::Send {
                link,
                frame: Frame::Ops(pushed),
                cost_bytes,
            });
            self.outputs.extend(send);
        }
        state.missed = state.missed.saturating_add(absent);
        self.plan_full();
        self.announce_gap(link);
    }

    /// Asks a link to push again.
    pub(super) fn graft(&mut self, link: LinkId, authors: Vec<Prefix>, ids: Vec<Prefix>) {
        authors.iter().for_each(|author| self.spare(link, author));
        let mut authors = authors.chunks(NAMED_MAX);
        let mut ids = ids.chunks(NAMED_MAX);
        loop {
            let (some, others) = (authors.next(), ids.next());
            if some.is_none() && others.is_none() {
                return;
            }
            let graft = Graft {
                authors: some.unwrap_or_default().to_vec(),
                ids: others.unwrap_or_default().to_vec(),
            };
            self.outputs.push_back(GossipOutput::Send {
                link,
                frame: Frame::Graft(graft),
                cost_bytes: 0,
            });
        }
    }

    /// Asks for what was announced and has not come.
    pub(super) fn ask_for_missing(&mut self, now: Now) {
        let links = &self.links;
        let faults_of = |link| links.get(&link).map_or(FAULTS_MAX, |state| state.faults());
        let due = self.missing.take_due(now, self.config.graft_ms, faults_of);
        let mut asked: BTreeMap<LinkId, Vec<Prefix>> = BTreeMap::new();
        let mut silent = Vec::new();
        let mut given_up = Vec::new();
        for (id, what) in due {
            let before = match what {
                Due::Ask(link, before) => {
                    asked.entry(link).or_default().push(id);
                    before
                }
                Due::GiveUp(before) => {
                    given_up.extend(before);
                    before
                }
            };
            silent.extend(before);
        }
        for links in [&mut silent, &mut given_up] {
            links.sort_unstable();
            links.dedup();
        }
        for link in silent {
            if let Some(state) = self.links.get_mut(&link) {
                state.note_fault();
            }
        }
        let starts = given_up.into_iter();
        self.outputs
            .extend(starts.map(|link| GossipOutput::StartSync { link }));
        for (link, ids) in asked {
            self.graft(link, Vec::new(), ids);
        }
    }

    /// Sends announcements and prunes.
    pub(super) fn flush_lazy(&mut self, now: Now) {
        self.lazy_at_ms = None;
        let mut frames = 0;
        let mut announcements = mem::take(&mut self.announcements);
        for it in &mut announcements {
            let holders = self.seen.get_prefix_mut(&it.id.0);
            it.to.0 &= !holders.map_or(0, |passage| passage.holders.0);
        }
        for (link, state) in &mut self.links {
            let chosen = announcements.iter().filter(|it| it.to.has(state.slot));
            let (ids, hops): (Vec<_>, Vec<_>) = chosen.map(|it| (it.id, it.hops)).unzip();
            if state.full_since_ms.is_some() {
                // It sheds what is lazy first.
                state.missed = state.missed.saturating_add(ids.len() as u64);
            } else if !ids.is_empty() {
                let cost_bytes = ids.len() * ANNOUNCEMENT_BYTES;
                frames += 1;
                state.outbox_bytes += cost_bytes;
                self.outputs.push_back(GossipOutput::Send {
                    link: *link,
                    frame: Frame::Announce(Announce { ids, hops }),
                    cost_bytes,
                });
            }
            let authors = state.take_prunes();
            if !authors.is_empty() {
                self.outputs.push_back(GossipOutput::Send {
                    link: *link,
                    frame: Frame::Prune(Prune { authors }),
                    cost_bytes: 0,
                });
            }
        }
        announcements.clear();
        self.announcements = announcements;
        let pause_ms = PAUSE_MAX_MS.min(PAUSE_PER_FRAME_MS * frames);
        self.lazy_from_ms = now.monotonic_ms.saturating_add(pause_ms);
    }

    /// Adds an announcement; a full frame does not wait.
    pub(super) fn announce_operation(&mut self, now: Now, announcement: Announcement) {
        if announcement.to.is_empty() {
            return;
        }
        self.announcements.push(announcement);
        self.plan_lazy(now);
        if self.announcements.len() >= NAMED_MAX {
            self.flush_lazy(now);
        }
    }
}

/// How many of these, at least one, fit a frame.
fn fitting<'a, O: Payload + 'a>(operations: impl Iterator<Item = &'a O>) -> usize {
    let mut room = PageRoom::new(OPERATIONS_TARGET_BYTES);
    let fitting = operations.take_while(|operation| room.take(operation.size_bytes()));
    fitting.count()
}

#[cfg(test)]
mod tests;
