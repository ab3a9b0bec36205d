//! What makes an actor a child of a supervisor, and one life of it from start to exit.
//!
//! To be supervised, an actor implements [`Child`] (usually empty) and calls
//! [`supervised!`](crate::supervised) with its type; from then on it takes [`Lifecycle`] messages:
//! begin, probe, stop and, for drills, crash. A [`ChildSpec`] holds what the supervisor needs to
//! make it again and again: a factory that builds a *fresh* object, the [`ActorRef`] that others
//! know it by, where it runs and how long it may take.
//!
//! # One life
//!
//! The mailbox is opened before the actor is built, so messages queue while it starts. It counts
//! as up once it has handled its first message, begin; since actix handles no message while a
//! future given to `context.wait` runs, an actor that awaits its initialisation in this way is up
//! when that has ended. The life runs as a task, another task watches it, and both belong to a
//! *leash* held by the supervisor: when that is dropped, be it to kill the child or because the
//! supervisor itself is gone, the life is aborted. So nothing outlives its supervisor. Only then,
//! and when its own children are gone too, is the exit reported.
//!
//! Limits: a thread cannot be stopped from outside. An actor that blocks its thread is aborted at
//! its next await, if ever; its supervisor waits for a while, then leaves it behind. Give an actor
//! that may block its own thread ([`ChildSpec::own_thread`]), or its siblings and its supervisor,
//! being blocked too, cannot even notice.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::dev::channel::AddressReceiver;
use actix::{Actor, ActorContext, Context, Handler, Message};
use actix_rt::task::{JoinError, JoinHandle};
use actix_rt::{Arbiter, ArbiterHandle};
use bitfitech_core::supervision::{self, Backoff, Exit, Restart};
use tokio::sync::{mpsc, oneshot};

use crate::histogram::Counted;
use crate::mailbox::ActorRef;
use crate::meter::Meter;
use crate::panics::{Guarded, describe, guard};

/// How long an exit waits for the child's own children to be gone; a guess. Whoever is left after
/// that is on a blocked thread.
const SUBTREE_MS: u64 = 5_000;

/// A message from the supervisor to a child, opaque to it; see [`supervised!`](crate::supervised).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lifecycle(Command);

enum Command {
    Begin(Started),
    Probe(Box<dyn FnOnce() + Send>),
    Stop,
    Crash,
}

impl Lifecycle {
    pub(crate) fn begin(report: impl FnOnce() + Send + 'static) -> Self {
        Self(Command::Begin(Started(Box::new(report))))
    }

    pub(crate) fn probe(answer: impl FnOnce() + Send + 'static) -> Self {
        Self(Command::Probe(Box::new(answer)))
    }

    pub(crate) fn stop() -> Self {
        Self(Command::Stop)
    }

    pub(crate) fn crash() -> Self {
        Self(Command::Crash)
    }

    /// Does with the actor what the supervisor wants; the body of every `Handler<Lifecycle>`.
    ///
    /// # Panics
    /// If the message is a drill: that is its purpose.
    pub fn deliver<A: Child>(self, actor: &mut A, context: &mut Context<A>) {
        match self.0 {
            Command::Begin(started) => actor.on_begin(started, context),
            Command::Probe(answer) => answer(),
            Command::Stop => actor.on_stop(context),
            Command::Crash => panic!("drill: crash requested"),
        }
    }
}

/// The duty to report that the child is up.
pub struct Started(Box<dyn FnOnce() + Send>);

impl Started {
    /// Reports that the child is up; its next sibling may start.
    pub fn report(self) {
        (self.0)();
    }
}

/// An actor that a supervisor can run.
pub trait Child: Actor<Context = Context<Self>> + Handler<Lifecycle> {
    /// The first message of each life. By default the child counts as up; override to report later
    /// (within the start limit), for instance once a connection stands.
    fn on_begin(&mut self, started: Started, _context: &mut Context<Self>) {
        started.report();
    }

    /// The order to stop. By default it is obeyed at once; override to finish what was begun and
    /// then call `context.stop()`, within the stop limit.
    fn on_stop(&mut self, context: &mut Context<Self>) {
        context.stop();
    }
}

/// Lets an actor take the messages of its supervisor: `supervised!(StoreActor);`.
#[macro_export]
macro_rules! supervised {
    ($actor:ty) => {
        impl ::actix::Handler<$crate::child::Lifecycle> for $actor {
            type Result = ();

            fn handle(
                &mut self,
                message: $crate::child::Lifecycle,
                context: &mut <Self as ::actix::Actor>::Context,
            ) {
                message.deliver(self, context);
            }
        }
    };
}

/// Where an actor leaves the reason of its exit before it calls `context.stop()`.
#[derive(Clone, Debug, Default)]
pub struct ExitNote(Arc<Mutex<Option<Exit>>>);

impl ExitNote {
    /// The exit will count as a failure with this reason, for instance "connection lost".
    pub fn fail(&self, reason: impl Into<String>) {
        self.set(Exit::Failed(reason.into()));
    }

