//! Operations that were announced and have not come.
//!
//! An announcement says that an operation is on its way over another link, or should be. If it has
//! not come `graft_ms` later, that link is slow, down or silent, and a peer that announced it is
//! asked to push it. Each that is asked has as long again; when nobody is left, synchronisation is.
//! Where something that has come waits for it, it is asked for `lacking_ms` after that.
//!
//! The table is bounded in all and for each link; what finds no place comes by the eager link or by
//! synchronisation all the same.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::{LinkId, Now};
use crate::wire::Prefix;
use crate::word_table::WordTable;

/// Most operations in the table. A guess: four seconds of a busy network.
pub const MISSING_MAX: usize = 4_096;

/// Most operations that one link was the first to announce: an eighth.
const MISSING_PER_LINK_MAX: usize = MISSING_MAX / 8;

/// Most peers remembered for one operation.
const ANNOUNCERS_MAX: usize = 4;

/// A peer that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announcer {
    link: LinkId,
    hops: u8,
}

/// An operation that has not come.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    /// Whose announcement opened this: it counts there.
    opener: LinkId,
    due_ms: u64,
    announcers: Vec<Announcer>,
    /// Who was asked last.
    pub asked: Option<LinkId>,
}

/// What is due for one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask this link; that one was asked before in vain.
    Ask(LinkId, Option<LinkId>),
    /// Everyone was asked in vain, this link at the last.
    GiveUp(Option<LinkId>),
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct MissingTable {
    entries: WordTable<Prefix, Missing>,
    /// How many entries each link opened.
    opened: BTreeMap<LinkId, usize>,
    /// No entry is due before.
    due_ms: Option<u64>,
}

impl MissingTable {
    /// Nothing is missing. The secret keeps peers from choosing ids that are slow to find.
    pub(super) fn new(secret: u64) -> Self {
        Self {
            entries: WordTable::new(secret),
            opened: BTreeMap::new(),
            due_ms: None,
        }
    }

    /// A link has an operation that is not here. It is to be asked for at that time, unless it is
    /// sooner already.
    pub(super) fn note(&mut self, id: Prefix, (link, hops): (LinkId, u8), due_ms: u64) {
        let announcer = Announcer { link, hops };
        if let Some(entry) = self.entries.get_mut(&id) {
            if entry.asked.is_none() && due_ms < entry.due_ms {
                entry.due_ms = due_ms;
                self.due_ms = Some(self.due_ms.map_or(due_ms, |at_ms| at_ms.min(due_ms)));
            }
            let is_known = entry.announcers.iter().any(|it| it.link == link);
            if !is_known && entry.announcers.len() < ANNOUNCERS_MAX {
                entry.announcers.push(announcer);
            }
            return;
        }
        let opened = self.opened.get(&link).copied().unwrap_or(0);
        if self.entries.len() >= MISSING_MAX || opened >= MISSING_PER_LINK_MAX {
            return;
        }
        self.opened.insert(link, opened + 1);
        let entry = Missing {
            opener: link,
            due_ms,
            announcers: alloc::vec![announcer],
            asked: None,
        };
        self.entries.insert(id, entry);
        self.due_ms = Some(self.due_ms.map_or(due_ms, |at_ms| at_ms.min(due_ms)));
    }

    /// An operation has come, or is given up.
    pub(super) fn remove(&mut self, id: &Prefix) -> Option<Missing> {
        let entry = self.entries.remove(id)?;
        if self.entries.len() == 0 {
            self.due_ms = None;
        }
        if let Some(opened) = self.opened.get_mut(&entry.opener) {
            *opened -= 1;
            if *opened == 0 {
                self.opened.remove(&entry.opener);
            }
        }
        Some(entry)
    }

