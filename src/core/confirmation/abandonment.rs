//! Orders that their owner has left behind.
//!
//! Whoever never answers binds every order that meets his: each owner has to refuse each pair, and
//! the next order then meets the same. So *one* refusal is enough where nobody can be hurt: an
//! order is **abandoned** if somebody has refused it and
//!
//! - its owner has no operation in the `lease_ms` before the refusal: his orders have lapsed by
//!   then anyway, and where leases are longer than the time for an answer nothing of his can be
//!   answered any more; or
//! - its owner is proven a forker, with whom nobody signs anything by himself.
//!
//! An abandoned order never comes to rest and never takes, whatever was made of it before. Its
//! final trades stand, and so does what was promised to it. All this is a function of the set: an
//! operation of the owner that comes late may show that he was not silent after all.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::dag::{Dag, OpIndex};
use crate::matching::Owner;
use crate::types::{MarketIndex, OrderId};

/// What is known of an order that was refused.
struct Refused {
    market: MarketIndex,
    /// At how many times it was refused while its owner was silent.
    in_silence: usize,
}

/// All orders that were refused.
pub(super) struct Abandonment {
    lease_ms: u64,
    refused: BTreeMap<(Owner, OrderId), Refused>,
    /// Owners who were silent when one of their orders was refused, as far as is known: when that
    /// was, in Unix milliseconds, and which order.
    silences: BTreeSet<(Owner, u64, OrderId)>,
}

impl Abandonment {
    /// Nothing was refused, in a network with leases of so many milliseconds.
    pub(super) fn new(lease_ms: u32) -> Self {
        Self {
            lease_ms: u64::from(lease_ms),
            refused: BTreeMap::new(),
            silences: BTreeSet::new(),
        }
    }

    /// Somebody has refused an order, by an operation of this time. Whether the order may be
    /// abandoned now.
    pub(super) fn refuse(
        &mut self,
        (market, order): (MarketIndex, OrderId),
        time_ms: u64,
        dag: &Dag,
    ) -> bool {
        let owner = dag.owner_of_order(&order);
        let owner = owner.expect("the other order is an ancestor");
        let refused = self.refused.entry((owner, order)).or_insert(Refused {
            market,
            in_silence: 0,
        });
        let since_ms = time_ms.saturating_sub(self.lease_ms);
        let is_silent = !dag.has_written_in(owner, since_ms..=time_ms);
        if is_silent && self.silences.insert((owner, time_ms, order)) {
            refused.in_silence += 1;
        }
        is_silent || dag.twins(owner).is_some()
    }

    /// An author has written an operation. His orders that may be abandoned now, or no more.
    pub(super) fn hear(&mut self, index: OpIndex, dag: &Dag) -> Vec<(MarketIndex, OrderId)> {
        let (author, time_ms) = (dag.author(index), dag.time(index).unix_ms());
        let until_ms = time_ms.saturating_add(self.lease_ms);
        let mut changed = Vec::new();
        while let Some(silence) = self
            .silences
            .range((author, time_ms, OrderId([0; 32]))..)
            .next()
            && let (owner, at_ms, order) = *silence
            && owner == author
            && at_ms <= until_ms
        {
            self.silences.remove(&(owner, at_ms, order));
            let refused = self.refused.get_mut(&(owner, order));
            let refused = refused.expect("it was refused in that silence");
            refused.in_silence -= 1;
            changed.push((refused.market, order));
        }
        if dag.twins_proven_by(index).is_some() {
            let all = (author, OrderId([0; 32]))..=(author, OrderId([0xff; 32]));
            let all = self.refused.range(all);
            changed.extend(all.map(|((_, order), refused)| (refused.market, *order)));
        }
        changed
    }

    /// Whether an order is abandoned.
    pub(super) fn is_abandoned(&self, order: &OrderId, dag: &Dag) -> bool {
        let owner = dag.owner_of_order(order);
        let refused = owner.and_then(|owner| Some((owner, self.refused.get(&(owner, *order))?)));
        refused.is_some_and(|(owner, refused)| refused.in_silence > 0 || dag.twins(owner).is_some())
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let refused = self.refused.len() * size_of::<((Owner, OrderId), Refused)>();
        let silences = self.silences.len() * size_of::<(Owner, u64, OrderId)>();
        (refused + silences) * 3 / 2
    }
}
