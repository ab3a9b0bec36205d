//! A table at which numbered authors write what an example says, and everyone sees the result.
//!
//! Whatever is written reaches one node at once, and after each operation what the node shows is
//! compared with a replay from scratch.

use std::collections::BTreeMap;

use bitfitech_core::confirmation::ConfirmationError;
use bitfitech_core::exchange::{InvalidError, Output};
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::{SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, Body, Half, OPERATION_VERSION, Place, Verified};
use bitfitech_core::types::{HybridTime, Lots, MarketIndex, Now, OpId, OrderId, Ticks};
use bitfitech_core::view::{OrderRow, TradeStatus};
use ed25519_zebra::SigningKey;

use crate::facts::Facts;
use crate::network::{BEGIN_MS, Node, author_of, genesis, new_node, source};

/// The table.
pub struct Table {
    genesis: Genesis,
    node: Node,
    written: Vec<Verified>,
    /// The last operation of every author.
    heads: BTreeMap<u8, Verified>,
}

impl Table {
    pub fn new() -> Self {
        let genesis = genesis("table");
        Self {
            node: new_node(&genesis, &SigningKey::from([255; 32])),
            genesis,
            written: Vec::new(),
            heads: BTreeMap::new(),
        }
    }

    /// An operation that continues an author's chain.
    fn sign(&self, author: u8, at_ms: u64, refs: &[OpId], actions: Vec<Action>) -> Verified {
        let key = SigningKey::from([author; 32]);
        let prev = self.heads.get(&author);
        let body = Body {
            version: OPERATION_VERSION,
            author: author_of(&key),
            seq: prev.map_or(0, |prev| prev.body().seq + 1),
            prev: prev.map(|prev| prev.id()),
            time: HybridTime::from_unix_ms(BEGIN_MS + at_ms),
            refs: refs.to_vec(),
            checkpoint: 0,
            actions,
        };
        Verified::sign(body, &key, &self.genesis, &self.genesis.digest()).expect("well-formed")
    }

    /// Hands an operation to the node; what it finds wrong with it.
    fn submit(&mut self, operation: &Verified) -> Option<InvalidError> {
        let now = Now {
            monotonic_ms: 0,
            unix_ms: BEGIN_MS + 1_000_000,
        };
        self.node.receive(now, source(0), vec![operation.clone()]);
        self.node.handle_tick(now);
        let mut refused = None;
        while let Some(output) = self.node.poll_output() {
            if let Output::Invalid { error, .. } = output {
                refused = Some(error);
            }
        }
        refused
    }

    /// An author writes an operation.
    pub fn write(&mut self, author: u8, at_ms: u64, refs: &[OpId], actions: Vec<Action>) -> OpId {
        let operation = self.sign(author, at_ms, refs, actions);
        assert_eq!(self.submit(&operation), None);
        let id = operation.id();
        assert!(self.node.dag().find(&id).is_some(), "something is missing");
        self.heads.insert(author, operation.clone());
        self.written.push(operation);
        let scratch = Facts::from_scratch(&self.written, &self.genesis);
        assert_eq!(Facts::of(self.node.replica()), scratch);
        id
    }

    /// An author writes so many operations that say nothing, one each millisecond.
    pub fn write_heartbeats(&mut self, author: u8, from_ms: u64, count: usize) {
        for at_ms in (from_ms..).take(count) {
            let operation = self.sign(author, at_ms, &[], Vec::new());
            assert_eq!(self.submit(&operation), None);
            self.heads.insert(author, operation.clone());
            self.written.push(operation);
        }
    }

    /// An author writes an operation that places one order; that order.
    pub fn place(&mut self, author: u8, at_ms: u64, action: Action) -> OrderId {
        OrderId::new(&self.write(author, at_ms, &[], vec![action]), 0)
    }

    /// Whether an operation of an author that promises something is applied.
    pub fn may_write(
        &mut self,
        author: u8,
        at_ms: u64,
        refs: &[OpId],
        actions: Vec<Action>,
    ) -> bool {
        let operation = self.sign(author, at_ms, refs, actions);
        match self.submit(&operation) {
            None => self.node.dag().find(&operation.id()).is_some(),
            Some(InvalidError::Confirmation(ConfirmationError::Quantity)) => false,
            Some(other) => panic!("{other:?}"),
        }
    }

    /// An author writes an operation that nobody may apply; why.
    pub fn refused(
        &mut self,
        author: u8,
        at_ms: u64,
        refs: &[OpId],
        actions: Vec<Action>,
    ) -> ConfirmationError {
        let operation = self.sign(author, at_ms, refs, actions);
        let verdict = self.submit(&operation);
        assert!(self.node.dag().find(&operation.id()).is_none(), "applied");
        match verdict {
            Some(InvalidError::Confirmation(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Forks a chain: what its author writes next follows this.
    pub fn fork(&mut self, author: u8, after: &OpId) {
        let branch = self.written.iter().find(|other| other.id() == *after);
        let branch = branch.expect("it was written").clone();
        self.heads.insert(author, branch);
    }

    /// The operation that made an order.
    pub fn operation_of(&self, order: &OrderId) -> OpId {
        let made = self
            .written
            .iter()
            .find(|other| other.id().stem() == order.stem());
        made.expect("it was written").id()
    }

    pub fn facts(&self) -> Facts {
        Facts::of(self.node.replica())
    }

    pub fn order(&self, id: &OrderId) -> OrderRow {
        self.facts().order(id).clone()
    }

    /// The trades of two orders: how much, and whether it is final.
    pub fn trades_of(&self, first: &OrderId, second: &OrderId) -> Vec<(u64, TradeStatus)> {
        let facts = self.facts();
        let of_pair = facts
            .trades
            .iter()
            .filter(|row| [(row.buy, row.sell), (row.sell, row.buy)].contains(&(*first, *second)));
        of_pair.map(|row| (row.quantity.0, row.status)).collect()
    }
}

/// A limit order with other instructions.
pub fn instructed(order: Action, time_in_force: TimeInForce, self_trade: SelfTrade) -> Action {
    let Action::Place(place) = order else {
        panic!("a limit order is placed");
    };
    Action::Place(Place {
        time_in_force,
        self_trade,
        ..place
    })
}

/// A half of a trade in the first market.
pub fn half(own: OrderId, other: OrderId, piece: u32, quantity: u64, price: u64) -> Action {
    Action::Confirm(Half {
        market: MarketIndex(0),
        own,
        other,
        piece,
        quantity: Lots(quantity),
        price: Ticks(price),
    })
}

/// A refusal in the first market that takes the own half back.
pub fn release(own: OrderId, other: OrderId) -> Action {
    Action::Release {
        market: MarketIndex(0),
        own,
        other,
    }
}

/// A refusal in the first market.
pub fn decline(own: OrderId, other: OrderId) -> Action {
    Action::Decline {
        market: MarketIndex(0),
        own,
        other,
    }
}
