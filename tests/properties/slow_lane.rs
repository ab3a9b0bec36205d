//! Operations that belong far back are merged now and then, whatever is sent, and the digests are
//! equal all the same.
//!
//! The log is filled with immediate orders into an empty book: cheap, and they leave no orders at
//! rest.

use bitfitech_core::confirmation::{OrderPair, PairTerms};
use bitfitech_core::genesis::Genesis;
use bitfitech_core::market_log::{
    ALWAYS_FAST_ACTIONS, FAST_LANE_ACTIONS, FAST_LANE_MS, SLOW_LANE_MS, UNDONE_PER_MS,
};
use bitfitech_core::matching::{Book, TimeInForce};
use bitfitech_core::op::{ACTIONS_MAX, Action, Body, OPERATION_VERSION, Place, Verified};
use bitfitech_core::replica::Replica;
use bitfitech_core::types::{HybridTime, Lots, MarketIndex, OpId, OrderId, Side};
use ed25519_zebra::SigningKey;

use crate::facts::{Facts, markets};
use crate::network::{BEGIN_MS, author_of, genesis, limit};

/// A replica with its graph.
pub(crate) struct Filled {
    genesis: Genesis,
    pub(crate) replica: Replica<Book>,
    operations: Vec<Verified>,
}

/// An order that takes what is there, which is nothing.
fn immediate() -> Action {
    let Action::Place(place) = limit(Side::Buy, 1, 1) else {
        panic!("a limit order is placed");
    };
    Action::Place(Place {
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..place
    })
}

impl Filled {
    /// Markets without a history.
    pub(crate) fn empty() -> Self {
        Self::around(|| Book::new(&[7; 32]))
    }

    /// The same around other engines.
    pub(crate) fn around(engine: impl Fn() -> Book) -> Self {
        let genesis = Genesis {
            lease_ms: 90_000,
            ..genesis("slow")
        };
        let engines = markets().map(|_| engine());
        Self {
            replica: Replica::new(&genesis, &[7; 32], engines),
            operations: Vec::new(),
            genesis,
        }
    }

    /// A market with one more action than the fast lane reaches back.
    fn new() -> Self {
        let mut filled = Self::empty();
        filled.fill(FAST_LANE_ACTIONS, 1);
        filled
    }

    /// Adds operations, each so much later than the one before, with more actions than this.
    fn fill(&mut self, actions: usize, apart_ms: u64) {
        let mut prev = None;
        for seq in 0..=(actions / ACTIONS_MAX) as u64 {
            let actions = vec![immediate(); ACTIONS_MAX];
            prev = Some(self.stage(1, (seq, prev), 10_000 + seq * apart_ms, actions));
        }
        self.replica.merge(0);
    }

    /// How many operations an author has written.
    pub(crate) fn count_of(&self, author: u8) -> u64 {
        let author = author_of(&SigningKey::from([author; 32]));
        let own = self
            .operations
            .iter()
            .filter(|it| it.body().author == author);
        own.count() as u64
    }

    /// How many actions have a place in the log.
    pub(crate) fn actions(&self) -> usize {
        let actions = self.operations.iter().map(|it| it.body().actions.len());
        actions.sum()
    }

    /// A replica that was given everything at once.
    pub(crate) fn again(&self) -> Replica<Book> {
        let mut again = Self::empty();
        for operation in &self.operations {
            again.replica.insert(operation, 0);
        }
        again.replica.merge_all();
        again.replica
    }

    /// How many bytes the set of operations takes.
    pub(crate) fn set_bytes(&self) -> usize {
        self.replica.dag().memory_bytes()
    }

    /// Stages an operation of the author with this number.
    pub(crate) fn stage(
        &mut self,
        author: u8,
        (seq, prev): (u64, Option<OpId>),
        at_ms: u64,
        actions: Vec<Action>,
    ) -> OpId {
        let key = SigningKey::from([author; 32]);
        let body = Body {
            version: OPERATION_VERSION,
            author: author_of(&key),
            seq,
            prev,
            time: HybridTime::from_unix_ms(BEGIN_MS + at_ms),
            refs: Vec::new(),
            checkpoint: 0,
            actions,
        };
        let digest = self.genesis.digest();
        let operation = Verified::sign(body, &key, &self.genesis, &digest).expect("well-formed");
        self.replica.insert(&operation, 0);
        let id = operation.id();
        self.operations.push(operation);
        id
    }

