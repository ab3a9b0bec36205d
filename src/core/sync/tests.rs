//! Tests of synchronisation: single rounds, and whole worlds that must converge.

use alloc::vec;

use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::world::World;
use super::*;
use crate::types::{AuthorKey, OpId, at};

const LINK: LinkId = LinkId(1);

fn head(author: u8, id: u8) -> Head {
    Head {
        author: AuthorKey([author; 32]),
        seq: 0,
        id: OpId([id; 32]),
    }
}

fn want(head: Head) -> WantEntry {
    WantEntry {
        author: head.author,
        head: head.id,
        locator: Vec::new(),
    }
}

fn outputs(sync: &mut Sync) -> Vec<SyncOutput> {
    core::iter::from_fn(|| sync.poll_output()).collect()
}

/// The number of the only question among the outputs, to the peer or to the owner of the set.
fn question(outputs: &[SyncOutput]) -> u64 {
    let numbers = outputs.iter().filter_map(|output| match output {
        SyncOutput::Send { frame, .. } => match frame {
            Frame::GetHeads(ask) => Some(ask.request),
            Frame::Want(want) => Some(want.request),
            _ => None,
        },
        SyncOutput::FindWants { ticket, .. } | SyncOutput::Deliver { ticket, .. } => {
            Some(ticket.number)
        }
        _ => None,
    });
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers.len(), 1, "{outputs:?}");
    numbers[0]
}

fn ticket(number: u64) -> Ticket {
    Ticket { link: LINK, number }
}

/// A machine with one link whose first round has asked for heads, and the number of that question.
fn asking() -> (Sync, u64) {
    let mut sync = Sync::new(SyncConfig::default());
    sync.handle_link_up(at(0), LINK);
    let request = question(&outputs(&mut sync));
    (sync, request)
}

fn give_heads(
    sync: &mut Sync,
    request: u64,
    heads: Vec<Head>,
    more: bool,
) -> Result<(), SyncViolation> {
    let page = HeadsPage {
        request,
        heads,
        more,
    };
    sync.handle_frame(at(1), LINK, Frame::Heads(page))
}

fn give_page(sync: &mut Sync, request: u64, operations: Vec<Vec<u8>>, remaining: u64) {
    let page = Page {
        request,
        operations,
        remaining,
        // Ascends, for so do requests.
        next: request,
    };
    let result = sync.handle_frame(at(1), LINK, Frame::Page(page));
    assert_eq!(result, Ok(()));
}

/// A machine that waits for a page of operations, and the number of its question.
fn pulling() -> (Sync, u64) {
    let (mut sync, request) = asking();
    give_heads(&mut sync, request, vec![head(1, 1)], false).expect("valid heads");
    let found = question(&outputs(&mut sync));
    sync.handle_wants_found(at(1), ticket(found), vec![want(head(1, 1))]);
    let request = question(&outputs(&mut sync));
    (sync, request)
}

fn end_of(outputs: &[SyncOutput]) -> Option<RoundEnd> {
    outputs.iter().find_map(|output| match output {
        SyncOutput::Finished { end, .. } => Some(*end),
        _ => None,
    })
}

#[test]
fn equal_sets_end_a_round_with_one_question() {
    let (mut sync, request) = asking();
    give_heads(&mut sync, request, vec![head(1, 1)], false).expect("valid heads");
    let found = question(&outputs(&mut sync));
    sync.handle_wants_found(at(1), ticket(found), Vec::new());
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Complete));
    assert_eq!(sync.next_deadline_ms(), Some(30_000));
}

#[test]
fn a_pull_goes_on_while_it_gains_and_something_remains() {
    let (mut sync, mut request) = pulling();
    for round in 1..=5_u64 {
        give_page(&mut sync, request, vec![vec![1], vec![2]], 10 - 2 * round);
        let made = outputs(&mut sync);
        assert!(made.contains(&SyncOutput::Progress {
            link: LINK,
            received: 2 * round,
            total: 10
        }));
        sync.handle_delivered(at(1), ticket(question(&made)), 2);
        if round < 5 {
            let found = question(&outputs(&mut sync));
            sync.handle_wants_found(at(1), ticket(found), vec![want(head(1, 1))]);
            request = question(&outputs(&mut sync));
        }
    }
    assert_eq!(
        outputs(&mut sync),
        vec![SyncOutput::Finished {
            link: LINK,
            end: RoundEnd::Complete,
            received: 10,
            gained: 10
        }]
    );
    assert_eq!(sync.next_deadline_ms(), Some(500), "another round follows");
}

