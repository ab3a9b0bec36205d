//! Books as texts, kept until the next change.
//!
//! Many clients look at the same book. Between two changes it is the same text, so it is asked for
//! once; those who come while it is asked for wait for the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitfitech_actors::command;
use bitfitech_actors::command_json::reply_fields;
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::messages::ReplyError;
use tokio::sync::{Mutex, OnceCell};

/// Most texts kept; when one more is asked for, all are forgotten. A guess: markets and depths that
/// are looked at in one moment.
const TEXTS_MAX: usize = 64;

type Promised = Arc<OnceCell<Arc<str>>>;

/// The texts by question, each with the version of the board that it is of.
#[derive(Debug, Default)]
pub(super) struct BookCache {
    texts: Mutex<BTreeMap<String, (u64, Promised)>>,
}

impl BookCache {
    /// The book that a line asks for.
    ///
    /// # Errors
    /// Those of the command.
    pub(super) async fn book(
        &self,
        node: &Arc<NodeContext>,
        line: &str,
    ) -> Result<Arc<str>, ReplyError> {
        let promised = self.promised(node.board_version.get(), line).await;
        let text = promised.get_or_try_init(|| ask(node, line)).await?;
        Ok(Arc::clone(text))
    }

    /// The answer at this version, which may still have to be asked for.
    async fn promised(&self, version: u64, line: &str) -> Promised {
        let mut texts = self.texts.lock().await;
        match texts.get(line) {
            Some((of, promised)) if *of == version => return Arc::clone(promised),
            None if texts.len() >= TEXTS_MAX => texts.clear(),
            _ => {}
        }
        let promised = Promised::default();
        texts.insert(line.to_owned(), (version, Arc::clone(&promised)));
        promised
    }
}

async fn ask(node: &Arc<NodeContext>, line: &str) -> Result<Arc<str>, ReplyError> {
    let reply = command::answer_to(node, line).await?;
    let text = serde_json::to_string(&reply_fields(&reply, &node.genesis));
    Ok(text.expect("names are keys").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_good_for_one_version_and_their_number_is_bounded() {
        actix_web::rt::System::new().block_on(async {
            let cache = BookCache::default();
            let first = cache.promised(1, "book").await;
            assert!(Arc::ptr_eq(&first, &cache.promised(1, "book").await));
            assert!(!Arc::ptr_eq(&first, &cache.promised(2, "book").await));
            for number in 0..2 * TEXTS_MAX {
                cache.promised(2, &number.to_string()).await;
            }
            assert!(cache.texts.lock().await.len() <= TEXTS_MAX);
        });
    }
}
