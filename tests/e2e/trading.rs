//! Three nodes, one book: orders typed anywhere are the same everywhere.

use bitfitech_core::types::OrderId;
use serde_json::{Value, json};

use crate::support::agreement::{check_books, wait_for_agreement};
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;

/// Three nodes in a row: the second dials the first, the third dials the second.
fn chain_of_three() -> [Node; 3] {
    let mut first = Node::start(Plan::named("first"));
    let mut second = Node::start(Plan::named("second").dials(&first.address()));
    let mut third = Node::start(Plan::named("third").dials(&second.address()));
    first.wait_for_peers(1);
    second.wait_for_peers(2);
    third.wait_for_peers(1);
    [first, second, third]
}

/// Waits until the node's book has so many levels of asks, so that its user sees them.
fn wait_for_asks(node: &mut Node, count: usize) {
    node.wait_for("book", &format!("it shows {count} asks"), |book| {
        list(book, "asks").len() == count
    });
}

#[test]
fn an_order_fills_from_three_others_at_their_prices_and_the_remainder_rests() {
    let [mut first, mut second, mut third] = chain_of_three();
    first.ok("sell 30 @ 30000");
    second.ok("sell 40 BTC/USD @ 30001");
    first.ok("sell 30 @ 30002");
    wait_for_asks(&mut third, 3);

    let taken = third.ok("buy 120 @ 30002");
    assert_eq!(taken["status"], "open", "{taken}");
    assert_eq!(taken["reason"], Value::Null, "{taken}");
    assert_eq!(taken["filled"], "100", "{taken}");
    assert_eq!(taken["remaining"], "20", "{taken}");
    assert_eq!(list(&taken, "trades").len(), 3, "{taken}");
    let order = text(&taken, "order");

    let nodes = &mut [&mut first, &mut second, &mut third];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        check_three_fills(node, &order);
        let book = node.ok("book BTC/USD");
        assert_eq!(book["bids"], json!([["30002", "20", 1]]), "{book}");
        assert_eq!(book["asks"], json!([]), "{book}");
    }
    check_books(nodes);
}

/// The three trades of the buying order, best price first.
fn check_three_fills(node: &mut Node, order: &str) {
    let trades = node.ok("trades");
    let rows: Vec<(String, String)> = list(&trades, "trades")
        .iter()
        .map(|trade| (text(trade, "price"), text(trade, "quantity")))
        .collect();
    let expected = [("30000", "30"), ("30001", "40"), ("30002", "30")];
    let expected = expected.map(|(price, quantity)| (price.to_owned(), quantity.to_owned()));
    assert_eq!(rows, expected, "{}", node.name());
    for trade in list(&trades, "trades") {
        assert_eq!(trade["buy"], order, "{trade}");
        assert_eq!(trade["taker"], "buy", "{trade}");
        assert_eq!(trade["pair"], "BTC/USD", "{trade}");
        let status = text(trade, "status");
        assert!(["tentative", "final"].contains(&status.as_str()), "{trade}");
    }
}

#[test]
fn a_cancel_travels_and_is_over_for_good() {
    let [mut first, mut second, mut third] = chain_of_three();
    let placed = third.ok("buy 2 @ 100.5");
    let order = text(&placed, "order");
    let what = "the order has come";
    first.wait_for("book", what, |book| list(book, "bids").len() == 1);

    third.ok(&format!("cancel {}", &order[..8]));
    let nodes = &mut [&mut first, &mut second, &mut third];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        let book = node.ok("book");
        assert_eq!(book["bids"], json!([]), "{book}");
        let row = node.ok(&format!("order {order}"));
        assert_eq!(row["status"], "cancelled", "{row}");
        assert_eq!(row["filled"], "0", "{row}");
        assert_eq!(row["price"], "100.5", "{row}");
    }
    let again = third.command(&format!("cancel {order}"));
    assert_eq!(again["ok"], false, "{again}");
    assert_eq!(again["code"], "ORDER_CLOSED", "{again}");
    let foreign = first.command(&format!("cancel {order}"));
    assert_eq!(foreign["ok"], false, "{foreign}");
}

