//! The set of applied operations, as the graph that their `prev` and `refs` make.
//!
//! Only operations whose ancestors are all here are here, in the order in which they were applied
//! (their [`OpIndex`]), which is also the order on disk. From that follow the position of each in
//! the total order, its vector clock, and what a peer lacks.
//!
//! Each author writes one chain. Two operations of one author with the same `seq` are a proof that
//! he forked it; both branches stay in the set, so nobody can unhappen anything by forking.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::ops::RangeInclusive;

use crate::chunks::Chunks;
use crate::head_trie::HeadTrie;
use crate::matching::{IdTable, Owner, Slot, Tag, TagKey};
use crate::op::{Body, Operation};
use crate::order_log::{Position, bucket_of};
use crate::packed::Row;
use crate::prefetch::prefetch;
use crate::tight;
use crate::types::{AuthorKey, Digest, HybridTime, OpId, OpStem, OrderId};
use crate::vector_clock::VectorClock;
use crate::wire::{Branch, BranchDigest, BranchPath, CHILDREN_MAX, Head, LOCATOR_MAX, WantEntry};

mod missing;

pub use missing::MissingPage;

/// So much of what an operation names is asked of memory at once. A guess: more than nearly all
/// name, and no more than a processor can wait for at a time.
const PREPARED_MAX: usize = 12;

/// Position of an operation in the order of application, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpIndex(pub u32);

impl OpIndex {
    fn get(self) -> usize {
        self.0 as usize
    }
}

impl Row for OpIndex {
    type Columns = [u64; 1];

    fn columns(&self) -> Self::Columns {
        [u64::from(self.0)]
    }

    fn of([index]: &Self::Columns) -> Self {
        // It was of this width.
        Self(*index as u32)
    }
}

/// What is kept of an applied operation, once for all that it did: one cache line.
///
/// Everything else names an operation by its [`OpIndex`], with four bytes instead of the 32 of its
/// id, and gets from here what users see of its orders and trades: id, author, time.
pub(crate) struct Entry {
    pub(crate) id: OpId,
    pub(crate) time: HybridTime,
    pub(crate) author: Owner,
    pub(crate) seq: u32,
    /// See [`Position`]; the bucket follows from the time.
    depth: u32,
    /// Where its ancestors begin in the list of all.
    ancestors_from: u32,
    /// How much later than its time it came in milliseconds, at most 49 days.
    pub(crate) late_ms: u32,
    /// The place of its first order among [all orders](crate::order_table). Those of its other
    /// orders follow.
    pub(crate) first_order: Slot,
}

/// What is known of an operation by its arrival alone. No two nodes need have the same, so none of
/// it may be seen in any result that is compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// How much later than its time it came in milliseconds.
    pub late_ms: u64,
    /// The place that its first order gets.
    pub(crate) first_order: Slot,
}

/// An author's chain, with its branches if he forked it.
struct Chain {
    key: AuthorKey,
    /// The branch that came first, by `seq`.
    trunk: Vec<OpIndex>,
    /// Nothing for nearly everyone, so it stands elsewhere.
    fork: Option<Box<Fork>>,
}

/// What there is to know of a chain that was forked.
struct Fork {
    /// Two different operations of the same `seq`.
    twins: (OpIndex, OpIndex),
    /// The last operation of every branch.
    heads: BTreeSet<OpIndex>,
}

impl Chain {
    /// The last operation of every branch, in the order of application: one unless it was forked.
    fn heads(&self) -> impl DoubleEndedIterator<Item = OpIndex> {
        let of_branches = self.fork.iter().flat_map(|fork| fork.heads.iter().copied());
        let alone = self.trunk.last().filter(|_| self.fork.is_none());
        of_branches.chain(alone.copied())
    }
}

/// Whether an operation can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is here already.
    Known,
    /// These ancestors are not here yet; each is named once.
    Missing(Vec<OpStem>),
    /// All ancestors are here and it agrees with them.
    Ready,
}

/// Why an operation contradicts its ancestors. It can never be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AncestryError {
    /// `prev` is another author's, or not the one before in the chain.
    Prev,
    /// A ref, or an order that is confirmed or refused, is the author's own.
    OwnRef,
    /// The time is not greater than that of every ancestor.
    Time,
}

