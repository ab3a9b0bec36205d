//! GossipActor: getting operations everywhere.
//!
//! It drives two state machines of the core over all sessions: [`Gossip`] pushes what was applied,
//! [`Sync`] compares and pulls. What comes in is decoded here, and its signatures are checked in
//! batches on a thread of the blocking pool, one batch at a time and with a pause between them: so
//! batches grow with the load, and operations reach the matcher in the order in which they came.
//!
//! It also keeps the clocks of the peers and decides between two sessions with the same node. A
//! fresh actor asks every connection to introduce itself again, and then synchronises with all.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult};
use bitfitech_core::gossip::{
    Arrival, Arriving, Gossip, GossipConfig, GossipOutput, WireOperation,
};
use bitfitech_core::handshake::{Keep, SessionFacts, keep_session};
use bitfitech_core::median_clock::MedianClock;
use bitfitech_core::op::{Operation, OperationError};
use bitfitech_core::peer_exchange::Present;
use bitfitech_core::sync::{RoundEnd, Sync, SyncConfig, SyncOutput, Ticket};
use bitfitech_core::types::{AuthorKey, LinkId, Now, OpId, Source};
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, OPERATIONS_MAX, Ops};

use crate::admission::admit;
use crate::alarm::{Alarm, Alarmed, set_alarm};
use crate::child::{Child, ChildContext, Started};
use crate::context::NodeContext;
use crate::gossip_clock::{log_clock, warn_of_clock};
use crate::gossip_intake::{Delivered, Incoming, check_and_deliver};
pub use crate::gossip_messages::{
    Applied, AppliedOperation, AskPeers, Faulty, FindGap, Lacking, MatcherUp, PeerFrame,
    SessionDown, SessionUp, Written,
};
use crate::mailbox::{ActorRef, Data, Permit};
use crate::matcher::{MatcherActor, UseClock};
use crate::matcher_sync::{Compare, FindMissing, FindWants, FoundMissing, ReadBranches, ReadRoot};
use crate::messages::{Event, SyncEvent};
use crate::peer::{Close, PeerActor, Register, SendFrame};
use crate::store::Read;
use crate::supervised;

/// How long matcher and store may take to answer.
const QUERY_MS: u64 = 30_000;

/// An established session.
struct Link {
    node: AuthorKey,
    facts: SessionFacts,
    remote: IpAddr,
    peer: ActorRef<PeerActor>,
}

/// Least time between the beginnings of two checks of signatures, unless there is enough for a
/// batch. A guess: small against the time between two nodes, and some signatures on a busy one,
/// each of which costs half as much in a batch as alone.
const CHECK_PAUSE: Duration = Duration::from_millis(5);

/// So many operations are checked without waiting for more: the next ones would not cost much less
/// for their company.
const CHECK_BATCH: usize = 64;

/// Whether signatures are being checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checking {
    Idle,
    /// What has come waits for company.
    Waiting,
    UnderWay,
}

/// Whether there was a gossip actor in this process before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    First,
    /// What was to be pushed while there was none is lost: links are told to compare.
    Later,
}

/// The actor.
pub struct GossipActor {
    pub(crate) node: Arc<NodeContext>,
    pub(crate) gossip: Gossip,
    sync: Sync,
    clock: MedianClock,
    links: BTreeMap<LinkId, Link>,
    incoming: VecDeque<Incoming>,
    checking: Checking,
    /// When signatures were last begun to be checked.
    checked: Option<Instant>,
    life: Life,
    alarm: Alarm,
}

