//! What the exchange wants done, as data: the driver writes, passes on and reports.

use alloc::vec::Vec;

use super::InvalidError;
use crate::dag::OpIndex;
use crate::op::Verified;
use crate::types::{AuthorKey, LinkId, OpId, OpStem, Source};
use crate::view::Change;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this operation to disk, in the order of the indices, and say so.
    Persist {
        /// Its place in the store.
        index: OpIndex,
        /// The operation.
        operation: Verified,
    },
    /// Pass this operation on to the peers.
    Relay {
        /// The operation.
        operation: Verified,
        /// Where it came from; `None` for an own one.
        from: Option<Source>,
    },
    /// An own operation is on disk: whoever asked for it may be told.
    Written(OpId),
    /// The state has changed.
    Changed(Vec<Change>),
    /// This link pushed an operation that leans on others which are not here and which nobody has
    /// sent yet: if they do not come soon, ask it for them.
    Lacking {
        /// The link.
        link: LinkId,
        /// What is missing.
        ancestors: Vec<OpStem>,
    },
    /// This link delivered an operation whose ancestors have been missing for a while: synchronise
    /// with it.
    Gap(LinkId),
    /// This link delivered an operation that contradicts its ancestors.
    Invalid {
        /// The link.
        link: LinkId,
        /// The operation.
        id: OpId,
        /// What is wrong with it.
        error: InvalidError,
    },
    /// An author has signed two operations for the same place in his chain.
    Forked {
        /// The author.
        author: AuthorKey,
        /// One of them.
        first: OpId,
        /// The other.
        second: OpId,
    },
    /// An administrator has changed who is a member: see
    /// [`Exchange::membership`](super::Exchange::membership).
    Membership,
}
