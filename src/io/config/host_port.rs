//! Addresses as people write them: a name or an IP address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Longest host name (RFC 1035, section 2.3.4, without the trailing dot).
const HOST_BYTES_MAX: usize = 253;

/// Where a peer may be dialled: `host:port`, an IPv6 address in brackets.
///
/// The host is a name or an address; a name is resolved when it is dialled, each time anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// The text is no `host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPortError;

impl fmt::Display for HostPortError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "must be host:port such as 192.0.2.1:3000, [2001:db8::1]:3000 or node.example:3000"
        )
    }
}

impl std::error::Error for HostPortError {}

impl HostPort {
    /// The name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = port.parse().map_err(|_| HostPortError)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner
                .parse::<Ipv6Addr>()
                .map_err(|_| HostPortError)?
                .to_string(),
            None if is_host(host) => host.to_ascii_lowercase(),
            None => return Err(HostPortError),
        };
        if !digits || port == 0 {
            return Err(HostPortError);
        }
        Ok(Self { host, port })
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, HostPortError> {
        text.parse()
    }
}

/// Whether this is an IPv4 address or a host name.
///
/// A name whose last label is all digits is taken for a mistyped IPv4 address (RFC 3696, section 2:
/// no top-level domain is all digits).
fn is_host(host: &str) -> bool {
    if matches!(host.parse(), Ok(IpAddr::V4(_))) {
        return true;
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_printed_as_it_is_dialled() {
        for (text, host, printed) in [
            ("192.0.2.1:3000", "192.0.2.1", "192.0.2.1:3000"),
            (
                "Node-1.Example:65535",
                "node-1.example",
                "node-1.example:65535",
            ),
            ("localhost:1", "localhost", "localhost:1"),
            ("[::1]:3000", "::1", "[::1]:3000"),
        ] {
            let parsed: HostPort = text.parse().expect(text);
            assert_eq!(
                (parsed.host(), parsed.to_string().as_str()),
                (host, printed)
            );
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for text in [
            "",
            ":",
            "host",
            "host:",
            ":3000",
            "host:0",
            "host:65536",
            "host:+1",
            "host: 1",
            "::1:3000",
            "[::1]",
            "[1.2.3.4]:1",
            "a b:1",
            "-a:1",
            "a..b:1",
            "256.0.0.1:1",
            "1.2.3:1",
            "http://a:1",
            "a/b:1",
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
        }
    }
}
