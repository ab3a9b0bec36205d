//! A list of which nearly every one has no value or one: that takes no memory elsewhere.

use alloc::vec::Vec;
use core::ops::Deref;

/// Values in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Few<T> {
    /// None.
    #[default]
    None,
    /// One.
    One(T),
    /// More than one.
    Several(Vec<T>),
}

impl<T> Few<T> {
    /// Adds a value at the end.
    pub fn push(&mut self, value: T) {
        *self = match core::mem::take(self) {
            Self::None => Self::One(value),
            Self::One(first) => Self::Several(alloc::vec![first, value]),
            Self::Several(mut values) => {
                values.push(value);
                Self::Several(values)
            }
        };
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<Values: IntoIterator<Item = T>>(values: Values) -> Self {
        let mut few = Self::None;
        values.into_iter().for_each(|value| few.push(value));
        few
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(value) => core::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = core::iter::Chain<core::option::IntoIter<T>, alloc::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, several) = match self {
            Self::None => (None, Vec::new()),
            Self::One(value) => (Some(value), Vec::new()),
            Self::Several(values) => (None, values),
        };
        one.into_iter().chain(several)
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_a_list() {
        let mut few = Few::default();
        for count in 0..5_u64 {
            let values: Vec<u64> = (0..count).collect();
            assert_eq!(few.to_vec(), values);
            assert_eq!(few, values.into_iter().collect());
            few.push(count);
        }
        assert_eq!(size_of::<Few<u64>>(), size_of::<Vec<u64>>());
    }
}
