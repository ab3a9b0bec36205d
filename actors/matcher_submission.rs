//! What users want of the matcher: from a request to actions, and from a written operation to the
//! answer.

use std::collections::{BTreeMap, VecDeque};

use bitfitech_core::board::only_one;
use bitfitech_core::dag::OpIndex;
use bitfitech_core::exchange::{Exchange, SubmitError};
use bitfitech_core::matching::Engine;
use bitfitech_core::op::{ACTIONS_MAX, Action, Half, Place};
use bitfitech_core::types::{AuthorKey, Now, OpId, OrderId};
use bitfitech_core::view::OrderRow;
use tokio::sync::oneshot;

use crate::command_model::{ClockQuery, IdPrefix, NewOrder, OrderName, Replace};
use crate::matcher_confirmation::{confirming, release, releasing, trade_of, views};
use crate::membership::Sentence;
use crate::messages::{Answer, ErrorCode, MemberRow, PlaceReply, Reply, ReplyError};
use crate::orderbook::find_error;

/// With so many users who wait for an answer the next ones who place orders are told to try again.
/// The other places among [`QUERIES_MAX`](crate::mailbox::QUERIES_MAX) are for those who want out:
/// a flood of orders must not keep anybody from cancelling.
pub(crate) const WAITING_USERS_MAX: usize = 768;

/// A query: write an operation that does this; answered when it is on disk.
#[derive(actix::Message, Debug)]
#[rtype(result = "Answer")]
pub enum Submit {
    /// Places an order.
    Place(NewOrder),
    /// Confirms an own trade.
    Confirm(IdPrefix),
    /// Refuses an own trade and takes back what was confirmed of it.
    Release(IdPrefix),
    /// Cancels an own order.
    Cancel(OrderName),
    /// Cancels own open orders, as many as one operation can. Empty answer: none was left.
    CancelAll,
    /// Changes an own order.
    Replace(Replace),
    /// Admits or expels an author.
    Member(Sentence),
}

impl Submit {
    /// Whether it has an operation of its own: what is said about trades and members can turn out
    /// to be invalid, and then the operation is not written.
    fn is_alone(&self) -> bool {
        matches!(self, Self::Confirm(_) | Self::Release(_) | Self::Member(_))
    }
}

/// A user who waits, and what for.
pub(crate) struct Submission {
    pub(crate) submit: Submit,
    pub(crate) tell: oneshot::Sender<Answer>,
}

/// What a user is told when his operation is on disk.
pub(crate) struct Acknowledgement {
    subject: Subject,
    tell: oneshot::Sender<Answer>,
}

/// Which orders an answer is about.
enum Subject {
    Placed(OrderId),
    Cancelled(OrderId),
    CancelledAll(Vec<OrderId>),
    Replaced { old: OrderId, new: OrderId },
    Trade(Half),
    Member(AuthorKey),
}

/// Actions of one operation to be, and who waits for them.
#[derive(Default)]
pub(crate) struct Batch {
    actions: Vec<Action>,
    /// With the index of the first action of each.
    waiting: Vec<(usize, Intent, oneshot::Sender<Answer>)>,
}

/// What a submission turned out to mean.
enum Intent {
    Place,
    Cancel(OrderId),
    CancelAll(Vec<OrderId>),
    Replace(OrderId),
    Confirm(Half),
    Release(Half),
    Member(AuthorKey),
}

/// Whether this may wait too, when so many users wait already.
pub(crate) fn check_room(submit: &Submit, waiting: usize) -> Result<(), ReplyError> {
    if matches!(submit, Submit::Place(_)) && waiting >= WAITING_USERS_MAX {
        let text = "too many orders wait for the disk: try again; cancelling is possible now";
        return Err(ReplyError::new(ErrorCode::Overloaded, text));
    }
    Ok(())
}

/// The error for users whose answer was lost with the actor.
pub(crate) fn lost() -> ReplyError {
    ReplyError::new(
        ErrorCode::Unavailable,
        "the matcher crashed before the order was acknowledged: `orders` shows whether it was \
         written",
    )
}

/// Whether orders may be placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// They may.
    Open,
    /// They wait, and what else users want overtakes them: above all, nobody waits to get out.
    Waits,
}

