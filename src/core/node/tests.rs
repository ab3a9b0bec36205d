//! Two whole nodes with bytes between them.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use ed25519_zebra::SigningKey;

use super::*;
use crate::address::tests::address;
use crate::exchange::Exchange;
use crate::genesis::Genesis;
use crate::genesis::tests::test_genesis;
use crate::handshake::Dialler;
use crate::matching::Book;
use crate::membership::shown_admission;
use crate::op::MemberChange;
use crate::peer_exchange::PeerExchangeConfig;
use crate::wire::Ops;

/// The one link of each node.
const LINK: LinkId = LinkId(1);

type BytesNode = Node<Book, BytesGate>;

/// Nodes that are connected by a wire without delay, and their disks.
struct Pair {
    nodes: [BytesNode; 2],
    disks: [Vec<Verified>; 2],
    ended: usize,
    now_ms: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            nodes: [1, 2].map(node),
            disks: [Vec::new(), Vec::new()],
            ended: 0,
            now_ms: 1_000,
        }
    }

    fn connect(&mut self) {
        let keys = [0, 1].map(|at: usize| self.nodes[at].exchange().author());
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let clock = PeerClock::new(at_ms(self.now_ms), at_ms(self.now_ms).unix_ms);
            let peer = Peer {
                key: keys[1 - at],
                admission: None,
            };
            node.handle_link_up(at_ms(self.now_ms), LINK, peer, clock);
        }
    }

    /// Everything that the nodes want done, until `until_ms`.
    fn run(&mut self, until_ms: u64) {
        while self.now_ms <= until_ms {
            let mut on_wire = self.collect();
            while let Some((to, frame)) = on_wire.pop_front() {
                let (kind, payload) = frame.encode();
                let frame = Frame::decode(kind, &payload).expect("well-formed");
                let frame = frame.expect("a known kind");
                self.nodes[to].handle_frame(at_ms(self.now_ms), LINK, frame);
                on_wire.extend(self.collect());
            }
            self.now_ms += 1;
            for node in &mut self.nodes {
                node.handle_timeout(at_ms(self.now_ms));
            }
        }
    }

    /// Serves disks at once; returns what is sent and to whom.
    fn collect(&mut self) -> VecDeque<(usize, Frame)> {
        let now = at_ms(self.now_ms);
        let mut sent = VecDeque::new();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            while let Some(output) = node.poll_output() {
                match output {
                    NodeOutput::Send {
                        link,
                        frame,
                        cost_bytes,
                    } => {
                        node.handle_written(now, link, cost_bytes);
                        sent.push_back((1 - at, frame));
                    }
                    NodeOutput::Persist { operation, .. } => {
                        self.disks[at].push(operation);
                        node.handle_persisted(now, self.disks[at].len());
                    }
                    NodeOutput::Read {
                        ticket,
                        indices,
                        remaining,
                        ..
                    } => {
                        let next = indices.last().map_or(0, |last| u64::from(last.0) + 1);
                        let read = |index: &OpIndex| self.disks[at][index.0 as usize].wire();
                        let operations = indices.iter().map(|index| read(index).to_vec());
                        let operations = operations.collect();
                        let missing = Missing {
                            operations,
                            remaining,
                            next,
                        };
                        node.handle_read(now, ticket, missing);
                    }
                    NodeOutput::Disconnect { .. } => self.ended += 1,
                    _ => {}
                }
            }
        }
        sent
    }

    fn digests_agree(&mut self) -> bool {
        let [first, second] = &mut self.nodes;
        first.exchange_mut().digests() == second.exchange_mut().digests()
    }
}

fn node(number: u8) -> BytesNode {
    node_of(number, test_genesis())
}

fn node_of(number: u8, genesis: Genesis) -> BytesNode {
    let exchange = Exchange::new(genesis.clone(), SigningKey::from([number; 32]), Book::new);
    let config = NodeConfig {
        tick_ms: 20,
        ..NodeConfig::default()
    };
    Node::new(at_ms(1_000), config, exchange, BytesGate::new(genesis))
}

fn at_ms(now_ms: u64) -> Now {
    Now {
        monotonic_ms: now_ms,
        unix_ms: 1_000_000 + now_ms,
    }
}

#[test]
fn what_one_writes_the_other_applies_whether_pushed_or_pulled() {
    let mut pair = Pair::new();
    pair.nodes[0]
        .submit(at_ms(1_000), Vec::new())
        .expect("written");
    pair.run(1_010);
    assert_eq!(
        pair.nodes[1].exchange().dag().len(),
        0,
        "there is no link yet"
    );
    pair.connect();
    pair.run(1_100);
    assert_eq!(pair.nodes[1].exchange().dag().len(), 1, "pulled");
    pair.nodes[0]
        .submit(at_ms(pair.now_ms), Vec::new())
        .expect("written");
    pair.run(1_110);
    assert_eq!(pair.nodes[1].exchange().dag().len(), 2, "pushed");
    assert!(pair.digests_agree());
    assert_eq!(pair.ended, 0);
}

