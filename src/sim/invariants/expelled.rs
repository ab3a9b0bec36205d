//! What an expelled author places is rejected, and what he had in the book ends.
//!
//! The rule, word for word, over all changes of members that the host has stored: of several the
//! latest counts, and it counts from the end of its bucket on.

use std::collections::BTreeMap;

use bitfitech_core::matching::EndReason;
use bitfitech_core::op::{Action, MemberChange};
use bitfitech_core::types::{AuthorKey, HybridTime, OpId};
use bitfitech_core::view::OrderRow;

use super::{Books, Findings};

/// Changes of an author's standing, in order.
type Turns = BTreeMap<AuthorKey, BTreeMap<(HybridTime, OpId), MemberChange>>;

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    let turns = turns(books);
    if turns.is_empty() {
        return;
    }
    let genesis = books.host.node().map(|node| node.exchange().genesis());
    let bucket_ms = genesis.map_or(1, |genesis| u64::from(genesis.bucket_ms));
    let bucket = |time: &HybridTime| time.unix_ms() / bucket_ms;
    for row in books.orders.values() {
        let Some(turns) = turns.get(&row.author) else {
            continue;
        };
        let placed = bucket(&row.time);
        let before = turns.iter().rfind(|((time, _), _)| bucket(time) < placed);
        let is_out = before.is_some_and(|(_, change)| *change == MemberChange::Expel);
        let mut later = turns.iter().filter(|((time, _), _)| bucket(time) >= placed);
        let must_end = later.any(|(_, change)| *change == MemberChange::Expel);
        if is_out && !is_rejected(row) || must_end && row.ended.is_none() {
            let (host, order) = (books.host.index(), row.order.name());
            let text = format!(
                "order {order} of an expelled author on host {host} is {:?}",
                row.ended
            );
            findings.add("expelled", &text);
        }
    }
}

fn is_rejected(row: &OrderRow) -> bool {
    matches!(row.ended, Some(EndReason::NoMember | EndReason::NotPlaced))
}

fn turns(books: &Books<'_>) -> Turns {
    let mut turns = Turns::new();
    for operation in books.host.disk().records() {
        let body = operation.body();
        for (author, change) in body.actions.iter().filter_map(Action::member) {
            let turns = turns.entry(*author).or_default();
            turns.insert((body.time, operation.id()), change);
        }
    }
    turns
}
