//! Tests of whole nodes: a hundred of them in virtual time with losses, and strangers who lie.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use proptest::prelude::*;

use super::allowance::STRANGER_BYTES_MAX;
use super::world::{World, at, host};
use super::*;
use crate::bencode::Value;
use crate::krpc::{Refusal, signed_bytes};

const NAME: &[u8] = b"rest:util:net";

fn offered_by(number: usize, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(*host(number).ip(), port)
}

/// Nodes that entered one after the other by the first two.
fn network(nodes: usize, loss_percent: u64) -> World {
    let mut world = World::new(1, (5, 50));
    world.loss_percent = loss_percent;
    for number in 0..nodes {
        world.start_at(number, &[(number + 1) % 2]);
        world.run_for(20);
    }
    world.run_for(5_000);
    world
}

fn put(value: &[u8]) -> PutRequest {
    PutRequest {
        value: Value::Bytes(value).encode(),
        mutable: None,
    }
}

fn signed_put(value: &[u8], sequence: i64, compare: Option<i64>) -> PutRequest {
    let signer = SigningKey::from([5; 32]);
    let value = Value::Bytes(value).encode();
    let bytes = signed_bytes(Some(b"salt"), sequence, &value);
    PutRequest {
        value,
        mutable: Some(MutablePut {
            signed: Signed {
                key: VerificationKeyBytes::from(&signer).into(),
                signature: signer.sign(&bytes).to_bytes(),
                sequence,
            },
            salt: b"salt".to_vec(),
            compare,
        }),
    }
}

fn get(target: &[u8; HASH_BYTES], salt: &[u8]) -> GetRequest {
    GetRequest {
        target: target.to_vec(),
        salt: salt.to_vec(),
        cache: CacheUse::Allowed,
    }
}

fn hash_of(outcome: Outcome) -> [u8; HASH_BYTES] {
    match outcome {
        Outcome::Put(Ok(hash)) => hash,
        other => panic!("not kept: {other:?}"),
    }
}

fn value_of(outcome: Outcome) -> Option<Vec<u8>> {
    match outcome {
        Outcome::Get(found) => found.map(|found| found.value),
        other => panic!("not a get: {other:?}"),
    }
}

#[test]
fn two_nodes_that_begin_at_each_other_find_each_other_at_once() {
    let mut world = World::new(2, (1, 1));
    world.start_at(0, &[1]);
    // The first question reaches nobody: the other is not there yet.
    world.run_for(100);
    world.start_at(1, &[0]);
    world.run_for(30);
    assert_eq!(world.nodes[&host(0)].nodes_count(), 1);
    assert_eq!(world.nodes[&host(1)].nodes_count(), 1);
    world.run_until(300);
    assert_eq!(world.ready.len(), 2, "both are ready within 300 ms");
}

#[test]
fn a_node_whose_entrance_comes_up_later_enters_then() {
    let mut world = World::new(2, (1, 1));
    world.start_at(0, &[1]);
    world.run_for(20_000);
    assert!(world.ready.contains(&host(0)), "ready though alone");
    world.start_at(1, &[]);
    world.run_for(35_000);
    assert_eq!(world.nodes[&host(1)].nodes_count(), 1);
}

#[test]
fn a_hundred_nodes_find_what_others_offer_in_spite_of_losses() {
    let mut world = network(100, 5);
    assert_eq!(world.ready.len(), 100);
    let names: [&[u8]; 4] = [b"B", NAME, b"", &[7; 200]];
    for (number, name) in (10_usize..).zip(names) {
        match world.announce(number, name, 2_000) {
            Outcome::Announce(Ok(accepted)) => assert!(accepted >= 15, "{accepted}"),
            other => panic!("{other:?}"),
        }
        for asker in [0, 33, 77, number] {
            let expected = [offered_by(number, 2_000)];
            assert_eq!(world.lookup(asker, name), expected, "node {asker}");
        }
    }
    let slowest = (20..60).map(|asker| {
        let lookup = |dht: &mut Dht, now| dht.start_lookup(now, NAME);
        world.finish(asker, lookup).1
    });
    assert!(slowest.max() < Some(2_500), "clients wait for 2.5 s");
}

