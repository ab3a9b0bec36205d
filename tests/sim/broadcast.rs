//! Trees: few copies, short ways, and nobody missed when a third of the eager links falls silent.

use bitfitech_sim::adversaries;
use bitfitech_sim::config::Config;
use bitfitech_sim::event::MS;
use bitfitech_sim::report::Report;
use bitfitech_sim::scenario;

use crate::run_well;

/// A network of the size that a test can bear.
fn broadcast() -> Config {
    Config {
        nodes: 60,
        duration_us: 20_000 * MS,
        ..scenario::find("broadcast").expect("it is a scenario")
    }
}

fn copies(report: &Report) -> f64 {
    let tally = &report.tally;
    (tally.copies - tally.applied) as f64 / tally.applied as f64
}

#[test]
fn after_two_broadcasts_of_each_node_there_are_few_copies() {
    let report = run_well(broadcast());
    assert!(copies(&report) < 0.2, "{}", report.text());
    let last_us = report.tally.last_delivery_us();
    assert!(last_us < 200 * MS, "{}", report.text());
    let cold = run_well(Config {
        warm_up: Some(0),
        duration_us: 5_000 * MS,
        ..broadcast()
    });
    assert!(copies(&cold) > 3.0, "what is flooded: {}", cold.text());
}

#[test]
fn silent_eager_links_delay_and_do_not_cut_off() {
    for name in ["silent", "swallow", "unserving"] {
        let report = run_well(Config {
            byzantine_percent: 30.0,
            adversary: adversaries::find(name),
            ..broadcast()
        });
        let last_us = report.tally.last_delivery_us();
        assert!(last_us < 2_000 * MS, "{name}: {}", report.text());
    }
}

#[test]
fn loss_costs_copies_and_no_operation() {
    let report = run_well(Config {
        loss: 0.02,
        ..broadcast()
    });
    assert!(copies(&report) < 1.5, "{}", report.text());
}
