//! Orders that nobody had seen from each other: the same end on every node.

use serde_json::Value;

use crate::support::agreement::{check_books, wait_for_agreement};
use crate::support::generator::Generator;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// Nodes of the ring.
const NODES: usize = 5;

/// Rounds of concurrent orders, each ending in agreement.
const ROUNDS: usize = 20;

/// A ring: each node dials the one before it, and the first dials the last.
fn ring() -> Vec<Node> {
    let mut nodes = vec![Node::start(Plan::named("node 0"))];
    for position in 1..NODES {
        let before = nodes[position - 1].address();
        let plan = Plan::named(&format!("node {position}")).dials(&before);
        nodes.push(Node::start(plan));
    }
    let last = nodes[NODES - 1].address();
    nodes[0].ok(&format!("connect {last}"));
    for node in &mut nodes {
        node.wait_for_peers(2);
    }
    nodes
}

/// A random order in a band so narrow that most of them cross, or the cancel of an own order.
fn random_command(generator: &mut Generator, own: &[String]) -> String {
    if !own.is_empty() && generator.below(4) == 0 {
        return format!("cancel {}", own[generator.below(own.len())]);
    }
    let side = ["buy", "sell"][generator.below(2)];
    let quantity = generator.between(1, 9);
    let price = generator.between(29_995, 30_005);
    format!("{side} 0.{quantity} @ {price}")
}

/// A cancel may come too late or hit its own order twice; nothing else may fail.
fn check_reply(reply: &Value, seed: u64) {
    let late_cancel = reply["reply"] == "cancel" && reply["code"] == "ORDER_CLOSED";
    assert!(
        reply["ok"] == true || late_cancel,
        "seed {seed}: unexpected: {reply}"
    );
}

#[test]
fn twenty_rounds_of_concurrent_crossing_orders_end_equal_on_five_nodes() {
    let (mut generator, seed) = Generator::from_environment();
    println!("seed {seed} (set SEED to repeat another)");
    let mut nodes = ring();
    let mut own: Vec<Vec<String>> = vec![Vec::new(); NODES];
    let mut acknowledged = 0_u64;
    for _ in 0..ROUNDS {
        let counts: Vec<usize> = (0..NODES).map(|_| generator.between(2, 6)).collect();
        for (position, node) in nodes.iter_mut().enumerate() {
            for _ in 0..counts[position] {
                node.send(&random_command(&mut generator, &own[position]));
            }
        }
        for (position, node) in nodes.iter_mut().enumerate() {
            for _ in 0..counts[position] {
                let reply = node.reply();
                check_reply(&reply, seed);
                acknowledged += u64::from(reply["ok"] == true);
                own[position].extend(reply["order"].as_str().map(str::to_owned));
            }
        }
        let mut all: Vec<&mut Node> = nodes.iter_mut().collect();
        let digests = wait_for_agreement(&mut all);
        let operations = digests["operations"].as_u64().expect("a count");
        assert!(operations > 0 && acknowledged > 0, "seed {seed}");
        check_books(&mut all);
    }
}

#[test]
fn replies_come_in_the_order_of_the_commands() {
    let mut node = Node::start(Plan::named("only"));
    let commands = ["buy 1 @ 10", "digest", "nonsense", "book", "sell x @ 1"];
    let count = 200;
    for position in 0..count {
        // Blank lines and comments have no reply.
        node.send(["", "   ", "# a comment"][position % 3]);
        node.send(commands[position % commands.len()]);
    }
    for position in 0..count {
        let reply = node.reply();
        let word = commands[position % commands.len()].split(' ').next();
        assert_eq!(reply["reply"].as_str(), word, "reply {position}: {reply}");
    }
}
