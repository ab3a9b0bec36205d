//! The standard streams: one thread reads lines, one writes them.
//!
//! Both live as long as the process and belong to no actor, so a console actor that crashes loses
//! neither input nor output, and a reader of the output that has stopped reading blocks a thread
//! that nobody waits for. What is to be written waits in a bounded queue: replies wait for room,
//! events that find none are dropped and counted.

use std::io::{BufRead, Write};
use std::sync::Mutex;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::command_grammar::LINE_BYTES_MAX;

/// Lines read ahead.
const INPUT_MAX: usize = 256;

/// Lines that wait to be written.
const OUTPUT_MAX: usize = 65_536;

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

/// The standard streams.
pub struct Console {
    /// Lines in the order in which they were read.
    pub input: tokio::sync::Mutex<mpsc::Receiver<Input>>,
    output: Mutex<Option<mpsc::Sender<String>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Console {
    /// Starts both threads on the process's standard streams.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (send_input, input) = mpsc::channel(INPUT_MAX);
        let (output, mut receive_output) = mpsc::channel::<String>(OUTPUT_MAX);
        std::thread::Builder::new()
            .name("console-input".to_string())
            .spawn(move || read_lines(&mut std::io::stdin().lock(), &send_input))?;
        let writer = std::thread::Builder::new()
            .name("console-output".to_string())
            .spawn(move || write_lines(&mut std::io::stdout().lock(), &mut receive_output))?;
        Ok(Self {
            input: tokio::sync::Mutex::new(input),
            output: Mutex::new(Some(output)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Where lines to be written go; `None` once the console is closed.
    pub fn output(&self) -> Option<mpsc::Sender<String>> {
        self.output.lock().ok()?.clone()
    }

    /// Writes what is still waiting. Blocks until it is written or the reader is gone.
    pub fn close(&self) {
        let output = self.output.lock().ok().and_then(|mut output| output.take());
        drop(output);
        let writer = self.writer.lock().ok().and_then(|mut writer| writer.take());
        if let Some(writer) = writer {
            // A writer that panicked has nothing more to write.
            drop(writer.join());
        }
    }
}

/// Reads lines until the end; a longer one than allowed is skipped to its end.
fn read_lines(source: &mut impl BufRead, lines: &mpsc::Sender<Input>) {
    loop {
        let input = read_line(source).unwrap_or(Input::End);
        let ended = input == Input::End;
        if lines.blocking_send(input).is_err() || ended {
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

/// Writes lines until nobody sends any, flushing when none is waiting. Ends when the reader of the
/// output is gone: a node goes on without.
fn write_lines(sink: &mut impl Write, lines: &mut mpsc::Receiver<String>) {
    while let Some(line) = lines.blocking_recv() {
        let written = sink.write_all(line.as_bytes());
        let flushed = if lines.is_empty() {
            sink.flush()
        } else {
            Ok(())
        };
        if written.and(flushed).is_err() {
            lines.close();
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
