//! What the node was asked to do: look up, announce, get, put; and its own walks.
//!
//! Every errand begins with a walk towards its target, unless it is known from the last five
//! minutes who takes something for that target; then an announcement or a value is delivered to
//! the nearest of those. If nobody takes it any more on the strength of a remembered permission
//! (neighbours that were restarted), the errand walks once and tries again.
//!
//! Equal lookups at the same time share one walk, and equal announcements one errand. At most
//! [`ACTIVE_MAX`] errands are under way, [`QUEUED_MAX`] wait for them, and [`WAITERS_MAX`] callers
//! for one of them; whoever comes then is told that it is too much.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::routing::BUCKET_NODES_MAX;
use super::tokens::ROTATION_MS;
use super::transactions::{Patience, Purpose};
use super::value_store::{checked, mutable_target, sha1};
use super::vocabulary::{
    CacheUse, DhtEvent, Found, FoundValue, GetRequest, HASH_BYTES, MutablePut, Outcome, Output,
    Overloaded, PEERS_FOUND_MAX, PutRequest, QueryId, SendError,
};
use super::walk::{Giver, Walk, WalkAnswer};
use super::{Ask, Dht, GiverTable, is_acceptable};
use crate::bencode::Value;
use crate::krpc::{MutableItem, NodeId, OwnQuery, Refusal, Reply};
use crate::types::Now;

/// Most errands under way. Each has at most 20 questions under way.
const ACTIVE_MAX: usize = 256;

/// Most errands that wait.
const QUEUED_MAX: usize = 4_096;

/// Most callers that wait for one errand.
const WAITERS_MAX: usize = 8_192;

/// Most addresses gathered by one lookup, of which [`PEERS_FOUND_MAX`] are told. A guess.
const GATHERED_MAX: usize = 8_192;

/// How long permissions are remembered, in milliseconds: a token is good for at least as long.
const TABLE_MS: u64 = ROTATION_MS;

#[derive(Clone, Debug)]
pub(super) struct Errand {
    kind: Kind,
    waiters: Vec<QueryId>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Gets to know the neighbourhood; by these addresses too.
    Explore(Vec<SocketAddrV4>),
    Lookup {
        name: Vec<u8>,
        found: BTreeSet<SocketAddrV4>,
    },
    Announce {
        name: Vec<u8>,
        port: u16,
    },
    Get {
        request: GetRequest,
        best: Option<FoundValue>,
    },
    Put {
        request: PutRequest,
        target: [u8; HASH_BYTES],
    },
}

impl Kind {
    fn target<'a>(&'a self, own: &'a NodeId) -> &'a [u8] {
        match self {
            Self::Explore(_) => &own.0,
            Self::Lookup { name, .. } | Self::Announce { name, .. } => name,
            Self::Get { request, .. } => &request.target,
            Self::Put { target, .. } => target,
        }
    }

    /// What others that ask for the same name and port share, if they may.
    fn shared_key(&self) -> Option<(Vec<u8>, Option<u16>)> {
        match self {
            Self::Lookup { name, .. } => Some((name.clone(), None)),
            Self::Announce { name, port } => Some((name.clone(), Some(*port))),
            Self::Explore(_) | Self::Get { .. } | Self::Put { .. } => None,
        }
    }

    /// What each node of a walk is asked.
    fn question<'a>(&'a self, own: &'a NodeId) -> OwnQuery<'a> {
        match self {
            Self::Explore(_) => OwnQuery::FindNode(*own),
            Self::Lookup { name, .. } | Self::Announce { name, .. } => OwnQuery::GetPeers(name),
            Self::Get { request, .. } => OwnQuery::Get(&request.target),
            Self::Put { target, .. } => OwnQuery::Get(target),
        }
    }
}

#[derive(Clone, Debug)]
enum Stage {
    Begins,
    Walks(Walk),
    Delivers(Delivery),
}

/// Something on its way to several nodes.
#[derive(Clone, Debug)]
struct Delivery {
    waits_for: BTreeSet<SocketAddrV4>,
    accepted: usize,
    /// The last refusal that is about the value itself.
    refusal: Option<Refusal>,
    permissions: Permissions,
}

/// Who takes a delivery, nearest to its target first.
struct Takers {
    givers: Vec<Giver>,
    permissions: Permissions,
}

/// Where the permissions of a delivery come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    /// Given in the walk of this errand.
    Fresh,
    /// Remembered from an earlier one.
    Remembered,
}

