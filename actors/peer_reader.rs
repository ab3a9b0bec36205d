//! The reading half of a connection: frames come in, are weighed, and go to whom they concern.
//!
//! What a peer may send is limited ([`bitfitech_core::rate_limit`]); beyond that nothing is read
//! for a while, so that it waits in the peer's own buffers. Everything else that slows a peer down
//! works the same way: whoever takes a frame makes the reader wait until there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitfitech_core::handshake::printable;
use bitfitech_core::peer_exchange::DialResult;
use bitfitech_core::rate_limit::{LinkLimits, Load, PeerRates};
use bitfitech_core::standing::Offence;
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, Nonce, Refuse};
use bitfitech_io::config::LimitSettings;
use bitfitech_io::transport::{ConnectionReader, RawFrame, ReadError};
use tokio::sync::mpsc;

use crate::discovery::{DialEnded, Heard, Misdeed};
use crate::gossip::PeerFrame;
use crate::peer::{Ending, Outgoing, Session, Wish};

/// How long another actor of this node may take to answer.
const QUERY_MS: u64 = 5_000;

/// Answers to pings that may wait to be written; a peer that pings faster gets fewer answers.
const PONGS_MAX: usize = 16;

/// A pause of reading in one piece: after this the flood is noted, and the pause goes on.
const PAUSE_MAX_MS: u64 = 1_000;

/// Reads until the connection ends.
pub(crate) struct PeerReader<'a> {
    session: &'a Session,
    outbox: mpsc::Sender<Outgoing>,
    pongs: Arc<AtomicUsize>,
    /// `None` if the rates are switched off.
    limits: Option<LinkLimits>,
    /// For how long nothing was read, in milliseconds, since that was last noted.
    paused_ms: u64,
}

/// What the next frame means for the session.
enum Next {
    GoOn,
    End(Ending),
}

impl<'a> PeerReader<'a> {
    pub(crate) fn new(
        session: &'a Session,
        outbox: mpsc::Sender<Outgoing>,
        pongs: Arc<AtomicUsize>,
    ) -> Self {
        let settings = &session.node.settings.limits;
        let limits = settings.enabled.then(|| {
            let now = session.node.clock.now();
            LinkLimits::new(now, rates(settings))
        });
        Self {
            session,
            outbox,
            pongs,
            limits,
            paused_ms: 0,
        }
    }

    /// Reads until the connection ends.
    pub(crate) async fn run(mut self, reader: &mut ConnectionReader) -> Ending {
        loop {
            let raw = match reader.read().await {
                Ok(raw) => raw,
                Err(error @ (ReadError::Empty | ReadError::TooLong { .. })) => {
                    return self.violation(&error.to_string());
                }
                Err(error) => {
                    self.close(GoodbyeCode::Silent, &error.to_string());
                    return Ending::Lost(error.to_string());
                }
            };
            let traffic = &self.session.node.traffic;
            traffic.frames_received.add(1);
            traffic.bytes_received.add(raw.payload.len() as u64 + 1);
            let frame = match Frame::decode(raw.kind, &raw.payload) {
                Ok(frame) => frame,
                Err(error) => return self.violation(&error.to_string()),
            };
            self.weigh(&raw, frame.as_ref()).await;
            if let Some(frame) = frame
                && let Next::End(ending) = self.handle(frame).await
            {
                return ending;
            }
        }
    }

    /// Waits as long as the peer has sent more than it may.
    async fn weigh(&mut self, raw: &RawFrame, frame: Option<&Frame>) {
        let now = self.session.node.clock.now();
        let Some(limits) = &mut self.limits else {
            return;
        };
        let mut wait_ms = limits.charge(now, load(raw, frame));
        while wait_ms > 0 {
            let pause_ms = wait_ms.min(PAUSE_MAX_MS);
            wait_ms -= pause_ms;
            self.session.note_throttled();
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            self.paused_ms += pause_ms;
            if self.paused_ms >= PAUSE_MAX_MS {
                self.paused_ms -= PAUSE_MAX_MS;
                self.session
                    .note_misdeed(Offence::Flood, "it sends more than it may");
            }
        }
    }

    async fn handle(&mut self, frame: Frame) -> Next {
        let session = self.session;
        let link = session.introduction.link;
        match frame {
            Frame::Ping(nonce) => self.answer(nonce),
            Frame::Pong(nonce) => session.note_pong(nonce.nonce),
            Frame::Goodbye(goodbye) => return Next::End(self.part(&goodbye).await),
            Frame::Refuse(refuse) => return Next::End(self.refused(&refuse)),
            Frame::Hello(_) => {
                return Next::End(self.violation("hello in the middle of a session"));
            }
            frame @ (Frame::GetPeers(_) | Frame::Peers(_)) => {
                let heard = Heard { link, frame };
                // What an actor that is down does not hear is asked and told again.
                drop(session.node.refs.discovery.data(heard).await);
            }
            frame => {
                let frame = PeerFrame { link, frame };
                // A gossip actor that is down synchronises with everybody when it is up again.
                drop(session.node.refs.gossip.data(frame).await);
            }
        }
        Next::GoOn
    }

