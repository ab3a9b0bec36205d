//! What is kept of an operation for ever is small: a simulator holds a thousand replicas.

use bitfitech_core::matching::Book;
use bitfitech_core::op::{ACTIONS_MAX, Action};
use bitfitech_core::types::{MarketIndex, OpId, OrderId, Side};

use crate::network::limit;
use crate::slow_lane::Filled;

/// How many operations of one order a replica of a simulator may see.
const OPERATIONS: u64 = 6_000;

/// What one of them may cost in logs, orders and undo records.
const OPERATION_BYTES_MAX: usize = 200;

/// What an operation may cost in the set itself: its entry, its place in the hash table and in its
/// chain, and what it names.
const SET_BYTES_MAX: usize = 110;

/// What an action may cost once it has left the window in which things still change: its entry in
/// the log, its order, and what became of it.
const PAST_BYTES_MAX: usize = 24;

/// The memory that each operation takes, of two authors in turn, with the action that is made for
/// its number and the operations before it.
fn bytes_of_each(action: impl Fn(u64, &[OpId]) -> Action) -> usize {
    let mut filled = Filled::empty();
    let mut ids: Vec<OpId> = Vec::new();
    for number in 0..OPERATIONS {
        let author = if number % 2 == 0 { 1 } else { 2 };
        let prev = ids.len().checked_sub(2).map(|before| ids[before]);
        let action = action(number, &ids);
        ids.push(filled.stage(author, (number / 2, prev), number, vec![action]));
        filled.replica.merge(number);
    }
    let set_bytes = filled.set_bytes() / OPERATIONS as usize;
    assert!(set_bytes > 64, "{set_bytes} bytes are less than an entry");
    assert!(set_bytes <= SET_BYTES_MAX, "{set_bytes} bytes in the set");
    let bytes = filled.replica.memory_bytes() / OPERATIONS as usize;
    assert!(bytes > 50, "{bytes} bytes are less than what must be kept");
    bytes
}

#[track_caller]
fn assert_small(bytes: usize) {
    #[expect(
        clippy::print_stdout,
        reason = "the figure is what the test is run for"
    )]
    {
        println!("{bytes} bytes for each operation");
    }
    assert!(bytes <= OPERATION_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn an_order_that_rests_costs_few_bytes() {
    assert_small(bytes_of_each(|number, _| {
        limit(Side::Buy, 1 + number % 100, 5)
    }));
}

#[test]
fn an_order_that_trades_costs_few_bytes() {
    assert_small(bytes_of_each(|number, _| match number % 2 {
        0 => limit(Side::Buy, 7, 5),
        _ => limit(Side::Sell, 7, 5),
    }));
}

#[test]
fn orders_that_come_and_go_cost_few_bytes() {
    let cancel = |of: &OpId| Action::Cancel {
        market: MarketIndex(0),
        order: OrderId::new(of, 0),
    };
    assert_small(bytes_of_each(|number, ids| match number % 4 {
        // An order, another author's order that takes half of it, and the end of the rest.
        0 => limit(Side::Buy, 7, 10),
        1 => limit(Side::Sell, 7, 5),
        2 => cancel(&ids[ids.len() - 2]),
        _ => limit(Side::Sell, 100 + number % 100, 5),
    }));
}

#[test]
fn what_is_past_is_packed() {
    // So few undo records that they are soon as many as ever.
    let mut filled = Filled::around(|| Book::with_undo_records(&[7; 32], 1_000));
    let mut prevs = [None; 2];
    let mut bytes_after = [0; 2];
    let operations = 500;
    for bytes in &mut bytes_after {
        for number in 0..operations {
            // One author's orders rest, the other's take them all.
            let actions = (0..ACTIONS_MAX as u64).map(|at| match number % 2 {
                0 => limit(
                    Side::Buy,
                    900 + (at * 7 + number) % 100,
                    1 + at * 37 % 1_000,
                ),
                _ => limit(Side::Sell, 900, 1 + (at * 37 + 5 * 37) % 1_000),
            });
            let turn = (number % 2) as usize;
            let seq = filled.count_of(turn as u8 + 1);
            let at_ms = filled.actions() as u64;
            let actions = actions.collect();
            let id = filled.stage(turn as u8 + 1, (seq, prevs[turn]), at_ms, actions);
            prevs[turn] = Some(id);
            filled.replica.merge(at_ms);
        }
        *bytes = filled.replica.memory_bytes();
    }
    let actions = operations as usize * ACTIONS_MAX;
    let each = (bytes_after[1] - bytes_after[0]) / actions;
    assert!(each <= PAST_BYTES_MAX, "{each} bytes for each action");
    assert!(each > 8, "{each} bytes are less than what must be kept");
}
