//! The book under floods of lies, and each rule by example.

use alloc::string::ToString;

use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::*;
use crate::address::tests::{address, any_address};

const HOUR: Now = Now {
    monotonic_ms: HOUR_MS,
    unix_ms: 500_000 * HOUR_MS,
};

fn node(byte: u8) -> AuthorKey {
    AuthorKey([byte; 32])
}

/// `hours` after [`HOUR`].
fn later(hours: u64) -> Now {
    Now {
        monotonic_ms: HOUR.monotonic_ms + hours * HOUR_MS,
        unix_ms: HOUR.unix_ms + hours * HOUR_MS,
    }
}

/// The number-th address, each in a neighbourhood of its own.
fn far(number: usize) -> PeerAddress {
    let [.., second, third] = number.to_be_bytes();
    address(&alloc::format!("{}.{third}.0.1:3000", 20 + second))
}

fn peer_at(text: &str) -> Teller {
    Teller::Peer(Some(address(text).neighbourhood()))
}

fn book(addresses_max: usize) -> AddressBook {
    AddressBook::new(BookConfig {
        addresses_max,
        ..BookConfig::default()
    })
}

fn choose(book: &AddressBook, count_max: usize, seed: u64) -> Vec<PeerAddress> {
    let choice = Choice {
        count_max,
        crowd: BTreeMap::new(),
        filter: &|_, _| true,
    };
    book.choose(choice, &mut SplitMix64(seed))
}

#[test]
fn peers_of_one_neighbourhood_fill_no_more_than_their_share() {
    let mut book = book(64);
    for number in 0..200 {
        let teller = peer_at(&alloc::format!("9.9.{}.1:1", number % 250));
        book.tell(HOUR, far(number), None, teller);
    }
    assert_eq!(book.len(), 8);
    assert_eq!(
        book.tell(HOUR, far(900), None, peer_at("9.8.1.1:1")),
        Told::New
    );
    // Their newest take the place of their own, never of others.
    assert_eq!(book.len(), 9);
    assert!(book.get(far(900)).is_some());
}

#[test]
fn one_neighbourhood_is_a_sixteenth_of_the_book() {
    let mut book = book(64);
    for port in 1..200 {
        let told = address(&alloc::format!("9.9.9.9:{port}"));
        book.tell(HOUR, told, None, Teller::File);
    }
    assert_eq!(book.len(), 4);
    let mut at_home = self::book(64);
    for port in 1..200 {
        let told = address(&alloc::format!("127.0.0.1:{port}"));
        at_home.tell(HOUR, told, None, Teller::File);
    }
    assert_eq!(at_home.len(), 64, "of this a network may consist");
}

#[test]
fn what_worked_is_not_forgotten_for_what_was_told() {
    let mut book = book(16);
    for number in 0..16 {
        book.note_worked(HOUR, far(number), node(1), Teller::File);
    }
    assert_eq!(
        book.tell(later(1_000), far(99), None, Teller::File),
        Told::Refused
    );
    assert_eq!(
        book.tell(later(1_000), far(99), None, Teller::Operator),
        Told::New
    );
    assert_eq!(book.len(), 16);
}

#[test]
fn a_full_book_forgets_the_worst_that_never_worked() {
    let mut book = book(16);
    for number in 0..16 {
        book.tell(later(number), far(number as usize), None, Teller::File);
    }
    book.note_failed(later(16), far(7));
    assert_eq!(book.tell(later(16), far(99), None, Teller::File), Told::New);
    assert!(book.get(far(7)).is_none(), "it had failed");
    assert_eq!(book.tell(later(16), far(98), None, Teller::File), Told::New);
    assert!(book.get(far(0)).is_none(), "it was the oldest");
}

