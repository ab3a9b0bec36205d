//! What happens to hosts, and when: messages between them and orders of their users.

use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::{Frame, Hello, Ops};

use crate::parcel::Parcel;

/// Microseconds since the beginning of the simulation.
pub type Micros = u64;

/// Microseconds of a millisecond.
pub const MS: Micros = 1_000;

/// The number of a host in its network, from 0.
pub type HostIndex = u32;

/// The sender of what comes from outside: a user.
pub const USER: HostIndex = HostIndex::MAX;

/// Something that reaches a host.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub at_us: Micros,
    /// Whom.
    pub to: HostIndex,
    /// From where.
    pub from: HostIndex,
    /// Its number among all that come from there: events at one time are taken by sender and
    /// number, so that the order does not depend on threads.
    pub number: u32,
    /// What.
    pub message: Message,
}

impl Event {
    /// What decides which event of a host comes first.
    pub fn rank(&self) -> (HostIndex, Micros, HostIndex, u32) {
        (self.to, self.at_us, self.from, self.number)
    }
}

/// What reaches a host. Sessions are named by who dials: both ends use one name.
#[derive(Debug)]
pub enum Message {
    /// Asks for a session.
    Dial {
        /// Its name.
        session: LinkId,
        /// Who asks; TLS has proved it.
        introduction: Box<Introduction>,
    },
    /// The session stands, for who dialled.
    Accept {
        /// Its name.
        session: LinkId,
        /// Who accepts.
        introduction: Box<Introduction>,
    },
    /// The session stands, for who accepted.
    Confirm {
        /// Its name.
        session: LinkId,
    },
    /// There is no session of this name, or no longer.
    Reset {
        /// Its name.
        session: LinkId,
    },
    /// Operations are pushed.
    Push {
        /// Over which session.
        session: LinkId,
        /// The operations.
        operations: Pushed,
    },
    /// Any other frame.
    Frame {
        /// Over which session.
        session: LinkId,
        /// The frame.
        frame: Box<Frame<Parcel>>,
    },
    /// A user wants to trade; the number decides what.
    Order(u64),
    /// An administrator has something to decide.
    Administer(Decision),
}

/// What an administrator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// He expels some members, or admits them again; the number decides whom.
    Change(u64),
    /// He admits all who are expelled.
    AdmitAll,
}

/// Operations of a frame, each with its hops. Most frames have one, and there are millions on their
/// way: a list for each would be memory that one thread asks for and another gives back.
#[derive(Debug)]
pub enum Pushed {
    /// One.
    One(Parcel, u8),
    /// None, or several.
    Several(Ops<Parcel>),
}

impl From<Ops<Parcel>> for Pushed {
    fn from(mut pushed: Ops<Parcel>) -> Self {
        match (pushed.operations.len(), pushed.operations.pop()) {
            (1, Some(one)) => Self::One(one, pushed.hops[0]),
            (_, last) => {
                pushed.operations.extend(last);
                Self::Several(pushed)
            }
        }
    }
}

impl From<Pushed> for Ops<Parcel> {
    fn from(pushed: Pushed) -> Self {
        match pushed {
            Pushed::One(one, hops) => Self {
                operations: vec![one],
                hops: vec![hops],
            },
            Pushed::Several(several) => several,
        }
    }
}

/// Who is at the other end of a session.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The key.
    pub key: AuthorKey,
    /// The first frame.
    pub hello: Hello,
}
