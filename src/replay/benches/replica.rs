//! The replica on the same order files: sorted log, engine with undo, rows and reported changes.
//!
//! Each operation carries up to 64 actions, as a node under load writes them, and is merged by
//! itself, as at a tick. Operations are built before the measurement: what is measured is what a
//! node does with an operation that was decoded and verified.

mod files;

use std::collections::HashMap;
use std::io::{self, Write};

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_core::matching::{self, Book, Owner};
use bitfitech_core::op::{ACTIONS_MAX, Action, Body, OPERATION_VERSION, Place, Verified};
use bitfitech_core::order_log::Position;
use bitfitech_core::replica::Replica;
use bitfitech_core::types::{AuthorKey, HybridTime, MarketIndex, OrderId};
use bitfitech_replay::generator::Pattern;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

/// Rounds over each file; the median counts.
const ROUNDS: usize = 3;

/// Processor time of this thread, which other programs disturb less than wall time.
fn thread_time_ns() -> u64 {
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = statistics.split_whitespace().next();
    first
        .and_then(|text| text.parse().ok())
        .expect("nanoseconds")
}

/// The built-in network.
fn genesis() -> Genesis {
    let market = Market::new(&MarketSpec {
        pair: "BTC/USD",
        tick: "0.01",
        lot: "0.00000001",
        max_price: "1000000",
        max_quantity: "1000000",
    });
    Genesis {
        network: "bench".to_owned(),
        markets: vec![market.expect("a valid market")],
        bucket_ms: 50,
        lease_ms: 90_000,
        answer_ms: 15_000,
        allow_list: Vec::new(),
    }
}

/// An order file as signed operations; the orders of one operation have one of many authors.
struct Operations {
    operations: Vec<(Verified, Owner)>,
    measured_from: usize,
    measured_actions: usize,
}

fn operations(pattern: Pattern, count: u64) -> Operations {
    let file = files::generated(pattern, count);
    let (genesis, market) = (genesis(), MarketIndex(0));
    let digest = genesis.digest();
    let keys: Vec<SigningKey> = (1..=250).map(|seed| SigningKey::from([seed; 32])).collect();
    let mut ids: HashMap<OrderId, OrderId> = HashMap::new();
    let mut operations = Vec::new();
    let mut measured_from = None;
    for (number, batch) in file.actions.chunks(ACTIONS_MAX).enumerate() {
        let author = number % keys.len();
        let actions = batch.iter().map(|action| match action {
            matching::Action::Place(order) => Action::Place(Place {
                market,
                side: order.side,
                pricing: order.pricing,
                quantity: order.quantity,
                time_in_force: order.time_in_force,
                self_trade: matching::SelfTrade::CancelNewest,
                expires_ms: None,
            }),
            matching::Action::Cancel { order, .. } => Action::Cancel {
                market,
                order: ids.get(order).copied().unwrap_or(*order),
            },
            _ => unreachable!("order files place and cancel"),
        });
        let body = Body {
            version: OPERATION_VERSION,
            author: AuthorKey(VerificationKeyBytes::from(&keys[author]).into()),
            seq: 0,
            prev: None,
            time: HybridTime::from_unix_ms(1_700_000_000_000 + number as u64),
            refs: Vec::new(),
            checkpoint: 0,
            actions: actions.collect(),
        };
        let signed = Verified::sign(body, &keys[author], &genesis, &digest).expect("valid");
        for (index, action) in (0..).zip(batch) {
            if let matching::Action::Place(order) = action {
                ids.insert(order.id, OrderId::new(&signed.id(), index));
            }
        }
        if number * ACTIONS_MAX >= file.measured_from {
            measured_from.get_or_insert(operations.len());
        }
        operations.push((signed, Owner(u32::try_from(author).expect("small"))));
    }
    let measured_from = measured_from.expect("something is measured");
    let measured = operations[measured_from..].iter();
    let measured_actions = measured
        .map(|(operation, _)| operation.body().actions.len())
        .sum();
    Operations {
        operations,
        measured_from,
        measured_actions,
    }
}

/// Nanoseconds for each measured action, and changes reported for each.
fn run(file: &Operations) -> (f64, f64) {
    let mut replica = Replica::new(&genesis(), &[0; 32], [Book::new(&[0; 32])]);
    let mut started_ns = 0;
    let mut changes = 0;
    for (number, (operation, owner)) in file.operations.iter().enumerate() {
        if number == file.measured_from {
            started_ns = thread_time_ns();
            changes = 0;
        }
        // As if each author had seen the operation before his own.
        let depth = u32::try_from(number).expect("few operations");
        let bucket = operation.body().time.unix_ms() / 50;
        let position = Position { bucket, depth };
        replica.stage(operation, *owner, position, 0);
        changes += replica.merge(number as u64).len();
    }
    let elapsed_ns = thread_time_ns() - started_ns;
    let actions = file.measured_actions as f64;
    (elapsed_ns as f64 / actions, changes as f64 / actions)
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "replica, ns for each action (changes reported for each)"
    )?;
    for (name, pattern) in [("A", Pattern::A), ("B", Pattern::B), ("C", Pattern::C)] {
        let file = operations(pattern, 500_000);
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| run(&file)).collect();
        rounds.sort_by(|first, second| first.0.total_cmp(&second.0));
        let (ns, changes) = rounds[ROUNDS / 2];
        writeln!(out, "{name}: {ns:.0} ({changes:.2})")?;
    }
    Ok(())
}
