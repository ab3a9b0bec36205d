//! PeerActor: one connection to another node, from the dial to the goodbye.
//!
//! A connection that was dialled is a child that its supervisor starts again when it fails, that
//! is: dials again, after a wait that grows, and only if the address's circuit allows it. One that
//! came in ends with its connection. Either way nobody else notices more than that a session ended.
//!
//! Within the actor there are one reader and one writer. The reader hands frames to gossip and
//! waits while gossip is busy, which slows the peer down through TCP. The writer takes from a
//! queue that gossip fills only as far as its accounting of this link allows, so a peer that reads
//! slowly costs bounded memory and nobody's time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use bitfitech_core::breaker::{AttemptResult, Permit};
use bitfitech_core::handshake::{Accepted, Dialler, Handshake, HandshakeError, SessionFacts};
use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, Nonce, RefuseCode};
use bitfitech_io::config::HostPort;
use bitfitech_io::transport::{
    Connection, ConnectionReader, ConnectionWriter, FrameLimits, RawFrame, ReadError, connect,
};
use tokio::sync::mpsc;

use crate::breaker::{Dialled, MayDial};
use crate::child::{Child, ChildContext, ExitNote};
use crate::context::{NodeContext, SessionEntry};
use crate::gossip::{PeerFrame, SessionDown, SessionUp, Written};
use crate::mailbox::ActorRef;
use crate::matcher::LinkDown;
use crate::messages::{Direction, Event, PeerChange, PeerEvent};
use crate::supervised;

/// How long another actor of this node may take to answer.
const QUERY_MS: u64 = 5_000;

/// Pause before something that was not possible is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a goodbye may take to be written.
const GOODBYE: Duration = Duration::from_secs(1);

/// Answers to pings that may wait to be written; a peer that pings faster gets fewer answers.
const PONGS_MAX: usize = 16;

/// Send this frame.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SendFrame {
    /// The frame.
    pub frame: Frame,
    /// What it counts against the link's outbox; gossip is told when it is written.
    pub cost_bytes: usize,
}

/// Say goodbye and end the connection.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub Goodbye);

/// A fresh gossip actor wants to know of this session.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Register;

/// Where a connection comes from.
pub enum Origin {
    /// It is to be dialled.
    Dial(HostPort),
    /// It came in.
    Accepted(Connection),
}

/// Something for the writer.
enum Outgoing {
    Frame { frame: Frame, cost_bytes: usize },
    Pong(u64),
    Close(Goodbye),
}

/// How a connection ended.
enum Ending {
    /// It may be dialled again.
    Lost(String),
    /// It is not to be dialled again.
    Done(String),
}

/// The actor.
pub struct PeerActor {
    node: Arc<NodeContext>,
    exit: ExitNote,
    outbox: mpsc::UnboundedSender<Outgoing>,
    /// What the connection is made of, until it begins.
    start: Option<(Origin, mpsc::UnboundedReceiver<Outgoing>)>,
    me: ActorRef<Self>,
    session: Option<Arc<Session>>,
}

/// An established session; its end is told when it is dropped, whatever the reason.
struct Session {
    node: Arc<NodeContext>,
    link: LinkId,
    peer: AuthorKey,
    address: String,
    facts: SessionFacts,
    clock_offset_ms: i64,
    me: ActorRef<PeerActor>,
    ending: std::sync::Mutex<Option<String>>,
}

impl PeerActor {
    /// A connection that has not begun.
    pub fn new(
        node: Arc<NodeContext>,
        me: ActorRef<Self>,
        child: ChildContext,
        origin: Origin,
    ) -> Self {
        // Bounded by gossip's accounting of the link, by PONGS_MAX and by one Close.
        let (outbox, queue) = mpsc::unbounded_channel();
        Self {
            node,
            exit: child.exit,
            outbox,
            start: Some((origin, queue)),
            me,
            session: None,
        }
    }

    /// Gives the writer something; a connection that has ended needs nothing more.
    fn push(&self, outgoing: Outgoing) {
        drop(self.outbox.send(outgoing));
    }

