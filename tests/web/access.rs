//! Who may ask: tokens, pages of other sites, names of other hosts.

use serde_json::json;

use crate::client::Client;
use crate::support::node::{Node, port_of};
use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Input, run_to_end};

fn order() -> serde_json::Value {
    json!({"side": "buy", "price": "1", "quantity": "1"})
}

#[test]
fn with_a_token_nothing_is_told_or_done_without_it() {
    let node = Node::start(Plan::named("node").set("api.token", "s3cret"));
    let client = Client::of(&node);
    for path in ["/api/v1/book", "/api/v1/stream", "/metrics", "/api/v1/node"] {
        let refused = client.get(path);
        assert_eq!(refused.problem(401), "BAD_TOKEN", "{path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(client.send("POST", "/api/v1/orders", &order()).status, 401);
    let wrong = client.with("authorization", "Bearer s3cre");
    assert_eq!(wrong.get("/api/v1/book").status, 401);
    let right = client.with("authorization", "Bearer s3cret");
    right.place(&order());
    assert_eq!(right.get("/metrics").status, 200);
    for path in ["/", "/health", "/ready", "/openapi.json"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_page_of_another_site_can_neither_place_orders_nor_read_nor_follow() {
    let mut node =
        Node::start(Plan::named("node").set("api.allowed_origins", "http://127.0.0.1:7"));
    let client = Client::of(&node);
    let foreign = [
        client.with("origin", "http://evil.example"),
        client.with("origin", "null"),
        client.with("sec-fetch-site", "cross-site"),
    ];
    for page in &foreign {
        assert_eq!(
            page.send("POST", "/api/v1/orders", &order()).problem(403),
            "BAD_ORIGIN"
        );
        assert_eq!(page.get("/api/v1/stream").problem(403), "BAD_ORIGIN");
        let read = page.get("/api/v1/orders");
        assert_eq!(read.problem(403), "BAD_ORIGIN");
        assert_eq!(read.header("access-control-allow-origin"), None);
    }
    // A name of theirs that points to this machine makes it the same origin for the browser.
    let rebound = client
        .with("host", "evil.example")
        .with("origin", "http://evil.example");
    assert_eq!(
        rebound
            .send("POST", "/api/v1/orders", &order())
            .problem(403),
        "BAD_HOST"
    );
    assert_eq!(rebound.get("/api/v1/orders").problem(403), "BAD_HOST");
    assert_eq!(node.ok("orders all")["orders"], json!([]));
    let own = client.with("origin", &format!("http://{}", client.address()));
    own.with("sec-fetch-site", "same-origin").place(&order());
    let listed = client.with("origin", "http://127.0.0.1:7");
    let answer = listed
        .with("sec-fetch-site", "same-site")
        .get("/api/v1/book");
    assert_eq!(answer.status, 200);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("http://127.0.0.1:7"));
    let asked = listed.with("access-control-request-method", "POST");
    let preflight = asked.request("OPTIONS", "/api/v1/orders", "");
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").is_some());
    let foreign = foreign[0].with("access-control-request-method", "POST");
    assert_eq!(foreign.request("OPTIONS", "/api/v1/orders", "").status, 403);
}

#[test]
fn a_node_that_others_reach_needs_a_token() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut command = quiet_command(folder.path());
    command.args(["-D", "api.host=0.0.0.0", "--data-dir", "d"]);
    let finished = run_to_end(command, "", Input::Ends);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("api.token must be set"),
        "{}",
        finished.stderr
    );
    let plan = Plan::named("open")
        .set("api.host", "0.0.0.0")
        .set("api.token", "s3cret");
    let node = Node::start(plan);
    let port = port_of(Client::of(&node).address());
    let client = Client::at(&format!("127.0.0.1:{port}"));
    assert_eq!(client.get("/api/v1/book").status, 401);
    let right = client.with("authorization", "Bearer s3cret");
    assert_eq!(
        right
            .with("host", "node.example")
            .get("/api/v1/book")
            .status,
        200
    );
}

#[test]
fn a_taken_port_is_replaced_by_the_next_free_one() {
    let first = Node::start(Plan::named("first"));
    let port = port_of(Client::of(&first).address());
    let second = Node::start(Plan::named("second").set("api.port", &port.to_string()));
    let client = Client::of(&second);
    assert_ne!(port_of(client.address()), port);
    assert_eq!(client.json("/api/v1/node")["node"], second.key());
}
