//! Where what was signed is kept: pairs of orders, in little memory.
//!
//! The ids of two orders are 64 bytes, and every pair is looked up from both sides. So each order
//! of which anything was signed gets a number, and so does each pair. A pair is found by the
//! numbers of its orders, or along the list of all pairs of one of them. Nearly every pair needs
//! one half of each owner and nothing else.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{OrderPair, SignedHalf};
use crate::chunks::Chunks;
use crate::dag::OpIndex;
use crate::few::Few;
use crate::matching::{IdTable, Slot, Tag, TagKey};
use crate::types::OrderId;

/// Refusals by the owner of one order, and those of them that are releases.
#[derive(Clone, Debug, Default)]
struct Refusals {
    all: Vec<OpIndex>,
    releases: Vec<OpIndex>,
}

/// What the owner of one order has signed about another order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) halves: &'a [SignedHalf],
    /// Refusals and releases.
    pub(super) refusals: &'a [OpIndex],
    pub(super) releases: &'a [OpIndex],
}

/// The number of an order. It depends on the order of arrival.
type Number = u32;

/// The number of a pair, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PairNumber(u32);

impl PairNumber {
    /// Where a search begins.
    pub(super) const LEAST: Self = Self(0);

    /// The end of a list.
    const NONE: Self = Self(u32::MAX);
}

/// Which of the two orders of a pair: that of the lower number, or the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Lower = 0,
    Higher = 1,
}

impl Place {
    /// The place of `own` beside `other`.
    fn of(own: Number, other: Number) -> Self {
        if own < other {
            Self::Lower
        } else {
            Self::Higher
        }
    }
}

/// Two orders of which anything was signed together.
struct Pair {
    /// The lower number first.
    orders: [Number; 2],
    /// For each of them the pair of it that came before this one.
    before: [PairNumber; 2],
    /// What the owner of each has signed.
    halves: [Few<SignedHalf>; 2],
    /// Mostly there are none.
    refusals: Option<Box<[Refusals; 2]>>,
}

impl Pair {
    /// What the owner of one of the two has signed.
    fn signed(&self, place: Place) -> Signed<'_> {
        let refusals = self.refusals.as_ref();
        let refusals = refusals.map(|refusals| &refusals[place as usize]);
        Signed {
            halves: &self.halves[place as usize],
            refusals: refusals.map_or(&[], |refusals| &refusals.all),
            releases: refusals.map_or(&[], |refusals| &refusals.releases),
        }
    }
}

/// An order of which anything was signed.
struct Party {
    id: OrderId,
    /// All that was ever promised of it, whatever was given back.
    promised: u64,
    /// Its newest pair.
    last: PairNumber,
}

/// What was signed.
pub(super) struct Ledger {
    key: TagKey,
    number_of: IdTable,
    parties: Chunks<Party>,
    /// By the numbers of both orders.
    pair_of: IdTable,
    pairs: Chunks<Pair>,
}

