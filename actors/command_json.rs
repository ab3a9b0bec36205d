//! Answers and events as JSON, one line each, for programs.
//!
//! The names and their order are a contract with scripts (INTERFACE, "Commands on stdin"), so
//! every line is written by a structure whose fields stand in that order. Amounts are canonical
//! decimal strings; identifiers have all 64 digits; what is absent is `null`, never left out.
//!
//! Rows are turned into text one by one while the line is written: a reply with a million trades
//! costs its own length and no copy besides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::Market;
use bitfitech_core::matching::Level;
use bitfitech_core::types::{AuthorKey, MarketIndex};
use bitfitech_core::view::{BookView, Digests, OrderRow};
use serde::{Serialize, Serializer};

use crate::command_dht::DhtReply;
use crate::messages::{
    ActorEvent, Answer, BreakerRow, Event, MemberRow, Members, PeerEvent, PeerRow, PlaceReply,
    Ready, Reply, SyncEvent, TradeEvent, TradeReason, TradeView, TreeNode,
};

/// The line that answers a command, without a line break. `word` is the command as
/// [`crate::command_grammar::reply_word`] gives it.
///
/// # Panics
/// When a row names a market that the genesis does not have: a broken invariant of the replica.
pub fn answer_line(word: &str, answer: &Answer, genesis: &Genesis) -> String {
    match answer {
        Ok(reply) => line(&ReplyLine {
            reply: word,
            ok: true,
            body: Body::new(reply, genesis),
        }),
        Err(error) => line(&ErrorLine {
            reply: word,
            ok: false,
            code: error.code.name(),
            error: &error.text,
        }),
    }
}

/// The line of an event, without a line break.
///
/// # Panics
/// When a row names a market that the genesis does not have: a broken invariant of the replica.
pub fn event_line(event: &Event, genesis: &Genesis) -> String {
    match event {
        Event::Ready(ready) => line(&EventLine {
            event: "ready",
            body: ReadyFields::new(ready),
        }),
        Event::Trade(trade) => line(&EventLine {
            event: "trade",
            body: TradeEventFields::new(trade, genesis),
        }),
        Event::Order(row) => line(&EventLine {
            event: "order",
            body: row.fields(genesis),
        }),
        Event::Peer(peer) => line(&EventLine {
            event: "peer",
            body: PeerEventFields::new(peer),
        }),
        Event::Actor(actor) => line(&EventLine {
            event: "actor",
            body: ActorEventFields::new(actor),
        }),
        Event::Sync(sync) => line(&EventLine {
            event: "sync",
            body: SyncFields::new(sync),
        }),
    }
}

/// What a reply says besides which command it answers: for edges that wrap it otherwise.
pub fn reply_fields<'a>(reply: &'a Reply, genesis: &'a Genesis) -> impl Serialize + 'a {
    Body::new(reply, genesis)
}

/// Writes a value as JSON. Line breaks in texts come out escaped, so it is one line.
fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("keys are strings and nothing here fails to serialise")
}

/// A command that worked.
#[derive(Serialize)]
struct ReplyLine<'a> {
    reply: &'a str,
    ok: bool,
    #[serde(flatten)]
    body: Body<'a>,
}

/// A command that failed.
#[derive(Serialize)]
struct ErrorLine<'a> {
    reply: &'a str,
    ok: bool,
    code: &'static str,
    error: &'a str,
}

/// An event.
#[derive(Serialize)]
struct EventLine<B: Serialize> {
    event: &'static str,
    #[serde(flatten)]
    body: B,
}

