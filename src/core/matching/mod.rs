//! Price-time matching of one market, with undo.
//!
//! An [`Engine`] is a book that can be told to place, cancel, replace and end orders, in the order
//! of the log. It reports what happened as [`Effect`]s, in the order in which it happened, and it
//! remembers how to take every step back ([`Engine::undo_to`]).
//!
//! There are two engines behind one test suite: an [`oracle`] that reads like the rulebook, which
//! it also states, and the fast [`book`] that the replica uses.

pub mod book;
mod claims;
mod digest;
mod digest_cache;
mod id_table;
mod ladder;
mod layout;
pub mod oracle;
mod pages;
mod prepare;
mod slab;
#[cfg(test)]
mod tests;
mod undo;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use self::book::Book;
pub use self::claims::{Claim, Claims, Meeting};
pub(crate) use self::id_table::{IdTable, Tag, TagKey};
pub use self::oracle::Oracle;
pub use self::prepare::BATCH_MAX;
pub(crate) use self::slab::Slot;
use crate::types::{Digest, Lots, OrderId, Side, Ticks};

/// A local number for an author. Only equality matters; never part of any digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u32);

/// A number that the caller gives an order, to know it again without looking for its id. Engines
/// carry it along; nothing that can be seen depends on it, and no digest has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handle(pub u32);

/// How long an order may live, and on which terms it may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Rests until filled, cancelled or ended from outside (expiry included).
    GoodTillCancel,
    /// Takes what is there at once; the rest is cancelled.
    ImmediateOrCancel,
    /// Fills completely at once or not at all.
    FillOrKill,
    /// Rests only if it would take nothing; otherwise it is rejected.
    PostOnly,
}

impl TimeInForce {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [
        Self::GoodTillCancel,
        Self::ImmediateOrCancel,
        Self::FillOrKill,
        Self::PostOnly,
    ];
}

/// What limits the price of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// Trades at this price or better.
    Limit(Ticks),
    /// Takes at any price up to the protection price, if there is one; never rests.
    Market(Option<Ticks>),
}

/// What happens when an order would trade with another of the same owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTrade {
    /// The incoming order's rest is cancelled.
    CancelNewest,
    /// The resting order is cancelled, the incoming one goes on.
    CancelOldest,
    /// Both are cancelled.
    CancelBoth,
    /// Orders belong to nobody: no prevention (used by `replay` only).
    Allow,
}

impl SelfTrade {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [
        Self::CancelNewest,
        Self::CancelOldest,
        Self::CancelBoth,
        Self::Allow,
    ];
}

/// An order as it enters the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Unique for ever.
    pub id: OrderId,
    /// How the caller knows it.
    pub handle: Handle,
    /// Whose it is.
    pub owner: Owner,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub pricing: Pricing,
    /// More than zero.
    pub quantity: Lots,
    /// Terms of entry.
    pub time_in_force: TimeInForce,
    /// Self-trade prevention.
    pub self_trade: SelfTrade,
}

/// Why an order is over. The status that users see is derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// Nothing is left of it.
    Filled,
    /// Its owner cancelled it.
    Cancelled,
    /// It was immediate-or-cancel, or a market order, and the book had no more for it.
    Unfilled,
    /// Self-trade prevention took it out.
    SelfTrade,
    /// A replace retired it in favour of a new order id.
    Replaced,
    /// Fill-or-kill that could not fill.
    KilledUnfilled,
    /// Post-only that would have taken.
    WouldTake,
    /// Its time was over.
    Expired,
    /// Its owner fell silent for longer than a lease.
    Lapsed,
    /// It was to replace an order that was over, and is known only by its final trades.
    NotPlaced,
    /// Its owner was expelled from the network while it rested.
    Expelled,
    /// Its owner had been expelled from the network before he placed it.
    NoMember,
    /// Its owner fell silent or forked his chain, and somebody refused it.
    Abandoned,
}

