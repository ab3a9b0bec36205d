//! Tests of synchronisation: single rounds, and in `worlds` many nodes that must converge.

use alloc::vec;

use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::*;
use crate::types::{AuthorKey, Digest, OpId, at};
use crate::wire::{BranchPath, ChildDigest, Head};

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
            Frame::GetBranches(ask) => Some(ask.request),
            Frame::Want(want) => Some(want.request),
            _ => None,
        },
        SyncOutput::ReadRoot { ticket }
        | SyncOutput::Compare { ticket, .. }
        | SyncOutput::FindWants { ticket, .. }
        | SyncOutput::Deliver { ticket, .. } => Some(ticket.number),
        _ => None,
    });
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers.len(), 1, "{outputs:?}");
    numbers[0]
}

fn ticket(number: u64) -> Ticket {
    Ticket { link: LINK, number }
}

/// What the owner of the set has in all, as a byte.
fn root(byte: u8) -> BranchDigest {
    BranchDigest {
        path: BranchPath::default(),
        digest: Digest([byte; 32]),
    }
}

/// Answers the question of the owner's root and returns the number of that to the peer.
fn give_root(sync: &mut Sync, now_ms: u64, link: LinkId) -> u64 {
    let number = question(&outputs(sync));
    sync.handle_root_read(at(now_ms), Ticket { link, number }, root(1));
    question(&outputs(sync))
}

/// A machine with one link whose first round has asked about the root, and the number of that
/// question.
fn asking() -> (Sync, u64) {
    let mut sync = Sync::new(SyncConfig::default());
    sync.handle_link_up(at(0), LINK);
    let request = give_root(&mut sync, 0, LINK);
    (sync, request)
}

fn leaf(heads: Vec<Head>) -> Branch {
    Branch {
        path: BranchPath::default(),
        children: Vec::new(),
        heads,
    }
}

fn divided(path: BranchPath, digits: &[u8]) -> Branch {
    let child = |digit: &u8| ChildDigest {
        digit: *digit,
        digest: Digest([9; 32]),
    };
    Branch {
        path,
        children: digits.iter().map(child).collect(),
        heads: Vec::new(),
    }
}

fn give_branches(
    sync: &mut Sync,
    request: u64,
    branches: Vec<Branch>,
) -> Result<(), SyncViolation> {
    let shown = Frame::Branches(Branches { request, branches });
    sync.handle_frame(at(1), LINK, shown)
}

/// The peer has just these heads, all unknown, and the machine asks what to want.
fn give_heads(sync: &mut Sync, request: u64, heads: Vec<Head>) {
    give_heads_over(sync, (1, request), LINK, heads);
}

/// The same for the round of a link that has asked for branches by this request, at that time.
fn give_heads_over(sync: &mut Sync, (now_ms, request): (u64, u64), link: LinkId, heads: Vec<Head>) {
    let branches = vec![leaf(heads.clone())];
    let shown = Frame::Branches(Branches { request, branches });
    let given = sync.handle_frame(at(now_ms), link, shown);
    given.expect("valid branches");
    let number = question(&outputs(sync));
    let compared = Comparison {
        branches: Vec::new(),
        heads,
    };
    sync.handle_compared(at(now_ms), Ticket { link, number }, compared);
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
    give_heads(&mut sync, request, vec![head(1, 1)]);
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
fn equal_sets_end_a_round_with_one_question_and_an_answer_of_a_few_bytes() {
    let (mut sync, request) = asking();
    give_branches(&mut sync, request, Vec::new()).expect("valid branches");
    let number = question(&outputs(&mut sync));
    sync.handle_compared(at(1), ticket(number), Comparison::default());
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Complete));
    assert_eq!(sync.next_deadline_ms(), Some(30_000));
    let ask = Frame::<Vec<u8>>::GetBranches(GetBranches {
        request,
        branches: vec![root(1)],
    });
    let answer = Frame::<Vec<u8>>::Branches(Branches {
        request,
        branches: Vec::new(),
    });
    assert!(ask.encode().1.len() < 48 && answer.encode().1.len() < 8);
}

