//! Claims to have what does not exist: invented heads in every summary.

use bitfitech_core::types::{AuthorKey, LinkId, OpId};
use bitfitech_core::wire::{Frame, Head};

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct InventedHeads;

impl Adversary for InventedHeads {
    fn on_send(&mut self, liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        if let Frame::Heads(page) = frame {
            let mut invented = || {
                let mut bytes = [0; 32];
                bytes.fill_with(|| liar.random.any() as u8);
                bytes
            };
            let heads = (0..5).map(|seq| Head {
                author: AuthorKey(invented()),
                seq,
                id: OpId(invented()),
            });
            page.heads.extend(heads);
            page.heads
                .sort_unstable_by_key(|head| (head.author, head.id));
            page.heads.truncate(bitfitech_core::wire::HEADS_MAX);
        }
        Fate::Passes
    }
}
