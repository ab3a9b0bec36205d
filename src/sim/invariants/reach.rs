//! 15: every operation of an honest author reaches every honest host, whatever liars do.

use std::collections::BTreeSet;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    // Who has the set of one that lacks nothing lacks nothing either.
    let mut whole = BTreeSet::new();
    for host in &evidence.hosts {
        let Some(node) = host.node() else {
            continue;
        };
        let dag = node.exchange().dag();
        let set = (evidence.digests[&host.index()].set.0, dag.len());
        if whole.contains(&set) {
            continue;
        }
        let honest = evidence.tally.spread.keys();
        let missing = honest.filter(|id| dag.find(id).is_none()).count();
        if missing == 0 {
            whole.insert(set);
            continue;
        }
        let host = host.index();
        findings.add(
            "reach",
            &format!("{missing} operations of honest authors never reached host {host}"),
        );
    }
}
