//! Tests of trees: what prunes, what grafts, and what a silent link gets for it.

use alloc::vec;

use super::super::tests::{
    CONFIG, announced, arriving, author_of, id, link, node, operation, outputs, sent, told,
};
use super::*;
use crate::gossip::Arrival;
use crate::types::{AuthorKey, Source, at};

/// The beginning of the author of this operation.
fn author(number: u8) -> Prefix {
    Prefix::of(&author_of(number).0)
}

fn prefix(number: u8) -> Prefix {
    Prefix::of(&id(number).0)
}

fn announce(numbers: &[u8], hops: u8) -> Announce {
    Announce {
        ids: numbers.iter().map(|number| prefix(*number)).collect(),
        hops: vec![hops; numbers.len()],
    }
}

/// The links to which frames of one kind went, with what they say.
fn prunes(outputs: &[GossipOutput]) -> Vec<(u64, Vec<Prefix>)> {
    let frames = outputs.iter().filter_map(|output| match output {
        GossipOutput::Send {
            link,
            frame: Frame::Prune(prune),
            ..
        } => Some((link.0, prune.authors.clone())),
        _ => None,
    });
    frames.collect()
}

fn grafts(outputs: &[GossipOutput]) -> Vec<(u64, Graft)> {
    let frames = outputs.iter().filter_map(|output| match output {
        GossipOutput::Send {
            link,
            frame: Frame::Graft(graft),
            ..
        } => Some((link.0, graft.clone())),
        _ => None,
    });
    frames.collect()
}

fn graft_of(authors: &[u8], ids: &[u8]) -> Graft {
    Graft {
        authors: authors.iter().map(|number| author(*number)).collect(),
        ids: ids.iter().map(|number| prefix(*number)).collect(),
    }
}

/// An operation comes over a link, is applied, and goes on its way.
fn pass(gossip: &mut Gossip, now_ms: u64, from: u64, number: u8, hops: u8) {
    let arrival = gossip.handle_operation(at(now_ms), link(from), arriving(number, hops));
    assert_eq!(arrival, Arrival::New, "{number}");
    let source = Some(Source::push(link(from)));
    gossip.handle_applied(at(now_ms), [operation(number)], source);
    gossip.handle_timeout(at(now_ms));
}

/// What goes out when announcements and prunes are due.
fn later(gossip: &mut Gossip, now_ms: u64) -> Vec<GossipOutput> {
    gossip.handle_timeout(at(now_ms + CONFIG.lazy_ms));
    outputs(gossip)
}

#[test]
fn the_link_that_brings_a_copy_is_pruned_and_the_first_stays() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    assert_eq!(sent(&outputs(&mut gossip)), [(2, vec![4]), (3, vec![4])]);
    gossip.handle_operation(at(1), link(2), arriving(4, 2));
    gossip.handle_operation(at(1), link(2), arriving(4, 2));
    gossip.handle_operation(at(1), link(1), arriving(4, 2));
    assert_eq!(prunes(&later(&mut gossip, 1)), [(2, vec![author(4)])]);
}

#[test]
fn a_tree_is_shown_as_it_is_used() {
    let mut gossip = node(3);
    assert_eq!(gossip.trees().count(), 0, "nobody has written");
    pass(&mut gossip, 0, 1, 4, 2);
    gossip.handle_prune(
        link(3),
        &Prune {
            authors: vec![author(4)],
        },
    );
    let seen: Vec<_> = gossip.trees().collect();
    let [tree] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((tree.author, tree.parent), (author(4), Some(link(1))));
    assert_eq!(
        (&tree.eager[..], &tree.lazy[..]),
        (&[link(2)][..], &[link(3)][..])
    );
    gossip.handle_link_down(link(1));
    let tree = gossip.trees().next().expect("its author is still known");
    assert_eq!((tree.parent, tree.eager), (None, vec![link(2)]));
}

