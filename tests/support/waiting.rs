//! Waiting for a condition with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition that involves several processes may take. Generous: continuous integration
/// shares two cores between everything, and a test that passes never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition. Short against what a person notices, long against the cost of
/// a look.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks until there is an answer; `None` after the deadline.
pub fn look_until<T>(deadline: Instant, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Waits until the condition holds.
///
/// # Panics
/// With `what` when it does not hold within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let held = look_until(Instant::now() + PATIENCE, || condition().then_some(()));
    assert!(
        held.is_some(),
        "after {PATIENCE:?} still waiting until {what}"
    );
}
