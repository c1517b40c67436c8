//! The interface of the storage adapters.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{InstallationId, JobId, Time};

use crate::checkpoint::Checkpoint;
use crate::direct::DirectUploads;
use crate::error::Error;
use crate::key::Key;

/// Maximum number of objects that [`Storage::list`] returns: the limit of S3 (Amazon S3 API
/// reference, `ListObjectsV2`, `max-keys`).
pub const PAGE_SIZE: usize = 1000;

/// Name under which a storage records the installation that it belongs to; not a [`Key`].
pub(crate) const INSTALLATION: &str = "installation";

/// Parse the record of the installation. `action` states what was being done in an error.
pub(crate) fn parse_installation(
    text: &str,
    action: impl FnOnce() -> String,
) -> Result<InstallationId, Error> {
    text.trim().parse::<InstallationId>().map_err(|error| Error::Unavailable {
        action: action(),
        cause: format!("it is not the id of an installation: {error}").into(),
    })
}

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name.
    pub key: Key,
    /// Size in bytes.
    pub size: u64,
    /// Time of the write by the storage's own clock, in whole seconds, because HTTP dates are not
    /// more precise (RFC 9110, 5.6.7). That of a [copy](Storage::copy) may be that of its original.
    pub modified: Time,
}

/// A store of objects.
///
/// An object is visible completely or not at all: an unfinished upload is invisible, and an
/// existing object never changes but is replaced or deleted as a whole. A completed upload or
/// deletion is visible to every later call in any process.
///
/// A call whose future is dropped may or may not take effect. Every call can be repeated.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Start an upload. Its object replaces the one under the same key when the upload
    /// [completes](Upload::complete), not before. Of several simultaneous uploads under one key,
    /// one remains, complete.
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error>;

    /// Return the metadata of an object.
    async fn head(&self, key: &Key) -> Result<Object, Error>;

    /// Read exactly these bytes of an object, all of them into memory: a range of a few MiB is a
    /// good size. An empty range is valid if the object exists. A range that runs backwards or
    /// past the end is an [error](Error::OutOfRange).
    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error>;

    /// Copy an object, without reading it, and return its size. The copy replaces the object under
    /// `to` when it is complete, not before. Neither of the two changes with the other.
    async fn copy(&self, from: &Key, to: &Key) -> Result<u64, Error>;

    /// Delete an object. A missing object is not an error.
    async fn delete(&self, key: &Key) -> Result<(), Error>;

    /// List the objects whose keys begin with `prefix` and sort after `after`, ordered by key, at
    /// most [`PAGE_SIZE`] of them. To list all, repeat with the last key until the result is empty;
    /// objects created or deleted meanwhile may be missing or included, all others are included.
    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error>;

    /// Return a link from which anyone can download the object as `filename` for a limited time:
    /// a URL, or the absolute path of one on this service. The object need not exist. The limit of
    /// `valid_for` is seven days, which is what S3 signs (Amazon S3 user guide, "Sharing objects
    /// with presigned URLs").
    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error>;

    /// Begin an upload of `size` bytes, at least one, that outlives its writers and their
    /// processes. Its object replaces the one under the same key when it is
    /// [assembled](Self::assemble), not before.
    async fn begin_resumable(&self, key: &Key, size: u64) -> Result<Checkpoint, Error>;

    /// Continue a resumable upload at its latest checkpoint. Each writer of the upload has another
    /// fence, and no two of them should write at the same time: the bytes of one that lost its
    /// turn may replace those after the checkpoint.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: the upload does not exist anymore.
    async fn resume(
        &self,
        key: &Key,
        from: &Checkpoint,
        fence: i64,
    ) -> Result<Box<dyn ResumedUpload>, Error>;

    /// Make the object of a resumable upload visible and durable after all of its bytes were
    /// stored, and return its size in bytes. Repeating the call has no effect.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: bytes are missing, or the upload does not exist anymore.
    async fn assemble(&self, key: &Key, all: &Checkpoint) -> Result<u64, Error>;

    /// Discard a resumable upload, at any of its checkpoints; not its object. A missing upload is
    /// not an error. Without a checkpoint, what only the checkpoint names is left to the sweep.
    async fn discard(&self, key: &Key, checkpoint: Option<&Checkpoint>) -> Result<(), Error>;

    /// Uploads that clients send to the store themselves, if it can receive them.
    fn direct_uploads(&self) -> Option<&dyn DirectUploads> {
        None
    }

    /// Remove the remains of uploads that were neither completed nor aborted and are at least
    /// `older_than` old, and return their number. An upload of that age that is still in progress
    /// fails. The resumable uploads of `kept` are kept.
    async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error>;

    /// Return the id of the installation that the storage belongs to; `None` if none is recorded.
    async fn installation(&self) -> Result<Option<InstallationId>, Error>;

    /// Record the installation that the storage belongs to, in place of the former one. The record
    /// is not an object: it is neither listed nor swept.
    async fn set_installation(&self, id: InstallationId) -> Result<(), Error>;

    /// Check that the storage can be reached and written to.
    async fn check(&self) -> Result<(), Error>;
}

/// An upload in progress. Dropping it aborts it as far as that is possible without waiting; the
/// remains of a crash are [swept](Storage::sweep).
#[async_trait]
pub trait Upload: Send {
    /// Append bytes. Waits while too many are in transit. After an error or a dropped future the
    /// upload is lost, and further calls fail.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Make the object visible and durable, and return its size, which is the number of bytes
    /// written. After an error the object may exist or not, but never incomplete.
    async fn complete(self: Box<Self>) -> Result<u64, Error>;

    /// Discard the bytes written.
    async fn abort(self: Box<Self>);
}

/// A resumable upload that is being written. What is not in a checkpoint when it is dropped is
/// lost, and the upload can be resumed.
#[async_trait]
pub trait ResumedUpload: Send {
    /// Append bytes. Waits while too many are in transit. After an error or a dropped future the
    /// writer is lost, and further calls fail.
    ///
    /// # Errors
    /// [`Error::TooLarge`]: the object would have more bytes than stated.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Checkpoint of what is stored durably by now. It may lack bytes that were written.
    async fn checkpoint(&mut self) -> Result<Checkpoint, Error>;

    /// Store all bytes that were written durably, and return the checkpoint after them.
    async fn suspend(self: Box<Self>) -> Result<Checkpoint, Error>;
}
