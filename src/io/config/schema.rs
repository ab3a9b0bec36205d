//! The one table of all keys: name, kind, default, well-known variable, explanation.
//!
//! Everything that speaks of keys is made from it: reading and checking, the nearest known key in
//! errors, `config show`, the `config.toml` in the repository and the list of variables in the
//! help. To add a key, add a row here and a field in `settings`; tests hold the two together.

use super::value::{Item, Kind};

/// Prefix of the variables that every key has besides its well-known one.
pub(super) const VARIABLE_PREFIX: &str = "BITFITECH__";

/// Who must agree on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A matter of this node alone.
    Node,
    /// Part of the genesis: nodes that differ in it refuse each other.
    Genesis,
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// `section.key`; for a key of a market only the part after `markets.N.`.
    pub(super) name: &'static str,
    /// What values it takes.
    pub(super) kind: Kind,
    /// The built-in default, written as on the command line.
    pub(super) default: &'static str,
    /// Its well-known environment variable.
    pub(super) variable: Option<&'static str>,
    /// Who must agree on it.
    pub(super) scope: Scope,
    /// What it does, in one line.
    pub(super) about: &'static str,
}

impl Key {
    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn genesis(mut self) -> Self {
        self.scope = Scope::Genesis;
        self
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        variable: None,
        scope: Scope::Node,
        about,
    }
}

/// A duration within a range, in milliseconds.
const fn milliseconds(min: i64, max: i64) -> Kind {
    Kind::Integer {
        min,
        max,
        unit: "ms",
    }
}

/// A plain count within a range.
const fn count(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, unit: "" }
}

/// A size within a range, in KiB.
const fn kibibytes(min: i64, max: i64) -> Kind {
    Kind::Integer {
        min,
        max,
        unit: "KiB",
    }
}

/// A size within a range, in MiB.
const fn mebibytes(min: i64, max: i64) -> Kind {
    Kind::Integer {
        min,
        max,
        unit: "MiB",
    }
}

