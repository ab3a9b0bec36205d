//! Final trades without a central party: what owners have signed of each other's orders.
//!
//! An order's quantity belongs to its owner, so its owner alone decides how it is spent, and he
//! can do so in the order of his own chain, without asking anyone ("The consensus number of a
//! cryptocurrency", Guerraoui et al., 2019). For a trade that the replica shows, each owner signs a
//! *half* ([`crate::op::Half`]); a trade is **final** when two halves that match are in the set.
//! Nothing takes an operation out of the set, so nothing takes a final trade back.
//!
//! - Two halves *match* when they name each other's orders, the same piece and price, and the
//!   times of their operations differ by at most `answer_ms`. The smaller quantity counts.
//! - A half that has no match *withholds* its quantity for the named partner, until it is *given
//!   back*: the partner's chain, on any branch, has an operation later than the half's time plus
//!   `answer_ms`, or a refusal of the pair. The times of a chain only grow, so nothing that
//!   matches can follow but by a fork.
//! - A *refusal* ([`Action::Decline`]) says that two orders no longer meet. A *release*
//!   ([`Action::Release`]) is one that also takes back the own open half, at the author's risk: an
//!   answer may be under way, and if it comes his order is filled beyond its quantity.
//!
//! What this means for the books is [`PairTerms`], a function of the set. Whether a half is *valid*
//! is a function of the operation and its ancestors ([`Confirmations::check`]). There, what an
//! author leans on must be *named* by his own chain: a ref of the operation, or of an operation
//! before it. So everyone can check it without a search through all ancestors, and at a bounded
//! price ([`NAMED_BACK_MAX`]).

mod abandonment;
mod branch;
mod final_trades;
mod heard;
mod ledger;
mod pair;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use self::abandonment::Abandonment;
use self::branch::Branch;
use self::final_trades::FinalTrades;
use self::heard::{Awaited, Heard};
use self::ledger::{Ledger, PairNumber, Signed};
pub use self::pair::{OrderPair, PairTerms};
use crate::dag::{Dag, OpIndex};
use crate::few::Few;
use crate::genesis::Genesis;
use crate::matching::Owner;
use crate::op::{Action, Body, Half, Operation};
use crate::order_log::{LogKey, Position};
use crate::order_number::OrderNumber;
use crate::types::{Digest, HybridTime, Lots, MarketIndex, OrderId, Side, Ticks};

/// How many operations of his chain an author's refs are looked up in, counted back from the one
/// that leans on them. Older proofs are named again. A guess: an hour of a busy node, and a cost
/// of less than a millisecond for whoever checks.
pub const NAMED_BACK_MAX: usize = 4_096;

/// How many of the operations of one author that a chain names count, the latest named first. Of an
/// author with one chain the last one covers all before it.
pub const NAMED_OF_ONE_MAX: usize = 16;

/// What an order is by the action that makes it, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where its operation stands in the total order.
    pub position: Position,
    /// Buy or sell.
    pub side: Side,
    /// The worst price at which it trades, if there is one.
    pub limit: Option<Ticks>,
    /// The most that it can trade.
    pub quantity: Lots,
}

/// Where the placements of orders are looked up.
pub trait Placements {
    /// The order with this id in this market, if an applied operation makes it.
    fn placement(&self, market: MarketIndex, order: &OrderId) -> Option<Placement>;

    /// Where the action that makes an order stands in the total order, if there is one.
    fn key(&self, order: &OrderId) -> Option<LogKey>;
}

/// Why a half or a refusal is invalid, for ever and everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfirmationError {
    /// One of the orders is none of this market, or the own one is not of an earlier operation of
    /// the same chain, or both are on one side.
    Pair,
    /// The price is not that of the order that stands first, or outside a limit.
    Price,
    /// The chain has a half for this piece already.
    Twice,
    /// The chain has refused this pair.
    Refused,
    /// The piece before it is not known to be complete.
    Piece,
    /// More is promised than the order has.
    Quantity,
}

impl fmt::Display for ConfirmationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pair => "confirmation of two orders that cannot trade with each other",
            Self::Price => "confirmation at a price that is not the maker's",
            Self::Twice => "second confirmation of one piece",
            Self::Refused => "confirmation of a pair that its author has refused",
            Self::Piece => "confirmation of a piece before the one before it is complete",
            Self::Quantity => "confirmations promise more than the order has",
        })
    }
}

