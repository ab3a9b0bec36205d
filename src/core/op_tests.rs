//! Tests of the operation encoding.

use super::encoding::Terms;
use super::*;
use crate::genesis::tests::test_genesis;
use alloc::string::String;
use ed25519_zebra::VerificationKeyBytes;
use proptest::prelude::*;

/// The author key of a signing key.
pub(crate) fn author(key: &SigningKey) -> AuthorKey {
    AuthorKey(VerificationKeyBytes::from(key).into())
}

/// An operation of one limit order, first in its author's chain, distinguished by its price.
fn sample_body(key: &SigningKey, number: u64) -> Body {
    Body {
        version: OPERATION_VERSION,
        author: author(key),
        seq: 0,
        prev: None,
        time: HybridTime::from_unix_ms(1_700_000_000_000),
        refs: Vec::new(),
        checkpoint: 0,
        actions: alloc::vec![Action::Place(Place {
            market: MarketIndex(0),
            side: Side::Buy,
            pricing: Pricing::Limit(Ticks(3_000_000 + number)),
            quantity: Lots(50_000_000),
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::CancelNewest,
            expires_ms: None,
        })],
    }
}

/// A sample operation of `author`, signed by `signer`, whatever the signature is then worth.
pub(crate) fn sample_wire(
    author: &SigningKey,
    signer: &SigningKey,
    number: u64,
    digest: &Digest,
) -> Vec<u8> {
    let body_bytes = encode(&sample_body(author, number));
    let id = operation_id(digest, &body_bytes);
    encode_wire(&body_bytes, &signer.sign(&id.0).to_bytes())
}

/// A well-signed sample operation.
pub(crate) fn sign_sample(key: &SigningKey, number: u64) -> Verified {
    let genesis = test_genesis();
    Verified::sign(sample_body(key, number), key, &genesis, &genesis.digest()).expect("valid")
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| alloc::format!("{byte:02x}"))
        .collect()
}

#[test]
fn the_wire_format_is_pinned_by_a_test_vector() {
    let signed = sign_sample(&SigningKey::from([7; 32]), 0);
    let expected = "92c4419801c420ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d2\
                    2c00c0cf018bcfe56800000090009196000000ce002dc6c0ce02faf080c0c4402a2601299da3\
                    a1b5ac79e0fc270428762637b7518c8b8c055a1fdee843098e824c619c10dedd82a2ab7e713b\
                    0c964d109fd734d6b033304a8303174e2f274006";
    assert_eq!(hex(signed.wire()), expected);
}

