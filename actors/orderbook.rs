//! OrderbookActor: books, trades and orders as users see them.
//!
//! It folds the changes that the matcher reports into a [`Board`], answers questions from it, and
//! tells users of trades and of their own orders. Updates are numbered: when one is missing (this
//! actor was restarted, or its mailbox was full) it asks the matcher for everything anew.
//!
//! *Digests.* A book is shown with its digest, which costs a hash over every level that has
//! changed. So it is made when somebody asks for the book, not with every change: the matcher
//! sends it as an update of its own, so it comes behind the changes that it covers and before any
//! other, and the questions that wait for it are answered there and then.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use bitfitech_core::board::{Board, FindError};
use bitfitech_core::types::{AuthorKey, Digest, Lots, MarketIndex, TradeId};
use bitfitech_core::view::{Change, OrderRow, TradeChange, TradeRow, TradeStatus};
use tokio::sync::oneshot;

use crate::child::{Child, Started};
use crate::command_model::{IdPrefix, OrderName, OrdersScope};
use crate::context::NodeContext;
use crate::mailbox::Data;
use crate::matcher::{Snapshot, SnapshotReply, TellDigest};
use crate::messages::{
    Answer, ErrorCode, Event, Reply, ReplyError, TradeEvent, TradeReason, TradeView,
};
use crate::supervised;

/// How long the matcher may take to tell everything.
const SNAPSHOT_MS: u64 = 60_000;

/// How long until the matcher is asked again after it did not answer.
const SNAPSHOT_RETRY_MS: u64 = 100;

/// Ended orders that are answered for here, and final trades of all markets: some 12 MB. A guess:
/// more than a page or a bot asks for. The matcher has them all.
const RECENT_MAX: usize = 16_384;

/// News from the matcher, on the data lane.
#[derive(Debug, Default)]
pub struct Update {
    /// One more than that of the update before.
    pub number: u64,
    /// What is different.
    pub changes: Vec<Change>,
    /// Digests that were asked for, of the books as they are with these changes.
    pub digests: Vec<(MarketIndex, Digest)>,
    /// Why trades changed, where that is known.
    pub reasons: BTreeMap<TradeId, TradeReason>,
    /// An author who turned out to have forked his chain.
    pub forked: Option<AuthorKey>,
}

/// A query: how many tentative trades there are, and how many final ones.
#[derive(Message)]
#[rtype(result = "(u64, u64)")]
pub struct CountTrades;

/// A query: why a trade cannot be confirmed or released here.
#[derive(Message)]
#[rtype(result = "ReplyError")]
pub struct ExplainTrade(pub IdPrefix);

/// A query of a user: levels of a market.
#[derive(Message)]
#[rtype(result = "Answer")]
pub struct AskBook {
    /// Which market.
    pub market: MarketIndex,
    /// Levels of each side.
    pub depth: usize,
}

/// A query of a user. Where there is no answer, what is asked for has been forgotten here, and
/// [`AskHistory`](crate::matcher::AskHistory) has it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Answer>")]
pub enum Ask {
    /// The newest trades of a market.
    Trades {
        /// Which market.
        market: MarketIndex,
        /// How many.
        limit: usize,
    },
    /// The newest own orders.
    Orders {
        /// Which.
        scope: OrdersScope,
        /// How many.
        limit: usize,
    },
    /// One order of anybody.
    Order(OrderName),
}

/// The actor.
pub struct OrderbookActor {
    node: Arc<NodeContext>,
    board: Board,
    /// Markets whose digest is that of the present book.
    digested: BTreeSet<MarketIndex>,
    /// Questions that wait for the digest of a book; the mailbox bounds how many.
    asking: BTreeMap<MarketIndex, Vec<BookQuestion>>,
    /// Proven forkers, at most as many as there are authors.
    forked: BTreeSet<AuthorKey>,
    last_number: u64,
}

/// A question about a book.
struct BookQuestion {
    depth: usize,
    tell: oneshot::Sender<Answer>,
}

