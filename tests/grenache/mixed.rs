//! A real Grape and ours in one DHT: each finds what the other keeps, and both forget it in time.

use std::time::Instant;

use bitfitech_core::bencode::Value as Bencode;
use bitfitech_core::krpc::signed_bytes;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use serde_json::{Value, json};

use crate::grape::{AGE_MS, Grape, address, eventually};
use crate::workshop::Workshop;

/// A real Grape that others enter by, and ours beside it.
fn neighbours() -> Option<(Grape, Grape)> {
    let workshop = Workshop::open("grenache")?;
    let mut real = Grape::real(&workshop, &[]);
    let mut ours = Grape::ours(&[real.dht_port]);
    real.wait_for("node");
    ours.wait_for("ready");
    Some((real, ours))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_finds_what_is_announced_by_the_other_until_it_is_too_old() {
    let Some((real, ours)) = neighbours() else {
        return;
    };
    for (here, there, name, port) in [
        (&real, &ours, "rest:real:net", 7_001),
        (&ours, &real, "rest:ours:net", 7_002),
        (&ours, &real, "a", 7_003),
        (&real, &ours, &*"long name ".repeat(40), 7_004),
    ] {
        let announced = Instant::now();
        assert_eq!(here.result("announce", json!([name, port])), 1);
        let service = json!([address(port)]);
        assert_eq!(there.lookup(name), service, "{name}");
        assert_eq!(here.lookup(name), service, "{name}");
        eventually("it is forgotten by both", || {
            there.lookup(name) == json!([]) && here.lookup(name) == json!([])
        });
        let age_ms = announced.elapsed().as_millis();
        assert!(
            age_ms >= u128::from(AGE_MS * 2 / 3),
            "{name} after {age_ms} ms"
        );
    }
}

#[test]
fn each_gets_what_was_put_at_the_other() {
    let Some((real, ours)) = neighbours() else {
        return;
    };
    for (here, there, value, text) in [
        (
            &real,
            &ours,
            json!("from the real one"),
            "from the real one",
        ),
        (
            &ours,
            &real,
            json!("aus unserer, mit Umlaut ä"),
            "aus unserer, mit Umlaut ä",
        ),
        (&ours, &real, json!([1, "two", [3]]), "1,two,3"),
        (&real, &ours, json!({"b": 1, "a": [2]}), "[object Object]"),
    ] {
        let hash = here.result("put", json!({"v": value}));
        assert!(hash.as_str().is_some_and(|hash| hash.len() == 40), "{hash}");
        assert_eq!(there.result("get", hash.clone())["v"], text);
        assert_eq!(
            there.result("get", json!({"hash": hash, "cache": false}))["v"],
            text
        );
    }
    for grape in [&real, &ours] {
        let nothing = grape.ask("get", json!("00".repeat(20)));
        assert_eq!(nothing, (200, String::new()));
    }
}

/// A change of a value that only this key may change.
fn change(text: &str, sequence: i64, compare: Option<i64>) -> Value {
    let signer = SigningKey::from([5; 32]);
    let key: [u8; 32] = VerificationKeyBytes::from(&signer).into();
    let value = Bencode::Bytes(text.as_bytes()).encode();
    let signature = signer.sign(&signed_bytes(Some(b"salt"), sequence, &value));
    let mut options = json!({
        "v": text,
        "k": hex(&key),
        "sig": hex(&signature.to_bytes()),
        "salt": "salt",
        "seq": sequence,
    });
    if let Some(compare) = compare {
        options["cas"] = compare.into();
    }
    options
}

#[test]
fn a_changeable_value_updates_and_conflicts_across_both() {
    let Some((real, ours)) = neighbours() else {
        return;
    };
    let workshop = Workshop::open("grenache").expect("it was open before");
    let mut third = Grape::real(&workshop, &[ours.dht_port, real.dht_port]);
    third.wait_for("ready");
    let hash = ours.result("put", change("one", 1, None));
    let get = |grape: &Grape| {
        let options = json!({"hash": hash, "salt": "salt", "cache": false});
        grape.result("get", options)["v"].clone()
    };
    // One after the other: the real one crashes when a value that it keeps is asked for too often.
    let all = [&real, &ours, &third];
    for grape in all {
        eventually("it has the first", || get(grape) == "one");
    }
    assert_eq!(real.result("put", change("two", 2, Some(1))), hash);
    for grape in all {
        eventually("it has the second", || get(grape) == "two");
    }
    // Both have number 2 now, from the same sender.
    let stale = (302, "\"302 sequence number less than current\"".to_owned());
    assert_eq!(real.ask("put", change("old", 1, None)), stale);
    let mismatch = "\"301 CAS mismatch, re-read and try again\"".to_owned();
    assert_eq!(
        real.ask("put", change("three", 3, Some(7))),
        (301, mismatch)
    );
    let mut forged = change("three", 3, None);
    forged["v"] = "eerht".into();
    assert_eq!(ours.result("put", forged), "All queries failed");
}

#[test]
fn both_refuse_the_same_requests_with_the_same_words() {
    let Some((real, ours)) = neighbours() else {
        return;
    };
    let requests = [
        ("lookup", "null"),
        ("lookup", "no json"),
        ("lookup", ""),
        ("lookup", "{}"),
        ("lookup", r#"{"data":""}"#),
        ("lookup", r#"{"data":["a"]}"#),
        ("Lookup", r#"{"data":"nobody"}"#),
        ("-lookup", r#"{"data":"nobody"}"#),
        ("lookup/", r#"{"data":"nobody"}"#),
        ("lookup?a=1", r#"{"data":"nobody"}"#),
        ("nowhere", "{}"),
        ("", "{}"),
        ("announce", "{}"),
        ("announce", r#"{"data":"a"}"#),
        ("announce", r#"{"data":[]}"#),
        ("announce", r#"{"data":["a","7"]}"#),
        ("announce", r#"{"data":["a",7.5]}"#),
        ("announce", r#"{"data":[null,7]}"#),
        ("announce", r#"{"data":[5,7]}"#),
        ("announce", r#"{"data":[true,7]}"#),
        ("announce", r#"{"data":[{},7]}"#),
        ("announce", r#"{"data":["a",65536]}"#),
        ("announce", r#"{"data":["a",7.0]}"#),
        ("put", "{}"),
        ("put", r#"{"data":null}"#),
        ("put", r#"{"data":5}"#),
        ("put", r#"{"data":{}}"#),
        ("put", r#"{"data":{"v":null}}"#),
        ("put", r#"{"data":"bare"}"#),
        ("put", r#"{"data":{"v":true}}"#),
        ("put", r#"{"data":{"v":1.5}}"#),
        ("put", r#"{"data":{"v":"a","k":"00"}}"#),
        ("put", r#"{"data":{"v":"a","k":"00","cas":"1"}}"#),
        ("get", "{}"),
        ("get", r#"{"data":null}"#),
        ("get", r#"{"data":5}"#),
        ("get", r#"{"data":{}}"#),
        ("get", r#"{"data":[]}"#),
    ];
    for (route, body) in requests {
        let answer = |grape: &Grape| crate::grape::post(grape.api_port, route, body);
        assert_eq!(answer(&ours), answer(&real), "/{route} {body}");
    }
    let long = "x".repeat(9_000);
    let answers = [&ours, &real].map(|grape| grape.ask("lookup", json!(long)));
    assert_eq!(answers[0], answers[1]);
    let value = "x".repeat(1_000);
    let answers = [&ours, &real].map(|grape| grape.ask("put", json!({"v": value})));
    assert_eq!(answers[0], answers[1]);
}
