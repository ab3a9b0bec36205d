//! Operations: what authors sign, and nothing else changes the exchange.
//!
//! An operation is a body and a signature, `[body, signature]` in MessagePack. The body names its
//! author, its place in the author's own chain (`seq`, `prev`), the operations of others that the
//! author had seen (`refs`), a time, and what the author wants done. Its id is
//! `BLAKE3("op1" ‖ genesis ‖ body)` and the signature is over the id.
//!
//! Because every operation names what came before it, nobody can alter, reorder or drop a part of
//! history unnoticed (Kleppmann, "Making CRDTs Byzantine fault tolerant", 2022). Whether an
//! operation is *valid* depends on itself and its ancestors only; [`Operation::decode`] checks what
//! needs no ancestors, [`crate::dag`] the rest. An action whose effect turns out to be impossible
//! is valid and simply has none.
//!
//! There is exactly one encoding of a body: what does not re-encode to itself is refused, and so
//! are trailing bytes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ed25519_zebra::SigningKey;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

use crate::genesis::Genesis;
use crate::matching::{Pricing, SelfTrade, TimeInForce};
use crate::types::{
    AuthorKey, Digest, HybridTime, Lots, MarketIndex, OpId, OpStem, OrderId, Side, Ticks,
};
use crate::wire::Payload;

mod encoding;

/// Version of the encoding.
pub const OPERATION_VERSION: u8 = 1;

/// Most operations of other authors that one operation may name.
pub const REFS_MAX: usize = 4;

/// Most actions of one operation.
pub const ACTIONS_MAX: usize = 64;

/// Most bytes that the actions of one operation may take, encoded.
pub const ACTIONS_BYTES_MAX: usize = 4096;

/// Most bytes of a body: its actions, and room for every other field at its largest.
pub const BODY_BYTES_MAX: usize = ACTIONS_BYTES_MAX + 256;

/// Most bytes of an operation on the wire: body, signature and their two length prefixes.
pub const WIRE_BYTES_MAX: usize = BODY_BYTES_MAX + 64 + 8;

/// One thing an author wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Places an order. Its id is made of the operation's id and the action's index.
    Place(Place),
    /// Cancels an order of an earlier operation.
    Cancel {
        /// The order's market.
        market: MarketIndex,
        /// The order.
        order: OrderId,
    },
    /// Changes an order of an earlier operation.
    ///
    /// Without a price it only ever *reduces*: a quantity that is not below the present total has
    /// no effect. So what kind of change it is can be told without looking at the book, which the
    /// total order needs. To raise the quantity, name the price again. With a price it makes a new
    /// order, and says by itself all that a confirmation of that order is checked against.
    Replace {
        /// The order's market.
        market: MarketIndex,
        /// The order.
        order: OrderId,
        /// The side of the order; it has no effect on an order of the other side.
        side: Side,
        /// The new price.
        price: Option<Ticks>,
        /// The new total quantity.
        quantity: Lots,
    },
    /// One half of a final trade (see [`crate::confirmation`]).
    Confirm(Half),
    /// The author's order and this other one no longer meet.
    Decline {
        /// The market of both.
        market: MarketIndex,
        /// The author's order.
        own: OrderId,
        /// The other one.
        other: OrderId,
    },
    /// Like a refusal, and the author's open halves of the pair no longer withhold anything, though
    /// nothing proves that they will not be answered: at his own risk.
    Release {
        /// The market of both.
        market: MarketIndex,
        /// The author's order.
        own: OrderId,
        /// The other one.
        other: OrderId,
    },
    /// An administrator lets an author write, or no longer place orders (see
    /// [`crate::membership`]).
    Member {
        /// The author.
        author: AuthorKey,
        /// Which of the two.
        change: MemberChange,
    },
}

/// What an administrator does to an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberChange {
    /// Lets him write.
    Admit,
    /// Ends his resting orders, and what he places from then on is rejected.
    Expel,
}

