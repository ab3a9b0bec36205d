//! Chaos: every second some actor of some node crashes, while the nodes trade.
//!
//! The short form lasts some seconds; the long one is
//!
//! ```sh
//! CHAOS_SECONDS=300 cargo nextest run --release --profile nightly --no-capture --test e2e chaos::
//! ```

use std::env;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::agreement::{check_fills, wait_for_agreement};
use crate::support::generator::Generator;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// Length of the short form.
const SECONDS_DEFAULT: u64 = 15;

/// Who crashes. The root is left out: its crash is the end of the process.
const VICTIMS: [&str; 12] = [
    "store",
    "matcher",
    "orderbook",
    "gossip",
    "discovery",
    "breaker",
    "listener",
    "peers",
    "exchange",
    "net",
    "edge",
    "command",
];

/// Those with whom the reader of commands goes down: a reply that is under way then is lost.
const TAKE_THE_CONSOLE_ALONG: [&str; 2] = ["edge", "command"];

/// Orders between two looks at the clock, for each node.
const BURST: usize = 8;

/// Sends a burst to each node and notes what was acknowledged.
fn trade(nodes: &mut [Node; 2], generator: &mut Generator, acknowledged: &mut Vec<String>) {
    for node in nodes.iter_mut() {
        for _ in 0..BURST {
            let side = ["buy", "sell"][generator.below(2)];
            node.send(&format!("{side} 0.5 @ {}", generator.between(995, 1005)));
        }
    }
    for node in nodes {
        let replies: Vec<Value> = (0..BURST).map(|_| node.reply()).collect();
        let good = replies.iter().filter(|reply| reply["ok"] == true);
        acknowledged.extend(good.filter_map(|reply| reply["order"].as_str().map(str::to_owned)));
    }
}

/// Crashes an actor, with orders of the node under way unless their replies would be lost.
fn crash(node: &mut Node, victim: &str) {
    let quiet = TAKE_THE_CONSOLE_ALONG.contains(&victim);
    let before = if quiet { 0 } else { BURST };
    (0..before).for_each(|_| node.send("buy 0.25 @ 990"));
    node.send(&format!("crash {victim}"));
    let replies: Vec<Value> = (0..=before).map(|_| node.reply()).collect();
    let told = replies.last().expect("the reply to the crash");
    assert_eq!(told["reply"], "crash", "{told}");
    // One that is just being restarted cannot be crashed, which is fine.
    if told["ok"] == true && quiet {
        node.wait_for_event("it restarts", |event| {
            event["name"] == victim && event["change"] == "restarted"
        });
    }
}

#[test]
fn a_crash_a_second_loses_nothing_that_was_acknowledged() {
    let (mut generator, seed) = Generator::from_environment();
    let seconds = env::var("CHAOS_SECONDS").map_or(SECONDS_DEFAULT, |seconds| {
        seconds
            .parse()
            .expect("CHAOS_SECONDS must be a whole number")
    });
    println!("seed {seed} (set SEED to repeat another)");
    let first = Node::start(Plan::named("first").drills());
    let second = Plan::named("second").drills().dials(&first.address());
    let mut nodes = [first, Node::start(second)];
    nodes[1].wait_for_peers(1);
    let mut acknowledged = Vec::new();
    let begin = Instant::now();
    for second in 1..=seconds {
        let node = &mut nodes[generator.below(2)];
        crash(node, VICTIMS[generator.below(VICTIMS.len())]);
        while begin.elapsed() < Duration::from_secs(second) {
            trade(&mut nodes, &mut generator, &mut acknowledged);
        }
    }
    wait_for_agreement(&mut nodes.each_mut());
    check_fills(&mut nodes.each_mut());
    for node in &mut nodes {
        assert!(node.is_running());
        for part in acknowledged.chunks(1_000) {
            part.iter()
                .for_each(|order| node.send(&format!("order {order}")));
            for order in part {
                assert_eq!(node.reply()["order"], order.as_str());
            }
        }
        assert_eq!(node.ok("stats")["stats"]["forked_authors"], 0);
    }
    let orders = acknowledged.len();
    println!("{seconds} crashes in as many seconds: {orders} orders acknowledged, none lost");
    assert!(orders > BURST, "{orders} orders");
}
