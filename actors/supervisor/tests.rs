//! Trees of real actors on real threads: failures are made, and what follows is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use actix::{Actor, Context, Running};
use bitfitech_core::supervision::{AddError, Backoff, Config, Intensity, Order, Restart, Strategy};

use super::{StartChild, StopChild, Supervisor, SupervisorSpec, nested};
use crate::child::{Child, ChildContext, ChildSpec};
use crate::drill::{DrillError, crash};
use crate::environment::{ActorChange, ActorEvent, Environment};
use crate::mailbox::{ActorRef, DataError};
use crate::root::Root;
use crate::supervised;

mod worker;

use worker::{
    Count, Journal, Lines, Misbehave, Tree, Worker, config, name, until, until_life, within, worker,
};

/// Why an actor failed.
fn reason_of(event: &ActorEvent) -> &str {
    event.reason.as_deref().unwrap_or_default()
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
            reason_of(&crashed).starts_with("panic: a defect (at "),
            "{}",
            reason_of(&crashed)
        );
        assert!(
            reason_of(&crashed).contains("worker.rs:"),
            "{}",
            reason_of(&crashed)
        );
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
        "the supervision tree ended: root: gave up: restart limit reached (1 in 60000 ms); the \
         last: inner: gave up: restart limit reached (1 in 60000 ms); the last: bad: the file is \
         locked"
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
        ("good", ActorChange::Restarted),
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
    assert_eq!(
        reason_of(&crashed),
        "hung: no answer to a probe within 200 ms"
    );
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
    let refused = Arc::new(AtomicUsize::new(0));
    let senders = [0, 1].map(|_| {
        let (flooded, over) = (flooded.clone(), Arc::clone(&over));
        let refused = Arc::clone(&refused);
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let full = flooded.try_data(1).is_err_and(|error| error.is_full());
                refused.fetch_add(usize::from(full), Ordering::SeqCst);
                std::thread::yield_now();
            }
        })
    });
    until(|| refused.load(Ordering::SeqCst) > 0).await;
    assert_eq!(flooded.depth(), 4);
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
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
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
                assert!(reason_of(&event).starts_with("panic: drill: crash requested (at "));
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
async fn a_crashed_supervisor_is_not_restarted_before_its_last_child_is_gone() {
    let journal = Journal::default();
    let (leaf, far) = (name("leaf"), name("far"));
    let environment = Environment::new(1);
    let below = SupervisorSpec::new(config())
        .child(worker(&leaf, &journal))
        .child(worker(&far, &journal).own_thread());
    let quick = Backoff {
        first_ms: 0,
        max_ms: 0,
        stable_ms: 60_000,
    };
    let inner = nested(&ActorRef::new("inner", 1), below, &environment).backoff(quick);
    let mut tree = Tree::begin_in(environment, SupervisorSpec::new(config()).child(inner));
    assert!(within(tree.root.started()).await);
    journal.take();
    let (release, until_released) = blocking::channel();
    far.query(Misbehave::StopSlowly(until_released), 10_000)
        .await
        .unwrap();
    crash(&tree.environment.board, "inner").unwrap();
    // This wait is in vain: it only gives a hasty supervisor the time to show itself.
    let early = tree.event("inner", ActorChange::Crashed);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), early)
            .await
            .is_err()
    );
    drop(release);
    tree.restarted("inner").await;
    assert_eq!(journal.take(), ["-leaf", "-far", "+leaf", "+far"]);
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

/// A tree of the root and a `peers` supervisor for at most two children.
async fn with_peers() -> (Tree, ActorRef<Supervisor>) {
    let peers = ActorRef::new("peers", 1);
    let all = Config {
        order: Order::AllAtOnce,
        intensity: None,
        children_max: 2,
        ..config()
    };
    let environment = Environment::new(1);
    let below = SupervisorSpec::new(all);
    let spec = SupervisorSpec::new(config()).child(nested(&peers, below, &environment));
    let mut tree = Tree::begin_in(environment, spec);
    assert!(within(tree.root.started()).await);
    (tree, peers)
}

