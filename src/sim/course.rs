//! The end of a run: healed, agreed, settled, quiet.
//!
//! When users have stopped and everything is healed,
//!
//! 1. all honest hosts come to have every operation from before ([`Course::converged_us`]);
//! 2. their trades become final or are refused, which takes the times that confirmation allows;
//! 3. then no host writes anything by itself any more, and all sets become equal: nodes with open
//!    orders show again and again that they are alive, so some such operation is always under way.
//!
//! Each of these has to come about within [`crate::config::Config::patience_us`] of healing, or the
//! run ends as it is and is judged so.

use std::collections::BTreeSet;

use bitfitech_core::market_log::SLOW_LANE_MS;
use bitfitech_core::types::AuthorKey;

use crate::event::{MS, Micros};
use crate::host::{Applied, Host};
use crate::invariants::settled;
use crate::shard::Shard;
use crate::world::World;

/// Time between two looks at the trades.
const LOOK_US: Micros = 500 * MS;

/// For how long nothing may be unsettled. What follows from a refusal may show only after the slow
/// lane of whoever refuses next, his hold-down of a second, and the slow lane here; twice that.
const SETTLED_US: Micros = 2 * (2 * SLOW_LANE_MS + 1_000) * MS;

/// For how long, where there are liars. What they withhold for each other is given back when one of
/// them writes next, and that moves trades of others: within a third of a lease everybody who has
/// orders writes. What liars do not push is found when heads are compared.
fn settled_us(world: &World) -> Micros {
    if world.plans.iter().all(|plan| plan.liar.is_none()) {
        return SETTLED_US;
    }
    let heartbeat_us = Micros::from(world.genesis.lease_ms) * MS / 3;
    let found_us = world.node_config.sync.interval_ms * MS;
    SETTLED_US + heartbeat_us + found_us
}

/// How long the last operations have to reach everyone.
const LAST_US: Micros = 120_000 * MS;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Operations from before the healing are not everywhere yet.
    Agreeing,
    /// Trades are settled: nothing was unsettled since then, looked at again then.
    Settling {
        since_us: Option<Micros>,
        look_us: Micros,
    },
    /// Nobody writes any more; for how long this may take.
    Quiet { until_us: Micros },
}

/// How far a run is.
pub struct Course {
    stage: Stage,
    honest: BTreeSet<AuthorKey>,
    /// When all honest hosts had applied all that was written before the healing.
    pub converged_us: Option<Micros>,
}

impl Course {
    /// The beginning.
    pub fn new(world: &World) -> Self {
        Self {
            stage: Stage::Agreeing,
            honest: world.honest_authors(),
            converged_us: None,
        }
    }

    /// Whether the run is over, before the hosts live through the window that begins now. Up to
    /// `passed_us` they have.
    pub fn is_over(
        &mut self,
        world: &World,
        shards: &mut [Shard],
        passed_us: Micros,
        now_us: Micros,
    ) -> bool {
        if now_us < world.healed_us {
            return false;
        }
        let last_us = world.healed_us + world.config.patience_us;
        match self.stage {
            Stage::Agreeing => {
                if is_agreed(world, shards, |applied| applied.before_healing) {
                    self.converged_us = Some(passed_us.max(world.healed_us));
                    self.stage = Stage::Settling {
                        since_us: None,
                        look_us: now_us,
                    };
                }
                now_us >= last_us
            }
            Stage::Settling { since_us, look_us } => {
                if now_us < look_us {
                    return false;
                }
                let is_settled = first_honest(world, shards)
                    .is_some_and(|host| settled::faults(host, &self.honest).is_empty());
                let since_us = is_settled.then(|| since_us.unwrap_or(now_us));
                let calm_us = settled_us(world);
                let is_long = since_us.is_some_and(|since_us| now_us >= since_us + calm_us);
                self.stage = Stage::Settling {
                    since_us,
                    look_us: now_us + LOOK_US,
                };
                if is_long || now_us >= last_us {
                    shards.iter_mut().for_each(Shard::fall_quiet);
                    let until_us = now_us + LAST_US;
                    self.stage = Stage::Quiet { until_us };
                }
                false
            }
            Stage::Quiet { until_us } => {
                is_agreed(world, shards, |applied| applied.all) || now_us >= until_us
            }
        }
    }
}

/// The first honest host that is up.
fn first_honest<'a>(world: &World, shards: &'a [Shard]) -> Option<&'a Host> {
    let hosts = shards.iter().flat_map(|shard| shard.hosts());
    let mut honest = hosts.filter(|host| world.is_honest(host.index()));
    honest.find(|host| host.node().is_some())
}

/// Whether all honest hosts are up and have applied the same set.
fn is_agreed<S: PartialEq>(world: &World, shards: &[Shard], set: fn(Applied) -> S) -> bool {
    let hosts = shards.iter().flat_map(|shard| shard.hosts());
    let honest = hosts.filter(|host| world.is_honest(host.index()));
    let mut sets = honest.map(|host| host.applied().map(set));
    let Some(Some(first)) = sets.next() else {
        return false;
    };
    sets.all(|set| set.as_ref() == Some(&first))
}
