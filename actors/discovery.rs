//! DiscoveryActor: finding peers and keeping enough of them.
//!
//! It drives the machine of [`bitfitech_core::peer_exchange`] with everything that tells of
//! addresses, all at once: the configuration, the file of an earlier run, multicast in the local
//! network, other nodes, and whoever sends [`Found`]. What the machine wants dialled becomes a
//! child of `peers`, whose supervisor starts it again when it fails, after a wait that grows and
//! through the circuit of its address; before each attempt the child asks here whether it is still
//! wanted ([`AskAdvice`]).
//!
//! *Order.* The file is read before this actor counts as up; the listener is started after it and
//! says [`ListenerUp`]; only then is anybody dialled or multicast to.
//!
//! *Crash.* A fresh actor reads the file again and finds the sessions in the directory. What was
//! learned since the file was written is lost, a few seconds' worth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::SpawnHandle;
use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult};
use bitfitech_core::address::PeerAddress;
use bitfitech_core::address_book::{BookConfig, Known, Teller};
use bitfitech_core::peer_exchange::{
    Advice, Conduct, DialResult, Exchanging, Limits, LinkFacts, PeerExchange, PeerExchangeConfig,
    PeerExchangeOutput, Target,
};
use bitfitech_core::standing::{Ban, Offence, StandingConfig, Standings};
use bitfitech_core::supervision::AddError;
use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, Peers};
use bitfitech_io::config::Settings;
use bitfitech_io::mdns::{Announcement, Mdns};
use bitfitech_io::peer_file;

use crate::alarm::{Alarm, Alarmed, set_alarm};
use crate::child::{Child, ChildContext, Started};
use crate::context::NodeContext;
use crate::mailbox::Data;
use crate::node;
use crate::peer::{Close, SendFrame};
use crate::supervised;
use crate::supervisor::{StartChild, StopChild};

/// How long the supervisor of the connections may take to answer.
const QUERY_MS: u64 = 5_000;

/// How long what was learned may wait to be written to the file: several peers in one write.
const SAVE_DELAY: Duration = Duration::from_secs(2);

/// How often it is made sure that the places that the operator named are being dialled: their
/// children end with the supervisor of the connections, should that ever fail.
const ENSURE_INTERVAL: Duration = Duration::from_secs(5);

/// How many times `p2p.reconnect_interval_ms` a learned address rests at the most that fails
/// again and again: there are others.
const REST_FACTOR: u64 = 20;

/// Most addresses of one [`Found`]; further ones are dropped.
const FOUND_MAX: usize = 256;

/// Somebody found addresses (data lane).
#[derive(Clone, Debug)]
pub struct Found {
    /// Who.
    pub source: Teller,
    /// The addresses.
    pub addresses: Vec<PeerAddress>,
}

/// A peer asks for peers or gives some (data lane).
#[derive(Debug)]
pub struct Heard {
    /// Over which link.
    pub link: LinkId,
    /// What it said.
    pub frame: Frame,
}

/// The node takes connections: now it may look for others.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ListenerUp;

/// A session was established.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LinkUp {
    /// Its link.
    pub link: LinkId,
    /// What is known of it.
    pub facts: LinkFacts,
}

/// A session ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LinkGone(pub LinkId);

/// A query: is this to be dialled now?
#[derive(Message)]
#[rtype(result = "Advice")]
pub struct AskAdvice(pub Target);

/// A node did what it should not (data lane).
#[derive(Debug)]
pub struct Misdeed {
    /// Who.
    pub node: AuthorKey,
    /// What kind of misdeed.
    pub offence: Offence,
    /// What exactly, fit for a log.
    pub reason: String,
}

/// A query: is this node banned?
#[derive(Message)]
#[rtype(result = "Option<Ban>")]
pub struct AskBan(pub AuthorKey);

/// A query: an attempt to reach an address brought no session, or one that is over for good. The
/// answer says whether to try again.
#[derive(Message)]
#[rtype(result = "Advice")]
pub struct DialEnded {
    /// The address.
    pub address: PeerAddress,
    /// What came of it.
    pub result: DialResult,
}

