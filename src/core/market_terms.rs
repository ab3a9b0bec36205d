//! What has been signed about the orders of one market, as its matching has to respect it.
//!
//! Of two orders the one that stands first in the total order can only be the maker and the other
//! only the taker, whatever else happens. So terms are kept by maker and taker, and turned into
//! what the engine is told when an order enters: [`Claims`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::confirmation::{OrderPair, PairTerms};
use crate::few::Few;
use crate::matching::{Claim, Claims, Meeting, Slot};
use crate::order_table::OrderTable;
use crate::packed::Row;
use crate::packed_map::PackedMap;
use crate::types::{Lots, OpId, Ticks};

/// Terms that are not yet respected.
pub(crate) struct NewTerms {
    /// The order of the pair with the smaller id, then the other one.
    pub(crate) orders: [Slot; 2],
    pub(crate) terms: PairTerms,
    /// The operation by which they are so.
    pub(crate) cause: OpId,
}

/// The newest terms of each pair that are not yet respected.
pub(crate) type StagedTerms = BTreeMap<OrderPair, NewTerms>;

/// Terms in little memory: nearly all pairs wait for the first piece, and in the end are final in
/// one piece, or declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Declined,
    Final {
        price: Ticks,
        quantity: Lots,
    },
    Open {
        price: Ticks,
        low_half: Lots,
        high_half: Lots,
    },
    /// They are kept elsewhere.
    Other,
}

impl Kept {
    fn of(terms: &PairTerms) -> Self {
        let short = match &*terms.complete {
            [] if terms.declined => Self::Declined,
            [] => Self::Open {
                price: terms.price,
                low_half: terms.low_half,
                high_half: terms.high_half,
            },
            [quantity, ..] => Self::Final {
                price: terms.price,
                quantity: *quantity,
            },
        };
        if short.terms().as_ref() == Some(terms) {
            short
        } else {
            Self::Other
        }
    }

    /// The terms, if they are kept here.
    fn terms(self) -> Option<PairTerms> {
        match self {
            Self::Declined => Some(PairTerms {
                declined: true,
                ..PairTerms::default()
            }),
            Self::Final { price, quantity } => Some(PairTerms {
                complete: Few::One(quantity),
                price,
                ..PairTerms::default()
            }),
            Self::Open {
                price,
                low_half,
                high_half,
            } => Some(PairTerms {
                price,
                low_half,
                high_half,
                ..PairTerms::default()
            }),
            Self::Other => None,
        }
    }
}

impl Row for Kept {
    type Columns = [u64; 4];

    fn columns(&self) -> Self::Columns {
        match self {
            Self::Declined => [0, 0, 0, 0],
            Self::Final { price, quantity } => [1, price.0, quantity.0, 0],
            Self::Open {
                price,
                low_half,
                high_half,
            } => [2, price.0, low_half.0, high_half.0],
            Self::Other => [3, 0, 0, 0],
        }
    }

    fn of([kind, price, first, second]: &Self::Columns) -> Self {
        match kind {
            0 => Self::Declined,
            1 => Self::Final {
                price: Ticks(*price),
                quantity: Lots(*first),
            },
            2 => Self::Open {
                price: Ticks(*price),
                low_half: Lots(*first),
                high_half: Lots(*second),
            },
            _ => Self::Other,
        }
    }
}

/// Two orders that have terms, by one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SlotPair(Slot, Slot);

impl SlotPair {
    /// The least and the greatest pair that this order is the first of.
    fn all_of(first: Slot) -> (Self, Self) {
        (Self(first, Slot(0)), Self(first, Slot(u32::MAX)))
    }
}

impl Row for SlotPair {
    type Columns = [u64; 2];

    fn columns(&self) -> Self::Columns {
        let Self(Slot(first), Slot(second)) = *self;
        [u64::from(first), u64::from(second)]
    }

    fn of([first, second]: &Self::Columns) -> Self {
        // Both were of this width.
        Self(Slot(*first as u32), Slot(*second as u32))
    }
}

/// A set of orders, with one bit for each that there is.
#[derive(Default)]
struct Orders(Vec<u64>);

impl Orders {
    fn insert(&mut self, Slot(number): Slot) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    fn has(&self, Slot(number): Slot) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

/// The terms of one market.
pub(crate) struct MarketTerms {
    /// By maker, then taker.
    pairs: PackedMap<SlotPair, Kept>,
    /// Terms of those of them that are not told in short.
    others: BTreeMap<SlotPair, PairTerms>,
    /// Taker, then maker, of all pairs.
    makers_of: PackedMap<SlotPair, ()>,
    /// Orders that are the maker of a pair, and those that are the taker of one: most are neither.
    makers: Orders,
    takers: Orders,
    /// Orders that are abandoned: they enter no book.
    abandoned: BTreeSet<Slot>,
    /// Staged, but for what waits for the slow lane.
    pub(crate) incoming: StagedTerms,
}

impl MarketTerms {
    /// Nothing was signed.
    pub(crate) fn new() -> Self {
        Self {
            pairs: PackedMap::new(),
            others: BTreeMap::new(),
            makers_of: PackedMap::new(),
            makers: Orders::default(),
            takers: Orders::default(),
            abandoned: BTreeSet::new(),
            incoming: BTreeMap::new(),
        }
    }

