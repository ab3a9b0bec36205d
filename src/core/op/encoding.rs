//! How an action is encoded: an array that begins with a tag.

use core::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Action, Half, MemberChange, Place};
use crate::matching::{Pricing, SelfTrade, TimeInForce};
use crate::types::{Side, Ticks};

/// First element of an encoded action.
mod tag {
    pub const PLACE_LIMIT: u8 = 0;
    pub const PLACE_MARKET: u8 = 1;
    pub const CANCEL: u8 = 2;
    pub const REPLACE: u8 = 3;
    pub const CONFIRM: u8 = 4;
    pub const DECLINE: u8 = 5;
    pub const RELEASE: u8 = 6;
    pub const ADMIT: u8 = 7;
    pub const EXPEL: u8 = 8;
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Place(place) => {
                let terms = Terms::of(place);
                let (tag, price) = match place.pricing {
                    Pricing::Limit(price) => (tag::PLACE_LIMIT, Some(price)),
                    Pricing::Market(protection) => (tag::PLACE_MARKET, protection),
                };
                let (market, quantity) = (place.market, place.quantity);
                (tag, market, terms.0, price, quantity, place.expires_ms).serialize(serializer)
            }
            Self::Cancel { market, order } => (tag::CANCEL, market, order).serialize(serializer),
            Self::Replace {
                market,
                order,
                side,
                price,
                quantity,
            } => {
                let side = side_bit(*side);
                (tag::REPLACE, market, order, side, price, quantity).serialize(serializer)
            }
            Self::Confirm(Half {
                market,
                own,
                other,
                piece,
                quantity,
                price,
            }) => (tag::CONFIRM, market, own, other, piece, quantity, price).serialize(serializer),
            Self::Decline { market, own, other } => {
                (tag::DECLINE, market, own, other).serialize(serializer)
            }
            Self::Release { market, own, other } => {
                (tag::RELEASE, market, own, other).serialize(serializer)
            }
            Self::Member { author, change } => {
                let tag = match change {
                    MemberChange::Admit => tag::ADMIT,
                    MemberChange::Expel => tag::EXPEL,
                };
                (tag, author).serialize(serializer)
            }
        }
    }
}

/// How a side is encoded.
fn side_bit(side: Side) -> u8 {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// Side, time in force and self-trade prevention of a new order in one byte:
/// bit 0 the side, bits 1–2 the time in force, bits 3–4 the prevention.
pub(super) struct Terms(pub(super) u8);

impl Terms {
    pub(super) fn of(place: &Place) -> Self {
        let side = side_bit(place.side);
        let time_in_force = match place.time_in_force {
            TimeInForce::GoodTillCancel => 0,
            TimeInForce::ImmediateOrCancel => 1,
            TimeInForce::FillOrKill => 2,
            TimeInForce::PostOnly => 3,
        };
        let self_trade = match place.self_trade {
            SelfTrade::CancelNewest => 0,
            SelfTrade::CancelOldest => 1,
            SelfTrade::CancelBoth => 2,
            SelfTrade::Allow => 3,
        };
        Self(side | time_in_force << 1 | self_trade << 3)
    }

    pub(super) fn side(&self) -> Side {
        if self.0 & 1 == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    pub(super) fn time_in_force(&self) -> TimeInForce {
        match (self.0 >> 1) & 3 {
            0 => TimeInForce::GoodTillCancel,
            1 => TimeInForce::ImmediateOrCancel,
            2 => TimeInForce::FillOrKill,
            _ => TimeInForce::PostOnly,
        }
    }

    /// `None` where the network does not allow it: trading with oneself, or unknown bits.
    pub(super) fn self_trade(&self) -> Option<SelfTrade> {
        match self.0 >> 3 {
            0 => Some(SelfTrade::CancelNewest),
            1 => Some(SelfTrade::CancelOldest),
            2 => Some(SelfTrade::CancelBoth),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ActionVisitor)
    }
}

/// Reads `[tag, fields…]`.
struct ActionVisitor;

impl<'de> Visitor<'de> for ActionVisitor {
    type Value = Action;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an action: [tag, fields…]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Action, A::Error> {
        let tag: u8 = next(&mut fields)?;
        let change = match tag {
            tag::ADMIT => Some(MemberChange::Admit),
            tag::EXPEL => Some(MemberChange::Expel),
            _ => None,
        };
        if let Some(change) = change {
            let author = next(&mut fields)?;
            return Ok(Action::Member { author, change });
        }
        let market = next(&mut fields)?;
        match tag {
            tag::PLACE_LIMIT | tag::PLACE_MARKET => {
                let terms = Terms(next(&mut fields)?);
                let price: Option<Ticks> = next(&mut fields)?;
                let pricing = match (tag, price) {
                    (tag::PLACE_LIMIT, Some(price)) => Pricing::Limit(price),
                    (tag::PLACE_LIMIT, None) => return Err(de::Error::custom("no price")),
                    (_, protection) => Pricing::Market(protection),
                };
                let self_trade = terms
                    .self_trade()
                    .ok_or_else(|| de::Error::custom("unknown terms"))?;
                Ok(Action::Place(Place {
                    market,
                    side: terms.side(),
                    pricing,
                    quantity: next(&mut fields)?,
                    time_in_force: terms.time_in_force(),
                    self_trade,
                    expires_ms: next(&mut fields)?,
                }))
            }
            tag::CANCEL => Ok(Action::Cancel {
                market,
                order: next(&mut fields)?,
            }),
            tag::REPLACE => Ok(Action::Replace {
                market,
                order: next(&mut fields)?,
                side: match next(&mut fields)? {
                    0_u8 => Side::Buy,
                    1 => Side::Sell,
                    _ => return Err(de::Error::custom("unknown side")),
                },
                price: next(&mut fields)?,
                quantity: next(&mut fields)?,
            }),
            tag::CONFIRM => Ok(Action::Confirm(Half {
                market,
                own: next(&mut fields)?,
                other: next(&mut fields)?,
                piece: next(&mut fields)?,
                quantity: next(&mut fields)?,
                price: next(&mut fields)?,
            })),
            tag::DECLINE => Ok(Action::Decline {
                market,
                own: next(&mut fields)?,
                other: next(&mut fields)?,
            }),
            tag::RELEASE => Ok(Action::Release {
                market,
                own: next(&mut fields)?,
                other: next(&mut fields)?,
            }),
            _ => Err(de::Error::custom("unknown action")),
        }
    }
}

/// The next field of an action, which must be there.
fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(fields: &mut A) -> Result<T, A::Error> {
    fields
        .next_element()?
        .ok_or_else(|| de::Error::custom("a field is missing"))
}
