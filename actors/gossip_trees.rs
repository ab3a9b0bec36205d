//! The trees along which operations travel, as this node sees them, for people and programs.

use std::sync::Arc;

use actix::{Context, Handler, Message, MessageResult};
use bitfitech_core::gossip::TreeView;
use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::Prefix;
use serde_json::{Value, json};

use crate::context::NodeContext;
use crate::gossip::GossipActor;
use crate::mailbox::QueryError;

/// Most trees of one answer: first the own one, then those of nodes that there is a session with,
/// then those of who wrote lately. A guess: more than fit a picture.
pub const TREES_SHOWN_MAX: usize = 64;

/// How long the actor may take to answer.
const QUERY_MS: u64 = 1_000;

/// A query: this node's place in the trees of authors.
#[derive(Message)]
#[rtype(result = "Vec<TreeRow>")]
pub struct AskTrees;

/// This node's place in the tree of one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// The beginning of the author's key.
    pub author: Prefix,
    /// Who pushes his operations to this node; nobody if they are its own.
    pub parent: Option<AuthorKey>,
    /// To whom they are pushed.
    pub eager: Vec<AuthorKey>,
    /// To whom they are announced, so that a broken tree is noticed and mended.
    pub lazy: Vec<AuthorKey>,
}

impl Handler<AskTrees> for GossipActor {
    type Result = MessageResult<AskTrees>;

    fn handle(&mut self, _ask: AskTrees, _context: &mut Context<Self>) -> Self::Result {
        let node = |link: &LinkId| Some(self.node.directory.get(link)?.node);
        let own = Prefix::of(&self.node.identity.author().0);
        let sessions = self.node.directory.iter();
        let near: Vec<Prefix> = sessions.map(|it| Prefix::of(&it.value().node.0)).collect();
        let mut trees: Vec<TreeView> = self.gossip.trees().collect();
        trees.sort_by_key(|tree| match tree.author {
            author if author == own => 0,
            author if near.contains(&author) => 1,
            _ => 2,
        });
        trees.truncate(TREES_SHOWN_MAX);
        let rows = trees.into_iter().map(|tree| TreeRow {
            author: tree.author,
            parent: tree.parent.as_ref().and_then(node),
            eager: tree.eager.iter().filter_map(node).collect(),
            lazy: tree.lazy.iter().filter_map(node).collect(),
        });
        MessageResult(rows.collect())
    }
}

/// The trees as clients read them.
///
/// # Errors
/// When the actor does not answer.
pub async fn trees(node: &Arc<NodeContext>) -> Result<Value, QueryError> {
    let rows = node.refs.gossip.query(AskTrees, QUERY_MS).await?;
    let keys = |nodes: &[AuthorKey]| nodes.iter().map(AuthorKey::to_hex).collect::<Vec<_>>();
    let row = |row: &TreeRow| {
        json!({
            "author": row.author.to_hex(),
            "parent": row.parent.as_ref().map(AuthorKey::to_hex),
            "eager": keys(&row.eager),
            "lazy": keys(&row.lazy),
        })
    };
    Ok(Value::Array(rows.iter().map(row).collect()))
}
