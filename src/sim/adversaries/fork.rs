//! Forks its chain again and again, and shows each branch to somebody else.

use super::{Adversary, Chain, Liar};
use crate::parcel::Parcel;
use crate::random::Random;

pub(super) struct Fork {
    chain: Chain,
}

impl Fork {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
        }
    }
}

impl Adversary for Fork {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let mut goes_on = None;
        for link in liar.links() {
            let actions = vec![liar.order()];
            let body = self.chain.next(liar.now.unix_ms, Vec::new(), actions);
            let operation = self.chain.sign(liar.world, body.clone());
            liar.push(link, vec![Parcel::Good(operation)]);
            goes_on = Some(body);
        }
        if let Some(body) = goes_on {
            self.chain.append(liar.world, body);
        }
    }
}
