//! Where what was signed is kept: what the owner of one order has signed about another, in little
//! memory.
//!
//! Every pair of orders stands here twice, once from either side, so that all partners of an order
//! follow each other. Nearly always an owner signs one half about another order and nothing else;
//! the rest of what he signed about others is kept apart.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{OrderPair, SignedHalf};
use crate::dag::{Dag, OpIndex};
use crate::few::Few;
use crate::packed::Row;
use crate::packed_map::{Key, Keyed, PackedMap};
use crate::types::{Lots, OrderId, Ticks};

/// An order by the operation that makes it and the place of its action there: what depends on the
/// order of arrival, and takes a quarter of an id's memory or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderNumber(u64);

impl OrderNumber {
    /// The number of an order whose operation is there.
    fn find(order: &OrderId, dag: &Dag) -> Option<Self> {
        let operation = dag.find_order(order)?;
        Some(Self(u64::from(operation.0) << 8 | u64::from(order.index())))
    }

    fn known(order: &OrderId, dag: &Dag) -> Self {
        Self::find(order, dag).expect("what is signed about is an ancestor")
    }

    pub(super) fn id(self, dag: &Dag) -> OrderId {
        // They were of these widths.
        let (operation, index) = (OpIndex((self.0 >> 8) as u32), self.0 as u8);
        OrderId::new(&dag.id(operation), index)
    }
}

/// Two orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PairNumber(OrderNumber, OrderNumber);

impl PairNumber {
    /// Where a search begins.
    pub(super) const LEAST: Self = Self(OrderNumber(0), OrderNumber(0));

    fn of(own: OrderNumber, other: OrderNumber) -> Self {
        Self(own.min(other), own.max(other))
    }

    fn key(own: OrderNumber, other: OrderNumber) -> Key {
        [own.0, other.0]
    }

    /// The orders of the pair.
    pub(super) fn orders(self, dag: &Dag) -> OrderPair {
        OrderPair::new(self.0.id(dag), self.1.id(dag))
    }
}

/// What the owner of one order has signed about another order.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    pub(super) halves: Few<SignedHalf>,
    /// Refusals and releases.
    pub(super) refusals: Vec<OpIndex>,
    pub(super) releases: Vec<OpIndex>,
}

/// A half without what its operation tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HalfLine {
    operation: OpIndex,
    piece: u32,
    quantity: u64,
    price: u64,
}

impl HalfLine {
    /// None.
    const NONE: Self = Self {
        operation: OpIndex(0),
        piece: 0,
        quantity: 0,
        price: 0,
    };
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: only the owner of the other order has signed something.
    Nothing,
    /// All there is: one half.
    Half,
    /// That there is more, elsewhere.
    More,
}

impl Told {
    /// All of them, in order.
    const ALL: [Self; 3] = [Self::Nothing, Self::Half, Self::More];
}

/// What the owner of one order has signed about another order, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    own: OrderNumber,
    other: OrderNumber,
    told: Told,
    half: HalfLine,
}

impl Row for Line {
    type Columns = [u64; 7];

    fn columns(&self) -> Self::Columns {
        [
            self.own.0,
            self.other.0,
            self.told as u64,
            u64::from(self.half.operation.0),
            u64::from(self.half.piece),
            self.half.quantity,
            self.half.price,
        ]
    }

    fn of(columns: &Self::Columns) -> Self {
        let [own, other, told, operation, piece, quantity, price] = *columns;
        Self {
            own: OrderNumber(own),
            other: OrderNumber(other),
            told: Told::ALL[told as usize],
            // Both were of this width.
            half: HalfLine {
                operation: OpIndex(operation as u32),
                piece: piece as u32,
                quantity,
                price,
            },
        }
    }
}

impl Keyed for Line {
    fn key(&self) -> Key {
        PairNumber::key(self.own, self.other)
    }
}

/// All that was ever promised of an order, whatever was given back.
#[derive(Clone, Copy, Debug)]
struct Promised {
    order: OrderNumber,
    quantity: u64,
}

impl Row for Promised {
    type Columns = [u64; 3];

    fn columns(&self) -> Self::Columns {
        [self.order.0, 0, self.quantity]
    }

    fn of([order, _, quantity]: &Self::Columns) -> Self {
        Self {
            order: OrderNumber(*order),
            quantity: *quantity,
        }
    }
}

impl Keyed for Promised {
    fn key(&self) -> Key {
        [self.order.0, 0]
    }
}

/// What was signed.
pub(super) struct Ledger {
    lines: PackedMap<Line>,
    /// What is more than one half.
    more: BTreeMap<Key, Signed>,
    promised: PackedMap<Promised>,
}

impl Ledger {
    /// Nothing was signed.
    pub(super) fn new() -> Self {
        Self {
            lines: PackedMap::new(),
            more: BTreeMap::new(),
            promised: PackedMap::new(),
        }
    }

