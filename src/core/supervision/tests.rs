//! Properties under random histories, then each rule by example.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::collection::vec as many;
use proptest::prelude::{
    Just, ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy as Generator;

use super::*;

mod world;

use world::{LIMIT, World, config, spec};

/// A step of a random history; children are chosen modulo their number.
#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Started(usize),
    Answered(usize),
    Crash(usize),
    Finish(usize),
    Remove(usize),
    Add(Restart),
    Stale(usize),
    Shutdown,
}

fn any_restart() -> impl Generator<Value = Restart> {
    prop_oneof![
        Just(Restart::Permanent),
        Just(Restart::Transient),
        Just(Restart::Temporary)
    ]
}

fn any_step() -> impl Generator<Value = Step> {
    prop_oneof![
        6 => (0_u64..1_500).prop_map(Step::Advance),
        8 => (0_usize..12).prop_map(Step::Started),
        4 => (0_usize..12).prop_map(Step::Answered),
        3 => (0_usize..12).prop_map(Step::Crash),
        2 => (0_usize..12).prop_map(Step::Finish),
        1 => (0_usize..12).prop_map(Step::Remove),
        1 => any_restart().prop_map(Step::Add),
        2 => (0_usize..12).prop_map(Step::Stale),
        1 => prop_oneof![9 => Just(Step::Advance(1)), 1 => Just(Step::Shutdown)],
    ]
}

fn any_config() -> impl Generator<Value = Config> {
    let strategy = prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::RestForOne),
        Just(Strategy::OneForAll)
    ];
    let order = prop_oneof![3 => Just(Order::OneByOne), 1 => Just(Order::AllAtOnce)];
    let probe = prop_oneof![Just(None), Just(Some(700))];
    let intensity = prop_oneof![3 => Just(Some(LIMIT)), 1 => Just(None)];
    (strategy, order, probe, intensity).prop_map(|(strategy, order, probe_ms, intensity)| Config {
        order,
        intensity,
        probe_ms,
        children_max: 10,
        ..config(strategy)
    })
}

fn take(world: &mut World, step: &Step) {
    let pick = |world: &World, number: usize| world.known[number % world.known.len()];
    match step {
        Step::Advance(by_ms) => drop(world.advance(*by_ms)),
        Step::Started(number) | Step::Answered(number) => {
            let child = pick(world, *number);
            let Some(generation) = world.alive.get(&child).copied() else {
                return;
            };
            let event = match step {
                Step::Started(_) => Event::Started { child, generation },
                _ => Event::Answered { child, generation },
            };
            world.event(event);
        }
        Step::Crash(number) => drop(world.crash(pick(world, *number))),
        Step::Finish(number) => drop(world.exit(pick(world, *number), Exit::Normal)),
        Step::Remove(number) => {
            let child = pick(world, *number);
            world.event(Event::Remove { child });
        }
        Step::Add(restart) => {
            world.add(*restart);
            world.event(Event::Tick);
        }
        Step::Stale(number) => stale(world, pick(world, *number)),
        Step::Shutdown => drop(world.event(Event::Shutdown)),
    }
}

