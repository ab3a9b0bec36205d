//! A world for tests: nodes with a toy set of operations, links that come and go, virtual time.
//!
//! Every node composes gossip, synchronisation, a bounded buffer for causal delivery and the
//! naive set; the questions of the machines are answered after a delay, as actors answer them.
//! Frames travel encoded. Whatever is random comes from one seed.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::*;
use crate::gossip::{Arrival, Arriving, Gossip, GossipConfig, GossipOutput, WireOperation};
use crate::head_trie::HeadTrie;
use crate::random::SplitMix64;
use crate::types::{AuthorKey, Digest, OpId, Source};
use crate::wire::{BranchPath, ChildDigest, Head, LOCATOR_MAX, OPERATION_MAX_BYTES, PageRoom};

/// A deterministic sequence of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) SplitMix64);

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.any() % limit
    }
}

/// A toy operation: who, the one before, what it leans on, padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToyOperation {
    pub(crate) author: AuthorKey,
    pub(crate) seq: u64,
    pub(crate) prev: Option<OpId>,
    pub(crate) refs: Vec<OpId>,
    pub(crate) salt: u64,
    pub(crate) padding: Vec<u8>,
}

impl ToyOperation {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = rmp_serde::to_vec(self).expect("a toy encodes");
        assert!(bytes.len() <= OPERATION_MAX_BYTES);
        bytes
    }
}

pub(crate) fn id_of(bytes: &[u8]) -> OpId {
    OpId(*blake3::hash(bytes).as_bytes())
}

/// Who is said to have written it.
fn author_of(bytes: &[u8]) -> AuthorKey {
    let operation = rmp_serde::from_slice::<ToyOperation>(bytes);
    operation.map_or(AuthorKey([0; 32]), |operation| operation.author)
}

/// The naive set of applied operations, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToySet {
    pub(crate) order: Vec<(OpId, Vec<u8>, ToyOperation)>,
    pub(crate) places: BTreeMap<OpId, usize>,
}

impl ToySet {
    pub(crate) fn contains(&self, id: &OpId) -> bool {
        self.places.contains_key(id)
    }

    fn get(&self, id: &OpId) -> Option<&ToyOperation> {
        self.places.get(id).map(|place| &self.order[*place].2)
    }

    /// Applies an operation if what it leans on is here.
    pub(crate) fn apply(&mut self, bytes: &[u8], operation: &ToyOperation) -> bool {
        let id = id_of(bytes);
        let leans_on = operation.prev.iter().chain(&operation.refs);
        if self.contains(&id) || !leans_on.clone().all(|id| self.contains(id)) {
            return false;
        }
        self.places.insert(id, self.order.len());
        self.order.push((id, bytes.to_vec(), operation.clone()));
        true
    }

    pub(crate) fn heads(&self) -> Vec<Head> {
        let before: BTreeSet<OpId> = self.order.iter().filter_map(|it| it.2.prev).collect();
        let heads = self.order.iter().filter(|(id, _, _)| !before.contains(id));
        let heads = heads.map(|(id, _, operation)| Head {
            author: operation.author,
            seq: operation.seq,
            id: *id,
        });
        let mut heads: Vec<Head> = heads.collect();
        heads.sort_by_key(Head::key);
        heads
    }

    /// The trie of the heads, made anew, and what it looks up.
    fn trie(&self) -> (HeadTrie<usize>, Vec<Head>) {
        let heads = self.heads();
        let mut trie = HeadTrie::default();
        (0..heads.len()).for_each(|at| trie.insert(at, &|at| heads[at]));
        (trie, heads)
    }

    fn digest(&self, path: BranchPath) -> BranchDigest {
        let (mut trie, heads) = self.trie();
        let digest = trie.digest(&path, &|at| heads[at]);
        BranchDigest { path, digest }
    }

    fn differing(&self, asked: &[BranchDigest]) -> Vec<Branch> {
        let (mut trie, heads) = self.trie();
        let differing = asked
            .iter()
            .filter(|it| self.digest(it.path.clone()) != **it);
        differing
            .map(|it| trie.branch(&it.path, &|at| heads[at]))
            .collect()
    }

    fn compare(&self, shown: &[Branch]) -> Comparison {
        let children = shown.iter().flat_map(|branch| {
            let path = |child: &ChildDigest| branch.path.child(child.digit);
            branch
                .children
                .iter()
                .map(move |child| (path(child), child.digest))
        });
        let own = children.map(|(path, digest)| (self.digest(path), digest));
        let different = own.filter(|(own, digest)| own.digest != *digest);
        let heads = shown.iter().flat_map(|branch| branch.heads.iter().copied());
        Comparison {
            branches: different.map(|(own, _)| own).collect(),
            heads: heads.filter(|head| !self.contains(&head.id)).collect(),
        }
    }