impl GossipActor {
    /// An actor without sessions.
    pub fn new(node: Arc<NodeContext>, child: &ChildContext) -> Self {
        let settings = &node.settings;
        let now = node.clock.now();
        let gossip = Gossip::new(
            now,
            GossipConfig {
                flush_ms: settings.gossip.flush_ms,
                outbox_max_bytes: settings.p2p.outbox_kb as usize * 1024,
                secret: GossipConfig::secret_of(node.identity.signing_key()),
                ..GossipConfig::default()
            },
        );
        let sync = Sync::new(SyncConfig {
            interval_ms: settings.sync.interval_ms,
            ..SyncConfig::default()
        });
        Self {
            node,
            gossip,
            sync,
            clock: MedianClock::new(),
            links: BTreeMap::new(),
            incoming: VecDeque::new(),
            checking: Checking::Idle,
            checked: None,
            life: match child.generation {
                1 => Life::First,
                _ => Life::Later,
            },
            alarm: Alarm::default(),
        }
    }

    /// Sends what the machines want sent, asks what they want to know, and sets the timer.
    fn drive(&mut self, context: &mut Context<Self>) {
        while let Some(output) = self.gossip.poll_output() {
            match output {
                GossipOutput::Send {
                    link,
                    frame,
                    cost_bytes,
                } => self.send(link, frame, cost_bytes),
                GossipOutput::StartSync { link } => self.sync.request(self.node.clock.now(), link),
                GossipOutput::Disconnect { link, goodbye } => self.disconnect(link, goodbye),
            }
        }
        while let Some(output) = self.sync.poll_output() {
            self.handle_sync_output(output, context);
        }
        log_clock(self.clock.compare(self.node.clock.now()));
        self.set_timer(context);
    }

