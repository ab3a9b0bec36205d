//! The store on real files, and on a disk that forgets what was not synced.

use super::*;
use proptest::prelude::*;
use redb::StorageBackend;
use std::sync::{Arc, Mutex, MutexGuard};

const GENESIS: Digest = Digest([7; 32]);

struct Place {
    _root: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("operations.redb");
    Place { _root: root, path }
}

fn open(path: &Path) -> Store {
    Store::open(path, &GENESIS).expect("opens")
}

/// A record that no other index has; lengths differ, one in seven is empty.
fn record(index: u64) -> Vec<u8> {
    let length = usize::try_from(index % 7).expect("is small") * 70;
    let mut bytes = vec![u8::try_from(index % 251).expect("is small"); length];
    bytes.extend_from_slice(&index.to_be_bytes()[..length.min(8)]);
    bytes
}

fn records(indices: std::ops::Range<u64>) -> Vec<Vec<u8>> {
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

#[test]
fn a_bit_that_flips_on_disk_never_changes_a_record() {
    let place = place();
    let mut store = open(&place.path);
    store.append(0, &records(0..200)).expect("appends");
    drop(store);
    let whole = std::fs::read(&place.path).expect("reads");
    let copy = place.path.with_extension("copy");
    let (mut refused, step) = (0, whole.len() / 150);
    for at in (0..whole.len()).step_by(step) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&copy, &damaged).expect("writes");
        match Store::open(&copy, &GENESIS) {
            Ok(store) => assert_eq!(assert_prefix(&store), 200, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "{refused}");
}

/// A disk in memory, of which a crash keeps what was synced and a random part of the rest.
#[derive(Clone, Debug, Default)]
struct ForgetfulDisk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// What a reader sees: all changes applied.
    current: Vec<u8>,
    /// Changes until the power fails; every call fails from then on.
    changes_left: Option<u32>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// Size of what a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

impl Change {
    /// Applies the sectors of the change that `keeps` says reached the disk.
    fn apply(&self, image: &mut Vec<u8>, mut keeps: impl FnMut() -> bool) {
        match self {
            Self::Length(length) => {
                if keeps() {
                    image.resize(*length, 0);
                }
            }
            Self::Write(offset, data) => {
                let mut at = *offset;
                for sector in data.chunks(SECTOR_BYTES) {
                    if keeps() {
                        image.resize(image.len().max(at + sector.len()), 0);
                        image[at..at + sector.len()].copy_from_slice(sector);
                    }
                    at += sector.len();
                }
            }
        }
    }
}

impl ForgetfulDisk {
    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().expect("no panic while locked")
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut disk = self.lock();
        match &mut disk.changes_left {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(left) => *left -= 1,
            None => {}
        }
        change.apply(&mut disk.current, || true);
        disk.unsynced.push(change);
        Ok(())
    }

    /// The disk as it is found when the power is back.
    fn after_crash(&self, mut seed: u64) -> Self {
        let disk = self.lock();
        let mut image = disk.synced.clone();
        let mut keeps = || {
            // A step of the linear congruential generator MMIX (Knuth); its high bits are good.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005);
            seed = seed.wrapping_add(1_442_695_040_888_963_407);
            seed >> 63 == 1
        };
        for change in &disk.unsynced {
            change.apply(&mut image, &mut keeps);
        }
        let after = Self::default();
        after.lock().synced.clone_from(&image);
        after.lock().current = image;
        after
    }
}

impl StorageBackend for ForgetfulDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let disk = self.lock();
        let found = disk.current.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(Change::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.lock();
        if disk.changes_left == Some(0) {
            return Err(io::Error::other("the power is off"));
        }
        disk.synced = disk.current.clone();
        disk.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(Change::Write(offset, data.to_vec()))
    }
}

fn open_disk(disk: &ForgetfulDisk) -> Store {
    let database = builder().create_with_backend(disk.clone()).expect("opens");
    Store::from_database(database, Path::new("disk"), &GENESIS).expect("is a store")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_crash_at_any_write_keeps_what_was_confirmed_and_of_the_rest_all_or_nothing(
        batches in proptest::collection::vec(1_u64..60, 1..8),
        changes_left in 0_u32..120,
        seed in any::<u64>(),
    ) {
        let disk = ForgetfulDisk::default();
        let database = builder().create_with_backend(disk.clone()).expect("creates");
        initialise(&database, &GENESIS).expect("initialises");
        drop(database);

        let mut store = open_disk(&disk);
        disk.lock().changes_left = Some(changes_left);
        let mut expected = vec![0];
        for count in batches {
            let confirmed = expected[0];
            let batch = records(confirmed..confirmed + count);
            match store.append(confirmed, &batch) {
                Ok(()) => expected = vec![confirmed + count],
                Err(_) => {
                    expected.push(confirmed + count);
                    break;
                }
            }
        }
        let after = disk.after_crash(seed);
        drop(store);

        let mut store = open_disk(&after);
        let found = assert_prefix(&store);
        prop_assert!(expected.contains(&found), "{} not in {:?}", found, expected);
        store.append(found, &records(found..found + 3)).expect("appends");
        drop(store);
        prop_assert_eq!(assert_prefix(&open_disk(&after)), found + 3);
    }
}
