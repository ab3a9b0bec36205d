//! The text mode as people and shell scripts meet it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::plan::{Plan, quiet_command};
use crate::support::program::{Finished, Input, run_to_end};

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
