//! What the console's tests share.

use std::collections::{BTreeMap, BTreeSet};

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_core::matching::{EndReason, Level};
use bitfitech_core::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OpId, OrderId, Side, Ticks, TradeId,
};
use bitfitech_core::view::{BookView, Digests, OrderRow, TradeRow, TradeStatus};

use crate::messages::{
    ActorChange, ActorEvent, BreakerRow, BreakerState, Direction, Event, PeerChange, PeerEvent,
    PeerRow, Ready, SyncEvent, TradeEvent, TradeReason, TradeView, TreeNode,
};

/// A market with everyday limits.
fn market(pair: &str, tick: &str, lot: &str) -> Market {
    let spec = MarketSpec {
        pair,
        tick,
        lot,
        ..MarketSpec::STANDARD
    };
    Market::new(&spec).expect("a valid market")
}

/// A network with three markets, two of whose pairs differ only in the case of letters.
pub(crate) fn genesis() -> Genesis {
    Genesis {
        markets: vec![
            market("BTC/USD", "0.01", "0.00000001"),
            market("ETH/USD", "0.1", "0.001"),
            market("eth/usd", "0.005", "0.001"),
        ],
        ..Genesis::standard("test")
    }
    .checked()
    .expect("a valid genesis")
}

/// A resting buy order in the first market, partly filled.
pub(crate) fn order_row() -> OrderRow {
    OrderRow {
        order: OrderId([0x3f; 32]),
        author: AuthorKey([0xaa; 32]),
        market: MarketIndex(0),
        side: Side::Buy,
        price: Some(Ticks(3_000_001)),
        quantity: Lots(50_000_000),
        filled: Lots(30_000_000),
        ended: None,
        time: HybridTime::from_unix_ms(TIME_MS),
        late_ms: 12,
    }
}

/// 12:34:56.789 UTC of some day.
pub(crate) const TIME_MS: u64 = 20_000 * 86_400_000 + 45_296_789;

/// A market order to sell in the second market that found too little.
pub(crate) fn ended_row() -> OrderRow {
    OrderRow {
        order: OrderId([0x40; 32]),
        market: MarketIndex(1),
        side: Side::Sell,
        price: None,
        quantity: Lots(2_000),
        filled: Lots(0),
        ended: Some(EndReason::Unfilled),
        late_ms: 1_500,
        ..order_row()
    }
}

/// A tentative trade of the first order, as users see it.
pub(crate) fn trade() -> TradeView {
    TradeView {
        row: trade_row(),
        is_unsafe: false,
    }
}

/// A tentative trade of the first order.
pub(crate) fn trade_row() -> TradeRow {
    TradeRow {
        trade: TradeId([0x77; 32]),
        market: MarketIndex(0),
        price: Ticks(3_000_000),
        quantity: Lots(30_000_000),
        buy: OrderId([0x3f; 32]),
        sell: OrderId([0x41; 32]),
        buyer: AuthorKey([0xa1; 32]),
        seller: AuthorKey([0xa2; 32]),
        taker: Side::Buy,
        status: TradeStatus::Tentative,
        time: HybridTime::from_unix_ms(TIME_MS),
        revision: 1,
    }
}

/// Two levels of asks, one of bids.
pub(crate) fn book() -> BookView {
    let level = |price, quantity, orders| Level {
        price: Ticks(price),
        quantity,
        orders,
    };
    BookView {
        market: MarketIndex(0),
        bids: vec![level(2_999_900, 150_000_000, 2)],
        asks: vec![
            level(3_000_001, 50_000_000, 1),
            level(3_001_000, 100_000, 12),
        ],
        digest: Digest([0xd1; 32]),
    }
}

/// Five digests that differ.
pub(crate) fn digests() -> Digests {
    Digests {
        operations: 42,
        set: Digest([1; 32]),
        book: Digest([2; 32]),
        trades: Digest([3; 32]),
        final_trades: Digest([4; 32]),
        orders: Digest([5; 32]),
    }
}

