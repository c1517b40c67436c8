//! What became of the videos: list, look, cancel, delete.

use std::sync::Arc;

use database::Job;
use database::reading::Page;
use jobs::{JobId, Language, State, UserId};
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::Key;
use tracing::{info, warn};
use uuid::Uuid;

use crate::Service;
use crate::accounts::{Group, LoggedIn};
use crate::problem::{Problem, Refusal, refusals};
use crate::views::{HistoryLine, JobView, Progress, Status};

#[derive(ApiResponse)]
enum Listed {
    /// The jobs, newest first.
    #[oai(status = 200)]
    Page(
        Json<Vec<JobView>>,
        /// Where the next page is, as `<...>; rel="next"` (RFC 8288); absent on the last.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The job.
    #[oai(status = 200)]
    Job(Json<JobView>),
}

#[derive(ApiResponse)]
enum Reported {
    /// Where the job stands and how it got there.
    #[oai(status = 200)]
    Report(Json<StatusReport>),
}

#[derive(ApiResponse)]
#[expect(clippy::large_enum_variant, reason = "there is one for each answer, for a moment")]
enum Removed {
    /// The job was waiting or running, and is cancelled. A running one stops within seconds.
    #[oai(status = 200)]
    Cancelled(Json<JobView>),
    /// The job was over, and is deleted with its files.
    #[oai(status = 204)]
    Deleted,
}

/// Where a job stands and how it got there.
#[derive(Object)]
struct StatusReport {
    /// The job's id.
    job_id: Uuid,
    /// Where the job stands.
    status: Status,
    /// How far the current attempt is.
    progress: Progress,
    /// What happened so far, oldest first.
    history: Vec<HistoryLine>,
}

refusals! {
    /// Of the operations that name a job.
    JobRefusals {
        400: "The id is none.",
        401: "The access token is missing, wrong or expired.",
        403: "The job is somebody else's.",
        404: "There is no such job.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    ListRefusals {
        400: "A parameter is wrong.",
        401: "The access token is missing, wrong or expired.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
    RemoveRefusals {
        400: "The id is none.",
        401: "The access token is missing, wrong or expired.",
        403: "The job is somebody else's.",
        404: "There is no such job.",
        409: "The job changed its state at this moment; look again.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
}

/// The operations on jobs.
pub struct Videos;

#[OpenApi(tag = "Group::Videos")]
impl Videos {
    /// List jobs
    #[oai(path = "/videos", method = "get")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        user: LoggedIn,
        /// Only jobs that stand here.
        status: Query<Option<Status>>,
        /// Jobs on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u64>,
        /// Only jobs older than this one; the Link header of a page has that of the next.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Listed, Refusal<ListRefusals>> {
        let state = status.0.map(Into::into);
        // One more than asked for tells whether there is another page.
        let page = Page { state, older_than: cursor.0.map(JobId), limit: limit.0 + 1 };
        let mut jobs = service.database().list_jobs(user.0, &page).await?;
        let more = jobs.len() as u64 > limit.0;
        jobs.truncate(limit.0 as usize);
        let link = jobs.last().filter(|_| more).map(|last| {
            let filter = state.map(|state| format!("status={state}&")).unwrap_or_default();
            format!("</videos?{filter}limit={}&cursor={}>; rel=\"next\"", limit.0, last.id)
        });
        let language = language(&service, headers, user.0).await?;
        Ok(Listed::Page(
            Json(jobs.into_iter().map(|job| JobView::new(job, language)).collect()),
            link,
        ))
    }

    /// Look at a job
    #[oai(path = "/videos/:id", method = "get")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
    ) -> Result<Found, Refusal<JobRefusals>> {
        let job = own_job(&service, user.0, id.0).await?;
        Ok(Found::Job(Json(JobView::new(job, language(&service, headers, user.0).await?))))
    }

    /// Cancel or delete a job
    ///
    /// A job that waits or runs is cancelled; a job that is over is deleted with its files.
    #[oai(path = "/videos/:id", method = "delete")]
    async fn remove(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
    ) -> Result<Removed, Refusal<RemoveRefusals>> {
        let job = own_job(&service, user.0, id.0).await?;
        if job.state.is_final() {
            if service.database().delete(job.id).await? {
                remove_files(&service, &job).await;
                info!(job_id = %job.id, user_id = %job.user_id, trace_id = job.trace_id(), "a job was deleted");
                return Ok(Removed::Deleted);
            }
        } else {
            let mut cancelled = service.database().cancel(job.id, job.state).await?;
            if cancelled.is_none() && job.state == State::Queued {
                // Who cancels a job that waits means it, too, if a worker begins at this moment.
                cancelled = service.database().cancel(job.id, State::Processing).await?;
            }
            if let Some(job) = cancelled {
                info!(job_id = %job.id, user_id = %job.user_id, trace_id = job.trace_id(), "a job was cancelled");
                return Ok(Removed::Cancelled(Json(JobView::new(
                    job,
                    language(&service, headers, user.0).await?,
                ))));
            }
        }
        let detail = "The job changed its state at this moment. Look at it and decide again.";
        Err(Problem::new(StatusCode::CONFLICT, "JOB_CHANGED", detail).into())
    }

    /// Follow a job's history
    #[oai(path = "/jobs/:id/status", method = "get")]
    async fn status(
        &self,
        service: Data<&Arc<Service>>,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
    ) -> Result<Reported, Refusal<JobRefusals>> {
        let job = own_job(&service, user.0, id.0).await?;
        let history = service.database().history(job.id).await?;
        Ok(Reported::Report(Json(StatusReport {
            job_id: job.id.0,
            status: job.state.into(),
            progress: Progress { done: job.progress_done, expected: job.progress_expected },
            history: history.into_iter().map(Into::into).collect(),
        })))
    }
}

fn default_limit() -> u64 {
    20
}

/// A job, if it is this user's.
pub async fn own_job(service: &Service, user: UserId, id: Uuid) -> Result<Job, Problem> {
    let job = service.database().job(JobId(id)).await?.ok_or_else(Problem::no_such_job)?;
    if job.user_id != user {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "NOT_YOUR_JOB",
            "This job is somebody else's.",
        ));
    }
    Ok(job)
}

/// The language in which a user is spoken to: the one that the request asks for (RFC 9110, 12.5.4),
/// else that of the account.
async fn language(
    service: &Service,
    headers: &HeaderMap,
    user: UserId,
) -> Result<Language, Problem> {
    if let Some(asked) = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| Language::from_accept_language(value.to_str().ok()?))
    {
        return Ok(asked);
    }
    Ok(service.database().user(user).await?.map(|user| user.language).unwrap_or_default())
}

/// Remove the files of a deleted job. What cannot be removed now is nobody's, and goes with the
/// next sweep.
async fn remove_files(service: &Service, job: &Job) {
    let removed = async {
        for object in
            service.parts.storage.list(&Key::job_prefix(job.user_id, job.id), None).await?
        {
            service.parts.storage.delete(&object.key).await?;
        }
        Ok::<_, storage::Error>(())
    };
    if let Err(error) = removed.await {
        warn!(job_id = %job.id, %error, "the files of a deleted job could not be removed; the sweep will");
    }
}
