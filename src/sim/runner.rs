//! A run from its beginning to its report.
//!
//! Windows of time follow each other; in each of them all threads let their hosts live, then they
//! hand over what was sent. When it ends is a matter of the module `course`.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Instant;

use bitfitech_core::view::{Change, Digests};

use crate::config::{Config, Pace};
use crate::course::Course;
use crate::event::{Event, HostIndex, MS, Message, Micros, USER};
use crate::host;
use crate::invariants::{self, Evidence};
use crate::memory;
use crate::pool::{self, Pool, Waiting};
use crate::random::Random;
use crate::report::Report;
use crate::shard::{Division, Shard};
use crate::tally::Tally;
use crate::trace::Line;
use crate::world::{WARM_UP_US, World};

/// Windows between two calls of the progress function.
const PROGRESS_WINDOWS: u64 = 20;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time.
    pub now_us: Micros,
    /// When users stop and everything is healed.
    pub healed_us: Micros,
}

/// What the network came to.
struct Outcome {
    shards: Vec<Shard>,
    /// Up to when the hosts lived.
    passed_us: Micros,
    /// When the sets of all honest hosts were equal, if they were.
    converged_us: Option<Micros>,
}

/// Takes what happened, window by window.
pub type Tracer<'a> = &'a mut dyn FnMut(Line);

/// Runs a simulation. A panic of a node is a violation like any other.
pub fn run(config: Config, progress: &mut dyn FnMut(Progress)) -> Report {
    run_with(config, progress, None)
}

/// Runs a simulation and tells everything that happens to operations.
pub fn run_traced(
    config: Config,
    progress: &mut dyn FnMut(Progress),
    tracer: Tracer<'_>,
) -> Report {
    run_with(config, progress, Some(tracer))
}

fn run_with(
    config: Config,
    progress: &mut dyn FnMut(Progress),
    tracer: Option<Tracer<'_>>,
) -> Report {
    let began = Instant::now();
    let world = World::new(config);
    let ran = panic::catch_unwind(AssertUnwindSafe(|| run_world(&world, progress, tracer)));
    let mut report = ran.unwrap_or_else(|payload| {
        let told = payload.downcast_ref::<String>().cloned();
        let told = told.or_else(|| payload.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        let text = told.unwrap_or_else(|| "its message is above".to_owned());
        Report::of_panic(&world.config, &text)
    });
    report.wall_s = began.elapsed().as_secs_f64();
    report.peak_rss_mb = memory::peak_mib();
    report
}

fn run_world(
    world: &World,
    progress: &mut dyn FnMut(Progress),
    tracer: Option<Tracer<'_>>,
) -> Report {
    let shards = pool::shards_for(world.config.threads);
    let division = Division::new(world.config.nodes, shards);
    let mut shards: Vec<Shard> = (0..division.shards)
        .map(|number| Shard::new(world, division, number))
        .collect();
    let wishes = orders(world);
    let decisions = host::decisions(world, wishes.len() as u32);
    for event in wishes.into_iter().chain(decisions) {
        shards[division.shard_of(event.to)].push(event);
    }
    if tracer.is_some() {
        let tallies = shards.iter_mut().map(|shard| &mut shard.tally);
        tallies.for_each(|tally| tally.trace = Some(Vec::new()));
    }
    let mut outcome = live(world, shards, progress, tracer);
    let report = judge(world, &mut outcome);
    take_down(outcome.shards, world.config.threads);
    report
}

/// When users want to trade, and on which hosts.
fn orders(world: &World) -> Vec<Event> {
    let config = &world.config;
    let mut random = Random::derive(config.seed, "orders", 0);
    let seconds = config.duration_us as f64 / (1_000 * MS) as f64;
    let count = (config.rate * seconds).round() as u64;
    let warm_up = u64::from(config.warm_up_operations());
    let mut senders = Vec::new();
    let order = |number: u64| {
        if number == warm_up {
            // Who had his turn just before may have it again.
            senders.clear();
        }
        let at_us = match config.pace {
            Pace::Random => random.below(config.warm_up_us() + config.duration_us),
            Pace::Even => config.duration_us * number / count.max(1),
            Pace::Bursts => {
                config.duration_us * (number / 100 * 100) / count + random.below(5 * MS)
            }
        };
        let to = match config.pace {
            Pace::Even => deal(&mut senders, config.nodes, &mut random),
            Pace::Random | Pace::Bursts => random.below(u64::from(config.nodes)) as HostIndex,
        };
        Event {
            at_us: WARM_UP_US + at_us,
            to,
            from: USER,
            number: number as u32,
            message: Message::Order(random.any()),
        }
    };
    (0..warm_up + count).map(order).collect()
}

/// The next of all hosts in random order.
fn deal(rest: &mut Vec<HostIndex>, nodes: u32, random: &mut Random) -> HostIndex {
    if rest.is_empty() {
        rest.extend(0..nodes);
        random.shuffle(rest);
    }
    rest.pop().unwrap_or(0)
}

/// Lets time pass until the network has healed and agrees, or has had long enough to.
fn live(
    world: &World,
    shards: Vec<Shard>,
    progress: &mut dyn FnMut(Progress),
    mut tracer: Option<Tracer<'_>>,
) -> Outcome {
    let waiting = Waiting::new(world.config.threads.min(shards.len()));
    thread::scope(|scope| {
        let pool = Pool::start(scope, world, &waiting);
        let mut shards = shards;
        let window_us = world.network.latency_us.0;
        let healed_us = world.healed_us;
        let mut course = Course::new(world);
        let counted_us = world.counted_us();
        let mut is_warming_up = counted_us > WARM_UP_US;
        let mut count = 0;
        let mut passed_us = 0;
        while let Some(window) = shards.iter().filter_map(|it| it.next_window()).min() {
            let now_us = window * window_us;
            // Nothing has happened since the window before.
            if course.is_over(world, &mut shards, passed_us, now_us) {
                break;
            }
            shards = pool.run(shards, window);
            exchange(&mut shards);
            if let Some(tracer) = &mut tracer {
                hand_out(&mut shards, &mut |line| {
                    if !is_warming_up {
                        tracer(line);
                    }
                });
            }
            passed_us = now_us + window_us;
            if is_warming_up && passed_us >= counted_us {
                is_warming_up = false;
                let tallies = shards.iter_mut().map(|shard| &mut shard.tally);
                tallies.for_each(|tally| tally.begin(counted_us));
            }
            if count % PROGRESS_WINDOWS == 0 {
                progress(Progress { now_us, healed_us });
            }
            count += 1;
        }
        Outcome {
            shards,
            passed_us,
            converged_us: course.converged_us,
        }
    })
}

/// Hands out what happened in a window.
fn hand_out(shards: &mut [Shard], tracer: Tracer<'_>) {
    let traces = shards.iter_mut().map(|shard| &mut shard.tally.trace);
    let lines = traces.flatten().flat_map(|trace| trace.drain(..));
    let mut lines: Vec<Line> = lines.collect();
    lines.sort_by_key(|line| (line.at_us, line.host()));
    lines.into_iter().for_each(tracer);
}

/// Hands messages and news of what was written to the other shards.
fn exchange(shards: &mut [Shard]) {
    let count = shards.len();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let messages = std::mem::take(&mut shards[from].outbox[to]);
            if !messages.is_empty() {
                shards[to].inbox.push(messages);
            }
        }
        let written = std::mem::take(&mut shards[from].tally.written);
        for (id, at_us) in written {
            for shard in shards.iter_mut() {
                shard.tally.note_written(id, at_us);
            }
        }
    }
}

