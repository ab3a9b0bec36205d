//! What operators watch: probes and metrics.

use crate::client::Client;
use crate::support::node::{Node, port_of, text};
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// A line of the metrics that begins so.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|rest| rest.trim().parse().ok())
}

#[test]
fn metrics_tell_of_actors_gossip_books_store_and_trades() {
    let mut first = Node::start(Plan::named("first").drills());
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    first.wait_for_peers(1);
    second.ok("sell 1 @ 5");
    first.wait_for("book", "the offer has come", |book| {
        book["asks"][0][1] == "1"
    });
    first.ok("buy 0.5 @ 5");
    first.ok("crash breaker");
    let client = Client::of(&first);
    wait_until("the crash is counted", || {
        let restarts = r#"bitfitech_actor_restarts_total{actor="breaker"}"#;
        value(&client.get("/metrics").body, restarts) == Some(1.0)
    });
    let response = client.get("/metrics");
    let kind = response.header("content-type").expect("a media type");
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let metrics = response.body;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for (series, least) in [
        (r#"bitfitech_actor_up{actor="matcher"}"#, 1.0),
        (
            r#"bitfitech_actor_turn_seconds_count{actor="matcher"}"#,
            1.0,
        ),
        (
            r#"bitfitech_actor_turn_seconds_sum{actor="store"}"#,
            0.000_001,
        ),
        ("bitfitech_gossip_operations_pushed_total", 1.0),
        ("bitfitech_gossip_bytes_sent_total", 100.0),
        ("bitfitech_store_operations", 2.0),
        ("bitfitech_store_bytes", 1_000.0),
        ("bitfitech_trades_tentative", 0.0),
        ("bitfitech_sync_sessions", 1.0),
        (r#"bitfitech_book_levels{pair="BTC/USD",side="ask"}"#, 1.0),
        (r#"bitfitech_breaker_circuits{state="open"}"#, 0.0),
    ] {
        let found = value(&metrics, series);
        assert!(
            found.is_some_and(|found| found >= least),
            "{series}: {found:?}\n{metrics}"
        );
    }
}

#[test]
fn the_probes_tell_of_an_actor_that_is_down() {
    let slow = ("supervisor.backoff_min_ms", "3000");
    let plan = Plan::named("node").drills().set(slow.0, slow.1);
    let mut node = Node::start(plan.set("supervisor.backoff_max_ms", "3000"));
    let client = Client::of(&node);
    assert_eq!(client.json("/health")["status"], "pass");
    assert_eq!(client.json("/ready")["status"], "pass");
    node.ok("crash matcher");
    wait_until("the probes tell of it", || {
        let (health, ready) = (client.get("/health"), client.get("/ready"));
        let down = health.json()["down"].to_string();
        health.status == 503 && down.contains("matcher") && ready.status == 503
    });
    wait_until("the matcher is back", || {
        client.get("/health").status == 200 && client.get("/ready").status == 200
    });
    assert!(client.json("/health")["restarts"].as_u64() >= Some(1));
}

#[test]
fn metrics_have_a_port_of_their_own_if_they_are_given_one() {
    let free = Node::start(Plan::named("free"));
    let taken = text(free.ready(), "api");
    let port = port_of(&taken);
    drop(free);
    let node = Node::start(Plan::named("node").set("api.metrics_port", &port.to_string()));
    let client = Client::of(&node);
    assert_eq!(client.get("/metrics").problem(404), "METRICS_ELSEWHERE");
    let metrics = Client::at(&taken);
    assert_eq!(metrics.get("/metrics").status, 200);
    assert_eq!(metrics.get("/api/v1/book").problem(404), "UNKNOWN_PATH");
    let off = Node::start(Plan::named("off").set("api.metrics", "false"));
    assert_eq!(Client::of(&off).get("/metrics").problem(404), "METRICS_OFF");
}
