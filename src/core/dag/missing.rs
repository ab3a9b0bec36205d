//! What a peer lacks of the branches that it wants.
//!
//! A late joiner takes a long history in many pages, and each is asked for anew. So a page must not
//! cost a walk through all that is missing: of an author's trunk the part that is missing is one
//! slice, and the page merges the slices of all authors from its beginning. Only branches that left
//! a trunk, of a proven forker, are walked.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{Dag, OpIndex};
use crate::wire::WantEntry;

/// Operations that a peer lacks, in causal order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPage {
    /// The next operations to send.
    pub operations: Vec<OpIndex>,
    /// How many more there are behind them; what branches of a forked chain share is counted for
    /// each.
    pub remaining: u64,
}

/// What is missing of one branch, in the order of application.
struct Stretch<'a> {
    of_trunk: &'a [OpIndex],
    /// What comes behind that and is not on the trunk, the last first.
    beyond: Vec<OpIndex>,
}

impl Stretch<'_> {
    fn first(&self) -> Option<OpIndex> {
        self.of_trunk.first().or(self.beyond.last()).copied()
    }

    fn pass_first(&mut self) {
        match self.of_trunk.split_first() {
            Some((_, rest)) => self.of_trunk = rest,
            None => drop(self.beyond.pop()),
        }
    }

    fn len(&self) -> usize {
        self.of_trunk.len() + self.beyond.len()
    }
}

impl Dag {
    /// What a peer lacks of the branches that it wants, in the order of application from `from` on,
    /// at most `operations_max` of it.
    pub fn missing(
        &self,
        wants: &[WantEntry],
        from: OpIndex,
        operations_max: usize,
    ) -> MissingPage {
        let stretches = wants.iter().filter_map(|want| self.stretch(want, from));
        let mut stretches: Vec<Stretch<'_>> = stretches.collect();
        let firsts = stretches.iter().zip(0..);
        let firsts = firsts.filter_map(|(it, at): (_, usize)| Some(Reverse((it.first()?, at))));
        let mut next: BinaryHeap<Reverse<(OpIndex, usize)>> = firsts.collect();
        let mut operations: Vec<OpIndex> = Vec::new();
        while let Some(Reverse((index, at))) = next.pop() {
            let is_news = operations.last() != Some(&index);
            if is_news && operations.len() == operations_max {
                break;
            }
            operations.extend(Some(index).filter(|_| is_news));
            stretches[at].pass_first();
            next.extend(stretches[at].first().map(|first| Reverse((first, at))));
        }
        let remaining: usize = stretches.iter().map(Stretch::len).sum();
        MissingPage {
            operations,
            remaining: remaining as u64,
        }
    }

    /// What is missing of the branch that ends in this head, from `from` on.
    fn stretch(&self, want: &WantEntry, from: OpIndex) -> Option<Stretch<'_>> {
        let head = self.find(&want.head)?;
        let there: Vec<OpIndex> = want.locator.iter().filter_map(|id| self.find(id)).collect();
        let trunk = &self.chains[self.author(head).0 as usize].trunk[..];
        let place = |at: &OpIndex| usize::try_from(self.seq(*at)).unwrap_or(usize::MAX);
        let is_on_trunk = |at: &OpIndex| trunk.get(place(at)) == Some(at);
        let mut beyond = Vec::new();
        let mut joins = None;
        for at in self.back_from(head) {
            if is_on_trunk(&at) {
                joins = Some(at);
                break;
            }
            if at < from || there.contains(&at) {
                break;
            }
            beyond.push(at);
        }
        let of_trunk = joins.map_or(&trunk[..0], |joins| {
            let until = place(&joins) + 1;
            let known = there.iter().filter(|at| is_on_trunk(at));
            let known = known
                .map(|at| place(at) + 1)
                .filter(|known| *known <= until);
            let lacking = &trunk[known.max().unwrap_or(0)..until];
            &lacking[lacking.partition_point(|at| *at < from)..]
        });
        Some(Stretch { of_trunk, beyond })
    }
}
