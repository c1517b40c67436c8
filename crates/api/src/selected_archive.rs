//! Archive of selected frames, made of ranges of the stored archive while it is sent.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use jobs::Manifest;
use jobs::manifest::{FrameEntry, MANIFEST_NAME};
use poem::Body;
use storage::{Object, Storage};

use crate::archives::ArchiveReader;
use crate::concurrency::UserSlot;
use crate::frame_numbers::FrameNumbers;
use crate::problem::Problem;
use crate::selected_manifest::selected_manifest;
use crate::zip_parts;

/// Size of a chunk in bytes, which bounds the memory of a slow download. The local header of an
/// entry is in its first chunk.
const CHUNK_BYTES: u64 = 256 << 10;
/// Maximum length of the name of an entry, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Maximum size of the manifest, in bytes: several times that of the most frames in one selection.
const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// File name of an archive of selected frames of a video.
pub fn name(video: &str) -> String {
    format!("{}_selected.zip", stem(video))
}

/// Name of a video without its suffix.
pub fn stem(video: &str) -> &str {
    video.rsplit_once('.').map_or(video, |(stem, _)| stem)
}

/// Archive of selected frames.
pub struct SelectedArchive {
    /// The whole archive.
    object: Object,
    entries: Vec<Entry>,
    /// The manifest as JSON, and its local header.
    manifest: Bytes,
    manifest_header: Vec<u8>,
    /// Size of the archive in bytes.
    size: u64,
}

/// Entry of the whole archive.
struct Entry {
    name: String,
    /// Its local header and its data in the whole archive.
    stored: Range<u64>,
    /// Size of the data in bytes.
    length: u64,
}

impl SelectedArchive {
    /// Lay out an archive of these frames. Nothing but the manifest is in memory.
    ///
    /// # Errors
    /// There is no frame with one of the numbers, or the whole archive is invalid.
    pub fn new(object: Object, whole: &Manifest, numbers: &FrameNumbers) -> Result<Self, Problem> {
        let invalid = |reason: &str| ArchiveReader::invalid(&object, &reason);
        let mut entries: Vec<Entry> = Vec::new();
        let mut frames = Vec::new();
        let (mut offset, mut directory_bytes, mut stored_end) = (0, 0, 0);
        for frame in numbers.select(&whole.frames)? {
            let entry =
                Entry::of(frame).ok_or_else(|| invalid("a frame has no valid place or name"))?;
            // Frames that overlap would make an archive that is larger than the whole one.
            if entry.stored.start < stored_end {
                return Err(invalid("its frames overlap"));
            }
            stored_end = entry.stored.end;
            let data = offset + zip_parts::local_bytes(&entry.name);
            frames.push(FrameEntry { offset: data, ..frame.clone() });
            directory_bytes += zip_parts::record_bytes(&entry.name, offset);
            offset = data + entry.length;
            entries.push(entry);
        }
        let manifest = selected_manifest(whole, numbers, frames);
        let json = serde_json::to_vec(&manifest).map_err(|error| Problem::internal(&error))?;
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(invalid("the manifest of the selected frames is too large"));
        }
        let (crc, length) = (crc32fast::hash(&json), json.len() as u32);
        let manifest_header = zip_parts::local_header(MANIFEST_NAME, crc, length);
        directory_bytes += zip_parts::record_bytes(MANIFEST_NAME, offset);
        offset += (manifest_header.len() + json.len()) as u64;
        let size = offset + directory_bytes + zip_parts::end_bytes(offset);
        Ok(Self { object, entries, manifest: json.into(), manifest_header, size })
    }

    /// Size of the archive in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Body of a response, which reads the frames as fast as the client receives them. It occupies
    /// a slot of its user until its end.
    pub fn body(self, storage: &Arc<dyn Storage>, slot: UserSlot) -> Body {
        let writer = Writer {
            storage: Arc::clone(storage),
            archive: self,
            next: 0,
            rest: 0..0,
            offset: 0,
            directory: Vec::new(),
            _slot: slot,
        };
        Body::from_bytes_stream(stream::try_unfold(writer, |mut writer| async move {
            let chunk = writer.next_chunk().await?;
            Ok::<_, io::Error>(chunk.map(|chunk| (chunk, writer)))
        }))
    }
}

impl Entry {
    /// Entry of a frame. `None` if no archive of this service has it.
    fn of(frame: &FrameEntry) -> Option<Self> {
        let FrameEntry { name, length, .. } = frame;
        let is_name = name.len() <= MAX_NAME_BYTES
            && !name.contains(['/', '\\'])
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        let data = frame.range().filter(|_| is_name && u32::try_from(*length).is_ok())?;
        let start = data.start.checked_sub(zip_parts::local_bytes(name))?;
        Some(Self { name: name.clone(), stored: start..data.end, length: *length })
    }
}

/// Writer of an archive of selected frames.
struct Writer {
    storage: Arc<dyn Storage>,
    archive: SelectedArchive,
    /// Index of the next entry. The manifest and the directory follow the last one.
    next: usize,
    /// Bytes of the current entry that are not written yet.
    rest: Range<u64>,
    /// Offset of the next entry in the archive.
    offset: u64,
    /// Directory of the entries so far.
    directory: Vec<u8>,
    _slot: UserSlot,
}