/// A query: what to tell a stranger for whom there is no place.
#[derive(Message)]
#[rtype(result = "Option<Peers>")]
pub struct AskFarewell(pub LinkFacts);

/// A query: who links to whom, as far as this node knows.
#[derive(Message)]
#[rtype(result = "BTreeMap<AuthorKey, BTreeSet<AuthorKey>>")]
pub struct AskTopology;

/// Whether others can reach this node yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Looking,
}

/// The actor.
pub struct DiscoveryActor {
    node: Arc<NodeContext>,
    machine: PeerExchange,
    standings: Standings,
    generation: u64,
    stage: Stage,
    /// Present in the local network while this is held.
    mdns: Option<Mdns>,
    alarm: Alarm,
    saving: Option<SpawnHandle>,
    /// Held by who writes the file of known peers. Who waits for it is served in order.
    file: Arc<tokio::sync::Mutex<()>>,
}

impl DiscoveryActor {
    /// An actor that knows nobody.
    pub fn new(node: Arc<NodeContext>, child: &ChildContext) -> Self {
        let seed = node.environment.seed_of("discovery", child.generation);
        let config = machine_config(&node.settings);
        let machine = PeerExchange::new(node.clock.now(), config, seed);
        Self {
            node,
            machine,
            standings: Standings::new(StandingConfig::default()),
            generation: child.generation,
            stage: Stage::Waiting,
            mdns: None,
            alarm: Alarm::default(),
            saving: None,
            file: Arc::default(),
        }
    }

    /// All mechanisms at once.
    fn look(&mut self, context: &mut Context<Self>) {
        if self.stage == Stage::Looking {
            return;
        }
        self.stage = Stage::Looking;
        tracing::info!(target: "discovery", "looking for peers");
        self.ensure_named(context);
        context.run_interval(ENSURE_INTERVAL, Self::ensure_named);
        if self.node.settings.discovery.mdns {
            self.join_local_network(context);
        }
        self.machine.handle_timeout(self.node.clock.now());
        self.drive(context);
    }

    /// Has the places that the operator named dialled.
    fn ensure_named(&mut self, context: &mut Context<Self>) {
        let board = &self.node.environment.board;
        let named = self.node.settings.discovery.first_peers().into_iter();
        let children = named.map(|address| node::named_peer(&self.node, address));
        let missing = children.filter(|child| board.status(child.name()).is_none());
        for child in missing.collect::<Vec<_>>() {
            let peers = self.node.refs.peers.clone();
            let starting = async move {
                // What failed is tried again at the next look.
                drop(peers.query(StartChild(child), QUERY_MS).await);
            };
            context.spawn(starting.into_actor(self));
        }
    }

    /// Announces this node in the local network and listens to others.
    fn join_local_network(&mut self, context: &mut Context<Self>) {
        let Some(listen) = self.node.listen_address() else {
            return;
        };
        let announcement = Announcement {
            network: self.node.genesis_digest,
            node: self.node.identity.author(),
            listen,
        };
        let mut announced = match Mdns::start(&announcement) {
            Ok((mdns, announced)) => {
                self.mdns = Some(mdns);
                announced
            }
            Err(error) => {
                tracing::warn!(target: "discovery", "{error}: peers are found in other ways");
                return;
            }
        };
        let me = self.node.refs.discovery.clone();
        let listening = async move {
            while let Some(addresses) = announced.next().await {
                let source = Teller::Local;
                // A life that has ended listens no more.
                drop(me.data(Found { source, addresses }).await);
            }
        };
        context.spawn(listening.into_actor(self));
    }