impl Dht {
    /// Looks for the addresses that offer a service; any name is allowed.
    ///
    /// # Errors
    /// When too much is asked already; so for the others.
    pub fn start_lookup(&mut self, now: Now, name: &[u8]) -> Result<QueryId, Overloaded> {
        let name = name.to_vec();
        let key = (name, None);
        if let Some(joined) = self.join(&key) {
            return joined;
        }
        let name = key.0;
        let own = self.peers.of(now.monotonic_ms, &name).into_iter();
        let offered = self.offers.peek(&name).copied();
        let found = own.chain(offered).collect();
        let kind = Kind::Lookup { name, found };
        self.begin(now.monotonic_ms, kind)
    }

    /// Announces that this host offers a service at a port.
    ///
    /// # Errors
    /// As for [`Dht::start_lookup`].
    pub fn start_announce(
        &mut self,
        now: Now,
        name: &[u8],
        port: u16,
    ) -> Result<QueryId, Overloaded> {
        let key = (name.to_vec(), Some(port));
        if let Some(joined) = self.join(&key) {
            return joined;
        }
        let name = key.0;
        self.begin(now.monotonic_ms, Kind::Announce { name, port })
    }

    /// Waits for an equal errand that is under way, if there is one.
    fn join(&mut self, key: &(Vec<u8>, Option<u16>)) -> Option<Result<QueryId, Overloaded>> {
        let errand = self.shared.get(key)?;
        let errand = self.errands.get_mut(errand);
        let Some(errand) = errand.filter(|errand| errand.waiters.len() < WAITERS_MAX) else {
            return Some(Err(Overloaded));
        };
        self.next_query += 1;
        errand.waiters.push(QueryId(self.next_query));
        Some(Ok(QueryId(self.next_query)))
    }

    /// Looks for a value.
    ///
    /// # Errors
    /// As for [`Dht::start_lookup`].
    pub fn start_get(&mut self, now: Now, request: GetRequest) -> Result<QueryId, Overloaded> {
        let best = self.kept_value(now.monotonic_ms, &request.target);
        if best.is_some() && request.cache == CacheUse::Allowed {
            let query = self.query_id();
            let outcome = Outcome::Get(best);
            self.outputs.push_back(Output::Finished { query, outcome });
            return Ok(query);
        }
        self.begin(now.monotonic_ms, Kind::Get { request, best })
    }

    fn kept_value(&mut self, now_ms: u64, target: &[u8]) -> Option<FoundValue> {
        let node = self.own;
        self.values.get(now_ms, target).map(|kept| FoundValue {
            node,
            token: None,
            value: kept.value.clone(),
            mutable: kept.mutable.clone(),
        })
    }

    /// Puts a value.
    ///
    /// # Errors
    /// As for [`Dht::start_lookup`].
    pub fn start_put(&mut self, now: Now, request: PutRequest) -> Result<QueryId, Overloaded> {
        let target = match &request.mutable {
            Some(mutable) => mutable_target(&mutable.signed.key, &mutable.salt),
            None => sha1(&request.value),
        };
        self.begin(now.monotonic_ms, Kind::Put { request, target })
    }

    /// Has own lookups of this name find a service, and nobody else's: for one that only this host
    /// can reach. For good, or until it is offered elsewhere.
    pub fn offer_here(&mut self, now: Now, name: &[u8], service: SocketAddrV4) {
        self.offers.insert(now.monotonic_ms, name.to_vec(), service);
    }

    /// Gets to know the neighbourhood, by these addresses too.
    pub(super) fn explore(
        &mut self,
        now_ms: u64,
        entrances: Vec<SocketAddrV4>,
    ) -> Result<QueryId, Overloaded> {
        self.begin(now_ms, Kind::Explore(entrances))
    }

    fn begin(&mut self, now_ms: u64, kind: Kind) -> Result<QueryId, Overloaded> {
        let full = self.errands.len() >= ACTIVE_MAX;
        if full && self.queued.len() >= QUEUED_MAX {
            return Err(Overloaded);
        }
        let query = self.query_id();
        let errand = Errand {
            kind,
            waiters: alloc::vec![query],
            stage: Stage::Begins,
        };
        if full {
            self.queued.push_back((query, errand));
        } else {
            self.launch(now_ms, query, errand);
        }
        Ok(query)
    }

