//! Signs one order away twice, on two branches of its chain, and shows each half of its peers
//! another one.

use bitfitech_core::op::Action;

use super::{Adversary, Liar, trader::Trader};
use crate::parcel::Parcel;
use crate::random::Random;

pub(super) struct Equivocate {
    trader: Trader,
}

impl Equivocate {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
        }
    }
}

impl Adversary for Equivocate {
    fn act(&mut self, liar: &mut Liar<'_>) {
        self.trader.place(liar);
        let mut halves = self.trader.halves(liar).into_iter();
        let Some(first) = halves.next() else {
            return;
        };
        // The same order to somebody else if there is one, else nothing to anybody.
        let second = halves.find(|half| half.own == first.own);
        let branches = [Some(first), second].map(|half| {
            let actions = half.into_iter().map(Action::Confirm).collect();
            let chain = &self.trader.chain;
            let body = chain.next(liar.now.unix_ms, Vec::new(), actions);
            chain.sign(liar.world, body)
        });
        for (number, link) in liar.links().into_iter().enumerate() {
            let branch = branches[number % 2].clone();
            liar.push(link, vec![Parcel::Good(branch)]);
        }
        self.trader = Trader::new(liar.random);
    }
}
