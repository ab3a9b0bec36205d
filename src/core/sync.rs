//! Anti-entropy: two nodes compare what they have and each pulls what it lacks.
//!
//! Gossip is fast but forgets: it tells nothing to who was not there. A late joiner, a restarted
//! node, a healed partition and a peer that was too slow all come by this one path. Each node runs
//! *rounds* with each of its links: when the session begins, every `interval_ms`, and soon after
//! something was found missing. In a round a node pulls; the other side pulls in rounds of its own.
//!
//! ```text
//! this node                                  peer
//!    GetHeads {after: none}        ->           reads its heads
//!                                  <-        Heads {heads, more}
//!    which heads are unknown? where do their authors' chains here end?
//!    Want {head, locator} …        ->           walks from the head back to the locator
//!                                  <-        Page {operations, remaining, next}
//!    applies them; while some remain: which heads are still unknown? Want …
//!    GetHeads {after: last head}   ->        … the next page of heads
//! ```
//!
//! *Summary.* The heads are the newest operations of all branches of all authors' chains, sorted.
//! Heads are compared by id, never by number, which cannot tell branches. Equal sets have equal
//! heads and every missing operation lies on the chain, of its own author, that ends in an unknown
//! head: if the head were known, so were all that it leans on. So the responder walks chains and
//! follows no references to other authors; these are on chains of their own.
//!
//! *The responder keeps nothing.* Each Want says where the asking side stands, so a pull goes on
//! after a crash of either side, over another link or with another peer. Where the asking side has
//! another branch of a forked chain, its locator meets the responder's branch some way before the
//! fork, and pages can consist of copies alone. So a Want also carries the place in the responder's
//! order where the page before ended, and the next page begins there.
//!
//! *Trust.* Heads are claims. What counts as progress is the number of operations that the set of
//! applied operations *gained*, as its owner reports it. A round takes at most `idle_pages_max`
//! pages that gain nothing, so a peer that repeats itself, promises more for ever or invents heads
//! costs a few megabytes per interval. Pages of heads must ascend, or the session ends, and one
//! round takes at most `heads_pages_max` of them. After either limit the next round goes on where
//! this one stopped, so that an honest peer with very many copies or heads is heard to the end.
//! Every step has a time limit. At most one round per link runs, and one answer per link is
//! prepared, at a time; other requests are dropped, for an honest peer waits for its answer.
//! Answers that nobody waits for are dropped too.
//!
//! Operations of one page of heads may lean on authors of another page. They wait in the buffer for
//! causal delivery or are dropped there; since a round that gained anything is followed by another,
//! they are asked for again until a round gains nothing.
//!
//! The set itself belongs to another actor. This machine asks it by outputs with a [`Ticket`] and
//! takes the answers as inputs; an answer that comes too late finds its ticket void.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::outputs::Outputs;
use crate::types::{LinkId, Now};
use crate::wire::{
    Frame, GetHeads, HEADS_MAX, Head, HeadCursor, HeadsPage, Page, Payload, Want, WantEntry,
};

mod vocabulary;

pub use vocabulary::{Missing, RoundEnd, SyncConfig, SyncOutput, SyncViolation, Ticket};

#[derive(Clone, Debug)]
struct Link {
    due_ms: u64,
    started_ms: Option<u64>,
    /// Where the next round begins.
    resume: Place,
    round: Option<Round>,
    serving: Option<Serving>,
}

/// How far a round has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The page of heads after this one,
    after: Option<HeadCursor>,
    /// and of its operations those from here in the peer's order.
    from: u64,
}

/// A pull that runs.
#[derive(Clone, Debug)]
struct Round {
    /// The question that it waits for, to the peer or to the owner of the set.
    number: u64,
    deadline_ms: u64,
    step: Step,
    /// Pages of heads done.
    pages: u32,
    /// Pages of operations that gained nothing.
    idle_pages: u32,
    received: u64,
    gained: u64,
    is_complete: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// Waits for the peer's heads.
    Heads { place: Place },
    /// Waits for the owner's answer which of them are unknown.
    Finding { heads: Heads },
    /// Waits for the peer's operations.
    Pulling { heads: Heads },
    /// Waits for the owner to apply them.
    Delivering { heads: Heads, remaining: u64 },
}

