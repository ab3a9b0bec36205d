//! Properties 17 and 20: a node that restarts from any prefix of its store and hears of the rest
//! again stands where it stood, and no honest node is ever proven a forker, whatever it lost.

use std::collections::BTreeSet;

use bitfitech_core::exchange::{
    OWN_CHAIN_LEAST_MS, OWN_CHAIN_PULL_MS, OWN_CHAIN_WAIT_MS, Output, OwnChain, RestoreError,
    SubmitError,
};
use bitfitech_core::op::Verified;
use bitfitech_core::types::{AuthorKey, LinkId, Now, Side, Source};
use bitfitech_core::wire::{Branch, BranchDigest, BranchPath, Head};

use crate::facts::Facts;
use crate::network::{BEGIN_MS, Network, Node, decode, limit, new_node, shuffled, source};
use crate::scenario::{Step, for_all_scenarios};

#[test]
fn a_restart_from_every_prefix_of_the_store_ends_in_the_same_state() {
    for_all_scenarios(12, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        network.publish_all();
        let node = (scenario.shuffle % network.peers.len() as u64) as usize;
        let peer = &network.peers[node];
        let expected = Facts::of(peer.exchange.replica());
        assert_eq!(peer.disk.len(), peer.applied.len());
        for count in 0..=peer.disk.len() {
            let mut reborn = new_node(&network.genesis, &peer.key);
            for wire in &peer.disk[..count] {
                reborn.restore(wire).expect("what was written can be read");
            }
            reborn.handle_restored(network.now(node), OwnChain::MayBeLonger);
            assert_eq!(reborn.persisted(), count);
            let rest = shuffled(&peer.applied[count..], scenario.shuffle);
            reborn.receive(network.now(node), source(0), rest);
            reborn.handle_tick(network.now(node));
            assert_eq!(Facts::of(reborn.replica()), expected, "after {count}");
            assert_eq!(reborn.dag().digest(), peer.exchange.dag().digest());
        }
    });
}

#[test]
fn a_store_with_a_gap_or_a_repetition_is_refused() {
    for_all_scenarios(12, |scenario| {
        let network = Network::run(&scenario);
        for peer in &network.peers {
            for (at, wire) in peer.disk.iter().enumerate() {
                let mut reborn = new_node(&network.genesis, &peer.key);
                let body = peer.applied[at].body();
                let is_root = body.prev.is_none() && body.refs.is_empty();
                assert_eq!(
                    reborn.restore(wire).is_ok(),
                    is_root,
                    "ancestors are missing"
                );
                assert_eq!(reborn.restore(wire), Err(RestoreError::Order));
            }
        }
    });
}

#[test]
fn no_honest_node_is_proven_a_forker() {
    for_all_scenarios(48, |mut scenario| {
        // More crashes than usual, each after something was written.
        let mut steps = Vec::new();
        for (step, number) in scenario.steps.drain(..).zip(0_u8..) {
            let crash = match step {
                Step::Submit { node, .. } if number % 3 == 0 => Some(Step::Crash {
                    node,
                    kept: number % 4,
                }),
                _ => None,
            };
            steps.push(step);
            steps.extend(crash);
            if number % 8 == 0 {
                steps.push(Step::Synchronise {
                    node: number,
                    from: number + 1,
                });
            }
        }
        scenario.steps = steps;
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        let liars: BTreeSet<AuthorKey> = network.liars.iter().map(|liar| liar.author).collect();
        for peer in &network.peers {
            let forkers: BTreeSet<AuthorKey> = peer.exchange.dag().forkers().collect();
            assert!(
                forkers.is_subset(&liars),
                "an honest node is proven a forker"
            );
            assert!(
                peer.accused.is_subset(&forkers),
                "an accusation without a proof"
            );
            for forker in &forkers {
                let (first, second) = peer.exchange.dag().fork_of(forker).expect("proven");
                let find = |id| peer.applied.iter().find(|operation| operation.id() == id);
                let twins = [first, second].map(|id| find(id).expect("it is applied").body());
                assert_eq!(twins[0].author, twins[1].author);
                assert_eq!(twins[0].seq, twins[1].seq);
                assert_ne!(first, second);
            }
            // The proof is there exactly if the applied set has one.
            let mut places = BTreeSet::new();
            let twins = peer.applied.iter().filter(|operation| {
                !places.insert((operation.body().author, operation.body().seq))
            });
            let proven: BTreeSet<AuthorKey> = twins.map(|twin| twin.body().author).collect();
            assert_eq!(proven, forkers);
        }
    });
}

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        unix_ms: BEGIN_MS + ms,
    }
}

/// The own operations that a node passes on, and how many operations its disk was given.
fn pump(node: &mut crate::network::Node, passed_on: &mut Vec<Verified>) -> usize {
    let genesis = node.genesis().clone();
    let mut written = 0;
    while let Some(output) = node.poll_output() {
        match output {
            Output::Relay {
                operation,
                from: None,
            } => {
                passed_on.push(decode(operation.wire(), &genesis, &genesis.digest()));
            }
            Output::Persist { .. } => written += 1,
            _ => {}
        }
    }
    written
}

