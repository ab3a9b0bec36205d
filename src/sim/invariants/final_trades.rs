//! 5: what an honest node has shown as final is final on all of them in the end, and as it was.
//!
//! A forker's second branch may raise a quantity. What is taken back on one node while it runs is
//! found by [`crate::host`]. Where an owner went back to an old copy of his disk, what he had
//! signed and nobody else had heard of is lost, and with it what he alone had shown.

use std::collections::BTreeMap;

use bitfitech_core::op::Action;
use bitfitech_core::types::{Lots, OrderId, TradeId};
use bitfitech_core::view::TradeStatus;

use super::{Books, Evidence, Findings};
use crate::finals::FinalTrade;
use crate::host::Host;
use crate::world::Comeback;

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
    let gone = shown.filter(|trade| !stands(trade));
    gone.filter(|trade| !died_with_a_disk(evidence, trade))
        .collect()
}

/// Whether an owner went back to an old copy and nobody holds what both have signed.
fn died_with_a_disk(evidence: &Evidence<'_>, trade: &FinalTrade) -> bool {
    let went_back = |host: &&Host| {
        let dag = host.node().map(|node| node.exchange().dag());
        let is_own = |order| dag.and_then(|dag| dag.author_of_order(order)) == Some(host.author());
        let is_owner = is_own(&trade.buy) || is_own(&trade.sell);
        is_owner && host.plan(evidence.world).comeback == Comeback::OldCopy
    };
    let hosts = &evidence.hosts;
    hosts.iter().any(went_back) && !hosts.iter().any(|host| holds_both(host, trade))
}

/// Whether a host holds halves of both owners for such a piece of the pair.
fn holds_both(host: &Host, trade: &FinalTrade) -> bool {
    let halves = |own: OrderId, other: OrderId| -> BTreeMap<u32, Lots> {
        let operations = host.disk().records().iter();
        let actions = operations.flat_map(|operation| &operation.body().actions);
        let halves = actions.filter_map(|action| match action {
            Action::Confirm(half) if (half.own, half.other) == (own, other) => Some(half),
            _ => None,
        });
        halves.map(|half| (half.piece, half.quantity)).collect()
    };
    let bought = halves(trade.buy, trade.sell);
    let sold = halves(trade.sell, trade.buy);
    bought.iter().any(|(piece, quantity)| {
        let both = sold.get(piece).map(|other| *other.min(quantity));
        both == Some(trade.quantity)
    })
}

fn final_trades(books: &Books<'_>) -> BTreeMap<TradeId, FinalTrade> {
    let is_final = |status| status == TradeStatus::Final;
    let rows = books.trades.iter().filter(|row| is_final(row.status));
    rows.map(|row| (row.trade, FinalTrade::of(row))).collect()
}