/// Writes as many waiting submissions as fit into one operation.
///
/// Returns the operation and who waits for it, or tells those who cannot be served why. `None`
/// when nothing is waiting, or nothing may be written yet.
pub(crate) fn write_batch<E: Engine>(
    exchange: &mut Exchange<E>,
    now: Now,
    submissions: &mut VecDeque<Submission>,
    placing: Placing,
) -> Option<(OpId, Vec<Acknowledgement>)> {
    let mut batch = Batch::default();
    // How many are passed over.
    let mut at = 0;
    while let Some(next) = submissions.get(at) {
        let waits = match next.submit {
            Submit::Place(_) => placing == Placing::Waits,
            // The orders before it are meant too.
            Submit::CancelAll => at > 0,
            _ => false,
        };
        if waits {
            at += 1;
            continue;
        }
        let is_alone = next.submit.is_alone();
        // What is all is known when everything before it is written.
        let is_first = is_alone || matches!(next.submit, Submit::CancelAll);
        if is_first && !batch.waiting.is_empty() {
            break;
        }
        match prepare(exchange, now, &next.submit) {
            Ok((_, actions)) if batch.actions.len() + actions.len() > ACTIONS_MAX => break,
            Ok((intent, actions)) => {
                let Submission { tell, .. } = submissions.remove(at)?;
                batch.waiting.push((batch.actions.len(), intent, tell));
                batch.actions.extend(actions);
                if is_alone {
                    break;
                }
            }
            Err(answer) => {
                let Submission { tell, .. } = submissions.remove(at)?;
                // A user who no longer waits needs no answer.
                drop(tell.send(*answer));
            }
        }
    }
    if batch.waiting.is_empty() {
        return None;
    }
    match exchange.submit(now, batch.actions) {
        Ok(id) => {
            let waiting = batch.waiting.into_iter();
            let acknowledge = |(at, intent, tell)| Acknowledgement::new(&id, at, intent, tell);
            Some((id, waiting.map(acknowledge).collect()))
        }
        Err(error) => {
            let error = submit_error(&error);
            for (_, _, tell) in batch.waiting {
                drop(tell.send(Err(error.clone())));
            }
            None
        }
    }
}

/// Why nothing was written, for users.
fn submit_error(error: &SubmitError) -> ReplyError {
    let code = match error {
        SubmitError::ClockAhead(_) => ErrorCode::ClockAhead,
        SubmitError::NotYet => ErrorCode::Unavailable,
        SubmitError::Operation(_) => ErrorCode::BadAmount,
        SubmitError::Invalid(_) => ErrorCode::BadTrade,
        SubmitError::Unknown => ErrorCode::UnknownOrder,
        SubmitError::NotMember(_) => ErrorCode::NotMember,
    };
    ReplyError::new(code, error.to_string())
}

/// The actions that do what a user wants, or at once the answer.
fn prepare<E: Engine>(
    exchange: &Exchange<E>,
    now: Now,
    submit: &Submit,
) -> Result<(Intent, Vec<Action>), Box<Answer>> {
    let refuse = |error: ReplyError| Box::new(Err(error));
    match submit {
        Submit::Place(order) => {
            let place = Place {
                expires_ms: order.ttl_ms.map(|ttl_ms| expiry_ms(exchange, now, ttl_ms)),
                ..order.place.clone()
            };
            Ok((Intent::Place, vec![Action::Place(place)]))
        }
        Submit::Confirm(prefix) => {
            let half = confirming(exchange, *prefix).map_err(refuse)?;
            Ok((Intent::Confirm(half), vec![Action::Confirm(half)]))
        }
        Submit::Release(prefix) => {
            let half = releasing(exchange, *prefix).map_err(refuse)?;
            Ok((Intent::Release(half), vec![release(&half)]))
        }
        Submit::Cancel(name) => {
            let row = own_open_order(exchange, *name).map_err(refuse)?;
            let (market, order) = (row.market, row.order);
            Ok((
                Intent::Cancel(order),
                vec![Action::Cancel { market, order }],
            ))
        }
        Submit::CancelAll => {
            let rows = own_open_orders(exchange);
            if rows.is_empty() {
                return Err(Box::new(Ok(Reply::CancelAll(Vec::new()))));
            }
            let actions = rows.iter().map(|row| Action::Cancel {
                market: row.market,
                order: row.order,
            });
            let orders = rows.iter().map(|row| row.order).collect();
            Ok((Intent::CancelAll(orders), actions.collect()))
        }
        Submit::Replace(replace) => {
            let row = own_open_order(exchange, replace.order).map_err(refuse)?;
            let action = replace_action(exchange, &row, replace).map_err(refuse)?;
            Ok((Intent::Replace(row.order), vec![action]))
        }
        Submit::Member(sentence) => {
            let action = sentence.action(exchange).map_err(refuse)?;
            Ok((Intent::Member(sentence.author), vec![action]))
        }
    }
}

/// When an order that is placed now and may rest so long expires. Counted from the time of its
/// operation, which may be a little ahead of the clock: it lies behind all that is known.
fn expiry_ms<E: Engine>(exchange: &Exchange<E>, now: Now, ttl_ms: u64) -> u64 {
    let next = exchange.dag().latest_time().next();
    let placed_ms = next.map_or(now.unix_ms, |next| next.unix_ms().max(now.unix_ms));
    placed_ms.saturating_add(ttl_ms)
}

