//! Who comes late gets the whole history from a peer, is told how far it is, and ends equal.
//!
//! A short history in the test command; for a long one
//!
//! ```sh
//! OPERATIONS=1000000 cargo nextest run --release --profile nightly --no-capture \
//!     --test e2e late_joiner::
//! ```

use std::env;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitfitech_core::matching::{Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{self, Action, Verified};
use bitfitech_core::types::{Lots, MarketIndex, OpId, OrderId, Side, Ticks};
use ed25519_zebra::SigningKey;

use crate::forger::{Forger, Place};
use crate::support::agreement::digest;
use crate::support::node::Node;
use crate::support::plan::Plan;
use crate::support::waiting::look_until;

/// Operations of a run for which no other number is given.
const OPERATIONS_DEFAULT: u64 = 20_000;

/// Who wrote them, in turn.
const AUTHORS: u64 = 20;

/// Of so many orders of an author, one is in reach of the other side; the rest rest until he
/// cancels them.
const TRADES_EVERY: u64 = 10;

/// How long a node may take to read a long history, or to get it.
const PATIENCE: Duration = Duration::from_secs(600);

/// A limit order.
fn order(side: Side, price: u64) -> Action {
    Action::Place(op::Place {
        market: MarketIndex(0),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(1_000),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    })
}

/// What the author of this number does at this place of his chain: an order, and next its end.
fn action(author: u64, seq: u64, prev: Option<OpId>) -> Action {
    let round = seq / 2;
    let is_crossing = round % TRADES_EVERY == author % TRADES_EVERY;
    match prev.filter(|_| seq % 2 == 1) {
        Some(prev) => Action::Cancel {
            market: MarketIndex(0),
            order: OrderId::new(&prev, 0),
        },
        None if author % 2 == 0 => {
            order(Side::Buy, if is_crossing { 3_010_000 } else { 2_990_000 })
        }
        None => order(Side::Sell, if is_crossing { 2_990_000 } else { 3_010_000 }),
    }
}

/// Makes a store with a history of so many operations in this data directory.
fn make_history(data_dir: &Path, operations: u64) {
    let keys = (0..AUTHORS).map(|author| SigningKey::from([author as u8 + 1; 32]));
    let authors: Vec<Forger> = keys.map(Forger::with).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let begin_ms = now.expect("after 1970").as_millis() as u64 - operations - 60_000;
    let mut heads: Vec<Option<OpId>> = vec![None; authors.len()];
    let mut before: Option<OpId> = None;
    let mut history: Vec<Vec<u8>> = Vec::new();
    for number in 0..operations {
        let (author, seq) = (number % AUTHORS, number / AUTHORS);
        let head = &mut heads[author as usize];
        let place = Place {
            seq,
            prev: *head,
            unix_ms: begin_ms + number,
        };
        let actions = vec![action(author, seq, *head)];
        let refs = before.into_iter().collect();
        let written: Verified = authors[author as usize].operation(place, refs, actions);
        (*head, before) = (Some(written.id()), Some(written.id()));
        history.push(written.wire().to_vec());
    }
    authors[0].make_store(data_dir, &history);
}

#[test]
fn who_comes_late_is_told_how_far_it_is_and_ends_equal() {
    let operations: u64 = env::var("OPERATIONS").map_or(OPERATIONS_DEFAULT, |count| {
        count.parse().expect("OPERATIONS must be a whole number")
    });
    let begin = Instant::now();
    let plan = |name: &str| Plan::named(name).set("log.level", "warn");
    let mut old = Node::start_prepared(plan("old"), |data_dir| make_history(data_dir, operations));
    let settled = look_until(Instant::now() + PATIENCE, || {
        (digest(&mut old)["operations"] == operations).then_some(())
    });
    assert!(settled.is_some(), "the history is read");
    println!("made and read in {:.1} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let mut late = Node::start(plan("late").dials(&old.address()));
    let equal = look_until(Instant::now() + PATIENCE, || {
        (digest(&mut late) == digest(&mut old)).then_some(())
    });
    let lasted = begin.elapsed().as_secs_f64();
    assert!(equal.is_some(), "the late one ends equal");
    println!(
        "{operations} operations in {lasted:.2} s: {:.0} a second; {} KiB of memory",
        operations as f64 / lasted,
        late.memory_kb()
    );
    let progress = late.wait_for_event("progress", |event| event["event"] == "sync");
    assert!(
        progress["received"].as_u64() < progress["total"].as_u64(),
        "{progress}"
    );
    assert!(progress["total"].as_u64() <= Some(operations), "{progress}");
}
