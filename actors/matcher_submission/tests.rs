//! Two nodes without actors: what users ask for, what is written, and what they are told.

use bitfitech_core::exchange::Output;
use bitfitech_core::matching::{Book, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::Verified;
use bitfitech_core::settlement::{LatePolicy, SettlementConfig};
use bitfitech_core::types::{LinkId, Lots, MarketIndex, Side, Source, Ticks, TradeId};
use bitfitech_core::view::TradeStatus;
use bitfitech_io::identity::Identity;

use super::*;
use crate::command_fixtures::{TIME_MS, genesis};
use crate::mailbox::QUERIES_MAX;
use crate::messages::{TradeReason, TradeView};
use crate::trade_news;

/// How long the nodes wait for each other's signatures here.
const RELEASE_MS: u64 = 5_000;

struct Node {
    exchange: Exchange<Book>,
    now: Now,
    /// Own operations that the other node has not got yet.
    written: Vec<Verified>,
    /// Why trades changed.
    reasons: Vec<(TradeId, TradeReason)>,
}

impl Node {
    /// A node with the key of this number, which signs nothing by itself for an hour.
    fn new(number: u8) -> Self {
        let key = *Identity::from_seed([number; 32]).signing_key();
        let mut exchange = Exchange::new(genesis(), key, Book::new);
        exchange.settle_by_itself(SettlementConfig {
            settle_ms: 3_600_000,
            release_ms: RELEASE_MS,
            late_policy: LatePolicy::Settle,
        });
        let now = Now {
            monotonic_ms: 1_000,
            unix_ms: TIME_MS,
        };
        Self {
            exchange,
            now,
            written: Vec::new(),
            reasons: Vec::new(),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
    }

    /// Does what the exchange wants done; the disk is quick.
    fn pump(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Persist { index, .. } => {
                    self.exchange.handle_persisted(index.0 as usize + 1);
                }
                Output::Relay {
                    operation,
                    from: None,
                    ..
                } => self.written.push(operation),
                Output::Changed(changes) => {
                    let reasons = trade_news::reasons(&self.exchange, &changes);
                    self.reasons.extend(reasons);
                }
                Output::Invalid { error, .. } => panic!("an honest operation is {error}"),
                _ => {}
            }
        }
    }

    /// Lets users ask for this at once; what each is told.
    fn ask(&mut self, wanted: Vec<Submit>) -> Vec<Answer> {
        let (mut queue, answers) = queue_of(wanted);
        while !queue.is_empty() {
            self.write(&mut queue, Placing::Open);
        }
        let told = answers.into_iter();
        told.map(|mut answer| answer.try_recv().expect("everyone is told"))
            .collect()
    }

    /// Writes one operation.
    fn write(&mut self, queue: &mut VecDeque<Submission>, placing: Placing) {
        let written = write_batch(&mut self.exchange, self.now, queue, placing);
        self.pump();
        for user in written.into_iter().flat_map(|(_, users)| users) {
            user.tell(&self.exchange);
        }
    }

    /// The same for one.
    fn ask_one(&mut self, wanted: Submit) -> Answer {
        self.ask(vec![wanted]).remove(0)
    }

    /// The one trade made by an order that is placed now.
    fn trade(&mut self, order: Submit) -> TradeView {
        match self.ask_one(order) {
            Ok(Reply::Place(mut place)) if place.trades.len() == 1 => place.trades.remove(0),
            other => panic!("one trade: {other:?}"),
        }
    }

    /// Gets these operations of the other node.
    fn receive(&mut self, operations: Vec<Verified>) {
        let source = Source::push(LinkId(1));
        self.exchange.receive(self.now, source, operations);
        self.exchange.handle_tick(self.now);
        self.pump();
    }

    fn operations(&self) -> usize {
        self.exchange.dag().len()
    }
}

/// Users who wait for this, and what they wait for.
fn queue_of(wanted: Vec<Submit>) -> (VecDeque<Submission>, Vec<oneshot::Receiver<Answer>>) {
    let submissions = wanted.into_iter().map(|submit| {
        let (tell, answer) = oneshot::channel();
        (Submission { submit, tell }, answer)
    });
    submissions.unzip()
}