#[test]
fn a_link_with_fewer_hops_takes_the_place_of_the_first_unless_it_is_late() {
    for (at_ms, pruned) in [(30, 1), (31, 2)] {
        let mut gossip = node(2);
        pass(&mut gossip, 0, 1, 4, 3);
        gossip.handle_operation(at(at_ms), link(2), arriving(4, 2));
        let made = later(&mut gossip, at_ms);
        assert_eq!(prunes(&made), [(pruned, vec![author(4)])], "at {at_ms}");
    }
}

#[test]
fn a_parent_that_loses_a_race_keeps_its_place_and_the_winner_is_pruned() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    later(&mut gossip, 0);
    pass(&mut gossip, 1_000, 2, 8, 2);
    gossip.handle_operation(at(1_100), link(1), arriving(8, 2));
    assert_eq!(prunes(&later(&mut gossip, 1_100)), [(2, vec![author(8)])]);
    pass(&mut gossip, 2_000, 2, 12, 1);
    gossip.handle_operation(at(2_100), link(1), arriving(12, 2));
    let made = prunes(&later(&mut gossip, 2_100));
    assert_eq!(made, [(1, vec![author(12)])], "it is longer too");
}

#[test]
fn copies_that_came_while_it_was_checked_prune_once_it_is_applied_and_not_before() {
    let mut gossip = node(3);
    gossip.handle_operation(at(0), link(1), arriving(4, 3));
    gossip.handle_operation(at(1), link(2), arriving(4, 2));
    gossip.handle_operation(at(1), link(3), arriving(4, 4));
    assert!(later(&mut gossip, 1).is_empty(), "it may be forged");
    gossip.handle_applied(at(30), [operation(4)], Some(Source::push(link(1))));
    let made = later(&mut gossip, 30);
    let both = [(1, vec![author(4)]), (3, vec![author(4)])];
    assert_eq!(prunes(&made), both, "the one with fewest hops stays");
}

#[test]
fn what_is_refused_prunes_nobody() {
    let mut gossip = node(2);
    gossip.handle_operation(at(0), link(1), arriving(4, 1));
    gossip.handle_operation(at(0), link(2), arriving(4, 1));
    gossip.handle_not_applied(&[id(4)], Some(link(1)));
    assert_eq!(prunes(&later(&mut gossip, 0)), []);
}

#[test]
fn a_copy_of_an_own_operation_is_always_one_too_many() {
    let mut gossip = node(2);
    gossip.handle_applied(at(0), [operation(4)], None);
    gossip.handle_timeout(at(0));
    gossip.handle_operation(at(1), link(2), arriving(4, 0));
    assert_eq!(prunes(&later(&mut gossip, 1)), [(2, vec![author(4)])]);
}

#[test]
fn of_an_operation_that_was_pulled_the_first_copy_is_no_copy() {
    let mut gossip = node(3);
    gossip.handle_pulled(at(0), link(1), &[id(4)]);
    gossip.handle_applied(at(0), [operation(4)], Some(Source::sync(link(1))));
    gossip.handle_applied(at(0), [operation(8)], None);
    gossip.handle_operation(at(1), link(2), arriving(4, 5));
    assert_eq!(prunes(&later(&mut gossip, 1)), []);
    gossip.handle_operation(at(2), link(3), arriving(4, 5));
    assert_eq!(prunes(&later(&mut gossip, 2)), [(3, vec![author(4)])]);
}

#[test]
fn who_pruned_an_author_is_told_what_he_writes_and_not_sent_it() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    let authors = vec![author(4)];
    gossip.handle_prune(link(2), &Prune { authors });
    later(&mut gossip, 0);
    pass(&mut gossip, 100, 1, 8, 2);
    assert_eq!(sent(&outputs(&mut gossip)), [(3, vec![8])]);
    let made = later(&mut gossip, 100);
    assert_eq!(announced(&made), [(2, announce(&[8], 3))]);
    pass(&mut gossip, 200, 1, 5, 2);
    let made = outputs(&mut gossip);
    assert_eq!(sent(&made), [(2, vec![5]), (3, vec![5])], "another author");
}

