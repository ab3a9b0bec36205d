//! The configuration as a whole: layers, places, and the table of keys against everything else.

use std::ffi::OsString;

use bitfitech_core::genesis::Genesis;
use proptest::prelude::*;

use super::keys::{KEYS, MARKET_KEYS};
use super::schema::{Key, Scope};
use super::value::Kind;
use super::*;

/// The sources of a test: no file of the working directory can come in.
struct TestSources {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl TestSources {
    fn new(file: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("test.toml");
        std::fs::write(&path, file).expect("writes the file");
        let sources = Sources {
            file: Some(path),
            ..Sources::default()
        };
        Self { directory, sources }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        let pair = (OsString::from(name), OsString::from(value));
        self.sources.environment.push(pair);
        self
    }

    fn assign(mut self, assignment: &str) -> Self {
        self.sources.assignments.push(assignment.to_owned());
        self
    }

    fn option(mut self, name: &'static str, key: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.sources
            .options
            .push(DedicatedOption { name, key, value });
        self
    }

    fn load(&self) -> Configuration {
        Configuration::load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The errors, the temporary directory left out of their text.
    fn errors(&self) -> Vec<String> {
        let prefix = format!("{}/", self.directory.path().display());
        let errors = Configuration::load(&self.sources).expect_err("must be refused");
        let lines = errors.0.iter();
        lines
            .map(|error| error.to_string().replace(&prefix, ""))
            .collect()
    }
}

fn full_names() -> Vec<(String, &'static Key)> {
    let named = |name: String| (name.clone(), schema::find(&name).expect("a listed key"));
    schema::names(1).into_iter().map(named).collect()
}

/// The keys that may be set without others: not the files of the RPC service.
fn names_that_stand_alone() -> impl Iterator<Item = (String, &'static Key)> {
    let names = full_names().into_iter();
    names.filter(|(name, _)| !RPC_FILES.contains(&name.as_str()))
}

/// Keys of which all are set or none.
const RPC_FILES: [&str; 3] = [
    "grape.rpc_certificate_path",
    "grape.rpc_key_path",
    "grape.rpc_ca_path",
];

/// A value other than the default that the key takes.
fn another_value(key: &Key) -> String {
    match key.kind {
        Kind::Boolean if key.default == "true" => "false".to_owned(),
        Kind::Boolean => "true".to_owned(),
        Kind::Integer { max, .. } => {
            let default: i64 = key.default.parse().expect("a number");
            (default + 1).min(max).to_string()
        }
        Kind::Choice(_) if key.name == "mode" => "p2p".to_owned(),
        Kind::Choice(words) => words[words.len() - 1].to_owned(),
        Kind::Directory | Kind::OptionalDirectory | Kind::OptionalPath => "/elsewhere".to_owned(),
        Kind::Address => "127.0.0.2".to_owned(),
        Kind::HttpUrls => "http://grape.example:1".to_owned(),
        Kind::Secret => "swordfish".to_owned(),
        Kind::Decimal => match key.name {
            "tick" | "lot" => "0.001".to_owned(),
            _ => "1234".to_owned(),
        },
        Kind::Text if key.name == "pair" => "ETH/EUR".to_owned(),
        Kind::Text => "other".to_owned(),
        Kind::List(value::Item::Peer) => "a.example:1,[::1]:2".to_owned(),
        Kind::List(value::Item::Author) => "ab".repeat(32),
        Kind::List(value::Item::TargetLevel) => "matcher=debug,peer=trace".to_owned(),
        Kind::List(value::Item::Origin) => "http://127.0.0.1:8081".to_owned(),
    }
}

fn shown(configuration: &Configuration, name: &str) -> String {
    let effective = &configuration.effective[name];
    format!("{} # {}", effective.value.to_toml(), effective.origin)
}

#[test]
fn the_file_in_the_repository_lists_every_key_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.toml");
    let file = std::fs::read_to_string(path).expect("config.toml is there");
    assert_eq!(
        file,
        default_file(),
        "config.toml must be what `default_file` makes of the table of keys"
    );
    let with_file = TestSources::new(&file).load();
    let without = TestSources::new("").load();
    assert_eq!(with_file.settings, without.settings);
    assert_eq!(with_file.genesis.digest(), without.genesis.digest());
    for (name, _) in full_names() {
        let origin = &with_file.effective[&name].origin;
        assert!(origin.contains("test.toml:"), "{name} is not in the file");
    }
    assert_eq!(with_file.effective.len(), KEYS.len() + MARKET_KEYS.len());
}

#[test]
fn the_lines_of_the_file_fit_a_screen() {
    for line in default_file().lines() {
        assert!(line.len() <= 105, "{line}");
    }
}

#[test]
fn a_higher_layer_wins_for_every_key() {
    for (name, key) in names_that_stand_alone() {
        if name == "mode" {
            continue;
        }
        let another = another_value(key);
        let variable = schema::variable_of(&name);
        let in_environment = TestSources::new(&default_file()).variable(&variable, &another);
        let loaded = in_environment.load();
        let origin = format!("environment {variable}");
        assert_eq!(loaded.effective[&name].origin, origin);
        assert_ne!(
            loaded.settings,
            TestSources::new("").load().settings,
            "{name}"
        );

        let assigned = in_environment
            .assign(&format!("{name}={}", key.default))
            .load();
        assert_eq!(assigned.effective[&name].origin, format!("-D {name}"));
        assert_eq!(assigned.settings, TestSources::new("").load().settings);
    }
}

#[test]
fn the_genesis_changes_with_the_keys_that_are_marked_so_and_no_others() {
    let default = TestSources::new("").load().genesis.digest();
    for (name, key) in names_that_stand_alone() {
        let changed = TestSources::new("").assign(&format!("{name}={}", another_value(key)));
        let differs = changed.load().genesis.digest() != default;
        assert_eq!(differs, key.scope == Scope::Genesis, "{name}");
    }
}

#[test]
fn the_order_of_precedence_has_five_steps() {
    let file = "[p2p]\nport = 2\n[log]\nlevel = \"warn\"\n";
    let mut sources = TestSources::new(file);
    assert_eq!(
        shown(&TestSources::new("").load(), "p2p.port"),
        "3000 # default"
    );
    assert_eq!(sources.load().settings.p2p.port, 2);
    sources = sources.variable("P2P_PORT", "3");
    assert_eq!(
        shown(&sources.load(), "p2p.port"),
        "3 # environment P2P_PORT"
    );
    sources = sources.variable("BITFITECH__P2P__PORT", "4");
    assert_eq!(sources.load().settings.p2p.port, 4);
    sources = sources
        .assign("p2p.port=5")
        .assign("p2p.port=6")
        .assign("log.level=error");
    assert_eq!(shown(&sources.load(), "p2p.port"), "6 # -D p2p.port");
    sources = sources.option("--log-level", "log.level", "trace");
    assert_eq!(
        shown(&sources.load(), "log.level"),
        "\"trace\" # --log-level"
    );
}

#[test]
fn every_well_known_variable_sets_its_key() {
    for (name, key) in full_names() {
        if let Some(variable) = key.variable {
            let loaded = TestSources::new("")
                .variable(variable, &another_value(key))
                .load();
            assert_eq!(
                loaded.effective[&name].origin,
                format!("environment {variable}")
            );
        }
    }
}

#[test]
fn every_allowed_number_fits_its_type() {
    for (name, key) in full_names() {
        let Kind::Integer { min, max, .. } = key.kind else {
            continue;
        };
        for number in [min, max] {
            let test = TestSources::new("").assign(&format!("{name}={number}"));
            match Configuration::load(&test.sources) {
                Ok(loaded) => {
                    assert_eq!(loaded.effective[&name].value, Value::Integer(number));
                }
                // An extreme may exceed a neighbour's default, but must be refused for that only.
                Err(errors) => assert!(
                    matches!(errors.0[..], [ConfigError::Exceeds { .. }, ..]),
                    "{name}: {errors}"
                ),
            }
        }
        for number in [min - 1, max + 1] {
            let errors = TestSources::new("")
                .assign(&format!("{name}={number}"))
                .errors();
            let range = format!("from {min} to {max}");
            assert!(
                errors[0].contains(&range) && errors[0].contains(&name),
                "{errors:?}"
            );
        }
    }
}

#[test]
fn the_ranges_of_the_genesis_are_those_of_the_core() {
    let names = ["network.bucket_ms", "network.lease_ms", "network.answer_ms"];
    for name in names {
        let Some(Kind::Integer { min, max, .. }) = schema::find(name).map(|key| key.kind) else {
            panic!("{name} is a number");
        };
        for (number, allowed) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
            let mut genesis = TestSources::new("").load().genesis.clone();
            let value = u32::try_from(number).expect("fits");
            match name {
                "network.bucket_ms" => genesis.bucket_ms = value,
                "network.lease_ms" => genesis.lease_ms = value,
                _ => genesis.answer_ms = value,
            }
            assert_eq!(genesis.checked().is_ok(), allowed, "{name} {number}");
        }
    }
}

