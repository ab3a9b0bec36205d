//! What operators watch: probes and metrics.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::Client;
use crate::python::program;
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

/// Where the program is that reads metrics as a scraper does.
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/programs/metrics.py");

/// What the parser of OpenMetrics understands; `None` if there is none.
fn parsed(metrics: &str) -> Option<Value> {
    let mut reader = Command::new(program("python3")?)
        .arg(READER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = reader.stdin.take().expect("a piped stdin");
    stdin.write_all(metrics.as_bytes()).expect("it reads");
    drop(stdin);
    let output = reader.wait_with_output().expect("its output");
    assert!(output.status.success(), "{metrics}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The sample of this name with this label.
fn sample(family: &Value, name: &str, label: (&str, &str)) -> Option<f64> {
    let samples = family["samples"].as_array()?;
    let found = samples
        .iter()
        .find(|it| it["name"] == name && it["labels"][label.0] == label.1);
    found?["value"].as_f64()
}

/// The names of all actors but connections.
fn actors(tree: &Value, names: &mut Vec<String>) {
    let name = text(tree, "name");
    if name.starts_with("peer:") {
        return;
    }
    names.push(name);
    let children = tree["children"].as_array().expect("a list");
    children.iter().for_each(|child| actors(child, names));
}

/// Two nodes, of which the second has written so many operations that the first has got.
fn after_operations(count: u32) -> [Node; 2] {
    let mut first = Node::start(Plan::named("first"));
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    first.wait_for_peers(1);
    for _ in 0..count {
        second.ok("sell 1 @ 5");
    }
    let quantity = count.to_string();
    first.wait_for("book", "all offers have come", |book| {
        book["asks"][0][1] == *quantity
    });
    [first, second]
}

#[test]
fn a_parser_of_open_metrics_finds_every_actor() {
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    let Some(families) = parsed(&client.get("/metrics").body) else {
        return;
    };
    let mut names = Vec::new();
    actors(&client.json("/api/v1/tree"), &mut names);
    assert!(names.len() > 10, "{names:?}");
    for (metric, suffix, kind) in [
        ("up", "", "gauge"),
        ("mailbox", "", "gauge"),
        ("restarts", "_total", "counter"),
        ("turn_seconds", "_count", "histogram"),
    ] {
        let name = format!("bitfitech_actor_{metric}");
        let family = &families[&name];
        assert_eq!(family["type"], kind, "{name}");
        for actor in &names {
            let found = sample(family, &format!("{name}{suffix}"), ("actor", actor));
            assert!(found.is_some(), "{name} of {actor} is missing");
        }
    }
}

#[test]
fn metrics_tell_how_long_operations_took_to_come_and_over_how_many_links() {
    let [first, _second] = after_operations(5);
    let Some(families) = parsed(&Client::of(&first).get("/metrics").body) else {
        return;
    };
    let one = |family: &str, suffix: &str| {
        let samples = families[family]["samples"].as_array();
        let samples = samples.unwrap_or_else(|| panic!("{family} is missing"));
        let found = samples
            .iter()
            .find(|it| it["name"] == format!("{family}{suffix}"));
        found.and_then(|it| it["value"].as_f64())
    };
    let counter = |name: &str| one(name, "_total").expect("a counter");
    let new = counter("bitfitech_gossip_operations_pushed")
        - counter("bitfitech_gossip_operations_copied");
    // What was written while the two met may have come by synchronisation.
    let pulled = counter("bitfitech_sync_operations_pulled");
    assert!(new >= 1.0 && new + pulled >= 5.0, "{new} {pulled}");
    let (delivery, hops) = ("bitfitech_gossip_delivery_seconds", "bitfitech_gossip_hops");
    for name in [delivery, hops] {
        assert_eq!(one(name, "_count"), Some(new), "{name}");
    }
    let about = &families[delivery];
    assert_eq!(about["type"], "histogram");
    assert_eq!(about["unit"], "seconds");
    assert!(text(about, "help").contains("clock"), "{about}");
    // Both nodes have the clock of this machine.
    let sum_s = one(delivery, "_sum").expect("a sum");
    assert!(sum_s < 60.0 * new, "{sum_s}");
    let bucket = sample(
        &families[hops],
        "bitfitech_gossip_hops_bucket",
        ("le", "1.0"),
    );
    assert_eq!(bucket, Some(new), "the author is a neighbour");
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
