//! One machine and scripted peers: what it asks, answers, believes and dials.

use core::net::IpAddr;

use super::*;

const NOW: Now = Now {
    monotonic_ms: 1_000_000,
    unix_ms: 1_700_000_000_000,
};

fn after(milliseconds: u64) -> Now {
    Now {
        monotonic_ms: NOW.monotonic_ms + milliseconds,
        unix_ms: NOW.unix_ms + milliseconds,
    }
}

fn machine(limits: Limits) -> PeerExchange {
    let config = PeerExchangeConfig {
        limits,
        ..PeerExchangeConfig::default()
    };
    PeerExchange::new(NOW, config, 1)
}

fn outputs(machine: &mut PeerExchange) -> Vec<PeerExchangeOutput> {
    core::iter::from_fn(|| machine.poll_output()).collect()
}

fn dials(machine: &mut PeerExchange) -> Vec<PeerAddress> {
    let dial = |output| match output {
        PeerExchangeOutput::Dial(address) => Some(address),
        _ => None,
    };
    outputs(machine).into_iter().filter_map(dial).collect()
}

/// The node number `index` at `place`.
fn facts(index: usize, dialler: Dialler, place: &str) -> LinkFacts {
    let place = address(place);
    LinkFacts {
        node: key(index),
        dialler,
        remote: Some(place.socket().ip()),
        place: Some(place),
    }
}

/// The question that went to a link.
fn asked(machine: &mut PeerExchange, of: LinkId) -> Option<u64> {
    let mut asks = outputs(machine).into_iter().filter_map(|it| match it {
        PeerExchangeOutput::Ask { link, ask } if link == of => Some(ask.request),
        _ => None,
    });
    asks.next_back()
}

fn told(request: u64, addresses: &[&str]) -> Peers {
    let entry = |text: &&str| PeerEntry {
        address: address(text),
        node: None,
        age_s: 0,
    };
    Peers {
        request,
        peers: addresses.iter().map(entry).collect(),
        links: Vec::new(),
    }
}

#[test]
fn a_machine_dials_up_to_its_target_and_no_more() {
    let mut machine = machine(limits(3, 5));
    let many: Vec<_> = (0..20).map(public).collect();
    machine.handle_found(NOW, Teller::Dht, &many);
    let first = dials(&mut machine);
    assert_eq!(first.len(), 3);
    machine.handle_timeout(NOW);
    assert_eq!(dials(&mut machine), [], "they are under way");
    let advice = machine.handle_dialled(NOW, first[0], DialResult::Failed);
    assert_eq!(advice, Advice::Over, "it never worked");
    let next = dials(&mut machine);
    assert_eq!(next.len(), 1);
    assert!(!first.contains(&next[0]));
}

#[test]
fn it_dials_its_own_share_however_many_come_in() {
    let mut machine = machine(limits(4, 20));
    for index in 0..10 {
        let place = alloc::format!("9.{index}.0.1:1");
        machine.handle_link_up(
            NOW,
            LinkId(index),
            facts(index as usize, Dialler::Peer, &place),
        );
    }
    assert_eq!(dials(&mut machine), [], "all of these are linked");
    let many: Vec<_> = (0..20).map(public).collect();
    machine.handle_found(NOW, Teller::Dht, &many);
    assert_eq!(dials(&mut machine).len(), 2);
}

#[test]
fn those_who_come_in_never_get_all_places() {
    let limits = limits(4, 10);
    let present = |dialler, last| Present {
        dialler,
        remote: IpAddr::from([9, 9, 9, last]),
    };
    let inbound: Vec<_> = (0..8).map(|last| present(Dialler::Peer, last)).collect();
    let judge = |count: usize, dialler| {
        let present_ones = inbound[..count].iter().copied();
        limits.admit(present_ones, present(dialler, 99)).is_ok()
    };
    assert!(judge(7, Dialler::Peer));
    assert!(!judge(8, Dialler::Peer), "two places are for own dials");
    assert!(judge(8, Dialler::Local));
    let all: Vec<_> = (0..10).map(|last| present(Dialler::Local, last)).collect();
    let refused = limits.admit(all.into_iter(), present(Dialler::Local, 99));
    assert_eq!(refused.expect_err("full").code, GoodbyeCode::Full);
}

