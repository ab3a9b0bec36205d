//! The data directory: where a node keeps its key and its operations, and that it is alone there.
//!
//! Two nodes on one directory would sign with one key and number their operations independently,
//! which every other node must take for a proven fork. So the directory is locked for as long as
//! a [`DataDir`] lives. The lock is one of the operating system's on an open file (`flock` on
//! Unix), not the existence of a file: it vanishes with the process, whatever killed it, and so
//! never has to be removed by hand. The file's content, the number of the process, only serves
//! the error message of the one who comes second.
//!
//! The directory is made with mode 0700 when it is missing. The mode of one that exists is left
//! alone; what must stay secret in it, the key, guards itself (see [`crate::identity`]).

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the file that carries the lock.
const LOCK_FILE: &str = "lock";

/// Name of the file of operations.
const STORE_FILE: &str = "operations.redb";

/// A process number has at most 20 digits; more of a lock file is not read.
const LOCK_TEXT_BYTES_MAX: u64 = 20;

/// A data directory that no other process uses while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held for the lock on it alone, which ends when the file is closed.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing and takes its lock, without waiting.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] if another process (or another value in this one) holds it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |action| {
            move |source| DataDirError::Io {
                action,
                path: path.to_path_buf(),
                source,
            }
        };
        private_directory()
            .create(path)
            .map_err(failed("create the data directory"))?;
        let mut lock = private_file()
            .read(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(failed("open the lock file in"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path: path.to_path_buf(),
                    process: read_process(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        write_process(&mut lock).map_err(failed("write the lock file in"))?;
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the node's key is kept.
    pub fn key_path(&self) -> PathBuf {
        self.path.join("node.key")
    }

    /// Where the commands typed at the terminal are kept.
    pub fn history_path(&self) -> PathBuf {
        self.path.join("console.history")
    }

    /// Where the operations are kept.
    pub fn store_path(&self) -> PathBuf {
        store_path(&self.path)
    }
}

/// Where the operations are kept in this data directory.
pub fn store_path(directory: &Path) -> PathBuf {
    directory.join(STORE_FILE)
}

/// The number of the process that holds the lock, if it can be read.
fn read_process(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    let mut bounded = lock.take(LOCK_TEXT_BYTES_MAX);
    bounded.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_process(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// Opens files for writing; those it creates only their owner may read or write.
#[cfg(unix)]
pub(crate) fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Opens files for writing. Access is what the parent directory hands down on this system.
#[cfg(not(unix))]
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

/// Creates directories, missing parents too, that only their owner may enter.
#[cfg(unix)]
fn private_directory() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
}

/// Creates directories, missing parents too.
#[cfg(not(unix))]
fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    builder
}

/// Makes a rename in the parent directory of `path` durable.
#[cfg(unix)]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// This system cannot sync a directory; a rename is as durable as it makes it.
#[cfg(not(unix))]
pub(crate) fn sync_parent(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Why a data directory could not be opened.
#[derive(Debug)]
pub enum DataDirError {
    /// Another process holds the lock.
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, where its number could be read.
        process: Option<u32>,
    },
    /// The operating system refused.
    Io {
        /// What was attempted, as it stands in "cannot … PATH".
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for DataDirError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, process } => {
                write!(out, "data directory {} is in use by ", path.display())?;
                match process {
                    Some(process) => write!(out, "process {process}")?,
                    None => write!(out, "another process")?,
                }
                write!(out, ": stop it, or choose another with --data-dir")
            }
            Self::Io {
                action,
                path,
                source,
            } => write!(
                out,
                "cannot {action} {}: {source}; mend this, or choose another with --data-dir",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DataDirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_with_its_parents_for_the_owner_alone() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("deep").join("node");
        let opened = DataDir::open(&path).expect("opens");
        assert_eq!(opened.path(), path);
        assert!(path.is_dir());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn the_second_opener_is_told_who_holds_the_directory_and_what_to_do() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(root.path()).expect("opens");
        let error = DataDir::open(root.path()).expect_err("is held");
        assert!(
            matches!(&error, DataDirError::InUse { process: Some(process), .. }
                if *process == std::process::id()),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(&root.path().display().to_string()), "{text}");
        assert!(text.contains("--data-dir"), "{text}");
        drop(first);
        DataDir::open(root.path()).expect("is free again");
    }

    #[test]
    fn a_lock_file_left_by_a_killed_process_does_not_lock() {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(root.path().join(LOCK_FILE), "4194304\n and a long tail").expect("writes");
        let held = DataDir::open(root.path()).expect("opens");
        let text = std::fs::read_to_string(root.path().join(LOCK_FILE)).expect("reads");
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(held);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("file");
        std::fs::write(&path, "").expect("writes");
        let text = DataDir::open(&path).expect_err("is a file").to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}