#[test]
fn a_restored_copy_waits_for_its_own_newer_operations_and_goes_on_behind_them() {
    let genesis = crate::network::genesis("restored");
    let key = ed25519_zebra::SigningKey::from([1; 32]);
    let mut node = new_node(&genesis, &key);
    let mut passed_on = Vec::new();
    for number in 0..3 {
        node.submit(now(number), vec![limit(Side::Buy, 1, 1)])
            .expect("written");
        pump(&mut node, &mut passed_on);
        assert_eq!(
            passed_on.len() as u64,
            number,
            "passed on before it is on disk"
        );
        node.handle_persisted(1 + number as usize);
        pump(&mut node, &mut passed_on);
    }
    let mut copy = new_node(&genesis, &key);
    copy.restore(passed_on[0].wire()).expect("readable");
    copy.handle_restored(now(10), OwnChain::MayBeLonger);
    let refused = copy.submit(now(11), Vec::new());
    assert_eq!(refused, Err(SubmitError::NotYet));
    copy.handle_heads(&[Head {
        author: copy.author(),
        seq: 2,
        id: passed_on[2].id(),
    }]);
    // Nobody serves it, and still it is known to be there.
    let later_ms = 10 + 2 * OWN_CHAIN_WAIT_MS;
    let refused = copy.submit(now(later_ms), Vec::new());
    assert_eq!(refused, Err(SubmitError::NotYet));
    copy.receive(now(later_ms), source(0), passed_on[1..].to_vec());
    let newest = copy.submit(now(later_ms), Vec::new()).expect("written");
    let index = copy.dag().find(&newest).expect("applied");
    assert_eq!(copy.dag().seq(index), 3);
    assert_eq!(copy.dag().forkers().count(), 0);
}

/// A long history comes in pages; own operations may be in the last one.
#[test]
fn a_restored_copy_writes_nothing_while_it_pulls_and_waits_for_no_liar_without_end() {
    let genesis = crate::network::genesis("pulls");
    let (mut copy, passed_on) = old_copy(&genesis);
    copy.handle_heads(&[Head {
        author: copy.author(),
        seq: 2,
        id: passed_on[2].id(),
    }]);
    let mut other = new_node(&genesis, &ed25519_zebra::SigningKey::from([2; 32]));
    let mut history = Vec::new();
    let last_ms = 10 + OWN_CHAIN_PULL_MS;
    for at_ms in (10..last_ms).step_by(1_500) {
        assert_eq!(
            copy.submit(now(at_ms), Vec::new()),
            Err(SubmitError::NotYet)
        );
        other.submit(now(at_ms), Vec::new()).expect("written");
        other.handle_persisted(other.dag().len());
        pump(&mut other, &mut history);
        let page = vec![history.pop().expect("one operation")];
        let pulled = Source::sync(LinkId(0));
        copy.receive(now(at_ms), pulled, page);
    }
    assert_eq!(copy.may_write(now(last_ms - 1)), Err(last_ms));
    assert_eq!(copy.may_write(now(last_ms)), Ok(()));
}

/// A peer that has just what the copy has shows the own chain by that, one that has nothing does
/// not.
#[test]
fn a_restored_copy_may_write_when_a_peer_has_the_same_of_its_chain() {
    let genesis = crate::network::genesis("equal");
    for (shown, may_write) in [(Vec::new(), true), (vec![nothing()], false)] {
        let (mut copy, _) = old_copy(&genesis);
        let root = copy.heads_root();
        copy.compare_branches(now(10), LinkId(0), &[root], &shown);
        let open_ms = 10 + OWN_CHAIN_LEAST_MS;
        assert!(copy.may_write(now(open_ms - 1)).is_err());
        assert_eq!(copy.may_write(now(open_ms)).is_ok(), may_write);
    }
}

/// The first peer to answer was restored from the same copy, so it has nothing newer either.
#[test]
fn a_restored_copy_hears_more_than_the_first_peer() {
    let genesis = crate::network::genesis("twice");
    let (mut copy, passed_on) = old_copy(&genesis);
    let author = copy.author();
    let head = |seq: usize| Head {
        author,
        seq: seq as u64,
        id: passed_on[seq].id(),
    };
    copy.handle_heads(&[head(0)]);
    assert_eq!(copy.submit(now(300), Vec::new()), Err(SubmitError::NotYet));
    copy.handle_heads(&[head(2)]);
    let late = now(10 + OWN_CHAIN_LEAST_MS);
    assert_eq!(copy.submit(late, Vec::new()), Err(SubmitError::NotYet));
    copy.receive(late, source(1), passed_on[1..].to_vec());
    copy.submit(late, Vec::new()).expect("written");
    assert_eq!(copy.dag().forkers().count(), 0);
}

