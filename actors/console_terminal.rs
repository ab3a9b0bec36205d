//! The console of a person: a prompt with history and completion, and everything that comes in
//! between printed above it.
//!
//! While a line is edited the terminal is in raw mode: keys come one by one and unseen, and
//! whatever is written to the screen would land in the middle of the line. So the writer hands its
//! texts to the line editor, which prints them above the line and paints the line again below.
//! Between a line and its answer the terminal is in its own mode and is written to directly.
//!
//! The editor takes one text at a time, only while it edits, and keys before texts. So when a line
//! ends while two texts are on their way, the writer waits for the editor, and the editor for the
//! answer, which is behind those texts. Then the editor goes on with the next line, takes the texts
//! there, and the answer is printed above it.
//!
//! Ctrl-C clears the line; on an empty line it ends the input, as Ctrl-D does. Pasted lines are
//! taken one by one, like those of a pipe.
//!
//! The thread that edits cannot be woken, so when the node ends for another reason (SIGTERM), the
//! terminal is still in raw mode. [`Restorer`] keeps the mode that was found and puts it back on
//! every way out, also that of a panic.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as threads;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitfitech_io::command_history::{COMMANDS_MAX, CommandHistory};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, Helper, KeyEvent, Movement, RepeatCount,
};
use tokio::sync::mpsc;

use crate::command_grammar::LINE_BYTES_MAX;
use crate::console::{Input, TerminalUse, Turn};
use crate::console_completion::Vocabulary;

/// What stands before the line.
const PROMPT: &str = "bitfitech> ";

/// Clears the line of the cursor and all below it (ECMA-48, CR and ED).
const CLEAR_LINE: &[u8] = b"\r\x1b[J";

/// How often it is looked whether the writer waits for the editor that waits for an answer.
const LOOK: Duration = Duration::from_millis(20);

/// The terminal of this process, taken for editing.
pub(crate) struct Terminal {
    restorer: Restorer,
    editor: LineEditor,
    screen: Screen,
}

impl Terminal {
    /// Takes the terminal. `None` if the standard streams are none, or one that cannot move its
    /// cursor.
    pub(crate) fn take(terminal: TerminalUse) -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let closed = Arc::new(AtomicBool::new(false));
        let printing = Arc::new(AtomicBool::new(false));
        let vocabulary = Arc::new(Mutex::new(Vocabulary::new(terminal.pairs)));
        let history = CommandHistory::open(&terminal.history).map_err(|error| {
            let path = terminal.history.display();
            tracing::warn!(target: "command", "{path}: commands are not remembered: {error}");
        });
        let words = Words(Arc::clone(&vocabulary));
        let mut editor = editor(words, history.as_ref().ok())?;
        let printer = editor.create_external_printer().ok()?;
        let found = tcgetattr(io::stdin()).ok()?;
        Some(Self {
            editor: LineEditor {
                editor,
                history: history.ok(),
                closed: Arc::clone(&closed),
                printing: Arc::clone(&printing),
            },
            screen: Screen {
                printer: Box::new(printer),
                printing,
                vocabulary,
                closed: Arc::clone(&closed),
            },
            restorer: Restorer {
                found: Mutex::new(Some(found)),
                closed,
            },
        })
    }

    /// What belongs to whoever ends the process, to the thread that reads, and to the one that
    /// writes.
    pub(crate) fn split(self) -> (Restorer, LineEditor, Screen) {
        (self.restorer, self.editor, self.screen)
    }
}

/// The editor with its keys and the commands typed before; `None` if the terminal refuses.
fn editor(words: Words, history: Option<&CommandHistory>) -> Option<Editor<Words, MemHistory>> {
    let config = Config::builder()
        .max_history_size(COMMANDS_MAX)
        .ok()?
        // In any other way nothing could be printed between two presses of Tab.
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .bracketed_paste(false)
        .build();
    let memory = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, memory).ok()?;
    editor.set_helper(Some(words));
    let clear = EventHandler::Conditional(Box::new(ClearLine));
    editor.bind_sequence(KeyEvent::ctrl('C'), clear);
    for command in history.into_iter().flat_map(CommandHistory::commands) {
        editor.add_history_entry(command).ok()?;
    }
    Some(editor)
}

/// What Ctrl-C does on a line that is not empty; on an empty one it interrupts.
struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(
        &self,
        _event: &Event,
        _count: RepeatCount,
        _positive: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let is_empty = context.line().is_empty();
        Some(if is_empty {
            Cmd::Interrupt
        } else {
            Cmd::Kill(Movement::WholeBuffer)
        })
    }
}

