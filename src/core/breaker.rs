//! Circuit breakers: one per peer address, so that a dead address is left in peace.
//!
//! Dialling an address that does not answer costs a socket and a time-out each time, and costs the
//! other side too when it is merely overloaded. The pattern is Nygard's ("Release It!", 2007): a
//! circuit is **closed** while attempts succeed; after `failure_threshold` failures in a row it is
//! **open** and nobody may try; after a wait it is **half-open** and lets through *one* probe at a
//! time. `half_open_probes` successful probes close it, one failed probe opens it again with twice
//! the wait, up to `max_timeout_ms`.
//!
//! Every attempt has a number, given by [`Breakers::permit`] and handed back with its result. A
//! result of an attempt that began before the circuit last changed says nothing about its present
//! state and is ignored; so a slow failure from before cannot pass for the result of a probe. A
//! probe whose result never comes counts as failed after `probe_timeout_ms`.
//!
//! At most `circuits_max` addresses are remembered. When one more comes, the least recently tried
//! closed circuit is forgotten; if none is closed, an open one, then a half-open one. What is
//! forgotten starts again closed: the cost is an attempt too early.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::types::Now;

/// How circuits behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open a circuit; at least 1 is assumed.
    pub failure_threshold: u32,
    /// First wait of an open circuit, in milliseconds.
    pub reset_timeout_ms: u64,
    /// Successful probes that close a circuit; at least 1 is assumed.
    pub half_open_probes: u32,
    /// Longest wait of an open circuit, in milliseconds.
    pub max_timeout_ms: u64,
    /// After how long a probe without result counts as failed, in milliseconds.
    pub probe_timeout_ms: u64,
    /// Most circuits remembered; at least 1 is assumed.
    pub circuits_max: usize,
}

impl Default for BreakerConfig {
    /// Guesses: five failures, from 5 s up to 5 min; a probe has the time of a dial and a
    /// handshake.
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            reset_timeout_ms: 5_000,
            half_open_probes: 1,
            max_timeout_ms: 300_000,
            probe_timeout_ms: 20_000,
            circuits_max: 1_024,
        }
    }
}

/// The state of a circuit, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts are allowed.
    Closed,
    /// Attempts are refused.
    Open,
    /// Attempts are allowed one at a time.
    HalfOpen,
}

impl BreakerState {
    /// The word that users read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Whether an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may; report its result with this number.
    Go(Attempt),
    /// It may not; ask again after this time.
    Wait {
        /// Milliseconds until the next permit is possible.
        retry_in_ms: u64,
    },
}

/// The number of an attempt. Greater numbers began later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u64);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// A session was established.
    Succeeded,
    /// It was not.
    Failed,
}

/// A circuit as users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRow {
    /// The peer's address.
    pub address: String,
    /// State of the circuit.
    pub state: BreakerState,
    /// Failures in a row.
    pub failures: u32,
    /// Milliseconds until the next permit is possible.
    pub retry_in_ms: u64,
}

#[derive(Clone, Debug)]
struct Circuit {
    state: State,
    failures: u32,
    /// Results of attempts before this one are ignored.
    counts_from: Attempt,
    tried_ms: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        since_ms: u64,
        wait_ms: u64,
    },
    HalfOpen {
        wait_ms: u64,
        successes: u32,
        probe_since_ms: Option<u64>,
    },
}

impl State {
    fn public(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Less is forgotten sooner.
    fn worth(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open { .. } => 1,
            Self::HalfOpen { .. } => 2,
        }
    }

    /// Milliseconds until a permit is possible, if nothing is reported before.
    fn retry_in_ms(self, now_ms: u64, probe_timeout_ms: u64) -> u64 {
        let (since_ms, wait_ms) = match self {
            Self::Open { since_ms, wait_ms } => (since_ms, wait_ms),
            Self::HalfOpen {
                probe_since_ms: Some(since_ms),
                ..
            } => (since_ms, probe_timeout_ms),
            Self::Closed | Self::HalfOpen { .. } => return 0,
        };
        wait_ms.saturating_sub(now_ms.saturating_sub(since_ms))
    }

    /// A clock that went back must not lengthen a wait: it starts again at most.
    fn tolerate_clock(&mut self, now_ms: u64) {
        match self {
            Self::Open { since_ms, .. } => *since_ms = now_ms.min(*since_ms),
            Self::HalfOpen {
                probe_since_ms: Some(since_ms),
                ..
            } => *since_ms = now_ms.min(*since_ms),
            Self::Closed | Self::HalfOpen { .. } => {}
        }
    }
}

