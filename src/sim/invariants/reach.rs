//! 15: every operation of an honest author reaches every honest host, whatever liars do.
//!
//! Where hosts go back to old copies of their disks, what nobody else had heard of is lost.

use std::collections::BTreeSet;

use bitfitech_core::types::OpId;

use super::{Evidence, Findings};
use crate::world::Comeback;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut plans = evidence.world.plans.iter();
    let forgets = plans.any(|plan| plan.comeback == Comeback::OldCopy);
    let nodes = || evidence.hosts.iter().filter_map(|host| host.node());
    let is_anywhere = |id: &OpId| nodes().any(|it| it.exchange().dag().find(id).is_some());
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
        let missing = evidence.tally.spread.keys().filter(|id| {
            let is_lost = forgets && !is_anywhere(id);
            dag.find(id).is_none() && !is_lost
        });
        let missing = missing.count();
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
