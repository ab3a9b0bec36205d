//! A seat: one order, or room for it.
//!
//! It has the terms of the order and what became of it, in 40 bytes, and is written as a row of
//! numbers once it is past. What few orders differ in shares one of these.

use crate::dag::OpIndex;
use crate::history::Settling;
use crate::matching::{EndReason, Pricing, SelfTrade, TimeInForce};
use crate::op::Place;
use crate::packed::Row;
use crate::types::{Lots, MarketIndex, Side, Ticks};

/// What the price of a seat means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PriceKind {
    Limit,
    Protection,
    /// A market order without protection: there is no price.
    None,
}

/// Which action a seat is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A new order.
    Place,
    /// One that replaces another: the rest of its terms, and how much is left for it, it has from
    /// that when it comes.
    Replace,
}

/// One order, or room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(super) price: Ticks,
    pub(crate) quantity: Lots,
    pub(crate) filled: Lots,
    /// The operation that makes the order.
    pub(crate) operation: OpIndex,
    pub(crate) market: MarketIndex,
    /// The action that makes the order, by its place in the operation.
    pub(super) index: u8,
    pub(crate) side: Side,
    pub(crate) origin: Origin,
    pub(super) price_kind: PriceKind,
    pub(crate) time_in_force: TimeInForce,
    pub(super) self_trade: SelfTrade,
    pub(super) ended: Option<EndReason>,
    /// Whether the order is there.
    pub(super) is_taken: bool,
    /// Whether the present merge has touched it.
    pub(super) is_touched: bool,
}

impl Seat {
    /// Room for an order of which nothing is known yet.
    pub(super) fn reserved(operation: OpIndex, index: u8, market: MarketIndex) -> Self {
        Self {
            price: Ticks(0),
            quantity: Lots(0),
            filled: Lots(0),
            operation,
            market,
            index,
            side: Side::Buy,
            origin: Origin::Place,
            price_kind: PriceKind::None,
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::CancelNewest,
            ended: None,
            is_taken: false,
            is_touched: false,
        }
    }

    /// A seat for a new order with these terms.
    pub(super) fn placed(operation: OpIndex, index: u8, place: &Place) -> Self {
        let (price_kind, price) = match place.pricing {
            Pricing::Limit(price) => (PriceKind::Limit, price),
            Pricing::Market(Some(price)) => (PriceKind::Protection, price),
            Pricing::Market(None) => (PriceKind::None, Ticks(0)),
        };
        Self {
            price,
            price_kind,
            quantity: place.quantity,
            side: place.side,
            time_in_force: place.time_in_force,
            self_trade: place.self_trade,
            ..Self::reserved(operation, index, place.market)
        }
    }

    /// Room for an order that replaces another.
    pub(super) fn replacing(
        (operation, index): (OpIndex, u8),
        (market, side): (MarketIndex, Side),
        (price, quantity): (Ticks, Lots),
    ) -> Self {
        Self {
            price,
            price_kind: PriceKind::Limit,
            side,
            origin: Origin::Replace,
            quantity,
            ..Self::reserved(operation, index, market)
        }
    }

    /// Why the order is over, if it is.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    /// The limit or the protection price.
    pub(crate) fn price(&self) -> Option<Ticks> {
        (self.price_kind != PriceKind::None).then_some(self.price)
    }

    pub(super) fn pricing(&self) -> Pricing {
        match self.price_kind {
            PriceKind::Limit => Pricing::Limit(self.price),
            PriceKind::Protection | PriceKind::None => Pricing::Market(self.price()),
        }
    }
}

impl PriceKind {
    /// All of them, in order.
    const ALL: [Self; 3] = [Self::Limit, Self::Protection, Self::None];
}

/// Where the parts of the number begin that says all that few orders differ in, in bits.
mod shift {
    pub(super) const IS_TAKEN: u32 = 1;
    pub(super) const SIDE: u32 = 2;
    pub(super) const PRICE_KIND: u32 = 3;
    pub(super) const TIME_IN_FORCE: u32 = 5;
    pub(super) const SELF_TRADE: u32 = 7;
    /// 0 if the order is not over, or one more than the reason.
    pub(super) const ENDED: u32 = 9;
    pub(super) const MARKET: u32 = 13;
    pub(super) const ORIGIN: u32 = 29;
}

