//! A silent eager link: passes everything on while trees grow, then takes and neither passes on
//! nor serves.
//!
//! So it is the parent of others in many trees when it falls silent.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::Frame;

use super::{Adversary, Fate, Liar};
use crate::event::MS;
use crate::parcel::Parcel;

pub(super) struct Swallow;

impl Adversary for Swallow {
    fn on_send(&mut self, liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        let is_silent = liar.now.monotonic_ms >= liar.world.counted_us() / MS;
        match frame {
            Frame::Ops(_) | Frame::Page(_) | Frame::Announce(_) if is_silent => Fate::Vanishes,
            _ => Fate::Passes,
        }
    }
}
