//! Decimal text of a market's prices and quantities, to and from whole ticks and lots.
//!
//! Exact or not at all: what is no whole number of ticks or lots is refused, never rounded. What is
//! written has no trailing zeros.

use core::fmt;

use bitfitech_core::types::{Lots, Ticks};
use rust_decimal::Decimal;

/// The units and limits of a market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Market {
    /// The smallest step of a price, above zero.
    pub tick: Decimal,
    /// The smallest step of a quantity, above zero.
    pub lot: Decimal,
    /// The highest price of a limit.
    pub price_max: Decimal,
    /// The largest quantity of an order.
    pub quantity_max: Decimal,
}

impl Default for Market {
    /// The built-in `BTC/USD`.
    fn default() -> Self {
        Self {
            tick: Decimal::new(1, 2),
            lot: Decimal::new(1, 8),
            price_max: Decimal::new(1_000_000, 0),
            quantity_max: Decimal::new(1_000_000, 0),
        }
    }
}

/// Why a number is not an amount of this market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// Something other than digits with at most one point between them, or too many digits.
    NotDecimal,
    /// Zero.
    Zero,
    /// Not a whole number of steps.
    NotWhole {
        /// The step of the market.
        step: Decimal,
    },
    /// More than the market allows.
    TooLarge {
        /// The limit of the market.
        limit: Decimal,
    },
}

impl fmt::Display for AmountError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDecimal => out.write_str("is not a decimal number like 30000.12"),
            Self::Zero => out.write_str("must be above zero"),
            Self::NotWhole { step } => write!(out, "is not a multiple of {step}"),
            Self::TooLarge { limit } => write!(out, "is above the limit of {limit}"),
        }
    }
}

impl core::error::Error for AmountError {}

impl Market {
    /// Reads a price.
    pub fn price(&self, text: &str) -> Result<Ticks, AmountError> {
        steps(text, self.tick, self.price_max).map(Ticks)
    }

    /// Reads a quantity.
    pub fn quantity(&self, text: &str) -> Result<Lots, AmountError> {
        steps(text, self.lot, self.quantity_max).map(Lots)
    }

    /// Writes a price.
    pub fn price_text(&self, price: Ticks) -> String {
        times(u128::from(price.0), self.tick).expect("a price was read from a decimal")
    }

    /// Writes a quantity or a sum of quantities; `None` if it is beyond 128 bits.
    pub fn quantity_text(&self, lots: u128) -> Option<String> {
        times(lots, self.lot)
    }

    /// Writes a sum of products of ticks and lots; `None` if it is beyond 128 bits.
    pub fn notional_text(&self, ticks_times_lots: u128) -> Option<String> {
        let steps = ticks_times_lots.checked_mul(self.lot.mantissa().unsigned_abs())?;
        let scaled = steps.checked_mul(self.tick.mantissa().unsigned_abs())?;
        Some(point(scaled, self.tick.scale() + self.lot.scale()))
    }
}

fn steps(text: &str, step: Decimal, limit: Decimal) -> Result<u64, AmountError> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) {
        return Err(AmountError::NotDecimal);
    }
    let amount = Decimal::from_str_exact(text).map_err(|_| AmountError::NotDecimal)?;
    if amount.is_zero() {
        return Err(AmountError::Zero);
    }
    if amount > limit {
        return Err(AmountError::TooLarge { limit });
    }
    let not_whole = AmountError::NotWhole { step };
    let rest = amount.checked_rem(step).ok_or(not_whole.clone())?;
    let quotient = amount
        .checked_div(step)
        .filter(|_| rest.is_zero())
        .ok_or(not_whole)?;
    quotient
        .normalize()
        .try_into()
        .map_err(|_| AmountError::TooLarge { limit })
}

fn times(count: u128, step: Decimal) -> Option<String> {
    let scaled = count.checked_mul(step.mantissa().unsigned_abs())?;
    Some(point(scaled, step.scale()))
}

/// Writes `scaled` / 10^`scale`, without trailing zeros.
fn point(scaled: u128, scale: u32) -> String {
    let digits = format!("{scaled:0width$}", width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(ticks in 1_u64..100_000_000, lots in 1_u64..) {
            let market = Market { quantity_max: Decimal::MAX, ..Market::default() };
            prop_assert_eq!(market.price(&market.price_text(Ticks(ticks))), Ok(Ticks(ticks)));
            let text = market.quantity_text(lots.into()).unwrap();
            prop_assert_eq!(market.quantity(&text), Ok(Lots(lots)));
            prop_assert!(!text.contains('.') || !text.ends_with('0'));
        }
    }

    #[test]
    fn only_exact_amounts_are_read() {
        let market = Market::default();
        assert_eq!(market.price("30000.10"), Ok(Ticks(3_000_010)));
        for bad in [
            "", ".", "1.", ".5", "+1", "-1", "1e3", "1,5", " 1", "1.2.3", "0x1", "NaN",
        ] {
            assert_eq!(market.price(bad), Err(AmountError::NotDecimal), "{bad}");
        }
        assert_eq!(market.price("0.00"), Err(AmountError::Zero));
        let step = market.tick;
        assert_eq!(market.price("1.005"), Err(AmountError::NotWhole { step }));
        let limit = market.price_max;
        assert_eq!(
            market.price("1000000.01"),
            Err(AmountError::TooLarge { limit })
        );
    }

    #[test]
    fn a_step_need_not_be_a_power_of_ten() {
        let market = Market {
            tick: Decimal::new(25, 2),
            ..Market::default()
        };
        assert_eq!(market.price("1.5"), Ok(Ticks(6)));
        assert!(market.price("1.6").is_err());
        assert_eq!(market.price_text(Ticks(6)), "1.5");
        assert_eq!(market.notional_text(4).unwrap(), "0.00000001");
    }
}
