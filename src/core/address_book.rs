//! What a node remembers of the addresses of others: who told of each, and how it did.
//!
//! The book is bounded, and written for a world in which most of what is told may be lies:
//!
//! - Nobody fills it. Each *teller* has a share: peers of one neighbourhood an eighth between them,
//!   the local network a quarter, the DHT and handshakes half. Of one public neighbourhood it holds
//!   a sixteenth. At a limit a newcomer takes the place of the worst that the same limit counts,
//!   and only if that one never worked; else the newcomer is refused.
//! - What worked is worth most. The *score* of an address falls with time since it last worked and
//!   with each failure in a row; when the book is full the least goes. What the operator named
//!   always stays.
//! - A choice is *diverse*: neighbourhoods of which there is least come first, then addresses that
//!   worked (at three of four choices) or that are untried (at the fourth, so that new nodes get
//!   their chance), and chance decides among equals.
//!
//! A failed address rests, twice as long after each failure in a row.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::address::{Neighbourhood, PeerAddress, Reach};
use crate::random::SplitMix64;
use crate::types::{AuthorKey, Now};

/// Own addresses that are remembered, so as not to be dialled: more than a machine has.
pub const OWN_MAX: usize = 64;

/// Score of an address at the moment when it worked. All scores are guesses; their order counts.
const WORKED_SCORE: i64 = 1_000;

/// What is left of that however long ago it was.
const ONCE_WORKED_SCORE: i64 = 300;

/// Score of an address of which a node has just been told.
const TOLD_SCORE: i64 = 200;

/// What each failure in a row takes away.
const FAILURE_COST: i64 = 250;

/// Milliseconds of an hour, which takes one point.
const HOUR_MS: u64 = 3_600_000;

/// How the book behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookConfig {
    /// Most addresses; at least 16 are assumed.
    pub addresses_max: usize,
    /// How long an address rests after its first failure, in milliseconds; doubles.
    pub rest_ms: u64,
    /// Longest rest, in milliseconds.
    pub rest_max_ms: u64,
}

impl Default for BookConfig {
    /// Guesses: twenty times the sessions of a node; from 1 s up to 10 min.
    fn default() -> Self {
        Self {
            addresses_max: 1_024,
            rest_ms: 1_000,
            rest_max_ms: 600_000,
        }
    }
}

/// Who told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Teller {
    /// The operator.
    Operator,
    /// The file of an earlier run.
    File,
    /// Multicast in the local network.
    Local,
    /// The DHT.
    Dht,
    /// The node that is there, in a handshake.
    Itself,
    /// Another node, known by its neighbourhood: keys cost nothing, addresses do.
    Peer(Option<Neighbourhood>),
}

impl Teller {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::File => "file",
            Self::Local => "mdns",
            Self::Dht => "dht",
            Self::Itself => "handshake",
            Self::Peer(_) => "peer",
        }
    }

    /// How much of a book this teller may fill.
    fn share_max(self, addresses_max: usize) -> usize {
        match self {
            Self::Operator | Self::File => addresses_max,
            Self::Itself | Self::Dht => addresses_max / 2,
            Self::Local => addresses_max / 4,
            Self::Peer(_) => addresses_max / 8,
        }
    }
}

/// What became of an address that somebody told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is new.
    New,
    /// It was there.
    Known,
    /// It is the own one, nobody can reach it, or there is no room for it.
    Refused,
}

/// What is remembered of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The key of the node there, as far as known. Proven if the address has worked.
    pub node: Option<AuthorKey>,
    /// Who told first.
    pub teller: Teller,
    /// When somebody told last, Unix milliseconds.
    pub told_unix_ms: u64,
    /// When there last was a session, Unix milliseconds.
    pub worked_unix_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
}

