//! Bencode: what decodes encodes to something that decodes to the same.
#![no_main]

use bitfitech_core::bencode::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(value) = decode(input) {
        let text = value.encode();
        assert_eq!(decode(&text).as_ref(), Ok(&value));
    }
});
