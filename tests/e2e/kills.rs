//! Nothing that was acknowledged is lost, however often and whenever nodes are killed.
//!
//! Three nodes trade while one of them after the other dies by SIGKILL: in the middle of a burst of
//! orders, and sometimes again while it is still starting. The short form kills 100 times; the long
//! one, with a history of its own for each seed, is
//!
//! ```sh
//! for seed in 1 2 3 4 5; do SEED=$seed KILLS=200 \
//!     cargo nextest run --release --profile nightly --no-capture --test e2e kills::; done
//! ```

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::agreement::{check_fills, digest, read_agreed, wait_for_agreement};
use crate::support::generator::Generator;
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;

/// Kills of the short form.
const KILLS_DEFAULT: usize = 100;

/// Kills between two times at which everything is checked.
const CHECK_EVERY: usize = 20;

/// Orders of a burst, for each node.
const BURST: usize = 12;

/// Longest time that a start is given before it is killed, in milliseconds.
const START_MS_MAX: usize = 60;

/// What users were told, and must find again.
#[derive(Default)]
struct Promises {
    /// Orders that were acknowledged since the last check.
    fresh: Vec<String>,
    orders: usize,
    /// Final trades, with their prices and quantities.
    finals: BTreeMap<String, Value>,
}

impl Promises {
    fn note(&mut self, replies: &[Value]) {
        let good = replies.iter().filter(|reply| reply["ok"] == true);
        let orders = good.filter_map(|reply| reply["order"].as_str().map(str::to_owned));
        self.fresh.extend(orders);
    }

    /// Every node has every order that was acknowledged, and every trade that was final.
    fn check(&mut self, nodes: &mut [Node; 3]) {
        wait_for_agreement(&mut nodes.each_mut());
        for node in nodes.iter_mut() {
            self.fresh
                .iter()
                .for_each(|order| node.send(&format!("order {order}")));
            for order in &self.fresh {
                let row = node.reply();
                assert_eq!(row["order"], order.as_str(), "{}: {row}", node.name());
            }
            assert_eq!(node.ok("stats")["stats"]["forked_authors"], 0);
        }
        let shown: Vec<BTreeMap<String, Value>> = read_agreed(&mut nodes.each_mut(), |nodes| {
            nodes.iter_mut().map(|node| finals_of(node)).collect()
        });
        for (node, shown) in nodes.iter().zip(shown) {
            for (id, terms) in &self.finals {
                assert_eq!(shown.get(id), Some(terms), "{}: a final trade", node.name());
            }
            self.finals = shown;
        }
        self.orders += self.fresh.len();
        self.fresh.clear();
        check_fills(&mut nodes.each_mut());
    }
}

/// The final trades that a node shows, with their prices and quantities.
fn finals_of(node: &mut Node) -> BTreeMap<String, Value> {
    let trades = node.ok("trades BTC/USD 1000000");
    let rows = list(&trades, "trades").iter();
    let finals = rows.filter(|row| row["status"] == "final");
    let terms = |row: &Value| Value::from(vec![row["price"].clone(), row["quantity"].clone()]);
    finals.map(|row| (text(row, "id"), terms(row))).collect()
}

/// Three nodes on fixed ports, each of which dials those before it.
fn start() -> [Node; 3] {
    let plan = |name| Plan::named(name).set("exchange.settle_ms", "100");
    let first = Node::start(plan("first"));
    let second = Node::start(plan("second").dials(&first.address()));
    let third = plan("third")
        .dials(&first.address())
        .dials(&second.address());
    let mut third = Node::start(third);
    third.wait_for_peers(2);
    [first, second, third]
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_at_random_moments() {
    let (mut generator, seed) = Generator::from_environment();
    let kills = env::var("KILLS").map_or(KILLS_DEFAULT, |kills| {
        kills.parse().expect("KILLS must be a whole number")
    });
    println!("seed {seed} (set SEED to repeat another)");
    let begin = Instant::now();
    let mut nodes = start();
    let mut promises = Promises::default();
    let mut while_starting = 0;
    for kill in 1..=kills {
        for node in &mut nodes {
            for _ in 0..BURST {
                let side = ["buy", "sell"][generator.below(2)];
                node.send(&format!("{side} 0.5 @ {}", generator.between(995, 1005)));
            }
        }
        let victim = generator.below(3);
        let seen = generator.below(BURST);
        let replies: Vec<Value> = (0..seen).map(|_| nodes[victim].reply()).collect();
        nodes[victim].kill();
        promises.note(&replies);
        promises.note(&nodes[victim].last_replies());
        if generator.below(3) == 0 {
            let after_ms = generator.below(START_MS_MAX) as u64;
            nodes[victim].die_while_starting(Duration::from_millis(after_ms));
            while_starting += 1;
        }
        nodes = nodes.map(|node| match node.is_killed() {
            true => node.start_again(),
            false => node,
        });
        for (at, node) in nodes.iter_mut().enumerate() {
            if at != victim {
                let replies: Vec<Value> = (0..BURST).map(|_| node.reply()).collect();
                promises.note(&replies);
            }
        }
        if kill % CHECK_EVERY == 0 || kill == kills {
            promises.check(&mut nodes);
        }
    }
    let operations = digest(&mut nodes[0])["operations"].clone();
    let (orders, finals) = (promises.orders, promises.finals.len());
    println!(
        "{kills} kills and {while_starting} more while starting in {} s: {orders} orders \
         acknowledged, {operations} operations, {finals} final trades; nothing lost, digests \
         equal, no fork",
        begin.elapsed().as_secs()
    );
    assert!(
        orders > kills && finals > 0,
        "{orders} orders, {finals} final trades"
    );
}