/// A page of the peer's heads, kept while its operations are pulled.
#[derive(Clone, Debug)]
struct Heads {
    place: Place,
    heads: Vec<Head>,
    more: bool,
}

/// An answer that is being prepared.
#[derive(Clone, Copy, Debug)]
struct Serving {
    number: u64,
    request: u64,
    deadline_ms: u64,
}

/// The synchronisation of one node with all its links.
#[derive(Clone, Debug)]
pub struct Sync<O = Vec<u8>> {
    config: SyncConfig,
    links: BTreeMap<LinkId, Link>,
    last_number: u64,
    /// When a round begins for what waits, and with which link.
    gap: Option<(u64, LinkId)>,
    outputs: Outputs<SyncOutput<O>>,
}

impl<O: Payload> Sync<O> {
    /// A node without links.
    pub fn new(config: SyncConfig) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            last_number: 0,
            gap: None,
            outputs: Outputs::default(),
        }
    }

    /// A session was established: the first round begins.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId) {
        let state = Link {
            due_ms: now.monotonic_ms,
            started_ms: None,
            resume: Place::default(),
            round: None,
            serving: None,
        };
        self.links.insert(link, state);
        self.handle_timeout(now);
    }

    /// A session ended. If a pull was under way, the other links are asked instead.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        let lost = self.links.remove(&link).and_then(|state| state.round);
        if lost.is_some_and(|round| round.knows_of_more()) {
            self.request_others(now, link);
        }
        self.handle_timeout(now);
    }

    /// Something is missing that this link may have: a round begins as soon as the pause allows.
    pub fn request(&mut self, now: Now, link: LinkId) {
        let pause_ms = self.config.pause_ms;
        if let Some(state) = self.links.get_mut(&link) {
            state.hasten(now, pause_ms);
        }
        self.handle_timeout(now);
    }

    /// This link has delivered an operation whose ancestors are missing. Most are on their way:
    /// what is pushed comes by a tree for each author, so it comes out of order. A round begins
    /// later, and with one link for all that is missing by then.
    pub fn handle_gap(&mut self, now: Now, link: LinkId) {
        let due_ms = now.monotonic_ms.saturating_add(self.config.gap_ms);
        let due_ms = self.gap.map_or(due_ms, |(at_ms, _)| at_ms);
        self.gap = Some((due_ms, link));
    }

    /// Takes a frame of a peer; those that do not concern synchronisation are ignored.
    ///
    /// # Errors
    /// The peer broke the protocol; the session has to end.
    pub fn handle_frame(
        &mut self,
        now: Now,
        link: LinkId,
        frame: Frame<O>,
    ) -> Result<(), SyncViolation> {
        match frame {
            Frame::Behind(_) => self.request(now, link),
            Frame::GetHeads(ask) => self.serve_heads(now, link, ask),
            Frame::Want(want) => self.serve_operations(now, link, want),
            Frame::Heads(page) => return self.handle_heads(now, link, page),
            Frame::Page(page) => self.handle_page(now, link, page),
            _ => {}
        }
        Ok(())
    }

    /// The answer to [`SyncOutput::ReadHeads`]: the first heads after the cursor in order, and
    /// whether there are more.
    pub fn handle_heads_read(&mut self, ticket: Ticket, mut heads: Vec<Head>, more: bool) {
        let more = more || heads.len() > HEADS_MAX;
        heads.truncate(HEADS_MAX);
        if let Some(request) = self.take_serving(ticket) {
            self.send(
                ticket.link,
                Frame::Heads(HeadsPage {
                    request,
                    heads,
                    more,
                }),
            );
        }
    }

    /// The answer to [`SyncOutput::ReadMissing`].
    pub fn handle_missing_read(&mut self, ticket: Ticket, missing: Missing<O>) {
        if let Some(request) = self.take_serving(ticket) {
            let page = Page {
                request,
                operations: missing.operations,
                remaining: missing.remaining,
                next: missing.next,
            };
            self.send(ticket.link, Frame::Page(page));
        }
    }

    /// The answer to [`SyncOutput::FindWants`]: an entry for each unknown head.
    pub fn handle_wants_found(&mut self, now: Now, ticket: Ticket, wants: Vec<WantEntry>) {
        let Some(round) = self.waiting_round(ticket.link, ticket.number) else {
            return;
        };
        let Step::Finding { heads } = &mut round.step else {
            return;
        };
        let heads = heads.take();
        if wants.is_empty() {
            self.next_heads(now, ticket.link, &heads);
            return;
        }
        let from = heads.place.from;
        let step = Step::Pulling { heads };
        if let Some(request) = self.advance(now, ticket.link, step) {
            let want = Want {
                request,
                from,
                wants,
            };
            self.send(ticket.link, Frame::Want(want));
        }
    }

    /// The answer to [`SyncOutput::Deliver`]: how many operations the set of applied operations
    /// gained by it.
    pub fn handle_delivered(&mut self, now: Now, ticket: Ticket, gained: u64) {
        let idle_pages_max = self.config.idle_pages_max;
        let Some(round) = self.waiting_round(ticket.link, ticket.number) else {
            return;
        };
        let Step::Delivering { heads, remaining } = &mut round.step else {
            return;
        };
        let (heads, remaining) = (heads.take(), *remaining);
        round.gained = round.gained.saturating_add(gained);
        round.idle_pages += u32::from(gained == 0);
        round.is_complete &= gained > 0 || remaining > 0;
        if remaining == 0 {
            self.next_heads(now, ticket.link, &heads);
        } else if round.idle_pages < idle_pages_max {
            self.find_wants(now, ticket.link, heads);
        } else {
            self.stop_at(now, ticket.link, heads.place);
        }
    }

    /// Begins rounds that are due and gives up steps that take too long.
    pub fn handle_timeout(&mut self, now: Now) {
        let gap = self.gap.take_if(|(at_ms, _)| *at_ms <= now.monotonic_ms);
        let pause_ms = self.config.pause_ms;
        if let Some(state) = gap.and_then(|(_, link)| self.links.get_mut(&link)) {
            state.hasten(now, pause_ms);
        }
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.give_up_if_late(now, link);
            self.begin_if_due(now, link);
        }
    }

    /// The monotonic time at which [`Sync::handle_timeout`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let deadline = |link: &Link| match &link.round {
            Some(round) => round.deadline_ms,
            None => link.due_ms,
        };
        let gap_ms = self.gap.map(|(at_ms, _)| at_ms);
        self.links.values().map(deadline).chain(gap_ms).min()
    }

    /// The next thing to do; ask until there is none.
    pub fn poll_output(&mut self) -> Option<SyncOutput<O>> {
        self.outputs.pop_front()
    }

    fn send(&mut self, link: LinkId, frame: Frame<O>) {
        self.outputs.push_back(SyncOutput::Send { link, frame });
    }

    /// After a pull was cut off: what it was after, the other links may have.
    fn request_others(&mut self, now: Now, link: LinkId) {
        let pause_ms = self.config.pause_ms;
        let links = self.links.iter_mut().filter(|(other, _)| **other != link);
        links.for_each(|(_, state)| state.hasten(now, pause_ms));
    }

    fn give_up_if_late(&mut self, now: Now, link: LinkId) {
        let round = self.links.get(&link).and_then(|state| state.round.as_ref());
        let late = round.filter(|round| round.deadline_ms <= now.monotonic_ms);
        let Some(knows_of_more) = late.map(Round::knows_of_more) else {
            return;
        };
        self.finish(now, link, RoundEnd::TimedOut);
        if knows_of_more {
            self.request_others(now, link);
        }
    }

    fn begin_if_due(&mut self, now: Now, link: LinkId) {
        let interval_ms = self.config.interval_ms;
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        if state.round.is_some() || state.due_ms > now.monotonic_ms {
            return;
        }
        state.started_ms = Some(now.monotonic_ms);
        state.due_ms = now.monotonic_ms.saturating_add(interval_ms);
        let place = core::mem::take(&mut state.resume);
        state.round = Some(Round {
            number: 0,
            deadline_ms: now.monotonic_ms,
            step: Step::Heads { place },
            pages: 0,
            idle_pages: 0,
            received: 0,
            gained: 0,
            is_complete: true,
        });
        self.get_heads(now, link, place);
    }

    fn get_heads(&mut self, now: Now, link: LinkId, place: Place) {
        if let Some(request) = self.advance(now, link, Step::Heads { place }) {
            let after = place.after;
            self.send(link, Frame::GetHeads(GetHeads { request, after }));
        }
    }

    fn find_wants(&mut self, now: Now, link: LinkId, heads: Heads) {
        let question = heads.heads.clone();
        if let Some(number) = self.advance(now, link, Step::Finding { heads }) {
            self.outputs.push_back(SyncOutput::FindWants {
                ticket: Ticket { link, number },
                heads: question,
            });
        }
    }

    /// Goes on with the heads after these, or ends the round.
    fn next_heads(&mut self, now: Now, link: LinkId, done: &Heads) {
        let pages_max = self.config.heads_pages_max;
        let Some(round) = self.links.get_mut(&link).and_then(|it| it.round.as_mut()) else {
            return;
        };
        let end = if round.is_complete {
            RoundEnd::Complete
        } else {
            RoundEnd::Incomplete
        };
        round.pages += 1;
        let is_full = round.pages >= pages_max;
        let last = done.heads.last().filter(|_| done.more);
        let Some(after) = last.map(cursor_of) else {
            return self.finish(now, link, end);
        };
        let after = Some(after);
        let place = Place { after, from: 0 };
        if is_full {
            self.stop_at(now, link, place);
        } else {
            self.get_heads(now, link, place);
        }
    }

    /// Ends a round that has taken enough; the next one goes on from here.
    fn stop_at(&mut self, now: Now, link: LinkId, place: Place) {
        if let Some(state) = self.links.get_mut(&link) {
            state.resume = place;
        }
        self.finish(now, link, RoundEnd::Incomplete);
    }

    fn finish(&mut self, now: Now, link: LinkId, end: RoundEnd) {
        let pause_ms = self.config.pause_ms;
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let Some(round) = state.round.take() else {
            return;
        };
        if round.gained > 0 {
            state.hasten(now, pause_ms);
        }
        self.outputs.push_back(SyncOutput::Finished {
            link,
            end,
            received: round.received,
            gained: round.gained,
        });
    }

    fn handle_heads(
        &mut self,
        now: Now,
        link: LinkId,
        page: HeadsPage,
    ) -> Result<(), SyncViolation> {
        let Some(round) = self.waiting_round(link, page.request) else {
            return Ok(());
        };
        let Step::Heads { place } = round.step else {
            return Ok(());
        };
        check_heads(place.after, &page)?;
        let heads = Heads {
            place,
            heads: page.heads,
            more: page.more,
        };
        if heads.heads.is_empty() {
            self.next_heads(now, link, &heads);
        } else {
            self.find_wants(now, link, heads);
        }
        Ok(())
    }

    fn handle_page(&mut self, now: Now, link: LinkId, page: Page<O>) {
        let Some(round) = self.waiting_round(link, page.request) else {
            return;
        };
        let Step::Pulling { heads } = &mut round.step else {
            return;
        };
        let mut heads = heads.take();
        if page.operations.is_empty() {
            round.is_complete = false;
            self.next_heads(now, link, &heads);
            return;
        }
        // A peer that goes in circles has nothing that remains.
        let advances = page.next > heads.place.from;
        let remaining = if advances { page.remaining } else { 0 };
        heads.place.from = page.next;
        round.received = round.received.saturating_add(page.operations.len() as u64);
        let received = round.received;
        let Some(number) = self.advance(now, link, Step::Delivering { heads, remaining }) else {
            return;
        };
        self.outputs.push_back(SyncOutput::Progress {
            link,
            received,
            total: received.saturating_add(remaining),
        });
        self.outputs.push_back(SyncOutput::Deliver {
            ticket: Ticket { link, number },
            operations: page.operations,
        });
    }

    fn serve_heads(&mut self, now: Now, link: LinkId, ask: GetHeads) {
        if let Some(ticket) = self.begin_serving(now, link, ask.request) {
            self.outputs.push_back(SyncOutput::ReadHeads {
                ticket,
                after: ask.after,
                heads_max: HEADS_MAX,
            });
        }
    }

    fn serve_operations(&mut self, now: Now, link: LinkId, want: Want) {
        let max_bytes = self.config.page_max_bytes;
        if let Some(ticket) = self.begin_serving(now, link, want.request) {
            self.outputs.push_back(SyncOutput::ReadMissing {
                ticket,
                wants: want.wants,
                from: want.from,
                max_bytes,
            });
        }
    }

    /// Takes the one place for an answer to this link. An answer that has not come in time, since
    /// the owner of the set was restarted, gives its place up.
    fn begin_serving(&mut self, now: Now, link: LinkId, request: u64) -> Option<Ticket> {
        let deadline_ms = self.deadline_ms(now);
        let state = self.links.get_mut(&link)?;
        let busy = state.serving.filter(|it| it.deadline_ms > now.monotonic_ms);
        if busy.is_some() {
            return None;
        }
        self.last_number += 1;
        let number = self.last_number;
        state.serving = Some(Serving {
            number,
            request,
            deadline_ms,
        });
        Some(Ticket { link, number })
    }

    /// The request that this ticket answers, if it still waits.
    fn take_serving(&mut self, ticket: Ticket) -> Option<u64> {
        let place = &mut self.links.get_mut(&ticket.link)?.serving;
        let serving = place.take_if(|it| it.number == ticket.number)?;
        Some(serving.request)
    }

    fn deadline_ms(&self, now: Now) -> u64 {
        now.monotonic_ms
            .saturating_add(self.config.answer_timeout_ms)
    }

    /// The round of a link if it waits for the answer to this question.
    fn waiting_round(&mut self, link: LinkId, number: u64) -> Option<&mut Round> {
        let round = self.links.get_mut(&link)?.round.as_mut()?;
        (round.number == number).then_some(round)
    }

    /// Moves a round to its next step; returns the number of the new question.
    fn advance(&mut self, now: Now, link: LinkId, step: Step) -> Option<u64> {
        let deadline_ms = self.deadline_ms(now);
        let round = self.links.get_mut(&link)?.round.as_mut()?;
        self.last_number += 1;
        round.number = self.last_number;
        round.deadline_ms = deadline_ms;
        round.step = step;
        Some(round.number)
    }
}

