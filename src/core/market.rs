//! Markets, and the edge between decimals and whole numbers.
//!
//! People and programs write decimals; inside there are only whole ticks and lots. What is not a
//! whole number of ticks or lots is refused, never rounded. The limits of a market are chosen so
//! that no price times quantity, and no sum over a book, can overflow what a decimal holds exactly.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use rust_decimal::Decimal;

use crate::types::{Lots, Ticks};

/// Largest price or quantity in units of its last decimal place. Sums over 2^32 orders stay below
/// the 2^96 of a decimal's mantissa.
pub const UNITS_MAX: u64 = 1 << 60;

/// Longest text accepted for an amount: the digits of a decimal, a point, and room for zeros.
pub const AMOUNT_TEXT_BYTES_MAX: usize = 40;

/// One market: a pair with its tick, lot and limits. Part of the genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Market {
    pair: String,
    tick: Decimal,
    lot: Decimal,
    max_price: Ticks,
    max_quantity: Lots,
}

/// A market as a configuration spells it. All amounts are decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketSpec<'a> {
    /// BASE/QUOTE.
    pub pair: &'a str,
    /// Smallest step of a price.
    pub tick: &'a str,
    /// Smallest step of a quantity.
    pub lot: &'a str,
    /// Largest price of an order.
    pub max_price: &'a str,
    /// Largest quantity of an order.
    pub max_quantity: &'a str,
}

impl MarketSpec<'static> {
    /// The market of a node that is configured with none.
    pub const STANDARD: Self = Self {
        pair: "BTC/USD",
        tick: "0.01",
        lot: "0.00000001",
        max_price: "1000000",
        max_quantity: "1000000",
    };
}

/// Why a market cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketError {
    /// The pair is not BASE/QUOTE of 1 to 16 letters, digits, `.`, `-` or `_` each.
    Pair(String),
    /// This key is not a positive decimal, or not a multiple of its step.
    Amount {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        error: AmountError,
    },
    /// Prices times quantities of this market would not be exact.
    TooFine,
}

impl fmt::Display for MarketError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pair(pair) => write!(
                out,
                "pair `{pair}` is not BASE/QUOTE of 1 to 16 letters, digits, '.', '-' or '_' each, \
                 for example BTC/USD"
            ),
            Self::Amount { key, error } => write!(out, "{key}: {error}"),
            Self::TooFine => write!(
                out,
                "the limits divided by tick and lot are too large for exact products: \
                 lower max_price or max_quantity, or use a coarser tick or lot"
            ),
        }
    }
}

impl core::error::Error for MarketError {}

/// Why a text is not an amount of this market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// Not digits with at most one decimal point.
    NotANumber(String),
    /// Zero.
    Zero,
    /// Between two steps.
    NotAMultiple {
        /// The amount.
        amount: Decimal,
        /// The tick or lot.
        step: Decimal,
    },
    /// Above the market's limit.
    AboveLimit {
        /// The amount.
        amount: Decimal,
        /// The limit.
        limit: Decimal,
    },
}

impl fmt::Display for AmountError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(text) => {
                write!(
                    out,
                    "`{text}` is not a decimal number such as 0.5 or 30000.01"
                )
            }
            Self::Zero => write!(out, "must be more than 0"),
            Self::NotAMultiple { amount, step } => write!(
                out,
                "{} is not a multiple of {}, and amounts are never rounded",
                amount.normalize(),
                step.normalize()
            ),
            Self::AboveLimit { amount, limit } => {
                write!(
                    out,
                    "{} is above the limit {}",
                    amount.normalize(),
                    limit.normalize()
                )
            }
        }
    }
}

impl core::error::Error for AmountError {}

/// Reads plain decimal digits: no sign, no exponent, no separators.
fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    let shown: String = text.chars().take(AMOUNT_TEXT_BYTES_MAX).collect();
    let bad = || AmountError::NotANumber(shown.clone());
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let digits_around_point = text.split('.').all(|digits| !digits.is_empty());
    if text.len() > AMOUNT_TEXT_BYTES_MAX || !plain || !digits_around_point {
        return Err(bad());
    }
    Decimal::from_str_exact(text).map_err(|_| bad())
}

