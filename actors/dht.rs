//! DhtActor: drives a node of the DHT (see [`bitfitech_core::dht`]): its socket and its clock.
//!
//! The port is bound once for the whole process. A crash of this actor forgets what others had
//! stored here, as a restarted Grape does: services repeat their announcements, and the new life
//! enters the DHT afresh with another id. Callers whose question was under way are told so.
//!
//! Whoever wants something of the DHT holds a [`DhtClient`]. Questions come in on the data lane; at
//! most [`QUESTIONS_CAPACITY`] of them wait to be begun, and the state machine bounds those under
//! way, so a flood of callers is told that it is too much.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::fut::{ActorFuture, WrapFuture};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message};
use actix_rt::time::{Instant, Sleep, sleep_until};
use bitfitech_core::dht::{
    Dht, DhtConfig, DhtEvent, Found, FoundValue, GetRequest, HASH_BYTES, Outcome, Output,
    Overloaded, PutRequest, QueryId, SendError,
};
use bitfitech_io::config::HostPort;
use bitfitech_io::entropy;
use bitfitech_io::udp::DatagramSocket;
use tokio::sync::{broadcast, oneshot};

use crate::child::{Child, ChildSpec};
use crate::context::Clock;
use crate::mailbox::{ActorRef, Data};
use crate::supervised;

/// Questions that wait to be begun; callers beyond that wait themselves.
pub const QUESTIONS_CAPACITY: usize = 1_024;

/// Events that wait for a slow subscriber; older ones are lost to him.
const EVENTS_MAX: usize = 1_024;

/// Datagrams handled in a row before others of this thread have their turn. A guess: some 0.2 ms.
const BURST_MAX: usize = 64;

/// Longest wait of a caller. The state machine ends each errand within about 3 s, unless it waits
/// for many others.
const ANSWER_MS: u64 = 10_000;

/// Time after which the host names of entrances are resolved again.
const RESOLVE_MS: u64 = 60_000;

/// What a DhtActor needs.
pub struct DhtParts {
    /// How its node of the DHT behaves; the entrances are given below.
    pub config: DhtConfig,
    /// Through whom the DHT is entered.
    pub bootstrap: Vec<HostPort>,
    /// The bound port.
    pub socket: UdpSocket,
}

/// How long it may take to say how many nodes it knows.
const COUNT_MS: u64 = 1_000;

/// The way to a DhtActor; cheap to clone.
#[derive(Clone, Debug)]
pub struct DhtClient {
    actor: ActorRef<DhtActor>,
    events: broadcast::Sender<DhtEvent>,
}

impl Default for DhtClient {
    fn default() -> Self {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        Self {
            actor: ActorRef::new("dht", QUESTIONS_CAPACITY),
            events,
        }
    }
}

/// Why the DHT did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhtError {
    /// The actor has no life at present.
    Down,
    /// Too much is asked of it already.
    Overloaded,
    /// It ended, or did not answer in time.
    Lost,
}

impl fmt::Display for DhtError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => out.write_str("the DHT is being restarted: try again"),
            Self::Overloaded => Overloaded.fmt(out),
            Self::Lost => out.write_str("the DHT did not answer: try again"),
        }
    }
}

impl std::error::Error for DhtError {}

impl DhtClient {
    /// The child that runs the DHT of this client.
    pub fn child(&self, parts: DhtParts) -> ChildSpec {
        let events = self.events.clone();
        let parts = Arc::new(parts);
        ChildSpec::fallible(&self.actor, move |_child| {
            DhtActor::new(&parts, events.clone())
        })
    }

