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
    /// Every order is over at once and meets nobody: nothing is written but what users write.
    Fleeting,
    /// Like `Steady`, but several orders at once in any of the markets, of which some expire; now
    /// and then all are taken back at once.
    Makers,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Steady, Self::Hot, Self::Fleeting, Self::Makers];

    /// Their names, in the same order.
    pub const NAMES: [&str; 4] = ["steady", "hot", "fleeting", "makers"];

    /// The workload of a name.
    pub fn find(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self::ALL[at])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let at = Self::ALL.iter().position(|known| *known == self);
        Self::NAMES[at.expect("all workloads are listed")]
    }
}

/// When operations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At random times.
    Random,
    /// At equal distances, by nodes in random order, of which none has a second turn before all
    /// have had the first.
    Even,
    /// In bursts of a hundred.
    Bursts,
}

/// What goes wrong, apart from loss and liars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// In the middle the network falls into halves.
    Partition,
    /// The same, and later nobody hears a fifth of the nodes, who hear the others.
    Partitions,
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
    /// A fifth of the nodes, one after the other, comes back with an old copy of its disk.
    OldCopies,
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
    /// How many markets they are spread over, from 1 to
    /// [`MARKETS_MAX`](bitfitech_core::genesis::MARKETS_MAX).
    pub markets: u16,
    /// How often an administrator expels members or admits them again. With none the network is
    /// open; with any it has at most
    /// [`ALLOW_LIST_MAX`](bitfitech_core::genesis::ALLOW_LIST_MAX) nodes.
    pub expulsions: u32,
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
    /// Operations before the first that counts; `None`: as many as the scenario has for so many
    /// nodes, see [`Config::warm_up_operations`].
    pub warm_up: Option<u32>,
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

/// Most warm-up operations of a node.
const WARM_UP_PER_NODE: u32 = 2;

/// Most deliveries of warm-up operations, so that large networks are done in minutes.
const WARM_UP_DELIVERIES_MAX: u32 = 2_000_000;

impl Config {
    /// How many operations are written before the first that counts.
    pub fn warm_up_operations(&self) -> u32 {
        self.warm_up.unwrap_or_else(|| {
            let most = WARM_UP_DELIVERIES_MAX / self.nodes.max(1);
            self.nodes.saturating_mul(WARM_UP_PER_NODE).min(most)
        })
    }

    /// How long that takes.
    pub fn warm_up_us(&self) -> Micros {
        let second_us = (1_000 * MS) as f64;
        let lasts_us = f64::from(self.warm_up_operations()) / self.rate * second_us;
        if self.rate > 0.0 {
            lasts_us as Micros
        } else {
            0
        }
    }

    /// The command that runs this.
    pub fn command(&self) -> String {
        let (low_us, high_us) = self.latency_us;
        let mut command = format!(
            "bitfitech sim --scenario {} --seed {} --nodes {} --duration {}ms --rate {} \
             --latency {}ms..{}ms --loss {} --byzantine {} --links {} --markets {} --workload {} \
             --expulsions {} --warm-up {}",
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
            self.markets,
            self.workload.name(),
            self.expulsions,
            self.warm_up_operations(),
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