    fn launch(&mut self, now_ms: u64, id: QueryId, errand: Errand) {
        if let Some(key) = errand.kind.shared_key() {
            self.shared.insert(key, id);
        }
        let target = errand.kind.target(&self.own).to_vec();
        let delivers = matches!(errand.kind, Kind::Announce { .. } | Kind::Put { .. });
        let table = self.tables.touch(now_ms, &target);
        let fresh = table.filter(|table| now_ms < table.since_ms + TABLE_MS);
        match fresh.map(|table| table.givers.clone()) {
            Some(givers) if delivers => {
                let takers = Takers {
                    givers,
                    permissions: Permissions::Remembered,
                };
                self.deliver(now_ms, id, errand, takers);
            }
            _ => self.set_out(now_ms, id, errand),
        }
    }

    /// Begins the walk of an errand.
    fn set_out(&mut self, now_ms: u64, id: QueryId, mut errand: Errand) {
        let target = errand.kind.target(&self.own).to_vec();
        let known = self.routing.closest(&target, BUCKET_NODES_MAX);
        let mut walk = Walk::new(self.own, target, &known);
        match &errand.kind {
            Kind::Explore(entrances) => walk.enter_by(entrances),
            _ if known.is_empty() || known.len() < self.config.bootstrap.len() => {
                walk.enter_by(&self.config.bootstrap);
            }
            _ => {}
        }
        errand.stage = Stage::Walks(walk);
        self.advance(now_ms, id, errand);
    }

    /// Asks whom the walk wants asked, and ends it when there is nobody to wait for.
    fn advance(&mut self, now_ms: u64, id: QueryId, mut errand: Errand) {
        let own = self.own;
        let Stage::Walks(walk) = &mut errand.stage else {
            return;
        };
        let query = errand.kind.question(&own);
        while let Some((to, node)) = walk.next() {
            let patience = match node {
                Some(_) => Patience::Normal,
                None => Patience::Eager,
            };
            let ask = Ask {
                to,
                id: node,
                purpose: Purpose::Step(id),
                patience,
                query: &query,
            };
            if !self.ask(now_ms, ask) {
                walk.on_failure(to);
            }
        }
        if walk.waits() {
            self.errands.insert(id, errand);
        } else {
            self.arrive(now_ms, id, errand);
        }
    }

    /// A walk is over.
    fn arrive(&mut self, now_ms: u64, id: QueryId, mut errand: Errand) {
        let Stage::Walks(mut walk) = core::mem::replace(&mut errand.stage, Stage::Begins) else {
            return;
        };
        if walk.is_lost() && !self.config.bootstrap.is_empty() {
            walk.enter_by(&self.config.bootstrap);
            errand.stage = Stage::Walks(walk);
            return self.advance(now_ms, id, errand);
        }
        let target = errand.kind.target(&self.own).to_vec();
        let givers = walk.into_givers();
        let nodes = givers.len();
        if nodes > 0 && !matches!(errand.kind, Kind::Explore(_)) {
            let table = GiverTable {
                since_ms: now_ms,
                givers: givers.clone(),
            };
            self.tables.insert(now_ms, target, table);
        }
        match &mut errand.kind {
            Kind::Announce { .. } | Kind::Put { .. } => {
                let takers = Takers {
                    givers,
                    permissions: Permissions::Fresh,
                };
                self.deliver(now_ms, id, errand, takers);
            }
            Kind::Explore(_) => {
                self.on_explored(now_ms);
                self.conclude(now_ms, id, &errand, None);
            }
            Kind::Lookup { found, .. } => {
                let found = core::mem::take(found).into_iter().collect();
                let peers = self.random.sample(found, PEERS_FOUND_MAX);
                let outcome = Outcome::Lookup(Found { peers, nodes });
                self.conclude(now_ms, id, &errand, Some(outcome));
            }
            Kind::Get { best, .. } => {
                let outcome = Outcome::Get(best.take());
                self.conclude(now_ms, id, &errand, Some(outcome));
            }
        }
    }

