//! Making order files: the same seed makes the same bytes, everywhere.
//!
//! Three patterns, all around a price of 30000 in two decimals, with quantities in eight:
//!
//! - **A**, add-heavy: 70 % passive orders at a geometric distance from a drifting mid price, 25 %
//!   cancels of a random live order, 5 % aggressive ones that take one to five orders.
//! - **B**, cross-heavy: 40 % aggressive, most of them ending amid an order, 40 % passive, 20 %
//!   cancels of a random live order.
//! - **C**, deep: 1,000,000 orders at rest on 100,000 levels first, then `#measure`, then A.
//!
//! The generator matches what it writes in an engine of its own, so that its cancels meet live
//! orders and its takers know what stands in front of them.

use std::collections::HashMap;
use std::io::{self, Write};

use bitfitech_core::market::{Market, MarketSpec};
use bitfitech_core::matching::{
    Action, Book, Effect, Engine, Handle, NewOrder, Owner, Pricing, SelfTrade, TimeInForce,
};
use bitfitech_core::types::{Lots, OrderId, Side, Ticks};

use crate::order_file::{HEADER, MEASURE, order_id};
use crate::random::Random;

/// Which mix of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Add-heavy.
    A,
    /// Cross-heavy.
    B,
    /// Deep.
    C,
}

/// Where the mid price starts, in ticks of 0.01.
const MID_START: u64 = 3_000_000;

/// The mid price stays this far from both ends of its range.
const MID_DISTANCE_MAX: u64 = 20_000;

/// The mean distance of a passive order from the mid price. A guess.
const DISTANCE_MEAN: u64 = 40;

/// The largest distance of a passive order.
const DISTANCE_MAX: u64 = 50_000;

/// Quantities are between 0.001 and 1, in lots of 10^-8.
const QUANTITIES: (u64, u64) = (100_000, 100_000_000);

/// How pattern C is loaded: orders, and levels of each side.
const DEEP_ORDERS: u64 = 1_000_000;
const DEEP_LEVELS: u64 = 50_000;

/// An order that may be cancelled.
struct Live {
    name: u64,
    id: OrderId,
}

struct Generator<'a> {
    out: &'a mut dyn Write,
    market: Market,
    random: Random,
    book: Book,
    effects: Vec<Effect>,
    live: Vec<Live>,
    /// Where an order stands in `live`.
    places: HashMap<OrderId, usize>,
    mid: u64,
    name: u64,
}

/// The market of the files that are made: prices with two decimals, quantities with eight.
pub fn market() -> Market {
    Market::new(&MarketSpec::STANDARD).expect("the constants are right")
}

/// Writes a file with `operations` measured operations. Calls `progress` after each.
pub(crate) fn generate(
    pattern: Pattern,
    operations: u64,
    seed: u64,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(),
) -> io::Result<()> {
    let mut generator = Generator::new(seed, out);
    writeln!(generator.out, "{HEADER}")?;
    if pattern == Pattern::C {
        generator.load()?;
    }
    writeln!(generator.out, "{MEASURE}")?;
    for _ in 0..operations {
        match pattern {
            Pattern::A | Pattern::C => generator.add_heavy()?,
            Pattern::B => generator.cross_heavy()?,
        }
        progress();
    }
    generator.out.flush()
}

impl<'a> Generator<'a> {
    fn new(seed: u64, out: &'a mut dyn Write) -> Self {
        Self {
            out,
            market: market(),
            random: Random::new(seed),
            // Nobody chooses these ids against this table, so any key does.
            book: Book::new(&[0; 32]),
            effects: Vec::new(),
            live: Vec::new(),
            places: HashMap::new(),
            mid: MID_START,
            name: 0,
        }
    }

    fn load(&mut self) -> io::Result<()> {
        for number in 0..DEEP_ORDERS {
            let side = if number.is_multiple_of(2) {
                Side::Buy
            } else {
                Side::Sell
            };
            // The first round gives each level an order, the others fall where they fall.
            let round = number / 2;
            let distance = if round < DEEP_LEVELS {
                round * 7919 % DEEP_LEVELS + 1
            } else {
                self.random.between(1, DEEP_LEVELS)
            };
            self.rest(side, distance)?;
        }
        Ok(())
    }

    fn add_heavy(&mut self) -> io::Result<()> {
        self.drift();
        match self.random.below(100) {
            0..70 => self.passive(),
            70..95 => self.cancel(),
            _ => self.aggressive(1, 5),
        }
    }

    fn cross_heavy(&mut self) -> io::Result<()> {
        self.drift();
        match self.random.below(100) {
            0..40 => self.passive(),
            40..60 => self.cancel(),
            _ => {
                // One in three takes a whole order, so that cancels and takers together do not
                // empty the book.
                let whole = self.random.below(3) / 2;
                self.aggressive(whole, whole)
            }
        }
    }

    /// One step in eight operations, up or down.
    fn drift(&mut self) {
        let lowest = MID_START - MID_DISTANCE_MAX;
        self.mid = match self.random.below(16) {
            0 => (self.mid + 1).min(MID_START + MID_DISTANCE_MAX),
            1 => (self.mid - 1).max(lowest),
            _ => self.mid,
        };
    }

