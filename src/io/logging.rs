//! Logs: to the standard error stream and to rotating files, as text or JSON.
//!
//! A log line is time, level, target, message and fields. The target is the name of the actor that
//! speaks, and its level can be changed while the node runs (see [`LogControl`]). Text from
//! outside belongs into fields written with `?`, so that it is escaped and stays on one line.
//!
//! Logging must never hold up trading. So an actor only puts its line into a bounded queue; two
//! threads write the queues out, one to the standard error stream, one to the files. When a queue
//! is full, because a pipe is not read or a disk hangs, new lines are dropped and counted
//! ([`Logging::dropped_lines`]). At a terminal with a prompt the console shows the lines of the
//! standard error stream ([`Logging::show_on_terminal`]), above the line that is typed. When the
//! [`Logging`] value is dropped, what waits is written out, for at most about a second.

mod levels;
mod rotating_file;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::{Layer, fmt as format, reload};

use crate::config::{LogFormat, LogLevel, Settings, is_target};
use levels::Levels;
use rotating_file::RotatingFile;

/// Most lines that wait for one of the two threads. A guess: a burst of a busy node at `debug`
/// fits, and at a few hundred bytes a line it stays below 4 MiB.
const WAITING_LINES_MAX: usize = 8_192;

/// Most targets with a level of their own. There are far fewer actors.
pub const TARGETS_MAX: usize = 256;

/// Logging as it runs. Keep it until the process ends; dropping it writes out what waits.
#[derive(Debug)]
pub struct Logging {
    control: LogControl,
    dropped: [ErrorCounter; 2],
    instead: Instead,
    /// In order of dropping: each ends its thread after the queue is written out.
    _threads: [WorkerGuard; 2],
}

/// Changes levels while the node runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogControl {
    levels: reload::Handle<Levels, Registry>,
}

impl Logging {
    /// Starts logging for the whole process.
    ///
    /// Take the lock of the data directory first (see [`crate::data_dir`]): two processes that
    /// rotate the same files would lose lines, and the directory gets its mode from whoever makes
    /// it.
    ///
    /// # Errors
    /// When the directory or the newest file cannot be made, or logging runs already.
    pub fn start(settings: &Settings) -> Result<Self, LoggingError> {
        let directory = settings.log_dir();
        let log = &settings.log;
        let size_bytes_max = log.max_size_mb.saturating_mul(1 << 20);
        let file = RotatingFile::open(&directory, size_bytes_max, log.max_files)
            .map_err(|source| LoggingError::Directory { directory, source })?;
        let (to_file, file_thread) = in_background("log file", file);
        let instead = Instead::default();
        let stream = ErrorStream(Arc::clone(&instead));
        let (to_stderr, stderr_thread) = in_background("log stderr", stream);
        let dropped = [to_stderr.error_counter(), to_file.error_counter()];
        let levels = Levels::new(log.level, &log.targets);
        let outputs = vec![
            output(log.format, stderr_style(), to_stderr),
            output(log.format, Style::Plain, to_file),
        ];
        let (subscriber, control) = subscriber(levels, outputs);
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| LoggingError::AlreadyStarted)?;
        Ok(Self {
            control,
            dropped,
            instead,
            _threads: [stderr_thread, file_thread],
        })
    }

    /// A handle that changes levels.
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }

    /// Has lines shown by someone else instead of written to the standard error stream, if that is
    /// a terminal, where they would disturb a prompt. What is refused goes to the stream.
    pub fn show_on_terminal(&self, show: impl FnMut(&str) -> bool + Send + 'static) {
        if io::stderr().is_terminal()
            && let Ok(mut instead) = self.instead.lock()
        {
            *instead = Some(Show(Box::new(show)));
        }
    }

    /// Lines dropped so far because a queue was full, of both outputs together.
    pub fn dropped_lines(&self) -> usize {
        let counts = self.dropped.iter().map(ErrorCounter::dropped_lines);
        counts.fold(0, usize::saturating_add)
    }
}

