//! The replica: the set of applied operations, and all markets as they follow from it.
//!
//! The state is a pure function of a set, but operations arrive in any order. So the replica does
//! what Bayou and Time Warp did: it keeps the actions of each market sorted by their
//! [`LogKey`](crate::order_log::LogKey), and when one arrives that belongs further back it takes
//! back everything behind that place, puts the new one in, and does the rest again. What has
//! changed for users is the *difference* between before and after, and only that is reported.
//!
//! Many operations that arrive together are merged together: one undo, one redo.
//!
//! Sources: Terry et al., "Managing update conflicts in Bayou" (1995); Jefferson, "Virtual time"
//! (1985).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

use crate::confirmation::{OrderPair, PairTerms};
use crate::dag::{Dag, OpIndex};
use crate::effect_log::Trace;
use crate::genesis::Genesis;
use crate::lifetimes::{Lifetimes, Mortal, Sign, Turn};
use crate::market_log::{Alteration, Deed, LogEntry, MarketLog, merge_sorted};
use crate::market_terms::NewTerms;
use crate::matching::{Engine, Level, Owner, Slot};
use crate::op::{Action, Operation};
use crate::order_log::{self, Position};
use crate::order_table::OrderTable;
use crate::types::{AuthorKey, Digest, MarketIndex, OpId, OrderId, Side};
use crate::view::{Change, OrderRow};

mod execution;
mod expulsions;
mod log_digests;
mod promises;
mod revision;
mod tape;

use self::expulsions::{Expulsions, Turn as MemberTurn};
use self::log_digests::HashedLog;
use self::revision::Revision;
pub use self::revision::ShownTrade;
use self::tape::{Amendments, UndoneFill};

/// What was taken back, to be compared with what comes in its place.
#[derive(Default)]
struct Undone {
    /// The actions, in order.
    entries: Vec<LogEntry>,
    /// How many actions before them were done again, for the engine does not go back so far.
    rebuilt: usize,
    /// What they traded, in order.
    fills: Vec<UndoneFill>,
}

/// The digests of all markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDigests {
    /// All resting orders.
    pub book: Digest,
    /// All trades, tentative and final.
    pub trades: Digest,
    /// What became of every order.
    pub orders: Digest,
}

/// The operations and all markets of a network.
pub struct Replica<E> {
    genesis: Digest,
    bucket_ms: u32,
    lifetimes: Lifetimes,
    expulsions: Expulsions,
    markets: Vec<MarketLog<E>>,
    /// Of each market.
    hashed: Vec<HashedLog>,
    orders: OrderTable,
    /// Orders that expire, and those that replaced them.
    mortal: BTreeSet<Slot>,
    amendments: Amendments,
}

impl<E: Engine> Replica<E> {
    /// An empty replica with one engine per market. The secret keeps peers from choosing ids that
    /// are slow to find; it changes nothing that can be seen.
    pub fn new(genesis: &Genesis, secret: &[u8; 32], engines: impl IntoIterator<Item = E>) -> Self {
        Self {
            genesis: genesis.digest(),
            bucket_ms: genesis.bucket_ms,
            lifetimes: Lifetimes::new(genesis.bucket_ms, genesis.lease_ms),
            expulsions: Expulsions::default(),
            markets: engines
                .into_iter()
                .map(|engine| MarketLog::new(engine, genesis.bucket_ms))
                .collect(),
            hashed: genesis.markets.iter().map(|_| HashedLog::new()).collect(),
            orders: OrderTable::new(Dag::new(genesis.bucket_ms, secret)),
            mortal: BTreeSet::new(),
            amendments: Amendments::new(),
        }
    }

    /// The set of applied operations.
    pub fn dag(&self) -> &Dag {
        &self.orders.operations
    }

    /// The same, for what remembers digests that it was asked for.
    pub(crate) fn dag_mut(&mut self) -> &mut Dag {
        &mut self.orders.operations
    }

