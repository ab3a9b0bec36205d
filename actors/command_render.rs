//! Answers and events as text for people.
//!
//! The same values that `command_json` writes for programs, in tables and short sentences: ids
//! are shortened to what tells those shown apart, an ended order says what had traded before.
//! Texts of foreign origin (addresses, reasons) cannot send control characters to the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::slice;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::market::Market;
use bitfitech_core::matching::Level;
use bitfitech_core::membership::Standing;
use bitfitech_core::types::{AuthorKey, Lots, MarketIndex, Side, Ticks};
use bitfitech_core::view::{BookView, Digests, OrderRow, OrderStatus, TradeStatus};

use crate::command_dht::DhtReply;
use crate::command_error::harmless;
use crate::command_json::market_of;
use crate::command_table::{
    Align, Cell, Paint, ShortIds, ShortNames, Style, Table, duration_text, time_text,
};
use crate::messages::{
    ActorChange, ActorEvent, Answer, BreakerRow, BreakerState, Event, MemberRow, Members,
    PeerChange, PeerEvent, PeerRow, PlaceReply, Ready, Relation, Reply, ReplyError, SyncEvent,
    TradeEvent, TradeReason, TradeView, TreeNode,
};

/// Orders that came later than this are shown as late (PROTOCOL, "Late operations").
const LATE_SHOWN_MS: u64 = 400;

/// The lines that answer a command, each with a line break.
///
/// # Panics
/// When a row names a market that the genesis does not have: a broken invariant of the replica.
pub fn answer_text(answer: &Answer, genesis: &Genesis, style: Style) -> String {
    let pen = Pen { genesis, style };
    match answer {
        Ok(reply) => pen.reply(reply),
        Err(error) => pen.error(error),
    }
}

/// The lines of an event, each with a line break.
///
/// # Panics
/// When a row names a market that the genesis does not have: a broken invariant of the replica.
pub fn event_text(event: &Event, genesis: &Genesis, style: Style) -> String {
    let pen = Pen { genesis, style };
    match event {
        Event::Ready(ready) => pen.ready(ready),
        Event::Trade(trade) => pen.trade_event(trade),
        Event::Order(row) => pen.order_event(row),
        Event::Peer(peer) => pen.peer_event(peer),
        Event::Actor(actor) => pen.actor_event(actor),
        Event::Sync(sync) => sync_event(sync),
    }
}

fn dht_text(reply: &DhtReply) -> String {
    match reply {
        DhtReply::Announced(nodes) => format!("kept by {nodes} nodes\n"),
        DhtReply::Found(peers) if peers.is_empty() => "nobody\n".to_owned(),
        DhtReply::Found(peers) => peers.iter().map(|peer| format!("{peer}\n")).collect(),
        DhtReply::Kept(hash) => format!("{}\n", harmless(hash)),
        DhtReply::Value(None) => "no such value\n".to_owned(),
        DhtReply::Value(Some(value)) => format!("{}\n", harmless(value)),
    }
}

/// What all texts need.
#[derive(Clone, Copy)]
struct Pen<'a> {
    genesis: &'a Genesis,
    style: Style,
}