#[test]
fn embedded_grape_chooses_the_mode() {
    let p2p = TestSources::new("")
        .variable("EMBEDDED_GRAPE", "false")
        .variable("DISCOVERY_GRENACHE", "false");
    assert_eq!(p2p.load().settings.mode, Mode::P2p);
    for (value, mode) in [("true", Mode::Grenache), ("false", Mode::Legacy)] {
        let chosen = TestSources::new("").variable("EMBEDDED_GRAPE", value);
        assert_eq!(chosen.load().settings.mode, mode);
        assert_eq!(chosen.assign("mode=p2p").load().settings.mode, Mode::P2p);
    }
    let alone = TestSources::new("").variable("DISCOVERY_GRENACHE", "false");
    assert_eq!(alone.load().settings.mode, Mode::Grenache);
    let errors = p2p.variable("DISCOVERY_GRENACHE", "perhaps").errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

/// The contract with users, whose scripts rely on these names, variables and defaults.
const CONTRACT: &[(&str, &str, &str)] = &[
    ("p2p.port", "P2P_PORT", "3000"),
    ("p2p.host", "P2P_HOST", "0.0.0.0"),
    ("p2p.max_peers", "MAX_PEERS", "50"),
    (
        "p2p.reconnect_interval_ms",
        "PEER_RECONNECT_INTERVAL",
        "30000",
    ),
    ("p2p.peer_storage_path", "PEER_STORAGE_PATH", ""),
    ("discovery.mdns", "DISCOVERY_MDNS", "true"),
    ("discovery.grenache", "DISCOVERY_GRENACHE", "true"),
    ("discovery.peer_exchange", "DISCOVERY_PEER_EXCHANGE", "true"),
    ("discovery.bootstrap_peers", "BOOTSTRAP_PEERS", ""),
    ("discovery.well_known_nodes", "USE_WELL_KNOWN_NODES", "true"),
    ("discovery.well_known", "", ""),
    ("discovery.persisted", "", "true"),
    ("grape.dht_port", "GRAPE_DHT_PORT", "20001"),
    ("grape.api_port", "GRAPE_API_PORT", "30001"),
    ("grape.rpc_host", "", "127.0.0.1"),
    ("grape.rpc_port", "", "0"),
    ("grape.rpc_certificate_path", "", ""),
    ("grape.rpc_key_path", "", ""),
    ("grape.rpc_ca_path", "", ""),
    ("grape.host", "GRAPE_HOST", "127.0.0.1"),
    ("grape.bootstrap_nodes", "GRAPE_BOOTSTRAP_NODES", ""),
    ("grape.url", "GRAPE_URL", "http://127.0.0.1:30001"),
    ("markets.0.pair", "EXCHANGE_PAIR", "BTC/USD"),
    ("markets.0.tick", "", "0.01"),
    ("markets.0.lot", "", "0.00000001"),
    ("markets.0.max_price", "MAX_ORDER_PRICE", "1000000"),
    ("markets.0.max_quantity", "MAX_ORDER_AMOUNT", "1000000"),
    (
        "breaker.failure_threshold",
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        "3",
    ),
    (
        "breaker.reset_timeout_ms",
        "CIRCUIT_BREAKER_RESET_TIMEOUT_MS",
        "30000",
    ),
    ("breaker.max_timeout_ms", "", "300000"),
    ("breaker.half_open_probes", "", "1"),
    ("limits.enabled", "ENABLE_RATE_LIMIT", "true"),
    ("limits.orders_per_second", "MAX_ORDERS_PER_SECOND", "2000"),
    ("limits.orders_per_minute", "MAX_ORDERS_PER_MINUTE", "60000"),
    (
        "limits.requests_per_minute",
        "MAX_REQUESTS_PER_MINUTE",
        "6000",
    ),
    ("limits.max_message_kb", "MAX_MESSAGE_SIZE_KB", "1024"),
    ("log.level", "LOG_LEVEL", "info"),
    ("log.dir", "LOG_DIR", ""),
    ("log.max_files", "LOG_MAX_FILES", "10"),
    ("log.max_size_mb", "LOG_MAX_SIZE_MB", "10"),
    ("api.metrics", "ENABLE_METRICS", "true"),
    ("api.metrics_port", "METRICS_PORT", "0"),
    ("api.host", "", "127.0.0.1"),
    ("api.port", "", "8080"),
    ("api.token", "", ""),
    (
        "supervisor.probe_interval_ms",
        "HEALTH_CHECK_INTERVAL_MS",
        "30000",
    ),
    ("network.name", "", "main"),
    ("network.allow_list", "", ""),
    ("network.administrators", "", ""),
    ("network.lease_ms", "", "90000"),
    ("network.bucket_ms", "", "50"),
    ("network.answer_ms", "", "15000"),
    ("exchange.settle_ms", "", "1000"),
    ("exchange.release_ms", "", "15000"),
    ("exchange.late_policy", "", "settle"),
    ("debug.drills", "", "false"),
];

#[test]
fn the_keys_of_the_contract_have_its_defaults_and_variables() {
    for &(name, variable, default) in CONTRACT {
        let key = schema::find(name).unwrap_or_else(|| panic!("{name} is no key"));
        let found = (key.variable.unwrap_or_default(), key.default);
        assert_eq!(found, (variable, default), "{name}");
    }
}

#[test]
fn origins_are_taken_as_browsers_write_them_and_nothing_else_is() {
    let given = |text: &str| TestSources::new("").assign(&format!("api.allowed_origins={text}"));
    let taken = given("http://127.0.0.1:8081, https://[::1]:8082,http://a.example").load();
    let origins = [
        "http://127.0.0.1:8081",
        "https://[::1]:8082",
        "http://a.example",
    ];
    assert_eq!(taken.settings().api.allowed_origins, origins);
    for wrong in [
        "127.0.0.1:1",
        "http://",
        "http://a/",
        "http://a;b",
        "http://a b",
        "http://A",
    ] {
        assert!(
            given(wrong).errors()[0].contains("api.allowed_origins"),
            "{wrong}"
        );
    }
}

#[test]
fn a_node_without_a_configuration_has_the_standard_genesis() {
    let loaded = TestSources::new("").load();
    assert_eq!(loaded.genesis(), &Genesis::standard("main"));
}

#[test]
fn the_first_peers_are_the_bootstrap_peers_and_the_well_known_nodes_each_once() {
    let peers = |sources: TestSources| -> Vec<String> {
        let settings = sources.load().settings;
        let first = settings.discovery.first_peers();
        first.iter().map(ToString::to_string).collect()
    };
    let both = || {
        TestSources::new("")
            .variable("BOOTSTRAP_PEERS", "b:2,a:1,b:2")
            .assign("discovery.well_known=b:2,c:3")
    };
    assert_eq!(peers(both()), ["a:1", "b:2", "c:3"]);
    let without = both().variable("USE_WELL_KNOWN_NODES", "false");
    assert_eq!(peers(without), ["a:1", "b:2"]);
}

#[test]
fn the_token_is_seen_nowhere() {
    let loaded = TestSources::new("[api]\ntoken = \"swordfish\"\n").load();
    assert_eq!(loaded.settings.api.token.reveal(), "swordfish");
    let shown = format!("{:?}{}", loaded.settings, loaded.to_toml());
    for text in [shown, loaded.to_json().to_string()] {
        assert!(!text.contains("swordfish"), "{text}");
    }
    for (file, assignment) in [
        ("[api]\ntoken = \"swordfish \"\n", None),
        ("[api]\ntoken = [\"swordfish\"]\n", None),
        ("", Some("api.token=sword fish")),
    ] {
        let sources = TestSources::new(file);
        let sources = assignment.into_iter().fold(sources, TestSources::assign);
        let errors = sources.errors().join("\n");
        assert!(
            errors.contains("visible characters") && !errors.contains("fish"),
            "{errors}"
        );
    }
}

#[test]
fn an_api_that_others_reach_needs_a_token() {
    for host in ["127.0.0.1", "127.1.2.3", "::1"] {
        TestSources::new("")
            .assign(&format!("api.host={host}"))
            .load();
    }
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let open = TestSources::new("").assign(&format!("api.host={host}"));
        let errors = open.errors();
        assert!(
            errors[0].starts_with("-D api.host: others can reach api.host"),
            "{errors:?}"
        );
        open.assign("api.token=secret").load();
    }
}

