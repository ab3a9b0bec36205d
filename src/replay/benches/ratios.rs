//! The engine against a plain book, interleaved in one run: medians and ratios.
//!
//! Criterion measures one thing after the other, so a busy machine can favour either. Here each
//! round runs each engine on each file, and the medians over the rounds are compared.
//!
//! `OPERATIONS` sets how many operations a file has, `FILES` which of them run (`A,B,C,hostile`).

mod files;
mod plain;
mod signed;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::io::{self, Write};

use bitfitech_core::matching::{
    Action, BATCH_MAX, Book, Effect, Engine, Handle, NewOrder, Owner, Pricing, SelfTrade,
    TimeInForce,
};
use bitfitech_core::types::{Lots, Side, Ticks};
use bitfitech_replay::generator::Pattern;
use bitfitech_replay::order_file::order_id;

use self::plain::{ByFirstBytes, PlainBook};
use self::signed::Operations;

const ROUNDS: usize = 7;

/// Actions that can be taken back, as in a replica.
const UNDO_ACTIONS: usize = 8192;

/// Processor time of this thread, which other programs disturb less than wall time. The kernel
/// brings it up to date when the thread gives way.
fn thread_time_ns() -> u64 {
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = statistics
        .split_whitespace()
        .next()
        .expect("a first number");
    first.parse().expect("nanoseconds")
}

/// What to run, and from where on to measure.
struct Input {
    actions: Vec<Action>,
    measured_from: usize,
}

fn generated(pattern: Pattern, operations: u64) -> Input {
    let file = files::generated(pattern, operations);
    Input {
        actions: file.actions,
        measured_from: file.measured_from,
    }
}

/// Runs the actions in batches and returns ns for each measured one, and the number of fills.
fn run(file: &Input, mut batch: impl FnMut(usize, &mut Vec<Effect>)) -> (f64, usize) {
    let mut effects = Vec::new();
    let mut fills = 0;
    let mut started_ns = thread_time_ns();
    for start in (0..file.actions.len()).step_by(BATCH_MAX) {
        if start == file.measured_from.next_multiple_of(BATCH_MAX) {
            started_ns = thread_time_ns();
        }
        batch(start, &mut effects);
        fills += effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Fill { .. }))
            .count();
        effects.clear();
    }
    let measured = file.actions.len() - file.measured_from;
    (
        (thread_time_ns() - started_ns) as f64 / measured as f64,
        fills,
    )
}

fn plain<Hash: BuildHasher + Default>(file: &Input) -> (f64, usize) {
    let mut book = PlainBook::<Hash>::default();
    run(file, |start, effects| {
        for action in file.actions[start..].iter().take(BATCH_MAX) {
            book.execute(action, effects);
        }
    })
}

fn fast(file: &Input, look_ahead: bool) -> (f64, usize) {
    let mut book = Book::new(&[0; 32]);
    let mut marks = VecDeque::new();
    run(file, |start, effects| {
        marks.push_back(book.mark());
        if marks.len() > UNDO_ACTIONS / BATCH_MAX {
            book.forget_before(marks.pop_front().expect("there are marks"));
        }
        let batch = &file.actions[start..file.actions.len().min(start + BATCH_MAX)];
        if look_ahead {
            book.prepare(batch);
        }
        for action in batch {
            book.execute(action, effects);
        }
    })
}

/// What the replica took for the same actions.
struct Replicated {
    /// Nanoseconds for each of those that are measured.
    time: f64,
    /// Changes reported for each.
    changes: f64,
    /// Bytes kept of each.
    bytes: f64,
    /// Nanoseconds for each action of the file to hash it in advance for digests.
    hashing: f64,
    /// Milliseconds for the digests when that is done, and those of the books were made before.
    digests: f64,
}