/// An order for one at this price.
fn order(side: Side, price: u64) -> NewOrder {
    let place = Place {
        market: MarketIndex(0),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(1),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    };
    let ttl_ms = None;
    NewOrder { place, ttl_ms }
}

/// A prefix that names one trade.
fn prefix(trade: &TradeView) -> IdPrefix {
    IdPrefix::parse(&trade.row.trade.to_hex()).expect("an id is a prefix")
}

/// A maker, a taker, and a trade that both know and the taker shows.
fn traded() -> (Node, Node, TradeView) {
    let (mut maker, mut taker) = (Node::new(1), Node::new(2));
    maker
        .ask_one(Submit::Place(order(Side::Sell, 100)))
        .expect("placed");
    taker.receive(std::mem::take(&mut maker.written));
    maker.pass(200);
    taker.pass(200);
    let trade = taker.trade(Submit::Place(order(Side::Buy, 100)));
    (maker, taker, trade)
}

/// Another first operation under the key of the maker.
fn twin() -> Vec<Verified> {
    let mut twin = Node::new(1);
    twin.ask_one(Submit::Place(order(Side::Sell, 500)))
        .expect("placed");
    twin.written
}

fn shown(answer: Answer) -> TradeView {
    match answer {
        Ok(Reply::Trade(trade)) => trade,
        other => panic!("a trade: {other:?}"),
    }
}

#[test]
fn a_confirmation_has_an_operation_of_its_own_and_harms_no_other_user() {
    let (mut maker, mut taker, trade) = traded();
    let before = taker.operations();
    let confirm = || Submit::Confirm(prefix(&trade));
    let place = || Submit::Place(order(Side::Buy, 50));
    let mut answers = taker.ask(vec![place(), confirm(), confirm(), place()]);
    assert_eq!(taker.operations(), before + 3);
    let last = answers.pop().expect("four answers");
    assert!(matches!(last, Ok(Reply::Place(_))), "{last:?}");
    let twice = answers.pop().expect("three answers");
    assert_eq!(twice.map_err(|error| error.code), Err(ErrorCode::BadTrade));
    let confirmed = shown(answers.pop().expect("two answers"));
    assert_eq!(confirmed.row.trade, trade.row.trade);
    assert_eq!(confirmed.row.status, TradeStatus::Tentative);
    // The maker's node answers at once, and then it is final for both.
    maker.receive(std::mem::take(&mut taker.written));
    taker.receive(std::mem::take(&mut maker.written));
    let rows = taker.exchange.replica().trades_on_entry(&trade.row.buy);
    assert_eq!(rows[0].status, TradeStatus::Final);
    let unknown = taker.ask_one(confirm()).map_err(|error| error.code);
    assert_eq!(unknown, Err(ErrorCode::UnknownTrade));
}

#[test]
fn what_was_signed_for_a_partner_who_fell_silent_is_released_by_hand() {
    let (_maker, mut taker, trade) = traded();
    shown(taker.ask_one(Submit::Confirm(prefix(&trade))));
    taker.pass(RELEASE_MS);
    taker.exchange.handle_tick(taker.now);
    taker.pump();
    assert_eq!(taker.reasons, [(trade.row.trade, TradeReason::Declined)]);
    let buy = taker.exchange.replica().order(&trade.row.buy);
    assert_eq!(buy.expect("known").filled, Lots(0));

    let released = shown(taker.ask_one(Submit::Release(prefix(&trade))));
    assert_eq!(released.row.status, TradeStatus::Busted);
    assert_eq!(released.row.revision, 2);
    let same = |row: &bitfitech_core::view::TradeRow| {
        (
            row.trade,
            row.buy,
            row.sell,
            row.price,
            row.quantity,
            row.taker,
            row.time,
        )
    };
    assert_eq!(same(&released.row), same(&trade.row));
    let again = taker.ask_one(Submit::Release(prefix(&trade)));
    assert_eq!(
        again.map_err(|error| error.code),
        Err(ErrorCode::UnknownTrade)
    );
}

