//! What a simulation is made of.

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
}

impl Config {
    /// How long the network has to agree after it has healed.
    pub fn settle_us_max(&self) -> Micros {
        300_000 * MS
    }
}
