//! Settlement: what a node signs of its own trades, and when, by itself.
//!
//! The rules of [`crate::confirmation`] say what a half means. This is the policy of one node:
//!
//! - the taker's node signs a trade that was shown unchanged in partner and price for the
//!   hold-down (`settle_ms`), with the quantity shown at its end;
//! - the maker's node answers at once, with the smaller of the half and what it shows;
//! - after an own cancel or replace, or the expiry of an order, a node signs only trades whose
//!   other order it had applied before, and refuses any other at once;
//! - a half of another for a trade that this node has not shown for the hold-down is refused, for
//!   until then it binds his order;
//! - a pair that no half completed within `release_ms` is refused: by the maker, and by whoever
//!   signed and got no answer;
//! - a pair with an order whose owner was not heard for a lease is refused at once, or after the
//!   hold-down if operations have come late just now; one with an order of a proven forker at once;
//! - a node that lets a half pass unanswered writes something afterwards, which gives it back;
//! - a node with resting orders shows every third of a lease that it is there, and moves the log
//!   clock when an order is overdue.
//!
//! Nothing here decides what is valid or what the books are: a node with another policy, or with
//! none, agrees with all others.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::confirmation::{Confirmations, OrderPair, SignedHalf};
use crate::dag::{Dag, OpIndex};
use crate::matching::Engine;
use crate::op::{Action, Body, Half, Operation, REFS_MAX};
use crate::replica::{Replica, ShownTrade};
use crate::types::{AuthorKey, Lots, MarketIndex, Now, OrderId, TradeId};
use crate::view::{Change, OrderRow, TradeStatus};

mod ends;
mod watched;

use self::ends::Ends;
use self::watched::{Pair, Watch, Watched};

/// An order that reaches a node this much later than its claimed time is late, in milliseconds.
/// Guess: beyond the delay of a network that spans the world.
pub const LATE_MS: u64 = 400;

/// How long before the end of the time for an answer a node no longer answers, in milliseconds: the
/// answer is dated by the writer's clock, which may have to follow others.
pub const ANSWER_MARGIN_MS: u64 = 100;

/// How long an order may be overdue before any node moves the log clock, in milliseconds.
pub const OVERDUE_MS: u64 = 1_000;

/// By how much nodes spread this, so that one does it for all, in milliseconds.
pub const OVERDUE_SPREAD_MS: u64 = 2_000;

/// Most confirmations and refusals of one operation. They take up to 100 bytes each, and the
/// actions of an operation at most 4,096.
pub(crate) const ACTIONS_OF_ONE: usize = 36;

/// How long until something that could not be written is tried again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// How long news waits for a merge, in milliseconds. A guess: a tick of a driver.
const NEWS_MS: u64 = 20;

/// How often orders are looked through for one that is overdue, in milliseconds: often enough for
/// [`OVERDUE_MS`].
const LOOK_MS: u64 = 500;

/// What there is after the start is taken in by so many changes at a time. A guess.
const CHANGES_AT_ONCE: usize = 1_024;

/// Refs of an operation that may carry proofs; one is for what the author saw last.
const PROOFS_MAX: usize = REFS_MAX - 1;

/// Whether trades with late orders are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatePolicy {
    /// After twice the hold-down.
    Settle,
    /// Never by itself.
    Refuse,
}

/// How a node settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettlementConfig {
    /// The hold-down, in milliseconds.
    pub settle_ms: u64,
    /// After how long a pair without a final trade is refused, in milliseconds.
    pub release_ms: u64,
    /// What to do about late orders.
    pub late_policy: LatePolicy,
}

impl Default for SettlementConfig {
    /// Guesses: a second covers the delays of an honest network several times, and a quarter of a
    /// minute is what a user can wait for.
    fn default() -> Self {
        Self {
            settle_ms: 1_000,
            release_ms: 15_000,
            late_policy: LatePolicy::Settle,
        }
    }
}

/// What settlement looks at.
pub(crate) struct Scene<'a, E> {
    pub(crate) dag: &'a Dag,
    pub(crate) replica: &'a Replica<E>,
    pub(crate) confirmations: &'a Confirmations,
    pub(crate) lease_ms: u64,
}

/// What to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Confirmations and refusals; empty for a heartbeat.
    pub(crate) actions: Vec<Action>,
    /// Operations to be named, so that what is confirmed is valid.
    pub(crate) refs: Vec<OpIndex>,
}

