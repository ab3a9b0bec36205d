//! An actor that misbehaves when told to, the tree it lives in, and patience.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, Context, ContextFutureSpawner, Handler, Message, Running};
use bitfitech_core::supervision::{Backoff, Config, Intensity};
use tokio::sync::broadcast::Receiver;

use super::super::SupervisorSpec;
use crate::child::{Child, ChildContext, ChildSpec};
use crate::environment::{ActorChange, ActorEvent, Environment};
use crate::mailbox::{ActorRef, Data, Permit};
use crate::root::Root;
use crate::supervised;

/// Longest wait for something that should happen soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What all workers of a test write down, in order.
#[derive(Clone, Default)]
pub(super) struct Journal {
    pub(super) lines: Arc<Mutex<Vec<String>>>,
    pub(super) alive: Arc<AtomicUsize>,
}

impl Journal {
    pub(super) fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// An actor that counts, and misbehaves when told to.
pub(super) struct Worker {
    pub(super) context: ChildContext,
    pub(super) journal: Journal,
    pub(super) counter: u32,
    pub(super) ignores_stop: bool,
    pub(super) stops_after: Option<blocking::Receiver<()>>,
    pub(super) kept: Vec<Permit>,
}

impl Worker {
    pub(super) fn new(context: ChildContext, journal: &Journal) -> Self {
        journal.alive.fetch_add(1, Ordering::SeqCst);
        let journal = journal.clone();
        Self {
            context,
            journal,
            counter: 0,
            ignores_stop: false,
            stops_after: None,
            kept: Vec::new(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.journal.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.journal.write(format!("+{}", self.context.name));
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        if let Some(until) = self.stops_after.take() {
            // It never sends: an error is the release.
            let _ = until.recv();
        }
        self.journal.write(format!("-{}", self.context.name));
        Running::Stop
    }
}

impl Child for Worker {
    fn on_stop(&mut self, context: &mut Context<Self>) {
        if !self.ignores_stop {
            context.stop();
        }
    }
}

supervised!(Worker);

/// Adds one and answers the count and the life.
#[derive(Message)]
#[rtype(result = "(u32, u64)")]
pub(super) struct Count;

impl Handler<Count> for Worker {
    type Result = actix::MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Self::Result {
        self.counter += 1;
        actix::MessageResult((self.counter, self.context.generation))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Misbehave {
    /// Panics.
    Panic(&'static str),
    /// Stops with a reason that is a failure.
    Fail(&'static str),
    /// Stops as if its work were done.
    Finish,
    /// Handles no message any more, without blocking its thread.
    Hang,
    /// Blocks its thread until the sender is dropped.
    Block(blocking::Receiver<()>),
    /// Blocks its thread while it goes down, until the sender is dropped.
    StopSlowly(blocking::Receiver<()>),
    /// Does not obey the order to stop.
    IgnoreStop,
}

impl Handler<Misbehave> for Worker {
    type Result = ();

    fn handle(&mut self, how: Misbehave, context: &mut Context<Self>) {
        match how {
            Misbehave::Panic(text) => panic!("{text}"),
            Misbehave::Fail(reason) => {
                self.context.exit.fail(reason);
                context.stop();
            }
            Misbehave::Finish => context.stop(),
            Misbehave::Hang => {
                wrap_future::<_, Self>(std::future::pending::<()>()).wait(context);
            }
            Misbehave::Block(until) => {
                let _ = until.recv();
            }
            Misbehave::StopSlowly(until) => self.stops_after = Some(until),
            Misbehave::IgnoreStop => self.ignores_stop = true,
        }
    }
}

impl Handler<Data<u32>> for Worker {
    type Result = ();

    fn handle(&mut self, data: Data<u32>, _: &mut Context<Self>) {
        self.kept.push(data.permit);
    }
}

/// A worker's specification with waits that suit a test.
pub(super) fn worker(reference: &ActorRef<Worker>, journal: &Journal) -> ChildSpec {
    let journal = journal.clone();
    ChildSpec::new(reference, move |context| Worker::new(context, &journal))
        .backoff(Backoff {
            first_ms: 1,
            max_ms: 8,
            stable_ms: 60_000,
        })
        .stop_ms(10_000)
}

pub(super) fn name(text: &str) -> ActorRef<Worker> {
    ActorRef::new(text, 4)
}

pub(super) fn config() -> Config {
    let intensity = Intensity {
        restarts_max: 5,
        window_ms: 60_000,
    };
    // Nobody is abandoned unless the test is about that: a child that is not killed shows.
    Config {
        intensity: Some(intensity),
        kill_ms: 3_600_000,
        ..Config::default()
    }
}

/// A tree whose root holds `spec`, and all that happens in it.
pub(super) struct Tree {
    pub(super) root: Root,
    pub(super) environment: Environment,
    pub(super) events: Receiver<ActorEvent>,
}

impl Tree {
    pub(super) async fn start(spec: SupervisorSpec) -> Self {
        let mut tree = Self::begin_in(Environment::new(7), spec);
        assert!(within(tree.root.started()).await);
        tree
    }

    pub(super) fn begin_in(environment: Environment, spec: SupervisorSpec) -> Self {
        let events = environment.subscribe();
        let root = Root::start(&ActorRef::new("root", 1), spec, &environment);
        Self {
            root,
            environment,
            events,
        }
    }

    pub(super) async fn event(&mut self, of: &str, change: ActorChange) -> ActorEvent {
        within(async {
            loop {
                let event = self.events.recv().await.unwrap();
                if event.name == of && event.change == change {
                    return event;
                }
            }
        })
        .await
    }

    pub(super) async fn restarted(&mut self, of: &str) -> ActorEvent {
        self.event(of, ActorChange::Restarted).await
    }

    pub(super) fn state(&self, of: &str) -> String {
        let tree = self.environment.board.tree("root").unwrap();
        tree.find(of)
            .map_or("absent".to_string(), |node| node.state.to_string())
    }

    pub(super) async fn until_state(&self, of: &str, state: &str) {
        until(|| self.state(of) == state).await;
    }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not happen in time")
}

/// Waits for a condition, letting all actors of this thread work meanwhile.
pub(super) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Waits until that life of the worker answers.
pub(super) async fn until_life(reference: &ActorRef<Worker>, life: u64) {
    within(async {
        while !matches!(reference.query(Count, 10_000).await, Ok((_, now)) if now == life) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Keeps the text of all log lines of this thread.
#[derive(Clone, Default)]
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<String>>>);

impl tracing::field::Visit for Lines {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, line: &tracing::Metadata<'_>) -> bool {
        line.target() == "supervisor"
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(event.metadata().level().to_string());
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