/// The bytes of an operation that a node has just written.
fn written(node: &mut BytesNode) -> Vec<u8> {
    let mut wire = None;
    while let Some(output) = node.poll_output() {
        if let NodeOutput::Persist { operation, .. } = output {
            wire = Some(operation.wire().to_vec());
        }
    }
    wire.expect("it is to be written")
}

/// Whether a session with a peer stands after an administrator's operations have come over it, of
/// which he shows the last or none.
#[test]
fn who_shows_that_he_was_admitted_again_keeps_his_session_until_he_is_expelled_again() {
    let keys = [1, 2, 9].map(|number| node(number).exchange().author());
    let [_, peer, administrator] = keys;
    let genesis = Genesis {
        allow_list: keys.to_vec(),
        administrators: vec![administrator],
        ..test_genesis()
    };
    let genesis = genesis.checked().expect("it is valid");
    let mut office = node_of(9, genesis.clone());
    let changes = [
        MemberChange::Expel,
        MemberChange::Admit,
        MemberChange::Expel,
    ];
    let operations = changes.map(|change| {
        let author = peer;
        let action = Action::Member { author, change };
        office.submit(at_ms(1_000), vec![action]).expect("written");
        written(&mut office)
    });
    let shown = shown_admission(&operations[1], &peer, &genesis, &genesis.digest());
    assert!(shown.is_some());
    let sessions_after = |admission, count: usize| {
        let mut here = node_of(1, genesis.clone());
        let now = at_ms(1_000);
        let clock = PeerClock::new(now, now.unix_ms);
        let peer = Peer {
            key: peer,
            admission,
        };
        here.handle_link_up(now, LINK, peer, clock);
        for operation in &operations[..count] {
            let frame = Frame::Ops(Ops {
                operations: vec![operation.clone()],
                hops: vec![1],
            });
            here.handle_frame(now, LINK, frame);
        }
        here.peers().len()
    };
    let kept = |admission| [0, 1, 2, 3].map(|count| sessions_after(admission, count));
    assert_eq!(kept(None), [1, 0, 0, 0]);
    assert_eq!(kept(shown), [1, 1, 1, 0]);
}

#[test]
fn a_forged_signature_ends_the_session_and_is_not_applied() {
    let mut pair = Pair::new();
    pair.connect();
    pair.nodes[0]
        .submit(at_ms(1_000), Vec::new())
        .expect("written");
    let now = at_ms(1_001);
    let mut forged = written(&mut pair.nodes[0]);
    *forged.last_mut().expect("not empty") ^= 1;
    let frame = Frame::Ops(Ops {
        operations: vec![forged],
        hops: vec![1],
    });
    pair.nodes[1].handle_frame(now, LINK, frame);
    pair.collect();
    assert_eq!(pair.ended, 1);
    assert_eq!(pair.nodes[1].exchange().dag().len(), 0);
    assert_eq!(pair.nodes[1].peers().len(), 0);
}

#[test]
fn books_are_merged_a_tick_after_something_came() {
    let mut pair = Pair::new();
    pair.connect();
    pair.run(1_002);
    let idle = pair.nodes[1].next_deadline_ms();
    assert!(
        idle.is_some_and(|at_ms| at_ms > 10_000),
        "only the next round: {idle:?}"
    );
    pair.nodes[0]
        .submit(at_ms(1_003), Vec::new())
        .expect("written");
    pair.run(1_006);
    let due = pair.nodes[1].next_deadline_ms();
    assert!(due.is_some_and(|at_ms| at_ms <= 1_026), "{due:?}");
}

#[test]
fn a_node_learns_from_its_peer_whom_else_to_dial() {
    let mut pair = Pair::new();
    let now = at_ms(pair.now_ms);
    let place = |text: &str, node: u8, dialler| {
        let place = address(text);
        LinkFacts {
            node: AuthorKey([node; 32]),
            dialler,
            remote: Some(place.socket().ip()),
            place: Some(place),
        }
    };
    for (seed, node) in pair.nodes.iter_mut().enumerate() {
        let machine = PeerExchange::new(now, PeerExchangeConfig::default(), seed as u64);
        node.set_peer_exchange(now, machine);
    }
    let [first, second] = &mut pair.nodes;
    first.handle_link_facts(now, LINK, place("1.1.0.1:1", 1, Dialler::Local));
    second.handle_link_facts(now, LINK, place("2.2.0.1:1", 2, Dialler::Peer));
    second.handle_link_facts(now, LinkId(9), place("3.3.0.1:1", 3, Dialler::Peer));
    pair.connect();
    pair.run(1_010);
    assert_eq!(pair.nodes[0].poll_dial(), Some(address("3.3.0.1:1")));
    assert_eq!(pair.nodes[0].poll_dial(), None);
    let now = at_ms(pair.now_ms);
    pair.nodes[0].handle_dialled(now, address("3.3.0.1:1"), DialResult::Failed);
    let machine = pair.nodes[0].peer_exchange().expect("it was given one");
    assert_eq!(machine.dialling_len(), 0);
    pair.nodes[0].handle_link_down(now, LINK);
    assert_eq!(pair.nodes[0].poll_dial(), None, "all rest");
    let deadline_ms = pair.nodes[0].next_deadline_ms();
    assert!(deadline_ms <= Some(now.monotonic_ms + 1_000));
}