    /// An order by its id.
    pub fn order(&self, id: &OrderId) -> Option<OrderRow> {
        self.orders.get(id)
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub fn orders_between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = OrderRow> {
        self.orders.between(low, high)
    }

    /// The orders of an author that came last, at most so many of each market.
    pub fn last_orders_of(
        &self,
        author: AuthorKey,
        limit: usize,
    ) -> impl Iterator<Item = OrderRow> {
        self.seats_of(author).flat_map(move |seats| {
            let seats = seats.flatten().rev();
            let orders = seats.filter_map(|seat| self.orders.get_at(Slot(seat)));
            orders.take(limit)
        })
    }

    /// The orders of an author that are not over, by market and in the order in which they came.
    pub fn open_orders_of(&self, author: AuthorKey) -> impl Iterator<Item = OrderRow> {
        let seats = self.seats_of(author).flatten();
        let open = seats.flat_map(|seats| self.orders.open_among(seats));
        open.filter_map(|seat| self.orders.get_at(seat))
    }

    /// The seats of an author's orders in each market.
    fn seats_of(
        &self,
        author: AuthorKey,
    ) -> impl Iterator<Item = impl DoubleEndedIterator<Item = Range<u32>>> {
        let owner = self.orders.operations.owner(&author);
        let markets = (0..self.markets.len()).map(market_index);
        owner.into_iter().flat_map(move |owner| {
            let markets = markets.clone();
            markets.map(move |market| self.orders.seats_of(owner, market))
        })
    }

    /// How many orders there have been.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// The best `depth` levels of a side of a market.
    pub fn levels(&self, market: MarketIndex, side: Side, depth: usize) -> Vec<Level> {
        self.markets[usize::from(market.0)]
            .engine
            .levels(side, depth)
    }

    /// Digest of the resting orders of one market.
    pub fn book_digest(&self, market: MarketIndex) -> Digest {
        self.markets[usize::from(market.0)].engine.state_hash()
    }

    /// The digests of all that follows from what was merged.
    pub fn digests(&self) -> ReplicaDigests {
        let books = self.markets.iter().map(|market| market.engine.state_hash());
        let hashed = self.hashed.iter().zip(&self.markets);
        let (trades, orders): (Vec<Digest>, Vec<Digest>) = hashed
            .map(|(hashed, market)| hashed.digests(market, &self.orders).into())
            .unzip();
        ReplicaDigests {
            book: digest_of("bitfitech books 1", books),
            trades: digest_of("bitfitech trades 2", trades),
            orders: digest_of("bitfitech orders 2", orders),
        }
    }

    /// Does some of the work of [`Replica::digests`] in advance: looks at no more than `limit`
    /// actions of a market.
    pub fn prepare_digests(&mut self, limit: usize) {
        for (hashed, market) in self.hashed.iter_mut().zip(&self.markets) {
            hashed.advance(market, &self.orders, limit);
        }
    }

    /// How many bytes of memory the history takes, about, without the set of operations itself:
    /// logs, orders, and what the engines need to undo. The books themselves are not counted.
    pub fn memory_bytes(&self) -> usize {
        let markets = self.markets.iter().map(MarketLog::memory_bytes);
        markets.sum::<usize>() + self.orders.memory_bytes()
    }

    /// Takes an operation into the set that [`Dag::admit`] found ready, so many milliseconds later
    /// than its time; it has no effect on the books before [`Replica::merge`].
    pub fn insert(&mut self, operation: &Operation, late_ms: u64) -> OpIndex {
        let (place, seats) = self.orders.add(operation, late_ms);
        self.stage(operation, place, seats);
        place
    }

    /// Stages the actions of an operation with the seats of their orders.
    fn stage(&mut self, operation: &Operation, place: OpIndex, seats: Range<u32>) {
        let body = operation.body();
        let (owner, position) = (self.dag().author(place), self.dag().position(place));
        let keys = order_log::keys(self.genesis, operation.id(), body, position);
        let addressed = body.actions.iter().filter_map(|action| match action {
            Action::Cancel { order, .. } | Action::Replace { order, .. } => Some(order),
            _ => None,
        });
        self.orders.prepare(addressed);
        for market in self.orders.markets(seats.clone()) {
            let market = &mut self.markets[usize::from(market.0)];
            market.reserve(body.actions.len());
        }
        let mut turns = Vec::new();
        self.live(operation, (owner, place), seats.clone(), &mut turns);
        let mut seats = seats.map(Slot);
        self.turn_members(operation, (owner, place), position);
        for key in keys {
            let action = &body.actions[usize::from(key.index)];
            let market = action
                .market()
                .expect("what has a place in the order has a market");
            let market = &mut self.markets[usize::from(market.0)];
            let deed = match *action {
                Action::Place(_) => Deed::Place,
                Action::Cancel { order, .. } => {
                    Deed::Cancel(market.address(order, self.orders.find(&order)))
                }
                Action::Replace {
                    order,
                    side,
                    price,
                    quantity,
                    ..
                } => {
                    let order = market.address(order, self.orders.find(&order));
                    market.replace(Alteration {
                        order,
                        side,
                        price,
                        quantity,
                    })
                }
                Action::Confirm(_)
                | Action::Decline { .. }
                | Action::Release { .. }
                | Action::Member { .. } => unreachable!("they have no place in the order"),
            };
            let own = match action {
                Action::Place(_) | Action::Replace { price: Some(_), .. } => {
                    seats.next().expect("a seat was reserved")
                }
                _ => Slot::NONE,
            };
            let entry = LogEntry::new(&key, place, own, deed);
            market.stage(entry);
        }
        for (market, entry) in turns {
            self.markets[usize::from(market.0)].stage(entry);
        }
    }

    /// Notes what an operation means for the standing of authors: it changes some, or is the first
    /// of one whose standing was changed before.
    fn turn_members(
        &mut self,
        operation: &Operation,
        (owner, place): (Owner, OpIndex),
        position: Position,
    ) {
        let body = operation.body();
        for (index, action) in (0..).zip(&body.actions) {
            let Some((author, change)) = action.member() else {
                continue;
            };
            let turn = MemberTurn {
                change,
                time: body.time,
                operation: operation.id(),
                bucket: position.bucket,
                entry: (place, index),
                is_told: false,
            };
            self.expulsions.insert(*author, turn);
            if let Some(known) = self.orders.operations.owner(author) {
                self.tell_standing(author, known);
            }
        }
        self.tell_standing(&body.author, owner);
    }

    /// Tells the logs what they have not been told of an author's standing.
    fn tell_standing(&mut self, author: &AuthorKey, owner: Owner) {
        for entry in self.expulsions.tell(author, owner) {
            for market in &mut self.markets {
                market.stage(entry);
            }
        }
    }

    /// Notes what an operation means for the ends of orders: its author is alive, and some of its
    /// own may expire.
    fn live(
        &mut self,
        operation: &Operation,
        (owner, place): (Owner, OpIndex),
        seats: Range<u32>,
        turns: &mut Vec<Turn>,
    ) {
        let body = operation.body();
        let made = self.orders.markets(seats.clone());
        let sign = Sign {
            owner,
            operation: place,
            time_ms: body.time.unix_ms(),
        };
        let operations = &self.orders.operations;
        self.lifetimes.insert(&sign, made, operations, turns);
        let mut seats = seats.map(Slot);
        for (index, action) in (0..).zip(&body.actions) {
            let seat = match action {
                Action::Place(_) | Action::Replace { price: Some(_), .. } => seats.next(),
                _ => None,
            };
            if let (Action::Place(terms), Some(seat)) = (action, seat)
                && let Some(expires_ms) = terms.expires_ms
            {
                let made_by = (place, index);
                let order = Mortal { seat, made_by };
                self.mortal.insert(seat);
                self.lifetimes
                    .expire(terms.market, order, expires_ms, turns);
            }
        }
    }

    /// Takes in what was signed about a pair of orders; it has no effect before
    /// [`Replica::merge`]. `cause` is the operation by which it is so.
    pub fn stage_terms(
        &mut self,
        market: MarketIndex,
        pair: OrderPair,
        terms: PairTerms,
        cause: OpId,
    ) {
        let orders = [pair.low, pair.high].map(|order| {
            let slot = self.orders.find(&order);
            slot.expect("what is signed about is in the set")
        });
        let new = NewTerms {
            orders,
            terms,
            cause,
        };
        self.markets[usize::from(market.0)].stage_terms(pair, new);
    }

    /// Whether terms of a pair were staged that no merge has taken yet.
    pub fn has_staged(&self, market: MarketIndex, pair: OrderPair) -> bool {
        self.markets[usize::from(market.0)].has_staged_terms(&pair)
    }

    /// How many actions and terms of pairs were staged since the last merge.
    pub fn staged_count(&self) -> usize {
        self.markets.iter().map(MarketLog::staged_count).sum()
    }

    /// Merges what was staged into the logs and reports what is different now.
    ///
    /// What does not belong at the end of a log may have to wait in a lane (see
    /// [`crate::market_log`] and [`Replica::next_merge_ms`]).
    pub fn merge(&mut self, now_ms: u64) -> Vec<Change> {
        self.merge_taken(Some(now_ms))
    }

    /// Merges all that was staged, however far back it belongs.
    pub fn merge_all(&mut self) -> Vec<Change> {
        self.merge_taken(None)
    }

    /// Merges what was staged in each market: all of it, or what is due at a time.
    fn merge_taken(&mut self, now_ms: Option<u64>) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.markets.len() {
            let market = &mut self.markets[index];
            if !market.has_due(now_ms) {
                continue;
            }
            let incoming = market.take_entries(&self.orders.operations, now_ms);
            let revisions = self.take_revisions(index, &incoming, now_ms);
            let undone = self.merge_market(index, incoming, revisions, &mut changes);
            self.markets[index].lanes.note_undone(undone, now_ms);
        }
        changes
    }