    pub(crate) fn wants_for(&self, heads: &[Head]) -> Vec<WantEntry> {
        let own = self.heads();
        let unknown = heads.iter().filter(|head| !self.contains(&head.id));
        let entry = |head: &Head| WantEntry {
            author: head.author,
            head: head.id,
            locator: self.locator(own.iter().filter(|it| it.author == head.author)),
        };
        unknown.map(entry).collect()
    }

    fn locator<'a>(&self, own: impl Iterator<Item = &'a Head>) -> Vec<OpId> {
        let mut heads: Vec<&Head> = own.collect();
        heads.sort_by_key(|head| core::cmp::Reverse(head.seq));
        let mut locator: Vec<OpId> = heads.iter().map(|head| head.id).take(4).collect();
        let mut chain = Vec::new();
        let mut next = heads.first().map(|head| head.id);
        while let Some(id) = next {
            chain.push(id);
            next = self.get(&id).and_then(|operation| operation.prev);
        }
        let steps = (0..32).map(|power| 1_usize << power);
        let older = steps.map_while(|step| chain.get(step)).copied();
        locator.extend(older.take(LOCATOR_MAX - 4));
        locator
    }

    /// The places of an operation and of those before it in its author's chain.
    fn chain(&self, id: OpId) -> impl Iterator<Item = usize> {
        let place = |id: OpId| self.places.get(&id).copied();
        core::iter::successors(place(id), move |it| self.order[*it].2.prev.and_then(place))
    }

    pub(crate) fn missing(&self, wants: &[WantEntry], from: u64, max_bytes: usize) -> Missing {
        let mut places = BTreeSet::new();
        for want in wants {
            let locator = want.locator.iter();
            let had: BTreeSet<usize> = locator.flat_map(|id| self.chain(*id)).collect();
            places.extend(
                self.chain(want.head)
                    .take_while(|place| !had.contains(place)),
            );
        }
        places.retain(|place| *place as u64 >= from);
        let mut missing = Missing {
            operations: Vec::new(),
            remaining: places.len() as u64,
            next: from,
        };
        let mut room = PageRoom::new(max_bytes);
        for place in places {
            let bytes = &self.order[place].1;
            if !room.take(bytes.len()) {
                break;
            }
            missing.operations.push(bytes.clone());
            missing.remaining -= 1;
            missing.next = place as u64 + 1;
        }
        missing
    }
}

/// Most operations that wait for what they lean on.
pub(crate) const BUFFER_MAX: usize = 20;

/// Links with this number and above lead to liars.
const LIARS_FROM: u64 = 1 << 32;

pub(crate) struct Node {
    pub(crate) key: AuthorKey,
    pub(crate) set: ToySet,
    waiting: VecDeque<(OpId, Vec<u8>, ToyOperation)>,
    pub(crate) gossip: Gossip,
    pub(crate) sync: Sync,
    pub(crate) ops_frames: u64,
    pub(crate) ops_received: u64,
}

impl Node {
    fn new(number: u8) -> Self {
        let config = SyncConfig {
            page_max_bytes: 600,
            ..SyncConfig::default()
        };
        Self {
            key: AuthorKey([number; 32]),
            set: ToySet::default(),
            waiting: VecDeque::new(),
            gossip: Gossip::new(Now::default(), GossipConfig::default()),
            sync: Sync::new(config),
            ops_frames: 0,
            ops_received: 0,
        }
    }

    /// Causal delivery: applies what can be, keeps what must wait.
    fn deliver(&mut self, now: Now, operations: Vec<Vec<u8>>, origin: Option<Source>) -> u64 {
        let mut applied = Vec::new();
        for bytes in operations {
            let id = id_of(&bytes);
            let Ok(operation) = rmp_serde::from_slice::<ToyOperation>(&bytes) else {
                self.gossip.handle_not_applied(&[id], link_of(origin));
                continue;
            };
            let is_waiting = self.waiting.iter().any(|it| it.0 == id);
            if !self.set.contains(&id) && !is_waiting {
                self.waiting.push_back((id, bytes, operation));
                self.drain(&mut applied);
            }
            if self.waiting.len() > BUFFER_MAX {
                let evicted = self.waiting.pop_front().expect("the buffer is full").0;
                self.gossip.handle_not_applied(&[evicted], None);
            }
        }
        let gained = applied.len() as u64;
        self.gossip.handle_applied(now, applied, origin);
        gained
    }

