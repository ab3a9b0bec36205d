//! Running a file through the engine, in four passes.
//!
//! The first pass touches the memory that the others need, as an engine that has been up for a
//! while has it: a page that is touched for the first time costs more than ten operations. The
//! second is timed and does nothing else: batches of at most 64 actions, with look-ahead, undo
//! records kept for as many actions as a replica keeps them, effects thrown away. The third reads
//! a clock around each action. The fourth, with a fresh engine, collects what is exact: trades,
//! sums, digests.

use std::collections::VecDeque;
use std::time::Instant;

use bitfitech_core::hex;
use bitfitech_core::market::Market;
use bitfitech_core::matching::{Action, BATCH_MAX, Book, Effect, EndReason, Engine, Mark};
use bitfitech_core::types::{OrderId, Side, Ticks};
use sha2::{Digest, Sha256};

use crate::histogram::Histogram;
use crate::id_index::IdIndex;
use crate::memory;
use crate::order_file::OrderFile;

/// How many actions can be taken back: what a replica does in the two seconds up to which it takes
/// late operations at once (docs/PROTOCOL.md, "Replica"), at 4,000 actions a second.
const UNDO_ACTIONS: usize = 8192;

/// How long the timed pass took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// Wall time of the measured part.
    pub(crate) measured_s: f64,
    /// Processor time of the measured part, or wall time where the system does not tell.
    pub(crate) busy_ns: f64,
    pub(crate) trades: u64,
}

/// What is exact about a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) trades: u64,
    pub(crate) volume: u128,
    /// In ticks times lots. It fits: see [`crate::notional`].
    pub(crate) notional: u128,
    pub(crate) best_bid: Option<Ticks>,
    pub(crate) best_ask: Option<Ticks>,
    pub(crate) resting: u64,
    pub(crate) trades_sha256: String,
    pub(crate) book_sha256: String,
}

/// An engine as a replica drives it.
pub(crate) struct Driver {
    book: Book,
    effects: Vec<Effect>,
    /// Where each of the last batches started.
    marks: VecDeque<Mark>,
}

impl Driver {
    fn new() -> Self {
        // Nobody chooses these ids against this table, so any key does.
        let book = Book::new(&[0; 32]);
        Self {
            book,
            effects: Vec::new(),
            marks: VecDeque::new(),
        }
    }

    /// An empty engine that has run the file before.
    pub(crate) fn warm(file: &OrderFile) -> Self {
        let mut driver = Self::new();
        driver.run(&file.actions, |_| {});
        driver.empty(file);
        driver
    }

    /// Ends all orders, the newest first, so that their places are used again in the order of the
    /// file.
    pub(crate) fn empty(&mut self, file: &OrderFile) {
        for action in file.actions.iter().rev() {
            if let Action::Place(order) = action {
                let reason = EndReason::Cancelled;
                self.book.end(&order.id, reason, &mut self.effects);
                self.effects.clear();
            }
            self.book.forget_before(self.book.mark());
        }
        self.marks.clear();
        assert!(self.book.is_empty(), "every order was placed by the file");
    }

    /// Runs actions in batches and lets `after` see the effects of each batch.
    fn run(&mut self, actions: &[Action], mut after: impl FnMut(&[Effect])) {
        for batch in actions.chunks(BATCH_MAX) {
            self.start(batch);
            for action in batch {
                self.book.execute(action, &mut self.effects);
            }
            after(&self.effects);
            self.effects.clear();
        }
    }

    fn start(&mut self, batch: &[Action]) {
        self.marks.push_back(self.book.mark());
        if self.marks.len() > UNDO_ACTIONS / BATCH_MAX
            && let Some(oldest) = self.marks.pop_front()
        {
            self.book.forget_before(oldest);
        }
        self.book.prepare(batch);
    }
}

fn count_trades(effects: &[Effect]) -> u64 {
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Fill { .. }))
        .count() as u64
}

/// The timed pass, with an engine that is empty.
pub(crate) fn time(driver: &mut Driver, file: &OrderFile) -> Timing {
    let (load, measured) = file.actions.split_at(file.measured_from);
    let mut trades = 0;
    driver.run(load, |effects| trades += count_trades(effects));
    let (started, busy_before) = (Instant::now(), memory::thread_time_ns());
    driver.run(measured, |effects| trades += count_trades(effects));
    let busy_after = memory::thread_time_ns();
    let measured_s = started.elapsed().as_secs_f64();
    let busy_ns = busy_after
        .zip(busy_before)
        .map(|(after, before)| (after - before) as f64);
    Timing {
        measured_s,
        busy_ns: busy_ns.unwrap_or(measured_s * 1e9),
        trades,
    }
}

/// The pass with clock reads, with an engine that is empty.
pub(crate) fn latencies(driver: &mut Driver, file: &OrderFile) -> Histogram {
    let (load, measured) = file.actions.split_at(file.measured_from);
    driver.run(load, |_| {});
    let mut histogram = Histogram::new();
    for batch in measured.chunks(BATCH_MAX) {
        driver.start(batch);
        for action in batch {
            let started = Instant::now();
            driver.book.execute(action, &mut driver.effects);
            histogram.add(started.elapsed().as_nanos() as u64);
        }
        driver.effects.clear();
    }
    histogram
}

/// The pass that collects. Calls `progress` with the number of actions done.
pub(crate) fn collect(file: &OrderFile, market: &Market, mut progress: impl FnMut(u64)) -> Outcome {
    let index = IdIndex::new(&file.actions);
    let name = |id: OrderId| {
        index
            .find(&file.actions, &id)
            .map_or("", |number| file.name(number))
    };
    let mut driver = Driver::new();
    let mut outcome = Outcome::default();
    let (mut trades, mut lines) = (Sha256::new(), String::new());
    driver.run(&file.actions, |effects| {
        lines.clear();
        for effect in effects {
            let Effect::Fill {
                maker,
                taker,
                price,
                quantity,
                ..
            } = effect
            else {
                continue;
            };
            outcome.trades += 1;
            outcome.volume += u128::from(quantity.0);
            outcome.notional += u128::from(price.0) * u128::from(quantity.0);
            let quantity = market.quantity_text(quantity.0.into());
            let (maker, taker, price) = (name(*maker), name(*taker), market.price_text(*price));
            lines.extend([maker, ",", taker, ",", &price, ",", &quantity, "\n"]);
        }
        trades.update(lines.as_bytes());
        progress(BATCH_MAX as u64);
    });
    let mut book = Sha256::new();
    for side in [Side::Buy, Side::Sell] {
        for order in driver.book.front(side) {
            let quantity = market.quantity_text(order.remaining.0.into());
            let (side, price) = (side.name(), market.price_text(order.price));
            book.update(format!("{side},{price},{},{quantity}\n", name(order.id)));
        }
    }
    let best = |side| driver.book.front(side).next().map(|order| order.price);
    outcome.best_bid = best(Side::Buy);
    outcome.best_ask = best(Side::Sell);
    outcome.resting = driver.book.len() as u64;
    outcome.trades_sha256 = hex::text(&trades.finalize());
    outcome.book_sha256 = hex::text(&book.finalize());
    outcome
}
