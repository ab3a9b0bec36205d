//! Properties 5, 7 and 12: what is final stays, confirming what is shown changes nothing else, and
//! an order that is over trades nothing but what was promised of it.

use std::collections::BTreeMap;

use bitfitech_core::matching::EndReason;
use bitfitech_core::op::{Action, Verified};
use bitfitech_core::types::{AuthorKey, OrderId, TradeId};
use bitfitech_core::view::{TradeRow, TradeStatus};
use ed25519_zebra::SigningKey;

use crate::deals::{Signer, half_of, shown_trades};
use crate::facts::Facts;
use crate::network::{Books, Network, Peer};
use crate::scenario::for_all_scenarios;

/// The final trades that a node shows, by their ids.
fn final_trades(peer: &Peer) -> BTreeMap<TradeId, TradeRow> {
    let shown = shown_trades(&peer.exchange).into_iter();
    let finals = shown.filter(|row| row.status == TradeStatus::Final);
    finals.map(|row| (row.trade, row)).collect()
}

/// Whether the owner of an order is a proven forker.
fn is_forkers(peer: &Peer, order: &OrderId) -> bool {
    let dag = peer.exchange.dag();
    let at = dag.find_order(order).expect("it is applied");
    dag.fork_of(&dag.key(dag.author(at))).is_some()
}

/// Final trades by node, and how many operations it had applied by then.
type Seen = BTreeMap<usize, (usize, BTreeMap<TradeId, TradeRow>)>;

/// Compares what a node shows as final with what it showed before.
fn check_finals(peer: &Peer, node: usize, seen: &mut Seen) {
    let finals = final_trades(peer);
    let before = seen.insert(node, (peer.applied.len(), finals.clone()));
    let Some((applied, before)) = before else {
        return;
    };
    if peer.applied.len() < applied {
        // It has crashed and forgotten what was not on disk.
        return;
    }
    for (id, old) in before {
        let new = finals.get(&id).expect("a final trade is gone");
        let orders = (new.market, new.buy, new.sell, new.price, new.taker);
        let same = (old.market, old.buy, old.sell, old.price, old.taker);
        assert_eq!(orders, same, "a final trade has changed");
        let forked = [old.buy, old.sell].iter().any(|id| is_forkers(peer, id));
        let grew = forked && new.quantity > old.quantity;
        assert!(grew || new.quantity == old.quantity, "another quantity");
    }
}

#[test]
fn final_trades_only_accumulate() {
    for_all_scenarios(48, |scenario| {
        let mut seen = Seen::new();
        let mut network = Network::run_with(&scenario, |network, node, books| {
            if books == Books::Merged {
                check_finals(&network.peers[node], node, &mut seen);
            }
        });
        network.settle(scenario.shuffle);
        for (node, peer) in network.peers.iter().enumerate() {
            check_finals(peer, node, &mut seen);
        }
    });
}

/// Facts without how sure the trade is.
fn unsure(mut facts: Facts, trade: &TradeId) -> Facts {
    for row in facts.trades.iter_mut().filter(|row| row.trade == *trade) {
        row.status = TradeStatus::Tentative;
    }
    facts
}

/// The key of an author, if he is honest.
fn key_of(network: &Network, author: &AuthorKey) -> Option<SigningKey> {
    let mut peers = network.peers.iter();
    let peer = peers.find(|peer| peer.author == *author);
    peer.map(|peer| peer.key)
}

/// An operation by which an owner confirms a trade with its quantity, and the same one without
/// doing so, for an operation by itself may end leases and give back.
fn confirmation(
    network: &Network,
    row: &TradeRow,
    (order, after_ms): (&OrderId, u64),
) -> Option<[Verified; 2]> {
    let exchange = &network.peers[0].exchange;
    let author = exchange.replica().order(order)?.author;
    let key = key_of(network, &author)?;
    let half = half_of(row, exchange, &author)?;
    let theirs = exchange
        .confirmations()
        .halves(&half.other, &half.own, exchange.dag());
    let mut theirs = theirs.iter().filter(|theirs| theirs.piece == half.piece);
    if theirs.any(|theirs| theirs.quantity != half.quantity) {
        // The other one has named another quantity, and the smaller one counts.
        return None;
    }
    let latest = exchange.dag().latest_time().unix_ms() + after_ms;
    let time = bitfitech_core::types::HybridTime::from_unix_ms(latest);
    let signer = Signer {
        author,
        exchange,
        orders: &[],
    };
    let signs = signer.sign(vec![Action::Confirm(half)], (&key, time));
    let heartbeat = signer.sign(Vec::new(), (&key, time));
    signer.is_valid(&signs).then_some([signs, heartbeat])
}

/// The facts of a node, and of its books, once it has heard of more.
fn facts_after(network: &Network, more: &[Verified]) -> Facts {
    let peer = &network.peers[0];
    let mut reborn = crate::network::new_node(&network.genesis, &peer.key);
    for operation in &peer.applied {
        reborn.restore(operation.wire()).expect("it was applied");
    }
    let now = network.now(0);
    let own_chain = bitfitech_core::exchange::OwnChain::Complete;
    reborn.handle_restored(now, own_chain);
    let much_later = bitfitech_core::types::Now {
        unix_ms: now.unix_ms + 1_000_000,
        ..now
    };
    for operation in more {
        let link = crate::network::source(0);
        reborn.receive(much_later, link, vec![operation.clone()]);
        reborn.handle_tick(much_later);
        assert!(reborn.dag().find(&operation.id()).is_some());
    }
    Facts::of(reborn.replica())
}

