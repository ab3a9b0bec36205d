//! Entering the DHT and staying in it.
//!
//! A node enters by a walk towards its own id that begins at the configured addresses. Those are
//! asked again after little more than 100 ms, so two nodes that begin at each other at the same
//! moment find each other at once. While it knows nobody it tries again, first after
//! [`RETRY_FIRST_MS`], then ever more rarely up to [`RETRY_MAX_MS`]. Every 30 to 90 s it asks nodes
//! that were silent for `liveness_ms` whether they are still there, forgets announcements that
//! were not repeated, and, while its table is small, walks towards its own id again, so that parts
//! of the DHT that were cut off from each other grow together.

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::chance::Random;
use super::routing::BUCKET_NODES_MAX;
use super::transactions::{Patience, Purpose};
use super::vocabulary::{DhtEvent, Output};
use super::{Ask, Dht};
use crate::krpc::OwnQuery;
use crate::types::Now;

/// First wait before the DHT is entered again, in milliseconds. A guess.
const RETRY_FIRST_MS: u64 = 1_000;

/// Longest such wait. A guess.
const RETRY_MAX_MS: u64 = 30_000;

/// Time between two rounds of upkeep: this, and up to twice as much more (Grenache).
const ROUND_MIN_MS: u64 = 30_000;

/// Nodes asked for a sign of life in one round (Grenache asks until one is dead).
const CHECKS_MAX: usize = 16;

/// What the upkeep remembers.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    round_ms: u64,
    retry_ms: Option<u64>,
    retry_wait_ms: u64,
    ready: bool,
    exploring: usize,
}

impl Upkeep {
    pub(super) fn new(now_ms: u64, random: &mut Random) -> Self {
        Self {
            round_ms: now_ms + ROUND_MIN_MS + random.below(2 * ROUND_MIN_MS),
            retry_ms: None,
            retry_wait_ms: RETRY_FIRST_MS,
            ready: false,
            exploring: 0,
        }
    }
}

impl Dht {
    /// Begins to enter the DHT.
    pub(super) fn begin_upkeep(&mut self, now_ms: u64) {
        self.enter(now_ms, self.config.bootstrap.clone());
    }

    fn enter(&mut self, now_ms: u64, entrances: Vec<SocketAddrV4>) {
        // When too much is asked already, the next round does it.
        self.upkeep.exploring += 1;
        if self.explore(now_ms, entrances).is_err() {
            self.upkeep.exploring -= 1;
        }
    }

    /// The addresses by which the DHT is entered have changed: host names lead elsewhere now. They
    /// are used when the DHT is entered again.
    pub fn set_bootstrap(&mut self, bootstrap: Vec<SocketAddrV4>) {
        self.config.bootstrap = bootstrap;
    }

    /// There may be a node at this address: gets to know it.
    pub fn meet(&mut self, now: Now, address: SocketAddrV4) {
        if self.routing.len() < BUCKET_NODES_MAX {
            return self.enter(now.monotonic_ms, alloc::vec![address]);
        }
        // Left out if too many questions are under way: the table is well filled without it.
        let _ = self.ask(
            now.monotonic_ms,
            Ask {
                to: address,
                id: None,
                purpose: Purpose::Liveness,
                patience: Patience::Normal,
                query: &OwnQuery::Ping,
            },
        );
    }

    /// A walk towards the own id is over.
    pub(super) fn on_explored(&mut self, now_ms: u64) {
        self.upkeep.exploring = self.upkeep.exploring.saturating_sub(1);
        if !self.upkeep.ready {
            self.upkeep.ready = true;
            self.outputs.push_back(Output::Event(DhtEvent::Ready));
        }
        if self.routing.len() > 0 {
            self.upkeep.retry_wait_ms = RETRY_FIRST_MS;
        } else if !self.config.bootstrap.is_empty() {
            self.upkeep.retry_ms = Some(now_ms + self.upkeep.retry_wait_ms);
            self.upkeep.retry_wait_ms = (self.upkeep.retry_wait_ms * 2).min(RETRY_MAX_MS);
        }
    }

    pub(super) fn next_upkeep_ms(&self) -> u64 {
        let fixed = self.upkeep.round_ms.min(self.tokens.next_rotation_ms());
        self.upkeep
            .retry_ms
            .map_or(fixed, |retry_ms| retry_ms.min(fixed))
    }

    pub(super) fn tick_upkeep(&mut self, now_ms: u64) {
        self.tokens.tick(now_ms, &mut self.random);
        if self
            .upkeep
            .retry_ms
            .is_some_and(|retry_ms| retry_ms <= now_ms)
        {
            self.upkeep.retry_ms = None;
            if self.routing.len() == 0 {
                self.enter(now_ms, self.config.bootstrap.clone());
            }
        }
        if now_ms < self.upkeep.round_ms {
            return;
        }
        self.upkeep.round_ms = now_ms + ROUND_MIN_MS + self.random.below(2 * ROUND_MIN_MS);
        self.peers.expire(now_ms);
        let liveness_ms = self.config.liveness_ms;
        for contact in self.routing.silent(now_ms, liveness_ms, CHECKS_MAX) {
            self.check(now_ms, contact);
        }
        if self.routing.len() < BUCKET_NODES_MAX && self.upkeep.exploring == 0 {
            self.enter(now_ms, self.config.bootstrap.clone());
        }
    }
}
