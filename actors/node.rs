//! The supervision tree of a node.
//!
//! ```text
//! root (one_for_one)
//! ├── store                       operations on disk
//! ├── exchange (rest_for_one)
//! │   ├── matcher                 applied operations, books, own chain
//! │   └── orderbook               what users see of it
//! ├── net (one_for_one)
//! │   ├── breaker                 circuits of peer addresses
//! │   ├── dht                     the embedded Grape (mode grenache)
//! │   ├── gossip                  getting operations everywhere
//! │   ├── discovery               finding peers, keeping enough of them
//! │   ├── peers (one_for_one)     peer:<address>, one per connection
//! │   ├── listener                takes connections in
//! │   └── rendezvous              meeting others in the DHT (not in mode p2p)
//! └── edge (one_for_one)
//!     ├── grape_api               the Grape's HTTP interface (mode grenache)
//!     ├── grape_rpc               trading by Grenache programs (not in mode p2p)
//!     ├── web                     HTTP API, event stream, page, metrics
//!     └── command                 the console
//! ```
//!
//! Started in this order, stopped in reverse. The orderbook lives on what the matcher tells it, so
//! it is restarted with it; all others find each other again through their references.

use std::sync::Arc;

use actix_rt::ArbiterHandle;
use bitfitech_core::address::PeerAddress;
use bitfitech_core::supervision::{Backoff, Config, Intensity, Order, Restart, Strategy};
use bitfitech_io::config::{HostPort, Mode, Settings};

use crate::breaker::BreakerActor;
use crate::child::ChildSpec;
use crate::command::{AtEnd, CommandActor, Speech};
use crate::context::NodeContext;
use crate::dht::DhtParts;
use crate::discovery::DiscoveryActor;
use crate::gossip::GossipActor;
use crate::listener::{ListenerActor, PEER_CAPACITY};
use crate::mailbox::ActorRef;
use crate::matcher::MatcherActor;
use crate::messages::Ready;
use crate::orderbook::OrderbookActor;
use crate::peer::{Origin, PeerActor, Wish};
use crate::rendezvous::RendezvousActor;
use crate::root::Root;
use crate::store::StoreActor;
use crate::supervisor::{SupervisorSpec, nested};

/// First wait before a lost peer is dialled again, in milliseconds; it doubles from there.
const REDIAL_FIRST_MS: u64 = 100;

/// A dialled peer counts as stable after this time, in milliseconds: longer than a dial may take.
const REDIAL_STABLE_MS: u64 = 60_000;

/// Room among the connections for those that are not sessions yet, beside that for sessions.
const STRANGERS_MAX: usize = 1_024;

/// The root gives up after this many restarts of its children within [`ROOT_WINDOW_MS`], or after
/// three if each of them means that a supervisor below gave up. A disk that always fails ends the
/// process within about a minute; a crash now and then, also one a second, does not.
const ROOT_RESTARTS_MAX: u32 = 60;

/// See [`ROOT_RESTARTS_MAX`].
const ROOT_WINDOW_MS: u64 = 120_000;

/// How the console is used.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleUse {
    /// How it speaks.
    pub speech: Speech,
    /// What happens when its input ends.
    pub at_end: AtEnd,
}

/// What of Grenache runs in the tree; nothing in mode `p2p`.
#[derive(Default)]
pub struct GrenacheChildren {
    /// What the embedded Grape needs.
    pub dht: Option<DhtParts>,
    /// What is served over HTTP.
    pub services: Vec<ChildSpec>,
}

/// Starts all actors of a node. The exchange runs on `exchange_thread`, the store on a thread of
/// its own, everything else on the present one.
pub fn start(
    node: &Arc<NodeContext>,
    bound: std::net::TcpListener,
    console: ConsoleUse,
    grenache: GrenacheChildren,
    exchange_thread: &ArbiterHandle,
) -> Root {
    let environment = &node.environment;
    let settings = &node.settings;
    let branch = |strategy| SupervisorSpec::new(rules(settings, strategy));
    let exchange = branch(Strategy::RestForOne)
        .child(matcher(node).on(exchange_thread.clone()))
        .child(orderbook(node).on(exchange_thread.clone()));
    let GrenacheChildren { dht, services } = grenache;
    let net = branch(Strategy::OneForOne).child(breaker(node));
    let net = match (&node.grenache.dht, dht) {
        (Some(client), Some(parts)) => net.child(configured(node, client.child(parts))),
        _ => net,
    };
    let net = net
        .child(gossip(node))
        .child(discovery(node))
        .child(nested(&node.refs.peers, peers(node), environment))
        .child(listener(node, bound));
    let meets = settings.mode != Mode::P2p && settings.discovery.grenache;
    let net = if meets {
        net.child(rendezvous(node))
    } else {
        net
    };
    let edge = services
        .into_iter()
        .fold(branch(Strategy::OneForOne), |edge, service| {
            edge.child(configured(node, service))
        });
    let edge = edge.child(command(node, console));
    let root = SupervisorSpec::new(Config {
        intensity: Some(Intensity {
            restarts_max: ROOT_RESTARTS_MAX,
            window_ms: ROOT_WINDOW_MS,
        }),
        ..rules(settings, Strategy::OneForOne)
    });
    let root = root
        .child(store(node))
        .child(nested(&node.refs.exchange, exchange, environment))
        .child(nested(&node.refs.net, net, environment))
        .child(nested(&node.refs.edge, edge, environment));
    Root::start(&node.refs.root, root, environment)
}

