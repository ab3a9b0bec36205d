//! Orders by program: commands on behalf of a client, and each named order once only.
//!
//! Both services by which programs trade come here, so a client may repeat over one what it did not
//! hear over the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bitfitech_actors::command;
use bitfitech_actors::command_json::reply_fields;
use bitfitech_actors::context::NodeContext;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use crate::rpc_actions::Action;

/// Orders whose answers are remembered for clients that repeat them; the oldest go first. A guess:
/// an hour of a busy client.
const REMEMBERED_MAX: usize = 4_096;

/// The answer to an order, as soon as there is one.
type Promised = Arc<OnceCell<Result<Value, String>>>;

/// What places orders; clones share what is remembered.
#[derive(Clone)]
pub struct Placing {
    node: Arc<NodeContext>,
    placed: Arc<Mutex<Placed>>,
}

/// Answers to orders by the names that clients gave them.
#[derive(Default)]
struct Placed {
    answers: BTreeMap<String, Promised>,
    oldest_first: VecDeque<String>,
}

impl Placed {
    /// The answer to the order of this name, which may still have to be placed.
    fn promised(&mut self, client_id: String) -> Promised {
        if let Some(promised) = self.answers.get(&client_id) {
            return Arc::clone(promised);
        }
        if self.oldest_first.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.oldest_first.push_back(client_id.clone());
        let promised = Promised::default();
        self.answers.insert(client_id, Arc::clone(&promised));
        promised
    }

    /// Nothing was placed: the name is free again.
    fn forget(&mut self, client_id: &str) {
        self.answers.remove(client_id);
        self.oldest_first.retain(|known| known != client_id);
    }
}

impl Placing {
    /// Nothing is remembered yet.
    pub fn new(node: Arc<NodeContext>) -> Self {
        Self {
            node,
            placed: Arc::default(),
        }
    }

    /// Does what is asked; an order with a name once only.
    ///
    /// # Errors
    /// `CODE: text`.
    pub(crate) async fn perform(&self, action: Action) -> Result<Value, String> {
        let Some(client_id) = action.client_id else {
            return self.execute(&action.line).await;
        };
        let promised = self.placed.lock().await.promised(client_id.clone());
        let answer = promised
            .get_or_init(|| self.execute(&action.line))
            .await
            .clone();
        // An error says that nothing was placed, unless nobody knows.
        let unknown =
            |error: &String| error.starts_with("TIMEOUT") || error.starts_with("UNAVAILABLE");
        if answer.as_ref().is_err_and(|error| !unknown(error)) {
            self.placed.lock().await.forget(&client_id);
        }
        answer
    }

    /// Executes a command of the console.
    async fn execute(&self, line: &str) -> Result<Value, String> {
        let reply = command::answer_to(&self.node, line).await;
        let reply = reply.map_err(|error| error.to_string())?;
        let fields = serde_json::to_value(reply_fields(&reply, &self.node.genesis));
        Ok(fields.expect("replies have names as keys"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_remembered_by_name_the_latest_ones() {
        let mut placed = Placed::default();
        let first = placed.promised("0".to_owned());
        assert!(Arc::ptr_eq(&first, &placed.promised("0".to_owned())));
        for name in 1..=REMEMBERED_MAX {
            placed.promised(name.to_string());
        }
        assert_eq!(placed.answers.len(), REMEMBERED_MAX);
        assert!(!Arc::ptr_eq(&first, &placed.promised("0".to_owned())));
        placed.forget("0");
        assert_eq!(placed.answers.len(), placed.oldest_first.len());
    }
}
