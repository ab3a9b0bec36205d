//! The users of a node: what they want to trade.

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::{Engine, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, Place};
use bitfitech_core::types::{Lots, MarketIndex, OpId, OrderId, Side, Ticks};

use crate::config::Workload;
use crate::random::Random;
use crate::world::World;

/// The price around which all orders are, in ticks.
const REFERENCE_TICKS: u64 = 3_000_000;

/// Own orders that a user remembers, to cancel and replace them.
const OWN_MAX: usize = 64;

/// A user.
#[derive(Debug, Default)]
pub struct User {
    /// Orders that may still be open, and their markets.
    own: Vec<(MarketIndex, OrderId)>,
}

impl User {
    /// The actions of the next operation.
    pub fn decide<E: Engine>(
        &mut self,
        exchange: &Exchange<E>,
        world: &World,
        seed: u64,
    ) -> Vec<Action> {
        let mut random = Random::new(seed);
        let market = world.any_market(&mut random);
        let workload = world.config.workload;
        if workload == Workload::Fleeting {
            return vec![Action::Place(fleeting(&mut random, market))];
        }
        let kind = random.below(100);
        let (cancels, replaces) = match workload {
            Workload::Hot => (30, 5),
            Workload::Steady | Workload::Fleeting => (25, 10),
        };
        if kind < cancels
            && let Some((market, order)) = self.pick(&mut random)
        {
            return vec![Action::Cancel { market, order }];
        }
        if kind < cancels + replaces
            && let Some((market, order)) = self.pick(&mut random)
            && let Some(row) = exchange.replica().order(&order)
        {
            let raises = random.below(2) == 0;
            return vec![Action::Replace {
                market,
                order,
                side: row.side,
                price: row.price.filter(|_| raises),
                quantity: Lots(if raises {
                    row.quantity.0 + 1_000
                } else {
                    (row.quantity.0 / 2).max(1)
                }),
            }];
        }
        vec![Action::Place(place(&mut random, market, workload))]
    }

    /// An operation was written: its first action, in this market, may have made an order.
    pub fn note(&mut self, market: MarketIndex, id: &OpId) {
        if self.own.len() == OWN_MAX {
            self.own.remove(0);
        }
        self.own.push((market, OrderId::new(id, 0)));
    }

    /// The user starts anew.
    pub fn forget(&mut self) {
        self.own.clear();
    }

    fn pick(&mut self, random: &mut Random) -> Option<(MarketIndex, OrderId)> {
        if self.own.is_empty() {
            return None;
        }
        let at = random.index(self.own.len());
        Some(self.own.swap_remove(at))
    }
}

/// A new order that finds an empty book and does not rest.
fn fleeting(random: &mut Random, market: MarketIndex) -> Place {
    Place {
        market,
        side: Side::Buy,
        pricing: Pricing::Limit(Ticks(REFERENCE_TICKS)),
        quantity: Lots((1 + random.below(100)) * 1_000),
        time_in_force: TimeInForce::ImmediateOrCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    }
}

/// A new order: it rests behind the reference price, or takes across it.
fn place(random: &mut Random, market: MarketIndex, workload: Workload) -> Place {
    let side = match random.below(2) {
        0 => Side::Buy,
        _ => Side::Sell,
    };
    let (takes_percent, width) = match workload {
        Workload::Hot => (60, 5),
        Workload::Steady | Workload::Fleeting => (25, 200),
    };
    let distance = random.below(width) + 1;
    let takes = random.below(100) < takes_percent;
    let price = match (side, takes) {
        (Side::Buy, false) | (Side::Sell, true) => REFERENCE_TICKS - distance,
        (Side::Sell, false) | (Side::Buy, true) => REFERENCE_TICKS + distance,
    };
    let time_in_force = match random.below(20) {
        0 => TimeInForce::ImmediateOrCancel,
        1 => TimeInForce::FillOrKill,
        2 => TimeInForce::PostOnly,
        _ => TimeInForce::GoodTillCancel,
    };
    let pricing = match random.below(25) {
        0 if takes => Pricing::Market(Some(Ticks(price))),
        _ => Pricing::Limit(Ticks(price)),
    };
    let self_trade = match random.below(10) {
        0 => SelfTrade::CancelOldest,
        1 => SelfTrade::CancelBoth,
        _ => SelfTrade::CancelNewest,
    };
    Place {
        market,
        side,
        pricing,
        quantity: Lots((1 + random.below(100)) * 1_000),
        time_in_force,
        self_trade,
        expires_ms: None,
    }
}
