//! `grape`: a Grape of its own, in place of Grenache's program of the same name.
//!
//! A small tree of two actors on one thread: the DHT, and the HTTP interface if there is to be one.
//! With `--events json` a line of JSON is printed for each event, so that scripts and tests know
//! when it listens and when it has entered the DHT.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use actix_rt::System;
use bitfitech_actors::dht::{DhtClient, DhtParts};
use bitfitech_actors::environment::Environment;
use bitfitech_actors::mailbox::ActorRef;
use bitfitech_actors::root::Root;
use bitfitech_actors::service;
use bitfitech_actors::supervisor::{Supervisor, SupervisorSpec};
use bitfitech_core::dht::{DhtConfig, DhtEvent};
use bitfitech_core::supervision::Config;
use bitfitech_io::transport::{BindError, PortFallback, bind_tcp};
use bitfitech_io::udp::bind_udp;
use bitfitech_web::grape_api::{self, GrapeApi};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::cli::{GRAPE_PROGRAM, GrapeCommand};
use crate::exit::Failure;

/// Runs a Grape in the program that is nothing else, if it stands beside this one, and here if it
/// does not.
///
/// The system keeps of a program in memory what is used and what stands near it; of one that can do
/// all that this one can, a Grape would keep three times as much.
///
/// # Errors
/// As for [`run`].
pub fn hand_over(command: &GrapeCommand) -> Result<String, Failure> {
    let beside = std::env::current_exe().map(|program| program.with_file_name(GRAPE_PROGRAM));
    let Some(program) = beside.ok().filter(|program| program.is_file()) else {
        return run(command);
    };
    let error = Command::new(&program).args(command.arguments()).exec();
    let program = program.display();
    Err(Failure::RunTime(format!(
        "{program} cannot be started: {error}"
    )))
}

/// Runs a Grape until it is told to end.
///
/// # Errors
/// Why it could not start, or why it ended by itself.
pub fn run(command: &GrapeCommand) -> Result<String, Failure> {
    let printer = Printer {
        prints: command.events.is_some(),
    };
    let outcome = bind(command)
        .map_err(|error| {
            let taken = matches!(error, BindError::Taken { .. });
            (error.to_string(), taken.then_some("EADDRINUSE"))
        })
        .and_then(|ports| {
            System::new()
                .block_on(live(command, ports, printer))
                .map_err(|error| (error, None))
        });
    outcome.map(|()| String::new()).map_err(|(message, code)| {
        printer.print(&json!({"event": "error", "message": message, "code": code}));
        Failure::RunTime(message)
    })
}

/// The bound ports.
struct Ports {
    dht: UdpSocket,
    dht_port: u16,
    api: Option<TcpListener>,
}

fn bind(command: &GrapeCommand) -> Result<Ports, BindError> {
    let dht = bind_udp(
        Ipv4Addr::UNSPECIFIED,
        command.dht_port,
        PortFallback::Refuse,
    )?;
    let dht_port = dht
        .local_addr()
        .map_or(command.dht_port, |address| address.port());
    let bind_at = |host, port| bind_tcp(SocketAddr::new(host, port), PortFallback::Refuse);
    let api = command.api_port.map(|port| match command.bind {
        Some(host) => bind_at(host, port),
        // All interfaces of either kind; a machine may have no IPv6.
        None => match bind_at(Ipv6Addr::UNSPECIFIED.into(), port) {
            Err(BindError::Io { .. }) => bind_at(Ipv4Addr::UNSPECIFIED.into(), port),
            bound => bound,
        },
    });
    Ok(Ports {
        dht,
        dht_port,
        api: api.transpose()?,
    })
}

/// The life of a Grape from its first actor to its last.
async fn live(command: &GrapeCommand, ports: Ports, printer: Printer) -> Result<(), String> {
    let dht = DhtClient::default();
    // Subscribed before the start, so that none is missed.
    let events = printer.prints.then(|| dht.subscribe());
    let announce_host = match command.bind {
        Some(IpAddr::V4(host)) => Some(host),
        _ => None,
    };
    let parts = DhtParts {
        config: DhtConfig {
            peer_age_ms_max: command.peer_age_ms_max,
            tables_max: command.tables_max,
            values_max: command.values_max,
            liveness_ms: command.liveness_ms,
            announce_host,
            ..DhtConfig::default()
        },
        bootstrap: command.bootstrap.clone(),
        socket: ports.dht,
    };
    let mut spec = SupervisorSpec::new(Config::default()).child(dht.child(parts));
    let mut listening = json!({"event": "listening", "dht_port": ports.dht_port});
    if let Some(listener) = ports.api {
        let port = listener.local_addr().map(|address| address.port());
        listening["api_port"] = json!(port.ok());
        let api = GrapeApi::new(dht.clone(), ports.dht_port, command.peer_age_ms_max)
            .body_bytes_max(command.payload_bytes_max);
        spec = spec.child(service::child(
            "grape_api",
            grape_api::service_here(listener, api),
        ));
    }
    let reference: ActorRef<Supervisor> = ActorRef::new("root", 1);
    let environment = Environment::new(RandomState::new().build_hasher().finish());
    let mut root = Root::start(&reference, spec, &environment);
    if root.started().await {
        printer.print(&listening);
        if let Some(events) = events {
            actix_rt::spawn(tell(events, printer));
        }
    }
    let ended = root.ended();
    tokio::pin!(ended);
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return ended.await.map_err(|failure| failure.to_string());
    };
    tokio::select! {
        ended = &mut ended => ended.map_err(|failure| failure.to_string()),
        // Nothing here is worth waiting for: others find out that this Grape is gone.
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Prints events, or nothing.
#[derive(Clone, Copy)]
struct Printer {
    prints: bool,
}

impl Printer {
    fn print(self, event: &Value) {
        if self.prints {
            let mut out = io::stdout().lock();
            // Nobody who closed the pipe wants to hear of it.
            drop(writeln!(out, "{event}").and_then(|()| out.flush()));
        }
    }
}

/// Tells of what happens in the DHT.
async fn tell(mut events: Receiver<DhtEvent>, printer: Printer) {
    loop {
        let event = match events.recv().await {
            Ok(DhtEvent::Ready) => json!({"event": "ready"}),
            Ok(DhtEvent::Announced { name, peer }) => {
                let name = String::from_utf8_lossy(&name);
                json!({"event": "announce", "name": name, "peer": peer.to_string()})
            }
            Ok(DhtEvent::NodeAdded(contact)) => {
                json!({"event": "node", "address": contact.address.to_string()})
            }
            Ok(DhtEvent::PeerFound(peer)) => json!({"event": "peer", "peer": peer.to_string()}),
            Err(RecvError::Lagged(missed)) => json!({"event": "warning", "missed_events": missed}),
            Err(RecvError::Closed) => return,
        };
        printer.print(&event);
    }
}
