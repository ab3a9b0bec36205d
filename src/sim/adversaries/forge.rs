//! Writes in the name of others, alters what they wrote, and writes bytes that are no operation.

use bitfitech_core::op::{Body, Verified};

use super::{Adversary, Chain, Liar};
use crate::parcel::Parcel;

pub(super) struct Forge;

impl Adversary for Forge {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let Some(known) = liar.known() else {
            return;
        };
        let wire = match liar.random.below(2) {
            0 => in_the_name_of(&known, liar),
            _ => altered(&known, liar),
        };
        let forged = Parcel::judge(&wire, &liar.world.genesis, &liar.world.digest);
        // Who gets it ends the session, so one at a time.
        let links = liar.links();
        if !links.is_empty() {
            let link = links[liar.random.index(links.len())];
            liar.push(link, vec![forged]);
        }
    }
}

/// An operation that follows another's, signed with a key that is not his.
fn in_the_name_of(known: &Verified, liar: &mut Liar<'_>) -> Vec<u8> {
    let stranger = Chain::new(liar.random);
    let before = known.body();
    let time = before.time.next().unwrap_or(before.time);
    let body = Body {
        seq: before.seq + 1,
        prev: Some(known.id()),
        time,
        refs: Vec::new(),
        actions: vec![liar.order()],
        ..before.clone()
    };
    stranger.sign(liar.world, body).wire().to_vec()
}

/// Another's operation with something wrong in it.
fn altered(known: &Verified, liar: &mut Liar<'_>) -> Vec<u8> {
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
    wire
}
