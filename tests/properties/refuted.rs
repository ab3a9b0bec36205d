//! The smallest examples of what the other modules refuted in earlier versions.

use bitfitech_core::matching::EndReason;
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, OperationError, Verified};
use bitfitech_core::types::{HybridTime, Lots, MarketIndex, Now, OpId, OrderId, Side};
use bitfitech_core::view::TradeStatus::Tentative;
use ed25519_zebra::SigningKey;

use crate::facts::Facts;
use crate::network::{BEGIN_MS, author_of, genesis, limit, new_node, source};
use crate::table::{Table, half};

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        unix_ms: BEGIN_MS + ms,
    }
}

/// An operation of an author without a history.
pub fn first_of(author: u8, at_ms: u64, actions: Vec<Action>) -> Verified {
    let key = SigningKey::from([author; 32]);
    let genesis = genesis("refuted");
    let body = Body {
        version: OPERATION_VERSION,
        author: author_of(&key),
        seq: 0,
        prev: None,
        time: HybridTime::from_unix_ms(BEGIN_MS + at_ms),
        refs: Vec::new(),
        checkpoint: 0,
        actions,
    };
    Verified::sign(body, &key, &genesis, &genesis.digest()).expect("well-formed")
}

/// "Filled" means that nothing is left: so the total must be what was filled, also when the owner
/// reduced it to just that.
#[test]
fn an_order_reduced_to_what_is_filled_has_that_total() {
    let genesis = genesis("refuted");
    let mut node = new_node(&genesis, &SigningKey::from([1; 32]));
    let placed = node
        .submit(now(0), vec![limit(Side::Buy, 1, 5)])
        .expect("written");
    let order = OrderId::new(&placed, 0);
    node.receive(
        now(100),
        source(0),
        vec![first_of(2, 100, vec![limit(Side::Sell, 1, 2)])],
    );
    node.handle_tick(now(100));
    let reduced = Action::Replace {
        market: MarketIndex(0),
        order,
        side: Side::Buy,
        price: None,
        quantity: Lots(2),
    };
    node.submit(now(200), vec![reduced]).expect("written");
    let row = node.replica().order(&order).expect("it is known");
    assert_eq!(row.ended, Some(EndReason::Filled));
    assert_eq!((row.quantity, row.filled), (Lots(2), Lots(2)));

    // A late seller takes the rest before the reduction, which then has no effect.
    node.receive(
        now(300),
        source(0),
        vec![first_of(3, 150, vec![limit(Side::Sell, 1, 3)])],
    );
    node.handle_tick(now(300));
    let row = node.replica().order(&order).expect("it is known");
    assert_eq!((row.quantity, row.filled), (Lots(5), Lots(5)));
    let facts = Facts::of(node.replica());
    assert_eq!(facts.trades.len(), 2);
}

/// Such an operation could never be applied, and waited for ever: its one ancestor was counted
/// twice.
#[test]
fn an_operation_that_refers_to_its_own_previous_one_is_refused_at_once() {
    let key = SigningKey::from([1; 32]);
    let genesis = genesis("refuted");
    let prev = OpId([3; 32]);
    let body = Body {
        version: OPERATION_VERSION,
        author: author_of(&key),
        seq: 1,
        prev: Some(prev),
        time: HybridTime::from_unix_ms(BEGIN_MS),
        refs: vec![prev],
        checkpoint: 0,
        actions: Vec::new(),
    };
    let refused = Verified::sign(body, &key, &genesis, &genesis.digest());
    assert_eq!(refused, Err(OperationError::Limits));
}

/// The trades of the last taker that is not done again once seemed to be none: so a promise that it
/// had taken was told to the engine as still open.
#[test]
fn what_was_taken_of_a_promise_just_before_the_redone_is_not_promised_again() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 10));
    let taker = table.place(2, 200, limit(Side::Buy, 10, 4));
    let later = table.place(3, 600, limit(Side::Buy, 10, 3));
    table.write(1, 610, &[], vec![half(maker, taker, 0, 4, 10)]);
    table.write(1, 620, &[], vec![half(maker, later, 0, 3, 10)]);
    let late = table.place(4, 400, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&maker, &taker), [(4, Tentative)]);
    assert_eq!(table.trades_of(&maker, &later), [(3, Tentative)]);
    assert_eq!(table.trades_of(&maker, &late), [(3, Tentative)]);
}

/// What an order withheld for those before it was forgotten when its promises to those behind it
/// were renewed.
#[test]
fn what_is_left_of_a_takers_half_stays_promised_when_its_own_takers_are_done_again() {
    let mut table = Table::new();
    let first = table.place(1, 100, limit(Side::Sell, 10, 2));
    let middle = table.place(2, 200, limit(Side::Buy, 10, 10));
    table.write(2, 300, &[], vec![half(middle, first, 0, 5, 10)]);
    let last = table.place(3, 600, limit(Side::Sell, 10, 4));
    table.write(2, 650, &[], vec![half(middle, last, 0, 4, 10)]);
    table.place(4, 500, limit(Side::Sell, 11, 1));
    let other = table.place(5, 680, limit(Side::Sell, 10, 5));
    assert_eq!(table.trades_of(&middle, &first), [(2, Tentative)]);
    assert_eq!(table.trades_of(&middle, &last), [(4, Tentative)]);
    assert_eq!(table.trades_of(&middle, &other), [(1, Tentative)]);
}

