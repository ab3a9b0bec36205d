//! Nodes of the exchange and Grenache: they meet in the DHT, and its programs trade through them.

use serde_json::{Value, json};

use crate::grape::{Grape, free_port};
use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list, port_of, text};
use crate::support::plan::Plan;
use crate::workshop::Workshop;

/// The network of nodes in tests.
pub const SERVICE: &str = "bitfitech:e2e:rpc";

/// A node that looks for others in this mode.
fn seeking(name: &str, mode: &str) -> Plan {
    Plan::named(name)
        .set("mode", mode)
        .set("p2p.target_peers", "4")
}

/// A node with a Grape of its own, on free ports.
pub fn plan(name: &str) -> Plan {
    ["grape.dht_port", "grape.api_port", "grape.rpc_port"]
        .into_iter()
        .fold(seeking(name, "grenache"), |plan, key| plan.set(key, "0"))
}

/// Three nodes that know nothing but where the first one is in the DHT.
fn three_nodes() -> [Node; 3] {
    let first = Node::start(plan("first"));
    let entrance = text(first.ready(), "grape_dht");
    let other = |name: &str| Node::start(plan(name).set("grape.bootstrap_nodes", &entrance));
    let mut nodes = [first, other("second"), other("third")];
    nodes.iter_mut().for_each(|node| node.wait_for_peers(2));
    nodes
}

#[test]
fn nodes_meet_in_the_dht_and_find_what_is_announced_and_put() {
    let [mut first, mut second, mut third] = three_nodes();
    let ready = first.ready();
    for field in ["grape_dht", "grape_api", "grape_rpc"] {
        assert!(ready[field].is_string(), "{ready}");
    }
    let announced = first.ok("dht announce rest:util:net 1337");
    assert_eq!(announced["nodes"], 2, "{announced}");
    for node in [&mut first, &mut second, &mut third] {
        let found = node.ok("dht lookup rest:util:net");
        assert_eq!(found["peers"], json!(["127.0.0.1:1337"]));
    }
    let hash = text(&second.ok("dht put hello world"), "hash");
    assert_eq!(hash, "6d33adc2b6b2c14c3036feefb7fedbca1a880527");
    let got = third.ok(&format!("dht get {hash}"));
    assert_eq!(got["value"], "hello world");
    assert_eq!(
        third.ok(&format!("dht get {}", "00".repeat(20)))["value"],
        Value::Null
    );
    assert_eq!(third.command("dht get 00")["code"], "BAD_COMMAND");
    assert_eq!(third.command("dht announce a 0")["code"], "BAD_COMMAND");
}

#[test]
fn a_connected_node_needs_no_configuration_to_enter_the_dht() {
    let first = Node::start(plan("first"));
    let mut second = Node::start(plan("second").dials(&first.address()));
    second.wait_for(
        "dht lookup bitfitech:e2e:p2p",
        "it finds the first",
        |reply| {
            let port = port_of(&first.address());
            list(reply, "peers").contains(&json!(format!("127.0.0.1:{port}")))
        },
    );
}

#[test]
fn a_crash_of_the_dht_is_survived() {
    let mut first = Node::start(plan("first").drills());
    let entrance = text(first.ready(), "grape_dht");
    let mut second = Node::start(plan("second").set("grape.bootstrap_nodes", &entrance));
    second.wait_for_peers(1);
    first.ok("crash dht");
    first.wait_for_event("the DHT is back", |event| {
        event["name"] == "dht" && event["change"] == "restarted"
    });
    // Its neighbour still knows its port, and asks it again.
    second.wait_for("dht announce again 7", "it is kept", |reply| {
        reply["nodes"] == 1
    });
    first.ok_at_last("dht lookup again");
    first.wait_for_peers(1);
}

#[test]
fn mode_p2p_has_no_dht_and_says_so() {
    let mut node = Node::start(Plan::named("alone"));
    assert_eq!(node.ready()["grape_rpc"], Value::Null);
    let refused = node.command("dht lookup a");
    assert_eq!(refused["code"], "DHT_OFF", "{refused}");
}

/// What a client of Grenache is answered by the service of a node.
fn ask(workshop: &Workshop, node: &Node, payloads: &Value, packing: &str) -> Vec<Value> {
    let grape = format!("http://{}", text(node.ready(), "grape_api"));
    trade(workshop, &[&grape, SERVICE, &payloads.to_string(), packing])
}

