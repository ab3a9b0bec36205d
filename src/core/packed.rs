//! A block of rows in few bits, for what is kept and hardly ever looked at.
//!
//! Rows that came together are alike, so each column is written by itself: as what its values are
//! above the least of them, in as many bits as the greatest needs ("frame of reference"), or, where
//! a few values far from each other come again and again, as their places in a list of these
//! ("dictionary"). Every row can be read where it is: nothing has to be unpacked for it.
//!
//! Sources: Goldstein, Ramakrishnan, Shaft, "Compressing relations and indexes" (1998); Abadi,
//! Madden, Ferreira, "Integrating compression and execution in column-oriented database systems"
//! (2006).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::types::Lots;

/// A column of no more bits than this is written as it is, for a list of its values would hardly
/// be shorter. A guess.
const NARROW_BITS: u32 = 12;

/// Most values of a dictionary. A guess: so few that it is soon known whether there are more.
const VALUES_MAX: usize = 16;

/// What can be told by a few numbers.
pub(crate) trait Row: Copy {
    /// The numbers: an array of a fixed length.
    type Columns: Copy + Default + AsRef<[u64]> + AsMut<[u64]>;

    /// The numbers of this row. What is alike in many rows should stand in a number of its own.
    fn columns(&self) -> Self::Columns;

    /// The row of such numbers.
    fn of(columns: &Self::Columns) -> Self;
}

impl Row for Lots {
    type Columns = [u64; 1];

    fn columns(&self) -> Self::Columns {
        [self.0]
    }

    fn of([lots]: &Self::Columns) -> Self {
        Self(*lots)
    }
}

impl Row for u32 {
    type Columns = [u64; 1];

    fn columns(&self) -> Self::Columns {
        [u64::from(*self)]
    }

    fn of([number]: &Self::Columns) -> Self {
        // It was of this width.
        *number as u32
    }
}

impl Row for u64 {
    type Columns = [u64; 1];

    fn columns(&self) -> Self::Columns {
        [*self]
    }

    fn of([number]: &Self::Columns) -> Self {
        *number
    }
}

/// Nothing, for what is only found or not.
impl Row for () {
    type Columns = [u64; 0];

    fn columns(&self) -> Self::Columns {
        []
    }

    fn of([]: &Self::Columns) -> Self {}
}

/// What a code of a column stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// So much more than the base.
    Above,
    /// The value at this place of the words, counted from the base.
    Listed,
}

/// Where a column stands and how it is to be read.
#[derive(Clone, Copy)]
struct Column {
    base: u64,
    /// The word where it begins.
    start: usize,
    /// How many bits a code has.
    width: u32,
    coding: Coding,
}

/// How many words the description of a column takes.
const COLUMN_WORDS: usize = 2;

impl Column {
    fn words(self) -> [u64; COLUMN_WORDS] {
        let listed = u64::from(self.coding == Coding::Listed);
        let start = self.start as u64;
        [self.base, start << 8 | u64::from(self.width) << 1 | listed]
    }

    fn of([base, rest]: [u64; COLUMN_WORDS]) -> Self {
        Self {
            base,
            start: (rest >> 8) as usize,
            width: (rest >> 1 & 0x7f) as u32,
            coding: if rest & 1 == 1 {
                Coding::Listed
            } else {
                Coding::Above
            },
        }
    }
}

/// Rows that were packed. How many and of what kind they are, their owner has to know.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// The descriptions of all columns, and then for each its list of values, if it has one, and
    /// its codes.
    words: Box<[u64]>,
}

impl Packed {
    /// Packs rows.
    pub(crate) fn new<R: Row>(rows: &[R]) -> Self {
        let mut table = Vec::with_capacity(rows.len());
        let mut least = R::Columns::default();
        least.as_mut().fill(u64::MAX);
        let mut most = R::Columns::default();
        for row in rows {
            let columns = row.columns();
            let bounds = least.as_mut().iter_mut().zip(most.as_mut());
            for (value, (least, most)) in columns.as_ref().iter().zip(bounds) {
                *least = (*least).min(*value);
                *most = (*most).max(*value);
            }
            table.push(columns);
        }
        let bounds = least.as_ref().iter().zip(most.as_ref());
        let widths = bounds.map(|(least, most)| bits(most.saturating_sub(*least)));
        let codes = widths.map(|width| (width as usize * rows.len()).div_ceil(64));
        let head = COLUMN_WORDS * least.as_ref().len();
        let mut words = Vec::with_capacity(head + codes.sum::<usize>());
        words.resize(head, 0);
        for (number, bounds) in least.as_ref().iter().zip(most.as_ref()).enumerate() {
            let values = table.iter().map(|columns| columns.as_ref()[number]);
            let column = encode(&mut words, values, bounds);
            words[COLUMN_WORDS * number..][..COLUMN_WORDS].copy_from_slice(&column.words());
        }
        Self {
            words: words.into_boxed_slice(),
        }
    }

    /// A row by its number.
    pub(crate) fn get<R: Row>(&self, number: usize) -> R {
        let mut columns = R::Columns::default();
        let described = self.words.as_chunks::<COLUMN_WORDS>().0;
        for (value, column) in columns.as_mut().iter_mut().zip(described) {
            *value = self.value(Column::of(*column), number);
        }
        R::of(&columns)
    }

