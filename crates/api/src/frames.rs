//! Frames of an archive, without a download of the archive.

use std::path::Path;
use std::slice;
use std::sync::Arc;

use jobs::manifest::FrameEntry;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem::{Body, Request};
use poem_openapi::param::{self, Query};
use poem_openapi::payload::{Binary, Json, Response};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};
use storage::content_disposition;
use uuid::Uuid;

use crate::archives::{ArchiveReader, StoredFrame};
use crate::concurrency::UserSlot;
use crate::frame_view::{FrameListView, FramePageView};
use crate::object_response;
use crate::open_archive::{OpenArchive, THINGS};
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;
use crate::thumbnails;

/// Size of a chunk in bytes, which bounds the memory of a slow client.
pub const CHUNK_BYTES: u64 = 256 << 10;
/// Maximum number of frames among which the first one that is not blank is searched.
const MAX_CANDIDATES: usize = 10;
/// Value of `Cache-Control`: frames and contact sheets never change, and only their owner may cache
/// them.
pub const CACHE_CONTROL: &str = "private, max-age=604800, immutable";

#[derive(ApiResponse)]
enum ListResponse {
    /// One page of frames, from the archive's manifest.
    #[oai(status = 200)]
    Page(
        Json<FrameListView>,
        /// Path of the next page, as `<path>; rel="next"` (RFC 8288). Absent on the last page.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ResponseContent)]
pub enum FrameContent {
    /// A frame.
    #[oai(content_type = "image/png")]
    Png(Binary<Body>),
    /// A thumbnail, or a frame.
    #[oai(content_type = "image/jpeg")]
    Jpeg(Binary<Body>),
    /// A frame.
    #[oai(content_type = "image/webp")]
    WebP(Binary<Body>),
}

impl FrameContent {
    /// Body with the media type of a file name's suffix; `None` if it is not one of a frame.
    fn new(name: &str, body: Body) -> Option<Self> {
        match Path::new(name).extension()?.to_str()? {
            "png" => Some(Self::Png(Binary(body))),
            "jpg" => Some(Self::Jpeg(Binary(body))),
            "webp" => Some(Self::WebP(Binary(body))),
            _ => None,
        }
    }
}

// Each response type declares its headers as literals: the derive accepts no shared declaration.
#[derive(ApiResponse)]
#[expect(clippy::duplicated_attributes, reason = "headers have the same type")]
#[oai(
    header(
        name = "ETag",
        ty = "String",
        description = "SHA-256 of the frame, and the width of the thumbnail."
    ),
    header(
        name = "Cache-Control",
        ty = "String",
        description = "Permits caching in the owner's browser."
    ),
    header(name = "Vary", ty = "String", description = "Always `Authorization`.")
)]
pub enum FrameResponse {
    /// The frame, or its thumbnail.
    #[oai(status = 200)]
    Frame(
        FrameContent,
        /// File name of the frame (RFC 6266).
        #[oai(header = "Content-Disposition")]
        String,
        /// Size of the body, in bytes.
        #[oai(header = "Content-Length")]
        u64,
    ),
    /// The client has this frame: `If-None-Match` names its entity tag.
    #[oai(status = 304)]
    NotModified,
}

problem_responses! {
    ListProblems {
        400: "A parameter is malformed or out of range, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist.", JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many frames of the user are read at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    FrameProblems {
        400: "A parameter is malformed or out of range, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has no frame with this number.",
            FRAME_NOT_FOUND JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many frames of the user are read at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operations on frames.
pub struct Frames;

#[OpenApi(tag = "Tag::Videos")]
impl Frames {
    /// List frames
    ///
    /// Returns the properties of the video, the missing frames, and the frames in the archive with
    /// their timestamps, in pages.
    #[oai(path = "/jobs/:id/frames", method = "get", operation_id = "listFrames")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: param::Path<Uuid>,
        /// Maximum number of frames on a page.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<u64>,
        /// Number of a frame: only later ones are listed. The `Link` header of a page contains the
        /// number for the next.
        #[oai(default, validator(minimum(value = "0"), maximum(value = "4294967295")))]
        after: Query<u64>,
    ) -> Result<ListResponse, OperationError<ListProblems>> {
        let _slot = service.reads.acquire(caller.user, THINGS)?;
        let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
        let path = format!("/jobs/{}/frames", id.0);
        let (page, link) = page(&archive, &path, limit.0, after.0);
        let list = FrameListView::new(id.0, &archive.contents, page);
        Ok(ListResponse::Page(Json(list), link))
    }

    /// Get a frame
    ///
    /// Returns the file from the archive or, with `width`, a JPEG thumbnail.
    #[oai(path = "/jobs/:id/frames/:number", method = "get", operation_id = "getFrame")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: param::Path<Uuid>,
        /// Number of the frame.
        #[oai(validator(minimum(value = "1"), maximum(value = "4294967295")))]
        number: param::Path<u64>,
        /// Maximum width of a thumbnail in pixels, a multiple of 16. A frame that is narrower
        /// keeps its width.
        #[oai(validator(minimum(value = "16"), maximum(value = "640"), multiple_of = "16"))]
        width: Query<Option<u32>>,
    ) -> Result<Response<FrameResponse>, OperationError<FrameProblems>> {
        let slot = service.reads.acquire(caller.user, THINGS)?;
        let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
        let wanted = WantedFrame { number: number.0, width: width.0, cached: CACHE_CONTROL };
        Ok(respond(&service, request.headers(), &archive, wanted, slot).await?)
    }

    /// Get a thumbnail of a video
    ///
    /// Returns a JPEG thumbnail of the first frame that is not blank, or of the first one if the
    /// first ten are blank.
    #[oai(path = "/jobs/:id/thumbnail", method = "get", operation_id = "getThumbnail")]
    async fn thumbnail(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: param::Path<Uuid>,
        /// Maximum width in pixels, a multiple of 16. A frame that is narrower keeps its width.
        #[oai(
            default = "default_width",
            validator(minimum(value = "16"), maximum(value = "640"), multiple_of = "16")
        )]
        width: Query<u32>,
    ) -> Result<Response<FrameResponse>, OperationError<FrameProblems>> {
        let _slot = service.reads.acquire(caller.user, THINGS)?;
        let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
        let frames = &archive.contents.manifest.frames;
        let frames = &frames[..frames.len().min(MAX_CANDIDATES)];
        let digest = frames.first().map(|frame| frame.sha256.as_str()).unwrap_or_default();
        let etag = format!("\"{digest}-{}-thumbnail\"", width.0);
        if object_response::is_not_modified(request.headers(), &etag) {
            return Ok(with_validators(FrameResponse::NotModified, &etag, CACHE_CONTROL));
        }
        let jpeg = make_thumbnail(&service, &archive, frames, width.0).await?;
        let length = jpeg.len() as u64;
        let content = FrameContent::Jpeg(Binary(jpeg.into()));
        let disposition = content_disposition("thumbnail.jpg");
        let frame = FrameResponse::Frame(content, disposition, length);
        Ok(with_validators(frame, &etag, CACHE_CONTROL))
    }
}