/// What a client of Grenache with these arguments is answered.
pub fn trade(workshop: &Workshop, arguments: &[&str]) -> Vec<Value> {
    let output = workshop
        .node("trade.js")
        .args(arguments)
        .output()
        .expect("node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let answers = serde_json::from_slice(&output.stdout);
    answers.unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// An order with a name of its own.
pub fn order(side: &str, price: &str, quantity: &str) -> Value {
    json!({"action": "order.new", "args": [{
        "pair": "BTC/USD", "side": side, "type": "limit", "price": price, "quantity": quantity,
        "client_id": format!("{side} {price} {quantity}"),
    }]})
}

#[test]
fn a_client_of_grenache_trades_through_three_nodes() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let [mut first, mut second, mut third] = three_nodes();
    let buy = order("buy", "100.5", "2");
    let placed = ask(&workshop, &first, &json!([buy, buy]), "none");
    assert_eq!(placed[0]["status"], "open", "{placed:?}");
    assert_eq!(placed[0], placed[1], "a repeated order is placed once");
    let bid = text(&placed[0], "order");
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
    let sold = ask(
        &workshop,
        &third,
        &json!([order("sell", "100", "0.5")]),
        "gzip",
    );
    assert_eq!(sold[0]["status"], "filled", "{sold:?}");
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
    let views = json!([
        {"action": "order.get", "args": [bid]},
        {"action": "book", "args": [{"pair": "BTC/USD", "depth": 5}]},
        {"action": "trades", "args": [{"limit": 10}]},
        {"action": "digest", "args": []},
        {"action": "orders", "args": []},
        {"action": "peers"},
    ]);
    let seen = ask(&workshop, &first, &views, "none");
    assert_eq!(seen[0]["filled"], "0.5", "{seen:?}");
    let bids = &seen[1]["bids"];
    assert_eq!((&bids[0][0], &bids[0][1]), (&json!("100.5"), &json!("1.5")));
    assert_eq!(list(&seen[2], "trades").len(), 1);
    assert_eq!(seen[3]["set"], second.ok("digest")["set"]);
    assert_eq!(list(&seen[4], "orders").len(), 1);
    assert_eq!(list(&seen[5], "peers").len(), 2);
    let changes = json!([
        {"action": "order.replace", "args": [{"order": bid, "quantity": "1"}]},
        {"action": "order.cancel", "args": [bid]},
        {"action": "order.cancel", "args": [bid]},
    ]);
    let changed = ask(&workshop, &first, &changes, "gzip");
    assert_eq!(changed[0]["remaining"], "0.5", "{changed:?}");
    assert_eq!(changed[1]["status"], "cancelled", "{changed:?}");
    let error = text(&changed[2], "error");
    assert!(error.starts_with("ORDER_CLOSED: "), "{error}");
}

#[test]
fn requests_that_are_streams_are_answered_like_others() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let node = Node::start(plan("alone"));
    let payloads = json!([
        order("buy", "100.5", "2"),
        {"action": "book", "args": [{"depth": 5}]},
        {"action": "order.cancel", "args": ["00000000"]},
        {"action": "digest"},
    ]);
    for packing in ["stream", "headers"] {
        let answers = ask(&workshop, &node, &payloads, packing);
        // The second order has the name of the first.
        assert_eq!(answers[0]["status"], "open", "{packing}: {answers:?}");
        let bids = &answers[1]["bids"];
        assert_eq!((&bids[0][1], &bids[1]), (&json!("2"), &Value::Null));
        let error = text(&answers[2], "error");
        assert!(error.starts_with("UNKNOWN_ORDER: "), "{error}");
        assert!(answers[3]["set"].is_string(), "{answers:?}");
    }
    let port = port_of(&text(node.ready(), "grape_rpc"));
    let head = "_gr: [\"7\", \"a\"]\r\n_a: digest\r\n_ar: no JSON\r\n";
    let (_, answer) = crate::grape::post_from(port, "", head, "");
    assert!(answer.starts_with(r#"["7","BAD_REQUEST: "#), "{answer}");
    let (status, answer) = crate::grape::post_from(port, "", "_gr: no JSON\r\n", "[]");
    assert_eq!(
        (status, answer.as_str()),
        (500, r#"[null,"ERR_HEADER_PARSE_GR",null]"#)
    );
}

#[test]
fn an_order_with_a_name_is_placed_once_however_it_is_repeated() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let mut node = Node::start(plan("alone"));
    let mut named = order("buy", "100.5", "2");
    named["args"][0]["client_id"] = json!(7);
    let mut other = order("sell", "200", "1");
    other["args"][0]["client_id"] = json!("7");
    let mut wrong = order("buy", "100.5", "0");
    wrong["args"][0]["client_id"] = json!("again");
    let mut right = named.clone();
    right["args"][0]["client_id"] = json!("again");
    let mut unusable = named.clone();
    unusable["args"][0]["client_id"] = json!({});
    let payloads = json!([named, named, other, wrong, right, unusable]);
    let answers = ask(&workshop, &node, &payloads, "none");
    assert_eq!(answers[0]["status"], "open", "{answers:?}");
    assert_eq!(answers[1], answers[0], "the first answer again");
    assert_eq!(answers[2], answers[0], "a number and a text are one name");
    assert!(answers[3]["error"].is_string(), "nothing was placed");
    assert_eq!(answers[4]["status"], "open", "so the name is free");
    let error = text(&answers[5], "error");
    assert!(error.starts_with("BAD_REQUEST: client_id"), "{error}");
    assert_eq!(list(&node.ok("orders"), "orders").len(), 2);
}

#[test]
fn what_cannot_be_understood_gets_an_error_and_never_silence() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let node = Node::start(plan("alone"));
    let payloads = json!([
        "hello",
        null,
        {"action": "crash", "args": ["store"]},
        {"action": "order.new", "args": [{"side": "buy", "quantity": 1.5, "price": "2"}]},
        {"action": "order.new", "args": [{"side": "buy", "quantity": "1", "price": "0.001"}]},
        {"action": "order.get", "args": ["00000000"]},
    ]);
    let codes = [
        "BAD_REQUEST",
        "BAD_REQUEST",
        "UNKNOWN_ACTION",
        "BAD_REQUEST",
        "BAD_AMOUNT",
    ];
    let answers = ask(&workshop, &node, &payloads, "none");
    for (answer, code) in answers.iter().zip(codes.iter().chain(&["UNKNOWN_ORDER"])) {
        let error = text(answer, "error");
        assert!(error.starts_with(&format!("{code}: ")), "{error}");
    }
    let port = port_of(&text(node.ready(), "grape_rpc"));
    for body in ["", "no json", "{}", "5"] {
        let (status, answer) = crate::grape::post(port, "", body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("BAD_REQUEST"), "{answer}");
    }
    let order = json!(["7", SERVICE, order("buy", "1", "1")]).to_string();
    let page = "Origin: http://evil.example\r\n";
    let (status, answer) = crate::grape::post_from(port, "", page, &order);
    assert_eq!(status, 403, "a web page must not trade: {answer}");
    let (status, answer) = crate::grape::post(port, "", r#"["7"]"#);
    assert_eq!(status, 200);
    assert!(answer.starts_with(r#"["7","BAD_REQUEST: "#), "{answer}");
}

/// The circuit of a Grape at a node.
fn circuit(node: &mut Node, url: &str) -> Value {
    let reply = node.ok("breakers");
    let mut rows = list(&reply, "breakers").iter();
    let row = rows.rfind(|row| row["address"] == url);
    row.map_or(Value::Null, |row| row["state"].clone())
}

#[test]
fn nodes_in_mode_legacy_meet_by_another_grape_and_go_on_without_it() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let helper = Grape::ours(&[]);
    let ports = (free_port(), free_port());
    let mut real = Grape::real_at(&workshop, ports, &[helper.dht_port]);
    real.wait_for("node");
    let url = real.url();
    let plan = |name: &str| {
        let plan = seeking(name, "legacy").set("grape.rpc_port", "0");
        plan.set("grape.url", &url)
            .set("breaker.failure_threshold", "1")
    };
    let mut first = Node::start(plan("first"));
    let mut second = Node::start(plan("second"));
    first.wait_for_peers(1);
    second.wait_for_peers(1);
    assert_eq!(first.ready()["grape_dht"], Value::Null);
    first.ok("sell 1 @ 100");
    wait_for_agreement(&mut [&mut first, &mut second]);
    assert_eq!(second.ok("buy 1 @ 100")["status"], "filled");
    assert_eq!(first.ok("dht lookup bitfitech:e2e:p2p")["ok"], true);
    assert_eq!(circuit(&mut first, &url), "closed");

    drop(real);
    first.wait_for("dht lookup a", "the Grape is missed", |reply| {
        reply["ok"] == false
    });
    assert_eq!(circuit(&mut first, &url), "open");
    first.ok("sell 1 @ 101");
    wait_for_agreement(&mut [&mut first, &mut second]);
    assert_eq!(
        second.ok("buy 1 @ 101")["status"],
        "filled",
        "links need no Grape"
    );

    let _real = Grape::real_at(&workshop, ports, &[helper.dht_port]);
    first.wait_for("dht lookup a", "the Grape is back", |reply| {
        reply["ok"] == true
    });
    assert_eq!(circuit(&mut first, &url), "closed");
}

#[test]
fn a_grape_that_is_dead_is_replaced_by_the_next_one() {
    let grape = Grape::ours(&[]);
    let dead = format!("http://127.0.0.1:{}", free_port());
    let urls = format!("{dead},{}", grape.url());
    let plan = seeking("legacy", "legacy").set("grape.rpc_port", "0");
    let mut node = Node::start(plan.set("grape.url", &urls));
    let found = node.ok("dht lookup nobody");
    assert_eq!(found["peers"], json!([]));
    let put = node.command("dht put hello world");
    assert_eq!(put["code"], "DHT_FAILED", "that Grape is alone: {put}");
}
