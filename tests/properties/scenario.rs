//! What may happen in a random network, as data that shrinks well.
//!
//! Every number in a step is taken modulo whatever there is to choose from, so that a scenario
//! stays meaningful when steps before it are removed.

use bitfitech_core::op::MemberChange;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// The seed of a run that names none.
const SEED: u64 = 20_090_103;

/// A whole scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How far each honest node's clock is off, in milliseconds; one node per entry.
    pub skews_ms: Vec<i64>,
    /// How many liars there are.
    pub liars: u8,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Decides in which order each node hears of everything in the end.
    pub shuffle: u64,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A node writes an operation.
    Submit { node: u8, actions: Vec<Draft> },
    /// A node hears of all that is published and confirms a trade, counted back from the newest;
    /// its partner hears of that and answers.
    Agree {
        node: u8,
        trade: u8,
        amounts: [Amount; 2],
    },
    /// A liar signs one.
    Craft {
        liar: u8,
        lie: Lie,
        actions: Vec<Draft>,
    },
    /// A node hears of published operations, counted back from the newest.
    Deliver { node: u8, link: u8, picks: Vec<u8> },
    /// A node hears of all that another has on disk.
    Synchronise { node: u8, from: u8 },
    /// The disk of a node acknowledges some of what it was given.
    Persist { node: u8, count: u8 },
    /// A node merges.
    Tick { node: u8 },
    /// Time goes by.
    Pass { ms: u16 },
    /// A node loses a link.
    LinkDown { node: u8, link: u8 },
    /// A node dies and comes back with what was acknowledged and a part of what was not.
    Crash { node: u8, kept: u8 },
}

/// An action whose amounts and targets are still to be filled in.
#[derive(Clone, Debug)]
pub enum Draft {
    /// A limit order.
    Limit {
        market: bool,
        buys: bool,
        price: u8,
        quantity: u8,
        time_in_force: u8,
        self_trade: u8,
        /// For how many milliseconds it may rest, if it may rest at all.
        expires: Option<u16>,
    },
    /// A market order.
    Market {
        market: bool,
        buys: bool,
        protection: Option<u8>,
        quantity: u8,
        time_in_force: u8,
        self_trade: u8,
    },
    /// Cancels an order, counted back from the newest: mostly an own one.
    Cancel { order: u8 },
    /// Replaces one.
    Replace {
        order: u8,
        price: Option<u8>,
        quantity: Option<u8>,
    },
    /// Confirms a trade.
    Confirm { deal: Deal, amount: Amount },
    /// Refuses a pair.
    Decline { deal: Deal },
    /// Refuses one and takes the open half back.
    Release { deal: Deal },
    /// Admits or expels another node or a liar, if the author is the administrator.
    Member { target: u8, change: MemberChange },
}

/// Which two orders a confirmation or a refusal is about.
#[derive(Clone, Copy, Debug)]
pub enum Deal {
    /// Those of a trade that the author is shown, counted back from the newest.
    Shown(u8),
    /// Those of a half that another author has signed with an order of this author.
    Offered(u8),
    /// An own order and another one, counted back from the newest, and which piece of theirs.
    Any { own: u8, other: u8, piece: u8 },
}

/// How much an author confirms.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// What he is shown, or what the other has signed where that is less.
    Shown,
    /// So much.
    Of(u8),
}

/// How a liar builds an operation.
#[derive(Clone, Debug)]
pub struct Lie {
    /// Which of his own operations it follows, counted back from the newest; one past the oldest
    /// begins a new chain.
    pub prev: u8,
    /// Which operations of others it refers to.
    pub refs: Vec<u8>,
    /// How it is dated.
    pub dated: Dated,
    /// A rule that it breaks, so that nobody may apply it.
    pub defect: Option<Defect>,
}

/// How a liar dates an operation.
#[derive(Clone, Debug)]
pub enum Dated {
    /// As early as its ancestors allow, and by so many milliseconds back if it has none.
    Back(u16),
    /// Truthfully.
    Now,
    /// Ahead of everyone's clock.
    Ahead(u16),
}

/// Rules that tie an operation to its ancestors, broken.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    /// Not later than an ancestor.
    Time,
    /// `prev` is another author's operation.
    ForeignPrev,
    /// A ref is an own operation.
    OwnRef,
    /// A ref that does not exist.
    UnknownRef,
}

