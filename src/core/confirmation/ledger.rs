//! Where what was signed is kept: what the owner of one order has signed about another, in little
//! memory.
//!
//! Every pair of orders stands here twice, once from either side, so that all partners of an order
//! follow each other. Nearly always an owner signs one half about another order, or one refusal,
//! and nothing else; the rest of what he signed about others is kept apart.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{OrderPair, SignedHalf};
use crate::dag::{Dag, OpIndex};
use crate::few::Few;
use crate::matching::Owner;
use crate::order_number::OrderNumber;
use crate::packed::Row;
use crate::packed_map::PackedMap;
use crate::types::{Lots, OrderId, Ticks};

/// Two orders: one and another that its owner may have signed about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PairNumber {
    pub(super) own: OrderNumber,
    pub(super) other: OrderNumber,
}

impl PairNumber {
    /// An order and another, if both are known.
    pub(super) fn find(own: &OrderId, other: &OrderId, dag: &Dag) -> Option<Self> {
        Some(Self {
            own: OrderNumber::find(own, dag)?,
            other: OrderNumber::find(other, dag)?,
        })
    }

    /// An order with itself.
    pub(super) fn alone(order: OrderNumber) -> Self {
        Self {
            own: order,
            other: order,
        }
    }

    /// Whether it is an order with itself.
    pub(super) fn is_alone(self) -> bool {
        self.own == self.other
    }

    /// The same from the other side.
    pub(super) fn turned(self) -> Self {
        Self {
            own: self.other,
            other: self.own,
        }
    }

    /// The same, from whichever side it was.
    pub(super) fn sorted(self) -> Self {
        self.min(self.turned())
    }

    /// The same from the side of the order with the smaller id.
    pub(super) fn low_first(self, dag: &Dag) -> Self {
        if self.own.id(dag) < self.other.id(dag) {
            self
        } else {
            self.turned()
        }
    }

    /// The orders of the pair.
    pub(super) fn orders(self, dag: &Dag) -> OrderPair {
        OrderPair::new(self.own.id(dag), self.other.id(dag))
    }

    /// Whose each of the two is.
    pub(super) fn owners(self, dag: &Dag) -> [Owner; 2] {
        [self.own, self.other].map(|order| dag.author(order.operation()))
    }
}

impl Row for PairNumber {
    type Columns = [u64; 2];

    fn columns(&self) -> Self::Columns {
        let ([own], [other]) = (self.own.columns(), self.other.columns());
        [own, other]
    }

    fn of([own, other]: &Self::Columns) -> Self {
        Self {
            own: OrderNumber::of(&[*own]),
            other: OrderNumber::of(&[*other]),
        }
    }
}

/// What the owner of one order has signed about another order.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    pub(super) halves: Few<SignedHalf>,
    /// Refusals and releases.
    pub(super) refusals: Few<OpIndex>,
    pub(super) releases: Few<OpIndex>,
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: only the owner of the other order has signed something.
    Nothing,
    /// All there is: one half.
    Half,
    /// All there is: one refusal, which is no release.
    Refusal,
    /// That there is more, elsewhere.
    More,
}

impl Told {
    /// All of them, in order.
    const ALL: [Self; 4] = [Self::Nothing, Self::Half, Self::Refusal, Self::More];
}

/// What the owner of one order has signed about another order, in short: a half without what its
/// operation tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    told: Told,
    operation: OpIndex,
    piece: u32,
    quantity: Lots,
    price: Ticks,
}

impl Line {
    /// A line of a pair of which the owner of this side has signed nothing.
    const NOTHING: Self = Self {
        told: Told::Nothing,
        operation: OpIndex(0),
        piece: 0,
        quantity: Lots(0),
        price: Ticks(0),
    };

    fn of_half(half: &SignedHalf) -> Self {
        Self {
            told: Told::Half,
            operation: half.operation,
            piece: half.piece,
            quantity: half.quantity,
            price: half.price,
        }
    }

    fn of_refusal(operation: OpIndex) -> Self {
        Self {
            told: Told::Refusal,
            operation,
            ..Self::NOTHING
        }
    }

    fn half(&self, dag: &Dag) -> SignedHalf {
        SignedHalf {
            operation: self.operation,
            time: dag.time(self.operation),
            piece: self.piece,
            quantity: self.quantity,
            price: self.price,
        }
    }
}

