//! Sessions of a host with others: dialled, accepted, ended and dialled again.
//!
//! A session is named by who dials. It stands for the dialler when the other accepts, and for the
//! other when the dialler confirms, so no side sends over a session that the other never had. Who
//! gets a frame of a session that he does not know answers with a reset, as TCP does.

use std::collections::BTreeMap;

use bitfitech_core::handshake;
use bitfitech_core::median_clock::PeerClock;
use bitfitech_core::node::Peer;
use bitfitech_core::types::LinkId;
use bitfitech_core::wire::{Frame, Ops, Payload};

use super::{Host, Step};
use crate::event::{Event, HostIndex, Introduction, MS, Message, Micros};
use crate::frame_size::{frame_bytes, push_bytes};
use crate::network::Passage;
use crate::parcel::Parcel;
use crate::random::Random;
use crate::trace::{Kind, Line};

/// How long a dialler waits for an answer.
const DIAL_TIMEOUT_US: Micros = 3_000 * MS;

/// The first wait before a host dials again; doubles with each failure.
const REDIAL_US_MIN: Micros = 100 * MS;

/// The longest wait.
const REDIAL_US_MAX: Micros = 4_000 * MS;

/// Hosts begin to dial within this time of their start.
const FIRST_DIAL_US: Micros = 200 * MS;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// This side has dialled.
    Dialling,
    /// This side has accepted and waits for the other to confirm, which has this clock.
    Accepted(PeerClock),
    /// It stands.
    Up,
}

#[derive(Debug)]
struct Session {
    peer: HostIndex,
    /// Who it is, once he has said so.
    node: Option<Peer>,
    stage: Stage,
    /// Arrival of the last frame sent: what is sent later arrives later.
    last_arrival_us: Micros,
    /// When it ends for want of acknowledgements.
    ends_us: Option<Micros>,
}

/// Somebody whom this host dials.
#[derive(Debug)]
struct Neighbour {
    peer: HostIndex,
    /// When to dial, or to give the present try up; `None` while a session stands.
    next_us: Option<Micros>,
    wait_us: Micros,
    session: Option<LinkId>,
}

/// All sessions of a host.
#[derive(Debug)]
pub struct Links {
    sessions: BTreeMap<LinkId, Session>,
    neighbours: Vec<Neighbour>,
    dialled: u64,
    silence_us: Option<Micros>,
    next_us: Option<Micros>,
}

impl Links {
    pub(super) fn new(dials: &[HostIndex]) -> Self {
        let neighbour = |peer: &HostIndex| Neighbour {
            peer: *peer,
            next_us: None,
            wait_us: REDIAL_US_MIN,
            session: None,
        };
        Self {
            sessions: BTreeMap::new(),
            neighbours: dials.iter().map(neighbour).collect(),
            dialled: 0,
            silence_us: None,
            next_us: None,
        }
    }

    /// Dials everyone soon.
    pub(super) fn restart(&mut self, now_us: Micros, random: &mut Random) {
        self.sessions.clear();
        self.silence_us = Some(now_us);
        for neighbour in &mut self.neighbours {
            neighbour.session = None;
            neighbour.wait_us = REDIAL_US_MIN;
            neighbour.next_us = Some(now_us + random.below(FIRST_DIAL_US));
        }
        self.plan();
    }

    /// When there is something to do.
    pub(super) fn next_us(&self) -> Option<Micros> {
        self.next_us
    }

    fn plan(&mut self) {
        let dials = self.neighbours.iter().filter_map(|it| it.next_us);
        let ends = self.sessions.values().filter_map(|it| it.ends_us);
        self.next_us = dials.chain(ends).chain(self.silence_us).min();
    }

    /// A session is over: who dialled it dials again after a while.
    fn dial_again(&mut self, session: LinkId, now_us: Micros, random: &mut Random) {
        let neighbours = self.neighbours.iter_mut();
        for neighbour in neighbours.filter(|it| it.session == Some(session)) {
            neighbour.session = None;
            neighbour.next_us = Some(now_us + neighbour.wait_us + random.below(REDIAL_US_MIN));
            neighbour.wait_us = (neighbour.wait_us * 2).min(REDIAL_US_MAX);
        }
    }
}

impl Host {
    /// Dials, gives up, and finds out what ended in silence.
    pub(super) fn tend_links(&mut self, step: &mut Step<'_>) {
        let now_us = step.now_us;
        if self.links.next_us.is_none_or(|at_us| at_us > now_us) {
            return;
        }
        let network = &step.world.network;
        let is_silence = self.links.silence_us.is_some_and(|at_us| at_us <= now_us);
        let index = self.index;
        let over = self.links.sessions.iter().filter(|(_, session)| {
            session.ends_us.is_some_and(|at_us| at_us <= now_us)
                || is_silence && network.is_silent(index, session.peer, now_us)
        });
        let over: Vec<LinkId> = over.map(|(id, _)| *id).collect();
        if is_silence {
            self.links.silence_us = network.next_silence_us(now_us);
        }
        for session in over {
            self.tell(step, session, Message::Reset { session });
            self.end(step, session);
        }
        self.dial_due(step);
        self.links.plan();
    }

