//! Peer exchange: finding nodes through nodes, and deciding whom to dial.
//!
//! Whatever tells of addresses (the operator, the file of an earlier run, multicast, the DHT, other
//! nodes) fills one [`AddressBook`]. From it this machine keeps a node connected:
//!
//! - *How many.* A node wants `links_target` sessions, and a share of these dialled by itself. The
//!   ones it dials are its own choice, made among everything it knows; who comes in chose it. So
//!   an attacker who fills all places for those who come in has not cut it off. For the same reason
//!   those who come in never get all places ([`Limits::admit`]).
//! - *Whom.* As the book chooses: diverse, what worked, what rests not. Nobody twice.
//! - *Asking.* Each peer is asked when the session begins and then every `ask_interval_ms`; every
//!   `ask_hurry_ms` while links are missing and nobody is left to dial. An answer counts only if it
//!   was asked for, and once; it may come after the next question.
//! - *Answering.* At most [`PEERS_MAX`] nodes that are connected now or were within a week, so
//!   hearsay goes one hop and no further. A node that is full answers before it parts
//!   ([`PeerExchange::farewell`]): whoever knows only one busy node finds the others through it.
//!   Questions that come together are answered once: a machine that was frozen or cut off for a
//!   moment finds those of many seconds. They are held against nobody up to [`QUESTIONS_BURST`].
//! - *Not to everyone.* An address of this machine is told to and believed of peers on this machine
//!   only, a private one those in private networks ([`Reach::concerns`]).
//! - *Mixing.* Two halves of a network whose nodes all have enough links would never meet. So once
//!   in `rotate_interval_ms` a node dials one more, one that no peer of its names among its links
//!   if there is such a node, and gives up another that it had dialled.
//!
//! Every answer also names the sender's links: together they are a [`PeerExchange::topology`].
//!
//! The driver carries out [`PeerExchangeOutput`]. It may dial an address again by itself after it
//! has asked [`PeerExchange::advice`].

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::address::{Neighbourhood, PeerAddress, Reach};
use crate::address_book::{AddressBook, Choice, Known, Teller, Told};
use crate::handshake::Dialler;
use crate::outputs::Outputs;
use crate::random::SplitMix64;
use crate::rate_limit::{Admission, Rate, TokenBucket};
use crate::types::{AuthorKey, LinkId, Now};
use crate::wire::{GetPeers, Goodbye, GoodbyeCode, LINKS_MAX, PEERS_MAX, PeerEntry, Peers};

mod limits;
mod vocabulary;

pub use limits::{Limits, Present};
pub use vocabulary::{
    Advice, Conduct, DialResult, Exchanging, LinkFacts, PeerExchangeConfig, PeerExchangeOutput,
    Target,
};

/// So many questions of a peer may come together, besides one in `answer_interval_ms`. A guess: an
/// honest peer in a hurry asks as many in a minute, and a session that is silent for so long ends.
pub const QUESTIONS_BURST: u64 = 32;

/// So many questions to a peer may wait for their answers; the oldest is forgotten.
pub const ASKED_MAX: usize = 32;

/// An established session.
#[derive(Clone, Debug)]
struct Link {
    facts: LinkFacts,
    /// Numbers of the questions under way, oldest first.
    asked: VecDeque<u64>,
    last_ask_ms: Option<u64>,
    next_ask_ms: u64,
    answered_ms: Option<u64>,
    /// How many questions it may ask.
    questions: TokenBucket,
    /// Whether it has said what nobody asked for, as a node that parts does once.
    has_parted: bool,
    /// The sessions that it told of.
    told: Vec<AuthorKey>,
}