    /// The session stands: reads and writes until it ends.
    fn run(&mut self, opened: Opened, context: &mut Context<Self>) {
        let session = Arc::clone(&opened.session);
        self.session = Some(Arc::clone(&opened.session));
        let outbox = self.outbox.clone();
        let running = async move {
            let pongs = Arc::new(AtomicUsize::new(0));
            let (mut queue, mut writer) = (opened.queue, opened.writer);
            let mut reader = opened.reader;
            let reading = read_frames(&session, &mut reader, &outbox, &pongs);
            let writing = write_frames(&session, &mut writer, &mut queue, &pongs);
            tokio::pin!(writing);
            tokio::select! {
                ending = reading => {
                    // What the peer did wrong is told to it, if it still listens.
                    drop(tokio::time::timeout(GOODBYE, writing).await);
                    ending
                }
                ending = &mut writing => ending,
            }
        };
        let ended = running
            .into_actor(self)
            .map(|ending, actor, context| actor.end(ending, context));
        context.spawn(ended);
    }

    /// The connection is over.
    fn end(&mut self, ending: Ending, context: &mut Context<Self>) {
        let (Ending::Lost(reason) | Ending::Done(reason)) = &ending;
        if let Some(session) = &self.session {
            session.note_ending(reason);
        } else {
            tracing::debug!(target: "peer", "{}: {reason}", self.me.name());
        }
        if let Ending::Lost(reason) = ending {
            self.exit.fail(reason);
        }
        context.stop();
    }
}

impl Session {
    fn note_ending(&self, reason: &str) {
        if let Ok(mut ending) = self.ending.lock() {
            ending.get_or_insert_with(|| reason.to_string());
        }
    }

    /// What gossip must know of it.
    fn introduction(&self) -> SessionUp {
        SessionUp {
            link: self.link,
            node: self.peer,
            facts: self.facts,
            clock_offset_ms: self.clock_offset_ms,
            peer: self.me.clone(),
        }
    }

    fn tell(&self, change: PeerChange, reason: Option<String>) {
        self.node.tell(Event::Peer(PeerEvent {
            node: self.peer,
            address: self.address.clone(),
            change,
            reason,
        }));
    }
}

impl Drop for Session {
    /// Runs also while the actor unwinds, so it must not fail: it only sends messages.
    fn drop(&mut self) {
        self.node.directory.remove(&self.link);
        let ending = self.ending.get_mut().ok().and_then(Option::take);
        let reason = ending.unwrap_or_else(|| "the actor of the connection crashed".to_string());
        // Actors that are down ask for the present sessions when they are up again.
        drop(self.node.refs.gossip.control(SessionDown(self.link)));
        drop(self.node.refs.matcher.control(LinkDown(self.link)));
        tracing::info!(
            target: "peer",
            "session with {} at {} ended: {reason}",
            self.peer.short(),
            self.address
        );
        self.tell(PeerChange::Disconnected, Some(reason));
    }
}

/// A session that has just been established.
struct Opened {
    session: Arc<Session>,
    reader: ConnectionReader,
    writer: ConnectionWriter,
    queue: mpsc::UnboundedReceiver<Outgoing>,
}

