//! What passed by lately, for peers that ask for what was announced to them.
//!
//! Bounded by number, bytes and time; the oldest goes first. Who asks for what is gone is told to
//! synchronise.

use alloc::collections::{BTreeMap, VecDeque};

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
    /// Later ones have greater numbers.
    pub number: u64,
}

/// Operations by the beginning of their ids.
#[derive(Clone, Debug)]
pub(super) struct Recent<O> {
    kept: BTreeMap<Prefix, Kept<O>>,
    /// From the oldest on, with the time until which each is kept.
    order: VecDeque<(Prefix, u64)>,
    bytes: usize,
    count: u64,
}

impl<O: Payload> Recent<O> {
    pub(super) fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            count: 0,
        }
    }

    /// Keeps one more, and forgets what is too much or too old.
    pub(super) fn insert(
        &mut self,
        now: Now,
        id: Prefix,
        mut kept: Kept<O>,
        config: &GossipConfig,
    ) {
        self.count += 1;
        kept.number = self.count;
        let until_ms = now.monotonic_ms.saturating_add(config.recent_ms);
        let size_bytes = kept.bytes.size_bytes();
        match self.kept.insert(id, kept) {
            Some(before) => self.bytes -= before.bytes.size_bytes(),
            None => self.order.push_back((id, until_ms)),
        }
        self.bytes += size_bytes;
        while self.is_too_much(now, config) {
            let oldest = self.order.pop_front();
            let gone = oldest.and_then(|(id, _)| self.kept.remove(&id));
            self.bytes -= gone.map_or(0, |it| it.bytes.size_bytes());
        }
    }

    fn is_too_much(&self, now: Now, config: &GossipConfig) -> bool {
        let oldest = self.order.front();
        self.order.len() > config.recent_max
            || self.bytes > config.recent_max_bytes
            || oldest.is_some_and(|(_, until_ms)| *until_ms <= now.monotonic_ms)
    }

    pub(super) fn get(&self, id: &Prefix) -> Option<&Kept<O>> {
        self.kept.get(id)
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

    fn keep(recent: &mut Recent<Vec<u8>>, now_ms: u64, number: u8, size: usize) {
        let kept = Kept {
            author: Prefix([9; 8]),
            bytes: vec![number; size],
            hops: 1,
            number: 0,
        };
        recent.insert(at(now_ms), Prefix([number; 8]), kept, &CONFIG);
    }

    fn numbers(recent: &Recent<Vec<u8>>) -> Vec<u8> {
        recent.kept.keys().map(|id| id.0[0]).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_or_too_old() {
        let mut recent = Recent::new();
        (1..=4).for_each(|number| keep(&mut recent, 0, number, 1));
        assert_eq!(numbers(&recent), [2, 3, 4]);
        keep(&mut recent, 10, 5, 8);
        assert_eq!((numbers(&recent), recent.bytes), (vec![3, 4, 5], 10));
        keep(&mut recent, 10, 3, 2);
        assert_eq!((numbers(&recent), recent.bytes), (vec![4, 5], 9));
        keep(&mut recent, 100, 6, 1);
        assert_eq!((numbers(&recent), recent.bytes), (vec![5, 6], 9));
        keep(&mut recent, 110, 7, 1);
        assert_eq!((numbers(&recent), recent.bytes), (vec![6, 7], 2));
    }
}