impl fmt::Display for AncestryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Prev => "operation does not follow the one that it names as previous",
            Self::OwnRef => "operation refers to, or trades with, its own author",
            Self::Time => "operation is not later than what it refers to",
        })
    }
}

impl core::error::Error for AncestryError {}

/// The set of applied operations.
pub struct Dag {
    bucket_ms: u32,
    /// Ids and keys come from peers, who must not choose them so that they are slow to find.
    key: TagKey,
    entries: Chunks<Entry>,
    /// What each operation names: `prev` first, if it has one, then its refs, then the operations
    /// of the orders that its confirmations and refusals name.
    ancestors: Chunks<OpIndex>,
    /// Operations by the stems of their ids. Two ids with one stem are a collision of 248 bits.
    by_stem: IdTable,
    chains: Chunks<Chain>,
    /// Chains by the keys of their authors.
    by_author: IdTable,
    /// The heads of all branches, by author, then id.
    heads: HeadTrie<OpIndex>,
    latest_time: HybridTime,
}

impl Dag {
    /// An empty set, for a total order with buckets of so many milliseconds. The secret changes
    /// nothing that can be seen.
    pub fn new(bucket_ms: u32, secret: &[u8; 32]) -> Self {
        Self {
            bucket_ms,
            key: TagKey::new(secret),
            entries: Chunks::new(),
            ancestors: Chunks::new(),
            by_stem: IdTable::new(),
            chains: Chunks::new(),
            by_author: IdTable::new(),
            heads: HeadTrie::default(),
            latest_time: HybridTime::default(),
        }
    }

    /// How many operations have been applied.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has been applied.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// The greatest time of any applied operation.
    pub fn latest_time(&self) -> HybridTime {
        self.latest_time
    }

    /// How many bytes of memory it takes, about.
    pub fn memory_bytes(&self) -> usize {
        let trunks = (0..self.chains.len()).map(|at| self.chains[at].trunk.capacity());
        self.entries.memory_bytes()
            + self.ancestors.memory_bytes()
            + self.by_stem.memory_bytes()
            + self.by_author.memory_bytes()
            + self.chains.memory_bytes()
            + trunks.sum::<usize>() * size_of::<OpIndex>()
            + self.heads.memory_bytes()
    }

    /// Where an operation is.
    pub fn find(&self, id: &OpId) -> Option<OpIndex> {
        self.find_stem(&id.stem())
            .filter(|index| self.id(*index) == *id)
    }

    /// The operation that placed an order.
    pub fn find_order(&self, order: &OrderId) -> Option<OpIndex> {
        self.find_stem(&order.stem())
    }

    /// The author of an order, if the operation that placed it is here.
    pub fn author_of_order(&self, order: &OrderId) -> Option<AuthorKey> {
        self.owner_of_order(order).map(|owner| self.key(owner))
    }

    /// The same by his number.
    pub(crate) fn owner_of_order(&self, order: &OrderId) -> Option<Owner> {
        self.find_order(order).map(|at| self.author(at))
    }

    fn find_stem(&self, stem: &OpStem) -> Option<OpIndex> {
        let is_wanted = |slot: Slot| self.entries[slot.0 as usize].id.stem() == *stem;
        let found = self.by_stem.find(self.stem_tag(stem), is_wanted);
        found.map(|slot| OpIndex(slot.0))
    }

    /// What an operation is found by.
    fn stem_tag(&self, stem: &OpStem) -> Tag {
        self.key.tag(&stem.padded())
    }

    /// A hint that an operation comes which says that it has this id and author.
    pub(crate) fn prefetch_coming(&self, id: &OpId, author: &AuthorKey) {
        self.by_stem.prefetch(self.stem_tag(&id.stem()));
        self.by_author.prefetch(self.author_tag(author));
    }

