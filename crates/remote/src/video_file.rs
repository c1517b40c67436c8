//! Video that is uploaded: its file, read in pieces as the body of a request.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use crate::error::Error;

/// Size of the pieces in which a file is read, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// Local file that is to be uploaded.
#[derive(Debug)]
pub(crate) struct VideoFile {
    /// Path as the user wrote it.
    pub path: PathBuf,
    /// File name without directories.
    pub name: String,
    /// Size, in bytes.
    pub size: u64,
    /// Time of the last change, where the file system has it.
    pub modified: Option<SystemTime>,
}

impl VideoFile {
    /// Examine a file.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let metadata = path.metadata().map_err(|error| Error::file(path, error))?;
        if !metadata.is_file() {
            return Err(Error::file(path, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(Error::file(path, "it is empty"));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (size, modified) = (metadata.len(), metadata.modified().ok());
        Ok(Self { path: path.to_owned(), name, size, modified })
    }

    /// Open the file to read it from a position on.
    pub fn open(&self, start: u64) -> Result<(Reader, Reading), Error> {
        let failed = |error| Error::file(&self.path, error);
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let reading =
            Reading { position: Arc::new(AtomicU64::new(start)), failure: Arc::default() };
        let reader = Reader {
            file: tokio::fs::File::from_std(file),
            position: start,
            size: self.size,
            modified: self.modified,
            reading: reading.clone(),
        };
        Ok((reader, reading))
    }
}

/// State of a file that is read by a request.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    position: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Reading {
    /// Position up to which the file was read.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Error of the file, which the request reports as one of its own.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().take()
    }
}

/// Reader of a file that must not change.
pub(crate) struct Reader {
    file: tokio::fs::File,
    position: u64,
    size: u64,
    modified: Option<SystemTime>,
    reading: Reading,
}

impl Reader {
    /// Pieces of the rest of the file. The last one is read only if the file is the same as before,
    /// so that no request is complete with the bytes of another one.
    pub fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, |mut reader| async move {
            match reader.piece().await {
                Ok(piece) => Ok(piece.map(|piece| (piece, reader))),
                Err(error) => {
                    let ended = io::Error::from(error.kind());
                    *reader.reading.failure.lock() = Some(error);
                    Err(ended)
                }
            }
        })
    }

    /// Return the next piece; `None` at the end of the file.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let changed = || io::Error::other("the file changes while it is uploaded; try again later");
        let left = self.size.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        let wanted = left.min(PIECE_BYTES as u64);
        let mut piece = BytesMut::with_capacity(wanted as usize);
        let read = (&mut self.file).take(wanted).read_buf(&mut piece).await? as u64;
        if read == 0 || (read == left && !self.is_unchanged(&self.file.metadata().await?)) {
            return Err(changed());
        }
        self.position += read;
        self.reading.position.store(self.position, Ordering::Relaxed);
        Ok(Some(piece.freeze()))
    }

    fn is_unchanged(&self, metadata: &Metadata) -> bool {
        metadata.len() == self.size && metadata.modified().ok() == self.modified
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// Number of bytes that are read from a position on.
    async fn read(video: &VideoFile, start: u64) -> Option<usize> {
        let (reader, reading) = video.open(start).expect("it can be opened");
        let pieces: io::Result<Vec<Bytes>> = reader.pieces().try_collect().await;
        assert_eq!(pieces.is_err(), reading.take_failure().is_some());
        Some(pieces.ok()?.iter().map(Bytes::len).sum())
    }

    #[tokio::test]
    async fn a_file_that_changes_is_not_read_to_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.mp4");
        std::fs::write(&path, vec![7; 300_000]).expect("it can be written");
        let video = VideoFile::new(&path).expect("it is a file");
        assert_eq!((read(&video, 0).await, read(&video, 299_999).await), (Some(300_000), Some(1)));
        for size in [299_999, 300_001] {
            assert_eq!(read(&VideoFile { size, ..video_at(&path) }, 0).await, None, "{size}");
        }
        let modified = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(read(&VideoFile { modified, ..video_at(&path) }, 0).await, None);
    }

    fn video_at(path: &Path) -> VideoFile {
        VideoFile::new(path).expect("it is a file")
    }
}
