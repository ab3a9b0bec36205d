//! A host: a machine with a node on it, a disk, a clock, users and sessions with other hosts.
//!
//! A host sees nothing of the others but the messages that reach it, and draws its random numbers
//! from a stream of its own. So what it does depends on the seed and on its messages, and not on
//! which thread it runs.

mod administrator;
mod applied;
mod binding_watch;
mod finality_watch;
mod lies;
mod links;
mod user;

use bitfitech_core::board::Board;
use bitfitech_core::dag::OpIndex;
use bitfitech_core::delivery::Delivery;
use bitfitech_core::exchange::{Exchange, OwnChain};
use bitfitech_core::handshake::LocalNode;
use bitfitech_core::node::{Node, NodeOutput};
use bitfitech_core::op::{Action, Verified};
use bitfitech_core::sync::{Missing, Ticket};
use bitfitech_core::types::{AuthorKey, Now, OpId};
use bitfitech_core::view::Digests;
use bitfitech_core::wire::{PageRoom, Payload};
use ed25519_zebra::SigningKey;

use crate::canaries::Canary;
use crate::disk::Disk;
use crate::engine::{CountedBook, Executions};
use crate::event::{Event, HostIndex, MS, Message, Micros};
use crate::parcel::{Parcel, ParcelGate, Signatures};
use crate::random::Random;
use crate::tally::Tally;
use crate::trace::{Kind, Line};
use crate::world::{Comeback, Plan, World};

pub use self::administrator::decisions;
pub use self::applied::Applied;
use self::binding_watch::Bindings;
use self::finality_watch::SeenFinals;
use self::lies::Lies;
use self::links::Links;
use self::user::User;

/// The node of a host.
pub type SimNode = Node<CountedBook, ParcelGate>;

/// How long the disk takes to bring an own operation to the platter: a fast solid-state disk.
const DISK_US: Micros = MS;

/// Hosts whose events are folded.
const WATCHED: HostIndex = 2;

/// How long operations of others may wait for that; nobody waits for them.
const DISK_LAZY_US: Micros = 100 * MS;

/// A host.
pub struct Host {
    index: HostIndex,
    key: SigningKey,
    local: LocalNode,
    random: Random,
    /// `None` while the host is down.
    node: Option<Box<SimNode>>,
    up_us: Micros,
    disk: Disk,
    disk_due_us: Option<Micros>,
    links: Links,
    user: User,
    /// How many messages it has sent.
    sent: u32,
    /// How many of the planned failures are over.
    failures: usize,
    timed_out_us: Micros,
    /// The clock by which the node took its last input. Afterwards another one may count: with a
    /// peer who sent something wrong his clock goes as well.
    gating: Now,
    /// Own operations that are not on disk yet, and when they were written: a crash unwrites them.
    unacknowledged: Vec<(OpId, Micros)>,
    /// Actions that were applied and not merged yet.
    unmerged: u64,
    executions: Executions,
    applied: Applied,
    finals: SeenFinals,
    bindings: Bindings,
    lies: Lies,
    /// The view that folds the node's events, where one is kept.
    pub(crate) board: Option<Box<Board>>,
}

/// What a host needs to act: the plan, where its messages go, what is counted, and the time.
pub struct Step<'a> {
    /// The plan.
    pub world: &'a World,
    /// Messages to other hosts.
    pub sent: &'a mut Vec<Event>,
    /// Counts.
    pub tally: &'a mut Tally,
    /// The time.
    pub now_us: Micros,
}

impl Host {
    /// A host that is not running yet.
    pub fn new(world: &World, index: HostIndex, executions: Executions) -> Self {
        let key = world.key(index);
        let seed = world.config.seed;
        let mut random = Random::derive(seed, "host", u64::from(index));
        let author = AuthorKey(ed25519_zebra::VerificationKeyBytes::from(&key).into());
        let local = LocalNode {
            key: author,
            genesis: world.genesis.clone(),
            listen: None,
            instance: random.any(),
            dht_port: None,
        };
        Self {
            index,
            key,
            local,
            node: None,
            up_us: 0,
            disk: Disk::default(),
            disk_due_us: None,
            links: Links::new(&world.plans[index as usize].dials),
            user: User::default(),
            sent: 0,
            failures: 0,
            timed_out_us: 0,
            gating: Now::default(),
            unacknowledged: Vec::new(),
            unmerged: 0,
            executions,
            applied: Applied::default(),
            finals: SeenFinals::default(),
            bindings: Bindings::default(),
            lies: Lies::new(&world.plans[index as usize], &mut random),
            random,
            board: (index < WATCHED).then(|| Box::new(Board::new(author, 0, usize::MAX))),
        }
    }

