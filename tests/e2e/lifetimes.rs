//! How orders end without their owner: their time is over, or he fell silent.

use std::time::{Duration, Instant};

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, text};
use crate::support::plan::Plan;

/// The shortest lease that a network may have.
const LEASE: Duration = Duration::from_millis(1_000);

/// Two nodes of a network with the shortest lease.
fn short_lease() -> [Node; 2] {
    let lease_ms = LEASE.as_millis().to_string();
    let plan = |name: &str| Plan::named(name).set("network.lease_ms", &lease_ms);
    let first = Node::start(plan("first"));
    let mut second = Node::start(plan("second").dials(&first.address()));
    second.wait_for_peers(1);
    [first, second]
}

/// Waits until an order is as said on this node.
fn wait_for_status(node: &mut Node, order: &str, status: &str) {
    node.wait_for(
        &format!("order {order}"),
        &format!("it is {status}"),
        |row| row["status"] == status,
    );
}

#[test]
fn an_order_with_a_time_limit_expires_on_every_node() {
    let mut first = Node::start(Plan::named("first"));
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    second.wait_for_peers(1);
    let begin = Instant::now();
    let placed = first.ok("sell 2 @ 100 ttl=1s");
    assert_eq!(placed["status"], "open", "{placed}");
    let order = text(&placed, "order");
    let event = first.wait_for_event("the expiry is told", |event| {
        event["event"] == "order" && event["status"] == "expired"
    });
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "not before its time"
    );
    assert_eq!(event["order"], order.as_str(), "{event}");
    assert_eq!(event["filled"], "0", "{event}");
    wait_for_status(&mut second, &order, "expired");
    let late = second.ok("buy 1 @ 100");
    assert_eq!(late["filled"], "0", "nothing is left to take: {late}");
    let over = first.command(&format!("cancel {order}"));
    assert_eq!(over["code"], "ORDER_CLOSED", "{over}");
    wait_for_agreement(&mut [&mut first, &mut second]);
}

#[test]
fn the_orders_of_a_killed_node_lapse_and_come_back_to_nobody() {
    let [mut first, mut second] = short_lease();
    let order = text(&second.ok("sell 2 @ 100"), "order");
    wait_for_status(&mut first, &order, "open");
    second.kill();
    // The other node has no orders of its own: it writes for the log clock to move on.
    wait_for_status(&mut first, &order, "lapsed");
    let late = first.ok("buy 1 @ 100");
    assert_eq!(late["filled"], "0", "nothing is left to take: {late}");
    let mut second = second.start_again();
    wait_for_agreement(&mut [&mut first, &mut second]);
    wait_for_status(&mut second, &order, "lapsed");
}

#[test]
fn a_quiet_node_with_orders_shows_that_it_is_there_and_writes_nothing_else() {
    let [mut first, mut second] = short_lease();
    let order = text(&second.ok("sell 2 @ 100"), "order");
    wait_for_status(&mut first, &order, "open");
    let count = |node: &mut Node| {
        let stats = node.ok("stats");
        let count = stats["stats"]["operations"].as_u64();
        count.expect("a number of operations")
    };
    let (begin, before) = (Instant::now(), count(&mut first));
    let what = "six more heartbeats have come";
    first.wait_for("stats", what, |stats| {
        stats["stats"]["operations"].as_u64() >= Some(before + 6)
    });
    let written = count(&mut first) - before;
    let thirds = begin.elapsed().as_millis() / (LEASE.as_millis() / 3);
    let most = u64::try_from(thirds).expect("a small number") + 1;
    assert!(
        written <= most,
        "{written} operations in {thirds} thirds of a lease"
    );
    assert_eq!(first.ok(&format!("order {order}"))["status"], "open");
    second.ok("cancel all");
    wait_for_agreement(&mut [&mut first, &mut second]);
    assert_eq!(second.ok("orders all")["orders"][0]["status"], "cancelled");
}
