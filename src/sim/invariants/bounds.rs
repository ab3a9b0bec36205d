//! 16: every buffer stays within its bound.

use bitfitech_core::delivery::{PARKED_MAX, WAITING_MAX};
use bitfitech_core::gossip::MISSING_MAX;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in &evidence.hosts {
        let Some(node) = host.node() else {
            continue;
        };
        let delivery = node.exchange().delivery();
        let config = evidence.world.node_config.gossip;
        let seen_max = 2 * config.seen.generation_max;
        let (recent, missing) = node.gossip().recent_and_missing_len();
        let sizes = [
            ("operations that wait", delivery.waiting_len(), WAITING_MAX),
            ("parked operations", delivery.parked_len(), PARKED_MAX),
            ("remembered ids", node.gossip().seen_len(), seen_max),
            ("trees", node.gossip().trees_len(), 2 * config.trees_max),
            ("operations kept for grafts", recent, config.recent_max),
            ("announced operations", missing, MISSING_MAX),
        ];
        for (what, size, size_max) in sizes {
            if size > size_max {
                let host = host.index();
                findings.add("bounds", &format!("host {host} has {size} {what}"));
            }
        }
    }
}
