//! Frames that compare heads: digests of branches of the trie over all heads, and the heads of
//! those that differ. See [`crate::head_trie`] for what a branch is and how its digest is made.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::types::{AuthorKey, Digest, OpId};

/// Hexadecimal digits of an author's key and an operation's id: the longest path.
pub const PATH_MAX: usize = 128;

/// Most branches that one [`GetBranches`] names: 11 KiB with the longest paths, and as many as can
/// hold [`super::WANTS_MAX`] heads. Their answer takes up to 85 KiB.
pub const BRANCHES_MAX: usize = 64;

/// Most heads of a branch that is not divided further. As many as a divided one has digests.
pub const LEAF_HEADS_MAX: usize = 16;

/// Most parts of a branch: one for each digit.
pub const CHILDREN_MAX: usize = 16;

/// The newest operation of one branch of an author's chain. Authors who never fork have one.
///
/// The id is what counts: two branches can have the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Head {
    /// Whose chain.
    pub author: AuthorKey,
    /// Position in the chain, from 0. A claim until the operation itself is here.
    pub seq: u64,
    /// The operation.
    pub id: OpId,
}

impl Head {
    /// One of the [`PATH_MAX`] hexadecimal digits of author and id.
    pub fn digit(&self, at: usize) -> u8 {
        let bytes = if at < 64 { &self.author.0 } else { &self.id.0 };
        let byte = bytes[at % 64 / 2];
        if at.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 15
        }
    }

    /// With how many digits both begin.
    pub(crate) fn common_digits(&self, other: &Self) -> usize {
        let is_common = |at: &usize| self.digit(*at) == other.digit(*at);
        (0..PATH_MAX).take_while(is_common).count()
    }

    /// What heads are sorted by.
    pub fn key(&self) -> (AuthorKey, OpId) {
        (self.author, self.id)
    }
}

/// The digits that all heads of a branch begin with. Sorts like its heads do, and before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchPath(#[serde(with = "bounded::digits")] pub(crate) Vec<u8>);

impl BranchPath {
    /// The first digits of a head.
    pub fn of(head: &Head, length: usize) -> Self {
        Self((0..length).map(|at| head.digit(at)).collect())
    }

    /// The digits, each below 16.
    pub fn digits(&self) -> &[u8] {
        &self.0
    }

    /// The branch one digit further down.
    pub fn child(&self, digit: u8) -> Self {
        let digits = self.0.iter().copied();
        Self(digits.chain([digit]).collect())
    }

    /// Whether this branch is another one or a part of it.
    pub fn is_within(&self, whole: &Self) -> bool {
        self.0.starts_with(&whole.0)
    }

    /// Whether a head belongs to this branch.
    pub fn has(&self, head: &Head) -> bool {
        let mut digits = (0..).zip(&self.0);
        digits.all(|(at, digit)| head.digit(at) == *digit)
    }

    /// Whether all heads of an author belong to it.
    pub fn has_author(&self, author: &AuthorKey) -> bool {
        let any = Head {
            author: *author,
            seq: 0,
            id: OpId::default(),
        };
        self.0.len() <= 64 && self.has(&any)
    }
}

/// What a node has of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchDigest {
    /// Which branch; the empty path is all of it.
    pub path: BranchPath,
    /// Its digest, 32 zero bytes if there are no heads.
    pub digest: Digest,
}

/// Asks what the other has of branches, where it differs from what the sender has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBranches {
    /// Is repeated in the answer.
    pub request: u64,
    /// What the sender has, in ascending order, none a part of another.
    #[serde(deserialize_with = "bounded::list::<_, _, BRANCHES_MAX>")]
    pub branches: Vec<BranchDigest>,
}

/// Branches that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branches {
    /// That of the question.
    pub request: u64,
    /// Those of the named branches whose digests differ, in the same order.
    #[serde(deserialize_with = "bounded::list::<_, _, BRANCHES_MAX>")]
    pub branches: Vec<Branch>,
}

/// A branch as the sender has it: divided, or few heads, or nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The asked path, or if it is divided the longest one that all heads there begin with.
    pub path: BranchPath,
    /// The parts into which the next digit divides it, ascending; none if there are few heads.
    #[serde(deserialize_with = "bounded::list::<_, _, CHILDREN_MAX>")]
    pub children: Vec<ChildDigest>,
    /// Its heads by author, then id, if they are few.
    #[serde(deserialize_with = "bounded::list::<_, _, LEAF_HEADS_MAX>")]
    pub heads: Vec<Head>,
}

/// A part of a divided branch that has any heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildDigest {
    /// The digit behind the path of the branch.
    pub digit: u8,
    /// Its digest.
    pub digest: Digest,
}