#[test]
fn one_address_gets_a_few_places() {
    let limits = Limits {
        inbound_per_address_max: 2,
        ..limits(4, 50)
    };
    let from = |text: &str| Present {
        dialler: Dialler::Peer,
        remote: text.parse().expect("an address"),
    };
    let present = [from("9.9.9.9"), from("::ffff:9.9.9.9"), from("9.9.9.8")];
    let judge = |text| limits.admit(present.into_iter(), from(text));
    let refused = judge("9.9.9.9").expect_err("two are there");
    assert!(refused.reason.contains("IP address"), "{}", refused.reason);
    assert_eq!(judge("9.9.9.8"), Ok(()));
    let own = Present {
        dialler: Dialler::Local,
        ..from("9.9.9.9")
    };
    assert_eq!(limits.admit(present.into_iter(), own), Ok(()));
}

#[test]
fn a_peer_is_asked_at_once_then_seldom_and_often_while_links_are_missing() {
    let mut machine = machine(limits(3, 5));
    let link = LinkId(1);
    machine.handle_link_up(NOW, link, facts(1, Dialler::Local, "9.1.0.1:1"));
    let first = asked(&mut machine, link).expect("asked at once");
    assert_eq!(
        machine.handle_peers(NOW, link, told(first, &[])),
        Conduct::Fine
    );
    let due_ms = machine.next_deadline_ms().expect("links are missing");
    assert_eq!(due_ms, NOW.monotonic_ms + 2_000, "in a hurry");
    machine.handle_timeout(after(2_000));
    let second = asked(&mut machine, link).expect("asked again");
    assert!(second > first);
    machine.handle_found(after(2_000), Teller::Dht, &[public(1), public(2)]);
    for index in [2, 3] {
        let facts = facts(index, Dialler::Local, &alloc::format!("9.{index}.0.1:1"));
        machine.handle_link_up(after(2_000), LinkId(index as u64), facts);
    }
    machine.handle_timeout(after(5_000));
    outputs(&mut machine);
    machine.handle_timeout(after(20_000));
    assert_eq!(outputs(&mut machine), [], "links are there");
    machine.handle_timeout(after(100_000));
    assert!(asked(&mut machine, link).is_some(), "once a minute or so");
}

#[test]
fn an_answer_counts_if_it_was_asked_for_and_once() {
    let mut machine = machine(limits(3, 5));
    let link = LinkId(1);
    machine.handle_link_up(NOW, link, facts(1, Dialler::Local, "9.1.0.1:1"));
    let request = asked(&mut machine, link).expect("asked");
    let unasked = told(request + 7, &["8.8.8.8:1"]);
    assert_eq!(machine.handle_peers(NOW, link, unasked), Conduct::TooOften);
    assert!(machine.book().get(address("8.8.8.8:1")).is_none());
    let answer = told(request, &["8.8.4.4:1"]);
    assert_eq!(
        machine.handle_peers(NOW, link, answer.clone()),
        Conduct::Fine
    );
    assert!(machine.book().get(address("8.8.4.4:1")).is_some());
    assert_eq!(machine.handle_peers(NOW, link, answer), Conduct::TooOften);
    let farewell = told(0, &["8.8.8.8:1"]);
    assert_eq!(
        machine.handle_peers(NOW, link, farewell.clone()),
        Conduct::Fine
    );
    assert!(machine.book().get(address("8.8.8.8:1")).is_some());
    assert_eq!(machine.handle_peers(NOW, link, farewell), Conduct::TooOften);
}