    /// Stages an order that belongs before everything else.
    fn stage_early(&mut self, author: u8) -> OpId {
        self.stage(
            author,
            (0, None),
            u64::from(author),
            vec![limit(Side::Sell, 900, 1)],
        )
    }

    /// Stages an order that belongs behind everything else, before any lease is over.
    fn stage_late(&mut self, author: u8) -> OpId {
        let at_ms = 60_000 + u64::from(author);
        self.stage(author, (0, None), at_ms, vec![limit(Side::Sell, 901, 1)])
    }

    fn shows(&self, operation: OpId) -> bool {
        self.replica.order(&OrderId::new(&operation, 0)).is_some()
    }
}

#[test]
fn what_belongs_far_back_is_merged_at_most_once_in_a_while_and_never_lost() {
    let mut filled = Filled::new();
    let first = filled.stage_early(2);
    filled.replica.merge(5_000);
    assert!(filled.shows(first), "the first one has waited");
    let second = filled.stage_early(3);
    let late = filled.stage_late(4);
    filled.replica.merge(5_001);
    assert!(!filled.shows(second), "merged twice in little time");
    assert!(
        filled.shows(late),
        "held up by another that belongs far back"
    );
    assert_eq!(filled.replica.next_merge_ms(), Some(5_000 + SLOW_LANE_MS));
    let third = filled.stage_early(5);
    filled.replica.merge(4_999 + SLOW_LANE_MS);
    assert!(!filled.shows(second) && !filled.shows(third));
    filled.replica.merge(5_000 + SLOW_LANE_MS);
    assert!(filled.shows(second) && filled.shows(third));
    assert_eq!(filled.replica.next_merge_ms(), None);

    // Asking for digests merges everything at once, and keeps nothing from being merged later.
    let fourth = filled.stage_early(6);
    filled.replica.merge(5_001 + SLOW_LANE_MS);
    assert!(!filled.shows(fourth));
    filled.replica.merge_all();
    assert!(filled.shows(fourth), "digests do not cover it");
    let fifth = filled.stage_early(7);
    filled.replica.merge(5_000 + 3 * SLOW_LANE_MS);
    assert!(
        filled.shows(fifth),
        "the slow lane stands still once digests were asked for"
    );

    let orders = [first, second, third, fourth, fifth, late];
    let scratch = Facts::from_scratch(&filled.operations, &filled.genesis);
    assert_eq!(Facts::of(&filled.replica), scratch);
    let levels = filled.replica.levels(MarketIndex(0), Side::Sell, 2);
    assert_eq!(
        levels.iter().map(|level| level.orders).sum::<u32>(),
        orders.len() as u32
    );
}

#[test]
fn what_keeps_belonging_far_back_is_merged_again_and_again() {
    let mut filled = Filled::new();
    let mut author = 2;
    let mut merged_at = Vec::new();
    for now_ms in (0..8 * SLOW_LANE_MS).step_by(100) {
        if author == 2 || merged_at.last() == Some(&(now_ms - 100)) {
            filled.stage_early(author);
            author += 1;
        }
        let changes = filled.replica.merge(now_ms);
        if !changes.is_empty() {
            merged_at.push(now_ms);
        }
    }
    let expected: Vec<u64> = (0..8).map(|at| at * SLOW_LANE_MS).collect();
    assert_eq!(merged_at, expected);
}

/// Whether two early orders that come shortly after each other are both merged at once.
fn both_come_at_once(actions: usize, apart_ms: u64) -> bool {
    let mut filled = Filled::empty();
    filled.fill(actions, apart_ms);
    let just_before_ms = 9_999;
    let order = || vec![limit(Side::Sell, 9, 1)];
    let first = filled.stage(2, (0, None), just_before_ms, order());
    filled.replica.merge(5_000);
    let second = filled.stage(3, (0, None), just_before_ms, order());
    let pause_ms = filled.actions() as u64 / UNDONE_PER_MS;
    filled.replica.merge(5_000 + pause_ms);
    assert!(filled.shows(first), "the first one has waited");
    filled.shows(second)
}

