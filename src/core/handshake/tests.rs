//! Tests of the handshake: what is refused and why, and which of two sessions stays.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::genesis::tests::test_genesis;
use crate::membership::Membership;
use crate::types::{Digest, reading as at};
use crate::wire::{GoodbyeCode, Nonce};

fn key(byte: u8) -> AuthorKey {
    AuthorKey([byte; 32])
}

fn node(byte: u8, genesis: Genesis) -> LocalNode {
    LocalNode {
        key: key(byte),
        genesis,
        listen: None,
        instance: u64::from(byte),
        dht_port: None,
    }
}

/// What `here` says to a Hello of `there`.
fn judge(here: &LocalNode, there: &LocalNode) -> Result<Accepted, Refuse> {
    let members = Membership::default();
    let hello = there.hello(at(0, 1_250), 1, &members);
    compare(at(0, 1_000), here, &members, (there.key, hello))
}

/// What `here` says to a Hello of key 2, if nobody's standing was ever changed.
fn judge_hello(now: Now, here: &LocalNode, hello: Hello) -> Result<Accepted, Refuse> {
    compare(now, here, &Membership::default(), (key(2), hello))
}

#[test]
fn nodes_of_one_network_accept_each_other() {
    let (left, right) = (node(1, test_genesis()), node(2, test_genesis()));
    let accepted = judge(&left, &right).expect("must be accepted");
    assert_eq!(accepted.version, PROTOCOL_VERSION_MAX);
    assert_eq!(accepted.clock, PeerClock::new(at(0, 1_000), 1_250));
    assert!(judge(&right, &left).is_ok());
}

#[test]
fn a_refusal_names_the_genesis_field_that_differs_with_both_values() {
    let base = test_genesis();
    let cases = [
        (
            Genesis {
                network: "other".to_string(),
                ..base.clone()
            },
            ["network.name", "`test` here", "`other` there"],
        ),
        (
            Genesis {
                lease_ms: 80_000,
                ..base.clone()
            },
            ["network.lease_ms", "`90000` here", "`80000` there"],
        ),
        (
            Genesis {
                allow_list: vec![key(1)],
                ..base.clone()
            },
            ["network.allow_list", "`0 keys", "`1 keys"],
        ),
    ];
    for (genesis, parts) in cases {
        let refused = judge(&node(1, base.clone()), &node(2, genesis)).expect_err("must refuse");
        assert_eq!(refused.code, RefuseCode::Genesis);
        for part in parts {
            assert!(
                refused.reason.contains(part),
                "{} in {}",
                part,
                refused.reason
            );
        }
    }
}

#[test]
fn a_lie_about_the_fields_does_not_help() {
    let here = node(1, test_genesis());
    let hello = Hello {
        genesis: Digest([9; 32]),
        ..node(2, test_genesis()).hello(at(0, 0), 1, &Membership::default())
    };
    let refused = judge_hello(at(0, 0), &here, hello.clone()).expect_err("must refuse");
    assert!(refused.reason.contains("09090909"), "{}", refused.reason);
    let bare = Hello {
        genesis_fields: Vec::new(),
        ..hello
    };
    let refused = judge_hello(at(0, 0), &here, bare).expect_err("must refuse");
    assert!(
        refused.reason.contains("absent there"),
        "{}",
        refused.reason
    );
}

#[test]
fn a_refusal_never_repeats_control_characters_and_fits_its_frame() {
    let mut hello = node(2, test_genesis()).hello(at(0, 0), 1, &Membership::default());
    hello.genesis = Digest([9; 32]);
    for field in &mut hello.genesis_fields {
        field.value = "\u{1b}[2J\n".repeat(600);
    }
    let here = node(1, test_genesis());
    let refused = judge_hello(at(0, 0), &here, hello).expect_err("must refuse");
    assert!(!refused.reason.contains(char::is_control));
    assert!(refused.reason.len() <= REASON_MAX_BYTES);
}

#[test]
fn versions_without_overlap_are_refused() {
    let here = node(1, test_genesis());
    for (version_min, version_max, fits) in [
        (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, true),
        (0, 9, true),
        (PROTOCOL_VERSION_MAX + 1, 9, false),
        (0, PROTOCOL_VERSION_MIN - 1, false),
        (9, 0, false),
    ] {
        let hello = Hello {
            version_min,
            version_max,
            ..node(2, test_genesis()).hello(at(0, 0), 1, &Membership::default())
        };
        match judge_hello(at(0, 0), &here, hello) {
            Ok(accepted) => assert!(fits && accepted.version == PROTOCOL_VERSION_MAX),
            Err(refused) => assert!(!fits && refused.code == RefuseCode::Version),
        }
    }
}

#[test]
fn the_own_key_is_refused() {
    let here = node(1, test_genesis());
    let refused = judge(&here, &here).expect_err("must refuse");
    assert_eq!(refused.code, RefuseCode::SelfConnection);
}

#[test]
fn a_key_off_the_allow_list_is_refused_by_name() {
    let genesis = Genesis {
        allow_list: vec![key(1), key(2)],
        ..test_genesis()
    };
    let here = node(1, genesis.clone());
    assert!(judge(&here, &node(2, genesis.clone())).is_ok());
    let refused = judge(&here, &node(3, genesis)).expect_err("must refuse");
    assert_eq!(refused.code, RefuseCode::NotAllowed);
    assert!(refused.reason.contains(&key(3).to_hex()));
}

