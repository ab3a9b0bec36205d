//! The frames by which nodes tell each other of nodes, see [`crate::peer_exchange`].
//!
//! Their kinds leave room for frames of gossip. Like every frame they have no room for extras:
//! another family of addresses, say, is another kind of frame, which older nodes skip.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::address::PeerAddress;
use crate::types::AuthorKey;

/// Most nodes of one answer: with keys about 4 KiB. A guess: enough for a node that knows nobody
/// to choose its links from.
pub const PEERS_MAX: usize = 64;

/// Most links that a node tells of, about 9 KiB; of more the first are told. Several times what a
/// node is given by default.
pub const LINKS_MAX: usize = 256;

/// Asks for nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPeers {
    /// Is repeated in the answer; not 0.
    pub request: u64,
    /// How many nodes are wanted at the most.
    pub peers_max: u64,
}

/// Nodes that the sender had sessions with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// That of the question; 0 if nobody asked, from a node that is full and about to part.
    pub request: u64,
    /// Where nodes take connections.
    #[serde(deserialize_with = "bounded::list::<_, _, PEERS_MAX>")]
    pub peers: Vec<PeerEntry>,
    /// Keys of the nodes with which the sender has sessions now, for a picture of the network.
    #[serde(deserialize_with = "bounded::list::<_, _, LINKS_MAX>")]
    pub links: Vec<AuthorKey>,
}

/// A node and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEntry {
    /// Where it takes connections.
    pub address: PeerAddress,
    /// Its key, as the sender knew it. A claim: the handshake proves it.
    pub node: Option<AuthorKey>,
    /// Seconds since the sender last had a session with it; 0 if it has one.
    pub age_s: u64,
}