    fn drain(&mut self, applied: &mut Vec<WireOperation>) {
        loop {
            let set = &mut self.set;
            let ready = self.waiting.iter().position(|it| set.apply(&it.1, &it.2));
            let ready = ready.and_then(|place| self.waiting.remove(place));
            let Some((id, bytes, operation)) = ready else {
                return;
            };
            let author = operation.author;
            applied.push(WireOperation { id, author, bytes });
        }
    }
}

fn link_of(source: Option<Source>) -> Option<LinkId> {
    source.map(|source| source.link)
}

enum Event {
    Frame(u8, Vec<u8>),
    Written(usize),
    ReadRoot(Ticket),
    ReadBranches(Ticket, Vec<BranchDigest>),
    Compare(Ticket, Vec<Branch>),
    ReadMissing(Ticket, Vec<WantEntry>, u64, usize),
    FindWants(Ticket, Vec<Head>),
    Deliver(Ticket, Vec<Vec<u8>>),
}

/// Nodes, links, and what is under way.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: BTreeMap<LinkId, (usize, usize)>,
    events: BTreeMap<(u64, u64), (usize, LinkId, Event)>,
    /// When the last frame arrives, by link and receiver: a session keeps order.
    last_arrival_ms: BTreeMap<(LinkId, usize), u64>,
    pub(crate) now_ms: u64,
    count: u64,
    pub(crate) dice: Dice,
    pub(crate) finished: Vec<(usize, RoundEnd, u64)>,
    /// Questions that liars answered.
    pub(crate) lies: u64,
}

impl World {
    pub(crate) fn new(nodes: u8, seed: u64) -> Self {
        Self {
            nodes: (0..nodes).map(Node::new).collect(),
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            last_arrival_ms: BTreeMap::new(),
            now_ms: 0,
            count: 0,
            dice: Dice(SplitMix64(seed)),
            finished: Vec::new(),
            lies: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic_ms: self.now_ms,
            unix_ms: 0,
        }
    }

    /// Connects two nodes unless they are.
    pub(crate) fn connect(&mut self, left: usize, right: usize) {
        let pair = (left.min(right), left.max(right));
        if left == right || self.links.values().any(|it| *it == pair) {
            return;
        }
        self.count += 1;
        let link = LinkId(self.count);
        self.links.insert(link, pair);
        for (node, peer) in [(pair.0, pair.1), (pair.1, pair.0)] {
            let key = self.nodes[peer].key;
            let now = self.now();
            self.nodes[node].gossip.handle_link_up(link, key);
            self.nodes[node].sync.handle_link_up(now, link);
            self.collect(node);
        }
    }

    /// Cuts a link; what is under way on it is lost.
    pub(crate) fn disconnect(&mut self, link: LinkId) {
        let Some((left, right)) = self.links.remove(&link) else {
            return;
        };
        self.events.retain(|_, (_, on, _)| *on != link);
        for node in [left, right] {
            let now = self.now();
            self.nodes[node].gossip.handle_link_down(link);
            self.nodes[node].sync.handle_link_down(now, link);
            self.collect(node);
        }
    }

    /// A node writes an operation; `from_head` chooses what it continues: 0 is its newest.
    pub(crate) fn write(&mut self, node: usize, steps_back: usize, padding: usize) {
        let state = &self.nodes[node];
        let own: Vec<&(OpId, Vec<u8>, ToyOperation)> = state
            .set
            .order
            .iter()
            .filter(|it| it.2.author == state.key)
            .collect();
        let prev = own.iter().rev().nth(steps_back).map(|it| (it.0, it.2.seq));
        let mut refs = Vec::new();
        if !state.set.order.is_empty() {
            let place = self.dice.below(state.set.order.len() as u64) as usize;
            refs.push(state.set.order[place].0);
        }
        let operation = ToyOperation {
            author: state.key,
            seq: prev.map_or(0, |(_, seq)| seq + 1),
            prev: prev.map(|(id, _)| id),
            refs,
            salt: self.dice.below(u64::MAX),
            padding: vec![0; padding],
        };
        let now = self.now();
        let gained = self.nodes[node].deliver(now, vec![operation.bytes()], None);
        assert_eq!(gained, 1, "what a node writes leans on what it has");
        self.collect(node);
    }

