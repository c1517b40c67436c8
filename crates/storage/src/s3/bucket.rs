//! The bucket as a whole: whether it can be used, what it forgets by itself, and what uploads left
//! behind.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};

use super::Store;
use super::refusal::Answer;
use crate::{Error, Key};

/// The name of an object that is begun to see whether objects can be written, and never completed.
/// It is no [`Key`], but among them, so that it is swept if it is left.
const PROBE: &str = "videos/check";

/// Our rules among those of the bucket.
const RETENTION_RULE: &str = "fiapx-retention";
const UNFINISHED_RULE: &str = "fiapx-unfinished";

/// Days after which the bucket forgets an upload that nobody completed.
const UNFINISHED_DAYS: i32 = 1;

const DAY: u64 = 24 * 60 * 60;

impl Store {
    /// Whether objects can be listed and begun.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let Self { client, bucket, .. } = self;
        let action = || format!("use the bucket `{bucket}`");
        let listed =
            client.list_objects_v2().bucket(bucket).prefix(Key::ROOT).max_keys(1).send().await;
        listed.map_err(|error| self.error(action(), &error))?;
        let begun = client.create_multipart_upload().bucket(bucket).key(PROBE).send().await;
        let begun = begun.map_err(|error| self.error(action(), &error))?;
        self.abort(PROBE, begun.upload_id().unwrap_or_default()).await?;
        Ok(())
    }

    /// Abort a multipart upload; says whether there was one.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<bool, Error> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(id)
            .send()
            .await;
        match aborted {
            Ok(_) => Ok(true),
            Err(error)
                if Answer::of(&error).is_some_and(|answer| answer.code == "NoSuchUpload") =>
            {
                Ok(false)
            }
            Err(error) => Err(self.error(format!("abort the upload of {key}"), &error)),
        }
    }

    /// Abort the multipart uploads that were begun so long ago; says how many there were.
    pub(super) async fn sweep(&self, older_than: Duration) -> Result<u64, Error> {
        let request =
            || self.client.list_multipart_uploads().bucket(&self.bucket).prefix(Key::ROOT);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (mut swept, mut next) = (0, request());
        loop {
            let page = next.send().await;
            let page =
                page.map_err(|error| self.error("list unfinished uploads".to_owned(), &error))?;
            for upload in page.uploads() {
                let (Some(key), Some(id), Some(begun)) =
                    (upload.key(), upload.upload_id(), upload.initiated())
                else {
                    continue;
                };
                let age = now.saturating_sub(Duration::from_secs(
                    begun.secs().try_into().unwrap_or_default(),
                ));
                if age >= older_than && self.abort(key, id).await? {
                    swept += 1;
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(swept);
            }
            next = request()
                .set_key_marker(page.next_key_marker)
                .set_upload_id_marker(page.next_upload_id_marker);
        }
    }

    /// Let the bucket forget objects of this age, and unfinished uploads, by itself. Says in words
    /// what it does not do.
    pub(super) async fn prepare(&self, retention: Duration) -> Result<Vec<String>, Error> {
        let days = i32::try_from(retention.as_secs().div_ceil(DAY)).unwrap_or(i32::MAX).max(1);
        let Self { client, bucket, .. } = self;
        let refused = |answer: &Answer<'_>| {
            format!(
                "the bucket `{bucket}` does not take lifecycle rules from us ({}): set it to remove objects under {} after {days} days, \
                 and multipart uploads that are not complete after {UNFINISHED_DAYS}, or see that this service is always running",
                answer.words(),
                Key::ROOT
            )
        };
        let action = || format!("set the lifecycle rules of the bucket `{bucket}`");

        let there = client.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
        let there = match there {
            Ok(configuration) => configuration.rules.unwrap_or_default(),
            Err(error) if is_unset(&error) => Vec::new(),
            Err(error) => match Answer::of(&error) {
                Some(answer) if answer.is_final() => return Ok(vec![refused(&answer)]),
                _ => return Err(self.error(action(), &error)),
            },
        };
        let ours =
            |rule: &LifecycleRule| matches!(rule.id(), Some(RETENTION_RULE | UNFINISHED_RULE));
        let mut wanted: Vec<LifecycleRule> =
            there.iter().filter(|rule| !ours(rule)).cloned().collect();
        wanted.extend(rules(days));
        if wanted == there {
            return Ok(Vec::new());
        }
        let wanted = BucketLifecycleConfiguration::builder().set_rules(Some(wanted)).build();
        let wanted =
            wanted.map_err(|error| Error::Unavailable { action: action(), cause: error.into() })?;
        let set = client
            .put_bucket_lifecycle_configuration()
            .bucket(bucket)
            .lifecycle_configuration(wanted)
            .send()
            .await;
        match set {
            Ok(_) => Ok(Vec::new()),
            Err(error) => match Answer::of(&error) {
                Some(answer) if answer.is_final() => Ok(vec![refused(&answer)]),
                _ => Err(self.error(action(), &error)),
            },
        }
    }
}

/// Whether the bucket has no rules at all.
fn is_unset(error: &SdkError<GetBucketLifecycleConfigurationError>) -> bool {
    Answer::of(error).is_some_and(|answer| answer.code == "NoSuchLifecycleConfiguration")
}

/// The rules that make the bucket forget what this service did not get to remove.
fn rules(days: i32) -> impl Iterator<Item = LifecycleRule> {
    let rule = |name| {
        let filter = LifecycleRuleFilter::builder().prefix(Key::ROOT).build();
        LifecycleRule::builder().id(name).filter(filter).status(ExpirationStatus::Enabled)
    };
    let retention =
        rule(RETENTION_RULE).expiration(LifecycleExpiration::builder().days(days).build());
    let unfinished =
        AbortIncompleteMultipartUpload::builder().days_after_initiation(UNFINISHED_DAYS).build();
    let unfinished = rule(UNFINISHED_RULE).abort_incomplete_multipart_upload(unfinished);
    // A rule can be built once it has a status.
    [retention, unfinished].into_iter().filter_map(|rule| rule.build().ok())
}
