//! Store files: a good one with any bytes changed, or cut, is read as it was or refused.
//!
//! The input is a list of changes of four bytes: three for the place, one to flip there. A change
//! behind the end of the file cuts it.
#![no_main]

use std::fs;
use std::sync::OnceLock;

use bitfitech_core::types::Digest;
use bitfitech_io::store::{ReadOnlyStore, Store};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Records in the good file.
const RECORDS: u64 = 300;

const GENESIS: Digest = Digest([7; 32]);

/// A folder for the files, and the content of a good one, as a killed process leaves it.
fn good() -> &'static (TempDir, Vec<u8>) {
    static GOOD: OnceLock<(TempDir, Vec<u8>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("good.redb");
        let mut store = Store::open(&path, &GENESIS).expect("opens");
        for first in (0..RECORDS).step_by(100) {
            let records: Vec<_> = (first..first + 100)
                .map(|index| [index as u8; 90])
                .collect();
            store.append(first, &records).expect("appends");
        }
        let bytes = fs::read(&path).expect("reads");
        drop(store);
        fs::rename(
            folder.path().join("good.mark"),
            folder.path().join("tried.mark"),
        )
        .expect("renames");
        (folder, bytes)
    })
}

fuzz_target!(|changes: &[u8]| {
    let (folder, good) = good();
    let mut bytes = good.clone();
    for change in changes.chunks_exact(4) {
        let place = u32::from_be_bytes([0, change[0], change[1], change[2]]) as usize;
        match bytes.get_mut(place) {
            Some(byte) => *byte ^= change[3],
            None => bytes.truncate(place / 200),
        }
    }
    let path = folder.path().join("tried.redb");
    fs::write(&path, &bytes).expect("writes");
    if let Ok(store) = ReadOnlyStore::open(&path, &GENESIS) {
        assert_eq!(store.len(), RECORDS, "nothing is lost without a word");
        let records = store
            .scan(0, usize::MAX)
            .expect("reads what it has checked");
        let mut records = (0..).zip(records);
        let is_good = records.all(|(index, (at, bytes))| at == index && bytes == [index as u8; 90]);
        assert!(is_good, "no record changes without a word");
    }
});
