//! The way of operations from a peer into the matcher: signatures first, in batches, off the
//! actors' threads.

use std::sync::Arc;

use bitfitech_core::op::{Operation, OperationError, Verified};
use bitfitech_core::signature;
use bitfitech_core::sync::Ticket;
use bitfitech_core::types::{OpId, Source};

use crate::context::NodeContext;
use crate::mailbox::Permit;
use crate::matcher::{Deliver, DeliverPage, Delivery};

/// How long the matcher may take to take a page in.
const QUERY_MS: u64 = 30_000;

/// Operations on their way to the matcher.
pub(crate) struct Incoming {
    pub(crate) source: Source,
    pub(crate) operations: Vec<Operation>,
    /// For pulled ones: the question that they answer.
    pub(crate) ticket: Option<Ticket>,
    /// For pushed ones: their place in the mailbox, taken until they are delivered.
    pub(crate) permit: Option<Permit>,
}

/// What became of an [`Incoming`].
pub(crate) struct Delivered {
    pub(crate) source: Source,
    pub(crate) ticket: Option<Ticket>,
    /// Operations that the set gained; `None` if the matcher could not take them.
    pub(crate) gained: Option<u64>,
    /// Ids of those that were not delivered because the matcher could not take them.
    pub(crate) undelivered: Vec<OpId>,
    pub(crate) refused: Vec<(OpId, OperationError)>,
}

/// Checks signatures on a thread of the blocking pool, then hands everything to the matcher.
pub(crate) async fn check_and_deliver(
    node: Arc<NodeContext>,
    incoming: Vec<Incoming>,
) -> Vec<Delivered> {
    let checking = tokio::task::spawn_blocking(move || {
        let counts: Vec<usize> = incoming.iter().map(|one| one.operations.len()).collect();
        let mut frames = Vec::with_capacity(incoming.len());
        let mut all = Vec::with_capacity(counts.iter().sum());
        for mut one in incoming {
            all.append(&mut one.operations);
            frames.push(one);
        }
        let ids: Vec<OpId> = all.iter().map(Operation::id).collect();
        let mut verdicts = signature::verify(all).into_iter().zip(ids);
        let take = |(frame, count): (Incoming, usize)| {
            let verdicts: Vec<_> = verdicts.by_ref().take(count).collect();
            (frame, verdicts)
        };
        frames.into_iter().zip(counts).map(take).collect::<Vec<_>>()
    });
    let checked = checking.await.expect("checking signatures does not panic");
    let mut delivered = Vec::with_capacity(checked.len());
    let mut pushed = Vec::new();
    for (frame, verdicts) in checked {
        let checked = Checked::new(frame, verdicts);
        if checked.frame.ticket.is_none() {
            pushed.push(checked);
            continue;
        }
        // The order in which everything came is kept.
        delivered.extend(deliver_pushed(&node, std::mem::take(&mut pushed)).await);
        delivered.push(deliver_page(&node, checked).await);
    }
    delivered.extend(deliver_pushed(&node, pushed).await);
    delivered
}

/// One frame's operations with what is known of their signatures.
struct Checked {
    frame: Incoming,
    good: Vec<Verified>,
    ids: Vec<OpId>,
    refused: Vec<(OpId, OperationError)>,
}

impl Checked {
    fn new(frame: Incoming, verdicts: Vec<(Result<Verified, OperationError>, OpId)>) -> Self {
        let mut checked = Self {
            frame,
            good: Vec::with_capacity(verdicts.len()),
            ids: Vec::with_capacity(verdicts.len()),
            refused: Vec::new(),
        };
        for (verdict, id) in verdicts {
            match verdict {
                Ok(operation) => {
                    checked.good.push(operation);
                    checked.ids.push(id);
                }
                Err(error) => checked.refused.push((id, error)),
            }
        }
        checked
    }

    fn take_delivery(&mut self) -> Delivery {
        Delivery {
            source: self.frame.source,
            operations: std::mem::take(&mut self.good),
        }
    }

    /// What became of it.
    fn delivered(self, gained: Option<u64>) -> Delivered {
        // Now the peer may send more.
        drop(self.frame.permit);
        Delivered {
            source: self.frame.source,
            ticket: self.frame.ticket,
            gained,
            undelivered: if gained.is_none() {
                self.ids
            } else {
                Vec::new()
            },
            refused: self.refused,
        }
    }
}

/// Hands what was pushed to the matcher, all in one message.
async fn deliver_pushed(node: &NodeContext, mut pushed: Vec<Checked>) -> Vec<Delivered> {
    if pushed.is_empty() {
        return Vec::new();
    }
    let deliveries = pushed.iter_mut().map(Checked::take_delivery).collect();
    let sent = node.refs.matcher.data(Deliver(deliveries)).await;
    let gained = sent.ok().map(|()| 0);
    let pushed = pushed.into_iter();
    pushed.map(|checked| checked.delivered(gained)).collect()
}

/// Hands a page that was pulled to the matcher.
async fn deliver_page(node: &NodeContext, mut checked: Checked) -> Delivered {
    let page = DeliverPage(checked.take_delivery());
    let gained = node.refs.matcher.query(page, QUERY_MS).await;
    checked.delivered(gained.ok())
}