/// How many steps an amount is, if it is a whole number of them and within the limit.
fn count_steps(amount: Decimal, step: Decimal, limit: Option<u64>) -> Result<u64, AmountError> {
    if amount.is_zero() {
        return Err(AmountError::Zero);
    }
    let above = || AmountError::AboveLimit {
        amount,
        limit: scaled(u128::from(limit.unwrap_or(UNITS_MAX)), step),
    };
    let remainder = amount.checked_rem(step).ok_or_else(above)?;
    if !remainder.is_zero() {
        return Err(AmountError::NotAMultiple { amount, step });
    }
    let steps = amount.checked_div(step).ok_or_else(above)?;
    let steps = u64::try_from(steps).map_err(|_| above())?;
    if steps > limit.unwrap_or(UNITS_MAX) {
        Err(above())
    } else {
        Ok(steps)
    }
}

/// `count` steps as a decimal. Exact: the limits of a market keep it within 96 bits.
fn scaled(count: u128, step: Decimal) -> Decimal {
    let mantissa = count.checked_mul(step.mantissa().unsigned_abs());
    let mantissa = mantissa.and_then(|units| i128::try_from(units).ok());
    mantissa
        .and_then(|units| Decimal::try_from_i128_with_scale(units, step.scale()).ok())
        .expect("the genesis bounds every sum below 2^96 units")
}

impl Market {
    /// Checks a market's specification.
    ///
    /// # Errors
    /// Names the key that is wrong and why.
    pub fn new(spec: &MarketSpec<'_>) -> Result<Self, MarketError> {
        check_pair(spec.pair)?;
        let step = |key, text| {
            let amount = parse_decimal(text).map_err(|error| MarketError::Amount { key, error })?;
            if amount.is_zero() {
                return Err(MarketError::Amount {
                    key,
                    error: AmountError::Zero,
                });
            }
            Ok(amount.normalize())
        };
        let limit = |key, text, step| {
            parse_decimal(text)
                .and_then(|amount| count_steps(amount, step, None))
                .map_err(|error| MarketError::Amount { key, error })
        };
        let tick = step("tick", spec.tick)?;
        let lot = step("lot", spec.lot)?;
        let max_price = limit("max_price", spec.max_price, tick)?;
        let max_quantity = limit("max_quantity", spec.max_quantity, lot)?;
        let units = |steps: u64, step: Decimal| {
            u128::from(steps).checked_mul(step.mantissa().unsigned_abs())
        };
        let fits = |units: Option<u128>| units.is_some_and(|units| units <= u128::from(UNITS_MAX));
        let price_units = units(max_price, tick);
        let quantity_units = units(max_quantity, lot);
        let product = price_units
            .zip(quantity_units)
            .and_then(|(p, q)| p.checked_mul(q));
        let exact = product.is_some_and(|product| product < 1 << 96);
        if !fits(price_units) || !fits(quantity_units) || !exact || tick.scale() + lot.scale() > 28
        {
            return Err(MarketError::TooFine);
        }
        let pair = spec.pair.to_string();
        Ok(Self {
            pair,
            tick,
            lot,
            max_price: Ticks(max_price),
            max_quantity: Lots(max_quantity),
        })
    }

    /// BASE/QUOTE.
    pub fn pair(&self) -> &str {
        &self.pair
    }

    /// Smallest step of a price.
    pub fn tick(&self) -> Decimal {
        self.tick
    }

    /// Smallest step of a quantity.
    pub fn lot(&self) -> Decimal {
        self.lot
    }

    /// Largest price of an order.
    pub fn max_price(&self) -> Ticks {
        self.max_price
    }

    /// Largest quantity of an order.
    pub fn max_quantity(&self) -> Lots {
        self.max_quantity
    }

    /// Reads a price.
    ///
    /// # Errors
    /// When it is no number, zero, between two ticks, or above the limit.
    pub fn parse_price(&self, text: &str) -> Result<Ticks, AmountError> {
        count_steps(parse_decimal(text)?, self.tick, Some(self.max_price.0)).map(Ticks)
    }

    /// Reads a quantity.
    ///
    /// # Errors
    /// When it is no number, zero, between two lots, or above the limit.
    pub fn parse_quantity(&self, text: &str) -> Result<Lots, AmountError> {
        count_steps(parse_decimal(text)?, self.lot, Some(self.max_quantity.0)).map(Lots)
    }

