//! The vocabulary of every layer: identifiers, quantities, times.

use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::hex;

macro_rules! bytes_32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(#[serde(with = "serde_bytes")] pub [u8; 32]);

        impl $name {
            /// All 64 hexadecimal digits.
            pub fn to_hex(&self) -> String {
                alloc::format!("{self}")
            }

            /// Reads all 64 hexadecimal digits; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                hex::parse(text).map(Self)
            }

            /// The first 8 hexadecimal digits, for logs.
            pub fn short(&self) -> String {
                let mut text = self.to_hex();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(&self.0, out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({}…)", stringify!($name), self.short())
            }
        }
    };
}

bytes_32! {
    /// The ed25519 public key of a node: its identity as author and as peer.
    AuthorKey
}
bytes_32! {
    /// BLAKE3 of an operation's body under a genesis (see [`crate::op`]).
    OpId
}
bytes_32! {
    /// The first 31 bytes of the operation's id, then the index of the action in it.
    ///
    /// Thirty-two bytes, half a cache line, instead of `id ‖ index` with thirty-three; a collision
    /// of 248-bit prefixes costs 2^124 hashes.
    OrderId
}
bytes_32! {
    /// BLAKE3 of the two order ids of a trade and the number of the piece.
    TradeId
}
bytes_32! {
    /// A digest of some state, or of the genesis.
    Digest
}

impl TradeId {
    /// The id of the piece number `piece` that two orders trade with each other.
    pub fn new(first: &OrderId, second: &OrderId, piece: u32) -> Self {
        let (smaller, larger) = if first < second {
            (first, second)
        } else {
            (second, first)
        };
        // In one piece: a hasher that is fed bit by bit costs as much again as the hash.
        let mut bytes = [0; 70];
        bytes[..2].copy_from_slice(b"tr");
        bytes[2..34].copy_from_slice(&smaller.0);
        bytes[34..66].copy_from_slice(&larger.0);
        bytes[66..].copy_from_slice(&piece.to_be_bytes());
        Self(*blake3::hash(&bytes).as_bytes())
    }
}

impl OrderId {
    /// The id of the order that action number `index` of operation `op` places.
    pub fn new(op: &OpId, index: u8) -> Self {
        let mut bytes = op.0;
        bytes[31] = index;
        Self(bytes)
    }

    /// The operation that makes this order, as far as its id tells.
    pub fn stem(&self) -> OpStem {
        OpStem::of(&self.0)
    }

    /// The index of the action that makes it.
    pub fn index(&self) -> u8 {
        self.0[31]
    }

    /// A short name for people: the first 8 digits, and behind a point the index if it is not 0,
    /// for orders of one operation differ only there.
    pub fn name(&self) -> String {
        match self.index() {
            0 => self.short(),
            index => alloc::format!("{}.{index}", self.short()),
        }
    }
}

impl OpId {
    /// What all orders of this operation have in common with it.
    pub fn stem(&self) -> OpStem {
        OpStem::of(&self.0)
    }
}

/// The first 31 bytes of an operation's id: as much of it as the id of an order tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpStem([u8; 31]);

impl OpStem {
    fn of(id: &[u8; 32]) -> Self {
        let (stem, _) = id.split_first_chunk().expect("31 of 32 bytes");
        Self(*stem)
    }

    /// These bytes and a zero, where an id is asked for.
    pub fn padded(&self) -> OrderId {
        let mut bytes = [0; 32];
        bytes[..31].copy_from_slice(&self.0);
        OrderId(bytes)
    }

    /// The least and the greatest id that begin like this.
    pub fn range(&self) -> RangeInclusive<OpId> {
        let with_last = |last| {
            let mut bytes = [last; 32];
            bytes[..31].copy_from_slice(&self.0);
            OpId(bytes)
        };
        with_last(0)..=with_last(0xff)
    }
}

/// A price as a whole number of the market's ticks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ticks(pub u64);

/// A quantity as a whole number of the market's lots.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lots(pub u64);

/// The side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// A bid: wants the base currency, pays the quote currency.
    Buy,
    /// An ask: gives the base currency, wants the quote currency.
    Sell,
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// `buy` or `sell`, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// Whether a taker on this side with this limit accepts that maker's price.
    pub fn accepts(self, limit: Ticks, maker_price: Ticks) -> bool {
        match self {
            Self::Buy => maker_price <= limit,
            Self::Sell => maker_price >= limit,
        }
    }
}

/// Position of a market in the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MarketIndex(pub u16);

/// Hybrid logical clock reading: 48 bits of Unix milliseconds, then a 16-bit counter.
///
/// Source: Kulkarni et al., "Logical Physical Clocks" (2014), in its packed 64-bit form.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The first reading of a millisecond since the Unix epoch (saturating at 48 bits).
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms.min((1 << 48) - 1) << 16)
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// The least reading after this one; `None` at the end of time.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A connection to a peer, for as long as it lasts; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How an operation came over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// The peer pushed it as it was news.
    Push,
    /// It was pulled in a synchronisation.
    Sync,
}

impl Via {
    /// The word for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "pushed",
            Self::Sync => "pulled",
        }
    }
}

/// Where an operation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Over which link.
    pub link: LinkId,
    /// How.
    pub via: Via,
}

impl Source {
    /// Pushed by a link.
    pub fn push(link: LinkId) -> Self {
        Self {
            link,
            via: Via::Push,
        }
    }

    /// Pulled from a link.
    pub fn sync(link: LinkId) -> Self {
        Self {
            link,
            via: Via::Sync,
        }
    }
}

/// A reading of both local clocks, passed into every state machine that needs time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and goes on while the machine sleeps, from an
    /// arbitrary origin.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch, as the machine believes.
    pub unix_ms: u64,
}

/// A moment for tests, where the time of the calendar does not matter.
#[cfg(test)]
pub(crate) fn at(monotonic_ms: u64) -> Now {
    reading(monotonic_ms, 0)
}

/// A moment for tests.
#[cfg(test)]
pub(crate) fn reading(monotonic_ms: u64, unix_ms: u64) -> Now {
    Now {
        monotonic_ms,
        unix_ms,
    }
}
