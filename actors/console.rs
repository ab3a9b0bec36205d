//! The standard streams: one thread reads lines, one writes them.
//!
//! Both live as long as the process and belong to no actor, so a console actor that crashes loses
//! neither input nor output, and a reader of the output that has stopped reading blocks a thread
//! that nobody waits for. What is to be written waits in a bounded queue: replies wait for room,
//! events that find none are dropped and counted.
//!
//! A pipe is read and written line by line. At a terminal a person edits the line, with history
//! and completion (see `console_terminal`), and a conversation has turns: the prompt comes back
//! when the answer to the last line is on the screen. So every line comes with a [`Turn`], which
//! whoever answers sends behind the answer; one that is lost in a crash counts as sent.

use std::convert::Infallible;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc as threads;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::command_grammar::LINE_BYTES_MAX;
use crate::console_terminal::{Restorer, Terminal};

/// Lines read ahead.
const INPUT_MAX: usize = 256;

/// Lines that wait to be written.
const OUTPUT_MAX: usize = 65_536;

/// Longest wait for a terminal to show what is left when the node ends: its person may be away
/// and the output held.
const TERMINAL_CLOSE: Duration = Duration::from_secs(2);

/// A line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A line without its end. Bytes that are no UTF-8 are replaced.
    Line(String),
    /// A line that is longer than allowed; only its beginning is kept.
    TooLong(String),
    /// There is no more input.
    End,
}

/// What keeps a terminal from prompting: it does so again when this is dropped.
#[derive(Debug, Default)]
pub struct Turn(Option<threads::Sender<Infallible>>);

impl Turn {
    /// A turn, and what to wait on for its end.
    pub(crate) fn begin() -> (Self, threads::Receiver<Infallible>) {
        let (sender, receiver) = threads::channel();
        (Self(Some(sender)), receiver)
    }

    /// Whether anyone waits for its end.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }
}

/// Something to be written.
#[derive(Debug)]
pub enum Output {
    /// This text, line ends included.
    Text(String),
    /// Nothing, but what was to be written in this turn has been.
    EndOfTurn(Turn),
}

/// What a terminal needs besides itself.
#[derive(Debug)]
pub struct TerminalUse {
    /// The file of the commands typed before.
    pub history: PathBuf,
    /// The pairs that are traded, for completion.
    pub pairs: Vec<String>,
}

/// How the standard streams are used.
#[derive(Debug)]
pub enum Streams {
    /// Line by line, as programs do.
    Plain,
    /// With a prompt, for a person; as [`Streams::Plain`] if they are no terminal that can.
    Terminal(TerminalUse),
}

/// The standard streams.
pub struct Console {
    /// Lines in the order in which they were read.
    pub input: tokio::sync::Mutex<mpsc::Receiver<(Input, Turn)>>,
    output: Mutex<Option<mpsc::Sender<Output>>>,
    /// Gone when everything is written.
    unwritten: Mutex<Option<threads::Receiver<Infallible>>>,
    first_turn: Mutex<Option<Turn>>,
    /// The turn that does not end before the console does.
    last_turn: Mutex<Option<Turn>>,
    restorer: Option<Restorer>,
}

