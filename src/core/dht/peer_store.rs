//! Announcements that are kept here: which addresses offer which service.
//!
//! Bounded by count, by bytes of names and by age. Beyond either bound the oldest announcement is
//! forgotten: an honest service repeats its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::least_recent::LeastRecent;

/// Most bytes of names, counted once for each announcement. A guess: a hundred times what 10,000
/// services with ordinary names need would be idle, and a datagram's worth of name 64 times over.
pub(crate) const NAME_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// An announcement: the name of a service and an address that offers it.
type Record = (Arc<[u8]>, SocketAddrV4);

const FIRST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
const LAST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX);

#[derive(Clone, Debug)]
pub(crate) struct PeerStore {
    records: LeastRecent<Record, ()>,
    name_bytes: usize,
    life_ms: u64,
}

impl PeerStore {
    /// A store of at most `records_max` announcements that live for 4/3 of `age_ms_max`.
    pub(crate) fn new(records_max: usize, age_ms_max: u64) -> Self {
        Self {
            records: LeastRecent::new(records_max),
            name_bytes: 0,
            life_ms: age_ms_max.saturating_add(age_ms_max / 3),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Keeps an announcement, or keeps it longer.
    pub(crate) fn add(&mut self, now_ms: u64, name: &[u8], peer: SocketAddrV4) {
        if name.len() > NAME_BYTES_MAX {
            return;
        }
        let shared: Arc<[u8]> = Arc::from(name);
        // All announcements of a service share one copy of its name.
        let all = (shared.clone(), FIRST)..=(shared.clone(), LAST);
        let known = self.records.range(all).next();
        let shared = known.map_or(shared, |((name, _), _)| Arc::clone(name));
        let record = (shared, peer);
        if self.records.touch(now_ms, &record).is_some() {
            return;
        }
        while self.name_bytes + name.len() > NAME_BYTES_MAX {
            let gone = self.records.pop_oldest();
            self.forget(gone);
        }
        self.name_bytes += name.len();
        let gone = self.records.insert(now_ms, record, ());
        self.forget(gone);
    }

    fn forget(&mut self, gone: Option<(Record, ())>) {
        if let Some(((name, _), ())) = gone {
            self.name_bytes -= name.len();
        }
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let Some(until_ms) = now_ms.checked_sub(self.life_ms) else {
            return;
        };
        while let Some(gone) = self.records.pop_until(until_ms) {
            self.forget(Some(gone));
        }
    }

    /// The addresses that offer a service, in ascending order.
    pub(crate) fn of(&self, now_ms: u64, name: &[u8]) -> Vec<SocketAddrV4> {
        let name: Arc<[u8]> = Arc::from(name);
        let all = (name.clone(), FIRST)..=(name, LAST);
        let fresh = self
            .records
            .range(all)
            .filter(|(_, used_ms)| now_ms < used_ms.saturating_add(self.life_ms));
        fresh.map(|((_, peer), _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    #[test]
    fn an_announcement_lives_for_four_thirds_of_its_age() {
        let mut store = PeerStore::new(10, 300);
        store.add(0, b"a", peer(1));
        store.add(100, b"a", peer(2));
        store.add(200, b"a", peer(1));
        assert_eq!(store.of(499, b"a"), [peer(1), peer(2)]);
        assert_eq!(store.of(500, b"a"), [peer(1)], "one was not repeated");
        store.expire(599);
        assert_eq!(store.len(), 1);
        store.expire(600);
        assert_eq!(store.len(), 0);
        assert_eq!(store.name_bytes, 0);
    }

    #[test]
    fn names_are_told_apart_whatever_their_length() {
        let mut store = PeerStore::new(10, 300);
        let names: [&[u8]; 4] = [b"", b"a", b"ab", &[b'a'; 60_000]];
        for (port, name) in (1..).zip(names) {
            store.add(0, name, peer(port));
        }
        for (port, name) in (1..).zip(names) {
            assert_eq!(store.of(0, name), [peer(port)]);
        }
    }

    #[test]
    fn beyond_the_bounds_the_oldest_are_forgotten() {
        let mut store = PeerStore::new(2, 300);
        (1..=3).for_each(|port| store.add(u64::from(port), b"a", peer(port)));
        assert_eq!(store.of(3, b"a"), [peer(2), peer(3)]);
        let mut store = PeerStore::new(10_000, 300);
        for port in 1..=100 {
            let name = [port as u8; 60_000];
            store.add(0, &name, peer(port));
            assert!(store.name_bytes <= NAME_BYTES_MAX);
        }
        assert_eq!(store.len(), NAME_BYTES_MAX / 60_000);
        assert_eq!(store.of(0, &[100; 60_000]), [peer(100)]);
    }
}
