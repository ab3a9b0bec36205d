//! 22: after healing and quiet, every tentative trade of an honest node has become final or was
//! refused, and nothing of its orders stays withheld.
//!
//! For an honest owner nothing may be left withheld, whoever withholds it: he frees it. What an
//! honest owner withholds for somebody who fell silent stays withheld until that one is heard
//! again, for he may have answered in time. Whether he may is found out here from the operations,
//! not from what the node believes. But the owner refuses the pair then, which may take the other
//! order out of all books and so make trades: what he has not refused yet is not settled.

use std::collections::{BTreeMap, BTreeSet};

use bitfitech_core::types::{AuthorKey, OrderId, Side};
use bitfitech_core::view::{Change, TradeRow, TradeStatus};

use super::{Evidence, Findings};
use crate::host::Host;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let honest = evidence.world.honest_authors();
    for host in evidence.sample() {
        for fault in faults(host, &honest) {
            let host = host.index();
            findings.add("settled", &format!("{fault}, as host {host} sees it"));
        }
    }
}

/// What is not settled, as a host sees it.
pub(crate) fn faults(host: &Host, honest: &BTreeSet<AuthorKey>) -> Vec<String> {
    let Some(node) = host.node() else {
        return Vec::new();
    };
    let exchange = node.exchange();
    let dag = exchange.dag();
    let owner = |order: &OrderId| dag.author_of_order(order);
    let is_honest = |order: &OrderId| owner(order).is_some_and(|it| honest.contains(&it));
    let mut faults = Vec::new();
    for change in exchange.replica().snapshot() {
        let Change::Trade { trade, .. } = change else {
            continue;
        };
        let concerns = is_honest(&trade.buy) || is_honest(&trade.sell);
        if trade.status != TradeStatus::Final && concerns {
            faults.push(tentative(host, &trade.row(), is_honest));
        }
    }
    let latest_ms = latest_times(host);
    let confirmations = exchange.confirmations();
    for pair in confirmations.pairs(dag) {
        let terms = confirmations.terms(&pair, dag);
        for (own, other) in [(pair.low, pair.high), (pair.high, pair.low)] {
            if terms.half_of(&pair, &own).0 == 0 || !(is_honest(&own) || is_honest(&other)) {
                continue;
            }
            let halves = confirmations.halves(&own, &other, dag);
            let until_ms = halves
                .iter()
                .map(|half| confirmations.answer_until_ms(half));
            let until_ms = until_ms.max();
            let heard_ms = owner(&other).and_then(|it| latest_ms.get(&it).copied());
            let is_refused = confirmations.has_refused(&own, &other, dag);
            if is_honest(&other) || heard_ms > until_ms || !is_refused {
                faults.push(format!("{} is withheld for {}", own.name(), other.name()));
            }
        }
    }
    faults
}

/// What is known of a trade that is not settled.
fn tentative(host: &Host, row: &TradeRow, is_honest: impl Fn(&OrderId) -> bool) -> String {
    let (maker, taker) = match row.taker {
        Side::Buy => (row.sell, row.buy),
        Side::Sell => (row.buy, row.sell),
    };
    let side = |own: &OrderId, other: &OrderId| {
        let halves = host.node().map_or(0, |node| {
            let (exchange, confirmations) = (node.exchange(), node.exchange().confirmations());
            confirmations.halves(own, other, exchange.dag()).len()
        });
        let kind = match (is_honest(own), host.is_forked(own)) {
            (true, _) => "honest",
            (false, true) => "forked",
            (false, false) => "lying",
        };
        format!("{kind} {} with {halves} halves", own.name())
    };
    let (trade, maker, taker) = (
        row.trade.short(),
        side(&maker, &taker),
        side(&taker, &maker),
    );
    format!("trade {trade} is still tentative, maker {maker}, taker {taker}")
}

/// The latest time of each author's operations.
fn latest_times(host: &Host) -> BTreeMap<AuthorKey, u64> {
    let mut latest_ms = BTreeMap::new();
    for operation in host.disk().records() {
        let body = operation.body();
        let known_ms: &mut u64 = latest_ms.entry(body.author).or_default();
        *known_ms = (*known_ms).max(body.time.unix_ms());
    }
    latest_ms
}
