//! Jobs as their owners see them.

use database::Job;
use database::reading::HistoryEntry;
use jobs::{FailureCode, Language, State, Time};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "UPPERCASE")]
pub enum Status {
    /// The video is stored.
    Uploaded,
    /// The job waits for a worker.
    Queued,
    /// A worker has the job, or it waits for another attempt.
    Processing,
    /// The archive can be downloaded.
    Done,
    /// There will be no archive.
    Failed,
    /// You cancelled it.
    Cancelled,
    /// There was an archive; its time is over.
    Expired,
}

macro_rules! same {
    ($($variant:ident),*) => {
        impl From<State> for Status {
            fn from(state: State) -> Self {
                match state { $(State::$variant => Self::$variant,)* }
            }
        }

        impl From<Status> for State {
            fn from(status: Status) -> Self {
                match status { $(Status::$variant => Self::$variant,)* }
            }
        }
    };
}
same!(Uploaded, Queued, Processing, Done, Failed, Cancelled, Expired);

/// How far the current attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
pub struct Progress {
    /// Pictures done.
    pub done: u64,
    /// Pictures that the video promises, once that is known.
    #[oai(nullable)]
    pub expected: Option<u64>,
}

/// A job: one video on its way to one archive.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Job")]
pub struct JobView {
    /// The job's id.
    pub id: Uuid,
    /// The video's name.
    pub filename: String,
    /// Where the job stands.
    pub status: Status,
    /// How far the current attempt is.
    pub progress: Progress,
    /// Bytes of the video.
    pub video_size_bytes: u64,
    /// Suffix of the video.
    pub video_format: String,
    /// Pictures in the archive.
    #[oai(nullable)]
    pub frame_count: Option<u64>,
    /// Bytes of the archive.
    #[oai(nullable)]
    pub zip_size_bytes: Option<u64>,
    /// Seconds that the processing took.
    #[oai(nullable)]
    pub processing_time_seconds: Option<f64>,
    /// Whether every picture that the video promises is in the archive, undamaged. The archive's
    /// manifest names what is not.
    #[oai(nullable)]
    pub complete: Option<bool>,
    /// What a careful user should know of the archive.
    pub warnings: Vec<String>,
    /// Why the last attempt failed: a stable name.
    #[oai(nullable)]
    pub error_code: Option<String>,
    /// The same in words, and what to do, in the language that the request asks for, else the
    /// user's.
    #[oai(nullable)]
    pub error_message: Option<String>,
    /// Attempts after the first.
    pub retry_count: u32,
    /// When the next attempt may begin, if one failed.
    #[oai(nullable)]
    pub next_attempt_at: Option<Time>,
    /// When the video was accepted.
    pub created_at: Time,
    /// When the first attempt began.
    #[oai(nullable)]
    pub started_at: Option<Time>,
    /// When the job reached its end.
    #[oai(nullable)]
    pub completed_at: Option<Time>,
    /// Until when files are kept.
    pub expires_at: Time,
    /// Whether the archive can be downloaded now.
    pub download_available: bool,
}

impl JobView {
    /// A job, told in a language.
    pub fn new(job: Job, language: Language) -> Self {
        Self {
            id: job.id.0,
            status: job.state.into(),
            progress: Progress { done: job.progress_done, expected: job.progress_expected },
            retry_count: job.retry_count(),
            download_available: job.state == State::Done,
            filename: job.filename,
            video_size_bytes: job.video_size_bytes,
            video_format: job.video_format,
            frame_count: job.frame_count,
            zip_size_bytes: job.zip_size_bytes,
            processing_time_seconds: job.processing_time_seconds,
            complete: job.complete,
            warnings: job.warnings,
            error_code: job.error_code.map(|code| code.name().to_owned()),
            error_message: job
                .error_code
                .map(|code: FailureCode| code.user_message(language).to_owned()),
            next_attempt_at: job.next_attempt_at,
            created_at: job.created_at,
            started_at: job.started_at,
            completed_at: job.completed_at,
            expires_at: job.expires_at,
        }
    }
}

/// A line of a job's history.
#[derive(Debug, Clone, Object)]
pub struct HistoryLine {
    /// The state before; absent in the first line.
    #[oai(skip_serializing_if_is_none)]
    pub old_state: Option<Status>,
    /// The state after.
    pub new_state: Status,
    /// When it happened.
    pub at: Time,
    /// Which attempt it belongs to, counted from 1.
    #[oai(nullable)]
    pub attempt: Option<u64>,
    /// Why the attempt failed.
    #[oai(nullable)]
    pub error_code: Option<String>,
}

impl From<HistoryEntry> for HistoryLine {
    fn from(change: HistoryEntry) -> Self {
        Self {
            old_state: change.old_state.map(Into::into),
            new_state: change.new_state.into(),
            at: change.at,
            attempt: change.metadata["attempt"].as_u64(),
            error_code: change.metadata["error_code"].as_str().map(str::to_owned),
        }
    }
}
