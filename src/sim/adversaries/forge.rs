//! Alters operations of others, in the body or in the signature, and writes bytes that are none.

use super::{Adversary, Liar};
use crate::parcel::Parcel;

pub(super) struct Forge;

impl Adversary for Forge {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let Some(known) = liar.known() else {
            return;
        };
        let mut wire = known.wire().to_vec();
        match liar.random.below(4) {
            0 => {
                let at = liar.random.index(wire.len());
                wire[at] ^= 1 << liar.random.below(8);
            }
            1 => {
                let last = wire.len() - 1;
                wire[last] ^= 0x80;
            }
            2 => wire.push(0),
            _ => wire.truncate(wire.len() / 2),
        }
        let forged = Parcel::judge(&wire, &liar.world.genesis, &liar.world.digest);
        // Who gets it ends the session, so one at a time.
        let links = liar.links();
        if !links.is_empty() {
            let link = links[liar.random.index(links.len())];
            liar.push(link, vec![forged]);
        }
    }
}
