//! What users see: rows of orders and trades, the book, digests.
//!
//! The replica emits [`Change`]s; folding them gives the [`Board`](crate::board::Board) that
//! answers queries. Amounts stay in ticks and lots here; the edges turn them into decimals.

use alloc::vec::Vec;

use crate::matching::{EndReason, Level};
use crate::order_log::LogKey;
use crate::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OpId, OrderId, Side, Ticks, TradeId,
};

/// Whether an order is open, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStatus {
    /// It rests in the book.
    Open,
    /// Nothing is left of it.
    Filled,
    /// Cancelled by its owner, by its own terms, by self-trade prevention or by a replace.
    Cancelled,
    /// Its time was over.
    Expired,
    /// Its owner fell silent.
    Lapsed,
    /// It never entered the book.
    Rejected,
}

impl OrderStatus {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Lapsed => "lapsed",
            Self::Rejected => "rejected",
        }
    }
}

/// An order and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub order: OrderId,
    /// Who placed it.
    pub author: AuthorKey,
    /// In which market.
    pub market: MarketIndex,
    /// Buy or sell.
    pub side: Side,
    /// Its limit; `None` for a market order without protection.
    pub price: Option<Ticks>,
    /// The total quantity, filled part included.
    pub quantity: Lots,
    /// How much has traded.
    pub filled: Lots,
    /// Why it is over; `None` while it is open.
    pub ended: Option<EndReason>,
    /// The claimed time of its operation.
    pub time: HybridTime,
    /// How much later than claimed its operation reached this node. Local knowledge, in no digest.
    pub late_ms: u64,
}

impl OrderRow {
    /// The status that follows from the end reason.
    pub fn status(&self) -> OrderStatus {
        match self.ended {
            None => OrderStatus::Open,
            Some(EndReason::Filled) => OrderStatus::Filled,
            Some(
                EndReason::Cancelled
                | EndReason::Unfilled
                | EndReason::SelfTrade
                | EndReason::Replaced,
            ) => OrderStatus::Cancelled,
            Some(
                EndReason::KilledUnfilled
                | EndReason::WouldTake
                | EndReason::NotPlaced
                | EndReason::NoMember,
            ) => OrderStatus::Rejected,
            Some(EndReason::Expired) => OrderStatus::Expired,
            Some(EndReason::Lapsed | EndReason::Expelled | EndReason::Abandoned) => {
                OrderStatus::Lapsed
            }
        }
    }

    /// One word more than the status, where the status leaves a question open.
    pub fn reason(&self) -> Option<&'static str> {
        match self.ended? {
            EndReason::Unfilled => Some("unfilled"),
            EndReason::SelfTrade => Some("self_trade"),
            EndReason::Replaced => Some("replaced"),
            EndReason::KilledUnfilled => Some("fok"),
            EndReason::WouldTake => Some("post"),
            EndReason::NotPlaced => Some("not_placed"),
            EndReason::Expelled | EndReason::NoMember => Some("expelled"),
            EndReason::Abandoned => Some("abandoned"),
            EndReason::Filled | EndReason::Cancelled | EndReason::Expired | EndReason::Lapsed => {
                None
            }
        }
    }

    /// What is left of it in the book; `None` once it is over.
    pub fn open_quantity(&self) -> Option<Lots> {
        self.ended.is_none().then(|| self.remaining())
    }

    /// What is left to trade: zero once it is over.
    pub fn remaining(&self) -> Lots {
        match self.ended {
            None => Lots(self.quantity.0.saturating_sub(self.filled.0)),
            Some(_) => Lots(0),
        }
    }
}

/// How sure a trade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TradeStatus {
    /// It follows from what is known now; a late operation may change it.
    Tentative,
    /// It was shown with another quantity or price before. In events only.
    Amended,
    /// It vanished. In events only.
    Busted,
    /// Confirmed by both owners; it never changes again.
    Final,
}

impl TradeStatus {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Amended => "amended",
            Self::Busted => "busted",
            Self::Final => "final",
        }
    }
}

