//! Further jobs of videos that are stored already.

use std::sync::Arc;

use database::Job;
use database::accept::{IdempotencyKey, Video};
use jobs::{JobId, Recipe, VideoFormat};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use storage::Key;
use tracing::{Instrument, field, info_span};
use uuid::Uuid;

use crate::by_url::{self, Address};
use crate::confirmation::check_confirmed;
use crate::fingerprints;
use crate::forecasts;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::{not_stored, own_job, stored_video};
use crate::permissions::{Permitted, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::quotas;
use crate::recipe_view::RecipeInput;
use crate::service::Service;
use crate::tags::Tag;
use crate::upload_records::UploadRecords;
use crate::uploads::{AcceptedResponse, accepted, create_jobs, traceparent};
use crate::video_reservation::VideoReservation;

/// Another job of a video.
#[derive(Object)]
#[oai(rename = "AnotherJob", example, deny_unknown_fields)]
struct NewJob {
    /// Frames to extract, and their form. Default: one PNG per second.
    recipe: RecipeInput,
}

impl Example for NewJob {
    fn example() -> Self {
        Self { recipe: RecipeInput::example() }
    }
}

problem_responses! {
    AnotherJobProblems {
        400: "Malformed id or header, or the body is not JSON.",
            INVALID_PARAMETER INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, the user's e-mail address is not confirmed, the API \
              key lacks the scope, or the service does not read videos at addresses anymore.",
            NOT_YOUR_JOB ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING VIDEOS_BY_URL_OFF;
        404: "The job does not exist.", JOB_NOT_FOUND;
        408: "Copying the video took too long.", UPLOAD_TOO_LONG;
        409: "The idempotency key was used for a request whose jobs are deleted.",
            IDEMPOTENCY_KEY_USED;
        410: "The video is not stored anymore.", VIDEO_EXPIRED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The recipe is invalid or selects nothing, the job would exceed a limit, or the \
              idempotency key was used for another request.",
            INVALID_FIELDS INVALID_BODY IDEMPOTENCY_KEY_REUSED,
            FieldExample::new(
                "select.every",
                "RECIPE_INTERVAL_INVALID",
                "The recipe is invalid: `select.every`: `0` is not a number of seconds above zero, \
                 such as 1, 0.5 or 1/3.",
            );
        429: "Too many uploads in progress, jobs queued or running, or jobs within an hour.",
            TOO_MANY_UPLOADS TOO_MANY_JOBS TOO_MANY_JOBS_PER_HOUR;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full, or the quota of the user is used up.",
            STORAGE_FULL QUOTA_EXCEEDED;
    }
}

/// Operation that creates further jobs of stored videos.
pub struct AnotherJob;

#[OpenApi(tag = "Tag::Videos")]
impl AnotherJob {
    /// Process a video again
    ///
    /// Creates another job of the video of a job, usually with another recipe, without a second
    /// upload. The video must be stored still: that of any job is, whatever its state, until the
    /// time `expires_at`, unless the job is deleted. The new job has its own copy of the video,
    /// which counts for the quota, and its own retention period. A video by URL that is not stored
    /// is read at its URL again. A recipe is rejected if it would exceed the limits on frames and
    /// storage, as far as that is known before.
    #[oai(path = "/videos/:id/jobs", method = "post", operation_id = "createAnotherJob")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Id of a job of the video.
        id: Path<Uuid>,
        /// Key that the client chooses for this request, of 1 to 255 characters, as for an upload.
        /// Repeating the request with the same key within 24 hours returns the job of the first
        /// one instead of creating another. Video and recipe have to be the same.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        body: Input<NewJob>,
    ) -> Result<AcceptedResponse, OperationError<AnotherJobProblems>> {
        check_confirmed(&service, caller.user).await?;
        let recipe = body.0.recipe.parse()?;
        let fingerprint = fingerprints::of_another_job(JobId(id.0), &recipe);
        let key = idempotency_key.0.map(|key| IdempotencyKey { key, fingerprint });
        if let Some(IdempotencyKey { key, fingerprint }) = &key
            && let Some(earlier) = service.database().find_accepted(caller.user, key).await?
        {
            fingerprints::check(&earlier, fingerprint)?;
            return Ok(accepted(earlier.jobs)?);
        }
        let job = own_job(&service, caller.user, id.0).await?;
        let source = stored_video(&job, service.database().clock().now())?;
        let address = Address::of(&service, &job)?;
        let slot = quotas::begin_upload(&service, caller.user, Some(job.video_size_bytes)).await?;
        forecasts::check_job(&service, caller.user, &job, &recipe).await?;
        let traceparent = traceparent(&service, request);
        // The request's future is dropped when its connection ends, at any point. The task
        // continues, so the copy becomes a job or is deleted.
        let service: Arc<Service> = Arc::clone(&service);
        let work = async move {
            let _slot = slot;
            let video = match address {
                Some(address) => by_url::record(&service, caller.user, address, recipe).await?,
                None => copy(&service, &job, &source, recipe).await?,
            };
            create_jobs(&service, caller.user, vec![video], key.as_ref(), &traceparent).await
        };
        let jobs = tokio::spawn(work.in_current_span())
            .await
            .map_err(|error| Problem::internal(&error))??;
        Ok(accepted(jobs)?)
    }
}

/// Store a copy of the video of `job` for a new job.
async fn copy(
    service: &Service,
    job: &Job,
    source: &Key,
    recipe: Recipe,
) -> Result<Video, Problem> {
    let id = JobId::generate();
    let span = info_span!("copy", job_id = %id, size_bytes = field::Empty);
    copy_as(service, id, job, source, recipe).instrument(span).await
}

/// Store a copy of the video of `job` for a job with this id.
async fn copy_as(
    service: &Service,
    id: JobId,
    job: &Job,
    source: &Key,
    recipe: Recipe,
) -> Result<Video, Problem> {
    let user = job.user_id;
    let filename = job.filename.clone();
    let format = VideoFormat::ALL.into_iter().find(|format| format.suffix() == job.video_format);
    let format = format.ok_or_else(|| {
        Problem::internal(&format_args!("the format of job {} is unknown", job.id))
    })?;
    let key = Key::input(user, id, format);
    let size_bytes = job.video_size_bytes;
    VideoReservation::begin(service, user, &key, size_bytes, Some(size_bytes)).await?;
    let copied = match service.parts.storage.copy(source, &key).await {
        Ok(size_bytes) if size_bytes == job.video_size_bytes => Ok(size_bytes),
        Ok(size_bytes) => {
            let expected = job.video_size_bytes;
            let reason = format_args!("the store has {size_bytes} of {expected} bytes of {source}");
            Err(Problem::internal(&reason))
        }
        Err(storage::Error::NotFound { key }) if key == *source => Err(not_stored()),
        Err(error) => Err(error.into()),
    };
    if copied.is_err() {
        // The file may exist even if its completion reported an error.
        UploadRecords::of(service).delete_file(&key).await;
    }
    let size_bytes = copied?;
    tracing::Span::current().record("size_bytes", size_bytes);
    let address = job.source.as_ref().map(|source| source.url.clone());
    let path = key.to_string();
    Ok(Video { id, filename, format, path, size_bytes, source: address, recipe })
}
