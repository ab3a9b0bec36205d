//! Every scenario converges and breaks no invariant.

use bitfitech_sim::scenario;

use crate::{run_well, seeds, small};

/// Seeds of each scenario, unless the environment says otherwise.
const SEEDS: u64 = 10;

/// Runs these scenarios with all seeds.
fn run_all(names: &[&str]) {
    for name in names {
        for seed in seeds(SEEDS) {
            let report = run_well(small(name, seed));
            let least = if *name == "broadcast" { 5 } else { 50 };
            assert!(report.operations > least, "{}", report.text());
        }
    }
}

// Two tests, so that two processors share them.

#[test]
fn the_first_half_of_the_scenarios_converges_without_a_violation() {
    run_all(&scenario::NAMES[..scenario::NAMES.len() / 2]);
}

#[test]
fn the_second_half_of_the_scenarios_converges_without_a_violation() {
    run_all(&scenario::NAMES[scenario::NAMES.len() / 2..]);
}

#[test]
fn troubles_trouble() {
    let report = run_well(small("crash-storm", 1));
    assert!(report.tally.sessions_ended > 100, "{}", report.text());
    let steady = run_well(small("steady", 1));
    assert_eq!(steady.tally.sessions_ended, 0, "{}", steady.text());
    let flapping = run_well(small("flapping", 1));
    let slowest = |report: &bitfitech_sim::report::Report| report.tally.delivery_us.max();
    assert!(slowest(&flapping) > slowest(&steady), "{}", flapping.text());
}
