//! Causal delivery: operations wait here until they may be applied.
//!
//! An operation is applied when everything it names is there. Until then it *waits*, charged to
//! the link that delivered it. One that is dated more than [`AHEAD_MS`] ahead of the gating clock
//! is *parked* until its time comes: it may be honest and its author's clock wrong, so it is not
//! refused. Both are bounded; what falls out at the bound comes back through a later
//! synchronisation, for nobody counts it as received.
//!
//! What comes by different trees comes out of order, so most of what is missing is on its way. Only
//! for what still waits [`GAP_MS`] later is its link to be asked, once for each operation.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::op::Verified;
use crate::types::{HybridTime, LinkId, Now, OpId, OpStem, Source};

/// How far ahead of the gating clock an operation may be dated, in milliseconds.
pub const AHEAD_MS: u64 = 500;

/// Most operations waiting for ancestors, over all links. A guess: some 20 MB.
pub const WAITING_MAX: usize = 65_536;

/// Most operations waiting for ancestors from one link: an eighth of all.
pub const WAITING_PER_LINK_MAX: usize = WAITING_MAX / 8;

/// Most parked operations. A guess: some 5 MB.
pub const PARKED_MAX: usize = 16_384;

/// How long an operation may wait for what it leans on before a link is asked for that, and least
/// time between such questions, in milliseconds. A guess: what is on its way by another tree has
/// come by then.
pub const GAP_MS: u64 = 1_000;

/// An operation without all of its ancestors.
struct Waiting {
    operation: Verified,
    source: Source,
    /// Its number among all that ever waited: the order of age.
    number: u64,
    /// How many ancestors are still missing.
    missing: usize,
}

/// Operations that cannot be applied yet.
#[derive(Default)]
pub struct Delivery {
    waiting: BTreeMap<OpId, Waiting>,
    /// Which waiting operations an ancestor holds up.
    held_up_by: BTreeMap<OpStem, BTreeSet<OpId>>,
    /// Waiting operations of a link by their number, so oldest first.
    of_link: BTreeMap<LinkId, BTreeMap<u64, OpId>>,
    next_number: u64,
    parked: BTreeMap<(HybridTime, OpId), (Verified, Source)>,
    parked_ids: BTreeSet<OpId>,
    evicted: u64,
    gap: Option<Gap>,
    /// For what came before these numbers the links were asked that brought it.
    asked_before: BTreeMap<LinkId, u64>,
}

/// When to look whether something that waits now still does.
#[derive(Clone, Copy)]
struct Gap {
    at_ms: u64,
    /// What waits now has a smaller number.
    before: u64,
}

impl Delivery {
    /// Whether this operation is waiting or parked.
    pub fn contains(&self, id: &OpId) -> bool {
        self.waiting.contains_key(id) || self.parked_ids.contains(id)
    }

    /// Whether an operation that begins like this is waiting or parked.
    pub fn contains_stem(&self, stem: &OpStem) -> bool {
        let is_waiting = self.waiting.range(stem.range()).next().is_some();
        is_waiting || self.parked_ids.range(stem.range()).next().is_some()
    }

    /// How many operations wait for ancestors.
    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// How many operations wait for their time.
    pub fn parked_len(&self) -> usize {
        self.parked.len()
    }

