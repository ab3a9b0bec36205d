//! PeerActor: one connection to another node, from the dial to the goodbye.
//!
//! A connection that was dialled is a child that its supervisor starts again when it fails, that
//! is: dials again, after a wait that grows, and only if the address's circuit allows it. One that
//! came in ends with its connection. Either way nobody else notices more than that a session ended.
//!
//! Within the actor there are one reader (`peer_reader.rs`) and one writer. The reader hands
//! frames to gossip and waits while gossip is busy, which slows the peer down through TCP. The
//! writer takes from a queue that gossip fills only as far as its accounting of this link allows,
//! so a peer that reads slowly costs bounded memory and nobody's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use bitfitech_core::address::PeerAddress;
use bitfitech_core::standing::Offence;
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, Nonce};
use bitfitech_io::transport::{Connection, ConnectionReader, ConnectionWriter, RawFrame};
use tokio::sync::mpsc;

use crate::child::{Child, ChildContext, ExitNote};
use crate::context::NodeContext;
use crate::discovery::LinkGone;
use crate::gossip::{SessionDown, SessionUp, Written};
use crate::mailbox::ActorRef;
use crate::matcher::LinkDown;
use crate::messages::{Event, PeerChange, PeerEvent};
use crate::peer_dial::{GOODBYE, lost, open, say};
use crate::peer_reader::PeerReader;
use crate::supervised;

/// How long another actor of this node may take to answer.
const QUERY_MS: u64 = 5_000;

/// Frames that may wait to be written. A guess: what gossip hands over in 8 s of flushes.
const OUTBOX_FRAMES_MAX: usize = 4_096;

/// So many bytes are written at once, and then no more frames are added: a few of the largest TLS
/// records. A guess: beyond that nothing is gained, and gossip would be told late.
const WRITE_BYTES_TARGET: usize = 64 * 1024;

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
    /// It is to be dialled, HOST:PORT, and why.
    Dial(String, Wish),
    /// It came in.
    Accepted(Box<Connection>),
}

/// Why an address is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A user asked for it: always.
    Requested,
    /// The configuration names it: whenever there are too few sessions.
    Named,
    /// It was learned: as long as it is wanted.
    Learned(PeerAddress),
}

/// Something for the writer.
pub(crate) enum Outgoing {
    Frame { bytes: Vec<u8>, cost_bytes: usize },
    Pong(u64),
    Close(Goodbye),
}

/// How a connection ended.
pub(crate) enum Ending {
    /// It may be dialled again.
    Lost(String),
    /// It is not to be dialled again.
    Done(String),
    /// The node is there, but this session is one too many.
    Spare(String),
}

/// The actor.
pub struct PeerActor {
    node: Arc<NodeContext>,
    exit: ExitNote,
    outbox: mpsc::Sender<Outgoing>,
    /// Bytes in the outbox.
    queued_bytes: Arc<AtomicUsize>,
    /// What the connection is made of, until it begins.
    start: Option<(Origin, mpsc::Receiver<Outgoing>)>,
    me: ActorRef<Self>,
    session: Option<Arc<Session>>,
}

/// An established session; its end is told when it is dropped, whatever the reason.
pub(crate) struct Session {
    pub(crate) node: Arc<NodeContext>,
    /// What gossip must know of it; a fresh gossip actor is told again.
    pub(crate) introduction: SessionUp,
    pub(crate) address: String,
    /// Why it was dialled, if this node did.
    pub(crate) wish: Option<Wish>,
    pub(crate) ending: std::sync::Mutex<Option<String>>,
}

impl PeerActor {
    /// A connection that has not begun.
    pub fn new(
        node: Arc<NodeContext>,
        me: ActorRef<Self>,
        child: ChildContext,
        origin: Origin,
    ) -> Self {
        let (outbox, queue) = mpsc::channel(OUTBOX_FRAMES_MAX);
        Self {
            node,
            exit: child.exit,
            outbox,
            queued_bytes: Arc::default(),
            start: Some((origin, queue)),
            me,
            session: None,
        }
    }

    /// Gives the writer a frame. A peer that takes less than it asks for, or less than gossip
    /// allows it to be behind, has filled its outbox: the connection ends.
    fn push_frame(&mut self, send: &SendFrame, context: &mut Context<Self>) {
        let bytes = encode(&send.frame);
        let queued = self.queued_bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        let bytes_max = 2 * self.node.settings.p2p.outbox_kb as usize * 1024;
        let cost_bytes = send.cost_bytes;
        let frame = Outgoing::Frame { bytes, cost_bytes };
        if queued > bytes_max || self.outbox.try_send(frame).is_err() {
            self.end(lost("the peer takes less than it is sent"), context);
        }
    }

