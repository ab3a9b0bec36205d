//! What passed by lately, for peers that ask for what was announced to them.
//!
//! Bounded by number, bytes and time; the oldest goes first. Who asks for what is gone is told to
//! synchronise. Operations stand in the order in which they passed and are found by their number
//! there, which is kept where all else is that is known of them ([`super::passage`]).

use alloc::collections::VecDeque;

use super::GossipConfig;
use crate::types::Now;
use crate::wire::{Payload, Prefix};

/// An operation that passed by.
#[derive(Clone, Debug)]
pub(super) struct Kept<O> {
    pub author: Prefix,
    pub bytes: O,
    /// What a copy that is passed on says.
    pub hops: u8,
}

/// Operations by number.
#[derive(Clone, Debug)]
pub(super) struct Recent<O> {
    /// From the oldest on, with the time until which each is kept.
    kept: VecDeque<(Kept<O>, u64)>,
    /// The number of the oldest; wraps.
    first: u32,
    bytes: usize,
}

impl<O: Payload> Recent<O> {
    pub(super) fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            first: 0,
            bytes: 0,
        }
    }

    /// Keeps one more, and forgets what is too much or too old. Returns its number.
    pub(super) fn insert(&mut self, now: Now, kept: Kept<O>, config: &GossipConfig) -> u32 {
        let number = self.first.wrapping_add(self.kept.len() as u32);
        let until_ms = now.monotonic_ms.saturating_add(config.recent_ms);
        self.bytes += kept.bytes.size_bytes();
        self.kept.push_back((kept, until_ms));
        while self.is_too_much(now, config) {
            let gone = self.kept.pop_front();
            self.bytes -= gone.map_or(0, |(it, _)| it.bytes.size_bytes());
            self.first = self.first.wrapping_add(1);
        }
        number
    }

    fn is_too_much(&self, now: Now, config: &GossipConfig) -> bool {
        let oldest = self.kept.front();
        self.kept.len() > config.recent_max
            || self.bytes > config.recent_max_bytes
            || oldest.is_some_and(|(_, until_ms)| *until_ms <= now.monotonic_ms)
    }

    /// The one with this number, if it is still kept, and before it how many are kept that passed
    /// earlier.
    pub(super) fn get(&self, number: u32) -> Option<(usize, &Kept<O>)> {
        let place = number.wrapping_sub(self.first) as usize;
        let (kept, _) = self.kept.get(place)?;
        Some((place, kept))
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::at;
    use alloc::vec;
    use alloc::vec::Vec;

    const CONFIG: GossipConfig = GossipConfig {
        recent_max: 3,
        recent_max_bytes: 10,
        recent_ms: 100,
        ..super::super::tests::CONFIG
    };

    /// Keeps an operation of so many bytes.
    fn keep(recent: &mut Recent<Vec<u8>>, now_ms: u64, size: usize) -> u32 {
        let kept = Kept {
            author: Prefix([9; 8]),
            bytes: vec![0; size],
            hops: 1,
        };
        recent.insert(at(now_ms), kept, &CONFIG)
    }

    /// The sizes of what is found under numbers around those that are kept.
    fn sizes(recent: &Recent<Vec<u8>>) -> Vec<usize> {
        let first = recent.first.wrapping_sub(3);
        let numbers = (0..9).map(|more| first.wrapping_add(more));
        let found = numbers.filter_map(|number| recent.get(number));
        found.map(|(_, kept)| kept.bytes.len()).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_or_too_old() {
        for first in [0, u32::MAX - 1] {
            let mut recent = Recent::new();
            recent.first = first;
            let numbers = [1, 2, 3, 4].map(|size| keep(&mut recent, 0, size));
            assert_eq!(numbers, [0, 1, 2, 3].map(|more| first.wrapping_add(more)));
            assert_eq!((sizes(&recent), recent.bytes), (vec![2, 3, 4], 9));
            keep(&mut recent, 10, 6);
            assert_eq!((sizes(&recent), recent.bytes), (vec![4, 6], 10));
            assert_eq!(keep(&mut recent, 100, 1), first.wrapping_add(5));
            assert_eq!((sizes(&recent), recent.bytes), (vec![6, 1], 7));
            keep(&mut recent, 110, 1);
            assert_eq!((sizes(&recent), recent.bytes), (vec![1, 1], 2));
        }
    }
}