#[test]
fn what_is_not_repeated_is_forgotten_by_all() {
    let mut world = network(10, 0);
    world.announce(3, NAME, 2_000);
    world.run_for(100_000);
    assert_eq!(world.lookup(4, NAME), [offered_by(3, 2_000)]);
    world.run_for(60_001);
    assert_eq!(world.lookup(4, NAME), []);
}

#[test]
fn values_are_found_by_everyone() {
    let mut world = network(40, 5);
    let request = put(b"hello world");
    let hash = hash_of(world.finish(3, |dht, now| dht.start_put(now, request)).0);
    for asker in [3, 20, 39] {
        let found = world.finish(asker, |dht, now| dht.start_get(now, get(&hash, b"")));
        assert_eq!(value_of(found.0).as_deref(), Some(&b"11:hello world"[..]));
    }
    let nothing = world.finish(5, |dht, now| dht.start_get(now, get(&[1; 20], b"")));
    assert_eq!(value_of(nothing.0), None);
}

#[test]
fn a_changeable_value_updates_and_conflicts() {
    let mut world = network(30, 0);
    // Always by the same node: it does not send to itself, so others have other takers.
    let mut put = |request| world.finish(3, |dht, now| dht.start_put(now, request)).0;
    let hash = hash_of(put(signed_put(b"one", 1, None)));
    assert_eq!(hash_of(put(signed_put(b"two", 2, Some(1)))), hash);
    let refused = |code, text: &str| {
        let text = text.as_bytes().to_vec();
        Outcome::Put(Err(SendError::Refused(Refusal { code, text })))
    };
    let stale = put(signed_put(b"old", 2, None));
    assert_eq!(stale, refused(302, "sequence number less than current"));
    let mismatch = put(signed_put(b"three", 3, Some(1)));
    assert_eq!(
        mismatch,
        refused(301, "CAS mismatch, re-read and try again")
    );
    let mut forged = signed_put(b"three", 3, None);
    forged.value = Value::Bytes(b"3eerht").encode();
    assert_eq!(put(forged), Outcome::Put(Err(SendError::AllFailed)));
    let found = world.finish(9, |dht, now| dht.start_get(now, get(&hash, b"salt")));
    assert_eq!(value_of(found.0).as_deref(), Some(&b"3:two"[..]));
    let outsider = (0..30).find(|number| {
        let dht = world.nodes.get_mut(&host(*number)).expect("it runs");
        dht.values.get(0, &hash).is_none()
    });
    let outsider = outsider.expect("20 of 30 keep it");
    let unsalted = world.finish(outsider, |dht, now| dht.start_get(now, get(&hash, b"")));
    assert_eq!(value_of(unsalted.0), None, "the salt is part of the name");
}

#[test]
fn a_neighbour_that_was_restarted_is_asked_again_for_permission() {
    let mut world = World::new(3, (1, 5));
    world.start_at(0, &[1]);
    world.start_at(1, &[0]);
    world.run_for(1_000);
    assert_eq!(world.announce(0, NAME, 7), Outcome::Announce(Ok(1)));
    world.start_at(1, &[0]);
    world.run_for(3_000);
    assert_eq!(world.announce(0, NAME, 7), Outcome::Announce(Ok(1)));
    assert_eq!(world.lookup(1, NAME), [offered_by(0, 7)]);
}

#[test]
fn an_entrance_that_was_restarted_is_found_again() {
    let mut world = World::new(3, (1, 5));
    world.start_at(1, &[]);
    world.start_at(0, &[1]);
    world.run_for(1_000);
    // It knows nobody, so it does not say by itself that it has another id now.
    world.start_at(1, &[]);
    assert_eq!(world.announce(0, NAME, 7), Outcome::Announce(Ok(1)));
    world.nodes.remove(&host(1));
    assert!(matches!(
        world.announce(0, NAME, 7),
        Outcome::Announce(Err(_))
    ));
    world.start_at(1, &[]);
    assert_eq!(world.announce(0, NAME, 7), Outcome::Announce(Ok(1)));
}

