//! Reading archives in the store: their manifests, and single frames.
//!
//! An archive is untrusted: it comes from a decoder, which a hostile video may have compromised.

use std::fmt::Display;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::thread::available_parallelism;

use database::Job;
use jobs::manifest::{
    DamagedRange, FrameEntry, MANIFEST_NAME, MissingRange, ReadPart, SheetEntry, SkippedFrame,
};
use jobs::{Manifest, State, Time};
use poem::http::StatusCode;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use storage::blocking::Reader;
use storage::{Key, Object, Storage};
use tokio::runtime::Handle;

use crate::concurrency::Caller;
use crate::fair_queue::FairQueue;
use crate::problem::Problem;
use crate::work_threads::{Priority, WorkThreads};

/// Maximum total size of the cached manifests, in bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// Maximum size of a manifest, in bytes: one and a half times that of a video of 24 hours, the
/// longest accepted.
const MAX_MANIFEST_BYTES: u64 = 48 << 20;
/// Maximum size of a manifest in memory, in multiples of its JSON. Those that a worker writes need
/// less, because their entries have names and digests.
const MAX_GROWTH: u64 = 2;
/// Memory for all archives that are read at a time, in bytes: enough for the largest manifest, as
/// JSON and parsed, and for the thumbnail of the largest frame.
const MEMORY_BYTES: u64 = 160 << 20;
/// Memory of the reader of an archive, in bytes ([`Reader`]).
const READER_BYTES: u64 = 12 << 20;

// A larger manifest could never be read.
const _: () = assert!((1 + MAX_GROWTH) * MAX_MANIFEST_BYTES + READER_BYTES <= MEMORY_BYTES);
/// Maximum number of warnings, and of libraries. An empty string takes 3 bytes in JSON and 24 in
/// memory, so their number is limited separately.
const MAX_TEXTS: usize = 1000;

/// Manifest of an archive.
pub struct ArchiveContents {
    /// The manifest, whose frames are in ascending order and within the archive.
    pub manifest: Manifest,
    /// Upper bound of the manifest's size in memory, in bytes.
    memory_bytes: u64,
}

impl ArchiveContents {
    /// Frame with this number.
    pub fn frame(&self, number: u64) -> Option<StoredFrame<'_>> {
        let frames = &self.manifest.frames;
        let index = frames.binary_search_by_key(&number, |frame| frame.number).ok()?;
        Some(StoredFrame { entry: &frames[index], range: frames[index].range()? })
    }
}

/// Frame in an archive.
pub struct StoredFrame<'a> {
    /// Its entry in the manifest.
    pub entry: &'a FrameEntry,
    /// Its bytes in the archive.
    pub range: Range<u64>,
}

#[derive(Clone)]
struct MemoryBytes;

impl Weighter<Key, Arc<ArchiveContents>> for MemoryBytes {
    fn weight(&self, _key: &Key, contents: &Arc<ArchiveContents>) -> u64 {
        contents.memory_bytes
    }
}

/// Reads archives in the store and caches their manifests. Archives never change, and keys are
/// never reused.
pub struct ArchiveReader {
    storage: Arc<dyn Storage>,
    manifests: Cache<Key, Arc<ArchiveContents>, MemoryBytes>,
    /// Bounds the archives that are read at a time, and their memory.
    queue: Arc<FairQueue<Caller>>,
    /// Of low priority: thumbnails would otherwise delay all other requests while there are many.
    threads: WorkThreads,
}

impl ArchiveReader {
    /// Create a reader with an empty cache.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        // With several shards, each would hold a part of the total, too small for the manifest of a
        // long video.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(1000)
            .weight_capacity(CACHE_BYTES)
            .build();
        let options = options.unwrap_or_else(|_| unreachable!("all required options are set"));
        let manifests = Cache::with_options(
            options,
            MemoryBytes,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let cores = available_parallelism().map_or(1, Into::into);
        let queue = FairQueue::new(cores, MEMORY_BYTES);
        // Work waits for its turn first, so hardly any waits for a thread.
        let threads = WorkThreads::new(cores, cores, Priority::Low);
        Self { storage, manifests, queue, threads }
    }

