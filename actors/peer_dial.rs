//! From an address, or a connection that came in, to an established session.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bitfitech_core::address::{PeerAddress, claimed_listen};
use bitfitech_core::breaker::{Attempt, AttemptResult, Permit};
use bitfitech_core::handshake::{Accepted, Dialler, Handshake, HandshakeError, SessionFacts};
use bitfitech_core::peer_exchange::{Advice, DialResult, LinkFacts, Target};
use bitfitech_core::standing::Ban;
use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, Refuse, RefuseCode};
use bitfitech_io::transport::{
    Connection, ConnectionReader, ConnectionWriter, FrameLimits, connect,
};
use tokio::sync::mpsc;

use crate::breaker::{Dialled, MayDial};
use crate::context::{NodeContext, SessionEntry};
use crate::discovery::{AskAdvice, AskBan, AskFarewell, DialEnded, LinkUp};
use crate::gossip::SessionUp;
use crate::mailbox::ActorRef;
use crate::membership;
use crate::messages::{Direction, PeerChange};
use crate::peer::{Ending, Opened, Origin, Outgoing, PeerActor, Session, Wish, encode};

/// How long another actor of this node may take to answer.
const QUERY_MS: u64 = 5_000;

/// Pause before something that was not possible is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a goodbye may take to be written.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// From nothing to an established session.
pub(crate) async fn open(
    node: Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    origin: Origin,
    queue: mpsc::Receiver<Outgoing>,
) -> Result<Opened, Ending> {
    match origin {
        Origin::Accepted(connection) => establish(&node, me, *connection, None, queue).await,
        Origin::Dial(address, wish) => {
            wait_until_wanted(&node, wish).await?;
            wait_until_needed(&node, &address).await;
            let Some(attempt) = ask_breaker(&node, &address, wish).await else {
                let ending = Ending::Spare("its circuit is open".to_string());
                return Err(consequence(&node, wish, ending).await);
            };
            let opened = dial(&node, me, (&address, wish), queue).await;
            let result = match &opened {
                Ok(_) | Err(Ending::Spare(_)) => AttemptResult::Succeeded,
                Err(Ending::Lost(_) | Ending::Done(_)) => AttemptResult::Failed,
            };
            // A breaker that was restarted has forgotten the attempt.
            drop(node.refs.breaker.control(Dialled {
                address,
                attempt,
                result,
            }));
            match opened {
                Ok(opened) => Ok(opened),
                Err(ending) => Err(consequence(&node, wish, ending).await),
            }
        }
    }
}

