//! Members come and go; books stay equal.

use alloc::vec;

use ed25519_zebra::SigningKey;
use proptest::collection::vec as vector;
use proptest::prelude::*;

use super::*;
use crate::exchange::{Exchange, InvalidError, Output, SubmitError};
use crate::genesis::tests::test_genesis;
use crate::handshake::{LocalNode, compare};
use crate::matching::{Book, EndReason, Pricing, SelfTrade, TimeInForce};
use crate::op::{Half, OperationError, Place, Verified};
use crate::random::SplitMix64;
use crate::types::{LinkId, Lots, MarketIndex, Now, OrderId, Side, Source, Ticks};
use crate::wire::RefuseCode;

const ADMINISTRATOR: u8 = 1;
const FOUNDER: u8 = 2;
const NEWCOMER: u8 = 3;

fn signing_key(number: u8) -> SigningKey {
    SigningKey::from([number; 32])
}

fn author(number: u8) -> AuthorKey {
    Exchange::new(test_genesis(), signing_key(number), Book::new).author()
}

/// A network with one administrator and one other founder.
fn closed() -> Genesis {
    Genesis {
        allow_list: vec![author(FOUNDER)],
        administrators: vec![author(ADMINISTRATOR)],
        ..test_genesis()
    }
    .checked()
    .expect("the genesis is valid")
}

fn node(number: u8) -> Exchange<Book> {
    Exchange::new(closed(), signing_key(number), Book::new)
}

fn at(unix_ms: u64) -> Now {
    Now {
        monotonic_ms: unix_ms,
        unix_ms,
    }
}

fn change(change: MemberChange) -> Action {
    let author = author(NEWCOMER);
    Action::Member { author, change }
}

fn place(side: Side, price: u64) -> Action {
    Action::Place(Place {
        market: MarketIndex(0),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(5),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    })
}

/// Writes an operation, on disk at once.
fn write(node: &mut Exchange<Book>, now_ms: u64, action: Action) -> Verified {
    node.submit(at(now_ms), vec![action]).expect("written");
    node.handle_persisted(node.dag().len());
    let mut written = None;
    while let Some(output) = node.poll_output() {
        if let Output::Relay { operation, .. } = output {
            written = Some(operation);
        }
    }
    written.expect("an own operation travels when it is on disk")
}

/// Takes operations in, and gives what was found invalid.
fn take(node: &mut Exchange<Book>, operations: Vec<Verified>) -> Vec<InvalidError> {
    let latest = operations.iter().map(|it| it.body().time.unix_ms()).max();
    take_at(node, latest.unwrap_or(0) + 1, operations)
}

/// The same, when it is so late.
fn take_at(node: &mut Exchange<Book>, now_ms: u64, operations: Vec<Verified>) -> Vec<InvalidError> {
    let now = at(now_ms);
    node.receive(now, Source::push(LinkId(1)), operations);
    node.handle_tick(now);
    let outputs = core::iter::from_fn(|| node.poll_output());
    outputs
        .filter_map(|output| match output {
            Output::Invalid { error, .. } => Some(error),
            _ => None,
        })
        .collect()
}

fn ended(node: &Exchange<Book>, operation: &Verified) -> Option<EndReason> {
    let order = OrderId::new(&operation.id(), 0);
    node.replica().order(&order).expect("it is known").ended
}

#[test]
fn a_stranger_writes_only_after_an_administrator_has_admitted_him() {
    let (mut administrator, mut newcomer) = (node(ADMINISTRATOR), node(NEWCOMER));
    let early = newcomer.submit(at(100_000), vec![place(Side::Buy, 10)]);
    assert_eq!(early, Err(SubmitError::NotMember(Standing::Stranger)));
    assert_eq!(newcomer.dag().len(), 0, "nothing is written");
    let admission = write(&mut administrator, 100_100, change(MemberChange::Admit));
    take(&mut newcomer, vec![admission.clone()]);
    let first = write(&mut newcomer, 100_200, place(Side::Buy, 10));
    assert!(first.body().refs.contains(&admission.id()));
    assert_eq!(take(&mut administrator, vec![first.clone()]), vec![]);
    assert_eq!(ended(&administrator, &first), None);
    // Whoever gets it before the admission waits for that, as for any ancestor.
    let mut founder = node(FOUNDER);
    take(&mut founder, vec![first.clone()]);
    assert_eq!(founder.dag().len(), 0);
    take(&mut founder, vec![admission]);
    assert_eq!(founder.dag().len(), 2);
}