#[test]
fn nothing_is_announced_to_who_has_it_by_then() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    for other in [2, 3] {
        let authors = vec![author(4)];
        gossip.handle_prune(link(other), &Prune { authors });
    }
    pass(&mut gossip, 100, 1, 8, 2);
    gossip.handle_announce(at(101), link(2), &announce(&[8], 9));
    let made = later(&mut gossip, 100);
    assert_eq!(announced(&made), [(3, announce(&[8], 3))]);
}

#[test]
fn what_is_announced_and_does_not_come_is_asked_for_and_its_author_pushed_again() {
    let mut gossip = node(3);
    gossip.handle_announce(at(0), link(2), &announce(&[4], 2));
    gossip.handle_announce(at(0), link(3), &announce(&[4], 1));
    gossip.handle_timeout(at(99));
    assert!(outputs(&mut gossip).is_empty());
    gossip.handle_timeout(at(100));
    assert_eq!(grafts(&outputs(&mut gossip)), [(3, graft_of(&[], &[4]))]);
    pass(&mut gossip, 150, 3, 4, 1);
    gossip.handle_timeout(at(1_000));
    assert_eq!(grafts(&outputs(&mut gossip)), []);
    assert_eq!(gossip.recent_and_missing_len(), (1, 0));
}

#[test]
fn what_others_lean_on_is_asked_of_who_pushed_them_unless_it_comes_by_then() {
    let stems = |numbers: &[u8]| numbers.iter().map(|it| id(*it).stem()).collect::<Vec<_>>();
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 1);
    outputs(&mut gossip);
    gossip.handle_lacking(at(0), link(2), &stems(&[4, 5, 6]));
    gossip.handle_lacking(at(0), link(9), &stems(&[7]));
    pass(&mut gossip, 20, 1, 5, 1);
    gossip.handle_timeout(at(29));
    assert_eq!(grafts(&outputs(&mut gossip)), []);
    gossip.handle_timeout(at(30));
    assert_eq!(grafts(&outputs(&mut gossip)), [(2, graft_of(&[], &[6]))]);
    assert_eq!(gossip.recent_and_missing_len().1, 1);
}

#[test]
fn what_was_announced_is_asked_for_sooner_when_others_lean_on_it_and_of_who_announced_it() {
    let mut gossip = node(3);
    gossip.handle_announce(at(0), link(3), &announce(&[4], 2));
    gossip.handle_lacking(at(10), link(2), &[id(4).stem()]);
    gossip.handle_timeout(at(39));
    assert_eq!(grafts(&outputs(&mut gossip)), []);
    gossip.handle_timeout(at(40));
    assert_eq!(grafts(&outputs(&mut gossip)), [(3, graft_of(&[], &[4]))]);
    // It was asked for: what comes now changes nothing about that.
    gossip.handle_lacking(at(50), link(2), &[id(4).stem()]);
    gossip.handle_timeout(at(139));
    assert_eq!(grafts(&outputs(&mut gossip)), []);
    gossip.handle_timeout(at(140));
    assert_eq!(grafts(&outputs(&mut gossip)), [(2, graft_of(&[], &[4]))]);
}