    /// Lets time pass; what is due happens in order.
    pub(crate) fn run_for(&mut self, duration_ms: u64) {
        let end_ms = self.now_ms + duration_ms;
        let mut steps = 0_u64;
        loop {
            let event_ms = self.events.keys().next().map(|key| key.0);
            let timer_ms = self.next_timer_ms();
            let Some(next_ms) = event_ms.into_iter().chain(timer_ms).min() else {
                break;
            };
            if next_ms > end_ms {
                break;
            }
            steps += 1;
            assert!(steps < 2_000_000, "the world never comes to rest");
            self.now_ms = self.now_ms.max(next_ms);
            if event_ms == Some(next_ms) {
                self.next_event();
            } else {
                self.fire_timers();
            }
        }
        self.now_ms = end_ms;
    }

    fn next_timer_ms(&self) -> Option<u64> {
        let deadlines = |node: &Node| {
            let gossip = node.gossip.next_deadline_ms();
            gossip.into_iter().chain(node.sync.next_deadline_ms()).min()
        };
        self.nodes.iter().filter_map(deadlines).min()
    }

    fn fire_timers(&mut self) {
        let now = self.now();
        for node in 0..self.nodes.len() {
            self.nodes[node].gossip.handle_timeout(now);
            self.nodes[node].sync.handle_timeout(now);
            self.collect(node);
        }
    }

    fn next_event(&mut self) {
        let Some((_, (node, link, event))) = self.events.pop_first() else {
            return;
        };
        let now = self.now();
        let state = &mut self.nodes[node];
        match event {
            Event::Frame(kind, payload) => {
                let frame = Frame::decode(kind, &payload).expect("nodes send valid frames");
                self.receive(node, link, frame.expect("nodes send known frames"));
            }
            Event::Written(cost_bytes) => state.gossip.handle_written(link, cost_bytes),
            Event::ReadRoot(ticket) => {
                let root = state.set.digest(BranchPath::default());
                state.sync.handle_root_read(now, ticket, root);
            }
            Event::ReadBranches(ticket, asked) => {
                let branches = state.set.differing(&asked);
                state.sync.handle_branches_read(now, ticket, branches);
            }
            Event::Compare(ticket, shown) => {
                let compared = state.set.compare(&shown);
                state.sync.handle_compared(now, ticket, compared);
            }
            Event::ReadMissing(ticket, wants, from, max_bytes) => {
                let missing = state.set.missing(&wants, from, max_bytes);
                state.sync.handle_missing_read(ticket, missing);
            }
            Event::FindWants(ticket, heads) => {
                let wants = state.set.wants_for(&heads);
                state.sync.handle_wants_found(now, ticket, wants);
            }
            Event::Deliver(ticket, operations) => {
                let ids: Vec<OpId> = operations.iter().map(|it| id_of(it)).collect();
                state.gossip.handle_pulled(now, link, &ids);
                let gained = state.deliver(now, operations, Some(Source::sync(link)));
                state.sync.handle_delivered(now, ticket, gained);
            }
        }
        self.collect(node);
    }

    fn receive(&mut self, node: usize, link: LinkId, frame: Frame) {
        let now = self.now();
        let state = &mut self.nodes[node];
        let ops = match frame {
            Frame::Ops(ops) => ops,
            Frame::Announce(announce) => {
                state.gossip.handle_announce(now, link, &announce);
                return;
            }
            Frame::Prune(prune) => return state.gossip.handle_prune(link, &prune),
            Frame::Graft(graft) => return state.gossip.handle_graft(now, link, &graft),
            other => {
                let result = state.sync.handle_frame(now, link, other);
                return result.expect("nodes keep the protocol");
            }
        };
        state.ops_frames += 1;
        state.ops_received += ops.operations.len() as u64;
        let arriving = ops.operations.iter().zip(&ops.hops);
        let arriving = arriving.map(|(bytes, hops)| Arriving {
            id: id_of(bytes),
            author: author_of(bytes),
            hops: *hops,
        });
        let arriving: Vec<Arriving> = arriving.collect();
        let arrivals = state.gossip.handle_operations(now, link, &arriving);
        let both = ops.operations.into_iter().zip(arrivals);
        let new = both.filter(|(_, arrival)| *arrival == Arrival::New);
        let new = new.map(|(bytes, _)| bytes).collect();
        state.deliver(now, new, Some(Source::push(link)));
    }

