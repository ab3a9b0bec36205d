//! Why trades changed, as far as that can be told from the state after the change.
//!
//! The replica says which operation brought a change, not by which rule. What an author signed
//! about the pair, and what that operation made, nearly always tells; where it does not, nothing
//! is said rather than something that may be wrong.

use std::collections::BTreeMap;

use bitfitech_core::confirmation::Confirmations;
use bitfitech_core::dag::{Dag, OpIndex};
use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::{EndReason, Engine};
use bitfitech_core::types::{OpId, OrderId, TradeId};
use bitfitech_core::view::{Change, TradeChange, TradeRow};

use crate::messages::TradeReason;

/// The reasons of all trades that changed or vanished and whose reason is known.
pub(crate) fn reasons<E: Engine>(
    exchange: &Exchange<E>,
    changes: &[Change],
) -> BTreeMap<TradeId, TradeReason> {
    let mut reasons = BTreeMap::new();
    for change in changes {
        if let Change::Trade {
            trade,
            change,
            cause,
            ..
        } = change
            && matches!(change, TradeChange::Amended | TradeChange::Busted)
        {
            let row = trade.row();
            let reason = reason(exchange, &row, *change, cause);
            reasons.extend(reason.map(|reason| (row.trade, reason)));
        }
    }
    reasons
}

/// Why this trade changed.
fn reason<E: Engine>(
    exchange: &Exchange<E>,
    row: &TradeRow,
    change: TradeChange,
    cause: &OpId,
) -> Option<TradeReason> {
    let confirmations = exchange.confirmations();
    let replica = exchange.replica();
    let ended = |order: &OrderId| replica.order(order).and_then(|row| row.ended);
    let directed = [(&row.buy, &row.sell), (&row.sell, &row.buy)];
    if change == TradeChange::Busted {
        let by = |has: fn(&Confirmations, &OrderId, &OrderId, &Dag) -> bool| {
            directed
                .iter()
                .any(|(own, other)| has(confirmations, own, other, exchange.dag()))
        };
        if by(Confirmations::has_released) {
            return Some(TradeReason::Released);
        }
        if by(Confirmations::has_refused) {
            return Some(TradeReason::Declined);
        }
        let ends = [&row.buy, &row.sell].map(ended);
        if ends.contains(&Some(EndReason::Abandoned)) {
            return Some(TradeReason::Abandoned);
        }
    }
    let index = exchange.dag().find(cause)?;
    let confirms = |order: &OrderId| has_half_of(exchange, order, index);
    if confirms(&row.buy) || confirms(&row.sell) {
        return Some(TradeReason::Confirmation);
    }
    let (first, last) = (OrderId::new(cause, 0), OrderId::new(cause, u8::MAX));
    let made_orders = replica.orders_between(first, last).next().is_some();
    let was_ended = |order: &OrderId| ended(order).is_some_and(|ended| ended != EndReason::Filled);
    let is_late = made_orders || was_ended(&row.buy) || was_ended(&row.sell);
    is_late.then_some(TradeReason::LateOperation)
}

/// Whether an operation holds a half about this order.
fn has_half_of<E: Engine>(exchange: &Exchange<E>, order: &OrderId, operation: OpIndex) -> bool {
    let (confirmations, dag) = (exchange.confirmations(), exchange.dag());
    confirmations.partners(order, dag).any(|partner| {
        let mine = confirmations.halves(order, &partner, dag);
        let theirs = confirmations.halves(&partner, order, dag);
        let mut halves = mine.into_iter().chain(theirs);
        halves.any(|half| half.operation == operation)
    })
}
