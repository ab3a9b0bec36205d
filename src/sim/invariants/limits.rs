//! 10: fills are within both limits.
//!
//! The price is the maker's, so his limit is met by equality, and the taker's must accept it.

use bitfitech_core::types::Side;

use super::{Books, Findings};

pub(super) fn check(books: &Books<'_>, findings: &mut Findings) {
    for trade in &books.trades {
        let within = |order, side: Side| {
            let row = books.orders.get(order);
            row.is_some_and(|row| {
                row.side == side
                    && row
                        .price
                        .is_none_or(|limit| side.accepts(limit, trade.price))
            })
        };
        if !within(&trade.buy, Side::Buy) || !within(&trade.sell, Side::Sell) {
            let (host, trade) = (books.host.index(), trade.trade.short());
            findings.add(
                "limits",
                &format!("trade {trade} on host {host} is beyond a limit"),
            );
        }
    }
}
