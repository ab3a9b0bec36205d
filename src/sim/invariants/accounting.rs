//! 8: no order trades more than its quantity, and the tape says what the orders say.
//!
//! The quantity is the one with which the order was made: a reduction does not cut what was signed
//! away. Where an owner or a partner forked his chain, he may have signed away more than there was:
//! both branches count.

use std::collections::BTreeMap;

use bitfitech_core::confirmation::Placements;
use bitfitech_core::types::OrderId;
use bitfitech_core::view::OrderRow;

use super::{Books, Findings};

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    let mut traded: BTreeMap<OrderId, u64> = BTreeMap::new();
    let mut partners: BTreeMap<OrderId, Vec<OrderId>> = BTreeMap::new();
    for trade in &books.trades {
        for (order, partner) in [(trade.buy, trade.sell), (trade.sell, trade.buy)] {
            *traded.entry(order).or_insert(0) += trade.quantity.0;
            partners.entry(order).or_default().push(partner);
        }
    }
    for row in books.orders.values() {
        let traded = traded.remove(&row.order).unwrap_or(0);
        let mut involved = partners.remove(&row.order).unwrap_or_default();
        involved.push(row.order);
        let is_forked = involved.iter().any(|order| books.host.is_forked(order));
        let quantity = original_quantity(books, row);
        if row.filled.0 != traded || (traded > quantity && !is_forked) {
            let (host, order) = (books.host.index(), row.order.name());
            let filled = row.filled.0;
            findings.add(
                "accounting",
                &format!(
                    "order {order} on host {host}: {traded} traded, {filled} filled of {quantity}"
                ),
            );
        }
    }
    for order in traded.keys() {
        findings.add(
            "accounting",
            &format!("{} trades and does not exist", order.name()),
        );
    }
}

fn original_quantity(books: &Books<'_>, row: &OrderRow) -> u64 {
    let node = books.host.node();
    let placement = node.and_then(|node| {
        let replica = node.exchange().replica();
        replica.placement(row.market, &row.order)
    });
    placement.map_or(0, |placement| placement.quantity.0)
}