impl Console {
    /// Starts both threads on the process's standard streams.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(streams: Streams) -> std::io::Result<Self> {
        let (send_input, input) = mpsc::channel(INPUT_MAX);
        let (output, mut receive_output) = mpsc::channel(OUTPUT_MAX);
        let (written, unwritten) = threads::channel::<Infallible>();
        let (first_turn, first_wait) = Turn::begin();
        let terminal = match streams {
            Streams::Plain => None,
            Streams::Terminal(terminal) => Terminal::take(terminal),
        };
        let (restorer, reader, mut writer): (_, Job, Box<dyn Write + Send>) = match terminal {
            None => {
                let read = move || read_lines(&mut std::io::stdin().lock(), &send_input);
                (None, Box::new(read), Box::new(std::io::stdout()))
            }
            Some(terminal) => {
                let (restorer, mut editor, screen) = terminal.split();
                let read = move || editor.read_lines(&first_wait, &send_input);
                (Some(restorer), Box::new(read), Box::new(screen))
            }
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_string());
        named("console-input").spawn(reader)?;
        named("console-output").spawn(move || {
            write_lines(&mut writer, &mut receive_output);
            drop(written);
        })?;
        Ok(Self {
            input: tokio::sync::Mutex::new(input),
            output: Mutex::new(Some(output)),
            unwritten: Mutex::new(Some(unwritten)),
            first_turn: Mutex::new(Some(first_turn)),
            last_turn: Mutex::new(None),
            restorer,
        })
    }

    /// Where what is to be written goes; `None` once the console is closed.
    pub fn output(&self) -> Option<mpsc::Sender<Output>> {
        self.output.lock().ok()?.clone()
    }

    /// Shows lines for others who write to the terminal and would disturb the prompt: it takes
    /// one, or refuses it by `false`. `None` if there is no prompt.
    pub fn shower(&self) -> Option<impl FnMut(&str) -> bool + Send + use<>> {
        self.restorer.as_ref()?;
        let output = self.output()?.downgrade();
        Some(move |line: &str| {
            let text = Output::Text(line.to_string());
            let output = output.upgrade();
            output.is_some_and(|output| output.try_send(text).is_ok())
        })
    }

    /// What keeps a terminal from prompting for the first time.
    pub fn first_turn(&self) -> Option<Turn> {
        self.first_turn.lock().ok()?.take()
    }

    /// Keeps a turn because there is nothing more to say: the terminal prompts no more.
    pub fn keep_turn(&self, turn: Turn) {
        if let Ok(mut last_turn) = self.last_turn.lock() {
            *last_turn = Some(turn);
        }
    }

    /// Writes what is still waiting, and gives a terminal back as it was. Blocks until everything
    /// is written or the reader is gone; at a terminal no longer than a moment.
    pub fn close(&self) {
        if let Some(restorer) = &self.restorer {
            restorer.restore();
        }
        let output = self.output.lock().ok().and_then(|mut output| output.take());
        drop(output);
        let unwritten = self.unwritten.lock().ok();
        if let Some(unwritten) = unwritten.and_then(|mut unwritten| unwritten.take()) {
            // Nothing is ever sent: the wait ends when the writer does.
            match self.restorer {
                Some(_) => drop(unwritten.recv_timeout(TERMINAL_CLOSE)),
                None => drop(unwritten.recv()),
            }
        }
    }
}

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// Reads lines until the end; a longer one than allowed is skipped to its end.
fn read_lines(source: &mut impl BufRead, lines: &mpsc::Sender<(Input, Turn)>) {
    loop {
        let input = read_line(source).unwrap_or(Input::End);
        let ended = input == Input::End;
        let sent = lines.blocking_send((input, Turn::default()));
        if sent.is_err() || ended {
            return;
        }
    }
}

/// Reads one line, keeping at most [`LINE_BYTES_MAX`] and a byte of it.
fn read_line(source: &mut impl BufRead) -> std::io::Result<Input> {
    let mut kept = Vec::new();
    let mut length = 0;
    loop {
        let chunk = source.fill_buf()?;
        if chunk.is_empty() && length == 0 {
            return Ok(Input::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let text = &chunk[..end.unwrap_or(chunk.len())];
        let room = (LINE_BYTES_MAX + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&text[..text.len().min(room)]);
        length += text.len().max(1);
        let consumed = end.map_or(chunk.len(), |at| at + 1);
        let is_last = end.is_some() || chunk.is_empty();
        source.consume(consumed);
        if is_last {
            let line = String::from_utf8_lossy(&kept);
            let line = line.strip_suffix('\r').unwrap_or(&line).to_string();
            let fits = kept.len() <= LINE_BYTES_MAX;
            return Ok(if fits {
                Input::Line(line)
            } else {
                Input::TooLong(line)
            });
        }
    }
}

/// Writes texts until nobody sends any, flushing when none is waiting. Ends when the reader of the
/// output is gone: a node goes on without.
fn write_lines(sink: &mut impl Write, outputs: &mut mpsc::Receiver<Output>) {
    while let Some(output) = outputs.blocking_recv() {
        let written = match output {
            Output::Text(text) => sink.write_all(text.as_bytes()),
            Output::EndOfTurn(turn) => {
                drop(turn);
                Ok(())
            }
        };
        let flushed = if outputs.is_empty() {
            sink.flush()
        } else {
            Ok(())
        };
        if written.and(flushed).is_err() {
            outputs.close();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut bytes: &[u8]) -> Vec<Input> {
        let mut inputs = Vec::new();
        loop {
            inputs.push(read_line(&mut bytes).expect("memory can be read"));
            if inputs.last() == Some(&Input::End) {
                return inputs;
            }
        }
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        let line = |text: &str| Input::Line(text.to_string());
        assert_eq!(
            read_all(b"buy 1\r\n\nlast"),
            [line("buy 1"), line(""), line("last"), Input::End]
        );
    }

    #[test]
    fn a_line_without_end_keeps_bounded_memory() {
        let mut bytes = vec![b'x'; 10 * LINE_BYTES_MAX];
        bytes.extend_from_slice(b"\nhelp\n");
        let inputs = read_all(&bytes);
        assert!(matches!(&inputs[0], Input::TooLong(kept) if kept.len() <= LINE_BYTES_MAX + 1));
        assert_eq!(inputs[1], Input::Line("help".to_string()));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_input() {
        let inputs = read_all(b"\xff\xfe\0\nhelp\n");
        assert_eq!(inputs.len(), 3);
        assert_eq!(inputs[1], Input::Line("help".to_string()));
    }
}
