//! Announces everything and serves nothing: it tells peers that they are behind, and does not
//! answer when they ask.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::{Behind, Frame};

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct Unserving;

impl Adversary for Unserving {
    fn on_send(&mut self, _liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        match frame {
            Frame::Ops(_) | Frame::Page(_) => Fate::Vanishes,
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