#[test]
fn endless_pages_without_gain_are_cut_off_and_resumed_at_the_next_interval() {
    let (mut sync, mut request) = pulling();
    let mut pages = 0;
    let last = loop {
        give_page(&mut sync, request, vec![vec![7]], u64::MAX);
        pages += 1;
        assert!(pages < 100, "must be cut off");
        let delivered = question(&outputs(&mut sync));
        sync.handle_delivered(at(1), ticket(delivered), 0);
        let made = outputs(&mut sync);
        if end_of(&made) == Some(RoundEnd::Incomplete) {
            break request;
        }
        sync.handle_wants_found(at(1), ticket(question(&made)), vec![want(head(1, 1))]);
        request = question(&outputs(&mut sync));
    };
    assert_eq!(pages, SyncConfig::default().idle_pages_max);
    assert_eq!(sync.next_deadline_ms(), Some(30_000));
    sync.handle_timeout(at(30_000));
    let request = question(&outputs(&mut sync));
    give_heads(&mut sync, request, vec![head(1, 1)], false).expect("valid heads");
    let found = question(&outputs(&mut sync));
    sync.handle_wants_found(at(30_000), ticket(found), vec![want(head(1, 1))]);
    let made = outputs(&mut sync);
    assert!(
        matches!(&made[..], [SyncOutput::Send { frame: Frame::Want(want), .. }]
            if want.from == last),
        "{made:?}"
    );
}

#[test]
fn a_peer_that_goes_in_circles_is_cut_off_at_once() {
    let (mut sync, request) = pulling();
    let page = Page {
        request,
        operations: vec![vec![7]],
        remaining: 5,
        next: 0,
    };
    sync.handle_frame(at(1), LINK, Frame::Page(page))
        .expect("valid");
    let delivered = question(&outputs(&mut sync));
    sync.handle_delivered(at(1), ticket(delivered), 0);
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Incomplete));
}

#[test]
fn heads_that_nobody_serves_cost_one_empty_page() {
    let (mut sync, request) = pulling();
    give_page(&mut sync, request, Vec::new(), 1_000);
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Incomplete));
}

#[test]
fn a_silent_peer_costs_its_own_round_and_the_next_interval_tries_again() {
    let (mut sync, _) = asking();
    assert_eq!(sync.next_deadline_ms(), Some(10_000));
    sync.handle_timeout(at(9_999));
    assert!(outputs(&mut sync).is_empty());
    sync.handle_timeout(at(10_000));
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::TimedOut));
    assert_eq!(sync.next_deadline_ms(), Some(30_000));
    sync.handle_timeout(at(30_000));
    question(&outputs(&mut sync));
}

#[test]
fn when_a_pull_is_cut_off_the_other_links_are_asked() {
    for is_down in [true, false] {
        let (mut sync, _) = pulling();
        let other = LinkId(2);
        sync.handle_link_up(at(1), other);
        let request = question(&outputs(&mut sync));
        let empty = HeadsPage {
            request,
            heads: Vec::new(),
            more: false,
        };
        let result = sync.handle_frame(at(1), other, Frame::Heads(empty));
        assert_eq!(result, Ok(()));
        outputs(&mut sync);
        if is_down {
            sync.handle_link_down(at(11_000), LINK);
        } else {
            sync.handle_timeout(at(11_000));
        }
        let made = outputs(&mut sync);
        let asked = made.iter().any(|output| {
            matches!(output, SyncOutput::Send { link, frame: Frame::GetHeads(_) } if *link == other)
        });
        assert!(asked, "{made:?}");
    }
}