    /// Its number.
    pub fn index(&self) -> HostIndex {
        self.index
    }

    /// The node, while the host is up.
    pub fn node(&self) -> Option<&SimNode> {
        self.node.as_deref()
    }

    /// The digests of its books, with everything merged. `None` while it is down.
    pub fn digests(&mut self, step: &mut Step<'_>) -> Option<Digests> {
        let mut digests = None;
        self.with_node(step, |node, now| digests = Some(node.digests(now)));
        digests
    }

    /// Its author.
    pub fn author(&self) -> AuthorKey {
        self.local.key
    }

    /// What is on its disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What it has applied. `None` while it is down.
    pub fn applied(&self) -> Option<Applied> {
        self.node.as_ref().map(|_| self.applied)
    }

    /// Its node settles nothing more by itself, so that it writes nothing any more.
    pub fn fall_quiet(&mut self) {
        if let Some(node) = &mut self.node {
            node.exchange_mut().settle_by_hand();
            self.bindings = Bindings::default();
        }
    }

    /// The readings of its clocks.
    pub fn now(&self, world: &World, now_us: Micros) -> Now {
        Now {
            monotonic_ms: now_us / MS,
            unix_ms: self.plan(world).clock.unix_ms(now_us),
        }
    }

    pub(crate) fn plan<'w>(&self, world: &'w World) -> &'w Plan {
        &world.plans[self.index as usize]
    }

    /// The next time at which it has something to do by itself.
    pub fn next_wake_us(&self, world: &World) -> Option<Micros> {
        let change_us = self.next_change_us(world);
        let Some(node) = &self.node else {
            return change_us;
        };
        let earliest_us = self.timed_out_us + MS;
        let node_us = node.next_deadline_ms();
        let node_us = node_us.map(|at_ms| (at_ms * MS).max(earliest_us));
        let lie_us = self.lies.next_us();
        let wakes = [
            node_us,
            change_us,
            self.disk_due_us,
            self.links.next_us(),
            lie_us,
        ];
        wakes.into_iter().flatten().min()
    }

    /// When it goes down or comes up next.
    fn next_change_us(&self, world: &World) -> Option<Micros> {
        let planned = self.plan(world).down.get(self.failures);
        match (&self.node, planned) {
            (Some(_), planned) => planned.map(|(from_us, _)| *from_us),
            (None, Some((0, until_us))) => Some(*until_us),
            (None, planned) if self.up_us > 0 => planned.map(|(_, until_us)| *until_us),
            (None, _) => Some(0),
        }
    }

    /// Does what is due.
    pub fn wake(&mut self, step: &mut Step<'_>) {
        if self
            .next_change_us(step.world)
            .is_some_and(|at_us| at_us <= step.now_us)
        {
            match self.node {
                Some(_) => self.crash(step),
                None => self.start(step),
            }
        }
        if self.node.is_none() {
            return;
        }
        if self.disk_due_us.is_some_and(|at_us| at_us <= step.now_us) {
            self.disk_due_us = None;
            let count = self.disk.len();
            self.disk.synchronise(count);
            self.with_node(step, |node, now| node.handle_persisted(now, count));
        }
        self.tend_links(step);
        self.tell_lies(step);
        self.timed_out_us = step.now_us;
        self.with_node(step, Node::handle_timeout);
    }

    /// Takes a message.
    pub fn handle(&mut self, step: &mut Step<'_>, from: HostIndex, message: Message) {
        match message {
            Message::Order(seed) => self.trade(step, seed),
            Message::Administer(decision) => self.administer(step, decision),
            other => self.handle_message(step, from, other),
        }
    }

    /// The machine goes on, with what is on its disk.
    fn start(&mut self, step: &mut Step<'_>) {
        let plan = self.plan(step.world);
        if plan
            .down
            .get(self.failures)
            .is_some_and(|(_, until_us)| *until_us <= step.now_us)
        {
            self.failures += 1;
        }
        let executions = self.executions.clone();
        let canary = plan.canary;
        let make_engine = |secret: &[u8; 32]| CountedBook::new(secret, executions.clone(), canary);
        let mut exchange = Exchange::new(step.world.genesis.clone(), self.key, make_engine);
        if let Some(config) = plan.settlement {
            exchange.settle_by_itself(config);
        }
        let healed_unix_ms = step.world.healed_unix_ms();
        self.applied = Applied::default();
        for operation in self.disk.records() {
            let restored = exchange.restore(operation.wire());
            restored.expect("the disk holds what this node wrote");
            self.applied.add(operation, healed_unix_ms);
        }
        let now = self.now(step.world, step.now_us);
        let own_chain = if self.up_us == 0 || canary == Some(Canary::ForgottenChain) {
            OwnChain::Complete
        } else {
            OwnChain::MayBeLonger
        };
        exchange.handle_restored(now, own_chain);
        let signatures = match canary {
            Some(Canary::SkippedSignature) => Signatures::Ignored,
            _ => Signatures::Checked,
        };
        let gate = ParcelGate { signatures };
        let node = Node::new(now, step.world.node_config, exchange, gate);
        if let Some(board) = &mut self.board {
            **board = Board::new(self.local.key, step.world.genesis.markets.len(), usize::MAX);
            let changes = node.exchange().replica().snapshot();
            changes.for_each(|change| board.apply(&change));
        }
        self.node = Some(Box::new(node));
        self.up_us = step.now_us.max(1);
        self.unmerged = 0;
        self.local.instance = self.random.any();
        self.links.restart(step.now_us, &mut self.random);
    }

    /// The node is killed; the system closes its sessions.
    fn crash(&mut self, step: &mut Step<'_>) {
        self.close_all(step);
        self.node = None;
        self.disk.crash(&mut self.random);
        if self.plan(step.world).comeback == Comeback::OldCopy {
            let kept = self.random.index(self.disk.len() + 1);
            self.disk.go_back(kept);
        }
        if self.plan(step.world).canary == Some(Canary::ForgottenChain) {
            self.disk = Disk::default();
        }
        self.disk_due_us = None;
        self.unacknowledged.clear();
        self.finals = SeenFinals::default();
        self.bindings = Bindings::default();
        self.user.forget();
    }

    /// A user wants something.
    fn trade(&mut self, step: &mut Step<'_>, seed: u64) {
        let Some(node) = &self.node else {
            step.tally.unwritten += 1;
            return;
        };
        let now = self.now(step.world, step.now_us);
        let exchange = node.exchange();
        let actions = self.user.decide(now, exchange, step.world, seed);
        let markets = actions.iter().map(Action::market);
        let markets: Option<Vec<_>> = markets.collect();
        let markets = markets.expect("users act in a market");
        let mut written = None;
        self.with_node(step, |node, now| written = node.submit(now, actions).ok());
        match written {
            Some(id) => self.user.note(&markets, &id),
            None => step.tally.unwritten += 1,
        }
    }

    /// Lets the node act, and does what it wants done.
    fn with_node(&mut self, step: &mut Step<'_>, act: impl FnOnce(&mut SimNode, Now)) {
        let now = self.now(step.world, step.now_us);
        let before = self.executions.count();
        let Some(node) = &mut self.node else {
            return;
        };
        self.gating = node.gating(now);
        act(node, now);
        while let Some(output) = self.node.as_mut().and_then(|node| node.poll_output()) {
            self.handle_output(step, output);
        }
        self.watch_bindings(step);
        let executed = self.executions.count() - before;
        step.tally.executions += executed;
        if executed > 0 {
            step.tally
                .undo_depth
                .add(executed.saturating_sub(self.unmerged));
            self.unmerged = 0;
        }
    }

    fn handle_output(&mut self, step: &mut Step<'_>, output: NodeOutput<Parcel>) {
        match output {
            NodeOutput::Send {
                link,
                frame,
                cost_bytes,
            } => {
                self.send_or_lie(step, link, frame);
                let now = self.now(step.world, step.now_us);
                if cost_bytes > 0
                    && let Some(node) = &mut self.node
                {
                    node.handle_written(now, link, cost_bytes);
                }
            }
            NodeOutput::Disconnect { link, .. } => self.close(step, link),
            NodeOutput::Persist { operation, .. } => self.persist(step, operation),
            NodeOutput::Read {
                ticket,
                indices,
                remaining,
                bytes_max,
            } => self.read(step, ticket, (&indices, remaining), bytes_max),
            NodeOutput::Changed(changes) => {
                if let Some(board) = &mut self.board {
                    changes.iter().for_each(|change| board.apply(change));
                }
                self.note_bindings(step, &changes);
                self.watch_finals(step, changes);
            }
            NodeOutput::Written(id) => {
                let mine = self.unacknowledged.iter().position(|(it, _)| *it == id);
                let written = mine.map(|at| self.unacknowledged.swap_remove(at));
                if let Some((id, at_us)) = written {
                    let line = || Line::of_host(at_us, self.index, id, Kind::Written);
                    step.tally.note_line(line);
                    step.tally.written.push((id, at_us));
                }
                self.watch_finals(step, Vec::new());
            }
            NodeOutput::Forked { .. } | NodeOutput::Clock(_) => {}
        }
    }

    /// Hands an applied operation to the disk.
    fn persist(&mut self, step: &mut Step<'_>, operation: Verified) {
        let id = operation.id();
        self.unmerged += operation.body().actions.len() as u64;
        let healed_unix_ms = step.world.healed_unix_ms();
        self.applied.add(&operation, healed_unix_ms);
        let is_own = operation.body().author == self.local.key;
        self.check_time(step, &operation);
        if is_own {
            step.tally.own += 1;
            if self.plan(step.world).liar.is_none() {
                self.unacknowledged.push((id, step.now_us));
            }
        } else {
            let host = (self.index, self.up_us);
            step.tally.note_applied(&id, host, step.now_us);
        }
        self.disk.append(operation);
        let due_us = if is_own {
            step.now_us + DISK_US
        } else {
            // At a whole millisecond, as the node's timers are: the host wakes once for both.
            step.now_us / MS * MS + DISK_LAZY_US
        };
        let due_us = self.disk_due_us.map_or(due_us, |at_us| at_us.min(due_us));
        self.disk_due_us = Some(due_us);
    }

    /// Nothing is applied that is dated further ahead than may be.
    fn check_time(&self, step: &mut Step<'_>, operation: &Verified) {
        let time = operation.body().time;
        if Delivery::is_ahead(time, self.gating) {
            let ahead_ms = time.unix_ms() - self.gating.unix_ms;
            let (host, id) = (self.index, operation.id().short());
            let text = format!("host {host} applied {id}, {ahead_ms} ms ahead of its time");
            step.tally.note_violation(text);
        }
    }

    /// Reads what a peer lacks from the disk.
    fn read(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        (indices, remaining): (&[OpIndex], u64),
        bytes_max: usize,
    ) {
        let mut operations = Vec::new();
        let (mut room, mut next) = (PageRoom::new(bytes_max), 0);
        for index in indices {
            let operation = self.disk.read(index.0 as usize);
            let operation = operation.expect("what is applied was given to the disk");
            if !room.take(operation.size_bytes()) {
                break;
            }
            operations.push(Parcel::Good(operation.clone()));
            next = u64::from(index.0) + 1;
        }
        let missing = Missing {
            remaining: remaining + (indices.len() - operations.len()) as u64,
            operations,
            next,
        };
        let now = self.now(step.world, step.now_us);
        if let Some(node) = &mut self.node {
            node.handle_read(now, ticket, missing);
        }
    }
}
