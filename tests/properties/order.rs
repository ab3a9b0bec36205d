//! Property 4: the key of the log is a strict total order that grows along `prev` and `refs`, and
//! what a user had seen sorts before what he wrote.

use std::collections::BTreeMap;

use bitfitech_core::dag::{Arrival, Dag};
use bitfitech_core::order_log::{self, LogKey};
use bitfitech_core::types::{MarketIndex, OpId};

use crate::network::{Books, Network};
use crate::scenario::for_all_scenarios;

/// The keys of everything that a node has applied, by operation, with the market of each action.
fn keys_of(network: &Network, node: usize) -> BTreeMap<OpId, Vec<(MarketIndex, LogKey)>> {
    let mut dag = Dag::new(network.genesis.bucket_ms, &[7; 32]);
    let applied = network.peers[node].applied.iter();
    applied
        .map(|operation| {
            let index = dag.insert(operation, Arrival::default());
            let (id, body) = (operation.id(), operation.body());
            let keys = order_log::keys(network.digest, id, body, dag.position(index));
            let placed = body.actions.iter().filter(|action| action.pair().is_none());
            let markets = placed.filter_map(|action| action.market());
            (id, markets.zip(keys).collect())
        })
        .collect()
}

#[test]
fn keys_are_distinct_and_grow_along_causality_and_along_an_operation() {
    for_all_scenarios(64, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let keys = keys_of(&network, 0);
        let mut all: Vec<LogKey> = keys.values().flatten().map(|(_, key)| *key).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "two actions have the same key");
        for operation in &network.peers[0].applied {
            let own = &keys[&operation.id()];
            for ancestor in operation.body().prev.iter().chain(&operation.body().refs) {
                let mut before = keys[ancestor].iter();
                assert!(before.all(|(_, key)| own.iter().all(|(_, own)| key < own)));
            }
            for (at, (market, key)) in own.iter().enumerate() {
                let mut behind = own[at + 1..].iter().filter(|(other, _)| other == market);
                assert!(
                    behind.all(|(_, other)| key < other),
                    "actions change places"
                );
            }
        }
    });
}

#[test]
fn what_a_node_writes_sorts_behind_everything_that_it_had_applied() {
    for_all_scenarios(64, |scenario| {
        Network::run_with(&scenario, |network, node, books| {
            let peer = &network.peers[node];
            let Some((newest, before)) = peer.applied.split_last() else {
                return;
            };
            if books != Books::Merged || newest.body().author != peer.author {
                return;
            }
            let dag = peer.exchange.dag();
            let position = |id: &OpId| dag.position(dag.find(id).expect("it is applied"));
            let own = position(&newest.id());
            for other in before {
                assert!(position(&other.id()) < own, "{} is not behind", newest.id());
                assert!(other.body().time < newest.body().time);
            }
        });
    });
}
