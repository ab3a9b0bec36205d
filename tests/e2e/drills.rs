//! Fault drills: each actor is made to crash, restarts, and the node goes on.
//!
//! One test for each name of the tree, so that a failure says which part does not come back.

use serde_json::Value;

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;

/// A node that is drilled, and a neighbour that it dials.
fn pair() -> (Node, Node) {
    let neighbour = Node::start(Plan::named("neighbour"));
    let plan = Plan::named("drilled").drills().dials(&neighbour.address());
    let mut drilled = Node::start(plan);
    drilled.wait_for_peers(1);
    (drilled, neighbour)
}

/// The part of the tree with this name.
fn find<'a>(tree: &'a Value, name: &str) -> Option<&'a Value> {
    if tree["name"] == name {
        return Some(tree);
    }
    let mut children = list(tree, "children").iter();
    children.find_map(|child| find(child, name))
}

/// How often the named actor was restarted.
fn restarts(tree: &Value, name: &str) -> Option<u64> {
    find(tree, name)?["restarts"].as_u64()
}

/// Crashes the named actor and waits until it was restarted and the node is whole again.
fn drill(drilled: &mut Node, neighbour: &mut Node, name: &str) {
    let before = neighbour.ok("sell 1 @ 300");
    drilled.ok("buy 0.5 @ 300");
    let tree = drilled.ok("tree");
    let restarts_before = restarts(&tree, name);
    assert!(restarts_before.is_some(), "`{name}` must be in {tree}");

    drilled.ok(&format!("crash {name}"));
    let is_told = |event: &Value, change: &str| {
        event["event"] == "actor" && event["name"] == name && event["change"] == change
    };
    let crashed = drilled.wait_for_event("the crash is told", |event| is_told(event, "crashed"));
    let cause = text(&crashed, "reason");
    assert!(!cause.is_empty(), "a crash has a cause: {crashed}");
    drilled.wait_for_event("the restart is told", |event| is_told(event, "restarted"));
    let what = format!("`{name}` counts its restart");
    drilled.wait_for("tree", &what, |tree| restarts(tree, name) > restarts_before);

    drilled.ok_at_last("buy 0.25 @ 300");
    drilled.wait_for_peers(1);
    neighbour.ok("sell 0.1 @ 301");
    wait_for_agreement(&mut [drilled, neighbour]);
    let first = text(&before, "order");
    assert_eq!(drilled.ok(&format!("order {first}"))["ok"], true);
    check_log(drilled, name, &cause);
}

/// The log tells the story: one line says who crashed and why, one that it restarted.
fn check_log(node: &Node, name: &str, cause: &str) {
    let log = node.log();
    let line = |word: &str| {
        let mut lines = log.lines();
        lines.find(|line| line.contains(name) && line.to_lowercase().contains(word))
    };
    let crash = line("crash");
    assert!(crash.is_some(), "the log must say that {name} crashed");
    let said = log
        .lines()
        .any(|line| line.contains(name) && line.contains(cause));
    assert!(said, "the log must say why {name} crashed: {cause}");
    assert!(
        line("restart").is_some(),
        "the log must say that {name} restarted"
    );
}

fn survives_crash_of(name: &str) {
    let (mut drilled, mut neighbour) = pair();
    drill(&mut drilled, &mut neighbour, name);
}

#[test]
fn the_matcher_restarts() {
    survives_crash_of("matcher");
}

#[test]
fn the_order_book_restarts() {
    survives_crash_of("orderbook");
}

#[test]
fn gossip_restarts() {
    survives_crash_of("gossip");
}

#[test]
fn the_breaker_restarts() {
    survives_crash_of("breaker");
}

#[test]
fn the_store_restarts() {
    survives_crash_of("store");
}

#[test]
fn the_supervisor_of_peers_restarts() {
    survives_crash_of("peers");
}

#[test]
fn the_supervisor_of_the_exchange_restarts() {
    survives_crash_of("exchange");
}

#[test]
fn the_supervisor_of_the_net_restarts() {
    survives_crash_of("net");
}

#[test]
fn the_supervisor_of_the_edge_restarts() {
    survives_crash_of("edge");
}

#[test]
fn the_command_reader_answers_and_restarts() {
    survives_crash_of("command");
}

/// Crashes an actor while orders are on their way: what was acknowledged is there afterwards, and
/// what was refused is not.
fn keeps_its_word_in_a_crash_of(name: &str) {
    let (mut drilled, mut neighbour) = pair();
    let count = 40;
    for position in 0..count {
        if position == count / 2 {
            drilled.send(&format!("crash {name}"));
        }
        drilled.send(&format!("buy 0.1 @ {}", 100 + position));
    }
    let replies: Vec<Value> = (0..=count).map(|_| drilled.reply()).collect();
    let placed = replies.iter().filter(|reply| reply["reply"] == "buy");
    let acknowledged: Vec<String> = placed
        .filter(|reply| reply["ok"] == true)
        .map(|reply| text(reply, "order"))
        .collect();
    assert!(
        !acknowledged.is_empty(),
        "some orders came before the crash"
    );
    drilled.wait_for_event("the crash is told", |event| {
        event["name"] == name && event["change"] == "crashed"
    });
    wait_for_agreement(&mut [&mut drilled, &mut neighbour]);
    for node in [&mut drilled, &mut neighbour] {
        for order in &acknowledged {
            node.ok_at_last(&format!("order {order}"));
        }
    }
    let orders = drilled.ok_at_last("orders all");
    let rows = list(&orders, "orders").len();
    assert_eq!(rows, acknowledged.len(), "a refused order was written");
}