/// What is to be done about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing before this time on the monotonic clock; if it is `None`, before there is news.
    Wait(Option<u64>),
    /// It needs no attention any more.
    Forget,
    /// Confirm this much of the piece and at the price shown.
    Sign(ShownTrade, Lots),
    Refuse,
    /// Write something, for a half was not answered.
    Appear,
}

impl Step {
    /// If nothing is to be done, waits for whichever comes first.
    fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Wait(first), Self::Wait(second)) => {
                Self::Wait(first.into_iter().chain(second).min())
            }
            (step, _) => step,
        }
    }
}

/// The settlement of one node.
pub(crate) struct Settlement {
    config: SettlementConfig,
    own: AuthorKey,
    /// Own orders in the book.
    open: BTreeSet<OrderId>,
    ends: Ends,
    watched: Watched,
    /// Before this time nothing is due without news, on the monotonic clock.
    due_ms: Option<u64>,
    /// Since when there is news that was not looked at.
    news_ms: Option<u64>,
    /// When an operation came late last, or this life began, on the monotonic clock.
    last_late_ms: u64,
    /// Own open orders that expire, by time in Unix milliseconds.
    mortal: BTreeSet<(u64, OrderId)>,
    overdue: Overdue,
}

/// The order that is overdue next, whosever it is.
struct Overdue {
    /// When orders were last looked through, on the monotonic clock.
    looked_ms: u64,
    /// From when on this node would move the log clock, in Unix milliseconds.
    from_ms: Option<u64>,
    view: View,
}

/// Whether orders have changed since they were looked through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Fresh,
    Stale,
}

impl Settlement {
    /// The settlement of a node that has no orders yet.
    pub(crate) fn new(own: AuthorKey, config: SettlementConfig) -> Self {
        Self {
            config,
            own,
            open: BTreeSet::new(),
            ends: Ends::new(),
            watched: Watched::default(),
            due_ms: Some(0),
            news_ms: None,
            last_late_ms: 0,
            mortal: BTreeSet::new(),
            overdue: Overdue {
                looked_ms: 0,
                from_ms: None,
                view: View::Stale,
            },
        }
    }

    pub(crate) fn set_config(&mut self, config: SettlementConfig) {
        self.config = config;
        self.due_ms = Some(0);
    }

    /// Nothing could be written: tries again later.
    pub(crate) fn postpone(&mut self, now: Now) {
        self.due_ms = Some(now.monotonic_ms.saturating_add(RETRY_MS));
    }

    /// How many pairs are to be looked at, counted up to `most`: mostly to be signed or refused.
    pub(crate) fn due_count(&self, now: Now, most: usize) -> usize {
        self.watched.due_count(now, most)
    }

