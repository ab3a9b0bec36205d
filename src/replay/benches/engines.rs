//! What each engine costs on patterns A, B and C.

mod files;
mod plain;
mod signed;

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use bitfitech_core::matching::{Action, BATCH_MAX, Book, Engine, Mark, Oracle};
use bitfitech_core::replica::Replica;
use bitfitech_replay::generator::Pattern;
use bitfitech_replay::order_file::OrderFile;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use self::plain::{ByFirstBytes, PlainBook};
use self::signed::Operations;

/// Measured operations of a file. The oracle reads its whole book for each, so it gets fewer, and
/// of the orders that C begins with as many as it can bear.
const OPERATIONS: u64 = 200_000;
const OPERATIONS_ORACLE: usize = 2_000;
const LOADED_ORACLE: usize = 2_000;

/// Loads an engine, then times the measured part.
fn timed<State>(
    file: &OrderFile,
    rounds: u64,
    start: impl Fn() -> State,
    batch: impl FnMut(&mut State, &[Action]),
) -> Duration {
    let (load, measured) = file.actions.split_at(file.measured_from);
    timed_actions((load, measured), rounds, start, batch)
}

/// Loads an engine with the first actions, then times the others.
fn timed_actions<State>(
    (load, measured): (&[Action], &[Action]),
    rounds: u64,
    start: impl Fn() -> State,
    mut batch: impl FnMut(&mut State, &[Action]),
) -> Duration {
    (0..rounds)
        .map(|_| {
            let mut state = start();
            load.chunks(BATCH_MAX)
                .for_each(|actions| batch(&mut state, actions));
            let started = Instant::now();
            measured
                .chunks(BATCH_MAX)
                .for_each(|actions| batch(&mut state, actions));
            started.elapsed()
        })
        .sum()
}

fn run_engine(engine: &mut impl Engine, actions: &[Action]) {
    let mut effects = Vec::with_capacity(4 * BATCH_MAX);
    engine.prepare(actions);
    for action in actions {
        engine.execute(action, &mut effects);
    }
}

fn run_plain<Hash: BuildHasher>(book: &mut PlainBook<Hash>, actions: &[Action]) {
    let mut effects = Vec::with_capacity(4 * BATCH_MAX);
    actions
        .iter()
        .for_each(|action| book.execute(action, &mut effects));
}

/// Does a batch, takes it back, does it again, and forgets what came before it.
fn run_with_undo(engine: &mut impl Engine, actions: &[Action]) {
    let mark: Mark = engine.mark();
    run_engine(engine, actions);
    engine.undo_to(mark);
    run_engine(engine, actions);
    engine.forget_before(mark);
}

fn run_and_forget(engine: &mut impl Engine, actions: &[Action]) {
    engine.forget_before(engine.mark());
    run_engine(engine, actions);
}

fn engines(criterion: &mut Criterion) {
    for (name, pattern) in [("A", Pattern::A), ("B", Pattern::B), ("C", Pattern::C)] {
        let file = files::generated(pattern, OPERATIONS);
        let mut group = criterion.benchmark_group("engine");
        group
            .sample_size(10)
            .throughput(Throughput::Elements(OPERATIONS));
        let book = || Book::new(&[0; 32]);
        group.bench_function(BenchmarkId::new("plain", name), |bencher| {
            bencher.iter_custom(|rounds| {
                timed(&file, rounds, PlainBook::<RandomState>::default, run_plain)
            });
        });
        group.bench_function(BenchmarkId::new("plain, unkeyed", name), |bencher| {
            bencher.iter_custom(|rounds| {
                timed(&file, rounds, PlainBook::<ByFirstBytes>::default, run_plain)
            });
        });
        group.bench_function(BenchmarkId::new("book", name), |bencher| {
            bencher.iter_custom(|rounds| timed(&file, rounds, book, run_and_forget));
        });
        group.bench_function(
            BenchmarkId::new("book, undone and redone", name),
            |bencher| {
                bencher.iter_custom(|rounds| timed(&file, rounds, book, run_with_undo));
            },
        );
        group.finish();
        replica(criterion, name, &file);
        oracle(criterion, name, &file);
    }
}

/// The replica: order log, engine with undo, rows, and the changes that it reports.
fn replica(criterion: &mut Criterion, name: &str, file: &OrderFile) {
    let operations = signed::operations(&file.actions, file.measured_from);
    let mut group = criterion.benchmark_group("replica");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(OPERATIONS));
    group.bench_function(
        BenchmarkId::new("64 actions an operation", name),
        |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| timed_replica(&operations)).sum());
        },
    );
    group.finish();
}

/// Loads a replica, then times the measured operations.
fn timed_replica(operations: &Operations) -> Duration {
    let mut replica = operations.replica();
    let apply_all = |numbers: Range<usize>, replica: &mut Replica<Book>| {
        let changes: usize = numbers
            .map(|number| operations.apply(number, replica))
            .sum();
        black_box(changes);
    };
    apply_all(0..operations.measured_from, &mut replica);
    let started = Instant::now();
    apply_all(operations.measured_from..operations.len(), &mut replica);
    started.elapsed()
}

fn oracle(criterion: &mut Criterion, name: &str, file: &OrderFile) {
    let (load, measured) = file.actions.split_at(file.measured_from);
    let load = &load[load.len().saturating_sub(LOADED_ORACLE)..];
    let measured = &measured[..OPERATIONS_ORACLE];
    let mut group = criterion.benchmark_group("oracle");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(OPERATIONS_ORACLE as u64));
    group.bench_function(BenchmarkId::new("oracle", name), |bencher| {
        bencher.iter_custom(|rounds| {
            timed_actions((load, measured), rounds, Oracle::new, run_and_forget)
        });
    });
    group.finish();
}

criterion_group!(all, engines);
criterion_main!(all);
