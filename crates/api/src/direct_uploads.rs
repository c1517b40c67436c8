//! Direct uploads: a client sends the parts of a video to the S3 store itself, by presigned
//! requests, so no byte of it passes this service.
//!
//! They are resumable uploads of another kind: recorded, reserved, expired and swept like these,
//! and completed by the same steps. Their operations have paths of their own, because the document
//! cannot express that the content type decides about the headers of a request and the status of
//! its response.

use std::sync::Arc;

use database::resumable_uploads::{NewUpload, ResumableUpload, UploadState};
use jobs::Time;
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use storage::{DirectUploads, PartRequest};
use uuid::Uuid;

use crate::confirmation::check_confirmed;
use crate::examples;
use crate::input::Input;
use crate::operation_error::{OperationError, problem_responses};
use crate::own_upload::own_direct;
use crate::permissions::{Permitted, VideosWrite};
use crate::problem::Problem;
use crate::problem_examples::FieldExample;
use crate::recipe_view::RecipeInput;
use crate::resumable_uploads::run;
use crate::service::Service;
use crate::tags::Tag;
use crate::tus;
use crate::upload_completion::{complete_direct, end_upload};
use crate::upload_creation::{create, describe_video};
use crate::upload_receiver::{read_progress, upload_ended};
use crate::uploads::{AcceptedResponse, accepted, count_refusal, traceparent};

/// Video that the client sends to the file store.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct NewDirectUpload {
    /// File name of the video, with the suffix of its format.
    filename: String,
    /// Size of the video, in bytes.
    size: u64,
    /// Frames to extract, and their form. Default: one PNG per second.
    recipe: RecipeInput,
}

impl Example for NewDirectUpload {
    fn example() -> Self {
        Self {
            filename: examples::FILENAME.to_owned(),
            size: examples::VIDEO_BYTES,
            recipe: RecipeInput::example(),
        }
    }
}

/// Request with which a client sends a part of a video to the file store.
#[derive(Object)]
#[oai(example)]
struct UploadPart {
    /// Number of the part, counted from 1.
    number: u32,
    /// Size of the part, in bytes. The file store accepts no other `Content-Length`.
    size: u64,
    /// URL for a `PUT` request with the bytes of the part, without an `Authorization` header. The
    /// header `ETag` of its response is needed to complete the upload.
    url: String,
}

impl Example for UploadPart {
    fn example() -> Self {
        let url = "https://files.example.com/fiapx-videos/videos/0190a000/input.mp4?partNumber=1\
                   &X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=9f86d081";
        Self { number: 1, size: 16 << 20, url: url.to_owned() }
    }
}

/// Upload whose parts the client sends to the file store.
#[derive(Object)]
#[oai(example)]
struct DirectUpload {
    /// Id of the upload, and of the job that it becomes.
    id: Uuid,
    /// Size of each part but the last, in bytes.
    part_size: u64,
    /// Parts of the video, in their order.
    parts: Vec<UploadPart>,
    /// Time at which the upload and its URLs expire.
    expires_at: Time,
}

impl Example for DirectUpload {
    fn example() -> Self {
        let first = UploadPart::example();
        let url = first.url.replace("partNumber=1", "partNumber=2");
        let second = UploadPart { number: 2, size: examples::VIDEO_BYTES - first.size, url };
        Self {
            id: examples::JOB_ID,
            part_size: first.size,
            parts: vec![first, second],
            expires_at: examples::time(48 * 60 * 60),
        }
    }
}

/// Parts that the client has sent.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct SentParts {
    /// Headers `ETag` of the responses of the file store, in the order of the parts. Their
    /// quotation marks may be missing.
    etags: Vec<String>,
}

impl Example for SentParts {
    fn example() -> Self {
        let tags = ["9e107d9d372bb6826bd81d3542a419d6", "e4d909c290d0fb1ca068ffaddf22cbd0"];
        Self { etags: tags.map(|tag| format!("\"{tag}\"")).to_vec() }
    }
}

#[derive(ApiResponse)]
enum CreatedResponse {
    /// The upload is created, and its bytes are reserved.
    #[oai(status = 201)]
    Created(
        Json<DirectUpload>,
        /// Path of the upload.
        #[oai(header = "Location")]
        String,
    ),
}