    /// Fetches from memory together what is kept of the first `N` operations with these stems, for
    /// the processor does not have to wait for one before it asks for the next. Where they are, in
    /// the same order: nearly always, for nobody looks whether it is them.
    pub(crate) fn fetch<const N: usize>(
        &self,
        stems: impl Iterator<Item = OpStem>,
    ) -> [Option<OpIndex>; N] {
        let (mut tags, mut count) = ([Tag::default(); N], 0);
        for (tag, stem) in tags.iter_mut().zip(stems) {
            *tag = self.stem_tag(&stem);
            self.by_stem.prefetch(*tag);
            count += 1;
        }
        let mut places = [None; N];
        for (place, tag) in places.iter_mut().zip(&tags[..count]) {
            let found = self.by_stem.find(*tag, |_| true);
            *place = found.map(|slot| OpIndex(slot.0));
            // It is one cache line with all else.
            place.inspect(|place| prefetch(&self.entry(*place).first_order));
        }
        places
    }

    /// The id of an operation.
    #[inline]
    pub fn id(&self, index: OpIndex) -> OpId {
        self.entries[index.get()].id
    }

    /// The time of an operation.
    #[inline]
    pub fn time(&self, index: OpIndex) -> HybridTime {
        self.entries[index.get()].time
    }

    /// The place of an operation in its author's chain.
    #[inline]
    pub fn seq(&self, index: OpIndex) -> u64 {
        u64::from(self.entries[index.get()].seq)
    }

    /// All that is kept of an operation.
    #[inline]
    pub(crate) fn entry(&self, index: OpIndex) -> &Entry {
        &self.entries[index.get()]
    }

    /// The place of the operation that is inserted next.
    pub(crate) fn next_index(&self) -> OpIndex {
        let next = u32::try_from(self.entries.len());
        OpIndex(next.expect("2^32 operations are 256 GiB"))
    }

    /// Bucket and depth of an operation.
    #[inline]
    pub fn position(&self, index: OpIndex) -> Position {
        let entry = &self.entries[index.get()];
        Position {
            bucket: bucket_of(entry.time, self.bucket_ms),
            depth: entry.depth,
        }
    }

    /// The operation before this one in its author's chain.
    pub fn prev(&self, index: OpIndex) -> Option<OpIndex> {
        let entry = &self.entries[index.get()];
        (entry.seq > 0).then(|| self.ancestors[entry.ancestors_from as usize])
    }

    /// What an operation names: `prev`, refs, and the operations of the orders that it confirms or
    /// refuses to trade with.
    pub fn ancestors(&self, index: OpIndex) -> impl Iterator<Item = OpIndex> {
        let from = self.entries[index.get()].ancestors_from as usize;
        let next = self.entries.get(index.get() + 1);
        let end = next.map_or(self.ancestors.len(), |next| next.ancestors_from as usize);
        (from..end).map(|at| self.ancestors[at])
    }

    /// Whether `earlier` is `later` or stands before it on the same branch of one chain.
    pub fn is_on_branch(&self, earlier: OpIndex, later: OpIndex) -> bool {
        let (low, high) = (&self.entries[earlier.get()], &self.entries[later.get()]);
        if low.author != high.author || low.seq > high.seq {
            return false;
        }
        if self.chains[low.author.0 as usize].fork.is_none() {
            return true;
        }
        self.back_from(later)
            .take_while(|at| self.entry(*at).seq >= low.seq)
            .any(|at| at == earlier)
    }

    /// How many authors have written anything.
    pub fn author_count(&self) -> usize {
        self.chains.len()
    }

    /// The author of an operation.
    #[inline]
    pub fn author(&self, index: OpIndex) -> Owner {
        self.entries[index.get()].author
    }

    /// The key of an author.
    #[inline]
    pub fn key(&self, owner: Owner) -> AuthorKey {
        self.chains[owner.0 as usize].key
    }

    /// The author with this key, if he has written anything.
    pub fn owner(&self, key: &AuthorKey) -> Option<Owner> {
        let is_wanted = |slot: Slot| self.chains[slot.0 as usize].key == *key;
        let found = self.by_author.find(self.author_tag(key), is_wanted);
        found.map(|slot| Owner(slot.0))
    }

    fn author_tag(&self, key: &AuthorKey) -> Tag {
        self.key.tag(&OrderId(key.0))
    }

    /// The last operations of an author's branches: one, unless he forked; none if unknown.
    pub fn heads_of(&self, key: &AuthorKey) -> impl Iterator<Item = OpIndex> {
        self.chain(key).into_iter().flat_map(Chain::heads)
    }

