//! From a line of text to a [`Command`].
//!
//! The grammar is small on purpose: a line is words between blanks, the first is the command, and
//! each command reads its words from left to right, so an error can always say what was expected
//! at which place. `@` is a word of its own even without blanks around it. A word that begins with
//! `#` starts a comment. Keywords are understood in any case.
//!
//! Reading a line changes nothing and looks at nothing but the genesis: which markets there are,
//! and what amounts they allow. Any text is safe to read; a line above [`LINE_BYTES_MAX`] is
//! refused whole, for half a command could be another one.

use bitfitech_core::genesis::Genesis;
use bitfitech_core::hex;
use bitfitech_core::market::{AmountError, Market};
use bitfitech_core::matching::{Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{MemberChange, Place};
use bitfitech_core::types::{AuthorKey, MarketIndex, Side};
use bitfitech_io::config::LogLevel;

use crate::command_dht::DhtCommand;
use crate::command_duration::parse_duration_ms;
use crate::command_error::{Amount, CommandError};
use crate::command_help::{CommandHelp, find_command, nearest_command};
use crate::command_model::{
    BOOK_DEPTH_DEFAULT, BOOK_DEPTH_MAX, ClockQuery, Command, IdPrefix, NewOrder, ORDERS_MAX,
    OrderName, OrdersScope, Replace, TRADES_DEFAULT, TRADES_MAX, TTL_MAX_MS,
};
use crate::membership::Sentence;

/// Longest line that is read, in bytes. A guess: many times the longest command.
pub const LINE_BYTES_MAX: usize = 4096;

/// Longest first word that a reply repeats (INTERFACE: printable ASCII of at most 32 characters).
const REPLY_WORD_BYTES_MAX: usize = 32;

/// Longest name of a log target or an actor. A guess: twice the longest address.
const NAME_BYTES_MAX: usize = 300;

/// Reads a line: `None` if it is blank or a comment.
///
/// # Errors
/// Says what was expected, and at which word.
pub fn parse(line: &str, genesis: &Genesis) -> Result<Option<Command>, CommandError> {
    let Some(first) = line
        .split_whitespace()
        .next()
        .filter(|word| !word.starts_with('#'))
    else {
        return Ok(None);
    };
    if line.len() > LINE_BYTES_MAX {
        return Err(CommandError::TooLong { bytes: line.len() });
    }
    let command = find_command(first).ok_or_else(|| unknown_command(first))?;
    let mut words = Words::new(command, line);
    let parsed = (command.read)(&mut words, genesis)?;
    words.end()?;
    Ok(Some(parsed))
}

/// The name under which a line is answered: its first word if that is printable ASCII of at most
/// 32 characters, otherwise `?`.
pub fn reply_word(line: &str) -> &str {
    let first = line.split_whitespace().next().unwrap_or("?");
    let printable = first.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && first.len() <= REPLY_WORD_BYTES_MAX {
        first
    } else {
        "?"
    }
}

/// The error for a word that is no command.
fn unknown_command(word: &str) -> CommandError {
    CommandError::UnknownCommand {
        word: word.to_string(),
        nearest: nearest_command(word),
    }
}

/// The words of a line that have not been read yet, the command itself apart.
pub(crate) struct Words<'a> {
    command: &'static str,
    rest: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    /// Splits a line whose first word is the command.
    fn new(command: &CommandHelp, line: &'a str) -> Self {
        let words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'));
        let words = words.skip(1);
        let rest = if command.word == "dht" {
            // Names and values of the DHT are not ours to cut.
            words.collect()
        } else {
            words.flat_map(split_at_signs).collect()
        };
        Self {
            command: command.word,
            rest,
            next: 0,
        }
    }

    /// The next word, left where it is.
    fn peek(&self) -> Option<&'a str> {
        self.rest.get(self.next).copied()
    }

    /// The next word.
    fn take(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// Whether the next word is this keyword, which is then read.
    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    /// The next word, which must be there.
    fn need(&mut self, expected: &'static str) -> Result<&'a str, CommandError> {
        self.take().ok_or(CommandError::Missing {
            command: self.command,
            expected,
        })
    }

    /// Nothing may be left.
    fn end(&self) -> Result<(), CommandError> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(self.unexpected(word, "the end of the line")),
        }
    }

    /// The error for a word in a wrong place.
    fn unexpected(&self, word: &str, expected: &'static str) -> CommandError {
        CommandError::Unexpected {
            command: self.command,
            word: word.to_string(),
            expected,
        }
    }

    /// The error for an amount that its market does not allow.
    fn refused(&self, amount: Amount, market: &Market, error: AmountError) -> CommandError {
        let pair = market.pair().to_string();
        CommandError::Amount {
            command: self.command,
            amount,
            pair,
            error,
        }
    }

    /// Remembers an option that may be given once.
    fn set_once<T>(
        &self,
        slot: &mut Option<T>,
        value: T,
        option: &'static str,
    ) -> Result<(), CommandError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(CommandError::Repeated {
                command: self.command,
                option,
            }),
        }
    }
}

