//! The network between hosts: latency, loss, and cuts that come and go.
//!
//! Sessions run over a reliable, ordered transport, as TCP is one. So a frame that is *lost* is
//! sent again after [`RETRANSMISSION_US`] (twice that if it is lost again, and so on), and
//! everything behind it on the same session waits for it. One loss in [`LOSSES_PER_RESET`] ends the
//! session instead, as a router that forgot its address translation does; so does a frame that does
//! not come through within [`SILENCE_US`], for nothing behind it is heard either. Duplicates and
//! another order do not exist within a session; they come about between sessions, for the same
//! operation comes over several, and again after a reset.
//!
//! A *cut* lets nothing through, in one direction or both. A cut that is shorter than
//! [`SILENCE_US`] delays; a longer one ends every session across it, on both sides, for they hear
//! nothing of each other, not even acknowledgements.

use bitfitech_core::random::mix;

use crate::event::{HostIndex, MS, Micros};
use crate::random::Random;

/// How long a sender waits before it sends a lost frame again: Linux' least time-out.
pub const RETRANSMISSION_US: Micros = 200 * MS;

/// How many lost frames there are for each session that ends with one. A guess.
pub const LOSSES_PER_RESET: u64 = 1_000;

/// After how long without a sign of life a session ends.
pub const SILENCE_US: Micros = 5_000 * MS;

/// Which way a cut lets nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Neither way.
    Both,
    /// Nothing leaves the cut off side; it still hears the others.
    Outward,
}

/// A partition for some time.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Begin.
    pub from_us: Micros,
    /// End.
    pub until_us: Micros,
    /// Which hosts are cut off from the rest, by their index.
    pub side: Vec<bool>,
    /// Which way.
    pub direction: Direction,
}

impl Cut {
    fn blocks(&self, from: HostIndex, to: HostIndex) -> bool {
        let (from, to) = (self.side[from as usize], self.side[to as usize]);
        match self.direction {
            Direction::Both => from != to,
            Direction::Outward => from && !to,
        }
    }

    fn ends_sessions(&self) -> bool {
        self.until_us - self.from_us >= SILENCE_US
    }
}

/// Every link is down for a random part of the time.
#[derive(Clone, Copy, Debug)]
pub struct Flapping {
    /// How long a link stays as it is.
    pub slot_us: Micros,
    /// How many of a hundred slots a link is down.
    pub down_percent: u64,
    /// When it ends.
    pub until_us: Micros,
    /// What decides which slots.
    pub seed: u64,
}

impl Flapping {
    fn is_down(&self, from: HostIndex, to: HostIndex, at_us: Micros) -> bool {
        let (low, high) = (from.min(to), from.max(to));
        let link = mix(u64::from(low) << 32 | u64::from(high));
        let slot = at_us / self.slot_us;
        at_us < self.until_us && mix(self.seed ^ link ^ mix(slot)) % 100 < self.down_percent
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives then.
    Arrives(Micros),
    /// It does not, and its session ends then.
    EndsSession(Micros),
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Least and greatest latency of a frame; uniform in between.
    pub latency_us: (Micros, Micros),
    /// Share of the frames that are lost.
    pub loss: f64,
    /// Partitions.
    pub cuts: Vec<Cut>,
    /// Unsteady links.
    pub flapping: Option<Flapping>,
}

impl Network {
    /// When something can pass from one host to another: now, or after what is in the way.
    fn open_at(&self, from: HostIndex, to: HostIndex, now_us: Micros) -> Micros {
        let mut open_us = now_us;
        if let Some(flapping) = &self.flapping {
            while flapping.is_down(from, to, open_us) {
                open_us = (open_us / flapping.slot_us + 1) * flapping.slot_us;
            }
        }
        for cut in &self.cuts {
            if (cut.from_us..cut.until_us).contains(&open_us) && cut.blocks(from, to) {
                open_us = cut.until_us;
            }
        }
        open_us
    }

    /// Sends a frame of a session.
    pub fn pass(
        &self,
        from: HostIndex,
        to: HostIndex,
        now_us: Micros,
        random: &mut Random,
    ) -> Passage {
        let (low_us, high_us) = self.latency_us;
        let mut at_us = random.between(low_us, high_us);
        let mut wait_us = RETRANSMISSION_US;
        while random.chance(self.loss) {
            if random.below(LOSSES_PER_RESET) == 0 {
                return Passage::EndsSession(now_us + at_us + wait_us);
            }
            at_us += wait_us;
            wait_us *= 2;
            if at_us >= SILENCE_US {
                return Passage::EndsSession(now_us + SILENCE_US);
            }
        }
        if self.cuts.is_empty() && self.flapping.is_none() {
            return Passage::Arrives(now_us + at_us);
        }
        let open_us = self.open_at(from, to, now_us);
        if open_us - now_us >= SILENCE_US {
            return Passage::EndsSession(now_us + SILENCE_US);
        }
        Passage::Arrives(open_us + at_us)
    }

