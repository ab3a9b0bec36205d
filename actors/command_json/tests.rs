//! Every reply and event against its line, character by character: scripts rely on it.

use bitfitech_core::matching::EndReason;
use bitfitech_core::types::{AuthorKey, Lots};
use bitfitech_core::view::{OrderRow, TradeRow, TradeStatus};

use super::*;
use crate::command_fixtures as fixtures;
use crate::messages::{BreakerState, ErrorCode, Relation, ReplyError};

/// A line that is JSON, with single quotes for double ones, which are easier to read here.
fn readable(line: &str) -> String {
    assert!(!line.contains(['\'', '\n']), "{line}");
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
    assert!(parsed.is_ok(), "{line}");
    line.replace('"', "'")
}

fn answered(word: &str, reply: Reply) -> String {
    readable(&answer_line(word, &Ok(reply), &fixtures::genesis()))
}

fn reported(event: &Event) -> String {
    readable(&event_line(event, &fixtures::genesis()))
}

/// Thirty-two equal bytes in hexadecimal.
fn hex(byte: &str) -> String {
    byte.repeat(32)
}

/// The fields of the trade of the fixtures, up to its status.
fn trade_fields() -> String {
    let (id, buy, sell) = (hex("77"), hex("3f"), hex("41"));
    format!(
        "'id':'{id}','pair':'BTC/USD','price':'30000','quantity':'0.3','buy':'{buy}',\
         'sell':'{sell}','taker':'buy'"
    )
}

fn order_fields() -> String {
    let (order, author) = (hex("3f"), hex("aa"));
    format!(
        "'order':'{order}','author':'{author}','pair':'BTC/USD','side':'buy',\
         'price':'30000.01','quantity':'0.5','filled':'0.3','status':'open','reason':null,\
         'late_ms':12"
    )
}

fn ended_fields() -> String {
    let (order, author) = (hex("40"), hex("aa"));
    format!(
        "'order':'{order}','author':'{author}','pair':'ETH/USD','side':'sell','price':null,\
         'quantity':'2','filled':'0','status':'cancelled','reason':'unfilled','late_ms':1500"
    )
}

#[test]
fn placing_shows_the_order_and_its_trades() {
    let place = PlaceReply::new(&fixtures::order_row(), vec![fixtures::trade()]);
    let (order, trade, time_ms) = (hex("3f"), trade_fields(), fixtures::TIME_MS);
    let expected = format!(
        "{{'reply':'buy','ok':true,'order':'{order}','status':'open','reason':null,\
         'filled':'0.3','remaining':'0.2','trades':[{{{trade},'status':'tentative',\
         'time_ms':{time_ms},'rev':1,'unsafe':false}}]}}"
    );
    assert_eq!(answered("buy", Reply::Place(place)), expected);
    let rejected = OrderRow {
        filled: Lots(0),
        ended: Some(EndReason::KilledUnfilled),
        ..fixtures::order_row()
    };
    let expected = format!(
        "{{'reply':'buy','ok':true,'order':'{order}','status':'rejected','reason':'fok',\
         'filled':'0','remaining':'0','trades':[]}}"
    );
    let place = PlaceReply::new(&rejected, Vec::new());
    assert_eq!(answered("buy", Reply::Place(place)), expected);
}

#[test]
fn orders_are_shown_one_at_the_top_or_many_in_a_list() {
    let (row, ended) = (order_fields(), ended_fields());
    let one = || fixtures::order_row();
    let two = || vec![fixtures::order_row(), fixtures::ended_row()];
    for (word, reply, body) in [
        ("order", Reply::Order(one()), row.clone()),
        ("cancel", Reply::Cancel(one()), row.clone()),
        (
            "orders",
            Reply::Orders(two()),
            format!("'orders':[{{{row}}},{{{ended}}}]"),
        ),
        (
            "cancel",
            Reply::CancelAll(two()),
            format!("'count':2,'orders':[{{{row}}},{{{ended}}}]"),
        ),
    ] {
        assert_eq!(
            answered(word, reply),
            format!("{{'reply':'{word}','ok':true,{body}}}")
        );
    }
}

#[test]
fn books_are_levels_of_price_quantity_and_count() {
    let expected = format!(
        "{{'reply':'book','ok':true,'pair':'BTC/USD','bids':[['29999','1.5',2]],\
         'asks':[['30000.01','0.5',1],['30010','0.001',12]],'digest':'{}'}}",
        hex("d1")
    );
    assert_eq!(answered("book", Reply::Book(fixtures::book())), expected);
}

