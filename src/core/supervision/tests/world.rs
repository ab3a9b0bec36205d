//! What stands in for the actors, and checks every decision against the rules.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::super::*;

pub(super) const LIMIT: Intensity = Intensity {
    restarts_max: 3,
    window_ms: 1_000,
};

pub(super) fn spec(name: &str, restart: Restart) -> ChildSpec {
    ChildSpec {
        restart,
        backoff: Backoff {
            first_ms: 100,
            max_ms: 1_000,
            stable_ms: 5_000,
        },
        start_ms: Some(2_000),
        stop_ms: 500,
        ..ChildSpec::new(name)
    }
}

pub(super) fn config(strategy: Strategy) -> Config {
    Config {
        strategy,
        intensity: Some(LIMIT),
        probe_ms: None,
        kill_ms: 50,
        ..Config::default()
    }
}

/// What stands in for the actors: obeys the policy's actions and checks each against the rules.
pub(super) struct World {
    pub(super) policy: Supervision,
    pub(super) config: Config,
    pub(super) now_ms: u64,
    /// The life of each child that the policy must believe to be alive.
    pub(super) alive: BTreeMap<ChildId, u64>,
    /// Children that have been up once, are told to be down for good, or are forgotten.
    pub(super) settled: BTreeSet<ChildId>,
    pub(super) last_generation: BTreeMap<ChildId, u64>,
    pub(super) granted_ms: Vec<u64>,
    pub(super) stopped: Vec<ChildId>,
    pub(super) started: Vec<ChildId>,
    pub(super) known: Vec<ChildId>,
    /// Children that were told to stop or are being killed.
    pub(super) asked: BTreeSet<ChildId>,
    pub(super) ended: Option<Outcome>,
    pub(super) all: Vec<Action>,
}

impl World {
    pub(super) fn new(config: Config, restarts: &[Restart]) -> Self {
        let mut world = Self {
            policy: Supervision::new(config, 11),
            config,
            now_ms: 0,
            alive: BTreeMap::new(),
            settled: BTreeSet::new(),
            last_generation: BTreeMap::new(),
            granted_ms: Vec::new(),
            stopped: Vec::new(),
            started: Vec::new(),
            known: Vec::new(),
            asked: BTreeSet::new(),
            ended: None,
            all: Vec::new(),
        };
        restarts.iter().for_each(|restart| world.add(*restart));
        world
    }

    /// A world of permanent children that are all up.
    pub(super) fn running(config: Config, count: usize) -> Self {
        let mut world = Self::new(config, &vec![Restart::Permanent; count]);
        world.event(Event::Begin);
        world.cooperate();
        world.forget_history();
        world
    }

    pub(super) fn forget_history(&mut self) {
        self.started.clear();
        self.stopped.clear();
        self.all.clear();
    }

    pub(super) fn add(&mut self, restart: Restart) {
        let name = format!("child{}", self.known.len());
        if let Ok(id) = self.policy.add(spec(&name, restart), 0) {
            self.known.push(id);
        }
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<Action> {
        let over = self.ended.is_some();
        let actions = self.policy.handle(self.now_ms, event);
        assert!(
            !over || actions.is_empty(),
            "nothing is done after the end: {actions:?}"
        );
        for action in &actions {
            self.obey(action);
        }
        let due = self.policy.next_deadline();
        assert!(
            over || due.is_none_or(|due| due > self.now_ms),
            "nothing due is left undone"
        );
        self.all.extend(actions.iter().cloned());
        actions
    }

    pub(super) fn obey(&mut self, action: &Action) {
        match action {
            Action::Start { child, generation } => self.on_start(*child, *generation),
            Action::Stop { child, generation } => {
                assert_eq!(self.alive.get(child), Some(generation));
                self.stopped.push(*child);
                self.asked.insert(*child);
            }
            Action::Kill {
                child, generation, ..
            }
            | Action::Probe { child, generation } => {
                assert_eq!(self.alive.get(child), Some(generation));
            }
            Action::Up { child, .. } => {
                self.settled.insert(*child);
            }
            Action::Failed {
                restart_in_ms: Some(_),
                ..
            } => self.on_granted(),
            Action::Down {
                child,
                status: Status::Stopped,
                ..
            }
            | Action::Removed { child } => {
                self.settled.insert(*child);
            }
            Action::Abandoned { child, generation } => {
                assert_eq!(self.alive.remove(child), Some(*generation));
            }
            Action::End(outcome) => {
                assert!(
                    self.alive.is_empty(),
                    "nobody is left behind: {:?}",
                    self.alive
                );
                self.ended = Some(outcome.clone());
            }
            _ => {}
        }
    }

    pub(super) fn on_start(&mut self, child: ChildId, generation: u64) {
        let before = self.alive.insert(child, generation);
        assert_eq!(before, None, "a child is not started twice");
        let last = self.last_generation.insert(child, generation).unwrap_or(0);
        assert_eq!(generation, last + 1, "each life has its own generation");
        if self.config.order == Order::OneByOne {
            let earlier = self.known.iter().filter(|id| **id < child);
            let early = earlier.filter(|id| !self.settled.contains(id)).count();
            assert_eq!(early, 0, "{child:?} started before its elder siblings");
        }
        self.started.push(child);
    }

    pub(super) fn on_granted(&mut self) {
        self.granted_ms.push(self.now_ms);
        let Some(limit) = self.config.intensity else {
            return;
        };
        let within = |at_ms: &&u64| self.now_ms - **at_ms <= limit.window_ms;
        let recent = self.granted_ms.iter().filter(within).count();
        assert!(
            recent <= limit.restarts_max as usize,
            "more restarts than the intensity"
        );
    }

    pub(super) fn exit(&mut self, child: ChildId, exit: Exit) -> Vec<Action> {
        match self.alive.remove(&child) {
            Some(generation) => self.event(Event::Exited {
                child,
                generation,
                exit,
            }),
            None => Vec::new(),
        }
    }

    pub(super) fn crash(&mut self, child: ChildId) -> Vec<Action> {
        self.exit(child, Exit::Crashed("a defect".to_string()))
    }

    pub(super) fn advance(&mut self, by_ms: u64) -> Vec<Action> {
        self.now_ms += by_ms;
        self.event(Event::Tick)
    }

    pub(super) fn advance_to_deadline(&mut self) -> Vec<Action> {
        let due = self.policy.next_deadline().expect("something is due");
        self.now_ms = due;
        self.event(Event::Tick)
    }

    /// Every child does at once what it is asked to; waits are waited for.
    pub(super) fn cooperate(&mut self) {
        for _ in 0..100 {
            let before = self.all.len();
            for (child, generation) in self.alive.clone() {
                self.event(Event::Started { child, generation });
            }
            if let Some(child) = self.asked.pop_first() {
                self.exit(child, Exit::Normal);
            }
            let restarting = |id: &ChildId| self.policy.status(*id) == Some(Status::Restarting);
            if before == self.all.len() && self.known.iter().any(restarting) {
                self.advance_to_deadline();
            }
        }
    }

    /// Nobody reacts to anything: the deadlines alone have to bring the end.
    pub(super) fn must_end_by_itself(&mut self) {
        self.event(Event::Shutdown);
        for _ in 0..4 * self.known.len() + 4 {
            if self.ended.is_none() {
                self.advance_to_deadline();
            }
        }
        assert!(self.ended.is_some(), "everything terminates");
    }

    pub(super) fn ids(&self, numbers: &[usize]) -> Vec<ChildId> {
        numbers.iter().map(|number| self.known[*number]).collect()
    }
}