/// All circuits of a node.
#[derive(Clone, Debug)]
pub struct Breakers {
    config: BreakerConfig,
    circuits: BTreeMap<String, Circuit>,
    next_attempt: u64,
}

impl Breakers {
    /// No circuit yet.
    pub fn new(config: BreakerConfig) -> Self {
        let config = BreakerConfig {
            failure_threshold: config.failure_threshold.max(1),
            half_open_probes: config.half_open_probes.max(1),
            circuits_max: config.circuits_max.max(1),
            ..config
        };
        Self {
            config,
            circuits: BTreeMap::new(),
            next_attempt: 0,
        }
    }

    /// Asks whether an attempt to reach this address may begin now.
    pub fn permit(&mut self, now: Now, address: &str) -> Permit {
        let now_ms = now.monotonic_ms;
        let attempt = Attempt(self.next_attempt);
        let config = self.config;
        let circuit = self.circuit(now_ms, address);
        circuit.state.tolerate_clock(now_ms);
        circuit.expire_probe(now_ms, config, attempt);
        let retry_in_ms = circuit.state.retry_in_ms(now_ms, config.probe_timeout_ms);
        if retry_in_ms > 0 {
            return Permit::Wait { retry_in_ms };
        }
        circuit.begin(now_ms, attempt);
        self.next_attempt += 1;
        Permit::Go(attempt)
    }

    /// Takes the result of a permitted attempt. Returns the new state if it changed.
    pub fn report(
        &mut self,
        now: Now,
        address: &str,
        attempt: Attempt,
        result: AttemptResult,
    ) -> Option<BreakerState> {
        let config = self.config;
        let next = Attempt(self.next_attempt);
        let circuit = self.circuits.get_mut(address)?;
        if attempt < circuit.counts_from {
            return None;
        }
        let before = circuit.state.public();
        match result {
            AttemptResult::Succeeded => circuit.succeed(config),
            AttemptResult::Failed => circuit.fail(now.monotonic_ms, config),
        }
        let after = circuit.state.public();
        if after == before {
            return None;
        }
        circuit.counts_from = next;
        Some(after)
    }

    /// All circuits by address.
    pub fn rows(&self, now: Now) -> Vec<BreakerRow> {
        let row = |(address, circuit): (&String, &Circuit)| {
            let timeout_ms = self.config.probe_timeout_ms;
            let mut state = circuit.state;
            state.tolerate_clock(now.monotonic_ms);
            BreakerRow {
                address: address.clone(),
                state: state.public(),
                failures: circuit.failures,
                retry_in_ms: state.retry_in_ms(now.monotonic_ms, timeout_ms),
            }
        };
        self.circuits.iter().map(row).collect()
    }

    /// The circuit of an address, made if need be.
    fn circuit(&mut self, now_ms: u64, address: &str) -> &mut Circuit {
        if !self.circuits.contains_key(address) && self.circuits.len() >= self.config.circuits_max {
            self.forget_one();
        }
        self.circuits
            .entry(address.to_string())
            .or_insert_with(|| Circuit {
                state: State::Closed,
                failures: 0,
                counts_from: Attempt(0),
                tried_ms: now_ms,
            })
    }

    fn forget_one(&mut self) {
        let least = self
            .circuits
            .iter()
            .min_by_key(|(_, circuit)| (circuit.state.worth(), circuit.tried_ms))
            .map(|(address, _)| address.clone());
        if let Some(address) = least {
            self.circuits.remove(&address);
        }
    }
}

impl Circuit {
    /// Notes that an attempt begins; an open circuit whose wait is over becomes half-open.
    fn begin(&mut self, now_ms: u64, attempt: Attempt) {
        self.tried_ms = now_ms;
        match &mut self.state {
            State::Closed => {}
            State::Open { wait_ms, .. } => {
                self.counts_from = attempt;
                self.state = State::HalfOpen {
                    wait_ms: *wait_ms,
                    successes: 0,
                    probe_since_ms: Some(now_ms),
                };
            }
            State::HalfOpen { probe_since_ms, .. } => *probe_since_ms = Some(now_ms),
        }
    }

    fn succeed(&mut self, config: BreakerConfig) {
        match &mut self.state {
            State::Closed => self.failures = 0,
            State::Open { .. } => {}
            State::HalfOpen {
                successes,
                probe_since_ms,
                ..
            } => {
                *successes += u32::from(probe_since_ms.take().is_some());
                if *successes >= config.half_open_probes {
                    self.failures = 0;
                    self.state = State::Closed;
                }
            }
        }
    }