/// A trade between two orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeRow {
    /// Its id: a function of the two orders and the number of the piece.
    pub trade: TradeId,
    /// In which market.
    pub market: MarketIndex,
    /// The maker's price.
    pub price: Ticks,
    /// How much changed hands.
    pub quantity: Lots,
    /// The buying order.
    pub buy: OrderId,
    /// The selling order.
    pub sell: OrderId,
    /// Who placed the buying order.
    pub buyer: AuthorKey,
    /// Who placed the selling order.
    pub seller: AuthorKey,
    /// The side of the later order.
    pub taker: Side,
    /// How sure it is.
    pub status: TradeStatus,
    /// Claimed time of the later order.
    pub time: HybridTime,
    /// How often this node has reported it; twice if it was final before the node started. Local
    /// knowledge, in no digest.
    pub revision: u32,
}

/// A trade as the replica reports it. Its id takes a hash, so that is computed where it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeFacts {
    /// How often these two orders met before.
    pub piece: u32,
    /// In which market.
    pub market: MarketIndex,
    /// The maker's price.
    pub price: Ticks,
    /// How much changed hands.
    pub quantity: Lots,
    /// The buying order.
    pub buy: OrderId,
    /// The selling order.
    pub sell: OrderId,
    /// Who placed the buying order.
    pub buyer: AuthorKey,
    /// Who placed the selling order.
    pub seller: AuthorKey,
    /// The side of the later order.
    pub taker: Side,
    /// How sure it is.
    pub status: TradeStatus,
    /// Claimed time of the later order.
    pub time: HybridTime,
    /// How often this node has reported it; twice if it was final before the node started. Local
    /// knowledge, in no digest.
    pub revision: u32,
}

impl TradeFacts {
    /// The trade with its id.
    pub fn row(&self) -> TradeRow {
        TradeRow {
            trade: TradeId::new(&self.buy, &self.sell, self.piece),
            market: self.market,
            price: self.price,
            quantity: self.quantity,
            buy: self.buy,
            sell: self.sell,
            buyer: self.buyer,
            seller: self.seller,
            taker: self.taker,
            status: self.status,
            time: self.time,
            revision: self.revision,
        }
    }
}

/// The best levels of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookView {
    /// Which market.
    pub market: MarketIndex,
    /// Best (highest) first.
    pub bids: Vec<Level>,
    /// Best (lowest) first.
    pub asks: Vec<Level>,
    /// Digest of the whole book, not only of the levels shown.
    pub digest: Digest,
}

/// Digests of everything that must be equal on equal sets of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// How many operations have been applied.
    pub operations: u64,
    /// The set of applied operations.
    pub set: Digest,
    /// All resting orders of all markets.
    pub book: Digest,
    /// All trades, tentative and final.
    pub trades: Digest,
    /// Final trades only.
    pub final_trades: Digest,
    /// What became of every order.
    pub orders: Digest,
}

/// Where a trade stands in the tape of its market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TradePosition {
    /// The action of the later order.
    pub key: LogKey,
    /// Its how-manieth fill, from 0.
    pub number: u32,
}

/// What happened to a trade in the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeChange {
    /// It was not there before.
    New,
    /// Its quantity or price is another.
    Amended,
    /// It is no longer there.
    Busted,
    /// Only its place is another: no news for users.
    Moved,
    /// Both owners have confirmed it.
    Confirmed,
}

/// One difference between the state before and after a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An order is new or other than before.
    Order {
        /// As it is now.
        row: OrderRow,
        /// What was left of it in the book before; `None` if it was not there.
        open_before: Option<Lots>,
    },
    /// A replace turned out to have no effect, so the order that it made, as it was until now,
    /// never was.
    OrderGone(OrderRow),
    /// A trade.
    Trade {
        /// Its place now, or before it was busted.
        position: TradePosition,
        /// What users see of it.
        trade: TradeFacts,
        /// What happened to it.
        change: TradeChange,
        /// The earliest of the operations that brought the change.
        cause: OpId,
    },
}

impl Change {
    /// The market that it concerns, if that is known.
    pub fn market(&self) -> Option<MarketIndex> {
        match self {
            Self::Order { row, .. } | Self::OrderGone(row) => Some(row.market),
            Self::Trade { trade, .. } => Some(trade.market),
        }
    }
}
