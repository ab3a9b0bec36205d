//! The total order of actions: the "time" of price-time priority.
//!
//! All nodes must agree which of two orders came first, though they heard of them in different
//! orders and no clock can be trusted to the millisecond. So time is cut into buckets of
//! `bucket_ms`, and within a bucket causality decides first: an operation's *depth* is one more
//! than the greatest depth among its `prev` and `refs` in the same bucket. What is still tied is
//! ordered by class (cancels first, then post-only orders, then the rest), then by a number that
//! nobody can choose: a hash over bucket, market and author. No node's id wins for ever.
//!
//! The key is a function of the operation and its ancestors, so it is the same on every node, and
//! it grows along `prev` and `refs`, so what an author had seen sorts before what he wrote.
//!
//! Known limit: an author who leaves refs out gets a smaller depth within a bucket.

use alloc::vec::Vec;

use crate::matching::TimeInForce;
use crate::op::{Action, Body};
use crate::types::{AuthorKey, Digest, HybridTime, MarketIndex, OpId};

/// Where an operation stands in causal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Number of the bucket since the Unix epoch.
    pub bucket: u64,
    /// Length of the longest causal chain before it within the bucket.
    pub depth: u32,
}

impl Position {
    /// The position of an operation with this time whose `prev` and `refs` stand at `ancestors`.
    pub fn after(
        time: HybridTime,
        bucket_ms: u32,
        ancestors: impl Iterator<Item = Position>,
    ) -> Self {
        let bucket = bucket_of(time, bucket_ms);
        let deepest = ancestors
            .filter(|at| at.bucket == bucket)
            .map(|at| at.depth + 1)
            .max();
        Self {
            bucket,
            depth: deepest.unwrap_or(0),
        }
    }
}

/// The bucket that a time falls into.
pub fn bucket_of(time: HybridTime, bucket_ms: u32) -> u64 {
    time.unix_ms() / u64::from(bucket_ms)
}

/// Which actions go first within a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Cancels and replaces that only reduce: the owner gets out before others can hit him.
    Cancel,
    /// Post-only orders: they take nothing.
    PostOnly,
    /// Everything else.
    Other,
}

impl Class {
    /// All classes, in order.
    pub(crate) const ALL: [Self; 3] = [Self::Cancel, Self::PostOnly, Self::Other];

    /// The class of an action by itself; confirmations and refusals have no place in the order.
    fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Cancel { .. } | Action::Replace { price: None, .. } => Some(Self::Cancel),
            Action::Place(place) if place.time_in_force == TimeInForce::PostOnly => {
                Some(Self::PostOnly)
            }
            Action::Place(_) | Action::Replace { .. } => Some(Self::Other),
            Action::Confirm(_)
            | Action::Decline { .. }
            | Action::Release { .. }
            | Action::Member { .. } => None,
        }
    }
}

/// The key by which the actions of a market are sorted. A strict total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogKey {
    /// Bucket and depth of the operation.
    pub position: Position,
    /// The action's class, but never less than that of an earlier action of the same operation in
    /// the same market: an author's own order of things holds.
    pub class: Class,
    /// The drawn number of the author in this bucket and market.
    pub draw: u64,
    /// The operation's place in its author's chain.
    pub seq: u64,
    /// The action's place in its operation.
    pub index: u8,
    /// The operation; decides only between the branches of a forker.
    pub operation: OpId,
}

/// The number that an author draws in a bucket of a market: nobody can choose it, for it depends
/// on the network and changes with every bucket.
pub fn draw(genesis: &Digest, bucket: u64, market: MarketIndex, author: &AuthorKey) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(&genesis.0);
    hasher.update(&bucket.to_be_bytes());
    hasher.update(&market.0.to_be_bytes());
    hasher.update(&author.0);
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

/// The keys of those actions of an operation that have a place in the order, in the order of the
/// actions.
pub fn keys(
    genesis: Digest,
    id: OpId,
    body: &Body,
    position: Position,
) -> impl Iterator<Item = LogKey> + '_ {
    let mut lowest: Vec<(MarketIndex, Class, u64)> = Vec::new();
    body.actions
        .iter()
        .enumerate()
        .filter_map(move |(index, action)| {
            let class = Class::of(action)?;
            let market = action.market()?;
            let known = lowest.iter().position(|(other, ..)| *other == market);
            let at = known.unwrap_or_else(|| {
                let number = draw(&genesis, position.bucket, market, &body.author);
                lowest.push((market, Class::Cancel, number));
                lowest.len() - 1
            });
            let class = class.max(lowest[at].1);
            lowest[at].1 = class;
            Some(LogKey {
                position,
                class,
                draw: lowest[at].2,
                seq: body.seq,
                index: u8::try_from(index).expect("an operation has at most 64 actions"),
                operation: id,
            })
        })
}
