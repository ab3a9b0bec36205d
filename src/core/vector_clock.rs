//! Vector clocks: which of two events came first, if either did.
//!
//! A vector clock holds one counter per node. A node ticks its own counter for every event of its
//! own; when it receives a message it takes the maximum of each counter and then ticks. One event
//! happened before another exactly if none of its counters is greater and some is less; if each
//! has a greater one, the two are concurrent: neither could have known of the other.
//!
//! Sources: Fidge (1988), Mattern (1989).
//!
//! Operations do not carry their clock: it follows from `prev` and `refs`
//! (see [`crate::dag::Dag::vector_clock`]).

use alloc::collections::BTreeMap;
use core::cmp::Ordering;

/// How two events stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first happened before the second.
    Before,
    /// The first happened after the second.
    After,
    /// Neither could have known of the other.
    Concurrent,
    /// They are the same point in time.
    Equal,
}

impl Relation {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Concurrent => "concurrent",
            Self::Equal => "equal",
        }
    }
}

/// One counter per node; a node that is absent counts 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorClock<N: Ord> {
    counters: BTreeMap<N, u64>,
}

impl<N: Ord> Default for VectorClock<N> {
    fn default() -> Self {
        Self {
            counters: BTreeMap::new(),
        }
    }
}

impl<N: Ord + Clone> VectorClock<N> {
    /// The counter of a node.
    pub fn get(&self, node: &N) -> u64 {
        self.counters.get(node).copied().unwrap_or(0)
    }

    /// All counters above 0, by node.
    pub fn iter(&self) -> impl Iterator<Item = (&N, u64)> {
        self.counters.iter().map(|(node, count)| (node, *count))
    }

    /// Counts one event of `node`.
    pub fn tick(&mut self, node: &N) {
        *self.counters.entry(node.clone()).or_insert(0) += 1;
    }

    /// Raises the counter of a node to at least `count`.
    pub fn raise(&mut self, node: &N, count: u64) {
        if count > self.get(node) {
            self.counters.insert(node.clone(), count);
        }
    }

    /// Takes the maximum of each counter.
    pub fn merge(&mut self, other: &Self) {
        other
            .counters
            .iter()
            .for_each(|(node, count)| self.raise(node, *count));
    }

    /// What `node` does when a message with the clock `other` arrives: merge, then tick.
    pub fn receive(&mut self, node: &N, other: &Self) {
        self.merge(other);
        self.tick(node);
    }

    /// How this clock stands to another.
    pub fn relation(&self, other: &Self) -> Relation {
        match self.partial_cmp(other) {
            Some(Ordering::Less) => Relation::Before,
            Some(Ordering::Greater) => Relation::After,
            Some(Ordering::Equal) => Relation::Equal,
            None => Relation::Concurrent,
        }
    }

    /// Whether no counter is greater than the other's.
    fn is_within(&self, other: &Self) -> bool {
        self.counters
            .iter()
            .all(|(node, count)| *count <= other.get(node))
    }
}

impl<N: Ord + Clone> PartialOrd for VectorClock<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.is_within(other), other.is_within(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn clock(counters: &[(&'static str, u64)]) -> VectorClock<&'static str> {
        let mut clock = VectorClock::default();
        counters
            .iter()
            .for_each(|(node, count)| clock.raise(node, *count));
        clock
    }

    #[test]
    fn clocks_with_one_counter_greater_each_are_concurrent() {
        let first = clock(&[("n1", 5), ("n2", 3)]);
        let second = clock(&[("n1", 4), ("n2", 7)]);
        assert_eq!(first.relation(&second), Relation::Concurrent);
    }

    /// Three nodes: A's first order reaches B and then C; B places a second order; A, which has
    /// not heard from B, places a third.
    #[test]
    fn three_nodes_tell_order_from_concurrency() {
        let mut a = VectorClock::default();
        a.tick(&"A");
        let order_1 = a.clone();
        assert_eq!(order_1, clock(&[("A", 1)]));

        let mut b = VectorClock::default();
        b.receive(&"B", &order_1);
        let order_1_at_b = b.clone();
        assert_eq!(order_1_at_b, clock(&[("A", 1), ("B", 1)]));

        let mut c = VectorClock::default();
        c.receive(&"C", &order_1_at_b);
        let order_1_at_c = c.clone();
        assert_eq!(order_1_at_c, clock(&[("A", 1), ("B", 1), ("C", 1)]));

        // B places its second order, having heard of C's copy of the first.
        b.receive(&"B", &order_1_at_c);
        let order_2 = b;
        assert_eq!(order_2, clock(&[("A", 1), ("B", 2), ("C", 1)]));

        // A places the third, having heard of B's copy but not of C's.
        a.receive(&"A", &order_1_at_b);
        let order_3 = a;
        assert_eq!(order_3, clock(&[("A", 2), ("B", 1)]));

        assert_eq!(order_1_at_c.relation(&order_1_at_b), Relation::After);
        assert_eq!(order_1_at_b.relation(&order_1_at_c), Relation::Before);
        assert_eq!(order_2.relation(&order_3), Relation::Concurrent);
        assert_eq!(order_1.relation(&order_3), Relation::Before);
        assert_eq!(order_2.relation(&order_2.clone()), Relation::Equal);
    }

    proptest! {
        /// Random message passing: clocks must tell exactly what reachability tells.
        #[test]
        fn relation_is_exactly_happened_before(
            steps in proptest::collection::vec(
                (0..4_usize, proptest::option::of(0..64_usize)),
                1..40,
            ),
        ) {
            let mut nodes: Vec<(VectorClock<usize>, Option<usize>)> =
                (0..4).map(|_| (VectorClock::default(), None)).collect();
            let mut events: Vec<VectorClock<usize>> = Vec::new();
            // reaches[e] holds every event that e could know of, itself included.
            let mut reaches: Vec<Vec<usize>> = Vec::new();
            for (node, message) in steps {
                let mut known = Vec::new();
                if let Some(previous) = nodes[node].1 {
                    known.extend(reaches[previous].iter().copied());
                }
                match message.filter(|_| !events.is_empty()) {
                    Some(number) => {
                        let sent = number % events.len();
                        let message = events[sent].clone();
                        nodes[node].0.receive(&node, &message);
                        known.extend(reaches[sent].iter().copied());
                    }
                    None => nodes[node].0.tick(&node),
                }
                known.push(events.len());
                nodes[node].1 = Some(events.len());
                events.push(nodes[node].0.clone());
                reaches.push(known);
            }
            for (first, first_clock) in events.iter().enumerate() {
                for (second, second_clock) in events.iter().enumerate() {
                    let expected = match (
                        reaches[second].contains(&first),
                        reaches[first].contains(&second),
                    ) {
                        (true, true) => Relation::Equal,
                        (true, false) => Relation::Before,
                        (false, true) => Relation::After,
                        (false, false) => Relation::Concurrent,
                    };
                    prop_assert_eq!(first_clock.relation(second_clock), expected);
                }
            }
        }
    }
}