    fn value(&self, column: Column, number: usize) -> u64 {
        let code = self.code(column, number);
        match column.coding {
            Coding::Above => column.base + code,
            Coding::Listed => self.words[(column.base + code) as usize],
        }
    }

    fn code(&self, column: Column, number: usize) -> u64 {
        if column.width == 0 {
            return 0;
        }
        let bit = number * column.width as usize;
        let (at, shift) = (column.start + bit / 64, (bit % 64) as u32);
        let mut code = self.words[at] >> shift;
        if shift + column.width > 64 {
            code |= self.words[at + 1] << (64 - shift);
        }
        code & (u64::MAX >> (64 - column.width))
    }

    /// How many bytes of memory it has asked for.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }
}

/// Writes the values of a column, which lie within these bounds, behind `words`, and says how they
/// are to be read.
#[inline]
fn encode(
    words: &mut Vec<u64>,
    values: impl ExactSizeIterator<Item = u64> + Clone,
    (least, most): (&u64, &u64),
) -> Column {
    let width = bits(most.saturating_sub(*least));
    if width > NARROW_BITS
        && let Some(list) = dictionary(values.clone())
    {
        let listed_width = bits(list.len() as u64 - 1);
        let saved = values.len() * (width - listed_width.min(width)) as usize / 64;
        if saved > list.len() {
            return encode_listed(words, values, list);
        }
    }
    let start = words.len();
    append(words, values.map(|value| value - least), width);
    Column {
        base: *least,
        start,
        width,
        coding: Coding::Above,
    }
}

/// Writes a list, and the places of values there.
fn encode_listed(
    words: &mut Vec<u64>,
    values: impl Iterator<Item = u64>,
    list: Vec<u64>,
) -> Column {
    let width = bits(list.len() as u64 - 1);
    let base = words.len();
    words.extend(&list);
    let mut place = 0;
    let places = values.map(|value| {
        // Equal values often follow each other.
        if list[place] != value {
            let listed = list.iter().position(|listed| *listed == value);
            place = listed.expect("all values are listed");
        }
        place as u64
    });
    append(words, places, width);
    Column {
        base: base as u64,
        start: base + list.len(),
        width,
        coding: Coding::Listed,
    }
}

/// The values that occur, each once, if they are few.
fn dictionary(values: impl Iterator<Item = u64>) -> Option<Vec<u64>> {
    let mut list = Vec::with_capacity(VALUES_MAX);
    let mut last = None;
    for value in values {
        if last == Some(value) {
            continue;
        }
        last = Some(value);
        if !list.contains(&value) {
            if list.len() == VALUES_MAX {
                return None;
            }
            list.push(value);
        }
    }
    Some(list)
}

/// How many bits a number needs.
#[inline]
fn bits(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Writes codes of so many bits each behind the words.
#[inline]
fn append(words: &mut Vec<u64>, codes: impl Iterator<Item = u64>, width: u32) {
    if width == 0 {
        return;
    }
    let (mut word, mut filled) = (0, 0);
    for code in codes {
        word |= code << filled;
        filled += width;
        if filled >= 64 {
            words.push(word);
            filled -= 64;
            // What is left of the code; a shift by all 64 bits would not be one.
            word = if filled == 0 {
                0
            } else {
                code >> (width - filled)
            };
        }
    }
    if filled > 0 {
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Row for [u64; 3] {
        type Columns = Self;

        fn columns(&self) -> Self {
            *self
        }

        fn of(columns: &Self) -> Self {
            *columns
        }
    }

    /// Values of a column as they occur: of so many bits, above anything, or a few far apart.
    fn column(rows: usize) -> impl Strategy<Value = Vec<u64>> {
        let near = (0..=64_u32, any::<u64>()).prop_flat_map(move |(width, base)| {
            let most = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            let value = (0..=most).prop_map(move |value| base.saturating_add(value));
            prop::collection::vec(value, rows)
        });
        let few = prop::collection::vec(any::<u64>(), 1..40);
        let listed = few.prop_flat_map(move |list| {
            let value = prop::sample::select(list);
            prop::collection::vec(value, rows)
        });
        prop_oneof![near, listed]
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_packed(
            columns in prop::sample::select(alloc::vec![1_usize, 63, 64, 200])
                .prop_flat_map(|rows| [column(rows), column(rows), column(rows)])
        ) {
            let [first, second, third] = &columns;
            let rows: Vec<[u64; 3]> = (0..first.len())
                .map(|at| [first[at], second[at], third[at]])
                .collect();
            let packed = Packed::new(&rows);
            for (at, row) in rows.iter().enumerate() {
                prop_assert_eq!(packed.get::<[u64; 3]>(at), *row);
            }
            let plain = rows.len() * size_of::<[u64; 3]>();
            // Every column begins with a new word.
            prop_assert!(packed.memory_bytes() <= plain + 3 * (COLUMN_WORDS + 1) * 8);
        }
    }

    #[test]
    fn what_is_alike_takes_few_bits() {
        let rows: Vec<[u64; 3]> = (0..128)
            .map(|at| [1 << 40 | at, (at % 7) << 50 | 3, 9])
            .collect();
        // Seven bits a row, and three bits a row with seven words; a constant takes none.
        let expected = 3 * COLUMN_WORDS + 128 * 7 / 64 + 7 + 128 * 3 / 64;
        assert_eq!(Packed::new(&rows).memory_bytes(), expected * 8);
    }
}
