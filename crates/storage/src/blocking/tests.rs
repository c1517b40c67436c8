//! Requests of the reader.

use jobs::{JobId, UserId};

use super::*;
use crate::memory::Memory;

const MIB: u64 = 1 << 20;

/// The byte at a position, different from those nearby.
fn byte(position: u64) -> u8 {
    (position.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

async fn put(storage: &Memory, size: u64) -> Object {
    let key = Key::archive(UserId::generate(), JobId::generate(), 1);
    let mut upload = storage.create(&key).await.expect("an upload starts");
    let bytes: Vec<u8> = (0..size).map(byte).collect();
    upload.write(bytes.into()).await.expect("bytes are accepted");
    upload.complete().await.expect("the upload completes");
    storage.head(&key).await.expect("the object exists")
}

/// Position and length of a read.
type Access = (u64, u64);

/// Perform reads on an object of `size` bytes and return the requested ranges, ordered by start.
fn requests(size: u64, accesses: impl IntoIterator<Item = Access>) -> Vec<Range<u64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime starts");
    let storage = Arc::new(Memory::default());
    let object = runtime.block_on(put(&storage, size));
    let mut reader =
        Reader::new(Arc::clone(&storage) as Arc<dyn Storage>, &object, runtime.handle().clone());
    for (position, length) in accesses {
        reader.seek(SeekFrom::Start(position)).expect("the position is valid");
        let mut bytes = vec![0; length as usize];
        reader.read_exact(&mut bytes).expect("the object can be read");
        assert!(
            bytes.into_iter().eq((position..position + length).map(byte)),
            "the bytes at {position} are correct"
        );
        let cached: u64 = reader.windows.iter().map(Window::length).sum();
        assert!(cached <= CACHE_SIZE, "{cached} bytes are cached");
    }
    // The last prefetch may not have started yet, but counts as well.
    if let Some(prefetch) = &mut reader.prefetch {
        let read = runtime.block_on(&mut prefetch.task).expect("the prefetch does not panic");
        let length = read.expect("the prefetch succeeds").len() as u64;
        assert_eq!(length, prefetch.range.end - prefetch.range.start);
    }
    let mut reads = storage.take_reads();
    reads.sort_by_key(|range| range.start);
    reads
}

#[test]
fn sequential_reading_requests_every_byte_once_in_growing_windows() {
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
fn opening_a_container_with_its_index_at_the_end_takes_two_requests() {
    let size = 100 * MIB;
    // The header, boxes before the index, the index, and the first frames.
    let tail = size - 200_000;
    let accesses = [
        (0, 256),
        (0, 4096),
        (32, 8),
        (tail, 8),
        (tail + 8, 100_000),
        (tail, 1000),
        (40, 60_000),
        (100_000, 60_000),
    ];
    assert_eq!(requests(size, accesses), [0..FIRST_WINDOW, tail..size]);
}

#[test]
fn short_forward_jumps_count_as_sequential() {
    let size = 16 * MIB;
    // Reads 1 KiB of every 20.
    let ranges = requests(size, (0..size / 20_480).map(|n| (n * 20_480, 1024)));
    assert!(ranges.len() <= 9, "{ranges:?}");
}

#[test]
fn backward_jumps_request_only_uncached_bytes() {
    let size = 16 * MIB;
    let far = 10 * MIB;
    let ranges = requests(size, [(far, 1000), (far - 1000, 2000), (far - 2000, 10)]);
    assert_eq!(ranges, [far - 2000..far - 1000, far - 1000..far, far..far + FIRST_WINDOW]);
}

#[test]
fn two_alternating_positions_both_stay_cached() {
    let size = 16 * MIB;
    let (one, other) = (0, 8 * MIB);
    let accesses = (0..200).flat_map(|n| [(one + n * 1000, 1000), (other + n * 1000, 1000)]);
    assert_eq!(requests(size, accesses), [one..FIRST_WINDOW, other..other + FIRST_WINDOW]);
}