#[test]
fn what_a_public_peer_says_of_private_places_is_not_believed() {
    let all = ["10.0.0.1:1", "127.0.0.1:1", "8.8.8.8:1", "224.0.0.1:1"];
    let learned = |place: &str| {
        let mut machine = machine(limits(3, 5));
        machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Local, place));
        let request = asked(&mut machine, LinkId(1)).expect("asked");
        machine.handle_peers(NOW, LinkId(1), told(request, &all));
        let told = all.iter().filter(|it| {
            let known = machine.book().get(address(it));
            known.is_some()
        });
        told.count()
    };
    assert_eq!(learned("9.9.9.9:1"), 1);
    assert_eq!(learned("10.0.0.9:1"), 2);
    assert_eq!(learned("127.0.0.1:9"), 3);
}

/// Asks a machine so many questions at a time; how each was taken, and how many were answered.
fn ask(machine: &mut PeerExchange, at_ms: u64, count: u64) -> (Vec<Conduct>, usize) {
    let ask = |request| GetPeers {
        request,
        peers_max: 10,
    };
    let asked = (1..=count).map(|it| machine.handle_ask(after(at_ms), LinkId(1), ask(it)));
    let conduct = asked.collect();
    (conduct, outputs(machine).len())
}

#[test]
fn questions_that_come_together_are_answered_once_and_too_many_are_a_nuisance() {
    let mut machine = machine(limits(3, 5));
    machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Peer, "9.1.0.1:1"));
    outputs(&mut machine);
    let mut expected = vec![Conduct::Fine; 32];
    assert_eq!(ask(&mut machine, 0, 32), (expected.clone(), 1));
    assert_eq!(ask(&mut machine, 999, 1), (vec![Conduct::TooOften], 0));
    assert_eq!(ask(&mut machine, 1_000, 1), (vec![Conduct::Fine], 1));
    expected.push(Conduct::TooOften);
    assert_eq!(ask(&mut machine, 60_000, 33), (expected, 1));
}

#[test]
fn an_answer_that_comes_after_the_next_question_counts() {
    let mut machine = machine(limits(3, 5));
    let link = LinkId(1);
    machine.handle_link_up(NOW, link, facts(1, Dialler::Local, "9.1.0.1:1"));
    let first = asked(&mut machine, link).expect("asked");
    let mut at_ms = 0;
    for _ in 0..ASKED_MAX {
        at_ms += 2_000;
        machine.handle_timeout(after(at_ms));
        asked(&mut machine, link).expect("asked again, in a hurry");
    }
    let conduct = |machine: &mut PeerExchange, request| {
        machine.handle_peers(after(at_ms), link, told(request, &["8.8.8.8:1"]))
    };
    assert_eq!(conduct(&mut machine, first), Conduct::TooOften, "forgotten");
    assert_eq!(conduct(&mut machine, first + 1), Conduct::Fine);
    assert_eq!(conduct(&mut machine, first + 1), Conduct::TooOften);
    assert_eq!(conduct(&mut machine, first + 2), Conduct::Fine);
}

#[test]
fn hearsay_goes_one_hop_and_old_friends_are_forgotten() {
    let mut machine = machine(limits(1, 5));
    machine.handle_found(NOW, Teller::Dht, &[public(1)]);
    machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Local, "9.1.0.1:1"));
    machine.handle_link_up(NOW, LinkId(2), facts(2, Dialler::Peer, "9.2.0.1:1"));
    machine.handle_link_down(NOW, LinkId(2));
    let asker = facts(3, Dialler::Peer, "9.3.0.1:1");
    let mut places = |now| {
        let farewell = machine.farewell(now, asker).expect("exchange is on");
        assert_eq!(farewell.request, 0);
        assert_eq!(farewell.links, [key(1)]);
        let mut peers: Vec<_> = farewell
            .peers
            .iter()
            .map(|it| (it.address, it.age_s))
            .collect();
        peers.sort_unstable();
        peers
    };
    let [first, second] = [address("9.1.0.1:1"), address("9.2.0.1:1")];
    assert_eq!(places(NOW), [(first, 0), (second, 0)]);
    assert_eq!(places(after(5_000)), [(first, 0), (second, 5)]);
    assert_eq!(places(after(8 * 24 * 3_600_000)), [(first, 0)]);
}