    /// What the owner of the first order has signed about the second, if anything was signed of
    /// the two.
    pub(super) fn get(&self, own: &OrderId, other: &OrderId, dag: &Dag) -> Option<Signed> {
        let own = OrderNumber::find(own, dag)?;
        let other = OrderNumber::find(other, dag)?;
        let line = self.lines.get(&PairNumber::key(own, other))?;
        Some(self.signed(&line, dag))
    }

    /// What the owner of each of two orders has signed about the other, if anything was signed.
    pub(super) fn both(&self, first: &OrderId, second: &OrderId, dag: &Dag) -> Option<[Signed; 2]> {
        let first = OrderNumber::find(first, dag)?;
        let second = OrderNumber::find(second, dag)?;
        let of_first = self.lines.get(&PairNumber::key(first, second))?;
        let of_second = self.lines.get(&PairNumber::key(second, first))?;
        Some([of_first, of_second].map(|line| self.signed(&line, dag)))
    }

    fn signed(&self, line: &Line, dag: &Dag) -> Signed {
        match line.told {
            Told::Nothing => Signed::default(),
            Told::Half => Signed {
                halves: Few::One(SignedHalf {
                    operation: line.half.operation,
                    time: dag.time(line.half.operation),
                    piece: line.half.piece,
                    quantity: Lots(line.half.quantity),
                    price: Ticks(line.half.price),
                }),
                ..Signed::default()
            },
            Told::More => self.more[&line.key()].clone(),
        }
    }

    /// The line of two orders; there is one of either from now on.
    fn line(&mut self, own: OrderNumber, other: OrderNumber) -> Line {
        let line = |own, other| Line {
            own,
            other,
            told: Told::Nothing,
            half: HalfLine::NONE,
        };
        if let Some(line) = self.lines.get(&PairNumber::key(own, other)) {
            return line;
        }
        self.lines.insert(line(own, other));
        self.lines.insert(line(other, own));
        line(own, other)
    }

    /// Notes a half, and that so much more is promised of the own order.
    pub(super) fn sign(
        &mut self,
        (own, other): (&OrderId, &OrderId),
        half: SignedHalf,
        dag: &Dag,
    ) -> PairNumber {
        let (own, other) = (OrderNumber::known(own, dag), OrderNumber::known(other, dag));
        let mut line = self.line(own, other);
        if line.told == Told::Nothing {
            line.told = Told::Half;
            line.half = HalfLine {
                operation: half.operation,
                piece: half.piece,
                quantity: half.quantity.0,
                price: half.price.0,
            };
            self.lines.insert(line);
        } else {
            self.more_of(line, dag).halves.push(half);
        }
        let promised = self.promised.get(&[own.0, 0]);
        let promised = promised.map_or(0, |promised| promised.quantity);
        self.promised.insert(Promised {
            order: own,
            quantity: promised.saturating_add(half.quantity.0),
        });
        PairNumber::of(own, other)
    }

    /// What is kept apart for a line, from now on if it was not.
    fn more_of(&mut self, line: Line, dag: &Dag) -> &mut Signed {
        let key = line.key();
        if line.told != Told::More {
            let signed = self.signed(&line, dag);
            self.more.insert(key, signed);
            self.lines.insert(Line {
                told: Told::More,
                ..line
            });
        }
        self.more.entry(key).or_default()
    }

    /// Notes a refusal.
    pub(super) fn refuse(
        &mut self,
        (own, other): (&OrderId, &OrderId),
        refusal: OpIndex,
        dag: &Dag,
    ) {
        let (own, other) = (OrderNumber::known(own, dag), OrderNumber::known(other, dag));
        let line = self.line(own, other);
        self.more_of(line, dag).refusals.push(refusal);
    }

    /// Notes a release, which is a refusal too.
    pub(super) fn release(
        &mut self,
        (own, other): (&OrderId, &OrderId),
        release: OpIndex,
        dag: &Dag,
    ) {
        self.refuse((own, other), release, dag);
        let (own, other) = (OrderNumber::known(own, dag), OrderNumber::known(other, dag));
        let line = self.line(own, other);
        self.more_of(line, dag).releases.push(release);
    }

    /// All that was ever promised of an order.
    pub(super) fn promised(&self, order: &OrderId, dag: &Dag) -> u64 {
        let number = OrderNumber::find(order, dag);
        let promised = number.and_then(|number| self.promised.get(&[number.0, 0]));
        promised.map_or(0, |promised| promised.quantity)
    }

