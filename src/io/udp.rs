//! The UDP socket of the DHT.
//!
//! Datagrams may get lost anywhere, so nothing here waits: what the system does not take at once is
//! dropped, and whoever needs an answer asks again. The receive buffer holds the longest datagram
//! there is, since other programs put whole routing tables into one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use crate::transport::{BindError, PortFallback, bind_port};

/// The longest datagram of UDP over IPv4, rounded up.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Binds a socket; port 0 means any free one.
///
/// # Errors
/// See [`bind_port`].
pub fn bind_udp(host: Ipv4Addr, port: u16, fallback: PortFallback) -> Result<UdpSocket, BindError> {
    bind_port(SocketAddr::from((host, port)), fallback, |address| {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
}

/// A bound socket within a tokio runtime.
#[derive(Debug)]
pub struct DatagramSocket {
    receiver: tokio::net::UdpSocket,
    /// The same socket. Tokio would not send before it has once seen the socket ready.
    sender: UdpSocket,
    buffer: Box<[u8]>,
}

impl DatagramSocket {
    /// Uses a copy of a bound socket, so that the port outlives whoever uses it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(bound: &UdpSocket) -> io::Result<Self> {
        Ok(Self {
            receiver: tokio::net::UdpSocket::from_std(bound.try_clone()?)?,
            sender: bound.try_clone()?,
            buffer: vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice(),
        })
    }

    /// The next datagram and where it comes from. Errors are those of earlier datagrams that did
    /// not get through, which is their fate.
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<(SocketAddrV4, &[u8])> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        loop {
            match self.receiver.poll_recv_from(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(SocketAddr::V4(from))) => {
                    let length = buffer.filled().len();
                    return Poll::Ready((from, &self.buffer[..length]));
                }
                Poll::Ready(Ok(SocketAddr::V6(_)) | Err(_)) => buffer.clear(),
            }
        }
    }

    /// Sends a datagram, or drops it if the system does not take it at once.
    pub fn send(&self, to: SocketAddrV4, datagram: &[u8]) {
        if let Err(error) = self.sender.send_to(datagram, to) {
            tracing::trace!(target: "dht", "a datagram to {to} is lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_long_datagram_arrives_whole_and_nobody_waits_for_a_dead_address() {
        let bind = || bind_udp(Ipv4Addr::LOCALHOST, 0, PortFallback::Refuse).expect("bound");
        let (one, two) = (bind(), bind());
        let address = |socket: &UdpSocket| match socket.local_addr().expect("bound") {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => panic!("bound to IPv4"),
        };
        let sender = DatagramSocket::new(&one).expect("a socket");
        let mut receiver = DatagramSocket::new(&two).expect("a socket");
        sender.send(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), b"lost");
        let long = vec![7; 40_000];
        sender.send(address(&two), &long);
        let (from, datagram) = poll_fn(|context| match receiver.poll_receive(context) {
            Poll::Ready((from, datagram)) => Poll::Ready((from, datagram.to_vec())),
            Poll::Pending => Poll::Pending,
        })
        .await;
        assert_eq!(from, address(&one));
        assert_eq!(datagram, long);
    }

    #[test]
    fn a_taken_port_is_refused_or_the_next_is_used() {
        let taken = bind_udp(Ipv4Addr::LOCALHOST, 0, PortFallback::Refuse).expect("bound");
        let port = taken.local_addr().expect("bound").port();
        let refused = bind_udp(Ipv4Addr::LOCALHOST, port, PortFallback::Refuse);
        assert!(
            matches!(refused, Err(BindError::Taken { .. })),
            "{refused:?}"
        );
        let next = bind_udp(Ipv4Addr::LOCALHOST, port, PortFallback::NextFree).expect("bound");
        assert_ne!(next.local_addr().expect("bound").port(), port);
    }
}
