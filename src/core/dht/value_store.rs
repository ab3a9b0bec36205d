//! Values that are kept here (BEP 44): those named by their own hash, and those that a key may
//! change.
//!
//! Bounded by count, the least recently used go first, and by the size of each, so all of them
//! take less than 25 MB. They do not age: who wants a value to stay puts it again.

use alloc::vec::Vec;

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes};
use sha1::{Digest, Sha1};

use super::least_recent::LeastRecent;
use super::vocabulary::{HASH_BYTES, Signed};
use crate::bencode::Value;
use crate::krpc::{MutableItem, signed_bytes};

/// Longest byte string that is kept (BEP 44).
pub(crate) const STRING_BYTES_MAX: usize = 1_000;

/// Most items of a list that is kept, as Grenache counts them.
const ITEMS_MAX: usize = 1_000;

/// Largest other value that is kept, in bencode. A guess: Grenache has no bound of its own.
const ENCODED_BYTES_MAX: usize = 4_096;

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredValue {
    /// In bencode.
    pub(crate) value: Vec<u8>,
    pub(crate) mutable: Option<Signed>,
}

/// Why a value is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    TooLarge,
    /// The asker gets no answer: it is broken or a forger.
    Signature,
    Compare,
    Sequence,
}

#[derive(Clone, Debug)]
pub(crate) struct ValueStore {
    values: LeastRecent<[u8; HASH_BYTES], StoredValue>,
}

