//! Sessions over loopback.

use super::*;
use crate::identity::Identity;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longest time that anything here may take; only a failing test ever waits for it.
const PATIENCE_MS: u64 = 10_000;

fn node(seed: u8) -> Tls {
    Tls::new(&Identity::from_seed([seed; 32])).expect("configures")
}

fn listen(address: SocketAddr, fallback: PortFallback) -> Result<TcpListener, BindError> {
    let bound = bind_tcp(address, fallback)?;
    Ok(TcpListener::from_std(bound).expect("there is a runtime"))
}

fn acceptor(seed: u8, limits: AcceptLimits) -> (Acceptor, SocketAddr) {
    let listener = listen(SocketAddr::new(LOOPBACK, 0), PortFallback::Refuse);
    let acceptor = Acceptor::new(listener.expect("listens"), node(seed), limits);
    let address = acceptor.local_address().expect("has an address");
    (acceptor, address)
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_millis(PATIENCE_MS);
    timeout(limit, work).await.expect("ends in time")
}

/// A session between nodes 1 (who dials) and 2.
async fn pair() -> (Connection, Connection) {
    let (mut acceptor, address) = acceptor(2, AcceptLimits::default());
    let tls = node(1);
    let dial = connect(&tls, address, None, PATIENCE_MS);
    let (dialled, accepted) = patiently(async { tokio::join!(dial, acceptor.accept()) }).await;
    (dialled.expect("connects"), accepted)
}

fn frame(kind: u8, length: usize) -> RawFrame {
    RawFrame {
        kind,
        payload: vec![kind; length],
    }
}

#[tokio::test]
async fn both_ends_know_the_key_of_the_other_and_frames_arrive_in_order() {
    let (dialled, accepted) = pair().await;
    assert_eq!(dialled.key, node(2).author());
    assert_eq!(accepted.key, node(1).author());
    assert!(dialled.stream.get_ref().0.nodelay().expect("an option"));
    assert!(accepted.stream.get_ref().0.nodelay().expect("an option"));

    let (_, mut writer) = dialled.split(FrameLimits::default());
    let (mut reader, _held) = accepted.split(FrameLimits::default());
    let sent = [frame(1, 0), frame(2, 300), frame(3, 500_000), frame(4, 1)];
    let batch: Vec<Vec<u8>> = sent.iter().map(RawFrame::encode).collect();
    let send = async {
        writer.write(&batch).await.expect("writes");
        writer.close().await.expect("closes");
    };
    let receive = async {
        for expected in &sent {
            assert_eq!(reader.read().await.expect("reads"), *expected);
        }
        reader.read().await.expect_err("is over")
    };
    let ((), end) = patiently(async { tokio::join!(send, receive) }).await;
    assert!(matches!(end, ReadError::Closed), "{end}");
}

