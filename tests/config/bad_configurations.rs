//! Bad configurations: what is given, and what the one line of the refusal must say.
//!
//! Each case is followed by the words that say what is wrong and where, and by the one that says
//! how to mend it.

/// How a case of a bad configuration comes to the program.
pub enum Given {
    /// The text of `config.toml`.
    File(&'static str),
    /// An environment variable and its value.
    Variable(&'static str, &'static str),
    /// The argument of `-D`.
    Assigned(&'static str),
    /// Other arguments.
    Arguments(&'static [&'static str]),
}

use Given::{Arguments, Assigned, File, Variable};

/// A bad configuration: how it is given, the words for what and where, the word on how to mend.
pub type Bad = (Given, &'static [&'static str], &'static str);

/// Files of which every one has one fault.
pub const BAD_FILES: &[Bad] = &[
    (
        File("[p2p]\nport = 65536\n"),
        &["config.toml:2", "p2p.port", "65536"],
        "0 to 65535",
    ),
    (
        File("[p2p]\nport = -1\n"),
        &["config.toml:2", "p2p.port", "-1"],
        "0 to 65535",
    ),
    (
        File("\n\n[p2p]\nport = 99999999999999999999\n"),
        &["config.toml:4", "p2p.port"],
        "0 to 65535",
    ),
    (
        File("[p2p]\nport = \"3000\"\n"),
        &["config.toml:2", "string `3000`"],
        "a whole number",
    ),
    (
        File("[p2p]\nport = 3000.0\n"),
        &["config.toml:2", "float `3000.0`"],
        "a whole number",
    ),
    (
        File("[p2p]\nport = true\n"),
        &["config.toml:2", "p2p.port"],
        "a whole number",
    ),
    (
        File("[p2p]\nport = [1]\n"),
        &["config.toml:2", "p2p.port is a list"],
        "a whole number",
    ),
    (
        File("[p2p.port]\na = 1\n"),
        &["config.toml:1", "p2p.port is a table"],
        "a whole number",
    ),
    (
        File("[p2p]\nport = 1979-05-27\n"),
        &["config.toml:2", "date"],
        "a whole number",
    ),
    (
        File("[p2p]\nhost = \"localhost\"\n"),
        &["config.toml:2", "p2p.host"],
        "an IP address",
    ),
    (
        File("[p2p]\nport_fallback = 1\n"),
        &["config.toml:2", "port_fallback"],
        "true or false",
    ),
    (
        File("[p2p]\nmax_peers = 0\n"),
        &["config.toml:2", "p2p.max_peers"],
        "1 to 10000",
    ),
    (
        File("[p2p]\nprot = 1\n"),
        &["config.toml:2", "unknown key `p2p.prot`"],
        "`p2p.port`",
    ),
    (
        File("port = 1\n"),
        &["config.toml:1", "unknown key `port`"],
        "`p2p.port`",
    ),
    (
        File("\"p2p.port\" = 1\n"),
        &["config.toml:1", "unknown key `p2p.port`"],
        "`p2p.port`",
    ),
    (
        File("[p2pp]\nport = 1\n"),
        &["config.toml:1", "unknown key `p2pp`"],
        "`p2p`",
    ),
    (
        File("[P2P]\nport = 1\n"),
        &["config.toml:1", "unknown key `P2P`"],
        "`p2p`",
    ),
    (
        File("p2p = 3\n"),
        &["config.toml:1", "`p2p` is a section"],
        "one by one",
    ),
    (
        File("[[p2p]]\nport = 3\n"),
        &["config.toml:1", "`p2p` is a section"],
        "one by one",
    ),
    (
        File("[p2p]\nport = 1\nport = 2\n"),
        &["config.toml:3", "TOML"],
        "duplicate key",
    ),
    (
        File("[p2p\nport = 1\n"),
        &["config.toml:1", "TOML"],
        "expected",
    ),
    (File("[p2p]\nport =\n"), &["config.toml:2", "TOML"], "value"),
    (
        File("[log]\nlevel = \"loud\n"),
        &["config.toml:2", "TOML"],
        "string",
    ),
    (
        File("[log]\nlevel = \"loud\"\n"),
        &["config.toml:2", "log.level", "loud"],
        "debug, trace",
    ),
    (
        File("[log]\nlevel = \"INFO\"\n"),
        &["config.toml:2", "log.level", "INFO"],
        "info",
    ),
    (
        File("[log]\nformat = \"xml\"\n"),
        &["config.toml:2", "log.format", "xml"],
        "text, json",
    ),
    (
        File("[log]\ntargets = [\"matcher\"]\n"),
        &["config.toml:2", "matcher"],
        "target=level",
    ),
    (
        File("[log]\ntargets = [3]\n"),
        &["config.toml:2", "`3`"],
        "target=level",
    ),
    (
        File("[log]\ntargets = \"a=info\"\n"),
        &["config.toml:2", "log.targets"],
        "a list",
    ),
    (
        File("[log]\nmax_files = 0\n"),
        &["config.toml:2", "log.max_files"],
        "1 to 1000",
    ),
    (
        File("[log]\ndir = \"a\\nb\"\n"),
        &["config.toml:2", "log.dir", "a\\nb"],
        "directory",
    ),
    (
        File("data_dir = \"\"\n"),
        &["config.toml:1", "data_dir"],
        "not empty",
    ),
    (
        File("[discovery]\nbootstrap_peers = [\"a:1\", \"nowhere\"]\n"),
        &["config.toml:2", "bootstrap_peers", "`nowhere`"],
        "host:port",
    ),
    (
        File("[discovery]\nbootstrap_peers = [\"http://a:1\"]\n"),
        &["config.toml:2", "`http://a:1`"],
        "host:port",
    ),
    (
        File("[network]\nallow_list = [\"abcd\"]\n"),
        &["config.toml:2", "network.allow_list", "abcd"],
        "64 hexadecimal digits",
    ),
    (
        File("[network]\nname = \"My Net\"\n"),
        &["config.toml:2", "network.name `My Net`"],
        "a-z 0-9",
    ),
    (
        File("[network]\nbucket_ms = 0\n"),
        &["config.toml:2", "bucket_ms"],
        "1 to 60000 ms",
    ),
    (
        File("markets = []\n"),
        &["config.toml:1", "markets"],
        "[[markets]]",
    ),
    (
        File("markets = [1]\n"),
        &["config.toml:1", "markets"],
        "[[markets]]",
    ),
    (
        File("[markets]\npair = \"A/B\"\n"),
        &["config.toml:1", "markets"],
        "[[markets]]",
    ),
    (
        File("[[markets]]\npair = \"BTCUSD\"\n"),
        &["config.toml:2", "markets.0", "`BTCUSD`"],
        "BASE/QUOTE",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\n[[markets]]\nlot = \"1\"\n"),
        &["markets.1.pair is missing"],
        "BTC/USD",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\n[[markets]]\npair = \"A/B\"\n"),
        &["config.toml:4", "A/B"],
        "twice",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\ntick = 0.01\n"),
        &["config.toml:3", "markets.0.tick", "float `0.01`"],
        "in quotes",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\ntick = \"0\"\n"),
        &["config.toml:3", "markets.0", "tick"],
        "more than 0",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\nlot = \"1e-8\"\n"),
        &["config.toml:3", "lot", "`1e-8`"],
        "such as 0.5",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\nmax_price = \"0.015\"\n"),
        &["config.toml:3", "max_price", "0.015"],
        "not a multiple of 0.01",
    ),
    (
        File("[[markets]]\ntick = \"0.0000000001\"\nlot = \"0.0000000001\"\npair = \"A/B\"\n"),
        &["markets.0"],
        "coarser tick or lot",
    ),
    (
        File("[[markets]]\npair = \"A/B\"\nfee = \"0.1\"\n"),
        &["config.toml:3", "unknown key `markets.0.fee`"],
        "did you mean",
    ),
    (
        File("[breaker]\nreset_timeout_ms = 400000\n"),
        &[
            "config.toml:2",
            "breaker.reset_timeout_ms is 400000",
            "300000",
        ],
        "lower the one",
    ),
    (
        File("[p2p]\nidle_timeout_ms = 1000\n"),
        &["config.toml:2", "p2p.ping_interval_ms is 5000", "1000"],
        "raise the other",
    ),
    (
        File("[supervisor]\nbackoff_max_ms = 99\n"),
        &["config.toml:2", "supervisor.backoff_min_ms is 100"],
        "raise the other",
    ),
    (
        File("[gossip]\neager_peers = 6\n"),
        &["config.toml:2", "unknown key `gossip.eager_peers`"],
        "did you mean",
    ),
    (
        File("[exchange]\nlate_policy = \"wait\"\n"),
        &["config.toml:2", "exchange.late_policy", "`wait`"],
        "one of settle, refuse",
    ),
    (
        File("[grape]\nurl = \"127.0.0.1:30001\"\n"),
        &["config.toml:2", "grape.url", "`127.0.0.1:30001`"],
        "http://host:port",
    ),
    (
        File("[api]\nhost = \"0.0.0.0\"\n"),
        &["config.toml:2", "others can reach api.host"],
        "api.token must be set",
    ),
    (
        File("[grape]\nrpc_host = \"0.0.0.0\"\n"),
        &["config.toml:2", "grape.rpc_certificate_path is missing"],
        "set all three",
    ),
    (
        File("[grape]\nrpc_ca_path = \"ca.pem\"\nrpc_certificate_path = \"node.pem\"\n"),
        &["config.toml:3", "grape.rpc_key_path is missing"],
        "set all three",
    ),
    (
        File("[api]\ntoken = 12345\n"),
        &["config.toml:2", "api.token is a value that is not shown"],
        "visible characters",
    ),
];