    /// Wakes this actor when one of the machines has something to do.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        let deadlines = [self.gossip.next_deadline_ms(), self.sync.next_deadline_ms()];
        let due_ms = deadlines.into_iter().flatten().min();
        set_alarm(self, self.node.clock.now(), due_ms, context);
    }

    /// Hands a frame to a connection; one that is going down needs it no more.
    fn send(&self, link: LinkId, frame: Frame, cost_bytes: usize) {
        let Some(entry) = self.links.get(&link) else {
            return;
        };
        let peer = &entry.node;
        match &frame {
            Frame::Ops(pushed) => {
                let count = pushed.operations.len();
                tracing::debug!(target: "gossip", "pushing {count} operations to {}", peer.short());
            }
            other => {
                tracing::trace!(target: "gossip", "sending {} to {}", other.name(), peer.short());
            }
        }
        drop(entry.peer.control(SendFrame { frame, cost_bytes }));
    }

    /// Ends a session.
    fn disconnect(&mut self, link: LinkId, goodbye: Goodbye) {
        if let Some(entry) = self.links.get(&link) {
            tracing::warn!(
                target: "gossip",
                "ending the session with {}: {}",
                entry.node.short(),
                goodbye.reason
            );
            drop(entry.peer.control(Close(goodbye)));
        }
        self.forget(link);
    }

    /// Ends a session whose peer broke a rule.
    fn punish(&mut self, link: LinkId, reason: &str) {
        let code = GoodbyeCode::Protocol;
        let reason = reason.to_string();
        self.disconnect(link, Goodbye { code, reason });
    }

    /// A session is no longer there.
    fn forget(&mut self, link: LinkId) {
        let Some(entry) = self.links.remove(&link) else {
            return;
        };
        self.gossip.handle_link_down(link);
        self.sync.handle_link_down(self.node.clock.now(), link);
        self.clock.handle_peer_left(&entry.node);
        self.tell_clock();
    }

    /// Tells the matcher which clock counts. One that is down asks for it when it is up.
    fn tell_clock(&self) {
        drop(
            self.node
                .refs
                .matcher
                .control(UseClock(self.clock.gating())),
        );
    }

    /// Decides whether a session is one too many.
    fn admit(&mut self, up: &SessionUp) -> Result<(), Goodbye> {
        // An actor that died between its introduction and the answer has told of no end.
        let is_dead = |entry: &Link| !entry.peer.is_up() || entry.peer.name() == up.peer.name();
        let links = self.links.iter().filter(|(_, entry)| is_dead(entry));
        let dead: Vec<LinkId> = links.map(|(link, _)| *link).collect();
        dead.into_iter().for_each(|link| self.forget(link));
        let twin = self.links.iter().find(|(_, entry)| entry.node == up.node);
        if let Some((twin, entry)) = twin.map(|(link, entry)| (*link, entry)) {
            let goodbye = Goodbye {
                code: GoodbyeCode::Duplicate,
                reason: "there is another session between these nodes".to_string(),
            };
            let own = self.node.identity.author();
            match keep_session(own, up.node, entry.facts, up.facts) {
                Keep::Earlier => return Err(goodbye),
                Keep::Later => {
                    drop(entry.peer.control(Close(goodbye)));
                    self.forget(twin);
                }
            }
            return Ok(());
        }
        let present = |dialler, remote| Present { dialler, remote };
        let links = self.links.values();
        let links = links.map(|entry| present(entry.facts.dialler, entry.remote));
        admit(&self.node, links, present(up.facts.dialler, up.remote))
    }

    /// Takes operations that a peer pushed.
    fn on_pushed(&mut self, link: LinkId, pushed: &Ops, permit: Permit) {
        let Ok(operations) = self.decode(link, &pushed.operations) else {
            return;
        };
        let count = operations.len();
        let arriving = operations.iter().zip(&pushed.hops);
        let arriving = arriving.map(|(operation, hops)| Arriving {
            id: operation.id(),
            author: operation.body().author,
            hops: *hops,
        });
        let arriving: Vec<Arriving> = arriving.collect();
        let now = self.node.clock.now();
        let arrivals = self.gossip.handle_operations(now, link, &arriving);
        let traffic = &self.node.traffic;
        let arrived = operations.into_iter().zip(&pushed.hops).zip(arrivals);
        let arrived = arrived.filter(|(_, arrival)| *arrival == Arrival::New);
        let note = |((operation, hops), _): ((Operation, &u8), Arrival)| {
            traffic.note_arrival(now.unix_ms, operation.body().time, *hops);
            operation
        };
        let operations: Vec<Operation> = arrived.map(note).collect();
        let new = operations.len();
        traffic.operations_pushed.add(count as u64);
        traffic.operations_copied.add((count - new) as u64);
        if let Some(entry) = self.links.get(&link) {
            tracing::debug!(
                target: "gossip",
                "{} pushed {count} operations, {new} new",
                entry.node.short()
            );
        }
        if !operations.is_empty() {
            self.incoming.push_back(Incoming {
                source: Source::push(link),
                operations,
                ticket: None,
                permit: Some(permit),
            });
        }
    }

    /// Reads operations of a peer; one that is none ends the session.
    fn decode(&mut self, link: LinkId, wires: &[Vec<u8>]) -> Result<Vec<Operation>, ()> {
        let read =
            |wire: &Vec<u8>| Operation::decode(wire, &self.node.genesis, &self.node.genesis_digest);
        let operations: Result<Vec<Operation>, OperationError> = wires.iter().map(read).collect();
        operations.map_err(|error| self.punish(link, &error.to_string()))
    }

    /// Checks the signatures of what has come, now or after a pause, unless that is under way.
    fn check(&mut self, context: &mut Context<Self>) {
        if self.checking == Checking::UnderWay || self.incoming.is_empty() {
            return;
        }
        let pause = self
            .checked
            .and_then(|at| CHECK_PAUSE.checked_sub(at.elapsed()));
        let count: usize = self.incoming.iter().map(|it| it.operations.len()).sum();
        match pause {
            Some(pause) if count < CHECK_BATCH => {
                if self.checking == Checking::Idle {
                    self.checking = Checking::Waiting;
                    context.run_later(pause, |actor, context| {
                        if actor.checking == Checking::Waiting {
                            actor.check_now(context);
                        }
                    });
                }
            }
            _ => self.check_now(context),
        }
    }

    fn check_now(&mut self, context: &mut Context<Self>) {
        self.checking = Checking::UnderWay;
        self.checked = Some(Instant::now());
        let incoming = std::mem::take(&mut self.incoming);
        let node = Arc::clone(&self.node);
        let work = check_and_deliver(node, incoming.into());
        let done = work.into_actor(self).map(|delivered, actor, context| {
            actor.checking = Checking::Idle;
            for one in delivered {
                actor.on_delivered(one);
            }
            actor.check(context);
            actor.drive(context);
        });
        context.spawn(done);
    }

    /// Draws the consequences of a delivery.
    fn on_delivered(&mut self, delivered: Delivered) {
        let link = delivered.source.link;
        let now = self.node.clock.now();
        if let (Some(ticket), Some(gained)) = (delivered.ticket, delivered.gained) {
            self.node.traffic.operations_pulled.add(gained);
            self.sync.handle_delivered(now, ticket, gained);
        }
        self.gossip.handle_not_applied(&delivered.undelivered, None);
        if let Some((id, error)) = delivered.refused.first() {
            let ids: Vec<OpId> = delivered.refused.iter().map(|(id, _)| *id).collect();
            self.gossip.handle_not_applied(&ids, Some(link));
            self.punish(link, &format!("operation {}: {error}", id.short()));
        }
    }

    fn handle_sync_output(&mut self, output: SyncOutput, context: &mut Context<Self>) {
        match output {
            SyncOutput::Send { link, frame } => self.send(link, frame, 0),
            SyncOutput::ReadRoot { ticket } => {
                self.ask_matcher(ReadRoot, context, move |sync, now, root| {
                    sync.handle_root_read(now, ticket, root);
                });
            }
            SyncOutput::ReadBranches { ticket, asked } => {
                self.ask_matcher(ReadBranches(asked), context, move |sync, now, branches| {
                    sync.handle_branches_read(now, ticket, branches);
                });
            }
            SyncOutput::Compare {
                ticket,
                asked,
                shown,
            } => {
                let compare = Compare {
                    ticket,
                    asked,
                    shown,
                };
                self.ask_matcher(compare, context, move |sync, now, compared| {
                    sync.handle_compared(now, ticket, compared);
                });
            }
            SyncOutput::ReadMissing {
                ticket,
                wants,
                from,
                max_bytes,
            } => {
                let find = FindMissing {
                    wants,
                    from,
                    operations_max: OPERATIONS_MAX,
                };
                self.read_missing(ticket, find, max_bytes, context);
            }
            SyncOutput::FindWants { ticket, heads } => {
                self.ask_matcher(FindWants(heads), context, move |sync, now, wants| {
                    sync.handle_wants_found(now, ticket, wants);
                });
            }
            SyncOutput::Deliver { ticket, operations } => {
                self.take_pulled(ticket, &operations, context);
            }
            SyncOutput::Progress {
                link,
                received,
                total,
            } => self.on_progress(link, received, total),
            SyncOutput::Finished {
                link,
                end,
                received,
                gained,
            } => self.on_finished(link, end, received, gained),
        }
    }

    /// Takes a page that was pulled.
    fn take_pulled(&mut self, ticket: Ticket, operations: &[Vec<u8>], context: &mut Context<Self>) {
        let link = ticket.link;
        let Ok(operations) = self.decode(link, operations) else {
            return;
        };
        let ids: Vec<OpId> = operations.iter().map(Operation::id).collect();
        // Copies are delivered too: the set of applied operations knows them for sure.
        self.gossip.handle_pulled(self.node.clock.now(), link, &ids);
        self.incoming.push_back(Incoming {
            source: Source::sync(link),
            operations,
            ticket: Some(ticket),
            permit: None,
        });
        self.check(context);
    }

    /// Asks the owner of the set, and gives the answer to the machine. A question without answer
    /// runs out, here or at the peer.
    fn ask_matcher<Q>(
        &self,
        question: Q,
        context: &mut Context<Self>,
        answer: impl FnOnce(&mut Sync, Now, Q::Result) + 'static,
    ) where
        Q: Message + Send + 'static,
        Q::Result: Send,
        MatcherActor: Handler<Q>,
    {
        let matcher = self.node.refs.matcher.clone();
        let asking = async move { matcher.query(question, QUERY_MS).await };
        context.spawn(asking.into_actor(self).map(move |result, actor, context| {
            if let Ok(result) = result {
                let now = actor.node.clock.now();
                answer(&mut actor.sync, now, result);
                actor.drive(context);
            }
        }));
    }

    fn read_missing(
        &self,
        ticket: Ticket,
        find: FindMissing,
        bytes_max: usize,
        context: &mut Context<Self>,
    ) {
        let node = Arc::clone(&self.node);
        let asking = async move {
            let found = node.refs.matcher.query(find, QUERY_MS).await.ok()?;
            let FoundMissing {
                stored: indices,
                rest,
            } = found;
            let stored = indices.len();
            let mut read = Vec::new();
            if stored > 0 {
                let reading = Read { indices, bytes_max };
                read = node.refs.store.query(reading, QUERY_MS).await.ok()?.ok()?;
            }
            Some(rest.page(stored, read, bytes_max))
        };
        context.spawn(asking.into_actor(self).map(move |answer, actor, context| {
            // A question without answer runs out at the peer.
            if let Some(missing) = answer {
                actor.sync.handle_missing_read(ticket, missing);
                actor.drive(context);
            }
        }));
    }

    fn on_progress(&self, link: LinkId, received: u64, total: u64) {
        if let Some(entry) = self.links.get(&link) {
            tracing::debug!(
                target: "gossip",
                "synchronising with {}: {received} of {total} operations",
                entry.node.short()
            );
            self.node.tell(Event::Sync(SyncEvent {
                peer: entry.node,
                received,
                total,
            }));
        }
    }

    fn on_finished(&self, link: LinkId, end: RoundEnd, received: u64, gained: u64) {
        let Some(entry) = self.links.get(&link) else {
            return;
        };
        let peer = entry.node.short();
        if gained > 0 {
            tracing::info!(target: "gossip", "synchronised with {peer}: {gained} new operations");
        } else {
            tracing::debug!(
                target: "gossip",
                "compared with {peer}: {received} operations came, none new ({end:?})"
            );
        }
    }
}

