//! Text for people: aligned tables, a little colour, ids no longer than needed.
//!
//! A table is filled first and written afterwards, because a column is as wide as its widest
//! cell. Colours are put around a cell after its width is known, so they move nothing.

use std::collections::BTreeSet;

use bitfitech_core::types::{Digest, HybridTime, OpStem, OrderId};

/// How text for people is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Characters only.
    Plain,
    /// With terminal colours (ECMA-48, "Select Graphic Rendition").
    Coloured,
}

/// What a piece of text means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Nothing special.
    Plain,
    /// Headings.
    Heading,
    /// Buying, and what went well.
    Good,
    /// Selling, and what went wrong.
    Bad,
    /// What may still change.
    Unsure,
}

impl Style {
    /// The text in the colour of its meaning.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match (self, paint) {
            (Self::Plain, _) | (_, Paint::Plain) => return text.to_string(),
            (Self::Coloured, Paint::Heading) => 1,
            (Self::Coloured, Paint::Good) => 32,
            (Self::Coloured, Paint::Bad) => 31,
            (Self::Coloured, Paint::Unsure) => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// How the cells of a column stand below each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Whole numbers.
    Right,
    /// Decimals: point below point.
    Point,
}

/// One piece of text in a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A text with a meaning.
    pub(crate) fn new(paint: Paint, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Paint::Plain, text.to_string())
    }
}

/// Rows of cells below headings. Without any heading text there is no heading line.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// Blanks between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for every column.
    pub(crate) fn push<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for every column");
        self.rows.push(Vec::from(cells));
    }

    /// The lines of the table, each with a line break and no blanks at its end.
    pub(crate) fn text(&self, style: Style) -> String {
        let widths: Vec<_> = (0..self.columns.len())
            .map(|column| self.width(column))
            .collect();
        let mut text = String::new();
        if self.columns.iter().any(|(heading, _)| !heading.is_empty()) {
            let headings = self.columns.iter().zip(&widths);
            let cells = headings.map(|((heading, align), width)| {
                let align = if *align == Align::Point {
                    Align::Right
                } else {
                    *align
                };
                let (before, after) = width.padding(heading, align);
                padded(style, before, &Cell::new(Paint::Heading, *heading), after)
            });
            push_line(&mut text, cells);
        }
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).zip(&widths);
            let cells = cells.map(|((cell, (_, align)), width)| {
                let (before, after) = width.padding(&cell.text, *align);
                padded(style, before, cell, after)
            });
            push_line(&mut text, cells);
        }
        text
    }

    /// How wide a column has to be.
    fn width(&self, column: usize) -> Width {
        let (heading, align) = self.columns[column];
        let mut width = Width {
            total: length(heading),
            fraction: 0,
        };
        let texts = || self.rows.iter().map(|row| row[column].text.as_str());
        if align == Align::Point {
            width.fraction = texts().map(|text| split_point(text).1).max().unwrap_or(0);
            let whole = texts().map(|text| split_point(text).0).max().unwrap_or(0);
            width.total = width.total.max(whole + width.fraction);
        } else {
            width.total = width.total.max(texts().map(length).max().unwrap_or(0));
        }
        width
    }
}

/// Width of a column in characters.
struct Width {
    total: usize,
    /// Of the point and what follows it.
    fraction: usize,
}

impl Width {
    /// Blanks before and after a text.
    fn padding(&self, text: &str, align: Align) -> (usize, usize) {
        let free = self.total - length(text);
        match align {
            Align::Left => (0, free),
            Align::Right => (free, 0),
            Align::Point => {
                let after = self.fraction - split_point(text).1;
                (free - after, after)
            }
        }
    }
}

/// Characters of a text.
fn length(text: &str) -> usize {
    text.chars().count()
}

/// Characters before the point, and from the point on.
fn split_point(text: &str) -> (usize, usize) {
    let whole = text.split('.').next().map_or(0, length);
    (whole, length(text) - whole)
}