    pub(crate) fn set(&self, exit: Exit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exit);
    }

    fn take(&self) -> Option<Exit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Held by everything that belongs to a life; the exit is reported when all are dropped.
pub(crate) type Subtree = mpsc::Sender<Infallible>;

/// What a factory is told about the life it builds an actor for.
#[derive(Debug)]
pub struct ChildContext {
    /// The name of the child.
    pub name: Arc<str>,
    /// The number of this life, 1 for the first.
    pub generation: u64,
    /// Where to leave the reason of an exit that counts as a failure.
    pub exit: ExitNote,
    pub(crate) subtree: Subtree,
}

/// Where a child runs.
#[derive(Clone, Debug)]
pub(crate) enum Placement {
    /// On the thread of its supervisor.
    Current,
    /// On that thread.
    On(ArbiterHandle),
    /// On a fresh thread for each life.
    OwnThread,
}

/// A report function: called exactly once with the exit of a life.
pub(crate) type ReportExit = Box<dyn FnOnce(Exit) + Send>;

/// The order to begin a life.
pub(crate) struct Launch {
    pub(crate) generation: u64,
    pub(crate) subtree: Option<Subtree>,
    pub(crate) report: ReportExit,
}

/// A life ends when this is dropped.
pub(crate) type Leash = oneshot::Sender<Infallible>;

/// A child of whatever actor type.
pub(crate) trait AnyChild: Send + Sync {
    /// Sends a message to the present life; whether there was one.
    fn command(&self, message: Lifecycle) -> bool;

    /// How much is queued for it (see [`ActorRef::depth`]).
    fn depth(&self) -> usize;

    /// How long it was busy, over all lives.
    fn turns(&self) -> Counted;

    /// Begins a life.
    fn launch(&self, placement: &Placement, launch: Launch) -> Leash;
}

/// How to make a child and how to treat it; cheap to clone.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) policy: supervision::ChildSpec,
    pub(crate) placement: Placement,
    pub(crate) quiet: bool,
    /// Lives so far; shared by all clones, so the count survives a crash of the supervisor.
    pub(crate) lives: Arc<AtomicU64>,
    pub(crate) child: Arc<dyn AnyChild>,
}

impl ChildSpec {
    /// A permanent child on its supervisor's thread, known as `reference`; `factory` builds a
    /// fresh object for each life, on the thread where it will run.
    pub fn new<A, F>(reference: &ActorRef<A>, factory: F) -> Self
    where
        A: Child,
        F: Fn(ChildContext) -> A + Send + Sync + 'static,
    {
        Self::fallible(reference, move |context| Ok(factory(context)))
    }

    /// As [`ChildSpec::new`] with a factory that may fail, which counts as a failed life.
    pub fn fallible<A, F>(reference: &ActorRef<A>, factory: F) -> Self
    where
        A: Child,
        F: Fn(ChildContext) -> Result<A, String> + Send + Sync + 'static,
    {
        let child = Template {
            reference: reference.clone(),
            meter: Arc::default(),
            factory: Arc::new(factory),
        };
        Self {
            policy: supervision::ChildSpec::new(reference.name()),
            placement: Placement::Current,
            quiet: false,
            lives: Arc::default(),
            child: Arc::new(child),
        }
    }

    /// When it is started again after it ended (default: always).
    pub fn restart(mut self, restart: Restart) -> Self {
        self.policy.restart = restart;
        self
    }

    /// How long its restarts wait.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Time to be up, in milliseconds; `None` waits for ever (default 30 s).
    pub fn start_ms(mut self, start_ms: Option<u64>) -> Self {
        self.policy.start_ms = start_ms;
        self
    }

    /// Time to stop, in milliseconds, before it is killed; 0 kills at once (default 5 s).
    pub fn stop_ms(mut self, stop_ms: u64) -> Self {
        self.policy.stop_ms = stop_ms;
        self
    }

    /// Runs it on a fresh thread for each life.
    pub fn own_thread(mut self) -> Self {
        self.placement = Placement::OwnThread;
        self
    }

    /// Runs it on the thread of that arbiter.
    pub fn on(mut self, arbiter: ArbiterHandle) -> Self {
        self.placement = Placement::On(arbiter);
        self
    }

