//! How nodes find each other, and find back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Node, list, port_of, text};
use crate::support::plan::Plan;
use crate::support::waiting::{look_until, wait_until};

/// Nodes of the network that grows from one address.
const NODES: usize = 30;

/// Sessions that each of them wants, and most that it takes.
const LINKS: (usize, usize) = (4, 8);

/// How long they may take, once all are up.
const FORMED_WITHIN: Duration = Duration::from_secs(10);

/// The keys of a node's peers.
fn linked(node: &mut Node) -> BTreeSet<String> {
    let peers = node.ok("peers");
    let rows = list(&peers, "peers").iter();
    rows.map(|row| text(row, "node")).collect()
}

/// How many parts the network of these links has.
pub fn parts(links: &BTreeMap<String, BTreeSet<String>>) -> usize {
    let mut left: BTreeSet<&String> = links.keys().collect();
    let mut parts = 0;
    while let Some(first) = left.pop_first() {
        parts += 1;
        let mut reached = vec![first];
        while let Some(at) = reached.pop() {
            let back = links.iter().filter(|(_, others)| others.contains(at));
            let near = links[at].iter().chain(back.map(|(node, _)| node));
            reached.extend(near.filter(|node| left.remove(node)));
        }
    }
    parts
}

/// The links of all nodes.
pub fn all_links(nodes: &mut [Node]) -> BTreeMap<String, BTreeSet<String>> {
    nodes
        .iter_mut()
        .map(|node| (node.key(), linked(node)))
        .collect()
}

#[test]
fn parts_of_a_network_are_counted() {
    let keys = |text: &str| text.chars().map(String::from).collect::<BTreeSet<_>>();
    let network = |links: &[(&str, &str)]| {
        let links = links.iter();
        links
            .map(|(node, others)| (node.to_string(), keys(others)))
            .collect()
    };
    assert_eq!(parts(&network(&[("a", "b"), ("b", ""), ("c", "b")])), 1);
    assert_eq!(parts(&network(&[("a", "b"), ("b", "a"), ("c", "")])), 2);
    assert_eq!(parts(&network(&[])), 0);
}

#[test]
fn thirty_nodes_that_know_one_address_form_a_network_within_their_limits() {
    let plan = |name: &str| Plan::named(name).finds_peers(LINKS.0, LINKS.1);
    let first = Node::start(plan("first"));
    let address = first.address();
    let others = (1..NODES).map(|number| {
        let plan = plan(&format!("node {number}")).dials(&address);
        thread::spawn(move || Node::start(plan))
    });
    let others: Vec<_> = others.collect();
    let mut nodes = vec![first];
    nodes.extend(others.into_iter().map(|it| it.join().expect("it starts")));
    let begin = Instant::now();
    let formed = look_until(begin + FORMED_WITHIN, || {
        let links = all_links(&mut nodes);
        let enough = links.values().all(|it| it.len() >= LINKS.0 / 2);
        (enough && parts(&links) == 1).then_some(links)
    });
    let took = begin.elapsed();
    let links = formed.unwrap_or_else(|| {
        let links = all_links(&mut nodes);
        panic!("{} parts after {took:?}: {links:?}", parts(&links))
    });
    println!("{NODES} nodes formed a network {took:?} after the last one was up");
    let counts: Vec<usize> = links.values().map(BTreeSet::len).collect();
    assert!(counts.iter().all(|count| *count <= LINKS.1), "{counts:?}");
    nodes[NODES - 1].ok("sell 1 @ 100");
    for node in &mut nodes {
        node.wait_for("book", "the order is there", |book| {
            list(book, "asks").len() == 1
        });
    }
    let topology = nodes[0].ok("topology");
    let own = nodes[0].key();
    let rows = list(&topology, "topology");
    assert!(rows.iter().any(|row| row["node"] == own), "{topology}");
    assert!(rows.len() > 2, "it knows links of others: {topology}");
}

