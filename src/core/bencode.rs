//! Bencode, the notation of BitTorrent's and Grenache's datagrams (BEP 3): strict in what is
//! written, tolerant in what is read.
//!
//! There are four kinds of values: integers `i42e`, byte strings `5:hello`, lists `l…e` and
//! dictionaries `d…e` of byte strings to values. [`Writer`] writes dictionaries with ascending
//! keys, integers without leading zeros, and nothing else. [`decode`] also takes what other
//! programs send and Grenache's own decoder takes: keys in any order (of equal ones the last
//! counts), a sign or leading zeros before a number, a fraction, which is cut off, and bytes behind
//! the value. What is read borrows from the datagram, so nothing is copied until it is kept.
//!
//! A hostile datagram costs a bounded effort: at most [`DEPTH_MAX`] values inside each other and
//! [`VALUES_MAX`] in all; beyond either it is malformed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// Most values inside each other. Datagrams have three; a guess at what stored values need.
pub const DEPTH_MAX: usize = 24;

/// Most values in one text, keys not counted. The longest honest one is a list of about 9,000
/// peers, which is as many as fit into a datagram.
pub const VALUES_MAX: usize = 16_384;

/// Most digits of a number: as many as 64 bits need.
const DIGITS_MAX: usize = 20;

/// A value as it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number.
    Integer(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// Values in order.
    List(Vec<Value<'a>>),
    /// Values by key.
    Dictionary(Dictionary<'a>),
}

/// Values by key, in the order of keys.
pub type Dictionary<'a> = BTreeMap<&'a [u8], Value<'a>>;

impl<'a> Value<'a> {
    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn as_dictionary(&self) -> Option<&Dictionary<'a>> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    /// The one way to write it.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(self);
        writer.into_bytes()
    }
}

/// Why a text is not bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BencodeError {
    /// It ends within a value.
    Truncated,
    /// A byte that begins no value, or is no digit where one is due.
    Unexpected(usize),
    /// A number that does not fit into 64 bits, or a length that leads beyond the end.
    OutOfRange(usize),
    /// More than [`DEPTH_MAX`] values inside each other.
    TooDeep,
    /// More than [`VALUES_MAX`] values.
    TooMany,
}

impl fmt::Display for BencodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(out, "it ends within a value"),
            Self::Unexpected(at) => write!(out, "the byte at {at} belongs to no value"),
            Self::OutOfRange(at) => write!(out, "the number at {at} is too large"),
            Self::TooDeep => write!(out, "more than {DEPTH_MAX} values inside each other"),
            Self::TooMany => write!(out, "more than {VALUES_MAX} values"),
        }
    }
}

impl core::error::Error for BencodeError {}