#[test]
fn an_answer_is_as_long_as_it_was_asked_to_be() {
    let mut machine = machine(limits(1, 200));
    for index in 0..100 {
        let place = public(index);
        let facts = facts(index, Dialler::Peer, &alloc::format!("{place}"));
        machine.handle_link_up(NOW, LinkId(index as u64), facts);
    }
    outputs(&mut machine);
    for (index, (peers_max, expected)) in [(0, 0), (5, 5), (u64::MAX, PEERS_MAX)]
        .into_iter()
        .enumerate()
    {
        let ask = GetPeers {
            request: 9,
            peers_max,
        };
        machine.handle_ask(NOW, LinkId(index as u64), ask);
        let answers = outputs(&mut machine);
        let [PeerExchangeOutput::Answer { peers, .. }] = answers.as_slice() else {
            panic!("one answer, not {answers:?}");
        };
        assert_eq!(peers.peers.len(), expected);
        assert_eq!(peers.links.len(), 100);
    }
}

#[test]
fn who_is_switched_off_neither_asks_nor_answers_but_dials() {
    let config = PeerExchangeConfig {
        exchange: Exchanging::Off,
        limits: limits(3, 5),
        ..PeerExchangeConfig::default()
    };
    let mut machine = PeerExchange::new(NOW, config, 1);
    let link = LinkId(1);
    machine.handle_link_up(NOW, link, facts(1, Dialler::Local, "9.1.0.1:1"));
    let ask = GetPeers {
        request: 1,
        peers_max: 9,
    };
    assert_eq!(machine.handle_ask(NOW, link, ask), Conduct::Fine);
    machine.handle_peers(NOW, link, told(0, &["8.8.8.8:1"]));
    assert_eq!(outputs(&mut machine), []);
    assert_eq!(
        machine.farewell(NOW, facts(2, Dialler::Peer, "9.2.0.1:1")),
        None
    );
    assert!(machine.book().get(address("8.8.8.8:1")).is_none());
    machine.handle_found(NOW, Teller::Local, &[address("10.0.0.1:1")]);
    assert_eq!(dials(&mut machine), [address("10.0.0.1:1")]);
}

#[test]
fn what_worked_before_is_tried_three_times_what_is_only_told_once() {
    let mut machine = machine(limits(1, 5));
    let place = address("9.1.0.1:1");
    machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Local, "9.1.0.1:1"));
    machine.handle_link_down(NOW, LinkId(1));
    assert_eq!(machine.advice(NOW, Target::Learned(place)), Advice::Go);
    let fail = |machine: &mut PeerExchange| machine.handle_dialled(NOW, place, DialResult::Failed);
    assert_eq!(fail(&mut machine), Advice::Go);
    assert_eq!(fail(&mut machine), Advice::Go);
    assert_eq!(fail(&mut machine), Advice::Over);
    outputs(&mut machine);
    machine.handle_timeout(after(10_000));
    assert_eq!(
        dials(&mut machine),
        [place],
        "it has rested, and nobody else is known"
    );
}

