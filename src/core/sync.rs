//! Anti-entropy: two nodes compare what they have and each pulls what it lacks.
//!
//! Gossip is fast but forgets: it tells nothing to who was not there. A late joiner, a restarted
//! node, a healed partition and a peer that was too slow all come by this one path. Each node runs
//! *rounds* with each of its links: when the session begins, every `interval_ms`, and soon after
//! something was found missing. In a round a node pulls; the other side pulls in rounds of its own.
//!
//! ```text
//! this node                                  peer
//!    GetBranches {root, digest}    ->           is it the same here?
//!                                  <-        Branches {digests of its parts}
//!    which of them are different here?
//!    GetBranches {part, digest} …  ->
//!                                  <-        Branches {heads}
//!    which heads are unknown? where do their authors' chains here end?
//!    Want {head, locator} …        ->           walks from the head back to the locator
//!                                  <-        Page {operations, remaining, next}
//!    applies them; while some remain: which heads are still unknown? Want …
//!    GetBranches {part, digest} …  ->        … the next branches that differ
//! ```
//!
//! *Summary.* The heads are the newest operations of all branches of all authors' chains, in a
//! trie of digests ([`crate::head_trie`]). Where two nodes have the same, a round is one question
//! and one answer of a few bytes, and whoever answered so need not ask for a while. Else only
//! branches that differ are looked at. Heads are compared by id, never by number, which cannot
//! tell branches. Equal sets have equal heads and every missing operation lies on the chain, of
//! its own author, that ends in an unknown head: if the head were known, so were all that it leans
//! on. So the responder walks chains and follows no references to other authors; these are on
//! chains of their own.
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
//! costs a few megabytes per interval. Branches must be what was asked for, sorted, and below the
//! asked ones, or the session ends, and one round asks for them at most `branches_pages_max` times.
//! After either limit the next round goes on where this one stopped, so that an honest peer with
//! very many copies or heads is heard to the end. False digests make a node look for what is not
//! there, in so many steps; a false root hides what only the liar has.
//! Every step has a time limit. At most one round per link runs, and one answer per link is
//! prepared, at a time; other requests are dropped, for an honest peer waits for its answer.
//! Answers that nobody waits for are dropped too.
//!
//! *What is on its way.* Where many write, two nodes are never equal: gossip is bringing to one
//! what the other has already. To pull that would cost a second copy of it and, since others are
//! told of what was pulled, rounds of theirs. So a round that found unknown heads looks at them
//! again `on_way_ms` later and pulls what is still unknown. The first round of a session and one
//! that is asked for because something is known to be missing do not wait.
//!
//! *Several sources.* Rounds with all links run at the same time, and one author's operations come
//! over one link at a time: a round leaves out authors whom another one is pulling, and looks again
//! when that has ended, then for all. Who serves slowly keeps nobody to himself.
//!
//! Operations are fetched when 1,000 unknown heads were found, or all. They may lean on authors
//! that come later. Then they wait in the buffer for causal delivery or are dropped there; since a
//! round that gained anything is followed by another, they are asked for again until a round gains
//! nothing.
//!
//! The set itself belongs to another actor. This machine asks it by outputs with a [`Ticket`] and
//! takes the answers as inputs; an answer that comes too late finds its ticket void.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::outputs::Outputs;
use crate::random::SplitMix64;
use crate::types::{AuthorKey, LinkId, Now};
use crate::wire::{
    Branch, BranchDigest, Branches, Frame, GetBranches, Page, Payload, Want, WantEntry,
};

mod round;
mod vocabulary;
mod walk;

pub use vocabulary::{Missing, RoundEnd, SyncConfig, SyncOutput, SyncViolation, Ticket};
pub use walk::Comparison;

use round::{Asked, Courtesy, Heads, Link, Patience, Place, Round, Serving, Step};
use walk::{Walk, check_branches};

/// The synchronisation of one node with all its links.
#[derive(Clone, Debug)]
pub struct Sync<O = Vec<u8>> {
    config: SyncConfig,
    links: BTreeMap<LinkId, Link>,
    last_number: u64,
    /// When something is due. It is asked for at every input of a node, and seldom changes.
    due_ms: Option<u64>,
    outputs: Outputs<SyncOutput<O>>,
}

