//! One suite for both engines: they do the same, and what they do obeys the rules.
//!
//! Each case is a random history of actions mixed with undo, redo and forgetting. Both engines live
//! through it side by side; after each step their effects and all views are equal, and the effects
//! are judged against the book as it was before. `PROPTEST_CASES` sets the number of histories.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod memory;

/// A step of a history. Orders are numbers from a small pool, so that actions often meet.
#[derive(Clone, Debug)]
enum Step {
    Do(Turn),
    /// Take back that many actions.
    Undo(usize),
    /// Do again that many of the actions that were taken back.
    Redo(usize),
    /// Forget all but that many actions.
    Forget(usize),
}

/// An action, what is claimed of the order that it places, and before it a new promise of another.
#[derive(Clone, Debug)]
struct Turn {
    action: Action,
    claims: Claims,
    promise: Option<(OrderId, Lots)>,
}

/// What an observer can see of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    digest: Digest,
    bids: Vec<Resting>,
    asks: Vec<Resting>,
}

impl View {
    fn of(engine: &impl Engine) -> Self {
        Self {
            digest: engine.state_hash(),
            bids: engine.resting(Side::Buy),
            asks: engine.resting(Side::Sell),
        }
    }

    fn side(&self, side: Side) -> &[Resting] {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn find(&self, id: &OrderId) -> Option<&Resting> {
        self.bids
            .iter()
            .chain(&self.asks)
            .find(|order| order.id == *id)
    }
}

/// An action that was done, and the state before it.
#[derive(Clone, Debug)]
struct Done {
    turn: Turn,
    effects: Vec<Effect>,
    before: View,
    oracle_mark: Mark,
    book_mark: Mark,
}

struct Pair {
    oracle: Oracle,
    book: Book,
    /// Whether any pair was ever declined.
    declines: bool,
    /// Whether a promise ever became less than it was. What passed the order by meanwhile may rest
    /// across it then; a replica does everything from that order on again.
    frees: bool,
    done: Vec<Done>,
    undone: Vec<Done>,
}

impl Pair {
    fn new() -> Self {
        Self {
            oracle: Oracle::new(),
            book: Book::new(&[42; 32]),
            declines: false,
            frees: false,
            done: Vec::new(),
            undone: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(turn) => {
                self.undone.clear();
                let mut makers = turn.claims.makers.iter();
                self.declines |= makers.any(|claim| claim.meeting == Meeting::Declined);
                self.act(turn);
            }
            Step::Undo(count) => self.undo(*count),
            Step::Redo(count) => {
                for _ in 0..*count {
                    let Some(again) = self.undone.pop() else {
                        break;
                    };
                    self.act(&again.turn);
                    assert_eq!(
                        self.done.last().unwrap().effects,
                        again.effects,
                        "redo = do"
                    );
                }
            }
            Step::Forget(keep) => {
                self.done.drain(..self.done.len().saturating_sub(*keep));
                let present = (self.oracle.mark(), self.book.mark());
                let oldest = self
                    .done
                    .first()
                    .map(|done| (done.oracle_mark, done.book_mark));
                let (oracle_mark, book_mark) = oldest.unwrap_or(present);
                self.oracle.forget_before(oracle_mark);
                self.book.forget_before(book_mark);
            }
        }
        self.compare();
    }

    fn act(&mut self, turn: &Turn) {
        let Turn {
            action,
            claims,
            promise,
        } = turn;
        let before = View::of(&self.oracle);
        let (oracle_mark, book_mark) = (self.oracle.mark(), self.book.mark());
        if let Some((order, promised)) = promise {
            let before = self.oracle.find(order);
            self.frees |= before.is_some_and(|before| before.promised > *promised);
            self.oracle.set_promised(order, *promised);
            self.book.set_promised(order, *promised);
        }
        let (mut effects, mut book_effects) = (Vec::new(), Vec::new());
        self.oracle.execute_claimed(action, claims, &mut effects);
        self.book.execute_claimed(action, claims, &mut book_effects);
        assert_eq!(effects, book_effects, "{action:?}");
        judge_claims(action, claims, &effects);
        let promises = before.bids.iter().chain(&before.asks);
        let is_free = claims.is_none()
            && promise.is_none()
            && promises.clone().all(|order| order.promised.0 == 0);
        if is_free {
            judge(action, &effects, &before);
        }
        self.done.push(Done {
            turn: turn.clone(),
            effects,
            before,
            oracle_mark,
            book_mark,
        });
    }

    fn undo(&mut self, count: usize) {
        let from = self.done.len().saturating_sub(count);
        let Some(first) = self.done.get(from).cloned() else {
            return;
        };
        self.oracle.undo_to(first.oracle_mark);
        self.book.undo_to(first.book_mark);
        assert_eq!(
            View::of(&self.oracle),
            first.before,
            "the oracle undoes exactly"
        );
        assert_eq!(
            View::of(&self.book),
            first.before,
            "the book undoes exactly"
        );
        self.undone.extend(self.done.drain(from..).rev());
    }