impl Row for Line {
    type Columns = [u64; 5];

    fn columns(&self) -> Self::Columns {
        [
            self.told as u64,
            u64::from(self.operation.0),
            u64::from(self.piece),
            self.quantity.0,
            self.price.0,
        ]
    }

    fn of([told, operation, piece, quantity, price]: &Self::Columns) -> Self {
        // Both were of this width.
        let (operation, piece) = (*operation as u32, *piece as u32);
        Self {
            told: Told::ALL[*told as usize],
            operation: OpIndex(operation),
            piece,
            quantity: Lots(*quantity),
            price: Ticks(*price),
        }
    }
}

/// What was signed.
pub(super) struct Ledger {
    lines: PackedMap<PairNumber, Line>,
    /// What is more than one half or one refusal.
    more: BTreeMap<PairNumber, Signed>,
    /// All that was ever promised of an order, whatever was given back.
    promised: PackedMap<OrderNumber, Lots>,
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

    /// What the owner of each of two orders has signed about the other, if anything was signed.
    pub(super) fn both(&self, pair: PairNumber, dag: &Dag) -> Option<[Signed; 2]> {
        Some([self.get(pair, dag)?, self.get(pair.turned(), dag)?])
    }

    /// What the owner of the first order has signed about the second, if anything was signed of
    /// the two.
    pub(super) fn get(&self, pair: PairNumber, dag: &Dag) -> Option<Signed> {
        let line = self.lines.get(&pair)?;
        Some(match line.told {
            Told::Nothing => Signed::default(),
            Told::Half => Signed {
                halves: Few::One(line.half(dag)),
                ..Signed::default()
            },
            Told::Refusal => Signed {
                refusals: Few::One(line.operation),
                ..Signed::default()
            },
            Told::More => self.more[&pair].clone(),
        })
    }

    /// The line of a pair; there is one from either side from now on.
    fn line(&mut self, pair: PairNumber) -> Line {
        self.lines.get(&pair).unwrap_or_else(|| {
            self.lines.insert(pair, Line::NOTHING);
            self.lines.insert(pair.turned(), Line::NOTHING);
            Line::NOTHING
        })
    }

    /// Notes a half, and that so much more is promised of the own order.
    pub(super) fn sign(&mut self, pair: PairNumber, half: SignedHalf, dag: &Dag) {
        if self.line(pair).told == Told::Nothing {
            self.lines.insert(pair, Line::of_half(&half));
        } else {
            self.more_of(pair, dag).halves.push(half);
        }
        let Lots(promised) = self.promised.get(&pair.own).unwrap_or_default();
        let promised = promised.saturating_add(half.quantity.0);
        self.promised.insert(pair.own, Lots(promised));
    }

    /// What is kept apart for a pair, from now on if it was not.
    fn more_of(&mut self, pair: PairNumber, dag: &Dag) -> &mut Signed {
        let line = self.line(pair);
        if line.told != Told::More {
            let signed = self.get(pair, dag).unwrap_or_default();
            self.more.insert(pair, signed);
            let told = Told::More;
            self.lines.insert(pair, Line { told, ..line });
        }
        self.more.entry(pair).or_default()
    }

    /// Notes a refusal.
    pub(super) fn refuse(&mut self, pair: PairNumber, refusal: OpIndex, dag: &Dag) {
        if self.line(pair).told == Told::Nothing {
            self.lines.insert(pair, Line::of_refusal(refusal));
        } else {
            self.more_of(pair, dag).refusals.push(refusal);
        }
    }

    /// Notes a release, which is a refusal too.
    pub(super) fn release(&mut self, pair: PairNumber, release: OpIndex, dag: &Dag) {
        let signed = self.more_of(pair, dag);
        signed.refusals.push(release);
        signed.releases.push(release);
    }

    /// All that was ever promised of an order.
    pub(super) fn promised(&self, order: OrderNumber) -> u64 {
        self.promised.get(&order).unwrap_or_default().0
    }

