//! Copies of objects within the bucket, which the store makes itself.

use std::sync::Arc;

use aws_sdk_s3::types::MetadataDirective;
use uuid::Uuid;

use super::client;
use super::multipart::Multipart;
use super::store::{MARK, Store, media_type};
use crate::error::Error;
use crate::key::Key;

/// Maximum size of an object that one request copies, in bytes (Amazon S3 API reference,
/// `CopyObject`).
const MAX_AT_ONCE: u64 = 5 << 30;

/// Size in bytes of the parts in which a larger object is copied.
const PART_SIZE: u64 = 1 << 30;

/// Copy an object and return its size in bytes.
pub(super) async fn copy(store: &Arc<Store>, from: &Key, to: &Key) -> Result<u64, Error> {
    let size = store.head(from).await?.size;
    if size > MAX_AT_ONCE {
        copy_in_parts(store, from, to, size, PART_SIZE).await?;
    } else {
        store.copy_at_once(from, to, size).await?;
    }
    Ok(size)
}

/// Copy an object in parts of this size.
pub(super) async fn copy_in_parts(
    store: &Arc<Store>,
    from: &Key,
    to: &Key,
    size: u64,
    part_size: u64,
) -> Result<(), Error> {
    let mark = Uuid::now_v7().to_string();
    let mut multipart = Multipart::start(store, to, &mark).await?;
    let mut start = 0;
    while start < size {
        let end = size.min(start.saturating_add(part_size));
        multipart.copy(from, start..end).await?;
        start = end;
    }
    multipart.receive_all().await?;
    match multipart.assemble().await {
        Ok(()) => store.confirm(to, size).await?,
        Err(error) => store.require_stored(to, size, &mark, error).await?,
    }
    multipart.mark_finished();
    Ok(())
}

impl Store {
    async fn copy_at_once(&self, from: &Key, to: &Key, size: u64) -> Result<(), Error> {
        let mark = Uuid::now_v7().to_string();
        let request = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(to.as_str())
            .copy_source(self.copy_source(from))
            .metadata_directive(MetadataDirective::Replace)
            .metadata(MARK, &mark)
            .content_type(media_type(to));
        let timeouts = client::timeouts_for_assembling(self.assembly_timeout);
        match request.customize().config_override(timeouts).send().await {
            Ok(_) => self.confirm(to, size).await,
            Err(error) => {
                let error = self.object_error("copy", from, &error);
                self.require_stored(to, size, &mark, error).await
            }
        }
    }
}
