//! Properties 8, 9, 10 and 13: every quantity is accounted for, the book is never crossed, every
//! fill is within both limits at the maker's price, and nobody trades with himself.

use std::collections::BTreeMap;

use bitfitech_core::confirmation::OrderPair;
use bitfitech_core::matching::EndReason;
use bitfitech_core::op::{Action, Verified};
use bitfitech_core::types::{OrderId, Side};
use bitfitech_core::view::{OrderRow, OrderStatus, TradeRow, TradeStatus};

use crate::facts::Facts;
use crate::network::{Books, Network, Peer};
use crate::scenario::for_all_scenarios;

/// Tries a property on the facts of every node after every merge.
fn for_all_facts(cases: u32, property: impl Fn(&Facts, &Peer)) {
    for_all_scenarios(cases, |scenario| {
        let check = |peer: &Peer| property(&Facts::of(peer.exchange.replica()), peer);
        let mut network = Network::run_with(&scenario, |network, node, books| {
            if books == Books::Merged {
                check(&network.peers[node]);
            }
        });
        network.settle(scenario.shuffle);
        network.peers.iter().for_each(check);
    });
}

/// What each order has traded, by the tape.
fn traded(facts: &Facts) -> BTreeMap<OrderId, u64> {
    let mut traded = BTreeMap::new();
    for trade in &facts.trades {
        *traded.entry(trade.buy).or_insert(0) += trade.quantity.0;
        *traded.entry(trade.sell).or_insert(0) += trade.quantity.0;
    }
    traded
}

/// The quantity of an order's final trades.
fn final_quantity(facts: &Facts, order: &OrderId) -> u64 {
    let own = facts
        .trades
        .iter()
        .filter(|trade| [trade.buy, trade.sell].contains(order));
    let finals = own.filter(|trade| trade.status == TradeStatus::Final);
    finals.map(|trade| trade.quantity.0).sum()
}

/// Whether an owner has taken a half of this order back at his own risk.
fn is_released(peer: &Peer, order: &OrderId) -> bool {
    let mut actions = peer.applied.iter().flat_map(|other| &other.body().actions);
    actions.any(|action| matches!(action, Action::Release { own, .. } if own == order))
}

/// Whether the owner of an order that replaced another has signed more of it than was left: what
/// may be promised of it is its new total, and that includes what was filled before it was
/// replaced. A node by itself signs what it is shown, but authors here sign other quantities too.
fn is_promised_beyond_the_rest(peer: &Peer, order: &OrderId) -> bool {
    let made_by_replace = peer.applied.iter().any(|operation| {
        let mut actions = operation.body().actions.iter().zip(0..);
        actions.any(|(action, index)| {
            let is_replace = matches!(action, Action::Replace { .. });
            is_replace && OrderId::new(&operation.id(), index) == *order
        })
    });
    let (confirmations, dag) = (peer.exchange.confirmations(), peer.exchange.dag());
    let partners = confirmations.partners(order, dag);
    let halves = partners.flat_map(|other| confirmations.halves(order, &other, dag));
    let promised: u64 = halves.map(|half| half.quantity.0).sum();
    let row = peer.exchange.replica().order(order);
    made_by_replace && row.is_some_and(|row| promised > row.quantity.0)
}

/// Whether more may be promised of an order than there is: its owner, or the owner of one that he
/// signed for, is a proven forker, or he took a half back by hand and was answered all the same, or
/// he signed away what a replaced order had filled.
fn may_be_overfilled(peer: &Peer, order: &OrderId) -> bool {
    if is_released(peer, order) || is_promised_beyond_the_rest(peer, order) {
        return true;
    }
    let dag = peer.exchange.dag();
    let partners = peer.exchange.confirmations().partners(order, dag);
    partners.chain([*order]).any(|order| {
        let author = dag.author_of_order(&order);
        author.is_some_and(|author| dag.fork_of(&author).is_some())
    })
}

