//! Wrong lines on standard input: each is answered, and none changes anything.

use serde_json::Value;

use crate::support::agreement::digest;
use crate::support::node::{Node, text};
use crate::support::plan::Plan;

/// Lines that no node can act on, by what is wrong with them.
const WRONG: [&str; 92] = [
    // Unknown words.
    "frobnicate",
    "bye",
    "buyy 1 @ 10",
    "@ 10",
    "-1",
    "💥",
    "\u{1b}[2J",
    "ｂｕｙ 1 @ 10",
    // Missing parts.
    "buy",
    "sell",
    "buy 1",
    "buy 1 @",
    "buy 1 10",
    "buy @ 10",
    "buy BTC/USD @ 10",
    "sell 1 BTC/USD @",
    // Quantities.
    "buy 0 @ 10",
    "buy -1 @ 10",
    "buy one @ 10",
    "buy . @ 10",
    "buy 1e3 @ 10",
    "buy NaN @ 10",
    "buy inf @ 10",
    "buy 0x10 @ 10",
    "buy 1,5 @ 10",
    "buy 1_000 @ 10",
    "buy 1.2.3 @ 10",
    "buy ١ @ 10",
    "buy 1\u{0} @ 10",
    "buy 0.000000001 @ 10",
    "buy 1.000000001 @ 10",
    "buy 1000000.00000001 @ 10",
    "buy 99999999999999999999999999999999999999999999 @ 10",
    "sell 0.00000000 @ 10",
    // Prices.
    "buy 1 @ 0",
    "buy 1 @ -10",
    "buy 1 @ ten",
    "buy 1 @ 10.001",
    "buy 1 @ 1000000.01",
    "buy 1 @ 1e3",
    "buy 1 @ $10",
    "buy 1 @ 10%",
    "buy 1 @ 99999999999999999999999999999999999999999999",
    "sell 1 @ 0.00",
    // Markets.
    "buy 1 ETH/USD @ 10",
    "buy 1 BTC @ 10",
    "buy 1 BTC/USD/EUR @ 10",
    "buy 1 / @ 10",
    "sell 1 USD/BTC @ 10",
    // Too much.
    "buy 1 2 @ 10",
    "buy 1 @ 10 @ 11",
    "buy 1 @ 10 sometimes",
    "buy 1 @ 10 stp=never",
    "buy 1 @ 10 ttl=yesterday",
    "buy 1 BTC/USD BTC/USD @ 10",
    // Orders that are not there.
    "cancel",
    "cancel nothing",
    "cancel 00000000",
    "cancel 0000000000000000000000000000000000000000000000000000000000000000",
    "cancel 00000000000000000000000000000000000000000000000000000000000000000",
    "cancel 0000",
    "order",
    "order nothing",
    "order 00000000",
    "orders some",
    "clock nothing",
    "clock 00000000 11111111",
    "clock 00000000 11111111 22222222",
    // Looking at what is not there.
    "book ETH/USD",
    "book BTC/USD many",
    "book BTC/USD -1",
    "trades ETH/USD",
    "trades BTC/USD many",
    "trades BTC/USD -5",
    "trades BTC/USD 1000001",
    // Peers.
    "connect",
    "connect nowhere",
    "connect 127.0.0.1",
    "connect 127.0.0.1:0",
    "connect 127.0.0.1:99999",
    "connect 127.0.0.1:port",
    "connect :3000",
    "connect 127.0.0.1:1 127.0.0.1:2",
    "disconnect",
    "disconnect nobody",
    // The rest.
    "log",
    "log loud",
    "crash",
    "crash nobody",
    "crash matcher",
    "help frobnicate",
    "quit tomorrow",
];

/// The word that the reply must name.
fn reply_word(line: &str) -> &str {
    let word = line.split_whitespace().next().unwrap_or_default();
    let printable = word.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && word.len() <= 32 {
        word
    } else {
        "?"
    }
}

/// A node with a book, whose set does not grow by itself during the test.
fn quiet_node() -> Node {
    let plan = Plan::named("careful").set("network.lease_ms", "86400000");
    let mut node = Node::start(plan);
    node.ok("buy 1 @ 10");
    node.ok("sell 1 @ 20");
    node
}

/// The refusal says what kind of fault it is, and what was expected.
fn check_refusal(reply: &Value, line: &str) {
    assert_eq!(reply["reply"], reply_word(line), "`{line}`: {reply}");
    assert_eq!(reply["ok"], false, "`{line}`: {reply}");
    let code = text(reply, "code");
    let shouted = code
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    assert!(shouted && !code.is_empty(), "`{line}`: {reply}");
    let error = text(reply, "error");
    assert!(error.len() >= 10, "`{line}`: the text must help: {reply}");
    assert!(!error.contains('\n'), "`{line}`: one line: {reply}");
}

#[test]
fn every_wrong_line_is_answered_and_changes_nothing() {
    let mut node = quiet_node();
    let before = digest(&mut node);
    for line in WRONG {
        node.send(line);
        let reply = node.reply();
        check_refusal(&reply, line);
        assert_eq!(digest(&mut node), before, "after `{line}`");
    }
    assert_eq!(
        node.ok("orders")["orders"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn lines_that_are_no_text_are_answered_and_change_nothing() {
    let mut node = quiet_node();
    let before = digest(&mut node);
    let long = "x".repeat(100_000);
    let wide = format!("buy {} @ 10", "9".repeat(100_000));
    node.send_bytes(b"\xff\xfe\x00buy 1 @ 10\n");
    assert_eq!(node.reply()["ok"], false);
    node.send_bytes(b"buy \xc3\x28 @ 10\n");
    assert_eq!(node.reply()["ok"], false);
    for line in [long, wide] {
        node.send(&line);
        assert_eq!(node.reply()["ok"], false);
    }
    assert_eq!(digest(&mut node), before);
}

#[test]
fn lines_end_as_on_every_system() {
    let mut node = quiet_node();
    node.send_bytes(b"digest\r\n\r\n  peers  \n\tbook\t\n");
    for word in ["digest", "peers", "book"] {
        let reply = node.reply();
        assert_eq!(reply["reply"], word, "{reply}");
        assert_eq!(reply["ok"], true, "{reply}");
    }
}
