//! The genesis: what all nodes of one network agree on before the first operation.
//!
//! Its digest is part of every operation's id and of every handshake, so nodes of different
//! networks never mix, and a refused handshake can name the field that differs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::market::{Market, MarketSpec};
use crate::types::{AuthorKey, Digest, MarketIndex};

/// Version of the rules. A change of any rule that decides state raises it.
pub const RULES_VERSION: u16 = 3;

/// Most markets of one network.
pub const MARKETS_MAX: usize = 256;

/// Most authors on an allow-list.
pub const ALLOW_LIST_MAX: usize = 10_000;

/// Most administrators of a network. A guess: each may change who is a member, so few is wise.
pub const ADMINISTRATORS_MAX: usize = 16;

/// The agreed beginning of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Name of the network, 1 to 32 of `a-z 0-9 - _ .`.
    pub network: String,
    /// The markets, in configured order; an operation names one by its position.
    pub markets: Vec<Market>,
    /// Width of a bucket of the total order, in milliseconds.
    pub bucket_ms: u32,
    /// How long an author may be silent before his resting orders lapse, in milliseconds.
    pub lease_ms: u32,
    /// How far apart the two halves of a confirmed trade may be in time, in milliseconds.
    pub answer_ms: u32,
    /// Authors whose operations are valid from the beginning, sorted.
    pub allow_list: Vec<AuthorKey>,
    /// Members who admit and expel others, sorted (see [`crate::membership`]). Without any, and
    /// without an allow-list, everyone may write.
    pub administrators: Vec<AuthorKey>,
}

/// Why a genesis cannot be. The text names the configuration key and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenesisError {
    /// The network's name has a wrong form.
    Network(String),
    /// No market, or more than [`MARKETS_MAX`].
    MarketCount(usize),
    /// Two markets of the same pair.
    DuplicatePair(String),
    /// A duration outside its range.
    Duration {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        value_ms: u32,
        /// Least allowed.
        min_ms: u32,
        /// Most allowed.
        max_ms: u32,
    },
    /// Too many authors on the allow-list.
    AllowList(usize),
    /// Too many administrators.
    Administrators(usize),
}

impl fmt::Display for GenesisError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(
                out,
                "network.name `{name}` must be 1 to 32 of the characters a-z 0-9 - _ ."
            ),
            Self::MarketCount(count) => {
                write!(out, "markets: {count} given, 1 to {MARKETS_MAX} allowed")
            }
            Self::DuplicatePair(pair) => write!(out, "markets: the pair {pair} is given twice"),
            Self::Duration {
                key,
                value_ms,
                min_ms,
                max_ms,
            } => {
                write!(
                    out,
                    "{key} = {value_ms} must be {min_ms} to {max_ms} milliseconds"
                )
            }
            Self::AllowList(count) => write!(
                out,
                "network.allow_list has {count} keys, at most {ALLOW_LIST_MAX} are allowed"
            ),
            Self::Administrators(count) => write!(
                out,
                "network.administrators has {count} keys, at most {ADMINISTRATORS_MAX} are allowed"
            ),
        }
    }
}

impl core::error::Error for GenesisError {}

impl Genesis {
    /// What a node without a configuration agrees to, under another name.
    ///
    /// # Panics
    /// If the name has a wrong form.
    pub fn standard(network: &str) -> Self {
        let market = Market::new(&MarketSpec::STANDARD).expect("the standard market is valid");
        Self {
            network: network.to_string(),
            markets: alloc::vec![market],
            bucket_ms: 50,
            lease_ms: 90_000,
            answer_ms: 15_000,
            allow_list: Vec::new(),
            administrators: Vec::new(),
        }
        .checked()
        .expect("the network has a name")
    }

