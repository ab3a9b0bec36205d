//! Dates orders back, with a fresh key each, to stand first in the queue.

use super::{Adversary, Chain, Liar};

/// How far back, in milliseconds.
const BACK_MS: u64 = 3_000;

pub(super) struct Backdate;

impl Adversary for Backdate {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let mut chain = Chain::new(liar.random);
        let back_ms = liar.random.below(BACK_MS);
        let actions = vec![liar.order()];
        let body = chain.next(liar.now.unix_ms - back_ms, Vec::new(), actions);
        let operation = chain.append(liar.world, body);
        liar.push_to_all(&operation);
    }
}