#[test]
fn the_files_of_the_rpc_service_are_set_all_or_not_at_all_and_all_if_others_reach_it() {
    let with = |keys: &[&str], host: &str| {
        let sources = TestSources::new("").assign(&format!("grape.rpc_host={host}"));
        keys.iter()
            .fold(sources, |sources, key| sources.assign(&format!("{key}=a")))
    };
    let [certificate, key, ca] = RPC_FILES;
    for (keys, host, place) in [
        (
            &[certificate, key][..],
            "127.0.0.1",
            "-D grape.rpc_certificate_path",
        ),
        (&[ca], "::1", "-D grape.rpc_ca_path"),
        (&[], "0.0.0.0", "-D grape.rpc_host"),
        (&[key, ca], "192.0.2.1", "-D grape.rpc_host"),
    ] {
        let errors = with(keys, host).errors();
        let missing = RPC_FILES.iter().find(|file| !keys.contains(file));
        let begin = format!("{place}: {} is missing", missing.expect("one is"));
        assert!(errors[0].starts_with(&begin), "{errors:?}");
    }
    let complete = with(&RPC_FILES, "0.0.0.0").load();
    let files = complete.settings.grape.rpc_files().expect("all are set");
    assert_eq!(files.ca.to_str(), Some("a"));
    assert_eq!(
        with(&[], "127.0.0.1").load().settings.grape.rpc_files(),
        None
    );
}

