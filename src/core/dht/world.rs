//! A network of DHT nodes in virtual time, with latency and loss, for tests.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::chance::Random;
use super::{Dht, DhtConfig, DhtEvent, Outcome, Output, Overloaded, QueryId};
use crate::types::Now;

/// A datagram under way: to, from, what.
type Parcel = (SocketAddrV4, SocketAddrV4, Vec<u8>);

pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) loss_percent: u64,
    pub(super) nodes: BTreeMap<SocketAddrV4, Dht>,
    pub(super) finished: BTreeMap<(SocketAddrV4, QueryId), Outcome>,
    pub(super) ready: BTreeSet<SocketAddrV4>,
    pub(super) announced: Vec<(SocketAddrV4, Vec<u8>, SocketAddrV4)>,
    under_way: BTreeMap<(u64, u64), Parcel>,
    parcels: u64,
    random: Random,
    latency_ms: (u64, u64),
}

/// Address of node `number`; each has a host of its own.
pub(super) fn host(number: usize) -> SocketAddrV4 {
    let number = u32::try_from(number).expect("few nodes");
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0001 + number), 20_001)
}

pub(super) fn at(now_ms: u64) -> Now {
    Now {
        monotonic_ms: now_ms,
        unix_ms: now_ms,
    }
}

impl World {
    pub(super) fn new(seed: u8, latency_ms: (u64, u64)) -> Self {
        Self {
            now_ms: 0,
            loss_percent: 0,
            nodes: BTreeMap::new(),
            finished: BTreeMap::new(),
            ready: BTreeSet::new(),
            announced: Vec::new(),
            under_way: BTreeMap::new(),
            parcels: 0,
            random: Random::new(&[seed; 32]),
            latency_ms,
        }
    }

    pub(super) fn start(&mut self, number: usize, config: DhtConfig) {
        let seed = self.random.bytes();
        let dht = Dht::new(config, &seed, at(self.now_ms));
        self.nodes.insert(host(number), dht);
        self.ready.remove(&host(number));
        self.collect(host(number));
    }

    /// A node that enters by these others.
    pub(super) fn start_at(&mut self, number: usize, bootstrap: &[usize]) {
        let bootstrap = bootstrap.iter().map(|number| host(*number)).collect();
        self.start(
            number,
            DhtConfig {
                bootstrap,
                ..DhtConfig::default()
            },
        );
    }

    /// Does what a node wants done.
    fn collect(&mut self, address: SocketAddrV4) {
        let Some(dht) = self.nodes.get_mut(&address) else {
            return;
        };
        while let Some(output) = dht.poll_output() {
            match output {
                Output::Send { to, datagram } => {
                    if self.random.below(100) < self.loss_percent {
                        continue;
                    }
                    let (least, most) = self.latency_ms;
                    let due_ms = self.now_ms + least + self.random.below(most - least + 1);
                    self.parcels += 1;
                    let parcel = (to, address, datagram);
                    self.under_way.insert((due_ms, self.parcels), parcel);
                }
                Output::Finished { query, outcome } => {
                    let twice = self.finished.insert((address, query), outcome);
                    assert_eq!(twice, None, "each query ends once");
                }
                Output::Event(DhtEvent::Ready) => assert!(self.ready.insert(address)),
                Output::Event(DhtEvent::Announced { name, peer }) => {
                    self.announced.push((address, name, peer));
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Lets time pass up to that moment.
    pub(super) fn run_until(&mut self, end_ms: u64) {
        loop {
            let parcel_ms = self.under_way.keys().next().map(|(due_ms, _)| *due_ms);
            let timers = self.nodes.iter();
            let timer = timers
                .map(|(address, dht)| (dht.next_deadline_ms(), *address))
                .min();
            let next_ms = parcel_ms
                .into_iter()
                .chain(timer.map(|timer| timer.0))
                .min();
            let Some(next_ms) = next_ms.filter(|next_ms| *next_ms <= end_ms) else {
                self.now_ms = end_ms;
                return;
            };
            self.now_ms = self.now_ms.max(next_ms);
            if parcel_ms == Some(next_ms) {
                let (_, (to, from, datagram)) = self.under_way.pop_first().expect("it is there");
                if let Some(dht) = self.nodes.get_mut(&to) {
                    dht.handle_datagram(at(self.now_ms), from, &datagram);
                }
                self.collect(to);
            } else if let Some((_, address)) = timer {
                let dht = self.nodes.get_mut(&address).expect("it is there");
                dht.tick(at(self.now_ms));
                self.collect(address);
            }
        }
    }

    pub(super) fn run_for(&mut self, duration_ms: u64) {
        self.run_until(self.now_ms + duration_ms);
    }

    /// Asks something of a node.
    pub(super) fn ask(
        &mut self,
        number: usize,
        ask: impl FnOnce(&mut Dht, Now) -> Result<QueryId, Overloaded>,
    ) -> (SocketAddrV4, QueryId) {
        let address = host(number);
        let dht = self.nodes.get_mut(&address).expect("it runs");
        let query = ask(dht, at(self.now_ms)).expect("not overloaded");
        self.collect(address);
        (address, query)
    }

    /// Asks something of a node and waits for the end, at most 10 s; how long it took.
    pub(super) fn finish(
        &mut self,
        number: usize,
        ask: impl FnOnce(&mut Dht, Now) -> Result<QueryId, Overloaded>,
    ) -> (Outcome, u64) {
        let began_ms = self.now_ms;
        let key = self.ask(number, ask);
        for _ in 0..2_000 {
            if let Some(outcome) = self.finished.remove(&key) {
                return (outcome, self.now_ms - began_ms);
            }
            self.run_for(5);
        }
        panic!("not finished within 10 s");
    }

    pub(super) fn lookup(&mut self, number: usize, name: &[u8]) -> Vec<SocketAddrV4> {
        match self
            .finish(number, |dht, now| dht.start_lookup(now, name))
            .0
        {
            Outcome::Lookup(found) => found.peers,
            other => panic!("not a lookup: {other:?}"),
        }
    }

    pub(super) fn announce(&mut self, number: usize, name: &[u8], port: u16) -> Outcome {
        let announce = |dht: &mut Dht, now| dht.start_announce(now, name, port);
        self.finish(number, announce).0
    }
}
