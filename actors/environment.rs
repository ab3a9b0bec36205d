//! What the supervisors of one tree share: the status board, the events, the clock, the seed.

use actix_rt::time::Instant;
use tokio::sync::broadcast;

use crate::status::StatusBoard;

/// Most events that wait for the slowest subscriber; it loses the oldest beyond that and is told
/// how many. A guess: a burst of restarts of the whole tree, several times over.
const EVENTS_MAX: usize = 256;

/// What changed about an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorChange {
    /// It failed.
    Crashed,
    /// A life after the first is up.
    Restarted,
    /// It is a supervisor that gave up.
    Escalated,
}

impl ActorChange {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Restarted => "restarted",
            Self::Escalated => "escalated",
        }
    }
}

/// News of an actor for whoever watches the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorEvent {
    /// The name of the actor.
    pub name: String,
    /// What changed.
    pub change: ActorChange,
    /// Why; `None` for a restart.
    pub reason: Option<String>,
    /// The life that failed or is up.
    pub generation: u64,
}

/// What all supervisors of a tree share; cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// Where they write the state of their children.
    pub board: StatusBoard,
    events: broadcast::Sender<ActorEvent>,
    pub(crate) origin: Instant,
    seed: u64,
}

impl Environment {
    /// An environment whose backoff is jittered by `seed`, which should differ between nodes.
    pub fn new(seed: u64) -> Self {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        Self {
            board: StatusBoard::default(),
            events,
            origin: Instant::now(),
            seed,
        }
    }

    /// The actors' events from now on; a slow subscriber loses the oldest and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<ActorEvent> {
        self.events.subscribe()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn tell(&self, name: &str, change: ActorChange, reason: &str, generation: u64) {
        let name = name.to_string();
        let reason = (!reason.is_empty()).then(|| reason.to_string());
        // Without a subscriber nobody wants to know.
        drop(self.events.send(ActorEvent {
            name,
            change,
            reason,
            generation,
        }));
    }

    /// A seed of its own for each supervisor, so that their jitter differs.
    pub(crate) fn seed_of(&self, name: &str, generation: u64) -> u64 {
        name.bytes()
            .fold(self.seed.wrapping_add(generation), |seed, byte| {
                seed.rotate_left(7)
                    .wrapping_mul(31)
                    .wrapping_add(u64::from(byte))
            })
    }
}
