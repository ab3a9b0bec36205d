//! A refusal of two orders takes back no more than it changes: mostly nothing, where they did not
//! trade. That what the node then shows is right in every case is compared with a replay from
//! scratch, after each operation ([`Table`]).

use bitfitech_core::matching::{EndReason, SelfTrade, TimeInForce};
use bitfitech_core::op::Action;
use bitfitech_core::types::{Lots, MarketIndex, Side, Ticks};
use proptest::collection::vec as vector;
use proptest::prelude::*;

use crate::network::limit;
use crate::scenario::for_all;
use crate::table::{Table, decline, instructed};

const ALL_TIMES: [TimeInForce; 4] = [
    TimeInForce::GoodTillCancel,
    TimeInForce::ImmediateOrCancel,
    TimeInForce::FillOrKill,
    TimeInForce::PostOnly,
];

const ALL_SELF_TRADES: [SelfTrade; 3] = [
    SelfTrade::CancelNewest,
    SelfTrade::CancelOldest,
    SelfTrade::CancelBoth,
];

/// An order to buy that only wants to rest.
fn post_only(price: u64) -> Action {
    let order = limit(Side::Buy, price, 3);
    instructed(order, TimeInForce::PostOnly, SelfTrade::CancelNewest)
}

#[test]
fn a_post_only_order_enters_when_all_that_it_would_meet_is_refused() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let post = table.place(2, 200, post_only(10));
    assert_eq!(table.order(&post).ended, Some(EndReason::WouldTake));
    table.write(2, 300, &[], vec![decline(post, maker)]);
    assert_eq!(table.order(&post).ended, None);
}

#[test]
fn so_does_one_that_replaces_another() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let old = table.place(2, 200, post_only(9));
    let replace = Action::Replace {
        market: MarketIndex(0),
        order: old,
        side: Side::Buy,
        price: Some(Ticks(10)),
        quantity: Lots(3),
    };
    let post = table.place(2, 300, replace);
    assert_eq!(table.order(&post).ended, Some(EndReason::WouldTake));
    table.write(2, 400, &[], vec![decline(post, maker)]);
    assert_eq!(table.order(&post).ended, None);
}

fn any_order() -> impl Strategy<Value = (u8, Action)> {
    let kind = (0..ALL_TIMES.len(), 0..ALL_SELF_TRADES.len());
    let terms = (any::<bool>(), 8..12_u64, 1..6_u64);
    (1..4_u8, terms, kind).prop_map(|(author, (buys, price, quantity), kind)| {
        let side = if buys { Side::Buy } else { Side::Sell };
        let order = limit(side, price, quantity);
        (
            author,
            instructed(order, ALL_TIMES[kind.0], ALL_SELF_TRADES[kind.1]),
        )
    })
}

#[test]
fn whatever_is_refused_the_books_are_those_of_a_replay() {
    let index = any::<prop::sample::Index>;
    let placed = vector(any_order(), 4..12);
    let refused = vector((index(), index()), 1..10);
    for_all(64, &(placed, refused), |(placed, refused)| {
        let mut table = Table::new();
        let mut at_ms = (1..).map(|number| number * 100);
        let mut time = || at_ms.next().expect("it never ends");
        let orders: Vec<_> = placed
            .into_iter()
            .map(|(author, action)| (author, table.place(author, time(), action)))
            .collect();
        for (own, other) in refused {
            let ((author, own), (partner, other)) = (own.get(&orders), other.get(&orders));
            if author != partner && table.order(own).side != table.order(other).side {
                table.write(*author, time(), &[], vec![decline(*own, *other)]);
            }
        }
    });
}
