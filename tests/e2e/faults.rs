//! Faults of the machine: what a node does when disk, memory, clock or descriptors fail it.
//!
//! The table in docs/RELIABILITY.md has a row for each. What needs a mount of its own is skipped,
//! with the reason printed, where the kernel or the user may not make one.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use bitfitech_io::identity::Identity;
use serde_json::Value;
use tempfile::TempDir;

use crate::forger::Forger;
use crate::support::agreement::{check_books, digest, wait_for_agreement};
use crate::support::node::{Node, list, text};
use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Input, run_to_end};
use crate::support::waiting::wait_until;

/// Room on the disk of a test, in MiB: enough to start, little to fill.
const DISK_MB: usize = 4;

/// The words that start a program with mounts of its own, or `None` with the reason printed.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests learns what was skipped"
)]
fn own_mounts() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--mount", "--map-root-user"],
    ];
    let works = |words: &&[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let output = command
            .args(["mount", "-t", "tmpfs", "none", "/mnt"])
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = WAYS.into_iter().find(works);
    if found.is_none() {
        println!("skipped: no mounts of one's own here (needs unshare and root, or namespaces)");
    }
    found
}

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}");
}

/// Limits a resource of a running node, in the words of `prlimit`.
fn limit(node: &Node, resource: &str) {
    run("prlimit", &["--pid", &node.process().to_string(), resource]);
}

/// A number out of the status of a process, in KiB.
fn status_kb(node: &Node, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.process()));
    let status = status.expect("the status of a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let digits = line.and_then(|line| line.split_whitespace().next());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.expect("a number")
}

/// The current time.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("64 bits")
}