    /// The terms of a pair, if there are any.
    pub(crate) fn get(&self, maker: Slot, taker: Slot) -> Option<PairTerms> {
        if !self.makers.has(maker) || !self.takers.has(taker) {
            return None;
        }
        let pair = SlotPair(maker, taker);
        Some(self.terms(pair, self.pairs.get(&pair)?))
    }

    fn terms(&self, pair: SlotPair, kept: Kept) -> PairTerms {
        kept.terms().unwrap_or_else(|| self.others[&pair].clone())
    }

    /// How many trades of two orders are final.
    pub(crate) fn final_count(&self, maker: Slot, taker: Slot) -> usize {
        if !self.makers.has(maker) || !self.takers.has(taker) {
            return 0;
        }
        let pair = SlotPair(maker, taker);
        match self.pairs.get(&pair) {
            None | Some(Kept::Declined | Kept::Open { .. }) => 0,
            Some(Kept::Final { .. }) => 1,
            Some(Kept::Other) => self.others[&pair].complete.len(),
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
        let (pair, kept) = (SlotPair(maker, taker), Kept::of(&terms));
        if kept == Kept::Other {
            self.others.insert(pair, terms);
        } else {
            self.others.remove(&pair);
        }
        if self.pairs.get(&pair).is_none() {
            self.makers_of.insert(SlotPair(taker, maker), ());
        }
        self.pairs.insert(pair, kept);
        self.makers.insert(maker);
        self.takers.insert(taker);
    }

    /// Whether an order is the taker of a pair that has terms.
    #[inline]
    pub(crate) fn is_taker(&self, order: Slot) -> bool {
        self.takers.has(order)
    }

    /// The orders that a taker has terms with, in no order.
    pub(crate) fn makers(&self, taker: Slot) -> Vec<Slot> {
        if !self.is_taker(taker) {
            return Vec::new();
        }
        let (low, high) = SlotPair::all_of(taker);
        let makers = self.makers_of.between(low, high).into_iter();
        makers.map(|(SlotPair(_, maker), ())| maker).collect()
    }

    /// The orders that a maker has terms with, and the terms, in no order.
    pub(crate) fn takers(&self, maker: Slot) -> Vec<(Slot, PairTerms)> {
        if !self.makers.has(maker) {
            return Vec::new();
        }
        let (low, high) = SlotPair::all_of(maker);
        let takers = self.pairs.between(low, high).into_iter();
        let terms = |(pair, kept)| {
            let SlotPair(_, taker) = pair;
            (taker, self.terms(pair, kept))
        };
        takers.map(terms).collect()
    }

    /// What was agreed by a maker and a taker that have terms.
    fn agreed(&self, maker: Slot, taker: Slot) -> PairTerms {
        let terms = self.get(maker, taker);
        terms.expect("makers are told only of pairs")
    }

    /// How many bytes of memory it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pairs = self.pairs.memory_bytes() + self.makers_of.memory_bytes();
        let others = self.others.len() * size_of::<(SlotPair, PairTerms)>() * 3 / 2;
        pairs + others + self.makers.memory_bytes() + self.takers.memory_bytes()
    }

    /// What an engine is told about an order that enters.
    pub(crate) fn claims(&self, own: Slot, orders: &OrderTable) -> Claims {
        if !self.makers.has(own) && !self.takers.has(own) {
            return Claims::NONE;
        }
        let mut claims = Claims::NONE;
        for (taker, terms) in self.takers(own) {
            let promised = orders.withheld_of(&terms, own, taker);
            claims.to_later = Lots(claims.to_later.0.saturating_add(promised));
        }
        for maker in self.makers(own) {
            let terms = self.agreed(maker, own);
            claims.makers.push(Claim {
                maker: orders.id(maker),
                handle: maker.handle(),
                price: terms.price,
                maker_half: orders.half_of(&terms, maker, own),
                taker_half: orders.half_of(&terms, own, maker),
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
        let as_maker = self
            .takers(own)
            .into_iter()
            .map(|(_, terms)| terms.completed());
        let as_taker = self.makers(own).into_iter();
        let as_taker = as_taker.map(|maker| self.agreed(maker, own).completed());
        as_maker.chain(as_taker).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn terms_are_the_same_however_they_are_kept(
            complete in prop::collection::vec(1..4_u64, 0..3),
            numbers in prop::array::uniform3(0..2_u64),
            declined in any::<bool>(),
        ) {
            let [low_half, high_half, price] = numbers;
            let terms = PairTerms {
                complete: complete.into_iter().map(Lots).collect(),
                low_half: Lots(low_half),
                high_half: Lots(high_half),
                price: Ticks(price),
                declined,
            };
            let (maker, taker) = (Slot(1), Slot(2));
            let mut of_market = MarketTerms::new();
            of_market.set(maker, taker, terms.clone());
            prop_assert_eq!(of_market.get(maker, taker), Some(terms.clone()));
            prop_assert_eq!(of_market.takers(maker), [(taker, terms.clone())]);
            prop_assert_eq!(of_market.final_count(maker, taker), terms.complete.len());
            let kept = Kept::of(&terms);
            let packed = <Kept as Row>::of(&kept.columns());
            prop_assert_eq!(packed, kept);
        }
    }
}