    /// When what the last merge left in a lane is due. What was staged since then is due
    /// whenever the caller merges.
    pub fn next_merge_ms(&self) -> Option<u64> {
        self.markets
            .iter()
            .filter_map(MarketLog::next_merge_ms)
            .min()
    }

    /// Undo to the first place where something is new, merge, redo, and compare. Tells how many
    /// actions were taken back.
    fn merge_market(
        &mut self,
        index: usize,
        incoming: Vec<LogEntry>,
        revisions: Vec<Revision>,
        changes: &mut Vec<Change>,
    ) -> usize {
        // Mostly an action is news of at most two orders and of a trade.
        changes.reserve(3 * incoming.len());
        let operations = &self.orders.operations;
        let with_cause = |entry: &LogEntry| (*entry, operations.id(entry.operation));
        let incoming_first = incoming.first().map(with_cause);
        let back_to = revisions.iter().filter_map(Revision::back_to_with_cause);
        let back_to = back_to.chain(incoming_first);
        let back_to = back_to.min_by(|(first, _), (second, _)| first.order(second, operations));
        let Some((back_to, cause)) = back_to else {
            self.adopt(index, self.markets[index].log.len(), revisions, changes);
            return 0;
        };
        let undone = self.undo_behind(index, &back_to);
        let undone_count = undone.entries.len() + undone.rebuilt;
        let first = self.markets[index].log.len();
        let final_before = self.adopt(index, first, revisions, changes);
        let withdrawn = |entry: &LogEntry| matches!(entry.deed, Deed::Withdraw(_));
        let withdrawn: Vec<LogEntry> = incoming.iter().copied().filter(withdrawn).collect();
        let operations = &self.orders.operations;
        // Where the traces of the entry before `first` end, until these are executed.
        let traces_from = self.markets[index].next_trace();
        let log = &mut self.markets[index].log;
        merge_sorted(undone.entries, incoming, operations)
            .filter(|entry| withdrawn.iter().all(|gone| !entry.is_withdrawn_by(gone)))
            .for_each(|mut entry| {
                entry.traces_from = traces_from;
                log.push(entry);
            });
        self.renew_promises(index, first);
        self.execute_from(index, first);
        let undone = (&*undone.fills, &final_before);
        self.report_trades(index, (first, cause), undone, changes);
        self.orders.report(changes);
        undone_count
    }

