//! Two or three nodes, a network that can be cut, and virtual time.

use alloc::vec;
use alloc::vec::Vec;

use ed25519_zebra::SigningKey;

use super::*;
use crate::exchange::{Exchange, Output, OwnChain};
use crate::genesis::tests::test_genesis;
use crate::matching::{Book, EndReason, Pricing, SelfTrade, TimeInForce};
use crate::op::{OPERATION_VERSION, Place, Verified};
use crate::types::{HybridTime, LinkId, Side, Source, Ticks};
use crate::view::{TradeRow, TradeStatus};

const BEGIN_MS: u64 = 1_700_000_000_000;

struct World {
    now_ms: u64,
    nodes: Vec<Exchange<Book>>,
    /// What each node has written, and how much of it each other one has got.
    written: Vec<Vec<Verified>>,
    got: Vec<Vec<usize>>,
    /// Links that carry nothing, by the two nodes.
    cut: Vec<(usize, usize)>,
    /// What is on the disk of each node.
    stored: Vec<Vec<Verified>>,
}

/// A node that has read nothing yet.
fn node(number: usize) -> Exchange<Book> {
    let key = SigningKey::from([number as u8 + 1; 32]);
    let mut node = Exchange::new(test_genesis(), key, Book::new);
    node.settle_by_itself(SettlementConfig::default());
    node
}

impl World {
    fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(node).collect(),
            now_ms: 0,
            written: vec![Vec::new(); nodes],
            got: vec![vec![0; nodes]; nodes],
            cut: Vec::new(),
            stored: vec![Vec::new(); nodes],
        }
    }

    /// A node is killed and reads its disk.
    fn start_again(&mut self, number: usize) {
        let mut reborn = node(number);
        for operation in &self.stored[number] {
            reborn.restore_verified(operation).expect("it was written");
        }
        reborn.handle_restored(self.now(), OwnChain::Complete);
        self.nodes[number] = reborn;
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: self.now_ms,
            unix_ms: BEGIN_MS + self.now_ms,
        }
    }

    /// Does what a node wants done; its disk is quick.
    fn pump(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll_output() {
            match output {
                Output::Persist { index, operation } => {
                    self.stored[node].push(operation);
                    self.nodes[node].handle_persisted(index.0 as usize + 1);
                }
                Output::Relay {
                    operation,
                    from: None,
                    ..
                } => self.written[node].push(operation),
                Output::Invalid { error, .. } => panic!("an honest operation is {error}"),
                _ => {}
            }
        }
    }

    fn submit(&mut self, node: usize, action: Action) -> OrderId {
        let now = self.now();
        let id = self.nodes[node].submit(now, vec![action]);
        self.pump(node);
        OrderId::new(&id.expect("it is written"), 0)
    }

    fn place(&mut self, node: usize, side: Side, quantity: u64) -> OrderId {
        self.submit(node, Action::Place(limit(side, quantity)))
    }

    /// Lets time pass, with everything delivered within 10 ms where links carry.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.now_ms += 10;
            for to in 0..self.nodes.len() {
                for from in 0..self.nodes.len() {
                    self.deliver(from, to);
                }
                let now = self.now();
                self.nodes[to].handle_tick(now);
                self.pump(to);
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let is_cut = self.cut.contains(&(from.min(to), from.max(to)));
        if from == to || is_cut {
            return;
        }
        let news = self.written[from][self.got[to][from]..].to_vec();
        self.got[to][from] += news.len();
        let source = Source::push(LinkId(from as u64));
        let now = self.now();
        self.nodes[to].receive(now, source, news);
        self.pump(to);
    }

    fn trades(&self, node: usize) -> Vec<TradeRow> {
        let changes = self.nodes[node].replica().snapshot();
        let trades = changes.filter_map(|change| match change {
            Change::Trade { trade, .. } => Some(trade.row()),
            _ => None,
        });
        trades.collect()
    }

    fn statuses(&self, node: usize) -> Vec<TradeStatus> {
        self.trades(node).iter().map(|row| row.status).collect()
    }

    /// Brings an operation that an author's node knows nothing of to others.
    fn slip_in(&mut self, author: u8, to: &[usize], body: Body) {
        let (genesis, key) = (test_genesis(), SigningKey::from([author + 1; 32]));
        let operation = Verified::sign(body, &key, &genesis, &genesis.digest());
        let operation = operation.expect("well-formed");
        for node in to {
            let (now, source) = (self.now(), Source::push(LinkId(9)));
            self.nodes[*node].receive(now, source, vec![operation.clone()]);
            self.pump(*node);
        }
    }

    fn ended(&self, node: usize, order: &OrderId) -> Option<EndReason> {
        let row = self.nodes[node].replica().order(order);
        row.expect("it was placed").ended
    }

    fn assert_equal(&mut self) {
        let digests: Vec<_> = self.nodes.iter_mut().map(Exchange::digests).collect();
        for other in &digests {
            assert_eq!(*other, digests[0]);
        }
    }
}

