//! Access to the jobs of a user.

use database::Job;
use jobs::{JobId, State, Time, UserId};
use poem::http::StatusCode;
use storage::Key;
use tracing::warn;
use uuid::Uuid;

use crate::operation_error::problem_responses;
use crate::problem::Problem;
use crate::service::Service;

problem_responses! {
    /// Problems of operations that read a job.
    JobProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Job with this id, if it belongs to the user.
pub async fn own_job(service: &Service, user: UserId, id: Uuid) -> Result<Job, Problem> {
    let job = service.database().job(JobId(id)).await?.ok_or_else(Problem::job_not_found)?;
    if job.user_id != user {
        let event = "access_denied";
        warn!(security_event = event, job_id = %job.id, "a job of another user was requested");
        let detail = "The job belongs to another user.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "NOT_YOUR_JOB", detail));
    }
    Ok(job)
}

/// Key of the video of a job.
///
/// # Errors
/// The retention period of the job has ended.
pub fn stored_video(job: &Job, now: Time) -> Result<Key, Problem> {
    if job.state == State::Expired || job.state.is_final() && job.expires_at <= now {
        return Err(not_stored());
    }
    let path = &job.video_path;
    path.parse().map_err(|_| Problem::internal(&format_args!("`{path}` is not the key of a video")))
}

/// Problem of a video that is not stored anymore.
pub fn not_stored() -> Problem {
    let detail = "The video is not stored anymore. Upload it again.";
    Problem::new(StatusCode::GONE, "VIDEO_EXPIRED", detail)
}
