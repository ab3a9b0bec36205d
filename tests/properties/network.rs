//! A random network at work: honest nodes, their clocks, their disks, and liars among them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bitfitech_core::board::Board;
use bitfitech_core::exchange::{Exchange, Output, OwnChain, SubmitError};
use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_core::matching::{Book, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, MemberChange, Operation, Place, Verified};
use bitfitech_core::types::{
    AuthorKey, Digest, HybridTime, LinkId, Lots, MarketIndex, Now, OpId, OrderId, Side, Source,
    Ticks,
};
use bitfitech_core::view::Change;
use bitfitech_core::wire::Head;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use crate::deals::{KnownOrder, Signer};
use crate::liar::Liar;
use crate::scenario::{Amount, Deal, Draft, Scenario, Step};

/// The exchange of an honest node.
pub type Node = Exchange<Book>;

/// When every network begins.
pub const BEGIN_MS: u64 = 1_700_000_000_000;

/// For how long the orders of a silent author rest.
pub const LEASE_MS: u32 = 2_000;

/// How far apart in time two halves may be.
pub const ANSWER_MS: u32 = 400;

/// How many markets there are.
pub const MARKETS: u16 = 2;

/// The author of a signing key.
pub fn author_of(key: &SigningKey) -> AuthorKey {
    AuthorKey(VerificationKeyBytes::from(key).into())
}

/// Two small markets.
pub fn genesis(network: &str) -> Genesis {
    let market = |pair| {
        Market::new(&MarketSpec {
            pair,
            tick: "1",
            lot: "1",
            max_price: "1000",
            max_quantity: "1000",
        })
        .expect("a valid market")
    };
    Genesis {
        network: network.to_string(),
        markets: vec![market("AAA/ZZZ"), market("BBB/ZZZ")],
        bucket_ms: 50,
        // Short, so that leases end and answers come too late within a scenario.
        lease_ms: LEASE_MS,
        answer_ms: ANSWER_MS,
        allow_list: Vec::new(),
        administrators: Vec::new(),
    }
    .checked()
    .expect("a valid genesis")
}

/// An exchange with nothing in it. Half of all nodes can undo little, so that they do whole logs
/// again.
pub fn new_node(genesis: &Genesis, key: &SigningKey) -> Node {
    let undo_records = if author_of(key).0[0] < 128 {
        2
    } else {
        1 << 20
    };
    Exchange::new(genesis.clone(), *key, |secret| {
        Book::with_undo_records(secret, undo_records)
    })
}

/// The way over a link.
pub fn source(link: u8) -> Source {
    Source::push(LinkId(u64::from(link)))
}

/// An honest node with its clock, its disk and what it shows.
pub struct Peer {
    pub key: SigningKey,
    pub author: AuthorKey,
    skew_ms: i64,
    pub exchange: Node,
    /// What the disk has acknowledged.
    pub disk: Vec<Arc<[u8]>>,
    /// What the disk was given and has not acknowledged.
    in_flight: VecDeque<Arc<[u8]>>,
    /// Everything applied, in order.
    pub applied: Vec<Verified>,
    pub board: Board,
    /// What the node began its life with, and every change since.
    pub baseline: Vec<Change>,
    pub history: Vec<Change>,
    /// What others call a proof against someone.
    pub accused: BTreeSet<AuthorKey>,
}

/// Whether a node's books are up to date with what it has applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Books {
    /// It has just merged.
    Merged,
    /// Something may wait for the next tick.
    Behind,
}

/// The network.
pub struct Network {
    pub genesis: Genesis,
    pub digest: Digest,
    pub true_ms: u64,
    pub peers: Vec<Peer>,
    pub liars: Vec<Liar>,
    /// Every operation that has left its author, in that order.
    pub published: Vec<Verified>,
    published_ids: BTreeSet<OpId>,
    /// Every order that anyone has ever placed.
    orders: Vec<KnownOrder>,
    /// Hears of everything at once, whatever its date: what the liars are shown, and what says
    /// whether a lie is applied at all.
    pub witness: Node,
}