impl EndReason {
    /// All reasons, in order.
    pub(crate) const ALL: [Self; 13] = [
        Self::Filled,
        Self::Cancelled,
        Self::Unfilled,
        Self::SelfTrade,
        Self::Replaced,
        Self::KilledUnfilled,
        Self::WouldTake,
        Self::Expired,
        Self::Lapsed,
        Self::NotPlaced,
        Self::Expelled,
        Self::NoMember,
        Self::Abandoned,
    ];
}

/// Why an action had no effect. The action is valid all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoredReason {
    /// No such order rests in the book: unknown, not yet placed, or over.
    NotResting,
    /// The order belongs to another owner.
    NotOwner,
    /// The id is already in the book.
    Duplicate,
    /// A replace names the side that the order is not on.
    OtherSide,
    /// A replace that only reduces, and there is nothing to reduce.
    NotReduced,
}

/// One thing that happened in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Two orders traded, at the maker's price.
    Fill {
        /// The resting order.
        maker: OrderId,
        /// How the caller knows it.
        handle: Handle,
        /// The incoming order.
        taker: OrderId,
        /// The maker's price.
        price: Ticks,
        /// How much changed hands.
        quantity: Lots,
        /// The how-manieth trade of these two orders, from 0.
        piece: u32,
    },
    /// An order came to rest in the book with this quantity.
    Rested {
        /// The order.
        order: OrderId,
        /// What rests.
        quantity: Lots,
    },
    /// A resting order's total quantity went down in place (a reducing replace), as far as nothing
    /// is promised.
    Reduced {
        /// The order.
        order: OrderId,
        /// How the caller knows it.
        handle: Handle,
        /// The new total quantity, filled part included.
        quantity: Lots,
    },
    /// An order is over. What is promised of it may trade still; else it comes after the last fill.
    Ended {
        /// The order.
        order: OrderId,
        /// How the caller knows it.
        handle: Handle,
        /// Why.
        reason: EndReason,
    },
    /// The action had no effect.
    Ignored {
        /// The order that it addressed.
        order: OrderId,
        /// Why not.
        reason: IgnoredReason,
    },
}

/// A price level as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Ticks,
    /// Open quantity of all its orders; a sum, so wider than one order's.
    pub quantity: u128,
    /// How many orders.
    pub orders: u32,
}

/// An order at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The order.
    pub id: OrderId,
    /// Whose it is.
    pub owner: Owner,
    /// Its price.
    pub price: Ticks,
    /// What is left of it.
    pub remaining: Lots,
    /// What of it is promised, to be traded with named partners only.
    pub promised: Lots,
    /// Whether it is an order, or a remnant of one.
    pub life: Life,
}

impl Resting {
    /// What of it nobody can cut.
    pub fn kept(&self) -> u64 {
        self.remaining.0.min(self.promised.0)
    }
}

/// Whether a resting order is over but for what is promised of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It trades.
    Open,
    /// It is over: what rests is promised, and waits for its partners.
    Over,
}

/// A position in the engine's undo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// A new form of a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The order to change.
    pub order: OrderId,
    /// Who asks; only the owner may.
    pub by: Owner,
    /// The id of the order that takes its place, unless it keeps its own.
    pub new_id: OrderId,
    /// How the caller knows that order.
    pub new_handle: Handle,
    /// The new price, or the old one.
    pub price: Option<Ticks>,
    /// The new *total* quantity (filled part included), or the old one.
    pub quantity: Option<Lots>,
}

/// Anything that can be done to a book, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See [`Engine::place`].
    Place(NewOrder),
    /// See [`Engine::cancel`].
    Cancel {
        /// The order to cancel.
        order: OrderId,
        /// Who asks; only the owner may.
        by: Owner,
    },
    /// See [`Engine::replace`]. Boxed: it is the largest and rare, and lists of actions are long.
    Replace(Box<Replacement>),
    /// See [`Engine::end`].
    End {
        /// The order to end.
        order: OrderId,
        /// Why.
        reason: EndReason,
    },
}

