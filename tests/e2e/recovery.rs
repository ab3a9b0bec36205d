//! What survives: a killed process, a late start, a network in two parts.

use serde_json::Value;

use crate::support::agreement::{check_books, digest, wait_for_agreement};
use crate::support::generator::Generator;
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;
use crate::support::proxy::Proxy;

/// How often the node in the middle is killed.
const KILLS: usize = 4;

/// Commands that are on their way when it dies.
const IN_FLIGHT: usize = 60;

/// The orders that a reply acknowledged.
fn acknowledged(replies: &[Value]) -> Vec<String> {
    let good = replies.iter().filter(|reply| reply["ok"] == true);
    good.filter_map(|reply| reply["order"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_killed_node_comes_back_with_all_that_it_acknowledged() {
    let (mut generator, seed) = Generator::from_environment();
    println!("seed {seed} (set SEED to repeat another)");
    let mut first = Node::start(Plan::named("first"));
    let mut middle = Node::start(Plan::named("middle").dials(&first.address()));
    let mut last = Node::start(Plan::named("last").dials(&middle.address()));
    middle.wait_for_peers(2);
    let key = middle.key();
    for _ in 0..KILLS {
        for position in 0..IN_FLIGHT {
            let price = generator.between(995, 1005);
            let side = ["buy", "sell"][generator.below(2)];
            middle.send(&format!("{side} 0.5 @ {price}"));
            if position % 10 == 0 {
                first.ok(&format!("buy 0.1 @ {price}"));
                last.ok(&format!("sell 0.1 @ {price}"));
            }
        }
        let seen = generator.between(1, IN_FLIGHT - 1);
        let mut replies: Vec<Value> = (0..seen).map(|_| middle.reply()).collect();
        middle.kill();
        replies.extend(middle.last_replies());
        let orders = acknowledged(&replies);
        assert!(!orders.is_empty(), "seed {seed}: nothing acknowledged");

        middle = middle.start_again();
        assert_eq!(middle.key(), key, "seed {seed}: the identity must stay");
        for order in &orders {
            let row = middle.ok(&format!("order {order}"));
            assert_eq!(row["author"], key.as_str(), "seed {seed}: {row}");
        }
        let nodes = &mut [&mut first, &mut middle, &mut last];
        wait_for_agreement(nodes);
        for order in &orders {
            last.ok(&format!("order {order}"));
        }
        check_books(&mut [&mut first, &mut middle, &mut last]);
    }
}

#[test]
fn a_node_alone_comes_back_from_its_disk() {
    let mut node = Node::start(Plan::named("only"));
    let order = text(&node.ok("buy 3 @ 77"), "order");
    node.ok("sell 1 @ 99");
    let cancelled = text(&node.ok("buy 1 @ 55"), "order");
    node.ok(&format!("cancel {cancelled}"));
    let before = digest(&mut node);
    let mut node = node.start_again();
    let after = digest(&mut node);
    for field in ["book", "trades", "orders", "final_trades"] {
        assert_eq!(after[field], before[field], "{field} after the restart");
    }
    assert_eq!(node.ok(&format!("order {order}"))["status"], "open");
    node.ok(&format!("cancel {order}"));
}

#[test]
fn a_late_joiner_catches_up() {
    let mut first = Node::start(Plan::named("first"));
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    second.wait_for_peers(1);
    let count = 150;
    for position in 0..count {
        first.send(&format!("sell 0.2 @ {}", 1000 + position % 7));
        second.send(&format!("buy 0.3 @ {}", 998 + position % 7));
    }
    for _ in 0..count {
        assert_eq!(first.reply()["ok"], true);
        assert_eq!(second.reply()["ok"], true);
    }
    let mut late = Node::start(Plan::named("late").dials(&second.address()));
    let nodes = &mut [&mut first, &mut second, &mut late];
    wait_for_agreement(nodes);
    check_books(nodes);
    late.ok("buy 0.1 @ 2000");
    wait_for_agreement(&mut [&mut first, &mut second, &mut late]);
}

#[test]
fn both_sides_of_a_dead_bridge_trade_on_and_agree_when_it_is_back() {
    let mut left = Node::start(Plan::named("left"));
    let mut bridge = Node::start(Plan::named("bridge").dials(&left.address()));
    let mut right = Node::start(Plan::named("right").dials(&bridge.address()));
    bridge.wait_for_peers(2);
    let ask = text(&left.ok("sell 1 @ 100"), "order");
    wait_for_agreement(&mut [&mut left, &mut bridge, &mut right]);

    bridge.kill();
    left.wait_for_peers(0);
    right.wait_for_peers(0);
    // One takes the ask, the other cancels it, and neither hears of it: one has to give way.
    right.ok("buy 1 @ 100");
    left.ok(&format!("cancel {ask}"));
    left.ok("buy 0.5 @ 99");
    right.ok("sell 0.25 @ 99");
    assert_ne!(digest(&mut left)["set"], digest(&mut right)["set"]);

    let mut bridge = bridge.start_again();
    let nodes = &mut [&mut left, &mut bridge, &mut right];
    wait_for_agreement(nodes);
    check_books(nodes);
}

#[test]
fn a_cut_link_heals_and_what_happened_meanwhile_is_concurrent() {
    let mut left = Node::start(Plan::named("left"));
    let link = Proxy::to(&left.address());
    let mut right = Node::start(Plan::named("right").dials(link.address()));
    right.wait_for_peers(1);
    left.wait_for_peers(1);

    link.cut();
    right.wait_for_peers(0);
    left.wait_for_peers(0);
    let on_left = text(&left.ok("sell 2 @ 50"), "order");
    let on_right = text(&right.ok("buy 1.5 @ 60"), "order");
    assert_eq!(list(&right.ok("trades"), "trades").len(), 0);

    link.heal();
    let nodes = &mut [&mut left, &mut right];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        let relation = node.ok(&format!("clock {on_left} {on_right}"));
        assert_eq!(relation["relation"], "concurrent", "{relation}");
        let trades = node.ok("trades");
        assert_eq!(list(&trades, "trades").len(), 1, "{trades}");
        assert_eq!(trades["trades"][0]["quantity"], "1.5", "{trades}");
    }
    check_books(nodes);
}

#[test]
fn a_disconnected_peer_can_be_connected_again() {
    let mut left = Node::start(Plan::named("left"));
    let mut right = Node::start(Plan::named("right"));
    right.ok(&format!("connect {}", left.address()));
    right.wait_for_peers(1);
    left.wait_for_peers(1);
    right.ok(&format!("disconnect {}", left.key()));
    let what = "the disconnect is told";
    let told = right.wait_for_event(what, |event| {
        event["event"] == "peer" && event["change"] == "disconnected"
    });
    assert_eq!(told["node"], left.key(), "{told}");
    right.wait_for_peers(0);
    left.ok("buy 1 @ 10");
    right.ok("buy 1 @ 11");
    right.ok(&format!("connect {}", left.address()));
    wait_for_agreement(&mut [&mut left, &mut right]);
}

#[test]
fn a_node_that_lost_its_store_learns_its_own_chain_before_it_writes() {
    let mut first = Node::start(Plan::named("first"));
    let mut forgetful = Node::start(Plan::named("forgetful").dials(&first.address()));
    forgetful.wait_for_peers(1);
    for price in [100, 101, 102] {
        forgetful.ok(&format!("buy 1 @ {price}"));
    }
    wait_for_agreement(&mut [&mut first, &mut forgetful]);
    forgetful.kill();
    let store = forgetful.data_dir().join("operations.redb");
    std::fs::remove_file(store).expect("the store is there");

    forgetful = forgetful.start_again();
    forgetful.ok("buy 1 @ 103");
    let orders = forgetful.ok("orders");
    assert_eq!(list(&orders, "orders").len(), 4, "{orders}");
    wait_for_agreement(&mut [&mut first, &mut forgetful]);
    for node in [&mut first, &mut forgetful] {
        assert_eq!(node.ok("stats")["stats"]["forked_authors"], 0);
    }
}