    /// Runs the DHT of this client on the present thread without a supervisor: for tests and
    /// tools.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn run_unsupervised(&self, parts: &DhtParts) -> Result<(), String> {
        let actor = DhtActor::new(parts, self.events.clone())?;
        drop(self.actor.run_unsupervised(actor));
        Ok(())
    }

    /// News of the DHT from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<DhtEvent> {
        self.events.subscribe()
    }

    /// How many nodes it knows; `None` if it does not answer.
    pub async fn nodes_count(&self) -> Option<usize> {
        self.actor.query(CountNodes, COUNT_MS).await.ok()
    }

    /// Looks for the addresses that offer a service.
    ///
    /// # Errors
    /// When the DHT does not answer; so for the others.
    pub async fn lookup(&self, name: Vec<u8>) -> Result<Found, DhtError> {
        match self.ask(Question::Lookup(name)).await? {
            Outcome::Lookup(found) => Ok(found),
            _ => Err(DhtError::Lost),
        }
    }

    /// Announces a service of this host; how many nodes accepted.
    ///
    /// # Errors
    /// As for [`DhtClient::lookup`]; within, why no node accepted.
    pub async fn announce(
        &self,
        name: Vec<u8>,
        port: u16,
    ) -> Result<Result<usize, SendError>, DhtError> {
        match self.ask(Question::Announce(name, port)).await? {
            Outcome::Announce(accepted) => Ok(accepted),
            _ => Err(DhtError::Lost),
        }
    }

    /// Looks for a value.
    ///
    /// # Errors
    /// As for [`DhtClient::lookup`].
    pub async fn get(&self, request: GetRequest) -> Result<Option<FoundValue>, DhtError> {
        match self.ask(Question::Get(request)).await? {
            Outcome::Get(found) => Ok(found),
            _ => Err(DhtError::Lost),
        }
    }

    /// Puts a value; its hash.
    ///
    /// # Errors
    /// As for [`DhtClient::announce`].
    pub async fn put(
        &self,
        request: PutRequest,
    ) -> Result<Result<[u8; HASH_BYTES], SendError>, DhtError> {
        match self.ask(Question::Put(request)).await? {
            Outcome::Put(kept) => Ok(kept),
            _ => Err(DhtError::Lost),
        }
    }

    /// Tells the DHT that there may be a node at this address. Not told again if the actor is down
    /// or busy: there are other ways into the DHT.
    pub fn meet(&self, address: SocketAddrV4) {
        drop(self.actor.try_data(Hint::Meet(address)));
    }

    /// Has lookups by this client find a service, and nobody else's. To be repeated, which makes up
    /// for a crash or a message that is lost.
    pub fn offer_here(&self, name: Vec<u8>, service: SocketAddrV4) {
        drop(self.actor.try_data(Hint::Offer(name, service)));
    }

    async fn ask(&self, question: Question) -> Result<Outcome, DhtError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { question, answer };
        self.actor.data(ask).await.map_err(|_| DhtError::Down)?;
        let timed = tokio::time::timeout(Duration::from_millis(ANSWER_MS), answered);
        match timed.await {
            Ok(Ok(outcome)) => outcome.map_err(|Overloaded| DhtError::Overloaded),
            Ok(Err(_)) | Err(_) => Err(DhtError::Lost),
        }
    }
}

#[derive(Debug)]
enum Question {
    Lookup(Vec<u8>),
    Announce(Vec<u8>, u16),
    Get(GetRequest),
    Put(PutRequest),
}

/// A question and where its answer goes.
#[derive(Debug)]
struct Ask {
    question: Question,
    answer: oneshot::Sender<Result<Outcome, Overloaded>>,
}

/// A query: how many nodes it knows.
#[derive(Message)]
#[rtype(result = "usize")]
struct CountNodes;

/// Something that is told without an answer.
#[derive(Debug)]
enum Hint {
    Meet(SocketAddrV4),
    Offer(Vec<u8>, SocketAddrV4),
}

/// The actor.
pub struct DhtActor {
    dht: Dht,
    socket: DatagramSocket,
    clock: Clock,
    /// Entrances whose addresses have to be looked up.
    names: Vec<HostPort>,
    /// Entrances that are addresses.
    literals: Vec<SocketAddrV4>,
    /// Who waits for what; bounded by the state machine.
    callers: BTreeMap<QueryId, oneshot::Sender<Result<Outcome, Overloaded>>>,
    events: broadcast::Sender<DhtEvent>,
}