/// News of a life that is not the present one must change nothing.
fn stale(world: &mut World, child: ChildId) {
    let present = world.alive.get(&child).copied();
    let last = world.last_generation.get(&child).copied().unwrap_or(0);
    let before = format!("{:?}", world.policy);
    for generation in [0, last.saturating_sub(1), last, last + 1] {
        if Some(generation) == present {
            continue;
        }
        let exit = Exit::Crashed("long ago".to_string());
        assert_eq!(
            world.event(Event::Exited {
                child,
                generation,
                exit
            }),
            []
        );
        assert_eq!(world.event(Event::Started { child, generation }), []);
        assert_eq!(world.event(Event::Answered { child, generation }), []);
    }
    assert_eq!(before, format!("{:?}", world.policy));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The rules checked by [`World`] hold in every history, and every history can be ended.
    #[test]
    fn random_histories_keep_the_rules_and_end(
        config in any_config(),
        restarts in many(any_restart(), 1..6),
        steps in many(any_step(), 0..120),
    ) {
        let mut world = World::new(config, &restarts);
        world.event(Event::Begin);
        for step in &steps {
            take(&mut world, step);
        }
        world.must_end_by_itself();
    }

    /// The same seed and history give the same actions.
    #[test]
    fn histories_can_be_repeated(steps in many(any_step(), 0..60)) {
        let run = || {
            let mut world = World::new(config(Strategy::RestForOne), &[Restart::Permanent; 4]);
            world.event(Event::Begin);
            steps.iter().for_each(|step| take(&mut world, step));
            world.all
        };
        prop_assert_eq!(run(), run());
    }

    /// The failed child and the later ones stop in reverse and start in order; the rest stays.
    #[test]
    fn rest_for_one_restarts_exactly_the_later_siblings(count in 1_usize..8, pick in 0_usize..8) {
        let failed = pick % count;
        let mut world = World::running(config(Strategy::RestForOne), count);
        world.crash(world.known[failed]);
        world.cooperate();
        let later: Vec<usize> = (failed + 1..count).rev().collect();
        prop_assert_eq!(&world.stopped, &world.ids(&later));
        let again: Vec<usize> = (failed..count).collect();
        prop_assert_eq!(&world.started, &world.ids(&again));
    }

    /// All siblings stop in reverse and start in order, whoever failed.
    #[test]
    fn one_for_all_restarts_all(count in 1_usize..8, pick in 0_usize..8) {
        let failed = pick % count;
        let mut world = World::running(config(Strategy::OneForAll), count);
        world.crash(world.known[failed]);
        world.cooperate();
        let others: Vec<usize> = (0..count).rev().filter(|number| *number != failed).collect();
        prop_assert_eq!(&world.stopped, &world.ids(&others));
        prop_assert_eq!(&world.started, &world.known);
    }

    /// Children stop in reverse start order, each after the one before is gone.
    #[test]
    fn shutdown_is_in_reverse_order(count in 0_usize..8, deaf in any::<bool>()) {
        let mut world = World::running(config(Strategy::OneForOne), count);
        world.event(Event::Shutdown);
        if deaf {
            world.must_end_by_itself();
            let killed_ms = (500 + 50) * u64::try_from(count).unwrap();
            prop_assert_eq!(world.now_ms, killed_ms);
        } else {
            world.cooperate();
            prop_assert_eq!(world.now_ms, 0);
        }
        let reverse: Vec<ChildId> = world.known.iter().rev().copied().collect();
        prop_assert_eq!(world.stopped, reverse);
        prop_assert_eq!(world.ended, Some(Outcome::Shutdown));
    }

    /// The wait doubles from the first to the greatest, at least half of it fixed.
    #[test]
    fn backoff_lies_between_half_and_full(failures in 1_u32..200, random in any::<u64>()) {
        let backoff = Backoff { first_ms: 100, max_ms: 30_000, stable_ms: 1 };
        let full_ms = (100_u64 << (failures - 1).min(20)).min(30_000);
        let delay_ms = backoff.delay_ms(failures, random);
        prop_assert!((full_ms / 2..=full_ms).contains(&delay_ms));
    }
}

fn delay_of(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::Failed { restart_in_ms, .. } => *restart_in_ms,
        _ => None,
    })
}

#[test]
fn children_start_one_after_the_other_and_then_all_are_told_started() {
    let mut world = World::new(config(Strategy::OneForOne), &[Restart::Permanent; 2]);
    let [first, second] = [world.known[0], world.known[1]];
    assert_eq!(
        world.event(Event::Tick),
        [],
        "nothing starts before the beginning"
    );
    let start = |child| Action::Start {
        child,
        generation: 1,
    };
    let up = |child| Action::Up {
        child,
        generation: 1,
    };
    assert_eq!(world.event(Event::Begin), [start(first)]);
    let started = Event::Started {
        child: first,
        generation: 1,
    };
    assert_eq!(world.event(started), [up(first), start(second)]);
    let started = Event::Started {
        child: second,
        generation: 1,
    };
    assert_eq!(world.event(started), [up(second), Action::AllStarted]);
}

#[test]
fn independent_children_start_all_at_once() {
    let all = Config {
        order: Order::AllAtOnce,
        ..config(Strategy::OneForOne)
    };
    let mut world = World::new(all, &[Restart::Permanent; 3]);
    world.event(Event::Begin);
    assert_eq!(world.started, world.known);
    world.event(Event::Shutdown);
    assert_eq!(world.stopped.len(), 3);
}

#[test]
fn exceeding_the_intensity_stops_the_others_and_ends_with_the_reason() {
    let mut world = World::running(config(Strategy::OneForOne), 2);
    let [first, second] = [world.known[0], world.known[1]];
    for _ in 0..3 {
        assert!(delay_of(&world.crash(first)).is_some());
        // All restarts happen within the window: 100 + 200 + 400 ms at most.
        while !world.alive.contains_key(&first) {
            world.advance_to_deadline();
        }
    }
    let actions = world.crash(first);
    let reason = "restart limit reached (3 in 1000 ms); the last: child0: panic: a defect";
    assert!(
        actions.contains(&Action::Escalate {
            reason: reason.to_string()
        }),
        "{actions:?}"
    );
    assert_eq!(world.stopped, [second]);
    assert!(matches!(actions.last(), Some(Action::Stop { .. })));
    world.exit(second, Exit::Normal);
    assert_eq!(world.ended, Some(Outcome::Escalated(reason.to_string())));
}

