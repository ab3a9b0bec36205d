//! 9: the book is never crossed.
//!
//! A bid at or above the best ask would have traded with it when the later of the two came.

use bitfitech_core::types::{MarketIndex, Side};

use super::{Books, Findings};

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    let Some(node) = books.host.node() else {
        return;
    };
    let exchange = node.exchange();
    for at in 0..exchange.genesis().markets.len() {
        let market = MarketIndex(at as u16);
        let best = |side| {
            exchange
                .replica()
                .levels(market, side, 1)
                .first()
                .map(|it| it.price)
        };
        let (bid, ask) = (best(Side::Buy), best(Side::Sell));
        if bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask) {
            let host = books.host.index();
            findings.add(
                "crossed",
                &format!("market {at} on host {host}: {bid:?} and {ask:?}"),
            );
        }
    }
}
