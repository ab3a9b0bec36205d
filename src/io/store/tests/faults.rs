//! The store on disks that fail: forget, lie, tear writes, or refuse them.

use super::*;
use redb::StorageBackend;
use std::sync::{Arc, Mutex, MutexGuard};

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
    /// Changes until one fails, and only that one.
    fails_after: Option<u32>,
    /// Whether it claims to have synced what it has not.
    lies: bool,
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
        match &mut disk.fails_after {
            Some(0) => {
                disk.fails_after = None;
                return Err(io::Error::other("a sector cannot be written"));
            }
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
        Self::with_image(image)
    }

    /// A disk with this content.
    fn with_image(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.lock().synced.clone_from(&image);
        disk.lock().current = image;
        disk
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
        if !disk.lies {
            disk.synced = disk.current.clone();
            disk.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(Change::Write(offset, data.to_vec()))
    }
}

/// Opens the store on a disk. Its mark is a real file at the place: the worst case is that a crash
/// forgets a part of the disk and nothing of the mark.
fn try_disk(disk: &ForgetfulDisk, place: &Place) -> Result<Store, OpenError> {
    let database = builder().create_with_backend(disk.clone());
    let database = database.map_err(|error| OpenError::from_engine(&place.path, error))?;
    Store::from_database(database, &place.path, &GENESIS)
}

fn open_disk(disk: &ForgetfulDisk, place: &Place) -> Store {
    try_disk(disk, place).expect("is a store")
}

/// A disk with a store of so many records.
fn disk_with(count: u64, place: &Place) -> ForgetfulDisk {
    let disk = ForgetfulDisk::default();
    let database = builder()
        .create_with_backend(disk.clone())
        .expect("creates");
    initialise(&database, &GENESIS).expect("initialises");
    drop(database);
    let mut store = open_disk(&disk, place);
    store.append(0, &records(0..count)).expect("appends");
    drop(store);
    disk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_crash_at_any_write_keeps_what_was_confirmed_and_of_the_rest_all_or_nothing(
        batches in proptest::collection::vec(1_u64..60, 1..8),
        changes_left in 0_u32..120,
        seed in any::<u64>(),
    ) {
        let place = place();
        let disk = disk_with(0, &place);
        let mut store = open_disk(&disk, &place);
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

        let mut store = open_disk(&after, &place);
        let found = assert_prefix(&store);
        prop_assert!(expected.contains(&found), "{} not in {:?}", found, expected);
        store.append(found, &records(found..found + 3)).expect("appends");
        drop(store);
        prop_assert_eq!(assert_prefix(&open_disk(&after, &place)), found + 3);
    }

    /// A controller that acknowledges and forgets: what is missing afterwards must be noticed.
    #[test]
    fn a_disk_that_lies_about_syncing_is_found_out(
        counts in proptest::collection::vec(1_u64..60, 1..8),
        seed in any::<u64>(),
    ) {
        let place = place();
        let disk = disk_with(20, &place);
        let mut store = open_disk(&disk, &place);
        disk.lock().lies = true;
        for count in counts {
            let first = store.len();
            store.append(first, &records(first..first + count)).expect("appends");
        }
        let confirmed = store.len();
        let after = disk.after_crash(seed);
        drop(store);
        if let Ok(store) = try_disk(&after, &place) {
            prop_assert_eq!(assert_prefix(&store), confirmed);
        }
    }

    #[test]
    fn one_write_that_fails_costs_the_batch_and_nothing_else(
        count in 1_u64..60,
        fails_after in 0_u32..12,
    ) {
        let place = place();
        let disk = disk_with(20, &place);
        let mut store = open_disk(&disk, &place);
        disk.lock().fails_after = Some(fails_after);
        let batch = records(20..20 + count);
        let written = store.append(20, &batch);
        drop(store);
        disk.lock().fails_after = None;
        let mut store = open_disk(&disk, &place);
        let found = assert_prefix(&store);
        match written {
            Ok(()) => prop_assert_eq!(found, 20 + count),
            Err(AppendError::Disk { .. }) => prop_assert!([20, 20 + count].contains(&found)),
            Err(error) => prop_assert!(false, "{}", error),
        }
        // What the actor does: the store is opened again and the batch is repeated.
        store.append(20, &batch).expect("appends");
        prop_assert_eq!(assert_prefix(&store), 20 + count);
    }
}