    fn dial_due(&mut self, step: &mut Step<'_>) {
        for at in 0..self.links.neighbours.len() {
            let neighbour = &self.links.neighbours[at];
            if neighbour.next_us.is_none_or(|at_us| at_us > step.now_us) {
                continue;
            }
            if let Some(session) = neighbour.session {
                // No answer has come in time.
                self.end(step, session);
                continue;
            }
            let peer = neighbour.peer;
            self.links.dialled += 1;
            let session = LinkId((u64::from(self.index) + 1) << 32 | self.links.dialled);
            let introduction = self.introduction(step);
            self.links.sessions.insert(
                session,
                Session {
                    peer,
                    node: None,
                    stage: Stage::Dialling,
                    last_arrival_us: 0,
                    ends_us: None,
                },
            );
            let neighbour = &mut self.links.neighbours[at];
            neighbour.session = Some(session);
            neighbour.next_us = Some(step.now_us + DIAL_TIMEOUT_US);
            let dial = Message::Dial {
                session,
                introduction,
            };
            self.tell(step, session, dial);
        }
    }

    fn introduction(&self, step: &Step<'_>) -> Box<Introduction> {
        let now = self.now(step.world, step.now_us);
        let node = self.node.as_ref();
        let node = node.expect("who introduces himself is up");
        let members = node.exchange().membership();
        Box::new(Introduction {
            key: self.local.key,
            hello: self.local.hello(now, self.links.dialled, members),
        })
    }

    /// What another's introduction comes to; `None` if there is to be no session.
    fn judge(&self, step: &Step<'_>, introduction: Introduction) -> Option<(Peer, PeerClock)> {
        let now = self.now(step.world, step.now_us);
        let members = self.node.as_ref()?.exchange().membership();
        let Introduction { key, hello } = introduction;
        let accepted = handshake::compare(now, &self.local, members, (key, hello)).ok()?;
        let admission = accepted.admission;
        Some((Peer { key, admission }, accepted.clock))
    }

    /// Takes a message of another host.
    pub(super) fn handle_message(
        &mut self,
        step: &mut Step<'_>,
        from: HostIndex,
        message: Message,
    ) {
        match message {
            Message::Dial {
                session,
                introduction,
            } => self.on_dial(step, from, session, *introduction),
            Message::Accept {
                session,
                introduction,
            } => self.on_accept(step, from, session, *introduction),
            Message::Confirm { session } => self.on_confirm(step, from, session),
            Message::Reset { session } => self.end(step, session),
            Message::Push {
                session,
                operations,
            } => {
                let pushed = Ops::from(operations);
                self.note_copies(step, from, &pushed.operations);
                self.on_frame(step, from, session, Frame::Ops(pushed));
            }
            Message::Frame { session, frame } => {
                if let Frame::Page(page) = &*frame {
                    self.note_copies(step, from, &page.operations);
                }
                self.on_frame(step, from, session, *frame);
            }
            Message::Order(_) | Message::Administer(_) => {}
        }
    }

    fn note_copies(&self, step: &mut Step<'_>, from: HostIndex, copies: &[Parcel]) {
        step.tally.copies += copies.len() as u64;
        for copy in copies {
            step.tally.note_line(|| Line {
                at_us: step.now_us,
                from,
                to: self.index,
                operation: copy.id(),
                bytes: copy.size_bytes(),
                kind: Kind::Received,
            });
        }
    }

    fn on_dial(
        &mut self,
        step: &mut Step<'_>,
        from: HostIndex,
        session: LinkId,
        introduction: Introduction,
    ) {
        let Some((node, clock)) = self.judge(step, introduction) else {
            self.deny(step, from, session);
            return;
        };
        let is_old = |it: &Session| it.peer == from && matches!(it.stage, Stage::Accepted(_));
        self.links.sessions.retain(|_, it| !is_old(it));
        let stage = Stage::Accepted(clock);
        self.links.sessions.insert(
            session,
            Session {
                peer: from,
                node: Some(node),
                stage,
                last_arrival_us: 0,
                ends_us: None,
            },
        );
        let introduction = self.introduction(step);
        let accept = Message::Accept {
            session,
            introduction,
        };
        self.tell(step, session, accept);
    }

    fn on_accept(
        &mut self,
        step: &mut Step<'_>,
        from: HostIndex,
        session: LinkId,
        introduction: Introduction,
    ) {
        let judged = self.judge(step, introduction);
        let known = self.links.sessions.get_mut(&session);
        let waiting = known.filter(|it| it.stage == Stage::Dialling);
        let (Some((peer, clock)), Some(state)) = (judged, waiting) else {
            self.deny(step, from, session);
            return;
        };
        state.stage = Stage::Up;
        state.node = Some(peer);
        let neighbours = self.links.neighbours.iter_mut();
        for neighbour in neighbours.filter(|it| it.session == Some(session)) {
            neighbour.next_us = None;
            neighbour.wait_us = REDIAL_US_MIN;
        }
        self.links.plan();
        self.tell(step, session, Message::Confirm { session });
        self.with_node(step, |node, now| {
            node.handle_link_up(now, session, peer, clock);
        });
    }

