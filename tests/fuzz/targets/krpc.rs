//! Datagrams of the DHT, each behind its length in two bytes: a node that hears them goes on.
#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};

use bitfitech_core::bencode::decode;
use bitfitech_core::dht::{Dht, DhtConfig, Output};
use bitfitech_core::types::Now;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let moment = |monotonic_ms| Now {
        monotonic_ms,
        unix_ms: 1_700_000_000_000,
    };
    let mut dht = Dht::new(DhtConfig::default(), &[7; 32], moment(0));
    let mut monotonic_ms = 0;
    let mut rest = input;
    while let Some(([high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high & 7, *low])).min(behind.len());
        let (datagram, behind) = behind.split_at(length);
        rest = behind;
        monotonic_ms += u64::from(*low);
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1 + (high & 3)), 20_001);
        dht.handle_datagram(moment(monotonic_ms), from, datagram);
        dht.tick(moment(monotonic_ms));
        while let Some(output) = dht.poll_output() {
            if let Output::Send { datagram, .. } = output {
                // Not as a message of ours: what a query wants echoed may be anything.
                assert!(decode(&datagram).is_ok(), "what is sent can be read");
            }
        }
    }
});