    fn compare(&self) {
        let view = View::of(&self.oracle);
        assert_eq!(view, View::of(&self.book));
        assert_eq!(view.bids.len() + view.asks.len(), self.book.len());
        assert_eq!(self.oracle.len(), self.book.len());
        assert_eq!(self.oracle.is_empty(), self.book.is_empty());
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(self.oracle.levels(side, 3), self.book.levels(side, 3));
        }
        for number in 0..ORDERS {
            assert_eq!(self.oracle.find(&id(number)), self.book.find(&id(number)));
        }
        let is_whole = |order: &&Resting| order.promised.0 == 0;
        let best = [&view.bids, &view.asks].map(|side| side.iter().find(is_whole));
        if let (Some(bid), Some(ask), false) = (best[0], best[1], self.declines || self.frees) {
            assert!(bid.price < ask.price, "the free book is never crossed");
        }
    }
}

/// Holds the effects of one action against the rules, given the book before it.
fn judge(action: &Action, effects: &[Effect], before: &View) {
    let Some(taker) = incoming(action, effects, before) else {
        return;
    };
    let mut walk = before.side(taker.side.opposite()).iter();
    let mut filled: BTreeMap<OrderId, u64> = BTreeMap::new();
    let mut met = walk.next();
    for effect in effects {
        match *effect {
            Effect::Fill {
                maker,
                taker: by,
                price,
                quantity,
                ..
            } => {
                let first = met.expect("a fill has a maker");
                assert_eq!((maker, by), (first.id, taker.id), "price-time priority");
                assert_eq!(price, first.price, "fills are at the maker's price");
                assert!(accepts(&taker, price), "fills are within the taker's limit");
                assert!(quantity.0 > 0);
                let allowed = taker.self_trade == SelfTrade::Allow;
                assert!(allowed || first.owner != taker.owner, "no self-trade");
                *filled.entry(maker).or_default() += quantity.0;
                *filled.entry(by).or_default() += quantity.0;
                assert!(filled[&maker] <= first.remaining.0, "no more than rests");
                assert!(
                    filled[&by] <= taker.quantity.0,
                    "no more than was asked for"
                );
            }
            Effect::Ended { order, reason, .. }
                if order != taker.id && Some(order) != replaced(action) =>
            {
                let first = met.expect("only the order met can end");
                assert_eq!(order, first.id, "price-time priority");
                let all = filled.get(&order) == Some(&first.remaining.0);
                assert_eq!(all, reason == EndReason::Filled);
                met = walk.next();
            }
            Effect::Rested { order, quantity } => {
                let taken = filled.get(&order).copied().unwrap_or(0);
                assert_eq!(
                    quantity.0,
                    taker.quantity.0 - taken,
                    "what was not filled rests"
                );
            }
            _ => {}
        }
    }
}

/// What is complete is stated, each piece once, if the order enters or is refused.
fn judge_claims(action: &Action, claims: &Claims, effects: &[Effect]) {
    let Action::Place(order) = action else {
        return;
    };
    let ignored = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Ignored { .. }));
    for claim in claims.makers.iter().filter(|_| !ignored) {
        for (piece, quantity) in claim.pieces() {
            let fact = Effect::Fill {
                maker: claim.maker,
                handle: claim.handle,
                taker: order.id,
                price: claim.price,
                quantity: Lots(quantity),
                piece,
            };
            let count = effects.iter().filter(|effect| **effect == fact).count();
            assert_eq!(count, 1, "{fact:?}");
        }
        let further = |effect: &&Effect| {
            matches!(effect, Effect::Fill { maker, piece, .. }
                if *maker == claim.maker && *piece >= claim.next_piece())
        };
        let further = effects.iter().filter(further).count();
        let most = usize::from(claim.meeting == Meeting::Free);
        assert!(
            further <= most,
            "beyond what is complete two orders meet once"
        );
    }
}

fn replaced(action: &Action) -> Option<OrderId> {
    match action {
        Action::Replace(replacement) => Some(replacement.order),
        _ => None,
    }
}