/// A promise of just what was traded was taken to change nothing when it was given back; but it had
/// kept another one out.
#[test]
fn a_promise_that_becomes_less_makes_room_for_whom_it_kept_out() {
    let mut table = Table::new();
    let maker = table.place(1, 100, limit(Side::Sell, 10, 5));
    let taker = table.place(2, 900, limit(Side::Buy, 10, 5));
    table.write(1, 1_000, &[], vec![half(maker, taker, 0, 5, 10)]);
    let between = table.place(3, 500, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&maker, &taker), [(5, Tentative)]);
    table.write(2, 1_401, &[], Vec::new());
    assert_eq!(table.trades_of(&maker, &taker), []);
    assert_eq!(table.trades_of(&maker, &between), [(5, Tentative)]);
}

/// A merge that only takes the last entry of a log out looked for its cause behind the end.
#[test]
fn a_lapse_at_the_end_of_a_log_can_be_withdrawn() {
    let mut table = Table::new();
    let order = table.place(1, 100, limit(Side::Sell, 10, 5));
    table.write(1, 2_500, &[], Vec::new());
    assert_eq!(table.order(&order).ended, Some(EndReason::Lapsed));
    let placed = table.operation_of(&order);
    table.fork(1, &placed);
    table.write(1, 1_000, &[], Vec::new());
    assert_eq!(table.order(&order).ended, None);
}

/// The orders of an author lapsed though his next word had only been under way for long.
#[test]
fn a_late_word_of_a_silent_author_brings_his_orders_back() {
    let mut table = Table::new();
    let order = table.place(1, 100, limit(Side::Sell, 10, 5));
    table.write(2, 2_500, &[], Vec::new());
    assert_eq!(table.order(&order).ended, Some(EndReason::Lapsed));
    table.write(1, 1_500, &[], Vec::new());
    assert_eq!(table.order(&order).ended, None);
    let taker = table.place(3, 2_600, limit(Side::Buy, 10, 5));
    assert_eq!(table.trades_of(&order, &taker), [(5, Tentative)]);
}

/// Nobody looked at the leases of an author without orders; one that ends in the bucket of the log
/// clock was forgotten when he turned out to have some.
#[test]
fn a_lease_that_ended_before_the_first_order_was_heard_of_counts() {
    let mut table = Table::new();
    let first = table.write(1, 50, &[], Vec::new());
    table.write(1, 100, &[], Vec::new());
    // After a silence that is longer than a lease, in the bucket in which the lease ended.
    table.write(1, 2_120, &[], Vec::new());
    table.fork(1, &first);
    let order = table.place(1, 60, limit(Side::Sell, 10, 5));
    assert_eq!(table.order(&order).ended, None);
    table.write(2, 2_200, &[], Vec::new());
    assert_eq!(table.order(&order).ended, Some(EndReason::Lapsed));
}

/// A lapse took all orders of its author, those included with which he ended his silence in the
/// same bucket.
#[test]
fn a_lapse_ends_what_was_placed_before_the_silence_only() {
    for is_known in [false, true] {
        let mut table = Table::new();
        let before = table.place(1, 100, limit(Side::Sell, 10, 5));
        let place_after = |table: &mut Table| table.place(1, 2_120, limit(Side::Sell, 11, 5));
        let known = is_known.then(|| place_after(&mut table));
        table.write(2, 2_200, &[], Vec::new());
        let after = known.unwrap_or_else(|| place_after(&mut table));
        assert_eq!(table.order(&before).ended, Some(EndReason::Lapsed));
        assert_eq!(table.order(&after).ended, None);
    }
}

/// The silence begins with the last word before it, also if that comes late.
#[test]
fn a_late_last_word_before_a_silence_lapses_too() {
    let mut table = Table::new();
    let first = table.place(1, 100, limit(Side::Sell, 10, 5));
    table.write(2, 2_200, &[], Vec::new());
    assert_eq!(table.order(&first).ended, Some(EndReason::Lapsed));
    let second = table.place(1, 110, limit(Side::Sell, 11, 5));
    assert_eq!(table.order(&first).ended, Some(EndReason::Lapsed));
    assert_eq!(table.order(&second).ended, Some(EndReason::Lapsed));
    table.write(1, 1_500, &[], Vec::new());
    assert_eq!(table.order(&first).ended, None);
    assert_eq!(table.order(&second).ended, None);
}

/// The orders of an author may come to a market late, when it is known already that they lapse.
#[test]
fn a_lapse_that_is_known_holds_in_a_market_that_is_new_to_its_author() {
    let mut table = Table::new();
    let first = table.write(1, 50, &[], Vec::new());
    let known = table.place(1, 100, limit(Side::Sell, 10, 5));
    table.write(1, 2_500, &[], Vec::new());
    table.fork(1, &first);
    let Action::Place(mut place) = limit(Side::Sell, 10, 5) else {
        panic!("a limit order is placed");
    };
    place.market = MarketIndex(1);
    let late = table.place(1, 90, Action::Place(place));
    assert_eq!(table.order(&known).ended, Some(EndReason::Lapsed));
    assert_eq!(table.order(&late).ended, Some(EndReason::Lapsed));
}
