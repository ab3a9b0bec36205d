//! Following a node: snapshot, events without a gap, resuming, and what ends a stream.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::Client;
use crate::follower::{Follower, Frame, numbers};
use crate::support::node::Node;
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

fn order(quantity: u32) -> Value {
    json!({"side": "buy", "price": "1", "quantity": quantity.to_string()})
}

fn is_order_of(quantity: u32) -> impl Fn(&Value) -> bool {
    move |message| {
        message["event"] == "order" && message["quantity"].as_str() == Some(&*quantity.to_string())
    }
}

/// The number of a message.
fn number(message: &Value) -> u64 {
    message["number"].as_u64().expect("a number")
}

#[test]
fn a_client_that_comes_back_has_every_event_once() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    client.place(&order(1));
    let mut follower = Follower::of(&client, "?pair=BTC/USD");
    let first = follower.message();
    let snapshot = &first["snapshot"];
    assert_eq!(snapshot["orders"][0]["quantity"], "1");
    assert_eq!(snapshot["node"]["node"], node.key());
    let begin = number(snapshot);
    client.place(&order(2));
    let seen = follower.until("the second order is told", is_order_of(2));
    let mut told = numbers(&seen);
    drop(follower);
    client.place(&order(3));
    client.place(&order(4));
    let last = told.last().copied().expect("an event");
    let mut follower = Follower::of(&client, &format!("?from={last}"));
    assert_eq!(follower.message(), json!({"resumed": last}));
    client.place(&order(5));
    let seen = follower.until("the last order is told", is_order_of(5));
    told.extend(numbers(&seen));
    let expected: Vec<u64> = (begin + 1..=begin + told.len() as u64).collect();
    assert_eq!(told, expected, "no gap, no event twice");
    let of = |quantity| seen.iter().filter(|it| is_order_of(quantity)(it)).count();
    assert_eq!((of(2), of(3), of(4), of(5)), (0, 1, 1, 1));
}

#[test]
fn who_asks_for_what_is_not_kept_gets_a_snapshot_again() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    client.place(&order(1));
    for from in [0, u64::MAX] {
        let mut follower = Follower::of(&client, &format!("?from={from}"));
        let first = follower.message();
        assert_eq!(first["snapshot"]["orders"][0]["quantity"], "1", "{first}");
    }
    let node = node.start_again();
    let client = Client::of(&node);
    let begin = number(&Follower::of(&client, "").message()["snapshot"]);
    let mut follower = Follower::of(&client, &format!("?from={begin}"));
    assert_eq!(follower.message(), json!({"resumed": begin}));
    let other = Follower::of(&client, "?pair=BTC/USD").message();
    assert_eq!(other["snapshot"]["pair"], "BTC/USD");
    let unknown = client.get("/api/v1/stream?pair=A/B");
    assert_eq!(unknown.problem(404), "UNKNOWN_PAIR");
}

