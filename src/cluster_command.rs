//! `bitfitech cluster`: a small network on this machine, at one terminal and on one page.
//!
//! Every node is a process of its own of this same program, on loopback, with free ports and a
//! data directory that is gone afterwards. What is typed as `2: buy 1 @ 5` goes to node 2, and what
//! a node says is shown behind its number. Nothing here knows what the commands mean.
//!
//! Threads read what comes, one for each stream, and one loop deals with it: so nothing can come
//! while something else is dealt with, and no order of events is a special case.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde_json::json;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Options, Output};
use crate::exit::Failure;

/// Lines that wait to be dealt with; whoever brings more waits.
const NEWS_MAX: usize = 256;

/// What comes to the loop.
enum News {
    /// The user typed a line.
    Typed(String),
    /// The user's input has ended.
    NoMoreInput,
    /// A node said something on its standard output.
    Said(usize, String),
    /// A node logged something.
    Logged(usize, String),
    /// The output of a node has ended, so it has, or will soon.
    Ended(usize),
    /// Ctrl-C, or another request to end.
    Signal,
}

/// Ports of a node, free a moment ago.
struct Ports {
    api: u16,
    p2p: u16,
}

/// A node of the cluster.
struct Node {
    child: Child,
    /// `None` once it is told to end, or has.
    stdin: Option<ChildStdin>,
}

/// Runs a cluster until the user ends it.
///
/// # Errors
/// Why it could not begin, or that a node ended with a failure.
pub fn run(options: &Options, count: usize) -> Result<String, Failure> {
    let folder = TempDir::with_prefix("bitfitech-cluster-").map_err(failed)?;
    let ports = free_ports(count).map_err(failed)?;
    let (sender, news) = sync_channel(NEWS_MAX);
    let mut cluster = Cluster {
        nodes: Vec::new(),
        output: options.output(),
        failures: 0,
    };
    for number in 0..count {
        let command = command(options, folder.path(), &ports, number).map_err(failed)?;
        let node = start(command, number, &sender).map_err(failed)?;
        cluster.nodes.push(node);
    }
    watch_signals(sender.clone());
    watch_input(sender);
    cluster.tell_pages(&ports);
    cluster.follow(&news);
    cluster.end(&news);
    match cluster.failures {
        0 => Ok(String::new()),
        failures => Err(Failure::RunTime(format!(
            "{failures} nodes ended with a failure"
        ))),
    }
}

fn failed(error: impl Display) -> Failure {
    Failure::RunTime(error.to_string())
}

/// Two free ports for each node. They are held together, so that no two are the same.
fn free_ports(count: usize) -> io::Result<Vec<Ports>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<TcpListener> = (0..2 * count).map(bind).collect::<io::Result<_>>()?;
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let pairs = listeners.chunks(2);
    pairs
        .map(|pair| {
            Ok(Ports {
                api: port(&pair[0])?,
                p2p: port(&pair[1])?,
            })
        })
        .collect()
}

fn origin(ports: &Ports) -> String {
    format!("http://127.0.0.1:{}", ports.api)
}

/// The command that starts a node.
fn command(
    options: &Options,
    folder: &Path,
    ports: &[Ports],
    number: usize,
) -> io::Result<Command> {
    let own = &ports[number];
    let origins: Vec<String> = ports.iter().map(origin).collect();
    let others: Vec<&str> = origins
        .iter()
        .filter(|other| **other != origin(own))
        .map(String::as_str)
        .collect();
    let earlier = ports[..number].iter();
    let peers: Vec<String> = earlier.map(|it| format!("127.0.0.1:{}", it.p2p)).collect();
    let settings = [
        "mode=p2p".to_owned(),
        "network.name=cluster".to_owned(),
        "log.level=warn".to_owned(),
        "discovery.mdns=false".to_owned(),
        "discovery.persisted=false".to_owned(),
        "p2p.host=127.0.0.1".to_owned(),
        "p2p.port_fallback=false".to_owned(),
        format!("p2p.port={}", own.p2p),
        format!("discovery.bootstrap_peers={}", peers.join(",")),
        format!("api.port={}", own.api),
        format!("api.allowed_origins={}", origins.join(",")),
        format!("api.page_nodes={}", others.join(",")),
    ];
    let mut command = Command::new(std::env::current_exe()?);
    // A cluster that is killed closes their input, and so ends them.
    command.args(["run", "--exit-on-eof"]);
    for setting in settings {
        command.arg("-D").arg(setting);
    }
    command.args(options.passed_on());
    command
        .arg("--data-dir")
        .arg(folder.join((number + 1).to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Starts a node, with threads that read what it says.
fn start(mut command: Command, number: usize, news: &SyncSender<News>) -> io::Result<Node> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    if let Some(stdout) = child.stdout.take() {
        let news = news.clone();
        thread::spawn(move || {
            read_lines(stdout, |line| news.send(News::Said(number, line)).is_ok());
            // Nobody listens any more when the cluster has ended.
            drop(news.send(News::Ended(number)));
        });
    }
    if let Some(stderr) = child.stderr.take() {
        let news = news.clone();
        thread::spawn(move || {
            read_lines(stderr, |line| news.send(News::Logged(number, line)).is_ok())
        });
    }
    Ok(Node { child, stdin })
}

/// Reads lines until there are no more, or nobody wants them.
fn read_lines(stream: impl Read, mut take: impl FnMut(String) -> bool) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        if !take(String::from_utf8_lossy(&line).into_owned()) {
            return;
        }
    }
}

