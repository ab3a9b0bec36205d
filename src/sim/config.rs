//! What a simulation is made of.
//!
//! A scenario is a [`Config`] with a name ([`crate::scenario`]); the command line changes single
//! values of it. Equal values give equal reports.

use crate::adversaries;
use crate::canaries::Canary;
use crate::event::{MS, Micros};

/// How users behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Mostly orders that rest, some that take, some cancels and replaces.
    Steady,
    /// Nearly all orders meet, and cancels race the fills.
    Hot,
}

/// When operations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At random times.
    Random,
    /// At equal distances, by one node after another.
    Even,
    /// In bursts of a hundred.
    Bursts,
}

/// What goes wrong, apart from loss and liars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The network falls apart in the middle, twice: both ways, then one way.
    Partition,
    /// Links come and go.
    Flapping,
    /// Nodes stop and start again, some of them always.
    Churn,
    /// A fifth of the nodes joins when half of the time is over.
    LateJoin,
    /// Clocks are wrong, one by years in each direction.
    Skew,
    /// All nodes crash again and again.
    CrashStorm,
    /// One node is surrounded by liars but for one link.
    Eclipse,
}

/// A simulation. The same values give the same report, but for wall time and memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The scenario's name, for the report.
    pub scenario: String,
    /// What decides everything random.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// How long users write and troubles last.
    pub duration_us: Micros,
    /// Operations a second, of all nodes together.
    pub rate: f64,
    /// Least and greatest latency.
    pub latency_us: (Micros, Micros),
    /// Share of the frames that are lost, 0 to 1.
    pub loss: f64,
    /// Share of the nodes that lie, in percent.
    pub byzantine_percent: f64,
    /// How all liars lie; `None` is all kinds.
    pub adversary: Option<adversaries::Kind>,
    /// The planted bug.
    pub canary: Option<Canary>,
    /// How many links a node has, about.
    pub degree: u32,
    /// Threads; they change nothing but the wall time.
    pub threads: usize,
    /// What users do.
    pub workload: Workload,
    /// When they do it.
    pub pace: Pace,
    /// What goes wrong.
    pub trouble: Trouble,
    /// How long the network has to agree after it has healed, and all trades to be settled.
    pub patience_us: Micros,
}

impl Config {
    /// The command that runs this.
    pub fn command(&self) -> String {
        let (low_us, high_us) = self.latency_us;
        let mut command = format!(
            "bitfitech sim --scenario {} --seed {} --nodes {} --duration {}ms --rate {} \
             --latency {}ms..{}ms --loss {} --byzantine {} --links {}",
            self.scenario,
            self.seed,
            self.nodes,
            self.duration_us / MS,
            self.rate,
            low_us / MS,
            high_us / MS,
            self.loss,
            self.byzantine_percent,
            self.degree,
        );
        if let Some(kind) = self.adversary {
            command += &format!(" --adversary {}", kind.name());
        }
        if let Some(canary) = self.canary {
            command += &format!(" --canary {}", canary.name());
        }
        command
    }
}
