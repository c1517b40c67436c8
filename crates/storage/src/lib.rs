//! Bytes by key: where videos wait and archives are fetched. [`Storage`] says what every adapter
//! guarantees; `conformance`, a suite of tests, holds each of them to it.

// In the order in which an object is named, written, read by the engine, and where it lies.
mod key;
mod disposition;
mod error;
pub mod blocking;
pub mod disk;
pub mod s3;
#[cfg(test)]
mod conformance;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jobs::Time;

pub use disk::Disk;
pub use disposition::disposition;
pub use error::Error;
pub use key::{Key, UnknownKey};
pub use s3::{S3, S3Settings};

/// Most objects that [`Storage::list`] gives at once. As many as S3 does (Amazon S3 API reference,
/// `ListObjectsV2`, `max-keys`).
pub const PAGE: usize = 1000;

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the storage's own clock, to the second: HTTP's dates tell no more
    /// (RFC 9110, 5.6.7).
    pub modified: Time,
}

/// A place that keeps objects.
///
/// An object is there whole or not at all: nobody sees one that is still being written, and what is
/// there never changes, but is replaced or deleted whole. Once something is completed or deleted,
/// every later call sees it so, in any process.
///
/// A call that is given up before it answers may have had its effect or not. Every call can be
/// repeated.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Begin an object. It takes the place of what is there under its key when it is
    /// [complete](Upload::complete), not before. Of several at once under one key, one stays,
    /// whole.
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error>;

    /// What is known of an object.
    async fn head(&self, key: &Key) -> Result<Object, Error>;

    /// Exactly these bytes of an object; an empty range has none, but the object has to be there. A
    /// range that goes backwards or past the end is an [error](Error::OutOfRange). All of them are
    /// in memory at once: a few MiB are a good measure.
    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error>;

    /// Delete an object. That it is not there is no error.
    async fn delete(&self, key: &Key) -> Result<(), Error>;

    /// The objects whose keys begin with `prefix` and come after `after`, in the order of their
    /// keys, [`PAGE`] at most. To see all, ask again with the last key until nothing comes; objects
    /// that come or go meanwhile may be seen or not, all others are.
    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error>;

    /// An address at which anybody can fetch the object for a time, as a file of this name. It is a
    /// URL, or the absolute path of one on this service. Nobody checks whether the object is there
    /// before the address is used. Ask for seven days at most, which is as long as S3 signs (Amazon
    /// S3 user guide, "Sharing objects with presigned URLs").
    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error>;

    /// Remove what uploads left behind that nobody completed or aborted, if it is at least so old,
    /// and say how many there were. An upload that is still written to and has grown so old fails.
    async fn sweep(&self, older_than: Duration) -> Result<u64, Error>;

    /// Whether the storage can be reached and written to.
    async fn check(&self) -> Result<(), Error>;
}

/// An object that is being written. Dropping it is to abort it, as well as that can be done without
/// waiting; what a crash leaves is [swept](Storage::sweep).
#[async_trait]
pub trait Upload: Send {
    /// Write the next bytes; waits while too many are on their way. After an error, or when the
    /// call is given up, the upload is lost: further calls fail.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Make the object appear: durable, and of the size that was written, which is returned. After
    /// an error it may be there or not, but not a part of it.
    async fn complete(self: Box<Self>) -> Result<u64, Error>;

    /// Throw away what was written.
    async fn abort(self: Box<Self>);
}
