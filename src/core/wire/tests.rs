//! Tests of the frames: pinned bytes, bounds, and garbage.

use alloc::string::ToString;
use alloc::vec;

use proptest::collection::vec as vector;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::address::tests::{address, any_address};

fn any_id() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn any_head() -> impl Strategy<Value = Head> {
    (any_id(), any::<u64>(), any_id()).prop_map(|(author, seq, id)| Head {
        author: AuthorKey(author),
        seq,
        id: OpId(id),
    })
}

fn any_want() -> impl Strategy<Value = WantEntry> {
    let locator = vector(any_id().prop_map(OpId), 0..=LOCATOR_MAX);
    (any_id(), any_id(), locator).prop_map(|(author, head, locator)| WantEntry {
        author: AuthorKey(author),
        head: OpId(head),
        locator,
    })
}

fn any_operations() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vector(vector(any::<u8>(), 1..200), 0..20)
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let fields = vector((".{0,16}", ".{0,200}"), 0..=GENESIS_FIELDS_MAX);
    (
        any::<(u16, u16, u64, u64, u64, u64)>(),
        any_id(),
        fields,
        option::of("[a-z0-9.:]{0,50}"),
        option::of(vector(any::<u8>(), 0..200)),
    )
        .prop_map(|(numbers, genesis, fields, listen, admission)| Hello {
            version_min: numbers.0,
            version_max: numbers.1,
            genesis: Digest(genesis),
            genesis_fields: fields
                .into_iter()
                .map(|(name, value)| GenesisField { name, value })
                .collect(),
            listen,
            capabilities: numbers.2,
            unix_ms: numbers.3,
            instance: numbers.4,
            session: numbers.5,
            dht_port: u16::try_from(numbers.5).ok(),
            admission,
        })
}

fn any_path() -> impl Strategy<Value = BranchPath> {
    vector(0..16_u8, 0..=PATH_MAX).prop_map(BranchPath)
}

fn any_branch_digest() -> impl Strategy<Value = BranchDigest> {
    (any_path(), any_id()).prop_map(|(path, digest)| BranchDigest {
        path,
        digest: Digest(digest),
    })
}

fn any_branch() -> impl Strategy<Value = Branch> {
    let child = (any::<u8>(), any_id()).prop_map(|(digit, digest)| ChildDigest {
        digit,
        digest: Digest(digest),
    });
    let heads = vector(any_head(), 0..=LEAF_HEADS_MAX);
    (any_path(), vector(child, 0..=16), heads).prop_map(|(path, children, heads)| Branch {
        path,
        children,
        heads,
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any_hello().prop_map(Frame::Hello),
        (any::<u8>(), ".{0,80}").prop_map(|(code, reason)| Frame::Refuse(Refuse {
            code: code.into(),
            reason
        })),
        (any::<u8>(), ".{0,80}").prop_map(|(code, reason)| Frame::Goodbye(Goodbye {
            code: code.into(),
            reason
        })),
        any::<u64>().prop_map(|nonce| Frame::Ping(Nonce { nonce })),
        any::<u64>().prop_map(|nonce| Frame::Pong(Nonce { nonce })),
        any_operations().prop_map(|operations| {
            let hops = vec![7; operations.len()];
            Frame::Ops(Ops { operations, hops })
        }),
        any_prefixes().prop_map(|ids| {
            let hops = vec![255; ids.len()];
            Frame::Announce(Announce { ids, hops })
        }),
        any_prefixes().prop_map(|authors| Frame::Prune(Prune { authors })),
        (any_prefixes(), any_prefixes())
            .prop_map(|(authors, ids)| Frame::Graft(Graft { authors, ids })),
        any::<u64>().prop_map(|missed| Frame::Behind(Behind { missed })),
        (any::<u64>(), vector(any_branch_digest(), 0..8))
            .prop_map(|(request, branches)| Frame::GetBranches(GetBranches { request, branches })),
        (any::<u64>(), vector(any_branch(), 0..8))
            .prop_map(|(request, branches)| Frame::Branches(Branches { request, branches })),
        (any::<u64>(), any::<u64>(), vector(any_want(), 0..30)).prop_map(
            |(request, from, wants)| Frame::Want(Want {
                request,
                from,
                wants
            })
        ),
        (any::<[u64; 3]>(), any_operations()).prop_map(
            |([request, remaining, next], operations)| Frame::Page(Page {
                request,
                operations,
                remaining,
                next
            })
        ),
        (any::<u64>(), any::<u64>())
            .prop_map(|(request, peers_max)| Frame::GetPeers(GetPeers { request, peers_max })),
        any_peers().prop_map(Frame::Peers),
    ]
}

fn any_prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    vector(any::<[u8; 8]>().prop_map(Prefix), 0..30)
}

