//! What the node says to its users: replies to commands, and events that nobody asked for.
//!
//! A command is answered by exactly one [`Answer`]: a [`Reply`] or a [`ReplyError`]. What happens
//! by itself (a trade, a lost peer, a crashed actor) is an [`Event`]. Both are values: actors
//! fill them in, and the edges (`command_render`, `command_json`, the web API) write them for
//! people or for programs. Amounts stay in ticks and lots until then, so no actor handles text.
//!
//! Rows that the core already has ([`OrderRow`], [`TradeRow`], [`BookView`], [`Digests`]) are used
//! as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

pub use bitfitech_core::breaker::{BreakerRow, BreakerState};
use bitfitech_core::genesis::Genesis;
use bitfitech_core::membership::{Membership, Standing};
use bitfitech_core::types::{AuthorKey, Lots, MarketIndex, OpId, OrderId};
pub use bitfitech_core::vector_clock::Relation;
use bitfitech_core::view::{BookView, Digests, OrderRow, OrderStatus, TradeRow};

use crate::command_dht::DhtReply;
pub use crate::environment::{ActorChange, ActorEvent};
pub use crate::status::TreeNode;

/// The answer to one command.
pub type Answer = Result<Reply, ReplyError>;

/// What a command that worked answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `buy`, `sell`, `replace`: an operation was written, whatever became of the order.
    Place(PlaceReply),
    /// `cancel ORDER`: the order as it is now.
    Cancel(OrderRow),
    /// `cancel all`: the orders that this command ended, as they are now.
    CancelAll(Vec<OrderRow>),
    /// `order ORDER`.
    Order(OrderRow),
    /// `orders`, `orders all`: own orders.
    Orders(Vec<OrderRow>),
    /// `book`.
    Book(BookView),
    /// `trades`: in log order, newest last.
    Trades(Vec<TradeView>),
    /// `confirm`, `release`: the trade as it is now.
    Trade(TradeView),
    /// `peers`: established sessions.
    Peers(Vec<PeerRow>),
    /// `connect`: the address is being dialled, or a session with it exists already.
    Connect {
        /// HOST:PORT, as it was asked for.
        address: String,
    },
    /// `disconnect`: the session is being closed.
    Disconnect {
        /// Whose session.
        node: AuthorKey,
    },
    /// `dht`.
    Dht(DhtReply),
    /// `breakers`.
    Breakers(Vec<BreakerRow>),
    /// `topology`: nodes and whom each is linked to.
    Topology(BTreeMap<AuthorKey, BTreeSet<AuthorKey>>),
    /// `members`.
    Members(Members),
    /// `admit`, `expel`: what the author is now.
    Member(MemberRow),
    /// `clock`, `clock ORDER`: how many operations of every author precede, the last included.
    Clock(BTreeMap<AuthorKey, u64>),
    /// `clock ORDER ORDER`.
    Relation(Relation),
    /// `digest`.
    Digest(Digests),
    /// `stats`: names and numbers, in the order in which they are shown. Names are unique.
    Stats(Vec<(String, u64)>),
    /// `tree`: the root of the supervision tree.
    Tree(TreeNode),
    /// `log`: the filter is in force.
    Log {
        /// The level.
        level: String,
        /// For which target; `None` for all.
        target: Option<String>,
    },
    /// `crash`: the actor has been told to panic.
    Crash {
        /// Its name in the tree.
        actor: String,
    },
    /// `help`: text for people, several lines.
    Help(String),
    /// `quit`: the node shuts down after this reply.
    Quit,
}

/// An order as it is right after the operation that placed or replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceReply {
    /// Its id; a new one if a replace made a new order.
    pub order: OrderId,
    /// In which market.
    pub market: MarketIndex,
    /// Open, or how it ended at once.
    pub status: OrderStatus,
    /// One word more where the status leaves a question open.
    pub reason: Option<&'static str>,
    /// How much has traded.
    pub filled: Lots,
    /// What is left to trade.
    pub remaining: Lots,
    /// The trades that it made at once.
    pub trades: Vec<TradeView>,
}

/// A trade, and whether it can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeView {
    /// The trade.
    pub row: TradeRow,
    /// Whether the owner of one of its orders is a proven forker, so that what he confirmed may
    /// not be all that he signed.
    pub is_unsafe: bool,
}