#[test]
fn the_address_of_a_grape_is_an_http_url() {
    for (url, allowed) in [
        ("http://127.0.0.1:30001", true),
        ("http://grape.example:1/", true),
        ("http://[::1]:1", true),
        ("http://a:1,http://b:2", true),
        ("http://a:1, http://b:2", true),
        ("http://a:1,", false),
        ("https://127.0.0.1:30001", false),
        ("127.0.0.1:30001", false),
        ("http://127.0.0.1", false),
        ("http://127.0.0.1:0", false),
        ("http://127.0.0.1:1/path", false),
        ("http://a:1//", false),
        ("", false),
    ] {
        let test = TestSources::new("").variable("GRAPE_URL", url);
        let loaded = Configuration::load(&test.sources);
        assert_eq!(loaded.is_ok(), allowed, "{url}");
    }
}

#[test]
fn lists_are_separated_by_commas_and_empty_text_is_the_empty_list() {
    let peers = |sources: TestSources| sources.load().settings.discovery.bootstrap_peers;
    let file = "[discovery]\nbootstrap_peers = [\"a:1\"]\n";
    let shown = peers(TestSources::new(file).variable("BOOTSTRAP_PEERS", "b:2, [::1]:3"));
    let shown: Vec<String> = shown.iter().map(HostPort::to_string).collect();
    assert_eq!(shown, ["b:2", "[::1]:3"]);
    assert_eq!(
        peers(TestSources::new(file).variable("BOOTSTRAP_PEERS", "")),
        []
    );
    assert_eq!(
        peers(TestSources::new(file).assign("discovery.bootstrap_peers=")),
        []
    );
    assert_eq!(peers(TestSources::new(file)).len(), 1);
}

