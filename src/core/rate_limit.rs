//! How much a peer may send: token buckets, and those of one link together.
//!
//! A bucket holds tokens up to a burst and gains them at a steady rate (Turner, "New directions in
//! communications", 1986). What has come is charged in any case, for it has been read already; the
//! answer is how long to wait before more is read. So nothing is lost: the sender waits, through
//! TCP, and a flood costs the flooder. What may be owed is bounded by the largest frame.
//!
//! A peer passes on what the whole network writes, so a link carries [`RELAY_FACTOR`] times the
//! orders that one author may write. Answers to own questions are not charged: who asks for a
//! million operations wants them.

use crate::types::Now;

/// How many times the orders of one author a link may carry. A guess: a network in which ten
/// authors write at their limit.
pub const RELAY_FACTOR: u64 = 10;

/// Frames that a link may carry in a second: four times what a node writes that flushes every 2 ms.
const FRAMES_PER_SECOND: u64 = 2_000;

/// Bytes that a link may carry in a second: more than a 100 Mbit/s line does.
const BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;

/// A rate and how much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens gained in each interval; at least 1 is assumed.
    pub tokens: u64,
    /// The interval, in milliseconds; at least 1 is assumed.
    pub interval_ms: u64,
    /// Most tokens held.
    pub burst: u64,
}

/// Whether there were tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There were.
    Granted,
    /// There were too few.
    Refused,
}

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// Tokens times the interval, so that a millisecond's gain is a whole number. Negative: owed.
    level: i128,
    at_ms: u64,
}

impl TokenBucket {
    /// A full bucket. All times are monotonic, in milliseconds.
    pub fn new(now_ms: u64, rate: Rate) -> Self {
        let rate = Rate {
            tokens: rate.tokens.max(1),
            interval_ms: rate.interval_ms.max(1),
            ..rate
        };
        Self {
            rate,
            level: Self::full(rate),
            at_ms: now_ms,
        }
    }

    fn full(rate: Rate) -> i128 {
        i128::from(rate.burst) * i128::from(rate.interval_ms)
    }

    /// Takes tokens out if there are as many.
    pub fn admit(&mut self, now_ms: u64, tokens: u64) -> Admission {
        let before = *self;
        if self.charge(now_ms, tokens) == 0 {
            return Admission::Granted;
        }
        // Who is refused owes nothing.
        self.level = before.level;
        self.at_ms = before.at_ms;
        Admission::Refused
    }

    /// Takes tokens out, whether or not they are there. Tells how long, in milliseconds, to wait
    /// until nothing is owed.
    pub fn charge(&mut self, now_ms: u64, tokens: u64) -> u64 {
        // A clock that went back has gained nothing.
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let gained = i128::from(elapsed_ms) * i128::from(self.rate.tokens);
        let level = (self.level + gained).min(Self::full(self.rate));
        self.level = level - i128::from(tokens) * i128::from(self.rate.interval_ms);
        let owed = u128::try_from(-self.level).unwrap_or(0);
        let wait_ms = owed.div_ceil(u128::from(self.rate.tokens));
        u64::try_from(wait_ms).unwrap_or(u64::MAX)
    }
}

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRates {
    /// Orders that one author may write in a second.
    pub orders_per_second: u64,
    /// Orders that one author may write in a minute.
    pub orders_per_minute: u64,
    /// Frames that ask for something, in a minute.
    pub requests_per_minute: u64,
}

/// What a frame weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Its bytes.
    pub bytes: u64,
    /// Operations that it pushes.
    pub operations: u64,
    /// 1 if it asks for something.
    pub requests: u64,
}

/// The buckets of one link.
#[derive(Clone, Copy, Debug)]
pub struct LinkLimits {
    frames: TokenBucket,
    bytes: TokenBucket,
    operations: [TokenBucket; 2],
    requests: TokenBucket,
}

impl LinkLimits {
    /// Full buckets.
    pub fn new(now: Now, rates: PeerRates) -> Self {
        let bucket = |tokens: u64, interval_ms, burst| {
            let rate = Rate {
                tokens,
                interval_ms,
                burst,
            };
            TokenBucket::new(now.monotonic_ms, rate)
        };
        let second = rates.orders_per_second.saturating_mul(RELAY_FACTOR);
        let minute = rates.orders_per_minute.saturating_mul(RELAY_FACTOR);
        let requests = rates.requests_per_minute;
        Self {
            frames: bucket(FRAMES_PER_SECOND, 1_000, 2 * FRAMES_PER_SECOND),
            bytes: bucket(BYTES_PER_SECOND, 1_000, BYTES_PER_SECOND),
            operations: [
                bucket(second, 1_000, second),
                bucket(minute, 60_000, minute),
            ],
            requests: bucket(requests, 60_000, requests.div_ceil(6)),
        }
    }