impl LogControl {
    /// Sets the level of one target, or the general level of all targets without one of their own.
    ///
    /// # Errors
    /// When the target has a wrong form, or too many targets have levels already. Nothing changes
    /// then.
    pub fn set(&self, level: LogLevel, target: Option<&str>) -> Result<(), LogControlError> {
        let refused = match target {
            Some(target) if !is_target(target) => Some(LogControlError::Target(
                target
                    .chars()
                    .take(64)
                    .flat_map(char::escape_debug)
                    .collect(),
            )),
            Some(target) => self
                .levels
                .with_current(|levels| {
                    let full = levels.target_count() >= TARGETS_MAX && !levels.has_target(target);
                    full.then_some(LogControlError::TooManyTargets)
                })
                .map_err(|_| LogControlError::Ended)?,
            None => None,
        };
        if let Some(error) = refused {
            return Err(error);
        }
        let change = |levels: &mut Levels| match target {
            Some(target) => levels.set_target(target, level),
            None => levels.set_general(level),
        };
        self.levels
            .modify(change)
            .map_err(|_| LogControlError::Ended)
    }
}

/// Who shows lines instead of the standard error stream.
type Instead = Arc<Mutex<Option<Show>>>;

/// Shows a line, or refuses it by `false`.
struct Show(Box<dyn FnMut(&str) -> bool + Send>);

impl fmt::Debug for Show {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Show")
    }
}

/// The standard error stream, or who stands in for it.
struct ErrorStream(Instead);

impl Write for ErrorStream {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Ok(mut instead) = self.0.lock()
            && let Some(Show(show)) = instead.as_mut()
            && show(&String::from_utf8_lossy(line))
        {
            return Ok(line.len());
        }
        io::stderr().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Whether lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// For a terminal.
    Coloured,
    /// For everything else.
    Plain,
}

/// Colours only for a terminal whose user did not ask for none (<https://no-color.org>).
fn stderr_style() -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !refused {
        Style::Coloured
    } else {
        Style::Plain
    }
}

/// Gives a writer a thread of its own behind a bounded queue.
fn in_background<W: io::Write + Send + 'static>(
    name: &str,
    writer: W,
) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .thread_name(name)
        .finish(writer)
}

/// One of the outputs.
fn output<S>(
    form: LogFormat,
    style: Style,
    writer: NonBlocking,
) -> Box<dyn Layer<S> + Send + Sync + 'static>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = format::layer().with_writer(writer);
    match form {
        LogFormat::Text => layer.with_ansi(style == Style::Coloured).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    }
}

/// What stands below the outputs: lines that the levels do not want end here.
type Base = Layered<reload::Layer<Levels, Registry>, Registry>;

/// The levels first, then the outputs.
fn subscriber(
    levels: Levels,
    outputs: Vec<Box<dyn Layer<Base> + Send + Sync + 'static>>,
) -> (impl Subscriber + Send + Sync + 'static, LogControl) {
    let (filter, levels) = reload::Layer::new(levels);
    let subscriber = Registry::default().with(filter).with(outputs);
    (subscriber, LogControl { levels })
}

/// Why logging does not start.
#[derive(Debug)]
pub enum LoggingError {
    /// The directory or its newest file cannot be made.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The process logs already.
    AlreadyStarted,
}

impl fmt::Display for LoggingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { directory, source } => write!(
                out,
                "log directory {}: cannot be written ({source}): mend that, or choose another \
                 with -D log.dir=DIRECTORY",
                directory.display()
            ),
            Self::AlreadyStarted => write!(out, "logging runs already: start it once"),
        }
    }
}

impl std::error::Error for LoggingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. } => Some(source),
            Self::AlreadyStarted => None,
        }
    }
}

/// Why a level is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogControlError {
    /// The text cannot name a target.
    Target(String),
    /// [`TARGETS_MAX`] targets have levels.
    TooManyTargets,
    /// Logging has ended.
    Ended,
}

impl fmt::Display for LogControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(text) => write!(
                out,
                "`{text}` is no log target: name an actor, for example matcher"
            ),
            Self::TooManyTargets => write!(
                out,
                "{TARGETS_MAX} targets have levels of their own already: change one of those, \
                 or the general level"
            ),
            Self::Ended => write!(out, "logging has ended"),
        }
    }
}

impl std::error::Error for LogControlError {}

#[cfg(test)]
mod tests;
