//! `bitfitech sim` as its users meet it.

use std::fs;
use std::process::{Command, Output};

use crate::waiting::wait_until;

/// The fields of the report, as the documents promise them.
const FIELDS: [&str; 21] = [
    "scenario",
    "seed",
    "nodes",
    "operations",
    "trades",
    "converged",
    "distinct_digests",
    "violations",
    "final_lost",
    "time_to_converge_ms",
    "delivery_p50_ms",
    "delivery_p99_ms",
    "delivery_max_ms",
    "last_delivery_ms",
    "redundant_copies",
    "bytes_per_operation",
    "frames_per_operation",
    "undo_depth_p50",
    "undo_depth_p99",
    "executions_per_operation",
    "wall_s",
];

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitfitech"));
    command.arg("sim").args(arguments.split_whitespace());
    command
}

fn sim(arguments: &str) -> Output {
    let output = command(arguments).output();
    output.expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_report_is_one_json_object_with_the_promised_names() {
    let run = sim("--nodes 8 --duration 1s --rate 20 --seed 5 --output json");
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    for field in FIELDS {
        assert!(
            report.get(field).is_some(),
            "{field} is missing in {report}"
        );
    }
    assert_eq!(report["converged"], true);
    assert_eq!((&report["nodes"], &report["seed"]), (&8.into(), &5.into()));
}

#[test]
fn names_are_listed_one_a_line() {
    for (list, known) in [
        ("--scenario list", "late-join"),
        ("--adversary list", "silent"),
        ("--canary list", "lost-undo"),
        ("--workload list", "makers"),
    ] {
        let listed = text(&sim(list).stdout);
        assert!(listed.lines().any(|name| name == known), "{list}: {listed}");
    }
}

#[test]
fn a_run_that_finds_faults_fails_and_says_how_to_run_it_again() {
    let run = sim("--nodes 8 --duration 4s --rate 20 --canary dropped-operation");
    assert_eq!(run.status.code(), Some(1));
    assert!(
        text(&run.stdout).contains("reach:"),
        "{}",
        text(&run.stdout)
    );
    let fault = text(&run.stderr);
    assert!(
        fault.contains("bitfitech sim --scenario steady --seed 1"),
        "{fault}"
    );
}

#[test]
fn unknown_names_are_wrong_usage() {
    for arguments in [
        "--scenario x",
        "--adversary x",
        "--canary x",
        "--workload x",
    ] {
        let run = sim(arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments}");
        assert!(text(&run.stderr).contains("take one of"), "{arguments}");
    }
}

/// What tells the allocator how to ask for memory.
const ALLOCATOR: &str = "_RJEM_MALLOC_CONF";

/// Whether the program's allocator was told something with this beginning.
fn was_told(process: u32, beginning: &str) -> bool {
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let wanted = format!("{ALLOCATOR}={beginning}");
    let environment = text(&environment);
    environment
        .split('\0')
        .any(|pair| pair.starts_with(&wanted))
}

#[test]
fn a_large_simulation_has_huge_pages_unless_the_user_has_decided() {
    for (decided, expected) in [(None, "thp:always"), (Some("narenas:2"), "narenas:2")] {
        let mut command = command("--nodes 500 --duration 9s --threads 2");
        command.env_remove(ALLOCATOR);
        let decided = decided.map(|decided| (ALLOCATOR, decided));
        let mut running = command.envs(decided).spawn().expect("the program starts");
        // With its second thread the simulation has begun, and starts nothing anew any more.
        let has_begun = |process| {
            let threads = fs::read_dir(format!("/proc/{process}/task"));
            threads.is_ok_and(|threads| threads.count() > 1)
        };
        wait_until("it simulates, and the allocator was told", || {
            has_begun(running.id()) && was_told(running.id(), expected)
        });
        running.kill().expect("it runs");
        running.wait().expect("it ends");
    }
}

#[test]
fn a_large_simulation_reports_what_it_finds() {
    let run = sim("--nodes 500 --duration 1s --rate 5 --seed 3 --output json");
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(report["converged"], true);
    assert_eq!(
        (&report["nodes"], &report["seed"]),
        (&500.into(), &3.into())
    );
}