/// The log levels, quietest first.
pub(super) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// All keys but those of the markets, in the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    key(
        "mode",
        Kind::Choice(&["grenache", "p2p", "legacy"]),
        "p2p",
        "How peers are found; this version has only p2p",
    ),
    key(
        "data_dir",
        Kind::Directory,
        "data",
        "Directory of key, store and logs, relative to the working directory",
    ),
    key(
        "network.name",
        Kind::Text,
        "main",
        "Name of the network, 1 to 32 of a-z 0-9 - _ .",
    )
    .genesis(),
    key(
        "network.bucket_ms",
        milliseconds(1, 60_000),
        "50",
        "Width of a bucket of the total order",
    )
    .genesis(),
    key(
        "network.lease_ms",
        milliseconds(1_000, 86_400_000),
        "90000",
        "Silence of an author after which his resting orders lapse",
    )
    .genesis(),
    key(
        "network.answer_ms",
        milliseconds(100, 3_600_000),
        "15000",
        "Time within which the two halves of a final trade must meet",
    )
    .genesis(),
    key(
        "network.allow_list",
        Kind::List(Item::Author),
        "",
        "Keys of the only authors that may trade; empty: everyone",
    )
    .genesis(),
    key(
        "p2p.host",
        Kind::Address,
        "0.0.0.0",
        "Address on which peers are accepted",
    )
    .variable("P2P_HOST"),
    key(
        "p2p.port",
        count(0, 65_535),
        "3000",
        "TCP port for peers; 0: any free one",
    )
    .variable("P2P_PORT"),
    key(
        "p2p.port_fallback",
        Kind::Boolean,
        "true",
        "Whether the next free port is used when the port is taken (holds for all ports)",
    ),
    key(
        "p2p.max_peers",
        count(1, 10_000),
        "50",
        "Most sessions with peers",
    )
    .variable("MAX_PEERS"),
    key(
        "p2p.max_handshakes",
        count(1, 10_000),
        "64",
        "Most accepted connections that have not yet proved who they are",
    ),
    key(
        "p2p.reconnect_interval_ms",
        milliseconds(100, 3_600_000),
        "30000",
        "Longest wait before a peer is dialled again, first 100 ms",
    )
    .variable("PEER_RECONNECT_INTERVAL"),
    key(
        "p2p.connect_timeout_ms",
        milliseconds(100, 60_000),
        "5000",
        "Longest wait for a connection to be established",
    ),
    key(
        "p2p.handshake_timeout_ms",
        milliseconds(100, 60_000),
        "5000",
        "Longest wait for a connection to prove who it is",
    ),
    key(
        "p2p.ping_interval_ms",
        milliseconds(100, 600_000),
        "5000",
        "Silence after which a peer is asked whether it is still there",
    ),
    key(
        "p2p.idle_timeout_ms",
        milliseconds(200, 3_600_000),
        "20000",
        "Silence after which a session is ended; not below ping_interval_ms",
    ),
    key(
        "p2p.outbox_kb",
        kibibytes(64, 1_048_576),
        "8192",
        "Most data waiting for one slow peer; not below limits.max_message_kb",
    ),
    key(
        "discovery.bootstrap_peers",
        Kind::List(Item::Peer),
        "",
        "Peers to dial at the start, each host:port",
    )
    .variable("BOOTSTRAP_PEERS"),
    key(
        "breaker.failure_threshold",
        count(1, 1_000),
        "3",
        "Failures in a row that open a circuit",
    )
    .variable("CIRCUIT_BREAKER_FAILURE_THRESHOLD"),
    key(
        "breaker.reset_timeout_ms",
        milliseconds(100, 3_600_000),
        "30000",
        "First wait of an open circuit; doubles",
    )
    .variable("CIRCUIT_BREAKER_RESET_TIMEOUT_MS"),
    key(
        "breaker.max_timeout_ms",
        milliseconds(100, 86_400_000),
        "300000",
        "Longest wait of an open circuit; not below reset_timeout_ms",
    ),
    key(
        "breaker.half_open_probes",
        count(1, 100),
        "1",
        "Attempts that must succeed to close a circuit",
    ),
    key(
        "limits.enabled",
        Kind::Boolean,
        "true",
        "Whether the rates below hold (the console is exempt)",
    )
    .variable("ENABLE_RATE_LIMIT"),
    key(
        "limits.orders_per_second",
        count(1, 1_000_000),
        "2000",
        "Most orders a second from one peer or API client",
    )
    .variable("MAX_ORDERS_PER_SECOND"),
    key(
        "limits.orders_per_minute",
        count(1, 60_000_000),
        "60000",
        "Most orders a minute; not below orders_per_second",
    )
    .variable("MAX_ORDERS_PER_MINUTE"),
    key(
        "limits.requests_per_minute",
        count(1, 60_000_000),
        "6000",
        "Most other requests a minute from one peer or API client",
    )
    .variable("MAX_REQUESTS_PER_MINUTE"),
    key(
        "limits.max_message_kb",
        kibibytes(16, 65_536),
        "1024",
        "Largest message from a peer or API client",
    )
    .variable("MAX_MESSAGE_SIZE_KB"),
    key(
        "exchange.tick_ms",
        milliseconds(1, 1_000),
        "20",
        "Longest wait of an arrived operation before it is matched; none when idle",
    ),
    key(
        "gossip.flush_ms",
        milliseconds(0, 1_000),
        "5",
        "Longest wait of an operation for others to share its frame",
    ),
    key(
        "gossip.eager_peers",
        count(1, 100),
        "6",
        "Peers that are sent operations at once",
    ),
    key(
        "gossip.lazy_peers",
        count(0, 100),
        "4",
        "Peers that are only told of operations, and ask for what they miss",
    ),
    key(
        "gossip.seen_max",
        count(1_000, 10_000_000),
        "200000",
        "Ids of operations remembered as seen",
    ),
    key(
        "gossip.pending_max",
        count(100, 1_000_000),
        "50000",
        "Most operations waiting for the ones they build on",
    ),
    key(
        "sync.interval_ms",
        milliseconds(100, 3_600_000),
        "10000",
        "Time between two comparisons with a peer of what each has",
    ),
    key(
        "sync.batch_max",
        count(1, 10_000),
        "500",
        "Most operations in one answer to a peer that lacks them",
    ),
    key(
        "store.batch_max",
        count(1, 100_000),
        "1000",
        "Most operations made durable by one commit",
    ),
    key(
        "store.cache_mb",
        mebibytes(1, 65_536),
        "64",
        "Memory of the store's cache",
    ),
    key(
        "supervisor.intensity",
        count(1, 1_000),
        "10",
        "Restarts within window_ms after which a supervisor gives up and its own restarts it",
    ),
    key(
        "supervisor.window_ms",
        milliseconds(100, 3_600_000),
        "10000",
        "Time over which restarts are counted",
    ),
    key(
        "supervisor.backoff_min_ms",
        milliseconds(1, 60_000),
        "100",
        "Wait before the second restart in a row, then doubling; the first is at once",
    ),
    key(
        "supervisor.backoff_max_ms",
        milliseconds(1, 3_600_000),
        "5000",
        "Longest such wait; not below backoff_min_ms",
    ),
    key(
        "supervisor.stable_after_ms",
        milliseconds(100, 3_600_000),
        "30000",
        "Time without a crash after which the wait starts small again",
    ),
    key(
        "supervisor.probe_interval_ms",
        milliseconds(100, 3_600_000),
        "30000",
        "Time between two liveness probes of an actor",
    )
    .variable("HEALTH_CHECK_INTERVAL_MS"),
    key(
        "supervisor.probe_timeout_ms",
        milliseconds(100, 3_600_000),
        "10000",
        "Longest wait for the answer before the actor is restarted",
    ),
    key(
        "supervisor.shutdown_timeout_ms",
        milliseconds(100, 600_000),
        "5000",
        "Longest wait for an actor to end in order before it is ended",
    ),
    key("log.level", Kind::Choice(LEVELS), "info", "What is logged").variable("LOG_LEVEL"),
    key(
        "log.targets",
        Kind::List(Item::TargetLevel),
        "",
        "Levels of single actors, each target=level such as matcher=debug",
    ),
    key(
        "log.format",
        Kind::Choice(&["text", "json"]),
        "text",
        "Form of a log line",
    ),
    key(
        "log.dir",
        Kind::OptionalDirectory,
        "",
        "Directory of the log files; empty: logs in the data directory",
    )
    .variable("LOG_DIR"),
    key(
        "log.max_size_mb",
        mebibytes(1, 10_240),
        "10",
        "Size at which a new log file begins",
    )
    .variable("LOG_MAX_SIZE_MB"),
    key(
        "log.max_files",
        count(1, 1_000),
        "10",
        "Most log files, the newest included",
    )
    .variable("LOG_MAX_FILES"),
    key(
        "debug.drills",
        Kind::Boolean,
        "false",
        "Whether the command crash may crash actors on purpose",
    ),
];

