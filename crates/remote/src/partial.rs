//! Part of an archive that is downloaded, beside its destination: an interrupted download leaves
//! it, and the next one continues there.

use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jobs::JobId;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use crate::error::Error;

/// Part of an archive. Only one process at a time has it.
pub(crate) struct Partial {
    file: tokio::fs::File,
    path: PathBuf,
    /// File with the entity tag of the version to which the bytes belong.
    tag_path: PathBuf,
    length: u64,
    tag: Option<String>,
}

impl Partial {
    /// Open what an earlier download of a job's archive has left in a directory, or begin.
    pub fn open(directory: &Path, job: JobId) -> Result<Self, Error> {
        let path = directory.join(format!(".fiapx-{job}.partial"));
        let tag_path = directory.join(format!(".fiapx-{job}.etag"));
        let failed = |error: io::Error| Error::file(directory, format!("cannot write: {error}"));
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another process is downloading this archive here";
                return Err(Error::file(&path, reason));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let tag = std::fs::read_to_string(&tag_path).ok().filter(|tag| !tag.is_empty());
        let file = tokio::fs::File::from_std(file);
        Ok(Self { file, path, tag_path, length, tag })
    }

    /// Number of bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Position from which a download of `size` bytes can continue, and the entity tag of the bytes
    /// before it. The last byte is fetched again, so that the response confirms the version.
    pub fn resumption(&self, size: u64) -> Option<(u64, &str)> {
        let start = self.length.min(size.saturating_sub(1));
        Some((start, self.tag.as_deref()?)).filter(|_| start > 0)
    }

    /// Continue at a position.
    pub async fn continue_at(&mut self, start: u64) -> Result<(), Error> {
        let positioned = async {
            self.file.set_len(start).await?;
            tokio::io::AsyncSeekExt::seek(&mut self.file, SeekFrom::Start(start)).await
        };
        positioned.await.map_err(|error| Error::file(&self.path, error))?;
        self.length = start;
        Ok(())
    }

    /// Begin again, with a version that has this entity tag.
    pub async fn begin(&mut self, tag: Option<&str>) -> Result<(), Error> {
        self.continue_at(0).await?;
        // A weak tag does not identify the bytes (RFC 9110, 8.8.1).
        self.tag = tag.filter(|tag| tag.starts_with('"')).map(str::to_owned);
        let tag = self.tag.as_deref().unwrap_or_default();
        std::fs::write(&self.tag_path, tag).map_err(|error| Error::file(&self.tag_path, error))
    }

    /// Append bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).await.map_err(|error| Error::file(&self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Write what is buffered, so that a later download finds it.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().await.map_err(|error| Error::file(&self.path, error))
    }

    /// Give the complete archive its name.
    pub async fn finish(mut self, target: &Path, replace: bool) -> Result<(), Error> {
        self.flush().await?;
        self.file.sync_all().await.map_err(|error| Error::file(&self.path, error))?;
        let path = TempPath::try_from_path(&self.path);
        let path = path.map_err(|error| Error::file(&self.path, error))?;
        let renamed = if replace { path.persist(target) } else { path.persist_noclobber(target) };
        match renamed {
            Ok(()) => {}
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                let _ = failed.path.keep();
                return Err(exists(target));
            }
            // Not all file systems can rename to a new name only.
            Err(failed) => {
                failed.path.persist(target).map_err(|failed| {
                    let error = Error::file(target, &failed.error);
                    let _ = failed.path.keep();
                    error
                })?;
            }
        }
        let _ = std::fs::remove_file(&self.tag_path);
        Ok(())
    }
}

/// Error of a file that would be replaced.
pub(crate) fn exists(target: &Path) -> Error {
    Error::file(target, "it exists: name another file with -o, or replace it with --force")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_download_continues_where_it_was_interrupted() {
        let directory = tempfile::tempdir().expect("a directory");
        let (job, target) = (JobId::generate(), directory.path().join("a.zip"));
        let open = || Partial::open(directory.path(), job);
        let mut partial = open().expect("it is new");
        assert_eq!(partial.resumption(9), None);
        partial.begin(Some("\"v1\"")).await.expect("it can be written");
        partial.write(b"abcde").await.expect("it can be written");
        partial.flush().await.expect("it can be written");
        let error = open().err().expect("it is in use").to_string();
        assert!(error.contains("another process"), "{error}");
        drop(partial);

        let mut partial = open().expect("it was left");
        assert_eq!(partial.resumption(9), Some((5, "\"v1\"")));
        assert_eq!(partial.resumption(5), Some((4, "\"v1\"")), "the last byte confirms it");
        partial.continue_at(4).await.expect("it can be shortened");
        partial.write(b"EFGHI").await.expect("it can be written");
        assert_eq!(partial.length(), 9);
        std::fs::write(&target, "other").expect("it can be written");
        let error = partial.finish(&target, false).await.expect_err("it exists").to_string();
        assert!(error.contains("--force"), "{error}");
        let partial = open().expect("it was left");
        partial.finish(&target, true).await.expect("it may be replaced");
        assert_eq!(std::fs::read(&target).expect("it exists"), b"abcdEFGHI");
        assert_eq!(directory.path().read_dir().expect("it exists").count(), 1);
    }

    #[tokio::test]
    async fn bytes_without_a_strong_tag_are_not_continued() {
        let directory = tempfile::tempdir().expect("a directory");
        let job = JobId::generate();
        for tag in [None, Some("W/\"v1\"")] {
            let mut partial = Partial::open(directory.path(), job).expect("it can be opened");
            partial.begin(tag).await.expect("it can be written");
            partial.write(b"abc").await.expect("it can be written");
            partial.flush().await.expect("it can be written");
            assert_eq!(partial.resumption(9), None, "{tag:?}");
        }
    }
}
