//! Property 11: price-time priority. The trades and orders of a node are those of the naive
//! rulebook ([`crate::naive`]) on the same set of operations.

use bitfitech_core::types::Side;
use bitfitech_core::view::{TradeRow, TradeStatus};

use crate::deals::piece_of;
use crate::facts::{Facts, markets};
use crate::naive::{self, NaiveTrade};
use crate::network::{Network, Peer};
use crate::scenario::for_all_scenarios;

#[test]
fn trades_and_orders_are_those_of_the_naive_rulebook() {
    for_all_scenarios(64, |scenario| {
        let mut network = Network::run(&scenario);
        for node in 0..network.peers.len() {
            // Half-known sets first: they differ from node to node.
            network.tick(node);
            check_against_naive(&network, &network.peers[node]);
        }
        network.settle(scenario.shuffle);
        check_against_naive(&network, &network.peers[0]);
    });
}

fn check_against_naive(network: &Network, peer: &Peer) {
    let expected = naive::replay(&peer.applied, &network.genesis);
    let facts = Facts::of(peer.exchange.replica());
    for market in markets() {
        let of_market = facts.trades.iter().filter(|trade| trade.market == market);
        let trades: Vec<NaiveTrade> = of_market.map(naive_trade).collect();
        let naive = expected.trades.iter();
        let naive: Vec<&NaiveTrade> = naive.filter(|trade| trade.market == market).collect();
        assert!(
            naive.iter().copied().eq(trades.iter()),
            "{market:?}: {trades:#?} instead of {naive:#?}"
        );
        for (side, levels) in [Side::Buy, Side::Sell]
            .into_iter()
            .zip(&facts.levels[usize::from(market.0)])
        {
            let levels = levels
                .iter()
                .map(|level| (level.price, level.quantity, level.orders));
            assert_eq!(levels.collect::<Vec<_>>(), expected.levels(market, side));
        }
    }
    assert_eq!(facts.orders.len(), expected.orders.len());
    for order in &expected.orders {
        let row = facts.order(&order.id);
        assert_eq!(row.author, order.author);
        assert_eq!(row.price, order.limit());
        let shown = (row.quantity, row.filled.0, row.ended);
        assert_eq!(
            shown,
            (order.terms.quantity, order.filled, order.ended),
            "{row:?}"
        );
    }
}

/// A trade in the vocabulary of the naive rulebook.
fn naive_trade(trade: &TradeRow) -> NaiveTrade {
    let (maker, taker) = match trade.taker {
        Side::Buy => (trade.sell, trade.buy),
        Side::Sell => (trade.buy, trade.sell),
    };
    NaiveTrade {
        market: trade.market,
        maker,
        taker,
        piece: piece_of(trade) as usize,
        price: trade.price,
        quantity: trade.quantity,
        is_final: trade.status == TradeStatus::Final,
    }
}
