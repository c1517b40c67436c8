//! Objects as files of a local directory.
//!
//! ```text
//! videos/{user}/{job}/...    the objects, under their keys
//! unfinished/                uploads in progress, and those that a crash interrupted
//! resumable/{job}            uploads that outlive the process
//! installation               id of the installation that the directory belongs to
//! ```
//!
//! A file is moved to its key when it is complete and synced to disk. Only the user that the
//! service runs as can read the files. Uploads fail as if the disk were full when less than
//! [`KEPT_FREE`] bytes are free.

mod files;
mod listing;
mod links;
mod upload;
mod copy;
mod resumable;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{Clock, InstallationId, JobId};
use secrecy::SecretSlice;

use crate::byte_range::check_bounds;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::interface::{INSTALLATION, Object, ResumedUpload, Storage, Upload, parse_installation};
use crate::key::Key;
use files::{
    UNFINISHED, create_directory, if_exists, is_absence, open, read_error,
    remove_empty_directories, replace_file, run_blocking, sync_directory,
};
use links::Links;
use listing::{Listing, object};
use resumable::{RESUMABLE, ResumedDiskUpload};
use upload::DiskUpload;

pub use files::KEPT_FREE;
pub use links::{LINK_PREFIX, LinkError, MIN_SIGNING_KEY_LENGTH};

/// Storage in a directory of a local file system.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    links: Links,
}

impl Disk {
    /// Use a directory, which is created if it does not exist. `signing_key` signs the
    /// [links](Storage::link), so its owner can download every object. Its minimum length is
    /// [`MIN_SIGNING_KEY_LENGTH`].
    pub fn open(
        directory: &Path,
        signing_key: &SecretSlice<u8>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let links = Links::new(signing_key, clock)?;
        let directory = directory.to_owned();
        for name in [Key::ROOT, UNFINISHED, RESUMABLE] {
            let path = directory.join(name);
            create_directory(&path).map_err(|error| {
                Error::from_io(|| format!("create the directory {}", path.display()), error)
            })?;
        }
        sync_directory(&directory)?;
        Ok(Self { directory, links })
    }

    /// Verify a [link](Storage::link) and return the key of its object. `key` is the part of the
    /// path after [`LINK_PREFIX`]; the other arguments are the decoded parameters of the query.
    pub fn verify_link(
        &self,
        key: &str,
        expires: i64,
        filename: &str,
        signature: &str,
    ) -> Result<Key, LinkError> {
        self.links.verify(key, expires, filename, signature)
    }

