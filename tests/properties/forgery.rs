//! Property 14: what is forged, altered, not canonical or of another network is never applied.

use bitfitech_core::genesis::Genesis;
use bitfitech_core::op::{Operation, OperationError, Verified};
use bitfitech_core::signature;
use bitfitech_core::types::{Digest, Side};
use ed25519_zebra::SigningKey;
use proptest::prelude::*;

use crate::network::{self, BEGIN_MS, Network, limit};
use crate::scenario::{for_all, for_all_scenarios, scenarios};

/// What a node does with bytes from a peer.
fn accept(wire: &[u8], genesis: &Genesis) -> Result<Verified, OperationError> {
    let operation = Operation::decode(wire, genesis, &genesis.digest())?;
    let mut verdicts = signature::verify(vec![operation]);
    verdicts.pop().expect("one verdict for one operation")
}

/// The operations of a random network.
fn published(scenario: &crate::scenario::Scenario) -> (Vec<Verified>, Genesis) {
    let mut network = Network::run(scenario);
    network.publish_all();
    (network.published, network.genesis)
}

#[test]
fn what_honest_nodes_sign_is_accepted_everywhere() {
    for_all_scenarios(16, |scenario| {
        let (operations, genesis) = published(&scenario);
        for operation in operations {
            assert_eq!(accept(operation.wire(), &genesis), Ok(operation));
        }
    });
}

#[test]
fn an_operation_with_any_byte_altered_cut_or_added_is_refused() {
    let alterations = prop::collection::vec((any::<u8>(), any::<u16>(), 1..=255_u8), 1..80);
    let values = (scenarios(60), alterations);
    for_all(16, &values, |(scenario, alterations)| {
        let (operations, genesis) = published(&scenario);
        if operations.is_empty() {
            return;
        }
        for (number, place, change) in alterations {
            let wire = operations[usize::from(number) % operations.len()].wire();
            let place = usize::from(place) % wire.len();
            let mut altered = wire.to_vec();
            altered[place] ^= change;
            assert!(accept(&altered, &genesis).is_err(), "byte {place} altered");
            assert!(accept(&wire[..place], &genesis).is_err(), "cut at {place}");
            let mut longer = wire.to_vec();
            longer.insert(place, change);
            assert!(accept(&longer, &genesis).is_err(), "a byte more at {place}");
            longer.remove(place);
            longer.push(change);
            assert!(accept(&longer, &genesis).is_err(), "a trailing byte");
        }
    });
}

#[test]
fn an_operation_under_anothers_signature_is_refused() {
    for_all_scenarios(16, |scenario| {
        let (operations, genesis) = published(&scenario);
        for pair in operations.windows(2) {
            // The signature is the last field of the wire form.
            let mut forged = pair[0].wire().to_vec();
            let from = forged.len() - 64;
            forged[from..].copy_from_slice(pair[1].signature());
            assert_eq!(accept(&forged, &genesis), Err(OperationError::Signature));
        }
    });
}

#[test]
fn an_operation_of_another_network_is_refused() {
    for_all_scenarios(16, |scenario| {
        let (operations, genesis) = published(&scenario);
        let other = Genesis {
            network: "another".to_string(),
            ..genesis
        };
        for operation in operations {
            let refused = accept(operation.wire(), &other);
            assert_eq!(refused, Err(OperationError::Signature));
        }
    });
}

#[test]
fn one_bad_signature_in_a_batch_costs_nobody_else_his_place() {
    for_all_scenarios(8, |scenario| {
        let (operations, genesis) = published(&scenario);
        let digest = genesis.digest();
        let bad = |at: usize| at as u64 % 5 == scenario.shuffle % 5;
        let batch = operations.iter().enumerate().map(|(at, operation)| {
            let mut wire = operation.wire().to_vec();
            let last = wire.len() - 40;
            wire[last] ^= u8::from(bad(at));
            Operation::decode(&wire, &genesis, &digest).expect("the body is as it was")
        });
        let verdicts = signature::verify(batch.collect());
        for (at, (verdict, operation)) in verdicts.into_iter().zip(operations).enumerate() {
            let expected = if bad(at) {
                Err(OperationError::Signature)
            } else {
                Ok(operation)
            };
            assert_eq!(verdict, expected);
        }
    });
}

