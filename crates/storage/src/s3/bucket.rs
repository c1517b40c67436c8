//! Requests about the bucket: access check, lifecycle rules and unfinished uploads.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use jobs::JobId;

use super::response::ErrorResponse;
use super::store::Store;
use crate::error::Error;
use crate::key::Key;

/// Name of the upload that the check starts and aborts. It is not a valid [`Key`], but has the same
/// prefix, so that the sweep removes its remains.
const PROBE: &str = "videos/check";

/// IDs of the lifecycle rules of this service.
const RETENTION_RULE: &str = "fiapx-retention";
const UNFINISHED_RULE: &str = "fiapx-unfinished";

/// Days after which the bucket aborts an unfinished upload. Resumable ones may take two days.
const UNFINISHED_DAYS: i32 = 3;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

impl Store {
    /// Check that objects can be listed and uploads be started.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let Self { client, bucket, .. } = self;
        let action = || format!("use the bucket `{bucket}`");
        let listed =
            client.list_objects_v2().bucket(bucket).prefix(Key::ROOT).max_keys(1).send().await;
        listed.map_err(|error| self.error(action(), &error))?;
        let started = client.create_multipart_upload().bucket(bucket).key(PROBE).send().await;
        let started = started.map_err(|error| self.error(action(), &error))?;
        self.abort(PROBE, started.upload_id().unwrap_or_default()).await?;
        Ok(())
    }

    /// Abort a multipart upload, and return whether it existed.
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
                if ErrorResponse::of(&error)
                    .is_some_and(|response| response.code == "NoSuchUpload") =>
            {
                Ok(false)
            }
            Err(error) => Err(self.error(format!("abort the upload of {key}"), &error)),
        }
    }

    /// Abort the multipart uploads that started at least `older_than` ago, and return their number.
    /// Those of `kept` are kept.
    pub(super) async fn sweep(&self, older_than: Duration, kept: &[JobId]) -> Result<u64, Error> {
        let kept: HashSet<JobId> = kept.iter().copied().collect();
        let is_kept = |key: &str| key.parse::<Key>().is_ok_and(|key| kept.contains(&key.job_id()));
        let request =
            || self.client.list_multipart_uploads().bucket(&self.bucket).prefix(Key::ROOT);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (mut swept, mut next) = (0, request());
        loop {
            let page = next.send().await;
            let page =
                page.map_err(|error| self.error("list unfinished uploads".to_owned(), &error))?;
            for upload in page.uploads() {
                let (Some(key), Some(id), Some(started)) =
                    (upload.key(), upload.upload_id(), upload.initiated())
                else {
                    continue;
                };
                let started = Duration::from_secs(started.secs().try_into().unwrap_or_default());
                let is_old = now.saturating_sub(started) >= older_than;
                if is_old && !is_kept(key) && self.abort(key, id).await? {
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

    /// Set the lifecycle rules of this service unless they are set. Returns warnings.
    pub(super) async fn configure_lifecycle(
        &self,
        retention: Duration,
    ) -> Result<Vec<String>, Error> {
        let days = retention.as_secs().div_ceil(SECONDS_PER_DAY);
        let days = i32::try_from(days).unwrap_or(i32::MAX).max(1);
        let Self { client, bucket, .. } = self;
        let action = || format!("set the lifecycle rules of the bucket `{bucket}`");

        let current = client.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
        let current = match current {
            Ok(configuration) => configuration.rules.unwrap_or_default(),
            Err(error) if has_no_rules(&error) => Vec::new(),
            Err(error) => match ErrorResponse::of(&error) {
                Some(response) if response.is_permanent() => {
                    return Ok(vec![self.lifecycle_warning(&response, days)]);
                }
                _ => return Err(self.error(action(), &error)),
            },
        };
        let is_ours =
            |rule: &LifecycleRule| matches!(rule.id(), Some(RETENTION_RULE | UNFINISHED_RULE));
        let mut rules: Vec<LifecycleRule> =
            current.iter().filter(|rule| !is_ours(rule)).cloned().collect();
        rules.extend(lifecycle_rules(days));
        if rules == current {
            return Ok(Vec::new());
        }
        let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let configuration = configuration
            .map_err(|error| Error::Unavailable { action: action(), cause: error.into() })?;
        let set = client
            .put_bucket_lifecycle_configuration()
            .bucket(bucket)
            .lifecycle_configuration(configuration)
            .send()
            .await;
        match set {
            Ok(_) => Ok(Vec::new()),
            Err(error) => match ErrorResponse::of(&error) {
                Some(response) if response.is_permanent() => {
                    Ok(vec![self.lifecycle_warning(&response, days)])
                }
                _ => Err(self.error(action(), &error)),
            },
        }
    }

    /// Describe what the operator must set up if the service may not set the lifecycle rules.
    fn lifecycle_warning(&self, response: &ErrorResponse<'_>, days: i32) -> String {
        format!(
            "the bucket `{}` rejects the lifecycle rules of this service ({}): set it to remove \
             objects under {} after {days} days, and multipart uploads that are not completed \
             after {UNFINISHED_DAYS}, or make sure that this service is always running",
            self.bucket,
            response.summary(),
            Key::ROOT
        )
    }
}

/// Whether the bucket has no lifecycle rules.
fn has_no_rules(error: &SdkError<GetBucketLifecycleConfigurationError>) -> bool {
    ErrorResponse::of(error).is_some_and(|response| response.code == "NoSuchLifecycleConfiguration")
}

/// Rules that remove what this service failed to remove.
fn lifecycle_rules(days: i32) -> impl Iterator<Item = LifecycleRule> {
    let rule = |name| {
        let filter = LifecycleRuleFilter::builder().prefix(Key::ROOT).build();
        LifecycleRule::builder().id(name).filter(filter).status(ExpirationStatus::Enabled)
    };
    let retention =
        rule(RETENTION_RULE).expiration(LifecycleExpiration::builder().days(days).build());
    let unfinished =
        AbortIncompleteMultipartUpload::builder().days_after_initiation(UNFINISHED_DAYS).build();
    let unfinished = rule(UNFINISHED_RULE).abort_incomplete_multipart_upload(unfinished);
    // Building a rule only fails without a status.
    [retention, unfinished].into_iter().filter_map(|rule| rule.build().ok())
}
