//! What has been promised of orders: how much of them only a named partner can have.
//!
//! Owners sign parts of their orders to each other (see [`crate::confirmation`]). An engine is told
//! what was signed about an order when it enters: towards orders that are there, or have been
//! ([`Claim`]), and how much of it waits for orders still to come.

use alloc::vec::Vec;

use super::{Handle, NewOrder};
use crate::few::Few;
use crate::types::{Lots, OrderId, Ticks};

/// So many claims are looked through one after the other. A guess.
const FEW: usize = 8;

/// What was signed about an order that enters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// How much of it is promised to orders that come after it.
    pub to_later: Lots,
    /// What was signed about it and orders before it, each named once, sorted by their ids.
    pub makers: Vec<Claim>,
}

/// What was signed about an order that enters and one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The one before it.
    pub maker: OrderId,
    /// How the caller knows it.
    pub handle: Handle,
    /// The price of the pair.
    pub price: Ticks,
    /// The quantities of their final trades, by piece.
    pub complete: Few<Lots>,
    /// What the maker's owner withholds for the next piece.
    pub maker_half: Lots,
    /// What the entering order's owner withholds for it.
    pub taker_half: Lots,
    /// Whether they may trade beyond what is complete.
    pub meeting: Meeting,
}

/// Whether two orders may trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// As any two.
    Free,
    /// One owner has refused the other's order.
    Declined,
}

impl Claims {
    /// Nothing was signed.
    pub const NONE: Self = Self {
        to_later: Lots(0),
        makers: Vec::new(),
    };

    /// Whether nothing was signed.
    pub fn is_none(&self) -> bool {
        self.to_later.0 == 0 && self.makers.is_empty()
    }

    /// What was signed about an order before.
    pub fn on(&self, maker: &OrderId) -> Option<&Claim> {
        let at = self.place_of(maker)?;
        Some(&self.makers[at])
    }

    /// Where the claim with a maker stands in the list. Mostly there are few, and to ask whether
    /// ids are equal costs less than to ask which is less.
    pub(super) fn place_of(&self, maker: &OrderId) -> Option<usize> {
        if self.makers.len() <= FEW {
            return self.makers.iter().position(|claim| claim.maker == *maker);
        }
        let found = self.makers.binary_search_by_key(maker, |claim| claim.maker);
        found.ok()
    }

    /// How much of the entering order is promised to anybody.
    pub fn promised(&self) -> u64 {
        let makers = self.makers.iter().map(Claim::promised_to_maker);
        makers.fold(self.to_later.0, u64::saturating_add)
    }
}

impl Claim {
    /// How much of the entering order is promised to this maker.
    pub fn promised_to_maker(&self) -> u64 {
        self.completed().saturating_add(self.taker_half.0)
    }

    /// The quantity of the final trades.
    pub fn completed(&self) -> u64 {
        let quantities = self.complete.iter().map(|quantity| quantity.0);
        quantities.fold(0, u64::saturating_add)
    }

    /// The final trades with the numbers of their pieces.
    pub fn pieces(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (0..).zip(self.complete.iter().map(|quantity| quantity.0))
    }

    /// The number of the piece after the final ones.
    pub fn next_piece(&self) -> u32 {
        u32::try_from(self.complete.len()).expect("pieces are numbered by 32 bits")
    }
}

/// How much of an order that takes is left, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purse {
    /// All that is left.
    pub(super) open: u64,
    /// What of it is promised. More than there is only if its owner has promised too much.
    pub(super) promised: u64,
}

impl Purse {
    /// That of an order that enters.
    pub(super) fn of(order: &NewOrder, claims: &Claims) -> Self {
        Self {
            open: order.quantity.0,
            promised: if claims.is_none() {
                0
            } else {
                claims.promised()
            },
        }
    }

    pub(super) fn free(&self) -> u64 {
        self.open.saturating_sub(self.promised)
    }

    /// Takes out a quantity of which so much was promised.
    pub(super) fn spend(&mut self, quantity: u64, of_promised: u64) {
        self.open = self.open.saturating_sub(quantity);
        self.promised = self.promised.saturating_sub(of_promised);
    }

    /// How much two orders trade beyond what is complete, each with these halves for the other.
    pub(super) fn meet(&self, half: u64, other: &Self, other_half: u64) -> u64 {
        let mine = self.free().saturating_add(half).min(self.open);
        let theirs = other.free().saturating_add(other_half).min(other.open);
        mine.min(theirs)
    }
}