/// The order that enters the book by this action, if one does.
fn incoming(action: &Action, effects: &[Effect], before: &View) -> Option<NewOrder> {
    match action {
        Action::Place(order) => Some(*order),
        Action::Replace(replacement) => {
            let old = before.find(&replacement.order)?;
            let retired = effects.iter().any(|effect| {
                matches!(effect, Effect::Ended { order, reason: EndReason::Replaced, .. }
                    if *order == old.id)
            });
            // What the old order had been filled is not visible, so its quantity bounds nothing.
            retired.then(|| NewOrder {
                id: replacement.new_id,
                handle: replacement.new_handle,
                owner: old.owner,
                side: if before.bids.contains(old) {
                    Side::Buy
                } else {
                    Side::Sell
                },
                pricing: Pricing::Limit(replacement.price.unwrap_or(old.price)),
                quantity: entered(effects, &replacement.new_id),
                time_in_force: TimeInForce::GoodTillCancel,
                self_trade: SelfTrade::Allow,
            })
        }
        Action::Cancel { .. } | Action::End { .. } => None,
    }
}

/// The quantity with which an order must have entered: its fills and what came to rest.
fn entered(effects: &[Effect], id: &OrderId) -> Lots {
    let parts = effects.iter().map(|effect| match effect {
        Effect::Fill {
            taker, quantity, ..
        } if taker == id => quantity.0,
        Effect::Rested { order, quantity } if order == id => quantity.0,
        _ => 0,
    });
    Lots(parts.sum())
}

fn accepts(taker: &NewOrder, price: Ticks) -> bool {
    match taker.pricing {
        Pricing::Limit(limit) | Pricing::Market(Some(limit)) => taker.side.accepts(limit, price),
        Pricing::Market(None) => true,
    }
}

/// How many different orders a history knows.
const ORDERS: u8 = 24;

fn id(number: u8) -> OrderId {
    let mut id = OrderId([0xab; 32]);
    id.0[usize::from(number) % 32] ^= number + 1;
    id
}

fn any_id() -> impl Strategy<Value = OrderId> {
    (0..ORDERS).prop_map(id)
}