fn limit(side: Side, quantity: u64) -> Place {
    Place {
        market: MarketIndex(0),
        side,
        pricing: Pricing::Limit(Ticks(3_000_000)),
        quantity: Lots(quantity),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    }
}

#[test]
fn a_trade_is_final_soon_after_the_hold_down() {
    let mut world = World::new(3);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    world.place(1, Side::Buy, 3);
    world.pass(900);
    assert_eq!(world.statuses(2), [TradeStatus::Tentative]);
    world.pass(300);
    for node in 0..3 {
        assert_eq!(world.statuses(node), [TradeStatus::Final]);
    }
    world.assert_equal();
}

#[test]
fn a_maker_who_falls_silent_binds_the_taker_only_until_he_is_heard_again() {
    let mut world = World::new(3);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    let taken = world.place(1, Side::Buy, 3);
    world.pass(500);
    world.cut = vec![(0, 1), (0, 2)];
    world.pass(20_000);
    assert_eq!(world.trades(1), [], "the taker has refused the pair");
    // What it has signed is still bound: nobody else can have it.
    world.place(2, Side::Sell, 3);
    world.pass(5_000);
    assert_eq!(world.trades(1), []);
    world.cut.clear();
    world.pass(5_000);
    assert_eq!(world.statuses(1), [TradeStatus::Final]);
    assert_eq!(world.trades(1)[0].buy, taken);
    world.assert_equal();
}

#[test]
fn a_lost_answer_is_found_after_healing_and_never_fills_twice() {
    let mut world = World::new(2);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    world.place(1, Side::Buy, 5);
    world.pass(20);
    while world.written[1].len() < 2 {
        world.pass(10);
    }
    // The half arrives, its answer does not.
    world.deliver(1, 0);
    world.cut = vec![(0, 1)];
    world.pass(60_000);
    world.cut.clear();
    world.pass(5_000);
    world.assert_equal();
    let filled = world
        .trades(0)
        .iter()
        .map(|row| row.quantity.0)
        .sum::<u64>();
    assert_eq!(filled, 5);
    assert_eq!(world.statuses(0), [TradeStatus::Final]);
}

#[test]
fn a_half_for_what_was_sold_to_another_is_refused_soon_after_it_came() {
    let mut world = World::new(3);
    let sold = world.place(0, Side::Sell, 5);
    world.pass(20);
    world.cut = vec![(0, 1), (1, 2)];
    world.place(2, Side::Buy, 5);
    world.pass(10);
    let bound = world.place(1, Side::Buy, 5);
    world.pass(3_000);
    assert_eq!(world.statuses(0), [TradeStatus::Final]);
    assert_eq!(world.statuses(1), [TradeStatus::Tentative]);
    world.cut.clear();
    let offered = world.place(2, Side::Sell, 5);
    world.pass(900);
    assert_eq!(world.trades(1).len(), 1, "what was promised is withheld");
    // The hold-down, and two for a trade with a late order.
    world.pass(2_500);
    assert_eq!(world.statuses(1), [TradeStatus::Final; 2]);
    let has_traded = |order| world.ended(1, order) == Some(EndReason::Filled);
    assert!([sold, bound, offered].iter().all(has_traded));
    world.assert_equal();
}