    /// Two operations of the author with the same `seq`, if he forked.
    pub fn fork_of(&self, key: &AuthorKey) -> Option<(OpId, OpId)> {
        let (first, second) = self.chain(key)?.fork.as_ref()?.twins;
        Some((self.id(first), self.id(second)))
    }

    /// The same by the author's number. The second of them came last and proved it.
    pub(crate) fn twins(&self, author: Owner) -> Option<(OpIndex, OpIndex)> {
        let fork = self.chains[author.0 as usize].fork.as_ref()?;
        Some(fork.twins)
    }

    /// The same, if it was this operation that proved the fork of its author.
    pub(crate) fn twins_proven_by(&self, index: OpIndex) -> Option<(OpIndex, OpIndex)> {
        let twins = self.twins(self.author(index));
        twins.filter(|(_, second)| *second == index)
    }

    /// Whether an author has written anything in these Unix milliseconds; of one who forked his
    /// chain only the branch that came first is looked at.
    pub(crate) fn has_written_in(&self, author: Owner, times_ms: RangeInclusive<u64>) -> bool {
        let trunk = &self.chains[author.0 as usize].trunk;
        let behind = trunk.partition_point(|at| self.time(*at).unix_ms() <= *times_ms.end());
        let last = trunk[..behind].last();
        last.is_some_and(|at| self.time(*at).unix_ms() >= *times_ms.start())
    }

    /// Every author who forked his chain.
    pub fn forkers(&self) -> impl Iterator<Item = AuthorKey> {
        (0..self.chains.len())
            .map(|at| &self.chains[at])
            .filter(|chain| chain.fork.is_some())
            .map(|chain| chain.key)
    }