impl Row for Seat {
    type Columns = [u64; 6];

    #[inline]
    fn columns(&self) -> Self::Columns {
        let is_touched = u64::from(self.is_touched);
        let kinds = is_touched
            | u64::from(self.is_taken) << shift::IS_TAKEN
            | (self.side as u64) << shift::SIDE
            | (self.price_kind as u64) << shift::PRICE_KIND
            | (self.time_in_force as u64) << shift::TIME_IN_FORCE
            | (self.self_trade as u64) << shift::SELF_TRADE
            | self.ended.map_or(0, |reason| reason as u64 + 1) << shift::ENDED
            | u64::from(self.market.0) << shift::MARKET
            | (self.origin as u64) << shift::ORIGIN;
        [
            self.price.0,
            self.quantity.0,
            filled_apart(self.ended, self.quantity, self.filled.0),
            u64::from(self.operation.0),
            u64::from(self.index),
            kinds,
        ]
    }

    fn of(columns: &Self::Columns) -> Self {
        let [price, quantity, filled_column, operation, index, kinds] = *columns;
        let part = |from: u32, bits: u32| (kinds >> from & ((1 << bits) - 1)) as usize;
        let ended = part(shift::ENDED, 4).checked_sub(1);
        let ended = ended.map(|reason| EndReason::ALL[reason]);
        let quantity = Lots(quantity);
        Self {
            price: Ticks(price),
            quantity,
            filled: Lots(filled_apart(ended, quantity, filled_column)),
            operation: OpIndex(operation as u32),
            market: MarketIndex(part(shift::MARKET, 16) as u16),
            index: index as u8,
            side: [Side::Buy, Side::Sell][part(shift::SIDE, 1)],
            origin: [Origin::Place, Origin::Replace][part(shift::ORIGIN, 1)],
            price_kind: PriceKind::ALL[part(shift::PRICE_KIND, 2)],
            time_in_force: TimeInForce::ALL[part(shift::TIME_IN_FORCE, 2)],
            self_trade: SelfTrade::ALL[part(shift::SELF_TRADE, 2)],
            ended,
            is_taken: part(shift::IS_TAKEN, 1) == 1,
            is_touched: part(0, 1) == 1,
        }
    }
}

/// What an order filled, as a number that is 0 for nearly all: of one that ended as filled it is
/// what it did not fill. The same function leads back.
fn filled_apart(ended: Option<EndReason>, quantity: Lots, filled: u64) -> u64 {
    match ended {
        Some(EndReason::Filled) => quantity.0.wrapping_sub(filled),
        _ => filled,
    }
}

impl Settling for Seat {
    fn is_settled(&self) -> bool {
        !self.is_touched && (self.ended.is_some() || !self.is_taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_small() {
        assert_eq!(size_of::<Seat>(), 40);
    }

    #[test]
    fn a_seat_is_the_same_after_it_was_columns() {
        let reasons = EndReason::ALL.map(Some).into_iter().chain([None]);
        for ended in reasons {
            for (number, price_kind) in (0..).zip(PriceKind::ALL) {
                for (time_in_force, self_trade) in TimeInForce::ALL.into_iter().zip(SelfTrade::ALL)
                {
                    let seat = Seat {
                        price: Ticks(u64::MAX),
                        quantity: Lots(1 << 63),
                        filled: Lots(u64::MAX - number),
                        operation: OpIndex(u32::MAX),
                        market: MarketIndex(u16::MAX),
                        index: u8::MAX,
                        side: [Side::Buy, Side::Sell, Side::Buy][number as usize],
                        origin: [Origin::Place, Origin::Place, Origin::Replace][number as usize],
                        price_kind,
                        time_in_force,
                        self_trade,
                        ended,
                        is_taken: number == 1,
                        is_touched: number == 2,
                    };
                    assert_eq!(Seat::of(&seat.columns()), seat);
                }
            }
        }
    }

    #[test]
    fn enums_are_told_by_their_places() {
        assert!((0..).zip(EndReason::ALL).all(|(at, it)| it as u64 == at));
        assert!((0..).zip(TimeInForce::ALL).all(|(at, it)| it as u64 == at));
        assert!((0..).zip(SelfTrade::ALL).all(|(at, it)| it as u64 == at));
        assert!((0..).zip(PriceKind::ALL).all(|(at, it)| it as u64 == at));
    }
}
