//! The simulator against the network, and planted bugs and liars against the simulator.
//!
//! Every scenario runs with a few fixed seeds. `SEED=7` runs that one seed instead, `SEEDS=100`
//! runs the first hundred. A failure prints the command that runs it again.

mod adversaries;
mod broadcast;
mod canaries;
mod command;
mod determinism;
mod expulsions;
mod mixtures;
mod scenarios;
mod shrinking;
mod trace;
#[path = "../support/waiting.rs"]
mod waiting;

use bitfitech_sim::config::{Config, Trouble};
use bitfitech_sim::event::MS;
use bitfitech_sim::report::Report;
use bitfitech_sim::scenario;

/// A scenario that is small enough for a test.
pub fn small(name: &str, seed: u64) -> Config {
    let found = scenario::find(name).unwrap_or_else(|| panic!("there is no scenario {name}"));
    let duration_ms = match found.trouble {
        // Who crashed writes again a second or two after he is back.
        Trouble::CrashStorm => 12_000,
        _ => 4_000,
    };
    Config {
        seed,
        nodes: 16,
        duration_us: duration_ms * MS,
        warm_up: Some(0),
        rate: found.rate.min(60.0),
        ..found
    }
}

/// The seeds to be tried: `SEED`, or the first `SEEDS`, or so many.
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| (text.parse(), text));
    let parsed = |name| {
        number(name).map(|(parsed, text)| {
            parsed.unwrap_or_else(|_| panic!("{name}={text} is no whole number"))
        })
    };
    match parsed("SEED") {
        Some(seed) => vec![seed],
        None => (1..=parsed("SEEDS").unwrap_or(count)).collect(),
    }
}

/// Runs a simulation.
pub fn run(config: Config) -> Report {
    bitfitech_sim::run(config, &mut |_| {})
}

/// Runs a simulation in which nothing may be wrong.
pub fn run_well(config: Config) -> Report {
    let report = run(config);
    assert!(report.is_good(), "{}\n{}", report.command(), report.text());
    report
}