impl core::error::Error for ConfirmationError {}

/// A half in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHalf {
    /// The operation that it is part of.
    pub operation: OpIndex,
    /// The time of that operation.
    pub time: HybridTime,
    /// Which piece.
    pub piece: u32,
    /// How much.
    pub quantity: Lots,
    /// At which price.
    pub price: Ticks,
}

/// All halves and refusals of the set.
pub struct Confirmations {
    answer_ms: u64,
    signed: Ledger,
    /// Of each author, by his number.
    heard: Vec<Heard>,
    abandonment: Abandonment,
    final_trades: FinalTrades,
}

impl Confirmations {
    /// Nothing signed yet in a network.
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            answer_ms: u64::from(genesis.answer_ms),
            signed: Ledger::new(),
            heard: Vec::new(),
            abandonment: Abandonment::new(genesis.lease_ms),
            final_trades: FinalTrades::new(),
        }
    }

    /// Whether two halves of the same piece, one by each owner, make it final.
    fn match_up(&self, first: &SignedHalf, second: &SignedHalf) -> bool {
        let apart_ms = first.time.unix_ms().abs_diff(second.time.unix_ms());
        let same = (first.piece, first.price) == (second.piece, second.price);
        same && apart_ms <= self.answer_ms
    }

    /// The last millisecond in which a half can be answered.
    pub fn answer_until_ms(&self, half: &SignedHalf) -> u64 {
        half.time.unix_ms().saturating_add(self.answer_ms)
    }

    /// The halves that the owner of `own` has signed for `other`.
    pub fn halves(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> Few<SignedHalf> {
        let signed = self.signed_about(own, other, dag);
        signed.unwrap_or_default().halves
    }

    /// What the owner of `own` has signed about `other`, if anything was signed of the two.
    fn signed_about(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> Option<Signed> {
        self.signed.get(PairNumber::find(own, other, dag)?, dag)
    }

    /// Whether the owner of `own` has refused `other`.
    pub fn has_refused(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> bool {
        let signed = self.signed_about(own, other, dag);
        signed.is_some_and(|signed| !signed.refusals.is_empty())
    }

    /// Whether the owner of `own` has released what he withheld for `other`.
    pub fn has_released(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> bool {
        let signed = self.signed_about(own, other, dag);
        signed.is_some_and(|signed| !signed.releases.is_empty())
    }

    /// The orders about which anything was signed together with this one, in no order.
    pub fn partners<'a>(
        &'a self,
        order: &OrderId,
        dag: &'a Dag,
    ) -> impl Iterator<Item = OrderId> + 'a {
        self.signed.partners(order, dag)
    }

    /// All pairs about which anything was signed, in no order.
    pub fn pairs<'a>(&'a self, dag: &'a Dag) -> impl Iterator<Item = OrderPair> + 'a {
        self.signed.pairs(dag)
    }

    /// The digest of all final trades.
    pub fn final_trades_digest(&self) -> Digest {
        self.final_trades.digest()
    }

    /// Pairs with a half that its partner may still answer, as far as is known here, or answered
    /// not long ago.
    pub fn awaiting<'a>(
        &'a self,
        dag: &'a Dag,
    ) -> impl Iterator<Item = (MarketIndex, OrderPair)> + 'a {
        let awaiting = self.heard.iter().flat_map(|heard| &heard.awaited);
        awaiting.map(|(_, market, pair)| (*market, pair.orders(dag)))
    }

    /// How many bytes of memory it takes, about.
    pub fn memory_bytes(&self) -> usize {
        let awaited = self.heard.iter().map(|heard| heard.awaited.capacity());
        let awaited = awaited.sum::<usize>() * size_of::<Awaited>();
        let heard = self.heard.capacity() * size_of::<Heard>() + awaited;
        self.signed.memory_bytes() + heard + self.abandonment.memory_bytes()
    }

    /// What counts for a pair in the whole set. An order and itself no longer meet if it is
    /// abandoned.
    pub fn terms(&self, pair: &OrderPair, dag: &Dag) -> PairTerms {
        let number = PairNumber::find(&pair.low, &pair.high, dag);
        number.map_or_else(PairTerms::default, |pair| self.terms_of(pair, dag))
    }

    /// The same by the number of the pair.
    fn terms_of(&self, pair: PairNumber, dag: &Dag) -> PairTerms {
        if pair.is_alone() {
            return PairTerms {
                declined: self.abandonment.is_abandoned(&pair.own.id(dag), dag),
                ..PairTerms::default()
            };
        }
        let pair = pair.low_first(dag);
        let Some([of_low, of_high]) = self.signed.both(pair, dag) else {
            return PairTerms::default();
        };
        let (low, high) = (&*of_low.halves, &*of_high.halves);
        let complete = self.complete(low, high);
        let piece = complete.len();
        let (low_refused, high_refused) =
            (!of_low.refusals.is_empty(), !of_high.refusals.is_empty());
        let low_frees = high_refused || !of_low.releases.is_empty();
        let high_frees = low_refused || !of_high.releases.is_empty();
        let owners = pair.owners(dag);
        let [low_latest_ms, high_latest_ms] = owners.map(|owner| self.latest_of(owner));
        let first = low.iter().chain(high).next();
        PairTerms {
            low_half: self.open_half(low, piece, high_latest_ms, low_frees),
            high_half: self.open_half(high, piece, low_latest_ms, high_frees),
            complete,
            price: first.map_or(Ticks(0), |half| half.price),
            declined: low_refused || high_refused,
        }
    }

    /// The quantities of the pieces that are final.
    fn complete(&self, low: &[SignedHalf], high: &[SignedHalf]) -> Few<Lots> {
        let piece = |piece| self.complete_piece(low, high, piece);
        (0..).map_while(piece).collect()
    }

    /// The quantity of a piece, if it is final. Of several halves of a forker that which gives most
    /// counts, so that another branch can only add.
    fn complete_piece(
        &self,
        low: &[SignedHalf],
        high: &[SignedHalf],
        piece: usize,
    ) -> Option<Lots> {
        let of_piece = |half: &&SignedHalf| half.piece as usize == piece;
        let mut best = None;
        for mine in low.iter().filter(of_piece) {
            let matching = high.iter().filter(|theirs| self.match_up(mine, theirs));
            let quantities = matching.map(|theirs| mine.quantity.min(theirs.quantity));
            best = best.max(quantities.max());
        }
        best
    }

    /// What one owner withholds for a piece that is not complete.
    fn open_half(
        &self,
        halves: &[SignedHalf],
        piece: usize,
        partner_latest_ms: u64,
        is_freed: bool,
    ) -> Lots {
        let is_open = |half: &&SignedHalf| {
            let answerable = partner_latest_ms <= self.answer_until_ms(half);
            half.piece as usize == piece && answerable && !is_freed
        };
        let open = halves.iter().filter(is_open);
        open.map(|half| half.quantity).max().unwrap_or_default()
    }

    /// The latest time of the author of an order.
    fn latest_of_order(&self, order: &OrderId, dag: &Dag) -> u64 {
        let author = dag.owner_of_order(order);
        author.map_or(0, |author| self.latest_of(author))
    }

    /// The latest time of an author's operations, in Unix milliseconds.
    pub fn latest_of(&self, author: Owner) -> u64 {
        let heard = self.heard.get(author.0 as usize);
        heard.map_or(0, |heard| heard.latest_ms)
    }

    /// Takes an applied operation in; the pairs whose terms it may have changed, each once, with
    /// what counts for them now.
    pub fn insert(
        &mut self,
        operation: &Operation,
        index: OpIndex,
        dag: &Dag,
    ) -> Vec<(MarketIndex, OrderPair, PairTerms)> {
        let body = operation.body();
        let author = dag.author(index);
        let time_ms = body.time.unix_ms();
        let mut touched = self.give_back(author, time_ms, dag);
        let heard = self.abandonment.hear(index, dag).into_iter();
        let heard = heard.map(|(market, order)| {
            let order = OrderNumber::find(&order, dag);
            let order = order.expect("what was refused is an ancestor");
            (market, PairNumber::alone(order))
        });
        touched.extend(heard);
        for action in &body.actions {
            let Some((market, (own, other))) = action.market().zip(action.pair()) else {
                continue;
            };
            let pair = PairNumber::find(&own, &other, dag);
            let pair = pair.expect("what is signed about is an ancestor");
            match action {
                Action::Confirm(half) => self.sign(half, pair, index, dag),
                Action::Decline { .. } => self.signed.refuse(pair, index, dag),
                Action::Release { .. } => self.signed.release(pair, index, dag),
                Action::Place(_)
                | Action::Cancel { .. }
                | Action::Replace { .. }
                | Action::Member { .. } => unreachable!("they name no pair"),
            }
            touched.insert((market, pair.sorted()));
            let is_refusal = action.half().is_none();
            if is_refusal && self.abandonment.refuse((market, other), time_ms, dag) {
                touched.insert((market, PairNumber::alone(pair.other)));
            }
        }
        let touched = touched.into_iter();
        let with_terms = |(market, pair): (MarketIndex, PairNumber)| {
            (market, pair.orders(dag), self.terms_of(pair, dag))
        };
        touched.map(with_terms).collect()
    }

    /// Notes a half of a pair, seen from its own order.
    fn sign(&mut self, half: &Half, pair: PairNumber, operation: OpIndex, dag: &Dag) {
        let signed_half = SignedHalf {
            operation,
            time: dag.time(operation),
            piece: half.piece,
            quantity: half.quantity,
            price: half.price,
        };
        let [mut mine, theirs] = self.signed.both(pair, dag).unwrap_or_default();
        let before = self.complete(&mine.halves, &theirs.halves);
        mine.halves.push(signed_half);
        let after = self.complete(&mine.halves, &theirs.halves);
        let orders = OrderPair::new(half.own, half.other);
        self.final_trades
            .replace(&orders, half.price, (&before, &after));
        self.signed.sign(pair, signed_half, dag);
        let [_, partner] = pair.owners(dag);
        let until_ms = self.answer_until_ms(&signed_half);
        if self.latest_of(partner) <= until_ms {
            let heard = self.heard_mut(partner, dag);
            heard.wait((until_ms, half.market, pair.sorted()));
        }
    }

    fn heard_mut(&mut self, author: Owner, dag: &Dag) -> &mut Heard {
        let at = author.0 as usize;
        if self.heard.len() <= at {
            let authors = dag.author_count().max(at + 1);
            self.heard.resize_with(authors, Heard::nothing);
        }
        &mut self.heard[at]
    }

    /// An author has written: halves that he can no longer answer are given back.
    fn give_back(
        &mut self,
        author: Owner,
        time_ms: u64,
        dag: &Dag,
    ) -> BTreeSet<(MarketIndex, PairNumber)> {
        let heard = self.heard_mut(author, dag);
        heard.latest_ms = heard.latest_ms.max(time_ms);
        if heard.awaited_ms >= time_ms {
            return BTreeSet::new();
        }
        heard.give_back(time_ms).collect()
    }

    /// Checks the halves and refusals of an operation whose ancestors have all been applied.
    ///
    /// # Errors
    /// The first rule that one of them breaks.
    pub fn check(
        &self,
        body: &Body,
        dag: &Dag,
        placements: &impl Placements,
    ) -> Result<(), ConfirmationError> {
        if body.counterparts().next().is_none() {
            return Ok(());
        }
        let branch = Branch::new(body, dag);
        for (at, action) in body.actions.iter().enumerate() {
            let earlier = &body.actions[..at];
            match action {
                Action::Confirm(half) => self.check_half(half, earlier, &branch, placements)?,
                Action::Decline { market, own, other } | Action::Release { market, own, other } => {
                    branch.placed_pair(*market, own, other, placements)?;
                }
                Action::Place(_)
                | Action::Cancel { .. }
                | Action::Replace { .. }
                | Action::Member { .. } => {}
            }
        }
        Ok(())
    }

    /// What each owner of two orders has signed about the other, if anything was signed.
    fn signed_by_both(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> Option<[Signed; 2]> {
        self.signed.both(PairNumber::find(own, other, dag)?, dag)
    }

    /// Whether two orders have a final trade.
    pub fn is_complete(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> bool {
        let signed = self.signed_by_both(own, other, dag);
        signed.is_some_and(|[mine, theirs]| {
            let complete = self.complete_piece(&mine.halves, &theirs.halves, 0);
            complete.is_some()
        })
    }

    /// Whether a half is neither part of a final trade nor given back.
    pub fn is_open(&self, half: &SignedHalf, own: &OrderId, other: &OrderId, dag: &Dag) -> bool {
        let signed = self.signed_by_both(own, other, dag);
        let [mine, theirs] = signed.unwrap_or_default();
        let mut answers = theirs.halves.iter();
        let is_answered = answers.any(|theirs| self.match_up(half, theirs));
        let until_ms = self.answer_until_ms(half);
        let is_given_back = !theirs.refusals.is_empty()
            || !mine.releases.is_empty()
            || self.latest_of_order(other, dag) > until_ms;
        !is_answered && !is_given_back
    }

    /// What a half leans on that its author's chain does not name yet: operations that show the
    /// piece before it complete, or that freed what it spends. `body` is that of the operation to
    /// be, with its actions before the half.
    pub fn proofs(
        &self,
        half: &Half,
        (body, earlier): (&Body, &[Action]),
        dag: &Dag,
        placements: &impl Placements,
    ) -> Vec<OpIndex> {
        let branch = Branch::new(body, dag);
        let (own, other) = (&half.own, &half.other);
        let mut proofs = Vec::new();
        if half.piece > 0 && !self.knows_complete(half, &branch) {
            let before = self.halves(own, other, dag).into_iter();
            let before = before.filter(|signed| signed.piece + 1 == half.piece);
            let answers = before.filter_map(|signed| self.answer(&signed, own, other, dag));
            proofs.extend(answers.map(|(answer, _)| answer));
        }
        let placement = placements.placement(half.market, own);
        let quantity = placement.map_or(Lots(0), |placement| placement.quantity);
        if self
            .check_quantity(half, earlier, &branch, quantity)
            .is_ok()
        {
            return proofs;
        }
        for other in self.partners(own, dag) {
            for signed in self.halves(own, &other, dag) {
                let bound = self.bound_by(&signed, own, &other, &branch);
                let frees = match self.answer(&signed, own, &other, dag) {
                    // An answer frees what goes beyond it.
                    Some((answer, quantity)) => (quantity < signed.quantity).then_some(answer),
                    None => {
                        let refusals = self.signed_about(&other, own, dag);
                        let refusal = refusals.and_then(|it| it.refusals.first().copied());
                        refusal.or_else(|| self.silence(&signed, &other, dag))
                    }
                };
                proofs.extend(frees.filter(|_| bound == signed.quantity.0));
            }
        }
        proofs.sort_unstable();
        proofs.dedup();
        proofs
    }

    /// The operation with the half that answers another with the most, and how much that is.
    fn answer(
        &self,
        half: &SignedHalf,
        own: &OrderId,
        other: &OrderId,
        dag: &Dag,
    ) -> Option<(OpIndex, Lots)> {
        let theirs = self.halves(other, own, dag).into_iter();
        let matching = theirs.filter(|theirs| self.match_up(half, theirs));
        let most = matching.max_by_key(|theirs| (theirs.quantity, theirs.operation));
        most.map(|theirs| (theirs.operation, theirs.quantity))
    }

    /// The last operation of a partner, if it is too late for an answer.
    fn silence(&self, half: &SignedHalf, other: &OrderId, dag: &Dag) -> Option<OpIndex> {
        let partner = dag.author_of_order(other)?;
        let mut heads = dag.heads_of(&partner);
        heads.find(|head| dag.time(*head).unix_ms() > self.answer_until_ms(half))
    }

    /// Checks a half that follows these actions of its own operation.
    fn check_half(
        &self,
        half: &Half,
        earlier: &[Action],
        branch: &Branch<'_>,
        placements: &impl Placements,
    ) -> Result<(), ConfirmationError> {
        let Half { own, other, .. } = half;
        let (mine, theirs) = branch.placed_pair(half.market, own, other, placements)?;
        // Mostly the positions tell, for which nothing has to be looked for.
        let positions = mine.position.cmp(&theirs.position);
        let order = positions.then_with(|| placements.key(own).cmp(&placements.key(other)));
        let maker = if order.is_lt() { &mine } else { &theirs };
        let within = |order: &Placement| {
            let limit = order.limit;
            limit.is_none_or(|limit| order.side.accepts(limit, half.price))
        };
        if maker.limit != Some(half.price) || !within(&mine) || !within(&theirs) {
            return Err(ConfirmationError::Price);
        }
        let is_same = |action: &Action| action.pair() == Some((*own, *other));
        let same_operation = earlier.iter().filter(|action| is_same(action));
        let pair = PairNumber::find(own, other, branch.dag);
        let pair = pair.expect("both were placed");
        let signed = self.signed.get(pair, branch.dag).unwrap_or_default();
        let before = signed.halves.iter();
        let before = before.filter(|signed| branch.holds(signed.operation));
        let pieces = same_operation.clone().filter_map(Action::half);
        let pieces = pieces.map(|half| half.piece);
        if before
            .map(|half| half.piece)
            .chain(pieces)
            .any(|piece| piece == half.piece)
        {
            return Err(ConfirmationError::Twice);
        }
        let mut refusals = signed.refusals.iter();
        let refused_before = refusals.any(|refusal| branch.holds(*refusal));
        let is_refusal = |action: &Action| action.half().is_none();
        if refused_before || same_operation.into_iter().any(is_refusal) {
            return Err(ConfirmationError::Refused);
        }
        if half.piece > 0 && !self.knows_complete(half, branch) {
            return Err(ConfirmationError::Piece);
        }
        self.check_quantity(half, earlier, branch, mine.quantity)
    }

    /// Whether the chain has and names both halves of the piece before this one.
    fn knows_complete(&self, half: &Half, branch: &Branch<'_>) -> bool {
        let before = self.halves(&half.own, &half.other, branch.dag).into_iter();
        let mut before = before
            .filter(|signed| signed.piece + 1 == half.piece && branch.holds(signed.operation));
        before.any(|signed| {
            let answer = self.named_answer(&signed, &half.own, &half.other, branch);
            answer.is_some()
        })
    }

    /// Checks that an author does not promise more of an order than there is.
    fn check_quantity(
        &self,
        half: &Half,
        earlier: &[Action],
        branch: &Branch<'_>,
        quantity: Lots,
    ) -> Result<(), ConfirmationError> {
        let of_order = earlier.iter().filter_map(Action::half);
        let of_order = of_order.filter(|earlier| earlier.own == half.own);
        let in_operation = of_order.map(|earlier| u128::from(earlier.quantity.0));
        let new = in_operation.sum::<u128>() + u128::from(half.quantity.0);
        let own = OrderNumber::find(&half.own, branch.dag);
        let promised = own.map_or(0, |own| self.signed.promised(own));
        // Whatever was given back can only make it less.
        if u128::from(promised) + new <= u128::from(quantity.0) {
            return Ok(());
        }
        let mut bound = 0_u128;
        for other in self.partners(&half.own, branch.dag) {
            for signed in self.halves(&half.own, &other, branch.dag) {
                if branch.holds(signed.operation) {
                    bound += u128::from(self.bound_by(&signed, &half.own, &other, branch));
                }
            }
        }
        if bound + new <= u128::from(quantity.0) {
            Ok(())
        } else {
            Err(ConfirmationError::Quantity)
        }
    }

    /// How much of his order an own half still binds, as far as the author's chain names what
    /// frees it: all of it, what was answered, or nothing if it was given back.
    fn bound_by(
        &self,
        half: &SignedHalf,
        own: &OrderId,
        other: &OrderId,
        branch: &Branch<'_>,
    ) -> u64 {
        if let Some(answer) = self.named_answer(half, own, other, branch) {
            return half.quantity.0.min(answer.0);
        }
        let signed = self.signed_by_both(own, other, branch.dag);
        let [mine, theirs] = signed.unwrap_or_default();
        let mut releases = mine.releases.iter();
        if releases.any(|release| branch.holds(*release)) {
            return 0;
        }
        let mut refusals = theirs.refusals.iter();
        let until_ms = self.answer_until_ms(half);
        let is_given_back = branch.with_named(other, |named| {
            named.latest_ms > until_ms || refusals.any(|refusal| named.covers(*refusal, branch.dag))
        });
        if is_given_back { 0 } else { half.quantity.0 }
    }

    /// The greatest quantity of a half that matches, of those that the chain names.
    fn named_answer(
        &self,
        half: &SignedHalf,
        own: &OrderId,
        other: &OrderId,
        branch: &Branch<'_>,
    ) -> Option<Lots> {
        let theirs = self.halves(other, own, branch.dag).into_iter();
        let matching = theirs.filter(|theirs| self.match_up(half, theirs));
        branch.with_named(other, |named| {
            let known =
                matching.filter(|theirs: &SignedHalf| named.covers(theirs.operation, branch.dag));
            known.map(|theirs| theirs.quantity).max()
        })
    }
}