#[test]
fn markets_can_be_added_and_take_the_default_of_what_they_leave_out() {
    let file = "[[markets]]\npair = \"A/B\"\ntick = \"0.5\"\n[[markets]]\npair = \"C/D\"\n";
    let loaded = TestSources::new(file)
        .variable("MAX_ORDER_PRICE", "7")
        .variable("BITFITECH__MARKETS__1__LOT", "2")
        .assign("markets.2.pair=E/F")
        .load();
    let markets = &loaded.settings.markets;
    let pairs: Vec<&str> = markets.iter().map(|market| market.pair.as_str()).collect();
    assert_eq!(pairs, ["A/B", "C/D", "E/F"]);
    assert_eq!(
        (markets[0].tick.as_str(), markets[0].max_price.as_str()),
        ("0.5", "7")
    );
    assert_eq!(
        (markets[1].tick.as_str(), markets[1].lot.as_str()),
        ("0.01", "2")
    );
    assert_eq!(loaded.genesis.markets.len(), 3);

    let gap = TestSources::new("").assign("markets.2.pair=E/F").errors();
    assert!(gap[0].starts_with("markets.1.pair is missing"), "{gap:?}");
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let first = TestSources::new("")
        .variable("EXCHANGE_PAIR", "ETH/EUR")
        .assign("markets.1.pair=A/B")
        .assign("log.dir=with \"quotes\" and \\")
        .assign("log.targets=matcher=debug")
        .load();
    let again = TestSources::new(&first.to_toml()).load();
    assert_eq!(first.settings, again.settings);
    let line = "pair = \"ETH/EUR\" # environment EXCHANGE_PAIR";
    assert!(first.to_toml().contains(line), "{}", first.to_toml());
    let json = first.to_json();
    assert_eq!(json["p2p.port"]["value"], 3000);
    assert_eq!(json["markets.1.pair"]["origin"], "-D markets.1.pair");
}

