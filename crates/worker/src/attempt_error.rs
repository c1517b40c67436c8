//! Errors of attempts.

use std::io;

use jobs::FailureCode;

use crate::archive_quota::QuotaExceeded;

/// Reason why an attempt produced no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttemptError {
    /// Code that the user sees.
    pub code: FailureCode,
    /// Cause, for the job's history and the log.
    pub message: String,
}

impl AttemptError {
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The reason that an error of a reader or a writer of this crate contains.
    pub(crate) fn within(error: &io::Error) -> Option<Self> {
        let cause = error.get_ref()?;
        if let Some(exceeded) = cause.downcast_ref::<QuotaExceeded>() {
            return Some(exceeded.into());
        }
        cause.downcast_ref::<Self>().cloned()
    }

    /// An error of the storage. `message` describes the operation that failed.
    pub(crate) fn storage(message: &str, error: &storage::Error) -> Self {
        Self::new(FailureCode::StorageError, format!("{message}: {error}"))
    }
}

impl From<frames::Error> for AttemptError {
    fn from(error: frames::Error) -> Self {
        let known = match &error {
            frames::Error::Read(cause) | frames::Error::Write(cause) => Self::within(cause),
            _ => None,
        };
        known.unwrap_or_else(|| Self::new(error.code(), error.to_string()))
    }
}

impl From<&QuotaExceeded> for AttemptError {
    fn from(exceeded: &QuotaExceeded) -> Self {
        Self::new(FailureCode::QuotaExceeded, exceeded.to_string())
    }
}
