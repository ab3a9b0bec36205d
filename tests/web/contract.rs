//! Trading by HTTP: what INTERFACE promises, and every error.

use serde_json::{Value, json};

use crate::client::Client;
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// Two nodes that are linked, and a client of each.
fn pair() -> (Node, Node, Client, Client) {
    let settle = ("exchange.settle_ms", "100");
    let mut first = Node::start(Plan::named("first").set(settle.0, settle.1));
    let plan = Plan::named("second").set(settle.0, settle.1);
    let second = Node::start(plan.dials(&first.address()));
    first.wait_for_peers(1);
    let clients = (Client::of(&first), Client::of(&second));
    (first, second, clients.0, clients.1)
}

#[test]
fn two_nodes_trade_over_http_until_the_trade_is_final() {
    let (first, _second, seller, buyer) = pair();
    let offer = seller.place(&json!({
        "pair": "BTC/USD", "side": "sell", "type": "limit", "price": "30000.01",
        "quantity": "0.5", "tif": "gtc", "stp": "oldest", "ttl_ms": 600_000,
    }));
    assert_eq!(
        (&offer["status"], &offer["remaining"]),
        (&json!("open"), &json!("0.5"))
    );
    wait_until("the buyer's book has the offer", || {
        !list(&buyer.json("/api/v1/book?depth=1"), "asks").is_empty()
    });
    let book = buyer.json("/api/v1/book?pair=BTC/USD");
    assert_eq!(book["asks"], json!([["30000.01", "0.5", 1]]));
    let taken = buyer.place(&json!({"side": "buy", "price": "30001", "quantity": "0.2"}));
    assert_eq!(
        (&taken["status"], &taken["filled"]),
        (&json!("filled"), &json!("0.2"))
    );
    let trade = text(&taken["trades"][0], "id");
    wait_until("both have the trade as final", || {
        [&seller, &buyer].iter().all(|client| {
            let trades = client.json("/api/v1/trades?limit=5");
            let found = list(&trades, "trades")
                .iter()
                .find(|row| row["id"] == trade);
            found.is_some_and(|row| row["status"] == "final")
        })
    });
    let order = text(&offer, "order");
    let row = buyer.json(&format!("/api/v1/orders/{}", &order[..8]));
    assert_eq!(
        (&row["filled"], &row["status"]),
        (&json!("0.2"), &json!("open"))
    );
    assert_eq!(row["author"], first.key());
    let path = buyer.json(&format!("/api/v1/orders/{order}/path"));
    assert_eq!(path["from"], json!({"node": first.key(), "via": "pushed"}));
    let path = seller.json(&format!("/api/v1/orders/{order}/path"));
    assert_eq!(path["from"]["via"], "written");
    let changed = seller.send(
        "PUT",
        &format!("/api/v1/orders/{order}"),
        &json!({"quantity": "0.4"}),
    );
    assert_eq!(
        (changed.status, &changed.json()["remaining"]),
        (200, &json!("0.2"))
    );
    let cancelled = seller.request("DELETE", &format!("/api/v1/orders/{order}"), "");
    assert_eq!(
        (cancelled.status, &cancelled.json()["status"]),
        (200, &json!("cancelled"))
    );
    wait_until("both have the same digest", || {
        seller.json("/api/v1/digest") == buyer.json("/api/v1/digest")
    });
    let of = |scope: &str| {
        list(
            &seller.json(&format!("/api/v1/orders?scope={scope}")),
            "orders",
        )
        .len()
    };
    assert_eq!((of("open"), of("all")), (0, 1));
    let clock = seller.json(&format!(
        "/api/v1/clock?order={order}&other={}",
        text(&taken, "order")
    ));
    assert_eq!(clock, json!({"relation": "before"}));
}