#[tokio::test]
async fn both_ends_can_send_more_than_fits_in_between_at_once() {
    let (dialled, accepted) = pair().await;
    let batch: Vec<Vec<u8>> = (0..40).map(|kind| frame(kind, 500_000).encode()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for connection in [dialled, accepted] {
        let (mut reader, mut writer) = connection.split(FrameLimits::default());
        let batch = batch.clone();
        tasks.spawn(async move { writer.write(&batch).await.expect("writes") });
        tasks.spawn(async move {
            for kind in 0..40 {
                assert_eq!(reader.read().await.expect("reads").kind, kind);
            }
        });
    }
    patiently(tasks.join_all()).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_is_told_apart_from_one_that_closes() {
    let (dialled, accepted) = pair().await;
    let (mut reader, _held) = accepted.split(FrameLimits::default());
    drop(dialled);
    let end = patiently(reader.read()).await.expect_err("is over");
    assert!(matches!(end, ReadError::Cut | ReadError::Io(_)), "{end}");
}

#[tokio::test]
async fn an_oversize_frame_is_refused_by_its_announcement() {
    let (mut dialled, accepted) = pair().await;
    let (mut reader, _held) = accepted.split(FrameLimits::default());
    dialled.stream.write_all(&[0xff; 4]).await.expect("writes");
    dialled.stream.flush().await.expect("flushes");
    let end = patiently(reader.read()).await.expect_err("is refused");
    assert!(
        matches!(
            end,
            ReadError::TooLong {
                claimed_bytes: u32::MAX,
                max_bytes: 1_048_576
            }
        ),
        "{end}"
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_and_can_still_be_heard() {
    let (dialled, accepted) = pair().await;
    let limits = FrameLimits {
        write_ms_max: 200,
        ..FrameLimits::default()
    };
    let (mut reader, mut writer) = accepted.split(limits);
    let (_unread, mut other) = dialled.split(FrameLimits::default());
    // More than both sockets' buffers, which the kernel lets grow to some MiB.
    let batch = vec![frame(1, 1_000_000).encode(); 40];
    let end = patiently(writer.write(&batch))
        .await
        .expect_err("is given up");
    assert!(matches!(end, WriteError::TimedOut { .. }), "{end}");
    other.write(&[frame(2, 5).encode()]).await.expect("writes");
    let heard = patiently(reader.read()).await.expect("reads");
    assert_eq!(heard, frame(2, 5));
}

#[tokio::test]
async fn a_listener_with_another_key_than_expected_is_named() {
    let (mut acceptor, address) = acceptor(2, AcceptLimits::default());
    let (tls, expected) = (node(1), node(3).author());
    let dial = connect(&tls, address, Some(expected), PATIENCE_MS);
    let error = tokio::select! {
        dialled = patiently(dial) => dialled.expect_err("is refused"),
        _ = acceptor.accept() => unreachable!("the dialler refuses"),
    };
    assert!(
        matches!(
            &error,
            ConnectError::Handshake { source: HandshakeError::WrongPeer(wrong), .. }
                if wrong.expected == expected && wrong.found == node(2).author()
        ),
        "{error}"
    );
}

#[tokio::test]
async fn dialling_nobody_and_dialling_one_who_says_nothing_end_with_their_reasons() {
    let silent = listen(SocketAddr::new(LOOPBACK, 0), PortFallback::Refuse).expect("listens");
    let address = silent.local_addr().expect("has an address");
    let error = patiently(connect(&node(1), address, None, 100)).await;
    let error = error.expect_err("is too late");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    drop(silent);
    let error = patiently(connect(&node(1), address, None, PATIENCE_MS)).await;
    let error = error.expect_err("nobody is there");
    assert!(matches!(error, ConnectError::Tcp { .. }), "{error}");
}

#[tokio::test]
async fn one_who_does_not_speak_tls_is_dropped_and_others_are_served() {
    let (mut acceptor, address) = acceptor(2, AcceptLimits::default());
    let mut garbage = TcpStream::connect(address).await.expect("connects");
    garbage
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("writes");
    let tls = node(1);
    let visit = async {
        let mut answer = Vec::new();
        // An alert and the end, or a reset.
        let _ = garbage.read_to_end(&mut answer).await;
        connect(&tls, address, None, PATIENCE_MS)
            .await
            .expect("connects")
    };
    let (_held, accepted) = patiently(async { tokio::join!(visit, acceptor.accept()) }).await;
    assert_eq!(accepted.key, tls.author());
    assert_eq!(
        acceptor.statistics(),
        AcceptStatistics {
            completed: 1,
            failed: 1,
            displaced: 0,
            refused: 0
        }
    );
}

#[tokio::test]
async fn three_hundred_silent_connections_do_not_keep_an_honest_one_out() {
    let (mut acceptor, address) = acceptor(2, AcceptLimits::default());
    let (tls, start) = (node(1), Instant::now());
    let attack = async {
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(TcpStream::connect(address).await.expect("connects"));
        }
        let honest = connect(&tls, address, None, PATIENCE_MS).await;
        (silent, honest.expect("connects"))
    };
    let (_held, accepted) = patiently(async { tokio::join!(attack, acceptor.accept()) }).await;
    assert_eq!(accepted.key, tls.author());
    assert!(start.elapsed() < Duration::from_secs(2));
    let displaced = acceptor.statistics().displaced;
    assert!((300 - 128..300).contains(&displaced), "{displaced}");
}

#[tokio::test]
async fn a_burst_of_honest_diallers_beyond_the_limit_is_served_without_loss() {
    let limits = AcceptLimits {
        pending_max: 4,
        grace_ms: PATIENCE_MS,
        ..AcceptLimits::default()
    };
    let (mut acceptor, address) = acceptor(2, limits);
    let mut diallers = tokio::task::JoinSet::new();
    for seed in 10..40 {
        let dial = async move { connect(&node(seed), address, None, PATIENCE_MS).await };
        diallers.spawn(dial);
    }
    let serve = async {
        let mut held = Vec::new();
        for _ in 10..40 {
            held.push(acceptor.accept().await);
        }
        held
    };
    let (dialled, served) = patiently(async { tokio::join!(diallers.join_all(), serve) }).await;
    assert!(dialled.iter().all(Result::is_ok));
    assert_eq!(served.len(), 30);
    assert_eq!(acceptor.statistics().displaced, 0);
}

#[tokio::test]
async fn a_network_that_crowds_displaces_its_own_handshakes_only() {
    let limits = AcceptLimits {
        pending_max: 8,
        grace_ms: 0,
        handshake_ms_max: PATIENCE_MS,
    };
    let (mut acceptor, address) = acceptor(2, limits);
    // The slow honest one comes first, from another address of this machine.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let elsewhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);
    socket.bind(elsewhere).expect("binds");
    let slow = socket.connect(address).await.expect("connects");
    let mut silent = Vec::new();
    while silent.len() < 40 {
        silent.push(TcpStream::connect(address).await.expect("connects"));
    }
    patiently(async {
        while acceptor.statistics().displaced < 40 - 8 {
            let limit = Duration::from_millis(1);
            timeout(limit, acceptor.accept())
                .await
                .expect_err("nobody spoke yet");
        }
    })
    .await;
    let tls = node(1);
    let shake = tls.connect(slow, None);
    let (shaken, accepted) = patiently(async { tokio::join!(shake, acceptor.accept()) }).await;
    shaken.expect("shakes hands");
    assert_eq!(accepted.key, tls.author());
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_dropped() {
    let limits = AcceptLimits {
        handshake_ms_max: 50,
        ..AcceptLimits::default()
    };
    let (mut acceptor, address) = acceptor(2, limits);
    let mut silent = TcpStream::connect(address).await.expect("connects");
    let mut byte = [0];
    let dropped = async {
        tokio::select! {
            read = silent.read(&mut byte) => read,
            _ = acceptor.accept() => unreachable!("nobody shakes hands"),
        }
    };
    assert!(!matches!(patiently(dropped).await, Ok(1..)));
}

#[tokio::test]
async fn a_taken_port_is_refused_with_advice_or_replaced_by_a_free_one() {
    let first = listen(SocketAddr::new(LOOPBACK, 0), PortFallback::Refuse).expect("listens");
    let taken = first.local_addr().expect("has an address");
    let error = listen(taken, PortFallback::Refuse).expect_err("is taken");
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    let wanted = format!("port {} is taken on 127.0.0.1", taken.port());
    assert!(error.to_string().starts_with(&wanted), "{error}");
    let second = listen(taken, PortFallback::NextFree).expect("listens elsewhere");
    assert_ne!(second.local_addr().expect("has an address"), taken);
}

#[test]
fn the_next_free_port_is_taken_and_beyond_the_last_the_system_chooses() {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    let bind = |first: u16, free: u16| {
        bind_port(
            SocketAddr::new(LOOPBACK, first),
            PortFallback::NextFree,
            |address| {
                let fits = address.port() == 0 || address.port() == free;
                fits.then_some(address.port()).ok_or_else(in_use)
            },
        )
    };
    assert_eq!(bind(3000, 3000).expect("binds"), 3000);
    assert_eq!(bind(3000, 3007).expect("binds"), 3007);
    assert_eq!(bind(3000, 9000).expect("binds"), 0);
    assert_eq!(bind(65_530, 3000).expect("binds"), 0);
}

#[test]
fn another_failure_than_a_taken_port_is_not_retried() {
    let mut calls = 0;
    let error = bind_port(
        SocketAddr::new(LOOPBACK, 80),
        PortFallback::NextFree,
        |_| {
            calls += 1;
            Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied))
        },
    );
    assert!(matches!(error, Err(BindError::Io { .. })));
    assert_eq!(calls, 1);
}