/// A body as it is encoded, and an equal one in another encoding.
type ReEncoding = fn(&[u8]) -> Option<Vec<u8>>;

/// The first byte of a body says that eight fields follow: the same as a 16-bit count.
fn long_count(body: &[u8]) -> Option<Vec<u8>> {
    (body[0] == 0x98).then(|| [&[0xdc, 0, 8], &body[1..]].concat())
}

/// The version, one byte, as an 8-bit integer behind a marker.
fn long_version(body: &[u8]) -> Option<Vec<u8>> {
    (body[1] == 1).then(|| [&body[..1], &[0xcc, 1], &body[2..]].concat())
}

/// The author's key, whose length fits a byte, with a 16-bit length.
fn long_key(body: &[u8]) -> Option<Vec<u8>> {
    (body[2..4] == [0xc4, 32]).then(|| [&body[..2], &[0xc5, 0, 32], &body[4..]].concat())
}

/// The author's key as a list of numbers.
fn key_as_list(body: &[u8]) -> Option<Vec<u8>> {
    let numbers = body[4..36].iter().flat_map(|byte| [0xcc, *byte]);
    let list: Vec<u8> = [0xdc, 0, 32].into_iter().chain(numbers).collect();
    Some([&body[..2], &list[..], &body[36..]].concat())
}

/// One field more than there are.
fn extra_field(body: &[u8]) -> Option<Vec<u8>> {
    (body[0] == 0x98).then(|| [&[0x99], &body[1..], &[0xc0]].concat())
}

/// A byte behind the end.
fn trailing_byte(body: &[u8]) -> Option<Vec<u8>> {
    Some([body, &[0xc0]].concat())
}

/// Signs any bytes as if they were a body.
fn sign_bytes(body: &[u8], key: &SigningKey, digest: &Digest) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"op1").update(&digest.0).update(body);
    let signature = key.sign(hasher.finalize().as_bytes()).to_bytes();
    let length = u8::try_from(body.len()).expect("a short body");
    [&[0x92, 0xc4, length], body, &[0xc4, 64], &signature[..]].concat()
}

#[test]
fn other_encodings_of_a_body_are_refused_though_their_signature_is_good() {
    let genesis = network::genesis("encodings");
    let key = SigningKey::from([1; 32]);
    let mut node = network::new_node(&genesis, &key);
    let now = bitfitech_core::types::Now {
        monotonic_ms: 0,
        unix_ms: BEGIN_MS,
    };
    let id = node
        .submit(now, vec![limit(Side::Buy, 1, 1)])
        .expect("written");
    let wire = std::iter::from_fn(|| node.poll_output())
        .find_map(|output| match output {
            bitfitech_core::exchange::Output::Persist { operation, .. } => {
                Some(operation.wire().clone())
            }
            _ => None,
        })
        .expect("it is to be written");
    let body = &wire[3..wire.len() - 66];
    let again = sign_bytes(body, &key, &genesis.digest());
    assert_eq!(accept(&again, &genesis).expect("the same body").id(), id);
    let re_encodings: [ReEncoding; 6] = [
        long_count,
        long_version,
        long_key,
        key_as_list,
        extra_field,
        trailing_byte,
    ];
    for (number, re_encode) in re_encodings.into_iter().enumerate() {
        let other = re_encode(body).expect("the body begins as expected");
        let forged = sign_bytes(&other, &key, &genesis.digest());
        let refused = accept(&forged, &genesis).expect_err("another encoding is accepted");
        let reasons = [OperationError::NotCanonical, OperationError::Malformed];
        assert!(reasons.contains(&refused), "encoding {number}: {refused}");
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let genesis = network::genesis("noise");
    let values = prop::collection::vec(any::<u8>(), 0..200);
    for_all(256, &values, |noise| {
        assert!(accept(&noise, &genesis).is_err());
        // Behind the beginning of an operation, so that more of it is read.
        let length = u8::try_from(noise.len()).expect("short");
        let dressed = [&[0x92, 0xc4, length], &noise[..], &[0xc4, 64], &[7; 64]].concat();
        assert!(accept(&dressed, &genesis).is_err());
    });
}
