//! Following a node: snapshot, events without a gap, resuming, and what ends a stream.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::Client;
use crate::follower::{Follower, Frame, numbers};
use crate::support::node::{Node, text};
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

#[test]
fn a_client_that_does_not_read_costs_nobody_anything() {
    let node = Node::start(Plan::named("node").set("limits.enabled", "false"));
    let client = Client::of(&node);
    let mut sleeper = TcpStream::connect(client.address()).expect("the API listens");
    let handshake = format!(
        "GET /api/v1/stream HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        client.address()
    );
    sleeper.write_all(handshake.as_bytes()).expect("it is sent");
    let mut awake = Follower::of(&client, "");
    awake.message();
    // Levels make the book long, and every order makes it new.
    for round in 1..=400_u32 {
        let price = (round % 100 + 1).to_string();
        client.place(&json!({"side": "buy", "price": price, "quantity": "1"}));
        if round % 100 == 0 {
            let told = client.place(&json!({"side": "buy", "price": "1", "quantity": "2"}));
            let order = text(&told, "order");
            awake.until("the other one is told", |message| message["order"] == order);
        }
    }
    let mut bytes = Vec::new();
    sleeper
        .take(64)
        .read_to_end(&mut bytes)
        .expect("what was sent before is there");
    assert!(bytes.starts_with(b"HTTP/1.1 101"));
}
