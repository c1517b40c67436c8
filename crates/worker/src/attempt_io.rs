//! Inputs, limits and results of one attempt.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use frames::Report;
use jobs::Recipe;
use storage::Upload;

use crate::archive_quota::ArchiveQuota;
use crate::engine::EngineLimits;
use crate::previews::PreviewSender;
use crate::progress::SharedProgress;
use crate::video_input::VideoInput;

/// Input and output of an attempt.
pub(crate) struct AttemptIo {
    pub video: VideoInput,
    pub recipe: Recipe,
    /// Upload of the archive. [`ExtractedArchive`] returns it, not yet completed.
    pub upload: Box<dyn Upload>,
    /// Storage that the archive may use.
    pub quota: ArchiveQuota,
    pub progress: Arc<SharedProgress>,
    pub previews: PreviewSender,
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
