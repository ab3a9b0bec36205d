//! How much a client may ask: token buckets for each address.
//!
//! A client is an IP address, of IPv6 the first 64 bits, for who has one address of these has them
//! all. The rates are those of `limits`, as for peers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use bitfitech_core::rate_limit::{Rate, TokenBucket};
use bitfitech_io::config::LimitSettings;

use super::problem::Problem;

/// Most clients that are remembered. When one more comes, those whose buckets have been full for
/// a while are forgotten, and if there are none, all are: a guess at more than ever ask at once.
const CLIENTS_MAX: usize = 4_096;

/// After this silence every bucket is full again, in milliseconds.
const FULL_AGAIN_MS: u64 = 60_000;

/// What a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It writes an operation.
    Order,
    /// It asks.
    Request,
}

#[derive(Clone, Copy, Debug)]
struct Buckets {
    second: TokenBucket,
    minute: TokenBucket,
    requests: TokenBucket,
    at_ms: u64,
}

/// The buckets of all clients.
#[derive(Debug)]
pub(super) struct ClientLimits {
    settings: LimitSettings,
    clients: Mutex<BTreeMap<IpAddr, Buckets>>,
}

impl ClientLimits {
    /// All buckets are full.
    pub(super) fn new(settings: &LimitSettings) -> Self {
        Self {
            settings: settings.clone(),
            clients: Mutex::default(),
        }
    }

    /// Takes what a request costs, or says how long to wait.
    pub(super) fn admit(
        &self,
        client: Option<IpAddr>,
        weight: Weight,
        now_ms: u64,
    ) -> Result<(), Problem> {
        if !self.settings.enabled {
            return Ok(());
        }
        // A connection whose address is not known any more shares a bucket with its like.
        let client = prefix(client.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, buckets| buckets.at_ms.saturating_add(FULL_AGAIN_MS) > now_ms);
            if clients.len() >= CLIENTS_MAX {
                clients.clear();
            }
        }
        let fresh = || self.full(now_ms);
        clients
            .entry(client)
            .or_insert_with(fresh)
            .take(weight, now_ms)
    }

    fn full(&self, now_ms: u64) -> Buckets {
        let bucket = |tokens: u32, interval_ms| {
            let tokens = u64::from(tokens);
            let rate = Rate {
                tokens,
                interval_ms,
                burst: tokens,
            };
            TokenBucket::new(now_ms, rate)
        };
        Buckets {
            second: bucket(self.settings.orders_per_second, 1_000),
            minute: bucket(self.settings.orders_per_minute, 60_000),
            requests: bucket(self.settings.requests_per_minute, 60_000),
            at_ms: now_ms,
        }
    }
}

impl Buckets {
    fn take(&mut self, weight: Weight, now_ms: u64) -> Result<(), Problem> {
        // Who is refused owes nothing, so the buckets change only if there is enough in all.
        let mut left = *self;
        left.at_ms = now_ms;
        let (wait_ms, key) = match weight {
            Weight::Request => (
                left.requests.charge(now_ms, 1),
                "limits.requests_per_minute",
            ),
            Weight::Order => {
                let second_ms = left.second.charge(now_ms, 1);
                let minute_ms = left.minute.charge(now_ms, 1);
                if minute_ms > second_ms {
                    (minute_ms, "limits.orders_per_minute")
                } else {
                    (second_ms, "limits.orders_per_second")
                }
            }
        };
        if wait_ms > 0 {
            return Err(Problem::too_many(wait_ms, key));
        }
        *self = left;
        Ok(())
    }
}

fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ClientLimits {
        ClientLimits::new(&LimitSettings {
            enabled: true,
            orders_per_second: 2,
            orders_per_minute: 3,
            requests_per_minute: 2,
            max_message_kb: 1_024,
        })
    }

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn each_client_has_his_own_rate() {
        let limits = limits();
        let ask = |who, now_ms| limits.admit(address(who), Weight::Request, now_ms).is_ok();
        assert!(ask("127.0.0.1", 0) && ask("127.0.0.1", 0));
        assert!(!ask("127.0.0.1", 0) && !ask("127.0.0.1", 29_999));
        assert!(ask("127.0.0.1", 30_000), "refusals cost nothing");
        assert!(ask("127.0.0.2", 0));
        assert!(ask("2001:db8::1", 0) && ask("2001:db8::2", 0) && !ask("2001:db8::3", 0));
    }

    #[test]
    fn orders_have_a_rate_for_the_second_and_one_for_the_minute() {
        let limits = limits();
        let place = |now_ms| limits.admit(address("127.0.0.1"), Weight::Order, now_ms);
        assert!(place(0).is_ok() && place(0).is_ok());
        assert!(place(0).is_err());
        assert!(place(1_000).is_ok());
        assert!(place(2_000).is_err(), "three a minute");
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let limits = limits();
        for number in 0..=CLIENTS_MAX {
            let number = u32::try_from(number).expect("small");
            let who = Some(IpAddr::V4(number.into()));
            limits
                .admit(who, Weight::Request, 0)
                .expect("a first request");
        }
        let count = limits.clients.lock().expect("not poisoned").len();
        assert!(count <= CLIENTS_MAX, "{count}");
    }
}
