//! Properties 2 and 3: what a node has after any number of undos and redos is what follows from
//! its operations in one go. (Taking an action back and doing it again is part of every merge that
//! reaches back, so a state that undo does not restore shows here.)

use crate::facts::Facts;
use crate::network::{Books, Network};
use crate::scenario::for_all_scenarios;

#[test]
fn incremental_state_equals_a_replay_from_scratch_after_every_step() {
    for_all_scenarios(32, |scenario| {
        let check = |network: &Network, node: usize, books: Books| {
            let peer = &network.peers[node];
            if books == Books::Merged {
                let scratch = Facts::from_scratch(&peer.applied, &network.genesis);
                assert_eq!(Facts::of(peer.exchange.replica()), scratch);
            }
        };
        let mut network = Network::run_with(&scenario, check);
        network.settle(scenario.shuffle);
        for node in 0..network.peers.len() {
            check(&network, node, Books::Merged);
        }
    });
}