#[test]
fn advice_follows_what_is_needed() {
    let mut machine = machine(limits(2, 5));
    let place = public(1);
    assert_eq!(machine.advice(NOW, Target::Operator), Advice::Go);
    machine.handle_found(NOW, Teller::Dht, &[place]);
    assert_eq!(machine.advice(NOW, Target::Learned(place)), Advice::Go);
    for index in 5..7 {
        let facts = facts(index, Dialler::Local, &alloc::format!("9.{index}.0.1:1"));
        machine.handle_link_up(NOW, LinkId(index as u64), facts);
    }
    let wait = Advice::Wait { retry_in_ms: 2_000 };
    assert_eq!(machine.advice(NOW, Target::Operator), wait);
    let other = Target::Learned(public(2));
    assert_eq!(machine.advice(NOW, other), Advice::Over);
    let linked = Target::Learned(address("9.5.0.1:1"));
    assert_eq!(machine.advice(NOW, linked), Advice::Over);
    machine.handle_dialled(NOW, place, DialResult::Own);
    machine.handle_link_down(NOW, LinkId(5));
    let own = Target::Learned(place);
    assert_eq!(machine.advice(NOW, own), Advice::Over, "it is this node");
}

#[test]
fn a_node_without_a_target_dials_those_that_are_named_and_nobody_else() {
    let mut machine = machine(limits(0, 5));
    machine.handle_found(NOW, Teller::Dht, &[public(1)]);
    assert_eq!(dials(&mut machine), []);
    assert_eq!(machine.advice(NOW, Target::Operator), Advice::Go);
    let learned = Target::Learned(public(1));
    assert_eq!(machine.advice(NOW, learned), Advice::Over);
}

#[test]
fn what_the_operator_named_is_dialled_by_its_own_child() {
    let mut machine = machine(limits(2, 5));
    machine.handle_found(NOW, Teller::Operator, &[public(1)]);
    machine.handle_found(NOW, Teller::Dht, &[public(1), public(2)]);
    assert_eq!(dials(&mut machine), [public(2)]);
}

#[test]
fn who_is_not_wanted_is_left_in_peace_for_long() {
    let mut machine = machine(limits(1, 5));
    machine.handle_found(NOW, Teller::Dht, &[public(1)]);
    assert_eq!(dials(&mut machine), [public(1)]);
    machine.handle_dialled(NOW, public(1), DialResult::Unwanted);
    machine.handle_timeout(after(599_999));
    assert_eq!(dials(&mut machine), []);
    machine.handle_timeout(after(600_000));
    assert_eq!(dials(&mut machine), [public(1)]);
}

#[test]
fn a_dial_without_result_is_forgotten() {
    let mut machine = machine(limits(1, 5));
    machine.handle_found(NOW, Teller::Dht, &[public(1)]);
    assert_eq!(dials(&mut machine).len(), 1);
    machine.handle_timeout(after(119_999));
    assert_eq!(machine.dialling_len(), 1);
    assert!(machine.next_deadline_ms() <= Some(after(120_000).monotonic_ms));
    machine.handle_timeout(after(120_000));
    assert_eq!(dials(&mut machine).len(), 1, "and begun anew");
}

#[test]
fn a_claimed_key_rules_nobody_out() {
    let mut machine = machine(limits(2, 5));
    machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Local, "9.1.0.1:1"));
    let request = asked(&mut machine, LinkId(1)).expect("asked");
    let mut lie = told(request, &["8.8.8.8:1"]);
    lie.peers[0].node = Some(key(1));
    machine.handle_peers(NOW, LinkId(1), lie);
    assert_eq!(dials(&mut machine), [address("8.8.8.8:1")]);
}

#[test]
fn a_picture_of_the_network_comes_from_what_peers_tell() {
    let mut machine = machine(limits(2, 5));
    machine.handle_link_up(NOW, LinkId(1), facts(1, Dialler::Local, "9.1.0.1:1"));
    let request = asked(&mut machine, LinkId(1)).expect("asked");
    let peers = Peers {
        links: vec![key(0), key(7)],
        ..told(request, &[])
    };
    machine.handle_peers(NOW, LinkId(1), peers);
    let topology = machine.topology(key(0));
    assert_eq!(topology[&key(0)], BTreeSet::from([key(1)]));
    assert_eq!(topology[&key(1)], BTreeSet::from([key(0), key(7)]));
    machine.handle_link_down(NOW, LinkId(1));
    assert!(machine.topology(key(0)).is_empty());
}
