//! An object that is being sent.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::multipart::Multipart;
use super::{Store, client, media_type, part};
use crate::{Error, Key, Upload};

/// An upload to S3. An object that fits into one part is sent when it is complete, with one
/// request; of a larger one, parts are sent while others are filled.
pub(super) struct S3Upload {
    key: Key,
    /// Taken out while something is done with it, so that it is dropped, and with that aborted, if
    /// that fails or is given up.
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
        self.object.take().ok_or_else(|| Error::CutShort { key: self.key.clone() })
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

/// What was written of an object.
struct Unfinished {
    store: Arc<Store>,
    key: Key,
    /// Bytes that were handed in.
    size: u64,
    /// The part that is not sent yet.
    filling: Option<Part>,
    /// The parts that are sent or on their way, once there is more than one.
    multipart: Option<Multipart>,
}

impl Unfinished {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            // A full part waits for the first byte that does not fit: without it, the part is the
            // object.
            if let Some(full) = self.filling.take_if(|part| part.room() == 0) {
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
        if number > part::MOST {
            return Err(Error::TooLarge { key: self.key.clone(), most: part::LARGEST_OBJECT });
        }
        Ok(number)
    }

    async fn send(&mut self, part: Part) -> Result<(), Error> {
        let multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => Multipart::begin(&self.store, &self.key).await?,
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
            multipart.forget();
        }
        Ok(self.size)
    }

    /// Look whether the object is there: an answer may say that all is well and yet hold an error,
    /// which not every store words as the SDK expects. Under a key that others write to at the same
    /// time, it may be their object; then ours was there for a moment.
    async fn confirm(&self) -> Result<(), Error> {
        match self.store.head(&self.key).await {
            Ok(object) if object.size == self.size => Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => Err(Error::CutShort { key: self.key.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Send the whole object.
    async fn put(&self, part: Option<Part>) -> Result<(), Error> {
        let (bytes, _reserved) = part.map(Part::into_bytes).unzip();
        let bytes = bytes.unwrap_or_default();
        let timeouts = client::sending(bytes.len());
        let request =
            self.store.client.put_object().bucket(&self.store.bucket).key(self.key.as_str());
        let request = request.content_type(media_type(&self.key)).body(ByteStream::from(bytes));
        match request.customize().config_override(timeouts).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.store.object_error("write", &self.key, &error)),
        }
    }
}

/// Bytes that are sent together.
pub(super) struct Part {
    bytes: BytesMut,
    size: usize,
    reserved: OwnedSemaphorePermit,
}

impl Part {
    /// An empty part with this number, when there is memory for a full one.
    async fn reserve(store: &Store, number: u32) -> Self {
        let size = part::size(number);
        let reserved = store.reserve(size).await;
        Self { bytes: BytesMut::with_capacity(size), size, reserved }
    }

    /// How many more bytes fit.
    fn room(&self) -> usize {
        self.size - self.bytes.len()
    }

    /// Take as many bytes as fit. They are copied, since they may be a small piece of something
    /// large that they keep in memory.
    fn fill(&mut self, bytes: &mut Bytes) {
        let length = self.room().min(bytes.len());
        self.bytes.extend_from_slice(&bytes.split_to(length));
    }

    /// The bytes, and what has to be kept until they are gone.
    pub(super) fn into_bytes(self) -> (Bytes, OwnedSemaphorePermit) {
        (self.bytes.freeze(), self.reserved)
    }
}
