//! What people read, line by line.

use std::collections::BTreeMap;

use bitfitech_core::matching::EndReason;
use bitfitech_core::types::{OpId, OrderId};
use bitfitech_core::view::TradeRow;

use super::*;
use crate::command_fixtures as fixtures;
use crate::messages::ErrorCode;

fn answered(reply: Reply) -> String {
    answer_text(&Ok(reply), &fixtures::genesis(), Style::Plain)
}

fn reported(event: &Event) -> String {
    event_text(event, &fixtures::genesis(), Style::Plain)
}

/// The order of the fixtures, ended.
fn ended(reason: EndReason, filled: u64) -> OrderRow {
    OrderRow {
        ended: Some(reason),
        filled: Lots(filled),
        ..fixtures::order_row()
    }
}

#[test]
fn placing_says_what_became_of_the_order() {
    for (row, text) in [
        (
            fixtures::order_row(),
            "order 3f3f3f3f.63 open, 0.3 filled, 0.2 left\n",
        ),
        (
            OrderRow {
                filled: Lots(0),
                ..fixtures::order_row()
            },
            "order 3f3f3f3f.63 open, 0.5 to trade\n",
        ),
        (
            ended(EndReason::Filled, 50_000_000),
            "order 3f3f3f3f.63 filled, 0.5\n",
        ),
        (
            ended(EndReason::Unfilled, 30_000_000),
            "order 3f3f3f3f.63 cancelled (nothing more to take), 0.3 filled before\n",
        ),
        (
            ended(EndReason::SelfTrade, 0),
            "order 3f3f3f3f.63 cancelled (it met an own order), nothing filled before\n",
        ),
        (
            ended(EndReason::WouldTake, 0),
            "order 3f3f3f3f.63 rejected (it would have taken), nothing filled before\n",
        ),
        (
            ended(EndReason::Expired, 1),
            "order 3f3f3f3f.63 expired: its time was over, 0.00000001 filled before\n",
        ),
        (
            ended(EndReason::Lapsed, 0),
            "order 3f3f3f3f.63 lapsed: its owner fell silent, nothing filled before\n",
        ),
    ] {
        assert_eq!(
            answered(Reply::Place(PlaceReply::new(&row, Vec::new()))),
            text
        );
    }
}

#[test]
fn placing_shows_the_trades_made_at_once() {
    let place = PlaceReply::new(&fixtures::order_row(), vec![fixtures::trade()]);
    let expected = "\
order 3f3f3f3f.63 open, 0.3 filled, 0.2 left
trade     time (UTC)    pair     price  quantity  taker  buy order    sell order   status
77777777  12:34:56.789  BTC/USD  30000       0.3  buy    3f3f3f3f.63  41414141.65  tentative
";
    assert_eq!(answered(Reply::Place(place)), expected);
    assert_eq!(answered(Reply::Trades(Vec::new())), "no trades\n");
}

#[test]
fn a_trade_says_how_sure_it_is_and_why_it_changed() {
    let view = |status, is_unsafe| TradeView {
        row: TradeRow {
            status,
            ..fixtures::trade_row()
        },
        is_unsafe,
    };
    for (trade, words) in [
        (view(TradeStatus::Tentative, false), "  tentative\n"),
        (
            view(TradeStatus::Final, false),
            "  final: confirmed by both\n",
        ),
        (
            view(TradeStatus::Final, true),
            "  final: confirmed by both (unsafe: an owner signed two histories)\n",
        ),
    ] {
        let text = answered(Reply::Trade(trade));
        assert!(text.ends_with(words), "{text}");
    }
    for (reason, words) in [
        (
            Some(TradeReason::LateOperation),
            ": an operation came late (operation cccccccc)\n",
        ),
        (
            Some(TradeReason::Declined),
            ": an owner did not confirm in time, or refused (operation cccccccc)\n",
        ),
        (
            Some(TradeReason::Released),
            ": an owner released it by hand (operation cccccccc)\n",
        ),
        (
            Some(TradeReason::Confirmation),
            ": an order is confirmed for another trade (operation cccccccc)\n",
        ),
        (None, "sell order 41414141.65\n"),
    ] {
        let event = Event::Trade(TradeEvent {
            trade: view(TradeStatus::Busted, false),
            reason,
            cause: Some(OpId([0xcc; 32])),
        });
        let text = reported(&event);
        assert!(text.ends_with(words), "{text}");
    }
}