#[test]
fn alone_there_is_nobody_to_ask_and_an_own_value_is_kept() {
    let mut world = World::new(4, (1, 1));
    world.start_at(0, &[]);
    assert!(world.ready.contains(&host(0)));
    let alone = Outcome::Announce(Err(SendError::NoNodes));
    assert_eq!(world.announce(0, NAME, 7), alone);
    let request = put(b"hello world");
    let failed = world.finish(0, |dht, now| dht.start_put(now, request)).0;
    assert_eq!(failed, Outcome::Put(Err(SendError::NoNodes)));
    let hash = value_store::sha1(b"11:hello world");
    let found = world.finish(0, |dht, now| dht.start_get(now, get(&hash, b"")));
    assert_eq!(value_of(found.0).as_deref(), Some(&b"11:hello world"[..]));
}

#[test]
fn a_node_that_enters_by_itself_serves_itself() {
    let mut world = World::new(4, (1, 1));
    world.start_at(0, &[0]);
    world.run_for(100);
    assert_eq!(world.announce(0, NAME, 7), Outcome::Announce(Ok(1)));
    assert_eq!(world.lookup(0, NAME), [offered_by(0, 7)]);
    assert_eq!(world.nodes[&host(0)].nodes_count(), 0);
}

#[test]
fn a_service_of_this_host_alone_is_found_by_its_own_node_and_no_other() {
    let mut world = World::new(4, (1, 1));
    world.start_at(0, &[]);
    world.start_at(1, &[0]);
    world.run_for(100);
    let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
    let dht = world.nodes.get_mut(&host(0)).expect("it runs");
    dht.offer_here(at(100), NAME, service);
    assert_eq!(world.lookup(0, NAME), [service]);
    assert_eq!(world.lookup(1, NAME), [], "it would lead to node 1 itself");
}

#[test]
fn an_address_of_this_machine_is_told_to_this_machine_alone() {
    let mut dht = Dht::new(DhtConfig::default(), &[9; 32], at(0));
    let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
    dht.peers.add(0, NAME, service);
    let question = OwnQuery::GetPeers(NAME).encode(7, &NodeId([3; 20]));
    for (asker, told) in [(service, true), (host(1), false)] {
        let answers = reaction(&mut dht, 0, asker, &question);
        let mut parts = answers[0].windows(8);
        let listed = parts.any(|bytes| bytes == b"6:\x7f\0\0\x01\0\x09");
        assert_eq!(listed, told, "{asker}");
    }
}

#[test]
fn equal_lookups_share_one_walk() {
    let mut world = network(5, 0);
    let lookups: Vec<_> = (0..50)
        .map(|_| world.ask(2, |dht, now| dht.start_lookup(now, NAME)))
        .collect();
    assert_eq!(world.nodes[&host(2)].errands.len(), 1);
    world.run_for(1_000);
    assert!(lookups.iter().all(|key| world.finished.contains_key(key)));
}

#[test]
fn equal_announcements_share_one_errand_and_others_do_not() {
    let mut world = network(5, 0);
    let mut announce = |port| world.ask(2, |dht, now| dht.start_announce(now, NAME, port));
    let announced = [7, 7, 8, 7].map(&mut announce);
    let lookup = world.ask(2, |dht, now| dht.start_lookup(now, NAME));
    assert_eq!(world.nodes[&host(2)].errands.len(), 3);
    world.run_for(1_000);
    for key in &announced {
        assert_eq!(world.finished[key], Outcome::Announce(Ok(4)));
    }
    assert!(world.finished.contains_key(&lookup));
    assert_eq!(world.announced.len(), 2 * 4, "each node got each port once");
    assert_eq!(world.nodes[&host(2)].shared.len(), 0);
    let mut found = world.lookup(1, NAME);
    found.sort_unstable();
    assert_eq!(found, [7, 8].map(|port| offered_by(2, port)));
}

