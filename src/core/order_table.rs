//! All orders that there have been, and which of them the present merge has touched.
//!
//! Orders stand in one long list of *seats* and keep theirs for ever. An order's id is that of its
//! operation but for one byte, and the seats of an operation follow each other. So the ways to an
//! order lead over its operation: the hash table of [the set](crate::dag) for whoever has an id,
//! and the operations in the order of their ids for whoever wants orders in the order of theirs.
//!
//! A seat is reserved when the operation is staged, long before the order enters its book, and is
//! *taken* while the order's action is done. Of a new order it has the terms from the start, so
//! nothing else has to keep them. An action whose order never comes to be (a replace that only
//! reduces) leaves its seat reserved, which costs 40 bytes of memory while it is new and a few
//! later.
//!
//! Between two calls of [`OrderTable::report`] the table keeps the seats as they were before, so
//! that what was undone and done again to the same end is no news.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use crate::confirmation::{OrderPair, PairTerms};
use crate::dag::{Arrival, Dag, OpIndex};
use crate::effect_log::{Trace, TraceKind};
use crate::history::{History, Value};
use crate::matching::{NewOrder, Owner, Slot};
use crate::op::{ACTIONS_MAX, Action, Operation};
use crate::prefetch::prefetch;
use crate::tight;
use crate::types::{AuthorKey, Lots, MarketIndex, OrderId, Ticks};
use crate::view::{Change, OrderRow};

mod seat;

pub(crate) use self::seat::{Origin, Seat};

/// So many operations come into the tree of ids at a time: its upper nodes are fetched from memory
/// once for all of them.
const UNSORTED_MAX: usize = 64;

/// Seats of one author in one market that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    len: u16,
    market: MarketIndex,
}

/// All operations, and all their orders.
pub(crate) struct OrderTable {
    pub(crate) operations: Dag,
    /// Those that may have made orders, by the first bytes of their ids.
    by_id: BTreeSet<(u32, OpIndex)>,
    /// The latest of them, which come into the tree together: fewer than [`UNSORTED_MAX`].
    unsorted: Vec<(u32, OpIndex)>,
    seats: History<Seat>,
    /// Quantities before the first reduction of those orders that have ever been reduced.
    originals: BTreeMap<Slot, Lots>,
    /// The seats of each author, by his local number, in the order of arrival.
    runs_of: Vec<Vec<Run>>,
    /// How many open orders each author has, by his local number.
    open_of: Vec<u32>,
    /// How many there are in all.
    open: u64,
    /// How many seats are taken.
    len: usize,
    /// Seats that the present merge has touched, as they were before it.
    before: Vec<(Slot, Seat)>,
}

impl OrderTable {
    /// A table without orders, of a set without operations.
    pub(crate) fn new(operations: Dag) -> Self {
        debug_assert!(operations.is_empty(), "their orders would be missing");
        Self {
            operations,
            by_id: BTreeSet::new(),
            unsorted: Vec::new(),
            seats: History::new(),
            originals: BTreeMap::new(),
            runs_of: Vec::new(),
            open_of: Vec::new(),
            open: 0,
            len: 0,
            before: Vec::new(),
        }
    }

    /// Takes an operation in that came so late and reserves seats for the orders that it may make,
    /// in the order of its actions.
    pub(crate) fn add(&mut self, operation: &Operation, late_ms: u64) -> (OpIndex, Range<u32>) {
        if self.seats.len() == 0 {
            // The first slot is nobody's.
            let nobody = Seat::reserved(self.operations.next_index(), 0, MarketIndex(0));
            self.seats.push(nobody);
        }
        let first = self.next_slot();
        let arrival = Arrival {
            late_ms,
            first_order: first,
        };
        let place = self.operations.insert(operation, arrival);
        let owner = self.operations.author(place);
        for (index, action) in (0..).zip(&operation.body().actions) {
            let seat = match action {
                Action::Place(terms) => Seat::placed(place, index, terms),
                Action::Replace {
                    market,
                    side,
                    price: Some(price),
                    quantity,
                    ..
                } => Seat::replacing((place, index), (*market, *side), (*price, *quantity)),
                _ => continue,
            };
            self.note_seat(owner, seat.market, self.next_slot());
            self.seats.push(seat);
        }
        if first != self.next_slot() {
            self.unsorted.push((prefix(&operation.id().0), place));
            if self.unsorted.len() == UNSORTED_MAX {
                self.by_id.extend(self.unsorted.drain(..));
            }
        }
        (place, first.0..self.next_slot().0)
    }