    /// Logs its starts and its failed exits (not its panics) at debug and keeps them out of the
    /// events: for children that come and go by the dozen, like connections.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The name of the child.
    pub fn name(&self) -> &str {
        &self.policy.name
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// Begins a life and tells the child so.
    pub(crate) fn launch(&self, launch: Launch, up: impl FnOnce() + Send + 'static) -> Leash {
        self.lives.store(launch.generation, Ordering::Relaxed);
        let leash = self.child.launch(&self.placement, launch);
        self.child.command(Lifecycle::begin(up));
        leash
    }
}

struct Template<A: Actor, F> {
    reference: ActorRef<A>,
    meter: Arc<Meter>,
    factory: Arc<F>,
}

impl<A, F> AnyChild for Template<A, F>
where
    A: Child,
    F: Fn(ChildContext) -> Result<A, String> + Send + Sync + 'static,
{
    fn command(&self, message: Lifecycle) -> bool {
        self.reference.control(message).is_ok()
    }

    fn depth(&self) -> usize {
        self.reference.depth()
    }

    fn turns(&self) -> Counted {
        self.meter.read()
    }

    fn launch(&self, placement: &Placement, launch: Launch) -> Leash {
        let (leash, cut) = oneshot::channel();
        let life = Life {
            mailbox: self.reference.open(launch.generation),
            obituary: Obituary {
                reference: self.reference.clone(),
                generation: launch.generation,
                report: Some(launch.report),
            },
            factory: Arc::clone(&self.factory),
            meter: Arc::clone(&self.meter),
            cut,
            parent: launch.subtree,
            own_thread: matches!(placement, Placement::OwnThread),
        };
        match placement {
            Placement::Current => life.run(),
            // If the thread is gone, the closure is dropped and with it goes the obituary.
            Placement::On(arbiter) => drop(arbiter.spawn_fn(move || life.run())),
            Placement::OwnThread => match Arbiter::try_new() {
                Ok(arbiter) => drop(arbiter.spawn_fn(move || life.run())),
                Err(error) => life
                    .obituary
                    .send(Exit::Failed(format!("no thread: {error}"))),
            },
        }
        leash
    }
}

/// Tells of the end of a life, at the latest when it is dropped.
struct Obituary<A: Child> {
    reference: ActorRef<A>,
    generation: u64,
    report: Option<ReportExit>,
}

impl<A: Child> Obituary<A> {
    fn send(mut self, exit: Exit) {
        self.reference.close(self.generation);
        if let Some(report) = self.report.take() {
            report(exit);
        }
    }
}

impl<A: Child> Drop for Obituary<A> {
    fn drop(&mut self) {
        self.reference.close(self.generation);
        if let Some(report) = self.report.take() {
            report(Exit::Killed("its thread is gone".to_string()));
        }
    }
}

/// A life about to be begun on the thread where it will run.
struct Life<A: Child, F> {
    mailbox: AddressReceiver<A>,
    obituary: Obituary<A>,
    factory: Arc<F>,
    meter: Arc<Meter>,
    cut: oneshot::Receiver<Infallible>,
    /// Keeps the exit of the supervisor from being reported before this one's.
    parent: Option<Subtree>,
    own_thread: bool,
}

impl<A, F> Life<A, F>
where
    A: Child,
    F: Fn(ChildContext) -> Result<A, String> + Send + Sync + 'static,
{
    fn run(self) {
        let note = ExitNote::default();
        let (subtree, mut below) = mpsc::channel(1);
        let context = ChildContext {
            name: self.obituary.reference.name().into(),
            generation: self.obituary.generation,
            exit: note.clone(),
            subtree,
        };
        let (factory, mailbox, meter) = (self.factory, self.mailbox, self.meter);
        let reason = note.clone();
        // The factory runs inside the task: a life cut off before its first poll is never built.
        let task = actix_rt::spawn(async move {
            match guard(|| factory(context))? {
                Ok(actor) => {
                    let future = Context::with_receiver(mailbox).into_future(actor);
                    Guarded::new(future, meter).await
                }
                Err(failure) => {
                    reason.fail(failure);
                    Ok(())
                }
            }
        });
        let (cut, parent, own_thread) = (self.cut, self.parent, self.own_thread);
        let obituary = self.obituary;
        actix_rt::spawn(async move {
            let ended = watch(task, cut).await;
            // Nothing is ever sent: the answer comes when the last of the subtree is gone.
            let gone = tokio::time::timeout(Duration::from_millis(SUBTREE_MS), below.recv());
            drop(gone.await);
            obituary.send(exit_of(ended, &note));
            drop(parent);
            if own_thread {
                Arbiter::current().stop();
            }
        });
    }
}

type Ended = Result<Result<(), String>, JoinError>;

/// Waits for the end of a life, or brings it about when the leash is dropped.
async fn watch(
    mut task: JoinHandle<Result<(), String>>,
    cut: oneshot::Receiver<Infallible>,
) -> Ended {
    tokio::select! {
        biased;
        ended = &mut task => ended,
        _ = cut => {
            task.abort();
            task.await
        }
    }
}

fn exit_of(ended: Ended, note: &ExitNote) -> Exit {
    match ended {
        Ok(Ok(())) => note.take().unwrap_or(Exit::Normal),
        Ok(Err(panic)) => Exit::Crashed(panic),
        Err(error) if error.is_panic() => Exit::Crashed(describe(error.into_panic().as_ref())),
        Err(_) => Exit::Killed("by its supervisor".to_string()),
    }
}
