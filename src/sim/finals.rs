//! Final trades that honest nodes have shown to their users.

use std::collections::BTreeMap;

use bitfitech_core::types::{Lots, OrderId, Ticks, TradeId};
use bitfitech_core::view::TradeRow;

/// A final trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FinalTrade {
    /// Its id.
    pub trade: TradeId,
    /// The buying order.
    pub buy: OrderId,
    /// The selling order.
    pub sell: OrderId,
    /// The price.
    pub price: Ticks,
    /// How much.
    pub quantity: Lots,
}

impl FinalTrade {
    /// The final trade of a row.
    pub fn of(row: &TradeRow) -> Self {
        Self {
            trade: row.trade,
            buy: row.buy,
            sell: row.sell,
            price: row.price,
            quantity: row.quantity,
        }
    }
}

/// All of them, each once, with a number so that hosts can note which of them they have shown.
#[derive(Debug, Default)]
pub struct Finals {
    numbers: BTreeMap<FinalTrade, u32>,
}

impl Finals {
    /// The number of a trade, which is noted if it is new.
    pub fn note(&mut self, trade: FinalTrade) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(trade).or_insert(next)
    }

    /// The numbers of a trade; more than one if it was shown with several quantities.
    pub fn numbers_of(&self, trade: &TradeId) -> impl Iterator<Item = u32> + '_ {
        let least = FinalTrade {
            trade: *trade,
            buy: OrderId([0; 32]),
            sell: OrderId([0; 32]),
            price: Ticks(0),
            quantity: Lots(0),
        };
        let wanted = *trade;
        let from = self.numbers.range(least..);
        let same = from.take_while(move |(known, _)| known.trade == wanted);
        same.map(|(_, number)| *number)
    }

    /// All trades.
    pub fn trades(&self) -> impl ExactSizeIterator<Item = &FinalTrade> {
        self.numbers.keys()
    }

    /// Adds what another shard has noted; its numbers are forgotten.
    pub fn merge(&mut self, other: &Self) {
        other.trades().for_each(|trade| {
            self.note(*trade);
        });
    }
}
