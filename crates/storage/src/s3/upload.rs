//! Uploads to S3.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::multipart::Multipart;
use super::part::Part;
use super::store::{Store, media_type};
use super::{client, part_size};
use crate::error::Error;
use crate::interface::Upload;
use crate::key::Key;

/// An upload to S3. An object of a single part is sent with one request on completion. The parts of
/// a larger one are sent while others are filled.
pub(super) struct S3Upload {
    key: Key,
    /// Taken out during each operation, so that it is dropped, and thereby aborted, if the
    /// operation fails or its future is dropped.
    object: Option<Unfinished>,
}

impl S3Upload {
    pub(super) fn new(store: Arc<Store>, key: Key) -> Self {
        Self {
            key: key.clone(),
            object: Some(Unfinished { store, key, size: 0, filling: None, multipart: None }),
        }
    }

    fn take(&mut self) -> Result<Unfinished, Error> {
        self.object.take().ok_or_else(|| Error::Interrupted { key: self.key.clone() })
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut object = self.take()?;
        object.write(bytes).await?;
        self.object = Some(object);
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> Result<u64, Error> {
        self.take()?.complete().await
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(Unfinished { multipart: Some(multipart), .. }) = self.object.take() {
            multipart.abort().await;
        }
    }
}

/// The bytes written so far.
struct Unfinished {
    store: Arc<Store>,
    key: Key,
    /// Number of bytes accepted.
    size: u64,
    /// Part that has not been sent yet.
    filling: Option<Part>,
    /// Parts that have been or are being sent, if the object has more than one.
    multipart: Option<Multipart>,
}

impl Unfinished {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            // A full part is only sent when there is another byte: otherwise it may be the whole
            // object.
            if let Some(full) = self.filling.take_if(|part| part.is_full()) {
                self.send(full).await?;
            }
            let filling = match self.filling.take() {
                Some(part) => part,
                None => Part::reserve(&self.store, self.next_number()?).await,
            };
            self.filling.insert(filling).fill(&mut bytes);
        }
        Ok(())
    }

    fn next_number(&self) -> Result<u32, Error> {
        let number = self.multipart.as_ref().map_or(1, |multipart| multipart.sent() + 1);
        if number > part_size::MAX_COUNT {
            return Err(Error::TooLarge { key: self.key.clone(), limit: part_size::MAX_OBJECT });
        }
        Ok(number)
    }

    async fn send(&mut self, part: Part) -> Result<(), Error> {
        let multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => Multipart::start(&self.store, &self.key).await?,
        };
        self.multipart.insert(multipart).send(part).await
    }

    async fn complete(mut self) -> Result<u64, Error> {
        let last = self.filling.take();
        if let Some(multipart) = &mut self.multipart {
            if let Some(part) = last {
                multipart.send(part).await?;
            }
            multipart.assemble().await?;
        } else {
            self.put(last).await?;
        }
        self.confirm().await?;
        if let Some(multipart) = self.multipart {
            multipart.mark_finished();
        }
        Ok(self.size)
    }

    /// Check that the object exists: a response may report success and yet contain an error, in a
    /// form that the SDK does not always recognize. Under a key with other simultaneous uploads,
    /// the object may be that of another; then this one existed for a moment.
    async fn confirm(&self) -> Result<(), Error> {
        match self.store.head(&self.key).await {
            Ok(object) if object.size == self.size => Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => {
                Err(Error::Interrupted { key: self.key.clone() })
            }
            Err(error) => Err(error),
        }
    }

    /// Send the whole object.
    async fn put(&self, part: Option<Part>) -> Result<(), Error> {
        let (bytes, _reserved) = part.map(Part::into_bytes).unzip();
        let bytes = bytes.unwrap_or_default();
        let timeouts = client::timeouts_for_sending(bytes.len());
        let request =
            self.store.client.put_object().bucket(&self.store.bucket).key(self.key.as_str());
        let request = request.content_type(media_type(&self.key)).body(ByteStream::from(bytes));
        match request.customize().config_override(timeouts).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.store.object_error("write", &self.key, &error)),
        }
    }
}
