//! What liars who trade have in common: a chain with orders, and the trades that these make.

use std::collections::BTreeSet;

use bitfitech_core::op::{Action, Half, Verified};
use bitfitech_core::types::OrderId;
use bitfitech_core::view::{Change, TradeStatus};

use super::{Chain, Liar};
use crate::random::Random;

/// Orders of one chain that are looked after.
const ORDERS_MAX: usize = 16;

/// A chain that trades.
pub(super) struct Trader {
    pub(super) chain: Chain,
    orders: BTreeSet<OrderId>,
}

impl Trader {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            chain: Chain::new(random),
            orders: BTreeSet::new(),
        }
    }

    /// Writes an operation now.
    pub(super) fn write(&mut self, liar: &Liar<'_>, actions: Vec<Action>) -> Verified {
        let body = self.chain.next(liar.now.unix_ms, Vec::new(), actions);
        self.chain.append(liar.world, body)
    }

    /// Places an order that everyone sees, unless there are enough.
    pub(super) fn place(&mut self, liar: &mut Liar<'_>) {
        if self.orders.len() < ORDERS_MAX {
            let order = liar.order();
            let operation = self.write(liar, vec![order]);
            self.orders.insert(OrderId::new(&operation.id(), 0));
            liar.push_to_all(&operation);
        }
    }

    /// The halves that would confirm what the node shows of the own orders and is not final.
    pub(super) fn halves(&self, liar: &Liar<'_>) -> Vec<Half> {
        let replica = liar.node.exchange().replica();
        let mut halves = Vec::new();
        for change in replica.snapshot() {
            let Change::Trade { trade: row, .. } = change else {
                continue;
            };
            let pairs = [(row.buy, row.sell), (row.sell, row.buy)];
            let pair = pairs.into_iter().find(|(own, _)| self.orders.contains(own));
            let Some((own, other)) = pair.filter(|_| row.status != TradeStatus::Final) else {
                continue;
            };
            let shown = replica.shown_trade(row.market, &own, &other);
            halves.extend(shown.filter(|shown| shown.piece == 0).map(|shown| Half {
                market: row.market,
                own,
                other,
                piece: 0,
                quantity: shown.quantity,
                price: shown.price,
            }));
        }
        halves
    }
}
