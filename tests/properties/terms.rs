//! What was signed about orders may become known in any order, and however much of the market has
//! to be done again for it, the books are those of a replica that knew it from the beginning.
//!
//! Here few orders at few prices have much signed about them, more than they have now and then, as
//! by forkers: what a promise reaches back over is tried densely, without networks and signatures.

use std::collections::BTreeMap;

use bitfitech_core::confirmation::{OrderPair, PairTerms};
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::{Oracle, TimeInForce};
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, Place, Verified};
use bitfitech_core::replica::Replica;
use bitfitech_core::types::{HybridTime, Lots, MarketIndex, OpId, OrderId, Side, Ticks};
use ed25519_zebra::SigningKey;
use proptest::prelude::*;

use crate::facts::{Facts, markets};
use crate::network::{BEGIN_MS, author_of, genesis, limit};

const MARKET: MarketIndex = MarketIndex(0);

/// Each author has one order, so none trades with himself.
#[derive(Clone, Debug)]
struct Order {
    side: Side,
    price: u64,
    quantity: u64,
    time_in_force: TimeInForce,
    end: End,
}

/// What its author does to an order later.
#[derive(Clone, Copy, Debug)]
enum End {
    Nothing,
    Cancel,
    Reduce,
    Move,
}

/// What was signed about two orders: numbers of a buy and a sell.
#[derive(Clone, Debug)]
struct Signed {
    pair: (prop::sample::Index, prop::sample::Index),
    complete: Vec<u64>,
    halves: [u64; 2],
    declined: bool,
}

fn order() -> impl Strategy<Value = Order> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let time_in_force = prop_oneof![
        8 => Just(TimeInForce::GoodTillCancel),
        1 => Just(TimeInForce::ImmediateOrCancel),
        1 => Just(TimeInForce::FillOrKill),
        1 => Just(TimeInForce::PostOnly),
    ];
    let end = prop_oneof![
        6 => Just(End::Nothing),
        1 => Just(End::Cancel),
        1 => Just(End::Reduce),
        1 => Just(End::Move),
    ];
    (side, 10..13_u64, 1..9_u64, time_in_force, end).prop_map(
        |(side, price, quantity, time_in_force, end)| Order {
            side,
            price,
            quantity,
            time_in_force,
            end,
        },
    )
}

fn signed() -> impl Strategy<Value = Signed> {
    let pair = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let complete = prop::collection::vec(1..5_u64, 0..2);
    let halves = prop::array::uniform2(0..5_u64);
    let declined = prop::bool::weighted(0.2);
    (pair, complete, halves, declined).prop_map(|(pair, complete, halves, declined)| Signed {
        pair,
        complete,
        halves,
        declined,
    })
}

/// A market with all that is known of it.
struct World {
    genesis: Genesis,
    operations: Vec<Verified>,
    /// Side, price and id of each order.
    orders: Vec<(Side, u64, OrderId)>,
    terms: BTreeMap<OrderPair, PairTerms>,
}

impl World {
    fn new(orders: &[Order]) -> Self {
        let mut world = Self {
            genesis: genesis("terms"),
            operations: Vec::new(),
            orders: Vec::new(),
            terms: BTreeMap::new(),
        };
        for (number, order) in (1..).zip(orders) {
            let Action::Place(place) = limit(order.side, order.price, order.quantity) else {
                panic!("a limit order is placed");
            };
            let place = Action::Place(Place {
                time_in_force: order.time_in_force,
                ..place
            });
            let at_ms = 20 * u64::from(number);
            let placed = world.write(number, (0, None), at_ms, place);
            let own = OrderId::new(&placed, 0);
            world.orders.push((order.side, order.price, own));
            let ends_ms = at_ms + 37 * (1 + order.quantity);
            let replace = |price, quantity| Action::Replace {
                market: MARKET,
                order: own,
                side: order.side,
                price,
                quantity: Lots(quantity),
            };
            let end = match order.end {
                End::Nothing => continue,
                End::Cancel => Action::Cancel {
                    market: MARKET,
                    order: own,
                },
                End::Reduce => replace(None, 1 + order.quantity / 2),
                End::Move => replace(Some(Ticks(11)), order.quantity + 1),
            };
            let ended = world.write(number, (1, Some(placed)), ends_ms, end);
            if let End::Move = order.end {
                let id = OrderId::new(&ended, 0);
                world.orders.push((order.side, 11, id));
            }
        }
        world
    }

