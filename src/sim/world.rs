//! What all hosts of a simulation share and nothing changes: the plan.

use std::collections::BTreeSet;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::gossip::GossipConfig;
use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_core::node::NodeConfig;
use bitfitech_core::seen::SeenLimits;
use bitfitech_core::settlement::SettlementConfig;
use bitfitech_core::sync::SyncConfig;
use bitfitech_core::types::{AuthorKey, Digest, MarketIndex};
use ed25519_zebra::SigningKey;

use crate::adversaries;
use crate::canaries::Canary;
use crate::clock::Clock;
use crate::config::{Config, Trouble};
use crate::event::{HostIndex, MS, Micros};
use crate::network::{Cut, Direction, Flapping, Network, SILENCE_US};
use crate::random::Random;
use crate::topology;

/// When users begin to write: links stand by then.
pub const WARM_UP_US: Micros = 1_000 * MS;

/// Administrators of a network that expels: two may decide otherwise at a time.
const ADMINISTRATORS: usize = 2;

/// Time between two hosts that come back with old copies.
const OLD_COPY_EVERY_US: Micros = 1_500 * MS;

/// For how long each of them is down at least: what it had sent has arrived by then, or never will.
const OLD_COPY_DOWN_US: Micros = SILENCE_US;

/// Milliseconds of a year, about.
const YEAR_MS: i64 = 31_556_952_000;

/// With what a host comes back after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comeback {
    /// With its disk.
    #[default]
    Disk,
    /// With an old copy of it, or with an empty one.
    OldCopy,
}

/// How a host fares.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its clock.
    pub clock: Clock,
    /// Whom it dials.
    pub dials: Vec<HostIndex>,
    /// When it is down, in order: from, until.
    pub down: Vec<(Micros, Micros)>,
    /// What it comes back with.
    pub comeback: Comeback,
    /// How it lies, if it does.
    pub liar: Option<adversaries::Kind>,
    /// The bug that is planted there.
    pub canary: Option<Canary>,
    /// How its node settles by itself; `None` if it does not.
    pub settlement: Option<SettlementConfig>,
}

/// The plan.
pub struct World {
    /// The settings.
    pub config: Config,
    /// What all nodes agree on.
    pub genesis: Genesis,
    /// Its digest.
    pub digest: Digest,
    /// The network.
    pub network: Network,
    /// How nodes behave.
    pub node_config: NodeConfig,
    /// How hosts fare.
    pub plans: Vec<Plan>,
    /// Who expels others and admits them again, where somebody does.
    pub administrators: Vec<HostIndex>,
    /// When everything that was planned to go wrong is over, and users and liars have stopped.
    pub healed_us: Micros,
}

impl World {
    /// The plan that follows from settings.
    pub fn new(mut config: Config) -> Self {
        if let Some(canary) = config.canary {
            canary.prepare(&mut config);
        }
        let genesis = genesis(config.markets);
        let dials = topology::random_graph(config.nodes, config.degree, config.seed);
        let plans = dials.into_iter().map(|dials| Plan {
            dials,
            settlement: Some(SettlementConfig::default()),
            ..Plan::default()
        });
        let network = Network {
            latency_us: config.latency_us,
            loss: config.loss,
            cuts: Vec::new(),
            flapping: None,
        };
        let mut world = Self {
            digest: genesis.digest(),
            genesis,
            network,
            node_config: node_config(),
            plans: plans.collect(),
            administrators: Vec::new(),
            healed_us: 0,
            config,
        };
        world.choose_liars();
        world.plant_bugs();
        world.make_trouble();
        world.connect_the_honest();
        world.close_the_network();
        world.healed_us = world.end_of_trouble_us();
        world
    }

    /// One of the markets, each as often as any other.
    pub fn any_market(&self, random: &mut Random) -> MarketIndex {
        match self.genesis.markets.len() {
            // Nothing is drawn where there is no choice.
            1 => MarketIndex(0),
            count => MarketIndex(random.index(count) as u16),
        }
    }

    /// When what is written begins to count.
    pub fn counted_us(&self) -> Micros {
        WARM_UP_US + self.config.warm_up_us()
    }