    /// A price as a canonical decimal: no trailing zeros, no exponent.
    pub fn price_text(&self, price: Ticks) -> String {
        canonical(scaled(u128::from(price.0), self.tick))
    }

    /// A quantity, or a sum of quantities, as a canonical decimal.
    pub fn quantity_text(&self, lots: u128) -> String {
        canonical(scaled(lots, self.lot))
    }

    /// Whether a price is one that an order of this market may have.
    pub fn allows_price(&self, price: Ticks) -> bool {
        price.0 > 0 && price <= self.max_price
    }

    /// Whether a quantity is one that an order of this market may have.
    pub fn allows_quantity(&self, quantity: Lots) -> bool {
        quantity.0 > 0 && quantity <= self.max_quantity
    }
}

/// A decimal without trailing zeros; zero is `0`.
fn canonical(amount: Decimal) -> String {
    format!("{}", amount.normalize())
}

/// Checks the form BASE/QUOTE.
fn check_pair(pair: &str) -> Result<(), MarketError> {
    let symbol = |text: &str| {
        (1..=16).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    match pair.split_once('/') {
        Some((base, quote)) if symbol(base) && symbol(quote) && base != quote => Ok(()),
        _ => Err(MarketError::Pair(pair.chars().take(40).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn btc_usd() -> Market {
        Market::new(&MarketSpec::STANDARD).expect("the default market is valid")
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        let market = btc_usd();
        assert_eq!(market.parse_price("30000.01"), Ok(Ticks(3_000_001)));
        assert_eq!(market.parse_price("30000.0100"), Ok(Ticks(3_000_001)));
        assert_eq!(market.parse_quantity("0.00000001"), Ok(Lots(1)));
        assert_eq!(
            market.parse_quantity("1000000"),
            Ok(Lots(100_000_000_000_000))
        );
        assert!(matches!(
            market.parse_price("0.005"),
            Err(AmountError::NotAMultiple { .. })
        ));
        assert!(matches!(
            market.parse_price("1000000.01"),
            Err(AmountError::AboveLimit { .. })
        ));
        assert_eq!(market.parse_price("0.00"), Err(AmountError::Zero));
    }

    #[test]
    fn what_is_no_plain_number_is_refused() {
        let market = btc_usd();
        let nines = "9".repeat(41);
        for text in [
            "", ".", "1.", ".5", "1e5", "-1", "+1", "1,5", "1.2.3", "٣", " 1", &nines,
        ] {
            assert!(
                matches!(market.parse_quantity(text), Err(AmountError::NotANumber(_))),
                "`{text}` must be refused"
            );
        }
        let large = "9".repeat(28);
        assert!(matches!(
            market.parse_quantity(&large),
            Err(AmountError::AboveLimit { .. })
        ));
    }

    #[test]
    fn markets_that_could_not_be_exact_are_refused() {
        let spec = MarketSpec {
            pair: "A/B",
            tick: "0.000000000001",
            lot: "0.000000000001",
            max_price: "10",
            max_quantity: "10",
        };
        assert!(Market::new(&spec).is_ok());
        let finer = MarketSpec {
            max_quantity: "1000000",
            max_price: "1000000",
            ..spec.clone()
        };
        assert_eq!(Market::new(&finer), Err(MarketError::TooFine));
        for pair in ["AB", "A/", "/B", "A/A", "A/B/C", "A B/C"] {
            assert!(matches!(
                Market::new(&MarketSpec {
                    pair,
                    ..spec.clone()
                }),
                Err(MarketError::Pair(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn text_and_steps_are_inverse(
            ticks in 1..=100_000_000_u64,
            lots in 1..=100_000_000_000_000_u64,
        ) {
            let market = btc_usd();
            prop_assert_eq!(market.parse_price(&market.price_text(Ticks(ticks))), Ok(Ticks(ticks)));
            let text = market.quantity_text(u128::from(lots));
            prop_assert!(!text.contains('.') || !text.ends_with('0'));
            prop_assert_eq!(market.parse_quantity(&text), Ok(Lots(lots)));
        }
    }
}