#[test]
fn books_and_the_network_are_told_as_they_change() {
    let mut node = Node::start(Plan::named("node").drills());
    let client = Client::of(&node);
    let mut follower = Follower::of(&client, "");
    client.place(&order(7));
    let seen = follower.until("the book is told", |message| {
        message["state"] == "book" && message["bids"] == json!([["1", "7", 1]])
    });
    assert_eq!(
        seen.last().expect("the book")["digest"]
            .as_str()
            .map(str::len),
        Some(64)
    );
    node.ok("crash gossip");
    let told = follower.until("the crash is told", |message| {
        message["change"] == "restarted"
    });
    let crashed = |message: &&Value| message["name"] == "gossip" && message["change"] == "crashed";
    assert_eq!(told.iter().filter(crashed).count(), 1);
    follower.until("the tree shows it", |message| {
        let tree = message["tree"].to_string();
        message["state"] == "network" && tree.contains(r#""name":"gossip","restarts":1"#)
    });
}

#[test]
fn events_outlive_a_crash_of_the_actor_that_serves_them() {
    let mut node = Node::start(Plan::named("node").drills());
    let client = Client::of(&node);
    let begin = number(&Follower::of(&client, "").message()["snapshot"]);
    client.place(&order(1));
    node.ok("crash web");
    node.ok("buy 2 @ 1");
    wait_until("the API is back", || {
        TcpStream::connect(client.address()).is_ok()
    });
    let mut follower = Follower::of(&client, &format!("?from={begin}"));
    let seen = follower.until("the order is told", is_order_of(2));
    let told = numbers(&seen);
    let expected: Vec<u64> = (begin + 1..=begin + told.len() as u64).collect();
    assert_eq!(told, expected);
    assert_eq!(seen.iter().filter(|it| is_order_of(1)(it)).count(), 1);
}

#[test]
fn streams_end_with_a_reason_when_the_node_stops() {
    let mut node = Node::start(Plan::named("node"));
    let mut follower = Follower::of(&Client::of(&node), "");
    follower.message();
    node.send("quit");
    let reason = loop {
        if let Frame::Closed(reason) = follower.next() {
            break reason;
        }
    };
    assert_eq!(reason, "the node stops");
    assert_eq!(node.exit_code(), Some(0));
}

/// More events than the buffers of a connection hold: some 5 MB.
const EVENTS: u32 = 12_000;

/// Most memory that all of this may cost the node, in kilobytes; the events that are kept and the
/// orders themselves are most of it.
const MEMORY_MAX_KB: u64 = 64 * 1_024;

/// Orders whose events follow each other; the last one has this quantity.
fn flood(node: &mut Node, last_quantity: u32) {
    for number in 1..EVENTS {
        node.send(&format!("buy 0.{number:05} @ 1"));
    }
    node.send(&format!("buy {last_quantity} @ 1"));
}

#[test]
fn a_client_that_sends_what_is_no_message_is_told_and_costs_no_memory() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    let follow = || {
        let mut follower = Follower::of(&client, "");
        follower.message();
        follower
    };
    let mut awake = follow();
    let memory_kb = node.memory_kb();
    // A frame without a mask; a kind that there is not; one whose header promises two gigabytes.
    let endless = [
        &[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff][..],
        &[0; 1 << 20],
    ]
    .concat();
    for bytes in [
        &[0x81, 2, b'h', b'i'][..],
        &[0x83, 0x80, 0, 0, 0, 0],
        &endless,
    ] {
        let mut rude = follow();
        rude.send(bytes);
        let reason = loop {
            if let Frame::Closed(reason) = rude.next() {
                break reason;
            }
        };
        assert_eq!(reason, "what it sends cannot be read");
    }
    let grown_kb = node.memory_kb().saturating_sub(memory_kb);
    assert!(grown_kb < 4 * 1_024, "{grown_kb} kB");
    client.place(&order(3));
    awake.until("others go on", is_order_of(3));
}

#[test]
fn a_client_that_does_not_read_is_dropped_with_a_reason_and_can_come_back() {
    let mut node = Node::start(Plan::named("node").set("limits.enabled", "false"));
    let client = Client::of(&node);
    let mut sleeper = Follower::of(&client, "");
    let begin = number(&sleeper.message()["snapshot"]);
    let mut awake = Follower::of(&client, "");
    awake.message();
    let memory_kb = node.memory_kb();
    flood(&mut node, 7);
    let told = awake.until("all is told to who reads", is_order_of(7));
    let expected: Vec<u64> = (begin + 1..=begin + u64::from(EVENTS)).collect();
    assert_eq!(numbers(&told), expected);
    let grown_kb = node.memory_kb().saturating_sub(memory_kb);
    assert!(grown_kb < MEMORY_MAX_KB, "{grown_kb} kB");
    wait_until("who sleeps is dropped", || {
        let metrics = client.get("/metrics").body;
        metrics.contains("bitfitech_web_streams_dropped_total 1\n")
    });
    // Who wakes up in time hears why, after what was on its way.
    let mut had = begin;
    let reason = loop {
        match sleeper.next() {
            Frame::Message(message) => had = message["number"].as_u64().unwrap_or(had),
            Frame::Closed(reason) => break reason,
        }
    };
    assert_eq!(reason, "too slow");
    assert!((begin..begin + u64::from(EVENTS)).contains(&had), "{had}");
    client.place(&order(8));
    let seen = awake.until("the other one goes on", is_order_of(8));
    assert_eq!(numbers(&seen), [begin + u64::from(EVENTS) + 1]);
    let mut again = Follower::of(&client, &format!("?from={had}"));
    assert_eq!(again.message(), json!({"resumed": had}));
    let rest = again.until("nothing is missing", is_order_of(8));
    let expected: Vec<u64> = (had + 1..=begin + u64::from(EVENTS) + 1).collect();
    assert_eq!(numbers(&rest), expected);
    assert_eq!(client.json("/health")["restarts"], 0, "no actor fell");
}