    /// Manifest of an archive for a caller, from the cache or the store.
    pub async fn contents(
        &self,
        caller: impl Into<Caller>,
        archive: &Object,
    ) -> Result<Arc<ArchiveContents>, Problem> {
        let caller = caller.into();
        let read = async {
            let tail = archive.size.saturating_sub(TAIL_BYTES)..archive.size;
            let tail = self.storage.read(&archive.key, tail).await.map_err(read_problem)?;
            let range = checked_manifest_range(&tail, archive.size)
                .map_err(|error| invalid_archive(&archive.key, &error))?;
            // The JSON and the manifest.
            let bytes = (1 + MAX_GROWTH) * (range.end - range.start);
            let work = |mut reader| read_contents(&mut reader, range).map(Arc::new);
            self.read(caller, archive, bytes, work).await
        };
        self.manifests.get_or_insert_async(&archive.key, read).await
    }

    /// Run `work` with a reader of an archive, on a separate thread, as soon as it is the caller's
    /// turn, and the memory that it needs and a core are free. `bytes` is its memory without that
    /// of the reader.
    pub async fn read<T: Send + 'static>(
        &self,
        caller: Caller,
        archive: &Object,
        bytes: u64,
        work: impl FnOnce(Reader) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let bytes = bytes.saturating_add(READER_BYTES);
        if bytes > MEMORY_BYTES {
            let error = format!("{bytes} bytes of memory would be needed");
            return Err(invalid_archive(&archive.key, &error));
        }
        let turn = self.queue.turn(caller, bytes).await;
        let reader = Reader::new(Arc::clone(&self.storage), archive, Handle::current());
        let done = self.threads.run(move || {
            // The work continues after its request was cancelled, and uses its memory and its core
            // until it ends.
            let _turn = turn;
            work(reader)
        });
        let result = done.await.map_err(|error| Problem::internal(&error))?;
        result.map_err(|error| match error.downcast::<storage::Error>() {
            Ok(error) => read_problem(error),
            Err(error) => invalid_archive(&archive.key, &error),
        })
    }

    /// Problem of an archive that is invalid.
    pub fn invalid(archive: &Object, error: &dyn Display) -> Problem {
        invalid_archive(&archive.key, error)
    }

    /// Size and age of an archive.
    pub async fn head(&self, key: &Key) -> Result<Object, Problem> {
        self.storage.head(key).await.map_err(read_problem)
    }
}

/// Key of a job's archive, if the job is done and has not expired.
pub fn key(job: &Job, now: Time) -> Result<Key, Problem> {
    let is_done = job.state == State::Done;
    if job.state == State::Expired || is_done && job.expires_at <= now {
        return Err(expired());
    }
    let Some(path) = job.zip_path.as_ref().filter(|_| is_done) else {
        let detail = format!("The job is {}; the archive is available when it is DONE.", job.state);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "NOT_DONE", detail));
    };
    path.parse().map_err(|_| Problem::internal(&format!("`{path}` is not the key of an archive")))
}

fn expired() -> Problem {
    let detail = "The archive has expired. Upload the video again.";
    Problem::new(StatusCode::GONE, "ARCHIVE_EXPIRED", detail)
}

/// Problem of a store that cannot read an archive.
fn read_problem(error: storage::Error) -> Problem {
    match error {
        storage::Error::NotFound { .. } => expired(),
        error => error.into(),
    }
}

fn invalid_archive(key: &Key, error: &dyn Display) -> Problem {
    Problem::internal(&format!("{key} cannot be read: {error}"))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Bytes of the manifest in an archive of `size` bytes, which end with `tail`.
fn checked_manifest_range(tail: &[u8], size: u64) -> io::Result<Range<u64>> {
    let range =
        manifest_range(tail, size).ok_or_else(|| invalid("its last entry is not a manifest"))?;
    if range.end - range.start > MAX_MANIFEST_BYTES {
        return Err(invalid("its manifest is too large"));
    }
    Ok(range)
}

/// Read the manifest at these bytes of an archive.
fn read_contents(
    archive: &mut (impl Read + Seek),
    range: Range<u64>,
) -> io::Result<ArchiveContents> {
    let json_bytes = range.end - range.start;
    archive.seek(SeekFrom::Start(range.start))?;
    let mut json = Vec::with_capacity(json_bytes as usize);
    archive.take(json_bytes).read_to_end(&mut json)?;
    let counts: EntryCounts = serde_json::from_slice(&json)?;
    if counts.warnings.0 > MAX_TEXTS || counts.engine.libraries.0 > MAX_TEXTS {
        return Err(invalid("its manifest has too many warnings or libraries"));
    }
    let memory_bytes = json_bytes.saturating_add(counts.bytes());
    if memory_bytes > MAX_GROWTH * json_bytes {
        return Err(invalid("its manifest has too many entries for its size"));
    }
    let manifest: Manifest = serde_json::from_slice(&json)?;
    if !frames_are_within(&manifest.frames, range.start) {
        return Err(invalid("its manifest names frames outside of the archive"));
    }
    Ok(ArchiveContents { manifest, memory_bytes })
}

/// Return whether frames are in ascending order of their numbers and end before `end`.
fn frames_are_within(frames: &[FrameEntry], end: u64) -> bool {
    frames.is_sorted_by(|one, next| one.number < next.number)
        && frames.iter().all(|frame| frame.range().is_some_and(|range| range.end <= end))
}

/// Numbers of the entries in a manifest, counted without allocating them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EntryCounts {
    warnings: Count,
    engine: EngineTextCounts,
    #[serde(alias = "images")]
    frames: Count,
    skipped: Count,
    read: Count,
    missing: Count,
    damaged: Count,
    sheets: Count,
}

