//! The routing table of Kademlia: nodes by how much of their id they share with this one.
//!
//! Bucket `i` has nodes whose id differs from the own one first at bit `i`, at most
//! [`BUCKET_NODES_MAX`] of them. So a node knows its neighbourhood well and ever less of what is
//! farther away, and each step of a search at least halves the distance. Whoever has been there
//! for long is likely to stay (Maymounkov and Mazières, 2002), so a full bucket takes a newcomer
//! only in place of a node that does not answer any more.

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use crate::krpc::{Contact, ID_BYTES, NodeId};

/// Nodes in a bucket, and nodes that a search ends with: k of the paper, as Grenache has it.
pub(crate) const BUCKET_NODES_MAX: usize = 20;

/// A node heard of within this time is not asked whether it is there, in milliseconds (Grenache).
const FRESH_MS: u64 = 10_000;

/// Most nodes of a bucket that are asked in a row on behalf of one newcomer (Grenache).
const CHECKS_MAX: usize = 16;

const BUCKETS: usize = ID_BYTES * 8;

/// The distance between an id and a target of any length. As Grenache computes it only the bytes
/// that both have count; among equals the id decides, so that there is one order.
pub(crate) fn distance(target: &[u8], id: &NodeId) -> [u8; ID_BYTES] {
    let mut distance = id.0;
    distance
        .iter_mut()
        .zip(target)
        .for_each(|(byte, target)| *byte ^= target);
    distance
}

#[derive(Clone, Copy, Debug)]
struct Node {
    contact: Contact,
    seen_ms: u64,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    nodes: Vec<Node>,
    /// Who waits for a place, and how many nodes were asked on its behalf.
    newcomer: Option<(Contact, usize)>,
}

impl Bucket {
    /// The node to ask next on behalf of the newcomer: the one silent for longest.
    fn next_check(&mut self, now_ms: u64) -> Option<Contact> {
        let (_, checks) = self.newcomer.as_mut()?;
        let silent = self.nodes.iter().min_by_key(|node| node.seen_ms);
        let silent = silent.filter(|node| node.seen_ms + FRESH_MS < now_ms);
        match silent {
            Some(node) if *checks < CHECKS_MAX => {
                *checks += 1;
                Some(node.contact)
            }
            _ => {
                self.newcomer = None;
                None
            }
        }
    }
}

/// What became of a node that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is the own id, or there is no place for it.
    Ignored,
    /// It was known.
    Known,
    /// It is known now.
    Added,
    /// Its place depends on whether this node is still there.
    Check(Contact),
}

#[derive(Clone, Debug)]
pub(crate) struct RoutingTable {
    own: NodeId,
    buckets: Vec<Bucket>,
    len: usize,
}

impl RoutingTable {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            buckets: alloc::vec![Bucket::default(); BUCKETS],
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bucket that an id belongs to; `None` for the own one.
    fn bucket(&mut self, id: &NodeId) -> Option<&mut Bucket> {
        let distance = distance(&self.own.0, id);
        let byte = distance.iter().position(|&byte| byte != 0)?;
        let bit = distance[byte].leading_zeros() as usize;
        self.buckets.get_mut(byte * 8 + bit)
    }

    /// Somebody with this id was heard from this address. Who is known keeps his address, so that
    /// no one can take over another's id.
    pub(crate) fn note(&mut self, now_ms: u64, contact: Contact) -> Noted {
        let Some(bucket) = self.bucket(&contact.id) else {
            return Noted::Ignored;
        };
        let mut nodes = bucket.nodes.iter_mut();
        if let Some(known) = nodes.find(|node| node.contact.id == contact.id) {
            if known.contact.address == contact.address {
                known.seen_ms = now_ms;
            }
            return Noted::Known;
        }
        if bucket.nodes.len() < BUCKET_NODES_MAX {
            let seen_ms = now_ms;
            bucket.nodes.push(Node { contact, seen_ms });
            self.len += 1;
            return Noted::Added;
        }
        if bucket.newcomer.is_some() {
            return Noted::Ignored;
        }
        bucket.newcomer = Some((contact, 0));
        bucket
            .next_check(now_ms)
            .map_or(Noted::Ignored, Noted::Check)
    }

    /// A node that was asked on behalf of a newcomer is there; which is asked next.
    pub(crate) fn still_there(&mut self, now_ms: u64, id: &NodeId) -> Option<Contact> {
        self.bucket(id)?.next_check(now_ms)
    }

    /// A node is gone; who has its place now.
    pub(crate) fn remove(&mut self, now_ms: u64, id: &NodeId) -> Option<Contact> {
        let bucket = self.bucket(id)?;
        let at = bucket
            .nodes
            .iter()
            .position(|node| node.contact.id == *id)?;
        bucket.nodes.swap_remove(at);
        let newcomer = bucket.newcomer.take();
        if let Some((contact, _)) = newcomer {
            let seen_ms = now_ms;
            bucket.nodes.push(Node { contact, seen_ms });
        } else {
            self.len -= 1;
        }
        newcomer.map(|(contact, _)| contact)
    }