#[test]
fn cancelling_says_what_had_traded_before() {
    let row = ended(EndReason::Cancelled, 30_000_000);
    let expected = "order 3f3f3f3f.63 cancelled, 0.3 filled before\n";
    assert_eq!(answered(Reply::Cancel(row.clone())), expected);
    let expected = "\
1 order cancelled
order        pair     side     price  quantity  filled  status     late
3f3f3f3f.63  BTC/USD  buy   30000.01       0.5     0.3  cancelled
";
    assert_eq!(answered(Reply::CancelAll(vec![row])), expected);
    assert_eq!(answered(Reply::CancelAll(Vec::new())), "no open orders\n");
}

#[test]
fn orders_are_a_table_with_ids_as_short_as_they_can_be() {
    let mut twin = fixtures::order_row();
    twin.order = OrderId([0x3f; 32]);
    twin.order.0[4] = 0x30;
    let rows = vec![fixtures::order_row(), twin, fixtures::ended_row()];
    let expected = "\
order          pair     side      price  quantity  filled  status                late
3f3f3f3f3f.63  BTC/USD  buy    30000.01       0.5     0.3  open
3f3f3f3f30.63  BTC/USD  buy    30000.01       0.5     0.3  open
40404040.64    ETH/USD  sell  market          2       0    cancelled (unfilled)  1500 ms
";
    assert_eq!(answered(Reply::Orders(rows)), expected);
    assert_eq!(answered(Reply::Orders(Vec::new())), "no orders\n");
}

#[test]
fn one_order_is_shown_in_full() {
    let expected = format!(
        "\
order       {}
author      {}
pair        BTC/USD
side        buy
price       30000.01
quantity    0.5
filled      0.3
status      open
time (UTC)  12:34:56.789
late        12 ms
",
        "3f".repeat(32),
        "aa".repeat(32)
    );
    assert_eq!(answered(Reply::Order(fixtures::order_row())), expected);
}

#[test]
fn the_book_has_asks_above_bids() {
    let digest = "d1".repeat(32);
    let expected = format!(
        "\
BTC/USD
side     price  quantity  orders
ask   30010        0.001      12
ask   30000.01     0.5         1
bid   29999        1.5         2
digest {digest}
"
    );
    assert_eq!(answered(Reply::Book(fixtures::book())), expected);
    let empty = BookView {
        bids: Vec::new(),
        asks: Vec::new(),
        ..fixtures::book()
    };
    let expected = format!("BTC/USD: the book is empty\ndigest {digest}\n");
    assert_eq!(answered(Reply::Book(empty)), expected);
}

#[test]
fn peers_and_breakers_are_tables() {
    let expected = "\
peer      address         direction  state        round trip  behind  score  because
bbbbbbbb  192.0.2.7:3000  outbound   established       12 ms       3     -5  it floods
bcbcbcbc  [::1]:40000     inbound    established     unknown       0      0
";
    assert_eq!(answered(Reply::Peers(fixtures::peers())), expected);
    let expected = "\
node      linked to
bbbbbbbb  bcbcbcbc
";
    assert_eq!(answered(Reply::Topology(fixtures::topology())), expected);
    assert_eq!(answered(Reply::Topology(BTreeMap::new())), "no links\n");
    let expected = "\
address            state   failures  retry in
192.0.2.9:3000     open           3      25 s
node.example:3000  closed         0      0 ms
";
    assert_eq!(answered(Reply::Breakers(fixtures::breakers())), expected);
    assert_eq!(answered(Reply::Peers(Vec::new())), "no peers\n");
    assert!(answered(Reply::Breakers(Vec::new())).starts_with("no circuits"));
}

#[test]
fn clocks_count_operations_by_author() {
    let clock = [(AuthorKey([1; 32]), 5), (AuthorKey([2; 32]), 12)]
        .into_iter()
        .collect();
    let expected = "\
author    operations
01010101           5
02020202          12
";
    assert_eq!(answered(Reply::Clock(clock)), expected);
    assert!(answered(Reply::Clock(BTreeMap::new())).contains("empty"));
    for (relation, word) in [
        (Relation::Before, "before: "),
        (Relation::After, "after: "),
        (Relation::Concurrent, "concurrent: "),
        (Relation::Equal, "equal: "),
    ] {
        assert!(answered(Reply::Relation(relation)).starts_with(word));
    }
}

#[test]
fn digests_and_stats_are_lists_of_names_and_values() {
    let text = answered(Reply::Digest(fixtures::digests()));
    assert_eq!(text.lines().count(), 6);
    assert!(
        text.starts_with("operations    42\nset           0101"),
        "{text}"
    );
    assert!(
        text.contains(&format!("final trades  {}\n", "04".repeat(32))),
        "{text}"
    );
    let counters = vec![
        ("operations".to_string(), 9),
        ("bytes in".to_string(), 1234),
    ];
    assert_eq!(
        answered(Reply::Stats(counters)),
        "operations     9\nbytes in    1234\n"
    );
}