/// The ids of the orders that were acknowledged.
fn acknowledged(replies: &[Value]) -> Vec<String> {
    let good = replies.iter().filter(|reply| reply["ok"] == true);
    good.filter_map(|reply| reply["order"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_full_disk_holds_orders_back_until_there_is_room() {
    let Some(words) = own_mounts() else { return };
    let mount = format!("mount -t tmpfs -o size={DISK_MB}m none . && cd \"$PWD\"");
    let mut node = Node::start(Plan::named("full").after(words, &mount));
    node.ok("buy 1 @ 10");
    let inside = node.data_dir();
    let inside = inside.strip_prefix("/").expect("an absolute path");
    let root = PathBuf::from(format!("/proc/{}/root", node.process()));
    let ballast = root.join(inside).join("ballast");
    // More than there is room for: the last part fails, and what fits stays.
    let _ = fs::write(&ballast, vec![1; DISK_MB << 20]);
    let count = 2_000;
    for position in 0..count {
        node.send(&format!("buy 0.1 @ {}", 100 + position % 50));
    }
    let crashed = node.wait_for_event("the store fails", |event| {
        event["name"] == "store" && event["change"] == "crashed"
    });
    let reason = text(&crashed, "reason");
    assert!(reason.contains("No space left"), "{reason}");
    assert!(reason.contains("check the disk"), "{reason}");
    fs::remove_file(&ballast).expect("makes room");
    for position in 0..count {
        let reply = node.reply();
        let told = reply["ok"] == true || reply["code"].is_string();
        assert!(told, "order {position}: {reply}");
    }
    node.ok_at_last("buy 2 @ 20");
    let placed = node.ok("stats")["stats"]["operations_on_disk"].clone();
    assert!(placed.as_u64() > Some(1), "{placed}");
}

#[test]
fn a_disk_that_stays_full_ends_the_node_with_the_reason_and_loses_nothing() {
    let plan = Plan::named("stuck")
        .after(&[], "trap '' XFSZ")
        .set("supervisor.backoff_min_ms", "10")
        .set("supervisor.backoff_max_ms", "20")
        .set("log.level", "error");
    let mut node = Node::start(plan);
    let mut orders = acknowledged(&[node.ok("buy 1 @ 10")]);
    let length = fs::metadata(node.data_dir().join("operations.redb"));
    let length = length.expect("the store is there").len();
    limit(&node, &format!("--fsize={length}:{length}"));
    for position in 0..3_000 {
        node.send(&format!("buy 0.1 @ {}", 100 + position % 50));
    }
    assert_eq!(node.exit_code(), Some(1));
    let log = node.log();
    let last = log.lines().rev().find(|line| line.starts_with("error:"));
    let last = last.unwrap_or_else(|| panic!("its last words say why: {log}"));
    for part in ["store", "cannot write", "check the disk"] {
        assert!(last.contains(part), "`{part}` must be in: {last}");
    }
    orders.extend(acknowledged(&node.last_replies()));
    let mut node = node.start_again();
    for order in &orders {
        node.ok(&format!("order {order}"));
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_at_the_start() {
    let Some(words) = own_mounts() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let mount = "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\"";
    let plan = Plan::named("walled").after(words, mount);
    let finished = run_to_end(plan.command(folder.path()), "", Input::StaysOpen);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let said = &finished.stderr;
    assert!(said.contains("Read-only"), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
}

/// Flips a bit of every operation of this author in the store of a stopped node.
fn damage_store(node: &Node) {
    let path = node.data_dir().join("operations.redb");
    let mut bytes = fs::read(&path).expect("the store is there");
    let key = Identity::load(&node.data_dir().join("node.key")).expect("its key");
    let key = key.author().0;
    let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&key));
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty(), "its operations are in the file");
    places.iter().for_each(|at| bytes[at + 40] ^= 4);
    fs::write(&path, bytes).expect("writes");
}

#[test]
fn a_damaged_store_is_refused_at_once_and_what_was_lost_comes_from_the_peers() {
    let mut keeper = Node::start(Plan::named("keeper"));
    let plan = Plan::named("damaged").dials(&keeper.address());
    let mut damaged = Node::start(plan.clone());
    damaged.wait_for_peers(1);
    let order = text(&damaged.ok("buy 1 @ 10"), "order");
    wait_for_agreement(&mut [&mut keeper, &mut damaged]);
    damaged.kill();
    damage_store(&damaged);
    let data_dir = damaged.data_dir();
    let finished = run_to_end(plan.command(&data_dir), "", Input::StaysOpen);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let errors = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:"));
    let errors: Vec<&str> = errors.collect();
    assert_eq!(errors.len(), 1, "one line says it: {}", finished.stderr);
    for part in ["operations.redb", "away", "peers"] {
        assert!(errors[0].contains(part), "`{part}` must be in {errors:?}");
    }
    // As the line says.
    let path = data_dir.join("operations.redb");
    fs::rename(&path, data_dir.join("damaged")).expect("moves it away");
    let mut damaged = damaged.start_again();
    damaged.ok("buy 1 @ 11");
    damaged.ok(&format!("cancel {order}"));
    wait_for_agreement(&mut [&mut keeper, &mut damaged]);
    assert_eq!(keeper.ok("stats")["stats"]["forked_authors"], 0);
}

#[test]
fn a_store_that_holds_a_forgery_ends_the_node_with_the_whole_reason() {
    let folder = TempDir::new().expect("a temporary folder");
    let forger = Forger::with([5; 32].into());
    let first = forger.heartbeat(0, None, 1_000);
    let early = forger.heartbeat(1, Some(first.id()), 999);
    let operations = [first.wire().to_vec(), early.wire().to_vec()];
    forger.make_store(folder.path(), &operations);
    let plan = Plan::named("forged")
        .set("supervisor.backoff_min_ms", "1")
        .set("supervisor.backoff_max_ms", "5");
    let finished = run_to_end(plan.command(folder.path()), "", Input::StaysOpen);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let last = finished.stderr.lines().last().unwrap_or_default();
    for part in ["root", "exchange", "matcher", "operation 1", "not later"] {
        assert!(last.contains(part), "`{part}` must be in: {last}");
    }
}

#[test]
fn a_node_without_free_descriptors_trades_on_and_takes_connections_again() {
    let mut node = Node::start(Plan::named("crowded"));
    let open = fs::read_dir(format!("/proc/{}/fd", node.process()));
    let open = open.expect("its descriptors").count();
    limit(&node, &format!("--nofile={0}:{0}", open + 8));
    let dial = || TcpStream::connect(node.address()).expect("the system takes connections");
    let crowd: Vec<TcpStream> = (0..40).map(|_| dial()).collect();
    wait_until("it says that it cannot accept", || {
        node.log().contains("cannot accept a connection")
    });
    for price in 10..30 {
        node.ok(&format!("buy 1 @ {price}"));
    }
    drop(crowd);
    let mut peer = Node::start(Plan::named("peer").dials(&node.address()));
    peer.wait_for_peers(1);
    wait_for_agreement(&mut [&mut node, &mut peer]);
}

#[test]
fn a_node_that_gets_no_memory_dies_and_comes_back_with_what_it_acknowledged() {
    let mut node = Node::start(Plan::named("starved"));
    let mut orders = acknowledged(&[node.ok("buy 1 @ 10")]);
    // Next to nothing beyond what it has mapped already.
    let room = (status_kb(&node, "VmSize:") + 256) << 10;
    limit(&node, &format!("--as={room}:{room}"));
    let mut position = 0;
    while node.is_running() && position < 200_000 {
        for _ in 0..500 {
            position += 1;
            node.send(&format!("buy 0.1 @ {}", 100 + position % 5_000));
        }
        orders.extend(acknowledged(&node.replies_until(500)));
    }
    assert!(!node.is_running(), "it lives on after {position} orders");
    orders.extend(acknowledged(&node.last_replies()));
    let mut node = node.start_again();
    for order in &orders {
        node.send(&format!("order {order}"));
    }
    for order in &orders {
        assert_eq!(node.reply()["order"], order.as_str());
    }
}

/// Copies the files of a data directory, as a user would.
fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the data directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("its type").is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
        }
    }
}