    fn answer(&self, ping: Nonce) {
        let waiting = self.pongs.fetch_add(1, Ordering::Relaxed);
        let pong = Outgoing::Pong(ping.nonce);
        if waiting >= PONGS_MAX || self.outbox.try_send(pong).is_err() {
            self.pongs.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The peer said goodbye.
    async fn part(&self, goodbye: &Goodbye) -> Ending {
        let said = printable(&goodbye.reason, 200);
        let reason = format!("the peer said goodbye: {said}");
        // The first reason is the one that is told.
        self.session.note_ending(&reason);
        let ending = self.session.ending_of(goodbye.code, reason).await;
        self.close(GoodbyeCode::Shutdown, "as you wish");
        ending
    }

    /// The peer does not want the session that this side has accepted: each judges by itself.
    fn refused(&self, refuse: &Refuse) -> Ending {
        let said = printable(&refuse.reason, 200);
        let introduction = &self.session.introduction;
        let peer = introduction.node.short();
        let reason = format!("refused by {peer} at {}: {said}", introduction.remote);
        tracing::warn!(target: "peer", "{reason}");
        self.session.note_ending(&reason);
        self.close(GoodbyeCode::Shutdown, "as you wish");
        Ending::Lost(reason)
    }

    /// The peer broke the protocol.
    fn violation(&self, reason: &str) -> Ending {
        self.session.note_misdeed(Offence::Violation, reason);
        self.close(GoodbyeCode::Protocol, reason);
        Ending::Lost(format!("the peer broke the protocol: {reason}"))
    }

    /// Has the writer say goodbye; if it is stuck, the connection ends without.
    fn close(&self, code: GoodbyeCode, reason: &str) {
        let reason = reason.to_string();
        drop(
            self.outbox
                .try_send(Outgoing::Close(Goodbye { code, reason })),
        );
    }
}

/// The rates of a peer, as configured.
fn rates(settings: &LimitSettings) -> PeerRates {
    PeerRates {
        orders_per_second: settings.orders_per_second.into(),
        orders_per_minute: settings.orders_per_minute.into(),
        requests_per_minute: settings.requests_per_minute.into(),
    }
}

/// What a frame weighs: answers weigh nothing but their place in the row.
fn load(raw: &RawFrame, frame: Option<&Frame>) -> Load {
    let bytes = raw.payload.len() as u64;
    match frame {
        Some(Frame::Page(_) | Frame::Branches(_)) => Load::default(),
        Some(Frame::Ops(pushed)) => Load {
            bytes,
            operations: pushed.operations.len() as u64,
            requests: 0,
        },
        Some(
            Frame::Ping(_)
            | Frame::Behind(_)
            | Frame::GetBranches(_)
            | Frame::Want(_)
            | Frame::Graft(_)
            | Frame::GetPeers(_),
        ) => Load {
            bytes,
            operations: 0,
            requests: 1,
        },
        _ => Load {
            bytes,
            ..Load::default()
        },
    }
}

impl Session {
    /// How the session ends when the peer says goodbye with this code.
    async fn ending_of(&self, code: GoodbyeCode, reason: String) -> Ending {
        let result = match code {
            GoodbyeCode::Requested => DialResult::Unwanted,
            GoodbyeCode::Full => DialResult::Full,
            _ => return Ending::Lost(reason),
        };
        if let Some(Wish::Learned(address)) = self.wish {
            let discovery = &self.node.refs.discovery;
            let ended = DialEnded { address, result };
            // A fresh actor that finds peers tries it once more.
            drop(discovery.query(ended, QUERY_MS).await);
            return Ending::Done(reason);
        }
        match code {
            GoodbyeCode::Requested => Ending::Done(reason),
            _ => Ending::Lost(reason),
        }
    }

    /// The peer sends more than it may, and is not read for a moment.
    fn note_throttled(&self) {
        let now_ms = self.node.clock.now().monotonic_ms;
        if let Some(mut entry) = self.node.directory.get_mut(&self.introduction.link) {
            entry.throttled_ms = Some(now_ms);
        }
    }

    /// The peer did what it should not.
    pub(crate) fn note_misdeed(&self, offence: Offence, reason: &str) {
        let misdeed = Misdeed {
            node: self.introduction.node,
            offence,
            reason: printable(reason, 200),
        };
        // While nobody keeps the standing of nodes, or he has too much to do, it is not noted.
        drop(self.node.refs.discovery.try_data(misdeed));
    }

    /// A pong came; its number is the time of the ping.
    fn note_pong(&self, sent_ms: u64) {
        let rtt_ms = self.node.clock.now().monotonic_ms.checked_sub(sent_ms);
        if let (Some(mut entry), Some(_)) =
            (self.node.directory.get_mut(&self.introduction.link), rtt_ms)
        {
            entry.rtt_ms = rtt_ms;
        }
    }
}