    /// The orders about which anything was signed together with this one, in no order.
    pub(super) fn partners<'a>(
        &'a self,
        order: &OrderId,
        dag: &'a Dag,
    ) -> impl Iterator<Item = OrderId> + 'a {
        let own = OrderNumber::find(order, dag);
        let pairs = own.map_or_else(Vec::new, |own| self.pairs_between(own, own));
        pairs.into_iter().map(|pair| pair.other.id(dag))
    }

    /// All pairs about which anything was signed, in no order.
    pub(super) fn pairs<'a>(&'a self, dag: &'a Dag) -> impl Iterator<Item = OrderPair> + 'a {
        let once = self.lines.keys().filter(|pair| *pair == pair.sorted());
        once.map(|pair| pair.orders(dag))
    }

    /// The pairs of orders whose numbers lie between these, seen from these.
    fn pairs_between(&self, first: OrderNumber, last: OrderNumber) -> Vec<PairNumber> {
        let pair = |own, other| PairNumber { own, other };
        let (low, high) = (
            pair(first, OrderNumber::LEAST),
            pair(last, OrderNumber::MOST),
        );
        let lines = self.lines.between(low, high).into_iter();
        lines.map(|(pair, _)| pair).collect()
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let more = self.more.len() * size_of::<(PairNumber, Signed)>() * 3 / 2;
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
    fn what_was_signed_is_found_from_both_sides() {
        let (dag, orders) = orders(6);
        let order = |number: u32| &orders[number as usize];
        let number = |order| OrderNumber::find(order, &dag).expect("it is there");
        let pair = |own, other| PairNumber {
            own: number(order(own)),
            other: number(order(other)),
        };
        let mut ledger = Ledger::new();
        for (own, other) in [(1, 2), (3, 1), (2, 1), (1, 4)] {
            for number in 0..own {
                ledger.sign(pair(own, other), half(number), &dag);
            }
        }
        ledger.refuse(pair(2, 1), OpIndex(4), &dag);
        ledger.release(pair(1, 2), OpIndex(5), &dag);
        ledger.refuse(pair(4, 1), OpIndex(6), &dag);
        ledger.refuse(pair(1, 3), OpIndex(7), &dag);
        ledger.refuse(pair(1, 3), OpIndex(8), &dag);
        let halves = |own, other| {
            let signed = ledger.get(pair(own, other), &dag);
            signed.map(|signed| signed.halves.to_vec())
        };
        assert_eq!(halves(1, 2), Some(alloc::vec![half(0)]));
        assert_eq!(halves(2, 1), Some((0..2).map(half).collect()));
        assert_eq!(halves(3, 1), Some((0..3).map(half).collect()));
        assert_eq!((halves(1, 3), halves(2, 3)), (Some(Vec::new()), None));
        let unknown = OrderId([7; 32]);
        assert_eq!(PairNumber::find(&unknown, order(1), &dag), None);
        let both = ledger.both(pair(1, 2), &dag);
        let counts =
            both.map(|both| both.map(|it| (it.halves.len(), it.refusals.len(), it.releases.len())));
        assert_eq!(counts, Some([(1, 1, 1), (2, 1, 0)]));
        let refusals = |own, other| ledger.get(pair(own, other), &dag).map(|it| it.refusals);
        assert_eq!(refusals(4, 1), Some(Few::One(OpIndex(6))));
        assert_eq!(
            refusals(1, 3),
            Some([7, 8].map(OpIndex).into_iter().collect())
        );
        assert_eq!(refusals(3, 1), Some(Few::None));
        assert_eq!(ledger.more.len(), 4, "one refusal is told by the line");
        assert!(ledger.both(pair(2, 3), &dag).is_none());
        assert_eq!(ledger.promised(number(order(3))), 3);
        assert_eq!(ledger.promised(number(order(4))), 0);
        let mut partners: Vec<OrderId> = ledger.partners(order(1), &dag).collect();
        partners.sort_unstable();
        let mut expected = [2, 3, 4].map(|number| *order(number));
        expected.sort_unstable();
        assert_eq!(partners, expected);
        let mut pairs = [(1, 4), (1, 3), (1, 2)].map(|(a, b)| OrderPair::new(*order(a), *order(b)));
        pairs.sort_unstable();
        let mut found: Vec<OrderPair> = ledger.pairs(&dag).collect();
        found.sort_unstable();
        assert_eq!(found, pairs);
    }
}