#[test]
fn the_api_answers_with_the_fields_of_the_console() {
    let (mut node, _other, client, _) = pair();
    client.place(&json!({"side": "buy", "price": "1", "quantity": "2"}));
    for command in [
        "book", "trades", "orders", "breakers", "topology", "digest", "clock",
    ] {
        let mut reply = node.ok(command);
        for field in ["reply", "ok"] {
            reply.as_object_mut().expect("an object").remove(field);
        }
        assert_eq!(
            client.json(&format!("/api/v1/{command}")),
            reply,
            "{command}"
        );
    }
    let names = |value: &Value| {
        let fields = value.as_object().expect("an object");
        fields.keys().cloned().collect::<Vec<_>>()
    };
    let reply = node.ok("peers");
    let peers = client.json("/api/v1/peers");
    assert_eq!(names(&peers["peers"][0]), names(&reply["peers"][0]));
    assert_eq!(client.json("/api/v1/tree")["name"], "root");
    assert_eq!(
        names(&client.json("/api/v1/stats")["stats"]),
        names(&node.ok("stats")["stats"])
    );
}

#[test]
fn a_repeated_name_gives_the_first_answer_and_places_nothing() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    let order = json!({"side": "buy", "price": "1", "quantity": "2", "client_id": "mine"});
    let first = client.place(&order);
    assert_eq!(client.place(&order), first);
    let by_header = client.with("idempotency-key", "mine");
    let other = json!({"side": "sell", "price": "9", "quantity": "9"});
    assert_eq!(by_header.place(&other), first);
    let location = by_header.send("POST", "/api/v1/orders", &other);
    let order = text(&first, "order");
    assert_eq!(
        location.header("location"),
        Some(&*format!("/api/v1/orders/{order}"))
    );
    let both = by_header.send("POST", "/api/v1/orders", &json!({"client_id": "another"}));
    assert_eq!(both.problem(422), "BAD_REQUEST");
    assert_eq!(list(&client.json("/api/v1/orders"), "orders").len(), 1);
}

#[test]
fn trades_are_confirmed_and_released_by_hand() {
    let by_hand = |name| Plan::named(name).set("exchange.late_policy", "refuse");
    let slow = |name| by_hand(name).set("exchange.settle_ms", "3600000");
    let mut first = Node::start(slow("first"));
    let second = Node::start(slow("second").dials(&first.address()));
    first.wait_for_peers(1);
    let (seller, buyer) = (Client::of(&first), Client::of(&second));
    seller.place(&json!({"side": "sell", "price": "5", "quantity": "1"}));
    wait_until("the offer has come", || {
        !list(&buyer.json("/api/v1/book"), "asks").is_empty()
    });
    let taken = buyer.place(&json!({"side": "buy", "price": "5", "quantity": "1"}));
    let trade = text(&taken["trades"][0], "id");
    let act = |client: &Client, what: &str| {
        client.request("POST", &format!("/api/v1/trades/{trade}/{what}"), "")
    };
    wait_until("the seller can confirm", || {
        act(&seller, "confirm").status == 200
    });
    assert_eq!(act(&buyer, "confirm").status, 200);
    wait_until("the trade is final", || {
        seller.json("/api/v1/trades")["trades"][0]["status"] == "final"
    });
    assert_eq!(act(&seller, "release").problem(409), "TRADE_FINAL");
    let unknown = seller.request("POST", "/api/v1/trades/00000000/confirm", "");
    assert_eq!(unknown.problem(404), "UNKNOWN_TRADE");
}

#[test]
fn every_wrong_request_is_told_what_is_wrong_and_changes_nothing() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    let before = client.json("/api/v1/digest");
    for (order, status, code) in [
        (
            json!({"side": "buy", "price": 1, "quantity": "1"}),
            400,
            "BAD_REQUEST",
        ),
        (json!({"side": "buy", "quantity": "1"}), 400, "BAD_REQUEST"),
        (
            json!({"side": "up", "price": "1", "quantity": "1"}),
            400,
            "BAD_REQUEST",
        ),
        (
            json!({"side": "buy", "price": "1", "quantity": "1", "x": 1}),
            400,
            "BAD_REQUEST",
        ),
        (json!(["buy"]), 400, "BAD_REQUEST"),
        (
            json!({"side": "buy", "price": "1.001", "quantity": "1"}),
            422,
            "BAD_AMOUNT",
        ),
        (
            json!({"side": "buy", "price": "1", "quantity": "0"}),
            422,
            "BAD_AMOUNT",
        ),
        (
            json!({"side": "buy", "price": "1", "quantity": "1", "pair": "A/B"}),
            404,
            "UNKNOWN_PAIR",
        ),
        (
            json!({"side": "buy", "type": "market", "quantity": "1", "tif": "post"}),
            422,
            "BAD_COMMAND",
        ),
    ] {
        let response = client.send("POST", "/api/v1/orders", &order);
        assert_eq!(response.problem(status), code, "{order}");
    }
    assert_eq!(client.json("/api/v1/digest"), before);
}

