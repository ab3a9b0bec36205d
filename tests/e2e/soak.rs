//! Long runs at full speed: what an operation costs in memory and on disk, and whether waiting
//! grows. Not part of the test command, for their figures mean nothing on a machine that is busy:
//!
//! ```sh
//! ORDERS=200000 cargo nextest run --release --profile nightly --no-capture \
//!     --run-ignored only --test e2e soak::
//! ```

use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agreement::{check_fills, digest, wait_for_agreement};
use crate::support::connection::Connection;
use crate::support::generator::Generator;
use crate::support::node::{Node, text};
use crate::support::plan::Plan;

/// Orders of a run for which no other number is given.
const ORDERS_DEFAULT: usize = 200_000;

/// Clients of each node, who have one order on its way each.
const CLIENTS: usize = 32;

/// The price goes up and down again within so many orders of a client, so that what rests trades
/// in the end: a book that only grows would count as history.
const WAVE: usize = 400;

/// Orders whose fills are recomputed at the end: nodes list no more than a million trades.
const CHECKED_MAX: usize = 1_000_000;

/// What the node with many peers may use.
const MEMORY_BYTES: u64 = 512 << 20;

/// A client of the RPC service of a node: one connection, one order at a time.
struct Client {
    connection: Connection,
    generator: Generator,
}

impl Client {
    fn of(node: &Node, seed: u64) -> Self {
        Self {
            connection: Connection::to(text(node.ready(), "grape_rpc")),
            generator: Generator::new(seed),
        }
    }

    /// Places an order at this price and waits until it is acknowledged.
    fn place(&mut self, side: &str, price: usize) {
        let quantity = self.generator.between(1, 9);
        // Its own older orders make way: all clients of a node are one author to it, and if the
        // newest went instead, those that rest would only become more.
        let order = json!({
            "side": side,
            "price": price.to_string(),
            "quantity": format!("0.{quantity}"),
            "stp": "oldest",
        });
        let body = json!(["1", "key", {"action": "order.new", "args": [order]}]).to_string();
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nhost: node\r\ncontent-length: {length}\r\n\r\n");
        self.connection.send(&(head + &body));
        let (_, answer) = self.connection.answer();
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(
            answer[1].is_null() && answer[2]["order"].is_string(),
            "{answer}"
        );
    }

    /// Places so many orders, one after the other, and says how long each took.
    fn run(mut self, orders: usize) -> Course {
        let took = (0..orders).map(|number| {
            let side = ["buy", "sell"][self.generator.below(2)];
            let mid = 29_900 + (number % WAVE).min(WAVE - number % WAVE);
            let price = self.generator.between(mid - 10, mid + 10);
            let begin = Instant::now();
            self.place(side, price);
            begin.elapsed()
        });
        Course(took.collect())
    }
}

/// How long each order of a client took.
struct Course(Vec<Duration>);

impl Course {
    /// Median and 99th percentile of a quarter, in milliseconds.
    fn quarter(courses: &[Self], number: usize) -> (f64, f64) {
        let mut took: Vec<Duration> = Vec::new();
        for course in courses {
            let length = course.0.len() / 4;
            took.extend(&course.0[number * length..(number + 1) * length]);
        }
        took.sort_unstable();
        let at = |share: usize| took[took.len() * share / 100].as_secs_f64() * 1_000.0;
        (at(50), at(99))
    }
}

/// Drives nodes with so many clients each, who share the orders. Nobody wants to know of their
/// events.
fn drive(nodes: &mut [Node], clients: usize, orders: usize, seed: u64) -> Vec<Course> {
    let each = orders / nodes.len() / clients;
    let are_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for node in nodes {
            for _ in 0..clients {
                let client = Client::of(node, seed + running.len() as u64);
                running.push(scope.spawn(move || client.run(each)));
            }
            scope.spawn(|| node.forget_events_until(|| are_done.load(Ordering::Relaxed)));
        }
        let ended: Vec<_> = running.into_iter().map(|course| course.join()).collect();
        are_done.store(true, Ordering::Relaxed);
        let courses = ended.into_iter();
        courses.map(|course| course.expect("no panic")).collect()
    })
}

/// A node with an RPC service, which asks no Grape.
fn plan(name: &str) -> Plan {
    Plan::named(name)
        .set("mode", "legacy")
        .set("grape.url", "http://127.0.0.1:9")
        .set("log.level", "error")
        .set("limits.enabled", "false")
}

/// What all nodes together use now: memory and disk in bytes, and operations of one of them.
fn usage(nodes: &mut [Node; 3]) -> (u64, u64, u64) {
    wait_for_agreement(&mut nodes.each_mut());
    let operations = digest(&mut nodes[0])["operations"]
        .as_u64()
        .expect("a number");
    let memory = nodes.iter().map(|node| node.memory_kb() << 10).sum();
    let disk = |node: &Node| {
        let store = fs::metadata(node.data_dir().join("operations.redb"));
        store.expect("the store is there").len()
    };
    (memory, nodes.iter().map(disk).sum(), operations)
}

