//! Liars, one file each.
//!
//! A liar is a host with a whole honest node on it, and an [`Adversary`] between that node and the
//! network: it sees what the node sends and receives, may hold it back or change it, and sends
//! frames of its own. What it signs for itself it signs with other keys than the node's, so that
//! the node's own chain stays whole; whose keys those are nobody can tell.
//!
//! Liars lie as long as users write, those who answer late a little longer. When the network has
//! healed they write nothing new, for then everyone must agree, but what they hold back they go on
//! holding back.

mod backdate;
mod bad_signature;
mod confirm_silent;
mod dangling;
mod double_confirm;
mod equivocate;
mod forge;
mod fork;
mod future;
mod heads;
mod late_answer;
mod late_tick;
mod never_confirm;
mod no_refs;
mod replay;
mod selective;
mod silent;
mod swallow;
mod sybil;
mod trader;
mod unserving;
mod withhold_release;

use bitfitech_core::matching::{Pricing, SelfTrade, TimeInForce};
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, Place, Verified};
use bitfitech_core::types::{AuthorKey, HybridTime, LinkId, Lots, Now, OpId, Side, Ticks};
use bitfitech_core::wire::{Frame, Ops};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use crate::event::{MS, Micros};
use crate::host::SimNode;
use crate::parcel::Parcel;
use crate::random::Random;
use crate::world::World;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Passes,
    /// It is dropped.
    Vanishes,
}

/// A way of lying.
pub trait Adversary: Send {
    /// The node sends a frame.
    fn on_send(&mut self, _liar: &mut Liar<'_>, _link: LinkId, _frame: &mut Frame<Parcel>) -> Fate {
        Fate::Passes
    }

    /// A moment to lie by itself; comes a few times a second while users write.
    fn act(&mut self, _liar: &mut Liar<'_>) {}
}

/// What a liar can use.
pub struct Liar<'a> {
    /// The plan.
    pub world: &'a World,
    /// The node, of whose set it knows.
    pub node: &'a SimNode,
    /// What that node has applied, in order.
    pub applied: &'a [Verified],
    /// Its clocks.
    pub now: Now,
    /// Its random numbers.
    pub random: &'a mut Random,
    /// Frames to be sent.
    pub sent: Vec<(LinkId, Frame<Parcel>)>,
}

/// A kind of liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(usize);

/// What answers too late comes within this time: beyond the time for an answer.
const LATE_US: Micros = 20_000 * MS;

/// Names of all kinds.
pub const NAMES: [&str; 21] = [
    "backdate",
    "bad-signature",
    "confirm-silent",
    "dangling",
    "double-confirm",
    "equivocate",
    "fork",
    "forge",
    "future",
    "heads",
    "late-answer",
    "late-tick",
    "never-confirm",
    "no-refs",
    "replay",
    "selective",
    "silent",
    "swallow",
    "sybil",
    "unserving",
    "withhold-release",
];

/// The kind of a name.
pub fn find(name: &str) -> Option<Kind> {
    NAMES.iter().position(|known| *known == name).map(Kind)
}

impl Kind {
    /// The kind number so and so, counted round.
    pub fn number(number: usize) -> Self {
        Self(number % NAMES.len())
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES[self.0]
    }

    /// Whether its node settles its trades by itself.
    pub fn settles(self) -> bool {
        self.name() != "never-confirm"
    }

    /// For how long it goes on to lie when users have stopped.
    pub fn outlasts_users_us(self) -> Micros {
        match self.name() {
            "late-answer" | "withhold-release" => LATE_US,
            _ => 0,
        }
    }

