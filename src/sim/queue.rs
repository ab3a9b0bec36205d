//! The events of the future, in windows of time.
//!
//! A window is as long as the shortest latency, so nothing that happens in a window reaches
//! another host within it: all hosts of a window are independent of each other, and each of them
//! takes all its events of the window at once, while its state is in the processor's caches.

use std::collections::VecDeque;

use crate::event::{Event, Micros};

/// Emptied lists that are kept: as many as are in use at a time when nothing is lost.
const SPARE_MAX: usize = 8;

/// Room for so many events is kept in an emptied list. When a network heals there are a hundred
/// times as many for a moment, and that memory is not needed again.
const SPARE_LEN_MAX: usize = 1 << 14;

/// Events by the window in which they happen.
#[derive(Debug)]
pub struct Queue {
    window_us: Micros,
    /// The number of the first window that is kept.
    first: u64,
    windows: VecDeque<Vec<Event>>,
    /// Emptied lists, to be used again: at most [`SPARE_MAX`], of at most [`SPARE_LEN_MAX`] events.
    spare: Vec<Vec<Event>>,
    length: usize,
}

impl Queue {
    /// No events.
    pub fn new(window_us: Micros) -> Self {
        Self {
            window_us,
            first: 0,
            windows: VecDeque::new(),
            spare: Vec::new(),
            length: 0,
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds an event, whose window was not taken yet.
    pub fn push(&mut self, event: Event) {
        let window = event.at_us / self.window_us;
        let at = window.checked_sub(self.first);
        let at = at.expect("an event is never in a window that is over") as usize;
        while self.windows.len() <= at {
            let window = self.spare();
            self.windows.push_back(window);
        }
        self.windows[at].push(event);
        self.length += 1;
    }

    /// The first window in which something happens.
    pub fn next_window(&self) -> Option<u64> {
        let at = self.windows.iter().position(|window| !window.is_empty())?;
        Some(self.first + at as u64)
    }

    /// Takes the events of a window, by host and in the order in which they happen. Windows before
    /// it must be empty.
    pub fn take(&mut self, window: u64) -> Vec<Event> {
        while self.first < window {
            let passed = self.windows.pop_front();
            let passed = passed.unwrap_or_default();
            assert!(passed.is_empty(), "a window with events was passed over");
            self.first += 1;
            self.recycle(passed);
        }
        self.first += 1;
        let mut events = self.windows.pop_front().unwrap_or_default();
        self.length -= events.len();
        events.sort_unstable_by_key(Event::rank);
        events
    }

    /// An empty list, with memory if there is some.
    pub fn spare(&mut self) -> Vec<Event> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back an emptied list.
    pub fn recycle(&mut self, mut events: Vec<Event>) {
        events.clear();
        if events.capacity() > 0 && self.spare.len() < SPARE_MAX {
            events.shrink_to(SPARE_LEN_MAX);
            self.spare.push(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Message;

    fn event(at_us: Micros, to: u32, from: u32) -> Event {
        Event {
            at_us,
            to,
            from,
            number: 0,
            message: Message::Order(0),
        }
    }

    #[test]
    fn windows_come_in_order_and_events_of_a_window_by_host_then_time_then_sender() {
        let mut queue = Queue::new(10);
        for (at_us, to, from) in [(25, 1, 1), (3, 2, 1), (9, 1, 2), (9, 1, 1), (4, 1, 3)] {
            queue.push(event(at_us, to, from));
        }
        assert_eq!((queue.next_window(), queue.len()), (Some(0), 5));
        let taken = queue.take(0);
        let ranks: Vec<_> = taken.iter().map(|it| (it.to, it.at_us, it.from)).collect();
        assert_eq!(ranks, [(1, 4, 3), (1, 9, 1), (1, 9, 2), (2, 3, 1)]);
        queue.recycle(taken);
        assert_eq!(queue.next_window(), Some(2));
        assert_eq!(queue.take(2).len(), 1);
        assert!(queue.is_empty() && queue.next_window().is_none());
    }
}
