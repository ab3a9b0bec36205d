//! The store on real files.

use super::*;
use proptest::prelude::*;

mod faults;

/// The network of these tests.
pub(crate) const GENESIS: Digest = Digest([7; 32]);

/// Where a store of a test is.
pub(crate) struct Place {
    _root: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// A place of its own.
pub(crate) fn place() -> Place {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("operations.redb");
    Place { _root: root, path }
}

/// Opens it there.
pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, &GENESIS).expect("opens")
}

/// A record that no other index has; lengths differ, one in seven is empty.
pub(crate) fn record(index: u64) -> Vec<u8> {
    let length = usize::try_from(index % 7).expect("is small") * 70;
    let mut bytes = vec![u8::try_from(index % 251).expect("is small"); length];
    bytes.extend_from_slice(&index.to_be_bytes()[..length.min(8)]);
    bytes
}

/// Records with these indices.
pub(crate) fn records(indices: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    indices.map(record).collect()
}

/// Asserts that the store holds exactly the records from 0 on; gives how many.
fn assert_prefix(store: &Store) -> u64 {
    let mut next = 0;
    loop {
        let chunk = store.scan(next, 13).expect("scans");
        if chunk.is_empty() {
            break;
        }
        for (index, bytes) in chunk {
            assert_eq!((index, bytes), (next, record(next)));
            next += 1;
        }
    }
    assert_eq!(next, store.len());
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_is_a_growing_vector_across_reopenings(
        steps in proptest::collection::vec((0_u64..40, 0_u64..30, any::<bool>()), 1..12),
    ) {
        let place = place();
        let mut store = open(&place.path);
        let mut length = 0;
        for (first, count, reopen) in steps {
            let result = store.append(first, &records(first..first + count));
            if first > length {
                let gap = matches!(result, Err(AppendError::Gap { expected_index, found_index })
                    if expected_index == length && found_index == first);
                prop_assert!(gap);
            } else {
                prop_assert!(result.is_ok());
                length = length.max(first + count);
            }
            if reopen {
                drop(store);
                store = open(&place.path);
            }
            prop_assert_eq!(assert_prefix(&store), length);
        }
    }
}

#[test]
fn an_append_that_differs_anywhere_is_refused_whole() {
    let place = place();
    let mut store = open(&place.path);
    assert!(store.is_empty());
    store.append(0, &records(0..5)).expect("appends");
    let mut other = records(2..9);
    other[2].push(0);
    let error = store.append(2, &other).expect_err("differs");
    assert!(
        matches!(error, AppendError::Conflict { index: 4 }),
        "{error}"
    );
    assert_eq!(assert_prefix(&store), 5);
}

#[test]
fn reading_keeps_the_order_leaves_out_what_is_missing_and_stops_at_the_limit() {
    let place = place();
    let mut store = open(&place.path);
    store.append(0, &records(0..20)).expect("appends");
    let read = |indices: &[u64], bytes_max| -> Vec<u64> {
        let found = store.read(indices, bytes_max).expect("reads");
        for (index, bytes) in &found {
            assert_eq!(*bytes, record(*index));
        }
        found.into_iter().map(|(index, _)| index).collect()
    };
    assert_eq!(read(&[9, 3, 99, 3, 11], usize::MAX), [9, 3, 3, 11]);
    let exactly = record(9).len() + record(3).len();
    assert_eq!(read(&[9, 3, 11], exactly), [9, 3]);
    assert_eq!(read(&[9, 3, 11], exactly - 1), [9]);
    assert_eq!(read(&[9, 3], 0), [9]);
    assert_eq!(read(&[], 100), [0; 0]);
    assert_eq!(store.scan(18, 100).expect("scans").len(), 2);
    assert_eq!(store.scan(20, 100).expect("scans").len(), 0);
    assert_eq!(store.scan(0, 0).expect("scans").len(), 0);
}

