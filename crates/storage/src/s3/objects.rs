//! Requests about objects.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use bytes::{Bytes, BytesMut};
use jobs::{InstallationId, Time};

use super::response::{ErrorResponse, root_cause};
use super::store::{MARK, Store};
use crate::byte_range::{check_bounds, range_header};
use crate::error::Error;
use crate::interface::{INSTALLATION, Object, PAGE_SIZE, parse_installation};
use crate::key::Key;

/// Maximum number of requests for bytes whose response breaks off. The SDK only repeats requests
/// until a response starts.
const MAX_ATTEMPTS: usize = 3;

/// Result of a request for a range.
enum RangeResponse {
    /// All bytes of the range.
    Complete(Bytes),
    /// The object does not have all of them.
    OutOfRange,
}

/// Error of a request for a range.
enum RangeError {
    /// The request failed, after the retries of the SDK.
    Failed(Error),
    /// The response started and broke off.
    BrokenOff(Error),
}

impl Store {
    pub(super) async fn head(&self, key: &Key) -> Result<Object, Error> {
        Ok(self.head_marked(key).await?.0)
    }

    /// Return the metadata of an object, and the mark of its upload.
    pub(super) async fn head_marked(&self, key: &Key) -> Result<(Object, Option<String>), Error> {
        match self.client.head_object().bucket(&self.bucket).key(key.as_str()).send().await {
            Ok(found) => {
                let size = found.content_length.unwrap_or_default().try_into().unwrap_or_default();
                let modified = convert_time(found.last_modified.as_ref());
                let mark = found.metadata.and_then(|mut metadata| metadata.remove(MARK));
                Ok((Object { key: key.clone(), size, modified }, mark))
            }
            Err(error) => {
                if ErrorResponse::of(&error).is_some_and(|response| response.is_absence()) {
                    // The response, which has no body, is the same if the bucket is missing. Then
                    // the object must not count as missing.
                    self.check_bucket(key).await?;
                }
                Err(self.object_error("find", key, &error))
            }
        }
    }

    async fn check_bucket(&self, key: &Key) -> Result<(), Error> {
        let listed = self.client.list_objects_v2().bucket(&self.bucket).max_keys(1).send().await;
        listed.map_err(|error| self.error(format!("find {key}"), &error))?;
        Ok(())
    }

    pub(super) async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        // S3 has no empty ranges, and its positions are signed.
        if range.start < range.end && i64::try_from(range.end).is_ok() {
            let mut retries = 1..MAX_ATTEMPTS;
            loop {
                match self.get(key, &range).await {
                    Ok(RangeResponse::Complete(bytes)) => return Ok(bytes),
                    Ok(RangeResponse::OutOfRange) => break,
                    Err(RangeError::BrokenOff(_)) if retries.next().is_some() => {}
                    Err(RangeError::BrokenOff(error) | RangeError::Failed(error)) => {
                        return Err(error);
                    }
                }
            }
        }
        let size = self.head(key).await?.size;
        check_bounds(key, &range, size)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let cause = format!("{} returned other bytes than those of {range:?}", self.endpoint);
        Err(Error::Unavailable { action: format!("read {key}"), cause: cause.into() })
    }

    async fn get(&self, key: &Key, range: &Range<u64>) -> Result<RangeResponse, RangeError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.as_str());
        match request.range(range_header(range)).send().await {
            Ok(response) => self.collect(response, key, range.end - range.start).await,
            Err(error) => match ErrorResponse::of(&error) {
                Some(response) if response.status == 416 => Ok(RangeResponse::OutOfRange),
                _ => Err(RangeError::Failed(self.object_error("read", key, &error))),
            },
        }
    }

    /// Read a response if it has the expected length. Otherwise nothing is read, because it may be
    /// the whole object.
    async fn collect(
        &self,
        mut response: GetObjectOutput,
        key: &Key,
        expected: u64,
    ) -> Result<RangeResponse, RangeError> {
        if response.content_length.and_then(|length| u64::try_from(length).ok()) != Some(expected) {
            return Ok(RangeResponse::OutOfRange);
        }
        let mut bytes = BytesMut::with_capacity(expected as usize);
        loop {
            match response.body.try_next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) if bytes.len() as u64 == expected => {
                    return Ok(RangeResponse::Complete(bytes.freeze()));
                }
                result => {
                    let reason = result
                        .err()
                        .map_or_else(|| "it is too short".to_owned(), |error| root_cause(&error));
                    let cause = format!("the response of {} broke off ({reason})", self.endpoint);
                    return Err(RangeError::BrokenOff(Error::Unavailable {
                        action: format!("read {key}"),
                        cause: cause.into(),
                    }));
                }
            }
        }
    }

    pub(super) async fn installation(&self) -> Result<Option<InstallationId>, Error> {
        let action = || format!("read the object `{INSTALLATION}` of the bucket `{}`", self.bucket);
        let request = self.client.get_object().bucket(&self.bucket).key(INSTALLATION);
        // An endless object must not fill the memory.
        let response = match request.range("bytes=0-99").send().await {
            Ok(response) => response,
            Err(error) => match ErrorResponse::of(&error) {
                Some(response) if response.is_absence() => return Ok(None),
                _ => return Err(self.error(action(), &error)),
            },
        };
        let bytes = response
            .body
            .collect()
            .await
            .map_err(|error| Error::Unavailable { action: action(), cause: error.into() })?;
        let text = String::from_utf8_lossy(&bytes.into_bytes()).into_owned();
        parse_installation(&text, action).map(Some)
    }

    pub(super) async fn set_installation(&self, id: InstallationId) -> Result<(), Error> {
        let request = self.client.put_object().bucket(&self.bucket).key(INSTALLATION);
        let written = request.body(format!("{id}\n").into_bytes().into()).send().await;
        written.map_err(|error| {
            let action =
                format!("write the object `{INSTALLATION}` of the bucket `{}`", self.bucket);
            self.error(action, &error)
        })?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), Error> {
        match self.client.delete_object().bucket(&self.bucket).key(key.as_str()).send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.object_error("delete", key, &error) {
                Error::NotFound { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
    ) -> Result<Vec<Object>, Error> {
        let request = || {
            let request = self.client.list_objects_v2().bucket(&self.bucket);
            request.prefix(prefix).max_keys(PAGE_SIZE as i32)
        };
        // Garage returns nothing if `start-after` sorts before the prefix.
        let after = after.map(Key::as_str).filter(|after| *after > prefix);
        let mut next = request().set_start_after(after.map(str::to_owned));
        loop {
            let page =
                next.send().await.map_err(|error| self.error(format!("list {prefix}"), &error))?;
            let objects: Vec<Object> = page.contents().iter().filter_map(convert_object).collect();
            // A page may consist of foreign objects only.
            if !objects.is_empty()
                || page.is_truncated() != Some(true)
                || page.next_continuation_token().is_none()
            {
                return Ok(objects);
            }
            next = request().set_continuation_token(page.next_continuation_token);
        }
    }
}

/// Convert an entry of a listing; `None` if it is a foreign object.
fn convert_object(listed: &aws_sdk_s3::types::Object) -> Option<Object> {
    let key = listed.key()?.parse().ok()?;
    let size = listed.size()?.try_into().ok()?;
    Some(Object { key, size, modified: convert_time(listed.last_modified()) })
}

/// Convert a time to whole seconds, because some responses are not more precise.
fn convert_time(time: Option<&DateTime>) -> Time {
    time.and_then(|time| Time::from_timestamp(time.secs(), 0)).unwrap_or_default()
}
