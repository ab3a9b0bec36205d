//! A store that is looked at and never changed: for audits.
//!
//! The file of a node that was killed needs repair before redb reads it, and a repair writes. So
//! what redb writes stays in memory, laid over the file: an audit sees what the next start of the
//! node would see, and leaves every byte as it was found. The overlay holds the pages that one
//! repair changes, and goes with the value.
//!
//! A lock of the operating system keeps nodes and audits apart: the file of a running node is
//! refused, and a node does not start while its file is audited.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitfitech_core::types::Digest;
use redb::{Database, StorageBackend};

use super::{OpenError, ReadError, builder, check, scan};

/// The operations of one node, read without changing the file.
pub struct ReadOnlyStore {
    database: Database,
    path: PathBuf,
    length: u64,
}

impl ReadOnlyStore {
    /// Opens the file at `path`, and checks all its checksums.
    ///
    /// # Errors
    /// See [`OpenError`]; a file that is not there is [`OpenError::Disk`].
    pub fn open(path: &Path, genesis: &Digest) -> Result<Self, OpenError> {
        let disk = |source: io::Error| OpenError::disk(path, source.into());
        let file = File::open(path).map_err(disk)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.to_path_buf();
                return Err(OpenError::Locked { path });
            }
            Err(TryLockError::Error(source)) => return Err(disk(source)),
        }
        let length = file.metadata().map_err(disk)?.len();
        if length == 0 {
            // redb would make a new database of it.
            return Err(OpenError::empty(path));
        }
        let overlay = Overlay::new(file, length);
        let database = builder().create_with_backend(overlay);
        let database = database.map_err(|error| OpenError::from_engine(path, error))?;
        let length = check(&database, path, genesis)?;
        Ok(Self {
            database,
            path: path.to_path_buf(),
            length,
        })
    }

    /// Number of operations.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// At most `count_max` operations in the order of their indices, from index `from` on.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn scan(&self, from: u64, count_max: usize) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let found = scan(&self.database, from, count_max);
        found.map_err(|source| ReadError::new(&self.path, source))
    }
}

impl fmt::Debug for ReadOnlyStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(out, "ReadOnlyStore({path}, {})", self.length)
    }
}

/// Granularity in which changes are kept, in bytes: redb writes pages of this size.
const BLOCK_BYTES: u64 = 4_096;

/// A file, and what was changed of it in memory.
#[derive(Debug)]
struct Overlay {
    file: File,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    length: u64,
    /// How much of the file still shows through; less than all after it was cut.
    shown_bytes: u64,
    /// Changed blocks by their numbers.
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    fn new(file: File, length: u64) -> Self {
        let changes = Mutex::new(Changes {
            length,
            shown_bytes: length,
            blocks: BTreeMap::new(),
        });
        Self { file, changes }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        // Every change is complete before it is visible, so a panic elsewhere spoils nothing.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a block as they are seen now.
    fn block(&self, changes: &Changes, number: u64) -> io::Result<Box<[u8]>> {
        if let Some(block) = changes.blocks.get(&number) {
            return Ok(block.clone());
        }
        let from = number * BLOCK_BYTES;
        let mut block = vec![0; usize_of(BLOCK_BYTES)].into_boxed_slice();
        let shown = changes.shown_bytes.saturating_sub(from).min(BLOCK_BYTES);
        let shown = &mut block[..usize_of(shown)];
        self.file.read_exact_at(shown, from)?;
        Ok(block)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.lock();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > changes.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let within = usize_of(at % BLOCK_BYTES);
            let count = rest.len().min(usize_of(BLOCK_BYTES) - within);
            let block = self.block(&changes, at / BLOCK_BYTES)?;
            let (part, behind) = rest.split_at_mut(count);
            part.copy_from_slice(&block[within..within + count]);
            at += count as u64;
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.lock();
        if length < changes.length {
            // What is cut off and added again later is zero.
            let cut = length / BLOCK_BYTES;
            let mut last = self.block(&changes, cut)?;
            last[usize_of(length % BLOCK_BYTES)..].fill(0);
            changes.blocks.retain(|number, _| *number < cut);
            changes.blocks.insert(cut, last);
            changes.shown_bytes = changes.shown_bytes.min(length);
        }
        changes.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.lock();
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let within = usize_of(at % BLOCK_BYTES);
            let count = rest.len().min(usize_of(BLOCK_BYTES) - within);
            let number = at / BLOCK_BYTES;
            let mut block = self.block(&changes, number)?;
            block[within..within + count].copy_from_slice(&rest[..count]);
            changes.blocks.insert(number, block);
            at += count as u64;
            rest = &rest[count..];
        }
        changes.length = changes.length.max(at);
        Ok(())
    }
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).expect("at most a block, or a part of a slice")
}

#[cfg(test)]
mod tests;
