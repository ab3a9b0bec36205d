//! What has been signed about the orders of one market, as its matching has to respect it.
//!
//! Of two orders the one that stands first in the total order can only be the maker and the other
//! only the taker, whatever else happens. So terms are kept by maker and taker, and turned into
//! what the engine is told when an order enters: [`Claims`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::confirmation::{OrderPair, PairTerms};
use crate::few::Few;
use crate::matching::{Claim, Claims, Meeting, Slot};
use crate::order_table::OrderTable;
use crate::types::{Lots, OpId, Ticks};
use crate::view::TradeStatus;

/// Terms that are not yet respected: the newest of each pair, and by which operation.
pub(crate) type StagedTerms = BTreeMap<OrderPair, (PairTerms, OpId)>;

/// Terms in little memory: in the end nearly all pairs are final in one piece, or declined.
enum Kept {
    Declined,
    Final { price: Ticks, quantity: Lots },
    Other(Box<PairTerms>),
}

impl Kept {
    fn of(terms: PairTerms) -> Self {
        let short = match &*terms.complete {
            [] => Self::Declined,
            [quantity, ..] => Self::Final {
                price: terms.price,
                quantity: *quantity,
            },
        };
        if short.terms() == terms {
            short
        } else {
            Self::Other(Box::new(terms))
        }
    }

    fn terms(&self) -> PairTerms {
        match self {
            Self::Declined => PairTerms {
                declined: true,
                ..PairTerms::default()
            },
            Self::Final { price, quantity } => PairTerms {
                complete: Few::One(*quantity),
                price: *price,
                ..PairTerms::default()
            },
            Self::Other(terms) => (**terms).clone(),
        }
    }
}

/// The terms of one market.
pub(crate) struct MarketTerms {
    /// By maker, then taker.
    pairs: BTreeMap<(Slot, Slot), Kept>,
    /// Taker, then maker, of all pairs.
    makers_of: BTreeSet<(Slot, Slot)>,
    /// One bit for each order, set where it is one of a pair: most orders are not.
    paired: Vec<u64>,
    /// Orders that are abandoned: they enter no book.
    abandoned: BTreeSet<Slot>,
    /// Staged, but for what waits for the slow lane.
    pub(crate) incoming: StagedTerms,
}

impl MarketTerms {
    /// Nothing was signed.
    pub(crate) fn new() -> Self {
        Self {
            pairs: BTreeMap::new(),
            makers_of: BTreeSet::new(),
            paired: Vec::new(),
            abandoned: BTreeSet::new(),
            incoming: BTreeMap::new(),
        }
    }

    /// The terms of a pair, if there are any.
    pub(crate) fn get(&self, maker: Slot, taker: Slot) -> Option<PairTerms> {
        self.pairs.get(&(maker, taker)).map(Kept::terms)
    }

    /// How sure a trade of two orders is.
    pub(crate) fn status(&self, maker: Slot, taker: Slot, piece: u32) -> TradeStatus {
        let terms = self.get(maker, taker);
        if terms.is_some_and(|terms| (piece as usize) < terms.complete.len()) {
            TradeStatus::Final
        } else {
            TradeStatus::Tentative
        }
    }

    /// Whether an order is abandoned.
    pub(crate) fn is_abandoned(&self, order: Slot) -> bool {
        self.abandoned.contains(&order)
    }

    /// Sets the terms of a pair; those of an order with itself say whether it is abandoned.
    pub(crate) fn set(&mut self, maker: Slot, taker: Slot, terms: PairTerms) {
        if maker == taker {
            if terms.declined {
                self.abandoned.insert(maker);
            } else {
                self.abandoned.remove(&maker);
            }
            return;
        }
        self.pairs.insert((maker, taker), Kept::of(terms));
        self.makers_of.insert((taker, maker));
        for Slot(number) in [maker, taker] {
            let word = number as usize / 64;
            if self.paired.len() <= word {
                self.paired.resize(word + 1, 0);
            }
            self.paired[word] |= 1 << (number % 64);
        }
    }

    /// Whether an order has terms with any other.
    fn is_paired(&self, order: Slot) -> bool {
        let word = self.paired.get(order.0 as usize / 64);
        word.is_some_and(|word| word >> (order.0 % 64) & 1 == 1)
    }

    /// The orders that a taker has terms with.
    pub(crate) fn makers(&self, taker: Slot) -> impl Iterator<Item = Slot> + '_ {
        let all = (taker, Slot::NONE)..=(taker, Slot(u32::MAX));
        let makers = self.is_paired(taker).then(|| self.makers_of.range(all));
        makers.into_iter().flatten().map(|(_, maker)| *maker)
    }

    /// The orders that a maker has terms with, and the terms.
    pub(crate) fn takers(&self, maker: Slot) -> impl Iterator<Item = (Slot, PairTerms)> {
        let all = (maker, Slot::NONE)..=(maker, Slot(u32::MAX));
        let pairs = self.is_paired(maker).then(|| self.pairs.range(all));
        let pairs = pairs.into_iter().flatten();
        pairs.map(|((_, taker), terms)| (*taker, terms.terms()))
    }

    /// What an engine is told about an order that enters.
    pub(crate) fn claims(&self, own: Slot, orders: &OrderTable) -> Claims {
        if !self.is_paired(own) {
            return Claims::NONE;
        }
        let id = orders.id(own);
        let mut claims = Claims::NONE;
        for (taker, terms) in self.takers(own) {
            let pair = OrderPair::new(id, orders.id(taker));
            let promised = terms.withheld_of(&pair, &id);
            claims.to_later = Lots(claims.to_later.0.saturating_add(promised));
        }
        for maker in self.makers(own) {
            let maker_id = orders.id(maker);
            let pair = OrderPair::new(id, maker_id);
            let terms = self.pairs[&(maker, own)].terms();
            claims.makers.push(Claim {
                maker: maker_id,
                handle: maker.handle(),
                price: terms.price,
                maker_half: terms.half_of(&pair, &maker_id),
                taker_half: terms.half_of(&pair, &id),
                complete: terms.complete,
                meeting: if terms.declined {
                    Meeting::Declined
                } else {
                    Meeting::Free
                },
            });
        }
        claims.makers.sort_unstable_by_key(|claim| claim.maker);
        claims
    }

    /// The quantity of all final trades of an order.
    pub(crate) fn completed(&self, own: Slot) -> u64 {
        let as_maker = self.takers(own).map(|(_, terms)| terms.completed());
        let as_taker = self.makers(own);
        let as_taker = as_taker.map(|maker| self.pairs[&(maker, own)].terms().completed());
        as_maker.chain(as_taker).fold(0, u64::saturating_add)
    }
}
