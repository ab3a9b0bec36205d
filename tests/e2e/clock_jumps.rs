//! A wall clock that is set while its node trades.
//!
//! The clock of one process is replaced by `libfaketime`; where that is not installed the test is
//! skipped, with the reason printed.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::agreement::{check_books, wait_for_agreement};
use crate::support::node::Node;
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// The wall clock of one process, which a file sets.
struct FakeClock {
    library: PathBuf,
    folder: TempDir,
}

impl FakeClock {
    /// A clock that is off by so much, or `None` with the reason printed where none can be faked.
    #[expect(
        clippy::print_stdout,
        reason = "who runs the tests learns what was skipped"
    )]
    fn off_by(offset: &str) -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let Some(library) = files.into_iter().find(|file| file.exists()) else {
            println!("skipped: no clock can be set here (needs libfaketime)");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder");
        let clock = Self { library, folder };
        clock.set(offset);
        Some(clock)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// In one step: who reads a file while it is written anew gets the start of the old text and
    /// the rest of the new one, which is a third clock.
    fn set(&self, offset: &str) {
        let written = self.folder.path().join("next");
        fs::write(&written, offset).expect("the clock can be written");
        fs::rename(&written, self.file()).expect("the clock can be set");
    }

    /// A node that lives by this clock.
    fn plan(&self, name: &str) -> Plan {
        let (library, file) = (self.library.display(), self.file());
        let script = format!(
            "export LD_PRELOAD='{library}' FAKETIME_TIMESTAMP_FILE='{}' FAKETIME_NO_CACHE=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1",
            file.display()
        );
        Plan::named(name).after(&[], &script)
    }
}

/// Two peers have no median of clocks, but their users are told why orders are late.
#[test]
fn two_nodes_whose_clocks_differ_say_so() {
    let Some(clock) = FakeClock::off_by("+60s") else {
        return;
    };
    let right = Node::start(Plan::named("right"));
    let mut ahead = Node::start(clock.plan("ahead").dials(&right.address()));
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
    let Some(clock) = FakeClock::off_by("+0") else {
        return;
    };
    let mut peers = ["one", "two", "three"].map(|name| Node::start(Plan::named(name)));
    let dials = |plan: Plan, peer: &Node| plan.dials(&peer.address());
    let mut jumper = Node::start(peers.iter().fold(clock.plan("jumper"), dials));
    jumper.wait_for_peers(3);

    let jumps = ["+3600s", "-3600s"];
    for (price, offset) in (10..).zip(jumps) {
        clock.set(offset);
        jumper.ok(&format!("buy 1 @ {price}"));
        peers[0].ok(&format!("sell 1 @ {price}"));
        let [one, two, three] = &mut peers;
        wait_for_agreement(&mut [one, two, three, &mut jumper]);
    }
    clock.set("+0");
    jumper.ok("buy 1 @ 20");
    wait_until("it trusts its clock again", || {
        jumper.log().contains("agrees with its peers")
    });
    let [one, two, three] = &mut peers;
    let nodes = &mut [one, two, three, &mut jumper];
    wait_for_agreement(nodes);
    check_books(nodes);
    let log = jumper.log();
    let warnings = log.lines().filter(|line| line.contains("check the clock"));
    let behind_ms: Vec<i64> = warnings
        .map(|line| {
            let (_, told) = line.split_once("clock of this machine is ").expect(line);
            let (number, _) = told.split_once(" ms behind").expect(line);
            number.parse().expect("whole milliseconds")
        })
        .collect();
    assert_eq!(behind_ms.len(), jumps.len(), "one for each jump: {log}");
    // To the second: times of peers are some milliseconds old.
    for (told_ms, behind_ms) in behind_ms.iter().zip([-3_600_000_i64, 3_600_000]) {
        assert!(told_ms.abs_diff(behind_ms) < 1_000, "{told_ms}: {log}");
    }
}