    /// When something may be due without news.
    ///
    /// News waits a little for company: mostly it comes with something to be merged, and then it
    /// is looked at after that.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let news_ms = self.news_ms.map(|at_ms| at_ms.saturating_add(NEWS_MS));
        self.due_ms.into_iter().chain(news_ms).min()
    }

    /// An operation has been applied.
    pub(crate) fn handle_applied(
        &mut self,
        now: Now,
        operation: &Operation,
        index: OpIndex,
        dag: &Dag,
    ) {
        if now.unix_ms > operation.body().time.unix_ms() + LATE_MS {
            self.last_late_ms = now.monotonic_ms;
        }
        if operation.body().author == self.own {
            self.ends.handle_own(operation, index, dag);
        }
        for action in &operation.body().actions {
            if let (Some(market), Some((own, other))) = (action.market(), action.pair()) {
                self.watch_own(now, market, OrderPair::new(own, other), dag);
            }
        }
    }

    /// The state has changed.
    pub(crate) fn handle_changes(&mut self, now: Now, changes: &[Change], dag: &Dag) {
        // Whoever's order has come or gone: it may be the next to be overdue.
        self.news_ms.get_or_insert(now.monotonic_ms);
        self.overdue.view = View::Stale;
        for change in changes {
            match change {
                Change::Order { row, .. } if row.author == self.own && row.ended.is_none() => {
                    self.open.insert(row.order);
                    let expires_ms = self.ends.expires_ms(&row.order, dag);
                    let mortal = expires_ms.map(|at_ms| (at_ms, row.order));
                    self.mortal.extend(mortal);
                }
                Change::Order {
                    row: OrderRow { order, .. },
                    ..
                }
                | Change::OrderGone(OrderRow { order, .. })
                    if self.open.remove(order) =>
                {
                    let expires_ms = self.ends.expires_ms(order, dag);
                    self.mortal.remove(&(expires_ms.unwrap_or(0), *order));
                    self.look_at(now, order);
                }
                _ => {}
            }
        }
        for change in changes {
            if let Change::Trade { trade, .. } = change {
                if trade.buyer == self.own {
                    self.watch_pair(now, trade.market, (trade.buy, trade.sell));
                }
                if trade.seller == self.own {
                    self.watch_pair(now, trade.market, (trade.sell, trade.buy));
                }
            }
        }
    }

    /// The own store has been read. Of what was confirmed then only what may still be open is to be
    /// looked at: a long history has more pairs than are watched.
    pub(crate) fn handle_restored<E: Engine>(&mut self, now: Now, scene: &Scene<'_, E>) {
        self.watched = Watched::default();
        self.last_late_ms = now.monotonic_ms;
        for (market, pair) in scene.confirmations.awaiting(scene.dag) {
            self.watch_own(now, market, pair, scene.dag);
        }
        let is_news = |change: &Change| match change {
            Change::Order { row, .. } => row.ended.is_none(),
            Change::Trade { trade, .. } => trade.status != TradeStatus::Final,
            Change::OrderGone(_) => false,
        };
        let mut changes = scene.replica.snapshot().filter(is_news).peekable();
        while changes.peek().is_some() {
            let some: Vec<Change> = changes.by_ref().take(CHANGES_AT_ONCE).collect();
            self.handle_changes(now, &some, scene.dag);
        }
    }

    /// There is news of a pair, one of which may be an own order.
    fn watch_own(&mut self, now: Now, market: MarketIndex, pair: OrderPair, dag: &Dag) {
        for own in [pair.low, pair.high] {
            if dag.author_of_order(&own) == Some(self.own) {
                self.watch_pair(now, market, (own, pair.other(&own)));
            }
        }
    }

    /// There is news of an own order and another one.
    fn watch_pair(&mut self, now: Now, market: MarketIndex, pair: Pair) {
        self.news_ms.get_or_insert(now.monotonic_ms);
        self.watched.note(now, market, pair);
    }

    /// All pairs of an own order are to be looked at.
    fn look_at(&mut self, now: Now, own: &OrderId) {
        let pairs = (*own, OrderId([0; 32]))..=(*own, OrderId([0xff; 32]));
        let pairs = self.watched.pairs.range(pairs).map(|(pair, _)| *pair);
        for pair in pairs.collect::<Vec<_>>() {
            self.watched.look_at(now, pair);
        }
    }

    /// What to write now, if anything is due. `body` is that of the next operation, still empty.
    pub(crate) fn poll_wish<E: Engine>(
        &mut self,
        now: Now,
        scene: &Scene<'_, E>,
        body: &Body,
    ) -> Option<Wish> {
        let is_quiet = self.due_ms.is_none_or(|due_ms| due_ms > now.monotonic_ms);
        if self.news_ms.take().is_none() && is_quiet {
            return None;
        }
        let mut wish = Wish::default();
        let mut appears = false;
        let due: Vec<Pair> = self.watched.due(now).collect();
        for pair in due {
            if wish.actions.len() >= ACTIONS_OF_ONE {
                // The next operation has room for the rest.
                break;
            }
            match self.step(now, scene, pair) {
                Step::Wait(at_ms) => self.watched.set_due(pair, at_ms),
                Step::Forget => self.watched.forget(&pair),
                Step::Appear => appears = true,
                Step::Refuse => wish.actions.push(Action::Decline {
                    market: self.watched.pairs[&pair].market,
                    own: pair.0,
                    other: pair.1,
                }),
                Step::Sign(trade, quantity) => {
                    let half = Half {
                        market: self.watched.pairs[&pair].market,
                        own: pair.0,
                        other: pair.1,
                        piece: trade.piece,
                        quantity,
                        price: trade.price,
                    };
                    if self.sign(scene, half, body, &mut wish) == Signing::Invalid {
                        let first_shown_ms = self.watched.pairs[&pair].first_shown_ms;
                        let refuse_ms = first_shown_ms.saturating_add(self.config.release_ms);
                        let again_ms = now.monotonic_ms.saturating_add(RETRY_MS);
                        if now.monotonic_ms >= refuse_ms {
                            wish.actions.push(half.refusal());
                        } else {
                            self.watched.set_due(pair, Some(again_ms.min(refuse_ms)));
                        }
                    }
                }
            }
        }
        let heartbeat_ms = self.heartbeat_ms(now, scene);
        // What is written for stays due: then it shows whether that was written.
        let pairs_ms = self.watched.next_due_ms();
        self.due_ms = pairs_ms.into_iter().chain(heartbeat_ms).min();
        let heartbeat = heartbeat_ms.is_some_and(|at_ms| at_ms <= now.monotonic_ms);
        let is_wanted = !wish.actions.is_empty() || !wish.refs.is_empty() || appears || heartbeat;
        is_wanted.then_some(wish)
    }

    /// What is to be done about a pair now.
    fn step<E: Engine>(&mut self, now: Now, scene: &Scene<'_, E>, (own, other): Pair) -> Step {
        let confirmations = scene.confirmations;
        let watch = self.watched.pairs.get_mut(&(own, other));
        let watch = watch.expect("it is watched");
        let trade = scene.replica.shown_trade(watch.market, &own, &other);
        let shown = trade.map(|trade| (trade.piece, trade.price));
        if watch.shown != shown {
            (watch.shown, watch.since_ms) = (shown, now.monotonic_ms);
        }
        let watch = watch.clone();
        let refused_own = confirmations.has_refused(&own, &other, scene.dag);
        let refused = refused_own || confirmations.has_refused(&other, &own, scene.dag);
        let release_at_ms = watch.first_shown_ms.saturating_add(self.config.release_ms);
        let appear = if refused_own {
            Step::Wait(None)
        } else {
            Self::appear_for(now, scene, &own, &other)
        };
        if appear == Step::Appear {
            return appear;
        }
        if let (Some(trade), false) = (trade, refused) {
            let trade = (trade, watch.since_ms, release_at_ms);
            return self
                .step_shown(now, scene, (own, other), trade)
                .or_sooner(appear);
        }
        let vain_at_ms = self.vain_at_ms(now, scene, (own, other), &watch);
        let waits_for_answer = Self::open_half(scene, &own, &other).is_some();
        let unanswered_at_ms = waits_for_answer.then_some(release_at_ms);
        let refuse_at_ms = vain_at_ms.into_iter().chain(unanswered_at_ms).min();
        if let (Some(at_ms), false) = (refuse_at_ms, refused) {
            return if now.monotonic_ms >= at_ms {
                Step::Refuse
            } else {
                Step::Wait(Some(at_ms)).or_sooner(appear)
            };
        }
        let is_done = refused || scene.confirmations.is_complete(&own, &other, scene.dag);
        match appear {
            Step::Wait(None) if is_done => Step::Forget,
            Step::Wait(None) if now.monotonic_ms >= release_at_ms => Step::Forget,
            Step::Wait(None) => Step::Wait(Some(release_at_ms)),
            later => later,
        }
    }

    /// The same for a pair with a trade that can still be confirmed.
    fn step_shown<E: Engine>(
        &self,
        now: Now,
        scene: &Scene<'_, E>,
        (own, other): Pair,
        (trade, since_ms, release_at_ms): (ShownTrade, u64, u64),
    ) -> Step {
        let is_over_time = now.monotonic_ms >= release_at_ms;
        let of_piece = |half: &SignedHalf| half.piece == trade.piece;
        let mine = scene.confirmations.halves(&own, &other, scene.dag);
        if mine.iter().any(of_piece) {
            return if is_over_time {
                Step::Refuse
            } else {
                Step::Wait(Some(release_at_ms))
            };
        }
        let rows = (scene.replica.order(&own), scene.replica.order(&other));
        let (Some(own_row), Some(other_row)) = rows else {
            return Step::Wait(None);
        };
        let is_forked = scene.dag.fork_of(&other_row.author).is_some();
        if is_forked || !self.ends.may_meet(&own, &other_row, scene.dag) {
            return Step::Refuse;
        }
        let is_late = own_row.late_ms.max(other_row.late_ms) > LATE_MS;
        let distrusts = is_late && self.config.late_policy == LatePolicy::Refuse;
        let theirs = scene.confirmations.halves(&other, &own, scene.dag);
        let answerable = theirs.into_iter().filter(of_piece).find(|half| {
            let until_ms = scene.confirmations.answer_until_ms(half);
            now.unix_ms.saturating_add(ANSWER_MARGIN_MS) <= until_ms
        });
        let most = answerable.map_or(trade.quantity, |half| half.quantity.min(trade.quantity));
        let is_taker = trade.taker == own;
        let silent_at_ms = Self::silent_from_ms(now, scene, &other_row.author);
        // What is found out while operations come late may be the beginning of a synchronisation.
        let found_ms = since_ms.min(self.last_late_ms);
        let silent_at_ms = silent_at_ms.max(found_ms.saturating_add(self.config.settle_ms));
        let refuse_at_ms = release_at_ms.min(silent_at_ms);
        if answerable.is_none() && now.monotonic_ms >= silent_at_ms {
            return Step::Refuse;
        }
        if is_taker && !distrusts {
            let hold_downs = if is_late { 2 } else { 1 };
            let settled_ms = since_ms.saturating_add(hold_downs * self.config.settle_ms);
            return if now.monotonic_ms >= settled_ms {
                Step::Sign(trade, most)
            } else {
                Step::Wait(Some(settled_ms))
            };
        }
        match answerable {
            Some(_) if !is_taker && !distrusts => Step::Sign(trade, most),
            _ if is_over_time => Step::Refuse,
            _ => Step::Wait(Some(refuse_at_ms)),
        }
    }

    /// From when on, on the monotonic clock, an author was not heard for a lease, if he stays
    /// silent: then nobody answers for his orders. Else each of the orders that he left behind
    /// would bind an order of this node for `release_ms`, one after the other.
    fn silent_from_ms<E: Engine>(now: Now, scene: &Scene<'_, E>, author: &AuthorKey) -> u64 {
        let owner = scene.dag.owner(author);
        let latest_ms = owner.map_or(0, |owner| scene.confirmations.latest_of(owner));
        let until_ms = latest_ms.saturating_add(scene.lease_ms);
        let in_ms = (until_ms + 1).saturating_sub(now.unix_ms);
        now.monotonic_ms.saturating_add(in_ms)
    }

    /// From when on the other owner's half, if one is open, binds his order in vain: all that he
    /// had seen is here, so the two do not trade by what he had not seen. His order is refused
    /// then, for he himself could take the half back only at his own risk.
    fn vain_at_ms<E: Engine>(
        &self,
        now: Now,
        scene: &Scene<'_, E>,
        (own, other): Pair,
        watch: &Watch,
    ) -> Option<u64> {
        Self::open_half(scene, &other, &own)?;
        let pair = OrderPair::new(own, other);
        if scene.replica.has_staged(watch.market, pair) {
            return Some(now.monotonic_ms.saturating_add(RETRY_MS));
        }
        let hold_down_ms = self.config.settle_ms.min(self.config.release_ms);
        Some(watch.since_ms.saturating_add(hold_down_ms))
    }

    /// An own half that was neither answered nor given back.
    fn open_half<E: Engine>(
        scene: &Scene<'_, E>,
        own: &OrderId,
        other: &OrderId,
    ) -> Option<SignedHalf> {
        let mine = *scene.confirmations.halves(own, other, scene.dag).last()?;
        scene
            .confirmations
            .is_open(&mine, own, other, scene.dag)
            .then_some(mine)
    }

    /// Whether something has to be written, or when, because a half of another was not answered.
    fn appear_for<E: Engine>(
        now: Now,
        scene: &Scene<'_, E>,
        own: &OrderId,
        other: &OrderId,
    ) -> Step {
        let Some(half) = Self::open_half(scene, other, own) else {
            return Step::Wait(None);
        };
        // Given back by an operation later than this.
        let until_ms = scene.confirmations.answer_until_ms(&half);
        if now.unix_ms > until_ms {
            return Step::Appear;
        }
        let in_ms = until_ms + 1 - now.unix_ms;
        Step::Wait(Some(now.monotonic_ms.saturating_add(in_ms)))
    }

    /// Adds a half to what is written, with what it leans on, or what it leans on alone: then the
    /// half comes with a later operation.
    fn sign<E: Engine>(
        &self,
        scene: &Scene<'_, E>,
        half: Half,
        body: &Body,
        wish: &mut Wish,
    ) -> Signing {
        let mut proofs =
            scene
                .confirmations
                .proofs(&half, (body, &wish.actions), scene.dag, scene.replica);
        proofs.retain(|proof| !wish.refs.contains(proof));
        if wish.refs.len() + proofs.len() <= PROOFS_MAX {
            let named = wish.refs.iter().chain(&proofs);
            let body = Body {
                refs: named.map(|at| scene.dag.id(*at)).collect(),
                actions: [&wish.actions[..], &[Action::Confirm(half)]].concat(),
                ..body.clone()
            };
            let checked = scene.confirmations.check(&body, scene.dag, scene.replica);
            if checked.is_err() {
                return Signing::Invalid;
            }
            wish.refs.extend(proofs);
            wish.actions.push(Action::Confirm(half));
        } else if wish.actions.is_empty() {
            // A heartbeat carries as many as it can; the rest is for the next one.
            proofs.truncate(PROOFS_MAX - wish.refs.len());
            wish.refs.extend(proofs);
        }
        Signing::UnderWay
    }

    /// When the next heartbeat is due, on the monotonic clock.
    fn heartbeat_ms<E: Engine>(&mut self, now: Now, scene: &Scene<'_, E>) -> Option<u64> {
        let owner = scene.dag.owner(&self.own);
        let latest_ms = owner.map_or(0, |owner| scene.confirmations.latest_of(owner));
        let alive_ms = latest_ms.saturating_add(scene.lease_ms / 3);
        let alive_ms = (!self.open.is_empty()).then_some(alive_ms);
        let own_end_ms = self.mortal.first();
        let own_end_ms = own_end_ms.map(|(at_ms, _)| scene.replica.end_of_bucket_ms(*at_ms));
        let look_ms = self.look_for_overdue(now, scene);
        let times = [alive_ms, own_end_ms, self.overdue.from_ms];
        let next_ms = times.into_iter().flatten().min();
        let next_ms = next_ms.map(|next_ms| {
            let in_ms = next_ms.saturating_sub(now.unix_ms);
            now.monotonic_ms.saturating_add(in_ms)
        });
        next_ms.into_iter().chain(look_ms).min()
    }

    /// Looks for the order that is overdue next, not too often; when to look again.
    fn look_for_overdue<E: Engine>(&mut self, now: Now, scene: &Scene<'_, E>) -> Option<u64> {
        let is_over = |from_ms: u64| from_ms <= now.unix_ms;
        let again_ms = self.overdue.looked_ms.saturating_add(LOOK_MS);
        let is_stale = self.overdue.view == View::Stale;
        if self.overdue.from_ms.is_some_and(is_over) || (is_stale && now.monotonic_ms >= again_ms) {
            let end_ms = scene.replica.next_end_ms();
            let from_ms = end_ms.map(|end_ms| end_ms + OVERDUE_MS + self.spread(end_ms));
            self.overdue = Overdue {
                looked_ms: now.monotonic_ms,
                from_ms,
                view: View::Fresh,
            };
            return None;
        }
        is_stale.then_some(again_ms)
    }

    /// By how much this node waits longer than others before it moves the log clock past a time.
    fn spread(&self, end_ms: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.own.0);
        hasher.update(&end_ms.to_be_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        u64::from_be_bytes(first) % OVERDUE_SPREAD_MS
    }

    /// Own trades that wait to be confirmed whose ids lie between these, with the pair of orders.
    pub(crate) fn waiting_between<E: Engine>(
        &self,
        replica: &Replica<E>,
        low: &TradeId,
        high: &TradeId,
    ) -> Vec<WaitingTrade> {
        let waiting = self.watched.pairs.iter();
        let waiting = waiting.filter_map(|((own, other), watch)| {
            let trade = replica.shown_trade(watch.market, own, other)?;
            let id = TradeId::new(own, other, trade.piece);
            (low..=high).contains(&&id).then_some(WaitingTrade {
                id,
                half: Half {
                    market: watch.market,
                    own: *own,
                    other: *other,
                    piece: trade.piece,
                    quantity: trade.quantity,
                    price: trade.price,
                },
            })
        });
        waiting.collect()
    }
}

/// An own trade that is not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingTrade {
    /// The trade.
    pub id: TradeId,
    /// The half that would confirm it.
    pub half: Half,
}

/// What becomes of a half that the node would sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signing {
    /// It is written, or what it leans on is written first.
    UnderWay,
    /// It would be invalid: more is promised of the order already than the books show.
    Invalid,
}

#[cfg(test)]
mod tests;
