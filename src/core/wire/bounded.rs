//! Lists and byte strings that refuse to grow beyond a bound while they are decoded.
//!
//! The stock decoders of `Vec` read whatever length the other side claims, element by element.
//! These stop at the claim if it is honest, at the first element too many if it is not, and set
//! nothing aside for elements that have not come.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Reads a list of at most `MAX` elements.
pub(super) fn list<'de, D, T, const MAX: usize>(decoder: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    decoder.deserialize_seq(ListVisitor::<T, MAX>(PhantomData))
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let claimed = elements.size_hint().unwrap_or(0);
        if claimed > MAX {
            return Err(A::Error::invalid_length(claimed, &self));
        }
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// Lists of operations: not too many, each neither empty nor too long.
pub(super) mod operations {
    use super::*;
    use crate::wire::{OPERATION_MAX_BYTES, OPERATIONS_MAX};
    use serde::{Serialize, Serializer};

    /// Writes each operation as a byte string.
    pub(in crate::wire) fn serialize<O: AsRef<[u8]>, S: Serializer>(
        operations: &[O],
        encoder: S,
    ) -> Result<S::Ok, S::Error> {
        encoder.collect_seq(operations.iter().map(|bytes| Borrowed(bytes.as_ref())))
    }

    /// Reads the list.
    pub(in crate::wire) fn deserialize<'de, O: From<Vec<u8>>, D: Deserializer<'de>>(
        decoder: D,
    ) -> Result<Vec<O>, D::Error> {
        let operations = list::<D, Owned, OPERATIONS_MAX>(decoder)?;
        Ok(operations
            .into_iter()
            .map(|operation| operation.0.into())
            .collect())
    }

    struct Borrowed<'a>(&'a [u8]);

    impl Serialize for Borrowed<'_> {
        fn serialize<S: Serializer>(&self, encoder: S) -> Result<S::Ok, S::Error> {
            encoder.serialize_bytes(self.0)
        }
    }

    struct Owned(Vec<u8>);

    impl<'de> Deserialize<'de> for Owned {
        fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
            decoder.deserialize_bytes(OperationVisitor).map(Self)
        }
    }

    struct OperationVisitor;

    impl Visitor<'_> for OperationVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "a byte string of 1 to {OPERATION_MAX_BYTES} bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            if bytes.is_empty() || bytes.len() > OPERATION_MAX_BYTES {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(bytes.to_vec())
        }
    }
}

/// A short byte string.
pub(super) mod bytes {
    use super::*;
    use crate::wire::OPERATIONS_MAX;
    use serde::Serializer;

    /// Writes it.
    pub(in crate::wire) fn serialize<S: Serializer>(
        bytes: &[u8],
        encoder: S,
    ) -> Result<S::Ok, S::Error> {
        encoder.serialize_bytes(bytes)
    }

    /// Reads it.
    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        decoder: D,
    ) -> Result<Vec<u8>, D::Error> {
        decoder.deserialize_bytes(BytesVisitor)
    }

    struct BytesVisitor;

    impl Visitor<'_> for BytesVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "a byte string of at most {OPERATIONS_MAX} bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            if bytes.len() > OPERATIONS_MAX {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(bytes.to_vec())
        }
    }
}

/// Prefixes one after the other in a byte string.
pub(super) mod prefixes {
    use super::*;
    use crate::wire::{NAMED_MAX, Prefix};
    use serde::Serializer;

    /// Writes them.
    pub(in crate::wire) fn serialize<S: Serializer>(
        prefixes: &[Prefix],
        encoder: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = prefixes.iter().flat_map(|prefix| prefix.0).collect();
        encoder.serialize_bytes(&bytes)
    }

    /// Reads them.
    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        decoder: D,
    ) -> Result<Vec<Prefix>, D::Error> {
        decoder.deserialize_bytes(PrefixesVisitor)
    }

    struct PrefixesVisitor;

    impl Visitor<'_> for PrefixesVisitor {
        type Value = Vec<Prefix>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "a byte string of at most {NAMED_MAX} times 8 bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            let (prefixes, rest) = bytes.as_chunks();
            if prefixes.len() > NAMED_MAX || !rest.is_empty() {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(prefixes.iter().map(|prefix| Prefix(*prefix)).collect())
        }
    }
}

/// Hexadecimal digits, one in a byte.
pub(super) mod digits {
    use super::*;
    use crate::wire::PATH_MAX;
    use serde::Serializer;

    /// Writes them.
    pub(in crate::wire) fn serialize<S: Serializer>(
        digits: &[u8],
        encoder: S,
    ) -> Result<S::Ok, S::Error> {
        encoder.serialize_bytes(digits)
    }

    /// Reads them.
    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        decoder: D,
    ) -> Result<Vec<u8>, D::Error> {
        decoder.deserialize_bytes(DigitsVisitor)
    }

    struct DigitsVisitor;

    impl Visitor<'_> for DigitsVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "a byte string of at most {PATH_MAX} digits below 16")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            if bytes.len() > PATH_MAX || bytes.iter().any(|digit| *digit > 15) {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(bytes.to_vec())
        }
    }
}