/// How many orders rest in the book of a node.
fn resting(node: &mut Node) -> u64 {
    let book = node.ok("book BTC/USD 1000");
    let sides = [&book["bids"], &book["asks"]];
    let levels = sides
        .iter()
        .flat_map(|side| side.as_array().expect("levels"));
    levels
        .map(|level| level[2].as_u64().expect("a number"))
        .sum()
}

#[test]
#[ignore = "minutes at full speed, for figures: see docs/RELIABILITY.md"]
fn a_soak_of_three_nodes_grows_evenly() {
    let orders: usize = env::var("ORDERS").map_or(ORDERS_DEFAULT, |orders| {
        orders.parse().expect("ORDERS must be a whole number")
    });
    let first = Node::start(plan("first"));
    let second = Node::start(plan("second").dials(&first.address()));
    let last = plan("third")
        .dials(&first.address())
        .dials(&second.address());
    let mut third = Node::start(last);
    third.wait_for_peers(2);
    let mut nodes = [first, second, third];
    // The first tenth fills what is allocated once.
    drive(&mut nodes, CLIENTS, orders / 10, 100);
    let (memory_before, disk_before, operations_before) = usage(&mut nodes);
    let begin = Instant::now();
    let courses = drive(&mut nodes, CLIENTS, orders, 200);
    let lasted = begin.elapsed().as_secs_f64();
    let (memory, disk, operations) = usage(&mut nodes);
    let operations = operations - operations_before;
    let each =
        |now: u64, before: u64, count: u64| now.saturating_sub(before) as f64 / count as f64 / 3.0;
    println!(
        "{orders} orders in {operations} operations, {:.0} orders/s on three nodes; {} rest",
        orders as f64 / lasted,
        resting(&mut nodes[0])
    );
    for (what, count) in [("operation", operations), ("order", orders as u64)] {
        println!(
            "per {what} and node: {:.0} bytes of memory, {:.0} bytes on disk",
            each(memory, memory_before, count),
            each(disk, disk_before, count)
        );
    }
    for number in 0..4 {
        let (median, slow) = Course::quarter(&courses, number);
        println!(
            "quarter {}: median {median:.1} ms, p99 {slow:.1} ms",
            number + 1
        );
    }
    if orders <= CHECKED_MAX {
        check_fills(&mut nodes.each_mut());
    }
}

#[test]
#[ignore = "for figures: see docs/PERFORMANCE.md"]
fn group_commit_by_the_number_of_orders_on_their_way() {
    let mut nodes = [Node::start(plan("alone"))];
    // Pages and tables that are made once.
    drive(&mut nodes, CLIENTS, 10_000, 1);
    println!("| on their way | orders/s | orders per commit | median ms | p99 ms |");
    for clients in [1, 4, 16, 64, 256] {
        let before = digest(&mut nodes[0])["operations"]
            .as_u64()
            .expect("a number");
        let orders = (clients * 1_000).min(64_000);
        let begin = Instant::now();
        let courses = drive(&mut nodes, clients, orders, 2);
        let rate = orders as f64 / begin.elapsed().as_secs_f64();
        let after = digest(&mut nodes[0])["operations"]
            .as_u64()
            .expect("a number");
        let grouped = orders as f64 / (after - before) as f64;
        let (median, slow) = Course::quarter(&courses, 2);
        println!("| {clients} | {rate:.0} | {grouped:.1} | {median:.2} | {slow:.2} |");
    }
}

#[test]
#[ignore = "51 processes, for a figure: see docs/RELIABILITY.md"]
fn a_node_with_100000_resting_orders_and_50_peers_lives_within_512_mib() {
    let start = |_| Node::start(Plan::named("peer").set("log.level", "error"));
    let peers: Vec<Node> = (0..50).map(start).collect();
    // It dials: of those who come from one address it would take sixteen.
    let small = plan("small").set("p2p.max_peers", "150");
    let dials = |plan: Plan, peer: &Node| plan.dials(&peer.address());
    let mut node = Node::start(peers.iter().fold(small, dials));
    let limit = format!("--data={MEMORY_BYTES}:{MEMORY_BYTES}");
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &node.process().to_string(), &limit])
        .status();
    assert!(
        limited.is_ok_and(|status| status.success()),
        "it is limited"
    );
    node.wait_for_peers(peers.len());
    thread::scope(|scope| {
        for seed in 0..50 {
            let mut client = Client::of(&node, seed);
            scope.spawn(move || (0..2_000).for_each(|at| client.place("buy", 10_000 + at * 10)));
        }
    });
    node.forget_events();
    assert_eq!(node.ok("stats")["stats"]["orders"], 100_000);
    let mut peers = peers;
    peers.iter_mut().for_each(Node::forget_events);
    let last = peers.last_mut().expect("there are some");
    wait_for_agreement(&mut [&mut node, last]);
    node.wait_for_peers(peers.len());
    println!(
        "100000 resting orders, 50 peers: {} MiB resident, limit {} MiB of data",
        node.memory_kb() >> 10,
        MEMORY_BYTES >> 20
    );
}