#[test]
fn a_confirmed_or_released_trade_is_one_row_at_the_top_level() {
    let expected = format!(
        "{{'reply':'confirm','ok':true,{},'status':'tentative','time_ms':{},'rev':1,\
         'unsafe':false}}",
        trade_fields(),
        fixtures::TIME_MS
    );
    assert_eq!(
        answered("confirm", Reply::Trade(fixtures::trade())),
        expected
    );
}

#[test]
fn trades_have_full_ids() {
    let expected = format!(
        "{{'reply':'trades','ok':true,'trades':[{{{},'status':'tentative','time_ms':{},\
         'rev':1,'unsafe':false}}]}}",
        trade_fields(),
        fixtures::TIME_MS
    );
    assert_eq!(
        answered("trades", Reply::Trades(vec![fixtures::trade()])),
        expected
    );
}

#[test]
fn peers_and_breakers_are_lists() {
    let (one, other) = (hex("bb"), hex("bc"));
    let expected = format!(
        "{{'reply':'peers','ok':true,'peers':[{{'node':'{one}','address':'192.0.2.7:3000',\
         'direction':'outbound','state':'established','rtt_ms':12,'behind':3,'score':-5,\
         'reason':'it floods'}},\
         {{'node':'{other}','address':'[::1]:40000','direction':'inbound',\
         'state':'established','rtt_ms':null,'behind':0,'score':0,\
         'reason':null}}]}}"
    );
    assert_eq!(answered("peers", Reply::Peers(fixtures::peers())), expected);
    let expected = format!(
        "{{'reply':'topology','ok':true,'topology':[{{'node':'{one}','links':['{other}']}}]}}"
    );
    let links = Reply::Topology(fixtures::topology());
    assert_eq!(answered("topology", links), expected);
    let expected = "{'reply':'breakers','ok':true,'breakers':[{'address':'192.0.2.9:3000',\
                    'state':'open','failures':3,'retry_in_ms':25400},\
                    {'address':'node.example:3000','state':'closed','failures':0,\
                    'retry_in_ms':0}]}";
    assert_eq!(
        answered("breakers", Reply::Breakers(fixtures::breakers())),
        expected
    );
    for (state, name) in [
        (BreakerState::Closed, "closed"),
        (BreakerState::Open, "open"),
        (BreakerState::HalfOpen, "half_open"),
    ] {
        assert_eq!(state.name(), name);
    }
}

#[test]
fn clocks_name_authors_in_full() {
    let clock = [(AuthorKey([2; 32]), 7), (AuthorKey([1; 32]), 5)]
        .into_iter()
        .collect();
    let (one, two) = (hex("01"), hex("02"));
    let expected = format!("{{'reply':'clock','ok':true,'clock':{{'{one}':5,'{two}':7}}}}");
    assert_eq!(answered("clock", Reply::Clock(clock)), expected);
    for (relation, name) in [
        (Relation::Before, "before"),
        (Relation::After, "after"),
        (Relation::Concurrent, "concurrent"),
        (Relation::Equal, "equal"),
    ] {
        let expected = format!("{{'reply':'clock','ok':true,'relation':'{name}'}}");
        assert_eq!(answered("clock", Reply::Relation(relation)), expected);
    }
}

#[test]
fn digests_are_at_the_top() {
    let [set, book, trades, finals, orders] = ["01", "02", "03", "04", "05"].map(hex);
    let expected = format!(
        "{{'reply':'digest','ok':true,'operations':42,'set':'{set}','book':'{book}',\
         'trades':'{trades}','final_trades':'{finals}','orders':'{orders}'}}"
    );
    assert_eq!(
        answered("digest", Reply::Digest(fixtures::digests())),
        expected
    );
}

#[test]
fn stats_keep_their_order() {
    let counters = vec![
        ("operations".to_string(), 9),
        ("bytes_in".to_string(), u64::MAX),
    ];
    let expected = format!(
        "{{'reply':'stats','ok':true,'stats':{{'operations':9,'bytes_in':{}}}}}",
        u64::MAX
    );
    assert_eq!(answered("stats", Reply::Stats(counters)), expected);
}

#[test]
fn the_tree_begins_at_the_top() {
    let row = |name: &str, restarts: u64, children: &str| {
        let generation = restarts + 1;
        format!(
            "'name':'{name}','state':'running','restarts':{restarts},\
             'generation':{generation},'mailbox':0,'children':[{children}]"
        )
    };
    let matcher = row("matcher", 2, "");
    let exchange = row(
        "exchange",
        0,
        &format!("{{{matcher}}},{{{}}}", row("orderbook", 0, "")),
    );
    let root = row(
        "root",
        0,
        &format!("{{{exchange}}},{{{}}}", row("store", 0, "")),
    );
    let expected = format!("{{'reply':'tree','ok':true,{root}}}");
    assert_eq!(answered("tree", Reply::Tree(fixtures::tree())), expected);
}

