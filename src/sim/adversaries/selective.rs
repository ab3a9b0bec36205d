//! Passes half of the operations on, to half of its peers.

use bitfitech_core::types::LinkId;
use bitfitech_core::wire::Frame;

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct Selective;

impl Adversary for Selective {
    fn on_send(&mut self, _liar: &mut Liar<'_>, link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        let is_liked = |parcel: &Parcel| parcel.id().is_none_or(|id| id.0[0].is_multiple_of(2));
        match frame {
            Frame::Ops(_) if link.0.is_multiple_of(2) => return Fate::Vanishes,
            Frame::Ops(pushed) => {
                let both = pushed.operations.drain(..).zip(pushed.hops.drain(..));
                let liked: Vec<_> = both.filter(|(parcel, _)| is_liked(parcel)).collect();
                (pushed.operations, pushed.hops) = liked.into_iter().unzip();
            }
            Frame::Page(page) => page.operations.retain(is_liked),
            _ => return Fate::Passes,
        }
        match frame {
            Frame::Ops(pushed) if pushed.operations.is_empty() => Fate::Vanishes,
            _ => Fate::Passes,
        }
    }
}