#[test]
fn a_store_of_another_genesis_is_refused_with_both_names_and_stays_as_it_is() {
    let place = place();
    open(&place.path)
        .append(0, &records(0..3))
        .expect("appends");
    let other = Digest([8; 32]);
    let error = Store::open(&place.path, &other).expect_err("is another network's");
    assert!(matches!(error, OpenError::OtherGenesis { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&GENESIS.to_hex()), "{text}");
    assert!(text.contains(&other.to_hex()), "{text}");
    assert_eq!(assert_prefix(&open(&place.path)), 3);
}

/// Overwrites an entry of the meta table.
fn write_meta(path: &Path, name: &str, value: &[u8]) {
    let database = builder().open(path).expect("opens");
    let writing = database.begin_write().expect("writes");
    let mut meta = writing.open_table(META).expect("a table");
    meta.insert(name, value).expect("inserts");
    drop(meta);
    writing.commit().expect("commits");
}

#[test]
fn a_newer_format_is_refused_before_anything_else_of_it_is_read() {
    let place = place();
    drop(open(&place.path));
    write_meta(&place.path, META_GENESIS, b"means something else now");
    write_meta(&place.path, META_FORMAT, &2_u32.to_be_bytes());
    let error = Store::open(&place.path, &GENESIS).expect_err("is newer");
    assert!(
        matches!(error, OpenError::NewerFormat { found: 2, .. }),
        "{error}"
    );
    write_meta(&place.path, META_FORMAT, &0_u32.to_be_bytes());
    let error = Store::open(&place.path, &GENESIS).expect_err("never was");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[test]
fn a_store_that_is_open_is_locked() {
    let place = place();
    let held = open(&place.path);
    let error = Store::open(&place.path, &GENESIS).expect_err("is open");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(held);
    open(&place.path);
}

#[test]
fn files_that_are_no_store_are_refused_and_stay_as_they_are() {
    let place = place();
    for content in [&b""[..], &[0; 100], &[0x55; 10_000]] {
        std::fs::write(&place.path, content).expect("writes");
        let error = Store::open(&place.path, &GENESIS).expect_err("is no store");
        assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
        assert_eq!(std::fs::read(&place.path).expect("reads"), content);
    }
    std::fs::remove_file(&place.path).expect("removes");
    drop(
        builder()
            .create(&place.path)
            .expect("another program's database"),
    );
    let error = Store::open(&place.path, &GENESIS).expect_err("is no store");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[test]
fn an_unfinished_file_of_a_crash_is_replaced() {
    let place = place();
    std::fs::write(place.path.with_extension("redb.new"), [0; 5_000]).expect("writes");
    assert!(open(&place.path).is_empty());
    assert!(!place.path.with_extension("redb.new").exists());
}

#[test]
fn a_missing_operation_is_noticed() {
    let place = place();
    open(&place.path)
        .append(0, &records(0..5))
        .expect("appends");
    let database = builder().open(&place.path).expect("opens");
    let writing = database.begin_write().expect("writes");
    let mut table = writing.open_table(OPERATIONS).expect("a table");
    table.remove(2).expect("removes");
    drop(table);
    writing.commit().expect("commits");
    drop(database);
    let error = Store::open(&place.path, &GENESIS).expect_err("has a hole");
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[test]
fn a_copy_made_after_any_commit_while_the_store_is_open_has_all_that_was_committed() {
    let place = place();
    let copy = place.path.with_extension("copy");
    let mut store = open(&place.path);
    for length in 1..20 {
        let first = store.len();
        store
            .append(first, &records(first..length * length))
            .expect("appends");
        std::fs::copy(&place.path, &copy).expect("copies");
        assert_eq!(assert_prefix(&open(&copy)), length * length);
    }
}

/// A copy of a store with its mark, as a backup takes it.
fn copy_of(path: &Path) -> PathBuf {
    let copy = path.with_file_name("copy.redb");
    std::fs::copy(path, &copy).expect("copies");
    std::fs::copy(mark::path_of(path), mark::path_of(&copy)).expect("copies");
    copy
}

/// Flips bits of the copy all over, and closely in its head; each is refused or changes nothing.
/// Gives how many were refused.
fn flip_everywhere(copy: &Path, records: u64) -> u32 {
    let whole = std::fs::read(copy).expect("reads");
    let head = (0..512).step_by(13);
    let step = whole.len() / 60;
    let mut refused = 0;
    for at in head.chain((0..whole.len()).step_by(step)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(copy, &damaged).expect("writes");
        match ReadOnlyStore::open(copy, &GENESIS) {
            Ok(store) => assert_eq!(store.len(), records, "byte {at}"),
            Err(_) => refused += 1,
        }
        match Store::open(copy, &GENESIS) {
            Ok(store) => assert_eq!(assert_prefix(&store), records, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    refused
}

#[test]
fn a_bit_that_flips_on_disk_never_changes_or_loses_a_record() {
    let place = place();
    let mut store = open(&place.path);
    store.append(0, &records(0..150)).expect("appends");
    store.append(150, &records(150..200)).expect("appends");
    // As a killed process leaves it: the last commit could be torn, for all that redb knows.
    let killed = flip_everywhere(&copy_of(&place.path), 200);
    drop(store);
    let closed = flip_everywhere(&copy_of(&place.path), 200);
    assert!(killed > 10 && closed > 10, "{killed} {closed}");
}

#[test]
fn a_store_that_is_shorter_than_its_mark_is_refused_until_the_mark_is_gone() {
    let place = place();
    let mut store = open(&place.path);
    store.append(0, &records(0..5)).expect("appends");
    let copy = copy_of(&place.path);
    store.append(5, &records(5..9)).expect("appends");
    drop(store);
    let mark = mark::path_of(&place.path);
    std::fs::copy(&mark, mark::path_of(&copy)).expect("copies");
    let error = Store::open(&copy, &GENESIS).expect_err("has lost its end");
    let is_lost = matches!(
        &error,
        OpenError::Lost {
            expected: 9,
            found: 5,
            ..
        }
    );
    assert!(is_lost, "{error}");
    let name = mark::path_of(&copy).display().to_string();
    assert!(error.to_string().contains(&name), "{error}");
    std::fs::remove_file(mark::path_of(&copy)).expect("removes");
    assert_eq!(assert_prefix(&open(&copy)), 5);
    // A damaged mark accuses nobody.
    for damaged in [&b""[..], &[1; 15], &[0; 16], &[0xff; 16]] {
        std::fs::write(&mark, damaged).expect("writes");
        assert_eq!(assert_prefix(&open(&place.path)), 9);
        assert_eq!(mark::read(&place.path).expect("reads"), Some(9));
    }
    std::fs::remove_file(&place.path).expect("removes");
    assert!(open(&place.path).is_empty(), "a new store has a new mark");
}