/// An outbound session, and an inbound one that was not measured yet.
pub(crate) fn peers() -> Vec<PeerRow> {
    let measured = PeerRow {
        node: AuthorKey([0xbb; 32]),
        address: "192.0.2.7:3000".to_string(),
        direction: Direction::Outbound,
        state: "established",
        rtt_ms: Some(12),
        behind: 3,
        score: -5,
        reason: Some("it floods".to_string()),
    };
    let unmeasured = PeerRow {
        node: AuthorKey([0xbc; 32]),
        address: "[::1]:40000".to_string(),
        direction: Direction::Inbound,
        rtt_ms: None,
        behind: 0,
        score: 0,
        reason: None,
        ..measured.clone()
    };
    vec![measured, unmeasured]
}

/// A node that is linked to another.
pub(crate) fn topology() -> BTreeMap<AuthorKey, BTreeSet<AuthorKey>> {
    let linked = BTreeSet::from([AuthorKey([0xbc; 32])]);
    BTreeMap::from([(AuthorKey([0xbb; 32]), linked)])
}

/// One open circuit, one closed.
pub(crate) fn breakers() -> Vec<BreakerRow> {
    let open = BreakerRow {
        address: "192.0.2.9:3000".to_string(),
        state: BreakerState::Open,
        failures: 3,
        retry_in_ms: 25_400,
    };
    let closed = BreakerRow {
        address: "node.example:3000".to_string(),
        state: BreakerState::Closed,
        failures: 0,
        retry_in_ms: 0,
    };
    vec![open, closed]
}

/// A supervisor with a supervisor and two actors.
pub(crate) fn tree() -> TreeNode {
    let row = |name: &str, restarts, children| TreeNode {
        name: name.to_string(),
        state: "running",
        restarts,
        generation: restarts + 1,
        mailbox: 0,
        children,
    };
    let exchange = row(
        "exchange",
        0,
        vec![row("matcher", 2, vec![]), row("orderbook", 0, vec![])],
    );
    row("root", 0, vec![exchange, row("store", 0, vec![])])
}

/// A node without a Grape.
pub(crate) fn ready() -> Event {
    Event::Ready(Box::new(Ready {
        node: AuthorKey([0xaa; 32]),
        p2p: Some(([0, 0, 0, 0], 3000).into()),
        api: Some(([127, 0, 0, 1], 8080).into()),
        grape_dht: None,
        grape_api: None,
        grape_rpc: None,
        mode: "p2p".to_string(),
        network: "main".to_string(),
    }))
}

/// A trade that a late operation took away.
pub(crate) fn busted() -> Event {
    Event::Trade(TradeEvent {
        trade: TradeView {
            row: TradeRow {
                status: TradeStatus::Busted,
                revision: 2,
                ..trade_row()
            },
            is_unsafe: false,
        },
        reason: Some(TradeReason::LateOperation),
        cause: Some(OpId([0xcc; 32])),
    })
}

/// A session that ended for a reason of foreign origin.
pub(crate) fn disconnected() -> Event {
    Event::Peer(PeerEvent {
        node: AuthorKey([0xbb; 32]),
        address: "192.0.2.7:3000".to_string(),
        change: PeerChange::Disconnected,
        reason: Some("bye\n\u{1b}[31m".to_string()),
    })
}

/// An actor that panicked.
pub(crate) fn crashed() -> Event {
    Event::Actor(ActorEvent {
        name: "matcher".to_string(),
        change: ActorChange::Crashed,
        reason: Some("fault drill".to_string()),
        generation: 3,
    })
}

/// Half of the operations are here.
pub(crate) fn syncing() -> Event {
    Event::Sync(SyncEvent {
        peer: AuthorKey([0xbb; 32]),
        received: 500,
        total: 1000,
    })
}
