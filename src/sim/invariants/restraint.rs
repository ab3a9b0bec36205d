//! An honest node writes by itself only now and then, whatever others do to it.
//!
//! Heartbeats are for every third of a lease, for orders that are overdue, for halves that passed
//! unanswered, and for what a half leans on. A node that writes them without end floods everyone.

use super::{Evidence, Findings};

/// Heartbeats of one author within [`SPAN_MS`]: many times what troubles make.
const HEARTBEATS_MAX: usize = 50;

/// In milliseconds.
const SPAN_MS: u64 = 1_000;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in &evidence.hosts {
        let own = host
            .disk()
            .records()
            .iter()
            .map(|operation| operation.body());
        let own = own.filter(|body| body.author == host.author() && body.actions.is_empty());
        let times_ms: Vec<u64> = own.map(|body| body.time.unix_ms()).collect();
        let is_flood = |times_ms: &[u64]| {
            let (first_ms, last_ms) = (times_ms[0], times_ms[HEARTBEATS_MAX]);
            last_ms < first_ms + SPAN_MS
        };
        if times_ms.windows(HEARTBEATS_MAX + 1).any(is_flood) {
            let (host, count) = (host.index(), times_ms.len());
            let text = format!("host {host} wrote {count} heartbeats, many of them at once");
            findings.add("restraint", &text);
        }
    }
}
