//! Finding nodes in the local network by multicast DNS (RFC 6762, RFC 6763).
//!
//! A node announces a service whose type carries the network, and asks for services of the same
//! type; so nodes of different networks do not even see each other. What is announced is an
//! address and a port, and nothing of it is believed beyond that: the handshake says who is there.
//!
//! The service type is `_bft-` and 8 hexadecimal digits of the genesis, for a service name has at
//! most 15 characters (RFC 6335). Networks whose digits coincide would meet and refuse each other.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bitfitech_core::address::{PeerAddress, Reach};
use bitfitech_core::types::{AuthorKey, Digest};
use mdns_sd::{IfKind, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

/// Digits of the node's key in the name of its service: a label has at most 63 characters.
const NAME_DIGITS: usize = 32;

/// Most addresses that one answer may name; a machine has fewer.
const ADDRESSES_MAX: usize = 16;

/// What a node announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The digest of the genesis.
    pub network: Digest,
    /// The node.
    pub node: AuthorKey,
    /// Where it takes connections; on an unspecified IP address, at all of the machine.
    pub listen: SocketAddr,
}

/// The presence of a node in the local network; it ends when this is dropped.
pub struct Mdns {
    daemon: ServiceDaemon,
    name: String,
}

/// What others announce.
pub struct Announced {
    events: Receiver<ServiceEvent>,
    own_name: Arc<str>,
}

impl Mdns {
    /// Announces the node and looks for others. It runs on a thread of its own.
    ///
    /// # Errors
    /// Why there is no multicast.
    pub fn start(announcement: &Announcement) -> Result<(Self, Announced), MdnsError> {
        let daemon = ServiceDaemon::new()?;
        let kind = service_type(announcement.network);
        let mut instance = announcement.node.to_hex();
        instance.truncate(NAME_DIGITS);
        let host = format!("{instance}.local.");
        let (ip, port) = (announcement.listen.ip(), announcement.listen.port());
        let no_properties: &[(&str, &str)] = &[];
        let service = if ip.is_unspecified() {
            ServiceInfo::new(&kind, &instance, &host, "", port, no_properties)?.enable_addr_auto()
        } else {
            ServiceInfo::new(&kind, &instance, &host, ip, port, no_properties)?
        };
        if ip.is_loopback() {
            // Nobody else could do anything with such an address.
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        } else if ip.is_ipv4() {
            // Who listens on IPv4 alone is not reached on IPv6.
            daemon.disable_interface(IfKind::IPv6)?;
        }
        let name = service.get_fullname().to_string();
        daemon.register(service)?;
        let events = daemon.browse(&kind)?;
        let own_name = Arc::from(name.as_str());
        Ok((Self { daemon, name }, Announced { events, own_name }))
    }
}

impl Drop for Mdns {
    /// Tells the others, as far as that is possible without waiting.
    fn drop(&mut self) {
        drop(self.daemon.unregister(&self.name));
        drop(self.daemon.shutdown());
    }
}

impl Announced {
    /// The addresses of the next node that announced itself; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Vec<PeerAddress>> {
        loop {
            let ServiceEvent::ServiceResolved(service) = self.events.recv_async().await.ok()?
            else {
                continue;
            };
            if service.fullname == *self.own_name {
                continue;
            }
            let addresses = service.addresses.iter().map(|scoped| scoped.to_ip_addr());
            let usable = usable(addresses, service.port);
            if !usable.is_empty() {
                return Some(usable);
            }
        }
    }
}

/// The addresses that can be dialled, in an order of their own.
fn usable(addresses: impl Iterator<Item = IpAddr>, port: u16) -> Vec<PeerAddress> {
    let places = addresses.filter_map(|ip| PeerAddress::new(SocketAddr::new(ip, port)));
    let mut places: Vec<PeerAddress> = places.filter(|at| at.reach() != Reach::Nobody).collect();
    places.sort_unstable();
    places.dedup();
    // Who has a network is reached there; who has none, by the programs of his machine.
    if places.iter().any(|at| at.reach() != Reach::Loopback) {
        places.retain(|at| at.reach() != Reach::Loopback);
    }
    places.truncate(ADDRESSES_MAX);
    places
}

fn service_type(network: Digest) -> String {
    format!("_bft-{}._tcp.local.", network.short())
}

/// Why the local network cannot be asked.
#[derive(Debug)]
pub struct MdnsError(mdns_sd::Error);

impl From<mdns_sd::Error> for MdnsError {
    fn from(error: mdns_sd::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for MdnsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "no multicast in the local network: {}", self.0)
    }
}

impl std::error::Error for MdnsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_the_service_carries_the_network_and_fits() {
        let of = |byte| service_type(Digest([byte; 32]));
        assert_eq!(of(0xab), "_bft-abababab._tcp.local.");
        assert_ne!(of(1), of(2));
        let name = of(1);
        let name = name.strip_prefix('_').and_then(|it| it.split('.').next());
        assert!(name.is_some_and(|it| it.len() <= 15), "RFC 6335");
    }

    #[test]
    fn only_what_can_be_dialled_is_taken() {
        let announced = [
            "fe80::1",
            "10.0.0.2",
            "127.0.0.1",
            "::ffff:10.0.0.2",
            "0.0.0.0",
            "8.8.8.8",
        ];
        let ips = announced.map(|text| text.parse().expect("an address"));
        let texts = |port| -> Vec<String> {
            let usable = usable(ips.into_iter(), port).into_iter();
            usable.map(|it| it.to_string()).collect()
        };
        assert_eq!(texts(3000), ["8.8.8.8:3000", "10.0.0.2:3000"]);
        assert_eq!(texts(0), [""; 0]);
        let alone = usable([IpAddr::from([127, 0, 0, 1])].into_iter(), 1);
        assert_eq!(alone.len(), 1);
        let many = (0..100).map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!(usable(many, 1).len(), ADDRESSES_MAX);
    }
}
