//! The exchange of one node: applied operations, the replica that follows from them, and the own
//! chain that it writes.
//!
//! Operations of others come in verified ([`Exchange::receive`]), own ones are written
//! ([`Exchange::submit`]). What is then to be done comes out ([`Exchange::poll_output`]): write to
//! disk, pass on, report, ask for what is missing. Two rules are kept here and nowhere else:
//!
//! - everything goes to disk in the order in which it was applied, so that what is on disk is
//!   always complete up to some point, and
//! - nothing own is passed on or acknowledged before it is on disk
//!   ([`Exchange::handle_persisted`]), or a crash would make the node forget its own signature and
//!   fork its chain.
//!
//! An operation of the own author may also come *in*: the node was restored from an old copy, or
//! its store was lost, and its peers remember more. It is applied like any other. So that it comes
//! before anything new is written, a node whose key is not new writes nothing before it has what
//! peers show of its chain and has heard no more from them for a while.

mod comparing;
mod errors;
mod output;
mod settling;
mod write_gate;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use self::errors::{InvalidError, RestoreError, SubmitError};
pub use self::output::Output;
use self::write_gate::WriteGate;
pub use self::write_gate::{OWN_CHAIN_LEAST_MS, OWN_CHAIN_PULL_MS, OWN_CHAIN_WAIT_MS};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use crate::confirmation::Confirmations;
use crate::dag::{Admission, Dag, OpIndex};
use crate::delivery::{AHEAD_MS, Delivery};
use crate::genesis::Genesis;
use crate::matching::Engine;
use crate::membership::{Membership, Standing};
use crate::op::{Action, Body, OPERATION_VERSION, Operation, REFS_MAX, Verified};
use crate::outputs::Outputs;
use crate::replica::{Replica, ReplicaDigests};
use crate::settlement::{Settlement, SettlementConfig, WaitingTrade};
use crate::types::{
    AuthorKey, Digest, HybridTime, LinkId, Now, OpId, OpStem, Source, TradeId, Via,
};
use crate::view::{Change, Digests};

/// So many actions and confirmations of the own store are merged at once: confirmations come after
/// what they confirm, and what is merged with them need not be taken back for them. A guess: some
/// 50 MB while the store is read.
const RESTORED_AT_ONCE: usize = 1 << 18;

/// So many actions of a market are hashed at a tick for digests, so that who asks for them does not
/// wait. A guess: a millisecond, and many times what comes between two ticks, so that a node which
/// has pulled much is soon done with it.
const HASHED_AT_ONCE: usize = 4_096;

/// How far beyond [`AHEAD_MS`] the next own operation may be dated for the node to wait until its
/// clock is there, instead of refusing. Others date operations up to [`AHEAD_MS`] ahead, and own
/// ones come after them: this must not keep a node from writing.
pub const CLOCK_WAIT_MS: u64 = 1_000;

/// Whether the own chain may be longer than the store shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnChain {
    /// The key was just made, or this process has written the whole store itself.
    Complete,
    /// An earlier process used the key; its store may have been lost, or restored from a copy.
    MayBeLonger,
}

/// The exchange of one node.
pub struct Exchange<E> {
    genesis: Genesis,
    digest: Digest,
    key: SigningKey,
    author: AuthorKey,
    confirmations: Confirmations,
    membership: Membership,
    delivery: Delivery,
    replica: Replica<E>,
    /// How many operations are on disk.
    persisted: usize,
    /// Own operations that are not on disk yet, oldest first.
    unwritten: VecDeque<(OpIndex, Verified)>,
    /// The applied operation of another author that stands last in the total order.
    last_foreign: Option<OpIndex>,
    /// The one that the own chain refers to already.
    referred: Option<OpIndex>,
    write_gate: WriteGate,
    /// What the node signs by itself; nothing in a node without.
    settlement: Option<Settlement>,
    /// Before this, on the monotonic clock, it writes nothing by itself.
    settle_from_ms: u64,
    /// Changes that rest on own operations which are not on disk, with the last of these. A user
    /// must not be told of a final trade that a crash could still take back.
    held: VecDeque<(OpIndex, Vec<Change>)>,
    /// The latest time that it was told.
    seen: Now,
    outputs: Outputs<Output>,
}

