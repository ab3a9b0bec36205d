//! Frames: what two nodes say to each other once the encrypted session stands.
//!
//! A session is a stream of frames: `length (u32, big endian, of kind and payload) ‖ kind (u8) ‖
//! payload`. The transport reads the length, refuses what exceeds [`FRAME_MAX_BYTES`] *before* it
//! allocates, and hands kind and payload to [`Frame::decode`]. A payload is one MessagePack value
//! in array form: a structure is an array of its fields in the order of this file, byte strings
//! are `bin`, an absent option is `nil`. Operations travel as opaque byte strings, for only their
//! exact bytes verify; this module never looks inside.
//!
//! | kind | frame | payload |
//! |---|---|---|
//! | 1 | Hello | first frame of both sides: who am I, see [`Hello`] |
//! | 2 | Refuse | instead of a session: code, reason |
//! | 3 | Goodbye | the end of a session: code, reason |
//! | 4, 5 | Ping, Pong | number; is answered with the same number |
//! | 6 | Ops | operations pushed as they are applied |
//! | 7 | Behind | the sender left operations out on this link: synchronise |
//! | 10, 11 | Want, Page | asks for, gives operations that lead to heads |
//! | 12 | Announce | operations that the sender has and does not push on this link |
//! | 13 | Prune | operations of these authors are to be announced, not pushed |
//! | 14 | Graft | they are to be pushed again |
//! | 16, 17 | GetPeers, Peers | asks for, gives addresses of nodes |
//! | 18, 19 | GetBranches, Branches | asks for, gives digests of heads, and heads, that differ |
//!
//! Kinds 8 and 9 were lists of heads until version 2 and are not used again.
//!
//! A node skips kinds that it does not know, so that later versions can add frames without a
//! change of version; that is also why a payload has no room for optional extras. The layouts of
//! Hello, Refuse and Goodbye are the same in every version for ever: nodes of any two versions
//! can tell each other why they part.
//!
//! Every list has a bound that is checked while decoding, before an element is stored, so decoding
//! takes memory in proportion to the bytes that arrived, whatever the lengths in them claim. A
//! frame that breaks a rule ends the session: nothing after it can be trusted.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::types::{AuthorKey, Digest, OpId};

mod bounded;
mod branches;
mod broadcast;
mod page_room;
mod peers;

pub use branches::{
    BRANCHES_MAX, Branch, BranchDigest, BranchPath, Branches, CHILDREN_MAX, ChildDigest,
    GetBranches, Head, LEAF_HEADS_MAX, PATH_MAX,
};
pub use broadcast::{Announce, Graft, NAMED_MAX, Ops, Prefix, Prune};
pub use page_room::PageRoom;
pub use peers::{GetPeers, LINKS_MAX, PEERS_MAX, PeerEntry, Peers};

/// Least version of this protocol that this code speaks. Version 1 flooded: its Ops had no hops.
/// Version 2 compared whole lists of heads.
pub const PROTOCOL_VERSION_MIN: u16 = 3;

/// Greatest version of this protocol that this code speaks.
pub const PROTOCOL_VERSION_MAX: u16 = 3;

/// Most bytes of kind and payload of one frame: what `limits.max_message_kb` is by default. The
/// largest frames that this code writes are a full [`Want`] (630 KiB) and batches of operations.
pub const FRAME_MAX_BYTES: usize = 1024 * 1024;

/// Most bytes of kind and payload of a frame before both Hellos were accepted, so that a stranger
/// makes a node hold no more than this. Fits a Hello with every field at its limit.
pub const HELLO_MAX_BYTES: usize = 72 * 1024;

/// Most bytes of one operation on the wire: 4 KiB of actions, and 1 KiB that its other fields
/// (about 350 bytes at most) and its signature do not fill.
pub const OPERATION_MAX_BYTES: usize = 5 * 1024;

/// Most operations of one frame. A guess: a batch that takes some 50 ms to verify.
pub const OPERATIONS_MAX: usize = 4096;