impl Network {
    pub fn new(scenario: &Scenario) -> Self {
        let key = |number: usize| SigningKey::from([u8::try_from(number).expect("few nodes"); 32]);
        let everyone = (1..=scenario.skews_ms.len()).chain(100..102).chain([255]);
        // The first node is the administrator.
        let genesis = Genesis {
            allow_list: everyone.map(|number| author_of(&key(number))).collect(),
            administrators: vec![author_of(&key(1))],
            ..genesis("properties")
        };
        let genesis = genesis.checked().expect("a valid genesis");
        let digest = genesis.digest();
        let skews = scenario.skews_ms.iter().enumerate();
        let peers = skews
            .map(|(at, skew_ms)| Peer::new(&genesis, key(at + 1), *skew_ms))
            .collect();
        let liars = usize::from(scenario.liars);
        Self {
            digest,
            true_ms: BEGIN_MS,
            peers,
            liars: (0..liars).map(|at| Liar::new(key(at + 100))).collect(),
            published: Vec::new(),
            published_ids: BTreeSet::new(),
            orders: Vec::new(),
            witness: new_node(&genesis, &key(255)),
            genesis,
        }
    }

    /// Runs a scenario to its end.
    pub fn run(scenario: &Scenario) -> Self {
        Self::run_with(scenario, |_, _, _| {})
    }

    /// Runs a scenario; `inspect` looks at the node that each step was about.
    pub fn run_with(scenario: &Scenario, mut inspect: impl FnMut(&Network, usize, Books)) -> Self {
        let mut network = Self::new(scenario);
        for step in &scenario.steps {
            if let Some((node, books)) = network.step(step) {
                inspect(&network, node, books);
            }
        }
        network
    }

    /// Lets everyone hear of everything, each in an order of its own.
    pub fn settle(&mut self, shuffle: u64) {
        self.publish_all();
        self.true_ms += 20_000;
        let all = self.published.clone();
        for node in 0..self.peers.len() {
            let order = shuffled(&all, shuffle.wrapping_add(node as u64));
            for (number, chunk) in order.chunks(1 + node * 3).enumerate() {
                let link = u8::try_from(number % 3).expect("few links");
                self.receive(node, link, chunk.to_vec());
                if number % 5 == node {
                    self.tick(node);
                }
            }
            self.tick(node);
        }
    }

    /// Every disk acknowledges everything, so that everything own is published.
    pub fn publish_all(&mut self) {
        for node in 0..self.peers.len() {
            self.persist(node, usize::MAX);
        }
    }

    /// Takes a step; the node that it was about.
    fn step(&mut self, step: &Step) -> Option<(usize, Books)> {
        let nodes = self.peers.len();
        let at = |node: &u8| usize::from(*node) % nodes;
        match step {
            Step::Submit { node, actions } => Some((at(node), self.submit(at(node), actions))),
            Step::Agree {
                node,
                trade,
                amounts,
            } => {
                let partner = self.agree(at(node), *trade, amounts);
                Some((partner, Books::Merged))
            }
            Step::Craft { liar, lie, actions } => {
                self.craft(usize::from(*liar), lie, actions);
                None
            }
            Step::Deliver { node, link, picks } => {
                let newest_first = || self.published.iter().rev().cycle();
                let picked = |pick: &u8| newest_first().nth(usize::from(*pick)).cloned();
                let operations = picks.iter().filter_map(picked).collect();
                self.receive(at(node), *link, operations);
                Some((at(node), Books::Behind))
            }
            Step::Synchronise { node, from } => {
                self.synchronise(at(node), at(from));
                Some((at(node), Books::Behind))
            }
            Step::Persist { node, count } => {
                self.persist(at(node), usize::from(*count));
                None
            }
            Step::Tick { node } => {
                self.tick(at(node));
                Some((at(node), Books::Merged))
            }
            Step::Pass { ms } => {
                self.true_ms += u64::from(*ms);
                None
            }
            Step::LinkDown { node, link } => {
                let link = LinkId(u64::from(*link));
                self.peers[at(node)].exchange.handle_link_down(link);
                None
            }
            Step::Crash { node, kept } => {
                self.crash(at(node), usize::from(*kept));
                Some((at(node), Books::Merged))
            }
        }
    }