impl Pen<'_> {
    fn reply(&self, reply: &Reply) -> String {
        match reply {
            Reply::Place(place) => self.place(place),
            Reply::Cancel(row) => self.cancel(row),
            Reply::CancelAll(rows) => self.cancel_all(rows),
            Reply::Order(row) => self.order(row),
            Reply::Orders(rows) => self.orders(rows),
            Reply::Book(book) => self.book(book),
            Reply::Trades(rows) => self.trades(rows),
            Reply::Trade(trade) => self.trades(std::slice::from_ref(trade)),
            Reply::Peers(rows) => self.peers(rows),
            Reply::Connect { address } => format!("dialling {}\n", harmless(address)),
            Reply::Dht(reply) => dht_text(reply),
            Reply::Disconnect { node } => format!("closing the session with {}\n", node.short()),
            Reply::Breakers(rows) => self.breakers(rows),
            Reply::Topology(links) => self.topology(links),
            Reply::Members(Members::Everyone) => "open network: everyone may trade\n".to_string(),
            Reply::Members(Members::Only(rows)) => self.members(rows),
            Reply::Member(row) => self.members(slice::from_ref(row)),
            Reply::Clock(clock) => self.clock(clock),
            Reply::Relation(relation) => relation_text(*relation),
            Reply::Digest(digests) => self.digests(digests),
            Reply::Stats(counters) => self.stats(counters),
            Reply::Tree(row) => self.tree(row),
            Reply::Log { level, target } => {
                let target = target.as_deref().map_or("everything".to_string(), harmless);
                format!("logging {target} from level {level} on\n")
            }
            Reply::Crash { actor } => format!("told {} to panic\n", harmless(actor)),
            Reply::Help(text) => text.clone(),
            Reply::Quit => "shutting down\n".to_string(),
        }
    }

    fn error(&self, error: &ReplyError) -> String {
        let label = self.style.paint(Paint::Bad, "error");
        format!(
            "{label}: {} ({})\n",
            harmless(&error.text),
            error.code.name()
        )
    }

    /// The market that a row names.
    fn market(&self, index: MarketIndex) -> &Market {
        market_of(self.genesis, index)
    }

    fn quantity(&self, market: MarketIndex, quantity: Lots) -> String {
        self.market(market).quantity_text(u128::from(quantity.0))
    }

    fn price(&self, market: MarketIndex, price: Ticks) -> String {
        self.market(market).price_text(price)
    }

    /// `0.3 filled before`, where `market` tells how to write the quantity.
    fn filled(&self, market: MarketIndex, filled: Lots) -> String {
        match filled {
            Lots(0) => "nothing filled before".to_string(),
            filled => format!("{} filled before", self.quantity(market, filled)),
        }
    }

    fn place(&self, place: &PlaceReply) -> String {
        let remaining = self.quantity(place.market, place.remaining);
        let status = self
            .style
            .paint(status_paint(place.status), status_text(place.status));
        let outcome = match (place.status, place.filled) {
            (OrderStatus::Open, Lots(0)) => format!("{status}, {remaining} to trade"),
            (OrderStatus::Open, filled) => {
                let filled = self.quantity(place.market, filled);
                format!("{status}, {filled} filled, {remaining} left")
            }
            (OrderStatus::Filled, filled) => {
                format!("{status}, {}", self.quantity(place.market, filled))
            }
            (_, filled) => {
                let reason = explained(place.reason);
                format!("{status}{reason}, {}", self.filled(place.market, filled))
            }
        };
        let trades = if place.trades.is_empty() {
            String::new()
        } else {
            self.trades(&place.trades)
        };
        format!("order {} {outcome}\n{trades}", place.order.name())
    }

    fn cancel(&self, row: &OrderRow) -> String {
        let status = self
            .style
            .paint(status_paint(row.status()), status_text(row.status()));
        let reason = explained(row.reason());
        let filled = self.filled(row.market, row.filled);
        format!("order {} {status}{reason}, {filled}\n", row.order.name())
    }

    fn cancel_all(&self, rows: &[OrderRow]) -> String {
        match rows.len() {
            0 => "no open orders\n".to_string(),
            1 => format!("1 order cancelled\n{}", self.orders(rows)),
            count => format!("{count} orders cancelled\n{}", self.orders(rows)),
        }
    }

    fn orders(&self, rows: &[OrderRow]) -> String {
        if rows.is_empty() {
            return "no orders\n".to_string();
        }
        let names = ShortNames::new(rows.iter().map(|row| row.order));
        let mut table = Table::new(&[
            ("order", Align::Left),
            ("pair", Align::Left),
            ("side", Align::Left),
            ("price", Align::Point),
            ("quantity", Align::Point),
            ("filled", Align::Point),
            ("status", Align::Left),
            ("late", Align::Left),
        ]);
        for row in rows {
            table.push([
                names.name(&row.order).into(),
                self.market(row.market).pair().into(),
                side_cell(row.side),
                self.limit(row).into(),
                self.quantity(row.market, row.quantity).into(),
                self.quantity(row.market, row.filled).into(),
                status_cell(row),
                late_text(row.late_ms).into(),
            ]);
        }
        table.text(self.style)
    }

    /// The limit of an order; a market order without protection has none.
    fn limit(&self, row: &OrderRow) -> String {
        row.price
            .map_or("market".to_string(), |price| self.price(row.market, price))
    }

    fn order(&self, row: &OrderRow) -> String {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        table.push(["order".into(), row.order.into()]);
        table.push(["author".into(), row.author.into()]);
        table.push(["pair".into(), self.market(row.market).pair().into()]);
        table.push(["side".into(), side_cell(row.side)]);
        table.push(["price".into(), self.limit(row).into()]);
        table.push([
            "quantity".into(),
            self.quantity(row.market, row.quantity).into(),
        ]);
        table.push([
            "filled".into(),
            self.quantity(row.market, row.filled).into(),
        ]);
        table.push(["status".into(), status_cell(row)]);
        table.push(["time (UTC)".into(), time_text(row.time).into()]);
        table.push(["late".into(), duration_text(row.late_ms).into()]);
        table.text(self.style)
    }

    fn book(&self, book: &BookView) -> String {
        let market = self.market(book.market);
        let mut table = Table::new(&[
            ("side", Align::Left),
            ("price", Align::Point),
            ("quantity", Align::Point),
            ("orders", Align::Right),
        ]);
        let mut push = |paint, side: &str, level: &Level| {
            let price = market.price_text(level.price);
            let quantity = market.quantity_text(level.quantity);
            let side = Cell::new(paint, side);
            table.push([side, price.into(), quantity.into(), level.orders.into()]);
        };
        book.asks
            .iter()
            .rev()
            .for_each(|level| push(Paint::Bad, "ask", level));
        book.bids
            .iter()
            .for_each(|level| push(Paint::Good, "bid", level));
        let (pair, digest) = (market.pair(), book.digest);
        if book.asks.is_empty() && book.bids.is_empty() {
            return format!("{pair}: the book is empty\ndigest {digest}\n");
        }
        format!("{pair}\n{}digest {digest}\n", table.text(self.style))
    }

    fn trades(&self, trades: &[TradeView]) -> String {
        if trades.is_empty() {
            return "no trades\n".to_string();
        }
        let rows = || trades.iter().map(|trade| &trade.row);
        let ids = ShortIds::new(rows().map(|row| row.trade.0));
        let orders = ShortNames::new(rows().flat_map(|row| [row.buy, row.sell]));
        let mut table = Table::new(&[
            ("trade", Align::Left),
            ("time (UTC)", Align::Left),
            ("pair", Align::Left),
            ("price", Align::Point),
            ("quantity", Align::Point),
            ("taker", Align::Left),
            ("buy order", Align::Left),
            ("sell order", Align::Left),
            ("status", Align::Left),
        ]);
        for trade in trades {
            let row = &trade.row;
            table.push([
                ids.short(&row.trade.0).into(),
                time_text(row.time).into(),
                self.market(row.market).pair().into(),
                self.price(row.market, row.price).into(),
                self.quantity(row.market, row.quantity).into(),
                side_cell(row.taker),
                orders.name(&row.buy).into(),
                orders.name(&row.sell).into(),
                Cell::new(trade_paint(trade), trade_status_text(trade)),
            ]);
        }
        table.text(self.style)
    }

    fn peers(&self, rows: &[PeerRow]) -> String {
        if rows.is_empty() {
            return "no peers\n".to_string();
        }
        let ids = ShortIds::new(rows.iter().map(|row| row.node.0));
        let mut table = Table::new(&[
            ("peer", Align::Left),
            ("address", Align::Left),
            ("direction", Align::Left),
            ("state", Align::Left),
            ("round trip", Align::Right),
            ("behind", Align::Right),
            ("score", Align::Right),
            ("because", Align::Left),
        ]);
        for row in rows {
            table.push([
                ids.short(&row.node.0).into(),
                harmless(&row.address).into(),
                row.direction.name().into(),
                row.state.into(),
                row.rtt_ms
                    .map_or("unknown".to_string(), duration_text)
                    .into(),
                row.behind.into(),
                row.score.into(),
                harmless(row.reason.as_deref().unwrap_or_default()).into(),
            ]);
        }
        table.text(self.style)
    }

    fn breakers(&self, rows: &[BreakerRow]) -> String {
        if rows.is_empty() {
            return "no circuits: nothing was dialled\n".to_string();
        }
        let mut table = Table::new(&[
            ("address", Align::Left),
            ("state", Align::Left),
            ("failures", Align::Right),
            ("retry in", Align::Right),
        ]);
        for row in rows {
            let paint = match row.state {
                BreakerState::Closed => Paint::Good,
                BreakerState::HalfOpen => Paint::Unsure,
                BreakerState::Open => Paint::Bad,
            };
            table.push([
                harmless(&row.address).into(),
                Cell::new(paint, row.state.name()),
                row.failures.into(),
                duration_text(row.retry_in_ms).into(),
            ]);
        }
        table.text(self.style)
    }

    fn topology(&self, links: &BTreeMap<AuthorKey, BTreeSet<AuthorKey>>) -> String {
        if links.is_empty() {
            return "no links\n".to_string();
        }
        let nodes = links.keys().chain(links.values().flatten());
        let ids = ShortIds::new(nodes.map(|node| node.0));
        let mut table = Table::new(&[("node", Align::Left), ("linked to", Align::Left)]);
        for (node, linked) in links {
            let linked: Vec<String> = linked.iter().map(|it| ids.short(&it.0)).collect();
            table.push([ids.short(&node.0).into(), linked.join(" ").into()]);
        }
        table.text(self.style)
    }

    fn members(&self, rows: &[MemberRow]) -> String {
        // In full: this is what other nodes' administrators type.
        let mut table = Table::new(&[
            ("key", Align::Left),
            ("standing", Align::Left),
            ("decided by", Align::Left),
        ]);
        for row in rows {
            let standing = match row.standing {
                Standing::Member if row.is_administrator => Cell::new(Paint::Good, "administrator"),
                Standing::Member => Cell::new(Paint::Good, "member"),
                standing => Cell::new(Paint::Bad, standing.name()),
            };
            let by = row.by.map_or("the genesis".to_string(), |by| by.short());
            table.push([row.node.to_hex().into(), standing, by.into()]);
        }
        table.text(self.style)
    }

    fn clock(&self, clock: &BTreeMap<AuthorKey, u64>) -> String {
        if clock.is_empty() {
            return "the clock is empty: no operation is known\n".to_string();
        }
        let ids = ShortIds::new(clock.keys().map(|author| author.0));
        let mut table = Table::new(&[("author", Align::Left), ("operations", Align::Right)]);
        for (author, count) in clock {
            table.push([ids.short(&author.0).into(), (*count).into()]);
        }
        table.text(self.style)
    }

    fn digests(&self, digests: &Digests) -> String {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        table.push(["operations".into(), digests.operations.into()]);
        table.push(["set".into(), digests.set.into()]);
        table.push(["book".into(), digests.book.into()]);
        table.push(["trades".into(), digests.trades.into()]);
        table.push(["final trades".into(), digests.final_trades.into()]);
        table.push(["orders".into(), digests.orders.into()]);
        table.text(self.style)
    }

    fn stats(&self, counters: &[(String, u64)]) -> String {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
        for (name, number) in counters {
            table.push([harmless(name).into(), (*number).into()]);
        }
        table.text(self.style)
    }

    fn tree(&self, root: &TreeNode) -> String {
        let mut table = Table::new(&[
            ("actor", Align::Left),
            ("state", Align::Left),
            ("restarts", Align::Right),
            ("generation", Align::Right),
            ("mailbox", Align::Right),
        ]);
        push_tree(&mut table, root, "", "");
        table.text(self.style)
    }

    fn ready(&self, ready: &Ready) -> String {
        let address = |address: Option<SocketAddr>| {
            address.map_or("off".to_string(), |address| address.to_string())
        };
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        table.push(["node".into(), ready.node.into()]);
        table.push(["network".into(), harmless(&ready.network).into()]);
        table.push(["mode".into(), harmless(&ready.mode).into()]);
        table.push(["peers".into(), address(ready.p2p).into()]);
        table.push(["api".into(), address(ready.api).into()]);
        table.push(["grape dht".into(), address(ready.grape_dht).into()]);
        table.push(["grape api".into(), address(ready.grape_api).into()]);
        table.push(["grape rpc".into(), address(ready.grape_rpc).into()]);
        format!(
            "{}ready: `help` lists the commands\n",
            table.text(self.style)
        )
    }

    fn trade_event(&self, event: &TradeEvent) -> String {
        let (trade, row) = (&event.trade, &event.trade.row);
        let status = self
            .style
            .paint(trade_paint(trade), &trade_status_text(trade));
        let orders = ShortNames::new([row.buy, row.sell]);
        let cause = event.cause.map_or(String::new(), |cause| {
            format!(" (operation {})", cause.short())
        });
        let why = match event.reason {
            Some(reason) => format!(": {}{cause}", trade_reason_text(reason)),
            None => String::new(),
        };
        format!(
            "trade {} {status}, {} {} @ {}, taker {}, buy order {}, sell order {}{why}\n",
            row.trade.short(),
            self.quantity(row.market, row.quantity),
            self.market(row.market).pair(),
            self.price(row.market, row.price),
            row.taker.name(),
            orders.name(&row.buy),
            orders.name(&row.sell),
        )
    }

    fn order_event(&self, row: &OrderRow) -> String {
        let status = self
            .style
            .paint(status_paint(row.status()), status_text(row.status()));
        let limit = row.price.map_or("market".to_string(), |price| {
            format!("@ {}", self.price(row.market, price))
        });
        let late = match late_text(row.late_ms) {
            late if late.is_empty() => late,
            late => format!(", {late} late"),
        };
        format!(
            "order {} {status}{}, {} {} {} {limit}, {} filled{late}\n",
            row.order.name(),
            explained(row.reason()),
            row.side.name(),
            self.quantity(row.market, row.quantity),
            self.market(row.market).pair(),
            self.quantity(row.market, row.filled),
        )
    }

    fn peer_event(&self, event: &PeerEvent) -> String {
        let paint = match event.change {
            PeerChange::Connected => Paint::Good,
            PeerChange::Disconnected => Paint::Unsure,
        };
        let change = self.style.paint(paint, event.change.name());
        let (node, address) = (event.node.short(), harmless(&event.address));
        format!(
            "peer {node} at {address} {change}{}\n",
            because(event.reason.as_deref())
        )
    }

    fn actor_event(&self, event: &ActorEvent) -> String {
        let paint = match event.change {
            ActorChange::Restarted => Paint::Good,
            ActorChange::Crashed | ActorChange::Escalated => Paint::Bad,
        };
        let change = self.style.paint(paint, event.change.name());
        let (name, reason) = (harmless(&event.name), because(event.reason.as_deref()));
        format!(
            "actor {name} {change} in generation {}{reason}\n",
            event.generation
        )
    }
}

