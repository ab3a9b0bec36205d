//! The way of operations from a peer into the matcher: signatures first, in batches, off the
//! actors' threads.

use std::sync::Arc;

use bitfitech_core::op::{Operation, OperationError, Verified};
use bitfitech_core::signature;
use bitfitech_core::sync::Ticket;
use bitfitech_core::types::{OpId, Source};

use crate::context::NodeContext;
use crate::mailbox::Permit;
use crate::matcher::{Deliver, DeliverPage};

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
    for (frame, verdicts) in checked {
        let mut good = Vec::new();
        let mut refused = Vec::new();
        for (verdict, id) in verdicts {
            match verdict {
                Ok(operation) => good.push(operation),
                Err(error) => refused.push((id, error)),
            }
        }
        delivered.push(deliver(&node, frame, good, refused).await);
    }
    delivered
}

/// Hands one frame's operations to the matcher.
async fn deliver(
    node: &NodeContext,
    frame: Incoming,
    operations: Vec<Verified>,
    refused: Vec<(OpId, OperationError)>,
) -> Delivered {
    let Incoming {
        source,
        ticket,
        permit,
        ..
    } = frame;
    let ids: Vec<OpId> = operations.iter().map(|operation| operation.id()).collect();
    let deliver = Deliver { source, operations };
    let matcher = &node.refs.matcher;
    let gained = match ticket {
        Some(_) => matcher.query(DeliverPage(deliver), QUERY_MS).await.ok(),
        None => matcher.data(deliver).await.ok().map(|()| 0),
    };
    // Now the peer may send more.
    drop(permit);
    Delivered {
        source,
        ticket,
        gained,
        undelivered: if gained.is_none() { ids } else { Vec::new() },
        refused,
    }
}
