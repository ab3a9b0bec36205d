//! What all actors of a node share: its identity, its settings, and the references to each other.
//!
//! Everything here is read-only or a concurrent table that is read far more than written. State
//! that belongs to one concern lives in the actor of that concern and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bitfitech_core::exchange::OwnChain;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::handshake::LocalNode;
use bitfitech_core::membership::{ChangeKey, Membership};
use bitfitech_core::peer_exchange::LinkFacts;
use bitfitech_core::types::{AuthorKey, Digest, LinkId, Now};
use bitfitech_io::config::Settings;
use bitfitech_io::identity::Identity;
use bitfitech_io::logging::LogControl;
use bitfitech_io::store::Store;
use bitfitech_io::tls::Tls;
use dashmap::DashMap;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::{Mutex, Notify, SetOnce, broadcast};

use crate::breaker::BreakerActor;
use crate::command::CommandActor;
use crate::console::Console;
use crate::dht::DhtClient;
use crate::discovery::DiscoveryActor;
use crate::environment::{ActorEvent, Environment};
use crate::gossip::GossipActor;
use crate::listener::ListenerActor;
use crate::mailbox::ActorRef;
use crate::matcher::MatcherActor;
use crate::messages::{Direction, Event, PeerRow};
use crate::orderbook::OrderbookActor;
use crate::peer::PeerActor;
use crate::store::StoreActor;
use crate::supervisor::Supervisor;
use crate::traffic::{Counter, Traffic};
use crate::web::Feed;

/// Events that wait for a slow subscriber; older ones are lost to him, and he is told how many.
const EVENTS_MAX: usize = 65_536;

/// Nobody sets it, and it goes on while the machine sleeps: else the clocks of all peers, which are
/// measured against it, would seem to have jumped when it wakes up.
#[cfg(target_os = "linux")]
const MONOTONIC: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const MONOTONIC: ClockId = ClockId::CLOCK_MONOTONIC;

/// Both clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            origin: monotonic(),
        }
    }
}

fn monotonic() -> Duration {
    let time = clock_gettime(MONOTONIC);
    time.expect("every supported system has this clock").into()
}

impl Clock {
    /// A reading of both.
    pub fn now(&self) -> Now {
        // A clock set before 1970 reads as 1970: the peers' median then says how far it is off.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis());
        let monotonic = monotonic().saturating_sub(self.origin);
        Now {
            monotonic_ms: milliseconds(monotonic).unwrap_or(u64::MAX),
            unix_ms: unix.map_or(0, |unix| milliseconds(unix).unwrap_or(u64::MAX)),
        }
    }
}

/// References to all actors; each leads to the present life.
pub struct Refs {
    /// The root supervisor.
    pub root: ActorRef<Supervisor>,
    /// Operations on disk.
    pub store: ActorRef<StoreActor>,
    /// The supervisor of matcher and orderbook.
    pub exchange: ActorRef<Supervisor>,
    /// Applied operations and the books that follow from them.
    pub matcher: ActorRef<MatcherActor>,
    /// What users see of it.
    pub orderbook: ActorRef<OrderbookActor>,
    /// The supervisor of everything that talks to peers.
    pub net: ActorRef<Supervisor>,
    /// Circuits of peer addresses.
    pub breaker: ActorRef<BreakerActor>,
    /// Getting operations everywhere.
    pub gossip: ActorRef<GossipActor>,
    /// Finding peers and keeping enough of them.
    pub discovery: ActorRef<DiscoveryActor>,
    /// The supervisor of the connections.
    pub peers: ActorRef<Supervisor>,
    /// Takes connections in.
    pub listener: ActorRef<ListenerActor>,
    /// The supervisor of what users touch.
    pub edge: ActorRef<Supervisor>,
    /// The console.
    pub command: ActorRef<CommandActor>,
}

/// Messages that wait for an actor at the most; senders beyond that are told or wait.
const DATA_CAPACITY: usize = 1_024;