fn any_peers() -> impl Strategy<Value = Peers> {
    let node = option::of(any_id().prop_map(AuthorKey));
    let entry = (any_address(), node, any::<u64>()).prop_map(|(address, node, age_s)| PeerEntry {
        address,
        node,
        age_s,
    });
    let links = vector(any_id().prop_map(AuthorKey), 0..30);
    (any::<u64>(), vector(entry, 0..=PEERS_MAX), links).prop_map(|(request, peers, links)| Peers {
        request,
        peers,
        links,
    })
}

fn test_hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        genesis: Digest([7; 32]),
        genesis_fields: vec![GenesisField {
            name: "network.name".to_string(),
            value: "test".to_string(),
        }],
        listen: Some("[::1]:7001".to_string()),
        capabilities: 0,
        unix_ms: 1_700_000_000_000,
        instance: 11,
        session: 2,
        dht_port: None,
        admission: None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| alloc::format!("{byte:02x}"))
        .collect()
}

/// One frame of each kind with its encoding: kind, then payload. Ids are repeated digits.
fn vectors() -> Vec<(Frame, String)> {
    let mut all = session_vectors();
    all.extend(sync_vectors());
    all.extend(broadcast_vectors());
    all.extend(peer_vectors());
    all.extend(branch_vectors());
    all
}

/// A byte string of 32 equal bytes.
fn bin(byte: u8) -> String {
    alloc::format!("c420{}", alloc::format!("{byte:02x}").repeat(32))
}

fn session_vectors() -> Vec<(Frame, String)> {
    vec![
        (Frame::Hello(test_hello()), {
            let fields = "9192ac6e6574776f726b2e6e616d65a474657374";
            let listen = "aa5b3a3a315d3a37303031";
            let numbers = "00cf0000018bcfe568000b02c0c0";
            alloc::format!("01 9b0101{}{fields}{listen}{numbers}", bin(7))
        }),
        (
            Frame::Refuse(Refuse {
                code: RefuseCode::Genesis,
                reason: "no".to_string(),
            }),
            "02 9202a26e6f".to_string(),
        ),
        (
            Frame::Goodbye(Goodbye {
                code: GoodbyeCode::Shutdown,
                reason: String::new(),
            }),
            "03 9201a0".to_string(),
        ),
        (Frame::Ping(Nonce { nonce: 5 }), "04 9105".to_string()),
        (Frame::Pong(Nonce { nonce: 300 }), "05 91cd012c".to_string()),
        (
            Frame::Ops(Ops {
                operations: vec![vec![1, 2], vec![3]],
                hops: vec![1, 5],
            }),
            "06 9292c4020102c40103c4020105".to_string(),
        ),
        (Frame::Behind(Behind { missed: 9 }), "07 9109".to_string()),
    ]
}

fn broadcast_vectors() -> Vec<(Frame, String)> {
    let prefix = |byte: u8| Prefix([byte; 8]);
    vec![
        (
            Frame::Announce(Announce {
                ids: vec![prefix(1), prefix(2)],
                hops: vec![3, 255],
            }),
            "0c 92c41001010101010101010202020202020202c40203ff".to_string(),
        ),
        (
            Frame::Prune(Prune {
                authors: vec![prefix(0xaa)],
            }),
            "0d 91c408aaaaaaaaaaaaaaaa".to_string(),
        ),
        (
            Frame::Graft(Graft {
                authors: vec![prefix(0xaa)],
                ids: vec![prefix(1)],
            }),
            "0e 92c408aaaaaaaaaaaaaaaac4080101010101010101".to_string(),
        ),
    ]
}

