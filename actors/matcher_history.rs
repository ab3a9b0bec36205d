//! What the orderbook asks the matcher for: everything, when it starts, and what it has forgotten.
//!
//! The matcher has every order and trade there ever was, but it has other things to do than to
//! answer questions. So the orderbook answers most of them, and here is what is left: some
//! milliseconds for every hundred thousand rows that are looked at.

use actix::{Context, Handler, Message};
use bitfitech_core::board::Board;
use bitfitech_core::types::{AuthorKey, Digest, MarketIndex};
use bitfitech_core::view::OrderRow;

use crate::command_model::OrdersScope;
use crate::matcher::{MatcherActor, OrderbookLink};
use crate::matcher_confirmation::views;
use crate::matcher_submission::any_order;
use crate::messages::{Answer, Reply};
use crate::orderbook::{Ask, empty_board};

/// A query: everything that the orderbook must know.
#[derive(Message)]
#[rtype(result = "SnapshotReply")]
pub struct Snapshot;

/// The answer to [`Snapshot`].
#[derive(actix::MessageResponse)]
pub struct SnapshotReply {
    /// Number of the last update that is part of it.
    pub number: u64,
    /// What there is to be shown.
    pub board: Box<Board>,
    /// Digests of all books.
    pub digests: Vec<(MarketIndex, Digest)>,
    /// Proven forkers.
    pub forked: Vec<AuthorKey>,
}

/// A query: what the orderbook has forgotten.
#[derive(Message)]
#[rtype(result = "Answer")]
pub struct AskHistory(pub Ask);

impl Handler<Snapshot> for MatcherActor {
    type Result = SnapshotReply;

    fn handle(&mut self, _ask: Snapshot, _context: &mut Context<Self>) -> SnapshotReply {
        let mut board = Box::new(empty_board(&self.node));
        board.load(self.exchange.snapshot_newest_first());
        let markets = 0..self.node.genesis.markets.len();
        let markets = markets.map(|at| MarketIndex(u16::try_from(at).expect("at most 256")));
        let replica = self.exchange.replica();
        self.orderbook = OrderbookLink::Fresh;
        SnapshotReply {
            number: self.update_number,
            board,
            digests: markets
                .map(|market| (market, replica.book_digest(market)))
                .collect(),
            forked: self.exchange.dag().forkers().collect(),
        }
    }
}

impl Handler<AskHistory> for MatcherActor {
    type Result = Answer;

    fn handle(&mut self, ask: AskHistory, _context: &mut Context<Self>) -> Answer {
        match ask.0 {
            Ask::Trades { market, limit } => {
                let rows = self.exchange.replica().trades(market, limit);
                Ok(Reply::Trades(views(&self.exchange, rows)))
            }
            Ask::Orders { scope, limit } => {
                let (replica, own) = (self.exchange.replica(), self.exchange.author());
                let mut rows: Vec<OrderRow> = match scope {
                    OrdersScope::All => replica.last_orders_of(own, limit).collect(),
                    OrdersScope::Open => replica.open_orders_of(own).collect(),
                };
                rows.sort_unstable_by_key(|row| (row.time, row.order));
                rows.drain(..rows.len().saturating_sub(limit));
                Ok(Reply::Orders(rows))
            }
            Ask::Order(prefix) => any_order(&self.exchange, prefix).map(Reply::Order),
        }
    }
}