#[test]
fn a_trade_is_released_before_anybody_signed_it() {
    let (mut maker, mut taker, trade) = traded();
    maker.receive(std::mem::take(&mut taker.written));
    let released = shown(taker.ask_one(Submit::Release(prefix(&trade))));
    assert_eq!(released.row.status, TradeStatus::Busted);
    maker.receive(std::mem::take(&mut taker.written));
    for node in [&maker, &taker] {
        assert_eq!(node.reasons, [(trade.row.trade, TradeReason::Released)]);
    }
    let refused = maker.ask_one(Submit::Confirm(prefix(&trade)));
    assert_eq!(
        refused.map_err(|error| error.code),
        Err(ErrorCode::UnknownTrade)
    );
}

#[test]
fn a_late_order_is_the_reason_of_what_it_takes_away() {
    let (mut maker, mut taker) = (Node::new(1), Node::new(2));
    maker
        .ask_one(Submit::Place(order(Side::Sell, 100)))
        .expect("placed");
    taker.receive(std::mem::take(&mut maker.written));
    maker.pass(100);
    taker.pass(300);
    maker
        .ask_one(Submit::Place(order(Side::Sell, 99)))
        .expect("placed");
    let trade = taker.trade(Submit::Place(order(Side::Buy, 100)));
    assert_eq!(trade.row.price, Ticks(100));
    taker.receive(std::mem::take(&mut maker.written));
    assert_eq!(
        taker.reasons,
        [(trade.row.trade, TradeReason::LateOperation)]
    );
}

#[test]
fn a_time_limit_counts_from_the_operation_even_where_the_clock_is_behind() {
    let (mut ahead, mut behind) = (Node::new(1), Node::new(2));
    ahead.pass(400);
    ahead
        .ask_one(Submit::Place(order(Side::Sell, 100)))
        .expect("placed");
    behind.receive(std::mem::take(&mut ahead.written));
    let brief = NewOrder {
        ttl_ms: Some(1),
        ..order(Side::Buy, 50)
    };
    let placed = behind.ask_one(Submit::Place(brief));
    assert!(matches!(placed, Ok(Reply::Place(_))), "{placed:?}");
    let operation = behind.written.last().expect("written");
    let Action::Place(place) = &operation.body().actions[0] else {
        panic!("an order");
    };
    let written_ms = operation.body().time.unix_ms();
    assert!(written_ms >= TIME_MS + 400, "after what was known");
    assert_eq!(place.expires_ms, Some(written_ms + 1));
}

#[test]
fn trades_with_a_forker_are_unsafe() {
    let (_maker, mut taker, trade) = traded();
    let confirmed = shown(taker.ask_one(Submit::Confirm(prefix(&trade))));
    assert!(!confirmed.is_unsafe);
    taker.receive(twin());
    assert_eq!(taker.exchange.dag().forkers().count(), 1);
    taker.exchange.handle_tick(taker.now);
    let released = shown(taker.ask_one(Submit::Release(prefix(&trade))));
    assert!(released.is_unsafe);
    let shown = taker.exchange.replica().trades_on_entry(&trade.row.buy);
    assert_eq!(shown.len(), 0, "one refusal of a forker's order is enough");
}

#[test]
fn a_trade_goes_when_another_has_refused_the_order_of_a_forker() {
    let (mut maker, mut taker, mut third) = (Node::new(1), Node::new(2), Node::new(3));
    maker
        .ask_one(Submit::Place(order(Side::Sell, 100)))
        .expect("placed");
    for other in [&mut taker, &mut third] {
        other.receive(maker.written.clone());
        other.pass(200);
    }
    let trade = taker.trade(Submit::Place(order(Side::Buy, 100)));
    let placed = third.ask_one(Submit::Place(order(Side::Buy, 99)));
    let Ok(Reply::Place(placed)) = placed else {
        panic!("placed: {placed:?}");
    };
    let refusal = Action::Decline {
        market: MarketIndex(0),
        own: placed.order,
        other: trade.row.sell,
    };
    third
        .exchange
        .submit(third.now, vec![refusal])
        .expect("valid");
    third.pump();
    taker.receive(std::mem::take(&mut third.written));
    assert_eq!(taker.reasons, [], "its owner has forked nothing yet");
    taker.receive(twin());
    assert_eq!(taker.reasons, [(trade.row.trade, TradeReason::Abandoned)]);
}