fn sync_event(event: &SyncEvent) -> String {
    let SyncEvent {
        peer,
        received,
        total,
    } = event;
    format!(
        "catching up with {}: {received} of {total} operations\n",
        peer.short()
    )
}

/// A reason of foreign origin, after what it explains.
fn because(reason: Option<&str>) -> String {
    reason.map_or(String::new(), |reason| format!(": {}", harmless(reason)))
}

/// Adds an actor and those below it. `lead` stands before its own name, `below` before the
/// branches of its children.
fn push_tree(table: &mut Table, row: &TreeNode, lead: &str, below: &str) {
    let paint = if row.state == "running" {
        Paint::Good
    } else {
        Paint::Unsure
    };
    table.push([
        format!("{lead}{}", harmless(&row.name)).into(),
        Cell::new(paint, row.state),
        row.restarts.into(),
        row.generation.into(),
        row.mailbox.into(),
    ]);
    let last = row.children.len().saturating_sub(1);
    for (position, child) in row.children.iter().enumerate() {
        let (branch, stem) = if position == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        push_tree(
            table,
            child,
            &format!("{below}{branch}"),
            &format!("{below}{stem}"),
        );
    }
}

fn relation_text(relation: Relation) -> String {
    let meaning = match relation {
        Relation::Before => "before: the author of the second knew the first",
        Relation::After => "after: the author of the first knew the second",
        Relation::Concurrent => "concurrent: neither author knew the other's",
        Relation::Equal => "equal: both were placed by the same operation",
    };
    format!("{meaning}\n")
}

