//! Property 14 of final trades: a half or a refusal that breaks a rule is never applied, whoever
//! signs it, and nothing that follows it is.

use bitfitech_core::confirmation::{ConfirmationError, NAMED_BACK_MAX, NAMED_OF_ONE_MAX};
use bitfitech_core::types::{OpId, OrderId, Side};

use crate::network::limit;
use crate::table::{Table, decline, half};

/// Author 1 sells 5 at 10, author 2 bids 5 at 11 and takes them.
fn trade() -> (Table, OrderId, OrderId) {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let taker = table.place(2, 200, limit(Side::Buy, 11, 5));
    (table, maker, taker)
}

#[test]
fn orders_that_cannot_trade_are_no_pair() {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 10, 5));
    let unknown = OrderId::new(&table.operation_of(&maker), 7);
    let not_pairs = [
        half(other, maker, 0, 1, 10),
        half(maker, other, 0, 1, 10),
        half(taker, unknown, 0, 1, 10),
        decline(maker, other),
        decline(taker, unknown),
    ];
    let authors = [3, 1, 2, 1, 2];
    for (author, action) in authors.into_iter().zip(not_pairs) {
        let error = table.refused(author, 300, &[], vec![action]);
        assert_eq!(error, ConfirmationError::Pair);
    }
}

#[test]
fn only_its_owner_signs_for_an_order_and_only_after_it_was_placed() {
    let (mut table, maker, taker) = trade();
    table.write(3, 250, &[], Vec::new());
    for action in [half(maker, taker, 0, 1, 10), decline(maker, taker)] {
        assert_eq!(
            table.refused(3, 300, &[], vec![action]),
            ConfirmationError::Pair
        );
    }
    // On a branch that begins before the order, it is nobody's.
    let earlier = table.write(4, 100, &[], Vec::new());
    let late = table.place(4, 200, limit(Side::Buy, 10, 1));
    table.fork(4, &earlier);
    let error = table.refused(4, 300, &[], vec![half(late, maker, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Pair);
    // The same when it is proven already that there are two branches.
    table.write(4, 310, &[], Vec::new());
    let error = table.refused(4, 320, &[], vec![half(late, maker, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Pair);
}

#[test]
fn the_price_is_that_of_the_order_that_stands_first() {
    let (mut table, maker, taker) = trade();
    for price in [9, 11] {
        let error = table.refused(2, 300, &[], vec![half(taker, maker, 0, 1, price)]);
        assert_eq!(error, ConfirmationError::Price);
    }
    let low = table.place(3, 250, limit(Side::Buy, 9, 5));
    let error = table.refused(3, 300, &[], vec![half(low, maker, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Price, "worse than the own limit");
    let error = table.refused(1, 300, &[], vec![half(maker, low, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Price, "worse than the other's");
}

#[test]
fn a_piece_is_confirmed_once() {
    let (mut table, maker, taker) = trade();
    let twice = vec![half(taker, maker, 0, 1, 10), half(taker, maker, 0, 2, 10)];
    let error = table.refused(2, 300, &[], twice);
    assert_eq!(error, ConfirmationError::Twice);
    table.write(2, 300, &[], vec![half(taker, maker, 0, 1, 10)]);
    let error = table.refused(2, 400, &[], vec![half(taker, maker, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Twice);
}

#[test]
fn nobody_confirms_a_pair_that_he_has_refused() {
    let (mut table, maker, taker) = trade();
    let both = vec![decline(taker, maker), half(taker, maker, 0, 1, 10)];
    let error = table.refused(2, 300, &[], both);
    assert_eq!(error, ConfirmationError::Refused);
    let refused = table.write(2, 300, &[], vec![decline(taker, maker)]);
    let error = table.refused(2, 400, &[], vec![half(taker, maker, 0, 1, 10)]);
    assert_eq!(error, ConfirmationError::Refused);
    // The other one may: his refusal is his own.
    table.write(1, 400, &[refused], vec![half(maker, taker, 0, 1, 10)]);
}

#[test]
fn a_piece_is_confirmed_when_the_one_before_is_known_to_be_complete() {
    let (mut table, maker, taker) = trade();
    let next = || vec![half(taker, maker, 1, 1, 10)];
    assert_eq!(
        table.refused(2, 300, &[], next()),
        ConfirmationError::Piece,
        "there is none before"
    );
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 1, 10)]);
    assert_eq!(
        table.refused(2, 350, &[], next()),
        ConfirmationError::Piece,
        "it is not answered"
    );
    let answer = vec![half(maker, taker, 0, 1, 10)];
    let answered = table.write(1, 400, &[taken], answer);
    assert_eq!(
        table.refused(2, 500, &[], next()),
        ConfirmationError::Piece,
        "the answer is not named"
    );
    table.write(2, 500, &[answered], Vec::new());
    table.write(2, 510, &[], next());
}

#[test]
fn nobody_promises_more_than_the_order_had() {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 11, 5));
    let error = table.refused(2, 300, &[], vec![half(taker, maker, 0, 6, 10)]);
    assert_eq!(error, ConfirmationError::Quantity);
    let both = vec![half(taker, maker, 0, 3, 10), half(taker, other, 0, 3, 11)];
    let error = table.refused(2, 300, &[], both);
    assert_eq!(error, ConfirmationError::Quantity);
    table.write(2, 300, &[], vec![half(taker, maker, 0, 3, 10)]);
    let error = table.refused(2, 350, &[], vec![half(taker, other, 0, 3, 11)]);
    assert_eq!(error, ConfirmationError::Quantity);
    table.write(2, 350, &[], vec![half(taker, other, 0, 2, 11)]);
}

#[test]
fn what_was_given_back_or_answered_with_less_is_free_once_that_is_named() {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 11, 5));
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let again = |quantity| vec![half(taker, other, 0, quantity, 11)];
    let silent = table.write(1, 700, &[], Vec::new());
    let error = table.refused(2, 750, &[silent], again(1));
    assert_eq!(
        error,
        ConfirmationError::Quantity,
        "it may be answered still"
    );
    let over = table.write(1, 701, &[], Vec::new());
    let error = table.refused(2, 750, &[], again(1));
    assert_eq!(error, ConfirmationError::Quantity, "it is not named");
    table.write(2, 750, &[over], again(5));

    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 11, 5));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let answer = vec![half(maker, taker, 0, 3, 10)];
    let answered = table.write(1, 400, &[taken], answer);
    let again = |quantity| vec![half(taker, other, 0, quantity, 11)];
    let error = table.refused(2, 500, &[answered], again(3));
    assert_eq!(error, ConfirmationError::Quantity);
    table.write(2, 500, &[answered], again(2));
}

#[test]
fn a_refusal_that_is_named_frees_what_was_promised() {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 11, 5));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let refused = table.write(1, 400, &[taken], vec![decline(maker, taker)]);
    let error = table.refused(2, 450, &[], vec![half(taker, other, 0, 5, 11)]);
    assert_eq!(error, ConfirmationError::Quantity);
    table.write(2, 450, &[refused], vec![half(taker, other, 0, 5, 11)]);
}