    /// Notes a seat of an author: mostly it follows the one that he took last.
    fn note_seat(&mut self, owner: Owner, market: MarketIndex, Slot(number): Slot) {
        let at = owner.0 as usize;
        if self.runs_of.len() <= at {
            self.runs_of.resize_with(at + 1, Vec::new);
        }
        let runs = &mut self.runs_of[at];
        if let Some(last) = runs.last_mut()
            && last.market == market
            && last.first + u32::from(last.len) == number
            && let Some(longer) = last.len.checked_add(1)
        {
            last.len = longer;
            return;
        }
        let run = Run {
            first: number,
            len: 1,
            market,
        };
        tight::push(runs, run);
    }

    /// The seats of an author in a market, in the order of arrival.
    pub(crate) fn seats_of(
        &self,
        owner: Owner,
        market: MarketIndex,
    ) -> impl DoubleEndedIterator<Item = Range<u32>> {
        let runs = self.runs_of.get(owner.0 as usize);
        let runs = runs.map_or(&[][..], Vec::as_slice).iter();
        let in_market = runs.filter(move |run| run.market == market);
        in_market.map(|run| run.first..run.first + u32::from(run.len))
    }

    /// The markets of seats that follow each other, once for each change of market.
    pub(crate) fn markets(&self, seats: Range<u32>) -> impl Iterator<Item = MarketIndex> {
        let mut last = None;
        let markets = seats.map(|number| self.seat(Slot(number)).market);
        markets.filter(move |market| last.replace(*market) != Some(*market))
    }

    fn next_slot(&self) -> Slot {
        Slot(u32::try_from(self.seats.len()).expect("2^32 orders are 160 GiB"))
    }

