//! Uploads to disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;

use super::files::{
    UNFINISHED, create_directory, remove_empty_directories, require_space, run_blocking,
    sync_directory,
};
use crate::error::Error;
use crate::interface::Upload;
use crate::key::Key;

/// Bytes that are buffered before a thread writes them.
pub(super) const BUFFER_SIZE: usize = 1 << 20;

/// Maximum number of times that the directory of an object is created again because others remove
/// it. Each time, another object of the same user must have been deleted at that moment, so the
/// limit is never reached in practice.
const MAX_ATTEMPTS: usize = 1000;

/// An upload to disk. It holds a buffer of 1 MiB and the bytes that are being written.
pub(super) struct DiskUpload {
    /// Directory of the storage.
    directory: PathBuf,
    key: Key,
    /// Removed from disk when dropped. A thread that writes to it owns it meanwhile, and drops it
    /// if the write fails or the caller's future is dropped.
    file: Option<NamedTempFile>,
    buffer: Vec<u8>,
    /// Bytes accepted so far.
    size: u64,
}

impl DiskUpload {
    pub(super) async fn create(directory: PathBuf, key: Key) -> Result<Self, Error> {
        let unfinished = directory.join(UNFINISHED);
        let file = run_blocking(move || {
            require_space(&unfinished, 0)?;
            let file = NamedTempFile::new_in(&unfinished);
            file.map_err(|error| {
                Error::from_io(|| format!("create a file in {}", unfinished.display()), error)
            })
        });
        Ok(Self {
            directory,
            key,
            file: Some(file.await?),
            buffer: Vec::with_capacity(BUFFER_SIZE),
            size: 0,
        })
    }

    fn take_file(&mut self) -> Result<NamedTempFile, Error> {
        self.file.take().ok_or_else(|| Error::Interrupted { key: self.key.clone() })
    }
}

#[async_trait]
impl Upload for DiskUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut file = self.take_file()?;
        self.size += bytes.len() as u64;
        if self.buffer.len() + bytes.len() < BUFFER_SIZE {
            self.buffer.extend_from_slice(&bytes);
            self.file = Some(file);
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let (key, directory) = (self.key.clone(), self.directory.clone());
        let written = run_blocking(move || {
            require_space(&directory, buffer.len() + bytes.len())?;
            let written = file.write_all(&buffer).and_then(|()| file.write_all(&bytes));
            written.map_err(|error| Error::from_io(|| format!("write {key}"), error))?;
            buffer.clear();
            Ok((file, buffer))
        });
        let (file, buffer) = written.await?;
        self.file = Some(file);
        self.buffer = buffer;
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> Result<u64, Error> {
        let file = self.take_file()?;
        run_blocking(move || {
            let Self { directory, key, buffer, size, .. } = *self;
            require_space(&directory, buffer.len())?;
            let size_on_disk = finish(&file, &buffer)
                .map_err(|error| Error::from_io(|| format!("write {key}"), error))?;
            if size_on_disk != size {
                return Err(Error::Interrupted { key });
            }
            let path = directory.join(key.as_str());
            move_to_key(file, &path, &key)?;
            sync_directories(&path)?;
            Ok(size)
        })
        .await
    }

    async fn abort(self: Box<Self>) {
        // Freeing the blocks of a large file takes time. If the runtime is shutting down, it drops
        // the closure unexecuted, which has the same effect.
        let _ = run_blocking(move || {
            drop(self);
            Ok(())
        })
        .await;
    }
}

/// Write the last bytes, sync the file and return its size.
fn finish(file: &NamedTempFile, last: &[u8]) -> io::Result<u64> {
    file.as_file().write_all(last)?;
    file.as_file().sync_all()?;
    Ok(file.as_file().metadata()?.len())
}

/// Sync the directories above an object. Those of the job and of the user may be new, and another
/// upload that created them may not have synced them yet.
pub(super) fn sync_directories(path: &Path) -> Result<(), Error> {
    path.ancestors().skip(1).take(3).try_for_each(sync_directory)
}

/// Move a complete file to its key.
pub(super) fn move_to_key(file: NamedTempFile, path: &Path, key: &Key) -> Result<(), Error> {
    let moved = persist(file, path);
    if moved.is_err() {
        remove_empty_directories(path);
    }
    match moved {
        // The directory exists at this point, so the file itself is missing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::Interrupted { key: key.clone() })
        }
        moved => moved.map_err(|error| Error::from_io(|| format!("write {key}"), error)),
    }
}

/// Move a file into a directory that may disappear until the file is in it.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let source = file.path().to_owned();
    let mut file = Some(file);
    enter_directory(&source, path, || {
        let Some(unmoved) = file.take() else { return Ok(()) };
        unmoved.persist(path).map(drop).map_err(|failed| {
            file = Some(failed.file);
            failed.error
        })
    })
}

/// Create the file `path` from `source` with a function, in a directory that may disappear until
/// the file is in it, because deleting the last object of a directory removes the directory.
pub(super) fn enter_directory(
    source: &Path,
    path: &Path,
    mut create: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut attempts = 0..MAX_ATTEMPTS;
    loop {
        let error = match create_directory(directory) {
            Ok(()) => match create() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        // AlreadyExists: the directory existed but was removed before it was examined.
        let directory_removed =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists);
        if !directory_removed || !source.exists() || attempts.next().is_none() {
            return Err(error);
        }
    }
}
