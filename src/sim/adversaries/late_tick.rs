//! Writes a late order for every tick of its peers, so that they undo and redo without end.

use super::{Adversary, Chain, Liar};
use crate::random::Random;

/// How far back, in milliseconds.
const BACK_MS: u64 = 1_500;

/// How far from one to the next, in milliseconds.
const TICK_MS: u64 = 50;

/// Operations at a time: the next ones come when these are over.
const TICKS: u64 = 5;

pub(super) struct LateTick {
    chain: Chain,
}

impl LateTick {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
        }
    }
}

impl Adversary for LateTick {
    fn act(&mut self, liar: &mut Liar<'_>) {
        for tick in 0..TICKS {
            let actions = vec![liar.order()];
            let dated_ms = liar.now.unix_ms - BACK_MS + tick * TICK_MS;
            let body = self.chain.next(dated_ms, Vec::new(), actions);
            let operation = self.chain.append(liar.world, body);
            liar.push_to_all(&operation);
        }
    }
}