    /// When users stop.
    pub fn end_us(&self) -> Micros {
        self.counted_us() + self.config.duration_us
    }

    /// The same by a clock that is right, in Unix milliseconds.
    pub fn healed_unix_ms(&self) -> u64 {
        Clock::default().unix_ms(self.healed_us)
    }

    fn end_of_trouble_us(&self) -> Micros {
        let down = self.plans.iter().flat_map(|plan| &plan.down);
        let up_us = down.map(|(_, until_us)| *until_us).max().unwrap_or(0);
        let liars = self.plans.iter().filter_map(|plan| plan.liar);
        let longer_us = liars.map(adversaries::Kind::outlasts_users_us).max();
        let lies_end_us = self.end_us() + longer_us.unwrap_or(0);
        self.network.healed_us().max(up_us).max(lies_end_us)
    }

    /// The key of a host.
    pub fn key(&self, host: HostIndex) -> SigningKey {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech simulation key 1");
        hasher.update(&self.config.seed.to_le_bytes());
        hasher.update(&host.to_le_bytes());
        SigningKey::from(*hasher.finalize().as_bytes())
    }

    /// The author of a host.
    pub fn author(&self, host: HostIndex) -> AuthorKey {
        let key = self.key(host);
        AuthorKey(ed25519_zebra::VerificationKeyBytes::from(&key).into())
    }

    /// Whether a host does not lie.
    pub fn is_honest(&self, host: HostIndex) -> bool {
        self.plans[host as usize].liar.is_none()
    }

    /// The authors of all hosts that do not lie.
    pub fn honest_authors(&self) -> BTreeSet<AuthorKey> {
        let honest = (0..self.config.nodes).filter(|host| self.is_honest(*host));
        honest.map(|host| self.author(host)).collect()
    }

    /// A moment of the time in which users write.
    fn moment(&self, percent: u64) -> Micros {
        self.counted_us() + self.config.duration_us * percent / 100
    }

    /// The first host that may lie, and have links like any other.
    fn first_free(&self) -> HostIndex {
        match self.config.trouble {
            Trouble::Eclipse => 1,
            _ => 0,
        }
    }

    fn choose_liars(&mut self) {
        let share = self.config.byzantine_percent / 100.0;
        let wanted = (f64::from(self.config.nodes) * share).round() as usize;
        let mut hosts: Vec<usize> = (self.first_free() as usize..self.plans.len()).collect();
        Random::derive(self.config.seed, "liars", 0).shuffle(&mut hosts);
        for (number, host) in hosts.into_iter().take(wanted).enumerate() {
            let kind = self.config.adversary;
            let turn = (self.config.seed % adversaries::NAMES.len() as u64) as usize;
            let kind = kind.unwrap_or_else(|| adversaries::Kind::number(turn + number));
            self.plans[host].liar = Some(kind);
            if !kind.settles() {
                self.plans[host].settlement = None;
            }
        }
    }

    fn plant_bugs(&mut self) {
        let plans = (0..).zip(&mut self.plans);
        let honest = plans.filter(|(_, plan)| plan.liar.is_none());
        for (host, plan) in honest {
            plan.canary = self.config.canary.filter(|canary| canary.is_on(host));
            if let (Some(Canary::ForgottenRelease), Some(config)) =
                (plan.canary, &mut plan.settlement)
            {
                config.release_ms = u64::MAX;
            }
        }
    }

    fn make_trouble(&mut self) {
        match self.config.trouble {
            Trouble::None => {}
            Trouble::Eclipse => self.surround_first(),
            Trouble::Partition => self.network.cuts = vec![self.halves()],
            Trouble::Partitions => {
                let unheard = self.cut(75, 90, 20, Direction::Outward);
                self.network.cuts = vec![self.halves(), unheard];
            }
            Trouble::Flapping => {
                self.network.flapping = Some(Flapping {
                    slot_us: 700 * MS,
                    down_percent: 25,
                    until_us: self.end_us(),
                    seed: self.config.seed,
                });
            }
            Trouble::Churn => self.plan_crashes(30, 1),
            Trouble::CrashStorm => self.plan_crashes(100, 3),
            Trouble::OldCopies => self.plan_old_copies(),
            Trouble::LateJoin => {
                let half_us = self.moment(50);
                let late = self.plans.len() / 5;
                let joiners = self.plans.iter_mut().rev().take(late);
                joiners.for_each(|plan| plan.down = vec![(0, half_us)]);
            }
            Trouble::Skew => self.skew_clocks(),
        }
    }

