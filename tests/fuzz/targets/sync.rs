//! Synchronisation with a peer that says anything: every question of the machine is answered, and
//! what it sends stays decodable.
#![no_main]

use bitfitech_core::sync::{Comparison, Missing, Sync, SyncConfig, SyncOutput};
use bitfitech_core::types::{Digest, LinkId, Now};
use bitfitech_core::wire::{Branch, BranchDigest, BranchPath, Frame, WantEntry};
use libfuzzer_sys::fuzz_target;

const LINK: LinkId = LinkId(1);

fuzz_target!(|input: &[u8]| {
    let mut sync: Sync<Vec<u8>> = Sync::new(SyncConfig::default());
    let mut monotonic_ms = 0;
    let mut rest = input;
    sync.handle_link_up(moment(monotonic_ms), LINK);
    answer(&mut sync, monotonic_ms);
    while let Some(([kind, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (payload, behind) = behind.split_at(length);
        rest = behind;
        monotonic_ms += u64::from(*low);
        if let Ok(Some(frame)) = Frame::decode(*kind, payload)
            && sync
                .handle_frame(moment(monotonic_ms), LINK, frame)
                .is_err()
        {
            return;
        }
        sync.handle_timeout(moment(monotonic_ms));
        answer(&mut sync, monotonic_ms);
    }
});

fn moment(monotonic_ms: u64) -> Now {
    Now {
        monotonic_ms,
        unix_ms: 1_700_000_000_000,
    }
}

/// A branch without heads.
fn nothing(path: BranchPath) -> BranchDigest {
    BranchDigest {
        path,
        digest: Digest([0; 32]),
    }
}

/// Plays the owner of the set, which has nothing and wants all.
fn answer(sync: &mut Sync<Vec<u8>>, monotonic_ms: u64) {
    let now = moment(monotonic_ms);
    while let Some(output) = sync.poll_output() {
        match output {
            SyncOutput::Send { frame, .. } => {
                let (kind, payload) = frame.encode();
                assert_eq!(Frame::decode(kind, &payload), Ok(Some(frame)));
            }
            SyncOutput::ReadRoot { ticket } => {
                sync.handle_root_read(now, ticket, nothing(BranchPath::default()));
            }
            SyncOutput::ReadBranches { ticket, .. } => {
                sync.handle_branches_read(now, ticket, Vec::new());
            }
            SyncOutput::Compare { ticket, shown, .. } => {
                let children = |branch: &Branch| {
                    let path = branch.path.clone();
                    let digits = branch.children.iter().map(|child| child.digit);
                    digits.map(move |digit| nothing(path.child(digit))).collect::<Vec<_>>()
                };
                let compared = Comparison {
                    branches: shown.iter().flat_map(children).collect(),
                    heads: shown.iter().flat_map(|branch| branch.heads.clone()).collect(),
                };
                sync.handle_compared(now, ticket, compared);
            }
            SyncOutput::ReadMissing { ticket, from, .. } => {
                let nothing = Missing {
                    operations: Vec::new(),
                    remaining: 0,
                    next: from,
                };
                sync.handle_missing_read(ticket, nothing);
            }
            SyncOutput::FindWants { ticket, heads } => {
                let wants = heads.iter().map(|head| WantEntry {
                    author: head.author,
                    head: head.id,
                    locator: Vec::new(),
                });
                sync.handle_wants_found(now, ticket, wants.collect());
            }
            SyncOutput::Deliver { ticket, operations } => {
                sync.handle_delivered(now, ticket, operations.len() as u64);
            }
            _ => {}
        }
    }
}