    /// Has the writer say goodbye. If there is no room even for that, the connection ends at once.
    fn push_close(&mut self, goodbye: Goodbye, context: &mut Context<Self>) {
        let ending = Ending::of(&goodbye);
        if self.outbox.try_send(Outgoing::Close(goodbye)).is_err() {
            self.end(ending, context);
        }
    }

    /// The session stands: reads and writes until it ends.
    fn run(&mut self, opened: Opened, context: &mut Context<Self>) {
        let session = Arc::clone(&opened.session);
        self.session = Some(Arc::clone(&opened.session));
        let (outbox, queued_bytes) = (self.outbox.clone(), Arc::clone(&self.queued_bytes));
        let running = async move {
            let pongs = Arc::new(AtomicUsize::new(0));
            let (mut queue, mut writer) = (opened.queue, opened.writer);
            let mut reader = opened.reader;
            let reading = PeerReader::new(&session, outbox, Arc::clone(&pongs));
            let reading = reading.run(&mut reader);
            let counters = (&*pongs, &*queued_bytes);
            let writing = write_frames(&session, &mut writer, &mut queue, counters);
            tokio::pin!(reading, writing);
            tokio::select! {
                ending = &mut reading => {
                    // What the peer did wrong is told to it, if it still listens.
                    drop(tokio::time::timeout(GOODBYE, writing).await);
                    ending
                }
                ending = &mut writing => {
                    let Ending::Lost(reason) = ending else {
                        return ending;
                    };
                    // A peer that takes no more may have said why.
                    let heard = tokio::time::timeout(GOODBYE, reading).await;
                    heard.unwrap_or(Ending::Lost(reason))
                }
            }
        };
        let ended = running
            .into_actor(self)
            .map(|ending, actor, context| actor.end(ending, context));
        context.spawn(ended);
    }

    /// The connection is over.
    fn end(&mut self, ending: Ending, context: &mut Context<Self>) {
        let (Ending::Lost(reason) | Ending::Done(reason) | Ending::Spare(reason)) = &ending;
        if let Some(session) = &self.session {
            session.note_ending(reason);
        } else {
            tracing::debug!(target: "peer", "{}: {reason}", self.me.name());
        }
        if let Ending::Lost(reason) | Ending::Spare(reason) = ending {
            self.exit.fail(reason);
        }
        context.stop();
    }
}

impl Session {
    pub(crate) fn note_ending(&self, reason: &str) {
        if let Ok(mut ending) = self.ending.lock() {
            ending.get_or_insert_with(|| reason.to_string());
        }
    }

    pub(crate) fn tell(&self, change: PeerChange, reason: Option<String>) {
        self.node.tell(Event::Peer(PeerEvent {
            node: self.introduction.node,
            address: self.address.clone(),
            change,
            reason,
        }));
    }
}

impl Drop for Session {
    /// Runs also while the actor unwinds, so it must not fail: it only sends messages.
    fn drop(&mut self) {
        let SessionUp {
            link, node: peer, ..
        } = &self.introduction;
        self.node.directory.remove(link);
        let ending = self.ending.get_mut().ok().and_then(Option::take);
        let reason = ending.unwrap_or_else(|| "the actor of the connection crashed".to_string());
        // Actors that are down ask for the present sessions when they are up again.
        drop(self.node.refs.gossip.control(SessionDown(*link)));
        drop(self.node.refs.matcher.control(LinkDown(*link)));
        drop(self.node.refs.discovery.control(LinkGone(*link)));
        tracing::info!(
            target: "peer",
            "session with {} at {} ended: {reason}",
            peer.short(),
            self.address
        );
        self.tell(PeerChange::Disconnected, Some(reason));
    }
}

/// A session that has just been established.
pub(crate) struct Opened {
    pub(crate) session: Arc<Session>,
    pub(crate) reader: ConnectionReader,
    pub(crate) writer: ConnectionWriter,
    pub(crate) queue: mpsc::Receiver<Outgoing>,
}

