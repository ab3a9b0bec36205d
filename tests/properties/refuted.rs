//! The smallest examples of what the other modules refuted in earlier versions.

use bitfitech_core::matching::EndReason;
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, OperationError, Verified};
use bitfitech_core::types::{HybridTime, Lots, MarketIndex, Now, OpId, OrderId, Side};
use ed25519_zebra::SigningKey;

use crate::facts::Facts;
use crate::network::{BEGIN_MS, author_of, genesis, limit, new_node, source};

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        unix_ms: BEGIN_MS + ms,
    }
}

/// An operation of an author without a history.
pub fn first_of(author: u8, at_ms: u64, actions: Vec<Action>) -> Verified {
    let key = SigningKey::from([author; 32]);
    let genesis = genesis("refuted");
    let body = Body {
        version: OPERATION_VERSION,
        author: author_of(&key),
        seq: 0,
        prev: None,
        time: HybridTime::from_unix_ms(BEGIN_MS + at_ms),
        refs: Vec::new(),
        checkpoint: 0,
        actions,
    };
    Verified::sign(body, &key, &genesis, &genesis.digest()).expect("well-formed")
}

/// "Filled" means that nothing is left: so the total must be what was filled, also when the owner
/// reduced it to just that.
#[test]
fn an_order_reduced_to_what_is_filled_has_that_total() {
    let genesis = genesis("refuted");
    let mut node = new_node(&genesis, &SigningKey::from([1; 32]));
    let placed = node
        .submit(now(0), vec![limit(Side::Buy, 1, 5)])
        .expect("written");
    let order = OrderId::new(&placed, 0);
    node.receive(
        now(100),
        source(0),
        vec![first_of(2, 100, vec![limit(Side::Sell, 1, 2)])],
    );
    node.handle_tick(now(100));
    let reduced = Action::Replace {
        market: MarketIndex(0),
        order,
        side: Side::Buy,
        price: None,
        quantity: Lots(2),
    };
    node.submit(now(200), vec![reduced]).expect("written");
    let row = node.replica().order(&order).expect("it is known");
    assert_eq!(row.ended, Some(EndReason::Filled));
    assert_eq!((row.quantity, row.filled), (Lots(2), Lots(2)));

    // A late seller takes the rest before the reduction, which then has no effect.
    node.receive(
        now(300),
        source(0),
        vec![first_of(3, 150, vec![limit(Side::Sell, 1, 3)])],
    );
    node.handle_tick(now(300));
    let row = node.replica().order(&order).expect("it is known");
    assert_eq!((row.quantity, row.filled), (Lots(5), Lots(5)));
    let facts = Facts::of(node.replica());
    assert_eq!(facts.trades.len(), 2);
}

/// Such an operation could never be applied, and waited for ever: its one ancestor was counted
/// twice.
#[test]
fn an_operation_that_refers_to_its_own_previous_one_is_refused_at_once() {
    let key = SigningKey::from([1; 32]);
    let genesis = genesis("refuted");
    let prev = OpId([3; 32]);
    let body = Body {
        version: OPERATION_VERSION,
        author: author_of(&key),
        seq: 1,
        prev: Some(prev),
        time: HybridTime::from_unix_ms(BEGIN_MS),
        refs: vec![prev],
        checkpoint: 0,
        actions: Vec::new(),
    };
    let refused = Verified::sign(body, &key, &genesis, &genesis.digest());
    assert_eq!(refused, Err(OperationError::Limits));
}
