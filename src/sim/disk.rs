//! The disk of a host: a log of operations, of which a crash loses the end.
//!
//! What was acknowledged survives. Of what was not, any prefix of the bytes may have reached the
//! disk; a record that is cut in the middle is found broken by its checksum and dropped, as the
//! store does. So a crash keeps what was synchronised and a random number of whole records behind.

use bitfitech_core::op::Verified;
use bitfitech_core::tight;
use bitfitech_core::wire::Payload;

use crate::random::Random;

/// The log.
#[derive(Debug, Default)]
pub struct Disk {
    log: Vec<Verified>,
    durable: usize,
}

impl Disk {
    /// Hands a record to the system, which may take its time.
    pub fn append(&mut self, operation: Verified) {
        tight::push(&mut self.log, operation);
    }

    /// How many records the system was given.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// How many records survive a crash for sure.
    pub fn durable(&self) -> usize {
        self.durable
    }

    /// The first `count` records are on the platter.
    pub fn synchronise(&mut self, count: usize) {
        self.durable = self.durable.max(count);
    }

    /// A record.
    pub fn read(&self, index: usize) -> Option<&Verified> {
        self.log.get(index)
    }

    /// All records, oldest first.
    pub fn records(&self) -> &[Verified] {
        &self.log
    }

    /// An old copy is put in its place, with so many of the records.
    pub fn go_back(&mut self, count: usize) {
        self.log.truncate(count);
        self.durable = self.log.len();
    }

    /// The machine stops at a random byte of what is not on the platter yet.
    pub fn crash(&mut self, random: &mut Random) {
        let at_risk = &self.log[self.durable..];
        let bytes: usize = at_risk.iter().map(Payload::size_bytes).sum();
        let mut written_bytes = random.below(bytes as u64 + 1) as usize;
        let mut kept = self.durable;
        for operation in at_risk {
            let Some(rest) = written_bytes.checked_sub(operation.size_bytes()) else {
                break;
            };
            written_bytes = rest;
            kept += 1;
        }
        self.log.truncate(kept);
        self.durable = kept;
    }
}
