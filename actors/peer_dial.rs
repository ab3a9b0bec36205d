//! From an address, or a connection that came in, to an established session.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bitfitech_core::breaker::{Attempt, AttemptResult, Permit};
use bitfitech_core::handshake::{Accepted, Dialler, Handshake, HandshakeError, SessionFacts};
use bitfitech_core::types::{AuthorKey, LinkId};
use bitfitech_core::wire::{Frame, Goodbye, GoodbyeCode, RefuseCode};
use bitfitech_io::transport::{
    Connection, ConnectionReader, ConnectionWriter, FrameLimits, connect,
};
use tokio::sync::mpsc;

use crate::breaker::{Dialled, MayDial};
use crate::context::{NodeContext, SessionEntry};
use crate::gossip::SessionUp;
use crate::mailbox::ActorRef;
use crate::messages::{Direction, PeerChange};
use crate::peer::{Ending, Opened, Origin, Outgoing, PeerActor, Session, encode};

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
        Origin::Accepted(connection) => {
            establish(&node, me, *connection, Direction::Inbound, queue).await
        }
        Origin::Dial(address) => {
            let address = address.to_string();
            wait_until_needed(&node, &address).await;
            let attempt = ask_breaker(&node, &address).await;
            let opened = dial(&node, me, &address, queue).await;
            let result = match &opened {
                Ok(_) => AttemptResult::Succeeded,
                Err(_) => AttemptResult::Failed,
            };
            // A breaker that was restarted has forgotten the attempt.
            drop(node.refs.breaker.control(Dialled {
                address,
                attempt,
                result,
            }));
            opened
        }
    }
}

/// Waits while there is a session with the node at this address already.
async fn wait_until_needed(node: &NodeContext, address: &str) {
    let is_there =
        |entry: &SessionEntry| entry.address == address || entry.listen.as_deref() == Some(address);
    while node.directory.iter().any(|entry| is_there(entry.value())) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the circuit of the address allows an attempt.
async fn ask_breaker(node: &NodeContext, address: &str) -> Attempt {
    loop {
        let address = address.to_string();
        let answer = node.refs.breaker.query(MayDial { address }, QUERY_MS).await;
        match answer.map(|dial| dial.0) {
            Ok(Permit::Go(attempt)) => return attempt,
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
    address: &str,
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
    establish(node, me, connection, Direction::Outbound, queue).await
}

pub(crate) fn lost(reason: &str) -> Ending {
    Ending::Lost(reason.to_string())
}

/// Shakes hands on a connection and introduces the session to gossip.
async fn establish(
    node: &Arc<NodeContext>,
    me: ActorRef<PeerActor>,
    connection: Connection,
    direction: Direction,
    queue: mpsc::Receiver<Outgoing>,
) -> Result<Opened, Ending> {
    let settings = &node.settings;
    let limits = FrameLimits {
        length_bytes_max: settings.limits.max_message_kb.saturating_mul(1024),
        silence_ms_max: settings.p2p.idle_timeout_ms,
        ..FrameLimits::default()
    };
    let (peer, remote) = (connection.key, connection.address);
    let address = remote.to_string();
    let (mut reader, mut writer) = connection.split(limits);
    let number = node.next_number();
    let accepted = shake_hands(node, peer, number, (&mut reader, &mut writer)).await;
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return Err(refused(peer, &address, error, &mut writer).await),
    };
    let facts = SessionFacts {
        dialler: match direction {
            Direction::Outbound => Dialler::Local,
            Direction::Inbound => Dialler::Peer,
        },
        peer_instance: accepted.hello.instance,
        dialler_session: match direction {
            Direction::Outbound => number,
            Direction::Inbound => accepted.hello.session,
        },
    };
    let introduction = SessionUp {
        link: LinkId(number),
        node: peer,
        facts,
        clock_offset_ms: accepted.clock_offset_ms,
        peer: me.clone(),
    };
    introduce(node, &introduction, &mut writer).await?;
    let session = Arc::new(Session {
        node: Arc::clone(node),
        introduction,
        address: address.clone(),
        ending: std::sync::Mutex::new(None),
    });
    if let (Some(dht), Some(port), IpAddr::V4(host)) = (
        &node.grenache.dht,
        accepted.hello.dht_port,
        remote.ip().to_canonical(),
    ) {
        dht.meet(SocketAddrV4::new(host, port));
    }
    let entry = SessionEntry {
        peer: me,
        node: peer,
        address,
        listen: reachable(accepted.hello.listen, remote.ip()),
        direction,
        rtt_ms: None,
    };
    node.directory.insert(session.introduction.link, entry);
    let way = direction.name();
    tracing::info!(target: "peer", "{way} session with {} at {}", peer.short(), session.address);
    session.tell(PeerChange::Connected, None);
    Ok(Opened {
        session,
        reader,
        writer,
        queue,
    })
}

/// Where a node says that it takes connections, if that is at the address from which it speaks.
/// Other claims are not believed: they would keep this node from dialling who really is there.
fn reachable(listen: Option<String>, remote: IpAddr) -> Option<String> {
    let listen: SocketAddr = listen?.parse().ok()?;
    let is_own = listen.ip().is_unspecified() || listen.ip() == remote;
    is_own.then(|| SocketAddr::new(remote, listen.port()).to_string())
}

/// Exchanges Hellos.
async fn shake_hands(
    node: &NodeContext,
    peer: AuthorKey,
    number: u64,
    (reader, writer): (&mut ConnectionReader, &mut ConnectionWriter),
) -> Result<Accepted, HandshakeError> {
    let now = node.clock.now();
    let handshake = Handshake::new(now, peer);
    let hello = encode(&Frame::Hello(node.local.hello(now, number)));
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
            .and_then(|()| handshake.handle_frame(now, &node.local, None)),
        Ok(Err(reason)) => Err(HandshakeError::Ended(Goodbye {
            code: GoodbyeCode::Protocol,
            reason,
        })),
        Ok(Ok(raw)) => {
            let frame = Frame::decode(raw.kind, &raw.payload).unwrap_or(None);
            handshake.handle_frame(now, &node.local, frame)
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
    let reason = goodbye.reason.clone();
    say(writer, Frame::Goodbye(goodbye)).await;
    Err(Ending::Lost(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_to_listen_at_the_address_of_another_is_not_believed() {
        let remote: IpAddr = [192, 0, 2, 1].into();
        let claimed = |listen: &str| reachable(Some(listen.to_string()), remote);
        assert_eq!(claimed("0.0.0.0:3000").as_deref(), Some("192.0.2.1:3000"));
        assert_eq!(claimed("192.0.2.1:3001").as_deref(), Some("192.0.2.1:3001"));
        assert_eq!(claimed("192.0.2.9:3000"), None);
        assert_eq!(claimed("bootstrap.example:3000"), None);
        assert_eq!(reachable(None, remote), None);
    }
}