#[test]
fn orders_that_were_typed_together_are_cancelled_one_by_one_by_their_short_names() {
    let mut node = Node::start(Plan::named("alone"));
    node.send("sell 1 @ 101\nsell 2 @ 102\nsell 3 @ 103");
    let orders: Vec<OrderId> = (0..3)
        .map(|_| OrderId::from_hex(&text(&node.reply(), "order")).expect("an id"))
        .collect();
    let name = |order: &OrderId| format!("{}.{}", order.short(), order.index());
    for order in &orders {
        let row = node.ok(&format!("order {}", name(order)));
        assert_eq!(row["order"], order.to_hex(), "{row}");
    }
    let digits = orders[1].short();
    let alike = orders
        .iter()
        .filter(|order| order.short() == digits)
        .count();
    let asked = node.command(&format!("cancel {digits}"));
    if alike > 1 {
        assert_eq!(asked["code"], "AMBIGUOUS_ORDER", "{asked}");
        assert!(
            text(&asked, "error").contains(&format!("{digits}.0")),
            "{asked}"
        );
        node.ok(&format!("cancel {}", name(&orders[1])));
    }
    node.wait_for("book", "one is cancelled", |book| {
        list(book, "asks").len() == 2
    });
    assert_eq!(
        node.ok(&format!("order {}", orders[1].to_hex()))["status"],
        "cancelled"
    );
}

#[test]
fn the_earlier_of_two_orders_at_a_price_trades_first_on_every_node() {
    let [mut first, mut second, mut third] = chain_of_three();
    let early = text(&first.ok("sell 1 @ 500"), "order");
    wait_for_asks(&mut second, 1);
    let late = text(&second.ok("sell 1 @ 500"), "order");
    let what = "both asks have come";
    third.wait_for("book", what, |book| {
        book["asks"] == json!([["500", "2", 2]])
    });
    third.ok("buy 0.4 @ 600");
    third.ok("buy 0.8 @ 500");

    let nodes = &mut [&mut first, &mut second, &mut third];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        let trades = node.ok("trades");
        let rows: Vec<(String, String, String)> = list(&trades, "trades")
            .iter()
            .map(|row| (text(row, "sell"), text(row, "price"), text(row, "quantity")))
            .collect();
        let row =
            |order: &str, quantity: &str| (order.to_owned(), "500".to_owned(), quantity.to_owned());
        let expected = [row(&early, "0.4"), row(&early, "0.6"), row(&late, "0.2")];
        assert_eq!(rows, expected, "{}", node.name());
    }
    let row = second.ok(&format!("order {late}"));
    assert_eq!(row["status"], "open", "{row}");
    assert_eq!(row["filled"], "0.2", "{row}");
    let own = second.ok("orders");
    assert_eq!(list(&own, "orders").len(), 1, "{own}");
    assert_eq!(own["orders"][0]["author"], second.key(), "{own}");
    let over = first.ok("orders");
    assert_eq!(list(&over, "orders").len(), 0, "{over}");
    let ended = first.ok("orders all");
    assert_eq!(ended["orders"][0]["status"], "filled", "{ended}");
}

#[test]
fn the_smallest_and_the_greatest_amounts_are_exact() {
    let mut maker = Node::start(Plan::named("maker"));
    let mut taker = Node::start(Plan::named("taker").dials(&maker.address()));
    taker.wait_for_peers(1);
    maker.ok("sell 1000000 @ 1000000");
    maker.ok("buy 0.00000001 @ 0.01");
    maker.ok("sell 0.10000000 @ 999999.990");
    taker.wait_for("book", "all orders have come", |book| {
        book["asks"] == json!([["999999.99", "0.1", 1], ["1000000", "1000000", 1]])
            && book["bids"] == json!([["0.01", "0.00000001", 1]])
    });
    let bought = taker.ok("buy 1000000 @ 1000000");
    assert_eq!(bought["status"], "filled", "{bought}");
    assert_eq!(bought["filled"], "1000000", "{bought}");
    let nodes = &mut [&mut maker, &mut taker];
    wait_for_agreement(nodes);
    let book = maker.ok("book");
    assert_eq!(book["asks"], json!([["1000000", "0.1", 1]]), "{book}");
}

