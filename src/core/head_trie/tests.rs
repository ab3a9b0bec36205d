//! Tests of the trie: it is a function of the heads alone, and a walk finds what differs.

use alloc::collections::BTreeMap;
use alloc::vec;

use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::*;
use crate::types::{AuthorKey, OpId};
use crate::wire::PATH_MAX;

/// Heads by number; their author begins with `author`, their id with `id`.
fn head(author: u16, id: u16) -> Head {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&author.to_be_bytes());
    let mut hash = [7; 32];
    hash[..2].copy_from_slice(&id.to_be_bytes());
    Head {
        author: AuthorKey(key),
        seq: u64::from(id),
        id: OpId(hash),
    }
}

/// Keys that begin alike, so that paths are long, and others.
fn any_author() -> impl Strategy<Value = u16> {
    prop_oneof![0..4_u16, 0x4000..0x4020_u16, any::<u16>()]
}

/// A trie of heads and the naive digest of each branch.
#[derive(Clone, Default)]
struct Pair {
    trie: HeadTrie<usize>,
    all: Vec<Head>,
    present: BTreeMap<(AuthorKey, OpId), usize>,
}

impl Pair {
    fn of(heads: &[Head]) -> Self {
        let mut pair = Self::default();
        heads.iter().for_each(|head| pair.insert(*head));
        pair
    }

    fn insert(&mut self, head: Head) {
        if self.present.contains_key(&head.key()) {
            return;
        }
        self.present.insert(head.key(), self.all.len());
        self.all.push(head);
        let all = &self.all;
        self.trie.insert(all.len() - 1, &|at| all[at]);
    }

    fn remove(&mut self, head: &Head) {
        if let Some(at) = self.present.remove(&head.key()) {
            let all = &self.all;
            self.trie.remove(at, &|at| all[at]);
        }
    }

    fn within(&self, path: &BranchPath) -> Vec<Head> {
        let heads = self.present.values().map(|at| self.all[*at]);
        heads.filter(|head| path.has(head)).collect()
    }

    fn digest(&mut self, path: &BranchPath) -> Digest {
        let all = &self.all;
        self.trie.digest(path, &|at| all[at])
    }

    fn digests_below(&mut self, path: &BranchPath) -> [Digest; CHILDREN_MAX] {
        let all = &self.all;
        self.trie.digests_below(path, &|at| all[at])
    }

    fn branch(&mut self, path: &BranchPath) -> Branch {
        let all = &self.all;
        self.trie.branch(path, &|at| all[at])
    }
}

/// The definition, word by word.
fn naive_digest(heads: &[Head]) -> Digest {
    if heads.is_empty() {
        return NOTHING;
    }
    if heads.len() <= LEAF_HEADS_MAX {
        let ids = heads.iter().flat_map(|head| head.id.0);
        let bytes: Vec<u8> = [b'H'].into_iter().chain(ids).collect();
        return Digest(*blake3::hash(&bytes).as_bytes());
    }
    let mut bytes = vec![b'B'];
    let depth = (0..PATH_MAX)
        .find(|at| {
            heads
                .iter()
                .any(|head| head.digit(*at) != heads[0].digit(*at))
        })
        .expect("different heads");
    for digit in 0..16 {
        let part = heads.iter().filter(|head| head.digit(depth) == digit);
        let part: Vec<Head> = part.copied().collect();
        if !part.is_empty() {
            bytes.push(digit);
            bytes.extend(naive_digest(&part).0);
        }
    }
    Digest(*blake3::hash(&bytes).as_bytes())
}

proptest! {
    #[test]
    fn every_branch_has_the_digest_and_the_heads_of_its_definition(
        added in vector((any_author(), 0..40_u16), 0..300),
        removed in vector(any::<prop::sample::Index>(), 0..200),
        asked in vector((any_author(), 0..=PATH_MAX), 1..20),
    ) {
        let mut pair = Pair::default();
        for (number, (author, id)) in added.iter().enumerate() {
            pair.insert(head(*author, *id));
            // Asking in between makes digests that must be forgotten again.
            if number % 7 == 0 {
                pair.digest(&BranchPath::default());
            }
        }
        for index in removed.iter().filter(|_| !added.is_empty()) {
            let (author, id) = added[index.index(added.len())];
            pair.remove(&head(author, id));
        }
        let sorted: Vec<Head> = pair.trie.heads().iter().map(|at| pair.all[*at]).collect();
        prop_assert_eq!(&sorted, &pair.within(&BranchPath::default()));
        let paths = asked.iter().map(|(author, length)| BranchPath::of(&head(*author, 3), *length));
        for path in paths.chain([BranchPath::default()]) {
            let within = pair.within(&path);
            prop_assert_eq!(pair.digest(&path), naive_digest(&within));
            if path.digits().len() < PATH_MAX {
                for (digit, digest) in (0..).zip(pair.digests_below(&path)) {
                    let part = pair.within(&path.child(digit));
                    prop_assert_eq!(digest, naive_digest(&part));
                }
            }
            let branch = pair.branch(&path);
            prop_assert!(branch.path.is_within(&path));
            if within.len() <= LEAF_HEADS_MAX {
                prop_assert_eq!(branch.heads, within);
                prop_assert!(branch.children.is_empty() && branch.path == path);
                continue;
            }
            prop_assert!(branch.heads.is_empty() && branch.children.len() >= 2);
            for child in branch.children {
                let part = pair.within(&branch.path.child(child.digit));
                prop_assert_eq!(child.digest, naive_digest(&part));
            }
        }
    }

    #[test]
    fn a_head_that_replaces_another_leaves_no_trace_of_it(
        authors in vector(any_author(), 1..200), replaced in any::<prop::sample::Index>(),
    ) {
        let mut pair = Pair::of(&authors.iter().map(|author| head(*author, 1)).collect::<Vec<_>>());
        pair.digest(&BranchPath::default());
        let author = authors[replaced.index(authors.len())];
        let old = pair.present.remove(&head(author, 1).key()).expect("it is there");
        let new = pair.all.len();
        pair.all.push(head(author, 2));
        pair.present.insert(head(author, 2).key(), new);
        let all = &pair.all;
        pair.trie.replace(old, new, &|at| all[at]);
        let everything = BranchPath::default();
        let within = pair.within(&everything);
        prop_assert_eq!(pair.digest(&everything), naive_digest(&within));
    }
}

/// What the digest of a thousand heads costs after one of them has changed: a few nodes.
#[test]
fn a_change_forgets_the_digests_on_its_path_only() {
    let heads: Vec<Head> = (0..4_000).map(|author| head(author * 16, 1)).collect();
    let mut pair = Pair::of(&heads);
    pair.digest(&BranchPath::default());
    pair.insert(head(0x1234, 9));
    let asked = core::cell::Cell::new(0);
    let all = &pair.all;
    pair.trie.digest(&BranchPath::default(), &|at| {
        asked.set(asked.get() + 1);
        all[at]
    });
    assert!(
        (1..=LEAF_HEADS_MAX + 2).contains(&asked.get()),
        "{}",
        asked.get()
    );
}
