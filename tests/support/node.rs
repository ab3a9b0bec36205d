//! A real node in a process of its own, driven as a script would drive it.
//!
//! Commands go to its standard input, one a line; each gives exactly one reply, in order. Events
//! come in between and are kept until a test asks for them. Its log goes to a file that a failing
//! test prints.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::plan::{Plan, quiet_command};
use super::program::{self, Input, read_lines, run_to_end};
use super::waiting::{PATIENCE, look_until};

/// How many lines at the end of a log a failing test prints.
const LOG_LINES_SHOWN: usize = 80;

/// A running node. Dropping it kills the process and removes its data.
pub struct Node {
    plan: Plan,
    folder: TempDir,
    life: usize,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    replies: VecDeque<Value>,
    events: Vec<Value>,
    ready: Value,
}

/// The data of a node to be, with its key.
pub struct Home {
    folder: TempDir,
    /// The public key, for the settings of others.
    pub key: String,
}

impl Home {
    /// Makes a key.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = quiet_command(folder.path());
        command.args(["keys", "new", "--data-dir"]);
        command.arg(data_dir(folder.path()));
        let finished = run_to_end(command, "", Input::Ends);
        let key = finished.stdout.trim().to_owned();
        assert_eq!(key.len(), 64, "a key: {key} {}", finished.stderr);
        Self { folder, key }
    }
}

