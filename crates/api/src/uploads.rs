//! Uploading.

use std::sync::Arc;

use database::Job;
use database::accept::Accepted;
use jobs::{UserId, VideoFormat};
use poem::Request;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use crate::accounts::{Group, LoggedIn};
use crate::problem::{Problem, Refusal, refusals};
use crate::quotas::Slot;
use crate::receive::{self, Form};
use crate::views::Status;
use crate::{Service, access};

/// One accepted video.
#[derive(Object)]
struct AcceptedJob {
    /// The job's id.
    job_id: Uuid,
    /// The video's name.
    filename: String,
    /// Where the job stands.
    status: Status,
}

/// The accepted videos.
#[derive(Object)]
struct AcceptedVideos {
    /// Id of the first job.
    job_id: Uuid,
    /// Where the first job stands.
    status: Status,
    /// All jobs, in the order of the videos.
    jobs: Vec<AcceptedJob>,
}

/// What an upload may hold.
#[derive(Object)]
struct Acceptance {
    /// Suffixes of the videos that are accepted.
    suffixes: Vec<String>,
    /// Bytes of the largest video.
    max_video_bytes: u64,
    /// Videos in one upload.
    max_videos: u64,
}

#[derive(ApiResponse)]
enum Told {
    /// What an upload may hold.
    #[oai(status = 200)]
    Acceptance(Json<Acceptance>),
}

#[derive(ApiResponse)]
enum Uploaded {
    /// The videos are stored and wait for a worker. Nothing that was accepted gets lost.
    #[oai(status = 202)]
    Accepted(
        Json<AcceptedVideos>,
        /// Where the first job can be watched.
        #[oai(header = "Location")]
        String,
    ),
}

refusals! {
    UploadRefusals {
        400: "The upload broke off, or is no form.",
        401: "The access token is missing, wrong or expired.",
        408: "Nothing came for too long.",
        409: "The idempotency key belongs to an upload whose jobs are deleted.",
        413: "A video is too large, or there are too many.",
        415: "The form is none, or a file is no accepted video.",
        422: "The form holds no video, an empty one, or a part of another name.",
        429: "Too many uploads are under way, or too many videos wait.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
        507: "There is no room for the video, or the user's is used up.",
    }
}

/// The operation that takes videos.
pub struct Uploads;

#[OpenApi(tag = "Group::Videos")]
impl Uploads {
    /// What is accepted?
    ///
    /// For clients that tell their users before they send anything.
    #[oai(path = "/videos/upload", method = "get")]
    #[expect(clippy::unused_async, reason = "operations have to be async")]
    async fn acceptance(&self, service: Data<&Arc<Service>>) -> Told {
        let suffixes = VideoFormat::ALL.map(|format| format!(".{}", format.suffix())).to_vec();
        let (max_video_bytes, max_videos) =
            (service.settings.max_video_bytes, receive::MOST_FILES as u64);
        Told::Acceptance(Json(Acceptance { suffixes, max_video_bytes, max_videos }))
    }

    /// Upload videos
    ///
    /// One or more parts named `file`: .mp4 .avi .mov .mkv .wmv .flv .webm. All are accepted or
    /// none.
    #[oai(path = "/videos/upload", method = "post")]
    async fn upload(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        user: LoggedIn,
        /// A name of the client's own for this upload, of up to 255 characters. When the upload is
        /// repeated with the same one within a day, the jobs of the first are given again instead
        /// of new ones.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        form: Form,
    ) -> Result<Uploaded, Refusal<UploadRefusals>> {
        let key = idempotency_key.0;
        if let Some(key) = &key
            && let Some(jobs) = service.database().find_accepted(user.0, key).await?
        {
            return Ok(accepted(jobs)?);
        }
        let length = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let slot = service.begin_upload(user.0, length).await?;
        // Without traces of our own, the job belongs to the sender's, or to one that only the log
        // tells of.
        let traceparent =
            (service.parts.here)().or_else(|| access::traceparent(request).map(str::to_owned));
        let traceparent = traceparent.unwrap_or_else(begun);
        // The request's future ends with its connection, which may be in the middle of any step.
        // What is received in a task of its own becomes jobs or is removed, whether or not somebody
        // still listens.
        let work = accept(Arc::clone(&service), user.0, key, form, traceparent, slot);
        let jobs = tokio::spawn(work.in_current_span())
            .await
            .map_err(|stopped| Problem::internal(&stopped))??;
        Ok(accepted(jobs)?)
    }
}

/// Receive the videos of a form and make them jobs.
async fn accept(
    service: Arc<Service>,
    user: UserId,
    key: Option<String>,
    form: Form,
    traceparent: String,
    _slot: Slot,
) -> Result<Vec<Job>, Problem> {
    // Once they are there, the commit may happen although its answer gets lost, so the videos stay;
    // the sweep removes what became no job.
    let videos = form.receive(&service, user).await?.keep();
    let accepted = service.database().accept(user, &videos, key.as_deref(), Some(&traceparent));
    let jobs = match accepted.instrument(info_span!("accept")).await? {
        Accepted::New(jobs) => jobs,
        Accepted::Repeated(jobs) => {
            receive::remove(Arc::clone(&service.parts.storage), videos).await;
            jobs
        }
    };
    for job in &jobs {
        info!(job_id = %job.id, user_id = %job.user_id, trace_id = job.trace_id(), size_bytes = job.video_size_bytes, "a video was accepted");
    }
    metrics::counter!("fiapx_videos_accepted_total").increment(jobs.len() as u64);
    Ok(jobs)
}

fn accepted(jobs: Vec<Job>) -> Result<Uploaded, Problem> {
    let Some(first) = jobs.first() else {
        let detail = "The jobs of the upload with this idempotency key are deleted. Upload again with another key.";
        return Err(Problem::new(StatusCode::CONFLICT, "IDEMPOTENCY_KEY_USED", detail));
    };
    let location = format!("/videos/{}", first.id);
    let (job_id, status) = (first.id.0, first.state.into());
    let jobs = jobs
        .into_iter()
        .map(|job| AcceptedJob {
            job_id: job.id.0,
            filename: job.filename,
            status: job.state.into(),
        })
        .collect();
    Ok(Uploaded::Accepted(Json(AcceptedVideos { job_id, status, jobs }), location))
}

/// A new trace (W3C Trace Context, version 00).
fn begun() -> String {
    let (trace, parent) = (rand::random::<u128>().max(1), rand::random::<u64>().max(1));
    format!("00-{trace:032x}-{parent:016x}-01")
}