    /// Whom only liars surround hears what they like, and nothing is promised to him. If chance has
    /// it so, an honest host gets a link to another one.
    fn connect_the_honest(&mut self) {
        let free = self.first_free()..self.config.nodes;
        let honest: BTreeSet<HostIndex> = free.filter(|host| self.is_honest(*host)).collect();
        let dials: Vec<Vec<HostIndex>> = self.plans.iter().map(|it| it.dials.clone()).collect();
        for (from, to) in topology::missing_links(&dials, &honest) {
            self.plans[from as usize].dials.push(to);
        }
    }

    /// If somebody is to be expelled all hosts are members, and honest ones administer.
    fn close_the_network(&mut self) {
        if self.config.expulsions == 0 {
            return;
        }
        let plans = (0..).zip(&self.plans);
        let able = plans.filter(|(_, plan)| plan.liar.is_none() && plan.clock.is_about_right());
        self.administrators = able.map(|(host, _)| host).take(ADMINISTRATORS).collect();
        let author = |host: &HostIndex| self.author(*host);
        let genesis = Genesis {
            administrators: self.administrators.iter().map(author).collect(),
            allow_list: (0..self.config.nodes).map(|it| author(&it)).collect(),
            ..self.genesis.clone()
        };
        let genesis = genesis.checked();
        self.genesis = genesis.expect("there are no more members than a genesis may name");
        self.digest = self.genesis.digest();
    }

    /// The first host is honest, and all its links but one lead to liars.
    fn surround_first(&mut self) {
        for plan in &mut self.plans {
            plan.dials.retain(|peer| *peer != 0);
        }
        let liars = (0..)
            .zip(&self.plans)
            .filter(|(_, plan)| plan.liar.is_some());
        let liars: Vec<HostIndex> = liars.map(|(host, _)| host).collect();
        let honest = (1..)
            .zip(&self.plans[1..])
            .find(|(_, plan)| plan.liar.is_none());
        let friend = honest.map(|(host, _)| host);
        let links = self.config.degree.saturating_sub(1) as usize;
        self.plans[0].dials = liars.into_iter().take(links).chain(friend).collect();
    }

    /// A partition into halves in the middle of the time.
    fn halves(&self) -> Cut {
        self.cut(40, 60, 50, Direction::Both)
    }

    /// A partition between two moments, in percent of the time, of a share of the hosts.
    fn cut(&self, from: u64, until: u64, share_percent: u64, direction: Direction) -> Cut {
        let mut random = Random::derive(self.config.seed, "cut", from);
        let mut hosts: Vec<usize> = (0..self.plans.len()).collect();
        random.shuffle(&mut hosts);
        let count = (hosts.len() as u64 * share_percent / 100).max(1) as usize;
        let mut side = vec![false; hosts.len()];
        hosts.iter().take(count).for_each(|host| side[*host] = true);
        Cut {
            from_us: self.moment(from),
            until_us: self.moment(until),
            side,
            direction,
        }
    }

    /// This share of the hosts crashes so often, each at times of its own.
    fn plan_crashes(&mut self, share_percent: u64, times: u64) {
        let mut random = Random::derive(self.config.seed, "crashes", 0);
        let (from_us, until_us) = (self.moment(10), self.moment(90));
        let part_us = (until_us - from_us) / times;
        for plan in &mut self.plans {
            if random.below(100) >= share_percent {
                continue;
            }
            plan.down = (0..times)
                .map(|number| {
                    let begin_us = from_us + number * part_us + random.below(part_us / 2 + 1);
                    let length_us = 20 * MS + random.below(part_us / 3 + 1);
                    (begin_us, begin_us + length_us)
                })
                .collect();
        }
    }

