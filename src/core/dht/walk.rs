//! A walk through the DHT towards a target: asks ever nearer nodes until nobody knows a nearer one.
//!
//! The walk is an iterator with answers: [`Walk::next`] gives whom to ask, at most
//! [`CONCURRENCY`] at a time; answers and failures are told to it; it is over when each of the
//! [`BUCKET_NODES_MAX`] nearest known nodes has been asked and none of them is waited for. A node
//! that is slow is no longer waited for, and its answer still counts if it comes before the end;
//! so one dead neighbour does not double the time of each search, and clients that wait for 2.5 s
//! get their answer.
//!
//! Lying nodes can invent nearer and nearer nodes, so a walk asks at most [`ASKED_MAX`] of them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::routing::{BUCKET_NODES_MAX, distance};
use crate::krpc::{Contact, ID_BYTES, NodeId};

/// Questions of one walk under way at a time (Grenache).
pub(crate) const CONCURRENCY: usize = 16;

/// Most nodes that one walk asks. A guess: ten times what an honest network of millions needs.
pub(crate) const ASKED_MAX: usize = 256;

/// Most nodes that a walk remembers, nearest first.
const CANDIDATES_MAX: usize = 128;

/// A node that would take an announcement or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Giver {
    pub(crate) contact: Contact,
    pub(crate) token: Vec<u8>,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub(crate) struct WalkAnswer<'a> {
    pub(crate) from: SocketAddrV4,
    pub(crate) id: Option<NodeId>,
    pub(crate) token: Option<&'a [u8]>,
    pub(crate) contacts: Vec<Contact>,
}

#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) target: Vec<u8>,
    own: NodeId,
    /// Nodes that may still be asked or have answered, nearest first.
    candidates: Vec<([u8; ID_BYTES], Contact)>,
    asked: BTreeSet<SocketAddrV4>,
    in_flight: BTreeSet<SocketAddrV4>,
    /// Addresses to ask whose ids are not known.
    entrances: Vec<SocketAddrV4>,
    givers: Vec<Giver>,
    stopped: bool,
    /// Whether anybody answered who can be asked again.
    answered: bool,
    entered: bool,
}

impl Walk {
    pub(crate) fn new(own: NodeId, target: Vec<u8>, known: &[Contact]) -> Self {
        let mut walk = Self {
            target,
            own,
            candidates: Vec::new(),
            asked: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            entrances: Vec::new(),
            givers: Vec::new(),
            stopped: false,
            answered: false,
            entered: false,
        };
        known.iter().for_each(|contact| walk.add(*contact));
        walk
    }

    /// Asks these addresses too, whoever is there.
    pub(crate) fn enter_by(&mut self, entrances: &[SocketAddrV4]) {
        self.entered = true;
        if self.is_lost_so_far() {
            // Who does not answer under the id that was known may answer under another.
            entrances.iter().for_each(|entrance| {
                self.asked.remove(entrance);
            });
        }
        self.entrances.extend_from_slice(entrances);
    }

    fn add(&mut self, contact: Contact) {
        if contact.id == self.own {
            return;
        }
        let entry = (distance(&self.target, &contact.id), contact);
        let known = self.candidates.binary_search(&entry);
        let same_id = |other: &([u8; ID_BYTES], Contact)| other.1.id == contact.id;
        if let Err(at) = known
            && at < CANDIDATES_MAX
            && !self.candidates.iter().any(same_id)
        {
            self.candidates.insert(at, entry);
            self.candidates.truncate(CANDIDATES_MAX);
        }
    }

    /// Whom to ask now; `None` if nobody, for the time being or for good.
    pub(crate) fn next(&mut self) -> Option<(SocketAddrV4, Option<NodeId>)> {
        let full = self.in_flight.len() >= CONCURRENCY || self.asked.len() >= ASKED_MAX;
        if self.stopped || full {
            return None;
        }
        while let Some(entrance) = self.entrances.pop() {
            if self.asked.insert(entrance) {
                self.in_flight.insert(entrance);
                return Some((entrance, None));
            }
        }
        let nearest = self.candidates.iter().take(BUCKET_NODES_MAX);
        let mut contacts = nearest.map(|(_, contact)| *contact);
        let next = contacts.find(|contact| !self.asked.contains(&contact.address))?;
        self.asked.insert(next.address);
        self.in_flight.insert(next.address);
        Some((next.address, Some(next.id)))
    }

    /// A node answered.
    pub(crate) fn on_answer(&mut self, answer: WalkAnswer<'_>) {
        let WalkAnswer {
            from,
            id,
            token,
            contacts,
        } = answer;
        self.in_flight.remove(&from);
        self.asked.insert(from);
        if let Some(id) = id {
            self.answered = true;
            let contact = Contact { id, address: from };
            self.add(contact);
            let known = self.givers.iter().any(|giver| giver.contact.id == id);
            if let (Some(token), false) = (token, known) {
                let token = token.to_vec();
                self.givers.push(Giver { contact, token });
            }
        }
        contacts.into_iter().for_each(|contact| self.add(contact));
    }