    /// Sends an announcement or a value to those who take it.
    fn deliver(&mut self, now_ms: u64, id: QueryId, mut errand: Errand, takers: Takers) {
        self.keep_own(now_ms, &errand.kind);
        let own = self.own;
        let mut delivery = Delivery {
            waits_for: BTreeSet::new(),
            accepted: 0,
            refusal: None,
            permissions: takers.permissions,
        };
        for Giver { contact, token } in &takers.givers {
            let (query, patience) = match &errand.kind {
                Kind::Announce { name, port } => {
                    let port = *port;
                    (OwnQuery::Announce { name, port, token }, Patience::Normal)
                }
                Kind::Put { request, .. } => put_query(request, token),
                _ => return,
            };
            let ask = Ask {
                to: contact.address,
                id: (contact.id != own).then_some(contact.id),
                purpose: Purpose::Delivery(id),
                patience,
                query: &query,
            };
            if self.ask(now_ms, ask) {
                delivery.waits_for.insert(contact.address);
            }
        }
        if takers.givers.is_empty() {
            let outcome = errand.kind.failed(SendError::NoNodes);
            return self.conclude(now_ms, id, &errand, Some(outcome));
        }
        errand.stage = Stage::Delivers(delivery);
        self.settle_delivery(now_ms, id, errand);
    }

    /// What of the own things is kept here as well.
    fn keep_own(&mut self, now_ms: u64, kind: &Kind) {
        match kind {
            Kind::Announce { name, port } => {
                if let Some(host) = self.config.announce_host {
                    self.store_peer(now_ms, name, SocketAddrV4::new(host, *port));
                }
            }
            Kind::Put { request, target } if request.mutable.is_none() => {
                self.values.keep(now_ms, *target, request.value.clone());
            }
            _ => {}
        }
    }

    /// Ends a delivery that waits for nobody any more.
    fn settle_delivery(&mut self, now_ms: u64, id: QueryId, mut errand: Errand) {
        let Stage::Delivers(delivery) = &mut errand.stage else {
            return;
        };
        if !delivery.waits_for.is_empty() {
            self.errands.insert(id, errand);
            return;
        }
        let refusal = delivery.refusal.take();
        let (accepted, permissions) = (delivery.accepted, delivery.permissions);
        let remembered = permissions == Permissions::Remembered;
        if accepted == 0 && refusal.is_none() && remembered {
            return self.set_out(now_ms, id, errand);
        }
        let outcome = match (&errand.kind, accepted, refusal) {
            (kind, 0, Some(refusal)) => kind.failed(SendError::Refused(refusal)),
            (kind, 0, None) => kind.failed(SendError::AllFailed),
            (Kind::Put { target, .. }, _, _) => Outcome::Put(Ok(*target)),
            (_, accepted, _) => Outcome::Announce(Ok(accepted)),
        };
        self.conclude(now_ms, id, &errand, Some(outcome));
    }

    /// An errand has ended: who waits for it is told, and the next one that waits begins.
    fn conclude(&mut self, now_ms: u64, id: QueryId, errand: &Errand, outcome: Option<Outcome>) {
        if let Some(outcome) = outcome {
            for query in errand.waiters.iter().copied() {
                let outcome = outcome.clone();
                self.outputs.push_back(Output::Finished { query, outcome });
            }
        }
        self.errands.remove(&id);
        // One that waited may have been overtaken by an equal one, which counts then.
        if let Some(key) = errand.kind.shared_key()
            && self.shared.get(&key) == Some(&id)
        {
            self.shared.remove(&key);
        }
        if let Some((next, errand)) = self.queued.pop_front() {
            self.launch(now_ms, next, errand);
        }
    }

    /// A node on the way answered.
    pub(super) fn on_step(
        &mut self,
        now_ms: u64,
        id: QueryId,
        from: SocketAddrV4,
        mut reply: Reply<'_>,
    ) {
        let Some(mut errand) = self.errands.remove(&id) else {
            return;
        };
        let Stage::Walks(walk) = &mut errand.stage else {
            self.errands.insert(id, errand);
            return;
        };
        let contacts = core::mem::take(&mut reply.contacts);
        walk.on_answer(WalkAnswer {
            from,
            id: reply.sender,
            token: reply.token,
            contacts: contacts
                .into_iter()
                .filter(|contact| is_acceptable(contact.address, from))
                .collect(),
        });
        match &mut errand.kind {
            Kind::Lookup { found, .. } => {
                let told = reply.peers.into_iter();
                for peer in told.filter(|peer| is_acceptable(*peer, from)) {
                    if found.len() < GATHERED_MAX && found.insert(peer) {
                        let event = DhtEvent::PeerFound(peer);
                        self.outputs.push_back(Output::Event(event));
                    }
                }
            }
            Kind::Get { request, best } => {
                if let Some(value) = found_value(request, &reply) {
                    if value.mutable.is_none() {
                        walk.stop();
                    }
                    let sequence = |value: &FoundValue| {
                        let signed = value.mutable.as_ref();
                        signed.map_or(i64::MIN, |signed| signed.sequence)
                    };
                    let newer = best.as_ref().map(sequence) < Some(sequence(&value));
                    if newer || value.mutable.is_none() {
                        *best = Some(value);
                    }
                }
            }
            _ => {}
        }
        self.advance(now_ms, id, errand);
    }

