//! No liar of any kind makes the honest disagree.

use bitfitech_sim::adversaries;
use bitfitech_sim::config::Config;
use bitfitech_sim::event::MS;

use crate::{run_well, seeds, small};

/// Seeds of each adversary, unless the environment says otherwise.
const SEEDS: u64 = 1;

#[test]
fn no_kind_of_liar_breaks_an_invariant_among_the_honest() {
    for name in adversaries::NAMES {
        for seed in seeds(SEEDS) {
            for byzantine_percent in [10.0, 30.0] {
                run_well(Config {
                    adversary: adversaries::find(name),
                    byzantine_percent,
                    nodes: 10,
                    duration_us: 2_000 * MS,
                    ..small("liars", seed)
                });
            }
        }
    }
}

#[test]
fn liars_of_all_kinds_at_once_break_none_either() {
    for seed in seeds(SEEDS) {
        run_well(Config {
            nodes: 45,
            duration_us: 1_000 * MS,
            byzantine_percent: 30.0,
            ..small("liars", seed)
        });
    }
}

#[test]
fn orders_of_a_forker_lapse_in_the_same_place_on_every_node() {
    // He signed two operations for one millisecond, and which of them came first is another on
    // every node. A lapse was where the first that came put it.
    run_well(Config {
        adversary: adversaries::find("fork"),
        byzantine_percent: 10.0,
        nodes: 27,
        duration_us: 250 * MS,
        rate: 1.0,
        ..small("liars", 13)
    });
}

#[test]
fn a_run_with_liars_is_over_only_when_what_they_pushed_to_nobody_has_come() {
    // A heartbeat of one of them gave back what he withheld, and was found half a minute later.
    run_well(Config {
        adversary: adversaries::find("silent"),
        byzantine_percent: 30.0,
        nodes: 12,
        duration_us: 1_000 * MS,
        rate: 20.0,
        ..small("liars", 16)
    });
}