#[actix::test]
async fn a_lost_peer_is_dialled_again_for_ever_and_never_escalates() {
    let journal = Journal::default();
    let (mut tree, peers) = with_peers().await;
    let dialled = name("peer:127.0.0.1:3001");
    let outbound = worker(&dialled, &journal).quiet();
    peers
        .query(StartChild(outbound), 10_000)
        .await
        .unwrap()
        .unwrap();
    for life in 1..=20 {
        until_life(&dialled, life).await;
        dialled.control(Misbehave::Fail("connection lost")).unwrap();
    }
    until_life(&dialled, 21).await;
    assert!(
        tree.events.try_recv().is_err(),
        "lost connections are no news of actors"
    );
    crash(&tree.environment.board, "peer:127.0.0.1:3001").unwrap();
    tree.event("peer:127.0.0.1:3001", ActorChange::Crashed)
        .await;
    tree.restarted("peer:127.0.0.1:3001").await;
    let stop = || StopChild {
        name: "peer:127.0.0.1:3001".to_string(),
    };
    assert_eq!(peers.query(stop(), 10_000).await, Ok(true));
    until(|| tree.environment.board.count() == 2).await;
    assert_eq!(peers.query(stop(), 10_000).await, Ok(false));
    assert_eq!(journal.alive(), 0);
}

#[actix::test]
async fn an_accepted_peer_ends_with_its_connection_and_children_are_bounded() {
    let journal = Journal::default();
    let (tree, peers) = with_peers().await;
    let [first, second, third] = ["peer:1", "peer:2", "peer:3"].map(name);
    let inbound = |peer| worker(peer, &journal).quiet().restart(Restart::Temporary);
    peers
        .query(StartChild(inbound(&first)), 10_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        peers
            .query(StartChild(inbound(&first)), 10_000)
            .await
            .unwrap(),
        Err(AddError::Duplicate {
            name: "peer:1".to_string()
        })
    );
    peers
        .query(StartChild(inbound(&second)), 10_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        peers
            .query(StartChild(inbound(&third)), 10_000)
            .await
            .unwrap(),
        Err(AddError::TooMany { children_max: 2 })
    );
    until(|| first.is_up()).await;
    first.control(Misbehave::Fail("connection lost")).unwrap();
    until(|| tree.environment.board.status("peer:1").is_none()).await;
    peers
        .query(StartChild(inbound(&third)), 10_000)
        .await
        .unwrap()
        .unwrap();
    until(|| journal.alive() == 2).await;
}

#[actix::test]
async fn a_name_belongs_to_one_actor_of_the_whole_tree() {
    let journal = Journal::default();
    let (tree, peers) = with_peers().await;
    let again = peers
        .query(StartChild(worker(&name("root"), &journal)), 10_000)
        .await
        .unwrap();
    assert_eq!(
        again,
        Err(AddError::Duplicate {
            name: "root".to_string()
        })
    );
    assert_eq!(tree.state("root"), "running");
    let twice = SupervisorSpec::new(config())
        .child(worker(&name("twin"), &journal))
        .child(worker(&name("twin"), &journal));
    let failure = within(Tree::begin_in(Environment::new(1), twice).root.ended()).await;
    assert_eq!(
        failure.unwrap_err().reason,
        "its specification is wrong: there is a child named twin: stop it before adding it again"
    );
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
        reason_of(&crashed).contains("drill: crash requested"),
        "{}",
        reason_of(&crashed)
    );
    tree.restarted("double").await;
}

#[actix::test]
async fn a_start_a_crash_and_a_restart_are_one_log_line_each() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let journal = Journal::default();
    let only = name("only");
    let exact = Backoff {
        first_ms: 0,
        max_ms: 0,
        stable_ms: 60_000,
    };
    let spec = SupervisorSpec::new(config()).child(worker(&only, &journal).backoff(exact));
    let mut tree = Tree::start(spec).await;
    only.control(Misbehave::Fail("the disk is full")).unwrap();
    tree.restarted("only").await;
    let expected = [
        ("DEBUG", "only started"),
        ("WARN", "only failed (the disk is full): restart in 0 ms"),
        ("INFO", "only restarted (life 2)"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(level, text)| [*level, *text])
        .collect();
    assert_eq!(*lines.0.lock().unwrap(), expected);
}

#[actix::test]
async fn a_supervisor_is_a_child_like_any_other() {
    fn assert_child<A: Child>() {}
    assert_child::<Supervisor>();
}