#[test]
fn changes_of_members_are_pinned_too() {
    let author = AuthorKey([0xaa; 32]);
    for (change, tag) in [(MemberChange::Admit, "07"), (MemberChange::Expel, "08")] {
        let action = Action::Member { author, change };
        let expected = alloc::format!("92{tag}c420{}", "aa".repeat(32));
        assert_eq!(hex(&encode(&action)), expected);
        let read: Action = rmp_serde::from_slice(&encode(&action)).expect("canonical");
        assert_eq!(read, action);
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let genesis = test_genesis();
    let digest = genesis.digest();
    let decode = |wire: &[u8]| Operation::decode(wire, &genesis, &digest);
    let good = sample_wire(
        &SigningKey::from([7; 32]),
        &SigningKey::from([7; 32]),
        0,
        &digest,
    );
    assert!(decode(&good).is_ok());
    let trailing = [&good[..], &[0]].concat();
    assert_eq!(decode(&trailing), Err(OperationError::NotCanonical));
    // `seq` 0 as a two-byte integer means the same and is another encoding.
    let body_bytes = encode(&sample_body(&SigningKey::from([7; 32]), 0));
    let seq_at = 1 + 1 + 34;
    assert_eq!(body_bytes[seq_at], 0);
    let longer = [&body_bytes[..seq_at], &[0xcc, 0], &body_bytes[seq_at + 1..]].concat();
    assert_eq!(
        decode(&encode_wire(&longer, &[0; 64])),
        Err(OperationError::NotCanonical)
    );
    let body_trailing = [&body_bytes[..], &[0xc0]].concat();
    assert_eq!(
        decode(&encode_wire(&body_trailing, &[0; 64])),
        Err(OperationError::NotCanonical)
    );
}

/// One thing to break in a sample body.
type Mutation = fn(&mut Body);

/// An action of the sample body with one thing changed.
fn with_place(body: &mut Body, change: fn(&mut Place)) {
    match &mut body.actions[0] {
        Action::Place(place) => change(place),
        _ => unreachable!("the sample places an order"),
    }
}

/// Bodies that break a rule of the operation.
const BAD_BODIES: [(Mutation, OperationError); 11] = [
    (|body| body.version = 2, OperationError::Unsupported),
    (|body| body.checkpoint = 1, OperationError::Unsupported),
    (
        |body| body.refs = (0..5).map(|n| OpId([n; 32])).collect(),
        OperationError::Limits,
    ),
    (
        |body| body.refs = alloc::vec![OpId([1; 32]); 2],
        OperationError::Limits,
    ),
    (
        |body| body.actions = alloc::vec![body.actions[0].clone(); 65],
        OperationError::Limits,
    ),
    (|body| body.seq = 1, OperationError::Chain),
    (
        |body| body.prev = Some(OpId([1; 32])),
        OperationError::Chain,
    ),
    (
        |body| with_place(body, |place| place.market.0 = 1),
        OperationError::Market,
    ),
    (
        |body| with_place(body, |place| place.quantity.0 = 0),
        OperationError::Market,
    ),
    (
        |body| with_place(body, |place| place.quantity.0 = u64::MAX),
        OperationError::Market,
    ),
    (
        |body| with_place(body, |place| place.pricing = Pricing::Limit(Ticks(0))),
        OperationError::Market,
    ),
];

/// Bodies with an action that breaks a rule.
const BAD_ACTIONS: [(Mutation, OperationError); 4] = [
    (
        |body| {
            body.actions = alloc::vec![Action::Replace {
                market: MarketIndex(0),
                order: OrderId([0; 32]),
                side: Side::Buy,
                price: None,
                quantity: Lots(0),
            }];
        },
        OperationError::Market,
    ),
    (
        |body| {
            body.actions = alloc::vec![Action::Decline {
                market: MarketIndex(0),
                own: OrderId([1; 32]),
                other: OrderId([1; 32]),
            }];
        },
        OperationError::Pair,
    ),
    (
        |body| {
            body.time = HybridTime::from_unix_ms(2);
            with_place(body, |place| place.expires_ms = Some(2));
        },
        OperationError::Expiry,
    ),
    (
        |body| {
            with_place(body, |place| {
                place.expires_ms = Some(1 << 47);
                place.time_in_force = TimeInForce::FillOrKill;
            });
        },
        OperationError::Expiry,
    ),
];

#[test]
fn every_limit_is_checked() {
    let genesis = test_genesis();
    let key = SigningKey::from([7; 32]);
    let cases = BAD_BODIES.into_iter().chain(BAD_ACTIONS);
    for (number, (mutate, expected)) in cases.enumerate() {
        let mut body = sample_body(&key, 0);
        mutate(&mut body);
        assert_eq!(check_body(&body, &genesis), Err(expected), "case {number}");
    }
}

#[test]
fn an_allow_list_keeps_strangers_out() {
    let member = SigningKey::from([1; 32]);
    let mut genesis = test_genesis();
    genesis.allow_list = alloc::vec![author(&member)];
    assert_eq!(check_body(&sample_body(&member, 0), &genesis), Ok(()));
    let stranger = sample_body(&SigningKey::from([2; 32]), 0);
    assert_eq!(
        check_body(&stranger, &genesis),
        Err(OperationError::NotAllowed)
    );
}

/// Any action within the limits of the test market.
fn any_action() -> impl Strategy<Value = Action> {
    let price = (1..=100_000_000_u64).prop_map(Ticks);
    let quantity = (1..=100_000_000_000_000_u64).prop_map(Lots);
    let order = any::<[u8; 32]>().prop_map(OrderId);
    let market = MarketIndex(0);
    let place = (
        0..24_u8,
        prop_oneof![
            price.clone().prop_map(Pricing::Limit),
            proptest::option::of(price.clone()).prop_map(Pricing::Market)
        ],
        quantity.clone(),
    );
    prop_oneof![
        place.prop_map(move |(terms, pricing, quantity)| {
            let terms = Terms(terms);
            Action::Place(Place {
                market,
                side: terms.side(),
                pricing,
                quantity,
                time_in_force: terms.time_in_force(),
                self_trade: terms.self_trade().expect("three kinds"),
                expires_ms: None,
            })
        }),
        order
            .clone()
            .prop_map(move |order| Action::Cancel { market, order }),
        (order, proptest::option::of(price), quantity).prop_map(move |(order, price, quantity)| {
            Action::Replace {
                market,
                order,
                side: Side::Sell,
                price,
                quantity,
            }
        }),
        (any::<[[u8; 32]; 2]>(), any::<u32>(), 1..=1_000_000_u64).prop_map(
            move |([own, other], piece, amount)| {
                Action::Confirm(Half {
                    market,
                    own: OrderId(own),
                    other: OrderId(other),
                    piece,
                    quantity: Lots(amount),
                    price: Ticks(amount),
                })
            }
        ),
        any::<[[u8; 32]; 2]>().prop_map(move |[own, other]| Action::Decline {
            market,
            own: OrderId(own),
            other: OrderId(other),
        }),
        any::<[[u8; 32]; 2]>().prop_map(move |[own, other]| Action::Release {
            market,
            own: OrderId(own),
            other: OrderId(other),
        }),
    ]
}

proptest! {
    #[test]
    fn encoding_and_decoding_are_inverse(
        actions in proptest::collection::vec(any_action(), 0..=64),
        seq in 0..u64::MAX,
        time in any::<u64>(),
        refs in proptest::collection::btree_set(any::<[u8; 32]>(), 0..=4),
    ) {
        let genesis = test_genesis();
        let digest = genesis.digest();
        let key = SigningKey::from([7; 32]);
        let mut body = sample_body(&key, 0);
        body.seq = seq;
        body.prev = (seq > 0).then_some(OpId([1; 32]));
        body.time = HybridTime(time);
        body.refs = refs.into_iter().map(OpId).collect();
        body.actions = actions;
        let signed = Verified::sign(body, &key, &genesis, &digest).expect("within the limits");
        prop_assert!(signed.wire().len() <= WIRE_BYTES_MAX);
        let received = Operation::decode(signed.wire(), &genesis, &digest).expect("canonical");
        prop_assert_eq!(&received, &*signed);
    }

    #[test]
    fn an_altered_operation_is_refused_or_has_another_id(at in 0..133_usize, bit in 0..8_u8) {
        let genesis = test_genesis();
        let digest = genesis.digest();
        let good = sign_sample(&SigningKey::from([7; 32]), 0);
        let mut wire = good.wire().to_vec();
        wire[at] ^= 1 << bit;
        if let Ok(altered) = Operation::decode(&wire, &genesis, &digest) {
            let verdict = crate::signature::verify(alloc::vec![altered]);
            prop_assert!(verdict[0].is_err());
        }
    }

    #[test]
    fn garbage_never_panics(wire in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let genesis = test_genesis();
        prop_assert!(Operation::decode(&wire, &genesis, &genesis.digest()).is_err());
    }
}
