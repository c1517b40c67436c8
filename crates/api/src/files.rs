//! Download of archives from this process's own store by signed links. With an S3 store, links lead
//! to the store instead.

use std::sync::Arc;

use poem::Body;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Response};
use poem_openapi::{ApiResponse, OpenApi};
use storage::disk::LinkError;
use storage::{Object, RequestedRange, content_disposition, content_range};

use crate::concurrency::UserSlot;
use crate::object_response;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;

/// Size of a chunk in bytes, which bounds the memory of a slow download.
const CHUNK_BYTES: u64 = 128 << 10;

// Each response type declares its headers as literals: the derive accepts no shared declaration.
#[derive(ApiResponse)]
#[expect(clippy::duplicated_attributes, reason = "headers have the same type")]
#[oai(
    header(name = "Accept-Ranges", ty = "String", description = "Always `bytes`."),
    header(
        name = "Content-Disposition",
        ty = "String",
        description = "File name of the archive (RFC 6266)."
    ),
    header(
        name = "ETag",
        ty = "String",
        description = "Entity tag. It never changes, as the archive does not."
    ),
    header(name = "Content-Length", ty = "u64", description = "Size of the body, in bytes.")
)]
pub enum FileResponse {
    /// The whole archive.
    #[oai(status = 200, content_type = "application/zip")]
    Whole(Binary<Body>),
    /// The requested range of the archive.
    #[oai(status = 206, content_type = "application/zip")]
    Partial(
        Binary<Body>,
        /// Range of the body and size of the archive, as `bytes <first>-<last>/<size>`.
        #[oai(header = "Content-Range")]
        String,
    ),
}

problem_responses! {
    FileProblems {
        400: "A parameter is missing or malformed.", INVALID_PARAMETER;
        403: "The signature of the link is invalid.", LINK_INVALID;
        404: "The archive does not exist.", FILE_NOT_FOUND;
        410: "The link has expired.", LINK_EXPIRED;
        416: "The range starts after the end of the archive.", RANGE_NOT_SATISFIABLE;
        429: "Too many archives of the user are downloaded at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The file store is unavailable.", UNAVAILABLE;
    }
}

/// Operation of signed links.
pub struct Files;

#[OpenApi(tag = "Tag::Videos")]
impl Files {
    /// Download an archive
    ///
    /// The links of `GET /jobs/{id}/download` lead here if the service stores archives on its own
    /// disk. The link itself authorizes the download; no access token is needed. Range requests
    /// are supported.
    #[oai(
        path = "/files/videos/:user/:job/:name",
        method = "get",
        operation_id = "downloadArchive"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are the parts of the link")]
    async fn download(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        /// Part of the link.
        user: Path<String>,
        /// Part of the link.
        job: Path<String>,
        /// Part of the link.
        name: Path<String>,
        /// Expiry of the link, in seconds since 1970-01-01T00:00:00Z.
        expires: Query<i64>,
        /// File name of the download.
        filename: Query<String>,
        /// Signature of the link.
        signature: Query<String>,
    ) -> Result<Response<FileResponse>, OperationError<FileProblems>> {
        let not_found =
            || Problem::new(StatusCode::NOT_FOUND, "FILE_NOT_FOUND", "The file does not exist.");
        let disk = service.parts.disk.as_ref().ok_or_else(not_found)?;
        let key = format!("videos/{}/{}/{}", user.0, job.0, name.0);
        let key =
            disk.verify_link(&key, expires.0, &filename.0, &signature.0).map_err(invalid_link)?;
        let slot = service.downloads.acquire(key.user_id(), DOWNLOADS)?;
        let object = service.parts.storage.head(&key).await.map_err(|error| match error {
            storage::Error::NotFound { .. } => not_found(),
            error => error.into(),
        })?;
        Ok(respond(&service, headers, &object, &filename.0, slot)?)
    }
}

/// What is limited, in the problem of too many at a time.
pub const DOWNLOADS: &str = "downloads";

/// Response with an archive, or the range of it that the headers request, under a file name.
pub fn respond(
    service: &Service,
    headers: &HeaderMap,
    object: &Object,
    filename: &str,
    slot: UserSlot,
) -> Result<Response<FileResponse>, Problem> {
    let size = object.size;
    let name = object.key.as_str().rsplit('/').next().unwrap_or_default();
    let etag = format!("\"{name}-{size}-{}\"", object.modified.timestamp());
    let part = match object_response::requested_range(headers, &etag, size) {
        RequestedRange::Whole => None,
        RequestedRange::Part(range) => Some(range),
        RequestedRange::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    let range = part.clone().unwrap_or(0..size);
    let length = range.end - range.start;
    let storage = &service.parts.storage;
    let body = Binary(object_response::body(storage, object, range, CHUNK_BYTES, slot));
    let response = match part {
        None => FileResponse::Whole(body),
        Some(range) => FileResponse::Partial(body, content_range(&range, size)),
    };
    Ok(Response::new(response)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_DISPOSITION, content_disposition(filename))
        .header(header::ETAG, etag)
        .header(header::CONTENT_LENGTH, length))
}

/// Problem of a range that starts after the end of an archive of `size` bytes.
fn unsatisfiable(size: u64) -> Problem {
    let detail = format!("The range starts after the end of the archive, which has {size} bytes.");
    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", detail)
        .representation_size(size)
}

/// Problem of a link that is invalid or has expired.
pub fn invalid_link(error: LinkError) -> Problem {
    match error {
        LinkError::Expired => {
            Problem::new(StatusCode::GONE, "LINK_EXPIRED", "The link has expired. Get a new link.")
        }
        LinkError::Invalid => {
            let detail = "The signature of the link is invalid.";
            Problem::new(StatusCode::FORBIDDEN, "LINK_INVALID", detail)
        }
    }
}
