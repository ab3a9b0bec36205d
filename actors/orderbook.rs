//! OrderbookActor: books, trades and orders as users see them.
//!
//! It folds the changes that the matcher reports into a [`Board`], answers questions from it, and
//! tells users of trades and of their own orders. Updates are numbered: when one is missing (this
//! actor was restarted, or its mailbox was full) it asks the matcher for everything anew.

use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, Handler, Message};
use bitfitech_core::board::{Board, FindError};
use bitfitech_core::types::{Digest, Lots, MarketIndex, OrderId};
use bitfitech_core::view::{Change, OrderRow, TradeChange, TradeRow};

use crate::child::{Child, Started};
use crate::command_model::{IdPrefix, OrdersScope};
use crate::context::NodeContext;
use crate::mailbox::Data;
use crate::matcher::{Snapshot, SnapshotReply};
use crate::messages::{Answer, ErrorCode, Event, Reply, ReplyError, TradeEvent};
use crate::supervised;

/// How long the matcher may take to tell everything.
const SNAPSHOT_MS: u64 = 60_000;

/// How long until the matcher is asked again after it did not answer.
const SNAPSHOT_RETRY_MS: u64 = 100;

/// News from the matcher, on the data lane.
#[derive(Debug)]
pub struct Update {
    /// One more than that of the update before.
    pub number: u64,
    /// What is different.
    pub changes: Vec<Change>,
    /// Digests of the books that changed.
    pub digests: Vec<(MarketIndex, Digest)>,
}

/// A query of a user.
#[derive(Message)]
#[rtype(result = "Answer")]
pub enum Ask {
    /// Levels of a market.
    Book {
        /// Which market.
        market: MarketIndex,
        /// Levels of each side.
        depth: usize,
    },
    /// The newest trades of a market.
    Trades {
        /// Which market.
        market: MarketIndex,
        /// How many.
        limit: usize,
    },
    /// Own orders.
    Orders(OrdersScope),
    /// One order of anybody.
    Order(IdPrefix),
}

/// The actor.
pub struct OrderbookActor {
    node: Arc<NodeContext>,
    board: Board,
    last_number: u64,
}

impl OrderbookActor {
    /// An empty board.
    pub fn new(node: Arc<NodeContext>) -> Self {
        let board = Board::new(node.identity.author(), node.genesis.markets.len());
        Self {
            node,
            board,
            last_number: 0,
        }
    }

    /// Asks the matcher for everything; nothing else is handled until it is there.
    fn load(&mut self, started: Option<Started>, context: &mut Context<Self>) {
        let node = Arc::clone(&self.node);
        let asking = async move {
            loop {
                match node.refs.matcher.query(Snapshot, SNAPSHOT_MS).await {
                    Ok(snapshot) => return snapshot,
                    Err(error) => {
                        tracing::debug!(target: "orderbook", "no snapshot yet: {error}");
                        let pause = std::time::Duration::from_millis(SNAPSHOT_RETRY_MS);
                        actix_rt::time::sleep(pause).await;
                    }
                }
            }
        };
        let loaded = asking.into_actor(self).map(|snapshot, actor, _context| {
            actor.take(snapshot);
            if let Some(started) = started {
                started.report();
            }
        });
        context.wait(loaded);
    }

    fn take(&mut self, snapshot: SnapshotReply) {
        let markets = self.node.genesis.markets.len();
        self.board = Board::new(self.node.identity.author(), markets);
        self.last_number = snapshot.number;
        let changes = snapshot.changes.iter();
        changes.for_each(|change| self.board.apply(change));
        for (market, digest) in snapshot.digests {
            self.board.set_digest(market, digest);
        }
        tracing::debug!(
            target: "orderbook",
            orders = self.board.order_count(),
            trades = self.board.trade_count(),
            "board is complete"
        );
    }

