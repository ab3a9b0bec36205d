//! `load` drives real nodes and reports what came of it.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::plan::PROGRAM;
use super::support::program::{Input, run_to_end};

#[test]
fn a_small_load_reaches_every_node_and_is_reported() {
    let mut command = Command::new(PROGRAM);
    command.args("load --nodes 3 --rate 60 --duration 2s --output json".split(' '));
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = run_to_end(command, "", Input::Ends);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("one JSON object");
    assert_eq!(report["orders"], 120);
    assert_eq!(
        (&report["refused"], &report["missed"]),
        (&0.into(), &0.into())
    );
    assert_eq!(report["converged"], true);
    // Of ten orders one buys, but on the node that sells.
    let samples = report["latency_samples"].as_u64().expect("a number");
    assert!((4..=12).contains(&samples), "{report}");
    let figure = |name: &str| report[name].as_f64().unwrap_or_default();
    assert!(figure("latency_p50_ms") > 0.0, "{report}");
    assert!(
        figure("latency_p50_ms") <= figure("latency_p99_ms"),
        "{report}"
    );
    assert!(
        figure("latency_p99_ms") <= figure("latency_max_ms"),
        "{report}"
    );
    assert!(figure("orders_per_second") > 10.0, "{report}");
}
