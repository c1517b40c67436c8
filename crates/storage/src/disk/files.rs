//! Operations on files and directories.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use tokio::task;

use crate::error::Error;
use crate::key::Key;

/// Free space in bytes that uploads leave on the disk: the database and the mails of a service on
/// one machine share the disk, and a file can only be expired after the database has written that.
/// It is sixteen times the size at which SQLite's write-ahead log is written back (4 MiB; SQLite
/// documentation, "Write-Ahead Logging").
pub const KEPT_FREE: u64 = 64 << 20;

/// Directory of unfinished uploads; no key begins like this.
pub(super) const UNFINISHED: &str = "unfinished";

/// Open an object for reading, and return its size in bytes as well.
pub(super) fn open(path: &Path, key: &Key) -> Result<(File, u64), Error> {
    let file = File::open(path).map_err(|error| read_error(error, key))?;
    let metadata = file.metadata().map_err(|error| read_error(error, key))?;
    if !metadata.is_file() {
        return Err(Error::NotFound { key: key.clone() });
    }
    Ok((file, metadata.len()))
}

/// Check that a file of this directory can grow by this number of bytes.
///
/// # Errors
/// Less than [`KEPT_FREE`] bytes would remain free, or the file system does not respond.
pub(super) fn require_space(directory: &Path, bytes: usize) -> Result<(), Error> {
    let file_system = statvfs(directory).map_err(|error| {
        Error::from_io(|| format!("measure the disk of {}", directory.display()), error.into())
    })?;
    let free = file_system.blocks_available().saturating_mul(file_system.fragment_size());
    if free < KEPT_FREE.saturating_add(bytes as u64) { Err(Error::Full) } else { Ok(()) }
}

/// Convert the error of reading an object.
pub(super) fn read_error(error: io::Error, key: &Key) -> Error {
    if is_absence(&error) {
        Error::NotFound { key: key.clone() }
    } else {
        Error::from_io(|| format!("read {key}"), error)
    }
}

/// Whether a file does not exist, even because a part of its path is not a directory.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Convert the error of a missing file to `None`.
pub(super) fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Create a directory and its parents unless they exist.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Write a file, which appears complete or not at all, in place of an existing one. The entry of
/// its directory is not synced.
pub(super) fn replace_file(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory.join(UNFINISHED))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Remove the directories of the job and of the user that contained an object, if they are empty.
pub(super) fn remove_empty_directories(path: &Path) {
    for directory in path.ancestors().skip(1).take(2) {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
}

/// Make the entries of a directory survive a power failure, for which syncing the files is not
/// enough (`fsync(2)`). A directory that no longer exists has no entries.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = if_exists(File::open(path))
        .and_then(|directory| directory.map_or(Ok(()), |directory| directory.sync_all()));
    synced.map_err(|error| Error::from_io(|| format!("sync {}", path.display()), error))
}

/// Run blocking work on a thread of the runtime's blocking pool.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(Error::Unavailable {
                action: "do anything during the shutdown of the service".to_owned(),
                cause: cancelled.into(),
            }),
        },
    }
}
