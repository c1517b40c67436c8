//! How many requests reading takes, and that the engine's threads never wait for each other.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jobs::{Clock, JobId, UserId};
use secrecy::SecretSlice;
use tempfile::TempDir;

use super::*;
use crate::Disk;

const MIB: u64 = 1 << 20;

/// A disk that remembers what was read.
struct Recorded {
    disk: Disk,
    reads: Mutex<Vec<Range<u64>>>,
}

#[async_trait]
impl Storage for Recorded {
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        self.disk.create(key).await
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.disk.head(key).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.reads.lock().expect("no reader panics").push(range.clone());
        self.disk.read(key, range).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.disk.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        self.disk.list(prefix, after).await
    }

    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error> {
        self.disk.link(key, filename, valid_for).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64, Error> {
        self.disk.sweep(older_than).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.disk.check().await
    }
}

/// An object of so many bytes, each of which tells its place.
async fn recorded(size: u64) -> (TempDir, Arc<Recorded>, Object) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let key = Key::archive(UserId::generate(), JobId::generate(), 1);
    let disk = Disk::open(directory.path(), &SecretSlice::from(vec![7; 32]), Clock::default())
        .expect("the directory can be used");
    let mut upload = disk.create(&key).await.expect("an upload begins");
    upload.write((0..size).map(byte).collect::<Vec<u8>>().into()).await.expect("bytes are taken");
    upload.complete().await.expect("the upload is completed");
    let object = disk.head(&key).await.expect("the object is there");
    (directory, Arc::new(Recorded { disk, reads: Mutex::default() }), object)
}

fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// Read at these places, each time so many bytes, and tell which ranges were asked for, in order of
/// their starts.
fn requests(size: u64, places: impl IntoIterator<Item = (u64, u64)>) -> Vec<Range<u64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime starts");
    let (_directory, storage, object) = runtime.block_on(recorded(size));
    let mut reader =
        Reader::new(Arc::clone(&storage) as Arc<dyn Storage>, &object, runtime.handle().clone());
    for (at, length) in places {
        reader.seek(SeekFrom::Start(at)).expect("the place exists");
        let mut bytes = vec![0; length as usize];
        reader.read_exact(&mut bytes).expect("the object can be read");
        assert!(
            bytes.into_iter().eq((at..at + length).map(byte)),
            "the bytes from {at} on are right"
        );
        let kept: u64 = reader.windows.iter().map(Window::length).sum();
        assert!(kept <= KEPT, "{kept} bytes are kept");
    }
    // The last read-ahead may not have begun: let it, so that it is counted.
    if let Some(ahead) = &mut reader.ahead {
        let read = runtime.block_on(&mut ahead.task).expect("the read-ahead does not panic");
        assert_eq!(read.expect("it reads").len() as u64, ahead.range.end - ahead.range.start);
    }
    let mut reads = std::mem::take(&mut *storage.reads.lock().expect("no reader panics"));
    reads.sort_by_key(|range| range.start);
    reads
}

#[test]
fn reading_through_asks_for_every_byte_once_in_growing_windows() {
    let size = 24 * MIB + 1;
    let ranges =
        requests(size, (0..size / 65_536).map(|n| (n * 65_536, 65_536)).chain([(size - 1, 1)]));
    let mut ends =
        [256, 768, 1792, 3840, 7936, 12_032, 16_128, 20_224, 24_320].map(|kib| kib * 1024).to_vec();
    ends.push(size);
    let starts = [0].into_iter().chain(ends.iter().copied());
    assert_eq!(ranges, starts.zip(&ends).map(|(start, end)| start..*end).collect::<Vec<_>>());
}

#[test]
fn a_container_with_its_index_at_the_end_is_opened_with_few_requests() {
    let size = 100 * MIB;
    // The header, boxes on the way to the index, the index, and back to the first pictures.
    let tail = size - 200_000;
    let places = [
        (0, 256),
        (0, 4096),
        (32, 8),
        (tail, 8),
        (tail + 8, 100_000),
        (tail, 1000),
        (40, 60_000),
        (100_000, 60_000),
    ];
    assert_eq!(requests(size, places), [0..FIRST_WINDOW, tail..size]);
}

#[test]
fn small_jumps_ahead_are_reading_on() {
    let size = 16 * MIB;
    // Reads 1 KiB of every 20.
    let ranges = requests(size, (0..size / 20_480).map(|n| (n * 20_480, 1024)));
    assert!(ranges.len() <= 9, "{ranges:?}");
}

#[test]
fn a_step_back_asks_only_for_what_is_not_here() {
    let size = 16 * MIB;
    let far = 10 * MIB;
    let ranges = requests(size, [(far, 1000), (far - 1000, 2000), (far - 2000, 10)]);
    assert_eq!(ranges, [far - 2000..far - 1000, far - 1000..far, far..far + FIRST_WINDOW]);
}

#[test]
fn two_places_read_in_turn_are_both_kept() {
    let size = 16 * MIB;
    let (one, other) = (0, 8 * MIB);
    let places = (0..200).flat_map(|n| [(one + n * 1000, 1000), (other + n * 1000, 1000)]);
    assert_eq!(requests(size, places), [one..FIRST_WINDOW, other..other + FIRST_WINDOW]);
}

#[test]
fn many_threads_share_a_runtime_of_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime starts");
    let size = 6 * MIB + 3;
    let (_directory, storage, object) = runtime.block_on(recorded(size));
    std::thread::scope(|scope| {
        for fence in 2..10 {
            let (storage, object, handle) =
                (Arc::clone(&storage), &object, runtime.handle().clone());
            scope.spawn(move || {
                let (user, job) = object.key.job();
                let copy = Key::archive(user, job, fence);
                let upload = handle.block_on(storage.create(&copy)).expect("an upload begins");
                let mut writer = Writer::new(upload, handle.clone());
                let mut reader =
                    Reader::new(Arc::clone(&storage) as Arc<dyn Storage>, object, handle.clone());
                assert_eq!(io::copy(&mut reader, &mut writer).expect("the object is copied"), size);
                let upload = writer.into_upload().expect("the last bytes are written");
                assert_eq!(
                    handle.block_on(upload.complete()).expect("the upload is completed"),
                    size
                );
                let bytes =
                    handle.block_on(storage.disk.read(&copy, 0..size)).expect("the copy is there");
                assert!(bytes.into_iter().eq((0..size).map(byte)));
            });
        }
    });
}

#[test]
fn a_failed_write_fails_the_upload() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime starts");
    let (_directory, storage, object) = runtime.block_on(recorded(1));
    let upload = runtime.block_on(storage.create(&object.key)).expect("an upload begins");
    assert_eq!(runtime.block_on(storage.sweep(Duration::ZERO)).expect("sweeping works"), 1);
    let mut writer = Writer::new(upload, runtime.handle().clone());
    writer.write_all(b"another").expect("it is only gathered");
    let upload = writer.into_upload().expect("it is only gathered");
    let failed = runtime.block_on(upload.complete()).expect_err("the file was swept away");
    assert!(matches!(&failed, Error::CutShort { key } if *key == object.key), "{failed}");
    assert_eq!(runtime.block_on(storage.head(&object.key)).expect("the old object stays"), object);
}