#[test]
fn the_orders_and_the_tape_agree_and_no_order_trades_more_than_its_quantity() {
    for_all_facts(32, |facts, peer| {
        let traded = traded(facts);
        let mut by_side = [0_u128; 2];
        for row in &facts.orders {
            let by_tape = traded.get(&row.order).copied().unwrap_or(0);
            assert_eq!(row.filled.0, by_tape, "order and tape disagree");
            by_side[usize::from(row.side == Side::Buy)] += u128::from(row.filled.0);
            let is_exempt = may_be_overfilled(peer, &row.order);
            assert!(
                is_exempt || row.filled <= row.quantity,
                "more is filled than there was"
            );
            if is_exempt {
                continue;
            }
            let is_filled = row.status() == OrderStatus::Filled;
            let nothing_left = row.filled == row.quantity;
            // One that ended before may trade still what was promised of it.
            assert!(!is_filled || nothing_left, "{row:?}");
            assert!(!nothing_left || row.ended.is_some(), "{row:?}");
            if row.status() == OrderStatus::Rejected {
                let finals = final_quantity(facts, &row.order);
                assert_eq!(row.filled.0, finals, "a rejected order has traded");
            }
        }
        assert_eq!(by_side[0], by_side[1], "bought is not sold");
    });
}

/// The quantity that each action gave its order: its own, or for a replaced one what was left.
fn placed(operations: &[Verified], facts: &Facts) -> BTreeMap<OrderId, u64> {
    let mut placed = BTreeMap::new();
    for operation in operations {
        for (action, index) in operation.body().actions.iter().zip(0..) {
            let id = OrderId::new(&operation.id(), index);
            match action {
                Action::Place(place) => {
                    placed.insert(id, place.quantity.0);
                }
                Action::Replace {
                    order, quantity, ..
                } => {
                    let retired = facts.orders.iter().find(|row| row.order == *order);
                    let left = retired.map(|old| quantity.0.saturating_sub(old.filled.0));
                    placed.insert(id, left.unwrap_or(0));
                }
                Action::Cancel { .. }
                | Action::Confirm(_)
                | Action::Decline { .. }
                | Action::Release { .. }
                | Action::Member { .. } => {}
            }
        }
    }
    placed
}

#[test]
fn every_placed_quantity_is_open_or_filled_or_ended_for_a_reason() {
    for_all_facts(32, |facts, peer| {
        let placed = placed(&peer.applied, facts);
        let mut ended: BTreeMap<OrderStatus, u128> = BTreeMap::new();
        let (mut total, mut open, mut filled) = (0_u128, 0_u128, 0_u128);
        for row in &facts.orders {
            // One that never came to be is shown with what its owner has signed of it.
            let is_exempt =
                row.ended == Some(EndReason::NotPlaced) || may_be_overfilled(peer, &row.order);
            let has_grown = row.quantity.0 > placed[&row.order];
            assert!(is_exempt || !has_grown, "an order has grown");
            total += u128::from(row.quantity.0.max(row.filled.0));
            open += u128::from(row.remaining().0);
            filled += u128::from(row.filled.0);
            let used = row.filled.0 + row.remaining().0;
            let rest = row.quantity.0.saturating_sub(used);
            *ended.entry(row.status()).or_insert(0) += u128::from(rest);
        }
        assert_eq!(ended.get(&OrderStatus::Filled).copied().unwrap_or(0), 0);
        assert_eq!(ended.get(&OrderStatus::Open).copied().unwrap_or(0), 0);
        assert_eq!(total, open + filled + ended.values().sum::<u128>());
        assert_eq!(open, in_books(facts), "open orders and books disagree");
    });
}

/// The quantity in all books.
fn in_books(facts: &Facts) -> u128 {
    let levels = facts.levels.iter().flatten().flatten();
    levels.map(|level| level.quantity).sum()
}

/// Exactly one order follows from a replace that retired another, and each is its author's.
#[test]
fn a_retired_order_has_exactly_one_successor_of_the_same_author_and_side() {
    for_all_facts(32, |facts, peer| {
        for retired in facts
            .orders
            .iter()
            .filter(|row| row.ended == Some(EndReason::Replaced))
        {
            let successors: Vec<&OrderRow> = peer
                .applied
                .iter()
                .flat_map(|operation| {
                    let actions = operation.body().actions.iter().zip(0..);
                    actions.map(|(action, index)| (action, OrderId::new(&operation.id(), index)))
                })
                .filter(|(action, _)| {
                    matches!(action, Action::Replace { order, .. } if *order == retired.order)
                })
                .filter_map(|(_, id)| facts.orders.iter().find(|row| row.order == id))
                .collect();
            let [successor] = successors[..] else {
                panic!("{} successors", successors.len());
            };
            assert_eq!(successor.author, retired.author);
            assert_eq!(
                (successor.side, successor.market),
                (retired.side, retired.market)
            );
        }
    });
}

