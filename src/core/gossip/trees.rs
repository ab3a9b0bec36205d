//! Trees: for each author, on which links a node pushes what he writes.
//!
//! Plumtree keeps one set of eager links (Leitão, Pereira, Rodrigues, "Epidemic broadcast trees",
//! SRDS 2007), which makes one tree for all senders: short from its root, long from elsewhere. An
//! exchange has few authors and many operations of each, so each author gets a tree of his own, as
//! that paper suggests under "multiple senders". A node keeps one word for it: the links on which
//! it does *not* push. So an author of whom nothing is known, and a link that has just come up, are
//! flooded, which is fast and finds the tree. The flood of a new author goes to [`FLOOD_MAX`] links
//! of a node and spares the rest.
//!
//! Authors live in two generations, as ids do in [`crate::seen`]: who wrote lately is in the young
//! one, and when that is full, the old one is forgotten. The price of forgetting is one flood.

use alloc::vec::Vec;
use core::mem;

use super::passage::{SLOTS_MAX, Slots};
use crate::wire::Prefix;
use crate::word_table::WordTable;

/// What a node knows of an author's tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Links on which his operations are announced, not pushed.
    pub lazy: Slots,
    /// The link that pushes them to this node.
    pub parent: Option<u8>,
    /// Another link that had the last of them, to take its place.
    pub stand_in: Option<u8>,
    pub stage: TreeStage,
}

/// Whether an author's operations were passed on before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TreeStage {
    /// The next one is flooded.
    #[default]
    New,
    Grown,
}

/// On how many links, of those that lack it, the first operation of an author is pushed; it is
/// announced on the others. With eight, chance leaves out nobody who has ten links.
const FLOOD_MAX: u32 = 8;

impl Tree {
    /// Of the links that lack an operation of this author, those on which it is pushed.
    pub(super) fn pushes_to(&mut self, lacking: Slots, author: Prefix) -> Slots {
        if self.stage == TreeStage::New {
            self.stage = TreeStage::Grown;
            // Each author spares others.
            let first = u32::from(author.0[7]) % SLOTS_MAX;
            let order = (0..SLOTS_MAX).map(|at| (first + at) % SLOTS_MAX);
            let lacking = order.filter(|slot| lacking.has(Some(*slot)));
            for spared in lacking.skip(FLOOD_MAX as usize) {
                self.lazy.add(Some(spared));
            }
        }
        Slots(lacking.0 & !self.lazy.0)
    }

    /// A link pushes this author's operations from now on; the one before stands in for it.
    pub(super) fn adopt(&mut self, parent: Option<u32>) {
        let parent = parent.map(|slot| slot as u8);
        if parent == self.parent {
            return;
        }
        if self.parent.is_some() {
            self.stand_in = self.parent;
        }
        if self.stand_in == parent {
            self.stand_in = None;
        }
        self.parent = parent;
    }

    /// Another link has his operations too.
    pub(super) fn note_other(&mut self, slot: Option<u32>) {
        let slot = slot.map(|slot| slot as u8);
        if slot != self.parent {
            self.stand_in = slot.or(self.stand_in);
        }
    }
}

/// The trees of all known authors.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    generation_max: usize,
    young: WordTable<Prefix, Tree>,
    old: WordTable<Prefix, Tree>,
}

impl Trees {
    /// No trees. A generation holds at least one. The secret keeps authors from choosing keys that
    /// are slow to find.
    pub(super) fn new(generation_max: usize, secret: u64) -> Self {
        Self {
            generation_max: generation_max.max(1),
            young: WordTable::new(secret),
            old: WordTable::new(secret),
        }
    }

    /// A hint that the tree of an author will be looked for.
    pub(super) fn prefetch(&self, author: Prefix) {
        self.young.prefetch(&author.0);
    }

    /// A known author's tree.
    pub(super) fn get_mut(&mut self, author: Prefix) -> Option<&mut Tree> {
        match self.young.get_mut(&author) {
            Some(tree) => Some(tree),
            None => self.old.get_mut(&author),
        }
    }

