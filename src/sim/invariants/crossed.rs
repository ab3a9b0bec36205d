//! 9: the free book is never crossed, but between orders that do not meet.
//!
//! A bid at or above an ask would have traded with it when the later of the two came, unless one
//! owner has refused the other's order, or all that is left of one of them is withheld.

use bitfitech_core::types::{OrderId, Side};
use bitfitech_core::view::OrderRow;

use super::{Books, Findings};
use crate::host::SimNode;

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    let Some(node) = books.host.node() else {
        return;
    };
    let rests = |row: &&OrderRow| row.ended.is_none() && free(node, row) > 0;
    let resting: Vec<&OrderRow> = books.orders.values().filter(rests).collect();
    let asks = resting.iter().filter(|row| row.side == Side::Sell);
    for ask in asks {
        let bids = resting.iter().filter(|row| row.side == Side::Buy);
        let met = bids.filter(|bid| bid.market == ask.market && bid.price >= ask.price);
        for bid in met.filter(|bid| meets(node, &bid.order, &ask.order)) {
            let (host, bid, ask) = (books.host.index(), bid.order.name(), ask.order.name());
            findings.add(
                "crossed",
                &format!("bid {bid} and ask {ask} on host {host}"),
            );
        }
    }
}

/// What of an order is left and promised to nobody.
fn free(node: &SimNode, row: &OrderRow) -> u64 {
    let exchange = node.exchange();
    let confirmations = exchange.confirmations();
    let withheld = confirmations
        .partners(&row.order, exchange.dag())
        .map(|other| {
            let pair = bitfitech_core::confirmation::OrderPair::new(row.order, other);
            let terms = confirmations.terms(&pair, exchange.dag());
            terms.half_of(&pair, &row.order).0
        });
    row.remaining().0.saturating_sub(withheld.sum())
}

/// Whether neither owner has refused the other's order.
fn meets(node: &SimNode, one: &OrderId, other: &OrderId) -> bool {
    let exchange = node.exchange();
    let directed = [(one, other), (other, one)];
    directed.iter().all(|(own, other)| {
        let confirmations = exchange.confirmations();
        !confirmations.has_refused(own, other, exchange.dag())
    })
}
