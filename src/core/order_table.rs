//! All orders that there have been, and which of them the present merge has touched.
//!
//! Rows stand in one long list and keep their place for ever. There are two ways to them: a hash
//! table from the order's id, for the effects of the engines, and a sorted map from operations to
//! the places of their orders, for whoever wants orders in the order of their ids. The map costs
//! one insertion for each *operation*, of which one may place many orders.
//!
//! A place is reserved when the operation is staged, long before the order enters its book; it is
//! empty until then, and again while the order's action is undone. An action whose order never
//! comes to be (a replace that only reduces) leaves its place empty, which costs 128 bytes of
//! memory, a fraction of what is kept of the action anyway.
//!
//! Between two calls of [`OrderTable::report`] the table keeps the rows as they were before, so
//! that what was undone and done again to the same end is no news.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;
use core::ops::Range;

use crate::market_log::make_room;
use crate::matching::{Effect, IdTable, Slot, Tag, TagKey};
use crate::op::ACTIONS_MAX;
use crate::types::{Lots, OpId, OrderId};
use crate::view::{Change, OrderRow};

/// The place of one order.
struct Seat {
    /// The order, while its action is done.
    row: Option<OrderRow>,
    /// The last merge that touched it.
    touched_in: u64,
}

impl Seat {
    const EMPTY: Self = Self {
        row: None,
        touched_in: 0,
    };
}

/// All orders.
pub(crate) struct OrderTable {
    key: TagKey,
    by_id: IdTable,
    /// The places of an operation's orders, by what would be the id of its first order.
    by_operation: BTreeMap<OrderId, Range<u32>>,
    seats: Vec<Seat>,
    /// How many seats are taken.
    len: usize,
    /// Number of the present merge, from 1.
    merge: u64,
    /// Seats that the present merge has touched, as they were before it.
    before: Vec<(Slot, Option<OrderRow>)>,
}

impl OrderTable {
    /// An empty table. The secret keeps peers from choosing ids that are slow to find; nothing
    /// that can be seen depends on it.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self {
            key: TagKey::new(secret),
            by_id: IdTable::new(),
            by_operation: BTreeMap::new(),
            // The first slot is nobody's.
            seats: vec![Seat::EMPTY],
            len: 0,
            merge: 1,
            before: Vec::new(),
        }
    }

    /// Reserves places for the orders that an operation may make: the actions with these indices,
    /// in ascending order. Returns the numbers of their slots.
    pub(crate) fn reserve(
        &mut self,
        operation: &OpId,
        indices: impl Iterator<Item = u8>,
    ) -> Range<u32> {
        let first = self.next_slot();
        let mut tags = [Tag::default(); ACTIONS_MAX];
        let (mut count, mut seen) = (0, 0);
        for (tag, index) in tags.iter_mut().zip(indices) {
            *tag = self.key.tag(&OrderId::new(operation, index));
            // Asks memory for all of them at once, see `prepare`.
            seen ^= self.by_id.touch(*tag);
            count += 1;
        }
        black_box(seen);
        make_room(&mut self.seats, count);
        for &tag in &tags[..count] {
            let slot = Slot(self.next_slot());
            self.by_id.insert(tag, slot);
            self.seats.push(Seat::EMPTY);
        }
        let places = first..self.next_slot();
        if !places.is_empty() {
            let operation = OrderId::new(operation, 0);
            self.by_operation.insert(operation, places.clone());
        }
        places
    }

    fn next_slot(&self) -> u32 {
        u32::try_from(self.seats.len()).expect("fewer orders than 2^32, which would be 512 GiB")
    }

    /// The order at a place.
    pub(crate) fn row(&self, slot: Slot) -> Option<&OrderRow> {
        self.seats[slot.0 as usize].row.as_ref()
    }

    /// The order with this id.
    pub(crate) fn get(&self, id: &OrderId) -> Option<&OrderRow> {
        self.row(self.find(id)?)
    }

    fn find(&self, id: &OrderId) -> Option<Slot> {
        let is_wanted = |slot| self.row(slot).is_some_and(|row| row.order == *id);
        self.by_id.find(self.key.tag(id), is_wanted)
    }

    /// All orders whose ids lie between these, both included, in the order of their ids.
    pub(crate) fn between(&self, low: OrderId, high: OrderId) -> impl Iterator<Item = &OrderRow> {
        let mut first_of_lowest = low;
        first_of_lowest.0[31] = 0;
        let places = if low <= high {
            Some(self.by_operation.range(first_of_lowest..=high))
        } else {
            None
        };
        places
            .into_iter()
            .flatten()
            .flat_map(|(_, places)| places.clone())
            .filter_map(|place| self.row(Slot(place)))
            .filter(move |row| (low..=high).contains(&row.order))
    }

    /// All orders in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &OrderRow> {
        self.between(OrderId([0; 32]), OrderId([0xff; 32]))
    }

    /// How many orders there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A hint that these orders will be looked up next. Fetches them from memory together, for the
    /// processor does not have to wait for one before it asks for the next.
    pub(crate) fn prepare<'a>(&self, ids: impl Iterator<Item = &'a OrderId> + Clone) {
        let mut seen = 0;
        for id in ids.clone() {
            seen ^= self.by_id.touch(self.key.tag(id));
        }
        for id in ids {
            let slot = self.by_id.find(self.key.tag(id), |_| true);
            let seat = &self.seats[slot.unwrap_or_default().0 as usize];
            seen ^= seat.touched_in as u32 ^ u32::from(seat.row.is_some());
        }
        black_box(seen);
    }

    /// Seats an order.
    pub(crate) fn put(&mut self, slot: Slot, row: OrderRow) {
        self.len += 1;
        let seat = self.touch(slot);
        debug_assert!(seat.is_none(), "an order is placed once");
        *seat = Some(row);
    }

    /// Unseats an order, if it is there.
    pub(crate) fn take(&mut self, slot: Slot) {
        if self.row(slot).is_some() {
            self.len -= 1;
            *self.touch(slot) = None;
        }
    }

    /// A seat, remembered as it was before the merge.
    fn touch(&mut self, slot: Slot) -> &mut Option<OrderRow> {
        let seat = &mut self.seats[slot.0 as usize];
        if seat.touched_in != self.merge {
            seat.touched_in = self.merge;
            self.before.push((slot, seat.row.clone()));
        }
        &mut seat.row
    }

    /// The order that an effect names, to be changed.
    fn named(&mut self, id: &OrderId) -> &mut OrderRow {
        let row = self.find(id).and_then(|slot| self.touch(slot).as_mut());
        row.expect("effects name orders that were placed")
    }

    /// Brings an effect into the rows. A reduction leaves the quantity before it in `reductions`.
    pub(crate) fn fold(&mut self, effect: &Effect, reductions: &mut Vec<Lots>) {
        match effect {
            Effect::Fill {
                maker,
                taker,
                quantity,
                ..
            } => {
                self.named(maker).filled.0 += quantity.0;
                self.named(taker).filled.0 += quantity.0;
            }
            Effect::Reduced { order, quantity } => {
                let row = self.named(order);
                reductions.push(core::mem::replace(&mut row.quantity, *quantity));
            }
            Effect::Ended { order, reason } => self.named(order).ended = Some(*reason),
            Effect::Rested { .. } | Effect::Ignored { .. } => {}
        }
    }

    /// Takes an effect out of the rows again.
    pub(crate) fn unfold(&mut self, effect: &Effect, reductions: &mut Vec<Lots>) {
        match effect {
            Effect::Fill {
                maker,
                taker,
                quantity,
                ..
            } => {
                self.named(maker).filled.0 -= quantity.0;
                self.named(taker).filled.0 -= quantity.0;
            }
            Effect::Reduced { order, .. } => {
                let before = reductions.pop();
                self.named(order).quantity =
                    before.expect("every reduction left its quantity before");
            }
            Effect::Ended { order, .. } => self.named(order).ended = None,
            Effect::Rested { .. } | Effect::Ignored { .. } => {}
        }
    }

    /// Ends the merge and reports the orders that are other than before it, by their ids.
    pub(crate) fn report(&mut self, changes: &mut Vec<Change>) {
        self.merge += 1;
        let seats = &self.seats;
        self.before.sort_by_cached_key(|(slot, before)| {
            let row = before.as_ref().or(seats[slot.0 as usize].row.as_ref());
            (row.map(|row| first_half(&row.order)), slot.0)
        });
        for (slot, before) in self.before.drain(..) {
            match (&self.seats[slot.0 as usize].row, before) {
                (Some(row), before) if before.as_ref() != Some(row) => {
                    changes.push(Change::Order(row.clone()));
                }
                (None, Some(before)) => changes.push(Change::OrderGone(before.order)),
                (Some(_) | None, _) => {}
            }
        }
    }
}