#[test]
fn who_announces_and_does_not_serve_is_asked_last_then_not_heard() {
    let mut gossip = node(3);
    for round in 0..u64::from(FAULTS_MAX) {
        let now_ms = round * 1_000;
        let number = round as u8;
        gossip.handle_announce(at(now_ms), link(2), &announce(&[number], 1));
        gossip.handle_announce(at(now_ms), link(3), &announce(&[number], 2));
        gossip.handle_timeout(at(now_ms + 100));
        // He promised fewer hops and is believed once.
        let first = if round == 0 { 2 } else { 3 };
        let asked = grafts(&outputs(&mut gossip));
        assert_eq!(asked, [(first, graft_of(&[], &[number]))], "round {round}");
        gossip.handle_timeout(at(now_ms + 200));
        outputs(&mut gossip);
        if round > 0 {
            // The other one serves, just too late.
            pass(&mut gossip, now_ms + 201, 3, number, 2);
        } else {
            pass(&mut gossip, now_ms + 150, 3, number, 2);
        }
        gossip.handle_timeout(at(now_ms + 900));
        outputs(&mut gossip);
    }
    let faults = |gossip: &Gossip, number| gossip.links[&link(number)].faults();
    assert!(faults(&gossip, 2) > faults(&gossip, 3));
}

#[test]
fn a_link_in_disgrace_opens_no_entry_until_it_delivers() {
    let mut gossip = node(2);
    let state = gossip.links.get_mut(&link(1)).expect("it is up");
    (0..FAULTS_MAX).for_each(|_| state.note_fault());
    gossip.handle_announce(at(0), link(1), &announce(&[4], 1));
    assert_eq!(gossip.recent_and_missing_len().1, 0);
    pass(&mut gossip, 1, 1, 5, 1);
    gossip.handle_announce(at(2), link(1), &announce(&[8], 1));
    assert_eq!(gossip.recent_and_missing_len().1, 1);
}

#[test]
fn when_nobody_serves_it_is_synchronised() {
    let mut gossip = node(2);
    gossip.handle_announce(at(0), link(1), &announce(&[4], 1));
    gossip.handle_announce(at(0), link(2), &announce(&[4], 1));
    for now_ms in [100, 200] {
        gossip.handle_timeout(at(now_ms));
        assert_eq!(grafts(&outputs(&mut gossip)).len(), 1, "at {now_ms}");
    }
    gossip.handle_timeout(at(300));
    let last = GossipOutput::StartSync { link: link(2) };
    assert_eq!(outputs(&mut gossip), [last]);
    assert_eq!(gossip.recent_and_missing_len().1, 0);
}

#[test]
fn the_silent_parent_is_at_fault_when_an_operation_had_to_be_asked_for() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    gossip.handle_announce(at(1_000), link(2), &announce(&[8], 2));
    gossip.handle_timeout(at(1_100));
    pass(&mut gossip, 1_150, 2, 8, 2);
    assert_eq!(gossip.links[&link(1)].faults(), 1);
    let tree = gossip.trees.get_mut(author(8)).copied().expect("he wrote");
    assert_eq!((tree.parent, tree.stand_in), (Some(1), Some(0)));
}

#[test]
fn a_graft_is_served_in_the_order_of_application_and_makes_the_link_eager() {
    let mut gossip = node(3);
    for (now_ms, number) in [(0, 12), (10, 8), (20, 4)] {
        pass(&mut gossip, now_ms, 1, number, 2);
    }
    let authors = vec![author(4)];
    gossip.handle_prune(link(2), &Prune { authors });
    outputs(&mut gossip);
    gossip.handle_graft(at(30), link(2), &graft_of(&[], &[4, 8, 12]));
    assert_eq!(sent(&outputs(&mut gossip)), [(2, vec![12, 8, 4])]);
    pass(&mut gossip, 40, 1, 16, 2);
    let to: Vec<u64> = sent(&outputs(&mut gossip)).iter().map(|it| it.0).collect();
    assert_eq!(to, [2, 3]);
}

#[test]
fn who_asks_twice_for_one_operation_gets_it_once() {
    let mut gossip = node(2);
    pass(&mut gossip, 0, 1, 4, 1);
    outputs(&mut gossip);
    gossip.handle_graft(at(1), link(1), &graft_of(&[], &[4, 4, 4]));
    assert_eq!(sent(&outputs(&mut gossip)), [(1, vec![4])]);
}