/// Bytes of operations that a sender puts into one frame. A quarter of the limit, so that a small
/// frame behind it on the same link waits 20 ms at 100 Mbit/s, not 80.
pub const OPERATIONS_TARGET_BYTES: usize = 256 * 1024;

/// Most entries of one Want: with full locators 630 KiB, within [`FRAME_MAX_BYTES`].
pub const WANTS_MAX: usize = 1024;

/// Most ids of one locator: exponentially spaced, they span a chain of 2^15 operations; beyond
/// that the responder begins at the chain's start and duplicates are dropped.
pub const LOCATOR_MAX: usize = 16;

/// Most genesis fields of a Hello. Twice what this version has.
pub const GENESIS_FIELDS_MAX: usize = 16;

/// Most bytes of the name of a genesis field.
pub const FIELD_NAME_MAX_BYTES: usize = 64;

/// Most bytes of the value of a genesis field; [`crate::handshake`] shortens longer ones.
pub const FIELD_VALUE_MAX_BYTES: usize = 4096;

/// Most bytes of a listen address: a DNS name (253, RFC 1035), a colon and a port.
pub const ADDRESS_MAX_BYTES: usize = 259;

/// Most bytes of the reason in Refuse and Goodbye. A guess: a long sentence with two values.
pub const REASON_MAX_BYTES: usize = 1024;

/// An operation as it travels in a frame: bytes on a real wire, and in a simulation whatever stands
/// for them, so that copies cost nothing there.
pub trait Payload: Clone {
    /// How many bytes it is on the wire.
    fn size_bytes(&self) -> usize;
}

impl Payload for Vec<u8> {
    fn size_bytes(&self) -> usize {
        self.len()
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<O = Vec<u8>> {
    /// The first frame of both sides.
    Hello(Hello),
    /// There will be no session.
    Refuse(Refuse),
    /// The session ends.
    Goodbye(Goodbye),
    /// Is answered by a Pong with the same number.
    Ping(Nonce),
    /// Answers a Ping.
    Pong(Nonce),
    /// Operations that the sender has just applied, each after what it leans on.
    Ops(Ops<O>),
    /// The sender left operations out because this link was full.
    Behind(Behind),
    /// Asks for the operations that lead to some heads.
    Want(Want),
    /// Operations that answer a Want.
    Page(Page<O>),
    /// The sender has operations that it does not push on this link.
    Announce(Announce),
    /// The receiver is to announce what some authors write, not to push it.
    Prune(Prune),
    /// The receiver is to push what some authors write.
    Graft(Graft),
    /// Asks for addresses of nodes.
    GetPeers(GetPeers),
    /// Addresses of nodes.
    Peers(Peers),
    /// Asks what the other has of branches of heads that differ.
    GetBranches(GetBranches),
    /// What the sender has of branches of heads.
    Branches(Branches),
}

/// Who a node is and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Least protocol version spoken.
    pub version_min: u16,
    /// Greatest protocol version spoken.
    pub version_max: u16,
    /// The network.
    pub genesis: Digest,
    /// What went into that digest, so that a refusal can name the field that differs.
    #[serde(deserialize_with = "bounded::list::<_, _, GENESIS_FIELDS_MAX>")]
    pub genesis_fields: Vec<GenesisField>,
    /// Where the node takes connections, as `host:port`, if it does.
    pub listen: Option<String>,
    /// Bits of optional abilities; unknown bits are ignored. None is defined yet.
    pub capabilities: u64,
    /// The sender's clock as it wrote this, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Drawn at random when the sender's process started.
    pub instance: u64,
    /// Counts the sessions that this process began, on both sides; later ones have greater numbers.
    pub session: u64,
    /// UDP port of the node in the DHT, on the host that the session comes from, if it has one.
    pub dht_port: Option<u16>,
    /// The operation by which an administrator admitted the sender to a closed network, unless the
    /// genesis names him.
    #[serde(with = "serde_bytes")]
    pub admission: Option<Vec<u8>>,
}

/// A field of the genesis as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisField {
    /// The configuration key.
    pub name: String,
    /// Its value, possibly shortened.
    pub value: String,
}