    /// A liar of this kind.
    pub fn make(self, random: &mut Random) -> Box<dyn Adversary> {
        match self.name() {
            "backdate" => Box::new(backdate::Backdate),
            "bad-signature" => Box::new(bad_signature::BadSignature),
            "confirm-silent" => Box::new(confirm_silent::ConfirmSilent::new(random)),
            "dangling" => Box::new(dangling::Dangling::new(random)),
            "double-confirm" => Box::new(double_confirm::DoubleConfirm::new(random)),
            "equivocate" => Box::new(equivocate::Equivocate::new(random)),
            "fork" => Box::new(fork::Fork::new(random)),
            "forge" => Box::new(forge::Forge),
            "future" => Box::new(future::Future::new(random)),
            "heads" => Box::new(heads::InventedHeads),
            "late-answer" => Box::new(late_answer::LateAnswer::new(random)),
            "late-tick" => Box::new(late_tick::LateTick::new(random)),
            "never-confirm" => Box::new(never_confirm::NeverConfirm::new(random)),
            "no-refs" => Box::new(no_refs::NoRefs::new(random)),
            "replay" => Box::new(replay::Replay),
            "selective" => Box::new(selective::Selective),
            "silent" => Box::new(silent::Silent),
            "swallow" => Box::new(swallow::Swallow),
            "sybil" => Box::new(sybil::Sybil),
            "unserving" => Box::new(unserving::Unserving),
            "withhold-release" => Box::new(withhold_release::WithholdRelease::new(random)),
            other => unreachable!("there is no kind {other}"),
        }
    }
}

/// A chain that a liar writes.
pub struct Chain {
    key: SigningKey,
    author: AuthorKey,
    /// The newest operation: its id, number and time.
    last: Option<(OpId, u64, HybridTime)>,
}

impl Chain {
    /// A chain with a fresh key.
    pub fn new(random: &mut Random) -> Self {
        let mut secret = [0; 32];
        secret.fill_with(|| random.any() as u8);
        let key = SigningKey::from(secret);
        let author = AuthorKey(VerificationKeyBytes::from(&key).into());
        Self {
            key,
            author,
            last: None,
        }
    }

    /// The next operation of the chain, at this time or as soon after it as is valid.
    pub fn next(&self, unix_ms: u64, refs: Vec<OpId>, actions: Vec<Action>) -> Body {
        let after = self.last.and_then(|(_, _, time)| time.next());
        let time = HybridTime::from_unix_ms(unix_ms);
        Body {
            version: OPERATION_VERSION,
            author: self.author,
            seq: self.last.map_or(0, |(_, seq, _)| seq + 1),
            prev: self.last.map(|(id, _, _)| id),
            time: after.map_or(time, |after| after.max(time)),
            refs,
            checkpoint: 0,
            actions,
        }
    }

    /// Signs a body, without going on from it.
    pub fn sign(&self, world: &World, body: Body) -> Verified {
        let signed = Verified::sign(body, &self.key, &world.genesis, &world.digest);
        signed.expect("a liar's body is well-formed")
    }

    /// Signs a body; the next one comes after it.
    pub fn append(&mut self, world: &World, body: Body) -> Verified {
        let (seq, time) = (body.seq, body.time);
        let signed = self.sign(world, body);
        self.last = Some((signed.id(), seq, time));
        signed
    }
}

impl Liar<'_> {
    /// Pushes operations to a link.
    pub fn push(&mut self, link: LinkId, operations: Vec<Parcel>) {
        // The fewest hops: the most attractive parent.
        let hops = vec![1; operations.len()];
        self.sent.push((link, Frame::Ops(Ops { operations, hops })));
    }

    /// Pushes an operation to everyone.
    pub fn push_to_all(&mut self, operation: &Verified) {
        for link in self.links() {
            self.push(link, vec![Parcel::Good(operation.clone())]);
        }
    }

    /// All links.
    pub fn links(&self) -> Vec<LinkId> {
        self.node.peers().map(|(link, _)| link).collect()
    }

    /// An order that may trade with others.
    pub fn order(&mut self) -> Action {
        let side = match self.random.below(2) {
            0 => Side::Buy,
            _ => Side::Sell,
        };
        Action::Place(Place {
            market: self.world.any_market(self.random),
            side,
            pricing: Pricing::Limit(Ticks(2_999_900 + self.random.below(200))),
            quantity: Lots(1_000 + self.random.below(10_000)),
            time_in_force: TimeInForce::GoodTillCancel,
            self_trade: SelfTrade::CancelNewest,
            expires_ms: None,
        })
    }

    /// An operation that the node has applied lately.
    pub fn known(&mut self) -> Option<Verified> {
        let recent = self.applied.len().min(100);
        (recent > 0).then(|| {
            let back = self.random.index(recent);
            self.applied[self.applied.len() - 1 - back].clone()
        })
    }
}