#[test]
fn the_first_frame_must_be_a_hello_and_in_time() {
    let here = node(1, test_genesis());
    let handshake = Handshake::new(at(100, 0), key(2));
    let hello = Some(Frame::Hello(node(2, test_genesis()).hello(
        at(0, 0),
        1,
        &Membership::default(),
    )));
    assert_eq!(handshake.deadline_ms(), 100 + HELLO_TIMEOUT_MS);
    let in_time = at(99 + HELLO_TIMEOUT_MS, 0);
    assert!(
        handshake
            .handle_frame(in_time, &here, &Membership::default(), hello.clone())
            .is_ok()
    );
    let late = at(100 + HELLO_TIMEOUT_MS, 0);
    for (now, frame) in [
        (late, hello),
        (in_time, None),
        (in_time, Some(Frame::Ping(Nonce { nonce: 1 }))),
    ] {
        let refused = handshake.handle_frame(now, &here, &Membership::default(), frame);
        assert!(
            matches!(
                refused,
                Err(HandshakeError::Refused(Refuse {
                    code: RefuseCode::Protocol,
                    ..
                }))
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn the_peers_refusal_is_passed_on_in_printable_form() {
    let here = node(1, test_genesis());
    let handshake = Handshake::new(at(0, 0), key(2));
    let refuse = Frame::Refuse(Refuse {
        code: RefuseCode::Full,
        reason: "full\u{7}".to_string(),
    });
    assert_eq!(
        handshake.handle_frame(at(0, 0), &here, &Membership::default(), Some(refuse)),
        Err(HandshakeError::RefusedByPeer(Refuse {
            code: RefuseCode::Full,
            reason: "full ".to_string(),
        }))
    );
    let goodbye = Goodbye {
        code: GoodbyeCode::Shutdown,
        reason: String::new(),
    };
    assert_eq!(
        handshake.handle_frame(
            at(0, 0),
            &here,
            &Membership::default(),
            Some(Frame::Goodbye(goodbye.clone()))
        ),
        Err(HandshakeError::Ended(goodbye))
    );
}

#[test]
fn a_long_genesis_field_is_shortened_but_still_differs() {
    let long = |last: &str| shortened("x".repeat(FIELD_VALUE_MAX_BYTES) + last);
    assert!(long("a").len() <= FIELD_VALUE_MAX_BYTES);
    assert_ne!(long("a"), long("b"));
    assert_eq!(shortened("short".to_string()), "short");
}

#[test]
fn the_hello_of_a_node_fits_its_frame() {
    let frame = Frame::Hello(node(1, test_genesis()).hello(at(0, 0), 1, &Membership::default()));
    let (kind, payload) = frame.encode();
    assert_eq!(Frame::decode(kind, &payload), Ok(Some(frame)));
}

/// A session between two nodes as an all-knowing observer sees it.
#[derive(Clone, Copy, Debug)]
struct Observed {
    left_dialled: bool,
    session: u64,
}

impl Observed {
    fn seen_on_left(self) -> SessionFacts {
        SessionFacts {
            dialler: if self.left_dialled {
                Dialler::Local
            } else {
                Dialler::Peer
            },
            peer_instance: 2,
            dialler_session: self.session,
        }
    }

    fn seen_on_right(self) -> SessionFacts {
        SessionFacts {
            dialler: if self.left_dialled {
                Dialler::Peer
            } else {
                Dialler::Local
            },
            peer_instance: 1,
            dialler_session: self.session,
        }
    }
}

#[test]
fn a_restarted_peer_replaces_its_dead_session_whoever_dialled() {
    let dead = SessionFacts {
        dialler: Dialler::Local,
        peer_instance: 1,
        dialler_session: 900,
    };
    let fresh = SessionFacts {
        dialler: Dialler::Peer,
        peer_instance: 2,
        dialler_session: 1,
    };
    assert_eq!(keep_session(key(1), key(2), dead, fresh), Keep::Later);
    assert_eq!(keep_session(key(2), key(1), dead, fresh), Keep::Later);
}

#[test]
fn a_peer_that_dials_again_gets_the_new_session() {
    let session = |number| SessionFacts {
        dialler: Dialler::Peer,
        peer_instance: 1,
        dialler_session: number,
    };
    assert_eq!(
        keep_session(key(1), key(2), session(4), session(5)),
        Keep::Later
    );
    assert_eq!(
        keep_session(key(1), key(2), session(5), session(4)),
        Keep::Earlier
    );
}

proptest! {
    #[test]
    fn both_sides_keep_the_same_session_in_whatever_order_they_see_them(
        first in any::<(bool, u64)>(), second in any::<(bool, u64)>(),
        left_sees_first_first: bool, right_sees_first_first: bool, left_is_smaller: bool,
    ) {
        prop_assume!(first != second);
        let observed = [first, second].map(|(left_dialled, session)| Observed {
            left_dialled,
            session,
        });
        let (left, right) = if left_is_smaller { (key(1), key(2)) } else { (key(2), key(1)) };
        let survivor = |first_first: bool, keep: &dyn Fn(Observed, Observed) -> Keep| {
            let (earlier, later) = if first_first { (0, 1) } else { (1, 0) };
            match keep(observed[earlier], observed[later]) {
                Keep::Earlier => earlier,
                Keep::Later => later,
            }
        };
        let on_left = survivor(left_sees_first_first, &|earlier, later| {
            keep_session(left, right, earlier.seen_on_left(), later.seen_on_left())
        });
        let on_right = survivor(right_sees_first_first, &|earlier, later| {
            keep_session(right, left, earlier.seen_on_right(), later.seen_on_right())
        });
        prop_assert_eq!(on_left, on_right);
    }

    #[test]
    fn printable_text_is_short_and_free_of_control_characters(text in any::<String>()) {
        let shown = printable(&text, 20);
        prop_assert!(shown.len() <= 20);
        prop_assert!(!shown.contains(char::is_control));
    }
}