#[test]
fn answers_that_nobody_waits_for_are_dropped() {
    let (mut sync, request) = asking();
    give_page(&mut sync, request, vec![vec![1]], 0);
    give_page(&mut sync, request + 1, vec![vec![1]], 0);
    give_heads(&mut sync, request + 1, vec![head(1, 1)], false).expect("ignored");
    sync.handle_wants_found(at(1), ticket(request), vec![want(head(1, 1))]);
    sync.handle_delivered(at(1), ticket(request), 1);
    sync.handle_heads_read(ticket(request), vec![head(1, 1)], false);
    let missing = Missing {
        operations: vec![vec![1]],
        remaining: 0,
        next: 1,
    };
    sync.handle_missing_read(ticket(request), missing);
    assert!(outputs(&mut sync).is_empty());
    let strange = LinkId(9);
    let page = Page {
        request: 0,
        operations: Vec::new(),
        remaining: 0,
        next: 0,
    };
    let result = sync.handle_frame(at(1), strange, Frame::Page(page));
    assert!(result.is_ok() && outputs(&mut sync).is_empty());
}

#[test]
fn a_repeated_answer_counts_once() {
    let (mut sync, request) = pulling();
    give_page(&mut sync, request, vec![vec![1]], 5);
    give_page(&mut sync, request, vec![vec![1]], 5);
    question(&outputs(&mut sync));
}

#[test]
fn pages_of_heads_that_do_not_ascend_end_the_session() {
    for heads in [
        vec![head(1, 1), head(1, 1)],
        vec![head(2, 1), head(1, 1)],
        vec![head(1, 2), head(1, 1)],
    ] {
        let (mut sync, request) = asking();
        let result = give_heads(&mut sync, request, heads, false);
        assert_eq!(result, Err(SyncViolation::HeadsOrder));
    }
    let (mut sync, request) = asking();
    let result = give_heads(&mut sync, request, Vec::new(), true);
    assert_eq!(result, Err(SyncViolation::HeadsEmpty));
}

#[test]
fn a_page_of_heads_must_lie_beyond_the_asked_place() {
    let (mut sync, request) = asking();
    give_heads(&mut sync, request, vec![head(5, 5)], true).expect("valid heads");
    let found = question(&outputs(&mut sync));
    sync.handle_wants_found(at(1), ticket(found), Vec::new());
    let request = question(&outputs(&mut sync));
    let result = give_heads(&mut sync, request, vec![head(5, 5)], false);
    assert_eq!(result, Err(SyncViolation::HeadsOrder));
}

#[test]
fn endless_heads_are_taken_in_portions_that_continue() {
    let config = SyncConfig {
        heads_pages_max: 3,
        ..SyncConfig::default()
    };
    let mut sync = Sync::new(config);
    sync.handle_link_up(at(0), LINK);
    for page in 1..=3 {
        let request = question(&outputs(&mut sync));
        give_heads(&mut sync, request, vec![head(page, 1)], true).expect("valid heads");
        let found = question(&outputs(&mut sync));
        sync.handle_wants_found(at(1), ticket(found), Vec::new());
    }
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Incomplete));
    sync.handle_timeout(at(30_000));
    let made = outputs(&mut sync);
    assert!(
        matches!(
            made[..],
            [SyncOutput::Send {
                frame: Frame::GetHeads(GetHeads {
                    after: Some(after),
                    ..
                }),
                ..
            }] if after == cursor_of(&head(3, 1))
        ),
        "{made:?}"
    );
}

#[test]
fn hints_start_rounds_no_faster_than_the_pause() {
    let mut sync = Sync::new(SyncConfig::default());
    sync.handle_link_up(at(0), LINK);
    let mut rounds = 0;
    for now_ms in 0..5_000 {
        let hint = Frame::Behind(crate::wire::Behind { missed: 1 });
        sync.handle_frame(at(now_ms), LINK, hint).expect("valid");
        for output in outputs(&mut sync) {
            if let SyncOutput::Send {
                frame: Frame::GetHeads(ask),
                ..
            } = output
            {
                rounds += 1;
                give_heads(&mut sync, ask.request, Vec::new(), false).expect("valid heads");
            }
        }
    }
    assert_eq!(rounds, 10);
}

