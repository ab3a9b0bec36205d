//! What an exchange tells, learns and gives away when two nodes compare what they have.

use alloc::vec::Vec;

use super::Exchange;
use crate::dag::{MissingPage, OpIndex};
use crate::matching::Engine;
use crate::sync::Comparison;
use crate::types::{LinkId, Now};
use crate::wire::{Branch, BranchDigest, BranchPath, Head, WantEntry};

impl<E: Engine> Exchange<E> {
    /// What this node has, all in one digest.
    pub fn heads_root(&mut self) -> BranchDigest {
        self.replica.dag_mut().branch_digest(BranchPath::default())
    }

    /// Those of a peer's branches that are different here, as they are here.
    pub fn differing_branches(&mut self, asked: &[BranchDigest]) -> Vec<Branch> {
        self.replica.dag_mut().differing(asked)
    }

    /// A peer was asked about branches and has shown those that differ there: where to look on, and
    /// which heads are unknown.
    pub fn compare_branches(
        &mut self,
        now: Now,
        link: LinkId,
        asked: &[BranchDigest],
        shown: &[Branch],
    ) -> Comparison {
        self.write_gate.handle_answer(now, link);
        let mut comparison = Comparison::default();
        let is_shown = |path: &BranchPath| shown.iter().any(|it| it.path.is_within(path));
        for equal in asked.iter().filter(|it| !is_shown(&it.path)) {
            self.handle_equal(&equal.path);
        }
        for branch in shown {
            self.handle_heads(&branch.heads);
            let unknown = branch.heads.iter();
            let unknown = unknown.filter(|head| self.dag().find(&head.id).is_none());
            comparison.heads.extend(unknown);
            if branch.children.is_empty() {
                continue;
            }
            let own = self.replica.dag_mut().digests_below(&branch.path);
            for child in &branch.children {
                let path = branch.path.child(child.digit);
                let digest = own.get(usize::from(child.digit)).copied();
                let digest = digest.unwrap_or_default();
                if digest == child.digest {
                    self.handle_equal(&path);
                } else {
                    comparison.branches.push(BranchDigest { path, digest });
                }
            }
        }
        let has_own = |it: &BranchDigest| it.path.has_author(&self.author);
        if asked.iter().any(has_own) && !comparison.branches.iter().any(has_own) {
            self.write_gate.handle_told(link);
        }
        comparison
    }

    /// A peer has the same of this branch.
    fn handle_equal(&mut self, path: &BranchPath) {
        if path.has_author(&self.author) {
            let dag = self.replica.dag();
            let own = dag.heads_of(&self.author).map(|head| dag.id(head));
            self.write_gate.handle_own_heads(own);
        }
    }

    /// A peer has shown these heads; those of the own chain are waited for.
    pub fn handle_heads(&mut self, heads: &[Head]) {
        let author = self.author;
        let own = heads.iter().filter(|head| head.author == author);
        self.write_gate.handle_own_heads(own.map(|head| head.id));
    }

    /// What a peer lacks, from this place in the order of application on. Own operations that are
    /// not on disk are left out; the peer will be pushed them.
    pub fn missing(&self, wants: &[WantEntry], from: u64, operations_max: usize) -> MissingPage {
        // A place that no operation can have: there is nothing from there on.
        let from = OpIndex(u32::try_from(from).unwrap_or(u32::MAX));
        let mut page = self.dag().missing(wants, from, operations_max);
        page.operations.retain(|index| self.is_public(*index));
        page
    }

    /// Whether peers may have this operation: any of others, and own ones that are on disk.
    fn is_public(&self, index: OpIndex) -> bool {
        let own = self.unwritten.binary_search_by_key(&index, |(own, _)| *own);
        own.is_err()
    }
}
