//! Gossip: every applied operation to every link that does not have it, once.
//!
//! A node pushes what it has just *applied* (so what is invalid travels one hop and no further) to
//! all its links but those that are known to have it: the link it came from, and every link on
//! which a copy came in the meantime. Receivers recognise copies by id, see [`crate::seen`]. This
//! is flooding: on a mesh of degree `k` an operation takes the fastest path to everyone, at the
//! price of up to `k - 1` copies. The machine asks `pushes_to` for each link and
//! operation; a tree of eager and lazy links is a change of that one decision.
//!
//! *Batches.* Operations wait up to `flush_ms` for company, or until a frame is full. One message
//! and one write per batch and link cost far less than one per operation.
//!
//! *Slow links.* What was handed to a link's writer and is not yet written counts against
//! `outbox_max_bytes`. Where a frame does not fit, the link is *full*: it gets nothing until half
//! of its outbox is written, and what it missed is counted. Then one [`Behind`] frame tells the
//! peer to synchronise, and pushing goes on. Pushing begins again *before* the peer synchronises,
//! so no operation falls between the two: what was applied earlier is in the summary that the peer
//! reads, what is applied later is pushed. A link that stays full for `full_max_ms` is given up. So
//! a slow peer costs one outbox and delays nobody.
//!
//! *Operations that came by synchronisation* are not pushed on: a node that catches up on a million
//! operations would send them all to peers who have had them for years. They count as missed on the
//! other links, and `announce_ms` later a [`Behind`] frame lets each peer compare heads and take
//! what it lacks. So a healed partition floods hop by hop through the same one path.
//!
//! *Forged copies.* The id of an operation covers its body, not its signature, so a liar can send a
//! known body with a wrong signature before the true one arrives, and the true one passes for a
//! copy. When such an operation is refused, [`Gossip::handle_not_applied`] forgets the id and asks
//! for synchronisation with every other link that brought a copy. Nothing is lost by racing.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::mem;

use ed25519_zebra::SigningKey;

use crate::outputs::Outputs;
use crate::seen::{Seen, SeenLimits};
use crate::types::{AuthorKey, LinkId, Now, OpId, Source, Via};
use crate::wire::{
    Behind, Frame, Goodbye, GoodbyeCode, OPERATIONS_MAX, OPERATIONS_TARGET_BYTES, Ops, Payload,
};

/// An operation as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireOperation<O = Vec<u8>> {
    /// Its id.
    pub id: OpId,
    /// Its bytes, which are not looked into.
    pub bytes: O,
}

/// How gossip behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipConfig {
    /// How long an operation waits for others to share its frame, in milliseconds.
    pub flush_ms: u64,
    /// Most bytes handed to a link's writer and not written.
    pub outbox_max_bytes: usize,
    /// How long a link may stay full before it is given up, in milliseconds.
    pub full_max_ms: u64,
    /// How long operations that came by synchronisation wait before they are announced.
    pub announce_ms: u64,
    /// Bounds of the memory for copies.
    pub seen: SeenLimits,
    /// Known to nobody else: keeps peers from choosing ids that are slow to find in that memory.
    /// See [`GossipConfig::secret_of`].
    pub secret: u64,
}

impl GossipConfig {
    /// The secret of the node with this key.
    pub fn secret_of(key: &SigningKey) -> u64 {
        let secret = blake3::derive_key("bitfitech gossip table 1", key.as_bytes());
        let first = secret.first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first)
    }
}

impl Default for GossipConfig {
    /// Guesses: the flush is small against any network, the outbox is what 1 Gbit/s carries in
    /// 30 ms, and a link that moved nothing for half a minute is dead.
    fn default() -> Self {
        Self {
            flush_ms: 2,
            outbox_max_bytes: 4 * 1024 * 1024,
            full_max_ms: 30_000,
            announce_ms: 100,
            seen: SeenLimits::default(),
            // Good enough where nobody is hostile.
            secret: 0,
        }
    }
}

/// Whether an operation came for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Verify and deliver it, then report it as applied or not applied.
    New,
    /// It is known or in the works: drop it.
    Copy,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipOutput<O = Vec<u8>> {
    /// Hand a frame to the link's writer; report its cost with [`Gossip::handle_written`].
    Send {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: Frame<O>,
        /// What it counts against the outbox.
        cost_bytes: usize,
    },
    /// Synchronise with a link soon.
    StartSync {
        /// The link.
        link: LinkId,
    },
    /// End a link.
    Disconnect {
        /// The link.
        link: LinkId,
        /// What to say.
        goodbye: Goodbye,
    },
}

/// Links are told apart by one bit each; one more says that an operation was pushed.
const SLOTS_MAX: u32 = u64::BITS - 1;

/// What is known of an operation that came lately: which links have it, or that it is done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passage(u64);

impl Passage {
    const PUSHED: Self = Self(1 << SLOTS_MAX);

