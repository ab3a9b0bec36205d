//! What is known of one operation that came lately, and sets of links.
//!
//! A link that is up has a *slot*, a number below 64, so that a set of links is one word. Links
//! beyond have none: they get everything pushed and may get copies.

use core::iter;

use super::GossipConfig;
use crate::types::Now;

/// Most links that are told apart.
pub(super) const SLOTS_MAX: u32 = u64::BITS;

/// A set of links, by slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots(pub u64);

impl Slots {
    pub(super) fn has(self, slot: Option<u32>) -> bool {
        slot.is_some_and(|slot| self.0 & (1 << slot) != 0)
    }

    pub(super) fn add(&mut self, slot: Option<u32>) {
        self.0 |= slot.map_or(0, |slot| 1 << slot);
    }

    pub(super) fn remove(&mut self, slot: Option<u32>) {
        self.0 &= !slot.map_or(0, |slot| 1 << slot);
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The slots of the set, the lowest first.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        let mut rest = self.0;
        iter::from_fn(move || {
            let slot = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (slot < SLOTS_MAX).then_some(slot)
        })
    }
}

/// Where an operation came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody has pushed it yet; it was pulled.
    #[default]
    Unknown,
    /// It was written here.
    Own,
    /// A link without a slot.
    Unnamed,
    /// The link with this slot.
    Slot(u8),
}

impl Origin {
    /// A link's.
    pub(super) fn of(slot: Option<u32>) -> Self {
        slot.map_or(Self::Unnamed, |slot| Self::Slot(slot as u8))
    }

    /// The slot, if there is one.
    pub(super) fn slot(self) -> Option<u32> {
        match self {
            Self::Slot(slot) => Some(slot.into()),
            _ => None,
        }
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being checked, or waits for what it leans on.
    #[default]
    Arrived,
    /// It is in the set.
    Applied,
}

/// What is known of an operation that came lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    /// Links that have it: it came over them, was pushed to them, or they announced it.
    pub holders: Slots,
    /// When it came first, on the monotonic clock; wraps.
    pub arrived_ms: u32,
    /// Its number in [`super::recent`], once it was passed on.
    pub kept: Option<u32>,
    /// The link that is taken for its author's tree: the first, or one with fewer hops.
    pub origin: Origin,
    /// Over how many links it came from there.
    pub hops: u8,
    pub stage: Stage,
}

impl Passage {
    /// One that came just now.
    pub(super) fn new(now: Now, origin: Origin, hops: u8) -> Self {
        Self {
            arrived_ms: now.monotonic_ms as u32,
            origin,
            hops,
            ..Self::default()
        }
    }

    /// Whether a copy that comes now with so many hops is from a better parent. Fewest hops win
    /// where latencies change from message to message, the first arrival where they are what tells
    /// links apart; a hop is worth a time.
    pub(super) fn prefers(&self, now: Now, hops: u8, config: &GossipConfig) -> bool {
        let late_ms = (now.monotonic_ms as u32).wrapping_sub(self.arrived_ms);
        match self.origin {
            Origin::Own => false,
            Origin::Unknown => true,
            Origin::Unnamed | Origin::Slot(_) => {
                let ahead = u64::from(self.hops.saturating_sub(hops));
                ahead > 0 && u64::from(late_ms) <= ahead.saturating_mul(config.hop_worth_ms)
            }
        }
    }

    /// What a copy that is passed on says.
    pub(super) fn next_hops(&self) -> u8 {
        self.hops.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::at;

    const CONFIG: GossipConfig = GossipConfig {
        hop_worth_ms: 30,
        ..super::super::tests::CONFIG
    };

    #[test]
    fn a_hop_is_worth_its_time() {
        let passage = Passage::new(at(1_000), Origin::Slot(3), 5);
        for (now_ms, hops, is_better) in [
            (1_030, 4, true),
            (1_031, 4, false),
            (1_060, 3, true),
            (1_000, 5, false),
            (1_000, 6, false),
        ] {
            let found = passage.prefers(at(now_ms), hops, &CONFIG);
            assert_eq!(found, is_better, "{hops} hops at {now_ms}");
        }
        let own = Passage::new(at(1_000), Origin::Own, 0);
        assert!(!own.prefers(at(1_000), 0, &CONFIG));
        let pulled = Passage::new(at(1_000), Origin::Unknown, 0);
        assert!(pulled.prefers(at(9_000), 9, &CONFIG));
    }

    #[test]
    fn the_time_of_arrival_may_wrap() {
        let before_ms = u64::from(u32::MAX) - 5;
        let passage = Passage::new(at(before_ms), Origin::Slot(3), 5);
        assert!(passage.prefers(at(before_ms + 30), 4, &CONFIG));
        assert!(!passage.prefers(at(before_ms + 31), 4, &CONFIG));
    }
}
