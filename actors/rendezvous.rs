//! RendezvousActor: nodes of one network meet under its name in the DHT of Grenache.
//!
//! Each node announces its port for peers as `bitfitech:NETWORK:p2p`, looks that name up, and tells
//! the DiscoveryActor who is there. In mode `grenache` the DHT is that of the embedded Grape. In
//! mode `legacy` other Grapes are asked over HTTP, the first one that answers; each has a circuit
//! like a peer's, so a dead one is left in peace and the next one is asked. Sessions do not depend
//! on any of this: nodes that have met go on without it.
//!
//! A round comes every half a minute, well within the two minutes for which a Grape keeps an
//! announcement; a node without sessions does not wait that long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use bitfitech_core::address::PeerAddress;
use bitfitech_core::address_book::Teller;
use bitfitech_core::breaker::{AttemptResult, Permit};
use bitfitech_core::dht::DhtEvent;
use bitfitech_io::grape_client::{self, GrapeClientError};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::breaker::{Dial, Dialled, MayDial};
use crate::child::{Child, Started};
use crate::context::NodeContext;
use crate::dht::DhtClient;
use crate::discovery::Found;
use crate::supervised;

/// Time between two rounds of a node that has sessions.
const ROUND: Duration = Duration::from_secs(30);

/// Time between the first two rounds of a node without sessions; it doubles up to [`ROUND`].
const ROUND_FIRST: Duration = Duration::from_millis(500);

/// How long the breaker may take to answer.
const QUERY_MS: u64 = 5_000;

/// The actor.
pub struct RendezvousActor {
    node: Arc<NodeContext>,
}

impl RendezvousActor {
    /// An actor that has met nobody.
    pub fn new(node: Arc<NodeContext>) -> Self {
        Self { node }
    }
}

impl Actor for RendezvousActor {
    type Context = Context<Self>;
}

impl Child for RendezvousActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        let meeting = meet(Arc::clone(&self.node));
        context.spawn(meeting.into_actor(self));
        started.report();
    }
}
supervised!(RendezvousActor);

/// The name under which nodes of a network meet.
pub fn peers_name(network: &str) -> String {
    format!("bitfitech:{network}:p2p")
}

/// The name of the RPC service of a network.
pub fn service_name(network: &str) -> String {
    format!("bitfitech:{network}:rpc")
}

/// A service of this node.
struct Service {
    name: String,
    address: SocketAddr,
}

