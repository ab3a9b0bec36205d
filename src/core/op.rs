//! Operations: what authors sign, and nothing else changes the exchange.

use alloc::vec::Vec;

use crate::matching::{Pricing, SelfTrade, TimeInForce};
use crate::types::{Lots, MarketIndex, OrderId, Side, Ticks};

/// One thing an author wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Places an order. Its id is the operation's id with the action's index.
    Place(Place),
    /// Cancels an order of an earlier operation.
    Cancel {
        /// The order.
        order: OrderId,
    },
    /// Changes an order of an earlier operation.
    Replace {
        /// The order.
        order: OrderId,
        /// The new price, or the old one.
        price: Option<Ticks>,
        /// The new total quantity, or the old one.
        quantity: Option<Lots>,
    },
}

/// The terms of a new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which market.
    pub market: MarketIndex,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub pricing: Pricing,
    /// How much.
    pub quantity: Lots,
    /// Terms of entry.
    pub time_in_force: TimeInForce,
    /// What happens when it would meet an order of the same author.
    pub self_trade: SelfTrade,
}

/// The actions of one operation, in order.
pub type Actions = Vec<Action>;