    /// Whether an operation can be applied now.
    ///
    /// # Errors
    /// When it contradicts its ancestors, so that no node will ever apply it.
    pub fn admit(&self, operation: &Operation) -> Result<Admission, AncestryError> {
        self.prepare(operation);
        if self.find(&operation.id()).is_some() {
            return Ok(Admission::Known);
        }
        let body = operation.body();
        let named = body.prev.iter().chain(&body.refs);
        let missing = named.filter(|id| self.find(id).is_none());
        let mut missing: Vec<OpStem> = missing.map(OpId::stem).collect();
        missing.extend(
            body.counterparts()
                .filter(|stem| self.find_stem(stem).is_none()),
        );
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            return Ok(Admission::Missing(missing));
        }
        self.check_ancestry(body)?;
        Ok(Admission::Ready)
    }

    /// Fetches from memory together what [`Dag::admit`] and [`Dag::insert`] look up.
    fn prepare(&self, operation: &Operation) {
        let body = operation.body();
        let author = self.author_tag(&body.author);
        self.by_author.prefetch(author);
        let named = body.prev.iter().chain(&body.refs).map(OpId::stem);
        let stems = iter::once(operation.id().stem()).chain(named);
        self.fetch::<PREPARED_MAX>(stems.chain(body.counterparts()));
        if let Some(Slot(chain)) = self.by_author.find(author, |_| true) {
            prefetch(&self.chains[chain as usize].key);
        }
    }

    /// The rules that tie an operation to its ancestors, which are all here.
    fn check_ancestry(&self, body: &Body) -> Result<(), AncestryError> {
        let entry = |id: &OpId| Some(&self.entries[self.find(id)?.get()]);
        let author = |entry: &Entry| self.key(entry.author);
        if let Some(prev) = body.prev.as_ref().and_then(entry) {
            if author(prev) != body.author || u64::from(prev.seq) + 1 != body.seq {
                return Err(AncestryError::Prev);
            }
            if body.time <= prev.time {
                return Err(AncestryError::Time);
            }
        }
        let refs = body.refs.iter().filter_map(entry);
        let counterparts = body.counterparts().filter_map(|stem| self.find_stem(&stem));
        let counterparts = counterparts.map(|at| &self.entries[at.get()]);
        for foreign in refs.chain(counterparts) {
            if author(foreign) == body.author {
                return Err(AncestryError::OwnRef);
            }
            if body.time <= foreign.time {
                return Err(AncestryError::Time);
            }
        }
        Ok(())
    }

    /// Applies an operation that [`Dag::admit`] found ready.
    ///
    /// # Panics
    /// When an ancestor is missing: a broken invariant of the caller.
    pub fn insert(&mut self, operation: &Operation, arrival: Arrival) -> OpIndex {
        let body = operation.body();
        let index = self.next_index();
        let here = |id: &OpId| self.find(id).expect("the operation is ready");
        let prev = body.prev.as_ref().map(here);
        let ancestors_from = self.ancestors.len();
        let named: Vec<OpIndex> = prev.into_iter().chain(body.refs.iter().map(here)).collect();
        named.iter().for_each(|at| self.ancestors.push(*at));
        // What is only confirmed or refused has no part in the depth: see `order_log`.
        let before = named.iter().map(|at| self.position(*at));
        let position = Position::after(body.time, self.bucket_ms, before);
        for stem in body.counterparts() {
            let counterpart = self.find_stem(&stem).expect("the operation is ready");
            self.ancestors.push(counterpart);
        }
        let (author, replaced) = self.extend_chain(body, prev, index);
        let (id, time) = (operation.id(), body.time);
        assert!(self.find(&id).is_none(), "operation {id} applied twice");
        self.entries.push(Entry {
            id,
            time,
            author,
            seq: u32::try_from(body.seq).expect("a chain is no longer than the set"),
            depth: position.depth,
            ancestors_from: u32::try_from(ancestors_from).expect("fewer than 2^32 ancestors"),
            late_ms: u32::try_from(arrival.late_ms).unwrap_or(u32::MAX),
            first_order: arrival.first_order,
        });
        let tag = self.stem_tag(&id.stem());
        self.by_stem.insert(tag, Slot(index.0));
        self.latest_time = self.latest_time.max(time);
        self.note_head(author, replaced, index);
        index
    }

    /// Puts a new head among the heads, in place of the one that it continues, if it does.
    fn note_head(&mut self, author: Owner, replaced: Option<OpIndex>, index: OpIndex) {
        let (entries, chains) = (&self.entries, &self.chains);
        let look_up = |at: OpIndex| head_at(entries, chains, at);
        match replaced {
            Some(old) if chains[author.0 as usize].fork.is_none() => {
                self.heads.replace(old, index, &look_up);
            }
            Some(old) => {
                self.heads.remove(old, &look_up);
                self.heads.insert(index, &look_up);
            }
            None => self.heads.insert(index, &look_up),
        }
    }

    /// Puts an operation at the end of its branch, or begins a new branch with it. Tells whose it
    /// is and which head is none any more.
    fn extend_chain(
        &mut self,
        body: &Body,
        prev: Option<OpIndex>,
        index: OpIndex,
    ) -> (Owner, Option<OpIndex>) {
        let next_owner = Owner(u32::try_from(self.chains.len()).expect("fewer than 2^32 authors"));
        let owner = self.owner(&body.author).unwrap_or(next_owner);
        if owner == next_owner {
            let key = body.author;
            self.by_author
                .insert(self.author_tag(&key), Slot(next_owner.0));
            self.chains.push(Chain {
                key,
                trunk: Vec::new(),
                fork: None,
            });
        }
        let chain = &mut self.chains[owner.0 as usize];
        let on_trunk = chain.trunk.len() as u64 == body.seq && chain.trunk.last().copied() == prev;
        if on_trunk {
            tight::push(&mut chain.trunk, index);
        } else if chain.fork.is_none() {
            let twin = chain.trunk.get(body.seq as usize);
            let twin = *twin.expect("the first branch leaves the trunk before its end");
            chain.fork = Some(Box::new(Fork {
                twins: (twin, index),
                heads: chain.trunk.last().copied().into_iter().collect(),
            }));
        }
        let Some(fork) = &mut chain.fork else {
            return (owner, prev);
        };
        let replaced = prev.filter(|prev| fork.heads.remove(prev));
        fork.heads.insert(index);
        (owner, replaced)
    }

    /// The chain of an author.
    fn chain(&self, key: &AuthorKey) -> Option<&Chain> {
        self.owner(key).map(|owner| &self.chains[owner.0 as usize])
    }

    /// Everything from `index` back to the beginning of its chain.
    pub fn back_from(&self, index: OpIndex) -> impl Iterator<Item = OpIndex> {
        iter::successors(Some(index), |at| self.prev(*at))
    }

    /// The heads of all branches, by author, then by id.
    pub fn heads(&self) -> impl Iterator<Item = Head> {
        let heads = self.heads.heads().into_iter();
        heads.map(|at| head_at(&self.entries, &self.chains, at))
    }

    /// What is here of a branch of the heads.
    pub fn branch_digest(&mut self, path: BranchPath) -> BranchDigest {
        let (entries, chains) = (&self.entries, &self.chains);
        let look_up = |at: OpIndex| head_at(entries, chains, at);
        let digest = self.heads.digest(&path, &look_up);
        BranchDigest { path, digest }
    }

    /// The digests of the sixteen parts of a branch of heads, by their digits.
    pub fn digests_below(&mut self, path: &BranchPath) -> [Digest; CHILDREN_MAX] {
        let (entries, chains) = (&self.entries, &self.chains);
        let look_up = |at: OpIndex| head_at(entries, chains, at);
        self.heads.digests_below(path, &look_up)
    }

    /// Those of a peer's branches that are different here, as they are here.
    pub fn differing(&mut self, asked: &[BranchDigest]) -> Vec<Branch> {
        let (entries, chains) = (&self.entries, &self.chains);
        let look_up = |at: OpIndex| head_at(entries, chains, at);
        let heads = &mut self.heads;
        let mut differing = Vec::new();
        for BranchDigest { path, digest } in asked {
            if heads.digest(path, &look_up) != *digest {
                differing.push(heads.branch(path, &look_up));
            }
        }
        differing
    }

    /// A digest of the set: the heads of all branches, which name all that lies behind them.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("bitfitech set 1");
        for head in self.heads() {
            hasher.update(&head.author.0);
            hasher.update(&head.seq.to_be_bytes());
            hasher.update(&head.id.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// What to ask for: the heads that are not here, each with samples of the own branches of that
    /// author, from which the other side can tell what is already here.
    pub fn wants_for(&self, heads: &[Head]) -> Vec<WantEntry> {
        let unknown = heads.iter().filter(|head| self.find(&head.id).is_none());
        unknown
            .map(|head| WantEntry {
                author: head.author,
                head: head.id,
                locator: self.locator(&head.author),
            })
            .collect()
    }

    /// Own heads of an author, then operations of his trunk at exponentially growing distances.
    fn locator(&self, author: &AuthorKey) -> Vec<OpId> {
        let Some(chain) = self.chain(author) else {
            return Vec::new();
        };
        let heads = chain.heads().rev().take(LOCATOR_MAX / 2);
        let mut locator: Vec<OpId> = heads.map(|head| self.id(head)).collect();
        let mut distance = 1;
        while locator.len() < LOCATOR_MAX && distance < chain.trunk.len() {
            locator.push(self.id(chain.trunk[chain.trunk.len() - 1 - distance]));
            distance *= 4;
        }
        locator
    }

    /// The vector clock of an operation: for each author, how long a chain it knows of.
    ///
    /// Walks the ancestors; each author's chain is followed only as far as it was not yet covered.
    pub fn vector_clock(&self, index: OpIndex) -> VectorClock<AuthorKey> {
        let mut covered: BTreeMap<Owner, u64> = BTreeMap::new();
        let mut queue: BTreeMap<OpIndex, ()> = BTreeMap::new();
        queue.insert(index, ());
        // Greatest index first: descendants before ancestors, each visited once.
        while let Some((at, ())) = queue.pop_last() {
            let entry = &self.entries[at.get()];
            let count = covered.entry(entry.author).or_insert(0);
            *count = (*count).max(u64::from(entry.seq) + 1);
            queue.extend(self.ancestors(at).map(|at| (at, ())));
        }
        let mut clock = VectorClock::default();
        covered
            .iter()
            .for_each(|(owner, count)| clock.raise(&self.key(*owner), *count));
        clock
    }
}

/// The head that an operation is.
fn head_at(entries: &Chunks<Entry>, chains: &Chunks<Chain>, at: OpIndex) -> Head {
    let entry = &entries[at.get()];
    Head {
        author: chains[entry.author.0 as usize].key,
        seq: u64::from(entry.seq),
        id: entry.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_cache_line() {
        assert_eq!(size_of::<Entry>(), 64);
    }
}
