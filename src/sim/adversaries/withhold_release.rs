//! Signs its halves in time and shows them much later, with whatever it wrote in between.

use bitfitech_core::op::{Action, Verified};

use super::{Adversary, Liar, trader::Trader};
use crate::random::Random;

/// For how long it withholds what it writes, in milliseconds.
const WITHHELD_MS: u64 = 12_000;

pub(super) struct WithholdRelease {
    trader: Trader,
    /// What is not shown yet, and since when.
    withheld: Vec<Verified>,
    since_ms: u64,
}

impl WithholdRelease {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
            withheld: Vec::new(),
            since_ms: 0,
        }
    }
}

impl Adversary for WithholdRelease {
    fn act(&mut self, liar: &mut Liar<'_>) {
        if self.withheld.is_empty() {
            let Some(half) = self.trader.halves(liar).into_iter().next() else {
                self.trader.place(liar);
                return;
            };
            let operation = self.trader.write(liar, vec![Action::Confirm(half)]);
            self.withheld.push(operation);
            self.since_ms = liar.now.unix_ms;
        } else if liar.now.unix_ms >= self.since_ms + WITHHELD_MS {
            for operation in std::mem::take(&mut self.withheld) {
                liar.push_to_all(&operation);
            }
            self.trader = Trader::new(liar.random);
        } else {
            let heartbeat = self.trader.write(liar, Vec::new());
            self.withheld.push(heartbeat);
        }
    }
}