    #[inline]
    fn seat(&self, slot: Slot) -> Value<'_, Seat> {
        self.seats.at(slot.0 as usize)
    }

    /// The order at a place, if it is there.
    pub(crate) fn order(&self, slot: Slot) -> Option<Value<'_, Seat>> {
        Some(self.seat(slot)).filter(|seat| seat.is_taken)
    }

    /// The terms of the order at a place, whether it is there or not.
    pub(crate) fn terms(&self, slot: Slot) -> Value<'_, Seat> {
        self.seat(slot)
    }

    /// The price of an order that rested.
    pub(crate) fn resting_price(&self, slot: Slot) -> Ticks {
        let price = self.seat(slot).price();
        price.expect("an order that rested has a price")
    }

    /// The quantity with which an order was placed.
    pub(crate) fn original_quantity(&self, slot: Slot) -> Lots {
        let original = self.originals.get(&slot);
        original.copied().unwrap_or(self.seat(slot).quantity)
    }

    /// The id that the order at a place has or would have.
    #[inline]
    pub(crate) fn id(&self, slot: Slot) -> OrderId {
        let seat = self.seat(slot);
        OrderId::new(&self.operations.entry(seat.operation).id, seat.index)
    }

    /// The id of the order at a place, and who wrote it.
    #[inline]
    pub(crate) fn id_and_author(&self, slot: Slot) -> (OrderId, AuthorKey) {
        let seat = self.seat(slot);
        let operation = self.operations.entry(seat.operation);
        let id = OrderId::new(&operation.id, seat.index);
        (id, self.operations.key(operation.author))
    }

    /// What an order's owner withholds for another order, for the piece that is not complete.
    /// Terms tell it by the ids of the orders, which mostly need not be looked up.
    pub(crate) fn half_of(&self, terms: &PairTerms, own: Slot, other: Slot) -> Lots {
        if terms.low_half == terms.high_half {
            return terms.low_half;
        }
        let id = self.id(own);
        terms.half_of(&OrderPair::new(id, self.id(other)), &id)
    }

    /// All that an order's owner withholds for another order.
    pub(crate) fn withheld_of(&self, terms: &PairTerms, own: Slot, other: Slot) -> u64 {
        let half = self.half_of(terms, own, other);
        terms.completed().saturating_add(half.0)
    }

    /// The order at a place, as it enters its book.
    pub(crate) fn new_order(&self, slot: Slot) -> NewOrder {
        let seat = self.seat(slot);
        NewOrder {
            id: self.id(slot),
            handle: slot.handle(),
            owner: self.operations.author(seat.operation),
            side: seat.side,
            pricing: seat.pricing(),
            quantity: seat.quantity,
            time_in_force: seat.time_in_force,
            self_trade: seat.self_trade,
        }
    }

    /// The order with this id, as users see it.
    pub(crate) fn get(&self, id: &OrderId) -> Option<OrderRow> {
        self.get_at(self.find(id)?)
    }

    /// The order at a place, as users see it, if it is there.
    pub(crate) fn get_at(&self, slot: Slot) -> Option<OrderRow> {
        self.order(slot).map(|seat| self.row(&seat))
    }

    fn row(&self, seat: &Seat) -> OrderRow {
        let operation = self.operations.entry(seat.operation);
        OrderRow {
            order: OrderId::new(&operation.id, seat.index),
            author: self.operations.key(operation.author),
            market: seat.market,
            side: seat.side,
            price: seat.price(),
            quantity: seat.quantity,
            filled: seat.filled,
            ended: seat.ended,
            time: operation.time,
            late_ms: u64::from(operation.late_ms),
        }
    }

    /// The place of the order with this id, whether it is there or not.
    pub(crate) fn find(&self, id: &OrderId) -> Option<Slot> {
        let operation = self.operations.find_order(id)?;
        let mut slot = self.latest_seat(operation, id);
        // Not every action of an operation has a seat.
        loop {
            let seat = self.seats.get(slot.0 as usize);
            match seat.filter(|seat| seat.operation == operation) {
                Some(seat) if seat.index == id.index() => return Some(slot),
                Some(seat) if seat.index < id.index() => return None,
                _ if slot == self.operations.entry(operation).first_order => return None,
                _ => slot = Slot(slot.0 - 1),
            }
        }
    }

    /// Where an order of an operation would be if all actions before it had seats: it is there or
    /// before.
    fn latest_seat(&self, operation: OpIndex, id: &OrderId) -> Slot {
        let Slot(first) = self.operations.entry(operation).first_order;
        Slot(first.saturating_add(u32::from(id.index())))
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub(crate) fn between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = OrderRow> {
        let seats_of = |place: OpIndex| {
            let first = self.operations.entry(place).first_order.0 as usize;
            let seats = (first..).map_while(|number| self.seats.get(number));
            seats.take_while(move |seat| seat.operation == place)
        };
        self.operations_between(&low, &high)
            .into_iter()
            .flat_map(seats_of)
            .filter(|seat| seat.is_taken)
            .map(|seat| self.row(&seat))
            .filter(move |row| (low..=high).contains(&row.order))
    }

    /// The operations whose orders may have ids between these, in the order of their ids.
    fn operations_between(&self, low: &OrderId, high: &OrderId) -> Vec<OpIndex> {
        let (low, high) = (prefix(&low.0), prefix(&high.0));
        if low > high {
            return Vec::new();
        }
        let found = self
            .by_id
            .range((low, OpIndex(0))..=(high, OpIndex(u32::MAX)));
        let latest = self.unsorted.iter();
        let latest = latest.filter(|(prefix, _)| (low..=high).contains(prefix));
        let mut places: Vec<OpIndex> = found.chain(latest).map(|(_, place)| *place).collect();
        // Sorted but for those that have their first bytes in common.
        places.sort_by_key(|place| self.operations.id(*place));
        places
    }

    /// Those of these seats whose orders are there and not over.
    pub(crate) fn open_among(&self, seats: Range<u32>) -> impl Iterator<Item = Slot> + '_ {
        // Nothing that is open is settled.
        let maybe = self
            .seats
            .unsettled(seats.start as usize..seats.end as usize);
        let is_open = |slot: &Slot| self.order(*slot).is_some_and(|seat| seat.ended.is_none());
        // They are within the range.
        maybe.map(|number| Slot(number as u32)).filter(is_open)
    }

    /// All orders as their operations came.
    pub(crate) fn as_they_came(&self) -> impl DoubleEndedIterator<Item = OrderRow> {
        let seats = (0..self.seats.len()).map(|number| self.seats.at(number));
        let orders = seats.filter(|seat| seat.is_taken);
        orders.map(|seat| self.row(&seat))
    }

    /// How many open orders an author has, as last reported.
    pub(crate) fn open_of(&self, owner: Owner) -> u32 {
        self.open_of.get(owner.0 as usize).copied().unwrap_or(0)
    }

    /// Whether any author has open orders, as last reported.
    pub(crate) fn has_open(&self) -> bool {
        self.open > 0
    }

    /// How many orders there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A hint that these orders will be looked up next, once there is an operation. Fetches them
    /// from memory together.
    pub(crate) fn prepare<'a>(&self, ids: impl Iterator<Item = &'a OrderId> + Clone) {
        let stems = ids.clone().map(OrderId::stem);
        let operations: [_; ACTIONS_MAX] = self.operations.fetch(stems);
        for (operation, id) in operations.into_iter().zip(ids) {
            let seat = operation.map(|operation| self.latest_seat(operation, id));
            if let Some(Slot(number)) = seat {
                self.seats.prefetch(number as usize);
            }
        }
    }

    /// A hint that a seat, and later the row of it, will be needed.
    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        self.seats.prefetch(slot.0 as usize);
    }

    /// The order of a seat with terms is there from now on.
    pub(crate) fn enter(&mut self, slot: Slot) {
        self.len += 1;
        let seat = self.touch(slot);
        debug_assert!(!seat.is_taken, "an order is placed once");
        seat.is_taken = true;
    }

    /// An order that replaces another is there from now on, with what is left for it.
    pub(crate) fn enter_replacing(&mut self, slot: Slot, old: Slot, quantity: Lots) {
        let old = *self.seat(old);
        self.enter(slot);
        let seat = self.touch(slot);
        seat.quantity = quantity;
        seat.time_in_force = old.time_in_force;
        seat.self_trade = old.self_trade;
    }

    /// An order that never came to be is shown, for it has final trades of this quantity.
    pub(crate) fn enter_for_trades(&mut self, slot: Slot, quantity: Lots) {
        self.enter(slot);
        self.touch(slot).quantity = quantity;
    }

    /// An order is no longer there, if it was.
    pub(crate) fn leave(&mut self, slot: Slot) {
        if self.seat(slot).is_taken {
            self.len -= 1;
            self.touch(slot).is_taken = false;
        }
    }

    /// A seat, remembered as it was before the merge.
    #[inline]
    fn touch(&mut self, slot: Slot) -> &mut Seat {
        let seat = self.seats.at_mut(slot.0 as usize);
        if !seat.is_touched {
            self.before.push((slot, *seat));
            seat.is_touched = true;
            // Reports say what is known by it.
            prefetch(&self.operations.entry(seat.operation).author);
        }
        seat
    }

    /// Brings what happened into the seats. `own` is the order of the action by which it happened.
    pub(crate) fn fold(&mut self, trace: &Trace, own: Slot) {
        let seat = self.touch(trace.order);
        match trace.kind {
            TraceKind::Fill => {
                seat.filled.0 += trace.value();
                self.touch(own).filled.0 += trace.value();
            }
            TraceKind::Reduced => {
                let original = seat.quantity;
                seat.quantity.0 -= trace.value();
                self.originals.entry(trace.order).or_insert(original);
            }
            TraceKind::Ended(reason) => seat.ended = Some(reason),
        }
    }

    /// Takes it out of the seats again.
    pub(crate) fn unfold(&mut self, trace: &Trace, own: Slot) {
        let seat = self.touch(trace.order);
        match trace.kind {
            TraceKind::Fill => {
                seat.filled.0 -= trace.value();
                self.touch(own).filled.0 -= trace.value();
            }
            TraceKind::Reduced => {
                seat.quantity.0 += trace.value();
                let before = seat.quantity;
                if self.originals.get(&trace.order) == Some(&before) {
                    self.originals.remove(&trace.order);
                }
            }
            TraceKind::Ended(_) => seat.ended = None,
        }
    }

    /// Ends the merge and reports the orders that are other than before it, in the order in which
    /// it came to them.
    pub(crate) fn report(&mut self, changes: &mut Vec<Change>) {
        let mut touched = core::mem::take(&mut self.before);
        for (slot, before) in touched.drain(..) {
            let seat = self.seats.at_mut(slot.0 as usize);
            seat.is_touched = false;
            let after = *seat;
            if after == before {
                continue;
            }
            let is_open = |seat: &Seat| u32::from(seat.is_taken && seat.ended.is_none());
            let owner = self.operations.author(after.operation).0 as usize;
            if self.open_of.len() <= owner {
                self.open_of.resize(owner + 1, 0);
            }
            self.open_of[owner] += is_open(&after);
            self.open_of[owner] -= is_open(&before);
            self.open += u64::from(is_open(&after));
            self.open -= u64::from(is_open(&before));
            if after.is_taken {
                let was_open = is_open(&before) == 1;
                changes.push(Change::Order {
                    row: self.row(&after),
                    open_before: was_open.then(|| self.row(&before).remaining()),
                });
            } else if before.is_taken {
                changes.push(Change::OrderGone(self.row(&before)));
            }
        }
        self.before = touched;
        self.before.shrink_to(BEFORE_KEPT);
    }

    /// How many bytes of memory the orders take, about; nodes of the tree are two thirds full.
    pub(crate) fn memory_bytes(&self) -> usize {
        let before = self.before.capacity() * size_of::<(Slot, Seat)>();
        let by_id = self.by_id.len() * size_of::<(u32, OpIndex)>() * 3 / 2;
        self.seats.memory_bytes() + by_id + before
    }
}

