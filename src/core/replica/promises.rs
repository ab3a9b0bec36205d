//! What is promised of orders at a place of the log, and how far back it matters.
//!
//! What a maker promises binds it from its beginning. But it makes a difference only from where it
//! had not so much free: who came before that got what he wanted of it. So not all that came since
//! an old order was placed is done again for each of its trades ([`Replica::short_from`]).

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Replica;
use crate::effect_log::{Trace, TraceKind};
use crate::matching::{Engine, Slot};
use crate::order_table::OrderTable;
use crate::types::Lots;
use crate::view::TradeStatus;

/// So many traces are looked through to find where a promise begins to matter, and as many actions
/// are done again at once without looking at all. A guess: it costs less than to do a hundred
/// actions again.
const TRACES_MAX: usize = 8_192;

/// At so many places it is asked what is promised of an order.
const PLACES_MAX: usize = 16;

/// What is left of an order at a place of the log, going back from its end.
struct Left {
    quantity: u64,
    filled: u64,
    is_open: bool,
}

impl Left {
    fn at_end(orders: &OrderTable, order: Slot) -> Self {
        let seat = orders.terms(order);
        Self {
            quantity: seat.quantity.0,
            filled: seat.filled.0,
            is_open: seat.ended().is_none(),
        }
    }

    /// Takes back what an action did to the order.
    fn unfold(&mut self, trace: &Trace) {
        match trace.kind {
            TraceKind::Fill => self.filled = self.filled.saturating_sub(trace.value()),
            TraceKind::Reduced => self.quantity = self.quantity.saturating_add(trace.value()),
            TraceKind::Ended(_) => self.is_open = true,
        }
    }
}

impl<E: Engine> Replica<E> {
    /// The place, not behind that of a taker, from which on others may get less of a maker if so
    /// much more of it is promised from its beginning. `None`: it may be any after its own, for it
    /// is not looked for further.
    ///
    /// What is free of an order only becomes less along the log: by trades, reductions, and what it
    /// took as it came. Promises are in what is not free until they are traded. So if there is
    /// enough free at a place, there was before it, and everyone before it got what he wanted.
    pub(super) fn short_from(
        &self,
        index: usize,
        (maker, raised): (Slot, u64),
        taker_at: usize,
    ) -> Option<usize> {
        let market = &self.markets[index];
        let has_enough = |left: &Left, at: usize| {
            let promised = self.promised_at(index, maker, at).saturating_add(raised);
            left.is_open && left.quantity.saturating_sub(left.filled) >= promised
        };
        let mut left = Left::at_end(&self.orders, maker);
        let mut at = taker_at;
        let mut number = market.traces.len();
        let oldest = number.saturating_sub(TRACES_MAX);
        for _ in 0..PLACES_MAX {
            let entry = market.log.get(at);
            let from = entry.map_or(number, |entry| entry.traces_from as usize);
            if from < oldest {
                return None;
            }
            while number > from {
                number -= 1;
                let trace = market.traces.at(number);
                if trace.order == maker {
                    left.unfold(&trace);
                }
            }
            if has_enough(&left, at) {
                return Some(at);
            }
            let earlier = (oldest..number).rev();
            let mut of_maker = earlier.filter(|it| market.traces.at(*it).order == maker);
            let last = of_maker.next()?;
            at = market.action_of_trace(last);
        }
        None
    }

    /// Tells the engine what is promised of makers before `first` to takers behind it, which are
    /// done again now.
    pub(super) fn renew_promises(&mut self, index: usize, first: usize) {
        let market = &self.markets[index];
        let own = |at: usize| market.log.at(at).own;
        let takers = (first..market.log.len()).map(own);
        let takers = takers.filter(|taker| market.terms.is_taker(*taker));
        let mut makers: Vec<Slot> = takers
            .flat_map(|taker| market.terms.makers(taker))
            .collect();
        makers.sort_unstable();
        makers.dedup();
        for maker in makers {
            if !self.is_behind(index, maker, first) {
                continue;
            }
            let promised = self.promised_at(index, maker, first);
            let id = self.orders.id(maker);
            let engine = &mut self.markets[index].engine;
            engine.set_promised(&id, Lots(promised));
        }
    }

    /// How much of a maker was promised when all before `first` was done.
    fn promised_at(&self, index: usize, maker: Slot, first: usize) -> u64 {
        let mut promised = self.left_on_entry(index, maker);
        for (taker, terms) in self.markets[index].terms.takers(maker) {
            let withheld = self.orders.withheld_of(&terms, maker, taker);
            let withheld = if withheld > 0 && self.is_behind(index, taker, first) {
                let half = self.orders.half_of(&terms, maker, taker);
                self.left_of_half(index, (maker, taker), half)
            } else {
                withheld
            };
            promised = promised.saturating_add(withheld);
        }
        promised
    }

    /// Whether an order of the log stands before this place. Mostly its position tells.
    fn is_behind(&self, index: usize, order: Slot, first: usize) -> bool {
        let market = &self.markets[index];
        let position = self.position_of_order(order);
        let Some(there) = market.log.get(first) else {
            return market.place_of(order, position).is_some();
        };
        match position.cmp(&there.position()) {
            Ordering::Less => true,
            Ordering::Equal => market
                .place_of(order, position)
                .is_some_and(|at| at < first),
            Ordering::Greater => false,
        }
    }

    /// What an order promised to those before it and did not trade with them when it came.
    fn left_on_entry(&self, index: usize, own: Slot) -> u64 {
        let makers = self.markets[index].terms.makers(own).into_iter();
        let left = makers.map(|maker| {
            let terms = self.markets[index].terms.get(maker, own);
            let half = terms.map(|terms| self.orders.half_of(&terms, own, maker));
            self.left_of_half(index, (maker, own), half.unwrap_or_default())
        });
        left.fold(0, u64::saturating_add)
    }

    /// What of the half of either was left when a taker, which has come, had met a maker.
    fn left_of_half(&self, index: usize, (maker, taker): (Slot, Slot), half: Lots) -> u64 {
        if half == Lots(0) {
            return 0;
        }
        let position = self.position_of_order(taker);
        let Some(at) = self.markets[index].place_of(taker, position) else {
            return 0;
        };
        let trades = self.trades_between(index, at, maker);
        let tentative = trades
            .iter()
            .filter(|trade| trade.status != TradeStatus::Final);
        let taken: u64 = tentative.map(|trade| trade.quantity.0).sum();
        half.0.saturating_sub(taken)
    }
}
