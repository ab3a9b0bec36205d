//! Signatures: checked in batches, by one equation.
//!
//! A set of operations is only the same everywhere if every node accepts the same signatures.
//! Ed25519 as first specified leaves room: single and batch verification may disagree on
//! signatures with components of small order. ZIP-215 closes it with the cofactored equation, for
//! one signature as for many, and `ed25519-zebra` implements exactly that. Keys of small order,
//! under which one signature fits any message, and non-canonical keys are refused as well.
//!
//! The batch equation needs factors that the signers could not foresee. They are drawn from a hash
//! over the whole batch, ids and signatures alike, so no randomness is needed from outside and a
//! batch gives the same verdict every time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::convert::Infallible;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::batch::{Item, Verifier};
use ed25519_zebra::{Signature, VerificationKeyBytes};
use rand_core::{TryCryptoRng, TryRng};

use crate::op::{Operation, OperationError, Verified};
use crate::types::AuthorKey;

/// Most signatures in one equation; the gain of larger batches is small (16 µs each at 256).
pub const BATCH_MAX: usize = 256;

/// Whether a key may be an author's: a canonical point that is not of small order.
pub fn is_acceptable_key(key: &AuthorKey) -> bool {
    // Where x is 0, the sign of x could be written in two ways; but both such points are of small
    // order. So all other encodings of a point differ in y, by the modulus.
    is_reduced(&key.0)
        && CompressedEdwardsY(key.0)
            .decompress()
            .is_some_and(|point| !point.is_small_order())
}

/// Whether the y of an encoded point is less than the modulus, 2^255 - 19.
fn is_reduced(encoded: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = encoded;
    *lowest < 0xed || highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

/// Checks the signatures of many operations; each gets its own verdict, in the same order.
///
/// One bad signature costs its batch a second, single look at every signature in it, and nobody
/// else anything.
pub fn verify(operations: Vec<Operation>) -> Vec<Result<Verified, OperationError>> {
    let mut verdicts = Vec::with_capacity(operations.len());
    let mut rest = operations.into_iter();
    loop {
        let batch: Vec<Operation> = rest.by_ref().take(BATCH_MAX).collect();
        if batch.is_empty() {
            return verdicts;
        }
        verify_batch(batch, &mut verdicts);
    }
}

/// Checks up to [`BATCH_MAX`] signatures.
fn verify_batch(batch: Vec<Operation>, verdicts: &mut Vec<Result<Verified, OperationError>>) {
    let mut verifier = Verifier::new();
    for operation in &batch {
        verifier.queue(item(operation));
    }
    let all_good = verifier.verify(BatchFactors::new(&batch)).is_ok();
    // The operations of a batch have few authors.
    let mut acceptable = BTreeMap::new();
    verdicts.extend(batch.into_iter().map(|operation| {
        let author = operation.body().author;
        let is_acceptable = acceptable.entry(author);
        if !*is_acceptable.or_insert_with(|| is_acceptable_key(&author)) {
            return Err(OperationError::Key);
        }
        if all_good || item(&operation).verify_single().is_ok() {
            Ok(operation.trust())
        } else {
            Err(OperationError::Signature)
        }
    }));
}

/// One signature for the verifier.
fn item(operation: &Operation) -> Item {
    let key = VerificationKeyBytes::from(operation.body().author.0);
    let signature = Signature::from(*operation.signature());
    Item::from((key, signature, &operation.id().0))
}

/// The factors of a batch equation: a stream of bytes that depends on every id and signature.
struct BatchFactors(blake3::OutputReader);

impl BatchFactors {
    fn new(batch: &[Operation]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech batch verification factors");
        for operation in batch {
            hasher.update(&operation.body().author.0);
            hasher.update(&operation.id().0);
            hasher.update(operation.signature());
        }
        Self(hasher.finalize_xof())
    }
}

impl TryRng for BatchFactors {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for BatchFactors {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::tests::{sample_wire, sign_sample};
    use ed25519_zebra::SigningKey;

    /// `count` operations, those at `forged` with the signature of another key.
    fn operations(count: usize, forged: &[usize]) -> Vec<Operation> {
        let genesis = crate::genesis::tests::test_genesis();
        let digest = genesis.digest();
        (0..count)
            .map(|at| {
                let author = SigningKey::from([u8::try_from(at % 7 + 1).expect("small"); 32]);
                let signer = if forged.contains(&at) {
                    SigningKey::from([99; 32])
                } else {
                    author
                };
                let wire = sample_wire(&author, &signer, at as u64, &digest);
                Operation::decode(&wire, &genesis, &digest).expect("well-formed")
            })
            .collect()
    }

    #[test]
    fn each_operation_of_a_batch_gets_its_own_verdict() {
        for forged in [&[][..], &[0], &[5, 299], &[256]] {
            let verdicts = verify(operations(300, forged));
            assert_eq!(verdicts.len(), 300);
            for (at, verdict) in verdicts.iter().enumerate() {
                assert_eq!(verdict.is_err(), forged.contains(&at), "operation {at}");
            }
        }
    }

    #[test]
    fn own_signatures_are_good() {
        let genesis = crate::genesis::tests::test_genesis();
        let signed = sign_sample(&SigningKey::from([3; 32]), 0);
        let digest = genesis.digest();
        let received = Operation::decode(signed.wire(), &genesis, &digest).expect("own operation");
        assert_eq!(verify(alloc::vec![received]), [Ok(signed)]);
    }

    #[test]
    fn a_key_is_accepted_if_its_point_is_encoded_in_the_same_way() {
        let rule = |encoded: &CompressedEdwardsY| {
            encoded
                .decompress()
                .is_some_and(|point| !point.is_small_order() && point.compress() == *encoded)
        };
        let mut accepted = 0;
        for lowest in 0..=u8::MAX {
            for (rest, highest) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff), (0xff, 0x7e)] {
                let mut encoded = [rest; 32];
                (encoded[0], encoded[31]) = (lowest, highest);
                let is_accepted = is_acceptable_key(&AuthorKey(encoded));
                assert_eq!(
                    is_accepted,
                    rule(&CompressedEdwardsY(encoded)),
                    "{encoded:?}"
                );
                accepted += usize::from(is_accepted);
            }
        }
        assert!(accepted > 400, "about half of all encodings are points");
    }

    #[test]
    fn keys_of_small_order_and_non_canonical_keys_are_refused() {
        let identity = AuthorKey(core::array::from_fn(|at| u8::from(at == 0)));
        assert!(!is_acceptable_key(&identity));
        // y = p + 1 encodes the same point as y = 1.
        let mut non_canonical = [0xff; 32];
        non_canonical[0] = 0xee;
        non_canonical[31] = 0x7f;
        assert!(!is_acceptable_key(&AuthorKey(non_canonical)));
        let honest = VerificationKeyBytes::from(&SigningKey::from([1; 32]));
        assert!(is_acceptable_key(&AuthorKey(honest.into())));
    }
}