/// Where all write at all times peers never have the same, and are asked again and again.
#[test]
fn a_restored_copy_hears_each_peer_to_the_end_once() {
    let genesis = crate::network::genesis("busy");
    let (mut copy, _) = old_copy(&genesis);
    let root = copy.heads_root();
    // A part of the trie that has nothing to do with the own chain.
    let first = (0..16).find(|digit| !path(&[*digit]).has_author(&copy.author()));
    let elsewhere = BranchDigest {
        path: path(&[first.expect("sixteen digits")]),
        digest: Default::default(),
    };
    let mut answer = |at_ms: u64, link: u64, asked: &BranchDigest| {
        let asked = std::slice::from_ref(asked);
        copy.compare_branches(now(at_ms), LinkId(link), asked, &[]);
        copy.may_write(now(at_ms)).expect_err("it waits")
    };
    let from = |at_ms: u64| at_ms + OWN_CHAIN_LEAST_MS;
    assert_eq!(answer(100, 0, &root), from(100));
    assert_eq!(answer(300, 0, &root), from(100), "it has told all");
    assert_eq!(answer(400, 1, &elsewhere), from(400), "another peer");
    assert_eq!(answer(500, 1, &elsewhere), from(500), "it goes on");
    assert_eq!(answer(600, 1, &root), from(600));
    assert_eq!(answer(700, 1, &elsewhere), from(600), "it has told all");
    assert_eq!(copy.may_write(now(from(600))), Ok(()));
}

/// Peers that cannot be reached at first may still know better, as long as nothing was written.
#[test]
fn a_restored_copy_that_was_alone_hears_whom_it_meets_before_it_writes() {
    let genesis = crate::network::genesis("alone");
    let (mut copy, _) = old_copy(&genesis);
    let met_ms = 10 + 2 * OWN_CHAIN_WAIT_MS;
    assert_eq!(copy.may_write(now(met_ms)), Ok(()));
    let asked = [copy.heads_root()];
    copy.compare_branches(now(met_ms), LinkId(0), &asked, &[]);
    let open_ms = met_ms + OWN_CHAIN_LEAST_MS;
    assert_eq!(copy.may_write(now(open_ms - 1)), Err(open_ms));
    copy.submit(now(open_ms), Vec::new()).expect("written");
    copy.compare_branches(now(open_ms), LinkId(1), &asked, &[]);
    assert_eq!(copy.may_write(now(open_ms)), Ok(()), "it has written");
}

fn path(digits: &[u8]) -> BranchPath {
    let whole = BranchPath::default();
    digits.iter().fold(whole, |path, digit| path.child(*digit))
}

/// What a peer without operations shows.
fn nothing() -> Branch {
    Branch {
        path: BranchPath::default(),
        children: Vec::new(),
        heads: Vec::new(),
    }
}

/// A node that was restored from a copy with one of the three operations that it had passed on.
fn old_copy(genesis: &bitfitech_core::genesis::Genesis) -> (Node, Vec<Verified>) {
    let (key, passed_on) = writer(genesis);
    let mut copy = new_node(genesis, &key);
    copy.restore(passed_on[0].wire()).expect("readable");
    copy.handle_restored(now(10), OwnChain::MayBeLonger);
    (copy, passed_on)
}

/// A node that wrote three operations, its key and what it passed on.
fn writer(
    genesis: &bitfitech_core::genesis::Genesis,
) -> (ed25519_zebra::SigningKey, Vec<Verified>) {
    let key = ed25519_zebra::SigningKey::from([1; 32]);
    let mut node = new_node(genesis, &key);
    let mut passed_on = Vec::new();
    for number in 0..3 {
        node.submit(now(number), Vec::new()).expect("written");
        node.handle_persisted(1 + number as usize);
        pump(&mut node, &mut passed_on);
    }
    (key, passed_on)
}

/// The key outlives the store, as after the loss of a data file.
#[test]
fn a_node_that_lost_its_whole_store_does_not_write_before_it_has_asked_its_peers() {
    let genesis = crate::network::genesis("lost");
    let (key, passed_on) = writer(&genesis);
    let mut reborn = new_node(&genesis, &key);
    reborn.handle_restored(now(10), OwnChain::MayBeLonger);
    assert_eq!(reborn.submit(now(11), Vec::new()), Err(SubmitError::NotYet));
    reborn.receive(now(12), source(0), passed_on);
    assert_eq!(reborn.dag().forkers().count(), 0);
}

/// The peer that answers first may know nothing; another one, heard a moment later, does.
#[test]
fn a_restored_copy_does_not_write_because_a_peer_without_a_history_has_answered() {
    let genesis = crate::network::genesis("copied");
    let (mut copy, passed_on) = old_copy(&genesis);
    copy.handle_heads(&[]);
    assert_eq!(copy.submit(now(11), Vec::new()), Err(SubmitError::NotYet));
    copy.receive(now(12), source(1), passed_on[1..].to_vec());
    assert_eq!(copy.dag().forkers().count(), 0);
}