/// What one owner signs of a trade. Two that match make it final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// The market of both orders.
    pub market: MarketIndex,
    /// The order of the author.
    pub own: OrderId,
    /// The order that it trades with.
    pub other: OrderId,
    /// The how-manieth piece of this pair, from 0.
    pub piece: u32,
    /// How much changes hands.
    pub quantity: Lots,
    /// At which price.
    pub price: Ticks,
}

impl Half {
    /// The refusal of the two orders by the same owner.
    pub fn refusal(&self) -> Action {
        Action::Decline {
            market: self.market,
            own: self.own,
            other: self.other,
        }
    }
}

/// The terms of a new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which market.
    pub market: MarketIndex,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub pricing: Pricing,
    /// How much.
    pub quantity: Lots,
    /// Terms of entry.
    pub time_in_force: TimeInForce,
    /// What happens when it would meet an order of the same author.
    pub self_trade: SelfTrade,
    /// Until when it may rest, in Unix milliseconds; `None`: until it is cancelled.
    pub expires_ms: Option<u64>,
}

impl Action {
    /// The market in which it acts; a change of members acts in all.
    pub fn market(&self) -> Option<MarketIndex> {
        match self {
            Self::Place(place) => Some(place.market),
            Self::Confirm(half) => Some(half.market),
            Self::Cancel { market, .. }
            | Self::Replace { market, .. }
            | Self::Decline { market, .. }
            | Self::Release { market, .. } => Some(*market),
            Self::Member { .. } => None,
        }
    }

    /// The own and the other order of a confirmation or a refusal to trade.
    pub fn pair(&self) -> Option<(OrderId, OrderId)> {
        match self {
            Self::Confirm(half) => Some((half.own, half.other)),
            Self::Decline { own, other, .. } | Self::Release { own, other, .. } => {
                Some((*own, *other))
            }
            Self::Place(_) | Self::Cancel { .. } | Self::Replace { .. } | Self::Member { .. } => {
                None
            }
        }
    }

    /// The change of members that it is.
    pub fn member(&self) -> Option<(&AuthorKey, MemberChange)> {
        match self {
            Self::Member { author, change } => Some((author, *change)),
            _ => None,
        }
    }

    /// The half that it is.
    pub fn half(&self) -> Option<&Half> {
        match self {
            Self::Confirm(half) => Some(half),
            _ => None,
        }
    }
}

impl Place {
    /// Whether it can come to rest in the book.
    pub fn may_rest(&self) -> bool {
        let rests = matches!(
            self.time_in_force,
            TimeInForce::GoodTillCancel | TimeInForce::PostOnly
        );
        rests && matches!(self.pricing, Pricing::Limit(_))
    }
}

impl Body {
    /// The operations of other authors' orders that its confirmations and refusals name: ancestors
    /// that are no refs. Each may come several times.
    pub fn counterparts(&self) -> impl Iterator<Item = OpStem> + '_ {
        let pairs = self.actions.iter().filter_map(Action::pair);
        pairs.map(|(_, other)| other.stem())
    }
}

/// What an author signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// [`OPERATION_VERSION`].
    pub version: u8,
    /// Who writes.
    pub author: AuthorKey,
    /// Position in the author's own chain, from 0.
    pub seq: u64,
    /// The operation before it in that chain; `None` for the first.
    pub prev: Option<OpId>,
    /// Greater than the time of `prev` and of every ref.
    pub time: HybridTime,
    /// Operations of other authors that the author had applied, at most [`REFS_MAX`].
    pub refs: Vec<OpId>,
    /// Last final height known; 0 until there is a quorum.
    pub checkpoint: u64,
    /// What is to be done, in order; empty for a heartbeat.
    pub actions: Vec<Action>,
}

/// A decoded operation whose signature has not been checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    id: OpId,
    body: Body,
    signature: [u8; 64],
    wire: Arc<[u8]>,
}

/// An operation whose signature is known to be good. Copies share its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Arc<Operation>);

