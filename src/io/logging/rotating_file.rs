//! A log file that begins anew when it has grown large, and keeps a bounded number of old ones.
//!
//! The newest file is `bitfitech.log`; older ones are `bitfitech.log.1` (the next newest) and so
//! on, as `logrotate` names them. So the space on disk is bounded by the size of one file times
//! their number. If a new file cannot be begun, lines are refused rather than the bound broken.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the newest file.
pub(super) const FILE_NAME: &str = "bitfitech.log";

/// Writes whole lines into the newest file of a directory.
#[derive(Debug)]
pub(super) struct RotatingFile {
    directory: PathBuf,
    file: File,
    size_bytes: u64,
    size_bytes_max: u64,
    files_max: usize,
}

impl RotatingFile {
    /// Goes on with the newest file of the directory, and makes both if they are missing.
    pub(super) fn open(
        directory: &Path,
        size_bytes_max: u64,
        files_max: usize,
    ) -> io::Result<Self> {
        assert!(files_max > 0, "the newest file is one of them");
        std::fs::create_dir_all(directory)?;
        let file = open_newest(directory)?;
        let rotating = Self {
            directory: directory.to_path_buf(),
            size_bytes: file.metadata()?.len(),
            file,
            size_bytes_max,
            files_max,
        };
        rotating.remove_surplus()?;
        Ok(rotating)
    }

    /// Moves every file one place on and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..self.files_max - 1).rev() {
            match std::fs::rename(self.path(number), self.path(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files_max == 1 {
            self.file.set_len(0)?;
        } else {
            self.file = open_newest(&self.directory)?;
        }
        self.size_bytes = self.file.metadata()?.len();
        Ok(())
    }

    /// Removes files that an earlier, larger number of files has left.
    fn remove_surplus(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(FILE_NAME)?.strip_prefix('.'))
                .and_then(|number| number.parse::<usize>().ok());
            if number.is_some_and(|number| number >= self.files_max) {
                std::fs::remove_file(self.directory.join(name))?;
            }
        }
        Ok(())
    }

    /// The file that is this many places old.
    fn path(&self, number: usize) -> PathBuf {
        match number {
            0 => self.directory.join(FILE_NAME),
            _ => self.directory.join(format!("{FILE_NAME}.{number}")),
        }
    }
}

fn open_newest(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(directory.join(FILE_NAME))
}

impl Write for RotatingFile {
    /// Takes a line. Lines are never split over two files, so one that alone is larger than the
    /// limit gets a file of its own.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let grown = self.size_bytes.saturating_add(line.len() as u64);
        if self.size_bytes > 0 && grown > self.size_bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size_bytes = self.size_bytes.saturating_add(line.len() as u64);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The contents from the newest to the oldest file.
    fn contents(directory: &Path) -> Vec<String> {
        let paths = (0..).map(|number| match number {
            0 => directory.join(FILE_NAME),
            _ => directory.join(format!("{FILE_NAME}.{number}")),
        });
        paths
            .map_while(|path| std::fs::read_to_string(path).ok())
            .collect()
    }

    fn write(file: &mut RotatingFile, lines: &[&str]) {
        for line in lines {
            file.write_all(line.as_bytes()).expect("writes");
        }
    }

    #[test]
    fn a_new_file_begins_before_the_limit_is_passed_and_the_oldest_goes() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut file = RotatingFile::open(root.path(), 6, 3).expect("opens");
        write(&mut file, &["aa\n", "bb\n", "cc\n"]);
        assert_eq!(contents(root.path()), ["cc\n", "aa\nbb\n"]);
        write(&mut file, &["longer than the limit\n", "dd\n"]);
        assert_eq!(
            contents(root.path()),
            ["dd\n", "longer than the limit\n", "cc\n"]
        );
    }

    #[test]
    fn a_restart_goes_on_where_the_last_one_ended() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for line in ["aa\n", "bb\n", "cc\n"] {
            let mut file = RotatingFile::open(root.path(), 6, 3).expect("opens");
            write(&mut file, &[line]);
        }
        assert_eq!(contents(root.path()), ["cc\n", "aa\nbb\n"]);
    }

    #[test]
    fn one_file_starts_over_and_surplus_ones_are_removed() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut file = RotatingFile::open(root.path(), 3, 3).expect("opens");
        write(&mut file, &["aa\n", "bb\n", "cc\n", "dd\n"]);
        assert_eq!(contents(root.path()).len(), 3);
        std::fs::write(root.path().join("bitfitech.log.old"), "mine").expect("writes");
        let mut file = RotatingFile::open(root.path(), 3, 1).expect("opens");
        write(&mut file, &["ee\n"]);
        assert_eq!(contents(root.path()), ["ee\n"]);
        assert!(root.path().join("bitfitech.log.old").exists());
    }

    proptest! {
        #[test]
        fn the_files_hold_the_newest_lines_in_order_within_the_bound(
            lengths in prop::collection::vec(1..20_usize, 1..60),
            limit in 20..60_u64,
            files_max in 1..5_usize,
        ) {
            let root = tempfile::tempdir().expect("a temporary directory");
            let mut file = RotatingFile::open(root.path(), limit, files_max).expect("opens");
            let mut all = String::new();
            for (number, length) in lengths.iter().enumerate() {
                let line = format!("{}\n", char::from(b'a' + (number % 26) as u8)
                    .to_string().repeat(*length));
                write(&mut file, &[&line]);
                all.push_str(&line);
            }
            let mut files = contents(root.path());
            prop_assert!(files.len() <= files_max);
            prop_assert!(files.iter().all(|file| file.len() as u64 <= limit));
            files.reverse();
            prop_assert!(all.ends_with(&files.concat()));
        }
    }
}