impl PlaceReply {
    /// The reply for an order in its present state, and its trades so far.
    pub fn new(row: &OrderRow, trades: Vec<TradeView>) -> Self {
        Self {
            order: row.order,
            market: row.market,
            status: row.status(),
            reason: row.reason(),
            filled: row.filled,
            remaining: row.remaining(),
            trades,
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other node dialled this one.
    Inbound,
    /// This node dialled the other.
    Outbound,
}

impl Direction {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// An established session with another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// The other node's key.
    pub node: AuthorKey,
    /// Its address as this node sees it.
    pub address: String,
    /// Who dialled.
    pub direction: Direction,
    /// State of the session, one lower-case word.
    pub state: &'static str,
    /// Last measured round trip; `None` before the first.
    pub rtt_ms: Option<u64>,
    /// How many operations it still lacks or this node lacks from it, as far as known.
    pub behind: u64,
    /// Standing of the peer: 0, and misbehaviour lowers it.
    pub score: i64,
    /// Its last misdeed that is not forgiven yet.
    pub reason: Option<String>,
}

/// Who may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// The network is open.
    Everyone,
    /// The network is closed: these may, and those among them may not who were expelled.
    Only(Vec<MemberRow>),
}

/// An author in a closed network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The author.
    pub node: AuthorKey,
    /// What he is now.
    pub standing: Standing,
    /// Whether he admits and expels others.
    pub is_administrator: bool,
    /// Who changed his standing last; nobody if the genesis names him.
    pub by: Option<AuthorKey>,
    /// When, in Unix milliseconds.
    pub time_ms: Option<u64>,
}

impl MemberRow {
    /// What is known of an author.
    pub fn new(genesis: &Genesis, members: &Membership, author: &AuthorKey) -> Self {
        let change = members.latest(author);
        Self {
            node: *author,
            standing: members.standing(genesis, author),
            is_administrator: genesis.is_administrator(author),
            by: change.map(|event| event.administrator),
            time_ms: change.map(|event| event.key.time.unix_ms()),
        }
    }
}

/// Why a command changed nothing. Programs tell errors apart by this code, never by the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorCode {
    /// A known command with wrong words after it.
    BadCommand,
    /// The first word is no command.
    UnknownCommand,
    /// A price or quantity that its market does not allow.
    BadAmount,
    /// The trade cannot be confirmed or released as it is now.
    BadTrade,
    /// Not 8 to 64 hexadecimal digits.
    BadTradeId,
    /// No trade begins with these digits.
    UnknownTrade,
    /// Several trades begin with these digits.
    AmbiguousTrade,
    /// The trade is final: nothing changes it.
    TradeFinal,
    /// No such market in this network.
    UnknownPair,
    /// Not 8 to 64 hexadecimal digits.
    BadOrderId,
    /// Not 8 to 64 hexadecimal digits.
    BadPeerId,
    /// Not HOST:PORT.
    BadAddress,
    /// The line is longer than allowed.
    TooLong,
    /// No order begins with these digits.
    UnknownOrder,
    /// Several orders begin with these digits.
    AmbiguousOrder,
    /// The order is over.
    OrderClosed,
    /// The order belongs to another author.
    NotOwner,
    /// The network is closed, and this node is no member of it.
    NotMember,
    /// Only an administrator may do this, or it may not be done to one.
    NotAdministrator,
    /// The node's own operations are dated ahead of its clock, so it writes nothing.
    ClockAhead,
    /// No session with a node whose key begins with these digits.
    UnknownPeer,
    /// Sessions with several nodes whose keys begin with these digits.
    AmbiguousPeer,
    /// No actor of this name.
    UnknownActor,
    /// Fault drills are switched off.
    DrillsOff,
    /// This mode has no DHT.
    DhtOff,
    /// No node of the DHT took it, or no Grape answered.
    DhtFailed,
    /// The actor that answers is restarting.
    Unavailable,
    /// The actor that answers took too long. The operation may have been written.
    Timeout,
    /// The store could not make the operation durable.
    StoreFailed,
    /// A queue is full: try again later.
    Overloaded,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 30] = [
        Self::BadCommand,
        Self::UnknownCommand,
        Self::BadAmount,
        Self::BadTrade,
        Self::BadTradeId,
        Self::UnknownTrade,
        Self::AmbiguousTrade,
        Self::TradeFinal,
        Self::UnknownPair,
        Self::BadOrderId,
        Self::BadPeerId,
        Self::BadAddress,
        Self::TooLong,
        Self::UnknownOrder,
        Self::AmbiguousOrder,
        Self::OrderClosed,
        Self::NotOwner,
        Self::NotMember,
        Self::NotAdministrator,
        Self::ClockAhead,
        Self::UnknownPeer,
        Self::AmbiguousPeer,
        Self::UnknownActor,
        Self::DrillsOff,
        Self::DhtOff,
        Self::DhtFailed,
        Self::Unavailable,
        Self::Timeout,
        Self::StoreFailed,
        Self::Overloaded,
    ];

    /// The stable name that programs compare.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadCommand => "BAD_COMMAND",
            Self::UnknownCommand => "UNKNOWN_COMMAND",
            Self::BadAmount => "BAD_AMOUNT",
            Self::BadTrade => "BAD_TRADE",
            Self::BadTradeId => "BAD_TRADE_ID",
            Self::UnknownTrade => "UNKNOWN_TRADE",
            Self::AmbiguousTrade => "AMBIGUOUS_TRADE",
            Self::TradeFinal => "TRADE_FINAL",
            Self::UnknownPair => "UNKNOWN_PAIR",
            Self::BadOrderId => "BAD_ORDER_ID",
            Self::BadPeerId => "BAD_PEER_ID",
            Self::BadAddress => "BAD_ADDRESS",
            Self::TooLong => "TOO_LONG",
            Self::UnknownOrder => "UNKNOWN_ORDER",
            Self::AmbiguousOrder => "AMBIGUOUS_ORDER",
            Self::OrderClosed => "ORDER_CLOSED",
            Self::NotOwner => "NOT_OWNER",
            Self::NotMember => "NOT_MEMBER",
            Self::NotAdministrator => "NOT_ADMINISTRATOR",
            Self::ClockAhead => "CLOCK_AHEAD",
            Self::UnknownPeer => "UNKNOWN_PEER",
            Self::AmbiguousPeer => "AMBIGUOUS_PEER",
            Self::UnknownActor => "UNKNOWN_ACTOR",
            Self::DrillsOff => "DRILLS_OFF",
            Self::DhtOff => "DHT_OFF",
            Self::DhtFailed => "DHT_FAILED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::StoreFailed => "STORE_FAILED",
            Self::Overloaded => "OVERLOADED",
        }
    }
}