/// Why bytes are not a valid operation, whatever else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationError {
    /// More bytes than an operation can have.
    TooLarge,
    /// Not an operation in MessagePack.
    Malformed,
    /// Not the one canonical encoding.
    NotCanonical,
    /// A version or a checkpoint that this program does not know.
    Unsupported,
    /// A count or a field outside its limits.
    Limits,
    /// The chain position is impossible: `seq` 0 with a `prev`, or the reverse.
    Chain,
    /// A market that the genesis does not have, or amounts outside its limits.
    Market,
    /// An order that can never rest names a time to expire, or one that rests a time that is over.
    Expiry,
    /// A confirmation or refusal that names one order twice.
    Pair,
    /// The genesis does not let this author write, or change who may.
    NotAllowed,
    /// The author's key is of small order or not canonical.
    Key,
    /// The signature is wrong.
    Signature,
}

impl fmt::Display for OperationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooLarge => "operation is too large",
            Self::Malformed => "operation is malformed",
            Self::NotCanonical => "operation is not in its canonical encoding",
            Self::Unsupported => "operation has an unsupported version",
            Self::Limits => "operation exceeds a limit",
            Self::Chain => "operation has an impossible chain position",
            Self::Market => "operation names an unknown market or an amount outside its limits",
            Self::Expiry => "only orders that may rest expire, and not before they are placed",
            Self::Pair => "an order cannot trade with itself",
            Self::NotAllowed => "the genesis does not allow the author to write this",
            Self::Key => "author key is not acceptable",
            Self::Signature => "signature is wrong",
        })
    }
}

impl core::error::Error for OperationError {}

impl Operation {
    /// Reads an operation and checks all that needs neither ancestors nor the signature.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(wire: &[u8], genesis: &Genesis, digest: &Digest) -> Result<Self, OperationError> {
        if wire.len() > WIRE_BYTES_MAX {
            return Err(OperationError::TooLarge);
        }
        let (body_bytes, signature): (ByteBuf, ByteBuf) =
            rmp_serde::from_slice(wire).map_err(|_| OperationError::Malformed)?;
        let signature: [u8; 64] = signature
            .as_slice()
            .try_into()
            .map_err(|_| OperationError::Malformed)?;
        let body: Body =
            rmp_serde::from_slice(&body_bytes).map_err(|_| OperationError::Malformed)?;
        if encode(&body) != *body_bytes || encode_wire(&body_bytes, &signature) != wire {
            return Err(OperationError::NotCanonical);
        }
        check_body(&body, genesis)?;
        Ok(Self {
            id: operation_id(digest, &body_bytes),
            body,
            signature,
            wire: wire.into(),
        })
    }

    /// The operation's id.
    pub fn id(&self) -> OpId {
        self.id
    }

    /// What the author signed.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The signature over the id.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The bytes as received.
    pub fn wire(&self) -> &Arc<[u8]> {
        &self.wire
    }

    /// Vouches for an operation whose signature has been checked: by
    /// [`crate::signature::verify`], or before it was written to the node's own store.
    pub fn trust(self) -> Verified {
        Verified(Arc::new(self))
    }
}

impl Verified {
    /// Signs a body of the own author.
    ///
    /// # Errors
    /// When the body breaks a rule that needs no ancestors: the caller passed user input unchecked.
    pub fn sign(
        body: Body,
        key: &SigningKey,
        genesis: &Genesis,
        digest: &Digest,
    ) -> Result<Self, OperationError> {
        check_body(&body, genesis)?;
        let body_bytes = encode(&body);
        let id = operation_id(digest, &body_bytes);
        let signature = key.sign(&id.0).to_bytes();
        let wire = encode_wire(&body_bytes, &signature).into();
        Ok(Self(Arc::new(Operation {
            id,
            body,
            signature,
            wire,
        })))
    }
}

impl core::ops::Deref for Verified {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.0
    }
}

impl Payload for Verified {
    fn size_bytes(&self) -> usize {
        self.0.wire.len()
    }
}

/// The id of a body under a genesis.
fn operation_id(genesis: &Digest, body_bytes: &[u8]) -> OpId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"op1");
    hasher.update(&genesis.0);
    hasher.update(body_bytes);
    OpId(*hasher.finalize().as_bytes())
}

/// The canonical encoding of a value.
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("encoding plain data into memory cannot fail")
}

/// Body and signature as they travel.
fn encode_wire(body_bytes: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    encode(&(Bytes::new(body_bytes), Bytes::new(signature)))
}

