//! Jobs in responses.

use database::Job;
use database::reading::HistoryEntry;
use jobs::{FailureCode, Language, State, Time};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::examples;
use crate::recipe_view::RecipeView;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "JobStatus", rename_all = "UPPERCASE")]
pub enum Status {
    /// The video is stored.
    Uploaded,
    /// The job is waiting for a worker.
    Queued,
    /// A worker is processing the video, or the job is waiting for another attempt.
    Processing,
    /// The archive is available.
    Done,
    /// Processing failed.
    Failed,
    /// The user cancelled the job.
    Cancelled,
    /// The archive has expired and was deleted.
    Expired,
}

macro_rules! convert_states {
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
convert_states!(Uploaded, Queued, Processing, Done, Failed, Cancelled, Expired);

/// Progress of the current attempt.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
#[oai(example)]
pub struct Progress {
    /// Number of frames that are finished.
    pub done: u64,
    /// Number of frames that are expected, once it is known.
    #[oai(nullable)]
    pub expected: Option<u64>,
}

impl From<&Job> for Progress {
    fn from(job: &Job) -> Self {
        Self { done: job.progress_done, expected: job.progress_expected }
    }
}

impl Example for Progress {
    fn example() -> Self {
        Self { done: examples::FRAME_COUNT, expected: Some(examples::FRAME_COUNT) }
    }
}

/// Job that turns one video into one archive of frames.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Job", example)]
pub struct JobView {
    /// Id of the job.
    pub id: Uuid,
    /// File name of the video.
    pub filename: String,
    /// State of the job.
    pub status: Status,
    /// Progress of the current attempt.
    pub progress: Progress,
    /// Frames that were requested, and their form.
    pub recipe: RecipeView,
    /// Size of the video, in bytes; 0 until that of a video by URL is known.
    pub video_size_bytes: u64,
    /// URL of the video without its query, if it was added by its URL.
    #[oai(nullable)]
    pub source_url: Option<String>,
    /// File name extension of the video.
    pub video_format: String,
    /// Number of frames in the archive.
    #[oai(nullable)]
    pub frame_count: Option<u64>,
    /// Size of the archive, in bytes.
    #[oai(nullable)]
    pub zip_size_bytes: Option<u64>,
    /// Processing time, in seconds.
    #[oai(nullable)]
    pub processing_time_seconds: Option<f64>,
    /// Whether the archive contains every expected frame, decoded without error. The archive's
    /// manifest lists the exceptions.
    #[oai(nullable)]
    pub complete: Option<bool>,
    /// Facts that affect the use of the archive, in the language of the header
    /// `Accept-Language`, else of the account.
    pub warnings: Vec<String>,
    /// Stable codes of the warnings, in their order and in upper snake case. Later versions may add
    /// codes.
    pub warning_codes: Vec<String>,
    /// Stable code of the last attempt's failure, in upper snake case.
    #[oai(nullable)]
    pub error_code: Option<String>,
    /// Explanation of the failure and what to do, in the language of the header
    /// `Accept-Language`, else of the account.
    #[oai(nullable)]
    pub error_message: Option<String>,
    /// Number of attempts after the first.
    pub retry_count: u32,
    /// Earliest start of the next attempt, after a failed one.
    #[oai(nullable)]
    pub next_attempt_at: Option<Time>,
    /// Time at which the video was accepted.
    pub created_at: Time,
    /// Start of the first attempt.
    #[oai(nullable)]
    pub started_at: Option<Time>,
    /// Time at which the job reached a final state.
    #[oai(nullable)]
    pub completed_at: Option<Time>,
    /// Time at which the job's files are deleted.
    pub expires_at: Time,
    /// Whether the archive can be downloaded.
    pub download_available: bool,
}

impl JobView {
    /// View of a job with messages in a language.
    pub fn new(job: Job, language: Language) -> Self {
        let video_size_bytes = job.known_size_bytes();
        let message = |code: FailureCode| code.user_message(language).to_owned();
        Self {
            id: job.id.0,
            status: job.state.into(),
            progress: (&job).into(),
            recipe: (&job.recipe).into(),
            retry_count: job.retry_count(),
            download_available: job.state == State::Done,
            filename: job.filename,
            video_size_bytes,
            source_url: job.source.map(|source| source.url.shown().to_owned()),
            video_format: job.video_format,
            frame_count: job.frame_count,
            zip_size_bytes: job.zip_size_bytes,
            processing_time_seconds: job.processing_time_seconds,
            complete: job.complete,
            warnings: job.warnings.iter().map(|warning| warning.text(language)).collect(),
            warning_codes: job.warnings.iter().map(|warning| warning.code().to_owned()).collect(),
            error_code: job.error_code.map(|code| code.name().to_owned()),
            error_message: job.error_code.map(message),
            next_attempt_at: job.next_attempt_at,
            created_at: job.created_at,
            started_at: job.started_at,
            completed_at: job.completed_at,
            expires_at: job.expires_at,
        }
    }

    /// Example of a cancelled job.
    pub fn cancelled_example() -> Self {
        Self {
            status: Status::Cancelled,
            progress: Progress { done: 12, expected: Some(examples::FRAME_COUNT) },
            frame_count: None,
            zip_size_bytes: None,
            processing_time_seconds: None,
            complete: None,
            download_available: false,
            ..Self::example()
        }
    }
}

impl Example for JobView {
    fn example() -> Self {
        Self {
            id: examples::JOB_ID,
            filename: examples::FILENAME.to_owned(),
            status: Status::Done,
            progress: Progress::example(),
            recipe: RecipeView::example(),
            video_size_bytes: examples::VIDEO_BYTES,
            source_url: None,
            video_format: "mp4".to_owned(),
            frame_count: Some(examples::FRAME_COUNT),
            zip_size_bytes: Some(examples::ARCHIVE_BYTES),
            processing_time_seconds: Some(1.9),
            complete: Some(true),
            warnings: Vec::new(),
            warning_codes: Vec::new(),
            error_code: None,
            error_message: None,
            retry_count: 0,
            next_attempt_at: None,
            created_at: examples::time(0),
            started_at: Some(examples::time(1)),
            completed_at: Some(examples::time(3)),
            expires_at: examples::time(3 + 7 * 24 * 60 * 60),
            download_available: true,
        }
    }
}

/// Change of a job's state.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct StateChange {
    /// State before the change. Absent in the first change.
    #[oai(skip_serializing_if_is_none)]
    pub old_state: Option<Status>,
    /// State after the change.
    pub new_state: Status,
    /// Time of the change.
    pub at: Time,
    /// Number of the attempt, from 1.
    #[oai(nullable)]
    pub attempt: Option<u64>,
    /// Stable code of the attempt's failure, in upper snake case.
    #[oai(nullable)]
    pub error_code: Option<String>,
}

impl From<HistoryEntry> for StateChange {
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

impl StateChange {
    /// Example of a change between these states.
    pub fn example_between(old: Option<Status>, new: Status, seconds: i64) -> Self {
        Self {
            old_state: old,
            new_state: new,
            at: examples::time(seconds),
            attempt: matches!(new, Status::Processing | Status::Done).then_some(1),
            error_code: None,
        }
    }
}

impl Example for StateChange {
    fn example() -> Self {
        Self::example_between(Some(Status::Queued), Status::Processing, 1)
    }
}
