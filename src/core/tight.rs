//! Lists of which there are very many: one for each author, or for each node of a simulation.

use alloc::vec::Vec;

/// Adds a value to a list that grows by a quarter. By doubling, as it is usual, many lists would be
/// half empty.
pub fn push<T>(list: &mut Vec<T>, value: T) {
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
