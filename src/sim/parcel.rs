//! Operations as they travel in a simulation: shared values with a verdict.
//!
//! A thousand nodes would decode and check the same bytes a thousand times and more. What becomes
//! of bytes is the same everywhere, so it is found once, where they are first put on the wire, and
//! travels with them. Sizes are those of the real bytes.

use std::sync::Arc;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::node::Gate;
use bitfitech_core::op::{Operation, OperationError, Verified};
use bitfitech_core::signature;
use bitfitech_core::types::{AuthorKey, Digest, OpId};
use bitfitech_core::wire::Payload;

/// An operation on its way.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Its signature is good.
    Good(Verified),
    /// It will be refused.
    Bad(Arc<BadParcel>),
}

/// Bytes that are no valid operation.
#[derive(Debug)]
pub struct BadParcel {
    size_bytes: usize,
    /// The operation whose signature is wrong, or why it cannot be read at all.
    read: Result<Operation, OperationError>,
}

impl BadParcel {
    /// Who is said to have written it; nobody, if it cannot be read.
    fn author(&self) -> AuthorKey {
        let author = |operation: &Operation| operation.body().author;
        self.read.as_ref().map_or(AuthorKey([0; 32]), author)
    }
}

impl Parcel {
    /// Judges bytes that somebody puts on the wire.
    pub fn judge(wire: &[u8], genesis: &Genesis, digest: &Digest) -> Self {
        let bad = |read| {
            Self::Bad(Arc::new(BadParcel {
                size_bytes: wire.len(),
                read,
            }))
        };
        let operation = match Operation::decode(wire, genesis, digest) {
            Ok(operation) => operation,
            Err(error) => return bad(Err(error)),
        };
        match signature::verify(vec![operation.clone()]).pop() {
            Some(Ok(verified)) => Self::Good(verified),
            _ => bad(Ok(operation)),
        }
    }

    /// The id, if it can be read.
    pub fn id(&self) -> Option<OpId> {
        match self {
            Self::Good(operation) => Some(operation.id()),
            Self::Bad(bad) => bad.read.as_ref().ok().map(Operation::id),
        }
    }
}

impl Payload for Parcel {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Good(operation) => operation.size_bytes(),
            Self::Bad(bad) => bad.size_bytes,
        }
    }
}

/// What a gate does about wrong signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// It refuses them.
    Checked,
    /// It takes them for good: a bug that invariants must find.
    Ignored,
}

/// The gate of simulated nodes.
#[derive(Clone, Copy, Debug)]
pub struct ParcelGate {
    /// About wrong signatures.
    pub signatures: Signatures,
}

impl Gate for ParcelGate {
    type Operation = Parcel;
    type Candidate = Parcel;

    fn read(&mut self, parcel: Parcel) -> Result<(OpId, Parcel), OperationError> {
        match &parcel {
            Parcel::Good(operation) => Ok((operation.id(), parcel)),
            Parcel::Bad(bad) => match &bad.read {
                Ok(operation) => Ok((operation.id(), parcel)),
                Err(error) => Err(*error),
            },
        }
    }

    fn author(parcel: &Parcel) -> AuthorKey {
        match parcel {
            Parcel::Good(operation) => operation.body().author,
            Parcel::Bad(bad) => bad.author(),
        }
    }

    fn check(&mut self, parcels: Vec<Parcel>) -> Vec<Result<Verified, OperationError>> {
        let verdict = |parcel| match parcel {
            Parcel::Good(operation) => Ok(operation),
            Parcel::Bad(bad) => match (&bad.read, self.signatures) {
                (Ok(operation), Signatures::Ignored) => Ok(operation.clone().trust()),
                (Ok(_), Signatures::Checked) => Err(OperationError::Signature),
                (Err(error), _) => Err(*error),
            },
        };
        parcels.into_iter().map(verdict).collect()
    }

    fn carry(&self, operation: &Verified) -> Parcel {
        Parcel::Good(operation.clone())
    }
}
