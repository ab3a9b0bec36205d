//! 8: no order trades more than its quantity, and the tape says what the orders say.

use std::collections::BTreeMap;

use super::{Books, Findings};

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    let mut traded = BTreeMap::new();
    for trade in &books.trades {
        for order in [trade.buy, trade.sell] {
            *traded.entry(order).or_insert(0) += trade.quantity.0;
        }
    }
    for row in books.orders.values() {
        let traded = traded.remove(&row.order).unwrap_or(0);
        if row.filled.0 != traded || traded > row.quantity.0 {
            let (host, order) = (books.host.index(), row.order.short());
            let (filled, quantity) = (row.filled.0, row.quantity.0);
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
            &format!("{} trades and does not exist", order.short()),
        );
    }
}
