//! The words between a supervisor's policy and what carries it out: specifications, events,
//! actions.

use alloc::string::String;
use core::fmt;

/// Most children one supervisor holds unless configured otherwise; a guess, several times the
/// greatest number of connections a node is meant to keep.
pub const CHILDREN_MAX: usize = 1024;

/// A child of one supervisor. Ids grow in the order of adding and are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u64);

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always, however it ended.
    Permanent,
    /// Unless it ended normally.
    Transient,
    /// Never; the child is forgotten when it ends.
    Temporary,
}

/// Which siblings a failed child takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// None: the children do not depend on each other.
    OneForOne,
    /// Those that were started after it: each child depends on the earlier ones.
    RestForOne,
    /// All: the children depend on each other.
    OneForAll,
}

/// Whether children wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start in order, stop in reverse order, one at a time.
    OneByOne,
    /// Start and stop all at once: for many children of one kind, like connections.
    AllAtOnce,
}

/// How many restarts are granted in how long a time.
///
/// Levels multiply: a supervisor that gives up every eight seconds is itself only one failure in
/// eight seconds to the one above. So a failure that is a giving up weighs a third of
/// `restarts_max`, and upper levels want a longer window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts granted within the window; one more failure escalates.
    pub restarts_max: u32,
    /// Length of the sliding window in milliseconds.
    pub window_ms: u64,
}

impl Default for Intensity {
    /// Ten restarts in ten seconds: more patient than OTP's one in five, since a wait precedes
    /// each restart here.
    fn default() -> Self {
        Self {
            restarts_max: 10,
            window_ms: 10_000,
        }
    }
}

/// How long a restart waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait before the first restart, in milliseconds.
    pub first_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
    /// After so many milliseconds since it reported that it is up, a failure counts as the first
    /// again.
    pub stable_ms: u64,
}

impl Default for Backoff {
    /// 100 ms doubling up to 1 s, forgotten after 30 s of life: guesses, but such that a child
    /// that fails at once every time spends the default intensity within its window (ten waits
    /// are 7.5 s at most), so that a lasting fault escalates instead of being retried for ever.
    fn default() -> Self {
        Self {
            first_ms: 100,
            max_ms: 1_000,
            stable_ms: 30_000,
        }
    }
}

impl Backoff {
    /// The wait before the restart after `failures` failures in a row (1 for the first).
    ///
    /// Half of it is fixed and half of it is random ("equal jitter", M. Brooker, "Exponential
    /// Backoff and Jitter", AWS Architecture Blog, 2015), so it lies within 50 % and 100 % of the
    /// doubled value.
    pub(super) fn delay_ms(self, failures: u32, random: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(63);
        let full_ms = self
            .first_ms
            .saturating_mul(1 << doublings)
            .min(self.max_ms);
        let fixed_ms = full_ms / 2;
        fixed_ms + random % (full_ms - fixed_ms + 1)
    }
}

/// What the policy has to know about a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// Name for reasons and for finding it; unique within the supervisor.
    pub name: String,
    /// When it is started again.
    pub restart: Restart,
    /// How long a restart waits.
    pub backoff: Backoff,
    /// Time to report that it is up, in milliseconds; `None` waits for ever.
    pub start_ms: Option<u64>,
    /// Time to stop after being asked, in milliseconds; 0 kills at once.
    pub stop_ms: u64,
}

impl ChildSpec {
    /// A permanent child with the default times: 30 s to start, 5 s to stop (as OTP's workers).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            restart: Restart::Permanent,
            backoff: Backoff::default(),
            start_ms: Some(30_000),
            stop_ms: 5_000,
        }
    }
}