/// A matching engine for one market.
///
/// Every method appends what happened to `effects`, in order. The caller checks limits before
/// (quantity above zero, prices within the market); an engine asserts them.
pub trait Engine {
    /// Matches an order and rests what is left of it, as its terms and what is promised of it say.
    fn place(&mut self, order: &NewOrder, claims: &Claims, effects: &mut Vec<Effect>);

    /// Sets what of a resting order, if it rests, is promised to orders still to come. Of a remnant
    /// no more stays than that.
    fn set_promised(&mut self, order: &OrderId, promised: Lots);

    /// States the complete trades of an order that does not enter.
    fn state_complete(&mut self, taker: &OrderId, claims: &Claims, effects: &mut Vec<Effect>);

    /// Takes a resting order out of the book at its owner's wish.
    fn cancel(&mut self, order: &OrderId, by: Owner, effects: &mut Vec<Effect>);

    /// Changes a resting order. It keeps its place and id only if the price stays and the total
    /// quantity goes down (to no less than what is filled: at or below that it ends as
    /// `Cancelled`, or `Filled` if equal); otherwise it is retired (`Replaced`) and a new order
    /// with `new_id`, of which this is claimed, enters as if placed now, with what is neither
    /// filled nor promised of the new total. Without such a rest it ends as `Cancelled`.
    fn replace(&mut self, replacement: &Replacement, claims: &Claims, effects: &mut Vec<Effect>);

    /// Ends a resting order from outside (`Expired`, `Lapsed`).
    fn end(&mut self, order: &OrderId, reason: EndReason, effects: &mut Vec<Effect>);

    /// Does what the action says, where nothing is claimed.
    fn execute(&mut self, action: &Action, effects: &mut Vec<Effect>) {
        self.execute_claimed(action, &Claims::NONE, effects);
    }

    /// Does what the action says, with an order of which this is claimed.
    fn execute_claimed(&mut self, action: &Action, claims: &Claims, effects: &mut Vec<Effect>) {
        match action {
            Action::Place(order) => self.place(order, claims, effects),
            Action::Cancel { order, by } => self.cancel(order, *by, effects),
            Action::Replace(replacement) => self.replace(replacement, claims, effects),
            Action::End { order, reason } => self.end(order, *reason, effects),
        }
    }

    /// A hint that these actions come next (the first [`BATCH_MAX`] count). Changes nothing that
    /// can be seen, but an engine may use it to fetch what they will need.
    fn prepare(&self, _upcoming: &[Action]) {}

    /// The present position in the undo log. Taken between actions.
    fn mark(&self) -> Mark;

    /// Takes back everything since `mark`: the state is byte for byte what it was then.
    ///
    /// # Panics
    /// When `mark` lies in the future or has been forgotten: a broken invariant of the caller.
    fn undo_to(&mut self, mark: Mark);

    /// Frees the memory of undo records before `mark`; they can no longer be undone.
    fn forget_before(&mut self, mark: Mark);

    /// Forgets the oldest undo records where there are more than the engine is to keep. One that
    /// keeps all does nothing.
    fn bound_undo(&mut self) {}

    /// Whether nothing behind this mark was forgotten.
    fn can_undo_to(&self, mark: Mark) -> bool;

    /// Begins anew, as if nothing had ever been done. No mark of before counts any more.
    fn reset(&mut self);

    /// How many bytes of memory the undo log takes; 0 of an engine that does not count them.
    fn undo_memory_bytes(&self) -> usize {
        0
    }

    /// A digest of all resting orders in queue order, kept up to date or cheap to make.
    fn state_hash(&self) -> Digest;

    /// The best `depth` levels of a side, best first.
    fn levels(&self, side: Side, depth: usize) -> Vec<Level>;

    /// Every resting order of a side: best price first, then in queue order.
    fn resting(&self, side: Side) -> Vec<Resting>;

    /// The resting order with this id.
    fn find(&self, order: &OrderId) -> Option<Resting>;

    /// How many orders rest.
    fn len(&self) -> usize;

    /// Whether nothing rests.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