/// Reads the value at the beginning of `text`; what follows it is not looked at.
///
/// # Errors
/// When there is none within the bounds.
pub fn decode(text: &[u8]) -> Result<Value<'_>, BencodeError> {
    let mut reader = Reader {
        text,
        at: 0,
        values_left: VALUES_MAX,
    };
    reader.value(DEPTH_MAX)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Result<u8, BencodeError> {
        self.text
            .get(self.at)
            .copied()
            .ok_or(BencodeError::Truncated)
    }

    fn value(&mut self, depth_left: usize) -> Result<Value<'a>, BencodeError> {
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or(BencodeError::TooMany)?;
        let depth_left = depth_left.checked_sub(1).ok_or(BencodeError::TooDeep)?;
        match self.peek()? {
            b'i' => self.integer().map(Value::Integer),
            b'l' => self.list(depth_left),
            b'd' => self.dictionary(depth_left),
            _ => self.bytes().map(Value::Bytes),
        }
    }

    fn integer(&mut self) -> Result<i64, BencodeError> {
        self.at += 1;
        let number = self.number(b'e', DIGITS_MAX)?;
        // What a fraction says is lost, as it is in the other implementations.
        if self.peek()? == b'.' {
            self.at += 1;
            while self.peek()?.is_ascii_digit() {
                self.at += 1;
            }
        }
        match self.peek()? {
            b'e' => self.at += 1,
            _ => return Err(BencodeError::Unexpected(self.at)),
        }
        Ok(number)
    }

    /// A number up to `end` or a point, which are not consumed.
    fn number(&mut self, end: u8, digits_max: usize) -> Result<i64, BencodeError> {
        let begin = self.at;
        let first = self.peek()?;
        let negative = first == b'-';
        if negative || first == b'+' {
            self.at += 1;
        }
        let mut number: i64 = 0;
        let mut digits = 0_usize;
        loop {
            let byte = self.peek()?;
            if digits > 0 && (byte == end || byte == b'.') {
                return Ok(number);
            }
            if !byte.is_ascii_digit() {
                return Err(BencodeError::Unexpected(self.at));
            }
            let digit = i64::from(byte - b'0');
            let signed = if negative { -digit } else { digit };
            digits += 1;
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(signed))
                .filter(|_| digits <= digits_max)
                .ok_or(BencodeError::OutOfRange(begin))?;
            self.at += 1;
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], BencodeError> {
        let begin = self.at;
        if !self.peek()?.is_ascii_digit() {
            return Err(BencodeError::Unexpected(begin));
        }
        let length = self.number(b':', DIGITS_MAX)?;
        if self.peek()? != b':' {
            return Err(BencodeError::Unexpected(self.at));
        }
        self.at += 1;
        let length = usize::try_from(length).map_err(|_| BencodeError::OutOfRange(begin))?;
        let rest = &self.text[self.at..];
        let bytes = rest.get(..length).ok_or(BencodeError::OutOfRange(begin))?;
        self.at += length;
        Ok(bytes)
    }

    fn list(&mut self, depth_left: usize) -> Result<Value<'a>, BencodeError> {
        self.at += 1;
        let mut list = Vec::new();
        while self.peek()? != b'e' {
            list.push(self.value(depth_left)?);
        }
        self.at += 1;
        Ok(Value::List(list))
    }

    fn dictionary(&mut self, depth_left: usize) -> Result<Value<'a>, BencodeError> {
        self.at += 1;
        let mut dictionary = Dictionary::new();
        while self.peek()? != b'e' {
            let key = self.bytes()?;
            dictionary.insert(key, self.value(depth_left)?);
        }
        self.at += 1;
        Ok(Value::Dictionary(dictionary))
    }
}

