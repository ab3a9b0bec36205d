//! The operations on disk: an append-only sequence of opaque records.
//!
//! A node's whole state follows from the operations it has applied and the genesis, so they are all
//! that is kept; everything else is rebuilt at the start by applying them again in the order of
//! their indices. Record `i` is the `i`-th operation this node applied: the indices are local and
//! without gaps. What the bytes mean is not looked at here.
//!
//! *Durability.* [`Store::append`] returns once the whole batch is on disk, in one transaction;
//! only then may anything in it be acknowledged or sent. A crash loses a batch whole or not at
//! all, and none that was confirmed. The cost is one sync of the disk per call, whatever the size
//! of the batch, so callers gather what has come in meanwhile (group commit).
//!
//! *Repetition.* To append what is there already is a success if the bytes are the same. So a
//! caller who does not know whether its last batch was written (a restart in between) simply
//! sends it again. A gap, or other bytes under an index that is taken, means that the caller and
//! the store disagree about history; both are refused.
//!
//! *Format.* A redb file with two tables: `operations` (index to bytes) and `meta` (`format`: the
//! version of this layout; `genesis`: the digest of the network that the operations belong to). A
//! file of a newer format or another genesis is refused and left alone. A new file is made under
//! another name and renamed, because redb does not reopen one whose creation was interrupted.
//! Every opening checks all checksums (measured: 0.3 to 1 s per million operations, depending on
//! what else the machine did), so that a damaged file is an error here and not a surprise later.
//!
//! *Second opinion.* How many operations are durable is also noted in a file beside the store (see
//! `mark`): a store that is shorter has lost its end, and is refused.
//!
//! All calls block; a thread of its own drives the store. After [`AppendError::Disk`] or
//! [`ReadError`] the store is of no more use: open it again.

mod errors;
mod mark;
mod read_only;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bitfitech_core::types::Digest;
use bitfitech_core::wire::PageRoom;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

pub use self::errors::{AppendError, OpenError, ReadError};
use self::mark::Mark;
pub use self::read_only::ReadOnlyStore;
use crate::data_dir::sync_parent;

/// The version of the layout that this program writes.
pub const FORMAT_VERSION: u32 = 1;

const OPERATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("operations");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_GENESIS: &str = "genesis";

/// Memory for pages of the file. A guess: peers mostly ask for the newest operations, and these
/// are in the memory of the node anyway. (redb's own default is 1 GiB.)
const CACHE_BYTES: usize = 16 << 20;

/// The operations of one node on disk.
pub struct Store {
    database: Database,
    path: PathBuf,
    /// Number of operations, that is the next index.
    length: u64,
    mark: Mark,
}

impl Store {
    /// Opens the file at `path`, or makes one for this genesis if there is none.
    ///
    /// After a crash this repairs the file first.
    ///
    /// # Errors
    /// See [`OpenError`]. None changes what is stored.
    pub fn open(path: &Path, genesis: &Digest) -> Result<Self, OpenError> {
        let found = path.try_exists();
        if !found.map_err(|source| OpenError::disk(path, source.into()))? {
            create_file(path, genesis).map_err(|source| OpenError::disk(path, source))?;
        }
        let database = builder().open(path);
        let database = database.map_err(|error| OpenError::from_engine(path, error))?;
        Self::from_database(database, path, genesis)
    }

    /// Checks that the file is what it should be before anything is done with it.
    fn from_database(database: Database, path: &Path, genesis: &Digest) -> Result<Self, OpenError> {
        let length = check(&database, path, genesis)?;
        let failed = |source: io::Error| OpenError::disk(path, source.into());
        let mark = Mark::open(path).map_err(failed)?;
        mark.write(length).map_err(failed)?;
        Ok(Self {
            database,
            path: path.to_path_buf(),
            length,
            mark,
        })
    }

    /// Number of operations; the index that the next one gets.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends operations from `first_index` on, durably before this returns.
    ///
    /// Those that are there already must be the same, and are not written again.
    ///
    /// # Errors
    /// See [`AppendError`]. But for [`AppendError::Disk`], after which it is not known, nothing was
    /// written.
    pub fn append(
        &mut self,
        first_index: u64,
        operations: &[impl AsRef<[u8]>],
    ) -> Result<(), AppendError> {
        let Some(repeated) = self.length.checked_sub(first_index) else {
            return Err(AppendError::Gap {
                expected_index: self.length,
                found_index: first_index,
            });
        };
        let repeated = usize::try_from(repeated)
            .map_or(operations.len(), |repeated| repeated.min(operations.len()));
        let (repeated, new) = operations.split_at(repeated);
        self.check_repeated(first_index, repeated)?;
        if !new.is_empty() {
            let written = self.write(new);
            self.length = written.map_err(|source| AppendError::disk(&self.path, source))?;
            let marked = self.mark.write(self.length);
            marked.map_err(|source| AppendError::disk(&self.path, source.into()))?;
        }
        Ok(())
    }

    fn check_repeated(
        &self,
        first_index: u64,
        repeated: &[impl AsRef<[u8]>],
    ) -> Result<(), AppendError> {
        if repeated.is_empty() {
            return Ok(());
        }
        let different = self.first_difference(first_index, repeated);
        match different.map_err(|source| AppendError::disk(&self.path, source))? {
            Some(index) => Err(AppendError::Conflict { index }),
            None => Ok(()),
        }
    }