    /// A node is not waited for any longer.
    pub(crate) fn on_late(&mut self, address: SocketAddrV4) {
        self.in_flight.remove(&address);
    }

    /// A node does not answer, or not as who it is said to be: others take its place.
    pub(crate) fn on_failure(&mut self, address: SocketAddrV4) {
        self.in_flight.remove(&address);
        self.candidates
            .retain(|(_, contact)| contact.address != address);
    }

    /// Asks nobody any more: what was looked for is found.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.in_flight.clear();
    }

    fn is_lost_so_far(&self) -> bool {
        !self.answered && self.in_flight.is_empty() && !self.stopped
    }

    /// Whether all who were known are gone, and no entrance has been tried.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost_so_far() && !self.entered
    }

    /// Whether it is over, if [`Walk::next`] has nobody to ask.
    pub(crate) fn waits(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The nodes nearest to the target that would take something, nearest first.
    pub(crate) fn into_givers(mut self) -> Vec<Giver> {
        let target = &self.target;
        self.givers
            .sort_by_key(|giver| distance(target, &giver.contact.id));
        self.givers.truncate(BUCKET_NODES_MAX);
        self.givers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;

    fn contact(number: u8) -> Contact {
        Contact {
            id: NodeId([number; ID_BYTES]),
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from(number)),
        }
    }

    fn answer(from: u8, contacts: Vec<Contact>) -> WalkAnswer<'static> {
        WalkAnswer {
            from: contact(from).address,
            id: Some(contact(from).id),
            token: Some(b"token"),
            contacts,
        }
    }

    /// A walk to the id of zeros that knows only node 200.
    fn walk() -> Walk {
        Walk::new(contact(255).id, vec![0; ID_BYTES], &[contact(200)])
    }

    #[test]
    fn it_goes_to_the_nearest_and_ends_there() {
        let mut walk = walk();
        assert_eq!(walk.next().map(|next| next.0.port()), Some(200));
        assert_eq!(walk.next(), None);
        assert!(walk.waits());
        walk.on_answer(answer(200, vec![contact(9), contact(7), contact(255)]));
        let mut asked: Vec<u16> = core::iter::from_fn(|| walk.next())
            .map(|next| next.0.port())
            .collect();
        assert_eq!(asked, [7, 9], "nearest first, never itself");
        asked.clear();
        walk.on_answer(answer(7, vec![contact(9)]));
        walk.on_failure(contact(9).address);
        assert_eq!(walk.next(), None);
        assert!(!walk.waits());
        let givers: Vec<u16> = walk
            .into_givers()
            .iter()
            .map(|giver| giver.contact.address.port())
            .collect();
        assert_eq!(givers, [7, 200]);
    }

    #[test]
    fn a_slow_node_is_not_waited_for_but_its_answer_counts() {
        let mut walk = walk();
        walk.next();
        walk.on_late(contact(200).address);
        assert!(!walk.waits());
        walk.on_answer(answer(200, vec![contact(9)]));
        assert!(walk.next().is_some());
        assert!(walk.waits());
    }

    #[test]
    fn entrances_are_asked_once() {
        let mut walk = walk();
        walk.enter_by(&[contact(200).address, contact(1).address, contact(1).address]);
        let asked = core::iter::from_fn(|| walk.next()).count();
        assert_eq!(asked, 2);
    }

    #[test]
    fn invented_nodes_do_not_keep_it_going_for_ever() {
        let mut walk = Walk::new(NodeId([255; ID_BYTES]), vec![0; ID_BYTES], &[contact(200)]);
        let mut asked = 0_u32;
        let mut invented = 0_u32;
        while let Some((address, id)) = walk.next() {
            asked += 1;
            // Each one is nearer than all before.
            let contacts = (0..8).map(|_| {
                invented += 1;
                let mut id = [0; ID_BYTES];
                id[..4].copy_from_slice(&(u32::MAX / 2 - invented).to_be_bytes());
                let host = Ipv4Addr::from(0x0a00_0000 + invented);
                Contact {
                    id: NodeId(id),
                    address: SocketAddrV4::new(host, 1),
                }
            });
            let contacts = contacts.collect();
            walk.on_answer(WalkAnswer {
                from: address,
                id,
                token: None,
                contacts,
            });
            assert!(walk.candidates.len() <= CANDIDATES_MAX);
        }
        assert_eq!(asked as usize, ASKED_MAX);
        assert!(!walk.waits());
    }
}