impl Actor for GossipActor {
    type Context = Context<Self>;
}

impl Alarmed for GossipActor {
    fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    fn on_alarm(&mut self, context: &mut Context<Self>) {
        let now = self.node.clock.now();
        self.gossip.handle_timeout(now);
        self.sync.handle_timeout(now);
        self.drive(context);
    }
}

impl Child for GossipActor {
    fn on_begin(&mut self, started: Started, _context: &mut Context<Self>) {
        for entry in &self.node.directory {
            // A connection that is going down introduces itself no more.
            drop(entry.value().peer.control(Register));
        }
        started.report();
    }
}
supervised!(GossipActor);

impl Handler<SessionUp> for GossipActor {
    type Result = Result<(), Goodbye>;

    fn handle(&mut self, up: SessionUp, context: &mut Context<Self>) -> Self::Result {
        if self.links.contains_key(&up.link) {
            return Ok(());
        }
        self.admit(&up)?;
        let now = self.node.clock.now();
        self.gossip.handle_link_up(up.link, up.node);
        self.sync.handle_link_up(now, up.link);
        if self.life == Life::Later {
            self.gossip.handle_gap(up.link);
        }
        self.clock.handle_peer(up.node, up.clock);
        self.tell_clock();
        warn_of_clock(&up.node, up.clock.ahead_ms(now));
        self.links.insert(
            up.link,
            Link {
                node: up.node,
                facts: up.facts,
                remote: up.remote,
                peer: up.peer,
            },
        );
        self.drive(context);
        Ok(())
    }
}