impl Round {
    /// Whether it was after operations that the peer claimed to have.
    fn knows_of_more(&self) -> bool {
        matches!(self.step, Step::Pulling { .. } | Step::Delivering { .. })
    }
}

impl Link {
    /// Brings the next round forward, but keeps the pause.
    fn hasten(&mut self, now: Now, pause_ms: u64) {
        let earliest_ms = match self.started_ms {
            Some(started_ms) => started_ms.saturating_add(pause_ms),
            None => now.monotonic_ms,
        };
        self.due_ms = self.due_ms.min(earliest_ms.max(now.monotonic_ms));
    }
}

impl Heads {
    /// Moves the page into the next step.
    fn take(&mut self) -> Self {
        Self {
            place: self.place,
            heads: core::mem::take(&mut self.heads),
            more: self.more,
        }
    }
}

fn cursor_of(head: &Head) -> HeadCursor {
    HeadCursor {
        author: head.author,
        id: head.id,
    }
}

/// Checks that a page goes on from the asked place.
fn check_heads(after: Option<HeadCursor>, page: &HeadsPage) -> Result<(), SyncViolation> {
    let mut last = after;
    for head in &page.heads {
        let cursor = cursor_of(head);
        if last.is_some_and(|last| last >= cursor) {
            return Err(SyncViolation::HeadsOrder);
        }
        last = Some(cursor);
    }
    if page.heads.is_empty() && page.more {
        return Err(SyncViolation::HeadsEmpty);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