fn side_cell(side: Side) -> Cell {
    let paint = match side {
        Side::Buy => Paint::Good,
        Side::Sell => Paint::Bad,
    };
    Cell::new(paint, side.name())
}

fn status_paint(status: OrderStatus) -> Paint {
    match status {
        OrderStatus::Open => Paint::Plain,
        OrderStatus::Filled => Paint::Good,
        OrderStatus::Rejected => Paint::Bad,
        OrderStatus::Cancelled | OrderStatus::Expired | OrderStatus::Lapsed => Paint::Unsure,
    }
}

fn trade_paint(trade: &TradeView) -> Paint {
    match trade.row.status {
        TradeStatus::Busted => Paint::Bad,
        _ if trade.is_unsafe => Paint::Bad,
        TradeStatus::Final => Paint::Good,
        TradeStatus::Tentative | TradeStatus::Amended => Paint::Unsure,
    }
}

/// How sure a trade is, in words.
fn trade_status_text(trade: &TradeView) -> String {
    let status = match trade.row.status {
        TradeStatus::Final => "final: confirmed by both",
        status => status.name(),
    };
    if trade.is_unsafe {
        format!("{status} (unsafe: an owner signed two histories)")
    } else {
        status.to_string()
    }
}

/// Why a trade changed, in words.
fn trade_reason_text(reason: TradeReason) -> &'static str {
    match reason {
        TradeReason::LateOperation => "an operation came late",
        TradeReason::Declined => "an owner did not confirm in time, or refused",
        TradeReason::Released => "an owner released it by hand",
        TradeReason::Confirmation => "an order is confirmed for another trade",
        TradeReason::Abandoned => "an owner fell silent or signed two histories",
    }
}

/// What an order is, in words.
fn status_text(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Expired => "expired: its time was over",
        OrderStatus::Lapsed => "lapsed: its owner fell silent",
        status => status.name(),
    }
}

fn status_cell(row: &OrderRow) -> Cell {
    let status = row.status();
    let text = match row.reason() {
        Some(reason) => format!("{} ({reason})", status_text(status)),
        None => status_text(status).to_string(),
    };
    Cell::new(status_paint(status), text)
}

/// A reason in words, after the status.
fn explained(reason: Option<&str>) -> String {
    let words = match reason {
        None => return String::new(),
        Some("unfilled") => "nothing more to take",
        Some("self_trade") => "it met an own order",
        Some("replaced") => "a new order took its place",
        Some("fok") => "not all of it could fill at once",
        Some("post") => "it would have taken",
        Some("not_placed") => "the order that it replaces was over",
        Some(other) => other,
    };
    format!(" ({words})")
}

/// How late, if it is worth showing.
fn late_text(late_ms: u64) -> String {
    if late_ms > LATE_SHOWN_MS {
        duration_text(late_ms)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
