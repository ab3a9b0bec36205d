//! 20: no honest node is ever proven a forker.

use std::collections::BTreeSet;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let honest: BTreeSet<_> = evidence.hosts.iter().map(|host| host.author()).collect();
    for host in &evidence.hosts {
        let Some(node) = host.node() else {
            continue;
        };
        let forkers = node.exchange().dag().forkers();
        for author in forkers.filter(|author| honest.contains(author)) {
            let (author, host) = (author.short(), host.index());
            findings.add(
                "forks",
                &format!("host {host} holds honest {author} for a forker"),
            );
        }
    }
}
