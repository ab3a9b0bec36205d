//! What travels between this node and its peers, counted.
//!
//! One relaxed addition a frame or a batch. Counters belong to the process: they go on when an
//! actor is restarted.

use std::sync::atomic::{AtomicU64, Ordering};

use bitfitech_core::types::HybridTime;

use crate::histogram::Histogram;

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

/// Milliseconds that an operation may take to come here. A guess: from a neighbour on the same
/// machine to one that was asked for several times.
const DELIVERY_BOUNDS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];

/// Links that an operation may come over.
const HOPS_BOUNDS: [u64; 6] = [1, 2, 3, 4, 6, 8];

/// All counters.
#[derive(Debug)]
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
    /// For operations that peers pushed here: milliseconds from the time that the author signed, by
    /// his clock, to the arrival, by this one. Where his clock is ahead it is none.
    pub delivery_ms: Histogram<{ DELIVERY_BOUNDS_MS.len() }>,
    /// For the same: over how many links they came, as the last sender claims.
    pub hops: Histogram<{ HOPS_BOUNDS.len() }>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            frames_received: Counter::default(),
            bytes_received: Counter::default(),
            frames_sent: Counter::default(),
            bytes_sent: Counter::default(),
            operations_pushed: Counter::default(),
            operations_copied: Counter::default(),
            operations_pulled: Counter::default(),
            delivery_ms: Histogram::new(DELIVERY_BOUNDS_MS),
            hops: Histogram::new(HOPS_BOUNDS),
        }
    }
}

impl Traffic {
    /// A peer pushed an operation that was not here yet; it was signed at this time.
    pub(crate) fn note_arrival(&self, now_unix_ms: u64, signed: HybridTime, hops: u8) {
        let took_ms = now_unix_ms.saturating_sub(signed.unix_ms());
        self.delivery_ms.note(took_ms);
        self.hops.note(hops.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_counted_by_its_age_and_its_links() {
        let traffic = Traffic::default();
        let signed = HybridTime::from_unix_ms(1_000);
        traffic.note_arrival(1_007, signed, 2);
        traffic.note_arrival(999, signed, 1);
        traffic.note_arrival(61_000, signed, 255);
        let delivery = traffic.delivery_ms.read();
        let filled: Vec<(u64, u64)> = delivery.buckets.into_iter().filter(|it| it.1 > 0).collect();
        assert_eq!(
            filled,
            [(1, 1), (10, 1)],
            "a clock that is ahead counts as no time"
        );
        assert_eq!((delivery.sum, delivery.count), (60_007, 3));
        let hops = traffic.hops.read();
        assert_eq!((hops.sum, hops.count), (258, 3));
    }
}
