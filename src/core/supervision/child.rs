//! One child in the eyes of its supervisor: where it is in its life.

use core::mem;

use super::vocabulary::{ChildSpec, Exit, Restart, Status};

/// What becomes of a child once it is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is started again in its turn; a sibling's failure took it down.
    Again,
    /// It is forgotten.
    Forget,
    /// It stays down; the supervisor is ending.
    Rest,
    /// It counts as failed in this way.
    Fail(Exit),
}

/// Where a child is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Down; starts when its turn comes.
    Waiting,
    /// Down; its turn does not come before this time.
    Backoff { until_ms: u64 },
    /// Told to start.
    Starting { deadline_ms: Option<u64> },
    /// Up.
    Running { probe: Option<Probe> },
    /// Alive; will be asked to stop when its turn comes.
    Condemned { then: Then },
    /// Asked to stop.
    Stopping { deadline_ms: u64, then: Then },
    /// Killed, not yet gone.
    Killing { deadline_ms: u64, then: Then },
    /// Down for good.
    Ended,
}

/// The probing of a running child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) next_ms: u64,
    pub(super) awaiting: bool,
}

impl Phase {
    /// Whether something of the child may be running.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Backoff { .. } | Self::Ended)
    }

    /// Whether the child is on its way down.
    pub(super) fn is_going(&self) -> bool {
        matches!(
            self,
            Self::Condemned { .. } | Self::Stopping { .. } | Self::Killing { .. }
        )
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match self {
            Self::Waiting | Self::Condemned { .. } | Self::Ended => None,
            Self::Backoff { until_ms } => Some(*until_ms),
            Self::Starting { deadline_ms } => *deadline_ms,
            Self::Running { probe } => probe.map(|probe| probe.next_ms),
            Self::Stopping { deadline_ms, .. } | Self::Killing { deadline_ms, .. } => {
                Some(*deadline_ms)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) generation: u64,
    pub(super) phase: Phase,
    /// Failures in a row, for the backoff.
    pub(super) failures: u32,
    /// When the present life came up; `None` if it has not.
    pub(super) up_since_ms: Option<u64>,
    /// Whether it has been up in any life.
    pub(super) started_once: bool,
}

impl Child {
    /// Marks the child to be taken down; `Rest` overrides, other intents keep a `Forget`.
    pub(super) fn condemn(&mut self, then: Then) {
        if then == Then::Again && matches!(self.phase, Phase::Waiting | Phase::Backoff { .. }) {
            self.phase = Phase::Waiting;
            return;
        }
        let then = match self.spec.restart {
            Restart::Temporary if then == Then::Again => Then::Forget,
            _ => then,
        };
        self.phase = match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Waiting | Phase::Backoff { .. } | Phase::Ended => Phase::Ended,
            Phase::Starting { .. } | Phase::Running { .. } => Phase::Condemned { then },
            Phase::Condemned { then: old } => Phase::Condemned {
                then: stronger(old, then),
            },
            Phase::Stopping {
                deadline_ms,
                then: old,
            } => Phase::Stopping {
                deadline_ms,
                then: stronger(old, then),
            },
            Phase::Killing {
                deadline_ms,
                then: old,
            } => Phase::Killing {
                deadline_ms,
                then: stronger(old, then),
            },
        };
    }

    pub(super) fn status(&self) -> Status {
        match &self.phase {
            Phase::Waiting | Phase::Starting { .. } if !self.started_once => Status::Starting,
            Phase::Waiting | Phase::Backoff { .. } | Phase::Starting { .. } => Status::Restarting,
            Phase::Running { .. } => Status::Running,
            Phase::Condemned { .. } | Phase::Stopping { .. } | Phase::Killing { .. } => {
                Status::Stopping
            }
            Phase::Ended => Status::Stopped,
        }
    }
}

/// The intent that wins when a child on its way down is condemned again.
fn stronger(old: Then, new: Then) -> Then {
    match (old, new) {
        (Then::Forget, Then::Again) => Then::Forget,
        (_, new) => new,
    }
}
