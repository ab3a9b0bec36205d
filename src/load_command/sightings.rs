//! Which order was seen where, and when: from that follows how long each took to the last node.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An order on its way to all nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    /// When it was written to its node, once the node has answered with its id.
    sent: Option<Instant>,
    /// The nodes that have shown it, one bit each.
    seen: u64,
    last: Option<Instant>,
}

/// All orders that are looked for.
#[derive(Debug)]
pub(super) struct Sightings {
    all: u64,
    /// What was sent to each node and not answered: when, if it is looked for.
    open: Vec<VecDeque<Option<Instant>>>,
    orders: BTreeMap<String, Sighting>,
    refused: u64,
}

impl Sightings {
    pub(super) fn new(nodes: u32) -> Self {
        Self {
            all: u64::MAX >> (u64::BITS - nodes),
            open: vec![VecDeque::new(); nodes as usize],
            orders: BTreeMap::new(),
            refused: 0,
        }
    }

    /// An order was written to a node; if it is a probe it is looked for on all of them.
    pub(super) fn note_sent(&mut self, node: usize, at: Instant, is_probe: bool) {
        self.open[node].push_back(is_probe.then_some(at));
    }

    /// A node has answered its oldest order.
    pub(super) fn note_answer(&mut self, node: usize, answer: &Value) {
        let sent = self.open[node].pop_front().flatten();
        self.refused += u64::from(answer["ok"] != true);
        if let (Some(sent), Some(order)) = (sent, answer["order"].as_str()) {
            self.orders.entry(order.to_owned()).or_default().sent = Some(sent);
        }
    }

    /// A node has shown a trade of this order.
    pub(super) fn note_seen(&mut self, node: usize, order: String, at: Instant) {
        let sighting = self.orders.entry(order).or_default();
        if sighting.seen & (1 << node) == 0 {
            sighting.seen |= 1 << node;
            sighting.last = Some(at);
        }
    }

    /// Orders that were not taken.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Orders that were not seen everywhere.
    pub(super) fn missed(&self) -> u64 {
        let looked_for = self.orders.values().filter(|it| it.sent.is_some());
        looked_for.filter(|it| it.seen != self.all).count() as u64
    }

    /// How long each took to the last node, sorted.
    pub(super) fn latencies(&self) -> Vec<Duration> {
        let everywhere = self.orders.values().filter(|it| it.seen == self.all);
        let latency = |it: &Sighting| Some(it.last?.saturating_duration_since(it.sent?));
        let mut latencies: Vec<Duration> = everywhere.filter_map(latency).collect();
        latencies.sort_unstable();
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_counts_when_the_last_node_has_shown_it_whatever_comes_first() {
        let mut sightings = Sightings::new(2);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        sightings.note_sent(0, at(0), false);
        sightings.note_sent(0, at(1), true);
        sightings.note_seen(1, "b".to_owned(), at(5));
        sightings.note_answer(0, &json!({"ok": true, "order": "a"}));
        sightings.note_answer(0, &json!({"ok": true, "order": "b"}));
        assert_eq!((sightings.missed(), sightings.latencies()), (1, vec![]));
        sightings.note_seen(0, "b".to_owned(), at(9));
        sightings.note_seen(1, "b".to_owned(), at(99));
        assert_eq!(sightings.latencies(), [Duration::from_millis(8)]);
        assert_eq!((sightings.missed(), sightings.refused()), (0, 0));
    }

    #[test]
    fn what_was_refused_is_not_looked_for() {
        let mut sightings = Sightings::new(2);
        sightings.note_sent(1, Instant::now(), true);
        sightings.note_answer(1, &json!({"ok": false, "code": "X"}));
        assert_eq!((sightings.missed(), sightings.refused()), (0, 1));
    }
}