/// All scenarios with at most so many steps.
pub fn scenarios(steps_max: usize) -> impl Strategy<Value = Scenario> {
    let skews_ms = prop_oneof![3 => vec(-300..=300_i64, 2..=3), 1 => vec(-300..=300_i64, 4..=6)];
    let steps = vec(step(), 1..=steps_max);
    (skews_ms, 0..3_u8, steps, any::<u64>()).prop_map(|(skews_ms, liars, steps, shuffle)| {
        Scenario {
            skews_ms,
            liars,
            steps,
            shuffle,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..6_u8;
    let link = 0..3_u8;
    prop_oneof![
        12 => (node.clone(), drafts()).prop_map(|(node, actions)| Step::Submit { node, actions }),
        6 => (node.clone(), 0..4_u8, amount(), amount()).prop_map(|(node, trade, half, answer)| {
            Step::Agree { node, trade, amounts: [half, answer] }
        }),
        5 => (0..2_u8, lie(), drafts())
            .prop_map(|(liar, lie, actions)| Step::Craft { liar, lie, actions }),
        9 => (node.clone(), link.clone(), vec(0..24_u8, 1..12))
            .prop_map(|(node, link, picks)| Step::Deliver { node, link, picks }),
        8 => (node.clone(), 0..8_u8).prop_map(|(node, count)| Step::Persist { node, count }),
        4 => node.clone().prop_map(|node| Step::Tick { node }),
        3 => (0..300_u16).prop_map(|ms| Step::Pass { ms }),
        1 => prop_oneof![2 => 300..600_u16, 1 => 600..2_500_u16].prop_map(|ms| Step::Pass { ms }),
        1 => (node.clone(), link).prop_map(|(node, link)| Step::LinkDown { node, link }),
        1 => (node.clone(), 0..6_u8).prop_map(|(node, kept)| Step::Crash { node, kept }),
        1 => (node.clone(), node).prop_map(|(node, from)| Step::Synchronise { node, from }),
    ]
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    prop_oneof![
        1 => Just(Vec::new()),
        12 => vec(draft(), 1..=2),
        3 => vec(draft(), 3..=6),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let market = prop::bool::weighted(0.2);
    let price = 1..=4_u8;
    let quantity = 1..=6_u8;
    let terms = (prop_oneof![3 => Just(0_u8), 1 => 1..4_u8], 0..3_u8);
    prop_oneof![
        10 => (market, any::<bool>(), price.clone(), quantity.clone(), terms.clone(), expires())
            .prop_map(|(market, buys, price, quantity, (time_in_force, self_trade), expires)| {
                Draft::Limit { market, buys, price, quantity, time_in_force, self_trade, expires }
            }),
        2 => (market, any::<bool>(), option::of(price.clone()), quantity.clone(), terms)
            .prop_map(|(market, buys, protection, quantity, (time_in_force, self_trade))| {
                Draft::Market { market, buys, protection, quantity, time_in_force, self_trade }
            }),
        2 => (0..12_u8).prop_map(|order| Draft::Cancel { order }),
        4 => (0..12_u8, option::of(price), option::of(quantity))
            .prop_map(|(order, price, quantity)| Draft::Replace { order, price, quantity }),
        9 => (deal(), amount()).prop_map(|(deal, amount)| Draft::Confirm { deal, amount }),
        1 => deal().prop_map(|deal| Draft::Decline { deal }),
        1 => deal().prop_map(|deal| Draft::Release { deal }),
        5 => (0..8_u8, member_change())
            .prop_map(|(target, change)| Draft::Member { target, change }),
    ]
}

fn member_change() -> impl Strategy<Value = MemberChange> {
    prop_oneof![Just(MemberChange::Admit), Just(MemberChange::Expel)]
}

fn expires() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![5 => Just(None), 1 => (1..1_500_u16).prop_map(Some)]
}

fn deal() -> impl Strategy<Value = Deal> {
    prop_oneof![
        6 => (0..4_u8).prop_map(Deal::Shown),
        6 => (0..3_u8).prop_map(Deal::Offered),
        2 => (0..6_u8, 0..6_u8, 0..3_u8)
            .prop_map(|(own, other, piece)| Deal::Any { own, other, piece }),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![3 => Just(Amount::Shown), 1 => (1..=4_u8).prop_map(Amount::Of)]
}

fn lie() -> impl Strategy<Value = Lie> {
    let prev = prop_oneof![3 => Just(0_u8), 1 => 1..5_u8];
    let dated = prop_oneof![
        2 => (0..3_000_u16).prop_map(Dated::Back),
        2 => Just(Dated::Now),
        1 => (0..3_000_u16).prop_map(Dated::Ahead),
    ];
    let defect = prop_oneof![
        12 => Just(None),
        1 => Just(Some(Defect::Time)),
        1 => Just(Some(Defect::ForeignPrev)),
        1 => Just(Some(Defect::OwnRef)),
        1 => Just(Some(Defect::UnknownRef)),
    ];
    (prev, vec(0..12_u8, 0..4), dated, defect).prop_map(|(prev, refs, dated, defect)| Lie {
        prev,
        refs,
        dated,
        defect,
    })
}

/// The settings of a run: `cases` scenarios unless the environment says otherwise.
pub fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    config.failure_persistence = None;
    config
}

/// Tries a property on random values; a panic refutes it.
pub fn for_all<S: Strategy>(cases: u32, values: &S, property: impl Fn(S::Value)) {
    let config = config(cases);
    let run = format!("{:?} with {} cases", config.rng_seed, config.cases);
    let result = TestRunner::new(config).run(values, |value| {
        property(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("refuted by seed {run}: {error}");
    }
}

/// Tries a property on random scenarios of at most 160 steps.
pub fn for_all_scenarios(cases: u32, property: impl Fn(Scenario)) {
    for_all(cases, &scenarios(160), property);
}