impl Link {
    fn reach(&self) -> Reach {
        self.facts.reach()
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct PeerExchange {
    config: PeerExchangeConfig,
    book: AddressBook,
    links: BTreeMap<LinkId, Link>,
    /// Addresses being dialled, and since when.
    dialling: BTreeMap<PeerAddress, u64>,
    /// The link that is dialled to replace another.
    rotation: Option<PeerAddress>,
    rotate_at_ms: u64,
    plan_at_ms: Option<u64>,
    next_request: u64,
    random: SplitMix64,
    outputs: Outputs<PeerExchangeOutput>,
}

impl PeerExchange {
    /// A node that knows nobody. The seed should differ between nodes.
    pub fn new(now: Now, config: PeerExchangeConfig, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let rotate_at_ms = now
            .monotonic_ms
            .saturating_add(random.around_ms(config.rotate_interval_ms));
        Self {
            config,
            book: AddressBook::new(config.book),
            links: BTreeMap::new(),
            dialling: BTreeMap::new(),
            rotation: None,
            rotate_at_ms,
            plan_at_ms: None,
            next_request: 1,
            random,
            outputs: Outputs::default(),
        }
    }

    /// What is known of addresses.
    pub fn book(&self) -> &AddressBook {
        &self.book
    }

    /// How many addresses are being dialled.
    pub fn dialling_len(&self) -> usize {
        self.dialling.len()
    }

    /// The next thing to do; ask until there is none.
    pub fn poll_output(&mut self) -> Option<PeerExchangeOutput> {
        self.outputs.pop_front()
    }

    /// The monotonic time at which [`PeerExchange::handle_timeout`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let asks = self.links.values().map(|link| link.next_ask_ms);
        let asks = asks.filter(|_| self.config.exchange == Exchanging::On);
        let dials = self
            .dialling
            .values()
            .map(|since_ms| since_ms.saturating_add(self.config.dial_timeout_ms));
        let others = self.plan_at_ms.into_iter().chain([self.rotate_at_ms]);
        asks.chain(dials).chain(others).min()
    }

    /// Who links to whom, as far as this node and its peers tell: each node once.
    pub fn topology(&self, own: AuthorKey) -> BTreeMap<AuthorKey, BTreeSet<AuthorKey>> {
        let mut links: BTreeMap<AuthorKey, BTreeSet<AuthorKey>> = BTreeMap::new();
        for link in self.links.values() {
            let node = link.facts.node;
            links.entry(own).or_default().insert(node);
            links.entry(node).or_default().extend(&link.told);
        }
        links
    }

    /// Takes an address from the file of an earlier run.
    pub fn handle_restored(&mut self, now: Now, address: PeerAddress, known: Known) -> Told {
        self.book.restore(now, address, known)
    }

    /// Somebody told of addresses.
    pub fn handle_found(&mut self, now: Now, teller: Teller, addresses: &[PeerAddress]) {
        for address in addresses {
            self.book.tell(now, *address, None, teller);
        }
        self.plan(now);
    }

    /// A session was established.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId, facts: LinkFacts) {
        if let Some(place) = facts.place {
            self.book
                .note_worked(now, place, facts.node, Teller::Itself);
            self.dialling.remove(&place);
        }
        let questions = Rate {
            tokens: 1,
            interval_ms: self.config.answer_interval_ms,
            burst: QUESTIONS_BURST,
        };
        self.links.insert(
            link,
            Link {
                facts,
                asked: VecDeque::new(),
                last_ask_ms: None,
                next_ask_ms: now.monotonic_ms,
                answered_ms: None,
                questions: TokenBucket::new(now.monotonic_ms, questions),
                has_parted: false,
                told: Vec::new(),
            },
        );
        self.handle_timeout(now);
    }