#[test]
fn small_replies_say_what_was_done() {
    let text = |text: &str| text.to_string();
    let node = AuthorKey([0xbb; 32]);
    let closed = format!(",'node':'{}'", hex("bb"));
    for (word, reply, body) in [
        (
            "connect",
            Reply::Connect {
                address: text("a:1"),
            },
            ",'address':'a:1'",
        ),
        ("disconnect", Reply::Disconnect { node }, &closed),
        (
            "log",
            Reply::Log {
                level: text("info"),
                target: None,
            },
            ",'level':'info','target':null",
        ),
        (
            "crash",
            Reply::Crash { actor: text("dht") },
            ",'actor':'dht'",
        ),
        (
            "help",
            Reply::Help(text("a\nb \"c\"\n")),
            ",'text':'a\\nb \\'c\\'\\n'",
        ),
        ("quit", Reply::Quit, ""),
    ] {
        assert_eq!(
            answered(word, reply),
            format!("{{'reply':'{word}','ok':true{body}}}")
        );
    }
}

#[test]
fn errors_have_a_code_and_a_text_on_one_line() {
    let error = ReplyError::new(ErrorCode::UnknownOrder, "no order\nbegins \u{7}so");
    let expected = "{'reply':'?','ok':false,'code':'UNKNOWN_ORDER',\
                    'error':'no order\\nbegins \\u0007so'}";
    let line = answer_line("?", &Err(error), &fixtures::genesis());
    assert_eq!(readable(&line), expected);
}

#[test]
fn ready_has_null_for_what_is_off() {
    let expected = format!(
        "{{'event':'ready','node':'{}','p2p':'0.0.0.0:3000','api':'127.0.0.1:8080',\
         'grape_dht':null,'grape_api':null,'grape_rpc':null,'mode':'p2p','network':'main'}}",
        hex("aa")
    );
    assert_eq!(reported(&fixtures::ready()), expected);
}

#[test]
fn trade_events_are_rows_with_reason_and_cause() {
    let (trade, time_ms) = (trade_fields(), fixtures::TIME_MS);
    let expected = format!(
        "{{'event':'trade',{trade},'status':'busted','time_ms':{time_ms},'rev':2,\
         'unsafe':false,'reason':'late_operation','cause':'{}'}}",
        hex("cc")
    );
    assert_eq!(reported(&fixtures::busted()), expected);
    let trade_of_forker = TradeView {
        row: TradeRow {
            status: TradeStatus::Final,
            ..fixtures::trade_row()
        },
        is_unsafe: true,
    };
    let event = Event::Trade(TradeEvent {
        trade: trade_of_forker,
        reason: None,
        cause: None,
    });
    let expected = format!(
        "{{'event':'trade',{trade},'status':'final','time_ms':{time_ms},'rev':1,\
         'unsafe':true,'reason':null,'cause':null}}"
    );
    assert_eq!(reported(&event), expected);
}

#[test]
fn order_events_are_rows() {
    let expected = format!("{{'event':'order',{}}}", order_fields());
    assert_eq!(reported(&Event::Order(fixtures::order_row())), expected);
}

#[test]
fn peer_actor_and_sync_events_have_their_fields() {
    let node = hex("bb");
    let expected = format!(
        "{{'event':'peer','node':'{node}','address':'192.0.2.7:3000','change':'disconnected',\
         'reason':'bye\\n\\u001b[31m'}}"
    );
    assert_eq!(reported(&fixtures::disconnected()), expected);
    let expected = "{'event':'actor','name':'matcher','change':'crashed',\
                    'reason':'fault drill','generation':3}";
    assert_eq!(reported(&fixtures::crashed()), expected);
    let expected = format!("{{'event':'sync','peer':'{node}','received':500,'total':1000}}");
    assert_eq!(reported(&fixtures::syncing()), expected);
}

#[test]
fn the_fields_of_a_reply_stand_alone_too() {
    let genesis = fixtures::genesis();
    let reply = Reply::Connect {
        address: "a:1".to_string(),
    };
    let alone = serde_json::to_string(&reply_fields(&reply, &genesis)).expect("serialises");
    assert_eq!(readable(&alone), "{'address':'a:1'}");
}