/// A word cut at every `@`, which become words of their own.
fn split_at_signs(word: &str) -> impl Iterator<Item = &str> {
    word.split_inclusive('@')
        .flat_map(|piece| match piece.strip_suffix('@') {
            Some(before) => [before, "@"],
            None => [piece, ""],
        })
        .filter(|piece| !piece.is_empty())
}

pub(crate) fn read_buy(words: &mut Words<'_>, genesis: &Genesis) -> Result<Command, CommandError> {
    read_place(Side::Buy, words, genesis)
}

pub(crate) fn read_sell(words: &mut Words<'_>, genesis: &Genesis) -> Result<Command, CommandError> {
    read_place(Side::Sell, words, genesis)
}

/// `QTY [PAIR] @ PRICE …` or `QTY [PAIR] market …`.
fn read_place(
    side: Side,
    words: &mut Words<'_>,
    genesis: &Genesis,
) -> Result<Command, CommandError> {
    let quantity = words.need("QTY")?;
    let (index, market) = read_place_market(words, genesis)?;
    let quantity = market
        .parse_quantity(quantity)
        .map_err(|error| words.refused(Amount::Quantity, market, error))?;
    let kind = words.need("`@ PRICE` or `market`")?;
    let terms = if kind == "@" {
        read_limit_terms(words, market)?
    } else if kind.eq_ignore_ascii_case("market") {
        read_market_terms(words, market)?
    } else {
        return Err(words.unexpected(kind, "`@ PRICE` or `market`"));
    };
    let place = Place {
        market: index,
        side,
        pricing: terms.pricing,
        quantity,
        time_in_force: terms.time_in_force,
        self_trade: terms.self_trade,
        expires_ms: None,
    };
    let ttl_ms = terms.ttl_ms;
    Ok(Command::Place(NewOrder { place, ttl_ms }))
}

/// What follows QTY and PAIR.
struct PlaceTerms {
    pricing: Pricing,
    time_in_force: TimeInForce,
    self_trade: SelfTrade,
    ttl_ms: Option<u64>,
}

/// The market of an order: the word after QTY names it if it has the form of a pair or stands
/// where only a pair can stand.
fn read_place_market<'g>(
    words: &mut Words<'_>,
    genesis: &'g Genesis,
) -> Result<(MarketIndex, &'g Market), CommandError> {
    let starts_price = |word: &str| word == "@" || word.eq_ignore_ascii_case("market");
    let after = words.rest.get(words.next + 1);
    let is_pair = |word: &str| {
        !starts_price(word) && (word.contains('/') || after.is_some_and(|next| starts_price(next)))
    };
    let named = words.peek().filter(|word| is_pair(word));
    words.next += usize::from(named.is_some());
    find_pair(named, genesis)
}

/// `PRICE` and the options of a limit order; the `@` is read.
fn read_limit_terms(words: &mut Words<'_>, market: &Market) -> Result<PlaceTerms, CommandError> {
    const OPTIONS: &str = "ioc, fok, post, stp=newest|oldest|both or ttl=TIME";
    const OF_RESTING: &str = "no ttl= (only an order that may wait in the book expires)";
    let price = words.need("PRICE")?;
    let price = market
        .parse_price(price)
        .map_err(|error| words.refused(Amount::Price, market, error))?;
    let mut time_in_force = None;
    let mut self_trade = None;
    let mut ttl = None;
    while let Some(word) = words.take() {
        if let Some(policy) = parse_self_trade(word) {
            words.set_once(&mut self_trade, policy, "stp=")?;
        } else if let Some(text) = option_value(word, "ttl") {
            words.set_once(&mut ttl, (word, read_ttl(words, text)?), "ttl=")?;
        } else if let Some(terms) = parse_time_in_force(word) {
            words.set_once(&mut time_in_force, terms, "one of ioc, fok and post")?;
        } else {
            return Err(words.unexpected(word, OPTIONS));
        }
    }
    let time_in_force = time_in_force.unwrap_or(TimeInForce::GoodTillCancel);
    let never_rests = [TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill];
    match ttl {
        Some((word, _)) if never_rests.contains(&time_in_force) => {
            Err(words.unexpected(word, OF_RESTING))
        }
        ttl => Ok(PlaceTerms {
            pricing: Pricing::Limit(price),
            time_in_force,
            self_trade: self_trade.unwrap_or(SelfTrade::CancelNewest),
            ttl_ms: ttl.map(|(_, ttl_ms)| ttl_ms),
        }),
    }
}

