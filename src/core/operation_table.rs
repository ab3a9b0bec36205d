//! What the replica keeps of each operation that it was given, once for all of its actions.
//!
//! Everything else names an operation by its *place* in this table, with four bytes instead of the
//! 32 of its id, and gets from there what users see of its orders and trades: ids, author, time.
//! A row is one cache line.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::chunks::Chunks;
use crate::matching::{Owner, Slot};
use crate::op::Operation;
use crate::types::{AuthorKey, HybridTime, OpId, OrderId};

/// The number of an operation in the table. It depends on the order of arrival, so it must not be
/// seen in any result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationPlace(u32);

impl OperationPlace {
    /// Some place.
    #[cfg(test)]
    pub(crate) const FIRST: Self = Self(0);

    /// The place as an entry of a table by ids.
    pub(crate) fn slot(self) -> Slot {
        Slot(self.0)
    }

    /// The place of such an entry.
    pub(crate) fn of_slot(slot: Slot) -> Self {
        Self(slot.0)
    }
}

/// An operation.
pub(crate) struct OperationRow {
    pub(crate) id: OpId,
    pub(crate) time: HybridTime,
    pub(crate) late_ms: u64,
    pub(crate) seq: u32,
    /// See [`Position`](crate::order_log::Position); the bucket follows from the time.
    pub(crate) depth: u32,
    pub(crate) owner: Owner,
    /// The place of its first order. Those of its other orders follow.
    pub(crate) first_order: Slot,
}

/// All operations.
pub(crate) struct OperationTable {
    rows: Chunks<OperationRow>,
    /// Those that may have made orders, by the first bytes of their ids.
    by_id: BTreeSet<(u64, OperationPlace)>,
    /// Keys of the authors by their local number.
    authors: Vec<AuthorKey>,
}

impl OperationTable {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self {
            rows: Chunks::new(),
            by_id: BTreeSet::new(),
            authors: Vec::new(),
        }
    }

    /// Takes an operation in.
    pub(crate) fn add(
        &mut self,
        operation: &Operation,
        (owner, depth): (Owner, u32),
        late_ms: u64,
        first_order: Slot,
    ) -> OperationPlace {
        let body = operation.body();
        if self.authors.len() == owner.0 as usize {
            self.authors.push(body.author);
        }
        debug_assert_eq!(self.authors.get(owner.0 as usize), Some(&body.author));
        let place = self.next_place();
        self.rows.push(OperationRow {
            id: operation.id(),
            time: body.time,
            late_ms,
            seq: u32::try_from(body.seq).expect("a chain is no longer than the set"),
            depth,
            owner,
            first_order,
        });
        place
    }

    /// The place of the operation that is added next.
    pub(crate) fn next_place(&self) -> OperationPlace {
        OperationPlace(u32::try_from(self.rows.len()).expect("2^32 operations are 256 GiB"))
    }

    /// Makes an operation one that is found by its id.
    pub(crate) fn index(&mut self, place: OperationPlace) {
        self.by_id.insert((prefix(&self.row(place).id.0), place));
    }

    /// The operation at a place.
    #[inline]
    pub(crate) fn row(&self, place: OperationPlace) -> &OperationRow {
        &self.rows[place.0 as usize]
    }

    /// The author with this local number.
    pub(crate) fn author(&self, owner: Owner) -> AuthorKey {
        self.authors[owner.0 as usize]
    }

    /// The local number of an author, if he has written anything. Walks all of them.
    pub(crate) fn owner(&self, author: &AuthorKey) -> Option<Owner> {
        let at = self.authors.iter().position(|known| known == author)?;
        u32::try_from(at).ok().map(Owner)
    }

    /// The operations whose orders may have ids between these, in the order of their ids.
    pub(crate) fn between(&self, low: &OrderId, high: &OrderId) -> Vec<OperationPlace> {
        let (low, high) = (prefix(&low.0), prefix(&high.0));
        if low > high {
            return Vec::new();
        }
        let first = (low, OperationPlace(0));
        let found = self.by_id.range(first..=(high, OperationPlace(u32::MAX)));
        let mut places: Vec<OperationPlace> = found.map(|(_, place)| *place).collect();
        // Sorted but for those that have their first bytes in common.
        places.sort_by_key(|place| self.row(*place).id);
        places
    }

    /// How many bytes of memory it takes, about: nodes of the tree are two thirds full.
    pub(crate) fn memory_bytes(&self) -> usize {
        let entry = size_of::<(u64, OperationPlace)>();
        self.rows.memory_bytes() + self.by_id.len() * entry * 3 / 2
    }
}

/// The first bytes of an id, as a number that sorts like them.
fn prefix(id: &[u8; 32]) -> u64 {
    let (first, _) = id.split_first_chunk().expect("an id has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_cache_line() {
        assert_eq!(size_of::<OperationRow>(), 64);
    }
}