#[test]
fn a_restarted_node_is_back_through_the_peers_that_it_knew() {
    let plan = |name: &str| Plan::named(name).finds_peers(2, 8);
    let mut bootstrap = Node::start(plan("bootstrap"));
    let join = |name: &str| Node::start(plan(name).dials(&bootstrap.address()));
    let (mut first, mut second, mut third) = (join("first"), join("second"), join("third"));
    for node in [&mut first, &mut second, &mut third] {
        node.wait_for("peers", "it has two peers", |reply| {
            list(reply, "peers").len() >= 2
        });
    }
    let file = first.data_dir().join("peers.json");
    let known = [second.address(), third.address()];
    wait_until("the file names the others", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        known.iter().any(|address| text.contains(address.as_str()))
    });
    bootstrap.kill();
    let mut first = first.start_again();
    first.wait_for("peers", "it found a peer by itself", |reply| {
        let rows = list(reply, "peers");
        rows.iter().any(|row| row["direction"] == "outbound")
    });
    wait_until("it said so", || {
        first.log().contains("known from earlier runs")
    });
    second.ok("sell 1 @ 100");
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
}

#[test]
fn a_damaged_file_of_known_peers_is_set_aside_with_a_message() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("known.json");
    fs::write(&file, "{\"version\":1,").expect("written");
    let plan = Plan::named("node").finds_peers(2, 8);
    let plan = plan.set("p2p.peer_storage_path", &file.to_string_lossy());
    let mut node = Node::start(plan);
    let log = node.log();
    assert!(log.contains("known.json is damaged"), "{log}");
    let aside = folder.path().join("known.json.damaged");
    let kept = fs::read_to_string(&aside).expect("the damaged file is kept");
    assert_eq!(kept, "{\"version\":1,");
    node.ok("quit");
    assert_eq!(node.exit_code(), Some(0));
    let written = fs::read_to_string(&file).expect("a fresh file");
    assert!(written.contains("\"peers\": []"), "{written}");
}

#[test]
fn the_circuit_of_a_dead_peer_opens_probes_and_closes_when_it_is_back() {
    // A port that was free a moment ago.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        port_of(&address)
    };
    let mut node = Node::start(Plan::named("node").dials(&format!("127.0.0.1:{port}")));
    let state = |reply: &serde_json::Value| {
        let row = list(reply, "breakers").first().cloned();
        row.map(|row| (text(&row, "state"), row["failures"].as_u64()))
    };
    node.wait_for("breakers", "the circuit is open", |reply| {
        state(reply).is_some_and(|(state, failures)| state == "open" && failures >= Some(3))
    });
    wait_until("that is told", || node.log().contains("is open"));
    let _back = Node::start(Plan::named("back").port(port));
    node.wait_for_peers(1);
    node.wait_for("breakers", "the circuit is closed", |reply| {
        state(reply).is_some_and(|(state, failures)| state == "closed" && failures == Some(0))
    });
    wait_until("that is told", || node.log().contains("is closed"));
}

#[test]
fn a_node_comes_to_life_in_the_order_of_what_depends_on_what() {
    let plan = |name: &str| Plan::named(name).finds_peers(2, 8);
    let mut other = Node::start(plan("other"));
    let mut node = Node::start(plan("node").dials(&other.address()));
    node.wait_for_peers(1);
    let file = node.data_dir().join("peers.json");
    wait_until("the file names the other", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.contains(&other.address())
    });
    let mut node = node.start_again();
    node.wait_for_peers(1);
    node.ok("sell 1 @ 100");
    other.wait_for("book", "the order is there", |book| {
        list(book, "asks").len() == 1
    });
    let log = node.log();
    let steps = [
        "known from earlier runs",
        "taking connections",
        "looking for peers",
        "session with",
    ];
    let places = steps.map(|step| log.find(step).unwrap_or_else(|| panic!("{step}: {log}")));
    assert!(places.is_sorted(), "{places:?} in\n{log}");
}
