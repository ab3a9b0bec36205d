//! Reading order files.
//!
//! A file is CSV with the header `op,id,side,type,price,quantity`. `L` places a limit order (type
//! `limit`, `ioc`, `fok` or `post`), `M` a market order (type `market`, with an optional protection
//! price), `C` cancels. Empty lines and lines that start with `#` are comments, but `#measure`
//! marks where the measured part starts. Everything else is an error with the number of its line,
//! and then nothing has run.

use core::fmt;
use std::io::{self, BufRead, Read};

use bitfitech_core::market::{AmountError, Market};
use bitfitech_core::matching::{Action, Handle, NewOrder, Owner, Pricing, SelfTrade, TimeInForce};
use bitfitech_core::types::{OrderId, Side};

/// The first line that is no comment.
pub const HEADER: &str = "op,id,side,type,price,quantity";

/// The comment that starts the clock.
pub const MEASURE: &str = "#measure";

/// Longer lines are refused before they are read to their end.
const LINE_BYTES_MAX: usize = 1024;

/// Longer ids are refused.
const ID_BYTES_MAX: usize = 128;

/// A file, read to its end.
#[derive(Clone, Debug, Default)]
pub struct OrderFile {
    /// What to do, in order.
    pub actions: Vec<Action>,
    /// How many actions stand before the measured part.
    pub measured_from: usize,
    /// The ids of the file, of all actions in turn.
    names: String,
    /// Where the id of each action ends in `names`.
    name_ends: Vec<u32>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The first line that is no comment is not the header.
    Header,
    /// Not text, or longer than a line may be.
    NotText,
    /// Not six fields.
    Fields {
        /// How many there are.
        found: usize,
    },
    /// An unknown operation.
    Operation,
    /// No id, or too long a one.
    Id,
    /// Neither `buy` nor `sell`.
    Side,
    /// A type that the operation does not know.
    Type,
    /// A price that the market does not know.
    Price(AmountError),
    /// A quantity that the market does not know.
    Quantity(AmountError),
    /// A cancel with more than an id.
    CancelFields,
    /// A second `#measure`.
    MeasureTwice,
    /// More ids than can be held: 4 GiB of them.
    TooMany,
}

impl fmt::Display for LineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(out, "expected the header {HEADER}"),
            Self::NotText => write!(out, "expected text of at most {LINE_BYTES_MAX} bytes"),
            Self::Fields { found } => write!(out, "expected 6 fields, found {found}"),
            Self::Operation => out.write_str("op must be L, M or C"),
            Self::Id => write!(out, "id must have 1 to {ID_BYTES_MAX} bytes"),
            Self::Side => out.write_str("side must be buy or sell"),
            Self::Type => out.write_str("type must be limit, ioc, fok or post for L, market for M"),
            Self::Price(error) => write!(out, "price {error}"),
            Self::Quantity(error) => write!(out, "quantity {error}"),
            Self::CancelFields => out.write_str("a cancel is C,id,,,,"),
            Self::MeasureTwice => write!(out, "{MEASURE} may stand once"),
            Self::TooMany => out.write_str("the ids of a file must not exceed 4 GiB"),
        }
    }
}

impl core::error::Error for LineError {}

/// Why a file could not be read.
#[derive(Debug)]
pub enum FileError {
    /// The system says so.
    Io(io::Error),
    /// A line is wrong.
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        error: LineError,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(out),
            Self::Line { number, error } => write!(out, "line {number}: {error}"),
        }
    }
}

impl core::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The order id that an id of a file stands for.
pub fn order_id(name: &str) -> OrderId {
    OrderId(blake3::hash(name.as_bytes()).into())
}

impl OrderFile {
    /// Reads all lines, or says which one is wrong.
    pub fn read(mut input: impl BufRead, market: &Market) -> Result<Self, FileError> {
        let mut reader = Reader {
            market,
            file: Self::default(),
            header_seen: false,
            measure_seen: false,
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let limit = LINE_BYTES_MAX as u64 + 2;
            if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            reader
                .line(&line)
                .map_err(|error| FileError::Line { number, error })?;
        }
        if !reader.header_seen {
            return Err(FileError::Line {
                number: 1,
                error: LineError::Header,
            });
        }
        Ok(reader.file)
    }

    /// The id that the file has for the order of action number `index`.
    pub fn name(&self, index: usize) -> &str {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.name_ends[before]);
        &self.names[start as usize..self.name_ends[index] as usize]
    }

    /// How many orders are placed.
    pub fn orders(&self) -> usize {
        self.actions
            .iter()
            .filter(|action| matches!(action, Action::Place(_)))
            .count()
    }
}

struct Reader<'a> {
    market: &'a Market,
    file: OrderFile,
    header_seen: bool,
    measure_seen: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), LineError> {
        let text = core::str::from_utf8(line)
            .map_err(|_| LineError::NotText)?
            .trim_end();
        if text.len() > LINE_BYTES_MAX {
            return Err(LineError::NotText);
        }
        if text == MEASURE {
            return self.measure();
        }
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        if !self.header_seen {
            self.header_seen = true;
            return if text == HEADER {
                Ok(())
            } else {
                Err(LineError::Header)
            };
        }
        self.operation(text)
    }

    fn measure(&mut self) -> Result<(), LineError> {
        if self.measure_seen {
            return Err(LineError::MeasureTwice);
        }
        self.measure_seen = true;
        self.file.measured_from = self.file.actions.len();
        Ok(())
    }

    fn operation(&mut self, text: &str) -> Result<(), LineError> {
        let mut fields = [""; 6];
        let mut found = 0;
        for field in text.split(',') {
            if let Some(place) = fields.get_mut(found) {
                *place = field;
            }
            found += 1;
        }
        if found != fields.len() {
            return Err(LineError::Fields { found });
        }
        let name = fields[1];
        if name.is_empty() || name.len() > ID_BYTES_MAX {
            return Err(LineError::Id);
        }
        let action = action(&fields, self.market)?;
        self.file.names.push_str(name);
        let end = u32::try_from(self.file.names.len()).map_err(|_| LineError::TooMany)?;
        self.file.name_ends.push(end);
        self.file.actions.push(action);
        Ok(())
    }
}

