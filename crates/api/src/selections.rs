//! Download of selected frames of an archive.

use std::sync::Arc;

use poem::http::header;
use poem::web::Data;
use poem::{Body, Request};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Response};
use poem_openapi::{ApiResponse, OpenApi};
use storage::content_disposition;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::concurrency::UserSlot;
use crate::downloads::count_download;
use crate::files::{DOWNLOADS, invalid_link};
use crate::frame_numbers::FrameNumbers;
use crate::open_archive::OpenArchive;
use crate::operation_error::{OperationError, problem_responses};
use crate::permissions::{Permitted, VideosRead};
use crate::problem::Problem;
use crate::selected_archive::{self, SelectedArchive};
use crate::service::Service;
use crate::tags::Tag;

// Each response type declares its headers as literals: the derive accepts no shared declaration.
#[derive(ApiResponse)]
#[oai(
    header(
        name = "Content-Disposition",
        ty = "String",
        description = "File name of the archive (RFC 6266)."
    ),
    header(name = "Content-Length", ty = "u64", description = "Size of the body, in bytes.")
)]
enum SelectionResponse {
    /// Archive of the selected frames and a manifest, which states the selection in `selected`.
    #[oai(status = 200, content_type = "application/zip")]
    Archive(Binary<Body>),
}

problem_responses! {
    SelectionProblems {
        400: "A parameter is missing or malformed, or the job is not finished.",
            NOT_DONE INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The job belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_JOB KEY_SCOPE_MISSING;
        404: "The job does not exist, or has no frame with one of the numbers.",
            FRAME_NOT_FOUND JOB_NOT_FOUND;
        410: "The archive has expired.", ARCHIVE_EXPIRED;
        429: "Too many downloads in one minute, or at the same time.",
            TOO_MANY_DOWNLOADS TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
    LinkedProblems {
        400: "A parameter is missing, or the job is not finished.", NOT_DONE INVALID_PARAMETER;
        403: "The signature of the link is invalid.", LINK_INVALID;
        404: "The job does not exist, or has no frame with one of the numbers.",
            FRAME_NOT_FOUND JOB_NOT_FOUND;
        410: "The link or the archive has expired.", LINK_EXPIRED ARCHIVE_EXPIRED;
        429: "Too many archives of the user are downloaded at the same time.", TOO_MANY_AT_ONCE;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
    }
}

/// Operations on selected frames.
pub struct Selections;

#[OpenApi(tag = "Tag::Videos")]
impl Selections {
    /// Download selected frames
    ///
    /// Returns a ZIP with the files of these frames and a manifest that lists them. Contact sheets
    /// are left out. Browsers use a link instead: `GET /jobs/{id}/download` with the same `frames`.
    #[oai(path = "/jobs/:id/archive", method = "get", operation_id = "downloadSelectedFrames")]
    async fn archive(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosRead>,
        /// Id of the job.
        id: Path<Uuid>,
        /// Numbers and ranges of frames between commas, such as `1,5,9-12`: at most 1,000, with
        /// 8,000 characters and 10,000 frames. Single numbers, and the first and the last one of a
        /// range, have to be those of frames.
        frames: Query<String>,
    ) -> Result<Response<SelectionResponse>, OperationError<SelectionProblems>> {
        let slot = service.downloads.acquire(caller.user, DOWNLOADS)?;
        let archive = OpenArchive::own(&service, request, caller.user, id.0).await?;
        let numbers = FrameNumbers::parse(&frames.0)?;
        let name = selected_archive::name(&archive.job.filename);
        let selected = select(archive, numbers).await?;
        count_download(&service, &caller.limited_as()).await?;
        Ok(response(&service, &name, selected, slot))
    }

    /// Download selected frames by a link
    ///
    /// The links of `GET /jobs/{id}/download` with `frames` lead here. The link itself authorizes
    /// the download; no access token is needed.
    #[oai(path = "/files/selection", method = "get", operation_id = "downloadLinkedFrames")]
    async fn linked(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        /// Token of the link, which names the frames.
        token: Query<String>,
    ) -> Result<Response<SelectionResponse>, OperationError<LinkedProblems>> {
        let selection = service.selection_links.verify(&token.0).map_err(invalid_link)?;
        let slot = service.downloads.acquire(selection.user, DOWNLOADS)?;
        let archive = OpenArchive::own(&service, request, selection.user, selection.job).await?;
        let name = selected_archive::name(&archive.job.filename);
        let selected = select(archive, selection.numbers).await?;
        Ok(response(&service, &name, selected, slot))
    }
}

/// Archive of these frames. The manifest of thousands takes a thread some milliseconds.
async fn select(archive: OpenArchive, numbers: FrameNumbers) -> Result<SelectedArchive, Problem> {
    let selected = spawn_blocking(move || {
        SelectedArchive::new(archive.object, &archive.contents.manifest, &numbers)
    });
    selected.await.map_err(|panic| Problem::internal(&panic))?
}

/// Response with an archive, under this file name.
fn response(
    service: &Service,
    name: &str,
    archive: SelectedArchive,
    slot: UserSlot,
) -> Response<SelectionResponse> {
    let size = archive.size();
    let body = archive.body(&service.parts.storage, slot);
    Response::new(SelectionResponse::Archive(Binary(body)))
        .header(header::CONTENT_DISPOSITION, content_disposition(name))
        .header(header::CONTENT_LENGTH, size)
}
