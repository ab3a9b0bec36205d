//! The rules of final trades (see `docs/PROTOCOL.md`), each by a small example.

use bitfitech_core::confirmation::ConfirmationError;
use bitfitech_core::matching::{EndReason, SelfTrade, TimeInForce};
use bitfitech_core::op::Action;
use bitfitech_core::types::{Lots, MarketIndex, OrderId, Side};
use bitfitech_core::view::TradeStatus::{Final, Tentative};

use crate::network::limit;
use crate::table::{Table, decline, half, instructed, release};

/// A limit order on these terms.
fn on_terms(side: Side, quantity: u64, time_in_force: TimeInForce) -> Action {
    let order = limit(side, 10, quantity);
    instructed(order, time_in_force, SelfTrade::CancelNewest)
}

/// Author 1 sells 5 at 10, author 2 takes them.
fn trade() -> (Table, OrderId, OrderId) {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let taker = table.place(2, 200, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);
    (table, maker, taker)
}

/// Author 1 sells 5 at 10; author 2 wants them much later and is promised all of them.
fn promised() -> (Table, OrderId, OrderId) {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let taker = table.place(2, 900, limit(Side::Buy, 10, 5));
    table.write(1, 1_000, &[], vec![half(maker, taker, 0, 5, 10)]);
    (table, maker, taker)
}

#[test]
fn halves_that_match_make_a_trade_final_and_those_too_far_apart_do_not() {
    for (answered_ms, status) in [(700, Final), (701, Tentative)] {
        let (mut table, maker, taker) = trade();
        table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
        assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);
        table.write(1, answered_ms, &[], vec![half(maker, taker, 0, 5, 10)]);
        assert_eq!(table.trades_of(&maker, &taker), [(5, status)]);
    }
}

#[test]
fn what_a_taker_withholds_waits_for_its_partner_though_a_better_one_comes_late() {
    let (mut table, maker, taker) = trade();
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let better = table.place(3, 150, limit(Side::Sell, 9, 5));
    assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);
    assert_eq!(table.trades_of(&better, &taker), []);
}

#[test]
fn the_smaller_quantity_counts_and_the_excess_is_free_again() {
    let (mut table, maker, taker) = trade();
    let better = table.place(3, 150, limit(Side::Sell, 9, 5));
    assert_eq!(table.trades_of(&better, &taker), [(5, Tentative)]);
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    assert_eq!(table.trades_of(&better, &taker), []);
    table.write(1, 400, &[], vec![half(maker, taker, 0, 3, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(3, Final)]);
    assert_eq!(table.trades_of(&better, &taker), [(2, Tentative)]);
}

#[test]
fn the_pieces_of_a_pair_are_numbered_and_confirmed_one_after_the_other() {
    let (mut table, maker, taker) = trade();
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let answer = vec![half(maker, taker, 0, 3, 10)];
    let answered = table.write(1, 400, &[taken], answer);
    assert_eq!(
        table.trades_of(&maker, &taker),
        [(3, Final), (2, Tentative)]
    );
    let second = vec![half(taker, maker, 1, 2, 10)];
    let taken = table.write(2, 500, &[answered], second);
    table.write(1, 600, &[taken], vec![half(maker, taker, 1, 2, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(3, Final), (2, Final)]);
}

#[test]
fn a_half_is_given_back_once_the_partner_can_no_longer_answer_it() {
    let (mut table, maker, taker) = trade();
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let better = table.place(3, 150, limit(Side::Sell, 9, 5));
    // Others may write, and so may the author himself: only the partner's own word counts.
    table.write(2, 720, &[], Vec::new());
    table.write(3, 710, &[], Vec::new());
    table.write(1, 700, &[], Vec::new());
    assert_eq!(table.trades_of(&better, &taker), []);
    table.write(1, 701, &[], Vec::new());
    assert_eq!(table.trades_of(&better, &taker), [(5, Tentative)]);
    assert_eq!(table.trades_of(&maker, &taker), []);
}

#[test]
fn a_refusal_gives_back_and_the_two_no_longer_meet() {
    let (mut table, maker, taker) = trade();
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let late = table.place(3, 250, limit(Side::Sell, 10, 4));
    table.write(1, 400, &[taken], vec![decline(maker, taker)]);
    assert_eq!(table.trades_of(&maker, &taker), []);
    assert_eq!(table.trades_of(&late, &taker), [(4, Tentative)]);
    // The two stand opposite each other, and the book is crossed.
    let [bids, asks] = &table.facts().levels[0];
    assert_eq!(
        (bids[0].price, asks[0].price),
        (asks[0].price, bids[0].price)
    );
    // Neither counts for the other's fill-or-kill, post-only or in any walk.
    let next = table.place(4, 500, on_terms(Side::Buy, 5, TimeInForce::FillOrKill));
    assert_eq!(table.trades_of(&maker, &next), [(5, Tentative)]);
}

#[test]
fn a_release_frees_the_own_half_at_once_and_a_refusal_does_not() {
    for (takes_back, trades) in [(false, vec![]), (true, vec![(5, Tentative)])] {
        let (mut table, maker, taker) = trade();
        let other = table.place(3, 250, limit(Side::Sell, 10, 5));
        table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
        let word = if takes_back { release } else { decline };
        table.write(2, 350, &[], vec![word(taker, maker)]);
        assert_eq!(table.trades_of(&maker, &taker), []);
        assert_eq!(table.trades_of(&other, &taker), trades);
        // Only what is free may be promised again.
        let again = vec![half(taker, other, 0, 5, 10)];
        if takes_back {
            table.write(2, 400, &[], again);
        } else {
            let error = table.refused(2, 400, &[], again);
            assert_eq!(error, ConfirmationError::Quantity);
        }
    }
}

#[test]
fn who_releases_and_is_answered_all_the_same_trades_more_than_he_wanted() {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 10, 5));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    table.write(2, 340, &[], vec![release(taker, maker)]);
    let again = vec![half(taker, other, 0, 5, 10)];
    let second = table.write(2, 350, &[], again);
    table.write(3, 400, &[second], vec![half(other, taker, 0, 5, 10)]);
    assert_eq!(table.trades_of(&other, &taker), [(5, Final)]);
    assert_eq!(table.order(&maker).filled, Lots(0));
    // The answer was under way.
    table.write(1, 420, &[taken], vec![half(maker, taker, 0, 5, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(5, Final)]);
    assert_eq!(table.trades_of(&other, &taker), [(5, Final)]);
    assert_eq!(table.order(&taker).filled, Lots(10));
}

#[test]
fn complete_pieces_of_a_refused_pair_stand() {
    let (mut table, maker, taker) = trade();
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 3, 10)]);
    table.write(1, 400, &[taken], vec![half(maker, taker, 0, 3, 10)]);
    table.write(1, 450, &[], vec![decline(maker, taker)]);
    assert_eq!(table.trades_of(&maker, &taker), [(3, Final)]);
    assert_eq!(table.order(&taker).remaining(), Lots(2));
}

