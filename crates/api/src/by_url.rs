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
use poem_openapi::Object;
use poem_openapi::types::Example;
use storage::Key;
use tracing::Instrument;

use crate::confirmation::check_confirmed;
use crate::fingerprints;
use crate::forecasts;
use crate::operation_error::problem_responses;
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::quotas;
use crate::recipe_view::RecipeInput;
use crate::service::Service;
use crate::uploads::{create_jobs, traceparent};
use crate::url_problem::url_problem;
use crate::video_reservation::VideoReservation;

/// Video at an address.
#[derive(Object)]
#[oai(rename = "VideoByUrl", example, deny_unknown_fields)]
pub struct VideoByUrl {
    /// URL of the video, such as `https://example.com/beach.mp4`. HTTPS only; its host must be
    /// reachable from the public network, and it must have no user name, password or fragment.
    /// Its query is shown nowhere.
    url: String,
    /// File name of the video, with the suffix of its format. Default: the last part of the path
    /// of the URL.
    #[oai(skip_serializing_if_is_none)]
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
    /// Problems of the operation that adds a video by its URL.
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

/// Create a job of a video at an address, or return that of an earlier request with the same key.
pub async fn create(
    service: &Arc<Service>,
    request: &Request,
    user: UserId,
    key: Option<String>,
    body: VideoByUrl,
) -> Result<Vec<Job>, Problem> {
    check_confirmed(service, user).await?;
    let VideoByUrl { url, filename, recipe } = body;
    let address = Address::parse(service, &url, filename.as_deref())?;
    let recipe = recipe.parse()?;
    let fingerprint = fingerprints::of_url(&address.url, &address.filename, &recipe);
    let key = key.map(|key| IdempotencyKey { key, fingerprint });
    if let Some(IdempotencyKey { key, fingerprint }) = &key
        && let Some(earlier) = service.database().find_accepted(user, key).await?
    {
        fingerprints::check(&earlier, fingerprint)?;
        return Ok(earlier.jobs);
    }
    forecasts::check_recipe(service, &recipe)?;
    let slot = quotas::begin_upload(service, user, None).await?;
    let traceparent = traceparent(service, request);
    let service = Arc::clone(service);
    // The request's future is dropped when its connection ends, at any point.
    let work = async move {
        let _slot = slot;
        let video = record(&service, user, address, recipe).await?;
        create_jobs(&service, user, vec![video], key.as_ref(), &traceparent).await
    };
    tokio::spawn(work.in_current_span()).await.map_err(|error| Problem::internal(&error))?
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
        let (field, filename) = if let Some(name) = stated {
            ("filename", safe_filename(name))
        } else {
            let path = percent_decode_str(target.url().path()).decode_utf8_lossy();
            ("url", safe_filename(&path))
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
