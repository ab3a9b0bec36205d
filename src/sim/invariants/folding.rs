//! 6: folding the events of a node gives its tape and its orders.

use super::{Books, Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in &evidence.hosts {
        let Some(board) = &host.board else {
            continue;
        };
        let books = Books::of(host);
        let orders_agree = board.order_count() == books.orders.len()
            && books
                .orders
                .values()
                .all(|row| board.order(&row.order) == Some(row));
        let markets = evidence.world.genesis.markets.len();
        let folded: Option<usize> = (0..markets)
            .map(|at| {
                let market = bitfitech_core::types::MarketIndex(at as u16);
                board.trades(market, usize::MAX).map(|trades| trades.len())
            })
            .sum();
        if !orders_agree || folded != Some(books.trades.len()) {
            let host = host.index();
            findings.add(
                "folding",
                &format!("the events of host {host} do not add up"),
            );
        }
    }
}
