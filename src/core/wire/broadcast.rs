//! Frames of broadcast: operations, and what links say to each other about who pushes what.
//!
//! Operations and authors are named by the first eight bytes of their id or key. To find a second
//! operation or key that begins like a given one takes 2^64 tries; to find *some* two that begin
//! alike takes 2^32, but both are then of whoever looked, and all he gains is that one of his own
//! operations is not asked for by its announcement and comes by synchronisation.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Frame, WireError, bounded};

/// Most operations that one [`Announce`] or [`Graft`] names, and most authors of a [`Prune`] or
/// [`Graft`]: 9 KiB. A guess: what a node passes on in a second under load.
pub const NAMED_MAX: usize = 1024;

/// The first eight bytes of an operation's id or of an author's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub [u8; 8]);

impl Prefix {
    /// The beginning of an id or key.
    pub fn of(whole: &[u8; 32]) -> Self {
        Self(*whole.first_chunk().expect("32 bytes are more than eight"))
    }

    /// Its sixteen hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Operations pushed to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "O: AsRef<[u8]>", deserialize = "O: From<Vec<u8>>"))]
pub struct Ops<O = Vec<u8>> {
    /// Their wire bytes, each after what it leans on.
    #[serde(with = "bounded::operations")]
    pub operations: Vec<O>,
    /// For each of them, over how many links it has come, this one included; 255 is 255 or more. A
    /// claim of the sender.
    #[serde(with = "bounded::bytes")]
    pub hops: Vec<u8>,
}

/// Operations that the sender has applied and does not push on this link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// Which.
    #[serde(with = "bounded::prefixes")]
    pub ids: Vec<Prefix>,
    /// For each of them, what its hops would be if it were pushed.
    #[serde(with = "bounded::bytes")]
    pub hops: Vec<u8>,
}

/// Operations of these authors came over another link: announce them from now on, do not push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// Whose.
    #[serde(with = "bounded::prefixes")]
    pub authors: Vec<Prefix>,
}

/// Push again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graft {
    /// What these authors write from now on.
    #[serde(with = "bounded::prefixes")]
    pub authors: Vec<Prefix>,
    /// These operations at once, and what their authors write from now on.
    #[serde(with = "bounded::prefixes")]
    pub ids: Vec<Prefix>,
}

impl<O> Frame<O> {
    /// Checks that lists which belong together are of one length.
    pub(super) fn check_lengths(&self) -> Result<(), WireError> {
        let (named, hops) = match self {
            Self::Ops(value) => (value.operations.len(), value.hops.len()),
            Self::Announce(value) => (value.ids.len(), value.hops.len()),
            _ => return Ok(()),
        };
        if named == hops {
            return Ok(());
        }
        Err(WireError::Malformed {
            kind: self.kind(),
            detail: alloc::format!("{named} operations with {hops} numbers of hops"),
        })
    }
}
