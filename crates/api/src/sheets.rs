//! Contact sheets of an archive, without a download of the archive.

use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Body, Request};
use poem_openapi::param::Path;
use poem_openapi::payload::{Binary, Response};
use poem_openapi::{ApiResponse, OpenApi};
use storage::content_disposition;
use uuid::Uuid;

use crate::archives::ArchiveReader;
use crate::frames::{CACHE_CONTROL, CHUNK_BYTES};
use crate::object_response;
use crate::open_archive::{OpenArchive, THINGS};
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::service::Service;
use crate::tags::Tag;

#[derive(ApiResponse)]
#[expect(clippy::duplicated_attributes, reason = "headers have the same type")]
#[oai(
    header(
        name = "Cache-Control",
        ty = "String",
        description = "Permits caching in the owner's browser."
    ),
    header(name = "Vary", ty = "String", description = "Always `Authorization`."),
    header(
        name = "Content-Disposition",
        ty = "String",
        description = "File name of the sheet (RFC 6266)."
    ),
    header(name = "Content-Length", ty = "u64", description = "Size of the body, in bytes.")
)]
enum SheetResponse {
    /// The contact sheet.
    #[oai(status = 200, content_type = "image/jpeg")]
    Sheet(Binary<Body>),
}

problem_responses! {
    SheetProblems {
        400: "A parameter is malformed or out of range, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has no contact sheet with this number.",
            FILE_NOT_FOUND JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many frames of the user are read at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operation on contact sheets.
pub struct Sheets;

#[OpenApi(tag = "Tag::Videos")]
impl Sheets {
    /// Get a contact sheet
    ///
    /// Returns a JPEG with small copies of the frames, if the recipe of the job requests contact
    /// sheets. `GET /jobs/{id}/frames` states the number of `sheets`.
    #[oai(path = "/jobs/:id/sheets/:number", method = "get", operation_id = "getSheet")]
    async fn get(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
        /// Number of the sheet, from 1.
        #[oai(validator(minimum(value = "1"), maximum(value = "4294967295")))]
        number: Path<u64>,
    ) -> Result<Response<SheetResponse>, OperationError<SheetProblems>> {
        let slot = service.reads.acquire(caller.user, THINGS)?;
        let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
        let sheets = &archive.contents.manifest.sheets;
        let index = usize::try_from(number.0 - 1).unwrap_or(usize::MAX);
        let sheet = sheets.get(index).ok_or_else(|| {
            let detail = format!(
                "The job has {} contact sheets. Process the video again with `sheet` in the \
                 recipe to get some.",
                sheets.len()
            );
            Problem::new(StatusCode::NOT_FOUND, "FILE_NOT_FOUND", detail)
        })?;
        let end = sheet.offset.checked_add(sheet.length).filter(|end| *end <= archive.object.size);
        let end = end.ok_or_else(|| {
            ArchiveReader::invalid(&archive.object, &"a contact sheet is outside of it")
        })?;
        let range = sheet.offset..end;
        let storage = &service.parts.storage;
        let body = object_response::body(storage, &archive.object, range, CHUNK_BYTES, slot);
        Ok(Response::new(SheetResponse::Sheet(Binary(body)))
            .header(header::CACHE_CONTROL, CACHE_CONTROL)
            .header(header::VARY, "Authorization")
            .header(header::CONTENT_DISPOSITION, content_disposition(&sheet.name))
            .header(header::CONTENT_LENGTH, sheet.length))
    }
}
