//! Final trades: confirmed by both owners, and then for good.
//!
//! How soon, in both halves of a partition, when one of the owners dies, across `kill -9`, and by
//! hand. Waiting times are settings of the nodes here, short where a test has to wait for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agreement::{check_books, digest, wait_for_agreement};
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;
use crate::support::proxy::Proxy;

/// The hold-down of every node here but those that say otherwise: the default.
const SETTLE: Duration = Duration::from_millis(1_000);

/// By how much a loaded machine may miss the target of 200 ms after the hold-down.
const SETTLE_LATE_MAX: Duration = Duration::from_secs(10);

/// Waits until the node's book has so many levels of asks.
fn wait_for_asks(node: &mut Node, count: usize) {
    node.wait_for("book", &format!("it shows {count} asks"), |book| {
        list(book, "asks").len() == count
    });
}

/// Places an order that takes at once, and returns the id of the one trade.
fn take(node: &mut Node, line: &str) -> String {
    let taken = node.ok(line);
    let trades = list(&taken, "trades");
    assert_eq!(trades.len(), 1, "{taken}");
    assert_eq!(trades[0]["status"], "tentative", "{taken}");
    text(&trades[0], "id")
}

/// Waits until a node has told that this trade is as said, and returns the event.
fn told(node: &mut Node, trade: &str, status: &str) -> Value {
    node.wait_for_event(&format!("trade {trade} is {status}"), |event| {
        event["event"] == "trade" && event["id"] == trade && event["status"] == status
    })
}

/// The final trades that a node shows.
fn finals(node: &mut Node) -> Vec<Value> {
    let trades = node.ok("trades BTC/USD 1000000");
    let rows = list(&trades, "trades").iter();
    let rows = rows.filter(|row| row["status"] == "final");
    rows.cloned().collect()
}

/// Waits until every trade that it shows is final, and there are so many.
fn wait_for_finals(node: &mut Node, count: usize) {
    node.wait_for(
        "trades",
        &format!("it shows {count} final trades"),
        |reply| {
            let rows = list(reply, "trades");
            rows.len() == count && rows.iter().all(|row| row["status"] == "final")
        },
    );
}

#[test]
fn a_trade_is_final_on_every_node_soon_after_the_hold_down() {
    let mut maker = Node::start(Plan::named("maker"));
    let mut between = Node::start(Plan::named("between").dials(&maker.address()));
    let mut taker = Node::start(Plan::named("taker").dials(&between.address()));
    between.wait_for_peers(2);
    let mut times = Vec::new();
    for price in [100, 101, 102] {
        maker.ok(&format!("sell 1 @ {price}"));
        wait_for_asks(&mut taker, 1);
        let begin = Instant::now();
        let trade = take(&mut taker, &format!("buy 1 @ {price}"));
        for node in [&mut taker, &mut maker, &mut between] {
            let event = told(node, &trade, "final");
            assert_eq!(event["reason"], Value::Null, "{event}");
            assert_eq!(text(&event, "cause").len(), 64, "{event}");
            assert_eq!(event["unsafe"], false, "{event}");
        }
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("from match to final on three nodes: {times:?}");
    assert!(times[0] >= SETTLE, "{times:?}");
    assert!(times[1] <= SETTLE + SETTLE_LATE_MAX, "{times:?}");
    let nodes = &mut [&mut maker, &mut between, &mut taker];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        wait_for_finals(node, 3);
        let stats = node.ok("stats");
        assert_eq!(stats["stats"]["trades_final"], 3, "{stats}");
        assert_eq!(stats["stats"]["trades_tentative"], 0, "{stats}");
    }
    check_books(nodes);
}

/// Two nodes that are connected, the second by dialling the first.
fn pair(name: &str) -> [Node; 2] {
    let first = Node::start(Plan::named(&format!("{name}, maker")));
    let plan = Plan::named(&format!("{name}, taker")).dials(&first.address());
    let mut second = Node::start(plan);
    second.wait_for_peers(1);
    [first, second]
}

#[test]
fn both_halves_of_a_partition_reach_final_and_lose_nothing_when_it_heals() {
    let [mut left, mut left_taker] = pair("left");
    let [mut right, mut right_taker] = pair("right");
    let link = Proxy::to(&left.address());
    right.ok(&format!("connect {}", link.address()));
    left.wait_for_peers(2);
    link.cut();
    left.wait_for_peers(1);
    right.wait_for_peers(1);

    // The same prices on both sides: together they would have matched otherwise.
    left.ok("sell 1 @ 100");
    right.ok("sell 3 @ 99");
    wait_for_asks(&mut left_taker, 1);
    wait_for_asks(&mut right_taker, 1);
    let on_left = take(&mut left_taker, "buy 2 @ 100");
    let on_right = take(&mut right_taker, "buy 1 @ 100");
    for (nodes, trade) in [
        ([&mut left, &mut left_taker], &on_left),
        ([&mut right, &mut right_taker], &on_right),
    ] {
        for node in nodes {
            told(node, trade, "final");
        }
    }
    let before = [finals(&mut left), finals(&mut right)].concat();
    assert_eq!(before.len(), 2, "{before:?}");

    link.heal();
    let nodes = &mut [&mut left, &mut left_taker, &mut right, &mut right_taker];
    for node in nodes.iter_mut() {
        // The rest of the left taker meets the rest of the right maker.
        wait_for_finals(node, 3);
    }
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        let after = finals(node);
        for old in &before {
            let same = |new: &&Value| new["id"] == old["id"];
            let new = after.iter().find(same).expect("no final trade is lost");
            for field in ["price", "quantity", "buy", "sell", "taker"] {
                assert_eq!(new[field], old[field], "{field} of a final trade changed");
            }
        }
    }
    check_books(nodes);
}