/// Why there will be no session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// For programs.
    pub code: RefuseCode,
    /// For people.
    pub reason: String,
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// For programs.
    pub code: GoodbyeCode,
    /// For people.
    pub reason: String,
}

/// The number of a Ping and of its Pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonce {
    /// Chosen by who pings.
    pub nonce: u64,
}

/// Operations were left out on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// How many.
    pub missed: u64,
}

/// Asks for operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Is repeated in the answer.
    pub request: u64,
    /// `next` of the page before, 0 at first: the responder leaves out what stands before it.
    pub from: u64,
    /// What is wanted.
    #[serde(deserialize_with = "bounded::list::<_, _, WANTS_MAX>")]
    pub wants: Vec<WantEntry>,
}

/// A head that the asking side lacks, and what it has of that author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantEntry {
    /// The author.
    pub author: AuthorKey,
    /// The wanted head.
    pub head: OpId,
    /// Operations of this author that the asking side has: its heads, then older and older ones.
    #[serde(deserialize_with = "bounded::list::<_, _, LOCATOR_MAX>")]
    pub locator: Vec<OpId>,
}

/// Operations that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "O: AsRef<[u8]>", deserialize = "O: From<Vec<u8>>"))]
pub struct Page<O = Vec<u8>> {
    /// That of the question.
    pub request: u64,
    /// Their wire bytes, each after what it leans on.
    #[serde(with = "bounded::operations")]
    pub operations: Vec<O>,
    /// How many the same question would still bring after these; an estimate, but 0 only if none.
    pub remaining: u64,
    /// Where in the responder's own order these end. Means something to the responder only.
    pub next: u64,
}

/// Why a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum RefuseCode {
    /// No common protocol version.
    Version,
    /// Another network.
    Genesis,
    /// Both ends are the same node.
    SelfConnection,
    /// The network has an allow-list and the key is not on it.
    NotAllowed,
    /// The node has as many peers as it wants.
    Full,
    /// The first frame was no Hello, or none came in time.
    Protocol,
    /// The node has misbehaved and gets no session for a while.
    Banned,
    /// A code of a later version.
    Other(u8),
}

impl From<u8> for RefuseCode {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Version,
            2 => Self::Genesis,
            3 => Self::SelfConnection,
            4 => Self::NotAllowed,
            5 => Self::Full,
            6 => Self::Protocol,
            7 => Self::Banned,
            other => Self::Other(other),
        }
    }
}

impl From<RefuseCode> for u8 {
    fn from(code: RefuseCode) -> Self {
        match code {
            RefuseCode::Version => 1,
            RefuseCode::Genesis => 2,
            RefuseCode::SelfConnection => 3,
            RefuseCode::NotAllowed => 4,
            RefuseCode::Full => 5,
            RefuseCode::Protocol => 6,
            RefuseCode::Banned => 7,
            RefuseCode::Other(other) => other,
        }
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum GoodbyeCode {
    /// The node stops.
    Shutdown,
    /// There is another session between the same two nodes.
    Duplicate,
    /// The peer takes less than it is sent, for too long.
    Slow,
    /// The peer broke a rule of the protocol.
    Protocol,
    /// Nothing came from the peer, not even a Pong.
    Silent,
    /// A user asked for it: do not dial again by yourself.
    Requested,
    /// There are as many sessions as are wanted.
    Full,
    /// The peer has misbehaved and gets no session for a while.
    Banned,
    /// A code of a later version.
    Other(u8),
}

impl From<u8> for GoodbyeCode {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Shutdown,
            2 => Self::Duplicate,
            3 => Self::Slow,
            4 => Self::Protocol,
            5 => Self::Silent,
            6 => Self::Requested,
            7 => Self::Full,
            8 => Self::Banned,
            other => Self::Other(other),
        }
    }
}