    /// Whether this id is known at this address.
    pub(crate) fn knows(&mut self, id: &NodeId, address: SocketAddrV4) -> bool {
        let contact = Contact { id: *id, address };
        let bucket = self.bucket(id);
        bucket.is_some_and(|bucket| bucket.nodes.iter().any(|node| node.contact == contact))
    }

    /// The `count` known nodes nearest to a target, nearest first.
    pub(crate) fn closest(&self, target: &[u8], count: usize) -> Vec<Contact> {
        let nodes = self.buckets.iter().flat_map(|bucket| &bucket.nodes);
        let mut nearest: Vec<([u8; ID_BYTES], Contact)> = nodes
            .map(|node| (distance(target, &node.contact.id), node.contact))
            .collect();
        if nearest.len() > count {
            nearest.select_nth_unstable(count);
            nearest.truncate(count);
        }
        nearest.sort_unstable();
        nearest.into_iter().map(|(_, contact)| contact).collect()
    }

    /// At most `count` nodes not heard of for `silence_ms`, silent for longest first.
    pub(crate) fn silent(&self, now_ms: u64, silence_ms: u64, count: usize) -> Vec<Contact> {
        let nodes = self.buckets.iter().flat_map(|bucket| &bucket.nodes);
        let mut silent: Vec<(u64, Contact)> = nodes
            .filter(|node| node.seen_ms.saturating_add(silence_ms) <= now_ms)
            .map(|node| (node.seen_ms, node.contact))
            .collect();
        silent.sort_unstable();
        silent.truncate(count);
        silent.into_iter().map(|(_, contact)| contact).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn contact(id: [u8; ID_BYTES], port: u16) -> Contact {
        Contact {
            id: NodeId(id),
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        }
    }

    /// Node `number` of the bucket of ids that begin with another bit than the own id.
    fn far(number: u8) -> Contact {
        let mut id = [0; ID_BYTES];
        id[0] = 0x80;
        id[19] = number;
        contact(id, u16::from(number) + 1)
    }

    fn full() -> RoutingTable {
        let mut table = RoutingTable::new(NodeId([0; ID_BYTES]));
        for number in 0..20 {
            assert_eq!(table.note(u64::from(number), far(number)), Noted::Added);
        }
        table
    }

    #[test]
    fn a_full_bucket_takes_a_newcomer_only_for_a_node_that_is_gone() {
        let mut table = full();
        assert_eq!(table.note(500, far(20)), Noted::Ignored, "all are fresh");
        assert_eq!(table.note(20_000, far(20)), Noted::Check(far(0)));
        assert_eq!(table.note(20_000, far(21)), Noted::Ignored, "one waits");
        assert_eq!(table.note(20_001, far(0)), Noted::Known);
        assert_eq!(table.still_there(20_001, &far(0).id), Some(far(1)));
        assert_eq!(table.remove(20_002, &far(1).id), Some(far(20)));
        assert_eq!(table.len(), 20);
        assert!(table.knows(&far(20).id, far(20).address));
        assert!(!table.knows(&far(1).id, far(1).address));
    }

    #[test]
    fn a_newcomer_gives_up_after_sixteen_checks() {
        let mut table = full();
        assert_eq!(table.note(20_000, far(20)), Noted::Check(far(0)));
        for number in 0..15 {
            table.note(20_000, far(number));
            let next = table.still_there(20_000, &far(number).id);
            assert_eq!(next, Some(far(number + 1)));
        }
        table.note(20_000, far(15));
        assert_eq!(table.still_there(20_000, &far(15).id), None);
        assert_eq!(table.note(20_000, far(21)), Noted::Check(far(16)));
    }

    #[test]
    fn nobody_takes_over_the_id_of_another() {
        let mut table = full();
        let thief = Contact {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9_999),
            ..far(3)
        };
        assert_eq!(table.note(50_000, thief), Noted::Known);
        assert!(table.knows(&far(3).id, far(3).address));
        assert_eq!(
            table.silent(50_000, 49_000, 9).len(),
            9,
            "nor its freshness"
        );
    }

    proptest! {
        #[test]
        fn the_table_is_bounded_and_finds_the_nearest(
            own in any::<[u8; ID_BYTES]>(),
            ids in prop::collection::vec(any::<[u8; ID_BYTES]>(), 0..200),
            target in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut table = RoutingTable::new(NodeId(own));
            for (now_ms, id) in (0..).zip(&ids) {
                table.note(now_ms, contact(*id, 1));
            }
            let mut held: Vec<NodeId> = Vec::new();
            for (at, bucket) in table.buckets.iter().enumerate() {
                prop_assert!(bucket.nodes.len() <= BUCKET_NODES_MAX);
                for node in &bucket.nodes {
                    let apart = distance(&own, &node.contact.id);
                    let shared = apart.iter().take_while(|&&byte| byte == 0).count();
                    let bits = shared * 8 + apart[shared].leading_zeros() as usize;
                    prop_assert_eq!(bits, at, "each in its bucket");
                    held.push(node.contact.id);
                }
            }
            prop_assert_eq!(held.len(), table.len());
            held.sort_unstable_by_key(|id| distance(&target, id));
            held.truncate(20);
            let closest = table.closest(&target, 20);
            let closest: Vec<NodeId> = closest.iter().map(|contact| contact.id).collect();
            prop_assert_eq!(closest, held);
        }
    }
}
