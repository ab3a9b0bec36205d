//! Trades and never confirms, neither with its node's orders nor with those of another chain.

use super::{Adversary, Liar, trader::Trader};
use crate::random::Random;

pub(super) struct NeverConfirm {
    trader: Trader,
}

impl NeverConfirm {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
        }
    }
}

impl Adversary for NeverConfirm {
    fn act(&mut self, liar: &mut Liar<'_>) {
        self.trader.place(liar);
    }
}
