//! A node: the exchange, gossip, synchronisation and the peers' clocks composed.
//!
//! The actors drive these machines on several threads and with queries between them. Here they
//! stand in one value, for the simulator and the fuzzers: inputs come in, outputs are asked for
//! until there are none ([`Node::poll_output`]), and time passes by [`Node::handle_timeout`].
//! What is applied, refused, pushed and pulled is the same as under the actors.
//!
//! *Operations on the wire.* How an operation travels is a choice of the [`Gate`]: as bytes, which
//! are decoded and whose signatures are checked ([`BytesGate`]), or as a shared value with a
//! verdict that was found once for all nodes of a simulation.
//!
//! *Merging.* What comes in is merged into the books `tick_ms` after it came, together with what
//! came in the meantime. Its own operations a node merges at once.
//!
//! *Finding peers* is the driver's business, or that of a [`PeerExchange`] that it gives to the
//! node ([`Node::set_peer_exchange`]): then the node asks and answers, and says whom to dial
//! ([`Node::poll_dial`]).
//!
//! *The store* belongs to the driver, as the network does: [`NodeOutput::Persist`] tells it what
//! to write, [`NodeOutput::Read`] what a peer wants of it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::address::PeerAddress;
use crate::dag::OpIndex;
use crate::exchange::{Exchange, Output, SubmitError};
use crate::gossip::{Arrival, Arriving, Gossip, GossipConfig, GossipOutput, WireOperation};
use crate::matching::Engine;
use crate::median_clock::{ClockChange, MedianClock, PeerClock};
use crate::membership::{self, ChangeKey};
use crate::op::{Action, OperationError, Verified};
use crate::outputs::Outputs;
use crate::peer_exchange::{DialResult, LinkFacts, PeerExchange, PeerExchangeOutput};
use crate::sync::{Missing, Sync, SyncConfig, SyncOutput, Ticket};
use crate::types::{AuthorKey, LinkId, Now, OpId, Source};
use crate::view::{Change, Digests};
use crate::wire::{Frame, Goodbye, GoodbyeCode, OPERATIONS_MAX, Ops, WantEntry};

mod gate;

pub use gate::{BytesGate, Gate};

/// How a node behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeConfig {
    /// Gossip.
    pub gossip: GossipConfig,
    /// Synchronisation.
    pub sync: SyncConfig,
    /// How long what came in waits for company before the books are merged, in milliseconds.
    pub tick_ms: u64,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeOutput<O> {
    /// Hand a frame to a link's writer; report its cost with [`Node::handle_written`].
    Send {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: Frame<O>,
        /// What it counts against the outbox; 0 needs no report.
        cost_bytes: usize,
    },
    /// End a link, which the node has forgotten already.
    Disconnect {
        /// The link.
        link: LinkId,
        /// What to say.
        goodbye: Goodbye,
    },
    /// Write this operation to disk, in the order of the indices, and say so with
    /// [`Node::handle_persisted`].
    Persist {
        /// Its place in the store.
        index: OpIndex,
        /// The operation.
        operation: Verified,
    },
    /// Read operations from the store; answer with [`Node::handle_read`].
    Read {
        /// Goes back with the answer.
        ticket: Ticket,
        /// Their places.
        indices: Vec<OpIndex>,
        /// How many the peer lacks behind these.
        remaining: u64,
        /// Most bytes of operations, but at least one operation.
        bytes_max: usize,
    },
    /// An own operation is on disk: whoever asked for it may be told.
    Written(OpId),
    /// The state has changed.
    Changed(Vec<Change>),
    /// An author has signed two operations for the same place in his chain.
    Forked {
        /// The author.
        author: AuthorKey,
        /// One of them.
        first: OpId,
        /// The other.
        second: OpId,
    },
    /// Whom the node believes about the time has changed.
    Clock(ClockChange),
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// His key.
    pub key: AuthorKey,
    /// The admission that he has shown, if he has.
    pub admission: Option<ChangeKey>,
}

/// All protocol machines of one node.
pub struct Node<E, G: Gate> {
    config: NodeConfig,
    exchange: Exchange<E>,
    gossip: Gossip<G::Operation>,
    sync: Sync<G::Operation>,
    clock: MedianClock,
    gate: G,
    peer_exchange: Option<PeerExchange>,
    /// Whom to dial, at most what peer exchange dials at a time.
    dials: VecDeque<PeerAddress>,
    peers: BTreeMap<LinkId, Peer>,
    tick_at_ms: Option<u64>,
    deadline_ms: Option<u64>,
    outputs: Outputs<NodeOutput<G::Operation>>,
}