#[test]
fn without_an_intensity_a_child_fails_for_ever_at_the_longest_wait() {
    let patient = Config {
        intensity: None,
        ..config(Strategy::OneForOne)
    };
    let mut world = World::running(patient, 1);
    let only = world.known[0];
    let mut delays = Vec::new();
    for _ in 0..50 {
        delays.extend(delay_of(&world.crash(only)));
        world.advance_to_deadline();
    }
    assert_eq!(delays.len(), 50);
    assert!((50..=100).contains(&delays[0]), "{delays:?}");
    assert!(
        delays[10..]
            .iter()
            .all(|delay_ms| (500..=1_000).contains(delay_ms)),
        "{delays:?}"
    );
    assert!(
        delays[10..].iter().collect::<BTreeSet<_>>().len() > 10,
        "jitter: {delays:?}"
    );
}

#[test]
fn the_backoff_starts_anew_after_a_stable_life() {
    let patient = Config {
        intensity: None,
        ..config(Strategy::OneForOne)
    };
    let mut world = World::running(patient, 1);
    let only = world.known[0];
    for _ in 0..6 {
        world.crash(only);
        world.cooperate();
    }
    world.advance(4_999);
    assert!(delay_of(&world.crash(only)).unwrap() >= 500);
    world.cooperate();
    world.advance(5_000);
    assert!(delay_of(&world.crash(only)).unwrap() <= 100);
}

#[test]
fn a_silent_child_is_killed_and_counts_as_failed() {
    let probing = Config {
        probe_ms: Some(1_000),
        ..config(Strategy::OneForOne)
    };
    let mut world = World::running(probing, 1);
    let child = world.known[0];
    assert_eq!(
        world.advance(1_000),
        [Action::Probe {
            child,
            generation: 1
        }]
    );
    assert_eq!(
        world.event(Event::Answered {
            child,
            generation: 1
        }),
        []
    );
    assert_eq!(
        world.advance(1_000),
        [Action::Probe {
            child,
            generation: 1
        }]
    );
    let kill = Action::Kill {
        child,
        generation: 1,
        overdue: Overdue::Probe,
    };
    assert_eq!(world.advance(1_000), [kill]);
    let actions = world.exit(child, Exit::Killed("by its supervisor".to_string()));
    let hung = Exit::Hung("no answer to a probe within 1000 ms".to_string());
    assert!(
        matches!(&actions[0], Action::Failed { exit, restart_in_ms: Some(_), .. } if *exit == hung)
    );
}

#[test]
fn a_supervisor_that_slept_does_not_judge_but_listens_once_more() {
    let probing = Config {
        probe_ms: Some(1_000),
        ..config(Strategy::OneForOne)
    };
    let mut world = World::running(probing, 1);
    world.advance(1_000);
    assert_eq!(world.advance(3_600_000), []);
    let actions = world.advance(1_000);
    assert!(matches!(actions[..], [Action::Kill { .. }]), "{actions:?}");
}

#[test]
fn a_child_that_does_not_come_up_is_killed_and_if_it_stays_abandoned() {
    let mut world = World::new(config(Strategy::OneForOne), &[Restart::Permanent]);
    let child = world.known[0];
    world.event(Event::Begin);
    let kill = Action::Kill {
        child,
        generation: 1,
        overdue: Overdue::Start,
    };
    assert_eq!(world.advance(2_000), [kill]);
    let actions = world.advance(50);
    assert_eq!(
        actions[0],
        Action::Abandoned {
            child,
            generation: 1
        }
    );
    let hung = Exit::Hung("not up within 2000 ms".to_string());
    assert!(matches!(&actions[1], Action::Failed { exit, .. } if *exit == hung));
    assert_eq!(
        world.advance_to_deadline(),
        [Action::Start {
            child,
            generation: 2
        }]
    );
}