    /// A node writes, if it may.
    fn submit(&mut self, node: usize, drafts: &[Draft]) -> Books {
        let author = self.peers[node].author;
        let now = self.now(node);
        let Peer { exchange, key, .. } = &self.peers[node];
        let after_all = exchange.dag().latest_time().next().expect("not the end");
        let time = after_all.max(HybridTime::from_unix_ms(now.unix_ms));
        let signer = self.signer(author, exchange);
        let actions = self.actions(&signer, drafts, time.unix_ms());
        let actions = signer.valid_only(actions, (key, time));
        let peer = &mut self.peers[node];
        let result = peer.exchange.submit(now, actions.clone());
        self.pump(node);
        match result {
            Ok(id) => {
                self.learn_orders(author, id, &actions);
                Books::Merged
            }
            Err(SubmitError::ClockAhead(_) | SubmitError::NotYet | SubmitError::NotMember(_)) => {
                Books::Behind
            }
            Err(error) => panic!("honest actions are refused: {error}"),
        }
    }

    /// A node confirms a trade and its partner, if he is honest, answers; who wrote last.
    fn agree(&mut self, node: usize, trade: u8, amounts: &[Amount; 2]) -> usize {
        let hear_and_write = |network: &mut Self, node: usize, draft: Draft| {
            network.receive(node, 0, network.published.clone());
            network.tick(node);
            network.submit(node, &[draft]);
            network.persist(node, usize::MAX);
        };
        let (deal, amount) = (Deal::Shown(trade), amounts[0]);
        hear_and_write(self, node, Draft::Confirm { deal, amount });
        let newest = self.peers[node].applied.last();
        let half = newest.and_then(|newest| newest.body().actions.iter().find_map(Action::half));
        let owner = half.and_then(|half| self.orders.iter().find(|known| known.3 == half.other));
        let partner = owner.and_then(|(author, ..)| {
            let mut peers = self.peers.iter();
            peers.position(|peer| peer.author == *author)
        });
        let Some(partner) = partner else {
            return node;
        };
        let (deal, amount) = (Deal::Offered(0), amounts[1]);
        hear_and_write(self, partner, Draft::Confirm { deal, amount });
        partner
    }

    /// A liar signs something and publishes it at once.
    fn craft(&mut self, liar: usize, lie: &crate::scenario::Lie, drafts: &[Draft]) {
        let count = self.liars.len().max(1);
        let Some(author) = self.liars.get(liar % count).map(|liar| liar.author) else {
            return;
        };
        self.witness.handle_tick(all_seeing(self.true_ms));
        let signer = self.signer(author, &self.witness);
        let actions = self.actions(&signer, drafts, self.true_ms);
        let context = (self.true_ms, &self.genesis);
        let crafted =
            self.liars[liar % count].craft(lie, actions.clone(), &self.published, context);
        if let Some(operation) = crafted {
            self.publish(operation.clone());
            if self.witness.dag().find(&operation.id()).is_some() {
                self.learn_orders(author, operation.id(), &actions);
                self.liars[liar % count].keep(operation);
            }
        }
    }

    /// Someone who goes by what an exchange shows.
    fn signer<'a>(&'a self, author: AuthorKey, exchange: &'a Node) -> Signer<'a> {
        Signer {
            author,
            exchange,
            orders: &self.orders,
        }
    }

    /// Operations reach a node over a link.
    pub fn receive(&mut self, node: usize, link: u8, operations: Vec<Verified>) {
        let now = self.now(node);
        let exchange = &mut self.peers[node].exchange;
        exchange.receive(now, source(link), operations);
        self.pump(node);
    }

