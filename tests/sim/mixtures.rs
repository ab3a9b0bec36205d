//! Settings that come together by chance: a scenario, few or more nodes and markets, loss, liars of
//! one kind or of all. So combinations are tried that nobody has thought of.
//!
//! `SEED` and `SEEDS` decide what comes together; a failure prints the command.

use bitfitech_sim::adversaries::{Kind, NAMES};
use bitfitech_sim::config::{Config, Workload};
use bitfitech_sim::event::MS;
use bitfitech_sim::random::Random;
use bitfitech_sim::scenario;

use crate::{run_well, seeds, small};

/// How many are tried, unless the environment says otherwise.
const SEEDS: u64 = 12;

fn pick<T: Copy>(random: &mut Random, among: &[T]) -> T {
    among[random.index(among.len())]
}

/// What comes together by this seed.
fn mixture(seed: u64) -> Config {
    let mut random = Random::derive(seed, "mixture", 0);
    let name = pick(&mut random, &scenario::NAMES);
    let small = small(name, seed);
    let seconds: u64 = pick(&mut random, &[1, 3, 8]);
    let rate: f64 = pick(&mut random, &[5.0, 20.0, 60.0]);
    let losses = match name {
        // With half of the frames lost a node hears just three peers now and then, two of whom may
        // have wrong clocks.
        "skew" => &[0.0, 0.01, 0.1][..],
        "old-copies" => &[0.0, 0.01],
        _ => &[0.0, 0.01, 0.1, 0.5],
    };
    let mut config = Config {
        nodes: pick(&mut random, &[8, 12, 20]),
        duration_us: seconds * 1_000 * MS,
        rate: rate.min(small.rate),
        loss: pick(&mut random, losses),
        ..small
    };
    // Whom nobody but liars answers in time cannot know that his copy is old.
    if random.chance(0.6) && name != "old-copies" {
        config.byzantine_percent = pick(&mut random, &[10.0, 20.0, 30.0, 40.0]);
        let one_kind = random.chance(0.8);
        config.adversary = one_kind.then(|| Kind::number(random.index(NAMES.len())));
    }
    config.markets = pick(&mut random, &[1, 2, 3, 16]);
    if random.chance(0.4) {
        config.workload = Workload::Makers;
    }
    // For the same reason nobody is expelled where clocks are wrong.
    if name != "skew" {
        config.expulsions = pick(&mut random, &[0, 0, 0, 5, 40]);
    }
    config
}

#[test]
fn whatever_comes_together_converges_without_a_violation() {
    for seed in seeds(SEEDS) {
        let report = run_well(mixture(seed));
        // In a short one it can be that everybody who wants something is down.
        let wanted = report.operations + report.tally.unwritten;
        assert!(wanted > 0, "seed {seed}: nobody wanted anything");
    }
}
