//! What others tell and ask the GossipActor.

use std::net::IpAddr;
use std::sync::Arc;

use actix::Message;
use bitfitech_core::handshake::SessionFacts;
use bitfitech_core::median_clock::PeerClock;
use bitfitech_core::types::{AuthorKey, LinkId, OpId, OpStem, Source};
use bitfitech_core::wire::{Frame, Goodbye};

use crate::mailbox::ActorRef;
use crate::messages::PeerRow;
use crate::peer::PeerActor;

/// A session was established (a query). The answer is a goodbye if it is one too many.
#[derive(Clone, Message)]
#[rtype(result = "Result<(), Goodbye>")]
pub struct SessionUp {
    /// Its link.
    pub link: LinkId,
    /// The other node.
    pub node: AuthorKey,
    /// What decides between two sessions with the same node.
    pub facts: SessionFacts,
    /// The other's clock.
    pub clock: PeerClock,
    /// The IP address of the other node.
    pub remote: IpAddr,
    /// The actor of the connection.
    pub peer: ActorRef<PeerActor>,
}

/// A session ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionDown(pub LinkId);

/// A frame of a peer, on the data lane.
#[derive(Debug)]
pub struct PeerFrame {
    /// Over which link.
    pub link: LinkId,
    /// The frame.
    pub frame: Frame,
}

/// A frame that counted against a link's outbox is written.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Written {
    /// Which link.
    pub link: LinkId,
    /// What it counted.
    pub cost_bytes: usize,
}

/// The matcher applied these operations and they may travel.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Applied(pub Vec<AppliedOperation>);

/// An operation that may travel.
pub struct AppliedOperation {
    /// Its id.
    pub id: OpId,
    /// Its author, along whose tree it travels.
    pub author: AuthorKey,
    /// Its bytes.
    pub wire: Arc<[u8]>,
    /// Where it came from; `None` for an own one.
    pub source: Option<Source>,
}

/// This link delivered an operation that contradicts its ancestors.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Faulty {
    /// The link.
    pub link: LinkId,
    /// The operation.
    pub id: OpId,
    /// What is wrong with it.
    pub reason: String,
}

/// This link pushed an operation that leans on others which nobody has sent yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lacking {
    /// The link.
    pub link: LinkId,
    /// What is missing.
    pub ancestors: Vec<OpStem>,
}

/// This link has operations whose ancestors have been missing for a while.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FindGap(pub LinkId);

/// A fresh matcher knows what is on disk and nothing else.
#[derive(Message)]
#[rtype(result = "()")]
pub struct MatcherUp;

/// A query: all established sessions.
#[derive(Message)]
#[rtype(result = "Vec<PeerRow>")]
pub struct AskPeers;
