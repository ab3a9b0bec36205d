//! A node of the DHT, compatible with Grenache's Grape (BEP 5, BEP 44, Kademlia).
//!
//! The DHT is a table without a centre: which addresses offer a service, and small values by their
//! hash. Each node keeps what is near to its own random id; who looks for a name walks towards it,
//! asking ever nearer nodes (`walk`). [`Dht`] is such a node as a state machine: datagrams and
//! time go in, datagrams and results come out.
//!
//! - inputs: [`Dht::handle_datagram`], [`Dht::tick`], and what is asked of it:
//!   [`Dht::start_lookup`], [`Dht::start_announce`], [`Dht::start_get`], [`Dht::start_put`],
//!   [`Dht::meet`], [`Dht::offer_here`];
//! - outputs: [`Dht::poll_output`] until there is none, [`Dht::next_deadline_ms`].
//!
//! The parts: whom it knows (`routing`), questions under way (`transactions`), what it was
//! asked to do (`errands`), what it answers (`server`) and how much (`allowance`),
//! permissions (`tokens`), what it keeps (`peer_store`, `value_store`), and how it enters
//! the DHT and stays in it (`upkeep`).
//!
//! # What holds under attack
//!
//! Everything is bounded: the constants of the parts say what happens at each bound. No datagram
//! makes it send more than one answer, a stranger's answer is short and rate-limited, nothing is
//! kept for an address that has not proved that it receives there. What it does not defend
//! against is an attacker with very many addresses who surrounds a name: the DHT helps to find
//! peers, it decides nothing about the exchange.

mod allowance;
mod chance;
mod errands;
mod least_recent;
mod peer_store;
mod routing;
mod server;
#[cfg(test)]
mod tests;
mod tokens;
mod transactions;
mod upkeep;
mod value_store;
mod vocabulary;
mod walk;
#[cfg(test)]
mod world;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

use self::allowance::Allowance;
use self::chance::Random;
use self::errands::Errand;
use self::least_recent::LeastRecent;
use self::peer_store::PeerStore;
use self::routing::{Noted, RoutingTable};
use self::tokens::Tokens;
use self::transactions::{Overdue, Patience, Purpose, Question, Transactions};
use self::upkeep::Upkeep;
use self::value_store::ValueStore;
use self::walk::Giver;
use crate::address::Reach;
use crate::krpc::{Answer, AnswerBody, Contact, Message, NodeId, OwnQuery};
use crate::outputs::Outputs;
use crate::types::Now;

pub use self::vocabulary::{
    CacheUse, DhtConfig, DhtEvent, Found, FoundValue, GetRequest, HASH_BYTES, MutablePut, Outcome,
    Output, Overloaded, PEERS_FOUND_MAX, PutRequest, QueryId, SendError, Signed,
};

/// Most services of this host alone; the least recently offered goes. A node has one.
const OFFERS_MAX: usize = 64;

/// The nodes that would take something for a target, and when they said so.
#[derive(Clone, Debug)]
struct GiverTable {
    since_ms: u64,
    givers: Vec<Giver>,
}

/// A question that is to be asked.
struct Ask<'a> {
    to: SocketAddrV4,
    /// Who should answer, if that is known.
    id: Option<NodeId>,
    purpose: Purpose,
    patience: Patience,
    query: &'a OwnQuery<'a>,
}

/// A node of the DHT.
///
/// Getters: [`id`](Self::id), [`nodes_count`](Self::nodes_count). All others are named in the
/// documentation of the module.
#[derive(Clone, Debug)]
pub struct Dht {
    config: DhtConfig,
    own: NodeId,
    random: Random,
    routing: RoutingTable,
    transactions: Transactions,
    tokens: Tokens,
    allowance: Allowance,
    peers: PeerStore,
    values: ValueStore,
    tables: LeastRecent<Vec<u8>, GiverTable>,
    errands: BTreeMap<QueryId, Errand>,
    queued: VecDeque<(QueryId, Errand)>,
    /// Services that only this host reaches, told to nobody else.
    offers: LeastRecent<Vec<u8>, SocketAddrV4>,
    /// The errand of each name that is being looked up, and of each that is being announced with a
    /// port.
    shared: BTreeMap<(Vec<u8>, Option<u16>), QueryId>,
    upkeep: Upkeep,
    next_query: u64,
    outputs: Outputs<Output>,
}