#[test]
fn a_first_operation_that_names_no_admission_is_invalid_for_ever() {
    let mut founder = node(FOUNDER);
    // The same key in a network where it is a founder writes what a liar would.
    let body = Body {
        version: crate::op::OPERATION_VERSION,
        author: author(NEWCOMER),
        seq: 0,
        prev: None,
        time: HybridTime::from_unix_ms(100_000),
        refs: vec![],
        checkpoint: 0,
        actions: vec![place(Side::Buy, 10)],
    };
    let genesis = closed();
    let forged = Verified::sign(body, &signing_key(NEWCOMER), &genesis, &genesis.digest());
    let forged = forged.expect("valid but for its ancestors");
    let errors = take(&mut founder, vec![forged]);
    assert_eq!(errors, vec![InvalidError::Membership(NotAdmitted)]);
    assert_eq!(founder.dag().len(), 0);
}

#[test]
fn only_administrators_change_members_and_never_each_other() {
    let mut founder = node(FOUNDER);
    let admit = founder.submit(at(100_000), vec![change(MemberChange::Admit)]);
    let forbidden = Err(SubmitError::Operation(OperationError::NotAllowed));
    assert_eq!(admit, forbidden);
    let mut administrator = node(ADMINISTRATOR);
    let author = author(ADMINISTRATOR);
    let change = MemberChange::Expel;
    let expel = vec![Action::Member { author, change }];
    assert_eq!(administrator.submit(at(100_000), expel), forbidden);
}

#[test]
fn expulsion_ends_what_rests_and_rejects_what_is_placed_later() {
    let (mut administrator, mut newcomer) = (node(ADMINISTRATOR), node(NEWCOMER));
    let admission = write(&mut administrator, 100_000, change(MemberChange::Admit));
    take(&mut newcomer, vec![admission]);
    let resting = write(&mut newcomer, 100_100, place(Side::Buy, 10));
    take(&mut administrator, vec![resting.clone()]);
    let expulsion = write(&mut administrator, 100_200, change(MemberChange::Expel));
    // The newcomer has not heard of it, or says so.
    let later = write(&mut newcomer, 100_400, place(Side::Buy, 11));
    take(&mut administrator, vec![later.clone()]);
    assert_eq!(ended(&administrator, &resting), Some(EndReason::Expelled));
    assert_eq!(ended(&administrator, &later), Some(EndReason::NoMember));
    take(&mut newcomer, vec![expulsion]);
    assert_eq!(newcomer.digests(), administrator.digests());
    let again = newcomer.submit(at(100_500), vec![place(Side::Buy, 12)]);
    assert_eq!(again, Err(SubmitError::NotMember(Standing::Expelled)));
    let pardon = write(&mut administrator, 100_600, change(MemberChange::Admit));
    take(&mut newcomer, vec![pardon]);
    let back = write(&mut newcomer, 100_800, place(Side::Buy, 12));
    take(&mut administrator, vec![back.clone()]);
    assert_eq!(ended(&administrator, &back), None);
    assert_eq!(newcomer.digests(), administrator.digests());
}