/// A cell between blanks.
fn padded(style: Style, before: usize, cell: &Cell, after: usize) -> String {
    let text = style.paint(cell.paint, &cell.text);
    format!("{:before$}{text}{:after$}", "", "")
}

/// Adds a line of cells.
fn push_line(text: &mut String, cells: impl Iterator<Item = String>) {
    let line = cells.collect::<Vec<_>>().join(GAP);
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Fewest digits of a shortened id.
const SHORT_DIGITS_MIN: usize = crate::command_model::ID_DIGITS_MIN;

/// Ids that are shown together, each shortened to the digits that tell it from the others.
pub struct ShortIds {
    sorted: Vec<[u8; 32]>,
}

impl ShortIds {
    /// Ids in any order; the same one may come twice.
    pub fn new(ids: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut sorted: Vec<_> = ids.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }

    /// The shortest beginning of an id, of at least 8 digits, with which no other begins.
    pub fn short(&self, id: &[u8; 32]) -> String {
        let next = self.sorted.partition_point(|other| other <= id);
        let before = self
            .sorted
            .partition_point(|other| other < id)
            .checked_sub(1);
        let neighbours = [
            before.map(|index| self.sorted[index]),
            self.sorted.get(next).copied(),
        ];
        let shared = neighbours
            .iter()
            .flatten()
            .map(|other| shared_digits(id, other))
            .max();
        let digits = shared
            .map_or(0, |shared| shared + 1)
            .clamp(SHORT_DIGITS_MIN, 64);
        let mut text = Digest(*id).to_hex();
        text.truncate(digits);
        text
    }
}

/// Orders that are shown together, each with the shortest name that tells it from the others: that
/// of its operation, and its number where the operation made several.
pub struct ShortNames {
    operations: ShortIds,
    /// Those of which an order is shown that is not the first.
    crowded: BTreeSet<OpStem>,
}

impl ShortNames {
    /// Orders in any order; the same one may come twice.
    pub fn new(orders: impl IntoIterator<Item = OrderId>) -> Self {
        let orders: Vec<OrderId> = orders.into_iter().collect();
        let later = orders.iter().filter(|order| order.index() > 0);
        Self {
            operations: ShortIds::new(orders.iter().map(|order| order.stem().padded().0)),
            crowded: later.map(OrderId::stem).collect(),
        }
    }

    /// The name of one of them.
    pub fn name(&self, order: &OrderId) -> String {
        let stem = order.stem();
        let operation = self.operations.short(&stem.padded().0);
        if self.crowded.contains(&stem) {
            format!("{operation}.{}", order.index())
        } else {
            operation
        }
    }
}

/// How many hexadecimal digits two ids have in common from the left.
fn shared_digits(one: &[u8; 32], other: &[u8; 32]) -> usize {
    let differs = one
        .iter()
        .zip(other)
        .position(|(left, right)| left != right);
    match differs {
        None => 64,
        Some(at) => 2 * at + usize::from(one[at] >> 4 == other[at] >> 4),
    }
}

/// A duration in its natural unit, whole ones only: nobody reads more at a glance.
pub(crate) fn duration_text(duration_ms: u64) -> String {
    match duration_ms {
        0..10_000 => format!("{duration_ms} ms"),
        10_000..600_000 => format!("{} s", duration_ms / 1_000),
        600_000..36_000_000 => format!("{} min", duration_ms / 60_000),
        _ => format!("{} h", duration_ms / 3_600_000),
    }
}

/// The time of day, in UTC. The date is left to programs.
pub(crate) fn time_text(time: HybridTime) -> String {
    let time_ms = time.unix_ms();
    let (seconds, fraction_ms) = (time_ms / 1_000, time_ms % 1_000);
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{fraction_ms:03}",
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use bitfitech_core::types::OpId;
    use proptest::prelude::*;

    use super::*;
    use crate::command_model::OrderName;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        let columns = [
            ("name", Align::Left),
            ("n", Align::Right),
            ("price", Align::Point),
        ];
        let mut table = Table::new(&columns);
        table.push(["a".into(), 10.into(), "30000.01".into()]);
        table.push(["long name".into(), 5.into(), "7".into()]);
        table.push(["".into(), 100.into(), "0.5".into()]);
        let expected = "\
name         n     price
a           10  30000.01
long name    5      7
           100      0.5
";
        assert_eq!(table.text(Style::Plain), expected);
    }

    #[test]
    fn colours_do_not_move_anything() {
        let mut table = Table::new(&[("side", Align::Left), ("price", Align::Point)]);
        table.push([Cell::new(Paint::Good, "buy"), "1.5".into()]);
        table.push([Cell::new(Paint::Bad, "sell"), "20".into()]);
        let mut text = table.text(Style::Coloured);
        assert!(text.contains("\u{1b}[32mbuy\u{1b}[0m "));
        for code in ["\u{1b}[1m", "\u{1b}[32m", "\u{1b}[31m", "\u{1b}[0m"] {
            text = text.replace(code, "");
        }
        assert_eq!(text, table.text(Style::Plain));
    }

    #[test]
    fn tables_without_headings_have_no_heading_line() {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
        table.push(["orders".into(), 12.into()]);
        table.push(["trades".into(), 5.into()]);
        assert_eq!(table.text(Style::Plain), "orders  12\ntrades   5\n");
    }

    #[test]
    fn ids_that_differ_early_are_shown_with_eight_digits() {
        let ids = ShortIds::new([[1; 32], [2; 32], [1; 32]]);
        assert_eq!(ids.short(&[1; 32]), "01010101");
    }

    #[test]
    fn ids_that_differ_in_the_last_digit_are_shown_in_full() {
        let mut other = [7; 32];
        other[31] = 8;
        let ids = ShortIds::new([[7; 32], other]);
        assert_eq!(ids.short(&[7; 32]), "07".repeat(32));
    }

    proptest! {
        #[test]
        fn each_order_shown_has_a_name_by_which_it_alone_is_found(
            orders in prop::collection::vec((0..4_u8, 0..3_u8), 1..12),
        ) {
            let order = |(operation, index): &(u8, u8)| {
                // Two of these operations differ in one late digit.
                let mut id = [operation / 2; 32];
                id[20] = *operation;
                OrderId::new(&OpId(id), *index)
            };
            let orders: BTreeSet<OrderId> = orders.iter().map(order).collect();
            let names = ShortNames::new(orders.iter().copied());
            for order in &orders {
                let text = names.name(order);
                let name = OrderName::parse(&text).expect("it can be typed");
                let found = orders.range(name.low()..=name.high());
                let found: Vec<&OrderId> = found.filter(|it| name.has_number_of(it)).collect();
                prop_assert_eq!(found, [order], "{}", text);
            }
        }
    }

    proptest! {
        #[test]
        fn shortened_ids_are_unique_and_as_short_as_can_be(
            tails in prop::collection::btree_set(any::<[u8; 3]>(), 1..40),
        ) {
            let id = |tail: &[u8; 3]| {
                let mut id = [0xab; 32];
                id[2..5].copy_from_slice(tail);
                id
            };
            let ids: Vec<_> = tails.iter().map(id).collect();
            let short = ShortIds::new(ids.clone());
            let full = |id: &[u8; 32]| Digest(*id).to_hex();
            let beginning_with =
                |text: &str| ids.iter().filter(|id| full(id).starts_with(text)).count();
            for id in &ids {
                let text = short.short(id);
                prop_assert!(full(id).starts_with(&text));
                prop_assert_eq!(beginning_with(&text), 1);
                prop_assert!(text.len() == 8 || beginning_with(&text[..text.len() - 1]) > 1);
            }
        }
    }
}
