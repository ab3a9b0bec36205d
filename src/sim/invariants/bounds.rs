//! 16: every buffer stays within its bound.

use bitfitech_core::delivery::{PARKED_MAX, WAITING_MAX};

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in &evidence.hosts {
        let Some(node) = host.node() else {
            continue;
        };
        let delivery = node.exchange().delivery();
        let seen_max = 2 * evidence.world.node_config.gossip.seen.generation_max;
        let sizes = [
            ("operations that wait", delivery.waiting_len(), WAITING_MAX),
            ("parked operations", delivery.parked_len(), PARKED_MAX),
            ("remembered ids", node.gossip().seen_len(), seen_max),
        ];
        for (what, size, size_max) in sizes {
            if size > size_max {
                let host = host.index();
                findings.add("bounds", &format!("host {host} has {size} {what}"));
            }
        }
    }
}
