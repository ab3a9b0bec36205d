//! `bitfitech cluster`: a small network at one terminal.

use std::io::Write;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::plan::quiet_command;
use crate::support::program::{read_lines, signal, wait_for_exit};
use crate::support::waiting::PATIENCE;

/// A cluster at a terminal.
struct Cluster {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    _folder: TempDir,
}

impl Cluster {
    fn start(nodes: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = quiet_command(folder.path());
        command.args(["cluster", "--nodes", &nodes.to_string()]);
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("a piped stdout");
        let lines = read_lines(stdout);
        Self {
            child,
            stdin,
            lines,
            _folder: folder,
        }
    }

    fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Reads until a line begins and goes on so.
    fn sees(&mut self, begin: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!(
                    "`{begin} … {text}` must be said; seen:\n{}",
                    seen.join("\n")
                );
            };
            if line.starts_with(begin) && line.contains(text) {
                return line;
            }
            seen.push(line);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended by itself; its nodes end with their input.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }
}

#[test]
fn two_nodes_trade_at_one_terminal_and_end_with_it() {
    let mut cluster = Cluster::start(2);
    let page = cluster.sees("2 nodes", "on one page: http://127.0.0.1:");
    assert!(page.ends_with('/'), "{page}");
    cluster.sees("1: ", "connected");
    cluster.types("1: sell 1 @ 5");
    cluster.sees("1: ", "open");
    cluster.types("2: buy 1 @ 5 ");
    cluster.sees("1: ", "final");
    cluster.types("digest");
    cluster.sees("which node?", "all:");
    cluster.types("3: digest");
    cluster.sees("which node?", "1: to 2:");
    cluster.types("all: digest");
    cluster.sees("1: ", "operations");
    cluster.types("2: quit");
    cluster.sees("2: the node has ended", "exit status: 0");
    cluster.types("2: book");
    cluster.sees("2: ", "this node has ended");
    cluster.types("quit");
    cluster.sees("1: the node has ended", "exit status: 0");
    let status = wait_for_exit(&mut cluster.child).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_signal_ends_all_nodes_in_order() {
    let mut cluster = Cluster::start(2);
    cluster.sees("2: ", "connected");
    signal(&cluster.child, "TERM");
    cluster.sees("2: the node has ended", "exit status: 0");
    cluster.sees("1: the node has ended", "exit status: 0");
    let status = wait_for_exit(&mut cluster.child).expect("it ends");
    assert_eq!(status.code(), Some(0));
}