    fn write(
        &mut self,
        author: u8,
        (seq, prev): (u64, Option<OpId>),
        at_ms: u64,
        action: Action,
    ) -> OpId {
        let key = SigningKey::from([author; 32]);
        let body = Body {
            version: OPERATION_VERSION,
            author: author_of(&key),
            seq,
            prev,
            time: HybridTime::from_unix_ms(BEGIN_MS + at_ms),
            refs: Vec::new(),
            checkpoint: 0,
            actions: vec![action],
        };
        let digest = self.genesis.digest();
        let operation = Verified::sign(body, &key, &self.genesis, &digest).expect("well-formed");
        let id = operation.id();
        self.operations.push(operation);
        id
    }

    /// The pair that something was signed about and its new terms, if the two cross.
    fn sign(&mut self, signed: &Signed) -> Option<(OrderPair, PairTerms)> {
        let of_side = |side| {
            let orders = self.orders.iter();
            let own = orders.filter(move |order| order.0 == side);
            own.copied().collect::<Vec<_>>()
        };
        let (buys, sells) = (of_side(Side::Buy), of_side(Side::Sell));
        if buys.is_empty() || sells.is_empty() {
            return None;
        }
        let (_, bid, buy) = *signed.pair.0.get(&buys);
        let (_, ask, sell) = *signed.pair.1.get(&sells);
        if bid < ask {
            return None;
        }
        let pair = OrderPair::new(buy, sell);
        let before = self.terms.get(&pair).cloned().unwrap_or_default();
        // What is final stays so, and a refusal too.
        let complete = before.complete.iter().copied();
        let complete = complete.chain(signed.complete.iter().copied().map(Lots));
        let terms = PairTerms {
            complete: complete.collect(),
            low_half: Lots(signed.halves[0]),
            high_half: Lots(signed.halves[1]),
            // Which of the two makes the price is all the same here.
            price: Ticks(ask),
            declined: before.declined || signed.declined,
        };
        self.terms.insert(pair, terms.clone());
        Some((pair, terms))
    }

    fn empty(&self) -> Replica<Oracle> {
        let engines = markets().map(|_| Oracle::new());
        Replica::new(&self.genesis, &[7; 32], engines)
    }

    /// The facts of a replica that is told everything at once.
    fn facts_at_once(&self) -> Facts {
        let mut replica = self.empty();
        for operation in &self.operations {
            replica.insert(operation, 0);
        }
        for (pair, terms) in &self.terms {
            replica.stage_terms(MARKET, *pair, terms.clone(), OpId::default());
        }
        replica.merge_all();
        Facts::of(&replica)
    }
}

proptest! {
    #[test]
    fn terms_may_become_known_in_any_order(
        orders in prop::collection::vec(order(), 4..16),
        signed in prop::collection::vec(signed(), 1..24),
        merges in prop::collection::vec(any::<bool>(), 24),
    ) {
        let mut world = World::new(&orders);
        let mut replica = world.empty();
        for operation in &world.operations {
            replica.insert(operation, 0);
        }
        replica.merge_all();
        for (signed, merges) in signed.iter().zip(&merges) {
            let Some((pair, terms)) = world.sign(signed) else {
                continue;
            };
            replica.stage_terms(MARKET, pair, terms, OpId::default());
            if *merges {
                replica.merge_all();
                prop_assert_eq!(Facts::of(&replica), world.facts_at_once());
            }
        }
        replica.merge_all();
        prop_assert_eq!(Facts::of(&replica), world.facts_at_once());
    }
}
