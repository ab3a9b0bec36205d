//! The text mode as people at a terminal and shell scripts meet it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::node::Node;
use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Finished, Input, run_to_end};
use crate::support::terminal::Terminal;
use crate::support::waiting::wait_until;

const PROMPT: &str = "bitfitech> ";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// A node in text mode.
fn text_node(folder: &Path) -> Command {
    Plan::named("text").command(folder)
}

/// Types these lines and lets the node end.
fn typed(lines: &str) -> Finished {
    let folder = TempDir::new().expect("a temporary folder");
    run_to_end(text_node(folder.path()), lines, Input::StaysOpen)
}

#[test]
fn a_pipe_gets_plain_lines_without_prompt_or_colour() {
    let finished = typed("help\nbuy 1.5 @ 30000\nbook\nfrobnicate\nquit\n");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let output = &finished.stdout;
    for word in ["buy", "cancel", "digest", "30000", "1.5", "frobnicate"] {
        assert!(output.contains(word), "{word} is missing:\n{output}");
    }
    assert!(
        !output.contains('\u{1b}'),
        "no colours on a pipe:\n{output}"
    );
    let prompt = |line: &&str| line.starts_with('>') || line.starts_with("bitfitech>");
    assert_eq!(output.lines().find(prompt), None, "no prompt on a pipe");
}

#[test]
fn every_command_of_the_help_has_a_help_of_its_own() {
    let words = [
        "buy",
        "sell",
        "cancel",
        "order",
        "orders",
        "book",
        "trades",
        "peers",
        "connect",
        "disconnect",
        "clock",
        "digest",
        "stats",
        "tree",
        "log",
        "crash",
        "help",
        "quit",
    ];
    let mut lines: String = words.map(|word| format!("help {word}\n")).concat();
    lines.push_str("quit\n");
    let finished = typed(&lines);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for word in words {
        assert!(
            finished.stdout.contains(word),
            "{word}:\n{}",
            finished.stdout
        );
    }
}

#[test]
fn a_script_from_a_file_runs_to_its_end() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = text_node(folder.path());
    command.arg("--exit-on-eof");
    let script = "# a comment\n\nsell 2 @ 31000\nbook\n";
    let finished = run_to_end(command, script, Input::Ends);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("31000"), "{}", finished.stdout);
}

#[test]
fn the_command_line_explains_itself() {
    let folder = TempDir::new().expect("a temporary folder");
    for (arguments, expected) in [
        (&["--help"][..], "--data-dir"),
        (&["run", "--help"], "--output"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "bitfitech"),
        (&["config", "--help"], "check"),
    ] {
        let mut command = quiet_command(folder.path());
        command.args(arguments);
        let finished = run_to_end(command, "", Input::Ends);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
        let shown = finished.stdout.contains(expected);
        assert!(
            shown,
            "{arguments:?} must show {expected}:\n{}",
            finished.stdout
        );
    }
}

/// A node at a terminal that has shown its first prompt.
fn prompting(plan: &Plan, folder: &Path) -> Terminal {
    let mut terminal = Terminal::start(plan.command(folder));
    terminal.shows("ready");
    prompted(&mut terminal);
    terminal
}

/// Waits for a prompt that takes keys.
fn prompted(terminal: &mut Terminal) {
    terminal.shows(PROMPT);
    wait_until("keys come one by one", || terminal.is_raw());
}

/// Waits for the end and checks that the terminal is as it was.
fn ended_in_order(mut terminal: Terminal) {
    assert_eq!(terminal.exit_code(), Some(0), "{}", terminal.all());
    assert!(terminal.is_restored(), "the modes of the terminal differ");
}

