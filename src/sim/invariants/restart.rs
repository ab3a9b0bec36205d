//! 17: what is on the disk gives the same state again.

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Book;

use super::{Evidence, Findings, difference};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in evidence.sample() {
        let genesis = evidence.world.genesis.clone();
        let key = evidence.world.key(host.index());
        let mut exchange = Exchange::new(genesis, key, Book::new);
        let mut records = host.disk().records().iter();
        let restored = records.try_for_each(|operation| exchange.restore(operation.wire()));
        let host = host.index();
        if let Err(error) = restored {
            findings.add("restart", &format!("the disk of host {host}: {error}"));
            continue;
        }
        let restarted = exchange.digests();
        if let Some(digests) = evidence.digests.get(&host).filter(|it| **it != restarted) {
            let what = difference(digests, &restarted);
            findings.add(
                "restart",
                &format!("the disk of host {host} gives other {what}"),
            );
        }
    }
}