    /// Does what the machine wants, and sets the timer.
    fn drive(&mut self, context: &mut Context<Self>) {
        if self.stage == Stage::Waiting {
            return;
        }
        while let Some(output) = self.machine.poll_output() {
            match output {
                PeerExchangeOutput::Dial(address) => self.dial(address, context),
                PeerExchangeOutput::Ask { link, ask } => self.send(link, Frame::GetPeers(ask)),
                PeerExchangeOutput::Answer { link, peers } => self.send(link, Frame::Peers(peers)),
                PeerExchangeOutput::Part { link, goodbye } => {
                    if let Some(session) = self.node.directory.get(&link) {
                        // One that is going down needs no goodbye.
                        drop(session.peer.control(Close(goodbye)));
                    }
                }
            }
        }
        let due_ms = self.machine.next_deadline_ms();
        set_alarm(self, self.node.clock.now(), due_ms, context);
    }

    fn send(&self, link: LinkId, frame: Frame) {
        if let Some(session) = self.node.directory.get(&link) {
            let cost_bytes = 0;
            // One that is going down wants to know nothing.
            drop(session.peer.control(SendFrame { frame, cost_bytes }));
        }
    }

    /// Has an address dialled by a child of its own.
    fn dial(&self, address: PeerAddress, context: &mut Context<Self>) {
        tracing::debug!(target: "discovery", "{address} is to be dialled");
        let child = node::learned_peer(&self.node, address);
        let peers = self.node.refs.peers.clone();
        let starting = async move { peers.query(StartChild(child), QUERY_MS).await };
        let started = starting
            .into_actor(self)
            .map(move |started, actor, context| {
                match started {
                    // One of that name dials it already, and asks for advice.
                    Ok(Ok(()) | Err(AddError::Duplicate { .. })) => {}
                    Ok(Err(_)) | Err(_) => {
                        let now = actor.node.clock.now();
                        actor.machine.handle_dialled(now, address, DialResult::Full);
                        actor.drive(context);
                    }
                }
            });
        context.spawn(started);
    }

    /// A child that dials an address in vain is forgotten.
    fn forget_child(&self, address: PeerAddress, context: &mut Context<Self>) {
        let name = node::learned_peer(&self.node, address).name().to_string();
        let peers = self.node.refs.peers.clone();
        let stopping = async move {
            // With the supervisor its children are gone.
            drop(peers.query(StopChild { name }, QUERY_MS).await);
        };
        context.spawn(stopping.into_actor(self));
    }

    /// What was learned is written soon.
    fn save_soon(&mut self, context: &mut Context<Self>) {
        if self.saving.is_some() || !self.node.settings.discovery.persisted {
            return;
        }
        let handle = context.run_later(SAVE_DELAY, |actor, context| {
            actor.saving = None;
            let saving = actor.save();
            context.spawn(saving.into_actor(actor));
        });
        self.saving = Some(handle);
    }

    /// Writes the file on a thread of the blocking pool.
    fn save(&self) -> impl Future<Output = ()> + use<> {
        let peers: Vec<(PeerAddress, Known)> = self
            .machine
            .book()
            .iter()
            .map(|(address, known)| (address, *known))
            .collect();
        let path = self.node.settings.peer_file();
        let network = self.node.genesis_digest;
        let file = Arc::clone(&self.file);
        let writing = move || {
            let peers = peers.iter().map(|(address, known)| (*address, known));
            peer_file::save(&path, network, peers)
        };
        async move {
            // Two at a time would write one file beside its place, and rename it while the other
            // is at it.
            let _turn = file.lock().await;
            let written = tokio::task::spawn_blocking(writing).await;
            match written.expect("writing known peers does not panic") {
                Ok(()) => tracing::trace!(target: "discovery", "known peers are written"),
                Err(error) => tracing::warn!(target: "discovery", "{error}"),
            }
        }
    }