#[test]
fn an_open_half_of_who_refused_withholds_but_matches_nothing() {
    let (mut table, maker, taker) = trade();
    let promise = vec![half(maker, taker, 0, 5, 10), decline(maker, taker)];
    table.write(1, 300, &[], promise);
    assert_eq!(table.trades_of(&maker, &taker), []);
    let other = table.place(3, 350, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&maker, &other), [], "it is withheld");
    table.write(2, 701, &[], Vec::new());
    assert_eq!(table.trades_of(&maker, &other), [(5, Tentative)]);
}

#[test]
fn what_is_promised_of_a_cancelled_order_stays_for_its_partner_alone() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let (market, order) = (MarketIndex(0), maker);
    table.write(1, 200, &[], vec![Action::Cancel { market, order }]);
    let taker = table.place(2, 300, limit(Side::Buy, 10, 3));
    assert_eq!(table.trades_of(&maker, &taker), []);
    table.write(1, 400, &[], vec![half(maker, taker, 0, 5, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(3, Tentative)]);
    let row = table.order(&maker);
    assert_eq!(
        (row.ended, row.filled),
        (Some(EndReason::Cancelled), Lots(3))
    );
    // The rest of the remnant is shown to nobody and taken by nobody.
    assert_eq!(table.facts().levels[0][1], []);
    let other = table.place(3, 450, limit(Side::Buy, 10, 2));
    assert_eq!(table.trades_of(&maker, &other), []);
}

#[test]
fn a_remnant_is_gone_when_it_is_given_back() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let (market, order) = (MarketIndex(0), maker);
    table.write(1, 200, &[], vec![Action::Cancel { market, order }]);
    let taker = table.place(2, 300, limit(Side::Buy, 10, 3));
    table.write(1, 400, &[], vec![half(maker, taker, 0, 3, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(3, Tentative)]);
    table.write(2, 801, &[], Vec::new());
    assert_eq!(table.trades_of(&maker, &taker), []);
    assert_eq!(table.order(&taker).remaining(), Lots(3));
}