#[test]
fn the_tree_has_branches() {
    let expected = "\
actor            state    restarts  generation  mailbox
root             running         0           1        0
├─ exchange      running         0           1        0
│  ├─ matcher    running         2           3        0
│  └─ orderbook  running         0           1        0
└─ store         running         0           1        0
";
    assert_eq!(answered(Reply::Tree(fixtures::tree())), expected);
}

#[test]
fn small_replies_are_sentences() {
    let text = |text: &str| text.to_string();
    for (reply, expected) in [
        (
            Reply::Connect {
                address: text("a:1"),
            },
            "dialling a:1\n",
        ),
        (
            Reply::Disconnect {
                node: AuthorKey([0xbb; 32]),
            },
            "closing the session with bbbbbbbb\n",
        ),
        (
            Reply::Log {
                level: text("info"),
                target: None,
            },
            "logging everything from level info on\n",
        ),
        (
            Reply::Log {
                level: text("debug"),
                target: Some(text("gossip")),
            },
            "logging gossip from level debug on\n",
        ),
        (Reply::Crash { actor: text("dht") }, "told dht to panic\n"),
        (Reply::Help(text("one\ntwo\n")), "one\ntwo\n"),
        (Reply::Quit, "shutting down\n"),
    ] {
        assert_eq!(answered(reply), expected);
    }
}

#[test]
fn errors_say_the_code_and_cannot_write_to_the_terminal() {
    let error = || Err(ReplyError::new(ErrorCode::NotOwner, "not\u{1b}[2J yours\n"));
    let genesis = fixtures::genesis();
    let plain = answer_text(&error(), &genesis, Style::Plain);
    assert_eq!(plain, "error: not\\u{1b}[2J yours\\u{a} (NOT_OWNER)\n");
    let coloured = answer_text(&error(), &genesis, Style::Coloured);
    assert!(
        coloured.starts_with("\u{1b}[31merror\u{1b}[0m: "),
        "{coloured}"
    );
}

#[test]
fn events_are_sentences() {
    let text = reported(&fixtures::ready());
    assert!(text.contains("\npeers      0.0.0.0:3000\n"), "{text}");
    assert!(text.contains("\ngrape rpc  off\nready: "), "{text}");
    let final_row = TradeRow {
        status: TradeStatus::Final,
        ..fixtures::trade_row()
    };
    let confirmed = Event::Trade(TradeEvent {
        trade: TradeView {
            row: final_row,
            is_unsafe: false,
        },
        reason: None,
        cause: None,
    });
    for (event, expected) in [
        (
            fixtures::busted(),
            "trade 77777777 busted, 0.3 BTC/USD @ 30000, taker buy, buy order 3f3f3f3f.63, \
             sell order 41414141.65: an operation came late (operation cccccccc)\n",
        ),
        (
            confirmed,
            "trade 77777777 final: confirmed by both, 0.3 BTC/USD @ 30000, taker buy, \
             buy order 3f3f3f3f.63, sell order 41414141.65\n",
        ),
        (
            Event::Order(fixtures::order_row()),
            "order 3f3f3f3f.63 open, buy 0.5 BTC/USD @ 30000.01, 0.3 filled\n",
        ),
        (
            Event::Order(fixtures::ended_row()),
            "order 40404040.64 cancelled (nothing more to take), sell 2 ETH/USD market, 0 filled, \
             1500 ms late\n",
        ),
        (
            fixtures::disconnected(),
            "peer bbbbbbbb at 192.0.2.7:3000 disconnected: bye\\u{a}\\u{1b}[31m\n",
        ),
        (
            fixtures::crashed(),
            "actor matcher crashed in generation 3: fault drill\n",
        ),
        (
            fixtures::syncing(),
            "catching up with bbbbbbbb: 500 of 1000 operations\n",
        ),
    ] {
        assert_eq!(reported(&event), expected);
    }
}

#[test]
fn colours_change_no_character() {
    let genesis = fixtures::genesis();
    let answers = [
        Reply::Book(fixtures::book()),
        Reply::Orders(vec![fixtures::order_row(), fixtures::ended_row()]),
        Reply::Trades(vec![fixtures::trade()]),
        Reply::Tree(fixtures::tree()),
        Reply::Breakers(fixtures::breakers()),
    ];
    for reply in answers {
        let answer = Ok(reply);
        let plain = answer_text(&answer, &genesis, Style::Plain);
        let mut coloured = answer_text(&answer, &genesis, Style::Coloured);
        assert_ne!(coloured, plain);
        for code in ["0", "1", "31", "32", "33"] {
            coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(coloured, plain);
    }
}
