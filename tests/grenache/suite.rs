//! The test suite of Grenache's own Grape, run against ours.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use serde_json::{Map, Value};

use crate::support::plan::PROGRAM;
use crate::workshop::Workshop;

/// The ports of DHTs that the suite names.
const DHT_PORTS: std::ops::Range<u16> = 20_000..20_110;

/// The ports of HTTP interfaces that the suite names.
const API_PORTS: [u16; 3] = [20_001, 30_000, 30_002];

/// More of them, one for each Grape of its largest case.
const API_PORTS_MANY: std::ops::Range<u16> = 40_001..40_110;

/// Free ports in place of the named ones.
fn free_ports() -> Value {
    let mut held = (Vec::new(), Vec::new());
    let (mut udp, mut tcp) = (Map::new(), Map::new());
    for port in DHT_PORTS {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let free = socket.local_addr().expect("bound").port();
        udp.insert(port.to_string(), free.into());
        held.0.push(socket);
    }
    for port in API_PORTS.into_iter().chain(API_PORTS_MANY) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let free = socket.local_addr().expect("bound").port();
        tcp.insert(port.to_string(), free.into());
        held.1.push(socket);
    }
    // All are held until the last one is chosen, so no two are the same.
    drop(held);
    let mut ports = Map::new();
    ports.insert("udp".to_owned(), udp.into());
    ports.insert("tcp".to_owned(), tcp.into());
    ports.into()
}

/// Copies the files of a folder.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the suite");
    for entry in fs::read_dir(from).expect("the suite").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

/// Times that the suite is run until it passes. Some of its cases demand a dozen lookups within a
/// quarter of a second, which a machine that is busy otherwise does not give to any Grape.
const ATTEMPTS: usize = 3;

/// Runs the suite once; the report of its runner.
fn run_suite(workshop: &Workshop) -> Value {
    let output = workshop
        .node("node_modules/mocha/bin/mocha.js")
        .args(["--exit", "--reporter", "json"])
        .args(["--require", "./free_ports.js", "suite/test/*.js"])
        .env("GRAPE_PORTS", free_ports().to_string())
        .env("BITFITECH", PROGRAM)
        .output()
        .expect("the suite runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let report = printed.find("{\n").map(|begin| &printed[begin..]);
    let report = report.and_then(|report| serde_json::from_str(report).ok());
    report.unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("no report: {printed}\n{errors}")
    })
}

#[test]
fn our_grape_passes_the_test_suite_of_the_real_one() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let suite = workshop.file("suite");
    let original = workshop.file("node_modules/grenache-grape");
    copy_files(&original.join("test"), &suite.join("test"));
    copy_files(&original.join("lib"), &suite.join("lib"));
    fs::copy(original.join("index.js"), suite.join("index.js")).expect("a copy");
    fs::copy(workshop.file("Grape.js"), suite.join("lib/Grape.js")).expect("our Grape instead");
    let mut failures = Value::Null;
    for _ in 0..ATTEMPTS {
        let report = run_suite(&workshop);
        let stats = &report["stats"];
        assert_eq!(stats["pending"], 0, "no case is left out");
        assert!(
            stats["tests"].as_u64() >= Some(24),
            "all cases run: {stats}"
        );
        if stats["failures"] == 0 {
            return;
        }
        failures = report["failures"].clone();
    }
    panic!("after {ATTEMPTS} attempts: {failures:#}");
}
