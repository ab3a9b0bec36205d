//! 22: after healing and quiet, every tentative trade of an honest node has become final or was
//! refused, and nothing of its orders stays withheld.
//!
//! Between two honest owners nothing may be left. What an honest owner withholds for somebody who
//! fell silent stays withheld until that one is heard again: it can be answered to this day. Whether
//! it can is found out here from the operations, not from what the node believes.

use std::collections::{BTreeMap, BTreeSet};

use bitfitech_core::types::{AuthorKey, OrderId};
use bitfitech_core::view::{Change, TradeStatus};

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
    let owner = |order: &OrderId| dag.find_order(order).map(|at| dag.key(dag.author(at)));
    let is_honest = |order: &OrderId| owner(order).is_some_and(|it| honest.contains(&it));
    let mut faults = Vec::new();
    for change in exchange.replica().snapshot() {
        let Change::Trade { row, .. } = change else {
            continue;
        };
        let concerns = is_honest(&row.buy) || is_honest(&row.sell);
        if row.status != TradeStatus::Final && concerns {
            faults.push(format!("trade {} is still tentative", row.trade.short()));
        }
    }
    let latest_ms = latest_times(host);
    let confirmations = exchange.confirmations();
    for pair in confirmations.pairs() {
        let terms = confirmations.terms(&pair, dag);
        for (own, other) in [(pair.low, pair.high), (pair.high, pair.low)] {
            if terms.half_of(&pair, &own).0 == 0 || !is_honest(&own) {
                continue;
            }
            let halves = confirmations.halves(&own, &other).iter();
            let until_ms = halves.map(|half| confirmations.answer_until_ms(half)).max();
            let heard_ms = owner(&other).and_then(|it| latest_ms.get(&it).copied());
            if is_honest(&other) || heard_ms > until_ms {
                faults.push(format!("{} is withheld for {}", own.short(), other.short()));
            }
        }
    }
    faults
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