    /// A node pulls all that another has on disk.
    fn synchronise(&mut self, node: usize, from: usize) {
        let wires = self.peers[from].disk.clone();
        let operations = wires.iter().map(|wire| self.decode(wire)).collect();
        let heads: Vec<Head> = self.peers[from].exchange.dag().heads().collect();
        self.peers[node].exchange.handle_heads(&heads);
        self.receive(node, 0, operations);
    }

    /// The disk of a node acknowledges the next `count` operations.
    fn persist(&mut self, node: usize, count: usize) {
        let peer = &mut self.peers[node];
        let count = count.min(peer.in_flight.len());
        peer.disk.extend(peer.in_flight.drain(..count));
        peer.exchange.handle_persisted(peer.disk.len());
        self.pump(node);
    }

    pub fn tick(&mut self, node: usize) {
        let now = self.now(node);
        self.peers[node].exchange.handle_tick(now);
        self.pump(node);
    }

    /// When a node wants to be called next, in milliseconds since the beginning.
    pub fn next_deadline_ms(&self, node: usize) -> Option<u64> {
        self.peers[node].exchange.next_deadline_ms(self.now(node))
    }

    /// A node dies, and starts again from its disk, on which `kept` operations had arrived that
    /// were never acknowledged.
    fn crash(&mut self, node: usize, kept: usize) {
        let now = self.now(node);
        let peer = &mut self.peers[node];
        let kept = kept.min(peer.in_flight.len());
        peer.disk.extend(peer.in_flight.drain(..kept));
        let mut reborn = Peer::new(&self.genesis, peer.key, peer.skew_ms);
        reborn.disk = std::mem::take(&mut peer.disk);
        for wire in &reborn.disk {
            reborn
                .exchange
                .restore(wire)
                .expect("what was written can be read");
        }
        reborn.exchange.handle_restored(now, OwnChain::MayBeLonger);
        let decode = |wire: &Arc<[u8]>| decode(wire, &self.genesis, &self.digest);
        reborn.applied = reborn.disk.iter().map(decode).collect();
        reborn.baseline = reborn.exchange.replica().snapshot().collect();
        reborn
            .baseline
            .iter()
            .for_each(|change| reborn.board.apply(change));
        // What arrived on disk unacknowledged was applied by the first life, so the next one has
        // it, and no one else can tell the difference: it may be passed on now.
        let own = reborn
            .applied
            .iter()
            .filter(|operation| operation.body().author == reborn.author);
        let own: Vec<Verified> = own.cloned().collect();
        *peer = reborn;
        own.into_iter()
            .for_each(|operation| self.publish(operation));
        self.pump(node);
    }

    /// Does what a node wants done.
    fn pump(&mut self, node: usize) {
        while let Some(output) = self.peers[node].exchange.poll_output() {
            let peer = &mut self.peers[node];
            match output {
                Output::Persist { index, operation } => {
                    let wire = Arc::clone(operation.wire());
                    assert_eq!(index.0 as usize, peer.applied.len(), "a gap in the store");
                    peer.applied
                        .push(decode(&wire, &self.genesis, &self.digest));
                    peer.in_flight.push_back(wire);
                }
                Output::Relay {
                    operation,
                    from: None,
                } => {
                    let wire = Arc::clone(operation.wire());
                    let durable = peer.disk.iter().rev().any(|stored| *stored == wire);
                    assert!(
                        durable,
                        "an own operation is passed on before it is on disk"
                    );
                    self.publish(decode(&wire, &self.genesis, &self.digest));
                }
                Output::Changed(changes) => {
                    changes.iter().for_each(|change| peer.board.apply(change));
                    peer.history.extend(changes);
                }
                Output::Forked {
                    author,
                    first,
                    second,
                } => {
                    assert_ne!(first, second);
                    peer.accused.insert(author);
                }
                Output::Written(_)
                | Output::Relay { .. }
                | Output::Membership
                | Output::Lacking { .. }
                | Output::Gap(_)
                | Output::Invalid { .. } => {}
            }
        }
    }

