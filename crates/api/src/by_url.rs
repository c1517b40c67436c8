//! Videos at addresses: jobs whose videos workers read themselves.

use std::sync::Arc;

use database::Job;
use database::accept::{IdempotencyKey, Video};
use egress::Target;
use jobs::video::safe_filename;
use jobs::{JobId, Recipe, SourceUrl, UserId, VideoFormat};
use percent_encoding::percent_decode_str;
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use storage::Key;
use tracing::Instrument;

use crate::confirmation::check_confirmed;
use crate::fingerprints;
use crate::forecasts;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{Permitted, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::quotas;
use crate::recipe_view::RecipeInput;
use crate::service::Service;
use crate::tags::Tag;
use crate::uploads::{AcceptedResponse, accepted, create_jobs, traceparent};
use crate::url_problem::url_problem;
use crate::video_reservation::VideoReservation;

/// Video at an address.
#[derive(Object)]
#[oai(rename = "VideoByUrl", example, deny_unknown_fields)]
struct VideoByUrl {
    /// URL of the video, such as `https://example.com/beach.mp4`. HTTPS only; its host must be
    /// reachable from the public network, and it must have no user name, password or fragment.
    /// Its query is shown nowhere.
    url: String,
    /// File name of the video, with the suffix of its format. Default: the last part of the path
    /// of the URL.
    filename: Option<String>,
    /// Frames to extract, and their form. Default: one PNG per second.
    recipe: RecipeInput,
}

impl Example for VideoByUrl {
    fn example() -> Self {
        Self {
            url: "https://example.com/videos/beach.mp4".to_owned(),
            filename: None,
            recipe: RecipeInput::example(),
        }
    }
}

problem_responses! {
    ByUrlProblems {
        400: "Malformed header, or the body is not JSON.",
            INVALID_PARAMETER INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The service reads no videos at addresses, the user's e-mail address is not \
              confirmed, or the API key lacks the scope.",
            VIDEOS_BY_URL_OFF ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING;
        408: "Recording the video took too long.", UPLOAD_TOO_LONG;
        409: "The idempotency key was used for a request whose jobs are deleted.",
            IDEMPOTENCY_KEY_USED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON.", UNSUPPORTED_MEDIA_TYPE;
        422: "The URL is not permitted, its format is not supported, the recipe is invalid, or the \
              idempotency key was used for another request.",
            INVALID_FIELDS INVALID_BODY IDEMPOTENCY_KEY_REUSED,
            FieldExample::new(
                "url",
                "URL_SCHEME",
                "The URL is not permitted: it must begin with https://.",
            );
        429: "Too many uploads in progress, jobs queued or running, or jobs within an hour.",
            TOO_MANY_UPLOADS TOO_MANY_JOBS TOO_MANY_JOBS_PER_HOUR;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operation that creates jobs of videos at addresses.
pub struct ByUrl;

#[OpenApi(tag = "Tag::Videos")]
impl ByUrl {
    /// Add a video by its URL
    ///
    /// Creates a job of a video that a worker reads at its URL: only the parts that the recipe
    /// needs, if the server has ranges and an `ETag` or `Last-Modified`, else as a whole. The video
    /// must not change meanwhile. A few redirects are followed. Only a video that is read as a
    /// whole is stored, and counts for the quota. The job fails with `SOURCE_UNREACHABLE`,
    /// `SOURCE_REFUSED`, `SOURCE_TOO_LARGE` or `SOURCE_CHANGED` if the video cannot be read.
    /// `GET /videos/upload` states whether the service offers this.
    #[oai(path = "/videos", method = "post", operation_id = "addVideoByUrl")]
    async fn create(
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
        check_confirmed(&service, caller.user).await?;
        let VideoByUrl { url, filename, recipe } = body.0;
        let address = Address::parse(&service, &url, filename.as_deref())?;
        let recipe = recipe.parse()?;
        let fingerprint = fingerprints::of_url(&address.url, &address.filename, &recipe);
        let key = idempotency_key.0.map(|key| IdempotencyKey { key, fingerprint });
        if let Some(IdempotencyKey { key, fingerprint }) = &key
            && let Some(earlier) = service.database().find_accepted(caller.user, key).await?
        {
            fingerprints::check(&earlier, fingerprint)?;
            return Ok(accepted(earlier.jobs)?);
        }
        forecasts::check_recipe(&service, &recipe)?;
        let slot = quotas::begin_upload(&service, caller.user, None).await?;
        let traceparent = traceparent(&service, request);
        let service: Arc<Service> = Arc::clone(&service);
        let user = caller.user;
        // The request's future is dropped when its connection ends, at any point.
        let work = async move {
            let _slot = slot;
            let video = record(&service, user, address, recipe).await?;
            create_jobs(&service, user, vec![video], key.as_ref(), &traceparent).await
        };
        let jobs = tokio::spawn(work.in_current_span())
            .await
            .map_err(|error| Problem::internal(&error))??;
        Ok(accepted(jobs)?)
    }
}

/// Address of a video.
pub struct Address {
    url: SourceUrl,
    filename: String,
    format: VideoFormat,
}

impl Address {
    /// Check a URL, and derive the file name from its path if none is stated.
    fn parse(service: &Service, url: &str, stated: Option<&str>) -> Result<Self, Problem> {
        let policy = service.settings.video_targets.ok_or_else(turned_off)?;
        let target = Target::parse(url, policy).map_err(url_problem)?;
        let (field, filename) = match stated {
            Some(name) => ("filename", safe_filename(name)),
            None => {
                let path = percent_decode_str(target.url().path()).decode_utf8_lossy();
                ("url", safe_filename(&path))
            }
        };
        let format = VideoFormat::from_filename(&filename).ok_or_else(|| {
            let suffixes = VideoFormat::ALL.map(|format| format!(".{}", format.suffix()));
            let message = format!(
                "The name of the video does not end in {}. State one that does in `filename`.",
                suffixes.join(" ")
            );
            Problem::field(field, "FILENAME_UNSUPPORTED", &message)
        })?;
        Ok(Self { url: SourceUrl::new(target.url().as_str()), filename, format })
    }

    /// Address at which the video of a job is read. `None` if it is stored.
    ///
    /// # Errors
    /// The service reads no videos at addresses anymore.
    pub fn of(service: &Service, job: &Job) -> Result<Option<Self>, Problem> {
        let Some(source) = job.remote_source() else { return Ok(None) };
        service.settings.video_targets.ok_or_else(turned_off)?;
        let format = VideoFormat::ALL.into_iter().find(|it| it.suffix() == job.video_format);
        let format = format.ok_or_else(|| {
            Problem::internal(&format_args!("the format of job {} is unknown", job.id))
        })?;
        Ok(Some(Self { url: source.url.clone(), filename: job.filename.clone(), format }))
    }
}

/// Problem of an installation without videos by URL.
fn turned_off() -> Problem {
    let detail = "This service reads no videos at addresses. Upload the video.";
    Problem::new(StatusCode::FORBIDDEN, "VIDEOS_BY_URL_OFF", detail)
}

/// Record a video at an address like an upload, without bytes.
pub async fn record(
    service: &Service,
    user: UserId,
    address: Address,
    recipe: Recipe,
) -> Result<Video, Problem> {
    let Address { url, filename, format } = address;
    let id = JobId::generate();
    let key = Key::input(user, id, format);
    VideoReservation::begin(service, user, &key, 0, Some(0)).await?;
    Ok(Video {
        id,
        filename,
        format,
        path: key.to_string(),
        size_bytes: 0,
        source: Some(url),
        recipe,
    })
}
