//! 14: what is applied is canonical, of this network, and truly signed.

use bitfitech_core::op::Operation;
use bitfitech_core::signature;

use super::{Evidence, Findings};
use crate::tally::ByOperation;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut wires = ByOperation::default();
    for host in &evidence.hosts {
        let records = host.disk().records().iter();
        wires.extend(records.map(|operation| (operation.id(), operation.wire())));
    }
    let mut wires: Vec<_> = wires.into_iter().collect();
    wires.sort_unstable();
    let (genesis, digest) = (&evidence.world.genesis, &evidence.world.digest);
    let mut readable = Vec::with_capacity(wires.len());
    for (id, wire) in wires {
        match Operation::decode(wire, genesis, digest) {
            Ok(operation) if operation.id() == id => readable.push(operation),
            _ => findings.add("forgery", &format!("{} is no operation", id.short())),
        }
    }
    let ids: Vec<_> = readable.iter().map(Operation::id).collect();
    for (verdict, id) in signature::verify(readable).into_iter().zip(ids) {
        if let Err(error) = verdict {
            findings.add("forgery", &format!("{} was applied: {error}", id.short()));
        }
    }
}
