//! The one table of all keys: name, kind, default, well-known variable, explanation.
//!
//! The order here is that of `config.toml` and of `config show`.

use super::schema::Key;
use super::value::{Item, Kind};

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key::new(name, kind, default, about)
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
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// All keys but those of the markets, in the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    key(
        "mode",
        Kind::Choice(&["grenache", "p2p", "legacy"]),
        "grenache",
        "How peers are found: by the own Grape, without one, or by other Grapes",
    ),
    key(
        "data_dir",
        Kind::Directory,
        "data",
        "Directory of key, store, logs and typed commands, relative to the working directory",
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
        "Keys of authors that may trade; empty, and no administrators: everyone",
    )
    .genesis(),
    key(
        "network.administrators",
        Kind::List(Item::Author),
        "",
        "Keys of members who admit and expel others while the network runs",
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
        "p2p.target_peers",
        count(0, 10_000),
        "10",
        "Sessions below which more peers are dialled; 0: named ones alone, and always",
    ),
    key(
        "p2p.outbound_percent",
        count(0, 100),
        "50",
        "Share of them that this node dials itself; places for so many are kept free (percent)",
    ),
    key(
        "p2p.inbound_per_address",
        count(1, 10_000),
        "16",
        "Most sessions that came in from one IP address",
    ),
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
        "p2p.peer_storage_path",
        Kind::OptionalPath,
        "",
        "File of the addresses of known peers; empty: in the data directory",
    )
    .variable("PEER_STORAGE_PATH"),
    key(
        "discovery.bootstrap_peers",
        Kind::List(Item::Peer),
        "",
        "Peers to dial at the start, each host:port",
    )
    .variable("BOOTSTRAP_PEERS"),
    key(
        "discovery.well_known_nodes",
        Kind::Boolean,
        "true",
        "Whether the well-known nodes are dialled at the start too",
    )
    .variable("USE_WELL_KNOWN_NODES"),
    key(
        "discovery.well_known",
        Kind::List(Item::Peer),
        "",
        "The well-known nodes of the network, each host:port",
    ),
    key(
        "discovery.mdns",
        Kind::Boolean,
        "true",
        "Whether peers are looked for in the local network",
    )
    .variable("DISCOVERY_MDNS"),
    key(
        "discovery.grenache",
        Kind::Boolean,
        "true",
        "Whether peers are looked for in the DHT",
    )
    .variable("DISCOVERY_GRENACHE"),
    key(
        "discovery.peer_exchange",
        Kind::Boolean,
        "true",
        "Whether peers tell each other of peers",
    )
    .variable("DISCOVERY_PEER_EXCHANGE"),
    key(
        "discovery.persisted",
        Kind::Boolean,
        "true",
        "Whether peers known from earlier runs are dialled at the start too",
    ),
    key(
        "grape.host",
        Kind::Address,
        "127.0.0.1",
        "Address of the HTTP API of the embedded Grape; its DHT is at p2p.host",
    )
    .variable("GRAPE_HOST"),
    key(
        "grape.dht_port",
        count(0, 65_535),
        "20001",
        "UDP port of its DHT; 0: any free one",
    )
    .variable("GRAPE_DHT_PORT"),
    key(
        "grape.api_port",
        count(0, 65_535),
        "30001",
        "TCP port of its HTTP API; 0: any free one",
    )
    .variable("GRAPE_API_PORT"),
    key(
        "grape.rpc_host",
        Kind::Address,
        "127.0.0.1",
        "Address of the Grenache RPC service; one that others reach needs the three files below",
    ),
    key(
        "grape.rpc_port",
        count(0, 65_535),
        "0",
        "TCP port of the Grenache RPC service; 0: any free one",
    ),
    key(
        "grape.rpc_certificate_path",
        Kind::OptionalPath,
        "",
        "File of the certificate that the service shows (PEM); empty: no TLS",
    ),
    key(
        "grape.rpc_key_path",
        Kind::OptionalPath,
        "",
        "File of the secret key of that certificate (PEM)",
    ),
    key(
        "grape.rpc_ca_path",
        Kind::OptionalPath,
        "",
        "Authorities (PEM): who shows a certificate of theirs trades in the node's name",
    ),
    key(
        "grape.bootstrap_nodes",
        Kind::List(Item::Peer),
        "",
        "Grapes through which the DHT is entered, each host:port",
    )
    .variable("GRAPE_BOOTSTRAP_NODES"),
    key(
        "grape.url",
        Kind::HttpUrls,
        "http://127.0.0.1:30001",
        "HTTP API of the other Grape that mode legacy uses; more after commas are its substitutes",
    )
    .variable("GRAPE_URL"),
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
        "Most orders a second of one author; a link carries those of ten",
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
        "exchange.settle_ms",
        milliseconds(0, 3_600_000),
        "1000",
        "How long a trade must stand unchanged before it is confirmed",
    ),
    key(
        "exchange.release_ms",
        milliseconds(100, 86_400_000),
        "15000",
        "How long an unanswered trade binds its orders",
    ),
    key(
        "exchange.late_policy",
        Kind::Choice(&["settle", "refuse"]),
        "settle",
        "Trades with a late order: confirmed after twice settle_ms, or by hand alone",
    ),
    key(
        "gossip.flush_ms",
        milliseconds(0, 1_000),
        "2",
        "How long operations wait for company, for each frame sent just before; most 20 ms",
    ),
    key(
        "sync.interval_ms",
        milliseconds(100, 3_600_000),
        "10000",
        "Time between two comparisons with a peer of what each has",
    ),
    key(
        "store.batch_max",
        count(1, 100_000),
        "1000",
        "Most operations made durable by one commit",
    ),
    key(
        "api.host",
        Kind::Address,
        "127.0.0.1",
        "Address of the HTTP API; one that others reach needs a token",
    ),
    key(
        "api.port",
        count(0, 65_535),
        "8080",
        "TCP port of the HTTP API; 0: any free one",
    ),
    key(
        "api.token",
        Kind::Secret,
        "",
        "What callers must present; empty: nothing, on a loopback address alone",
    ),
    key(
        "api.allowed_origins",
        Kind::List(Item::Origin),
        "",
        "Pages of other nodes that may use this one, each such as http://127.0.0.1:8080",
    ),
    key(
        "api.page_nodes",
        Kind::List(Item::Origin),
        "",
        "Other nodes that the page of this one shows too; they have to allow its origin",
    ),
    key(
        "api.metrics",
        Kind::Boolean,
        "true",
        "Whether /metrics is served",
    )
    .variable("ENABLE_METRICS"),
    key(
        "api.metrics_port",
        count(0, 65_535),
        "0",
        "TCP port of /metrics alone; 0: it is served on the port of the HTTP API",
    )
    .variable("METRICS_PORT"),
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
        "Wait before the first restart of an actor, half of it random; it doubles from there",
    ),
    key(
        "supervisor.backoff_max_ms",
        milliseconds(1, 3_600_000),
        "1000",
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
