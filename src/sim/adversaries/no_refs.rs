//! Leaves references out, to stand earlier within a bucket than what it has seen.

use super::{Adversary, Chain, Liar};
use crate::random::Random;

pub(super) struct NoRefs {
    chain: Chain,
}

impl NoRefs {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
        }
    }
}

impl Adversary for NoRefs {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let actions = vec![liar.order()];
        // The first moment of the present bucket.
        let bucket_ms = u64::from(liar.world.genesis.bucket_ms);
        let begin_ms = liar.now.unix_ms / bucket_ms * bucket_ms;
        let body = self.chain.next(begin_ms, Vec::new(), actions);
        let operation = self.chain.append(liar.world, body);
        liar.push_to_all(&operation);
    }
}
