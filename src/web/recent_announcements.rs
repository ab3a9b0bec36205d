//! Announcements that were accepted a moment ago.
//!
//! Programs repeat their announcements, several of one name often at the same time. The one that
//! repeats within a moment what was accepted is answered from memory, and at the end of that moment
//! the announcement is sent once more. So what others keep lives at least as long as if every
//! repetition had been sent, and whoever came into the DHT or was restarted in between hears of the
//! service at most that moment later. The moment is a hundredth of the age of announcements, and at
//! most a second. Only if this Grape ends within it, the last repetition is lost: the service lives
//! then as long as its first announcement allows.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;

use crate::recent_answers::life_of;

/// Most announcements remembered, and most that wait to be sent again; further ones are sent each
/// time. A guess: more than are repeated within a moment.
const ANNOUNCEMENTS_MAX: usize = 4_096;

/// An announcement that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    sent: Instant,
    nodes: usize,
    repeated: bool,
}

/// What is remembered of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing: it has to be sent.
    None,
    /// So many nodes accepted it a moment ago.
    Accepted(usize),
    /// The same, and this is its first repetition: it has to be sent again after this time.
    Repeated(usize, Duration),
}

/// Announcements by what is announced.
#[derive(Debug)]
pub(crate) struct RecentAnnouncements {
    kept: Mutex<Kept>,
    life: Duration,
}

/// Two generations: when one is full or old, the one before is forgotten whole.
#[derive(Debug, Default)]
struct Kept {
    young: BTreeMap<Service, Accepted>,
    old: BTreeMap<Service, Accepted>,
    since: Option<Instant>,
    to_be_sent: usize,
}

/// A name and a port that are announced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) name: Vec<u8>,
}

impl RecentAnnouncements {
    /// Announcements of this age.
    pub(crate) fn new(peer_age_ms_max: u64) -> Self {
        Self {
            kept: Mutex::default(),
            life: life_of(peer_age_ms_max),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody announces a service at that moment.
    pub(crate) fn repeat(&self, now: Instant, service: &Service) -> Memory {
        let mut kept = self.kept();
        let Kept {
            young,
            old,
            to_be_sent,
            ..
        } = &mut *kept;
        let found = young.get_mut(service).or_else(|| old.get_mut(service));
        let Some(accepted) = found else {
            return Memory::None;
        };
        let age = now.saturating_duration_since(accepted.sent);
        let left = self.life.saturating_sub(age);
        if left.is_zero() || *to_be_sent >= ANNOUNCEMENTS_MAX {
            Memory::None
        } else if accepted.repeated {
            Memory::Accepted(accepted.nodes)
        } else {
            accepted.repeated = true;
            *to_be_sent += 1;
            Memory::Repeated(accepted.nodes, left)
        }
    }

    /// So many nodes accepted what was sent at that moment.
    pub(crate) fn accepted(&self, sent: Instant, service: Service, nodes: usize) {
        let mut kept = self.kept();
        let since = *kept.since.get_or_insert(sent);
        let is_old = sent.saturating_duration_since(since) >= self.life;
        if is_old || kept.young.len() >= ANNOUNCEMENTS_MAX / 2 {
            kept.old = mem::take(&mut kept.young);
            kept.since = Some(sent);
        }
        let accepted = Accepted {
            sent,
            nodes,
            repeated: false,
        };
        kept.young.insert(service, accepted);
    }

    /// Waits until a repeated announcement has to be sent again; then it does not wait any more.
    pub(crate) async fn wait(&self, time: Duration) {
        let _waiting = Waiting(self);
        sleep(time).await;
    }
}

/// An announcement that waits to be sent again, even if who waits is given up.
struct Waiting<'a>(&'a RecentAnnouncements);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.kept().to_be_sent -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(number: usize) -> Service {
        Service {
            port: 7,
            name: number.to_string().into_bytes(),
        }
    }

    #[test]
    fn a_repetition_is_answered_and_the_first_one_is_to_be_sent_again() {
        let recent = RecentAnnouncements::new(20_000);
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let one = service(1);
        assert_eq!(recent.repeat(begin, &one), Memory::None);
        recent.accepted(begin, one.clone(), 3);
        assert_eq!(recent.repeat(begin, &service(2)), Memory::None);
        let left = Duration::from_millis(150);
        assert_eq!(recent.repeat(at(50), &one), Memory::Repeated(3, left));
        assert_eq!(recent.repeat(at(199), &one), Memory::Accepted(3));
        assert_eq!(recent.repeat(at(200), &one), Memory::None);
        drop(Waiting(&recent));
        assert_eq!(recent.kept().to_be_sent, 0);
        recent.accepted(at(200), one.clone(), 4);
        let left = Duration::from_millis(199);
        assert_eq!(recent.repeat(at(201), &one), Memory::Repeated(4, left));
    }

    #[test]
    fn what_is_remembered_and_what_waits_is_bounded() {
        let recent = RecentAnnouncements::new(u64::MAX);
        let begin = Instant::now();
        for number in 0..3 * ANNOUNCEMENTS_MAX {
            recent.accepted(begin, service(number), 1);
            let repeated = matches!(
                recent.repeat(begin, &service(number)),
                Memory::Repeated(1, _)
            );
            assert_eq!(repeated, number < ANNOUNCEMENTS_MAX);
        }
        let kept = recent.kept();
        assert!(kept.young.len() + kept.old.len() <= ANNOUNCEMENTS_MAX);
        assert_eq!(kept.to_be_sent, ANNOUNCEMENTS_MAX);
    }
}
