//! Sums of price times quantity, written exactly.
//!
//! Such a sum is counted in ticks times lots. It may have more digits than a decimal holds, but not
//! more than 128 bits have: a market keeps each product below 2^96 in units of its last places, and
//! a file has fewer than 2^32 orders.

use bitfitech_core::market::Market;

/// A sum of products of ticks and lots as a decimal without trailing zeros.
///
/// # Panics
/// When it is larger than the products of all orders that a file can have.
pub(crate) fn notional_text(market: &Market, ticks_times_lots: u128) -> String {
    let (tick, lot) = (market.tick(), market.lot());
    let units = ticks_times_lots
        .checked_mul(tick.mantissa().unsigned_abs())
        .and_then(|units| units.checked_mul(lot.mantissa().unsigned_abs()))
        .expect("2^32 orders of a market have less than 2^128 units");
    let scale = (tick.scale() + lot.scale()) as usize;
    let digits = format!("{units:0width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use bitfitech_core::market::MarketSpec;
    use bitfitech_core::types::{Lots, Ticks};
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::generator;

    proptest! {
        #[test]
        fn a_product_is_that_of_the_decimals(
            ticks in 1..=100_000_000_u64,
            lots in 1..=100_000_000_000_000_u64,
        ) {
            let market = generator::market();
            let (ticks, lots) = (Ticks(ticks), Lots(lots));
            let decimal = |text: String| text.parse::<Decimal>().unwrap();
            let price = decimal(market.price_text(ticks));
            let quantity = decimal(market.quantity_text(lots.0.into()));
            let product = u128::from(ticks.0) * u128::from(lots.0);
            let text = notional_text(&market, product);
            prop_assert_eq!(text, (price * quantity).normalize().to_string());
        }
    }

    #[test]
    fn the_most_that_a_file_can_trade_is_written_to_the_last_digit() {
        // The limits of this market give a product just below 2^96 units.
        let market = Market::new(&MarketSpec {
            pair: "A/B",
            tick: "0.00000000000001",
            lot: "0.00000000000001",
            max_price: "2.8",
            max_quantity: "2.8",
        })
        .unwrap();
        let product = u128::from(market.max_price().0) * u128::from(market.max_quantity().0);
        let sum = product * u128::from(u32::MAX);
        assert_eq!(notional_text(&market, sum), "33672543592.8");
    }

    #[test]
    fn a_step_need_not_be_a_power_of_ten() {
        let market = Market::new(&MarketSpec {
            pair: "A/B",
            tick: "0.25",
            lot: "5",
            max_price: "100",
            max_quantity: "100",
        })
        .unwrap();
        assert_eq!(notional_text(&market, 0), "0");
        assert_eq!(notional_text(&market, 1), "1.25");
        assert_eq!(notional_text(&market, 4), "5");
    }
}
