//! What the console's tests share.

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::{Market, MarketSpec};

/// A market with everyday limits.
fn market(pair: &str, tick: &str, lot: &str) -> Market {
    let spec = MarketSpec {
        pair,
        tick,
        lot,
        max_price: "1000000",
        max_quantity: "1000000",
    };
    Market::new(&spec).expect("a valid market")
}

/// A network with three markets, two of which differ only in the case of letters.
pub(crate) fn genesis() -> Genesis {
    Genesis {
        network: "test".to_string(),
        markets: vec![
            market("BTC/USD", "0.01", "0.00000001"),
            market("ETH/USD", "0.1", "0.001"),
            market("eth/usd", "0.1", "0.001"),
        ],
        bucket_ms: 50,
        lease_ms: 90_000,
        answer_ms: 15_000,
        allow_list: Vec::new(),
    }
    .checked()
    .expect("a valid genesis")
}
