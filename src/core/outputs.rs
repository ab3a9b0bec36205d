//! What a state machine wants done, until its driver asks for it.
//!
//! The queue is emptied after every input, and nearly always short. A synchronisation can make it
//! long for a moment; that memory is given back once it is empty again.

use alloc::collections::VecDeque;

/// Room for so many outputs is kept. A guess: more than an ordinary input makes.
const KEPT: usize = 32;

/// Outputs in the order in which they were made.
#[derive(Clone, Debug)]
pub(crate) struct Outputs<T>(VecDeque<T>);

impl<T> Default for Outputs<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Outputs<T> {
    /// Adds one behind all others.
    pub(crate) fn push_back(&mut self, output: T) {
        self.0.push_back(output);
    }

    /// Takes the oldest out. Ask until there is none.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let oldest = self.0.pop_front();
        if oldest.is_none() && self.0.capacity() > KEPT {
            self.0.shrink_to(KEPT);
        }
        oldest
    }
}

impl<T> Extend<T> for Outputs<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, outputs: I) {
        self.0.extend(outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_burst_is_given_back_when_all_is_done() {
        let mut outputs = Outputs::default();
        outputs.extend(0..10_000);
        assert!((0..10_000).all(|number| outputs.pop_front() == Some(number)));
        assert!(outputs.0.capacity() >= 10_000, "it may still grow again");
        assert_eq!(outputs.pop_front(), None);
        assert!(outputs.0.capacity() <= 2 * KEPT);
    }
}