/// Where the tables of the markets stand among the keys: after this section.
pub(super) const MARKETS_AFTER: &str = "network";

/// The keys of one market. The defaults make the first market of a node that names none.
pub(super) const MARKET_KEYS: &[Key] = &[
    key("pair", Kind::Text, "BTC/USD", "BASE/QUOTE")
        .variable("EXCHANGE_PAIR")
        .genesis(),
    key("tick", Kind::Decimal, "0.01", "Smallest step of a price").genesis(),
    key(
        "lot",
        Kind::Decimal,
        "0.00000001",
        "Smallest step of a quantity",
    )
    .genesis(),
    key(
        "max_price",
        Kind::Decimal,
        "1000000",
        "Largest price of an order",
    )
    .variable("MAX_ORDER_PRICE")
    .genesis(),
    key(
        "max_quantity",
        Kind::Decimal,
        "1000000",
        "Largest quantity of an order",
    )
    .variable("MAX_ORDER_AMOUNT")
    .genesis(),
];

/// The key of this full name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    match split_market(name) {
        Some((_, field)) => MARKET_KEYS.iter().find(|key| key.name == field),
        None => KEYS.iter().find(|key| key.name == name),
    }
}

/// Splits `markets.N.field`.
pub(super) fn split_market(name: &str) -> Option<(usize, &str)> {
    let (position, field) = name.strip_prefix("markets.")?.split_once('.')?;
    let number: usize = position.parse().ok()?;
    let canonical = number < bitfitech_core::genesis::MARKETS_MAX && number.to_string() == position;
    canonical.then_some((number, field))
}

/// Whether keys of this section exist.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| section_of(key.name) == Some(name))
}

/// `section` of `section.key`.
pub(super) fn section_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(section, _)| section)
}

/// The full names of all keys of a configuration with so many markets, in the order of showing.
pub(super) fn names(market_count: usize) -> Vec<String> {
    let network = |key: &&Key| matches!(section_of(key.name), None | Some(MARKETS_AFTER));
    let before = KEYS.iter().filter(network).map(|key| key.name.to_owned());
    let after = KEYS.iter().filter(|key| !network(key));
    let markets = (0..market_count).flat_map(|position| {
        MARKET_KEYS
            .iter()
            .map(move |key| format!("markets.{position}.{}", key.name))
    });
    before
        .chain(markets)
        .chain(after.map(|key| key.name.to_owned()))
        .collect()
}

/// The variable that every key has: `BITFITECH__SECTION__KEY`.
pub(super) fn variable_of(name: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        name.replace('.', "__").to_ascii_uppercase()
    )
}

/// The known name nearest to an unknown one.
///
/// Compared are whole names, and, a little less, the last parts alone: a key that only stands in
/// the wrong section is found too.
pub(super) fn nearest(unknown: &str) -> String {
    let last_part = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let unknown = unknown.to_ascii_lowercase();
    let likeness = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&unknown, known);
        let part = strsim::normalized_damerau_levenshtein(&last_part(&unknown), &last_part(known));
        whole.max(0.9 * part)
    };
    let mut known = names(1);
    known.extend(
        KEYS.iter()
            .filter_map(|key| section_of(key.name))
            .map(str::to_owned),
    );
    known
        .into_iter()
        .max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
        .expect("the table is not empty")
}
