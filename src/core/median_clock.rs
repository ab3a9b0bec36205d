//! Whose clock counts: the local one, or that of most peers.
//!
//! A Hello carries the sender's clock. The difference includes the time of travel, which is small
//! against the 500 ms that matter. One peer proves nothing, but a node that is far off the median
//! of three or more should believe them rather than itself, for operations dated in the future are
//! parked by everyone else.
//!
//! Sessions last for days, and a clock can be set meanwhile. So a peer's clock is kept as its
//! difference from the local *monotonic* clock, which nobody sets: when the local wall clock jumps,
//! the distance to the peers follows at once. That clock has to go on while the machine sleeps.
//!
//! A node that loses its peers would date what it writes by a clock that was just found wrong, and
//! all others would park that, and everything it writes later. So when fewer than three peers are
//! left their last median goes on counting, until one of them agrees with the local clock: whoever
//! brought three liars to a node has not moved its clock for longer than they stay.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::{AuthorKey, Now};

/// Peers needed before their median counts (PROTOCOL.md, "Clocks").
pub const CLOCK_PEERS_MIN: usize = 3;

/// How far off the median the local clock may be, in milliseconds (PROTOCOL.md, "Clocks").
pub const CLOCK_TOLERANCE_MS: u64 = 500;

/// Most peers whose clocks are compared; further ones are not. More than any view of peers holds.
pub const CLOCK_PEERS_MAX: usize = 1_024;

/// A change of whom a node believes about the time. Warn the user once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// The local clock is further off the median of the peers than is tolerated, or by more than
    /// that further than was told before; the median counts.
    Off {
        /// The median clock minus the local one, in milliseconds.
        median_offset_ms: i64,
    },
    /// The local clock counts again.
    Trusted,
}

/// A peer's clock: what it showed minus what the local monotonic clock showed, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerClock(i64);

impl PeerClock {
    /// A peer has just shown `unix_ms`.
    pub fn new(now: Now, unix_ms: u64) -> Self {
        let size_ms = i64::try_from(unix_ms.abs_diff(now.monotonic_ms)).unwrap_or(i64::MAX);
        Self(if unix_ms < now.monotonic_ms {
            -size_ms
        } else {
            size_ms
        })
    }

    /// How far it is ahead of the local wall clock, in milliseconds.
    pub fn ahead_ms(self, now: Now) -> i64 {
        let local = Self::new(now, now.unix_ms);
        self.0.saturating_sub(local.0)
    }
}

/// The clock that decides which operations are of the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatingClock {
    /// The two in the middle of all when there were enough peers; nothing if there never were, or
    /// if that was refuted.
    middle: Option<[PeerClock; 2]>,
    /// The peers, if they are too few.
    few: [Option<PeerClock>; CLOCK_PEERS_MIN - 1],
}

impl GatingClock {
    /// By how much the peers' median is ahead of the local clock, if that is more than is
    /// tolerated. Of the two in the middle of an even number the one nearer to the local clock
    /// counts, so that half of the peers cannot move it.
    pub fn off_by_ms(&self, now: Now) -> Option<i64> {
        let ahead_ms = self.middle?.map(|clock| clock.ahead_ms(now));
        let nearest_ms = ahead_ms.into_iter().min_by_key(|it| it.unsigned_abs());
        let off_by_ms = nearest_ms.filter(|it| it.unsigned_abs() > CLOCK_TOLERANCE_MS);
        off_by_ms.filter(|_| !self.is_refuted(now))
    }

    /// Whether one of few peers agrees with the local clock.
    fn is_refuted(&self, now: Now) -> bool {
        let mut few = self.few.iter().flatten();
        few.any(|clock| clock.ahead_ms(now).unsigned_abs() <= CLOCK_TOLERANCE_MS)
    }

    /// The same moment by the clock by which operations are parked and dated.
    pub fn gating(&self, now: Now) -> Now {
        let off_by_ms = self.off_by_ms(now).unwrap_or(0);
        Now {
            unix_ms: now.unix_ms.saturating_add_signed(off_by_ms),
            ..now
        }
    }
}

/// The clocks of the peers.
#[derive(Clone, Debug, Default)]
pub struct MedianClock {
    peers: BTreeMap<AuthorKey, PeerClock>,
    gating: GatingClock,
    /// What the user was told last.
    told_ms: Option<i64>,
}