/// Every rule that needs neither ancestors nor the signature.
fn check_body(body: &Body, genesis: &Genesis) -> Result<(), OperationError> {
    if body.version != OPERATION_VERSION || body.checkpoint != 0 {
        return Err(OperationError::Unsupported);
    }
    let refs_repeat = (1..body.refs.len()).any(|at| body.refs[..at].contains(&body.refs[at]))
        || body.prev.is_some_and(|prev| body.refs.contains(&prev));
    if body.refs.len() > REFS_MAX || refs_repeat || body.actions.len() > ACTIONS_MAX {
        return Err(OperationError::Limits);
    }
    if encode(&body.actions).len() > ACTIONS_BYTES_MAX {
        return Err(OperationError::TooLarge);
    }
    if (body.seq == 0) != body.prev.is_none() || body.seq == u64::MAX {
        return Err(OperationError::Chain);
    }
    if !genesis.allows(&body.author) {
        return Err(OperationError::NotAllowed);
    }
    check_members(body, genesis)?;
    body.actions.iter().try_for_each(|action| {
        check_expiry(action, body.time)?;
        check_action(action, genesis)
    })
}

/// Only an administrator changes who is a member, each author once in an operation, and never an
/// administrator: who they are is a matter of the genesis.
fn check_members(body: &Body, genesis: &Genesis) -> Result<(), OperationError> {
    let changed: Vec<_> = body.actions.iter().filter_map(Action::member).collect();
    let is_admin = |author| genesis.is_administrator(author);
    let touches_admin = changed.iter().any(|(author, _)| is_admin(author));
    if !changed.is_empty() && (!is_admin(&body.author) || touches_admin) {
        return Err(OperationError::NotAllowed);
    }
    let repeats = |at: usize| changed[..at].iter().any(|(it, _)| *it == changed[at].0);
    if (1..changed.len()).any(repeats) {
        return Err(OperationError::Limits);
    }
    Ok(())
}

/// Only what may rest expires, and only later than it is placed: an order whose time was over
/// before it came would else rest for ever.
fn check_expiry(action: &Action, time: HybridTime) -> Result<(), OperationError> {
    let Action::Place(place) = action else {
        return Ok(());
    };
    let Some(expires_ms) = place.expires_ms else {
        return Ok(());
    };
    let is_in_range = (time.unix_ms() + 1..1 << 48).contains(&expires_ms);
    if place.may_rest() && is_in_range {
        Ok(())
    } else {
        Err(OperationError::Expiry)
    }
}

/// Amounts within the limits of a market that exists.
fn check_action(action: &Action, genesis: &Genesis) -> Result<(), OperationError> {
    let Some(market) = action.market() else {
        return Ok(());
    };
    let market = genesis.market(market).ok_or(OperationError::Market)?;
    let (price, quantity) = match action {
        Action::Place(Place {
            self_trade: SelfTrade::Allow,
            ..
        }) => {
            return Err(OperationError::Limits);
        }
        Action::Place(place) => {
            let price = match place.pricing {
                Pricing::Limit(price) => Some(price),
                Pricing::Market(protection) => protection,
            };
            (price, Some(place.quantity))
        }
        Action::Cancel { .. } => (None, None),
        Action::Confirm(Half { own, other, .. })
        | Action::Decline { own, other, .. }
        | Action::Release { own, other, .. }
            if own == other =>
        {
            return Err(OperationError::Pair);
        }
        Action::Confirm(half) => (Some(half.price), Some(half.quantity)),
        Action::Decline { .. } | Action::Release { .. } | Action::Member { .. } => (None, None),
        Action::Replace {
            price, quantity, ..
        } => (*price, Some(*quantity)),
    };
    let price_fits = price.is_none_or(|price| market.allows_price(price));
    let quantity_fits = quantity.is_none_or(|quantity| market.allows_quantity(quantity));
    if price_fits && quantity_fits {
        Ok(())
    } else {
        Err(OperationError::Market)
    }
}

#[cfg(test)]
#[path = "op_tests.rs"]
pub(crate) mod tests;
