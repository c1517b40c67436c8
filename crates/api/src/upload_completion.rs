//! Continuation of resumable uploads, up to the job.
//!
//! Every step can be repeated, by any process: the store assembles the video once, and the job has
//! the id of the upload, so there is one. A process that ends in between leaves the upload
//! complete but without a job, and the next request about it goes on.

use std::time::Duration;

use database::accept::{Accepted, Video};
use database::resumable_uploads::{ResumableUpload, UploadState};
use jobs::VideoFormat;
use jobs::video::Container;
use poem::Body;
use poem::http::StatusCode;
use storage::DirectUploads;
use tracing::{Instrument, info_span};

use crate::problem::Problem;
use crate::service::Service;
use crate::tus::Checksum;
use crate::upload_checks::check_content;
use crate::upload_receiver::{HeldUpload, Receipt, upload_ended};
use crate::upload_records::UploadRecords;
use crate::uploads::record_acceptance;

/// Time within which the files of an upload are deleted, until maintenance does that.
pub const DELETION_HOLD: Duration = Duration::from_mins(10);

/// End an upload that cannot become a job, and delete what is stored of it.
pub async fn end_upload(service: &Service, upload: &ResumableUpload) -> Result<bool, Problem> {
    let terminated = service.database().terminate_upload(upload.id, DELETION_HOLD).await?;
    if let Some(terminated) = &terminated {
        UploadRecords::of(service).discard(terminated).await;
    }
    Ok(terminated.is_some())
}

/// Body of a request that continues an upload.
pub struct UploadBody {
    /// The bytes.
    pub body: Body,
    /// Their checksum, if the client states it.
    pub checksum: Option<Checksum>,
    /// Trace of the job.
    pub traceparent: String,
}

/// Append a body to an upload at this offset, make the upload a job if it is complete then, and
/// return its offset.
pub async fn continue_upload(
    service: &Service,
    upload: &ResumableUpload,
    offset: u64,
    body: UploadBody,
) -> Result<u64, Problem> {
    let UploadBody { body, checksum, traceparent } = body;
    let received = match &upload.state {
        UploadState::Ended => return Err(upload_ended()),
        UploadState::Accepted => upload.size_bytes,
        UploadState::Receiving(progress) => progress.received_bytes,
    };
    if offset != received {
        return Err(other_offset(received));
    }
    if upload.state == UploadState::Accepted {
        return Ok(received);
    }
    let mut held =
        hold(service, upload, offset).await?.ok_or_else(|| busy(StatusCode::CONFLICT))?;
    if offset < upload.size_bytes {
        match held.receive(body, checksum).await {
            Receipt::Recorded if held.checkpoint.is_complete() => {}
            Receipt::Recorded => return Ok(held.checkpoint.offset()),
            Receipt::Cut(problem) => return Err(problem),
            Receipt::Failed(problem) => return Err(give_up(held, problem).await),
        }
    }
    finish_held(held, &traceparent).await?;
    Ok(upload.size_bytes)
}

/// Make an upload a job whose bytes are all stored.
///
/// # Errors
/// 423 (`UPLOAD_BUSY`): another request does so.
pub async fn finish(
    service: &Service,
    upload: &ResumableUpload,
    traceparent: &str,
) -> Result<(), Problem> {
    match hold(service, upload, upload.size_bytes).await? {
        Some(held) => finish_held(held, traceparent).await,
        // Another request may have made it one.
        None if is_job(service, upload).await? => Ok(()),
        None => Err(busy(StatusCode::LOCKED)),
    }
}

/// Make an upload a job whose parts the client has sent to the store itself, with these tags. An
/// upload whose parts are recorded already needs none.
pub async fn complete_direct(
    service: &Service,
    upload: &ResumableUpload,
    direct: &dyn DirectUploads,
    tags: &[String],
    traceparent: &str,
) -> Result<(), Problem> {
    let received = match &upload.state {
        UploadState::Ended => return Err(upload_ended()),
        UploadState::Accepted => return Ok(()),
        UploadState::Receiving(progress) => progress.received_bytes,
    };
    let Some(mut held) = hold(service, upload, received).await? else {
        if is_job(service, upload).await? {
            return Ok(());
        }
        let detail = "Another request completes the upload. Repeat this one in a few seconds.";
        return Err(busy(StatusCode::CONFLICT).with_detail(detail));
    };
    if !held.checkpoint.is_complete()
        && let Err(problem) = held.record_parts(direct, tags).await
    {
        return Err(give_up(held, problem).await);
    }
    finish_held(held, traceparent).await
}

