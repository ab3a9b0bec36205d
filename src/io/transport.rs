//! Sessions with peers: listening, dialling, and what a session is.
//!
//! A [`Connection`] is a TCP connection on which the TLS handshake (see [`crate::tls`]) is over,
//! with the key that the peer proved. It is taken apart into a reader and a writer of frames (see
//! [`frames`]), each for a task of its own, so that a peer that does not read cannot keep this node
//! from hearing it, nor the other way round.
//!
//! Connections come from two places: [`connect`] dials, and an [`Acceptor`] (see [`acceptor`])
//! hands over what others dialled. Both give every attempt a deadline. `TCP_NODELAY` is set on
//! all, because a batch of frames is flushed when it is meant to go.
//!
//! What is said in the frames, and how long a peer may take to say the first, is not decided here.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::time::Duration;

use bitfitech_core::types::AuthorKey;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::tls::{HandshakeError, Tls};

pub mod acceptor;
pub mod frames;

pub use acceptor::{AcceptLimits, AcceptStatistics, Acceptor};
pub use frames::{FrameLimits, FrameReader, FrameWriter, RawFrame, ReadError, WriteError};

/// How many ports after the wanted one are tried before the system chooses one. A guess: more
/// nodes than this on one machine are given their ports.
const FALLBACK_PORTS_MAX: u16 = 100;

/// The reading half of a connection.
pub type ConnectionReader = FrameReader<ReadHalf<TlsStream<TcpStream>>>;

/// The writing half of a connection.
pub type ConnectionWriter = FrameWriter<WriteHalf<TlsStream<TcpStream>>>;

/// An encrypted session with a peer that has proved its key.
#[derive(Debug)]
pub struct Connection {
    /// The encrypted stream.
    pub stream: TlsStream<TcpStream>,
    /// The peer's address: the one dialled, or the one it dialled from.
    pub address: SocketAddr,
    /// The peer's key.
    pub key: AuthorKey,
}

impl Connection {
    /// Takes the connection apart; it is closed once both halves are dropped.
    pub fn split(self, limits: FrameLimits) -> (ConnectionReader, ConnectionWriter) {
        let (source, sink) = tokio::io::split(self.stream);
        (
            FrameReader::new(source, limits),
            FrameWriter::new(sink, limits),
        )
    }
}

/// Dials `address` and shakes hands, both within `timeout_ms`.
///
/// With an `expected` key, a listener with another one is refused.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    tls: &Tls,
    address: SocketAddr,
    expected: Option<AuthorKey>,
    timeout_ms: u64,
) -> Result<Connection, ConnectError> {
    let attempt = async {
        let stream = TcpStream::connect(address).await;
        let stream = stream.and_then(without_delay);
        let stream = stream.map_err(|source| ConnectError::Tcp { address, source })?;
        let shaken = tls.connect(stream, expected).await;
        let (stream, key) = shaken.map_err(|source| ConnectError::Handshake { address, source })?;
        Ok(Connection {
            stream,
            address,
            key,
        })
    };
    let timed = tokio::time::timeout(Duration::from_millis(timeout_ms), attempt);
    let late = |_| ConnectError::TimedOut {
        address,
        timeout_ms,
    };
    timed.await.map_err(late)?
}

fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What to do when the wanted port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFallback {
    /// Take the next free one.
    NextFree,
    /// Give up.
    Refuse,
}

/// Binds a port for TCP connections, not blocking; port 0 means any free one.
///
/// # Errors
/// See [`bind_port`].
pub fn bind_tcp(
    address: SocketAddr,
    fallback: PortFallback,
) -> Result<net::TcpListener, BindError> {
    bind_port(address, fallback, |address| {
        let listener = net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })
}

/// Binds something to `address`: at the wanted port, or at the next free one if it is taken and
/// `fallback` allows that. After 100 taken ports, or past the last, the system chooses.
///
/// # Errors
/// [`BindError::Taken`] if the port is taken and there is no fallback, [`BindError::Io`] if the
/// system refuses for another reason.
pub fn bind_port<T>(
    address: SocketAddr,
    fallback: PortFallback,
    mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
) -> Result<T, BindError> {
    let last = match fallback {
        PortFallback::NextFree => address.port().saturating_add(FALLBACK_PORTS_MAX),
        PortFallback::Refuse => address.port(),
    };
    for port in address.port()..=last {
        let candidate = SocketAddr::new(address.ip(), port);
        match bind(candidate) {
            Ok(bound) => return Ok(bound),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(BindError::Io {
                    address: candidate,
                    source,
                });
            }
        }
    }
    match fallback {
        PortFallback::Refuse => Err(BindError::Taken { address }),
        PortFallback::NextFree => {
            let address = SocketAddr::new(address.ip(), 0);
            bind(address).map_err(|source| BindError::Io { address, source })
        }
    }
}

/// Why dialling failed.
#[derive(Debug)]
pub enum ConnectError {
    /// The deadline passed.
    TimedOut {
        /// The address dialled.
        address: SocketAddr,
        /// The time it was given.
        timeout_ms: u64,
    },
    /// There is no TCP connection.
    Tcp {
        /// The address dialled.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// There is a connection, but no session.
    Handshake {
        /// The address dialled.
        address: SocketAddr,
        /// What went wrong.
        source: HandshakeError,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut {
                address,
                timeout_ms,
            } => write!(out, "no session with {address} within {timeout_ms} ms"),
            Self::Tcp { address, source } => write!(out, "cannot connect to {address}: {source}"),
            Self::Handshake { address, source } => {
                write!(out, "no session with {address}: {source}")
            }
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TimedOut { .. } => None,
            Self::Tcp { source, .. } => Some(source),
            Self::Handshake { source, .. } => Some(source),
        }
    }
}

/// Why there is nothing to listen on.
#[derive(Debug)]
pub enum BindError {
    /// Another program has the port.
    Taken {
        /// The address wanted.
        address: SocketAddr,
    },
    /// The operating system refused.
    Io {
        /// The address tried.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { address } => write!(
                out,
                "port {} is taken on {}: stop the program that uses it, choose another port (0 \
                 for any free one), or set p2p.port_fallback = true",
                address.port(),
                address.ip()
            ),
            Self::Io { address, source } => write!(
                out,
                "cannot listen on {address}: {source}; choose another host or port"
            ),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Taken { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests;
