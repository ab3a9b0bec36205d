//! Every figure of delivery follows from the trace.

use std::collections::BTreeMap;

use bitfitech_sim::config::Config;
use serde_json::Value;

use crate::small;

/// What a trace says, taken from its JSON alone.
#[derive(Default)]
struct Recount {
    written_ms: BTreeMap<String, f64>,
    last_ms: BTreeMap<String, f64>,
    deliveries: Vec<(String, f64)>,
    applied: u64,
    received: u64,
    frames: u64,
    bytes: u64,
}

impl Recount {
    fn add(&mut self, line: &Value) {
        let operation = line["operation"].as_str().unwrap_or_default().to_owned();
        let time_ms = line["time_ms"].as_f64().expect("a time");
        match line["kind"].as_str().expect("a kind") {
            "written" => drop(self.written_ms.insert(operation, time_ms)),
            "sent" => {
                self.frames += 1;
                self.bytes += line["bytes"].as_u64().expect("a size");
            }
            "received" => self.received += 1,
            "delivered" => {
                self.applied += 1;
                self.last_ms
                    .entry(operation.clone())
                    .and_modify(|last_ms| *last_ms = time_ms.max(*last_ms))
                    .or_insert(time_ms);
                self.deliveries.push((operation, time_ms));
            }
            "applied" => self.applied += 1,
            other => panic!("unknown kind {other}"),
        }
    }

    /// The times from writing to applying, sorted.
    fn delays_ms(&self) -> Vec<f64> {
        let delay = |(operation, at_ms): &(String, f64)| at_ms - self.written_ms[operation];
        let mut delays: Vec<f64> = self.deliveries.iter().map(delay).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    /// The mean time to the last node.
    fn last_delivery_ms(&self) -> f64 {
        let last = |(operation, written_ms): (&String, &f64)| {
            let last_ms = self.last_ms.get(operation).unwrap_or(written_ms);
            last_ms - written_ms
        };
        let sum: f64 = self.written_ms.iter().map(last).sum();
        sum / self.written_ms.len() as f64
    }
}

fn traced(config: Config) -> (Recount, Value) {
    let mut recount = Recount::default();
    let mut tracer = |line: bitfitech_sim::trace::Line| {
        let text = line.json().to_string();
        recount.add(&serde_json::from_str(&text).expect("JSON"));
    };
    let report = bitfitech_sim::run_traced(config, &mut |_| {}, &mut tracer);
    (recount, report.json())
}

fn assert_near(name: &str, report: &Value, recounted: f64, tolerance: f64) {
    let reported = report[name].as_f64().expect("a number");
    let far = (reported - recounted).abs() > tolerance;
    assert!(!far, "{name}: {reported} reported, {recounted} recounted");
}

#[test]
fn all_figures_of_delivery_are_recomputed_from_the_trace() {
    for name in ["steady", "churn", "liars"] {
        let (recount, report) = traced(small(name, 2));
        let delays_ms = recount.delays_ms();
        assert!(delays_ms.len() > 1_000, "{name}: {}", delays_ms.len());
        for (field, share) in [("delivery_p50_ms", 0.5), ("delivery_p99_ms", 0.99)] {
            let at = (delays_ms.len() as f64 * share).ceil() as usize - 1;
            // The report counts in parts of a hundredth.
            assert_near(field, &report, delays_ms[at], delays_ms[at] / 100.0);
        }
        let slowest_ms = delays_ms[delays_ms.len() - 1];
        assert_near("delivery_max_ms", &report, slowest_ms, 0.001);
        assert_near(
            "last_delivery_ms",
            &report,
            recount.last_delivery_ms(),
            0.002,
        );
        let applied = recount.applied as f64;
        let copies = recount.received - recount.applied;
        assert_near("redundant_copies", &report, copies as f64 / applied, 0.001);
        assert_near(
            "bytes_per_operation",
            &report,
            recount.bytes as f64 / applied,
            0.001,
        );
        assert_near(
            "frames_per_operation",
            &report,
            recount.frames as f64 / applied,
            0.001,
        );
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_trace() {
    let lines = |threads| {
        let mut lines = Vec::new();
        let config = Config {
            threads,
            ..small("churn", 3)
        };
        bitfitech_sim::run_traced(config, &mut |_| {}, &mut |line| lines.push(line));
        lines
    };
    let one = lines(1);
    assert!(one.len() > 1_000);
    assert_eq!(one, lines(3));
}
