//! Adds one operation with a wrong signature to batches that it passes on, so that every batch has
//! to be looked at twice.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::Frame;

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct BadSignature;

impl Adversary for BadSignature {
    fn on_send(&mut self, liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        if let Frame::Ops(pushed) = frame
            && liar.random.below(20) == 0
            && let Some(known) = liar.known()
        {
            let mut wire = known.wire().to_vec();
            let last = wire.len() - 1;
            wire[last] ^= 1;
            let (genesis, digest) = (&liar.world.genesis, &liar.world.digest);
            pushed
                .operations
                .push(Parcel::judge(&wire, genesis, digest));
            pushed.hops.push(1);
        }
        Fate::Passes
    }
}