#[test]
fn transient_and_temporary_children_end_as_their_kind_demands() {
    let mut world = World::new(
        config(Strategy::OneForOne),
        &[Restart::Transient, Restart::Temporary],
    );
    let [transient, temporary] = [world.known[0], world.known[1]];
    world.event(Event::Begin);
    world.cooperate();
    assert!(delay_of(&world.crash(transient)).is_some());
    world.cooperate();
    let stopped = Action::Down {
        child: transient,
        generation: 2,
        status: Status::Stopped,
    };
    assert_eq!(world.exit(transient, Exit::Normal), [stopped]);
    let actions = world.crash(temporary);
    assert!(matches!(
        actions[0],
        Action::Failed {
            restart_in_ms: None,
            ..
        }
    ));
    assert_eq!(actions.last(), Some(&Action::Removed { child: temporary }));
    assert_eq!(world.policy.find("child1"), None);
}

#[test]
fn a_removed_child_is_stopped_and_forgotten_and_its_name_is_free_again() {
    let mut world = World::running(config(Strategy::OneForOne), 1);
    let child = world.known[0];
    let again = || spec("child0", Restart::Permanent);
    let duplicate = AddError::Duplicate {
        name: "child0".to_string(),
    };
    assert_eq!(world.policy.add(again(), 0), Err(duplicate));
    assert_eq!(
        world.event(Event::Remove { child }),
        [Action::Stop {
            child,
            generation: 1
        }]
    );
    let actions = world.exit(child, Exit::Normal);
    assert_eq!(actions.last(), Some(&Action::Removed { child }));
    assert!(world.policy.add(again(), 0).is_ok());
}

#[test]
fn a_full_or_ending_supervisor_takes_no_child() {
    let small = Config {
        children_max: 1,
        ..config(Strategy::OneForOne)
    };
    let mut world = World::running(small, 1);
    let full = AddError::TooMany { children_max: 1 };
    assert_eq!(
        world.policy.add(spec("more", Restart::Permanent), 0),
        Err(full)
    );
    world.event(Event::Shutdown);
    assert_eq!(
        world.policy.add(spec("late", Restart::Permanent), 0),
        Err(AddError::Ending)
    );
}

#[test]
fn an_earlier_failure_does_not_wait_for_the_backoff_of_a_later_sibling() {
    let mut world = World::running(
        Config {
            intensity: None,
            ..config(Strategy::RestForOne)
        },
        2,
    );
    let [first, second] = [world.known[0], world.known[1]];
    for _ in 0..8 {
        world.crash(second);
        world.cooperate();
    }
    assert!(delay_of(&world.crash(second)).unwrap() >= 500);
    let delay_ms = delay_of(&world.crash(first)).unwrap();
    assert!(delay_ms <= 100);
    world.forget_history();
    assert!(matches!(world.advance(delay_ms)[..], [Action::Start { child, .. }] if child == first));
    world.cooperate();
    assert_eq!(world.started, [first, second]);
}

#[test]
fn one_for_all_starts_nobody_before_the_wait_is_over() {
    let mut world = World::running(config(Strategy::OneForAll), 3);
    let [first, second, third] = [world.known[0], world.known[1], world.known[2]];
    let delay_ms = delay_of(&world.crash(third)).unwrap();
    world.exit(second, Exit::Normal);
    world.exit(first, Exit::Normal);
    world.advance(delay_ms - 1);
    assert_eq!(world.started, []);
    world.advance(1);
    assert_eq!(world.started, [first]);
}

#[test]
fn a_child_being_removed_is_not_revived_by_the_failure_of_a_sibling() {
    let mut world = World::running(config(Strategy::RestForOne), 2);
    let [first, second] = [world.known[0], world.known[1]];
    world.event(Event::Remove { child: second });
    world.crash(first);
    let actions = world.exit(second, Exit::Normal);
    assert_eq!(actions.last(), Some(&Action::Removed { child: second }));
}

#[test]
fn by_default_a_child_that_always_fails_at_once_escalates() {
    for seed in 0..100 {
        let mut policy = Supervision::new(Config::default(), seed);
        let child = policy.add(ChildSpec::new("broken"), 0).unwrap();
        let (mut now_ms, mut generation) = (0, 0);
        policy.handle(now_ms, Event::Begin);
        for life in 1..=11 {
            generation += 1;
            let exit = Exit::Failed("no file".to_string());
            let actions = policy.handle(
                now_ms,
                Event::Exited {
                    child,
                    generation,
                    exit,
                },
            );
            let gave_up = actions
                .iter()
                .any(|action| matches!(action, Action::Escalate { .. }));
            assert_eq!(gave_up, life == 11, "life {life} at {now_ms} ms");
            now_ms = policy.next_deadline().unwrap_or(now_ms);
            policy.handle(now_ms, Event::Tick);
        }
    }
}
