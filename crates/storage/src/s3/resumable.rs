//! Resumable uploads to S3: multipart uploads that outlive their writers.
//!
//! Parts have the sizes of [`part_size`], so an offset determines the number of complete parts. The
//! bytes after them are fewer than the store accepts as a part: they lie in an object of their own,
//! the *tail*, which the next writer reads before it continues. A checkpoint names the parts by
//! their tags and the tail by the fence of its writer, so what a delayed writer stores is never
//! mistaken for what a checkpoint means.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tracing::warn;

use super::budget::Displaced;
use super::multipart::Multipart;
use super::part::{Filling, Part};
use super::store::{Store, media_type};
use super::{client, part_size};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::interface::ResumedUpload;
use crate::key::Key;

/// Bytes of a tail that are read at a time.
const READ_SIZE: u64 = 1 << 20;

/// Begin an upload.
pub(super) async fn begin(store: &Arc<Store>, key: &Key, size: u64) -> Result<Checkpoint, Error> {
    if size > part_size::MAX_OBJECT {
        return Err(Error::TooLarge { key: key.clone(), limit: part_size::MAX_OBJECT });
    }
    let id = Multipart::start(store, key, &mark(key)).await?.into_id();
    Ok(Checkpoint { id, size, ..Checkpoint::default() })
}

/// Mark of the object of an upload, which any process can determine.
fn mark(key: &Key) -> String {
    key.job_id().to_string()
}

/// Continue an upload at a checkpoint.
pub(super) async fn resume(
    store: &Arc<Store>,
    key: &Key,
    from: &Checkpoint,
    fence: i64,
) -> Result<ResumedS3Upload, Error> {
    if let Some(replaced) = from.replaced_tail {
        store.delete_in_background(Key::tail(key.user_id(), key.job_id(), replaced));
    }
    let multipart = Multipart::resumed(store, key, &from.id, &from.tags);
    let size = part_size::of(multipart.sent() + 1);
    let (store, from) = (Arc::clone(store), from.clone());
    let filling = Filling::new(store.allowance(key), size);
    let offset = part_size::total(multipart.sent());
    let mut writing = Writing { store, key: key.clone(), from, fence, offset, filling, multipart };
    writing.read_tail().await?;
    Ok(ResumedS3Upload { key: key.clone(), writing: Some(writing) })
}

/// Assemble the object of an upload.
pub(super) async fn assemble(
    store: &Arc<Store>,
    key: &Key,
    all: &Checkpoint,
) -> Result<u64, Error> {
    if !all.is_complete() {
        return Err(Error::Interrupted { key: key.clone() });
    }
    let mut multipart = Multipart::resumed(store, key, &all.id, &all.tags);
    match multipart.assemble().await {
        Ok(()) => store.confirm(key, all.size).await?,
        Err(error) => store.require_stored(key, all.size, &mark(key), error).await?,
    }
    if let Err(error) = store.delete_tails(key).await {
        warn!(%key, %error, "parts of an upload could not be deleted; the sweep deletes them");
    }
    Ok(all.size)
}

/// Discard an upload.
pub(super) async fn discard(
    store: &Arc<Store>,
    key: &Key,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), Error> {
    if let Some(checkpoint) = checkpoint {
        store.abort(key.as_str(), &checkpoint.id).await?;
    }
    store.delete_tails(key).await
}

/// An upload that is being written. An object of a single part is sent with one request.
pub(super) struct ResumedS3Upload {
    key: Key,
    /// Taken out during each operation, so that it is lost if the operation fails or its future is
    /// dropped.
    writing: Option<Writing>,
}

impl ResumedS3Upload {
    fn take(&mut self) -> Result<Writing, Error> {
        self.writing.take().ok_or_else(|| Error::Interrupted { key: self.key.clone() })
    }
}

#[async_trait]
impl ResumedUpload for ResumedS3Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut writing = self.take()?;
        writing.write(bytes).await?;
        self.writing = Some(writing);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, Error> {
        let mut writing = self.take()?;
        let checkpoint = writing.received()?;
        self.writing = Some(writing);
        Ok(checkpoint)
    }

    async fn suspend(mut self: Box<Self>) -> Result<Checkpoint, Error> {
        self.take()?.suspend().await
    }
}

/// The bytes written so far.
struct Writing {
    store: Arc<Store>,
    key: Key,
    /// Checkpoint at which the writer continued.
    from: Checkpoint,
    fence: i64,
    /// Number of bytes accepted.
    offset: u64,
    /// Part that has not been sent yet.
    filling: Filling,
    /// Parts that have been or are being sent.
    multipart: Multipart,
}

