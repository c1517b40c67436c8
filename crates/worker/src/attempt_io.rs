//! Inputs, limits and results of one attempt.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use frames::Report;
use jobs::{FailureCode, Recipe};
use storage::{Object, Storage, Upload};

use crate::archive_quota::{ArchiveQuota, QuotaExceeded};
use crate::engine::EngineLimits;
use crate::progress::SharedProgress;

/// Input and output of an attempt.
pub(crate) struct AttemptIo {
    pub storage: Arc<dyn Storage>,
    pub video: Object,
    pub recipe: Recipe,
    /// Upload of the archive. [`ExtractedArchive`] returns it, not yet completed.
    pub upload: Box<dyn Upload>,
    /// Storage that the archive may use.
    pub quota: ArchiveQuota,
    pub progress: Arc<SharedProgress>,
}

/// Limits of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptLimits {
    pub deadline: Instant,
    pub threads: NonZeroUsize,
    pub engine: EngineLimits,
    /// Maximum memory of a cell, in bytes. An attempt in the worker's own process has no limit.
    pub memory_bytes: u64,
}

/// An archive that was written completely and whose upload is not completed yet.
pub(crate) struct ExtractedArchive {
    pub report: Report,
    pub upload: Box<dyn Upload>,
}

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

    /// An error of the storage. `message` describes the operation that failed.
    pub(crate) fn storage(message: &str, error: &storage::Error) -> Self {
        Self::new(FailureCode::StorageError, format!("{message}: {error}"))
    }
}

impl From<frames::Error> for AttemptError {
    fn from(error: frames::Error) -> Self {
        if let frames::Error::Write(cause) = &error
            && let Some(exceeded) = cause.get_ref().and_then(|cause| cause.downcast_ref())
        {
            let exceeded: &QuotaExceeded = exceeded;
            return Self::new(FailureCode::QuotaExceeded, exceeded.to_string());
        }
        Self::new(error.code(), error.to_string())
    }
}
