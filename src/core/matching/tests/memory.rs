//! What the fast engine keeps in memory is bounded, whatever prices an attacker chooses, and comes
//! back.
//!
//! The figures are those of `memory_bytes`, which counts what was asked for, so they hold on any
//! machine.

use alloc::vec::Vec;

use super::extremes;
use crate::matching::book::Book;
use crate::matching::{Claims, Engine, NewOrder, Owner, Pricing, layout, slab};
use crate::types::Ticks;

/// How many orders an attacker leaves in the book.
const HOSTILE_ORDERS: u64 = 200_000;

/// The memory of each order in a book with `HOSTILE_ORDERS` orders, each at a level of its own.
fn bytes_of_each(order: impl Fn(u64) -> NewOrder) -> u64 {
    let mut book = Book::new(&[1; 32]);
    let mut effects = Vec::new();
    for number in 0..HOSTILE_ORDERS {
        book.place(&order(number), &Claims::NONE, &mut effects);
        effects.clear();
    }
    assert_eq!(book.len() as u64, HOSTILE_ORDERS, "they all rest");
    let bytes = book.memory_bytes() as u64 / HOSTILE_ORDERS;
    let full = book.memory_bytes();
    for number in 0..HOSTILE_ORDERS {
        book.cancel(&order(number).id, Owner(0), &mut effects);
        effects.clear();
    }
    assert!(book.is_empty() && book.memory_bytes() <= full + (HOSTILE_ORDERS * 16) as usize);
    bytes
}

#[test]
fn levels_at_alternating_ends_of_a_market_take_bounded_memory() {
    let range = 100_000_000;
    let bytes = bytes_of_each(|number| {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (range / 2 - 1);
        let price = if number.is_multiple_of(2) {
            1 + spread
        } else {
            range - spread
        };
        NewOrder {
            pricing: Pricing::Limit(Ticks(price)),
            ..extremes(number)
        }
    });
    assert!((120..=160).contains(&bytes), "{bytes} bytes for each order");
}

#[test]
fn levels_over_all_prices_there_are_take_bounded_memory() {
    // Each level has a page of its own, see `pages`.
    let bytes = bytes_of_each(extremes);
    assert!((160..=256).contains(&bytes), "{bytes} bytes for each order");
}

#[test]
fn an_order_that_ended_gives_its_slot_back() {
    let mut book = Book::new(&[1; 32]);
    let mut effects = Vec::new();
    for number in 0..1000 {
        let order = extremes(number);
        book.place(&order, &Claims::NONE, &mut effects);
        book.cancel(&order.id, order.owner, &mut effects);
        assert_eq!(book.orders[slab::Slot(1)].id, order.id, "it had it");
    }
}

#[test]
#[should_panic(expected = "cannot undo what was forgotten")]
fn what_was_forgotten_cannot_be_undone() {
    let mut book = Book::new(&[1; 32]);
    let start = book.mark();
    book.place(&extremes(0), &Claims::NONE, &mut Vec::new());
    book.forget_before(book.mark());
    book.undo_to(start);
}

#[test]
fn what_can_be_undone_takes_bounded_memory_and_reaches_back_as_far_as_promised() {
    let mut book = Book::with_undo_records(&[1; 32], 4_000);
    let mut marks = Vec::new();
    for number in 0..20_000 {
        marks.push(book.mark());
        let order = extremes(number);
        book.place(&order, &Claims::NONE, &mut Vec::new());
        book.cancel(&order.id, order.owner, &mut Vec::new());
        book.bound_undo();
    }
    // Two records of 16 bytes for each order, of which one comes with 64, and chunks of 512.
    assert!(book.undo_memory_bytes() <= (5_000 + 2 * 512) * (16 + 32));
    assert!(!book.can_undo_to(marks[17_000]));
    let reached = marks[18_000];
    assert!(book.can_undo_to(reached));
    book.undo_to(reached);
    assert!(book.is_empty());
    book.reset();
    assert!(book.can_undo_to(book.mark()) && book.undo_memory_bytes() == 0);
}

#[test]
fn an_order_is_one_cache_line_and_a_level_half_of_one() {
    assert_eq!(size_of::<layout::Order>(), 64);
    assert_eq!(size_of::<layout::PriceLevel>(), 32);
}
