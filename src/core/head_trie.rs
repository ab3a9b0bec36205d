//! A trie of digests over all heads, by which two nodes find out cheaply where their sets differ.
//!
//! Equal sets of operations have equal heads ([`crate::sync`]), so it is enough to compare these.
//! A head stands at the 128 hexadecimal digits of its author's key and its id. A *branch* is all
//! heads that begin with the same digits, its *path*. The digest of a branch is a function of its
//! heads alone:
//!
//! - of no heads, 32 zero bytes;
//! - of at most [`LEAF_HEADS_MAX`], `BLAKE3("H" ‖ id …)`, by author, then id (an id is a hash of
//!   what its author wrote, so it stands for the author too);
//! - of more, `BLAKE3("B" ‖ (digit ‖ digest of that part) …)`, ascending, with a part for each
//!   digit that follows the longest path which all of them have in common.
//!
//! *Why not a sum.* A sum or exclusive-or of hashes of the heads would be cheaper to keep, but a
//! liar who writes many heads can find two sets of his own with one sum in far less than the 2^128
//! steps that a collision of BLAKE3 costs, show one to each of two nodes, and so keep them
//! different for ever. In a tree of hashes equal digests mean equal heads. He can lie about his
//! own digests only: then a peer looks for differences that are not there, in bounded steps, or
//! does not look for what the liar alone has and hides.
//!
//! *Cost.* A new head of a known author takes the place of the one before, and the digests on its
//! path are forgotten. They are made again when somebody asks: at most each of them once, however
//! many heads came in between. A liar can choose keys that begin alike (sixteen times the work for
//! each digit), and so make a path a few digits longer, never a node that divides nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::types::Digest;
use crate::wire::{Branch, BranchPath, CHILDREN_MAX, ChildDigest, Head, LEAF_HEADS_MAX};

/// The digest of a branch without heads.
const NOTHING: Digest = Digest([0; 32]);

/// The trie. Heads are kept as small values `I`; whoever owns it looks up what they stand for, and
/// must always find the same.
#[derive(Clone, Debug)]
pub struct HeadTrie<I> {
    root: Node<I>,
}

#[derive(Clone, Debug)]
struct Node<I> {
    /// Forgotten when something below changes.
    digest: Option<Digest>,
    below: Below<I>,
}

#[derive(Clone, Debug)]
enum Below<I> {
    /// At most [`LEAF_HEADS_MAX`], sorted.
    Heads(Vec<I>),
    /// More than that, with at least two children.
    Split(Box<Split<I>>),
}

#[derive(Clone, Debug)]
struct Split<I> {
    /// How many digits all heads here have in common.
    depth: usize,
    /// How many heads are below.
    len: usize,
    /// A bit for each digit that has a child.
    digits: u16,
    /// One for each bit, in the order of the digits. Where a child stands is counted, not searched:
    /// that would read as many lines of memory as it compares.
    children: Vec<Node<I>>,
}

impl<I: Copy + Eq> Default for HeadTrie<I> {
    fn default() -> Self {
        Self {
            root: Node::leaf(Vec::new()),
        }
    }
}

impl<I: Copy + Eq> HeadTrie<I> {
    /// Adds a head that is not there.
    pub fn insert(&mut self, item: I, look_up: &impl Fn(I) -> Head) {
        let head = look_up(item);
        let near = self.root.nearest(&head).map(look_up);
        let common = near.map_or(0, |near| near.common_digits(&head));
        self.root.insert(item, &head, common, look_up);
    }

    /// Puts a head in the place of the only other one of its author.
    ///
    /// # Panics
    /// When the other is not there: a broken invariant of the caller.
    pub fn replace(&mut self, old: I, new: I, look_up: &impl Fn(I) -> Head) {
        let place = self.root.place_of(old, &look_up(new));
        *place.expect("the old head is there") = new;
    }

