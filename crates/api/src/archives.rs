//! Archives, looked into where they lie: what their manifests say, and single pictures out of them.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::thread::available_parallelism;

use database::Job;
use jobs::State;
use poem::http::StatusCode;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde::Deserialize;
use storage::blocking::Reader;
use storage::{Key, Object};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::Service;
use crate::problem::Problem;

/// Bytes of all manifests that are kept, about as they lie in memory.
const KEPT: u64 = 64 << 20;
/// Bytes of the largest manifest that is read. That of a day, which is as long as a video may be,
/// has half of them.
const LARGEST: u64 = 64 << 20;
/// Name of the manifest's entry, which is the last.
const NAME: &[u8] = b"manifest.json";

/// What an archive holds, by its manifest.
#[derive(Debug, Deserialize)]
pub struct Contents {
    pub source: Source,
    pub complete: bool,
    pub expected: u64,
    pub written: u64,
    pub missing: Vec<Missing>,
    /// In the order of their numbers.
    #[serde(alias = "frames")]
    pub images: Vec<Picture>,
}

/// What the video is.
#[derive(Debug, Deserialize)]
pub struct Source {
    pub container: String,
    pub codec: String,
    pub duration_s: Option<f64>,
    pub width: u32,
    pub height: u32,
    pub frame_rate: Option<Ratio>,
    pub pixel_format: String,
}

#[derive(Debug, Deserialize)]
pub struct Ratio {
    pub num: i64,
    pub den: i64,
}

/// Instants without a picture.
#[derive(Debug, Clone, Deserialize)]
pub struct Missing {
    pub first_number: u64,
    pub last_number: u64,
    pub from_s: f64,
    pub to_s: f64,
}

/// One picture, and where it lies.
#[derive(Debug, Clone, Deserialize)]
pub struct Picture {
    pub number: u64,
    pub name: String,
    pub timestamp_s: f64,
    pub width: u32,
    pub height: u32,
    pub decode_errors: bool,
    pub sha256: String,
    pub offset: u64,
    pub length: u64,
}

impl Picture {
    /// Its bytes in the archive.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

impl Contents {
    /// The picture of this number.
    pub fn picture(&self, number: u64) -> Option<&Picture> {
        self.images
            .binary_search_by_key(&number, |picture| picture.number)
            .ok()
            .map(|index| &self.images[index])
    }

    /// Whether all pictures lie within so many bytes, in order. The archive comes from a decoder,
    /// which a hostile video may have taken over.
    fn lies_within(&self, size: u64) -> bool {
        let inside = |picture: &Picture| {
            picture.offset.checked_add(picture.length).is_some_and(|end| end <= size)
        };
        self.images.is_sorted_by(|one, next| one.number < next.number)
            && self.images.iter().all(inside)
    }
}

/// What was read of archives. They never change, and the key of one is never that of another.
pub struct Archives {
    known: Cache<Key, Arc<Contents>, Weight>,
    /// One for each core: as many archives are looked into at a time.
    cores: Arc<Semaphore>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Contents>> for Weight {
    fn weight(&self, _key: &Key, contents: &Arc<Contents>) -> u64 {
        /// Of a name and a hash, with what an allocation takes besides.
        const TEXTS: usize = 160;
        let each = size_of::<Picture>() + TEXTS;
        (contents.images.len() * each
            + contents.missing.len() * size_of::<Missing>()
            + size_of::<Contents>()) as u64
    }
}

impl Default for Archives {
    fn default() -> Self {
        // In several shards, each takes a part of the whole, and none would take the manifest of a
        // long video.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(1000)
            .weight_capacity(KEPT)
            .build();
        let options = options.unwrap_or_else(|_| unreachable!("all that has to be said is said"));
        let known = Cache::with_options(
            options,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Self {
            known,
            cores: Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))),
        }
    }
}

impl Archives {
    /// What an archive holds.
    pub async fn contents(
        &self,
        service: &Service,
        archive: &Object,
    ) -> Result<Arc<Contents>, Problem> {
        let read = self
            .read(service, archive, |mut reader, size| contents(&mut reader, size).map(Arc::new));
        self.known.get_or_insert_async(&archive.key, read).await
    }

