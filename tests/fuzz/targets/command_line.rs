//! Lines of the console: understood or refused with a text.
#![no_main]

use bitfitech_actors::command_grammar::{parse, reply_word};
use bitfitech_core::genesis::Genesis;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let genesis = Genesis::standard("test");
    if let Err(error) = parse(line, &genesis) {
        assert!(!error.to_string().is_empty(), "a refusal has a text");
    }
    let word = reply_word(line);
    assert!(word.len() <= 32 && !word.is_empty(), "{word:?}");
});
