//! The words of the DHT: what it is configured with, asked for, and says.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::krpc::{Contact, NodeId, Refusal};

/// Bytes of the hash of a value.
pub const HASH_BYTES: usize = 20;

/// How a node of the DHT behaves. The defaults are those of Grenache's Grape as a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhtConfig {
    /// Through whom the DHT is entered.
    pub bootstrap: Vec<SocketAddrV4>,
    /// Age of announcements, in milliseconds. One is forgotten 4/3 of it after it was last
    /// repeated, which is when Grenache's has forgotten it at the latest.
    pub peer_age_ms_max: u64,
    /// Most announcements kept; the oldest go first.
    pub peers_max: usize,
    /// Most values kept; the least recently used go first.
    pub values_max: usize,
    /// Most names for which it is remembered who accepts announcements; as for values.
    pub tables_max: usize,
    /// Silence after which a known node is asked whether it is still there, in milliseconds.
    pub liveness_ms: u64,
    /// Address under which own announcements are kept here as well. Without one, own services are
    /// seen through the neighbours alone, as with Grenache.
    pub announce_host: Option<Ipv4Addr>,
}

impl Default for DhtConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            peer_age_ms_max: 120_000,
            peers_max: 10_000,
            values_max: 5_000,
            tables_max: 5_000,
            liveness_ms: 300_000,
            announce_host: None,
        }
    }
}

/// The number of something that was asked for; its result comes with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// What the state machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where.
        to: SocketAddrV4,
        /// What.
        datagram: Vec<u8>,
    },
    /// Something that was asked for has ended.
    Finished {
        /// Its number.
        query: QueryId,
        /// How.
        outcome: Outcome,
    },
    /// News.
    Event(DhtEvent),
}

/// News of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtEvent {
    /// The first attempt to enter the DHT is over, successful or not.
    Ready,
    /// An announcement was stored here.
    Announced {
        /// Name of the service.
        name: Vec<u8>,
        /// Its address.
        peer: SocketAddrV4,
    },
    /// A node is known now.
    NodeAdded(Contact),
    /// A lookup found an address.
    PeerFound(SocketAddrV4),
}

/// How something that was asked for ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A lookup.
    Lookup(Found),
    /// An announcement: how many nodes accepted it.
    Announce(Result<usize, SendError>),
    /// The value, if there is one.
    Get(Option<FoundValue>),
    /// The hash of the value that is kept now.
    Put(Result<[u8; HASH_BYTES], SendError>),
}

/// What a lookup found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses that offer the service, at most [`PEERS_FOUND_MAX`], in random order.
    pub peers: Vec<SocketAddrV4>,
    /// How many nodes were ready to take an announcement.
    pub nodes: usize,
}

/// Most addresses of one result; of more a random choice is taken, as Grenache does.
pub const PEERS_FOUND_MAX: usize = 100;

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundValue {
    /// The node that had it.
    pub node: NodeId,
    /// The permission that it gave; `None` if it is this node.
    pub token: Option<Vec<u8>>,
    /// The value in bencode.
    pub value: Vec<u8>,
    /// What makes it changeable.
    pub mutable: Option<Signed>,
}

/// What makes a value changeable, without its salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The public key.
    pub key: [u8; 32],
    /// The signature over value, sequence number and salt.
    pub signature: [u8; 64],
    /// The number of the change.
    pub sequence: i64,
}

/// A value to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRequest {
    /// The value in bencode.
    pub value: Vec<u8>,
    /// For a value that its key may change.
    pub mutable: Option<MutablePut>,
}

/// What a put of a changeable value needs besides the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutablePut {
    /// Key, signature and sequence number. A wrong signature is what other nodes refuse.
    pub signed: Signed,
    /// What tells several values of one key apart; empty is none.
    pub salt: Vec<u8>,
    /// Only if the kept value has this sequence number.
    pub compare: Option<i64>,
}

/// Which value to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// Its hash.
    pub target: Vec<u8>,
    /// The salt with which it was put, if it is a changeable one.
    pub salt: Vec<u8>,
    /// Whether a value that is kept here is good enough.
    pub cache: CacheUse,
}

/// Whether a value that is kept here is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// It is, even if others have a newer one.
    Allowed,
    /// Others are asked.
    Bypassed,
}

/// Why no node took an announcement or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is nobody to send it to.
    NoNodes,
    /// Nobody answered, or all refused.
    AllFailed,
    /// All refused, and this is what the last one with something to say about the value said.
    Refused(Refusal),
}

impl fmt::Display for SendError {
    /// The texts are Grenache's, which programs compare.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => out.write_str("No nodes to query"),
            Self::AllFailed => out.write_str("All queries failed"),
            Self::Refused(Refusal { code, text }) => {
                let text = alloc::string::String::from_utf8_lossy(text);
                write!(out, "{code} {text}")
            }
        }
    }
}

impl core::error::Error for SendError {}

/// More was asked for than the DHT remembers; ask again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl fmt::Display for Overloaded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("too much is asked of the DHT: try again later")
    }
}

impl core::error::Error for Overloaded {}