    /// Run blocking work on the file of an object.
    async fn with_file<T, F>(&self, key: &Key, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(PathBuf, Key) -> Result<T, Error> + Send + 'static,
    {
        let (path, key) = (self.directory.join(key.as_str()), key.clone());
        run_blocking(move || work(path, key)).await
    }
}

#[async_trait]
impl Storage for Disk {
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        let upload = DiskUpload::create(self.directory.clone(), key.clone()).await?;
        Ok(Box::new(upload))
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.with_file(key, |path, key| match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(object(key, &metadata)),
            Ok(_) => Err(Error::NotFound { key }),
            Err(error) => Err(read_error(error, &key)),
        })
        .await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.with_file(key, move |path, key| {
            let (file, size) = open(&path, &key)?;
            check_bounds(&key, &range, size)?;
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).map_err(|error| read_error(error, &key))?;
            Ok(bytes.into())
        })
        .await
    }

    /// The copy shares the blocks of its original, and its time of the write, where the file system
    /// supports hard links.
    async fn copy(&self, from: &Key, to: &Key) -> Result<u64, Error> {
        let (directory, from, to) = (self.directory.clone(), from.clone(), to.clone());
        run_blocking(move || copy::copy(&directory, &from, &to)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.with_file(key, |path, key| {
            match fs::remove_file(&path) {
                Err(error) if !is_absence(&error) => {
                    return Err(Error::from_io(|| format!("delete {key}"), error));
                }
                _ => remove_empty_directories(&path),
            }
            Ok(())
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        let (directory, prefix) = (self.directory.clone(), prefix.to_owned());
        let after = after.map(Key::to_string).unwrap_or_default();
        run_blocking(move || {
            let action = format!("list {prefix}");
            Listing::collect(directory, prefix, after)
                .map_err(|error| Error::from_io(|| action, error))
        })
        .await
    }

    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error> {
        Ok(self.links.sign(key, filename, valid_for))
    }

    async fn begin_resumable(&self, key: &Key, size: u64) -> Result<Checkpoint, Error> {
        let (directory, key) = (self.directory.clone(), key.clone());
        run_blocking(move || resumable::begin(&directory, &key, size)).await
    }

    /// The fence is not needed: one process uses the directory, and its writers take turns.
    async fn resume(
        &self,
        key: &Key,
        from: &Checkpoint,
        _fence: i64,
    ) -> Result<Box<dyn ResumedUpload>, Error> {
        let (directory, key, from) = (self.directory.clone(), key.clone(), from.clone());
        let upload = run_blocking(move || ResumedDiskUpload::open(&directory, &key, &from)).await?;
        Ok(Box::new(upload))
    }

    async fn assemble(&self, key: &Key, all: &Checkpoint) -> Result<u64, Error> {
        let (directory, key, all) = (self.directory.clone(), key.clone(), all.clone());
        run_blocking(move || resumable::assemble(&directory, &key, &all)).await
    }

    async fn discard(&self, key: &Key, _checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        let (directory, key) = (self.directory.clone(), key.clone());
        run_blocking(move || resumable::discard(&directory, &key)).await
    }

    /// The age of an upload is that of its last write by the clock of the system, independent of
    /// the [`Clock`].
    async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error> {
        let kept: HashSet<String> = kept.iter().map(JobId::to_string).collect();
        let directories = [UNFINISHED, RESUMABLE].map(|name| self.directory.join(name));
        run_blocking(move || {
            directories.iter().try_fold(0, |swept, directory| {
                let more = sweep(directory, older_than, &kept);
                let action = || format!("sweep {}", directory.display());
                Ok(swept + more.map_err(|error| Error::from_io(action, error))?)
            })
        })
        .await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, Error> {
        let path = self.directory.join(INSTALLATION);
        run_blocking(move || {
            let action = || format!("read {}", path.display());
            let text = if_exists(fs::read_to_string(&path));
            let text = text.map_err(|error| Error::from_io(action, error))?;
            text.map(|text| parse_installation(&text, action)).transpose()
        })
        .await
    }

    async fn set_installation(&self, id: InstallationId) -> Result<(), Error> {
        let directory = self.directory.clone();
        run_blocking(move || {
            let path = directory.join(INSTALLATION);
            replace_file(&directory, &path, format!("{id}\n").as_bytes())
                .map_err(|error| Error::from_io(|| format!("write {}", path.display()), error))?;
            sync_directory(&directory)
        })
        .await
    }

    async fn check(&self) -> Result<(), Error> {
        let directory = self.directory.clone();
        run_blocking(move || {
            let convert = |error| {
                Error::from_io(|| format!("use the directory {}", directory.display()), error)
            };
            fs::read_dir(directory.join(Key::ROOT)).map_err(convert)?;
            let probe = tempfile::tempfile_in(directory.join(UNFINISHED)).map_err(convert)?;
            probe.write_all_at(b"writable", 0).map_err(convert)
        })
        .await
    }
}

/// Remove the files of a directory whose last write is at least `older_than` ago, except for those
/// with the names in `kept`.
fn sweep(directory: &Path, older_than: Duration, kept: &HashSet<String>) -> io::Result<u64> {
    let now = SystemTime::now();
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(metadata) = if_exists(entry.metadata())? else { continue };
        let age = now.duration_since(metadata.modified()?).unwrap_or_default();
        let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
        if metadata.is_file()
            && !is_kept
            && age >= older_than
            && if_exists(fs::remove_file(entry.path()))?.is_some()
        {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
