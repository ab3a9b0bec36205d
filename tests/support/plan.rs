//! How a node of a test is to be started: its settings, its arguments, its neighbours.

use std::path::Path;
use std::process::{Command, Stdio};

use super::bare::bare;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bitfitech");

/// Settings of every node in tests: loopback only, and second attempts soon, so that healing is
/// measured in tenths of seconds. Ways of discovery that find strangers on the machine have to be
/// switched off here: the tests draw their own topology.
const SETTINGS: [(&str, &str); 11] = [
    ("mode", "p2p"),
    ("discovery.mdns", "false"),
    ("discovery.peer_exchange", "false"),
    ("discovery.persisted", "false"),
    ("p2p.target_peers", "0"),
    ("network.name", "e2e"),
    ("p2p.host", "127.0.0.1"),
    ("api.port", "0"),
    ("p2p.reconnect_interval_ms", "500"),
    ("breaker.reset_timeout_ms", "300"),
    ("breaker.max_timeout_ms", "1000"),
];

/// A node to be started: a builder.
#[derive(Clone)]
pub struct Plan {
    name: String,
    port: u16,
    bootstrap: Vec<String>,
    settings: Vec<(String, String)>,
    namespace: Option<String>,
    launcher: Vec<String>,
    arguments: Vec<String>,
}

impl Plan {
    /// A node on a free port that knows nobody. The name is for messages only.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            port: 0,
            bootstrap: Vec::new(),
            settings: Vec::new(),
            namespace: None,
            launcher: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// It dials this address from the start.
    pub fn dials(mut self, address: &str) -> Self {
        self.bootstrap.push(address.to_owned());
        self
    }

    /// It finds peers by itself and keeps so many sessions, and at most so many.
    pub fn finds_peers(self, target: usize, max: usize) -> Self {
        self.set("discovery.peer_exchange", "true")
            .set("discovery.persisted", "true")
            .set("p2p.target_peers", &target.to_string())
            .set("p2p.max_peers", &max.to_string())
    }

    /// It runs in this network namespace, where alone it may multicast.
    pub fn inside(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self.set("p2p.host", "0.0.0.0")
            .set("discovery.mdns", "true")
    }

    /// It is started by a shell after this script, which may limit what it gets; by another
    /// program, given as words, if that has to run the shell.
    pub fn after(mut self, words: &[&str], script: &str) -> Self {
        let script = format!("{script}; exec \"$0\" \"$@\"");
        let words = words.iter().copied().chain(["sh", "-c", script.as_str()]);
        self.launcher = words.map(str::to_owned).collect();
        self
    }

    /// It listens on this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A setting, `section.key`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Fault drills are allowed.
    pub fn drills(self) -> Self {
        self.set("debug.drills", "true")
    }

    /// One more argument of the command line.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The command that starts it. Later settings win over earlier ones of the same key.
    pub fn command(&self, data_dir: &Path) -> Command {
        let mut command = match (&self.namespace, self.launcher.split_first()) {
            (None, None) => quiet_command(data_dir),
            (None, Some((launcher, words))) => {
                let mut command = quiet(Command::new(launcher), data_dir);
                command.args(words).arg(PROGRAM);
                command
            }
            (Some(namespace), _) => {
                let mut command = quiet(Command::new("ip"), data_dir);
                command.args(["netns", "exec", namespace, PROGRAM]);
                command
            }
        };
        command.arg("run").arg("--data-dir").arg(data_dir);
        for (key, value) in SETTINGS {
            if !self.settings.iter().any(|(own, _)| own == key) {
                command.arg("-D").arg(format!("{key}={value}"));
            }
        }
        for (key, value) in &self.settings {
            command.arg("-D").arg(format!("{key}={value}"));
        }
        command.arg("-D").arg(format!("p2p.port={}", self.port));
        let peers = self.bootstrap.join(",");
        command
            .arg("-D")
            .arg(format!("discovery.bootstrap_peers={peers}"));
        command.args(&self.arguments);
        command
    }
}

/// The program without any of this machine's settings: an environment that only keeps it from
/// talking to the local network, and a working folder without a `config.toml`.
pub fn quiet_command(folder: &Path) -> Command {
    quiet(Command::new(PROGRAM), folder)
}

fn quiet(mut command: Command, folder: &Path) -> Command {
    bare(&mut command)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DISCOVERY_MDNS", "false")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