    /// A link is gone: nobody asks it any more.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        for (_, entry) in self.entries.iter_mut() {
            entry.announcers.retain(|it| it.link != link);
        }
    }

    /// What is due, by id. Of several announcers the one with the fewest faults is asked, then the
    /// one with the fewest hops.
    pub(super) fn take_due(
        &mut self,
        now: Now,
        again_ms: u64,
        faults_of: impl Fn(LinkId) -> u8,
    ) -> Vec<(Prefix, Due)> {
        if self.due_ms.is_none_or(|at_ms| at_ms > now.monotonic_ms) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (id, entry) in self.entries.iter_mut() {
            if entry.due_ms > now.monotonic_ms {
                continue;
            }
            let before = entry.asked;
            let best = (0..entry.announcers.len()).min_by_key(|at| {
                let it = entry.announcers[*at];
                (faults_of(it.link), it.hops)
            });
            let Some(best) = best else {
                due.push((*id, Due::GiveUp(before)));
                continue;
            };
            let asked = entry.announcers.swap_remove(best).link;
            entry.asked = Some(asked);
            entry.due_ms = now.monotonic_ms.saturating_add(again_ms);
            due.push((*id, Due::Ask(asked, before)));
        }
        for (id, what) in &due {
            if matches!(what, Due::GiveUp(_)) {
                self.remove(id);
            }
        }
        self.due_ms = self.entries.iter().map(|(_, entry)| entry.due_ms).min();
        due.sort_unstable_by_key(|(id, _)| *id);
        due
    }

    /// When to look again, or a little earlier.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::at;

    fn id(number: u64) -> Prefix {
        Prefix(number.to_be_bytes())
    }

    const ONE: LinkId = LinkId(1);
    const TWO: LinkId = LinkId(2);

    #[test]
    fn the_best_announcer_is_asked_then_the_next_then_nobody() {
        let mut missing = MissingTable::new(1);
        missing.note(id(1), (ONE, 3), 100);
        missing.note(id(1), (TWO, 2), 150);
        missing.note(id(1), (TWO, 2), 150);
        assert_eq!(missing.next_due_ms(), Some(100));
        assert_eq!(missing.take_due(at(99), 50, |_| 0), []);
        let due = missing.take_due(at(100), 50, |_| 0);
        assert_eq!(due, [(id(1), Due::Ask(TWO, None))]);
        let due = missing.take_due(at(150), 50, |_| 0);
        assert_eq!(due, [(id(1), Due::Ask(ONE, Some(TWO)))]);
        let due = missing.take_due(at(200), 50, |_| 0);
        assert_eq!(due, [(id(1), Due::GiveUp(Some(ONE)))]);
        assert_eq!((missing.len(), missing.next_due_ms()), (0, None));
    }

    #[test]
    fn who_did_not_serve_before_is_asked_last_and_who_is_gone_never() {
        let mut missing = MissingTable::new(1);
        missing.note(id(1), (ONE, 1), 100);
        missing.note(id(1), (TWO, 9), 100);
        missing.note(id(1), (LinkId(3), 1), 100);
        missing.forget_link(LinkId(3));
        let faults = |link| u8::from(link == ONE);
        let due = missing.take_due(at(100), 50, faults);
        assert_eq!(due, [(id(1), Due::Ask(TWO, None))]);
        let due = missing.take_due(at(150), 50, faults);
        assert_eq!(due, [(id(1), Due::Ask(ONE, Some(TWO)))]);
    }

    #[test]
    fn one_link_cannot_fill_the_table_and_all_together_not_beyond_its_bound() {
        let mut missing = MissingTable::new(1);
        for number in 0..MISSING_MAX as u64 {
            missing.note(id(number), (ONE, 1), 100);
        }
        assert_eq!(missing.len(), MISSING_PER_LINK_MAX);
        for number in 0..2 * MISSING_MAX as u64 {
            missing.note(id(number), (LinkId(number % 20), 1), 100);
        }
        assert_eq!(missing.len(), MISSING_MAX);
        missing.remove(&id(0));
        missing.note(id(u64::MAX), (LinkId(99), 1), 100);
        assert_eq!(missing.len(), MISSING_MAX, "what has come makes room");
    }
}
