//! Where operations of others are read and judged before the exchange sees them.

use alloc::vec::Vec;

use crate::genesis::Genesis;
use crate::op::{Operation, OperationError, Verified};
use crate::signature;
use crate::types::{AuthorKey, Digest, OpId};
use crate::wire::Payload;

/// Reads operations as they travel and checks their signatures.
pub trait Gate {
    /// An operation as it travels.
    type Operation: Payload;
    /// One that was read and whose signature is not checked yet.
    type Candidate;

    /// Reads an operation and checks what needs neither ancestors nor the signature.
    ///
    /// # Errors
    /// The first rule that it breaks.
    fn read(
        &mut self,
        operation: Self::Operation,
    ) -> Result<(OpId, Self::Candidate), OperationError>;

    /// Who is said to have written it.
    fn author(candidate: &Self::Candidate) -> AuthorKey;

    /// Checks signatures; each gets its own verdict, in the same order.
    fn check(&mut self, candidates: Vec<Self::Candidate>) -> Vec<Result<Verified, OperationError>>;

    /// An applied operation as it travels.
    fn carry(&self, operation: &Verified) -> Self::Operation;
}

/// The gate of real nodes: operations are bytes.
#[derive(Clone, Debug)]
pub struct BytesGate {
    genesis: Genesis,
    digest: Digest,
}

impl BytesGate {
    /// The gate of a network.
    pub fn new(genesis: Genesis) -> Self {
        let digest = genesis.digest();
        Self { genesis, digest }
    }
}

impl Gate for BytesGate {
    type Operation = Vec<u8>;
    type Candidate = Operation;

    fn read(&mut self, operation: Vec<u8>) -> Result<(OpId, Operation), OperationError> {
        let operation = Operation::decode(&operation, &self.genesis, &self.digest)?;
        Ok((operation.id(), operation))
    }

    fn author(candidate: &Operation) -> AuthorKey {
        candidate.body().author
    }

    fn check(&mut self, candidates: Vec<Operation>) -> Vec<Result<Verified, OperationError>> {
        signature::verify(candidates)
    }

    fn carry(&self, operation: &Verified) -> Vec<u8> {
        operation.wire().to_vec()
    }
}
