//! Fetching the memory of coming operations before they run.
//!
//! An operation reads the id table, then an order, then its level and its neighbours, and each
//! step has to wait for the one before. Operations do not have to wait for each other: the
//! processor fetches many lines at the same time if the reads stand next to each other. So this
//! walks over a whole batch step by step, first all table entries, then all orders, and so on, and
//! reads what the operations will need. It is a hint: nothing changes, and a wrong guess costs time
//! only.

use core::hint::black_box;

use super::book::Book;
use super::slab::Slot;
use super::{Action, Pricing};
use crate::types::OrderId;

/// At most this many operations are looked at, so that what was fetched first is still there.
pub const BATCH_MAX: usize = 64;

/// What an operation is going to need.
#[derive(Clone, Copy, Default)]
struct Target {
    order: Slot,
    level: Slot,
}

/// Reads what the first [`BATCH_MAX`] actions will read.
pub(super) fn touch(book: &Book, upcoming: &[Action]) {
    let upcoming = &upcoming[..upcoming.len().min(BATCH_MAX)];
    let mut targets = [Target::default(); BATCH_MAX];
    let targets = &mut targets[..upcoming.len()];
    for (target, action) in targets.iter_mut().zip(upcoming) {
        *target = find(book, action);
    }
    for target in targets
        .iter_mut()
        .filter(|target| target.order != Slot::NONE)
    {
        target.level = book.orders[target.order].level();
    }
    let mut seen = 0;
    for target in targets
        .iter_mut()
        .filter(|target| target.level != Slot::NONE)
    {
        let level = &book.levels[target.level];
        if target.order == Slot::NONE {
            target.order = level.back;
        } else {
            let order = &book.orders[target.order];
            if level.front != target.order && level.back != target.order {
                seen ^= book.orders[order.next].next.0 ^ book.orders[order.previous].next.0;
            }
            target.order = Slot::NONE;
        }
    }
    for (ahead, target) in targets.iter().enumerate() {
        if target.order != Slot::NONE {
            seen ^= book.orders[target.order].next.0;
        }
        if let Some(slot) = book.orders.upcoming(ahead) {
            seen ^= book.orders[slot].next.0;
        }
    }
    black_box(seen);
}

/// The order that an action addresses, and the level that a placed order may come to rest in.
fn find(book: &Book, action: &Action) -> Target {
    match action {
        Action::Place(order) => {
            let level = match order.pricing {
                Pricing::Limit(price) => book.ladder(order.side).get(price),
                Pricing::Market(_) => None,
            };
            Target {
                order: candidate(book, &order.id),
                level: level.unwrap_or_default(),
            }
        }
        Action::Cancel { order, .. } | Action::End { order, .. } => Target {
            order: candidate(book, order),
            level: Slot::NONE,
        },
        Action::Replace(replacement) => Target {
            order: candidate(book, &replacement.order),
            level: Slot::NONE,
        },
    }
}

fn candidate(book: &Book, id: &OrderId) -> Slot {
    book.ids
        .candidates(book.key.tag(id))
        .next()
        .unwrap_or_default()
}
