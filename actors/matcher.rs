//! MatcherActor: the applied operations, the books that follow from them, and the own chain.
//!
//! It drives an [`Exchange`]: operations come in from gossip, actions from users; what is then to
//! be done goes to the store, to gossip and to the orderbook. At its start it reads the store from
//! its beginning, so a crash costs time and nothing else.
//!
//! *Batches.* Whatever is in the mailbox is taken in before the books are merged once, and all
//! orders that users sent meanwhile share one operation, one signature and one write. One write is
//! under way at a time; what comes in the meantime is the next batch.
//!
//! *Acknowledgement.* A user is answered when his operation is on disk. If this actor crashes
//! before, he is told that the outcome is unknown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use bitfitech_core::exchange::{Exchange, Output, OwnChain};
use bitfitech_core::matching::Book;
use bitfitech_core::median_clock::GatingClock;
use bitfitech_core::op::{ACTIONS_MAX, Verified};
use bitfitech_core::settlement::{self, SettlementConfig};
use bitfitech_core::types::{AuthorKey, LinkId, MarketIndex, Now, OpId, Source};
use bitfitech_core::view::{Change, Digests};
use bitfitech_io::config::LatePolicy;
use tokio::sync::oneshot;

use crate::child::{Child, ChildContext, ExitNote, Started};
use crate::context::NodeContext;
use crate::gossip::{Applied, AppliedOperation, Faulty, FindGap, Lacking, MatcherUp};
use crate::mailbox::Data;
pub use crate::matcher_history::{AskHistory, Snapshot, SnapshotReply};
use crate::matcher_journal::Journal;
use crate::matcher_pace::Pace;
use crate::matcher_sightings::Sightings;
pub use crate::matcher_sightings::{AskMayWrite, AskPath, OrderPath, Sighting};
use crate::matcher_submission::{self, Acknowledgement, Placing, Submission, Submit};
use crate::membership;
use crate::messages::Answer;
use crate::orderbook::Update;
use crate::store::Load;
use crate::supervised;
use crate::trade_news;

/// How long the store may take for a batch or a page.
pub(crate) const STORE_MS: u64 = 30_000;

/// How long until the store is asked again after it did not answer.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(100);

/// Least time between two merges for what others have written: what comes late by less is put into
/// its place once, and not undone and done again with every frame. A guess.
const MERGE_PAUSE: Duration = Duration::from_millis(10);

/// With so many own pairs of orders to settle a node lets new orders wait, and nothing else: those
/// that it has would not be confirmed in time, be refused for that, and match again. A guess: a
/// dozen operations.
const BACKLOG_MAX: usize = 512;

/// Operations from a peer, signatures checked.
#[derive(Debug)]
pub struct Delivery {
    /// Where from.
    pub source: Source,
    /// The operations.
    pub operations: Vec<Verified>,
}

/// What peers pushed and was checked together, on the data lane.
#[derive(Debug)]
pub struct Deliver(pub Vec<Delivery>);

/// A query: a page that was pulled; the answer is how many operations the set gained by it.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct DeliverPage(pub Delivery);

/// A session ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LinkDown(pub LinkId);

/// Peers have come or gone: the clock that counts from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseClock(pub GatingClock);

/// The orderbook wants the digest of that book, with its next update.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TellDigest(pub MarketIndex);

/// A query: all digests.
#[derive(Message)]
#[rtype(result = "Digests")]
pub struct AskDigests;

/// A query: vector clocks.
#[derive(Message)]
#[rtype(result = "Answer")]
pub struct AskClock(pub crate::command_model::ClockQuery);

/// A query: numbers about the set and what waits for it.
#[derive(Message)]
#[rtype(result = "Vec<(String, u64)>")]
pub struct AskStats;

/// To itself: the mailbox has been emptied, so merge, write and answer.
#[derive(Message)]
#[rtype(result = "()")]
struct Settle;

/// The exchange as it runs here.
pub(crate) type NodeExchange = Exchange<Book>;