    /// Do something with an archive on a thread of its own, when a core is free for it.
    pub async fn read<T: Send + 'static>(
        &self,
        service: &Service,
        archive: &Object,
        work: impl FnOnce(Reader, u64) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|error| Problem::internal(&error))?;
        let (reader, size) = (
            Reader::new(Arc::clone(&service.parts.storage), archive, Handle::current()),
            archive.size,
        );
        let done = tokio::task::spawn_blocking(move || {
            // The work goes on when nobody waits for it any more, and takes its core until then.
            let _core = core;
            work(reader, size)
        });
        done.await.map_err(|error| Problem::internal(&error))?.map_err(|error| match error
            .downcast::<storage::Error>(
        ) {
            Ok(storage::Error::NotFound { .. }) => over(),
            Ok(error) => error.into(),
            Err(error) => Problem::internal(&format!("{} cannot be read: {error}", archive.key)),
        })
    }
}

/// The key of a job's archive, if the job is done and its time is not over.
pub fn key(service: &Service, job: &Job) -> Result<Key, Problem> {
    if job.state == State::Expired
        || job.state == State::Done && job.expires_at <= service.database().clock().now()
    {
        return Err(over());
    }
    let Some(path) = job.zip_path.as_ref().filter(|_| job.state == State::Done) else {
        let detail = format!("The job is {}; there is an archive when it is DONE.", job.state);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "NOT_DONE", detail));
    };
    path.parse().map_err(|_| Problem::internal(&format!("`{path}` is no key of an archive")))
}

/// What is known of an archive.
pub async fn stored(service: &Service, key: &Key) -> Result<Object, Problem> {
    service.parts.storage.head(key).await.map_err(|error| match error {
        storage::Error::NotFound { .. } => over(),
        error => error.into(),
    })
}

fn over() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "ARCHIVE_EXPIRED",
        "The archive's time is over. Upload the video again.",
    )
}

/// Read the manifest of an archive of so many bytes.
fn contents(archive: &mut (impl Read + Seek), size: u64) -> io::Result<Contents> {
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let start = size.saturating_sub(TAIL);
    archive.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    archive.by_ref().take(size - start).read_to_end(&mut tail)?;
    let manifest = manifest(&tail, size).ok_or_else(|| wrong("its last entry is no manifest"))?;
    let length = manifest.end - manifest.start;
    if length > LARGEST {
        return Err(wrong("its manifest is too large"));
    }
    archive.seek(SeekFrom::Start(manifest.start))?;
    let contents: Contents = serde_json::from_reader(BufReader::new(archive.take(length)))?;
    if contents.lies_within(manifest.start) {
        Ok(contents)
    } else {
        Err(wrong("its manifest names bytes that are none of a picture"))
    }
}

/// Bytes of an archive's end in which [`manifest`] finds all that it needs.
const TAIL: u64 = 256;

/// Where the manifest of an archive of `size` bytes lies, by the archive's last bytes: it is the
/// last entry, so its bytes end where the directory begins, and its record ends where the directory
/// does. The directory itself, which may be long, is not read.
fn manifest(tail: &[u8], size: u64) -> Option<Range<u64>> {
    // The end of the directory (APPNOTE.TXT 6.3.10, 4.3.16), without a comment.
    let end = tail.len().checked_sub(22)?;
    let (mut records_end, mut directory) = (end, u64::from(number32(tail, end + 16)?));
    if !tail[end..].starts_with(b"PK\x05\x06") {
        return None;
    }
    if let Some(wide) = end.checked_sub(76).filter(|wide| tail[*wide..].starts_with(b"PK\x06\x06"))
    {
        // The same in the wide form, behind which its locator stands (4.3.14 and 4.3.15).
        (records_end, directory) = (wide, number64(tail, wide + 48)?);
    }
    // The last record (4.3.12), without or with a wide offset of its entry (4.5.3).
    let record = [0, 12].into_iter().find_map(|extra: u16| {
        let start = records_end.checked_sub(46 + NAME.len() + usize::from(extra))?;
        let record = &tail[start..records_end];
        let lengths = [(NAME.len() as u16).to_le_bytes(), extra.to_le_bytes()].concat();
        (record.starts_with(b"PK\x01\x02")
            && record[28..32] == *lengths
            && record[46..].starts_with(NAME))
        .then_some(record)
    })?;
    let length = u64::from(number32(record, 24)?);
    let start = directory.checked_sub(length)?;
    (directory <= size).then_some(start..directory)
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