impl Known {
    /// What the address is worth; more is better.
    pub fn score(&self, unix_ms: u64) -> i64 {
        let hours = |since_ms: u64| {
            let age = unix_ms.saturating_sub(since_ms) / HOUR_MS;
            i64::try_from(age).unwrap_or(i64::MAX)
        };
        let merit = match self.worked_unix_ms {
            Some(at_ms) => WORKED_SCORE
                .saturating_sub(hours(at_ms))
                .max(ONCE_WORKED_SCORE),
            None => TOLD_SCORE.saturating_sub(hours(self.told_unix_ms)).max(0),
        };
        merit.saturating_sub(FAILURE_COST.saturating_mul(i64::from(self.failures)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Known,
    /// Not dialled before this monotonic time.
    rests_until_ms: u64,
}

/// The book.
#[derive(Clone, Debug)]
pub struct AddressBook {
    config: BookConfig,
    entries: BTreeMap<PeerAddress, Entry>,
    own: BTreeSet<PeerAddress>,
}

/// Whether an address counts.
pub type Filter<'a> = dyn Fn(PeerAddress, &Known) -> bool + 'a;

/// The addresses among which one is chosen, and how.
pub struct Choice<'a> {
    /// How many at the most.
    pub count_max: usize,
    /// How many there are of each neighbourhood already.
    pub crowd: BTreeMap<Neighbourhood, usize>,
    /// Whether an address may be chosen.
    pub filter: &'a Filter<'a>,
}

impl AddressBook {
    /// An empty book.
    pub fn new(config: BookConfig) -> Self {
        let addresses_max = config.addresses_max.max(16);
        Self {
            config: BookConfig {
                addresses_max,
                ..config
            },
            entries: BTreeMap::new(),
            own: BTreeSet::new(),
        }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of an address.
    pub fn get(&self, address: PeerAddress) -> Option<&Known> {
        self.entries.get(&address).map(|entry| &entry.known)
    }

    /// All addresses in their order.
    pub fn iter(&self) -> impl Iterator<Item = (PeerAddress, &Known)> {
        self.entries.iter().map(|(at, entry)| (*at, &entry.known))
    }

    /// Somebody told of an address, and perhaps of the key of the node there.
    pub fn tell(
        &mut self,
        now: Now,
        address: PeerAddress,
        node: Option<AuthorKey>,
        teller: Teller,
    ) -> Told {
        if address.reach() == Reach::Nobody || self.own.contains(&address) {
            return Told::Refused;
        }
        if let Some(entry) = self.entries.get_mut(&address) {
            let known = &mut entry.known;
            known.told_unix_ms = now.unix_ms;
            known.node = known.node.or(node);
            if teller == Teller::Operator {
                known.teller = teller;
            }
            return Told::Known;
        }
        if !self.make_room(now, address, teller) {
            return Told::Refused;
        }
        let known = Known {
            node,
            teller,
            told_unix_ms: now.unix_ms,
            worked_unix_ms: None,
            failures: 0,
        };
        self.insert(address, known);
        Told::New
    }

    /// Takes an address from the file of an earlier run; times of the future become now.
    pub fn restore(&mut self, now: Now, address: PeerAddress, known: Known) -> Told {
        let told = self.tell(now, address, known.node, Teller::File);
        if let (Told::New, Some(entry)) = (told, self.entries.get_mut(&address)) {
            entry.known.told_unix_ms = known.told_unix_ms.min(now.unix_ms);
            let worked = known.worked_unix_ms;
            entry.known.worked_unix_ms = worked.map(|at_ms| at_ms.min(now.unix_ms));
        }
        told
    }

    /// There is a session with the node at this address: it was dialled, or says that it takes
    /// connections there.
    pub fn note_worked(&mut self, now: Now, address: PeerAddress, node: AuthorKey, told: Teller) {
        if self.tell(now, address, Some(node), told) == Told::Refused {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.known.worked_unix_ms = Some(now.unix_ms);
            entry.known.node = Some(node);
            entry.known.failures = 0;
            entry.rests_until_ms = 0;
        }
    }

    /// An attempt to reach this address failed: it rests.
    pub fn note_failed(&mut self, now: Now, address: PeerAddress) {
        let config = self.config;
        if let Some(entry) = self.entries.get_mut(&address) {
            let doublings = entry.known.failures.min(32);
            entry.known.failures = entry.known.failures.saturating_add(1);
            let rest_ms = config.rest_ms.saturating_mul(1 << doublings);
            entry.rest(now, rest_ms.min(config.rest_max_ms));
        }
    }

    /// The node at this address takes no more sessions for now.
    pub fn note_full(&mut self, now: Now, address: PeerAddress, rest_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.rest(now, rest_ms);
        }
    }

    /// This address is the node's own one.
    pub fn note_own(&mut self, address: PeerAddress) {
        self.entries.remove(&address);
        if self.own.len() < OWN_MAX {
            self.own.insert(address);
        }
    }

    /// Whether this address is known to be the node's own one.
    pub fn is_own(&self, address: PeerAddress) -> bool {
        self.own.contains(&address)
    }

    /// Whether an address rests after a failure.
    pub fn rests(&self, now: Now, address: PeerAddress) -> bool {
        let entry = self.entries.get(&address);
        entry.is_some_and(|entry| entry.rests_until_ms > now.monotonic_ms)
    }

    /// The monotonic time at which the next of these resting addresses has rested.
    pub fn next_rested_ms(&self, now: Now, filter: &Filter<'_>) -> Option<u64> {
        let resting = self.entries.iter().filter(|(address, entry)| {
            entry.rests_until_ms > now.monotonic_ms && filter(**address, &entry.known)
        });
        resting.map(|(_, entry)| entry.rests_until_ms).min()
    }

    /// Chooses addresses; the module's text says how.
    pub(crate) fn choose(
        &self,
        mut choice: Choice<'_>,
        random: &mut SplitMix64,
    ) -> Vec<PeerAddress> {
        let allowed = |(at, entry): (&PeerAddress, &Entry)| {
            (choice.filter)(*at, &entry.known).then_some((*at, entry.known))
        };
        let mut candidates: Vec<_> = self.entries.iter().filter_map(allowed).collect();
        let mut chosen = Vec::new();
        while chosen.len() < choice.count_max && !candidates.is_empty() {
            let untried_first = random.any().is_multiple_of(4);
            let salt = random.any();
            let rank = |(at, known): &(PeerAddress, Known)| {
                let near = at.neighbourhood();
                let crowd = choice.crowd.get(&near).copied().unwrap_or(0);
                (crowd, known.class(untried_first), mix(salt, *at))
            };
            let ranked = candidates.iter().enumerate();
            let best = ranked.min_by_key(|(_, candidate)| rank(candidate));
            let Some((index, _)) = best else { break };
            let (address, _) = candidates.swap_remove(index);
            *choice.crowd.entry(address.neighbourhood()).or_default() += 1;
            chosen.push(address);
        }
        chosen
    }

    fn insert(&mut self, address: PeerAddress, known: Known) {
        let entry = Entry {
            known,
            rests_until_ms: 0,
        };
        self.entries.insert(address, entry);
    }

    /// Makes room for an address of this teller, if need be by forgetting another.
    fn make_room(&mut self, now: Now, address: PeerAddress, teller: Teller) -> bool {
        let addresses_max = self.config.addresses_max;
        let same_teller = |_: PeerAddress, known: &Known| known.teller == teller;
        let near = address.neighbourhood();
        let neighbours = |at: PeerAddress, _: &Known| at.neighbourhood() == near;
        let near_max = match address.reach() {
            Reach::Public => addresses_max / 16,
            // Of these a network may consist.
            Reach::Loopback | Reach::Private | Reach::Nobody => addresses_max,
        };
        let limits: [(&Filter<'_>, usize); 3] = [
            (&same_teller, teller.share_max(addresses_max)),
            (&neighbours, near_max),
            (&|_, _| true, addresses_max),
        ];
        let replaceable = |known: &Known| match teller {
            Teller::Operator => known.teller != Teller::Operator,
            _ => known.teller != Teller::Operator && known.worked_unix_ms.is_none(),
        };
        let mut gone = BTreeSet::new();
        for (counts, max) in limits {
            let counted = self.iter().filter(|(at, known)| counts(*at, known));
            let counted: Vec<_> = counted.filter(|(at, _)| !gone.contains(at)).collect();
            if counted.len() < max {
                continue;
            }
            let candidates = counted.iter().filter(|(_, known)| replaceable(known));
            let Some((worst, _)) = candidates.min_by_key(|(_, known)| known.score(now.unix_ms))
            else {
                return false;
            };
            gone.insert(*worst);
        }
        self.entries.retain(|at, _| !gone.contains(at));
        true
    }
}

impl Known {
    /// Less is chosen sooner.
    fn class(&self, untried_first: bool) -> u8 {
        match (self.failures, self.worked_unix_ms) {
            (1.., _) => 2,
            (0, Some(_)) => u8::from(untried_first),
            (0, None) => u8::from(!untried_first),
        }
    }
}

impl Entry {
    /// A rest that is longer already stays.
    fn rest(&mut self, now: Now, rest_ms: u64) {
        let until_ms = now.monotonic_ms.saturating_add(rest_ms);
        self.rests_until_ms = self.rests_until_ms.max(until_ms);
    }
}

/// Decides among equals.
fn mix(salt: u64, address: PeerAddress) -> u64 {
    let socket = address.socket();
    let bits = match socket.ip() {
        core::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
        core::net::IpAddr::V6(ip) => ip.to_bits(),
    };
    let halves = [bits as u64, (bits >> 64) as u64, u64::from(socket.port())];
    let fold = |state: u64, part: u64| SplitMix64(state ^ part).any();
    halves.into_iter().fold(salt, fold)
}

#[cfg(test)]
mod tests;