#[test]
fn after_its_own_cancel_a_node_refuses_what_it_did_not_know() {
    let mut world = World::new(3);
    let sold = world.place(0, Side::Sell, 5);
    world.pass(20);
    world.cut = vec![(0, 1), (0, 2)];
    world.place(1, Side::Buy, 5);
    world.pass(100);
    let market = MarketIndex(0);
    world.submit(
        0,
        Action::Cancel {
            market,
            order: sold,
        },
    );
    world.cut.clear();
    world.pass(5_000);
    assert_eq!(world.trades(2), [], "the maker has refused");
    world.assert_equal();
    let row = world.nodes[2].replica().order(&sold).expect("it is known");
    assert_eq!(row.ended, Some(EndReason::Cancelled));
}

#[test]
fn an_order_expires_and_a_silent_owners_orders_lapse_in_a_quiet_network() {
    let mut world = World::new(2);
    let expires_ms = Some(BEGIN_MS + 5_000);
    let place = Place {
        expires_ms,
        ..limit(Side::Sell, 5)
    };
    let mortal = world.submit(0, Action::Place(place));
    let lasting = world.place(0, Side::Sell, 5);
    world.pass(5_200);
    let ended = |world: &World, order| {
        let row = world.nodes[1].replica().order(&order).expect("it is known");
        row.ended
    };
    assert_eq!(ended(&world, mortal), Some(EndReason::Expired));
    world.pass(200_000);
    assert_eq!(ended(&world, lasting), None, "heartbeats renew the lease");
    world.cut = vec![(0, 1)];
    world.pass(95_000);
    assert_eq!(ended(&world, lasting), Some(EndReason::Lapsed));
    world.cut.clear();
    world.pass(1_000);
    world.assert_equal();
    assert_eq!(ended(&world, lasting), None, "it was not silent after all");
}

#[test]
fn a_trade_with_a_late_order_takes_twice_the_hold_down_or_is_never_signed() {
    for late_policy in [LatePolicy::Settle, LatePolicy::Refuse] {
        let mut world = World::new(2);
        world.nodes[1].settle_by_itself(SettlementConfig {
            late_policy,
            ..SettlementConfig::default()
        });
        world.cut = vec![(0, 1)];
        world.place(0, Side::Sell, 5);
        world.pass(LATE_MS + 100);
        world.cut.clear();
        world.pass(20);
        world.place(1, Side::Buy, 5);
        world.pass(1_500);
        assert_eq!(world.statuses(0), [TradeStatus::Tentative]);
        world.pass(1_000);
        let status = match late_policy {
            LatePolicy::Settle => TradeStatus::Final,
            LatePolicy::Refuse => TradeStatus::Tentative,
        };
        assert_eq!(world.statuses(0), [status]);
        world.pass(15_000);
        let is_refused = world.trades(0).is_empty();
        assert_eq!(is_refused, late_policy == LatePolicy::Refuse);
    }
}

/// The two nodes behind the first learn that it has forked its chain at its beginning.
fn prove_fork(world: &mut World) {
    let body = Body {
        version: OPERATION_VERSION,
        author: world.written[0][0].body().author,
        seq: 0,
        prev: None,
        time: HybridTime::from_unix_ms(BEGIN_MS),
        refs: Vec::new(),
        checkpoint: 0,
        actions: Vec::new(),
    };
    world.slip_in(0, &[1, 2], body);
}

#[test]
fn nothing_is_signed_with_a_proven_forker_and_his_orders_bind_nobody() {
    let mut world = World::new(3);
    let forked = world.place(0, Side::Sell, 5);
    world.pass(20);
    prove_fork(&mut world);
    world.place(1, Side::Buy, 5);
    world.pass(100);
    assert_eq!(world.trades(1), []);
    let mut signed = world.written[1].iter().flat_map(|it| &it.body().actions);
    assert!(signed.all(|action| action.half().is_none()));
    assert_eq!(world.ended(1, &forked), Some(EndReason::Abandoned));
    world.place(2, Side::Sell, 5);
    world.pass(2_000);
    assert_eq!(world.statuses(1), [TradeStatus::Final]);
}