#[test]
fn a_complete_trade_is_a_fact_though_its_maker_never_rested() {
    let mut table = Table::new();
    let terms = TimeInForce::ImmediateOrCancel;
    let maker = table.place(1, 100, on_terms(Side::Sell, 5, terms));
    let taker = table.place(2, 200, limit(Side::Buy, 10, 5));
    assert_eq!(table.order(&maker).ended, Some(EndReason::Unfilled));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 4, 10)]);
    table.write(1, 400, &[taken], vec![half(maker, taker, 0, 4, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(4, Final)]);
    let row = table.order(&maker);
    assert_eq!(
        (row.ended, row.filled),
        (Some(EndReason::Unfilled), Lots(4))
    );
    assert_eq!(table.order(&taker).remaining(), Lots(1));
}

#[test]
fn a_rejected_order_can_have_final_trades() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 2));
    let taker = table.place(2, 200, on_terms(Side::Buy, 5, TimeInForce::FillOrKill));
    assert_eq!(table.order(&taker).ended, Some(EndReason::KilledUnfilled));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 2, 10)]);
    table.write(1, 400, &[taken], vec![half(maker, taker, 0, 2, 10)]);
    let row = table.order(&taker);
    assert_eq!(row.ended, Some(EndReason::KilledUnfilled));
    assert_eq!(row.filled, Lots(2));
    assert_eq!(table.order(&maker).ended, Some(EndReason::Filled));
}

#[test]
fn a_replaced_order_that_never_came_to_be_is_shown_by_its_final_trades() {
    let mut table = Table::new();
    let old = table.place(1, 100, limit(Side::Sell, 10, 2));
    let buyer = table.place(2, 150, limit(Side::Buy, 10, 2));
    let replace = Action::Replace {
        market: MarketIndex(0),
        order: old,
        side: Side::Sell,
        price: Some(bitfitech_core::types::Ticks(9)),
        quantity: Lots(4),
    };
    // The old order is filled, so nothing is placed; on another branch of time it might be.
    let never = table.place(1, 200, replace);
    let taker = table.place(3, 300, limit(Side::Buy, 9, 3));
    assert!(table.facts().orders.iter().all(|row| row.order != never));
    assert_eq!(table.trades_of(&old, &buyer), [(2, Tentative)]);
    let taken = table.write(3, 400, &[], vec![half(taker, never, 0, 3, 9)]);
    table.write(1, 500, &[taken], vec![half(never, taker, 0, 3, 9)]);
    assert_eq!(table.trades_of(&never, &taker), [(3, Final)]);
    let row = table.order(&never);
    assert_eq!(row.ended, Some(EndReason::NotPlaced));
    assert_eq!((row.filled, row.quantity), (Lots(3), Lots(3)));

    // The same where its owner signs first, with another taker: his half is all that he promises.
    let next = table.place(4, 600, limit(Side::Buy, 9, 1));
    let given = table.write(1, 700, &[], vec![half(never, next, 0, 1, 9)]);
    table.write(4, 800, &[given], vec![half(next, never, 0, 1, 9)]);
    assert_eq!(table.trades_of(&never, &next), [(1, Final)]);
    let row = table.order(&never);
    assert_eq!((row.filled, row.quantity), (Lots(4), Lots(4)));
}

#[test]
fn an_order_that_never_came_to_be_is_shown_also_if_its_owner_signs_first() {
    let mut table = Table::new();
    let gone = table.place(1, 100, limit(Side::Sell, 10, 2));
    table.place(2, 150, limit(Side::Buy, 10, 2));
    let never = table.place(
        1,
        200,
        Action::Replace {
            market: MarketIndex(0),
            order: gone,
            side: Side::Sell,
            price: Some(bitfitech_core::types::Ticks(9)),
            quantity: Lots(4),
        },
    );
    let taker = table.place(3, 300, limit(Side::Buy, 9, 3));
    let given = table.write(1, 400, &[], vec![half(never, taker, 0, 3, 9)]);
    assert!(table.facts().orders.iter().all(|row| row.order != never));
    table.write(3, 500, &[given], vec![half(taker, never, 0, 3, 9)]);
    let row = table.order(&never);
    assert_eq!(row.ended, Some(EndReason::NotPlaced));
    assert_eq!((row.filled, row.quantity), (Lots(3), Lots(3)));
}

#[test]
fn what_a_maker_promises_binds_it_from_its_beginning() {
    let (mut table, maker, taker) = promised();
    let between = table.place(3, 500, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&maker, &between), []);
    assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);
}

#[test]
fn fill_or_kill_does_not_count_what_is_withheld() {
    for (wanted, reason) in [(4, EndReason::Filled), (5, EndReason::KilledUnfilled)] {
        let mut table = Table::new();
        let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
        let taker = table.place(2, 900, limit(Side::Buy, 10, 1));
        table.write(1, 1_000, &[], vec![half(maker, taker, 0, 1, 10)]);
        let terms = TimeInForce::FillOrKill;
        let between = table.place(3, 500, on_terms(Side::Buy, wanted, terms));
        assert_eq!(table.order(&between).ended, Some(reason));
    }
}

