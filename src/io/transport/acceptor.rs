//! Taking connections from anybody without being stopped by some.
//!
//! Until a handshake is over, nothing is known about the one who dialled but an address, and the
//! cheapest attack there is consists in connecting and saying nothing. So:
//!
//! - Handshakes run side by side, each with a deadline; only completed ones are handed over.
//! - At most `pending_max` run. When one more arrives, one is dropped in its favour: of the network
//!   with the most pending handshakes the oldest. An attacker with few addresses so displaces his
//!   own, and one with many displaces whoever took longest.
//! - A network that dials faster than [`DIALS_PER_SECOND`] for longer than a burst is hung up on,
//!   so that complete handshakes, which cost signatures, cannot be had without end either. Several
//!   honest nodes may share an address, so the burst is large, and who is hung up on dials again.
//! - But a handshake is left alone for `grace_ms`. Else a burst of honest diallers, say all nodes
//!   of a cluster on one machine, would displace each other before any of them has had a chance.
//!   While all are that young, newcomers wait in the operating system's queue.
//!
//! With the defaults silent connections are worked off at 128 per 100 ms, so that 300 of them delay
//! an honest dialler by about 0.2 s. An honest handshake takes one round trip; under an attack from
//! many networks those with a slow one fail, and are dialled again.
//!
//! A network is an IPv4 address, or the first 64 bits of an IPv6 address, which is what one
//! subscriber has.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bitfitech_core::rate_limit::{Admission, Rate, TokenBucket};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Connection, without_delay};
use crate::tls::{HandshakeError, Tls};

/// Pause after the system refused a connection: the usual reason, no free file descriptor, does
/// not pass by asking again at once.
const REFUSED_PAUSE_MS: u64 = 50;

/// Connections that one network may open in a second, beyond the burst. A guess: at some 0.3 ms for
/// a handshake a fiftieth of a processor.
pub const DIALS_PER_SECOND: u64 = 64;

/// Connections that one network may open at once. A guess: all nodes of a large office, starting.
pub const DIALS_BURST: u64 = 512;

/// Networks whose connections are counted; the one that dialled least lately is forgotten first.
pub const NETWORKS_MAX: usize = 1_024;

/// What connections that are not yet sessions may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Handshakes that run at once. (One more is held while it waits to displace another.)
    pub pending_max: usize,
    /// Longest duration of a handshake, in milliseconds.
    pub handshake_ms_max: u64,
    /// Age under which a handshake is not displaced, in milliseconds.
    pub grace_ms: u64,
}

impl Default for AcceptLimits {
    /// 128 at once, 5 s, 100 ms: guesses, of which the module's documentation gives the
    /// consequences.
    fn default() -> Self {
        Self {
            pending_max: 128,
            handshake_ms_max: 5_000,
            grace_ms: 100,
        }
    }
}

/// What became of the connections that were accepted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptStatistics {
    /// Sessions handed over.
    pub completed: u64,
    /// Handshakes that failed or came too late.
    pub failed: u64,
    /// Handshakes dropped in favour of newer ones.
    pub displaced: u64,
    /// Connections hung up on because their network opened too many.
    pub refused: u64,
}

/// Accepts connections and hands over those that have become sessions.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    tls: Tls,
    limits: AcceptLimits,
    handshakes: JoinSet<Result<Connection, AcceptError>>,
    /// The running handshakes, oldest first.
    pending: VecDeque<Pending>,
    dials: BTreeMap<IpAddr, (Instant, TokenBucket)>,
    origin: Instant,
    statistics: AcceptStatistics,
}

#[derive(Debug)]
struct Pending {
    id: Id,
    abort: AbortHandle,
    network: IpAddr,
    since: Instant,
}

impl Acceptor {
    /// An acceptor on a listener; nothing is accepted before [`Acceptor::accept`] is called.
    pub fn new(listener: TcpListener, tls: Tls, limits: AcceptLimits) -> Self {
        Self {
            listener,
            tls,
            limits,
            handshakes: JoinSet::new(),
            pending: VecDeque::new(),
            dials: BTreeMap::new(),
            origin: Instant::now(),
            statistics: AcceptStatistics::default(),
        }
    }

    /// The address that peers can dial, with the port that was in fact bound.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What became of the connections so far.
    pub fn statistics(&self) -> AcceptStatistics {
        self.statistics
    }

