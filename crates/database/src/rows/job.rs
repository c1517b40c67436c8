//! Table `jobs`.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub status: String,
    pub filename: String,
    pub video_format: String,
    pub video_path: String,
    pub video_size_bytes: i64,
    /// [`jobs::StoredRecipe`] as JSON; NULL means the default.
    pub recipe: Option<String>,
    pub zip_path: Option<String>,
    pub zip_size_bytes: Option<i64>,
    pub frame_count: Option<i64>,
    pub complete: Option<bool>,
    /// English texts of the warnings as JSON.
    pub warnings: String,
    pub processing_time_seconds: Option<f64>,
    pub progress_done: i64,
    pub progress_expected: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub attempt: i32,
    pub fence: i64,
    pub worker: Option<String>,
    pub lease_until: Option<Time>,
    pub next_attempt_at: Option<Time>,
    pub traceparent: Option<String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub completed_at: Option<Time>,
    pub expires_at: Time,
    pub files_removed: bool,
    /// Whether the files are being removed, so that the job cannot be queued again.
    pub removing: bool,
    /// Number of failed attempts of which the video may be the cause.
    pub charged: i32,
    /// Time at which the job was announced to workers last; NULL before the second announcement of
    /// a job that a program of an earlier version has accepted.
    pub invited_at: Option<Time>,
    /// Time since which the job waits for a worker. The database computes it.
    pub waiting_since: Option<Time>,
    /// Round in which the job is claimed; 0 if a program of an earlier version has accepted it.
    pub round: i64,
    /// Bytes that the running attempt has reserved for its archive. Without meaning otherwise.
    pub reserved_bytes: i64,
    /// Address of a video that workers fetch, without its query; NULL if it was uploaded.
    pub source_url: Option<String>,
    /// Query of that address, which may be a secret. Removed with the files.
    pub source_query: Option<String>,
    /// Size of the video there, once it is known.
    pub source_size_bytes: Option<i64>,
    /// `ETag` or `Last-Modified` of the version that was read last.
    pub source_validator: Option<String>,
    /// [`jobs::Warning`]s as JSON, in the order of their texts; NULL if there is no archive, or
    /// a program of an earlier version has finished the job.
    pub warning_details: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
