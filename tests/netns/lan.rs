//! Nodes in one local network find each other without any configuration, and find back.

use std::time::{Duration, Instant};

use crate::discovery::{all_links, parts};
use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list};
use crate::support::plan::Plan;
use crate::support::waiting::look_until;

use super::network::Network;

/// How long nodes that are up may take to find each other.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// A network, or `None` with the reason printed.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests learns what was skipped"
)]
fn network(name: &str, machines: usize) -> Option<Network> {
    match Network::new(name, machines) {
        Ok(network) => Some(network),
        Err(reason) => {
            println!("skipped: no network namespaces here ({reason})");
            None
        }
    }
}

/// Nodes that know nobody, one on each machine; multicast is all they have.
fn nodes(network: &Network, count: usize) -> Vec<Node> {
    (1..=count)
        .map(|number| {
            let plan = Plan::named(&format!("machine {number}"));
            let plan = plan
                .finds_peers(4, 8)
                .inside(&network.machine(number))
                .set("discovery.peer_exchange", "false")
                .set("discovery.persisted", "false")
                .set("p2p.ping_interval_ms", "300")
                .set("p2p.idle_timeout_ms", "1500")
                .set("p2p.connect_timeout_ms", "500");
            Node::start(plan)
        })
        .collect()
}

/// Waits until the nodes are one network; how long that took.
fn formed(nodes: &mut [Node], within: Duration) -> Duration {
    let begin = Instant::now();
    let whole = look_until(begin + within, || {
        let links = all_links(nodes);
        let linked = links.values().all(|it| !it.is_empty());
        (linked && parts(&links) == 1).then_some(())
    });
    let took = begin.elapsed();
    if whole.is_none() {
        let links = all_links(nodes);
        panic!("{} parts after {took:?}: {links:?}", parts(&links));
    }
    took
}

#[test]
fn two_nodes_find_each_other_by_multicast_alone() {
    let Some(network) = network("two", 2) else {
        return;
    };
    let mut nodes = nodes(&network, 2);
    let took = formed(&mut nodes, FOUND_WITHIN);
    println!("two nodes found each other {took:?} after the second was up");
    nodes[0].ok("sell 1 @ 100");
    let [first, second] = &mut nodes[..] else {
        panic!("two nodes");
    };
    wait_for_agreement(&mut [first, second]);
}

#[test]
fn eight_nodes_become_one_mesh_by_multicast_alone() {
    let Some(network) = network("eight", 8) else {
        return;
    };
    let mut nodes = nodes(&network, 8);
    let took = formed(&mut nodes, FOUND_WITHIN);
    println!("eight nodes formed a mesh {took:?} after the last was up");
    let degrees: Vec<usize> = all_links(&mut nodes).values().map(|it| it.len()).collect();
    assert!(degrees.iter().all(|it| *it <= 8), "{degrees:?}");
}

#[test]
fn nodes_of_another_network_are_not_even_seen() {
    let Some(network) = network("other", 2) else {
        return;
    };
    let plan = |number| {
        Plan::named("node")
            .finds_peers(4, 8)
            .inside(&network.machine(number))
    };
    let mut first = Node::start(plan(1));
    let mut second = Node::start(plan(2).set("network.name", "elsewhere"));
    let mut third = Node::start(plan(2));
    // The third proves that there was time enough to be found.
    first.wait_for_peers(1);
    third.wait_for_peers(1);
    assert_eq!(list(&second.ok("peers"), "peers").len(), 0);
    assert!(!second.log().contains("refused"), "{}", second.log());
}

#[test]
fn a_network_that_was_cut_in_two_grows_together_again() {
    let Some(network) = network("cut", 4) else {
        return;
    };
    let mut nodes = nodes(&network, 4);
    formed(&mut nodes, FOUND_WITHIN * 2);
    network.cut();
    let begin = Instant::now();
    let apart = look_until(begin + Duration::from_secs(30), || {
        (parts(&all_links(&mut nodes)) == 2).then_some(())
    });
    assert!(
        apart.is_some(),
        "the cable is cut: {:?}",
        all_links(&mut nodes)
    );
    for (number, node) in nodes.iter_mut().enumerate() {
        node.ok(&format!("sell 1 @ {}", 100 + number));
    }
    network.heal();
    let took = formed(&mut nodes, Duration::from_secs(60));
    println!("a network that was cut in two was whole {took:?} after the cable was back");
    let mut all: Vec<&mut Node> = nodes.iter_mut().collect();
    wait_for_agreement(&mut all);
    assert_eq!(list(&nodes[0].ok("book"), "asks").len(), 4);
}

#[test]
fn two_nodes_of_which_one_was_not_heard_find_back() {
    let Some(network) = network("deaf", 2) else {
        return;
    };
    let mut nodes = nodes(&network, 2);
    formed(&mut nodes, FOUND_WITHIN);
    network.deafen(1, 2);
    for node in &mut nodes {
        node.wait_for_peers(0);
        node.ok("sell 1 @ 100");
    }
    network.undeafen(1, 2);
    let took = formed(&mut nodes, Duration::from_secs(60));
    println!("nodes of which one was not heard had a session {took:?} after it was heard");
    let mut all: Vec<&mut Node> = nodes.iter_mut().collect();
    wait_for_agreement(&mut all);
}

#[test]
fn orders_get_through_where_one_direction_loses_a_third() {
    let Some(network) = network("loss", 2) else {
        return;
    };
    if let Err(reason) = network.lose(30) {
        println!("skipped: no loss can be made here ({reason})");
        return;
    }
    let mut nodes = nodes(&network, 2);
    formed(&mut nodes, Duration::from_secs(60));
    for number in 0..10 {
        for node in &mut nodes {
            node.ok(&format!("buy 1 @ {}", 10 + number));
        }
    }
    let mut all: Vec<&mut Node> = nodes.iter_mut().collect();
    wait_for_agreement(&mut all);
    assert!(network.lost() > 0, "nothing was lost on the way");
}
