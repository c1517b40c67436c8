//! Errors of requests.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::store::Store;
use crate::error::Error;
use crate::key::Key;

/// Codes of a full store: that of Ceph for a quota, and those of MinIO for a quota and for its
/// disks.
const FULL: [&str; 3] = ["QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"];

/// Codes of an unknown or wrong access key, or of one without the permission.
const FORBIDDEN: [&str; 6] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
];

/// Error response of the store.
#[derive(Debug, Default)]
pub(super) struct ErrorResponse<'a> {
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

impl<'a> ErrorResponse<'a> {
    /// Return the response, or `None` if the store did not respond.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &'a SdkError<E>) -> Option<Self> {
        let SdkError::ServiceError(response) = error else { return None };
        let (code, message) =
            (error.code().unwrap_or_default(), error.message().unwrap_or_default());
        Some(Self { status: response.raw().status().as_u16(), code, message })
    }

    /// Whether the object does not exist. Responses to HEAD have no body and thus no code.
    pub(super) fn is_absence(&self) -> bool {
        self.code == "NoSuchKey" || (self.status == 404 && matches!(self.code, "" | "NotFound"))
    }

    /// Whether a repetition would fail as well: the request is unsupported or forbidden.
    pub(super) fn is_permanent(&self) -> bool {
        self.status < 500 || self.status == 501
    }

    fn is_full(&self) -> bool {
        // Garage reports a denied access, and the quota only in the message (`check_quotas` in its
        // `put.rs`).
        let quota = self.status == 403 && self.message.contains("quota");
        self.status == 507 || FULL.contains(&self.code) || quota
    }

    fn is_forbidden(&self) -> bool {
        FORBIDDEN.contains(&self.code) || matches!(self.status, 401 | 403)
    }

    /// Code and message in one line.
    pub(super) fn summary(&self) -> String {
        let parts = [self.code, self.message]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>();
        if parts.is_empty() { format!("HTTP status {}", self.status) } else { parts.join(": ") }
    }
}

impl Store {
    /// Convert the error of a request about an object or an upload.
    pub(super) fn object_error<E>(&self, action: &str, key: &Key, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match ErrorResponse::of(error) {
            Some(response) if response.is_absence() => Error::NotFound { key: key.clone() },
            // A part may also have been replaced after its tag was recorded.
            Some(response) if matches!(response.code, "NoSuchUpload" | "InvalidPart") => {
                Error::Interrupted { key: key.clone() }
            }
            _ => self.error(format!("{action} {key}"), error),
        }
    }

    /// Convert the error of any other request.
    pub(super) fn error<E>(&self, action: String, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let cause = match ErrorResponse::of(error) {
            Some(response) if response.is_full() => return Error::Full,
            Some(response) => self.explain_response(&response),
            None => self.explain_silence(error),
        };
        Error::Unavailable { action, cause: cause.into() }
    }

    /// Error of a response that lacks a required field.
    pub(super) fn incomplete_response(&self, action: &str, key: &Key, missing: &str) -> Error {
        let cause = format!(
            "{} did not answer like an S3 store ({missing} is missing): check S3_ENDPOINT",
            self.endpoint
        );
        Error::Unavailable { action: format!("{action} {key}"), cause: cause.into() }
    }

    /// Describe a request without a response, and the setting to check.
    fn explain_silence<E: StdError + 'static>(&self, error: &SdkError<E>) -> String {
        let endpoint = &self.endpoint;
        let timed_out = match error {
            SdkError::TimeoutError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            _ => false,
        };
        if timed_out {
            return format!(
                "{endpoint} did not answer in time: check S3_ENDPOINT and the state of the store"
            );
        }
        let cause = root_cause(error);
        match error {
            SdkError::DispatchFailure(_) => format!(
                "{endpoint} cannot be reached ({cause}): check S3_ENDPOINT, and that the store \
                 is running"
            ),
            _ => format!("{endpoint} did not answer like an S3 store ({cause}): check S3_ENDPOINT"),
        }
    }

    /// Describe an error response, and the setting to correct.
    fn explain_response(&self, response: &ErrorResponse<'_>) -> String {
        let Self { bucket, endpoint, .. } = self;
        let summary = response.summary();
        match response.code {
            "NoSuchBucket" | "InvalidBucketName" => format!(
                "{endpoint} has no bucket `{bucket}` ({summary}): create it, or correct S3_BUCKET"
            ),
            "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "PermanentRedirect" => {
                format!("{endpoint} belongs to another region ({summary}): correct S3_REGION")
            }
            "RequestTimeTooSkewed" => format!(
                "the clocks of {endpoint} and of this machine differ ({summary}): correct them"
            ),
            _ if response.is_forbidden() => format!(
                "{endpoint} rejects the access key ({summary}): correct S3_ACCESS_KEY and \
                 S3_SECRET_KEY, or allow the key to read, write, list and delete in the bucket \
                 `{bucket}` (S3_BUCKET)"
            ),
            _ => format!("{endpoint} answered {summary} (HTTP status {})", response.status),
        }
    }
}

/// Message of the innermost error; the outer ones only state that a request failed.
pub(super) fn root_cause(error: &dyn StdError) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
