//! Forecasts of further jobs of a video, from what an earlier job has recorded. The video itself is
//! not read: only the cell of a worker decodes what users send.

use std::sync::Arc;

use database::Job;
use jobs::forecast::{Accuracy, FrameCount, KnownVideo};
use jobs::recipe::{InvalidRecipe, Position, Reason, Selection};
use jobs::{MEGABYTE, Recipe, UserId};
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use crate::archives::{self, ArchiveContents};
use crate::examples;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_job::{own_job, stored_video};
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::service::Service;
use crate::tags::Tag;

/// Limit that a job would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExceededLimit {
    /// The number of frames in one archive.
    Frames,
    /// The storage that the user has left.
    Storage,
}

impl ExceededLimit {
    /// Name in responses.
    const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Storage => "storage",
        }
    }
}

/// Forecast of another job of a video.
#[derive(Debug, Object)]
#[oai(example)]
struct Forecast {
    /// Number of frames. Exact if the recipe counts them, or lists times that the video is known to
    /// have. For regular instants, and for times or parts that may lie beyond the end, it follows
    /// from the duration that the container states, which may be wrong. With `skip` and for
    /// selections by content, it is an upper bound. `null` if nothing is known.
    #[oai(nullable)]
    frames: Option<u64>,
    /// Whether the number of frames is certain.
    frames_are_exact: bool,
    /// Estimated size of the archive in bytes, with contact sheets and manifest, from the mean size
    /// of the frames in the archive of this job and the number of their pixels. `null` if there is
    /// no archive, or if it has another format or quality.
    #[oai(nullable)]
    bytes: Option<u64>,
    /// Limit for which the job would be refused: `frames` if it selects too many, `storage` if the
    /// copy of the video and the archive need more than the user has left; else `null`.
    #[oai(nullable)]
    exceeds: Option<String>,
}

impl Example for Forecast {
    fn example() -> Self {
        Self {
            frames: Some(examples::FRAME_COUNT),
            frames_are_exact: false,
            bytes: Some(examples::ARCHIVE_BYTES),
            exceeds: None,
        }
    }
}

#[derive(ApiResponse)]
enum ForecastResponse {
    /// The forecast.
    #[oai(status = 200)]
    Forecast(Json<Forecast>),
}