    /// An operation leaves its author.
    pub fn publish(&mut self, operation: Verified) {
        if self.published_ids.insert(operation.id()) {
            let now = all_seeing(self.true_ms);
            self.witness
                .receive(now, source(0), vec![operation.clone()]);
            while self.witness.poll_output().is_some() {}
            self.published.push(operation);
        }
    }

    fn decode(&self, wire: &Arc<[u8]>) -> Verified {
        decode(wire, &self.genesis, &self.digest)
    }

    /// The clocks of a node.
    pub fn now(&self, node: usize) -> Now {
        Now {
            monotonic_ms: self.true_ms - BEGIN_MS,
            unix_ms: self.true_ms.saturating_add_signed(self.peers[node].skew_ms),
        }
    }

    /// Notes the orders that an operation makes or may make.
    fn learn_orders(&mut self, author: AuthorKey, id: OpId, actions: &[Action]) {
        for (action, index) in actions.iter().zip(0..) {
            if let Action::Place(Place { side, .. }) | Action::Replace { side, .. } = action {
                let order = OrderId::new(&id, index);
                let market = action.market().expect("an order has a market");
                self.orders.push((author, market, *side, order));
            }
        }
    }

    /// The order that a number means to an author: mostly one of his own, now and then another's,
    /// one in the wrong market or an unknown one.
    fn target(&self, author: &AuthorKey, number: u8) -> (MarketIndex, Side, OrderId) {
        let own_only = number % 5 != 4;
        let mut newest_first = self
            .orders
            .iter()
            .rev()
            .filter(|(owner, ..)| !own_only || owner == author)
            .map(|(_, market, side, order)| (*market, *side, *order))
            .cycle();
        match newest_first.nth(usize::from(number)) {
            None => (MarketIndex(0), Side::Buy, OrderId([0xaa; 32])),
            Some((market, side, order)) if number == 11 => (MarketIndex(1 - market.0), side, order),
            Some(target) => target,
        }
    }

    /// Changes the standing of another node or of a liar.
    fn member(&self, signer: &Signer<'_>, target: usize, change: MemberChange) -> Option<Action> {
        let peers = self.peers[1..].iter().map(|peer| peer.author);
        let others = peers.chain(self.liars.iter().map(|liar| liar.author));
        let others: Vec<AuthorKey> = others.collect();
        let author = *others.get(target % others.len())?;
        let is_administrator = self.genesis.is_administrator(&signer.author);
        is_administrator.then_some(Action::Member { author, change })
    }

    fn actions(&self, signer: &Signer<'_>, drafts: &[Draft], time_ms: u64) -> Vec<Action> {
        let mut actions: Vec<Action> = Vec::new();
        for draft in drafts {
            let action = self.action(signer, draft, time_ms);
            // An operation changes the standing of an author once.
            let is_again = |action: &Action| {
                let mut changed = actions.iter().filter_map(Action::member);
                action
                    .member()
                    .is_some_and(|(author, _)| changed.any(|(known, _)| known == author))
            };
            actions.extend(action.filter(|action| !is_again(action)));
        }
        actions
    }

    fn action(&self, signer: &Signer<'_>, draft: &Draft, time_ms: u64) -> Option<Action> {
        Some(match *draft {
            Draft::Confirm { deal, amount } => return signer.confirm(deal, amount),
            Draft::Decline { deal } => return signer.decline(deal),
            Draft::Release { deal } => return signer.release(deal),
            Draft::Member { target, change } => {
                return self.member(signer, usize::from(target), change);
            }
            Draft::Cancel { order } => {
                let (market, _, order) = self.target(&signer.author, order);
                Action::Cancel { market, order }
            }
            Draft::Replace {
                order,
                price,
                quantity,
            } => {
                let (market, side, order) = self.target(&signer.author, order);
                Action::Replace {
                    market,
                    order,
                    // Now and then an author errs.
                    side: if quantity == Some(6) {
                        side.opposite()
                    } else {
                        side
                    },
                    price: price.map(|price| Ticks(u64::from(price))),
                    quantity: Lots(quantity.map_or(1, u64::from)),
                }
            }
            _ => new_order(draft, time_ms),
        })
    }
}

