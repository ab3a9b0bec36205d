//! The restart policy of a supervisor: who is started, stopped, restarted, and when to give up.
//!
//! An actor that meets a state it does not understand should not limp on: it panics, its state is
//! thrown away, and somebody who has not seen that state starts a fresh one. That somebody is a
//! supervisor, and the rules it follows are those of Erlang/OTP (OTP Design Principles,
//! "Supervisor Behaviour"), which this module holds as one pure state machine: events and the time
//! go in, [`Action`]s come out, and [`Supervision::next_deadline`] says when it wants to hear
//! [`Event::Tick`]. It starts no thread and reads no clock, so every rule can be tested in
//! microseconds, and a run can be repeated from its seed.
//!
//! # Rules
//!
//! - *Start order.* Children start in the order in which they were added; the next one starts when
//!   the former has reported that it is up. They stop in reverse order, one at a time, each within
//!   its deadline; who misses it is killed, and who survives even that (a blocked thread cannot
//!   be killed) is abandoned: the supervisor forgets that generation and goes on.
//! - *Restart.* A [`Restart::Permanent`] child is always restarted, a [`Restart::Transient`] one
//!   unless it ended normally, a [`Restart::Temporary`] one never. A transient child that ended
//!   normally stays ended, also when its siblings are restarted: its work was done.
//! - *Strategy.* What a failure takes with it: nothing ([`Strategy::OneForOne`]), the siblings
//!   started later ([`Strategy::RestForOne`]) or all of them ([`Strategy::OneForAll`]).
//! - *Backoff.* A restart waits; the wait doubles with every failure up to a maximum, has a random
//!   part so that many nodes do not march in step, and starts anew after a stable life.
//! - *Intensity.* More failures within a window than allowed mean that restarting does not help:
//!   the supervisor stops its children, ends, and so puts the question to its own supervisor.
//! - *Probes.* A hung child never exits, so each one is asked for a sign of life; one that stays
//!   silent for a whole interval is killed and counts as failed.
//!
//! Every start has a generation. What is reported about an older one is ignored, so a late message
//! from a dead child can neither stop nor acquit its successor.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use crate::random::SplitMix64;

mod child;
mod vocabulary;

use child::{Child, Phase, Probe, Then};

pub use vocabulary::{
    Action, AddError, Backoff, CHILDREN_MAX, ChildId, ChildSpec, Config, Event, Exit, Intensity,
    Order, Outcome, Overdue, Restart, Status, Strategy,
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Not yet begun: children are only collected.
    Prepared,
    /// At work; whether `AllStarted` has been told.
    Working { told: bool },
    /// Stopping all children to end so.
    Ending(Outcome),
    /// Ended; every event is ignored.
    Over,
}

/// The policy of one supervisor (see the module's text).
///
/// Getters: [`status`](Self::status), [`children`](Self::children), [`find`](Self::find),
/// [`next_deadline`](Self::next_deadline). Mutators: [`add`](Self::add) (then send
/// [`Event::Tick`]), [`handle`](Self::handle).
#[derive(Clone, Debug)]
pub struct Supervision {
    config: Config,
    children: BTreeMap<ChildId, Child>,
    next_id: u64,
    /// Times of the restarts granted within the window, oldest first; at most `restarts_max`.
    granted_ms: VecDeque<u64>,
    stage: Stage,
    random: SplitMix64,
    actions: Vec<Action>,
}