fn action(fields: &[&str; 6], market: &Market) -> Result<Action, LineError> {
    let [operation, name, side, kind, price, quantity] = *fields;
    let limit = || market.parse_price(price).map_err(LineError::Price);
    let (pricing, time_in_force) = match (operation, kind) {
        ("C", _) if [side, kind, price, quantity] == [""; 4] => {
            return Ok(Action::Cancel {
                order: order_id(name),
                by: NOBODY,
            });
        }
        ("C", _) => return Err(LineError::CancelFields),
        ("L", "limit") => (Pricing::Limit(limit()?), TimeInForce::GoodTillCancel),
        ("L", "ioc") => (Pricing::Limit(limit()?), TimeInForce::ImmediateOrCancel),
        ("L", "fok") => (Pricing::Limit(limit()?), TimeInForce::FillOrKill),
        ("L", "post") => (Pricing::Limit(limit()?), TimeInForce::PostOnly),
        ("M", "market") if price.is_empty() => {
            (Pricing::Market(None), TimeInForce::ImmediateOrCancel)
        }
        ("M", "market") => (
            Pricing::Market(Some(limit()?)),
            TimeInForce::ImmediateOrCancel,
        ),
        ("L" | "M", _) => return Err(LineError::Type),
        _ => return Err(LineError::Operation),
    };
    Ok(Action::Place(NewOrder {
        id: order_id(name),
        handle: Handle::default(),
        owner: NOBODY,
        side: match side {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            _ => return Err(LineError::Side),
        },
        pricing,
        quantity: market
            .parse_quantity(quantity)
            .map_err(LineError::Quantity)?,
        time_in_force,
        self_trade: SelfTrade::Allow,
    }))
}

/// Orders of a file belong to nobody.
const NOBODY: Owner = Owner(0);

#[cfg(test)]
mod tests {
    use bitfitech_core::types::{Lots, Ticks};

    use super::*;
    use crate::generator::market;

    fn read(lines: &[&str]) -> Result<OrderFile, FileError> {
        OrderFile::read(lines.join("\n").as_bytes(), &market())
    }

    #[test]
    fn the_examples_of_the_interface_are_read() {
        let file = read(&[
            "# by hand",
            HEADER,
            "L,17,buy,limit,30000.12,0.5",
            "L,18,sell,ioc,29999.5,1",
            "#measure",
            "M,19,buy,market,,0.25",
            "",
            "C,17,,,,\r",
        ])
        .unwrap();
        assert_eq!(
            (file.actions.len(), file.measured_from, file.orders()),
            (4, 2, 3)
        );
        assert_eq!(
            [0, 1, 2, 3].map(|index| file.name(index)),
            ["17", "18", "19", "17"]
        );
        let Action::Place(first) = file.actions[0] else {
            panic!("the first is an order")
        };
        assert_eq!(first.pricing, Pricing::Limit(Ticks(3_000_012)));
        assert_eq!(first.quantity, Lots(50_000_000));
        assert_eq!(
            file.actions[3],
            Action::Cancel {
                order: first.id,
                by: NOBODY
            }
        );
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        let cases = [
            ("L,1,buy,limit,1", "expected 6 fields, found 5"),
            ("L,1,buy,limit,1,1,", "expected 6 fields, found 7"),
            ("X,1,buy,limit,1,1", "op must be L, M or C"),
            ("L,,buy,limit,1,1", "id must have 1 to 128 bytes"),
            ("L,1,bid,limit,1,1", "side must be buy or sell"),
            (
                "L,1,buy,market,1,1",
                "type must be limit, ioc, fok or post for L, market for M",
            ),
            (
                "L,1,buy,limit,,1",
                "price `` is not a decimal number such as 0.5 or 30000.01",
            ),
            (
                "L,1,buy,limit,0.001,1",
                "price 0.001 is not a multiple of 0.01, and amounts are never rounded",
            ),
            ("L,1,buy,limit,1,0", "quantity must be more than 0"),
            (
                "M,1,buy,market,,1000001",
                "quantity 1000001 is above the limit 1000000",
            ),
            ("C,1,buy,,,", "a cancel is C,id,,,,"),
        ];
        for (line, expected) in cases {
            let error = read(&["#", HEADER, "C,1,,,,", line, "L,2,buy,limit,1,1"]).unwrap_err();
            assert_eq!(error.to_string(), format!("line 4: {expected}"));
        }
    }

    #[test]
    fn the_frame_of_a_file_is_checked_too() {
        let wrong = |lines: &[&str]| read(lines).unwrap_err().to_string();
        assert_eq!(wrong(&[]), format!("line 1: expected the header {HEADER}"));
        assert_eq!(
            wrong(&["C,1,,,,"]),
            format!("line 1: expected the header {HEADER}")
        );
        assert_eq!(
            wrong(&[HEADER, MEASURE, MEASURE]),
            "line 3: #measure may stand once"
        );
        let long = "#".repeat(LINE_BYTES_MAX + 1);
        assert_eq!(
            wrong(&[HEADER, &long]),
            "line 2: expected text of at most 1024 bytes"
        );
        let not_text = OrderFile::read(&b"\xff\n"[..], &market()).unwrap_err();
        assert_eq!(
            not_text.to_string(),
            "line 1: expected text of at most 1024 bytes"
        );
    }
}
