//! What travels between this node and its peers, counted.
//!
//! One relaxed addition a frame or a batch. Counters belong to the process: they go on when an
//! actor is restarted.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts so many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Frames that came from peers.
    pub frames_received: Counter,
    /// Their bytes, before encryption.
    pub bytes_received: Counter,
    /// Frames that were written to peers.
    pub frames_sent: Counter,
    /// Their bytes, before encryption.
    pub bytes_sent: Counter,
    /// Operations that peers pushed here.
    pub operations_pushed: Counter,
    /// Those of them that were here already.
    pub operations_copied: Counter,
    /// Operations that the set gained by synchronisation.
    pub operations_pulled: Counter,
}