    /// A session ended. Its address rests for a moment: others are tried first.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        let gone = self.links.remove(&link);
        if let Some(place) = gone.and_then(|link| link.facts.place) {
            self.book.note_full(now, place, self.config.book.rest_ms);
        }
        self.plan(now);
    }

    /// Whether this address is to be dialled now. Learned ones that are not wanted are over, those
    /// of the operator wait until there are too few links.
    pub fn advice(&mut self, now: Now, target: Target) -> Advice {
        let Target::Learned(address) = target else {
            let named_alone = self.config.limits.links_target == 0;
            return match self.wanted() {
                0 if !named_alone => Advice::Wait {
                    retry_in_ms: self.config.ask_hurry_ms,
                },
                _ => Advice::Go,
            };
        };
        let is_linked = self.linked_places().contains(&address);
        if self.book.is_own(address) || is_linked {
            self.dialling.remove(&address);
            return Advice::Over;
        }
        if self.dialling.contains_key(&address) {
            return Advice::Go;
        }
        if self.wanted() == 0 {
            return Advice::Over;
        }
        self.dialling.insert(address, now.monotonic_ms);
        Advice::Go
    }

    /// An attempt to reach an address ended without a session. Whoever is told to go or to wait
    /// tries again and reports again.
    pub fn handle_dialled(&mut self, now: Now, address: PeerAddress, result: DialResult) -> Advice {
        match result {
            DialResult::Failed => self.book.note_failed(now, address),
            DialResult::Full => {
                let rest_ms = self.random.around_ms(self.config.full_rest_ms);
                self.book.note_full(now, address, rest_ms);
            }
            DialResult::Unwanted => {
                let rest_ms = self.config.book.rest_max_ms;
                self.book.note_full(now, address, rest_ms);
            }
            DialResult::Own => self.book.note_own(address),
        }
        let known = self.book.get(address);
        let again = result == DialResult::Failed
            && known.is_some_and(|known| {
                known.worked_unix_ms.is_some() && known.failures < self.config.failures_max
            });
        if again && self.dialling.contains_key(&address) {
            return Advice::Go;
        }
        self.dialling.remove(&address);
        if self.rotation == Some(address) {
            self.rotation = None;
        }
        self.plan(now);
        Advice::Over
    }

    /// A peer asks for nodes.
    pub fn handle_ask(&mut self, now: Now, link: LinkId, ask: GetPeers) -> Conduct {
        let interval_ms = self.config.answer_interval_ms;
        if self.config.exchange == Exchanging::Off {
            return Conduct::Fine;
        }
        let Some(asker) = self.links.get_mut(&link) else {
            return Conduct::Fine;
        };
        if asker.questions.admit(now.monotonic_ms, 1) == Admission::Refused {
            return Conduct::TooOften;
        }
        let until_ms = asker.answered_ms.map(|at_ms| at_ms + interval_ms);
        if until_ms.is_some_and(|until_ms| now.monotonic_ms < until_ms) {
            return Conduct::Fine;
        }
        asker.answered_ms = Some(now.monotonic_ms);
        let facts = asker.facts;
        let count_max = usize::try_from(ask.peers_max).unwrap_or(usize::MAX);
        let peers = self.answer(now, ask.request, count_max, facts);
        self.outputs
            .push_back(PeerExchangeOutput::Answer { link, peers });
        Conduct::Fine
    }

    /// A peer gives nodes.
    pub fn handle_peers(&mut self, now: Now, link: LinkId, peers: Peers) -> Conduct {
        let Some(teller) = self.links.get_mut(&link) else {
            return Conduct::Fine;
        };
        let is_expected = match peers.request {
            0 => !core::mem::replace(&mut teller.has_parted, true),
            request => {
                let under_way = teller.asked.iter().position(|asked| *asked == request);
                under_way.is_some_and(|at| teller.asked.remove(at).is_some())
            }
        };
        if !is_expected || self.config.exchange == Exchanging::Off {
            return Conduct::TooOften;
        }
        teller.told = peers.links;
        let (reach, facts) = (teller.reach(), teller.facts);
        let source = Teller::Peer(facts.remote.map(Neighbourhood::of));
        for entry in peers.peers {
            if entry.address.reach().concerns(reach) {
                self.book.tell(now, entry.address, entry.node, source);
            }
        }
        // Only now it is clear that the new link is there to stay.
        if peers.request != 0
            && self
                .rotation
                .take_if(|it| facts.place == Some(*it))
                .is_some()
        {
            self.give_one_up(link);
        }
        self.plan(now);
        Conduct::Fine
    }

    /// What a node that is full says to a stranger before it parts.
    pub fn farewell(&mut self, now: Now, stranger: LinkFacts) -> Option<Peers> {
        (self.config.exchange == Exchanging::On).then(|| self.answer(now, 0, PEERS_MAX, stranger))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let timeout_ms = self.config.dial_timeout_ms;
        self.dialling
            .retain(|_, since_ms| since_ms.saturating_add(timeout_ms) > now.monotonic_ms);
        self.ask_all(now);
        if self.rotate_at_ms <= now.monotonic_ms {
            let wait_ms = self.random.around_ms(self.config.rotate_interval_ms);
            self.rotate_at_ms = now.monotonic_ms.saturating_add(wait_ms.max(1));
            self.rotate(now);
        }
        self.plan(now);
    }

    /// How many addresses are to be dialled beside those that are.
    fn wanted(&self) -> usize {
        let (links, dialling) = (self.links.len(), self.dialling.len());
        let own = self.links.values();
        let own = own.filter(|link| link.facts.dialler == Dialler::Local);
        let limits = self.config.limits;
        let missing = limits.links_target.saturating_sub(links + dialling);
        let missing_own = limits.own_min().saturating_sub(own.count() + dialling);
        let room = limits.links_max.saturating_sub(links + dialling);
        let dials = self.config.dials_max.saturating_sub(dialling);
        missing.max(missing_own).min(room).min(dials)
    }

    fn linked_places(&self) -> BTreeSet<PeerAddress> {
        let links = self.links.values();
        links.filter_map(|link| link.facts.place).collect()
    }

    /// Dials as many as are wanted; asks for more if there are too few.
    fn plan(&mut self, now: Now) {
        self.plan_at_ms = None;
        let wanted = self.wanted();
        if wanted == 0 {
            return;
        }
        let chosen = self.choose(now, wanted, &BTreeSet::new());
        let missing = wanted - chosen.len();
        chosen.into_iter().for_each(|it| self.dial(now, it));
        if missing == 0 {
            return;
        }
        let hurry_ms = self.config.ask_hurry_ms;
        for link in self.links.values_mut() {
            let soonest_ms = link.last_ask_ms.map_or(0, |at_ms| at_ms + hurry_ms);
            link.next_ask_ms = link.next_ask_ms.min(soonest_ms.max(now.monotonic_ms));
        }
        let candidates = self.candidates(&BTreeSet::new());
        let rested_ms = self.book.next_rested_ms(now, &candidates);
        self.plan_at_ms = rested_ms.map(|at_ms| at_ms.max(now.monotonic_ms + 1));
    }

    fn dial(&mut self, now: Now, address: PeerAddress) {
        self.dialling.insert(address, now.monotonic_ms);
        self.outputs.push_back(PeerExchangeOutput::Dial(address));
    }

    /// Whether an address leads to nobody new. A key that was only claimed rules out nobody but
    /// those in `others`: else a liar could keep this node from dialling whom he names.
    fn candidates(
        &self,
        others: &BTreeSet<AuthorKey>,
    ) -> impl Fn(PeerAddress, &Known) -> bool + use<> {
        let places = self.linked_places();
        let nodes: BTreeSet<_> = self.links.values().map(|link| link.facts.node).collect();
        let dialling: BTreeSet<_> = self.dialling.keys().copied().collect();
        let others = others.clone();
        move |address: PeerAddress, known: &Known| {
            let proven = known.node.filter(|_| known.worked_unix_ms.is_some());
            let is_linked = proven.is_some_and(|node| nodes.contains(&node));
            let is_other = known.node.is_some_and(|node| others.contains(&node));
            // What the operator named has a dialler of its own.
            let is_named = known.teller == Teller::Operator;
            !is_named
                && !is_linked
                && !is_other
                && !places.contains(&address)
                && !dialling.contains(&address)
        }
    }

    /// Chooses addresses to dial, of nodes that are not among `others`.
    fn choose(
        &mut self,
        now: Now,
        count_max: usize,
        others: &BTreeSet<AuthorKey>,
    ) -> Vec<PeerAddress> {
        let candidates = self.candidates(others);
        let book = &self.book;
        let filter = |at: PeerAddress, known: &Known| candidates(at, known) && !book.rests(now, at);
        let own = self.links.values();
        let own = own.filter(|link| link.facts.dialler == Dialler::Local);
        let places = own.filter_map(|link| link.facts.place);
        let crowd = crowd(places.chain(self.dialling.keys().copied()));
        let choice = Choice {
            count_max,
            crowd,
            filter: &filter,
        };
        book.choose(choice, &mut self.random)
    }

    /// Nodes for one who asks, as far as they concern him: connected ones, or lately so.
    fn answer(&mut self, now: Now, request: u64, count_max: usize, asker: LinkFacts) -> Peers {
        let reach = asker.reach();
        let connected = self.linked_places();
        let oldest_ms = now.unix_ms.saturating_sub(self.config.told_age_max_ms);
        let worked_ms = |at: PeerAddress, known: &Known| {
            let lately = known.worked_unix_ms.filter(|at_ms| *at_ms >= oldest_ms);
            let now_ms = connected.contains(&at).then_some(now.unix_ms);
            now_ms.or(lately.filter(|_| known.failures == 0))
        };
        let filter = |at: PeerAddress, known: &Known| {
            let is_asker = Some(at) == asker.place || known.node == Some(asker.node);
            !is_asker && at.reach().concerns(reach) && worked_ms(at, known).is_some()
        };
        let choice = Choice {
            count_max: count_max.min(PEERS_MAX),
            crowd: BTreeMap::new(),
            filter: &filter,
        };
        let chosen = self.book.choose(choice, &mut self.random);
        let entry = |address: PeerAddress| {
            let known = self.book.get(address)?;
            let age_ms = now.unix_ms.saturating_sub(worked_ms(address, known)?);
            Some(PeerEntry {
                address,
                node: known.node,
                age_s: age_ms / 1_000,
            })
        };
        let links = self.links.values().map(|link| link.facts.node);
        Peers {
            request,
            peers: chosen.into_iter().filter_map(entry).collect(),
            links: links.take(LINKS_MAX).collect(),
        }
    }

    /// Asks every peer whose time has come.
    fn ask_all(&mut self, now: Now) {
        if self.config.exchange == Exchanging::Off {
            return;
        }
        for (id, link) in &mut self.links {
            if link.next_ask_ms > now.monotonic_ms {
                continue;
            }
            let wait_ms = self.random.around_ms(self.config.ask_interval_ms);
            link.next_ask_ms = now.monotonic_ms.saturating_add(wait_ms.max(1));
            link.last_ask_ms = Some(now.monotonic_ms);
            let request = self.next_request;
            self.next_request += 1;
            link.asked.push_back(request);
            if link.asked.len() > ASKED_MAX {
                link.asked.pop_front();
            }
            let peers_max = PEERS_MAX as u64;
            let ask = GetPeers { request, peers_max };
            self.outputs
                .push_back(PeerExchangeOutput::Ask { link: *id, ask });
        }
    }

    /// Begins to replace a link by one into another part of the network.
    fn rotate(&mut self, now: Now) {
        let limits = self.config.limits;
        let is_settled = self.links.len() >= limits.links_target && self.dialling.is_empty();
        if !is_settled || self.links.len() >= limits.links_max {
            return;
        }
        let told = self.links.values().flat_map(|link| &link.told);
        let near: BTreeSet<AuthorKey> = told.copied().collect();
        let mut chosen = self.choose(now, 1, &near);
        if chosen.is_empty() {
            chosen = self.choose(now, 1, &BTreeSet::new());
        }
        if let Some(address) = chosen.pop() {
            self.rotation = Some(address);
            self.dial(now, address);
        }
    }

    /// Gives up one of the links that this node has dialled: one to a node that another peer is
    /// linked to, so that nothing is cut, and that the operator did not name. If there is none,
    /// all stay.
    fn give_one_up(&mut self, newcomer: LinkId) {
        if self.links.len() <= self.config.limits.links_target {
            return;
        }
        let told = self.links.values().flat_map(|link| &link.told);
        let near: BTreeSet<AuthorKey> = told.copied().collect();
        let may_go = |link: &Link| {
            let known = link.facts.place.and_then(|place| self.book.get(place));
            let named = known.is_some_and(|known| known.teller == Teller::Operator);
            let is_near = near.contains(&link.facts.node);
            link.facts.dialler == Dialler::Local && !named && is_near
        };
        let links = self.links.iter();
        let links = links.filter(|(id, link)| **id != newcomer && may_go(link));
        let candidates: Vec<LinkId> = links.map(|(id, _)| *id).collect();
        let count = candidates.len() as u64;
        let index = self.random.any().checked_rem(count);
        let chosen = index.and_then(|index| candidates.get(usize::try_from(index).ok()?));
        let part = chosen.map(|link| PeerExchangeOutput::Part {
            link: *link,
            goodbye: Goodbye {
                code: GoodbyeCode::Full,
                reason: "this node changes its links from time to time".to_string(),
            },
        });
        self.outputs.extend(part);
    }
}

/// How many addresses there are in each neighbourhood.
fn crowd(addresses: impl Iterator<Item = PeerAddress>) -> BTreeMap<Neighbourhood, usize> {
    let mut crowd = BTreeMap::new();
    for address in addresses {
        *crowd.entry(address.neighbourhood()).or_default() += 1;
    }
    crowd
}

#[cfg(test)]
mod tests;
