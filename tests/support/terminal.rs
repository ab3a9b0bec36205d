//! A person at a terminal: types keys, sees a screen.
//!
//! The terminal is a real one of the operating system's, a pseudo-terminal whose other end is the
//! test, so its modes are those that a shell would find afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};

use super::program;
use super::waiting::wait_until;

/// The screen: wide enough that no line of the tests is wrapped.
const SIZE: Winsize = Winsize {
    ws_row: 50,
    ws_col: 200,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program at a terminal. Dropping it kills the program.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Up to where the screen has been looked at.
    seen: usize,
    found: Termios,
}

impl Terminal {
    /// Starts a program whose standard streams are all the terminal.
    pub fn start(mut command: Command) -> Self {
        let OpenptyResult { master, slave } = openpty(&SIZE, None).expect("a pseudo-terminal");
        let found = tcgetattr(&master).expect("the modes of a terminal");
        let stream = || slave.try_clone().expect("one more handle");
        let child = command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .expect("the program starts");
        let keyboard = File::from(master);
        let mut source = keyboard.try_clone().expect("one more handle");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            // Held, or the terminal would be gone with the program.
            let _slave = slave;
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut bytes) {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: 0,
            found,
        }
    }

    /// Presses keys.
    pub fn types(&mut self, keys: &str) {
        let written = self.keyboard.write_all(keys.as_bytes());
        written.expect("a terminal takes keys");
    }

    /// Everything that was ever written to the screen.
    pub fn all(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// The lines as a person sees them, those that have been scrolled away included.
    pub fn lines(&self) -> Vec<String> {
        let mut picture = Picture::default();
        let all = self.all();
        let mut rest = all.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => picture.column = 0,
                '\n' => picture.row += 1,
                '\x1b' => picture.control(&mut rest),
                other => picture.put(other),
            }
        }
        picture.lines()
    }

    /// Waits until a text is written behind what was waited for before.
    pub fn shows(&mut self, text: &str) {
        let mut end = None;
        wait_until(&format!("the screen shows `{text}`"), || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut windows = screen[self.seen..].windows(text.len());
            end = windows.position(|window| window == text.as_bytes());
            end.is_some()
        });
        self.seen += end.unwrap_or_default() + text.len();
    }

    /// Whether the program edits lines: keys come to it one by one.
    pub fn is_raw(&self) -> bool {
        !self.modes().local_flags.contains(LocalFlags::ICANON)
    }

    /// Whether its modes are those that the program found.
    pub fn is_restored(&self) -> bool {
        let (now, found) = (self.modes(), &self.found);
        now.local_flags == found.local_flags
            && now.input_flags == found.input_flags
            && now.output_flags == found.output_flags
            && now.control_chars == found.control_chars
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.keyboard).expect("the modes of a terminal")
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        program::signal(&self.child, name);
    }

    /// Waits for the end of the program and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = program::wait_for_exit(&mut self.child);
        let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", self.all()));
        status.code()
    }
}

impl Drop for Terminal {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows what was on the screen"
    )]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- screen\n{}\n---", self.all().escape_debug());
        }
    }
}

/// What is on the screen: the few control sequences that line editors use, others are passed over.
#[derive(Default)]
struct Picture {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Picture {
    fn lines(&self) -> Vec<String> {
        let rows = self.rows.iter();
        rows.map(|row| row.iter().collect()).collect()
    }

    fn current(&mut self) -> &mut Vec<char> {
        let count = self.rows.len().max(self.row + 1);
        self.rows.resize(count, Vec::new());
        &mut self.rows[self.row]
    }

    fn put(&mut self, character: char) {
        let column = self.column;
        let row = self.current();
        row.resize(row.len().max(column + 1), ' ');
        row[column] = character;
        self.column += 1;
    }

    /// A control sequence of ECMA-48 behind its ESC.
    fn control(&mut self, rest: &mut std::str::Chars<'_>) {
        let sequence = rest.by_ref().skip(1);
        let mut number = 0;
        for character in sequence {
            match character.to_digit(10) {
                Some(digit) => number = 10 * number + digit as usize,
                None if "?;".contains(character) => {}
                None => return self.execute(character, number),
            }
        }
    }

    fn execute(&mut self, command: char, number: usize) {
        let (row, column) = (self.row, self.column);
        match command {
            'C' => self.column += number.max(1),
            'K' => self.current().truncate(column),
            'J' => {
                self.current().truncate(column);
                self.rows.truncate(row + 1);
            }
            _ => {}
        }
    }
}