impl Writing {
    /// Begin the next part with the bytes of the tail.
    async fn read_tail(&mut self) -> Result<(), Error> {
        let length = self.from.offset.saturating_sub(self.offset);
        let Some(tail) = self.from.tail.filter(|_| length > 0) else { return Ok(()) };
        let tail = Key::tail(self.key.user_id(), self.key.job_id(), tail);
        let mut start = 0;
        while start < length {
            let end = length.min(start + READ_SIZE);
            let bytes = match self.store.read(&tail, start..end).await {
                Err(Error::NotFound { .. } | Error::OutOfRange { .. }) => {
                    return Err(Error::Interrupted { key: self.key.clone() });
                }
                read => read?,
            };
            self.write(bytes).await?;
            start = end;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if self.offset + bytes.len() as u64 > self.from.size {
            return Err(Error::TooLarge { key: self.key.clone(), limit: self.from.size });
        }
        self.filling.stop_waiting();
        while !bytes.is_empty() {
            let before = bytes.len();
            self.filling.fill(&mut bytes).await.map_err(|displaced| self.displaced(displaced))?;
            self.offset += (before - bytes.len()) as u64;
            if self.filling.is_full() {
                let full = self.take_part()?;
                self.multipart.send(full).await?;
                self.filling.set_size(part_size::of(self.multipart.sent() + 1));
            }
        }
        self.filling.start_waiting();
        Ok(())
    }

    fn take_part(&mut self) -> Result<Part, Error> {
        self.filling.take().map_err(|displaced| self.displaced(displaced))
    }

    fn displaced(&self, Displaced: Displaced) -> Error {
        Error::Displaced { key: self.key.clone() }
    }

    /// Checkpoint of the parts that the store has received.
    fn received(&mut self) -> Result<Checkpoint, Error> {
        let tags = self.multipart.received_tags()?;
        if tags.len() <= self.from.tags.len() {
            return Ok(self.from.clone());
        }
        // The last part may be smaller.
        let offset = part_size::total(tags.len() as u32).min(self.from.size);
        let (id, size, replaced_tail) = (self.from.id.clone(), self.from.size, self.from.tail);
        Ok(Checkpoint { id, size, offset, tags, tail: None, replaced_tail, part_size: None })
    }

    async fn suspend(mut self) -> Result<Checkpoint, Error> {
        let mut rest = Some(self.take_part()?).filter(|rest| !rest.is_empty());
        if self.offset == self.from.size
            && let Some(last) = rest.take()
        {
            self.multipart.send(last).await?;
        }
        self.multipart.receive_all().await?;
        let mut checkpoint = self.received()?;
        if let Some(rest) = rest.filter(|_| checkpoint.offset < self.offset) {
            self.store.put_tail(&self.key, self.fence, rest).await?;
            (checkpoint.tail, checkpoint.replaced_tail) = (Some(self.fence), self.from.tail);
            checkpoint.offset = self.offset;
        }
        Ok(checkpoint)
    }
}

impl Store {
    /// Store the bytes after the complete parts of an upload.
    async fn put_tail(&self, key: &Key, fence: i64, tail: Part) -> Result<(), Error> {
        let key = Key::tail(key.user_id(), key.job_id(), fence);
        let (bytes, _reserved) = tail.into_bytes();
        let timeouts = client::timeouts_for_sending(bytes.len());
        let request = self.client.put_object().bucket(&self.bucket).key(key.as_str());
        let request = request.content_type(media_type(&key)).body(ByteStream::from(bytes));
        let result = request.customize().config_override(timeouts).send().await;
        result.map_err(|error| self.object_error("write", &key, &error))?;
        Ok(())
    }

    /// Delete the tails of an upload.
    async fn delete_tails(&self, key: &Key) -> Result<(), Error> {
        let prefix = Key::job_prefix(key.user_id(), key.job_id());
        let mut after: Option<Key> = None;
        loop {
            let page = self.list(&prefix, after.as_ref()).await?;
            for tail in page.iter().filter(|object| object.key.is_tail()) {
                self.delete(&tail.key).await?;
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(()) };
            after = Some(last.key);
        }
    }

    /// Delete an object that is not needed. If that fails, it is deleted with its job, or swept.
    fn delete_in_background(self: &Arc<Self>, key: Key) {
        let store = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = store.delete(&key).await {
                warn!(%key, %error, "a part of an upload could not be deleted");
            }
        });
    }
}