    /// Turns the outputs of a node into events.
    fn collect(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].gossip.poll_output() {
            match output {
                GossipOutput::Send {
                    link,
                    frame,
                    cost_bytes,
                } => {
                    self.send(node, link, &frame);
                    self.later(node, link, Event::Written(cost_bytes));
                }
                GossipOutput::StartSync { link } => {
                    let now = self.now();
                    self.nodes[node].sync.request(now, link);
                }
                GossipOutput::Disconnect { link, .. } => self.disconnect(link),
            }
        }
        while let Some(output) = self.nodes[node].sync.poll_output() {
            self.handle_sync_output(node, output);
        }
    }

    fn handle_sync_output(&mut self, node: usize, output: SyncOutput) {
        let (ticket, event) = match output {
            SyncOutput::Send { link, frame } => return self.send(node, link, &frame),
            SyncOutput::Finished { end, gained, .. } => {
                return self.finished.push((node, end, gained));
            }
            SyncOutput::Progress {
                received, total, ..
            } => {
                assert!(0 < received && received <= total);
                return;
            }
            SyncOutput::ReadRoot { ticket } => (ticket, Event::ReadRoot(ticket)),
            SyncOutput::ReadBranches { ticket, asked } => {
                (ticket, Event::ReadBranches(ticket, asked))
            }
            SyncOutput::Compare { ticket, shown, .. } => (ticket, Event::Compare(ticket, shown)),
            SyncOutput::ReadMissing {
                ticket,
                wants,
                from,
                max_bytes,
            } => (ticket, Event::ReadMissing(ticket, wants, from, max_bytes)),
            SyncOutput::FindWants { ticket, heads } => (ticket, Event::FindWants(ticket, heads)),
            SyncOutput::Deliver { ticket, operations } => {
                (ticket, Event::Deliver(ticket, operations))
            }
        };
        self.later(node, ticket.link, event);
    }

    /// An answer of another actor of the same node.
    fn later(&mut self, node: usize, link: LinkId, event: Event) {
        let at_ms = self.now_ms + self.dice.below(4);
        self.count += 1;
        self.events.insert((at_ms, self.count), (node, link, event));
    }

    /// Gives a node a link to a liar.
    pub(crate) fn connect_liar(&mut self, node: usize) {
        let link = LinkId(LIARS_FROM + node as u64);
        let now = self.now();
        self.nodes[node].sync.handle_link_up(now, link);
        self.collect(node);
    }

    /// Shows invented branches and heads, and answers every Want with garbage and the promise of
    /// more.
    fn lie(&mut self, node: usize, link: LinkId, frame: &Frame) {
        let mut garbage = || {
            let mut bytes = [0; 32];
            bytes.fill_with(|| self.dice.below(256) as u8);
            bytes
        };
        let lie = match frame {
            Frame::GetBranches(ask) => {
                let branches = ask.branches.iter().map(|it| Branch {
                    path: it.path.clone(),
                    children: match it.path.digits() {
                        [] | [0, ..] => (0..16)
                            .map(|digit| ChildDigest {
                                digit,
                                digest: Digest(garbage()),
                            })
                            .collect(),
                        _ => Vec::new(),
                    },
                    heads: match it.path.digits() {
                        [] | [0, ..] => Vec::new(),
                        digits => {
                            let mut key = [0; 32];
                            key[0] = digits[0] << 4;
                            vec![Head {
                                author: AuthorKey(key),
                                seq: u64::MAX,
                                id: OpId(garbage()),
                            }]
                        }
                    },
                });
                Frame::Branches(Branches {
                    request: ask.request,
                    branches: branches.collect(),
                })
            }
            Frame::Want(want) => Frame::Page(Page {
                request: want.request,
                operations: vec![vec![0xc1, self.dice.below(256) as u8]],
                remaining: u64::MAX,
                next: want.from + 1,
            }),
            _ => return,
        };
        self.lies += 1;
        let (kind, payload) = lie.encode();
        self.later(node, link, Event::Frame(kind, payload));
    }

    fn send(&mut self, node: usize, link: LinkId, frame: &Frame) {
        if link.0 >= LIARS_FROM {
            return self.lie(node, link, frame);
        }
        let Some((left, right)) = self.links.get(&link) else {
            return;
        };
        let receiver = if node == *left { *right } else { *left };
        let arrival_ms = self.now_ms + 1 + self.dice.below(100);
        let last_ms = self.last_arrival_ms.entry((link, receiver)).or_default();
        *last_ms = arrival_ms.max(*last_ms);
        self.count += 1;
        let (kind, payload) = frame.encode();
        let event = (receiver, link, Event::Frame(kind, payload));
        self.events.insert((*last_ms, self.count), event);
    }

    /// Whether all nodes have the same set.
    pub(crate) fn is_equal(&self) -> bool {
        let keys = |node: &Node| node.set.places.keys().copied().collect::<Vec<_>>();
        let first = keys(&self.nodes[0]);
        self.nodes.iter().all(|node| keys(node) == first)
    }
}
