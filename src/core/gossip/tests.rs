//! Tests of gossip: who is sent what, and what is never lost silently.

use alloc::vec;

use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::*;
use crate::seen::SeenLimits;
use crate::types::at;
use crate::wire::{Announce, GoodbyeCode, Prune};

pub(super) const CONFIG: GossipConfig = GossipConfig {
    flush_ms: 2,
    outbox_max_bytes: 100,
    full_max_ms: 1_000,
    announce_ms: 50,
    lazy_ms: 20,
    graft_ms: 100,
    lacking_ms: 30,
    hop_worth_ms: 30,
    trees_max: 100,
    recent_max: 100,
    recent_max_bytes: 10_000,
    recent_ms: 10_000,
    seen: SeenLimits {
        generation_max: 1_000,
        generation_ms: 60_000,
    },
    secret: 7,
};

pub(super) fn id(number: u8) -> OpId {
    OpId([number; 32])
}

/// Who writes the operation of this number: there are four authors.
pub(super) fn author_of(number: u8) -> AuthorKey {
    AuthorKey([number % 4; 32])
}

pub(super) fn operation(number: u8) -> WireOperation {
    WireOperation {
        id: id(number),
        author: author_of(number),
        bytes: vec![number; 10],
    }
}

/// It comes over so many links.
pub(super) fn arriving(number: u8, hops: u8) -> Arriving {
    Arriving {
        id: id(number),
        author: author_of(number),
        hops,
    }
}

pub(super) fn link(number: u64) -> LinkId {
    LinkId(number)
}

/// A node with links 1 to `links`.
pub(super) fn node(links: u64) -> Gossip {
    let mut gossip = Gossip::new(at(0), CONFIG);
    for number in 1..=links {
        gossip.handle_link_up(link(number), AuthorKey([7; 32]));
    }
    gossip
}

pub(super) fn outputs(gossip: &mut Gossip) -> Vec<GossipOutput> {
    core::iter::from_fn(|| gossip.poll_output()).collect()
}

/// Which operations went to which link: first bytes, in order.
pub(super) fn sent(outputs: &[GossipOutput]) -> Vec<(u64, Vec<u8>)> {
    let ops = outputs.iter().filter_map(|output| match output {
        GossipOutput::Send {
            link,
            frame: Frame::Ops(ops),
            ..
        } => Some((link.0, ops.operations.iter().map(|it| it[0]).collect())),
        _ => None,
    });
    ops.collect()
}

/// What was announced to which link.
pub(super) fn announced(outputs: &[GossipOutput]) -> Vec<(u64, Announce)> {
    let frames = outputs.iter().filter_map(|output| match output {
        GossipOutput::Send {
            link,
            frame: Frame::Announce(announce),
            ..
        } => Some((link.0, announce.clone())),
        _ => None,
    });
    frames.collect()
}

/// Which links were told that they missed how many operations.
pub(super) fn told(outputs: &[GossipOutput]) -> Vec<(u64, u64)> {
    let frames = outputs.iter().filter_map(|output| match output {
        GossipOutput::Send {
            link,
            frame: Frame::Behind(behind),
            ..
        } => Some((link.0, behind.missed)),
        _ => None,
    });
    frames.collect()
}

#[test]
fn the_first_arrival_is_new_and_all_others_are_copies() {
    let mut gossip = node(2);
    let numbers = [1, 2, 1].map(|number| arriving(number, 1));
    let first = gossip.handle_operations(at(0), link(1), &numbers);
    assert_eq!(first, [Arrival::New, Arrival::New, Arrival::Copy]);
    let numbers = [2, 3].map(|number| arriving(number, 1));
    let second = gossip.handle_operations(at(0), link(2), &numbers);
    assert_eq!(second, [Arrival::Copy, Arrival::New]);
}

