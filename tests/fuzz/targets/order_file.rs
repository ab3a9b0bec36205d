//! Order files: read, or the first bad line is named.
#![no_main]

use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_replay::order_file::OrderFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let market = Market::new(&MarketSpec::STANDARD).expect("the standard market is valid");
    match OrderFile::read(input, &market) {
        Ok(file) => assert!(file.orders() <= input.len()),
        Err(error) => assert!(!error.to_string().is_empty(), "a fault has a text"),
    }
});