    fn is_pushed(self) -> bool {
        self == Self::PUSHED
    }

    /// Notes that a link has it. Links beyond [`SLOTS_MAX`] have no bit: they may get a copy.
    fn note(&mut self, slot: Option<u32>) {
        if !self.is_pushed() {
            self.0 |= slot.map_or(0, |slot| 1 << slot);
        }
    }

    fn has(self, slot: Option<u32>) -> bool {
        !self.is_pushed() && slot.is_some_and(|slot| self.0 & (1 << slot) != 0)
    }
}

#[derive(Clone, Debug)]
struct Link {
    peer: AuthorKey,
    /// Its bit in a [`Passage`].
    slot: Option<u32>,
    outbox_bytes: usize,
    full_since_ms: Option<u64>,
    missed: u64,
}

/// The gossip of one node.
#[derive(Clone, Debug)]
pub struct Gossip<O = Vec<u8>> {
    config: GossipConfig,
    links: BTreeMap<LinkId, Link>,
    seen: Seen<Passage>,
    batch: Vec<WireOperation<O>>,
    batch_bytes: usize,
    flush_at_ms: Option<u64>,
    announce_at_ms: Option<u64>,
    outputs: Outputs<GossipOutput<O>>,
}

impl<O: Payload> Gossip<O> {
    /// A node without links.
    pub fn new(now: Now, config: GossipConfig) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            seen: Seen::new(now, config.seen, config.secret),
            batch: Vec::new(),
            batch_bytes: 0,
            flush_at_ms: None,
            announce_at_ms: None,
            outputs: Outputs::default(),
        }
    }

    /// A session was established.
    pub fn handle_link_up(&mut self, link: LinkId, peer: AuthorKey) {
        let is_free = |slot: &u32| self.links.values().all(|it| it.slot != Some(*slot));
        let slot = (0..SLOTS_MAX).find(is_free);
        self.links.insert(
            link,
            Link {
                peer,
                slot,
                outbox_bytes: 0,
                full_since_ms: None,
                missed: 0,
            },
        );
    }

    /// A session ended.
    pub fn handle_link_down(&mut self, link: LinkId) {
        let gone = self.links.remove(&link);
        let Some(slot) = gone.and_then(|state| state.slot) else {
            return;
        };
        // The next link with this bit has nothing yet.
        let passages = self.seen.values_mut();
        passages
            .filter(|passage| !passage.is_pushed())
            .for_each(|passage| passage.0 &= !(1 << slot));
    }

    /// Operations came over a link. Answers for each in turn. Of pulled operations a copy may be
    /// delivered too: the set of applied operations knows copies for sure.
    pub fn handle_operations(&mut self, now: Now, link: LinkId, ids: &[OpId]) -> Vec<Arrival> {
        let arrive = |id: &OpId| self.handle_operation(now, link, *id);
        ids.iter().map(arrive).collect()
    }

    /// As [`Gossip::handle_operations`], for one.
    pub fn handle_operation(&mut self, now: Now, link: LinkId, id: OpId) -> Arrival {
        let slot = self.links.get(&link).and_then(|state| state.slot);
        if let Some(passage) = self.seen.get_mut(&id) {
            passage.note(slot);
            return Arrival::Copy;
        }
        let mut passage = Passage::default();
        passage.note(slot);
        self.seen.insert(now, id, passage);
        Arrival::New
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
        self.note_holder(now, operation.id, source);
        self.batch_bytes += operation.bytes.size_bytes();
        self.batch.push(operation);
        if self.batch_bytes >= OPERATIONS_TARGET_BYTES || self.batch.len() >= OPERATIONS_MAX {
            self.flush(now);
        } else if self.flush_at_ms.is_none() {
            self.flush_at_ms = Some(now.monotonic_ms.saturating_add(self.config.flush_ms));
        }
    }

    fn slot(&self, link: LinkId) -> Option<u32> {
        self.links.get(&link).and_then(|state| state.slot)
    }

    fn note_holder(&mut self, now: Now, id: OpId, holder: Option<LinkId>) {
        let slot = holder.and_then(|link| self.slot(link));
        match self.seen.get_mut(&id) {
            Some(passage) if !passage.is_pushed() => passage.note(slot),
            _ => {
                let mut passage = Passage::default();
                passage.note(slot);
                self.seen.insert(now, id, passage);
            }
        }
    }

    fn announce_later(&mut self, now: Now, operation: &WireOperation<O>, source: LinkId) {
        let passage = self.take_passage(now, operation.id);
        for (id, link) in &mut self.links {
            let has_it = *id == source || passage.has(link.slot);
            link.missed = link.missed.saturating_add(u64::from(!has_it));
        }
        if self.announce_at_ms.is_none() {
            self.announce_at_ms = Some(now.monotonic_ms.saturating_add(self.config.announce_ms));
        }
    }

    /// Who is known to have an operation that is about to go out.
    fn take_passage(&mut self, now: Now, id: OpId) -> Passage {
        if let Some(passage) = self.seen.get_mut(&id) {
            return mem::replace(passage, Passage::PUSHED);
        }
        self.seen.insert(now, id, Passage::PUSHED);
        Passage::default()
    }

    /// Operations that [`Gossip::handle_operations`] called new will not be applied: they are
    /// invalid, which is the fault of `culprit`, or there was no room for them. They may come
    /// again, and are asked of the links that had them.
    pub fn handle_not_applied(&mut self, ids: &[OpId], culprit: Option<LinkId>) {
        let mut holders = Passage::default();
        for passage in ids.iter().filter_map(|id| self.seen.remove(id)) {
            if !passage.is_pushed() {
                holders.0 |= passage.0;
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
            self.announce(link);
        }
    }

    /// A link's writer has written a frame of this machine.
    pub fn handle_written(&mut self, link: LinkId, cost_bytes: usize) {
        let half = self.config.outbox_max_bytes / 2;
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        state.outbox_bytes = state.outbox_bytes.saturating_sub(cost_bytes);
        if state.full_since_ms.is_some() && state.outbox_bytes <= half {
            state.full_since_ms = None;
            self.announce(link);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self
            .flush_at_ms
            .is_some_and(|at_ms| at_ms <= now.monotonic_ms)
        {
            self.flush(now);
        }
        if self
            .announce_at_ms
            .is_some_and(|at_ms| at_ms <= now.monotonic_ms)
        {
            self.announce_at_ms = None;
            let links: Vec<LinkId> = self.links.keys().copied().collect();
            links.into_iter().for_each(|link| self.announce(link));
        }
        self.give_up_full_links(now);
    }

    /// The monotonic time at which [`Gossip::handle_timeout`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let full = self
            .links
            .values()
            .filter_map(|link| self.full_until_ms(link));
        let timers = [self.flush_at_ms, self.announce_at_ms];
        timers.into_iter().flatten().chain(full).min()
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

    /// The peer at the other end of a link.
    pub fn peer(&self, link: LinkId) -> Option<AuthorKey> {
        self.links.get(&link).map(|state| state.peer)
    }

    fn full_until_ms(&self, link: &Link) -> Option<u64> {
        let since_ms = link.full_since_ms?;
        Some(since_ms.saturating_add(self.config.full_max_ms))
    }

    /// Whether an operation goes to a link at once. Flooding: to all that do not have it.
    fn pushes_to(slot: Option<u32>, passage: Passage) -> bool {
        !passage.has(slot)
    }

    /// Sends the batch to all links.
    fn flush(&mut self, now: Now) {
        self.flush_at_ms = None;
        self.batch_bytes = 0;
        let batch = mem::take(&mut self.batch);
        let passages: Vec<Passage> = batch
            .iter()
            .map(|operation| self.take_passage(now, operation.id))
            .collect();
        for (link, state) in &mut self.links {
            let slot = state.slot;
            let chosen = batch
                .iter()
                .zip(&passages)
                .filter(|(_, passage)| Self::pushes_to(slot, **passage))
                .map(|(operation, _)| &operation.bytes);
            let limit_bytes = self.config.outbox_max_bytes;
            let sent = state.take_operations(now, limit_bytes, chosen);
            let send = sent.map(|(operations, cost_bytes)| GossipOutput::Send {
                link: *link,
                frame: Frame::Ops(Ops { operations }),
                cost_bytes,
            });
            self.outputs.extend(send);
        }
        // Its memory serves the next batch.
        self.batch = batch;
        self.batch.clear();
    }

    /// Tells a link that it missed something, unless it is full; then it is told later.
    fn announce(&mut self, link: LinkId) {
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
        let late: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, state)| {
                self.full_until_ms(state)
                    .is_some_and(|until_ms| until_ms <= now.monotonic_ms)
            })
            .map(|(link, _)| *link)
            .collect();
        for link in late {
            self.links.remove(&link);
            self.outputs.push_back(GossipOutput::Disconnect {
                link,
                goodbye: Goodbye {
                    code: GoodbyeCode::Slow,
                    reason: "you take operations more slowly than they are made".to_string(),
                },
            });
        }
    }
}

impl Link {
    /// Takes operations into the outbox, and says what they cost, or counts them as missed. They
    /// fit one frame: a batch is flushed by the operation that fills it.
    fn take_operations<'a, O: Payload + 'a>(
        &mut self,
        now: Now,
        outbox_max_bytes: usize,
        operations: impl Iterator<Item = &'a O> + Clone,
    ) -> Option<(Vec<O>, usize)> {
        let cost_bytes = operations.clone().map(Payload::size_bytes).sum();
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
        Some((operations.cloned().collect(), cost_bytes))
    }
}

#[cfg(test)]
mod tests;