impl EntryCounts {
    /// Memory of the entries in bytes, without that of their texts, which are larger in JSON. The
    /// spare room of a list is never written, so it is not counted.
    fn bytes(&self) -> u64 {
        let sizes = [
            (&self.frames, size_of::<FrameEntry>()),
            (&self.skipped, size_of::<SkippedFrame>()),
            (&self.read, size_of::<ReadPart>()),
            (&self.missing, size_of::<MissingRange>()),
            (&self.damaged, size_of::<DamagedRange>()),
            (&self.sheets, size_of::<SheetEntry>()),
        ];
        let bytes = sizes.map(|(count, size)| (count.0 as u64).saturating_mul(size as u64));
        bytes.into_iter().fold(0, u64::saturating_add)
    }
}

#[derive(Default, Deserialize)]
struct EngineTextCounts {
    #[serde(default)]
    libraries: Count,
}

/// Number of entries of a sequence or a map.
#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;

        impl<'de> Visitor<'de> for Counter {
            type Value = usize;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a sequence, a map or null")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<usize, E> {
                Ok(0)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<usize, A::Error> {
                let mut count = 0;
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<usize, A::Error> {
                let mut count = 0;
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }

        deserializer.deserialize_any(Counter).map(Count)
    }
}

/// Size of the end of an archive in which [`manifest_range`] finds all it needs, in bytes.
const TAIL_BYTES: u64 = 256;

/// Bytes of the manifest in an archive of `size` bytes, from the archive's last bytes. The manifest
/// is the last entry: its data ends where the central directory starts, and its directory record
/// ends where the directory ends.
///
/// The crate `zip` would read the whole directory instead, which has up to 9 MB for the 86,400
/// frames of a day, and hold several times that in memory, for each archive.
fn manifest_range(tail: &[u8], size: u64) -> Option<Range<u64>> {
    // End of central directory record without a comment (APPNOTE.TXT 6.3.10, 4.3.16).
    let end = tail.len().checked_sub(22)?;
    let (mut records_end, mut directory) = (end, u64::from(read_u32(tail, end + 16)?));
    if !tail[end..].starts_with(b"PK\x05\x06") {
        return None;
    }
    if let Some(zip64) =
        end.checked_sub(76).filter(|zip64| tail[*zip64..].starts_with(b"PK\x06\x06"))
    {
        // ZIP64 end of central directory record, followed by its locator (4.3.14 and 4.3.15).
        (records_end, directory) = (zip64, read_u64(tail, zip64 + 48)?);
    }
    // The last directory record (4.3.12), without or with the ZIP64 offset of its entry (4.5.3).
    let name = MANIFEST_NAME.as_bytes();
    let record = [0, 12].into_iter().find_map(|extra: u16| {
        let start = records_end.checked_sub(46 + name.len() + usize::from(extra))?;
        let record = &tail[start..records_end];
        let lengths = [(name.len() as u16).to_le_bytes(), extra.to_le_bytes()].concat();
        (record.starts_with(b"PK\x01\x02")
            && record[28..32] == *lengths
            && record[46..].starts_with(name))
        .then_some(record)
    })?;
    let length = u64::from(read_u32(record, 24)?);
    let start = directory.checked_sub(length)?;
    (directory <= size).then_some(start..directory)
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
