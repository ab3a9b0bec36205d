//! Whoever reaches the port may send anything, or nothing, and harms nobody but himself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::agreement::wait_for_agreement;
use crate::support::generator::Generator;
use crate::support::node::{Node, list};
use crate::support::plan::Plan;

/// Connections that never say a word.
const SILENT: usize = 300;

/// The greatest claim of a TLS record's length, as the first bytes of a hello.
const HUGE_RECORD: [u8; 5] = [0x16, 0x03, 0x01, 0xff, 0xff];

/// Two nodes that are connected.
fn pair() -> (Node, Node) {
    let first = Node::start(Plan::named("first"));
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    second.wait_for_peers(1);
    (first, second)
}

fn dial(address: &str) -> TcpStream {
    TcpStream::connect(address).expect("the port is open")
}

/// What strangers may say first.
fn greetings() -> Vec<Vec<u8>> {
    let (mut generator, _) = Generator::from_environment();
    let mut random = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| generator.next().to_le_bytes()[0])
            .collect()
    };
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"buy 1 @ 30000\nquit\n".to_vec(),
        vec![0; 10_000],
        vec![0xff; 10_000],
        HUGE_RECORD.to_vec(),
        [&HUGE_RECORD[..], &random(100_000)].concat(),
        random(1),
        random(1_000),
        random(100_000),
    ]
}

#[test]
fn garbage_on_the_port_ends_that_connection_and_nothing_else() {
    let (mut first, mut second) = pair();
    for greeting in greetings() {
        let mut stream = dial(&first.address());
        let limit = Some(Duration::from_secs(30));
        stream.set_read_timeout(limit).expect("a time limit");
        // The node may close while we still write, which is an answer too.
        let _ = stream.write_all(&greeting);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = (&stream).take(100_000).read_to_end(&mut answer);
        assert!(answer.len() < 1_000, "a stranger gets no data");
        second.ok("buy 0.01 @ 10");
    }
    wait_for_agreement(&mut [&mut first, &mut second]);
    first.wait_for_peers(1);
}

#[test]
fn three_hundred_silent_connections_keep_nobody_out() {
    let (mut first, mut second) = pair();
    let silent: Vec<TcpStream> = (0..SILENT).map(|_| dial(&first.address())).collect();
    for position in 0..20 {
        first.ok(&format!("sell 0.1 @ {}", 100 + position));
        second.ok(&format!("buy 0.1 @ {}", 90 + position));
    }
    wait_for_agreement(&mut [&mut first, &mut second]);
    assert_eq!(list(&first.ok("peers"), "peers").len(), 1);

    let mut third = Node::start(Plan::named("third").dials(&first.address()));
    third.wait_for_peers(1);
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
    drop(silent);
    first.ok("cancel all");
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
}

#[test]
fn a_stranger_who_stalls_in_the_middle_of_a_hello_is_let_go() {
    let (mut first, mut second) = pair();
    let mut stream = dial(&first.address());
    stream.write_all(&HUGE_RECORD).expect("the node listens");
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).expect("a time limit");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(
        ended.is_ok() || ended.as_ref().is_err_and(reset),
        "{ended:?}"
    );
    second.ok("buy 1 @ 10");
    wait_for_agreement(&mut [&mut first, &mut second]);
}