    /// A node on the way is slow.
    pub(super) fn on_step_late(&mut self, now_ms: u64, id: QueryId, to: SocketAddrV4) {
        self.change_walk(now_ms, id, |walk| walk.on_late(to));
    }

    /// A node on the way does not answer.
    pub(super) fn on_step_failed(&mut self, now_ms: u64, id: QueryId, to: SocketAddrV4) {
        self.change_walk(now_ms, id, |walk| walk.on_failure(to));
    }

    fn change_walk(&mut self, now_ms: u64, id: QueryId, change: impl FnOnce(&mut Walk)) {
        let Some(mut errand) = self.errands.remove(&id) else {
            return;
        };
        if let Stage::Walks(walk) = &mut errand.stage {
            change(walk);
            self.advance(now_ms, id, errand);
        } else {
            self.errands.insert(id, errand);
        }
    }

    /// A node took what was delivered.
    pub(super) fn on_delivered(&mut self, now_ms: u64, id: QueryId, to: SocketAddrV4) {
        self.change_delivery(now_ms, id, to, |delivery| delivery.accepted += 1);
    }

    /// A node did not take it, and perhaps said why.
    pub(super) fn on_delivery_failed(
        &mut self,
        now_ms: u64,
        id: QueryId,
        to: SocketAddrV4,
        refusal: Option<Refusal>,
    ) {
        let about_value = refusal.filter(|refusal| (300..400).contains(&refusal.code));
        self.change_delivery(now_ms, id, to, |delivery| {
            delivery.refusal = about_value.or(delivery.refusal.take());
        });
    }

    fn change_delivery(
        &mut self,
        now_ms: u64,
        id: QueryId,
        to: SocketAddrV4,
        change: impl FnOnce(&mut Delivery),
    ) {
        let Some(mut errand) = self.errands.remove(&id) else {
            return;
        };
        if let Stage::Delivers(delivery) = &mut errand.stage
            && delivery.waits_for.remove(&to)
        {
            change(delivery);
            self.settle_delivery(now_ms, id, errand);
        } else {
            self.errands.insert(id, errand);
        }
    }
}

impl Kind {
    fn failed(&self, error: SendError) -> Outcome {
        match self {
            Self::Put { .. } => Outcome::Put(Err(error)),
            _ => Outcome::Announce(Err(error)),
        }
    }
}

/// A changeable value is not put twice: if the answer got lost, the second one would be refused.
fn put_query<'a>(request: &'a PutRequest, token: &'a [u8]) -> (OwnQuery<'a>, Patience) {
    let item = |mutable: &'a MutablePut| MutableItem {
        key: &mutable.signed.key,
        signature: &mutable.signed.signature,
        sequence: mutable.signed.sequence,
        salt: (!mutable.salt.is_empty()).then_some(&mutable.salt),
        compare: mutable.compare,
    };
    let patience = match request.mutable {
        Some(_) => Patience::Once,
        None => Patience::Normal,
    };
    let query = OwnQuery::Put {
        token,
        value: &request.value,
        mutable: request.mutable.as_ref().map(item),
    };
    (query, patience)
}

/// The value of a reply, if it is the one that was asked for.
fn found_value(request: &GetRequest, reply: &Reply<'_>) -> Option<FoundValue> {
    let value = reply.value.as_ref().map(Value::encode)?;
    let salt = &request.salt;
    let (target, mutable) = match reply.mutable {
        None => (sha1(&value), None),
        Some(item) => {
            let salt = (!salt.is_empty()).then_some(salt.as_slice());
            let signed = checked(&MutableItem { salt, ..item }, &value)?;
            let target = mutable_target(item.key, salt.unwrap_or_default());
            (target, Some(signed))
        }
    };
    (target[..] == request.target).then_some(FoundValue {
        node: reply.sender?,
        token: Some(reply.token.unwrap_or_default().to_vec()),
        value,
        mutable,
    })
}