#[test]
fn after_a_merge_that_took_much_back_the_next_one_waits_and_the_end_of_the_log_does_not() {
    let mut filled = Filled::empty();
    filled.fill(20_000, 1);
    let before = filled.actions();
    let order = || vec![limit(Side::Sell, 9, 1)];
    let first = filled.stage(2, (0, None), 9_999, order());
    filled.replica.merge(5_000);
    assert!(filled.shows(first), "the first one has waited");

    let second = filled.stage(3, (0, None), 9_999, order());
    let last = filled.stage_late(4);
    filled.replica.merge(5_001);
    assert!(!filled.shows(second), "two merges took much back");
    assert!(filled.shows(last), "nothing had to be taken back for it");
    let again_ms = 5_000 + before as u64 / UNDONE_PER_MS;
    assert_eq!(filled.replica.next_merge_ms(), Some(again_ms));
    filled.replica.merge(again_ms - 1);
    assert!(!filled.shows(second));
    filled.replica.merge(again_ms);
    assert!(filled.shows(second));

    let scratch = Facts::from_scratch(&filled.operations, &filled.genesis);
    assert_eq!(Facts::of(&filled.replica), scratch);
}

#[test]
fn terms_of_orders_that_wait_count_as_staged_until_they_are_merged() {
    let mut filled = Filled::new();
    filled.stage_early(2);
    filled.replica.merge(5_000);
    let orders = [3, 4].map(|author| OrderId::new(&filled.stage_early(author), 0));
    let pair = OrderPair::new(orders[0], orders[1]);
    let market = MarketIndex(0);
    assert!(!filled.replica.has_staged(market, pair));
    let terms = PairTerms {
        declined: true,
        ..PairTerms::default()
    };
    filled
        .replica
        .stage_terms(market, pair, terms, OpId::default());
    assert!(filled.replica.has_staged(market, pair), "just now");
    filled.replica.merge(5_001);
    assert!(filled.replica.has_staged(market, pair), "they wait");
    filled.replica.merge(5_000 + SLOW_LANE_MS);
    assert!(!filled.replica.has_staged(market, pair), "respected");
}

/// Whether a promise of so much of an old order of ten, of which its taker took five, is respected
/// at once.
fn is_respected_at_once(promised: u64) -> bool {
    let mut filled = Filled::new();
    let order = |side, quantity| vec![limit(side, 900, quantity)];
    let maker = filled.stage(2, (0, None), 2, order(Side::Sell, 10));
    let taker = filled.stage(3, (0, None), 60_000, order(Side::Buy, 5));
    filled.replica.merge(5_000);
    let [maker, taker] = [maker, taker].map(|operation| OrderId::new(&operation, 0));
    let pair = OrderPair::new(maker, taker);
    let mut terms = PairTerms::default();
    let half = if pair.low == maker {
        &mut terms.low_half
    } else {
        &mut terms.high_half
    };
    *half = Lots(promised);
    let cause = OpId::default();
    filled
        .replica
        .stage_terms(MarketIndex(0), pair, terms, cause);
    filled.replica.merge(5_600);
    !filled.replica.has_staged(MarketIndex(0), pair)
}

#[test]
fn a_promise_reaches_back_only_to_where_there_was_not_so_much_free() {
    assert!(is_respected_at_once(5), "it names the trade");
    assert!(is_respected_at_once(10), "all was free when the taker came");
    assert!(
        !is_respected_at_once(11),
        "it may have been less for others"
    );
}

#[test]
fn far_back_is_both_long_ago_and_behind_much() {
    let operations = (ALWAYS_FAST_ACTIONS / ACTIONS_MAX) as u64;
    let long_apart_ms = 2 * FAST_LANE_MS / operations;
    assert!(
        !both_come_at_once(ALWAYS_FAST_ACTIONS, long_apart_ms),
        "long ago and behind much"
    );
    assert!(
        both_come_at_once(ALWAYS_FAST_ACTIONS, 1),
        "behind much that has just come"
    );
    assert!(
        both_come_at_once(ALWAYS_FAST_ACTIONS - 2 * ACTIONS_MAX, long_apart_ms),
        "long ago, but behind little"
    );
}