/// The fields of a reply.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Place(PlaceFields<'a>),
    Order(OrderFields<'a>),
    CancelAll {
        count: usize,
        orders: Rows<'a, OrderRow>,
    },
    Orders {
        orders: Rows<'a, OrderRow>,
    },
    Book(BookFields<'a>),
    Trades {
        trades: Rows<'a, TradeView>,
    },
    Trade(TradeFields<'a>),
    Peers {
        peers: Rows<'a, PeerRow>,
    },
    Connect {
        address: &'a str,
    },
    Disconnect {
        node: String,
    },
    Announced {
        nodes: u64,
    },
    Found {
        peers: &'a [SocketAddr],
    },
    Kept {
        hash: &'a str,
    },
    Value {
        value: Option<&'a str>,
    },
    Breakers {
        breakers: Rows<'a, BreakerRow>,
    },
    Topology {
        topology: Vec<LinksFields>,
    },
    Members {
        closed: bool,
        members: Rows<'a, MemberRow>,
    },
    Member(MemberFields),
    Clock {
        clock: BTreeMap<String, u64>,
    },
    Relation {
        relation: &'static str,
    },
    Digest(DigestFields),
    Stats {
        stats: Counters<'a>,
    },
    Tree(TreeFields<'a>),
    Log {
        level: &'a str,
        target: Option<&'a str>,
    },
    Crash {
        actor: &'a str,
    },
    Help {
        text: &'a str,
    },
    Quit {},
}

impl<'a> Body<'a> {
    fn new(reply: &'a Reply, genesis: &'a Genesis) -> Self {
        let orders = |rows| Rows { rows, genesis };
        match reply {
            Reply::Place(place) => Self::Place(PlaceFields::new(place, genesis)),
            Reply::Cancel(row) | Reply::Order(row) => Self::Order(row.fields(genesis)),
            Reply::CancelAll(rows) => Self::CancelAll {
                count: rows.len(),
                orders: orders(rows),
            },
            Reply::Orders(rows) => Self::Orders {
                orders: orders(rows),
            },
            Reply::Book(book) => Self::Book(BookFields::new(book, genesis)),
            Reply::Trades(rows) => Self::Trades {
                trades: Rows { rows, genesis },
            },
            Reply::Trade(trade) => Self::Trade(trade.fields(genesis)),
            Reply::Peers(rows) => Self::Peers {
                peers: Rows { rows, genesis },
            },
            Reply::Connect { address } => Self::Connect { address },
            Reply::Disconnect { node } => Self::Disconnect {
                node: node.to_hex(),
            },
            Reply::Dht(DhtReply::Announced(nodes)) => Self::Announced { nodes: *nodes },
            Reply::Dht(DhtReply::Found(peers)) => Self::Found { peers },
            Reply::Dht(DhtReply::Kept(hash)) => Self::Kept { hash },
            Reply::Dht(DhtReply::Value(value)) => Self::Value {
                value: value.as_deref(),
            },
            Reply::Breakers(rows) => Self::Breakers {
                breakers: Rows { rows, genesis },
            },
            Reply::Topology(links) => Self::Topology {
                topology: links.iter().map(LinksFields::new).collect(),
            },
            Reply::Members(Members::Everyone) => Self::Members {
                closed: false,
                members: Rows { rows: &[], genesis },
            },
            Reply::Members(Members::Only(rows)) => Self::Members {
                closed: true,
                members: Rows { rows, genesis },
            },
            Reply::Member(row) => Self::Member(row.fields(genesis)),
            Reply::Clock(clock) => Self::Clock {
                clock: hex_keys(clock),
            },
            Reply::Relation(relation) => Self::Relation {
                relation: relation.name(),
            },
            Reply::Digest(digests) => Self::Digest(DigestFields::new(digests)),
            Reply::Stats(counters) => Self::Stats {
                stats: Counters(counters),
            },
            Reply::Tree(row) => Self::Tree(row.fields(genesis)),
            Reply::Log { level, target } => Self::Log {
                level,
                target: target.as_deref(),
            },
            Reply::Crash { actor } => Self::Crash { actor },
            Reply::Help(text) => Self::Help { text },
            Reply::Quit => Self::Quit {},
        }
    }
}

/// A clock with its authors in full.
fn hex_keys(clock: &BTreeMap<AuthorKey, u64>) -> BTreeMap<String, u64> {
    clock
        .iter()
        .map(|(author, count)| (author.to_hex(), *count))
        .collect()
}

/// The market that a row names.
pub(crate) fn market_of(genesis: &Genesis, index: MarketIndex) -> &Market {
    genesis
        .market(index)
        .expect("the replica admits only markets of the genesis")
}

/// Something that is shown as one object.
trait Row {
    /// Its fields, ready to write.
    type Fields<'a>: Serialize
    where
        Self: 'a;

    /// Turns it into text.
    fn fields<'a>(&'a self, genesis: &'a Genesis) -> Self::Fields<'a>;
}

/// Rows as a JSON array, made one by one.
struct Rows<'a, R> {
    rows: &'a [R],
    genesis: &'a Genesis,
}

impl<R: Row> Serialize for Rows<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| row.fields(self.genesis)))
    }
}

/// Named numbers as a JSON object, in the given order.
struct Counters<'a>(&'a [(String, u64)]);

impl Serialize for Counters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, number)| (name, number)))
    }
}

#[derive(Serialize)]
struct MemberFields {
    node: String,
    standing: &'static str,
    administrator: bool,
    by: Option<String>,
    time_ms: Option<u64>,
}

impl Row for MemberRow {
    type Fields<'a> = MemberFields;