#[test]
fn one_answer_at_a_time_is_prepared_for_a_link() {
    let (mut sync, _) = asking();
    let ask = |request| {
        Frame::GetHeads(GetHeads {
            request,
            after: None,
        })
    };
    for request in 0..100 {
        sync.handle_frame(at(1), LINK, ask(request)).expect("valid");
        let wants = Want {
            request,
            from: 0,
            wants: vec![want(head(1, 1))],
        };
        sync.handle_frame(at(1), LINK, Frame::Want(wants))
            .expect("valid");
    }
    let made = outputs(&mut sync);
    let [SyncOutput::ReadHeads { ticket, .. }] = made[..] else {
        panic!("{made:?}");
    };
    sync.handle_heads_read(ticket, vec![head(1, 1)], false);
    sync.handle_heads_read(ticket, vec![head(1, 1)], false);
    let answer = SyncOutput::Send {
        link: LINK,
        frame: Frame::Heads(HeadsPage {
            request: 0,
            heads: vec![head(1, 1)],
            more: false,
        }),
    };
    assert_eq!(outputs(&mut sync), vec![answer]);
    sync.handle_frame(at(1), LINK, ask(5)).expect("valid");
    assert_eq!(outputs(&mut sync).len(), 1, "the place is free again");
    sync.handle_frame(at(10_001), LINK, ask(6)).expect("valid");
    assert_eq!(
        outputs(&mut sync).len(),
        1,
        "an answer that never comes gives way"
    );
}

#[test]
fn garbage_in_locators_only_costs_copies() {
    let mut world = World::new(1, 1);
    for _ in 0..10 {
        world.write(0, 0, 0);
    }
    let set = &world.nodes[0].set;
    let (heads, _) = set.heads(None, 100);
    let garbage = WantEntry {
        author: heads[0].author,
        head: heads[0].id,
        locator: vec![OpId([9; 32]); 16],
    };
    let missing = set.missing(&[garbage], 0, usize::MAX);
    assert_eq!((missing.operations.len(), missing.remaining), (10, 0));
    let unknown = set.missing(&[want(head(1, 1))], 0, usize::MAX);
    assert!(unknown.operations.is_empty());
}

#[test]
fn a_late_joiner_catches_up_over_one_link_in_pages() {
    let mut world = World::new(3, 7);
    for number in 0..200 {
        world.write(number % 2, 0, 0);
        if number == 100 {
            world.connect(0, 1);
        }
        world.run_for(10);
    }
    world.run_for(2_000);
    world.connect(1, 2);
    world.run_for(60_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[2].set.order.len(), 200);
    assert_eq!(
        world.nodes[2].ops_received, 0,
        "history comes by pages only"
    );
}

#[test]
fn a_healed_partition_floods_beyond_the_bridge_within_seconds() {
    let mut world = World::new(6, 3);
    for (left, right) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
        world.connect(left, right);
    }
    for number in 0..60 {
        world.write(number % 6, 0, 0);
        world.run_for(20);
    }
    world.run_for(5_000);
    assert!(!world.is_equal());
    world.connect(2, 3);
    world.run_for(12_000);
    assert!(world.is_equal(), "without waiting for an interval of 30 s");
}

#[test]
fn at_rest_only_heads_are_compared() {
    let mut world = World::new(4, 5);
    for (left, right) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        world.connect(left, right);
    }
    for number in 0..40 {
        world.write(number % 4, 0, 0);
        world.run_for(5);
    }
    world.run_for(30_000);
    assert!(world.is_equal());
    world.finished.clear();
    world.run_for(300_000);
    assert!(
        world
            .finished
            .iter()
            .all(|it| it.1 == RoundEnd::Complete && it.2 == 0)
    );
    let rounds = world.finished.len();
    assert!(
        (72..=88).contains(&rounds),
        "{rounds} rounds of 8 link ends in 10 intervals"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Write { node: usize, steps_back: usize },
    Connect(usize, usize),
    Disconnect(prop::sample::Index),
    Wait(u64),
}

const NODES: u8 = 5;