    /// Takes a change in and tells users of it.
    fn apply(&mut self, change: Change) {
        self.board.apply(&change);
        match change {
            Change::Order(row) => {
                self.log_order(&row);
                if row.author == self.node.identity.author() {
                    self.node.tell(Event::Order(row));
                }
            }
            Change::Trade {
                row, change, cause, ..
            } if change != TradeChange::Moved => {
                self.log_trade(&row);
                let late = change != TradeChange::New;
                self.node.tell(Event::Trade(TradeEvent {
                    row,
                    reason: late.then_some("late_operation"),
                    cause: late.then_some(cause),
                }));
            }
            Change::OrderGone(_) | Change::Trade { .. } => {}
        }
    }

    fn log_order(&self, row: &OrderRow) {
        if !tracing::enabled!(target: "orderbook", tracing::Level::DEBUG) {
            return;
        }
        let market = &self.node.genesis.markets[usize::from(row.market.0)];
        let limit = |price| format!("@ {}", market.price_text(price));
        let price = row.price.map_or("at market".to_string(), limit);
        let quantity = |lots: Lots| market.quantity_text(u128::from(lots.0));
        tracing::debug!(
            target: "orderbook",
            "order {} ({} {} {}) is {}, {} filled",
            row.order.short(),
            row.side.name(),
            quantity(row.quantity),
            price,
            row.status().name(),
            quantity(row.filled)
        );
    }

    fn log_trade(&self, row: &TradeRow) {
        if !tracing::enabled!(target: "orderbook", tracing::Level::DEBUG) {
            return;
        }
        let market = &self.node.genesis.markets[usize::from(row.market.0)];
        tracing::debug!(
            target: "orderbook",
            "trade {} is {}: {} @ {} between {} and {}",
            row.trade.short(),
            row.status.name(),
            market.quantity_text(u128::from(row.quantity.0)),
            market.price_text(row.price),
            row.buy.short(),
            row.sell.short()
        );
    }

    fn find(&self, prefix: IdPrefix) -> Result<&OrderRow, ReplyError> {
        let (low, high) = (OrderId(prefix.low()), OrderId(prefix.high()));
        self.board
            .find_order(low, high)
            .map_err(|error| find_error(prefix, &error))
    }
}

/// An id that names no order, in words.
pub(crate) fn find_error(prefix: IdPrefix, error: &FindError) -> ReplyError {
    match error {
        FindError::Unknown => ReplyError::new(
            ErrorCode::UnknownOrder,
            format!("no order begins with {prefix}: `orders all` lists your orders"),
        ),
        FindError::Ambiguous(first, second) => ReplyError::new(
            ErrorCode::AmbiguousOrder,
            format!(
                "{prefix} begins several orders, such as {first} and {second}: type more of it"
            ),
        ),
    }
}

impl Actor for OrderbookActor {
    type Context = Context<Self>;
}

impl Child for OrderbookActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        self.load(Some(started), context);
    }
}
supervised!(OrderbookActor);

impl Handler<Data<Update>> for OrderbookActor {
    type Result = ();

    fn handle(&mut self, data: Data<Update>, context: &mut Context<Self>) {
        let update = data.message;
        if update.number <= self.last_number {
            return;
        }
        if update.number != self.last_number + 1 {
            tracing::warn!(target: "orderbook", "missed updates of the matcher: loading all anew");
            self.load(None, context);
            return;
        }
        self.last_number = update.number;
        for change in update.changes {
            self.apply(change);
        }
        for (market, digest) in update.digests {
            self.board.set_digest(market, digest);
        }
    }
}

impl Handler<Ask> for OrderbookActor {
    type Result = Answer;

    fn handle(&mut self, ask: Ask, _context: &mut Context<Self>) -> Answer {
        Ok(match ask {
            Ask::Book { market, depth } => Reply::Book(self.board.book(market, depth)),
            Ask::Trades { market, limit } => Reply::Trades(self.board.trades(market, limit)),
            Ask::Orders(scope) => {
                let shown = |row: &&OrderRow| scope == OrdersScope::All || row.ended.is_none();
                Reply::Orders(self.board.own_orders().filter(shown).cloned().collect())
            }
            Ask::Order(prefix) => Reply::Order(self.find(prefix)?.clone()),
        })
    }
}
