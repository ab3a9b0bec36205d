//! Claims to have what does not exist: invented heads in every branch that it shows, and a false
//! digest for each part of the others.

use bitfitech_core::types::{AuthorKey, Digest, LinkId, OpId};
use bitfitech_core::wire::{Branch, Frame, Head, LEAF_HEADS_MAX};

use super::{Adversary, Fate, Liar};
use crate::parcel::Parcel;

pub(super) struct InventedHeads;

impl Adversary for InventedHeads {
    fn on_send(&mut self, liar: &mut Liar<'_>, _link: LinkId, frame: &mut Frame<Parcel>) -> Fate {
        if let Frame::Branches(shown) = frame {
            shown.branches.iter_mut().for_each(|it| falsify(liar, it));
        }
        Fate::Passes
    }
}

fn falsify(liar: &mut Liar<'_>, branch: &mut Branch) {
    let mut invented = || {
        let mut bytes = [0; 32];
        bytes.fill_with(|| liar.random.any() as u8);
        bytes
    };
    for child in &mut branch.children {
        child.digest = Digest(invented());
    }
    if !branch.children.is_empty() {
        return;
    }
    let digits = branch.path.digits();
    for seq in 0..5 {
        let mut author = invented();
        for (byte, pair) in author.iter_mut().zip(digits.chunks(2)) {
            let low = pair.get(1).copied().unwrap_or(*byte & 15);
            *byte = pair[0] << 4 | low;
        }
        branch.heads.push(Head {
            author: AuthorKey(author),
            seq,
            id: OpId(invented()),
        });
    }
    branch.heads.retain(|head| branch.path.has(head));
    branch.heads.sort_unstable_by_key(Head::key);
    branch.heads.truncate(LEAF_HEADS_MAX);
}