#[test]
fn halves_on_another_branch_bind_nothing_on_this_one() {
    let (mut table, maker, taker) = trade();
    table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let placed = table.operation_of(&taker);
    table.fork(2, &placed);
    table.write(2, 310, &[], vec![half(taker, maker, 0, 4, 10)]);
}

/// Author 2 has promised 5 to author 1 and names an answer of 3. With his orders, and another that
/// he may trade with.
fn answered_trade() -> (Table, OrderId, OrderId, OrderId) {
    let (mut table, maker, taker) = trade();
    let other = table.place(3, 250, limit(Side::Sell, 11, 5));
    let taken = table.write(2, 300, &[], vec![half(taker, maker, 0, 5, 10)]);
    let answer = vec![half(maker, taker, 0, 3, 10)];
    let answered = table.write(1, 400, &[taken], answer);
    table.write(2, 450, &[answered], Vec::new());
    (table, maker, taker, other)
}

/// The same, then so many other branches of the answering author are named; and whether he may
/// promise 2 more.
fn frees_after_naming(branches: usize) -> bool {
    let (mut table, maker, taker, other) = answered_trade();
    let placed = table.operation_of(&maker);
    let branch = |at_ms| {
        table.fork(1, &placed);
        table.write(1, at_ms, &[], Vec::new())
    };
    let heads: Vec<OpId> = (410..).take(branches).map(branch).collect();
    for (at_ms, named) in (460..).zip(heads.chunks(4)) {
        table.write(2, at_ms, named, Vec::new());
    }
    let again = vec![half(taker, other, 0, 2, 11)];
    table.may_write(2, 500, &[], again)
}

#[test]
fn of_one_author_only_what_was_named_last_counts() {
    assert!(frees_after_naming(NAMED_OF_ONE_MAX - 1));
    assert!(!frees_after_naming(NAMED_OF_ONE_MAX));
}

#[test]
fn what_was_named_too_far_back_in_the_chain_does_not_count() {
    for (since, frees) in [(NAMED_BACK_MAX - 1, true), (NAMED_BACK_MAX, false)] {
        let (mut table, _, taker, other) = answered_trade();
        table.write_heartbeats(2, 451, since);
        let again = vec![half(taker, other, 0, 2, 11)];
        assert_eq!(table.may_write(2, 10_000, &[], again), frees);
    }
}
