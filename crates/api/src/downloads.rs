//! Fetching archives: by a link that expires.

use std::sync::Arc;

use poem::Request;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;
use uuid::Uuid;

use crate::Service;
use crate::accounts::{Group, LoggedIn};
use crate::archives;
use crate::problem::{Problem, Refusal, refusals};
use crate::videos::own_job;

/// A link to an archive.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "the names are those of the interface")]
struct Download {
    /// Gives the archive to whoever has it, until it expires. Ranges are served, so downloads can
    /// be resumed.
    download_url: String,
    /// Seconds until the link expires.
    expires_in: u64,
    /// The archive's name.
    filename: String,
    /// Bytes of the archive.
    size_bytes: u64,
}

#[derive(ApiResponse)]
enum Linked {
    /// The link.
    #[oai(status = 200)]
    Link(
        Json<Download>,
        /// Downloads that may be begun in a minute.
        #[oai(header = "RateLimit-Limit")]
        u64,
        /// Downloads that may be begun still.
        #[oai(header = "RateLimit-Remaining")]
        u64,
        /// Seconds until the oldest of them does not count any more.
        #[oai(header = "RateLimit-Reset")]
        u64,
    ),
}

refusals! {
    DownloadRefusals {
        400: "The id is none, or the job is not done.",
        401: "The access token is missing, wrong or expired.",
        403: "The job is somebody else's.",
        404: "There is no such job.",
        410: "The archive's time is over.",
        429: "Too many downloads in a minute.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
}

/// The operation that gives links.
pub struct Downloads;

#[OpenApi(tag = "Group::Videos")]
impl Downloads {
    /// Get a link to the archive
    #[oai(path = "/jobs/:id/download", method = "get")]
    async fn download(
        &self,
        service: Data<&Arc<Service>>,
        request: &Request,
        user: LoggedIn,
        /// The job's id.
        id: Path<Uuid>,
    ) -> Result<Linked, Refusal<DownloadRefusals>> {
        let job = own_job(&service, user.0, id.0).await?;
        let key = archives::key(&service, &job)?;
        let verdict = service
            .parts
            .limits
            .take(&format!("download:{}", user.0), service.settings.downloads_per_minute)
            .await;
        if !verdict.allowed {
            let detail =
                format!("{} downloads a minute are allowed. Wait a little.", verdict.limit);
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_DOWNLOADS", detail)
                .limited(&verdict)
                .into());
        }
        let object = archives::stored(&service, &key).await?;
        let filename = archive_name(&job.filename);
        let link =
            service.parts.storage.link(&key, &filename, service.settings.link_valid_for).await?;
        let download_url =
            if link.starts_with('/') { format!("{}{link}", base(&service, request)) } else { link };
        let expires_in = service.settings.link_valid_for.as_secs();
        info!(job_id = %job.id, size_bytes = object.size, "a link to an archive was given");
        let download = Download { download_url, expires_in, filename, size_bytes: object.size };
        let [(_, limit), (_, remaining), (_, reset)] = verdict.headers();
        Ok(Linked::Link(Json(download), limit, remaining, reset))
    }
}

/// The archive's name: the video's, with another suffix.
fn archive_name(video: &str) -> String {
    let stem = video.rsplit_once('.').map_or(video, |(stem, _)| stem);
    format!("{stem}.zip")
}

/// Where this service is reached: as configured, else as this request reached it.
fn base(service: &Service, request: &Request) -> String {
    if let Some(url) = &service.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let told = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let host = told(request.headers(), header::HOST)
        .or_else(|| request.uri().authority().map(ToString::to_string));
    let scheme = told(request.headers(), header::HeaderName::from_static("x-forwarded-proto"))
        .filter(|scheme| scheme == "https");
    format!(
        "{}://{}",
        scheme.as_deref().unwrap_or("http"),
        host.unwrap_or_else(|| request.local_addr().to_string())
    )
}