    /// How many have been dropped at a bound since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Lets an operation wait for these ancestors.
    pub fn wait(&mut self, operation: Verified, source: Source, missing: &[OpStem]) {
        let id = operation.id();
        if self.contains(&id) {
            return;
        }
        let of_link = self.of_link.get(&source.link);
        let full = self.waiting.len() >= WAITING_MAX
            || of_link.is_some_and(|of_link| of_link.len() >= WAITING_PER_LINK_MAX);
        if full {
            self.evicted += 1;
            let oldest = of_link.and_then(|of_link| of_link.first_key_value());
            let Some(oldest) = oldest.map(|(_, id)| *id) else {
                // All room is taken by other links: this one comes back later.
                return;
            };
            self.take_waiting(&oldest);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.of_link
            .entry(source.link)
            .or_default()
            .insert(number, id);
        for ancestor in missing {
            self.held_up_by.entry(*ancestor).or_default().insert(id);
        }
        self.waiting.insert(
            id,
            Waiting {
                operation,
                source,
                number,
                missing: missing.len(),
            },
        );
    }

    /// An operation has to wait for something that nobody has sent. A copy of one that is parked
    /// does not wait yet.
    pub fn note_gap(&mut self, now: Now) {
        if self.waiting.is_empty() {
            return;
        }
        let before = self.next_number;
        let at_ms = now.monotonic_ms.saturating_add(GAP_MS);
        self.gap.get_or_insert(Gap { at_ms, before });
    }

    /// When [`Delivery::take_gap`] may have something to say, on the monotonic clock.
    pub fn next_gap_ms(&self) -> Option<u64> {
        self.gap.map(|gap| gap.at_ms)
    }

    /// The link that delivered the oldest of what has waited for long and was not asked for yet: it
    /// is to be asked for all that it has.
    pub fn take_gap(&mut self, now: Now) -> Option<LinkId> {
        let gap = self.gap.take_if(|gap| gap.at_ms <= now.monotonic_ms)?;
        let oldest = self.of_link.iter().filter_map(|(link, of_link)| {
            let asked_before = self.asked_before.get(link).copied().unwrap_or(0);
            let first = of_link.range(asked_before..).next();
            first.map(|(number, _)| (*number, *link))
        });
        let (number, link) = oldest.min()?;
        self.note_gap(now);
        if number >= gap.before {
            return None;
        }
        self.asked_before.insert(link, gap.before);
        Some(link)
    }

    /// Takes an operation out of the waiting ones.
    fn take_waiting(&mut self, id: &OpId) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        let body = waiting.operation.body();
        let named = body.prev.iter().chain(&body.refs).map(OpId::stem);
        for ancestor in named.chain(body.counterparts()) {
            if let Some(held_up) = self.held_up_by.get_mut(&ancestor) {
                held_up.remove(id);
                if held_up.is_empty() {
                    self.held_up_by.remove(&ancestor);
                }
            }
        }
        if let Some(of_link) = self.of_link.get_mut(&waiting.source.link) {
            of_link.remove(&waiting.number);
            if of_link.is_empty() {
                self.of_link.remove(&waiting.source.link);
            }
        }
        Some(waiting)
    }