/// Variables and options of which every one has one fault.
pub const BAD_REST: &[Bad] = &[
    (
        Variable("P2P_PORT", "http"),
        &["environment P2P_PORT", "p2p.port", "`http`"],
        "0 to 65535",
    ),
    (
        Variable("P2P_PORT", ""),
        &["environment P2P_PORT", "p2p.port"],
        "0 to 65535",
    ),
    (
        Variable("P2P_PORT", "+-1"),
        &["environment P2P_PORT", "`+-1`"],
        "0 to 65535",
    ),
    (
        Variable("P2P_HOST", "::1]"),
        &["environment P2P_HOST", "`::1]`"],
        "an IP address",
    ),
    (
        Variable("MAX_PEERS", "1e3"),
        &["environment MAX_PEERS", "`1e3`"],
        "1 to 10000",
    ),
    (
        Variable("PEER_RECONNECT_INTERVAL", "30s"),
        &["environment PEER_RECONNECT_INTERVAL", "`30s`"],
        "ms",
    ),
    (
        Variable("LOG_LEVEL", "verbose"),
        &["environment LOG_LEVEL", "`verbose`"],
        "one of off",
    ),
    (
        Variable("LOG_LEVEL", "in\nfo"),
        &["environment LOG_LEVEL", "`in\\nfo`"],
        "one of off",
    ),
    (
        Variable("ENABLE_RATE_LIMIT", "maybe"),
        &["environment ENABLE_RATE_LIMIT", "limits.enabled", "`maybe`"],
        "true or false",
    ),
    (
        Variable("BOOTSTRAP_PEERS", "a:1,,b:2"),
        &[
            "environment BOOTSTRAP_PEERS",
            "discovery.bootstrap_peers",
            "``",
        ],
        "host:port",
    ),
    (
        Variable("BOOTSTRAP_PEERS", "127.0.0.1"),
        &["environment BOOTSTRAP_PEERS", "`127.0.0.1`"],
        "host:port",
    ),
    (
        Variable("EXCHANGE_PAIR", "BTC"),
        &["environment EXCHANGE_PAIR", "`BTC`"],
        "BASE/QUOTE",
    ),
    (
        Variable("MAX_ORDER_AMOUNT", "-5"),
        &["environment MAX_ORDER_AMOUNT", "max_quantity", "`-5`"],
        "a decimal number",
    ),
    (
        Variable("MAX_ORDER_PRICE", "1,000"),
        &["environment MAX_ORDER_PRICE", "max_price", "`1,000`"],
        "a decimal number",
    ),
    (
        Variable("DISCOVERY_MDNS", "perhaps"),
        &["environment DISCOVERY_MDNS", "discovery.mdns", "`perhaps`"],
        "true or false",
    ),
    (
        Variable("GRAPE_API_PORT", "none"),
        &["environment GRAPE_API_PORT", "grape.api_port", "`none`"],
        "0 to 65535",
    ),
    (
        Variable("GRAPE_URL", "http://a"),
        &["environment GRAPE_URL", "grape.url", "`http://a`"],
        "http://host:port",
    ),
    (
        Variable("METRICS_PORT", "x"),
        &["environment METRICS_PORT", "api.metrics_port", "`x`"],
        "0 to 65535",
    ),
    (
        Variable("EMBEDDED_GRAPE", "si"),
        &["environment EMBEDDED_GRAPE", "`si`"],
        "true or false",
    ),
    (
        Variable("BITFITECH__P2P__PROT", "1"),
        &["environment BITFITECH__P2P__PROT", "unknown key"],
        "`BITFITECH__P2P__PORT`",
    ),
    (
        Variable("BITFITECH__p2p__port", "1"),
        &["environment BITFITECH__p2p__port", "unknown key"],
        "`BITFITECH__P2P__PORT`",
    ),
    (
        Variable("BITFITECH__P2P", "1"),
        &["environment BITFITECH__P2P", "`p2p` is a section"],
        "one by one",
    ),
    (Assigned("p2p.port"), &["-D p2p.port"], "key=value"),
    (Assigned(""), &["-D "], "key=value"),
    (Assigned("=1"), &["-D", "unknown key ``"], "did you mean"),
    (
        Assigned("p2p.prot=1"),
        &["-D p2p.prot", "unknown key"],
        "`p2p.port`",
    ),
    (Assigned("p2p=1"), &["-D p2p", "is a section"], "one by one"),
    (
        Assigned("p2p.port= 1"),
        &["-D p2p.port", "` 1`"],
        "0 to 65535",
    ),
    (
        Assigned("markets=BTC/USD"),
        &["-D markets", "array of tables"],
        "[[markets]]",
    ),
    (
        Assigned("markets.00.pair=A/B"),
        &["-D markets.00.pair", "unknown key"],
        "markets.0.pair",
    ),
    (
        Assigned("markets.256.pair=A/B"),
        &["-D markets.256.pair", "unknown key"],
        "did you mean",
    ),
    (
        Assigned("markets.2.pair=A/B"),
        &["markets.1.pair is missing"],
        "without gaps",
    ),
    (
        Assigned("limits.max_message_kb=9000"),
        &["-D limits.max_message_kb", "9000", "p2p.outbox_kb"],
        "raise the other",
    ),
    (
        Arguments(&["--data-dir", ""]),
        &["--data-dir", "data_dir"],
        "not empty",
    ),
    (
        Arguments(&["--log-level", "loud"]),
        &["--log-level", "loud"],
        "debug, trace",
    ),
    (
        Arguments(&["--output", "xml"]),
        &["--output", "xml"],
        "text, json",
    ),
    (
        Arguments(&["--config", "nowhere.toml"]),
        &["nowhere.toml"],
        "--config",
    ),
    (
        Arguments(&["--config", "."]),
        &[".: the configuration file cannot be read"],
        "--config",
    ),
    (Arguments(&["--config"]), &["--config"], "--help"),
    (Arguments(&["--nonsense"]), &["--nonsense"], "--help"),
    (Arguments(&["--exit-on-eof"]), &["--exit-on-eof"], "--help"),
    (Arguments(&["more"]), &["more"], "--help"),
];