fn owner() -> impl Strategy<Value = Owner> {
    (0_u32..3).prop_map(Owner)
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn price() -> impl Strategy<Value = Ticks> {
    let near = 3_000_000_u64;
    let price = prop_oneof![
        8 => near..near + 6,
        2 => near - 200..near + 200,
        1 => near - 140_000..near + 140_000,
        1 => prop_oneof![Just(0), Just(1), Just(u64::MAX - 1), Just(u64::MAX), any::<u64>()],
    ];
    price.prop_map(Ticks)
}

fn quantity() -> impl Strategy<Value = Lots> {
    prop_oneof![4 => 1_u64..20, 1 => Just(1), 1 => Just(u64::MAX), 1 => 1_u64..].prop_map(Lots)
}

fn self_trade() -> impl Strategy<Value = SelfTrade> {
    prop_oneof![
        Just(SelfTrade::CancelNewest),
        Just(SelfTrade::CancelOldest),
        Just(SelfTrade::CancelBoth),
        Just(SelfTrade::Allow),
    ]
}

fn time_in_force() -> impl Strategy<Value = TimeInForce> {
    prop_oneof![
        6 => Just(TimeInForce::GoodTillCancel),
        1 => Just(TimeInForce::ImmediateOrCancel),
        1 => Just(TimeInForce::FillOrKill),
        1 => Just(TimeInForce::PostOnly),
    ]
}

fn pricing() -> impl Strategy<Value = Pricing> {
    prop_oneof![
        8 => price().prop_map(Pricing::Limit),
        1 => prop::option::of(price()).prop_map(Pricing::Market),
    ]
}

/// An id, and one of many handles: the same order may come again with another one.
fn named() -> impl Strategy<Value = (OrderId, Handle)> {
    (any_id(), any::<u32>().prop_map(Handle))
}

fn new_order() -> impl Strategy<Value = NewOrder> {
    let terms = (pricing(), quantity(), time_in_force(), self_trade());
    (named(), owner(), side(), terms).prop_map(|((id, handle), owner, side, terms)| {
        let (pricing, quantity, time_in_force, self_trade) = terms;
        NewOrder {
            id,
            handle,
            owner,
            side,
            pricing,
            quantity,
            time_in_force,
            self_trade,
        }
    })
}

fn replacement() -> impl Strategy<Value = Replacement> {
    let change = (prop::option::of(price()), prop::option::of(quantity()));
    (any_id(), owner(), named(), change).prop_map(|(order, by, new, (price, quantity))| {
        let (new_id, new_handle) = new;
        Replacement {
            order,
            by,
            new_id,
            new_handle,
            price,
            quantity,
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let reason = prop_oneof![Just(EndReason::Expired), Just(EndReason::Lapsed)];
    let cancel = (any_id(), owner()).prop_map(|(order, by)| Action::Cancel { order, by });
    let replace = replacement().prop_map(|replacement| Action::Replace(Box::new(replacement)));
    let end = (any_id(), reason).prop_map(|(order, reason)| Action::End { order, reason });
    // Boxed, here and below: a choice keeps all that was not chosen, and moves it about.
    prop_oneof![
        10 => new_order().prop_map(Action::Place).boxed(),
        2 => cancel.boxed(),
        4 => replace.boxed(),
        1 => end.boxed(),
    ]
}

fn claim() -> impl Strategy<Value = Claim> {
    let half = || prop_oneof![2 => Just(0), 3 => 1_u64..12].prop_map(Lots);
    let complete = prop::collection::vec((1_u64..8).prop_map(Lots), 0..3);
    let meeting = prop_oneof![4 => Just(Meeting::Free), 1 => Just(Meeting::Declined)];
    (named(), price(), complete, (half(), half()), meeting).prop_map(
        |((maker, handle), price, complete, (maker_half, taker_half), meeting)| Claim {
            maker,
            handle,
            price,
            complete: complete.into_iter().collect(),
            maker_half,
            taker_half,
            meeting,
        },
    )
}

fn claims() -> impl Strategy<Value = Claims> {
    let some = (prop::collection::vec(claim(), 0..5), 0_u64..12);
    let some = some.prop_map(|(mut makers, to_later)| {
        makers.sort_by_key(|claim| claim.maker);
        makers.dedup_by_key(|claim| claim.maker);
        let to_later = Lots(to_later);
        Claims { to_later, makers }
    });
    prop_oneof![2 => Just(Claims::NONE), 3 => some]
}

/// A turn in which nothing is promised.
fn free_turn() -> impl Strategy<Value = Turn> {
    action().prop_map(|action| Turn {
        action,
        claims: Claims::NONE,
        promise: None,
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    let promise = (any_id(), (0_u64..12).prop_map(Lots));
    let promise = prop::option::weighted(0.1, promise);
    (action(), claims(), promise).prop_map(|(action, claims, promise)| Turn {
        action,
        claims,
        promise,
    })
}

fn step(turn: impl Strategy<Value = Turn> + 'static) -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => turn.prop_map(Step::Do).boxed(),
        1 => (1_usize..30).prop_map(Step::Undo),
        1 => (1_usize..30).prop_map(Step::Redo),
        1 => (0_usize..20).prop_map(Step::Forget),
    ]
}

/// A history of less than so many steps. Most are short: a rule that is broken is mostly broken
/// within a dozen steps, and a case costs what its steps cost. Every eighth may be long, for what
/// shows only in a book that has lived for a while.
fn history(
    turn: impl Strategy<Value = Turn> + 'static,
    steps_max: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let step = step(turn).boxed();
    prop_oneof![
        7 => prop::collection::vec(step.clone(), 1..24).boxed(),
        1 => prop::collection::vec(step, 1..steps_max).boxed(),
    ]
}

proptest! {
    #[test]
    fn both_engines_do_the_same_and_obey_the_rules(steps in history(free_turn(), 150)) {
        live(&steps);
    }

    #[test]
    fn both_engines_respect_promises_alike(steps in history(turn(), 100)) {
        live(&steps);
    }
}

fn live(steps: &[Step]) {
    let mut pair = Pair::new();
    let actions = steps.iter().filter_map(|step| match step {
        Step::Do(turn) => Some(turn.action.clone()),
        _ => None,
    });
    let actions: Vec<Action> = actions.collect();
    let mut upcoming = actions.as_slice();
    for step in steps {
        // A hint that is often wrong, about more than the next action.
        pair.book.prepare(upcoming);
        pair.step(step);
        if matches!(step, Step::Do(_)) {
            upcoming = &upcoming[1..];
        }
    }
    pair.undo(usize::MAX);
}

/// Two levels far apart, the better one changing sides of the range each time.
fn extremes(number: u64) -> NewOrder {
    let side = if number.is_multiple_of(2) {
        Side::Buy
    } else {
        Side::Sell
    };
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2;
    let price = match side {
        Side::Buy => spread,
        Side::Sell => u64::MAX - spread,
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    NewOrder {
        id: OrderId(bytes),
        handle: Handle::default(),
        owner: Owner(0),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(1),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::Allow,
    }
}

#[test]
fn many_levels_over_the_whole_range_are_the_same_in_both_and_come_back() {
    let mut pair = Pair::new();
    let mut effects = Vec::new();
    for order in (0..600).map(extremes) {
        pair.oracle.place(&order, &Claims::NONE, &mut effects);
        pair.book.place(&order, &Claims::NONE, &mut effects);
    }
    pair.compare();
    let (view, marks) = (
        View::of(&pair.oracle),
        (pair.oracle.mark(), pair.book.mark()),
    );
    for number in (0..600).step_by(3) {
        let order = extremes(number);
        pair.oracle.cancel(&order.id, order.owner, &mut effects);
        pair.book.cancel(&order.id, order.owner, &mut effects);
    }
    pair.compare();
    pair.oracle.undo_to(marks.0);
    pair.book.undo_to(marks.1);
    assert_eq!(View::of(&pair.book), view);
}
