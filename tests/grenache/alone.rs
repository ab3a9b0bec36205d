//! A Grape alone: a program of its own where that stands beside `bitfitech`, and the same without.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::plan::PROGRAM;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts `grape` and waits until it listens; which program that is then.
fn started(program: &PathBuf) -> PathBuf {
    let mut command = Command::new(program);
    command.args([
        "grape", "--dp", "0", "--aph", "0", "--bn=", "--events", "json",
    ]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut running = Running(child.expect("the program starts"));
    let out = running.0.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).expect("an event");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["event"], "listening", "{line}");
    std::fs::read_link(format!("/proc/{}/exe", running.0.id())).expect("it runs")
}

#[test]
fn a_grape_is_a_program_of_its_own_where_that_stands_beside() {
    let whole = PathBuf::from(PROGRAM);
    assert_eq!(started(&whole), whole.with_file_name("bitfitech-grape"));
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder
        .path()
        .canonicalize()
        .expect("it is there")
        .join("bitfitech");
    std::fs::copy(&whole, &copy).expect("a copy");
    assert_eq!(started(&copy), copy);
}