#[test]
fn orders_on_their_way_survive_a_crash_of_the_matcher_or_were_refused() {
    keeps_its_word_in_a_crash_of("matcher");
}

#[test]
fn orders_on_their_way_survive_a_crash_of_the_store_or_were_refused() {
    keeps_its_word_in_a_crash_of("store");
}

#[test]
fn orders_on_their_way_survive_a_crash_of_the_exchange_or_were_refused() {
    keeps_its_word_in_a_crash_of("exchange");
}

#[test]
fn orders_on_their_way_survive_a_crash_of_the_order_book_or_were_refused() {
    keeps_its_word_in_a_crash_of("orderbook");
}

/// The names of all sessions in the tree.
fn sessions(tree: &Value) -> Vec<String> {
    let peers = find(tree, "peers").map(|peers| list(peers, "children"));
    let names = peers.unwrap_or_default().iter();
    names.map(|child| text(child, "name")).collect()
}

#[test]
fn an_outbound_session_is_dialled_again() {
    let (mut drilled, mut neighbour) = pair();
    let tree = drilled.ok("tree");
    let names = sessions(&tree);
    assert_eq!(names, [format!("peer:{}", neighbour.address())], "{tree}");
    drill(&mut drilled, &mut neighbour, &names[0]);
}

#[test]
fn an_inbound_session_ends_with_its_connection_and_the_other_side_dials_again() {
    let mut drilled = Node::start(Plan::named("drilled").drills());
    let mut neighbour = Node::start(Plan::named("neighbour").dials(&drilled.address()));
    drilled.wait_for_peers(1);
    neighbour.wait_for_peers(1);
    let names = sessions(&drilled.ok("tree"));
    assert_eq!(names.len(), 1, "{names:?}");
    drilled.ok(&format!("crash {}", names[0]));
    neighbour.wait_for_event("the end of the session is told", |event| {
        event["event"] == "peer" && event["change"] == "disconnected"
    });
    drilled.wait_for_peers(1);
    neighbour.wait_for_peers(1);
    drilled.ok("buy 1 @ 1");
    wait_for_agreement(&mut [&mut drilled, &mut neighbour]);
}

#[test]
fn every_part_can_crash_in_turn_while_orders_come_in() {
    let (mut drilled, mut neighbour) = pair();
    let names = [
        "matcher",
        "gossip",
        "store",
        "peers",
        "orderbook",
        "breaker",
    ];
    for name in names {
        drill(&mut drilled, &mut neighbour, name);
    }
}

#[test]
fn crashes_in_a_row_escalate_and_the_node_still_goes_on() {
    let mut neighbour = Node::start(Plan::named("neighbour"));
    let plan = Plan::named("drilled")
        .drills()
        .set("supervisor.intensity", "2");
    let mut drilled = Node::start(plan.dials(&neighbour.address()));
    drilled.ok("buy 1 @ 300");
    for life in 1..=3 {
        drilled.ok_at_last("crash matcher");
        drilled.wait_for_event("the crash is told", |event| {
            event["name"] == "matcher" && event["change"] == "crashed"
        });
        // Its restart after the last crash is that of the supervisor above.
        drilled.wait_for_event("the restart is told", |event| {
            let restarted = event["change"] == "restarted";
            restarted && event["name"] == if life < 3 { "matcher" } else { "exchange" }
        });
    }
    drilled.wait_for_event("the escalation is told", |event| {
        event["event"] == "actor" && event["change"] == "escalated"
    });
    drilled.ok_at_last("buy 1 @ 299");
    neighbour.ok("sell 0.5 @ 299");
    wait_for_agreement(&mut [&mut drilled, &mut neighbour]);
    let log = drilled.log();
    assert!(log.contains("exchange gives up"), "who escalated: {log}");
}

#[test]
fn without_a_root_the_process_ends_with_code_one() {
    let mut node = Node::start(Plan::named("drilled").drills());
    node.send("crash root");
    assert_eq!(node.exit_code(), Some(1));
    assert!(node.log().contains("root"), "the log must say what failed");
}

#[test]
fn drills_are_refused_unless_they_are_allowed() {
    let mut node = Node::start(Plan::named("careful"));
    let reply = node.command("crash matcher");
    assert_eq!(reply["ok"], false, "{reply}");
    let error = text(&reply, "error");
    assert!(error.contains("debug.drills"), "how to mend: {error}");
    assert_eq!(restarts(&node.ok("tree"), "matcher"), Some(0));
}