/// For how long an order may rest.
fn read_ttl(words: &Words<'_>, text: &str) -> Result<u64, CommandError> {
    let ttl_ms = parse_duration_ms(text).filter(|ttl_ms| (1..=TTL_MAX_MS).contains(ttl_ms));
    ttl_ms.ok_or_else(|| CommandError::Ttl {
        command: words.command,
        word: text.to_string(),
    })
}

/// The options of a market order. It never rests, so its terms are those of immediate-or-cancel.
fn read_market_terms(words: &mut Words<'_>, market: &Market) -> Result<PlaceTerms, CommandError> {
    const OPTIONS: &str = "limit=PRICE or stp=newest|oldest|both (a market order never waits)";
    let mut protection = None;
    let mut self_trade = None;
    while let Some(word) = words.take() {
        if let Some(policy) = parse_self_trade(word) {
            words.set_once(&mut self_trade, policy, "stp=")?;
        } else if let Some(text) = option_value(word, "limit") {
            let price = market
                .parse_price(text)
                .map_err(|error| words.refused(Amount::Protection, market, error))?;
            words.set_once(&mut protection, price, "limit=")?;
        } else {
            return Err(words.unexpected(word, OPTIONS));
        }
    }
    Ok(PlaceTerms {
        pricing: Pricing::Market(protection),
        time_in_force: TimeInForce::ImmediateOrCancel,
        self_trade: self_trade.unwrap_or(SelfTrade::CancelNewest),
        ttl_ms: None,
    })
}

/// The value of `NAME=VALUE`.
fn option_value<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = word.split_once('=')?;
    key.eq_ignore_ascii_case(name).then_some(value)
}

/// `ioc`, `fok` or `post`.
fn parse_time_in_force(word: &str) -> Option<TimeInForce> {
    match word.to_ascii_lowercase().as_str() {
        "ioc" => Some(TimeInForce::ImmediateOrCancel),
        "fok" => Some(TimeInForce::FillOrKill),
        "post" => Some(TimeInForce::PostOnly),
        _ => None,
    }
}

/// `stp=newest`, `stp=oldest` or `stp=both`.
fn parse_self_trade(word: &str) -> Option<SelfTrade> {
    match option_value(word, "stp")?.to_ascii_lowercase().as_str() {
        "newest" => Some(SelfTrade::CancelNewest),
        "oldest" => Some(SelfTrade::CancelOldest),
        "both" => Some(SelfTrade::CancelBoth),
        _ => None,
    }
}

/// The market of a pair: the first one if none is named. The case of letters matters only where
/// two pairs differ in nothing else.
fn find_pair<'g>(
    named: Option<&str>,
    genesis: &'g Genesis,
) -> Result<(MarketIndex, &'g Market), CommandError> {
    let unknown = || CommandError::UnknownPair {
        word: named.unwrap_or_default().to_string(),
        known: genesis
            .markets
            .iter()
            .map(|market| market.pair().to_string())
            .collect(),
    };
    let Some(pair) = named else {
        return genesis
            .markets
            .first()
            .map(|market| (MarketIndex(0), market))
            .ok_or_else(unknown);
    };
    let mut alike = genesis
        .markets
        .iter()
        .filter(|market| market.pair().eq_ignore_ascii_case(pair));
    let only = match (alike.next(), alike.next()) {
        (Some(market), None) => market.pair(),
        _ => pair,
    };
    genesis.find_market(only).ok_or_else(unknown)
}