#[test]
fn a_proof_abandons_what_was_refused_before_it() {
    let mut world = World::new(3);
    let forked = world.place(0, Side::Sell, 5);
    world.pass(20);
    let own = world.place(1, Side::Buy, 5);
    let decline = Action::Decline {
        market: MarketIndex(0),
        own,
        other: forked,
    };
    world.submit(1, decline);
    world.pass(100);
    assert_eq!(world.ended(2, &forked), None, "refused by one, and alive");
    prove_fork(&mut world);
    world.pass(100);
    for node in [1, 2] {
        assert_eq!(world.ended(node, &forked), Some(EndReason::Abandoned));
    }
}

/// What a node makes of a trade that it hears of so long after the expiry of its order, which may
/// have been replaced by one of another quantity.
fn trades_after_expiry(heard_ms: u64, replaced: Option<Lots>) -> Vec<TradeStatus> {
    let mut world = World::new(2);
    let place = Place {
        expires_ms: Some(BEGIN_MS + 5_000),
        ..limit(Side::Sell, 5)
    };
    let order = world.submit(0, Action::Place(place));
    world.pass(100);
    if let Some(quantity) = replaced {
        let action = Action::Replace {
            market: MarketIndex(0),
            order,
            side: Side::Sell,
            price: Some(Ticks(3_000_000)),
            quantity,
        };
        world.submit(0, action);
    }
    world.pass(4_800);
    world.cut = vec![(0, 1)];
    world.place(1, Side::Buy, 5);
    world.pass(100 + heard_ms - 10);
    world.cut.clear();
    world.pass(5_000);
    world.assert_equal();
    world.statuses(0)
}

#[test]
fn shortly_after_an_expiry_a_trade_is_confirmed_and_later_it_is_refused() {
    for replaced in [None, Some(Lots(6))] {
        let in_time = trades_after_expiry(LATE_MS, replaced);
        assert_eq!(in_time, [TradeStatus::Final]);
        assert_eq!(trades_after_expiry(LATE_MS + 10, replaced), []);
    }
}

#[test]
fn after_its_own_replace_a_node_refuses_what_it_did_not_know() {
    let mut world = World::new(2);
    let order = world.place(0, Side::Sell, 5);
    world.pass(20);
    world.cut = vec![(0, 1)];
    world.place(1, Side::Buy, 5);
    world.pass(100);
    let action = Action::Replace {
        market: MarketIndex(0),
        order,
        side: Side::Sell,
        price: Some(Ticks(3_000_001)),
        quantity: Lots(5),
    };
    world.submit(0, action);
    world.cut.clear();
    world.pass(5_000);
    assert_eq!(world.trades(1), [], "the maker has refused");
    world.assert_equal();
}

#[test]
fn a_half_is_answered_until_shortly_before_its_time_ends() {
    for (before_end_ms, is_answered) in [(ANSWER_MARGIN_MS, true), (ANSWER_MARGIN_MS - 10, false)] {
        let mut world = World::new(2);
        let patient = SettlementConfig {
            release_ms: 60_000,
            ..SettlementConfig::default()
        };
        let nodes = world.nodes.iter_mut();
        nodes.for_each(|node| node.settle_by_itself(patient));
        world.place(0, Side::Sell, 5);
        world.pass(20);
        world.place(1, Side::Buy, 5);
        while world.written[1].len() < 2 {
            world.pass(10);
        }
        world.cut = vec![(0, 1)];
        let half = &world.written[1][1];
        let signed_ms = half.body().time.unix_ms() - BEGIN_MS;
        let end_ms = signed_ms + u64::from(test_genesis().answer_ms);
        world.pass(end_ms - before_end_ms - world.now_ms - 10);
        world.cut.clear();
        world.pass(1_000);
        let mut written = world.written[0].iter().flat_map(|it| &it.body().actions);
        assert_eq!(written.any(|action| action.half().is_some()), is_answered);
        let is_final = world.statuses(0) == [TradeStatus::Final];
        assert_eq!(is_final, is_answered);
        // Whoever does not answer says something when it is too late, and gives the half back.
        let last = world.written[0].last().expect("it placed an order");
        assert_eq!(last.body().time.unix_ms() > BEGIN_MS + end_ms, !is_answered);
    }
}

