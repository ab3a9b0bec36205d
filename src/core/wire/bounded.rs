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

/// Reads a byte string.
struct ByteString<T> {
    /// Says what is expected.
    expecting: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
    /// What the bytes stand for; `None` if they break a bound.
    read: fn(&[u8]) -> Option<T>,
}

impl<T> Visitor<'_> for ByteString<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.expecting)(out)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        (self.read)(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
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
            decoder
                .deserialize_bytes(ByteString {
                    expecting: |out| {
                        write!(out, "a byte string of 1 to {OPERATION_MAX_BYTES} bytes")
                    },
                    read: |bytes| {
                        (1..=OPERATION_MAX_BYTES)
                            .contains(&bytes.len())
                            .then(|| bytes.to_vec())
                    },
                })
                .map(Self)
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
        decoder.deserialize_bytes(ByteString {
            expecting: |out| write!(out, "a byte string of at most {OPERATIONS_MAX} bytes"),
            read: |bytes| (bytes.len() <= OPERATIONS_MAX).then(|| bytes.to_vec()),
        })
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
        decoder.deserialize_bytes(ByteString {
            expecting: |out| write!(out, "a byte string of at most {NAMED_MAX} times 8 bytes"),
            read: |bytes| {
                let (prefixes, rest) = bytes.as_chunks();
                let is_good = prefixes.len() <= NAMED_MAX && rest.is_empty();
                is_good.then(|| prefixes.iter().map(|prefix| Prefix(*prefix)).collect())
            },
        })
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
        decoder.deserialize_bytes(ByteString {
            expecting: |out| write!(out, "a byte string of at most {PATH_MAX} digits below 16"),
            read: |bytes| {
                let is_good = bytes.len() <= PATH_MAX && bytes.iter().all(|digit| *digit < 16);
                is_good.then(|| bytes.to_vec())
            },
        })
    }
}
