//! How many bytes a frame has on a real wire, without writing them.

use bitfitech_core::wire::{Frame, Page, Payload, Prefix};

use crate::parcel::Parcel;

/// The length before a frame, and its kind.
const HEADER_BYTES: usize = 5;

/// Bytes before a byte string or a list of this length in MessagePack.
fn bin_header(length: usize) -> usize {
    match length {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

fn list_header(length: usize) -> usize {
    match length {
        0..=15 => 1,
        16..=0xffff => 3,
        _ => 5,
    }
}

/// Bytes of a list of operations of these sizes.
fn list_bytes(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let header = list_header(sizes.len());
    header + sizes.map(|size| bin_header(size) + size).sum::<usize>()
}

/// Bytes of a frame that pushes operations of these sizes.
pub fn push_bytes(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let hops = sizes.len();
    HEADER_BYTES + 1 + list_bytes(sizes) + bin_header(hops) + hops
}

/// Bytes of a list of beginnings of ids, which is one byte string.
fn prefixes_bytes(count: usize) -> usize {
    let length = count * size_of::<Prefix>();
    bin_header(length) + length
}

/// Bytes of a frame. Of the kinds that make up nearly all it is reckoned, as writing them takes
/// longer than much else of a simulation.
pub fn frame_bytes(frame: &Frame<Parcel>) -> usize {
    let plain: Frame = match frame {
        Frame::Ops(pushed) => return push_bytes(pushed.operations.iter().map(Payload::size_bytes)),
        Frame::Announce(announce) => {
            let hops = announce.hops.len();
            let ids = prefixes_bytes(announce.ids.len());
            return HEADER_BYTES + 1 + ids + bin_header(hops) + hops;
        }
        Frame::Prune(prune) => return HEADER_BYTES + 1 + prefixes_bytes(prune.authors.len()),
        Frame::Graft(graft) => {
            let authors = prefixes_bytes(graft.authors.len());
            return HEADER_BYTES + 1 + authors + prefixes_bytes(graft.ids.len());
        }
        Frame::Page(page) => {
            let empty = Frame::Page(Page {
                request: page.request,
                operations: Vec::new(),
                remaining: page.remaining,
                next: page.next,
            });
            let operations = list_bytes(page.operations.iter().map(Payload::size_bytes));
            return encoded_bytes(&empty) - list_header(0) + operations;
        }
        Frame::Hello(value) => Frame::Hello(value.clone()),
        Frame::Refuse(value) => Frame::Refuse(value.clone()),
        Frame::Goodbye(value) => Frame::Goodbye(value.clone()),
        Frame::Ping(value) => Frame::Ping(*value),
        Frame::Pong(value) => Frame::Pong(*value),
        Frame::Behind(value) => Frame::Behind(*value),
        Frame::GetBranches(value) => Frame::GetBranches(value.clone()),
        Frame::Branches(value) => Frame::Branches(value.clone()),
        Frame::Want(value) => Frame::Want(value.clone()),
        Frame::GetPeers(value) => Frame::GetPeers(*value),
        Frame::Peers(value) => Frame::Peers(value.clone()),
    };
    encoded_bytes(&plain)
}

fn encoded_bytes(frame: &Frame) -> usize {
    HEADER_BYTES + frame.encode().1.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitfitech_core::wire::{Announce, Graft, Ops, Prune};

    #[test]
    fn sizes_are_those_of_the_encoding() {
        for count in [0, 1, 15, 16, 300] {
            for size in [1, 255, 256, 2_000] {
                let operations = vec![vec![7; size]; count];
                let sizes = operations.iter().map(Vec::len);
                let frame = Frame::Ops(Ops {
                    operations: operations.clone(),
                    hops: vec![1; count],
                });
                assert_eq!(
                    push_bytes(sizes),
                    encoded_bytes(&frame),
                    "{count} of {size}"
                );
            }
        }
    }

    #[test]
    fn what_links_say_about_operations_has_the_size_of_its_encoding() {
        for count in [0, 1, 15, 31, 32, 200, 256] {
            let named = vec![Prefix([9; 8]); count];
            let announce = Announce {
                ids: named.clone(),
                hops: vec![2; count],
            };
            let graft = Graft {
                authors: named[count / 2..].to_vec(),
                ids: named.clone(),
            };
            let pairs: [(Frame<Parcel>, Frame); 3] = [
                (Frame::Announce(announce.clone()), Frame::Announce(announce)),
                (Frame::Graft(graft.clone()), Frame::Graft(graft)),
                (
                    Frame::Prune(Prune {
                        authors: named.clone(),
                    }),
                    Frame::Prune(Prune { authors: named }),
                ),
            ];
            for (reckoned, encoded) in pairs {
                let reckoned = frame_bytes(&reckoned);
                assert_eq!(reckoned, encoded_bytes(&encoded), "{count}: {encoded:?}");
            }
        }
    }
}
