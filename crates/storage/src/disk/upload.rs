//! A file that is being written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;

use super::{UNFINISHED, make_directory, off_runtime, remove_empty_folders, sync_directory};
use crate::{Error, Key, Upload};

/// How many bytes are gathered before a thread is asked to write them.
const GATHERED: usize = 1 << 20;

/// How often the folder of an object is made again because others remove it. Each time somebody has
/// deleted another object of the same user just then, so that this is out of reach.
const ATTEMPTS: usize = 1000;

/// An upload to disk. It holds 1 MiB and what is being written.
pub(super) struct DiskUpload {
    /// The storage's.
    directory: PathBuf,
    key: Key,
    /// Removed from disk when dropped. It is with the thread that writes to it while one does, and
    /// dropped there if that fails or is given up.
    file: Option<NamedTempFile>,
    gathered: Vec<u8>,
    /// Bytes that were handed in.
    size: u64,
}

impl DiskUpload {
    pub(super) async fn create(directory: PathBuf, key: Key) -> Result<Self, Error> {
        let unfinished = directory.join(UNFINISHED);
        let file = off_runtime(move || {
            let file = NamedTempFile::new_in(&unfinished);
            file.map_err(|error| {
                Error::of_system(|| format!("make a file in {}", unfinished.display()), error)
            })
        });
        Ok(Self {
            directory,
            key,
            file: Some(file.await?),
            gathered: Vec::with_capacity(GATHERED),
            size: 0,
        })
    }

    fn take_file(&mut self) -> Result<NamedTempFile, Error> {
        self.file.take().ok_or_else(|| Error::CutShort { key: self.key.clone() })
    }
}

#[async_trait]
impl Upload for DiskUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut file = self.take_file()?;
        self.size += bytes.len() as u64;
        if self.gathered.len() + bytes.len() < GATHERED {
            self.gathered.extend_from_slice(&bytes);
            self.file = Some(file);
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let key = self.key.clone();
        let written = off_runtime(move || {
            let written = file.write_all(&gathered).and_then(|()| file.write_all(&bytes));
            written.map_err(|error| Error::of_system(|| format!("write {key}"), error))?;
            gathered.clear();
            Ok((file, gathered))
        });
        let (file, gathered) = written.await?;
        self.file = Some(file);
        self.gathered = gathered;
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> Result<u64, Error> {
        let file = self.take_file()?;
        off_runtime(move || {
            let Self { directory, key, gathered, size, .. } = *self;
            let lies = finish(&file, &gathered)
                .map_err(|error| Error::of_system(|| format!("write {key}"), error))?;
            if lies != size {
                return Err(Error::CutShort { key });
            }
            let path = directory.join(key.as_str());
            place(file, &path, &key)?;
            // The folders of the job and of the user may be new, and somebody else may have made
            // them who is not done yet.
            path.ancestors().skip(1).take(3).try_for_each(sync_directory)?;
            Ok(size)
        })
        .await
    }

    async fn abort(self: Box<Self>) {
        // Freeing the blocks of a large file takes time. The runtime drops what it cannot run any
        // more, which does the same.
        let _ = off_runtime(move || {
            drop(self);
            Ok(())
        })
        .await;
    }
}

/// Write the last bytes and wait until all are on disk; says how many they are.
fn finish(file: &NamedTempFile, last: &[u8]) -> io::Result<u64> {
    file.as_file().write_all(last)?;
    file.as_file().sync_all()?;
    Ok(file.as_file().metadata()?.len())
}

/// Move a file to where its key says.
fn place(file: NamedTempFile, path: &Path, key: &Key) -> Result<(), Error> {
    let moved = persist(file, path);
    if moved.is_err() {
        remove_empty_folders(path);
    }
    match moved {
        // The folder is there by now, so it is the file that is not.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::CutShort { key: key.clone() })
        }
        moved => moved.map_err(|error| Error::of_system(|| format!("write {key}"), error)),
    }
}

/// Move a file into a folder that may go at any moment until the file is in it, since deleting its
/// last object removes it.
fn persist(mut file: NamedTempFile, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut attempts = 0..ATTEMPTS;
    loop {
        let error = match make_directory(folder) {
            Ok(()) => match file.persist(path) {
                Ok(_) => return Ok(()),
                Err(failed) => {
                    file = failed.file;
                    failed.error
                }
            },
            Err(error) => error,
        };
        // The second comes when the folder was there and is gone before it is looked at.
        let folder_went =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists);
        if !folder_went || !file.path().exists() || attempts.next().is_none() {
            return Err(error);
        }
    }
}