#[test]
fn who_was_asked_by_an_equal_peer_need_not_ask_it() {
    let (mut sync, request) = asking();
    give_branches(&mut sync, request, Vec::new()).expect("valid branches");
    let number = question(&outputs(&mut sync));
    sync.handle_compared(at(1), ticket(number), Comparison::default());
    outputs(&mut sync);
    for (path, shown, due_ms) in [
        (BranchPath::default().child(3), Vec::new(), 30_000..30_001),
        (
            BranchPath::default(),
            vec![leaf(vec![head(1, 1)])],
            30_000..30_001,
        ),
        (BranchPath::default(), Vec::new(), 55_000..62_500),
    ] {
        let asked = BranchDigest { path, ..root(1) };
        let ask = GetBranches {
            request: 7,
            branches: vec![asked.clone()],
        };
        sync.handle_frame(at(25_000), LINK, Frame::GetBranches(ask))
            .expect("valid");
        let made = outputs(&mut sync);
        let [
            SyncOutput::ReadBranches {
                ticket,
                asked: read,
            },
        ] = &made[..]
        else {
            panic!("{made:?}");
        };
        assert_eq!(read, &vec![asked]);
        sync.handle_branches_read(at(25_000), *ticket, shown);
        outputs(&mut sync);
        let next_ms = sync.next_deadline_ms().expect("a round to come");
        assert!(due_ms.contains(&next_ms), "{next_ms}");
    }
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
    let request = give_root(&mut sync, 30_000, LINK);
    give_heads_over(&mut sync, (30_000, request), LINK, vec![head(1, 1)]);
    let found = look_again(&mut sync, 30_000);
    sync.handle_wants_found(at(31_000), ticket(found), vec![want(head(1, 1))]);
    let made = outputs(&mut sync);
    assert!(
        matches!(&made[..], [SyncOutput::Send { frame: Frame::Want(want), .. }]
            if want.from == last),
        "{made:?}"
    );
}

/// Lets the time pass that gossip is given; returns the number of the question which heads are
/// still unknown.
fn look_again(sync: &mut Sync, now_ms: u64) -> u64 {
    let due_ms = now_ms + SyncConfig::default().on_way_ms;
    assert!(outputs(sync).is_empty(), "it waits");
    assert_eq!(sync.next_deadline_ms(), Some(due_ms));
    sync.handle_timeout(at(due_ms - 1));
    assert!(outputs(sync).is_empty(), "it still waits");
    sync.handle_timeout(at(due_ms));
    question(&outputs(sync))
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
        let request = give_root(&mut sync, 1, other);
        let equal = Branches {
            request,
            branches: Vec::new(),
        };
        let result = sync.handle_frame(at(1), other, Frame::Branches(equal));
        assert_eq!(result, Ok(()));
        let number = question(&outputs(&mut sync));
        let ticket = Ticket {
            link: other,
            number,
        };
        sync.handle_compared(at(1), ticket, Comparison::default());
        outputs(&mut sync);
        if is_down {
            sync.handle_link_down(at(11_000), LINK);
        } else {
            sync.handle_timeout(at(11_000));
        }
        let made = outputs(&mut sync);
        let asked = made.iter().any(
            |output| matches!(output, SyncOutput::ReadRoot { ticket } if ticket.link == other),
        );
        assert!(asked, "{made:?}");
    }
}