    fn side(&mut self) -> Side {
        if self.random.below(2) == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    fn passive(&mut self) -> io::Result<()> {
        let side = self.side();
        let distance = 1 + self.random.geometric(DISTANCE_MEAN).min(DISTANCE_MAX);
        self.rest(side, distance)
    }

    /// Places an order at that distance from the mid price, or as near to it as takes nothing.
    fn rest(&mut self, side: Side, distance: u64) -> io::Result<()> {
        let facing = self
            .book
            .front(side.opposite())
            .next()
            .map(|order| order.price.0);
        let price = match side {
            Side::Buy => (self.mid - distance).min(facing.map_or(u64::MAX, |ask| ask - 1)),
            Side::Sell => (self.mid + distance).max(facing.map_or(0, |bid| bid + 1)),
        };
        let (low, high) = QUANTITIES;
        let quantity = self.random.between(low, high);
        self.place(
            side,
            Pricing::Limit(Ticks(price)),
            TimeInForce::GoodTillCancel,
            quantity,
        )
    }

    fn cancel(&mut self) -> io::Result<()> {
        if self.live.is_empty() {
            return self.passive();
        }
        let place = self.random.below(self.live.len() as u64) as usize;
        let Live { name, id } = self.live[place];
        writeln!(self.out, "C,{name},,,,")?;
        self.book.cancel(&id, Owner(0), &mut self.effects);
        self.follow(name);
        Ok(())
    }

    /// Takes between so many whole orders and, in one case of two or if none is to be whole, a
    /// part of the next.
    fn aggressive(&mut self, whole_min: u64, whole_max: u64) -> io::Result<()> {
        let side = self.side();
        let whole = self.random.between(whole_min, whole_max) as usize;
        let front: Vec<_> = self.book.front(side.opposite()).take(whole + 1).collect();
        let Some(last) = front.last() else {
            return self.rest(side, 1);
        };
        let mut quantity: u64 = front
            .iter()
            .take(whole)
            .map(|order| order.remaining.0)
            .sum();
        if front.len() > whole && (whole == 0 || self.random.below(2) == 0) {
            quantity += self.random.between(1, last.remaining.0);
        }
        let limit = Pricing::Limit(last.price);
        let (pricing, time_in_force) = match self.random.below(4) {
            0 => (limit, TimeInForce::ImmediateOrCancel),
            1 => (Pricing::Market(None), TimeInForce::ImmediateOrCancel),
            _ => (limit, TimeInForce::GoodTillCancel),
        };
        self.place(side, pricing, time_in_force, quantity)
    }

    fn place(
        &mut self,
        side: Side,
        pricing: Pricing,
        time_in_force: TimeInForce,
        quantity: u64,
    ) -> io::Result<()> {
        self.name += 1;
        let (name, side_name) = (self.name, side.name());
        let lots = self.market.quantity_text(quantity.into());
        match (pricing, time_in_force) {
            (Pricing::Limit(price), terms) => {
                let kind = if terms == TimeInForce::ImmediateOrCancel {
                    "ioc"
                } else {
                    "limit"
                };
                let price = self.market.price_text(price);
                writeln!(self.out, "L,{name},{side_name},{kind},{price},{lots}")?;
            }
            (Pricing::Market(_), _) => {
                writeln!(self.out, "M,{name},{side_name},market,,{lots}")?;
            }
        }
        let order = NewOrder {
            id: order_id(&name.to_string()),
            handle: Handle::default(),
            owner: Owner(0),
            side,
            pricing,
            quantity: Lots(quantity),
            time_in_force,
            self_trade: SelfTrade::Allow,
        };
        self.book.execute(&Action::Place(order), &mut self.effects);
        self.follow(name);
        Ok(())
    }

    /// Keeps the list of live orders after the operation on the order `name`.
    fn follow(&mut self, name: u64) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Rested { order, .. } => {
                    self.places.insert(order, self.live.len());
                    self.live.push(Live { name, id: order });
                }
                Effect::Ended { order, .. } => {
                    if let Some(place) = self.places.remove(&order) {
                        self.live.swap_remove(place);
                        if let Some(moved) = self.live.get(place) {
                            self.places.insert(moved.id, place);
                        }
                    }
                }
                _ => {}
            }
        }
        self.book.forget_before(self.book.mark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order_file::OrderFile;

    fn file(pattern: Pattern, operations: u64, seed: u64) -> String {
        let mut out = Vec::new();
        generate(pattern, operations, seed, &mut out, &mut || {}).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_seed_decides_every_byte() {
        assert_eq!(file(Pattern::A, 500, 1), file(Pattern::A, 500, 1));
        assert_ne!(file(Pattern::A, 500, 1), file(Pattern::A, 500, 2));
    }

    #[test]
    fn the_mix_is_that_of_the_pattern_and_every_line_is_read_again() {
        for (pattern, cancels) in [(Pattern::A, 25), (Pattern::B, 20)] {
            let text = file(pattern, 4000, 7);
            let read = OrderFile::read(text.as_bytes(), &market()).unwrap();
            assert_eq!((read.actions.len(), read.measured_from), (4000, 0));
            let found = (read.actions.len() - read.orders()) / 40;
            assert!(
                found.abs_diff(cancels) <= 2,
                "{found} % cancels in {pattern:?}"
            );
        }
    }
}
