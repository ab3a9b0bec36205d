//! The rules, one example each.

use super::*;

fn limit(number: u8, owner: u32, side: Side, price: u64, quantity: u64) -> NewOrder {
    NewOrder {
        id: OrderId([number; 32]),
        handle: Handle(u32::from(number)),
        owner: Owner(owner),
        side,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(quantity),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
    }
}

fn place(engine: &mut Oracle, order: NewOrder) -> Vec<Effect> {
    let mut effects = Vec::new();
    engine.place(&order, &Claims::NONE, &mut effects);
    effects
}

fn ended(number: u8, reason: EndReason) -> Effect {
    Effect::Ended {
        order: OrderId([number; 32]),
        handle: Handle(u32::from(number)),
        reason,
    }
}

fn fill(maker: u8, taker: u8, price: u64, quantity: u64) -> Effect {
    Effect::Fill {
        maker: OrderId([maker; 32]),
        handle: Handle(u32::from(maker)),
        taker: OrderId([taker; 32]),
        price: Ticks(price),
        quantity: Lots(quantity),
        piece: 0,
    }
}

fn two_bids() -> Oracle {
    let mut engine = Oracle::new();
    place(&mut engine, limit(1, 1, Side::Buy, 10, 5));
    place(&mut engine, limit(2, 2, Side::Buy, 10, 5));
    engine
}

#[test]
fn the_earlier_order_of_a_price_trades_first_and_at_its_price() {
    let effects = place(&mut two_bids(), limit(3, 3, Side::Sell, 8, 7));
    let filled = EndReason::Filled;
    let expected = [
        fill(1, 3, 10, 5),
        ended(1, filled),
        fill(2, 3, 10, 2),
        ended(3, filled),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn each_self_trade_rule_ends_whom_it_names() {
    let own = |self_trade| NewOrder {
        self_trade,
        ..limit(3, 2, Side::Sell, 10, 7)
    };
    let (filled, prevented) = (EndReason::Filled, EndReason::SelfTrade);
    let first = [fill(1, 3, 10, 5), ended(1, filled)];
    let cases = [
        (SelfTrade::CancelNewest, alloc::vec![ended(3, prevented)]),
        (
            SelfTrade::CancelBoth,
            alloc::vec![ended(2, prevented), ended(3, prevented)],
        ),
        (
            SelfTrade::Allow,
            alloc::vec![fill(2, 3, 10, 2), ended(3, filled)],
        ),
    ];
    for (rule, rest) in cases {
        let effects = place(&mut two_bids(), own(rule));
        assert_eq!(effects, [first.to_vec(), rest].concat());
    }
    let effects = place(&mut two_bids(), own(SelfTrade::CancelOldest));
    let rested = Effect::Rested {
        order: OrderId([3; 32]),
        quantity: Lots(2),
    };
    assert_eq!(effects[2..], [ended(2, prevented), rested]);
}

#[test]
fn fill_or_kill_counts_only_what_the_walk_would_give() {
    let kill = |self_trade, quantity| NewOrder {
        time_in_force: TimeInForce::FillOrKill,
        self_trade,
        ..limit(3, 2, Side::Sell, 10, quantity)
    };
    let killed = [ended(3, EndReason::KilledUnfilled)];
    assert_eq!(
        place(&mut two_bids(), kill(SelfTrade::CancelNewest, 6)),
        killed
    );
    assert_eq!(
        place(&mut two_bids(), kill(SelfTrade::CancelOldest, 6)),
        killed
    );
    assert_eq!(
        place(&mut two_bids(), kill(SelfTrade::CancelNewest, 5)).len(),
        3
    );
    assert_eq!(place(&mut two_bids(), kill(SelfTrade::Allow, 10)).len(), 5);
}

#[test]
fn post_only_sees_own_orders_too() {
    let post = NewOrder {
        time_in_force: TimeInForce::PostOnly,
        ..limit(3, 1, Side::Sell, 10, 1)
    };
    assert_eq!(
        place(&mut two_bids(), post),
        [ended(3, EndReason::WouldTake)]
    );
}

fn replace(engine: &mut Oracle, price: Option<u64>, quantity: Option<u64>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let replacement = Replacement {
        order: OrderId([1; 32]),
        by: Owner(1),
        new_id: OrderId([9; 32]),
        new_handle: Handle(9),
        price: price.map(Ticks),
        quantity: quantity.map(Lots),
    };
    engine.replace(&replacement, &Claims::NONE, &mut effects);
    effects
}

#[test]
fn replace_keeps_the_place_only_if_it_reduces_at_the_same_price() {
    let partly_filled = || {
        let mut engine = two_bids();
        place(&mut engine, limit(3, 3, Side::Sell, 10, 2));
        engine
    };
    let order = OrderId([1; 32]);
    let reduced = Effect::Reduced {
        order,
        handle: Handle(1),
        quantity: Lots(4),
    };
    let mut engine = partly_filled();
    assert_eq!(replace(&mut engine, None, Some(4)), [reduced]);
    assert_eq!(engine.resting(Side::Buy)[0].remaining, Lots(2));
    assert_eq!(
        replace(&mut partly_filled(), None, Some(2)),
        [ended(1, EndReason::Filled)]
    );
    let over = [ended(1, EndReason::Cancelled)];
    assert_eq!(replace(&mut partly_filled(), Some(11), Some(1)), over);
    let rested = Effect::Rested {
        order: OrderId([9; 32]),
        quantity: Lots(3),
    };
    let renewed = [ended(1, EndReason::Replaced), rested];
    assert_eq!(replace(&mut partly_filled(), None, None), renewed);
    assert_eq!(replace(&mut partly_filled(), Some(9), None), renewed);
}
