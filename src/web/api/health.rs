//! Whether the node lives, and whether it can trade.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::matcher::AskMayWrite;
use bitfitech_actors::status::TreeNode;
use bitfitech_actors::store::Load;
use bitfitech_core::supervision::Status;
use serde_json::{Value, json};

/// How long an actor may take to answer: who asks whether the node is ready wants to know soon.
const QUERY_MS: u64 = 1_000;

/// The supervisors' view: every actor but connections runs. Connections come and go.
pub(super) fn health(node: &NodeContext) -> HttpResponse {
    let tree = node.environment.board.tree(node.refs.root.name());
    let mut down = Vec::new();
    if let Some(tree) = &tree {
        note_down(tree, &mut down);
    }
    let is_well = tree.is_some() && down.is_empty();
    let restarts = tree.as_ref().map_or(0, restarts);
    let state = if is_well { "pass" } else { "fail" };
    let body = json!({"status": state, "down": down, "restarts": restarts});
    respond(is_well, &body)
}

/// The names of those that do not run.
fn note_down(tree: &TreeNode, down: &mut Vec<String>) {
    if tree.state != Status::Running.name() {
        down.push(tree.name.clone());
    }
    let children = tree.children.iter();
    let children = children.filter(|child| !child.name.starts_with("peer:"));
    children.for_each(|child| note_down(child, down));
}

fn restarts(tree: &TreeNode) -> u64 {
    let below: u64 = tree.children.iter().map(restarts).sum();
    tree.restarts + below
}

/// Whether orders can be placed: the store can be read, the matcher has read it, and the own chain
/// has been asked for.
pub(super) async fn ready(node: &Arc<NodeContext>) -> HttpResponse {
    let read = node.refs.store.query(Load { from: u64::MAX }, QUERY_MS);
    let store = matches!(read.await, Ok(Ok(_)));
    let matcher = node.environment.board.status("matcher") == Some(Status::Running);
    let asked = node.refs.matcher.query(AskMayWrite, QUERY_MS).await;
    let own_chain = asked == Ok(true);
    let is_ready = store && matcher && own_chain;
    let body = json!({
        "status": if is_ready { "pass" } else { "fail" },
        "store": store,
        "matcher": matcher,
        "own_chain": own_chain,
    });
    respond(is_ready, &body)
}

fn respond(is_good: bool, body: &Value) -> HttpResponse {
    let status = match is_good {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status)
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(name: &str, state: &'static str, children: Vec<TreeNode>) -> TreeNode {
        TreeNode {
            name: name.to_owned(),
            state,
            restarts: 1,
            generation: 2,
            mailbox: 0,
            children,
        }
    }

    #[test]
    fn an_actor_that_does_not_run_is_named_and_a_lost_connection_is_not() {
        let peers = vec![actor("peer:127.0.0.1:1", "restarting", Vec::new())];
        let net = vec![
            actor("gossip", "restarting", Vec::new()),
            actor("peers", "running", peers),
        ];
        let tree = actor("root", "running", net);
        let mut down = Vec::new();
        note_down(&tree, &mut down);
        assert_eq!(down, ["gossip"]);
        assert_eq!(restarts(&tree), 4);
    }
}
