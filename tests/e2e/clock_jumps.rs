//! A wall clock that is set while its node trades.
//!
//! The clock of one process is replaced by `libfaketime`; where that is not installed the test is
//! skipped, with the reason printed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::agreement::{check_books, wait_for_agreement};
use crate::support::node::Node;
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// The library that fakes the time of programs with threads, or `None` with the reason printed.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests learns what was skipped"
)]
fn fake_clock() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = files.into_iter().find(|file| file.exists());
    if found.is_none() {
        println!("skipped: no clock can be set here (needs libfaketime)");
    }
    found
}

/// The shell's words that put a process under a clock which a file sets.
fn under_clock(library: &Path, file: &Path) -> String {
    let (library, file) = (library.display(), file.display());
    format!(
        "export LD_PRELOAD='{library}' FAKETIME_TIMESTAMP_FILE='{file}' FAKETIME_NO_CACHE=1 \
         FAKETIME_DONT_FAKE_MONOTONIC=1"
    )
}

/// Two peers have no median of clocks, but their users are told why orders are late.
#[test]
fn two_nodes_whose_clocks_differ_say_so() {
    let Some(library) = fake_clock() else {
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("clock");
    fs::write(&file, "+60s").expect("the clock can be set");
    let right = Node::start(Plan::named("right"));
    let plan = Plan::named("ahead").after(&[], &under_clock(&library, &file));
    let mut ahead = Node::start(plan.dials(&right.address()));
    ahead.wait_for_peers(1);
    for (node, is_negative) in [(&right, false), (&ahead, true)] {
        wait_until("it says whose clock is how far off", || {
            let log = node.log();
            let warning = log.lines().find(|line| line.contains("check both clocks"));
            warning.is_some_and(|line| line.contains(" is -") == is_negative)
        });
    }
}

/// Two hours of a wrong clock, and no order waits: what counts is the time of the peers.
#[test]
fn a_clock_that_jumps_while_the_node_trades_is_told_of_and_delays_nothing() {
    let Some(library) = fake_clock() else {
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("clock");
    let set_clock = |offset: &str| fs::write(&file, offset).expect("the clock can be set");
    set_clock("+0");
    let mut peers = ["one", "two", "three"].map(|name| Node::start(Plan::named(name)));
    let plan = Plan::named("jumper").after(&[], &under_clock(&library, &file));
    let dials = |plan: Plan, peer: &Node| plan.dials(&peer.address());
    let mut jumper = Node::start(peers.iter().fold(plan, dials));
    jumper.wait_for_peers(3);

    let jumps = ["+3600s", "-3600s"];
    for (price, offset) in (10..).zip(jumps) {
        set_clock(offset);
        jumper.ok(&format!("buy 1 @ {price}"));
        peers[0].ok(&format!("sell 1 @ {price}"));
        let [one, two, three] = &mut peers;
        wait_for_agreement(&mut [one, two, three, &mut jumper]);
    }
    set_clock("+0");
    jumper.ok("buy 1 @ 20");
    wait_until("it trusts its clock again", || {
        jumper.log().contains("agrees with its peers")
    });
    let [one, two, three] = &mut peers;
    let nodes = &mut [one, two, three, &mut jumper];
    wait_for_agreement(nodes);
    check_books(nodes);
    let log = jumper.log();
    let warnings = log.matches("check the clock").count();
    assert_eq!(warnings, jumps.len(), "one for each jump: {log}");
    assert!(
        log.contains("is -3600"),
        "the clock was an hour ahead: {log}"
    );
}