impl DhtActor {
    fn new(parts: &DhtParts, events: broadcast::Sender<DhtEvent>) -> Result<Self, String> {
        let (literals, names) = sort_entrances(&parts.bootstrap);
        let failed = |error: std::io::Error| format!("the DHT cannot begin: {error}");
        let socket = DatagramSocket::new(&parts.socket).map_err(failed)?;
        let clock = Clock::default();
        let config = DhtConfig {
            bootstrap: literals.clone(),
            ..parts.config.clone()
        };
        let seed = entropy::seed().map_err(failed)?;
        Ok(Self {
            dht: Dht::new(config, &seed, clock.now()),
            socket,
            clock,
            names,
            literals,
            callers: BTreeMap::new(),
            events,
        })
    }

    /// Does what the state machine wants done.
    fn flush(&mut self) {
        while let Some(output) = self.dht.poll_output() {
            match output {
                Output::Send { to, datagram } => self.socket.send(to, &datagram),
                Output::Finished { query, outcome } => {
                    if let Some(caller) = self.callers.remove(&query) {
                        // Who does not wait any more does not want to know.
                        drop(caller.send(Ok(outcome)));
                    }
                }
                Output::Event(event) => {
                    if let DhtEvent::NodeAdded(contact) = &event {
                        tracing::debug!(target: "dht", "node at {}", contact.address);
                    }
                    // Without a subscriber nobody wants to know.
                    drop(self.events.send(event));
                }
            }
        }
    }

    /// Looks the addresses of named entrances up, now and from time to time.
    fn resolve(&self, context: &mut Context<Self>) {
        let names = self.names.clone();
        if names.is_empty() {
            return;
        }
        let resolving = async move {
            let mut addresses = Vec::new();
            for name in names {
                match tokio::net::lookup_host((name.host(), name.port())).await {
                    Ok(found) => addresses.extend(found.filter_map(|address| match address {
                        SocketAddr::V4(address) => Some(address),
                        SocketAddr::V6(_) => None,
                    })),
                    Err(error) => tracing::warn!(target: "dht", "{name} is unknown: {error}"),
                }
            }
            addresses
        };
        let resolved = resolving.into_actor(self).map(|addresses, actor, context| {
            let all = [actor.literals.as_slice(), &addresses].concat();
            actor.dht.set_bootstrap(all);
            let now = actor.clock.now();
            if actor.dht.nodes_count() == 0 {
                addresses
                    .into_iter()
                    .for_each(|address| actor.dht.meet(now, address));
                actor.flush();
            }
            context.run_later(Duration::from_millis(RESOLVE_MS), |actor, context| {
                actor.resolve(context);
            });
        });
        context.spawn(resolved);
    }
}

/// Tells addresses from names. An IPv6 address is none for this DHT.
fn sort_entrances(bootstrap: &[HostPort]) -> (Vec<SocketAddrV4>, Vec<HostPort>) {
    let (mut literals, mut names) = (Vec::new(), Vec::new());
    for entrance in bootstrap {
        match entrance.host().parse() {
            Ok(host) => literals.push(SocketAddrV4::new(host, entrance.port())),
            Err(_) => names.push(entrance.clone()),
        }
    }
    (literals, names)
}

impl Actor for DhtActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.spawn(Drive {
            sleep: Box::pin(sleep_until(Instant::now())),
            armed_ms: None,
            origin: Instant::now(),
            origin_ms: self.clock.now().monotonic_ms,
        });
        self.flush();
        self.resolve(context);
    }
}

impl Child for DhtActor {}
supervised!(DhtActor);

impl Handler<CountNodes> for DhtActor {
    type Result = usize;

    fn handle(&mut self, _count: CountNodes, _context: &mut Context<Self>) -> usize {
        self.dht.nodes_count()
    }
}

impl Handler<Data<Ask>> for DhtActor {
    type Result = ();

    fn handle(&mut self, data: Data<Ask>, _context: &mut Context<Self>) {
        let Ask { question, answer } = data.message;
        let now = self.clock.now();
        let begun = match question {
            Question::Lookup(name) => self.dht.start_lookup(now, &name),
            Question::Announce(name, port) => self.dht.start_announce(now, &name, port),
            Question::Get(request) => self.dht.start_get(now, request),
            Question::Put(request) => self.dht.start_put(now, request),
        };
        match begun {
            Ok(query) => {
                self.callers.insert(query, answer);
            }
            Err(Overloaded) => drop(answer.send(Err(Overloaded))),
        }
        self.flush();
    }
}

