//! 15: every operation of an honest author reaches every honest host, whatever liars do.

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in &evidence.hosts {
        let Some(node) = host.node() else {
            continue;
        };
        let dag = node.exchange().dag();
        let honest = evidence.tally.spread.keys();
        let missing = honest.filter(|id| dag.find(id).is_none()).count();
        if missing > 0 {
            let host = host.index();
            findings.add(
                "reach",
                &format!("{missing} operations of honest authors never reached host {host}"),
            );
        }
    }
}
