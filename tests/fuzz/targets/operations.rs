//! Operations: what decodes is canonical, and the exchange survives whatever valid bytes say.
//!
//! The input is a list of operations, each behind its length in two bytes. Signatures are taken for
//! granted, so that more than noise reaches the exchange.
#![no_main]

use bitfitech_core::exchange::Exchange;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::Book;
use bitfitech_core::op::Operation;
use bitfitech_core::signature;
use bitfitech_core::types::{LinkId, Now, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let genesis = Genesis::standard("test");
    let digest = genesis.digest();
    let mut exchange = Exchange::new(genesis.clone(), [3; 32].into(), Book::new);
    let now = Now {
        monotonic_ms: 1_000,
        unix_ms: 1_700_000_000_500,
    };
    let mut rest = input;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (wire, behind) = behind.split_at(length);
        rest = behind;
        let Ok(operation) = Operation::decode(wire, &genesis, &digest) else {
            continue;
        };
        assert_eq!(**operation.wire(), *wire, "the bytes stay as received");
        let verdicts = signature::verify(vec![operation.clone()]);
        assert_eq!(verdicts.len(), 1);
        exchange.receive(now, Source::push(LinkId(1)), vec![operation.trust()]);
    }
    exchange.handle_tick(now);
    let count = exchange.dag().len();
    assert_eq!(exchange.digests().operations, count as u64);
});
