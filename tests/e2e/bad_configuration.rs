//! Wrong configuration: one line that says what, where and how to mend, and exit code 2.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::plan::quiet_command;
use crate::support::program::{Input, run_to_end};

/// Runs the command, which must refuse to start with a line that names each of `names`.
fn must_refuse(what: &str, command: Command, names: &[&str]) {
    let finished = run_to_end(command, "", Input::StaysOpen);
    let stderr = &finished.stderr;
    assert_eq!(finished.code, Some(2), "{what}: {stderr}");
    assert!(!finished.stdout.contains("ready"), "{what}: it started");
    for name in names {
        assert!(stderr.contains(name), "{what}: must name {name}: {stderr}");
    }
    assert_eq!(
        stderr.trim().lines().count(),
        1,
        "{what}: one line: {stderr}"
    );
}

/// A start in an empty folder.
fn start_in(folder: &TempDir) -> Command {
    let mut command = quiet_command(folder.path());
    command
        .args(["run", "--data-dir"])
        .arg(folder.path().join("data"));
    command
}

#[test]
fn wrong_settings_of_the_command_line_are_named() {
    for (setting, names) in [
        ("nonsense.key=1", ["nonsense.key", ""]),
        ("p2p.prot=3000", ["p2p.prot", "p2p.port"]),
        ("p2p.port=70000", ["p2p.port", "70000"]),
        ("p2p.port=-1", ["p2p.port", "-1"]),
        ("p2p.port=many", ["p2p.port", "many"]),
        ("p2p.port=", ["p2p.port", ""]),
        ("p2p.max_peers=1.5", ["p2p.max_peers", "1.5"]),
        ("mode=sideways", ["mode", "sideways"]),
        ("p2p.port_fallback=maybe", ["p2p.port_fallback", "maybe"]),
        (
            "discovery.bootstrap_peers=nowhere",
            ["discovery.bootstrap_peers", "nowhere"],
        ),
        ("network.name=Not A Name", ["network.name", "Not A Name"]),
        ("network.bucket_ms=0", ["network.bucket_ms", "0"]),
        ("network.allow_list=abc", ["network.allow_list", "abc"]),
        ("markets.0.tick=0", ["tick", "0"]),
        ("log.format=xml", ["log.format", "xml"]),
        ("supervisor.intensity=0", ["supervisor.intensity", "0"]),
        (
            "breaker.failure_threshold=none",
            ["breaker.failure_threshold", "none"],
        ),
        ("limits.enabled=sometimes", ["limits.enabled", "sometimes"]),
        ("log.level=loud", ["log.level", "loud"]),
    ] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = start_in(&folder);
        command.args(["-D", setting]);
        must_refuse(setting, command, &names);
    }
}

#[test]
fn wrong_variables_are_named() {
    for (variable, value) in [
        ("P2P_PORT", "many"),
        ("P2P_PORT", "65536"),
        ("MAX_PEERS", "-1"),
        ("PEER_RECONNECT_INTERVAL", "soon"),
        ("ENABLE_RATE_LIMIT", "maybe"),
        ("BOOTSTRAP_PEERS", "nowhere"),
        ("EXCHANGE_PAIR", "BTC"),
        ("MAX_ORDER_PRICE", "-1"),
        ("MAX_ORDER_AMOUNT", "much"),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "x"),
        ("LOG_LEVEL", "loud"),
        ("HEALTH_CHECK_INTERVAL_MS", "often"),
        ("BITFITECH__P2P__PORT", "many"),
        ("BITFITECH__P2P__PROT", "3000"),
    ] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = start_in(&folder);
        command.env(variable, value);
        let what = format!("{variable}={value}");
        must_refuse(&what, command, &[variable]);
    }
}

#[test]
fn wrong_files_are_named() {
    for (content, names) in [
        ("[p2p]\nprot = 3000\n", ["prot", "port"]),
        ("[p2p]\nport = \"many\"\n", ["port", "many"]),
        ("[p2p\nport = 3000\n", ["mine.toml", ""]),
        ("[nonsense]\nkey = 1\n", ["nonsense", ""]),
        ("p2p = 3\n", ["p2p", ""]),
        ("[[markets]]\npair = \"BTCUSD\"\n", ["pair", "BTCUSD"]),
        (
            "[[markets]]\npair = \"BTC/USD\"\ntick = \"0\"\n",
            ["tick", ""],
        ),
    ] {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("mine.toml"), content).expect("a file is written");
        let mut command = start_in(&folder);
        command.args(["--config", "mine.toml"]);
        must_refuse(content, command, &names);
    }
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = start_in(&folder);
    command.args(["--config", "missing.toml"]);
    must_refuse("a missing file", command, &["missing.toml"]);
}

#[test]
fn wrong_usage_ends_with_code_two() {
    for arguments in [
        &["--unknown"][..],
        &["run", "--output", "xml"],
        &["run", "-D", "p2p.port"],
        &["run", "--log-level", "loud"],
        &["sing"],
        &["config"],
        &["keys", "sell"],
        &["completions", "basic"],
    ] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = quiet_command(folder.path());
        command.args(arguments);
        let finished = run_to_end(command, "", Input::Ends);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(
            !finished.stderr.is_empty(),
            "{arguments:?} must be explained"
        );
    }
}

#[test]
fn a_data_directory_that_cannot_be_one_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").expect("a file is written");
    let mut command = quiet_command(folder.path());
    command
        .args(["run", "-D", "mode=p2p", "--data-dir"])
        .arg(&file);
    let finished = run_to_end(command, "", Input::StaysOpen);
    assert!(matches!(finished.code, Some(1 | 2)), "{}", finished.stderr);
    assert!(finished.stderr.contains("a-file"), "{}", finished.stderr);
}

#[test]
fn a_good_configuration_is_shown_and_checked() {
    let folder = TempDir::new().expect("a temporary folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (action, expected) in [("check", ""), ("show", "4567")] {
        let mut command = quiet_command(folder.path());
        command
            .arg("config")
            .arg(action)
            .arg("--config")
            .arg(root.join("config.toml"))
            .args(["-D", "p2p.port=4567"]);
        let finished = run_to_end(command, "", Input::Ends);
        assert_eq!(finished.code, Some(0), "{action}: {}", finished.stderr);
        assert!(finished.stdout.contains(expected), "{}", finished.stdout);
    }
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = "[p2p]\nmax_peers = 11\nreconnect_interval_ms = 1111\nport = 1111\n";
    fs::write(folder.path().join("config.toml"), file).expect("a file is written");
    let mut command = quiet_command(folder.path());
    command
        .args(["config", "show", "-D", "p2p.port=3333"])
        .env("P2P_PORT", "2222")
        .env("PEER_RECONNECT_INTERVAL", "2222");
    let finished = run_to_end(command, "", Input::Ends);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for (key, value) in [
        ("max_peers", "11"),
        ("reconnect_interval_ms", "2222"),
        ("port", "3333"),
    ] {
        let shown = finished.stdout.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with(key) && line.contains(value)
        });
        assert!(shown, "{key} = {value} in\n{}", finished.stdout);
    }
}
