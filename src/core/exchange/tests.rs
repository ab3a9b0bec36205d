//! When a node may write, and when it wants to be called.

use super::*;
use crate::genesis::tests::test_genesis;
use crate::matching::Book;
use crate::op::tests::sign_sample;
use crate::types::{OrderId, Source};
use crate::wire::{Head, WantEntry};

fn at(unix_ms: u64) -> Now {
    Now {
        monotonic_ms: unix_ms,
        unix_ms,
    }
}

/// A node that has applied an operation of another author dated `ahead_ms` ahead of its clock.
fn node_behind_by(ahead_ms: u64) -> Exchange<Book> {
    let genesis = test_genesis();
    let mut other = Exchange::new(genesis.clone(), SigningKey::from([2; 32]), Book::new);
    other
        .submit(at(100_000 + ahead_ms), Vec::new())
        .expect("written");
    let operation = other.unwritten.pop_front().expect("one operation").1;
    let mut node = Exchange::new(genesis, SigningKey::from([1; 32]), Book::new);
    let source = Source::push(LinkId(1));
    node.receive(at(100_000 + ahead_ms), source, alloc::vec![operation]);
    node
}

#[test]
fn a_clock_that_is_a_little_behind_delays_writing_and_one_far_behind_forbids_it() {
    let mut level = node_behind_by(AHEAD_MS - 1);
    assert!(level.submit(at(100_000), Vec::new()).is_ok());
    let mut behind = node_behind_by(AHEAD_MS + 300);
    assert_eq!(behind.may_write(at(100_000)), Err(100_300));
    assert_eq!(
        behind.submit(at(100_000), Vec::new()),
        Err(SubmitError::NotYet)
    );
    assert!(behind.submit(at(100_300), Vec::new()).is_ok());
    let mut far = node_behind_by(AHEAD_MS + CLOCK_WAIT_MS + 1);
    assert_eq!(far.may_write(at(100_000)), Ok(()));
    assert_eq!(
        far.submit(at(100_000), Vec::new()),
        Err(SubmitError::ClockAhead(1_501))
    );
}

#[test]
fn what_was_staged_waits_for_the_drivers_tick_and_names_no_time_of_its_own() {
    let operation = sign_sample(&SigningKey::from([2; 32]), 1);
    let order = OrderId::new(&operation.id(), 0);
    let now = at(operation.body().time.unix_ms());
    let mut node = Exchange::new(test_genesis(), SigningKey::from([1; 32]), Book::new);
    node.receive(now, Source::push(LinkId(1)), alloc::vec![operation]);
    assert!(node.replica().order(&order).is_none(), "it is staged");
    assert_eq!(node.next_deadline_ms(now), None);
    node.handle_tick(now);
    assert!(node.replica().order(&order).is_some());
    assert_eq!(node.next_deadline_ms(now), None);
}

#[test]
fn a_peer_gets_what_others_wrote_at_once_and_own_operations_when_they_are_on_disk() {
    let mut node = node_behind_by(0);
    let own = node.submit(at(100_000), Vec::new()).expect("written");
    let heads: Vec<Head> = node.dag().heads().collect();
    assert_eq!(heads.len(), 2, "it tells of both");
    let wants = heads.iter().map(|head| WantEntry {
        author: head.author,
        head: head.id,
        locator: Vec::new(),
    });
    let wants: Vec<WantEntry> = wants.collect();
    let ids = |node: &Exchange<Book>| {
        let page = node.missing(&wants, 0, 10);
        let ids = page.operations.iter().map(|index| node.dag().id(*index));
        ids.collect::<Vec<OpId>>()
    };
    let before = ids(&node);
    assert!(before.len() == 1 && before[0] != own);
    node.handle_persisted(2);
    assert_eq!(ids(&node), [before[0], own]);
}

/// What is asked of links, and which.
fn lacking(node: &mut Exchange<Book>) -> Vec<(LinkId, Vec<OpStem>)> {
    let outputs = core::iter::from_fn(|| node.poll_output());
    let lacking = outputs.filter_map(|output| match output {
        Output::Lacking { link, ancestors } => Some((link, ancestors)),
        _ => None,
    });
    lacking.collect()
}

#[test]
fn what_a_pushed_operation_leans_on_is_told_to_be_missing_unless_it_waits_itself() {
    let mut other = Exchange::new(test_genesis(), SigningKey::from([2; 32]), Book::new);
    let mut chain: Vec<Verified> = Vec::new();
    for number in 1..=4 {
        other.submit(at(100_000), Vec::new()).expect("written");
        chain.push(other.unwritten.pop_front().expect("one operation").1);
        other.handle_persisted(number);
    }
    let mut node = Exchange::new(test_genesis(), SigningKey::from([1; 32]), Book::new);
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| chain[at].clone());
    let (stem, now) = (first.id().stem(), at(100_000));
    node.receive(now, Source::push(LinkId(7)), alloc::vec![second.clone()]);
    assert_eq!(lacking(&mut node), [(LinkId(7), alloc::vec![stem])]);
    node.receive(now, Source::push(LinkId(8)), alloc::vec![third.clone()]);
    assert_eq!(lacking(&mut node), [], "the second waits here");
    let mut puller = Exchange::new(test_genesis(), SigningKey::from([3; 32]), Book::new);
    puller.receive(now, Source::sync(LinkId(7)), alloc::vec![fourth]);
    assert_eq!(lacking(&mut puller), [], "what is pulled has its order");
    node.receive(now, Source::push(LinkId(8)), alloc::vec![first]);
    assert_eq!(node.dag().len(), 3);
    assert_eq!(lacking(&mut node), []);
}
