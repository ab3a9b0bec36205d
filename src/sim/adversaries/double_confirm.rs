//! Confirms one piece twice, and more than an order has: the second half is invalid.

use bitfitech_core::op::{Action, Half};
use bitfitech_core::types::Lots;

use super::{Adversary, Liar, trader::Trader};
use crate::parcel::Parcel;
use crate::random::Random;

pub(super) struct DoubleConfirm {
    trader: Trader,
}

impl DoubleConfirm {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
        }
    }
}

impl Adversary for DoubleConfirm {
    fn act(&mut self, liar: &mut Liar<'_>) {
        self.trader.place(liar);
        let Some(half) = self.trader.halves(liar).into_iter().next() else {
            return;
        };
        let first = self.trader.write(liar, vec![Action::Confirm(half)]);
        liar.push_to_all(&first);
        let too_much = match liar.random.below(2) {
            0 => half.quantity,
            _ => Lots(u64::from(u32::MAX)),
        };
        let again = Half {
            quantity: too_much,
            ..half
        };
        let actions = vec![Action::Confirm(again)];
        let body = self
            .trader
            .chain
            .next(liar.now.unix_ms, Vec::new(), actions);
        let second = self.trader.chain.sign(liar.world, body);
        // Who gets it ends the session, so one at a time.
        let links = liar.links();
        if !links.is_empty() {
            let link = links[liar.random.index(links.len())];
            liar.push(link, vec![Parcel::Good(second)]);
        }
        self.trader = Trader::new(liar.random);
    }
}
