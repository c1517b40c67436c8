//! Uploads that clients send to the bucket themselves: multipart uploads whose parts they send with
//! presigned requests.
//!
//! The signature of a request covers the upload, the number of the part and its length (Amazon S3
//! API reference, "Authenticating Requests: Using Query Parameters"). So a client cannot send more
//! than was reserved for it, nor another object.

use std::sync::Arc;
use std::time::Duration;

use super::store::Store;
use super::{link, part_size, resumable};
use crate::checkpoint::Checkpoint;
use crate::direct::{PartRequest, StoredPart};
use crate::error::Error;
use crate::key::Key;

/// Size in bytes of the parts of most uploads: few requests for a video, and little to send again
/// after a lost connection.
const PART_SIZE: u64 = 16 << 20;

/// Maximum number of parts, of which the tags fit into one request to this service. The limit of S3
/// is [`part_size::MAX_COUNT`].
const MAX_PARTS: u64 = 1000;

const _: () = assert!(PART_SIZE >= part_size::MIN as u64);
const _: () = assert!(MAX_PARTS <= part_size::MAX_COUNT as u64);

/// Begin an upload.
pub(super) async fn begin(store: &Arc<Store>, key: &Key, size: u64) -> Result<Checkpoint, Error> {
    let begun = resumable::begin(store, key, size).await?;
    Ok(Checkpoint { part_size: Some(PART_SIZE.max(size.div_ceil(MAX_PARTS))), ..begun })
}

impl Store {
    /// Sign the requests for the parts of an upload. The clock of the store decides when they
    /// expire.
    pub(super) async fn part_requests(
        &self,
        key: &Key,
        upload: &Checkpoint,
        valid_for: Duration,
    ) -> Result<Vec<PartRequest>, Error> {
        let action = || format!("sign requests for the parts of {key}");
        let validity = link::validity(valid_for, action)?;
        let mut requests = Vec::new();
        for (number, size) in upload.direct_parts() {
            // The number is at most 1,000, and the size at most the thousandth part of the largest
            // object.
            let request = self.link_client.upload_part().bucket(&self.bucket).key(key.as_str());
            let request = request.upload_id(&upload.id).part_number(number as i32);
            let signed = request.content_length(size as i64).presigned(validity.clone()).await;
            let signed = signed.map_err(|error| self.error(action(), &error))?;
            requests.push(PartRequest { number, size, url: signed.uri().to_owned() });
        }
        Ok(requests)
    }

    /// Parts of an upload that the bucket has received.
    pub(super) async fn stored_parts(
        &self,
        key: &Key,
        upload: &Checkpoint,
    ) -> Result<Vec<StoredPart>, Error> {
        let request = || self.client.list_parts().bucket(&self.bucket).key(key.as_str());
        let request = || request().upload_id(&upload.id);
        let (mut parts, mut next) = (Vec::new(), request());
        loop {
            let page = next.send().await;
            let page = page.map_err(|error| self.object_error("list the parts of", key, &error))?;
            parts.extend(page.parts().iter().filter_map(|part| {
                let number = part.part_number()?.try_into().ok()?;
                let size = part.size()?.try_into().ok()?;
                Some(StoredPart { number, size, tag: part.e_tag()?.to_owned() })
            }));
            if page.is_truncated() != Some(true) || page.next_part_number_marker().is_none() {
                return Ok(parts);
            }
            next = request().set_part_number_marker(page.next_part_number_marker);
        }
    }
}
