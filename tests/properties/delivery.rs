//! What waits stays within its bounds under any flood, a flood over one link costs the others
//! nothing, and what was dropped can come again.

use bitfitech_core::delivery::{AHEAD_MS, Delivery, PARKED_MAX, WAITING_MAX, WAITING_PER_LINK_MAX};
use bitfitech_core::op::Verified;
use bitfitech_core::types::{LinkId, Now, Side, Source};
use ed25519_zebra::SigningKey;

use crate::liar::dangling;
use crate::network::{BEGIN_MS, Node, genesis, limit, new_node, source};

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        unix_ms: BEGIN_MS + ms,
    }
}

/// A victim, and `count` operations of an honest author in causal order.
fn victim_and_chain(count: usize) -> (Node, Vec<Verified>) {
    let genesis = genesis("floods");
    let mut author = new_node(&genesis, &SigningKey::from([1; 32]));
    let mut chain = Vec::new();
    for at in 0..count {
        let actions = vec![limit(Side::Buy, 1 + at as u64, 1)];
        author.submit(now(at as u64), actions).expect("written");
        author.handle_persisted(at + 1);
    }
    while let Some(output) = author.poll_output() {
        if let bitfitech_core::exchange::Output::Relay { operation, .. } = output {
            let wire = operation.wire().clone();
            chain.push(crate::network::decode(&wire, &genesis, &genesis.digest()));
        }
    }
    (new_node(&genesis, &SigningKey::from([2; 32])), chain)
}

/// Operations without ancestors, numbered from `first`.
fn flood(first: usize, count: usize, ahead_ms: u64) -> Vec<Verified> {
    let genesis = genesis("floods");
    let digest = genesis.digest();
    (first..first + count)
        .map(|number| dangling(number as u64, BEGIN_MS + ahead_ms, &genesis, &digest))
        .collect()
}

#[test]
fn a_flood_over_one_link_evicts_only_what_that_link_delivered() {
    let (mut victim, chain) = victim_and_chain(3);
    // Over an honest link the third operation comes before the first two.
    victim.receive(now(10), source(2), vec![chain[2].clone()]);
    victim.receive(now(10), source(1), flood(0, WAITING_PER_LINK_MAX + 100, 0));
    assert_eq!(victim.delivery().waiting_len(), WAITING_PER_LINK_MAX + 1);
    assert_eq!(victim.delivery().evicted(), 100);
    victim.receive(now(11), source(2), chain[..2].to_vec());
    assert_eq!(
        victim.dag().len(),
        3,
        "an honest operation was pushed out by another link"
    );
    victim.handle_link_down(LinkId(1));
    assert_eq!(
        victim.delivery().waiting_len(),
        0,
        "a link is gone and what it left stays"
    );
}

#[test]
fn a_flood_over_many_links_stays_within_the_bound_and_does_not_stop_what_comes_in_order() {
    let (mut victim, chain) = victim_and_chain(3);
    let links = u8::try_from(WAITING_MAX / WAITING_PER_LINK_MAX).expect("few links");
    for link in 0..links {
        let first = usize::from(link) * WAITING_PER_LINK_MAX;
        victim.receive(now(10), source(link), flood(first, WAITING_PER_LINK_MAX, 0));
    }
    assert_eq!(victim.delivery().waiting_len(), WAITING_MAX);
    victim.receive(now(10), source(links), vec![chain[2].clone()]);
    assert_eq!(
        victim.delivery().waiting_len(),
        WAITING_MAX,
        "above the bound"
    );
    victim.receive(now(11), source(links), chain.clone());
    assert_eq!(victim.dag().len(), 3, "what comes in order is kept out");
    (0..links).for_each(|link| victim.handle_link_down(LinkId(u64::from(link))));
    assert_eq!(victim.delivery().waiting_len(), 0);
}

#[test]
fn parked_operations_stay_within_their_bound_and_the_furthest_ahead_go_first() {
    let mut delivery = Delivery::default();
    let near = flood(0, 1, AHEAD_MS + 1);
    let far = flood(1, PARKED_MAX, AHEAD_MS + 1_000);
    for operation in near.iter().chain(&far) {
        delivery.park(operation.clone(), source(1));
        delivery.park(operation.clone(), source(2));
    }
    assert_eq!(delivery.parked_len(), PARKED_MAX);
    assert_eq!(delivery.evicted(), 1);
    assert!(delivery.contains(&near[0].id()));
    assert_eq!(delivery.next_unpark_in_ms(now(0)), Some(1));
    assert!(delivery.unpark(now(0)).is_empty());
    assert_eq!(delivery.unpark(now(1)).len(), 1);
    assert_eq!(delivery.unpark(now(2_000)).len(), PARKED_MAX - 1);
    assert_eq!(delivery.next_unpark_in_ms(now(2_000)), None);
    assert!(
        far.iter()
            .all(|operation| !delivery.contains(&operation.id()))
    );
}

#[test]
fn a_link_that_is_gone_leaves_nothing_behind_that_is_parked_first_and_waits_later() {
    let (mut victim, _) = victim_and_chain(0);
    victim.receive(now(0), source(1), flood(0, 10, AHEAD_MS + 50));
    victim.handle_link_down(LinkId(1));
    victim.handle_tick(now(100));
    assert_eq!(
        victim.delivery().waiting_len(),
        0,
        "charged to a link that never ends again"
    );
}

#[test]
fn an_operation_that_waits_twice_is_released_once() {
    let (mut victim, chain) = victim_and_chain(2);
    for link in 0..3 {
        victim.receive(
            now(10),
            source(link),
            vec![chain[1].clone(), chain[1].clone()],
        );
    }
    assert_eq!(victim.delivery().waiting_len(), 1);
    victim.handle_link_down(LinkId(1));
    assert_eq!(
        victim.delivery().waiting_len(),
        1,
        "another link's loss takes it away"
    );
    let from = Source::sync(LinkId(9));
    victim.receive(now(11), from, vec![chain[0].clone()]);
    assert_eq!(
        (victim.dag().len(), victim.delivery().waiting_len()),
        (2, 0)
    );
}
