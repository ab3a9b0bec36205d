//! Where what was signed is kept: by pairs of numbers, in little memory.
//!
//! The ids of two orders are 64 bytes, and every pair is looked up from both sides. So each order
//! of which anything was signed gets a number, and nearly every pair needs one half of each owner
//! and no list.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Deref;

use super::{OrderPair, SignedHalf};
use crate::chunks::Chunks;
use crate::dag::OpIndex;
use crate::few::Few;
use crate::matching::{IdTable, Slot, TagKey};
use crate::types::OrderId;

/// Operations, where mostly there are none.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "an empty vector is 24 bytes of every entry, an absent box 8"
)]
pub(super) struct Rare(Option<Box<Vec<OpIndex>>>);

impl Rare {
    pub(super) fn push(&mut self, operation: OpIndex) {
        self.0.get_or_insert_default().push(operation);
    }
}

impl Deref for Rare {
    type Target = [OpIndex];

    fn deref(&self) -> &[OpIndex] {
        self.0.as_ref().map_or(&[], |operations| operations)
    }
}

impl<'a> IntoIterator for &'a Rare {
    type Item = &'a OpIndex;
    type IntoIter = core::slice::Iter<'a, OpIndex>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What the owner of one order has signed about another order.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    pub(super) halves: Few<SignedHalf>,
    /// Refusals and releases.
    pub(super) refusals: Rare,
    pub(super) releases: Rare,
}

/// The number of an order. It depends on the order of arrival.
type Number = u32;

/// Two orders by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PairNumber(Number, Number);

impl PairNumber {
    /// Where a search begins.
    pub(super) const LEAST: Self = Self(0, 0);
}

/// An order of which anything was signed.
struct Party {
    id: OrderId,
    /// All that was ever promised of it, whatever was given back.
    promised: u64,
}

/// What was signed, by own order, then the other one.
pub(super) struct Ledger {
    key: TagKey,
    by_id: IdTable,
    parties: Chunks<Party>,
    /// Where one direction is, the other one is too.
    signed: BTreeMap<(Number, Number), Signed>,
}

impl Ledger {
    /// Nothing was signed. The secret keeps peers from choosing ids that are slow to find.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            key: TagKey::new(secret),
            by_id: IdTable::new(),
            parties: Chunks::new(),
            signed: BTreeMap::new(),
        }
    }

    fn number(&self, order: &OrderId) -> Option<Number> {
        let is_wanted = |slot: Slot| self.parties[slot.0 as usize].id == *order;
        let found = self.by_id.find(self.key.tag(order), is_wanted);
        found.map(|slot| slot.0)
    }

    fn number_or_new(&mut self, order: &OrderId) -> Number {
        if let Some(number) = self.number(order) {
            return number;
        }
        let number = u32::try_from(self.parties.len()).expect("fewer than 2^32 orders");
        self.by_id.insert(self.key.tag(order), Slot(number));
        self.parties.push(Party {
            id: *order,
            promised: 0,
        });
        number
    }

    /// What the owner of the first order has signed about the second, if anything was signed of
    /// the two.
    pub(super) fn get(&self, (own, other): &(OrderId, OrderId)) -> Option<&Signed> {
        let pair = (self.number(own)?, self.number(other)?);
        self.signed.get(&pair)
    }

    /// What the owner of each of two orders has signed about the other, if anything was signed.
    pub(super) fn both(&self, first: &OrderId, second: &OrderId) -> Option<[&Signed; 2]> {
        let (first, second) = (self.number(first)?, self.number(second)?);
        let of_first = self.signed.get(&(first, second))?;
        Some([of_first, self.signed.get(&(second, first))?])
    }

    /// What the owner of the first order has signed about the second, to be changed; it is there
    /// from now on, in both directions.
    pub(super) fn entry(&mut self, own: &OrderId, other: &OrderId) -> &mut Signed {
        let (own, other) = (self.number_or_new(own), self.number_or_new(other));
        self.entry_of(own, other)
    }

    fn entry_of(&mut self, own: Number, other: Number) -> &mut Signed {
        self.signed.entry((other, own)).or_default();
        self.signed.entry((own, other)).or_default()
    }

    /// Notes a half, and that so much more is promised of the own order. The numbers of the two
    /// orders do not depend on which of them is named first.
    pub(super) fn sign(&mut self, own: &OrderId, other: &OrderId, half: SignedHalf) -> PairNumber {
        let (own, other) = (self.number_or_new(own), self.number_or_new(other));
        self.entry_of(own, other).halves.push(half);
        let promised = &mut self.parties[own as usize].promised;
        *promised = promised.saturating_add(half.quantity.0);
        PairNumber(own.min(other), own.max(other))
    }

    /// The orders with these numbers.
    pub(super) fn pair(&self, PairNumber(first, second): PairNumber) -> OrderPair {
        let id = |number: Number| self.parties[number as usize].id;
        OrderPair::new(id(first), id(second))
    }

    /// All that was ever promised of an order.
    pub(super) fn promised(&self, order: &OrderId) -> u64 {
        let number = self.number(order);
        number.map_or(0, |number| self.parties[number as usize].promised)
    }

    /// The orders about which anything was signed together with this one, in no order.
    pub(super) fn partners(&self, order: &OrderId) -> impl Iterator<Item = OrderId> + '_ {
        let own = self.number(order);
        let of_own = own.map(|own| self.signed.range((own, 0)..=(own, Number::MAX)));
        let partners = of_own.into_iter().flatten();
        partners.map(|((_, other), _)| self.parties[*other as usize].id)
    }

    /// All pairs about which anything was signed, in the order of their ids.
    pub(super) fn pairs(&self) -> Vec<OrderPair> {
        let once = self.signed.keys().filter(|(own, other)| own < other);
        let pairs = once.map(|(own, other)| self.pair(PairNumber(*own, *other)));
        let mut pairs: Vec<OrderPair> = pairs.collect();
        pairs.sort_unstable();
        pairs
    }

    /// How many bytes of memory it takes, about: nodes of the tree are two thirds full.
    pub(super) fn memory_bytes(&self) -> usize {
        let entry = size_of::<((Number, Number), Signed)>();
        let found = self.by_id.memory_bytes() + self.parties.memory_bytes();
        found + self.signed.len() * entry * 3 / 2
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
            ledger.entry(&order(own), &order(other));
            for number in 0..u32::from(own) {
                ledger.sign(&order(own), &order(other), half(number));
            }
        }
        let halves = |own, other| {
            let signed = ledger.get(&(order(own), order(other)));
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
    fn a_pair_with_a_half_of_each_owner_is_two_small_entries() {
        assert_eq!(size_of::<Signed>(), 56);
    }
}
