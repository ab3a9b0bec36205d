//! Vector clocks: those that the graph of operations yields are the textbook's, and two clocks
//! compare as the causal past says.

use std::collections::{BTreeMap, BTreeSet};

use bitfitech_core::op::Verified;
use bitfitech_core::types::{AuthorKey, OpId};
use bitfitech_core::vector_clock::{Relation, VectorClock};

use crate::deals::named_by;
use crate::network::Network;
use crate::scenario::for_all_scenarios;

/// The clock of every operation by the rule in its definition: the maximum over all that it names,
/// and the own chain's length.
fn textbook_clocks(applied: &[Verified]) -> BTreeMap<OpId, VectorClock<AuthorKey>> {
    let mut clocks: BTreeMap<OpId, VectorClock<AuthorKey>> = BTreeMap::new();
    for operation in applied {
        let body = operation.body();
        let mut clock = VectorClock::default();
        for ancestor in named_by(operation, applied) {
            clock.merge(&clocks[&ancestor]);
        }
        clock.raise(&body.author, body.seq + 1);
        clocks.insert(operation.id(), clock);
    }
    clocks
}

/// Everything that happened before each operation, and itself.
fn causal_pasts(applied: &[Verified]) -> BTreeMap<OpId, BTreeSet<OpId>> {
    let mut pasts: BTreeMap<OpId, BTreeSet<OpId>> = BTreeMap::new();
    for operation in applied {
        let mut past = BTreeSet::from([operation.id()]);
        for ancestor in named_by(operation, applied) {
            past.extend(&pasts[&ancestor]);
        }
        pasts.insert(operation.id(), past);
    }
    pasts
}

#[test]
fn clocks_of_the_graph_are_those_of_the_textbook() {
    for_all_scenarios(32, |scenario| {
        let network = Network::run(&scenario);
        for peer in &network.peers {
            let dag = peer.exchange.dag();
            for (id, clock) in textbook_clocks(&peer.applied) {
                let index = dag.find(&id).expect("it is applied");
                assert_eq!(dag.vector_clock(index), clock);
            }
        }
    });
}

/// Without forks a clock stands for a causal past, so clocks must compare as pasts do.
#[test]
fn clocks_compare_as_causal_pasts_do() {
    for_all_scenarios(12, |mut scenario| {
        scenario.liars = 0;
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let peer = &network.peers[0];
        let pasts = causal_pasts(&peer.applied);
        let dag = peer.exchange.dag();
        let clock = |id: &OpId| dag.vector_clock(dag.find(id).expect("it is applied"));
        for (first, past) in &pasts {
            let first_clock = clock(first);
            for (second, other_past) in &pasts {
                let expected = match (other_past.contains(first), past.contains(second)) {
                    (true, true) => Relation::Equal,
                    (true, false) => Relation::Before,
                    (false, true) => Relation::After,
                    (false, false) => Relation::Concurrent,
                };
                assert_eq!(first_clock.relation(&clock(second)), expected);
            }
        }
    });
}