/// Waits until a session with this address would be one of too few.
async fn wait_until_wanted(node: &NodeContext, wish: Wish) -> Result<(), Ending> {
    let target = match wish {
        Wish::Requested => return Ok(()),
        Wish::Named => Target::Operator,
        Wish::Learned(address) => Target::Learned(address),
    };
    loop {
        match node.refs.discovery.query(AskAdvice(target), QUERY_MS).await {
            Ok(Advice::Go) => return Ok(()),
            Ok(Advice::Wait { retry_in_ms }) => {
                tokio::time::sleep(Duration::from_millis(retry_in_ms)).await;
            }
            Ok(Advice::Over) => return Err(Ending::Done("no longer wanted".to_string())),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What follows from an attempt that brought no session: one to a learned address is made again
/// only if that is still wanted.
async fn consequence(node: &NodeContext, wish: Wish, ending: Ending) -> Ending {
    let Wish::Learned(address) = wish else {
        return ending;
    };
    let (result, reason) = match ending {
        Ending::Lost(reason) => (DialResult::Failed, reason),
        Ending::Done(reason) => (DialResult::Own, reason),
        Ending::Spare(reason) => (DialResult::Full, reason),
    };
    let ended = DialEnded { address, result };
    match node.refs.discovery.query(ended, QUERY_MS).await {
        Ok(Advice::Over) => Ending::Done(reason),
        Ok(Advice::Go | Advice::Wait { .. }) | Err(_) => Ending::Lost(reason),
    }
}

/// Waits while there is a session with the node at this address already.
async fn wait_until_needed(node: &NodeContext, address: &str) {
    let place = address.parse().ok();
    let is_there = |entry: &SessionEntry| {
        entry.address == address || place.is_some() && entry.facts.place == place
    };
    while node.directory.iter().any(|entry| is_there(entry.value())) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the circuit of the address allows an attempt. Of learned addresses there are others:
/// for these, `None` at once.
async fn ask_breaker(node: &NodeContext, address: &str, wish: Wish) -> Option<Attempt> {
    loop {
        let address = address.to_string();
        let answer = node.refs.breaker.query(MayDial { address }, QUERY_MS).await;
        match answer.map(|dial| dial.0) {
            Ok(Permit::Go(attempt)) => return Some(attempt),
            Ok(Permit::Wait { .. }) if matches!(wish, Wish::Learned(_)) => return None,
            Ok(Permit::Wait { retry_in_ms }) => {
                tokio::time::sleep(Duration::from_millis(retry_in_ms.max(1))).await;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Resolves, connects and shakes hands.
async fn dial(
    node: &Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    (address, wish): (&str, Wish),
    queue: mpsc::Receiver<Outgoing>,
) -> Result<Opened, Ending> {
    tracing::debug!(target: "peer", "dialling {address}");
    let timeout_ms = node.settings.p2p.connect_timeout_ms;
    let resolving = tokio::net::lookup_host(address);
    let limit = Duration::from_millis(timeout_ms);
    let resolved = tokio::time::timeout(limit, resolving).await;
    let resolved = resolved.map_err(|_| lost("its name was not resolved in time"))?;
    let mut addresses = resolved.map_err(|error| lost(&format!("name: {error}")))?;
    let target = addresses
        .next()
        .ok_or_else(|| lost("its name has no address"))?;
    let connection = connect(&node.tls, target, None, timeout_ms).await;
    let connection = connection.map_err(|error| Ending::Lost(error.to_string()))?;
    establish(node, me, connection, Some(wish), queue).await
}

pub(crate) fn lost(reason: &str) -> Ending {
    Ending::Lost(reason.to_string())
}

/// Shakes hands on a connection and introduces the session to gossip.
async fn establish(
    node: &Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    connection: Connection,
    wish: Option<Wish>,
    queue: mpsc::Receiver<Outgoing>,
) -> Result<Opened, Ending> {
    let (peer, remote) = (connection.key, connection.address);
    let address = remote.to_string();
    let (mut reader, mut writer) = connection.split(frame_limits(node));
    let number = node.next_number();
    let accepted = shake_hands(node, peer, number, (&mut reader, &mut writer)).await;
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return Err(refused(peer, &address, error, &mut writer).await),
    };
    let (facts, link_facts) = facts(peer, remote, wish, (number, &accepted));
    let introduction = SessionUp {
        link: LinkId(number),
        node: peer,
        facts,
        clock: accepted.clock,
        remote: remote.ip(),
        peer: me.clone(),
    };
    introduce(node, &introduction, link_facts, &mut writer).await?;
    let session = Arc::new(Session {
        node: Arc::clone(node),
        introduction,
        address: address.clone(),
        wish,
        ending: std::sync::Mutex::new(None),
    });
    let direction = match wish {
        Some(_) => Direction::Outbound,
        None => Direction::Inbound,
    };
    meet_in_dht(node, remote, accepted.hello.dht_port);
    let entry = SessionEntry {
        peer: me,
        node: peer,
        admission: accepted.admission,
        address,
        facts: link_facts,
        direction,
        rtt_ms: None,
        throttled_ms: None,
        misdeeds: None,
    };
    let link = session.introduction.link;
    node.directory.insert(link, entry.clone());
    let facts = link_facts;
    // A fresh actor that finds peers looks into the directory.
    drop(node.refs.discovery.control(LinkUp { link, facts }));
    let way = direction.name();
    tracing::info!(target: "peer", "{way} session with {} at {}", peer.short(), session.address);
    session.tell(PeerChange::Connected, None);
    // It may have been expelled since the Hellos, before others could find the session.
    membership::end_if_expelled(node, &node.membership.load(), &entry);
    Ok(Opened {
        session,
        reader,
        writer,
        queue,
    })
}

/// What the settings allow a peer to send.
fn frame_limits(node: &NodeContext) -> FrameLimits {
    let settings = &node.settings;
    FrameLimits {
        length_bytes_max: settings.limits.max_message_kb.saturating_mul(1024),
        silence_ms_max: settings.p2p.idle_timeout_ms,
        ..FrameLimits::default()
    }
}

/// A peer that is in the DHT is a way into it.
fn meet_in_dht(node: &NodeContext, remote: SocketAddr, port: Option<u16>) {
    let host = remote.ip().to_canonical();
    if let (Some(dht), Some(port), IpAddr::V4(host)) = (&node.grenache.dht, port, host) {
        dht.meet(SocketAddrV4::new(host, port));
    }
}

/// What is known of a session when both Hellos are accepted.
fn facts(
    node: AuthorKey,
    remote: SocketAddr,
    wish: Option<Wish>,
    (number, accepted): (u64, &Accepted),
) -> (SessionFacts, LinkFacts) {
    let hello = &accepted.hello;
    let (dialler, dialler_session, place) = match wish {
        Some(_) => (Dialler::Local, number, PeerAddress::new(remote)),
        None => {
            let listen = hello.listen.as_deref();
            let place = listen.and_then(|listen| claimed_listen(listen, remote.ip()));
            (Dialler::Peer, hello.session, place)
        }
    };
    let session = SessionFacts {
        dialler,
        peer_instance: hello.instance,
        dialler_session,
    };
    let link = LinkFacts {
        node,
        dialler,
        remote: Some(remote.ip()),
        place,
    };
    (session, link)
}

/// What a banned node is told.
fn refusal(ban: &Ban) -> Refuse {
    let seconds = ban.left_ms.div_ceil(1_000);
    Refuse {
        code: RefuseCode::Banned,
        reason: format!("banned for another {seconds} s: {}", ban.reason),
    }
}

/// Exchanges Hellos.
async fn shake_hands(
    node: &NodeContext,
    peer: AuthorKey,
    number: u64,
    (reader, writer): (&mut ConnectionReader, &mut ConnectionWriter),
) -> Result<Accepted, HandshakeError> {
    // Without an actor that keeps the standing of nodes nobody is banned.
    if let Ok(Some(ban)) = node.refs.discovery.query(AskBan(peer), QUERY_MS).await {
        return Err(HandshakeError::Refused(refusal(&ban)));
    }
    let now = node.clock.now();
    let handshake = Handshake::new(now, peer);
    let members = node.membership.load_full();
    let hello = encode(&Frame::Hello(node.local.hello(now, number, &members)));
    let wait_ms = handshake.deadline_ms().saturating_sub(now.monotonic_ms);
    let exchange = async {
        writer
            .write(&[hello])
            .await
            .map_err(|error| error.to_string())?;
        reader.read().await.map_err(|error| error.to_string())
    };
    let timed = tokio::time::timeout(Duration::from_millis(wait_ms), exchange).await;
    let now = node.clock.now();
    match timed {
        Err(_) => handshake
            .handle_timeout(now)
            .and_then(|()| handshake.handle_frame(now, &node.local, &members, None)),
        Ok(Err(reason)) => Err(HandshakeError::Ended(Goodbye {
            code: GoodbyeCode::Protocol,
            reason,
        })),
        Ok(Ok(raw)) => {
            let frame = Frame::decode(raw.kind, &raw.payload).unwrap_or(None);
            handshake.handle_frame(now, &node.local, &node.membership.load(), frame)
        }
    }
}

/// Tells the peer why there is no session, and the log.
async fn refused(
    peer: AuthorKey,
    address: &str,
    error: HandshakeError,
    writer: &mut ConnectionWriter,
) -> Ending {
    match error {
        HandshakeError::Refused(refuse) => {
            let own = refuse.code == RefuseCode::SelfConnection;
            let reason = refuse.reason.clone();
            if own {
                tracing::info!(target: "peer", "{address} is this node itself: not dialled again");
            } else {
                tracing::warn!(target: "peer", "refused {} at {address}: {reason}", peer.short());
            }
            say(writer, Frame::Refuse(refuse)).await;
            if own {
                Ending::Done(reason)
            } else {
                Ending::Lost(reason)
            }
        }
        HandshakeError::RefusedByPeer(refuse) => {
            let reason = format!(
                "refused by {} at {address}: {}",
                peer.short(),
                refuse.reason
            );
            if refuse.code == RefuseCode::SelfConnection {
                return Ending::Done(reason);
            }
            tracing::warn!(target: "peer", "{reason}");
            Ending::Lost(reason)
        }
        HandshakeError::Ended(goodbye) => Ending::Lost(goodbye.reason),
    }
}

/// Writes a last frame and closes, as far as the peer lets that happen in time.
pub(crate) async fn say(writer: &mut ConnectionWriter, frame: Frame) {
    let bytes = encode(&frame);
    let saying = async {
        writer.write(&[bytes]).await?;
        writer.close().await
    };
    // The connection ends in any case.
    drop(tokio::time::timeout(GOODBYE, saying).await);
}

/// Asks gossip to take the session; says goodbye if it does not.
async fn introduce(
    node: &NodeContext,
    introduction: &SessionUp,
    facts: LinkFacts,
    writer: &mut ConnectionWriter,
) -> Result<(), Ending> {
    let goodbye = loop {
        match node.refs.gossip.query(introduction.clone(), QUERY_MS).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(goodbye)) => break goodbye,
            Err(error) => {
                tracing::debug!(target: "peer", "gossip does not answer yet: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    if goodbye.code == GoodbyeCode::Full {
        tell_others(node, facts, writer).await;
    }
    let reason = goodbye.reason.clone();
    say(writer, Frame::Goodbye(goodbye)).await;
    Err(Ending::Spare(reason))
}

/// Tells a node for which there is no place where it may find one.
async fn tell_others(node: &NodeContext, facts: LinkFacts, writer: &mut ConnectionWriter) {
    let farewell = node.refs.discovery.query(AskFarewell(facts), QUERY_MS);
    if let Ok(Some(peers)) = farewell.await {
        let bytes = encode(&Frame::Peers(peers));
        // The connection ends in any case.
        drop(tokio::time::timeout(GOODBYE, writer.write(&[bytes])).await);
    }
}
