//! Uploads to S3.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use uuid::Uuid;

use super::budget::Displaced;
use super::multipart::Multipart;
use super::part::{Filling, Part};
use super::store::{MARK, Store, media_type};
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
        let filling = Filling::new(store.allowance(&key), part_size::of(1));
        let mark = Uuid::now_v7().to_string();
        Self {
            key: key.clone(),
            object: Some(Unfinished { store, key, mark, size: 0, filling, multipart: None }),
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
    /// Mark of this upload, by which its object differs from others under the same key.
    mark: String,
    /// Number of bytes accepted.
    size: u64,
    /// Part that has not been sent yet.
    filling: Filling,
    /// Parts that have been or are being sent, if the object has more than one.
    multipart: Option<Multipart>,
}

impl Unfinished {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        self.filling.stop_waiting();
        while !bytes.is_empty() {
            // A full part is only sent when there is another byte: otherwise it may be the whole
            // object.
            if self.filling.is_full() {
                let full = self.take_part()?;
                self.send(full).await?;
                self.filling.set_size(part_size::of(self.next_number()?));
            }
            let filled = self.filling.fill(&mut bytes).await;
            filled.map_err(|displaced| self.displaced(displaced))?;
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
            None => Multipart::start(&self.store, &self.key, &self.mark).await?,
        };
        self.multipart.insert(multipart).send(part).await
    }

    async fn complete(mut self) -> Result<u64, Error> {
        let last = self.take_part()?;
        let completed = if let Some(multipart) = &mut self.multipart {
            multipart.send(last).await?;
            multipart.receive_all().await?;
            multipart.assemble().await
        } else {
            self.put(last).await
        };
        match completed {
            Ok(()) => self.store.confirm(&self.key, self.size).await?,
            Err(error) => {
                self.store.require_stored(&self.key, self.size, &self.mark, error).await?;
            }
        }
        if let Some(multipart) = self.multipart {
            multipart.mark_finished();
        }
        Ok(self.size)
    }

    /// Send the whole object.
    async fn put(&self, part: Part) -> Result<(), Error> {
        let (bytes, _reserved) = part.into_bytes();
        let timeouts = client::timeouts_for_sending(bytes.len());
        let request =
            self.store.client.put_object().bucket(&self.store.bucket).key(self.key.as_str());
        let request = request.content_type(media_type(&self.key)).metadata(MARK, &self.mark);
        let request = request.body(ByteStream::from(bytes));
        match request.customize().config_override(timeouts).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.store.object_error("write", &self.key, &error)),
        }
    }
}