/// The actor.
pub struct MatcherActor {
    pub(crate) node: Arc<NodeContext>,
    exit: ExitNote,
    own_chain: OwnChain,
    pub(crate) exchange: NodeExchange,
    clock: GatingClock,
    settling: Settling,
    /// When it was last merged.
    settled: Option<Instant>,
    pub(crate) journal: Journal,
    pub(crate) pace: Pace,
    /// Users whose actions are in no operation yet.
    submissions: VecDeque<Submission>,
    /// Users whose operation is not on disk yet.
    unacknowledged: BTreeMap<OpId, Vec<Acknowledgement>>,
    pub(crate) update_number: u64,
    pub(crate) orderbook: OrderbookLink,
    /// Books whose digests the orderbook wants.
    digests_asked: BTreeSet<MarketIndex>,
    pub(crate) sightings: Sightings,
}

/// Whether a [`Settle`] is in the mailbox.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settling {
    Idle,
    /// A timer will ask for it.
    Later,
    Queued,
}

/// Whether the orderbook has got every update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderbookLink {
    Fresh,
    /// An update was dropped: the next one will make it ask for all.
    Stale,
}

impl MatcherActor {
    /// An actor that has read nothing yet.
    pub fn new(node: Arc<NodeContext>, child: ChildContext) -> Self {
        // A later life of this actor reads what this process wrote.
        let own_chain = match child.generation {
            1 => node.own_chain,
            _ => OwnChain::Complete,
        };
        Self {
            exchange: empty_exchange(&node),
            own_chain,
            node,
            exit: child.exit,
            clock: GatingClock::default(),
            settling: Settling::Idle,
            settled: None,
            journal: Journal::new(0),
            pace: Pace::default(),
            submissions: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            update_number: 0,
            orderbook: OrderbookLink::Fresh,
            digests_asked: BTreeSet::new(),
            sightings: Sightings::default(),
        }
    }

    /// The clock by which operations are dated and parked.
    pub(crate) fn now(&self) -> Now {
        self.clock.gating(self.node.clock.now())
    }

    /// Asks for a [`Settle`] behind everything that is in the mailbox now.
    pub(crate) fn settle_soon(&mut self, context: &mut Context<Self>) {
        if self.settling != Settling::Queued {
            self.settling = Settling::Queued;
            context.notify(Settle);
        }
    }

    /// Asks for a [`Settle`] after that time, unless one is asked for already.
    fn settle_later(&mut self, wait: Duration, context: &mut Context<Self>) {
        if self.settling == Settling::Idle {
            self.settling = Settling::Later;
            context.run_later(wait, |actor, context| {
                if actor.settling == Settling::Later {
                    actor.settling = Settling::Idle;
                    actor.settle_soon(context);
                }
            });
        }
    }

    /// Takes operations of peers in; how many were new.
    fn receive(&mut self, deliveries: Vec<Delivery>, context: &mut Context<Self>) -> u64 {
        let before = self.exchange.dag().len();
        let now = self.now();
        for Delivery { source, operations } in deliveries {
            if self.journal.is_full() {
                tracing::warn!(target: "matcher", "the disk is behind: operations of a peer wait");
                self.ask_for_gap(source.link);
                continue;
            }
            self.exchange.receive(now, source, operations);
        }
        self.handle_outputs(context);
        let pause = self
            .settled
            .and_then(|at| MERGE_PAUSE.checked_sub(at.elapsed()));
        match pause {
            Some(pause) => self.settle_later(pause, context),
            None => self.settle_soon(context),
        }
        (self.exchange.dag().len() - before) as u64
    }

    fn ask_for_gap(&self, link: LinkId) {
        // A gossip actor that is down synchronises with everybody when it is up again.
        drop(self.node.refs.gossip.control(FindGap(link)));
    }

