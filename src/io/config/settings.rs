//! The typed settings: one struct per section, one field per key.
//!
//! By the time these exist every value has been checked against the table of keys, so the ranges
//! in the documentation hold and no user of a field needs to check it again.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use bitfitech_core::genesis::{Genesis, GenesisError};
use bitfitech_core::market::{Market, MarketError, MarketSpec};
use bitfitech_core::types::AuthorKey;
use serde::Deserialize;

use super::host_port::HostPort;
use crate::certificates::CertificateFiles;
use crate::transport::PortFallback;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How peers are found.
    pub mode: Mode,
    /// Directory of key, store, logs and typed commands.
    pub data_dir: PathBuf,
    /// What all nodes of the network agree on.
    pub network: NetworkSettings,
    /// The markets, 1 to 256; an operation names one by its position.
    pub markets: Vec<MarketSettings>,
    /// Sessions with peers.
    pub p2p: P2pSettings,
    /// Where the first peers come from.
    pub discovery: DiscoverySettings,
    /// Grenache.
    pub grape: GrapeSettings,
    /// When an address is left alone.
    pub breaker: BreakerSettings,
    /// What peers and API clients may send.
    pub limits: LimitSettings,
    /// Matching.
    pub exchange: ExchangeSettings,
    /// Spreading of operations.
    pub gossip: GossipSettings,
    /// Comparison of what peers have.
    pub sync: SyncSettings,
    /// The operations on disk.
    pub store: StoreSettings,
    /// The HTTP API.
    pub api: ApiSettings,
    /// Restart of actors.
    pub supervisor: SupervisorSettings,
    /// What is logged and where.
    pub log: LogSettings,
    /// Means of testing.
    pub debug: DebugSettings,
}

/// How peers are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Through the DHT of the embedded Grape too.
    Grenache,
    /// From configured addresses alone.
    P2p,
    /// Through the DHT of other Grapes.
    Legacy,
}

impl Mode {
    /// The word that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grenache => "grenache",
            Self::P2p => "p2p",
            Self::Legacy => "legacy",
        }
    }
}

/// The section `network`: all of it is part of the genesis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Name of the network.
    pub name: String,
    /// Width of a bucket of the total order, 1 to 60,000 ms.
    pub bucket_ms: u32,
    /// Silence after which an author's resting orders lapse, 1,000 to 86,400,000 ms.
    pub lease_ms: u32,
    /// Time within which both halves of a final trade must meet, 100 to 3,600,000 ms.
    pub answer_ms: u32,
    /// The only authors, each 64 hexadecimal digits; empty for everyone.
    pub allow_list: Vec<String>,
    /// Members who admit and expel others, each 64 hexadecimal digits.
    pub administrators: Vec<String>,
}

/// One market, part of the genesis. Amounts are decimals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketSettings {
    /// BASE/QUOTE.
    pub pair: String,
    /// Smallest step of a price.
    pub tick: String,
    /// Smallest step of a quantity.
    pub lot: String,
    /// Largest price of an order.
    pub max_price: String,
    /// Largest quantity of an order.
    pub max_quantity: String,
}

/// The section `p2p`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P2pSettings {
    /// Address on which peers are accepted.
    pub host: IpAddr,
    /// TCP port on which peers are accepted; 0 for any free one.
    pub port: u16,
    /// Whether the next free port is used when a port is taken. Holds for all ports.
    pub port_fallback: bool,
    /// Most sessions, 1 to 10,000.
    pub max_peers: usize,
    /// Sessions below which more peers are dialled, 0 to 10,000.
    pub target_peers: usize,
    /// How many percent of them this node dials itself, 0 to 100.
    pub outbound_percent: usize,
    /// Most sessions that came in from one IP address, 1 to 10,000.
    pub inbound_per_address: usize,
    /// Most accepted connections that have not yet proved who they are, 1 to 10,000.
    pub max_handshakes: usize,
    /// Longest wait before a peer is dialled again, 100 to 3,600,000 ms.
    pub reconnect_interval_ms: u64,
    /// Longest wait for a connection to be established, 100 to 60,000 ms.
    pub connect_timeout_ms: u64,
    /// Longest wait for a connection to prove who it is, 100 to 60,000 ms.
    pub handshake_timeout_ms: u64,
    /// Silence after which a peer is asked whether it is there, 100 to 600,000 ms.
    pub ping_interval_ms: u64,
    /// Silence after which a session is ended, 200 to 3,600,000 ms; not below the ping interval.
    pub idle_timeout_ms: u64,
    /// Most data waiting for one peer, 64 to 1,048,576 KiB; not below the largest message.
    pub outbox_kb: u32,
    /// File of the addresses of known peers; empty for one in the data directory.
    pub peer_storage_path: PathBuf,
}

