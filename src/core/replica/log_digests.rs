//! Digests of what the log of one market did, which cost little however long it is.
//!
//! Both are hashes of what happened in the order of the log, so what was hashed once stays, unless
//! it is undone. The log is hashed up to some way behind its end, a little at a time; whoever asks
//! pays for what is behind that. Hashers are kept at every step of the way, for an undo that goes
//! further back.
//!
//! `docs/PROTOCOL.md` has the definition. Numbers are 8 bytes, big endian, unless said otherwise.

use alloc::vec::Vec;

use crate::effect_log::TraceKind;
use crate::market_log::MarketLog;
use crate::matching::{EndReason, Slot};
use crate::order_table::OrderTable;
use crate::types::Digest;

/// After so many actions hashers are kept, and so many at the end of the log are not hashed unless
/// somebody asks. A guess: hashing them takes a few milliseconds, and the hashers a quarter of a
/// byte an action.
const STEP: usize = 1 << 14;

/// So many bytes are collected before they are hashed: short ones cost several times as much.
const BYTES_AT_ONCE: usize = 1 << 14;

/// A hasher, and what it is still to be given.
#[derive(Clone)]
struct Stream {
    hasher: blake3::Hasher,
    pending: Vec<u8>,
}

impl Stream {
    fn new(context: &str) -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key(context),
            pending: Vec::new(),
        }
    }

    fn add<const PARTS: usize>(&mut self, parts: [&[u8]; PARTS]) {
        for part in parts {
            self.pending.extend_from_slice(part);
        }
        if self.pending.len() >= BYTES_AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hasher.update(&self.pending);
        self.pending.clear();
    }
}

/// Everything up to some place of a log, hashed.
#[derive(Clone)]
struct Prefix {
    actions: usize,
    trades: Stream,
    orders: Stream,
}

impl Prefix {
    fn new() -> Self {
        Self {
            actions: 0,
            trades: Stream::new("bitfitech market trades 1"),
            orders: Stream::new("bitfitech market orders 1"),
        }
    }

    /// Hashes the actions between this and a later place.
    fn extend<E>(&mut self, to: usize, market: &MarketLog<E>, orders: &OrderTable) {
        for at in self.actions..to {
            self.add(at, market, orders);
        }
        self.actions = to;
    }

    fn flush(&mut self) {
        self.trades.flush();
        self.orders.flush();
    }

    /// Hashes the order that an action made, and what it did.
    fn add<E>(&mut self, at: usize, market: &MarketLog<E>, orders: &OrderTable) {
        let own = market.log.at(at).own;
        let own_id = (own != Slot::NONE).then(|| orders.id(own));
        if let Some(id) = own_id.filter(|_| orders.order(own).is_some()) {
            let quantity = orders.original_quantity(own).0;
            self.orders.add([&[0], &id.0, &quantity.to_be_bytes()]);
        }
        for trace in market.traces_of(at) {
            let id = orders.id(trace.order);
            let value = trace.value().to_be_bytes();
            match trace.kind {
                TraceKind::Fill => {
                    let taker = own_id.expect("only what has an order takes");
                    let price = orders.resting_price(trace.order).0.to_be_bytes();
                    let piece = trace.piece.to_be_bytes();
                    self.trades.add([&id.0, &taker.0, &piece, &price, &value]);
                    self.orders.add([&[1], &id.0, &value]);
                }
                TraceKind::Reduced => self.orders.add([&[2], &id.0, &value]),
                TraceKind::Ended(reason) => self.orders.add([&[3], &id.0, &[end_code(reason)]]),
            }
        }
    }
}

/// What is hashed of the log of a market.
pub(super) struct HashedLog {
    current: Prefix,
    /// As it was after each step on the way there.
    kept: Vec<Prefix>,
}

impl HashedLog {
    /// Nothing of it.
    pub(super) fn new() -> Self {
        Self {
            current: Prefix::new(),
            kept: Vec::new(),
        }
    }

    /// All that comes behind so many actions is undone.
    pub(super) fn truncate(&mut self, actions: usize) {
        if self.current.actions > actions {
            self.kept.truncate(actions / STEP);
            self.current = self.kept.last().cloned().unwrap_or_else(Prefix::new);
        }
    }

    /// Hashes the next actions, at most so many, that are far enough from the end.
    pub(super) fn advance<E>(&mut self, market: &MarketLog<E>, orders: &OrderTable, limit: usize) {
        let end = market.log.len().saturating_sub(STEP);
        let end = end.min(self.current.actions.saturating_add(limit));
        while self.current.actions < end {
            let step = (self.current.actions / STEP + 1) * STEP;
            self.current.extend(step.min(end), market, orders);
            if self.current.actions == step {
                self.current.flush();
                self.kept.push(self.current.clone());
            }
        }
    }

    /// The digests of the trades of the whole log, and of what became of its orders.
    pub(super) fn digests<E>(&self, market: &MarketLog<E>, orders: &OrderTable) -> [Digest; 2] {
        let mut whole = self.current.clone();
        whole.extend(market.log.len(), market, orders);
        whole.flush();
        [whole.trades, whole.orders].map(|stream| Digest(stream.hasher.finalize().into()))
    }
}

/// What an end reason counts as in a digest.
fn end_code(reason: EndReason) -> u8 {
    match reason {
        EndReason::Filled => 1,
        EndReason::Cancelled => 2,
        EndReason::Unfilled => 3,
        EndReason::SelfTrade => 4,
        EndReason::Replaced => 5,
        EndReason::KilledUnfilled => 6,
        EndReason::WouldTake => 7,
        EndReason::Expired => 8,
        EndReason::Lapsed => 9,
        EndReason::NotPlaced => 10,
        EndReason::Expelled => 11,
        EndReason::NoMember => 12,
        EndReason::Abandoned => 13,
    }
}