    /// Does everything that the exchange wants done.
    pub(crate) fn handle_outputs(&mut self, context: &mut Context<Self>) {
        let mut applied = Vec::new();
        let mut have_members_changed = false;
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Persist { index, operation } => {
                    self.record(u64::from(index.0), &operation);
                }
                Output::Relay { operation, from } => {
                    let id = operation.id();
                    let way = from.map_or("written here", |source| source.via.name());
                    if from.is_some() && operation.body().author == self.exchange.author() {
                        warn_of_own(&id);
                    }
                    tracing::debug!(target: "matcher", "applied operation {} ({way})", id.short());
                    self.note_sighting(&id, from);
                    applied.push(AppliedOperation {
                        id,
                        author: operation.body().author,
                        wire: Arc::clone(operation.wire()),
                        source: from,
                    });
                }
                Output::Written(id) => self.acknowledge(&id),
                Output::Changed(changes) => self.update_orderbook(changes, None),
                Output::Lacking { link, ancestors } => {
                    // A gossip actor that is down synchronises with everybody when it is up again.
                    drop(self.node.refs.gossip.control(Lacking { link, ancestors }));
                }
                Output::Gap(link) => self.ask_for_gap(link),
                Output::Invalid { link, id, error } => {
                    let reason = error.to_string();
                    drop(self.node.refs.gossip.control(Faulty { link, id, reason }));
                }
                Output::Membership => have_members_changed = true,
                Output::Forked {
                    author,
                    first,
                    second,
                } => {
                    tracing::warn!(
                        target: "matcher",
                        "author {} forked his chain: operations {} and {} have the same place",
                        author.short(),
                        first.short(),
                        second.short()
                    );
                    self.update_orderbook(Vec::new(), Some(author));
                }
            }
        }
        if have_members_changed {
            membership::publish(&self.node, &self.exchange);
        }
        if !applied.is_empty() {
            // A gossip actor that is down catches up by synchronisation.
            drop(self.node.refs.gossip.control(Applied(applied)));
        }
        self.tell_digests();
        self.write(context);
    }

    /// Tells the orderbook what is different.
    fn update_orderbook(&mut self, changes: Vec<Change>, forked: Option<AuthorKey>) {
        self.send_update(Update {
            reasons: trade_news::reasons(&self.exchange, &changes),
            changes,
            forked,
            ..Update::default()
        });
    }

    /// Sends the digests that were asked for, unless changes wait for an own confirmation to be on
    /// disk: the orderbook has to know those first, or it shows a book with the digest of another.
    fn tell_digests(&mut self) {
        if self.digests_asked.is_empty() || self.exchange.held_changes() > 0 {
            return;
        }
        let replica = self.exchange.replica();
        let asked = std::mem::take(&mut self.digests_asked).into_iter();
        let digests = asked.map(|market| (market, replica.book_digest(market)));
        self.send_update(Update {
            digests: digests.collect(),
            ..Update::default()
        });
    }

    /// Gives an update its number, and sends it.
    fn send_update(&mut self, update: Update) {
        self.update_number += 1;
        let number = self.update_number;
        let sent = self
            .node
            .refs
            .orderbook
            .try_data(Update { number, ..update });
        self.orderbook = match sent {
            Ok(()) => OrderbookLink::Fresh,
            Err(_) => OrderbookLink::Stale,
        };
    }

    /// Merges, writes what is wanted, settles if it is time for it, and does what follows.
    fn settle(&mut self, context: &mut Context<Self>) {
        let now = self.now();
        self.settled = Some(Instant::now());
        self.exchange
            .settle_not_before(self.pace.settle_from_ms(now));
        self.exchange.handle_tick(now);
        self.submit_waiting(now);
        self.handle_outputs(context);
        if self.orderbook == OrderbookLink::Stale {
            self.update_orderbook(Vec::new(), None);
        }
    }

    /// Writes operations for the users who wait, one per write to the disk.
    fn submit_waiting(&mut self, now: Now) {
        let may_write = self.exchange.may_write(now).is_ok();
        let fills_one = self.submissions.len() >= ACTIONS_MAX;
        let is_too_soon = now.monotonic_ms < self.pace.orders_from_ms(now) && !fills_one;
        if !may_write || is_too_soon || self.journal.is_writing() {
            return;
        }
        let placing = self.placing(now);
        let (exchange, waiting) = (&mut self.exchange, &mut self.submissions);
        if let Some((id, users)) = matcher_submission::write_batch(exchange, now, waiting, placing)
        {
            let count = users.len();
            tracing::debug!(target: "matcher", "wrote operation {} for {count} users", id.short());
            self.unacknowledged.insert(id, users);
        }
    }

    /// Whether the node can settle what it has, so that it may place orders.
    fn placing(&self, now: Now) -> Placing {
        if self.exchange.settlement_backlog(now, BACKLOG_MAX) == BACKLOG_MAX {
            Placing::Waits
        } else {
            Placing::Open
        }
    }

    /// An own operation is on disk: tells those who wait for it.
    fn acknowledge(&mut self, id: &OpId) {
        for user in self.unacknowledged.remove(id).unwrap_or_default() {
            user.tell(&self.exchange);
        }
    }

    /// Reads the whole store; nothing else is handled until that is done.
    fn load(&mut self, started: Started, context: &mut Context<Self>) {
        let loading = load_exchange(Arc::clone(&self.node));
        let loaded = loading.into_actor(self).map(|exchange, actor, context| {
            match exchange {
                Ok(exchange) => actor.on_loaded(exchange, context),
                Err(reason) => {
                    actor.exit.fail(reason);
                    actix::ActorContext::stop(context);
                }
            }
            started.report();
        });
        context.wait(loaded);
    }

    fn on_loaded(&mut self, mut exchange: NodeExchange, context: &mut Context<Self>) {
        exchange.handle_restored(self.now(), self.own_chain);
        let operations = exchange.dag().len() as u64;
        self.journal = Journal::new(operations);
        self.exchange = exchange;
        if operations > 0 {
            tracing::info!(target: "matcher", operations, "books are rebuilt from the store");
        }
        // A gossip actor that is not up yet synchronises when it is.
        drop(self.node.refs.gossip.control(MatcherUp));
        let tick = Duration::from_millis(self.node.settings.exchange.tick_ms);
        context.run_interval(tick, |actor, context| {
            let now = actor.now();
            let due = actor.exchange.next_deadline_ms(now);
            let is_due = due.is_some_and(|due_ms| due_ms <= now.monotonic_ms);
            if is_due || !actor.submissions.is_empty() || actor.orderbook == OrderbookLink::Stale {
                actor.settle_soon(context);
            }
        });
    }
}

