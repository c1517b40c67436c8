//! A finished job, as people without an account see it by a link.

use std::sync::Arc;

use jobs::Time;
use poem::Request;
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Json, Response};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::disk::LinkError;
use uuid::Uuid;

use crate::archives;
use crate::client::ClientAddress;
use crate::concurrency::Caller;
use crate::downloads::{DownloadLink, LinkResponse, archive_name, base_url, count_download};
use crate::examples;
use crate::files::{self, FileResponse};
use crate::frame_view::FramePageView;
use crate::frames::{self, FrameResponse, WantedFrame, default_limit};
use crate::job_view::Status;
use crate::open_archive::{OpenArchive, THINGS};
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::recipe_view::RecipeView;
use crate::service::Service;
use crate::share_access::{SharedAccess, as_invalid};
use crate::share_links;
use crate::tags::Tag;

/// Value of `Cache-Control`: a browser asks each time, because a link may have been revoked.
const CACHE_CONTROL: &str = "private, no-cache";

/// Shared job, without anything about its owner.
#[derive(Object)]
#[oai(example)]
struct SharedJob {
    /// File name of the video.
    filename: String,
    /// State of the job, which is always `DONE`: other jobs are not shared.
    status: Status,
    /// Frames that were requested, and their form.
    recipe: RecipeView,
    /// Number of frames in the archive.
    #[oai(nullable)]
    frame_count: Option<u64>,
    /// Size of the archive, in bytes.
    #[oai(nullable)]
    zip_size_bytes: Option<u64>,
    /// Whether the archive contains every expected frame, decoded without error.
    #[oai(nullable)]
    complete: Option<bool>,
    /// Time at which the link becomes invalid, unless it is revoked before.
    expires_at: Time,
}

impl Example for SharedJob {
    fn example() -> Self {
        Self {
            filename: examples::FILENAME.to_owned(),
            status: Status::Done,
            recipe: RecipeView::example(),
            frame_count: Some(examples::FRAME_COUNT),
            zip_size_bytes: Some(examples::ARCHIVE_BYTES),
            complete: Some(true),
            expires_at: examples::time(3 * 24 * 3600),
        }
    }
}

