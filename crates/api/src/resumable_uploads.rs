//! Operations on resumable uploads.

use std::sync::Arc;

use database::resumable_uploads::{ResumableUpload, UploadState};
use jobs::UserId;
use poem::Request;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::{ApiResponse, OpenApi};
use tracing::{Instrument, info};
use uuid::Uuid;

use crate::confirmation::check_confirmed;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_upload::{own_resumable, own_upload};
use crate::permissions::{Permitted, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::quotas;
use crate::service::Service;
use crate::tags::Tag;
use crate::tus::{self, Checksum, FirstBytes, http_date};
use crate::upload_completion::{UploadBody, continue_upload, end_upload, finish};
use crate::upload_creation;
use crate::upload_receiver::{exceeds_length, upload_ended};
use crate::upload_slots::UploadSlot;
use crate::uploads::{count_refusal, traceparent};

#[derive(ApiResponse)]
enum CapabilitiesResponse {
    /// Version, extensions and limits.
    #[oai(status = 204)]
    Capabilities(
        /// Supported version of the protocol.
        #[oai(header = "Tus-Version")]
        String,
        /// Supported extensions, separated by commas.
        #[oai(header = "Tus-Extension")]
        String,
        /// Maximum size of a video, in bytes.
        #[oai(header = "Tus-Max-Size")]
        u64,
        /// Supported algorithm of checksums.
        #[oai(header = "Tus-Checksum-Algorithm")]
        String,
    ),
}

#[derive(ApiResponse)]
enum CreatedResponse {
    /// The upload is created, and the bytes of the body are stored.
    #[oai(status = 201)]
    Created(
        /// Path of the upload.
        #[oai(header = "Location")]
        String,
        /// Number of bytes that are stored.
        #[oai(header = "Upload-Offset")]
        u64,
        /// Time at which the upload expires, as an HTTP date.
        #[oai(header = "Upload-Expires")]
        String,
        /// Id of the job, if all bytes are stored.
        #[oai(header = "X-Job-Id")]
        Option<Uuid>,
    ),
}

#[derive(ApiResponse)]
enum StateResponse {
    /// State of the upload.
    #[oai(status = 200)]
    State(
        /// Number of bytes that are stored.
        #[oai(header = "Upload-Offset")]
        u64,
        /// Size of the video, in bytes.
        #[oai(header = "Upload-Length")]
        u64,
        /// Metadata as the client has sent it.
        #[oai(header = "Upload-Metadata")]
        String,
        /// Time at which the upload expires, as an HTTP date.
        #[oai(header = "Upload-Expires")]
        String,
        /// Id of the job, if all bytes are stored.
        #[oai(header = "X-Job-Id")]
        Option<Uuid>,
    ),
}

#[derive(ApiResponse)]
enum ContinuedResponse {
    /// The bytes are stored.
    #[oai(status = 204)]
    Continued(
        /// Number of bytes that are stored.
        #[oai(header = "Upload-Offset")]
        u64,
        /// Time at which the upload expires, as an HTTP date.
        #[oai(header = "Upload-Expires")]
        String,
        /// Id of the job, if all bytes are stored.
        #[oai(header = "X-Job-Id")]
        Option<Uuid>,
    ),
}

#[derive(ApiResponse)]
enum TerminatedResponse {
    /// The upload is ended, and its bytes are deleted.
    #[oai(status = 204)]
    Terminated,
}

problem_responses! {
    CreateProblems {
        400: "Malformed header, or incomplete body. The upload is not created.",
            INVALID_PARAMETER CHECKSUM_UNSUPPORTED UPLOAD_BROKEN;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The e-mail address of the user is not confirmed, or the API key lacks the scope.",
            ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING;
        408: "The body stalled or was too slow. The upload is not created.",
            UPLOAD_STALLED UPLOAD_TOO_SLOW UPLOAD_DISPLACED;
        409: "Another request writes the upload.", UPLOAD_BUSY;
        410: "The upload has ended meanwhile.", UPLOAD_EXPIRED;
        412: "Another version of the protocol.", TUS_VERSION_UNSUPPORTED;
        413: "The video is too large, or the body is larger than the video.",
            VIDEO_TOO_LARGE UPLOAD_LENGTH_EXCEEDED;
        415: "The body has another content type, or not a supported video format.",
            UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_FORMAT CONTENT_MISMATCH;
        422: "The metadata has no file name or an invalid recipe, or the video is empty.",
            INVALID_FIELDS,
            FieldExample::new("filename", "FILENAME_MISSING", "The file has no name.");
        429: "Too many uploads in progress, jobs queued or running, or jobs within an hour.",
            TOO_MANY_UPLOADS TOO_MANY_JOBS TOO_MANY_JOBS_PER_HOUR;
        460: "The body does not have the stated checksum. The upload is not created.",
            CHECKSUM_MISMATCH;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full, or the quota of the user is used up.",
            STORAGE_FULL QUOTA_EXCEEDED;
    }
    StateProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The upload belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_UPLOAD KEY_SCOPE_MISSING;
        404: "The upload does not exist.", UPLOAD_NOT_FOUND;
        409: "Another request has continued or ended the upload, or its parts are sent to the file \
              store.",
            UPLOAD_BUSY UPLOAD_DIRECT;
        410: "The upload has expired or was ended.", UPLOAD_EXPIRED;
        412: "Another version of the protocol.", TUS_VERSION_UNSUPPORTED;
        415: "The video is not one of its format. The upload is ended.", CONTENT_MISMATCH;
        423: "All bytes are stored, and another request makes the upload a job.", UPLOAD_BUSY;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full.", STORAGE_FULL;
    }
    ContinueProblems {
        400: "Malformed id or header, or incomplete body. Without a checksum, what was received \
              is stored.",
            INVALID_PARAMETER CHECKSUM_UNSUPPORTED UPLOAD_BROKEN;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The upload belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_UPLOAD KEY_SCOPE_MISSING;
        404: "The upload does not exist.", UPLOAD_NOT_FOUND;
        408: "The body stalled or was too slow. Without a checksum, what was received is stored.",
            UPLOAD_STALLED UPLOAD_TOO_SLOW UPLOAD_DISPLACED;
        409: "The offset is not that of the upload, another request writes it, or its parts are \
              sent to the file store.",
            UPLOAD_OFFSET_MISMATCH UPLOAD_BUSY UPLOAD_DIRECT;
        410: "The upload has expired or was ended.", UPLOAD_EXPIRED;
        412: "Another version of the protocol.", TUS_VERSION_UNSUPPORTED;
        413: "The body has more bytes than the upload lacks.", UPLOAD_LENGTH_EXCEEDED;
        415: "The body has another content type, or the video is not one of its format. In the \
              latter case the upload is ended.",
            UNSUPPORTED_MEDIA_TYPE CONTENT_MISMATCH;
        429: "Too many uploads in progress.", TOO_MANY_UPLOADS;
        460: "The body does not have the stated checksum. Nothing of it is stored.",
            CHECKSUM_MISMATCH;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full.", STORAGE_FULL;
    }
    TerminateProblems {
        400: "Malformed id.", INVALID_PARAMETER;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The upload belongs to another user, or the API key lacks the scope.",
            NOT_YOUR_UPLOAD KEY_SCOPE_MISSING;
        404: "The upload does not exist.", UPLOAD_NOT_FOUND;
        409: "The upload is a job already.", UPLOAD_FINISHED;
        410: "The upload has expired or was ended.", UPLOAD_EXPIRED;
        412: "Another version of the protocol.", TUS_VERSION_UNSUPPORTED;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on resumable uploads.
pub struct ResumableUploads;

#[OpenApi(tag = "Tag::Videos")]
impl ResumableUploads {
    /// Get the capabilities of resumable uploads
    ///
    /// Returns the version, the extensions and the limits of resumable uploads (tus 1.0.0).
    #[oai(path = "/uploads", method = "options", operation_id = "getUploadCapabilities")]
    #[expect(clippy::unused_async, reason = "operations must be async")]
    async fn capabilities(&self, service: Data<&Arc<Service>>) -> CapabilitiesResponse {
        CapabilitiesResponse::Capabilities(
            tus::VERSION.to_owned(),
            tus::EXTENSIONS.to_owned(),
            service.settings.max_video_bytes,
            tus::CHECKSUM_ALGORITHM.to_owned(),
        )
    }

    /// Create a resumable upload
    ///
    /// Creates an upload of one video that can be continued after an interruption, over any
    /// connection, until it expires after two days (tus 1.0.0). The body may contain the first
    /// bytes or the whole video. When all bytes are stored, the upload becomes a job with the same
    /// id, which the response states in `X-Job-Id`.
    #[oai(path = "/uploads", method = "post", operation_id = "createUpload")]
    #[allow(clippy::too_many_arguments, reason = "each header is an argument")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Version of the protocol: `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
        /// Size of the video, in bytes.
        #[oai(name = "Upload-Length")]
        length: Header<u64>,
        /// Pairs of a key and a value in Base64, separated by commas: `filename`, and optionally
        /// `recipe`, the frames to extract and their form, as JSON.
        #[oai(name = "Upload-Metadata")]
        metadata: Header<Option<String>>,
        /// Checksum of the body: `sha256` and the SHA-256 in Base64. If it is wrong, the upload is
        /// not created.
        #[oai(name = "Upload-Checksum")]
        checksum: Header<Option<String>>,
        body: FirstBytes,
    ) -> Result<CreatedResponse, OperationError<CreateProblems>> {
        tus::check_version(version.0.as_deref())?;
        check_confirmed(&service, caller.user).await?;
        let checksum = checksum.0.as_deref().map(Checksum::parse).transpose()?;
        let metadata = metadata.0.unwrap_or_default();
        let new = upload_creation::describe(&service, caller.user, length.0, metadata)?;
        let first = first_bytes(&service, request, caller.user, body, checksum, length.0)?;
        let service = Arc::clone(&service);
        // The request's future is dropped when its connection ends, at any point. The task
        // continues, so what was received is recorded.
        let created = run(async move {
            let upload = upload_creation::create(&service, new, None).await;
            let upload = upload.inspect_err(count_refusal)?;
            let Some((body, _slot)) = first else { return Ok((upload, 0)) };
            let continued = continue_upload(&service, &upload, 0, body).await;
            if continued.is_err() {
                // The client does not know its path.
                end_upload(&service, &upload).await?;
            }
            Ok((upload, continued?))
        });
        let (upload, offset) = created.await?;
        let job = (offset == upload.size_bytes).then_some(upload.id.0);
        let location = format!("{}/{}", tus::PATH, upload.id);
        Ok(CreatedResponse::Created(location, offset, http_date(upload.expires_at), job))
    }

    /// Get the offset of a resumable upload
    ///
    /// Returns how many bytes of an upload are stored: a client continues it there. If all are and
    /// the upload is not a job yet, because a process has ended, the request makes it one.
    #[oai(path = "/uploads/:id", method = "head", operation_id = "getUploadOffset")]
    async fn state(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Id of the upload.
        id: Path<Uuid>,
        /// Version of the protocol: `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
    ) -> Result<StateResponse, OperationError<StateProblems>> {
        tus::check_version(version.0.as_deref())?;
        let upload = own_resumable(&service, caller.user, id.0).await?;
        let offset = match &upload.state {
            UploadState::Ended => return Err(upload_ended().into()),
            UploadState::Accepted => upload.size_bytes,
            UploadState::Receiving(progress) if progress.received_bytes < upload.size_bytes => {
                progress.received_bytes
            }
            UploadState::Receiving(_) => {
                let traceparent = traceparent(&service, request);
                let (service, received) = (Arc::clone(&service), upload.clone());
                run(async move { finish(&service, &received, &traceparent).await }).await?;
                upload.size_bytes
            }
        };
        let ResumableUpload { size_bytes, metadata, expires_at, .. } = upload;
        let job = (offset == size_bytes).then_some(id.0);
        let expires = http_date(expires_at);
        Ok(StateResponse::State(offset, size_bytes, metadata, expires, job))
    }

    /// Continue a resumable upload
    ///
    /// Appends bytes to an upload, at its offset. Only one request at a time can do so. When all
    /// bytes are stored, the upload becomes a job with the same id, which the response states in
    /// `X-Job-Id`; repeating the last request without bytes returns the same job.
    #[oai(path = "/uploads/:id", method = "patch", operation_id = "continueUpload")]
    #[allow(clippy::too_many_arguments, reason = "each header is an argument")]
    async fn append(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Id of the upload.
        id: Path<Uuid>,
        /// Version of the protocol: `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
        /// Offset of the first byte of the body: the number of bytes that are stored.
        #[oai(name = "Upload-Offset")]
        offset: Header<u64>,
        /// Checksum of the body: `sha256` and the SHA-256 in Base64. If it is wrong, nothing of the
        /// body is stored.
        #[oai(name = "Upload-Checksum")]
        checksum: Header<Option<String>>,
        body: tus::Bytes,
    ) -> Result<ContinuedResponse, OperationError<ContinueProblems>> {
        tus::check_version(version.0.as_deref())?;
        let checksum = checksum.0.as_deref().map(Checksum::parse).transpose()?;
        let upload = own_resumable(&service, caller.user, id.0).await?;
        let slot = quotas::take_slot(&service, caller.user)?;
        let end = content_length(request).map(|length| length.saturating_add(offset.0));
        if end.is_some_and(|end| end > upload.size_bytes) {
            return Err(exceeds_length().into());
        }
        let traceparent = traceparent(&service, request);
        let body = UploadBody { body: body.0, checksum, traceparent };
        let service = Arc::clone(&service);
        let expires = http_date(upload.expires_at);
        let (from, size_bytes) = (offset.0, upload.size_bytes);
        // As when it is created.
        let offset = run(async move {
            let _slot = slot;
            continue_upload(&service, &upload, from, body).await
        });
        let offset = offset.await?;
        let job = (offset == size_bytes).then_some(id.0);
        Ok(ContinuedResponse::Continued(offset, expires, job))
    }

    /// End a resumable upload
    ///
    /// Deletes an upload that is not a job yet, with its bytes; also one whose parts the client
    /// sends to the file store.
    #[oai(path = "/uploads/:id", method = "delete", operation_id = "terminateUpload")]
    async fn terminate(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosWrite>,
        /// Id of the upload.
        id: Path<Uuid>,
        /// Version of the protocol: `1.0.0`.
        #[oai(name = "Tus-Resumable")]
        version: Header<Option<String>>,
    ) -> Result<TerminatedResponse, OperationError<TerminateProblems>> {
        tus::check_version(version.0.as_deref())?;
        let upload = own_upload(&service, caller.user, id.0).await?;
        let is_job = upload.state == UploadState::Accepted;
        if !is_job && end_upload(&service, &upload).await? {
            info!(upload_id = %upload.id, "an upload was ended by its user");
            return Ok(TerminatedResponse::Terminated);
        }
        let is_job = is_job || service.database().job(upload.id).await?.is_some();
        if !is_job {
            return Err(upload_ended().into());
        }
        let detail = "The upload is a job already. Cancel or delete the job.";
        Err(Problem::new(StatusCode::CONFLICT, "UPLOAD_FINISHED", detail).into())
    }
}

/// Body of a request that creates an upload of this size, with the slot to receive it, if it has
/// one.
fn first_bytes(
    service: &Arc<Service>,
    request: &Request,
    user: UserId,
    body: FirstBytes,
    checksum: Option<Checksum>,
    size_bytes: u64,
) -> Result<Option<(UploadBody, UploadSlot)>, Problem> {
    let Some(body) = body.0 else { return Ok(None) };
    if content_length(request).is_some_and(|length| length > size_bytes) {
        return Err(exceeds_length());
    }
    let slot = quotas::take_slot(service, user)?;
    let traceparent = traceparent(service, request);
    Ok(Some((UploadBody { body, checksum, traceparent }, slot)))
}

/// Size of the body of a request in bytes, if the client states it.
fn content_length(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Run work to its end, even if the caller is dropped.
pub async fn run<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let result = tokio::spawn(work.in_current_span()).await;
    result.map_err(|error| Problem::internal(&error))?
}