impl Default for Refs {
    fn default() -> Self {
        Self {
            root: ActorRef::new("root", DATA_CAPACITY),
            store: ActorRef::new("store", DATA_CAPACITY),
            exchange: ActorRef::new("exchange", DATA_CAPACITY),
            matcher: ActorRef::new("matcher", DATA_CAPACITY),
            orderbook: ActorRef::new("orderbook", DATA_CAPACITY),
            net: ActorRef::new("net", DATA_CAPACITY),
            breaker: ActorRef::new("breaker", DATA_CAPACITY),
            gossip: ActorRef::new("gossip", DATA_CAPACITY),
            discovery: ActorRef::new("discovery", DATA_CAPACITY),
            peers: ActorRef::new("peers", DATA_CAPACITY),
            listener: ActorRef::new("listener", DATA_CAPACITY),
            edge: ActorRef::new("edge", DATA_CAPACITY),
            command: ActorRef::new("command", DATA_CAPACITY),
        }
    }
}

/// An established session, as others look it up.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    /// The actor of the connection.
    pub peer: ActorRef<PeerActor>,
    /// The other node.
    pub node: AuthorKey,
    /// The admission that it has shown, if it has.
    pub admission: Option<ChangeKey>,
    /// Its address as seen from here.
    pub address: String,
    /// What finding peers has to know of it.
    pub facts: LinkFacts,
    /// Who dialled.
    pub direction: Direction,
    /// Last measured round trip.
    pub rtt_ms: Option<u64>,
    /// When it last sent more than it may, on the monotonic clock.
    pub throttled_ms: Option<u64>,
    /// Points for misdeeds, and the last of these.
    pub misdeeds: Option<(u64, String)>,
}

/// For how long a session is shown as throttled after the last pause.
const SHOWN_THROTTLED_MS: u64 = 2_000;

impl SessionEntry {
    /// The session for users. `behind` is how many operations the other node lacks.
    pub fn row(&self, now: Now, behind: u64) -> PeerRow {
        let recent_ms = now.monotonic_ms.saturating_sub(SHOWN_THROTTLED_MS);
        let is_throttled = self.throttled_ms.is_some_and(|at_ms| at_ms >= recent_ms);
        let misdeeds = self.misdeeds.clone();
        let (points, reason) = misdeeds.map_or((0, None), |(points, it)| (points, Some(it)));
        PeerRow {
            node: self.node,
            address: self.address.clone(),
            direction: self.direction,
            state: if is_throttled {
                "throttled"
            } else {
                "established"
            },
            rtt_ms: self.rtt_ms,
            behind,
            score: i64::try_from(points).map_or(i64::MIN, |points| -points),
            reason,
        }
    }
}

/// What the node has of Grenache; all absent in mode `p2p`.
#[derive(Clone, Debug, Default)]
pub struct GrenacheParts {
    /// The embedded Grape.
    pub dht: Option<DhtClient>,
    /// Its UDP socket.
    pub dht_address: Option<SocketAddr>,
    /// Its HTTP interface.
    pub api_address: Option<SocketAddr>,
    /// The RPC service.
    pub rpc_address: Option<SocketAddr>,
}

/// All established sessions by link.
pub type Directory = DashMap<LinkId, SessionEntry>;