#[test]
fn what_is_not_there_or_not_possible_is_said_with_its_status() {
    let node = Node::start(Plan::named("node").set("limits.max_message_kb", "16"));
    let client = Client::of(&node);
    let ended = text(
        &client.place(&json!({"side": "buy", "price": "1", "quantity": "1"})),
        "order",
    );
    client.request("DELETE", &format!("/api/v1/orders/{ended}"), "");
    let before = client.json("/api/v1/digest");
    let order = format!("/api/v1/orders/{ended}");
    let unknown = "/api/v1/orders/00000000";
    let terms = json!({"price": "2"});
    assert_eq!(
        client.request("DELETE", &order, "").problem(409),
        "ORDER_CLOSED"
    );
    assert_eq!(
        client.send("PUT", &order, &terms).problem(409),
        "ORDER_CLOSED"
    );
    assert_eq!(
        client.send("PUT", unknown, &terms).problem(404),
        "UNKNOWN_ORDER"
    );
    assert_eq!(
        client.send("PUT", &order, &json!({})).problem(400),
        "BAD_REQUEST"
    );
    assert_eq!(client.get(unknown).problem(404), "UNKNOWN_ORDER");
    assert_eq!(
        client.get(&format!("{unknown}/path")).problem(404),
        "UNKNOWN_ORDER"
    );
    assert_eq!(client.get("/api/v1/orders/all").problem(400), "BAD_REQUEST");
    assert_eq!(
        client.get("/api/v1/book?pair=A/B").problem(404),
        "UNKNOWN_PAIR"
    );
    assert_eq!(
        client.get("/api/v1/book?depth=x").problem(400),
        "BAD_REQUEST"
    );
    assert_eq!(client.get("/api/v2/book").problem(404), "UNKNOWN_PATH");
    assert_eq!(client.get("/api/v1/stream").problem(426), "NOT_A_WEBSOCKET");
    let method = client.request("PATCH", "/api/v1/orders", "");
    assert_eq!(method.problem(405), "BAD_METHOD");
    assert_eq!(method.header("allow"), Some("GET, POST"));
    let plain = client.with("content-type", "text/plain");
    assert_eq!(
        plain.request("POST", "/api/v1/orders", "{}").problem(415),
        "BAD_CONTENT_TYPE"
    );
    let long = json!({"side": "x".repeat(20_000)});
    assert_eq!(
        client.send("POST", "/api/v1/orders", &long).problem(413),
        "TOO_LONG"
    );
    assert_eq!(client.json("/api/v1/digest"), before);
}

#[test]
fn who_asks_too_much_waits_and_the_probes_do_not() {
    let plan = Plan::named("node").set("limits.requests_per_minute", "3");
    let plan = plan
        .set("limits.orders_per_second", "1")
        .set("limits.orders_per_minute", "2");
    let node = Node::start(plan);
    let client = Client::of(&node);
    let order = json!({"side": "buy", "price": "1", "quantity": "1"});
    client.place(&order);
    let refused = client.send("POST", "/api/v1/orders", &order);
    assert_eq!(refused.problem(429), "RATE_LIMITED");
    let wait_s = refused
        .header("retry-after")
        .and_then(|it| it.parse::<u64>().ok());
    assert_eq!(wait_s, Some(1));
    for _ in 0..3 {
        assert_eq!(client.get("/api/v1/digest").status, 200);
    }
    assert_eq!(client.get("/api/v1/digest").problem(429), "RATE_LIMITED");
    assert_eq!(client.get("/health").status, 200);
    let off = Node::start(Plan::named("off").set("limits.enabled", "false"));
    let client = Client::of(&off);
    (0..20).for_each(|_| assert_eq!(client.get("/api/v1/digest").status, 200));
}
