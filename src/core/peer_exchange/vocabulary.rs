//! What goes into the machine of peer exchange and what comes out.

use core::net::IpAddr;

use super::Limits;
use crate::address::{PeerAddress, Reach};
use crate::address_book::BookConfig;
use crate::handshake::Dialler;
use crate::types::{AuthorKey, LinkId};
use crate::wire::{GetPeers, Goodbye, Peers};

/// Whether nodes tell each other of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanging {
    /// This node asks and answers.
    On,
    /// It does neither.
    Off,
}

/// How a node looks for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerExchangeConfig {
    /// Whether nodes tell each other of nodes.
    pub exchange: Exchanging,
    /// How many sessions.
    pub limits: Limits,
    /// Most addresses dialled at a time.
    pub dials_max: usize,
    /// Failures in a row after which an address that worked before is no longer tried again at
    /// once.
    pub failures_max: u32,
    /// After how long a dial without result is forgotten, in milliseconds.
    pub dial_timeout_ms: u64,
    /// Time between two questions to a peer, in milliseconds, more or less half of it.
    pub ask_interval_ms: u64,
    /// The same while links are missing and nobody is left to dial.
    pub ask_hurry_ms: u64,
    /// Least time between two answers to a peer, in milliseconds; questions before are dropped, and
    /// held against it beyond [`super::QUESTIONS_BURST`].
    pub answer_interval_ms: u64,
    /// How long a node that is full is left in peace, in milliseconds, more or less half of it.
    pub full_rest_ms: u64,
    /// Time between two changes of a link, in milliseconds, more or less half of it.
    pub rotate_interval_ms: u64,
    /// Nodes without a session for longer are not told of, in milliseconds.
    pub told_age_max_ms: u64,
    /// The book of addresses.
    pub book: BookConfig,
}

impl Default for PeerExchangeConfig {
    /// Guesses: eight dials are a burst that a home router bears; a minute and five minutes are
    /// nothing against the traffic of a session; a machine that was there a week ago may still be.
    fn default() -> Self {
        Self {
            exchange: Exchanging::On,
            limits: Limits::default(),
            dials_max: 8,
            failures_max: 3,
            dial_timeout_ms: 120_000,
            ask_interval_ms: 60_000,
            ask_hurry_ms: 2_000,
            answer_interval_ms: 1_000,
            full_rest_ms: 60_000,
            rotate_interval_ms: 300_000,
            told_age_max_ms: 7 * 24 * 3_600_000,
            book: BookConfig::default(),
        }
    }
}

/// What is known of a session when it is established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// The other node.
    pub node: AuthorKey,
    /// Who dialled.
    pub dialler: Dialler,
    /// The IP address of the other end; a peer without one is treated as a public one.
    pub remote: Option<IpAddr>,
    /// Where the other node takes connections: the dialled address, or what it says itself (see
    /// [`crate::address::claimed_listen`]).
    pub place: Option<PeerAddress>,
}

impl LinkFacts {
    /// Who could reach the other end.
    pub(super) fn reach(&self) -> Reach {
        self.remote.map_or(Reach::Public, Reach::of)
    }
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerExchangeOutput {
    /// Dial this address; if no session comes of it, report that with
    /// [`super::PeerExchange::handle_dialled`].
    Dial(PeerAddress),
    /// Send a question.
    Ask {
        /// To whom.
        link: LinkId,
        /// The question.
        ask: GetPeers,
    },
    /// Send an answer.
    Answer {
        /// To whom.
        link: LinkId,
        /// The answer.
        peers: Peers,
    },
    /// End a session that another has replaced.
    Part {
        /// Which.
        link: LinkId,
        /// What to say.
        goodbye: Goodbye,
    },
}

/// How a dial ended that brought no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialResult {
    /// Nobody answered, or not as a node of this network.
    Failed,
    /// The node takes no more sessions.
    Full,
    /// A user of either node wants no session: it is left in peace for the longest rest.
    Unwanted,
    /// It is this node itself.
    Own,
}

/// What is about to be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A place that the operator named; it may be a name.
    Operator,
    /// An address from [`PeerExchangeOutput::Dial`].
    Learned(PeerAddress),
}

/// Whether to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Dial.
    Go,
    /// Ask again later.
    Wait {
        /// When, in milliseconds.
        retry_in_ms: u64,
    },
    /// No more.
    Over,
}

/// How a peer behaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As it should.
    Fine,
    /// It asks more often than it may, or answers what was not asked. What it said was dropped.
    TooOften,
}
