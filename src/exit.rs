//! How the process ends: what it writes last, and its exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::Stop;

/// Exit code of a failure at run time.
const RUN_TIME: u8 = 1;

/// Exit code of wrong usage or configuration.
const USAGE: u8 = 2;

/// Why the process fails. The texts have one line for each fault.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration.
    Usage(String),
    /// Wrong configuration, and a report of it was asked for on the standard output.
    Reported {
        /// For the standard output.
        report: String,
        /// For the standard error stream.
        lines: String,
    },
    /// A report of faults was asked for, and there are some.
    Found {
        /// For the standard output.
        report: String,
        /// For the standard error stream.
        lines: String,
    },
    /// Everything else.
    RunTime(String),
}

/// Writes the outcome of a command and gives its exit code.
pub fn finish(outcome: Result<String, Failure>) -> ExitCode {
    match outcome {
        Ok(text) => write_out(text.as_bytes()),
        Err(Failure::Usage(lines)) => fail(&lines, USAGE),
        Err(Failure::RunTime(lines)) => fail(&lines, RUN_TIME),
        Err(Failure::Reported { report, lines }) => {
            write_out(report.as_bytes());
            fail(&lines, USAGE)
        }
        Err(Failure::Found { report, lines }) => {
            write_out(report.as_bytes());
            fail(&lines, RUN_TIME)
        }
    }
}

/// Writes what the user gets instead of a command: help, the version, or what is wrong.
pub fn finish_early(stop: Stop) -> ExitCode {
    match stop {
        Stop::Answer(answer) => outcome_of_writing(answer.print()),
        Stop::Usage(line) => fail(&line, USAGE),
    }
}

/// Writes to the standard output.
pub fn write_out(bytes: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    outcome_of_writing(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Nobody who closes the pipe early, as `head` does, wants to hear of it.
fn outcome_of_writing(written: io::Result<()>) -> ExitCode {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(
            &format!("the standard output cannot be written: {error}"),
            RUN_TIME,
        ),
        _ => ExitCode::SUCCESS,
    }
}

/// Writes each line to the standard error stream, marked as an error.
fn fail(lines: &str, code: u8) -> ExitCode {
    let marked: String = lines
        .lines()
        .map(|line| format!("error: {line}\n"))
        .collect();
    // When even this cannot be written the exit code still tells.
    let _ = io::stderr().write_all(marked.as_bytes());
    ExitCode::from(code)
}