#[test]
fn a_maker_that_dies_before_it_answers_is_refused_and_agrees_when_it_is_back() {
    let times = |name: &str| {
        Plan::named(name)
            .set("exchange.release_ms", "4000")
            .set("network.answer_ms", "1000")
    };
    let mut maker = Node::start(times("maker"));
    let mut taker = Node::start(times("taker").dials(&maker.address()));
    let mut third = Node::start(times("third").dials(&taker.address()));
    taker.wait_for_peers(2);
    let sold = text(&maker.ok("sell 1 @ 100"), "order");
    wait_for_asks(&mut taker, 1);
    let trade = take(&mut taker, "buy 1 @ 100");
    maker.kill();

    let busted = told(&mut taker, &trade, "busted");
    assert_eq!(busted["reason"], "declined", "{busted}");
    assert_eq!(text(&busted, "cause").len(), 64, "{busted}");
    let bought = text(&busted, "buy");
    let row = taker.ok(&format!("order {bought}"));
    assert_eq!(
        (&row["status"], &row["filled"]),
        (&json!("open"), &json!("0"))
    );
    let refused = taker.command(&format!("confirm {}", &trade[..16]));
    assert_eq!(refused["code"], "UNKNOWN_TRADE", "{refused}");

    let mut maker = maker.start_again();
    wait_for_agreement(&mut [&mut maker, &mut taker]);
    for node in [&mut maker, &mut taker] {
        assert_eq!(list(&node.ok("trades"), "trades").len(), 0);
        let row = node.ok(&format!("order {sold}"));
        assert_eq!(
            row["status"], "open",
            "the pair is refused, not the order: {row}"
        );
    }
    // Both orders still trade with others, and nothing of the taker's stays bound: his half is
    // given back when the maker is heard of later than the time for an answer.
    third.wait_for("book", "both orders have come", |book| {
        list(book, "bids").len() == 1 && list(book, "asks").len() == 1
    });
    maker.ok("buy 1 @ 1");
    third.ok("sell 1 @ 100");
    wait_for_finals(&mut taker, 1);
    assert_eq!(taker.ok(&format!("order {bought}"))["status"], "filled");
    wait_for_agreement(&mut [&mut maker, &mut taker, &mut third]);
}

#[test]
fn final_trades_survive_a_kill_while_others_settle() {
    let [mut maker, mut taker] = pair("killed");
    maker.ok("sell 1 @ 100");
    wait_for_asks(&mut taker, 1);
    let first = take(&mut taker, "buy 1 @ 100");
    told(&mut taker, &first, "final");
    told(&mut maker, &first, "final");
    let kept = finals(&mut taker);

    for price in [101, 102, 103] {
        maker.ok(&format!("sell 1 @ {price}"));
        wait_for_asks(&mut taker, 1);
        take(&mut taker, &format!("buy 1 @ {price}"));
        // With the trade on its way to be final, in one of its stages.
        taker.kill();
        taker = taker.start_again();
        assert!(
            finals(&mut taker)
                .iter()
                .any(|row| row["id"] == kept[0]["id"])
        );
        taker.wait_for_peers(1);
    }
    for node in [&mut maker, &mut taker] {
        wait_for_finals(node, 4);
    }
    wait_for_agreement(&mut [&mut maker, &mut taker]);
    let before = digest(&mut taker);
    let mut taker = taker.start_again();
    assert_eq!(digest(&mut taker)["final_trades"], before["final_trades"]);
    assert_eq!(taker.ok("stats")["stats"]["forked_authors"], 0);
    check_books(&mut [&mut maker, &mut taker]);
}

