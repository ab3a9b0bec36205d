//! Two orders, and what was signed about them as matching has to respect it.
//!
//! A pair looks the same from both sides: the order with the smaller id comes first.

use crate::few::Few;
use crate::types::{Lots, OrderId, Ticks};

/// Two orders, the one with the smaller id first. An order with itself stands for all pairs of it:
/// they no longer meet if it is abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderPair {
    /// The one with the smaller id.
    pub low: OrderId,
    /// The one with the greater id.
    pub high: OrderId,
}

impl OrderPair {
    /// The pair of two orders.
    pub fn new(first: OrderId, second: OrderId) -> Self {
        Self {
            low: first.min(second),
            high: first.max(second),
        }
    }

    /// The other one of the two.
    pub fn other(&self, order: &OrderId) -> OrderId {
        if *order == self.low {
            self.high
        } else {
            self.low
        }
    }
}

/// What has been signed about a pair of orders, as matching has to respect it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairTerms {
    /// The quantities of the final trades, by their piece.
    pub complete: Few<Lots>,
    /// What the owner of the order with the smaller id withholds for the next piece.
    pub low_half: Lots,
    /// What the owner of the other one does.
    pub high_half: Lots,
    /// The price of the pair; meaningless where nothing was confirmed.
    pub price: Ticks,
    /// Whether the two no longer meet.
    pub declined: bool,
}

impl PairTerms {
    /// What an order's owner withholds for the piece that is not complete.
    pub fn half_of(&self, pair: &OrderPair, order: &OrderId) -> Lots {
        if *order == pair.low {
            self.low_half
        } else {
            self.high_half
        }
    }

    /// The quantity of all final trades of the pair.
    pub fn completed(&self) -> u64 {
        let quantities = self.complete.iter().map(|quantity| quantity.0);
        quantities.fold(0, u64::saturating_add)
    }

    /// All that an order's owner withholds for the other one.
    pub fn withheld_of(&self, pair: &OrderPair, order: &OrderId) -> u64 {
        self.completed().saturating_add(self.half_of(pair, order).0)
    }
}
