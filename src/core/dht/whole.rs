//! A DHT that is small enough to be known whole.
//!
//! Where fewer nodes are than a walk looks for, each walk finds them all, whatever its target is,
//! and a permission is one for any name (BEP 5 leaves that open; Grenache's and ours are). So for a
//! moment after a walk that saw every node, announcements of other names are delivered at once to
//! those that it found. Any doubt ends that: a node that did not answer, one that named no others
//! and so may hide some, one that came or went since. If one of them refuses, because its
//! permissions are for one name only, the errand walks after all.

use super::routing::BUCKET_NODES_MAX;
use super::walk::Giver;
use super::{Dht, GiverTable};

/// How long it is believed, in milliseconds. A guess: a node that comes into a DHT is heard of by
/// all of a small one within that time.
const WHOLE_MS: u64 = 1_000;

impl Dht {
    /// A walk that nothing was hidden from has found these nodes.
    pub(super) fn remember_whole(&mut self, now_ms: u64, givers: &[Giver]) {
        let is_small = givers.len() < BUCKET_NODES_MAX;
        self.whole = is_small.then(|| GiverTable {
            since_ms: now_ms,
            givers: givers.to_vec(),
        });
    }

    /// All nodes of the DHT, if they are known.
    pub(super) fn whole_dht(&self, now_ms: u64) -> Option<&[Giver]> {
        let whole = self.whole.as_ref()?;
        let is_fresh = now_ms < whole.since_ms + WHOLE_MS;
        let mut nodes = whole.givers.iter().map(|giver| giver.contact);
        let is_same = nodes.all(|node| self.routing.knows(&node.id, node.address));
        let count = whole.givers.len();
        (is_fresh && is_same && count == self.routing.len()).then_some(&whole.givers)
    }
}