#[test]
fn a_terminal_completes_commands_and_remembers_them_from_run_to_run() {
    let folder = TempDir::new().expect("a temporary folder");
    let plan = Plan::named("person");
    let mut terminal = prompting(&plan, folder.path());
    terminal.types("d\t");
    terminal.shows("digest");
    terminal.shows("disconnect");
    terminal.types("ig\t\r");
    terminal.shows("operations");
    prompted(&mut terminal);
    terminal.types("sell 2 bt\t @ 31000\r");
    terminal.shows("open");
    prompted(&mut terminal);
    terminal.types(&format!("{UP}{UP}\r"));
    terminal.shows("operations");
    prompted(&mut terminal);
    terminal.types("quit\r");
    ended_in_order(terminal);

    let mut terminal = prompting(&plan, folder.path());
    terminal.types(&format!("{UP}{UP}{UP}\r"));
    terminal.shows("31000");
    prompted(&mut terminal);
    terminal.types("quit\r");
    ended_in_order(terminal);
    let path = folder.path().join("console.history");
    let kept = fs::read_to_string(&path).expect("the history is there");
    let expected = ["digest", "sell 2 BTC/USD @ 31000", "digest", "quit"];
    let again = ["sell 2 BTC/USD @ 31000", "quit"];
    assert_eq!(
        kept.lines().collect::<Vec<_>>(),
        [&expected[..], &again].concat()
    );
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn control_c_clears_the_line_and_on_an_empty_one_ends_the_node() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut terminal = prompting(&Plan::named("person"), folder.path());
    terminal.types(&format!("buy 1 @ 1{CTRL_C}digest\r"));
    terminal.shows("operations");
    prompted(&mut terminal);
    terminal.types(CTRL_C);
    ended_in_order(terminal);
}

#[test]
fn control_d_on_an_empty_line_ends_the_node() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut terminal = prompting(&Plan::named("person"), folder.path());
    terminal.types(CTRL_D);
    ended_in_order(terminal);
}

#[test]
fn signals_give_the_terminal_back_though_a_line_is_half_typed() {
    for signal in ["TERM", "INT"] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut terminal = prompting(&Plan::named("person"), folder.path());
        terminal.types("buy 1");
        terminal.shows("buy 1");
        assert!(!terminal.is_restored());
        terminal.signal(signal);
        ended_in_order(terminal);
    }
}

#[test]
fn events_and_the_log_are_shown_above_the_line_that_is_typed() {
    let other = Node::start(Plan::named("other"));
    let folder = TempDir::new().expect("a temporary folder");
    let plan = Plan::named("person");
    let mut terminal = prompting(&plan, folder.path());
    let address = other.address();
    terminal.types(&format!("connect {address}\rbo"));
    terminal.shows("connected");
    terminal.shows(&format!("{PROMPT}bo"));
    terminal.types("ok\r");
    terminal.shows("BTC/USD");
    prompted(&mut terminal);
    terminal.types("dig");
    terminal.shows("dig");
    drop(other);
    terminal.shows("disconnected");
    terminal.shows(&format!("{PROMPT}dig"));
    terminal.types("est\r");
    terminal.shows("operations");
    prompted(&mut terminal);
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
    let lines = terminal.lines();
    let prompts = lines.iter().filter(|line| line.contains(PROMPT));
    let connect = format!("{PROMPT}connect {address}");
    let typed = [connect.as_str(), "bitfitech> book", "bitfitech> digest"];
    let expected = [&typed[..], &["bitfitech> quit"]].concat();
    assert_eq!(prompts.collect::<Vec<_>>(), expected, "{lines:#?}");
    ended_in_order(terminal);
}

#[test]
fn pasted_lines_are_taken_one_by_one() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut terminal = prompting(&Plan::named("person"), folder.path());
    let lines: Vec<String> = (1..=20).map(|n| format!("sell {n} @ 31{n:03}")).collect();
    terminal.types(&format!("{}\rbook\rquit\r", lines.join("\r")));
    for number in 1..=20 {
        terminal.shows(&format!("31{number:03}"));
    }
    terminal.shows("BTC/USD");
    ended_in_order(terminal);
}

#[test]
fn the_prompt_comes_back_after_a_crash_of_the_console() {
    let folder = TempDir::new().expect("a temporary folder");
    let plan = Plan::named("person").drills();
    let mut terminal = prompting(&plan, folder.path());
    terminal.types("crash command\r");
    prompted(&mut terminal);
    terminal.types("digest\r");
    terminal.shows("operations");
    prompted(&mut terminal);
    terminal.types("quit\r");
    ended_in_order(terminal);
}

#[test]
fn programs_at_a_terminal_get_plain_lines() {
    for setting in [&["--output", "json"][..], &[]] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Plan::named("program").command(folder.path());
        command.args(setting).env("TERM", "dumb");
        let mut terminal = Terminal::start(command);
        terminal.shows("ready");
        terminal.types("digest\n");
        terminal.shows("operations");
        assert!(!terminal.is_raw());
        terminal.types("quit\n");
        assert_eq!(terminal.exit_code(), Some(0));
        assert!(!terminal.all().contains(PROMPT), "{}", terminal.all());
    }
}
