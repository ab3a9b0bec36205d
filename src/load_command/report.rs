//! What a run under load came to: latency to the last node, throughput, and what it cost each node
//! in processor time, memory and bytes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::machine::Usage;

/// The report.
pub(super) struct Report {
    pub nodes: u32,
    pub rate: f64,
    pub duration_ms: u64,
    /// Orders that were written to nodes.
    pub orders: u64,
    /// Orders that were not taken.
    pub refused: u64,
    /// From the first order until all was answered and seen.
    pub wall: Duration,
    /// To the last node, sorted.
    pub latencies: Vec<Duration>,
    /// Orders that did not reach all nodes.
    pub missed: u64,
    /// What each node had used before and after.
    pub usages: Vec<(Usage, Usage)>,
    pub loopback_bytes: Option<u64>,
    /// Whether all nodes had the same set in the end.
    pub converged: bool,
}

impl Report {
    /// Whether everything reached everyone.
    pub(super) fn is_good(&self) -> bool {
        self.converged && self.missed == 0 && self.refused == 0
    }

    fn latency_ms(&self, per_mille: usize) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        let at = (self.latencies.len() * per_mille / 1_000).min(last);
        Some(rounded(self.latencies[at].as_secs_f64() * 1_000.0))
    }

    fn orders_per_second(&self) -> f64 {
        let taken = self.orders.saturating_sub(self.refused);
        rounded(taken as f64 / self.wall.as_secs_f64())
    }

    /// Share of one processor, the mean of the nodes.
    fn cpu_percent(&self) -> Option<f64> {
        let used = |(before, after): &(Usage, Usage)| Some(after.cpu_s? - before.cpu_s?);
        let mean_s = mean(self.usages.iter().map(used))?;
        Some(rounded(100.0 * mean_s / self.wall.as_secs_f64()))
    }

    fn memory_mb(&self) -> Option<f64> {
        mean(self.usages.iter().map(|(_, after)| after.memory_mb)).map(rounded)
    }

    /// Per order and node that receives it.
    fn bytes_per_order(&self) -> Option<f64> {
        let receivers = u64::from(self.nodes - 1) * self.orders;
        let bytes = self.loopback_bytes? as f64;
        Some(rounded(bytes / receivers.max(1) as f64))
    }

    /// One JSON object.
    pub(super) fn json(&self) -> Value {
        json!({
            "nodes": self.nodes,
            "rate": self.rate,
            "duration_ms": self.duration_ms,
            "orders": self.orders,
            "refused": self.refused,
            "orders_per_second": self.orders_per_second(),
            "latency_samples": self.latencies.len(),
            "missed": self.missed,
            "latency_p50_ms": self.latency_ms(500),
            "latency_p99_ms": self.latency_ms(990),
            "latency_max_ms": self.latency_ms(1_000),
            "cpu_percent_per_node": self.cpu_percent(),
            "memory_mb_per_node": self.memory_mb(),
            "bytes_per_order": self.bytes_per_order(),
            "converged": self.converged,
        })
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let shown = |value: Option<f64>, unit: &str| {
            value.map_or("unknown".to_owned(), |it| format!("{it} {unit}"))
        };
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(out, "{name:<22} {value}").expect("text takes any line");
        };
        let verdict = match (self.converged, self.missed) {
            (true, 0) => "all orders everywhere, all nodes agree".to_owned(),
            (true, missed) => format!("all nodes agree, {missed} orders not seen in time"),
            (false, _) => "the nodes do NOT agree".to_owned(),
        };
        line("verdict", verdict);
        line("nodes", self.nodes.to_string());
        line(
            "orders",
            format!(
                "{} ({} refused), {} a second",
                self.orders,
                self.refused,
                self.orders_per_second()
            ),
        );
        line(
            "to the last node",
            format!(
                "p50 {}, p99 {}, max {} ({} orders)",
                shown(self.latency_ms(500), "ms"),
                shown(self.latency_ms(990), "ms"),
                shown(self.latency_ms(1_000), "ms"),
                self.latencies.len()
            ),
        );
        line("processor per node", shown(self.cpu_percent(), "%"));
        line("memory per node", shown(self.memory_mb(), "MiB"));
        line("bytes", shown(self.bytes_per_order(), "per order and node"));
        out
    }
}

/// The mean, if all are known.
fn mean(values: impl ExactSizeIterator<Item = Option<f64>>) -> Option<f64> {
    let count = values.len().max(1) as f64;
    let sum: Option<f64> = values.sum();
    sum.map(|sum| sum / count)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
