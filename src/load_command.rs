//! `load`: real nodes on this machine, driven at a given rate, with a report.
//!
//! Each node is a process of this very program on a free port of the loopback, with a directory of
//! its own that is removed in the end, and is driven over its standard input as a script would
//! drive it. Of ten orders nine rest far from the market and one buys; the first node sells to all
//! of these, at one price. So trades come at a known rate, and each node prints each trade.
//!
//! Before the first order counts, each node has placed a few: so its operations have a tree along
//! which they travel, as in a network that has been up for more than a moment.
//!
//! *Latency to the last node* is the time from writing a buying order to its node until the last
//! node has printed that it trades. The order was then answered, on a disk, at all nodes, verified
//! and in the books of all of them. The clock is that of this process, so no two clocks are
//! compared; what it costs to print and read a line is in the figure.
//!
//! *Bytes* are those of the loopback interface while orders are placed, headers of TCP and TLS and
//! all; whatever else talks on the loopback counts too.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{LoadOptions, Options, Output};
use crate::exit::Failure;

mod machine;
mod node;
mod report;
mod sightings;

use machine::Usage;
use node::{Line, Node, Told};
use report::Report;
use sightings::Sightings;

/// How long nodes may take to start, to find each other and to agree.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// How many earlier nodes each node dials: with as many that dial it, the ten links of
/// `p2p.target_peers`.
const DIALS: usize = 5;

/// One order in so many buys.
const PROBE_EVERY: u64 = 10;

/// Sells that rest before the first order buys, so that none finds nobody.
const STOCK: usize = 200;

/// Orders of each node that do not count, a moment apart.
const WARM_UP: usize = 10;

/// A sell that each buying order meets one of.
const SELL: &str = "sell 0.001 @ 30000";

/// An order that is looked for on all nodes.
const BUY: &str = "buy 0.001 @ 30000 ioc";

/// An order that rests and meets nobody.
const REST: &str = "buy 0.001 @ 10000";

/// Nodes under load.
struct Load {
    nodes: Vec<Node>,
    lines: Receiver<Line>,
    sightings: Sightings,
}

/// Starts nodes, drives them, and reports.
///
/// # Errors
/// Nodes that do not start or do not find each other are a failure at run time. If an order did not
/// reach all nodes, or they do not agree in the end, the report is printed all the same.
pub fn run(options: &Options, load: LoadOptions) -> Result<String, Failure> {
    let directory = TempDir::with_prefix("bitfitech-load-").map_err(|error| {
        Failure::RunTime(format!("a directory for the nodes cannot be made: {error}"))
    })?;
    let (sender, lines) = channel();
    let mut network = Load {
        nodes: Vec::new(),
        lines,
        sightings: Sightings::new(load.nodes),
    };
    for index in 0..load.nodes as usize {
        let known = network.nodes[index.saturating_sub(DIALS)..].iter();
        let known: Vec<String> = known.map(|node| node.address().to_owned()).collect();
        let place = directory.path().join(index.to_string());
        let node = Node::start(index, &place, &known, sender.clone());
        network.nodes.push(node.map_err(Failure::RunTime)?);
        network.await_address(index)?;
    }
    network.await_links()?;
    network.stock()?;
    let report = network.drive(load)?;
    let text = match options.output() {
        Output::Text => report.text(),
        Output::Json => format!("{}\n", report.json()),
    };
    if report.is_good() {
        return Ok(text);
    }
    Err(Failure::Found {
        report: text,
        lines: "an order did not reach all nodes in time, or they do not agree".to_owned(),
    })
}

impl Load {
    /// Waits for the first line of a node.
    fn await_address(&mut self, index: usize) -> Result<(), Failure> {
        self.wait(&format!("node {index} is ready"), |load| {
            load.nodes[index].is_ready()
        })
    }

    /// Waits until every node has a session with everyone whom it dials.
    fn await_links(&mut self) -> Result<(), Failure> {
        let count = self.nodes.len();
        let dialled = |index: usize| index.min(DIALS);
        let dialling = |index: usize| (count - 1 - index).min(DIALS);
        self.ask_until("peers", "all sessions stand", |index, reply| {
            let peers = reply["peers"].as_array().map_or(0, Vec::len);
            peers >= dialled(index) + dialling(index)
        })
    }