impl Handler<SessionDown> for GossipActor {
    type Result = ();

    fn handle(&mut self, down: SessionDown, context: &mut Context<Self>) {
        self.forget(down.0);
        self.drive(context);
    }
}

impl Handler<Data<PeerFrame>> for GossipActor {
    type Result = ();

    fn handle(&mut self, data: Data<PeerFrame>, context: &mut Context<Self>) {
        let PeerFrame { link, frame } = data.message;
        if !self.links.contains_key(&link) {
            return;
        }
        let now = self.node.clock.now();
        match frame {
            Frame::Ops(pushed) => self.on_pushed(link, &pushed, data.permit),
            Frame::Announce(announce) => self.gossip.handle_announce(now, link, &announce),
            Frame::Prune(prune) => self.gossip.handle_prune(link, &prune),
            Frame::Graft(graft) => self.gossip.handle_graft(now, link, &graft),
            frame => {
                if let Err(violation) = self.sync.handle_frame(now, link, frame) {
                    self.punish(link, &violation.to_string());
                }
            }
        }
        self.check(context);
        self.drive(context);
    }
}

impl Handler<Written> for GossipActor {
    type Result = ();

    fn handle(&mut self, written: Written, context: &mut Context<Self>) {
        self.gossip.handle_written(written.link, written.cost_bytes);
        self.drive(context);
    }
}