    /// The next session; waits as long as it takes, whatever fails meanwhile.
    ///
    /// Cancel-safe. Handshakes go on between calls, but connections are accepted, and the old
    /// ones displaced, during calls only. Dropping the acceptor ends all of them.
    pub async fn accept(&mut self) -> Connection {
        loop {
            let displaceable = self.displaceable_at();
            tokio::select! {
                biased;
                Some(ended) = self.handshakes.join_next_with_id() => {
                    if let Some(connection) = self.on_ended(ended) {
                        return connection;
                    }
                }
                () = sleep_until(displaceable.unwrap_or_else(Instant::now)),
                    if displaceable.is_some() => self.displace(),
                accepted = self.listener.accept(), if displaceable.is_none() => match accepted {
                    Ok((stream, address)) if self.admits(address) => self.start(stream, address),
                    Ok(_) => self.statistics.refused += 1,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(Duration::from_millis(REFUSED_PAUSE_MS)).await;
                    }
                }
            }
        }
    }

    /// Whether the network of this address may open one more connection.
    fn admits(&mut self, address: SocketAddr) -> bool {
        let network = network_of(address.ip());
        let now_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !self.dials.contains_key(&network) && self.dials.len() >= NETWORKS_MAX {
            let oldest = self.dials.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(network, _)| *network) {
                self.dials.remove(&oldest);
            }
        }
        let rate = Rate {
            tokens: DIALS_PER_SECOND,
            interval_ms: 1_000,
            burst: DIALS_BURST,
        };
        let fresh = || (Instant::now(), TokenBucket::new(now_ms, rate));
        let (last, bucket) = self.dials.entry(network).or_insert_with(fresh);
        *last = Instant::now();
        bucket.admit(now_ms, 1) == Admission::Granted
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr) {
        let tls = self.tls.clone();
        let handshake_ms_max = self.limits.handshake_ms_max;
        let abort = self
            .handshakes
            .spawn(shake_hands(tls, stream, address, handshake_ms_max));
        self.pending.push_back(Pending {
            id: abort.id(),
            abort,
            network: network_of(address.ip()),
            since: Instant::now(),
        });
        assert!(self.pending.len() <= self.limits.pending_max + 1);
    }

    fn on_ended(
        &mut self,
        ended: Result<(Id, Result<Connection, AcceptError>), JoinError>,
    ) -> Option<Connection> {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A displaced one is no longer pending; a panic would be a fault of this program.
                self.pending.retain(|pending| pending.id != error.id());
                if error.is_panic() {
                    tracing::error!(%error, "a handshake failed by a fault of this program");
                    self.statistics.failed += 1;
                }
                return None;
            }
        };
        self.pending.retain(|pending| pending.id != id);
        match outcome {
            Ok(connection) => {
                self.statistics.completed += 1;
                Some(connection)
            }
            Err(error) => {
                tracing::debug!(%error, "a handshake failed");
                self.statistics.failed += 1;
                None
            }
        }
    }

    /// When the next handshake may be displaced; `None` while there is room.
    fn displaceable_at(&self) -> Option<Instant> {
        if self.pending.len() <= self.limits.pending_max {
            return None;
        }
        let victim = self.victim()?;
        Some(self.pending[victim].since + Duration::from_millis(self.limits.grace_ms))
    }

    fn displace(&mut self) {
        let Some(displaced) = self.victim().and_then(|at| self.pending.remove(at)) else {
            return;
        };
        displaced.abort.abort();
        self.statistics.displaced += 1;
    }

    /// Position of the oldest handshake of the network that has most.
    fn victim(&self) -> Option<usize> {
        let mut counts = BTreeMap::new();
        for pending in &self.pending {
            *counts.entry(pending.network).or_insert(0_usize) += 1;
        }
        let most = counts.values().max()?;
        self.pending
            .iter()
            .position(|pending| counts[&pending.network] == *most)
    }
}

async fn shake_hands(
    tls: Tls,
    stream: TcpStream,
    address: SocketAddr,
    handshake_ms_max: u64,
) -> Result<Connection, AcceptError> {
    let failed = |source| AcceptError::Handshake { address, source };
    let stream = without_delay(stream).map_err(|error| failed(HandshakeError::Io(error)))?;
    let limit = Duration::from_millis(handshake_ms_max);
    match timeout(limit, tls.accept(stream)).await {
        Ok(Ok((stream, key))) => Ok(Connection {
            stream,
            address,
            key,
        }),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(AcceptError::TimedOut {
            address,
            handshake_ms_max,
        }),
    }
}

/// What counts as one origin of connections.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// Why a connection did not become a session; for the log alone.
#[derive(Debug)]
enum AcceptError {
    TimedOut {
        address: SocketAddr,
        handshake_ms_max: u64,
    },
    Handshake {
        address: SocketAddr,
        source: HandshakeError,
    },
}

impl fmt::Display for AcceptError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut {
                address,
                handshake_ms_max,
            } => write!(
                out,
                "{address} did not shake hands in {handshake_ms_max} ms"
            ),
            Self::Handshake { address, source } => write!(out, "{address}: {source}"),
        }
    }
}
