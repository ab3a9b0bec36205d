//! A command as a value: what the console understood, before anyone acts on it.
//!
//! The grammar (`command_grammar`) makes these from lines; [`Command::text`] writes the line back
//! in one canonical form, which parses to the same command. What needs knowledge that a line does
//! not have stays open here: a prefix of an id is looked up by the actor that has the ids, and
//! the amounts of a `replace` are read once the order's market is known.

use std::fmt;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::Market;
use bitfitech_core::matching::{Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{MemberChange, Place};
use bitfitech_core::types::{Digest, Lots, MarketIndex, OrderId, Ticks};
use bitfitech_io::config::{HostPort, LogLevel};

use crate::command_dht::DhtCommand;
use crate::command_duration::exact_text;
use crate::command_error::{Amount, CommandError};
use crate::membership::Sentence;

/// Levels of each side that `book` shows when no depth is given. A guess: more than a screen.
pub const BOOK_DEPTH_DEFAULT: u32 = 50;

/// Most levels of each side that `book` shows. A guess: a reply of some hundred kilobytes.
pub const BOOK_DEPTH_MAX: u32 = 10_000;

/// Trades that `trades` shows when no number is given.
pub const TRADES_DEFAULT: u32 = 50;

/// Most trades that `trades` shows.
pub const TRADES_MAX: u32 = 1_000_000;

/// Most orders that `orders` can be told to show; without a number it shows all.
pub const ORDERS_MAX: u32 = 1_000_000;

/// Longest time that an order may rest with `ttl=`: a year. Without it there is no limit.
pub const TTL_MAX_MS: u64 = 365 * 86_400_000;

/// Fewest hexadecimal digits that name an order or a peer.
pub const ID_DIGITS_MIN: usize = 8;

/// A command with everything that its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `buy`, `sell`.
    Place(NewOrder),
    /// `cancel ORDER`.
    Cancel(OrderName),
    /// `cancel all`: every own open order.
    CancelAll,
    /// `confirm`: a trade by the beginning of its id.
    Confirm(IdPrefix),
    /// `release`: the same.
    Release(IdPrefix),
    /// `replace`.
    Replace(Replace),
    /// `order`.
    Order(OrderName),
    /// `orders`.
    Orders {
        /// Which.
        scope: OrdersScope,
        /// How many of the newest, 1 to [`ORDERS_MAX`]; `None`: all.
        limit: Option<u32>,
    },
    /// `book`.
    Book {
        /// Which market.
        market: MarketIndex,
        /// Levels of each side, 1 to [`BOOK_DEPTH_MAX`].
        depth: u32,
    },
    /// `trades`.
    Trades {
        /// Which market.
        market: MarketIndex,
        /// How many of the newest, 1 to [`TRADES_MAX`].
        limit: u32,
    },
    /// `peers`.
    Peers,
    /// `connect`.
    Connect(HostPort),
    /// `disconnect`.
    Disconnect(IdPrefix),
    /// `breakers`.
    Breakers,
    /// `dht`.
    Dht(DhtCommand),
    /// `topology`.
    Topology,
    /// `members`.
    Members,
    /// `admit`, `expel`.
    Member(Sentence),
    /// `clock`.
    Clock(ClockQuery),
    /// `digest`.
    Digest,
    /// `stats`.
    Stats,
    /// `tree`.
    Tree,
    /// `log`.
    Log {
        /// From which level on messages are logged.
        level: LogLevel,
        /// For which target; `None` for all.
        target: Option<String>,
    },
    /// `crash`: the actor's name as `tree` shows it.
    Crash(String),
    /// `help`; with the command to explain, as the table spells it.
    Help(Option<&'static str>),
    /// `quit`.
    Quit,
}

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Its terms; when it expires stays open until its operation is dated.
    pub place: Place,
    /// How long it may rest, 1 to [`TTL_MAX_MS`]; `None`: until it is cancelled.
    pub ttl_ms: Option<u64>,
}

/// Which own orders `orders` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrdersScope {
    /// Those in the book.
    Open,
    /// Ended ones too.
    All,
}

