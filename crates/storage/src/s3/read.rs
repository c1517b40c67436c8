//! What is known of objects, and their bytes.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use bytes::{Bytes, BytesMut};
use jobs::Time;

use super::Store;
use super::refusal::{Answer, cause};
use crate::{Error, Key, Object, PAGE};

/// How often bytes are asked for whose answer breaks off. The SDK repeats requests itself until an
/// answer begins, not after.
const ATTEMPTS: usize = 3;

/// What a request for a range gave.
enum Found {
    /// All of it.
    All(Bytes),
    /// Not all of it is there.
    Less,
}

impl Store {
    pub(super) async fn head(&self, key: &Key) -> Result<Object, Error> {
        match self.client.head_object().bucket(&self.bucket).key(key.as_str()).send().await {
            Ok(found) => {
                let size = found.content_length.unwrap_or_default().try_into().unwrap_or_default();
                Ok(Object { key: key.clone(), size, modified: time(found.last_modified.as_ref()) })
            }
            Err(error) => {
                if Answer::of(&error).is_some_and(|answer| answer.is_absence()) {
                    // The answer has no room to say that it is the bucket that is missing, which is
                    // no reason to give up the object.
                    self.find_bucket(key).await?;
                }
                Err(self.object_error("find", key, &error))
            }
        }
    }

    async fn find_bucket(&self, key: &Key) -> Result<(), Error> {
        let listed = self.client.list_objects_v2().bucket(&self.bucket).max_keys(1).send().await;
        listed.map_err(|error| self.error(format!("find {key}"), &error))?;
        Ok(())
    }

    pub(super) async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        // S3 has no empty ranges, and its numbers are signed.
        if range.start < range.end && i64::try_from(range.end).is_ok() {
            let mut attempts = 1..ATTEMPTS;
            loop {
                match self.get(key, &range).await {
                    Ok(Found::All(bytes)) => return Ok(bytes),
                    Ok(Found::Less) => break,
                    Err(Broken::Off(_)) if attempts.next().is_some() => {}
                    Err(Broken::Off(error) | Broken::Refused(error)) => return Err(error),
                }
            }
        }
        let size = self.head(key).await?.size;
        if range.start > range.end || range.end > size {
            return Err(Error::OutOfRange { key: key.clone(), range, size });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let source = format!(
            "{} gave other bytes than those from {} to {}",
            self.endpoint, range.start, range.end
        );
        Err(Error::Unavailable { action: format!("read {key}"), cause: source.into() })
    }

    async fn get(&self, key: &Key, range: &Range<u64>) -> Result<Found, Broken> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.as_str());
        match request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await {
            Ok(answer) => self.collect(answer, key, range.end - range.start).await,
            Err(error) => match Answer::of(&error) {
                Some(answer) if answer.status == 416 => Ok(Found::Less),
                _ => Err(Broken::Refused(self.object_error("read", key, &error))),
            },
        }
    }

    /// The bytes of an answer, if they are as many as expected. Otherwise none is read: it may be
    /// the whole object.
    async fn collect(
        &self,
        mut answer: GetObjectOutput,
        key: &Key,
        expected: u64,
    ) -> Result<Found, Broken> {
        if answer.content_length.and_then(|length| u64::try_from(length).ok()) != Some(expected) {
            return Ok(Found::Less);
        }
        let mut bytes = BytesMut::with_capacity(expected as usize);
        loop {
            match answer.body.try_next().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) if bytes.len() as u64 == expected => {
                    return Ok(Found::All(bytes.freeze()));
                }
                outcome => {
                    let why = outcome
                        .err()
                        .map_or_else(|| "it ended too early".to_owned(), |error| cause(&error));
                    let source = format!("the answer of {} broke off ({why})", self.endpoint);
                    return Err(Broken::Off(Error::Unavailable {
                        action: format!("read {key}"),
                        cause: source.into(),
                    }));
                }
            }
        }
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
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(PAGE as i32)
        };
        // Garage finds nothing after what comes before the prefix.
        let after = after.map(Key::as_str).filter(|after| *after > prefix);
        let mut next = request().set_start_after(after.map(str::to_owned));
        loop {
            let page =
                next.send().await.map_err(|error| self.error(format!("list {prefix}"), &error))?;
            let objects: Vec<Object> = page.contents().iter().filter_map(object).collect();
            // A page may be full of what others have put there.
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

/// Why bytes were not read.
enum Broken {
    /// The store gave an error, or none at all, however often it was asked.
    Refused(Error),
    /// Its answer began and broke off.
    Off(Error),
}

/// What a list says of an object, if it is one of ours.
fn object(listed: &aws_sdk_s3::types::Object) -> Option<Object> {
    let key = listed.key()?.parse().ok()?;
    let size = listed.size()?.try_into().ok()?;
    Some(Object { key, size, modified: time(listed.last_modified()) })
}

/// To the second, since some answers tell no more.
fn time(time: Option<&DateTime>) -> Time {
    time.and_then(|time| Time::from_timestamp(time.secs(), 0)).unwrap_or_default()
}