/// What a command that failed answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what, where, how to mend.
    pub text: String,
}

impl ReplyError {
    /// An error with this text.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.name(), self.text)
    }
}

impl std::error::Error for ReplyError {}

/// What happened without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node is up. Always the first line.
    Ready(Box<Ready>),
    /// A trade came to be, changed, vanished or became final.
    Trade(TradeEvent),
    /// An own order changed.
    Order(OrderRow),
    /// A session was established or has ended.
    Peer(PeerEvent),
    /// An actor crashed, was restarted, or its supervisor gave up.
    Actor(ActorEvent),
    /// Progress of catching up with a peer.
    Sync(SyncEvent),
}

/// Where the node can be reached. Parts that are switched off have no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The node's key.
    pub node: AuthorKey,
    /// Sessions with other nodes.
    pub p2p: Option<SocketAddr>,
    /// HTTP and WebSocket.
    pub api: Option<SocketAddr>,
    /// The embedded Grape's DHT (UDP).
    pub grape_dht: Option<SocketAddr>,
    /// The embedded Grape's HTTP API.
    pub grape_api: Option<SocketAddr>,
    /// Grenache RPC.
    pub grape_rpc: Option<SocketAddr>,
    /// How peers are found, as configured.
    pub mode: String,
    /// Name of the network.
    pub network: String,
}

/// A trade as it is now (in its status also whether it was amended or busted), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeEvent {
    /// The trade.
    pub trade: TradeView,
    /// Why it changed; `None` when it is new or final, or where the reason is not clear.
    pub reason: Option<TradeReason>,
    /// The operation that changed it; `None` when it is new.
    pub cause: Option<OpId>,
}

/// Why a trade changed or vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeReason {
    /// An operation that belongs before it came after it.
    LateOperation,
    /// One of the owners does not let his order trade with the other.
    Declined,
    /// One of the owners took his confirmation back by hand.
    Released,
    /// What an owner has confirmed is no longer there for others.
    Confirmation,
    /// One of the owners fell silent or forked his chain, and somebody has refused his order.
    Abandoned,
}

impl TradeReason {
    /// The word that programs compare.
    pub fn name(self) -> &'static str {
        match self {
            Self::LateOperation => "late_operation",
            Self::Declined => "declined",
            Self::Released => "released",
            Self::Confirmation => "confirmation",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It was established.
    Connected,
    /// It has ended.
    Disconnected,
}

impl PeerChange {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A session was established or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEvent {
    /// The other node's key.
    pub node: AuthorKey,
    /// Its address.
    pub address: String,
    /// What happened.
    pub change: PeerChange,
    /// Why.
    pub reason: Option<String>,
}

/// Progress of catching up with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncEvent {
    /// From whom.
    pub peer: AuthorKey,
    /// Operations received so far.
    pub received: u64,
    /// Operations to receive in all, as far as known.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_distinct_upper_case_names() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        let plain = |name: &&str| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        assert!(names.iter().all(plain));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }
}
