//! An audit of a store: `bitfitech verify` says what a node says, or names what is wrong.

use std::fs;
use std::path::Path;

use bitfitech_core::op::Verified;
use ed25519_zebra::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::forger::Forger;
use crate::support::agreement::digest;
use crate::support::node::Node;
use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Finished, Input, run_to_end};

/// Audits the store of a data directory on the network of the test nodes.
fn verify(data_dir: &Path, output: &str) -> Finished {
    let mut command = quiet_command(data_dir);
    command.args(["verify", "-D", "network.name=e2e", "--output", output]);
    command.arg("--data-dir").arg(data_dir);
    run_to_end(command, "", Input::Ends)
}

/// The report of an audit, and its exit code.
fn report(data_dir: &Path) -> (Option<i32>, Value) {
    let finished = verify(data_dir, "json");
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    let report = serde_json::from_str(stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {stdout:?} {stderr:?}"));
    (finished.code, report)
}

/// A node that has traded, stopped; its directory holds what the digests say.
fn stopped_node() -> (Node, std::collections::BTreeMap<&'static str, Value>) {
    let mut node = Node::start(Plan::named("audited"));
    for position in 0..40 {
        node.ok(&format!("buy 0.5 @ {}", 100 + position % 7));
        node.ok(&format!("sell 0.25 @ {}", 110 + position % 5));
    }
    let digests = digest(&mut node);
    (node, digests)
}

#[test]
fn a_good_store_has_the_digests_of_the_live_node_and_stays_as_it_is() {
    let (mut node, digests) = stopped_node();
    // Killed, so that the file needs the repair that every start may have to make.
    node.kill();
    let store = node.data_dir().join("operations.redb");
    let before = fs::read(&store).expect("the store is there");
    let (code, report) = report(&node.data_dir());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["authors"], 1, "{report}");
    for (field, expected) in &digests {
        assert_eq!(report[field], *expected, "{field} in {report}");
    }
    let text = verify(&node.data_dir(), "text");
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    let set = digests["set"].as_str().expect("a digest");
    assert!(text.stdout.contains(set), "{}", text.stdout);
    assert!(text.stdout.contains("in order"), "{}", text.stdout);
    let after = fs::read(&store).expect("the store is there");
    assert!(after == before, "an audit changes no byte");
}

#[test]
fn a_store_in_use_is_refused_and_one_that_is_missing_is_wrong_usage() {
    let mut node = Node::start(Plan::named("running"));
    node.ok("buy 1 @ 10");
    let finished = verify(&node.data_dir(), "text");
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("stop it"), "{}", finished.stderr);
    node.ok("buy 1 @ 11");

    let empty = TempDir::new().expect("a temporary folder");
    let finished = verify(empty.path(), "text");
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let said = &finished.stderr;
    assert!(said.contains("--data-dir"), "{said}");
    assert_eq!(fs::read_dir(empty.path()).expect("reads").count(), 0);
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let (mut node, digests) = stopped_node();
    node.kill();
    let whole = fs::read(node.data_dir().join("operations.redb")).expect("the store is there");
    let folder = TempDir::new().expect("a temporary folder");
    let copy = folder.path().join("operations.redb");
    let mark = node.data_dir().join("operations.mark");
    fs::copy(mark, folder.path().join("operations.mark")).expect("the mark is there");
    let mut found = 0;
    // Every bit of a body counts, so the bytes of a stored operation are looked for and hit.
    let key = node.key();
    let key: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    let holds_key = |at: &usize| whole[*at..].starts_with(&key);
    let inside = (0..whole.len()).filter(holds_key).step_by(9).take(12);
    let inside: Vec<usize> = inside.map(|at| at + 40).collect();
    assert!(inside.len() > 5, "the operations are in the file");
    let everywhere = (0..whole.len()).step_by(whole.len() / 24);
    for at in inside.iter().copied().chain(everywhere) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&copy, &damaged).expect("writes");
        let (code, report) = report(folder.path());
        if code == Some(0) {
            for (field, expected) in &digests {
                assert_eq!(report[field], *expected, "{field} with byte {at} flipped");
            }
        } else {
            assert_eq!(code, Some(1), "byte {at}: {report}");
            assert_eq!(report["ok"], false, "byte {at}: {report}");
            assert!(report["error"].is_string(), "byte {at}: {report}");
            found += 1;
        }
    }
    assert!(found > inside.len() / 2, "only {found} flips were found");
}

/// What an audit says of a store with these operations.
fn audit(forger: &Forger, operations: &[Vec<u8>]) -> (Option<i32>, Value) {
    let folder = TempDir::new().expect("a temporary folder");
    forger.make_store(folder.path(), operations);
    report(folder.path())
}

#[test]
fn the_first_bad_operation_is_named_with_what_is_wrong() {
    let forger = Forger::with(SigningKey::from([5; 32]));
    let first = forger.heartbeat(0, None, 1_000);
    let second = forger.heartbeat(1, Some(first.id()), 2_000);
    let early = forger.heartbeat(1, Some(first.id()), 999);
    let stray = forger.heartbeat(3, Some(first.id()), 3_000);
    let wire = |operation: &Verified| operation.wire().to_vec();
    let mut unsigned = wire(&second);
    *unsigned.last_mut().expect("not empty") ^= 1;
    let mut padded = wire(&second);
    padded.push(0);
    let good = vec![wire(&first), wire(&second)];
    let (code, report) = audit(&forger, &good);
    assert_eq!(
        (code, &report["ok"]),
        (Some(0), &Value::Bool(true)),
        "{report}"
    );
    for (bad, says) in [
        (unsigned, "signature"),
        (padded, "canonical"),
        (vec![0xc0], "malformed"),
        (wire(&early), "not later"),
        (wire(&stray), "previous"),
        (wire(&first), "twice"),
    ] {
        let (code, report) = audit(&forger, &[wire(&first), bad, wire(&second)]);
        assert_eq!(code, Some(1), "{says}: {report}");
        assert_eq!(report["index"], 1, "{says}: {report}");
        let error = report["error"].as_str().expect("a text");
        assert!(error.contains(says), "{says}: {report}");
    }
    let (code, report) = audit(&forger, &[wire(&second), wire(&first)]);
    assert_eq!(
        (code, &report["index"]),
        (Some(1), &Value::from(0)),
        "{report}"
    );
}