/// A trade that the taker's node does not confirm by itself, for the maker's order came late to it
/// and it refuses late orders. The link lasts as long as its proxy.
fn late_trade() -> (Node, Node, Proxy, String) {
    let refusing = |name: &str| {
        Plan::named(name)
            .set("exchange.late_policy", "refuse")
            .set("exchange.release_ms", "120000")
    };
    let mut maker = Node::start(refusing("maker"));
    let link = Proxy::to(&maker.address());
    let mut taker = Node::start(refusing("taker").dials(link.address()));
    taker.wait_for_peers(1);
    link.cut();
    taker.wait_for_peers(0);
    maker.ok("sell 1 @ 100");
    let begin = Instant::now();
    // Longer than what counts as late, measured by what the nodes go through meanwhile.
    while begin.elapsed() < Duration::from_millis(1_000) {
        maker.ok("stats");
    }
    link.heal();
    wait_for_asks(&mut taker, 1);
    let asks = taker.ok("book");
    assert_eq!(asks["asks"], json!([["100", "1", 1]]), "{asks}");
    let trade = take(&mut taker, "buy 1 @ 100");
    told(&mut maker, &trade, "tentative");
    (maker, taker, link, trade)
}

#[test]
fn a_trade_with_a_late_order_is_confirmed_by_hand() {
    let (mut maker, mut taker, _link, trade) = late_trade();
    let maker_row = taker.ok("trades")["trades"][0]["sell"].clone();
    let row = taker.ok(&format!("order {}", maker_row.as_str().expect("an id")));
    assert!(
        row["late_ms"].as_u64() > Some(400),
        "the maker's order came late: {row}"
    );
    let confirmed = taker.ok(&format!("confirm {}", &trade[..8]));
    assert_eq!(confirmed["id"], trade.as_str(), "{confirmed}");
    assert_eq!(confirmed["reply"], "confirm", "{confirmed}");
    told(&mut maker, &trade, "final");
    told(&mut taker, &trade, "final");
    for line in ["confirm", "release"] {
        let again = taker.command(&format!("{line} {trade}"));
        assert_eq!(again["code"], "TRADE_FINAL", "{again}");
    }
    wait_for_agreement(&mut [&mut maker, &mut taker]);
}

#[test]
fn a_trade_is_released_by_hand_and_wrong_ids_are_told_apart() {
    let (mut maker, mut taker, _link, trade) = late_trade();
    let mut other = Node::start(Plan::named("other").dials(&taker.address()));
    other.wait_for("trades", "the trade has come", |reply| {
        list(reply, "trades").len() == 1
    });
    let operations = other.ok("stats")["stats"]["operations"].clone();
    for line in ["confirm", "release"] {
        let foreign = other.command(&format!("{line} {trade}"));
        assert_eq!(foreign["code"], "NOT_OWNER", "{foreign}");
        let unknown = other.command(&format!("{line} 00000000"));
        assert_eq!(unknown["code"], "UNKNOWN_TRADE", "{unknown}");
        let bad = other.command(&format!("{line} 77"));
        assert_eq!(bad["code"], "BAD_TRADE_ID", "{bad}");
    }
    assert_eq!(
        other.ok("stats")["stats"]["operations"],
        operations,
        "nothing is written"
    );

    let released = taker.ok(&format!("release {}", &trade[..8]));
    assert_eq!(released["id"], trade.as_str(), "{released}");
    assert_eq!(released["status"], "busted", "{released}");
    for node in [&mut maker, &mut taker] {
        let busted = told(node, &trade, "busted");
        assert_eq!(busted["reason"], "released", "{busted}");
    }
    let nodes = &mut [&mut maker, &mut taker, &mut other];
    wait_for_agreement(nodes);
    for node in nodes.iter_mut() {
        assert_eq!(list(&node.ok("trades"), "trades").len(), 0);
    }
    let row = taker.ok("orders");
    assert_eq!(row["orders"][0]["filled"], "0", "{row}");
}

/// What waits for a confirmation to be on disk is not shown yet, and neither is its digest.
#[test]
fn a_book_is_shown_with_its_own_digest_while_confirmations_are_written() {
    const ROUNDS: usize = 120;
    const BURST: usize = 10;
    let plan = |name: &str| Plan::named(name).set("exchange.settle_ms", "1");
    let mut maker = Node::start(plan("maker"));
    let mut taker = Node::start(plan("taker").dials(&maker.address()));
    maker.wait_for_peers(1);
    let mut levels_of: BTreeMap<String, Value> = BTreeMap::new();
    for round in 0..ROUNDS {
        for at in 0..BURST {
            maker.send(&format!("sell {} @ 10", (round + at) % 7 + 1));
            taker.send(&format!("buy {} @ 10", (round + at) % 5 + 1));
        }
        maker.replies_until(BURST);
        for _ in 0..20 {
            let book = maker.ok("book");
            let levels = json!([book["bids"], book["asks"]]);
            let known = levels_of.entry(text(&book, "digest"));
            let known = known.or_insert_with(|| levels.clone());
            assert_eq!(*known, levels, "two books with one digest: {book}");
        }
        taker.replies_until(BURST);
    }
    assert!(levels_of.len() > ROUNDS, "the book has changed");
    wait_for_agreement(&mut [&mut maker, &mut taker]);
}