impl Handler<Applied> for GossipActor {
    type Result = ();

    fn handle(&mut self, applied: Applied, context: &mut Context<Self>) {
        let now = self.node.clock.now();
        for operation in applied.0 {
            let AppliedOperation { id, author, .. } = operation;
            let bytes = operation.wire.to_vec();
            let operations = vec![WireOperation { id, author, bytes }];
            self.gossip
                .handle_applied(now, operations, operation.source);
        }
        self.drive(context);
    }
}

impl Handler<Faulty> for GossipActor {
    type Result = ();

    fn handle(&mut self, faulty: Faulty, context: &mut Context<Self>) {
        let Faulty { link, id, reason } = faulty;
        self.gossip.handle_not_applied(&[id], Some(link));
        self.punish(link, &format!("operation {}: {reason}", id.short()));
        self.drive(context);
    }
}

impl Handler<Lacking> for GossipActor {
    type Result = ();

    fn handle(&mut self, lacking: Lacking, context: &mut Context<Self>) {
        let Lacking { link, ancestors } = lacking;
        let now = self.node.clock.now();
        self.gossip.handle_lacking(now, link, &ancestors);
        self.drive(context);
    }
}

impl Handler<FindGap> for GossipActor {
    type Result = ();

    fn handle(&mut self, gap: FindGap, context: &mut Context<Self>) {
        self.sync.request(self.node.clock.now(), gap.0);
        self.drive(context);
    }
}

impl Handler<MatcherUp> for GossipActor {
    type Result = ();

    fn handle(&mut self, _up: MatcherUp, context: &mut Context<Self>) {
        let now = self.node.clock.now();
        self.tell_clock();
        for link in self.links.keys() {
            self.sync.request(now, *link);
            // What the former matcher wrote to disk at the last may not have been pushed.
            self.gossip.handle_gap(*link);
        }
        self.drive(context);
    }
}

impl Handler<AskPeers> for GossipActor {
    type Result = MessageResult<AskPeers>;

    fn handle(&mut self, _ask: AskPeers, _context: &mut Context<Self>) -> Self::Result {
        let now = self.node.clock.now();
        let row = |(link, entry): (&LinkId, &Link)| {
            let session = self.node.directory.get(link)?;
            debug_assert_eq!(session.node, entry.node, "a link belongs to one node");
            Some(session.row(now, self.gossip.behind(*link)))
        };
        MessageResult(self.links.iter().filter_map(row).collect())
    }
}