fn watch_input(news: SyncSender<News>) {
    thread::spawn(move || {
        read_lines(io::stdin(), |line| news.send(News::Typed(line)).is_ok());
        drop(news.send(News::NoMoreInput));
    });
}

fn watch_signals(news: SyncSender<News>) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let signals = signal(SignalKind::interrupt())
                .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
            let Ok((mut interrupt, mut terminate)) = signals else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if news.send(News::Signal).is_err() {
                    return;
                }
            }
        });
    });
}

/// All nodes.
struct Cluster {
    nodes: Vec<Node>,
    output: Output,
    failures: usize,
}

impl Cluster {
    /// Says where the page is.
    fn tell_pages(&self, ports: &[Ports]) {
        let pages: Vec<String> = ports.iter().map(|it| origin(it) + "/").collect();
        match self.output {
            Output::Json => say(&json!({"event": "cluster", "pages": pages}).to_string()),
            Output::Text => {
                say(&format!(
                    "{} nodes; all of them on one page: {}",
                    pages.len(),
                    pages[0]
                ));
                say(
                    "type to a node behind its number (1: help), to all nodes (all: digest), or quit",
                );
            }
        }
    }

    /// Deals with what comes until the user wants an end, or no node is left.
    fn follow(&mut self, news: &Receiver<News>) {
        while self.nodes.iter().any(|node| node.stdin.is_some()) {
            match news.recv() {
                Ok(News::Typed(line)) if line.trim() == "quit" => return,
                Ok(News::Typed(line)) => self.pass(line.trim()),
                Ok(News::NoMoreInput | News::Signal) | Err(_) => return,
                Ok(other) => self.report(other),
            }
        }
    }

    /// Gives a line to the node or the nodes that it is for.
    fn pass(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let (whom, command) = line.split_once(':').unwrap_or(("", line));
        let count = self.nodes.len();
        let wanted = match whom.trim() {
            "all" => 0..count,
            number => match number.parse::<usize>() {
                Ok(number) if (1..=count).contains(&number) => number - 1..number,
                _ => {
                    say(&format!(
                        "which node? write 1: to {count}:, or all:, before the command"
                    ));
                    return;
                }
            },
        };
        for number in wanted {
            let stdin = self.nodes[number].stdin.as_mut();
            let written = stdin
                .map(|stdin| writeln!(stdin, "{}", command.trim()).and_then(|()| stdin.flush()));
            if !matches!(written, Some(Ok(()))) {
                say(&format!("{}: this node has ended", number + 1));
            }
        }
    }

    /// Shows what a node says, and that it has ended.
    fn report(&mut self, news: News) {
        match news {
            News::Said(number, line) => say(&format!("{}: {line}", number + 1)),
            News::Logged(number, line) => {
                // Who closed it wants no logs.
                drop(writeln!(io::stderr(), "{}: {line}", number + 1));
            }
            News::Ended(number) => {
                let node = &mut self.nodes[number];
                node.stdin = None;
                let ended = node.child.wait();
                if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
                    self.failures += 1;
                }
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                say(&format!("{}: the node has ended ({how})", number + 1));
            }
            News::Typed(_) | News::NoMoreInput | News::Signal => {}
        }
    }

    /// Ends the nodes, the last one first; the second request to end does not wait.
    fn end(&mut self, news: &Receiver<News>) {
        for number in (0..self.nodes.len()).rev() {
            if let Some(mut stdin) = self.nodes[number].stdin.take() {
                // A node that has ended meanwhile needs no word.
                drop(writeln!(stdin, "quit"));
                self.await_end(number, news);
            }
        }
    }

    fn await_end(&mut self, number: usize, news: &Receiver<News>) {
        while let Ok(one) = news.recv() {
            match one {
                News::Signal => {
                    // It may have ended already.
                    drop(self.nodes[number].child.kill());
                }
                News::Ended(ended) => {
                    self.report(one);
                    if ended == number {
                        return;
                    }
                }
                other => self.report(other),
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // One that has ended cannot be killed, and is waited for already.
            drop(node.child.kill());
            drop(node.child.wait());
        }
    }
}

/// Writes a line; whoever closed the output wants none.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
