//! A smaller run that shows the same fault.
//!
//! Nodes, time and rate are made smaller as long as the fault stays: first by half, then by a
//! quarter. Runs that get smaller get faster, so the search takes about as long as some runs.

use crate::config::Config;
use crate::event::MS;
use crate::report::Report;
use crate::runner;

/// Runs of one search.
const RUNS_MAX: u32 = 24;

/// The shortest time in which users write, in microseconds.
const DURATION_US_MIN: u64 = 250 * MS;

/// What can be made smaller.
#[derive(Clone, Copy, Debug)]
enum Size {
    Nodes,
    Duration,
    Rate,
}

impl Size {
    /// The settings with `percent` of this, if that is still a network.
    fn reduced(self, config: &Config, percent: u32) -> Option<Config> {
        let mut smaller = config.clone();
        match self {
            Self::Nodes => smaller.nodes = (config.nodes * percent / 100).max(2),
            Self::Duration => {
                // Whole milliseconds, as the command line has them.
                let duration_ms = config.duration_us * u64::from(percent) / 100 / MS;
                smaller.duration_us = (duration_ms * MS).max(DURATION_US_MIN);
            }
            Self::Rate => smaller.rate = (config.rate * f64::from(percent) / 100.0).ceil(),
        }
        let is_smaller = smaller.nodes < config.nodes
            || smaller.duration_us < config.duration_us
            || smaller.rate < config.rate;
        is_smaller.then_some(smaller)
    }
}

/// The invariant that a run broke first; of one that only did not converge nothing.
fn fault(report: &Report) -> Option<&str> {
    let first = report.violations.first()?;
    first.split_once(':').map(|(invariant, _)| invariant)
}

/// The smallest settings found under which a run fails as this one did.
pub fn shrink(config: &Config, failed: &Report) -> Config {
    let mut smallest = config.clone();
    let mut runs = 0;
    for percent in [50, 75] {
        for size in [Size::Nodes, Size::Duration, Size::Rate] {
            while let Some(smaller) = size.reduced(&smallest, percent) {
                if runs == RUNS_MAX {
                    return smallest;
                }
                runs += 1;
                let report = runner::run(smaller.clone(), &mut |_| {});
                if report.is_good() || fault(&report) != fault(failed) {
                    break;
                }
                smallest = smaller;
            }
        }
    }
    smallest
}