/// The first half of an id, by which rows are sorted: quicker than by the whole, and rows that have
/// it in common are of one operation and stand in the order of their ids anyway.
fn first_half(id: &OrderId) -> u128 {
    let (half, _) = id.0.split_first_chunk().expect("an id has 32 bytes");
    u128::from_be_bytes(*half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AuthorKey, HybridTime, MarketIndex, Side};

    fn row(order: OrderId) -> OrderRow {
        OrderRow {
            order,
            author: AuthorKey::default(),
            market: MarketIndex(0),
            side: Side::Buy,
            price: None,
            quantity: Lots(1),
            filled: Lots(0),
            ended: None,
            time: HybridTime(0),
            late_ms: 0,
        }
    }

    /// A table with the orders of two operations, the later ids first, and one seat left empty.
    fn filled() -> (OrderTable, Vec<OrderId>) {
        let mut table = OrderTable::new(&[1; 32]);
        let mut ids = Vec::new();
        for operation in [OpId([9; 32]), OpId([3; 32])] {
            let seats = table.reserve(&operation, [2, 5, 6].into_iter());
            for (slot, index) in seats.zip([2, 5]) {
                let id = OrderId::new(&operation, index);
                table.put(Slot(slot), row(id));
                ids.push(id);
            }
        }
        ids.sort();
        (table, ids)
    }

    #[test]
    fn orders_come_by_id_within_any_bounds() {
        let (table, ids) = filled();
        assert_eq!(table.len(), ids.len());
        for (low, first) in ids.iter().enumerate() {
            for (high, last) in ids.iter().enumerate().skip(low) {
                let found = table.between(*first, *last).map(|row| row.order);
                assert_eq!(found.collect::<Vec<_>>(), ids[low..=high]);
            }
        }
    }

    #[test]
    fn what_is_undone_and_done_again_is_no_news() {
        let (mut table, ids) = filled();
        let mut changes = Vec::new();
        table.report(&mut changes);
        let reported: Vec<Change> = ids.iter().map(|id| Change::Order(row(*id))).collect();
        assert_eq!(changes, reported);
        changes.clear();
        let [kept, gone] = [ids[0], ids[1]].map(|id| table.find(&id).expect("it is seated"));
        table.take(kept);
        table.take(gone);
        table.put(kept, row(ids[0]));
        table.report(&mut changes);
        assert_eq!(changes, [Change::OrderGone(ids[1])]);
        assert_eq!(table.get(&ids[1]), None);
    }
}
