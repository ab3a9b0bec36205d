//! Networks that form by peer exchange alone, and each rule by example.

use alloc::collections::VecDeque;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::address::tests::address;
use crate::address_book::BookConfig;
use crate::wire::Frame;

mod rules;

/// Nodes at addresses, and the sessions between them.
struct World {
    nodes: Vec<PeerExchange>,
    places: Vec<PeerAddress>,
    /// Where they were when the world began.
    born: Vec<PeerAddress>,
    /// What is to be carried out, and of whom.
    held: VecDeque<(usize, PeerExchangeOutput)>,
    /// Both ends of each session: the one that dialled first.
    sessions: BTreeMap<LinkId, [usize; 2]>,
    next_link: u64,
    now: Now,
    limits: Limits,
    /// Whether a dial from one node reaches another.
    passes: fn(usize, usize) -> bool,
}

fn key(index: usize) -> AuthorKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    AuthorKey(bytes)
}

impl World {
    fn new(count: usize, limits: Limits, seed: u64, place: fn(usize) -> PeerAddress) -> Self {
        let now = Now {
            monotonic_ms: 1_000,
            unix_ms: 1_700_000_000_000,
        };
        let config = PeerExchangeConfig {
            limits,
            ..PeerExchangeConfig::default()
        };
        let node = |index: usize| PeerExchange::new(now, config, seed.wrapping_add(index as u64));
        Self {
            nodes: (0..count).map(node).collect(),
            places: (0..count).map(place).collect(),
            born: (0..count).map(place).collect(),
            held: VecDeque::new(),
            sessions: BTreeMap::new(),
            next_link: 1,
            now,
            limits,
            passes: |_, _| true,
        }
    }

    /// Time goes on in steps of 100 ms.
    fn run(&mut self, duration_ms: u64) {
        let until_ms = self.now.monotonic_ms + duration_ms;
        while self.now.monotonic_ms < until_ms {
            self.now.monotonic_ms += 100;
            self.now.unix_ms += 100;
            for index in 0..self.nodes.len() {
                let due_ms = self.nodes[index].next_deadline_ms();
                if due_ms.is_some_and(|due_ms| due_ms <= self.now.monotonic_ms) {
                    self.nodes[index].handle_timeout(self.now);
                }
                self.carry_out(index);
            }
        }
    }

    fn carry_out(&mut self, index: usize) {
        self.hold(index);
        while let Some((index, output)) = self.held.pop_front() {
            let touched = match output {
                PeerExchangeOutput::Dial(to) => Some(self.dial(index, to)),
                PeerExchangeOutput::Ask { link, ask } => self.ask(index, link, ask),
                PeerExchangeOutput::Answer { link, peers } => self.answer(index, link, peers),
                PeerExchangeOutput::Part { link, .. } => self.part(link, index),
            };
            self.hold(index);
            touched.into_iter().for_each(|it| self.hold(it));
        }
    }

