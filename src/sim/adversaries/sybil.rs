//! Pretends to be many: every operation has an author of its own.

use super::{Adversary, Chain, Liar};
use crate::parcel::Parcel;

/// Authors that appear at a time.
const AUTHORS: usize = 5;

pub(super) struct Sybil;

impl Adversary for Sybil {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let mut flood = Vec::new();
        for _ in 0..AUTHORS {
            let mut chain = Chain::new(liar.random);
            let actions = vec![liar.order()];
            let refs = liar.known().map(|known| known.id()).into_iter().collect();
            let body = chain.next(liar.now.unix_ms, refs, actions);
            flood.push(Parcel::Good(chain.append(liar.world, body)));
        }
        for link in liar.links() {
            liar.push(link, flood.clone());
        }
    }
}