impl<E: Engine, G: Gate> Node<E, G> {
    /// A node without links, around an exchange that is new or was restored.
    pub fn new(now: Now, config: NodeConfig, exchange: Exchange<E>, gate: G) -> Self {
        Self {
            config,
            exchange,
            gossip: Gossip::new(now, config.gossip),
            sync: Sync::new(config.sync),
            clock: MedianClock::new(),
            gate,
            peer_exchange: None,
            dials: VecDeque::new(),
            peers: BTreeMap::new(),
            tick_at_ms: None,
            deadline_ms: None,
            outputs: Outputs::default(),
        }
    }

    /// The exchange.
    pub fn exchange(&self) -> &Exchange<E> {
        &self.exchange
    }

    /// The digests of the state that follows from all applied operations.
    pub fn digests(&mut self, now: Now) -> Digests {
        let digests = self.exchange.digests();
        self.drive(now);
        digests
    }

    /// The exchange, to give it what did not come over a link.
    pub fn exchange_mut(&mut self) -> &mut Exchange<E> {
        &mut self.exchange
    }

    /// The links and who is at their other ends.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = (LinkId, AuthorKey)> {
        self.peers.iter().map(|(link, peer)| (*link, peer.key))
    }

    /// The gossip, to look at its bounds.
    pub fn gossip(&self) -> &Gossip<G::Operation> {
        &self.gossip
    }

    /// The next thing to be done; ask until there is none.
    pub fn poll_output(&mut self) -> Option<NodeOutput<G::Operation>> {
        self.outputs.pop_front()
    }

    /// From now on the node finds peers by itself.
    pub fn set_peer_exchange(&mut self, now: Now, peer_exchange: PeerExchange) {
        self.peer_exchange = Some(peer_exchange);
        self.drive(now);
    }

    /// How the node finds peers, if it does.
    pub fn peer_exchange(&self) -> Option<&PeerExchange> {
        self.peer_exchange.as_ref()
    }

    /// Gives the machine that finds peers an input, and carries out what follows. `None` if the
    /// node has no such machine.
    pub fn with_peer_exchange<T>(
        &mut self,
        now: Now,
        input: impl FnOnce(&mut PeerExchange) -> T,
    ) -> Option<T> {
        let result = self.peer_exchange.as_mut().map(input);
        self.drive(now);
        result
    }

    /// The next address to dial; ask until there is none. If no session comes of it, report that
    /// with [`Node::handle_dialled`].
    pub fn poll_dial(&mut self) -> Option<PeerAddress> {
        self.dials.pop_front()
    }

    /// An attempt to reach an address brought no session; it is over, whatever the advice.
    pub fn handle_dialled(&mut self, now: Now, address: PeerAddress, result: DialResult) {
        self.with_peer_exchange(now, |machine| {
            machine.handle_dialled(now, address, result);
        });
    }

    /// A session was established, of which more is known than who is there: tell this before
    /// [`Node::handle_link_up`].
    pub fn handle_link_facts(&mut self, now: Now, link: LinkId, facts: LinkFacts) {
        if let Some(machine) = &mut self.peer_exchange {
            machine.handle_link_up(now, link, facts);
        }
    }

    /// The clock by which operations are dated and parked.
    pub fn gating(&self, now: Now) -> Now {
        self.clock.gating().gating(now)
    }

    /// A session was established, with a node that has this clock.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId, peer: Peer, clock: PeerClock) {
        self.peers.insert(link, peer);
        self.gossip.handle_link_up(link, peer.key);
        self.sync.handle_link_up(now, link);
        self.clock.handle_peer(peer.key, clock);
        // He may have been expelled since the Hellos.
        self.end_expelled(now);
        self.drive(now);
    }

    /// A session ended.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        self.forget(now, link);
        self.drive(now);
    }

    /// A link's writer has written a frame that counted against its outbox.
    pub fn handle_written(&mut self, now: Now, link: LinkId, cost_bytes: usize) {
        self.gossip.handle_written(link, cost_bytes);
        self.move_outputs(now);
    }

    /// Takes a frame of a peer.
    pub fn handle_frame(&mut self, now: Now, link: LinkId, frame: Frame<G::Operation>) {
        if !self.peers.contains_key(&link) {
            return;
        }
        match frame {
            Frame::Ops(pushed) => {
                if self.take_pushed(now, link, pushed) == Arrival::Copy {
                    // A link may be told to push no more, somewhat later.
                    return self.plan_timeout(now);
                }
            }
            Frame::Announce(announce) => {
                self.gossip.handle_announce(now, link, &announce);
                self.move_outputs(now);
                return self.plan_timeout(now);
            }
            Frame::Prune(prune) => return self.gossip.handle_prune(link, &prune),
            Frame::Graft(graft) => self.gossip.handle_graft(now, link, &graft),
            Frame::GetPeers(ask) => {
                let machine = self.peer_exchange.as_mut();
                machine.map(|it| it.handle_ask(now, link, ask));
            }
            Frame::Peers(peers) => {
                let machine = self.peer_exchange.as_mut();
                machine.map(|it| it.handle_peers(now, link, peers));
            }
            frame => {
                if let Err(violation) = self.sync.handle_frame(now, link, frame) {
                    self.punish(now, link, &violation.to_string());
                }
            }
        }
        self.drive(now);
    }

    /// The answer to [`NodeOutput::Read`]; none is given if the store cannot.
    pub fn handle_read(&mut self, now: Now, ticket: Ticket, missing: Missing<G::Operation>) {
        self.sync.handle_missing_read(ticket, missing);
        self.drive(now);
    }

    /// The first `count` operations are on disk.
    pub fn handle_persisted(&mut self, now: Now, count: usize) {
        self.exchange.handle_persisted(count);
        self.drive(now);
    }

    /// Writes an operation of the own author.
    ///
    /// # Errors
    /// As [`Exchange::submit`].
    pub fn submit(&mut self, now: Now, actions: Vec<Action>) -> Result<OpId, SubmitError> {
        let gating = self.gating(now);
        let written = self.exchange.submit(gating, actions);
        self.drive(now);
        written
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.gossip.handle_timeout(now);
        self.sync.handle_timeout(now);
        if let Some(machine) = &mut self.peer_exchange {
            machine.handle_timeout(now);
        }
        let gating = self.gating(now);
        let due_ms = self.books_due_ms(gating);
        if due_ms.is_some_and(|due_ms| due_ms <= now.monotonic_ms) {
            self.tick_at_ms = None;
            self.exchange.handle_tick(gating);
        }
        self.drive(now);
    }

    /// The monotonic time at which [`Node::handle_timeout`] has something to do, or a little
    /// earlier.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// Takes operations that a peer pushed: those that are news are checked and received. Tells
    /// whether all of them were copies, so that nothing has changed.
    fn take_pushed(&mut self, now: Now, link: LinkId, pushed: Ops<G::Operation>) -> Arrival {
        let Some(candidates) = self.read(now, link, pushed.operations) else {
            return Arrival::New;
        };
        for (id, candidate) in &candidates {
            // All at once, for little else of a node is as seldom in the caches.
            let author = G::author(candidate);
            self.gossip.prefetch(id, &author);
            self.exchange.dag().prefetch_coming(id, &author);
        }
        let gossip = &mut self.gossip;
        let with_hops = candidates.into_iter().zip(pushed.hops);
        let news = with_hops.filter_map(|((id, candidate), hops)| {
            let author = G::author(&candidate);
            let arriving = Arriving { id, author, hops };
            let is_new = gossip.handle_operation(now, link, arriving) == Arrival::New;
            is_new.then_some((id, candidate))
        });
        let news: Vec<_> = news.collect();
        if news.is_empty() {
            return Arrival::Copy;
        }
        self.check_and_receive(now, Source::push(link), news);
        Arrival::New
    }

    /// Takes operations that were pulled. Copies are delivered too: the set of applied operations
    /// knows them for sure.
    fn take_pulled(&mut self, now: Now, ticket: Ticket, operations: Vec<G::Operation>) {
        let link = ticket.link;
        let Some(candidates) = self.read(now, link, operations) else {
            return;
        };
        let ids: Vec<OpId> = candidates.iter().map(|(id, _)| *id).collect();
        self.gossip.handle_pulled(now, link, &ids);
        let before = self.exchange.dag().len();
        self.check_and_receive(now, Source::sync(link), candidates);
        let gained = (self.exchange.dag().len() - before) as u64;
        self.sync.handle_delivered(now, ticket, gained);
    }

    /// Reads operations of a peer; one that is none ends the session.
    fn read(&mut self, now: Now, link: LinkId, operations: Vec<G::Operation>) -> Candidates<G> {
        let read = operations.into_iter().map(|it| self.gate.read(it));
        let read: Result<Vec<_>, OperationError> = read.collect();
        match read {
            Ok(candidates) => Some(candidates),
            Err(error) => {
                self.punish(now, link, &error.to_string());
                None
            }
        }
    }

    fn check_and_receive(
        &mut self,
        now: Now,
        source: Source,
        candidates: Vec<(OpId, G::Candidate)>,
    ) {
        let (ids, candidates): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
        let mut good = Vec::with_capacity(candidates.len());
        let mut refused = Vec::new();
        for (verdict, id) in self.gate.check(candidates).into_iter().zip(ids) {
            match verdict {
                Ok(operation) => good.push(operation),
                Err(error) => refused.push((id, error)),
            }
        }
        let gating = self.gating(now);
        self.exchange.receive(gating, source, good);
        self.tick_at_ms
            .get_or_insert(now.monotonic_ms.saturating_add(self.config.tick_ms));
        if let Some((id, error)) = refused.first() {
            let ids: Vec<OpId> = refused.iter().map(|(id, _)| *id).collect();
            self.gossip.handle_not_applied(&ids, Some(source.link));
            let reason = alloc::format!("operation {}: {error}", id.short());
            self.punish(now, source.link, &reason);
        }
    }

    /// Does what follows from an input. What gossip does at once needs no call of its own.
    fn drive(&mut self, now: Now) {
        self.move_outputs(now);
        self.gossip.handle_timeout(now);
        self.move_outputs(now);
        let change = self.clock.compare(now);
        self.outputs.extend(change.map(NodeOutput::Clock));
        self.plan_timeout(now);
    }

    /// Finds out when there is more to do.
    fn plan_timeout(&mut self, now: Now) {
        let deadlines = [
            self.gossip.next_deadline_ms(),
            self.sync.next_deadline_ms(),
            self.peer_exchange
                .as_ref()
                .and_then(PeerExchange::next_deadline_ms),
            self.books_due_ms(self.gating(now)),
        ];
        self.deadline_ms = deadlines.into_iter().flatten().min();
    }

    /// When the books are merged: a tick after something came, or when the exchange says so.
    fn books_due_ms(&self, gating: Now) -> Option<u64> {
        let own_ms = self.exchange.next_deadline_ms(gating);
        self.tick_at_ms.into_iter().chain(own_ms).min()
    }

    /// Moves outputs between the machines until none has any left.
    fn move_outputs(&mut self, now: Now) {
        loop {
            if let Some(output) = self.exchange.poll_output() {
                self.handle_exchange_output(now, output);
            } else if let Some(output) = self.gossip.poll_output() {
                self.handle_gossip_output(now, output);
            } else if let Some(output) = self.sync.poll_output() {
                self.handle_sync_output(now, output);
            } else if let Some(output) = self.poll_peer_exchange() {
                self.handle_peer_output(now, output);
            } else {
                return;
            }
        }
    }

    fn handle_exchange_output(&mut self, now: Now, output: Output) {
        match output {
            Output::Persist { index, operation } => {
                self.outputs
                    .push_back(NodeOutput::Persist { index, operation });
            }
            Output::Relay { operation, from } => {
                let travelling = WireOperation {
                    id: operation.id(),
                    author: operation.body().author,
                    bytes: self.gate.carry(&operation),
                };
                self.gossip.handle_applied(now, [travelling], from);
            }
            Output::Membership => self.end_expelled(now),
            Output::Written(id) => self.outputs.push_back(NodeOutput::Written(id)),
            Output::Changed(changes) => self.outputs.push_back(NodeOutput::Changed(changes)),
            Output::Lacking { link, ancestors } => {
                self.gossip.handle_lacking(now, link, &ancestors);
            }
            Output::Gap(link) => self.sync.request(now, link),
            Output::Invalid { link, id, error } => {
                self.gossip.handle_not_applied(&[id], Some(link));
                let reason = alloc::format!("operation {}: {error}", id.short());
                self.punish(now, link, &reason);
            }
            Output::Forked {
                author,
                first,
                second,
            } => self.outputs.push_back(NodeOutput::Forked {
                author,
                first,
                second,
            }),
        }
    }

    fn handle_gossip_output(&mut self, now: Now, output: GossipOutput<G::Operation>) {
        match output {
            GossipOutput::Send {
                link,
                frame,
                cost_bytes,
            } => self.outputs.push_back(NodeOutput::Send {
                link,
                frame,
                cost_bytes,
            }),
            GossipOutput::StartSync { link } => self.sync.request(now, link),
            GossipOutput::Disconnect { link, goodbye } => self.disconnect(now, link, goodbye),
        }
    }

    fn handle_sync_output(&mut self, now: Now, output: SyncOutput<G::Operation>) {
        match output {
            SyncOutput::Send { link, frame } => self.outputs.push_back(NodeOutput::Send {
                link,
                frame,
                cost_bytes: 0,
            }),
            SyncOutput::ReadRoot { ticket } => {
                let root = self.exchange.heads_root();
                self.sync.handle_root_read(now, ticket, root);
            }
            SyncOutput::ReadBranches { ticket, asked } => {
                let branches = self.exchange.differing_branches(&asked);
                self.sync.handle_branches_read(now, ticket, branches);
            }
            SyncOutput::Compare {
                ticket,
                asked,
                shown,
            } => {
                let compared = self
                    .exchange
                    .compare_branches(now, ticket.link, &asked, &shown);
                self.sync.handle_compared(now, ticket, compared);
            }
            SyncOutput::ReadMissing {
                ticket,
                wants,
                from,
                max_bytes,
            } => self.find_missing(ticket, &wants, from, max_bytes),
            SyncOutput::FindWants { ticket, heads } => {
                let wants = self.exchange.dag().wants_for(&heads);
                self.sync.handle_wants_found(now, ticket, wants);
            }
            SyncOutput::Deliver { ticket, operations } => {
                self.take_pulled(now, ticket, operations);
            }
            SyncOutput::Progress { .. } | SyncOutput::Finished { .. } => {}
        }
    }

    fn poll_peer_exchange(&mut self) -> Option<PeerExchangeOutput> {
        self.peer_exchange.as_mut()?.poll_output()
    }

    fn handle_peer_output(&mut self, now: Now, output: PeerExchangeOutput) {
        let (link, frame) = match output {
            PeerExchangeOutput::Dial(address) => return self.dials.push_back(address),
            PeerExchangeOutput::Part { link, goodbye } => {
                return self.disconnect(now, link, goodbye);
            }
            PeerExchangeOutput::Ask { link, ask } => (link, Frame::GetPeers(ask)),
            PeerExchangeOutput::Answer { link, peers } => (link, Frame::Peers(peers)),
        };
        self.outputs.push_back(NodeOutput::Send {
            link,
            frame,
            cost_bytes: 0,
        });
    }

    fn find_missing(&mut self, ticket: Ticket, wants: &[WantEntry], from: u64, bytes_max: usize) {
        let page = self.exchange.missing(wants, from, OPERATIONS_MAX);
        self.outputs.push_back(NodeOutput::Read {
            ticket,
            indices: page.operations,
            remaining: page.remaining,
            bytes_max,
        });
    }

    /// Ends a session whose peer broke a rule.
    fn punish(&mut self, now: Now, link: LinkId, reason: &str) {
        let code = GoodbyeCode::Protocol;
        let reason = String::from(reason);
        self.disconnect(now, link, Goodbye { code, reason });
    }

    /// Who was expelled has no session.
    fn end_expelled(&mut self, now: Now) {
        let (genesis, members) = (self.exchange.genesis(), self.exchange.membership());
        let is_out = |peer: &Peer| !members.may_connect(genesis, &peer.key, peer.admission);
        let links = self.peers.iter().filter(|(_, peer)| is_out(peer));
        let links: Vec<LinkId> = links.map(|(link, _)| *link).collect();
        for link in links {
            self.disconnect(now, link, membership::expelled());
        }
    }

    fn disconnect(&mut self, now: Now, link: LinkId, goodbye: Goodbye) {
        if self.peers.contains_key(&link) {
            self.outputs
                .push_back(NodeOutput::Disconnect { link, goodbye });
        }
        self.forget(now, link);
    }

    /// A session is no longer there.
    fn forget(&mut self, now: Now, link: LinkId) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        self.gossip.handle_link_down(link);
        self.sync.handle_link_down(now, link);
        if let Some(machine) = &mut self.peer_exchange {
            machine.handle_link_down(now, link);
        }
        self.exchange.handle_link_down(link);
        self.clock.handle_peer_left(&peer.key);
    }
}

/// Operations of a frame: their ids, and what is left to be checked of each.
type Candidates<G> = Option<Vec<(OpId, <G as Gate>::Candidate)>>;

#[cfg(test)]
mod tests;
