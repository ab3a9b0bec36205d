//! `bitfitech replay`: order files, made, read, and run through the matching engine.
//!
//! An order file is a list of operations in CSV ([`order_file`]). Running one answers two
//! questions exactly: what happened (trades, sums, the book at the end, and digests of them that
//! another program can compare), and what it cost (time and memory of the engine type that the
//! replica uses, undo records included). [`generator`] makes such files from a seed.

pub mod generator;
mod histogram;
mod id_index;
mod memory;
mod notional;
pub mod order_file;
mod random;
pub mod report;
mod runner;

use core::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use bitfitech_core::market::Market;
use indicatif::{ProgressBar, ProgressStyle};

use self::generator::Pattern;
use self::notional::notional_text;
use self::order_file::{FileError, OrderFile};
use self::report::{Output, Report};
use self::runner::Driver;

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a file and report.
    Run {
        /// The order file.
        file: PathBuf,
        /// Whose units and limits its prices and quantities have.
        market: Market,
        /// How to report.
        output: Output,
    },
    /// Make a file. Prices have two decimals, quantities eight.
    Generate {
        /// The mix of operations.
        pattern: Pattern,
        /// How many operations are measured.
        operations: u64,
        /// Equal seeds make equal files.
        seed: u64,
        /// Where to write it.
        file: PathBuf,
    },
}

/// Why a command failed.
#[derive(Debug)]
pub enum ReplayError {
    /// The order file cannot be read or is wrong; nothing has run.
    Read {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: FileError,
    },
    /// The new order file cannot be written.
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The report cannot be written.
    Report(io::Error),
    /// Two passes over the file did not trade the same: the engine is broken.
    Unstable,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(out, "{}: {error}", file.display()),
            Self::Write { file, error } => {
                write!(out, "cannot write {}: {error}", file.display())
            }
            Self::Report(error) => write!(out, "cannot write the report: {error}"),
            Self::Unstable => out.write_str(
                "two runs of one file gave different trades; please report this with the file",
            ),
        }
    }
}

impl core::error::Error for ReplayError {}

/// Does what the command says. The report goes to `out`, the progress to the terminal if standard
/// error is one.
pub fn run(command: &Command, out: &mut dyn Write) -> Result<(), ReplayError> {
    match command {
        Command::Run {
            file,
            market,
            output,
        } => {
            let report = replay(file, market)?;
            report
                .write(*output, out)
                .and_then(|()| out.flush())
                .map_err(ReplayError::Report)
        }
        Command::Generate {
            pattern,
            operations,
            seed,
            file,
        } => write_file(*pattern, *operations, *seed, file).map_err(|error| ReplayError::Write {
            file: file.clone(),
            error,
        }),
    }
}

/// Runs a file and returns the figures.
pub fn replay(file: &Path, market: &Market) -> Result<Report, ReplayError> {
    let read = |error| ReplayError::Read {
        file: file.to_owned(),
        error,
    };
    let orders = read_file(file, market).map_err(read)?;
    let input_rss_mb = memory::resident_mib();
    let mut driver = Driver::warm(&orders);
    let timing = runner::time(&mut driver, &orders);
    driver.empty(&orders);
    let latencies = runner::latencies(&mut driver, &orders);
    let peak_rss_mb = memory::peak_mib();
    drop(driver);
    let progress = bar(orders.actions.len() as u64, "matching");
    let outcome = runner::collect(&orders, market, |count| progress.inc(count));
    progress.finish_and_clear();
    if outcome.trades != timing.trades {
        return Err(ReplayError::Unstable);
    }
    let measured = (orders.actions.len() - orders.measured_from) as f64;
    let price = |price: Option<_>| price.map(|price| market.price_text(price));
    Ok(Report {
        orders: orders.orders() as u64,
        trades: outcome.trades,
        volume: market.quantity_text(outcome.volume),
        notional: notional_text(market, outcome.notional),
        best_bid: price(outcome.best_bid),
        best_ask: price(outcome.best_ask),
        resting: outcome.resting,
        trades_sha256: outcome.trades_sha256,
        book_sha256: outcome.book_sha256,
        engine_ns_per_op: ratio(timing.busy_ns, measured),
        measured_s: timing.measured_s,
        ops_per_s: ratio(measured, timing.measured_s),
        p50_ns: latencies.quantile_ns(500),
        p99_ns: latencies.quantile_ns(990),
        p999_ns: latencies.quantile_ns(999),
        peak_rss_mb,
        input_rss_mb,
    })
}

/// A quotient that is zero where nothing was measured.
fn ratio(value: f64, count: f64) -> f64 {
    if count > 0.0 { value / count } else { 0.0 }
}

fn read_file(path: &Path, market: &Market) -> Result<OrderFile, FileError> {
    let file = File::open(path)?;
    let progress = bar(file.metadata()?.len(), "reading");
    let orders = OrderFile::read(BufReader::new(progress.wrap_read(file)), market);
    progress.finish_and_clear();
    orders
}

fn write_file(pattern: Pattern, operations: u64, seed: u64, path: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let progress = bar(operations, "generating");
    generator::generate(pattern, operations, seed, &mut out, &mut || progress.inc(1))?;
    progress.finish_and_clear();
    out.flush()
}

fn bar(length: u64, message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .expect("the template is right");
    ProgressBar::new(length)
        .with_style(style)
        .with_message(message)
}

#[cfg(test)]
mod tests;
