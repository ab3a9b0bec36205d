//! Addresses of nodes: an IP address and a port, and what they tell about who can reach them.
//!
//! Names appear in the configuration only; they are resolved before anything here sees them. An
//! address has one form: an IPv4 address inside an IPv6 one is the IPv4 address, and flow labels
//! and scopes are gone. So two nodes that mean the same place say the same bytes.
//!
//! [`Reach`] is what makes peer exchange safe to use: a stranger on the internet has no business
//! with addresses of a home network, neither to learn them nor to make a node dial them. And
//! [`Neighbourhood`] makes it hard to take over: whoever owns one network owns thousands of its
//! addresses, but they are one neighbourhood.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Where a node takes connections. The port is not 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress(SocketAddr);

impl PeerAddress {
    /// The one form of an address; `None` for port 0, where nobody can be reached.
    pub fn new(address: SocketAddr) -> Option<Self> {
        let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
        (address.port() != 0).then_some(Self(canonical))
    }

    /// The address for a socket.
    pub fn socket(self) -> SocketAddr {
        self.0
    }

    /// Who can reach it.
    pub fn reach(self) -> Reach {
        Reach::of(self.0.ip())
    }

    /// Whose neighbour it is.
    pub fn neighbourhood(self) -> Neighbourhood {
        Neighbourhood::of(self.0.ip())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.parse().map_err(|_| AddressError)?;
        Self::new(address).ok_or(AddressError)
    }
}

/// The text is no IP address with a port other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "not an IP address and a port, such as 192.0.2.1:3000")
    }
}

impl core::error::Error for AddressError {}

impl fmt::Display for PeerAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// On the wire: a byte string of the IP address (4 or 16 bytes) and the port (big endian).
impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, encoder: S) -> Result<S::Ok, S::Error> {
        let port = self.0.port().to_be_bytes();
        match self.0.ip() {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 6];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes[4..].copy_from_slice(&port);
                encoder.serialize_bytes(&bytes)
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; 18];
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&port);
                encoder.serialize_bytes(&bytes)
            }
        }
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        decoder.deserialize_bytes(AddressVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = PeerAddress;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "4 or 16 bytes of an IP address and 2 of a port")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<PeerAddress, E> {
        let wrong = || E::invalid_length(bytes.len(), &self);
        let (ip, port) = bytes.split_last_chunk::<2>().ok_or_else(wrong)?;
        let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
            IpAddr::from(octets)
        } else {
            IpAddr::from(<[u8; 16]>::try_from(ip).map_err(|_| wrong())?)
        };
        let claimed = SocketAddr::new(ip, u16::from_be_bytes(*port));
        match PeerAddress::new(claimed) {
            Some(address) if address.0 == claimed => Ok(address),
            Some(_) => Err(E::custom("an IPv4 address has 4 bytes")),
            None => Err(E::custom("no node is at port 0")),
        }
    }
}

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Programs of the same machine.
    Loopback,
    /// Machines of the same network: RFC 1918, RFC 4193, RFC 6598, RFC 3927.
    Private,
    /// Everyone.
    Public,
    /// Nobody: multicast, documentation, addresses that need a scope, and what is not assigned.
    Nobody,
}

impl Reach {
    /// Who can reach this address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    /// From the registry of special addresses (RFC 6890 and its updates).
    fn of_v4(ip: Ipv4Addr) -> Self {
        let [first, second, third, _] = ip.octets();
        match (first, second, third) {
            (127, ..) => Self::Loopback,
            (100, 64..=127, _) => Self::Private,
            _ if ip.is_private() || ip.is_link_local() => Self::Private,
            (0 | 224..=255, ..) | (192, 0, 0) | (198, 18..=19, _) => Self::Nobody,
            _ if ip.is_documentation() => Self::Nobody,
            _ => Self::Public,
        }
    }

    /// From the same registry. Addresses that carry an IPv4 address (6to4, Teredo) count as
    /// nobody's: what they carry could be private.
    fn of_v6(ip: Ipv6Addr) -> Self {
        let segments = ip.segments();
        match (segments[0], segments[1]) {
            _ if ip.is_loopback() => Self::Loopback,
            (0xfc00..=0xfdff, _) => Self::Private,
            (0x2001, 0x0000..=0x01ff | 0x0db8) | (0x2002, _) => Self::Nobody,
            (0x2000..=0x3fff, _) => Self::Public,
            _ => Self::Nobody,
        }
    }

    /// Whether an address of this reach may be told to a peer, or believed of one, who is himself
    /// at an address of reach `peer`: who is on this machine or in this network can use it too.
    pub fn concerns(self, peer: Self) -> bool {
        match self {
            Self::Public => true,
            Self::Private => matches!(peer, Self::Private | Self::Loopback),
            Self::Loopback => peer == Self::Loopback,
            Self::Nobody => false,
        }
    }
}

/// Addresses that belong to one owner, as far as that can be told: a /16 of IPv4, a /32 of IPv6.
/// What Bitcoin calls a network group. All of a machine's loopback addresses are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Neighbourhood {
    /// The first two bytes of IPv4 addresses.
    V4([u8; 2]),
    /// The first two groups of IPv6 addresses.
    V6([u16; 2]),
}

impl Neighbourhood {
    /// That of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [first, second, ..] = ip.octets();
                Self::V4([first, second])
            }
            IpAddr::V6(ip) => {
                let [first, second, ..] = ip.segments();
                Self::V6([first, second])
            }
        }
    }
}