    /// Waits until all nodes have the same set.
    fn await_agreement(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let mut sets = Vec::new();
            self.ask_until("digest", "a digest", |_, reply| {
                sets.push(reply["set"].as_str().unwrap_or_default().to_owned());
                true
            })?;
            sets.dedup();
            if sets.len() == 1 {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(Failure::RunTime("the nodes do not agree".to_owned()));
            }
            self.idle(LOOK);
        }
    }

    /// Sells rest on the first node, and every node has placed something.
    fn stock(&mut self) -> Result<(), Failure> {
        for _ in 0..STOCK {
            self.nodes[0].send(SELL).map_err(Failure::RunTime)?;
        }
        for _ in 0..WARM_UP {
            for node in &mut self.nodes {
                node.send(REST).map_err(Failure::RunTime)?;
            }
            self.idle(LOOK);
        }
        self.wait("the first orders are answered", |load| {
            load.nodes.iter().all(Node::is_idle)
        })?;
        self.await_agreement()?;
        self.sightings = Sightings::new(self.nodes.len() as u32);
        Ok(())
    }

    /// Places orders for the given time, and counts.
    fn drive(&mut self, load: LoadOptions) -> Result<Report, Failure> {
        let before = self.usage();
        let loopback = machine::loopback_bytes();
        let started = Instant::now();
        let duration = Duration::from_millis(load.duration);
        let count = (load.rate * duration.as_secs_f64()) as u64;
        for number in 0..count {
            self.idle_until(started + Duration::from_secs_f64(number as f64 / load.rate));
            self.place(number).map_err(Failure::RunTime)?;
        }
        self.idle_until(started + duration);
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience && !self.is_done() {
            self.idle(LOOK);
        }
        let wall = started.elapsed();
        let after = self.usage();
        let sent = machine::loopback_bytes().zip(loopback);
        let converged = self.await_agreement().is_ok();
        let usages = before.into_iter().zip(after);
        Ok(Report {
            nodes: load.nodes,
            rate: load.rate,
            duration_ms: load.duration,
            orders: count,
            refused: self.sightings.refused(),
            wall,
            latencies: self.sightings.latencies(),
            missed: self.sightings.missed(),
            usages: usages.collect(),
            loopback_bytes: sent.map(|(after, before)| after.saturating_sub(before)),
            converged,
        })
    }

    /// Places one order: nodes in turn; the first sells as much as all others buy.
    fn place(&mut self, number: u64) -> Result<(), String> {
        let count = self.nodes.len() as u64;
        let (index, turn) = ((number % count) as usize, number / count);
        let probes = (turn + index as u64).is_multiple_of(PROBE_EVERY);
        let line = match index {
            0 => SELL,
            _ if probes => BUY,
            _ => REST,
        };
        let at = Instant::now();
        self.sightings.note_sent(index, at, line == BUY);
        self.nodes[index].send(line)
    }

    fn is_done(&self) -> bool {
        self.nodes.iter().all(Node::is_idle) && self.sightings.missed() == 0
    }

    fn usage(&self) -> Vec<Usage> {
        self.nodes.iter().map(|node| Usage::of(node.id())).collect()
    }

    /// Asks all nodes again and again until each has given an answer that will do.
    fn ask_until(
        &mut self,
        line: &str,
        what: &str,
        mut will_do: impl FnMut(usize, &Value) -> bool,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        for index in 0..self.nodes.len() {
            loop {
                self.nodes[index].ask(line).map_err(Failure::RunTime)?;
                self.wait("an answer", |load| load.nodes[index].is_idle())?;
                let answer = self.nodes[index].take_answer();
                if answer.is_some_and(|answer| will_do(index, &answer)) {
                    break;
                }
                if started.elapsed() > PATIENCE {
                    return Err(Failure::RunTime(format!("waited in vain until {what}")));
                }
                self.idle(LOOK);
            }
        }
        Ok(())
    }

    fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            if let Some(index) = self.nodes.iter_mut().position(Node::is_over) {
                let text = format!("node {index} ended, waiting until {what}; see above");
                return Err(Failure::RunTime(text));
            }
            if Instant::now() > until {
                return Err(Failure::RunTime(format!("waited in vain until {what}")));
            }
            self.take_line(LOOK);
        }
        Ok(())
    }

    fn idle(&mut self, time: Duration) {
        self.idle_until(Instant::now() + time);
    }

    /// Takes what the nodes print until then.
    fn idle_until(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.take_line(left);
        }
    }

    fn take_line(&mut self, patience: Duration) {
        match self.lines.recv_timeout(patience) {
            Ok(Line { node, at, told }) => match told {
                Told::Ready(address) => self.nodes[node].set_address(address),
                Told::Traded(order) => self.sightings.note_seen(node, order, at),
                Told::Answer(answer) => {
                    let is_order = self.nodes[node].take_reply(&answer);
                    if is_order {
                        self.sightings.note_answer(node, &answer);
                    }
                }
            },
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// Where nodes listen.
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The settings of every node: loopback only, nothing but peers, the sessions that are asked for.
fn settings(known: &[String]) -> Vec<String> {
    let fixed = [
        "mode=p2p",
        "p2p.port=0",
        "discovery.mdns=false",
        "discovery.peer_exchange=false",
        "discovery.persisted=false",
        "discovery.well_known_nodes=false",
        "p2p.target_peers=0",
        "network.name=load",
        "api.port=0",
        // The nodes of one machine share an address.
        "p2p.inbound_per_address=1000",
    ];
    let mut all: Vec<String> = fixed.iter().map(|setting| (*setting).to_owned()).collect();
    all.push(format!("p2p.host={HOST}"));
    all.push(format!("discovery.bootstrap_peers={}", known.join(",")));
    all
}

/// The command that starts a node in a directory.
fn command(place: &Path, known: &[String]) -> Result<process::Command, String> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| format!("this program cannot be found: {error}"))?;
    let mut command = process::Command::new(program);
    command.args(["run", "--output", "json", "--exit-on-eof"]);
    command.args(["--log-level", "warn"]);
    command.arg("--data-dir").arg(place);
    for setting in settings(known) {
        command.arg("-D").arg(setting);
    }
    Ok(command)
}