#[test]
fn fill_or_kill_counts_what_is_withheld_for_it() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let taker = table.place(2, 900, on_terms(Side::Buy, 5, TimeInForce::FillOrKill));
    table.write(1, 1_000, &[], vec![half(maker, taker, 0, 5, 10)]);
    assert_eq!(table.order(&taker).ended, Some(EndReason::Filled));
}

#[test]
fn post_only_and_self_trade_prevention_see_what_is_withheld() {
    let (mut table, maker, taker) = promised();
    let post = table.place(3, 500, on_terms(Side::Buy, 1, TimeInForce::PostOnly));
    assert_eq!(table.order(&post).ended, Some(EndReason::WouldTake));
    let own = OrderId::new(&table.write(4, 550, &[], vec![limit(Side::Buy, 9, 1)]), 0);
    assert_eq!(table.order(&own).ended, None);
    assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);

    let mut table = Table::new();
    let sold = table.place(1, 100, limit(Side::Sell, 10, 5));
    let bought = table.place(1, 150, limit(Side::Buy, 10, 1));
    assert_eq!(table.order(&bought).ended, Some(EndReason::SelfTrade));
    let taker = table.place(2, 900, limit(Side::Buy, 10, 5));
    table.write(1, 1_000, &[], vec![half(sold, taker, 0, 5, 10)]);
    assert_eq!(table.order(&bought).ended, Some(EndReason::SelfTrade));
}

#[test]
fn a_reduction_takes_free_quantity_first_and_never_cuts_what_is_withheld() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let reduce = Action::Replace {
        market: MarketIndex(0),
        order: maker,
        side: Side::Sell,
        price: None,
        quantity: Lots(1),
    };
    table.write(1, 200, &[], vec![reduce]);
    assert_eq!(table.order(&maker).quantity, Lots(1));
    let taker = table.place(2, 900, limit(Side::Buy, 10, 5));
    table.write(1, 1_000, &[], vec![half(maker, taker, 0, 3, 10)]);
    assert_eq!(table.order(&maker).quantity, Lots(3));
    assert_eq!(table.trades_of(&maker, &taker), [(3, Tentative)]);
}

#[test]
fn of_several_halves_of_a_forker_the_greatest_counts() {
    let (mut table, maker, taker) = trade();
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    table.write(1, 400, &[taken], vec![half(maker, taker, 0, 2, 10)]);
    assert_eq!(table.trades_of(&maker, &taker)[0], (2, Final));
    let placed = table.operation_of(&maker);
    table.fork(1, &placed);
    table.write(1, 410, &[taken], vec![half(maker, taker, 0, 4, 10)]);
    assert_eq!(table.trades_of(&maker, &taker)[0], (4, Final));
}

#[test]
fn what_leaves_of_a_half_waits_when_the_taker_rests() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 2));
    let taker = table.place(2, 200, limit(Side::Buy, 10, 5));
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    assert_eq!(table.trades_of(&maker, &taker), [(2, Tentative)]);
    let seller = table.place(3, 400, limit(Side::Sell, 10, 3));
    assert_eq!(table.trades_of(&seller, &taker), [], "it is withheld");
    // Something between the two: promises are told to the engine again.
    table.place(4, 350, limit(Side::Sell, 11, 1));
    assert_eq!(table.trades_of(&seller, &taker), [], "it is withheld");
    table.write(1, 701, &[], Vec::new());
    assert_eq!(table.trades_of(&seller, &taker), [(3, Tentative)]);
}

#[test]
fn a_replaced_order_that_never_came_to_be_can_have_taken() {
    let mut table = Table::new();
    let old = table.place(1, 100, limit(Side::Sell, 10, 2));
    table.place(2, 150, limit(Side::Buy, 10, 2));
    let maker = table.place(3, 180, limit(Side::Buy, 9, 3));
    let replace = Action::Replace {
        market: MarketIndex(0),
        order: old,
        side: Side::Sell,
        price: Some(bitfitech_core::types::Ticks(9)),
        quantity: Lots(4),
    };
    let never = table.place(1, 200, replace);
    let given = table.write(3, 400, &[], vec![half(maker, never, 0, 3, 9)]);
    table.write(1, 500, &[given], vec![half(never, maker, 0, 3, 9)]);
    assert_eq!(table.trades_of(&never, &maker), [(3, Final)]);
    let row = table.order(&never);
    assert_eq!(row.ended, Some(EndReason::NotPlaced));
    assert_eq!((row.filled, row.quantity), (Lots(3), Lots(3)));
}
