//! Tests of the walk: between any two sets of heads it finds just what one side lacks, in few
//! questions and few bytes.

use alloc::collections::BTreeSet;
use alloc::vec;

use proptest::collection::{btree_set, vec as vector};
use proptest::prelude::*;

use super::*;
use crate::head_trie::HeadTrie;
use crate::types::{AuthorKey, Digest, OpId};
use crate::wire::{Branches, ChildDigest, Frame, GetBranches};

/// The heads of one node.
struct Side {
    heads: Vec<Head>,
    trie: HeadTrie<usize>,
}

impl Side {
    fn new(heads: &BTreeSet<(u64, u8)>) -> Self {
        let heads: Vec<Head> = heads
            .iter()
            .map(|(author, id)| head(*author, *id))
            .collect();
        let mut trie = HeadTrie::default();
        (0..heads.len()).for_each(|at| trie.insert(at, &|at| heads[at]));
        Self { heads, trie }
    }

    fn digest(&mut self, path: BranchPath) -> BranchDigest {
        let digest = self.trie.digest(&path, &|at| self.heads[at]);
        BranchDigest { path, digest }
    }

    fn differing(&mut self, asked: &[BranchDigest]) -> Vec<Branch> {
        let mut differing = Vec::new();
        for it in asked {
            if self.digest(it.path.clone()) != *it {
                differing.push(self.trie.branch(&it.path, &|at| self.heads[at]));
            }
        }
        differing
    }

    fn compare(&mut self, shown: &[Branch]) -> Comparison {
        let mut comparison = Comparison::default();
        for branch in shown {
            let unknown = branch
                .heads
                .iter()
                .filter(|head| !self.heads.contains(head));
            comparison.heads.extend(unknown);
            for child in &branch.children {
                let own = self.digest(branch.path.child(child.digit));
                if own.digest != child.digest {
                    comparison.branches.push(own);
                }
            }
        }
        comparison
    }
}

/// A head whose author begins with these eight bytes and whose id begins with this byte. As with
/// operations, the id tells the author too.
fn head(author: u64, id: u8) -> Head {
    let mut key = [5; 32];
    key[..8].copy_from_slice(&author.to_be_bytes());
    let mut hash = [id; 32];
    hash[1..9].copy_from_slice(&author.to_be_bytes());
    Head {
        author: AuthorKey(key),
        seq: 0,
        id: OpId(hash),
    }
}

/// What a walk found, and what it cost.
#[derive(Default)]
struct Outcome {
    found: Vec<Head>,
    questions: usize,
    bytes: usize,
}

/// Walks through all that `there` has, as a round does.
fn walk(here: &mut Side, there: &mut Side) -> Outcome {
    let mut outcome = Outcome::default();
    let mut walk = Walk::new(BranchPath::default());
    walk.handle_comparison(Comparison {
        branches: vec![here.digest(BranchPath::default())],
        heads: Vec::new(),
    });
    loop {
        let branches = walk.next();
        if branches.is_empty() {
            let (_, found) = walk.take_found();
            if found.is_empty() {
                return outcome;
            }
            assert!(found.len() <= WANTS_MAX);
            outcome.found.extend(found);
            continue;
        }
        let shown = there.differing(&branches);
        assert_eq!(check_branches(&branches, &shown), Ok(()));
        walk.handle_comparison(here.compare(&shown));
        assert!(walk.waiting.len() <= BRANCHES_WAITING_MAX + 2_048);
        outcome.questions += 1;
        let ask = Frame::<Vec<u8>>::GetBranches(GetBranches {
            request: 1,
            branches,
        });
        let answer = Frame::<Vec<u8>>::Branches(Branches {
            request: 1,
            branches: shown,
        });
        outcome.bytes += ask.encode().1.len() + answer.encode().1.len();
    }
}

/// Authors spread evenly, and some that begin alike.
fn any_author() -> impl Strategy<Value = u64> {
    prop_oneof![4 => any::<u64>(), 1 => 0..64_u64, 1 => (0..64_u64).prop_map(|low| low << 20)]
}