#[test]
fn an_order_knows_what_its_owner_had_seen() {
    let [mut first, mut second, mut third] = chain_of_three();
    let seen = text(&first.ok("sell 1 @ 700"), "order");
    wait_for_asks(&mut third, 1);
    let answer = text(&third.ok("sell 1 @ 701"), "order");
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);

    for node in [&mut first, &mut second, &mut third] {
        let forward = node.ok(&format!("clock {seen} {answer}"));
        assert_eq!(forward["relation"], "before", "{forward}");
        let backward = node.ok(&format!("clock {answer} {seen}"));
        assert_eq!(backward["relation"], "after", "{backward}");
        let same = node.ok(&format!("clock {seen} {seen}"));
        assert_eq!(same["relation"], "equal", "{same}");
    }
    let clock = second.ok(&format!("clock {answer}"));
    let readings = clock["clock"].as_object().expect("readings by node");
    assert!(readings.contains_key(&first.key()), "{clock}");
    assert!(readings.contains_key(&third.key()), "{clock}");
    assert!(!readings.contains_key(&second.key()), "{clock}");
}

#[test]
fn a_trade_and_an_end_are_told_as_events_to_their_owner() {
    let mut maker = Node::start(Plan::named("maker"));
    let mut taker = Node::start(Plan::named("taker").dials(&maker.address()));
    taker.wait_for_peers(1);
    let order = text(&maker.ok("sell 3 @ 42"), "order");
    wait_for_asks(&mut taker, 1);
    taker.ok("buy 3 @ 42");
    let trade = maker.wait_for_event("the trade is told", |event| event["event"] == "trade");
    assert_eq!(trade["sell"], order.as_str(), "{trade}");
    assert_eq!(trade["price"], "42", "{trade}");
    assert_eq!(trade["quantity"], "3", "{trade}");
    let filled = maker.wait_for_event("the order's end is told", |event| {
        event["event"] == "order" && event["status"] == "filled"
    });
    assert_eq!(filled["order"], order.as_str(), "{filled}");
}

#[test]
fn orders_of_a_script_share_operations_and_are_answered_in_their_order() {
    let mut node = Node::start(Plan::named("node"));
    let prices = 101..=200;
    let script: String = prices
        .clone()
        .map(|price| format!("buy 1 @ {price}\n"))
        .collect();
    node.send_bytes(script.as_bytes());
    // What is asked behind the orders sees them all.
    node.send("orders");
    let replies: Vec<Value> = (0..100).map(|_| node.reply()).collect();
    let orders = node.reply();
    let shown: Vec<String> = list(&orders, "orders")
        .iter()
        .map(|row| text(row, "price"))
        .collect();
    let placed: Vec<String> = prices.map(|price| price.to_string()).collect();
    assert_eq!(shown, placed, "{orders}");
    for (reply, row) in replies.iter().zip(list(&orders, "orders")) {
        assert_eq!(reply["order"], row["order"], "{reply}");
    }
    let operations = node.ok("digest")["operations"].as_u64();
    assert!(
        operations.is_some_and(|operations| operations < 50),
        "{operations:?} operations for 100 orders"
    );
}

#[test]
fn a_book_is_shown_with_its_own_digest_while_it_changes() {
    let [mut first, mut second, _third] = chain_of_three();
    let mut earlier = Vec::new();
    for price in 1..=10 {
        first.ok(&format!("sell 1 @ {price}"));
        let book = first.ok("book");
        let best = text(&book, "digest");
        assert_eq!(first.ok("book")["digest"], best.as_str(), "nothing changed");
        wait_for_asks(&mut second, price);
        assert_eq!(second.ok("book")["digest"], best.as_str(), "{book}");
        assert!(!earlier.contains(&best), "every book has another: {book}");
        earlier.push(best);
    }
}
