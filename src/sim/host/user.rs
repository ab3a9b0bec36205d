//! The users of a node: what they want to trade.

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::{Engine, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{ACTIONS_MAX, Action, Place};
use bitfitech_core::types::{Lots, MarketIndex, Now, OpId, OrderId, Side, Ticks};
use bitfitech_core::view::OrderRow;

use crate::config::Workload;
use crate::random::Random;
use crate::world::World;

/// The price around which all orders are, in ticks.
const REFERENCE_TICKS: u64 = 3_000_000;

/// Own orders that a user remembers, to cancel and replace them.
const OWN_MAX: usize = 64;

/// Most of a user's quotes that one operation of a market maker touches.
const QUOTES_MAX: u64 = 8;

/// Least and greatest lifetime of an order that expires, in milliseconds: some are over before all
/// nodes have heard of them.
const LIFETIME_MS: (u64, u64) = (50, 15_000);

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
        now: Now,
        exchange: &Exchange<E>,
        world: &World,
        seed: u64,
    ) -> Vec<Action> {
        let mut random = Random::new(seed);
        match world.config.workload {
            Workload::Makers => self.quote(&mut random, now, exchange, world),
            _ => vec![self.act(&mut random, exchange, world)],
        }
    }

    /// One action: a cancel, a change or a new order.
    fn act<E: Engine>(
        &mut self,
        random: &mut Random,
        exchange: &Exchange<E>,
        world: &World,
    ) -> Action {
        let market = world.any_market(random);
        let workload = world.config.workload;
        if workload == Workload::Fleeting {
            return Action::Place(fleeting(random, market));
        }
        let kind = random.below(100);
        let (cancels, replaces) = match workload {
            Workload::Hot => (30, 5),
            Workload::Steady | Workload::Fleeting | Workload::Makers => (25, 10),
        };
        if kind < cancels
            && let Some((market, order)) = self.pick(random)
        {
            return Action::Cancel { market, order };
        }
        if kind < cancels + replaces
            && let Some((_, order)) = self.pick(random)
            && let Some(row) = exchange.replica().order(&order)
        {
            return replace(random, &row);
        }
        Action::Place(place(random, market, workload))
    }

    /// What a market maker does at once: he quotes several orders, moves some of them, or takes all
    /// of them back.
    fn quote<E: Engine>(
        &mut self,
        random: &mut Random,
        now: Now,
        exchange: &Exchange<E>,
        world: &World,
    ) -> Vec<Action> {
        if random.below(10) == 0 {
            let known = |(_, order): &(_, OrderId)| exchange.replica().order(order).is_some();
            let all = self.own.drain(..).filter(known);
            let cancels = all.map(|(market, order)| Action::Cancel { market, order });
            let cancels: Vec<Action> = cancels.take(ACTIONS_MAX).collect();
            if !cancels.is_empty() {
                return cancels;
            }
        }
        let touched = 1 + random.below(QUOTES_MAX);
        let mut actions: Vec<Action> = (0..touched)
            .map(|_| self.act(random, exchange, world))
            .collect();
        for action in &mut actions {
            if let Action::Place(place) = action
                && place.may_rest()
                && random.below(3) == 0
            {
                let (least_ms, greatest_ms) = LIFETIME_MS;
                place.expires_ms = Some(now.unix_ms + random.between(least_ms, greatest_ms));
            }
        }
        actions
    }

    /// An operation was written: each of its actions, in these markets, may have made an order.
    pub fn note(&mut self, markets: &[MarketIndex], id: &OpId) {
        for (index, market) in (0..).zip(markets) {
            if self.own.len() == OWN_MAX {
                self.own.remove(0);
            }
            self.own.push((*market, OrderId::new(id, index)));
        }
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

/// Makes an order larger or smaller; a larger one loses its place in the queue.
fn replace(random: &mut Random, row: &OrderRow) -> Action {
    let raises = random.below(2) == 0;
    Action::Replace {
        market: row.market,
        order: row.order,
        side: row.side,
        price: row.price.filter(|_| raises),
        quantity: Lots(if raises {
            row.quantity.0 + 1_000
        } else {
            (row.quantity.0 / 2).max(1)
        }),
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
        Workload::Steady | Workload::Fleeting | Workload::Makers => (25, 200),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bitfitech_core::exchange::OwnChain;
    use bitfitech_core::matching::{Book, EndReason};
    use bitfitech_core::view::Change;
    use ed25519_zebra::SigningKey;

    use super::*;
    use crate::clock::EPOCH_UNIX_MS;
    use crate::scenario;

    /// What a maker wants, a second apart, written to a node of his own.
    #[test]
    fn makers_act_in_many_markets_at_once_and_take_all_back_and_let_orders_expire() {
        let world = World::new(scenario::find("makers").expect("it is one"));
        let key = SigningKey::from([7; 32]);
        let mut exchange = Exchange::new(world.genesis.clone(), key, Book::new);
        let (mut user, mut random) = (User::default(), Random::new(1));
        let at = |second: u64| Now {
            monotonic_ms: second * 1_000,
            unix_ms: EPOCH_UNIX_MS + second * 1_000,
        };
        exchange.handle_restored(at(0), OwnChain::Complete);
        let (mut markets_most, mut cancels_most) = (0, 0);
        for second in 1..200 {
            let actions = user.decide(at(second), &exchange, &world, random.any());
            let markets: Vec<MarketIndex> = actions.iter().filter_map(Action::market).collect();
            let cancels = actions
                .iter()
                .filter(|action| matches!(action, Action::Cancel { .. }));
            cancels_most = cancels_most.max(cancels.count());
            markets_most = markets_most.max(markets.iter().collect::<BTreeSet<_>>().len());
            let written = exchange.submit(at(second), actions);
            user.note(&markets, &written.expect("users want what is possible"));
        }
        assert_eq!(markets_most, 3);
        assert!(cancels_most > QUOTES_MAX as usize, "{cancels_most}");
        exchange.handle_tick(at(200));
        let orders = exchange
            .replica()
            .snapshot()
            .filter_map(|change| match change {
                Change::Order { row, .. } => Some(row),
                _ => None,
            });
        let expired = orders.filter(|row| row.ended == Some(EndReason::Expired));
        let expired = expired.count();
        assert!(expired > 20, "{expired} orders expired");
    }
}