#[test]
fn a_second_piece_of_two_orders_is_confirmed_with_the_proof_of_the_first() {
    let (mut maker, mut taker, mut third) = (Node::new(1), Node::new(2), Node::new(3));
    let two = |side| {
        let mut order = order(side, 100);
        order.place.quantity = Lots(2);
        Submit::Place(order)
    };
    let between = third.ask_one(Submit::Place(order(Side::Sell, 99)));
    let Ok(Reply::Place(between)) = between else {
        panic!("placed: {between:?}");
    };
    maker.ask_one(two(Side::Sell)).expect("placed");
    let placed = std::mem::take(&mut third.written);
    maker.receive(placed.clone());
    taker.receive(placed);
    taker.receive(std::mem::take(&mut maker.written));
    third.pass(100);
    let cancel = OrderName::parse(&between.order.to_hex()).expect("an id is a prefix");
    third.ask_one(Submit::Cancel(cancel)).expect("cancelled");
    taker.pass(200);
    maker.pass(200);
    let Ok(Reply::Place(mut place)) = taker.ask_one(two(Side::Buy)) else {
        panic!("placed");
    };
    let first = place.trades.pop().expect("the worse price is last");
    assert_eq!((place.trades.len(), first.row.quantity), (1, Lots(1)));
    shown(taker.ask_one(Submit::Confirm(prefix(&first))));
    maker.receive(std::mem::take(&mut taker.written));
    taker.receive(std::mem::take(&mut maker.written));
    third.pass(200);
    third
        .ask_one(Submit::Place(order(Side::Buy, 1)))
        .expect("placed");
    taker.receive(std::mem::take(&mut third.written));

    let rows = taker.exchange.replica().trades_on_entry(&first.row.buy);
    let statuses: Vec<TradeStatus> = rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [TradeStatus::Final, TradeStatus::Tentative]);
    let second = TradeView {
        row: rows[1].clone(),
        is_unsafe: false,
    };
    let confirmed = shown(taker.ask_one(Submit::Confirm(prefix(&second))));
    assert_eq!(confirmed.row.trade, second.row.trade);
}

#[test]
fn who_cancels_does_not_wait_for_orders_that_wait() {
    let mut node = Node::new(1);
    let mut place = |price| {
        let placed = node.ask_one(Submit::Place(order(Side::Buy, price)));
        let Ok(Reply::Place(PlaceReply { order, .. })) = placed else {
            panic!("{placed:?}");
        };
        OrderName::parse(&order.to_hex()).expect("it is one")
    };
    let (first, second) = (place(10), place(11));
    let (mut queue, mut answers) = queue_of(vec![
        Submit::Cancel(first),
        Submit::Place(order(Side::Buy, 12)),
        Submit::CancelAll,
        Submit::Cancel(second),
    ]);
    let mut told = || -> Vec<bool> {
        let told = answers.iter_mut().map(|answer| answer.try_recv().is_ok());
        told.collect()
    };
    node.write(&mut queue, Placing::Waits);
    assert_eq!(told(), [true, false, false, true]);
    node.write(&mut queue, Placing::Waits);
    assert_eq!(queue.len(), 2, "what is meant by `all` was not placed yet");
    node.write(&mut queue, Placing::Open);
    node.write(&mut queue, Placing::Open);
    assert_eq!(told(), [false, true, true, false]);
    let (replica, author) = (node.exchange.replica(), node.exchange.author());
    assert_eq!(replica.last_orders_of(author, 9).count(), 3);
    assert_eq!(replica.open_orders_of(author).count(), 0);
}

#[test]
fn a_flood_of_orders_keeps_nobody_from_cancelling() {
    let refused = |submit: &Submit, waiting| check_room(submit, waiting).is_err();
    let order = Submit::Place(order(Side::Sell, 100));
    assert!(!refused(&order, WAITING_USERS_MAX - 1));
    assert!(refused(&order, WAITING_USERS_MAX));
    assert!(!refused(&Submit::CancelAll, QUERIES_MAX - 1));
    let room = QUERIES_MAX - WAITING_USERS_MAX;
    assert!(room >= 128, "only {room} can cancel then");
}
