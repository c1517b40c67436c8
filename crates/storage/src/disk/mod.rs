//! Objects as files of a local directory.
//!
//! ```text
//! videos/{user}/{job}/...    the objects, under their keys
//! unfinished/                what is being written; a crash leaves its files here
//! ```
//!
//! A file is moved to its key when it is complete and on disk. Only the user that the service runs
//! as can read any of it.

mod upload;
mod links;

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{Clock, Time};
use secrecy::SecretSlice;
use tokio::task;

use crate::{Error, Key, Object, PAGE, Storage, Upload};
use links::Links;
use upload::DiskUpload;

pub use links::{LINKS, LinkError, SHORTEST_SIGNING_KEY};

/// Where files lie until they are complete; no key begins so.
const UNFINISHED: &str = "unfinished";

/// The storage that is a directory of a local file system.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    links: Links,
}

impl Disk {
    /// Use a directory, which is made if it is not there. The key signs the [links](Storage::link):
    /// whoever has it can fetch every object. It has [`SHORTEST_SIGNING_KEY`] bytes or more.
    pub fn open(
        directory: &Path,
        signing_key: &SecretSlice<u8>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let links = Links::new(signing_key, clock)?;
        let directory = directory.to_owned();
        for part in [Key::ROOT, UNFINISHED] {
            let part = directory.join(part);
            make_directory(&part).map_err(|error| {
                Error::of_system(|| format!("make the directory {}", part.display()), error)
            })?;
        }
        sync_directory(&directory)?;
        Ok(Self { directory, links })
    }

    /// Open an object, to send any part of it to a client that followed a link.
    pub async fn open_file(&self, key: &Key) -> Result<tokio::fs::File, Error> {
        let (file, _) = self.at(key, |path, key| open(&path, &key)).await?;
        Ok(tokio::fs::File::from_std(file))
    }

    /// The key of the object that a [link](Storage::link) leads to, if the link is one of ours and
    /// not too old. `key` is what follows [`LINKS`] in its path, the others are the parameters of
    /// its query, decoded.
    pub fn verify(
        &self,
        key: &str,
        expires: i64,
        filename: &str,
        signature: &str,
    ) -> Result<Key, LinkError> {
        self.links.verify(key, expires, filename, signature)
    }

