//! Tests of the command line: what is understood, and what is wrong usage.

use super::*;

fn parse_words(words: &str) -> Result<Invocation, Stop> {
    let words = words.split_whitespace().map(OsString::from);
    parse(std::iter::once(OsString::from("bitfitech")).chain(words))
}

fn accepted(words: &str) -> Invocation {
    parse_words(words).unwrap_or_else(|stop| panic!("{words}: {stop:?}"))
}

#[test]
fn the_definitions_are_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn options_count_before_and_after_the_subcommand() {
    for words in [
        "--data-dir d -D a=1 -D b=2 --output json --config f --log-level warn run",
        "run --data-dir d -D a=1 -D b=2 --output json --config f --log-level warn",
        "--data-dir x -D a=1 --config f run --data-dir d -D b=2 --output json --log-level warn",
        "--data-dir d -D a=1 -D b=2 --output json --config f --log-level warn",
        "-D a=1 config -D b=2 --output json show --data-dir d --config f --log-level warn",
    ] {
        let options = accepted(words).options;
        assert_eq!(options.assignments, ["a=1", "b=2"], "{words}");
        assert_eq!(options.data_dir.as_deref(), Some("d"), "{words}");
        assert_eq!(options.config, Some(PathBuf::from("f")), "{words}");
        assert_eq!(options.log_level.as_deref(), Some("warn"), "{words}");
        assert_eq!(options.output(), Output::Json, "{words}");
    }
}

#[test]
fn every_command_is_found_and_run_is_the_default() {
    for (words, command) in [
        ("", Command::Run(AtEndOfInput::GoOn)),
        ("run", Command::Run(AtEndOfInput::GoOn)),
        ("--exit-on-eof", Command::Run(AtEndOfInput::Exit)),
        ("run --exit-on-eof", Command::Run(AtEndOfInput::Exit)),
        ("--exit-on-eof run", Command::Run(AtEndOfInput::Exit)),
        ("keys show", Command::KeysShow),
        ("keys new", Command::KeysNew),
        ("config show", Command::ConfigShow),
        ("config check", Command::ConfigCheck),
        ("verify", Command::Verify),
        ("cluster", Command::Cluster(3)),
        ("cluster --nodes 5", Command::Cluster(5)),
        (
            "completions fish",
            Command::Completions(clap_complete::Shell::Fish),
        ),
    ] {
        assert_eq!(accepted(words).command, command, "{words}");
    }
}

#[test]
fn replay_runs_a_file_or_makes_one() {
    let run = |pair: Option<&str>| ReplayCommand::Run {
        file: PathBuf::from("f"),
        pair: pair.map(str::to_owned),
    };
    let generate = |mix, operations, seed| ReplayCommand::Generate {
        mix,
        operations,
        seed,
        file: PathBuf::from("f"),
    };
    for (words, command) in [
        ("replay f", run(None)),
        ("replay --pair A/B f", run(Some("A/B"))),
        (
            "replay --generate A --out f",
            generate(Mix::A, 1_000_000, 1),
        ),
        (
            "replay --generate b --out f --ops 0",
            generate(Mix::B, 0, 1),
        ),
        (
            "replay --seed 18446744073709551615 --ops 7 --out f --generate C",
            generate(Mix::C, 7, u64::MAX),
        ),
    ] {
        let invocation = accepted(&format!("-D a=1 {words} --output json"));
        assert_eq!(invocation.command, Command::Replay(command), "{words}");
        assert_eq!(invocation.options.output(), Output::Json, "{words}");
    }
}

#[test]
fn a_simulation_takes_its_settings_or_lists_names() {
    let words = "sim --nodes 7 --seed 3 --duration 2s --latency 5ms..9ms --output json";
    let settings = SimSettings {
        scenario: "steady".to_owned(),
        nodes: Some(7),
        seed: Some(3),
        duration_ms: Some(2_000),
        latency_ms: Some((5, 9)),
        ..SimSettings::default()
    };
    let invocation = accepted(words);
    let run = SimCommand::Run(Box::new(settings));
    assert_eq!(invocation.command, Command::Sim(run));
    assert_eq!(invocation.options.output(), Output::Json);
    for (words, list) in [
        ("sim --scenario list", SimCommand::ListScenarios),
        ("sim --adversary list", SimCommand::ListAdversaries),
        ("sim --canary list", SimCommand::ListCanaries),
    ] {
        assert_eq!(accepted(words).command, Command::Sim(list));
    }
}

