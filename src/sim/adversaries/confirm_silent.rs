//! Confirms one trade, and is never heard again.

use bitfitech_core::op::Action;

use super::{Adversary, Liar, trader::Trader};
use crate::random::Random;

pub(super) struct ConfirmSilent {
    trader: Trader,
}

impl ConfirmSilent {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
        }
    }
}

impl Adversary for ConfirmSilent {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let Some(half) = self.trader.halves(liar).into_iter().next() else {
            self.trader.place(liar);
            return;
        };
        let operation = self.trader.write(liar, vec![Action::Confirm(half)]);
        liar.push_to_all(&operation);
        self.trader = Trader::new(liar.random);
    }
}