/// The section `discovery`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverySettings {
    /// Peers to dial at the start.
    pub bootstrap_peers: Vec<HostPort>,
    /// Whether the well-known nodes are dialled too.
    pub well_known_nodes: bool,
    /// The well-known nodes.
    pub well_known: Vec<HostPort>,
    /// Whether peers are looked for in the local network.
    pub mdns: bool,
    /// Whether peers are looked for in the DHT.
    pub grenache: bool,
    /// Whether peers tell each other of peers.
    pub peer_exchange: bool,
    /// Whether peers known from earlier runs are dialled.
    pub persisted: bool,
}

impl P2pSettings {
    /// What to do when a port is taken.
    pub fn fallback(&self) -> PortFallback {
        if self.port_fallback {
            PortFallback::NextFree
        } else {
            PortFallback::Refuse
        }
    }
}

impl DiscoverySettings {
    /// The addresses to dial at the start, each once.
    pub fn first_peers(&self) -> BTreeSet<&HostPort> {
        let well_known = self.well_known.iter().filter(|_| self.well_known_nodes);
        self.bootstrap_peers.iter().chain(well_known).collect()
    }
}

/// The section `grape`: the embedded Grape, or the other one of mode legacy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrapeSettings {
    /// Address of the embedded Grape.
    pub host: IpAddr,
    /// UDP port of the DHT; 0 for any free one.
    pub dht_port: u16,
    /// TCP port of the HTTP API of the Grape; 0 for any free one.
    pub api_port: u16,
    /// Address of the Grenache service of this node; loopback unless it has certificates.
    pub rpc_host: IpAddr,
    /// TCP port of the Grenache service of this node; 0 for any free one.
    pub rpc_port: u16,
    /// File of the certificate that the service shows, and of the chain above it; empty without
    /// TLS. Either all three files are named or none.
    pub rpc_certificate_path: PathBuf,
    /// File of the secret key of that certificate.
    pub rpc_key_path: PathBuf,
    /// File of the authorities whose certificates clients must show.
    pub rpc_ca_path: PathBuf,
    /// Grapes through which the DHT is entered.
    pub bootstrap_nodes: Vec<HostPort>,
    /// `http://host:port` of the Grape that mode legacy uses, and of substitutes after commas.
    pub url: String,
}

/// The keys of the files of the RPC service, in the order in which they are asked for.
pub(super) const RPC_FILE_KEYS: [&str; 3] = [
    "grape.rpc_certificate_path",
    "grape.rpc_key_path",
    "grape.rpc_ca_path",
];

impl GrapeSettings {
    /// The Grapes that mode legacy uses, the first one first.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.url.split(',').map(str::trim)
    }

    /// The files of the service's TLS; `None` if it has none.
    pub fn rpc_files(&self) -> Option<CertificateFiles> {
        let files = CertificateFiles {
            certificate: self.rpc_certificate_path.clone(),
            key: self.rpc_key_path.clone(),
            ca: self.rpc_ca_path.clone(),
        };
        (!self.rpc_certificate_path.as_os_str().is_empty()).then_some(files)
    }

    /// The first key of the three files that is missing though it is needed.
    pub(super) fn missing_rpc_file(&self) -> Option<&'static str> {
        let paths = [
            &self.rpc_certificate_path,
            &self.rpc_key_path,
            &self.rpc_ca_path,
        ];
        let is_missing = |path: &PathBuf| path.as_os_str().is_empty();
        let is_wanted = !self.rpc_host.is_loopback() || !paths.into_iter().all(is_missing);
        let first = paths.into_iter().position(is_missing);
        first.filter(|_| is_wanted).map(|at| RPC_FILE_KEYS[at])
    }
}