#[test]
fn a_grape_takes_the_options_of_the_program_that_it_replaces() {
    let words = "grape --dht_port 1 --api_port 2 --bootstrap a:3,,127.0.0.1:4 -b 127.0.0.1";
    let Command::Grape(command) = accepted(words).command else {
        panic!("not a grape");
    };
    assert_eq!((command.dht_port, command.api_port), (1, Some(2)));
    assert_eq!(command.bootstrap.len(), 2);
    assert_eq!(command.peer_age_ms_max, 120_000);
    assert_eq!(command.payload_bytes_max, 8_192);
    let words = "grape --dp 1 --bn= --dpa 200 --dc 3 --dht_maxValues 7 --events json";
    let Command::Grape(command) = accepted(words).command else {
        panic!("not a grape");
    };
    assert_eq!(command.api_port, None);
    assert_eq!(command.bootstrap, []);
    assert_eq!((command.peer_age_ms_max, command.values_max), (200, 7));
    assert!(command.events.is_some());
}

#[test]
fn the_program_of_a_grape_alone_does_what_it_is_told_to() {
    for words in [
        "grape --dp 1 --bn=",
        "grape --dp 0 --aph 2 --bn [::1]:3,grape.example:4 -b ::1 --dpa 200 --events json",
        "grape --dp 1 --bn= --check_maxPayloadSize 5 --dht_maxTables 6 --dht_maxValues 7 --dnl 8",
    ] {
        let Command::Grape(command) = accepted(words).command else {
            panic!("not a grape");
        };
        let arguments = [GRAPE_PROGRAM.to_owned()].into_iter();
        let arguments = arguments.chain(command.arguments()).map(OsString::from);
        let understood = parse_grape(arguments).expect("its own arguments");
        assert_eq!(understood, *command, "{words}");
    }
    let arguments = ["bitfitech-grape", "--dp", "1"].map(OsString::from);
    let Err(Stop::Usage(line)) = parse_grape(arguments) else {
        panic!("without entrances");
    };
    assert!(line.ends_with("see bitfitech-grape --help"), "{line}");
}

#[test]
fn wrong_usage_is_one_line_that_says_where_help_is() {
    for words in [
        "--nonsense",
        "nonsense",
        "run nonsense",
        "keys",
        "keys nonsense",
        "config",
        "completions",
        "completions nonsense",
        "--output xml",
        "--log-level loud",
        "--config",
        "-D",
        "--config a --config b",
        "--exit-on-eof keys show",
        "--exit-on-eof replay f",
        "replay",
        "replay f g",
        "replay f --ops 1",
        "replay f --seed 1",
        "replay f --out g",
        "replay f --generate A --out g",
        "replay --generate A",
        "replay --generate D --out f",
        "replay --generate A --out f --pair BTC/USD",
        "replay --generate A --out f --ops 100000001",
        "replay --generate A --out f --ops -1",
        "replay --generate A --out f --seed x",
        "replay --ops 1 --out f",
        "sim nonsense",
        "sim --nodes 1",
        "sim --loss 2",
        "sim --latency 10",
        "sim --duration 5",
        "sim --byzantine 100",
        "--exit-on-eof sim",
        "cluster --nodes 0",
        "cluster --nodes 17",
        "grape --aph 1 --bn=",
        "grape --dp 1",
        "grape --dp 1 --bn nonsense",
        "grape --dp 70000 --bn=",
        "grape --dp 1 --bn= --dpa 0",
        "grape --dp 1 --bn= --events xml",
    ] {
        match parse_words(words) {
            Err(Stop::Usage(line)) => {
                assert!(!line.is_empty() && !line.contains('\n'), "{words}: {line}");
                let mends = line.contains("--help") || line.contains("leave it out");
                assert!(mends, "{words}: {line}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}
