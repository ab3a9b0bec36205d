//! Property 1: equal sets of operations give equal bytes of book, trades and order statuses,
//! whatever the order of arrival, the links, the duplicates and the moments of merging were.

use std::collections::BTreeSet;

use bitfitech_core::confirmation::Confirmations;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::Oracle;
use bitfitech_core::op::Verified;
use bitfitech_core::replica::Replica;
use bitfitech_core::types::OpId;

use crate::deals::named_by;
use crate::facts::{Facts, markets};
use crate::network::{BEGIN_MS, Network};
use crate::scenario::for_all_scenarios;

#[test]
fn all_nodes_agree_once_they_have_heard_of_everything() {
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let digests: Vec<_> = network
            .peers
            .iter_mut()
            .map(|peer| peer.exchange.digests())
            .collect();
        let facts: Vec<_> = network
            .peers
            .iter()
            .map(|peer| Facts::of(peer.exchange.replica()))
            .collect();
        assert!(digests.iter().all(|other| *other == digests[0]), "digests");
        assert!(facts.iter().all(|other| *other == facts[0]), "facts");
        assert_eq!(digests[0].book, facts[0].digests.book);
        for peer in &network.peers {
            assert_eq!(peer.exchange.delivery().parked_len(), 0);
        }
    });
}

/// An operation is in the set exactly if it and all of its ancestors keep the rules: no order of
/// arrival lets another one in or keeps one out.
#[test]
fn exactly_the_valid_operations_are_applied() {
    for_all_scenarios(24, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let mut valid: BTreeSet<OpId> = BTreeSet::new();
        // Not in the order of publication: a liar may sign for an order that he only guesses.
        let mut by_time: Vec<&Verified> = network.published.iter().collect();
        by_time.sort_by_key(|operation| operation.body().time);
        for operation in by_time {
            let body = operation.body();
            let find = |id: &OpId| network.published.iter().find(|other| other.id() == *id);
            let follows = body.prev.as_ref().and_then(find).is_none_or(|prev| {
                prev.body().author == body.author && prev.body().seq + 1 == body.seq
            });
            let ancestors = named_by(operation, &network.published);
            let later = ancestors
                .iter()
                .filter_map(find)
                .all(|ancestor| ancestor.body().time < body.time);
            let foreign_ids = ancestors.iter().filter(|id| Some(**id) != body.prev);
            let foreign = foreign_ids
                .filter_map(find)
                .all(|other| other.body().author != body.author);
            let known = |stem| ancestors.iter().any(|id| id.stem() == stem);
            let complete = ancestors.iter().all(|id| valid.contains(id));
            let complete = complete && body.counterparts().all(known);
            if follows
                && later
                && foreign
                && complete
                && is_signed_validly(operation, &network.published, &network.genesis)
            {
                valid.insert(operation.id());
            }
        }
        for peer in &network.peers {
            let applied: BTreeSet<OpId> = peer.applied.iter().map(|other| other.id()).collect();
            let disputed: Vec<&Verified> = network
                .published
                .iter()
                .filter(|other| applied.contains(&other.id()) != valid.contains(&other.id()))
                .collect();
            assert!(disputed.is_empty(), "{disputed:#?}");
        }
    });
}

/// Whether what an operation signs about trades is valid in a world that consists of nothing but
/// its ancestors.
fn is_signed_validly(operation: &Verified, published: &[Verified], genesis: &Genesis) -> bool {
    if operation.body().counterparts().next().is_none() {
        return true;
    }
    let mut past: BTreeSet<OpId> = BTreeSet::new();
    let mut next = named_by(operation, published);
    while let Some(id) = next.pop() {
        if past.insert(id) {
            let ancestor = published.iter().find(|other| other.id() == id);
            next.extend(named_by(ancestor.expect("it is published"), published));
        }
    }
    let mut replica = Replica::new(genesis, &[9; 32], markets().map(|_| Oracle::new()));
    let mut confirmations = Confirmations::new(genesis);
    let mut ancestors: Vec<&Verified> = published
        .iter()
        .filter(|other| past.contains(&other.id()))
        .collect();
    ancestors.sort_by_key(|ancestor| ancestor.body().time);
    for ancestor in ancestors {
        let index = replica.insert(ancestor, 0);
        confirmations.insert(ancestor, index, replica.dag());
    }
    confirmations
        .check(operation.body(), replica.dag(), &replica)
        .is_ok()
}

/// A driver that calls a node only when it says that something is due misses nothing, not even
/// what was dated ahead of time.
#[test]
fn deadlines_alone_bring_everything_in() {
    for_all_scenarios(32, |scenario| {
        let mut network = Network::run(&scenario);
        network.publish_all();
        // Each can be dated ahead, be due later, and then miss something that is asked for once.
        let calls_max = 2 + 2 * network.published.len();
        for node in 0..network.peers.len() {
            network.receive(node, 0, network.published.clone());
            let mut calls = 0;
            while let Some(due_ms) = network.next_deadline_ms(node) {
                network.true_ms = network.true_ms.max(BEGIN_MS + due_ms);
                network.tick(node);
                calls += 1;
                assert!(calls <= calls_max, "called for nothing");
            }
        }
        let first = network.peers[0].exchange.digests();
        for peer in &mut network.peers {
            assert_eq!(peer.exchange.delivery().parked_len(), 0);
            assert_eq!(peer.exchange.digests(), first);
        }
    });
}