    /// Takes a head out.
    ///
    /// # Panics
    /// When it is not there: a broken invariant of the caller.
    pub fn remove(&mut self, item: I, look_up: &impl Fn(I) -> Head) {
        self.root.remove(item, &look_up(item));
    }

    /// All heads, by author, then id.
    pub fn heads(&self) -> Vec<I> {
        let mut heads = Vec::with_capacity(self.root.len());
        self.root.collect(&mut heads);
        heads
    }

    /// The digest of a branch.
    pub fn digest(&mut self, path: &BranchPath, look_up: &impl Fn(I) -> Head) -> Digest {
        let Some((node, known)) = self.root.find(path, 0, look_up) else {
            return NOTHING;
        };
        if let Below::Heads(items) = &node.below
            && known < path.digits().len()
        {
            // They are sorted, so what lies between two heads of a branch belongs to it too.
            let ends = items.first().into_iter().chain(items.last());
            if !ends.map(|end| look_up(*end)).all(|end| path.has(&end)) {
                return leaf_digest(within(items, path, look_up));
            }
        }
        node.digest(look_up)
    }

    /// The digests of the sixteen parts of a branch, by their digits.
    pub fn digests_below(
        &mut self,
        path: &BranchPath,
        look_up: &impl Fn(I) -> Head,
    ) -> [Digest; CHILDREN_MAX] {
        let mut digests = [NOTHING; CHILDREN_MAX];
        let Some((node, _)) = self.root.find(path, 0, look_up) else {
            return digests;
        };
        if let Below::Split(split) = &mut node.below
            && split.depth == path.digits().len()
        {
            for child in split.digests(look_up) {
                digests[usize::from(child.digit)] = child.digest;
            }
            return digests;
        }
        for (digit, digest) in (0..).zip(&mut digests) {
            *digest = self.digest(&path.child(digit), look_up);
        }
        digests
    }

    /// A branch as a peer is told of it.
    pub fn branch(&mut self, path: &BranchPath, look_up: &impl Fn(I) -> Head) -> Branch {
        let mut branch = Branch {
            path: path.clone(),
            children: Vec::new(),
            heads: Vec::new(),
        };
        let Some((node, _)) = self.root.find(path, 0, look_up) else {
            return branch;
        };
        let first = node.first().map(look_up);
        match &mut node.below {
            Below::Split(split) => {
                let first = first.expect("what is divided has heads");
                branch.path = BranchPath::of(&first, split.depth);
                branch.children = split.digests(look_up).collect();
            }
            Below::Heads(items) => branch.heads = within(items, path, look_up).collect(),
        }
        branch
    }

    /// How many bytes of memory it takes, about.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.root.memory_bytes()
    }
}

/// Those of some heads that belong to a branch.
fn within<I: Copy>(
    items: &[I],
    path: &BranchPath,
    look_up: impl Fn(I) -> Head,
) -> impl Iterator<Item = Head> {
    let heads = items.iter().map(move |item| look_up(*item));
    heads.filter(|head| path.has(head))
}

/// The digest of a branch of few heads.
fn leaf_digest(heads: impl Iterator<Item = Head>) -> Digest {
    let mut bytes = [b'H'; 1 + 32 * LEAF_HEADS_MAX];
    let mut length = 1;
    for head in heads {
        bytes[length..length + 32].copy_from_slice(&head.id.0);
        length += 32;
    }
    match length {
        1 => NOTHING,
        _ => Digest(*blake3::hash(&bytes[..length]).as_bytes()),
    }
}

impl<I: Copy + Eq> Split<I> {
    /// No child yet, for heads that have so many digits in common.
    fn new(depth: usize, len: usize) -> Self {
        Self {
            depth,
            len,
            digits: 0,
            children: Vec::new(),
        }
    }

