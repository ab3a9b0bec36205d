//! Sends what everyone has, again and again.

use super::{Adversary, Liar};
use crate::parcel::Parcel;

/// Operations of one flood.
const FLOOD: usize = 200;

pub(super) struct Replay;

impl Adversary for Replay {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let oldest = liar.applied.iter().take(FLOOD);
        let newest = liar.applied.iter().rev().take(FLOOD);
        let flood: Vec<Parcel> = oldest.chain(newest).cloned().map(Parcel::Good).collect();
        for link in liar.links() {
            if !flood.is_empty() {
                liar.push(link, flood.clone());
            }
        }
    }
}