/// Writes values one after the other into one text.
///
/// Within a dictionary write [`key`](Self::key) and value in turn, keys ascending.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    text: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A whole number.
    pub fn integer(&mut self, number: i64) {
        self.text.push(b'i');
        if number < 0 {
            self.text.push(b'-');
        }
        self.digits(number.unsigned_abs());
        self.text.push(b'e');
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.digits(bytes.len() as u64);
        self.text.push(b':');
        self.text.extend_from_slice(bytes);
    }

    /// Begins a list; [`end`](Self::end) ends it.
    pub fn begin_list(&mut self) {
        self.text.push(b'l');
    }

    /// Begins a dictionary; [`end`](Self::end) ends it.
    pub fn begin_dictionary(&mut self) {
        self.text.push(b'd');
    }

    /// Ends the list or dictionary that was begun last.
    pub fn end(&mut self) {
        self.text.push(b'e');
    }

    /// A key of a dictionary.
    pub fn key(&mut self, key: &str) {
        self.bytes(key.as_bytes());
    }

    /// A key and a byte string.
    pub fn entry(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.bytes(bytes);
    }

    /// A value that is written in bencode already.
    pub fn encoded(&mut self, encoded: &[u8]) {
        self.text.extend_from_slice(encoded);
    }

    /// Any value.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Integer(number) => self.integer(*number),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::List(list) => {
                self.begin_list();
                list.iter().for_each(|value| self.value(value));
                self.end();
            }
            Value::Dictionary(dictionary) => {
                self.begin_dictionary();
                for (key, value) in dictionary {
                    self.bytes(key);
                    self.value(value);
                }
                self.end();
            }
        }
    }

    fn digits(&mut self, mut number: u64) {
        let mut reversed = [0; DIGITS_MAX];
        let mut count = 0;
        loop {
            reversed[count] = b'0' + (number % 10) as u8;
            count += 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text.extend(reversed[..count].iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn integer(text: &[u8]) -> Result<i64, BencodeError> {
        decode(text).map(|value| value.as_integer().expect("a number"))
    }

    #[test]
    fn every_kind_of_value_is_read_and_written_the_same() {
        let text = b"d4:listli1e3:twoli-3eee6:number1:xe";
        let value = decode(text).expect("well-formed");
        let list = value.as_dictionary().expect("a dictionary")[&b"list"[..]].clone();
        assert_eq!(list.as_list().expect("a list")[1], Value::Bytes(b"two"));
        assert_eq!(value.encode(), text);
    }

    #[test]
    fn what_others_send_is_taken() {
        assert_eq!(integer(b"i1.75e"), Ok(1));
        assert_eq!(integer(b"i+7e"), Ok(7));
        assert_eq!(integer(b"i-0e"), Ok(0));
        assert_eq!(integer(b"i007e and more"), Ok(7));
        let unsorted = decode(b"d1:bi1e1:ai2e1:bi3ee").expect("keys in any order");
        assert_eq!(unsorted.encode(), b"d1:ai2e1:bi3ee");
    }

    #[test]
    fn the_least_and_the_greatest_number_survive() {
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(integer(&Value::Integer(number).encode()), Ok(number));
        }
        let beyond = integer(b"i9223372036854775808e");
        assert_eq!(beyond, Err(BencodeError::OutOfRange(1)));
    }

    #[test]
    fn malformed_texts_are_refused() {
        let cases: [(&[u8], BencodeError); 9] = [
            (b"", BencodeError::Truncated),
            (b"i12", BencodeError::Truncated),
            (b"ie", BencodeError::Unexpected(1)),
            (b"ixe", BencodeError::Unexpected(1)),
            (b"5:four", BencodeError::OutOfRange(0)),
            (b"99999999999999999999999:x", BencodeError::OutOfRange(0)),
            (b"l1:a", BencodeError::Truncated),
            (b"di1e1:ae", BencodeError::Unexpected(1)),
            (b"-1:a", BencodeError::Unexpected(0)),
        ];
        for (text, error) in cases {
            assert_eq!(decode(text), Err(error), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(decode(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(decode(&nested(DEPTH_MAX + 1)), Err(BencodeError::TooDeep));
        let list = |count: usize| format!("l{}e", "le".repeat(count)).into_bytes();
        assert!(decode(&list(VALUES_MAX - 1)).is_ok());
        assert_eq!(decode(&list(VALUES_MAX)), Err(BencodeError::TooMany));
    }

    /// A value written by hand, so that the writer is not checked by itself.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| format!("i{number}e").into_bytes()),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| [
                format!("{}:", bytes.len()).into_bytes(),
                bytes
            ]
            .concat()),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let keys = prop::collection::vec(any::<u8>(), 0..5);
            let dictionary = prop::collection::btree_map(keys, inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|list| [
                    b"l".to_vec(),
                    list.concat(),
                    b"e".to_vec()
                ]
                .concat()),
                dictionary.prop_map(|entries| {
                    let mut text = b"d".to_vec();
                    for (key, value) in entries {
                        text.extend(format!("{}:", key.len()).into_bytes());
                        text.extend(key);
                        text.extend(value);
                    }
                    text.push(b'e');
                    text
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = decode(&bytes) {
                let strict = value.encode();
                prop_assert_eq!(decode(&strict), Ok(value));
            }
        }

        #[test]
        fn bytes_of_the_alphabet_are_read_or_refused(text in "[ilde0-9:.x+-]{0,60}") {
            if let Ok(value) = decode(text.as_bytes()) {
                let strict = value.encode();
                prop_assert_eq!(decode(&strict), Ok(value));
            }
        }

        #[test]
        fn what_is_written_strictly_is_read_and_written_the_same(text in texts()) {
            let value = decode(&text).expect("well-formed");
            prop_assert_eq!(value.encode(), text);
        }
    }
}