/// Rules of a supervisor, as configured.
fn rules(settings: &Settings, strategy: Strategy) -> Config {
    let settings = &settings.supervisor;
    Config {
        strategy,
        intensity: Some(Intensity {
            restarts_max: settings.intensity,
            window_ms: settings.window_ms,
        }),
        probe_ms: Some(settings.probe_interval_ms),
        ..Config::default()
    }
}

/// Treats a child as configured.
fn configured(node: &NodeContext, child: ChildSpec) -> ChildSpec {
    let settings = &node.settings.supervisor;
    let backoff = Backoff {
        first_ms: settings.backoff_min_ms,
        max_ms: settings.backoff_max_ms,
        stable_ms: settings.stable_after_ms,
    };
    child.backoff(backoff).stop_ms(settings.shutdown_timeout_ms)
}

fn store(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::fallible(&node.refs.store, move |child| {
        StoreActor::open(&shared, child)
    });
    configured(node, child).own_thread()
}

/// Reading a long history takes as long as it takes.
fn matcher(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.matcher, move |child| {
        MatcherActor::new(Arc::clone(&shared), child)
    });
    configured(node, child).start_ms(None)
}

fn orderbook(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.orderbook, move |_child| {
        OrderbookActor::new(Arc::clone(&shared))
    });
    // While it waits for the matcher it hears nothing, and it has nothing to finish.
    configured(node, child).start_ms(None).stop_ms(0)
}

fn breaker(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.breaker, move |_child| {
        BreakerActor::new(Arc::clone(&shared))
    });
    configured(node, child)
}

fn gossip(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.gossip, move |child| {
        GossipActor::new(Arc::clone(&shared), &child)
    });
    configured(node, child)
}

fn discovery(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.discovery, move |child| {
        DiscoveryActor::new(Arc::clone(&shared), &child)
    });
    configured(node, child)
}

fn listener(node: &Arc<NodeContext>, bound: std::net::TcpListener) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::fallible(&node.refs.listener, move |_child| {
        ListenerActor::new(Arc::clone(&shared), &bound)
    });
    configured(node, child)
}

/// Nobody sends it anything but its supervisor.
fn rendezvous(node: &Arc<NodeContext>) -> ChildSpec {
    let shared = Arc::clone(node);
    let reference: ActorRef<RendezvousActor> = ActorRef::new("rendezvous", 1);
    let child = ChildSpec::new(&reference, move |_child| {
        RendezvousActor::new(Arc::clone(&shared))
    });
    configured(node, child)
}

fn command(node: &Arc<NodeContext>, console: ConsoleUse) -> ChildSpec {
    let shared = Arc::clone(node);
    let child = ChildSpec::new(&node.refs.command, move |child| {
        CommandActor::new(Arc::clone(&shared), console.speech, console.at_end, &child)
    });
    configured(node, child)
}

/// The connections: they fail all the time and by the dozen, which is no reason to give up.
fn peers(node: &Arc<NodeContext>) -> SupervisorSpec {
    let settings = &node.settings;
    SupervisorSpec::new(Config {
        order: Order::AllAtOnce,
        intensity: None,
        children_max: settings.p2p.max_peers + STRANGERS_MAX,
        ..rules(settings, Strategy::OneForOne)
    })
}

/// The child that dials an address because a user wants it, until it is that of this node itself.
pub fn wanted_peer(node: &Arc<NodeContext>, address: &HostPort) -> ChildSpec {
    outbound_peer(node, address.to_string(), Wish::Requested)
}

/// The child that dials an address of the configuration whenever there are too few sessions.
pub fn named_peer(node: &Arc<NodeContext>, address: &HostPort) -> ChildSpec {
    outbound_peer(node, address.to_string(), Wish::Named)
}

/// The child that dials an address that was learned, as long as that is wanted.
pub fn learned_peer(node: &Arc<NodeContext>, address: PeerAddress) -> ChildSpec {
    outbound_peer(node, address.to_string(), Wish::Learned(address))
}

/// The child that dials an address, again and again.
fn outbound_peer(node: &Arc<NodeContext>, address: String, wish: Wish) -> ChildSpec {
    let me = ActorRef::new(format!("peer:{address}"), PEER_CAPACITY);
    let (node, reference) = (Arc::clone(node), me.clone());
    let backoff = Backoff {
        first_ms: REDIAL_FIRST_MS,
        max_ms: node.settings.p2p.reconnect_interval_ms,
        stable_ms: REDIAL_STABLE_MS,
    };
    ChildSpec::new(&me, move |child| {
        let origin = Origin::Dial(address.clone(), wish);
        PeerActor::new(Arc::clone(&node), reference.clone(), child, origin)
    })
    .restart(Restart::Transient)
    .backoff(backoff)
    .quiet()
}

/// Where the node can be reached.
pub fn ready(node: &NodeContext) -> Ready {
    Ready {
        node: node.identity.author(),
        p2p: node.listen_address(),
        api: node.api_address,
        grape_dht: node.grenache.dht_address,
        grape_api: node.grenache.api_address,
        grape_rpc: node.grenache.rpc_address,
        mode: node.settings.mode.name().to_string(),
        network: node.genesis.network.clone(),
    }
}