#[test]
fn a_trade_that_both_signed_stands_although_one_had_been_expelled_before() {
    let mut administrator = node(ADMINISTRATOR);
    let (mut founder, mut newcomer) = (node(FOUNDER), node(NEWCOMER));
    let admission = write(&mut administrator, 100_000, change(MemberChange::Admit));
    take(&mut newcomer, vec![admission.clone()]);
    take(&mut founder, vec![admission]);
    let expulsion = write(&mut administrator, 100_100, change(MemberChange::Expel));
    // The other two have not heard of it.
    let maker = write(&mut founder, 100_200, place(Side::Sell, 10));
    take(&mut newcomer, vec![maker.clone()]);
    let taker = write(&mut newcomer, 100_300, place(Side::Buy, 10));
    take(&mut founder, vec![taker.clone()]);
    let orders = [&maker, &taker].map(|it| OrderId::new(&it.id(), 0));
    let half = |own: OrderId, other: OrderId| {
        Action::Confirm(Half {
            market: MarketIndex(0),
            own,
            other,
            piece: 0,
            quantity: Lots(5),
            price: Ticks(10),
        })
    };
    let first = write(&mut newcomer, 100_400, half(orders[1], orders[0]));
    take(&mut founder, vec![first]);
    let second = write(&mut founder, 100_500, half(orders[0], orders[1]));
    take(&mut newcomer, vec![second]);
    let sealed = founder.digests().final_trades;
    take(&mut founder, vec![expulsion]);
    assert_eq!(founder.digests().final_trades, sealed);
    assert_eq!(ended(&founder, &taker), Some(EndReason::NoMember));
    let filled = |order| founder.replica().order(order).map(|row| row.filled);
    assert_eq!(orders.each_ref().map(filled), [Some(Lots(5)); 2]);
    assert_eq!(ended(&founder, &maker), Some(EndReason::Filled));
}

#[test]
fn sessions_are_for_members_and_for_those_who_show_their_admission() {
    let genesis = closed();
    let local = |number: u8| LocalNode {
        key: author(number),
        genesis: genesis.clone(),
        listen: None,
        instance: u64::from(number),
        dht_port: None,
    };
    let mut administrator = node(ADMINISTRATOR);
    let admission = write(&mut administrator, 100_000, change(MemberChange::Admit));
    let mut admitted = node(NEWCOMER);
    take(&mut admitted, vec![admission.clone()]);
    let nothing = Membership::default();
    let judge = |here: &Membership, shown: &Membership| {
        let hello = local(NEWCOMER).hello(at(0), 1, shown);
        let judged = compare(at(0), &local(FOUNDER), here, (author(NEWCOMER), hello));
        judged.map(|_| ()).map_err(|refuse| refuse.code)
    };
    assert_eq!(judge(&nothing, &nothing), Err(RefuseCode::NotAllowed));
    assert_eq!(judge(administrator.membership(), &nothing), Ok(()));
    assert_eq!(judge(&nothing, admitted.membership()), Ok(()));
    // What admits one proves nothing of another.
    let mut hello = local(NEWCOMER).hello(at(0), 1, admitted.membership());
    let other = author(9);
    let refused = compare(at(0), &local(FOUNDER), &nothing, (other, hello.clone()));
    assert_eq!(refused.map_err(|it| it.code), Err(RefuseCode::NotAllowed));
    // Nor does one with a wrong signature.
    if let Some(byte) = hello.admission.as_mut().and_then(|wire| wire.last_mut()) {
        *byte ^= 1;
    }
    let refused = compare(at(0), &local(FOUNDER), &nothing, (author(NEWCOMER), hello));
    assert_eq!(refused.map_err(|it| it.code), Err(RefuseCode::NotAllowed));
    let expulsion = write(&mut administrator, 100_100, change(MemberChange::Expel));
    let mut away = node(FOUNDER);
    take(&mut away, vec![admission, expulsion.clone()]);
    let judged = judge(away.membership(), admitted.membership());
    assert_eq!(
        judged,
        Err(RefuseCode::NotAllowed),
        "the expulsion is later"
    );
    // Who was away since then believes what is later still.
    let again = write(&mut administrator, 100_200, change(MemberChange::Admit));
    take(&mut admitted, vec![expulsion, again]);
    assert_eq!(judge(away.membership(), admitted.membership()), Ok(()));
}

