//! Every planted bug is found, and by the invariant that is there for it.

use bitfitech_sim::canaries;
use bitfitech_sim::config::Config;
use bitfitech_sim::event::MS;

use crate::{run, small};

/// The invariants of which one has to find a canary.
const FOUND_BY: [(&str, &[&str]); 10] = [
    ("arrival-tie", &["equal sets", "from scratch"]),
    ("lost-undo", &["equal sets", "from scratch", "panic"]),
    ("skipped-signature", &["forgery"]),
    ("dropped-operation", &["reach"]),
    ("forgotten-park", &["while it ran"]),
    ("forgotten-chain", &["forks"]),
    ("forgotten-release", &["while it ran: bound"]),
    ("forgotten-return", &["equal sets", "from scratch"]),
    ("greedy-promise", &["confirming"]),
    ("lost-final", &["finals", "while it ran"]),
];

#[test]
fn every_planted_bug_is_found() {
    assert_eq!(canaries::NAMES.len(), FOUND_BY.len());
    for (name, invariants) in FOUND_BY {
        let canary = canaries::find(name);
        assert!(canary.is_some(), "there is no canary {name}");
        let report = run(Config {
            canary,
            patience_us: 150_000 * MS,
            ..small("steady", 1)
        });
        let text = report.text();
        assert!(!report.is_good(), "{name} was not found\n{text}");
        let is_by = |violation: &String| invariants.iter().any(|it| violation.starts_with(it));
        assert!(report.violations.iter().any(is_by), "{name}\n{text}");
        assert!(report.command().contains(&format!("--canary {name}")));
    }
}
