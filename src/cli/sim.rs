//! The options of `sim`, and what they ask for.

use std::path::PathBuf;

use bitfitech_core::genesis::MARKETS_MAX;
use clap::{Args, value_parser};

/// The scenario that runs when none is named.
const SCENARIO_DEFAULT: &str = "steady";

/// The word that lists names instead of being one.
const LIST: &str = "list";

/// Most nodes of a simulation. A guess at what fits into memory.
const NODES_MAX: i64 = 100_000;

/// Most decisions of administrators. Each is an operation, so a guess at what is enough.
const EXPULSIONS_MAX: i64 = 10_000;

/// The options of `sim` alone. What is not given is as the scenario has it.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SimOptions {
    /// What happens; `list` prints the names [default: steady]
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,

    /// How many nodes
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=NODES_MAX))]
    nodes: Option<u32>,

    /// What decides everything random; equal seeds give equal reports [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// How long users write and things go wrong, in virtual time: 60s, 500ms, 2m
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    duration: Option<u64>,

    /// Operations a second, of all nodes together
    #[arg(long, value_name = "OPS", value_parser = parse_rate)]
    rate: Option<f64>,

    /// Least and greatest latency of a link: 10ms..50ms
    #[arg(long, value_name = "RANGE", value_parser = parse_latency_ms)]
    latency: Option<(u64, u64)>,

    /// Share of the frames that are lost and sent again, 0 to 0.5
    #[arg(long, value_name = "P", value_parser = parse_loss)]
    loss: Option<f64>,

    /// Share of the nodes that lie, in percent, 0 to 90
    #[arg(long, value_name = "PCT", value_parser = parse_percent)]
    byzantine: Option<f64>,

    /// How all of them lie; `list` prints the names [default: all kinds]
    #[arg(long, value_name = "NAME")]
    adversary: Option<String>,

    /// A bug to be planted, which must end in violations; `list` prints the names
    #[arg(long, value_name = "NAME")]
    canary: Option<String>,

    /// Write a line of JSON for everything that is sent and delivered to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Links of a node, about
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=60))]
    links: Option<u32>,

    /// Markets that orders are spread over [default: as the scenario has it]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MARKETS_MAX as i64))]
    markets: Option<u16>,

    /// What users do; `list` prints the names [default: as the scenario has it]
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,

    /// How often an administrator expels members or admits them again [default: as the scenario has
    /// it]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(0..=EXPULSIONS_MAX))]
    expulsions: Option<u32>,

    /// Operations that are written before the first that counts [default: as the scenario has it]
    #[arg(long, value_name = "N")]
    warm_up: Option<u32>,

    /// Threads; they change nothing but the time that it takes [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MARKETS_MAX as i64))]
    threads: Option<u16>,
}

/// What to do with the simulator.
#[derive(Clone, Debug, PartialEq)]
pub enum SimCommand {
    /// Print the names of scenarios.
    ListScenarios,
    /// Print the names of adversaries.
    ListAdversaries,
    /// Print the names of canaries.
    ListCanaries,
    /// Print the names of workloads.
    ListWorkloads,
    /// Run a scenario.
    Run(Box<SimSettings>),
}

/// A scenario, and what is otherwise than it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimSettings {
    /// Name of the scenario.
    pub scenario: String,
    /// Number of nodes.
    pub nodes: Option<u32>,
    /// Seed.
    pub seed: Option<u64>,
    /// Virtual time in which users write, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Operations a second.
    pub rate: Option<f64>,
    /// Least and greatest latency, in milliseconds.
    pub latency_ms: Option<(u64, u64)>,
    /// Share of lost frames.
    pub loss: Option<f64>,
    /// Share of liars, in percent.
    pub byzantine_percent: Option<f64>,
    /// The one kind of liar.
    pub adversary: Option<String>,
    /// The planted bug.
    pub canary: Option<String>,
    /// Where everything that happens is written to.
    pub trace: Option<PathBuf>,
    /// Links of a node.
    pub links: Option<u32>,
    /// Markets.
    pub markets: Option<u16>,
    /// What users do.
    pub workload: Option<String>,
    /// Decisions of administrators.
    pub expulsions: Option<u32>,
    /// Operations that do not count.
    pub warm_up: Option<u32>,
    /// Threads.
    pub threads: Option<u16>,
}

