//! Trees of real actors on real threads: failures are made, and what follows is waited for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, Context, ContextFutureSpawner, Handler, Message, Running};
use bitfitech_core::supervision::{AddError, Backoff, Config, Intensity, Order, Restart, Strategy};
use tokio::sync::broadcast::Receiver;

use super::{StartChild, StopChild, Supervisor, SupervisorSpec, nested};
use crate::child::{Child, ChildContext, ChildSpec};
use crate::drill::{DrillError, crash};
use crate::environment::{ActorChange, ActorEvent, Environment};
use crate::mailbox::{ActorRef, Data, DataError, Permit};
use crate::root::Root;
use crate::supervised;

/// Longest wait for something that should happen soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all workers of a test write down, in order.
#[derive(Clone, Default)]
struct Journal {
    lines: Arc<Mutex<Vec<String>>>,
    alive: Arc<AtomicUsize>,
}

impl Journal {
    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// An actor that counts, and misbehaves when told to.
struct Worker {
    context: ChildContext,
    journal: Journal,
    counter: u32,
    ignores_stop: bool,
    kept: Vec<Permit>,
}

impl Worker {
    fn new(context: ChildContext, journal: &Journal) -> Self {
        journal.alive.fetch_add(1, Ordering::SeqCst);
        let journal = journal.clone();
        Self {
            context,
            journal,
            counter: 0,
            ignores_stop: false,
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
struct Count;

impl Handler<Count> for Worker {
    type Result = actix::MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Self::Result {
        self.counter += 1;
        actix::MessageResult((self.counter, self.context.generation))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
enum Misbehave {
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
            Misbehave::Block(until) => drop(until.recv()),
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
fn worker(reference: &ActorRef<Worker>, journal: &Journal) -> ChildSpec {
    let journal = journal.clone();
    ChildSpec::new(reference, move |context| Worker::new(context, &journal))
        .backoff(Backoff {
            first_ms: 1,
            max_ms: 8,
            stable_ms: 60_000,
        })
        .stop_ms(10_000)
}

fn name(text: &str) -> ActorRef<Worker> {
    ActorRef::new(text, 4)
}

fn config() -> Config {
    Config {
        intensity: Some(Intensity {
            restarts_max: 5,
            window_ms: 60_000,
        }),
        ..Config::default()
    }
}

/// A tree whose root holds `spec`, and all that happens in it.
struct Tree {
    root: Root,
    environment: Environment,
    events: Receiver<ActorEvent>,
}

impl Tree {
    async fn start(spec: SupervisorSpec) -> Self {
        let mut tree = Self::begin(spec);
        assert!(within(tree.root.started()).await);
        tree
    }

    fn begin(spec: SupervisorSpec) -> Self {
        let environment = Environment::new(7);
        let events = environment.subscribe();
        let root = Root::start(&ActorRef::new("root", 1), spec, &environment);
        Self {
            root,
            environment,
            events,
        }
    }

    async fn event(&mut self, of: &str, change: ActorChange) -> ActorEvent {
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

    async fn restarted(&mut self, of: &str) -> ActorEvent {
        self.event(of, ActorChange::Restarted).await
    }

    fn state(&self, of: &str) -> String {
        let tree = self.environment.board.tree("root").unwrap();
        tree.find(of)
            .map_or("absent".to_string(), |node| node.state.to_string())
    }

    async fn until_state(&self, of: &str, state: &str) {
        until(|| self.state(of) == state).await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not happen in time")
}

/// Waits for a condition, letting all actors of this thread work meanwhile.
async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[actix::test]
async fn a_panic_restarts_with_fresh_state_and_siblings_find_the_new_life() {
    let journal = Journal::default();
    let (first, second) = (name("first"), name("second"));
    let spec = SupervisorSpec::new(config())
        .child(worker(&first, &journal))
        .child(worker(&second, &journal).own_thread());
    let mut tree = Tree::start(spec).await;
    for reference in [&first, &second] {
        assert_eq!(reference.query(Count, 10_000).await, Ok((1, 1)));
        assert_eq!(reference.query(Count, 10_000).await, Ok((2, 1)));
        reference.control(Misbehave::Panic("a defect")).unwrap();
        let crashed = tree.event(reference.name(), ActorChange::Crashed).await;
        assert!(
            crashed.reason.starts_with("panic: a defect (at "),
            "{}",
            crashed.reason
        );
        assert!(crashed.reason.contains("tests.rs:"), "{}", crashed.reason);
        assert_eq!(crashed.generation, 1);
        assert_eq!(tree.restarted(reference.name()).await.generation, 2);
        assert_eq!(reference.query(Count, 10_000).await, Ok((1, 2)));
    }
    assert_eq!(journal.alive(), 2);
    assert_eq!(
        journal.take(),
        [
            "+first", "+second", "-first", "+first", "-second", "+second"
        ]
    );
}

#[actix::test]
async fn while_an_actor_waits_for_its_restart_its_reference_says_down() {
    let journal = Journal::default();
    let only = name("only");
    let slow = Backoff {
        first_ms: 3_600_000,
        max_ms: 3_600_000,
        stable_ms: 1,
    };
    let tree =
        Tree::start(SupervisorSpec::new(config()).child(worker(&only, &journal).backoff(slow)))
            .await;
    only.control(Misbehave::Panic("a defect")).unwrap();
    tree.until_state("only", "restarting").await;
    assert!(matches!(only.try_data(1), Err(DataError::Down(_))));
    assert!(only.control(Misbehave::Finish).is_err());
    assert_eq!(
        crash(&tree.environment.board, "only"),
        Err(DrillError::Down {
            name: "only".to_string()
        })
    );
    tree.root.shutdown();
    assert_eq!(within(tree.root.ended()).await, Ok(()));
    assert_eq!(journal.alive(), 0);
}

#[actix::test]
async fn rest_for_one_restarts_the_later_siblings_and_only_those() {
    let journal = Journal::default();
    let [first, second, third] = ["first", "second", "third"].map(name);
    let spec = SupervisorSpec::new(Config {
        strategy: Strategy::RestForOne,
        ..config()
    })
    .child(worker(&first, &journal))
    .child(worker(&second, &journal))
    .child(worker(&third, &journal));
    let mut tree = Tree::start(spec).await;
    assert_eq!(journal.take(), ["+first", "+second", "+third"]);
    second.control(Misbehave::Panic("a defect")).unwrap();
    tree.restarted("third").await;
    assert_eq!(journal.take(), ["-second", "-third", "+second", "+third"]);
    assert_eq!(first.query(Count, 10_000).await, Ok((1, 1)));
    assert_eq!(third.query(Count, 10_000).await, Ok((1, 2)));
}

#[actix::test]
async fn too_many_failures_escalate_to_the_root_with_the_whole_reason() {
    let journal = Journal::default();
    let bad = name("bad");
    let good = name("good");
    let inner = ActorRef::new("inner", 1);
    let environment = Environment::new(1);
    let mut events = environment.subscribe();
    let never = Some(Intensity {
        restarts_max: 1,
        window_ms: 60_000,
    });
    let spec = SupervisorSpec::new(Config {
        intensity: never,
        ..config()
    });
    let below = spec.clone().child(worker(&good, &journal)).child(
        ChildSpec::fallible(&bad, |_: ChildContext| -> Result<Worker, String> {
            Err("the file is locked".to_string())
        })
        .backoff(Backoff {
            first_ms: 1,
            max_ms: 1,
            stable_ms: 1_000,
        }),
    );
    let spec = spec.child(nested(&inner, below, &environment).backoff(Backoff {
        first_ms: 1,
        max_ms: 1,
        stable_ms: 60_000,
    }));
    let mut root = Root::start(&ActorRef::new("root", 1), spec, &environment);
    assert!(!within(root.started()).await);
    let failure = within(root.ended()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the supervision tree ended: root: gave up: more than 1 restarts in 60000 ms; the last: \
         inner: gave up: more than 1 restarts in 60000 ms; the last: bad: the file is locked"
    );
    assert_eq!(journal.alive(), 0, "no orphan survives");
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push((event.name, event.change));
    }
    let expected = [
        ("bad", ActorChange::Crashed),
        ("bad", ActorChange::Crashed),
        ("inner", ActorChange::Escalated),
        ("bad", ActorChange::Crashed),
        ("bad", ActorChange::Crashed),
        ("inner", ActorChange::Escalated),
        ("root", ActorChange::Escalated),
    ];
    assert_eq!(
        told,
        expected.map(|(name, change)| (name.to_string(), change))
    );
}

#[actix::test]
async fn a_hung_actor_is_found_by_the_probe_and_replaced() {
    let journal = Journal::default();
    let (hung, fine) = (name("hung"), name("fine"));
    let spec = SupervisorSpec::new(Config {
        probe_ms: Some(200),
        ..config()
    })
    .child(worker(&hung, &journal))
    .child(worker(&fine, &journal));
    let mut tree = Tree::start(spec).await;
    hung.control(Misbehave::Hang).unwrap();
    let crashed = tree.event("hung", ActorChange::Crashed).await;
    assert_eq!(crashed.reason, "hung: no answer to a probe within 200 ms");
    tree.restarted("hung").await;
    assert_eq!(hung.query(Count, 10_000).await, Ok((1, 2)));
    assert_eq!(fine.query(Count, 10_000).await, Ok((1, 1)));
}

#[actix::test]
async fn an_actor_that_blocks_its_own_thread_is_left_behind_and_replaced() {
    let journal = Journal::default();
    let blocked = name("blocked");
    let spec = SupervisorSpec::new(Config {
        probe_ms: Some(200),
        kill_ms: 50,
        ..config()
    })
    .child(worker(&blocked, &journal).own_thread());
    let mut tree = Tree::start(spec).await;
    let (release, until_released) = blocking::channel();
    blocked.control(Misbehave::Block(until_released)).unwrap();
    tree.restarted("blocked").await;
    assert_eq!(blocked.query(Count, 10_000).await, Ok((1, 2)));
    assert_eq!(journal.alive(), 2, "the old life still blocks its thread");
    drop(release);
    until(|| journal.alive() == 1).await;
    assert_eq!(blocked.query(Count, 10_000).await, Ok((2, 2)));
}

#[actix::test]
async fn shutdown_is_in_reverse_order_and_kills_who_does_not_obey_in_time() {
    let journal = Journal::default();
    let [first, second, third] = ["first", "second", "third"].map(name);
    let environment = Environment::new(1);
    let inner = ActorRef::new("inner", 1);
    let below =
        SupervisorSpec::new(config()).child(worker(&second, &journal).stop_ms(50).own_thread());
    let spec = SupervisorSpec::new(config())
        .child(worker(&first, &journal))
        .child(nested(&inner, below, &environment))
        .child(worker(&third, &journal));
    let mut root = Root::start(&ActorRef::new("root", 1), spec, &environment);
    assert!(within(root.started()).await);
    second.control(Misbehave::IgnoreStop).unwrap();
    root.shutdown();
    assert_eq!(within(root.ended()).await, Ok(()));
    assert_eq!(
        journal.take(),
        ["+first", "+second", "+third", "-third", "-second", "-first"]
    );
    assert_eq!(journal.alive(), 0);
    assert!(!first.is_up() && !second.is_up() && !third.is_up());
}

#[actix::test]
async fn a_flood_of_data_stays_bounded_and_control_gets_through() {
    let journal = Journal::default();
    let flooded = name("flooded");
    let tree =
        Tree::start(SupervisorSpec::new(config()).child(worker(&flooded, &journal).own_thread()))
            .await;
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (flooded, over) = (flooded.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut refused = 0_u64;
                while !over.load(Ordering::SeqCst) {
                    refused += u64::from(flooded.try_data(1).is_err_and(|error| error.is_full()));
                    std::thread::yield_now();
                }
                refused
            })
        })
        .collect();
    until(|| flooded.depth() == 4).await;
    assert_eq!(
        tree.environment
            .board
            .tree("root")
            .unwrap()
            .find("flooded")
            .unwrap()
            .mailbox,
        4
    );
    assert_eq!(flooded.query(Count, 10_000).await, Ok((1, 1)));
    tree.root.shutdown();
    assert_eq!(within(tree.root.ended()).await, Ok(()));
    over.store(true, Ordering::SeqCst);
    let refused: u64 = senders
        .into_iter()
        .map(|sender| sender.join().unwrap())
        .sum();
    assert!(refused > 0);
}

#[actix::test]
async fn a_crashed_supervisor_takes_its_children_along_and_gets_fresh_ones() {
    let journal = Journal::default();
    let [leaf, far, outside] = ["leaf", "far", "outside"].map(name);
    let environment = Environment::new(1);
    let mut events = environment.subscribe();
    let inner = ActorRef::new("inner", 1);
    let below = SupervisorSpec::new(config())
        .child(worker(&leaf, &journal))
        .child(worker(&far, &journal).own_thread());
    let quick = Backoff {
        first_ms: 1,
        max_ms: 1,
        stable_ms: 60_000,
    };
    let spec = SupervisorSpec::new(config())
        .child(worker(&outside, &journal))
        .child(nested(&inner, below, &environment).backoff(quick));
    let mut root = Root::start(&ActorRef::new("root", 1), spec, &environment);
    assert!(within(root.started()).await);
    crash(&environment.board, "inner").unwrap();
    let mut restarted = Vec::new();
    while restarted.len() < 3 {
        let event = within(events.recv()).await.unwrap();
        match event.change {
            ActorChange::Crashed => {
                assert_eq!(event.name, "inner");
                assert!(
                    event
                        .reason
                        .starts_with("panic: drill: crash requested (at ")
                );
            }
            _ => restarted.push(event.name),
        }
    }
    assert_eq!(restarted, ["leaf", "far", "inner"]);
    assert_eq!(leaf.query(Count, 10_000).await, Ok((1, 2)));
    assert_eq!(far.query(Count, 10_000).await, Ok((1, 2)));
    assert_eq!(outside.query(Count, 10_000).await, Ok((1, 1)));
    assert_eq!(journal.alive(), 3, "no orphan survives");
    assert_eq!(environment.board.count(), 5);
}

#[actix::test]
async fn dropping_the_root_leaves_no_actor_behind() {
    let journal = Journal::default();
    let (here, there) = (name("here"), name("there"));
    let environment = Environment::new(1);
    let below = SupervisorSpec::new(config()).child(worker(&there, &journal).own_thread());
    let spec = SupervisorSpec::new(config())
        .child(worker(&here, &journal))
        .child(nested(&ActorRef::new("inner", 1), below, &environment));
    let mut root = Root::start(&ActorRef::new("root", 1), spec, &environment);
    assert!(within(root.started()).await);
    assert_eq!(journal.alive(), 2);
    drop(root);
    until(|| journal.alive() == 0).await;
    assert!(!here.is_up() && !there.is_up());
}

#[actix::test]
async fn a_crash_of_the_root_ends_the_tree_with_its_reason() {
    let journal = Journal::default();
    let only = name("only");
    let mut tree = Tree::start(SupervisorSpec::new(config()).child(worker(&only, &journal))).await;
    crash(&tree.environment.board, "root").unwrap();
    tree.event("root", ActorChange::Crashed).await;
    let failure = within(tree.root.ended()).await.unwrap_err();
    assert!(
        failure.reason.starts_with("panic: drill: crash requested"),
        "{failure}"
    );
    assert_eq!(journal.alive(), 0);
}

#[actix::test]
async fn peers_come_and_go_are_dialled_again_for_ever_and_never_escalate() {
    let journal = Journal::default();
    let peers = ActorRef::new("peers", 1);
    let environment = Environment::new(1);
    let mut events = environment.subscribe();
    let all = Config {
        order: Order::AllAtOnce,
        intensity: None,
        children_max: 2,
        ..config()
    };
    let spec =
        SupervisorSpec::new(config()).child(nested(&peers, SupervisorSpec::new(all), &environment));
    let mut root = Root::start(&ActorRef::new("root", 1), spec, &environment);
    assert!(within(root.started()).await);
    let (dialled, accepted) = (name("peer:127.0.0.1:3001"), name("peer:127.0.0.1:3002"));
    let outbound = worker(&dialled, &journal).quiet();
    let inbound = worker(&accepted, &journal)
        .quiet()
        .restart(Restart::Temporary);
    peers
        .query(StartChild(outbound.clone()), 10_000)
        .await
        .unwrap()
        .unwrap();
    peers
        .query(StartChild(inbound.clone()), 10_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        peers.query(StartChild(outbound), 10_000).await.unwrap(),
        Err(AddError::Duplicate {
            name: "peer:127.0.0.1:3001".to_string()
        })
    );
    let third = name("peer:127.0.0.1:3003");
    assert_eq!(
        peers
            .query(StartChild(worker(&third, &journal)), 10_000)
            .await
            .unwrap(),
        Err(AddError::TooMany { children_max: 2 })
    );
    for life in 1..=20 {
        until(|| dialled.is_up()).await;
        assert_eq!(dialled.query(Count, 10_000).await, Ok((1, life)));
        dialled.control(Misbehave::Fail("connection lost")).unwrap();
        until(|| !dialled.is_up()).await;
    }
    assert!(
        events.try_recv().is_err(),
        "lost connections are no news of actors"
    );
    until(|| accepted.is_up()).await;
    accepted
        .control(Misbehave::Fail("connection lost"))
        .unwrap();
    until(|| environment.board.status("peer:127.0.0.1:3002").is_none()).await;
    until(|| dialled.is_up()).await;
    crash(&environment.board, "peer:127.0.0.1:3001").unwrap();
    assert_eq!(
        within(events.recv()).await.unwrap().change,
        ActorChange::Crashed
    );
    assert_eq!(
        within(events.recv()).await.unwrap().change,
        ActorChange::Restarted
    );
    let stop = StopChild {
        name: "peer:127.0.0.1:3001".to_string(),
    };
    assert_eq!(peers.query(stop, 10_000).await, Ok(true));
    until(|| environment.board.count() == 2).await;
    assert_eq!(journal.alive(), 0);
}

#[actix::test]
async fn a_transient_actor_that_finished_stays_stopped_and_the_tree_shows_all() {
    let journal = Journal::default();
    let (done, busy) = (name("done"), name("busy"));
    let spec = SupervisorSpec::new(config())
        .child(worker(&done, &journal).restart(Restart::Transient))
        .child(worker(&busy, &journal));
    let mut tree = Tree::start(spec).await;
    done.control(Misbehave::Finish).unwrap();
    tree.until_state("done", "stopped").await;
    busy.control(Misbehave::Finish).unwrap();
    tree.restarted("busy").await;
    let printed = tree.environment.board.tree("root").unwrap();
    let rows: Vec<_> = printed
        .children
        .iter()
        .map(|node| {
            (
                node.name.as_str(),
                node.state,
                node.restarts,
                node.generation,
            )
        })
        .collect();
    assert_eq!(rows, [("done", "stopped", 0, 1), ("busy", "running", 1, 2)]);
    assert_eq!((printed.name.as_str(), printed.state), ("root", "running"));
    assert_eq!(
        crash(&tree.environment.board, "nobody")
            .unwrap_err()
            .to_string(),
        "there is no actor named nobody: `tree` lists all names"
    );
}

/// Panics in its handler, and once more while it is taken down.
struct DoublePanic;

impl Actor for DoublePanic {
    type Context = Context<Self>;

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        panic!("the second")
    }
}

impl Child for DoublePanic {}

supervised!(DoublePanic);

#[actix::test]
async fn a_second_panic_while_the_actor_goes_down_does_not_abort_the_process() {
    let double = ActorRef::<DoublePanic>::new("double", 1);
    let quick = Backoff {
        first_ms: 1,
        max_ms: 1,
        stable_ms: 60_000,
    };
    let child = ChildSpec::new(&double, |_| DoublePanic).backoff(quick);
    let mut tree = Tree::start(SupervisorSpec::new(config()).child(child)).await;
    crash(&tree.environment.board, "double").unwrap();
    let crashed = tree.event("double", ActorChange::Crashed).await;
    assert!(
        crashed.reason.contains("drill: crash requested"),
        "{}",
        crashed.reason
    );
    tree.restarted("double").await;
}

#[actix::test]
async fn a_supervisor_is_a_child_like_any_other() {
    fn assert_child<A: Child>() {}
    assert_child::<Supervisor>();
}