/// What `clock` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockQuery {
    /// The node's own clock: what its next operation would carry.
    Own,
    /// The clock of the operation that placed an order.
    Of(OrderName),
    /// How the clocks of two orders relate.
    Compare(OrderName, OrderName),
}

/// The first digits of an id of 32 bytes.
///
/// All ids that begin with them lie between [`IdPrefix::low`] and [`IdPrefix::high`], so an
/// ordered map finds them by a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    low: [u8; 32],
    digits: usize,
}

impl IdPrefix {
    /// Reads 8 to 64 hexadecimal digits of either case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len();
        if !(ID_DIGITS_MIN..=64).contains(&digits) || !text.is_ascii() {
            return None;
        }
        let low = Digest::from_hex(&format!("{text:0<64}"))?.0;
        Some(Self { low, digits })
    }

    /// The least id that begins with these digits.
    pub fn low(&self) -> [u8; 32] {
        self.low
    }

    /// The greatest id that begins with these digits.
    pub fn high(&self) -> [u8; 32] {
        let mut high = self.low;
        high[self.digits.div_ceil(2)..].fill(0xff);
        if self.digits % 2 == 1 {
            high[self.digits / 2] |= 0x0f;
        }
        high
    }

    /// Whether an id begins with these digits.
    pub fn matches(&self, id: &[u8; 32]) -> bool {
        (self.low..=self.high()).contains(id)
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&Digest(self.low).to_hex()[..self.digits])
    }
}

/// An order as people name it: the first digits of its id, and behind a point its number in its
/// operation where that has made several. Their ids differ only in the last two digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderName {
    id: IdPrefix,
    index: Option<u8>,
}

impl OrderName {
    /// Reads what [`IdPrefix::parse`] does, or that, a point and a number from 0 to 255; `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, index) = match text.split_once('.') {
            None => (text, None),
            Some((digits, index)) => {
                let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
                let index = is_number.then(|| index.parse().ok()).flatten()?;
                (digits, Some(index))
            }
        };
        let id = IdPrefix::parse(digits)?;
        Some(Self { id, index })
    }

    /// The least id that begins with the digits.
    pub fn low(&self) -> OrderId {
        OrderId(self.id.low())
    }

    /// The greatest id that begins with the digits.
    pub fn high(&self) -> OrderId {
        OrderId(self.id.high())
    }

    /// Whether an order with such an id has the number.
    pub fn has_number_of(&self, order: &OrderId) -> bool {
        self.index.is_none_or(|index| index == order.index())
    }

    /// The same digits with the number of an order.
    pub fn numbered(&self, order: &OrderId) -> Self {
        Self {
            index: Some(order.index()),
            ..*self
        }
    }
}

impl fmt::Display for OrderName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => self.id.fmt(out),
            Some(index) => write!(out, "{}.{index}", self.id),
        }
    }
}

/// A `replace` as it was written: its amounts are read in the order's market, by
/// [`Replace::terms`]. At least one of them is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The order to change.
    pub order: OrderName,
    /// The new total quantity, filled part included.
    pub quantity: Option<String>,
    /// The new price.
    pub price: Option<String>,
}

/// New terms of an order; `None` keeps the old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaceTerms {
    /// The new total quantity, filled part included.
    pub quantity: Option<Lots>,
    /// The new price.
    pub price: Option<Ticks>,
}

impl Replace {
    /// Reads the amounts in a market.
    ///
    /// # Errors
    /// When the market does not allow one of them.
    pub fn terms(&self, market: &Market) -> Result<ReplaceTerms, CommandError> {
        let refused = |amount, error| CommandError::Amount {
            command: "replace",
            amount,
            pair: market.pair().to_string(),
            error,
        };
        let quantity = self.quantity.as_deref().map(|text| {
            market
                .parse_quantity(text)
                .map_err(|error| refused(Amount::Quantity, error))
        });
        let price = self.price.as_deref().map(|text| {
            market
                .parse_price(text)
                .map_err(|error| refused(Amount::Price, error))
        });
        Ok(ReplaceTerms {
            quantity: quantity.transpose()?,
            price: price.transpose()?,
        })
    }

    /// The line that parses to this command.
    fn text(&self) -> String {
        let mut text = format!("replace {}", self.order);
        if let Some(quantity) = &self.quantity {
            text += &format!(" {quantity}");
        }
        if let Some(price) = &self.price {
            text += &format!(" @ {price}");
        }
        text
    }
}