    /// Checks all fields and brings the lists of keys into canonical order.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn checked(mut self) -> Result<Self, GenesisError> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !(1..=32).contains(&self.network.len()) || !self.network.bytes().all(plain) {
            return Err(GenesisError::Network(
                self.network.chars().take(40).collect(),
            ));
        }
        if self.markets.is_empty() || self.markets.len() > MARKETS_MAX {
            return Err(GenesisError::MarketCount(self.markets.len()));
        }
        for (position, market) in self.markets.iter().enumerate() {
            if self.markets[..position]
                .iter()
                .any(|other| other.pair() == market.pair())
            {
                return Err(GenesisError::DuplicatePair(market.pair().to_string()));
            }
        }
        check_duration("network.bucket_ms", self.bucket_ms, 1, 60_000)?;
        check_duration("network.lease_ms", self.lease_ms, 1_000, 86_400_000)?;
        check_duration("network.answer_ms", self.answer_ms, 100, 3_600_000)?;
        if self.allow_list.len() > ALLOW_LIST_MAX {
            return Err(GenesisError::AllowList(self.allow_list.len()));
        }
        self.allow_list.sort_unstable();
        self.allow_list.dedup();
        self.administrators.sort_unstable();
        self.administrators.dedup();
        if self.administrators.len() > ADMINISTRATORS_MAX {
            return Err(GenesisError::Administrators(self.administrators.len()));
        }
        Ok(self)
    }

    /// The digest that names this network: BLAKE3 over all fields in a fixed form.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"bitfitech genesis");
        hasher.update(&RULES_VERSION.to_be_bytes());
        for (_, value) in self.fields() {
            hasher.update(&(value.len() as u64).to_be_bytes());
            hasher.update(value.as_bytes());
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Every field by its configuration name, as text: handshakes name the one that differs.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let markets = self.markets.iter().map(|market| {
            alloc::format!(
                "{} tick {} lot {} max_price {} max_quantity {}",
                market.pair(),
                market.tick(),
                market.lot(),
                market.price_text(market.max_price()),
                market.quantity_text(u128::from(market.max_quantity().0)),
            )
        });
        let mut fields = alloc::vec![
            ("network.name", self.network.clone()),
            ("markets", markets.collect::<Vec<_>>().join("; ")),
            ("network.bucket_ms", self.bucket_ms.to_string()),
            ("network.lease_ms", self.lease_ms.to_string()),
            ("network.answer_ms", self.answer_ms.to_string()),
            ("network.allow_list", keys_text(&self.allow_list)),
        ];
        // Absent where there are none, so that the digests of other networks stay what they were.
        if !self.administrators.is_empty() {
            fields.push(("network.administrators", keys_text(&self.administrators)));
        }
        fields
    }

    /// The market at a position.
    pub fn market(&self, index: MarketIndex) -> Option<&Market> {
        self.markets.get(usize::from(index.0))
    }

    /// The market of a pair.
    pub fn find_market(&self, pair: &str) -> Option<(MarketIndex, &Market)> {
        let position = self
            .markets
            .iter()
            .position(|market| market.pair() == pair)?;
        Some((
            MarketIndex(u16::try_from(position).ok()?),
            &self.markets[position],
        ))
    }

    /// Whether everyone may write.
    pub fn is_open(&self) -> bool {
        self.allow_list.is_empty() && self.administrators.is_empty()
    }

    /// Whether this author admits and expels others.
    pub fn is_administrator(&self, author: &AuthorKey) -> bool {
        self.administrators.binary_search(author).is_ok()
    }

    /// Whether this author may write from the beginning.
    pub fn is_founder(&self, author: &AuthorKey) -> bool {
        self.is_open()
            || self.allow_list.binary_search(author).is_ok()
            || self.is_administrator(author)
    }

    /// Whether this author may ever be allowed to write.
    pub fn allows(&self, author: &AuthorKey) -> bool {
        self.is_founder(author) || !self.administrators.is_empty()
    }
}

/// How many keys, and a digest of them.
fn keys_text(keys: &[AuthorKey]) -> String {
    let mut hasher = blake3::Hasher::new();
    keys.iter().for_each(|key| {
        hasher.update(&key.0);
    });
    alloc::format!("{} keys, {}", keys.len(), hasher.finalize().to_hex())
}

/// Checks a duration against its range.
fn check_duration(
    key: &'static str,
    value_ms: u32,
    min_ms: u32,
    max_ms: u32,
) -> Result<(), GenesisError> {
    if (min_ms..=max_ms).contains(&value_ms) {
        return Ok(());
    }
    Err(GenesisError::Duration {
        key,
        value_ms,
        min_ms,
        max_ms,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A genesis for tests: one market with the defaults of the program.
    pub(crate) fn test_genesis() -> Genesis {
        Genesis::standard("test")
    }

    #[test]
    fn every_field_is_in_the_digest() {
        let base = test_genesis();
        let other_market = Market::new(&MarketSpec {
            lot: "0.0001",
            ..MarketSpec::STANDARD
        })
        .expect("a valid market");
        let variants = [
            Genesis {
                network: "other".to_string(),
                ..base.clone()
            },
            Genesis {
                markets: alloc::vec![other_market],
                ..base.clone()
            },
            Genesis {
                bucket_ms: 51,
                ..base.clone()
            },
            Genesis {
                lease_ms: 90_001,
                ..base.clone()
            },
            Genesis {
                answer_ms: 15_001,
                ..base.clone()
            },
            Genesis {
                allow_list: alloc::vec![AuthorKey([1; 32])],
                ..base.clone()
            },
            Genesis {
                administrators: alloc::vec![AuthorKey([1; 32])],
                ..base.clone()
            },
        ];
        for variant in &variants {
            assert_ne!(variant.digest(), base.digest(), "{variant:?}");
        }
        assert_eq!(base.clone().digest(), base.digest());
    }

    #[test]
    fn wrong_fields_are_named() {
        let base = test_genesis();
        let twice = alloc::vec![base.markets[0].clone(), base.markets[0].clone()];
        for (wrong, named) in [
            (
                Genesis {
                    network: "A b".to_string(),
                    ..base.clone()
                },
                "network.name",
            ),
            (
                Genesis {
                    markets: Vec::new(),
                    ..base.clone()
                },
                "markets",
            ),
            (
                Genesis {
                    markets: twice,
                    ..base.clone()
                },
                "BTC/USD",
            ),
            (
                Genesis {
                    bucket_ms: 0,
                    ..base.clone()
                },
                "network.bucket_ms",
            ),
        ] {
            let text = wrong.checked().expect_err("must be refused").to_string();
            assert!(text.contains(named), "{text}");
        }
    }
}
