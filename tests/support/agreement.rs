//! Nodes that are to agree: digests, and what the digests must mean.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Instant;

use rust_decimal::Decimal;
use serde_json::Value;

use super::node::{Node, list, text};
use super::waiting::{PATIENCE, look_until};

/// What must be equal on equal sets of operations.
const FIELDS: [&str; 6] = [
    "operations",
    "set",
    "book",
    "trades",
    "orders",
    "final_trades",
];

/// The digests of one node.
pub fn digest(node: &mut Node) -> BTreeMap<&'static str, Value> {
    let reply = node.ok_at_last("digest");
    let fields = FIELDS.into_iter().map(|field| {
        let value = reply[field].clone();
        assert!(!value.is_null(), "`digest` needs `{field}`: {reply}");
        (field, value)
    });
    fields.collect()
}

/// Waits until all nodes have equal digests, and returns them.
///
/// A node that acknowledged an order has it in its own set, so agreement after an acknowledgement
/// means that every node has the order.
///
/// # Panics
/// When they do not agree in time, with the digests of each.
pub fn wait_for_agreement(nodes: &mut [&mut Node]) -> BTreeMap<&'static str, Value> {
    let mut last = Vec::new();
    let agreed = look_until(Instant::now() + PATIENCE, || {
        last = nodes.iter_mut().map(|node| digest(node)).collect();
        last.windows(2)
            .all(|pair| pair[0] == pair[1])
            .then(|| last[0].clone())
    });
    agreed.unwrap_or_else(|| {
        let named = nodes.iter().zip(&last);
        let lines: Vec<String> = named
            .map(|(node, digests)| format!("{}: {digests:?}", node.name()))
            .collect();
        panic!("no agreement after {PATIENCE:?}\n{}", lines.join("\n"));
    })
}

/// Reads something of nodes that agree, as it is at one moment: again if anything moved meanwhile,
/// for what one node has shown as final another one may be told a moment later.
///
/// # Panics
/// When nodes do not agree in time, or not for as long as reading takes.
pub fn read_agreed<T>(nodes: &mut [&mut Node], mut read: impl FnMut(&mut [&mut Node]) -> T) -> T {
    let seen = look_until(Instant::now() + PATIENCE, || {
        let before = wait_for_agreement(nodes);
        let seen = read(nodes);
        let is_still = nodes.iter_mut().all(|node| digest(node) == before);
        is_still.then_some(seen)
    });
    seen.unwrap_or_else(|| panic!("nodes that agree do not come to rest in {PATIENCE:?}"))
}

/// Checks what can be recomputed from the outside: the book is not crossed, and fills add up. For
/// networks in which no owner left another's signature unanswered: what is withheld for an answer,
/// or refused, may stand crossed.
pub fn check_books(nodes: &mut [&mut Node]) {
    nodes.iter_mut().for_each(|node| check_not_crossed(node));
    check_fills(nodes);
}

/// Checks that each order's filled quantity is the sum of its trades and not more than the order,
/// at nodes that agree.
pub fn check_fills(nodes: &mut [&mut Node]) {
    let (trades, orders) = read_agreed(nodes, |nodes| {
        let trades = nodes[0].ok("trades BTC/USD 1000000");
        let orders = nodes.iter_mut().map(|node| node.ok("orders all"));
        (trades, orders.collect::<Vec<Value>>())
    });
    let mut traded: BTreeMap<String, Decimal> = BTreeMap::new();
    for trade in list(&trades, "trades") {
        let quantity = decimal(&trade["quantity"]);
        assert!(quantity > Decimal::ZERO, "an empty trade: {trade}");
        *traded.entry(text(trade, "buy")).or_default() += quantity;
        *traded.entry(text(trade, "sell")).or_default() += quantity;
    }
    for orders in &orders {
        for order in list(orders, "orders") {
            let filled = traded.get(&text(order, "order")).copied();
            let shown = decimal(&order["filled"]);
            assert_eq!(shown, filled.unwrap_or_default(), "trades of {order}");
            assert!(shown <= decimal(&order["quantity"]), "overfilled: {order}");
        }
    }
}

fn check_not_crossed(node: &mut Node) {
    let book = node.ok("book");
    let best = |side: &str| list(&book, side).first().map(|level| decimal(&level[0]));
    if let (Some(bid), Some(ask)) = (best("bids"), best("asks")) {
        assert!(bid < ask, "{}: the book is crossed: {book}", node.name());
    }
}

/// A decimal string of a reply.
pub fn decimal(value: &Value) -> Decimal {
    let text = value.as_str().map(Decimal::from_str);
    match text {
        Some(Ok(number)) => number,
        _ => panic!("{value} must be a decimal string"),
    }
}
