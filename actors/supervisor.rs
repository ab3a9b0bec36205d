//! The supervisor actor: carries out what [`bitfitech_core::supervision`] decides.
//!
//! A supervisor holds a list of children (see [`crate::child`]), starts them in order, hears of
//! every exit, and asks the policy what to do about it. It does nothing else, so there is little
//! in it that could fail; should it fail all the same, its children die with it, each by the leash
//! that the supervisor held, and its own supervisor starts it afresh, children included. Children
//! added while it ran are not in its specification and do not come back by themselves.
//!
//! Supervisors are children of supervisors, up to the [`Root`]. When restarting does not help, a
//! supervisor gives up: it stops its children and exits with the reason, and its supervisor
//! counts that as a failure of this child. When the root gives up, the process should end:
//! [`Root::ended`] tells.
//!
//! Each crash, restart and escalation is one log line and one [`ActorEvent`].
//!
//! [`ActorEvent`]: crate::environment::ActorEvent
//! [`Root`]: crate::root::Root
//! [`Root::ended`]: crate::root::Root::ended

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, ActorState, AsyncContext, Context, Handler, Message};
use actix_rt::time::{Instant, Sleep, sleep_until};
use bitfitech_core::supervision::{
    Action, AddError, ChildId, Config, Event, Exit, Order, Outcome, Overdue, Status, Supervision,
};

use crate::child::{Child, ChildContext, ChildSpec, Launch, Leash, Lifecycle, Started};
use crate::environment::{ActorChange, Environment};
use crate::mailbox::{ActorRef, post};

/// Added to the sum of the children's stop limits for the supervisor's own work; a guess.
const STOP_MARGIN_MS: u64 = 1_000;

/// Time to stop for supervisors whose children are added while they run; a guess, as long as the
/// limit of a single child.
const STOP_DYNAMIC_MS: u64 = 5_000;

/// How to make a supervisor: its rules and its first children.
#[derive(Clone)]
pub struct SupervisorSpec {
    config: Config,
    children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor without children.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            children: Vec::new(),
        }
    }

    /// Adds a child, to be started after those added before.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// How long an orderly stop can take if every child uses up its limit, in milliseconds.
    fn stop_ms(&self) -> u64 {
        let limits = self
            .children
            .iter()
            .map(|child| child.policy.stop_ms.saturating_add(self.config.kill_ms));
        let children_ms = match self.config.order {
            Order::OneByOne => limits.fold(0, u64::saturating_add),
            Order::AllAtOnce => limits.max().unwrap_or(0).max(STOP_DYNAMIC_MS),
        };
        children_ms.saturating_add(STOP_MARGIN_MS)
    }
}

/// A supervisor as a child of another one: starting for as long as its children need, and given
/// as long to stop as all of them together.
pub fn nested(
    reference: &ActorRef<Supervisor>,
    spec: SupervisorSpec,
    environment: &Environment,
) -> ChildSpec {
    let environment = environment.clone();
    let stop_ms = spec.stop_ms();
    ChildSpec::new(reference, move |context| {
        Supervisor::new(spec.clone(), environment.clone(), context)
    })
    .start_ms(None)
    .stop_ms(stop_ms)
}

/// A query: add a child after all others and start it.
#[derive(Message)]
#[rtype(result = "Result<(), AddError>")]
pub struct StartChild(pub ChildSpec);

/// A query: stop the child of this name and forget it; `false` if there is none.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct StopChild {
    /// The name of the child.
    pub name: String,
}

/// A child's news for its supervisor.
#[derive(Message)]
#[rtype(result = "()")]
struct Report(Event);

struct Slot {
    spec: ChildSpec,
    /// Held while a life lasts; dropping it ends the life.
    leash: Option<Leash>,
    /// Whether the last failure was told as an event, so that its restart has to be told as well.
    told: bool,
}

/// The actor that starts, watches and restarts its children.
pub struct Supervisor {
    environment: Environment,
    context: ChildContext,
    policy: Supervision,
    slots: BTreeMap<ChildId, Slot>,
    /// Children of the specification, taken when the actor starts.
    first: Vec<ChildSpec>,
    /// Whether all children have been up once.
    complete: bool,
    /// The duty to report that, if it has been asked for.
    started: Option<Started>,
}

impl Supervisor {
    fn new(spec: SupervisorSpec, environment: Environment, context: ChildContext) -> Self {
        let seed = environment.seed_of(&context.name, context.generation);
        Self {
            policy: Supervision::new(spec.config, seed),
            environment,
            context,
            slots: BTreeMap::new(),
            first: spec.children,
            complete: false,
            started: None,
        }
    }

