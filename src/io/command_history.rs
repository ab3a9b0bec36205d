//! The commands that were typed at the terminal, kept from one run to the next.
//!
//! A plain text file, one command a line, that only its owner may read. Each command is appended
//! as it is typed, so none is lost to a crash. The file is bounded: when it holds twice as many
//! lines as are kept, it is replaced by one with the newest half. Losing it costs convenience and
//! nothing else, so nothing here is made durable.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::data_dir::private_file;

/// Most commands that are kept. A guess: months of typing.
pub const COMMANDS_MAX: usize = 1_000;

/// Longest command that is kept, in bytes: that of the longest line the console reads.
const COMMAND_BYTES_MAX: usize = 4_096;

/// Most bytes of a file that are read, from its end; a file of ours is never longer.
const FILE_BYTES_MAX: u64 = (2 * COMMANDS_MAX * (COMMAND_BYTES_MAX + 1)) as u64;

/// The commands and their file.
#[derive(Debug)]
pub struct CommandHistory {
    path: PathBuf,
    file: File,
    /// Oldest first, at most [`COMMANDS_MAX`].
    commands: VecDeque<String>,
    lines_in_file: usize,
}

impl CommandHistory {
    /// Reads the file, or makes an empty one.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = private_file().read(true).create(true).open(path)?;
        restrict(&file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut commands: VecDeque<String> = text.lines().map(str::to_owned).collect();
        let lines_in_file = commands.len();
        commands.drain(..lines_in_file.saturating_sub(COMMANDS_MAX));
        Ok(Self {
            path: path.to_path_buf(),
            file,
            commands,
            lines_in_file,
        })
    }

    /// The commands, oldest first.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }

    /// Keeps a command, unless it is blank, has more than one line, is too long, or repeats the
    /// one before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, command: &str) -> io::Result<()> {
        let repeats = self.commands.back().is_some_and(|last| last == command);
        let is_kept = !command.trim().is_empty()
            && !command.contains(['\n', '\r'])
            && command.len() <= COMMAND_BYTES_MAX;
        if repeats || !is_kept {
            return Ok(());
        }
        if self.commands.len() == COMMANDS_MAX {
            self.commands.pop_front();
        }
        self.commands.push_back(command.to_owned());
        if self.lines_in_file >= 2 * COMMANDS_MAX {
            return self.rewrite();
        }
        self.lines_in_file += 1;
        self.file.write_all(format!("{command}\n").as_bytes())
    }

    /// Replaces the file by one with the commands that are kept.
    fn rewrite(&mut self) -> io::Result<()> {
        let unfinished = self.path.with_extension("new");
        let mut file = private_file()
            .create(true)
            .truncate(true)
            .open(&unfinished)?;
        for command in &self.commands {
            writeln!(file, "{command}")?;
        }
        fs::rename(&unfinished, &self.path)?;
        self.file = file;
        self.lines_in_file = self.commands.len();
        Ok(())
    }
}

/// Takes a file from everyone but its owner.
#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// Access is what the parent directory hands down on this system.
#[cfg(not(unix))]
fn restrict(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(history: &CommandHistory) -> Vec<&str> {
        history.commands().collect()
    }

    #[test]
    fn commands_outlive_the_process_and_what_is_no_command_is_not_kept() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("history");
        let mut history = CommandHistory::open(&path).expect("opens");
        let long = "x".repeat(COMMAND_BYTES_MAX + 1);
        for command in ["book", "book", "", "  ", "a\nb", &long, "digest", "book"] {
            history.push(command).expect("writes");
        }
        assert_eq!(commands(&history), ["book", "digest", "book"]);
        let again = CommandHistory::open(&path).expect("opens again");
        assert_eq!(commands(&again), ["book", "digest", "book"]);
    }

    #[test]
    fn the_newest_commands_are_kept_and_the_file_is_bounded() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("history");
        let mut history = CommandHistory::open(&path).expect("opens");
        let count = 5 * COMMANDS_MAX + 7;
        for number in 0..count {
            history.push(&format!("order {number}")).expect("writes");
            assert!(history.lines_in_file <= 2 * COMMANDS_MAX);
        }
        let text = fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), history.lines_in_file);
        let again = CommandHistory::open(&path).expect("opens again");
        assert_eq!(commands(&again), commands(&history));
        let expected = count - COMMANDS_MAX..count;
        let expected: Vec<String> = expected.map(|number| format!("order {number}")).collect();
        assert_eq!(commands(&again), expected);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it_whoever_could_before() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("history");
        fs::write(&path, "book\n").expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("widens");
        let mut history = CommandHistory::open(&path).expect("opens");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        history.rewrite().expect("rewrites");
        assert_eq!(mode(&path) & 0o777, 0o600);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("history");
        fs::write(&path, b"book\n\xff\xfe\ndigest").expect("writes");
        let mut history = CommandHistory::open(&path).expect("opens");
        assert_eq!(commands(&history).len(), 3);
        history.push("tree").expect("writes");
        let again = CommandHistory::open(&path).expect("opens again");
        assert_eq!(commands(&again)[2..], ["digest", "tree"]);
    }
}