problem_responses! {
    CreateProblems {
        400: "The body is not JSON.", INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The service has no file store that clients can reach, the user's e-mail address is \
              not confirmed, or the API key lacks the scope.",
            DIRECT_UPLOADS_UNAVAILABLE ADDRESS_NOT_CONFIRMED KEY_SCOPE_MISSING;
        410: "The upload has ended meanwhile.", UPLOAD_EXPIRED;
        413: "The video or the body is too large.", VIDEO_TOO_LARGE BODY_TOO_LARGE;
        415: "The content type is not JSON, or the video format is not supported.",
            UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_FORMAT;
        422: "The video has no name or no bytes, or the recipe is invalid.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new("size", "EMPTY_FILE", "The file `beach.mp4` is empty.");
        429: "Too many jobs queued or running, or jobs within an hour.",
            TOO_MANY_JOBS TOO_MANY_JOBS_PER_HOUR;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full, or the quota of the user is used up.",
            STORAGE_FULL QUOTA_EXCEEDED;
    }
    CompleteProblems {
        400: "Malformed id, or the body is not JSON.",
            INVALID_PARAMETER INVALID_JSON INVALID_BODY;
        401: "The access token or API key is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED KEY_INVALID KEY_EXPIRED;
        403: "The upload belongs to another user, the service has no file store that clients can \
              reach anymore, or the API key lacks the scope.",
            NOT_YOUR_UPLOAD DIRECT_UPLOADS_UNAVAILABLE KEY_SCOPE_MISSING;
        404: "The upload, or the job that it has become, does not exist.",
            UPLOAD_NOT_FOUND JOB_NOT_FOUND;
        409: "The upload is sent to this service, or another request completes it.",
            UPLOAD_NOT_DIRECT UPLOAD_BUSY;
        410: "The upload has expired or was ended.", UPLOAD_EXPIRED;
        413: "The body is too large.", BODY_TOO_LARGE;
        415: "The content type is not JSON, or the video is not one of its format. In the latter \
              case the upload is ended.",
            UNSUPPORTED_MEDIA_TYPE CONTENT_MISMATCH;
        422: "The ETags are not those of all parts. The upload can be completed with others.",
            INVALID_FIELDS INVALID_BODY,
            FieldExample::new("etags[2]", "PART_MISSING", "Part 3 is not stored. Send it.");
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database or the file store is unavailable.", UNAVAILABLE;
        507: "The file store is full.", STORAGE_FULL;
    }
}

/// Operations on direct uploads.
pub struct DirectUploadOperations;

#[OpenApi(tag = "Tag::Videos")]
impl DirectUploadOperations {
    /// Create a direct upload
    ///
    /// Creates an upload of one video whose parts the client sends to the file store itself, each
    /// with one `PUT` request to its URL, in any order and repeatedly, until the upload expires
    /// after two days. `direct` of the upload limits states whether the service offers that. If
    /// not, create a resumable upload.
    #[oai(path = "/uploads/direct", method = "post", operation_id = "createDirectUpload")]
    async fn create(
        &self,
        service: Data<&Arc<Service>>,
        caller: Permitted<VideosWrite>,
        input: Input<NewDirectUpload>,
    ) -> Result<CreatedResponse, OperationError<CreateProblems>> {
        check_confirmed(&service, caller.user).await?;
        let NewDirectUpload { filename, size, recipe } = input.0;
        store(&service)?;
        let recipe = recipe.parse()?;
        let new = describe_video(&service, caller.user, &filename, ("size", size), recipe)?;
        let service = Arc::clone(&service);
        // The request's future is dropped when its connection ends, at any point. The task
        // continues, so the upload is begun completely or ended.
        let begun = run(async move { begin(&service, new).await.inspect_err(count_refusal) });
        let upload = begun.await?;
        let location = format!("{}/{}", tus::PATH, upload.id);
        Ok(CreatedResponse::Created(Json(upload), location))
    }

    /// Complete a direct upload
    ///
    /// Makes an upload a job with the same id, after all of its parts were sent to the file store.
    /// Repeating the request returns the same job.
    #[oai(path = "/uploads/:id/complete", method = "post", operation_id = "completeDirectUpload")]
    async fn complete(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        caller: Permitted<VideosWrite>,
        /// Id of the upload.
        id: Path<Uuid>,
        input: Input<SentParts>,
    ) -> Result<AcceptedResponse, OperationError<CompleteProblems>> {
        let upload = own_direct(&service, caller.user, id.0).await?;
        let id = upload.id;
        if upload.state != UploadState::Accepted {
            let traceparent = traceparent(&service, request);
            let (service, tags) = (Arc::clone(&service), input.0.etags);
            // As when it is created.
            let completed = run(async move {
                complete_direct(&service, &upload, store(&service)?, &tags, &traceparent).await
            });
            completed.await?;
        }
        let job = service.database().job(id).await?.ok_or_else(Problem::job_not_found)?;
        Ok(accepted(vec![job])?)
    }
}

/// Store to which clients send uploads themselves.
fn store(service: &Service) -> Result<&dyn DirectUploads, Problem> {
    service.parts.storage.direct_uploads().ok_or_else(|| {
        let detail = "This service has no file store that clients can reach. Upload the video with \
                      `POST /uploads` or `POST /videos/upload`.";
        Problem::new(StatusCode::FORBIDDEN, "DIRECT_UPLOADS_UNAVAILABLE", detail)
    })
}

/// Create an upload, and sign the requests for its parts.
async fn begin(service: &Service, new: NewUpload) -> Result<DirectUpload, Problem> {
    let store = store(service)?;
    let upload = create(service, new, Some(store)).await?;
    let signed = sign(service, &upload, store).await;
    if signed.is_err() {
        // Nobody knows its id.
        end_upload(service, &upload).await?;
    }
    signed
}

async fn sign(
    service: &Service,
    upload: &ResumableUpload,
    store: &dyn DirectUploads,
) -> Result<DirectUpload, Problem> {
    let UploadState::Receiving(progress) = &upload.state else { return Err(upload_ended()) };
    let (key, checkpoint) = read_progress(upload, progress)?;
    let left = upload.expires_at - service.database().clock().now();
    let valid_for = left.to_std().map_err(|_| upload_ended())?;
    let requests = store.part_requests(&key, &checkpoint, valid_for).await?;
    let part = |PartRequest { number, size, url }| UploadPart { number, size, url };
    Ok(DirectUpload {
        id: upload.id.0,
        part_size: checkpoint.direct_part_size().unwrap_or(upload.size_bytes),
        parts: requests.into_iter().map(part).collect(),
        expires_at: upload.expires_at,
    })
}