#[test]
fn who_asks_for_what_is_gone_is_told_to_synchronise() {
    let mut gossip = node(2);
    gossip.handle_graft(at(0), link(2), &graft_of(&[], &[4, 8]));
    let made = outputs(&mut gossip);
    assert_eq!((told(&made), sent(&made)), (vec![(2, 2)], vec![]));
}

#[test]
fn an_announcement_with_fewer_hops_changes_the_parent_at_once() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 5);
    outputs(&mut gossip);
    gossip.handle_announce(at(40), link(2), &announce(&[4], 5));
    assert_eq!(grafts(&outputs(&mut gossip)), [], "no better");
    gossip.handle_announce(at(40), link(2), &announce(&[4], 4));
    let made = outputs(&mut gossip);
    assert_eq!(grafts(&made), [(2, graft_of(&[4], &[]))]);
    assert_eq!(prunes(&later(&mut gossip, 40)), [(1, vec![author(4)])]);
    gossip.handle_announce(at(90), link(3), &announce(&[4], 4));
    assert_eq!(grafts(&outputs(&mut gossip)), [], "no better than that");
}

#[test]
fn a_link_that_was_silent_is_not_chosen_for_its_hops() {
    let mut gossip = node(3);
    let state = gossip.links.get_mut(&link(2)).expect("it is up");
    state.note_fault();
    pass(&mut gossip, 0, 1, 4, 5);
    outputs(&mut gossip);
    gossip.handle_announce(at(40), link(2), &announce(&[4], 1));
    assert_eq!(grafts(&outputs(&mut gossip)), []);
}

#[test]
fn when_the_parent_goes_down_another_that_had_the_last_operation_is_grafted() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    gossip.handle_operation(at(1), link(2), arriving(4, 2));
    assert_eq!(prunes(&later(&mut gossip, 1)), [(2, vec![author(4)])]);
    gossip.handle_link_down(link(1));
    assert_eq!(grafts(&outputs(&mut gossip)), [(2, graft_of(&[4], &[]))]);
}

#[test]
fn a_new_link_with_the_slot_of_one_that_was_pruned_is_eager() {
    let mut gossip = node(3);
    pass(&mut gossip, 0, 1, 4, 2);
    let authors = vec![author(4)];
    gossip.handle_prune(link(2), &Prune { authors });
    gossip.handle_link_down(link(2));
    gossip.handle_link_up(link(7), AuthorKey([3; 32]));
    outputs(&mut gossip);
    pass(&mut gossip, 10, 1, 8, 2);
    assert_eq!(sent(&outputs(&mut gossip)), [(3, vec![8]), (7, vec![8])]);
}

#[test]
fn a_full_link_misses_announcements_first() {
    let mut gossip = node(2);
    pass(&mut gossip, 0, 1, 4, 2);
    let authors = vec![author(4)];
    gossip.handle_prune(link(2), &Prune { authors });
    let state = gossip.links.get_mut(&link(2)).expect("it is up");
    state.full_since_ms = Some(0);
    state.outbox_bytes = CONFIG.outbox_max_bytes;
    pass(&mut gossip, 10, 1, 8, 2);
    let made = later(&mut gossip, 10);
    assert_eq!(announced(&made), []);
    assert_eq!(gossip.behind(link(2)), 1);
}

#[test]
fn links_beyond_the_slots_are_flooded() {
    let mut gossip = node(u64::from(super::super::SLOTS_MAX) + 1);
    let last = u64::from(super::super::SLOTS_MAX) + 1;
    pass(&mut gossip, 0, 1, 4, 2);
    let authors = vec![author(4)];
    gossip.handle_prune(link(last), &Prune { authors });
    outputs(&mut gossip);
    pass(&mut gossip, 100, last, 8, 2);
    let to: Vec<u64> = sent(&outputs(&mut gossip)).iter().map(|it| it.0).collect();
    assert!(to.contains(&last), "it has no place in a set of links");
}
