//! What operators read: logs on stderr and in files, as text or as JSON, at the level they chose.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::node::Node;
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

#[test]
fn logs_as_json_are_json_line_by_line() {
    let mut node = Node::start(Plan::named("machine").set("log.format", "json"));
    node.ok("buy 1 @ 10");
    wait_until("its start is told", || !node.log().is_empty());
    node.ok("quit");
    assert_eq!(node.exit_code(), Some(0));
    let log = node.log();
    assert!(
        log.lines().count() >= 2,
        "a start and an end are told: {log}"
    );
    for line in log.lines() {
        let parsed: Result<Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[test]
fn the_level_changes_while_it_runs() {
    let mut node = Node::start(Plan::named("curious"));
    node.ok("buy 1 @ 10");
    assert!(!node.log().contains("DEBUG"), "the default level is info");
    node.ok("log debug");
    let order = node.ok("buy 1 @ 11");
    let id = order["order"].as_str().map(|id| id[..8].to_owned());
    let id = id.expect("an order has an id");
    wait_until("the matching of the order is told step by step", || {
        let log = node.log();
        log.lines()
            .any(|line| line.contains("DEBUG") && line.contains(&id))
    });
}

#[test]
fn the_log_is_also_kept_in_files() {
    let mut node = Node::start(Plan::named("keeper"));
    let key = node.key();
    wait_until("its start is told", || node.log().contains(&key[..8]));
    node.ok("quit");
    assert_eq!(node.exit_code(), Some(0));
    let kept = texts_below(&node.data_dir().join("logs"));
    assert!(!kept.is_empty(), "there are log files");
    assert!(
        kept.iter().any(|text| text.contains(&key[..8])),
        "they tell who runs: {kept:?}"
    );
}

/// The texts of all files in a folder.
fn texts_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder of the logs");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).expect("a log is text"))
        .collect()
}

#[test]
fn colours_never_reach_a_file() {
    let mut node = Node::start(Plan::named("plain"));
    node.command("nonsense");
    node.ok("buy 1 @ 10");
    assert!(!node.log().contains('\u{1b}'), "stderr is a file here");
}