/// From nothing to an established session.
async fn open(
    node: Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    origin: Origin,
    queue: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<Opened, Ending> {
    match origin {
        Origin::Accepted(connection) => {
            establish(&node, me, connection, Direction::Inbound, queue).await
        }
        Origin::Dial(address) => {
            let address = address.to_string();
            wait_until_needed(&node, &address).await;
            let attempt = ask_breaker(&node, &address).await;
            let opened = dial(&node, me, &address, queue).await;
            let result = match &opened {
                Ok(_) => AttemptResult::Succeeded,
                Err(_) => AttemptResult::Failed,
            };
            // A breaker that was restarted has forgotten the attempt.
            drop(node.refs.breaker.control(Dialled {
                address,
                attempt,
                result,
            }));
            opened
        }
    }
}

/// Waits while there is a session with the node at this address already.
async fn wait_until_needed(node: &NodeContext, address: &str) {
    let is_there =
        |entry: &SessionEntry| entry.address == address || entry.listen.as_deref() == Some(address);
    while node.directory.iter().any(|entry| is_there(entry.value())) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the circuit of the address allows an attempt.
async fn ask_breaker(node: &NodeContext, address: &str) -> bitfitech_core::breaker::Attempt {
    loop {
        let address = address.to_string();
        let answer = node.refs.breaker.query(MayDial { address }, QUERY_MS).await;
        match answer.map(|dial| dial.0) {
            Ok(Permit::Go(attempt)) => return attempt,
            Ok(Permit::Wait { retry_in_ms }) => {
                tokio::time::sleep(Duration::from_millis(retry_in_ms.max(1))).await;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Resolves, connects and shakes hands.
async fn dial(
    node: &Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    address: &str,
    queue: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<Opened, Ending> {
    tracing::debug!(target: "peer", "dialling {address}");
    let timeout_ms = node.settings.p2p.connect_timeout_ms;
    let resolving = tokio::net::lookup_host(address);
    let limit = Duration::from_millis(timeout_ms);
    let resolved = tokio::time::timeout(limit, resolving).await;
    let resolved = resolved.map_err(|_| lost("its name was not resolved in time"))?;
    let mut addresses = resolved.map_err(|error| lost(&format!("name: {error}")))?;
    let target = addresses
        .next()
        .ok_or_else(|| lost("its name has no address"))?;
    let connection = connect(&node.tls, target, None, timeout_ms).await;
    let connection = connection.map_err(|error| Ending::Lost(error.to_string()))?;
    establish(node, me, connection, Direction::Outbound, queue).await
}

fn lost(reason: &str) -> Ending {
    Ending::Lost(reason.to_string())
}

/// Shakes hands on a connection and introduces the session to gossip.
async fn establish(
    node: &Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    connection: Connection,
    direction: Direction,
    queue: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<Opened, Ending> {
    let settings = &node.settings;
    let limits = FrameLimits {
        length_bytes_max: settings.limits.max_message_kb.saturating_mul(1024),
        silence_ms_max: settings.p2p.idle_timeout_ms,
        ..FrameLimits::default()
    };
    let (peer, remote) = (connection.key, connection.address);
    let address = remote.to_string();
    let (mut reader, mut writer) = connection.split(limits);
    let number = node.next_number();
    let accepted = shake_hands(node, peer, number, (&mut reader, &mut writer)).await;
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return Err(refused(peer, &address, error, &mut writer).await),
    };
    let facts = SessionFacts {
        dialler: match direction {
            Direction::Outbound => Dialler::Local,
            Direction::Inbound => Dialler::Peer,
        },
        peer_instance: accepted.hello.instance,
        dialler_session: match direction {
            Direction::Outbound => number,
            Direction::Inbound => accepted.hello.session,
        },
    };
    let introduction = SessionUp {
        link: LinkId(number),
        node: peer,
        facts,
        clock_offset_ms: accepted.clock_offset_ms,
        peer: me.clone(),
    };
    introduce(node, introduction, &mut writer).await?;
    let session = Arc::new(Session {
        node: Arc::clone(node),
        link: LinkId(number),
        peer,
        address: address.clone(),
        facts,
        clock_offset_ms: accepted.clock_offset_ms,
        me: me.clone(),
        ending: std::sync::Mutex::new(None),
    });
    let entry = SessionEntry {
        peer: me,
        node: peer,
        address,
        listen: reachable(accepted.hello.listen, remote.ip()),
        direction,
        rtt_ms: None,
    };
    node.directory.insert(session.link, entry);
    let way = direction.name();
    tracing::info!(target: "peer", "{way} session with {} at {}", peer.short(), session.address);
    session.tell(PeerChange::Connected, None);
    Ok(Opened {
        session,
        reader,
        writer,
        queue,
    })
}

/// Where a node takes connections that says it does so on all its addresses.
fn reachable(listen: Option<String>, remote: IpAddr) -> Option<String> {
    let listen = listen?;
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            Some(SocketAddr::new(remote, address.port()).to_string())
        }
        _ => Some(listen),
    }
}

/// Exchanges Hellos.
async fn shake_hands(
    node: &NodeContext,
    peer: AuthorKey,
    number: u64,
    (reader, writer): (&mut ConnectionReader, &mut ConnectionWriter),
) -> Result<Accepted, HandshakeError> {
    let now = node.clock.now();
    let handshake = Handshake::new(now, peer);
    let hello = encode(&Frame::Hello(node.local.hello(now, number)));
    let wait_ms = handshake.deadline_ms().saturating_sub(now.monotonic_ms);
    let exchange = async {
        writer
            .write(&[hello])
            .await
            .map_err(|error| error.to_string())?;
        reader.read().await.map_err(|error| error.to_string())
    };
    let timed = tokio::time::timeout(Duration::from_millis(wait_ms), exchange).await;
    let now = node.clock.now();
    match timed {
        Err(_) => handshake
            .handle_timeout(now)
            .and_then(|()| handshake.handle_frame(now, &node.local, None)),
        Ok(Err(reason)) => Err(HandshakeError::Ended(Goodbye {
            code: GoodbyeCode::Protocol,
            reason,
        })),
        Ok(Ok(raw)) => {
            let frame = Frame::decode(raw.kind, &raw.payload).unwrap_or(None);
            handshake.handle_frame(now, &node.local, frame)
        }
    }
}

/// Tells the peer why there is no session, and the log.
async fn refused(
    peer: AuthorKey,
    address: &str,
    error: HandshakeError,
    writer: &mut ConnectionWriter,
) -> Ending {
    match error {
        HandshakeError::Refused(refuse) => {
            let own = refuse.code == RefuseCode::SelfConnection;
            let reason = refuse.reason.clone();
            if own {
                tracing::debug!(target: "peer", "{address} is this node itself: not dialled again");
            } else {
                tracing::warn!(target: "peer", "refused {} at {address}: {reason}", peer.short());
            }
            say(writer, Frame::Refuse(refuse)).await;
            if own {
                Ending::Done(reason)
            } else {
                Ending::Lost(reason)
            }
        }
        HandshakeError::RefusedByPeer(refuse) => {
            let reason = format!(
                "refused by {} at {address}: {}",
                peer.short(),
                refuse.reason
            );
            if refuse.code == RefuseCode::SelfConnection {
                return Ending::Done(reason);
            }
            tracing::warn!(target: "peer", "{reason}");
            Ending::Lost(reason)
        }
        HandshakeError::Ended(goodbye) => Ending::Lost(goodbye.reason),
    }
}

/// Writes a last frame and closes, as far as the peer lets that happen in time.
async fn say(writer: &mut ConnectionWriter, frame: Frame) {
    let bytes = encode(&frame);
    let saying = async {
        writer.write(&[bytes]).await?;
        writer.close().await
    };
    // The connection ends in any case.
    drop(tokio::time::timeout(GOODBYE, saying).await);
}

/// Asks gossip to take the session; says goodbye if it does not.
async fn introduce(
    node: &NodeContext,
    introduction: SessionUp,
    writer: &mut ConnectionWriter,
) -> Result<(), Ending> {
    let goodbye = loop {
        match node.refs.gossip.query(introduction.clone(), QUERY_MS).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(goodbye)) => break goodbye,
            Err(error) => {
                tracing::debug!(target: "peer", "gossip does not answer yet: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let reason = goodbye.reason.clone();
    say(writer, Frame::Goodbye(goodbye)).await;
    Err(Ending::Lost(reason))
}

/// The bytes of a frame.
fn encode(frame: &Frame) -> Vec<u8> {
    let (kind, payload) = frame.encode();
    RawFrame { kind, payload }.encode()
}

/// Reads until the connection ends.
async fn read_frames(
    session: &Session,
    reader: &mut ConnectionReader,
    outbox: &mpsc::UnboundedSender<Outgoing>,
    pongs: &AtomicUsize,
) -> Ending {
    let violation = |reason: String| {
        let code = GoodbyeCode::Protocol;
        let goodbye = Goodbye {
            code,
            reason: reason.clone(),
        };
        drop(outbox.send(Outgoing::Close(goodbye)));
        Ending::Lost(format!("the peer broke the protocol: {reason}"))
    };
    loop {
        let raw = match reader.read().await {
            Ok(raw) => raw,
            Err(error @ (ReadError::Empty | ReadError::TooLong { .. })) => {
                return violation(error.to_string());
            }
            Err(error) => {
                drop(outbox.send(Outgoing::Close(Goodbye {
                    code: GoodbyeCode::Silent,
                    reason: error.to_string(),
                })));
                return Ending::Lost(error.to_string());
            }
        };
        match Frame::decode(raw.kind, &raw.payload) {
            Err(error) => return violation(error.to_string()),
            Ok(None) => {}
            Ok(Some(Frame::Ping(nonce))) => {
                if pongs.fetch_add(1, Ordering::Relaxed) < PONGS_MAX {
                    drop(outbox.send(Outgoing::Pong(nonce.nonce)));
                } else {
                    pongs.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Ok(Some(Frame::Pong(nonce))) => session.note_pong(nonce.nonce),
            Ok(Some(Frame::Goodbye(goodbye))) => {
                let said = bitfitech_core::handshake::printable(&goodbye.reason, 200);
                drop(outbox.send(Outgoing::Close(Goodbye {
                    code: GoodbyeCode::Requested,
                    reason: "as you wish".to_string(),
                })));
                return Ending::Lost(format!("the peer said goodbye: {said}"));
            }
            Ok(Some(frame @ (Frame::Hello(_) | Frame::Refuse(_)))) => {
                return violation(format!("{} in the middle of a session", frame.name()));
            }
            Ok(Some(frame)) => {
                let link = session.link;
                // A gossip actor that is down synchronises with everybody when it is up again.
                drop(
                    session
                        .node
                        .refs
                        .gossip
                        .data(PeerFrame { link, frame })
                        .await,
                );
            }
        }
    }
}

impl Session {
    /// A pong came; its number is the time of the ping.
    fn note_pong(&self, sent_ms: u64) {
        let rtt_ms = self.node.clock.now().monotonic_ms.checked_sub(sent_ms);
        if let (Some(mut entry), Some(_)) = (self.node.directory.get_mut(&self.link), rtt_ms) {
            entry.rtt_ms = rtt_ms;
        }
    }
}

/// Writes until the queue says to close.
async fn write_frames(
    session: &Session,
    writer: &mut ConnectionWriter,
    queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    pongs: &AtomicUsize,
) -> Ending {
    let interval = Duration::from_millis(session.node.settings.p2p.ping_interval_ms);
    let mut next_ping = Instant::now();
    loop {
        let outgoing = tokio::time::timeout_at(next_ping.into(), queue.recv()).await;
        let (frame, cost_bytes) = match outgoing {
            Err(_) => {
                next_ping = Instant::now() + interval;
                let nonce = session.node.clock.now().monotonic_ms;
                (Frame::Ping(Nonce { nonce }), 0)
            }
            Ok(None) => return Ending::Lost("the actor has ended".to_string()),
            Ok(Some(Outgoing::Frame { frame, cost_bytes })) => (frame, cost_bytes),
            Ok(Some(Outgoing::Pong(nonce))) => {
                pongs.fetch_sub(1, Ordering::Relaxed);
                (Frame::Pong(Nonce { nonce }), 0)
            }
            Ok(Some(Outgoing::Close(goodbye))) => {
                let ending = Ending::of(&goodbye);
                say(writer, Frame::Goodbye(goodbye)).await;
                return ending;
            }
        };
        if let Err(error) = writer.write(&[encode(&frame)]).await {
            return Ending::Lost(error.to_string());
        }
        if cost_bytes > 0 {
            let link = session.link;
            // A gossip actor that was restarted has forgotten the cost.
            drop(
                session
                    .node
                    .refs
                    .gossip
                    .control(Written { link, cost_bytes }),
            );
        }
    }
}

impl Ending {
    /// How a connection ends that this side closed with these words.
    fn of(goodbye: &Goodbye) -> Self {
        match goodbye.code {
            GoodbyeCode::Requested | GoodbyeCode::Shutdown => Self::Done(goodbye.reason.clone()),
            _ => Self::Lost(goodbye.reason.clone()),
        }
    }
}

impl Actor for PeerActor {
    type Context = Context<Self>;
}

impl Child for PeerActor {
    fn on_begin(&mut self, started: crate::child::Started, context: &mut Context<Self>) {
        started.report();
        let (origin, queue) = self.start.take().expect("a life begins once");
        let opening = open(Arc::clone(&self.node), self.me.clone(), origin, queue);
        let opened = opening
            .into_actor(self)
            .map(|opened, actor, context| match opened {
                Ok(opened) => actor.run(opened, context),
                Err(ending) => actor.end(ending, context),
            });
        context.spawn(opened);
    }

    fn on_stop(&mut self, context: &mut Context<Self>) {
        match &self.session {
            Some(_) => self.push(Outgoing::Close(Goodbye {
                code: GoodbyeCode::Shutdown,
                reason: "this side ends the session".to_string(),
            })),
            None => context.stop(),
        }
    }
}
supervised!(PeerActor);

impl Handler<SendFrame> for PeerActor {
    type Result = ();

    fn handle(&mut self, send: SendFrame, _context: &mut Context<Self>) {
        let SendFrame { frame, cost_bytes } = send;
        self.push(Outgoing::Frame { frame, cost_bytes });
    }
}

impl Handler<Close> for PeerActor {
    type Result = ();

    fn handle(&mut self, close: Close, _context: &mut Context<Self>) {
        self.push(Outgoing::Close(close.0));
    }
}

impl Handler<Register> for PeerActor {
    type Result = ();

    fn handle(&mut self, _register: Register, context: &mut Context<Self>) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let outbox = self.outbox.clone();
        let registering = async move {
            let gossip = &session.node.refs.gossip;
            if let Ok(Err(goodbye)) = gossip.query(session.introduction(), QUERY_MS).await {
                drop(outbox.send(Outgoing::Close(goodbye)));
            }
        };
        context.spawn(registering.into_actor(self));
    }
}
