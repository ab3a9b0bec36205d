//! Runs of the program: those that are expected to end by themselves, and what others print.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::waiting::{PATIENCE, look_until};

/// What a run left behind.
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All that it printed.
    pub stdout: String,
    /// All that it logged or complained about.
    pub stderr: String,
}

/// Whether the program's input stays open after the given text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Closed: the program sees the end of its input.
    Ends,
    /// Left open until the program ends.
    StaysOpen,
}

/// Runs the command with this text as its input until it ends.
///
/// # Panics
/// When it does not end within [`PATIENCE`].
pub fn run_to_end(mut command: Command, text: &str, input: Input) -> Finished {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let stdout = collect(child.stdout.take().expect("a piped stdout"));
    let stderr = collect(child.stderr.take().expect("a piped stderr"));
    // A program that ends before it reads its input closes the pipe: that is no fault.
    let written = stdin.write_all(text.as_bytes());
    // What is not kept is dropped here, and that closes the pipe.
    let kept_open = Some(stdin).filter(|_| input == Input::StaysOpen);
    let status = wait_for_exit(&mut child);
    drop(kept_open);
    let stdout = stdout.join().expect("the reader of stdout");
    let stderr = stderr.join().expect("the reader of stderr");
    let status = status.unwrap_or_else(|| {
        panic!("{command:?} did not end ({written:?})\nstdout:\n{stdout}\nstderr:\n{stderr}")
    });
    Finished {
        code: status.code(),
        stdout,
        stderr,
    }
}

/// Reads lines in a thread of its own until the process closes its output.
pub fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for the end of a process. One that does not end in time is killed, and that is `None`.
pub fn wait_for_exit(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    let status = look_until(deadline, || child.try_wait().expect("a child of ours"));
    if status.is_none() {
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }
    status
}

/// Sends a signal by name, `TERM` or `INT`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {}", child.id()))
        .status()
        .expect("a shell");
    assert!(sent.success(), "kill -{name} must reach the process");
}

/// Reads a stream to its end in a thread of its own, so that a full pipe cannot stop the program.
fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