#[test]
fn the_first_operation_goes_out_at_once_and_the_next_after_a_time_for_each_frame() {
    let mut gossip = node(3);
    gossip.handle_applied(at(10), vec![operation(1)], None);
    assert_eq!(gossip.next_deadline_ms(), Some(10));
    gossip.handle_timeout(at(10));
    let all = |numbers: Vec<u8>| [1, 2, 3].map(|link| (link, numbers.clone()));
    assert_eq!(sent(&outputs(&mut gossip)), all(vec![1]));
    gossip.handle_applied(at(11), vec![operation(2)], None);
    gossip.handle_applied(at(11), vec![operation(3)], None);
    // Three frames of 2 ms each.
    assert_eq!(gossip.next_deadline_ms(), Some(16));
    gossip.handle_timeout(at(15));
    assert!(outputs(&mut gossip).is_empty());
    gossip.handle_timeout(at(16));
    assert_eq!(sent(&outputs(&mut gossip)), all(vec![2, 3]));
    assert_eq!(gossip.next_deadline_ms(), None);
    let copy = gossip.handle_operation(at(16), link(1), arriving(1, 2));
    assert_eq!(
        copy,
        Arrival::Copy,
        "own operations are known when they come back"
    );
}

#[test]
fn an_operation_does_not_go_where_it_is_known() {
    let mut gossip = node(3);
    gossip.handle_operation(at(0), link(1), arriving(1, 1));
    gossip.handle_operation(at(0), link(2), arriving(1, 1));
    gossip.handle_applied(at(0), vec![operation(1)], Some(Source::push(link(1))));
    gossip.handle_timeout(at(2));
    assert_eq!(sent(&outputs(&mut gossip)), [(3, vec![1])]);
}

#[test]
fn the_source_is_spared_even_if_the_memory_forgot_the_arrival() {
    let mut gossip = node(2);
    gossip.handle_applied(at(0), vec![operation(1)], Some(Source::push(link(1))));
    gossip.handle_timeout(at(2));
    assert_eq!(sent(&outputs(&mut gossip)), [(2, vec![1])]);
}

#[test]
fn a_full_frame_does_not_wait() {
    let config = GossipConfig {
        outbox_max_bytes: 10 * OPERATIONS_TARGET_BYTES,
        ..CONFIG
    };
    let mut gossip = Gossip::new(at(0), config);
    gossip.handle_link_up(link(1), AuthorKey([7; 32]));
    let many = (0..100_u8).map(|number| WireOperation {
        author: author_of(number),
        id: id(number),
        bytes: vec![number; 5_000],
    });
    gossip.handle_applied(at(0), many, None);
    let frames = outputs(&mut gossip);
    assert_eq!(sent(&frames).len(), 1);
    for output in &frames {
        if let GossipOutput::Send { frame, .. } = output {
            let (kind, payload) = frame.encode();
            assert!(Frame::decode(kind, &payload).is_ok());
        }
    }
    gossip.handle_timeout(at(2));
    let rest = sent(&outputs(&mut gossip));
    assert_eq!(sent(&frames)[0].1.len() + rest[0].1.len(), 100);
}

#[test]
fn a_full_link_misses_operations_and_is_told_once_it_has_room() {
    let mut gossip = node(2);
    for number in 0..15 {
        let now = at(PAUSE_MAX_MS * u64::from(number));
        gossip.handle_applied(now, vec![operation(number)], None);
        gossip.handle_timeout(now);
        gossip.handle_written(link(1), 10);
    }
    let frames = outputs(&mut gossip);
    let to = |number| sent(&frames).iter().filter(|it| it.0 == number).count();
    assert_eq!(
        (to(1), to(2)),
        (15, 10),
        "only the slow link misses anything"
    );
    assert_eq!(gossip.behind(link(2)), 5);
    gossip.handle_written(link(2), 40);
    assert!(outputs(&mut gossip).is_empty(), "still more than half full");
    gossip.handle_written(link(2), 10);
    assert_eq!(told(&outputs(&mut gossip)), [(2, 5)]);
    assert_eq!(gossip.behind(link(2)), 0);
    gossip.handle_applied(at(500), vec![operation(50)], None);
    gossip.handle_timeout(at(500));
    assert_eq!(sent(&outputs(&mut gossip)), [(1, vec![50]), (2, vec![50])]);
}

#[test]
fn a_link_that_stays_full_is_given_up() {
    let mut gossip = node(1);
    for number in 0..11 {
        let now = at(2 * u64::from(number));
        gossip.handle_applied(now, vec![operation(number)], None);
        gossip.handle_timeout(now);
    }
    outputs(&mut gossip);
    assert_eq!(gossip.next_deadline_ms(), Some(1_020));
    gossip.handle_timeout(at(1_019));
    assert!(outputs(&mut gossip).is_empty());
    gossip.handle_timeout(at(1_020));
    let made = outputs(&mut gossip);
    assert!(
        matches!(&made[..], [GossipOutput::Disconnect { link: LinkId(1), goodbye }]
            if goodbye.code == GoodbyeCode::Slow),
        "{made:?}"
    );
    assert_eq!(gossip.next_deadline_ms(), None);
}

