//! The rules of matching once more, in decimals and without any speed: one list of resting orders,
//! searched from end to end. What it trades is what the program must report.

use std::str::FromStr;

use rust_decimal::Decimal;

/// An order, with what is left of it.
struct Order {
    id: String,
    buys: bool,
    price: Decimal,
    remaining: Decimal,
}

/// What a file comes to.
#[derive(Default)]
pub struct NaiveBook {
    /// In order of arrival.
    resting: Vec<Order>,
    /// `maker,taker,price,quantity` for each trade.
    pub trades: String,
    /// The sum of quantities.
    pub volume: Decimal,
    /// The sum of prices times quantities.
    pub notional: Decimal,
}

impl NaiveBook {
    /// Runs all lines of a file that is known to be right.
    pub fn run(file: &str) -> Self {
        let mut book = Self::default();
        let lines = file.lines().skip_while(|line| !line.starts_with("op,"));
        for line in lines.skip(1).filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(',').collect();
            match fields[..] {
                ["C", id, ..] => book.resting.retain(|order| order.id != id),
                [_, id, side, kind, price, quantity] => {
                    let order = Order {
                        id: id.to_owned(),
                        buys: side == "buy",
                        price: decimal(if price.is_empty() { "0" } else { price }),
                        remaining: decimal(quantity),
                    };
                    book.place(order, kind);
                }
                _ => {}
            }
        }
        book
    }

    fn place(&mut self, mut taker: Order, kind: &str) {
        let crossing = self.resting.iter().filter(|maker| crosses(maker, &taker));
        let available: Decimal = crossing.map(|maker| maker.remaining).sum();
        let takes = !available.is_zero();
        if kind == "post" && takes || kind == "fok" && available < taker.remaining {
            return;
        }
        while let Some(place) = self.best(&taker) {
            let maker = &mut self.resting[place];
            let traded = taker.remaining.min(maker.remaining);
            taker.remaining -= traded;
            maker.remaining -= traded;
            self.volume += traded;
            self.notional += traded * maker.price;
            let (price, quantity) = (maker.price.normalize(), traded.normalize());
            self.trades += &format!("{},{},{price},{quantity}\n", maker.id, taker.id);
            self.resting.retain(|order| !order.remaining.is_zero());
        }
        if matches!(kind, "limit" | "post") && !taker.remaining.is_zero() {
            self.resting.push(taker);
        }
    }

    /// The first to trade with: the best price, and there the earliest.
    fn best(&self, taker: &Order) -> Option<usize> {
        let places = 0..self.resting.len();
        let crossing = places.filter(|&place| crosses(&self.resting[place], taker));
        crossing.min_by_key(|&place| rank(&self.resting[place]))
    }

    /// `side,price,id,remaining` for each resting order: buys, then sells, best first.
    pub fn lines(&self) -> String {
        let mut orders: Vec<&Order> = self.resting.iter().collect();
        orders.sort_by_key(|order| (!order.buys, rank(order)));
        let line = |order: &Order| {
            let side = if order.buys { "buy" } else { "sell" };
            let (price, remaining) = (order.price.normalize(), order.remaining.normalize());
            format!("{side},{price},{},{remaining}\n", order.id)
        };
        orders.into_iter().map(line).collect()
    }

    /// How many orders rest.
    pub fn resting(&self) -> usize {
        self.resting.len()
    }
}

/// Lower is better.
fn rank(order: &Order) -> Decimal {
    if order.buys {
        -order.price
    } else {
        order.price
    }
}

/// Whether what is left of the taker can trade with this order. A market order without a
/// protection price has the price zero, and takes at any.
fn crosses(maker: &Order, taker: &Order) -> bool {
    let within = match taker.buys {
        true => maker.price <= taker.price,
        false => maker.price >= taker.price,
    };
    let any = taker.price.is_zero();
    maker.buys != taker.buys && !taker.remaining.is_zero() && (within || any)
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str(text).expect("a decimal")
}
