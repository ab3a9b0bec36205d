//! A benchmark: reads of the book on one core beside trading, and orders until they are on disk.
//!
//! `cargo nextest run --release -p bitfitech --test web --run-ignored only --no-capture speed`
//! prints the figures. The node that is asked has one core, the other one has all else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::client::Client;
use crate::support::connection::Connection;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// Reads that a connection asks for at once, so that the machine serves books and not this.
const BATCH: usize = 16;

/// Connections that read.
const READERS: usize = 4;

/// How long reads are measured.
const DURATION: Duration = Duration::from_secs(5);

/// Reads a second of all connections together, where they keep a pace.
const READS_PER_SECOND: u32 = 10_000;

/// Orders a second of each connection that trades beside the reads.
const ORDERS_PER_SECOND: u32 = 100;

/// Who places orders over one connection.
struct Trader {
    connection: Connection,
    address: String,
}

impl Trader {
    fn at(address: &str) -> Self {
        Self {
            connection: Connection::to(address),
            address: address.to_owned(),
        }
    }

    /// Places an order and returns how long it took until it was acknowledged on disk.
    fn place(&mut self, side: &str, price: u32) -> Duration {
        let body = format!(r#"{{"side":"{side}","price":"{price}","quantity":"1"}}"#);
        let (address, length) = (&self.address, body.len());
        let request = format!(
            "POST /api/v1/orders HTTP/1.1\r\nhost: {address}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let asked = Instant::now();
        self.connection.send(&request);
        assert_eq!(self.connection.answer().0, 201);
        asked.elapsed()
    }
}

/// From now on this thread, and what it starts, run on that core.
fn move_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).expect("a core");
    sched_setaffinity(Pid::from_raw(0), &cores).expect("this machine has two cores");
}

/// The time below which so many in a thousand of them are, in milliseconds.
fn at(times: &mut [Duration], per_mille: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * per_mille / 1_000].as_secs_f64() * 1_000.0
}

/// Orders over several connections, each as soon as the one before is acknowledged.
fn place_steadily(address: &str, connections: usize, orders: u32) -> Vec<Duration> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| {
                scope.spawn(move || {
                    let mut trader = Trader::at(address);
                    let side = ["buy", "sell"][worker % 2];
                    let begin = [100, 200][worker % 2];
                    let orders = 0..orders / connections as u32;
                    let place = |number| trader.place(side, begin + number % 50);
                    orders.map(place).collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().expect("it works"));
        joined.flatten().collect()
    })
}

/// Waits for the turn of this number; whoever is late goes on at once.
fn keep_pace(begun: Instant, per_second: u32, number: u32) {
    let due = begun + Duration::from_secs(1) / per_second * number;
    while let Some(left) = due.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// Orders at an even pace until told to stop, at a price at which they trade with each other.
fn trade(address: &str, side: &str, stop: &AtomicBool) -> Vec<Duration> {
    let mut trader = Trader::at(address);
    let mut times = Vec::new();
    let begun = Instant::now();
    for number in 0.. {
        keep_pace(begun, ORDERS_PER_SECOND, number);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        times.push(trader.place(side, 150));
    }
    times
}

/// How many reads there are.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// None, for comparison.
    None,
    /// As many as the node answers.
    All,
    /// [`READS_PER_SECOND`].
    AtPace,
}

/// Reads for a while; how many.
fn read(address: &str, reads: Reads) -> usize {
    let mut connection = Connection::to(address);
    let request = format!("GET /api/v1/book?depth=20 HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let requests = request.repeat(BATCH);
    let batches_per_second = READS_PER_SECOND / (READERS * BATCH) as u32;
    let begun = Instant::now();
    let mut batches = 0;
    while begun.elapsed() < DURATION {
        if matches!(reads, Reads::None) {
            thread::park_timeout(DURATION.saturating_sub(begun.elapsed()));
            continue;
        }
        connection.send(&requests);
        for _ in 0..BATCH {
            assert_eq!(connection.answer().0, 200);
        }
        batches += 1;
        if matches!(reads, Reads::AtPace) {
            keep_pace(begun, batches_per_second, batches);
        }
    }
    batches as usize * BATCH
}

/// Reads a second, and how long orders of the first node took beside them.
fn read_and_trade(addresses: &[String; 2], reads: Reads) -> (f64, Vec<Duration>) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sides = [(&addresses[0], "sell"), (&addresses[1], "buy")];
        let stop = &stop;
        let traders = sides.map(|(address, side)| scope.spawn(move || trade(address, side, stop)));
        let readers: Vec<_> = (0..READERS)
            .map(|_| scope.spawn(|| read(&addresses[0], reads)))
            .collect();
        let readers = readers.into_iter();
        let count: usize = readers.map(|it| it.join().expect("it works")).sum();
        stop.store(true, Ordering::Relaxed);
        let [times, _] = traders.map(|trader| trader.join().expect("it works"));
        (count as f64 / DURATION.as_secs_f64(), times)
    })
}

#[test]
#[ignore = "a benchmark: it needs the machine for itself, and a release build"]
fn speed_of_books_and_of_orders() {
    let plan = |name| Plan::named(name).set("limits.enabled", "false");
    move_to(0);
    let first = Node::start(plan("first"));
    move_to(1);
    let mut second = Node::start(plan("second").dials(&first.address()));
    second.wait_for_peers(1);
    let addresses = [&first, &second].map(|node| Client::of(node).address().to_owned());
    place_steadily(&addresses[0], 1, 200);
    let mut p99_ms = Vec::new();
    for (connections, orders) in [(1, 2_000), (2, 4_000), (8, 4_000)] {
        let mut times = place_steadily(&addresses[0], connections, orders);
        let (p50, p99) = (at(&mut times, 500), at(&mut times, 990));
        println!(
            "{connections} connections: an order until on disk, p50 {p50:.2}, p99 {p99:.2} ms"
        );
        p99_ms.push(p99);
    }
    let [_, at_pace, all] = [Reads::None, Reads::AtPace, Reads::All].map(|reads| {
        let (per_second, mut times) = read_and_trade(&addresses, reads);
        let (p50, p99) = (at(&mut times, 500), at(&mut times, 990));
        println!("{per_second:.0} reads a second; an order beside: p50 {p50:.2}, p99 {p99:.2} ms");
        per_second
    });
    let trades = Client::at(&addresses[0]).json("/api/v1/trades?limit=100");
    let count = trades["trades"].as_array().map(Vec::len);
    assert_eq!(count, Some(100), "they traded");
    assert!(at_pace > 0.95 * f64::from(READS_PER_SECOND), "it keeps up");
    assert!(all >= f64::from(READS_PER_SECOND));
    // What docs/PERFORMANCE.md says of more connections, and beside reads, is short of this aim.
    assert!(p99_ms[0] < 5.0, "{p99_ms:?}");
}