/// Response that the caller's browser may cache, as the value of `Cache-Control` states.
fn with_validators(
    response: FrameResponse,
    etag: &str,
    cached: &'static str,
) -> Response<FrameResponse> {
    Response::new(response)
        .header(header::ETAG, etag)
        .header(header::CACHE_CONTROL, cached)
        .header(header::VARY, "Authorization")
}

pub fn default_limit() -> u64 {
    200
}

fn default_width() -> u32 {
    320
}

/// Frame that is requested.
pub struct WantedFrame {
    /// Number of the frame.
    pub number: u64,
    /// Maximum width of a thumbnail in pixels; the frame itself if `None`.
    pub width: Option<u32>,
    /// Value of `Cache-Control`.
    pub cached: &'static str,
}

/// At most `limit` frames of an archive with numbers above `after`, and the `Link` header to the
/// next page of the list at this path.
pub fn page(
    archive: &OpenArchive,
    path: &str,
    limit: u64,
    after: u64,
) -> (FramePageView, Option<String>) {
    let frames = &archive.contents.manifest.frames;
    let rest = &frames[frames.partition_point(|frame| frame.number <= after)..];
    let page = &rest[..rest.len().min(limit as usize)];
    let last = page.last().filter(|_| page.len() < rest.len());
    let link =
        last.map(|last| format!("<{path}?limit={limit}&after={}>; rel=\"next\"", last.number));
    (FramePageView::new(&archive.contents, page), link)
}

/// Response with a frame of an archive or its thumbnail. It occupies the slot until its end.
pub async fn respond(
    service: &Service,
    headers: &HeaderMap,
    archive: &OpenArchive,
    wanted: WantedFrame,
    slot: UserSlot,
) -> Result<Response<FrameResponse>, Problem> {
    let WantedFrame { number, width, cached } = wanted;
    let StoredFrame { entry: frame, range } = archive.contents.frame(number).ok_or_else(|| {
        let detail = "The archive has no frame with this number.";
        Problem::new(StatusCode::NOT_FOUND, "FRAME_NOT_FOUND", detail)
    })?;
    let etag = match width {
        Some(width) => format!("\"{}-{width}\"", frame.sha256),
        None => format!("\"{}\"", frame.sha256),
    };
    if object_response::is_not_modified(headers, &etag) {
        return Ok(with_validators(FrameResponse::NotModified, &etag, cached));
    }
    let (name, body, length) = if let Some(width) = width {
        let jpeg = make_thumbnail(service, archive, slice::from_ref(frame), width).await?;
        let length = jpeg.len() as u64;
        (Path::new(&frame.name).with_extension("jpg"), jpeg.into(), length)
    } else {
        let storage = &service.parts.storage;
        let body = object_response::body(storage, &archive.object, range, CHUNK_BYTES, slot);
        (Path::new(&frame.name).to_owned(), body, frame.length)
    };
    let name = name.to_string_lossy();
    let content = FrameContent::new(&name, body)
        .ok_or_else(|| Problem::internal(&format!("`{name}` is not the name of a frame")))?;
    let response = FrameResponse::Frame(content, content_disposition(&name), length);
    Ok(with_validators(response, &etag, cached))
}

/// Thumbnail of the first of these frames that is not blank, else of the first, as a JPEG.
async fn make_thumbnail(
    service: &Service,
    archive: &OpenArchive,
    frames: &[FrameEntry],
    width: u32,
) -> Result<Vec<u8>, Problem> {
    for frame in frames {
        thumbnails::check_size(frame, service.settings.max_frame_pixels)
            .map_err(|error| ArchiveReader::invalid(&archive.object, &error))?;
    }
    let memory = frames.iter().map(|frame| thumbnails::memory(frame, width)).max();
    let frames = frames.to_vec();
    let work =
        move |reader: storage::blocking::Reader| thumbnails::thumbnail(reader, &frames, width);
    let memory = memory.unwrap_or_default();
    service.archives.read(archive.caller, &archive.object, memory, work).await
}
