//! Who is a member, for those who judge sessions and for users.

use std::sync::Arc;

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Engine;
use bitfitech_core::membership::{self, Membership, Standing};
use bitfitech_core::op::{Action, MemberChange};
use bitfitech_core::types::AuthorKey;

use crate::context::{NodeContext, SessionEntry};
use crate::messages::{ErrorCode, MemberRow, Members, ReplyError};
use crate::peer::Close;

/// What a user wants done to an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The author.
    pub author: AuthorKey,
    /// What becomes of him.
    pub change: MemberChange,
}

impl Sentence {
    /// The action that this node would sign.
    ///
    /// # Errors
    /// It would be invalid, or changes nothing.
    pub(crate) fn action<E: Engine>(&self, exchange: &Exchange<E>) -> Result<Action, ReplyError> {
        let genesis = exchange.genesis();
        let author = self.author;
        if !genesis.is_administrator(&exchange.author()) {
            let text = "this node's key is not in network.administrators: only an \
                        administrator's node admits and expels";
            return Err(ReplyError::new(ErrorCode::NotAdministrator, text));
        }
        if genesis.is_administrator(&author) {
            let text = "administrators are fixed in network.administrators";
            return Err(ReplyError::new(ErrorCode::NotAdministrator, text));
        }
        let wanted = match self.change {
            MemberChange::Admit => Standing::Member,
            MemberChange::Expel => Standing::Expelled,
        };
        if exchange.standing(&author) == wanted {
            let text = format!("{} is {} already", author.short(), article(wanted));
            return Err(ReplyError::new(ErrorCode::BadCommand, text));
        }
        let change = self.change;
        Ok(Action::Member { author, change })
    }
}

/// The standing as the end of a sentence.
fn article(standing: Standing) -> &'static str {
    match standing {
        Standing::Member => "a member",
        Standing::Stranger => "a stranger",
        Standing::Expelled => "expelled",
    }
}

/// Lets all actors know who is a member now, and ends the sessions of those who no longer are.
pub(crate) fn publish<E: Engine>(node: &NodeContext, exchange: &Exchange<E>) {
    let members = exchange.membership();
    node.membership.store(Arc::new(members.clone()));
    for entry in &node.directory {
        end_if_expelled(node, members, &entry);
    }
}

/// Ends a session with somebody who was expelled.
pub(crate) fn end_if_expelled(node: &NodeContext, members: &Membership, session: &SessionEntry) {
    if members.may_connect(&node.genesis, &session.node, session.admission) {
        return;
    }
    tracing::warn!(
        target: "matcher",
        "ending the session with {}: expelled by an administrator",
        session.node.short()
    );
    // A connection that is going down ends by itself.
    drop(session.peer.control(Close(membership::expelled())));
}

/// Everyone whose standing is known.
pub(crate) fn members(node: &NodeContext) -> Members {
    let genesis = &node.genesis;
    if genesis.is_open() {
        return Members::Everyone;
    }
    let membership = node.membership.load();
    let founders = genesis.administrators.iter().chain(&genesis.allow_list);
    let mut all: Vec<AuthorKey> = founders.copied().collect();
    all.extend(membership.changed().copied());
    all.sort_unstable();
    all.dedup();
    let row = |author: &AuthorKey| MemberRow::new(genesis, &membership, author);
    Members::Only(all.iter().map(row).collect())
}