/// Between two places that are tried: all of them with `TORN_STEP=1`.
fn torn_step() -> usize {
    let step = std::env::var("TORN_STEP");
    step.map_or(151, |step| {
        step.parse().expect("TORN_STEP must be a whole number")
    })
}

/// Content of the disk after these changes, the last of them torn at a byte.
fn torn(before: &[u8], changes: &[Change], bytes_of_last: usize) -> Vec<u8> {
    let mut image = before.to_vec();
    let (last, whole) = changes.split_last().expect("there is a last one");
    whole
        .iter()
        .for_each(|change| change.apply(&mut image, || true));
    if let Change::Write(offset, data) = last {
        let part = Change::Write(*offset, data[..bytes_of_last].to_vec());
        part.apply(&mut image, || true);
    }
    image
}

#[test]
fn a_crash_after_any_prefix_of_the_writes_torn_at_any_byte_leaves_the_old_or_the_new_state() {
    let place = place();
    let disk = disk_with(300, &place);
    let mut store = open_disk(&disk, &place);
    let before = disk.lock().current.clone();
    // Nothing counts as synced, so that the log has every write of the batch in order.
    disk.lock().unsynced.clear();
    disk.lock().lies = true;
    store.append(300, &records(300..420)).expect("appends");
    let changes = disk.lock().unsynced.clone();
    drop(store);
    mark::remove(&place.path).expect("removes");
    Mark::open(&place.path)
        .expect("opens")
        .write(300)
        .expect("writes");
    let (mut tried, mut new) = (0, 0);
    for last in 1..=changes.len() {
        let bytes = match &changes[last - 1] {
            Change::Write(_, data) => data.len(),
            Change::Length(_) => 0,
        };
        // Every byte of short writes, which are those of the head of the file.
        let step = if bytes <= SECTOR_BYTES {
            1
        } else {
            torn_step()
        };
        for bytes in (0..=bytes).step_by(step).chain([bytes]) {
            let image = torn(&before, &changes[..last], bytes);
            let found = assert_prefix(&open_disk(&ForgetfulDisk::with_image(image), &place));
            assert!(
                [300, 420].contains(&found),
                "{found} after {last} writes, {bytes} bytes"
            );
            tried += 1;
            new += u32::from(found == 420);
            let mark = Mark::open(&place.path).expect("opens");
            mark.write(300).expect("writes");
        }
    }
    println!(
        "{} writes, torn at {tried} places: {new} have the batch",
        changes.len()
    );
    assert!(new > 0 && new < tried, "{new} of {tried}");
}

#[test]
fn a_tail_that_is_cut_or_zeroed_at_any_byte_of_the_last_64_kib_is_the_same_state_or_refused() {
    let place = place();
    drop(disk_with(0, &place));
    let disk = disk_with(2_000, &place);
    let whole = disk.lock().current.clone();
    let from = whole.len().saturating_sub(64 << 10);
    let (mut same, mut refused) = (0, 0);
    for at in (from..whole.len()).step_by(torn_step()) {
        let cut = whole[..at].to_vec();
        let mut zeroed = whole.clone();
        zeroed[at..].fill(0);
        for image in [cut, zeroed] {
            match try_disk(&ForgetfulDisk::with_image(image), &place) {
                Ok(store) => {
                    assert_eq!(assert_prefix(&store), 2_000, "byte {at}");
                    same += 1;
                }
                Err(OpenError::Corrupted { .. } | OpenError::Lost { .. }) => refused += 1,
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
    println!(
        "tails of {} bytes: {same} the same state, {refused} refused",
        whole.len()
    );
    assert!(refused > 0, "{same} {refused}");
}