    fn add(&mut self, spec: ChildSpec) -> Result<(), AddError> {
        let name = spec.name().to_string();
        let id = self.policy.add(spec.policy.clone(), spec.generation())?;
        if !self
            .environment
            .board
            .enter(&self.context.name, &name, &spec.child)
        {
            // Taken by a child of another supervisor; nothing has been started yet.
            self.policy.discard(id);
            return Err(AddError::Duplicate { name });
        }
        self.slots.insert(
            id,
            Slot {
                spec,
                leash: None,
                told: false,
            },
        );
        Ok(())
    }

    /// Puts an event to the policy and carries out its decisions.
    fn apply(&mut self, event: Event, context: &mut Context<Self>) {
        for action in self.policy.handle(self.environment.now_ms(), event) {
            self.perform(action, context);
        }
    }

    fn perform(&mut self, action: Action, context: &mut Context<Self>) {
        match action {
            Action::Start { child, generation } => self.start(child, generation, context),
            Action::Stop { child, generation } => self.stop(child, generation),
            Action::Kill {
                child,
                generation,
                overdue,
            } => self.kill(child, generation, overdue),
            Action::Probe { child, generation } => self.probe(child, generation, context),
            Action::Up { child, generation } => self.on_up(child, generation),
            Action::Failed {
                child,
                generation,
                exit,
                restart_in_ms,
            } => {
                self.on_failed(child, generation, &exit, restart_in_ms);
            }
            Action::Down {
                child,
                generation,
                status,
            } => self.on_down(child, generation, status),
            Action::Abandoned { child, .. } => self.on_abandoned(child),
            Action::Removed { child } => self.on_removed(child),
            Action::AllStarted => self.on_complete(),
            Action::Escalate { reason } => self.on_escalate(&reason),
            Action::End(outcome) => self.end(outcome, context),
        }
    }

    fn note(&self, child: ChildId, status: Status, generation: u64) {
        if let Some(slot) = self.slots.get(&child) {
            self.environment
                .board
                .set(slot.spec.name(), status, generation);
        }
    }

    fn start(&mut self, child: ChildId, generation: u64, context: &mut Context<Self>) {
        let address = context.address();
        let Some(slot) = self.slots.get_mut(&child) else {
            return;
        };
        let status = if generation > 1 {
            Status::Restarting
        } else {
            Status::Starting
        };
        self.environment
            .board
            .set(slot.spec.name(), status, generation);
        let exited = address.clone();
        let launch = Launch {
            generation,
            subtree: Some(self.context.subtree.clone()),
            report: Box::new(move |exit| {
                post(
                    &exited,
                    Report(Event::Exited {
                        child,
                        generation,
                        exit,
                    }),
                );
            }),
        };
        let up = move || post(&address, Report(Event::Started { child, generation }));
        slot.leash = Some(slot.spec.launch(launch, up));
    }

    fn stop(&mut self, child: ChildId, generation: u64) {
        self.note(child, Status::Stopping, generation);
        if let Some(slot) = self.slots.get(&child) {
            slot.spec.child.command(Lifecycle::stop());
        }
    }

    fn kill(&mut self, child: ChildId, generation: u64, overdue: Overdue) {
        self.note(child, Status::Stopping, generation);
        let Some(slot) = self.slots.get_mut(&child) else {
            return;
        };
        slot.leash = None;
        let limit_ms = slot.spec.policy.stop_ms;
        // The other two kinds are told as failures once the child is gone.
        if overdue == Overdue::Stop && limit_ms > 0 {
            let name = slot.spec.name();
            tracing::warn!(target: "supervisor",
                "{name} did not stop within {limit_ms} ms: killed"
            );
        }
    }

    fn probe(&self, child: ChildId, generation: u64, context: &Context<Self>) {
        let Some(slot) = self.slots.get(&child) else {
            return;
        };
        let address = context.address();
        slot.spec.child.command(Lifecycle::probe(move || {
            post(&address, Report(Event::Answered { child, generation }));
        }));
    }

    fn on_up(&mut self, child: ChildId, generation: u64) {
        self.note(child, Status::Running, generation);
        let Some(slot) = self.slots.get_mut(&child) else {
            return;
        };
        let name = slot.spec.name();
        if generation == 1 {
            return tracing::debug!(target: "supervisor", "{name} started");
        }
        if slot.spec.quiet && !slot.told {
            return tracing::debug!(target: "supervisor", "{name} restarted (life {generation})");
        }
        tracing::info!(target: "supervisor", "{name} restarted (life {generation})");
        self.environment
            .tell(name, ActorChange::Restarted, "", generation);
        slot.told = false;
    }