impl From<GoodbyeCode> for u8 {
    fn from(code: GoodbyeCode) -> Self {
        match code {
            GoodbyeCode::Shutdown => 1,
            GoodbyeCode::Duplicate => 2,
            GoodbyeCode::Slow => 3,
            GoodbyeCode::Protocol => 4,
            GoodbyeCode::Silent => 5,
            GoodbyeCode::Requested => 6,
            GoodbyeCode::Full => 7,
            GoodbyeCode::Banned => 8,
            GoodbyeCode::Other(other) => other,
        }
    }
}

/// Why a frame is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The payload has more bytes than any frame of its kind.
    PayloadSize {
        /// Kind of the frame.
        kind: u8,
        /// Size of the payload.
        size_bytes: usize,
        /// Most allowed.
        max_bytes: usize,
    },
    /// The payload is not the MessagePack value that its kind asks for, or a list is too long.
    Malformed {
        /// Kind of the frame.
        kind: u8,
        /// What the decoder met.
        detail: String,
    },
    /// Bytes follow the value.
    TrailingBytes {
        /// Kind of the frame.
        kind: u8,
        /// How many.
        count: usize,
    },
    /// A text is too long.
    TextSize {
        /// Kind of the frame.
        kind: u8,
        /// Which text.
        field: &'static str,
        /// Most bytes allowed.
        max_bytes: usize,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadSize {
                kind,
                size_bytes,
                max_bytes,
            } => write!(
                out,
                "frame of kind {kind} has {size_bytes} bytes, at most {max_bytes} are allowed"
            ),
            Self::Malformed { kind, detail } => {
                write!(out, "frame of kind {kind} is malformed: {detail}")
            }
            Self::TrailingBytes { kind, count } => {
                write!(
                    out,
                    "frame of kind {kind} has {count} bytes after its value"
                )
            }
            Self::TextSize {
                kind,
                field,
                max_bytes,
            } => write!(
                out,
                "frame of kind {kind}: {field} is longer than {max_bytes} bytes"
            ),
        }
    }
}

impl core::error::Error for WireError {}

impl Frame {
    /// The kind and the payload. Whoever builds a frame keeps the limits of this module; the
    /// other side refuses a frame that does not.
    pub fn encode(&self) -> (u8, Vec<u8>) {
        let payload = match self {
            Self::Hello(value) => encode_value(value),
            Self::Refuse(value) => encode_value(value),
            Self::Goodbye(value) => encode_value(value),
            Self::Ping(value) | Self::Pong(value) => encode_value(value),
            Self::Ops(value) => encode_value(value),
            Self::Behind(value) => encode_value(value),
            Self::Want(value) => encode_value(value),
            Self::Page(value) => encode_value(value),
            Self::Announce(value) => encode_value(value),
            Self::Prune(value) => encode_value(value),
            Self::Graft(value) => encode_value(value),
            Self::GetPeers(value) => encode_value(value),
            Self::Peers(value) => encode_value(value),
            Self::GetBranches(value) => encode_value(value),
            Self::Branches(value) => encode_value(value),
        };
        debug_assert!(payload.len() < FRAME_MAX_BYTES, "frame exceeds its limit");
        (self.kind(), payload)
    }

    /// Reads a payload. `None` is a kind that this version does not know and that is skipped.
    ///
    /// # Errors
    /// The payload breaks a rule; the session has to end.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Option<Self>, WireError> {
        let frame = match kind {
            1 => Self::Hello(decode_value(kind, payload)?),
            2 => Self::Refuse(decode_value(kind, payload)?),
            3 => Self::Goodbye(decode_value(kind, payload)?),
            4 => Self::Ping(decode_value(kind, payload)?),
            5 => Self::Pong(decode_value(kind, payload)?),
            6 => Self::Ops(decode_value(kind, payload)?),
            7 => Self::Behind(decode_value(kind, payload)?),
            10 => Self::Want(decode_value(kind, payload)?),
            11 => Self::Page(decode_value(kind, payload)?),
            12 => Self::Announce(decode_value(kind, payload)?),
            13 => Self::Prune(decode_value(kind, payload)?),
            14 => Self::Graft(decode_value(kind, payload)?),
            16 => Self::GetPeers(decode_value(kind, payload)?),
            17 => Self::Peers(decode_value(kind, payload)?),
            18 => Self::GetBranches(decode_value(kind, payload)?),
            19 => Self::Branches(decode_value(kind, payload)?),
            _ => return Ok(None),
        };
        frame.check_texts()?;
        frame.check_lengths()?;
        Ok(Some(frame))
    }
}