impl OrderbookActor {
    /// An empty board.
    pub fn new(node: Arc<NodeContext>) -> Self {
        Self {
            board: empty_board(&node),
            node,
            digested: BTreeSet::new(),
            asking: BTreeMap::new(),
            forked: BTreeSet::new(),
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
        self.board = *snapshot.board;
        self.last_number = snapshot.number;
        self.forked = snapshot.forked.into_iter().collect();
        for (market, digest) in snapshot.digests {
            self.take_digest(market, digest);
        }
        self.node.board_version.add(1);
        tracing::debug!(
            target: "orderbook",
            orders = self.board.order_count(),
            trades = self.board.trade_count(),
            "board is complete"
        );
    }

    /// Takes a change in and tells users of it.
    fn apply(&mut self, change: Change, reasons: &BTreeMap<TradeId, TradeReason>) {
        self.board.apply(&change);
        match change {
            Change::Order { row, .. } => {
                self.log_order(&row);
                if row.author == self.node.identity.author() {
                    self.node.tell(Event::Order(row));
                }
            }
            Change::Trade {
                trade,
                change,
                cause,
                ..
            } if change != TradeChange::Moved => {
                let row = trade.row();
                self.log_trade(&row);
                let is_revised = matches!(change, TradeChange::Amended | TradeChange::Busted);
                let reason = reasons.get(&row.trade).copied();
                self.node.tell(Event::Trade(TradeEvent {
                    trade: self.view(row),
                    reason: reason.filter(|_| is_revised),
                    cause: (change != TradeChange::New).then_some(cause),
                }));
            }
            Change::OrderGone(_) | Change::Trade { .. } => {}
        }
    }

    /// Takes the digest of a book as it is now, and answers those who wait for it.
    fn take_digest(&mut self, market: MarketIndex, digest: Digest) {
        self.board.set_digest(market, digest);
        self.digested.insert(market);
        for BookQuestion { depth, tell } in self.asking.remove(&market).unwrap_or_default() {
            // Who no longer waits needs no answer.
            drop(tell.send(Ok(Reply::Book(self.board.book(market, depth)))));
        }
    }

    /// Answers a question about a book, at once or when its digest is there. Such an answer is
    /// lost with this actor, which is restarted with the matcher.
    fn ask_book(&mut self, market: MarketIndex, depth: usize) -> ResponseFuture<Answer> {
        if self.digested.contains(&market) {
            let book = self.board.book(market, depth);
            return Box::pin(ready(Ok(Reply::Book(book))));
        }
        let (tell, answer) = oneshot::channel();
        let asking = self.asking.entry(market).or_default();
        asking.push(BookQuestion { depth, tell });
        if asking.len() == 1 {
            // A matcher that is down takes this actor down with it, and the question is repeated.
            drop(self.node.refs.matcher.control(TellDigest(market)));
        }
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(unavailable())) })
    }

    /// A trade, and whether it can be relied on.
    fn view(&self, row: TradeRow) -> TradeView {
        let is_unsafe = self.forked.contains(&row.buyer) || self.forked.contains(&row.seller);
        TradeView { row, is_unsafe }
    }

    /// Why the matcher found no own trade to sign or release.
    fn explain(&self, prefix: IdPrefix) -> ReplyError {
        let (low, high) = (TradeId(prefix.low()), TradeId(prefix.high()));
        let mut found = self.board.trades_between(low, high);
        let (first, second) = (found.next(), found.next());
        let own = self.node.identity.author();
        let (code, text) = match (first, second) {
            (None, _) => (
                ErrorCode::UnknownTrade,
                format!(
                    "no trade that can still change begins with {prefix}, and none of those that \
                     became final of late: `trades` lists them"
                ),
            ),
            (Some(first), Some(second)) => {
                return ambiguous_trade(prefix, first.trade, second.trade);
            }
            (Some(row), None) if row.status == TradeStatus::Final => (
                ErrorCode::TradeFinal,
                format!(
                    "trade {} is final: both owners confirmed it",
                    row.trade.short()
                ),
            ),
            (Some(row), None) if [row.buyer, row.seller].contains(&own) => (
                ErrorCode::BadTrade,
                format!(
                    "trade {} has just changed: look at it again",
                    row.trade.short()
                ),
            ),
            (Some(row), None) => (
                ErrorCode::NotOwner,
                format!("trade {} is between other owners", row.trade.short()),
            ),
        };
        ReplyError::new(code, text)
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
            row.order.name(),
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
            row.buy.name(),
            row.sell.name()
        );
    }

    /// The answer to a question, unless it was forgotten.
    fn answer(&self, ask: Ask) -> Option<Answer> {
        Some(match ask {
            Ask::Trades { market, limit } => {
                let rows = self.board.trades(market, limit)?.into_iter();
                Ok(Reply::Trades(rows.map(|row| self.view(row)).collect()))
            }
            Ask::Orders { scope, limit } => {
                let rows = match scope {
                    OrdersScope::Open => self.board.own_open_orders(limit),
                    OrdersScope::All => self.board.own_orders(limit)?,
                };
                Ok(Reply::Orders(rows))
            }
            Ask::Order(name) => {
                let ids = (name.low(), name.high());
                let found = self
                    .board
                    .find_order(ids, |order| name.has_number_of(order))?;
                let found = found.map_err(|error| find_error(name, &error));
                found.cloned().map(Reply::Order)
            }
        })
    }
}