/// The replica on the same actions.
fn replica(operations: &Operations, file: &Input) -> Replicated {
    let mut replica = operations.replica();
    for number in 0..operations.measured_from {
        operations.apply(number, &mut replica);
    }
    let before = replica.memory_bytes();
    let started_ns = thread_time_ns();
    let mut changes = 0;
    for number in operations.measured_from..operations.len() {
        changes += operations.apply(number, &mut replica);
    }
    let elapsed_ns = thread_time_ns() - started_ns;
    let bytes = replica.memory_bytes() - before;
    let done_ns = thread_time_ns();
    replica.prepare_digests(usize::MAX);
    let hashed_ns = thread_time_ns();
    black_box(replica.digests());
    let made_ns = thread_time_ns();
    black_box(replica.digests());
    let measured = (file.actions.len() - file.measured_from) as f64;
    Replicated {
        time: elapsed_ns as f64 / measured,
        changes: changes as f64 / measured,
        bytes: bytes as f64 / measured,
        hashing: (hashed_ns - done_ns) as f64 / file.actions.len() as f64,
        digests: (thread_time_ns() - made_ns) as f64 / 1e6,
    }
}

/// Levels spread over the whole range of prices, the two ends in turn, then all cancelled.
fn hostile(operations: u64) -> Input {
    let order = |number: u64| {
        let side = if number.is_multiple_of(2) {
            Side::Buy
        } else {
            Side::Sell
        };
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 49_000_000;
        let price = match side {
            Side::Buy => 1 + spread,
            Side::Sell => 100_000_000 - spread,
        };
        Action::Place(NewOrder {
            id: order_id(&number.to_string()),
            handle: Handle::default(),
            owner: Owner(0),
            side,
            pricing: Pricing::Limit(Ticks(price)),
            quantity: Lots(1),
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::Allow,
        })
    };
    let cancel = |number: u64| Action::Cancel {
        order: order_id(&number.to_string()),
        by: Owner(0),
    };
    let placed = operations / 2;
    let actions = (0..placed)
        .map(order)
        .chain((0..placed).map(cancel))
        .collect();
    Input {
        actions,
        measured_from: 0,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> io::Result<()> {
    let operations = std::env::var("OPERATIONS")
        .ok()
        .and_then(|text| text.parse().ok());
    let operations = operations.unwrap_or(1_000_000);
    let wanted = std::env::var("FILES").unwrap_or("A,B,C,hostile".to_owned());
    let files = wanted.split(',').map(|name| match name {
        "A" => (name, generated(Pattern::A, operations)),
        "B" => (name, generated(Pattern::B, operations)),
        "C" => (name, generated(Pattern::C, operations)),
        "hostile" => (name, hostile(operations)),
        other => panic!("there is no file {other}"),
    });
    let mut out = io::stdout();
    writeln!(out, "ns per operation, medians of {ROUNDS} rounds")?;
    for (name, file) in files {
        let file = &file;
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let plain = [plain::<RandomState>(file), plain::<ByFirstBytes>(file)];
            let results = [plain[0], plain[1], fast(file, false), fast(file, true)];
            assert!(
                results.iter().all(|(_, fills)| *fills == results[0].1),
                "same trades"
            );
            for (times, (time, _)) in times.iter_mut().zip(results) {
                times.push(time);
            }
        }
        let [plain, quick, alone, ahead] = times.map(median);
        writeln!(
            out,
            "{name:<8} plain {plain:6.1}  unkeyed {quick:6.1}  book {alone:6.1} ({:.2})  \
             with look-ahead {ahead:6.1} ({:.2}, of unkeyed {:.2})",
            alone / plain,
            ahead / plain,
            ahead / quick,
        )?;
        let operations = signed::operations(&file.actions, file.measured_from);
        let rounds: Vec<Replicated> = (0..ROUNDS).map(|_| replica(&operations, file)).collect();
        let of = |figure: fn(&Replicated) -> f64| median(rounds.iter().map(figure).collect());
        writeln!(
            out,
            "{:8} replica {:6.1}  changes reported {:.2}  bytes kept {:.0}  \
             hashed in advance {:.0}  then digests {:.1} ms",
            "",
            of(|it| it.time),
            of(|it| it.changes),
            of(|it| it.bytes),
            of(|it| it.hashing),
            of(|it| it.digests),
        )?;
    }
    Ok(())
}
