//! Two graphs of operations that exchange heads and pages become equal, forks and all, in pages of
//! any size, in one pass.

use std::collections::BTreeSet;

use bitfitech_core::dag::{Admission, Arrival, Dag, OpIndex};
use bitfitech_core::op::Verified;
use bitfitech_core::types::{OpId, Side};
use bitfitech_core::wire::{BranchPath, Head, WantEntry};

use crate::network::{Network, limit};
use crate::refuted::first_of;
use crate::scenario::for_all_scenarios;

const BUCKET_MS: u32 = 50;

/// The graph of some operations.
fn graph(operations: &[Verified]) -> Dag {
    let mut dag = Dag::new(BUCKET_MS, &[7; 32]);
    for operation in operations {
        dag.insert(operation, Arrival::default());
    }
    dag
}

/// The heads of the other that are unknown, found by walking through the branches that differ.
fn unknown_heads(own: &mut Dag, other: &mut Dag) -> Vec<Head> {
    let mut unknown = Vec::new();
    let mut asked = vec![own.branch_digest(BranchPath::default())];
    while !asked.is_empty() {
        let shown = other.differing(&asked);
        asked.clear();
        for branch in shown {
            let heads = branch.heads.iter();
            unknown.extend(heads.filter(|head| own.find(&head.id).is_none()));
            for child in &branch.children {
                let here = own.branch_digest(branch.path.child(child.digit));
                asked.extend(Some(here).filter(|here| here.digest != child.digest));
            }
        }
    }
    let naive = other.heads().filter(|head| own.find(&head.id).is_none());
    let mut sorted = unknown.clone();
    sorted.sort_unstable_by_key(Head::key);
    assert_eq!(sorted, naive.collect::<Vec<_>>());
    unknown
}

/// What is missing, found by a walk back from every head to where the other side says it stands.
fn walked(dag: &Dag, wants: &[WantEntry], from: OpIndex) -> Vec<OpIndex> {
    let mut found = BTreeSet::new();
    for want in wants {
        let there: Vec<OpIndex> = want.locator.iter().filter_map(|id| dag.find(id)).collect();
        let branch = dag.find(&want.head).into_iter();
        let branch = branch.flat_map(|head| dag.back_from(head));
        found.extend(branch.take_while(|at| *at >= from && !there.contains(at)));
    }
    found.into_iter().collect()
}

/// Pulls into `own` what `other` has, in one pass over pages of so many operations.
fn pull(own: &mut Dag, other: &mut Dag, all: &[Verified], page_len: usize) {
    let mut from = OpIndex(0);
    loop {
        let unknown = unknown_heads(own, other);
        let wants = own.wants_for(&unknown);
        let page = other.missing(&wants, from, page_len);
        assert!(page.operations.len() <= page_len);
        let walked = walked(other, &wants, from);
        let expected = &walked[..walked.len().min(page_len)];
        assert_eq!(page.operations, expected);
        assert!(page.remaining >= (walked.len() - expected.len()) as u64);
        for index in &page.operations {
            let id = other.id(*index);
            let operation = all.iter().find(|operation| operation.id() == id);
            let operation = operation.expect("it was published");
            match own.admit(operation).expect("it is valid") {
                Admission::Known => {}
                Admission::Missing(_) => panic!("a page is not in causal order"),
                Admission::Ready => {
                    own.insert(operation, Arrival::default());
                }
            }
            from = OpIndex(index.0 + 1);
        }
        if page.remaining == 0 {
            break;
        }
        assert_eq!(
            page.operations.len(),
            page_len,
            "a page is not full and more remains"
        );
    }
    let lacking = (0..other.len())
        .filter_map(|at| u32::try_from(at).ok())
        .filter(|at| own.find(&other.id(OpIndex(*at))).is_none());
    assert_eq!(lacking.count(), 0, "a pass leaves something out");
    assert!(unknown_heads(own, other).is_empty());
}

#[test]
fn graphs_that_exchange_pages_become_equal() {
    for_all_scenarios(48, |scenario| {
        let mut network = Network::run(&scenario);
        let before: Vec<Vec<Verified>> = network
            .peers
            .iter()
            .map(|peer| peer.applied.clone())
            .collect();
        let mut all: Vec<Verified> = before.concat();
        network.publish_all();
        all.extend(network.published.clone());
        let page_len = 1 + (scenario.shuffle % 7) as usize;
        for (first, peer) in network.peers.iter().enumerate() {
            for second in &before[first + 1..] {
                let mut second = graph(second);
                let mut one = graph(&peer.applied);
                pull(&mut one, &mut second, &all, page_len);
                let mut other = Dag::new(BUCKET_MS, &[7; 32]);
                pull(&mut other, &mut second, &all, page_len);
                assert_eq!(other.digest(), second.digest());
                pull(&mut other, &mut one, &all, page_len);
                assert_eq!(one.len(), other.len());
                assert_eq!(one.digest(), other.digest());
                assert!(one.heads().eq(other.heads()));
                let root = one.branch_digest(BranchPath::default());
                assert!(other.differing(&[root]).is_empty());
            }
        }
    });
}

#[test]
fn equal_digests_mean_equal_sets() {
    for_all_scenarios(48, |scenario| {
        let network = Network::run(&scenario);
        let sets: Vec<(BTreeSet<OpId>, _)> = network
            .peers
            .iter()
            .map(|peer| {
                let ids = peer.applied.iter().map(|operation| operation.id());
                (ids.collect(), peer.exchange.dag().digest())
            })
            .collect();
        for (set, digest) in &sets {
            for (other_set, other_digest) in &sets {
                assert_eq!(set == other_set, digest == other_digest);
            }
        }
    });
}

/// Two branches of equal length are told apart only by the ids of their heads.
#[test]
fn branches_of_equal_length_give_different_digests() {
    let branch = |price| graph(&[first_of(1, 0, vec![limit(Side::Buy, price, 1)])]);
    let (one, other) = (branch(1), branch(2));
    assert_ne!(one.digest(), other.digest());
    assert_eq!(one.digest(), branch(1).digest());
}