impl ValueStore {
    pub(crate) fn new(values_max: usize) -> Self {
        Self {
            values: LeastRecent::new(values_max),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value with this hash; a use of it.
    pub(crate) fn get(&mut self, now_ms: u64, target: &[u8]) -> Option<&StoredValue> {
        let target = target.try_into().ok()?;
        self.values.touch(now_ms, &target).map(|value| &*value)
    }

    /// Keeps a value of this node itself, which is not checked.
    pub(crate) fn keep(&mut self, now_ms: u64, target: [u8; HASH_BYTES], value: Vec<u8>) {
        let mutable = None;
        self.values
            .insert(now_ms, target, StoredValue { value, mutable });
    }

    /// Keeps a value that somebody sent, if it is in order.
    pub(crate) fn put(
        &mut self,
        now_ms: u64,
        value: &Value<'_>,
        mutable: Option<&MutableItem<'_>>,
    ) -> Result<(), StoreError> {
        let encoded = value.encode();
        if !is_small(value, encoded.len()) {
            return Err(StoreError::TooLarge);
        }
        let Some(item) = mutable else {
            self.keep(now_ms, sha1(&encoded), encoded);
            return Ok(());
        };
        let signed = checked(item, &encoded).ok_or(StoreError::Signature)?;
        let target = mutable_target(item.key, item.salt.unwrap_or_default());
        let kept = self.values.peek(&target);
        if let Some(kept) = kept.and_then(|kept| kept.mutable.as_ref()) {
            if item.compare.is_some_and(|compare| compare != kept.sequence) {
                return Err(StoreError::Compare);
            }
            if item.sequence <= kept.sequence {
                return Err(StoreError::Sequence);
            }
        }
        let stored = StoredValue {
            value: encoded,
            mutable: Some(signed),
        };
        self.values.insert(now_ms, target, stored);
        Ok(())
    }
}

fn is_small(value: &Value<'_>, encoded_bytes: usize) -> bool {
    match value {
        Value::Bytes(bytes) => bytes.len() <= STRING_BYTES_MAX,
        Value::List(list) => list.len() <= ITEMS_MAX && encoded_bytes <= ENCODED_BYTES_MAX,
        _ => encoded_bytes <= ENCODED_BYTES_MAX,
    }
}

/// The parts of a signed value, if its signature is good.
pub(crate) fn checked(item: &MutableItem<'_>, value: &[u8]) -> Option<Signed> {
    let key: [u8; 32] = item.key.try_into().ok()?;
    let signature: [u8; 64] = item.signature.try_into().ok()?;
    let verifier = VerificationKey::try_from(VerificationKeyBytes::from(key)).ok()?;
    let bytes = signed_bytes(item.salt, item.sequence, value);
    let verdict = verifier.verify(&Signature::from(signature), &bytes);
    verdict.ok().map(|()| Signed {
        key,
        signature,
        sequence: item.sequence,
    })
}

/// The hash of a value that a key may change.
pub(crate) fn mutable_target(key: &[u8], salt: &[u8]) -> [u8; HASH_BYTES] {
    sha1(&[key, salt].concat())
}

/// The hash that names values. SHA-1 is broken for signatures; here a collision means that its
/// maker has two values of one name, which hurts nobody else.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; HASH_BYTES] {
    Sha1::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_zebra::SigningKey;

    fn put_signed(
        store: &mut ValueStore,
        sequence: i64,
        compare: Option<i64>,
    ) -> Result<(), StoreError> {
        let signer = SigningKey::from([5; 32]);
        let key: [u8; 32] = VerificationKeyBytes::from(&signer).into();
        let value = Value::Integer(sequence + 100);
        let bytes = signed_bytes(Some(b"salt"), sequence, &value.encode());
        let signature = signer.sign(&bytes).to_bytes();
        let item = MutableItem {
            key: &key,
            signature: &signature,
            sequence,
            salt: Some(b"salt"),
            compare,
        };
        store.put(0, &value, Some(&item))
    }

    #[test]
    fn the_hash_of_a_known_value_is_that_of_grenache() {
        let mut store = ValueStore::new(2);
        let value = Value::Bytes(b"hello world");
        store.put(0, &value, None).expect("small");
        let hash = sha1(&value.encode());
        let text: alloc::string::String = hash
            .iter()
            .map(|byte| alloc::format!("{byte:02x}"))
            .collect();
        assert_eq!(text, "6d33adc2b6b2c14c3036feefb7fedbca1a880527");
        let kept = store.get(0, &hash).expect("kept");
        assert_eq!(kept.value, b"11:hello world");
        assert_eq!(store.get(0, &hash[..19]), None);
    }

    #[test]
    fn a_changeable_value_only_moves_on() {
        let mut store = ValueStore::new(2);
        assert_eq!(
            put_signed(&mut store, 1, Some(7)),
            Ok(()),
            "nothing to compare"
        );
        assert_eq!(put_signed(&mut store, 1, None), Err(StoreError::Sequence));
        assert_eq!(put_signed(&mut store, 2, Some(3)), Err(StoreError::Compare));
        assert_eq!(put_signed(&mut store, 2, Some(1)), Ok(()));
        assert_eq!(
            put_signed(&mut store, 1, Some(2)),
            Err(StoreError::Sequence)
        );
        let key: [u8; 32] = VerificationKeyBytes::from(&SigningKey::from([5; 32])).into();
        let kept = store.get(0, &mutable_target(&key, b"salt")).expect("kept");
        assert_eq!(kept.value, b"i102e");
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_wrong_signature_is_not_kept() {
        let mut store = ValueStore::new(2);
        let item = MutableItem {
            key: &[5; 32],
            signature: &[9; 64],
            sequence: 1,
            salt: None,
            compare: None,
        };
        let put = store.put(0, &Value::Bytes(b"x"), Some(&item));
        assert_eq!(put, Err(StoreError::Signature));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn values_are_bounded_in_size_and_number() {
        let mut store = ValueStore::new(2);
        let bytes = [7; STRING_BYTES_MAX + 1];
        let put = |store: &mut ValueStore, value: Value<'_>| store.put(0, &value, None);
        assert_eq!(put(&mut store, Value::Bytes(&bytes[1..])), Ok(()));
        let large = put(&mut store, Value::Bytes(&bytes));
        assert_eq!(large, Err(StoreError::TooLarge));
        let items = |count| Value::List(alloc::vec![Value::Integer(1); count]);
        assert_eq!(put(&mut store, items(ITEMS_MAX)), Ok(()));
        let many = put(&mut store, items(ITEMS_MAX + 1));
        assert_eq!(many, Err(StoreError::TooLarge));
        (0..9).for_each(|number| put(&mut store, Value::Integer(number)).expect("small"));
        assert_eq!(store.len(), 2);
    }
}
