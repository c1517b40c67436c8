//! Access to the resumable uploads of a user.

use database::resumable_uploads::{ResumableUpload, UploadState};
use jobs::{JobId, UserId};
use poem::http::StatusCode;
use tracing::warn;
use uuid::Uuid;

use crate::problem::Problem;
use crate::service::Service;
use crate::upload_receiver::read_progress;

/// Upload with this id, if it belongs to the user.
pub async fn own_upload(
    service: &Service,
    user: UserId,
    id: Uuid,
) -> Result<ResumableUpload, Problem> {
    let upload = service.database().resumable_upload(JobId(id)).await?.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "UPLOAD_NOT_FOUND", "The upload does not exist.")
    })?;
    if upload.user != user {
        let event = "access_denied";
        warn!(security_event = event, upload_id = %id, "an upload of another user was requested");
        let detail = "The upload belongs to another user.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "NOT_YOUR_UPLOAD", detail));
    }
    Ok(upload)
}

/// Upload with this id, if it belongs to the user and its bytes are sent to this service.
pub async fn own_resumable(
    service: &Service,
    user: UserId,
    id: Uuid,
) -> Result<ResumableUpload, Problem> {
    let upload = own_upload(service, user, id).await?;
    if is_direct(&upload)? == Some(true) {
        let detail = "The parts of the upload are sent to the file store. Send them there, and \
                      complete it with `POST /uploads/{id}/complete`.";
        return Err(Problem::new(StatusCode::CONFLICT, "UPLOAD_DIRECT", detail));
    }
    Ok(upload)
}

/// Upload with this id, if it belongs to the user and its parts are sent to the store.
pub async fn own_direct(
    service: &Service,
    user: UserId,
    id: Uuid,
) -> Result<ResumableUpload, Problem> {
    let upload = own_upload(service, user, id).await?;
    if is_direct(&upload)? == Some(false) {
        let detail = "The bytes of the upload are sent to this service, by `PATCH /uploads/{id}`. \
                      It is completed by the last of them.";
        return Err(Problem::new(StatusCode::CONFLICT, "UPLOAD_NOT_DIRECT", detail));
    }
    Ok(upload)
}

/// Whether the parts of an upload are sent to the store, while it is not a job and has not ended.
fn is_direct(upload: &ResumableUpload) -> Result<Option<bool>, Problem> {
    let UploadState::Receiving(progress) = &upload.state else { return Ok(None) };
    let (_, checkpoint) = read_progress(upload, progress)?;
    Ok(Some(checkpoint.direct_part_size().is_some()))
}