impl Handler<Data<Hint>> for DhtActor {
    type Result = ();

    fn handle(&mut self, data: Data<Hint>, _context: &mut Context<Self>) {
        let now = self.clock.now();
        match data.message {
            Hint::Meet(address) => self.dht.meet(now, address),
            Hint::Offer(name, service) => self.dht.offer_here(now, &name, service),
        }
        self.flush();
    }
}

/// What keeps the state machine going: datagrams that come, and deadlines that pass.
///
/// The context polls it whenever it has done anything else, so that the timer is set after every
/// message; it is only set anew when it would ring too late.
struct Drive {
    sleep: Pin<Box<Sleep>>,
    armed_ms: Option<u64>,
    origin: Instant,
    origin_ms: u64,
}

impl ActorFuture<DhtActor> for Drive {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut DhtActor,
        _context: &mut Context<DhtActor>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        for handled in 0.. {
            if handled == BURST_MAX {
                task.waker().wake_by_ref();
                break;
            }
            let DhtActor {
                dht, socket, clock, ..
            } = actor;
            match socket.poll_receive(task) {
                Poll::Ready((from, datagram)) => dht.handle_datagram(clock.now(), from, datagram),
                Poll::Pending => break,
            }
            actor.flush();
        }
        loop {
            let deadline_ms = actor.dht.next_deadline_ms();
            if self.armed_ms.is_none_or(|armed_ms| armed_ms > deadline_ms) {
                let wait_ms = deadline_ms.saturating_sub(self.origin_ms);
                let at = self.origin + Duration::from_millis(wait_ms);
                self.sleep.as_mut().reset(at);
                self.armed_ms = Some(deadline_ms);
            }
            if self.sleep.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            self.armed_ms = None;
            actor.dht.tick(actor.clock.now());
            actor.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::root::Root;
    use crate::supervisor::{Supervisor, SupervisorSpec};
    use bitfitech_core::supervision::Config;
    use bitfitech_io::transport::PortFallback;
    use bitfitech_io::udp::bind_udp;
    use std::net::Ipv4Addr;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = bind_udp(Ipv4Addr::LOCALHOST, 0, PortFallback::Refuse).expect("bound");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    fn start(socket: UdpSocket, bootstrap: &str) -> (DhtClient, Root) {
        let client = DhtClient::default();
        let parts = DhtParts {
            config: DhtConfig::default(),
            bootstrap: vec![bootstrap.parse().expect("an address")],
            socket,
        };
        let root: ActorRef<Supervisor> = ActorRef::new("root", 1);
        let spec = SupervisorSpec::new(Config::default()).child(client.child(parts));
        let root = Root::start(&root, spec, &Environment::new(1));
        (client, root)
    }

    #[actix_rt::test]
    async fn two_actors_find_each_other_and_what_each_offers() {
        let (one, two) = (socket(), socket());
        // A name that has to be looked up, and an address.
        let by_name = format!("localhost:{}", two.1.port());
        let (first, root_one) = start(one.0, &by_name);
        let mut ready = first.subscribe();
        let (second, root_two) = start(two.0, &one.1.to_string());
        loop {
            match ready.recv().await.expect("the actor lives") {
                DhtEvent::NodeAdded(_) => break,
                _ => continue,
            }
        }
        let accepted = first.announce(b"name".to_vec(), 7).await;
        assert_eq!(accepted, Ok(Ok(1)));
        let found = second.lookup(b"name".to_vec()).await.expect("an answer");
        assert_eq!(found.peers, ["127.0.0.1:7".parse().expect("an address")]);
        let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
        first.offer_here(b"own".to_vec(), service);
        let found = first.lookup(b"own".to_vec()).await.expect("an answer");
        assert_eq!(found.peers, [service]);
        let found = second.lookup(b"own".to_vec()).await.expect("an answer");
        assert_eq!(found.peers, []);
        for root in [root_one, root_two] {
            root.shutdown();
            assert_eq!(root.ended().await, Ok(()));
        }
        let down = second.lookup(b"name".to_vec()).await;
        assert_eq!(down, Err(DhtError::Down));
    }
}