/// The section `breaker`: the circuit of each peer address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failures in a row that open the circuit, 1 to 1,000.
    pub failure_threshold: u32,
    /// First wait of an open circuit, 100 to 3,600,000 ms.
    pub reset_timeout_ms: u64,
    /// Longest wait of an open circuit, 100 to 86,400,000 ms; not below the first.
    pub max_timeout_ms: u64,
    /// Attempts that must succeed to close it again, 1 to 100.
    pub half_open_probes: u32,
}

/// The section `limits`, per peer and per API client; the console is exempt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether the rates hold. The size of a message is bounded in any case.
    pub enabled: bool,
    /// Most orders a second, 1 to 1,000,000.
    pub orders_per_second: u32,
    /// Most orders a minute, 1 to 60,000,000; not below those of a second.
    pub orders_per_minute: u32,
    /// Most other requests a minute, 1 to 60,000,000.
    pub requests_per_minute: u32,
    /// Largest message, 16 to 65,536 KiB.
    pub max_message_kb: u32,
}

/// The section `exchange`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeSettings {
    /// Longest wait of an arrived operation before it is matched, 1 to 1,000 ms.
    pub tick_ms: u64,
    /// How long a trade must stand unchanged before it is confirmed, 0 to 3,600,000 ms.
    pub settle_ms: u64,
    /// How long an unanswered trade binds its orders, 100 to 86,400,000 ms.
    pub release_ms: u64,
    /// What is done with trades that a late order made or changed.
    pub late_policy: LatePolicy,
}

/// What is done with trades that a late order made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatePolicy {
    /// They are confirmed after twice the usual time.
    Settle,
    /// They are confirmed by hand alone.
    Refuse,
}

/// The section `gossip`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GossipSettings {
    /// How long operations wait for company, for each frame sent just before, 0 to 1,000 ms.
    pub flush_ms: u64,
}

/// The section `sync`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncSettings {
    /// Time between two comparisons with a peer, 100 to 3,600,000 ms.
    pub interval_ms: u64,
}

/// The section `store`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Most operations made durable by one commit, 1 to 100,000.
    pub batch_max: usize,
}

/// The section `api`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// Address of the HTTP API; another than a loopback one only with a token.
    pub host: IpAddr,
    /// TCP port of the HTTP API; 0 for any free one.
    pub port: u16,
    /// What callers must present; empty for nothing.
    pub token: Secret,
    /// Origins of pages of other nodes that may use this one.
    pub allowed_origins: Vec<String>,
    /// Other nodes that the page of this one shows too, by origin.
    pub page_nodes: Vec<String>,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// TCP port of `/metrics` alone; 0 for the port of the HTTP API.
    pub metrics_port: u16,
}

/// A text that is not to be seen in logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() {
            "none"
        } else {
            "(hidden)"
        })
    }
}

/// The section `supervisor`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorSettings {
    /// Restarts within the window after which a supervisor gives up, 1 to 1,000.
    pub intensity: u32,
    /// Time over which restarts are counted, 100 to 3,600,000 ms.
    pub window_ms: u64,
    /// Wait before the first restart of an actor, 1 to 60,000 ms; it doubles from there.
    pub backoff_min_ms: u64,
    /// Longest such wait, 1 to 3,600,000 ms; not below the first.
    pub backoff_max_ms: u64,
    /// Time without a crash after which the wait starts small again, 100 to 3,600,000 ms.
    pub stable_after_ms: u64,
    /// Time between two liveness probes of an actor, 100 to 3,600,000 ms.
    pub probe_interval_ms: u64,
    /// Longest wait for an actor to end in order, 100 to 600,000 ms.
    pub shutdown_timeout_ms: u64,
}