/// How a supervisor treats its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which siblings a failed child takes with it.
    pub strategy: Strategy,
    /// Whether children wait for each other.
    pub order: Order,
    /// How many restarts are granted; `None` never gives up (each child still backs off).
    pub intensity: Option<Intensity>,
    /// Interval of the probes in milliseconds, also the time to answer one; `None` does not probe.
    pub probe_ms: Option<u64>,
    /// Time for a killed child to be gone, in milliseconds, before it is abandoned.
    pub kill_ms: u64,
    /// Most children; adding more is refused.
    pub children_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            strategy: Strategy::OneForOne,
            order: Order::OneByOne,
            intensity: Some(Intensity::default()),
            probe_ms: Some(30_000),
            kill_ms: 1_000,
            children_max: CHILDREN_MAX,
        }
    }
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped, and all was well.
    Normal,
    /// It stopped and gave a reason that counts as a failure, for instance "connection lost".
    Failed(String),
    /// It panicked; the text is the panic's message and place.
    Crashed(String),
    /// It was silent for too long and was killed for that.
    Hung(String),
    /// It was killed from outside; the text says by whom or why.
    Killed(String),
    /// It is a supervisor that gave up for this reason.
    Escalated(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => write!(out, "stopped normally"),
            Self::Failed(reason) => write!(out, "{reason}"),
            Self::Crashed(cause) => write!(out, "panic: {cause}"),
            Self::Hung(what) => write!(out, "hung: {what}"),
            Self::Killed(what) => write!(out, "killed: {what}"),
            Self::Escalated(reason) => write!(out, "gave up: {reason}"),
        }
    }
}

/// What happened, as the adapter tells the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor is up: start the children.
    Begin,
    /// A child reports that it is up.
    Started {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
    },
    /// A child answered a probe.
    Answered {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
    },
    /// A child has ended and is gone.
    Exited {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
        /// How it ended.
        exit: Exit,
    },
    /// Stop this child and forget it.
    Remove {
        /// The child.
        child: ChildId,
    },
    /// Stop all children, then end.
    Shutdown,
    /// Time has passed, or a child was added.
    Tick,
}

/// Why a child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It did not report that it is up in time.
    Start,
    /// It did not answer a probe in time.
    Probe,
    /// It did not stop in time (or its time to stop is 0).
    Stop,
}

/// What the adapter has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Build a fresh child and run it.
    Start {
        /// The child.
        child: ChildId,
        /// The generation of this life.
        generation: u64,
    },
    /// Ask the child to stop.
    Stop {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
    },
    /// End the child without asking.
    Kill {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
        /// What it has missed.
        overdue: Overdue,
    },
    /// Ask the child for a sign of life.
    Probe {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
    },
    /// To be told: the child is up.
    Up {
        /// The child.
        child: ChildId,
        /// Its generation.
        generation: u64,
    },
    /// To be told: the child failed.
    Failed {
        /// The child.
        child: ChildId,
        /// The generation that failed.
        generation: u64,
        /// How it ended.
        exit: Exit,
        /// The wait before its restart in milliseconds; `None` if it is not restarted.
        restart_in_ms: Option<u64>,
    },
    /// To be told: the child is down, in whatever way it ended.
    Down {
        /// The child.
        child: ChildId,
        /// The generation that ended.
        generation: u64,
        /// What it is now.
        status: Status,
    },
    /// To be told: the child was killed, is not gone, and is left behind.
    Abandoned {
        /// The child.
        child: ChildId,
        /// The generation that is left behind.
        generation: u64,
    },
    /// The child is forgotten.
    Removed {
        /// The child.
        child: ChildId,
    },
    /// To be told: every child has been up once.
    AllStarted,
    /// To be told: the intensity is exceeded; the children are being stopped.
    Escalate {
        /// Who failed how often, and how the last time.
        reason: String,
    },
    /// No child is left: the supervisor ends.
    End(Outcome),
}

/// How a supervisor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to.
    Shutdown,
    /// Its children failed too often.
    Escalated(String),
}

/// What a child is doing, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Started, or waiting for its first turn.
    Starting,
    /// Up.
    Running,
    /// Down, to be started again.
    Restarting,
    /// Asked to stop, or about to be.
    Stopping,
    /// Down for good.
    Stopped,
}

impl Status {
    /// The word users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a child was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The supervisor holds as many children as it may.
    TooMany {
        /// The configured maximum.
        children_max: usize,
    },
    /// There is a child of this name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// The supervisor is ending.
    Ending,
}

impl fmt::Display for AddError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { children_max } => write!(
                out,
                "the supervisor has {children_max} children, its maximum: end one before adding one"
            ),
            Self::Duplicate { name } => {
                write!(
                    out,
                    "there is a child named {name}: stop it before adding it again"
                )
            }
            Self::Ending => write!(out, "the supervisor is ending: it takes no new children"),
        }
    }
}

impl core::error::Error for AddError {}
