//! Why an operation is not applied, not written or not read back.

use core::fmt;

use crate::confirmation::ConfirmationError;
use crate::dag::AncestryError;
use crate::membership::{NotAdmitted, Standing};
use crate::op::OperationError;

/// How an operation contradicts its ancestors, so that nobody will ever apply it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidError {
    /// In its place or time.
    Ancestry(AncestryError),
    /// In what it confirms or refuses.
    Confirmation(ConfirmationError),
    /// In who writes it.
    Membership(NotAdmitted),
}

impl fmt::Display for InvalidError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ancestry(error) => write!(out, "{error}"),
            Self::Confirmation(error) => write!(out, "{error}"),
            Self::Membership(error) => write!(out, "{error}"),
        }
    }
}

impl core::error::Error for InvalidError {}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The next operation would be dated this much ahead of the clock, in milliseconds.
    ClockAhead(u64),
    /// The node has to wait a little (see [`may_write`](crate::exchange::Exchange::may_write)).
    NotYet,
    /// The actions break a rule.
    Operation(OperationError),
    /// What is confirmed or refused cannot be.
    Invalid(InvalidError),
    /// An order that is confirmed or refused is not known here.
    Unknown,
    /// The network is closed, and this node is no member, or no longer.
    NotMember(Standing),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockAhead(by_ms) => write!(
                out,
                "the newest known operation is dated {by_ms} ms ahead of this node's clock: \
                 check the clock, or wait that long"
            ),
            Self::NotYet => write!(
                out,
                "peers are still being asked for this node's own newest operation, or its clock \
                 has to catch up with theirs"
            ),
            Self::Operation(error) => write!(out, "{error}"),
            Self::Invalid(error) => write!(out, "{error}"),
            Self::Unknown => out.write_str("the order is not known here"),
            Self::NotMember(Standing::Expelled) => out.write_str(
                "this node was expelled from the network: ask an administrator to admit it again",
            ),
            Self::NotMember(_) => out.write_str(
                "this node is no member of the network yet: ask an administrator to admit its key",
            ),
        }
    }
}

impl core::error::Error for SubmitError {}

/// Why an operation in the own store is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// It is no operation of this network.
    Operation(OperationError),
    /// It contradicts its ancestors.
    Invalid(InvalidError),
    /// It is there twice, or before its ancestors.
    Order,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(error) => write!(out, "{error}"),
            Self::Invalid(error) => write!(out, "{error}"),
            Self::Order => out.write_str("operation is stored twice or before its ancestors"),
        }
    }
}

impl core::error::Error for RestoreError {}