impl<O: Payload> Sync<O> {
    /// A node without links.
    pub fn new(config: SyncConfig) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            last_number: 0,
            due_ms: None,
            outputs: Outputs::default(),
        }
    }

    /// A session was established: the first round begins.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId) {
        let state = Link {
            due_ms: now.monotonic_ms,
            started_ms: None,
            resume: Place::default(),
            patience: Patience::Spent,
            courtesy: Courtesy::Leaves,
            round: None,
            serving: None,
        };
        self.links.insert(link, state);
        self.act(now);
    }

    /// A session ended. If a pull was under way, the other links are asked instead.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        let lost = self.links.remove(&link).and_then(|state| state.round);
        if lost.is_some_and(|round| round.knows_of_more()) {
            self.request_others(now, link);
        }
        self.act(now);
    }

    /// Something is missing that this link may have: a round begins as soon as the pause allows.
    pub fn request(&mut self, now: Now, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.patience = Patience::Spent;
        }
        self.hasten(now, link);
    }

    /// The next round with this link begins as soon as the pause allows.
    fn hasten(&mut self, now: Now, link: LinkId) {
        let pause_ms = self.config.pause_ms;
        if let Some(state) = self.links.get_mut(&link) {
            state.hasten(now, pause_ms);
        }
        self.act(now);
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
            Frame::Behind(_) => self.hasten(now, link),
            Frame::GetBranches(ask) => self.serve_branches(now, link, ask),
            Frame::Want(want) => self.serve_operations(now, link, want),
            Frame::Branches(shown) => return self.handle_branches(now, link, shown),
            Frame::Page(page) => self.handle_page(now, link, page),
            _ => {}
        }
        Ok(())
    }

    /// The answer to [`SyncOutput::ReadBranches`]: those that differ, as they are here.
    pub fn handle_branches_read(&mut self, now: Now, ticket: Ticket, branches: Vec<Branch>) {
        let link = ticket.link;
        let Some(serving) = self.take_serving(ticket) else {
            return;
        };
        if serving.asked == Asked::Everything && branches.is_empty() {
            self.handle_equal(now, link);
        }
        let request = serving.request;
        self.send(link, Frame::Branches(Branches { request, branches }));
    }

    /// The peer has just what is here: to ask it the same can wait, and a little longer than it
    /// waits itself, or both ends would ask at the same time for ever.
    fn handle_equal(&mut self, now: Now, link: LinkId) {
        let longer_ms = SplitMix64(self.last_number ^ link.0.rotate_left(32)).any()
            % (self.config.interval_ms / 4).max(1);
        let pause_ms = self.config.interval_ms.saturating_add(longer_ms);
        let due_ms = now.monotonic_ms.saturating_add(pause_ms);
        if let Some(state) = self.links.get_mut(&link)
            && state.started_ms.is_some()
        {
            state.due_ms = due_ms;
            self.plan();
        }
    }

    /// The answer to [`SyncOutput::ReadMissing`].
    pub fn handle_missing_read(&mut self, ticket: Ticket, missing: Missing<O>) {
        if let Some(serving) = self.take_serving(ticket) {
            let page = Page {
                request: serving.request,
                operations: missing.operations,
                remaining: missing.remaining,
                next: missing.next,
            };
            self.send(ticket.link, Frame::Page(page));
        }
    }

    /// The answer to [`SyncOutput::ReadRoot`].
    pub fn handle_root_read(&mut self, now: Now, ticket: Ticket, root: BranchDigest) {
        let round = self.waiting_round(ticket.link, ticket.number);
        if let Some(round) = round.filter(|round| matches!(round.step, Step::Beginning)) {
            round.walk.handle_comparison(Comparison {
                branches: Vec::from([root]),
                heads: Vec::new(),
            });
            self.go_on(now, ticket.link);
        }
    }

    /// The answer to [`SyncOutput::Compare`].
    pub fn handle_compared(&mut self, now: Now, ticket: Ticket, compared: Comparison) {
        let round = self.waiting_round(ticket.link, ticket.number);
        if let Some(round) = round.filter(|round| matches!(round.step, Step::Comparing)) {
            round.walk.handle_comparison(compared);
            self.go_on(now, ticket.link);
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
        let heads = core::mem::take(heads);
        if wants.is_empty() {
            self.go_on(now, ticket.link);
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
        let (heads, remaining) = (core::mem::take(heads), *remaining);
        round.gained = round.gained.saturating_add(gained);
        round.idle_pages += u32::from(gained == 0);
        round.is_complete &= gained > 0 || remaining > 0;
        if remaining == 0 {
            self.go_on(now, ticket.link);
        } else if round.idle_pages < idle_pages_max {
            self.find_wants(now, ticket.link, heads);
        } else {
            self.stop_at(now, ticket.link, heads.place);
        }
    }

    /// Begins rounds that are due and gives up steps that take too long.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.due_ms.is_some_and(|due_ms| due_ms <= now.monotonic_ms) {
            self.act(now);
        }
    }

    /// The same when something may have become due just now.
    fn act(&mut self, now: Now) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.give_up_if_late(now, link);
            self.begin_if_due(now, link);
        }
        self.plan();
    }

    /// The monotonic time at which [`Sync::handle_timeout`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Finds out when something is due, after a change.
    fn plan(&mut self) {
        let deadline = |link: &Link| match &link.round {
            Some(round) => round.deadline_ms,
            None => link.due_ms,
        };
        self.due_ms = self.links.values().map(deadline).min();
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
        links.for_each(|(_, state)| {
            state.hasten(now, pause_ms);
            state.patience = Patience::Spent;
        });
    }

    fn give_up_if_late(&mut self, now: Now, link: LinkId) {
        let round = self.links.get(&link).and_then(|it| it.round.as_deref());
        let late = round.filter(|round| round.deadline_ms <= now.monotonic_ms);
        let Some(knows_of_more) = late.map(Round::knows_of_more) else {
            return;
        };
        if let Some(heads) = self.take_waiting(link) {
            return self.pull(now, link, heads);
        }
        self.finish(now, link, RoundEnd::TimedOut);
        if knows_of_more {
            self.request_others(now, link);
        }
    }

    /// Heads that may have come by gossip since they were found.
    fn take_waiting(&mut self, link: LinkId) -> Option<Heads> {
        let round = self.links.get_mut(&link)?.round.as_deref_mut()?;
        match &mut round.step {
            Step::Waiting { heads } => Some(core::mem::take(heads)),
            _ => None,
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
        let resumed = core::mem::take(&mut state.resume);
        let patience = core::mem::replace(&mut state.patience, Patience::LooksAgain);
        state.round = Some(Box::new(Round {
            number: 0,
            began_ms: now.monotonic_ms,
            deadline_ms: now.monotonic_ms,
            step: Step::Beginning,
            patience,
            walk: Walk::new(resumed.branch),
            from: resumed.from,
            pages: 0,
            idle_pages: 0,
            received: 0,
            gained: 0,
            is_complete: true,
        }));
        if let Some(number) = self.advance(now, link, Step::Beginning) {
            let ticket = Ticket { link, number };
            self.outputs.push_back(SyncOutput::ReadRoot { ticket });
        }
    }

    /// Looks at the next branches, or fetches what was found, or ends the round.
    fn go_on(&mut self, now: Now, link: LinkId) {
        let pages_max = self.config.branches_pages_max;
        let Some(round) = self
            .links
            .get_mut(&link)
            .and_then(|it| it.round.as_deref_mut())
        else {
            return;
        };
        let is_full = round.pages >= pages_max;
        let asked = if is_full {
            Vec::new()
        } else {
            round.walk.next()
        };
        if !asked.is_empty() {
            round.pages += 1;
            return self.get_branches(now, link, asked);
        }
        let (branch, heads) = round.walk.take_found();
        if heads.is_empty() {
            return self.end(now, link);
        }
        let from = core::mem::take(&mut round.from);
        let place = Place { branch, from };
        let heads = Heads { place, heads };
        match core::mem::replace(&mut round.patience, Patience::Spent) {
            Patience::Spent => self.pull(now, link, heads),
            Patience::LooksAgain => {
                self.advance(now, link, Step::Waiting { heads });
            }
        }
    }

    /// Fetches what is behind these heads, but for authors that come over another link just now.
    fn pull(&mut self, now: Now, link: LinkId, mut heads: Heads) {
        if self.insists(link) {
            return self.find_wants(now, link, heads);
        }
        let others = self.links.iter().filter(|(other, _)| **other != link);
        let rounds = others.filter_map(|(_, state)| state.round.as_deref());
        let served = rounds.filter(|round| round.is_well_served(now));
        let taken: BTreeSet<AuthorKey> = served.flat_map(Round::pulled_authors).collect();
        let found = heads.heads.len();
        heads.heads.retain(|head| !taken.contains(&head.author));
        if let Some(state) = self.links.get_mut(&link)
            && heads.heads.len() < found
        {
            state.courtesy = Courtesy::HasLeft;
            if let Some(round) = &mut state.round {
                round.is_complete = false;
            }
        }
        if heads.heads.is_empty() {
            self.go_on(now, link);
        } else {
            self.find_wants(now, link, heads);
        }
    }

    fn insists(&self, link: LinkId) -> bool {
        let state = self.links.get(&link);
        state.is_some_and(|state| state.courtesy == Courtesy::Insists)
    }

    /// Ends a round that has nothing to fetch: it is through, or has asked enough.
    fn end(&mut self, now: Now, link: LinkId) {
        let Some(round) = self.links.get(&link).and_then(|it| it.round.as_deref()) else {
            return;
        };
        if let Some(next) = round.walk.peek() {
            let branch = next.clone();
            return self.stop_at(now, link, Place { branch, from: 0 });
        }
        let end = if round.is_complete {
            RoundEnd::Complete
        } else {
            RoundEnd::Incomplete
        };
        self.finish(now, link, end);
    }

    fn get_branches(&mut self, now: Now, link: LinkId, branches: Vec<BranchDigest>) {
        let asked = branches.clone();
        if let Some(request) = self.advance(now, link, Step::Asking { asked }) {
            let ask = GetBranches { request, branches };
            self.send(link, Frame::GetBranches(ask));
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
        if state.courtesy == Courtesy::Insists {
            state.courtesy = Courtesy::Leaves;
        }
        // What this round left to another one is looked for when that has ended.
        let is_alone = self.links.values().all(|it| it.round.is_none());
        let waiting = self
            .links
            .iter_mut()
            .filter(|(other, it)| it.round.is_none() && (is_alone || **other != link));
        for (_, state) in waiting {
            if state.courtesy == Courtesy::HasLeft {
                state.courtesy = Courtesy::Insists;
                state.hasten(now, pause_ms);
            }
        }
        self.outputs.push_back(SyncOutput::Finished {
            link,
            end,
            received: round.received,
            gained: round.gained,
        });
        self.plan();
    }

    fn handle_branches(
        &mut self,
        now: Now,
        link: LinkId,
        shown: Branches,
    ) -> Result<(), SyncViolation> {
        let Some(round) = self.waiting_round(link, shown.request) else {
            return Ok(());
        };
        let Step::Asking { asked } = &mut round.step else {
            return Ok(());
        };
        let asked = core::mem::take(asked);
        let shown = shown.branches;
        check_branches(&asked, &shown)?;
        if let Some(number) = self.advance(now, link, Step::Comparing) {
            self.outputs.push_back(SyncOutput::Compare {
                ticket: Ticket { link, number },
                asked,
                shown,
            });
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
        let mut heads = core::mem::take(heads);
        if page.operations.is_empty() {
            round.is_complete = false;
            self.go_on(now, link);
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

    fn serve_branches(&mut self, now: Now, link: LinkId, ask: GetBranches) {
        let is_everything = ask.branches.iter().any(|it| it.path.digits().is_empty());
        let asked = if is_everything {
            Asked::Everything
        } else {
            Asked::Part
        };
        if let Some(ticket) = self.begin_serving(now, link, ask.request, asked) {
            self.outputs.push_back(SyncOutput::ReadBranches {
                ticket,
                asked: ask.branches,
            });
        }
    }

    fn serve_operations(&mut self, now: Now, link: LinkId, want: Want) {
        let max_bytes = self.config.page_max_bytes;
        if let Some(ticket) = self.begin_serving(now, link, want.request, Asked::Part) {
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
    fn begin_serving(
        &mut self,
        now: Now,
        link: LinkId,
        request: u64,
        asked: Asked,
    ) -> Option<Ticket> {
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
            asked,
            deadline_ms,
        });
        Some(Ticket { link, number })
    }

    /// The request that this ticket answers, if it still waits.
    fn take_serving(&mut self, ticket: Ticket) -> Option<Serving> {
        let place = &mut self.links.get_mut(&ticket.link)?.serving;
        place.take_if(|it| it.number == ticket.number)
    }

    fn deadline_ms(&self, now: Now) -> u64 {
        now.monotonic_ms
            .saturating_add(self.config.answer_timeout_ms)
    }

    /// The round of a link if it waits for the answer to this question.
    fn waiting_round(&mut self, link: LinkId, number: u64) -> Option<&mut Round> {
        let round = self.links.get_mut(&link)?.round.as_deref_mut()?;
        (round.number == number).then_some(round)
    }

    /// Moves a round to its next step; returns the number of the new question.
    fn advance(&mut self, now: Now, link: LinkId, step: Step) -> Option<u64> {
        let deadline_ms = match step {
            Step::Waiting { .. } => now.monotonic_ms.saturating_add(self.config.on_way_ms),
            _ => self.deadline_ms(now),
        };
        let round = self.links.get_mut(&link)?.round.as_deref_mut()?;
        self.last_number += 1;
        round.number = self.last_number;
        round.deadline_ms = deadline_ms;
        round.step = step;
        let number = round.number;
        self.plan();
        Some(number)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
