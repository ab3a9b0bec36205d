//! Answers to lookups, kept for a moment.
//!
//! A service that is in demand is looked up by many programs at once. Its addresses live for
//! minutes, so an answer may be a hundredth of that old. Nothing is kept of a service that nobody
//! offers: who waits for one to come up sees it at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most answers kept; when one more comes, all are forgotten. A guess: more services than are in
/// demand at the same moment.
const ANSWERS_MAX: usize = 1_024;

/// Longest life of an answer.
const LIFE_MAX: Duration = Duration::from_secs(1);

/// How long something may be remembered of announcements of this age.
pub(crate) fn life_of(peer_age_ms_max: u64) -> Duration {
    Duration::from_millis(peer_age_ms_max / 100).min(LIFE_MAX)
}

/// Answers by name.
#[derive(Debug)]
pub(crate) struct RecentAnswers {
    answers: Mutex<BTreeMap<String, (Instant, String)>>,
    life: Duration,
}

impl RecentAnswers {
    /// Answers about announcements of this age.
    pub(crate) fn new(peer_age_ms_max: u64) -> Self {
        Self {
            answers: Mutex::default(),
            life: life_of(peer_age_ms_max),
        }
    }

    /// The answer to a lookup of this name at that moment, if it is young enough.
    pub(crate) fn get(&self, now: Instant, name: &str) -> Option<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, answer) = answers.get(name)?;
        let age = now.saturating_duration_since(*since);
        (age < self.life).then(|| answer.clone())
    }

    /// Keeps an answer.
    pub(crate) fn put(&self, now: Instant, name: &str, answer: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(name) {
            answers.clear();
        }
        answers.insert(name.to_owned(), (now, answer.to_owned()));
    }

    /// Forgets the answer about a service that has changed.
    pub(crate) fn forget(&self, name: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_for_a_hundredth_of_the_age() {
        let recent = RecentAnswers::new(20_000);
        let begin = Instant::now();
        recent.put(begin, "a", "[1]");
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        assert_eq!(recent.get(after(199), "a").as_deref(), Some("[1]"));
        assert_eq!(recent.get(after(200), "a"), None);
        assert_eq!(recent.get(begin, "b"), None);
        recent.forget("a");
        assert_eq!(recent.get(begin, "a"), None);
    }

    #[test]
    fn the_number_of_answers_is_bounded() {
        let recent = RecentAnswers::new(u64::MAX);
        assert_eq!(recent.life, LIFE_MAX);
        for number in 0..=ANSWERS_MAX {
            recent.put(Instant::now(), &number.to_string(), "[]");
        }
        let count = recent.answers.lock().expect("not poisoned").len();
        assert_eq!(count, 1);
    }
}
