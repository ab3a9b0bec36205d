//! Announces everything and serves nothing: where its node would push, it announces with the fewest
//! hops, which makes it everybody's best parent; it tells peers that they are behind; and it does
//! not answer when they ask.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::{Announce, Behind, Frame, Prefix};

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct Unserving;

impl Adversary for Unserving {
    fn on_send(&mut self, liar: &mut Liar<'_>, link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        match frame {
            Frame::Ops(pushed) => {
                let ids = pushed.operations.iter().filter_map(Parcel::id);
                let ids: Vec<Prefix> = ids.map(|id| Prefix::of(&id.0)).collect();
                let hops = vec![0; ids.len()];
                liar.sent
                    .push((link, Frame::Announce(Announce { ids, hops })));
                Fate::Vanishes
            }
            Frame::Page(_) => Fate::Vanishes,
            _ => Fate::Passes,
        }
    }

    fn act(&mut self, liar: &mut Liar<'_>) {
        for link in liar.links() {
            liar.sent
                .push((link, Frame::Behind(Behind { missed: 1_000 })));
        }
    }
}
