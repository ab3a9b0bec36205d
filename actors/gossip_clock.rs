//! What the operator is told of clocks.
//!
//! The machine of the core (`median_clock`) decides whose clock counts. A wrong clock shows as
//! orders that come late, and nobody thinks of a clock then: so each cause is said once, with its
//! size.

use bitfitech_core::median_clock::{CLOCK_TOLERANCE_MS, ClockChange};
use bitfitech_core::types::AuthorKey;

/// A median needs three peers; whoever has fewer must learn in another way why orders are late.
pub(crate) fn warn_of_clock(peer: &AuthorKey, ahead_ms: i64) {
    if ahead_ms.unsigned_abs() > CLOCK_TOLERANCE_MS {
        tracing::warn!(
            target: "gossip",
            "the clock of {} is {ahead_ms} ms ahead of this machine's (negative: behind): what is \
             dated ahead waits until its time; check both clocks",
            peer.short()
        );
    }
}

/// Tells of a change of whose clock counts.
pub(crate) fn log_clock(change: Option<ClockChange>) {
    match change {
        None => {}
        Some(ClockChange::Off { median_offset_ms }) => tracing::warn!(
            target: "gossip",
            "the clock of this machine is {median_offset_ms} ms behind the median of its peers \
             (negative: ahead): their time is used; check the clock"
        ),
        Some(ClockChange::Trusted) => {
            tracing::info!(target: "gossip", "the clock of this machine agrees with its peers");
        }
    }
}
