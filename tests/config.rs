//! Configuration and command line through the real program: what is refused and how, what wins
//! over what, and that nothing appears on the disk before everything is right.

#[path = "config/bad_configurations.rs"]
mod bad_configurations;
#[path = "support/bare.rs"]
mod bare;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use bad_configurations::Given::{Arguments, Assigned, File, Variable};
use bad_configurations::{BAD_FILES, BAD_REST, Bad};
use bare::bare;

/// Exit code of wrong usage or configuration.
const USAGE: i32 = 2;

/// A working directory of its own, in which the program runs with an environment of its own.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    /// With this `config.toml` in the working directory.
    fn with_file(text: &str) -> Self {
        let place = Self::new();
        fs::write(place.path().join("config.toml"), text).expect("writes config.toml");
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        bare(&mut Command::new(env!("CARGO_BIN_EXE_bitfitech")))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.path())
            .output()
            .expect("the program runs")
    }

    /// The names of everything in the directory.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("the directory is there");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into()
            })
            .collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The standard output of a run that must succeed.
fn succeeds(output: &Output) -> String {
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

/// `config show` as JSON.
fn show(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let all: Vec<&str> = ["config", "show", "--output", "json"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    serde_json::from_str(&succeeds(&place.run(&all, environment))).expect("is JSON")
}

/// Runs a command with a bad configuration and checks that it is refused as it should be.
fn check_refusal(command: &[&str], bad: &Bad) {
    let (given, words, mend) = bad;
    let place = match given {
        File(text) => Place::with_file(text),
        _ => Place::new(),
    };
    let before = place.entries();
    let mut arguments = command.to_vec();
    let mut environment = Vec::new();
    match given {
        File(_) => {}
        Variable(name, value) => environment.push((*name, *value)),
        Assigned(assignment) => arguments.extend(["-D", assignment]),
        Arguments(more) => arguments.extend(*more),
    }
    let output = place.run(&arguments, &environment);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let context = format!("{arguments:?} {environment:?}: {stderr}");
    assert_eq!(output.status.code(), Some(USAGE), "{context}");
    assert_eq!(stdout, "", "{context}");
    assert!(
        stderr.starts_with("error: ") && stderr.ends_with('\n'),
        "{context}"
    );
    assert_eq!(stderr.lines().count(), 1, "{context}");
    for word in words.iter().chain([mend]) {
        assert!(stderr.contains(word), "`{word}` is not in: {context}");
    }
    assert_eq!(place.entries(), before, "something was made: {context}");
}

#[test]
fn every_bad_file_is_refused_in_one_line_and_nothing_is_made() {
    assert!(BAD_FILES.len() >= 50);
    for bad in BAD_FILES {
        check_refusal(&["config", "check"], bad);
    }
}

#[test]
fn every_bad_variable_and_option_is_refused_in_one_line_and_nothing_is_made() {
    for bad in BAD_REST {
        check_refusal(&["config", "check"], bad);
    }
}

#[test]
fn a_node_and_the_keys_refuse_a_bad_configuration_just_so() {
    let of_run_alone = |bad: &&Bad| !matches!(bad.0, Arguments(["--exit-on-eof"]));
    for bad in BAD_FILES
        .iter()
        .step_by(7)
        .chain(BAD_REST)
        .filter(of_run_alone)
    {
        check_refusal(&["run"], bad);
        check_refusal(&["keys", "new"], bad);
    }
}

#[test]
fn files_that_are_no_text_or_too_large_are_refused() {
    for (bytes, word) in [
        (vec![0xff, 0xfe, 0x00], "UTF-8"),
        (vec![b'#'; (1 << 20) + 1], "larger than 1048576 bytes"),
    ] {
        let place = Place::new();
        fs::write(place.path().join("config.toml"), bytes).expect("writes");
        let output = place.run(&["config", "check"], &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE));
        assert!(
            stderr.contains(word) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn several_faults_are_several_lines() {
    let place = Place::with_file("[p2p]\nport = 70000\nprot = 1\n");
    let environment = [("LOG_LEVEL", "loud")];
    let output = place.run(&["config", "check", "-D", "a=1"], &environment);
    assert_eq!(text(&output.stderr).lines().count(), 4);

    let json = ["config", "check", "--output", "json", "-D", "a=1"];
    let output = place.run(&json, &environment);
    assert_eq!(output.status.code(), Some(USAGE));
    let report: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(report["ok"], false);
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_good_configuration_is_ok_and_nothing_is_made() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    let place = Place::new();
    assert_eq!(succeeds(&place.run(&["config", "check"], &[])), "ok\n");
    let named = ["config", "check", "--config", repository];
    assert_eq!(succeeds(&place.run(&named, &[])), "ok\n");
    let json = ["config", "check", "--output", "json"];
    assert_eq!(
        succeeds(&place.run(&json, &[])),
        "{\"errors\":[],\"ok\":true}\n"
    );
    assert_eq!(place.entries(), Vec::<String>::new());
}

#[test]
fn the_defaults_are_those_of_the_file_in_the_repository() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    let place = Place::new();
    let defaults = show(&place, &[], &[]);
    let from_file = show(&place, &["--config", repository], &[]);
    let keys = |shown: &Value| -> Vec<(String, Value)> {
        let entries = shown.as_object().expect("an object").iter();
        entries
            .map(|(key, entry)| (key.clone(), entry["value"].clone()))
            .collect()
    };
    assert_eq!(keys(&defaults), keys(&from_file));
    for (key, entry) in from_file.as_object().expect("an object") {
        let origin = entry["origin"].as_str().expect("text");
        assert!(
            origin.contains("config.toml:"),
            "{key} is not in config.toml"
        );
    }
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file_beats_the_default() {
    let place = Place::with_file("[p2p]\nport = 1\n[log]\nlevel = \"warn\"\n");
    let port = |arguments: &[&str], environment: &[(&str, &str)]| {
        show(&place, arguments, environment)["p2p.port"].clone()
    };
    let entry = |value: u16, origin: &str| serde_json::json!({"value": value, "origin": origin});
    assert_eq!(port(&[], &[]), entry(1, "config.toml:2"));
    let short = ("P2P_PORT", "2");
    assert_eq!(port(&[], &[short]), entry(2, "environment P2P_PORT"));
    let both = [short, ("BITFITECH__P2P__PORT", "3")];
    assert_eq!(
        port(&[], &both),
        entry(3, "environment BITFITECH__P2P__PORT")
    );
    let assigned = ["-D", "p2p.port=4"];
    assert_eq!(port(&assigned, &both), entry(4, "-D p2p.port"));

    let shown = show(
        &place,
        &["--log-level", "debug", "-D", "log.level=off"],
        &[],
    );
    assert_eq!(shown["log.level"]["origin"], "--log-level");
    assert_eq!(shown["network.name"]["origin"], "default");
    let elsewhere = show(
        &place,
        &["--data-dir", "elsewhere"],
        &[("LOG_LEVEL", "error")],
    );
    assert_eq!(elsewhere["data_dir"]["value"], "elsewhere");
    assert_eq!(elsewhere["log.level"]["origin"], "environment LOG_LEVEL");
}

/// Well-known variables, each with a value and the key that it sets.
const WELL_KNOWN: &[(&str, &str, &str)] = &[
    ("P2P_HOST", "127.0.0.1", "p2p.host"),
    ("P2P_PORT", "4000", "p2p.port"),
    ("MAX_PEERS", "7", "p2p.max_peers"),
    (
        "PEER_RECONNECT_INTERVAL",
        "1000",
        "p2p.reconnect_interval_ms",
    ),
    ("PEER_STORAGE_PATH", "peers", "p2p.peer_storage_path"),
    ("BOOTSTRAP_PEERS", "a:1,b:2", "discovery.bootstrap_peers"),
    (
        "USE_WELL_KNOWN_NODES",
        "false",
        "discovery.well_known_nodes",
    ),
    ("DISCOVERY_MDNS", "false", "discovery.mdns"),
    ("DISCOVERY_GRENACHE", "false", "discovery.grenache"),
    (
        "DISCOVERY_PEER_EXCHANGE",
        "false",
        "discovery.peer_exchange",
    ),
    ("GRAPE_HOST", "127.0.0.2", "grape.host"),
    ("GRAPE_DHT_PORT", "20002", "grape.dht_port"),
    ("GRAPE_API_PORT", "30002", "grape.api_port"),
    ("GRAPE_BOOTSTRAP_NODES", "c:1,d:2", "grape.bootstrap_nodes"),
    ("GRAPE_URL", "http://a:1", "grape.url"),
    ("ENABLE_METRICS", "false", "api.metrics"),
    ("METRICS_PORT", "9100", "api.metrics_port"),
    ("EXCHANGE_PAIR", "ETH/EUR", "markets.0.pair"),
    ("MAX_ORDER_AMOUNT", "12", "markets.0.max_quantity"),
    ("MAX_ORDER_PRICE", "13", "markets.0.max_price"),
    (
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        "4",
        "breaker.failure_threshold",
    ),
    (
        "CIRCUIT_BREAKER_RESET_TIMEOUT_MS",
        "5000",
        "breaker.reset_timeout_ms",
    ),
    ("ENABLE_RATE_LIMIT", "false", "limits.enabled"),
    ("MAX_ORDERS_PER_SECOND", "9", "limits.orders_per_second"),
    ("MAX_ORDERS_PER_MINUTE", "99", "limits.orders_per_minute"),
    (
        "MAX_REQUESTS_PER_MINUTE",
        "98",
        "limits.requests_per_minute",
    ),
    ("MAX_MESSAGE_SIZE_KB", "512", "limits.max_message_kb"),
    ("LOG_LEVEL", "debug", "log.level"),
    ("LOG_DIR", "elsewhere", "log.dir"),
    ("LOG_MAX_FILES", "3", "log.max_files"),
    ("LOG_MAX_SIZE_MB", "4", "log.max_size_mb"),
    (
        "HEALTH_CHECK_INTERVAL_MS",
        "20000",
        "supervisor.probe_interval_ms",
    ),
];

#[test]
fn the_well_known_variables_reach_their_keys() {
    let place = Place::new();
    let environment = WELL_KNOWN.iter().map(|&(name, value, _)| (name, value));
    let environment: Vec<(&str, &str)> = environment.collect();
    let shown = show(&place, &[], &environment);
    for &(name, value, key) in WELL_KNOWN {
        let entry = &shown[key];
        assert_eq!(entry["origin"], format!("environment {name}"), "{key}");
        let printed = match &entry["value"] {
            Value::Array(items) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                items.join(",")
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(printed, value, "{key}");
    }
    let p2p = [("EMBEDDED_GRAPE", "false"), ("DISCOVERY_GRENACHE", "false")];
    let mode = &show(&place, &[], &p2p)["mode"];
    assert_eq!(mode["origin"], "environment EMBEDDED_GRAPE");
}

#[test]
fn variables_of_others_are_passed_over() {
    let environment = [
        ("GRAPE", "x"),
        ("METRICS", "x"),
        ("BITFITECH_PORT", "tcp://10.0.0.1:3000"),
        ("P2PPORT", "x"),
    ];
    assert_eq!(
        succeeds(&Place::new().run(&["config", "check"], &environment)),
        "ok\n"
    );
}

#[test]
fn lists_are_comma_separated_and_empty_text_is_the_empty_list() {
    let place = Place::with_file("[discovery]\nbootstrap_peers = [\"a:1\"]\n");
    let peers = |arguments: &[&str], environment: &[(&str, &str)]| {
        show(&place, arguments, environment)["discovery.bootstrap_peers"]["value"].clone()
    };
    assert_eq!(peers(&[], &[]), serde_json::json!(["a:1"]));
    assert_eq!(
        peers(&[], &[("BOOTSTRAP_PEERS", "")]),
        serde_json::json!([])
    );
    let two = ["-D", "discovery.bootstrap_peers=[::1]:2,c.example:3"];
    assert_eq!(
        peers(&two, &[]),
        serde_json::json!(["[::1]:2", "c.example:3"])
    );
    assert_eq!(
        peers(&["-D", "discovery.bootstrap_peers="], &[]),
        serde_json::json!([])
    );
}

#[test]
fn what_config_show_prints_is_a_configuration_file() {
    let place = Place::new();
    let changed = [
        "config",
        "show",
        "-D",
        "markets.1.pair=A/B",
        "-D",
        "log.dir=a \"b\" \\",
    ];
    let shown = succeeds(&place.run(&changed, &[("P2P_PORT", "1")]));
    assert!(
        shown.contains("port = 1 # environment P2P_PORT\n"),
        "{shown}"
    );
    fs::write(place.path().join("config.toml"), &shown).expect("writes");
    let again = succeeds(&place.run(&["config", "show"], &[]));
    let values = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split(" # ").next().unwrap_or(line));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(values(&shown), values(&again));
}

#[test]
fn the_key_is_made_once_and_shown() {
    let place = Place::new();
    let missing = place.run(&["keys", "show"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("keys new"), "{missing:?}");
    assert_eq!(place.entries(), Vec::<String>::new());

    let made = succeeds(&place.run(&["keys", "new"], &[]));
    assert_eq!(made.trim_end().len(), 64);
    assert_eq!(succeeds(&place.run(&["keys", "show"], &[])), made);
    let json = succeeds(&place.run(&["keys", "show", "--output", "json"], &[]));
    let json: Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(json["node"], made.trim_end());
    assert_eq!(json["path"], "data/node.key");

    let again = place.run(&["keys", "new"], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is not replaced"), "{again:?}");
    assert_eq!(succeeds(&place.run(&["keys", "show"], &[])), made);
    let other = succeeds(&place.run(&["--data-dir", "b", "keys", "new"], &[]));
    assert_ne!(other, made);
}

#[test]
fn the_help_teaches_with_examples_variables_and_exit_codes() {
    let place = Place::new();
    let help = succeeds(&place.run(&["--help"], &[]));
    for word in [
        "Examples:",
        "bitfitech --data-dir a -D p2p.port=3001",
        "Exit codes:",
        "Precedence",
        "BITFITECH__P2P__PORT",
        "P2P_PORT",
        "CIRCUIT_BREAKER_RESET_TIMEOUT_MS",
        "api.metrics_port [0]\n",
        "p2p.max_peers [50]\n",
        "completions",
        "--exit-on-eof",
    ] {
        assert!(help.contains(word), "`{word}` is not in the help");
    }
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for command in ["run", "keys", "config", "completions"] {
        let text = succeeds(&place.run(&[command, "--help"], &[]));
        assert!(text.contains("Usage: bitfitech"), "{text}");
    }
    let version = succeeds(&place.run(&["--version"], &[]));
    assert_eq!(
        version,
        format!("bitfitech {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_know_the_subcommands_of_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(&place.run(&["completions", shell], &[]));
        for word in ["completions", "config", "check", "data-dir"] {
            assert!(
                script.contains(word),
                "{word} is not in the script for {shell}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn nobody_hears_of_a_pipe_that_was_closed_early() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = bare(&mut Command::new(env!("CARGO_BIN_EXE_bitfitech")))
        .args(["config", "show"])
        .current_dir(place.path())
        .stdout(writer)
        .output()
        .expect("the program runs");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}