impl Dht {
    /// A node with a random id that knows nobody yet and begins to enter the DHT. The seed must be
    /// one that nobody can guess.
    pub fn new(config: DhtConfig, seed: &[u8; 32], now: Now) -> Self {
        let now_ms = now.monotonic_ms;
        let mut random = Random::new(seed);
        let own = NodeId(random.bytes());
        let mut dht = Self {
            own,
            routing: RoutingTable::new(own),
            transactions: Transactions::default(),
            tokens: Tokens::new(now_ms, &mut random),
            allowance: Allowance::new(),
            peers: PeerStore::new(config.peers_max, config.peer_age_ms_max),
            values: ValueStore::new(config.values_max),
            tables: LeastRecent::new(config.tables_max),
            errands: BTreeMap::new(),
            queued: VecDeque::new(),
            offers: LeastRecent::new(OFFERS_MAX),
            shared: BTreeMap::new(),
            upkeep: Upkeep::new(now_ms, &mut random),
            next_query: 0,
            outputs: Outputs::default(),
            random,
            config,
        };
        dht.begin_upkeep(now_ms);
        dht
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.own
    }

    /// How many nodes it knows.
    pub fn nodes_count(&self) -> usize {
        self.routing.len()
    }

    /// What is to be done next; ask until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Dht::tick`] is due at the latest.
    pub fn next_deadline_ms(&self) -> u64 {
        let upkeep_ms = self.next_upkeep_ms();
        self.transactions
            .next_deadline_ms()
            .map_or(upkeep_ms, |deadline_ms| deadline_ms.min(upkeep_ms))
    }

