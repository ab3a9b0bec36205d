//! A Grape in a process of its own, ours or the real one, and requests to its HTTP interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::plan::PROGRAM;
use crate::support::waiting::PATIENCE;
use crate::workshop::Workshop;

/// Age of announcements in these tests, in milliseconds.
pub const AGE_MS: u64 = 1_500;

/// A running Grape; dropping it kills the process.
pub struct Grape {
    child: Child,
    events: Receiver<Value>,
    /// Port of its DHT.
    pub dht_port: u16,
    /// Port of its HTTP interface.
    pub api_port: u16,
}

/// A port that is free for both kinds of sockets.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both kinds of sockets");
}

impl Grape {
    /// Ours, on free ports.
    pub fn ours(bootstrap: &[u16]) -> Self {
        Self::ours_aged(bootstrap, AGE_MS)
    }

    /// Ours, with announcements of this age.
    pub fn ours_aged(bootstrap: &[u16], age_ms: u64) -> Self {
        Self::of_program(PROGRAM.as_ref(), bootstrap, age_ms)
    }

    /// Ours, started by this copy of the program.
    pub fn of_program(program: &Path, bootstrap: &[u16], age_ms: u64) -> Self {
        let mut command = Command::new(program);
        let list: Vec<String> = bootstrap.iter().map(|port| address(*port)).collect();
        command.args(["grape", "--dp", "0", "--aph", "0", "--events", "json"]);
        command.args(["--bn", &list.join(","), "--dpa", &age_ms.to_string()]);
        Self::start(command)
    }

    /// Ours, with announcements of this age, and silent: the events of a benchmark are work that
    /// nobody asked for.
    pub fn ours_silent(bootstrap: &[u16], age_ms: u64) -> Self {
        let (dht_port, api_port) = (free_port(), free_port());
        let mut command = Command::new(PROGRAM);
        let list: Vec<String> = bootstrap.iter().map(|port| address(*port)).collect();
        command.args(["grape", "--dp", &dht_port.to_string()]);
        command.args(["--aph", &api_port.to_string(), "--bn", &list.join(",")]);
        command.args(["--dpa", &age_ms.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let grape = Self {
            child: command.spawn().expect("the program starts"),
            events: channel().1,
            dht_port,
            api_port,
        };
        eventually("it listens", || {
            TcpStream::connect(("127.0.0.1", api_port)).is_ok()
        });
        grape
    }

    /// The real one, on free ports.
    pub fn real(workshop: &Workshop, bootstrap: &[u16]) -> Self {
        Self::real_at(workshop, (free_port(), free_port()), bootstrap)
    }

    /// The real one, on these ports of DHT and HTTP interface.
    pub fn real_at(workshop: &Workshop, ports: (u16, u16), bootstrap: &[u16]) -> Self {
        Self::real_with(workshop, ports, bootstrap, AGE_MS)
    }

    /// The real one, with announcements of this age.
    pub fn real_aged(workshop: &Workshop, bootstrap: &[u16], age_ms: u64) -> Self {
        Self::real_with(workshop, (free_port(), free_port()), bootstrap, age_ms)
    }

    fn real_with(workshop: &Workshop, ports: (u16, u16), bootstrap: &[u16], age_ms: u64) -> Self {
        let list: Vec<String> = bootstrap.iter().map(|port| address(*port)).collect();
        let configuration = json!({
            "dht_port": ports.0,
            "api_port": ports.1,
            "dht_bootstrap": list,
            "dht_peer_maxAge": age_ms,
            "silent": age_ms != AGE_MS,
        });
        let mut command = workshop.node("real_grape.js");
        command.arg(configuration.to_string());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("a piped stdout"));
        let (sender, events) = channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            let events = lines.filter_map(|line| serde_json::from_str(&line).ok());
            // A test that has what it wants does not listen any more.
            events
                .map_while(|event| sender.send(event).ok())
                .for_each(drop);
        });
        let mut grape = Self {
            child,
            events,
            dht_port: 0,
            api_port: 0,
        };
        let listening = grape.wait_for("listening");
        let port = |name: &str| {
            let port = listening[name]
                .as_u64()
                .and_then(|port| port.try_into().ok());
            port.unwrap_or_else(|| panic!("{listening} needs {name}"))
        };
        grape.dht_port = port("dht_port");
        grape.api_port = port("api_port");
        grape
    }

    /// The next event of this kind.
    pub fn wait_for(&mut self, kind: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if event["event"] == kind => return event,
                Ok(_) => {}
                Err(error) => panic!("no event {kind} came: {error}"),
            }
        }
    }

    /// The address of its HTTP interface.
    pub fn url(&self) -> String {
        format!("http://{}", address(self.api_port))
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Status and body of the answer to a request.
    pub fn ask(&self, route: &str, data: Value) -> (u16, String) {
        let body = json!({"rid": "test", "data": data}).to_string();
        post(self.api_port, route, &body)
    }

    /// The body of an answer with status 200, as JSON.
    pub fn result(&self, route: &str, data: Value) -> Value {
        let (status, body) = self.ask(route, data);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// What is found under a name.
    pub fn lookup(&self, name: &str) -> Value {
        self.result("lookup", json!(name))
    }
}

impl Drop for Grape {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback.
pub fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Sends one request and reads the whole answer.
pub fn post(port: u16, route: &str, body: &str) -> (u16, String) {
    post_from(port, route, "", body)
}

/// The same with further lines of the head.
pub fn post_from(port: u16, route: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let length = body.len();
    let request = format!(
        "POST /{route} HTTP/1.1\r\nHost: grape\r\nConnection: close\r\n\
         {head}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Repeats until it holds, for as long as patience lasts.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
