//! How many operations were durable: a second opinion about the end of the store.
//!
//! After a crash redb opens the newest commit whose checksums are right. That is what makes a torn
//! commit harmless, but a bit that flips in the pages of the *last* commit looks the same, and so
//! does a disk that only claimed to have synced: the commit before would be taken, and operations
//! that were acknowledged would be missing without a word. So after every commit its length is
//! noted in a small file beside the store. A store that is shorter than its mark has lost
//! something, and is refused.
//!
//! The mark is written after the sync of the commit and is not synced itself, so it costs a
//! microsecond. It survives the death of the process; a power failure may leave an older one or
//! none, which proves less and never too much.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::data_dir::private_file;

/// Length and check, eight bytes each.
const MARK_BYTES: usize = 16;

/// The file of the mark, open for writing.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    /// Opens the mark of the store at this path, or makes one.
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        let mut options = private_file();
        let options = options.create(true).truncate(false);
        options.open(path_of(store)).map(Self)
    }

    /// Notes that so many operations are durable.
    pub(super) fn write(&self, length: u64) -> io::Result<()> {
        self.0.write_all_at(&encode(length), 0)
    }
}

/// Where the mark of a store is.
pub(super) fn path_of(store: &Path) -> PathBuf {
    store.with_extension("mark")
}

/// How many operations the store at this path had at least; `None` if nothing says so.
pub(super) fn read(store: &Path) -> io::Result<Option<u64>> {
    let mut bytes = [0; MARK_BYTES];
    let read = File::open(path_of(store)).and_then(|file| file.read_exact_at(&mut bytes, 0));
    match read.map_err(|error| error.kind()) {
        Ok(()) => Ok(decode(&bytes)),
        Err(io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(None),
        Err(kind) => Err(kind.into()),
    }
}

/// Forgets the mark of a store that is about to be made anew.
pub(super) fn remove(store: &Path) -> io::Result<()> {
    match std::fs::remove_file(path_of(store)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn encode(length: u64) -> [u8; MARK_BYTES] {
    let length = length.to_be_bytes();
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&length);
    // So a mark that was itself damaged is told from one that accuses.
    bytes[8..].copy_from_slice(&length.map(|byte| !byte));
    bytes
}

/// A mark that is damaged says nothing; the next commit writes it anew.
fn decode(bytes: &[u8; MARK_BYTES]) -> Option<u64> {
    let (length, _) = bytes.split_first_chunk()?;
    let length = u64::from_be_bytes(*length);
    (encode(length) == *bytes).then_some(length)
}
