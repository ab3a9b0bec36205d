//! The README is true: its commands are executed.
//!
//! Blocks marked `sh` hold what to type into a shell; of those, the lines that start the program
//! are started as they stand. Blocks marked `console NUMBER` hold what to type into the node of
//! that number, in the order of the page, and after `→` what the answer must contain. Other blocks
//! show commands behind `$`, and below each how its answer begins, line by line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::plan::{PROGRAM, quiet_command};
use crate::support::program::read_lines;
use crate::support::waiting::PATIENCE;

/// How the README starts the program.
const START: &str = "cargo run --release -- ";

/// The command that runs the tests, as the README must name it.
const TEST_COMMAND: &str = "tests/run";

/// Commands that change nothing, so that they may be typed again.
const LOOKING: [&str; 8] = [
    "book", "digest", "help", "order", "orders", "peers", "trades", "tree",
];

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("the README")
}

/// The fenced blocks: what the fence says, and the lines.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(tag), None) => open = Some((tag.trim().to_owned(), Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "every fence of the README is closed");
    blocks
}

/// A node of the tour, in text mode.
struct Terminal {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take().expect("a piped stdin");
        let stdout = child.stdout.take().expect("a piped stdout");
        let lines = read_lines(stdout);
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// Types the line and waits for an answer that contains the text. A line that only looks is
    /// typed again for a while: what it shows may still be on its way from another node.
    fn types(&mut self, line: &str, expected: &str) {
        let word = line.split_whitespace().next().unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        let patience = match LOOKING.contains(&word) {
            true => Duration::from_millis(500),
            false => PATIENCE,
        };
        let mut seen = Vec::new();
        loop {
            writeln!(self.stdin, "{line}").expect("the node reads");
            if expected.is_empty() || self.reads(expected, Instant::now() + patience, &mut seen) {
                return;
            }
            let seen = seen.join("\n");
            let late = Instant::now() >= deadline;
            assert!(!late, "`{line}` must show `{expected}`; seen:\n{seen}");
        }
    }

    /// Reads until a line contains the text; whether one did before the deadline.
    fn reads(&mut self, expected: &str, deadline: Instant, seen: &mut Vec<String>) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(answer) = self.lines.recv_timeout(left) else {
                return false;
            };
            let found = answer.contains(expected);
            seen.push(answer);
            if found {
                return true;
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }
}

#[test]
fn the_readme_names_the_one_command_for_each_purpose() {
    let shell: Vec<String> = blocks(&readme())
        .into_iter()
        .filter(|(tag, _)| tag == "sh")
        .flat_map(|(_, lines)| lines)
        .collect();
    assert!(shell.iter().any(|line| line == "cargo run --release"));
    assert!(shell.iter().any(|line| line == TEST_COMMAND));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(TEST_COMMAND);
    assert!(script.is_file(), "{TEST_COMMAND} is there");
    let ci = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run");
    let ci = fs::read_to_string(ci).expect("the script of continuous integration");
    assert!(
        ci.contains(&format!("exec {TEST_COMMAND}")),
        "it calls the same"
    );
}

#[test]
fn every_other_command_of_the_readme_answers_as_shown() {
    let folder = TempDir::new().expect("a temporary folder");
    let programs = Path::new(PROGRAM).parent().expect("it lies in a folder");
    let paths = std::env::var("PATH").unwrap_or_default();
    let paths = format!("{}:{paths}", programs.display());
    let shown = blocks(&readme())
        .into_iter()
        .filter(|(tag, _)| tag == "text");
    let mut ran = 0;
    for lines in shown.map(|(_, lines)| lines) {
        for part in lines.chunk_by(|_, next| !next.starts_with("$ ")) {
            let command = part[0].strip_prefix("$ ").expect("a command comes first");
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(command).current_dir(folder.path());
            let output = shell
                .env("PATH", &paths)
                .output()
                .expect("it can be started");
            let answer = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{command}: {answer}");
            // Events may come in between.
            let mut answers = answer.lines();
            for line in part[1..].iter().filter(|line| *line != "…") {
                let begins = line.split(['…', ',', ' ']).next().unwrap_or_default();
                let found = answers.any(|answer| answer.starts_with(begins));
                assert!(found, "{command}: nothing begins like `{line}` in {answer}");
            }
            ran += 1;
        }
    }
    assert!(ran >= 4, "something is run");
}

#[test]
fn the_tour_of_the_readme_works_as_written() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    fs::copy(config, folder.path().join("config.toml")).expect("the configuration");
    let mut terminals: BTreeMap<String, Terminal> = BTreeMap::new();
    let mut typed = 0;
    for (tag, lines) in blocks(&readme()) {
        let starts = lines.iter().filter_map(|line| line.strip_prefix(START));
        for arguments in starts.filter(|_| tag == "sh") {
            let mut command = quiet_command(folder.path());
            command.args(arguments.split_whitespace());
            let number = (terminals.len() + 1).to_string();
            let mut terminal = Terminal::start(command);
            terminal.types("help quit", "quit");
            terminals.insert(number, terminal);
        }
        let Some(number) = tag.strip_prefix("console ") else {
            continue;
        };
        let terminal = terminals
            .get_mut(number)
            .expect("a terminal of that number");
        for line in &lines {
            let (command, expected) = line.split_once('→').unwrap_or((line, ""));
            terminal.types(command.trim(), expected.trim());
            typed += 1;
        }
    }
    assert_eq!(terminals.len(), 3, "three nodes in three terminals");
    assert!(typed >= 5, "something is typed");
}
