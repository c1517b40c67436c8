//! Resumable uploads to disk: one file each, to which every writer appends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::files::{if_exists, require_space, run_blocking, sync_directory};
use super::upload::{BUFFER_SIZE, enter_directory, sync_directories};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::interface::ResumedUpload;
use crate::key::Key;

/// Directory of resumable uploads; no key begins like this.
pub(super) const RESUMABLE: &str = "resumable";

/// Path of the file of an upload. Its name is the id of the job.
fn path_of(directory: &Path, key: &Key) -> PathBuf {
    directory.join(RESUMABLE).join(key.job_id().to_string())
}

/// Begin an upload.
pub(super) fn begin(directory: &Path, key: &Key, size: u64) -> Result<Checkpoint, Error> {
    let uploads = directory.join(RESUMABLE);
    require_space(&uploads, 0)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path_of(directory, key));
    file.map_err(|error| Error::from_io(|| format!("create the upload of {key}"), error))?;
    sync_directory(&uploads)?;
    Ok(Checkpoint { size, ..Checkpoint::default() })
}

/// Move the file of an upload that has all bytes to its key.
pub(super) fn assemble(directory: &Path, key: &Key, all: &Checkpoint) -> Result<u64, Error> {
    let (source, path) = (path_of(directory, key), directory.join(key.as_str()));
    match move_complete(&source, &path, all.size) {
        Ok(()) => sync_directories(&path)?,
        // An earlier call has moved it.
        Err(error) if error.kind() == ErrorKind::NotFound && has_size(&path, all.size) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::Interrupted { key: key.clone() });
        }
        Err(error) => return Err(Error::from_io(|| format!("write {key}"), error)),
    }
    Ok(all.size)
}

/// Move a file of this size. One that lacks bytes counts as missing.
fn move_complete(source: &Path, path: &Path, size: u64) -> io::Result<()> {
    let file = File::open(source)?;
    if file.metadata()?.len() != size {
        return Err(ErrorKind::NotFound.into());
    }
    file.sync_all()?;
    enter_directory(source, path, || fs::rename(source, path))
}

fn has_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Delete the file of an upload.
pub(super) fn discard(directory: &Path, key: &Key) -> Result<(), Error> {
    if_exists(fs::remove_file(path_of(directory, key)))
        .map_err(|error| Error::from_io(|| format!("delete the upload of {key}"), error))?;
    Ok(())
}

/// An upload that is being written. It holds a buffer of 1 MiB and the bytes that are being
/// written.
pub(super) struct ResumedDiskUpload {
    directory: PathBuf,
    key: Key,
    size: u64,
    /// Bytes accepted so far.
    offset: u64,
    /// Taken out while a thread writes to it, so that it is lost if the write fails or the caller's
    /// future is dropped.
    file: Option<File>,
    buffer: Vec<u8>,
}

impl ResumedDiskUpload {
    /// Open the file of an upload at a checkpoint, and cut off what follows it.
    pub(super) fn open(directory: &Path, key: &Key, from: &Checkpoint) -> Result<Self, Error> {
        let offset = from.offset;
        let opened = OpenOptions::new().write(true).open(path_of(directory, key));
        let opened = if_exists(opened).and_then(|file| {
            let Some(mut file) = file else { return Ok(None) };
            if file.metadata()?.len() < offset {
                return Ok(None);
            }
            file.set_len(offset)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Some(file))
        });
        let file = opened
            .map_err(|error| Error::from_io(|| format!("open the upload of {key}"), error))?
            .ok_or_else(|| Error::Interrupted { key: key.clone() })?;
        Ok(Self {
            directory: directory.to_owned(),
            key: key.clone(),
            size: from.size,
            offset,
            file: Some(file),
            buffer: Vec::with_capacity(BUFFER_SIZE),
        })
    }

    /// Write the buffer and more bytes to the file, and sync it if they have to be durable.
    async fn flush(&mut self, bytes: Bytes, durably: bool) -> Result<(), Error> {
        let file = self.file.take().ok_or_else(|| Error::Interrupted { key: self.key.clone() })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let (key, directory) = (self.key.clone(), self.directory.clone());
        let written = run_blocking(move || {
            require_space(&directory, buffer.len() + bytes.len())?;
            let written = (&file).write_all(&buffer).and_then(|()| {
                (&file).write_all(&bytes)?;
                if durably { file.sync_data() } else { Ok(()) }
            });
            written.map_err(|error| Error::from_io(|| format!("write {key}"), error))?;
            buffer.clear();
            Ok((file, buffer))
        });
        let (file, buffer) = written.await?;
        (self.file, self.buffer) = (Some(file), buffer);
        Ok(())
    }
}

#[async_trait]
impl ResumedUpload for ResumedDiskUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.offset += bytes.len() as u64;
        if self.offset > self.size {
            self.file = None;
            return Err(Error::TooLarge { key: self.key.clone(), limit: self.size });
        }
        if self.buffer.len() + bytes.len() < BUFFER_SIZE {
            self.buffer.extend_from_slice(&bytes);
            return Ok(());
        }
        self.flush(bytes, false).await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, Error> {
        self.flush(Bytes::new(), true).await?;
        Ok(Checkpoint { size: self.size, offset: self.offset, ..Checkpoint::default() })
    }

    async fn suspend(mut self: Box<Self>) -> Result<Checkpoint, Error> {
        self.checkpoint().await
    }
}
