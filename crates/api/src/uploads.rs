//! Upload of videos.

use std::sync::Arc;

use database::Job;
use database::accept::{Accepted, IdempotencyKey, Video};
use jobs::{MEGABYTE, UserId, VideoFormat};
use poem::Request;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use crate::client;
use crate::confirmation::check_confirmed;
use crate::examples;
use crate::fingerprints;
use crate::job_view::Status;
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{Permitted, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::quotas;
use crate::receive::{self, Form};
use crate::service::Service;
use crate::tags::Tag;
use crate::upload_records::{UploadRecords, took_too_long};
use crate::upload_slots::UploadSlot;

/// Accepted video.
#[derive(Object)]
#[oai(example)]
pub struct AcceptedVideo {
    /// Id of the job.
    job_id: Uuid,
    /// File name of the video.
    filename: String,
    /// State of the job.
    status: Status,
}

impl Example for AcceptedVideo {
    fn example() -> Self {
        Self {
            job_id: examples::JOB_ID,
            filename: examples::FILENAME.to_owned(),
            status: Status::Queued,
        }
    }
}

/// Accepted videos of an upload.
#[derive(Object)]
#[oai(example)]
pub struct AcceptedUpload {
    /// Id of the first job.
    job_id: Uuid,
    /// State of the first job.
    status: Status,
    /// All jobs, in the order of the videos.
    jobs: Vec<AcceptedVideo>,
}

impl Example for AcceptedUpload {
    fn example() -> Self {
        Self {
            job_id: examples::JOB_ID,
            status: Status::Queued,
            jobs: vec![AcceptedVideo::example()],
        }
    }
}

/// Limits of an upload.
#[derive(Object)]
#[oai(example)]
struct UploadLimits {
    /// File name extensions of the supported video formats.
    suffixes: Vec<String>,
    /// Maximum size of a video, in bytes.
    max_video_bytes: u64,
    /// Maximum number of videos in one upload.
    max_videos: u64,
    /// Whether videos can also be added by their URLs.
    by_url: bool,
    /// Whether videos can also be sent to the file store directly.
    direct: bool,
}

impl UploadLimits {
    fn new(max_video_bytes: u64, by_url: bool, direct: bool) -> Self {
        let suffixes = VideoFormat::ALL.map(|format| format!(".{}", format.suffix())).to_vec();
        let max_videos = receive::MAX_FILES as u64;
        Self { suffixes, max_video_bytes, max_videos, by_url, direct }
    }
}

impl Example for UploadLimits {
    fn example() -> Self {
        Self::new(500 * MEGABYTE, true, true)
    }
}

#[derive(ApiResponse)]
enum LimitsResponse {
    /// Limits of an upload.
    #[oai(status = 200)]
    Limits(Json<UploadLimits>),
}

/// Response for accepted videos.
#[derive(ApiResponse)]
pub enum AcceptedResponse {
    /// All videos are stored and queued.
    #[oai(status = 202)]
    Accepted(
        Json<AcceptedUpload>,
        /// Path of the first job.
        #[oai(header = "Location")]
        String,
    ),
}

problem_responses! {
    UploadProblems {
        400: "Malformed form, interrupted upload or invalid header.",
            UPLOAD_BROKEN INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The e-mail address of the user is not confirmed, or the API key lacks the scope.",
            ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING;
        408: "The upload stalled, was too slow, or took longer than 12 hours.",
            UPLOAD_STALLED UPLOAD_TOO_SLOW UPLOAD_DISPLACED UPLOAD_TOO_LONG;
        409: "The idempotency key was used for an upload whose jobs are deleted.",
            IDEMPOTENCY_KEY_USED;
        413: "A video is too large, or there are too many videos or other parts.",
            VIDEO_TOO_LARGE TOO_MANY_FILES FIELDS_TOO_LARGE;
        415: "Not multipart/form-data, or not a supported video format.",
            UNSUPPORTED_FORMAT CONTENT_MISMATCH UNSUPPORTED_MEDIA_TYPE;
        422: "The form contains no video, an empty one, or an invalid recipe, or the idempotency \
              key was used for another request.",
            INVALID_FIELDS IDEMPOTENCY_KEY_REUSED,
            FieldExample::new("file", "EMPTY_FILE", "The file `beach.mp4` is empty.");
        429: "Too many uploads in progress, jobs queued or running, or jobs within an hour.",
            TOO_MANY_UPLOADS TOO_MANY_JOBS TOO_MANY_JOBS_PER_HOUR;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full, or the quota of the user is used up.",
            STORAGE_FULL QUOTA_EXCEEDED;
    }
}

/// Operations on uploads.
pub struct Uploads;

#[OpenApi(tag = "Tag::Videos")]
impl Uploads {
    /// Get upload limits
    ///
    /// Returns the supported formats and the limits of an upload, for checks before it is sent.
    #[oai(path = "/videos/upload", method = "get", operation_id = "getUploadLimits")]
    #[expect(clippy::unused_async, reason = "operations must be async")]
    async fn limits(&self, service: Data<&Arc<Service>>) -> LimitsResponse {
        let by_url = service.settings.video_targets.is_some();
        let direct = service.parts.storage.direct_uploads().is_some();
        let max_bytes = service.settings.max_video_bytes;
        LimitsResponse::Limits(Json(UploadLimits::new(max_bytes, by_url, direct)))
    }

    /// Upload videos
    ///
    /// Accepts one or more parts with videos of the formats .mp4 .avi .mov .mkv .wmv .flv and
    /// .webm. Each part with a file name is a video, whatever the name of the part is; `file` is
    /// recommended. A part `recipe` chooses the frames of the videos that follow it. Other parts
    /// without a file name are ignored. Either all videos are accepted or none.
    /// Each becomes a job.
    #[oai(path = "/videos/upload", method = "post", operation_id = "uploadVideos")]
    async fn upload(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Key that the client chooses for this upload, of 1 to 255 characters. Repeating the
        /// upload with the same key within 24 hours returns the jobs of the first upload instead
        /// of creating new ones. Names, sizes and recipes of the videos have to be the same.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        form: Form,
    ) -> Result<AcceptedResponse, OperationError<UploadProblems>> {
        check_confirmed(&service, caller.user).await?;
        let key = idempotency_key.0;
        if let Some(key) = &key
            && let Some(earlier) = service.database().find_accepted(caller.user, key).await?
        {
            let _slot = quotas::take_slot(&service, caller.user)?;
            let videos = form.compare(&service, caller.user).await?;
            fingerprints::check(&earlier, &fingerprints::of_upload(&videos))?;
            return Ok(accepted(earlier.jobs)?);
        }
        let length = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let slot = quotas::begin_upload(&service, caller.user, length).await?;
        let traceparent = traceparent(&service, request);
        // The request's future is dropped when its connection ends, at any point. The task
        // continues, so the videos become jobs or are deleted.
        let work = accept(Arc::clone(&service), caller.user, key, form, length, traceparent, slot);
        let jobs = tokio::spawn(work.in_current_span())
            .await
            .map_err(|error| Problem::internal(&error))??;
        Ok(accepted(jobs)?)
    }
}

/// Trace of the jobs that a request creates. If this process exports no traces, it is that of the
/// sender, or a new one that only logs refer to.
pub fn traceparent(service: &Service, request: &Request) -> String {
    (service.parts.current_traceparent)()
        .or_else(|| client::traceparent(request).map(str::to_owned))
        .unwrap_or_else(new_traceparent)
}

/// Receive the videos of a form and create their jobs.
async fn accept(
    service: Arc<Service>,
    user: UserId,
    key: Option<String>,
    form: Form,
    length: Option<u64>,
    traceparent: String,
    _slot: UploadSlot,
) -> Result<Vec<Job>, Problem> {
    let received = form.receive(&service, user, length).await;
    let videos = received.inspect_err(count_refusal)?.keep();
    let fingerprint = fingerprints::of_upload(&videos);
    let key = key.map(|key| IdempotencyKey { key, fingerprint });
    create_jobs(&service, user, videos, key.as_ref(), &traceparent).await
}

/// Create the jobs of stored videos. The commit may succeed although its response is lost, so the
/// videos are kept after an error; the sweep deletes those without a job.
pub async fn create_jobs(
    service: &Service,
    user: UserId,
    videos: Vec<Video>,
    key: Option<&IdempotencyKey>,
    traceparent: &str,
) -> Result<Vec<Job>, Problem> {
    let accept = async {
        let _turn = service.upload_transactions.turn(user, 0).await;
        service.database().accept(user, &videos, key, Some(traceparent)).await
    };
    let jobs = match accept.instrument(info_span!("accept")).await? {
        Accepted::New(jobs) => jobs,
        Accepted::Repeated(jobs) => {
            UploadRecords::of(service).delete(videos).await;
            return Ok(jobs);
        }
        Accepted::Reused => {
            UploadRecords::of(service).delete(videos).await;
            return Err(fingerprints::reused());
        }
        Accepted::Abandoned => {
            UploadRecords::of(service).delete(videos).await;
            return Err(took_too_long());
        }
    };
    record_acceptance(&jobs);
    Ok(jobs)
}

/// Log and count new jobs.
pub fn record_acceptance(jobs: &[Job]) {
    for job in jobs {
        info!(
            job_id = %job.id,
            user_id = %job.user_id,
            trace_id = job.trace_id(),
            size_bytes = job.video_size_bytes,
            "a video was accepted"
        );
    }
    metrics::counter!("fiapx_videos_accepted_total").increment(jobs.len() as u64);
}

/// Count an upload that is refused.
pub fn count_refusal(problem: &Problem) {
    metrics::counter!("fiapx_uploads_refused_total", "code" => problem.code()).increment(1);
}

/// Response for accepted jobs. All jobs of an earlier upload with the same key may be deleted.
pub fn accepted(jobs: Vec<Job>) -> Result<AcceptedResponse, Problem> {
    let Some(first) = jobs.first() else {
        let detail =
            "The jobs of the upload with this idempotency key are deleted. Use another key.";
        return Err(Problem::new(StatusCode::CONFLICT, "IDEMPOTENCY_KEY_USED", detail));
    };
    let location = format!("/videos/{}", first.id);
    let (job_id, status) = (first.id.0, first.state.into());
    let jobs = jobs
        .into_iter()
        .map(|job| AcceptedVideo {
            job_id: job.id.0,
            filename: job.filename,
            status: job.state.into(),
        })
        .collect();
    Ok(AcceptedResponse::Accepted(Json(AcceptedUpload { job_id, status, jobs }), location))
}

/// Generate a `traceparent` of a new trace (W3C Trace Context, version 00).
fn new_traceparent() -> String {
    let (trace, parent) = (rand::random::<u128>().max(1), rand::random::<u64>().max(1));
    format!("00-{trace:032x}-{parent:016x}-01")
}