impl SimOptions {
    /// What they ask for.
    pub(super) fn command(self) -> SimCommand {
        let lists = |name: &Option<String>| name.as_deref() == Some(LIST);
        if lists(&self.scenario) {
            return SimCommand::ListScenarios;
        }
        if lists(&self.adversary) {
            return SimCommand::ListAdversaries;
        }
        if lists(&self.canary) {
            return SimCommand::ListCanaries;
        }
        if lists(&self.workload) {
            return SimCommand::ListWorkloads;
        }
        SimCommand::Run(Box::new(SimSettings {
            scenario: self.scenario.unwrap_or_else(|| SCENARIO_DEFAULT.to_owned()),
            nodes: self.nodes,
            seed: self.seed,
            duration_ms: self.duration,
            rate: self.rate,
            latency_ms: self.latency,
            loss: self.loss,
            byzantine_percent: self.byzantine,
            adversary: self.adversary,
            canary: self.canary,
            trace: self.trace,
            links: self.links,
            markets: self.markets,
            workload: self.workload,
            expulsions: self.expulsions,
            warm_up: self.warm_up,
            threads: self.threads,
        }))
    }
}

/// A duration with its unit, in milliseconds; more than zero.
pub(super) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let fault = || "write a whole number and its unit, such as 500ms, 60s or 2m".to_owned();
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text.split_at(end.ok_or_else(fault)?);
    let number: u64 = number.parse().map_err(|_| fault())?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(fault()),
    };
    let duration_ms = number
        .checked_mul(factor)
        .filter(|it| *it <= DURATION_MS_MAX);
    duration_ms
        .filter(|it| *it > 0)
        .ok_or_else(|| "it must be more than zero and at most 24h".to_owned())
}

/// The longest duration: a day.
const DURATION_MS_MAX: u64 = 86_400_000;

/// Two durations, the first of which is not the greater one.
fn parse_latency_ms(text: &str) -> Result<(u64, u64), String> {
    let (low, high) = text
        .split_once("..")
        .ok_or("write the least and the greatest, such as 10ms..50ms")?;
    let (low, high) = (parse_duration_ms(low)?, parse_duration_ms(high)?);
    if low > high {
        return Err("the least latency stands before the greatest".to_owned());
    }
    Ok((low, high))
}

pub(super) fn parse_within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| (low..=high).contains(it));
    number.ok_or_else(|| format!("it must be a number from {low} to {high}"))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    parse_within(text, 0.0, 100_000.0)
}

fn parse_loss(text: &str) -> Result<f64, String> {
    parse_within(text, 0.0, 0.5)
}

fn parse_percent(text: &str) -> Result<f64, String> {
    parse_within(text, 0.0, 90.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_ranges_need_units_and_sense() {
        assert_eq!(parse_duration_ms("500ms"), Ok(500));
        assert_eq!(parse_duration_ms("2m"), Ok(120_000));
        for wrong in [
            "",
            "5",
            "s",
            "0s",
            "1.5s",
            "25h",
            "9999999999999999999h",
            "-1s",
        ] {
            assert!(parse_duration_ms(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_latency_ms("10ms..1s"), Ok((10, 1_000)));
        for wrong in ["10ms", "2s..1s", "10..20", "..5ms"] {
            assert!(parse_latency_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_within_their_limits() {
        assert_eq!(parse_loss("0.01"), Ok(0.01));
        for wrong in ["-0.1", "0.6", "NaN", "x", "inf"] {
            assert!(parse_loss(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_percent("30"), Ok(30.0));
        assert!(parse_percent("91").is_err());
    }
}