impl MedianClock {
    /// Trusts the local clock, for want of peers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the clock of an authenticated peer: one voice per key. At most [`CLOCK_PEERS_MAX`]
    /// peers have one.
    pub fn handle_peer(&mut self, peer: AuthorKey, clock: PeerClock) {
        let is_known = self.peers.contains_key(&peer);
        if is_known || self.peers.len() < CLOCK_PEERS_MAX {
            self.peers.insert(peer, clock);
        }
        self.find_middle();
    }

    /// Forgets the clock of a peer that left.
    pub fn handle_peer_left(&mut self, peer: &AuthorKey) {
        self.peers.remove(peer);
        self.find_middle();
    }

    /// What is to be told: peers came or left, or the local clock was set. Cheap enough for every
    /// input of a node.
    pub fn compare(&mut self, now: Now) -> Option<ClockChange> {
        if self.gating.is_refuted(now) {
            self.gating.middle = None;
        }
        let off_by_ms = self.gating.off_by_ms(now);
        let change = match (self.told_ms, off_by_ms) {
            (None, None) => return None,
            (Some(_), None) => ClockChange::Trusted,
            (Some(told_ms), Some(median_offset_ms))
                if told_ms.abs_diff(median_offset_ms) <= CLOCK_TOLERANCE_MS =>
            {
                return None;
            }
            (_, Some(median_offset_ms)) => ClockChange::Off { median_offset_ms },
        };
        self.told_ms = off_by_ms;
        Some(change)
    }

    /// The clock that follows from those of the peers, until one comes or leaves.
    pub fn gating(&self) -> GatingClock {
        self.gating
    }