impl Writer {
    /// Next bytes of the archive. `None` at its end.
    async fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if !self.rest.is_empty() {
            return self.read_rest().await.map(Some);
        }
        let index = self.next;
        self.next += 1;
        let entries = &self.archive.entries;
        if let Some(Entry { name, stored, length }) = entries.get(index) {
            self.rest = stored.clone();
            let (name, length) = (name.clone(), *length);
            let chunk = self.read_rest().await?;
            let header = zip_parts::checked_local_header(&chunk, &name, length)
                .ok_or_else(|| io::Error::other(format!("{name} is not the stored entry")))?;
            self.directory.extend(zip_parts::directory_record(header, self.offset));
            self.offset += header.len() as u64 + length;
            return Ok(Some(chunk));
        }
        match index - entries.len() {
            0 => {
                let header = &self.archive.manifest_header;
                self.directory.extend(zip_parts::directory_record(header, self.offset));
                self.offset += (header.len() + self.archive.manifest.len()) as u64;
                Ok(Some(header.clone().into()))
            }
            1 => Ok(Some(self.archive.manifest.clone())),
            2 => {
                let count = (entries.len() + 1) as u16;
                let mut directory = std::mem::take(&mut self.directory);
                let bytes = directory.len() as u64;
                directory.extend(zip_parts::end(count, self.offset, bytes));
                Ok(Some(directory.into()))
            }
            _ => Ok(None),
        }
    }

    /// Read the next chunk of the current entry.
    async fn read_rest(&mut self) -> io::Result<Bytes> {
        let end = self.rest.end.min(self.rest.start + CHUNK_BYTES);
        let chunk = self.rest.start..end;
        self.rest.start = end;
        self.storage.read(&self.archive.object.key, chunk).await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId};
    use serde_json::{Value, json};
    use storage::Key;

    use super::*;

    /// Manifest with frames of these names, offsets and lengths.
    fn manifest(frames: &[(&str, u64, u64)]) -> Manifest {
        let frame = |(index, (name, offset, length)): (usize, &(&str, u64, u64))| {
            json!({
                "number": index + 1, "name": name, "timestamp": 0, "timestamp_s": 0.0,
                "width": 2, "height": 2, "decode_errors": index == 1, "sha256": "",
                "offset": offset, "length": length,
            })
        };
        let frames: Vec<Value> = frames.iter().enumerate().map(frame).collect();
        let manifest = json!({
            "manifest_version": 2, "complete": false, "expected": frames.len(),
            "written": frames.len(), "frames": frames,
            "source": {
                "size_bytes": 1, "container": "mov", "codec": "h264", "duration_s": null,
                "width": 2, "height": 2, "frame_rate": null, "time_base": { "num": 1, "den": 1 },
                "pixel_format": "yuv420p",
            },
        });
        serde_json::from_value(manifest).expect("a valid manifest")
    }

    /// Archive of the frames with these numbers.
    fn select(frames: &[(&str, u64, u64)], numbers: &str) -> Result<SelectedArchive, Problem> {
        let key = Key::archive(UserId::generate(), JobId::generate(), 1);
        let object = Object { key, size: 1000, modified: jobs::Time::default() };
        SelectedArchive::new(object, &manifest(frames), &FrameNumbers::parse(numbers)?)
    }

    #[test]
    fn the_manifest_is_that_of_the_selection() {
        let frames = [("a.png", 35, 10), ("b.png", 80, 20), ("c.png", 135, 30)];
        let archive = select(&frames, "1,3").expect("valid frames");
        let manifest: Manifest = serde_json::from_slice(&archive.manifest).expect("a manifest");
        assert_eq!((manifest.expected, manifest.written, manifest.complete), (2, 2, true));
        let offsets: Vec<u64> = manifest.frames.iter().map(|frame| frame.offset).collect();
        assert_eq!(offsets, [35, 80]);
        let selected = manifest.selected.expect("a selection");
        assert_eq!((selected.numbers.as_str(), selected.left_out), ("1,3", 1));
        let damaged = select(&frames, "1-3").expect("valid frames");
        let manifest: Manifest = serde_json::from_slice(&damaged.manifest).expect("a manifest");
        assert!(!manifest.complete, "one of the frames is damaged");
    }

    #[test]
    fn rejects_frames_that_no_archive_of_this_service_has() {
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for frames in [
            &[("a.png", 34, 10)][..],
            &[("a.png", 35, 10), ("b.png", 79, 20)],
            &[("a.png", 35, 10), ("b.png", 35, 10)],
            &[("a.png", 35, 1 << 32)],
            &[("../a.png", 100, 10)],
            &[("a\\b.png", 100, 10)],
            &[("é.png", 100, 10)],
            &[(long.as_str(), 500, 10)],
        ] {
            let numbers = format!("1-{}", frames.len());
            let problem = select(frames, &numbers).err().map(|problem| problem.code());
            assert_eq!(problem, Some("INTERNAL_ERROR"), "{frames:?}");
        }
        let problem = select(&[("a.png", 35, 10)], "2").err().map(|problem| problem.code());
        assert_eq!(problem, Some("FRAME_NOT_FOUND"));
    }
}