#[test]
fn the_score_falls_with_age_and_failures() {
    let known = |worked: Option<u64>, failures| Known {
        node: None,
        teller: Teller::Dht,
        told_unix_ms: HOUR.unix_ms,
        worked_unix_ms: worked.map(|hours| later(hours).unix_ms),
        failures,
    };
    let at = later(100).unix_ms;
    let falling = [
        known(Some(100), 0),
        known(Some(50), 0),
        known(Some(0), 0),
        known(Some(100), 1),
        known(None, 0),
        known(None, 1),
    ];
    let scores = falling.map(|known| known.score(at));
    assert!(
        scores.is_sorted_by(|left, right| left > right),
        "{scores:?}"
    );
    assert_eq!(known(Some(0), 0).score(u64::MAX), ONCE_WORKED_SCORE);
    assert!(known(None, u32::MAX).score(0) < 0, "no overflow");
}

#[test]
fn a_failed_address_rests_twice_as_long_each_time_until_it_works() {
    let mut book = book(16);
    let at_ms = |monotonic_ms| Now {
        monotonic_ms,
        ..HOUR
    };
    book.tell(at_ms(0), far(1), None, Teller::Dht);
    let mut now_ms = 0;
    for expected_ms in [1_000, 2_000, 4_000, 8_000] {
        book.note_failed(at_ms(now_ms), far(1));
        assert!(book.rests(at_ms(now_ms + expected_ms - 1), far(1)));
        now_ms += expected_ms;
        assert!(!book.rests(at_ms(now_ms), far(1)));
    }
    for _ in 0..100 {
        book.note_failed(at_ms(now_ms), far(1));
    }
    let until_ms = book.next_rested_ms(at_ms(now_ms), &|_, _| true);
    assert_eq!(until_ms, Some(now_ms + 600_000));
    book.note_worked(at_ms(now_ms), far(1), node(1), Teller::Dht);
    assert!(!book.rests(at_ms(now_ms), far(1)));
    assert_eq!(book.get(far(1)).map(|known| known.failures), Some(0));
}

#[test]
fn own_and_unreachable_addresses_are_not_kept() {
    let mut book = book(16);
    book.tell(HOUR, far(1), None, Teller::Dht);
    book.note_own(far(1));
    assert!(book.is_empty() && book.is_own(far(1)));
    for unusable in [far(1), address("0.0.0.0:5"), address("[fe80::1]:5")] {
        assert_eq!(
            book.tell(HOUR, unusable, None, Teller::Operator),
            Told::Refused
        );
    }
    for number in 0..100 {
        book.note_own(far(number));
    }
    assert_eq!(book.own.len(), OWN_MAX);
}

#[test]
fn a_claimed_key_does_not_replace_a_proven_one() {
    let mut book = book(16);
    book.tell(HOUR, far(1), Some(node(9)), Teller::Dht);
    assert_eq!(book.get(far(1)).and_then(|known| known.node), Some(node(9)));
    book.note_worked(HOUR, far(1), node(1), Teller::Dht);
    book.tell(HOUR, far(1), Some(node(9)), Teller::Dht);
    assert_eq!(book.get(far(1)).and_then(|known| known.node), Some(node(1)));
}

#[test]
fn a_choice_takes_one_of_each_neighbourhood_first() {
    let mut book = book(256);
    for port in 1..=10 {
        let crowded = address(&alloc::format!("9.9.9.9:{port}"));
        book.note_worked(HOUR, crowded, node(1), Teller::File);
    }
    for number in 0..4 {
        book.tell(HOUR, far(number), None, Teller::File);
    }
    for seed in 0..20 {
        let chosen = choose(&book, 5, seed);
        let near: BTreeSet<_> = chosen.iter().map(|it| it.neighbourhood()).collect();
        assert_eq!(near.len(), 5, "{chosen:?}");
    }
    assert_eq!(choose(&book, 100, 1).len(), 14);
}

#[test]
fn what_worked_is_chosen_more_often_than_what_is_untried_and_failed_last() {
    let mut book = book(64);
    book.note_worked(HOUR, far(1), node(1), Teller::File);
    book.tell(HOUR, far(2), None, Teller::File);
    book.tell(HOUR, far(3), None, Teller::File);
    book.note_failed(HOUR, far(3));
    let first: Vec<_> = (0..400).map(|seed| choose(&book, 1, seed)[0]).collect();
    let count = |number| first.iter().filter(|it| **it == far(number)).count();
    assert!((250..350).contains(&count(1)), "{}", count(1));
    assert!((50..150).contains(&count(2)), "{}", count(2));
    assert_eq!(count(3), 0);
    assert_eq!(choose(&book, 3, 7).last(), Some(&far(3)));
}