impl Supervision {
    /// A supervisor without children; `seed` makes the jitter of its backoff.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            children: BTreeMap::new(),
            next_id: 0,
            granted_ms: VecDeque::new(),
            stage: Stage::Prepared,
            random: SplitMix64(seed),
            actions: Vec::new(),
        }
    }

    /// Adds a child after all others; it starts with the next event once its turn has come.
    ///
    /// `generations_before` is the number of its former lives, 0 for a new one: it lets the count
    /// survive a restart of the supervisor itself.
    pub fn add(&mut self, spec: ChildSpec, generations_before: u64) -> Result<ChildId, AddError> {
        if matches!(self.stage, Stage::Ending(_) | Stage::Over) {
            return Err(AddError::Ending);
        }
        if self.find(&spec.name).is_some() {
            return Err(AddError::Duplicate { name: spec.name });
        }
        if self.children.len() >= self.config.children_max {
            return Err(AddError::TooMany {
                children_max: self.config.children_max,
            });
        }
        let id = ChildId(self.next_id);
        self.next_id += 1;
        let child = Child {
            spec,
            generation: generations_before,
            phase: Phase::Waiting,
            failures: 0,
            up_since_ms: None,
            started_once: false,
        };
        self.children.insert(id, child);
        Ok(id)
    }

    /// Takes back an [`add`](Self::add) before any event has been handled since.
    pub fn discard(&mut self, id: ChildId) {
        if self
            .children
            .get(&id)
            .is_some_and(|child| child.phase == Phase::Waiting)
        {
            self.children.remove(&id);
        }
    }

    /// The child of this name.
    pub fn find(&self, name: &str) -> Option<ChildId> {
        self.children
            .iter()
            .find(|(_, child)| child.spec.name == name)
            .map(|(id, _)| *id)
    }

    /// What a child is doing; `None` if there is no such child.
    pub fn status(&self, child: ChildId) -> Option<Status> {
        self.children.get(&child).map(Child::status)
    }

    /// All children in start order.
    pub fn children(&self) -> impl Iterator<Item = ChildId> + '_ {
        self.children.keys().copied()
    }

    /// When [`Event::Tick`] is due, on the clock of `now_ms`; `None` if only events matter.
    pub fn next_deadline(&self) -> Option<u64> {
        self.children
            .values()
            .filter_map(|child| child.phase.deadline_ms())
            .min()
    }

    /// Takes an event at the time `now_ms` and answers with what has to be done, in order.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        match event {
            Event::Begin => self.on_begin(),
            Event::Started { child, generation } => self.on_started(now_ms, child, generation),
            Event::Answered { child, generation } => self.on_answered(child, generation),
            Event::Exited {
                child,
                generation,
                exit,
            } => {
                self.on_exited(now_ms, child, generation, exit);
            }
            Event::Remove { child } => self.on_remove(child),
            Event::Shutdown => self.end(Outcome::Shutdown),
            Event::Tick => {}
        }
        self.expire(now_ms);
        self.stop_next(now_ms);
        self.start_next(now_ms);
        self.conclude();
        mem::take(&mut self.actions)
    }

    fn on_begin(&mut self) {
        if self.stage == Stage::Prepared {
            self.stage = Stage::Working { told: false };
        }
    }

    /// The child, if that generation of it is the present one and alive.
    fn living(&mut self, id: ChildId, generation: u64) -> Option<&mut Child> {
        let child = self.children.get_mut(&id)?;
        (child.generation == generation && child.phase.is_alive()).then_some(child)
    }

    fn on_started(&mut self, now_ms: u64, id: ChildId, generation: u64) {
        let probe_ms = self.config.probe_ms;
        let Some(child) = self.living(id, generation) else {
            return;
        };
        if !matches!(child.phase, Phase::Starting { .. }) {
            return;
        }
        let probe = probe_ms.map(|interval_ms| Probe {
            next_ms: now_ms.saturating_add(interval_ms),
            awaiting: false,
        });
        child.phase = Phase::Running { probe };
        child.up_since_ms = Some(now_ms);
        child.started_once = true;
        self.actions.push(Action::Up {
            child: id,
            generation,
        });
    }

    fn on_answered(&mut self, id: ChildId, generation: u64) {
        let Some(child) = self.living(id, generation) else {
            return;
        };
        if let Phase::Running { probe: Some(probe) } = &mut child.phase {
            probe.awaiting = false;
        }
    }

    fn on_exited(&mut self, now_ms: u64, id: ChildId, generation: u64, exit: Exit) {
        let Some(child) = self.living(id, generation) else {
            return;
        };
        let restart = child.spec.restart;
        match mem::replace(&mut child.phase, Phase::Ended) {
            Phase::Condemned { then }
            | Phase::Stopping { then, .. }
            | Phase::Killing { then, .. } => self.settle(now_ms, id, then, exit),
            _ => match (restart, &exit) {
                (Restart::Transient, Exit::Normal) => self.tell_down(id),
                (Restart::Temporary, Exit::Normal) => self.down_and_forget(id),
                _ => self.fail(now_ms, id, exit),
            },
        }
    }

    fn on_remove(&mut self, id: ChildId) {
        if !matches!(self.stage, Stage::Prepared | Stage::Working { .. }) {
            return;
        }
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.condemn(Then::Forget);
        if child.phase == Phase::Ended {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ChildId) {
        self.children.remove(&id);
        self.actions.push(Action::Removed { child: id });
    }

    fn tell_down(&mut self, id: ChildId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        self.actions.push(Action::Down {
            child: id,
            generation: child.generation,
            status: child.status(),
        });
    }

    fn tell_failed(&mut self, id: ChildId, exit: Exit, restart_in_ms: Option<u64>) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let generation = child.generation;
        self.actions.push(Action::Failed {
            child: id,
            generation,
            exit,
            restart_in_ms,
        });
    }

    /// A child that was being taken down, or is not restarted, is gone.
    fn settle(&mut self, now_ms: u64, id: ChildId, then: Then, exit: Exit) {
        if let Then::Fail(cause) = then {
            return self.fail(now_ms, id, cause);
        }
        // To be killed is what was meant to happen; everything else that is not normal is news.
        if matches!(
            exit,
            Exit::Failed(_) | Exit::Crashed(_) | Exit::Escalated(_)
        ) {
            self.tell_failed(id, exit, None);
        }
        if then == Then::Again
            && let Some(child) = self.children.get_mut(&id)
        {
            child.phase = Phase::Waiting;
        }
        match then {
            Then::Forget => self.down_and_forget(id),
            _ => self.tell_down(id),
        }
    }

    fn down_and_forget(&mut self, id: ChildId) {
        self.tell_down(id);
        self.forget(id);
    }

    /// A child failed: restart it, and those it takes with it, or give up.
    fn fail(&mut self, now_ms: u64, id: ChildId, exit: Exit) {
        let restart = self.children.get(&id).map(|child| child.spec.restart);
        if restart == Some(Restart::Temporary) {
            self.tell_failed(id, exit, None);
            return self.down_and_forget(id);
        }
        if !self.grant(now_ms, &exit) {
            let reason = self.escalation(id, &exit);
            self.tell_failed(id, exit, None);
            self.tell_down(id);
            self.actions.push(Action::Escalate {
                reason: reason.clone(),
            });
            return self.end(Outcome::Escalated(reason));
        }
        let random = self.random.any();
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let lived_ms = child
            .up_since_ms
            .map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        if child.up_since_ms.is_some() && lived_ms >= child.spec.backoff.stable_ms {
            child.failures = 0;
        }
        child.failures = child.failures.saturating_add(1);
        let delay_ms = child.spec.backoff.delay_ms(child.failures, random);
        child.phase = Phase::Backoff {
            until_ms: now_ms.saturating_add(delay_ms),
        };
        self.tell_failed(id, exit, Some(delay_ms));
        self.tell_down(id);
        self.condemn_dependents(id);
    }

    fn condemn_dependents(&mut self, failed: ChildId) {
        let strategy = self.config.strategy;
        for (id, child) in &mut self.children {
            let depends = match strategy {
                Strategy::OneForOne => false,
                Strategy::RestForOne => *id > failed,
                Strategy::OneForAll => *id != failed,
            };
            if depends {
                child.condemn(Then::Again);
            }
        }
    }

    /// Whether one more restart is within the intensity; if so it is entered. A supervisor that
    /// gave up has failed many times already, so its failure weighs a third of the whole limit.
    fn grant(&mut self, now_ms: u64, exit: &Exit) -> bool {
        let Some(intensity) = self.config.intensity else {
            return true;
        };
        let expired = |at_ms: &u64| now_ms.saturating_sub(*at_ms) > intensity.window_ms;
        while self.granted_ms.front().is_some_and(expired) {
            self.granted_ms.pop_front();
        }
        let weight = match exit {
            Exit::Escalated(_) => (intensity.restarts_max / 3).max(1),
            _ => 1,
        };
        if self.granted_ms.len() + weight as usize > intensity.restarts_max as usize {
            return false;
        }
        self.granted_ms.extend((0..weight).map(|_| now_ms));
        true
    }

    fn escalation(&self, id: ChildId, exit: &Exit) -> String {
        let name = self
            .children
            .get(&id)
            .map_or("?", |child| child.spec.name.as_str());
        let (restarts_max, window_ms) = self.config.intensity.map_or((0, 0), |intensity| {
            (intensity.restarts_max, intensity.window_ms)
        });
        format!(
            "restart limit reached ({restarts_max} in {window_ms} ms); the last: {name}: {exit}"
        )
    }

    /// Begins to end: all children are to be stopped. The first outcome stands.
    fn end(&mut self, outcome: Outcome) {
        if matches!(self.stage, Stage::Ending(_) | Stage::Over) {
            return;
        }
        self.stage = Stage::Ending(outcome);
        for child in self.children.values_mut() {
            child.condemn(Then::Rest);
        }
    }

    /// Acts on all deadlines that have passed.
    fn expire(&mut self, now_ms: u64) {
        let due: Vec<ChildId> = self
            .children
            .iter()
            .filter(|(_, child)| {
                child
                    .phase
                    .deadline_ms()
                    .is_some_and(|at_ms| at_ms <= now_ms)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.expire_child(now_ms, id);
        }
    }

    fn expire_child(&mut self, now_ms: u64, id: ChildId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let generation = child.generation;
        match mem::replace(&mut child.phase, Phase::Ended) {
            Phase::Backoff { .. } => child.phase = Phase::Waiting,
            Phase::Starting { .. } => {
                let what = format!("not up within {} ms", child.spec.start_ms.unwrap_or(0));
                self.kill(now_ms, id, Overdue::Start, Then::Fail(Exit::Hung(what)));
            }
            Phase::Running { probe: Some(probe) } => {
                child.phase = Phase::Running { probe: Some(probe) };
                self.probe(now_ms, id, probe);
            }
            Phase::Stopping { then, .. } => self.kill(now_ms, id, Overdue::Stop, then),
            Phase::Killing { then, .. } => {
                self.actions.push(Action::Abandoned {
                    child: id,
                    generation,
                });
                self.settle(now_ms, id, then, Exit::Killed("abandoned".to_string()));
            }
            phase => child.phase = phase,
        }
    }

    /// A probe is due: sends one, or judges the child by the one it has not answered.
    fn probe(&mut self, now_ms: u64, id: ChildId, probe: Probe) {
        let interval_ms = self.config.probe_ms.unwrap_or(u64::MAX);
        // A supervisor that wakes up late (the machine slept) has not listened meanwhile and
        // cannot tell a hung child from one that had no time to answer: it listens once more.
        let late = now_ms.saturating_sub(probe.next_ms) > interval_ms / 2;
        if probe.awaiting && !late {
            let what = format!("no answer to a probe within {interval_ms} ms");
            return self.kill(now_ms, id, Overdue::Probe, Then::Fail(Exit::Hung(what)));
        }
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if let Phase::Running { probe: next } = &mut child.phase {
            let next_ms = now_ms.saturating_add(interval_ms.max(1));
            *next = Some(Probe {
                next_ms,
                awaiting: true,
            });
        }
        if !probe.awaiting {
            let generation = child.generation;
            self.actions.push(Action::Probe {
                child: id,
                generation,
            });
        }
    }

    fn kill(&mut self, now_ms: u64, id: ChildId, overdue: Overdue, then: Then) {
        let deadline_ms = now_ms.saturating_add(self.config.kill_ms.max(1));
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.phase = Phase::Killing { deadline_ms, then };
        let generation = child.generation;
        self.actions.push(Action::Kill {
            child: id,
            generation,
            overdue,
        });
    }

    /// Asks the condemned to stop: the last one if nobody is stopping, or all at once.
    fn stop_next(&mut self, now_ms: u64) {
        let condemned = |(id, child): (&ChildId, &Child)| match &child.phase {
            Phase::Condemned { then } => Some((*id, then.clone())),
            _ => None,
        };
        let going =
            |child: &Child| matches!(child.phase, Phase::Stopping { .. } | Phase::Killing { .. });
        let turn: Vec<(ChildId, Then)> = match self.config.order {
            Order::AllAtOnce => self.children.iter().rev().filter_map(condemned).collect(),
            Order::OneByOne if self.children.values().any(going) => Vec::new(),
            Order::OneByOne => self
                .children
                .iter()
                .rev()
                .find_map(condemned)
                .into_iter()
                .collect(),
        };
        for (id, then) in turn {
            self.stop(now_ms, id, then);
        }
    }

    fn stop(&mut self, now_ms: u64, id: ChildId, then: Then) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if child.spec.stop_ms == 0 {
            return self.kill(now_ms, id, Overdue::Stop, then);
        }
        let deadline_ms = now_ms.saturating_add(child.spec.stop_ms);
        child.phase = Phase::Stopping { deadline_ms, then };
        let generation = child.generation;
        self.actions.push(Action::Stop {
            child: id,
            generation,
        });
    }

    /// Starts every waiting child whose turn has come.
    fn start_next(&mut self, now_ms: u64) {
        if !matches!(self.stage, Stage::Working { .. }) {
            return;
        }
        let waiting: Vec<ChildId> = self
            .children
            .iter()
            .filter(|(id, child)| child.phase == Phase::Waiting && self.may_start(**id))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let Some(child) = self.children.get_mut(&id) else {
                continue;
            };
            child.generation += 1;
            child.up_since_ms = None;
            let deadline_ms = child
                .spec
                .start_ms
                .map(|limit_ms| now_ms.saturating_add(limit_ms));
            child.phase = Phase::Starting { deadline_ms };
            let generation = child.generation;
            self.actions.push(Action::Start {
                child: id,
                generation,
            });
        }
    }

    /// Whether the siblings let this waiting child start.
    fn may_start(&self, id: ChildId) -> bool {
        let independent = self.config.strategy == Strategy::OneForOne;
        let earlier_ready = |child: &Child| match child.phase {
            Phase::Ended | Phase::Running { .. } => true,
            _ => independent && child.started_once,
        };
        let in_turn = self.config.order == Order::AllAtOnce
            || self
                .children
                .range(..id)
                .all(|(_, child)| earlier_ready(child));
        let quiet = |child: &Child| match child.phase {
            Phase::Backoff { .. } => self.config.strategy != Strategy::OneForAll,
            _ => !child.phase.is_going(),
        };
        in_turn && (independent || self.children.values().all(quiet))
    }

    /// Tells that all have started, or ends when the last child is down.
    fn conclude(&mut self) {
        let up_once = |child: &Child| child.started_once || child.phase == Phase::Ended;
        match &mut self.stage {
            Stage::Working { told } if !*told && self.children.values().all(up_once) => {
                *told = true;
                self.actions.push(Action::AllStarted);
            }
            Stage::Ending(outcome) if !self.children.values().any(|c| c.phase.is_alive()) => {
                self.actions.push(Action::End(outcome.clone()));
                self.stage = Stage::Over;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