/// An operation of the own key came from a peer: this process did not write it, or forgot it.
fn warn_of_own(id: &OpId) {
    tracing::warn!(
        target: "matcher",
        "operation {} of this node's own key came from a peer: the store was restored or lost, and \
         is mended; if not, a copy of the key is in use elsewhere: stop that node, or both fork",
        id.short()
    );
}

/// An exchange without operations.
fn empty_exchange(node: &NodeContext) -> NodeExchange {
    let key = *node.identity.signing_key();
    let mut exchange = Exchange::new(node.genesis.clone(), key, Book::new);
    let settings = &node.settings.exchange;
    exchange.settle_by_itself(SettlementConfig {
        settle_ms: settings.settle_ms,
        release_ms: settings.release_ms,
        late_policy: match settings.late_policy {
            LatePolicy::Settle => settlement::LatePolicy::Settle,
            LatePolicy::Refuse => settlement::LatePolicy::Refuse,
        },
    });
    exchange
}

/// Reads the store from its beginning.
async fn load_exchange(node: Arc<NodeContext>) -> Result<NodeExchange, String> {
    let mut exchange = empty_exchange(&node);
    // What is unanswered in the store gets its full time from now on.
    exchange.handle_tick(node.clock.now());
    loop {
        let from = exchange.dag().len() as u64;
        let page = match node.refs.store.query(Load { from }, STORE_MS).await {
            Ok(page) => page?,
            Err(error) => {
                tracing::debug!(target: "matcher", "the store does not answer yet: {error}");
                actix_rt::time::sleep(STORE_RETRY).await;
                continue;
            }
        };
        if page.is_empty() {
            return Ok(exchange);
        }
        for (index, wire) in page {
            exchange
                .restore(&wire)
                .map_err(|error| format!("operation {index} of the store: {error}"))?;
        }
    }
}