    /// The orders about which anything was signed together with this one, in no order.
    pub(super) fn partners<'a>(
        &'a self,
        order: &OrderId,
        dag: &'a Dag,
    ) -> impl Iterator<Item = OrderId> + 'a {
        let own = OrderNumber::find(order, dag);
        let lines = own.map_or_else(Vec::new, |own| self.lines.of(own.0));
        lines.into_iter().map(|line| line.other.id(dag))
    }

    /// All pairs about which anything was signed, in the order of their ids.
    pub(super) fn pairs<'a>(&'a self, dag: &'a Dag) -> impl Iterator<Item = OrderPair> + 'a {
        // Only the orders are put in order at once: there are as many pairs as trades.
        let mut orders: Vec<OrderNumber> = self.lines.iter().map(|line| line.own).collect();
        orders.sort_unstable();
        orders.dedup();
        orders.sort_unstable_by_key(|order| order.id(dag));
        orders.into_iter().flat_map(move |own| {
            let low = own.id(dag);
            let others = self.lines.of(own.0).into_iter();
            let others = others.map(|line| line.other.id(dag));
            let mut higher: Vec<OrderId> = others
                .filter(|other| low.cmp(other) == Ordering::Less)
                .collect();
            higher.sort_unstable();
            let pair = move |high| OrderPair { low, high };
            higher.into_iter().map(pair)
        })
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let more = self.more.len() * size_of::<(Key, Signed)>() * 3 / 2;
        self.lines.memory_bytes() + self.promised.memory_bytes() + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::Arrival;
    use crate::genesis::tests::test_genesis;
    use crate::matching::{Pricing, SelfTrade, Slot, TimeInForce};
    use crate::op::tests::author;
    use crate::op::{Action, Body, OPERATION_VERSION, Place, Verified};
    use crate::types::{HybridTime, MarketIndex, Side};

    /// A set with an order by each of so many authors.
    fn orders(count: u8) -> (Dag, Vec<OrderId>) {
        let genesis = test_genesis();
        let mut dag = Dag::new(genesis.bucket_ms, &[1; 32]);
        let orders = (1..=count).map(|number| {
            let key = ed25519_zebra::SigningKey::from([number; 32]);
            let body = Body {
                version: OPERATION_VERSION,
                author: author(&key),
                seq: 0,
                prev: None,
                time: HybridTime::from_unix_ms(u64::from(number)),
                refs: Vec::new(),
                checkpoint: 0,
                actions: alloc::vec![Action::Place(Place {
                    market: MarketIndex(0),
                    side: Side::Sell,
                    pricing: Pricing::Limit(Ticks(3)),
                    quantity: Lots(9),
                    time_in_force: TimeInForce::GoodTillCancel,
                    self_trade: SelfTrade::CancelNewest,
                    expires_ms: None,
                })],
            };
            let signed = Verified::sign(body, &key, &genesis, &genesis.digest());
            let operation = signed.expect("it is valid");
            let arrival = Arrival {
                late_ms: 0,
                first_order: Slot(u32::from(number)),
            };
            dag.insert(&operation, arrival);
            OrderId::new(&operation.id(), 0)
        });
        let orders = orders.collect();
        (dag, orders)
    }

    fn half(number: u32) -> SignedHalf {
        SignedHalf {
            operation: OpIndex(number),
            time: HybridTime::from_unix_ms(u64::from(number) + 1),
            piece: number,
            quantity: Lots(u64::from(number)),
            price: Ticks(1),
        }
    }

    #[test]
    fn what_was_signed_is_found_from_both_sides_and_in_the_order_of_ids() {
        let (dag, orders) = orders(6);
        let order = |number: u32| &orders[number as usize];
        let mut ledger = Ledger::new();
        for (own, other) in [(1, 2), (3, 1), (2, 1), (1, 4)] {
            for number in 0..own {
                ledger.sign((order(own), order(other)), half(number), &dag);
            }
        }
        ledger.refuse((order(2), order(1)), OpIndex(4), &dag);
        ledger.release((order(1), order(2)), OpIndex(5), &dag);
        let halves = |own, other| {
            let signed = ledger.get(order(own), order(other), &dag);
            signed.map(|signed| signed.halves.to_vec())
        };
        assert_eq!(halves(1, 2), Some(alloc::vec![half(0)]));
        assert_eq!(halves(2, 1), Some((0..2).map(half).collect()));
        assert_eq!(halves(3, 1), Some((0..3).map(half).collect()));
        assert_eq!((halves(1, 3), halves(2, 3)), (Some(Vec::new()), None));
        let unknown = OrderId([7; 32]);
        assert!(ledger.get(&unknown, order(1), &dag).is_none());
        let both = ledger.both(order(1), order(2), &dag);
        let counts =
            both.map(|both| both.map(|it| (it.halves.len(), it.refusals.len(), it.releases.len())));
        assert_eq!(counts, Some([(1, 1, 1), (2, 1, 0)]));
        assert!(ledger.both(order(2), order(3), &dag).is_none());
        assert_eq!(ledger.promised(order(3), &dag), 3);
        assert_eq!(ledger.promised(order(4), &dag), 0);
        let mut partners: Vec<OrderId> = ledger.partners(order(1), &dag).collect();
        partners.sort_unstable();
        let mut expected = [2, 3, 4].map(|number| *order(number));
        expected.sort_unstable();
        assert_eq!(partners, expected);
        let mut pairs = [(1, 4), (1, 3), (1, 2)].map(|(a, b)| OrderPair::new(*order(a), *order(b)));
        pairs.sort_unstable();
        assert!(ledger.pairs(&dag).eq(pairs));
    }
}