    /// A fifth of the hosts, in random order: each is back long before the next one stops, so that
    /// it finds peers who know all that it has ever written.
    fn plan_old_copies(&mut self) {
        let mut random = Random::derive(self.config.seed, "old copies", 0);
        let mut hosts: Vec<usize> = (0..self.plans.len()).collect();
        random.shuffle(&mut hosts);
        let from_us = self.moment(10);
        let last_us = self.moment(90);
        let stops = (0..).map(|number| from_us + number * OLD_COPY_EVERY_US);
        let stops = stops.take_while(|at_us| *at_us < last_us);
        for (host, stop_us) in hosts.into_iter().take(self.plans.len() / 5).zip(stops) {
            let length_us = OLD_COPY_DOWN_US + random.below(1_000 * MS);
            self.plans[host].down = vec![(stop_us, stop_us + length_us)];
            self.plans[host].comeback = Comeback::OldCopy;
        }
    }

    /// Most clocks are a little off; some drift, some jump, one is years behind and one ahead.
    fn skew_clocks(&mut self) {
        let mut random = Random::derive(self.config.seed, "clocks", 0);
        let middle_us = self.moment(50);
        for (at, plan) in self.plans.iter_mut().enumerate() {
            let skew_ms = random.below(401) as i64 - 200;
            plan.clock.skew_ms = match at {
                0 => -6 * YEAR_MS,
                1 => 4 * YEAR_MS,
                _ => skew_ms,
            };
            if at % 5 == 2 {
                plan.clock.drift_ppm = random.below(4_001) as i64 - 2_000;
            }
            if at % 5 == 3 {
                // What a daemon corrects, or what a person sets by hand.
                let most_ms = if at % 2 == 0 { 300 } else { 60 * 60 * 1_000 };
                let by_ms = random.below(2 * most_ms + 1) as i64 - most_ms as i64;
                plan.clock.jumps = vec![(middle_us + random.below(1_000) * MS, by_ms)];
            }
        }
    }
}

/// What all nodes agree on: the standard market, and others like it if there are to be more.
///
/// # Panics
/// If there are to be more than a network may have.
fn genesis(markets: u16) -> Genesis {
    let mut genesis = Genesis::standard("simulation");
    for number in 1..markets {
        let spec = MarketSpec {
            pair: &format!("COIN{number}/USD"),
            ..MarketSpec::STANDARD
        };
        let market = Market::new(&spec).expect("it is like the standard market");
        genesis.markets.push(market);
    }
    genesis.checked().expect("the pairs differ")
}

/// As real nodes, but that books are merged less often, and copies are remembered for a shorter
/// time: within it every copy has come over every link, and a thousand nodes share one memory.
fn node_config() -> NodeConfig {
    NodeConfig {
        gossip: GossipConfig {
            seen: SeenLimits {
                generation_max: 65_536,
                generation_ms: 5_000,
            },
            ..GossipConfig::default()
        },
        sync: SyncConfig::default(),
        tick_ms: 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn orders_are_spread_over_all_markets_there_are() {
        for markets in [1, 3, 256] {
            let world = World::new(Config {
                markets,
                nodes: 2,
                ..scenario::find("steady").expect("it is one")
            });
            let mut random = Random::new(1);
            let drawn: BTreeSet<u16> = (0..10_000)
                .map(|_| world.any_market(&mut random).0)
                .collect();
            assert!(drawn.into_iter().eq(0..markets), "{markets}");
        }
    }

    /// Of as many seeds as it takes for any host to be drawn as a liar who signs nothing.
    #[test]
    fn whom_liars_shut_in_is_honest_and_settles_and_has_one_honest_link() {
        for seed in 0..40 {
            let world = World::new(Config {
                seed,
                nodes: 12,
                byzantine_percent: 40.0,
                adversary: adversaries::find("never-confirm"),
                ..scenario::find("eclipse").expect("it is one")
            });
            let first = &world.plans[0];
            assert!(first.liar.is_none() && first.settlement.is_some());
            let links = first.dials.iter().filter(|peer| world.is_honest(**peer));
            assert_eq!(links.count(), 1, "seed {seed}");
            let others = world.plans[1..].iter();
            assert!(others.flat_map(|plan| &plan.dials).all(|peer| *peer != 0));
        }
    }
}
