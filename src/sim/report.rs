//! What a run came to, for people and for programs.

use core::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::Config;
use crate::tally::Tally;

/// The report of a run. All but wall time and memory follow from the settings.
#[derive(Debug)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// Operations of the greatest set.
    pub operations: u64,
    /// Trades that stand.
    pub trades: u64,
    /// The command that runs this again.
    pub command: String,
    /// Whether all honest nodes had equal sets and equal digests in the end.
    pub is_converged: bool,
    /// How many different digests honest nodes had in the end.
    pub distinct_digests: u64,
    /// What is wrong.
    pub violations: Vec<String>,
    /// Final trades that were lost.
    pub final_lost: u64,
    /// From when the network was healed and users had stopped until all sets were equal.
    pub converge_ms: Option<u64>,
    /// Counts.
    pub tally: Tally,
    /// How long the run took.
    pub wall_s: f64,
    /// The most memory that the process had.
    pub peak_rss_mb: Option<f64>,
}

impl Report {
    /// A report of nothing.
    pub fn new(config: &Config) -> Self {
        Self {
            scenario: config.scenario.clone(),
            seed: config.seed,
            nodes: config.nodes,
            operations: 0,
            trades: 0,
            command: config.command(),
            is_converged: false,
            distinct_digests: 0,
            violations: Vec::new(),
            final_lost: 0,
            converge_ms: None,
            tally: Tally::default(),
            wall_s: 0.0,
            peak_rss_mb: None,
        }
    }

    /// The report of a run that ended with a panic.
    pub fn of_panic(config: &Config, text: &str) -> Self {
        Self {
            violations: vec![format!("panic: {text}")],
            ..Self::new(config)
        }
    }

    /// Whether the run is what it should be.
    pub fn is_good(&self) -> bool {
        self.is_converged && self.violations.is_empty() && self.final_lost == 0
    }

    /// The command that runs this again.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// One JSON object.
    pub fn json(&self) -> Value {
        let tally = &self.tally;
        let applied = tally.applied;
        json!({
            "scenario": self.scenario,
            "seed": self.seed,
            "nodes": self.nodes,
            "operations": self.operations,
            "trades": self.trades,
            "converged": self.is_converged,
            "distinct_digests": self.distinct_digests,
            "violations": self.violations,
            "final_lost": self.final_lost,
            "time_to_converge_ms": self.converge_ms,
            "delivery_p50_ms": ms(tally.delivery_us.quantile(500)),
            "delivery_p99_ms": ms(tally.delivery_us.quantile(990)),
            "delivery_max_ms": ms(tally.delivery_us.max()),
            "last_delivery_ms": ms(tally.last_delivery_us()),
            "redundant_copies": ratio(tally.copies.saturating_sub(applied), applied),
            "bytes_per_operation": ratio(tally.bytes, applied),
            "frames_per_operation": ratio(tally.frames, applied),
            "undo_depth_p50": tally.undo_depth.quantile(500),
            "undo_depth_p99": tally.undo_depth.quantile(990),
            "executions_per_operation": ratio(tally.executions, applied + tally.own),
            "wall_s": rounded(self.wall_s),
            "peak_rss_mb": self.peak_rss_mb.map(rounded),
        })
    }

    /// Lines for people.
    pub fn text(&self) -> String {
        let tally = &self.tally;
        let mut out = String::new();
        let verdict = match (self.is_converged, self.violations.is_empty()) {
            (true, true) => "converged, no violation",
            (true, false) => "converged, but with violations",
            (false, _) => "NOT converged",
        };
        let mut line = |name: &str, value: String| {
            writeln!(out, "{name:<22} {value}").expect("text takes any line");
        };
        line(
            "scenario",
            format!(
                "{}, seed {}, {} nodes",
                self.scenario, self.seed, self.nodes
            ),
        );
        line("verdict", verdict.to_owned());
        line(
            "operations, trades",
            format!("{}, {}", self.operations, self.trades),
        );
        if let Some(after_ms) = self.converge_ms {
            line("equal after healing", format!("{after_ms} ms"));
        }
        let delivery = &tally.delivery_us;
        let [p50, p99] = [500, 990].map(|at| ms(delivery.quantile(at)));
        let (max, last) = (ms(delivery.max()), ms(tally.last_delivery_us()));
        line(
            "delivery",
            format!("median {p50} ms, p99 {p99} ms, max {max} ms"),
        );
        line("to the last node", format!("{last} ms on average"));
        let applied = tally.applied;
        let copies = ratio(tally.copies.saturating_sub(applied), applied);
        line(
            "per node and operation",
            format!(
                "{copies} redundant copies, {} frames, {} bytes",
                ratio(tally.frames, applied),
                ratio(tally.bytes, applied),
            ),
        );
        let undo = &tally.undo_depth;
        let executions = ratio(tally.executions, applied + tally.own);
        line(
            "undo depth",
            format!(
                "median {}, p99 {}; {executions} executions an operation",
                undo.quantile(500),
                undo.quantile(990),
            ),
        );
        line("sessions ended", tally.sessions_ended.to_string());
        line("orders not written", tally.unwritten.to_string());
        let memory = self
            .peak_rss_mb
            .map_or("unknown".to_owned(), |mib| format!("{mib:.0} MiB"));
        line("cost", format!("{:.1} s, {memory}", self.wall_s));
        for violation in &self.violations {
            line("violation", violation.clone());
        }
        out
    }
}

/// Microseconds as milliseconds.
fn ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// A quotient with three decimals; zero where nothing was counted.
fn ratio(value: u64, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    rounded(value as f64 / count as f64)
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
