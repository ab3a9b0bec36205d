//! From whom and when something is pulled: gossip may be faster, and of several links one is asked.

use alloc::vec;

use super::*;
use crate::wire::Behind;

const OTHER: LinkId = LinkId(2);

/// A machine whose first round is over and whose second has found an unknown head at that time.
fn second_round(now_ms: u64, hint: impl Fn(&mut Sync)) -> Sync {
    let (mut sync, request) = asking();
    give_heads(&mut sync, request, Vec::new());
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Complete));
    hint(&mut sync);
    sync.handle_timeout(at(now_ms));
    let request = give_root(&mut sync, now_ms, LINK);
    give_heads_over(&mut sync, (now_ms, request), LINK, vec![head(1, 1)]);
    sync
}

#[test]
fn what_gossip_brings_meanwhile_is_not_pulled() {
    let behind = |sync: &mut Sync| {
        let frame = Frame::Behind(Behind { missed: 1 });
        sync.handle_frame(at(400), LINK, frame).expect("valid");
    };
    let mut sync = second_round(500, behind);
    let found = look_again(&mut sync, 500);
    sync.handle_wants_found(at(1_500), ticket(found), Vec::new());
    assert_eq!(
        outputs(&mut sync),
        vec![SyncOutput::Finished {
            link: LINK,
            end: RoundEnd::Complete,
            received: 0,
            gained: 0
        }]
    );
}

#[test]
fn what_is_known_to_be_missing_is_pulled_at_once() {
    let missing = |sync: &mut Sync| sync.request(at(400), LINK);
    let mut sync = second_round(500, missing);
    let found = question(&outputs(&mut sync));
    sync.handle_wants_found(at(500), ticket(found), vec![want(head(1, 1))]);
    let made = outputs(&mut sync);
    assert!(matches!(
        &made[..],
        [SyncOutput::Send {
            frame: Frame::Want(_),
            ..
        }]
    ));
}

/// Lets a link's round find these heads, all unknown, up to the question which of them to want, if
/// that is asked.
fn find_heads(sync: &mut Sync, now_ms: u64, link: LinkId, heads: Vec<Head>) -> Vec<SyncOutput> {
    let number = question(&outputs(sync));
    show_heads(sync, (now_ms, number), link, heads)
}

/// The same for a round that has asked for the own root at that time by that number.
fn show_heads(
    sync: &mut Sync,
    (now_ms, number): (u64, u64),
    link: LinkId,
    heads: Vec<Head>,
) -> Vec<SyncOutput> {
    sync.handle_root_read(at(now_ms), Ticket { link, number }, root(1));
    let request = question(&outputs(sync));
    give_heads_over(sync, (now_ms, request), link, heads);
    outputs(sync)
}

/// The heads in question for that link.
fn asked_about(outputs: &[SyncOutput], link: LinkId) -> Vec<Head> {
    let asked = outputs.iter().find_map(|output| match output {
        SyncOutput::FindWants { ticket, heads } if ticket.link == link => Some(heads.clone()),
        _ => None,
    });
    asked.unwrap_or_default()
}

/// A machine that pulls the first author over one link, when another link is up.
fn pulling_beside() -> (Sync, u64) {
    let (mut sync, request) = pulling();
    sync.handle_link_up(at(1), OTHER);
    (sync, request)
}

#[test]
fn an_author_is_pulled_over_one_link_at_a_time() {
    let (mut sync, request) = pulling_beside();
    let made = find_heads(&mut sync, 1, OTHER, vec![head(1, 1), head(2, 2)]);
    assert_eq!(asked_about(&made, OTHER), [head(2, 2)]);
    let number = question(&made);
    let ticket_of_other = Ticket {
        link: OTHER,
        number,
    };
    sync.handle_wants_found(at(1), ticket_of_other, Vec::new());
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Incomplete));
    assert!(
        sync.next_deadline_ms() > Some(1_000),
        "nothing to look for yet"
    );
    give_page(&mut sync, request, vec![vec![7]], 0);
    let delivered = question(&outputs(&mut sync));
    sync.handle_delivered(at(1), ticket(delivered), 1);
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Complete));
    sync.handle_timeout(at(501));
    let begun = outputs(&mut sync);
    let of_other = begun
        .iter()
        .any(|output| matches!(output, SyncOutput::ReadRoot { ticket } if ticket.link == OTHER));
    assert!(
        of_other,
        "when a pull has ended, who left something out looks again"
    );
}

#[test]
fn who_has_left_something_leaves_nothing_in_the_next_round() {
    const LIAR: LinkId = LinkId(3);
    let (mut sync, request) = pulling_beside();
    let made = find_heads(&mut sync, 1, OTHER, vec![head(1, 1)]);
    assert_eq!(end_of(&made), Some(RoundEnd::Incomplete), "all is left");
    // The peer that had it serves nothing, and at once another one promises the same.
    give_page(&mut sync, request, Vec::new(), 0);
    assert_eq!(end_of(&outputs(&mut sync)), Some(RoundEnd::Incomplete));
    sync.handle_link_up(at(501), LIAR);
    let begun = outputs(&mut sync);
    let numbers = begun.iter().filter_map(|output| match output {
        SyncOutput::ReadRoot { ticket } => Some((ticket.link, ticket.number)),
        _ => None,
    });
    let numbers: BTreeMap<LinkId, u64> = numbers.collect();
    let made = show_heads(&mut sync, (501, numbers[&LIAR]), LIAR, vec![head(1, 1)]);
    assert_eq!(asked_about(&made, LIAR), [head(1, 1)], "it promises first");
    let made = show_heads(&mut sync, (501, numbers[&OTHER]), OTHER, vec![head(1, 1)]);
    assert!(made.is_empty(), "it waits for gossip");
    sync.handle_timeout(at(1_501));
    assert_eq!(asked_about(&outputs(&mut sync), OTHER), [head(1, 1)]);
}

#[test]
fn who_serves_slowly_keeps_nobody_to_himself() {
    let (mut sync, _) = pulling();
    sync.handle_link_up(at(1_999), OTHER);
    let made = find_heads(&mut sync, 1_999, OTHER, vec![head(1, 1)]);
    assert_eq!(
        end_of(&made),
        Some(RoundEnd::Incomplete),
        "it is served well so far"
    );
    let (mut sync, _) = pulling();
    sync.handle_link_up(at(2_000), OTHER);
    let made = find_heads(&mut sync, 2_000, OTHER, vec![head(1, 1)]);
    assert_eq!(asked_about(&made, OTHER), [head(1, 1)]);
}

#[test]
fn each_operation_that_comes_earns_a_peer_time() {
    let (mut sync, request) = pulling();
    give_page(&mut sync, request, vec![vec![7]; 500], 9_000);
    let delivered = question(&outputs(&mut sync));
    sync.handle_delivered(at(1), ticket(delivered), 500);
    outputs(&mut sync);
    for (now_ms, is_left) in [(2_499, true), (2_500, false)] {
        let mut sync = sync.clone();
        sync.handle_link_up(at(now_ms), OTHER);
        let made = find_heads(&mut sync, now_ms, OTHER, vec![head(1, 1)]);
        assert_eq!(asked_about(&made, OTHER).is_empty(), is_left, "{now_ms}");
    }
}