/// The name of an order.
fn parse_order(word: &str) -> Result<OrderName, CommandError> {
    OrderName::parse(word).ok_or_else(|| CommandError::OrderId {
        word: word.to_string(),
    })
}

pub(crate) fn read_cancel(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    if words.take_keyword("all") {
        return Ok(Command::CancelAll);
    }
    parse_order(words.need("ORDER or `all`")?).map(Command::Cancel)
}

/// The beginning of a trade's id.
fn read_trade(words: &mut Words<'_>) -> Result<IdPrefix, CommandError> {
    let word = words.need("TRADE")?;
    IdPrefix::parse(word).ok_or_else(|| CommandError::TradeId {
        word: word.to_string(),
    })
}

pub(crate) fn read_confirm(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    read_trade(words).map(Command::Confirm)
}

pub(crate) fn read_release(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    read_trade(words).map(Command::Release)
}

pub(crate) fn read_replace(
    words: &mut Words<'_>,
    genesis: &Genesis,
) -> Result<Command, CommandError> {
    let order = parse_order(words.need("ORDER")?)?;
    let first = words.need("QTY or `@ PRICE`")?;
    let (quantity, at_sign) = if first == "@" {
        (None, true)
    } else {
        (Some(first.to_string()), words.take_keyword("@"))
    };
    let price = if at_sign {
        Some(words.need("PRICE")?.to_string())
    } else {
        None
    };
    let replace = Replace {
        order,
        quantity,
        price,
    };
    check_replace(&replace, genesis)?;
    Ok(Command::Replace(replace))
}

/// Whether some market of the network allows the amounts. Which one counts is not known yet, but
/// what none of them allows is refused here, with the reason of the first.
fn check_replace(replace: &Replace, genesis: &Genesis) -> Result<(), CommandError> {
    let mut refusals = genesis
        .markets
        .iter()
        .map(|market| replace.terms(market).err());
    let first = refusals.next().flatten();
    match first {
        Some(error) if refusals.all(|refusal| refusal.is_some()) => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn read_order(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    parse_order(words.need("ORDER")?).map(Command::Order)
}

pub(crate) fn read_orders(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let scope = match words.take_keyword("all") {
        true => OrdersScope::All,
        false => OrdersScope::Open,
    };
    let limit = read_count(words, "N", ORDERS_MAX)?;
    Ok(Command::Orders { scope, limit })
}

pub(crate) fn read_book(words: &mut Words<'_>, genesis: &Genesis) -> Result<Command, CommandError> {
    let market = read_market(words, genesis)?;
    let depth = read_count(words, "DEPTH", BOOK_DEPTH_MAX)?.unwrap_or(BOOK_DEPTH_DEFAULT);
    Ok(Command::Book { market, depth })
}

pub(crate) fn read_trades(
    words: &mut Words<'_>,
    genesis: &Genesis,
) -> Result<Command, CommandError> {
    let market = read_market(words, genesis)?;
    let limit = read_count(words, "N", TRADES_MAX)?.unwrap_or(TRADES_DEFAULT);
    Ok(Command::Trades { market, limit })
}

/// `[PAIR]` before a number: whatever does not begin like a number is meant as a pair.
fn read_market(words: &mut Words<'_>, genesis: &Genesis) -> Result<MarketIndex, CommandError> {
    let is_pair = |word: &&str| word.contains('/') || !word.starts_with(is_numeric);
    let named = words.peek().filter(is_pair);
    words.next += usize::from(named.is_some());
    find_pair(named, genesis).map(|(index, _)| index)
}

/// Whether a number could begin so.
fn is_numeric(symbol: char) -> bool {
    symbol.is_ascii_digit() || "+-.".contains(symbol)
}

/// A whole number from 1 to `max`, if there is a word.
fn read_count(
    words: &mut Words<'_>,
    name: &'static str,
    max: u32,
) -> Result<Option<u32>, CommandError> {
    let Some(word) = words.take() else {
        return Ok(None);
    };
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let count = word
        .parse()
        .ok()
        .filter(|count| plain && (1..=max).contains(count));
    let command = words.command;
    let refused = || CommandError::Count {
        command,
        name,
        word: word.to_string(),
        max,
    };
    count.map(Some).ok_or_else(refused)
}

pub(crate) fn read_peers(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Peers)
}

pub(crate) fn read_connect(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let word = words.need("HOST:PORT")?;
    let address = word.parse();
    address
        .map(Command::Connect)
        .map_err(|_| CommandError::Address {
            word: word.to_string(),
        })
}

pub(crate) fn read_disconnect(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let word = words.need("PEER")?;
    let peer = IdPrefix::parse(word);
    peer.map(Command::Disconnect)
        .ok_or_else(|| CommandError::PeerId {
            word: word.to_string(),
        })
}

pub(crate) fn read_dht(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    const WANTED: &str = "announce, lookup, put or get";
    let wanted = words.need(WANTED)?;
    let command = if wanted.eq_ignore_ascii_case("announce") {
        let name = words.need("NAME")?.to_string();
        let port = words.need("PORT")?;
        let port = match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(words.unexpected(port, "a port, 1 to 65535")),
        };
        DhtCommand::Announce { name, port }
    } else if wanted.eq_ignore_ascii_case("lookup") {
        DhtCommand::Lookup(words.need("NAME")?.to_string())
    } else if wanted.eq_ignore_ascii_case("put") {
        let mut value = words.need("VALUE")?.to_string();
        while let Some(word) = words.take() {
            value = value + " " + word;
        }
        DhtCommand::Put(value)
    } else if wanted.eq_ignore_ascii_case("get") {
        let word = words.need("HASH")?;
        let hash = hex::parse(word);
        DhtCommand::Get(hash.ok_or_else(|| words.unexpected(word, "40 hexadecimal digits"))?)
    } else {
        return Err(words.unexpected(wanted, WANTED));
    };
    Ok(Command::Dht(command))
}