    fn on_failed(&mut self, child: ChildId, generation: u64, exit: &Exit, delay: Option<u64>) {
        let Some(slot) = self.slots.get_mut(&child) else {
            return;
        };
        let name = slot.spec.name();
        let next = match (delay, self.policy.status(child)) {
            (Some(delay_ms), _) => format!("restart in {delay_ms} ms"),
            (None, Some(Status::Restarting)) => "restart with its siblings".to_string(),
            (None, _) => "not restarted".to_string(),
        };
        // A supervisor that gave up has said so itself, once.
        let told_below = matches!(exit, Exit::Escalated(_));
        let expected = slot.spec.quiet && matches!(exit, Exit::Failed(_) | Exit::Normal);
        if told_below || expected {
            return tracing::debug!(target: "supervisor", "{name} failed ({exit}): {next}");
        }
        tracing::warn!(target: "supervisor", "{name} failed ({exit}): {next}");
        slot.told = true;
        self.environment
            .tell(name, ActorChange::Crashed, &exit.to_string(), generation);
    }

    fn on_down(&mut self, child: ChildId, generation: u64, status: Status) {
        self.note(child, status, generation);
        let Some(slot) = self.slots.get_mut(&child) else {
            return;
        };
        slot.leash = None;
        self.environment.board.clear(slot.spec.name());
    }

    fn on_abandoned(&self, child: ChildId) {
        let Some(slot) = self.slots.get(&child) else {
            return;
        };
        let name = slot.spec.name();
        tracing::error!(target: "supervisor",
            "{name} was killed but blocks its thread: left behind"
        );
    }

    fn on_removed(&mut self, child: ChildId) {
        if let Some(slot) = self.slots.remove(&child) {
            self.environment
                .board
                .remove(&self.context.name, slot.spec.name());
        }
    }

    fn on_complete(&mut self) {
        self.complete = true;
        if let Some(started) = self.started.take() {
            started.report();
        }
    }

    fn on_escalate(&self, reason: &str) {
        let name: &str = &self.context.name;
        tracing::error!(target: "supervisor", "{name} gives up: {reason}");
        let generation = self.context.generation;
        self.environment
            .tell(name, ActorChange::Escalated, reason, generation);
    }

    fn end(&self, outcome: Outcome, context: &mut Context<Self>) {
        if let Outcome::Escalated(reason) = outcome {
            self.context.exit.set(Exit::Escalated(reason));
        }
        context.stop();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // actix also runs this when a context is dropped before its first poll; a dying
        // supervisor must not give birth.
        if context.state() != ActorState::Running {
            return;
        }
        for spec in std::mem::take(&mut self.first) {
            if let Err(error) = self.add(spec) {
                self.context
                    .exit
                    .fail(format!("its specification is wrong: {error}"));
                return context.stop();
            }
        }
        context.spawn(DeadlineTimer::new());
        self.apply(Event::Begin, context);
    }
}

impl Child for Supervisor {
    fn on_begin(&mut self, started: Started, _context: &mut Context<Self>) {
        if self.complete {
            started.report();
        } else {
            self.started = Some(started);
        }
    }

    fn on_stop(&mut self, context: &mut Context<Self>) {
        self.apply(Event::Shutdown, context);
    }
}

crate::supervised!(Supervisor);

impl Handler<Report> for Supervisor {
    type Result = ();

    fn handle(&mut self, report: Report, context: &mut Context<Self>) {
        self.apply(report.0, context);
    }
}

impl Handler<StartChild> for Supervisor {
    type Result = Result<(), AddError>;

    fn handle(&mut self, start: StartChild, context: &mut Context<Self>) -> Self::Result {
        self.add(start.0)?;
        self.apply(Event::Tick, context);
        Ok(())
    }
}

impl Handler<StopChild> for Supervisor {
    type Result = bool;

    fn handle(&mut self, stop: StopChild, context: &mut Context<Self>) -> bool {
        let child = self.policy.find(&stop.name);
        if let Some(child) = child {
            self.apply(Event::Remove { child }, context);
        }
        child.is_some()
    }
}

/// Wakes the policy at its deadline, whatever that is at the time.
///
/// actix polls the futures of an actor after each batch of its messages, so this one always sees
/// the newest deadline, and there are no timers to cancel.
struct DeadlineTimer {
    sleep: Pin<Box<Sleep>>,
    armed_ms: Option<u64>,
}

impl DeadlineTimer {
    fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now())),
            armed_ms: None,
        }
    }
}

impl ActorFuture<Supervisor> for DeadlineTimer {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        supervisor: &mut Supervisor,
        context: &mut Context<Supervisor>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        while context.state() == ActorState::Running {
            let Some(deadline_ms) = supervisor.policy.next_deadline() else {
                break;
            };
            if self.armed_ms != Some(deadline_ms) {
                let at = supervisor.environment.origin + Duration::from_millis(deadline_ms);
                self.sleep.as_mut().reset(at);
                self.armed_ms = Some(deadline_ms);
            }
            ready!(self.sleep.as_mut().poll(task));
            self.armed_ms = None;
            supervisor.apply(Event::Tick, context);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
