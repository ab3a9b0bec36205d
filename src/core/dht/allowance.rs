//! How much strangers are answered: a node must not be a weapon against others.
//!
//! The sender of a datagram can be forged, and an answer is longer than a question, so whoever
//! sends questions in a victim's name could have many nodes flood the victim. An address is
//! *proven* once it has brought back a token that was sent there. Until then it gets answers of at
//! most [`STRANGER_BYTES_MAX`], and of those a limited number ([`BURST_BYTES`],
//! [`BYTES_PER_SECOND`]).
//! What comes over the loopback interface is not forged and is exempt.

use core::net::Ipv4Addr;

use super::least_recent::LeastRecent;
use crate::rate_limit::{Admission, Rate, TokenBucket};

/// Longest answer to an address that is not proven: less than any network's datagram.
pub(crate) const STRANGER_BYTES_MAX: usize = 1_200;

/// Bytes that an address that is not proven gets at once. A guess: a search by a node behind it.
const BURST_BYTES: u64 = 64 * 1_024;

/// Bytes a second that such an address gets. A guess: 40 average answers.
const BYTES_PER_SECOND: u64 = 16 * 1_024;

/// What an address that is not proven gets.
const RATE: Rate = Rate {
    tokens: BYTES_PER_SECOND,
    interval_ms: 1_000,
    burst: BURST_BYTES,
};

/// Most addresses remembered of either kind; the least recently heard go first. Who is forgotten
/// has a full allowance again: with this many addresses in play each gets little.
const ADDRESSES_MAX: usize = 8_192;

/// How long an address stays proven, in milliseconds: as long as a token is good.
const PROVEN_MS: u64 = 10 * 60 * 1_000;

#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    proven: LeastRecent<Ipv4Addr, u64>,
    /// Bytes left for each address.
    left: LeastRecent<Ipv4Addr, TokenBucket>,
}

impl Allowance {
    pub(crate) fn new() -> Self {
        Self {
            proven: LeastRecent::new(ADDRESSES_MAX),
            left: LeastRecent::new(ADDRESSES_MAX),
        }
    }

    /// An address has brought back its token.
    pub(crate) fn prove(&mut self, now_ms: u64, address: Ipv4Addr) {
        if !address.is_loopback() {
            self.proven.insert(now_ms, address, now_ms);
        }
    }

    /// Longest answer that this address may get.
    pub(crate) fn bytes_max(&self, now_ms: u64, address: Ipv4Addr) -> usize {
        if self.is_proven(now_ms, address) {
            usize::MAX
        } else {
            STRANGER_BYTES_MAX
        }
    }

    fn is_proven(&self, now_ms: u64, address: Ipv4Addr) -> bool {
        let proven = self.proven.peek(&address);
        address.is_loopback() || proven.is_some_and(|since_ms| now_ms < since_ms + PROVEN_MS)
    }

    /// Whether an answer of this length may go to this address; it then counts as sent.
    pub(crate) fn take(&mut self, now_ms: u64, address: Ipv4Addr, bytes: usize) -> bool {
        if self.is_proven(now_ms, address) {
            return true;
        }
        if bytes > STRANGER_BYTES_MAX {
            return false;
        }
        let cost = bytes as u64;
        if let Some(left) = self.left.touch(now_ms, &address) {
            return left.admit(now_ms, cost) == Admission::Granted;
        }
        let mut left = TokenBucket::new(now_ms, RATE);
        let admission = left.admit(now_ms, cost);
        self.left.insert(now_ms, address, left);
        admission == Admission::Granted
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.proven.len() + self.left.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

    #[test]
    fn a_stranger_gets_short_answers_and_few() {
        let mut allowance = Allowance::new();
        assert!(!allowance.take(0, STRANGER, STRANGER_BYTES_MAX + 1));
        let burst = (0..1_000)
            .filter(|_| allowance.take(0, STRANGER, 1_000))
            .count();
        assert_eq!(burst as u64, BURST_BYTES / 1_000);
        let second = (0..1_000)
            .filter(|at| allowance.take(*at, STRANGER, 1_000))
            .count();
        assert!(second as u64 <= BYTES_PER_SECOND / 1_000 + 1, "{second}");
    }

    #[test]
    fn who_brings_back_a_token_is_answered_in_full_for_a_while() {
        let mut allowance = Allowance::new();
        allowance.prove(0, STRANGER);
        assert!((0..1_000).all(|_| allowance.take(0, STRANGER, 8_000)));
        assert!(!allowance.take(PROVEN_MS, STRANGER, 8_000));
    }

    #[test]
    fn this_machine_is_exempt_and_the_memory_is_bounded() {
        let mut allowance = Allowance::new();
        assert!((0..1_000).all(|_| allowance.take(0, Ipv4Addr::LOCALHOST, 8_000)));
        for number in 0..20_000 {
            let address = Ipv4Addr::from(0x0b00_0000 + number);
            allowance.prove(0, address);
            allowance.take(PROVEN_MS, address, 100);
        }
        assert_eq!(allowance.len(), 2 * ADDRESSES_MAX);
    }
}