    /// Charges a frame. Tells how long, in milliseconds, to read nothing more.
    pub fn charge(&mut self, now: Now, load: Load) -> u64 {
        let [second, minute] = &mut self.operations;
        let now_ms = now.monotonic_ms;
        let waits_ms = [
            self.frames.charge(now_ms, 1),
            self.bytes.charge(now_ms, load.bytes),
            second.charge(now_ms, load.operations),
            minute.charge(now_ms, load.operations),
            self.requests.charge(now_ms, load.requests),
        ];
        waits_ms.into_iter().fold(0, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    use super::*;
    use crate::types::at;

    const RATE: Rate = Rate {
        tokens: 100,
        interval_ms: 1_000,
        burst: 50,
    };

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let mut bucket = TokenBucket::new(0, RATE);
        assert_eq!(bucket.charge(0, 50), 0);
        assert_eq!(bucket.charge(0, 1), 10, "a token takes 10 ms");
        assert_eq!(bucket.charge(10, 3), 30);
        assert_eq!(bucket.charge(40, 0), 0, "nothing is owed any more");
        assert_eq!(
            bucket.charge(1_000_000, 51),
            10,
            "more than the burst is not saved up"
        );
    }

    #[test]
    fn who_is_refused_owes_nothing() {
        let mut bucket = TokenBucket::new(0, RATE);
        let granted = (0..1_000).filter(|_| bucket.admit(0, 1) == Admission::Granted);
        assert_eq!(granted.count(), 50);
        assert_eq!(bucket.admit(9, 1), Admission::Refused);
        assert_eq!(bucket.admit(10, 1), Admission::Granted);
    }

    #[test]
    fn a_clock_that_goes_back_gains_nothing() {
        let mut bucket = TokenBucket::new(1_000, RATE);
        assert_eq!(bucket.charge(1_000, 60), 100);
        assert_eq!(bucket.charge(0, 0), 100);
        assert_eq!(bucket.charge(1_050, 0), 50);
    }

    #[test]
    fn each_bucket_of_a_link_can_stop_it() {
        let rates = PeerRates {
            orders_per_second: 10,
            orders_per_minute: 30,
            requests_per_minute: 60,
        };
        let load = |bytes, operations, requests| Load {
            bytes,
            operations,
            requests,
        };
        let wait_ms = |load| LinkLimits::new(at(0), rates).charge(at(0), load);
        assert_eq!(wait_ms(load(0, 100, 0)), 0, "ten authors at their limit");
        assert_eq!(wait_ms(load(0, 101, 0)), 10);
        assert_eq!(wait_ms(load(0, 300, 0)), 2_000);
        assert_eq!(wait_ms(load(0, 0, 10)), 0);
        assert_eq!(wait_ms(load(0, 0, 11)), 1_000);
        assert_eq!(wait_ms(load(BYTES_PER_SECOND, 0, 0)), 0);
        assert_eq!(wait_ms(load(2 * BYTES_PER_SECOND, 0, 0)), 1_000);
        let mut link = LinkLimits::new(at(0), rates);
        let waits = (0..4_001).map(|_| link.charge(at(0), Load::default()));
        assert_eq!(waits.filter(|wait_ms| *wait_ms > 0).count(), 1, "frames");
        let mut minute = LinkLimits::new(at(0), rates);
        let waits = (0..4_u64).map(|second| minute.charge(at(second * 1_000), load(0, 100, 0)));
        assert_eq!(
            waits.last(),
            Some(17_000),
            "300 a minute, 15 of them gained"
        );
    }

    proptest! {
        /// Whoever waits as told gets no more than the burst and the rate.
        #[test]
        fn who_waits_as_told_stays_within_the_rate(charges in vector(0..200_u64, 1..100)) {
            let mut bucket = TokenBucket::new(0, RATE);
            let (mut now_ms, mut total) = (0, 0);
            for tokens in charges {
                now_ms += bucket.charge(now_ms, tokens);
                total += tokens;
                prop_assert!(total <= 50 + now_ms / 10, "{total} in {now_ms} ms");
            }
        }
    }
}