impl Command {
    /// The line that parses to this command in this network, in one canonical form.
    ///
    /// Markets that the genesis does not have, and [`SelfTrade::Allow`], cannot be written: the
    /// grammar never makes such commands.
    pub fn text(&self, genesis: &Genesis) -> String {
        let pair = |market: &MarketIndex| genesis.market(*market).map_or("?", Market::pair);
        match self {
            Self::Place(order) => order_text(order, genesis),
            Self::Confirm(trade) => format!("confirm {trade}"),
            Self::Release(trade) => format!("release {trade}"),
            Self::Cancel(order) => format!("cancel {order}"),
            Self::CancelAll => "cancel all".to_string(),
            Self::Replace(replace) => replace.text(),
            Self::Order(order) => format!("order {order}"),
            Self::Orders { scope, limit } => {
                let all = match scope {
                    OrdersScope::Open => "",
                    OrdersScope::All => " all",
                };
                let limit = limit.map_or(String::new(), |limit| format!(" {limit}"));
                format!("orders{all}{limit}")
            }
            Self::Book { market, depth } => format!("book {} {depth}", pair(market)),
            Self::Trades { market, limit } => format!("trades {} {limit}", pair(market)),
            Self::Connect(address) => format!("connect {address}"),
            Self::Dht(command) => command.text(),
            Self::Disconnect(peer) => format!("disconnect {peer}"),
            Self::Clock(ClockQuery::Own) => "clock".to_string(),
            Self::Clock(ClockQuery::Of(order)) => format!("clock {order}"),
            Self::Clock(ClockQuery::Compare(one, other)) => format!("clock {one} {other}"),
            Self::Log {
                level,
                target: None,
            } => format!("log {}", level.name()),
            Self::Log {
                level,
                target: Some(target),
            } => format!("log {} {target}", level.name()),
            Self::Crash(actor) => format!("crash {actor}"),
            Self::Help(Some(topic)) => format!("help {topic}"),
            Self::Peers => "peers".to_string(),
            Self::Breakers => "breakers".to_string(),
            Self::Topology => "topology".to_string(),
            Self::Members => "members".to_string(),
            Self::Member(Sentence { author, change }) => match change {
                MemberChange::Admit => format!("admit {author}"),
                MemberChange::Expel => format!("expel {author}"),
            },
            Self::Digest => "digest".to_string(),
            Self::Stats => "stats".to_string(),
            Self::Tree => "tree".to_string(),
            Self::Help(None) => "help".to_string(),
            Self::Quit => "quit".to_string(),
        }
    }
}

/// The line that parses to this order.
fn order_text(NewOrder { place, ttl_ms }: &NewOrder, genesis: &Genesis) -> String {
    let side = place.side.name();
    let Some(market) = genesis.market(place.market) else {
        return format!("{side} ?");
    };
    let quantity = market.quantity_text(u128::from(place.quantity.0));
    let pair = market.pair();
    let pricing = match place.pricing {
        Pricing::Limit(price) => format!("@ {}", market.price_text(price)),
        Pricing::Market(None) => "market".to_string(),
        Pricing::Market(Some(limit)) => format!("market limit={}", market.price_text(limit)),
    };
    let time_in_force = match (place.pricing, place.time_in_force) {
        (Pricing::Market(_), _) | (_, TimeInForce::GoodTillCancel) => "",
        (_, TimeInForce::ImmediateOrCancel) => " ioc",
        (_, TimeInForce::FillOrKill) => " fok",
        (_, TimeInForce::PostOnly) => " post",
    };
    let self_trade = match place.self_trade {
        SelfTrade::CancelNewest | SelfTrade::Allow => "",
        SelfTrade::CancelOldest => " stp=oldest",
        SelfTrade::CancelBoth => " stp=both",
    };
    let ttl = ttl_ms.map_or(String::new(), |ttl_ms| {
        format!(" ttl={}", exact_text(ttl_ms))
    });
    format!("{side} {quantity} {pair} {pricing}{time_in_force}{self_trade}{ttl}")
}
