//! Takes everything and passes nothing on, from the beginning.
//!
//! Whoever hears of operations over this link alone hears of none, until it compares heads with
//! another peer.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::Frame;

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct Silent;

impl Adversary for Silent {
    fn on_send(&mut self, _liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        match frame {
            Frame::Ops(_) => Fate::Vanishes,
            _ => Fate::Passes,
        }
    }
}