#[test]
fn answers_that_nobody_waits_for_are_dropped() {
    let (mut sync, request) = asking();
    give_page(&mut sync, request, vec![vec![1]], 0);
    give_page(&mut sync, request + 1, vec![vec![1]], 0);
    give_branches(&mut sync, request + 1, vec![leaf(vec![head(1, 1)])]).expect("ignored");
    sync.handle_root_read(at(1), ticket(request), root(1));
    sync.handle_compared(at(1), ticket(request), Comparison::default());
    sync.handle_wants_found(at(1), ticket(request), vec![want(head(1, 1))]);
    sync.handle_delivered(at(1), ticket(request), 1);
    sync.handle_branches_read(at(1), ticket(request), Vec::new());
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
fn branches_that_cannot_be_end_the_session() {
    let all = BranchPath::default();
    let both = Branch {
        heads: vec![head(1, 1)],
        ..divided(all.clone(), &[1, 2])
    };
    for (branches, violation) in [
        (
            vec![leaf(vec![head(1, 1), head(1, 1)])],
            SyncViolation::Branch,
        ),
        (
            vec![leaf(vec![head(2, 1), head(1, 1)])],
            SyncViolation::Branch,
        ),
        (
            vec![leaf(vec![head(1, 2), head(1, 1)])],
            SyncViolation::Branch,
        ),
        (vec![divided(all.clone(), &[1])], SyncViolation::Branch),
        (vec![divided(all.clone(), &[2, 1])], SyncViolation::Branch),
        (vec![divided(all.clone(), &[2, 2])], SyncViolation::Branch),
        (vec![divided(all.clone(), &[2, 16])], SyncViolation::Branch),
        (vec![both], SyncViolation::Branch),
        (
            vec![Branch {
                path: all.child(1),
                ..leaf(Vec::new())
            }],
            SyncViolation::Branch,
        ),
        (
            vec![leaf(Vec::new()), leaf(Vec::new())],
            SyncViolation::NotAsked,
        ),
    ] {
        let (mut sync, request) = asking();
        let result = give_branches(&mut sync, request, branches.clone());
        assert_eq!(result, Err(violation), "{branches:?}");
    }
}

#[test]
fn a_branch_must_lie_within_one_that_was_asked_for() {
    let (mut sync, request) = asking();
    let all = BranchPath::default();
    give_branches(&mut sync, request, vec![divided(all.clone(), &[1, 5])]).expect("valid");
    let number = question(&outputs(&mut sync));
    let part = |digit| BranchDigest {
        path: all.child(digit),
        ..root(1)
    };
    let compared = Comparison {
        branches: vec![part(1), part(5)],
        heads: Vec::new(),
    };
    sync.handle_compared(at(1), ticket(number), compared);
    let request = question(&outputs(&mut sync));
    let shown = |digit, heads| Branch {
        path: all.child(digit),
        ..leaf(heads)
    };
    for (branches, result) in [
        (
            vec![shown(5, Vec::new()), shown(1, Vec::new())],
            Err(SyncViolation::NotAsked),
        ),
        (vec![shown(2, Vec::new())], Err(SyncViolation::NotAsked)),
        (
            vec![shown(1, vec![head(0x20, 1)])],
            Err(SyncViolation::Branch),
        ),
        (
            vec![shown(1, vec![head(0x10, 1)]), shown(5, Vec::new())],
            Ok(()),
        ),
    ] {
        let mut sync = sync.clone();
        assert_eq!(give_branches(&mut sync, request, branches), result);
    }
}

#[test]
fn endless_branches_are_looked_at_in_portions_that_continue() {
    let config = SyncConfig {
        branches_pages_max: 3,
        ..SyncConfig::default()
    };
    let mut sync = Sync::new(config);
    sync.handle_link_up(at(0), LINK);
    let mut request = give_root(&mut sync, 0, LINK);
    let mut path = BranchPath::default();
    for _ in 0..3 {
        give_branches(&mut sync, request, vec![divided(path.clone(), &[4, 5])]).expect("valid");
        let number = question(&outputs(&mut sync));
        let part = |digit| BranchDigest {
            path: path.child(digit),
            ..root(2)
        };
        // Only the second part is different.
        let compared = Comparison {
            branches: vec![part(5)],
            heads: Vec::new(),
        };
        sync.handle_compared(at(1), ticket(number), compared);
        path = path.child(5);
        let made = outputs(&mut sync);
        if end_of(&made).is_none() {
            request = question(&made);
        }
    }
    assert_eq!(sync.next_deadline_ms(), Some(30_000), "the round has ended");
    sync.handle_timeout(at(30_000));
    let request = give_root(&mut sync, 30_000, LINK);
    let all = BranchPath::default();
    give_branches(&mut sync, request, vec![divided(all.clone(), &[4, 5, 6])]).expect("valid");
    let number = question(&outputs(&mut sync));
    let parts = [4, 5, 6].map(|digit| BranchDigest {
        path: all.child(digit),
        ..root(2)
    });
    let compared = Comparison {
        branches: parts.to_vec(),
        heads: Vec::new(),
    };
    sync.handle_compared(at(30_000), ticket(number), compared);
    let made = outputs(&mut sync);
    assert!(
        matches!(&made[..], [SyncOutput::Send { frame: Frame::GetBranches(ask), .. }]
            if ask.branches == parts[1..]),
        "what lies before the place is not looked at again: {made:?}"
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
            if let SyncOutput::ReadRoot { ticket } = output {
                rounds += 1;
                sync.handle_root_read(at(now_ms), ticket, root(1));
                let request = question(&outputs(&mut sync));
                give_branches(&mut sync, request, Vec::new()).expect("valid branches");
                let number = question(&outputs(&mut sync));
                sync.handle_compared(at(now_ms), self::ticket(number), Comparison::default());
            }
        }
    }
    assert_eq!(rounds, 10);
}

#[test]
fn one_answer_at_a_time_is_prepared_for_a_link() {
    let (mut sync, _) = asking();
    let ask = |request| {
        Frame::GetBranches(GetBranches {
            request,
            branches: vec![root(2)],
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
    let [SyncOutput::ReadBranches { ticket, .. }] = made[..] else {
        panic!("{made:?}");
    };
    let branches = vec![leaf(vec![head(1, 1)])];
    sync.handle_branches_read(at(1), ticket, branches.clone());
    sync.handle_branches_read(at(1), ticket, branches.clone());
    let answer = SyncOutput::Send {
        link: LINK,
        frame: Frame::Branches(Branches {
            request: 0,
            branches,
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_frames_never_panic_and_leave_one_round_a_link(
        frames in vector((1..20_u8, vector(any::<u8>(), 0..40), 0..40_u64), 0..60),
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

mod sources;
mod worlds;