async fn hold<'a>(
    service: &'a Service,
    upload: &'a ResumableUpload,
    offset: u64,
) -> Result<Option<HeldUpload<'a>>, Problem> {
    let held = {
        let _turn = service.upload_transactions.turn(upload.user, 0).await;
        service.database().hold_upload(upload.id, offset).await?
    };
    held.map(|progress| HeldUpload::new(service, upload, &progress)).transpose()
}

async fn finish_held(mut held: HeldUpload<'_>, traceparent: &str) -> Result<(), Problem> {
    match complete(&mut held, traceparent).await {
        Ok(()) => Ok(()),
        Err(problem) => Err(give_up(held, problem).await),
    }
}

/// Stop holding an upload after a problem, and end it if it can never become a job.
async fn give_up(held: HeldUpload<'_>, problem: Problem) -> Problem {
    let is_final = ["CONTENT_MISMATCH", "UPLOAD_EXPIRED"].contains(&problem.code());
    if !is_final {
        held.release().await;
        return problem;
    }
    match end_upload(held.service, held.upload).await {
        Ok(_) => problem,
        Err(other) => other,
    }
}

/// Problem of an upload that another request holds.
fn busy(status: StatusCode) -> Problem {
    let detail = "Another request writes the upload. Get its offset in a few seconds.";
    Problem::new(status, "UPLOAD_BUSY", detail).retry_after(Duration::from_secs(1))
}

/// Problem of a request for another offset.
fn other_offset(received: u64) -> Problem {
    let detail = format!("{received} bytes of the upload are stored. Continue at that offset.");
    Problem::new(StatusCode::CONFLICT, "UPLOAD_OFFSET_MISMATCH", detail)
}

/// Make an upload a job that a request holds and of which all bytes are stored.
///
/// # Errors
/// 415 (`CONTENT_MISMATCH`) and 410 (`UPLOAD_EXPIRED`): the upload has ended.
async fn complete(held: &mut HeldUpload<'_>, traceparent: &str) -> Result<(), Problem> {
    let (service, upload) = (held.service, held.upload);
    let (key, checkpoint) = (held.key.clone(), held.checkpoint.clone());
    let storage = &service.parts.storage;
    match held.hold_during(storage.assemble(&key, &checkpoint)).await? {
        Err(storage::Error::Interrupted { .. }) => return Err(upload_ended()),
        assembled => assembled?,
    };
    let head = 0..upload.size_bytes.min(Container::HEAD_BYTES as u64);
    let head = storage.read(&key, head).await?;
    let format = VideoFormat::from_filename(&upload.filename)
        .ok_or_else(|| Problem::internal(&format_args!("the format of upload {}", upload.id)))?;
    check_content(service, &upload.filename, format, &head)?;
    let video = Video {
        id: upload.id,
        filename: upload.filename.clone(),
        format,
        path: key.to_string(),
        size_bytes: upload.size_bytes,
        recipe: upload.recipe.clone(),
        source: None,
    };
    let accept = async {
        let _turn = service.upload_transactions.turn(upload.user, 0).await;
        service.database().accept(upload.user, &[video], None, Some(traceparent)).await
    };
    match accept.instrument(info_span!("accept")).await? {
        Accepted::New(jobs) => record_acceptance(&jobs),
        // Another request was faster, or the upload has ended. The files are those of the job, or
        // maintenance deletes them.
        _ if is_job(service, upload).await? => {}
        _ => return Err(upload_ended()),
    }
    Ok(())
}

/// Whether an upload has become a job.
async fn is_job(service: &Service, upload: &ResumableUpload) -> Result<bool, Problem> {
    let found = service.database().resumable_upload(upload.id).await?;
    Ok(found.is_some_and(|found| found.state == UploadState::Accepted))
}
