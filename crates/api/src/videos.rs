//! Videos and their jobs: list, add by URL, get, cancel, delete.

use std::sync::Arc;

use database::Job;
use database::reading::Page;
use jobs::{JobId, Language, MEGABYTE, State, UserId};
use poem::Request;
use poem::http::{HeaderMap, StatusCode};
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use tracing::{info, warn};
use uuid::Uuid;

use crate::by_url::{self, ByUrlProblems, VideoByUrl};
use crate::examples;
use crate::input::Input;
use crate::job_view::{JobView, Progress, StateChange, Status};
use crate::language;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::{JobProblems, own_job};
use crate::permissions::{Permitted, VideosRead, VideosWrite};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;
use crate::uploads::{AcceptedResponse, accepted};

#[derive(ApiResponse)]
enum ListResponse {
    /// One page of jobs, newest first.
    #[oai(status = 200)]
    Page(
        Json<Vec<JobView>>,
        /// Path of the next page, as `<path>; rel="next"` (RFC 8288). Absent on the last page.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// Storage that a user uses.
#[derive(Object)]
#[oai(example)]
struct StorageUsage {
    /// Size of the user's videos and archives, in bytes, with what uploads and running jobs have
    /// reserved.
    stored_bytes: u64,
    /// Maximum size, in bytes.
    max_stored_bytes: u64,
}

impl Example for StorageUsage {
    fn example() -> Self {
        Self { stored_bytes: 1_234_567_890, max_stored_bytes: 20_000 * MEGABYTE }
    }
}

#[derive(ApiResponse)]
enum UsageResponse {
    /// The storage.
    #[oai(status = 200)]
    Usage(Json<StorageUsage>),
}

#[derive(ApiResponse)]
enum JobResponse {
    /// The job.
    #[oai(status = 200)]
    Job(Json<JobView>),
}

#[derive(ApiResponse)]
enum StatusResponse {
    /// State and history of the job.
    #[oai(status = 200)]
    Report(Json<JobHistory>),
}

#[derive(ApiResponse)]
#[expect(clippy::large_enum_variant, reason = "a response exists once per request")]
enum DeleteResponse {
    /// The job was queued or running and is cancelled. A running one stops within seconds.
    #[oai(status = 200)]
    Cancelled(Json<JobView>),
    /// The job was finished and is deleted with its files.
    #[oai(status = 204)]
    Deleted,
}

/// What a client means to do with a job: the job may have finished since the client last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Action {
    /// Cancel the job, if it is not finished.
    Cancel,
    /// Delete the job with its files, if it is finished.
    Delete,
}

impl Action {
    /// Reject the action if the state calls for the other one.
    fn check(self, state: State) -> Result<(), Problem> {
        let (code, detail) = match (self, state.is_final()) {
            (Self::Cancel, true) => {
                ("JOB_FINISHED", "The job is already finished, so it was not cancelled.")
            }
            (Self::Delete, false) => {
                ("JOB_NOT_FINISHED", "The job is not finished, so it was not deleted.")
            }
            _ => return Ok(()),
        };
        Err(Problem::new(StatusCode::CONFLICT, code, detail))
    }
}

/// State and history of a job.
#[derive(Object)]
#[oai(example)]
struct JobHistory {
    /// Id of the job.
    job_id: Uuid,
    /// State of the job.
    status: Status,
    /// Progress of the current attempt.
    progress: Progress,
    /// Changes of the state, oldest first.
    history: Vec<StateChange>,
}

impl Example for JobHistory {
    fn example() -> Self {
        let change = StateChange::example_between;
        Self {
            job_id: examples::JOB_ID,
            status: Status::Done,
            progress: Progress::example(),
            history: vec![
                change(None, Status::Uploaded, 0),
                change(Some(Status::Uploaded), Status::Queued, 0),
                change(Some(Status::Queued), Status::Processing, 1),
                change(Some(Status::Processing), Status::Done, 3),
            ],
        }
    }
}

problem_responses! {
    ListProblems {
        400: "A parameter is malformed or out of range.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    UsageProblems {
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The API key lacks the scope.", KEY_SCOPE_MISSING;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    DeleteProblems {
        400: "Malformed id or action.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        409: "The state of the job rules out the action, or changed during the request.",
            JOB_FINISHED JOB_NOT_FINISHED JOB_CHANGED;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on videos and their jobs.
pub struct Videos;

#[OpenApi(tag = "Tag::Videos")]
impl Videos {
    /// List videos
    ///
    /// Returns the jobs of the user's videos, newest first, in pages.
    #[oai(path = "/videos", method = "get", operation_id = "listVideos")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        caller: Permitted<VideosRead>,
        /// State of the jobs to list. Default: all.
        status: Query<Option<Status>>,
        /// Maximum number of jobs on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u64>,
        /// Id of a job: only older ones are listed. The `Link` header of a page contains the
        /// cursor of the next.
        cursor: Query<Option<Uuid>>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let state = status.0.map(Into::into);
        // One more than requested shows whether there is another page.
        let page = Page { state, older_than: cursor.0.map(JobId), limit: limit.0 + 1 };
        let mut jobs = service.database().list_jobs(caller.user, &page).await?;
        let has_more = jobs.len() as u64 > limit.0;
        jobs.truncate(limit.0 as usize);
        let link = jobs.last().filter(|_| has_more).map(|last| {
            let filter = state.map(|state| format!("status={state}&")).unwrap_or_default();
            format!("</videos?{filter}limit={}&cursor={}>; rel=\"next\"", limit.0, last.id)
        });
        let language = message_language(&service, headers, caller.user).await?;
        let jobs = jobs.into_iter().map(|job| JobView::new(job, language)).collect();
        Ok(ListResponse::Page(Json(jobs), link))
    }

    /// Add a video by its URL
    ///
    /// Creates a job of a video that a worker reads at its URL: only the parts that the recipe
    /// needs, if the server has ranges and an `ETag` or `Last-Modified`, else as a whole. The video
    /// must not change meanwhile. A few redirects are followed. Only a video that is read as a
    /// whole is stored, and counts for the quota. The job fails with `SOURCE_UNREACHABLE`,
    /// `SOURCE_REFUSED`, `SOURCE_TOO_LARGE` or `SOURCE_CHANGED` if the video cannot be read.
    /// `GET /videos/upload` states whether the service offers this.
    #[oai(path = "/videos", method = "post", operation_id = "addVideoByUrl")]
    async fn add(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Key that the client chooses for this request, of 1 to 255 characters, as for an upload.
        /// Repeating the request with the same key within 24 hours returns the job of the first
        /// one instead of creating another. URL, file name and recipe have to be the same.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        body: Input<VideoByUrl>,
    ) -> Result<AcceptedResponse, OperationError<ByUrlProblems>> {
        let key = idempotency_key.0;
        let jobs = by_url::create(&service, request, caller.user, key, body.0).await?;
        Ok(accepted(jobs)?)
    }

    /// Get the storage used
    ///
    /// Returns the size of the user's videos and archives, and its limit.
    #[oai(path = "/videos/usage", method = "get", operation_id = "getStorageUsage")]
    async fn usage(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
    ) -> Result<UsageResponse, OperationError<UsageProblems>> {
        let usage = service.database().usage(caller.user).await?;
        Ok(UsageResponse::Usage(Json(StorageUsage {
            stored_bytes: usage.stored_bytes,
            max_stored_bytes: service.database().rules().quotas.stored_bytes,
        })))
    }

    /// Get a video
    ///
    /// Returns the job of a video.
    #[oai(path = "/videos/:id", method = "get", operation_id = "getVideo")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
    ) -> Result<JobResponse, OperationError<JobProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let language = message_language(&service, headers, caller.user).await?;
        Ok(JobResponse::Job(Json(JobView::new(job, language))))
    }