    fn first_difference(
        &self,
        first_index: u64,
        repeated: &[impl AsRef<[u8]>],
    ) -> Result<Option<u64>, redb::Error> {
        let table = self.database.begin_read()?.open_table(OPERATIONS)?;
        for (index, operation) in (first_index..).zip(repeated) {
            let stored = table.get(index)?;
            if stored.is_none_or(|stored| stored.value() != operation.as_ref()) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Writes operations behind the last one in one transaction; gives the new length.
    fn write(&self, new: &[impl AsRef<[u8]>]) -> Result<u64, redb::Error> {
        let writing = self.database.begin_write()?;
        let mut table = writing.open_table(OPERATIONS)?;
        let mut index = self.length;
        for operation in new {
            let replaced = table.insert(index, operation.as_ref())?;
            assert!(replaced.is_none(), "operation {index} was there already");
            index += 1;
        }
        drop(table);
        writing.commit()?;
        Ok(index)
    }

    /// The operations with these indices, in the order asked for.
    ///
    /// Indices that are not stored are left out. The answer ends before the operation with which it
    /// would exceed `bytes_max`, but has at least the first one, so that every caller gets on.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        indices: &[u64],
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let found = self.read_indices(indices, bytes_max);
        found.map_err(|source| ReadError::new(&self.path, source))
    }

    fn read_indices(
        &self,
        indices: &[u64],
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(OPERATIONS)?;
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut room = PageRoom::new(bytes_max);
        for &index in indices {
            let Some(operation) = table.get(index)? else {
                continue;
            };
            let operation = operation.value();
            if !room.take(operation.len()) {
                break;
            }
            found.push((index, operation.to_vec()));
        }
        Ok(found)
    }

    /// At most `count_max` operations in the order of their indices, from index `from` on.
    ///
    /// For the replay: the next call goes on behind the last index, until the answer is empty.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn scan(&self, from: u64, count_max: usize) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let found = scan(&self.database, from, count_max);
        found.map_err(|source| ReadError::new(&self.path, source))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Store({}, {})", self.path.display(), self.length)
    }
}

/// The next operations from index `from` on, at most `count_max`.
fn scan(
    database: &Database,
    from: u64,
    count_max: usize,
) -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
    let table = database.begin_read()?.open_table(OPERATIONS)?;
    let mut found = Vec::new();
    for entry in table.range(from..)?.take(count_max) {
        let (index, operation) = entry?;
        found.push((index.value(), operation.value().to_vec()));
    }
    Ok(found)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// Makes an empty store that is there whole or not at all.
fn create_file(path: &Path, genesis: &Digest) -> Result<(), redb::Error> {
    let unfinished = path.with_extension("redb.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = builder().create(&unfinished)?;
    initialise(&database, genesis)?;
    database.close()?;
    mark::remove(path)?;
    std::fs::rename(&unfinished, path)?;
    sync_parent(path)?;
    Ok(())
}

fn initialise(database: &Database, genesis: &Digest) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(OPERATIONS)?;
    let mut meta = writing.open_table(META)?;
    meta.insert(META_FORMAT, &FORMAT_VERSION.to_be_bytes()[..])?;
    meta.insert(META_GENESIS, &genesis.0[..])?;
    drop(meta);
    writing.commit()?;
    Ok(())
}

/// Checks what the tables say about themselves, and the mark about their end; gives the number of
/// operations.
fn check(database: &Database, path: &Path, genesis: &Digest) -> Result<u64, OpenError> {
    let failed = |source: redb::Error| OpenError::from_content(path, source);
    let reading = database
        .begin_read()
        .map_err(|error| failed(error.into()))?;
    check_meta(&reading, path, genesis)?;
    let found = contiguous_length(&reading).map_err(failed)?;
    let marked = mark::read(path).map_err(|source| OpenError::disk(path, source.into()))?;
    match marked {
        Some(expected) if expected > found => Err(OpenError::Lost {
            path: path.to_path_buf(),
            mark: mark::path_of(path),
            expected,
            found,
        }),
        _ => Ok(found),
    }
}

/// Refuses a newer format, whose other content may mean anything, and then another genesis.
fn check_meta(reading: &ReadTransaction, path: &Path, genesis: &Digest) -> Result<(), OpenError> {
    let failed = |source| OpenError::from_content(path, source);
    let format = read_meta(reading, META_FORMAT).map_err(failed)?;
    match u32::from_be_bytes(format) {
        FORMAT_VERSION => {}
        found if found > FORMAT_VERSION => {
            return Err(OpenError::NewerFormat {
                path: path.to_path_buf(),
                found,
            });
        }
        found => return Err(failed(corrupted(format!("there is no format {found}")))),
    }
    let found = Digest(read_meta(reading, META_GENESIS).map_err(failed)?);
    if found != *genesis {
        return Err(OpenError::OtherGenesis {
            path: path.to_path_buf(),
            expected: *genesis,
            found,
        });
    }
    Ok(())
}

fn read_meta<const N: usize>(
    reading: &ReadTransaction,
    name: &str,
) -> Result<[u8; N], redb::Error> {
    let value = reading.open_table(META)?.get(name)?;
    let value = value.and_then(|value| value.value().try_into().ok());
    value.ok_or_else(|| corrupted(format!("its meta table has no valid {name}")))
}

/// Number of operations, which must have the indices from 0 on.
fn contiguous_length(reading: &ReadTransaction) -> Result<u64, redb::Error> {
    let table = reading.open_table(OPERATIONS)?;
    let length = table.len()?;
    let last = table.last()?.map(|(index, _)| index.value());
    if last != length.checked_sub(1) {
        return Err(corrupted(format!(
            "it has {length} operations, of which the last has index {last:?}"
        )));
    }
    Ok(length)
}

fn corrupted(problem: String) -> redb::Error {
    redb::Error::Corrupted(problem)
}

#[cfg(test)]
mod tests;