fn any_step() -> impl Strategy<Value = Step> {
    let node = 0..usize::from(NODES);
    // Four in five continue the newest operation, the others fork.
    let back = prop_oneof![4 => Just(0_usize), 1 => 1..4_usize];
    prop_oneof![
        6 => (node.clone(), back).prop_map(|(node, steps_back)| Step::Write { node, steps_back }),
        2 => (node.clone(), node).prop_map(|(left, right)| Step::Connect(left, right)),
        1 => any::<prop::sample::Index>().prop_map(Step::Disconnect),
        3 => (0..400_u64).prop_map(Step::Wait),
    ]
}

fn play(world: &mut World, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Write { node, steps_back } => world.write(node, steps_back, 0),
            Step::Connect(left, right) => world.connect(left, right),
            Step::Disconnect(which) if !world.links.is_empty() => {
                let links: Vec<LinkId> = world.links.keys().copied().collect();
                world.disconnect(links[which.index(links.len())]);
            }
            Step::Disconnect(_) => {}
            Step::Wait(duration_ms) => world.run_for(duration_ms),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn after_healing_and_quiet_all_sets_are_equal(
        seed: u64, steps in vector(any_step(), 0..120),
    ) {
        let mut world = World::new(NODES, seed);
        play(&mut world, steps);
        // A line, the worst of the connected graphs.
        for node in 1..usize::from(NODES) {
            world.connect(node - 1, node);
        }
        world.run_for(120_000);
        prop_assert!(world.is_equal());
    }

    #[test]
    fn arbitrary_frames_never_panic_and_leave_one_round_a_link(
        frames in vector((1..12_u8, vector(any::<u8>(), 0..40), 0..40_u64), 0..60),
    ) {
        let (mut sync, _) = asking();
        let mut now_ms = 0;
        for (kind, payload, wait_ms) in frames {
            now_ms += wait_ms;
            if let Ok(Some(frame)) = Frame::decode(kind, &payload) {
                let _ = sync.handle_frame(at(now_ms), LINK, frame);
            }
            let asked = outputs(&mut sync).len();
            prop_assert!(asked <= 2);
        }
    }
}

#[test]
fn liars_on_every_node_do_not_hinder_the_others_and_cost_little() {
    let mut world = World::new(3, 11);
    (0..3).for_each(|node| world.connect_liar(node));
    world.connect(0, 1);
    world.connect(1, 2);
    for number in 0..30 {
        world.write(number % 3, 0, 0);
        world.run_for(50);
    }
    world.run_for(60_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[0].set.order.len(), 30);
    // Three rounds on each of three links, at most 17 pages and as many pages of heads in each.
    assert!((20..=400).contains(&world.lies), "{} lies", world.lies);
}

#[test]
fn a_deep_fork_converges_though_pages_consist_of_copies() {
    let mut world = World::new(2, 13);
    world.nodes[1].key = world.nodes[0].key;
    for _ in 0..20 {
        world.write(0, 0, 0);
    }
    world.connect(0, 1);
    world.run_for(20_000);
    assert!(world.is_equal());
    let links: Vec<LinkId> = world.links.keys().copied().collect();
    links.into_iter().for_each(|link| world.disconnect(link));
    for _ in 0..150 {
        world.write(0, 0, 0);
        world.write(1, 0, 0);
    }
    world.connect(0, 1);
    world.run_for(240_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[0].set.order.len(), 320);
}

#[test]
fn what_waits_is_asked_for_after_a_while_and_of_one_link() {
    let mut sync: Sync = Sync::new(SyncConfig::default());
    for number in [1, 2] {
        sync.handle_link_up(at(0), LinkId(number));
        // The first round runs out.
        sync.handle_timeout(at(10_000));
    }
    while sync.poll_output().is_some() {}
    let begun = |sync: &mut Sync| {
        let outputs = core::iter::from_fn(|| sync.poll_output());
        let asked = outputs.filter_map(|output| match output {
            SyncOutput::Send {
                link,
                frame: Frame::GetHeads(_),
            } => Some(link),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    sync.handle_gap(at(20_000), LinkId(1));
    sync.handle_gap(at(20_500), LinkId(2));
    sync.handle_timeout(at(20_999));
    assert_eq!(begun(&mut sync), []);
    assert_eq!(sync.next_deadline_ms(), Some(21_000));
    sync.handle_timeout(at(21_000));
    assert_eq!(begun(&mut sync), [LinkId(2)]);
}