    /// Takes a datagram. One that is not understood is dropped without an answer.
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddrV4, datagram: &[u8]) {
        if !is_possible_source(from) {
            return;
        }
        let now_ms = now.monotonic_ms;
        match Message::decode(datagram) {
            Ok(Message::Query(query)) => {
                if let Some(id) = query.sender {
                    self.note(now_ms, Contact { id, address: from });
                }
                self.on_query(now_ms, from, &query);
            }
            Ok(Message::Answer(answer)) => self.on_answer(now_ms, from, answer),
            Err(_) => {}
        }
    }

    /// Does what time has made due.
    pub fn tick(&mut self, now: Now) {
        let now_ms = now.monotonic_ms;
        while let Some(overdue) = self.transactions.overdue(now_ms) {
            match overdue {
                Overdue::Repeat(to, datagram) => {
                    self.outputs.push_back(Output::Send { to, datagram });
                }
                Overdue::Late(Purpose::Step(errand), to) => self.on_step_late(now_ms, errand, to),
                Overdue::Late(Purpose::Delivery(errand), to) => {
                    self.on_delivery_failed(now_ms, errand, to, None);
                }
                Overdue::Late(Purpose::Liveness, _) => {}
                Overdue::Failed(question) => self.on_silence(now_ms, &question),
            }
        }
        self.tick_upkeep(now_ms);
    }

    fn query_id(&mut self) -> QueryId {
        self.next_query += 1;
        QueryId(self.next_query)
    }

    /// Remembers who was heard.
    fn note(&mut self, now_ms: u64, contact: Contact) {
        match self.routing.note(now_ms, contact) {
            Noted::Added => {
                let event = DhtEvent::NodeAdded(contact);
                self.outputs.push_back(Output::Event(event));
            }
            Noted::Check(oldest) => self.check(now_ms, oldest),
            Noted::Known | Noted::Ignored => {}
        }
    }

    /// Asks a node whether it is still there.
    fn check(&mut self, now_ms: u64, contact: Contact) {
        // If too many questions are under way this one is left out, and the newcomer with it.
        let _ = self.ask(
            now_ms,
            Ask {
                to: contact.address,
                id: Some(contact.id),
                purpose: Purpose::Liveness,
                patience: Patience::Normal,
                query: &OwnQuery::Ping,
            },
        );
    }

    /// Sends a question; `false` if too many are under way.
    fn ask(&mut self, now_ms: u64, ask: Ask<'_>) -> bool {
        let Some(number) = self.transactions.draw(&mut self.random) else {
            return false;
        };
        let datagram = ask.query.encode(number, &self.own);
        let to = ask.to;
        let question = Question {
            to,
            id: ask.id,
            purpose: ask.purpose,
            patience: ask.patience,
            datagram: datagram.clone(),
        };
        self.transactions.begin(now_ms, number, question);
        self.outputs.push_back(Output::Send { to, datagram });
        true
    }

    fn on_answer(&mut self, now_ms: u64, from: SocketAddrV4, answer: Answer<'_>) {
        let Some(question) = self.transactions.end(answer.transaction, from) else {
            return;
        };
        match answer.body {
            AnswerBody::Refusal(refusal) => match question.purpose {
                Purpose::Step(errand) => self.on_step_failed(now_ms, errand, question.to),
                Purpose::Delivery(errand) => {
                    self.on_delivery_failed(now_ms, errand, question.to, Some(refusal));
                }
                Purpose::Liveness => {}
            },
            AnswerBody::Reply(reply) => {
                let sender = reply.sender;
                if let (Some(expected), Some(sender)) = (question.id, sender)
                    && expected != sender
                {
                    // Restarted with another id: gone, and there again.
                    self.on_silence(now_ms, &question);
                    return self.note(
                        now_ms,
                        Contact {
                            id: sender,
                            address: from,
                        },
                    );
                }
                if let Some(id) = sender {
                    self.note(now_ms, Contact { id, address: from });
                }
                match question.purpose {
                    Purpose::Step(errand) => self.on_step(now_ms, errand, question.to, reply),
                    Purpose::Delivery(errand) => self.on_delivered(now_ms, errand, question.to),
                    Purpose::Liveness => self.on_alive(now_ms, question.id),
                }
            }
        }
    }

    /// A node is there: perhaps the next one of its bucket is asked.
    fn on_alive(&mut self, now_ms: u64, id: Option<NodeId>) {
        if let Some(next) = id.and_then(|id| self.routing.still_there(now_ms, &id)) {
            self.check(now_ms, next);
        }
    }

    /// A node did not answer, or somebody else did in its place.
    fn on_silence(&mut self, now_ms: u64, question: &Question) {
        if let Some(id) = question.id
            && self.routing.knows(&id, question.to)
            && let Some(newcomer) = self.routing.remove(now_ms, &id)
        {
            let event = DhtEvent::NodeAdded(newcomer);
            self.outputs.push_back(Output::Event(event));
        }
        match question.purpose {
            Purpose::Step(errand) => self.on_step_failed(now_ms, errand, question.to),
            Purpose::Delivery(errand) => {
                self.on_delivery_failed(now_ms, errand, question.to, None);
            }
            Purpose::Liveness => {}
        }
    }
}

/// Whether a datagram can have come from there, and an answer can go there.
fn is_possible_source(address: SocketAddrV4) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
}

/// Whether a node at `teller` may send us to this address, or name it as that of a service. Only
/// this machine knows what is on it, only this network what is in it: a stranger elsewhere who
/// names such an address means another machine, or harm.
fn is_acceptable(told: SocketAddrV4, teller: SocketAddrV4) -> bool {
    let reach = |address: SocketAddrV4| Reach::of((*address.ip()).into());
    is_possible_source(told) && reach(told).concerns(reach(teller))
}