/// A board on which nothing is.
pub(crate) fn empty_board(node: &NodeContext) -> Board {
    let markets = node.genesis.markets.len();
    Board::new(node.identity.author(), markets, RECENT_MAX)
}

/// The error for a question whose answer was lost with the actor.
fn unavailable() -> ReplyError {
    ReplyError::new(
        ErrorCode::Unavailable,
        "the orderbook is being restarted: try again",
    )
}

/// A name that is not that of one order, in words.
pub(crate) fn find_error(name: OrderName, error: &FindError) -> ReplyError {
    match error {
        FindError::Unknown => ReplyError::new(
            ErrorCode::UnknownOrder,
            format!("no order begins with {name}: `orders all` lists your orders"),
        ),
        FindError::Ambiguous(first, second) if first.stem() == second.stem() => {
            let [first, second] = [first, second].map(|order| name.numbered(order));
            let text = format!(
                "{name} begins several orders, such as {first} and {second}: type the number too"
            );
            ReplyError::new(ErrorCode::AmbiguousOrder, text)
        }
        FindError::Ambiguous(first, second) => ReplyError::new(
            ErrorCode::AmbiguousOrder,
            format!("{name} begins several orders, such as {first} and {second}: type more of it"),
        ),
    }
}

/// A prefix that several trades have.
pub(crate) fn ambiguous_trade(prefix: IdPrefix, first: TradeId, second: TradeId) -> ReplyError {
    let text =
        format!("{prefix} begins several trades, such as {first} and {second}: type more of it");
    ReplyError::new(ErrorCode::AmbiguousTrade, text)
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
        if !update.changes.is_empty() || update.forked.is_some() {
            self.node.board_version.add(1);
        }
        self.forked.extend(update.forked);
        for change in update.changes {
            match change.market() {
                Some(market) => drop(self.digested.remove(&market)),
                None => self.digested.clear(),
            }
            self.apply(change, &update.reasons);
        }
        for (market, digest) in update.digests {
            self.take_digest(market, digest);
        }
    }
}

impl Handler<AskBook> for OrderbookActor {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, ask: AskBook, _context: &mut Context<Self>) -> Self::Result {
        self.ask_book(ask.market, ask.depth)
    }
}

impl Handler<Ask> for OrderbookActor {
    type Result = MessageResult<Ask>;

    fn handle(&mut self, ask: Ask, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.answer(ask))
    }
}

impl Handler<CountTrades> for OrderbookActor {
    type Result = MessageResult<CountTrades>;

    fn handle(&mut self, _count: CountTrades, _context: &mut Context<Self>) -> Self::Result {
        let (all, final_count) = (self.board.trade_count(), self.board.final_count());
        MessageResult(((all - final_count) as u64, final_count as u64))
    }
}

impl Handler<ExplainTrade> for OrderbookActor {
    type Result = MessageResult<ExplainTrade>;

    fn handle(&mut self, explain: ExplainTrade, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.explain(explain.0))
    }
}
