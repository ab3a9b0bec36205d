//! A store under audit shows what its node would see, and stays as it is.

use super::*;
use crate::store::tests::{GENESIS, open, place, record, records};

fn audit(path: &Path) -> ReadOnlyStore {
    ReadOnlyStore::open(path, &GENESIS).expect("opens")
}

fn all(store: &ReadOnlyStore) -> Vec<(u64, Vec<u8>)> {
    store.scan(0, usize::MAX).expect("scans")
}

#[test]
fn it_shows_all_records_and_changes_no_byte() {
    let place = place();
    open(&place.path)
        .append(0, &records(0..500))
        .expect("appends");
    let before = std::fs::read(&place.path).expect("reads");
    let store = audit(&place.path);
    assert_eq!(store.len(), 500);
    let expected: Vec<_> = (0..500).map(|index| (index, record(index))).collect();
    assert_eq!(all(&store), expected);
    drop(store);
    assert!(std::fs::read(&place.path).expect("reads") == before);
}

#[test]
fn a_file_that_needs_repair_is_repaired_in_memory_alone() {
    let place = place();
    let copy = place.path.with_extension("copy");
    let mut store = open(&place.path);
    store.append(0, &records(0..500)).expect("appends");
    // Copied while it is open, so as a killed process leaves it.
    std::fs::copy(&place.path, &copy).expect("copies");
    let before = std::fs::read(&copy).expect("reads");
    assert_eq!(all(&audit(&copy)).len(), 500);
    assert!(std::fs::read(&copy).expect("reads") == before);
}

#[test]
fn a_store_in_use_is_refused_and_one_under_audit_is_not_opened() {
    let place = place();
    let held = open(&place.path);
    let error = ReadOnlyStore::open(&place.path, &GENESIS).expect_err("is in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(held);
    let first = audit(&place.path);
    let second = audit(&place.path);
    let error = crate::store::Store::open(&place.path, &GENESIS).expect_err("is looked at");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop((first, second));
    open(&place.path);
}

#[test]
fn what_is_not_there_is_not_made() {
    let place = place();
    let error = ReadOnlyStore::open(&place.path, &GENESIS).expect_err("is missing");
    assert!(matches!(error, OpenError::Disk { .. }), "{error}");
    assert!(!place.path.exists());
    std::fs::write(&place.path, "").expect("writes");
    let error = ReadOnlyStore::open(&place.path, &GENESIS).expect_err("is empty");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[test]
fn the_overlay_is_a_file_that_forgets() {
    let place = place();
    std::fs::write(&place.path, [1; 10_000]).expect("writes");
    let file = File::open(&place.path).expect("opens");
    let overlay = Overlay::new(file, 10_000);
    let read = |from: u64, count: usize| {
        let mut bytes = vec![9; count];
        overlay.read(from, &mut bytes).map(|()| bytes)
    };
    overlay.write(4_000, &[2; 200]).expect("writes");
    assert_eq!(
        read(3_999, 202).expect("reads"),
        [&[1][..], &[2; 200], &[1]].concat()
    );
    overlay.write(9_999, &[3; 2]).expect("writes");
    assert_eq!(StorageBackend::len(&overlay).expect("has a length"), 10_001);
    overlay.set_len(4_100).expect("is cut");
    read(4_099, 2).expect_err("is behind the end");
    overlay.set_len(9_000).expect("grows");
    assert_eq!(read(4_099, 3).expect("reads"), [2, 0, 0]);
    assert_eq!(read(8_000, 1_000).expect("reads"), [0; 1_000]);
    assert_eq!(std::fs::read(&place.path).expect("reads"), [1; 10_000]);
}
