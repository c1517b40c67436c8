//! Objects in a bucket of an S3 store, that of Amazon or a compatible one.
//!
//! Uploads send parts to the store while they are written. All videos that a process receives share
//! a [budget](budget) for the memory of the parts that are being filled or sent, and all archives
//! that it writes share another. A task that writes several uploads must complete one before it
//! starts the next, or they may deadlock: the memory of a partly filled part is released only when
//! its upload ends.
//!
//! Remains of a crash are [swept](Storage::sweep) by the age of the upload since its start. The
//! bucket removes them by itself after [`S3::configure_lifecycle`].

mod part_size;
mod settings;
mod client;
mod pace;
mod budget;
mod part;
mod store;
mod response;
mod link;
mod bucket;
mod objects;
mod confirmation;
mod multipart;
mod upload;
mod copy;
mod resumable;
mod direct;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{InstallationId, JobId};

use crate::checkpoint::Checkpoint;
use crate::direct::{DirectUploads, PartRequest, StoredPart};
use crate::error::Error;
use crate::interface::{Object, ResumedUpload, Storage, Upload};
use crate::key::Key;
use store::Store;
use upload::S3Upload;

pub use settings::{
    DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY, MIN_UPLOAD_MEMORY, S3Settings,
};

/// Storage in a bucket of an S3 store.
#[derive(Debug, Clone)]
pub struct S3 {
    store: Arc<Store>,
}

impl S3 {
    /// Use a bucket. Makes no request yet: [`Storage::check`] does.
    pub fn connect(settings: S3Settings) -> Result<Self, Error> {
        Ok(Self { store: Arc::new(Store::new(settings)?) })
    }

    /// Set lifecycle rules with which the bucket removes what this service fails to remove: objects
    /// older than `retention`, rounded up to whole days, and uploads that are not completed within
    /// three days. Rules of others are kept. Returns warnings about what the store does not
    /// support, which is not an error.
    ///
    /// `retention` should exceed that of the service by at least a day, because the bucket does not
    /// know whether an object is still in use.
    pub async fn configure_lifecycle(&self, retention: Duration) -> Result<Vec<String>, Error> {
        self.store.configure_lifecycle(retention).await
    }
}

#[async_trait]
impl Storage for S3 {
    /// Makes no request yet.
    async fn create(&self, key: &Key) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(S3Upload::new(Arc::clone(&self.store), key.clone())))
    }

    async fn head(&self, key: &Key) -> Result<Object, Error> {
        self.store.head(key).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        self.store.read(key, range).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<u64, Error> {
        copy::copy(&self.store, from, to).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.store.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>) -> Result<Vec<Object>, Error> {
        self.store.list(prefix, after).await
    }

    async fn link(&self, key: &Key, filename: &str, valid_for: Duration) -> Result<String, Error> {
        self.store.link(key, filename, valid_for).await
    }

    async fn begin_resumable(&self, key: &Key, size: u64) -> Result<Checkpoint, Error> {
        resumable::begin(&self.store, key, size).await
    }

    async fn resume(
        &self,
        key: &Key,
        from: &Checkpoint,
        fence: i64,
    ) -> Result<Box<dyn ResumedUpload>, Error> {
        Ok(Box::new(resumable::resume(&self.store, key, from, fence).await?))
    }

    async fn assemble(&self, key: &Key, all: &Checkpoint) -> Result<u64, Error> {
        resumable::assemble(&self.store, key, all).await
    }

    async fn discard(&self, key: &Key, checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        resumable::discard(&self.store, key, checkpoint).await
    }

    fn direct_uploads(&self) -> Option<&dyn DirectUploads> {
        Some(self)
    }

    /// The age of an upload is the time since its start by the clock of the store, compared with
    /// the clock of this machine. Objects of a single part are sent with one request and leave no
    /// remains.
    async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error> {
        self.store.sweep(older_than, kept).await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, Error> {
        self.store.installation().await
    }

    async fn set_installation(&self, id: InstallationId) -> Result<(), Error> {
        self.store.set_installation(id).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.store.check().await
    }
}

#[async_trait]
impl DirectUploads for S3 {
    async fn begin_direct(&self, key: &Key, size: u64) -> Result<Checkpoint, Error> {
        direct::begin(&self.store, key, size).await
    }

    async fn part_requests(
        &self,
        key: &Key,
        upload: &Checkpoint,
        valid_for: Duration,
    ) -> Result<Vec<PartRequest>, Error> {
        self.store.part_requests(key, upload, valid_for).await
    }

    async fn stored_parts(&self, key: &Key, upload: &Checkpoint) -> Result<Vec<StoredPart>, Error> {
        self.store.stored_parts(key, upload).await
    }
}

#[cfg(test)]
mod tests;