/// Whether one of two orders was refused by the owner of the other.
fn is_declined(peer: &Peer, first: &OrderId, second: &OrderId) -> bool {
    let (confirmations, dag) = (peer.exchange.confirmations(), peer.exchange.dag());
    confirmations.has_refused(first, second, dag) || confirmations.has_refused(second, first, dag)
}

/// What of an open order is not promised to anyone who could still take it.
fn free(facts: &Facts, peer: &Peer, row: &OrderRow) -> u64 {
    let confirmations = peer.exchange.confirmations();
    let partners = confirmations.partners(&row.order, peer.exchange.dag());
    let promised = partners.map(|other| {
        let pair = OrderPair::new(row.order, other);
        let terms = confirmations.terms(&pair, peer.exchange.dag());
        let traded = facts.trades.iter().filter(|trade| {
            let orders = [trade.buy, trade.sell];
            orders.contains(&row.order) && orders.contains(&other)
        });
        let traded: u64 = traded.map(|trade| trade.quantity.0).sum();
        let withheld = terms.withheld_of(&pair, &row.order);
        withheld.saturating_sub(traded)
    });
    row.remaining().0.saturating_sub(promised.sum())
}

#[test]
fn what_is_free_in_the_book_is_never_crossed_but_between_a_refused_pair() {
    for_all_facts(32, |facts, peer| {
        let is_open = |row: &&OrderRow| row.status() == OrderStatus::Open;
        for bid in facts.orders.iter().filter(is_open) {
            let asks = facts.orders.iter().filter(is_open).filter(|ask| {
                let opposite = (ask.market, ask.side) == (bid.market, bid.side.opposite());
                opposite && bid.side == Side::Buy && bid.price >= ask.price
            });
            for ask in asks {
                let both = [bid, ask].map(|row| free(facts, peer, row));
                assert!(
                    both.contains(&0) || is_declined(peer, &bid.order, &ask.order),
                    "{bid:?} and {ask:?} do not meet"
                );
            }
        }
    });
}

/// Maker and taker of a trade.
fn parties<'a>(trade: &TradeRow, facts: &'a Facts) -> (&'a OrderRow, &'a OrderRow) {
    let (buy, sell) = (facts.order(&trade.buy), facts.order(&trade.sell));
    match trade.taker {
        Side::Buy => (sell, buy),
        Side::Sell => (buy, sell),
    }
}

#[test]
fn fills_are_within_both_limits_at_the_makers_price() {
    for_all_facts(32, |facts, _| {
        for trade in &facts.trades {
            let (maker, taker) = parties(trade, facts);
            assert_eq!(Some(trade.price), maker.price, "not at the maker's price");
            let within = taker
                .price
                .is_none_or(|limit| taker.side.accepts(limit, trade.price));
            assert!(within, "worse than the taker's limit");
            assert!(trade.quantity.0 > 0);
            assert_eq!((maker.market, taker.market), (trade.market, trade.market));
            assert_eq!(
                (maker.side, taker.side),
                (trade.taker.opposite(), trade.taker)
            );
        }
    });
}

#[test]
fn nobody_trades_with_himself() {
    for_all_facts(32, |facts, _| {
        for trade in &facts.trades {
            let (maker, taker) = parties(trade, facts);
            assert_ne!(maker.author, taker.author);
        }
    });
}

#[test]
fn the_trades_told_to_whom_places_an_order_are_those_in_which_it_takes() {
    for_all_facts(32, |facts, peer| {
        for row in &facts.orders {
            let taken = facts
                .trades
                .iter()
                .filter(|trade| parties(trade, facts).1.order == row.order);
            let told = peer.exchange.replica().trades_on_entry(&row.order);
            let told = told.into_iter().map(|trade| TradeRow {
                revision: 1,
                ..trade
            });
            assert!(told.eq(taken.cloned()), "{row:?}");
        }
    });
}