#[test]
fn confirming_a_trade_with_its_quantity_changes_nothing_else() {
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let shown = shown_trades(&network.peers[0].exchange);
        let tentative = shown
            .iter()
            .filter(|row| row.status == TradeStatus::Tentative);
        for row in tentative.take(8) {
            let first = confirmation(&network, row, (&row.buy, 1));
            let second = confirmation(&network, row, (&row.sell, 2));
            let signed: Vec<[Verified; 2]> = first.into_iter().chain(second).collect();
            for count in 1..=signed.len() {
                let pick = |which: usize| -> Vec<Verified> {
                    let picked = signed[..count].iter().map(|both| both[which].clone());
                    picked.collect()
                };
                let confirmed = facts_after(&network, &pick(0));
                let silent = facts_after(&network, &pick(1));
                let stands = silent
                    .trades
                    .iter()
                    .any(|other| (other.trade, other.quantity) == (row.trade, row.quantity));
                if !stands {
                    // The word by itself has given back what the trade rested on.
                    continue;
                }
                let confirmed = unsure(confirmed, &row.trade);
                assert_eq!(confirmed.trades, silent.trades, "{row:?} {count}");
                assert_eq!(confirmed.orders, silent.orders);
                assert_eq!(confirmed, silent);
            }
        }
    });
}

/// When an order was cancelled by its owner, by the operations of a node: the first bucket of those
/// cancels that stand behind the order. Those of a forker may stand before it, and do nothing; nor
/// does one that names another market.
fn cancels(peer: &Peer, bucket_ms: u64) -> BTreeMap<OrderId, u64> {
    let dag = peer.exchange.dag();
    let mut cancels: BTreeMap<OrderId, u64> = BTreeMap::new();
    for operation in &peer.applied {
        for action in &operation.body().actions {
            let Action::Cancel { market, order } = action else {
                continue;
            };
            let row = peer.exchange.replica().order(order);
            let is_own = row.is_some_and(|row| {
                let author = operation.body().author;
                (row.author, row.market, row.ended) == (author, *market, Some(EndReason::Cancelled))
            });
            let at = dag.find(&operation.id()).expect("it is applied");
            let made = dag.find_order(order);
            let is_behind = made.is_some_and(|made| dag.position(made) < dag.position(at));
            if is_own && is_behind {
                let bucket = operation.body().time.unix_ms() / bucket_ms;
                let first = cancels.entry(*order).or_insert(bucket);
                *first = bucket.min(*first);
            }
        }
    }
    cancels
}

#[test]
fn an_order_that_is_over_trades_only_what_was_promised_of_it() {
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let peer = &network.peers[0];
        let bucket_ms = u64::from(network.genesis.bucket_ms);
        let cancels = cancels(peer, bucket_ms);
        for row in shown_trades(&peer.exchange) {
            let confirmations = peer.exchange.confirmations();
            for (own, other) in [(row.buy, row.sell), (row.sell, row.buy)] {
                let is_later = cancels
                    .get(&own)
                    .is_some_and(|bucket| row.time.unix_ms() / bucket_ms > *bucket);
                let promised = confirmations.halves(&own, &other, peer.exchange.dag());
                let promised = promised.iter().map(|half| half.quantity).max();
                assert!(
                    !is_later || promised >= Some(row.quantity),
                    "{row:?} after the cancel of {own}"
                );
            }
        }
    });
}

/// Whether an action takes a half back.
fn releases(peer: &Peer, action: &Action) -> bool {
    let confirmations = peer.exchange.confirmations();
    matches!(action, Action::Release { own, other, .. }
        if !confirmations.halves(own, other, peer.exchange.dag()).is_empty())
}

/// The scenarios are worth something only if all of this happens in them.
#[test]
fn the_scenarios_confirm_refuse_expire_and_lapse() {
    let counts = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let peer = &network.peers[0];
        let count = |what, happens: bool| {
            *counts.borrow_mut().entry(what).or_insert(0) += u32::from(happens);
        };
        let facts = Facts::of(peer.exchange.replica());
        let has_ended = |reason| facts.orders.iter().any(|row| row.ended == Some(reason));
        count("expired", has_ended(EndReason::Expired));
        count("lapsed", has_ended(EndReason::Lapsed));
        count("expelled", has_ended(EndReason::Expelled));
        count("rejected as expelled", has_ended(EndReason::NoMember));
        count("abandoned", has_ended(EndReason::Abandoned));
        count("final", !final_trades(peer).is_empty());
        let pieces = |row: &TradeRow| crate::deals::piece_of(row);
        count(
            "several pieces",
            facts.trades.iter().any(|row| pieces(row) > 0),
        );
        let mut actions = peer.applied.iter().flat_map(|other| &other.body().actions);
        let refuses = |action: &Action| matches!(action, Action::Decline { .. });
        count("refused", actions.any(refuses));
        let mut halves = peer.applied.iter().flat_map(|other| &other.body().actions);
        count("released", halves.any(|action| releases(peer, action)));
    });
    let counts = counts.into_inner();
    for (what, count) in &counts {
        assert!(*count > 0, "{what}: {counts:?}");
    }
}
