//! Some hosts, and how they live through a window of time.

use bitfitech_core::view::Digests;

use crate::engine::Executions;
use crate::event::{Event, HostIndex, Micros};
use crate::host::{Host, Step};
use crate::queue::Queue;
use crate::tally::Tally;
use crate::world::World;

/// Where hosts are: an equal number in each shard.
#[derive(Clone, Copy, Debug)]
pub struct Division {
    per_shard: u32,
    /// How many shards there are.
    pub shards: usize,
}

impl Division {
    /// Divides hosts among so many shards, or as many as have a host.
    pub fn new(hosts: u32, shards: usize) -> Self {
        let shards = u32::try_from(shards)
            .unwrap_or(u32::MAX)
            .clamp(1, hosts.max(1));
        let per_shard = hosts.div_ceil(shards).max(1);
        Self {
            per_shard,
            shards: hosts.div_ceil(per_shard) as usize,
        }
    }

    /// The first host of a shard; the others follow it.
    fn first_of(&self, shard: usize) -> HostIndex {
        // There are fewer shards than hosts.
        self.per_shard * shard as HostIndex
    }

    /// The shard of a host.
    pub fn shard_of(&self, host: HostIndex) -> usize {
        (host / self.per_shard) as usize
    }
}

/// Hosts that live one after the other.
pub struct Shard {
    number: usize,
    division: Division,
    window_us: Micros,
    hosts: Vec<Host>,
    /// When each host has something to do by itself.
    wakes_us: Vec<Micros>,
    queue: Queue,
    /// Messages for hosts of other shards, by shard.
    pub(crate) outbox: Vec<Vec<Event>>,
    /// Messages from other shards.
    pub(crate) inbox: Vec<Vec<Event>>,
    pub(crate) tally: Tally,
}

impl Shard {
    /// The hosts of shard `number`.
    pub fn new(world: &World, division: Division, number: usize) -> Self {
        let executions = Executions::default();
        let all = 0..world.config.nodes;
        let mine = all.filter(|host| division.shard_of(*host) == number);
        let hosts: Vec<Host> = mine
            .map(|host| Host::new(world, host, executions.clone()))
            .collect();
        let window_us = world.network.latency_us.0;
        let wakes_us = hosts
            .iter()
            .map(|host| host.next_wake_us(world).unwrap_or(Micros::MAX))
            .collect();
        Self {
            number,
            division,
            window_us,
            hosts,
            wakes_us,
            queue: Queue::new(window_us),
            outbox: (0..division.shards).map(|_| Vec::new()).collect(),
            inbox: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Its hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Adds an event from outside.
    pub fn push(&mut self, event: Event) {
        self.queue.push(event);
    }

    /// The first window in which something happens here.
    pub fn next_window(&self) -> Option<u64> {
        let wake_us = self.wakes_us.iter().min().copied();
        let wake = wake_us.filter(|at_us| *at_us < Micros::MAX);
        let wake = wake.map(|at_us| at_us / self.window_us);
        let arriving = self.inbox.iter().flatten().map(|event| event.at_us);
        let arriving = arriving.min().map(|at_us| at_us / self.window_us);
        let queued = self.queue.next_window();
        [wake, arriving, queued].into_iter().flatten().min()
    }

    /// Lets every host live through a window.
    pub fn run(&mut self, world: &World, window: u64) {
        for mut arrived in std::mem::take(&mut self.inbox) {
            arrived.drain(..).for_each(|event| self.queue.push(event));
            self.queue.recycle(arrived);
        }
        let mut events = self.queue.take(window);
        let span = (window * self.window_us, (window + 1) * self.window_us);
        let mut sent = self.queue.spare();
        let mut rest = events.drain(..).peekable();
        // Most hosts have nothing to do, and are not looked at: that would fetch each from memory.
        for (at, index) in (0..self.hosts.len()).zip(self.division.first_of(self.number)..) {
            let has_events = rest.peek().is_some_and(|event| event.to == index);
            if !has_events && self.wakes_us[at] >= span.1 {
                continue;
            }
            let mine = std::iter::from_fn(|| rest.next_if(|event| event.to == index));
            let mut step = Step {
                world,
                sent: &mut sent,
                tally: &mut self.tally,
                now_us: span.0,
            };
            self.wakes_us[at] = run_host(&mut self.hosts[at], &mut step, span.1, mine);
        }
        drop(rest);
        self.queue.recycle(events);
        for event in sent.drain(..) {
            let shard = self.division.shard_of(event.to);
            if shard == self.number {
                self.queue.push(event);
                continue;
            }
            let outbox = &mut self.outbox[shard];
            if outbox.is_empty() {
                *outbox = self.queue.spare();
            }
            outbox.push(event);
        }
        self.queue.recycle(sent);
    }

    /// All hosts write nothing more by themselves.
    pub fn fall_quiet(&mut self) {
        self.hosts.iter_mut().for_each(Host::fall_quiet);
    }

    /// The digests of every honest host that is up.
    pub fn digests(&mut self, world: &World, now_us: Micros) -> Vec<(HostIndex, Digests)> {
        let mut step = Step {
            world,
            sent: &mut Vec::new(),
            tally: &mut self.tally,
            now_us,
        };
        let is_honest = |host: &&mut Host| world.is_honest(host.index());
        let honest = self.hosts.iter_mut().filter(is_honest);
        let digests = honest.map(|host| Some((host.index(), host.digests(&mut step)?)));
        digests.flatten().collect()
    }
}

/// One host's window: its events and its own deadlines in the order of time. When it wakes next.
fn run_host(
    host: &mut Host,
    step: &mut Step<'_>,
    end_us: Micros,
    events: impl Iterator<Item = Event>,
) -> Micros {
    let mut events = events.peekable();
    loop {
        let wake_us = host.next_wake_us(step.world).unwrap_or(Micros::MAX);
        let event_us = events.peek().map_or(end_us, |event| event.at_us);
        if wake_us <= event_us && wake_us < end_us {
            step.now_us = wake_us.max(step.now_us);
            host.wake(step);
        } else if let Some(event) = events.next() {
            step.now_us = event.at_us;
            host.handle(step, event.from, event.message);
        } else {
            return wake_us;
        }
    }
}
