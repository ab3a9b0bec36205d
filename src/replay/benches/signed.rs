//! Order files as signed operations, for the replica: sorted log, engine with undo, rows and
//! reported changes.
//!
//! Each operation carries up to 64 actions, as a node under load writes them, and is merged by
//! itself, as at a tick. Operations are built before the measurement: what is measured is what a
//! node does with an operation that was decoded and verified.

use std::collections::HashMap;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::{self, Book};
use bitfitech_core::op::{ACTIONS_MAX, Action, Body, OPERATION_VERSION, Place, Verified};
use bitfitech_core::replica::Replica;
use bitfitech_core::types::{AuthorKey, HybridTime, MarketIndex, OpId, OrderId};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

/// An order file as signed operations; the orders of one operation have one of many authors.
pub struct Operations {
    operations: Vec<Verified>,
    /// The first operation to be measured.
    pub measured_from: usize,
}

/// Signs actions, of which those from `measured_from` on are to be measured.
pub fn operations(actions: &[matching::Action], measured_from: usize) -> Operations {
    let (genesis, market) = (Genesis::standard("bench"), MarketIndex(0));
    let digest = genesis.digest();
    let keys: Vec<SigningKey> = (1..=250).map(|seed| SigningKey::from([seed; 32])).collect();
    let mut ids: HashMap<OrderId, OrderId> = HashMap::new();
    let mut operations: Vec<Verified> = Vec::new();
    // Where each author goes on: the next place in his chain, and the operation before it.
    let mut chains: Vec<(u64, Option<OpId>)> = vec![(0, None); keys.len()];
    let mut first_measured = None;
    for (number, batch) in actions.chunks(ACTIONS_MAX).enumerate() {
        let author = number % keys.len();
        let (seq, prev) = chains[author];
        let batch_actions = batch.iter().map(|action| match action {
            matching::Action::Place(order) => Action::Place(Place {
                market,
                side: order.side,
                pricing: order.pricing,
                quantity: order.quantity,
                time_in_force: order.time_in_force,
                self_trade: matching::SelfTrade::CancelNewest,
                expires_ms: None,
            }),
            matching::Action::Cancel { order, .. } => Action::Cancel {
                market,
                order: ids.get(order).copied().unwrap_or(*order),
            },
            _ => unreachable!("order files place and cancel"),
        });
        let body = Body {
            version: OPERATION_VERSION,
            author: AuthorKey(VerificationKeyBytes::from(&keys[author]).into()),
            seq,
            prev,
            time: HybridTime::from_unix_ms(1_700_000_000_000 + number as u64),
            // Each author has seen the operation before his own.
            refs: operations
                .last()
                .map(|last| last.id())
                .into_iter()
                .collect(),
            checkpoint: 0,
            actions: batch_actions.collect(),
        };
        let signed = Verified::sign(body, &keys[author], &genesis, &digest).expect("valid");
        for (index, action) in (0..).zip(batch) {
            if let matching::Action::Place(order) = action {
                ids.insert(order.id, OrderId::new(&signed.id(), index));
            }
        }
        if number * ACTIONS_MAX >= measured_from {
            first_measured.get_or_insert(operations.len());
        }
        chains[author] = (seq + 1, Some(signed.id()));
        operations.push(signed);
    }
    Operations {
        operations,
        measured_from: first_measured.expect("something is measured"),
    }
}

impl Operations {
    /// An empty replica for them.
    pub fn replica(&self) -> Replica<Book> {
        Replica::new(&Genesis::standard("bench"), &[0; 32], [Book::new(&[0; 32])])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Applies one of them. Returns how many changes were reported.
    pub fn apply(&self, number: usize, replica: &mut Replica<Book>) -> usize {
        replica.insert(&self.operations[number], 0);
        replica.merge(number as u64).len()
    }
}
