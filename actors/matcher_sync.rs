//! What the matcher tells, learns and gives away when two nodes compare what they have.

use std::sync::Arc;

use actix::{Context, Handler, Message, MessageResult};
use bitfitech_core::sync::{Comparison, Missing, Ticket};
use bitfitech_core::wire::{Branch, BranchDigest, Head, PageRoom, WantEntry};

use crate::matcher::MatcherActor;

/// A query: the digest of all heads.
#[derive(Message)]
#[rtype(result = "BranchDigest")]
pub struct ReadRoot;

/// A query: those of these branches of a peer that are different here, as they are here.
#[derive(Message)]
#[rtype(result = "Vec<Branch>")]
pub struct ReadBranches(pub Vec<BranchDigest>);

/// A query: what is different here in the branches that a peer has shown.
#[derive(Message)]
#[rtype(result = "Comparison")]
pub struct Compare {
    /// On behalf of which link.
    pub ticket: Ticket,
    /// What the peer was asked about.
    pub asked: Vec<BranchDigest>,
    /// Those that are different there.
    pub shown: Vec<Branch>,
}

/// A query: an entry for each of these heads that is unknown.
#[derive(Message)]
#[rtype(result = "Vec<WantEntry>")]
pub struct FindWants(pub Vec<Head>);

/// A query: what a peer lacks.
#[derive(Message)]
#[rtype(result = "FoundMissing")]
pub struct FindMissing {
    /// What the peer wants.
    pub wants: Vec<WantEntry>,
    /// Leave out what stands before this place in the store.
    pub from: u64,
    /// Most operations.
    pub operations_max: usize,
}

/// The answer, in the order of application.
pub struct FoundMissing {
    /// Places in the store.
    pub stored: Vec<u64>,
    /// What is behind them.
    pub rest: NotStored,
}

/// What a peer lacks besides what is in the store.
pub struct NotStored {
    /// What is still on its way to the store, with its places. A peer that is told of it by its
    /// heads must get it too, or it takes this node for one that has nothing.
    pub waiting: Vec<(u64, Arc<[u8]>)>,
    /// How many more there are.
    pub remaining: u64,
}

impl NotStored {
    /// What was `read` of so many in the store and, if that is all of them, as much as fits of what
    /// is on its way there.
    pub fn page(self, stored: usize, read: Vec<(u64, Vec<u8>)>, bytes_max: usize) -> Missing {
        let found = (stored + self.waiting.len()) as u64;
        let mut room = PageRoom::new(bytes_max);
        let is_all = read.len() == stored && read.iter().all(|(_, wire)| room.take(wire.len()));
        let waiting = self.waiting.into_iter().filter(|_| is_all);
        let waiting = waiting.take_while(|(_, wire)| room.take(wire.len()));
        let mut page = read;
        page.extend(waiting.map(|(place, wire)| (place, wire.to_vec())));
        Missing {
            remaining: self.remaining + found - page.len() as u64,
            next: page.last().map_or(0, |(place, _)| place + 1),
            operations: page.into_iter().map(|(_, wire)| wire).collect(),
        }
    }
}

impl Handler<ReadRoot> for MatcherActor {
    type Result = MessageResult<ReadRoot>;

    fn handle(&mut self, _read: ReadRoot, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.exchange.heads_root())
    }
}

impl Handler<ReadBranches> for MatcherActor {
    type Result = MessageResult<ReadBranches>;

    fn handle(&mut self, read: ReadBranches, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.exchange.differing_branches(&read.0))
    }
}

impl Handler<Compare> for MatcherActor {
    type Result = MessageResult<Compare>;

    fn handle(&mut self, compare: Compare, _context: &mut Context<Self>) -> Self::Result {
        let Compare {
            ticket,
            asked,
            shown,
        } = compare;
        let now = self.now();
        let compared = self
            .exchange
            .compare_branches(now, ticket.link, &asked, &shown);
        MessageResult(compared)
    }
}

impl Handler<FindWants> for MatcherActor {
    type Result = MessageResult<FindWants>;

    fn handle(&mut self, find: FindWants, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.exchange.dag().wants_for(&find.0))
    }
}

impl Handler<FindMissing> for MatcherActor {
    type Result = MessageResult<FindMissing>;

    fn handle(&mut self, find: FindMissing, _context: &mut Context<Self>) -> Self::Result {
        let exchange = &self.exchange;
        let page = exchange.missing(&find.wants, find.from, find.operations_max);
        let mut found = FoundMissing {
            stored: Vec::new(),
            rest: NotStored {
                waiting: Vec::new(),
                remaining: page.remaining,
            },
        };
        for place in page.operations.iter().map(|index| u64::from(index.0)) {
            match self.journal.wire(place) {
                Some(wire) => found.rest.waiting.push((place, Arc::clone(wire))),
                None => found.stored.push(place),
            }
        }
        MessageResult(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations of ten bytes: 1, 2 and 4 on disk, 5 and 7 on their way there, three more behind.
    fn found() -> FoundMissing {
        let wire = |place| (place, Arc::from([0; 10].as_slice()));
        FoundMissing {
            stored: vec![1, 2, 4],
            rest: NotStored {
                waiting: vec![wire(5), wire(7)],
                remaining: 3,
            },
        }
    }

    /// How many operations a page has when so many come from the store, how many remain, and where
    /// the next page begins.
    fn page(found: FoundMissing, read: usize, bytes_max: usize) -> (usize, u64, u64) {
        let FoundMissing { stored, rest } = found;
        let read = stored[..read].iter();
        let read = read.map(|place| (*place, vec![0; 10])).collect();
        let page = rest.page(stored.len(), read, bytes_max);
        (page.operations.len(), page.remaining, page.next)
    }

    #[test]
    fn a_page_has_what_is_on_its_way_to_the_disk_behind_all_that_is_there() {
        assert_eq!(page(found(), 3, 1_000), (5, 3, 8));
        assert_eq!(page(found(), 3, 49), (4, 4, 6));
        assert_eq!(
            page(found(), 2, 25),
            (2, 6, 3),
            "the store's part is not all"
        );
    }

    #[test]
    fn a_page_has_its_first_operation_whatever_the_size() {
        let nothing_stored = || FoundMissing {
            stored: Vec::new(),
            ..found()
        };
        assert_eq!(page(nothing_stored(), 0, 5), (1, 4, 6));
        assert_eq!(page(nothing_stored(), 0, 20), (2, 3, 8));
    }
}