impl Ledger {
    /// Nothing was signed. The secret keeps peers from choosing ids that are slow to find.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            key: TagKey::new(secret),
            number_of: IdTable::new(),
            parties: Chunks::new(),
            pair_of: IdTable::new(),
            pairs: Chunks::new(),
        }
    }

    fn number(&self, order: &OrderId) -> Option<Number> {
        let is_wanted = |slot: Slot| self.parties[slot.0 as usize].id == *order;
        let found = self.number_of.find(self.key.tag(order), is_wanted);
        found.map(|slot| slot.0)
    }

    fn number_or_new(&mut self, order: &OrderId) -> Number {
        if let Some(number) = self.number(order) {
            return number;
        }
        let number = u32::try_from(self.parties.len()).expect("fewer than 2^32 orders");
        self.number_of.insert(self.key.tag(order), Slot(number));
        self.parties.push(Party {
            id: *order,
            promised: 0,
            last: PairNumber::NONE,
        });
        number
    }

    fn party(&self, number: Number) -> &Party {
        &self.parties[number as usize]
    }

    fn pair_at(&self, PairNumber(number): PairNumber) -> &Pair {
        &self.pairs[number as usize]
    }

    /// What a pair is found by.
    fn tag(&self, [lower, higher]: [Number; 2]) -> Tag {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&lower.to_le_bytes());
        bytes[4..8].copy_from_slice(&higher.to_le_bytes());
        self.key.tag(&OrderId(bytes))
    }

    /// The pair of two orders.
    fn find(&self, own: Number, other: Number) -> Option<PairNumber> {
        let orders = [own.min(other), own.max(other)];
        let is_wanted = |slot: Slot| self.pair_at(PairNumber(slot.0)).orders == orders;
        let found = self.pair_of.find(self.tag(orders), is_wanted);
        found.map(|slot| PairNumber(slot.0))
    }

    fn find_or_new(&mut self, own: Number, other: Number) -> PairNumber {
        if let Some(number) = self.find(own, other) {
            return number;
        }
        let number = u32::try_from(self.pairs.len()).expect("fewer than 2^32 pairs");
        let number = PairNumber(number);
        let orders = [own.min(other), own.max(other)];
        self.pair_of.insert(self.tag(orders), Slot(number.0));
        self.pairs.push(Pair {
            orders,
            before: orders.map(|order| self.party(order).last),
            halves: [const { Few::None }; 2],
            refusals: None,
        });
        for order in orders {
            self.parties[order as usize].last = number;
        }
        number
    }

    /// What the owner of the first order has signed about the second, if anything was signed of
    /// the two.
    pub(super) fn get(&self, own: &OrderId, other: &OrderId) -> Option<Signed<'_>> {
        let (own, other) = (self.number(own)?, self.number(other)?);
        let pair = self.pair_at(self.find(own, other)?);
        Some(pair.signed(Place::of(own, other)))
    }

    /// What the owner of each of two orders has signed about the other, if anything was signed.
    pub(super) fn both(&self, first: &OrderId, second: &OrderId) -> Option<[Signed<'_>; 2]> {
        let (first, second) = (self.number(first)?, self.number(second)?);
        let pair = self.pair_at(self.find(first, second)?);
        let places = [Place::of(first, second), Place::of(second, first)];
        Some(places.map(|place| pair.signed(place)))
    }

    /// Notes a half, and that so much more is promised of the own order. The number of the pair
    /// does not depend on which of the two is named first.
    pub(super) fn sign(&mut self, own: &OrderId, other: &OrderId, half: SignedHalf) -> PairNumber {
        let (own, other) = (self.number_or_new(own), self.number_or_new(other));
        let number = self.find_or_new(own, other);
        let pair = &mut self.pairs[number.0 as usize];
        pair.halves[Place::of(own, other) as usize].push(half);
        let promised = &mut self.parties[own as usize].promised;
        *promised = promised.saturating_add(half.quantity.0);
        number
    }

    /// Notes a refusal.
    pub(super) fn refuse(&mut self, own: &OrderId, other: &OrderId, refusal: OpIndex) {
        self.refusals(own, other).all.push(refusal);
    }

    /// Notes a release, which is a refusal too.
    pub(super) fn release(&mut self, own: &OrderId, other: &OrderId, release: OpIndex) {
        self.refuse(own, other, release);
        self.refusals(own, other).releases.push(release);
    }

    fn refusals(&mut self, own: &OrderId, other: &OrderId) -> &mut Refusals {
        let (own, other) = (self.number_or_new(own), self.number_or_new(other));
        let number = self.find_or_new(own, other);
        let refusals = &mut self.pairs[number.0 as usize].refusals;
        &mut refusals.get_or_insert_default()[Place::of(own, other) as usize]
    }

    /// The orders of this pair.
    pub(super) fn pair(&self, number: PairNumber) -> OrderPair {
        let [first, second] = self.pair_at(number).orders;
        OrderPair::new(self.party(first).id, self.party(second).id)
    }

    /// All that was ever promised of an order.
    pub(super) fn promised(&self, order: &OrderId) -> u64 {
        let number = self.number(order);
        number.map_or(0, |number| self.party(number).promised)
    }

    /// The orders about which anything was signed together with this one, the newest pair first.
    pub(super) fn partners(&self, order: &OrderId) -> impl Iterator<Item = OrderId> + '_ {
        let own = self.number(order);
        let mut next = own.map_or(PairNumber::NONE, |own| self.party(own).last);
        core::iter::from_fn(move || {
            let own = own.filter(|_| next != PairNumber::NONE)?;
            let pair = self.pair_at(next);
            let [lower, higher] = pair.orders;
            let (place, other) = match own == lower {
                true => (Place::Lower, higher),
                false => (Place::Higher, lower),
            };
            next = pair.before[place as usize];
            Some(self.party(other).id)
        })
    }

    /// All pairs about which anything was signed, in the order of their ids.
    pub(super) fn pairs(&self) -> Vec<OrderPair> {
        let all = (0..).take(self.pairs.len());
        let mut pairs: Vec<OrderPair> = all.map(|number| self.pair(PairNumber(number))).collect();
        pairs.sort_unstable();
        pairs
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let found = self.number_of.memory_bytes() + self.pair_of.memory_bytes();
        found + self.parties.memory_bytes() + self.pairs.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{HybridTime, Lots, Ticks};

    fn order(number: u8) -> OrderId {
        // The numbers of orders run against their ids.
        OrderId([200 - number; 32])
    }

    fn half(number: u32) -> SignedHalf {
        SignedHalf {
            operation: OpIndex(number),
            time: HybridTime::default(),
            piece: number,
            quantity: Lots(u64::from(number)),
            price: Ticks(1),
        }
    }

    #[test]
    fn what_was_signed_is_found_from_both_sides_and_in_the_order_of_ids() {
        let mut ledger = Ledger::new(&[7; 32]);
        for (own, other) in [(1, 2), (3, 1), (2, 1), (1, 4)] {
            for number in 0..u32::from(own) {
                ledger.sign(&order(own), &order(other), half(number));
            }
        }
        ledger.refuse(&order(2), &order(1), OpIndex(7));
        ledger.release(&order(1), &order(2), OpIndex(8));
        let halves = |own, other| {
            let signed = ledger.get(&order(own), &order(other));
            signed.map(|signed| signed.halves.len())
        };
        assert_eq!((halves(1, 2), halves(2, 1)), (Some(1), Some(2)));
        assert_eq!((halves(3, 1), halves(1, 3)), (Some(3), Some(0)));
        assert_eq!((halves(2, 3), halves(9, 1)), (None, None));
        let both = ledger.both(&order(1), &order(2));
        assert_eq!(
            both.map(|both| both.map(|it| it.halves.len())),
            Some([1, 2])
        );
        let refusals = both.map(|both| both.map(|it| (it.refusals.len(), it.releases.len())));
        assert_eq!(refusals, Some([(1, 1), (1, 0)]));
        assert!(ledger.both(&order(2), &order(3)).is_none());
        assert_eq!(ledger.promised(&order(3)), 3);
        assert_eq!(ledger.promised(&order(4)), 0);
        let mut partners: Vec<OrderId> = ledger.partners(&order(1)).collect();
        partners.sort_unstable();
        assert_eq!(partners, [order(4), order(3), order(2)]);
        let pairs = [(1, 4), (1, 3), (1, 2)].map(|(a, b)| OrderPair::new(order(a), order(b)));
        assert_eq!(ledger.pairs(), pairs);
    }

    #[test]
    fn a_pair_with_a_half_of_each_owner_is_small() {
        assert_eq!((size_of::<Pair>(), size_of::<Party>()), (104, 48));
    }
}