impl Node {
    /// Starts a node with an empty data directory and waits until it is ready.
    pub fn start(plan: Plan) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self::begin_life(plan, folder, 1)
    }

    /// Starts a node on a data directory that is made ready for it.
    pub fn start_prepared(plan: Plan, prepare: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let data_dir = data_dir(folder.path());
        fs::create_dir_all(&data_dir).expect("a data directory");
        prepare(&data_dir);
        Self::begin_life(plan, folder, 1)
    }

    /// Starts a node with a key that was made before.
    pub fn start_with(home: Home, plan: Plan) -> Self {
        Self::begin_life(plan, home.folder, 1)
    }

    /// Starts it again on the same data and, so that others find it, on the same port.
    pub fn start_again(mut self) -> Self {
        self.kill();
        let port = port_of(&self.address());
        let plan = self.plan.clone().port(port);
        let folder = TempDir::new().expect("a temporary folder");
        let folder = std::mem::replace(&mut self.folder, folder);
        Self::begin_life(plan, folder, self.life + 1)
    }

    fn begin_life(plan: Plan, folder: TempDir, life: usize) -> Self {
        let log = File::create(log_path(folder.path(), life)).expect("a log file");
        let mut command = plan.command(&data_dir(folder.path()));
        fs::create_dir_all(data_dir(folder.path())).expect("a data directory");
        command.args(["--output", "json"]).stderr(log);
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("a piped stdout");
        let mut node = Self {
            plan,
            folder,
            life,
            child,
            stdin,
            lines: read_lines(stdout),
            replies: VecDeque::new(),
            events: Vec::new(),
            ready: Value::Null,
        };
        node.ready = node.wait_for_event("it is ready", |event| event["event"] == "ready");
        node
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// The first line that it printed.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its identity.
    pub fn key(&self) -> String {
        self.text_of_ready("node")
    }

    /// Where it listens for peers.
    pub fn address(&self) -> String {
        self.text_of_ready("p2p")
    }

    fn text_of_ready(&self, field: &str) -> String {
        let text = self.ready[field].as_str();
        text.unwrap_or_else(|| panic!("the ready line needs `{field}`: {}", self.ready))
            .to_owned()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.folder.path())
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in KiB.
    pub fn memory_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the status of a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = line.and_then(|line| line.split_whitespace().next());
        digits
            .and_then(|it| it.parse().ok())
            .expect("its resident memory")
    }

    /// What it logged to stderr in this life.
    pub fn log(&self) -> String {
        let bytes = fs::read(log_path(self.folder.path(), self.life)).expect("its log file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes one line without waiting for the reply.
    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Writes bytes as they are. A node that died meanwhile is found when the reply is missing.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next reply.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn reply(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return reply;
            }
            if self.receive(deadline) != Received::Line {
                self.fail("a reply is missing");
            }
        }
    }

    /// Sends a command and returns its reply.
    pub fn command(&mut self, line: &str) -> Value {
        assert!(self.replies.is_empty(), "all earlier replies are taken");
        self.send(line);
        let reply = self.reply();
        let word = line.split_whitespace().next().unwrap_or_default();
        assert_eq!(reply["reply"], word, "the reply must belong to `{line}`");
        reply
    }

    /// Sends a command that must succeed.
    pub fn ok(&mut self, line: &str) -> Value {
        let reply = self.command(line);
        if reply["ok"] != true {
            self.fail(&format!("`{line}` failed: {reply}"));
        }
        reply
    }

    /// Sends a command until it succeeds, as while an actor restarts.
    pub fn ok_at_last(&mut self, line: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.command(line);
            if reply["ok"] == true {
                return reply;
            }
            if Instant::now() >= deadline {
                self.fail(&format!("`{line}` still fails: {reply}"));
            }
            self.rest();
        }
    }

    /// Waits until a command's reply is as wanted, and returns that reply.
    pub fn wait_for(&mut self, line: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.command(line);
            if good(&reply) {
                return reply;
            }
            if Instant::now() >= deadline {
                self.fail(&format!("waited until {what}; last `{line}`: {reply}"));
            }
            self.rest();
        }
    }

    /// Waits until exactly so many sessions are established.
    pub fn wait_for_peers(&mut self, count: usize) {
        self.wait_for("peers", &format!("it has {count} peers"), |reply| {
            list(reply, "peers").len() == count
        });
    }

    /// Takes the first event that fits, waiting for it if it has not come yet.
    pub fn wait_for_event(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(position) = self.events.iter().position(&fits) {
                return self.events.remove(position);
            }
            if self.receive(deadline) != Received::Line {
                let events = &self.events;
                self.fail(&format!("waited until {what}; events: {events:?}"));
            }
        }
    }

    /// Forgets the events that came so far.
    pub fn forget_events(&mut self) {
        while self.receive(Instant::now()) == Received::Line {}
        self.events.clear();
    }

    /// Forgets the events that come until then.
    pub fn forget_events_until(&mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            self.rest();
            self.events.clear();
        }
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.stdin = None;
        // It may be dead already; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }

    /// Starts a killed node once more, and kills it after this time, ready or not.
    pub fn die_while_starting(&self, after: Duration) {
        let port = port_of(&self.address());
        let plan = self.plan.clone().port(port);
        let mut command = plan.command(&self.data_dir());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let deadline = Instant::now() + after;
        let ended = look_until(deadline, || child.try_wait().expect("a child of ours"));
        assert!(ended.is_none(), "{}: it ends by itself", self.name());
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }

    /// Whether its process was killed and not started again.
    pub fn is_killed(&self) -> bool {
        self.stdin.is_none()
    }

    /// The replies that it had printed before it died, in order.
    pub fn last_replies(&mut self) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while self.receive(deadline) == Received::Line {}
        self.replies.drain(..).collect()
    }

    /// The next so many replies, or fewer if it dies meanwhile.
    pub fn replies_until(&mut self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while self.replies.len() < count && self.receive(deadline) == Received::Line {}
        let count = count.min(self.replies.len());
        self.replies.drain(..count).collect()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        program::signal(&self.child, name);
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for the end of the process and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        match program::wait_for_exit(&mut self.child) {
            Some(status) => status.code(),
            None => self.fail("it does not end"),
        }
    }

    /// Files the next line; returns early when one comes.
    fn receive(&mut self, deadline: Instant) -> Received {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Received::End,
        };
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            self.fail(&format!("a line of its output is no JSON: {line}"));
        };
        match (value.get("reply"), value.get("event")) {
            (Some(_), None) => self.replies.push_back(value),
            (None, Some(_)) => self.events.push(value),
            _ => self.fail(&format!("a line is neither reply nor event: {line}")),
        }
        Received::Line
    }

    /// Lets a moment pass, or less if a line comes.
    fn rest(&mut self) {
        self.receive(Instant::now() + Duration::from_millis(20));
    }

    /// Ends the test. The log is printed when the node is dropped.
    pub fn fail(&self, what: &str) -> ! {
        panic!("node {}: {what}", self.name());
    }
}

/// What waiting for a line brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    Line,
    Nothing,
    End,
}

impl Drop for Node {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows the logs of its nodes"
    )]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            let (name, life) = (self.name(), self.life);
            eprintln!("--- log of {name}, life {life}\n{}\n---", shown.join("\n"));
        }
    }
}

/// The array in a field of a reply; empty when it is missing.
pub fn list<'a>(reply: &'a Value, field: &str) -> &'a [Value] {
    reply[field].as_array().map_or(&[], Vec::as_slice)
}

/// The text in a field of a reply.
///
/// # Panics
/// When the field is missing or no text.
pub fn text(reply: &Value, field: &str) -> String {
    let text = reply[field].as_str();
    text.unwrap_or_else(|| panic!("`{field}` must be a text in {reply}"))
        .to_owned()
}

/// The port of `host:port`.
pub fn port_of(address: &str) -> u16 {
    let port = address.rsplit_once(':').map(|(_, port)| port.parse());
    match port {
        Some(Ok(port)) => port,
        _ => panic!("{address} must be host:port"),
    }
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log_path(folder: &Path, life: usize) -> PathBuf {
    folder.join(format!("stderr-{life}.txt"))
}