/// The section `log`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// The level of every target without one of its own.
    pub level: LogLevel,
    /// Levels of single targets; of two for one target the later holds.
    pub targets: Vec<TargetLevel>,
    /// Form of a line.
    pub format: LogFormat,
    /// Directory of the files; empty for `logs` in the data directory
    /// (see [`Settings::log_dir`]).
    pub dir: PathBuf,
    /// Size at which a new file begins, 1 to 10,240 MiB.
    pub max_size_mb: u64,
    /// Most files, 1 to 1,000, the newest included.
    pub max_files: usize,
}

/// The section `debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugSettings {
    /// Whether the command `crash` works.
    pub drills: bool,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed and needs attention.
    Error,
    /// What went wrong and was dealt with.
    Warn,
    /// The story of the node: starts, peers, restarts.
    Info,
    /// Every step of discovery, routing and matching.
    Debug,
    /// Every message.
    Trace,
}

/// The text is no log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevelError;

impl fmt::Display for LogLevelError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a log level is off, error, warn, info, debug or trace")
    }
}

impl std::error::Error for LogLevelError {}

impl LogLevel {
    /// Every level, quietest first.
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The word that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text);
        level.ok_or(LogLevelError)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The level of one target, written `target=level`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TargetLevel {
    /// Name of the target: that of an actor, such as `matcher`.
    pub target: String,
    /// Its level.
    pub level: LogLevel,
}

impl FromStr for TargetLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let (target, level) = text.split_once('=').ok_or(LogLevelError)?;
        if !is_target(target) {
            return Err(LogLevelError);
        }
        Ok(Self {
            target: target.to_owned(),
            level: level.parse()?,
        })
    }
}

impl TryFrom<String> for TargetLevel {
    type Error = LogLevelError;

    fn try_from(text: String) -> Result<Self, LogLevelError> {
        text.parse()
    }
}

/// Whether a text can name a target: 1 to 64 of letters, digits, `_`, `-` and `:`.
pub(crate) fn is_target(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
}

/// Why the settings make no genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// A market cannot be.
    Market {
        /// Its position.
        position: usize,
        /// What is wrong with it.
        error: MarketError,
    },
    /// The rest of the genesis cannot be.
    Genesis(GenesisError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market { position, error } => write!(out, "markets.{position}: {error}"),
            Self::Genesis(error) => write!(out, "{error}"),
        }
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// What this node agrees on with every node of its network.
    ///
    /// # Errors
    /// Never for settings that were loaded, for loading checks this.
    pub fn genesis(&self) -> Result<Genesis, SettingsError> {
        let markets = self.markets.iter().enumerate().map(|(position, market)| {
            Market::new(&market.spec()).map_err(|error| SettingsError::Market { position, error })
        });
        let keys = |texts: &[String]| {
            let keys = texts.iter().filter_map(|key| AuthorKey::from_hex(key));
            keys.collect()
        };
        Genesis {
            network: self.network.name.clone(),
            markets: markets.collect::<Result<_, _>>()?,
            bucket_ms: self.network.bucket_ms,
            lease_ms: self.network.lease_ms,
            answer_ms: self.network.answer_ms,
            allow_list: keys(&self.network.allow_list),
            administrators: keys(&self.network.administrators),
        }
        .checked()
        .map_err(SettingsError::Genesis)
    }

    /// Where the addresses of known peers are kept.
    pub fn peer_file(&self) -> PathBuf {
        if self.p2p.peer_storage_path.as_os_str().is_empty() {
            self.data_dir.join("peers.json")
        } else {
            self.p2p.peer_storage_path.clone()
        }
    }

    /// Where the log files are.
    pub fn log_dir(&self) -> PathBuf {
        if self.log.dir.as_os_str().is_empty() {
            self.data_dir.join("logs")
        } else {
            self.log.dir.clone()
        }
    }
}

impl MarketSettings {
    fn spec(&self) -> MarketSpec<'_> {
        MarketSpec {
            pair: &self.pair,
            tick: &self.tick,
            lot: &self.lot,
            max_price: &self.max_price,
            max_quantity: &self.max_quantity,
        }
    }
}