impl Service {
    /// Whether others can reach it.
    fn is_public(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

/// Round after round.
async fn meet(node: Arc<NodeContext>) {
    let network = &node.genesis.network;
    let peers = node.listen_address().map(|address| Service {
        name: peers_name(network),
        address,
    });
    let rpc = node.grenache.rpc_address.map(|address| Service {
        name: service_name(network),
        address,
    });
    let mut wait = ROUND_FIRST;
    loop {
        // Subscribed before the round, so that no neighbour that comes meanwhile is missed.
        let news = node.grenache.dht.as_ref().map(DhtClient::subscribe);
        let (addresses, announced) = match &node.grenache.dht {
            Some(dht) => round(dht, peers.as_ref(), rpc.as_ref(), network).await,
            None => legacy_round(&node, peers.as_ref(), rpc.as_ref()).await,
        };
        hand_over(&node, addresses).await;
        wait = if node.directory.is_empty() || announced == Announced::ByNobody {
            (wait * 2).min(ROUND)
        } else {
            ROUND
        };
        match news {
            Some(news) if announced == Announced::ByNobody => {
                // Whichever comes first: a neighbour, or the next try.
                let waited = tokio::time::timeout(wait, neighbour(news));
                drop(waited.await);
            }
            _ => actix_rt::time::sleep(wait).await,
        }
    }
}

/// Whether anybody keeps the announcement of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    BySomebody,
    ByNobody,
}

/// Waits for a node of the DHT that was not known.
async fn neighbour(mut news: Receiver<DhtEvent>) {
    loop {
        match news.recv().await {
            Ok(DhtEvent::NodeAdded(_)) => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            // The actor is gone for good: so is this one.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Tells who is there.
async fn hand_over(node: &Arc<NodeContext>, addresses: Vec<SocketAddr>) {
    let own = node.listen_address();
    let others = addresses
        .into_iter()
        .filter(|address| !is_own(*address, own));
    let found = Found {
        source: Teller::Dht,
        addresses: others.filter_map(PeerAddress::new).collect(),
    };
    // If it is down, it is told again in the next round.
    drop(node.refs.discovery.data(found).await);
}

/// Whether this is certainly the node itself: its own port on its own machine.
fn is_own(address: SocketAddr, own: Option<SocketAddr>) -> bool {
    let here = |own: SocketAddr| address.ip().is_loopback() || address.ip() == own.ip();
    own.is_some_and(|own| own.port() == address.port() && here(own))
}

/// A round by the embedded Grape.
async fn round(
    dht: &DhtClient,
    peers: Option<&Service>,
    rpc: Option<&Service>,
    network: &str,
) -> (Vec<SocketAddr>, Announced) {
    let mut announced = Announced::BySomebody;
    if let Some(rpc) = rpc {
        let name = rpc.name.clone().into_bytes();
        // Programs of this machine need no neighbour to find it.
        match rpc.address {
            SocketAddr::V4(address) if !address.ip().is_unspecified() => {
                dht.offer_here(name.clone(), address);
            }
            _ => {}
        }
        if rpc.is_public() {
            log_failure(dht.announce(name, rpc.address.port()).await);
        }
    }
    if let Some(peers) = peers {
        let name = peers.name.clone().into_bytes();
        let accepted = dht.announce(name, peers.address.port()).await;
        if !matches!(accepted, Ok(Ok(_))) {
            announced = Announced::ByNobody;
        }
        log_failure(accepted);
    }
    let found = match dht.lookup(peers_name(network).into_bytes()).await {
        Ok(found) => {
            let addresses = found.peers.into_iter();
            addresses.map(SocketAddr::from).collect()
        }
        Err(error) => {
            tracing::debug!(target: "rendezvous", "{error}");
            Vec::new()
        }
    };
    (found, announced)
}

fn log_failure<T, E: std::fmt::Display, F: std::fmt::Display>(announced: Result<Result<T, E>, F>) {
    match announced {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(target: "rendezvous", "not announced: {error}"),
        Err(error) => tracing::debug!(target: "rendezvous", "not announced: {error}"),
    }
}

/// A round by other Grapes.
async fn legacy_round(
    node: &NodeContext,
    peers: Option<&Service>,
    rpc: Option<&Service>,
) -> (Vec<SocketAddr>, Announced) {
    let mut announced = Announced::BySomebody;
    // A Grape tells everyone, so a service that only this machine reaches is not for it.
    let services = [peers, rpc.filter(|rpc| rpc.is_public())];
    for service in services.into_iter().flatten() {
        let data = json!([service.name, service.address.port()]);
        match ask_grapes(node, "announce", &data).await {
            Ok(Value::Number(_)) => {}
            Ok(answer) => {
                announced = Announced::ByNobody;
                tracing::debug!(target: "rendezvous", "not announced: {answer}");
            }
            Err(error) => {
                tracing::debug!(target: "rendezvous", "not announced: {error}");
                return (Vec::new(), Announced::ByNobody);
            }
        }
    }
    let name = peers_name(&node.genesis.network);
    let found = ask_grapes(node, "lookup", &json!(name)).await;
    let found = found.unwrap_or(Value::Null);
    let texts = found.as_array().into_iter().flatten();
    let addresses = texts.filter_map(|text| text.as_str()?.parse().ok());
    (addresses.collect(), announced)
}

/// Asks the first Grape that answers, each through its circuit.
///
/// # Errors
/// None answers: what the last one said, or that all circuits are open.
pub async fn ask_grapes(
    node: &NodeContext,
    route: &'static str,
    data: &Value,
) -> Result<Value, String> {
    let mut failure = "the circuits of all Grapes are open: try again later".to_owned();
    for url in node.settings.grape.urls() {
        let ask = MayDial {
            address: url.to_string(),
        };
        let permit = node.refs.breaker.query(ask, QUERY_MS).await;
        let Ok(Dial(Permit::Go(attempt))) = permit else {
            continue;
        };
        let (owned, data) = (url.to_owned(), data.clone());
        let asking = tokio::task::spawn_blocking(move || grape_client::post(&owned, route, &data));
        let answered = asking.await.unwrap_or(Err(GrapeClientError::Interrupted));
        let result = match &answered {
            Ok(_) => AttemptResult::Succeeded,
            Err(_) => AttemptResult::Failed,
        };
        // A breaker that is down has forgotten the attempt anyway.
        drop(node.refs.breaker.control(Dialled {
            address: url.to_string(),
            attempt,
            result,
        }));
        match answered {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                tracing::warn!(target: "rendezvous", "Grape at {url}: {error}");
                failure = format!("Grape at {url}: {error}");
            }
        }
    }
    Err(failure)
}