#[test]
fn too_much_is_refused_and_what_waits_is_done() {
    let mut world = network(5, 0);
    let dht = world.nodes.get_mut(&host(2)).expect("it runs");
    let mut accepted = 0_u32;
    while dht
        .start_lookup(at(world.now_ms), &accepted.to_be_bytes())
        .is_ok()
    {
        accepted += 1;
    }
    assert_eq!(accepted, 256 + 4_096);
    world.run_for(30_000);
    assert_eq!(world.finished.len(), accepted as usize);
    assert_eq!(world.nodes[&host(2)].shared.len(), 0);
    assert_eq!(world.nodes[&host(2)].transactions.len(), 0);
}

#[test]
fn dead_nodes_cost_a_lookup_little_and_are_dropped() {
    let mut world = network(30, 0);
    let nearest = world.nodes[&host(2)].routing.closest(NAME, 20);
    (10..20).for_each(|number| drop(world.nodes.remove(&host(number))));
    let lookup = |dht: &mut Dht, now| dht.start_lookup(now, NAME);
    let (_, took_ms) = world.finish(2, lookup);
    assert!(took_ms < 2_500, "{took_ms} ms");
    world.run_for(3_000);
    let known = world.nodes[&host(2)].routing.closest(NAME, 100);
    for contact in nearest {
        let alive = world.nodes.contains_key(&contact.address);
        assert_eq!(known.contains(&contact), alive, "the dead are forgotten");
    }
}

#[test]
fn halves_of_a_divided_network_grow_together() {
    let mut world = World::new(5, (5, 50));
    for number in 0..10 {
        // The two halves know nothing of each other.
        world.start_at(number, &[number % 2]);
        world.run_for(50);
    }
    world.run_for(1_000);
    world.announce(4, NAME, 7);
    assert_eq!(world.lookup(3, NAME), []);
    let dht = world.nodes.get_mut(&host(0)).expect("it runs");
    dht.meet(at(world.now_ms), host(1));
    world.run_for(200_000);
    world.announce(4, NAME, 7);
    assert_eq!(world.lookup(3, NAME), [offered_by(4, 7)]);
}

/// A node, and what it sends to whom after a datagram.
fn reaction(dht: &mut Dht, now_ms: u64, from: SocketAddrV4, datagram: &[u8]) -> Vec<Vec<u8>> {
    dht.handle_datagram(at(now_ms), from, datagram);
    let outputs = core::iter::from_fn(|| dht.poll_output());
    let sent = outputs.filter_map(|output| match output {
        Output::Send { to, datagram } if to == from => Some(datagram),
        Output::Send { .. } => panic!("sent to somebody else"),
        _ => None,
    });
    sent.collect()
}

#[test]
fn no_address_gets_much_before_it_has_shown_that_it_receives() {
    let mut dht = Dht::new(DhtConfig::default(), &[9; 32], at(0));
    for port in 1..=400 {
        dht.peers.add(0, NAME, offered_by(7, port));
    }
    let victim = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 53);
    let question = OwnQuery::GetPeers(NAME).encode(7, &NodeId([3; 20]));
    let mut bytes = 0;
    for now_ms in 0..10_000 {
        for answer in reaction(&mut dht, now_ms, victim, &question) {
            assert!(answer.len() <= STRANGER_BYTES_MAX);
            bytes += answer.len();
        }
    }
    let asked = question.len() * 10_000;
    assert!(bytes < asked / 2, "{bytes} bytes for {asked}");

    let friend = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 2), 53);
    let token = dht.tokens.make(*friend.ip());
    let announce = OwnQuery::Announce {
        name: b"x",
        port: 7,
        token: &token,
    };
    reaction(&mut dht, 0, friend, &announce.encode(7, &NodeId([4; 20])));
    let answers = reaction(&mut dht, 0, friend, &question);
    assert!(answers[0].len() > 3_200, "all 400 addresses");
}