/// The bytes of a frame.
pub(crate) fn encode(frame: &Frame) -> Vec<u8> {
    let (kind, payload) = frame.encode();
    RawFrame { kind, payload }.encode()
}

/// What is written together: everything that waits, up to a bound.
#[derive(Default)]
struct Batch {
    frames: Vec<Vec<u8>>,
    bytes: usize,
    /// What it counts against the link's outbox.
    cost_bytes: usize,
    /// What is to be said after it.
    close: Option<Goodbye>,
}

impl Batch {
    fn add(&mut self, outgoing: Outgoing, (pongs, queued_bytes): (&AtomicUsize, &AtomicUsize)) {
        match outgoing {
            Outgoing::Frame { bytes, cost_bytes } => {
                queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                self.cost_bytes += cost_bytes;
                self.push(bytes);
            }
            Outgoing::Pong(nonce) => {
                pongs.fetch_sub(1, Ordering::Relaxed);
                self.push(encode(&Frame::Pong(Nonce { nonce })));
            }
            Outgoing::Close(goodbye) => self.close = Some(goodbye),
        }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.frames.push(bytes);
    }

    fn has_room(&self) -> bool {
        self.bytes < WRITE_BYTES_TARGET && self.close.is_none()
    }
}

/// Writes until the queue says to close.
async fn write_frames(
    session: &Session,
    writer: &mut ConnectionWriter,
    queue: &mut mpsc::Receiver<Outgoing>,
    counters: (&AtomicUsize, &AtomicUsize),
) -> Ending {
    let interval = Duration::from_millis(session.node.settings.p2p.ping_interval_ms);
    let mut next_ping = Instant::now();
    loop {
        let mut batch = Batch::default();
        match tokio::time::timeout_at(next_ping.into(), queue.recv()).await {
            Err(_) => {
                next_ping = Instant::now() + interval;
                let nonce = session.node.clock.now().monotonic_ms;
                batch.push(encode(&Frame::Ping(Nonce { nonce })));
            }
            Ok(None) => return lost("the actor has ended"),
            Ok(Some(outgoing)) => batch.add(outgoing, counters),
        }
        while batch.has_room()
            && let Ok(outgoing) = queue.try_recv()
        {
            batch.add(outgoing, counters);
        }
        if let Err(ending) = write_batch(session, writer, &batch).await {
            return ending;
        }
        if let Some(goodbye) = batch.close {
            let ending = Ending::of(&goodbye);
            say(writer, Frame::Goodbye(goodbye)).await;
            return ending;
        }
    }
}

/// Writes frames at once, and tells gossip what they had cost.
async fn write_batch(
    session: &Session,
    writer: &mut ConnectionWriter,
    batch: &Batch,
) -> Result<(), Ending> {
    if batch.frames.is_empty() {
        return Ok(());
    }
    let traffic = &session.node.traffic;
    traffic.frames_sent.add(batch.frames.len() as u64);
    traffic.bytes_sent.add(batch.bytes as u64);
    let written = writer.write(&batch.frames).await;
    written.map_err(|error| Ending::Lost(error.to_string()))?;
    let cost_bytes = batch.cost_bytes;
    if cost_bytes > 0 {
        let link = session.introduction.link;
        // A gossip actor that was restarted has forgotten the cost.
        drop(
            session
                .node
                .refs
                .gossip
                .control(Written { link, cost_bytes }),
        );
    }
    Ok(())
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
            Some(_) => {
                let code = GoodbyeCode::Shutdown;
                let reason = "this side ends the session".to_string();
                self.push_close(Goodbye { code, reason }, context);
            }
            None => context.stop(),
        }
    }
}
supervised!(PeerActor);

impl Handler<SendFrame> for PeerActor {
    type Result = ();

    fn handle(&mut self, send: SendFrame, context: &mut Context<Self>) {
        self.push_frame(&send, context);
    }
}

impl Handler<Close> for PeerActor {
    type Result = ();

    fn handle(&mut self, close: Close, context: &mut Context<Self>) {
        if let (GoodbyeCode::Protocol, Some(session)) = (close.0.code, &self.session) {
            session.note_misdeed(Offence::Violation, &close.0.reason);
        }
        self.push_close(close.0, context);
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
            if let Ok(Err(goodbye)) = gossip.query(session.introduction.clone(), QUERY_MS).await {
                drop(outbox.try_send(Outgoing::Close(goodbye)));
            }
        };
        context.spawn(registering.into_actor(self));
    }
}
