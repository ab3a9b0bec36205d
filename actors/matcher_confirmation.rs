//! Trades that users confirm and release by hand.
//!
//! A trade is found among those that wait for the own signature; for a release also among own
//! confirmations that nobody answered, whose trade may be gone. Whether something else is wrong
//! with an id (it names a final trade, or one of others) is known to the orderbook.

use std::collections::BTreeSet;

use bitfitech_core::confirmation::{OrderPair, Placements};
use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Engine;
use bitfitech_core::op::{Action, Half};
use bitfitech_core::settlement::WaitingTrade;
use bitfitech_core::types::{AuthorKey, Side, TradeId};
use bitfitech_core::view::{TradeRow, TradeStatus};

use crate::command_model::IdPrefix;
use crate::messages::{ErrorCode, ReplyError, TradeView};
use crate::orderbook::ambiguous_trade;

/// The half that confirms the trade which a prefix names.
pub(crate) fn confirming<E: Engine>(
    exchange: &Exchange<E>,
    prefix: IdPrefix,
) -> Result<Half, ReplyError> {
    let (low, high) = range(prefix);
    let half = only_half(prefix, exchange.waiting_trades(&low, &high))?;
    let (confirmations, dag) = (exchange.confirmations(), exchange.dag());
    let (own, other) = (&half.own, &half.other);
    if confirmations.has_refused(own, other, dag) || confirmations.has_refused(other, own, dag) {
        let text = "one of its owners has refused this trade: it cannot become final";
        return Err(ReplyError::new(ErrorCode::BadTrade, text));
    }
    let signed = confirmations.halves(own, other, dag);
    if signed.iter().any(|signed| signed.piece == half.piece) {
        let text = "this node has confirmed the trade already: it waits for the other owner";
        return Err(ReplyError::new(ErrorCode::BadTrade, text));
    }
    Ok(half)
}

/// The half of the trade which a prefix names, to be released.
pub(crate) fn releasing<E: Engine>(
    exchange: &Exchange<E>,
    prefix: IdPrefix,
) -> Result<Half, ReplyError> {
    let (low, high) = range(prefix);
    let mut found = exchange.waiting_trades(&low, &high);
    for open in open_halves(exchange, &low, &high) {
        if found.iter().all(|waiting| waiting.id != open.id) {
            found.push(open);
        }
    }
    only_half(prefix, found)
}

/// The action that releases it.
pub(crate) fn release(half: &Half) -> Action {
    Action::Release {
        market: half.market,
        own: half.own,
        other: half.other,
    }
}

fn range(prefix: IdPrefix) -> (TradeId, TradeId) {
    (TradeId(prefix.low()), TradeId(prefix.high()))
}

/// The one that was found.
fn only_half(prefix: IdPrefix, found: Vec<WaitingTrade>) -> Result<Half, ReplyError> {
    match &found[..] {
        [] => Err(ReplyError::new(
            ErrorCode::UnknownTrade,
            format!("no trade of yours that begins with {prefix} waits: `trades` lists all"),
        )),
        [only] => Ok(only.half),
        [first, second, ..] => Err(ambiguous_trade(prefix, first.id, second.id)),
    }
}

/// Own halves between these ids that are neither answered nor given back.
fn open_halves<E: Engine>(
    exchange: &Exchange<E>,
    low: &TradeId,
    high: &TradeId,
) -> Vec<WaitingTrade> {
    let (confirmations, replica) = (exchange.confirmations(), exchange.replica());
    let dag = exchange.dag();
    // Who waits for whom may be noted from both sides.
    let pairs: BTreeSet<OrderPair> = confirmations.awaiting(dag).map(|(_, pair)| pair).collect();
    let directed = pairs
        .into_iter()
        .flat_map(|pair| [(pair.low, pair.high), (pair.high, pair.low)]);
    let open = directed.filter_map(|(own, other)| {
        let signed = *confirmations.halves(&own, &other, dag).last()?;
        let id = TradeId::new(&own, &other, signed.piece);
        let row = replica.order(&own)?;
        let is_meant = row.author == exchange.author() && (low..=high).contains(&&id);
        let is_open = || confirmations.is_open(&signed, &own, &other, dag);
        let half = Half {
            market: row.market,
            own,
            other,
            piece: signed.piece,
            quantity: signed.quantity,
            price: signed.price,
        };
        (is_meant && is_open()).then_some(WaitingTrade { id, half })
    });
    open.collect()
}

/// The trade of a half as it is now; one that is gone is shown as busted.
pub(crate) fn trade_of<E: Engine>(exchange: &Exchange<E>, half: &Half) -> Option<TradeView> {
    let replica = exchange.replica();
    let id = TradeId::new(&half.own, &half.other, half.piece);
    let own = replica.order(&half.own)?;
    let other_is_later = replica.key(&half.own)? < replica.key(&half.other)?;
    let later = if other_is_later { half.other } else { half.own };
    let standing = replica.trades_on_entry(&later);
    let standing = standing.into_iter().find(|row| row.trade == id);
    let row = match standing {
        Some(row) => row,
        None => {
            let (buy, sell) = match own.side {
                Side::Buy => (half.own, half.other),
                Side::Sell => (half.other, half.own),
            };
            let author = |order| exchange.dag().author_of_order(order);
            TradeRow {
                trade: id,
                market: half.market,
                price: half.price,
                quantity: half.quantity,
                buy,
                sell,
                buyer: author(&buy)?,
                seller: author(&sell)?,
                taker: if other_is_later {
                    own.side.opposite()
                } else {
                    own.side
                },
                status: TradeStatus::Busted,
                time: replica.order(&later)?.time,
                revision: replica.revision(&half.own, &half.other, half.piece),
            }
        }
    };
    views(exchange, vec![row]).pop()
}

/// Trades as users see them.
pub(crate) fn views<E: Engine>(exchange: &Exchange<E>, rows: Vec<TradeRow>) -> Vec<TradeView> {
    let is_forked = |author: &AuthorKey| exchange.dag().fork_of(author).is_some();
    let view = |row: TradeRow| TradeView {
        is_unsafe: [row.buyer, row.seller].iter().any(is_forked),
        row,
    };
    rows.into_iter().map(view).collect()
}