#[test]
fn a_backup_copied_while_the_node_trades_is_whole_or_refused() {
    let mut node = Node::start(Plan::named("busy"));
    let mut good = 0;
    for round in 0..12 {
        let first = text(&node.ok(&format!("buy 1 @ {}", 10 + round)), "order");
        for position in 0..200 {
            node.send(&format!("buy 0.1 @ {}", 100 + position % 50));
        }
        let folder = TempDir::new().expect("a temporary folder");
        copy_files(&node.data_dir(), folder.path());
        for _ in 0..200 {
            assert_eq!(node.reply()["ok"], true);
        }
        let mut verify = quiet_command(folder.path());
        verify.args(["verify", "-D", "network.name=e2e", "--data-dir"]);
        verify.arg(folder.path());
        let finished = run_to_end(verify, "", Input::Ends);
        match finished.code {
            Some(0) => good += 1,
            Some(1) => {
                assert!(
                    finished.stderr.contains("operations.redb"),
                    "{}",
                    finished.stderr
                );
                continue;
            }
            code => panic!("{code:?}: {}", finished.stderr),
        }
        // What was acknowledged before the copy began is in a copy that is taken.
        let plan = Plan::named("copy");
        let copied = folder.path().to_path_buf();
        let mut copy = Node::start_prepared(plan, |data_dir| copy_files(&copied, data_dir));
        copy.ok(&format!("order {first}"));
    }
    assert!(good > 0, "all copies are refused");
}

#[test]
fn a_restored_backup_is_recognised_and_goes_on_without_a_fork() {
    let mut first = Node::start(Plan::named("first"));
    let mut restored = Node::start(Plan::named("restored").dials(&first.address()));
    restored.wait_for_peers(1);
    restored.ok("buy 1 @ 100");
    wait_for_agreement(&mut [&mut first, &mut restored]);
    let backup = TempDir::new().expect("a temporary folder");
    copy_files(&restored.data_dir(), backup.path());
    for price in [101, 102, 103] {
        restored.ok(&format!("buy 1 @ {price}"));
    }
    wait_for_agreement(&mut [&mut first, &mut restored]);
    restored.kill();
    copy_files(backup.path(), &restored.data_dir());

    let mut restored = restored.start_again();
    restored.ok("buy 1 @ 104");
    let orders = restored.ok("orders");
    assert_eq!(list(&orders, "orders").len(), 5, "{orders}");
    let nodes = &mut [&mut first, &mut restored];
    wait_for_agreement(nodes);
    check_books(nodes);
    for node in nodes {
        assert_eq!(node.ok("stats")["stats"]["forked_authors"], 0);
    }
    let log = restored.log();
    assert!(log.contains("of this node's own key"), "it says so: {log}");
}

#[test]
fn two_nodes_with_one_key_are_told_and_the_others_agree() {
    let mut witness = Node::start(Plan::named("witness"));
    let mut original = Node::start(Plan::named("original").dials(&witness.address()));
    original.wait_for_peers(1);
    original.ok("buy 1 @ 100");
    wait_for_agreement(&mut [&mut witness, &mut original]);
    let from = original.data_dir();
    let mut clone = Node::start_prepared(Plan::named("clone"), |to| copy_files(&from, to));
    // Apart, they write the same place of one chain: nothing can prevent that.
    clone.ok_at_last("buy 1 @ 101");
    original.ok("buy 1 @ 102");
    wait_for_agreement(&mut [&mut witness, &mut original]);
    original.kill();
    clone.ok(&format!("connect {}", witness.address()));
    wait_for_agreement(&mut [&mut witness, &mut clone]);
    for node in [&mut witness, &mut clone] {
        assert_eq!(node.ok("stats")["stats"]["forked_authors"], 1);
    }
    let log = clone.log();
    assert!(log.contains("of this node's own key"), "it says so: {log}");
    assert!(witness.log().contains("forked"), "the witness says so");
}

#[test]
fn a_clock_that_was_set_back_keeps_the_node_from_writing_and_it_says_by_how_much() {
    let mut peer = Node::start(Plan::named("peer"));
    let plan = Plan::named("late").dials(&peer.address());
    // Its own chain ends in the future: so it looks after the clock was set back.
    let mut late = Node::start_prepared(plan, |data_dir| {
        let key = Identity::create(&data_dir.join("node.key")).expect("a key");
        let forger = Forger::with(*key.signing_key());
        let ahead = forger.heartbeat(0, None, unix_ms() + 6_000);
        forger.make_store(data_dir, &[ahead.wire().to_vec()]);
    });
    late.wait_for_peers(1);
    let refused = late.wait_for("buy 1 @ 10", "it has asked its peers", |reply| {
        reply["code"] == "CLOCK_AHEAD"
    });
    assert!(text(&refused, "error").contains(" ms ahead"), "{refused}");
    // The others set aside what is dated ahead, and trade.
    peer.ok("sell 1 @ 11");
    late.ok_at_last("buy 1 @ 10");
    wait_for_agreement(&mut [&mut peer, &mut late]);
    let digests = digest(&mut late);
    assert_eq!(digests["operations"], 3, "{digests:?}");
}