proptest! {
    #[test]
    fn a_walk_finds_just_the_heads_that_differ(
        common in btree_set((any_author(), 0..4_u8), 0..600),
        here in btree_set((any_author(), 0..4_u8), 0..60),
        there in btree_set((any_author(), 0..4_u8), 0..60),
    ) {
        let here: BTreeSet<(u64, u8)> = common.union(&here).copied().collect();
        let there: BTreeSet<(u64, u8)> = common.union(&there).copied().collect();
        let lacking: Vec<(u64, u8)> = there.difference(&here).copied().collect();
        let differing = there.symmetric_difference(&here).count();
        let outcome = walk(&mut Side::new(&here), &mut Side::new(&there));
        // In ascending order but for branches that lie at different depths on the two sides.
        let found: BTreeSet<Head> = outcome.found.iter().copied().collect();
        let expected: BTreeSet<Head> = lacking.iter().map(|it| head(it.0, it.1)).collect();
        prop_assert_eq!((outcome.found.len(), found), (expected.len(), expected));
        // A few hundred heads are four levels deep where they are spread, sixteen where they are
        // not, and each level that differs is at most a divided branch or sixteen heads.
        prop_assert!(outcome.questions <= 1 + 16 * (1 + differing / BRANCHES_MAX));
        prop_assert!(outcome.bytes <= 100 + 20 * 1_400 * differing);
    }

    #[test]
    fn a_walk_that_goes_on_elsewhere_leaves_out_what_lies_before(
        heads in btree_set((any_author(), 0..4_u8), 1..300),
        from in vector(0..16_u8, 0..6),
    ) {
        let mut there = Side::new(&heads);
        let mut walk = Walk::new(BranchPath(from.clone()));
        let path = BranchPath::default();
        let mut waiting = vec![BranchDigest { path, digest: Digest([1; 32]) }];
        let mut found = Vec::new();
        let mut nothing = Side::new(&BTreeSet::new());
        while !waiting.is_empty() {
            let compared = nothing.compare(&there.differing(&waiting));
            walk.handle_comparison(compared);
            waiting = walk.next();
            found.extend(walk.take_found().1);
        }
        let digits = |head: &Head| (0..from.len()).map(|at| head.digit(at)).collect::<Vec<_>>();
        let behind = there.heads.iter().filter(|head| digits(head) >= from);
        let missed = behind.filter(|head| !found.contains(head));
        prop_assert_eq!(missed.count(), 0);
        // Of what lies before, at most the heads of the branch in which the walk began, which may
        // be full and all before.
        let before = found.iter().filter(|head| digits(head) < from);
        prop_assert!(before.count() <= LEAF_HEADS_MAX);
    }
}

#[test]
fn one_change_among_a_thousand_authors_costs_three_questions() {
    let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let authors: BTreeSet<(u64, u8)> = (0..1_000).map(|number| (spread(number), 1)).collect();
    let mut changed = authors.clone();
    changed.remove(&(spread(7), 1));
    changed.insert((spread(7), 2));
    let outcome = walk(&mut Side::new(&authors), &mut Side::new(&changed));
    assert_eq!(outcome.found, [head(spread(7), 2)]);
    assert_eq!(outcome.questions, 3);
    assert!(outcome.bytes < 2_000, "{}", outcome.bytes);
    let equal = walk(&mut Side::new(&authors), &mut Side::new(&authors));
    assert_eq!((equal.questions, equal.found.len()), (1, 0));
    assert!(equal.bytes < 50, "{}", equal.bytes);
}

/// Whoever always has more to show, as deep as paths go, is heard for as long as the caller likes
/// and fills no memory.
#[test]
fn a_peer_that_divides_everything_keeps_what_waits_bounded() {
    let mut walk = Walk::new(BranchPath::default());
    let part = |path: BranchPath| BranchDigest {
        path,
        digest: Digest([1; 32]),
    };
    walk.handle_comparison(Comparison {
        branches: vec![part(BranchPath::default())],
        heads: Vec::new(),
    });
    for _ in 0..2_000 {
        let asked = walk.next();
        assert!(!asked.is_empty(), "there is always more");
        let children = |it: &BranchDigest| {
            let path = it.path.clone();
            let is_deep = path.digits().len() < crate::wire::PATH_MAX;
            (0..16_u8)
                .filter(move |_| is_deep)
                .map(move |digit| part(path.child(digit)))
                .collect::<Vec<_>>()
        };
        let branches = asked.iter().flat_map(children).collect();
        walk.handle_comparison(Comparison {
            branches,
            heads: Vec::new(),
        });
        assert!(walk.waiting.len() <= BRANCHES_WAITING_MAX + 2_048);
    }
}

#[test]
fn an_answer_with_a_digest_for_a_digit_beyond_the_longest_path_is_refused() {
    let longest = BranchPath::of(&head(1, 1), crate::wire::PATH_MAX);
    let children = [1, 2].map(|digit| ChildDigest {
        digit,
        digest: Digest([1; 32]),
    });
    let shown = Branch {
        path: longest.clone(),
        children: children.to_vec(),
        heads: Vec::new(),
    };
    let asked = BranchDigest {
        path: longest,
        digest: Digest([0; 32]),
    };
    let result = check_branches(&[asked], &[shown]);
    assert_eq!(result, Err(SyncViolation::Branch));
}
