//! What it means when a request fails.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Store;
use crate::{Error, Key};

/// Codes that say that there is no room: Ceph's for a quota, MinIO's for a quota and for its disks.
const FULL: [&str; 3] = ["QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"];

/// Codes that say that a key is unknown, wrong, or may not do this.
const FORBIDDEN: [&str; 6] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
];

/// What the store answered, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

impl<'a> Answer<'a> {
    /// None if the store did not answer.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &'a SdkError<E>) -> Option<Self> {
        let SdkError::ServiceError(answer) = error else { return None };
        let (code, message) =
            (error.code().unwrap_or_default(), error.message().unwrap_or_default());
        Some(Self { status: answer.raw().status().as_u16(), code, message })
    }

    /// Whether there is no such object. Answers to HEAD have no body and so no code.
    pub(super) fn is_absence(&self) -> bool {
        self.code == "NoSuchKey" || (self.status == 404 && matches!(self.code, "" | "NotFound"))
    }

    /// Whether the same request would be answered the same again: it is not known, or not allowed.
    pub(super) fn is_final(&self) -> bool {
        self.status < 500 || self.status == 501
    }

    fn is_full(&self) -> bool {
        // Garage says that access is denied, and only in words why (`check_quotas` of its
        // `put.rs`).
        let quota = self.status == 403 && self.message.contains("quota");
        self.status == 507 || FULL.contains(&self.code) || quota
    }

    fn is_forbidden(&self) -> bool {
        FORBIDDEN.contains(&self.code) || matches!(self.status, 401 | 403)
    }

    /// What it said, in one line.
    pub(super) fn words(&self) -> String {
        let parts = [self.code, self.message]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>();
        if parts.is_empty() { format!("HTTP status {}", self.status) } else { parts.join(": ") }
    }
}

impl Store {
    /// The error of a request about an object or an upload of one.
    pub(super) fn object_error<E>(&self, action: &str, key: &Key, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match Answer::of(error) {
            Some(answer) if answer.is_absence() => Error::NotFound { key: key.clone() },
            Some(answer) if answer.code == "NoSuchUpload" => Error::CutShort { key: key.clone() },
            _ => self.error(format!("{action} {key}"), error),
        }
    }

    /// The error of any other request.
    pub(super) fn error<E>(&self, action: String, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match Answer::of(error) {
            Some(answer) if answer.is_full() => Error::Full,
            answer => {
                Error::Unavailable { action, cause: self.explain(answer.as_ref(), error).into() }
            }
        }
    }

    /// What went wrong, and which setting to look at.
    fn explain<E: StdError + 'static>(
        &self,
        answer: Option<&Answer<'_>>,
        error: &SdkError<E>,
    ) -> String {
        let Self { bucket, endpoint, .. } = self;
        let Some(answer) = answer else {
            return match error {
                SdkError::TimeoutError(_) => {
                    format!(
                        "{endpoint} did not answer in time: is S3_ENDPOINT right, and the store well?"
                    )
                }
                SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                    format!(
                        "{endpoint} did not answer in time: is S3_ENDPOINT right, and the store well?"
                    )
                }
                SdkError::DispatchFailure(_) => {
                    format!(
                        "{endpoint} cannot be reached ({}): is S3_ENDPOINT right, and does the store run?",
                        cause(error)
                    )
                }
                _ => format!(
                    "{endpoint} did not answer as an S3 store does ({}): is S3_ENDPOINT right?",
                    cause(error)
                ),
            };
        };
        let words = answer.words();
        match answer.code {
            "NoSuchBucket" | "InvalidBucketName" => {
                format!(
                    "{endpoint} has no bucket `{bucket}` ({words}): make it, or correct S3_BUCKET"
                )
            }
            "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "PermanentRedirect" => {
                format!("{endpoint} belongs to another region ({words}): correct S3_REGION")
            }
            "RequestTimeTooSkewed" => format!(
                "the clocks of {endpoint} and of this machine differ ({words}): set them right"
            ),
            _ if answer.is_forbidden() => format!(
                "{endpoint} refuses our key ({words}): correct S3_ACCESS_KEY and S3_SECRET_KEY, or let that key read, write, list and \
                 delete in the bucket `{bucket}` (S3_BUCKET)"
            ),
            _ => format!("{endpoint} answered {words} (HTTP status {})", answer.status),
        }
    }
}

/// What lies at the bottom of an error; what lies above only repeats that a request failed.
pub(super) fn cause(error: &dyn StdError) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
