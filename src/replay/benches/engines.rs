//! What each engine costs on patterns A, B and C.

mod files;
mod plain;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use bitfitech_core::matching::{Action, BATCH_MAX, Book, Engine, Mark, Oracle};
use bitfitech_replay::generator::Pattern;
use bitfitech_replay::order_file::OrderFile;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use self::plain::{ByFirstBytes, PlainBook};

/// Measured operations of a file. The oracle reads its whole book for each, so it gets fewer.
const OPERATIONS: u64 = 200_000;
const OPERATIONS_ORACLE: u64 = 5_000;

/// Loads an engine, then times the measured part.
fn timed<State>(
    file: &OrderFile,
    rounds: u64,
    start: impl Fn() -> State,
    mut batch: impl FnMut(&mut State, &[Action]),
) -> Duration {
    let (load, measured) = file.actions.split_at(file.measured_from);
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
    }
    oracle(criterion);
}

fn oracle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("oracle");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(OPERATIONS_ORACLE));
    for (name, pattern) in [("A", Pattern::A), ("B", Pattern::B)] {
        let file = files::generated(pattern, OPERATIONS_ORACLE);
        group.bench_function(BenchmarkId::new("oracle", name), |bencher| {
            bencher.iter_custom(|rounds| timed(&file, rounds, Oracle::new, run_and_forget));
        });
    }
    group.finish();
}

criterion_group!(all, engines);
criterion_main!(all);
