//! What a run reports, for people and for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

/// All figures of a run. Amounts are exact decimal strings; what the system does not tell is null.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Orders placed by the file.
    pub orders: u64,
    /// Fills.
    pub trades: u64,
    /// The sum of the quantities of all fills.
    pub volume: String,
    /// The sum of quantity times price of all fills.
    pub notional: String,
    /// The best price of the buy side at the end.
    pub best_bid: Option<String>,
    /// The best price of the sell side at the end.
    pub best_ask: Option<String>,
    /// Orders that rest at the end.
    pub resting: u64,
    /// SHA-256 of a line for each fill, in order of execution.
    pub trades_sha256: String,
    /// SHA-256 of a line for each resting order: buys, then sells, best first, in queue order.
    pub book_sha256: String,
    /// Processor time of the engine for each measured action.
    pub engine_ns_per_op: f64,
    /// Wall time of the measured part.
    pub measured_s: f64,
    /// Measured actions in a second of wall time.
    pub ops_per_s: f64,
    /// Median latency of an action, clock reads included.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Most memory that the process had at any time up to the end of the timed passes, in MiB.
    pub peak_rss_mb: Option<f64>,
    /// Memory of the process with the input loaded, before the first order, in MiB.
    pub input_rss_mb: Option<f64>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A line for each figure.
    Text,
    /// One JSON object in one line.
    Json,
}

impl Report {
    /// All figures with their names, in the order of the text form.
    pub fn figures(&self) -> [(&'static str, Value); 17] {
        [
            ("orders", json!(self.orders)),
            ("trades", json!(self.trades)),
            ("volume", json!(self.volume)),
            ("notional", json!(self.notional)),
            ("best_bid", json!(self.best_bid)),
            ("best_ask", json!(self.best_ask)),
            ("resting", json!(self.resting)),
            ("trades_sha256", json!(self.trades_sha256)),
            ("book_sha256", json!(self.book_sha256)),
            ("engine_ns_per_op", json!(self.engine_ns_per_op)),
            ("measured_s", json!(self.measured_s)),
            ("ops_per_s", json!(self.ops_per_s)),
            ("p50_ns", json!(self.p50_ns)),
            ("p99_ns", json!(self.p99_ns)),
            ("p999_ns", json!(self.p999_ns)),
            ("peak_rss_mb", json!(self.peak_rss_mb)),
            ("input_rss_mb", json!(self.input_rss_mb)),
        ]
    }

    /// Writes all figures.
    pub fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        if output == Output::Json {
            let figures = self
                .figures()
                .map(|(name, value)| format!("\"{name}\":{value}"));
            return writeln!(out, "{{{}}}", figures.join(","));
        }
        for (name, value) in self.figures() {
            match value {
                Value::String(text) => writeln!(out, "{name:<17} {text}")?,
                Value::Null => writeln!(out, "{name:<17} -")?,
                number => writeln!(out, "{name:<17} {number}")?,
            }
        }
        Ok(())
    }
}