    fn hold(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].poll_output() {
            self.held.push_back((index, output));
        }
    }

    fn ask(&mut self, from: usize, link: LinkId, ask: GetPeers) -> Option<usize> {
        let to = self.other(link, from)?;
        assert!(ask.request != 0);
        let conduct = self.nodes[to].handle_ask(self.now, link, ask);
        assert_eq!(conduct, Conduct::Fine, "honest nodes ask seldom enough");
        Some(to)
    }

    fn answer(&mut self, from: usize, link: LinkId, peers: Peers) -> Option<usize> {
        let to = self.other(link, from)?;
        self.check(from, to, &peers);
        let conduct = self.nodes[to].handle_peers(self.now, link, peers);
        assert_eq!(conduct, Conduct::Fine);
        Some(to)
    }

    /// What is told can be written, and concerns the one who is told.
    fn check(&self, from: usize, to: usize, peers: &Peers) {
        let (kind, payload) = Frame::<Vec<u8>>::Peers(peers.clone()).encode();
        assert_eq!(
            Frame::decode(kind, &payload),
            Ok(Some(Frame::Peers(peers.clone())))
        );
        for entry in &peers.peers {
            assert!(entry.address.reach().concerns(self.places[to].reach()));
            assert!(entry.address != self.places[to] && entry.node != Some(key(to)));
            let places = [&self.born, &self.places].into_iter();
            let mut indices = places.map(|them| them.iter().position(|it| *it == entry.address));
            let index = indices.find_map(|it| it);
            assert_eq!(entry.node, index.map(key), "node {from} tells the truth");
        }
    }

    fn other(&self, link: LinkId, index: usize) -> Option<usize> {
        let [left, right] = *self.sessions.get(&link)?;
        Some(if left == index { right } else { left })
    }

    fn facts(&self, of: usize, dialler: Dialler) -> LinkFacts {
        LinkFacts {
            node: key(of),
            dialler,
            remote: Some(self.places[of].socket().ip()),
            place: Some(self.places[of]),
        }
    }

    fn dial(&mut self, from: usize, to: PeerAddress) -> usize {
        let target = self.places.iter().position(|it| *it == to);
        let reached = target.filter(|target| (self.passes)(from, *target));
        let result = match reached {
            None => Some(DialResult::Failed),
            Some(target) if target == from => Some(DialResult::Own),
            Some(target) => self.connect(from, target),
        };
        if let Some(result) = result {
            let advice = self.nodes[from].handle_dialled(self.now, to, result);
            if advice == Advice::Go {
                self.nodes[from].handle_dialled(self.now, to, result);
            }
        }
        from
    }

    fn connect(&mut self, from: usize, to: usize) -> Option<DialResult> {
        let between = |ends: &&[usize; 2]| ends.contains(&from) && ends.contains(&to);
        if self.sessions.values().any(|ends| between(&ends)) {
            // The other was faster, as the handshake would find out.
            return None;
        }
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let newcomer = Present {
            dialler: Dialler::Peer,
            remote: self.places[from].socket().ip(),
        };
        let admitted = self.limits.admit(self.present(to).into_iter(), newcomer);
        let [callee, caller] = [
            self.facts(to, Dialler::Local),
            self.facts(from, Dialler::Peer),
        ];
        self.nodes[from].handle_link_up(self.now, link, callee);
        if admitted.is_ok() {
            self.sessions.insert(link, [from, to]);
            self.nodes[to].handle_link_up(self.now, link, caller);
            return None;
        }
        let farewell = self.nodes[to].farewell(self.now, caller).expect("is on");
        self.check(to, from, &farewell);
        // What the caller asks in the meantime is lost with the session.
        self.hold(from);
        self.nodes[from].handle_peers(self.now, link, farewell);
        self.nodes[from].handle_link_down(self.now, link);
        Some(DialResult::Full)
    }

    fn present(&self, index: usize) -> Vec<Present> {
        let mine = self.sessions.values().filter(|ends| ends.contains(&index));
        let present = |[dialler, dialled]: &[usize; 2]| match *dialler == index {
            true => Present {
                dialler: Dialler::Local,
                remote: self.places[*dialled].socket().ip(),
            },
            false => Present {
                dialler: Dialler::Peer,
                remote: self.places[*dialler].socket().ip(),
            },
        };
        mine.map(present).collect()
    }

    fn part(&mut self, link: LinkId, index: usize) -> Option<usize> {
        let other = self.other(link, index)?;
        self.sessions.remove(&link);
        self.nodes[index].handle_link_down(self.now, link);
        self.nodes[other].handle_link_down(self.now, link);
        Some(other)
    }

    /// How many parts the network of these nodes has.
    fn parts(&self, nodes: &[usize]) -> usize {
        let mut left: BTreeSet<usize> = nodes.iter().copied().collect();
        let mut parts = 0;
        while let Some(first) = left.pop_first() {
            parts += 1;
            let mut reached = vec![first];
            while let Some(at) = reached.pop() {
                for ends in self.sessions.values().filter(|ends| ends.contains(&at)) {
                    let next = if ends[0] == at { ends[1] } else { ends[0] };
                    if left.remove(&next) {
                        reached.push(next);
                    }
                }
            }
        }
        parts
    }

    fn degrees(&self) -> Vec<usize> {
        let nodes = 0..self.nodes.len();
        nodes.map(|index| self.present(index).len()).collect()
    }

    fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}

/// Every node in a neighbourhood of its own.
fn public(index: usize) -> PeerAddress {
    address(&alloc::format!(
        "{}.{}.0.1:3000",
        20 + index / 250,
        index % 250
    ))
}

/// All nodes on one machine.
fn local(index: usize) -> PeerAddress {
    address(&alloc::format!("127.0.0.1:{}", 3_000 + index))
}

/// A few on a machine, a few in a private network, the others public.
fn mixed(index: usize) -> PeerAddress {
    match index % 3 {
        0 => local(index),
        1 => address(&alloc::format!("10.0.0.{}:3000", index + 1)),
        _ => public(index),
    }
}