    /// A node did what it should not: it is shown, and ends the node's sessions if it was too much.
    fn note_misdeed(&mut self, node: AuthorKey, offence: Offence, reason: &str) {
        let now = self.node.clock.now();
        let ban = self.standings.note(now, node, offence, reason);
        let points = self.standings.points(now, node);
        let misdeeds = points.map(|(points, reason)| (points, reason.to_string()));
        let mut sessions = Vec::new();
        for mut session in self.node.directory.iter_mut() {
            if session.node == node {
                session.misdeeds.clone_from(&misdeeds);
                sessions.push(session.peer.clone());
            }
        }
        let Some(ban) = ban else { return };
        let seconds = ban.left_ms.div_ceil(1_000);
        let who = node.short();
        tracing::warn!(target: "discovery", "{who} is banned for {seconds} s: {reason}");
        for session in sessions {
            // One that is going down has its goodbye already.
            drop(session.control(Close(Goodbye {
                code: GoodbyeCode::Banned,
                reason: format!("banned for {seconds} s: {reason}"),
            })));
        }
    }

    /// Takes what the configuration and the file know.
    fn remember(&mut self, loaded: Vec<peer_file::KnownPeer>) {
        let now = self.node.clock.now();
        let named = self.node.settings.discovery.first_peers().into_iter();
        let named: Vec<PeerAddress> = named.filter_map(|it| it.to_string().parse().ok()).collect();
        self.machine.handle_found(now, Teller::Operator, &named);
        if !loaded.is_empty() {
            let count = loaded.len();
            tracing::info!(target: "discovery", "{count} peers are known from earlier runs");
        }
        for (address, known) in loaded {
            self.machine.handle_restored(now, address, known);
        }
        for session in &self.node.directory {
            self.machine
                .handle_link_up(now, *session.key(), session.facts);
        }
    }
}

/// The machine's rules, as configured.
fn machine_config(settings: &Settings) -> PeerExchangeConfig {
    PeerExchangeConfig {
        exchange: match settings.discovery.peer_exchange {
            true => Exchanging::On,
            false => Exchanging::Off,
        },
        limits: limits(settings),
        book: BookConfig {
            rest_max_ms: settings
                .p2p
                .reconnect_interval_ms
                .saturating_mul(REST_FACTOR),
            ..BookConfig::default()
        },
        ..PeerExchangeConfig::default()
    }
}

/// How many sessions a node has, as configured.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        links_target: settings.p2p.target_peers,
        links_max: settings.p2p.max_peers,
        own_percent: settings.p2p.outbound_percent,
        inbound_per_address_max: settings.p2p.inbound_per_address,
    }
}

/// Reads the file of known peers; one that cannot be used is set aside.
fn load(node: &NodeContext) -> Vec<peer_file::KnownPeer> {
    if !node.settings.discovery.persisted {
        return Vec::new();
    }
    let path = node.settings.peer_file();
    let unix_ms = node.clock.now().unix_ms;
    match peer_file::load(&path, node.genesis_digest, unix_ms) {
        Ok(peers) => peers,
        Err(error) => {
            match peer_file::set_aside(&path) {
                Ok(aside) => tracing::warn!(
                    target: "discovery",
                    "{error}; it is set aside as {}, peers are found in other ways",
                    aside.display()
                ),
                Err(failed) => tracing::warn!(
                    target: "discovery",
                    "{error}; it could not be set aside ({failed}), peers are found in other ways"
                ),
            }
            Vec::new()
        }
    }
}

impl Actor for DiscoveryActor {
    type Context = Context<Self>;
}

impl Alarmed for DiscoveryActor {
    fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    fn on_alarm(&mut self, context: &mut Context<Self>) {
        self.machine.handle_timeout(self.node.clock.now());
        self.drive(context);
    }
}

impl Child for DiscoveryActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        let node = Arc::clone(&self.node);
        let loading = async move {
            let loaded = tokio::task::spawn_blocking(move || load(&node)).await;
            loaded.expect("reading known peers does not panic")
        };
        let loaded = loading.into_actor(self).map(|loaded, actor, context| {
            actor.remember(loaded);
            started.report();
            if actor.generation > 1 {
                // The listener said that it is up to a former life.
                actor.look(context);
            }
        });
        context.wait(loaded);
    }

    fn on_stop(&mut self, context: &mut Context<Self>) {
        self.mdns = None;
        if !self.node.settings.discovery.persisted {
            return context.stop();
        }
        let saving = self.save();
        let saved = saving.into_actor(self).map(|(), _, context| context.stop());
        context.spawn(saved);
    }
}
supervised!(DiscoveryActor);