    /// The tree of an author who has written something: remembered from now on.
    pub(super) fn of_writer(&mut self, author: Prefix) -> &mut Tree {
        if self.young.get(&author).is_none() {
            let known = self.old.remove(&author).unwrap_or_default();
            if self.young.len() >= self.generation_max {
                mem::swap(&mut self.old, &mut self.young);
                self.young.clear(0);
            }
            self.young.insert(author, known);
        }
        self.young.get_mut(&author).expect("it was just put in")
    }

    /// A link is gone. Whose operations it brought, and which link stands in.
    pub(super) fn forget_slot(&mut self, slot: u32) -> Vec<(Prefix, u32)> {
        let gone = Some(slot as u8);
        let mut orphans = Vec::new();
        let all = self.young.iter_mut().chain(self.old.iter_mut());
        for (author, tree) in all {
            tree.lazy.remove(Some(slot));
            if tree.stand_in == gone {
                tree.stand_in = None;
            }
            if tree.parent == gone {
                tree.parent = tree.stand_in.take();
                orphans.extend(tree.parent.map(|stand_in| (*author, stand_in.into())));
            }
        }
        orphans.sort_unstable();
        orphans
    }

    /// All of them, those first who wrote lately.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Prefix, &Tree)> {
        [&self.young, &self.old].into_iter().flat_map(|generation| {
            let mut trees: Vec<_> = generation.iter().collect();
            trees.sort_unstable_by_key(|(author, _)| *author);
            trees
        })
    }

    /// How many authors are known: at most two generations.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    fn author(number: u8) -> Prefix {
        Prefix([number; 8])
    }

    #[test]
    fn when_the_parent_goes_the_one_before_stands_in() {
        let mut trees = Trees::new(4, 9);
        let tree = trees.of_writer(author(1));
        tree.adopt(Some(3));
        tree.adopt(Some(5));
        tree.lazy.add(Some(5));
        assert_eq!(trees.forget_slot(5), [(author(1), 3)]);
        let left = trees.get_mut(author(1)).expect("known");
        assert_eq!((left.parent, left.stand_in), (Some(3), None));
        assert!(left.lazy.is_empty(), "the next link with this slot is new");
        assert_eq!(trees.forget_slot(3), [], "nobody stands in any more");
    }

    #[test]
    fn a_stand_in_that_is_gone_or_was_adopted_stands_in_no_more() {
        let mut tree = Tree::default();
        tree.adopt(Some(1));
        tree.note_other(Some(2));
        tree.note_other(Some(1));
        assert_eq!(tree.stand_in, Some(2));
        tree.adopt(Some(2));
        assert_eq!((tree.parent, tree.stand_in), (Some(2), Some(1)));
    }

    #[test]
    fn the_first_operation_goes_to_eight_links_and_who_they_are_depends_on_the_author() {
        let lacking = Slots(0x3ff);
        let pushed = |number: u8| Tree::default().pushes_to(lacking, author(number));
        assert_eq!(pushed(0).0.count_ones(), FLOOD_MAX);
        assert_ne!(pushed(0), pushed(5));
        let mut tree = Tree::default();
        let few = Slots(0b111);
        assert_eq!(tree.pushes_to(few, author(0)), few);
        assert_eq!(tree.pushes_to(lacking, author(0)), lacking, "known by now");
    }

    proptest! {
        #[test]
        fn the_table_is_bounded_and_keeps_who_wrote_lately(
            writers in vector(0..20_u8, 1..200),
        ) {
            let mut trees = Trees::new(4, 9);
            for (at, writer) in writers.iter().enumerate() {
                trees.of_writer(author(*writer)).parent = Some(*writer);
                prop_assert!(trees.len() <= 8);
                for recent in &writers[at.saturating_sub(3)..=at] {
                    let kept = trees.get_mut(author(*recent)).map(|tree| tree.parent);
                    prop_assert_eq!(kept, Some(Some(*recent)));
                }
            }
        }
    }
}