pub(crate) fn read_breakers(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Breakers)
}

pub(crate) fn read_topology(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Topology)
}

pub(crate) fn read_members(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Members)
}

pub(crate) fn read_admit(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    read_sentence(words, MemberChange::Admit)
}

pub(crate) fn read_expel(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    read_sentence(words, MemberChange::Expel)
}

fn read_sentence(words: &mut Words<'_>, change: MemberChange) -> Result<Command, CommandError> {
    let word = words.need("KEY")?;
    let author = AuthorKey::from_hex(word);
    let author = author.ok_or_else(|| words.unexpected(word, "a key of 64 hexadecimal digits"))?;
    Ok(Command::Member(Sentence { author, change }))
}

pub(crate) fn read_clock(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let one = words.take().map(parse_order).transpose()?;
    let other = words.take().map(parse_order).transpose()?;
    Ok(Command::Clock(match (one, other) {
        (Some(one), Some(other)) => ClockQuery::Compare(one, other),
        (Some(one), None) => ClockQuery::Of(one),
        _ => ClockQuery::Own,
    }))
}

pub(crate) fn read_digest(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Digest)
}

pub(crate) fn read_stats(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Stats)
}

pub(crate) fn read_tree(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Tree)
}

pub(crate) fn read_log(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    const LEVELS: &str = "off, error, warn, info, debug or trace";
    let word = words.need(LEVELS)?;
    let level = LogLevel::ALL
        .into_iter()
        .find(|level| level.name().eq_ignore_ascii_case(word));
    let level = level.ok_or_else(|| words.unexpected(word, LEVELS))?;
    let target = words
        .take()
        .map(|word| read_target(words, word))
        .transpose()?;
    Ok(Command::Log { level, target })
}

/// A log target. Only characters of module paths: `=` and `,` mean something else to log filters.
fn read_target(words: &Words<'_>, word: &str) -> Result<String, CommandError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-.".contains(&byte);
    if word.len() <= NAME_BYTES_MAX && word.bytes().all(plain) {
        return Ok(word.to_string());
    }
    Err(words.unexpected(word, "a log target such as gossip"))
}

pub(crate) fn read_crash(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let name = words.need("ACTOR")?;
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && name.len() <= NAME_BYTES_MAX {
        return Ok(Command::Crash(name.to_string()));
    }
    Err(words.unexpected(name, "the name of an actor, as `tree` shows it"))
}

pub(crate) fn read_help(words: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    let Some(word) = words.take() else {
        return Ok(Command::Help(None));
    };
    let command = find_command(word).ok_or_else(|| unknown_command(word))?;
    Ok(Command::Help(Some(command.word)))
}

pub(crate) fn read_quit(_: &mut Words<'_>, _: &Genesis) -> Result<Command, CommandError> {
    Ok(Command::Quit)
}

#[cfg(test)]
mod tests;