impl<O> Frame<O> {
    /// The number of this kind of frame on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Refuse(_) => 2,
            Self::Goodbye(_) => 3,
            Self::Ping(_) => 4,
            Self::Pong(_) => 5,
            Self::Ops(_) => 6,
            Self::Behind(_) => 7,
            Self::Want(_) => 10,
            Self::Page(_) => 11,
            Self::Announce(_) => 12,
            Self::Prune(_) => 13,
            Self::Graft(_) => 14,
            Self::GetPeers(_) => 16,
            Self::Peers(_) => 17,
            Self::GetBranches(_) => 18,
            Self::Branches(_) => 19,
        }
    }

    /// The name of this kind of frame, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Refuse(_) => "refuse",
            Self::Goodbye(_) => "goodbye",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Ops(_) => "ops",
            Self::Behind(_) => "behind",
            Self::Want(_) => "want",
            Self::Page(_) => "page",
            Self::Announce(_) => "announce",
            Self::Prune(_) => "prune",
            Self::Graft(_) => "graft",
            Self::GetPeers(_) => "get peers",
            Self::Peers(_) => "peers",
            Self::GetBranches(_) => "get branches",
            Self::Branches(_) => "branches",
        }
    }

    /// Checks the lengths of texts. They come after decoding, for a text in memory is no longer
    /// than the payload that held it.
    fn check_texts(&self) -> Result<(), WireError> {
        match self {
            Self::Hello(hello) => {
                for field in &hello.genesis_fields {
                    self.check_text("a genesis field's name", &field.name, FIELD_NAME_MAX_BYTES)?;
                    let value = &field.value;
                    self.check_text("a genesis field's value", value, FIELD_VALUE_MAX_BYTES)?;
                }
                let listen = hello.listen.as_deref().unwrap_or_default();
                self.check_text("the listen address", listen, ADDRESS_MAX_BYTES)
            }
            Self::Refuse(refuse) => self.check_text("the reason", &refuse.reason, REASON_MAX_BYTES),
            Self::Goodbye(bye) => self.check_text("the reason", &bye.reason, REASON_MAX_BYTES),
            _ => Ok(()),
        }
    }

    /// Checks the length of one text.
    fn check_text(
        &self,
        field: &'static str,
        text: &str,
        max_bytes: usize,
    ) -> Result<(), WireError> {
        if text.len() <= max_bytes {
            return Ok(());
        }
        Err(WireError::TextSize {
            kind: self.kind(),
            field,
            max_bytes,
        })
    }
}

/// Most bytes of a payload of this kind.
fn payload_max_bytes(kind: u8) -> usize {
    match kind {
        1..=3 => HELLO_MAX_BYTES - 1,
        _ => FRAME_MAX_BYTES - 1,
    }
}

fn encode_value<T: Serialize>(value: &T) -> Vec<u8> {
    // The encoder fails on sequences of unknown length and on a full writer; these structures have
    // neither.
    rmp_serde::to_vec(value).expect("a frame of known lengths always encodes into memory")
}

fn decode_value<T: DeserializeOwned>(kind: u8, payload: &[u8]) -> Result<T, WireError> {
    let max_bytes = payload_max_bytes(kind);
    if payload.len() > max_bytes {
        return Err(WireError::PayloadSize {
            kind,
            size_bytes: payload.len(),
            max_bytes,
        });
    }
    let mut rest = payload;
    let mut decoder = rmp_serde::Deserializer::new(&mut rest);
    let value = T::deserialize(&mut decoder).map_err(|error| WireError::Malformed {
        kind,
        detail: error.to_string(),
    })?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(WireError::TrailingBytes {
        kind,
        count: rest.len(),
    })
}

#[cfg(test)]
mod tests;
