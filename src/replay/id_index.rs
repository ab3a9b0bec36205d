//! From order ids back to the actions that placed them.
//!
//! Four bytes an entry: ids are BLAKE3 hashes, so their first bytes are as good as any hash of
//! them, and the id to compare with stands in the action.

use bitfitech_core::matching::Action;
use bitfitech_core::types::OrderId;

/// Which action placed an order.
#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    /// Numbers of actions plus one; zero is empty. At most half full.
    entries: Vec<u32>,
}

impl IdIndex {
    /// Of several actions with one id, the first counts.
    pub(crate) fn new(actions: &[Action]) -> Self {
        let len = (2 * actions.len() + 1).next_power_of_two();
        let mut index = Self {
            entries: vec![0; len],
        };
        for (number, action) in (1..).zip(actions) {
            if let Action::Place(order) = action {
                let position = index.position(actions, &order.id);
                let entry = &mut index.entries[position];
                if *entry == 0 {
                    *entry = number;
                }
            }
        }
        index
    }

    /// The number of the action that placed this order.
    pub(crate) fn find(&self, actions: &[Action], id: &OrderId) -> Option<usize> {
        (self.entries[self.position(actions, id)] as usize).checked_sub(1)
    }

    /// Where the id stands, or could stand.
    fn position(&self, actions: &[Action], id: &OrderId) -> usize {
        let mask = self.entries.len() - 1;
        let first = id.0.first_chunk().expect("an id has more than 8 bytes");
        let mut position = u64::from_le_bytes(*first) as usize & mask;
        loop {
            let entry = self.entries[position] as usize;
            let placed = entry.checked_sub(1).map(|number| &actions[number]);
            match placed {
                Some(Action::Place(order)) if order.id != *id => position = (position + 1) & mask,
                _ => return position,
            }
        }
    }
}