    fn fields<'a>(&'a self, _genesis: &'a Genesis) -> MemberFields {
        MemberFields {
            node: self.node.to_hex(),
            standing: self.standing.name(),
            administrator: self.is_administrator,
            by: self.by.map(|by| by.to_hex()),
            time_ms: self.time_ms,
        }
    }
}

#[derive(Serialize)]
struct OrderFields<'a> {
    order: String,
    author: String,
    pair: &'a str,
    side: &'static str,
    price: Option<String>,
    quantity: String,
    filled: String,
    status: &'static str,
    reason: Option<&'static str>,
    late_ms: u64,
}

impl Row for OrderRow {
    type Fields<'a> = OrderFields<'a>;

    fn fields<'a>(&'a self, genesis: &'a Genesis) -> OrderFields<'a> {
        let market = market_of(genesis, self.market);
        OrderFields {
            order: self.order.to_hex(),
            author: self.author.to_hex(),
            pair: market.pair(),
            side: self.side.name(),
            price: self.price.map(|price| market.price_text(price)),
            quantity: market.quantity_text(u128::from(self.quantity.0)),
            filled: market.quantity_text(u128::from(self.filled.0)),
            status: self.status().name(),
            reason: self.reason(),
            late_ms: self.late_ms,
        }
    }
}

#[derive(Serialize)]
struct TradeFields<'a> {
    id: String,
    pair: &'a str,
    price: String,
    quantity: String,
    buy: String,
    sell: String,
    taker: &'static str,
    status: &'static str,
    time_ms: u64,
    rev: u32,
    #[serde(rename = "unsafe")]
    is_unsafe: bool,
}

impl Row for TradeView {
    type Fields<'a> = TradeFields<'a>;

    fn fields<'a>(&'a self, genesis: &'a Genesis) -> TradeFields<'a> {
        let row = &self.row;
        let market = market_of(genesis, row.market);
        TradeFields {
            id: row.trade.to_hex(),
            pair: market.pair(),
            price: market.price_text(row.price),
            quantity: market.quantity_text(u128::from(row.quantity.0)),
            buy: row.buy.to_hex(),
            sell: row.sell.to_hex(),
            taker: row.taker.name(),
            status: row.status.name(),
            time_ms: row.time.unix_ms(),
            rev: row.revision,
            is_unsafe: self.is_unsafe,
        }
    }
}

#[derive(Serialize)]
struct PlaceFields<'a> {
    order: String,
    status: &'static str,
    reason: Option<&'static str>,
    filled: String,
    remaining: String,
    trades: Rows<'a, TradeView>,
}

impl<'a> PlaceFields<'a> {
    fn new(place: &'a PlaceReply, genesis: &'a Genesis) -> Self {
        let market = market_of(genesis, place.market);
        Self {
            order: place.order.to_hex(),
            status: place.status.name(),
            reason: place.reason,
            filled: market.quantity_text(u128::from(place.filled.0)),
            remaining: market.quantity_text(u128::from(place.remaining.0)),
            trades: Rows {
                rows: &place.trades,
                genesis,
            },
        }
    }
}

#[derive(Serialize)]
struct BookFields<'a> {
    pair: &'a str,
    bids: Vec<LevelFields>,
    asks: Vec<LevelFields>,
    digest: String,
}

/// Price, quantity, number of orders: an array of three.
#[derive(Serialize)]
struct LevelFields(String, String, u32);

impl<'a> BookFields<'a> {
    fn new(book: &'a BookView, genesis: &'a Genesis) -> Self {
        let market = market_of(genesis, book.market);
        let fields = |level: &Level| {
            let price = market.price_text(level.price);
            LevelFields(price, market.quantity_text(level.quantity), level.orders)
        };
        Self {
            pair: market.pair(),
            bids: book.bids.iter().map(fields).collect(),
            asks: book.asks.iter().map(fields).collect(),
            digest: book.digest.to_hex(),
        }
    }
}

#[derive(Serialize)]
struct DigestFields {
    operations: u64,
    set: String,
    book: String,
    trades: String,
    final_trades: String,
    orders: String,
}

impl DigestFields {
    fn new(digests: &Digests) -> Self {
        Self {
            operations: digests.operations,
            set: digests.set.to_hex(),
            book: digests.book.to_hex(),
            trades: digests.trades.to_hex(),
            final_trades: digests.final_trades.to_hex(),
            orders: digests.orders.to_hex(),
        }
    }
}

