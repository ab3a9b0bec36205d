//! What authors sign about each other's trades: drafts of confirmations and refusals, filled in
//! from what a node is shown.

use bitfitech_core::confirmation::Placements;
use bitfitech_core::dag::{Admission, OpIndex};
use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Book;
use bitfitech_core::op::{Action, Body, Half, OPERATION_VERSION, Verified};
use bitfitech_core::types::{
    AuthorKey, HybridTime, Lots, MarketIndex, OpId, OrderId, Side, Ticks, TradeId,
};
use bitfitech_core::view::{Change, TradeRow};
use ed25519_zebra::SigningKey;

use crate::network::author_of;
use crate::scenario::{Amount, Deal};

/// How many pieces of a pair are looked for.
const PIECES_MAX: u32 = 16;

/// An order that somebody has ever placed: whose, where, on which side.
pub type KnownOrder = (AuthorKey, MarketIndex, Side, OrderId);

/// Who signs, and what he goes by.
pub struct Signer<'a> {
    pub author: AuthorKey,
    pub exchange: &'a Exchange<Book>,
    pub orders: &'a [KnownOrder],
}

/// All operations that one names: the one before it, its refs, and those that made the orders that
/// it confirms or refuses.
pub fn named_by(operation: &Verified, all: &[Verified]) -> Vec<OpId> {
    let body = operation.body();
    let mut named: Vec<OpId> = body.prev.iter().chain(&body.refs).copied().collect();
    for stem in body.counterparts() {
        let maker = all.iter().find(|other| other.id().stem() == stem);
        named.extend(maker.map(|maker| maker.id()));
    }
    named
}

/// The number of a trade's piece.
pub fn piece_of(row: &TradeRow) -> u32 {
    let mut pieces = 0..PIECES_MAX;
    let piece = pieces.find(|piece| TradeId::new(&row.buy, &row.sell, *piece) == row.trade);
    piece.expect("few pieces of a pair")
}

/// All trades that an exchange shows, in order.
pub fn shown_trades(exchange: &Exchange<Book>) -> Vec<TradeRow> {
    let changes = exchange.replica().snapshot();
    let rows = changes.filter_map(|change| match change {
        Change::Trade { trade, .. } => Some(trade.row()),
        Change::Order { .. } | Change::OrderGone(_) => None,
    });
    rows.collect()
}

/// The half by which an author confirms a trade that he is shown, if an order of it is his.
pub fn half_of(row: &TradeRow, exchange: &Exchange<Book>, author: &AuthorKey) -> Option<Half> {
    let is_own = |order: &OrderId| {
        let row = exchange.replica().order(order);
        row.is_some_and(|row| row.author == *author)
    };
    let (own, other) = if is_own(&row.buy) {
        (row.buy, row.sell)
    } else if is_own(&row.sell) {
        (row.sell, row.buy)
    } else {
        return None;
    };
    Some(Half {
        market: row.market,
        own,
        other,
        piece: piece_of(row),
        quantity: row.quantity,
        price: row.price,
    })
}