/// The action that changes an order as wanted. What only reduces at the same price is written
/// without a price: it keeps its place.
fn replace_action<E: Engine>(
    exchange: &Exchange<E>,
    row: &OrderRow,
    replace: &Replace,
) -> Result<Action, ReplyError> {
    let genesis = exchange.genesis();
    let market = genesis
        .market(row.market)
        .expect("an order's market exists");
    let terms = replace.terms(market).map_err(ReplyError::from)?;
    let quantity = terms.quantity.unwrap_or(row.quantity);
    let price = terms.price.or(row.price);
    if quantity == row.quantity && price == row.price {
        let text = "the order has this price and quantity already: name another";
        return Err(ReplyError::new(ErrorCode::BadCommand, text));
    }
    let only_reduces = price == row.price && quantity < row.quantity;
    Ok(Action::Replace {
        market: row.market,
        order: row.order,
        side: row.side,
        price: price.filter(|_| !only_reduces),
        quantity,
    })
}

/// Own orders in the book, at most as many as one operation can cancel.
fn own_open_orders<E: Engine>(exchange: &Exchange<E>) -> Vec<OrderRow> {
    let open = exchange.replica().open_orders_of(exchange.author());
    open.take(ACTIONS_MAX).collect()
}

/// The one own order in the book of this name.
fn own_open_order<E: Engine>(
    exchange: &Exchange<E>,
    name: OrderName,
) -> Result<OrderRow, ReplyError> {
    let row = any_order(exchange, name)?;
    if row.author != exchange.author() {
        let text = format!(
            "order {} belongs to {}",
            row.order.name(),
            row.author.short()
        );
        return Err(ReplyError::new(ErrorCode::NotOwner, text));
    }
    if row.ended.is_some() {
        let text = format!(
            "order {} is over: {}",
            row.order.name(),
            row.status().name()
        );
        return Err(ReplyError::new(ErrorCode::OrderClosed, text));
    }
    Ok(row)
}

/// The one order of this name.
pub(crate) fn any_order<E: Engine>(
    exchange: &Exchange<E>,
    name: OrderName,
) -> Result<OrderRow, ReplyError> {
    let found = exchange.replica().orders_between(name.low(), name.high());
    let found = found.filter(|row| name.has_number_of(&row.order));
    only_one(found).map_err(|error| find_error(name, &error))
}

impl Acknowledgement {
    fn new(id: &OpId, at: usize, intent: Intent, tell: oneshot::Sender<Answer>) -> Self {
        let index = u8::try_from(at).expect("an operation has at most 64 actions");
        let made = OrderId::new(id, index);
        let subject = match intent {
            Intent::Place => Subject::Placed(made),
            Intent::Cancel(order) => Subject::Cancelled(order),
            Intent::CancelAll(orders) => Subject::CancelledAll(orders),
            Intent::Replace(old) => Subject::Replaced { old, new: made },
            Intent::Confirm(half) | Intent::Release(half) => Subject::Trade(half),
            Intent::Member(author) => Subject::Member(author),
        };
        Self { subject, tell }
    }

    /// Tells the user how things stand now.
    pub(crate) fn tell<E: Engine>(self, exchange: &Exchange<E>) {
        let replica = exchange.replica();
        let row = |order: &OrderId| replica.order(order);
        let placed = |row: OrderRow| {
            let trades = views(exchange, replica.trades_on_entry(&row.order));
            Reply::Place(PlaceReply::new(&row, trades))
        };
        let reply = match &self.subject {
            Subject::Placed(order) => row(order).map(placed),
            Subject::Cancelled(order) => row(order).map(Reply::Cancel),
            Subject::CancelledAll(orders) => {
                Some(Reply::CancelAll(orders.iter().filter_map(row).collect()))
            }
            Subject::Replaced { old, new } => row(new).or_else(|| row(old)).map(placed),
            Subject::Trade(half) => trade_of(exchange, half).map(Reply::Trade),
            Subject::Member(author) => {
                let (genesis, members) = (exchange.genesis(), exchange.membership());
                Some(Reply::Member(MemberRow::new(genesis, members, author)))
            }
        };
        // A user who no longer waits needs no answer.
        drop(self.tell.send(reply.ok_or_else(lost)));
    }
}

/// Vector clocks, for users.
pub(crate) fn clock<E: Engine>(exchange: &Exchange<E>, query: ClockQuery) -> Answer {
    let dag = exchange.dag();
    let operation = |name| -> Result<OpIndex, ReplyError> {
        let row = any_order(exchange, name)?;
        Ok(dag
            .find_order(&row.order)
            .expect("an order's operation is applied"))
    };
    match query {
        ClockQuery::Own => {
            let mut known = BTreeMap::new();
            for head in dag.heads() {
                let count = known.entry(head.author).or_insert(0);
                *count = (*count).max(head.seq + 1);
            }
            Ok(Reply::Clock(known))
        }
        ClockQuery::Of(name) => {
            let clock = dag.vector_clock(operation(name)?);
            let counts = clock.iter().map(|(author, count)| (*author, count));
            Ok(Reply::Clock(counts.collect()))
        }
        ClockQuery::Compare(first, second) => {
            let first = dag.vector_clock(operation(first)?);
            let second = dag.vector_clock(operation(second)?);
            Ok(Reply::Relation(first.relation(&second)))
        }
    }
}

#[cfg(test)]
mod tests;