impl<E: Engine> Exchange<E> {
    /// An empty exchange; `make_engine` is called once per market, with a secret for its tables:
    /// ids come from peers, and what is keyed by a secret cannot be ground to collide.
    pub fn new(
        genesis: Genesis,
        key: SigningKey,
        mut make_engine: impl FnMut(&[u8; 32]) -> E,
    ) -> Self {
        let secret = blake3::derive_key("bitfitech engine tables 1", key.as_bytes());
        let digest = genesis.digest();
        let author = AuthorKey(VerificationKeyBytes::from(&key).into());
        let confirmations = Confirmations::new(&genesis);
        let engines = genesis.markets.iter().map(|_| make_engine(&secret));
        let replica = Replica::new(&genesis, &secret, engines);
        Self {
            genesis,
            digest,
            key,
            author,
            confirmations,
            membership: Membership::default(),
            delivery: Delivery::default(),
            replica,
            persisted: 0,
            unwritten: VecDeque::new(),
            last_foreign: None,
            referred: None,
            write_gate: WriteGate::Open,
            settlement: None,
            settle_from_ms: 0,
            held: VecDeque::new(),
            seen: Now::default(),
            outputs: Outputs::default(),
        }
    }

    /// Lets the node confirm its trades by itself, and show that it is alive. Before that it
    /// writes only what it is told to.
    pub fn settle_by_itself(&mut self, config: SettlementConfig) {
        match &mut self.settlement {
            Some(settlement) => settlement.set_config(config),
            None => self.settlement = Some(Settlement::new(self.author, config)),
        }
    }