    /// The digests of the children.
    fn digests(&mut self, look_up: &impl Fn(I) -> Head) -> impl Iterator<Item = ChildDigest> {
        let digits = self.digits;
        let digits = (0..16).filter(move |digit| digits >> digit & 1 == 1);
        let children = digits.zip(&mut self.children);
        children.map(|(digit, child)| ChildDigest {
            digit,
            digest: child.digest(look_up),
        })
    }

    /// Where the child with this digit stands, or would stand.
    fn child(&self, digit: u8) -> Result<usize, usize> {
        let bit = 1 << digit;
        let before = (self.digits & (bit - 1)).count_ones() as usize;
        if self.digits & bit == 0 {
            Err(before)
        } else {
            Ok(before)
        }
    }

    /// Adds the child of a digit that has none.
    fn add_child(&mut self, digit: u8, child: Node<I>) {
        let at = self.child(digit).expect_err("the digit is free");
        self.digits |= 1 << digit;
        self.children.insert(at, child);
    }

    /// Takes the child of a digit out.
    fn remove_child(&mut self, digit: u8) {
        if let Ok(at) = self.child(digit) {
            self.digits &= !(1 << digit);
            self.children.remove(at);
        }
    }
}

impl<I: Copy + Eq> Node<I> {
    fn leaf(items: Vec<I>) -> Self {
        Self {
            digest: None,
            below: Below::Heads(items),
        }
    }

    /// How many heads are below.
    fn len(&self) -> usize {
        match &self.below {
            Below::Heads(items) => items.len(),
            Below::Split(split) => split.len,
        }
    }

    /// The least head.
    fn first(&self) -> Option<I> {
        match &self.below {
            Below::Heads(items) => items.first().copied(),
            Below::Split(split) => split.children.first().and_then(Self::first),
        }
    }

    /// Some head that has as many digits in common with this one as any has.
    fn nearest(&self, head: &Head) -> Option<I> {
        match &self.below {
            Below::Heads(items) => items.first().copied(),
            Below::Split(split) => {
                let at = split.child(head.digit(split.depth)).unwrap_or(0);
                split.children[at].nearest(head)
            }
        }
    }

    /// The lowest node that has all heads of a branch: either these alone, or few heads that others
    /// may be among; `None` if there are none. Also how many of the first digits of its path all
    /// heads there are known to have, as all here have `known`.
    fn find(
        &mut self,
        path: &BranchPath,
        known: usize,
        look_up: &impl Fn(I) -> Head,
    ) -> Option<(&mut Self, usize)> {
        let Below::Split(split) = &self.below else {
            return Some((self, known));
        };
        let depth = split.depth;
        let Some(digit) = path.digits().get(depth) else {
            if known < path.digits().len() && !path.has(&look_up(self.first()?)) {
                return None;
            }
            return Some((self, path.digits().len()));
        };
        let at = split.child(*digit).ok()?;
        // Digits between two divisions were not compared.
        let known = if known == depth { depth + 1 } else { known };
        match &mut self.below {
            Below::Split(split) => split.children[at].find(path, known, look_up),
            Below::Heads(_) => None,
        }
    }

    fn digest(&mut self, look_up: &impl Fn(I) -> Head) -> Digest {
        if let Some(digest) = self.digest {
            return digest;
        }
        let digest = match &mut self.below {
            Below::Heads(items) => leaf_digest(items.iter().map(|item| look_up(*item))),
            Below::Split(split) => {
                let mut bytes = [b'B'; 1 + 33 * 16];
                let mut length = 1;
                for child in split.digests(look_up) {
                    bytes[length] = child.digit;
                    bytes[length + 1..length + 33].copy_from_slice(&child.digest.0);
                    length += 33;
                }
                Digest(*blake3::hash(&bytes[..length]).as_bytes())
            }
        };
        self.digest = Some(digest);
        digest
    }

