//! 13: nobody trades with himself.
//!
//! Orders say whose they are, so each trade is looked up from both of its ends.

use super::{Books, Findings};

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    for trade in &books.trades {
        let author = |order| books.orders.get(order).map(|row| row.author);
        if author(&trade.buy) == author(&trade.sell) {
            let (host, trade) = (books.host.index(), trade.trade.short());
            findings.add(
                "self-trade",
                &format!("trade {trade} on host {host} has one owner"),
            );
        }
    }
}
