//! Short lists of which there is one for each author.

use alloc::vec::Vec;

/// Adds a value to a list that is one of very many: it grows by a quarter. By doubling, as it is
/// usual, the lists of many authors would be half empty.
pub(crate) fn push<T>(list: &mut Vec<T>, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 1);
    }
    list.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_never_much_longer_than_its_values() {
        let mut list = Vec::new();
        for number in 0..10_000 {
            push(&mut list, number);
            assert!(list.capacity() <= list.len() + list.len() / 4 + 1);
        }
        assert!(list.into_iter().eq(0..10_000));
    }
}
