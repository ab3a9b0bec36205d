//! Planted bugs, which must end in violations: so that the checkers are known to check.
//!
//! A third of the honest hosts has the bug. None of them is in the code of the core: they sit where
//! the simulator wraps it, in the engine, in the gate, in the clock and on the way in.

use crate::adversaries;
use crate::config::{Config, Pace, Trouble, Workload};
use crate::event::HostIndex;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// Of two orders at one price that came in another order than theirs, the one that came first
    /// goes first.
    ArrivalTie,
    /// What is undone is not always undone whole.
    LostUndo,
    /// Signatures are not checked.
    SkippedSignature,
    /// Some operations are dropped, whoever brings them.
    DroppedOperation,
    /// Operations of the future are applied at once.
    ForgottenPark,
    /// Restarted nodes forget that they had a chain.
    ForgottenChain,
    /// Pairs that nobody confirms are never refused.
    ForgottenRelease,
    /// What was withheld for somebody stays so, though he can no longer answer.
    ForgottenReturn,
    /// An order of which something is signed is kept whole for the partner.
    GreedyPromise,
    /// Some final trades are forgotten when their orders enter the book again.
    LostFinal,
}

/// Names of all canaries.
pub const NAMES: [&str; 10] = [
    "arrival-tie",
    "lost-undo",
    "skipped-signature",
    "dropped-operation",
    "forgotten-park",
    "forgotten-chain",
    "forgotten-release",
    "forgotten-return",
    "greedy-promise",
    "lost-final",
];

const ALL: [Canary; 10] = [
    Canary::ArrivalTie,
    Canary::LostUndo,
    Canary::SkippedSignature,
    Canary::DroppedOperation,
    Canary::ForgottenPark,
    Canary::ForgottenChain,
    Canary::ForgottenRelease,
    Canary::ForgottenReturn,
    Canary::GreedyPromise,
    Canary::LostFinal,
];

/// The canary of a name.
pub fn find(name: &str) -> Option<Canary> {
    let at = NAMES.iter().position(|known| *known == name)?;
    Some(ALL[at])
}

impl Canary {
    /// Its name.
    pub fn name(self) -> &'static str {
        let at = ALL.iter().position(|known| *known == self);
        NAMES[at.expect("all canaries are listed")]
    }

    /// Whether a host has the bug.
    pub fn is_on(self, host: HostIndex) -> bool {
        host % 3 == 1
    }

    /// Sees to it that a run has what makes the bug show: a liar who uses it, or trouble.
    pub fn prepare(self, config: &mut Config) {
        let liar = match self {
            Self::SkippedSignature => "forge",
            Self::ForgottenPark => "future",
            Self::ForgottenChain => {
                // Nodes write before they have heard of their chain.
                config.trouble = Trouble::CrashStorm;
                config.rate = config.rate.max(f64::from(config.nodes) * 5.0);
                return;
            }
            Self::ArrivalTie => {
                config.workload = Workload::Hot;
                config.pace = Pace::Bursts;
                return;
            }
            Self::ForgottenRelease => "never-confirm",
            Self::ForgottenReturn => "confirm-silent",
            Self::LostFinal => "late-tick",
            Self::GreedyPromise => {
                // Orders wait for each other: of one that is taken in part others want the rest.
                config.workload = Workload::Hot;
                return;
            }
            Self::LostUndo | Self::DroppedOperation => return,
        };
        config.adversary = adversaries::find(liar);
        // Few liars have few occasions in a short run: with a tenth, a seed now and then has none.
        config.byzantine_percent = config.byzantine_percent.max(30.0);
    }
}