    /// Takes back every action behind an entry that is not in the log.
    fn undo_behind(&mut self, index: usize, entry: &LogEntry) -> Undone {
        let mut undone = Undone::default();
        let market = &mut self.markets[index];
        let operations = &self.orders.operations;
        let is_before = |other: &LogEntry| other.is_before(entry, operations);
        if market.log.last().is_none_or(|last| is_before(&last)) {
            return undone;
        }
        let from = market.log.partition_point(is_before);
        let (mark, traces_from) = (market.log.at(from).mark(), market.log.at(from).traces_from);
        undone.entries.reserve(market.log.len() - from);
        undone
            .fills
            .reserve(market.traces.len() - traces_from as usize);
        self.hashed[index].truncate(from);
        for _ in from..market.log.len() {
            let entry = self.markets[index].log.pop().expect("it is in the log");
            self.unfold(index, &entry, |trace| {
                let taker = entry.own;
                undone.fills.extend(UndoneFill::of(taker, trace));
            });
            undone.entries.push(entry);
        }
        undone.entries.reverse();
        undone.fills.reverse();
        let engine = &mut self.markets[index].engine;
        if engine.can_undo_to(mark) {
            engine.undo_to(mark);
        } else {
            undone.rebuilt = self.rebuild(index);
        }
        undone
    }

    /// Takes back what the last action that is done did to the orders. Each trace of it is told,
    /// the last one first.
    fn unfold(&mut self, index: usize, entry: &LogEntry, mut tell: impl FnMut(&Trace)) {
        let market = &mut self.markets[index];
        while market.traces.len() > entry.traces_from as usize
            && let Some(trace) = market.traces.pop()
        {
            self.orders.unfold(&trace, entry.own);
            tell(&trace);
        }
        if entry.own != Slot::NONE {
            self.orders.leave(entry.own);
        }
    }

    /// Does the whole log of a market again from an empty book, which ends where it was. Tells how
    /// many actions that are.
    fn rebuild(&mut self, index: usize) -> usize {
        let actions = self.markets[index].log.len();
        for at in (0..actions).rev() {
            let entry = *self.markets[index].log.at(at);
            self.unfold(index, &entry, |_| {});
        }
        self.markets[index].engine.reset();
        self.execute_from(index, 0);
        actions
    }
}

/// The digest of one digest for each market.
fn digest_of(context: &str, of_markets: impl IntoIterator<Item = Digest>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for digest in of_markets {
        hasher.update(&digest.0);
    }
    Digest(hasher.finalize().into())
}

/// The market at this place in the genesis.
fn market_index(index: usize) -> MarketIndex {
    MarketIndex(u16::try_from(index).expect("a genesis has at most 256 markets"))
}
