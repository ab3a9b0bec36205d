//! An order and a level as they lie in memory: a cache line, and half of one.

use super::slab::{SLOT_BITS, Slot};
use super::{NewOrder, SelfTrade, TimeInForce};
use crate::types::{OrderId, Side, Ticks};

/// An order, in exactly one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) remaining: u64,
    pub(super) total: u64,
    pub(super) next: Slot,
    pub(super) previous: Slot,
    pub(super) owner: u32,
    /// The slot of its level, and above it what else there is to know in bits.
    level_and_terms: u32,
}

const MARKED: u32 = 1 << 31;
const SELL: u32 = 1 << 30;
const POST_ONLY: u32 = 1 << 29;
const SELF_TRADE_SHIFT: u32 = SLOT_BITS;
const SELF_TRADES: [SelfTrade; 4] = [
    SelfTrade::CancelNewest,
    SelfTrade::CancelOldest,
    SelfTrade::CancelBoth,
    SelfTrade::Allow,
];

impl Order {
    pub(super) fn new(order: &NewOrder, remaining: u64, level: Slot, previous: Slot) -> Self {
        let mut terms = (order.self_trade as u32) << SELF_TRADE_SHIFT;
        terms |= SELL * u32::from(order.side == Side::Sell);
        terms |= POST_ONLY * u32::from(order.time_in_force == TimeInForce::PostOnly);
        Self {
            id: order.id,
            remaining,
            total: order.quantity.0,
            next: Slot::NONE,
            previous,
            owner: order.owner.0,
            level_and_terms: terms | level.0,
        }
    }

    pub(super) fn level(&self) -> Slot {
        Slot(self.level_and_terms & ((1 << SLOT_BITS) - 1))
    }

    pub(super) fn side(&self) -> Side {
        if self.level_and_terms & SELL == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    pub(super) fn time_in_force(&self) -> TimeInForce {
        if self.level_and_terms & POST_ONLY == 0 {
            TimeInForce::GoodTillCancel
        } else {
            TimeInForce::PostOnly
        }
    }

    pub(super) fn self_trade(&self) -> SelfTrade {
        SELF_TRADES[(self.level_and_terms >> SELF_TRADE_SHIFT) as usize & 3]
    }

    /// Whether something is promised of it.
    pub(super) fn is_marked(&self) -> bool {
        self.level_and_terms & MARKED != 0
    }

    pub(super) fn set_mark(&mut self, mark: bool) {
        self.level_and_terms &= !MARKED;
        self.level_and_terms |= MARKED * u32::from(mark);
    }

    pub(super) fn filled(&self) -> u64 {
        self.total - self.remaining
    }
}

/// The orders at one price. Two of them share a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(super) struct PriceLevel {
    pub(super) price: Ticks,
    /// The sum of what remains of its orders has up to 91 bits: 2^27 orders of 64 bits.
    quantity_low: u64,
    quantity_high: u32,
    pub(super) orders: u32,
    pub(super) front: Slot,
    pub(super) back: Slot,
}

impl PriceLevel {
    /// A level without orders.
    pub(super) fn new(price: Ticks) -> Self {
        Self {
            price,
            ..Self::default()
        }
    }

    pub(super) fn quantity(&self) -> u128 {
        u128::from(self.quantity_high) << 64 | u128::from(self.quantity_low)
    }

    pub(super) fn add(&mut self, quantity: u64) {
        let (low, carry) = self.quantity_low.overflowing_add(quantity);
        self.quantity_low = low;
        self.quantity_high += u32::from(carry);
    }

    pub(super) fn subtract(&mut self, quantity: u64) {
        let (low, borrow) = self.quantity_low.overflowing_sub(quantity);
        self.quantity_low = low;
        self.quantity_high -= u32::from(borrow);
    }
}