    /// Cancel or delete a video
    ///
    /// Cancels a job that is queued or running. Deletes a finished job with its files. With
    /// `action`, a job that has finished meanwhile is not deleted by a request to cancel it.
    #[oai(path = "/videos/:id", method = "delete", operation_id = "deleteVideo")]
    async fn delete(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        caller: Permitted<VideosWrite>,
        /// Id of the job.
        id: Path<Uuid>,
        /// Action to perform: the request fails if the state of the job calls for the other one.
        /// Default: the one that the state calls for.
        action: Query<Option<Action>>,
    ) -> Result<DeleteResponse, OperationError<DeleteProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        if let Some(action) = action.0 {
            action.check(job.state)?;
        }
        if job.state.is_final() {
            if service.database().delete(job.id).await? {
                delete_files(&service, &job).await;
                info!(
                    job_id = %job.id,
                    user_id = %job.user_id,
                    trace_id = job.trace_id(),
                    "a job was deleted"
                );
                return Ok(DeleteResponse::Deleted);
            }
        } else if let Some(job) = cancel(&service, &job).await? {
            info!(
                job_id = %job.id,
                user_id = %job.user_id,
                trace_id = job.trace_id(),
                "a job was cancelled"
            );
            let language = message_language(&service, headers, caller.user).await?;
            return Ok(DeleteResponse::Cancelled(Json(JobView::new(job, language))));
        }
        let detail = "The state of the job changed during the request. Get the job and retry.";
        Err(Problem::new(StatusCode::CONFLICT, "JOB_CHANGED", detail).into())
    }

    /// Get a job's status and history
    ///
    /// Returns the state of a job, its progress and the changes of its state.
    #[oai(path = "/jobs/:id/status", method = "get", operation_id = "getJobStatus")]
    async fn status(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
    ) -> Result<StatusResponse, OperationError<JobProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let history = service.database().history(job.id).await?;
        Ok(StatusResponse::Report(Json(JobHistory {
            job_id: job.id.0,
            status: job.state.into(),
            progress: (&job).into(),
            history: history.into_iter().map(Into::into).collect(),
        })))
    }
}

fn default_limit() -> u64 {
    20
}

/// Cancel a job that is not finished. Returns `None` if its state changed meanwhile.
async fn cancel(service: &Service, job: &Job) -> Result<Option<Job>, Problem> {
    let cancelled = service.database().cancel(job.id, job.state).await?;
    if cancelled.is_none() && job.state == State::Queued {
        // A worker may have started the job meanwhile. The user wants to cancel it nevertheless.
        return Ok(service.database().cancel(job.id, State::Processing).await?);
    }
    Ok(cancelled)
}

/// Language of messages: that of the request, else of the account.
async fn message_language(
    service: &Service,
    headers: &HeaderMap,
    user: UserId,
) -> Result<Language, Problem> {
    if let Some(language) = language::accepted(headers) {
        return Ok(language);
    }
    Ok(service.database().user(user).await?.map(|user| user.language).unwrap_or_default())
}

/// Delete the files of a deleted job. The sweep deletes what remains after an error.
async fn delete_files(service: &Service, job: &Job) {
    let deleted = storage::delete_job_files(&*service.parts.storage, job.user_id, job.id).await;
    if let Err(error) = deleted {
        warn!(
            job_id = %job.id,
            %error,
            "the files of a deleted job could not be deleted; the sweep will delete them"
        );
    }
}
