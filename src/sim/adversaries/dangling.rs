//! Writes operations whose ancestors do not exist: they wait for ever.

use bitfitech_core::types::OpId;

use super::{Adversary, Chain, Liar};
use crate::parcel::Parcel;
use crate::random::Random;

pub(super) struct Dangling {
    chain: Chain,
}

impl Dangling {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
        }
    }
}

impl Adversary for Dangling {
    fn act(&mut self, liar: &mut Liar<'_>) {
        for link in liar.links() {
            let mut invented = [0; 32];
            invented.fill_with(|| liar.random.any() as u8);
            let mut body = self
                .chain
                .next(liar.now.unix_ms, vec![OpId(invented)], Vec::new());
            if liar.random.below(2) == 0 {
                body.prev = Some(OpId([invented[0]; 32]));
                body.seq = 1 + liar.random.below(1_000);
            }
            let operation = self.chain.sign(liar.world, body);
            liar.push(link, vec![Parcel::Good(operation)]);
        }
    }
}