    /// An operation has been applied: hands out those that waited for nothing else.
    pub fn release(&mut self, applied: &OpId) -> Vec<(Verified, Source)> {
        let mut ready = Vec::new();
        for id in self.held_up_by.remove(&applied.stem()).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&id) else {
                continue;
            };
            waiting.missing -= 1;
            if waiting.missing == 0 {
                let waiting = self.take_waiting(&id).expect("it was there just now");
                ready.push((waiting.operation, waiting.source));
            }
        }
        ready
    }

    /// Whether an operation of this time must be parked.
    pub fn is_ahead(time: HybridTime, now: Now) -> bool {
        time.unix_ms() > now.unix_ms.saturating_add(AHEAD_MS)
    }

    /// Parks an operation until its time comes. At the bound the one furthest ahead is dropped.
    pub fn park(&mut self, operation: Verified, source: Source) {
        let id = operation.id();
        if self.contains(&id) {
            return;
        }
        self.parked_ids.insert(id);
        self.parked
            .insert((operation.body().time, id), (operation, source));
        if self.parked.len() > PARKED_MAX {
            let (_, (furthest, _)) = self.parked.pop_last().expect("it is not empty");
            self.parked_ids.remove(&furthest.id());
            self.evicted += 1;
        }
    }

    /// Hands out the parked operations whose time has come, earliest first.
    pub fn unpark(&mut self, now: Now) -> Vec<(Verified, Source)> {
        let mut due = Vec::new();
        while let Some(first) = self.parked.first_entry() {
            if Self::is_ahead(first.key().0, now) {
                break;
            }
            let (operation, source) = first.remove();
            self.parked_ids.remove(&operation.id());
            due.push((operation, source));
        }
        due
    }

    /// In how many milliseconds of the gating clock the next parked operation is due.
    pub fn next_unpark_in_ms(&self, now: Now) -> Option<u64> {
        let (time, _) = self.parked.keys().next()?;
        Some(
            time.unix_ms()
                .saturating_sub(now.unix_ms.saturating_add(AHEAD_MS)),
        )
    }

    /// A link is gone: what it delivered, and perhaps nobody can complete any more, is forgotten.
    /// So is what it delivered ahead of time, which would else wait at its cost for ever.
    pub fn forget_link(&mut self, link: LinkId) {
        self.asked_before.remove(&link);
        let of_link = self.of_link.get(&link).cloned().unwrap_or_default();
        for id in of_link.values() {
            self.take_waiting(id);
        }
        let parked_ids = &mut self.parked_ids;
        self.parked.retain(|(_, id), (_, source)| {
            let stays = source.link != link;
            if !stays {
                parked_ids.remove(id);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::tests::sign_sample;
    use crate::types::at;
    use alloc::vec;
    use ed25519_zebra::SigningKey;

    const ONE: LinkId = LinkId(1);
    const TWO: LinkId = LinkId(2);

    /// Lets an operation of this author wait for one that nobody has.
    fn wait(delivery: &mut Delivery, now_ms: u64, author: u8, link: LinkId) -> OpId {
        let operation = sign_sample(&SigningKey::from([author; 32]), 1);
        let id = operation.id();
        let missing = vec![OpId([author; 32]).stem()];
        delivery.wait(operation, Source::push(link), &missing);
        delivery.note_gap(at(now_ms));
        id
    }

    #[test]
    fn what_comes_in_time_is_not_asked_for() {
        let mut delivery = Delivery::default();
        let id = wait(&mut delivery, 0, 1, ONE);
        assert_eq!(delivery.next_gap_ms(), Some(GAP_MS));
        assert_eq!(delivery.release(&OpId([1; 32])).len(), 1);
        assert!(!delivery.contains(&id));
        assert_eq!(delivery.take_gap(at(GAP_MS)), None);
        assert_eq!(delivery.next_gap_ms(), None, "nothing waits");
    }

    #[test]
    fn what_has_not_waited_long_is_not_asked_for_yet() {
        let mut delivery = Delivery::default();
        wait(&mut delivery, 0, 1, ONE);
        wait(&mut delivery, 900, 2, TWO);
        delivery.release(&OpId([1; 32]));
        assert_eq!(delivery.take_gap(at(1_000)), None);
        assert_eq!(delivery.take_gap(at(2_000)), Some(TWO));
    }

    #[test]
    fn where_nothing_waits_there_is_no_gap() {
        let mut delivery = Delivery::default();
        delivery.note_gap(at(0));
        assert_eq!(delivery.next_gap_ms(), None);
    }

    #[test]
    fn an_operation_that_waits_on_costs_one_question_the_oldest_first() {
        let mut delivery = Delivery::default();
        wait(&mut delivery, 0, 1, TWO);
        wait(&mut delivery, 10, 2, ONE);
        wait(&mut delivery, 20, 3, TWO);
        wait(&mut delivery, 30, 4, ONE);
        let mut asked = Vec::new();
        for now_ms in 0..20_000 {
            let link = delivery.take_gap(at(now_ms));
            asked.extend(link.map(|link| (now_ms, link)));
        }
        assert_eq!(asked, [(1_000, TWO), (2_000, ONE), (3_000, TWO)]);
        assert_eq!(
            delivery.next_gap_ms(),
            None,
            "what comes later arms it again"
        );
        delivery.forget_link(TWO);
        wait(&mut delivery, 20_000, 5, TWO);
        assert_eq!(delivery.take_gap(at(21_000)), Some(TWO));
    }
}