problem_responses! {
    ForecastProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        410: "The video is not stored anymore.", VIDEO_EXPIRED;
        422: "The recipe is invalid.", INVALID_FIELDS,
            FieldExample::new(
                "image.quality",
                "RECIPE_NUMBER_INVALID",
                "The recipe is invalid: `image.quality`: `0` is not a whole number from 1 to 100.",
            );
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operation that forecasts jobs.
pub struct Forecasts;

#[OpenApi(tag = "Tag::Videos")]
impl Forecasts {
    /// Forecast another job of a video
    ///
    /// Returns the expected number of frames and size of the archive that
    /// `POST /videos/{id}/jobs` would create with a recipe, from what the job has recorded about
    /// the video. The video is not read.
    #[oai(path = "/videos/:id/forecast", method = "get", operation_id = "forecastJob")]
    async fn forecast(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosRead>,
        /// Id of a job of the video.
        id: Path<Uuid>,
        /// Recipe, as JSON. Default: one PNG per second.
        recipe: Query<Option<String>>,
    ) -> Result<ForecastResponse, OperationError<ForecastProblems>> {
        let job = own_job(&service, caller.user, id.0).await?;
        let recipe = match &recipe.0 {
            Some(json) => {
                Recipe::from_json(json.as_bytes()).map_err(|mistake| Problem::recipe(&mistake))?
            }
            None => Recipe::default(),
        };
        stored_video(&job, service.database().clock().now())?;
        let Estimate { count, bytes, exceeds, .. } =
            Estimate::of(&service, caller.user, &job, &recipe).await?;
        Ok(ForecastResponse::Forecast(Json(Forecast {
            frames: count.map(|count| count.frames),
            frames_are_exact: count.is_some_and(|count| count.is_exact()),
            bytes,
            exceeds: exceeds.map(|limit| limit.name().to_owned()),
        })))
    }
}

/// Expected result of another job, and the limits that apply to it.
struct Estimate {
    count: Option<FrameCount>,
    bytes: Option<u64>,
    /// Duration of the video, if it is known, in microseconds.
    duration_us: Option<u64>,
    /// Bytes of storage that the user has left after the copy of the video.
    storage_left: u64,
    exceeds: Option<ExceededLimit>,
}

impl Estimate {
    /// Estimate a job of the video of `job`.
    async fn of(
        service: &Service,
        user: UserId,
        job: &Job,
        recipe: &Recipe,
    ) -> Result<Self, Problem> {
        let contents = known_contents(service, job).await?;
        let known = contents.as_ref().zip(job.recipe.known());
        let known =
            known.map(|(contents, recipe)| KnownVideo { manifest: &contents.manifest, recipe });
        let duration_us = known.and_then(|known| known.duration_us());
        let count = recipe.forecast(duration_us);
        let bytes =
            known.zip(count).and_then(|(known, count)| known.archive_bytes(recipe, count.frames));
        let is_bound = count.is_some_and(|count| count.accuracy == Accuracy::UpperBound);
        let least_bytes = bytes.filter(|_| !is_bound);
        let usage = service.database().usage(user).await?;
        let used = usage.stored_bytes.saturating_add(job.video_size_bytes);
        let quota = service.database().rules().quotas.stored_bytes;
        let storage_left = quota.saturating_sub(used);
        let max_frames = service.settings.frames_per_job;
        let exceeds = if count.is_some_and(|count| count.exceeds(max_frames)) {
            Some(ExceededLimit::Frames)
        } else if used > quota || least_bytes.is_some_and(|bytes| bytes > storage_left) {
            Some(ExceededLimit::Storage)
        } else {
            None
        };
        Ok(Self { count, bytes, duration_us, storage_left, exceeds })
    }
}

/// Contents of the archive of a job, if it has one that can be read.
async fn known_contents(
    service: &Service,
    job: &Job,
) -> Result<Option<Arc<ArchiveContents>>, Problem> {
    let Ok(key) = archives::key(job, service.database().clock().now()) else { return Ok(None) };
    let read = async {
        let archive = service.archives.head(&key).await?;
        service.archives.contents(job.user_id, &archive).await
    };
    match read.await {
        Ok(contents) => Ok(Some(contents)),
        Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => Err(problem),
        // It expires now, or a hostile video has damaged it.
        Err(_) => Ok(None),
    }
}

/// Reject a recipe that selects no frames, or more than a job may have, whatever the video is.
pub fn check_recipe(service: &Service, recipe: &Recipe) -> Result<(), Problem> {
    match recipe.forecast(None) {
        Some(count) if count.frames == 0 => Err(nothing_selected(recipe, None)),
        Some(count) if count.exceeds(service.settings.frames_per_job) => {
            Err(too_many_frames(service, recipe, count.frames))
        }
        _ => Ok(()),
    }
}

/// Reject another job of the video of `job` if what is known about it shows that it would have no
/// frames or exceed a limit.
pub async fn check_job(
    service: &Service,
    user: UserId,
    job: &Job,
    recipe: &Recipe,
) -> Result<(), Problem> {
    let Estimate { count, bytes, duration_us, storage_left, exceeds } =
        Estimate::of(service, user, job, recipe).await?;
    if count.is_some_and(|count| count.frames == 0) {
        return Err(nothing_selected(recipe, duration_us));
    }
    match exceeds {
        None => Ok(()),
        Some(ExceededLimit::Frames) => {
            Err(too_many_frames(service, recipe, count.map_or(0, |count| count.frames)))
        }
        Some(ExceededLimit::Storage) => {
            let megabytes = |bytes: u64| bytes as f64 / MEGABYTE as f64;
            let message = format!(
                "the archive would have about {:.1} MB, and {:.1} MB of storage are left",
                megabytes(bytes.unwrap_or_default()),
                megabytes(storage_left)
            );
            let mistake = InvalidRecipe::new(Reason::StorageExceeded, message);
            Err(Problem::recipe(&mistake))
        }
    }
}

fn too_many_frames(service: &Service, recipe: &Recipe, frames: u64) -> Problem {
    let limit = service.settings.frames_per_job;
    let message = format!("it selects {frames} frames, and at most {limit} are allowed");
    let mistake = InvalidRecipe::new(Reason::TooManyFrames, message);
    Problem::recipe(&mistake.within(selection_member(recipe)))
}

/// Problem of a recipe that selects no frame of a video of this duration in microseconds.
fn nothing_selected(recipe: &Recipe, duration_us: Option<u64>) -> Problem {
    let is_behind =
        |from: &Position| duration_us.is_some_and(|end| from.microseconds() as u64 >= end);
    let from = recipe.part.from().filter(is_behind);
    let end_s = duration_us.map(|end| end as f64 / 1e6);
    let (member, message) = match (from, end_s) {
        (Some(from), Some(end_s)) => {
            ("from", format!("{from} s is not before the end of the video, {end_s} s"))
        }
        (None, Some(end_s)) => {
            let message = format!("it selects no frame of the video, which ends after {end_s} s");
            (selection_member(recipe), message)
        }
        (_, None) => {
            let message = "none of its times is in the part from `from` to `to`".to_owned();
            (selection_member(recipe), message)
        }
    };
    Problem::recipe(&InvalidRecipe::new(Reason::NothingSelected, message).within(member))
}

/// Path of the selection of a recipe.
fn selection_member(recipe: &Recipe) -> &'static str {
    match recipe.select {
        Selection::Every(_) => "select.every",
        Selection::At(_) => "select.at",
        Selection::Count(_) => "select.count",
        Selection::KeyFrames(_) => "select.keyframes",
        Selection::Scenes(_) => "select.scenes",
        Selection::Sharpest(_) => "select.sharpest",
    }
}
