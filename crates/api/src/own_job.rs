//! Access to the jobs of a user.

use database::Job;
use jobs::{JobId, UserId};
use poem::http::StatusCode;
use uuid::Uuid;

use crate::operation_error::problem_responses;
use crate::problem::Problem;
use crate::service::Service;

problem_responses! {
    /// Problems of operations that read a job.
    JobProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "The job belongs to another user.", NOT_YOUR_JOB;
        404: "The job does not exist.", JOB_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Job with this id, if it belongs to the user.
pub async fn own_job(service: &Service, user: UserId, id: Uuid) -> Result<Job, Problem> {
    let job = service.database().job(JobId(id)).await?.ok_or_else(Problem::job_not_found)?;
    if job.user_id != user {
        let detail = "The job belongs to another user.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "NOT_YOUR_JOB", detail));
    }
    Ok(job)
}