#[test]
fn times_of_the_future_in_a_file_become_now() {
    let mut book = book(16);
    let known = Known {
        node: None,
        teller: Teller::Dht,
        told_unix_ms: u64::MAX,
        worked_unix_ms: Some(u64::MAX),
        failures: 0,
    };
    book.restore(HOUR, far(1), known);
    let restored = book.get(far(1)).expect("kept");
    assert_eq!(restored.told_unix_ms, HOUR.unix_ms);
    assert_eq!(restored.worked_unix_ms, Some(HOUR.unix_ms));
    assert_eq!(restored.teller, Teller::File);
}

/// What happens to a book.
#[derive(Clone, Debug)]
enum Step {
    Tell(PeerAddress, Teller),
    Worked(PeerAddress),
    Failed(PeerAddress),
    Own(PeerAddress),
}

fn any_step() -> impl Strategy<Value = Step> {
    let near = (0..4_u8, 0..40_u8, 1..9_u16).prop_map(|(first, second, port)| {
        address(&alloc::format!("{}.{second}.0.1:{port}", 10 + first))
    });
    let place = prop_oneof![3 => near, 1 => any_address()];
    let teller = prop_oneof![
        Just(Teller::Operator),
        Just(Teller::File),
        Just(Teller::Local),
        Just(Teller::Dht),
        Just(Teller::Itself),
        (0..3_u8).prop_map(|byte| Teller::Peer(Some(Neighbourhood::V4([byte, 0])))),
    ];
    prop_oneof![
        6 => (place.clone(), teller).prop_map(|(at, teller)| Step::Tell(at, teller)),
        2 => place.clone().prop_map(Step::Worked),
        2 => place.clone().prop_map(Step::Failed),
        1 => place.prop_map(Step::Own),
    ]
}

proptest! {
    #[test]
    fn no_history_breaks_a_bound(steps in vector(any_step(), 1..300), seed in any::<u64>()) {
        let mut book = book(32);
        let mut named = BTreeSet::new();
        for (hours, step) in steps.into_iter().enumerate() {
            let now = later(hours as u64);
            match step {
                Step::Tell(at, teller) => {
                    let told = book.tell(now, at, None, teller);
                    prop_assert_eq!(told == Told::Refused, book.get(at).is_none());
                    if teller == Teller::Operator && told != Told::Refused {
                        named.insert(at);
                    }
                }
                Step::Worked(at) => book.note_worked(now, at, node(1), Teller::Itself),
                Step::Failed(at) => book.note_failed(now, at),
                Step::Own(at) => {
                    book.note_own(at);
                    named.remove(&at);
                }
            }
            prop_assert!(book.len() <= 32);
            prop_assert!(named.iter().all(|at| book.get(*at).is_some()), "the operator's word");
            prop_assert!(book.iter().all(|(at, _)| at.reach() != Reach::Nobody));
            prop_assert!(book.iter().all(|(at, _)| !book.is_own(at)));
            let count = |teller| book.iter().filter(|(_, known)| known.teller == teller).count();
            prop_assert!(count(Teller::Local) <= 8);
            prop_assert!(count(Teller::Dht) <= 16 && count(Teller::Itself) <= 16);
            prop_assert!(count(Teller::Peer(Some(Neighbourhood::V4([0, 0])))) <= 4);
        }
        let chosen = choose(&book, 1_000, seed);
        let distinct: BTreeSet<_> = chosen.iter().collect();
        prop_assert_eq!(distinct.len(), book.len(), "each once");
    }
}

#[test]
fn every_teller_has_a_word_of_its_own() {
    let all = [
        Teller::Operator,
        Teller::File,
        Teller::Local,
        Teller::Dht,
        Teller::Itself,
        Teller::Peer(None),
    ];
    let names: BTreeSet<_> = all.iter().map(|it| it.name().to_string()).collect();
    assert_eq!(names.len(), all.len());
}
