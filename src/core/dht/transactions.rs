//! Questions that wait for an answer: numbers, deadlines, repetitions.
//!
//! A question is repeated when no answer came ([`Patience`]), then counts as slow, and at last as
//! failed. An answer belongs to a question if it has its number and comes from the host that was
//! asked; numbers are drawn at random, so that a stranger would have to guess.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::chance::Random;
use super::vocabulary::QueryId;
use crate::krpc::NodeId;

/// Time after which a walk goes on without the answer, in milliseconds. A guess: three round trips
/// round the earth.
pub(crate) const LATE_MS: u64 = 1_000;

/// Time after which a node counts as gone, in milliseconds (Grenache).
pub(crate) const TIMEOUT_MS: u64 = 2_000;

/// Most questions under way. A guess: 300 walks at full width; beyond it a node counts as silent.
pub(crate) const IN_FLIGHT_MAX: usize = 8_192;

/// When a question is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Never: asking twice could have another answer.
    Once,
    /// Once, for a datagram may get lost.
    Normal,
    /// Soon and often: two nodes that start at the same moment find each other.
    Eager,
}

impl Patience {
    /// Times of the repetitions, in milliseconds after the first sending. Guesses.
    fn repetitions_ms(self) -> &'static [u64] {
        match self {
            Self::Once => &[],
            Self::Normal => &[400],
            Self::Eager => &[120, 240, 480, 800],
        }
    }
}

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A step of a walk.
    Step(QueryId),
    /// An announcement or a value, to this giver of its errand.
    Delivery(QueryId),
    /// Whether a node is still there.
    Liveness,
}

/// A question under way.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) to: SocketAddrV4,
    /// Who should answer, if that is known.
    pub(crate) id: Option<NodeId>,
    pub(crate) purpose: Purpose,
    pub(crate) patience: Patience,
    pub(crate) datagram: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Waiting {
    question: Question,
    sent_ms: u64,
    repetitions: usize,
    late: bool,
    due_ms: u64,
}

/// What a deadline means.
#[derive(Clone, Debug)]
pub(crate) enum Overdue {
    /// Ask again.
    Repeat(SocketAddrV4, Vec<u8>),
    /// Do not wait any longer, but listen.
    Late(Purpose, SocketAddrV4),
    /// It is over.
    Failed(Question),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Transactions {
    waiting: BTreeMap<u16, Waiting>,
    deadlines: BTreeSet<(u64, u16)>,
}

impl Transactions {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A number that no question has; `None` if too many are under way.
    pub(crate) fn draw(&self, random: &mut Random) -> Option<u16> {
        if self.waiting.len() >= IN_FLIGHT_MAX {
            return None;
        }
        let first = 1 + u16::try_from(random.below(65_534)).ok()?;
        let mut number = first;
        while self.waiting.contains_key(&number) {
            number = if number == 65_534 { 1 } else { number + 1 };
        }
        Some(number)
    }

    /// A question has been sent.
    pub(crate) fn begin(&mut self, now_ms: u64, number: u16, question: Question) {
        let mut waiting = Waiting {
            question,
            sent_ms: now_ms,
            repetitions: 0,
            late: false,
            due_ms: 0,
        };
        waiting.due_ms = waiting.next_due_ms();
        self.deadlines.insert((waiting.due_ms, number));
        self.waiting.insert(number, waiting);
    }

    /// An answer has come: to what.
    pub(crate) fn end(&mut self, number: u16, from: SocketAddrV4) -> Option<Question> {
        let waiting = self.waiting.get(&number)?;
        if waiting.question.to.ip() != from.ip() {
            return None;
        }
        self.deadlines.remove(&(waiting.due_ms, number));
        self.waiting.remove(&number).map(|waiting| waiting.question)
    }

    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(due_ms, _)| *due_ms)
    }

    /// The next deadline that has passed.
    pub(crate) fn overdue(&mut self, now_ms: u64) -> Option<Overdue> {
        let (due_ms, number) = *self.deadlines.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.deadlines.pop_first();
        let waiting = self.waiting.get_mut(&number)?;
        if now_ms >= waiting.sent_ms + TIMEOUT_MS {
            let waiting = self.waiting.remove(&number)?;
            return Some(Overdue::Failed(waiting.question));
        }
        let question = &waiting.question;
        let overdue = if now_ms >= waiting.sent_ms + LATE_MS && !waiting.late {
            waiting.late = true;
            Overdue::Late(question.purpose, question.to)
        } else {
            waiting.repetitions += 1;
            Overdue::Repeat(question.to, question.datagram.clone())
        };
        waiting.due_ms = waiting.next_due_ms();
        self.deadlines.insert((waiting.due_ms, number));
        Some(overdue)
    }
}

impl Waiting {
    fn next_due_ms(&self) -> u64 {
        let repetitions = self.question.patience.repetitions_ms();
        let after_ms = match repetitions.get(self.repetitions) {
            Some(after_ms) if !self.late => *after_ms,
            _ if !self.late => LATE_MS,
            _ => TIMEOUT_MS,
        };
        self.sent_ms + after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;

    const ASKED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 7);

    fn begin(transactions: &mut Transactions, number: u16, patience: Patience) {
        let question = Question {
            to: ASKED,
            id: None,
            purpose: Purpose::Liveness,
            patience,
            datagram: vec![1],
        };
        transactions.begin(0, number, question);
    }

    fn course(patience: Patience) -> Vec<(u64, &'static str)> {
        let mut transactions = Transactions::default();
        begin(&mut transactions, 5, patience);
        let mut course = Vec::new();
        while let Some(due_ms) = transactions.next_deadline_ms() {
            let what = match transactions.overdue(due_ms).expect("it is due") {
                Overdue::Repeat(..) => "repeat",
                Overdue::Late(..) => "late",
                Overdue::Failed(..) => "failed",
            };
            course.push((due_ms, what));
        }
        assert_eq!(transactions.len(), 0);
        course
    }

    #[test]
    fn a_question_is_repeated_then_late_then_failed() {
        let end = [(LATE_MS, "late"), (TIMEOUT_MS, "failed")];
        assert_eq!(course(Patience::Once), end);
        assert_eq!(course(Patience::Normal), [(400, "repeat"), end[0], end[1]]);
        assert_eq!(course(Patience::Eager).len(), 6);
    }

    #[test]
    fn an_answer_counts_only_from_the_host_that_was_asked() {
        let mut transactions = Transactions::default();
        begin(&mut transactions, 5, Patience::Normal);
        let stranger = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 7);
        assert!(transactions.end(5, stranger).is_none());
        assert!(transactions.end(6, ASKED).is_none());
        let other_port = SocketAddrV4::new(*ASKED.ip(), 99);
        assert!(transactions.end(5, other_port).is_some());
        assert!(transactions.end(5, ASKED).is_none(), "it counts once");
        assert_eq!(transactions.next_deadline_ms(), None);
    }

    #[test]
    fn numbers_are_unique_and_bounded() {
        let mut transactions = Transactions::default();
        let mut random = Random::new(&[1; 32]);
        while let Some(number) = transactions.draw(&mut random) {
            assert!((1..=65_534).contains(&number));
            begin(&mut transactions, number, Patience::Once);
        }
        assert_eq!(transactions.len(), IN_FLIGHT_MAX);
    }
}