impl Signer<'_> {
    /// What a draft of a confirmation comes to, if there is anything to confirm.
    pub fn confirm(&self, deal: Deal, amount: Amount) -> Option<Action> {
        let mut half = self.half(deal)?;
        if let Amount::Of(quantity) = amount {
            half.quantity = Lots(u64::from(quantity));
        }
        Some(Action::Confirm(half))
    }

    /// What a draft of a refusal comes to, if there is anything to refuse.
    pub fn decline(&self, deal: Deal) -> Option<Action> {
        let half = self.half(deal)?;
        Some(Action::Decline {
            market: half.market,
            own: half.own,
            other: half.other,
        })
    }

    /// What a draft of a refusal that takes the own half back comes to.
    pub fn release(&self, deal: Deal) -> Option<Action> {
        let half = self.half(deal)?;
        Some(Action::Release {
            market: half.market,
            own: half.own,
            other: half.other,
        })
    }

    fn half(&self, deal: Deal) -> Option<Half> {
        match deal {
            Deal::Shown(number) => {
                let shown = shown_trades(self.exchange);
                let own = shown.iter().rev();
                let own = own.filter_map(|row| half_of(row, self.exchange, &self.author));
                let own: Vec<Half> = own.collect();
                let half = own.get(usize::from(number) % own.len().max(1)).copied()?;
                Some(self.answered(half))
            }
            Deal::Offered(number) => {
                let offers = self.offers();
                let count = offers.len().max(1);
                offers.get(usize::from(number) % count).copied()
            }
            Deal::Any { own, other, piece } => self.any(own, other, piece),
        }
    }

    /// A half with no more than what the other one has signed.
    fn answered(&self, half: Half) -> Half {
        let (confirmations, dag) = (self.exchange.confirmations(), self.exchange.dag());
        let theirs = confirmations.halves(&half.other, &half.own, dag);
        let same_piece = theirs.iter().filter(|theirs| theirs.piece == half.piece);
        let least = same_piece.map(|theirs| theirs.quantity).min();
        Half {
            quantity: least.map_or(half.quantity, |least| least.min(half.quantity)),
            ..half
        }
    }

    /// Answers to what others have signed with own orders and this author has not, newest first.
    fn offers(&self) -> Vec<Half> {
        let (confirmations, dag) = (self.exchange.confirmations(), self.exchange.dag());
        let mut offers = Vec::new();
        let own_orders = self.orders.iter().filter(|order| order.0 == self.author);
        for (_, market, _, own) in own_orders {
            for other in confirmations.partners(own, dag) {
                let answered = confirmations.halves(own, &other, dag);
                let is_answered = |piece| answered.iter().any(|half| half.piece == piece);
                let theirs = confirmations.halves(&other, own, dag).into_iter();
                let open = theirs.filter(|half| !is_answered(half.piece));
                offers.extend(open.map(|theirs| {
                    let half = Half {
                        market: *market,
                        own: *own,
                        other,
                        piece: theirs.piece,
                        quantity: theirs.quantity,
                        price: theirs.price,
                    };
                    (theirs.time, half)
                }));
            }
        }
        offers.sort_by_key(|(time, half)| (std::cmp::Reverse(*time), half.own, half.other));
        offers.into_iter().map(|(_, half)| half).collect()
    }

    /// Any two orders that could trade with each other if all were well.
    fn any(&self, own: u8, other: u8, piece: u8) -> Option<Half> {
        let newest_first = || self.orders.iter().rev();
        let mut mine = newest_first().filter(|order| order.0 == self.author);
        let (_, market, side, own) = mine.nth(usize::from(own))?;
        let opposite = (*market, side.opposite());
        let mut theirs =
            newest_first().filter(|order| order.0 != self.author && (order.1, order.2) == opposite);
        let (_, _, _, other) = theirs.nth(usize::from(other))?;
        let replica = self.exchange.replica();
        let maker = [own, other].into_iter().min_by_key(|id| replica.key(id));
        let maker = maker.and_then(|id| replica.placement(*market, id));
        let price = maker.and_then(|maker| maker.limit);
        Some(Half {
            market: *market,
            own: *own,
            other: *other,
            piece: u32::from(piece),
            quantity: Lots(1),
            price: price.unwrap_or(Ticks(1)),
        })
    }

    /// Those of the actions that an honest author may sign now, in an operation of this time.
    pub fn valid_only(
        &self,
        actions: Vec<Action>,
        (key, time): (&SigningKey, HybridTime),
    ) -> Vec<Action> {
        let mut valid = Vec::new();
        for action in actions {
            let signs = action.pair().is_some();
            valid.push(action);
            if signs && !self.is_valid(&self.sign(valid.clone(), (key, time))) {
                valid.pop();
            }
        }
        valid
    }

    /// An operation that continues the author's chain and names the newest of every other author,
    /// as far as there is room.
    pub fn sign(&self, actions: Vec<Action>, (key, time): (&SigningKey, HybridTime)) -> Verified {
        assert_eq!(author_of(key), self.author);
        let dag = self.exchange.dag();
        let heads = dag.heads_of(&self.author);
        let head = heads.max_by_key(|head| (dag.seq(*head), dag.id(*head)));
        let body = Body {
            version: OPERATION_VERSION,
            author: self.author,
            seq: head.map_or(0, |head| dag.seq(head) + 1),
            prev: head.map(|head| dag.id(head)),
            time,
            refs: self.refs(),
            checkpoint: 0,
            actions,
        };
        let genesis = self.exchange.genesis();
        Verified::sign(body, key, genesis, &genesis.digest()).expect("well-formed")
    }

    /// The foreign operation that stands last in the total order: what an exchange refers to.
    fn refs(&self) -> Vec<OpId> {
        let dag = self.exchange.dag();
        let own = dag.owner(&self.author);
        let all = (0..u32::try_from(dag.len()).expect("few")).map(OpIndex);
        let foreign = all.filter(|at| Some(dag.author(*at)) != own);
        let last = foreign.max_by_key(|at| dag.position(*at));
        last.map(|last| dag.id(last)).into_iter().collect()
    }

    /// Whether what an operation signs about trades is valid.
    pub fn is_valid(&self, operation: &Verified) -> bool {
        let (dag, replica) = (self.exchange.dag(), self.exchange.replica());
        let checked = self
            .exchange
            .confirmations()
            .check(operation.body(), dag, replica);
        dag.admit(operation) == Ok(Admission::Ready) && checked.is_ok()
    }
}
