//! 5: what an honest node has shown as final is final on all of them in the end, and as it was.
//!
//! A forker's second branch may raise a quantity. What is taken back on one node while it runs is
//! found by [`crate::host`].

use std::collections::BTreeMap;

use bitfitech_core::types::TradeId;
use bitfitech_core::view::TradeStatus;

use super::{Books, Evidence, Findings};
use crate::finals::FinalTrade;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for trade in lost(evidence) {
        findings.add(
            "finals",
            &format!("final trade {} was lost", trade.trade.short()),
        );
    }
}

/// Final trades that were shown and are no longer there, or are otherwise.
pub(crate) fn lost<'a>(evidence: &Evidence<'a>) -> Vec<&'a FinalTrade> {
    let books = evidence.sample().map(Books::of);
    let final_now: Vec<_> = books
        .map(|books| (final_trades(&books), books.host))
        .collect();
    let stands = |trade: &&FinalTrade| {
        final_now.iter().all(|(finals, host)| {
            let now = finals.get(&trade.trade);
            now.is_some_and(|now| {
                let is_raised = now.quantity > trade.quantity && now.price == trade.price;
                now == *trade || is_raised && host.is_of_forker(trade)
            })
        })
    };
    let shown = evidence.tally.finals.trades();
    shown.filter(|trade| !stands(trade)).collect()
}

fn final_trades(books: &Books<'_>) -> BTreeMap<TradeId, FinalTrade> {
    let is_final = |status| status == TradeStatus::Final;
    let rows = books.trades.iter().filter(|row| is_final(row.status));
    rows.map(|row| (row.trade, FinalTrade::of(row))).collect()
}