/// Digests of all, counts of all, and what is wrong.
fn judge(world: &World, outcome: &mut Outcome) -> Report {
    let (passed_us, converged_us) = (outcome.passed_us, outcome.converged_us);
    let shards = &mut outcome.shards;
    let digests: BTreeMap<HostIndex, Digests> = thread::scope(|scope| {
        let asked = shards
            .iter_mut()
            .map(|shard| scope.spawn(|| shard.digests(world, passed_us)));
        let asked: Vec<_> = asked.collect();
        let answers = asked
            .into_iter()
            .map(|it| it.join().expect("digests are made"));
        answers.flatten().collect()
    });
    let mut tally = Tally::default();
    shards.iter().for_each(|shard| tally.merge(&shard.tally));
    let mut distinct: Vec<Digests> = digests.values().copied().collect();
    let key = |it: &Digests| (it.set, it.book, it.trades, it.final_trades, it.orders);
    distinct.sort_by_key(key);
    distinct.dedup_by_key(|it| key(it));
    let hosts = shards.iter().flat_map(|shard| shard.hosts());
    let honest = hosts.filter(|host| digests.contains_key(&host.index()));
    let evidence = Evidence {
        world,
        hosts: honest.collect(),
        digests,
        tally: &tally,
    };
    let violations = invariants::check_all(&evidence);
    Report {
        operations: distinct.iter().map(|it| it.operations).max().unwrap_or(0),
        trades: trades(&evidence),
        is_converged: converged_us.is_some() && distinct.len() == 1,
        distinct_digests: distinct.len() as u64,
        violations,
        final_lost: invariants::final_lost(&evidence),
        converge_ms: converged_us.map(|at_us| (at_us - world.healed_us) / MS),
        tally,
        ..Report::new(&world.config)
    }
}

/// Gives the memory of all hosts back, with all threads: there is much of it.
fn take_down(mut shards: Vec<Shard>, threads: usize) {
    let part = shards.len().div_ceil(threads.max(1));
    thread::scope(|scope| {
        while !shards.is_empty() {
            let rest = shards.len().saturating_sub(part);
            let mine = shards.split_off(rest);
            scope.spawn(move || drop(mine));
        }
    });
}

/// How many trades stand, as the first honest host that is up sees it.
fn trades(evidence: &Evidence<'_>) -> u64 {
    let Some(node) = evidence.hosts.iter().find_map(|host| host.node()) else {
        return 0;
    };
    let changes = node.exchange().replica().snapshot();
    let is_trade = |change: &Change| matches!(change, Change::Trade { .. });
    changes.filter(is_trade).count() as u64
}