    fn on_confirm(&mut self, step: &mut Step<'_>, from: HostIndex, session: LinkId) {
        let Some(state) = self.links.sessions.get_mut(&session) else {
            self.deny(step, from, session);
            return;
        };
        let (Stage::Accepted(clock), Some(peer)) = (state.stage, state.node) else {
            return;
        };
        state.stage = Stage::Up;
        // One side dials each link, so a later session replaces an earlier one.
        let twins = self
            .links
            .sessions
            .iter()
            .filter(|(id, it)| **id != session && it.peer == from && it.stage == Stage::Up);
        let twins: Vec<LinkId> = twins.map(|(id, _)| *id).collect();
        twins.into_iter().for_each(|twin| self.end(step, twin));
        self.with_node(step, |node, now| {
            node.handle_link_up(now, session, peer, clock);
        });
    }

    fn on_frame(
        &mut self,
        step: &mut Step<'_>,
        from: HostIndex,
        session: LinkId,
        mut frame: Frame<Parcel>,
    ) {
        let state = self.links.sessions.get(&session);
        if state.is_some_and(|it| it.stage == Stage::Up) {
            self.spoil(step, session, &mut frame);
            self.with_node(step, |node, now| node.handle_frame(now, session, frame));
        } else {
            self.deny(step, from, session);
        }
    }

    /// Sends a frame over a session that stands.
    pub(super) fn send_frame(
        &mut self,
        step: &mut Step<'_>,
        session: LinkId,
        frame: Frame<Parcel>,
    ) {
        let (bytes, message) = match frame {
            Frame::Ops(pushed) => {
                let bytes = push_bytes(pushed.operations.iter().map(Payload::size_bytes));
                let operations = pushed.into();
                (
                    bytes,
                    Message::Push {
                        session,
                        operations,
                    },
                )
            }
            other => {
                let bytes = frame_bytes(&other);
                let frame = Box::new(other);
                (bytes, Message::Frame { session, frame })
            }
        };
        if let Some(to) = self.links.sessions.get(&session).map(|it| it.peer) {
            step.tally.frames += 1;
            step.tally.bytes += bytes as u64;
            step.tally.note_line(|| Line {
                at_us: step.now_us,
                from: self.index,
                to,
                operation: None,
                bytes,
                kind: Kind::Sent,
            });
        }
        self.tell(step, session, message);
    }

    /// Puts a message on the way over a session.
    fn tell(&mut self, step: &mut Step<'_>, session: LinkId, message: Message) {
        let Some(state) = self.links.sessions.get_mut(&session) else {
            return;
        };
        if state.ends_us.is_some() {
            return;
        }
        let network = &step.world.network;
        match network.pass(self.index, state.peer, step.now_us, &mut self.random) {
            Passage::Arrives(at_us) => {
                let at_us = at_us.max(state.last_arrival_us);
                state.last_arrival_us = at_us;
                let to = state.peer;
                self.post(step, to, at_us, message);
            }
            Passage::EndsSession(at_us) => {
                state.ends_us = Some(at_us);
                self.links.plan();
            }
        }
    }

    /// Tells somebody that there is no such session.
    fn deny(&mut self, step: &mut Step<'_>, to: HostIndex, session: LinkId) {
        let network = &step.world.network;
        let passage = network.pass(self.index, to, step.now_us, &mut self.random);
        if let Passage::Arrives(at_us) = passage {
            self.post(step, to, at_us, Message::Reset { session });
        }
    }

    fn post(&mut self, step: &mut Step<'_>, to: HostIndex, at_us: Micros, message: Message) {
        self.sent += 1;
        step.sent.push(Event {
            at_us,
            to,
            from: self.index,
            number: self.sent,
            message,
        });
    }

    /// The node has ended a session.
    pub(super) fn close(&mut self, step: &mut Step<'_>, session: LinkId) {
        self.tell(step, session, Message::Reset { session });
        self.forget_session(step, session);
    }

    /// Every session is closed, as the system does for a process that dies.
    pub(super) fn close_all(&mut self, step: &mut Step<'_>) {
        let sessions: Vec<LinkId> = self.links.sessions.keys().copied().collect();
        for session in sessions {
            self.tell(step, session, Message::Reset { session });
        }
        self.links.sessions.clear();
    }

    /// A session is over.
    fn end(&mut self, step: &mut Step<'_>, session: LinkId) {
        if self.forget_session(step, session) == Some(Stage::Up) {
            self.with_node(step, |node, now| node.handle_link_down(now, session));
        }
    }

    fn forget_session(&mut self, step: &mut Step<'_>, session: LinkId) -> Option<Stage> {
        let ended = self.links.sessions.remove(&session)?;
        step.tally.sessions_ended += u64::from(ended.stage == Stage::Up);
        self.links
            .dial_again(session, step.now_us, &mut self.random);
        self.links.plan();
        Some(ended.stage)
    }
}
