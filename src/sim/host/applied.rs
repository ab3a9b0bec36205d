//! What a host has applied, in so few bytes that it can be compared in every window.

use bitfitech_core::op::Verified;
use bitfitech_core::types::OpId;

/// Two sets: all operations, and those dated before everything was healed. Ids are random, so sets
/// with equal numbers and equal sums are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// All operations.
    pub all: IdSet,
    /// Those dated before everything was healed. Nodes with open orders go on to show that they
    /// are alive, so the set of all operations never comes to rest by itself.
    pub before_healing: IdSet,
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    count: usize,
    sum: u128,
}

impl Applied {
    /// Another operation was applied.
    pub(super) fn add(&mut self, operation: &Verified, healed_unix_ms: u64) {
        let id = operation.id();
        self.all.add(&id);
        if operation.body().time.unix_ms() < healed_unix_ms {
            self.before_healing.add(&id);
        }
    }
}

impl IdSet {
    fn add(&mut self, id: &OpId) {
        let half = id.0.first_chunk::<16>().expect("an id has 32 bytes");
        self.count += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(*half));
    }
}