    /// From now on the node confirms nothing by itself, and does not show that it is alive.
    pub fn settle_by_hand(&mut self) {
        self.settlement = None;
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The own key.
    pub fn author(&self) -> AuthorKey {
        self.author
    }

    /// The set of applied operations.
    pub fn dag(&self) -> &Dag {
        self.replica.dag()
    }

    /// What follows from it.
    pub fn replica(&self) -> &Replica<E> {
        &self.replica
    }

    /// What has been confirmed and refused.
    pub fn confirmations(&self) -> &Confirmations {
        &self.confirmations
    }

    /// Whom administrators have admitted and expelled.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// What an author is to the network, as far as is known here.
    pub fn standing(&self, author: &AuthorKey) -> Standing {
        self.membership.standing(&self.genesis, author)
    }

    /// Operations that wait.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// How many reports of changes wait for an own confirmation to be on disk.
    pub fn held_changes(&self) -> usize {
        self.held.len()
    }

    /// Everything that a view must know, newest first. It contains the changes that wait, and they
    /// are not reported once more.
    pub fn snapshot_newest_first(&mut self) -> impl Iterator<Item = Change> {
        self.held.clear();
        self.replica.snapshot_newest_first()
    }

    /// How many operations are on disk.
    pub fn persisted(&self) -> usize {
        self.persisted
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes the next operation of the own store in, whose signature was checked before it was
    /// written. Call [`Exchange::handle_restored`] after the last.
    ///
    /// # Errors
    /// When the store does not hold what this node wrote.
    pub fn restore(&mut self, wire: &[u8]) -> Result<(), RestoreError> {
        let operation = Operation::decode(wire, &self.genesis, &self.digest);
        self.restore_verified(&operation.map_err(RestoreError::Operation)?.trust())
    }

    /// The same for an operation that is decoded and whose signature was checked, as an audit does.
    ///
    /// # Errors
    /// When the operation cannot stand here.
    pub fn restore_verified(&mut self, operation: &Verified) -> Result<(), RestoreError> {
        match self.admit(operation).map_err(RestoreError::Invalid)? {
            Admission::Ready => {}
            Admission::Known | Admission::Missing(_) => return Err(RestoreError::Order),
        }
        self.enter(operation, 0);
        self.persisted = self.dag().len();
        if self.replica.staged_count() >= RESTORED_AT_ONCE {
            self.replica.merge_all();
        }
        Ok(())
    }

    /// The own store has been read to its end.
    pub fn handle_restored(&mut self, now: Now, own_chain: OwnChain) {
        self.seen = now;
        self.replica.merge_all();
        // Or who asks first would wait for it, and all others with him.
        self.replica.prepare_digests(usize::MAX);
        if let Some(mut settlement) = self.settlement.take() {
            settlement.handle_restored(now, &self.scene());
            self.settlement = Some(settlement);
        }
        self.write_gate = match own_chain {
            OwnChain::Complete => WriteGate::Open,
            OwnChain::MayBeLonger => WriteGate::closed(now),
        };
    }

    /// Whether the node may write now; if not, until when it waits at the most.
    ///
    /// # Errors
    /// The monotonic time in milliseconds from which on it writes in any case.
    pub fn may_write(&self, now: Now) -> Result<(), u64> {
        let asks_until_ms = self.write_gate.closed_until_ms(self.dag());
        if now.monotonic_ms < asks_until_ms {
            return Err(asks_until_ms);
        }
        let latest_ms = now.unix_ms.saturating_add(AHEAD_MS);
        match self.next_time(now).unix_ms().saturating_sub(latest_ms) {
            excess_ms @ 1..=CLOCK_WAIT_MS => Err(now.monotonic_ms + excess_ms),
            _ => Ok(()),
        }
    }

    /// The time of the next own operation: later than everything applied, and not in the past.
    fn next_time(&self, now: Now) -> HybridTime {
        let after_all = self.dag().latest_time().next();
        let after_all = after_all.unwrap_or(HybridTime(u64::MAX));
        after_all.max(HybridTime::from_unix_ms(now.unix_ms))
    }

    /// Operations came in over a link, in any order, their signatures checked.
    pub fn receive(&mut self, now: Now, source: Source, operations: Vec<Verified>) {
        self.seen = now;
        for operation in operations {
            self.consider(now, source, operation);
        }
    }

    /// Whether an operation can be applied now.
    fn admit(&self, operation: &Operation) -> Result<Admission, InvalidError> {
        let admission = self
            .dag()
            .admit(operation)
            .map_err(InvalidError::Ancestry)?;
        if admission == Admission::Ready {
            let member = self
                .membership
                .check(operation.body(), &self.genesis, self.dag());
            member.map_err(InvalidError::Membership)?;
            let checked = self
                .confirmations
                .check(operation.body(), self.dag(), &self.replica);
            checked.map_err(InvalidError::Confirmation)?;
        }
        Ok(admission)
    }

    /// Applies, parks or keeps an operation.
    fn consider(&mut self, now: Now, source: Source, operation: Verified) {
        let mut ready = VecDeque::new();
        let mut next = Some((operation, source));
        while let Some((operation, source)) = next {
            let id = operation.id();
            match self.admit(&operation) {
                Err(error) => {
                    let link = source.link;
                    self.outputs.push_back(Output::Invalid { link, id, error });
                }
                Ok(Admission::Known) => {}
                Ok(_) if Delivery::is_ahead(operation.body().time, now) => {
                    self.delivery.park(operation, source);
                }
                Ok(Admission::Missing(missing)) => self.wait(now, source, operation, missing),
                Ok(Admission::Ready) => {
                    self.apply_foreign(now, source, operation);
                    ready.extend(self.delivery.release(&id));
                }
            }
            next = ready.pop_front();
        }
    }

    /// Lets an operation wait for these ancestors.
    fn wait(&mut self, now: Now, source: Source, operation: Verified, mut missing: Vec<OpStem>) {
        self.delivery.wait(operation, source, &missing);
        missing.retain(|ancestor| !self.delivery.contains_stem(ancestor));
        if missing.is_empty() {
            return;
        }
        self.delivery.note_gap(now);
        if source.via == Via::Push {
            self.outputs.push_back(Output::Lacking {
                link: source.link,
                ancestors: missing,
            });
        }
    }

    /// Applies an operation that came in.
    fn apply_foreign(&mut self, now: Now, source: Source, operation: Verified) {
        let late_ms = now.unix_ms.saturating_sub(operation.body().time.unix_ms());
        let index = self.enter(&operation, late_ms);
        if source.via == Via::Sync {
            self.write_gate.handle_answer(now, source.link);
        }
        let twins = self.dag().twins(self.dag().author(index));
        let was_forked = twins.is_some_and(|(_, second)| second != index);
        self.outputs.push_back(Output::Persist {
            index,
            operation: operation.clone(),
        });
        // What a proven forker writes is served by synchronisation only.
        if !was_forked {
            self.outputs.push_back(Output::Relay {
                operation,
                from: Some(source),
            });
        }
    }

    /// Puts an operation into the set; it acts at the next merge.
    fn enter(&mut self, operation: &Verified, late_ms: u64) -> OpIndex {
        let author = operation.body().author;
        let index = self.replica.insert(operation, late_ms);
        let position = self.replica.dag().position(index);
        if let Some(settlement) = &mut self.settlement {
            settlement.handle_applied(self.seen, operation, index, self.replica.dag());
        }
        if self.membership.insert(operation, index) {
            self.outputs.push_back(Output::Membership);
        }
        let touched = self
            .confirmations
            .insert(operation, index, self.replica.dag());
        for (market, pair, terms) in touched {
            let cause = operation.id();
            self.replica.stage_terms(market, pair, terms, cause);
        }
        if author != self.author {
            let last = self
                .last_foreign
                .map(|last| self.replica.dag().position(last));
            if last.is_none_or(|last| position >= last) {
                self.last_foreign = Some(index);
            }
        } else if let Some(first) = operation.body().refs.first() {
            self.referred = self.replica.dag().find(first);
        }
        if let Some((first, second)) = self.replica.dag().twins_proven_by(index) {
            self.outputs.push_back(Output::Forked {
                author,
                first: self.replica.dag().id(first),
                second: self.replica.dag().id(second),
            });
        }
        index
    }

    /// Brings what was applied into the books; call it at every tick or when nothing else is due.
    pub fn handle_tick(&mut self, now: Now) {
        self.seen = now;
        for (operation, source) in self.delivery.unpark(now) {
            self.consider(now, source, operation);
        }
        let gap = self.delivery.take_gap(now);
        self.outputs.extend(gap.map(Output::Gap));
        let changes = self.replica.merge(now.monotonic_ms);
        self.report(changes);
        self.replica.prepare_digests(HASHED_AT_ONCE);
        self.settle(now);
    }

    /// When [`Exchange::handle_tick`] has something to do without new input, in milliseconds of
    /// the monotonic clock. What [`Exchange::receive`] brought in is due at the driver's next tick.
    pub fn next_deadline_ms(&self, now: Now) -> Option<u64> {
        let unpark = self
            .delivery
            .next_unpark_in_ms(now)
            .map(|in_ms| now.monotonic_ms + in_ms);
        let settlement = self.settlement.as_ref();
        let settlement = settlement.filter(|_| self.unwritten.is_empty());
        let settle = settlement.and_then(Settlement::next_deadline_ms);
        let settle = settle.map(|at_ms| match self.may_write(now) {
            Ok(()) => at_ms.max(self.settle_from_ms(now)),
            Err(until_ms) => at_ms.max(until_ms),
        });
        let gap = self.delivery.next_gap_ms();
        [unpark, gap, self.replica.next_merge_ms(), settle]
            .into_iter()
            .flatten()
            .min()
    }

    /// Hands changes out, if there are any, and if no own confirmation is on its way to the disk.
    fn report(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        if let Some(settlement) = &mut self.settlement {
            settlement.handle_changes(self.seen, &changes, self.replica.dag());
        }
        let mut unwritten = self.unwritten.iter().rev();
        let confirms = |operation: &Verified| operation.body().counterparts().next().is_some();
        let last = unwritten.find(|(_, operation)| confirms(operation));
        match last.map(|(index, _)| *index) {
            Some(index) => self.held.push_back((index, changes)),
            None => self.outputs.push_back(Output::Changed(changes)),
        }
    }

    /// Writes an operation of the own author. It is applied at once, and acknowledged and passed on
    /// when it is on disk ([`Output::Written`]).
    ///
    /// # Errors
    /// Nothing is written when the own clock or chain forbids it, or an action breaks a rule.
    pub fn submit(&mut self, now: Now, actions: Vec<Action>) -> Result<OpId, SubmitError> {
        self.seen = now;
        let changes = self.replica.merge(now.monotonic_ms);
        self.report(changes);
        let proofs = self.proofs_of(now, &actions)?;
        self.write(now, actions, &proofs)
    }

    /// What the halves among these actions lean on and the own chain does not name yet.
    fn proofs_of(&self, now: Now, actions: &[Action]) -> Result<Vec<OpIndex>, SubmitError> {
        let mut proofs = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            let Action::Confirm(half) = action else {
                continue;
            };
            let body = self.next_body(now, Vec::new(), &[])?;
            let earlier = (&body, &actions[..at]);
            let replica = &self.replica;
            let of_half = self
                .confirmations
                .proofs(half, earlier, self.dag(), replica);
            proofs.extend(of_half);
        }
        proofs.sort_unstable();
        proofs.dedup();
        Ok(proofs)
    }

    /// The same, naming these operations too, as many as fit.
    fn write(
        &mut self,
        now: Now,
        actions: Vec<Action>,
        named: &[OpIndex],
    ) -> Result<OpId, SubmitError> {
        self.may_write(now).map_err(|_| SubmitError::NotYet)?;
        self.check_standing(&actions)?;
        let body = self.next_body(now, actions, named)?;
        let signed = Verified::sign(body, &self.key, &self.genesis, &self.digest);
        let operation = signed.map_err(SubmitError::Operation)?;
        match self.admit(&operation) {
            Ok(Admission::Ready) => {}
            Ok(_) => return Err(SubmitError::Unknown),
            Err(error) => return Err(SubmitError::Invalid(error)),
        }
        // What peers tell of the own chain from now on comes too late.
        self.write_gate = WriteGate::Open;
        let index = self.enter(&operation, 0);
        let id = operation.id();
        self.outputs.push_back(Output::Persist {
            index,
            operation: operation.clone(),
        });
        self.unwritten.push_back((index, operation));
        let changes = self.replica.merge(now.monotonic_ms);
        self.report(changes);
        Ok(id)
    }

    /// Whether the node may write this. An expelled one may still settle.
    fn check_standing(&self, actions: &[Action]) -> Result<(), SubmitError> {
        let is_placing = |action: &Action| matches!(action, Action::Place(_));
        match self.standing(&self.author) {
            Standing::Expelled if !actions.iter().any(is_placing) => Ok(()),
            Standing::Member => Ok(()),
            standing => Err(SubmitError::NotMember(standing)),
        }
    }

    /// The operation that admitted the node, which its first one has to name.
    fn own_admission(&self) -> Option<OpIndex> {
        if self.genesis.is_founder(&self.author) {
            return None;
        }
        let admission = self.membership.admission(&self.author);
        admission.map(|event| event.index)
    }

    /// The body of the next own operation: later than everything applied, and referring to what
    /// stands last, so that what its user saw sorts before it.
    fn next_body(
        &self,
        now: Now,
        actions: Vec<Action>,
        named: &[OpIndex],
    ) -> Result<Body, SubmitError> {
        let time = self.next_time(now);
        if Delivery::is_ahead(time, now) {
            return Err(SubmitError::ClockAhead(time.unix_ms() - now.unix_ms));
        }
        let heads = self.dag().heads_of(&self.author);
        let head = heads.max_by_key(|head| (self.dag().seq(*head), self.dag().id(*head)));
        let news = self
            .last_foreign
            .filter(|last| self.referred != Some(*last) && !named.contains(last));
        let admission = head.is_none().then(|| self.own_admission()).flatten();
        let admission = admission.filter(|it| news != Some(*it) && !named.contains(it));
        let refs = news
            .into_iter()
            .chain(admission)
            .chain(named.iter().copied());
        let refs = refs.take(REFS_MAX);
        Ok(Body {
            version: OPERATION_VERSION,
            author: self.author,
            seq: head.map_or(0, |head| self.dag().seq(head) + 1),
            prev: head.map(|head| self.dag().id(head)),
            time,
            refs: refs.map(|at| self.dag().id(at)).collect(),
            checkpoint: 0,
            actions,
        })
    }

    /// The first `count` operations are on disk.
    pub fn handle_persisted(&mut self, count: usize) {
        assert!(
            count <= self.dag().len(),
            "the store acknowledges what it was never given"
        );
        self.persisted = self.persisted.max(count);
        let persisted = self.persisted;
        let is_durable = |index: &OpIndex| (index.0 as usize) < persisted;
        while let Some((_, changes)) = self.held.pop_front_if(|(index, _)| is_durable(index)) {
            self.outputs.push_back(Output::Changed(changes));
        }
        while let Some((_, operation)) = self.unwritten.pop_front_if(|(index, _)| is_durable(index))
        {
            self.outputs.push_back(Output::Written(operation.id()));
            self.outputs.push_back(Output::Relay {
                operation,
                from: None,
            });
        }
    }

    /// A link is gone.
    pub fn handle_link_down(&mut self, link: LinkId) {
        self.delivery.forget_link(link);
    }

    /// Own trades that are not final whose ids lie between these.
    pub fn waiting_trades(&self, low: &TradeId, high: &TradeId) -> Vec<WaitingTrade> {
        let settlement = self.settlement.as_ref();
        settlement.map_or_else(Vec::new, |settlement| {
            settlement.waiting_between(&self.replica, low, high)
        })
    }

    /// The digests of the state that follows from all applied operations.
    pub fn digests(&mut self) -> Digests {
        let changes = self.replica.merge_all();
        self.report(changes);
        self.replica.prepare_digests(usize::MAX);
        let ReplicaDigests {
            book,
            trades,
            orders,
        } = self.replica.digests();
        Digests {
            operations: self.dag().len() as u64,
            set: self.dag().digest(),
            book,
            trades,
            final_trades: self.confirmations.final_trades_digest(),
            orders,
        }
    }
}

#[cfg(test)]
mod tests;
