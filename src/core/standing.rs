//! How well nodes behave: points for misdeeds, and bans.
//!
//! Points go to a node's key, which it proves in every session, and not to its address, which it
//! may share with honest nodes. They fall with time. Who has too many is banned: no session for a
//! while, twice as long each time. A key costs nothing, so a ban stops a faulty program for good
//! and a liar until he has made another key; what he can do in a session before that is bounded by
//! other means. Nothing of this decides about operations: those of a banned node come through
//! others.
//!
//! At most `nodes_max` nodes are remembered. At the bound the one with least points that is not
//! banned is forgotten, then the one whose ban ends first.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use crate::types::{AuthorKey, Now};

/// What a node did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It broke the protocol, which no honest node does: a malformed frame, a signature that is
    /// wrong, a summary that contradicts itself.
    Violation,
    /// It asked more often than it may, or answered what nobody had asked.
    Nuisance,
    /// For a second it sent more than it may.
    Flood,
}

impl Offence {
    /// Points for it. Guesses: one violation is enough, ten nuisances are, and so is a flood of
    /// four minutes, of which some seconds may happen to anyone.
    fn points(self) -> u64 {
        match self {
            Self::Violation => 100,
            Self::Nuisance => 10,
            Self::Flood => 1,
        }
    }
}

/// How standing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingConfig {
    /// Points at which a node is banned.
    pub points_max: u64,
    /// Milliseconds in which one point is forgiven.
    pub forgive_ms: u64,
    /// Length of the first ban, in milliseconds; doubles.
    pub ban_ms: u64,
    /// Longest ban, in milliseconds.
    pub ban_max_ms: u64,
    /// After so long without misdeed earlier bans are forgotten, in milliseconds.
    pub memory_ms: u64,
    /// Most nodes remembered; at least 1 is assumed.
    pub nodes_max: usize,
}

impl Default for StandingConfig {
    /// Guesses: a minute to an hour.
    fn default() -> Self {
        Self {
            points_max: 100,
            forgive_ms: 2_000,
            ban_ms: 60_000,
            ban_max_ms: 3_600_000,
            memory_ms: 24 * 3_600_000,
            nodes_max: 1_024,
        }
    }
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The misdeed that led to it.
    pub reason: String,
    /// Milliseconds until it ends.
    pub left_ms: u64,
}

#[derive(Clone, Debug)]
struct Standing {
    points: u64,
    /// When the points were counted.
    counted_ms: u64,
    last_ms: u64,
    bans: u32,
    banned_until_ms: u64,
    reason: String,
}

/// The standing of all nodes.
#[derive(Clone, Debug)]
pub struct Standings {
    config: StandingConfig,
    nodes: BTreeMap<AuthorKey, Standing>,
}

impl Standings {
    /// Everybody is innocent.
    pub fn new(config: StandingConfig) -> Self {
        let nodes_max = config.nodes_max.max(1);
        Self {
            config: StandingConfig {
                nodes_max,
                ..config
            },
            nodes: BTreeMap::new(),
        }
    }

    /// Notes a misdeed; the ban if that was one too many.
    pub fn note(
        &mut self,
        now: Now,
        node: AuthorKey,
        offence: Offence,
        reason: &str,
    ) -> Option<Ban> {
        self.make_room(now, node);
        let (config, now_ms) = (self.config, now.monotonic_ms);
        let standing = self.nodes.entry(node).or_insert(Standing {
            points: 0,
            counted_ms: now_ms,
            last_ms: now_ms,
            bans: 0,
            banned_until_ms: 0,
            reason: String::new(),
        });
        standing.forgive(config, now_ms);
        standing.points = standing.points.saturating_add(offence.points());
        standing.last_ms = now_ms;
        standing.reason = reason.to_string();
        if standing.points < config.points_max {
            return None;
        }
        let doublings = standing.bans.min(32);
        let length_ms = config.ban_ms.saturating_mul(1 << doublings);
        let left_ms = length_ms.min(config.ban_max_ms);
        standing.bans = standing.bans.saturating_add(1);
        standing.banned_until_ms = now_ms.saturating_add(left_ms);
        standing.points = 0;
        Some(Ban {
            reason: reason.to_string(),
            left_ms,
        })
    }

    /// The ban of a node, if there is one.
    pub fn ban(&self, now: Now, node: AuthorKey) -> Option<Ban> {
        let standing = self.nodes.get(&node)?;
        let left_ms = standing.banned_until_ms.checked_sub(now.monotonic_ms)?;
        (left_ms > 0).then(|| Ban {
            reason: standing.reason.clone(),
            left_ms,
        })
    }

    /// The points of a node, and its last misdeed if it has any.
    pub fn points(&self, now: Now, node: AuthorKey) -> Option<(u64, &str)> {
        let standing = self.nodes.get(&node)?;
        let points = standing.points_at(self.config, now.monotonic_ms);
        (points > 0).then_some((points, standing.reason.as_str()))
    }

