//! 1: equal sets of operations give equal bytes of book, trades and order statuses.

use std::collections::BTreeMap;

use super::{Evidence, Findings, difference};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut by_set = BTreeMap::new();
    for (host, digests) in &evidence.digests {
        let (first_host, first) = by_set.entry(digests.set).or_insert((*host, *digests));
        if first != digests {
            let what = difference(first, digests);
            findings.add(
                "equal sets",
                &format!("hosts {first_host} and {host} have the same set and other {what}"),
            );
        }
    }
}
