//! Start and end: who owns the data, which port it is, and how a node is asked to stop.

use std::fs;
use std::net::TcpListener;

use tempfile::TempDir;

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, port_of, text};
use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Input, run_to_end};

#[test]
fn the_ready_line_says_who_and_where() {
    let node = Node::start(Plan::named("only"));
    let ready = node.ready();
    assert_eq!(node.key().len(), 64, "{ready}");
    assert_ne!(port_of(&node.address()), 0, "{ready}");
    assert_eq!(ready["mode"], "p2p", "{ready}");
    assert_eq!(ready["network"], "e2e", "{ready}");
    for absent in ["grape_dht", "grape_api", "grape_rpc"] {
        assert!(ready[absent].is_null(), "{absent} has to be there: {ready}");
    }
}

#[test]
fn signals_and_quit_end_it_in_order_with_code_zero() {
    for way in ["TERM", "INT", "quit"] {
        let mut node = Node::start(Plan::named(way));
        let order = text(&node.ok("buy 1 @ 10"), "order");
        match way {
            "quit" => assert_eq!(node.command("quit")["ok"], true),
            signal => node.signal(signal),
        }
        assert_eq!(node.exit_code(), Some(0), "{way}");
        let mut node = node.start_again();
        assert_eq!(
            node.ok(&format!("order {order}"))["status"],
            "open",
            "{way}"
        );
    }
}

#[test]
fn the_end_of_its_input_does_not_end_it() {
    let mut first = Node::start(Plan::named("first"));
    first.ok("buy 1 @ 10");
    first.close_input();
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    second.wait_for("book", "the service still serves", |book| {
        book["bids"][0][0] == "10"
    });
    assert!(first.is_running());
    first.signal("TERM");
    assert_eq!(first.exit_code(), Some(0));
}

#[test]
fn the_end_of_its_input_ends_it_when_asked() {
    let mut node = Node::start(Plan::named("script").argument("--exit-on-eof"));
    node.send("buy 1 @ 10");
    node.close_input();
    assert_eq!(node.exit_code(), Some(0));
    let replies = node.last_replies();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0]["ok"], true, "{replies:?}");
}

#[test]
fn a_data_directory_has_one_owner() {
    let mut node = Node::start(Plan::named("owner"));
    let other = Plan::named("other").command(&node.data_dir());
    let finished = run_to_end(other, "", Input::StaysOpen);
    assert!(matches!(finished.code, Some(1 | 2)), "{}", finished.stderr);
    let folder = node.data_dir().display().to_string();
    assert!(finished.stderr.contains(&folder), "{}", finished.stderr);
    node.ok("buy 1 @ 10");
}

#[test]
fn a_taken_port_is_replaced_and_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let mut node = Node::start(Plan::named("flexible").port(port));
    assert_ne!(port_of(&node.address()), port);
    let log = node.log();
    assert!(log.contains(&port.to_string()), "it says so: {log}");
    let mut other = Node::start(Plan::named("other").dials(&node.address()));
    node.ok("buy 1 @ 10");
    wait_for_agreement(&mut [&mut node, &mut other]);
}

#[test]
fn a_taken_port_is_an_error_when_no_other_will_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let folder = TempDir::new().expect("a temporary folder");
    let plan = Plan::named("strict")
        .port(port)
        .set("p2p.port_fallback", "false");
    let finished = run_to_end(plan.command(folder.path()), "", Input::StaysOpen);
    assert!(matches!(finished.code, Some(1 | 2)), "{}", finished.stderr);
    let says = finished.stderr.contains(&port.to_string());
    assert!(says, "it names the port: {}", finished.stderr);
}

#[test]
fn the_identity_is_made_once_and_is_private() {
    let node = Node::start(Plan::named("only"));
    let key = node.key();
    #[cfg(unix)]
    check_private(&node);
    let mut node = node.start_again();
    assert_eq!(node.key(), key);
    node.kill();
    let mut command = quiet_command(&node.data_dir());
    command
        .args(["keys", "show", "--data-dir"])
        .arg(node.data_dir());
    let finished = run_to_end(command, "", Input::Ends);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains(&key), "{}", finished.stdout);
}

/// Somewhere in the data directory is a file that only its owner may read, and none with a key in
/// its name that others may.
#[cfg(unix)]
fn check_private(node: &Node) {
    use std::os::unix::fs::PermissionsExt;
    let mut private = 0;
    for entry in fs::read_dir(node.data_dir()).expect("the data directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("key") || name.contains("identity") {
            let mode = entry.metadata().expect("its metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            private += 1;
        }
    }
    assert!(private > 0, "the identity is kept in a file of its own");
}