    /// Adds a head that has `common` digits in common with whatever here is nearest to it.
    fn insert(&mut self, item: I, head: &Head, common: usize, look_up: &impl Fn(I) -> Head) {
        self.digest = None;
        match &mut self.below {
            Below::Heads(items) => {
                let at = items.partition_point(|other| look_up(*other).key() < head.key());
                items.insert(at, item);
                if items.len() > LEAF_HEADS_MAX {
                    self.below = divide(items, look_up);
                }
            }
            Below::Split(split) if common < split.depth => {
                let len = split.len + 1;
                let digit_here = self.first().map(|first| look_up(first).digit(common));
                let digit_here = digit_here.expect("what is divided has heads");
                let here = core::mem::replace(self, Self::leaf(Vec::new()));
                let alone = Self::leaf(Vec::from([item]));
                let mut split = Split::new(common, len);
                split.add_child(digit_here, here);
                split.add_child(head.digit(common), alone);
                self.below = Below::Split(Box::new(split));
            }
            Below::Split(split) => {
                split.len += 1;
                let digit = head.digit(split.depth);
                match split.child(digit) {
                    Ok(at) => split.children[at].insert(item, head, common, look_up),
                    Err(_) => split.add_child(digit, Self::leaf(Vec::from([item]))),
                }
            }
        }
    }

    /// Where a head stands; the digests on the way are forgotten.
    fn place_of(&mut self, item: I, head: &Head) -> Option<&mut I> {
        self.digest = None;
        match &mut self.below {
            Below::Heads(items) => items.iter_mut().find(|other| **other == item),
            Below::Split(split) => {
                let at = split.child(head.digit(split.depth)).ok()?;
                split.children[at].place_of(item, head)
            }
        }
    }

    fn remove(&mut self, item: I, head: &Head) {
        self.digest = None;
        let split = match &mut self.below {
            Below::Heads(items) => {
                let at = items.iter().position(|other| *other == item);
                items.remove(at.expect("the head is there"));
                return;
            }
            Below::Split(split) => split,
        };
        let digit = head.digit(split.depth);
        let at = split.child(digit).expect("the head is there");
        split.len -= 1;
        split.children[at].remove(item, head);
        if split.children[at].len() == 0 {
            split.remove_child(digit);
        }
        if split.len <= LEAF_HEADS_MAX {
            let mut items = Vec::with_capacity(split.len);
            self.collect(&mut items);
            self.below = Below::Heads(items);
        } else if split.children.len() == 1
            && let Some(child) = split.children.pop()
        {
            *self = child;
        }
    }

    fn collect(&self, into: &mut Vec<I>) {
        match &self.below {
            Below::Heads(items) => into.extend(items),
            Below::Split(split) => {
                let children = split.children.iter();
                children.for_each(|child| child.collect(into));
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.below {
            Below::Heads(items) => items.capacity() * size_of::<I>(),
            Below::Split(split) => {
                let below = split.children.iter().map(Self::memory_bytes);
                let here = split.children.capacity() * size_of::<Self>();
                size_of::<Split<I>>() + here + below.sum::<usize>()
            }
        }
    }
}

/// Divides sorted heads, more than fit undivided but not twice as many, by the first digit in which
/// they differ.
fn divide<I: Copy + Eq>(items: &[I], look_up: &impl Fn(I) -> Head) -> Below<I> {
    let heads: Vec<Head> = items.iter().map(|item| look_up(*item)).collect();
    let ends = heads.first().zip(heads.last());
    let depth = ends.map_or(0, |(first, last)| first.common_digits(last));
    let mut split = Split::new(depth, items.len());
    for (item, head) in items.iter().zip(&heads) {
        let digit = head.digit(depth);
        match split.child(digit) {
            Ok(at) => {
                if let Below::Heads(items) = &mut split.children[at].below {
                    items.push(*item);
                }
            }
            Err(_) => split.add_child(digit, Node::leaf(Vec::from([*item]))),
        }
    }
    Below::Split(Box::new(split))
}

#[cfg(test)]
mod tests;
