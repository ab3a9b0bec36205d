//! Datagrams and requests that are meant to do harm, against a Grape as a process.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use serde_json::json;

use crate::grape::{Grape, address, eventually};
use crate::support::generator::Generator;
use crate::support::plan::PROGRAM;
use crate::support::program;

/// Datagrams sent.
const DATAGRAMS: usize = 1_000_000;

/// What each of them may have left behind in memory, in kilobytes, all together.
const GROWTH_KB_MAX: u64 = 64 * 1_024;

/// The hash of the value `alive`: SHA-1 of `5:alive`.
const KEPT: &str = "32dcec5f4e34cdc0ba27244a2395ce3ea8a1c697";

/// Resident memory of a process, in kilobytes.
pub fn memory_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// A datagram that is nearly one of the protocol.
fn hostile(generator: &mut Generator) -> Vec<u8> {
    const METHODS: [&str; 7] = [
        "ping",
        "find_node",
        "get_peers",
        "announce_peer",
        "get",
        "put",
        "unknown",
    ];
    const FIELDS: [&str; 10] = [
        "target",
        "info_hash",
        "token",
        "port",
        "v",
        "k",
        "sig",
        "seq",
        "salt",
        "implied_port",
    ];
    let mut text = b"d1:ad2:id20:".to_vec();
    (0..20).for_each(|_| text.push(generator.between(0, 255) as u8));
    for _ in 0..generator.between(0, 4) {
        let field = FIELDS[generator.between(0, FIELDS.len() - 1)];
        text.extend(format!("{}:{field}", field.len()).bytes());
        match generator.between(0, 4) {
            0 => text.extend(format!("i{}e", generator.next()).bytes()),
            1 => text.extend(b"d1:x1:ye"),
            2 => text.extend(b"l1:ae"),
            _ => {
                let length = generator.between(0, 300);
                text.extend(format!("{length}:").bytes());
                (0..length).for_each(|_| text.push(generator.between(0, 255) as u8));
            }
        }
    }
    let method = METHODS[generator.between(0, METHODS.len() - 1)];
    text.extend(format!("e1:q{}:{method}1:t2:ab1:y1:qe", method.len()).bytes());
    if generator.between(0, 9) == 0 {
        let at = generator.between(0, text.len() - 1);
        text.truncate(at);
    }
    text
}

#[test]
fn a_million_hostile_datagrams_leave_it_alive_and_its_memory_bounded() {
    let grape = Grape::ours(&[]);
    let target = address(grape.dht_port);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut generator = Generator::new(7);
    let templates: Vec<Vec<u8>> = (0..10_000).map(|_| hostile(&mut generator)).collect();
    // Kept here though there is nobody to send it to; this is its hash.
    assert_eq!(grape.result("put", json!("alive")), "No nodes to query");
    let kept = json!(KEPT);
    let before_kb = memory_kb(grape.id());
    for number in 0..DATAGRAMS {
        let mut datagram = templates[number % templates.len()].clone();
        // Another id each time, where there is one.
        let mark = (number as u64).to_be_bytes();
        if let Some(id) = datagram.get_mut(12..20) {
            id.copy_from_slice(&mark);
        }
        // The buffer of the socket may be full: those are lost, as they would be in the world.
        let _ = socket.send_to(&datagram, &target);
        if number % 1_000 == 0 {
            // Its thread has caught up when it answers what needs no other node.
            let hash = grape.result("get", kept.clone());
            assert_eq!(hash["v"], "alive", "after {number}");
        }
    }
    assert_eq!(grape.lookup("nobody"), json!([]));
    let after_kb = memory_kb(grape.id());
    assert!(
        after_kb < before_kb + GROWTH_KB_MAX,
        "from {before_kb} to {after_kb} kB"
    );
}

#[test]
fn what_crashes_the_real_grape_does_not_crash_ours() {
    let grape = Grape::ours(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let crashers: [&[u8]; 6] = [
        b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa6:targeti1ee1:q9:find_node1:t2:ab1:y1:qe",
        b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa9:info_hashdee1:q9:get_peers1:t2:ab1:y1:qe",
        b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa6:targetdee1:q3:get1:t2:ab1:y1:qe",
        b"d1:ad9:info_hash1:x4:porti1e5:tokeni1ee1:q13:announce_peer1:t2:ab1:y1:qe",
        b"d1:y1:qe",
        b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa3:sig1:s5:token1:t1:v1:ve1:q3:put1:t2:ab1:y1:qe",
    ];
    for crasher in crashers {
        let sent = socket.send_to(crasher, address(grape.dht_port));
        assert!(sent.is_ok());
    }
    for (route, data) in [
        ("get", json!("")),
        ("get", json!("zz")),
        ("announce", json!(["", 7])),
    ] {
        grape.ask(route, data);
    }
    eventually("it answers", || grape.lookup("alive") == json!([]));
}

#[test]
fn a_taken_port_is_an_error_that_says_so() {
    let grape = Grape::ours(&[]);
    let mut command = Command::new(PROGRAM);
    command
        .args(["grape", "--bn=", "--events", "json", "--dp"])
        .arg(grape.dht_port.to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let finished = program::run_to_end(command, "", program::Input::Ends);
    assert_eq!(finished.code, Some(1));
    let event: serde_json::Value =
        serde_json::from_str(&finished.stdout).expect("one line of JSON");
    assert_eq!(
        (&event["event"], &event["code"]),
        (&json!("error"), &json!("EADDRINUSE"))
    );
    let port = grape.dht_port.to_string();
    assert!(finished.stderr.contains(&port), "{}", finished.stderr);
}