    /// How many nodes are remembered.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no misdeed is remembered.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn make_room(&mut self, now: Now, newcomer: AuthorKey) {
        if self.nodes.contains_key(&newcomer) || self.nodes.len() < self.config.nodes_max {
            return;
        }
        let worth = |standing: &Standing| {
            let banned_ms = standing.banned_until_ms.saturating_sub(now.monotonic_ms);
            (banned_ms, standing.points_at(self.config, now.monotonic_ms))
        };
        let least = self.nodes.iter().min_by_key(|(_, it)| worth(it));
        if let Some(node) = least.map(|(node, _)| *node) {
            self.nodes.remove(&node);
        }
    }
}

impl Standing {
    fn points_at(&self, config: StandingConfig, now_ms: u64) -> u64 {
        let elapsed_ms = now_ms.saturating_sub(self.counted_ms);
        let forgiven = elapsed_ms / config.forgive_ms.max(1);
        self.points.saturating_sub(forgiven)
    }

    /// Counts what time has forgiven; the rest of a point waits for the next time.
    fn forgive(&mut self, config: StandingConfig, now_ms: u64) {
        if now_ms.saturating_sub(self.last_ms) >= config.memory_ms {
            self.bans = 0;
        }
        let step_ms = config.forgive_ms.max(1);
        self.points = self.points_at(config, now_ms);
        let elapsed_ms = now_ms.saturating_sub(self.counted_ms);
        self.counted_ms += elapsed_ms - elapsed_ms % step_ms;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    use super::*;
    use crate::types::at;

    fn node(byte: u8) -> AuthorKey {
        AuthorKey([byte; 32])
    }

    fn innocent() -> Standings {
        Standings::new(StandingConfig::default())
    }

    #[test]
    fn one_violation_is_a_ban_that_ends() {
        let mut standings = innocent();
        let ban = standings.note(at(0), node(1), Offence::Violation, "a lie");
        let expected = Ban {
            reason: "a lie".to_string(),
            left_ms: 60_000,
        };
        assert_eq!(ban, Some(expected));
        let left = |standings: &Standings, now_ms, of| {
            let ban = standings.ban(at(now_ms), node(of));
            ban.map(|ban| ban.left_ms)
        };
        assert_eq!(left(&standings, 59_999, 1), Some(1));
        assert_eq!(left(&standings, 60_000, 1), None);
        assert_eq!(left(&standings, 0, 2), None, "nobody else");
    }

    #[test]
    fn bans_double_up_to_an_hour_and_start_anew_after_a_good_day() {
        let mut standings = innocent();
        let mut now_ms = 0;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let ban = standings.note(at(now_ms), node(1), Offence::Violation, "a lie");
            assert_eq!(ban.map(|ban| ban.left_ms), Some(minutes * 60_000));
            now_ms += minutes * 60_000;
        }
        now_ms += 24 * 3_600_000;
        let ban = standings.note(at(now_ms), node(1), Offence::Violation, "a lie");
        assert_eq!(ban.map(|ban| ban.left_ms), Some(60_000));
    }

    #[test]
    fn points_are_forgiven_with_time() {
        let mut standings = innocent();
        assert_eq!(
            standings.note(at(0), node(1), Offence::Nuisance, "asks"),
            None
        );
        assert_eq!(standings.points(at(0), node(1)), Some((10, "asks")));
        assert_eq!(standings.points(at(3_999), node(1)), Some((9, "asks")));
        assert_eq!(standings.points(at(20_000), node(1)), None);
        // A flood now and then is forgiven, one that goes on is not.
        let mut now_and_then = innocent();
        for second in 0..1_000 {
            let noted = now_and_then.note(at(second * 2_000), node(2), Offence::Flood, "floods");
            assert_eq!(noted, None);
        }
        let mut without_end = innocent();
        let mut notes = (0..).map(|second| {
            let noted = without_end.note(at(second * 1_000), node(2), Offence::Flood, "floods");
            noted.is_some()
        });
        let banned = notes.position(|it| it);
        assert!(
            banned.is_some_and(|seconds| (190..210).contains(&seconds)),
            "{banned:?}"
        );
    }

    proptest! {
        #[test]
        fn the_memory_is_bounded_and_forgets_the_least(
            notes in vector((0..50_u8, 0..3_u8, 0..100_000_u64), 1..300),
        ) {
            let config = StandingConfig { nodes_max: 8, ..StandingConfig::default() };
            let mut standings = Standings::new(config);
            let mut now_ms = 0;
            for (who, what, pause_ms) in notes {
                now_ms += pause_ms;
                let all = [Offence::Violation, Offence::Nuisance, Offence::Flood];
                let offence = all[usize::from(what)];
                let known = standings.nodes.contains_key(&node(who));
                let banned = |it: &Standings| {
                    it.nodes.keys().filter(|who| it.ban(at(now_ms), **who).is_some()).count()
                };
                let (before, count) = (banned(&standings), standings.len());
                let banned_now = standings.note(at(now_ms), node(who), offence, "x").is_some();
                prop_assert!(standings.len() <= 8);
                if !known && count == 8 && before < 8 {
                    let after = banned(&standings);
                    prop_assert_eq!(after, before + usize::from(banned_now), "bans are kept");
                }
                let ban = standings.ban(at(now_ms), node(who));
                prop_assert!(!banned_now || ban.is_some());
            }
        }
    }
}
