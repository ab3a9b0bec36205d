//! A node shows all that there ever was, though its orderbook keeps only what is recent.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bitfitech_core::matching::{Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{self, ACTIONS_MAX, Action};
use bitfitech_core::types::{Lots, MarketIndex, OpId, OrderId, Side, Ticks};
use bitfitech_io::identity::Identity;

use crate::forger::{Forger, Place};
use crate::support::node::{Node, list, text};
use crate::support::plan::Plan;

/// Operations full of orders: more orders than the orderbook keeps.
const ROUNDS: u64 = 300;

/// Makes the key of a node and a store in which it placed many orders and cancelled them. The ids
/// of the operations that placed them.
fn make_history(data_dir: &Path) -> Vec<OpId> {
    let identity = Identity::create(&data_dir.join("node.key")).expect("a key");
    let author = Forger::with(*identity.signing_key());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let begin_ms = now.expect("after 1970").as_millis() as u64 - 60_000;
    let order = Action::Place(op::Place {
        market: MarketIndex(0),
        side: Side::Buy,
        pricing: Pricing::Limit(Ticks(2_990_000)),
        quantity: Lots(1_000),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    });
    let (mut placed, mut prev, mut history) = (Vec::new(), None, Vec::new());
    for seq in 0..2 * ROUNDS {
        let cancel = |index| Action::Cancel {
            market: MarketIndex(0),
            order: OrderId::new(&prev.expect("orders came before"), index),
        };
        let actions = match seq % 2 {
            0 => vec![order.clone(); ACTIONS_MAX],
            _ => (0..ACTIONS_MAX as u8).map(cancel).collect(),
        };
        let unix_ms = begin_ms + seq;
        let written = author.operation(Place { seq, prev, unix_ms }, Vec::new(), actions);
        if seq % 2 == 0 {
            placed.push(written.id());
        }
        prev = Some(written.id());
        history.push(written.wire().to_vec());
    }
    author.make_store(data_dir, &history);
    placed
}

#[test]
fn what_the_orderbook_has_forgotten_is_shown_all_the_same() {
    let mut placed = Vec::new();
    let plan = Plan::named("old");
    let mut node = Node::start_prepared(plan, |data_dir| placed = make_history(data_dir));
    let all = node.ok("orders all");
    let all = list(&all, "orders");
    assert_eq!(all.len(), ROUNDS as usize * ACTIONS_MAX);
    let oldest = OrderId::new(&placed[0], 0).to_string();
    assert_eq!(text(&all[0], "order"), oldest);
    assert!(all.iter().all(|row| row["status"] == "cancelled"));
    for newest in [1, 5, all.len()] {
        let some = node.ok(&format!("orders all {newest}"));
        assert_eq!(list(&some, "orders"), &all[all.len() - newest..]);
    }
    assert_eq!(list(&node.ok("orders"), "orders").len(), 0);
    let named = node.ok(&format!("order {oldest}"));
    assert_eq!(
        (&named["order"], &named["status"]),
        (&all[0]["order"], &all[0]["status"])
    );
    let ambiguous = node.command(&format!("order {}", &oldest[..60]));
    assert_eq!(ambiguous["code"], "AMBIGUOUS_ORDER", "{ambiguous}");
    let known = node.ok("stats");
    assert_eq!(known["stats"]["orders"], all.len());
}
