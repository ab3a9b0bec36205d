//! What digests are made of, as docs/PROTOCOL.md says. They are hashed a piece at a time while
//! history grows, and again where it is undone; they are those of the whole history all the same.

use std::cell::Cell;

use bitfitech_core::confirmation::Confirmations;
use bitfitech_core::dag::Dag;
use bitfitech_core::op::{ACTIONS_MAX, Action};
use bitfitech_core::types::{Lots, MarketIndex, OpId, OrderId, Side, Ticks};

use crate::facts::markets;
use crate::network::{Network, limit};
use crate::scenario::for_all_scenarios;
use crate::slow_lane::Filled;

/// How many operations there are, all full: 64,000 actions, nearly four times what lies between two
/// places from which hashing can go on.
const OPERATIONS: u64 = 1_000;

/// After so many of them one comes that belongs further back.
const LATE_EACH: u64 = 37;

/// After so many of them the digests are compared.
const COMPARED_EACH: u64 = 250;

/// Orders that trade with each other in part, and changes of those in an operation before.
fn actions(number: u64, before: Option<OpId>) -> Vec<Action> {
    let side = [Side::Buy, Side::Sell][(number % 2) as usize];
    let action = |index: u8| {
        let (at, market) = (u64::from(index), MarketIndex(0));
        let price = 900 + (at * 5 + number * 3) % 40;
        let order = |at: u8| before.map(|before| OrderId::new(&before, index - index % 8 + at));
        let replace = |order, price, quantity| Action::Replace {
            market,
            order,
            side,
            price,
            quantity: Lots(quantity),
        };
        let change = match index % 8 {
            2 => order(0).map(|order| Action::Cancel { market, order }),
            3 => order(1).map(|order| replace(order, None, 1 + at % 3)),
            4 => order(5).map(|order| replace(order, Some(Ticks(price)), 12)),
            // Of an order that came by a replace.
            6 => order(4).map(|order| replace(order, None, 1 + at % 3)),
            _ => None,
        };
        change.unwrap_or_else(|| limit(side, price, 1 + (at * 7 + number) % 9))
    };
    (0..ACTIONS_MAX as u8).map(action).collect()
}

/// Compares digests now and then, of which at most so many actions are hashed after each merge.
fn check(hashed_at_once: usize) {
    let mut filled = Filled::empty();
    let mut prevs = [None; 2];
    for number in 0..OPERATIONS {
        let turn = (number % 2) as usize;
        let acting = actions(number, prevs[turn]);
        let place = (number / 2, prevs[turn]);
        prevs[turn] = Some(filled.stage(turn as u8 + 1, place, number * 10, acting));
        filled.replica.merge_all();
        filled.replica.prepare_digests(hashed_at_once);
        if number % LATE_EACH == LATE_EACH - 1 {
            let author = (3 + number / LATE_EACH) as u8;
            // Now and then back to the beginning.
            let at_ms = number * 10 * (number % 5) / 5 + 5;
            filled.stage(author, (0, None), at_ms, actions(number, None));
            filled.replica.merge_all();
        }
        if number % COMPARED_EACH == COMPARED_EACH - 1 {
            let again = filled.again();
            assert!(
                again.trades(MarketIndex(0), 100).len() == 100,
                "too few trades"
            );
            assert_eq!(filled.replica.digests(), again.digests(), "{number}");
        }
    }
}

#[test]
fn digests_that_nobody_prepared_are_those_of_the_history() {
    check(0);
}

#[test]
fn digests_that_were_prepared_are_those_of_the_history() {
    check(usize::MAX);
}

#[test]
fn digests_that_were_prepared_in_part_are_those_of_the_history() {
    check(1_000);
}

/// A digest in a context.
fn hash(context: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, bytes)
}

#[test]
fn digests_are_made_of_what_the_protocol_says() {
    let mut filled = Filled::empty();
    let first = filled.stage(1, (0, None), 1_000, vec![limit(Side::Buy, 7, 9)]);
    let bought = OrderId::new(&first, 0);
    let second = filled.stage(2, (0, None), 2_000, vec![limit(Side::Sell, 6, 3)]);
    let sold = OrderId::new(&second, 0);
    let market = MarketIndex(0);
    let reduction = Action::Replace {
        market,
        order: bought,
        side: Side::Buy,
        price: None,
        quantity: Lots(5),
    };
    let third = filled.stage(1, (1, Some(first)), 3_000, vec![reduction]);
    let cancel = Action::Cancel {
        market,
        order: bought,
    };
    filled.stage(1, (2, Some(third)), 4_000, vec![cancel]);
    filled.replica.merge_all();

    let number = |number: u64| number.to_be_bytes();
    let trade = [
        &bought.0[..],
        &sold.0,
        &0_u32.to_be_bytes(),
        &number(7),
        &number(3),
    ];
    let orders = [
        [&[0][..], &bought.0, &number(9)],
        [&[0], &sold.0, &number(3)],
        [&[1], &bought.0, &number(3)],
        [&[3], &sold.0, &[1]],
        [&[2], &bought.0, &number(4)],
        [&[3], &bought.0, &[2]],
    ];
    let of_markets = |context: &str, first: &[u8]| {
        let of_market = |bytes: &[u8]| hash(context, bytes);
        let others = markets().skip(1).flat_map(|_| of_market(&[]));
        of_market(first)
            .into_iter()
            .chain(others)
            .collect::<Vec<u8>>()
    };
    let trades = of_markets("bitfitech market trades 1", &trade.concat());
    let orders = of_markets("bitfitech market orders 1", &orders.concat().concat());
    let digests = filled.replica.digests();
    assert_eq!(digests.trades.0, hash("bitfitech trades 2", &trades));
    assert_eq!(digests.orders.0, hash("bitfitech orders 2", &orders));
}

/// The digest of all final trades, as the protocol says, and how many there are.
fn of_final_trades(confirmations: &Confirmations, dag: &Dag) -> ([u8; 32], usize) {
    let mut count = 0;
    let mut sum = [0_u16; 1_024];
    for pair in confirmations.pairs(dag) {
        let terms = confirmations.terms(&pair, dag);
        for (piece, quantity) in (0_u32..).zip(&*terms.complete) {
            let mut hasher = blake3::Hasher::new_derive_key("bitfitech final trade 2");
            hasher.update(&pair.low.0).update(&pair.high.0);
            hasher.update(&piece.to_be_bytes());
            hasher.update(&terms.price.0.to_be_bytes());
            hasher.update(&quantity.0.to_be_bytes());
            let mut words = [0; 2_048];
            hasher.finalize_xof().fill(&mut words);
            for (word, bytes) in sum.iter_mut().zip(words.chunks(2)) {
                *word = word.wrapping_add(u16::from_le_bytes([bytes[0], bytes[1]]));
            }
            count += 1;
        }
    }
    let words: Vec<u8> = sum.iter().flat_map(|word| word.to_le_bytes()).collect();
    (hash("bitfitech final trades 2", &words), count)
}

#[test]
fn the_digest_of_final_trades_is_that_of_their_set() {
    let found = Cell::new(0);
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        for peer in &mut network.peers {
            let digest = peer.exchange.digests().final_trades;
            let confirmations = peer.exchange.confirmations();
            let (expected, count) = of_final_trades(confirmations, peer.exchange.dag());
            assert_eq!(digest.0, expected);
            found.set(found.get() + count);
        }
    });
    assert!(found.get() > 0, "no trade was final");
}