    fn find_middle(&mut self) {
        if self.peers.len() < CLOCK_PEERS_MIN {
            let mut peers = self.peers.values().copied();
            self.gating.few = core::array::from_fn(|_| peers.next());
            return;
        }
        let mut sorted: Vec<PeerClock> = self.peers.values().copied().collect();
        sorted.sort_unstable();
        self.gating = GatingClock {
            middle: Some([sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]]),
            few: [None; CLOCK_PEERS_MIN - 1],
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    use super::*;
    use crate::types::reading as at;

    fn key(byte: u8) -> AuthorKey {
        AuthorKey([byte; 32])
    }

    /// The clock of a peer that is ahead of the local one by so much.
    fn ahead(now: Now, by_ms: i64) -> PeerClock {
        PeerClock::new(now, now.unix_ms.saturating_add_signed(by_ms))
    }

    /// A node with peers whose clocks are ahead of its own by so much.
    fn clock_of(now: Now, ahead_ms: &[i64]) -> MedianClock {
        let mut clock = MedianClock::new();
        for (number, by_ms) in (0..).zip(ahead_ms) {
            clock.handle_peer(key(number), ahead(now, *by_ms));
        }
        clock
    }

    proptest! {
        #[test]
        fn no_half_of_liars_moves_a_clock(
            honest in vector(-400..400_i64, 2..12), liars in vector(any::<i64>(), 0..11),
        ) {
            prop_assume!(liars.len() <= honest.len());
            let now = at(7, 1_000);
            let clock = clock_of(now, &[honest, liars].concat());
            prop_assert_eq!(clock.gating().off_by_ms(now), None);
        }

        #[test]
        fn warnings_match_the_clock_in_use(
            steps in vector((0..6_u8, -2_000..2_000_i64, 0..3_u8), 0..60),
        ) {
            let mut clock = MedianClock::new();
            let mut told_ms = None;
            let (mut now, peers) = (at(0, 1_000_000), 5);
            for (number, by_ms, what) in steps {
                now.monotonic_ms += 10;
                now.unix_ms += 10;
                match what {
                    0 => clock.handle_peer_left(&key(number % peers)),
                    1 => clock.handle_peer(key(number % peers), ahead(now, by_ms)),
                    _ => now.unix_ms = now.unix_ms.saturating_add_signed(by_ms),
                }
                let change = clock.compare(now);
                let off_by_ms = clock.gating().off_by_ms(now);
                match change {
                    Some(ClockChange::Off { median_offset_ms }) => {
                        prop_assert_eq!(off_by_ms, Some(median_offset_ms));
                        told_ms = off_by_ms;
                    }
                    Some(ClockChange::Trusted) => {
                        prop_assert!(told_ms.is_some() && off_by_ms.is_none());
                        told_ms = None;
                    }
                    None => {}
                }
                prop_assert_eq!(told_ms.is_some(), off_by_ms.is_some());
                let error_ms = told_ms.unwrap_or(0).abs_diff(off_by_ms.unwrap_or(0));
                prop_assert!(error_ms <= CLOCK_TOLERANCE_MS);
            }
        }

        /// What counts goes on as it was, by however much the local clock is set.
        #[test]
        fn a_clock_that_is_set_while_sessions_last_moves_nothing(
            offsets_ms in vector(-400..400_i64, 3..9), jump_ms in -90_000..90_000_i64,
        ) {
            let clock = clock_of(at(5_000, 1_000_000), &offsets_ms).gating();
            let later = at(65_000, 1_060_000);
            let expected_ms = clock.gating(later).unix_ms;
            let jumped = at(65_000, later.unix_ms.saturating_add_signed(jump_ms));
            let error_ms = clock.gating(jumped).unix_ms.abs_diff(expected_ms);
            // The median instead of the local clock, or the other of the two in the middle.
            prop_assert!(error_ms <= 2 * CLOCK_TOLERANCE_MS, "{error_ms} ms");
        }
    }

    #[test]
    fn three_peers_outvote_the_local_clock_and_two_do_not() {
        let now = at(0, 50_000);
        let mut clock = clock_of(now, &[2_000, 2_100]);
        assert_eq!(clock.gating().gating(now), now);
        assert_eq!(clock.compare(now), None);
        clock.handle_peer(key(2), ahead(now, 1_900));
        assert_eq!(
            clock.compare(now),
            Some(ClockChange::Off {
                median_offset_ms: 2_000
            })
        );
        assert_eq!(clock.gating().gating(now).unix_ms, 52_000);
        clock.handle_peer(key(3), ahead(now, 2_000));
        assert_eq!(clock.compare(now), None, "warned already");
        clock.handle_peer_left(&key(0));
        assert_eq!(clock.compare(now), None);
        clock.handle_peer(key(1), ahead(now, 100));
        assert_eq!(clock.compare(now), None, "one of three");
    }

    #[test]
    fn what_three_peers_said_counts_until_one_of_fewer_agrees_with_the_local_clock() {
        let now = at(0, 50_000);
        let mut clock = clock_of(now, &[2_000, 2_000, 2_000]);
        assert!(clock.compare(now).is_some());
        (0..3).for_each(|number| clock.handle_peer_left(&key(number)));
        let later = at(600_000, 650_000);
        assert_eq!(clock.gating().gating(later).unix_ms, 652_000);
        // One who agrees with neither.
        clock.handle_peer(key(3), ahead(later, -90_000));
        assert_eq!(clock.compare(later), None);
        clock.handle_peer(key(4), ahead(later, 400));
        assert_eq!(clock.gating().gating(later), later);
        assert_eq!(clock.compare(later), Some(ClockChange::Trusted));
        // For good.
        clock.handle_peer_left(&key(4));
        assert_eq!(clock.compare(later), None);
        assert_eq!(clock.gating().gating(later), later);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_told_of_each_time() {
        let mut clock = clock_of(at(0, 50_000), &[0, 10, -10]);
        assert_eq!(clock.compare(at(1_000, 51_000)), None);
        assert_eq!(
            clock.compare(at(2_000, 3_652_000)),
            Some(ClockChange::Off {
                median_offset_ms: -3_600_000
            })
        );
        assert_eq!(clock.compare(at(3_000, 3_653_000)), None);
        assert_eq!(
            clock.compare(at(4_000, 48_000)),
            Some(ClockChange::Off {
                median_offset_ms: 6_000
            })
        );
        assert_eq!(clock.compare(at(5_000, 55_000)), Some(ClockChange::Trusted));
    }

    /// All triples of these.
    fn cross(ends: &[u64]) -> impl Iterator<Item = ((u64, u64), u64)> {
        let pairs = |first: &u64| {
            let first = *first;
            ends.iter().map(move |second| (first, *second))
        };
        let pairs = ends.iter().flat_map(pairs);
        pairs.flat_map(|pair| ends.iter().map(move |third| (pair, *third)))
    }

    #[test]
    fn clocks_at_the_ends_of_the_range_do_not_overflow() {
        let ends = [0, 5, u64::MAX];
        for ((monotonic_ms, local), shown) in cross(&ends) {
            let now = at(monotonic_ms, local);
            let mut clock = MedianClock::new();
            for number in 0..3 {
                clock.handle_peer(key(number), PeerClock::new(now, shown));
            }
            let gating_ms = clock.gating().gating(now).unix_ms;
            if local.abs_diff(shown) <= CLOCK_TOLERANCE_MS {
                assert_eq!(gating_ms, local);
            } else {
                assert_eq!(gating_ms < local, shown < local);
            }
        }
    }
}