#[test]
fn what_a_half_leans_on_is_named_by_heartbeats_where_it_does_not_fit() {
    let mut world = World::new(7);
    let sellers = 1..=5;
    for seller in sellers.clone() {
        world.place(seller, Side::Sell, 1);
    }
    world.pass(50);
    world.place(0, Side::Buy, 5);
    world.pass(500);
    // Its five halves are never heard of in time, so all five are given back.
    world.cut = sellers.map(|seller| (0, seller)).collect();
    world.pass(20_000);
    world.cut.clear();
    world.pass(100);
    assert_eq!(world.trades(0), []);
    world.place(6, Side::Sell, 5);
    world.pass(3_000);
    assert_eq!(world.statuses(0), [TradeStatus::Final]);
    assert_eq!(world.trades(0)[0].quantity, Lots(5));
    let mut written = world.written[0].iter().map(|operation| operation.body());
    let leans = |body: &Body| body.actions.is_empty() && body.refs.len() >= PROOFS_MAX;
    assert!(written.any(leans), "they fit");
    world.assert_equal();
}

#[test]
fn a_half_is_answered_with_no_more_than_is_shown() {
    let mut world = World::new(3);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    world.cut = vec![(1, 2)];
    world.place(2, Side::Buy, 2);
    world.pass(100);
    // This node does not know of the other buyer, is shown a trade of 5 and signs that.
    world.place(1, Side::Buy, 5);
    world.pass(2_000);
    world.cut.clear();
    world.pass(1_000);
    let trades = world.trades(0);
    let quantities: Vec<Lots> = trades.iter().map(|row| row.quantity).collect();
    assert_eq!(quantities, [Lots(2), Lots(3)]);
    assert_eq!(world.statuses(0), [TradeStatus::Final; 2]);
    let mut signed = world.written[1].iter().flat_map(|it| &it.body().actions);
    assert!(signed.any(|action| action.half().is_some_and(|half| half.quantity == Lots(5))));
    world.assert_equal();
}

#[test]
fn orders_that_a_silent_owner_left_behind_bind_a_maker_for_a_lease_and_no_longer() {
    let mut world = World::new(2);
    world.nodes[1].settle_by_hand();
    world.place(0, Side::Buy, 3);
    world.pass(20);
    // Each of them takes the order when the one before it is refused, every 15 seconds.
    for _ in 0..40 {
        world.place(1, Side::Sell, 3);
        world.pass(20);
    }
    world.pass(88_000);
    assert_eq!(world.statuses(0), [TradeStatus::Tentative]);
    let last = world.trades(0)[0].clone();
    world.pass(8_000);
    assert_eq!(
        world.trades(0),
        [],
        "all others are refused, without a hold-down for each"
    );
    let (confirmations, dag) = (world.nodes[0].confirmations(), world.nodes[0].dag());
    assert!(confirmations.has_refused(&last.buy, &last.sell, dag));
}

/// Refusals that the first two nodes have written.
fn refusals(world: &World) -> Vec<OrderId> {
    let actions = world.written[..2]
        .iter()
        .flatten()
        .flat_map(|it| &it.body().actions);
    let refused = actions.filter_map(|action| match action {
        Action::Decline { other, .. } => Some(*other),
        _ => None,
    });
    refused.collect()
}

