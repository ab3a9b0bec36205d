//! The fields that scripts rely on: each reply and event has them, named and typed as promised.

use serde_json::Value;

use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;

const ORDER: [&str; 10] = [
    "order", "author", "pair", "side", "price", "quantity", "filled", "status", "reason", "late_ms",
];

const TRADE: [&str; 11] = [
    "id", "pair", "price", "quantity", "buy", "sell", "taker", "status", "time_ms", "rev", "unsafe",
];

/// Every field is there; `null` counts, for an absent value is said and not left out.
fn check_fields(value: &Value, fields: &[&str]) {
    let object = value.as_object();
    let object = object.unwrap_or_else(|| panic!("{value} must be an object"));
    for field in fields {
        assert!(object.contains_key(*field), "`{field}` is missing: {value}");
    }
}

/// An identifier in full.
fn check_hex(value: &Value, field: &str) {
    let digits = text(value, field);
    let hex = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(hex, "`{field}` must have 64 hexadecimal digits: {value}");
}

/// Two nodes between which something was traded, and the taker's answer.
fn traded() -> (Node, Node, Value) {
    let mut maker = Node::start(Plan::named("maker"));
    let mut taker = Node::start(Plan::named("taker").dials(&maker.address()));
    taker.wait_for_peers(1);
    maker.ok("sell 2 @ 100");
    taker.wait_for("book", "the ask has come", |book| {
        list(book, "asks").len() == 1
    });
    let placed = taker.ok("buy 3 @ 101");
    (maker, taker, placed)
}

#[test]
fn orders_and_trades_have_their_fields() {
    let (_maker, mut taker, placed) = traded();
    let fields = ["order", "status", "reason", "filled", "remaining", "trades"];
    check_fields(&placed, &fields);
    check_hex(&placed, "order");
    let row = taker.ok(&format!("order {}", text(&placed, "order")));
    check_fields(&row, &ORDER);
    check_hex(&row, "author");
    assert!(row["late_ms"].is_u64(), "{row}");
    let orders = taker.ok("orders");
    check_fields(&orders["orders"][0], &ORDER);
    let trades = taker.ok("trades BTC/USD 1");
    let trade = &trades["trades"][0];
    check_fields(trade, &TRADE);
    for id in ["id", "buy", "sell"] {
        check_hex(trade, id);
    }
    assert!(
        trade["time_ms"].is_u64() && trade["rev"].is_u64(),
        "{trade}"
    );
    let book = taker.ok("book BTC/USD 5");
    check_fields(&book, &["pair", "bids", "asks", "digest"]);
    check_hex(&book, "digest");
    let cancelled = taker.ok("cancel all");
    assert_eq!(cancelled["reply"], "cancel", "{cancelled}");
}

#[test]
fn the_network_and_the_node_have_their_fields() {
    let (maker, mut taker, _) = traded();
    let peers = taker.ok("peers");
    let peer = &peers["peers"][0];
    let fields = [
        "node",
        "address",
        "direction",
        "state",
        "rtt_ms",
        "behind",
        "score",
        "reason",
    ];
    check_fields(peer, &fields);
    assert_eq!(peer["node"], maker.key(), "{peers}");
    assert_eq!(peer["address"], maker.address(), "{peers}");
    let topology = taker.ok("topology");
    let own = taker.key();
    let rows = topology["topology"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["node"] == own);
    let row = row.unwrap_or_else(|| panic!("the own links: {topology}"));
    check_fields(row, &["node", "links"]);
    assert_eq!(row["links"][0], maker.key(), "{topology}");
    let breakers = taker.ok("breakers");
    let row = &breakers["breakers"][0];
    check_fields(row, &["address", "state", "failures", "retry_in_ms"]);
    assert_eq!(row["state"], "closed", "{breakers}");
    let digest = taker.ok("digest");
    assert!(digest["operations"].is_u64(), "{digest}");
    for field in ["set", "book", "trades", "orders", "final_trades"] {
        check_hex(&digest, field);
    }
    assert!(
        taker
            .ok("stats")
            .as_object()
            .is_some_and(|stats| stats.len() > 2)
    );
    assert!(!text(&taker.ok("help"), "text").is_empty());
    check_fields(taker.ready(), &["node", "p2p", "api", "mode", "network"]);
}

#[test]
fn the_tree_is_the_documented_one() {
    let (_maker, mut taker, _) = traded();
    let tree = taker.ok("tree");
    assert_eq!(tree["name"], "root", "{tree}");
    let mut names = Vec::new();
    walk(&tree, &mut names);
    for name in [
        "root",
        "store",
        "exchange",
        "matcher",
        "orderbook",
        "net",
        "breaker",
        "gossip",
        "peers",
        "edge",
        "command",
    ] {
        let count = names.iter().filter(|known| *known == name).count();
        assert_eq!(count, 1, "`{name}` in {tree}");
    }
}

fn walk(row: &Value, names: &mut Vec<String>) {
    let fields = [
        "name",
        "state",
        "restarts",
        "generation",
        "mailbox",
        "children",
    ];
    check_fields(row, &fields);
    names.push(text(row, "name"));
    for child in list(row, "children") {
        walk(child, names);
    }
}

#[test]
fn events_have_their_fields() {
    let (mut maker, mut taker, _) = traded();
    let trade = maker.wait_for_event("the trade is told", |event| event["event"] == "trade");
    check_fields(&trade, &TRADE);
    check_fields(&trade, &["reason", "cause"]);
    let order = maker.wait_for_event("the order is told", |event| event["event"] == "order");
    check_fields(&order, &ORDER);
    let peer = taker.wait_for_event("the peer is told", |event| event["event"] == "peer");
    check_fields(&peer, &["node", "address", "change", "reason"]);
    assert_eq!(peer["change"], "connected", "{peer}");
}

#[test]
fn cancel_all_leaves_no_order_however_many_there_are() {
    let mut node = Node::start(Plan::named("many"));
    for price in 1..=70 {
        node.ok(&format!("buy 1 @ {price}"));
    }
    let reply = node.ok("cancel all");
    assert_eq!(reply["count"], 70, "{reply}");
    assert_eq!(list(&node.ok("orders"), "orders").len(), 0);
    assert_eq!(node.ok("cancel all")["count"], 0);
}
