//! A network with two markets: each has a book of its own, and everything else is about both.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;
use crate::support::proxy::Proxy;

/// What all nodes of the network are configured with: other steps of price in the second market.
const MARKETS: &str = r#"
[[markets]]
pair = "BTC/USD"
tick = "0.01"
lot = "0.00000001"
max_price = "1000000"
max_quantity = "1000000"

[[markets]]
pair = "ETH/USD"
tick = "0.05"
lot = "0.01"
max_price = "1000000"
max_quantity = "1000000"
"#;

/// A node of the network, to be started.
fn plan(name: &str, folder: &Path) -> Plan {
    let file = folder.join("config.toml");
    fs::write(&file, MARKETS).expect("a configuration file");
    let file = file.to_str().expect("the path is text");
    Plan::named(name).argument("--config").argument(file)
}

/// Waits until both books of a node have so many levels of bids and asks.
fn wait_for_books(node: &mut Node, bitcoin: (usize, usize), ether: (usize, usize)) {
    for (pair, (bids, asks)) in [("BTC/USD", bitcoin), ("ETH/USD", ether)] {
        let what = format!("{pair} has {bids} bids and {asks} asks");
        node.wait_for(&format!("book {pair}"), &what, |book| {
            (list(book, "bids").len(), list(book, "asks").len()) == (bids, asks)
        });
    }
}

/// The trades of a market, as price, quantity and status.
fn trades(node: &mut Node, pair: &str) -> Vec<[String; 3]> {
    let trades = node.ok(&format!("trades {pair}"));
    let rows = list(&trades, "trades").iter();
    rows.map(|row| {
        assert_eq!(row["pair"], pair, "{row}");
        ["price", "quantity", "status"].map(|field| text(row, field))
    })
    .collect()
}

#[test]
fn orders_meet_in_their_own_market_only_and_are_the_same_everywhere() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut first = Node::start(plan("first", folder.path()));
    let mut second = Node::start(plan("second", folder.path()).dials(&first.address()));
    let proxy = Proxy::to(&second.address());
    let mut third = Node::start(plan("third", folder.path()).dials(proxy.address()));
    second.wait_for_peers(2);

    first.ok("sell 1 @ 100");
    first.ok("sell 2 ETH/USD @ 100.05");
    wait_for_books(&mut third, (0, 1), (0, 1));
    let taken = third.ok("buy 1.5 ETH/USD @ 101");
    assert_eq!(taken["filled"], "1.5", "{taken}");
    for (line, step) in [
        ("buy 1 ETH/USD @ 100.01", "0.05"),
        ("buy 0.001 ETH/USD @ 100", "0.01"),
    ] {
        let refused = third.command(line);
        assert_eq!(refused["ok"], false, "{line}: {refused}");
        assert!(text(&refused, "error").contains(step), "{line}: {refused}");
    }
    let unknown = third.command("buy 1 DOGE/USD @ 1");
    assert_eq!(unknown["ok"], false, "{unknown}");
    let expected = [["100.05", "1.5", "final"].map(str::to_owned)];
    for node in [&mut first, &mut second, &mut third] {
        let what = "the trade is final";
        node.wait_for("trades ETH/USD", what, |it| {
            it["trades"][0]["status"] == "final"
        });
        assert_eq!(trades(node, "ETH/USD"), expected);
        assert_eq!(trades(node, "BTC/USD"), [[""; 3]; 0]);
    }

    proxy.cut();
    third.ok("buy 0.3 @ 100");
    third.ok("sell 4 ETH/USD @ 99");
    second.ok("buy 0.9 BTC/USD @ 100");
    second.ok("buy 1 ETH/USD @ 99");
    proxy.heal();
    third.wait_for_peers(1);
    let nodes = &mut [&mut first, &mut second, &mut third];
    wait_for_agreement(nodes);
    let books = ["BTC/USD", "ETH/USD"].map(|pair| nodes[0].ok(&format!("book {pair}")));
    for node in nodes.iter_mut() {
        for book in &books {
            let own = node.ok(&format!("book {}", text(book, "pair")));
            assert_eq!(&own, book, "{}", node.name());
        }
    }
}

#[test]
fn cancelling_all_ends_the_orders_of_all_markets_and_a_restart_finds_both_books() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut first = Node::start(plan("first", folder.path()));
    let mut second = Node::start(plan("second", folder.path()).dials(&first.address()));
    second.wait_for_peers(1);
    first.ok("buy 1 @ 90");
    first.ok("sell 1 ETH/USD @ 110");
    second.ok("sell 1 @ 110");
    second.ok("buy 1 ETH/USD @ 90");
    wait_for_books(&mut first, (1, 1), (1, 1));
    wait_for_books(&mut second, (1, 1), (1, 1));

    let ended = first.ok("cancel all");
    let pairs = list(&ended, "orders").iter().map(|row| text(row, "pair"));
    let mut pairs: Vec<String> = pairs.collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["BTC/USD", "ETH/USD"], "{ended}");
    wait_for_books(&mut second, (0, 1), (1, 0));
    let mut second = second.start_again();
    wait_for_books(&mut second, (0, 1), (1, 0));
    wait_for_agreement(&mut [&mut first, &mut second]);
    let open = second.ok("orders");
    assert_eq!(list(&open, "orders").len(), 2, "{open}");
    assert_eq!(first.ok("orders")["orders"], json!([]));
    assert_eq!(
        first.ok("orders all")["orders"].as_array().map(Vec::len),
        Some(2)
    );
}