#[test]
fn one_refusal_of_an_order_whose_owner_is_silent_is_enough_for_all() {
    let mut world = World::new(3);
    world.nodes[2].settle_by_hand();
    for node in [0, 1] {
        world.place(node, Side::Buy, 3);
    }
    world.pass(20);
    // For a lease these bind both orders, two of them at a time.
    for _ in 0..30 {
        world.place(2, Side::Sell, 3);
        world.pass(20);
    }
    world.pass(89_000);
    let before = refusals(&world).len();
    let is_bound = |world: &World| !world.trades(0).is_empty();
    assert!(is_bound(&world));
    world.pass(8_000);
    assert!(!is_bound(&world));
    let mut once = refusals(&world).split_off(before);
    let count = once.len();
    once.sort_unstable();
    once.dedup();
    assert!(
        count - once.len() <= 2,
        "both refuse what the other has refused"
    );
    once.retain(|order| world.ended(0, order) == Some(EndReason::Abandoned));
    assert!(once.len() > 10, "they were refused before: {count}");
    world.assert_equal();

    // Somebody else had heard of the owner in time: he was not silent, and his orders stand.
    let last = world.written[2].last().expect("placed").clone();
    let body = Body {
        seq: last.body().seq + 1,
        prev: Some(last.id()),
        time: HybridTime::from_unix_ms(last.body().time.unix_ms() + 60_000),
        actions: Vec::new(),
        refs: Vec::new(),
        ..last.body().clone()
    };
    world.slip_in(2, &[0, 1], body);
    world.pass(2_000);
    for order in &once {
        assert_ne!(world.ended(0, order), Some(EndReason::Abandoned));
    }
}

#[test]
fn a_node_that_starts_again_looks_at_what_may_be_open_and_not_at_all_its_history() {
    let mut world = World::new(2);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    world.place(1, Side::Buy, 3);
    world.pass(2_000);
    assert_eq!(world.statuses(0), [TradeStatus::Final]);
    // Nobody can answer those halves any more: both write afterwards.
    world.pass(20_000);
    world.place(0, Side::Sell, 1);
    world.pass(20);
    world.place(1, Side::Buy, 1);
    world.pass(20);
    world.start_again(0);
    world.start_again(1);
    let now = world.now();
    for node in &world.nodes {
        assert_eq!(node.settlement_backlog(now, 9), 1, "one trade is tentative");
    }
    world.pass(2_000);
    assert_eq!(world.statuses(1), [TradeStatus::Final; 2]);
    world.assert_equal();
}

#[test]
fn nobody_is_told_of_a_final_trade_before_the_own_half_is_on_disk() {
    let mut world = World::new(2);
    world.place(0, Side::Sell, 5);
    world.pass(20);
    world.place(1, Side::Buy, 3);
    while world.written[1].len() < 2 {
        world.pass(10);
    }
    // The maker's disk is slow: its answer is signed and merged, and may be lost in a crash.
    let half = world.written[1][1].clone();
    let now = world.now();
    world.nodes[0].receive(now, Source::push(LinkId(1)), vec![half]);
    world.nodes[0].handle_tick(now);
    world.nodes[0].handle_tick(now);
    let told_final = |node: &mut Exchange<Book>| {
        let outputs = core::iter::from_fn(|| node.poll_output());
        let mut changes = outputs.flat_map(|output| match output {
            Output::Changed(changes) => changes,
            _ => Vec::new(),
        });
        changes.any(|change| {
            matches!(change, Change::Trade { trade, .. } if trade.status == TradeStatus::Final)
        })
    };
    assert_eq!(world.statuses(0), [TradeStatus::Final], "it has answered");
    assert!(!told_final(&mut world.nodes[0]));
    let all = world.nodes[0].dag().len();
    world.nodes[0].handle_persisted(all);
    assert!(told_final(&mut world.nodes[0]));
}

/// Whether a node that may not settle for a long time confirms so many trades that are due.
fn confirms_early(trades: usize) -> bool {
    let mut world = World::new(2);
    for _ in 0..trades {
        world.place(0, Side::Sell, 1);
    }
    world.pass(20);
    world.place(1, Side::Buy, trades as u64);
    world.nodes[1].settle_not_before(u64::MAX);
    world.pass(1_500);
    let statuses = world.statuses(1);
    assert_eq!(statuses.len(), trades);
    statuses.iter().all(|status| *status == TradeStatus::Final)
}

#[test]
fn what_fills_an_operation_need_not_wait_for_company() {
    assert!(!confirms_early(ACTIONS_OF_ONE - 1));
    assert!(confirms_early(ACTIONS_OF_ONE));
}
