//! Connection to the bucket, shared by all uploads.

use std::time::Duration;

use aws_sdk_s3::Client;

use super::budget::{Allowance, Budget};
use super::client;
use super::settings::{MIN_UPLOAD_MEMORY, S3Settings, parse_endpoint};
use crate::error::Error;
use crate::key::Key;

/// Name of the metadata that holds the mark of an upload.
pub(super) const MARK: &str = "fiapx-upload";

/// Client and memory budgets.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) client: Client,
    /// Client for links only, with the public address of the store.
    pub(super) link_client: Client,
    pub(super) endpoint: String,
    pub(super) bucket: String,
    pub(super) assembly_timeout: Duration,
    /// Memory of videos that are being received. Their clients may be slow.
    pub(super) videos: Budget,
    /// Memory of archives that are being written. A slow video is no reason to stop its archive.
    pub(super) archives: Budget,
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
        let client = client::new(&settings, &endpoint);
        let link_client = public_endpoint
            .map_or_else(|| client.clone(), |public| client::new(&settings, &public));
        Ok(Self {
            client,
            link_client,
            endpoint,
            bucket: settings.bucket,
            assembly_timeout: settings.assembly_timeout,
            videos: Budget::new("videos", settings.upload_memory, true),
            archives: Budget::new("archives", settings.upload_memory, false),
        })
    }

    /// Start using memory for an upload.
    pub(super) fn allowance(&self, key: &Key) -> Allowance {
        let budget = if key.is_archive() { &self.archives } else { &self.videos };
        budget.start(key.user_id())
    }
}

/// Media type of an object for browsers.
pub(super) fn media_type(key: &Key) -> &'static str {
    if key.is_archive() { "application/zip" } else { "application/octet-stream" }
}