/// One step of a random history, and how many milliseconds after the one before.
#[derive(Clone, Copy, Debug)]
enum Step {
    Change(MemberChange),
    Newcomer(u64),
    Founder(u64),
    /// The newcomer hears of everything.
    Hear,
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        1 => Just(Step::Change(MemberChange::Admit)),
        2 => Just(Step::Change(MemberChange::Expel)),
        4 => (90_u64..110).prop_map(Step::Newcomer),
        3 => (90_u64..110).prop_map(Step::Founder),
        1 => Just(Step::Hear),
    ];
    (0_u64..120, step)
}

/// Plays a history and gives all its operations.
fn play(steps: &[(u64, Step)]) -> Vec<Verified> {
    let mut nodes = [node(ADMINISTRATOR), node(FOUNDER), node(NEWCOMER)];
    let mut now_ms = 100_000;
    let admission = write(&mut nodes[0], now_ms, change(MemberChange::Admit));
    take(&mut nodes[2], vec![admission.clone()]);
    let mut all = vec![admission];
    let mut heard = 1;
    for (wait_ms, step) in steps {
        now_ms += wait_ms;
        let (writer, action) = match step {
            Step::Change(what) => (0, change(*what)),
            Step::Founder(price) => (1, place(Side::Sell, *price)),
            Step::Newcomer(price) => (2, place(Side::Buy, *price)),
            Step::Hear => {
                take(&mut nodes[2], all[heard..].to_vec());
                heard = all.len();
                continue;
            }
        };
        // The newcomer's own node keeps an expelled one from placing.
        if writer == 2 && nodes[2].standing(&author(NEWCOMER)) == Standing::Expelled {
            continue;
        }
        // The other two hear of everything at once.
        let operation = write(&mut nodes[writer], now_ms, action);
        for reader in [0, 1] {
            if reader != writer {
                take(&mut nodes[reader], vec![operation.clone()]);
            }
        }
        all.push(operation);
    }
    all
}

/// Whether the newcomer was expelled before a bucket: the rule, word for word.
fn is_expelled(all: &[Verified], bucket: u64) -> bool {
    let mut changes: Vec<_> = all
        .iter()
        .flat_map(|it| {
            let key = (it.body().time, it.id());
            let changes = it.body().actions.iter().filter_map(Action::member);
            changes.map(move |(_, change)| (key, change))
        })
        .filter(|((time, _), _)| time.unix_ms() / 50 < bucket)
        .collect();
    changes.sort_unstable();
    changes
        .last()
        .is_some_and(|(_, change)| *change == MemberChange::Expel)
}

proptest! {
    #[test]
    fn books_are_equal_in_any_order_of_arrival_and_the_expelled_place_nothing(
        steps in vector(any_step(), 1..40),
        seed in any::<u64>(),
    ) {
        let all = play(&steps);
        let mut plain = node(FOUNDER);
        take(&mut plain, all.clone());
        let mut random = SplitMix64(seed);
        let mut shuffled = all.clone();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.any() as usize % (at + 1));
        }
        let mut piecewise = node(FOUNDER);
        for operation in shuffled {
            take_at(&mut piecewise, 200_000, vec![operation]);
        }
        prop_assert_eq!(plain.dag().len(), all.len());
        prop_assert_eq!(plain.digests(), piecewise.digests());
        let latest = all.iter().map(|it| it.body().time.unix_ms() / 50).max();
        for operation in &all {
            let body = operation.body();
            let is_place = matches!(body.actions[..], [Action::Place(_)]);
            if body.author != author(NEWCOMER) || !is_place {
                continue;
            }
            let bucket = body.time.unix_ms() / 50;
            let is_rejected = ended(&plain, operation) == Some(EndReason::NoMember);
            prop_assert_eq!(is_rejected, is_expelled(&all, bucket));
            if is_expelled(&all, latest.unwrap_or(0)) {
                prop_assert!(ended(&plain, operation).is_some(), "nothing of his rests");
            }
        }
    }
}