/// Reads lines from a person.
pub(crate) struct LineEditor {
    editor: Editor<Words, MemHistory>,
    /// `None` if there is no file to write to.
    history: Option<CommandHistory>,
    closed: Arc<AtomicBool>,
    /// Whether the writer hands over a text, or waits until it can.
    printing: Arc<AtomicBool>,
}

impl LineEditor {
    /// Reads lines until the end, each when the turn before is over.
    pub(crate) fn read_lines(
        &mut self,
        first: &threads::Receiver<Infallible>,
        lines: &mpsc::Sender<(Input, Turn)>,
    ) {
        // Nothing is ever sent: the wait ends with the turn.
        let _ = first.recv();
        while !self.closed.load(Ordering::SeqCst) {
            let input = self.read_line();
            let ended = input == Input::End;
            let (turn, over) = Turn::begin();
            if lines.blocking_send((input, turn)).is_err() || ended {
                return;
            }
            self.wait_for(&over);
        }
    }

    /// Waits until a turn is over, or the writer waits for the next line.
    fn wait_for(&self, over: &threads::Receiver<Infallible>) {
        let mut was_printing = false;
        while over.recv_timeout(LOOK) == Err(threads::RecvTimeoutError::Timeout) {
            let is_printing = self.printing.load(Ordering::SeqCst);
            if is_printing && was_printing {
                return;
            }
            was_printing = is_printing;
        }
    }

    fn read_line(&mut self) -> Input {
        match self.editor.readline(PROMPT) {
            Ok(line) if line.len() > LINE_BYTES_MAX => {
                let end = line.floor_char_boundary(LINE_BYTES_MAX + 1);
                Input::TooLong(line[..end].to_owned())
            }
            Ok(line) => {
                self.remember(&line);
                Input::Line(line)
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Input::End,
            Err(error) => {
                tracing::warn!(target: "command", "the terminal cannot be read: {error}");
                Input::End
            }
        }
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        // Refused are only repetitions.
        drop(self.editor.add_history_entry(line));
        let kept = self.history.as_mut().map(|history| history.push(line));
        if let Some(Err(error)) = kept {
            tracing::warn!(target: "command", "commands are no longer remembered: {error}");
            self.history = None;
        }
    }
}

/// Where texts are shown: above the line that is edited, or at the cursor when none is.
pub(crate) struct Screen {
    printer: Box<dyn ExternalPrinter + Send>,
    printing: Arc<AtomicBool>,
    vocabulary: Arc<Mutex<Vocabulary>>,
    closed: Arc<AtomicBool>,
}

impl Write for Screen {
    /// Takes all of the text: half of it could not be printed above the line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(mut vocabulary) = self.vocabulary.lock() {
            vocabulary.learn(&text);
        }
        self.printing.store(true, Ordering::SeqCst);
        let is_closed = self.closed.load(Ordering::SeqCst);
        let is_refused = is_closed || self.printer.print(text.into_owned()).is_err();
        self.printing.store(false, Ordering::SeqCst);
        if is_refused {
            io::stdout().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Gives the terminal back as it was found.
pub(crate) struct Restorer {
    /// Until it is put back.
    found: Mutex<Option<Termios>>,
    closed: Arc<AtomicBool>,
}

impl Restorer {
    /// Clears the prompt and puts the mode back. Done once; from then on nothing is edited.
    pub(crate) fn restore(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let found = self.found.lock().ok().and_then(|mut found| found.take());
        let Some(found) = found else {
            return;
        };
        let cleared = io::stdout().write_all(CLEAR_LINE);
        let flushed = cleared.and_then(|()| io::stdout().flush());
        let restored = tcsetattr(io::stdin(), SetArg::TCSANOW, &found);
        if let (Err(error), _) | (_, Err(error)) = (flushed, restored.map_err(io::Error::from)) {
            tracing::warn!(target: "command", "the terminal cannot be restored: {error}");
        }
    }
}

impl Drop for Restorer {
    fn drop(&mut self) {
        self.restore();
    }
}

/// What the editor asks while a line is typed: the words to offer, and nothing else.
struct Words(Arc<Mutex<Vocabulary>>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before_cursor = line.get(..position).unwrap_or_default();
        let vocabulary = self.0.lock();
        let offered = vocabulary.map(|vocabulary| vocabulary.complete(before_cursor));
        Ok(offered.unwrap_or_default())
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}
