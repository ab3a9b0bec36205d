//! What must be equal where the sets of operations are equal, and nothing that need not be.

use std::collections::BTreeSet;

use bitfitech_core::confirmation::Confirmations;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::{Engine, Level, Oracle};
use bitfitech_core::op::Verified;
use bitfitech_core::replica::{Replica, ReplicaDigests};
use bitfitech_core::types::{MarketIndex, OpId, OrderId, Side};
use bitfitech_core::view::{Change, OrderRow, TradeRow};

use crate::network::MARKETS;

/// All markets.
pub fn markets() -> impl Iterator<Item = MarketIndex> {
    (0..MARKETS).map(MarketIndex)
}

/// Everything that follows from a set of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Of the books, the trades and the orders.
    pub digests: ReplicaDigests,
    /// Bids and asks of each market.
    pub levels: Vec<[Vec<Level>; 2]>,
    /// The trades of all markets in order, without what only this node knows.
    pub trades: Vec<TradeRow>,
    /// All orders, without what only this node knows.
    pub orders: Vec<OrderRow>,
}

impl Facts {
    /// The facts that a replica stands for.
    pub fn of<E: Engine>(replica: &Replica<E>) -> Self {
        let levels =
            |market| [Side::Buy, Side::Sell].map(|side| replica.levels(market, side, usize::MAX));
        let orders = replica.orders_between(OrderId::default(), OrderId([0xff; 32]));
        Self {
            digests: replica.digests(),
            levels: markets().map(levels).collect(),
            trades: trades(replica),
            orders: orders.map(|row| OrderRow { late_ms: 0, ..row }).collect(),
        }
    }

    /// The facts that follow from operations, computed in one go.
    pub fn from_scratch(operations: &[Verified], genesis: &Genesis) -> Self {
        let engines = markets().map(|_| Oracle::new());
        let mut replica = Replica::new(genesis, &[7; 32], engines);
        let mut confirmations = Confirmations::new(genesis);
        let mut pairs = BTreeSet::new();
        for operation in operations {
            let index = replica.insert(operation, 0);
            let touched = confirmations.insert(operation, index, replica.dag());
            pairs.extend(touched.into_iter().map(|(market, pair, _)| (market, pair)));
        }
        for (market, pair) in pairs {
            let terms = confirmations.terms(&pair, replica.dag());
            replica.stage_terms(market, pair, terms, OpId::default());
        }
        replica.merge_all();
        Self::of(&replica)
    }

    /// The order with this id.
    pub fn order(&self, id: &OrderId) -> &OrderRow {
        let found = self.orders.iter().find(|row| row.order == *id);
        found.expect("every trade is between orders that are there")
    }
}

/// The trades of a replica in order, as if each had been reported once.
fn trades<E: Engine>(replica: &Replica<E>) -> Vec<TradeRow> {
    let changes = replica.snapshot();
    changes
        .filter_map(|change| match change {
            Change::Trade { trade, .. } => Some(TradeRow {
                revision: 1,
                ..trade.row()
            }),
            Change::Order { .. } | Change::OrderGone(_) => None,
        })
        .collect()
}