/// What all actors of a node share.
pub struct NodeContext {
    /// The configuration.
    pub settings: Settings,
    /// The network.
    pub genesis: Genesis,
    /// Its digest.
    pub genesis_digest: Digest,
    /// The node's key.
    pub identity: Identity,
    /// TLS with that key.
    pub tls: Tls,
    /// Whether its chain may be longer than its store shows.
    pub own_chain: OwnChain,
    /// What the node says of itself in handshakes.
    pub local: LocalNode,
    /// Whom administrators have admitted and expelled.
    pub membership: ArcSwap<Membership>,
    /// Both clocks.
    pub clock: Clock,
    /// Events for users.
    pub events: broadcast::Sender<Arc<Event>>,
    /// The events that the console has not written yet; they outlive a crash of its actor.
    pub console_events: Mutex<broadcast::Receiver<Arc<Event>>>,
    /// Like `console_events`, those of the supervisors.
    pub console_actor_events: Mutex<broadcast::Receiver<ActorEvent>>,
    /// Like `console_events`, for the feed of the web.
    pub web_events: Mutex<broadcast::Receiver<Arc<Event>>>,
    /// Like `console_actor_events`, for the feed of the web.
    pub web_actor_events: Mutex<broadcast::Receiver<ActorEvent>>,
    /// What followers of the node are told.
    pub feed: Arc<Feed>,
    /// Grows whenever what the orderbook would answer has changed.
    pub board_version: Counter,
    /// What travels to and from peers.
    pub traffic: Traffic,
    /// The address of the HTTP API.
    pub api_address: Option<SocketAddr>,
    /// All established sessions.
    pub directory: Directory,
    /// What the supervisors share.
    pub environment: Environment,
    /// Changes log levels.
    pub log_control: LogControl,
    /// The standard streams.
    pub console: Console,
    /// All actors.
    pub refs: Refs,
    /// What the node has of Grenache.
    pub grenache: GrenacheParts,
    /// The operations on disk, until the first life of the store takes them.
    pub opened_store: Mutex<Option<Store>>,
    /// Set when every actor has been up once; before that the console says nothing.
    pub up: SetOnce<()>,
    /// Told when the operator wants the node to shut down.
    pub quit: Notify,
    next_number: AtomicU64,
}

/// What [`NodeContext::new`] needs from outside.
pub struct NodeParts {
    /// The configuration.
    pub settings: Settings,
    /// The network.
    pub genesis: Genesis,
    /// The node's key.
    pub identity: Identity,
    /// TLS with that key.
    pub tls: Tls,
    /// Whether its chain may be longer than its store shows.
    pub own_chain: OwnChain,
    /// Where peers can reach this node.
    pub listen: String,
    /// A random number of this process.
    pub instance: u64,
    /// Changes log levels.
    pub log_control: LogControl,
    /// The standard streams.
    pub console: Console,
    /// What the node has of Grenache.
    pub grenache: GrenacheParts,
    /// The operations on disk.
    pub store: Store,
    /// The address of the HTTP API.
    pub api_address: Option<SocketAddr>,
}

impl NodeContext {
    /// The address at which peers are accepted.
    pub fn listen_address(&self) -> Option<SocketAddr> {
        self.local.listen.as_ref()?.parse().ok()
    }

    /// Brings the parts of a node together.
    pub fn new(parts: NodeParts) -> Arc<Self> {
        let (events, console_events) = broadcast::channel(EVENTS_MAX);
        let web_events = events.subscribe();
        let clock = Clock::default();
        let environment = Environment::new(parts.instance);
        let local = LocalNode {
            key: parts.identity.author(),
            genesis: parts.genesis.clone(),
            listen: Some(parts.listen),
            instance: parts.instance,
            dht_port: parts.grenache.dht_address.map(|address| address.port()),
        };
        Arc::new(Self {
            settings: parts.settings,
            genesis_digest: parts.genesis.digest(),
            genesis: parts.genesis,
            identity: parts.identity,
            tls: parts.tls,
            own_chain: parts.own_chain,
            local,
            feed: Arc::new(Feed::new(clock.now().unix_ms)),
            clock,
            membership: ArcSwap::default(),
            events,
            console_events: Mutex::new(console_events),
            console_actor_events: Mutex::new(environment.subscribe()),
            web_events: Mutex::new(web_events),
            web_actor_events: Mutex::new(environment.subscribe()),
            board_version: Counter::default(),
            traffic: Traffic::default(),
            api_address: parts.api_address,
            directory: Directory::new(),
            environment,
            log_control: parts.log_control,
            console: parts.console,
            refs: Refs::default(),
            grenache: parts.grenache,
            opened_store: Mutex::new(Some(parts.store)),
            up: SetOnce::new(),
            quit: Notify::new(),
            next_number: AtomicU64::new(1),
        })
    }

    /// A number that was never given before in this process: for links and sessions.
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells users of an event; without a subscriber nobody wants to know.
    pub fn tell(&self, event: Event) {
        drop(self.events.send(Arc::new(event)));
    }
}