#[test]
fn nobody_is_sent_to_this_machine_by_others() {
    let (near, trap) = (host(2), SocketAddrV4::new(Ipv4Addr::LOCALHOST, 22));
    let mut dht = Dht::new(DhtConfig::default(), &[9; 32], at(0));
    let liar = NodeId([1; 20]);
    reaction(&mut dht, 0, host(1), &OwnQuery::Ping.encode(1, &liar));
    dht.start_lookup(at(0), NAME).expect("not overloaded");
    let question = core::iter::from_fn(|| dht.poll_output()).find_map(|output| match output {
        Output::Send { datagram, .. } => Some(datagram),
        _ => None,
    });
    let question = question.expect("the liar is asked");
    let transaction = crate::bencode::decode(&question).expect("bencode");
    let transaction = transaction.as_dictionary().expect("a dictionary")[&b"t"[..]].clone();
    let contacts = [trap, near].map(|address| Contact {
        id: NodeId([address.ip().octets()[3]; 20]),
        address,
    });
    let reply = crate::krpc::OwnReply {
        contacts: Some(contacts.to_vec()),
        peers: Some(alloc::vec![trap, near]),
        ..crate::krpc::OwnReply::default()
    };
    dht.handle_datagram(at(1), host(1), &reply.encode(Some(&transaction), &liar));
    let asked: Vec<SocketAddrV4> = core::iter::from_fn(|| dht.poll_output())
        .filter_map(|output| match output {
            Output::Send { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [near]);
    dht.tick(at(5_000));
    let mut outputs = core::iter::from_fn(|| dht.poll_output());
    let found = outputs.find_map(|output| match output {
        Output::Finished { outcome, .. } => Some(outcome),
        _ => None,
    });
    let Some(Outcome::Lookup(found)) = found else {
        panic!("the lookup ends: {found:?}");
    };
    assert_eq!(found.peers, [near]);
}

#[test]
fn strangers_name_no_address_that_only_this_machine_or_network_reaches() {
    let address = |text: &str| -> SocketAddrV4 { text.parse().expect("an address") };
    let [here, nearby, afar] = ["127.0.0.1:22", "192.168.0.1:22", "8.8.8.8:22"].map(address);
    for (teller, believed) in [
        (here, &[here, nearby, afar][..]),
        (nearby, &[nearby, afar]),
        (afar, &[afar]),
    ] {
        for told in [here, nearby, afar] {
            let expected = believed.contains(&told);
            assert_eq!(is_acceptable(told, teller), expected, "{told} by {teller}");
        }
    }
    assert!(!is_acceptable(address("8.8.8.8:0"), here));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hostile_datagrams_leave_it_alive_and_bounded(
        seed in any::<[u8; 32]>(),
        edits in prop::collection::vec((any::<u16>(), any::<u8>(), 0_u8..4), 100..400),
    ) {
        let mut dht = Dht::new(DhtConfig::default(), &seed, at(0));
        let own = NodeId([3; 20]);
        let token = dht.tokens.make(Ipv4Addr::LOCALHOST);
        let honest = [
            OwnQuery::Ping.encode(1, &own),
            OwnQuery::FindNode(own).encode(1, &own),
            OwnQuery::GetPeers(NAME).encode(1, &own),
            OwnQuery::Get(&seed[..20]).encode(1, &own),
            OwnQuery::Announce { name: NAME, port: 7, token: &token }.encode(1, &own),
            OwnQuery::Put { token: &token, value: b"1:x", mutable: None }.encode(1, &own),
        ];
        for (now_ms, (place, byte, kind)) in (0..).zip(edits) {
            let mut datagram = honest[usize::from(place) % honest.len()].clone();
            let at = usize::from(place) % datagram.len();
            match kind {
                0 => datagram[at] = byte,
                1 => datagram.truncate(at),
                2 => datagram.insert(at, byte),
                _ => {}
            }
            let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, place.max(1));
            let answers = reaction(&mut dht, now_ms, from, &datagram);
            prop_assert!(answers.len() <= 2, "an answer, and perhaps a sign of life is wanted");
        }
        prop_assert!(dht.nodes_count() <= 160 * 20);
        prop_assert!(dht.peers.len() <= 10_000 && dht.values.len() <= 5_000);
    }
}