    /// Do something with an object's file, away from the threads that must not wait.
    async fn at<T, F>(&self, key: &Key, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(PathBuf, Key) -> Result<T, Error> + Send + 'static,
    {
        let (path, key) = (self.directory.join(key.as_str()), key.clone());
        off_runtime(move || work(path, key)).await
    }
}

#[async_trait]
impl Storage for Disk {
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        let upload = DiskUpload::create(self.directory.clone(), key.clone()).await?;
        Ok(Box::new(upload))
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.at(key, |path, key| match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(object(key, &metadata)),
            Ok(_) => Err(Error::NotFound { key }),
            Err(error) => Err(of_object(error, &key)),
        })
        .await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.at(key, move |path, key| {
            let (file, size) = open(&path, &key)?;
            if range.start > range.end || range.end > size {
                return Err(Error::OutOfRange { key, range, size });
            }
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).map_err(|error| of_object(error, &key))?;
            Ok(bytes.into())
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.at(key, |path, key| {
            match fs::remove_file(&path) {
                Err(error) if !is_absence(&error) => {
                    return Err(Error::of_system(|| format!("delete {key}"), error));
                }
                _ => remove_empty_folders(&path),
            }
            Ok(())
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        let (directory, prefix, after) =
            (self.directory.clone(), prefix.to_owned(), after.map(Key::to_string));
        off_runtime(move || {
            let mut listing = Listing {
                directory,
                prefix,
                after: after.unwrap_or_default(),
                objects: Vec::new(),
            };
            listing
                .visit(Key::ROOT)
                .map_err(|error| Error::of_system(|| format!("list {}", listing.prefix), error))?;
            Ok(listing.objects)
        })
        .await
    }

    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error> {
        Ok(self.links.sign(key, filename, valid_for))
    }

    /// The age of an upload is that of its last write, by the system's clock, whatever the
    /// [`Clock`] says.
    async fn sweep(&self, older_than: Duration) -> Result<u64, Error> {
        let directory = self.directory.join(UNFINISHED);
        off_runtime(move || {
            sweep(&directory, older_than).map_err(|error| {
                Error::of_system(|| format!("clear {}", directory.display()), error)
            })
        })
        .await
    }

    async fn check(&self) -> Result<(), Error> {
        let directory = self.directory.clone();
        off_runtime(move || {
            let unavailable = |error| {
                Error::of_system(|| format!("use the directory {}", directory.display()), error)
            };
            fs::read_dir(directory.join(Key::ROOT)).map_err(unavailable)?;
            let probe = tempfile::tempfile_in(directory.join(UNFINISHED)).map_err(unavailable)?;
            probe.write_all_at(b"writable", 0).map_err(unavailable)
        })
        .await
    }
}

/// The objects of one answer, found in the order of their keys.
struct Listing {
    directory: PathBuf,
    prefix: String,
    after: String,
    objects: Vec<Object>,
}

impl Listing {
    /// Add what lies in a folder, whose name ends with a slash.
    fn visit(&mut self, folder: &str) -> io::Result<()> {
        let mut names = Vec::new();
        // What is deleted while this looks around is not there.
        let Some(entries) = unless_gone(fs::read_dir(self.directory.join(folder)))? else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(kind) = unless_gone(entry.file_type())? else { continue };
            let slash = if kind.is_dir() { "/" } else { "" };
            names.push(format!("{folder}{name}{slash}"));
        }
        names.sort_unstable();
        for name in names {
            if self.objects.len() == PAGE {
                break;
            }
            if name.ends_with('/') {
                let wanted = name.starts_with(&self.prefix) || self.prefix.starts_with(&name);
                if wanted && (name > self.after || self.after.starts_with(&name)) {
                    self.visit(&name)?;
                }
            } else if name.starts_with(&self.prefix)
                && name > self.after
                && let Ok(key) = name.parse()
                && let Some(metadata) = unless_gone(fs::metadata(self.directory.join(&name)))?
                && metadata.is_file()
            {
                self.objects.push(object(key, &metadata));
            }
        }
        Ok(())
    }
}

/// Remove the files of a directory that were last written so long ago.
fn sweep(directory: &Path, older_than: Duration) -> io::Result<u64> {
    let now = SystemTime::now();
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(metadata) = unless_gone(entry.metadata())? else { continue };
        let age = now.duration_since(metadata.modified()?).unwrap_or_default();
        if metadata.is_file()
            && age >= older_than
            && unless_gone(fs::remove_file(entry.path()))?.is_some()
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Open an object for reading; also says how many bytes it has.
fn open(path: &Path, key: &Key) -> Result<(File, u64), Error> {
    let file = File::open(path).map_err(|error| of_object(error, key))?;
    let metadata = file.metadata().map_err(|error| of_object(error, key))?;
    if !metadata.is_file() {
        return Err(Error::NotFound { key: key.clone() });
    }
    Ok((file, metadata.len()))
}

fn object(key: Key, metadata: &Metadata) -> Object {
    Object {
        key,
        size: metadata.len(),
        modified: Time::from_timestamp(metadata.mtime(), 0).unwrap_or_default(),
    }
}

/// The error that reading an object gave.
fn of_object(error: io::Error, key: &Key) -> Error {
    if is_absence(&error) {
        Error::NotFound { key: key.clone() }
    } else {
        Error::of_system(|| format!("read {key}"), error)
    }
}

/// Whether there is no file at a path, be it that a part of the path is no directory.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Make a directory and those above it, unless they are there.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Remove the folders of the job and of the user in which an object lay. One that is not empty
/// stays, which is what the error says.
fn remove_empty_folders(path: &Path) {
    for folder in path.ancestors().skip(1).take(2) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

/// Make the names in a directory survive a power cut (`fsync(2)`: that of a file does not do it).
/// One that is gone has none.
fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = unless_gone(File::open(path))
        .and_then(|directory| directory.map_or(Ok(()), |directory| directory.sync_all()));
    synced.map_err(|error| {
        Error::of_system(|| format!("write the directory {}", path.display()), error)
    })
}

/// Wait for work that blocks, on a thread that may.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(stopped) => Err(Error::Unavailable {
                action: "do anything while the service stops".to_owned(),
                cause: stopped.into(),
            }),
        },
    }
}

#[cfg(test)]
mod tests;
