//! The words of gossip: its bounds, what comes in, and what the machine wants done.

use alloc::vec::Vec;

use ed25519_zebra::SigningKey;

use crate::seen::SeenLimits;
use crate::types::{AuthorKey, LinkId, OpId};
use crate::wire::{Frame, Goodbye};

/// An operation as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireOperation<O = Vec<u8>> {
    /// Its id.
    pub id: OpId,
    /// Who wrote it.
    pub author: AuthorKey,
    /// Its bytes, which are not looked into.
    pub bytes: O,
}

/// A pushed operation that comes in, whose signature nobody has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Its id.
    pub id: OpId,
    /// Who is said to have written it. Of an id that was applied this is true, for the id covers
    /// the author.
    pub author: AuthorKey,
    /// Over how many links it is said to have come.
    pub hops: u8,
}

/// How gossip behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipConfig {
    /// How long an operation waits for others to share its frame, in milliseconds, for each frame
    /// that went out so shortly before; at most [`super::PAUSE_MAX_MS`].
    pub flush_ms: u64,
    /// Most bytes handed to a link's writer and not written.
    pub outbox_max_bytes: usize,
    /// How long a link may stay full before it is given up, in milliseconds.
    pub full_max_ms: u64,
    /// How long operations that came by synchronisation wait before they are announced.
    pub announce_ms: u64,
    /// How long announcements and prunes wait for company at least, in milliseconds.
    pub lazy_ms: u64,
    /// How long an announced operation may be on its way before it is asked for, and then how long
    /// each peer that is asked may take, in milliseconds.
    pub graft_ms: u64,
    /// How long an operation may be missing on which others lean that have come, before it is asked
    /// for, in milliseconds.
    pub lacking_ms: u64,
    /// How much later a copy may come for each hop that it is ahead, and still be from the better
    /// parent, in milliseconds.
    pub hop_worth_ms: u64,
    /// Most authors whose trees are known, in each of two generations.
    pub trees_max: usize,
    /// Most operations kept for peers that ask for them.
    pub recent_max: usize,
    /// Most bytes of them.
    pub recent_max_bytes: usize,
    /// How long they are kept, in milliseconds.
    pub recent_ms: u64,
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
    /// 30 ms, and a link that moved nothing for half a minute is dead. The times of lazy links were
    /// chosen by simulation (`docs/PERFORMANCE.md`). Trees take about 60 bytes an author, and what
    /// is kept for grafts is what a busy network writes in a second or two.
    fn default() -> Self {
        Self {
            flush_ms: 2,
            outbox_max_bytes: 4 * 1024 * 1024,
            full_max_ms: 30_000,
            announce_ms: 100,
            lazy_ms: 50,
            graft_ms: 250,
            lacking_ms: 30,
            hop_worth_ms: 30,
            trees_max: 8_192,
            recent_max: 2_048,
            recent_max_bytes: 1024 * 1024,
            recent_ms: 10_000,
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
    /// Hand a frame to the link's writer; report its cost with [`super::Gossip::handle_written`].
    Send {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: Frame<O>,
        /// What it counts against the outbox; 0 needs no report.
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