fn sync_vectors() -> Vec<(Frame, String)> {
    let id = |byte: u8| OpId([byte; 32]);
    let author = AuthorKey([0xaa; 32]);
    vec![
        (
            Frame::Want(Want {
                request: 2,
                from: 6,
                wants: vec![WantEntry {
                    author,
                    head: id(2),
                    locator: vec![id(1)],
                }],
            }),
            alloc::format!("0a 9302069193{}{}91{}", bin(0xaa), bin(2), bin(1)),
        ),
        (
            Frame::Page(Page {
                request: 2,
                operations: vec![vec![0xff]],
                remaining: 0,
                next: 7,
            }),
            "0b 940291c401ff0007".to_string(),
        ),
    ]
}

fn branch_vectors() -> Vec<(Frame, String)> {
    let path = |digits: &[u8]| BranchPath(digits.to_vec());
    let digest = |byte: u8| Digest([byte; 32]);
    let child = |digit, byte| ChildDigest {
        digit,
        digest: digest(byte),
    };
    let head = Head {
        author: AuthorKey([0xaa; 32]),
        seq: 4,
        id: OpId([2; 32]),
    };
    let divided = Branch {
        path: path(&[]),
        children: vec![child(1, 3), child(15, 4)],
        heads: Vec::new(),
    };
    let few = Branch {
        path: path(&[10, 10]),
        children: Vec::new(),
        heads: vec![head],
    };
    vec![
        (
            Frame::GetBranches(GetBranches {
                request: 1,
                branches: vec![BranchDigest {
                    path: path(&[]),
                    digest: digest(7),
                }],
            }),
            alloc::format!("12 92019192c400{}", bin(7)),
        ),
        (
            Frame::Branches(Branches {
                request: 1,
                branches: vec![divided],
            }),
            alloc::format!("13 92019193c400929201{}920f{}90", bin(3), bin(4)),
        ),
        (
            Frame::Branches(Branches {
                request: 2,
                branches: vec![few],
            }),
            alloc::format!("13 92029193c4020a0a909193{}04{}", bin(0xaa), bin(2)),
        ),
    ]
}

fn peer_vectors() -> Vec<(Frame, String)> {
    let entry = |text: &str, node, age_s| PeerEntry {
        address: address(text),
        node,
        age_s,
    };
    let author = AuthorKey([0xaa; 32]);
    vec![
        (
            Frame::GetPeers(GetPeers {
                request: 3,
                peers_max: 64,
            }),
            "10 920340".to_string(),
        ),
        (
            Frame::Peers(Peers {
                request: 3,
                peers: vec![
                    entry("1.2.3.4:3000", Some(author), 0),
                    entry("[2a00::1]:7001", None, 300),
                ],
                links: vec![author],
            }),
            {
                let first = alloc::format!("93c406010203040bb8{}00", bin(0xaa));
                let second = "93c4122a0000000000000000000000000000011b59c0cd012c";
                alloc::format!("11 930392{first}{second}91{}", bin(0xaa))
            },
        ),
    ]
}

#[test]
fn the_encoding_of_every_kind_is_pinned() {
    for (frame, expected) in vectors() {
        let (kind, payload) = frame.encode();
        assert_eq!(alloc::format!("{kind:02x} {}", hex(&payload)), expected);
        assert_eq!(Frame::decode(kind, &payload), Ok(Some(frame)));
    }
}

