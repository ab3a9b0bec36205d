//! 12: an honest owner signs no trade with what he learned of after his order was over.
//!
//! The order in which a host has applied operations is that of its disk, but for one that went back
//! to an old copy.

use std::collections::BTreeMap;

use bitfitech_core::dag::OpIndex;
use bitfitech_core::op::Action;
use bitfitech_core::types::OrderId;

use super::{Evidence, Findings};
use crate::host::Host;
use crate::world::Comeback;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let comeback = |host: &Host| host.plan(evidence.world).comeback;
    let hosts = evidence.hosts.iter();
    for host in hosts.filter(|host| comeback(host) == Comeback::Disk) {
        let Some(node) = host.node() else {
            continue;
        };
        let dag = node.exchange().dag();
        let mut over: BTreeMap<OrderId, OpIndex> = BTreeMap::new();
        let own = |at: &OpIndex| dag.key(dag.author(*at)) == host.author();
        for (number, operation) in (0..).zip(host.disk().records()) {
            let at = OpIndex(number);
            if !own(&at) {
                continue;
            }
            for action in &operation.body().actions {
                match action {
                    Action::Cancel { order, .. } | Action::Replace { order, .. } => {
                        over.entry(*order).or_insert(at);
                    }
                    Action::Confirm(half) => {
                        let other = dag.find_order(&half.other);
                        let ended = over.get(&half.own);
                        if ended.is_some_and(|ended| other > Some(*ended)) {
                            let (host, order) = (host.index(), half.own.name());
                            let text = format!("host {host} spent {order} after its end");
                            findings.add("after end", &text);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
