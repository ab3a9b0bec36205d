//! Whole worlds that must converge, whatever liars and links do.

use super::super::world::World;
use super::*;

#[test]
fn garbage_in_locators_only_costs_copies() {
    let mut world = World::new(1, 1);
    for _ in 0..10 {
        world.write(0, 0, 0);
    }
    let set = &world.nodes[0].set;
    let heads = set.heads();
    let garbage = WantEntry {
        author: heads[0].author,
        head: heads[0].id,
        locator: vec![OpId([9; 32]); 16],
    };
    let missing = set.missing(&[garbage], 0, usize::MAX);
    assert_eq!((missing.operations.len(), missing.remaining), (10, 0));
    let unknown = set.missing(&[want(head(1, 1))], 0, usize::MAX);
    assert!(unknown.operations.is_empty());
}

#[test]
fn a_late_joiner_catches_up_over_one_link_in_pages() {
    let mut world = World::new(3, 7);
    for number in 0..200 {
        world.write(number % 2, 0, 0);
        if number == 100 {
            world.connect(0, 1);
        }
        world.run_for(10);
    }
    world.run_for(2_000);
    world.connect(1, 2);
    world.run_for(60_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[2].set.order.len(), 200);
    assert_eq!(
        world.nodes[2].ops_received, 0,
        "history comes by pages only"
    );
}

#[test]
fn a_healed_partition_floods_beyond_the_bridge_within_seconds() {
    let mut world = World::new(6, 3);
    for (left, right) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
        world.connect(left, right);
    }
    for number in 0..60 {
        world.write(number % 6, 0, 0);
        world.run_for(20);
    }
    world.run_for(5_000);
    assert!(!world.is_equal());
    world.connect(2, 3);
    world.run_for(12_000);
    assert!(world.is_equal(), "without waiting for an interval of 30 s");
}

#[test]
fn at_rest_only_heads_are_compared() {
    let mut world = World::new(4, 5);
    for (left, right) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        world.connect(left, right);
    }
    for number in 0..40 {
        world.write(number % 4, 0, 0);
        world.run_for(5);
    }
    world.run_for(30_000);
    assert!(world.is_equal());
    world.finished.clear();
    world.run_for(300_000);
    assert!(
        world
            .finished
            .iter()
            .all(|it| it.1 == RoundEnd::Complete && it.2 == 0)
    );
    let rounds = world.finished.len();
    assert!(
        (36..=48).contains(&rounds),
        "{rounds} rounds on 4 links in 10 intervals, of one end each"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Write { node: usize, steps_back: usize },
    Connect(usize, usize),
    Disconnect(prop::sample::Index),
    Wait(u64),
}

const NODES: u8 = 5;

fn any_step() -> impl Strategy<Value = Step> {
    let node = 0..usize::from(NODES);
    // Four in five continue the newest operation, the others fork.
    let back = prop_oneof![4 => Just(0_usize), 1 => 1..4_usize];
    prop_oneof![
        6 => (node.clone(), back).prop_map(|(node, steps_back)| Step::Write { node, steps_back }),
        2 => (node.clone(), node).prop_map(|(left, right)| Step::Connect(left, right)),
        1 => any::<prop::sample::Index>().prop_map(Step::Disconnect),
        3 => (0..400_u64).prop_map(Step::Wait),
    ]
}

fn play(world: &mut World, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Write { node, steps_back } => world.write(node, steps_back, 0),
            Step::Connect(left, right) => world.connect(left, right),
            Step::Disconnect(which) if !world.links.is_empty() => {
                let links: Vec<LinkId> = world.links.keys().copied().collect();
                world.disconnect(links[which.index(links.len())]);
            }
            Step::Disconnect(_) => {}
            Step::Wait(duration_ms) => world.run_for(duration_ms),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn after_healing_and_quiet_all_sets_are_equal(
        seed: u64, steps in vector(any_step(), 0..120),
    ) {
        let mut world = World::new(NODES, seed);
        play(&mut world, steps);
        // A line, the worst of the connected graphs.
        for node in 1..usize::from(NODES) {
            world.connect(node - 1, node);
        }
        world.run_for(120_000);
        prop_assert!(world.is_equal());
    }
}

#[test]
fn liars_on_every_node_do_not_hinder_the_others_and_cost_little() {
    let mut world = World::new(3, 11);
    (0..3).for_each(|node| world.connect_liar(node));
    world.connect(0, 1);
    world.connect(1, 2);
    for number in 0..30 {
        world.write(number % 3, 0, 0);
        world.run_for(50);
    }
    world.run_for(60_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[0].set.order.len(), 30);
    // Three rounds on each of three links, of at most 16 pages and 64 questions about branches.
    assert!((20..=720).contains(&world.lies), "{} lies", world.lies);
}

#[test]
fn a_deep_fork_converges_though_pages_consist_of_copies() {
    let mut world = World::new(2, 13);
    world.nodes[1].key = world.nodes[0].key;
    for _ in 0..20 {
        world.write(0, 0, 0);
    }
    world.connect(0, 1);
    world.run_for(20_000);
    assert!(world.is_equal());
    let links: Vec<LinkId> = world.links.keys().copied().collect();
    links.into_iter().for_each(|link| world.disconnect(link));
    for _ in 0..150 {
        world.write(0, 0, 0);
        world.write(1, 0, 0);
    }
    world.connect(0, 1);
    world.run_for(240_000);
    assert!(world.is_equal());
    assert_eq!(world.nodes[0].set.order.len(), 320);
}