#[test]
fn unknown_kinds_are_skipped() {
    for kind in [0, 8, 9, 15, 20, 255] {
        assert_eq!(Frame::decode(kind, &[0xc1]), Ok(None));
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for (frame, _) in vectors() {
        let (kind, mut payload) = frame.encode();
        payload.push(0xc0);
        assert_eq!(
            Frame::decode(kind, &payload),
            Err(WireError::TrailingBytes { kind, count: 1 })
        );
    }
}

#[test]
fn a_truncated_payload_is_refused_at_every_length() {
    for (frame, _) in vectors() {
        let (kind, payload) = frame.encode();
        for length in 0..payload.len() {
            assert!(
                Frame::decode(kind, &payload[..length]).is_err(),
                "{frame:?}"
            );
        }
    }
}

#[test]
fn lists_are_refused_one_beyond_their_bound() {
    let want = |locator: usize| WantEntry {
        author: AuthorKey([1; 32]),
        head: OpId([2; 32]),
        locator: vec![OpId([3; 32]); locator],
    };
    let wants = |count, locator| {
        Frame::Want(Want {
            request: 0,
            from: 0,
            wants: vec![want(locator); count],
        })
    };
    let ops = |count, size| {
        Frame::Ops(Ops {
            operations: vec![vec![0; size]; count],
            hops: vec![1; count],
        })
    };
    let peers = |count: usize, links: usize| {
        let entry = PeerEntry {
            address: address("1.2.3.4:5"),
            node: None,
            age_s: 0,
        };
        Frame::Peers(Peers {
            request: 0,
            peers: vec![entry; count],
            links: vec![AuthorKey([1; 32]); links],
        })
    };
    for (frame, fits) in [
        (peers(PEERS_MAX, LINKS_MAX), true),
        (peers(PEERS_MAX + 1, 0), false),
        (peers(0, LINKS_MAX + 1), false),
        (wants(WANTS_MAX, LOCATOR_MAX), true),
        (wants(WANTS_MAX + 1, 0), false),
        (wants(1, LOCATOR_MAX + 1), false),
        (ops(OPERATIONS_MAX, 10), true),
        (ops(OPERATIONS_MAX + 1, 10), false),
        (ops(1, OPERATION_MAX_BYTES), true),
        (ops(1, OPERATION_MAX_BYTES + 1), false),
        (ops(1, 0), false),
    ] {
        let (kind, payload) = frame.encode();
        let decoded = Frame::decode(kind, &payload);
        assert_eq!(decoded.is_ok(), fits, "{} {decoded:.200?}", frame.name());
    }
}

#[test]
fn branches_are_refused_one_beyond_their_bounds() {
    let head = Head {
        author: AuthorKey([1; 32]),
        seq: 0,
        id: OpId([2; 32]),
    };
    let asked = |count, length| {
        let branch = BranchDigest {
            path: BranchPath(vec![1; length]),
            digest: Digest([1; 32]),
        };
        Frame::GetBranches(GetBranches {
            request: 0,
            branches: vec![branch; count],
        })
    };
    let shown = |count, children, heads| {
        let child = ChildDigest {
            digit: 1,
            digest: Digest([1; 32]),
        };
        let branch = Branch {
            path: BranchPath(vec![1; PATH_MAX]),
            children: vec![child; children],
            heads: vec![head; heads],
        };
        Frame::Branches(Branches {
            request: 0,
            branches: vec![branch; count],
        })
    };
    for (frame, fits) in [
        (asked(BRANCHES_MAX, PATH_MAX), true),
        (asked(BRANCHES_MAX + 1, 0), false),
        (asked(1, PATH_MAX + 1), false),
        (shown(BRANCHES_MAX, 16, LEAF_HEADS_MAX), true),
        (shown(BRANCHES_MAX + 1, 0, 0), false),
        (shown(1, 17, 0), false),
        (shown(1, 0, LEAF_HEADS_MAX + 1), false),
    ] {
        let (kind, payload) = frame.encode();
        let decoded = Frame::decode(kind, &payload);
        assert_eq!(decoded.is_ok(), fits, "{} {decoded:.200?}", frame.name());
    }
}

#[test]
fn names_of_operations_are_bounded_and_each_has_its_hops() {
    let named = |count| vec![Prefix([1; 8]); count];
    let announce = |count, hops| {
        Frame::Announce(Announce {
            ids: named(count),
            hops: vec![1; hops],
        })
    };
    let graft = |authors, ids| {
        Frame::Graft(Graft {
            authors: named(authors),
            ids: named(ids),
        })
    };
    let ops = Frame::Ops(Ops {
        operations: vec![vec![1]],
        hops: Vec::new(),
    });
    for (frame, fits) in [
        (announce(NAMED_MAX, NAMED_MAX), true),
        (announce(NAMED_MAX + 1, NAMED_MAX + 1), false),
        (announce(2, 1), false),
        (graft(NAMED_MAX, NAMED_MAX), true),
        (graft(NAMED_MAX + 1, 0), false),
        (graft(0, NAMED_MAX + 1), false),
        (ops, false),
    ] {
        let (kind, payload) = frame.encode();
        let decoded = Frame::decode(kind, &payload);
        assert_eq!(decoded.is_ok(), fits, "{} {decoded:.200?}", frame.name());
    }
    let odd = [0x91, 0xc4, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    assert!(Frame::decode(13, &odd).is_err(), "no whole prefixes");
    let mut ask = [0x92, 1, 0x91, 0x92, 0xc4, 1, 15, 0xc4, 32].to_vec();
    ask.extend([0; 32]);
    assert!(Frame::decode(18, &ask).is_ok());
    ask[6] = 16;
    assert!(Frame::decode(18, &ask).is_err(), "no digit");
}

#[test]
fn texts_are_refused_one_beyond_their_bound() {
    let text = |size: usize| "x".repeat(size);
    let refuse = |size| {
        Frame::Refuse(Refuse {
            code: RefuseCode::Full,
            reason: text(size),
        })
    };
    let field = |name, value| GenesisField {
        name: text(name),
        value: text(value),
    };
    let hello = |listen: usize, name, value| {
        Frame::Hello(Hello {
            listen: Some(text(listen)),
            genesis_fields: vec![field(name, value); GENESIS_FIELDS_MAX],
            ..test_hello()
        })
    };
    let full = (
        ADDRESS_MAX_BYTES,
        FIELD_NAME_MAX_BYTES,
        FIELD_VALUE_MAX_BYTES,
    );
    for (frame, fits) in [
        (refuse(REASON_MAX_BYTES), true),
        (refuse(REASON_MAX_BYTES + 1), false),
        (hello(full.0, full.1, full.2), true),
        (hello(full.0 + 1, full.1, 0), false),
        (hello(full.0, full.1 + 1, 0), false),
        (hello(full.0, full.1, full.2 + 1), false),
    ] {
        let (kind, payload) = frame.encode();
        assert_eq!(
            Frame::decode(kind, &payload).is_ok(),
            fits,
            "{}",
            frame.name()
        );
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // An array of four billion branches, without any, and a byte string of four gigabytes.
    let branches = [0x92, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff];
    let bytes = [0x91, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff];
    let refused = Frame::decode(19, &branches).expect_err("must be refused");
    assert!(refused.to_string().contains("at most 64"), "{refused}");
    assert!(Frame::decode(6, &bytes).is_err());
}

#[test]
fn an_oversized_payload_is_refused_unread() {
    let payload = vec![0; HELLO_MAX_BYTES];
    assert_eq!(
        Frame::decode(1, &payload),
        Err(WireError::PayloadSize {
            kind: 1,
            size_bytes: HELLO_MAX_BYTES,
            max_bytes: HELLO_MAX_BYTES - 1
        })
    );
}

#[test]
fn codes_survive_the_round_trip() {
    for code in 0..=255_u8 {
        assert_eq!(u8::from(RefuseCode::from(code)), code);
        assert_eq!(u8::from(GoodbyeCode::from(code)), code);
    }
}

proptest! {
    #[test]
    fn every_frame_survives_the_round_trip(frame in any_frame()) {
        let (kind, payload) = frame.encode();
        prop_assert_eq!(Frame::decode(kind, &payload), Ok(Some(frame)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0..21_u8, payload in vector(any::<u8>(), 0..300)) {
        let _ = Frame::decode(kind, &payload);
    }

    #[test]
    fn an_altered_frame_never_panics(
        frame in any_frame(), position in any::<prop::sample::Index>(), bits in 1..=255_u8,
    ) {
        let (kind, mut payload) = frame.encode();
        let position = position.index(payload.len());
        payload[position] ^= bits;
        let _ = Frame::decode(kind, &payload);
    }
}
