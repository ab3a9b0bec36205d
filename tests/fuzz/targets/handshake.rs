//! The first frame of a stranger: a session or a refusal, never a panic.
#![no_main]

use bitfitech_core::genesis::Genesis;
use bitfitech_core::handshake::{Handshake, HandshakeError, LocalNode};
use bitfitech_core::membership::Membership;
use bitfitech_core::types::{AuthorKey, Now};
use bitfitech_core::wire::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    let Ok(frame) = Frame::decode(*kind, payload) else {
        return;
    };
    let now = Now {
        monotonic_ms: 1_000,
        unix_ms: 1_700_000_000_000,
    };
    let local = LocalNode {
        key: AuthorKey([1; 32]),
        // Closed, so that what a stranger shows as his admission is looked at.
        genesis: Genesis {
            administrators: vec![AuthorKey([3; 32])],
            ..Genesis::standard("test")
        },
        listen: Some("127.0.0.1:3000".to_owned()),
        instance: 1,
        dht_port: Some(20_001),
    };
    let handshake = Handshake::new(now, AuthorKey([2; 32]));
    let judged = handshake.handle_frame(now, &local, &Membership::default(), frame);
    if let Err(HandshakeError::Refused(refuse)) = judged {
        let (kind, payload) = Frame::<Vec<u8>>::Refuse(refuse).encode();
        let again = Frame::<Vec<u8>>::decode(kind, &payload);
        assert!(
            again.is_ok_and(|frame| frame.is_some()),
            "the refusal can be read"
        );
    }
});