/// The first bytes of an id, as a number with the same order.
fn prefix(id: &[u8; 32]) -> u32 {
    u32::from_be_bytes([id[0], id[1], id[2], id[3]])
}

/// For so many touched seats there is always room: twice as many as a full operation has actions.
const BEFORE_KEPT: usize = 2 * ACTIONS_MAX;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::genesis::tests::test_genesis;
    use crate::matching::{EndReason, Pricing, SelfTrade, TimeInForce};
    use crate::op::tests::author;
    use crate::op::{Body, OPERATION_VERSION, Place, Verified};
    use crate::types::{HybridTime, Side};

    fn place(quantity: u64) -> Action {
        Action::Place(Place {
            market: MarketIndex(0),
            side: Side::Sell,
            pricing: Pricing::Limit(Ticks(3)),
            quantity: Lots(quantity),
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::CancelNewest,
            expires_ms: None,
        })
    }

    /// An operation that may make four orders, with a cancel in between.
    fn operation(author_seed: u8) -> Verified {
        let key = ed25519_zebra::SigningKey::from([author_seed; 32]);
        let genesis = test_genesis();
        let market = MarketIndex(0);
        let order = OrderId::default();
        let replace = Action::Replace {
            market,
            order,
            side: Side::Sell,
            price: Some(Ticks(1)),
            quantity: Lots(9),
        };
        let cancel = Action::Cancel { market, order };
        let body = Body {
            version: OPERATION_VERSION,
            author: author(&key),
            seq: 0,
            prev: None,
            time: HybridTime::from_unix_ms(1),
            refs: Vec::new(),
            checkpoint: 0,
            actions: vec![place(1), cancel, place(2), place(3), replace],
        };
        Verified::sign(body, &key, &genesis, &genesis.digest()).expect("it is valid")
    }

    /// A table with orders of some operations; each leaves one seat empty.
    fn filled(operations: u8) -> (OrderTable, Vec<OrderId>) {
        let mut table = OrderTable::new(Dag::new(50, &[1; 32]));
        let mut ids = Vec::new();
        for author in 1..=operations {
            let operation = operation(author);
            let (_, seats) = table.add(&operation, 0);
            assert_eq!(seats.len(), 4);
            for (slot, index) in seats.map(Slot).zip([0, 2, 3]) {
                let id = OrderId::new(&operation.id(), index);
                assert_eq!(table.find(&id), Some(slot));
                assert_eq!(table.get(&id), None, "a seat is no order");
                table.enter(slot);
                ids.push(id);
            }
        }
        ids.sort();
        (table, ids)
    }

    #[test]
    fn orders_come_by_id_within_any_bounds() {
        // Most of them are in the tree, the latest are not yet.
        let (table, ids) = filled(UNSORTED_MAX as u8 + 5);
        assert_eq!(table.len(), ids.len());
        for (low, first) in ids.iter().enumerate() {
            for (high, last) in ids.iter().enumerate().skip(low) {
                let found = table.between(*first, *last).map(|row| row.order);
                assert_eq!(found.collect::<Vec<_>>(), ids[low..=high]);
            }
            assert_eq!(table.between(ids[low], OrderId::default()).count(), 0);
        }
    }

    #[test]
    fn what_is_undone_and_done_again_is_no_news() {
        let (mut table, ids) = filled(5);
        let mut changes = Vec::new();
        table.report(&mut changes);
        let mut reported: Vec<OrderId> = changes
            .drain(..)
            .map(|change| match change {
                Change::Order { row, .. } => row.order,
                other => panic!("{other:?}"),
            })
            .collect();
        reported.sort();
        assert_eq!(reported, ids);
        let [kept, gone] = [ids[0], ids[1]].map(|id| table.find(&id).expect("it is seated"));
        table.leave(kept);
        table.leave(gone);
        table.leave(gone);
        table.enter(kept);
        table.report(&mut changes);
        assert!(matches!(&changes[..], [Change::OrderGone(row)] if row.order == ids[1]));
        assert_eq!(table.get(&ids[1]), None);
        assert_eq!(table.len(), ids.len() - 1);
    }

    #[test]
    fn what_is_folded_can_be_unfolded() {
        let (mut table, ids) = filled(5);
        let [order, own] = [ids[0], ids[1]].map(|id| table.find(&id).expect("it is seated"));
        let traces = [
            Trace::new(TraceKind::Fill, order, 1),
            Trace::new(TraceKind::Reduced, own, 1),
            Trace::new(TraceKind::Ended(EndReason::Filled), order, 0),
        ];
        table.report(&mut Vec::new());
        let before = [*table.terms(order), *table.terms(own)];
        traces.iter().for_each(|trace| table.fold(trace, own));
        let row = table.get(&ids[0]).expect("it is there");
        assert_eq!((row.filled, row.ended), (Lots(1), Some(EndReason::Filled)));
        assert_eq!(table.get(&ids[1]).map(|row| row.filled), Some(Lots(1)));
        traces
            .iter()
            .rev()
            .for_each(|trace| table.unfold(trace, own));
        let mut changes = Vec::new();
        table.report(&mut changes);
        assert_eq!(changes, [], "it is as if nothing had happened");
        assert_eq!([*table.terms(order), *table.terms(own)], before);
    }
}