    /// The first time after `now_us` at which hosts find out that sessions ended in silence.
    pub fn next_silence_us(&self, now_us: Micros) -> Option<Micros> {
        let found = |cut: &Cut| cut.ends_sessions().then_some(cut.from_us + SILENCE_US);
        let found = self.cuts.iter().filter_map(found);
        found.filter(|at_us| *at_us > now_us).min()
    }

    /// Whether two hosts have not heard of each other for so long that their session ended.
    pub fn is_silent(&self, one: HostIndex, other: HostIndex, now_us: Micros) -> bool {
        self.cuts.iter().any(|cut| {
            cut.ends_sessions()
                && (cut.from_us + SILENCE_US..cut.until_us).contains(&now_us)
                && (cut.blocks(one, other) || cut.blocks(other, one))
        })
    }

    /// When the last cut is over and all links are steady.
    pub fn healed_us(&self) -> Micros {
        let cuts = self.cuts.iter().map(|cut| cut.until_us).max();
        let flapping = self.flapping.map(|flapping| flapping.until_us);
        cuts.max(flapping).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(cuts: Vec<Cut>, loss: f64) -> Network {
        Network {
            latency_us: (10 * MS, 50 * MS),
            loss,
            cuts,
            flapping: None,
        }
    }

    fn cut(until_us: Micros, direction: Direction) -> Cut {
        Cut {
            from_us: 1_000 * MS,
            until_us,
            side: vec![true, false, false],
            direction,
        }
    }

    #[test]
    fn frames_arrive_within_the_latency_and_later_if_they_were_lost() {
        let mut random = Random::new(1);
        let mut late = 0;
        for _ in 0..1_000 {
            let Passage::Arrives(at_us) = network(Vec::new(), 0.1).pass(0, 1, 7, &mut random)
            else {
                continue;
            };
            assert!(at_us >= 7 + 10 * MS);
            late += usize::from(at_us > 7 + 50 * MS);
        }
        assert!((60..150).contains(&late), "{late}");
    }

    #[test]
    fn a_frame_that_is_lost_again_and_again_ends_its_session() {
        let mut random = Random::new(1);
        let mut ended = 0;
        for _ in 0..1_000 {
            match network(Vec::new(), 0.5).pass(0, 1, 7, &mut random) {
                Passage::Arrives(at_us) => assert!(at_us < 7 + SILENCE_US),
                Passage::EndsSession(at_us) => ended += usize::from(at_us == 7 + SILENCE_US),
            }
        }
        // Five losses on end take 6.2 seconds: one frame of 32.
        assert!((20..50).contains(&ended), "{ended}");
    }

    #[test]
    fn a_short_cut_delays_and_a_long_one_ends_sessions_both_ways() {
        let mut random = Random::new(1);
        let short = network(vec![cut(2_000 * MS, Direction::Both)], 0.0);
        for (from, to, waits) in [(0, 1, true), (1, 0, true), (1, 2, false)] {
            let Passage::Arrives(at_us) = short.pass(from, to, 1_500 * MS, &mut random) else {
                panic!("the session ended");
            };
            assert_eq!(at_us >= 2_010 * MS, waits, "{from} to {to}");
        }
        let long = network(vec![cut(9_000 * MS, Direction::Outward)], 0.0);
        let sent = long.pass(0, 1, 1_500 * MS, &mut random);
        assert_eq!(sent, Passage::EndsSession(6_500 * MS));
        let heard = long.pass(1, 0, 1_500 * MS, &mut random);
        assert!(matches!(heard, Passage::Arrives(_)));
        assert_eq!(long.next_silence_us(0), Some(6_000 * MS));
        assert!(long.is_silent(1, 0, 6_000 * MS) && !long.is_silent(1, 0, 5_999 * MS));
        assert!(!long.is_silent(1, 2, 6_000 * MS));
    }

    #[test]
    fn an_unsteady_link_is_down_for_its_share_of_the_time_and_steady_in_the_end() {
        let flapping = Flapping {
            slot_us: 500 * MS,
            down_percent: 30,
            until_us: 500_000 * MS,
            seed: 3,
        };
        let down = (0..1_000).filter(|slot| flapping.is_down(4, 2, slot * 500 * MS));
        assert!((250..350).contains(&down.count()));
        assert_eq!(
            flapping.is_down(4, 2, 7_000 * MS),
            flapping.is_down(2, 4, 7_000 * MS)
        );
        assert!((1_000..1_100).all(|slot| !flapping.is_down(4, 2, slot * 500 * MS)));
    }
}