impl Handler<ListenerUp> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, _up: ListenerUp, context: &mut Context<Self>) {
        self.look(context);
    }
}

impl Handler<Data<Found>> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, data: Data<Found>, context: &mut Context<Self>) {
        let Found { source, addresses } = data.message;
        let addresses = &addresses[..addresses.len().min(FOUND_MAX)];
        tracing::debug!(target: "discovery", "{} tells of {addresses:?}", source.name());
        let now = self.node.clock.now();
        self.machine.handle_found(now, source, addresses);
        self.save_soon(context);
        self.drive(context);
    }
}

impl Handler<Data<Heard>> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, data: Data<Heard>, context: &mut Context<Self>) {
        let Heard { link, frame } = data.message;
        let now = self.node.clock.now();
        let conduct = match frame {
            Frame::GetPeers(ask) => self.machine.handle_ask(now, link, ask),
            Frame::Peers(peers) => {
                self.save_soon(context);
                self.machine.handle_peers(now, link, peers)
            }
            _ => return,
        };
        if conduct == Conduct::TooOften {
            let node = self.node.directory.get(&link).map(|session| session.node);
            let reason = "it asks for peers, or tells of some, too often";
            if let Some(node) = node {
                self.note_misdeed(node, Offence::Nuisance, reason);
            }
        }
        self.drive(context);
    }
}

impl Handler<Data<Misdeed>> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, data: Data<Misdeed>, _context: &mut Context<Self>) {
        let Misdeed {
            node,
            offence,
            reason,
        } = data.message;
        self.note_misdeed(node, offence, &reason);
    }
}

impl Handler<AskBan> for DiscoveryActor {
    type Result = MessageResult<AskBan>;

    fn handle(&mut self, ask: AskBan, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.standings.ban(self.node.clock.now(), ask.0))
    }
}

impl Handler<LinkUp> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, up: LinkUp, context: &mut Context<Self>) {
        let now = self.node.clock.now();
        self.machine.handle_link_up(now, up.link, up.facts);
        self.save_soon(context);
        self.drive(context);
    }
}

impl Handler<LinkGone> for DiscoveryActor {
    type Result = ();

    fn handle(&mut self, gone: LinkGone, context: &mut Context<Self>) {
        self.machine.handle_link_down(self.node.clock.now(), gone.0);
        self.drive(context);
    }
}

impl Handler<AskAdvice> for DiscoveryActor {
    type Result = MessageResult<AskAdvice>;

    fn handle(&mut self, ask: AskAdvice, context: &mut Context<Self>) -> Self::Result {
        let advice = self.machine.advice(self.node.clock.now(), ask.0);
        if let (Advice::Over, Target::Learned(address)) = (advice, ask.0) {
            self.forget_child(address, context);
        }
        self.drive(context);
        MessageResult(advice)
    }
}

impl Handler<DialEnded> for DiscoveryActor {
    type Result = MessageResult<DialEnded>;

    fn handle(&mut self, ended: DialEnded, context: &mut Context<Self>) -> Self::Result {
        let DialEnded { address, result } = ended;
        let now = self.node.clock.now();
        let advice = self.machine.handle_dialled(now, address, result);
        if advice == Advice::Over {
            self.forget_child(address, context);
        }
        self.save_soon(context);
        self.drive(context);
        MessageResult(advice)
    }
}

impl Handler<AskFarewell> for DiscoveryActor {
    type Result = MessageResult<AskFarewell>;

    fn handle(&mut self, ask: AskFarewell, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.machine.farewell(self.node.clock.now(), ask.0))
    }
}

impl Handler<AskTopology> for DiscoveryActor {
    type Result = MessageResult<AskTopology>;

    fn handle(&mut self, _ask: AskTopology, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.machine.topology(self.node.identity.author()))
    }
}