    fn fail(&mut self, now_ms: u64, config: BreakerConfig) {
        match self.state {
            State::Closed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= config.failure_threshold {
                    self.open(now_ms, config.reset_timeout_ms, config);
                }
            }
            State::Open { .. } => {}
            State::HalfOpen {
                wait_ms,
                probe_since_ms,
                ..
            } => {
                if probe_since_ms.is_some() {
                    self.failures = self.failures.saturating_add(1);
                    self.open(now_ms, wait_ms.saturating_mul(2), config);
                }
            }
        }
    }

    fn open(&mut self, now_ms: u64, wait_ms: u64, config: BreakerConfig) {
        self.state = State::Open {
            since_ms: now_ms,
            wait_ms: wait_ms.clamp(1, config.max_timeout_ms.max(1)),
        };
    }

    /// Counts a probe without result as failed.
    fn expire_probe(&mut self, now_ms: u64, config: BreakerConfig, next: Attempt) {
        let State::HalfOpen {
            probe_since_ms: Some(since_ms),
            ..
        } = self.state
        else {
            return;
        };
        if now_ms.saturating_sub(since_ms) >= config.probe_timeout_ms {
            self.fail(now_ms, config);
            self.counts_from = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::at;
    use alloc::vec;
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failure_threshold: 3,
        reset_timeout_ms: 100,
        half_open_probes: 2,
        max_timeout_ms: 350,
        probe_timeout_ms: 50,
        circuits_max: 3,
    };

    /// Permits an attempt that must be allowed and reports its result at once.
    fn try_once(
        breakers: &mut Breakers,
        now_ms: u64,
        address: &str,
        result: AttemptResult,
    ) -> Option<BreakerState> {
        let Permit::Go(attempt) = breakers.permit(at(now_ms), address) else {
            panic!("an attempt at {now_ms} must be allowed");
        };
        breakers.report(at(now_ms), address, attempt, result)
    }

    fn opened(now_ms: u64) -> Breakers {
        let mut breakers = Breakers::new(CONFIG);
        for _ in 0..2 {
            let change = try_once(&mut breakers, now_ms, "a", AttemptResult::Failed);
            assert_eq!(change, None);
        }
        let change = try_once(&mut breakers, now_ms, "a", AttemptResult::Failed);
        assert_eq!(change, Some(BreakerState::Open));
        breakers
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breakers = Breakers::new(CONFIG);
        for _ in 0..5 {
            try_once(&mut breakers, 0, "a", AttemptResult::Failed);
            try_once(&mut breakers, 0, "a", AttemptResult::Failed);
            try_once(&mut breakers, 0, "a", AttemptResult::Succeeded);
        }
        assert_eq!(breakers.rows(at(0))[0].state, BreakerState::Closed);
    }

    #[test]
    fn enough_successful_probes_close_the_circuit() {
        let mut breakers = opened(0);
        assert_eq!(
            breakers.permit(at(99), "a"),
            Permit::Wait { retry_in_ms: 1 }
        );
        let first = try_once(&mut breakers, 100, "a", AttemptResult::Succeeded);
        assert_eq!(first, None);
        assert_eq!(breakers.rows(at(100))[0].state, BreakerState::HalfOpen);
        let second = try_once(&mut breakers, 100, "a", AttemptResult::Succeeded);
        assert_eq!(second, Some(BreakerState::Closed));
        assert_eq!(breakers.rows(at(100))[0].failures, 0);
    }

    #[test]
    fn failed_probes_double_the_wait_up_to_its_limit() {
        let mut breakers = opened(0);
        let mut now_ms = 0;
        for wait_ms in [100, 200, 350, 350] {
            assert_eq!(
                breakers.permit(at(now_ms), "a"),
                Permit::Wait {
                    retry_in_ms: wait_ms
                }
            );
            now_ms += wait_ms;
            let change = try_once(&mut breakers, now_ms, "a", AttemptResult::Failed);
            assert_eq!(change, Some(BreakerState::Open));
        }
    }

    #[test]
    fn a_probe_without_result_counts_as_failed() {
        let mut breakers = opened(0);
        let Permit::Go(lost) = breakers.permit(at(100), "a") else {
            panic!("the wait is over");
        };
        assert_eq!(
            breakers.permit(at(149), "a"),
            Permit::Wait { retry_in_ms: 1 }
        );
        assert_eq!(
            breakers.permit(at(150), "a"),
            Permit::Wait { retry_in_ms: 200 }
        );
        let late = breakers.report(at(160), "a", lost, AttemptResult::Succeeded);
        assert_eq!(late, None, "its result comes too late");
    }

    #[test]
    fn results_from_before_a_change_are_ignored() {
        let mut breakers = Breakers::new(CONFIG);
        let Permit::Go(slow) = breakers.permit(at(0), "a") else {
            panic!("closed circuits allow attempts");
        };
        for _ in 0..3 {
            try_once(&mut breakers, 0, "a", AttemptResult::Failed);
        }
        let Permit::Go(_) = breakers.permit(at(100), "a") else {
            panic!("the wait is over");
        };
        for result in [AttemptResult::Succeeded, AttemptResult::Failed] {
            assert_eq!(breakers.report(at(100), "a", slow, result), None);
        }
        assert!(matches!(breakers.permit(at(100), "a"), Permit::Wait { .. }));
    }

    #[test]
    fn a_clock_that_goes_back_starts_the_wait_again_at_most() {
        let mut breakers = opened(1_000_000);
        assert_eq!(
            breakers.permit(at(10), "a"),
            Permit::Wait { retry_in_ms: 100 }
        );
        assert!(matches!(breakers.permit(at(110), "a"), Permit::Go(_)));
    }

    #[test]
    fn closed_circuits_are_forgotten_first() {
        let mut breakers = opened(0);
        breakers.permit(at(1), "b");
        breakers.permit(at(2), "c");
        breakers.permit(at(3), "d");
        breakers.permit(at(4), "e");
        let rows = breakers.rows(at(4));
        let known: Vec<&str> = rows.iter().map(|row| row.address.as_str()).collect();
        assert_eq!(known, vec!["a", "d", "e"]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Permit(u8),
        Report(prop::sample::Index, bool),
        Wait(i64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..5_u8).prop_map(Step::Permit),
            3 => (any::<prop::sample::Index>(), any::<bool>())
                .prop_map(|(which, good)| Step::Report(which, good)),
            1 => (-200..200_i64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn open_circuits_allow_nothing_and_half_open_ones_a_single_probe(
            steps in vector(any_step(), 0..150),
        ) {
            let mut breakers = Breakers::new(CONFIG);
            let mut running: Vec<(String, Attempt)> = Vec::new();
            let mut now_ms = 10_000_u64;
            for step in steps {
                match step {
                    Step::Wait(by_ms) => now_ms = now_ms.saturating_add_signed(by_ms),
                    Step::Permit(number) => {
                        let address = alloc::format!("{number}");
                        let row = breakers.rows(at(now_ms)).into_iter()
                            .find(|row| row.address == address);
                        let permit = breakers.permit(at(now_ms), &address);
                        if let Some(row) = row {
                            let waits = row.retry_in_ms > 0;
                            prop_assert!(row.state != BreakerState::Closed || !waits);
                            prop_assert!(row.retry_in_ms <= CONFIG.max_timeout_ms);
                            let refused = matches!(permit, Permit::Wait { .. });
                            prop_assert!(refused || !waits, "{:?} and {:?}", row, permit);
                        }
                        if let Permit::Go(attempt) = permit {
                            running.push((address, attempt));
                        }
                    }
                    Step::Report(which, good) if !running.is_empty() => {
                        let (address, attempt) = running.remove(which.index(running.len()));
                        let result = if good {
                            AttemptResult::Succeeded
                        } else {
                            AttemptResult::Failed
                        };
                        breakers.report(at(now_ms), &address, attempt, result);
                    }
                    Step::Report(..) => {}
                }
                prop_assert!(breakers.circuits.len() <= CONFIG.circuits_max);
                for (address, circuit) in &breakers.circuits {
                    let probing = running.iter().filter(|(tried, attempt)| {
                        circuit.state.public() == BreakerState::HalfOpen
                            && tried == address
                            && *attempt >= circuit.counts_from
                    });
                    prop_assert!(probing.count() <= 1);
                }
            }
        }

        #[test]
        fn every_circuit_lets_an_attempt_through_in_the_end(
            results in vector(any::<bool>(), 0..40),
        ) {
            let mut breakers = Breakers::new(CONFIG);
            let mut now_ms = 0;
            for good in results {
                now_ms += breakers.rows(at(now_ms)).first().map_or(0, |row| row.retry_in_ms);
                let result = if good { AttemptResult::Succeeded } else { AttemptResult::Failed };
                try_once(&mut breakers, now_ms, "a", result);
            }
        }
    }
}