impl Actor for MatcherActor {
    type Context = Context<Self>;
}

impl Child for MatcherActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        self.load(started, context);
    }

    fn on_stop(&mut self, context: &mut Context<Self>) {
        self.stop_when_written(context);
    }
}
supervised!(MatcherActor);

impl Handler<Data<Deliver>> for MatcherActor {
    type Result = ();

    fn handle(&mut self, data: Data<Deliver>, context: &mut Context<Self>) {
        self.receive(data.message.0, context);
    }
}

impl Handler<DeliverPage> for MatcherActor {
    type Result = u64;

    fn handle(&mut self, page: DeliverPage, context: &mut Context<Self>) -> u64 {
        self.receive(vec![page.0], context)
    }
}

impl Handler<Settle> for MatcherActor {
    type Result = ();

    fn handle(&mut self, _settle: Settle, context: &mut Context<Self>) {
        self.settling = Settling::Idle;
        self.settle(context);
    }
}

impl Handler<LinkDown> for MatcherActor {
    type Result = ();

    fn handle(&mut self, down: LinkDown, _context: &mut Context<Self>) {
        self.exchange.handle_link_down(down.0);
    }
}

impl Handler<UseClock> for MatcherActor {
    type Result = ();

    fn handle(&mut self, clock: UseClock, context: &mut Context<Self>) {
        self.clock = clock.0;
        self.settle_soon(context);
    }
}

impl Handler<Submit> for MatcherActor {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, submit: Submit, context: &mut Context<Self>) -> Self::Result {
        let waiting = self.submissions.len() + self.unacknowledged.len();
        if let Err(overloaded) = matcher_submission::check_room(&submit, waiting) {
            return Box::pin(async move { Err(overloaded) });
        }
        let (tell, answer) = oneshot::channel();
        self.submissions.push_back(Submission { submit, tell });
        self.settle_soon(context);
        Box::pin(async move {
            answer
                .await
                .unwrap_or_else(|_| Err(matcher_submission::lost()))
        })
    }
}

impl Handler<TellDigest> for MatcherActor {
    type Result = ();

    fn handle(&mut self, tell: TellDigest, _context: &mut Context<Self>) {
        self.digests_asked.insert(tell.0);
        self.tell_digests();
    }
}

impl Handler<AskDigests> for MatcherActor {
    type Result = MessageResult<AskDigests>;

    fn handle(&mut self, _ask: AskDigests, context: &mut Context<Self>) -> Self::Result {
        let digests = self.exchange.digests();
        self.handle_outputs(context);
        MessageResult(digests)
    }
}

impl Handler<AskClock> for MatcherActor {
    type Result = Answer;

    fn handle(&mut self, ask: AskClock, _context: &mut Context<Self>) -> Answer {
        matcher_submission::clock(&self.exchange, ask.0)
    }
}

impl Handler<AskStats> for MatcherActor {
    type Result = MessageResult<AskStats>;

    fn handle(&mut self, _ask: AskStats, _context: &mut Context<Self>) -> Self::Result {
        let exchange = &self.exchange;
        let numbers = [
            ("operations", exchange.dag().len()),
            ("operations_on_disk", exchange.persisted()),
            ("operations_waiting", exchange.delivery().waiting_len()),
            ("operations_parked", exchange.delivery().parked_len()),
            ("orders", exchange.replica().order_count()),
            ("forked_authors", exchange.dag().forkers().count()),
        ];
        let evicted = ("operations_evicted", exchange.delivery().evicted());
        let numbers = numbers.map(|(name, number)| (name, number as u64));
        let all = numbers.into_iter().chain([evicted]);
        MessageResult(
            all.map(|(name, number)| (name.to_string(), number))
                .collect(),
        )
    }
}