#[derive(ApiResponse)]
enum JobResponse {
    /// The job.
    #[oai(status = 200)]
    Job(Json<SharedJob>),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// One page of frames, from the archive's manifest.
    #[oai(status = 200)]
    Page(
        Json<FramePageView>,
        /// Path of the next page, as `<path>; rel="next"` (RFC 8288). Absent on the last page.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

problem_responses! {
    JobProblems {
        401: "The link is invalid, was revoked or has expired.", SHARE_INVALID;
        429: "Too many invalid links from this network address.", TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    ListProblems {
        400: "A parameter is malformed or out of range.", INVALID_PARAMETER;
        401: "The link is invalid, was revoked or has expired.", SHARE_INVALID;
        429: "Too many frames are read from this network address at the same time, or too many \
              invalid links.",
            TOO_MANY_AT_ONCE TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    FrameProblems {
        400: "A parameter is malformed or out of range.", INVALID_PARAMETER;
        401: "The link is invalid, was revoked or has expired.", SHARE_INVALID;
        404: "The job has no frame with this number.", FRAME_NOT_FOUND;
        429: "Too many frames are read from this network address at the same time, or too many \
              invalid links.",
            TOO_MANY_AT_ONCE TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    DownloadProblems {
        401: "The link is invalid, was revoked or has expired.", SHARE_INVALID;
        429: "Too many downloads or invalid links from this network address in one minute.",
            TOO_MANY_DOWNLOADS TOO_MANY_ATTEMPTS;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    FileProblems {
        400: "A parameter is missing or malformed.", INVALID_PARAMETER;
        403: "The signature is invalid.", LINK_INVALID;
        410: "The link has expired, or the link to the job has ended.", LINK_EXPIRED;
        416: "The range starts after the end of the archive.", RANGE_NOT_SATISFIABLE;
        429: "Too many archives are downloaded from this network address at the same time.",
            TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operations that need a link to a job and no account.
pub struct SharedJobs;

#[OpenApi(tag = "Tag::Shares")]
impl SharedJobs {
    /// Get a shared job
    ///
    /// Returns what a link to a job shows of it.
    #[expect(clippy::unused_async, reason = "operations must be async")]
    #[oai(path = "/shared", method = "get", operation_id = "getSharedJob")]
    async fn get(&self, access: SharedAccess) -> Result<JobResponse, OperationError<JobProblems>> {
        let SharedAccess { share, job, .. } = access;
        Ok(JobResponse::Job(Json(SharedJob {
            status: job.state.into(),
            recipe: (&job.recipe).into(),
            frame_count: job.frame_count,
            zip_size_bytes: job.zip_size_bytes,
            complete: job.complete,
            filename: job.filename,
            expires_at: share.expires_at,
        })))
    }

    /// List the frames of a shared job
    ///
    /// Returns the properties of the video, the missing frames, and the frames in the archive with
    /// their timestamps, in pages.
    #[oai(path = "/shared/frames", method = "get", operation_id = "listSharedFrames")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        access: SharedAccess,
        /// Maximum number of frames on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<u64>,
        /// Number of a frame: only later ones are listed. The `Link` header of a page contains the
        /// number for the next.
        #[oai(default, validator(minimum(value = "0"), maximum(value = "4294967295")))]
        after: Query<u64>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let _slot = service.reads.acquire(access.caller(), THINGS)?;
        let archive = open(&service, request, access).await?;
        let (page, link) = frames::page(&archive, "/shared/frames", limit.0, after.0);
        Ok(ListResponse::Page(Json(page), link))
    }

    /// Get a frame of a shared job
    ///
    /// Returns the file from the archive or, with `width`, a JPEG thumbnail.
    #[oai(path = "/shared/frames/:number", method = "get", operation_id = "getSharedFrame")]
    async fn frame(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        access: SharedAccess,
        /// Number of the frame.
        #[oai(validator(minimum(value = "1"), maximum(value = "4294967295")))]
        number: Path<u64>,
        /// Maximum width of a thumbnail in pixels, a multiple of 16. A frame that is narrower
        /// keeps its width.
        #[oai(validator(minimum(value = "16"), maximum(value = "640"), multiple_of = "16"))]
        width: Query<Option<u32>>,
    ) -> Result<Response<FrameResponse>, OperationError<FrameProblems>> {
        let slot = service.reads.acquire(access.caller(), THINGS)?;
        let archive = open(&service, request, access).await?;
        let wanted = WantedFrame { number: number.0, width: width.0, cached: CACHE_CONTROL };
        let frame = frames::respond(&service, request.headers(), &archive, wanted, slot).await;
        Ok(frame.map_err(as_invalid)?)
    }

    /// Get a download link of a shared job
    ///
    /// Returns a temporary link to the archive, which also ends with the link to the job.
    #[oai(path = "/shared/download", method = "get", operation_id = "getSharedDownloadLink")]
    async fn link(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        access: SharedAccess,
    ) -> Result<LinkResponse, OperationError<DownloadProblems>> {
        let limit = count_download(&service, &format!("network:{}", access.network)).await?;
        let now = service.database().clock().now();
        let key = archives::key(&access.job, now).map_err(as_invalid)?;
        let object = service.archives.head(&key).await.map_err(as_invalid)?;
        let path = share_links::sign(&service, access.share.id)?;
        let link = DownloadLink {
            download_url: base_url(&service, request) + &path,
            expires_in: service.settings.link_lifetime.as_secs(),
            filename: archive_name(&access.job.filename),
            size_bytes: object.size,
        };
        Ok(LinkResponse::Link(
            Json(link),
            limit.limit.into(),
            limit.remaining.into(),
            limit.reset_seconds(),
        ))
    }

    /// Download the archive of a shared job
    ///
    /// The links of `GET /shared/download` lead here. The link itself authorizes the download, as
    /// long as the link to the job is valid. Range requests are supported.
    #[oai(path = "/files/shared/:share_id", method = "get", operation_id = "downloadSharedArchive")]
    async fn download(
        &self,
        service: Data<&Arc<Service>>,
        client: Data<&ClientAddress>,
        headers: &HeaderMap,
        /// Part of the link.
        share_id: Path<Uuid>,
        /// Expiry of the link, in seconds since 1970-01-01T00:00:00Z.
        expires: Query<i64>,
        /// Signature of the link.
        signature: Query<String>,
    ) -> Result<Response<FileResponse>, OperationError<FileProblems>> {
        let ended = || files::invalid_link(LinkError::Expired);
        share_links::verify(&service, share_id.0, expires.0, &signature.0)?
            .map_err(files::invalid_link)?;
        let found = service.database().share_by_id(share_id.0).await?;
        let (_, job) = found.ok_or_else(ended)?;
        let slot =
            service.downloads.acquire(Caller::Network(client.network()), files::DOWNLOADS)?;
        let has_ended =
            |problem: Problem| if problem.code() == "ARCHIVE_EXPIRED" { ended() } else { problem };
        let key = archives::key(&job, service.database().clock().now()).map_err(has_ended)?;
        let object = service.archives.head(&key).await.map_err(has_ended)?;
        Ok(files::respond(&service, headers, &object, &archive_name(&job.filename), slot)?)
    }
}

/// Open the archive of a shared job.
async fn open(
    service: &Service,
    request: &Request,
    access: SharedAccess,
) -> Result<OpenArchive, Problem> {
    let opened = OpenArchive::open(service, request, access.caller(), access.job).await;
    opened.map_err(as_invalid)
}