fn limits(links_target: usize, links_max: usize) -> Limits {
    Limits {
        links_target,
        links_max,
        inbound_per_address_max: links_max,
        ..Limits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With one address to begin with, a network forms that is in one piece and within its limits.
    #[test]
    fn a_network_grows_from_one_address(
        count in 2_usize..60, target in 3_usize..9, spare in 2_usize..8, seed in any::<u64>(),
    ) {
        let mut world = World::new(count, limits(target, target + spare), seed, public);
        for index in 1..count {
            let first = world.places[0];
            world.nodes[index].handle_found(world.now, Teller::File, &[first]);
            world.carry_out(index);
        }
        world.run(10_000);
        prop_assert_eq!(world.parts(&world.all()), 1, "{:?}", world.degrees());
        let degrees = world.degrees();
        prop_assert!(degrees.iter().all(|it| *it <= target + spare), "{degrees:?}");
        let least = target.div_ceil(2).min(count - 1);
        prop_assert!(degrees.iter().all(|it| *it >= least), "{degrees:?}");
    }

    /// Whatever the addresses, nobody is told what he cannot use; the world checks each answer.
    #[test]
    fn nobody_is_told_what_does_not_concern_him(count in 3_usize..30, seed in any::<u64>()) {
        let mut world = World::new(count, limits(4, 10), seed, mixed);
        world.passes = |from, to| mixed(to).reach().concerns(mixed(from).reach());
        for index in 0..count {
            let everyone = world.places.clone();
            world.nodes[index].handle_found(world.now, Teller::File, &everyone);
            world.carry_out(index);
        }
        world.run(5_000);
        for (index, node) in world.nodes.iter().enumerate() {
            let learned = node.book().iter();
            let mut learned = learned.filter(|(_, known)| matches!(known.teller, Teller::Peer(_)));
            prop_assert!(
                learned.all(|(at, _)| at.reach().concerns(world.places[index].reach()))
            );
        }
    }
}

#[test]
fn thirty_nodes_of_one_machine_find_each_other_through_one_that_is_full() {
    for seed in 0..10 {
        let mut world = World::new(30, limits(4, 6), seed * 1_000, local);
        for index in 1..30 {
            let first = world.places[0];
            world.nodes[index].handle_found(world.now, Teller::File, &[first]);
            world.carry_out(index);
        }
        world.run(10_000);
        assert_eq!(world.parts(&world.all()), 1, "{:?}", world.degrees());
        let degrees = world.degrees();
        assert!(degrees.iter().all(|it| (2..=6).contains(it)), "{degrees:?}");
    }
}

#[test]
fn a_node_whose_peers_are_gone_comes_back_through_others() {
    let mut world = World::new(20, limits(4, 8), 7, public);
    for index in 1..20 {
        let first = world.places[0];
        world.nodes[index].handle_found(world.now, Teller::File, &[first]);
        world.carry_out(index);
    }
    world.run(10_000);
    // All that node 5 is linked to vanish, with the node through which it came.
    let mine = world.sessions.values().filter(|ends| ends.contains(&5));
    let gone: BTreeSet<usize> = mine.flatten().copied().filter(|it| *it != 5).collect();
    let dead: Vec<_> = world
        .sessions
        .iter()
        .filter(|(_, ends)| ends.iter().any(|it| gone.contains(it)))
        .map(|(link, ends)| (*link, ends[0]))
        .collect();
    for place in &gone {
        world.places[*place] = address(&alloc::format!("99.{place}.0.1:1"));
    }
    for (link, end) in dead {
        world.part(link, end);
    }
    let alive: Vec<usize> = world
        .all()
        .into_iter()
        .filter(|it| !gone.contains(it))
        .collect();
    world.run(30_000);
    assert!(world.present(5).len() >= 2, "{:?}", world.degrees());
    assert_eq!(world.parts(&alive), 1, "{:?}", world.degrees());
}

#[test]
fn two_halves_that_have_enough_links_meet_by_rotation() {
    let mut world = World::new(20, limits(4, 12), 3, public);
    for index in 0..20 {
        let half = index / 10 * 10;
        let friends: Vec<_> = (half..half + 10).map(|it| world.places[it]).collect();
        world.nodes[index].handle_found(world.now, Teller::File, &friends);
        world.carry_out(index);
    }
    world.run(10_000);
    assert_eq!(world.parts(&world.all()), 2);
    // One node hears of one node of the other half, which is no reason to dial it.
    let stranger = world.places[15];
    world.nodes[2].handle_found(world.now, Teller::Dht, &[stranger]);
    world.carry_out(2);
    assert_eq!(world.parts(&world.all()), 2);
    world.run(900_000);
    assert_eq!(world.parts(&world.all()), 1, "{:?}", world.degrees());
}

#[test]
fn a_book_of_its_own_size_is_kept_by_every_node() {
    let mut world = World::new(40, limits(4, 8), 11, public);
    for node in &mut world.nodes {
        let config = PeerExchangeConfig {
            book: BookConfig {
                addresses_max: 64,
                ..BookConfig::default()
            },
            limits: limits(4, 8),
            ..PeerExchangeConfig::default()
        };
        *node = PeerExchange::new(world.now, config, 1);
    }
    for index in 1..40 {
        let first = world.places[0];
        world.nodes[index].handle_found(world.now, Teller::File, &[first]);
        world.carry_out(index);
    }
    world.run(10_000);
    assert!(world.nodes.iter().all(|node| node.book().len() <= 64));
    assert_eq!(world.parts(&world.all()), 1);
}
