//! The scenarios that have a name.
//!
//! Each is a way in which networks really fail, at a size that runs in seconds. The command line
//! changes the size; what goes wrong stays.

use crate::config::{Config, Pace, Trouble, Workload};
use crate::event::MS;

/// Names of all scenarios.
pub const NAMES: [&str; 15] = [
    "steady",
    "hot",
    "makers",
    "partition",
    "partitions",
    "expulsions",
    "flapping",
    "churn",
    "late-join",
    "broadcast",
    "skew",
    "crash-storm",
    "old-copies",
    "liars",
    "eclipse",
];

/// What a scenario of this name changes.
fn steady(name: &str) -> Config {
    Config {
        scenario: name.to_owned(),
        seed: 1,
        nodes: 100,
        duration_us: 20_000 * MS,
        rate: 50.0,
        markets: 1,
        expulsions: 0,
        latency_us: (10 * MS, 50 * MS),
        loss: 0.0,
        byzantine_percent: 0.0,
        adversary: None,
        canary: None,
        warm_up: Some(0),
        degree: 6,
        threads: 2,
        workload: Workload::Steady,
        pace: Pace::Random,
        trouble: Trouble::None,
        patience_us: 300_000 * MS,
    }
}

/// The settings of a scenario; `None` if there is none of that name.
pub fn find(name: &str) -> Option<Config> {
    let steady = steady(name);
    let with = |trouble| Config {
        trouble,
        loss: 0.01,
        ..steady.clone()
    };
    Some(match name {
        "steady" => steady,
        "hot" => Config {
            workload: Workload::Hot,
            pace: Pace::Bursts,
            rate: 200.0,
            loss: 0.01,
            ..steady
        },
        "makers" => Config {
            workload: Workload::Makers,
            rate: 20.0,
            markets: 3,
            loss: 0.01,
            ..steady
        },
        "partition" => with(Trouble::Partition),
        "partitions" => with(Trouble::Partitions),
        "expulsions" => Config {
            expulsions: 40,
            ..with(Trouble::Partition)
        },
        "flapping" => with(Trouble::Flapping),
        "churn" => with(Trouble::Churn),
        "late-join" => with(Trouble::LateJoin),
        "broadcast" => Config {
            workload: Workload::Fleeting,
            pace: Pace::Even,
            rate: 2.0,
            duration_us: 150_000 * MS,
            warm_up: None,
            degree: 10,
            ..steady
        },
        "skew" => with(Trouble::Skew),
        "crash-storm" => with(Trouble::CrashStorm),
        "old-copies" => with(Trouble::OldCopies),
        "liars" => Config {
            byzantine_percent: 20.0,
            loss: 0.01,
            nodes: 50,
            ..steady
        },
        "eclipse" => Config {
            byzantine_percent: 20.0,
            nodes: 50,
            ..with(Trouble::Eclipse)
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_settings_and_nothing_else_has() {
        for name in NAMES {
            assert_eq!(find(name).map(|it| it.scenario).as_deref(), Some(name));
        }
        assert_eq!(find("nonsense"), None);
    }
}
