//! One node under load: a child process, its input, and a thread that reads what it prints.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use serde_json::Value;

/// What a node printed.
pub(super) struct Line {
    pub node: usize,
    /// When it was read.
    pub at: Instant,
    pub told: Told,
}

/// What matters of a line.
pub(super) enum Told {
    /// It listens here.
    Ready(String),
    /// It shows a trade of this buying order for the first time.
    Traded(String),
    /// A reply.
    Answer(Value),
}

/// A node. Dropping it ends its process.
pub(super) struct Node {
    child: Child,
    input: ChildStdin,
    address: Option<String>,
    /// Lines without a reply; whether each is an order.
    open_orders: usize,
    open_questions: usize,
    answer: Option<Value>,
}

impl Node {
    /// Starts a node that dials these addresses.
    pub(super) fn start(
        index: usize,
        place: &Path,
        known: &[String],
        lines: Sender<Line>,
    ) -> Result<Self, String> {
        let mut command = super::command(place, known)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |error: std::io::Error| format!("node {index} does not start: {error}");
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take().ok_or("it has no input")?;
        let output = child.stdout.take().ok_or("it has no output")?;
        thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                let at = Instant::now();
                let line = told(&text).map(|told| Line {
                    node: index,
                    at,
                    told,
                });
                // Nobody listens any more when everything is over.
                if line.is_some_and(|line| lines.send(line).is_err()) {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            address: None,
            open_orders: 0,
            open_questions: 0,
            answer: None,
        })
    }

    /// Where it listens; empty before it is ready.
    pub(super) fn address(&self) -> &str {
        self.address.as_deref().unwrap_or_default()
    }

    pub(super) fn set_address(&mut self, address: String) {
        self.address = Some(address);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.address.is_some()
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether its process has ended.
    pub(super) fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether everything is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.open_orders + self.open_questions == 0
    }

    /// Places an order.
    pub(super) fn send(&mut self, line: &str) -> Result<(), String> {
        self.open_orders += 1;
        self.write(line)
    }

    /// Asks something, of a node that is idle.
    pub(super) fn ask(&mut self, line: &str) -> Result<(), String> {
        self.open_questions += 1;
        self.write(line)
    }

    fn write(&mut self, line: &str) -> Result<(), String> {
        let written = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        written.map_err(|error| format!("a node takes no more commands: {error}"))
    }

    /// A reply came. Whether it is that to an order: questions are asked when no order is open.
    pub(super) fn take_reply(&mut self, answer: &Value) -> bool {
        if self.open_orders > 0 {
            self.open_orders -= 1;
            return true;
        }
        self.open_questions = self.open_questions.saturating_sub(1);
        self.answer = Some(answer.clone());
        false
    }

    /// The answer to a question.
    pub(super) fn take_answer(&mut self) -> Option<Value> {
        self.answer.take()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its data is thrown away, so it need not end in order.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// What matters of a line that a node printed.
fn told(text: &str) -> Option<Told> {
    let value: Value = serde_json::from_str(text).ok()?;
    if value["reply"].is_string() {
        return Some(Told::Answer(value));
    }
    match value["event"].as_str()? {
        "ready" => Some(Told::Ready(value["p2p"].as_str()?.to_owned())),
        "trade" if value["status"] == "tentative" => {
            Some(Told::Traded(value["buy"].as_str()?.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_counts_when_it_is_shown_for_the_first_time() {
        let line = |status| format!(r#"{{"event":"trade","buy":"ab","status":"{status}"}}"#);
        let seen = |text: &str| match told(text) {
            Some(Told::Traded(order)) => Some(order),
            _ => None,
        };
        assert_eq!(seen(&line("tentative")).as_deref(), Some("ab"));
        assert_eq!(seen(&line("final")), None);
        assert_eq!(seen("no JSON"), None);
    }
}