impl Peer {
    fn new(genesis: &Genesis, key: SigningKey, skew_ms: i64) -> Self {
        let author = author_of(&key);
        Self {
            key,
            author,
            skew_ms,
            exchange: new_node(genesis, &key),
            disk: Vec::new(),
            in_flight: VecDeque::new(),
            applied: Vec::new(),
            board: Board::new(author, usize::from(MARKETS), usize::MAX),
            baseline: Vec::new(),
            history: Vec::new(),
            accused: BTreeSet::new(),
        }
    }
}

/// Reads what some node has accepted.
pub fn decode(wire: &[u8], genesis: &Genesis, digest: &Digest) -> Verified {
    Operation::decode(wire, genesis, digest)
        .expect("what a node has accepted can be read")
        .trust()
}

/// The order that a draft of one describes, of an operation of about this time.
fn new_order(draft: &Draft, time_ms: u64) -> Action {
    let price = |price: u8| Ticks(u64::from(price));
    match *draft {
        Draft::Limit {
            market,
            buys,
            price: limit,
            quantity,
            time_in_force,
            self_trade,
            expires,
        } => {
            let may_rest = matches!(time_in_force, 0 | 3);
            let expires_ms = expires
                .filter(|_| may_rest)
                .map(|expires| time_ms + u64::from(expires));
            let pricing = Pricing::Limit(price(limit));
            let terms = (quantity, time_in_force, self_trade);
            place(market, buys, pricing, terms, expires_ms)
        }
        Draft::Market {
            market,
            buys,
            protection,
            quantity,
            time_in_force,
            self_trade,
        } => {
            let pricing = Pricing::Market(protection.map(price));
            let terms = (quantity, time_in_force, self_trade);
            place(market, buys, pricing, terms, None)
        }
        _ => unreachable!("no draft of an order"),
    }
}

/// A new order with these terms, by number.
fn place(
    market: bool,
    buys: bool,
    pricing: Pricing,
    (quantity, time_in_force, self_trade): (u8, u8, u8),
    expires_ms: Option<u64>,
) -> Action {
    Action::Place(Place {
        market: MarketIndex(u16::from(market)),
        side: if buys { Side::Buy } else { Side::Sell },
        pricing,
        quantity: Lots(u64::from(quantity)),
        time_in_force: match time_in_force {
            0 => TimeInForce::GoodTillCancel,
            1 => TimeInForce::ImmediateOrCancel,
            2 => TimeInForce::FillOrKill,
            _ => TimeInForce::PostOnly,
        },
        self_trade: match self_trade {
            0 => SelfTrade::CancelNewest,
            1 => SelfTrade::CancelOldest,
            _ => SelfTrade::CancelBoth,
        },
        expires_ms,
    })
}

/// The clocks of a node that parks nothing.
fn all_seeing(true_ms: u64) -> Now {
    Now {
        monotonic_ms: true_ms - BEGIN_MS,
        unix_ms: true_ms + 1_000_000,
    }
}

/// A good-till-cancelled limit order in the first market.
pub fn limit(side: Side, price: u64, quantity: u64) -> Action {
    Action::Place(Place {
        market: MarketIndex(0),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(quantity),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    })
}

/// A permutation that a number decides, with every fourth item twice.
pub fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let again = items.iter().step_by(4);
    let mut order: Vec<T> = items.iter().chain(again).cloned().collect();
    let mut state = seed;
    for last in (1..order.len()).rev() {
        // Knuth's constants for a linear congruential generator ("MMIX").
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = (state >> 33) as usize % (last + 1);
        order.swap(last, other);
    }
    order
}