#[test]
fn an_operation_larger_than_the_outbox_still_passes() {
    let mut gossip = node(1);
    let large = WireOperation {
        author: author_of(1),
        id: id(1),
        bytes: vec![1; 500],
    };
    gossip.handle_applied(at(0), vec![large], None);
    gossip.handle_timeout(at(2));
    assert_eq!(sent(&outputs(&mut gossip)).len(), 1);
}

#[test]
fn pulled_operations_are_announced_and_not_pushed() {
    let mut gossip = node(3);
    gossip.handle_operation(at(0), link(2), arriving(1, 1));
    let pulled = vec![operation(1), operation(2)];
    gossip.handle_applied(at(0), pulled, Some(Source::sync(link(1))));
    gossip.handle_timeout(at(49));
    assert!(outputs(&mut gossip).is_empty());
    gossip.handle_timeout(at(50));
    let made = outputs(&mut gossip);
    assert_eq!(told(&made), [(2, 1), (3, 2)]);
    assert!(sent(&made).is_empty());
}

#[test]
fn a_refused_operation_may_come_again_and_is_asked_of_who_had_it() {
    let mut gossip = node(3);
    gossip.handle_operation(at(0), link(1), arriving(1, 1));
    gossip.handle_operation(at(0), link(2), arriving(1, 1));
    gossip.handle_not_applied(&[id(1)], Some(link(1)));
    assert_eq!(
        outputs(&mut gossip),
        [GossipOutput::StartSync { link: link(2) }]
    );
    let again = gossip.handle_operation(at(0), link(3), arriving(1, 1));
    assert_eq!(again, Arrival::New);
}

#[test]
fn what_was_already_pushed_is_not_forgotten_by_a_late_refusal() {
    let mut gossip = node(2);
    gossip.handle_not_applied(&[id(1)], None);
    assert!(outputs(&mut gossip).is_empty());
    assert_eq!(
        gossip.handle_operation(at(0), link(1), arriving(1, 1)),
        Arrival::New
    );
}

#[derive(Clone, Debug)]
enum Step {
    Receive(u64, u8),
    Write(u8),
    Pull(u64, u8),
    Written(u64, usize),
    Up(u64),
    Down(u64),
    Wait(u64),
    /// A link wants an author announced.
    Prune(u64, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let link = 1..5_u64;
    prop_oneof![
        4 => (link.clone(), any::<u8>()).prop_map(|(link, number)| Step::Receive(link, number)),
        2 => any::<u8>().prop_map(Step::Write),
        1 => (link.clone(), any::<u8>()).prop_map(|(link, number)| Step::Pull(link, number)),
        2 => (link.clone(), 0..60_usize).prop_map(|(link, bytes)| Step::Written(link, bytes)),
        1 => link.clone().prop_map(Step::Up),
        1 => link.prop_map(Step::Down),
        3 => (0..30_u64).prop_map(Step::Wait),
        1 => (1..5_u64, 0..4_u8).prop_map(|(link, author)| Step::Prune(link, author)),
    ]
}

/// What an observer of one node's gossip knows: by link, the numbers of operations.
#[derive(Default)]
struct Ledger {
    applied: Vec<u8>,
    /// What a link that has been up throughout should get.
    owed: BTreeMap<u64, Vec<u8>>,
    /// What came over a link.
    held: BTreeMap<u64, Vec<u8>>,
    /// What was sent to a link.
    pushed: BTreeMap<u64, Vec<u8>>,
    /// What was announced to a link.
    announced: BTreeMap<u64, Vec<u8>>,
    /// How many a link was told to fetch.
    missed: BTreeMap<u64, u64>,
}

impl Ledger {
    fn new(links: u64) -> Self {
        Self {
            owed: (1..=links).map(|link| (link, Vec::new())).collect(),
            ..Self::default()
        }
    }