/// Reads where a peer says that it takes connections, if that is at the address from which it
/// speaks. Other claims are not believed: they would send everybody to a victim.
pub fn claimed_listen(listen: &str, remote: IpAddr) -> Option<PeerAddress> {
    let claimed: SocketAddr = listen.parse().ok()?;
    let (ip, remote) = (claimed.ip().to_canonical(), remote.to_canonical());
    let is_own = ip.is_unspecified() || ip == remote;
    is_own
        .then(|| PeerAddress::new(SocketAddr::new(remote, claimed.port())))
        .flatten()
}

impl From<PeerAddress> for String {
    fn from(address: PeerAddress) -> Self {
        alloc::format!("{address}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The address that this text is.
    pub(crate) fn address(text: &str) -> PeerAddress {
        text.parse().expect("an address")
    }

    /// Any address that can be written.
    pub(crate) fn any_address() -> impl Strategy<Value = PeerAddress> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from)
        ];
        (ip, 1..=u16::MAX).prop_map(|(ip, port)| {
            PeerAddress::new(SocketAddr::new(ip, port)).expect("a port other than 0")
        })
    }

    #[test]
    fn every_kind_of_address_has_its_reach() {
        let cases = [
            (Reach::Loopback, "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1"),
            (
                Reach::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 169.254.3.4 fd00::1 \
                 ::ffff:10.0.0.1",
            ),
            (
                Reach::Public,
                "8.8.8.8 172.32.0.1 100.128.0.1 2a00:1450::1 2001:4860:4860::8888 192.0.3.1",
            ),
            (
                Reach::Nobody,
                "0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.0.2.1 \
                 198.51.100.1 203.0.113.1 198.18.0.1 192.0.0.1 :: fe80::1 ff02::1 2001:db8::1 \
                 2002:a00:1::1 2001:0:4136::1 64:ff9b::a00:1",
            ),
        ];
        for (expected, texts) in cases {
            for text in texts.split_whitespace() {
                let ip: IpAddr = text.parse().expect("an address");
                assert_eq!(Reach::of(ip), expected, "{text}");
            }
        }
    }

    #[test]
    fn an_address_concerns_those_who_can_reach_it() {
        use Reach::{Loopback, Nobody, Private, Public};
        let all = [Loopback, Private, Public, Nobody];
        let told = |subject: Reach| -> Vec<Reach> {
            all.into_iter().filter(|to| subject.concerns(*to)).collect()
        };
        assert_eq!(told(Public), all);
        assert_eq!(told(Private), [Loopback, Private]);
        assert_eq!(told(Loopback), [Loopback]);
        assert_eq!(told(Nobody), []);
    }

    #[test]
    fn an_address_has_one_form() {
        assert_eq!(
            address("[::ffff:1.2.3.4]:5"),
            address("1.2.3.4:5"),
            "IPv4 inside IPv6"
        );
        assert_eq!(address("[2a00::1]:5").to_string(), "[2a00::1]:5");
        let refused: [&str; 4] = ["1.2.3.4:0", "1.2.3.4", "node.example:3000", ""];
        assert!(refused.iter().all(|it| it.parse::<PeerAddress>().is_err()));
    }

    #[test]
    fn a_claim_to_listen_at_the_address_of_another_is_not_believed() {
        let remote: IpAddr = [192, 0, 2, 1].into();
        let claimed = |listen: &str| claimed_listen(listen, remote).map(String::from);
        assert_eq!(claimed("0.0.0.0:3000").as_deref(), Some("192.0.2.1:3000"));
        assert_eq!(claimed("[::]:3000").as_deref(), Some("192.0.2.1:3000"));
        assert_eq!(claimed("192.0.2.1:3001").as_deref(), Some("192.0.2.1:3001"));
        assert_eq!(claimed("192.0.2.9:3000"), None);
        assert_eq!(claimed("192.0.2.1:0"), None);
        assert_eq!(claimed("bootstrap.example:3000"), None);
    }

    #[test]
    fn neighbours_share_a_network() {
        let of = |text: &str| address(text).neighbourhood();
        assert_eq!(of("1.2.3.4:1"), of("1.2.250.250:9"));
        assert_ne!(of("1.2.3.4:1"), of("1.3.3.4:1"));
        assert_eq!(of("[2a00:1450:1::1]:1"), of("[2a00:1450:ffff::1]:1"));
        assert_ne!(of("[2a00:1450::1]:1"), of("[2a00:1451::1]:1"));
    }

    #[test]
    fn another_form_on_the_wire_is_refused() {
        let decode = |bytes: &[u8]| {
            let mut encoded = alloc::vec![0xc4, u8::try_from(bytes.len()).expect("short")];
            encoded.extend(bytes);
            rmp_serde::from_slice::<PeerAddress>(&encoded)
        };
        assert_eq!(decode(&[1, 2, 3, 4, 0, 5]).ok(), Some(address("1.2.3.4:5")));
        assert!(decode(&[1, 2, 3, 4, 0, 0]).is_err(), "port 0");
        assert!(decode(&[1, 2, 3, 4, 5]).is_err(), "too short");
        assert!(decode(&[]).is_err());
        let mut mapped = [0; 18];
        mapped[10..12].fill(0xff);
        mapped[12..].copy_from_slice(&[1, 2, 3, 4, 0, 5]);
        assert!(decode(&mapped).is_err(), "IPv4 in 16 bytes");
    }

    proptest! {
        #[test]
        fn addresses_survive_wire_and_text(any in any_address()) {
            let bytes = rmp_serde::to_vec(&any).expect("encodes");
            prop_assert_eq!(rmp_serde::from_slice::<PeerAddress>(&bytes).expect("decodes"), any);
            prop_assert_eq!(any.to_string().parse::<PeerAddress>(), Ok(any));
        }
    }
}
