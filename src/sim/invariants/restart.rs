//! 17: what is on the disk gives the same state again.

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Book;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in evidence.sample() {
        let genesis = evidence.world.genesis.clone();
        let key = evidence.world.key(host.index());
        let mut exchange = Exchange::new(genesis, key, Book::new);
        let mut records = host.disk().records().iter();
        let restored = records.try_for_each(|operation| exchange.restore(operation.wire()));
        let is_same = evidence.digests.get(&host.index()) == Some(&exchange.digests());
        if restored.is_err() || !is_same {
            let host = host.index();
            findings.add(
                "restart",
                &format!("the disk of host {host} gives other books"),
            );
        }
    }
}