    fn apply(&mut self, gossip: &mut Gossip, now: Now, number: u8, origin: Option<Source>) {
        let source = origin.map(|source| source.link.0);
        self.applied.push(number);
        for (to, numbers) in &mut self.owed {
            numbers.extend((Some(*to) != source).then_some(number));
        }
        gossip.handle_applied(now, vec![operation(number)], origin);
    }

    fn step(&mut self, gossip: &mut Gossip, now: Now, step: &Step) {
        match *step {
            Step::Receive(from, number) => {
                let arrival = gossip.handle_operation(now, link(from), arriving(number, number));
                self.held.entry(from).or_default().push(number);
                if arrival == Arrival::New {
                    assert!(!self.applied.contains(&number));
                    self.apply(gossip, now, number, Some(Source::push(link(from))));
                }
            }
            Step::Write(number) if !self.applied.contains(&number) => {
                self.apply(gossip, now, number, None);
            }
            Step::Pull(from, number) if !self.applied.contains(&number) => {
                self.apply(gossip, now, number, Some(Source::sync(link(from))));
            }
            Step::Write(_) | Step::Pull(..) => {}
            Step::Written(to, bytes) => gossip.handle_written(link(to), bytes),
            Step::Up(number) if gossip.peer(link(number)).is_none() => {
                gossip.handle_link_up(link(number), AuthorKey([7; 32]));
            }
            Step::Up(_) => {}
            Step::Down(number) => {
                gossip.handle_link_down(link(number));
                self.owed.remove(&number);
            }
            Step::Wait(_) => gossip.handle_timeout(now),
            Step::Prune(from, author) => {
                let authors = vec![Prefix([author; 8])];
                gossip.handle_prune(link(from), &Prune { authors });
            }
        }
    }

    fn observe(&mut self, made: &[GossipOutput]) {
        for output in made {
            if let GossipOutput::Disconnect { link, .. } = output {
                self.owed.remove(&link.0);
            }
        }
        for (to, numbers) in sent(made) {
            self.pushed.entry(to).or_default().extend(numbers);
        }
        for (to, announce) in announced(made) {
            let numbers = announce.ids.iter().map(|id| id.0[0]);
            self.announced.entry(to).or_default().extend(numbers);
        }
        for (to, count) in told(made) {
            *self.missed.entry(to).or_default() += count;
        }
    }

    /// Checks that a link was sent, or told that it missed, all that it is owed, and nothing twice.
    fn check(&self, to: u64, behind: u64) {
        let none = Vec::new();
        let pushed = self.pushed.get(&to).unwrap_or(&none);
        let held = self.held.get(&to).unwrap_or(&none);
        let owed = &self.owed[&to];
        let mut distinct = pushed.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), pushed.len(), "sent twice to {to}");
        let announced = self.announced.get(&to).unwrap_or(&none);
        assert!(
            announced.iter().all(|number| !pushed.contains(number)),
            "announced what was sent to {to}"
        );
        assert!(pushed.iter().all(|number| owed.contains(number)));
        let lacking = owed.iter().filter(|number| !pushed.contains(number));
        let lacking = lacking.filter(|number| !announced.contains(number));
        let unheld = lacking.clone().filter(|number| !held.contains(number));
        let accounted = self.missed.get(&to).copied().unwrap_or(0) + behind;
        // A copy that came over the link in time makes an operation owed no more.
        let bounds = unheld.count() as u64..=lacking.count() as u64;
        assert!(
            bounds.contains(&accounted),
            "{accounted} of {bounds:?} to {to}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_silently_and_nothing_sent_twice(steps in vector(any_step(), 0..150)) {
        let mut gossip = node(4);
        let mut ledger = Ledger::new(4);
        let mut now_ms = 0;
        for step in steps {
            if let Step::Wait(wait_ms) = step {
                now_ms += wait_ms;
            }
            ledger.step(&mut gossip, at(now_ms), &step);
            ledger.observe(&outputs(&mut gossip));
            for state in gossip.links.values() {
                // All operations in one frame, and all announcements.
                prop_assert!(state.outbox_bytes <= 2_560 + 9 * 256);
            }
        }
        // When every pause is over.
        gossip.handle_timeout(at(now_ms + 1_000));
        gossip.handle_timeout(at(now_ms + 2_000));
        ledger.observe(&outputs(&mut gossip));
        for to in ledger.owed.keys() {
            ledger.check(*to, gossip.behind(link(*to)));
        }
    }
}
