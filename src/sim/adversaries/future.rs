//! Dates operations ahead: by a little, by more than may be, by years.

use super::{Adversary, Chain, Liar};
use crate::random::Random;

pub(super) struct Future {
    chain: Chain,
}

impl Future {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
        }
    }
}

impl Adversary for Future {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let actions = vec![liar.order()];
        let ahead_ms = match liar.random.below(3) {
            0 => 450,
            1 => 1_000 + liar.random.below(4_000),
            _ => {
                // Years ahead, on a chain of its own: nothing can follow it for as long.
                let mut chain = Chain::new(liar.random);
                let body = chain.next(liar.now.unix_ms + 100_000_000_000, Vec::new(), actions);
                let operation = chain.append(liar.world, body);
                liar.push_to_all(&operation);
                return;
            }
        };
        let body = self
            .chain
            .next(liar.now.unix_ms + ahead_ms, Vec::new(), actions);
        let operation = self.chain.append(liar.world, body);
        liar.push_to_all(&operation);
    }
}
