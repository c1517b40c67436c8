//! Previews: small copies of the frames of a job that is being processed.

use std::collections::BTreeMap;
use std::sync::Arc;

use database::Job;
use jobs::UserId;
use poem::Body;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param;
use poem_openapi::payload::{Binary, Json};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::{Key, PreviewName};
use uuid::Uuid;

use crate::examples;
use crate::open_archive::THINGS;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::own_job;
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;

/// Maximum size of a preview in bytes. Workers store smaller ones.
const MAX_BYTES: u64 = 64 << 10;

/// Frame of which there is a preview.
#[derive(Object)]
#[oai(rename = "Preview", example)]
struct PreviewView {
    /// Number of the frame.
    number: u64,
    /// Presentation timestamp in seconds from the start of the video, to the millisecond.
    timestamp_s: f64,
}

impl From<PreviewName> for PreviewView {
    fn from(name: PreviewName) -> Self {
        Self { number: name.number, timestamp_s: name.milliseconds as f64 / 1000.0 }
    }
}

impl Example for PreviewView {
    fn example() -> Self {
        Self { number: 12, timestamp_s: 11.467 }
    }
}

/// Previews of a job that is being processed.
#[derive(Object)]
#[oai(rename = "PreviewList", example)]
struct PreviewListView {
    /// Id of the job.
    job_id: Uuid,
    /// At most 64 frames, in ascending order of their numbers. Earlier ones make room for later
    /// ones.
    previews: Vec<PreviewView>,
}

impl Example for PreviewListView {
    fn example() -> Self {
        Self { job_id: examples::JOB_ID, previews: vec![PreviewView::example()] }
    }
}

#[derive(ApiResponse)]
enum PreviewListResponse {
    /// Frames of which there are previews.
    #[oai(status = 200)]
    List(Json<PreviewListView>),
}

#[derive(ApiResponse)]
enum PreviewResponse {
    /// The preview.
    #[oai(status = 200, content_type = "image/jpeg")]
    Preview(Binary<Body>),
}

problem_responses! {
    PreviewListProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has ended.", JOB_NOT_FOUND PREVIEWS_ENDED;
        429: "Too many frames of the user are read at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    PreviewProblems {
        400: "A parameter is malformed or out of range.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist or has ended, or there is no preview with this number.",
            JOB_NOT_FOUND PREVIEWS_ENDED PREVIEW_NOT_FOUND;
        429: "Too many frames of the user are read at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operations on previews.
pub struct Previews;

#[OpenApi(tag = "Tag::Videos")]
impl Previews {
    /// List previews
    ///
    /// Returns the frames of which there are small copies while the job is being processed. Jobs
    /// that take about a second have none. When the job ends, its previews are deleted.
    #[oai(path = "/jobs/:id/previews", method = "get", operation_id = "listPreviews")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: param::Path<Uuid>,
    ) -> Result<PreviewListResponse, OperationError<PreviewListProblems>> {
        let _slot = service.reads.acquire(caller.user, THINGS)?;
        let job = running_job(&service, caller.user, id.0).await?;
        let stored = stored_previews(&service, &job).await?;
        let previews = stored.keys().copied().map(Into::into).collect();
        Ok(PreviewListResponse::List(Json(PreviewListView { job_id: id.0, previews })))
    }

    /// Get a preview
    ///
    /// Returns a small copy of a frame, at most 320 pixels wide and high, while the job is being
    /// processed.
    #[oai(path = "/jobs/:id/previews/:number", method = "get", operation_id = "getPreview")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: param::Path<Uuid>,
        /// Number of the frame.
        #[oai(validator(minimum(value = "1"), maximum(value = "4294967295")))]
        number: param::Path<u64>,
    ) -> Result<PreviewResponse, OperationError<PreviewProblems>> {
        let _slot = service.reads.acquire(caller.user, THINGS)?;
        let job = running_job(&service, caller.user, id.0).await?;
        let mut stored = stored_previews(&service, &job).await?.into_iter();
        let (_, (key, size)) =
            stored.find(|(name, _)| name.number == number.0).ok_or_else(not_found)?;
        // The preview may make room for another one, or the job may end, at any moment.
        let bytes = match service.parts.storage.read(&key, 0..size).await {
            Err(storage::Error::NotFound { .. }) => return Err(not_found().into()),
            read => read.map_err(Problem::from)?,
        };
        Ok(PreviewResponse::Preview(Binary(bytes.into())))
    }
}

/// Job of a user that has not ended.
async fn running_job(service: &Service, user: UserId, id: Uuid) -> Result<Job, Problem> {
    let job = own_job(service, user, id).await?;
    if job.state.is_final() {
        let detail = format!("The job is {}; previews exist until it ends.", job.state);
        return Err(Problem::new(StatusCode::NOT_FOUND, "PREVIEWS_ENDED", detail));
    }
    Ok(job)
}

/// Previews of the latest attempt at a job by their frames, with their keys and sizes.
async fn stored_previews(
    service: &Service,
    job: &Job,
) -> Result<BTreeMap<PreviewName, (Key, u64)>, Problem> {
    let prefix = Key::previews_prefix(job.user_id, job.id);
    let objects = service.parts.storage.list(&prefix, None).await?;
    let named = objects.into_iter().filter_map(|object| {
        let name = object.key.as_preview()?;
        let is_current = name.fence == job.fence && object.size <= MAX_BYTES;
        is_current.then_some((name, (object.key, object.size)))
    });
    Ok(named.collect())
}

fn not_found() -> Problem {
    let detail = "There is no preview with this number now.";
    Problem::new(StatusCode::NOT_FOUND, "PREVIEW_NOT_FOUND", detail)
}
