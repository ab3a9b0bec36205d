//! Why a store could not be opened, written or read, and how to mend it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bitfitech_core::types::Digest;
use redb::{DatabaseError, StorageError};

use super::FORMAT_VERSION;

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// A newer version of the program wrote the file.
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format; this program knows [`FORMAT_VERSION`].
        found: u32,
    },
    /// The operations are those of another network.
    OtherGenesis {
        /// The file.
        path: PathBuf,
        /// The genesis of the configured network.
        expected: Digest,
        /// The genesis of the file.
        found: Digest,
    },
    /// Another process has the file open.
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or never was a store.
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The end of the file is missing: operations that were durable are not there.
    Lost {
        /// The file.
        path: PathBuf,
        /// The file that says so.
        mark: PathBuf,
        /// How many operations there were at least.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The file cannot be read or written.
    Disk {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
}

impl OpenError {
    pub(super) fn disk(path: &Path, source: redb::Error) -> Self {
        Self::Disk {
            path: path.to_path_buf(),
            source: Box::new(source),
        }
    }

    pub(super) fn empty(path: &Path) -> Self {
        Self::Corrupted {
            path: path.to_path_buf(),
            problem: "it is empty".to_owned(),
        }
    }

    /// What redb's refusal to open the file means.
    pub(super) fn from_engine(path: &Path, error: DatabaseError) -> Self {
        let path_buf = path.to_path_buf();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::Locked { path: path_buf }
            }
            DatabaseError::UpgradeRequired(_) => Self::Corrupted {
                path: path_buf,
                problem: error.to_string(),
            },
            // So redb reports a file that does not begin like one of its own.
            DatabaseError::Storage(StorageError::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Corrupted {
                    path: path_buf,
                    problem: error.to_string(),
                }
            }
            other => Self::from_content(path, other.into()),
        }
    }

    /// What a failure to read from the opened file means.
    pub(super) fn from_content(path: &Path, error: redb::Error) -> Self {
        let path = path.to_path_buf();
        let problem = match error {
            redb::Error::Corrupted(problem) => problem,
            redb::Error::TableDoesNotExist(name) => format!("it has no table {name}"),
            redb::Error::TableTypeMismatch { .. } => error.to_string(),
            other => {
                return Self::Disk {
                    path,
                    source: Box::new(other),
                };
            }
        };
        Self::Corrupted { path, problem }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerFormat { path, found } => write!(
                out,
                "store {} has format {found}, this program knows up to {FORMAT_VERSION}: use the \
                 newer version that wrote it, or choose another directory with --data-dir",
                path.display()
            ),
            Self::OtherGenesis {
                path,
                expected,
                found,
            } => write!(
                out,
                "store {} belongs to the network with genesis {found}, configured is {expected}: \
                 restore the network's settings, or choose another directory with --data-dir",
                path.display()
            ),
            Self::Locked { path } => write!(
                out,
                "store {} is open in another process: stop it, or choose another directory with \
                 --data-dir",
                path.display()
            ),
            Self::Corrupted { path, problem } => write!(
                out,
                "store {} is damaged ({problem}): move it away and start again, the peers have \
                 the operations",
                path.display()
            ),
            Self::Lost {
                path,
                mark,
                expected,
                found,
            } => write!(
                out,
                "store {} has {found} operations, but {expected} were on disk: its end is damaged, \
                 or it is an older copy; move {} away to go on without them, the peers have most",
                path.display(),
                mark.display()
            ),
            Self::Disk { path, source } => {
                write!(out, "cannot open store {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why operations were not appended.
#[derive(Debug)]
pub enum AppendError {
    /// Operations in between are missing.
    Gap {
        /// The next index.
        expected_index: u64,
        /// The first index of the batch.
        found_index: u64,
    },
    /// Another operation has this index.
    Conflict {
        /// The index.
        index: u64,
    },
    /// The disk failed or is full; whether the batch was written is not known.
    Disk {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
}

impl AppendError {
    pub(super) fn disk(path: &Path, source: redb::Error) -> Self {
        Self::Disk {
            path: path.to_path_buf(),
            source: Box::new(source),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap {
                expected_index,
                found_index,
            } => write!(
                out,
                "operation {found_index} cannot be stored before operation {expected_index}"
            ),
            Self::Conflict { index } => {
                write!(out, "another operation {index} is stored already")
            }
            Self::Disk { path, source } => write!(
                out,
                "cannot write to store {}: {source}; check the disk and its free space",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The file could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub source: Box<redb::Error>,
}

impl ReadError {
    pub(super) fn new(path: &Path, source: redb::Error) -> Self {
        Self {
            path: path.to_path_buf(),
            source: Box::new(source),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, source } = self;
        write!(out, "cannot read from store {}: {source}", path.display())
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
