//! Trees as people look at them: on which links a node pushes an author's operations.

use alloc::vec::Vec;

use super::Gossip;
use super::trees::Tree;
use crate::types::LinkId;
use crate::wire::{Payload, Prefix};

/// A node's place in the tree of one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeView {
    /// The beginning of the author's key.
    pub author: Prefix,
    /// The link that pushes his operations to this node; `None` for its own ones, and where they
    /// came otherwise.
    pub parent: Option<LinkId>,
    /// Links on which they are pushed on.
    pub eager: Vec<LinkId>,
    /// Links on which they are announced.
    pub lazy: Vec<LinkId>,
}

impl<O: Payload> Gossip<O> {
    /// The trees of all authors that are known, those first who wrote lately.
    pub fn trees(&self) -> impl Iterator<Item = TreeView> {
        self.trees
            .iter()
            .map(|(author, tree)| self.view(*author, tree))
    }

    fn view(&self, author: Prefix, tree: &Tree) -> TreeView {
        let parent = tree.parent.and_then(|slot| self.link_at(slot.into()));
        let others = self.links.iter().filter(|(link, _)| Some(**link) != parent);
        let (lazy, eager) = others.partition::<Vec<_>, _>(|(_, state)| tree.lazy.has(state.slot));
        let names = |links: Vec<(&LinkId, _)>| links.into_iter().map(|(link, _)| *link).collect();
        TreeView {
            author,
            parent,
            eager: names(eager),
            lazy: names(lazy),
        }
    }
}
