//! 4: places in the total order grow along `prev` and refs, and so do times.

use bitfitech_core::dag::OpIndex;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in evidence.sample() {
        let Some(node) = host.node() else {
            continue;
        };
        let dag = node.exchange().dag();
        for (number, operation) in (0..).zip(host.disk().records()) {
            let at = OpIndex(number);
            let body = operation.body();
            let ancestors = body.prev.iter().chain(&body.refs);
            let is_before = |ancestor| {
                let found: Option<OpIndex> = dag.find(ancestor);
                found.is_some_and(|ancestor| {
                    ancestor < at
                        && dag.position(ancestor) < dag.position(at)
                        && dag.time(ancestor) < dag.time(at)
                })
            };
            if !ancestors.into_iter().all(is_before) {
                let (host, id) = (host.index(), operation.id().short());
                findings.add(
                    "causality",
                    &format!("{id} on host {host} is before an ancestor"),
                );
            }
        }
    }
}