#[derive(Serialize)]
struct PeerFields<'a> {
    node: String,
    address: &'a str,
    direction: &'static str,
    state: &'static str,
    rtt_ms: Option<u64>,
    behind: u64,
    score: i64,
    reason: Option<&'a str>,
}

impl Row for PeerRow {
    type Fields<'a> = PeerFields<'a>;

    fn fields<'a>(&'a self, _: &'a Genesis) -> PeerFields<'a> {
        PeerFields {
            node: self.node.to_hex(),
            address: &self.address,
            direction: self.direction.name(),
            state: self.state,
            rtt_ms: self.rtt_ms,
            behind: self.behind,
            score: self.score,
            reason: self.reason.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct BreakerFields<'a> {
    address: &'a str,
    state: &'static str,
    failures: u32,
    retry_in_ms: u64,
}

impl Row for BreakerRow {
    type Fields<'a> = BreakerFields<'a>;

    fn fields<'a>(&'a self, _: &'a Genesis) -> BreakerFields<'a> {
        BreakerFields {
            address: &self.address,
            state: self.state.name(),
            failures: self.failures,
            retry_in_ms: self.retry_in_ms,
        }
    }
}

/// A node and whom it is linked to.
#[derive(Serialize)]
struct LinksFields {
    node: String,
    links: Vec<String>,
}

impl LinksFields {
    fn new((node, links): (&AuthorKey, &BTreeSet<AuthorKey>)) -> Self {
        Self {
            node: node.to_hex(),
            links: links.iter().map(AuthorKey::to_hex).collect(),
        }
    }
}

#[derive(Serialize)]
struct TreeFields<'a> {
    name: &'a str,
    state: &'static str,
    restarts: u64,
    generation: u64,
    mailbox: usize,
    children: Rows<'a, TreeNode>,
}

impl Row for TreeNode {
    type Fields<'a> = TreeFields<'a>;

    fn fields<'a>(&'a self, genesis: &'a Genesis) -> TreeFields<'a> {
        TreeFields {
            name: &self.name,
            state: self.state,
            restarts: self.restarts,
            generation: self.generation,
            mailbox: self.mailbox,
            children: Rows {
                rows: &self.children,
                genesis,
            },
        }
    }
}

#[derive(Serialize)]
struct ReadyFields<'a> {
    node: String,
    p2p: Option<SocketAddr>,
    api: Option<SocketAddr>,
    grape_dht: Option<SocketAddr>,
    grape_api: Option<SocketAddr>,
    grape_rpc: Option<SocketAddr>,
    mode: &'a str,
    network: &'a str,
}

impl<'a> ReadyFields<'a> {
    fn new(ready: &'a Ready) -> Self {
        Self {
            node: ready.node.to_hex(),
            p2p: ready.p2p,
            api: ready.api,
            grape_dht: ready.grape_dht,
            grape_api: ready.grape_api,
            grape_rpc: ready.grape_rpc,
            mode: &ready.mode,
            network: &ready.network,
        }
    }
}

#[derive(Serialize)]
struct TradeEventFields<'a> {
    #[serde(flatten)]
    row: TradeFields<'a>,
    reason: Option<&'static str>,
    cause: Option<String>,
}

impl<'a> TradeEventFields<'a> {
    fn new(event: &'a TradeEvent, genesis: &'a Genesis) -> Self {
        Self {
            row: event.trade.fields(genesis),
            reason: event.reason.map(TradeReason::name),
            cause: event.cause.map(|operation| operation.to_hex()),
        }
    }
}

#[derive(Serialize)]
struct PeerEventFields<'a> {
    node: String,
    address: &'a str,
    change: &'static str,
    reason: Option<&'a str>,
}

impl<'a> PeerEventFields<'a> {
    fn new(event: &'a PeerEvent) -> Self {
        Self {
            node: event.node.to_hex(),
            address: &event.address,
            change: event.change.name(),
            reason: event.reason.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ActorEventFields<'a> {
    name: &'a str,
    change: &'static str,
    reason: Option<&'a str>,
    generation: u64,
}

impl<'a> ActorEventFields<'a> {
    fn new(event: &'a ActorEvent) -> Self {
        Self {
            name: &event.name,
            change: event.change.name(),
            reason: event.reason.as_deref(),
            generation: event.generation,
        }
    }
}

#[derive(Serialize)]
struct SyncFields {
    peer: String,
    received: u64,
    total: u64,
}

impl SyncFields {
    fn new(event: &SyncEvent) -> Self {
        Self {
            peer: event.peer.to_hex(),
            received: event.received,
            total: event.total,
        }
    }
}

#[cfg(test)]
mod tests;
