//! Which sessions come to be: peers of the same network, one each, and never oneself.

use std::time::{Duration, Instant};

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list};
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// Waits until one of the two says why they do not talk, and checks that they do not.
fn check_refused(dialled: &mut Node, dialler: &mut Node, field: &str) {
    wait_until(&format!("somebody names {field}"), || {
        [&*dialled, &*dialler]
            .iter()
            .any(|node| node.log().contains(field))
    });
    for node in [&mut *dialled, &mut *dialler] {
        let peers = node.ok("peers");
        assert_eq!(list(&peers, "peers").len(), 0, "{peers}");
        node.ok("buy 1 @ 10");
        let book = node.ok("book");
        assert_eq!(book["bids"][0][2], 1, "only the own order: {book}");
    }
}

#[test]
fn a_peer_of_another_network_is_refused_with_the_field_that_differs() {
    for (key, value) in [
        ("network.name", "elsewhere"),
        ("network.bucket_ms", "70"),
        ("network.lease_ms", "61000"),
        ("network.answer_ms", "9000"),
    ] {
        let mut dialled = Node::start(Plan::named("dialled"));
        let plan = Plan::named("stranger").set(key, value);
        let mut dialler = Node::start(plan.dials(&dialled.address()));
        check_refused(&mut dialled, &mut dialler, key);
    }
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let mut node = Node::start(Plan::named("only").set("log.level", "debug"));
    let address = node.address();
    // It may see at once whom it would dial, or only when it hears itself.
    node.command(&format!("connect {address}"));
    wait_until("the log says that it was itself", || {
        node.log().contains("itself")
    });
    node.wait_for_peers(0);
    node.ok("buy 1 @ 10");
}

#[test]
fn two_nodes_that_dial_each_other_end_with_one_session() {
    let mut left = Node::start(Plan::named("left"));
    let mut right = Node::start(Plan::named("right"));
    left.send(&format!("connect {}", right.address()));
    right.send(&format!("connect {}", left.address()));
    left.reply();
    right.reply();
    for _ in 0..3 {
        left.ok("buy 1 @ 10");
        right.ok("sell 1 @ 11");
        wait_for_agreement(&mut [&mut left, &mut right]);
        left.wait_for_peers(1);
        right.wait_for_peers(1);
    }
    let (of_left, of_right) = (left.ok("peers"), right.ok("peers"));
    assert_eq!(of_left["peers"][0]["node"], right.key(), "{of_left}");
    assert_eq!(of_right["peers"][0]["node"], left.key(), "{of_right}");
    let directions = [&of_left, &of_right].map(|peers| peers["peers"][0]["direction"].clone());
    assert_ne!(directions[0], directions[1], "one session has two ends");
}

#[test]
fn connecting_a_second_time_changes_nothing() {
    let mut left = Node::start(Plan::named("left"));
    let mut right = Node::start(Plan::named("right").dials(&left.address()));
    right.wait_for_peers(1);
    for _ in 0..5 {
        right.command(&format!("connect {}", left.address()));
        left.command(&format!("connect {}", right.address()));
        right.ok("buy 1 @ 10");
        wait_for_agreement(&mut [&mut left, &mut right]);
    }
    left.wait_for_peers(1);
    right.wait_for_peers(1);
}

#[test]
fn an_address_where_nobody_listens_opens_its_circuit_and_is_tried_again() {
    let gone = Node::start(Plan::named("gone"));
    let address = gone.address();
    let mut node = Node::start(Plan::named("patient").dials(&address));
    node.wait_for_peers(1);
    let mut gone = gone;
    gone.kill();
    let what = "the circuit of the dead address opens";
    node.wait_for("breakers", what, |reply| {
        list(reply, "breakers")
            .iter()
            .any(|row| row["address"] == address.as_str() && row["state"] != "closed")
    });
    let mut back = gone.start_again();
    node.wait_for_peers(1);
    node.ok("buy 1 @ 10");
    wait_for_agreement(&mut [&mut node, &mut back]);
}

#[test]
fn a_session_that_a_user_ended_stays_ended_until_a_user_connects_again() {
    let mut left = Node::start(Plan::named("left"));
    let mut right = Node::start(Plan::named("right").dials(&left.address()));
    right.wait_for_peers(1);
    left.wait_for_peers(1);
    let key = right.key();
    left.ok(&format!("disconnect {}", &key[..12]));
    right.wait_for_event("the end of the session", |event| {
        event["event"] == "peer" && event["change"] == "disconnected"
    });
    left.wait_for_peers(0);
    // Both trade on by themselves; neither dials the other.
    left.ok("sell 1 @ 10");
    right.ok("sell 2 @ 11");
    right.wait_for_peers(0);
    right.ok(&format!("connect {}", left.address()));
    right.wait_for_peers(1);
    wait_for_agreement(&mut [&mut left, &mut right]);
}

/// How long a node is held: long enough that its peers ask it for peers several times, and short
/// enough that they do not take it for dead.
const HELD: Duration = Duration::from_secs(9);

#[test]
fn a_node_that_was_held_for_a_moment_thinks_no_worse_of_its_peers() {
    let plan = |name: &str| Plan::named(name).finds_peers(8, 16);
    let mut first = Node::start(plan("first"));
    let mut second = Node::start(plan("second").dials(&first.address()));
    let mut held = Node::start(plan("held").dials(&first.address()));
    for node in [&mut first, &mut second, &mut held] {
        node.wait_for_peers(2);
    }
    held.signal("STOP");
    let since = Instant::now();
    wait_until("it was held", || since.elapsed() >= HELD);
    held.signal("CONT");
    for node in [&mut first, &mut second, &mut held] {
        node.wait_for_peers(2);
        node.ok("buy 1 @ 10");
    }
    wait_for_agreement(&mut [&mut first, &mut second, &mut held]);
    for node in [&mut first, &mut second, &mut held] {
        let peers = node.ok("peers");
        let rows = list(&peers, "peers");
        assert!(rows.iter().all(|row| row["score"] == 0), "{peers}");
    }
}
