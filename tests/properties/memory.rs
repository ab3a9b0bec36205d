//! What is kept of an operation for ever is small: a simulator holds a thousand replicas.

use bitfitech_core::op::Action;
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
    assert!(bytes > 100, "{bytes} bytes are less than what must be kept");
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
