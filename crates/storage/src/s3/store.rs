//! Connection to the bucket, shared by all uploads.

use std::sync::Arc;

use aws_sdk_s3::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client;
use super::settings::{MIN_UPLOAD_MEMORY, S3Settings, parse_endpoint};
use crate::error::Error;
use crate::key::Key;

/// Client and memory budget.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) client: Client,
    /// Client for links only, with the public address of the store.
    pub(super) link_client: Client,
    pub(super) endpoint: String,
    pub(super) bucket: String,
    /// Bytes that uploads may still reserve.
    pub(super) memory: Arc<Semaphore>,
}

impl Store {
    pub(super) fn new(settings: S3Settings) -> Result<Self, Error> {
        let endpoint = parse_endpoint("S3_ENDPOINT", &settings.endpoint)?;
        let public_endpoint = settings
            .public_endpoint
            .as_deref()
            .map(|public| parse_endpoint("S3_PUBLIC_ENDPOINT", public))
            .transpose()?;
        if settings.upload_memory < MIN_UPLOAD_MEMORY {
            let problem = format!(
                "is {} bytes, but parts of large objects have {MIN_UPLOAD_MEMORY}",
                settings.upload_memory
            );
            return Err(Error::Setting { setting: "the memory for uploads", problem });
        }
        // A larger budget would panic, and is not a limit in practice.
        let memory = settings.upload_memory.min(Semaphore::MAX_PERMITS);
        let client = client::new(&settings, &endpoint);
        let link_client = public_endpoint
            .map_or_else(|| client.clone(), |public| client::new(&settings, &public));
        let memory = Arc::new(Semaphore::new(memory));
        Ok(Self { client, link_client, endpoint, bucket: settings.bucket, memory })
    }

    /// Wait for the memory of a part, in the order of the calls.
    pub(super) async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes).expect("the largest part has 64 MiB");
        Arc::clone(&self.memory)
            .acquire_many_owned(bytes)
            .await
            .expect("the semaphore is never closed")
    }
}

/// Media type of an object for browsers.
pub(super) fn media_type(key: &Key) -> &'static str {
    match key.as_str().rsplit('.').next() {
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}
