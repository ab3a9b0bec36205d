//! Property 1: equal sets of operations give equal bytes of book, trades and order statuses,
//! whatever the order of arrival, the links, the duplicates and the moments of merging were.

use std::collections::BTreeSet;

use bitfitech_core::types::OpId;

use crate::facts::Facts;
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
        assert_eq!(digests[0].book, facts[0].digests[0]);
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
        // Ancestors are published before their descendants.
        for operation in &network.published {
            let body = operation.body();
            let find = |id: &OpId| network.published.iter().find(|other| other.id() == *id);
            let follows = body.prev.as_ref().and_then(find).is_none_or(|prev| {
                prev.body().author == body.author && prev.body().seq + 1 == body.seq
            });
            let ancestors: Vec<OpId> = body.prev.iter().chain(&body.refs).copied().collect();
            let later = ancestors
                .iter()
                .filter_map(find)
                .all(|ancestor| ancestor.body().time < body.time);
            let foreign_refs = body.refs.iter().filter_map(find);
            let foreign = foreign_refs
                .into_iter()
                .all(|other| other.body().author != body.author);
            if follows && later && foreign && ancestors.iter().all(|id| valid.contains(id)) {
                valid.insert(operation.id());
            }
        }
        for peer in &network.peers {
            let applied: BTreeSet<OpId> = peer.applied.iter().map(|other| other.id()).collect();
            assert_eq!(applied, valid);
        }
    });
}

/// A driver that calls a node only when it says that something is due misses nothing, not even
/// what was dated ahead of time.
#[test]
fn deadlines_alone_bring_everything_in() {
    for_all_scenarios(32, |scenario| {
        let mut network = Network::run(&scenario);
        network.publish_all();
        for node in 0..network.peers.len() {
            network.receive(node, 0, network.published.clone());
            let mut calls = 0;
            while let Some(due_ms) = network.next_deadline_ms(node) {
                network.true_ms = network.true_ms.max(BEGIN_MS + due_ms);
                network.tick(node);
                calls += 1;
                assert!(calls <= 2 + network.published.len(), "called for nothing");
            }
        }
        let first = network.peers[0].exchange.digests();
        for peer in &mut network.peers {
            assert_eq!(peer.exchange.delivery().parked_len(), 0);
            assert_eq!(peer.exchange.digests(), first);
        }
    });
}