#[test]
fn an_unknown_name_leads_to_the_nearest_known_one() {
    for (unknown, nearest) in [
        ("p2p.prot", "p2p.port"),
        ("port", "p2p.port"),
        ("p2p.level", "log.level"),
        ("logs.level", "log.level"),
        ("LOG.LEVEL", "log.level"),
        ("networks.name", "network.name"),
        ("markets.0.tik", "markets.0.tick"),
        ("datadir", "data_dir"),
        ("gosip", "gossip"),
        ("", "log"),
    ] {
        let nearest_found = schema::nearest(unknown);
        if unknown.is_empty() {
            assert!(!nearest_found.is_empty());
        } else {
            assert_eq!(nearest_found, nearest, "{unknown}");
        }
    }
}

#[test]
fn all_faults_are_reported_at_once_and_with_their_lines() {
    let file = "mode = \"p2p\"\n[p2p]\nport = 70000\nprot = 1\n\n[log]\nlevel = \"loud\"\n";
    let errors = TestSources::new(file)
        .variable("MAX_PEERS", "many")
        .assign("p2p.host=localhost")
        .errors();
    let begins = [
        "test.toml:3: p2p.port is `70000`, must be a whole number from 0 to 65535",
        "test.toml:4: unknown key `p2p.prot`, did you mean `p2p.port`?",
        "test.toml:7: log.level is `loud`, must be one of off, error, warn",
        "environment MAX_PEERS: p2p.max_peers is `many`, must be a whole number from 1",
        "-D p2p.host: p2p.host is `localhost`, must be an IP address",
    ];
    assert_eq!(errors.len(), begins.len(), "{errors:?}");
    for begin in begins {
        let found = errors.iter().any(|error| error.starts_with(begin));
        assert!(found, "{begin} is not in {errors:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_refused_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let broken = OsString::from_vec(vec![0xff]);
    let mut sources = TestSources::new("");
    sources
        .sources
        .environment
        .push(("SOMETHING".into(), broken.clone()));
    sources.load();
    sources
        .sources
        .environment
        .push(("P2P_PORT".into(), broken));
    let errors = sources.errors();
    assert_eq!(
        errors,
        ["environment P2P_PORT: the value must be valid UTF-8: set it anew"]
    );
}

fn is_one_line(error: &ConfigError) -> bool {
    !error.to_string().chars().any(char::is_control)
}

proptest! {
    // Each case loads a configuration for every key.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_assignment_is_taken_or_refused_in_one_line(text in "\\PC{0,80}|.{0,80}") {
        for (name, _) in full_names() {
            let test = TestSources::new("").assign(&format!("{name}={text}"));
            if let Err(errors) = Configuration::load(&test.sources) {
                prop_assert!(errors.0.iter().all(is_one_line), "{errors}");
            }
        }
    }

}

proptest! {
    #[test]
    fn any_file_is_taken_or_refused_in_one_line_each(
        text in concat!(
            "(\\[?\\[?(p2p|log|markets)\\]?\\]?|",
            "[a-z_.]{1,9} ?= ?(\"?[a-z0-9]{0,5}\"?|\\[.{0,9}))\n.{0,9}\n",
        )
    ) {
        let test = TestSources::new(&text);
        if let Err(errors) = Configuration::load(&test.sources) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(is_one_line), "{errors}");
        }
    }

    #[test]
    fn any_name_is_refused_with_a_known_one(name in "[a-z_.0-9]{0,30}") {
        let nearest = schema::nearest(&name);
        prop_assert!(schema::find(&nearest).is_some() || schema::is_section(&nearest));
    }
}

/// Writes `config.toml` anew from the table of keys: `cargo test -p bitfitech-io -- --ignored`.
#[test]
#[ignore = "writes into the source tree; run it by hand after changing the table of keys"]
fn regenerate_the_file_in_the_repository() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.toml");
    std::fs::write(path, default_file()).expect("writes config.toml");
}
